/* SPDX-License-Identifier: MIT */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

static const char *const reasons[] = {
    [VF_ERASE_LEAVER] = "leaver",
    [VF_ERASE_DUPLICATE] = "duplicate",
    [VF_ERASE_COURT] = "court",
    [VF_ERASE_OTHER] = "other",
};

struct erasure {
    struct vf_vault *v;
    struct vf_ref *refs; /* sorted, distinct */
    size_t n;
    struct vf_vault_keys *next; /* in the arena: with the new W */
    struct vf_why *why;
};

static int cmp_refs(const void *a, const void *b)
{
    return vf_ref_cmp(a, b);
}

static bool is_erased(const struct erasure *e, const void *ref)
{
    return bsearch(ref, e->refs, e->n, sizeof(e->refs[0]), cmp_refs) != NULL;
}

static enum vf_err sort_refs(struct erasure *e, const struct vf_ref *refs, size_t n, struct vf_why *why)
{
    e->refs = calloc(n > 0 ? n : 1, sizeof(*e->refs));
    if (e->refs == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", e->v->path);
    if (n > 0) {
        memcpy(e->refs, refs, n * sizeof(*refs));
        qsort(e->refs, n, sizeof(*e->refs), cmp_refs);
    }
    for (size_t i = 0; i < n; i++)
        if (e->n == 0 || vf_ref_cmp(&e->refs[e->n - 1], &e->refs[i]) != 0)
            e->refs[e->n++] = e->refs[i];
    return VF_OK;
}

/* ------------------------------------------------------------------------------------------------ what is there before it goes */

struct live {
    const struct erasure *e;
    int64_t now_us;
    struct vf_txn *txn;
    struct vf_grant_id *ids;
    size_t n;
    enum vf_err err;
    struct vf_why *why;
};

static enum vf_err names_erased(struct live *l, const struct vf_hash *manifest, bool *ret)
{
    struct vf_manifest m;
    struct vf_slice bytes;
    uint32_t row = 0;

    *ret = false;
    if (!vf_txn_get(l->txn, VF_VT_MANIFEST, manifest->b, VF_HASH_LEN, &bytes))
        return vf_vault_damaged(l->e->v, NULL, "the manifest of a live grant is missing", l->why);
    VF_TRY(vf_manifest_parse(bytes.data, bytes.len, l->e->v->path, &m, l->why));
    for (size_t i = 0; i < l->e->n && !*ret; i++)
        *ret = vf_manifest_find(&m, &l->e->refs[i], &row);
    return VF_OK;
}

static bool each_grant(struct vf_cursor *cur, struct vf_slice key, struct vf_slice val, void *user)
{
    struct live *l = user;
    struct vf_grant_row row;
    bool hit = false;

    (void)cur;
    l->err = vf_grant_row_parse(val.data, val.len, &row, l->why);
    if (l->err == VF_OK && vf_grant_row_live(&row, l->now_us))
        l->err = names_erased(l, &row.manifest, &hit);
    if (l->err != VF_OK || !hit)
        return l->err == VF_OK;
    struct vf_grant_id *more = reallocarray(l->ids, l->n + 1, sizeof(*more));
    if (more != NULL)
        l->ids = more;
    if (more == NULL || !vf_grant_id_parse((const char *)key.data, key.len, &l->ids[l->n])) {
        l->err = vf_fail(l->why, more == NULL ? VF_E_NOMEM : VF_E_DAMAGED, "%s: cannot list the live grants", l->e->v->path);
        return false;
    }
    l->n++;
    return true;
}

/* All refs are there; and the live grants that name them. */
static enum vf_err look(const struct erasure *e, struct live *l, struct vf_why *why)
{
    VF_TXN txn = NULL;
    struct vf_slice row;

    VF_TRY(vf_txn_read(e->v->store, &txn, why));
    for (size_t i = 0; i < e->n; i++)
        if (!vf_txn_get(txn, VF_VT_RECORD, e->refs[i].c, VF_REF_LEN, &row)) {
            VF_TRY(vf_vault_txn_check(e->v, txn, why));
            return vf_fail(why, VF_E_NOT_FOUND, "%s: there is no record %.8s; nothing was erased", e->v->path, e->refs[i].c);
        }
    l->txn = txn;
    vf_txn_foreach(txn, VF_VT_GRANT, "", 0, each_grant, l);
    VF_TRY(l->err);
    return vf_vault_txn_check(e->v, txn, why);
}

static enum vf_err log_intent(const struct erasure *e, enum vf_erase_reason reason, struct vf_why *why)
{
    struct vf_entry entry = vf_vault_entry(e->v, VF_EVENT_ERASE, reasons[reason]);

