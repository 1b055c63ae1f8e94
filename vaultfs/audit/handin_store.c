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
 * copy.h says what a crash leaves.
 */
#include "copy.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------------------------------------------------- 2. where it ends */

static enum vf_err find_checkpoint(struct vf_copy *c, struct vf_why *why)
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
static enum vf_err find_end(struct vf_copy *c, struct vf_why *why)
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

/* Lines [c->size, v->sealed) of the file. */
static enum vf_err append_entries(struct vf_copy *c, const struct vf_source *file, const struct vf_verdict *v,
                                  struct vf_tree *tree, struct vf_why *why)
{
    VF_CLEANUP(vf_line_reader_done) struct vf_line_reader r = {0};
    VF_COPY_APPEND a = {.fd = -1};
    struct vf_hash leaf, mine, theirs;

    VF_TRY(vf_copy_append_begin(&a, c, why));
    VF_TRY(vf_line_reader_init(&r, why));
    vf_line_reader_start(&r, file->fd, file->entries_at, file->entries_end);
    for (uint64_t n = 0; n < v->sealed; n++) {
        enum vf_line_kind kind = VF_LINE_END;
        const char *line = NULL;
        size_t len = 0;
        VF_TRY(vf_line_reader_next(&r, file->path, &kind, &line, &len, why));
        if (kind != VF_LINE_WHOLE)
            return vf_fail(why, VF_E_FORGED, "%s: changed while it was being read", file->path);
        if (n < c->size)
            continue;
        VF_TRY(vf_copy_append_line(&a, line, len, why));
        vf_leaf_hash(line, len, &leaf);
        vf_tree_add(tree, &leaf);
    }
    VF_TRY(vf_copy_append_flush(&a, why));
    vf_tree_root(tree, &mine);
    vf_tree_root(&v->tree, &theirs);
    if (!vf_equal(mine.b, theirs.b, sizeof(mine.b)))
        return vf_fail(why, VF_E_FORGED, "%s: changed while it was being read", file->path);
    return vf_copy_append_sync(&a, why);
}

/* -------------------------------------------------------------------------------------------------------------- 5. checkpoints */

/* Is this what the verdict is about? The file may lie where others can write. */
static bool was_verified(const uint8_t *data, size_t len, const struct vf_verdict *v)
{
    struct vf_checkpoint cp;
    struct vf_note note;
    struct vf_hash root;

    if (len == 0)
        return v->sealed == 0;
    vf_tree_root(&v->tree, &root);
    return vf_note_parse((const char *)data, len, &note, NULL) == VF_OK && vf_checkpoint_parse(&note, &cp, NULL) == VF_OK &&
           strcmp(cp.origin, v->origin.line) == 0 && cp.size == v->sealed && vf_equal(cp.root.b, root.b, sizeof(root.b));
}

/* The note of the last checkpoint that stands in these bytes of `fd`, appended. VF_E_FORGED: not the one that was verified. */
static enum vf_err last_verified(int fd, uint64_t at, uint64_t end, const char *path, const struct vf_verdict *v,
                                 struct vf_buf *out, struct vf_why *why)
{
    VF_CLEANUP(vf_record_reader_done) struct vf_record_reader r = {0};
    enum vf_record_kind kind = VF_RECORD_WHOLE;
    const char *p = NULL;
    size_t len = 0;
    const size_t had = out->len;

    VF_TRY(vf_record_reader_init(&r, fd, at, end, why));
    while (kind == VF_RECORD_WHOLE) {
        VF_TRY(vf_record_reader_peek(&r, path, &kind, &p, &len, why));
        if (kind != VF_RECORD_WHOLE)
            break;
        out->len = had;
        vf_buf_put(out, p, len);
        vf_record_reader_pass(&r, len);
    }
    VF_TRY(vf_buf_check(out, "the last checkpoint", why));
    if (was_verified(out->len > had ? out->data + had : NULL, out->len - had, v))
        return VF_OK;
    out->len = had;
    return vf_fail(why, VF_E_FORGED, "%s: changed while it was being read", path);
}

static enum vf_err append_checkpoints(const struct vf_copy *c, const struct vf_source *file, const struct vf_verdict *v,
                                      struct vf_why *why)
{
    uint8_t chunk[65536];
    VF_BUF last = {.max = VF_RECORD_MAX};
    uint64_t at = c->cp_end;
    VF_FD fd = -1;

