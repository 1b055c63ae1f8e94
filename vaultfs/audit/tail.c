/* SPDX-License-Identifier: MIT */
/*
 * The newest part of a writer's log, as it stands in its files, beside the writer. What is sealed is durable and does not change any more, so
 * nothing is locked. Both files are in order of number, so the place is found by halving.
 */
#include "log.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NEAR_LINES   ((uint64_t)32 * 1024) /* so little is read through */
#define NEAR_RECORDS ((uint64_t)2 * 1024)

struct tail {
    struct vf_log *log;
    int dirfd;
    uint64_t from, sealed;
    size_t max;
    struct vf_record_reader cps; /* stands before the first checkpoint behind `from` */
    struct vf_checkpoint next;   /* that one */
    size_t next_len;
    struct vf_buf *checkpoints, *entries;
    size_t cp_base, entry_base;
    uint64_t size; /* entries up to the last checkpoint taken */
};

static enum vf_err damaged(const struct tail *t, const char *what, struct vf_why *why)
{
    return vf_fail(why, VF_E_DAMAGED, "%s: %s behind entry %llu: run `audit verify` on it", t->log->dir, what,
                   (unsigned long long)t->from);
}

/* -------------------------------------------------------------------------------------------------------------- checkpoints */

/* The record at the reader into t->next; false at the end, or where a new one is being written. */
static enum vf_err look(struct tail *t, bool *ret, struct vf_why *why)
{
    enum vf_record_kind kind = VF_RECORD_END;
    const char *p = NULL;
    struct vf_note note;

    *ret = false;
    VF_TRY(vf_record_reader_peek(&t->cps, t->log->dir, &kind, &p, &t->next_len, why));
    if (kind == VF_RECORD_END || kind == VF_RECORD_TORN)
        return VF_OK;
    if (kind != VF_RECORD_WHOLE || vf_note_parse(p, t->next_len, &note, NULL) != VF_OK ||
        vf_checkpoint_parse(&note, &t->next, NULL) != VF_OK)
        return damaged(t, "a checkpoint that is none", why);
    *ret = t->next.size <= t->sealed;
    return VF_OK;
}

/* Set the reader at `at`; on to the first record that begins behind it, or at 0. */
static enum vf_err seek(struct tail *t, uint64_t at, bool *ret, struct vf_why *why)
{
    t->cps.at = at;
    t->cps.have = 0;
    *ret = true;
    return at == 0 ? VF_OK : vf_record_reader_resync(&t->cps, t->log->dir, t->log->origin.line, ret, why);
}

/* To the first checkpoint behind `from`. VF_E_STALE: there is none of `from` entries. */
static enum vf_err find_checkpoint(struct tail *t, struct vf_why *why)
{
    uint64_t lo = 0;
    uint64_t hi = t->cps.end;
    bool there = false;
    bool met = t->from == 0;

    while (t->from > 0 && hi - lo > NEAR_RECORDS) {
        uint64_t mid = lo + (hi - lo) / 2;
        VF_TRY(seek(t, mid, &there, why));
        uint64_t at = t->cps.at;
        if (there)
            VF_TRY(look(t, &there, why));
        if (there && t->next.size <= t->from)
            lo = at;
        else
            hi = mid;
    }
    VF_TRY(seek(t, lo > 0 ? lo - 1 : 0, &there, why)); /* where one begins */
    for (;;) {
        VF_TRY(look(t, &there, why));
        met = met || (there && t->next.size == t->from);
        if (!there || t->next.size > t->from)
            break;
        vf_record_reader_pass(&t->cps, t->next_len);
    }
    if (!met)
        return vf_fail(why, VF_E_STALE, "%s: no checkpoint of %llu entries", t->log->dir, (unsigned long long)t->from);
    if (!there)
        t->next.size = 0;
    return VF_OK;
}

/* The entries that t->next covers are there: take it, and look at the one behind it. */
static enum vf_err take_checkpoint(struct tail *t, struct vf_why *why)
{
    bool there = false;

    vf_buf_put(t->checkpoints, t->cps.buf, t->next_len + 1);
    t->size = t->next.size;
    t->entry_base = t->entries->len;
    t->cp_base = t->checkpoints->len;
    vf_record_reader_pass(&t->cps, t->next_len);
    VF_TRY(look(t, &there, why));
    if (!there)
        t->next.size = 0;
    return vf_buf_check(t->checkpoints, "the checkpoints of a log", why);
}

/* ------------------------------------------------------------------------------------------------------------------ entries */

/* The number of the first line that begins behind byte `mid`, and where. False: none that can be read. */
static bool line_behind(int fd, uint64_t mid, char *buf, uint64_t *ret_at, uint64_t *ret_seq)
{
    static const char key[] = "{\"seq\":";
    ssize_t n = pread(fd, buf, VF_ENTRY_LINE_MAX + 64, (off_t)mid);
    const char *nl = n > 0 ? memchr(buf, '\n', (size_t)n) : NULL;

    if (nl == NULL)
        return false;
    const char *p = nl + 1;
    size_t left = (size_t)(buf + n - p);
    if (left < sizeof(key) || memcmp(p, key, sizeof(key) - 1) != 0)
        return false;
    const char *digits = p + sizeof(key) - 1;
    const char *comma = memchr(digits, ',', left - (sizeof(key) - 1));
    *ret_at = mid + (uint64_t)(p - buf);
    return comma != NULL && vf_uint_parse(digits, (size_t)(comma - digits), VF_ENTRY_SEQ_MAX, ret_seq);
}

