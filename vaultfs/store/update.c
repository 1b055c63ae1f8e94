/* SPDX-License-Identifier: MIT */
#include "env.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

/*
 * LMDB reports a short write as EIO. Is there room for more? Blocks behind the end of the file are asked for and given back; the
 * answer is the filesystem's own, quota included.
 */
static bool disk_is_full(struct vf_env *env)
{
    static const off_t some = 256 * 1024;
    int mode = FALLOC_FL_KEEP_SIZE;
    struct stat st;
    int fd = -1;

    if (mdb_env_get_fd(env->mdb, &fd) != 0 || fstat(fd, &st) != 0)
        return false;
    if (fallocate(fd, mode, st.st_size, some) != 0)
        return errno == ENOSPC || errno == EDQUOT;
    (void)fallocate(fd, mode | FALLOC_FL_PUNCH_HOLE, st.st_size, some);
    return false;
}

static void commit(struct vf_txn *txn)
{
    int rc = mdb_txn_commit(txn->mdb);

    txn->mdb = NULL;
    if (rc == EIO && disk_is_full(txn->env))
        rc = ENOSPC;
    if (rc != 0)
        vf_txn_fail(txn, rc, -1, "writing to the disk");
}

/* One attempt. An error of the transaction is the cause of whatever body made of it, so that it is the one reported. */
static enum vf_err attempt(struct vf_txn *txn, enum vf_err (*body)(struct vf_txn *txn, void *user, struct vf_why *why),
                           void *user, struct vf_why *why)
{
    enum vf_err err = body(txn, user, why);

    if (err == VF_OK && txn->err == VF_OK)
        commit(txn);
    mdb_txn_abort(txn->mdb);
    txn->mdb = NULL;
    txn->active = false;
    vf_gate_leave(txn);
    return txn->err != VF_OK ? vf_txn_check(txn, why) : err;
}

static enum vf_err update(struct vf_env *env, enum vf_err (*body)(struct vf_txn *txn, void *user, struct vf_why *why),
                          void *user, struct vf_why *why)
{
    for (;;) {
        struct vf_txn txn = {.env = env, .write = true};
        unsigned maps = 0;
        VF_TRY(vf_txn_begin(&txn, &maps, why));
        enum vf_err err = attempt(&txn, body, user, why);
        if (err == VF_OK)
            vf_gate_grow_early(env);
        if (!txn.map_full)
            return err;
        /* Pages that only killed readers hold on to can be used again. */
        (void)mdb_reader_check(env->mdb, NULL);
        VF_TRY(vf_gate_grow(env, maps, why));
    }
}

static bool start_writing(struct vf_env *env)
{
    (void)pthread_mutex_lock(&env->lock);
    bool nested = env->has_writer && pthread_equal(env->writer, pthread_self());
    (void)pthread_mutex_unlock(&env->lock);
    if (nested)
        return false;
    (void)pthread_mutex_lock(&env->writing);
    (void)pthread_mutex_lock(&env->lock);
    env->has_writer = true;
    env->writer = pthread_self();
    (void)pthread_mutex_unlock(&env->lock);
    return true;
}

static void stop_writing(struct vf_env *env)
{
    (void)pthread_mutex_lock(&env->lock);
    env->has_writer = false;
    (void)pthread_mutex_unlock(&env->lock);
    (void)pthread_mutex_unlock(&env->writing);
}

enum vf_err vf_store_update(struct vf_store *s, enum vf_err (*body)(struct vf_txn *txn, void *user, struct vf_why *why),
                            void *user, struct vf_why *why)
{
    struct vf_env *env = s->env;

    VF_TRY(vf_env_usable(env, why));
    if (s->mode != VF_STORE_WRITE)
        return vf_fail(why, VF_E_DENIED, "%s: is open for reading only", env->what);
    if (!start_writing(env))
        return vf_fail(why, VF_E_USAGE, "%s: an update inside an update", env->what);
    enum vf_err err = update(env, body, user, why);
    stop_writing(env);
    return err;
}

/* The copy begins its own transaction inside LMDB, which may find that another process made the database grow: before a byte is
 * written. `write` keeps those who wait for a new map from giving up on it. */
enum vf_err vf_store_copy(struct vf_store *s, int fd, struct vf_why *why)
{
    struct vf_txn txn = {.env = s->env, .write = true};
    unsigned maps = 0;

    VF_TRY(vf_env_usable(s->env, why));
    for (;;) {
        VF_TRY(vf_gate_enter(&txn, &maps, why));
        int rc = mdb_env_copyfd2(s->env->mdb, fd, MDB_CP_COMPACT);
        vf_gate_leave(&txn);
        if (rc == 0)
            return VF_OK;
        if (rc != MDB_MAP_RESIZED)
            return vf_env_fail(why, s->env->what, "writing a copy", rc);
        VF_TRY(vf_gate_follow(s->env, maps, why));
    }
}
