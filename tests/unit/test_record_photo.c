/* SPDX-License-Identifier: MIT */
/* Good photos: the picture stays, everything else goes, and it stands upright. */
#include "vaultfs/record.h"

#include <stdlib.h>
#include <string.h>
#include <turbojpeg.h>

#include "cmocka_std.h"
#include "record_images.h"

static const struct vf_image_options plain = {.fit = false, .decode = true};
static const struct vf_image_options fit = {.fit = true, .decode = true};

/* Clean what must be good. The caller owns `out`. */
static struct vf_image_report clean(const struct blob *b, const struct vf_image_options *opt, struct vf_buf *out)
{
    struct vf_image_report report = {0};
    struct vf_why why = {0};

    vf_buf_init(out, 1024 * 1024);
    enum vf_err err = vf_photo_clean(b->d, b->n, opt, out, &report, &why);
    if (err != VF_OK)
        print_message("refused: %s\n", why.text);
    assert_int_equal(err, VF_OK);
    struct facts f = jpeg_facts(out->data, out->len);
    assert_int_equal(f.end, out->len); /* the end of the image is the end of the file */
    assert_int_equal(f.width, report.width);
    assert_int_equal(f.height, report.height);
    assert_false(f.arithmetic);
    assert_true(f.app[0] <= 1 && f.app[14] <= 1 && f.com == 0);
    for (int i = 1; i < 16; i++)
        assert_true(i == 2 || i == 14 || f.app[i] == 0);
    return report;
}

static bool contains(const struct vf_buf *b, const char *text)
{
    return memmem(b->data, b->len, text, strlen(text)) != NULL;
}

/* ------------------------------------------------------------------------------------------------------------ kept as it is */

static void test_kept(void **state)
{
    static const struct jpeg_how hows[] = {
        {.hs = 1, .vs = 1},
        {.hs = 2, .vs = 1},
        {.hs = 2, .vs = 2},
        {.hs = 1, .vs = 2},
        {.hs = 4, .vs = 1},
        {.progressive = true},
        {.restart = 1},
        {.rgb = true},
        {.rgb = true, .progressive = true},
        {.no_heads = true},
        {.quality = 100, .hs = 1, .vs = 1},
        {.quality = 20},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(hows) / sizeof(hows[0]); i++) {
        for (unsigned ch = 1; ch <= 3; ch += 2) {
            struct pixels p = px_paint(317, 401, ch, 6);
            struct blob b = jpeg_make(&p, &hows[i]);
            struct pixels source = jpeg_pixels(b.d, b.n);
            VF_BUF out;
            jpeg_add_everything(&b);
            struct vf_image_report r = clean(&b, &plain, &out);
            assert_false(r.reencoded || r.scaled || r.had_icc);
            assert_true(r.had_exif && r.had_gps && r.had_thumbnail && r.had_xmp && r.had_iptc && r.had_comment &&
                        r.had_mpf && r.had_trailing);
            assert_int_equal(r.orientation, 1);
            assert_false(contains(&out, "MARKER"));
            assert_false(contains(&out, "GPS"));
            assert_false(contains(&out, "SN-0123456789"));
            assert_false(contains(&out, "Exif"));
            struct pixels now = jpeg_pixels(out.data, out.len);
            assert_true(px_same(&now, &source));
            px_free(&p);
            px_free(&source);
            px_free(&now);
            blob_free(&b);
        }
    }
}

/* A clean file comes out as it went in, byte for byte, and again. */
static void test_fixed_point(void **state)
{
    struct pixels p = px_paint(500, 653, 3, 6);
    struct blob b = jpeg_make(&p, &(struct jpeg_how){.progressive = true});
    VF_BUF out;

    (void)state;
    struct vf_image_report r = clean(&b, &plain, &out);
    assert_int_equal(out.len, b.n);
    assert_memory_equal(out.data, b.d, b.n);
    assert_false(r.had_exif || r.had_gps || r.had_thumbnail || r.had_xmp || r.had_iptc || r.had_comment || r.had_mpf ||
                 r.had_trailing || r.had_icc || r.reencoded || r.scaled);
    assert_int_equal(r.orientation, 0);
    assert_int_equal(r.width, 500);
    assert_int_equal(r.height, 653);
    px_free(&p);
    blob_free(&b);
}

