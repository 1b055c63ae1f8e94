/* SPDX-License-Identifier: MIT */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

/* One record and what is to become of it. */
struct setting {
    struct vf_vault *v;
    struct vf_view *view;
    struct vf_record_keys *keys; /* in the arena */
    struct vf_head_row head;     /* the next one */
    struct vf_buf value[VF_FIELD_COUNT];
    struct vf_csv_cell cell[VF_FIELD_COUNT]; /* all texts, as they will be */
    vf_field_set changed;
    struct vf_buf row[VF_FIELD_COUNT]; /* sealed, of what changed */
    struct vf_doomed doomed;
    struct vf_hash old_index, new_index;
    uint8_t sealed_head[VF_HEAD_ROW_LEN];
};

static void setting_done(struct setting *s)
{
    for (unsigned f = 0; f < VF_FIELD_COUNT; f++) {
        vf_buf_done(&s->value[f]);
        vf_buf_done(&s->row[f]);
    }
    vf_doomed_done(&s->doomed);
    vf_view_close(s->view);
    vf_secret_free(s->keys);
    vf_wipe(s, sizeof(*s));
}

/* Check and normalise one value from outside. */
static enum vf_err take_value(const struct vf_vault *v, const struct vf_field_value *in, struct vf_buf *out,
                              struct vf_why *why)
{
    static const struct vf_image_options options = {.decode = true};
    const struct vf_field_info *info = vf_field_info(in->field);
    struct vf_image_report report;
    enum vf_err err = VF_OK;

    vf_buf_init(out, VF_VALUE_ROW_MAX);
    if (info == NULL)
        return vf_fail(why, VF_E_USAGE, "no such field");
    if (info->kind == VF_KIND_TEXT)
        err = vf_field_check(&v->rules, in->field, in->data, in->len, out, why);
    else if (in->len == 0)
        return VF_OK;
    else
        err = vf_image_clean(v->sandbox, in->field, in->data, in->len, &options, out, &report, why);
    return vf_fail_prefix(why, err, "%s", info->name);
}

/* The present value stands in for what is not set; what is set and differs is a change. */
static enum vf_err compare(struct setting *s, const struct vf_field_value *values, size_t n, struct vf_why *why)
{
    vf_field_set given = 0;

    for (size_t i = 0; i < n; i++) {
        if (vf_field_info(values[i].field) == NULL || (given & VF_FIELD_BIT(values[i].field)) != 0)
            return vf_fail(why, VF_E_USAGE, "a field that does not exist, or one that is set twice");
        given |= VF_FIELD_BIT(values[i].field);
        VF_TRY(take_value(s->v, &values[i], &s->value[values[i].field], why));
    }
    for (unsigned f = 1; f < VF_FIELD_COUNT; f++) {
        bool is_given = (given & VF_FIELD_BIT(f)) != 0;
        VF_BUF present = {0};
        if (vf_field_info(f) == NULL || (!is_given && vf_field_is_image(f)))
            continue;
        VF_TRY(vf_view_value(s->view, &s->head.head.ref, f, 0, &present, why));
        if (!is_given) {
            s->value[f] = present;
            present = (struct vf_buf){0};
        } else if (present.len != s->value[f].len ||
                   (present.len > 0 && memcmp(present.data, s->value[f].data, present.len) != 0)) {
            s->changed |= VF_FIELD_BIT(f);
        }
        if (f == VF_FIELD_WARRANT_NO)
            vf_index_of(&s->view->keys->index, (const char *)(is_given ? present.data : s->value[f].data),
                        is_given ? present.len : s->value[f].len, &s->old_index);
    }
    return VF_OK;
}

/* What holds between the fields, and between records. */
static enum vf_err check(struct setting *s, struct vf_why *why)
{
    enum vf_field at = VF_FIELD_NONE;
    struct vf_ref other;

    for (unsigned f = 1; f < VF_FIELD_COUNT; f++)
        if (vf_field_info(f) != NULL && !vf_field_is_image(f))
            s->cell[f] = (struct vf_csv_cell){s->value[f].len > 0 ? (const char *)s->value[f].data : "", s->value[f].len};
    enum vf_err err = vf_row_check(s->cell, &at, why);
    if (err != VF_OK)
        return vf_fail_prefix(why, err, "%s", at != VF_FIELD_NONE ? vf_field_info(at)->name : "record");
    const struct vf_csv_cell *number = &s->cell[VF_FIELD_WARRANT_NO];
    vf_index_of(&s->view->keys->index, number->text, number->len, &s->new_index);
    if ((s->changed & VF_FIELD_BIT(VF_FIELD_WARRANT_NO)) == 0)
        return VF_OK;
    err = vf_view_find(s->view, number->text, number->len, &other, why);
    if (err == VF_OK)
        return vf_fail(why, VF_E_EXISTS, "warrant_no: record %.8s has this number already", other.c);
    return err == VF_E_NOT_FOUND ? VF_OK : err;
}

