/* SPDX-License-Identifier: MIT */
/* Bad photos: each refused with its reason, cheaply; whatever comes through is whole and bare. */
#include "vaultfs/record.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "cmocka_std.h"
#include "faults.h"
#include "record_images.h"

static const struct vf_image_options plain = {.fit = false, .decode = true};
static const struct vf_image_options fit = {.fit = true, .decode = true};

/* Clean a copy of exactly this length, so that a sanitizer sees a read beyond it. */
static enum vf_err run(const uint8_t *d, size_t n, const struct vf_image_options *opt, struct vf_buf *out,
                       struct vf_why *why)
{
    struct vf_image_report report = {.width = 77};
    uint8_t *exact = malloc(n > 0 ? n : 1);

    assert_non_null(exact);
    if (n > 0)
        memcpy(exact, d, n);
    enum vf_err err = vf_photo_clean(exact, n, opt, out, &report, why);
    if (err != VF_OK) {
        assert_int_equal(report.width, 77);
        assert_int_equal(out->len, 0);
    }
    free(exact);
    return err;
}

static void refused(const struct blob *b, const struct vf_image_options *opt, const char *reason)
{
    struct vf_why why = {0};
    VF_BUF out;

    vf_buf_init(&out, 1024 * 1024);
    vf_buf_text(&out, "what was there before");
    assert_int_equal(run(b->d, b->n, opt, &out, &why), VF_E_INPUT);
    assert_string_equal(why.text, reason);
}

static struct blob small(const struct jpeg_how *how)
{
    struct pixels p = px_paint(352, 352, 3, 0);
    struct blob b = jpeg_make(&p, how);

    px_free(&p);
    return b;
}

static size_t find(const struct blob *b, uint8_t marker)
{
    for (size_t i = 2; i + 1 < b->n; i++)
        if (b->d[i] == 0xff && b->d[i + 1] == marker)
            return i;
    fail_msg("no such marker");
    return 0;
}

/* ----------------------------------------------------------------------------------------------------------- other things */