/* Arithmetic coding, which printing software cannot read, becomes Huffman coding with the same coefficients. */
static void test_arithmetic(void **state)
{
    (void)state;
    for (int progressive = 0; progressive < 2; progressive++) {
        struct pixels p = px_paint(317, 401, 3, 6);
        struct blob b = jpeg_make(&p, &(struct jpeg_how){.arithmetic = true, .progressive = progressive != 0});
        struct pixels source = jpeg_pixels(b.d, b.n);
        VF_BUF out;
        struct vf_image_report r = clean(&b, &plain, &out);
        struct pixels now = jpeg_pixels(out.data, out.len);
        assert_false(r.reencoded);
        assert_true(px_same(&now, &source));
        px_free(&p);
        px_free(&source);
        px_free(&now);
        blob_free(&b);
    }
}

/* Motion JPEG leaves out the usual Huffman tables. Libjpeg knows them by heart, printing software does not: they are put in. */
static void test_no_tables(void **state)
{
    (void)state;
    for (unsigned leave = 0; leave <= 4; leave++) {
        struct pixels p = px_paint(317, 401, 3, 6);
        struct blob b = jpeg_make(&p, &(struct jpeg_how){0});
        struct pixels source = jpeg_pixels(b.d, b.n);
        VF_BUF out;
        unsigned seen = 0;
        for (size_t at = 2; b.d[at + 1] != 0xda;) {
            size_t len = (size_t)(b.d[at + 2] << 8 | b.d[at + 3]) + 2;
            if (b.d[at + 1] == 0xc4 && seen++ >= leave) {
                memmove(b.d + at, b.d + at + len, b.n - at - len);
                b.n -= len;
            } else {
                at += len;
            }
        }
        assert_int_equal(seen, 4);
        struct vf_image_report r = clean(&b, &plain, &out);
        assert_false(r.reencoded);
        unsigned tables = 0;
        for (size_t at = 2; out.data[at + 1] != 0xda; at += (size_t)(out.data[at + 2] << 8 | out.data[at + 3]) + 2)
            tables += out.data[at + 1] == 0xc4;
        assert_int_equal(tables, 4);
        struct pixels now = jpeg_pixels(out.data, out.len);
        assert_true(px_same(&now, &source));
        px_free(&p);
        px_free(&source);
        px_free(&now);
        blob_free(&b);
    }
}

static void test_heads(void **state)
{
    struct pixels p = px_paint(317, 401, 3, 6);
    struct blob b = jpeg_make(&p, &(struct jpeg_how){0});
    struct pixels source = jpeg_pixels(b.d, b.n);
    VF_BUF out;

    (void)state;
    /* A JFIF head of a version that does not exist, without density, with a thumbnail of 1 x 1 in it. */
    static const uint8_t jfif[] = {'J', 'F', 'I', 'F', 0, 9, 9, 7, 0, 0, 0, 0, 1, 1, 'R', 'G', 'B'};
    memmove(b.d + 2, b.d + 20, b.n - 20);
    b.n -= 18;
    jpeg_insert(&b, 0xe0, jfif, sizeof(jfif), false);
    struct vf_image_report r = clean(&b, &plain, &out);
    assert_true(r.had_thumbnail);
    static const uint8_t bare[] = {0xff, 0xd8, 0xff, 0xe0, 0, 16, 'J', 'F', 'I', 'F', 0, 1, 2, 0, 0, 1, 0, 1, 0, 0};
    assert_memory_equal(out.data, bare, sizeof(bare));
    struct pixels now = jpeg_pixels(out.data, out.len);
    assert_true(px_same(&now, &source));
    px_free(&now);

    /* JFIF and an Adobe head that says RGB: libjpeg believes JFIF, others Adobe; both stay. */
    jpeg_insert(&b, 0xee, "Adobe\0d\0\0\0\0\0MARKER", 18, true);
    VF_BUF both;
    (void)clean(&b, &plain, &both);
    struct facts f = jpeg_facts(both.data, both.len);
    assert_true(f.jfif && f.adobe);
    assert_false(contains(&both, "MARKER"));
    now = jpeg_pixels(both.data, both.len);
    assert_true(px_same(&now, &source));
    px_free(&now);
    px_free(&source);
    px_free(&p);
    blob_free(&b);
}

/* ------------------------------------------------------------------------------------------------------------------ turned */

