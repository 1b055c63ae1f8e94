/* SPDX-License-Identifier: MIT */
#include "vaultfs/record.h"

#include <errno.h>
#include <png.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zlib.h>

#include "cmocka_std.h"
#include "faults.h"
#include "record_images.h"

static const struct vf_image_options plain = {.fit = false, .decode = true};

static enum vf_err run(const uint8_t *d, size_t n, struct vf_buf *out, struct vf_image_report *ret, struct vf_why *why)
{
    uint8_t *exact = malloc(n > 0 ? n : 1); /* so that a sanitizer sees a read beyond it */

    assert_non_null(exact);
    if (n > 0)
        memcpy(exact, d, n);
    enum vf_err err = vf_signature_clean(exact, n, &plain, out, ret, why);
    free(exact);
    return err;
}

static void refused(const struct blob *b, const char *reason)
{
    struct vf_image_report r = {.width = 77};
    struct vf_why why = {0};
    VF_BUF out;

    vf_buf_init(&out, 1024 * 1024);
    vf_buf_text(&out, "what was there before");
    assert_int_equal(run(b->d, b->n, &out, &r, &why), VF_E_INPUT);
    assert_string_equal(why.text, reason);
    assert_int_equal(out.len, 0);
    assert_int_equal(r.width, 77);
}

/* Chunks other than those the header promises to keep. */
static bool bare(const struct vf_buf *b)
{
    static const char kept[] = "IHDR PLTE tRNS IDAT IEND gAMA cHRM sRGB iCCP";
    size_t at = 8;

    while (at < b->len) {
        char type[5] = "";
        size_t len = vf_get_be32(b->data + at);
        memcpy(type, b->data + at + 4, 4);
        if (strstr(kept, type) == NULL)
            return false;
        at += len + 12;
        if (strcmp(type, "IEND") == 0)
            return at == b->len;
    }
    return false;
}

static struct vf_image_report clean(const struct blob *b, struct vf_buf *out)
{
    struct vf_image_report r = {0};
    struct vf_why why = {0};

    vf_buf_init(out, 1024 * 1024);
    enum vf_err err = run(b->d, b->n, out, &r, &why);
    if (err != VF_OK)
        print_message("refused: %s\n", why.text);
    assert_int_equal(err, VF_OK);
    assert_true(bare(out));
    assert_int_equal(out->data[28], 0); /* not interlaced */
    return r;
}

/* ------------------------------------------------------------------------------------------------------------------ kept */

static void test_every_kind(void **state)
{
    static const struct {
        int colour, depth;
    } kinds[] = {
        {PNG_COLOR_TYPE_GRAY, 1},        {PNG_COLOR_TYPE_GRAY, 2},      {PNG_COLOR_TYPE_GRAY, 4},
        {PNG_COLOR_TYPE_GRAY, 8},        {PNG_COLOR_TYPE_GRAY, 16},     {PNG_COLOR_TYPE_RGB, 8},
        {PNG_COLOR_TYPE_RGB, 16},        {PNG_COLOR_TYPE_PALETTE, 1},   {PNG_COLOR_TYPE_PALETTE, 2},
        {PNG_COLOR_TYPE_PALETTE, 4},     {PNG_COLOR_TYPE_PALETTE, 8},   {PNG_COLOR_TYPE_GRAY_ALPHA, 8},
        {PNG_COLOR_TYPE_GRAY_ALPHA, 16}, {PNG_COLOR_TYPE_RGB_ALPHA, 8}, {PNG_COLOR_TYPE_RGB_ALPHA, 16},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        for (unsigned variant = 0; variant < 4; variant++) {
            bool alpha = (kinds[i].colour & PNG_COLOR_MASK_ALPHA) != 0;
            const struct png_how how = {.w = 203,
                                        .h = 61,
                                        .colour = kinds[i].colour,
                                        .depth = kinds[i].depth,
                                        .interlaced = variant % 2 == 1,
                                        .transparent = variant >= 2 && !alpha,
                                        .srgb = variant == 3,
                                        .dressed = true};
            struct blob b = png_make(&how);
            VF_BUF out;
            blob_append(&b, "MARKER-TRAILING", 15);
            struct vf_image_report r = clean(&b, &out);
            assert_true(r.had_trailing && r.had_comment);
            assert_false(r.had_exif || r.had_xmp || r.had_icc || r.reencoded || r.scaled);
            assert_int_equal(r.width, 203);
            assert_int_equal(r.height, 61);
            assert_null(memmem(out.data, out.len, "MARKER", 6));
            struct blob was = png_raw(b.d, b.n);
            struct blob now = png_raw(out.data, out.len);
            assert_true(was.n > 16);
            assert_int_equal(now.n, was.n);
            assert_memory_equal(now.d, was.d, was.n);
            assert_int_equal(memmem(out.data, out.len, "sRGB", 4) != NULL, how.srgb);
            blob_free(&was);
            blob_free(&now);
            blob_free(&b);
        }
    }
}

