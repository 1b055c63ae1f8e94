/* SPDX-License-Identifier: MIT */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

/* ----------------------------------------------------------------------------------------------------------- open and close */

static enum vf_err make_secrets(struct vf_view *view, struct vf_why *why)
{
    view->keys = vf_secret_new(sizeof(*view->keys));
    view->record = vf_secret_new(sizeof(*view->record));
    view->head = vf_secret_new(sizeof(*view->head));
    if (view->keys == NULL || view->record == NULL || view->head == NULL)
        return vf_fail(why, VF_E_LOCKED_MEMORY, "%s: no room in the locked memory", view->v->path);
    *view->keys = *view->v->keys;
    return vf_keys_follow(view->v, view->txn, view->keys, why);
}

enum vf_err vf_view_open(struct vf_vault *v, struct vf_view **ret, struct vf_why *why)
{
    VF_VIEW view = calloc(1, sizeof(*view));

    if (view == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", v->path);
    view->v = v;
    VF_TRY(vf_txn_read(v->store, &view->txn, why));
    if (v->keys != NULL)
        VF_TRY(make_secrets(view, why));
    *ret = view;
    view = NULL;
    return VF_OK;
}

void vf_view_close(struct vf_view *view)
{
    if (view == NULL)
        return;
    vf_txn_end(view->txn);
    vf_secret_free(view->keys);
    vf_secret_free(view->record);
    vf_secret_free(view->head);
    free(view);
}

void vf_view_cleanup(struct vf_view **view)
{
    vf_view_close(*view);
    *view = NULL;
}

void vf_view_pause(struct vf_view *view)
{
    view->has_record = false;
    view->has_head = false;
    vf_txn_reset(view->txn);
}

enum vf_err vf_view_resume(struct vf_view *view, struct vf_why *why)
{
    VF_TRY(vf_txn_renew(view->txn, why));
    return view->keys != NULL ? vf_keys_follow(view->v, view->txn, view->keys, why) : VF_OK;
}

/* ------------------------------------------------------------------------------------------------------------- keys and heads */

static enum vf_err no_record(const struct vf_view *view, const struct vf_ref *ref, struct vf_why *why)
{
    VF_TRY(vf_vault_txn_check(view->v, view->txn, why));
    return vf_fail(why, VF_E_NOT_FOUND, "%s: there is no record %.8s", view->v->path, ref->c);
}

enum vf_err vf_view_record(struct vf_view *view, const struct vf_ref *ref, const struct vf_record_keys **ret,
                           struct vf_why *why)
{
    struct vf_slice row;

    VF_TRY(vf_vault_need(view->v, false, why));
    if (!view->has_record || vf_ref_cmp(&view->record->ref, ref) != 0) {
        view->has_record = false;
        view->has_head = false;
        if (!vf_txn_get(view->txn, VF_VT_RECORD, ref->c, VF_REF_LEN, &row))
            return no_record(view, ref, why);
        if (vf_record_keys_open(&view->keys->wrap, &view->v->id, ref, row, view->record) != VF_OK)
            return vf_vault_damaged(view->v, ref, "its keys do not open", why);
        view->has_record = true;
    }
    *ret = view->record;
    return VF_OK;
}

enum vf_err vf_view_head_row(struct vf_view *view, const struct vf_ref *ref, const struct vf_head_row **ret,
                             struct vf_why *why)
{
    const struct vf_record_keys *keys = NULL;
    struct vf_slice row;

    VF_TRY(vf_view_record(view, ref, &keys, why));
    if (!view->has_head) {
        if (!vf_txn_get(view->txn, VF_VT_HEAD, ref->c, VF_REF_LEN, &row)) {
            VF_TRY(vf_vault_txn_check(view->v, view->txn, why));
            return vf_vault_damaged(view->v, ref, "its head is missing", why);
        }
        if (vf_head_row_open(vf_record_keys_newest(keys), &view->v->id, ref, row, view->head) != VF_OK)
            return vf_vault_damaged(view->v, ref, "its head does not open", why);
        view->has_head = true;
    }
    *ret = view->head;
    return VF_OK;
}

enum vf_err vf_view_head(struct vf_view *view, const struct vf_ref *ref, struct vf_head *ret, struct vf_why *why)
{
    const struct vf_head_row *row = NULL;

