/* SPDX-License-Identifier: MIT */
/* From arguments to exit status: fork, open the station, mount, serve, end. A failed start leaves nothing mounted and says why. */
#include "mount.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <mntent.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

/*
 * Readers with their scratch (1 MiB of plaintext and its padding each), and for online jobs the desk's shares: 32 bytes a record and an answer of 41 bytes
 * a record, which for 47,000 are 3.5 MB. Within an ordinary user's 8 MiB; where more may be locked there is room for more such jobs.
 */
#define ARENA_BYTES    (8u * 1024 * 1024 - 65536)
#define ARENA_AMPLE    (24u * 1024 * 1024)
#define FUSE_THREADS   16
#define FREE_WAIT_US   (5 * VF_SECOND_US)
#define LISTER_WAIT_US (2 * VF_SECOND_US)

static enum vf_err open_station(struct vf_session *s, struct vf_why *why)
{
    const struct vf_mount_options *o = s->opt;
    bool locked = false;
    VF_SECRET struct vf_passphrase *pass = NULL;

    VF_TRY(vf_station_locked(o->station, &locked, why));
    if (locked) {
        const struct vf_passphrase_source source = {.file = o->passphrase_file, .command = o->passphrase_command};
        pass = vf_secret_new(sizeof(*pass));
        if (!pass)
            return vf_fail(why, VF_E_LOCKED_MEMORY, "no locked memory left for the passphrase");
        VF_TRY(vf_passphrase_get(&source, o->station, false, pass, why));
    }
    VF_TRY(vf_station_open(o->station, VF_STATION_MOUNT, pass, &s->station, why));
    s->log = vf_station_log(s->station);
    return VF_OK;
}

static void tell(void *user, const char *text)
{
    struct vf_session *s = user;
    syslog(LOG_WARNING, "%s", text);
    vf_watch_wake(s); /* it may be that a grant was revoked */
}

static enum vf_err make_client(struct vf_session *s, struct vf_why *why)
{
    const struct vf_desk_client_options opt = {
        .station = s->station, .request_path = s->opt->request, .answer_path = s->opt->answer, .tell = tell, .user = s};
    s->waits = vf_waits_new();
    if (!s->waits)
        return vf_fail(why, VF_E_NOMEM, "out of memory");
    return vf_desk_client_new(&opt, &s->desk, why);
}

static enum vf_err make_readers(struct vf_session *s, struct vf_why *why)
{
    pthread_mutex_init(&s->readers_lock, NULL);
    pthread_cond_init(&s->readers_free, NULL);
    s->readers = calloc(VF_MOUNT_READERS, sizeof(struct vf_value_reader *));
    if (!s->readers)
        return vf_fail(why, VF_E_NOMEM, "out of memory");
    if (vf_processors() > 1)
        s->ahead = vf_value_ahead_new(s->station);
    for (; s->nreaders < VF_MOUNT_READERS; s->nreaders++)
        VF_TRY(vf_value_reader_new(s->station, &s->readers[s->nreaders], why));
    s->readers_left = s->nreaders;
    return VF_OK;
}

static enum vf_err make_fuse(struct vf_session *s, struct vf_why *why)
{
    struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
    VF_BUF fsname;
    vf_buf_init(&fsname, 1024);
    vf_buf_fmt(&fsname, "-oro,nosuid,nodev,noexec,default_permissions,max_read=%d,fsname=vaultfs,subtype=vaultfs%s",
               VF_READ_MAX, s->opt->allow_other ? ",allow_other" : "");
    enum vf_err err = VF_OK;
    if (fuse_opt_add_arg(&args, "vaultfs") || fuse_opt_add_arg(&args, vf_buf_cstr(&fsname)))
        err = VF_E_NOMEM;
    if (!err)
        s->fuse = fuse_session_new(&args, &vf_mount_ops, sizeof(vf_mount_ops), s);
    fuse_opt_free_args(&args);
    if (!s->fuse)
        return vf_fail(why, err ? err : VF_E_SYSTEM, "the FUSE library refused to start");
    return VF_OK;
}