static void check_turned(const struct blob *b, const struct pixels *source, unsigned orientation, bool lossless,
                         double floor)
{
    static const int undo[9] = {
        0, TJXOP_NONE, TJXOP_HFLIP, TJXOP_ROT180, TJXOP_VFLIP, TJXOP_TRANSPOSE, TJXOP_ROT270, TJXOP_TRANSVERSE, TJXOP_ROT90};
    VF_BUF out;
    struct vf_image_report r = clean(b, &plain, &out);
    struct pixels upright = px_upright(source, orientation);
    struct pixels now = jpeg_pixels(out.data, out.len);
    double psnr = px_psnr(&now, &upright);

    assert_int_equal(r.orientation, orientation);
    assert_int_equal(r.reencoded, !lossless);
    if (psnr <= floor)
        print_message("orientation %u, %ux%u: %.1f dB\n", orientation, source->w, source->h, psnr);
    assert_true(psnr > floor);
    /* Colour at full resolution where it was decoded: it has lost enough already. */
    struct facts f = jpeg_facts(out.data, out.len);
    assert_true(lossless || (f.hs == 1 && f.vs == 1));
    /* Lossless means: turned back by coefficients, it is the source again, to the bit. */
    if (lossless) {
        struct blob back = jpeg_transform(out.data, out.len, undo[orientation]);
        struct pixels again = jpeg_pixels(back.d, back.n);
        assert_true(px_same(&again, source));
        px_free(&again);
        blob_free(&back);
    }
    px_free(&upright);
    px_free(&now);
}

static void test_turned(void **state)
{
    static const struct {
        unsigned w, h, ch;
        struct jpeg_how how;
    } cases[] = {
        {400, 432, 3, {.hs = 2, .vs = 2}}, /* whole blocks of 16 */
        {400, 432, 3, {.hs = 2, .vs = 2, .progressive = true}},
        {408, 424, 3, {.hs = 1, .vs = 1}}, /* whole blocks of 8 */
        {416, 424, 3, {.hs = 2, .vs = 1}},
        {408, 424, 1, {0}},
        {408, 424, 1, {.arithmetic = true}},
        {400, 432, 3, {.rgb = true}},
        {500, 653, 3, {.hs = 2, .vs = 2}}, /* neither */
        {500, 653, 3, {.hs = 1, .vs = 1}},
        {500, 656, 3, {.hs = 2, .vs = 1, .progressive = true}}, /* one of them */
        {512, 653, 3, {.hs = 2, .vs = 2}},
        {501, 653, 1, {0}},
        {501, 653, 3, {.rgb = true}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pixels p = px_paint(cases[i].w, cases[i].h, cases[i].ch, 4);
        struct blob bare = jpeg_make(&p, &cases[i].how);
        struct pixels source = jpeg_pixels(bare.d, bare.n);
        unsigned mcu_w = cases[i].ch == 3 && !cases[i].how.rgb ? 8 * cases[i].how.hs : 8;
        unsigned mcu_h = cases[i].ch == 3 && !cases[i].how.rgb ? 8 * cases[i].how.vs : 8;
        bool w_fits = cases[i].w % mcu_w == 0;
        bool h_fits = cases[i].h % mcu_h == 0;
        for (unsigned o = 1; o <= 8; o++) {
            struct blob b = {0};
            /* What each one moves to the far side must be whole blocks; transposing moves nothing. */
            bool lossless = o == 1 || o == 5 || ((o == 2 || o == 8) && w_fits) || ((o == 4 || o == 6) && h_fits) ||
                            ((o == 3 || o == 7) && w_fits && h_fits);
            blob_append(&b, bare.d, bare.n);
            jpeg_add_exif(&b, &(struct exif_how){.orientation = o, .big_endian = o % 2 == 0, .gps = true, .serial = true});
            check_turned(&b, &source, o, lossless, 40.0);
            blob_free(&b);
        }
        px_free(&p);
        px_free(&source);
        blob_free(&bare);
    }
}

static void test_orientation_nonsense(void **state)
{
    static const unsigned values[] = {0, 9, 255, 65535};
    struct pixels p = px_paint(317, 401, 3, 6);
    struct blob bare = jpeg_make(&p, &(struct jpeg_how){0});
    struct pixels source = jpeg_pixels(bare.d, bare.n);

    (void)state;
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        struct blob b = {0};
        VF_BUF out;
        blob_append(&b, bare.d, bare.n);
        jpeg_add_exif(&b, &(struct exif_how){.orientation = values[i], .serial = true});
        struct vf_image_report r = clean(&b, &plain, &out);
        struct pixels now = jpeg_pixels(out.data, out.len);
        assert_true(r.had_exif && !r.had_gps);
        assert_int_equal(r.orientation, 0);
        assert_true(px_same(&now, &source));
        px_free(&now);
        blob_free(&b);
    }
    /* The first EXIF block decides, as in other software. */
    jpeg_add_exif(&bare, &(struct exif_how){.orientation = 6});
    jpeg_add_exif(&bare, &(struct exif_how){.orientation = 3});
    VF_BUF out;
    struct vf_image_report r = clean(&bare, &plain, &out);
    assert_int_equal(r.orientation, 3);
    px_free(&p);
    px_free(&source);
    blob_free(&bare);
}

