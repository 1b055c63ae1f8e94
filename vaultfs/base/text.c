/* SPDX-License-Identifier: MIT */
#include "vaultfs/base.h"

#include "utf8.h"

#include <string.h>

static const char base32[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/* No ctype.h here: its answers depend on the locale. */
static bool lower_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool word_valid(const char *s, size_t len, size_t max, bool dots)
{
    if (len == 0 || len > max || !lower_or_digit(s[0]))
        return false;
    for (size_t i = 1; i < len; i++)
        if (!lower_or_digit(s[i]) && s[i] != '-' && !(dots && s[i] == '.'))
            return false;
    return true;
}

bool vf_name_valid(const char *s, size_t len)
{
    return word_valid(s, len, VF_NAME_MAX, true);
}

bool vf_job_valid(const char *s, size_t len)
{
    return word_valid(s, len, VF_JOB_MAX, false);
}

static bool base32_valid(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!(s[i] >= 'A' && s[i] <= 'Z') && !(s[i] >= '2' && s[i] <= '7'))
            return false;
    return true;
}

/* Every 5 bytes give 8 characters, most significant bits first; there is never a remainder here, so no padding. */
static void base32_put(const uint8_t *in, size_t groups, char *out)
{
    for (size_t g = 0; g < groups; g++) {
        uint64_t bits = 0;
        for (size_t i = 0; i < 5; i++)
            bits = bits << 8 | in[g * 5 + i];
        for (size_t i = 0; i < 8; i++)
            out[g * 8 + i] = base32[bits >> (35 - 5 * i) & 31];
    }
}

bool vf_ref_parse(const char *s, size_t len, struct vf_ref *ret)
{
    if (len != VF_REF_LEN || !base32_valid(s, len))
        return false;
    memcpy(ret->c, s, VF_REF_LEN);
    return true;
}

bool vf_grant_id_parse(const char *s, size_t len, struct vf_grant_id *ret)
{
    if (len != VF_GRANT_ID_LEN || !base32_valid(s, len))
        return false;
    memcpy(ret->c, s, VF_GRANT_ID_LEN);
    return true;
}

void vf_ref_from_bytes(const uint8_t bytes[5], struct vf_ref *ret)
{
    base32_put(bytes, 1, ret->c);
}

void vf_grant_id_from_bytes(const uint8_t bytes[10], struct vf_grant_id *ret)
{
    base32_put(bytes, 2, ret->c);
}

int vf_ref_cmp(const struct vf_ref *a, const struct vf_ref *b)
{
    return memcmp(a->c, b->c, VF_REF_LEN);
}

void vf_hex(const uint8_t *in, size_t len, char *out)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digits[in[i] >> 4];
        out[2 * i + 1] = digits[in[i] & 15];
    }
    out[2 * len] = '\0';
}

static int unhex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

bool vf_unhex(const char *in, size_t len, uint8_t *ret, size_t ret_len)
{
    if (ret_len > SIZE_MAX / 2 || len != 2 * ret_len)
        return false;
    for (size_t i = 0; i < len; i++)
        if (unhex_digit(in[i]) < 0)
            return false;
    for (size_t i = 0; i < ret_len; i++)
        ret[i] = (uint8_t)((unsigned)unhex_digit(in[2 * i]) << 4 | (unsigned)unhex_digit(in[2 * i + 1]));
    return true;
}

size_t vf_utf8_next(const uint8_t *s, size_t len, uint32_t *ret)
{
    if (len == 0)
        return 0;
    uint8_t lead = s[0];
    if (lead < 0x80) {
        *ret = lead;
        return 1;
    }
    size_t n = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    /* C0, C1: overlong. F5 and above: past U+10FFFF. 80 to BF: no lead byte. */
    if (lead < 0xc2 || lead > 0xf4 || len < n)
        return 0;
    uint32_t cp = lead & (0x7fU >> n);
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        cp = cp << 6 | (s[i] & 0x3fU);
    }
    bool overlong = (n == 3 && cp < 0x800) || (n == 4 && cp < 0x10000);
    bool surrogate = cp >= 0xd800 && cp <= 0xdfff;
    if (overlong || surrogate || cp > 0x10ffff)
        return 0;
    *ret = cp;
    return n;
}

/*
 * What ends a line or changes its direction, and what shows nothing at all, so that two texts would look the same: Unicode's properties
 * Bidi_Control and Default_Ignorable_Code_Point (15.0), U+2028, U+2029 and the annotation marks. The joiners (U+200C, U+200D) and variation
 * selectors, which some scripts need within names, are among them: no officer's name is ever checked by this, and what is (paths, purposes,
 * names of forces and columns) does without. Format characters that show something (U+0600 to U+0605, U+06DD …) stay.
 */
static const struct {
    uint32_t from, to;
} not_shown[] = {
    {0x0000, 0x001f}, {0x007f, 0x009f},   {0x00ad, 0x00ad},   {0x034f, 0x034f},   {0x061c, 0x061c},
    {0x115f, 0x1160}, {0x17b4, 0x17b5},   {0x180b, 0x180f},   {0x200b, 0x200f},   {0x2028, 0x202e},
    {0x2060, 0x206f}, {0x3164, 0x3164},   {0xfe00, 0xfe0f},   {0xfeff, 0xfeff},   {0xffa0, 0xffa0},
    {0xfff0, 0xfffb}, {0x1bca0, 0x1bca3}, {0x1d173, 0x1d17a}, {0xe0000, 0xe0fff},
};

bool vf_utf8_showable(uint32_t cp)
{
    if (cp >= 0x20 && cp < 0x7f)
        return true;
    for (size_t i = 0; i < sizeof(not_shown) / sizeof(not_shown[0]) && cp >= not_shown[i].from; i++)
        if (cp <= not_shown[i].to)
            return false;
    return true;
}

static bool utf8_all(const char *s, size_t len, bool (*wanted)(uint32_t))
{
    const uint8_t *bytes = (const uint8_t *)s;

    for (size_t at = 0; at < len;) {
        uint32_t cp = 0;
        size_t n = vf_utf8_next(bytes + at, len - at, &cp);
        if (n == 0 || (wanted != NULL && !wanted(cp)))
            return false;
        at += n;
    }
    return true;
}

bool vf_utf8_valid(const char *s, size_t len)
{
    return utf8_all(s, len, NULL);
}

bool vf_text_printable(const char *s, size_t len)
{
    return utf8_all(s, len, vf_utf8_showable);
}

bool vf_uint_parse(const char *s, size_t len, uint64_t max, uint64_t *ret)
{
    uint64_t v = 0;

    if (len == 0 || (len > 1 && s[0] == '0'))
        return false;
    for (size_t i = 0; i < len; i++) {
        if (s[i] < '0' || s[i] > '9')
            return false;
        uint64_t digit = (uint64_t)(s[i] - '0');
        if (v > (UINT64_MAX - digit) / 10)
            return false;
        v = v * 10 + digit;
    }
    if (v > max)
        return false;
    *ret = v;
    return true;
}