/* The job asked for must be there: an empty mount would look like a delivery without records. */
static enum vf_err check_job(struct vf_session *s, struct vf_why *why)
{
    if (s->opt->job && s->nslots == 0)
        return vf_fail(why, VF_E_NOT_FOUND,
                       "%s: no grant for the job \"%s\" has been received; vaultfs-keytool station status lists them",
                       s->opt->station, s->opt->job);
    if (s->nslots == 0)
        (void)fprintf(stderr, "vaultfs: %s: no live grant has been received yet; what is received appears by itself\n",
                      s->opt->station);
    return VF_OK;
}

static bool mounted_on(const char *path)
{
    bool found = false;
    FILE *f = setmntent("/proc/self/mounts", "re");
    if (!f)
        return false;
    for (struct mntent *m = getmntent(f); m && !found; m = getmntent(f))
        found = strcmp(m->mnt_dir, path) == 0 && strcmp(m->mnt_type, "fuse.vaultfs") == 0;
    (void)endmntent(f);
    return found;
}

static bool is_empty(const char *path)
{
    unsigned entries = 0;
    DIR *dir = opendir(path);
    if (!dir)
        return true;
    while (entries <= 2 && readdir(dir))
        entries++;
    (void)closedir(dir);
    return entries <= 2;
}

/* Another mount over one of vaultfs would hide it and show somebody else's records in its place. One that is just ending is waited for. */
static enum vf_err check_free(const struct vf_session *s, struct vf_why *why)
{
    for (int64_t end = vf_clock_boot_us() + FREE_WAIT_US; mounted_on(s->mountpoint); (void)usleep(50000))
        if (vf_clock_boot_us() > end)
            return vf_fail(why, VF_E_BUSY, "%s: another station is mounted there; unmount that first (fusermount3 -u)",
                           s->mountpoint);
    if (!is_empty(s->mountpoint))
        (void)fprintf(stderr, "vaultfs: %s: the folder is not empty; what is in it is hidden while vaultfs is mounted\n",
                      s->mountpoint);
    return VF_OK;
}

static enum vf_err serve(struct vf_session *s, struct vf_why *why)
{
    struct vf_control_server *control = NULL;
    s->main_thread = pthread_self();
    VF_TRY(vf_control_check(s->mountpoint, why));
    VF_TRY(vf_signals_set(s->fuse, why));
    if (fuse_session_mount(s->fuse, s->mountpoint)) {
        vf_signals_done();
        return vf_fail(why, VF_E_SYSTEM, "%s: could not be mounted on (is fuse3 installed, and is the folder yours?)",
                       s->mountpoint);
    }
    enum vf_err err = vf_access_event(s, VF_EVENT_MOUNT, NULL, "ok", why);
    bool told = err == VF_OK;
    const struct vf_control_ops ops = {.user = s,
                                       .status = vf_mount_control_ops.status,
                                       .receive = vf_mount_control_ops.receive,
                                       .seal = vf_mount_control_ops.seal};
    if (!err)
        err = vf_control_start(s->station, s->mountpoint, &ops, &control, why);
    if (!err)
        err = vf_watch_start(s, why);
    if (!err) {
        struct fuse_loop_config *config = fuse_loop_cfg_create();
        fuse_loop_cfg_set_clone_fd(config, 1);
        fuse_loop_cfg_set_max_threads(config, FUSE_THREADS);
        fuse_loop_cfg_set_idle_threads(config, FUSE_THREADS);
        int rc = fuse_session_loop_mt(s->fuse, config); /* 0 after unmounting or a signal, or -errno */
        fuse_loop_cfg_destroy(config);
        if (rc < 0)
            err = vf_fail(why, VF_E_SYSTEM, "%s: the kernel ended the mount: %s", s->mountpoint, strerror(-rc));
    }
    vf_signals_done();
    vf_waits_join(s);
    vf_watch_stop(s);
    s->held_up = !vf_lister_stop(s, LISTER_WAIT_US);
    if (s->held_up)
        (void)pthread_detach(s->lister.thread);
    vf_control_stop(control);
    if (s->held_up)
        s->held_fd = fcntl(fuse_session_fd(s->fuse), F_DUPFD_CLOEXEC, 0);
    fuse_session_unmount(s->fuse);
    vf_access_flush(s, true);
    /* After a failure too: a mount without this entry counts as killed. */
    if (told) {
        enum vf_err ended = vf_access_event(s, VF_EVENT_UNMOUNT, NULL, err ? "error" : "ok", err ? NULL : why);
        err = err ? err : ended;
    }
    return err;
}