/* Sizes are those of the upright picture. */
static void test_size_upright(void **state)
{
    struct pixels p = px_paint(1600, 1200, 3, 0);
    struct blob b = jpeg_make(&p, &(struct jpeg_how){0});
    VF_BUF out;
    VF_BUF none;
    struct vf_image_report r;
    struct vf_why why = {0};

    (void)state;
    vf_buf_init(&none, 1024 * 1024);
    assert_int_equal(vf_photo_clean(b.d, b.n, &plain, &none, &r, &why), VF_E_INPUT);
    assert_string_equal(why.text, "1600x1200 is over 1200x1600; --photo-fit may scale it down");
    jpeg_add_exif(&b, &(struct exif_how){.orientation = 6});
    r = clean(&b, &plain, &out);
    assert_int_equal(r.width, 1200);
    assert_int_equal(r.height, 1600);
    px_free(&p);
    blob_free(&b);
}

/* --------------------------------------------------------------------------------------------------------------------- ICC */

static void test_icc(void **state)
{
    static const struct {
        unsigned w, h, orientation;
        size_t size, part;
    } cases[] = {
        {400, 432, 0, 128, 65000}, {400, 432, 6, 3144, 65000},   {401, 433, 6, 3144, 65000},
        {400, 432, 0, 3144, 100},  {401, 433, 3, 200000, 65519}, {1300, 1700, 0, 70001, 1000},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pixels p = px_paint(cases[i].w, cases[i].h, 3, 4);
        struct blob b = jpeg_make(&p, &(struct jpeg_how){0});
        struct blob icc = icc_make(cases[i].size);
        VF_BUF out;
        if (cases[i].orientation > 0)
            jpeg_add_exif(&b, &(struct exif_how){.orientation = cases[i].orientation});
        jpeg_add_icc(&b, &icc, cases[i].part);
        struct vf_image_report r = clean(&b, &fit, &out);
        assert_true(r.had_icc);
        struct blob now = jpeg_icc(out.data, out.len);
        assert_int_equal(now.n, icc.n);
        assert_memory_equal(now.d, icc.d, icc.n);
        blob_free(&now);
        blob_free(&icc);
        blob_free(&b);
        px_free(&p);
    }
}

/* A profile that is not whole is none; what hangs behind one goes. */
static void test_icc_bad(void **state)
{
    struct pixels p = px_paint(317, 401, 3, 6);
    struct blob bare = jpeg_make(&p, &(struct jpeg_how){0});
    struct pixels source = jpeg_pixels(bare.d, bare.n);

    (void)state;
    for (unsigned kind = 0; kind < 7; kind++) {
        struct blob b = {0};
        struct blob icc = icc_make(1000);
        VF_BUF out;
        blob_append(&b, bare.d, bare.n);
        if (kind == 0) /* longer than it says */
            blob_append(&icc, "MARKER-BEHIND", 13);
        if (kind == 1) /* shorter than it says */
            icc.n -= 1;
        if (kind == 2) /* no profile at all */
            memcpy(icc.d + 36, "xxxx", 4);
        jpeg_add_icc(&b, &icc, 400);
        size_t first = 20; /* behind the JFIF head: ff e2, length, name, number, count */
        assert_memory_equal(b.d + first + 4, "ICC_PROFILE", 12);
        if (kind == 3) /* doubled part */
            b.d[first + 16] = 2;
        if (kind == 4) /* another count */
            b.d[first + 17] = 4;
        if (kind == 5) /* part 0 */
            b.d[first + 16] = 0;
        if (kind == 6) /* a part missing */
            memcpy(b.d + first + 4, "IDD", 3);
        struct vf_image_report r = clean(&b, &plain, &out);
        struct pixels now = jpeg_pixels(out.data, out.len);
        assert_true(px_same(&now, &source));
        assert_true(r.had_icc);
        assert_false(contains(&out, "MARKER"));
        struct blob kept = jpeg_icc(out.data, out.len);
        assert_int_equal(kept.n, kind == 0 ? 1000 : 0);
        assert_int_equal(contains(&out, "ICC_PROFILE"), kind == 0);
        blob_free(&kept);
        px_free(&now);
        blob_free(&icc);
        blob_free(&b);
    }
    px_free(&p);
    px_free(&source);
    blob_free(&bare);
}

