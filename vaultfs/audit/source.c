/* SPDX-License-Identifier: MIT */
#include "source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void vf_handin_head_encode(const struct vf_handin_head *h, uint8_t out[VF_HANDIN_HEAD_LEN])
{
    memcpy(out, VF_HANDIN_TYPE, 8);
    vf_put_be32(out + 8, VF_HANDIN_VERSION);
    vf_put_be32(out + 12, h->origin_len);
    vf_put_be64(out + 16, h->checkpoints_len);
    vf_put_be64(out + 24, h->entries);
}

enum vf_err vf_handin_head_decode(const uint8_t in[VF_HANDIN_HEAD_LEN], struct vf_handin_head *ret, struct vf_why *why)
{
    struct vf_handin_head h = {
        .origin_len = vf_get_be32(in + 12), .checkpoints_len = vf_get_be64(in + 16), .entries = vf_get_be64(in + 24)};

    if (memcmp(in, VF_HANDIN_TYPE, 8) != 0 || vf_get_be32(in + 8) != VF_HANDIN_VERSION)
        return vf_fail(why, VF_E_VERSION, "not a handed-in log, or of another version of vaultfs");
    if (h.origin_len == 0 || h.origin_len > VF_LOG_ORIGIN_MAX || h.checkpoints_len > INT64_MAX || h.entries > INT64_MAX)
        return vf_fail(why, VF_E_FORMAT, "a handed-in log with impossible sizes");
    *ret = h;
    return VF_OK;
}

static enum vf_err read_origin(struct vf_source *s, int fd, uint64_t at, size_t len, struct vf_why *why)
{
    vf_buf_init(&s->origin, VF_LOG_ORIGIN_MAX);
    uint8_t *to = vf_buf_grow(&s->origin, len);
    VF_TRY(vf_buf_check(&s->origin, s->path, why));
    return vf_fd_pread(fd, to, len, at, s->path, why);
}

static enum vf_err open_file(struct vf_source *s, uint64_t size, struct vf_why *why)
{
    uint8_t raw[VF_HANDIN_HEAD_LEN];
    struct vf_handin_head h;

    if (size < sizeof(raw))
        return vf_fail(why, VF_E_FORMAT, "%s: not a handed-in log: too short", s->path);
    VF_TRY(vf_fd_pread(s->fd, raw, sizeof(raw), 0, s->path, why));
    VF_TRY(vf_fail_prefix(why, vf_handin_head_decode(raw, &h, why), "%s", s->path));
    s->cp_at = sizeof(raw) + (uint64_t)h.origin_len;
    if (s->cp_at > size || h.checkpoints_len > size - s->cp_at)
        return vf_fail(why, VF_E_FORMAT, "%s: a handed-in log that was cut short", s->path);
    s->cp_fd = s->fd;
    s->cp_end = s->cp_at + h.checkpoints_len;
    s->entries_at = s->cp_end;
    s->entries_end = size;
    s->promised = h.entries;
    s->total_bytes = size - s->entries_at;
    s->segs.first = calloc(1, sizeof(*s->segs.first));
    if (s->segs.first == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", s->path);
    s->segs.n = 1;
    return read_origin(s, s->fd, sizeof(raw), h.origin_len, why);
}

enum vf_err vf_source_checkpoints(struct vf_source *s, struct vf_why *why)
{
    struct vf_why none = {0};

    if (s->cp_fd >= 0)
        return VF_OK;
    enum vf_err err = vf_segment_open(s->fd, s->path, VF_LOG_CHECKPOINTS, O_RDONLY, &s->cp_fd, NULL, &none);
    return err == VF_OK || err == VF_E_NOT_FOUND ? VF_OK : vf_fail(why, err, "%s", none.text);
}

static enum vf_err open_folder(struct vf_source *s, struct vf_why *why)
{
    VF_FD fd = -1;
    uint64_t size = 0;

