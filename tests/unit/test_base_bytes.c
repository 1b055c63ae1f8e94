/* SPDX-License-Identifier: MIT */
#include "faults.h"
#include "vaultfs/base.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cmocka_std.h"

/* ------------------------------------------------------------------------------------------------------------------ reader */

static const uint8_t all[] = {0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c,
                              0x0d, 0x0e, 0x0f, 0x00, 0x03, 'a',  'b',  'c',  0x7e, 0x7f, 0x80};

/* Reads the whole of `all` when there is all of it. */
static bool read_all(struct vf_reader *r, bool check)
{
    uint8_t u8 = vf_reader_u8(r);
    uint16_t u16 = vf_reader_u16(r);
    uint32_t u32 = vf_reader_u32(r);
    uint64_t u64 = vf_reader_u64(r);
    size_t len = 99;
    const uint8_t *str = vf_reader_str16(r, 3, &len);
    uint8_t two[2] = {0xee, 0xee};
    vf_reader_copy(r, two, sizeof(two));
    const uint8_t *last = vf_reader_view(r, 1);

    if (check) {
        assert_int_equal(u8, 1);
        assert_int_equal(u16, 0x0203);
        assert_int_equal(u32, 0x04050607);
        assert_true(u64 == UINT64_C(0x08090a0b0c0d0e0f));
        assert_int_equal(len, 3);
        assert_memory_equal(str, "abc", 3);
        assert_int_equal(two[0], 0x7e);
        assert_int_equal(two[1], 0x7f);
        assert_int_equal(*last, 0x80);
    }
    return vf_reader_done(r);
}

static void test_reader_reads(void **state)
{
    struct vf_reader r = vf_reader_of(all, sizeof(all));

    (void)state;
    assert_true(read_all(&r, true));
}

static void test_reader_short_at_every_length(void **state)
{
    (void)state;
    for (size_t len = 0; len < sizeof(all); len++) {
        /* A block of its own, so that a sanitizer sees a read past the end. */
        uint8_t *copy = malloc(len > 0 ? len : 1);
        assert_non_null(copy);
        memcpy(copy, all, len);
        struct vf_reader r = vf_reader_of(copy, len);
        assert_false(read_all(&r, false));
        assert_true(r.bad);
        free(copy);
    }
}

static void test_reader_left_over(void **state)
{
    struct vf_reader r = vf_reader_of(all, sizeof(all));

    (void)state;
    assert_false(vf_reader_done(&r));
    assert_int_equal(vf_reader_u8(&r), 1);
    assert_false(vf_reader_done(&r));
    assert_false(r.bad);
}

static void test_reader_sticky(void **state)
{
    struct vf_reader r = vf_reader_of(all, 3);
    uint8_t out[4] = {9, 9, 9, 9};
    size_t len = 77;

    (void)state;
    assert_int_equal(vf_reader_u32(&r), 0);
    assert_true(r.bad);
    /* Three bytes were there, but nothing is given out after an error. */
    assert_int_equal(vf_reader_u8(&r), 0);
    assert_int_equal(vf_reader_u16(&r), 0);
    assert_true(vf_reader_u64(&r) == 0);
    assert_null(vf_reader_view(&r, 0));
    assert_null(vf_reader_str16(&r, 10, &len));
    assert_int_equal(len, 0);
    vf_reader_copy(&r, out, sizeof(out));
    assert_memory_equal(out, "\0\0\0\0", 4);
    vf_reader_copy(&r, NULL, 0);
    assert_false(vf_reader_done(&r));
}

static void test_reader_empty(void **state)
{
    struct vf_reader r = vf_reader_of(NULL, 0);
    static const uint8_t zero[2];

    (void)state;
    assert_true(vf_reader_done(&r));
    assert_non_null(vf_reader_view(&r, 0));
    vf_reader_copy(&r, NULL, 0);
    assert_true(vf_reader_done(&r));
    assert_null(vf_reader_view(&r, 1));
    assert_false(vf_reader_done(&r));

    size_t len = 5;
    r = vf_reader_of(zero, sizeof(zero));
    assert_non_null(vf_reader_str16(&r, 0, &len));
    assert_int_equal(len, 0);
    assert_true(vf_reader_done(&r));
}

