/* SPDX-License-Identifier: MIT */
/* What a log says it is, without looking at its entries. */
#include "source.h"

#include <string.h>
#include <sys/stat.h>

/* Notes are a few hundred bytes, so the last whole one is in here; in a log where it is not, nothing is said of it. */
#define TAIL_MAX (64 * 1024)

/* The whole note that begins at `p`, which must be followed by an empty line. NULL: it is not whole. */
static const char *note_end(const char *p, const char *end)
{
    const char *text = memmem(p, (size_t)(end - p), "\n\n", 2);
    const char *sigs = text != NULL ? memmem(text + 2, (size_t)(end - text - 2), "\n\n", 2) : NULL;

    return sigs != NULL ? sigs + 1 : NULL;
}

/* The last place below `to` where a note of this origin begins. */
static const char *note_start(const char *data, const char *to, const char *origin)
{
    size_t n = strlen(origin);

    for (const char *p = to - n - 1; p >= data; p--)
        if (memcmp(p, origin, n) == 0 && p[n] == '\n' && (p == data || p[-1] == '\n'))
            return p;
    return NULL;
}

static enum vf_err take_last(const char *data, size_t len, const char *origin, struct vf_log_peek *ret, struct vf_why *why)
{
    struct vf_checkpoint c;
    struct vf_note note;
    const char *end = data + len;

    for (const char *to = end; (size_t)(to - data) > strlen(origin);) {
        const char *p = note_start(data, to, origin);
        if (p == NULL)
            return VF_OK;
        const char *stop = note_end(p, end);
        if (stop != NULL && vf_note_parse(p, (size_t)(stop - p), &note, NULL) == VF_OK &&
            vf_checkpoint_parse(&note, &c, NULL) == VF_OK) {
            vf_buf_put(&ret->last, p, (size_t)(stop - p));
            ret->last_size = c.size;
            return vf_buf_check(&ret->last, "a checkpoint", why);
        }
        to = p + strlen(origin);
        end = p;
    }
    return VF_OK;
}

static enum vf_err read_last(struct vf_source *s, struct vf_log_peek *ret, struct vf_why *why)
{
    uint64_t from = s->cp_at;
    uint64_t end = s->cp_end;
    struct stat st;
    VF_BUF tail = {0};

    if (s->cp_fd < 0)
        return VF_OK;
    if (s->folder) {
        if (fstat(s->cp_fd, &st) != 0)
            return vf_fail_sys(why, "%s: cannot look up its checkpoints", s->path);
        end = (uint64_t)st.st_size;
    }
    if (end > from && end - from > TAIL_MAX)
        from = end - TAIL_MAX;
    if (end <= from)
        return VF_OK;
    vf_buf_init(&tail, TAIL_MAX);
    uint8_t *data = vf_buf_grow(&tail, (size_t)(end - from));
    VF_TRY(vf_buf_check(&tail, s->path, why));
    VF_TRY(vf_fd_pread(s->cp_fd, data, (size_t)(end - from), from, s->path, why));
    return take_last((const char *)data, (size_t)(end - from), ret->origin.line, ret, why);
}

void vf_log_peek_done(struct vf_log_peek *p)
{
    vf_buf_done(&p->last);
}

enum vf_err vf_log_peek(const char *path, struct vf_log_peek *ret, struct vf_why *why)
{
    VF_CLEANUP(vf_log_peek_done) struct vf_log_peek p = {0};
    VF_SOURCE s = {.fd = -1, .cp_fd = -1};
    struct vf_note note;

    VF_TRY(vf_source_open(path, &s, why));
    p.folder = s.folder;
    p.copy = !s.folder || s.copy;
    vf_sha256(s.origin.data, s.origin.len, &p.id);
    VF_TRY(vf_fail_prefix(why, vf_note_parse(s.origin.data, s.origin.len, &note, why), "%s: its origin", path));
    VF_TRY(vf_fail_prefix(why, vf_origin_parse(&note, &p.origin, why), "%s: its origin", path));
    vf_buf_init(&p.last, VF_NOTE_MAX);
    VF_TRY(read_last(&s, &p, why));
    *ret = p;
    p = (struct vf_log_peek){0};
    return VF_OK;
}
