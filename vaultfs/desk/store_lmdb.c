/* SPDX-License-Identifier: MIT */
/*
 * The desk's store on LMDB. After a write that failed half-way LMDB may not know what the disk holds, and says so until it is opened
 * anew: that is done here, so that a desk whose disk was full goes on by itself.
 */
#include "store.h"

#include <vaultfs/store.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define WALK_SECONDS 900

static const char *const tables[VF_DT_COUNT] = {"meta",   "policy",     "grant",     "refs",
                                                "device", "revocation", "tombstone", "released"};

struct lmdb {
    struct vf_desk_store head;
    char *dir, *what;
    enum vf_store_mode mode;
    pthread_rwlock_t lock; /* for reading: in use; for writing: being opened anew */
    struct vf_store *env;  /* NULL: closed after a failure, to be opened anew */
};

/* ----------------------------------------------------------------------------------------------------------------- opened anew */

/* lock held for writing. */
static enum vf_err reopen(struct lmdb *s, struct vf_why *why)
{
    vf_store_close(s->env);
    s->env = NULL;
    return vf_store_open(s->dir, s->mode, tables, VF_DT_COUNT, s->what, &s->env, why);
}

/* Lock for reading with an environment that is open. */
static enum vf_err enter(struct lmdb *s, struct vf_why *why)
{
    pthread_rwlock_rdlock(&s->lock);
    if (s->env != NULL)
        return VF_OK;
    pthread_rwlock_unlock(&s->lock);
    pthread_rwlock_wrlock(&s->lock);
    enum vf_err err = s->env == NULL ? reopen(s, why) : VF_OK;
    pthread_rwlock_unlock(&s->lock);
    if (err != VF_OK)
        return err;
    pthread_rwlock_rdlock(&s->lock);
    if (s->env != NULL)
        return VF_OK;
    pthread_rwlock_unlock(&s->lock);
    return vf_fail(why, VF_E_BUSY, "%s: is being opened anew", s->what);
}

static void leave(struct lmdb *s)
{
    pthread_rwlock_unlock(&s->lock);
}

static void doubt(struct lmdb *s)
{
    pthread_rwlock_wrlock(&s->lock);
    vf_store_close(s->env);
    s->env = NULL;
    pthread_rwlock_unlock(&s->lock);
}

/* --------------------------------------------------------------------------------------------------------------------- reading */

static enum vf_err lmdb_get(struct vf_desk_store *store, enum vf_desk_table table, const void *key, size_t key_len,
                            struct vf_buf *ret, bool *found, struct vf_why *why)
{
    struct lmdb *s = (struct lmdb *)store;
    struct vf_slice val = {0};
    VF_TRY(enter(s, why));
    struct vf_txn *txn = NULL;
    enum vf_err err = vf_txn_read(s->env, &txn, why);

    if (err == VF_OK) {
        *found = vf_txn_get(txn, table, key, key_len, &val);
        err = vf_txn_check(txn, why);
        if (err == VF_OK && *found) {
            vf_buf_put(ret, val.data, val.len);
            err = vf_buf_check(ret, s->what, why);
        }
    }
    vf_txn_end(txn);
    leave(s);
    return err;
}

struct rows {
    enum vf_err (*each)(void *user, struct vf_slice key, struct vf_slice val, struct vf_why *why);
    void *user;
    struct vf_why *why;
    enum vf_err err;
};

static bool one_row(struct vf_cursor *cur, struct vf_slice key, struct vf_slice val, void *user)
{
    struct rows *r = user;

    (void)cur;
    r->err = r->each(r->user, key, val, r->why);
    return r->err == VF_OK;
}

static enum vf_err lmdb_each(struct vf_desk_store *store, enum vf_desk_table table,
                             enum vf_err (*each)(void *user, struct vf_slice key, struct vf_slice val, struct vf_why *why),
                             void *user, struct vf_why *why)
{
    struct lmdb *s = (struct lmdb *)store;
    struct rows r = {.each = each, .user = user, .why = why};
    struct vf_txn *txn = NULL;

    VF_TRY(enter(s, why));
    enum vf_err err = vf_txn_read(s->env, &txn, why);
    if (err == VF_OK) {
        vf_txn_foreach(txn, table, NULL, 0, one_row, &r);
        err = r.err != VF_OK ? r.err : vf_txn_check(txn, why);
    }
    vf_txn_end(txn);
    leave(s);
    return err;
}

