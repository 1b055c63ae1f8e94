/* SPDX-License-Identifier: MIT */
/*
 * A handed-in file into the copy of the log that is kept of its device.
 *
 *   1. lock the copy; the first time: make folder, mark and origin
 *   2. where does the copy end: its last whole checkpoint, and the byte behind the last entry that it covers
 *   3. verify the file, with that checkpoint as one it must contain
 *   4. append the new entries, hashing them again; durable
 *   5. append the new checkpoints; durable
 *
 * What a copy holds behind its last checkpoint does not count (the mark says so to readers), so a crash before 5 leaves what was there
 * before, and one within 5 leaves a shorter but good log. The next hand-in cuts the rest and goes on.
 */
#include "log.h"
#include "verify.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char mark[] = "A copy of a log that was handed in. What stands behind the last checkpoint is a hand-in that "
                           "was not finished, and does not count.\n";

struct copy {
    const char *dir;
    int dirfd, lockfd;
    uint64_t size;   /* entries */
    uint64_t cp_end; /* bytes of whole checkpoints */
    uint64_t seg_first;
    uint64_t seg_end; /* bytes of that segment that count */
    bool any_segment;
    struct vf_buf last; /* its last checkpoint note */
};

static void copy_done(struct copy *c)
{
    vf_fd_close(&c->lockfd);
    vf_fd_close(&c->dirfd);
    vf_buf_done(&c->last);
}

/* ----------------------------------------------------------------------------------------------------------------- 1. the place */

static enum vf_err put_file(const char *dir, const char *name, const void *data, size_t len, struct vf_why *why)
{
    VF_FREE char *path = vf_path_join(dir, name);

    if (path == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", dir);
    return vf_file_write(path, data, len, 0600, false, why);
}

/* A folder that holds nothing yet, or a copy. Never a log that somebody writes. */
static enum vf_err open_copy(struct copy *c, struct vf_why *why)
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

static enum vf_err match_origin(struct copy *c, const struct vf_source *file, struct vf_why *why)
{
    uint8_t have[VF_LOG_ORIGIN_MAX];
    uint64_t size = 0;
    VF_FD fd = -1;
    enum vf_err err = vf_segment_open(c->dirfd, c->dir, VF_LOG_ORIGIN, O_RDONLY, &fd, &size, why);

    if (err == VF_E_NOT_FOUND)
        return VF_OK;
    VF_TRY(err);
    bool same = size == file->origin.len && size <= sizeof(have);
    if (same) {
        VF_TRY(vf_fd_pread(fd, have, (size_t)size, 0, c->dir, why));
        same = memcmp(have, file->origin.data, (size_t)size) == 0;
    }
    if (!same)
        return vf_fail(why, VF_E_FORGED, "%s: another log than the one handed in before from that device", file->path);
    return VF_OK;
}

/* ------------------------------------------------------------------------------------------------------------- 2. where it ends */

static enum vf_err find_checkpoint(struct copy *c, struct vf_why *why)
{
    VF_CLEANUP(vf_record_reader_done) struct vf_record_reader r = {0};
    struct vf_checkpoint cp;
    struct vf_note note;
    VF_FD fd = -1;
    enum vf_err err = vf_segment_open(c->dirfd, c->dir, VF_LOG_CHECKPOINTS, O_RDONLY, &fd, NULL, why);

    if (err == VF_E_NOT_FOUND)
        return VF_OK;
    VF_TRY(err);
    VF_TRY(vf_record_reader_init(&r, fd, 0, INT64_MAX, why));
    for (;;) {
        enum vf_record_kind kind = VF_RECORD_END;
        const char *p = NULL;
        size_t len = 0;
        VF_TRY(vf_record_reader_peek(&r, c->dir, &kind, &p, &len, why));
        if (kind == VF_RECORD_END || kind == VF_RECORD_TORN)
            return VF_OK;
        if (kind != VF_RECORD_WHOLE || vf_note_parse(p, len, &note, NULL) != VF_OK ||
            vf_checkpoint_parse(&note, &cp, NULL) != VF_OK || cp.size <= c->size)
            return vf_fail(why, VF_E_DAMAGED, "%s/" VF_LOG_CHECKPOINTS ": the copy kept here is damaged at byte %llu",
                           c->dir, (unsigned long long)r.at);
        c->last.len = 0;
        vf_buf_put(&c->last, p, len);
        c->size = cp.size;
        vf_record_reader_pass(&r, len);
        c->cp_end = r.at;
        VF_TRY(vf_buf_check(&c->last, "a checkpoint", why));
    }
}

/* The byte behind the last entry that counts, in the last segment that has one. */
static enum vf_err find_end(struct copy *c, struct vf_why *why)
{
    VF_CLEANUP(vf_line_reader_done) struct vf_line_reader r = {0};
    char name[VF_SEGMENT_NAME_LEN + 1];
    VF_SEGMENTS segs = {0};
    VF_FD fd = -1;

