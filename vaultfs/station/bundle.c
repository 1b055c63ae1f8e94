/* SPDX-License-Identifier: MIT */
/*
 * A bundle arrives whole or not at all: its values are written under a batch number in transactions of bounded size, and count only once
 * the batch is committed by the last one. What a crash leaves of an uncommitted batch is swept by the next bundle.
 */
#include "bundle_write.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The grants that say which values are wanted, views into one read transaction's rows copied to memory. */
struct wanted {
    struct vf_grant_file *files;
    uint8_t **bytes;
    size_t n;
};

struct wanted_load {
    struct vf_station *st;
    struct vf_txn *txn;
    struct wanted *w;
    enum vf_err err;
};

static bool load_grant(struct vf_cursor *cur, struct vf_slice key, struct vf_slice val, void *user)
{
    struct wanted_load *l = user;
    struct vf_grant_id id;
    (void)cur;
    if (!vf_grant_id_parse((const char *)key.data, key.len, &id) || val.len <= VF_GRANT_ROW_PREFIX ||
        vf_station_is_revoked(l->st, l->txn, &id))
        return true;
    struct vf_grant_file *files = realloc(l->w->files, (l->w->n + 1) * sizeof(*files));
    if (files)
        l->w->files = files;
    uint8_t **bytes = realloc(l->w->bytes, (l->w->n + 1) * sizeof(uint8_t *));
    if (bytes)
        l->w->bytes = bytes;
    uint8_t *copy = malloc(val.len);
    if (!files || !bytes || !copy) {
        free(copy);
        l->err = VF_E_NOMEM;
        return false;
    }
    memcpy(copy, val.data, val.len);
    struct vf_grant_file *file = &files[l->w->n];
    if (vf_grant_file_parse(copy + VF_GRANT_ROW_PREFIX, val.len - VF_GRANT_ROW_PREFIX, "a stored grant", file, NULL) ||
        vf_grant_verify(file, &l->st->policy, NULL)) {
        free(copy); /* a damaged grant wants nothing */
        return true;
    }
    bytes[l->w->n++] = copy;
    return true;
}

static void wanted_done(struct wanted *w)
{
    for (size_t i = 0; i < w->n; i++)
        free(w->bytes[i]);
    free(w->bytes);
    free(w->files);
}

static enum vf_err wanted_load(struct vf_station *st, struct wanted *ret, struct vf_why *why)
{
    VF_TXN txn = NULL;
    VF_TRY(vf_txn_read(st->store, &txn, why));
    struct wanted_load l = {.st = st, .txn = txn, .w = ret};
    vf_txn_foreach(txn, VF_ST_GRANT, "", 0, load_grant, &l);
    if (l.err)
        return vf_fail(why, l.err, "%s: out of memory", st->path);
    return vf_txn_check(txn, why);
}

/* Does a grant name this value? *ret_hash: what it must hash to (of the first grant whose hash fits, else of any). */
static bool is_wanted(const struct wanted *w, const struct vf_bundle_value *v, const struct vf_hash *hash, bool *ret_named)
{
    *ret_named = false;
    for (size_t i = 0; i < w->n; i++) {
        const struct vf_manifest *m = &w->files[i].manifest;
        struct vf_manifest_item item;
        uint32_t row;
        int column = vf_manifest_column(m, v->field);
        if (column < 0 || !vf_manifest_find(m, &v->ref, &row))
            continue;
        vf_manifest_item(m, row, (unsigned)column, &item);
        if (item.generation != v->generation)
            continue;
        *ret_named = true;
        if (memcmp(&item.hash, hash, sizeof(*hash)) == 0)
            return true;
    }
    return false;
}

/* --------------------------------------------------------------------------------------------------------------- taking */

/* One more than any batch ever used. Values of uncommitted batches may carry their number, so a number is never taken twice: it is
 * remembered before it is used. */
static enum vf_err take_number(struct vf_txn *txn, void *user, struct vf_why *why)
{
    uint64_t *batch = user;
    struct vf_slice val;
    uint8_t next[8];
    (void)why;
    uint64_t last = vf_txn_get(txn, VF_ST_META, "batch", 5, &val) && val.len == 8 ? vf_get_be64(val.data) : 0;
    *batch = last + 1;
    vf_put_be64(next, *batch);
    vf_txn_put(txn, VF_ST_META, "batch", 5, next, sizeof(next));
    return VF_OK;
}

static bool is_here(struct vf_station *st, struct vf_txn *txn, const uint8_t key[VF_VALUE_KEY_LEN],
                    const struct vf_hash *hash)
{
    struct vf_slice val;
    struct vf_hash stored;
    if (!vf_txn_get(txn, VF_ST_VALUE, key, VF_VALUE_KEY_LEN, &val) || val.len <= VF_VALUE_ROW_PREFIX ||
        !vf_station_batch_committed(st, vf_get_be64(val.data)))
        return false;
    vf_sha256(val.data + VF_VALUE_ROW_PREFIX, val.len - VF_VALUE_ROW_PREFIX, &stored);
    return memcmp(&stored, hash, sizeof(stored)) == 0; /* a damaged one is written anew */
}

