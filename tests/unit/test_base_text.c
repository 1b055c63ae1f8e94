/* SPDX-License-Identifier: MIT */
#include "vaultfs/base.h"

#include <stdlib.h>
#include <string.h>

#include "cmocka_std.h"

/* Calls take (s, len): give them a block of the exact size, so that a sanitizer sees a byte read too far. */
typedef bool valid_fn(const char *s, size_t len);

static bool call(valid_fn *fn, const char *s, size_t len)
{
    char *copy = malloc(len > 0 ? len : 1);

    assert_non_null(copy);
    if (len > 0)
        memcpy(copy, s, len);
    bool ok = fn(copy, len);
    free(copy);
    return ok;
}

#define YES(fn, s) assert_true(call(fn, s, sizeof(s) - 1))
#define NO(fn, s)  assert_false(call(fn, s, sizeof(s) - 1))

/* Every byte value in the first and in a later place. */
static void every_byte(valid_fn *fn, const char *first, const char *later)
{
    for (int c = 0; c < 256; c++) {
        char one[1] = {(char)c};
        char two[2] = {'a', (char)c};
        assert_int_equal(call(fn, one, 1), c != 0 && strchr(first, c) != NULL);
        assert_int_equal(call(fn, two, 2), c != 0 && strchr(later, c) != NULL);
    }
}

#define LOWER "abcdefghijklmnopqrstuvwxyz0123456789"

static void test_names(void **state)
{
    char longest[VF_NAME_MAX + 1];

    (void)state;
    every_byte(vf_name_valid, LOWER, LOWER ".-");
    YES(vf_name_valid, "desk.met-police.uk");
    YES(vf_name_valid, "0");
    NO(vf_name_valid, "");
    NO(vf_name_valid, "..");
    NO(vf_name_valid, "a/b");
    NO(vf_name_valid, "a\0");
    memset(longest, 'x', sizeof(longest));
    assert_true(call(vf_name_valid, longest, VF_NAME_MAX));
    assert_false(call(vf_name_valid, longest, VF_NAME_MAX + 1));
}

static void test_jobs(void **state)
{
    char longest[VF_JOB_MAX + 1];

    (void)state;
    every_byte(vf_job_valid, LOWER, LOWER "-");
    YES(vf_job_valid, "2026-11-reissue");
    NO(vf_job_valid, "");
    NO(vf_job_valid, "a.b");
    memset(longest, 'x', sizeof(longest));
    assert_true(call(vf_job_valid, longest, VF_JOB_MAX));
    assert_false(call(vf_job_valid, longest, VF_JOB_MAX + 1));
}

#define BASE32 "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"

static void test_ref_parse(void **state)
{
    struct vf_ref ref = {{0}};
    struct vf_ref untouched = {{0}};
    char s[VF_REF_LEN + 1] = "AAAAAAAA";

    (void)state;
    assert_true(vf_ref_parse("ABCDEF27", 8, &ref));
    assert_memory_equal(ref.c, "ABCDEF27", 8);
    for (size_t len = 0; len < 20; len++)
        if (len != VF_REF_LEN)
            assert_false(vf_ref_parse("ABCDEFGHIJKLMNOPQRSTU", len, &untouched));
    for (size_t at = 0; at < VF_REF_LEN; at++)
        for (int c = 0; c < 256; c++) {
            s[at] = (char)c;
            bool ok = vf_ref_parse(s, VF_REF_LEN, c != 0 && strchr(BASE32, c) != NULL ? &ref : &untouched);
            assert_int_equal(ok, c != 0 && strchr(BASE32, c) != NULL);
            s[at] = 'A';
        }
    assert_memory_equal(untouched.c, "\0\0\0\0\0\0\0\0", 8);
}

static void test_grant_id_parse(void **state)
{
    struct vf_grant_id id = {{0}};

    (void)state;
    assert_true(vf_grant_id_parse("ABCDEFGHIJKLMN27", 16, &id));
    assert_memory_equal(id.c, "ABCDEFGHIJKLMN27", 16);
    assert_false(vf_grant_id_parse("ABCDEFGHIJKLMN2", 15, &id));
    assert_false(vf_grant_id_parse("ABCDEFGHIJKLMN277", 17, &id));
    assert_false(vf_grant_id_parse("ABCDEFGHIJKLMN28", 16, &id));
    assert_false(vf_grant_id_parse("abcdefghijklmnop", 16, &id));
    assert_false(vf_grant_id_parse("ABCDEFGHIJKLM===", 16, &id));
    assert_memory_equal(id.c, "ABCDEFGHIJKLMN27", 16);
}