    VF_TRY(vf_segments_list(c->dirfd, c->dir, &segs, why));
    for (size_t i = 0; i < segs.n && segs.first[i] < c->size; i++) {
        c->seg_first = segs.first[i];
        c->any_segment = true;
    }
    if (!c->any_segment)
        return c->size == 0 ? VF_OK
                            : vf_fail(why, VF_E_DAMAGED, "%s: the entries of the copy kept here are missing", c->dir);
    vf_segment_name(c->seg_first, name);
    VF_TRY(vf_segment_open(c->dirfd, c->dir, name, O_RDONLY, &fd, NULL, why));
    VF_TRY(vf_line_reader_init(&r, why));
    vf_line_reader_start(&r, fd, 0, INT64_MAX);
    for (uint64_t n = c->seg_first; n < c->size; n++) {
        enum vf_line_kind kind = VF_LINE_END;
        const char *line = NULL;
        size_t len = 0;
        VF_TRY(vf_line_reader_next(&r, c->dir, &kind, &line, &len, why));
        if (kind != VF_LINE_WHOLE)
            return vf_fail(why, VF_E_DAMAGED, "%s/%s: the copy kept here is damaged: entry %llu", c->dir, name,
                           (unsigned long long)n);
    }
    c->seg_end = r.at;
    return VF_OK;
}

/* ------------------------------------------------------------------------------------------------------------------ 4. entries */

struct append {
    struct copy *c;
    struct vf_tree tree;
    uint64_t seq; /* of the line at the reader */
    int fd;
    uint64_t at;
    bool fresh; /* the folder has a new name in it */
    struct vf_buf out;
};

#define OUT_MAX ((size_t)1 << 20)

static enum vf_err flush(struct append *a, struct vf_why *why)
{
    if (a->out.len == 0)
        return VF_OK;
    VF_TRY(vf_fd_pwrite(a->fd, a->out.data, a->out.len, a->at, a->c->dir, why));
    a->at += a->out.len;
    a->out.len = 0;
    return VF_OK;
}

/* Segments that begin at or behind the end are of a hand-in that was not finished. */
static enum vf_err drop_unfinished(struct copy *c, struct vf_why *why)
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

static enum vf_err open_segment(struct append *a, uint64_t first, uint64_t keep, struct vf_why *why)
{
    char name[VF_SEGMENT_NAME_LEN + 1];

    vf_segment_name(first, name);
    vf_fd_close(&a->fd);
    a->fd = openat(a->c->dirfd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW, 0600);
    if (a->fd < 0)
        return vf_fail_sys(why, "%s/%s: cannot open", a->c->dir, name);
    if (ftruncate(a->fd, (off_t)keep) != 0)
        return vf_fail_sys(why, "%s/%s: cannot cut what was not finished", a->c->dir, name);
    a->at = keep;
    a->fresh = a->fresh || keep == 0;
    return VF_OK;
}

static enum vf_err add_line(struct append *a, const char *line, size_t len, struct vf_why *why)
{
    struct vf_hash leaf;

    if (a->at + a->out.len + len + 1 > VF_LOG_SEGMENT_MAX && a->at + a->out.len > 0) {
        VF_TRY(flush(a, why));
        VF_TRY(vf_fd_sync(a->fd, a->c->dir, why));
        VF_TRY(open_segment(a, a->seq, 0, why));
    }
    vf_leaf_hash(line, len, &leaf);
    vf_tree_add(&a->tree, &leaf);
    vf_buf_put(&a->out, line, len);
    vf_buf_u8(&a->out, '\n');
    VF_TRY(vf_buf_check(&a->out, "entries", why));
    a->seq++;
    return a->out.len >= OUT_MAX - VF_ENTRY_LINE_MAX - 1 ? flush(a, why) : VF_OK;
}

/* Lines [c->size, v->sealed) of the file. */
static enum vf_err append_entries(struct append *a, const struct vf_source *file, const struct vf_verdict *v,
                                  struct vf_why *why)
{
    VF_CLEANUP(vf_line_reader_done) struct vf_line_reader r = {0};
    struct vf_hash mine, theirs;