static void test_metadata(void **state)
{
    static const char xmp[] = "XML:com.adobe.xmp\0\0\0\0\0MARKER-XMP";
    struct blob b = png_make(&(struct png_how){.w = 100, .h = 50, .colour = PNG_COLOR_TYPE_GRAY, .depth = 8});
    struct blob exif = exif_make(&(struct exif_how){.orientation = 6, .gps = true, .serial = true});
    VF_BUF out;

    (void)state;
    struct vf_image_report r = clean(&b, &out);
    assert_false(r.had_exif || r.had_xmp || r.had_comment || r.had_trailing || r.had_icc);
    vf_buf_done(&out);
    png_insert(&b, "eXIf", exif.d + 6, exif.n - 6);
    png_insert(&b, "iTXt", xmp, sizeof(xmp));
    png_insert(&b, "zTXt", "k\0\0not packed: MARKER", 22);
    png_insert(&b, "prIv", "MARKER-PRIVATE", 14);
    png_insert(&b, "acTL", "\0\0\0\2\0\0\0\0", 8);
    png_insert(&b, "sBIT", "\1", 1);
    r = clean(&b, &out);
    assert_true(r.had_exif && r.had_xmp && r.had_comment);
    assert_null(memmem(out.data, out.len, "MARKER", 6));
    assert_null(memmem(out.data, out.len, "SN-0123", 7));
    /* A chunk that must be understood, and is not. */
    png_insert(&b, "PRiV", "MARKER-PRIVATE", 14);
    refused(&b, "damaged or cut off (PRiV: unhandled critical chunk)");
    blob_free(&exif);
    blob_free(&b);
}

/* A profile stays if libpng finds it sound; its name, which is free text, does not. */
static void test_profile(void **state)
{
    struct blob b = png_make(&(struct png_how){.w = 100, .h = 50, .colour = PNG_COLOR_TYPE_RGB, .depth = 8});
    struct blob icc = icc_make(300);
    uint8_t packed[400] = "MARKER-NAME";
    uLongf len = sizeof(packed) - 13;
    VF_BUF out;

    (void)state;
    memset(icc.d + 128, 0, 4); /* no tags */
    memset(icc.d + 40, 0, 88);
    memcpy(icc.d + 68, "\0\0\xf6\xd6\0\1\0\0\0\0\xd3\x2d", 12); /* D50 */
    assert_int_equal(compress(packed + 13, &len, icc.d, icc.n), Z_OK);
    png_insert(&b, "iCCP", packed, 13 + len);
    struct vf_image_report r = clean(&b, &out);
    assert_true(r.had_icc);
    assert_non_null(memmem(out.data, out.len, "iCCPicc\0", 8));
    assert_null(memmem(out.data, out.len, "MARKER", 6));
    vf_buf_done(&out);
    blob_free(&b);

    /* One that is damaged goes, the picture stays. */
    b = png_make(&(struct png_how){.w = 100, .h = 50, .colour = PNG_COLOR_TYPE_RGB, .depth = 8});
    packed[20] ^= 0xff;
    png_insert(&b, "iCCP", packed, 13 + len);
    (void)clean(&b, &out);
    assert_null(memmem(out.data, out.len, "iCCP", 4));
    blob_free(&icc);
    blob_free(&b);
}

/* Bits at the ends of rows that belong to no pixel could carry a message. */
static void test_spare_bits(void **state)
{
    struct blob b = png_make(&(struct png_how){.w = 203, .h = 61, .colour = PNG_COLOR_TYPE_GRAY, .depth = 1, .noise = true});
    uint8_t rows[61 * 27];
    uLongf len = sizeof(rows);
    unsigned pixels = 0;
    VF_BUF out;

    (void)state;
    (void)clean(&b, &out);
    uint8_t *idat = memmem(out.data, out.len, "IDAT", 4);
    assert_non_null(idat);
    assert_int_equal(uncompress(rows, &len, idat + 4, vf_get_be32(idat - 4)), Z_OK);
    assert_int_equal(len, sizeof(rows));
    for (unsigned y = 0; y < 61; y++) {
        assert_int_equal(rows[y * 27], 0); /* no filter: the bytes are the pixels */
        assert_int_equal(rows[y * 27 + 26] & 0x1f, 0);
        pixels += rows[y * 27 + 26] >> 5;
    }
    assert_true(pixels > 0);
    blob_free(&b);
}

