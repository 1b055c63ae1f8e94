/* SPDX-License-Identifier: MIT */
/* The segments of a JPEG file, by the room's inner door. */
#include "../../vaultfs/record/jpeg.h"

#include <string.h>

#include "cmocka_std.h"
#include "record_images.h"

static struct blob small(const struct jpeg_how *how)
{
    struct pixels p = px_paint(64, 48, 3, 0);
    struct blob b = jpeg_make(&p, how);

    px_free(&p);
    return b;
}

/* The last look at what leaves: it must see what the cutting might ever leave behind. */
static void test_bare(void **state)
{
    static const struct {
        uint8_t marker;
        const char *body;
        size_t len;
        bool bare;
    } cases[] = {
        {0xe1, "Exif\0\0", 6, false},
        {0xe1, "", 0, false},
        {0xfe, "comment", 7, false},
        {0xe2, "MPF\0", 4, false},
        {0xe2, "ICC_PROFILE\0\1\1x", 15, true},
        {0xe2, "ICC_PROFILE\0\1", 13, false},
        {0xed, "Photoshop 3.0\0", 14, false},
        {0xee, "Adobe\0d\0\0\0\0\1", 12, true},
        {0xee, "Adobe\0d\0\0\0\0\1x", 13, false},
        {0xe0, "JFXX\0\x10", 6, false},
        {0xe0, "JFIF\0\1\2\0\0\1\0\1\1\1xyz", 17, false},
        {0xdc, "\1\144", 2, false},
        {0xe5, "x", 1, false},
        {0xdb, "", 0, true},
    };
    struct blob b = small(&(struct jpeg_how){0});

    (void)state;
    assert_true(vf_jpeg_bare(b.d, b.n));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (unsigned after = 0; after < 2; after++) {
            struct blob c = {0};
            blob_append(&c, b.d, b.n);
            jpeg_insert(&c, cases[i].marker, cases[i].body, cases[i].len, after > 0);
            assert_int_equal(vf_jpeg_bare(c.d, c.n), cases[i].bare);
            blob_free(&c);
        }
    }
    for (size_t n = 0; n < b.n; n++)
        assert_false(vf_jpeg_bare(b.d, n));
    blob_append(&b, "x", 1);
    assert_false(vf_jpeg_bare(b.d, b.n));
    b.n--;
    for (unsigned i = 0; i < 2; i++)
        jpeg_insert(&b, 0xee, "Adobe\0d\0\0\0\0\1", 12, false);
    assert_false(vf_jpeg_bare(b.d, b.n)); /* room for one head of each kind */
    blob_free(&b);
}

static void test_layout(void **state)
{
    static const struct {
        struct jpeg_how how;
        uint8_t sof;
        unsigned scans;
    } cases[] = {
        {{0}, 0xc0, 1},
        {{.progressive = true}, 0xc2, 10},
        {{.arithmetic = true}, 0xc9, 1},
        {{.arithmetic = true, .progressive = true}, 0xca, 10},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct blob b = small(&cases[i].how);
        struct vf_jpeg_layout l;
        size_t end = b.n;
        blob_append(&b, "behind", 6);
        assert_int_equal(vf_jpeg_layout(b.d, b.n, &l, NULL), VF_OK);
        assert_int_equal(l.end, end);
        assert_int_equal(l.sof, cases[i].sof);
        assert_int_equal(l.scans, cases[i].scans);
        assert_int_equal(l.width, 64);
        assert_int_equal(l.height, 48);
        assert_int_equal(l.ncomponents, 3);
        assert_int_equal(l.precision, 8);
        assert_true(l.jfif.data != NULL && l.adobe.data == NULL && l.exif.data == NULL && l.icc_parts == 0);
        assert_false(l.tables_missing && i < 2);
        blob_free(&b);
    }
}

/* The cut of a cut is the cut; every cut-off file and every changed byte is refused or cut to something bare. */
static void test_cut(void **state)
{
    struct blob b = small(&(struct jpeg_how){.progressive = true});

    (void)state;
    jpeg_add_everything(&b);
    for (size_t at = 0; at < 2 * b.n; at++) {
        struct vf_jpeg_layout l;
        VF_BUF icc;
        VF_BUF once;
        VF_BUF twice;
        size_t n = at < b.n ? at : b.n;
        vf_buf_init(&icc, 1 << 20);
        vf_buf_init(&once, 1 << 20);
        vf_buf_init(&twice, 1 << 20);
        if (at >= b.n)
            b.d[at - b.n] ^= 0x55;
        enum vf_err err = vf_jpeg_layout(b.d, n, &l, NULL);
        if (err == VF_OK) {
            vf_jpeg_icc(&l, &icc);
            vf_jpeg_cut(b.d, &l, &icc, &once);
            assert_true(vf_jpeg_bare(once.data, once.len));
            assert_int_equal(vf_jpeg_layout(once.data, once.len, &l, NULL), VF_OK);
            vf_jpeg_cut(once.data, &l, &icc, &twice);
            assert_int_equal(once.len, twice.len);
            assert_memory_equal(once.data, twice.data, once.len);
        } else {
            assert_int_equal(err, VF_E_INPUT);
        }
        if (at >= b.n)
            b.d[at - b.n] ^= 0x55;
    }
    blob_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bare),
        cmocka_unit_test(test_layout),
        cmocka_unit_test(test_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
