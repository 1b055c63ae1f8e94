/* SPDX-License-Identifier: MIT */
/*
 * Every record key wrapped anew, for an erase (another W) or a rekey (another VK and W). All of it happens in the one transaction that
 * also names the new W, so there is no moment at which some records need one secret and some the other.
 */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

struct refs {
    struct vf_ref *refs;
    size_t n, room;
    bool nomem, bad;
};

static void refs_done(struct refs *r)
{
    free(r->refs);
    *r = (struct refs){0};
}

static bool each_ref(struct vf_cursor *cur, struct vf_slice key, struct vf_slice val, void *user)
{
    struct refs *r = user;

    (void)cur;
    (void)val;
    if (r->n == r->room) {
        size_t room = r->room > 0 ? r->room * 2 : 1024;
        struct vf_ref *more = reallocarray(r->refs, room, sizeof(*more));
        r->nomem = more == NULL;
        if (r->nomem)
            return false;
        r->refs = more;
        r->room = room;
    }
    r->bad = !vf_ref_parse((const char *)key.data, key.len, &r->refs[r->n]);
    r->n++;
    return !r->bad;
}

struct rewrapping {
    struct vf_vault *v;
    struct vf_txn *txn;
    const struct vf_rewrap *what;
    struct vf_record_keys *keys; /* in the arena */
    struct vf_head_row *head;    /* likewise */
    struct vf_buf warrant_no;
    struct vf_why *why;
};

/* ------------------------------------------------------------------------------------------------------------------ new epoch */

struct epochs_used {
    const struct vf_record_keys *keys;
    bool used[VF_EPOCHS_MAX];
};

static bool each_value(struct vf_cursor *cur, struct vf_slice key, struct vf_slice val, void *user)
{
    struct epochs_used *u = user;

    (void)cur;
    (void)key;
    for (unsigned i = 0; val.len >= 4 && i < u->keys->n; i++)
        if (u->keys->epoch[i] == vf_get_be32(val.data))
            u->used[i] = true;
    return true;
}

/* Leave out the keys that no value needs any more, and add a fresh one. The head has to be open: its key may go. */
static enum vf_err next_epoch(struct rewrapping *r)
{
    struct epochs_used u = {.keys = r->keys};
    unsigned n = 0;

    vf_txn_foreach(r->txn, VF_VT_VALUE, r->keys->ref.c, VF_REF_LEN, each_value, &u);
    for (unsigned i = 0; i < r->keys->n; i++) {
        if (!u.used[i])
            continue;
        r->keys->epoch[n] = r->keys->epoch[i];
        r->keys->key[n] = r->keys->key[i];
        n++;
    }
    if (n == VF_EPOCHS_MAX)
        return vf_fail(r->why, VF_E_LIMIT,
                       "%s: record %.8s has values of %u epochs; set its oldest fields anew before a rekey", r->v->path,
                       r->keys->ref.c, VF_EPOCHS_MAX);
    r->keys->epoch[n] = r->what->epoch;
    vf_record_key_new(&r->keys->key[n]);
    r->keys->n = n + 1;
    return VF_OK;
}

static enum vf_err open_warrant_no(struct rewrapping *r)
{
    uint32_t generation = r->head->head.f[VF_FIELD_WARRANT_NO].generation;
    struct vf_value_key key = vf_value_key_of(&r->keys->ref, VF_FIELD_WARRANT_NO, generation);
    struct vf_value_row row;
    struct vf_slice data;

    if (!vf_txn_get(r->txn, VF_VT_VALUE, key.b, sizeof(key.b), &data) ||
        !vf_value_row_parse(data, VF_FIELD_WARRANT_NO, &row) ||
        vf_value_row_open(r->keys, &r->v->id, VF_FIELD_WARRANT_NO, generation, &row, &r->warrant_no) != VF_OK) {
        VF_TRY(vf_txn_error(r->txn));
        return vf_vault_damaged(r->v, &r->keys->ref, "warrant_no", r->why);
    }
    return VF_OK;
}