static void test_fixed_point(void **state)
{
    struct blob b =
        png_make(&(struct png_how){.w = 2000, .h = 1000, .colour = PNG_COLOR_TYPE_GRAY, .depth = 1, .interlaced = true});
    VF_BUF once;
    VF_BUF twice;

    (void)state;
    (void)clean(&b, &once);
    struct blob again = {once.data, once.len};
    (void)clean(&again, &twice);
    assert_int_equal(once.len, twice.len);
    assert_memory_equal(once.data, twice.data, once.len);
    blob_free(&b);
}

/* --------------------------------------------------------------------------------------------------------------- refused */

static void test_not_a_signature(void **state)
{
    static const char sig[] = "\x89PNG\r\n\x1a\n";
    struct blob b = {0};

    (void)state;
    refused(&b, "an empty file");
    blob_append(&b, "\xff\xd8\xff\xe0", 4);
    refused(&b, "not a PNG image but JPEG");
    b.n = 0;
    blob_append(&b, "text and more text", 18);
    refused(&b, "not a PNG image");
    b.n = 0;
    blob_append(&b, sig, 8);
    refused(&b, "cut off: the end of the image is missing");
    blob_append(&b, "\0\0\0\0IEND\xae\x42\x60\x82", 12);
    refused(&b, "damaged: the image's header is not where it must be");
    blob_free(&b);
    b = png_make(&(struct png_how){.w = 2001, .h = 10, .colour = PNG_COLOR_TYPE_GRAY, .depth = 8});
    refused(&b, "2001x10 is over 2000x1000");
    blob_free(&b);
    b = png_make(&(struct png_how){.w = 10, .h = 1001, .colour = PNG_COLOR_TYPE_GRAY, .depth = 8});
    refused(&b, "10x1001 is over 2000x1000");
    blob_free(&b);
    b = png_make(&(struct png_how){.w = 1000, .h = 1000, .colour = PNG_COLOR_TYPE_RGB_ALPHA, .depth = 16, .noise = true});
    refused(&b, "over 1,024 KiB");
    blob_free(&b);
    b = (struct blob){calloc(1, VF_IMAGE_SOURCE_MAX + 1), VF_IMAGE_SOURCE_MAX + 1};
    refused(&b, "a file of over 64 MiB");
    blob_free(&b);
    b = png_make(&(struct png_how){.w = 100, .h = 50, .colour = PNG_COLOR_TYPE_GRAY, .depth = 8});
    uint8_t header[13];
    memcpy(header, b.d + 16, sizeof(header));
    png_insert(&b, "IHDR", header, sizeof(header));
    refused(&b, "damaged: the image's header is not where it must be");
    blob_free(&b);
}

static void test_cuts_and_flips(void **state)
{
    struct blob b = png_make(&(struct png_how){.w = 61,
                                               .h = 33,
                                               .colour = PNG_COLOR_TYPE_PALETTE,
                                               .depth = 4,
                                               .transparent = true,
                                               .dressed = true,
                                               .interlaced = true});
    struct vf_image_report r;
    struct vf_why why = {0};
    struct blob whole = png_raw(b.d, b.n);
    unsigned good = 0;

    (void)state;
    for (size_t n = 0; n < b.n; n++) {
        VF_BUF out;
        vf_buf_init(&out, 1024 * 1024);
        assert_int_equal(run(b.d, n, &out, &r, &why), VF_E_INPUT);
        if (n >= 8)
            assert_string_equal(why.text, "cut off: the end of the image is missing");
    }
    for (size_t at = 0; at < b.n; at++) {
        static const uint8_t flip[] = {0x01, 0x80, 0xff, 0x20};
        for (unsigned k = 0; k < 4; k++) {
            VF_BUF out;
            vf_buf_init(&out, 1024 * 1024);
            b.d[at] ^= flip[k];
            enum vf_err err = run(b.d, b.n, &out, &r, &why);
            b.d[at] ^= flip[k];
            assert_true(err == VF_OK || err == VF_E_INPUT);
            if (err != VF_OK) {
                assert_true(strlen(why.text) > 5);
                continue;
            }
            /* Every byte is under some checksum, but for those at the front of a chunk that says its length wrongly. */
            good++;
            assert_true(bare(&out));
            struct blob now = png_raw(out.data, out.len);
            assert_int_equal(now.n, whole.n);
            assert_memory_equal(now.d, whole.d, whole.n);
            blob_free(&now);
        }
    }
    assert_int_equal(good, 0);
    blob_free(&whole);
    blob_free(&b);
}

