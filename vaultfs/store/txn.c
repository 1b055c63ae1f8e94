/* SPDX-License-Identifier: MIT */
#include "env.h"

#include <stdlib.h>
#include <string.h>

struct vf_cursor {
    struct vf_txn *txn;
    MDB_cursor *mdb;
    unsigned table;
    bool deleted;
    size_t key_len; /* of the row that was deleted: where to go on */
    uint8_t key[VF_ENV_KEY_MAX];
};

/* ------------------------------------------------------------------------------------------------------ beginning and ending */

static int begin_mdb(struct vf_txn *txn)
{
    unsigned flags = txn->write ? 0 : (unsigned)MDB_RDONLY;

    if (txn->mdb != NULL)
        return mdb_txn_renew(txn->mdb);
    int rc = mdb_txn_begin(txn->env->mdb, NULL, flags, &txn->mdb);
    if (rc != 0)
        txn->mdb = NULL;
    return rc;
}

enum vf_err vf_txn_begin(struct vf_txn *txn, unsigned *ret_maps, struct vf_why *why)
{
    bool cleaned = false;

    for (;;) {
        VF_TRY(vf_gate_enter(txn, ret_maps, why));
        int rc = begin_mdb(txn);
        if (rc == 0) {
            txn->active = true;
            return VF_OK;
        }
        vf_gate_leave(txn);
        if (rc == MDB_MAP_RESIZED) {
            VF_TRY(vf_gate_follow(txn->env, *ret_maps, why));
        } else if (rc == MDB_READERS_FULL && !cleaned) {
            /* Those of killed processes can go. */
            (void)mdb_reader_check(txn->env->mdb, NULL);
            cleaned = true;
        } else {
            return vf_env_fail(why, txn->env->what, "starting a transaction", rc);
        }
    }
}

enum vf_err vf_txn_read(struct vf_store *s, struct vf_txn **ret, struct vf_why *why)
{
    struct vf_env *env = s->env;
    unsigned maps = 0;

    VF_TRY(vf_env_usable(env, why));
    VF_FREE struct vf_txn *txn = calloc(1, sizeof(*txn));
    if (txn == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", env->what);
    txn->env = env;
    VF_TRY(vf_txn_begin(txn, &maps, why));
    vf_env_ref(env);
    *ret = txn;
    txn = NULL;
    return VF_OK;
}

void vf_txn_reset(struct vf_txn *txn)
{
    if (txn == NULL || !txn->active || txn->env->forks != vf_env_forks())
        return;
    mdb_txn_reset(txn->mdb);
    txn->active = false;
    vf_gate_leave(txn);
}

enum vf_err vf_txn_renew(struct vf_txn *txn, struct vf_why *why)
{
    unsigned maps = 0;

