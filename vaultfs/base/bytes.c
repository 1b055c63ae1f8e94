/* SPDX-License-Identifier: MIT */
#include "vaultfs/base.h"

#include "utf8.h"

#include <endian.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void vf_put_be16(uint8_t out[2], uint16_t v)
{
    v = htobe16(v);
    memcpy(out, &v, sizeof(v));
}

void vf_put_be32(uint8_t out[4], uint32_t v)
{
    v = htobe32(v);
    memcpy(out, &v, sizeof(v));
}

void vf_put_be64(uint8_t out[8], uint64_t v)
{
    v = htobe64(v);
    memcpy(out, &v, sizeof(v));
}

uint16_t vf_get_be16(const uint8_t in[2])
{
    uint16_t v;

    memcpy(&v, in, sizeof(v));
    return be16toh(v);
}

uint32_t vf_get_be32(const uint8_t in[4])
{
    uint32_t v;

    memcpy(&v, in, sizeof(v));
    return be32toh(v);
}

uint64_t vf_get_be64(const uint8_t in[8])
{
    uint64_t v;

    memcpy(&v, in, sizeof(v));
    return be64toh(v);
}

/* ------------------------------------------------------------------------------------------------------------------ reader */

struct vf_reader vf_reader_of(const void *data, size_t len)
{
    static const uint8_t nothing;

    /* An empty input may be NULL, but an empty view of it is not: NULL means short. */
    return (struct vf_reader){.next = len > 0 ? data : &nothing, .left = len};
}

const uint8_t *vf_reader_view(struct vf_reader *r, size_t len)
{
    if (r->bad || r->left < len) {
        r->bad = true;
        r->left = 0;
        return NULL;
    }
    const uint8_t *at = r->next;
    r->next += len;
    r->left -= len;
    return at;
}

void vf_reader_copy(struct vf_reader *r, void *out, size_t len)
{
    const uint8_t *at = vf_reader_view(r, len);

    if (len == 0)
        return;
    if (at != NULL)
        memcpy(out, at, len);
    else
        memset(out, 0, len);
}

uint8_t vf_reader_u8(struct vf_reader *r)
{
    const uint8_t *at = vf_reader_view(r, 1);

    return at != NULL ? at[0] : 0;
}

uint16_t vf_reader_u16(struct vf_reader *r)
{
    const uint8_t *at = vf_reader_view(r, 2);

    return at != NULL ? vf_get_be16(at) : 0;
}

uint32_t vf_reader_u32(struct vf_reader *r)
{
    const uint8_t *at = vf_reader_view(r, 4);

    return at != NULL ? vf_get_be32(at) : 0;
}

uint64_t vf_reader_u64(struct vf_reader *r)
{
    const uint8_t *at = vf_reader_view(r, 8);

    return at != NULL ? vf_get_be64(at) : 0;
}

const uint8_t *vf_reader_str16(struct vf_reader *r, size_t max, size_t *ret_len)
{
    size_t len = vf_reader_u16(r);
    const uint8_t *at;

    if (len > max)
        r->bad = true;
    at = vf_reader_view(r, len);
    /* A caller that looks at the length before it asks vf_reader_done must not find one without bytes behind it. */
    *ret_len = at != NULL ? len : 0;
    return at;
}

bool vf_reader_done(const struct vf_reader *r)
{
    return !r->bad && r->left == 0;
}

/* ------------------------------------------------------------------------------------------------------------------ buffer */

void vf_buf_init(struct vf_buf *b, size_t max)
{
    *b = (struct vf_buf){.max = max};
}

/* There is always one byte behind cap, for the NUL of vf_buf_cstr. */
static void release(struct vf_buf *b)
{
    if (b->data != NULL)
        explicit_bzero(b->data, b->cap + 1);
    free(b->data);
    b->data = NULL;
}

void vf_buf_done(struct vf_buf *b)
{
    release(b);
    *b = (struct vf_buf){.max = b->max};
}

void vf_buf_reset(struct vf_buf *b)
{
    /* All of it: what a caller took back by lowering len, or wrote behind it, goes too. */
    if (b->data != NULL)
        explicit_bzero(b->data, b->cap + 1);
    b->len = 0;
    b->bad = false;
    b->nomem = false;
}

bool vf_buf_ok(const struct vf_buf *b)
{
    return !b->bad;
}

enum vf_err vf_buf_check(const struct vf_buf *b, const char *what, struct vf_why *why)
{
    if (!b->bad)
        return VF_OK;
    if (b->nomem)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", what);
    return vf_fail(why, VF_E_LIMIT, "%s: larger than the permitted %zu bytes", what, b->max);
}

/* realloc would leave a copy of the content in freed memory. */
static bool move_to(struct vf_buf *b, size_t cap)
{
    uint8_t *data = cap < SIZE_MAX ? malloc(cap + 1) : NULL;

    if (data == NULL) {
        b->bad = true;
        b->nomem = true;
        return false;
    }
    if (b->data != NULL)
        memcpy(data, b->data, b->len);
    release(b);
    b->data = data;
    b->cap = cap;
    return true;
}

bool vf_buf_reserve(struct vf_buf *b, size_t more)
{
    if (b->bad)
        return false;
    if (b->len > b->max || more > b->max - b->len) {
        b->bad = true;
        return false;
    }
    size_t need = b->len + more;
    if (b->data != NULL && need <= b->cap)
        return true;
    /* At least double, so that n bytes put one by one cost O(n); never over max. */
    size_t cap = b->cap <= b->max / 2 ? b->cap * 2 : b->max;
    size_t floor = b->max < 64 ? b->max : 64;
    if (cap < floor)
        cap = floor;
    if (cap < need)
        cap = need;
    return move_to(b, cap);
}