/* A byte at which a line begins, at or a little before that of entry `seq`; *ret_seq: its number. What is void stands behind it. */
static enum vf_err find_line(int fd, uint64_t size, uint64_t first, uint64_t seq, uint64_t *ret_at, uint64_t *ret_seq,
                             struct vf_why *why)
{
    VF_FREE char *buf = malloc(VF_ENTRY_LINE_MAX + 64);
    uint64_t lo = 0;
    uint64_t lo_seq = first;
    uint64_t hi = size;

    if (buf == NULL)
        return vf_fail(why, VF_E_NOMEM, "no memory to read a log");
    while (lo_seq < seq && hi - lo > NEAR_LINES) {
        uint64_t mid = lo + (hi - lo) / 2;
        uint64_t at = 0;
        uint64_t n = 0;
        if (line_behind(fd, mid, buf, &at, &n) && n <= seq && n > lo_seq) {
            lo = at;
            lo_seq = n;
        } else {
            hi = mid;
        }
    }
    *ret_at = lo;
    *ret_seq = lo_seq;
    return VF_OK;
}

/* Lines [from, limit) of one segment, as long as there is a checkpoint to come and room. */
static enum vf_err take_segment(struct tail *t, struct vf_line_reader *r, uint64_t first, uint64_t limit, uint64_t *seq,
                                bool *ret_full, struct vf_why *why)
{
    char name[VF_SEGMENT_NAME_LEN + 1];
    uint64_t size = 0;
    uint64_t at = 0;
    uint64_t n = 0;
    VF_FD fd = -1;

    vf_segment_name(first, name);
    VF_TRY(vf_segment_open(t->dirfd, t->log->dir, name, O_RDONLY, &fd, &size, why));
    VF_TRY(find_line(fd, size, first, *seq, &at, &n, why));
    vf_line_reader_start(r, fd, at, INT64_MAX);
    for (; n < limit && t->next.size > 0; n++) {
        enum vf_line_kind kind = VF_LINE_END;
        const char *line = NULL;
        size_t len = 0;
        VF_TRY(vf_line_reader_next(r, t->log->dir, &kind, &line, &len, why));
        if (kind != VF_LINE_WHOLE)
            return damaged(t, "entries are missing", why);
        if (n < *seq)
            continue;
        *ret_full = t->entries->len + len + 1 > t->max;
        if (*ret_full)
            break;
        vf_buf_put(t->entries, line, len);
        vf_buf_u8(t->entries, '\n');
        VF_TRY(vf_buf_check(t->entries, "the entries of a log", why));
        if (++*seq == t->next.size)
            VF_TRY(take_checkpoint(t, why));
    }
    return VF_OK;
}

static enum vf_err take_entries(struct tail *t, struct vf_why *why)
{
    VF_CLEANUP(vf_line_reader_done) struct vf_line_reader r = {0};
    VF_SEGMENTS segs = {0};
    uint64_t seq = t->from;
    bool full = false;

    VF_TRY(vf_segments_list(t->dirfd, t->log->dir, &segs, why));
    VF_TRY(vf_line_reader_init(&r, why));
    for (size_t i = 0; i < segs.n && !full && t->next.size > 0; i++) {
        uint64_t limit = vf_segments_limit(&segs, i);
        if (limit <= seq)
            continue;
        if (segs.first[i] > seq)
            break;
        VF_TRY(take_segment(t, &r, segs.first[i], limit, &seq, &full, why));
    }
    if (!full && t->next.size > 0)
        return damaged(t, "entries are missing", why);
    if (t->size == t->from && full)
        return vf_fail(why, VF_E_LIMIT, "%s: what the checkpoint of %llu entries covers is more than %zu bytes", t->log->dir,
                       (unsigned long long)t->next.size, t->max);
    return VF_OK;
}

/* ----------------------------------------------------------------------------------------------------------------- together */

static enum vf_err run(struct tail *t, struct vf_why *why)
{
    VF_FD dirfd = open(t->log->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    struct vf_log_state state;
    uint64_t size = 0;
    VF_FD fd = -1;

    if (dirfd < 0)
        return vf_fail_sys(why, "%s: cannot open the folder of the log", t->log->dir);
    t->dirfd = dirfd;
    vf_log_state_get(t->log, &state);
    t->sealed = state.sealed;
    if (t->from > t->sealed)
        return vf_fail(why, VF_E_STALE, "%s: no checkpoint of %llu entries: the log has %llu", t->log->dir,
                       (unsigned long long)t->from, (unsigned long long)t->sealed);
    if (t->from == 0 && t->sealed == 0)
        return VF_OK;
    VF_TRY(vf_segment_open(dirfd, t->log->dir, VF_LOG_CHECKPOINTS, O_RDONLY, &fd, &size, why));
    VF_TRY(vf_record_reader_init(&t->cps, fd, 0, size, why));
    VF_TRY(find_checkpoint(t, why));
    return take_entries(t, why);
}

enum vf_err vf_log_tail(struct vf_log *log, uint64_t from, size_t max, struct vf_buf *checkpoints, struct vf_buf *entries,
                        uint64_t *ret_size, struct vf_why *why)
{
    const size_t cp_base = checkpoints->len;
    const size_t entry_base = entries->len;
    struct tail t = {
        .log = log,
        .dirfd = -1,
        .from = from,
        .size = from,
        .checkpoints = checkpoints,
        .entries = entries,
        .cp_base = cp_base,
        .entry_base = entry_base,
    };

    t.max = entry_base + (max < SIZE_MAX - entry_base ? max : SIZE_MAX - entry_base);
    enum vf_err err = run(&t, why);
    vf_record_reader_done(&t.cps);
    /* What no whole checkpoint covers goes. */
    entries->len = err == VF_OK ? t.entry_base : entry_base;
    checkpoints->len = err == VF_OK ? t.cp_base : cp_base;
    if (err != VF_OK)
        return err;
    *ret_size = t.size;
    return VF_OK;
}