    VF_TRY(vf_env_usable(txn->env, why));
    vf_txn_reset(txn);
    txn->err = VF_OK;
    return vf_txn_begin(txn, &maps, why);
}

void vf_txn_end(struct vf_txn *txn)
{
    if (txn == NULL)
        return;
    /* In the child of a fork the reader's slot is the parent's still. */
    if (txn->env->forks == vf_env_forks()) {
        vf_txn_reset(txn);
        mdb_txn_abort(txn->mdb);
        vf_env_unref(txn->env);
    }
    free(txn);
}

void vf_txn_cleanup(struct vf_txn **txn)
{
    vf_txn_end(*txn);
    *txn = NULL;
}

/* ------------------------------------------------------------------------------------------------------------------- errors */

void vf_txn_fail(struct vf_txn *txn, int rc, int table, const char *doing)
{
    char where[VF_ENV_NAME_MAX + 40];

    if (txn->err != VF_OK)
        return;
    if (table >= 0)
        (void)snprintf(where, sizeof(where), "%s table %s", doing, txn->env->tables[table]);
    else
        (void)snprintf(where, sizeof(where), "%s", doing);
    txn->map_full = rc == MDB_MAP_FULL;
    txn->err = vf_env_fail(&txn->why, txn->env->what, where, rc);
}

enum vf_err vf_txn_error(const struct vf_txn *txn)
{
    return txn->err;
}

enum vf_err vf_txn_check(const struct vf_txn *txn, struct vf_why *why)
{
    if (txn->err != VF_OK && why != NULL)
        *why = txn->why;
    return txn->err;
}

static bool misused(struct vf_txn *txn, const char *how)
{
    txn->err = vf_fail(&txn->why, VF_E_USAGE, "%s: %s", txn->env->what, how);
    return false;
}

static bool ready(struct vf_txn *txn, unsigned table)
{
    if (txn->err != VF_OK)
        return false;
    if (!txn->active)
        return misused(txn, "a transaction was used after its reset");
    return table < txn->env->ntables || misused(txn, "a table that was not declared");
}

/* A write moves pages: what a running foreach holds would point anywhere. */
static bool ready_to_write(struct vf_txn *txn, unsigned table)
{
    if (!ready(txn, table))
        return false;
    if (!txn->write)
        return misused(txn, "a write in a transaction for reading");
    return txn->loops == 0 || misused(txn, "a write while rows are being visited");
}

static bool good_key(struct vf_txn *txn, unsigned table, size_t len)
{
    if (len > 0 && len <= VF_ENV_KEY_MAX)
        return true;
    vf_txn_fail(txn, MDB_BAD_VALSIZE, (int)table, "looking into");
    return false;
}

/* LMDB takes a pointer to non-const and does not write through it. */
static MDB_val val_of(const void *data, size_t len)
{
    union {
        const void *in;
        void *out;
    } p = {.in = data};

    return (MDB_val){.mv_size = len, .mv_data = p.out};
}

static struct vf_slice slice_of(const MDB_val *v)
{
    return (struct vf_slice){.data = v->mv_data, .len = v->mv_size};
}

/* -------------------------------------------------------------------------------------------------------------- single rows */

bool vf_txn_get(struct vf_txn *txn, unsigned table, const void *key, size_t key_len, struct vf_slice *ret)
{
    if (!ready(txn, table) || !good_key(txn, table, key_len))
        return false;
    MDB_val k = val_of(key, key_len);
    MDB_val v;
    int rc = mdb_get(txn->mdb, txn->env->dbi[table], &k, &v);
    if (rc == MDB_NOTFOUND)
        return false;
    if (rc != 0) {
        vf_txn_fail(txn, rc, (int)table, "reading");
        return false;
    }
    *ret = slice_of(&v);
    return true;
}

void vf_txn_put(struct vf_txn *txn, unsigned table, const void *key, size_t key_len, const void *val, size_t val_len)
{
    if (!ready_to_write(txn, table) || !good_key(txn, table, key_len))
        return;
    MDB_val k = val_of(key, key_len);
    MDB_val v = val_of(val, val_len);
    int rc = val_len > UINT32_MAX ? MDB_BAD_VALSIZE : mdb_put(txn->mdb, txn->env->dbi[table], &k, &v, 0);
    if (rc != 0)
        vf_txn_fail(txn, rc, (int)table, "writing");
}

uint8_t *vf_txn_reserve(struct vf_txn *txn, unsigned table, const void *key, size_t key_len, size_t val_len)
{
    if (!ready_to_write(txn, table) || !good_key(txn, table, key_len))
        return NULL;
    MDB_val k = val_of(key, key_len);
    MDB_val v = {.mv_size = val_len};
    int rc = val_len > UINT32_MAX ? MDB_BAD_VALSIZE : mdb_put(txn->mdb, txn->env->dbi[table], &k, &v, MDB_RESERVE);
    if (rc != 0) {
        vf_txn_fail(txn, rc, (int)table, "writing");
        return NULL;
    }
    /* It comes from malloc: what the caller leaves unwritten must not carry old memory to the disk. */
    memset(v.mv_data, 0, val_len);
    return v.mv_data;
}

bool vf_txn_del(struct vf_txn *txn, unsigned table, const void *key, size_t key_len)
{
    if (!ready_to_write(txn, table) || !good_key(txn, table, key_len))
        return false;
    MDB_val k = val_of(key, key_len);
    int rc = mdb_del(txn->mdb, txn->env->dbi[table], &k, NULL);
    if (rc != 0 && rc != MDB_NOTFOUND)
        vf_txn_fail(txn, rc, (int)table, "deleting from");
    return rc == 0;
}

void vf_txn_clear(struct vf_txn *txn, unsigned table)
{
    if (!ready_to_write(txn, table))
        return;
    int rc = mdb_drop(txn->mdb, txn->env->dbi[table], 0);
    if (rc != 0)
        vf_txn_fail(txn, rc, (int)table, "emptying");
}

uint64_t vf_txn_count(struct vf_txn *txn, unsigned table)
{
    MDB_stat stat;

    if (!ready(txn, table))
        return 0;
    int rc = mdb_stat(txn->mdb, txn->env->dbi[table], &stat);
    if (rc != 0) {
        vf_txn_fail(txn, rc, (int)table, "reading");
        return 0;
    }
    return stat.ms_entries;
}

/* ---------------------------------------------------------------------------------------------------------------- many rows */

/* First row with a key at or above `key`; any key when it is empty. */
static int seek(MDB_cursor *cur, const void *key, size_t key_len, MDB_val *k, MDB_val *v)
{
    *k = val_of(key, key_len);
    return mdb_cursor_get(cur, k, v, key_len == 0 ? MDB_FIRST : MDB_SET_RANGE);
}

bool vf_txn_seek(struct vf_txn *txn, unsigned table, const void *key, size_t key_len, struct vf_slice *ret_key,
                 struct vf_slice *ret_val)
{
    MDB_cursor *cur = NULL;
    MDB_val k;
    MDB_val v;