static void tear_down(struct vf_session *s)
{
    /* A program may hold the lister up beyond our own end: what it needs stays as long as we do. */
    if (s->fuse && !s->held_up)
        fuse_session_destroy(s->fuse);
    for (size_t i = 0; i < s->nreaders; i++)
        vf_value_reader_free(s->readers[i]);
    free(s->readers);
    vf_value_ahead_free(s->ahead);
    vf_desk_client_free(s->desk);
    vf_waits_free(s->waits);
    if (!s->held_up)
        vf_slots_free(s);
    vf_deny_free(s->deny);
    vf_repeats_free(s->repeats);
    struct vf_why why = {0};
    if (s->station && vf_station_close(s->station, &why))
        syslog(LOG_ERR, "%s", why.text);
}

static enum vf_err run(struct vf_session *s, struct vf_why *why)
{
    VF_TRY(vf_process_harden(why));
    if (vf_crypto_init(ARENA_AMPLE, NULL))
        VF_TRY(vf_crypto_init(ARENA_BYTES, why));
    VF_TRY(open_station(s, why));
    s->started_us = vf_station_enrol(s->station)->created_us; /* times of the root do not change from mount to mount */
    s->deny = vf_deny_new();
    s->repeats = vf_repeats_new();
    if (!s->deny || !s->repeats)
        return vf_fail(why, VF_E_NOMEM, "out of memory");
    VF_TRY(vf_slots_load(s, why));
    VF_TRY(check_job(s, why));
    VF_TRY(check_free(s, why));
    VF_TRY(make_readers(s, why));
    VF_TRY(make_client(s, why));
    VF_TRY(make_fuse(s, why));
    return serve(s, why);
}

int vf_mount_main(int argc, char **argv)
{
    struct vf_mount_options options;
    struct vf_session session = {.opt = &options, .ready_fd = -1};
    struct vf_why why = {0};
    bool parent = false;

    /* glibc would raise it after the first large block that is freed, and keep whole grants in the heap from then on. */
    (void)mallopt(M_MMAP_THRESHOLD, 131072);
    if (!vf_fds_standard())
        return vf_err_exit(VF_E_SYSTEM);
    if (argc > 1 && strcmp(argv[1], "status") == 0)
        return vf_status_main(argc - 1, argv + 1);
    int status = vf_options_parse(argc, argv, &options);
    if (status < 0) {
        status = vf_daemon_fork(options.foreground, &session.ready_fd, &parent);
        if (status == 0 && !parent) {
            openlog("vaultfs", LOG_PID, LOG_DAEMON);
            vf_leak_warn(stderr);
            session.mountpoint = options.mountpoint;
            pthread_rwlock_init(&session.jobs_lock, NULL);
            vf_watch_init(&session);
            vf_lister_init(&session);
            enum vf_err err = run(&session, &why);
            if (err) {
                (void)fprintf(stderr, "vaultfs: %s\n", why.text);
                syslog(LOG_ERR, "%s", why.text);
            }
            tear_down(&session);
            vf_crypto_done();
            status = vf_err_exit(err);
            vf_daemon_ready(&session.ready_fd, status);
            if (session.held_up) {
                (void)fflush(NULL);
                vf_linger(&session);
                _exit(status); /* while all that its thread may look at is still there */
            }
        } else if (status < 0) {
            (void)fprintf(stderr, "vaultfs: no second process could be started: %s\n", strerror(errno));
            status = 1;
        }
    }
    vf_options_done(&options);
    return status;
}