/* RFC 4648, section 10: BASE32("fooba") = "MZXW6YTB"; and the corners. */
static void test_base32_from_bytes(void **state)
{
    static const struct {
        const char *bytes;
        const char *text;
    } vectors[] = {
        {"fooba", "MZXW6YTB"},        {"\0\0\0\0\0", "AAAAAAAA"}, {"\xff\xff\xff\xff\xff", "77777777"},
        {"\x80\0\0\0\0", "QAAAAAAA"}, {"\0\0\0\0\1", "AAAAAAAB"}, {"\x00\x44\x32\x14\xc7", "ABCDEFGH"},
    };
    struct vf_ref ref;
    struct vf_grant_id id;

    (void)state;
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        vf_ref_from_bytes((const uint8_t *)vectors[i].bytes, &ref);
        assert_memory_equal(ref.c, vectors[i].text, 8);
    }
    vf_grant_id_from_bytes((const uint8_t *)"foobafooba", &id);
    assert_memory_equal(id.c, "MZXW6YTBMZXW6YTB", 16);
    /* Each bit of the input moves exactly one character. */
    for (unsigned bit = 0; bit < 40; bit++) {
        uint8_t raw[5] = {0};
        raw[bit / 8] = (uint8_t)(0x80 >> bit % 8);
        vf_ref_from_bytes(raw, &ref);
        for (unsigned i = 0; i < 8; i++)
            assert_int_equal(ref.c[i], i == bit / 5 ? BASE32[16 >> bit % 5] : 'A');
    }
}

static void test_ref_cmp(void **state)
{
    struct vf_ref a = {{'A', 'A', 'A', 'A', 'A', 'A', 'A', 'A'}};
    struct vf_ref b = a;

    (void)state;
    assert_int_equal(vf_ref_cmp(&a, &b), 0);
    b.c[7] = 'B';
    assert_true(vf_ref_cmp(&a, &b) < 0);
    assert_true(vf_ref_cmp(&b, &a) > 0);
}

static void test_hex(void **state)
{
    uint8_t raw[256];
    uint8_t back[256];
    char text[513];

    (void)state;
    for (size_t i = 0; i < 256; i++)
        raw[i] = (uint8_t)i;
    vf_hex(raw, 256, text);
    assert_int_equal(strlen(text), 512);
    assert_memory_equal(text, "000102", 6);
    assert_string_equal(text + 506, "fdfeff");
    assert_true(vf_unhex(text, 512, back, 256));
    assert_memory_equal(raw, back, 256);
    vf_hex(NULL, 0, text);
    assert_string_equal(text, "");
    assert_true(vf_unhex("", 0, back, 0));
}

static void test_unhex_refuses(void **state)
{
    uint8_t out[2] = {0xaa, 0xbb};
    char s[] = "00ff";

    (void)state;
    assert_false(vf_unhex("00f", 3, out, 2));
    assert_false(vf_unhex("00ff0", 5, out, 2));
    assert_false(vf_unhex("00ff", 4, out, 1));
    assert_false(vf_unhex("00FF", 4, out, 2));
    assert_false(vf_unhex("", 0, out, SIZE_MAX / 2 + 1));
    for (size_t at = 0; at < 4; at++)
        for (int c = 0; c < 256; c++) {
            uint8_t got[2];
            char was = s[at];
            s[at] = (char)c;
            assert_int_equal(vf_unhex(s, 4, got, 2), c != 0 && strchr("0123456789abcdef", c) != NULL);
            s[at] = was;
        }
    assert_int_equal(out[0], 0xaa);
    assert_int_equal(out[1], 0xbb);
}

/* RFC 3629, written the slow way: encode every code point and see that exactly these strings are valid. */
static size_t encode(uint32_t cp, char out[4])
{
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    size_t n = cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
    static const uint8_t lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = n - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (cp & 0x3f));
        cp >>= 6;
    }
    out[0] = (char)(lead[n] | cp);
    return n;
}

static void test_utf8_every_code_point(void **state)
{
    (void)state;
    for (uint32_t cp = 0; cp <= 0x11ffff; cp++) {
        char s[4];
        size_t n = encode(cp, s);
        bool valid = cp <= 0x10ffff && !(cp >= 0xd800 && cp <= 0xdfff);
        if (vf_utf8_valid(s, n) != valid)
            fail_msg("U+%04X", (unsigned)cp);
        for (size_t cut = 1; cut < n; cut++)
            if (vf_utf8_valid(s, cut))
                fail_msg("U+%04X cut at %zu", (unsigned)cp, cut);
    }
}

/* All strings of two bytes and all of three: as many are valid as there are ways to compose them of code points. */
static void test_utf8_all_short_strings(void **state)
{
    unsigned long two = 0;
    unsigned long three = 0;

    (void)state;
    for (unsigned v = 0; v < 0x1000000; v++) {
        char s[3] = {(char)(v >> 16), (char)(v >> 8), (char)v};
        if (v < 0x10000)
            two += vf_utf8_valid(s + 1, 2);
        three += vf_utf8_valid(s, 3);
    }
    const unsigned long one_byte = 0x80, two_byte = 0x800 - 0x80, three_byte = 0x10000 - 0x800 - 0x800;
    assert_int_equal(two, one_byte * one_byte + two_byte);
    assert_int_equal(three, one_byte * one_byte * one_byte + 2 * one_byte * two_byte + three_byte);
}