static void test_not_a_photo(void **state)
{
    static const struct {
        const char *d;
        size_t n;
        const char *reason;
    } cases[] = {
        {"", 0, "an empty file"},
        {"\xff", 1, "not a JPEG image"},
        {"\xff\xd8", 2, "not a JPEG image"},
        {"text", 4, "not a JPEG image"},
        {"\x89PNG\r\n\x1a\n", 8, "not a JPEG image but PNG"},
        {"\0\0\0\x18"
         "ftypheic",
         12, "not a JPEG image but HEIC, AVIF or video"},
        {"RIFF\0\0\0\0WEBPVP8 ", 16, "not a JPEG image but WebP"},
        {"GIF89a", 6, "not a JPEG image but GIF"},
        {"%PDF-1.7", 8, "not a JPEG image but PDF"},
        {"II*\0\x08\0\0\0", 8, "not a JPEG image but TIFF"},
        {"BM6\0\0\0", 6, "not a JPEG image but BMP"},
        {"\xff\xd8\xff", 3, "cut off: the end of the image is missing"},
        {"\xff\xd8\xff\xe0", 4, "cut off: the end of the image is missing"},
        {"\xff\xd8\xff\xe0\0\x01\xff\xd9", 8, "damaged at byte 2"},
        {"\xff\xd8\xff\xd9", 4, "damaged: no picture in it"},
        {"\xff\xd8\xff\xd8\xff\xd9", 6, "damaged: an image begins inside another"},
        {"\xff\xd8\xff\x02\0\x02\xff\xd9", 8, "damaged: an unknown marker 0x02"},
        {"\xff\xd8\xff\xfe\0\x02junk\xff\xd9", 12, "damaged at byte 6"},
        {"\xff\xd8\xff\xda\0\x02\0\xff\xd9", 9, "damaged: a scan before the frame header"},
        {"\xff\xd8\xff\xde\0\x02\xff\xd9", 8, "a hierarchical JPEG, which printing software cannot read"},
        {"\xff\xd8\xff\xc0\0\x08\x08\0\1\0\0\x03\xff\xd9", 14, "damaged: no width or height"},
        {"\xff\xd8\xff\xc0\0\x06\x08\0\1\0\xff\xd9", 12, "damaged: no width or height"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct blob b = {0};
        blob_append(&b, cases[i].d, cases[i].n);
        refused(&b, &plain, cases[i].reason);
        blob_free(&b);
    }
    struct blob huge = {calloc(1, VF_IMAGE_SOURCE_MAX + 1), VF_IMAGE_SOURCE_MAX + 1};
    assert_non_null(huge.d);
    refused(&huge, &fit, "a file of over 64 MiB");
    blob_free(&huge);
}

static void test_kinds(void **state)
{
    struct blob b = small(&(struct jpeg_how){.cmyk = true});
    size_t sof;

    (void)state;
    refused(&b, &plain, "made for a printing press (CMYK): save it as RGB");
    blob_free(&b);
    b = small(&(struct jpeg_how){0});
    sof = find(&b, 0xc0);
    b.d[sof + 1] = 0xc3;
    refused(&b, &plain, "a lossless or hierarchical JPEG, which printing software cannot read");
    b.d[sof + 1] = 0xc7;
    refused(&b, &plain, "a lossless or hierarchical JPEG, which printing software cannot read");
    b.d[sof + 1] = 0xc1;
    b.d[sof + 4] = 12;
    refused(&b, &plain, "12 bits a colour, which printing software cannot read; 8 are usual");
    b.d[sof + 4] = 8;
    b.d[sof + 9] = 2;
    refused(&b, &plain, "neither gray nor RGB but 2 components");
    b.d[sof + 9] = 3;
    uint8_t frame[15];
    memcpy(frame, b.d + sof + 4, sizeof(frame));
    jpeg_insert(&b, 0xc0, frame, sizeof(frame), false);
    refused(&b, &plain, "damaged: two frame headers");
    blob_free(&b);
}

static void test_sizes(void **state)
{
    static const struct {
        unsigned w, h;
        bool may_fit;
        const char *reason;
    } cases[] = {
        {299, 400, false, "299x400 is under 300x350"},
        {400, 349, true, "400x349 is under 300x350"},
        {1201, 1600, false, "1201x1600 is over 1200x1600; --photo-fit may scale it down"},
        {1200, 1601, false, "1200x1601 is over 1200x1600; --photo-fit may scale it down"},
        {4000, 3000, false, "4000x3000 is over 1200x1600; --photo-fit may scale it down"},
        {5000, 1400, true, "5000x1400 would be scaled to 1200x336, which is under 300x350"},
        {350, 2000, true, "350x2000 would be scaled to 280x1600, which is under 300x350"},
        {7072, 7072, true, "7072x7072 is over 50 megapixels"},
        {65535, 65535, true, "65535x65535 is over 50 megapixels"},
        {65535, 65535, false, "65535x65535 is over 50 megapixels"},
    };
    struct blob b = small(&(struct jpeg_how){0});
    size_t sof = find(&b, 0xc0);

    (void)state;
    /* The header decides, before anything is decoded: it may lie. */
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        b.d[sof + 5] = (uint8_t)(cases[i].h >> 8);
        b.d[sof + 6] = (uint8_t)cases[i].h;
        b.d[sof + 7] = (uint8_t)(cases[i].w >> 8);
        b.d[sof + 8] = (uint8_t)cases[i].w;
        refused(&b, cases[i].may_fit ? &fit : &plain, cases[i].reason);
    }
    /* Upright, it is the other way round. */
    struct blob turned = small(&(struct jpeg_how){0});
    sof = find(&turned, 0xc0);
    turned.d[sof + 7] = 1;
    turned.d[sof + 8] = 44; /* 300 wide as stored */
    jpeg_add_exif(&turned, &(struct exif_how){.orientation = 6});
    refused(&turned, &plain, "352x300 is under 300x350");
    blob_free(&turned);
    blob_free(&b);
}

/* ------------------------------------------------------------------------------------------------------------ not whole */