struct taking {
    struct vf_station *st;
    const struct wanted *wanted;
    struct vf_txn *txn;
    struct vf_bundle_writer writer;
    struct vf_received *told;
};

static enum vf_err take_value(struct taking *t, const struct vf_bundle_value *v, const uint8_t *data, struct vf_why *why)
{
    struct vf_hash hash;
    uint8_t key[VF_VALUE_KEY_LEN];
    bool named;

    vf_sha256(data, v->len, &hash);
    if (!is_wanted(t->wanted, v, &hash, &named)) {
        if (named)
            return vf_fail(why, VF_E_FORGED, "%s: %.8s: its %s is not what the force signed", t->told->name, v->ref.c,
                           vf_field_info(v->field)->name);
        t->told->not_needed++;
        return VF_OK;
    }
    vf_station_value_key(&v->ref, v->field, v->generation, &hash, key);
    VF_TRY(vf_txn_renew(t->txn, why));
    bool here = is_here(t->st, t->txn, key, &hash);
    vf_txn_reset(t->txn);
    if (here)
        return VF_OK;
    t->told->values++;
    t->told->bytes += v->len;
    return vf_bundle_writer_put(&t->writer, key, data, v->len, why);
}

static enum vf_err take_all(struct taking *t, struct vf_bundle_reader *reader,
                            void (*progress)(void *user, const char *name, uint64_t done, uint64_t total), void *user,
                            struct vf_why *why)
{
    struct vf_bundle_value v;
    const uint8_t *data;
    uint64_t done = 0, total = vf_bundle_bytes(reader);
    enum vf_err err;

    while ((err = vf_bundle_next(reader, &v, &data, why)) == VF_OK) {
        if (atomic_load(&t->st->ending))
            return vf_fail(why, VF_E_BUSY, "%s: the mount ends; receive it again", t->told->name);
        VF_TRY(take_value(t, &v, data, why));
        done += v.len;
        if (progress)
            progress(user, t->told->name, done, total);
    }
    if (err != VF_E_NOT_FOUND)
        return err;
    if (t->told->values == 0)
        return VF_OK;
    /* The entry says that they came: not before all but the last of them are in the database. */
    VF_TRY(vf_bundle_writer_settle(&t->writer, why));
    int64_t now_us = vf_clock_wall_us();
    struct vf_entry e = {.event = VF_EVENT_RECEIVE,
                         .part = -1,
                         .object = "bundle",
                         .has_count = true,
                         .count = t->told->values,
                         .has_bytes = true,
                         .bytes = t->told->bytes,
                         .result = "ok"};
    VF_TRY(vf_log_commit(t->st->log, &e, why));
    VF_TRY(vf_bundle_writer_finish(&t->writer, now_us, why));
    /* The next bundle of the same delivery must see that these are here, above all if it is cut and swept. */
    return vf_station_reload_batches(t->st, why);
}

/* Values whose batch never was committed: of a delivery that was cut short. */
static bool drop_uncommitted(struct vf_cursor *cur, struct vf_slice key, struct vf_slice val, void *user)
{
    (void)key;
    if (val.len < VF_VALUE_ROW_PREFIX || !vf_station_batch_committed(user, vf_get_be64(val.data)))
        vf_txn_del_current(cur);
    return true;
}

static enum vf_err sweep_uncommitted(struct vf_txn *txn, void *user, struct vf_why *why)
{
    (void)why;
    vf_txn_foreach(txn, VF_ST_VALUE, "", 0, drop_uncommitted, user);
    vf_txn_del(txn, VF_ST_META, "receiving", 9);
    return VF_OK;
}

static enum vf_err mark_receiving(struct vf_txn *txn, void *user, struct vf_why *why)
{
    (void)user;
    (void)why;
    vf_txn_put(txn, VF_ST_META, "receiving", 9, "1", 1);
    return VF_OK;
}

static enum vf_err clear_receiving(struct vf_txn *txn, void *user, struct vf_why *why)
{
    (void)user;
    (void)why;
    vf_txn_del(txn, VF_ST_META, "receiving", 9);
    return VF_OK;
}

/* A delivery was cut before: what is left of it goes before the next one begins. */
static enum vf_err begin(struct vf_station *st, uint64_t *ret_batch, struct vf_why *why)
{
    VF_TXN txn = NULL;
    struct vf_slice unused;
    VF_TRY(vf_txn_read(st->store, &txn, why));
    bool cut = vf_txn_get(txn, VF_ST_META, "receiving", 9, &unused);
    vf_txn_reset(txn);
    if (cut)
        VF_TRY(vf_store_update(st->store, sweep_uncommitted, st, why));
    VF_TRY(vf_store_update(st->store, mark_receiving, NULL, why));
    return vf_store_update(st->store, take_number, ret_batch, why);
}