    VF_TRY(vf_view_head_row(view, ref, &row, why));
    *ret = row->head;
    return VF_OK;
}

/* ------------------------------------------------------------------------------------------------------------------ each, find */

struct walk { /* one of the two is there */
    struct vf_view *view;
    enum vf_err (*each)(void *user, const struct vf_head *head, struct vf_why *why);
    enum vf_err (*each_ref)(void *user, const struct vf_ref *ref, struct vf_why *why);
    void *user;
    enum vf_err err;
    struct vf_why *why;
};

/* A copy: the callee may look other records up. */
static enum vf_err give_head(struct walk *w, const struct vf_ref *ref, bool *ret_stop)
{
    struct vf_head head;

    VF_TRY(vf_view_head(w->view, ref, &head, w->why));
    enum vf_err err = w->each(w->user, &head, w->why);
    vf_wipe(&head, sizeof(head));
    *ret_stop = err == VF_E_NOT_FOUND;
    return *ret_stop ? VF_OK : err;
}

static bool each_head(struct vf_cursor *cur, struct vf_slice key, struct vf_slice val, void *user)
{
    struct walk *w = user;
    struct vf_ref ref;
    bool stop = false;

    (void)cur;
    (void)val;
    if (key.len != VF_REF_LEN || !vf_ref_parse((const char *)key.data, key.len, &ref))
        w->err = vf_vault_damaged(w->view->v, NULL, "a key in its table head is no ref", w->why);
    else
        w->err = w->each_ref != NULL ? w->each_ref(w->user, &ref, w->why) : give_head(w, &ref, &stop);
    return w->err == VF_OK && !stop;
}

static enum vf_err walk_heads(struct walk *w)
{
    VF_TRY(vf_vault_need(w->view->v, false, w->why));
    vf_txn_foreach(w->view->txn, VF_VT_HEAD, "", 0, each_head, w);
    VF_TRY(w->err);
    return vf_vault_txn_check(w->view->v, w->view->txn, w->why);
}

enum vf_err vf_view_each(struct vf_view *view,
                         enum vf_err (*each)(void *user, const struct vf_head *head, struct vf_why *why), void *user,
                         struct vf_why *why)
{
    struct walk w = {.view = view, .each = each, .user = user, .why = why};

    return walk_heads(&w);
}

enum vf_err vf_view_refs(struct vf_view *view, enum vf_err (*each)(void *user, const struct vf_ref *ref, struct vf_why *why),
                         void *user, struct vf_why *why)
{
    struct walk w = {.view = view, .each_ref = each, .user = user, .why = why};

    return walk_heads(&w);
}

enum vf_err vf_view_find(struct vf_view *view, const char *warrant_no, size_t len, struct vf_ref *ret, struct vf_why *why)
{
    struct vf_hash blind;
    struct vf_slice row;

    VF_TRY(vf_vault_need(view->v, false, why));
    vf_index_of(&view->keys->index, warrant_no, len, &blind);
    if (!vf_txn_get(view->txn, VF_VT_INDEX, blind.b, VF_HASH_LEN, &row)) {
        VF_TRY(vf_vault_txn_check(view->v, view->txn, why));
        return vf_fail(why, VF_E_NOT_FOUND, "%s: there is no record with this warrant number", view->v->path);
    }
    if (!vf_ref_parse((const char *)row.data, row.len, ret))
        return vf_vault_damaged(view->v, NULL, "a row of its index is no ref", why);
    return VF_OK;
}

/* --------------------------------------------------------------------------------------------------------------------- values */

static enum vf_err get_row(struct vf_view *view, const struct vf_ref *ref, unsigned field, uint32_t generation,
                           struct vf_value_row *ret, struct vf_why *why)
{
    struct vf_value_key key = vf_value_key_of(ref, field, generation);
    const struct vf_field_info *info = vf_field_info(field);
    struct vf_slice data;