static void test_utf8_known_bad(void **state)
{
    (void)state;
    YES(vf_utf8_valid, "");
    YES(vf_utf8_valid, "a\0b");
    NO(vf_utf8_valid, "\xc0\x80");                 /* overlong NUL */
    NO(vf_utf8_valid, "\xe0\x80\xaf");             /* overlong / */
    NO(vf_utf8_valid, "\xf0\x80\x80\xaf");         /* overlong / */
    NO(vf_utf8_valid, "\xed\xa0\xbd\xed\xb8\x80"); /* surrogate pair */
    NO(vf_utf8_valid, "\xf4\x90\x80\x80");         /* past U+10FFFF */
    NO(vf_utf8_valid, "\xf8\x88\x80\x80\x80");     /* five bytes */
    NO(vf_utf8_valid, "\x80");
    NO(vf_utf8_valid, "ok\xfe");
}

static bool listed(uint32_t cp)
{
    /* DerivedCoreProperties.txt 15.0: Default_Ignorable_Code_Point; controls, line ends, U+FFF9 to U+FFFB, surrogates. */
    static const uint32_t not_shown[][2] = {
        {0, 0x1f},          {0x7f, 0x9f},       {0xad, 0xad},       {0x34f, 0x34f},     {0x61c, 0x61c},
        {0x115f, 0x1160},   {0x17b4, 0x17b5},   {0x180b, 0x180d},   {0x180e, 0x180e},   {0x180f, 0x180f},
        {0x200b, 0x200f},   {0x2028, 0x2029},   {0x202a, 0x202e},   {0x2060, 0x2064},   {0x2065, 0x2065},
        {0x2066, 0x206f},   {0x3164, 0x3164},   {0xd800, 0xdfff},   {0xfe00, 0xfe0f},   {0xfeff, 0xfeff},
        {0xffa0, 0xffa0},   {0xfff0, 0xfff8},   {0xfff9, 0xfffb},   {0x1bca0, 0x1bca3}, {0x1d173, 0x1d17a},
        {0xe0000, 0xe0000}, {0xe0001, 0xe0001}, {0xe0002, 0xe001f}, {0xe0020, 0xe007f}, {0xe0080, 0xe0fff}};

    for (size_t i = 0; i < sizeof(not_shown) / sizeof(not_shown[0]); i++)
        if (cp >= not_shown[i][0] && cp <= not_shown[i][1])
            return true;
    return false;
}

static void test_printable_every_code_point(void **state)
{
    (void)state;
    for (uint32_t cp = 0; cp <= 0x10ffff; cp++) {
        char s[6] = {'a'};
        size_t n = encode(cp, s + 1);
        s[n + 1] = 'b';
        if (vf_text_printable(s, n + 2) == listed(cp))
            fail_msg("U+%04X", (unsigned)cp);
    }
    YES(vf_text_printable, "");
    YES(vf_text_printable, "Si\xc3\xa2n O\xe2\x80\x99"
                           "Brien");
    NO(vf_text_printable, "two\nlines");
    NO(vf_text_printable, "/usr/bin/card\xe2\x80\x8bpress"); /* zero width space */
    NO(vf_text_printable, "card\xc2\xadpress");              /* soft hyphen */
    NO(vf_text_printable, "\xef\xbb\xbf"
                          "cards");                 /* byte order mark */
    NO(vf_text_printable, "cards\xf3\xa0\x81\x81"); /* a tag */
    NO(vf_text_printable, "card\xe2\x80\x8cpress"); /* a joiner */
    NO(vf_text_printable, "\xff");
}

static bool uint_parse(const char *s, uint64_t max, uint64_t *ret)
{
    return vf_uint_parse(s, strlen(s), max, ret);
}

static void test_uint(void **state)
{
    uint64_t v = 42;

    (void)state;
    static const char *const bad[] = {"",
                                      "-1",
                                      "+1",
                                      " 1",
                                      "1 ",
                                      "01",
                                      "00",
                                      "1.0",
                                      "0x1",
                                      "1e3",
                                      "18446744073709551616",
                                      "99999999999999999999",
                                      "184467440737095516150",
                                      "\xd9\xa1"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(uint_parse(bad[i], UINT64_MAX, &v));
    assert_false(vf_uint_parse("1\0", 2, UINT64_MAX, &v));
    assert_false(uint_parse("11", 10, &v));
    assert_false(uint_parse("1", 0, &v));
    assert_true(v == 42);
    assert_true(uint_parse("0", 0, &v) && v == 0);
    assert_true(uint_parse("10", 10, &v) && v == 10);
    assert_true(uint_parse("18446744073709551615", UINT64_MAX, &v) && v == UINT64_MAX);
    assert_true(vf_uint_parse("12345", 3, 1000, &v) && v == 123);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_jobs),
        cmocka_unit_test(test_ref_parse),
        cmocka_unit_test(test_grant_id_parse),
        cmocka_unit_test(test_base32_from_bytes),
        cmocka_unit_test(test_ref_cmp),
        cmocka_unit_test(test_hex),
        cmocka_unit_test(test_unhex_refuses),
        cmocka_unit_test(test_utf8_every_code_point),
        cmocka_unit_test(test_utf8_all_short_strings),
        cmocka_unit_test(test_utf8_known_bad),
        cmocka_unit_test(test_printable_every_code_point),
        cmocka_unit_test(test_uint),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