    VF_TRY(drop_unfinished(a->c, why));
    VF_TRY(open_segment(a, a->c->any_segment ? a->c->seg_first : a->c->size, a->c->seg_end, why));
    VF_TRY(vf_line_reader_init(&r, why));
    vf_line_reader_start(&r, file->fd, file->entries_at, file->entries_end);
    for (uint64_t n = 0; n < v->sealed; n++) {
        enum vf_line_kind kind = VF_LINE_END;
        const char *line = NULL;
        size_t len = 0;
        VF_TRY(vf_line_reader_next(&r, file->path, &kind, &line, &len, why));
        if (kind != VF_LINE_WHOLE)
            return vf_fail(why, VF_E_FORGED, "%s: changed while it was being read", file->path);
        if (n >= a->c->size)
            VF_TRY(add_line(a, line, len, why));
    }
    VF_TRY(flush(a, why));
    vf_tree_root(&a->tree, &mine);
    vf_tree_root(&v->tree, &theirs);
    if (!vf_equal(mine.b, theirs.b, sizeof(mine.b)))
        return vf_fail(why, VF_E_FORGED, "%s: changed while it was being read", file->path);
    VF_TRY(vf_fd_sync(a->fd, a->c->dir, why));
    if (a->fresh && fsync(a->c->dirfd) != 0 && errno != EINVAL)
        return vf_fail_sys(why, "%s: cannot make the folder durable", a->c->dir);
    return VF_OK;
}

static void append_done(struct append *a)
{
    vf_fd_close(&a->fd);
    vf_buf_done(&a->out);
}

/* -------------------------------------------------------------------------------------------------------------- 5. checkpoints */

static enum vf_err append_checkpoints(const struct copy *c, const struct vf_source *file, struct vf_why *why)
{
    VF_FD fd = openat(c->dirfd, VF_LOG_CHECKPOINTS, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW, 0600);
    uint8_t chunk[65536];
    uint64_t at = c->cp_end;

    if (fd < 0)
        return vf_fail_sys(why, "%s/" VF_LOG_CHECKPOINTS ": cannot open", c->dir);
    if (ftruncate(fd, (off_t)at) != 0)
        return vf_fail_sys(why, "%s/" VF_LOG_CHECKPOINTS ": cannot cut what was not finished", c->dir);
    while (at < file->cp_end - file->cp_at) {
        uint64_t left = file->cp_end - file->cp_at - at;
        size_t n = left < sizeof(chunk) ? (size_t)left : sizeof(chunk);
        VF_TRY(vf_fd_pread(file->fd, chunk, n, file->cp_at + at, file->path, why));
        VF_TRY(vf_fd_pwrite(fd, chunk, n, at, c->dir, why));
        at += n;
    }
    VF_TRY(vf_fd_sync(fd, c->dir, why));
    if (c->cp_end == 0 && fsync(c->dirfd) != 0 && errno != EINVAL)
        return vf_fail_sys(why, "%s: cannot make the folder durable", c->dir);
    return VF_OK;
}

/* The checkpoints that the copy has are, byte for byte, the first of the file. */
static enum vf_err match_checkpoints(const struct copy *c, const struct vf_source *file, struct vf_why *why)
{
    VF_FD fd = -1;
    uint8_t a[65536], b[65536];

    if (c->cp_end == 0)
        return VF_OK;
    VF_TRY(vf_segment_open(c->dirfd, c->dir, VF_LOG_CHECKPOINTS, O_RDONLY, &fd, NULL, why));
    for (uint64_t at = 0; at < c->cp_end;) {
        size_t n = c->cp_end - at < sizeof(a) ? (size_t)(c->cp_end - at) : sizeof(a);
        bool there = at + n <= file->cp_end - file->cp_at;
        VF_TRY(vf_fd_pread(fd, a, n, at, c->dir, why));
        if (there)
            VF_TRY(vf_fd_pread(file->fd, b, n, file->cp_at + at, file->path, why));
        if (!there || memcmp(a, b, n) != 0)
            return vf_fail(why, VF_E_FORGED, "%s: its checkpoints are not those that were handed in before", file->path);
        at += n;
    }
    return VF_OK;
}

/* ------------------------------------------------------------------------------------------------------------------- together */

/* 3. With the copy's last checkpoint among those that the file must contain. */
static enum vf_err verify_file(const struct copy *c, const char *file, const struct vf_verify_options *opt,
                               struct vf_verdict *v, struct vf_tree *ret_tree, struct vf_why *why)
{
    struct vf_verify_options with = *opt;
    VF_FREE struct vf_note *notes = calloc(opt->ncheckpoints + 1, sizeof(*notes));