/* --------------------------------------------------------------------------------------------------------------------- writing */

struct changes {
    const struct vf_desk_change *of;
    size_t n;
};

static enum vf_err put_all(struct vf_txn *txn, void *user, struct vf_why *why)
{
    const struct changes *c = user;

    (void)why;
    for (size_t i = 0; i < c->n; i++) {
        const struct vf_desk_change *one = &c->of[i];
        if (one->data != NULL)
            vf_txn_put(txn, one->table, one->key, one->key_len, one->data, one->len);
        else
            (void)vf_txn_del(txn, one->table, one->key, one->key_len);
    }
    return vf_txn_error(txn);
}

static enum vf_err lmdb_commit(struct vf_desk_store *store, const struct vf_desk_change *changes, size_t n,
                               struct vf_why *why)
{
    struct lmdb *s = (struct lmdb *)store;
    struct changes c = {.of = changes, .n = n};

    VF_TRY(enter(s, why));
    enum vf_err err = vf_store_update(s->env, put_all, &c, why);
    leave(s);
    if (err == VF_E_DAMAGED) /* the next call finds out which of two states the disk holds */
        doubt(s);
    return err;
}

/* ---------------------------------------------------------------------------------------------------------------------- opening */

static void lmdb_close(struct vf_desk_store *store)
{
    struct lmdb *s = (struct lmdb *)store;

    vf_store_close(s->env);
    pthread_rwlock_destroy(&s->lock);
    free(s->dir);
    free(s->what);
    free(s);
}

static const struct vf_desk_store_ops ops = {.get = lmdb_get, .each = lmdb_each, .commit = lmdb_commit, .close = lmdb_close};

enum vf_err vf_desk_store_lmdb_walk(const char *dir, const char *what, struct vf_why *why)
{
    return vf_store_walk(dir, tables, VF_DT_COUNT, WALK_SECONDS, what, why);
}

enum vf_err vf_desk_store_lmdb(const char *dir, bool write, const char *what, struct vf_desk_store **ret, struct vf_why *why)
{
    struct lmdb *s = calloc(1, sizeof(*s));

    if (s == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", what);
    s->head.ops = &ops;
    s->mode = write ? VF_STORE_WRITE : VF_STORE_READ;
    s->dir = strdup(dir);
    s->what = strdup(what);
    (void)pthread_rwlock_init(&s->lock, NULL);
    enum vf_err err = s->dir != NULL && s->what != NULL ? reopen(s, why) : vf_fail(why, VF_E_NOMEM, "out of memory");
    if (err != VF_OK) {
        lmdb_close(&s->head);
        return err;
    }
    *ret = &s->head;
    return VF_OK;
}

/* ------------------------------------------------------------------------------------------------------------------- whichever */

enum vf_err vf_desk_store_get(struct vf_desk_store *s, enum vf_desk_table table, const void *key, size_t key_len,
                              struct vf_buf *ret, bool *found, struct vf_why *why)
{
    return s->ops->get(s, table, key, key_len, ret, found, why);
}

enum vf_err vf_desk_store_each(struct vf_desk_store *s, enum vf_desk_table table,
                               enum vf_err (*each)(void *user, struct vf_slice key, struct vf_slice val, struct vf_why *why),
                               void *user, struct vf_why *why)
{
    return s->ops->each(s, table, each, user, why);
}

enum vf_err vf_desk_store_commit(struct vf_desk_store *s, const struct vf_desk_change *changes, size_t n, struct vf_why *why)
{
    return n > 0 ? s->ops->commit(s, changes, n, why) : VF_OK;
}

void vf_desk_store_close(struct vf_desk_store *s)
{
    if (s != NULL)
        s->ops->close(s);
}