enum vf_err vf_station_take_bundle(struct vf_station *st, int fd, const char *name, struct vf_received *told,
                                   void (*progress)(void *user, const char *name, uint64_t done, uint64_t total), void *user,
                                   struct vf_why *why)
{
    VF_CLEANUP(wanted_done) struct wanted wanted = {0};
    VF_CLEANUP(vf_bundle_cleanup) struct vf_bundle_reader *reader = NULL;
    VF_TXN txn = NULL;

    if (lseek(fd, 0, SEEK_SET) < 0)
        return vf_fail_sys(why, "%s", name);
    VF_TRY(vf_bundle_open(fd, name, &reader, why));
    if (memcmp(vf_bundle_vault(reader), &st->enrol.vault, sizeof(st->enrol.vault)) != 0)
        return vf_fail(why, VF_E_REFUSED, "%s: a delivery of another force", name);
    VF_TRY(wanted_load(st, &wanted, why));
    struct taking t = {.st = st, .wanted = &wanted, .told = told};
    uint64_t batch;
    VF_TRY(begin(st, &batch, why));
    VF_TRY(vf_txn_read(st->store, &txn, why));
    vf_txn_reset(txn);
    t.txn = txn;
    vf_bundle_writer_start(&t.writer, st, batch, vf_bundle_bytes(reader), vf_bundle_count(reader));
    enum vf_err err = take_all(&t, reader, progress, user, why);
    vf_bundle_writer_done(&t.writer);
    vf_txn_end(txn);
    txn = NULL;
    if (err) /* `receiving` stays: the next delivery sweeps */
        return err;
    VF_TRY(vf_store_update(st->store, clear_receiving, NULL, why));
    told->already = told->values == 0;
    const char *remark = "";
    if (vf_bundle_count(reader) == 0)
        remark =
            ": the force counts all of it as sent before; if it is not here (station status), ask for `bundle export --all`";
    else if (told->not_needed == vf_bundle_count(reader))
        remark = "; no live grant here names any of them: receive the grant with it";
    else if (told->already)
        remark = " (all here already)";
    (void)snprintf(told->text, sizeof(told->text), "delivery: %llu value%s (%.1f MB) taken%s",
                   (unsigned long long)told->values, told->values == 1 ? "" : "s", (double)told->bytes / 1e6, remark);
    return VF_OK;
}

/* ------------------------------------------------------------------------------------------------------------- complete */

struct marking {
    struct vf_station *st;
    struct vf_txn *txn;
    struct vf_grant_id ids[256];
    size_t n;
};

static bool find_complete(struct vf_cursor *cur, struct vf_slice key, struct vf_slice val, void *user)
{
    struct marking *m = user;
    uint64_t named;
    (void)cur;
    if (val.len <= VF_GRANT_ROW_PREFIX || val.data[0] || m->n == sizeof(m->ids) / sizeof(m->ids[0]))
        return true;
    struct vf_grant_file *file = calloc(1, sizeof(*file));
    if (file && key.len == sizeof(m->ids[0]) &&
        vf_grant_file_parse(val.data + VF_GRANT_ROW_PREFIX, val.len - VF_GRANT_ROW_PREFIX, "a stored grant", file, NULL) ==
            VF_OK &&
        vf_station_present(m->st, m->txn, file, NULL, &named) == named)
        memcpy(&m->ids[m->n++], key.data, key.len);
    free(file);
    return true;
}

static enum vf_err set_complete(struct vf_txn *txn, void *user, struct vf_why *why)
{
    const struct marking *m = user;
    (void)why;
    for (size_t i = 0; i < m->n; i++) {
        struct vf_slice val;
        if (!vf_txn_get(txn, VF_ST_GRANT, &m->ids[i], sizeof(m->ids[i]), &val))
            continue;
        VF_FREE uint8_t *copy = malloc(val.len);
        if (!copy)
            return VF_E_NOMEM;
        memcpy(copy, val.data, val.len);
        copy[0] = 1;
        vf_txn_put(txn, VF_ST_GRANT, &m->ids[i], sizeof(m->ids[i]), copy, val.len);
    }
    return VF_OK;
}

enum vf_err vf_station_mark_complete(struct vf_station *st, struct vf_why *why)
{
    VF_TXN txn = NULL;
    VF_FREE struct marking *m = calloc(1, sizeof(*m));
    if (!m)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", st->path);
    /* The batch that was just committed must count. */
    VF_TRY(vf_station_reload(st, why));
    VF_TRY(vf_txn_read(st->store, &txn, why));
    m->st = st;
    m->txn = txn;
    vf_txn_foreach(txn, VF_ST_GRANT, "", 0, find_complete, m);
    VF_TRY(vf_txn_check(txn, why));
    vf_txn_reset(txn);
    return m->n ? vf_store_update(st->store, set_complete, m, why) : VF_OK;
}