    for (size_t at = 0; at < e->n; at += entry.nrefs) {
        entry.refs = e->refs + at;
        entry.nrefs = e->n - at < VF_ENTRY_REFS_MAX ? e->n - at : VF_ENTRY_REFS_MAX;
        VF_TRY(vf_vault_log(e->v, &entry, why));
    }
    return VF_OK;
}

/* ------------------------------------------------------------------------------------------------------------ the transaction */

static bool each_doomed(struct vf_cursor *cur, struct vf_slice key, struct vf_slice val, void *user)
{
    (void)key;
    (void)val;
    (void)user;
    vf_txn_del_current(cur);
    return true;
}

/* By ref, not by number: a record whose values do not open any more can be erased too. */
static bool each_index(struct vf_cursor *cur, struct vf_slice key, struct vf_slice val, void *user)
{
    (void)key;
    if (val.len == VF_REF_LEN && is_erased(user, val.data))
        vf_txn_del_current(cur);
    return true;
}

static enum vf_err erase_body(struct vf_txn *txn, void *user, struct vf_why *why)
{
    const struct erasure *e = user;
    struct vf_rewrap rewrap = {.from = e->v->keys, .to = e->next};
    uint64_t changes = 0;

    vf_txn_foreach(txn, VF_VT_INDEX, "", 0, each_index, user);
    for (size_t i = 0; i < e->n; i++) {
        vf_txn_foreach(txn, VF_VT_VALUE, e->refs[i].c, VF_REF_LEN, each_doomed, NULL);
        (void)vf_txn_del(txn, VF_VT_HEAD, e->refs[i].c, VF_REF_LEN);
        (void)vf_txn_del(txn, VF_VT_RECORD, e->refs[i].c, VF_REF_LEN);
    }
    VF_TRY(vf_rewrap_records(e->v, txn, &rewrap, why));
    if (!vf_meta_u64(txn, VF_META_W_CHANGES, &changes))
        changes = 0;
    vf_meta_put_u64(txn, VF_META_W_CHANGES, changes + 1);
    vf_meta_put_u64(txn, VF_META_W_SEQ, e->next->w_seq);
    return VF_OK;
}

/* Steps 2 to 4 of vault.h. */
static enum vf_err run(struct erasure *e, struct vf_why *why)
{
    struct vf_vault *v = e->v;

    VF_TRY(vf_w_settle(v, why));
    *e->next = *v->keys;
    VF_TRY(vf_w_next(v->w_path, v->keys->w_seq, &e->next->w, &e->next->w_seq, why));
    vf_keys_derive(e->next);
    enum vf_err err = vf_store_update(v->store, erase_body, e, why);
    if (err != VF_OK) {
        /* As a rule the new W was not used and goes. If this fails too, the next one who opens the vault for writing does it. */
        enum vf_err ignored = vf_w_settle(v, NULL);
        (void)ignored;
        return err;
    }
    *v->keys = *e->next;
    err = vf_w_wipe_other(v->w_path, v->keys->w_seq, why);
    return vf_fail_prefix(why, err, "the records are erased, but the old secret could not be wiped; the next change will");
}

enum vf_err vf_record_erase(struct vf_vault *v, const struct vf_ref *refs, size_t n, enum vf_erase_reason reason,
                            struct vf_grant_id **ret_live, size_t *ret_nlive, struct vf_why *why)
{
    VF_SECRET struct vf_vault_keys *next = vf_secret_new(sizeof(*next));
    struct erasure e = {.v = v, .next = next, .why = why};
    struct live live = {.e = &e, .now_us = vf_clock_wall_us(), .why = why};

    VF_TRY(vf_vault_need(v, true, why));
    if (n == 0 || reason > VF_ERASE_OTHER)
        return vf_fail(why, VF_E_USAGE, "no record to erase");
    if (next == NULL)
        return vf_fail(why, VF_E_LOCKED_MEMORY, "%s: no room in the locked memory", v->path);
    enum vf_err err = sort_refs(&e, refs, n, why);
    if (err == VF_OK)
        err = look(&e, &live, why);
    if (err == VF_OK)
        err = log_intent(&e, reason, why);
    if (err == VF_OK)
        err = run(&e, why);
    if (err == VF_OK)
        err = vf_sweep(v, true, why);
    free(e.refs);
    if (err == VF_OK && ret_live != NULL) {
        *ret_live = live.ids;
        *ret_nlive = live.n;
    } else {
        free(live.ids);
    }
    return err;
}
