/* SPDX-License-Identifier: MIT */
/* A hand-in file from a log folder. */
#include "source.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* The checkpoints that are whole: their bytes and what the last one covers. */
static enum vf_err measure(const struct vf_source *src, struct vf_handin_head *ret, struct vf_why *why)
{
    VF_CLEANUP(vf_record_reader_done) struct vf_record_reader r = {0};
    struct vf_checkpoint c = {0};
    struct vf_note note;

    ret->checkpoints_len = 0;
    ret->entries = 0;
    if (src->cp_fd < 0)
        return VF_OK;
    VF_TRY(vf_record_reader_init(&r, src->cp_fd, src->cp_at, src->cp_end, why));
    for (;;) {
        enum vf_record_kind kind = VF_RECORD_END;
        const char *p = NULL;
        size_t len = 0;
        VF_TRY(vf_record_reader_peek(&r, src->path, &kind, &p, &len, why));
        /* A torn one at the end is being written, or will be written again. */
        if (kind == VF_RECORD_END || kind == VF_RECORD_TORN)
            return VF_OK;
        enum vf_err err = kind == VF_RECORD_WHOLE ? vf_note_parse(p, len, &note, why)
                                                  : vf_fail(why, VF_E_FORMAT, "not the form of a checkpoint");
        if (err == VF_OK)
            err = vf_checkpoint_parse(&note, &c, why);
        if (err == VF_OK && c.size <= ret->entries)
            err = vf_fail(why, VF_E_FORMAT, "covers no more than the one before it");
        if (err != VF_OK)
            return vf_fail_prefix(why, VF_E_DAMAGED, "%s: the checkpoint at byte %llu", src->path, (unsigned long long)r.at);
        vf_record_reader_pass(&r, len);
        ret->checkpoints_len = r.at - src->cp_at;
        ret->entries = c.size;
    }
}

static enum vf_err copy_range(int from, uint64_t at, uint64_t len, int to, const char *what, struct vf_why *why)
{
    uint8_t chunk[65536];

    while (len > 0) {
        size_t n = len < sizeof(chunk) ? (size_t)len : sizeof(chunk);
        VF_TRY(vf_fd_pread(from, chunk, n, at, what, why));
        VF_TRY(vf_fd_write(to, chunk, n, "the file that the log is handed in with", why));
        at += n;
        len -= n;
    }
    return VF_OK;
}

/* Copy up to `lines` lines of a segment. *ret_lines: how many there were. Whole chunks, newlines only counted. */
static enum vf_err copy_lines(int from, uint64_t at, uint64_t end, int to, const char *what, uint64_t lines,
                              uint64_t *ret_lines, struct vf_why *why)
{
    char chunk[65536];

    *ret_lines = 0;
    while (*ret_lines < lines && at < end) {
        ssize_t n = pread(from, chunk, end - at < sizeof(chunk) ? (size_t)(end - at) : sizeof(chunk), (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return vf_fail_sys(why, "%s: cannot read", what);
        if (n == 0)
            break;
        size_t use = 0;
        while (use < (size_t)n && *ret_lines < lines) {
            const char *nl = memchr(chunk + use, '\n', (size_t)n - use);
            use = nl != NULL ? (size_t)(nl - chunk) + 1 : (size_t)n;
            *ret_lines += nl != NULL ? 1 : 0;
        }
        VF_TRY(vf_fd_write(to, chunk, use, "the file that the log is handed in with", why));
        at += use;
    }
    return VF_OK;
}

/* Entries [0, n): of each segment those below the next one's first. */
static enum vf_err copy_entries(const struct vf_source *src, uint64_t n, int to, struct vf_why *why)
{
    uint64_t done = 0;

    for (size_t i = 0; i < src->segs.n && done < n; i++) {
        uint64_t limit = vf_segments_limit(&src->segs, i);
        uint64_t at = 0;
        uint64_t end = 0;
        uint64_t got = 0;
        bool own = false;
        int fd = -1;
        if (src->segs.first[i] != done)
            break;
        limit = limit < n ? limit : n;
        VF_TRY(vf_source_segment(src, i, &fd, &own, &at, &end, why));
        enum vf_err err = copy_lines(fd, at, end, to, src->path, limit - done, &got, why);
        if (own)
            vf_fd_close(&fd);
        VF_TRY(err);
        done += got;
    }
    if (done < n)
        return vf_fail(why, VF_E_DAMAGED, "%s: sealed entries are missing: entry %llu", src->path, (unsigned long long)done);
    return VF_OK;
}

enum vf_err vf_handin_write(const char *log_dir, int fd, uint64_t *ret_size, struct vf_why *why)
{
    VF_SOURCE src = {.fd = -1, .cp_fd = -1};
    struct vf_handin_head head = {0};
    uint8_t raw[VF_HANDIN_HEAD_LEN];
    VF_SEGMENTS segs = {0};

    VF_TRY(vf_source_open(log_dir, &src, why));
    if (!src.folder)
        return vf_fail(why, VF_E_INPUT, "%s: not the folder of a log", log_dir);
    /* 1. What the checkpoints cover is fixed first; 2. then the segments are listed: those entries are durable and in their places. */
    VF_TRY(measure(&src, &head, why));
    VF_TRY(vf_segments_list(src.fd, src.path, &segs, why));
    vf_segments_done(&src.segs);
    src.segs = segs;
    segs = (struct vf_segments){0};
    head.origin_len = (uint32_t)src.origin.len;
    vf_handin_head_encode(&head, raw);
    VF_TRY(vf_fd_write(fd, raw, sizeof(raw), "the file that the log is handed in with", why));
    VF_TRY(vf_fd_write(fd, src.origin.data, src.origin.len, "the file that the log is handed in with", why));
    if (head.checkpoints_len > 0)
        VF_TRY(copy_range(src.cp_fd, src.cp_at, head.checkpoints_len, fd, src.path, why));
    VF_TRY(copy_entries(&src, head.entries, fd, why));
    *ret_size = head.entries;
    return VF_OK;
}

enum vf_err vf_log_seal_handin(struct vf_log *log, struct vf_why *why)
{
    const struct vf_entry e = {.event = VF_EVENT_HANDIN, .part = -1, .result = "ok"};

    VF_TRY(vf_log_commit(log, &e, why));
    return vf_log_seal(log, why);
}