static void test_reader_str16_limits(void **state)
{
    static const uint8_t in[] = {0x00, 0x03, 'a', 'b', 'c'};
    static const uint8_t lies[] = {0xff, 0xff, 'a', 'b', 'c'};
    size_t len = 9;

    (void)state;
    struct vf_reader r = vf_reader_of(in, sizeof(in));
    assert_non_null(vf_reader_str16(&r, 3, &len));
    assert_true(vf_reader_done(&r));
    r = vf_reader_of(in, sizeof(in));
    assert_null(vf_reader_str16(&r, 2, &len));
    assert_true(r.bad);
    assert_int_equal(len, 0);
    r = vf_reader_of(lies, sizeof(lies));
    assert_null(vf_reader_str16(&r, SIZE_MAX, &len));
    assert_true(r.bad);
    assert_int_equal(len, 0);
}

static void test_reader_huge_length(void **state)
{
    struct vf_reader r = vf_reader_of(all, sizeof(all));

    (void)state;
    assert_null(vf_reader_view(&r, SIZE_MAX));
    assert_true(r.bad);
}

static void test_big_endian(void **state)
{
    static const uint64_t values[] = {0,
                                      1,
                                      0x7f,
                                      0x80,
                                      0xff,
                                      0x100,
                                      0x8000,
                                      0xffff,
                                      0x10000,
                                      0x80000000,
                                      UINT32_MAX,
                                      UINT64_C(0x100000000),
                                      UINT64_C(0x0123456789abcdef),
                                      UINT64_C(1) << 63,
                                      UINT64_MAX};
    uint8_t raw[8];

    (void)state;
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        vf_put_be64(raw, values[i]);
        assert_true(vf_get_be64(raw) == values[i]);
        vf_put_be32(raw, (uint32_t)values[i]);
        assert_true(vf_get_be32(raw) == (uint32_t)values[i]);
        vf_put_be16(raw, (uint16_t)values[i]);
        assert_true(vf_get_be16(raw) == (uint16_t)values[i]);
    }
    vf_put_be64(raw, UINT64_C(0x0102030405060708));
    assert_memory_equal(raw, "\1\2\3\4\5\6\7\10", 8);
}

/* ------------------------------------------------------------------------------------------------------------------ buffer */

static void test_buf_round_trip(void **state)
{
    VF_BUF b;

    (void)state;
    vf_buf_init(&b, sizeof(all));
    vf_buf_u8(&b, 1);
    vf_buf_u16(&b, 0x0203);
    vf_buf_u32(&b, 0x04050607);
    vf_buf_u64(&b, UINT64_C(0x08090a0b0c0d0e0f));
    vf_buf_str16(&b, "abc", 3);
    vf_buf_put(&b, "\x7e\x7f", 2);
    uint8_t *last = vf_buf_grow(&b, 1);
    assert_non_null(last);
    assert_int_equal(*last, 0);
    *last = 0x80;
    assert_true(vf_buf_ok(&b));
    assert_int_equal(vf_buf_check(&b, "it", NULL), VF_OK);
    assert_int_equal(b.len, sizeof(all));
    assert_memory_equal(b.data, all, sizeof(all));
}

static void test_buf_exact_maximum(void **state)
{
    (void)state;
    for (size_t max = 0; max < 300; max++) {
        VF_BUF b;
        vf_buf_init(&b, max);
        for (size_t i = 0; i < max; i++)
            vf_buf_u8(&b, (uint8_t)i);
        assert_true(vf_buf_ok(&b));
        assert_int_equal(b.len, max);
        assert_true(b.cap <= max);
        vf_buf_put(&b, NULL, 0);
        assert_true(vf_buf_ok(&b));
        /* A NUL for C strings has its place even in a full buffer. */
        const char *s = vf_buf_cstr(&b);
        assert_non_null(s);
        assert_int_equal(s[max], '\0');
        for (size_t i = 0; i < max; i++)
            assert_int_equal(b.data[i], (uint8_t)i);

        struct vf_why why = {0};
        vf_buf_u8(&b, 0);
        assert_false(vf_buf_ok(&b));
        assert_int_equal(vf_buf_check(&b, "list.csv", &why), VF_E_LIMIT);
        assert_non_null(strstr(why.text, "list.csv"));
        assert_int_equal(b.len, max);
        assert_null(vf_buf_cstr(&b));
        assert_null(vf_buf_grow(&b, 0));
        assert_false(vf_buf_reserve(&b, 0));
    }
}

