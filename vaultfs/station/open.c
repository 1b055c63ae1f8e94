/* SPDX-License-Identifier: MIT */
#include "station_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WALK_SECONDS 900

/*
 * The mark of a clean close: which data.mdb it left. While it matches, nothing but our own code has written the file, and the structural
 * walk can be left out. Whoever forges it gains a crash of this daemon, no false data: values are checked one by one.
 */
static bool data_mark(const char *path, struct vf_buf *out)
{
    struct stat st;
    VF_FREE char *data = vf_path_join(path, "db/data.mdb");
    if (!data || stat(data, &st))
        return false;
    vf_buf_fmt(out, "%llu %lld %lld.%09ld\n", (unsigned long long)st.st_ino, (long long)st.st_size,
               (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
    return vf_buf_ok(out);
}

static bool was_closed_cleanly(const char *path)
{
    VF_FREE char *file = vf_path_join(path, "clean");
    VF_BUF mark, stored = {0};
    vf_buf_init(&mark, 256);
    if (!file || !data_mark(path, &mark) || vf_file_read(file, 256, &stored, NULL))
        return false;
    return stored.len == mark.len && memcmp(stored.data, mark.data, mark.len) == 0;
}

static void mark_clean(const char *path, bool clean)
{
    VF_FREE char *file = vf_path_join(path, "clean");
    VF_BUF mark;
    vf_buf_init(&mark, 256);
    if (!file)
        return;
    if (!clean || !data_mark(path, &mark)) {
        (void)unlink(file);
        return;
    }
    enum vf_err ignored = vf_file_write(file, mark.data, mark.len, 0600, true, NULL);
    (void)ignored; /* without it the next start walks the database: slower, nothing else */
}

static enum vf_err read_enrol(struct vf_station *st, struct vf_why *why)
{
    VF_FREE char *file = vf_path_join(st->path, "station.enrol");
    VF_BUF data = {0};
    if (!file)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", st->path);
    struct stat s;
    if (stat(st->path, &s))
        return vf_fail_sys(why, "%s: cannot open the station", st->path);
    if (S_ISDIR(s.st_mode) && access(file, F_OK) && errno == EACCES)
        return vf_fail_sys(why, "%s: cannot open the station", st->path);
    if (!S_ISDIR(s.st_mode) || access(file, F_OK))
        return vf_fail(why, VF_E_NOT_FOUND, "%s: not a station (vaultfs-keytool station create makes one)", st->path);
    VF_TRY(vf_file_read(file, VF_ENROL_MAX, &data, why));
    return vf_enrol_parse(data.data, data.len, file, &st->enrol, why);
}

static bool is_mounted(const char *path)
{
    struct vf_control *control = NULL;
    bool mounted = vf_control_connect(path, &control, NULL, 0, NULL) == VF_OK;
    vf_control_close(control);
    return mounted;
}

static enum vf_err open_store(struct vf_station *st, struct vf_why *why)
{
    VF_FREE char *db = vf_path_join(st->path, "db");
    VF_BUF what;
    vf_buf_init(&what, 8192);
    vf_buf_fmt(&what, "the station %s", st->path);
    if (!db || !vf_buf_cstr(&what))
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", st->path);
    /* Whoever may write in the station could send another user's program, or root's, into a folder of his choice. */
    struct stat s;
    if (lstat(db, &s) == 0 && !S_ISDIR(s.st_mode))
        return vf_fail(why, VF_E_INPUT, "%s: not a folder (a link to one is not followed)", db);
    /* A running mount has walked it. */
    if (!was_closed_cleanly(st->path) && !(st->mode == VF_STATION_STATUS && is_mounted(st->path))) {
        enum vf_err err = vf_store_walk(db, vf_station_tables, VF_ST_COUNT, WALK_SECONDS, vf_buf_cstr(&what), why);
        if (err == VF_E_DAMAGED)
            return vf_fail(why, VF_E_DAMAGED,
                           "%s: the station is damaged. Move its folder db away, make an empty one in its place, and "
                           "receive the policy and "
                           "the deliveries again.",
                           st->path);
        if (err && err != VF_E_NOT_FOUND)
            return err;
    }
    enum vf_store_mode mode = st->mode == VF_STATION_STATUS ? VF_STORE_READ : VF_STORE_WRITE;
    return vf_store_open(db, mode, vf_station_tables, VF_ST_COUNT, vf_buf_cstr(&what), &st->store, why);
}

static enum vf_err read_policy(struct vf_station *st, struct vf_why *why)
{
    VF_TXN txn = NULL;
    struct vf_slice bytes;
    VF_TRY(vf_txn_read(st->store, &txn, why));
    if (!vf_txn_get(txn, VF_ST_POLICY, "chain", 5, &bytes)) {
        VF_TRY(vf_txn_check(txn, why));
        return vf_fail(why, VF_E_NOT_FOUND, "%s: holds no policy; receive the force's policy file first", st->path);
    }
    VF_BUF copy; /* what is verified cannot be changed under our hands */
    vf_buf_init(&copy, VF_POLICY_MAX);
    vf_buf_put(&copy, bytes.data, bytes.len);
    VF_TRY(vf_buf_check(&copy, "the station's policy", why));
    VF_TRY(vf_policy_chain_parse(copy.data, copy.len, "the station's policy", &st->policy, why));
    if (st->policy.ruling == 0 || !vf_equal(&st->policy.policy.vault, &st->enrol.vault, sizeof(st->enrol.vault)))
        return vf_fail(why, VF_E_FORGED, "%s: the policy in it is not the one that it was made for", st->path);
    return VF_OK;
}

static int64_t log_now(void *user)
{
    int64_t t;
    enum vf_err ignored = vf_station_time(user, &t, NULL); /* a clock moved back is told by the log itself */
    (void)ignored;
    return t;
}

static enum vf_err open_log(struct vf_station *st, struct vf_why *why)
{
    VF_FREE char *dir = vf_path_join(st->path, "log"), *seal = vf_path_join(st->path, "seal");
    const struct vf_log_options opt = {
        .now_us = st->mode == VF_STATION_MOUNT ? log_now : NULL, .user = st, .batch = st->mode != VF_STATION_MOUNT};
    if (!dir || !seal)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", st->path);
    enum vf_err err = vf_log_open(dir, seal, &opt, &st->log, why);
    /* A mount that is just ending has closed its socket and still holds the log: wait up to 5 s for it. */
    for (int i = 0; err == VF_E_BUSY && i < 50; i++) {
        char mountpoint[4096];
        struct vf_control *control = NULL;
        bool mounted = vf_control_connect(st->path, &control, mountpoint, sizeof(mountpoint), NULL) == VF_OK;
        vf_control_close(control);
        if (mounted)
            return vf_fail(why, VF_E_BUSY, "%s: is mounted on %s already; unmount that first (fusermount3 -u)", st->path,
                           mountpoint);
        (void)usleep(100000);
        err = vf_log_open(dir, seal, &opt, &st->log, why);
    }
    if (err == VF_E_BUSY)
        return vf_fail(why, VF_E_BUSY, "%s: another program is at work on it; try again when it is done", st->path);
    return err;
}

static enum vf_err open_identity(struct vf_station *st, const struct vf_passphrase *pass, struct vf_why *why)
{
    VF_BUF data = {0};
    VF_TRY(vf_station_identity_read(st->path, &data, NULL, NULL, why));
    VF_TRY(vf_identity_decode(data.data, data.len, pass, &st->device, why));
    if (!vf_identity_pub_equal(vf_identity_pub_get(st->device), &st->enrol.device))
        return vf_fail(why, VF_E_FORGED, "%s: the device identity is not the one that was enrolled", st->path);
    st->key = vf_secret_new(sizeof(*st->key));
    if (!st->key)
        return vf_fail(why, VF_E_LOCKED_MEMORY, "no locked memory left for the station's key");
    vf_station_key_of(st->device, st->key);
    st->tag_key = vf_secret_new(sizeof(*st->tag_key));
    if (!st->tag_key)
        return vf_fail(why, VF_E_LOCKED_MEMORY, "no locked memory left for the station's key");
    vf_tag_key_new(st->tag_key);
    return VF_OK;
}

static enum vf_err open_all(struct vf_station *st, const struct vf_passphrase *pass, struct vf_why *why)
{
    VF_TRY(read_enrol(st, why));
    if (st->mode == VF_STATION_MOUNT) /* a wrong passphrase is told before anything is touched */
        VF_TRY(open_identity(st, pass, why));
    VF_TRY(vf_dir_local(st->path, why));
    VF_TRY(open_store(st, why));
    /* A database that was lost begins again with the policy, as something to receive; the pin is checked before anything is mounted. */
    enum vf_err err = read_policy(st, why);
    if (err && !(err == VF_E_NOT_FOUND && st->mode == VF_STATION_RECEIVE))
        return err;
    if (st->mode == VF_STATION_MOUNT)
        VF_TRY(vf_station_pin_check(st, why));
    if (st->mode == VF_STATION_STATUS)
        return vf_station_floors_load(st, why);
    VF_TRY(open_log(st, why));
    mark_clean(st->path, false);
    VF_TRY(vf_station_floors_load(st, why));
    if (st->mode == VF_STATION_MOUNT) {
        VF_TRY(vf_station_clock_load(st, why));
        VF_TRY(vf_station_floors_rule(st, why));
    }
    return vf_station_reload(st, why);
}

enum vf_err vf_station_open(const char *path, enum vf_station_mode mode, const struct vf_passphrase *pass,
                            struct vf_station **ret, struct vf_why *why)
{
    struct vf_station *st = calloc(1, sizeof(*st));
    char *copy = strdup(path);
    if (!st || !copy) {
        free(st);
        free(copy);
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", path);
    }
    st->path = copy;
    st->mode = mode;
    pthread_mutex_init(&st->clock.lock, NULL);
    pthread_mutex_init(&st->floors_lock, NULL);
    pthread_mutex_init(&st->receive_lock, NULL);
    pthread_rwlock_init(&st->jobs_lock, NULL);
    enum vf_err err = open_all(st, pass, why);
    if (err) {
        enum vf_err ignored = vf_station_close(st, NULL);
        (void)ignored;
        return err;
    }
    *ret = st;
    return VF_OK;
}

enum vf_err vf_station_close(struct vf_station *st, struct vf_why *why)
{
    enum vf_err err = VF_OK, one;
    if (!st)
        return VF_OK;
    bool wrote = st->log != NULL && st->store != NULL;
    if (st->mode == VF_STATION_MOUNT) {
        vf_station_clock_tell(st, VF_STATION_TELL_LAST_US);
        err = vf_station_clock_save(st, why);
    }
    vf_station_jobs_free(st);
    one = st->log ? vf_log_close(st->log, why) : VF_OK;
    err = err ? err : one;
    vf_store_close(st->store);
    if (wrote)
        mark_clean(st->path, true);
    vf_secret_free(st->key);
    vf_secret_free(st->tag_key);
    vf_identity_free(st->device);
    vf_policy_chain_done(&st->policy);
    free(st->batches);
    pthread_rwlock_destroy(&st->jobs_lock);
    vf_station_floors_done(st);
    pthread_mutex_destroy(&st->receive_lock);
    pthread_mutex_destroy(&st->floors_lock);
    pthread_mutex_destroy(&st->clock.lock);
    free(st->path);
    free(st);
    return err;
}

void vf_station_cleanup(struct vf_station **st)
{
    enum vf_err ignored = vf_station_close(*st, NULL);
    (void)ignored;
    *st = NULL;
}

const struct vf_enrol *vf_station_enrol(const struct vf_station *st)
{
    return &st->enrol;
}

const struct vf_policy_chain *vf_station_policy(const struct vf_station *st)
{
    return &st->policy;
}

struct vf_log *vf_station_log(struct vf_station *st)
{
    return st->log;
}

const char *vf_station_path(const struct vf_station *st)
{
    return st->path;
}

const struct vf_identity *vf_station_device(const struct vf_station *st)
{
    return st->device;
}

bool vf_station_desk(struct vf_station *st, struct vf_identity_pub *ret, char ret_url[256])
{
    pthread_rwlock_rdlock(&st->jobs_lock);
    const struct vf_policy *policy = &st->policy.policy;
    bool has = policy->has_desk;
    if (has) {
        *ret = policy->desk;
        memcpy(ret_url, policy->desk_url, sizeof(policy->desk_url));
    }
    pthread_rwlock_unlock(&st->jobs_lock);
    return has;
}

enum vf_err vf_station_enrol_file(struct vf_station *st, struct vf_buf *out, struct vf_why *why)
{
    VF_FREE char *file = vf_station_file(st->path, "station.enrol");
    VF_BUF data = {0};
    if (!file)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", st->path);
    VF_TRY(vf_file_read(file, VF_ENROL_MAX, &data, why));
    vf_buf_put(out, data.data, data.len);
    return vf_buf_check(out, file, why);
}
