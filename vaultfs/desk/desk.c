/* SPDX-License-Identifier: MIT */
/* Open and close a desk, and what it does every second. */
#include "desk_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Who changes or destroys something is not kept waiting by those who only look, however many they are. */
void vf_desk_rwlock_init(pthread_rwlock_t *lock)
{
    pthread_rwlockattr_t attr;

    (void)pthread_rwlockattr_init(&attr);
    (void)pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    (void)pthread_rwlock_init(lock, &attr);
    (void)pthread_rwlockattr_destroy(&attr);
}

static enum vf_err open_store(struct vf_desk *d, struct vf_why *why)
{
    VF_FREE char *db = vf_path_join(d->path, "db");
    VF_BUF what = {.max = 8192};
    struct stat s;

    vf_buf_fmt(&what, "the desk %s", d->path);
    if (db == NULL || vf_buf_cstr(&what) == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", d->path);
    if (lstat(db, &s) != 0 && (errno == ENOENT || errno == ENOTDIR))
        return vf_fail(why, VF_E_NOT_FOUND, "%s: not a desk (vaultfs-keytool desk create makes one)", d->path);
    if (!S_ISDIR(s.st_mode))
        return vf_fail(why, VF_E_INPUT, "%s: not a folder (a link to one is not followed)", db);
    if (d->mode == VF_DESK_SERVE) {
        enum vf_err err = vf_desk_store_lmdb_walk(db, vf_buf_cstr(&what), why);
        if (err == VF_E_DAMAGED)
            return vf_fail(why, VF_E_DAMAGED,
                           "%s: the desk's database is damaged: restore the store from its backup, or make a new desk",
                           d->path);
        VF_TRY(err);
    }
    return vf_desk_store_lmdb(db, d->mode == VF_DESK_SERVE, vf_buf_cstr(&what), &d->store, why);
}

static enum vf_err open_log(struct vf_desk *d, struct vf_why *why)
{
    static const struct vf_log_options opt = {0};
    VF_FREE char *dir = vf_path_join(d->path, "log"), *seal = vf_path_join(d->path, "seal");

    if (dir == NULL || seal == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", d->path);
    enum vf_err err = vf_log_open(dir, seal, &opt, &d->log, why);
    if (err == VF_E_BUSY)
        return vf_fail(why, VF_E_BUSY, "%s: another process serves this desk", d->path);
    return err;
}

static enum vf_err open_keys(struct vf_desk *d, struct vf_why *why)
{
    if (!vf_identity_pub_equal(vf_identity_pub_get(d->id), &d->pub))
        return vf_fail(why, VF_E_REFUSED, "%s: the store of another desk than %s", d->path,
                       vf_identity_pub_get(d->id)->name);
    d->prekey_key = vf_secret_new(sizeof(*d->prekey_key));
    d->key = vf_secret_new(sizeof(*d->key));
    if (d->prekey_key == NULL || d->key == NULL)
        return vf_fail(why, VF_E_LOCKED_MEMORY, "no locked memory left for the desk's keys");
    vf_prekey_store_key_of(d->id, d->store_id, d->prekey_key);
    vf_desk_key_of(d->id, d->store_id, d->key);
    return VF_OK;
}

static enum vf_err open_all(struct vf_desk *d, struct vf_why *why)
{
    bool cow_ok = false;

    VF_TRY(open_store(d, why));
    VF_TRY(vf_desk_load_head(d, &cow_ok, why));
    if (d->mode == VF_DESK_SERVE) {
        VF_TRY(vf_desk_place_check(d->path, cow_ok, why));
        VF_TRY(open_keys(d, why));
        VF_TRY(open_log(d, why));
    }
    VF_TRY(vf_desk_load(d, why));
    VF_TRY(vf_desk_recall(d, why));
    VF_TRY(vf_desk_clock_start(d, why));
    if (d->mode == VF_DESK_STATUS)
        return VF_OK;
    VF_TRY(vf_desk_place_verify(d, why));
    /* What the disk does not let be done now is done by the tick: nobody is kept waiting for one bad sector. */
    atomic_store(&d->recover_due, true);
    /* What ended meanwhile; a disk that does not let it be destroyed is told by every tick. */
    atomic_store(&d->ends_due, true);
    enum vf_err ended = vf_desk_end(d, NULL);
    (void)ended;
    d->opened = true;
    return vf_desk_clock_tell(d, why);
}

enum vf_err vf_desk_open(const char *path, enum vf_desk_mode mode, const struct vf_identity *desk, struct vf_desk **ret,
                         struct vf_why *why)
{
    struct vf_desk *d = calloc(1, sizeof(*d));

