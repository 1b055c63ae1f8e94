/* SPDX-License-Identifier: MIT */
/*
 * A bundle from outside, front to back. Memory grows with what was really read, never with what a head claims: the index by what has
 * arrived of it, the values by one buffer of fixed size.
 */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUFFER_LEN  (4u * 1024 * 1024)
#define INDEX_CHUNK (15000u * VF_BUNDLE_ITEM_LEN)

struct vf_bundle_reader {
    int fd;
    char *what;
    struct vf_vault_id vault;
    uint32_t n, next;
    uint64_t bytes; /* of all values */
    struct vf_buf index;
    uint8_t *buf;
    size_t start, end; /* of what is in buf and not yet handed over */
    bool ended;        /* the file has no more */
    enum vf_err failed;
};

_Static_assert(BUFFER_LEN > VF_SEALED_MAX, "the buffer holds the longest value");

/* Fill the buffer until `want` bytes are there or the file ends. */
static enum vf_err fill(struct vf_bundle_reader *r, size_t want, struct vf_why *why)
{
    if (r->end - r->start >= want)
        return VF_OK;
    if (r->start > 0) {
        memmove(r->buf, r->buf + r->start, r->end - r->start);
        r->end -= r->start;
        r->start = 0;
    }
    while (r->end < want && !r->ended) {
        ssize_t got = read(r->fd, r->buf + r->end, BUFFER_LEN - r->end);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return vf_fail_sys(why, "%s: cannot be read", r->what);
        r->ended = got == 0;
        r->end += (size_t)got;
    }
    return VF_OK;
}

static enum vf_err cut_short(const struct vf_bundle_reader *r, struct vf_why *why)
{
    return vf_fail(why, VF_E_FORMAT, "%s: the bundle is cut short; fetch it again", r->what);
}

/* Borrow the next `len` bytes, at most BUFFER_LEN. */
static enum vf_err take(struct vf_bundle_reader *r, size_t len, const uint8_t **ret, struct vf_why *why)
{
    VF_TRY(fill(r, len, why));
    if (r->end - r->start < len)
        return cut_short(r, why);
    *ret = r->buf + r->start;
    r->start += len;
    return VF_OK;
}

static void item_at(const struct vf_bundle_reader *r, uint32_t i, struct vf_bundle_value *ret)
{
    const uint8_t *p = r->index.data + (size_t)i * VF_BUNDLE_ITEM_LEN;

    memcpy(ret->ref.c, p, VF_REF_LEN);
    ret->field = p[VF_REF_LEN];
    ret->generation = vf_get_be32(p + VF_REF_LEN + 1);
    ret->len = vf_get_be32(p + VF_REF_LEN + 5);
}

static enum vf_err check_item(struct vf_bundle_reader *r, uint32_t i, struct vf_why *why)
{
    const uint8_t *p = r->index.data + (size_t)i * VF_BUNDLE_ITEM_LEN;
    struct vf_bundle_value v;
    struct vf_ref ref;

    item_at(r, i, &v);
    if (!vf_ref_parse(v.ref.c, VF_REF_LEN, &ref) || v.generation == 0 || !vf_sealed_size_valid(v.field, v.len))
        return vf_fail(why, VF_E_FORMAT, "%s: entry %u of the bundle's index is not well-formed", r->what, (unsigned)i);
    if (vf_field_info(v.field)->class == VF_CLASS_C)
        return vf_fail(why, VF_E_CLASS_REFUSED, "%s: the bundle holds %s, a field that never goes to a supplier", r->what,
                       vf_field_info(v.field)->name);
    if (i > 0 && memcmp(p - VF_BUNDLE_ITEM_LEN, p, VF_BUNDLE_ITEM_KEY) >= 0)
        return vf_fail(why, VF_E_FORMAT, "%s: entry %u of the bundle's index is out of order", r->what, (unsigned)i);
    r->bytes += v.len;
    return VF_OK;
}

static enum vf_err read_index(struct vf_bundle_reader *r, struct vf_why *why)
{
    size_t left = (size_t)r->n * VF_BUNDLE_ITEM_LEN;
    uint32_t checked = 0;

    vf_buf_init(&r->index, left);
    while (left > 0) {
        size_t chunk = left < INDEX_CHUNK ? left : INDEX_CHUNK;
        const uint8_t *p;
        VF_TRY(take(r, chunk, &p, why));
        vf_buf_put(&r->index, p, chunk);
        left -= chunk;
        VF_TRY(vf_buf_check(&r->index, r->what, why));
        for (; checked < r->index.len / VF_BUNDLE_ITEM_LEN; checked++) /* a hole in a file is not read to its end */
            VF_TRY(check_item(r, checked, why));
    }
    return VF_OK;
}