static void test_buf_sticky_and_reset(void **state)
{
    VF_BUF b;

    (void)state;
    vf_buf_init(&b, 4);
    vf_buf_text(&b, "abc");
    vf_buf_u16(&b, 1); /* one too many: nothing of it goes in */
    assert_int_equal(b.len, 3);
    vf_buf_u8(&b, 'd');
    assert_int_equal(b.len, 3);
    assert_false(vf_buf_ok(&b));
    uint8_t *memory = b.data;
    vf_buf_reset(&b);
    assert_ptr_equal(b.data, memory);
    assert_memory_equal(memory, "\0\0\0\0", 4);
    assert_true(vf_buf_ok(&b));
    assert_int_equal(b.len, 0);
    vf_buf_text(&b, "efgh");
    assert_string_equal(vf_buf_cstr(&b), "efgh");
}

static void test_buf_done(void **state)
{
    struct vf_buf b;
    struct vf_buf zero = {0};

    (void)state;
    vf_buf_init(&b, 100);
    vf_buf_text(&b, "x");
    vf_buf_done(&b);
    assert_null(b.data);
    assert_int_equal(b.len, 0);
    assert_int_equal(b.cap, 0);
    vf_buf_done(&b);
    /* Empty again, and usable. */
    vf_buf_text(&b, "y");
    assert_string_equal(vf_buf_cstr(&b), "y");
    vf_buf_done(&b);

    assert_string_equal(vf_buf_cstr(&zero), "");
    vf_buf_u8(&zero, 1);
    assert_false(vf_buf_ok(&zero));
    vf_buf_done(&zero);
}

static void test_buf_absurd_sizes(void **state)
{
    VF_BUF b;
    struct vf_why why = {0};

    (void)state;
    vf_buf_init(&b, SIZE_MAX);
    vf_buf_u8(&b, 1);
    assert_false(vf_buf_reserve(&b, SIZE_MAX));
    assert_int_equal(vf_buf_check(&b, "b", &why), VF_E_LIMIT);
    vf_buf_reset(&b);
    assert_false(vf_buf_reserve(&b, SIZE_MAX));
    assert_int_equal(vf_buf_check(&b, "b", &why), VF_E_NOMEM);
    assert_int_equal(b.data[0], 0);
    vf_buf_reset(&b);
    assert_true(vf_buf_ok(&b));

    /* Somebody set len beyond max: refused, not wrapped around. */
    vf_buf_done(&b);
    vf_buf_init(&b, 4);
    b.len = 5;
    assert_false(vf_buf_reserve(&b, 0));
    b.len = 0;
}

static void test_buf_str16_limit(void **state)
{
    VF_BUF b;
    char *big = calloc(1, 65536);

    (void)state;
    assert_non_null(big);
    vf_buf_init(&b, 200000);
    vf_buf_str16(&b, big, 65535);
    assert_true(vf_buf_ok(&b));
    assert_int_equal(b.len, 65537);
    vf_buf_str16(&b, big, 65536);
    assert_int_equal(vf_buf_check(&b, "b", NULL), VF_E_LIMIT);
    assert_int_equal(b.len, 65537);
    free(big);

    /* The length alone would fit, the bytes do not: neither is written. */
    vf_buf_done(&b);
    vf_buf_init(&b, 4);
    vf_buf_str16(&b, "abc", 3);
    assert_false(vf_buf_ok(&b));
    assert_int_equal(b.len, 0);
}

