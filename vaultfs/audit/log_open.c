/* SPDX-License-Identifier: MIT */
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static enum vf_err read_origin(struct vf_log *log, struct vf_why *why)
{
    VF_FD fd = -1;
    uint64_t size = 0;
    struct vf_note note;

    VF_TRY(vf_segment_open(log->dirfd, log->dir, VF_LOG_ORIGIN, O_RDONLY, &fd, &size, why));
    if (size == 0 || size > VF_LOG_ORIGIN_MAX)
        return vf_fail(why, VF_E_DAMAGED, "%s/" VF_LOG_ORIGIN ": damaged: %llu bytes long", log->dir,
                       (unsigned long long)size);
    uint8_t *at = vf_buf_grow(&log->origin_note, (size_t)size);
    VF_TRY(vf_buf_check(&log->origin_note, "the origin of a log", why));
    VF_TRY(vf_fd_pread(fd, at, (size_t)size, 0, log->dir, why));
    enum vf_err err = vf_note_parse(log->origin_note.data, log->origin_note.len, &note, why);
    if (err == VF_OK)
        err = vf_origin_parse(&note, &log->origin, why);
    vf_sha256(log->origin_note.data, log->origin_note.len, &log->id);
    return vf_fail_prefix(why, err, "%s/" VF_LOG_ORIGIN, log->dir);
}

