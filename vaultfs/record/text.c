/* SPDX-License-Identifier: MIT */
#include "text.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#define ZWNJ 0x200c /* joiners: invisible, but part of how Persian and Indian names are written */
#define ZWJ  0x200d
#define LOST 0xfffd /* what a program writes for a character it could not read */

static bool plain_ascii(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (text[i] < 0x20 || text[i] > 0x7e)
            return false;
    return true;
}

/* Why a code point has no place in a record; NULL: it has one. */
static const char *refused(utf8proc_int32_t cp)
{
    if (cp == '\n' || cp == '\r' || cp == '\t')
        return "has a line break or tab in it";
    if (cp == LOST)
        return "has the replacement character in it: an earlier program lost a letter here";
    switch (utf8proc_category(cp)) {
    case UTF8PROC_CATEGORY_CC:
        return "has a control character in it";
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
        return "has a line break or tab in it";
    case UTF8PROC_CATEGORY_CF:
        return cp == ZWNJ || cp == ZWJ ? NULL : "has an invisible or direction-changing character in it";
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CS:
        return "has a character without a meaning in Unicode in it";
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
    case UTF8PROC_CATEGORY_PC:
    case UTF8PROC_CATEGORY_PD:
    case UTF8PROC_CATEGORY_PS:
    case UTF8PROC_CATEGORY_PE:
    case UTF8PROC_CATEGORY_PI:
    case UTF8PROC_CATEGORY_PF:
    case UTF8PROC_CATEGORY_PO:
    case UTF8PROC_CATEGORY_SM:
    case UTF8PROC_CATEGORY_SC:
    case UTF8PROC_CATEGORY_SK:
    case UTF8PROC_CATEGORY_SO:
    case UTF8PROC_CATEGORY_ZS:
        break;
    }
    return NULL;
}

static bool space_at(const uint8_t *s, size_t len, size_t *ret_bytes)
{
    utf8proc_int32_t cp = 0;
    utf8proc_ssize_t n = utf8proc_iterate(s, (utf8proc_ssize_t)len, &cp);

    if (n <= 0 || utf8proc_category(cp) != UTF8PROC_CATEGORY_ZS)
        return false;
    *ret_bytes = (size_t)n;
    return true;
}

/* Spaces of every kind at both ends: exports are full of U+00A0. */
static void put_trimmed(const uint8_t *s, size_t len, struct vf_buf *out)
{
    size_t n = 0;

    while (len > 0 && space_at(s, len, &n)) {
        s += n;
        len -= n;
    }
    while (len > 0) {
        size_t last = len - 1;
        while (last > 0 && (s[last] & 0xc0) == 0x80)
            last--;
        if (!space_at(s + last, len - last, &n))
            break;
        len = last;
    }
    vf_buf_put(out, s, len);
}

static enum vf_err wide_normalise(const char *text, size_t len, struct vf_buf *out, struct vf_why *why)
{
    const uint8_t *s = (const uint8_t *)text;
    utf8proc_uint8_t *nfc = NULL;

    if (!vf_utf8_valid(text, len))
        return vf_fail(why, VF_E_INPUT, "is not UTF-8: export it again as \"CSV UTF-8\"");
    for (size_t at = 0; at < len;) {
        utf8proc_int32_t cp = 0;
        utf8proc_ssize_t n = utf8proc_iterate(s + at, (utf8proc_ssize_t)(len - at), &cp);
        const char *reason = n > 0 ? refused(cp) : "is not UTF-8: export it again as \"CSV UTF-8\"";
        /* Variation selectors and their like; what is nothing else has its own sentence later. */
        bool joiner = cp == ZWNJ || cp == ZWJ;
        if (reason == NULL && !joiner && !vf_text_printable(text + at, (size_t)n) && !vf_text_blank(text, len))
            reason = "has an invisible or direction-changing character in it";
        if (reason != NULL)
            return vf_fail(why, VF_E_INPUT, "%s", reason);
        at += (size_t)n;
    }
    utf8proc_ssize_t n = utf8proc_map(s, (utf8proc_ssize_t)len, &nfc, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    if (n < 0)
        return vf_fail(why, n == UTF8PROC_ERROR_NOMEM ? VF_E_NOMEM : VF_E_INPUT, "cannot be normalised");
    put_trimmed(nfc, (size_t)n, out);
    explicit_bzero(nfc, (size_t)n);
    free(nfc);
    return vf_buf_check(out, "text", why);
}

enum vf_err vf_text_normalise(const char *text, size_t len, struct vf_buf *out, struct vf_why *why)
{
    vf_buf_reset(out);
    if (len > VF_TEXT_RAW_MAX)
        return vf_fail(why, VF_E_INPUT, "longer than %u bytes", VF_TEXT_RAW_MAX);
    if (!plain_ascii(text, len)) {
        enum vf_err err = wide_normalise(text, len, out, why);
        if (err != VF_OK)
            vf_buf_reset(out);
        return err;
    }
    while (len > 0 && text[0] == ' ') {
        text++;
        len--;
    }
    while (len > 0 && text[len - 1] == ' ')
        len--;
    vf_buf_put(out, text, len);
    return vf_buf_check(out, "text", why);
}

size_t vf_text_chars(const char *text, size_t len)
{
    size_t n = 0;

    for (size_t i = 0; i < len; i++)
        n += ((uint8_t)text[i] & 0xc0) != 0x80;
    return n;
}

bool vf_text_formula(const char *text, size_t len)
{
    /* The full-width forms too: spreadsheets with an Asian locale read them as = + - @. */
    static const char wide[][4] = {"\xef\xbc\x9d", "\xef\xbc\x8b", "\xef\xbc\x8d", "\xef\xbc\xa0"};

    if (len > 0 && (text[0] == '=' || text[0] == '+' || text[0] == '-' || text[0] == '@'))
        return true;
    for (size_t i = 0; i < sizeof(wide) / sizeof(wide[0]); i++)
        if (len >= 3 && memcmp(text, wide[i], 3) == 0)
            return true;
    return false;
}

/* Letters and symbols by Unicode's word, without ink. */
static bool blank_letter(utf8proc_int32_t cp)
{
    return cp == 0x115f || cp == 0x1160 || cp == 0x3164 || cp == 0xffa0 || cp == 0x2800;
}

bool vf_text_blank(const char *text, size_t len)
{
    const uint8_t *s = (const uint8_t *)text;

    for (size_t at = 0; at < len;) {
        utf8proc_int32_t cp = 0;
        utf8proc_ssize_t n = utf8proc_iterate(s + at, (utf8proc_ssize_t)(len - at), &cp);
        if (n <= 0)
            return false;
        utf8proc_category_t c = utf8proc_category(cp);
        bool unseen = c == UTF8PROC_CATEGORY_ZS || c == UTF8PROC_CATEGORY_CF || c == UTF8PROC_CATEGORY_CC ||
                      c == UTF8PROC_CATEGORY_MN || c == UTF8PROC_CATEGORY_MC || c == UTF8PROC_CATEGORY_ME ||
                      blank_letter(cp);
        if (!unseen)
            return false;
        at += (size_t)n;
    }
    return true;
}
