/* SPDX-License-Identifier: MIT */
/*
 * A photo from outside into what the vault stores. In this order, so that nothing large is allocated or decoded for a file
 * that will be refused anyway:
 *   1. the segments: is it a JPEG with an end, what hangs on it (jpeg.c); its EXIF orientation (exif.c)
 *   2. the frame header: kind, colours, size upright, number of scans
 *   3. cut out the picture alone; every later step sees only this
 *   4. upright and small enough: keep the bytes as they are. To be turned: without loss where the dimensions allow it, else
 *      through pixels. Too large and `fit`: through pixels
 *   5. decode the source in full, warnings being errors; and the result where it was turned without loss
 *   6. read the result again and prove that nothing but the picture is in it
 */
#include "codec.h"
#include "exif.h"
#include "image.h"
#include "jpeg.h"
#include "scale.h"
#include "turn.h"

#define WIDTH_MIN  300u
#define HEIGHT_MIN 350u
#define WIDTH_MAX  1200u
#define HEIGHT_MAX 1600u
#define BYTES_MAX  (1024u * 1024)
#define PIXELS_MAX UINT64_C(50000000)
#define SCANS_MAX  100u
#define WORK_MAX   UINT64_C(1000000000) /* pixels times scans: a scan of a few bytes costs a pass over the whole picture */

#define QUALITY      95 /* DOMAIN: one re-encoding at quality 95 */
#define QUALITY_MIN  85 /* where the picture was only turned, it must stay the same to the eye */
#define QUALITY_FIT  30
#define QUALITY_STEP 5

struct photo {
    struct vf_jpeg_layout layout;
    struct vf_buf cut, icc;
    uint8_t orientation;          /* 1 to 8 */
    uint32_t width, height;       /* upright */
    uint32_t to_width, to_height; /* the same, or scaled down */
    const struct vf_image_options *opt;
};

static void photo_done(struct photo *p)
{
    vf_buf_done(&p->cut);
    vf_buf_done(&p->icc);
}

/* --------------------------------------------------------------------------------------------------- what may be a photo */

static enum vf_err check_kind(const struct vf_jpeg_layout *l, struct vf_why *why)
{
    switch (l->sof) {
    case 0xc0: /* baseline, extended, progressive; the last two arithmetic-coded */
    case 0xc1:
    case 0xc2:
    case 0xc9:
    case 0xca:
        break;
    default:
        return vf_fail(why, VF_E_INPUT, "a lossless or hierarchical JPEG, which printing software cannot read");
    }
    if (l->precision != 8)
        return vf_fail(why, VF_E_INPUT, "%u bits a colour, which printing software cannot read; 8 are usual", l->precision);
    if (l->ncomponents == 4)
        return vf_fail(why, VF_E_INPUT, "made for a printing press (CMYK): save it as RGB");
    if (l->ncomponents != 1 && l->ncomponents != 3)
        return vf_fail(why, VF_E_INPUT, "neither gray nor RGB but %u components", l->ncomponents);
    return VF_OK;
}

static enum vf_err check_size(struct photo *p, struct vf_why *why)
{
    const struct vf_jpeg_layout *l = &p->layout;
    uint64_t pixels = (uint64_t)l->width * l->height;

    p->width = vf_turn_swaps(p->orientation) ? l->height : l->width;
    p->height = vf_turn_swaps(p->orientation) ? l->width : l->height;
    p->to_width = p->width;
    p->to_height = p->height;
    if (p->width < WIDTH_MIN || p->height < HEIGHT_MIN)
        return vf_fail(why, VF_E_INPUT, "%ux%u is under %ux%u", p->width, p->height, WIDTH_MIN, HEIGHT_MIN);
    if (p->width > WIDTH_MAX || p->height > HEIGHT_MAX) {
        if (pixels > PIXELS_MAX)
            return vf_fail(why, VF_E_INPUT, "%ux%u is over 50 megapixels", p->width, p->height);
        if (!p->opt->fit)
            return vf_fail(why, VF_E_INPUT, "%ux%u is over %ux%u; --photo-fit may scale it down", p->width, p->height,
                           WIDTH_MAX, HEIGHT_MAX);
        vf_scale_fit(p->width, p->height, WIDTH_MAX, HEIGHT_MAX, &p->to_width, &p->to_height);
        if (p->to_width < WIDTH_MIN || p->to_height < HEIGHT_MIN)
            return vf_fail(why, VF_E_INPUT, "%ux%u would be scaled to %ux%u, which is under %ux%u", p->width, p->height,
                           p->to_width, p->to_height, WIDTH_MIN, HEIGHT_MIN);
    }
    if (l->scans > SCANS_MAX || l->scans * pixels > WORK_MAX)
        return vf_fail(why, VF_E_INPUT, "%u scans: made to keep a computer busy", l->scans);
    return VF_OK;
}