static void test_bombs(void **state)
{
    struct vf_image_report r;
    struct vf_why why = {0};
    struct timespec t0;
    struct timespec t1;
    VF_BUF out;
    const size_t plain_len = 64 << 20;
    uint8_t *zeros = calloc(1, plain_len);
    uLongf len = compressBound(plain_len);
    uint8_t *packed = malloc(len + 2);

    (void)state;
    assert_non_null(zeros);
    assert_non_null(packed);
    vf_buf_init(&out, 1024 * 1024);
    assert_int_equal(compress(packed + 2, &len, zeros, plain_len), Z_OK);
    packed[0] = 'n';
    packed[1] = 0;
    packed[2 + len] = 0;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t0);

    /* 64 MiB behind a text and behind a profile: the text is never unpacked, the profile only as far as libpng's limit. */
    struct blob b = png_make(&(struct png_how){.w = 100, .h = 50, .colour = PNG_COLOR_TYPE_GRAY, .depth = 8});
    png_insert(&b, "zTXt", packed, len + 2);
    assert_int_equal(run(b.d, b.n, &out, &r, &why), VF_OK);
    blob_free(&b);
    b = png_make(&(struct png_how){.w = 100, .h = 50, .colour = PNG_COLOR_TYPE_GRAY, .depth = 8});
    memmove(packed + 3, packed + 2, len);
    packed[2] = 0;
    png_insert(&b, "iCCP", packed, len + 3);
    assert_int_equal(run(b.d, b.n, &out, &r, &why), VF_OK);
    assert_null(memmem(out.data, out.len, "iCCP", 4));
    blob_free(&b);

    /* More rows than there are bytes for, and the other way round. */
    b = png_make(&(struct png_how){.w = 100, .h = 50, .colour = PNG_COLOR_TYPE_GRAY, .depth = 8});
    b.d[22] = 3; /* 768 + 50 rows */
    uLong crc = crc32(0, b.d + 12, 17);
    vf_put_be32(b.d + 29, (uint32_t)crc);
    assert_int_equal(run(b.d, b.n, &out, &r, &why), VF_E_INPUT);
    assert_memory_equal(why.text, "damaged or cut off (", 20);
    b.d[22] = 0;
    b.d[23] = 10;
    crc = crc32(0, b.d + 12, 17);
    vf_put_be32(b.d + 29, (uint32_t)crc);
    assert_int_equal(run(b.d, b.n, &out, &r, &why), VF_OK);
    assert_int_equal(r.height, 10);
    blob_free(&b);
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t1);
    assert_true(t1.tv_sec - t0.tv_sec <= 2);
    free(zeros);
    free(packed);
}

static void test_no_memory(void **state)
{
    struct blob b = png_make(&(struct png_how){.w = 100, .h = 50, .colour = PNG_COLOR_TYPE_GRAY, .depth = 8});

    (void)state;
    for (unsigned n = 1;; n++) {
        struct vf_image_report r;
        VF_BUF out;
        vf_buf_init(&out, 1024 * 1024);
        faults_arm(FAULT_MEMORY, n, ENOMEM);
        enum vf_err err = vf_signature_clean(b.d, b.n, &plain, &out, &r, NULL);
        if (!faults_disarm()) {
            assert_int_equal(err, VF_OK);
            assert_true(n > 3);
            break;
        }
        assert_int_equal(err, VF_E_NOMEM);
        assert_int_equal(out.len, 0);
    }
    VF_BUF small;
    struct vf_image_report r;
    vf_buf_init(&small, 100);
    assert_int_equal(vf_signature_clean(b.d, b.n, &plain, &small, &r, NULL), VF_E_LIMIT);
    blob_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_kind),     cmocka_unit_test(test_metadata),    cmocka_unit_test(test_profile),
        cmocka_unit_test(test_spare_bits),     cmocka_unit_test(test_fixed_point), cmocka_unit_test(test_not_a_signature),
        cmocka_unit_test(test_cuts_and_flips), cmocka_unit_test(test_bombs),       cmocka_unit_test(test_no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