static void test_every_cut(void **state)
{
    static const struct jpeg_how hows[] = {{0}, {.progressive = true}, {.restart = 1}, {.arithmetic = true}};

    (void)state;
    for (size_t k = 0; k < sizeof(hows) / sizeof(hows[0]); k++) {
        struct blob b = small(&hows[k]);
        struct vf_why why = {0};
        VF_BUF out;
        vf_buf_init(&out, 1024 * 1024);
        assert_int_equal(run(b.d, b.n, &plain, &out, &why), VF_OK);
        for (size_t n = 0; n < b.n; n++) {
            assert_int_equal(run(b.d, n, &plain, &out, &why), VF_E_INPUT);
            if (n >= 3)
                assert_string_equal(why.text, "cut off: the end of the image is missing");
        }
        /* With an end put behind the cut the decoder has to notice. */
        size_t scan = find(&b, 0xda) + 20;
        for (size_t n = scan; n + 3 < b.n; n += 1 + (b.n - scan) / 97) {
            struct blob c = {0};
            blob_append(&c, b.d, n);
            if (c.d[n - 1] == 0xff)
                c.n--;
            blob_append(&c, "\xff\xd9", 2);
            for (unsigned may_fit = 0; may_fit < 2; may_fit++) {
                enum vf_err err = run(c.d, c.n, may_fit > 0 ? &fit : &plain, &out, &why);
                /* A cut between two passes of a progressive picture leaves a coarser one that is whole; the arithmetic
                 * decoder fills up with zeros by design. */
                if (k == 0 || k == 2)
                    assert_int_equal(err, VF_E_INPUT);
                /* "damaged", or, where the cut goes through a table, "cut off" */
                if (err == VF_E_INPUT)
                    assert_non_null(strstr(why.text, "cut off"));
            }
            blob_free(&c);
        }
        blob_free(&b);
    }
}

/* A picture of real size, cut at every KiB, as it comes and turned. */
static void test_cut_large(void **state)
{
    struct pixels p = px_paint(500, 653, 3, 30);
    struct blob b = jpeg_make(&p, &(struct jpeg_how){0});
    VF_BUF out;

    (void)state;
    vf_buf_init(&out, 1024 * 1024);
    assert_true(b.n > 40000);
    for (unsigned orientation = 1; orientation <= 6; orientation += 5) {
        struct blob t = {0};
        blob_append(&t, b.d, b.n);
        jpeg_add_exif(&t, &(struct exif_how){.orientation = orientation});
        for (size_t n = 1024; n < t.n; n += 1024) {
            struct blob c = {0};
            assert_int_equal(run(t.d, n, &plain, &out, NULL), VF_E_INPUT);
            blob_append(&c, t.d, t.d[n - 1] == 0xff ? n - 1 : n);
            blob_append(&c, "\xff\xd9", 2);
            assert_int_equal(run(c.d, c.n, &plain, &out, NULL), VF_E_INPUT);
            blob_free(&c);
        }
        blob_free(&t);
    }
    px_free(&p);
    blob_free(&b);
}

static void test_decoder_warnings(void **state)
{
    struct blob b = small(&(struct jpeg_how){0});
    struct blob extra = {0};

    (void)state;
    /* More compressed data than the picture needs; the decoder has read a few bytes ahead when it notices. */
    struct vf_why why = {0};
    VF_BUF out;
    vf_buf_init(&out, 1024 * 1024);
    blob_append(&extra, b.d, b.n - 2);
    blob_append(&extra, "MARKER-BEHIND-THE-SCAN\xff\xd9", 24);
    assert_int_equal(run(extra.d, extra.n, &plain, &out, &why), VF_E_INPUT);
    assert_memory_equal(why.text, "damaged or cut off (Corrupt JPEG data: ", 39);
    assert_non_null(strstr(why.text, "extraneous bytes before marker 0xd9"));
    blob_free(&extra);
    /* Impossible codes in the middle, of which the fast decoder makes zeros without a word: as it comes, turned, scaled. */
    for (unsigned orientation = 1; orientation <= 6; orientation += 5) {
        for (unsigned large = 0; large < 2; large++) {
            struct pixels p = px_paint(large > 0 ? 1400 : 400, large > 0 ? 1680 : 432, 3, 10);
            struct blob damaged = jpeg_make(&p, &(struct jpeg_how){0});
            for (size_t i = damaged.n / 2; i < damaged.n / 2 + 64; i += 2)
                memcpy(damaged.d + i, "\xff\0", 2);
            jpeg_add_exif(&damaged, &(struct exif_how){.orientation = orientation});
            assert_int_equal(run(damaged.d, damaged.n, large > 0 ? &fit : &plain, &out, &why), VF_E_INPUT);
            assert_string_equal(why.text, "damaged or cut off (Corrupt JPEG data: bad Huffman code)");
            blob_free(&damaged);
            px_free(&p);
        }
    }
    /* No tables for quantisation: no picture. (Without those for Huffman codes there is one: test_record_photo.c) */
    size_t dqt = find(&b, 0xdb);
    b.d[dqt + 1] = 0xfe;
    refused(&b, &plain, "damaged or cut off (Quantization table 0x00 was not defined)");
    b.d[dqt + 1] = 0xdb;
    /* More rows promised than there are. */
    size_t sof = find(&b, 0xc0);
    b.d[sof + 6] = (uint8_t)(b.d[sof + 6] + 40);
    refused(&b, &plain, "damaged or cut off (Corrupt JPEG data: premature end of data segment)");
    blob_free(&b);
}

