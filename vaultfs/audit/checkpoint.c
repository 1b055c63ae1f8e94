/* SPDX-License-Identifier: MIT */
#include "checkpoint.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void vf_checkpoint_put(const char *origin, uint64_t size, const struct vf_hash *root, struct vf_buf *out)
{
    vf_buf_fmt(out, "%s\n%llu\n", origin, (unsigned long long)size);
    vf_base64_put(out, root->b, sizeof(root->b));
    vf_buf_text(out, "\n");
}

/* One line without its newline; false at the end. */
static bool line_of(const char **p, size_t *left, const char **ret, size_t *ret_len)
{
    const char *nl = *left > 0 ? memchr(*p, '\n', *left) : NULL;

    if (nl == NULL)
        return false;
    *ret = *p;
    *ret_len = (size_t)(nl - *p);
    *p += *ret_len + 1;
    *left -= *ret_len + 1;
    return true;
}

enum vf_err vf_checkpoint_parse(const struct vf_note *note, struct vf_checkpoint *ret, struct vf_why *why)
{
    const char *p = note->text;
    size_t left = note->text_len;
    struct vf_checkpoint c = {0};
    const char *line = NULL;
    size_t len = 0;

    if (!line_of(&p, &left, &line, &len) || len == 0 || len >= sizeof(c.origin) || !vf_text_printable(line, len))
        return vf_fail(why, VF_E_FORMAT, "not a checkpoint: its first line is no origin");
    memcpy(c.origin, line, len);
    if (!line_of(&p, &left, &line, &len) || !vf_uint_parse(line, len, INT64_MAX, &c.size))
        return vf_fail(why, VF_E_FORMAT, "not a checkpoint: its second line is no size");
    if (!line_of(&p, &left, &line, &len) || !vf_base64_get(line, len, c.root.b, sizeof(c.root.b)))
        return vf_fail(why, VF_E_FORMAT, "not a checkpoint: its third line is no hash");
    /* Extension lines: whatever they say, they are not empty. */
    while (left > 0)
        if (!line_of(&p, &left, &line, &len) || len == 0)
            return vf_fail(why, VF_E_FORMAT, "not a checkpoint: an empty line in its text");
    *ret = c;
    return VF_OK;
}

enum vf_err vf_checkpoint_record(const char *origin, uint64_t size, const struct vf_hash *root,
                                 const struct vf_seal_key *key, struct vf_buf *out, struct vf_why *why)
{
    VF_BUF text = {0};

    vf_buf_init(&text, 512);
    vf_checkpoint_put(origin, size, root, &text);
    VF_TRY(vf_buf_check(&text, "a checkpoint", why));
    VF_TRY(vf_note_sign_seal((const char *)text.data, text.len, origin, key, out, why));
    vf_buf_text(out, "\n");
    return vf_buf_check(out, "a checkpoint", why);
}

/* ------------------------------------------------------------------------------------------------------------ reading files */

#define BUFFER ((size_t)64 * 1024)

enum vf_err vf_record_reader_init(struct vf_record_reader *r, int fd, uint64_t at, uint64_t end, struct vf_why *why)
{
    *r = (struct vf_record_reader){.fd = fd, .at = at, .end = end};
    r->buf = malloc(BUFFER);
    return r->buf != NULL ? VF_OK : vf_fail(why, VF_E_NOMEM, "no memory to read checkpoints");
}

enum vf_err vf_record_reader_of(struct vf_record_reader *r, struct vf_slice text, struct vf_why *why)
{
    VF_TRY(vf_record_reader_init(r, -1, 0, text.len, why));
    r->mem = text.len > 0 ? (const char *)text.data : "";
    return VF_OK;
}

void vf_record_reader_done(struct vf_record_reader *r)
{
    free(r->buf);
    *r = (struct vf_record_reader){.fd = -1};
}

static enum vf_err refill(struct vf_record_reader *r, const char *what, bool *ret_more, struct vf_why *why)
{
    uint64_t at = r->at + r->have;
    size_t room = BUFFER - r->have;
    ssize_t n = 0;