    VF_TRY(vf_copy_checkpoints_open(c, &fd, why));
    while (at < file->cp_end - file->cp_at) {
        uint64_t left = file->cp_end - file->cp_at - at;
        size_t n = left < sizeof(chunk) ? (size_t)left : sizeof(chunk);
        VF_TRY(vf_fd_pread(file->fd, chunk, n, file->cp_at + at, file->path, why));
        VF_TRY(vf_fd_pwrite(fd, chunk, n, at, c->dir, why));
        at += n;
    }
    VF_TRY(last_verified(fd, c->cp_end, at, file->path, v, &last, why));
    return vf_copy_checkpoints_sync(c, fd, why);
}

/* The checkpoints that the copy has are, byte for byte, the first of the file. */
static enum vf_err match_checkpoints(const struct vf_copy *c, const struct vf_source *file, struct vf_why *why)
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
static enum vf_err verify_file(const struct vf_copy *c, const char *file, const struct vf_verify_options *opt,
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

enum vf_err vf_handin_last(const struct vf_source *file, const struct vf_verdict *v, struct vf_buf *out, struct vf_why *why)
{
    return last_verified(file->fd, file->cp_at, file->cp_end, file->path, v, out, why);
}

enum vf_err vf_handin_fill(struct vf_copy *c, const struct vf_source *file, const struct vf_verdict *v, struct vf_why *why)
{
    struct vf_tree tree;

    vf_tree_init(&tree);
    VF_TRY(vf_copy_origin_put(c, (struct vf_slice){file->origin.data, file->origin.len}, why));
    if (v->sealed == 0)
        return VF_OK;
    VF_TRY(append_entries(c, file, v, &tree, why));
    return append_checkpoints(c, file, v, why);
}

enum vf_err vf_handin_store_in(struct vf_copy *c, const struct vf_source *file, const struct vf_verify_options *opt,
                               struct vf_verdict *v, struct vf_why *why)
{
    const struct vf_slice origin = {file->origin.data, file->origin.len};
    struct vf_tree tree;
    bool there = false;

    VF_TRY(vf_copy_origin_match(c, origin, file->path, &there, why));
    VF_TRY(find_checkpoint(c, why));
    VF_TRY(find_end(c, why));
    VF_TRY(verify_file(c, file->path, opt, v, &tree, why));
    VF_TRY(match_checkpoints(c, file, why));
    if (!there)
        VF_TRY(vf_copy_origin_put(c, origin, why));
    if (v->sealed == c->size)
        return VF_OK;
    enum vf_err err = append_entries(c, file, v, &tree, why);
    if (err == VF_OK)
        err = append_checkpoints(c, file, v, why);
    if (err != VF_OK)
        vf_copy_append_undo(c);
    return err;
}

static enum vf_err store(struct vf_copy *c, const char *path, const struct vf_verify_options *opt, struct vf_verdict *v,
                         struct vf_buf *checkpoint, struct vf_why *why)
{
    VF_SOURCE file = {.fd = -1, .cp_fd = -1};

    VF_TRY(vf_source_open(path, &file, why));
    if (file.folder)
        return vf_fail(why, VF_E_INPUT, "%s: a folder, not a handed-in file", path);
    VF_TRY(vf_copy_open(c, why));
    VF_TRY(vf_handin_store_in(c, &file, opt, v, why));
    return checkpoint != NULL ? vf_handin_last(&file, v, checkpoint, why) : VF_OK;
}

enum vf_err vf_handin_store(const char *file, const char *dir, const struct vf_verify_options *opt, struct vf_verdict *ret,
                            struct vf_buf *checkpoint, struct vf_why *why)
{
    static const struct vf_verify_options none;
    VF_CLEANUP(vf_copy_done) struct vf_copy c = {.dir = dir, .dirfd = -1, .lockfd = -1};
    VF_FREE struct vf_verdict *v = calloc(1, sizeof(*v));

    if (v == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", file);
    vf_buf_init(&c.last, VF_RECORD_MAX);
    enum vf_err err = store(&c, file, opt != NULL ? opt : &none, v, checkpoint, why);
    if (ret != NULL)
        *ret = *v;
    return err;
}