    if (!ready(txn, table) || (key_len != 0 && !good_key(txn, table, key_len)))
        return false;
    int rc = mdb_cursor_open(txn->mdb, txn->env->dbi[table], &cur);
    if (rc == 0) {
        rc = seek(cur, key, key_len, &k, &v);
        mdb_cursor_close(cur);
    }
    if (rc != 0 && rc != MDB_NOTFOUND)
        vf_txn_fail(txn, rc, (int)table, "reading");
    if (rc != 0)
        return false;
    *ret_key = slice_of(&k);
    *ret_val = slice_of(&v);
    return true;
}

/* After a deletion the next row is looked up by key: LMDB's own rules for a cursor on a deleted row are many. */
static int step(struct vf_cursor *cur, MDB_val *k, MDB_val *v)
{
    if (cur->deleted)
        return seek(cur->mdb, cur->key, cur->key_len, k, v);
    return mdb_cursor_get(cur->mdb, k, v, MDB_NEXT);
}

void vf_txn_foreach(struct vf_txn *txn, unsigned table, const void *prefix, size_t prefix_len,
                    bool (*each)(struct vf_cursor *cur, struct vf_slice key, struct vf_slice val, void *user), void *user)
{
    struct vf_cursor cur = {.txn = txn, .table = table};
    MDB_val k;
    MDB_val v;

    if (!ready(txn, table) || (prefix_len != 0 && !good_key(txn, table, prefix_len)))
        return;
    int rc = mdb_cursor_open(txn->mdb, txn->env->dbi[table], &cur.mdb);
    if (rc != 0) {
        vf_txn_fail(txn, rc, (int)table, "reading");
        return;
    }
    txn->loops++;
    rc = seek(cur.mdb, prefix, prefix_len, &k, &v);
    while (rc == 0) {
        if (k.mv_size < prefix_len || (prefix_len > 0 && memcmp(k.mv_data, prefix, prefix_len) != 0))
            break;
        cur.deleted = false;
        if (!each(&cur, slice_of(&k), slice_of(&v), user) || txn->err != VF_OK)
            break;
        rc = step(&cur, &k, &v);
    }
    txn->loops--;
    mdb_cursor_close(cur.mdb);
    if (rc != 0 && rc != MDB_NOTFOUND)
        vf_txn_fail(txn, rc, (int)table, "reading");
}

void vf_txn_del_current(struct vf_cursor *cur)
{
    struct vf_txn *txn = cur->txn;
    MDB_val k;
    MDB_val v;

    if (!ready(txn, cur->table) || cur->deleted)
        return;
    if (!txn->write) {
        (void)misused(txn, "a write in a transaction for reading");
        return;
    }
    int rc = mdb_cursor_get(cur->mdb, &k, &v, MDB_GET_CURRENT);
    if (rc == 0 && k.mv_size > sizeof(cur->key))
        rc = MDB_BAD_VALSIZE;
    if (rc == 0) {
        memcpy(cur->key, k.mv_data, k.mv_size);
        cur->key_len = k.mv_size;
        rc = mdb_cursor_del(cur->mdb, 0);
    }
    if (rc != 0)
        vf_txn_fail(txn, rc, (int)cur->table, "deleting from");
    else
        cur->deleted = true;
}
