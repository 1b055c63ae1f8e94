/* SPDX-License-Identifier: MIT */
/*
 * Values that nothing names: old generations whose grants have ended, and what an interrupted import left. They are found in a read
 * transaction and deleted in write transactions of bounded size; the caller holds the vault's lock, so nothing changes in between.
 */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

void vf_doomed_done(struct vf_doomed *d)
{
    free(d->keys);
    *d = (struct vf_doomed){0};
}

static bool doomed_add(struct vf_doomed *d, struct vf_slice key)
{
    if (d->n == d->room) {
        size_t room = d->room > 0 ? d->room * 2 : 256;
        struct vf_value_key *more = reallocarray(d->keys, room, sizeof(*more));
        if (more == NULL)
            return false;
        d->keys = more;
        d->room = room;
    }
    memcpy(d->keys[d->n++].b, key.data, VF_VALUE_KEY_LEN);
    return true;
}

struct search {
    struct vf_view *view;
    struct vf_pins pins;
    struct vf_doomed doomed;
    struct vf_ref ref; /* the record that the last row was of */
    bool has_ref, has_head;
    const struct vf_head_row *head;
    enum vf_err err;
    struct vf_why *why;
};

/* The head of the record that the rows are now of; a record that is gone has none. */
static enum vf_err turn_to(struct search *s, const struct vf_ref *ref)
{
    if (s->has_ref && vf_ref_cmp(&s->ref, ref) == 0)
        return VF_OK;
    enum vf_err err = vf_view_head_row(s->view, ref, &s->head, s->why);
    if (err != VF_OK && err != VF_E_NOT_FOUND)
        return err;
    s->ref = *ref;
    s->has_ref = true;
    s->has_head = err == VF_OK;
    return VF_OK;
}

static bool each_value(struct vf_cursor *cur, struct vf_slice key, struct vf_slice val, void *user)
{
    struct search *s = user;
    uint32_t generation = 0;
    unsigned field = 0;
    struct vf_ref ref;

    (void)cur;
    (void)val;
    if (!vf_value_key_parse(key, &ref, &field, &generation)) {
        s->err = vf_vault_damaged(s->view->v, NULL, "a key in its table value is not well-formed", s->why);
        return false;
    }
    s->err = turn_to(s, &ref);
    if (s->err != VF_OK)
        return false;
    if (s->has_head && (s->head->head.f[field].generation == generation || vf_pins_value(&s->pins, &ref, field, generation)))
        return true;
    if (!doomed_add(&s->doomed, key))
        s->err = vf_fail(s->why, VF_E_NOMEM, "%s: out of memory", s->view->v->path);
    return s->err == VF_OK;
}

static enum vf_err find_doomed(struct vf_vault *v, struct vf_doomed *ret, struct vf_why *why)
{
    VF_VIEW view = NULL;
    struct search s = {.why = why};

    VF_TRY(vf_view_open(v, &view, why));
    s.view = view;
    enum vf_err err = vf_pins_load(v, view->txn, vf_clock_wall_us(), &s.pins, why);
    if (err == VF_OK) {
        vf_txn_foreach(view->txn, VF_VT_VALUE, "", 0, each_value, &s);
        err = s.err != VF_OK ? s.err : vf_vault_txn_check(v, view->txn, why);
    }
    vf_pins_done(&s.pins);
    if (err == VF_OK)
        *ret = s.doomed;
    else
        vf_doomed_done(&s.doomed);
    return err;
}

struct batch {
    const struct vf_value_key *keys;
    size_t n;
    bool last;
};

static enum vf_err delete_batch(struct vf_txn *txn, void *user, struct vf_why *why)
{
    const struct batch *b = user;

    (void)why;
    for (size_t i = 0; i < b->n; i++)
        (void)vf_txn_del(txn, VF_VT_VALUE, b->keys[i].b, VF_VALUE_KEY_LEN);
    if (b->last)
        vf_meta_del(txn, VF_META_STAGING);
    return VF_OK;
}

static enum vf_err is_marked(struct vf_vault *v, bool *ret, struct vf_why *why)
{
    VF_TXN txn = NULL;
    struct vf_slice mark;

    VF_TRY(vf_txn_read(v->store, &txn, why));
    *ret = vf_meta_get(txn, VF_META_STAGING, &mark);
    return vf_vault_txn_check(v, txn, why);
}

enum vf_err vf_sweep(struct vf_vault *v, bool full, struct vf_why *why)
{
    VF_DOOMED d = {0};
    bool marked = false;

    VF_TRY(is_marked(v, &marked, why));
    if (!marked && !full)
        return VF_OK;
    VF_TRY(find_doomed(v, &d, why));
    for (size_t at = 0; at < d.n || marked;) {
        struct batch b = {.keys = d.keys + at, .n = d.n - at < VF_DELETE_ROWS_MAX ? d.n - at : VF_DELETE_ROWS_MAX};
        at += b.n;
        b.last = at == d.n;
        VF_TRY(vf_store_update(v->store, delete_batch, &b, why));
        if (b.last)
            break;
    }
    return VF_OK;
}

/* ------------------------------------------------------------------------------------------------------------- one record */

struct record_search {
    struct vf_view *view;
    const struct vf_pins *pins;
    const struct vf_head_row *head;
    struct vf_doomed doomed;
    enum vf_err err;
    struct vf_why *why;
};

static bool each_generation(struct vf_cursor *cur, struct vf_slice key, struct vf_slice val, void *user)
{
    struct record_search *s = user;
    uint32_t generation = 0;
    unsigned field = 0;
    struct vf_ref ref;

    (void)cur;
    (void)val;
    if (!vf_value_key_parse(key, &ref, &field, &generation))
        s->err = vf_vault_damaged(s->view->v, &s->head->head.ref, "the key of a value is not well-formed", s->why);
    else if (s->head->head.f[field].generation != generation && !vf_pins_value(s->pins, &ref, field, generation) &&
             !doomed_add(&s->doomed, key))
        s->err = vf_fail(s->why, VF_E_NOMEM, "%s: out of memory", s->view->v->path);
    return s->err == VF_OK;
}

enum vf_err vf_sweep_record(struct vf_view *view, const struct vf_head_row *head, struct vf_doomed *ret, struct vf_why *why)
{
    VF_PINS pins = {0};
    struct record_search s = {.view = view, .pins = &pins, .head = head, .why = why};

    VF_TRY(vf_pins_load(view->v, view->txn, vf_clock_wall_us(), &pins, why));
    vf_txn_foreach(view->txn, VF_VT_VALUE, head->head.ref.c, VF_REF_LEN, each_generation, &s);
    enum vf_err err = s.err != VF_OK ? s.err : vf_vault_txn_check(view->v, view->txn, why);
    if (err == VF_OK)
        *ret = s.doomed;
    else
        vf_doomed_done(&s.doomed);
    return err;
}