bool vf_photo_storable(const struct vf_jpeg_layout *l)
{
    return check_kind(l, NULL) == VF_OK && l->sof < 0xc9 && !l->tables_missing && l->scans <= SCANS_MAX &&
           l->width >= WIDTH_MIN && l->height >= HEIGHT_MIN && l->width <= WIDTH_MAX && l->height <= HEIGHT_MAX;
}

/* Steps 1 to 3. */
static enum vf_err photo_open(struct photo *p, const uint8_t *data, size_t len, struct vf_image_report *report,
                              struct vf_why *why)
{
    struct vf_exif_facts exif = {0};
    const struct vf_jpeg_layout *l = &p->layout;

    if (len > VF_IMAGE_SOURCE_MAX)
        return vf_fail(why, VF_E_INPUT, "a file of over %u MiB", VF_IMAGE_SOURCE_MAX >> 20);
    VF_TRY(vf_jpeg_layout(data, len, &p->layout, why));
    if (l->exif.data != NULL)
        VF_TRY(vf_exif_read(l->exif.data, l->exif.len, &exif, why));
    *report = (struct vf_image_report){
        .orientation = exif.orientation,
        .had_exif = l->exif.data != NULL,
        .had_gps = exif.gps,
        .had_thumbnail = exif.thumbnail || l->had_thumbnail,
        .had_xmp = l->had_xmp,
        .had_iptc = l->had_iptc,
        .had_comment = l->had_comment,
        .had_mpf = l->had_mpf,
        .had_trailing = l->end<len, .had_icc = l->icc_parts> 0,
    };
    p->orientation = exif.orientation > 0 ? exif.orientation : 1;
    VF_TRY(check_kind(l, why));
    VF_TRY(check_size(p, why));
    vf_jpeg_icc(l, &p->icc);
    vf_jpeg_cut(data, l, &p->icc, &p->cut);
    return vf_buf_check(&p->cut, "photo", why);
}

/* ---------------------------------------------------------------------------------------------------- through the pixels */

/* Decode, smaller by the decoder as far as it can, by us for the rest; then turn. */
static enum vf_err upright_pixels(const struct photo *p, struct vf_pixels *ret, struct vf_why *why)
{
    VF_PIXELS decoded = {0};
    VF_PIXELS small = {0};
    bool swap = vf_turn_swaps(p->orientation);
    bool scale = p->to_width != p->width || p->to_height != p->height;
    uint32_t w = swap ? p->to_height : p->to_width; /* as stored */
    uint32_t h = swap ? p->to_width : p->to_height;

    VF_TRY(vf_codec_decode(p->cut.data, p->cut.len, scale ? w : 0, scale ? h : 0, &decoded, why));
    struct vf_pixels *now = &decoded;
    if (decoded.width != w || decoded.height != h) {
        VF_TRY(vf_scale_down(&decoded, w, h, &small, why));
        vf_pixels_done(&decoded);
        now = &small;
    }
    if (p->orientation > 1)
        return vf_turn_pixels(now, p->orientation, ret, why);
    *ret = *now;
    *now = (struct vf_pixels){0};
    return VF_OK;
}

static enum vf_err through_pixels(const struct photo *p, struct vf_buf *out, struct vf_image_report *report,
                                  struct vf_why *why)
{
    VF_PIXELS upright = {0};
    int lowest = p->opt->fit ? QUALITY_FIT : QUALITY_MIN;

    VF_TRY(upright_pixels(p, &upright, why));
    report->reencoded = true;
    report->scaled = p->to_width != p->width || p->to_height != p->height;
    for (int quality = QUALITY; quality >= lowest; quality -= QUALITY_STEP) {
        enum vf_err err = vf_codec_encode(&upright, quality, &p->icc, out, why);
        if (err != VF_E_LIMIT)
            return err;
    }
    if (!p->opt->fit)
        return vf_fail(why, VF_E_INPUT, "turned upright it is over 1 MiB; --photo-fit may compress it more");
    return vf_fail(why, VF_E_INPUT, "cannot be brought under 1 MiB");
}

/* ----------------------------------------------------------------------------------------------------------- the outcome */

