/* SPDX-License-Identifier: MIT */
#include "copy.h"

#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static const char mark[] = "A copy of a log that was handed in. What stands behind the last checkpoint is a hand-in that "
                           "was not finished, and does not count.\n";

void vf_copy_done(struct vf_copy *c)
{
    vf_fd_close(&c->lockfd);
    vf_fd_close(&c->dirfd);
    vf_buf_done(&c->last);
}

/* ------------------------------------------------------------------------------------------------------------------ the place */

static enum vf_err put_file(const char *dir, const char *name, const void *data, size_t len, struct vf_why *why)
{
    VF_FREE char *path = vf_path_join(dir, name);

    if (path == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", dir);
    return vf_file_write(path, data, len, 0600, false, why);
}

enum vf_err vf_copy_open(struct vf_copy *c, struct vf_why *why)
{
    enum vf_err err = vf_dir_make(c->dir, why);

    if (err != VF_OK && err != VF_E_EXISTS)
        return err;
    c->dirfd = open(c->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (c->dirfd < 0)
        return vf_fail_sys(why, "%s: cannot open the folder", c->dir);
    VF_TRY(vf_log_lock(c->dirfd, c->dir, &c->lockfd, why));
    bool marked = faccessat(c->dirfd, VF_LOG_COPY, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
    bool begun = faccessat(c->dirfd, VF_LOG_ORIGIN, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
    if (begun && !marked)
        return vf_fail(why, VF_E_INPUT, "%s: a log of its own, not a copy of one that was handed in", c->dir);
    return marked ? VF_OK : put_file(c->dir, VF_LOG_COPY, mark, sizeof(mark) - 1, why);
}

enum vf_err vf_copy_origin_match(const struct vf_copy *c, struct vf_slice origin, const char *what, bool *ret_there,
                                 struct vf_why *why)
{
    uint8_t have[VF_LOG_ORIGIN_MAX];
    uint64_t size = 0;
    VF_FD fd = -1;
    enum vf_err err = vf_segment_open(c->dirfd, c->dir, VF_LOG_ORIGIN, O_RDONLY, &fd, &size, why);

    *ret_there = err == VF_OK;
    if (err == VF_E_NOT_FOUND)
        return VF_OK;
    VF_TRY(err);
    bool same = size == origin.len && size <= sizeof(have);
    if (same) {
        VF_TRY(vf_fd_pread(fd, have, (size_t)size, 0, c->dir, why));
        same = memcmp(have, origin.data, (size_t)size) == 0;
    }
    if (!same)
        return vf_fail(why, VF_E_FORGED, "%s: another log than the one handed in before from that device", what);
    return VF_OK;
}

enum vf_err vf_copy_origin_put(const struct vf_copy *c, struct vf_slice origin, struct vf_why *why)
{
    return put_file(c->dir, VF_LOG_ORIGIN, origin.data, origin.len, why);
}

/* ---------------------------------------------------------------------------------------------------------------- appending */

#define OUT_MAX ((size_t)1 << 20)

void vf_copy_append_done(struct vf_copy_append *a)
{
    vf_fd_close(&a->fd);
    vf_buf_done(&a->out);
}

enum vf_err vf_copy_append_flush(struct vf_copy_append *a, struct vf_why *why)
{
    if (a->out.len == 0)
        return VF_OK;
    VF_TRY(vf_fd_pwrite(a->fd, a->out.data, a->out.len, a->at, a->c->dir, why));
    a->at += a->out.len;
    a->out.len = 0;
    return VF_OK;
}

/* Segments that begin at or behind the end are of a hand-in that was not finished. */
static enum vf_err drop_unfinished(struct vf_copy *c, struct vf_why *why)
{
    VF_SEGMENTS segs = {0};

    VF_TRY(vf_segments_list(c->dirfd, c->dir, &segs, why));
    for (size_t i = segs.n; i > 0 && segs.first[i - 1] >= c->size; i--) {
        char name[VF_SEGMENT_NAME_LEN + 1];
        vf_segment_name(segs.first[i - 1], name);
        if (unlinkat(c->dirfd, name, 0) != 0)
            return vf_fail_sys(why, "%s/%s: cannot remove what was not finished", c->dir, name);
    }
    return VF_OK;
}

static enum vf_err open_segment(struct vf_copy_append *a, uint64_t first, uint64_t keep, struct vf_why *why)
{
    char name[VF_SEGMENT_NAME_LEN + 1];

    vf_segment_name(first, name);
    vf_fd_close(&a->fd);
    a->fd = openat(a->c->dirfd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW, 0600);
    if (a->fd < 0)
        return vf_fail_sys(why, "%s/%s: cannot open", a->c->dir, name);
    if (ftruncate(a->fd, (off_t)keep) != 0)
        return vf_fail_sys(why, "%s/%s: cannot cut what was not finished", a->c->dir, name);
    a->seg_first = first;
    a->at = keep;
    a->fresh = a->fresh || keep == 0;
    return VF_OK;
}

enum vf_err vf_copy_append_begin(struct vf_copy_append *a, struct vf_copy *c, struct vf_why *why)
{
    *a = (struct vf_copy_append){.c = c, .seq = c->size, .fd = -1};
    vf_buf_init(&a->out, OUT_MAX);
    VF_TRY(drop_unfinished(c, why));
    return open_segment(a, c->any_segment ? c->seg_first : c->size, c->seg_end, why);
}

enum vf_err vf_copy_append_line(struct vf_copy_append *a, const char *line, size_t len, struct vf_why *why)
{
    if (a->at + a->out.len + len + 1 > VF_LOG_SEGMENT_MAX && a->at + a->out.len > 0) {
        VF_TRY(vf_copy_append_flush(a, why));
        VF_TRY(vf_fd_sync(a->fd, a->c->dir, why));
        VF_TRY(open_segment(a, a->seq, 0, why));
    }
    a->line_at = a->at + a->out.len;
    vf_buf_put(&a->out, line, len);
    vf_buf_u8(&a->out, '\n');
    VF_TRY(vf_buf_check(&a->out, "entries", why));
    a->seq++;
    return a->out.len >= OUT_MAX - VF_ENTRY_LINE_MAX - 1 ? vf_copy_append_flush(a, why) : VF_OK;
}

static enum vf_err sync_folder(const struct vf_copy *c, struct vf_why *why)
{
    if (fsync(c->dirfd) != 0 && errno != EINVAL)
        return vf_fail_sys(why, "%s: cannot make the folder durable", c->dir);
    return VF_OK;
}

enum vf_err vf_copy_append_sync(struct vf_copy_append *a, struct vf_why *why)
{
    VF_TRY(vf_fd_sync(a->fd, a->c->dir, why));
    return a->fresh ? sync_folder(a->c, why) : VF_OK;
}

enum vf_err vf_copy_checkpoints_open(const struct vf_copy *c, int *ret_fd, struct vf_why *why)
{
    VF_FD fd = openat(c->dirfd, VF_LOG_CHECKPOINTS, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW, 0600);

    if (fd < 0)
        return vf_fail_sys(why, "%s/" VF_LOG_CHECKPOINTS ": cannot open", c->dir);
    if (ftruncate(fd, (off_t)c->cp_end) != 0)
        return vf_fail_sys(why, "%s/" VF_LOG_CHECKPOINTS ": cannot cut what was not finished", c->dir);
    *ret_fd = fd;
    fd = -1;
    return VF_OK;
}

enum vf_err vf_copy_checkpoints_sync(const struct vf_copy *c, int fd, struct vf_why *why)
{
    VF_TRY(vf_fd_sync(fd, c->dir, why));
    return c->cp_end == 0 ? sync_folder(c, why) : VF_OK;
}

/* Checkpoints first, durable: there is never one without what it covers. What does not come through is left to who comes next. */
void vf_copy_append_undo(struct vf_copy *c)
{
    VF_COPY_APPEND a = {.fd = -1};
    VF_FD fd = -1;
    enum vf_err err = vf_copy_checkpoints_open(c, &fd, NULL);

    if (err == VF_OK)
        err = vf_copy_checkpoints_sync(c, fd, NULL);
    if (err == VF_OK)
        err = vf_copy_append_begin(&a, c, NULL);
    (void)err;
}