static void same_decimal(uint64_t v)
{
    char digits[VF_DECIMAL_MAX], expect[VF_DECIMAL_MAX + 1];
    VF_BUF b;

    int n = snprintf(expect, sizeof(expect), "%llu", (unsigned long long)v);
    assert_int_equal(vf_decimal(v, digits), n);
    assert_memory_equal(digits, expect, (size_t)n);
    vf_buf_init(&b, VF_DECIMAL_MAX);
    vf_buf_decimal(&b, v);
    assert_string_equal(vf_buf_cstr(&b), expect);
}

static void test_decimal(void **state)
{
    (void)state;
    same_decimal(0);
    same_decimal(UINT64_MAX);
    for (uint64_t v = 1; v <= UINT64_MAX / 10; v *= 10) {
        same_decimal(v - 1);
        same_decimal(v);
        same_decimal(v + 7);
    }
    VF_BUF b;
    vf_buf_init(&b, 3);
    vf_buf_decimal(&b, 1234);
    assert_int_equal(vf_buf_check(&b, "b", NULL), VF_E_LIMIT);
}

/* What is not plain is where it was before, whatever stands beside it: byte by byte against the general way. */
static void test_buf_json_bytes(void **state)
{
    (void)state;
    for (unsigned c = 0; c < 256; c++) {
        char in[4] = {'a', (char)c, 'b', 'c'}, alone[1] = {(char)c};
        VF_BUF one, among;
        vf_buf_init(&one, 40);
        vf_buf_init(&among, 40);
        vf_buf_json(&one, alone, 1);
        vf_buf_json(&among, in, sizeof(in));
        assert_int_equal(among.len, one.len + 3);
        assert_memory_equal(among.data, "\"a", 2);
        assert_memory_equal(among.data + 2, one.data + 1, one.len - 2);
        assert_memory_equal(among.data + among.len - 3, "bc\"", 3);
        bool plain = c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
        assert_int_equal(one.len == 3 && one.data[1] == (uint8_t)c, plain);
    }
}

static void test_buf_fmt(void **state)
{
    VF_BUF b;
    char expect[400];

    (void)state;
    vf_buf_init(&b, 400);
    for (int i = 0; i < 20; i++)
        vf_buf_fmt(&b, "%d:%s;", i, "abcdefg");
    assert_true(vf_buf_ok(&b));
    size_t at = 0;
    for (int i = 0; i < 20; i++)
        at += (size_t)snprintf(expect + at, sizeof(expect) - at, "%d:%s;", i, "abcdefg");
    assert_string_equal(vf_buf_cstr(&b), expect);

    /* Exactly full, and one too many. */
    vf_buf_done(&b);
    vf_buf_init(&b, 5);
    vf_buf_fmt(&b, "%s", "12345");
    assert_true(vf_buf_ok(&b));
    assert_string_equal(vf_buf_cstr(&b), "12345");
    vf_buf_fmt(&b, "%s", "");
    assert_true(vf_buf_ok(&b));
    vf_buf_fmt(&b, "%s", "6");
    assert_false(vf_buf_ok(&b));
    assert_int_equal(b.len, 5);
}

static void json(const char *in, size_t len, const char *out)
{
    VF_BUF b;

    vf_buf_init(&b, 1000);
    vf_buf_json(&b, in, len);
    assert_string_equal(vf_buf_cstr(&b), out);
}

#define JSON(in, out) json(in, sizeof(in) - 1, out)