/* Every byte of a small file changed in three ways. */
static void flips(const struct jpeg_how *how, unsigned orientation)
{
    struct blob b = small(how);
    unsigned good = 0;

    if (orientation > 0)
        jpeg_add_exif(&b, &(struct exif_how){.orientation = orientation, .gps = true, .thumbnail = true});
    struct blob icc = icc_make(132);
    jpeg_add_icc(&b, &icc, 100);
    blob_free(&icc);
    for (size_t at = 0; at < b.n; at++) {
        static const uint8_t flip[] = {0x01, 0x80, 0xff};
        uint8_t was = b.d[at];
        struct vf_why why = {0};
        VF_BUF out;
        vf_buf_init(&out, 1024 * 1024);
        b.d[at] ^= flip[at % 3];
        enum vf_err err = run(b.d, b.n, at % 2 == 0 ? &plain : &fit, &out, &why);
        b.d[at] = was;
        assert_true(err == VF_OK || err == VF_E_INPUT);
        if (err != VF_OK) {
            assert_true(strlen(why.text) > 5 && vf_text_printable(why.text, strlen(why.text)));
            continue;
        }
        good++;
        struct pixels p = jpeg_pixels(out.data, out.len);
        assert_non_null(p.d); /* no warning */
        px_free(&p);
        struct facts f = jpeg_facts(out.data, out.len);
        assert_int_equal(f.end, out.len);
        assert_int_equal(f.app[1] + f.app[13] + f.com, 0);
    }
    assert_true(good > 0 && good < b.n);
    blob_free(&b);
}

static void test_flips(void **state)
{
    (void)state;
    flips(&(struct jpeg_how){.quality = 20}, 0);
    flips(&(struct jpeg_how){.quality = 20, .progressive = true}, 3);
    flips(&(struct jpeg_how){.quality = 20, .arithmetic = true, .hs = 1, .vs = 1}, 6);
}

/* ---------------------------------------------------------------------------------------------------------- hiding places */

static void test_between_scans(void **state)
{
    struct blob b = small(&(struct jpeg_how){.progressive = true});
    struct pixels source = jpeg_pixels(b.d, b.n);
    struct vf_why why = {0};
    VF_BUF out;

    (void)state;
    /* A comment, an EXIF block and a colour profile between two scans, fill bytes and a stray restart marker before the next. */
    size_t second = find(&b, 0xda);
    for (second += 2; b.d[second] != 0xff || b.d[second + 1] != 0xda; second++)
        assert_true(second + 2 < b.n);
    static const char com[] = "\xff\xfe\0\x12MARKER-BETWEEN..\xff\xe1\0\x12"
                              "Exif\0\0MARKER-TWO\xff\xe0\0\x10JFXX\0MARKERTHR\xff\xd0\xff\xff\xff";
    struct blob hidden = {0};
    blob_append(&hidden, b.d, second);
    blob_append(&hidden, com, sizeof(com) - 1);
    blob_append(&hidden, b.d + second, b.n - second);
    vf_buf_init(&out, 1024 * 1024);
    enum vf_err err = run(hidden.d, hidden.n, &plain, &out, &why);
    if (err != VF_OK)
        print_message("%s\n", why.text);
    assert_int_equal(err, VF_OK);
    assert_null(memmem(out.data, out.len, "MARKER", 6));
    struct pixels now = jpeg_pixels(out.data, out.len);
    assert_true(px_same(&now, &source));
    px_free(&now);
    px_free(&source);
    blob_free(&hidden);
    blob_free(&b);
}

