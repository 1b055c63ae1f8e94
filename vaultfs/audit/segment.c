/* SPDX-License-Identifier: MIT */
#include "segment.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIX     "entries-"
#define PREFIX_LEN (sizeof(PREFIX) - 1)
#define SUFFIX     ".jsonl"
#define DIGITS     20

_Static_assert(PREFIX_LEN + DIGITS + sizeof(SUFFIX) - 1 == VF_SEGMENT_NAME_LEN, "a segment's name");

void vf_segment_name(uint64_t first, char out[VF_SEGMENT_NAME_LEN + 1])
{
    (void)snprintf(out, VF_SEGMENT_NAME_LEN + 1, PREFIX "%020llu" SUFFIX, (unsigned long long)first);
}

static bool parse_name(const char *name, uint64_t *ret)
{
    char again[VF_SEGMENT_NAME_LEN + 1];
    uint64_t first = 0;

    if (strlen(name) != VF_SEGMENT_NAME_LEN)
        return false;
    for (size_t i = 0; i < DIGITS; i++) {
        char c = name[PREFIX_LEN + i];
        if (c < '0' || c > '9' || first > (UINT64_MAX >> 8))
            return false;
        first = first * 10 + (uint64_t)(c - '0');
    }
    vf_segment_name(first, again);
    *ret = first;
    return strcmp(again, name) == 0;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static void close_dir(DIR **d)
{
    if (*d != NULL)
        (void)closedir(*d);
}

static bool add(struct vf_segments *s, uint64_t first)
{
    /* Doubling at each power of two; segments are few. */
    if ((s->n & (s->n - 1)) == 0) {
        uint64_t *more = reallocarray(s->first, s->n > 0 ? s->n * 2 : 1, sizeof(*more));
        if (more == NULL)
            return false;
        s->first = more;
    }
    s->first[s->n++] = first;
    return true;
}

enum vf_err vf_segments_list(int dirfd, const char *dir, struct vf_segments *ret, struct vf_why *why)
{
    /* A descriptor of its own: the position in a folder belongs to the open file. */
    int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    VF_CLEANUP(close_dir) DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    VF_SEGMENTS s = {0};

    if (d == NULL) {
        enum vf_err err = vf_fail_sys(why, "%s: cannot read the folder", dir);
        vf_fd_close(&fd);
        return err;
    }
    for (;;) {
        uint64_t first = 0;
        errno = 0;
        const struct dirent *e = readdir(d);
        if (e == NULL && errno != 0)
            return vf_fail_sys(why, "%s: cannot read the folder", dir);
        if (e == NULL)
            break;
        if (strncmp(e->d_name, PREFIX, PREFIX_LEN) != 0)
            continue;
        if (!parse_name(e->d_name, &first)) {
            /* A segment that was being made when the machine stopped has a longer name. */
            s.strangers += strstr(e->d_name, SUFFIX VF_SEGMENT_NEW) == NULL ? 1 : 0;
            continue;
        }
        if (!add(&s, first))
            return vf_fail(why, VF_E_NOMEM, "%s: out of memory", dir);
    }
    if (s.n > 1)
        qsort(s.first, s.n, sizeof(*s.first), compare);
    *ret = s;
    s = (struct vf_segments){0};
    return VF_OK;
}

void vf_segments_done(struct vf_segments *s)
{
    free(s->first);
    *s = (struct vf_segments){0};
}

uint64_t vf_segments_limit(const struct vf_segments *s, size_t i)
{
    return i + 1 < s->n ? s->first[i + 1] : UINT64_MAX;
}

void vf_segments_sweep(int dirfd)
{
    int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    VF_CLEANUP(close_dir) DIR *d = fd >= 0 ? fdopendir(fd) : NULL;

    if (d == NULL) {
        vf_fd_close(&fd);
        return;
    }
    for (const struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        size_t len = strlen(e->d_name);
        size_t new = sizeof(VF_SEGMENT_NEW) - 1;
        if (len == VF_SEGMENT_NAME_LEN + new &&strncmp(e->d_name, PREFIX, PREFIX_LEN) == 0 &&
            strcmp(e->d_name + len - new, VF_SEGMENT_NEW) == 0)
            (void)unlinkat(dirfd, e->d_name, 0);
    }
}

enum vf_err vf_segment_open(int dirfd, const char *dir, const char *name, int flags, int *ret_fd, uint64_t *ret_size,
                            struct vf_why *why)
{
    VF_FD fd = openat(dirfd, name, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW);
    struct stat st;

    if (fd < 0)
        return vf_fail_sys(why, "%s/%s: cannot open", dir, name);
    if (fstat(fd, &st) != 0)
        return vf_fail_sys(why, "%s/%s: cannot look it up", dir, name);
    if (!S_ISREG(st.st_mode))
        return vf_fail(why, VF_E_INPUT, "%s/%s: not a regular file", dir, name);
    if (ret_size != NULL)
        *ret_size = (uint64_t)st.st_size;
    *ret_fd = fd;
    fd = -1;
    return VF_OK;
}

/* ------------------------------------------------------------------------------------------------------------------- lines */

#define BUFFER ((size_t)256 * 1024)
_Static_assert(BUFFER > 2 * VF_ENTRY_LINE_MAX, "a line fits into the buffer");

enum vf_err vf_line_reader_init(struct vf_line_reader *r, struct vf_why *why)
{
    *r = (struct vf_line_reader){.fd = -1};
    r->buf = malloc(BUFFER);
    return r->buf != NULL ? VF_OK : vf_fail(why, VF_E_NOMEM, "no memory to read a log");
}

void vf_line_reader_done(struct vf_line_reader *r)
{
    free(r->buf);
    *r = (struct vf_line_reader){.fd = -1};
}

void vf_line_reader_start(struct vf_line_reader *r, int fd, uint64_t at, uint64_t end)
{
    r->fd = fd;
    r->at = at;
    r->end = end;
    r->pos = 0;
    r->have = 0;
}

/* Move what is left to the front and read behind it. *ret_more: bytes came. */
static enum vf_err refill(struct vf_line_reader *r, const char *what, bool *ret_more, struct vf_why *why)
{
    size_t left = r->have - r->pos;
    uint64_t at = r->at + left;
    size_t room = BUFFER - left;
    ssize_t n = 0;

    if (r->pos > 0)
        memmove(r->buf, r->buf + r->pos, left);
    r->pos = 0;
    r->have = left;
    if (r->end - at < room)
        room = (size_t)(r->end - at);
    do {
        n = room > 0 ? pread(r->fd, r->buf + left, room, (off_t)at) : 0;
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return vf_fail_sys(why, "%s: cannot read", what);
    r->have += (size_t)n;
    *ret_more = n > 0;
    return VF_OK;
}

static void pass(struct vf_line_reader *r, size_t len)
{
    r->pos += len;
    r->at += len;
}

enum vf_err vf_line_reader_next(struct vf_line_reader *r, const char *what, enum vf_line_kind *ret_kind, const char **ret,
                                size_t *ret_len, struct vf_why *why)
{
    size_t looked = 0; /* of the bytes at pos, these have no newline */
    bool longer = false;

    for (;;) {
        const char *at = r->buf + r->pos;
        const char *nl = memchr(at + looked, '\n', r->have - r->pos - looked);
        bool more = false;
        if (nl != NULL) {
            size_t len = (size_t)(nl - at);
            pass(r, len + 1);
            *ret = at;
            *ret_len = len;
            *ret_kind = longer || len > VF_ENTRY_LINE_MAX ? VF_LINE_LONG : VF_LINE_WHOLE;
            return VF_OK;
        }
        looked = r->have - r->pos;
        /* No entry is that long: drop what was read of it and look for its end. */
        if (looked > VF_ENTRY_LINE_MAX) {
            pass(r, looked);
            looked = 0;
            longer = true;
        }
        VF_TRY(refill(r, what, &more, why));
        if (!more) {
            *ret = r->buf;
            *ret_len = looked;
            *ret_kind = longer || looked > 0 ? VF_LINE_TORN : VF_LINE_END;
            return VF_OK;
        }
    }
}