/* A regular file tells its size: what is missing or too much is noticed before anything is read. */
static enum vf_err check_size(const struct vf_bundle_reader *r, struct vf_why *why)
{
    struct stat st;
    uint64_t want = VF_BUNDLE_HEAD + (uint64_t)r->n * VF_BUNDLE_ITEM_LEN + r->bytes;

    if (fstat(r->fd, &st) != 0)
        return vf_fail_sys(why, "%s: cannot be read", r->what);
    if (!S_ISREG(st.st_mode))
        return VF_OK;
    if ((uint64_t)st.st_size < want)
        return vf_fail(why, VF_E_FORMAT, "%s: the bundle is cut short: %llu of %llu bytes; fetch it again", r->what,
                       (unsigned long long)st.st_size, (unsigned long long)want);
    if ((uint64_t)st.st_size > want)
        return vf_fail(why, VF_E_FORMAT, "%s: the bundle has something after its end", r->what);
    return VF_OK;
}

static enum vf_err open_at(struct vf_bundle_reader *r, struct vf_why *why)
{
    const uint8_t *p;

    (void)posix_fadvise(r->fd, 0, 0, POSIX_FADV_SEQUENTIAL); /* a hint; a pipe refuses it */
    VF_TRY(take(r, VF_BUNDLE_HEAD, &p, why));
    if (memcmp(p, VF_BUNDLE_MAGIC, VF_MAGIC_LEN) != 0)
        return vf_fail(why, VF_E_VERSION, "%s: not a bundle of a version known here", r->what);
    memcpy(r->vault.b, p + VF_MAGIC_LEN, VF_VAULT_ID_LEN);
    r->n = vf_get_be32(p + VF_MAGIC_LEN + VF_VAULT_ID_LEN);
    if (r->n > VF_BUNDLE_VALUES_MAX)
        return vf_fail(why, VF_E_LIMIT, "%s: says that it holds more values than a bundle can", r->what);
    VF_TRY(read_index(r, why));
    return check_size(r, why);
}

enum vf_err vf_bundle_open(int fd, const char *what, struct vf_bundle_reader **ret, struct vf_why *why)
{
    struct vf_bundle_reader *r = calloc(1, sizeof(*r));

    if (r == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: no memory to read it", what);
    r->fd = fd;
    r->what = strdup(what);
    r->buf = malloc(BUFFER_LEN);
    enum vf_err err = VF_E_NOMEM;
    if (r->what == NULL || r->buf == NULL)
        err = vf_fail(why, VF_E_NOMEM, "%s: no memory to read it", what);
    else
        err = open_at(r, why);
    if (err != VF_OK) {
        vf_bundle_close(r);
        return err;
    }
    *ret = r;
    return VF_OK;
}

const struct vf_vault_id *vf_bundle_vault(const struct vf_bundle_reader *r)
{
    return &r->vault;
}

uint32_t vf_bundle_count(const struct vf_bundle_reader *r)
{
    return r->n;
}

uint64_t vf_bundle_bytes(const struct vf_bundle_reader *r)
{
    return r->bytes;
}

/* After the last value: nothing may follow. */
static enum vf_err check_end(struct vf_bundle_reader *r, struct vf_why *why)
{
    VF_TRY(fill(r, 1, why));
    if (r->end > r->start)
        return vf_fail(why, VF_E_FORMAT, "%s: the bundle has something after its end", r->what);
    return VF_E_NOT_FOUND;
}

enum vf_err vf_bundle_next(struct vf_bundle_reader *r, struct vf_bundle_value *ret, const uint8_t **ret_data,
                           struct vf_why *why)
{
    struct vf_bundle_value v;
    const uint8_t *data;

    if (r->failed != VF_OK)
        return vf_fail(why, r->failed, "%s: reading it failed before", r->what);
    if (r->next == r->n) {
        enum vf_err end = check_end(r, why);
        r->failed = end == VF_E_NOT_FOUND ? VF_OK : end;
        return end;
    }
    item_at(r, r->next, &v);
    r->failed = take(r, v.len, &data, why);
    if (r->failed != VF_OK)
        return r->failed;
    r->next++;
    *ret = v;
    *ret_data = data;
    return VF_OK;
}

void vf_bundle_close(struct vf_bundle_reader *r)
{
    if (r == NULL)
        return;
    vf_buf_done(&r->index);
    free(r->buf);
    free(r->what);
    free(r);
}

void vf_bundle_cleanup(struct vf_bundle_reader **r)
{
    vf_bundle_close(*r);
    *r = NULL;
}
