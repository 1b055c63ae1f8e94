/* SPDX-License-Identifier: MIT */
#include "lines.h"

#include <inttypes.h>
#include <string.h>

enum vf_err vf_lines_start(struct vf_lines *l, const char *text, size_t len, const char *what, const char *kind,
                           struct vf_why *why)
{
    char first[64];
    int n = snprintf(first, sizeof(first), "vaultfs %s v1\n", kind);

    *l = (struct vf_lines){.text = text, .len = len, .next = text, .left = len, .what = what, .kind = kind};
    if (n < 0 || (size_t)n >= sizeof(first) || len < (size_t)n || memcmp(text, first, (size_t)n) != 0)
        return vf_fail(why, VF_E_VERSION, "%s: not a \"vaultfs %s v1\"", what, kind);
    l->next += n;
    l->left -= (size_t)n;
    return VF_OK;
}

bool vf_lines_has(const struct vf_lines *l, const char *key)
{
    size_t n = strlen(key);

    return l->failed == NULL && l->left > n + 2 && memcmp(l->next, key, n) == 0 && l->next[n] == ':' &&
           l->next[n + 1] == ' ';
}

void vf_lines_refuse(struct vf_lines *l, const char *key)
{
    if (l->failed == NULL)
        l->failed = key;
}

const char *vf_lines_value(struct vf_lines *l, const char *key, size_t *ret_len)
{
    size_t skip = strlen(key) + 2;

    *ret_len = 0;
    if (!vf_lines_has(l, key)) {
        vf_lines_refuse(l, key);
        return NULL;
    }
    const char *value = l->next + skip;
    const char *end = memchr(value, '\n', l->left - skip);
    if (end == NULL || end == value) {
        vf_lines_refuse(l, key);
        return NULL;
    }
    *ret_len = (size_t)(end - value);
    l->left -= skip + *ret_len + 1;
    l->next = end + 1;
    return value;
}

void vf_lines_text(struct vf_lines *l, const char *key, char *ret, size_t size)
{
    size_t len;
    const char *value = vf_lines_value(l, key, &len);

    if (value == NULL)
        return;
    if (len >= size || !vf_text_printable(value, len)) {
        vf_lines_refuse(l, key);
        return;
    }
    memcpy(ret, value, len);
    ret[len] = '\0';
}

void vf_lines_name(struct vf_lines *l, const char *key, char ret[VF_NAME_MAX + 1])
{
    vf_lines_text(l, key, ret, VF_NAME_MAX + 1);
    if (l->failed == NULL && !vf_name_valid(ret, strlen(ret)))
        vf_lines_refuse(l, key);
}

void vf_lines_hex(struct vf_lines *l, const char *key, uint8_t *ret, size_t len)
{
    size_t got;
    const char *value = vf_lines_value(l, key, &got);

    if (value != NULL && !vf_unhex(value, got, ret, len))
        vf_lines_refuse(l, key);
}

void vf_lines_base64(struct vf_lines *l, const char *key, uint8_t *ret, size_t len)
{
    size_t got;
    const char *value = vf_lines_value(l, key, &got);

    if (value != NULL && !vf_base64_get(value, got, ret, len))
        vf_lines_refuse(l, key);
}

void vf_lines_time(struct vf_lines *l, const char *key, int64_t *ret_us)
{
    size_t len;
    const char *value = vf_lines_value(l, key, &len);

    if (value != NULL && !vf_time_parse(value, len, ret_us))
        vf_lines_refuse(l, key);
}

void vf_lines_grant_id(struct vf_lines *l, const char *key, struct vf_grant_id *ret)
{
    size_t len;
    const char *value = vf_lines_value(l, key, &len);

    if (value != NULL && !vf_grant_id_parse(value, len, ret))
        vf_lines_refuse(l, key);
}

uint64_t vf_lines_uint(struct vf_lines *l, const char *key, uint64_t min, uint64_t max)
{
    size_t len;
    const char *value = vf_lines_value(l, key, &len);
    uint64_t n = 0;

    if (value != NULL && (!vf_uint_parse(value, len, max, &n) || n < min)) {
        vf_lines_refuse(l, key);
        return 0;
    }
    return n;
}

