/* SPDX-License-Identifier: MIT */
/* What a station has: for `station status` and `station check`. */
#include "station_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct listing {
    struct vf_station *st;
    struct vf_txn *txn;
    enum vf_err (*each)(void *user, const struct vf_station_grant_item *item, struct vf_why *why);
    void *user;
    struct vf_why *why;
    struct vf_grant_id *renewed; /* ids that a later grant renews */
    size_t nrenewed;
    enum vf_err err;
};

static struct vf_grant_file *parse_row(struct vf_slice val)
{
    struct vf_grant_file *file = calloc(1, sizeof(*file));
    if (file &&
        (val.len <= VF_GRANT_ROW_PREFIX ||
         vf_grant_file_parse(val.data + VF_GRANT_ROW_PREFIX, val.len - VF_GRANT_ROW_PREFIX, "a stored grant", file, NULL))) {
        free(file);
        file = NULL;
    }
    return file;
}

static bool note_renewed(struct vf_cursor *cur, struct vf_slice key, struct vf_slice val, void *user)
{
    struct listing *l = user;
    VF_FREE struct vf_grant_file *file = parse_row(val);
    (void)cur;
    (void)key;
    if (!file || !file->grant.renews)
        return true;
    struct vf_grant_id *grown = realloc(l->renewed, (l->nrenewed + 1) * sizeof(*grown));
    if (!grown) {
        l->err = VF_E_NOMEM;
        return false;
    }
    l->renewed = grown;
    l->renewed[l->nrenewed++] = file->grant.renewed;
    return true;
}

static bool list_one(struct vf_cursor *cur, struct vf_slice key, struct vf_slice val, void *user)
{
    struct listing *l = user;
    VF_FREE struct vf_grant_file *file = parse_row(val);
    struct vf_station_grant_item item = {0};
    (void)cur;
    (void)key;
    if (!file)
        return true; /* a damaged row: vf_station_check names it */
    item.grant = file->grant;
    item.verified = vf_grant_verify(file, &l->st->policy, NULL) == VF_OK;
    item.revoked = vf_station_is_revoked(l->st, l->txn, &item.grant.id);
    for (size_t i = 0; i < l->nrenewed; i++)
        item.superseded = item.superseded || vf_equal(&l->renewed[i], &item.grant.id, sizeof(item.grant.id));
    item.values_present = vf_station_present(l->st, l->txn, file, NULL, &item.values_named);
    l->err = l->each(l->user, &item, l->why);
    return l->err == VF_OK;
}

enum vf_err vf_station_grant_each(struct vf_station *st,
                                  enum vf_err (*each)(void *user, const struct vf_station_grant_item *item,
                                                      struct vf_why *why),
                                  void *user, struct vf_why *why)
{
    struct listing l = {.st = st, .each = each, .user = user, .why = why};
    VF_TXN txn = NULL;
    if (st->mode == VF_STATION_STATUS)
        VF_TRY(vf_station_reload(st, why)); /* which batches count */
    VF_TRY(vf_txn_read(st->store, &txn, why));
    l.txn = txn;
    vf_txn_foreach(txn, VF_ST_GRANT, "", 0, note_renewed, &l);
    if (!l.err)
        vf_txn_foreach(txn, VF_ST_GRANT, "", 0, list_one, &l);
    free(l.renewed);
    return l.err ? l.err : vf_txn_check(txn, why);
}

static bool add_bytes(struct vf_cursor *cur, struct vf_slice key, struct vf_slice val, void *user)
{
    uint64_t *bytes = user;
    (void)cur;
    (void)key;
    *bytes += val.len;
    return true;
}

/* Entries and seals of a log that another process may be writing: from its last checkpoint, without verifying. */
static enum vf_err log_state(struct vf_station *st, struct vf_station_state *ret, struct vf_why *why)
{
    if (st->log) {
        struct vf_log_state log;
        vf_log_state_get(st->log, &log);
        ret->log_size = log.size;
        ret->log_sealed = log.sealed;
        return VF_OK;
    }
    VF_FREE char *dir = vf_path_join(st->path, "log");
    VF_FREE struct vf_verdict *verdict = calloc(1, sizeof(*verdict));
    if (!dir || !verdict)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", st->path);
    const struct vf_verify_options opt = {.log_id = &st->enrol.log_id};
    VF_TRY(vf_log_verify(dir, &opt, verdict, why));
    ret->log_size = verdict->entries;
    ret->log_sealed = verdict->sealed;
    return VF_OK;
}

enum vf_err vf_station_state_get(struct vf_station *st, struct vf_station_state *ret, struct vf_why *why)
{
    VF_TXN txn = NULL;
    struct vf_slice receipt;
    *ret = (struct vf_station_state){0};
    VF_TRY(log_state(st, ret, why));
    VF_TRY(vf_txn_read(st->store, &txn, why));
    ret->values = vf_txn_count(txn, VF_ST_VALUE);
    vf_txn_foreach(txn, VF_ST_VALUE, "", 0, add_bytes, &ret->bytes);
    if (vf_txn_get(txn, VF_ST_META, "receipt", 7, &receipt) && receipt.len >= 16) {
        ret->log_received = vf_get_be64(receipt.data);
        ret->receipt_us = (int64_t)vf_get_be64(receipt.data + 8);
    }
    return vf_txn_check(txn, why);
}