    if (info == NULL)
        return vf_fail(why, VF_E_USAGE, "no such field");
    if (!vf_txn_get(view->txn, VF_VT_VALUE, key.b, sizeof(key.b), &data)) {
        VF_TRY(vf_vault_txn_check(view->v, view->txn, why));
        return vf_fail(why, VF_E_NOT_FOUND, "%s: record %.8s has no generation %u of %s (any more)", view->v->path, ref->c,
                       (unsigned)generation, info->name);
    }
    if (!vf_value_row_parse(data, field, ret))
        return vf_vault_damaged(view->v, ref, info->name, why);
    return VF_OK;
}

/* generation 0 becomes the current one, by the head; still 0: an image that is absent. */
static enum vf_err current(struct vf_view *view, const struct vf_ref *ref, unsigned field, uint32_t *generation,
                           struct vf_why *why)
{
    const struct vf_head_row *head = NULL;

    if (*generation != 0)
        return VF_OK;
    if (vf_field_info(field) == NULL)
        return vf_fail(why, VF_E_USAGE, "no such field");
    VF_TRY(vf_view_head_row(view, ref, &head, why));
    *generation = head->head.f[field].generation;
    return VF_OK;
}

enum vf_err vf_view_value(struct vf_view *view, const struct vf_ref *ref, unsigned field, uint32_t generation,
                          struct vf_buf *out, struct vf_why *why)
{
    const struct vf_record_keys *keys = NULL;
    struct vf_value_row row;

    if (out->max == 0)
        vf_buf_init(out, VF_VALUE_ROW_MAX);
    VF_TRY(current(view, ref, field, &generation, why));
    vf_buf_reset(out);
    if (generation == 0)
        return VF_OK;
    VF_TRY(vf_view_record(view, ref, &keys, why));
    VF_TRY(get_row(view, ref, field, generation, &row, why));
    enum vf_err err = vf_value_row_open(keys, &view->v->id, field, generation, &row, out);
    if (err == VF_E_NOMEM)
        return vf_fail(why, err, "%s: out of memory", view->v->path);
    return err == VF_OK ? VF_OK : vf_vault_damaged(view->v, ref, vf_field_info(field)->name, why);
}

enum vf_err vf_view_value_grant(struct vf_view *view, const struct vf_ref *ref, unsigned field, uint32_t generation,
                                struct vf_value_grant *ret, struct vf_why *why)
{
    const struct vf_record_keys *keys = NULL;
    struct vf_value_row row;

    VF_TRY(current(view, ref, field, &generation, why));
    VF_TRY(vf_view_record(view, ref, &keys, why));
    VF_TRY(get_row(view, ref, field, generation, &row, why));
    const struct vf_record_key *rk = vf_record_keys_find(keys, row.epoch);
    if (rk == NULL)
        return vf_vault_damaged(view->v, ref, "the key of a value is missing", why);
    vf_kdf_field_key(rk, (uint8_t)field, generation, row.s, &ret->key);
    ret->hash = row.hash;
    ret->sealed_len = (uint32_t)row.sealed_len;
    return VF_OK;
}

enum vf_err vf_view_sealed(struct vf_view *view, const struct vf_ref *ref, unsigned field, uint32_t generation,
                           struct vf_slice *ret, struct vf_why *why)
{
    struct vf_value_row row;

    VF_TRY(current(view, ref, field, &generation, why));
    VF_TRY(get_row(view, ref, field, generation, &row, why));
    *ret = (struct vf_slice){row.sealed, row.sealed_len};
    return VF_OK;
}

enum vf_err vf_vault_grant_share(struct vf_vault *v, const struct vf_grant_id *grant, struct vf_grant_share *ret,
                                 struct vf_why *why)
{
    VF_TXN txn = NULL;

    VF_TRY(vf_vault_need(v, false, why));
    VF_TRY(vf_txn_read(v->store, &txn, why));
    VF_TRY(vf_keys_follow(v, txn, v->keys, why));
    vf_kdf_grant_share(&v->keys->vk, &v->keys->w, grant, ret);
    return VF_OK;
}

enum vf_err vf_vault_release_secret(struct vf_vault *v, const struct vf_grant_id *grant, struct vf_release_secret *ret,
                                    struct vf_why *why)
{
    VF_TXN txn = NULL;

    VF_TRY(vf_vault_need(v, false, why));
    VF_TRY(vf_txn_read(v->store, &txn, why));
    VF_TRY(vf_keys_follow(v, txn, v->keys, why));
    vf_kdf_release_secret(&v->keys->vk, &v->keys->w, grant, ret);
    return VF_OK;
}