    if (notes == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", file);
    if (opt->ncheckpoints > 0)
        memcpy(notes, opt->checkpoints, opt->ncheckpoints * sizeof(*notes));
    with.checkpoints = notes;
    if (c->size > 0) {
        VF_TRY(vf_note_parse(c->last.data, c->last.len, &notes[opt->ncheckpoints], why));
        with.ncheckpoints++;
    }
    VF_TRY(vf_log_verify_capture(file, &with, c->size, v, ret_tree, why));
    if (!v->good)
        return vf_fail(why, VF_E_FORGED, "%s: %s", file, v->findings[0]);
    if (v->sealed < c->size)
        return vf_fail(why, VF_E_FORGED, "%s: has %llu entries, fewer than the %llu that were handed in before", file,
                       (unsigned long long)v->sealed, (unsigned long long)c->size);
    return VF_OK;
}

static enum vf_err last_checkpoint(const struct vf_source *file, struct vf_buf *out, struct vf_why *why)
{
    VF_CLEANUP(vf_record_reader_done) struct vf_record_reader r = {0};
    enum vf_record_kind kind = VF_RECORD_WHOLE;
    const char *p = NULL;
    size_t len = 0;
    size_t had = out->len;

    VF_TRY(vf_record_reader_init(&r, file->fd, file->cp_at, file->cp_end, why));
    while (kind == VF_RECORD_WHOLE) {
        VF_TRY(vf_record_reader_peek(&r, file->path, &kind, &p, &len, why));
        if (kind != VF_RECORD_WHOLE)
            break;
        out->len = had;
        vf_buf_put(out, p, len);
        vf_record_reader_pass(&r, len);
    }
    return vf_buf_check(out, "the last checkpoint", why);
}

static enum vf_err store(struct copy *c, const char *path, const struct vf_verify_options *opt, struct vf_verdict *v,
                         struct vf_buf *checkpoint, struct vf_why *why)
{
    VF_CLEANUP(append_done) struct append a = {.c = c, .fd = -1};
    VF_SOURCE file = {.fd = -1, .cp_fd = -1};

    VF_TRY(vf_source_open(path, &file, why));
    if (file.folder)
        return vf_fail(why, VF_E_INPUT, "%s: a folder, not a handed-in file", path);
    VF_TRY(open_copy(c, why));
    VF_TRY(match_origin(c, &file, why));
    VF_TRY(find_checkpoint(c, why));
    VF_TRY(find_end(c, why));
    VF_TRY(verify_file(c, path, opt, v, &a.tree, why));
    VF_TRY(match_checkpoints(c, &file, why));
    if (faccessat(c->dirfd, VF_LOG_ORIGIN, F_OK, AT_SYMLINK_NOFOLLOW) != 0)
        VF_TRY(put_file(c->dir, VF_LOG_ORIGIN, file.origin.data, file.origin.len, why));
    if (v->sealed > c->size) {
        a.seq = c->size;
        vf_buf_init(&a.out, OUT_MAX);
        VF_TRY(append_entries(&a, &file, v, why));
        VF_TRY(append_checkpoints(c, &file, why));
    }
    return checkpoint != NULL ? last_checkpoint(&file, checkpoint, why) : VF_OK;
}

enum vf_err vf_handin_store(const char *file, const char *dir, const struct vf_verify_options *opt, struct vf_verdict *ret,
                            struct vf_buf *checkpoint, struct vf_why *why)
{
    static const struct vf_verify_options none;
    VF_CLEANUP(copy_done) struct copy c = {.dir = dir, .dirfd = -1, .lockfd = -1};
    VF_FREE struct vf_verdict *v = calloc(1, sizeof(*v));

    if (v == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", file);
    vf_buf_init(&c.last, VF_RECORD_MAX);
    enum vf_err err = store(&c, file, opt != NULL ? opt : &none, v, checkpoint, why);
    if (ret != NULL)
        *ret = *v;
    return err;
}