/* A new generation of each changed field, sealed; the head that names them; what it no longer names. */
static enum vf_err seal(struct setting *s, struct vf_why *why)
{
    int64_t now = vf_clock_wall_us();

    for (unsigned f = 1; f < VF_FIELD_COUNT; f++) {
        struct vf_field_state *state = &s->head.head.f[f];
        const struct vf_buf *value = &s->value[f];
        if ((s->changed & VF_FIELD_BIT(f)) == 0)
            continue;
        if (s->head.last[f] == UINT32_MAX || !vf_head_take(&s->head, f, s->cell[f].text, s->cell[f].len))
            return vf_fail(why, VF_E_LIMIT, "%s: no further value is possible", vf_field_info(f)->name);
        bool absent = vf_field_is_image(f) && value->len == 0;
        *state =
            (struct vf_field_state){.epoch = s->keys->epoch[s->keys->n - 1], .len = (uint32_t)value->len, .changed_us = now};
        state->quoted_len = vf_value_quoted(f, value->data, value->len);
        if (absent)
            continue;
        state->generation = ++s->head.last[f];
        vf_buf_init(&s->row[f], VF_VALUE_ROW_MAX);
        uint8_t *out = vf_buf_grow(&s->row[f], vf_value_row_len(f, value->len));
        if (out == NULL)
            return vf_buf_check(&s->row[f], s->v->path, why);
        if (vf_value_row_seal(s->keys, &s->v->id, f, state->generation, value->data, value->len, out) != VF_OK)
            return vf_fail(why, VF_E_LIMIT, "%s: does not fit", vf_field_info(f)->name);
    }
    vf_head_row_seal(vf_record_keys_newest(s->keys), &s->v->id, &s->head, s->sealed_head);
    return vf_sweep_record(s->view, &s->head, &s->doomed, why);
}

static enum vf_err put(struct vf_txn *txn, void *user, struct vf_why *why)
{
    const struct setting *s = user;
    const struct vf_ref *ref = &s->head.head.ref;

    (void)why;
    for (unsigned f = 1; f < VF_FIELD_COUNT; f++) {
        struct vf_value_key key = vf_value_key_of(ref, f, s->head.head.f[f].generation);
        if (s->row[f].len > 0)
            vf_txn_put(txn, VF_VT_VALUE, key.b, sizeof(key.b), s->row[f].data, s->row[f].len);
    }
    for (size_t i = 0; i < s->doomed.n; i++)
        (void)vf_txn_del(txn, VF_VT_VALUE, s->doomed.keys[i].b, VF_VALUE_KEY_LEN);
    vf_txn_put(txn, VF_VT_HEAD, ref->c, VF_REF_LEN, s->sealed_head, sizeof(s->sealed_head));
    if ((s->changed & VF_FIELD_BIT(VF_FIELD_WARRANT_NO)) != 0) {
        (void)vf_txn_del(txn, VF_VT_INDEX, s->old_index.b, VF_HASH_LEN);
        vf_txn_put(txn, VF_VT_INDEX, s->new_index.b, VF_HASH_LEN, ref->c, VF_REF_LEN);
    }
    return VF_OK;
}

static enum vf_err load(struct setting *s, const struct vf_ref *ref, struct vf_why *why)
{
    const struct vf_record_keys *keys = NULL;
    const struct vf_head_row *head = NULL;

    VF_TRY(vf_view_open(s->v, &s->view, why));
    VF_TRY(vf_view_head_row(s->view, ref, &head, why));
    VF_TRY(vf_view_record(s->view, ref, &keys, why));
    s->keys = vf_secret_new(sizeof(*s->keys));
    if (s->keys == NULL)
        return vf_fail(why, VF_E_LOCKED_MEMORY, "%s: no room in the locked memory", s->v->path);
    *s->keys = *keys;
    s->head = *head;
    return VF_OK;
}

enum vf_err vf_record_set(struct vf_vault *v, const struct vf_ref *ref, const struct vf_field_value *values, size_t n,
                          struct vf_why *why)
{
    VF_CLEANUP(setting_done) struct setting s = {.v = v};
    struct vf_entry entry = vf_vault_entry(v, VF_EVENT_CHANGE, NULL);

    VF_TRY(vf_vault_need(v, true, why));
    VF_TRY(load(&s, ref, why));
    VF_TRY(compare(&s, values, n, why));
    VF_TRY(check(&s, why));
    if (s.changed == 0)
        return VF_OK;
    VF_TRY(seal(&s, why));
    vf_view_close(s.view);
    s.view = NULL;
    entry.refs = ref;
    entry.nrefs = 1;
    entry.fields = s.changed;
    VF_TRY(vf_vault_log(v, &entry, why));
    return vf_store_update(v->store, put, &s, why);
}