static bool is_word(const char *value, size_t len, const char *word)
{
    return strlen(word) == len && memcmp(value, word, len) == 0;
}

bool vf_lines_either(struct vf_lines *l, const char *key, const char *yes, const char *no)
{
    size_t len;
    const char *value = vf_lines_value(l, key, &len);

    if (value == NULL)
        return false;
    if (is_word(value, len, yes))
        return true;
    if (!is_word(value, len, no))
        vf_lines_refuse(l, key);
    return false;
}

void vf_lines_prekey(struct vf_lines *l, const char *key, uint32_t *ret_batch, uint32_t *ret_number)
{
    size_t len;
    const char *value = vf_lines_value(l, key, &len);
    uint64_t batch = 0;
    uint64_t number = 0;

    if (value == NULL)
        return;
    if (!is_word(value, len, "none")) {
        const char *slash = memchr(value, '/', len);
        size_t head = slash != NULL ? (size_t)(slash - value) : 0;
        if (slash == NULL || !vf_uint_parse(value, head, UINT32_MAX, &batch) || batch == 0 ||
            !vf_uint_parse(slash + 1, len - head - 1, UINT32_MAX, &number)) {
            vf_lines_refuse(l, key);
            return;
        }
    }
    *ret_batch = (uint32_t)batch;
    *ret_number = (uint32_t)number;
}

enum vf_err vf_lines_end(const struct vf_lines *l, struct vf_why *why)
{
    if (l->failed != NULL)
        return vf_fail(why, VF_E_FORMAT, "%s: the line \"%s:\" of the %s is missing, out of place or not well-formed",
                       l->what, l->failed, l->kind);
    if (l->left != 0)
        return vf_fail(why, VF_E_FORMAT, "%s: the %s has more lines than it may have", l->what, l->kind);
    return VF_OK;
}

enum vf_err vf_lines_same(const struct vf_lines *l, const struct vf_buf *again, struct vf_why *why)
{
    VF_TRY(vf_buf_check(again, l->what, why));
    if (again->len != l->len || memcmp(again->data, l->text, l->len) != 0)
        return vf_fail(why, VF_E_FORMAT, "%s: the %s contradicts itself or is not in its one proper form", l->what, l->kind);
    return VF_OK;
}

void vf_lines_put_first(struct vf_buf *out, const char *kind)
{
    vf_buf_fmt(out, "vaultfs %s v1\n", kind);
}

void vf_lines_put(struct vf_buf *out, const char *key, const char *value)
{
    vf_buf_text(out, key);
    vf_buf_text(out, ": ");
    vf_buf_text(out, value);
    vf_buf_text(out, "\n");
}

void vf_lines_put_hex(struct vf_buf *out, const char *key, const uint8_t *value, size_t len)
{
    char hex[2 * VF_HASH_LEN + 1];

    if (len > VF_HASH_LEN) {
        out->bad = true;
        return;
    }
    vf_hex(value, len, hex);
    vf_lines_put(out, key, hex);
}

void vf_lines_put_base64(struct vf_buf *out, const char *key, const uint8_t *value, size_t len)
{
    vf_buf_text(out, key);
    vf_buf_text(out, ": ");
    vf_base64_put(out, value, len);
    vf_buf_text(out, "\n");
}

void vf_lines_put_time(struct vf_buf *out, const char *key, int64_t us)
{
    char text[VF_TIME_LEN + 1];

    vf_time_format(us, text);
    vf_lines_put(out, key, text);
}

void vf_lines_put_uint(struct vf_buf *out, const char *key, uint64_t value)
{
    vf_buf_fmt(out, "%s: %" PRIu64 "\n", key, value);
}

void vf_lines_put_grant_id(struct vf_buf *out, const char *key, const struct vf_grant_id *id)
{
    vf_buf_fmt(out, "%s: %.*s\n", key, VF_GRANT_ID_LEN, id->c);
}

void vf_lines_put_prekey(struct vf_buf *out, const char *key, uint32_t batch, uint32_t number)
{
    if (batch == 0)
        vf_lines_put(out, key, "none");
    else
        vf_buf_fmt(out, "%s: %u/%u\n", key, (unsigned)batch, (unsigned)number);
}