/* --------------------------------------------------------------------------------------------------------------------- fit */

static void test_fit(void **state)
{
    static const struct {
        unsigned w, h, orientation, to_w, to_h, ch;
    } cases[] = {
        {4032, 3024, 6, 1200, 1600, 3}, /* a phone, 12 megapixels */
        {4000, 3000, 1, 1200, 900, 3},  {3000, 4000, 8, 1200, 900, 3},  {1201, 1600, 1, 1200, 1599, 3},
        {1200, 1601, 1, 1199, 1600, 3}, {2400, 3200, 3, 1200, 1600, 1}, {1357, 1700, 2, 1200, 1503, 3},
        {2401, 3201, 5, 1200, 900, 3},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pixels p = px_paint(cases[i].w, cases[i].h, cases[i].ch, 0);
        struct blob b = jpeg_make(&p, &(struct jpeg_how){.hs = 2, .vs = 1});
        struct pixels source = jpeg_pixels(b.d, b.n);
        VF_BUF out;
        jpeg_add_everything(&b);
        if (cases[i].orientation > 1)
            jpeg_add_exif(&b, &(struct exif_how){.orientation = cases[i].orientation});
        struct vf_image_report r = clean(&b, &fit, &out);
        assert_true(r.scaled && r.reencoded);
        assert_int_equal(r.width, cases[i].to_w);
        assert_int_equal(r.height, cases[i].to_h);
        assert_false(contains(&out, "MARKER"));
        struct pixels upright = px_upright(&source, cases[i].orientation);
        struct pixels small = px_shrink(&upright, r.width, r.height);
        struct pixels now = jpeg_pixels(out.data, out.len);
        double psnr = px_psnr(&now, &small);
        if (psnr < 38)
            print_message("%ux%u: %.1f dB\n", cases[i].w, cases[i].h, psnr);
        assert_true(psnr >= 38);
        px_free(&now);
        px_free(&small);
        px_free(&upright);
        px_free(&source);
        px_free(&p);
        blob_free(&b);
    }
}

/* Too many bytes alone: the size stays, the quality gives way; never over 1 MiB. */
static void test_fit_bytes(void **state)
{
    struct pixels p = px_paint(1200, 1600, 3, 100);
    struct blob b = jpeg_make(&p, &(struct jpeg_how){.hs = 1, .vs = 1, .quality = 98});
    VF_BUF out;
    VF_BUF none;
    struct vf_image_report r;
    struct vf_why why = {0};

    (void)state;
    assert_true(b.n > 1024 * 1024);
    vf_buf_init(&none, 1024 * 1024);
    assert_int_equal(vf_photo_clean(b.d, b.n, &plain, &none, &r, &why), VF_E_INPUT);
    char reason[100];
    (void)snprintf(reason, sizeof(reason), "%zu KiB is over 1,024 KiB; --photo-fit may compress it more",
                   (b.n + 1023) / 1024);
    assert_string_equal(why.text, reason);
    assert_int_equal(none.len, 0);
    r = clean(&b, &fit, &out);
    assert_true(r.reencoded && !r.scaled);
    assert_int_equal(r.width, 1200);
    assert_int_equal(r.height, 1600);
    assert_true(out.len <= 1024 * 1024 && out.len > 300 * 1024);
    px_free(&p);
    blob_free(&b);
}

/* What fits already is not touched by fit. */
static void test_fit_not_needed(void **state)
{
    struct pixels p = px_paint(1200, 1600, 3, 4);
    struct blob b = jpeg_make(&p, &(struct jpeg_how){0});
    struct pixels source = jpeg_pixels(b.d, b.n);
    VF_BUF out;
    struct vf_image_report r = clean(&b, &fit, &out);
    struct pixels now = jpeg_pixels(out.data, out.len);

    (void)state;
    assert_false(r.reencoded || r.scaled);
    assert_true(px_same(&now, &source));
    px_free(&now);
    px_free(&source);
    px_free(&p);
    blob_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kept),
        cmocka_unit_test(test_fixed_point),
        cmocka_unit_test(test_arithmetic),
        cmocka_unit_test(test_no_tables),
        cmocka_unit_test(test_heads),
        cmocka_unit_test(test_turned),
        cmocka_unit_test(test_orientation_nonsense),
        cmocka_unit_test(test_size_upright),
        cmocka_unit_test(test_icc),
        cmocka_unit_test(test_icc_bad),
        cmocka_unit_test(test_fit),
        cmocka_unit_test(test_fit_bytes),
        cmocka_unit_test(test_fit_not_needed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