/* Turned (or only written anew) by moving coefficients, with our own heads before it. *ret_done false: not possible. */
static enum vf_err turn_without_loss(const struct photo *p, struct vf_buf *out, bool *ret_done, struct vf_why *why)
{
    struct vf_jpeg_layout l;
    VF_BUF raw;

    vf_buf_init(&raw, VF_IMAGE_SOURCE_MAX);
    VF_TRY(vf_turn_lossless(&p->cut, p->orientation, &raw, ret_done, why));
    if (!*ret_done)
        return VF_OK;
    VF_TRY(vf_jpeg_layout(raw.data, raw.len, &l, why));
    vf_jpeg_cut(raw.data, &l, &p->icc, out);
    return vf_buf_check(out, "photo", why);
}

/*
 * The compressed picture is kept: as it is, or turned without loss. *ret_kept false: it has to go through the pixels. The
 * proof is made of the source, since TurboJPEG passes over damage that the strict decoder names and writes it anew as if it
 * were good; and of the result, since coefficients that no encoder would make are written as codes that nobody can read.
 */
static enum vf_err without_loss(const struct photo *p, struct vf_buf *out, bool *ret_kept, struct vf_why *why)
{
    /* Arithmetic codes, and codes without their tables, which nobody else reads: written anew with Huffman codes of our own. */
    bool write_anew = p->layout.sof >= 0xc9 || p->layout.tables_missing;
    const struct vf_buf *from = &p->cut;
    VF_BUF turned;

    *ret_kept = false;
    vf_buf_init(&turned, VF_IMAGE_SOURCE_MAX);
    if (p->orientation > 1 || write_anew) {
        bool done = false;
        VF_TRY(turn_without_loss(p, &turned, &done, why));
        if (!done)
            return VF_OK;
        from = &turned;
    }
    if (from->len > BYTES_MAX && p->opt->fit)
        return VF_OK;
    if (p->opt->decode)
        VF_TRY(vf_codec_prove(p->cut.data, p->cut.len, why));
    if (p->opt->decode && from != &p->cut)
        VF_TRY(vf_codec_prove(from->data, from->len, why));
    if (from->len > BYTES_MAX)
        return vf_fail(why, VF_E_INPUT, "%zu KiB is over 1,024 KiB; --photo-fit may compress it more",
                       (from->len + 1023) / 1024);
    vf_buf_put(out, from->data, from->len);
    *ret_kept = true;
    return VF_OK;
}

/* Holds by construction; if it ever does not, nobody's position must get out by it, nor anybody lie on the side. */
static bool as_it_must_be(const struct photo *p, const struct vf_buf *out)
{
    struct vf_jpeg_layout l;

    return vf_jpeg_bare(out->data, out->len) && vf_jpeg_layout(out->data, out->len, &l, NULL) == VF_OK &&
           l.width == p->to_width && l.height == p->to_height && vf_photo_storable(&l);
}

/* Steps 4 to 6. */
static enum vf_err photo_make(const struct photo *p, struct vf_buf *out, struct vf_image_report *report, struct vf_why *why)
{
    bool kept = false;

    if (p->to_width == p->width && p->to_height == p->height)
        VF_TRY(without_loss(p, out, &kept, why));
    if (!kept)
        VF_TRY(through_pixels(p, out, report, why));
    VF_TRY(vf_buf_check(out, "photo", why));
    if (!as_it_must_be(p, out))
        return vf_fail(why, VF_E_INPUT, "cannot be separated from what hangs on it");
    report->width = p->to_width;
    report->height = p->to_height;
    return VF_OK;
}

enum vf_err vf_photo_clean(const uint8_t *data, size_t len, const struct vf_image_options *opt, struct vf_buf *out,
                           struct vf_image_report *ret, struct vf_why *why)
{
    VF_CLEANUP(photo_done) struct photo p = {.opt = opt};
    struct vf_image_report report = {0};
    VF_BUF made;

    vf_buf_reset(out);
    vf_buf_init(&p.cut, VF_IMAGE_SOURCE_MAX + (1u << 16));
    vf_buf_init(&p.icc, VF_IMAGE_SOURCE_MAX);
    vf_buf_init(&made, BYTES_MAX);
    VF_TRY(photo_open(&p, data, len, &report, why));
    VF_TRY(photo_make(&p, &made, &report, why));
    vf_buf_put(out, made.data, made.len);
    VF_TRY(vf_buf_check(out, "photo", why));
    *ret = report;
    return VF_OK;
}