/* An EXIF block full of nonsense has no facts and goes. */
static void test_exif_nonsense(void **state)
{
    struct blob bare = small(&(struct jpeg_how){.quality = 20});
    struct blob exif = exif_make(&(struct exif_how){.orientation = 8, .gps = true, .thumbnail = true, .serial = true});
    VF_BUF out;

    (void)state;
    vf_buf_init(&out, 1024 * 1024);
    for (size_t at = 6; at < exif.n; at++) {
        struct blob b = {0};
        uint8_t was = exif.d[at];
        exif.d[at] = (uint8_t)(at % 2 == 0 ? 0xff : ~was);
        blob_append(&b, bare.d, bare.n);
        jpeg_insert(&b, 0xe1, exif.d, at % 5 == 0 ? at : exif.n, true);
        exif.d[at] = was;
        assert_int_equal(run(b.d, b.n, &plain, &out, NULL), VF_OK);
        assert_null(memmem(out.data, out.len, "Exif", 4));
        blob_free(&b);
    }
    blob_free(&exif);
    blob_free(&bare);
}

/* ------------------------------------------------------------------------------------------------------------------ bombs */

static void test_scan_bomb(void **state)
{
    struct blob b = small(&(struct jpeg_how){.progressive = true});
    struct vf_why why = {0};
    VF_BUF out;
    struct rusage before;
    struct rusage after;

    (void)state;
    /* The last refinement, again and again. */
    size_t last = 0;
    for (size_t i = 2; i + 1 < b.n; i++)
        if (b.d[i] == 0xff && b.d[i + 1] == 0xda)
            last = i;
    struct blob bomb = {0};
    blob_append(&bomb, b.d, b.n - 2);
    for (unsigned i = 0; i < 3000; i++)
        blob_append(&bomb, b.d + last, b.n - 2 - last);
    blob_append(&bomb, "\xff\xd9", 2);
    vf_buf_init(&out, 1024 * 1024);
    (void)getrusage(RUSAGE_SELF, &before);
    assert_int_equal(run(bomb.d, bomb.n, &fit, &out, &why), VF_E_INPUT);
    (void)getrusage(RUSAGE_SELF, &after);
    assert_string_equal(why.text, "3010 scans: made to keep a computer busy");
    assert_true(after.ru_utime.tv_sec - before.ru_utime.tv_sec <= 1);
    blob_free(&bomb);

    /* 21 scans of 49 megapixels: few, but each is a pass over all of it. */
    size_t sof = find(&b, 0xc2);
    b.d[sof + 5] = b.d[sof + 7] = 7000 >> 8;
    b.d[sof + 6] = b.d[sof + 8] = (uint8_t)7000;
    for (unsigned i = 0; i < 11; i++) {
        static const uint8_t scan[] = {0xff, 0xda, 0, 8, 1, 1, 0, 1, 63, 0, 0xff, 0xd9};
        b.n -= 2;
        blob_append(&b, scan, sizeof(scan));
    }
    refused(&b, &fit, "21 scans: made to keep a computer busy");
    blob_free(&b);
}

/* A header that promises 49 megapixels and a body of nothing: refused without the time or memory of a picture of that size. */
static void test_empty_giant(void **state)
{
    (void)state;
    for (unsigned progressive = 0; progressive < 2; progressive++) {
        struct blob b = small(&(struct jpeg_how){.progressive = progressive > 0});
        size_t sof = find(&b, progressive > 0 ? 0xc2 : 0xc0);
        struct vf_why why = {0};
        VF_BUF out;
        struct timespec t0;
        struct timespec t1;
        b.d[sof + 5] = b.d[sof + 7] = 7000 >> 8;
        b.d[sof + 6] = b.d[sof + 8] = (uint8_t)7000;
        vf_buf_init(&out, 1024 * 1024);
        (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t0);
        assert_int_equal(run(b.d, b.n, &fit, &out, &why), VF_E_INPUT);
        (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t1);
        assert_memory_equal(why.text, "damaged or cut off (", 20);
        assert_true(t1.tv_sec - t0.tv_sec <= 2);
        blob_free(&b);
    }
}

