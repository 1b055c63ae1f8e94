/* SPDX-License-Identifier: MIT */
/*
 * Values that no grant needs any more go: at once when the grant was revoked, 14 days after its end otherwise - by H, the time that only moves
 * when it is sure - so that a renewal on Monday of what ended on Friday sends nothing again.
 */
#include "station_internal.h"

#include <stdlib.h>
#include <string.h>

struct keep { /* a grant that still needs its values */
    void *bytes;
    struct vf_grant_file *file;
    uint32_t row; /* of the record that was looked up last: values come in the order of refs, as the rows do */
};
struct sweep {
    struct vf_station *st;
    struct vf_txn *txn;
    int64_t h;
    struct keep *keep;
    size_t nkeep;
    struct vf_grant_id *gone; /* rows of grants to delete */
    size_t ngone;
    uint64_t dropped;
    enum vf_err err;
};

static void sweep_done(struct sweep *s)
{
    for (size_t i = 0; i < s->nkeep; i++) {
        free(s->keep[i].bytes);
        free(s->keep[i].file);
    }
    free(s->keep);
    free(s->gone);
}

static bool add_gone(struct sweep *s, const struct vf_grant_id *id)
{
    struct vf_grant_id *grown = realloc(s->gone, (s->ngone + 1) * sizeof(*grown));
    if (!grown)
        return false;
    s->gone = grown;
    s->gone[s->ngone++] = *id;
    return true;
}

static bool add_keep(struct sweep *s, void *bytes, struct vf_grant_file *file)
{
    struct keep *grown = realloc(s->keep, (s->nkeep + 1) * sizeof(*grown));
    if (!grown)
        return false;
    s->keep = grown;
    s->keep[s->nkeep++] = (struct keep){.bytes = bytes, .file = file};
    return true;
}

static bool sort_grant(struct vf_cursor *cur, struct vf_slice key, struct vf_slice val, void *user)
{
    struct sweep *s = user;
    struct vf_grant_id id;
    (void)cur;
    if (!vf_grant_id_parse((const char *)key.data, key.len, &id))
        return true;
    uint8_t *bytes = vf_station_copy(val);
    struct vf_grant_file *file = calloc(1, sizeof(*file));
    bool good = bytes && file;
    if (good) {
        bool parsed =
            val.len > VF_GRANT_ROW_PREFIX && vf_grant_file_parse(bytes + VF_GRANT_ROW_PREFIX, val.len - VF_GRANT_ROW_PREFIX,
                                                                 "a stored grant", file, NULL) == VF_OK;
        /* One that cannot be read says nothing about what it needs: nothing is dropped while it is there. */
        if (!parsed) {
            s->err = VF_E_DAMAGED;
            good = false;
        } else if (s->h >= file->grant.until_us + VF_STATION_KEEP_US) {
            good = add_gone(s, &id);
            free(bytes);
            free(file);
            return good || (s->err = VF_E_NOMEM, false);
        } else if (vf_station_is_revoked(s->st, s->txn, &id)) {
            free(bytes);
            free(file);
            return true;
        } else {
            good = add_keep(s, bytes, file);
        }
    }
    if (!good) {
        free(bytes);
        free(file);
        if (!s->err)
            s->err = VF_E_NOMEM;
    }
    return good;
}

/* The record's row: that of the last value or the next one, else it is searched for. */
static bool find_row(struct keep *k, const struct vf_ref *ref)
{
    const struct vf_manifest *m = &k->file->manifest;
    for (uint32_t row = k->row; row < m->nrecords && row - k->row < 2; row++) {
        struct vf_ref at;
        vf_manifest_ref(m, row, &at);
        if (memcmp(at.c, ref->c, sizeof(at.c)) == 0) {
            k->row = row;
            return true;
        }
    }
    return vf_manifest_find(m, ref, &k->row);
}

static bool needed(const struct sweep *s, struct vf_slice key)
{
    struct vf_ref ref;
    if (key.len != VF_VALUE_KEY_LEN)
        return true;
    memcpy(ref.c, key.data, VF_REF_LEN);
    uint8_t field = key.data[VF_REF_LEN];
    uint32_t generation = vf_get_be32(key.data + VF_REF_LEN + 1);
    for (size_t i = 0; i < s->nkeep; i++) {
        const struct vf_manifest *m = &s->keep[i].file->manifest;
        struct vf_manifest_item item;
        int column = vf_manifest_column(m, field);
        if (column < 0 || !find_row(&s->keep[i], &ref))
            continue;
        vf_manifest_item(m, s->keep[i].row, (unsigned)column, &item);
        if (item.generation == generation && memcmp(item.hash.b, key.data + VF_REF_LEN + 5, 8) == 0)
            return true;
    }
    return false;
}

static bool drop_value(struct vf_cursor *cur, struct vf_slice key, struct vf_slice val, void *user)
{
    struct sweep *s = user;
    (void)val;
    if (!needed(s, key)) {
        vf_txn_del_current(cur);
        s->dropped++;
    }
    return true;
}

static enum vf_err drop(struct vf_txn *txn, void *user, struct vf_why *why)
{
    struct sweep *s = user;
    (void)why;
    s->dropped = 0;
    vf_txn_foreach(txn, VF_ST_VALUE, "", 0, drop_value, s);
    for (size_t i = 0; i < s->ngone; i++)
        vf_txn_del(txn, VF_ST_GRANT, &s->gone[i], sizeof(s->gone[i]));
    return VF_OK;
}

static bool any_unneeded(struct vf_cursor *cur, struct vf_slice key, struct vf_slice val, void *user)
{
    struct sweep *s = user;
    (void)cur;
    (void)val;
    s->dropped += !needed(s, key);
    return s->dropped == 0;
}

enum vf_err vf_station_sweep_locked(struct vf_station *st, uint64_t *ret_dropped, struct vf_why *why)
{
    VF_CLEANUP(sweep_done) struct sweep s = {.st = st, .h = st->mode == VF_STATION_MOUNT ? vf_station_highest(st) : 0};
    VF_TXN txn = NULL;

    VF_TRY(vf_txn_read(st->store, &txn, why));
    s.txn = txn;
    vf_txn_foreach(txn, VF_ST_GRANT, "", 0, sort_grant, &s);
    if (s.err)
        return vf_fail(why, s.err, "%s: a stored grant cannot be read; nothing was dropped", st->path);
    vf_txn_foreach(txn, VF_ST_VALUE, "", 0, any_unneeded, &s);
    VF_TRY(vf_txn_check(txn, why));
    vf_txn_reset(txn);
    if (s.dropped || s.ngone)
        VF_TRY(vf_store_update(st->store, drop, &s, why));
    if (s.dropped) {
        const struct vf_entry e = {.event = VF_EVENT_ERASE,
                                   .part = -1,
                                   .object = "values that no grant needs",
                                   .has_count = true,
                                   .count = s.dropped,
                                   .result = "ok"};
        VF_TRY(vf_log_commit(st->log, &e, why));
    }
    *ret_dropped = s.dropped;
    return VF_OK;
}

enum vf_err vf_station_sweep(struct vf_station *st, uint64_t *ret_dropped, struct vf_why *why)
{
    pthread_mutex_lock(&st->receive_lock);
    enum vf_err err = vf_station_sweep_locked(st, ret_dropped, why);
    pthread_mutex_unlock(&st->receive_lock);
    return err;
}