/* --------------------------------------------------------------------------------------------------------------- check */

struct checking {
    struct vf_station *st;
    void (*finding)(void *user, const char *line);
    void *user;
    uint64_t findings;
    struct vf_grant_file **files;
    size_t n;
    bool failed;
};

static void found(struct checking *c, const char *fmt, ...) VF_PRINTF(2, 3);
static void found(struct checking *c, const char *fmt, ...)
{
    char line[600];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(line, sizeof(line), fmt, args);
    va_end(args);
    c->findings++;
    if (c->finding)
        c->finding(c->user, line);
}

static bool check_grant(struct vf_cursor *cur, struct vf_slice key, struct vf_slice val, void *user)
{
    struct checking *c = user;
    struct vf_why why = {0};
    (void)cur;
    struct vf_grant_file *file = parse_row(val);
    if (!file) {
        found(c, "grant %.*s: the stored grant is damaged; receive it again", (int)(key.len < 16 ? key.len : 16),
              (const char *)key.data);
        return true;
    }
    if (vf_grant_verify(file, &c->st->policy, &why)) {
        found(c, "grant %.16s: %s", file->grant.id.c, why.text);
        free(file);
        return true;
    }
    struct vf_grant_file **grown = realloc(c->files, (c->n + 1) * sizeof(struct vf_grant_file *));
    if (!grown) {
        free(file);
        c->failed = true;
        return false;
    }
    c->files = grown;
    c->files[c->n++] = file;
    return true;
}

/* A value that no grant names waits to be swept: no damage. */
static bool check_value(struct vf_cursor *cur, struct vf_slice key, struct vf_slice val, void *user)
{
    struct checking *c = user;
    struct vf_hash hash;
    (void)cur;
    bool good = key.len == VF_VALUE_KEY_LEN && val.len > VF_VALUE_ROW_PREFIX;
    if (good) {
        vf_sha256(val.data + VF_VALUE_ROW_PREFIX, val.len - VF_VALUE_ROW_PREFIX, &hash);
        good = memcmp(hash.b, key.data + VF_REF_LEN + 5, 8) == 0;
    }
    struct vf_ref ref;
    uint32_t row;
    if (good)
        memcpy(ref.c, key.data, sizeof(ref.c));
    for (size_t i = 0; good && i < c->n; i++) {
        const struct vf_manifest *m = &c->files[i]->manifest;
        struct vf_manifest_item item;
        int column = vf_manifest_column(m, key.data[VF_REF_LEN]);
        if (column < 0 || !vf_manifest_find(m, &ref, &row))
            continue;
        vf_manifest_item(m, row, (unsigned)column, &item);
        if (item.generation != vf_get_be32(key.data + VF_REF_LEN + 1) || memcmp(item.hash.b, hash.b, 8) != 0)
            continue;
        good = memcmp(&item.hash, &hash, sizeof(hash)) == 0;
    }
    if (!good)
        found(c, "%.*s: a stored value is damaged; receive the delivery again", VF_REF_LEN,
              key.len >= VF_REF_LEN ? (const char *)key.data : "????????");
    return true;
}

static enum vf_err check_open(struct checking *c, struct vf_why *why)
{
    VF_TXN txn = NULL;
    VF_TRY(vf_txn_read(c->st->store, &txn, why));
    vf_txn_foreach(txn, VF_ST_GRANT, "", 0, check_grant, c);
    vf_txn_foreach(txn, VF_ST_VALUE, "", 0, check_value, c);
    VF_TRY(vf_txn_check(txn, why));
    vf_txn_reset(txn);

    VF_FREE char *dir = vf_path_join(c->st->path, "log");
    VF_FREE struct vf_verdict *verdict = calloc(1, sizeof(*verdict));
    if (!dir || !verdict || c->failed)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", c->st->path);
    const struct vf_verify_options opt = {.log_id = &c->st->enrol.log_id};
    VF_TRY(vf_log_verify(dir, &opt, verdict, why));
    for (size_t i = 0; i < verdict->nfindings; i++)
        found(c, "log: %s", verdict->findings[i]);
    return VF_OK;
}

enum vf_err vf_station_check(const char *path, void (*finding)(void *user, const char *line), void *user,
                             uint64_t *ret_findings, struct vf_why *why)
{
    VF_FREE char *db = vf_path_join(path, "db");
    if (!db)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", path);
    VF_TRY(vf_store_walk(db, vf_station_tables, VF_ST_COUNT, 0, path, why));
    struct checking c = {.finding = finding, .user = user};
    VF_STATION st = NULL;
    VF_TRY(vf_station_open(path, VF_STATION_STATUS, NULL, &st, why));
    c.st = st;
    enum vf_err err = check_open(&c, why);
    for (size_t i = 0; i < c.n; i++)
        free(c.files[i]);
    free(c.files);
    if (!err)
        *ret_findings = c.findings;
    return err;
}
