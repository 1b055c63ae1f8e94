/* SPDX-License-Identifier: MIT */
/*
 * Receipts: the force, or its desk, has this station's log up to an entry. They come as files (station receive), and with every answer of the
 * desk. The desk's newest is kept apart: the station shows it with its next request, so that a desk which was set back to an older copy
 * of its store learns that from its own word.
 */
#include "station_internal.h"

#include <stdlib.h>
#include <string.h>

#define META_RECEIPT "receipt"      /* the newest of anybody: u64 entries, i64 time, note */
#define META_DESK    "desk-receipt" /* of the desk: likewise */
#define META_PREFIX  16

/* The key of the desk alone, or of the admins too. */
static enum vf_err verify(struct vf_station *st, const void *data, size_t len, bool desk_only, const char *name,
                          struct vf_checkpoint *ret, int64_t *ret_time_us, struct vf_why *why)
{
    VF_FREE struct vf_note *note = calloc(1, sizeof(*note)), *origin_note = calloc(1, sizeof(*origin_note));
    struct vf_note_key keys[VF_ADMINS_MAX + 1];
    struct vf_origin origin;
    size_t n = 0;

    if (!note || !origin_note)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", name);
    VF_TRY(vf_note_parse(data, len, note, why));
    pthread_rwlock_rdlock(&st->jobs_lock);
    for (size_t i = 0; !desk_only && i < st->policy.policy.nadmins; i++)
        vf_note_cosigner_key_of(&st->policy.policy.admins[i], &keys[n++]);
    if (st->policy.policy.has_desk)
        vf_note_cosigner_key_of(&st->policy.policy.desk, &keys[n++]);
    pthread_rwlock_unlock(&st->jobs_lock);
    VF_TRY(vf_receipt_verify(note, keys, n, ret, ret_time_us, why));
    VF_TRY(vf_note_parse(st->enrol.origin, st->enrol.origin_len, origin_note, why));
    VF_TRY(vf_origin_parse(origin_note, &origin, why));
    if (strcmp(origin.line, ret->origin) != 0)
        return vf_fail(why, VF_E_REFUSED, "%s: a receipt for another station's log", name);
    return VF_OK;
}

static enum vf_err other_entries(const char *name, struct vf_why *why)
{
    return vf_fail(
        why, VF_E_FORGED,
        "%s: a receipt for other entries than this station has: its log was restored from a copy, or there are two "
        "stations that write under one name. Tell the force.",
        name);
}

struct keeping {
    const struct vf_checkpoint *cp;
    int64_t time_us;
    const void *data;
    size_t len;
    bool desk;
};

static enum vf_err put_receipt(struct vf_txn *txn, const char *key, const struct keeping *k)
{
    uint8_t *at = vf_txn_reserve(txn, VF_ST_META, key, strlen(key), META_PREFIX + k->len);
    if (!at)
        return vf_txn_error(txn);
    vf_put_be64(at, k->cp->size);
    vf_put_be64(at + 8, (uint64_t)k->time_us);
    memcpy(at + META_PREFIX, k->data, k->len);
    return VF_OK;
}

static enum vf_err keep(struct vf_txn *txn, void *user, struct vf_why *why)
{
    const struct keeping *k = user;
    struct vf_slice old;
    (void)why;
    bool newest = !vf_txn_get(txn, VF_ST_META, META_RECEIPT, sizeof(META_RECEIPT) - 1, &old) || old.len < META_PREFIX ||
                  vf_get_be64(old.data) <= k->cp->size;
    if (k->desk)
        VF_TRY(put_receipt(txn, META_DESK, k));
    return newest || !k->desk ? put_receipt(txn, META_RECEIPT, k) : VF_OK;
}

enum vf_err vf_station_take_receipt(struct vf_station *st, const void *data, size_t len, struct vf_received *told,
                                    struct vf_why *why)
{
    struct vf_checkpoint cp;
    struct vf_log_state log;
    struct vf_hash root;
    int64_t time_us = 0;

    VF_TRY(verify(st, data, len, false, told->name, &cp, &time_us, why));
    vf_log_state_get(st->log, &log);
    if (cp.size > log.sealed)
        return vf_fail(why, VF_E_FORGED,
                       "%s: a receipt for more log than this station has: the station was restored from an old copy",
                       told->name);
    VF_TRY(vf_log_root_at(st->log, cp.size, &root, why));
    if (!vf_equal(root.b, cp.root.b, sizeof(root.b)))
        return other_entries(told->name, why);
    char until[64];
    vf_time_format_person(time_us, until, sizeof(until));
    struct keeping k = {.cp = &cp, .time_us = time_us, .data = data, .len = len};
    VF_TRY(vf_store_update(st->store, keep, &k, why));
    vf_station_clock_raise(st, time_us - VF_STATION_SKEW_US);
    vf_received_tell(told, "receipt: the force has this station's log up to entry %llu, %s", (unsigned long long)cp.size,
                     until);
    return VF_OK;
}

enum vf_err vf_station_receipt_desk(struct vf_station *st, const void *data, size_t len, const struct vf_checkpoint *sent,
                                    bool store, struct vf_why *why)
{
    static const char name[] = "the desk's answer";
    struct vf_checkpoint cp;
    int64_t time_us = 0;

    VF_TRY(verify(st, data, len, true, name, &cp, &time_us, why));
    if (cp.size < sent->size)
        return vf_fail(why, VF_E_STALE, "%s: a receipt for less log than it was sent", name);
    if (cp.size > sent->size || !vf_equal(cp.root.b, sent->root.b, sizeof(cp.root.b)))
        return other_entries(name, why);
    struct keeping k = {.cp = &cp, .time_us = time_us, .data = data, .len = len, .desk = true};
    return store ? vf_store_update(st->store, keep, &k, why) : VF_OK;
}

enum vf_err vf_station_receipt_get(struct vf_station *st, struct vf_buf *out, uint64_t *ret_size, struct vf_why *why)
{
    VF_TXN txn = NULL;
    struct vf_slice row;
    struct vf_checkpoint cp;
    int64_t time_us;
    *ret_size = 0;
    VF_TRY(vf_txn_read(st->store, &txn, why));
    if (!vf_txn_get(txn, VF_ST_META, META_DESK, sizeof(META_DESK) - 1, &row) || row.len <= META_PREFIX ||
        row.len > META_PREFIX + VF_NOTE_MAX)
        return vf_txn_check(txn, why);
    VF_BUF copy;
    vf_buf_init(&copy, VF_NOTE_MAX);
    vf_buf_put(&copy, row.data + META_PREFIX, row.len - META_PREFIX);
    VF_TRY(vf_buf_check(&copy, "the desk's receipt", why));
    /* Another desk's, since the policy changed, is of no use to this one. */
    if (verify(st, copy.data, copy.len, true, "the stored receipt", &cp, &time_us, NULL))
        return VF_OK;
    vf_buf_put(out, copy.data, copy.len);
    VF_TRY(vf_buf_check(out, "the desk's receipt", why));
    *ret_size = cp.size;
    return VF_OK;
}