static void test_buf_json(void **state)
{
    (void)state;
    JSON("", "\"\"");
    JSON("plain", "\"plain\"");
    JSON("a\"b\\c", "\"a\\\"b\\\\c\"");
    JSON("\n\r\t", "\"\\n\\r\\t\"");
    JSON("\0\1\x1f\x7f", "\"\\u0000\\u0001\\u001f\\u007f\"");
    JSON("Zo\xc3\xab \xe2\x82\xac \xf0\x9f\x91\xae", "\"Zo\xc3\xab \xe2\x82\xac \xf0\x9f\x91\xae\"");
    JSON("\xc2\x85\xe2\x80\xa8\xe2\x80\xae", "\"\\u0085\\u2028\\u202e\"");
    JSON("\xc2\xad\xef\xbb\xbf\xf3\xa0\x81\x81", "\"\\u00ad\\ufeff\\udb40\\udc41\""); /* U+E0041 */
    JSON("a\xff\xc3(\xed\xa0\x80", "\"a\xef\xbf\xbd\xef\xbf\xbd(\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
    JSON("\xe2\x82", "\"\xef\xbf\xbd\xef\xbf\xbd\"");

    VF_BUF b;
    vf_buf_init(&b, 6);
    vf_buf_json(&b, "abcd", 4);
    assert_true(vf_buf_ok(&b));
    vf_buf_reset(&b);
    vf_buf_json(&b, "abcde", 5);
    assert_false(vf_buf_ok(&b));
}

static void test_buf_wipes(void **state)
{
    static const char secret[] = "S3cret-of-16-char";
    VF_BUF b;

    (void)state;
    /* The watch itself works: a block that was not wiped is found. */
    char *volatile plain = strdup(secret); /* volatile: or a compiler sees that nobody needs it */
    faults_watch_free(secret, sizeof(secret) - 1);
    free(plain);
    if (getenv("VAULTFS_VALGRIND") == NULL)
        assert_int_equal(faults_unwiped(), 1);

    /* Growing moves it many times; reset, done. */
    faults_watch_free(secret, sizeof(secret) - 1);
    vf_buf_init(&b, 1 << 20);
    vf_buf_text(&b, secret);
    for (int i = 0; i < 5000; i++)
        vf_buf_u64(&b, (uint64_t)i);
    vf_buf_done(&b);
    assert_int_equal(faults_unwiped(), 0);

    vf_buf_init(&b, 1024);
    vf_buf_text(&b, secret);
    b.len = 1; /* taken back, but still in memory */
    vf_buf_reset(&b);
    for (size_t i = 0; i <= b.cap; i++)
        assert_int_equal(b.data[i], 0);
}

static void test_buf_no_memory(void **state)
{
    (void)state;
    for (unsigned n = 1;; n++) {
        VF_BUF b;
        struct vf_why why = {0};
        vf_buf_init(&b, 4096);
        faults_arm(FAULT_MEMORY, n, ENOMEM);
        for (unsigned i = 0; i < 1000; i++)
            vf_buf_u8(&b, (uint8_t)i);
        bool met = faults_disarm();
        assert_int_equal(vf_buf_check(&b, "b", &why), met ? VF_E_NOMEM : VF_OK);
        if (!met) {
            assert_int_equal(b.len, 1000);
            assert_in_range(n, 3, 10);
            break;
        }
        /* What was there before is still there and right. */
        for (size_t i = 0; i < b.len; i++)
            assert_int_equal(b.data[i], (uint8_t)i);
        vf_buf_reset(&b);
        assert_true(vf_buf_ok(&b));
    }

    VF_BUF b;
    vf_buf_init(&b, 10);
    faults_arm_lasting(FAULT_MEMORY, 1, ENOMEM);
    const char *s = vf_buf_cstr(&b);
    assert_true(faults_disarm());
    assert_null(s);
    assert_int_equal(vf_buf_check(&b, "b", NULL), VF_E_NOMEM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reader_reads),
        cmocka_unit_test(test_reader_short_at_every_length),
        cmocka_unit_test(test_reader_left_over),
        cmocka_unit_test(test_reader_sticky),
        cmocka_unit_test(test_reader_empty),
        cmocka_unit_test(test_reader_str16_limits),
        cmocka_unit_test(test_reader_huge_length),
        cmocka_unit_test(test_big_endian),
        cmocka_unit_test(test_buf_round_trip),
        cmocka_unit_test(test_buf_exact_maximum),
        cmocka_unit_test(test_buf_sticky_and_reset),
        cmocka_unit_test(test_buf_done),
        cmocka_unit_test(test_buf_absurd_sizes),
        cmocka_unit_test(test_buf_str16_limit),
        cmocka_unit_test(test_buf_fmt),
        cmocka_unit_test(test_decimal),
        cmocka_unit_test(test_buf_json),
        cmocka_unit_test(test_buf_json_bytes),
        cmocka_unit_test(test_buf_wipes),
        cmocka_unit_test(test_buf_no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