    if (mode == VF_DESK_SERVE && desk == NULL) {
        free(d);
        return vf_fail(why, VF_E_USAGE, "%s: serving needs the desk's key", path);
    }
    if (d == NULL || (d->path = strdup(path)) == NULL) {
        free(d);
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", path);
    }
    d->mode = mode;
    d->id = desk;
    (void)pthread_mutex_init(&d->clock.lock, NULL);
    (void)pthread_mutex_init(&d->take_lock, NULL);
    (void)pthread_mutex_init(&d->end_lock, NULL);
    vf_desk_named_init(&d->named);
    vf_desk_rwlock_init(&d->lock);
    enum vf_err err = open_all(d, why);
    if (err != VF_OK) {
        enum vf_err ignored = vf_desk_close(d, NULL);
        (void)ignored;
        return err;
    }
    *ret = d;
    return VF_OK;
}

/* ---------------------------------------------------------------------------------------------------------------- every second */

/* So that a quiet desk is not taken for one that stood still. */
static enum vf_err sign_of_life(struct vf_desk *d, int64_t after_us, struct vf_why *why)
{
    char object[VF_TIME_US_LEN + 1];
    const struct vf_entry e = {.event = VF_EVENT_TIME, .part = -1, .object = object, .result = "ok"};
    struct vf_log_state state = {0};
    int64_t now_us = 0;

    if (!vf_desk_clock_now(d, &now_us, NULL))
        return VF_OK;
    vf_log_state_get(d->log, &state);
    /* Of a log that is ahead, since the clock once was, the entries' own times tell nothing. */
    int64_t last_us = state.last_time_us <= now_us ? state.last_time_us : atomic_load(&d->sign_us);
    if (now_us < last_us + after_us)
        return VF_OK;
    vf_time_format_us(now_us, object);
    VF_TRY(vf_desk_tell_now(d, &e, why));
    atomic_store(&d->sign_us, now_us);
    return VF_OK;
}

/* Copies that nobody asked for give their files back. */
static void close_idle(struct vf_desk *d)
{
    int64_t boot = vf_clock_boot_us();

    pthread_rwlock_rdlock(&d->lock);
    for (size_t i = 0; i < d->ndevices; i++) {
        struct vf_desk_device *dev = d->devices[i];
        pthread_mutex_lock(&dev->small);
        bool idle = boot - dev->copy_used_us > VF_DESK_COPY_IDLE_US;
        pthread_mutex_unlock(&dev->small);
        if (idle && pthread_mutex_trylock(&dev->lock) == 0) {
            vf_desk_copy_close(dev);
            pthread_mutex_unlock(&dev->lock);
        }
        vf_desk_tell_refusals_held(d, dev, boot);
    }
    pthread_rwlock_unlock(&d->lock);
}

enum vf_err vf_desk_tick(struct vf_desk *d, struct vf_why *why)
{
    int64_t now_us = 0;

    if (d->mode != VF_DESK_SERVE)
        return vf_fail(why, VF_E_USAGE, "%s: is open for looking only", d->path);
    (void)vf_desk_clock_now(d, &now_us, NULL);
    enum vf_err told = vf_desk_clock_tell(d, why);
    enum vf_err ended = vf_desk_end(d, why);
    enum vf_err alive = sign_of_life(d, VF_DESK_SIGN_US, why);
    close_idle(d);
    if (ended == VF_OK && told == VF_OK && alive == VF_OK)
        vf_desk_reserve_make(d);
    pthread_mutex_lock(&d->end_lock);
    enum vf_err kept = vf_desk_snapshot(d, false, why);
    pthread_mutex_unlock(&d->end_lock);
    return ended != VF_OK ? ended : told != VF_OK ? told : alive != VF_OK ? alive : kept;
}

/* ----------------------------------------------------------------------------------------------------------------------- close */

static enum vf_err close_log(struct vf_desk *d, struct vf_why *why)
{
    if (!d->opened) /* what is in memory may be half of what there is */
        return vf_log_close(d->log, why);
    enum vf_err ignored = vf_desk_clock_tell(d, NULL); /* what was doubted in the last second, too */
    (void)ignored;
    ignored = sign_of_life(d, 60 * VF_SECOND_US, NULL);
    (void)ignored;
    if (vf_log_seal(d->log, NULL) == VF_OK) {
        ignored = vf_desk_snapshot(d, true, NULL); /* without it the next start reads more, nothing else */
        (void)ignored;
    }
    return vf_log_close(d->log, why);
}

enum vf_err vf_desk_close(struct vf_desk *d, struct vf_why *why)
{
    enum vf_err err = VF_OK;

    if (d == NULL)
        return VF_OK;
    if (d->log != NULL)
        err = close_log(d, why);
    vf_desk_unload(d);
    vf_desk_store_close(d->store);
    vf_secret_free(d->prekey_key);
    vf_secret_free(d->key);
    vf_desk_named_done(&d->named);
    pthread_rwlock_destroy(&d->lock);
    pthread_mutex_destroy(&d->end_lock);
    pthread_mutex_destroy(&d->take_lock);
    pthread_mutex_destroy(&d->clock.lock);
    free(d->path);
    free(d);
    return err;
}

void vf_desk_cleanup(struct vf_desk **d)
{
    enum vf_err ignored = vf_desk_close(*d, NULL);

    (void)ignored;
    *d = NULL;
}