/* ---------------------------------------------------------------------------------------------------------------- outside */

static void test_callers_buffer(void **state)
{
    struct blob b = small(&(struct jpeg_how){0});
    struct vf_image_report r;
    struct vf_why why = {0};
    VF_BUF out;

    (void)state;
    vf_buf_init(&out, 1000);
    assert_int_equal(vf_photo_clean(b.d, b.n, &plain, &out, &r, &why), VF_E_LIMIT);
    blob_free(&b);
}

static void test_no_memory(void **state)
{
    static const unsigned orientations[] = {1, 3, 6};
    struct pixels p = px_paint(360, 368, 3, 0);
    struct blob bare = jpeg_make(&p, &(struct jpeg_how){0});

    (void)state;
    for (unsigned k = 0; k < 3; k++) {
        struct blob b = {0};
        blob_append(&b, bare.d, bare.n);
        jpeg_add_exif(&b, &(struct exif_how){.orientation = orientations[k]});
        for (unsigned n = 1;; n++) {
            struct vf_image_report r;
            VF_BUF out;
            vf_buf_init(&out, 1024 * 1024);
            faults_arm(FAULT_MEMORY, n, ENOMEM);
            enum vf_err err = vf_photo_clean(b.d, b.n, &plain, &out, &r, NULL);
            if (!faults_disarm()) {
                assert_int_equal(err, VF_OK);
                assert_true(n > 3);
                break;
            }
            assert_int_equal(err, VF_E_NOMEM);
            assert_int_equal(out.len, 0);
        }
        blob_free(&b);
    }
    px_free(&p);
    blob_free(&bare);
}

struct worker {
    struct blob in;
    struct vf_buf expected;
    unsigned wrong;
};

static void *work(void *arg)
{
    struct worker *w = arg;

    for (unsigned i = 0; i < 20; i++) {
        struct vf_image_report r;
        VF_BUF out;
        vf_buf_init(&out, 1024 * 1024);
        enum vf_err err = vf_photo_clean(w->in.d, w->in.n, &fit, &out, &r, NULL);
        w->wrong += err != VF_OK || out.len != w->expected.len || memcmp(out.data, w->expected.data, out.len) != 0;
    }
    return NULL;
}

static void test_threads(void **state)
{
    struct worker workers[4] = {0};
    pthread_t threads[4];

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        struct vf_image_report r;
        struct pixels p = px_paint(i == 3 ? 1300 : 360, i == 3 ? 1700 : 360 + i, 3, 0);
        workers[i].in = jpeg_make(&p, &(struct jpeg_how){.progressive = i == 1});
        jpeg_add_exif(&workers[i].in, &(struct exif_how){.orientation = 1 + 2 * i, .gps = true});
        vf_buf_init(&workers[i].expected, 1024 * 1024);
        assert_int_equal(vf_photo_clean(workers[i].in.d, workers[i].in.n, &fit, &workers[i].expected, &r, NULL), VF_OK);
        px_free(&p);
    }
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(workers[i].wrong, 0);
        blob_free(&workers[i].in);
        vf_buf_done(&workers[i].expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_not_a_photo), cmocka_unit_test(test_kinds),         cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_every_cut),   cmocka_unit_test(test_cut_large),     cmocka_unit_test(test_decoder_warnings),
        cmocka_unit_test(test_flips),       cmocka_unit_test(test_between_scans), cmocka_unit_test(test_exif_nonsense),
        cmocka_unit_test(test_scan_bomb),   cmocka_unit_test(test_empty_giant),   cmocka_unit_test(test_callers_buffer),
        cmocka_unit_test(test_no_memory),   cmocka_unit_test(test_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