/* Head, index row and a further key of one record. */
static enum vf_err renew_record(struct rewrapping *r)
{
    const struct vf_ref *ref = &r->keys->ref;
    uint8_t sealed[VF_HEAD_ROW_LEN];
    struct vf_hash blind;
    struct vf_slice row;

    if (!vf_txn_get(r->txn, VF_VT_HEAD, ref->c, VF_REF_LEN, &row) ||
        vf_head_row_open(vf_record_keys_newest(r->keys), &r->v->id, ref, row, r->head) != VF_OK) {
        VF_TRY(vf_txn_error(r->txn));
        return vf_vault_damaged(r->v, ref, "its head does not open", r->why);
    }
    VF_TRY(open_warrant_no(r));
    VF_TRY(next_epoch(r));
    vf_head_row_seal(vf_record_keys_newest(r->keys), &r->v->id, r->head, sealed);
    vf_txn_put(r->txn, VF_VT_HEAD, ref->c, VF_REF_LEN, sealed, sizeof(sealed));
    vf_index_of(&r->what->to->index, (const char *)r->warrant_no.data, r->warrant_no.len, &blind);
    vf_txn_put(r->txn, VF_VT_INDEX, blind.b, VF_HASH_LEN, ref->c, VF_REF_LEN);
    return VF_OK;
}

/* --------------------------------------------------------------------------------------------------------------------- all */

static enum vf_err rewrap_record(struct rewrapping *r, const struct vf_ref *ref)
{
    uint8_t out[VF_RECORD_ROW_MAX];
    struct vf_slice row;

    if (!vf_txn_get(r->txn, VF_VT_RECORD, ref->c, VF_REF_LEN, &row) ||
        vf_record_keys_open(&r->what->from->wrap, &r->v->id, ref, row, r->keys) != VF_OK) {
        VF_TRY(vf_txn_error(r->txn));
        return vf_vault_damaged(r->v, ref, "its keys do not open", r->why);
    }
    if (r->what->new_epoch)
        VF_TRY(renew_record(r));
    size_t len = vf_record_keys_seal(&r->what->to->wrap, &r->v->id, r->keys, out);
    vf_txn_put(r->txn, VF_VT_RECORD, ref->c, VF_REF_LEN, out, len);
    return vf_txn_error(r->txn);
}

static enum vf_err rewrap_all(struct rewrapping *r)
{
    VF_CLEANUP(refs_done) struct refs refs = {0};

    vf_txn_foreach(r->txn, VF_VT_RECORD, "", 0, each_ref, &refs);
    VF_TRY(vf_txn_error(r->txn));
    if (refs.nomem)
        return vf_fail(r->why, VF_E_NOMEM, "%s: out of memory", r->v->path);
    if (refs.bad)
        return vf_vault_damaged(r->v, NULL, "a key in its table record is no ref", r->why);
    if (r->what->new_epoch)
        vf_txn_clear(r->txn, VF_VT_INDEX);
    for (size_t i = 0; i < refs.n; i++)
        VF_TRY(rewrap_record(r, &refs.refs[i]));
    return VF_OK;
}

enum vf_err vf_rewrap_records(struct vf_vault *v, struct vf_txn *txn, const struct vf_rewrap *what, struct vf_why *why)
{
    VF_SECRET struct vf_record_keys *keys = vf_secret_new(sizeof(*keys));
    VF_SECRET struct vf_head_row *head = vf_secret_new(sizeof(*head));
    struct rewrapping r = {.v = v, .txn = txn, .what = what, .keys = keys, .head = head, .why = why};

    if (keys == NULL || head == NULL)
        return vf_fail(why, VF_E_LOCKED_MEMORY, "%s: no room in the locked memory", v->path);
    vf_buf_init(&r.warrant_no, VF_VALUE_ROW_MAX);
    enum vf_err err = rewrap_all(&r);
    vf_buf_done(&r.warrant_no);
    return err;
}