uint8_t *vf_buf_grow(struct vf_buf *b, size_t len)
{
    if (!vf_buf_reserve(b, len))
        return NULL;
    uint8_t *at = b->data + b->len;
    memset(at, 0, len);
    b->len += len;
    return at;
}

void vf_buf_put(struct vf_buf *b, const void *data, size_t len)
{
    if (len == 0 || !vf_buf_reserve(b, len))
        return;
    memcpy(b->data + b->len, data, len);
    b->len += len;
}

void vf_buf_u8(struct vf_buf *b, uint8_t v)
{
    vf_buf_put(b, &v, 1);
}

void vf_buf_u16(struct vf_buf *b, uint16_t v)
{
    uint8_t raw[2];

    vf_put_be16(raw, v);
    vf_buf_put(b, raw, sizeof(raw));
}

void vf_buf_u32(struct vf_buf *b, uint32_t v)
{
    uint8_t raw[4];

    vf_put_be32(raw, v);
    vf_buf_put(b, raw, sizeof(raw));
}

void vf_buf_u64(struct vf_buf *b, uint64_t v)
{
    uint8_t raw[8];

    vf_put_be64(raw, v);
    vf_buf_put(b, raw, sizeof(raw));
}

void vf_buf_str16(struct vf_buf *b, const void *data, size_t len)
{
    if (len > UINT16_MAX) {
        b->bad = true;
        return;
    }
    /* Both or neither: a length without its bytes must not stay in the buffer. */
    if (!vf_buf_reserve(b, len + 2))
        return;
    vf_buf_u16(b, (uint16_t)len);
    vf_buf_put(b, data, len);
}

void vf_buf_text(struct vf_buf *b, const char *text)
{
    vf_buf_put(b, text, strlen(text));
}

void vf_buf_fmt(struct vf_buf *b, const char *fmt, ...)
{
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0) {
        b->bad = true;
        return;
    }
    if (!vf_buf_reserve(b, (size_t)n))
        return;
    va_start(ap, fmt);
    (void)vsnprintf((char *)b->data + b->len, (size_t)n + 1, fmt, ap);
    va_end(ap);
    b->len += (size_t)n;
}

size_t vf_decimal(uint64_t v, char out[VF_DECIMAL_MAX])
{
    char digits[VF_DECIMAL_MAX];
    size_t n = 0;

    do {
        digits[n++] = (char)('0' + v % 10);
        v /= 10;
    } while (v > 0);
    for (size_t i = 0; i < n; i++)
        out[i] = digits[n - 1 - i];
    return n;
}

void vf_buf_decimal(struct vf_buf *b, uint64_t v)
{
    char digits[VF_DECIMAL_MAX];
    size_t n = vf_decimal(v, digits);

    vf_buf_put(b, digits, n);
}

static void json_escape(struct vf_buf *b, uint32_t cp)
{
    static const char digits[] = "0123456789abcdef";
    char out[6] = {'\\', 'u', digits[cp >> 12 & 15], digits[cp >> 8 & 15], digits[cp >> 4 & 15], digits[cp & 15]};

    switch (cp) {
    case '"':
        vf_buf_put(b, "\\\"", 2);
        break;
    case '\\':
        vf_buf_put(b, "\\\\", 2);
        break;
    case '\n':
        vf_buf_put(b, "\\n", 2);
        break;
    case '\r':
        vf_buf_put(b, "\\r", 2);
        break;
    case '\t':
        vf_buf_put(b, "\\t", 2);
        break;
    default:
        /* Beyond the basic plane: a surrogate pair (RFC 8259, section 7). */
        if (cp > 0xffff) {
            json_escape(b, 0xd800 + ((cp - 0x10000) >> 10));
            json_escape(b, 0xdc00 + ((cp - 0x10000) & 0x3ff));
            break;
        }
        vf_buf_put(b, out, sizeof(out));
        break;
    }
}

void vf_buf_json(struct vf_buf *b, const char *text, size_t len)
{
    const uint8_t *s = (const uint8_t *)text;
    size_t done = 0; /* s[done..at) is still to be copied as it stands */
    size_t at = 0;

    vf_buf_u8(b, '"');
    while (at < len) {
        uint32_t cp = 0;
        if (s[at] >= 0x20 && s[at] < 0x7f && s[at] != '"' && s[at] != '\\') { /* nearly all there is */
            at++;
            continue;
        }
        size_t n = vf_utf8_next(s + at, len - at, &cp);
        if (n > 0 && cp != '"' && cp != '\\' && vf_utf8_showable(cp)) {
            at += n;
            continue;
        }
        vf_buf_put(b, s + done, at - done);
        if (n > 0)
            json_escape(b, cp);
        else
            vf_buf_put(b, "\xef\xbf\xbd", 3);
        at += n > 0 ? n : 1;
        done = at;
    }
    if (at > done)
        vf_buf_put(b, s + done, at - done);
    vf_buf_u8(b, '"');
}

const char *vf_buf_cstr(struct vf_buf *b)
{
    if (!vf_buf_reserve(b, 0))
        return NULL;
    b->data[b->len] = '\0';
    return (const char *)b->data;
}