    s->folder = true;
    s->copy = faccessat(s->fd, VF_LOG_COPY, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
    VF_TRY(vf_segment_open(s->fd, s->path, VF_LOG_ORIGIN, O_RDONLY, &fd, &size, why));
    if (size > VF_LOG_ORIGIN_MAX)
        return vf_fail(why, VF_E_FORMAT, "%s/" VF_LOG_ORIGIN ": too long for the origin of a log", s->path);
    VF_TRY(read_origin(s, fd, 0, (size_t)size, why));
    /* The checkpoints first: what they cover was in the segments before they were written. */
    s->cp_end = INT64_MAX;
    VF_TRY(vf_source_checkpoints(s, why));
    VF_TRY(vf_segments_list(s->fd, s->path, &s->segs, why));
    for (size_t i = 0; i < s->segs.n; i++) {
        char name[VF_SEGMENT_NAME_LEN + 1];
        struct stat st;
        vf_segment_name(s->segs.first[i], name);
        if (fstatat(s->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
            s->total_bytes += (uint64_t)st.st_size;
    }
    return VF_OK;
}

enum vf_err vf_source_open(const char *path, struct vf_source *ret, struct vf_why *why)
{
    VF_SOURCE s = {.path = path, .fd = -1, .cp_fd = -1};
    struct stat st;

    if (stat(path, &st) != 0)
        return vf_fail_sys(why, "%s: cannot look it up", path);
    if (S_ISDIR(st.st_mode)) {
        s.fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (s.fd < 0)
            return vf_fail_sys(why, "%s: cannot open the folder", path);
        VF_TRY(open_folder(&s, why));
    } else {
        uint64_t size = 0;
        VF_TRY(vf_file_open(path, &s.fd, &size, why));
        VF_TRY(open_file(&s, size, why));
    }
    *ret = s;
    s = (struct vf_source){.fd = -1, .cp_fd = -1};
    return VF_OK;
}

void vf_source_done(struct vf_source *s)
{
    if (s->cp_fd != s->fd)
        vf_fd_close(&s->cp_fd);
    vf_fd_close(&s->fd);
    vf_segments_done(&s->segs);
    vf_buf_done(&s->origin);
}

enum vf_err vf_source_segment(const struct vf_source *s, size_t i, int *ret_fd, bool *ret_own, uint64_t *ret_at,
                              uint64_t *ret_end, struct vf_why *why)
{
    char name[VF_SEGMENT_NAME_LEN + 1];

    *ret_own = s->folder;
    *ret_at = s->folder ? 0 : s->entries_at;
    *ret_end = s->folder ? INT64_MAX : s->entries_end;
    if (!s->folder) {
        *ret_fd = s->fd;
        return VF_OK;
    }
    vf_segment_name(s->segs.first[i], name);
    return vf_segment_open(s->fd, s->path, name, O_RDONLY, ret_fd, NULL, why);
}

/* ------------------------------------------------------------------------------------------------------------------- walk */

#define PROGRESS_BYTES ((uint64_t)1 << 20)

static void tell(struct vf_walk *w, const char *text)
{
    if (w->finding != NULL)
        w->finding(w->user, text);
}

static void tell_range(struct vf_walk *w, uint64_t from, uint64_t to, const char *what)
{
    char text[400];

    if (from == to)
        (void)snprintf(text, sizeof(text), "entry %llu %s", (unsigned long long)from, what);
    else
        (void)snprintf(text, sizeof(text), "entries %llu to %llu %s", (unsigned long long)from, (unsigned long long)to,
                       what);
    tell(w, text);
}

/* Malformed lines were counted; now the seq of what follows says whether they stand in the place of entries or beside them. */
static void settle_bad(struct vf_walk *w, uint64_t seq)
{
    char what[300];
    uint64_t bad = w->bad;

    w->bad = 0;
    if (seq > w->expect) {
        uint64_t n = seq - w->expect < bad ? seq - w->expect : bad;
        (void)snprintf(what, sizeof(what), "%s written: %s",
                       n == 1 ? "was changed after it was" : "were changed after they were", w->bad_text);
        tell_range(w, w->expect, w->expect + n - 1, what);
        w->expect += n;
        w->hole = true;
    } else {
        (void)snprintf(what, sizeof(what), "before entry %llu stands a line that is no entry: it was inserted (%s)",
                       (unsigned long long)seq, w->bad_text);
        tell(w, what);
    }
}

static void tell_out_of_place(struct vf_walk *w, uint64_t seq)
{
    char text[300];

    if (seq + 1 == w->expect)
        (void)snprintf(text, sizeof(text), "entry %llu stands twice", (unsigned long long)seq);
    else
        (void)snprintf(text, sizeof(text), "after entry %llu stands entry %llu: it was moved, doubled or inserted",
                       (unsigned long long)w->expect - 1, (unsigned long long)seq);
    tell(w, text);
}

static enum vf_err good_line(struct vf_walk *w, struct vf_scan_entry *e, struct vf_why *why)
{
    const struct vf_entry_view *view = &e->view;

    if (w->bad > 0)
        settle_bad(w, view->seq);
    if (view->seq < w->expect) {
        tell_out_of_place(w, view->seq);
        return VF_OK;
    }
    if (view->seq > w->expect) {
        char what[96];
        (void)snprintf(what, sizeof(what), "%s missing before entry %llu: removed or moved",
                       view->seq - w->expect == 1 ? "is" : "are", (unsigned long long)view->seq);
        tell_range(w, w->expect, view->seq - 1, what);
        w->hole = true;
    }
    bool hole = w->hole;
    w->hole = false;
    w->expect = view->seq + 1;
    return w->entry(w->user, e, hole, why);
}

/* Lines of one segment; those from `limit` on are void. */
static enum vf_err walk_segment(struct vf_walk *w, uint64_t at, uint64_t limit, bool *ret_stop, struct vf_why *why)
{
    struct vf_scan_item item = {.end = at};
    uint64_t told = at;

    w->torn_bytes = 0;
    while (w->expect < limit) {
        if (w->more != NULL && !w->more(w->user, w->expect)) {
            *ret_stop = true;
            break;
        }
        VF_TRY(vf_scan_next(w->scan, &item, why));
        at = item.end;
        if (item.kind == VF_SCAN_END) {
            w->torn_bytes = item.bytes;
            break;
        }
        if (w->progress != NULL && at - told >= PROGRESS_BYTES) {
            w->progress(w->user, at - told);
            told = at;
        }
        if (item.kind == VF_SCAN_BAD) {
            if (w->bad == 0)
                (void)snprintf(w->bad_text, sizeof(w->bad_text), "%s", item.text);
            w->bad += item.count;
            continue;
        }
        if (item.entry->view.seq >= limit)
            break;
        VF_TRY(good_line(w, item.entry, why));
    }
    w->seg_at = at;
    if (w->progress != NULL && at > told)
        w->progress(w->user, at - told);
    return VF_OK;
}

/* The segment w->seg from w->seg_at on. */
static enum vf_err walk_one(struct vf_walk *w, bool *ret_stop, struct vf_why *why)
{
    uint64_t limit = vf_segments_limit(&w->src->segs, w->seg);
    uint64_t from = 0;
    uint64_t end = 0;
    bool own = false;
    int fd = -1;

    VF_TRY(vf_source_segment(w->src, w->seg, &fd, &own, &from, &end, why));
    from = w->seg_at > from ? w->seg_at : from;
    vf_scan_start(w->scan, fd, from, end, w->src->path);
    enum vf_err err = walk_segment(w, from, limit, ret_stop, why);
    vf_scan_stop(w->scan);
    if (own)
        vf_fd_close(&fd);
    /* Malformed lines at the end stand for entries; behind the limit they are void with the rest. */
    if (err == VF_OK && !*ret_stop && w->bad > 0 && w->expect < limit)
        settle_bad(w, limit - w->expect < w->bad ? limit : w->expect + w->bad);
    w->bad = 0;
    return err;
}

/* From where it stands to the end of the last segment. */
static enum vf_err walk_on(struct vf_walk *w, struct vf_why *why)
{
    bool stop = false;

    if (w->scan == NULL)
        VF_TRY(vf_scan_new(&w->scan, why));
    while (w->seg < w->src->segs.n) {
        VF_TRY(walk_one(w, &stop, why));
        if (stop || w->seg + 1 == w->src->segs.n)
            break;
        w->seg++;
        w->seg_at = 0;
    }
    return VF_OK;
}

void vf_walk_done(struct vf_walk *w)
{
    vf_scan_free(w->scan);
    w->scan = NULL;
}

enum vf_err vf_walk_run(struct vf_walk *w, struct vf_why *why)
{
    return walk_on(w, why);
}

enum vf_err vf_walk_more(struct vf_walk *w, bool *ret, struct vf_why *why)
{
    struct vf_source *src = w->src;
    uint64_t before = w->expect;
    size_t known = src->segs.n;
    VF_SEGMENTS now = {0};

    *ret = false;
    if (!src->folder)
        return VF_OK;
    VF_TRY(vf_segments_list(src->fd, src->path, &now, why));
    if (now.n < known)
        return VF_OK;
    struct vf_segments old = src->segs;
    src->segs = now;
    now = old;
    /* A writer whose disk failed has begun anew below what looked like entries here. */
    if (src->segs.n > known && src->segs.first[known] < before) {
        w->overtaken = true;
        return VF_OK;
    }
    VF_TRY(walk_on(w, why));
    *ret = w->expect > before;
    return VF_OK;
}