static enum vf_err open_folder(struct vf_log *log, struct vf_why *why)
{
    /* Whoever may write beside it could send another user's writer, or root's, into a folder of his choice. */
    log->dirfd = open(log->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (log->dirfd < 0 && errno == ENOTDIR)
        return vf_fail(why, VF_E_INPUT, "%s: not a folder (a link to one is not followed)", log->dir);
    if (log->dirfd < 0)
        return vf_fail_sys(why, "%s: cannot open the folder of the log", log->dir);
    if (fstat(log->dirfd, &log->dir_st) != 0)
        return vf_fail_sys(why, "%s: cannot look it up", log->dir);
    if (faccessat(log->dirfd, VF_LOG_COPY, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return vf_fail(why, VF_E_INPUT, "%s: a copy of a log that was handed in: nothing can be added to it", log->dir);
    VF_TRY(vf_log_lock(log->dirfd, log->dir, &log->lockfd, why));
    vf_segments_sweep(log->dirfd);
    return read_origin(log, why);
}

static enum vf_err set_names(struct vf_log *log, struct vf_why *why)
{
    char host[HOST_NAME_MAX + 1] = {0};
    uint8_t session[VF_ENTRY_SESSION_LEN / 2];

    if (gethostname(host, sizeof(host) - 1) != 0 || host[0] == '\0')
        (void)snprintf(host, sizeof(host), "unknown");
    vf_random(session, sizeof(session));
    vf_hex(session, sizeof(session), log->session);
    vf_entry_origin_put(host, log->session, &log->where);
    return vf_buf_check(&log->where, "a log entry", why);
}

/* The clock against the last entry's time: the step that nobody was there to see. */
static void set_clocks(struct vf_log *log)
{
    int64_t now = log->opt.now_us != NULL ? log->opt.now_us(log->opt.user) : vf_clock_wall_us();

    log->raw_boot = vf_clock_boot_us();
    log->raw_now = log->last_us > now ? log->last_us : now;
}

static enum vf_err init_sync(struct vf_log *log, struct vf_why *why)
{
    pthread_condattr_t attr;

    /* With plain mutexes and condition variables of Linux these have no way to fail but want of memory. */
    if (pthread_mutex_init(&log->mu, NULL) != 0 || pthread_condattr_init(&attr) != 0)
        return vf_fail(why, VF_E_NOMEM, "no memory to open a log");
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    bool ok = pthread_cond_init(&log->work, &attr) == 0 && pthread_cond_init(&log->done, NULL) == 0 &&
              pthread_cond_init(&log->batch_done[0], NULL) == 0 && pthread_cond_init(&log->batch_done[1], NULL) == 0;
    (void)pthread_condattr_destroy(&attr);
    return ok ? VF_OK : vf_fail(why, VF_E_NOMEM, "no memory to open a log");
}

static void log_free(struct vf_log *log)
{
    if (log == NULL)
        return;
    vf_secret_free(log->secret);
    vf_fd_close(&log->segfd);
    vf_fd_close(&log->lockfd);
    vf_fd_close(&log->dirfd);
    vf_entry_lines_done(&log->queue);
    vf_entry_lines_done(&log->batch);
    vf_buf_done(&log->origin_note);
    vf_buf_done(&log->where);
    vf_buf_done(&log->checkpoint);
    vf_buf_done(&log->record);
    (void)pthread_cond_destroy(&log->batch_done[0]);
    (void)pthread_cond_destroy(&log->batch_done[1]);
    (void)pthread_cond_destroy(&log->done);
    (void)pthread_cond_destroy(&log->work);
    (void)pthread_mutex_destroy(&log->mu);
    free(log->dir);
    free(log->seal_path);
    free(log);
}

static void log_cleanup(struct vf_log **log)
{
    log_free(*log);
}

/* Everything but files and thread. NULL: *ret_err says why. */
static struct vf_log *log_new(const char *dir, const char *seal_path, const struct vf_log_options *opt, enum vf_err *ret_err,
                              struct vf_why *why)
{
    VF_CLEANUP(log_cleanup) struct vf_log *log = calloc(1, sizeof(*log));
    struct vf_log *made;

    if (log == NULL) {
        *ret_err = vf_fail(why, VF_E_NOMEM, "%s: out of memory", dir);
        return NULL;
    }
    log->dirfd = log->lockfd = log->segfd = -1;
    log->unsealed_us = INT64_MAX;
    if (opt != NULL)
        log->opt = *opt;
    vf_buf_init(&log->origin_note, VF_LOG_ORIGIN_MAX);
    vf_buf_init(&log->where, (size_t)4 * VF_ENTRY_ESCAPED_MAX);
    vf_buf_init(&log->checkpoint, VF_RECORD_MAX);
    vf_buf_init(&log->record, VF_RECORD_MAX);
    *ret_err = init_sync(log, why);
    log->dir = strdup(dir);
    log->seal_path = strdup(seal_path);
    log->secret = vf_secret_new(sizeof(*log->secret));
    if (*ret_err == VF_OK && (log->dir == NULL || log->seal_path == NULL))
        *ret_err = vf_fail(why, VF_E_NOMEM, "%s: out of memory", dir);
    if (*ret_err == VF_OK && log->secret == NULL)
        *ret_err = vf_fail(why, VF_E_LOCKED_MEMORY, "%s: no locked memory left for the seal keys", dir);
    if (*ret_err != VF_OK)
        return NULL;
    made = log;
    log = NULL;
    return made;
}

/*
 * A write beyond the limit on the size of files (ulimit -f) is answered by a signal, whose default is the end of the process. Any caller may be the
 * one who writes. It is to be told like a disk without room: EFBIG. A program's own handler stays.
 */
static void survive_file_limit(void)
{
    struct sigaction sa;

    if (sigaction(SIGXFSZ, NULL, &sa) == 0 && (sa.sa_flags & SA_SIGINFO) == 0 && sa.sa_handler == SIG_DFL) {
        sa.sa_handler = SIG_IGN;
        (void)sigaction(SIGXFSZ, &sa, NULL);
    }
}

/* Signals are the business of the program's own threads. */
static enum vf_err start_thread(struct vf_log *log, struct vf_why *why)
{
    sigset_t all, before;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int err = pthread_create(&log->thread, NULL, vf_log_thread, log);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return err == 0 ? VF_OK : vf_fail(why, VF_E_NOMEM, "%s: cannot start the thread that writes the log", log->dir);
}

enum vf_err vf_log_open(const char *dir, const char *seal_path, const struct vf_log_options *opt, struct vf_log **ret,
                        struct vf_why *why)
{
    enum vf_err err = VF_OK;
    VF_CLEANUP(log_cleanup) struct vf_log *log = log_new(dir, seal_path, opt, &err, why);

    if (log == NULL)
        return err;
    VF_TRY(open_folder(log, why));
    VF_TRY(set_names(log, why));
    VF_TRY(vf_log_recover(log, why));
    set_clocks(log);
    survive_file_limit();
    VF_TRY(start_thread(log, why));
    *ret = log;
    log = NULL;
    return VF_OK;
}

enum vf_err vf_log_close(struct vf_log *log, struct vf_why *why)
{
    enum vf_err err = VF_OK;

    if (log == NULL)
        return VF_OK;
    (void)pthread_mutex_lock(&log->mu);
    log->stop = true;
    (void)pthread_cond_signal(&log->work);
    (void)pthread_cond_broadcast(&log->done);
    (void)pthread_mutex_unlock(&log->mu);
    (void)pthread_join(log->thread, NULL);
    if (log->failed)
        err = vf_fail(why, VF_E_DISK_FULL, "%s", log->fail_why.text);
    log_free(log);
    return err;
}
