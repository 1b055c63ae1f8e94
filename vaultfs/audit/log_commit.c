/* SPDX-License-Identifier: MIT */
/*
 * A batch of lines onto the disk: behind the last segment's durable end, or as the beginning of a new segment.
 *
 * After any failure nobody knows what of the batch is on the disk: the kernel forgets pages that it could not write, and a second
 * fdatasync succeeds without them. So those bytes are never counted and never followed by others: the next batch goes to a new file,
 * whose name says from which seq on the old one is void. A new segment is complete and durable before it gets its name.
 */
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static bool same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Is the segment with our durable entries still in the folder, and whole? What is written to a removed file is on no disk. */
static enum vf_err segment_check(struct vf_log *log, struct vf_why *why)
{
    char name[VF_SEGMENT_NAME_LEN + 1];
    struct stat st;

    if (log->seg_len == 0)
        return VF_OK;
    vf_segment_name(log->seg_first, name);
    if (fstatat(log->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return vf_fail_sys(why, "%s/%s: cannot look it up", log->dir, name);
    if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size < log->seg_len)
        return vf_fail(why, VF_E_DAMAGED, "%s/%s: entries are missing from it", log->dir, name);
    if (log->segfd >= 0 && !same(&st, &log->seg_st))
        log->seg_new = true; /* a copy that was put back: not the file we have open */
    return VF_OK;
}

/* Another folder stands at the path: it is ours put back if it has our origin and nobody writes to it. */
static enum vf_err folder_follow(struct vf_log *log, struct vf_why *why)
{
    VF_FD dirfd = open(log->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    VF_FD lockfd = -1;
    VF_FD fd = -1;
    uint64_t size = 0;
    uint8_t note[VF_LOG_ORIGIN_MAX];
    struct stat st;

    if (dirfd < 0 || fstat(dirfd, &st) != 0)
        return vf_fail_sys(why, "%s: cannot open the folder", log->dir);
    VF_TRY(vf_segment_open(dirfd, log->dir, VF_LOG_ORIGIN, O_RDONLY, &fd, &size, why));
    if (size != log->origin_note.len || size > sizeof(note))
        return vf_fail(why, VF_E_DAMAGED, "%s: another log was put in the place of the one in use", log->dir);
    VF_TRY(vf_fd_pread(fd, note, (size_t)size, 0, log->dir, why));
    if (memcmp(note, log->origin_note.data, (size_t)size) != 0)
        return vf_fail(why, VF_E_DAMAGED, "%s: another log was put in the place of the one in use", log->dir);
    VF_TRY(vf_log_lock(dirfd, log->dir, &lockfd, why));
    vf_fd_close(&log->dirfd);
    vf_fd_close(&log->lockfd);
    vf_fd_close(&log->segfd);
    log->dirfd = dirfd;
    log->lockfd = lockfd;
    log->dir_st = st;
    log->seg_new = true;
    dirfd = -1;
    lockfd = -1;
    return VF_OK;
}

enum vf_err vf_log_folder_check(struct vf_log *log, struct vf_why *why)
{
    struct stat st;

    if (lstat(log->dir, &st) != 0)
        return vf_fail_sys(why, "%s: the folder of the log is gone", log->dir);
    if (!same(&st, &log->dir_st))
        VF_TRY(folder_follow(log, why));
    /* Open files can be written in a folder that was made read-only meanwhile; whoever did that meant it. */
    if (faccessat(log->dirfd, ".", W_OK | X_OK, AT_EACCESS) != 0)
        return vf_fail_sys(why, "%s: cannot write in the folder of the log", log->dir);
    return segment_check(log, why);
}

/* Behind the durable end. */
static enum vf_err extend(struct vf_log *log, const char *data, size_t len, struct vf_why *why)
{
    VF_TRY(vf_fd_pwrite(log->segfd, data, len, log->seg_len, log->dir, why));
    return vf_fd_sync(log->segfd, log->dir, why);
}

/* The file with its content, made durable under a name that no reader takes for a segment. */
static enum vf_err write_new(struct vf_log *log, const char *tmp, const char *data, size_t len, int *ret_fd,
                             struct vf_why *why)
{
    if (unlinkat(log->dirfd, tmp, 0) != 0 && errno != ENOENT)
        return vf_fail_sys(why, "%s/%s: cannot remove", log->dir, tmp);
    VF_FD fd = openat(log->dirfd, tmp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW, 0600);
    if (fd < 0)
        return vf_fail_sys(why, "%s/%s: cannot create", log->dir, tmp);
    VF_TRY(vf_fd_pwrite(fd, data, len, 0, log->dir, why));
    if (fsync(fd) != 0)
        return vf_fail_sys(why, "%s/%s: cannot make it durable", log->dir, tmp);
    *ret_fd = fd;
    fd = -1;
    return VF_OK;
}

/* What failed in the segment before is void by the new one's name. Cut it off as well, for people who read the file with other tools. */
static void tidy(struct vf_log *log)
{
    if (log->seg_failed && log->segfd >= 0 && log->seg_len > 0 && ftruncate(log->segfd, (off_t)log->seg_len) != 0)
        errno = 0;
}

static enum vf_err start_segment(struct vf_log *log, const char *data, size_t len, uint64_t first, struct vf_why *why)
{
    char name[VF_SEGMENT_NAME_LEN + 1];
    char tmp[VF_SEGMENT_NAME_LEN + sizeof(VF_SEGMENT_NEW)];
    VF_FD fd = -1;
    struct stat st;

    vf_segment_name(first, name);
    (void)snprintf(tmp, sizeof(tmp), "%s" VF_SEGMENT_NEW, name);
    enum vf_err err = write_new(log, tmp, data, len, &fd, why);
    if (err == VF_OK && fstat(fd, &st) != 0)
        err = vf_fail_sys(why, "%s/%s: cannot look it up", log->dir, tmp);
    /* There may be one of this name: of an attempt that failed later than this step, or the very first segment when nothing in it
     * became durable. Nothing in it counts. */
    if (err == VF_OK && renameat2(log->dirfd, tmp, log->dirfd, name, 0) != 0)
        err = vf_fail_sys(why, "%s/%s: cannot rename to it", log->dir, name);
    if (err == VF_OK && fsync(log->dirfd) != 0 && errno != EINVAL)
        err = vf_fail_sys(why, "%s: cannot make the folder durable", log->dir);
    if (err != VF_OK) {
        (void)unlinkat(log->dirfd, tmp, 0);
        return err;
    }
    if (log->seg_first != first)
        tidy(log);
    vf_fd_close(&log->segfd);
    log->segfd = fd;
    fd = -1;
    log->seg_first = first;
    log->seg_len = 0;
    log->seg_st = st;
    log->seg_new = false;
    log->seg_failed = false;
    return VF_OK;
}

enum vf_err vf_log_commit_batch(struct vf_log *log, const char *data, size_t len, uint64_t first, struct vf_why *why)
{
    enum vf_err err = vf_log_folder_check(log, why);
    uint64_t max = log->opt.segment_max > 0 ? log->opt.segment_max : VF_LOG_SEGMENT_MAX;
    bool fresh = log->seg_len == 0 || log->seg_new || log->segfd < 0 || log->seg_len + len > max;

    if (err == VF_OK && fresh) {
        err = start_segment(log, data, len, first, why);
    } else if (err == VF_OK) {
        err = extend(log, data, len, why);
        log->seg_failed = err != VF_OK;
    }
    if (err != VF_OK) {
        log->seg_new = true;
        return err;
    }
    log->seg_len += len;
    return VF_OK;
}