    if (r->end - at < room)
        room = (size_t)(r->end - at);
    if (r->mem != NULL) {
        memcpy(r->buf + r->have, r->mem + at, room);
        r->have += room;
        *ret_more = room > 0;
        return VF_OK;
    }
    do {
        n = room > 0 ? pread(r->fd, r->buf + r->have, room, (off_t)at) : 0;
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return vf_fail_sys(why, "%s: cannot read", what);
    r->have += (size_t)n;
    *ret_more = n > 0;
    return VF_OK;
}

/* Length of the note at p with its last newline, when the empty line behind it is there too; 0: not (yet). */
static size_t whole_note(const char *p, size_t len)
{
    const char *text_end = memmem(p, len, "\n\n", 2);

    if (text_end == NULL)
        return 0;
    const char *sigs = text_end + 2;
    const char *end = memmem(sigs, len - (size_t)(sigs - p), "\n\n", 2);
    return end != NULL ? (size_t)(end - p) + 1 : 0;
}

enum vf_err vf_record_reader_peek(struct vf_record_reader *r, const char *what, enum vf_record_kind *ret_kind,
                                  const char **ret, size_t *ret_len, struct vf_why *why)
{
    for (;;) {
        size_t window = r->have < VF_RECORD_MAX ? r->have : VF_RECORD_MAX;
        size_t note = whole_note(r->buf, window);
        bool more = false;
        *ret = r->buf;
        *ret_len = note > 0 ? note : window;
        if (note > 0 || window == VF_RECORD_MAX) {
            *ret_kind = note > 0 ? VF_RECORD_WHOLE : VF_RECORD_LONG;
            return VF_OK;
        }
        VF_TRY(refill(r, what, &more, why));
        if (!more) {
            *ret_kind = r->have > 0 ? VF_RECORD_TORN : VF_RECORD_END;
            return VF_OK;
        }
    }
}

static void drop(struct vf_record_reader *r, size_t len)
{
    r->have -= len;
    r->at += len;
    memmove(r->buf, r->buf + len, r->have);
}

void vf_record_reader_pass(struct vf_record_reader *r, size_t note_len)
{
    drop(r, note_len + 1);
}

enum vf_err vf_record_reader_resync(struct vf_record_reader *r, const char *what, const char *origin, bool *ret,
                                    struct vf_why *why)
{
    char line[sizeof(((struct vf_checkpoint *)NULL)->origin) + 2];
    size_t len = (size_t)snprintf(line, sizeof(line), "\n%s\n", origin);
    bool more = true;

    while (more) {
        const char *found = memmem(r->buf, r->have, line, len);
        if (found != NULL) {
            drop(r, (size_t)(found - r->buf) + 1);
            *ret = true;
            return VF_OK;
        }
        /* Keep what could be the beginning of that line. */
        if (r->have > len)
            drop(r, r->have - len);
        VF_TRY(refill(r, what, &more, why));
    }
    drop(r, r->have);
    *ret = false;
    return VF_OK;
}

static bool base64_char(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '/' || c == '=';
}

/* Take `text`, or as much of it as there is. False: something else stands there. */
static bool torn_text(const char **p, size_t *left, const char *text)
{
    size_t len = strlen(text);
    size_t n = *left < len ? *left : len;

    if (memcmp(*p, text, n) != 0)
        return false;
    *p += n;
    *left -= n;
    return true;
}

static bool torn_chars(const char **p, size_t *left, size_t max, bool digits)
{
    size_t n = 0;

    while (n < max && n < *left && (digits ? (*p)[n] >= '0' && (*p)[n] <= '9' : base64_char((*p)[n])))
        n++;
    *p += n;
    *left -= n;
    return *left == 0 || n > 0;
}

bool vf_record_torn(const char *p, size_t len, const char *origin)
{
    bool ok = torn_text(&p, &len, origin) && torn_text(&p, &len, "\n") && torn_chars(&p, &len, 19, true) &&
              torn_text(&p, &len, "\n") && torn_chars(&p, &len, 44, false) && torn_text(&p, &len, "\n\n\xe2\x80\x94 ") &&
              torn_text(&p, &len, origin) && torn_text(&p, &len, " ") && torn_chars(&p, &len, 92, false) &&
              torn_text(&p, &len, "\n");

    return ok && len == 0;
}
