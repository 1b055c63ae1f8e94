/* SPDX-License-Identifier: MIT */
#include "record_images.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* clang-format off */
#include <jpeglib.h>
/* clang-format on */
#include <turbojpeg.h>

static void *need(void *p)
{
    if (p == NULL)
        abort();
    return p;
}

/* ---------------------------------------------------------------------------------------------------------------- pixels */

static uint32_t noise(uint32_t x)
{
    x ^= x >> 16;
    x *= 0x7feb352du;
    x ^= x >> 15;
    x *= 0x846ca68bu;
    return x ^ (x >> 16);
}

static double bump(double u, double v, double width)
{
    return 1 / (1 + (u * u + v * v) / (width * width));
}

struct pixels px_paint(unsigned w, unsigned h, unsigned ch, unsigned detail)
{
    static const double skin[3] = {205, 160, 135};
    struct pixels p = {need(malloc((size_t)w * h * ch)), w, h, ch};
    uint8_t *to = p.d;

    for (unsigned y = 0; y < h; y++) {
        for (unsigned x = 0; x < w; x++) {
            double u = (double)x / w;
            double v = (double)y / h;
            double round = bump(u - 0.45, (v - 0.4) * 0.8, 0.25);
            double face = round * round * (3 - 2 * round);
            double eye = bump(u - 0.36, v - 0.33, 0.03);
            double wall = 120 + 60 * u - 40 * v + 30 * u * v;
            double grain = detail > 0 ? ((double)(noise(y * w + x) % 201) - 100) * detail / 100 : 0;
            for (unsigned k = 0; k < ch; k++) {
                double c = (1 - face) * (wall + 15 * k) + face * (skin[k] - 30 * v) - 110 * eye + grain;
                *to++ = (uint8_t)(c < 0 ? 0 : c > 255 ? 255 : c);
            }
        }
    }
    return p;
}

void px_free(struct pixels *p)
{
    free(p->d);
    *p = (struct pixels){0};
}

/* TIFF 6.0, Orientation: where the stored 0th row and 0th column lie in what a person sees. */
struct pixels px_upright(const struct pixels *stored, unsigned orientation)
{
    bool swap = orientation >= 5;
    struct pixels p = {need(malloc((size_t)stored->w * stored->h * stored->ch)), swap ? stored->h : stored->w,
                       swap ? stored->w : stored->h, stored->ch};

    for (unsigned row = 0; row < stored->h; row++) {
        for (unsigned col = 0; col < stored->w; col++) {
            unsigned left = swap ? row : col;
            unsigned top = swap ? col : row;
            switch (orientation) {
            case 2: /* 0th row top, 0th column right */
                left = stored->w - 1 - col;
                break;
            case 3: /* bottom, right */
                left = stored->w - 1 - col;
                top = stored->h - 1 - row;
                break;
            case 4: /* bottom, left */
                top = stored->h - 1 - row;
                break;
            case 6: /* 0th row right, 0th column top */
                left = stored->h - 1 - row;
                break;
            case 7: /* right, bottom */
                left = stored->h - 1 - row;
                top = stored->w - 1 - col;
                break;
            case 8: /* left, bottom */
                top = stored->w - 1 - col;
                break;
            default: /* 1: top, left; 5: left, top */
                break;
            }
            memcpy(p.d + ((size_t)top * p.w + left) * p.ch, stored->d + ((size_t)row * stored->w + col) * p.ch, p.ch);
        }
    }
    return p;
}

bool px_same(const struct pixels *a, const struct pixels *b)
{
    return a->w == b->w && a->h == b->h && a->ch == b->ch && memcmp(a->d, b->d, (size_t)a->w * a->h * a->ch) == 0;
}

double px_psnr(const struct pixels *a, const struct pixels *b)
{
    size_t n = (size_t)a->w * a->h * a->ch;
    double sum = 0;

    if (a->w != b->w || a->h != b->h || a->ch != b->ch)
        return -1;
    for (size_t i = 0; i < n; i++) {
        double d = (double)a->d[i] - b->d[i];
        sum += d * d;
    }
    return sum > 0 ? 10 * log10(255.0 * 255.0 * (double)n / sum) : 999;
}

struct pixels px_shrink(const struct pixels *p, unsigned w, unsigned h)
{
    struct pixels out = {need(malloc((size_t)w * h * p->ch)), w, h, p->ch};

    for (unsigned y = 0; y < h; y++) {
        for (unsigned x = 0; x < w; x++) {
            double x0 = (double)x * p->w / w;
            double x1 = (double)(x + 1) * p->w / w;
            double y0 = (double)y * p->h / h;
            double y1 = (double)(y + 1) * p->h / h;
            double sum[4] = {0};
            double area = 0;
            for (unsigned sy = (unsigned)y0; sy < p->h && sy < y1; sy++) {
                for (unsigned sx = (unsigned)x0; sx < p->w && sx < x1; sx++) {
                    double cover = (fmin(sx + 1, x1) - fmax(sx, x0)) * (fmin(sy + 1, y1) - fmax(sy, y0));
                    area += cover;
                    for (unsigned k = 0; k < p->ch; k++)
                        sum[k] += cover * p->d[((size_t)sy * p->w + sx) * p->ch + k];
                }
            }
            for (unsigned k = 0; k < p->ch; k++)
                out.d[((size_t)y * w + x) * p->ch + k] = (uint8_t)(sum[k] / area + 0.5);
        }
    }
    return out;
}

/* ------------------------------------------------------------------------------------------------------------------ JPEG */

struct blob jpeg_make(const struct pixels *p, const struct jpeg_how *how)
{
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr err;
    unsigned char *mem = NULL;
    unsigned long size = 0;
    uint8_t *row = need(malloc((size_t)p->w * 4));

    c.err = jpeg_std_error(&err);
    jpeg_create_compress(&c);
    jpeg_mem_dest(&c, &mem, &size);
    c.image_width = p->w;
    c.image_height = p->h;
    c.input_components = how->cmyk ? 4 : (int)p->ch;
    c.in_color_space = how->cmyk ? JCS_CMYK : p->ch == 1 ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_set_defaults(&c);
    if (how->rgb && p->ch == 3)
        jpeg_set_colorspace(&c, JCS_RGB);
    jpeg_set_quality(&c, how->quality > 0 ? how->quality : 90, TRUE);
    if (p->ch == 3 && !how->rgb && !how->cmyk) {
        c.comp_info[0].h_samp_factor = how->hs > 0 ? (int)how->hs : 2;
        c.comp_info[0].v_samp_factor = how->vs > 0 ? (int)how->vs : 2;
    }
    if (how->progressive)
        jpeg_simple_progression(&c);
    c.arith_code = how->arithmetic ? TRUE : FALSE;
    c.restart_in_rows = (int)how->restart;
    if (how->no_heads) {
        c.write_JFIF_header = FALSE;
        c.write_Adobe_marker = FALSE;
    }
    jpeg_start_compress(&c, TRUE);
    while (c.next_scanline < c.image_height) {
        uint8_t *from = p->d + (size_t)c.next_scanline * p->w * p->ch;
        for (unsigned x = 0; x < p->w; x++) {
            memcpy(row + (size_t)x * (unsigned)c.input_components, from + (size_t)x * p->ch, p->ch);
            if (how->cmyk)
                row[x * 4 + 3] = 255;
        }
        (void)jpeg_write_scanlines(&c, &row, 1);
    }
    jpeg_finish_compress(&c);
    jpeg_destroy_compress(&c);
    free(row);
    return (struct blob){mem, size};
}

struct pixels jpeg_pixels(const uint8_t *d, size_t n)
{
    struct jpeg_decompress_struct c;
    struct jpeg_error_mgr err;
    struct pixels p = {0};

    c.err = jpeg_std_error(&err);
    jpeg_create_decompress(&c);
    jpeg_mem_src(&c, d, n);
    (void)jpeg_read_header(&c, TRUE);
    c.out_color_space = c.num_components == 1 ? JCS_GRAYSCALE : JCS_RGB;
    (void)jpeg_start_decompress(&c);
    p = (struct pixels){need(malloc((size_t)c.output_width * c.output_height * 3)), c.output_width, c.output_height,
                        (unsigned)c.output_components};
    while (c.output_scanline < c.output_height) {
        uint8_t *row = p.d + (size_t)c.output_scanline * p.w * p.ch;
        (void)jpeg_read_scanlines(&c, &row, 1);
    }
    (void)jpeg_finish_decompress(&c);
    if (err.num_warnings > 0)
        px_free(&p);
    jpeg_destroy_decompress(&c);
    return p;
}

struct blob jpeg_transform(const uint8_t *d, size_t n, int op)
{
    tjhandle tj = need(tjInitTransform());
    tjtransform how = {.op = op, .options = TJXOPT_PERFECT};
    unsigned char *out = NULL;
    unsigned long size = 0;

    if (tjTransform(tj, d, n, 1, &out, &size, &how, 0) != 0)
        abort();
    (void)tjDestroy(tj);
    struct blob b = {need(malloc(size)), size};
    memcpy(b.d, out, size);
    tjFree(out);
    return b;
}

void blob_free(struct blob *b)
{
    free(b->d);
    *b = (struct blob){0};
}

void blob_append(struct blob *b, const void *d, size_t n)
{
    b->d = need(realloc(b->d, b->n + n));
    memcpy(b->d + b->n, d, n);
    b->n += n;
}

static void blob_insert(struct blob *b, size_t at, const void *d, size_t n)
{
    b->d = need(realloc(b->d, b->n + n));
    memmove(b->d + at + n, b->d + at, b->n - at);
    memcpy(b->d + at, d, n);
    b->n += n;
}

void jpeg_insert(struct blob *b, uint8_t marker, const void *body, size_t len, bool after_jfif)
{
    uint8_t head[4] = {0xff, marker, (uint8_t)((len + 2) >> 8), (uint8_t)(len + 2)};
    size_t at = after_jfif && b->d[3] == 0xe0 ? 4 + (size_t)(b->d[4] << 8 | b->d[5]) : 2;

    blob_insert(b, at, body, len);
    blob_insert(b, at, head, sizeof(head));
}

struct facts jpeg_facts(const uint8_t *d, size_t n)
{
    struct jpeg_decompress_struct c;
    struct jpeg_error_mgr err;
    struct facts f = {0};

    c.err = jpeg_std_error(&err);
    jpeg_create_decompress(&c);
    jpeg_mem_src(&c, d, n);
    for (int i = 0; i < 16; i++)
        jpeg_save_markers(&c, JPEG_APP0 + i, 0xffff);
    jpeg_save_markers(&c, JPEG_COM, 0xffff);
    (void)jpeg_read_header(&c, TRUE);
    f.progressive = c.progressive_mode;
    f.arithmetic = c.arith_code;
    f.jfif = c.saw_JFIF_marker;
    f.adobe = c.saw_Adobe_marker;
    f.width = c.image_width;
    f.height = c.image_height;
    f.components = (unsigned)c.num_components;
    f.hs = (unsigned)c.comp_info[0].h_samp_factor;
    f.vs = (unsigned)c.comp_info[0].v_samp_factor;
    /* To the end: markers between the scans count too. */
    (void)jpeg_read_coefficients(&c);
    for (jpeg_saved_marker_ptr m = c.marker_list; m != NULL; m = m->next) {
        if (m->marker == JPEG_COM)
            f.com++;
        else
            f.app[m->marker - JPEG_APP0]++;
    }
    (void)jpeg_finish_decompress(&c);
    f.end = n - c.src->bytes_in_buffer;
    jpeg_destroy_decompress(&c);
    return f;
}

/* -------------------------------------------------------------------------------------------------------------- metadata */

struct tiff {
    uint8_t d[8192];
    size_t n;
    bool big;
};

static void t16(struct tiff *t, unsigned v)
{
    t->d[t->n++] = (uint8_t)(t->big ? v >> 8 : v);
    t->d[t->n++] = (uint8_t)(t->big ? v : v >> 8);
}

static void t32(struct tiff *t, size_t v)
{
    unsigned high = (unsigned)(v >> 16) & 0xffff;
    unsigned low = (unsigned)v & 0xffff;

    t16(t, t->big ? high : low);
    t16(t, t->big ? low : high);
}

static void entry(struct tiff *t, unsigned tag, unsigned type, size_t count, size_t value)
{
    t16(t, tag);
    t16(t, type);
    t32(t, count);
    if (type == 3) { /* SHORT stands at the beginning of the four bytes */
        t16(t, (unsigned)value);
        t16(t, 0);
    } else {
        t32(t, value);
    }
}

struct blob exif_make(const struct exif_how *how)
{
    static const char serial[] = "SN-0123456789-PHONE";
    static const uint8_t thumb[] = {0xff, 0xd8, 0xff, 0xd9, 'T', 'H', 'U', 'M'};
    struct tiff t = {.big = how->big_endian};
    unsigned n0 = (how->orientation > 0 ? 1u : 0u) + how->gps + how->serial;
    size_t ifd1 = 8 + 2 + 12 * n0 + 4;
    size_t gps = ifd1 + (how->thumbnail ? 2 + 12 * 3 + 4 : 0);
    size_t data = gps + (how->gps ? 2 + 12 * 4 + 4 : 0);
    size_t lat = data;
    size_t lon = lat + (how->gps ? 24 : 0);
    size_t text = lon + (how->gps ? 24 : 0);
    size_t thumb_at = text + (how->serial ? sizeof(serial) : 0);

    t16(&t, how->big_endian ? 0x4d4d : 0x4949);
    t16(&t, 42);
    t32(&t, 8);
    t16(&t, n0);
    if (how->serial)
        entry(&t, 0x0110, 2, sizeof(serial), text); /* Model */
    if (how->orientation > 0)
        entry(&t, 0x0112, 3, 1, how->orientation);
    if (how->gps)
        entry(&t, 0x8825, 4, 1, gps);
    t32(&t, how->thumbnail ? ifd1 : 0);
    if (how->thumbnail) {
        t16(&t, 3);
        entry(&t, 0x0103, 3, 1, 6);
        entry(&t, 0x0201, 4, 1, thumb_at);
        entry(&t, 0x0202, 4, 1, sizeof(thumb));
        t32(&t, 0);
    }
    if (how->gps) {
        t16(&t, 4);
        entry(&t, 1, 2, 2, (size_t)(t.big ? 'N' << 24 : 'N'));
        entry(&t, 2, 5, 3, lat);
        entry(&t, 3, 2, 2, (size_t)(t.big ? 'W' << 24 : 'W'));
        entry(&t, 4, 5, 3, lon);
        t32(&t, 0);
        for (unsigned i = 0; i < 12; i++)
            t32(&t, i % 2 == 0 ? 51 - i : 1);
    }
    if (how->serial) {
        memcpy(t.d + t.n, serial, sizeof(serial));
        t.n += sizeof(serial);
    }
    if (how->thumbnail) {
        memcpy(t.d + t.n, thumb, sizeof(thumb));
        t.n += sizeof(thumb);
    }
    struct blob b = {0};
    blob_append(&b, "Exif\0", 6);
    blob_append(&b, t.d, t.n);
    return b;
}

void jpeg_add_exif(struct blob *b, const struct exif_how *how)
{
    struct blob exif = exif_make(how);

    jpeg_insert(b, 0xe1, exif.d, exif.n, true);
    blob_free(&exif);
}

struct blob icc_make(size_t size)
{
    struct blob b = {need(calloc(1, size)), size};

    for (size_t i = 40; i < size; i++)
        b.d[i] = (uint8_t)noise((uint32_t)i);
    b.d[0] = (uint8_t)(size >> 24);
    b.d[1] = (uint8_t)(size >> 16);
    b.d[2] = (uint8_t)(size >> 8);
    b.d[3] = (uint8_t)size;
    memcpy(b.d + 12, "mntrRGB XYZ ", 12);
    memcpy(b.d + 36, "acsp", 4);
    return b;
}

void jpeg_add_icc(struct blob *b, const struct blob *icc, size_t part)
{
    size_t parts = (icc->n + part - 1) / part;

    /* From the last to the first: each goes before those that are there. */
    for (size_t i = parts; i > 0; i--) {
        size_t at = (i - 1) * part;
        size_t len = icc->n - at < part ? icc->n - at : part;
        struct blob body = {0};
        uint8_t number[2] = {(uint8_t)i, (uint8_t)parts};
        blob_append(&body, "ICC_PROFILE", 12);
        blob_append(&body, number, 2);
        blob_append(&body, icc->d + at, len);
        jpeg_insert(b, 0xe2, body.d, body.n, true);
        blob_free(&body);
    }
}

struct blob jpeg_icc(const uint8_t *d, size_t n)
{
    struct jpeg_decompress_struct c;
    struct jpeg_error_mgr err;
    JOCTET *icc = NULL;
    unsigned len = 0;

    c.err = jpeg_std_error(&err);
    jpeg_create_decompress(&c);
    jpeg_mem_src(&c, d, n);
    jpeg_save_markers(&c, JPEG_APP0 + 2, 0xffff);
    (void)jpeg_read_header(&c, TRUE);
    struct blob b = {0};
    if (jpeg_read_icc_profile(&c, &icc, &len))
        b = (struct blob){icc, len};
    jpeg_destroy_decompress(&c);
    return b;
}

void jpeg_add_everything(struct blob *b)
{
    static const char xmp[] = "http://ns.adobe.com/xap/1.0/\0<x:xmpmeta>GPSLatitude=51.5</x:xmpmeta>";
    static const char ext[] = "http://ns.adobe.com/xmp/extension/\0rest";
    static const char iptc[] = "Photoshop 3.0\0"
                               "8BIM\x04\x04\0\0\0\0\0\x0fMARKER-IPTC-byline";
    static const char mpf[] = "MPF\0II*\0\x08\0\0\0\0\0";
    static const char jfxx[] = "JFXX\0\x10MARKER-JFXX-thumbnail";
    static const char com[] = "MARKER-COMMENT photographed at home";
    const struct exif_how exif = {.orientation = 1, .gps = true, .thumbnail = true, .serial = true};

    jpeg_insert(b, 0xfe, com, sizeof(com), true);
    jpeg_insert(b, 0xed, iptc, sizeof(iptc), true);
    jpeg_insert(b, 0xe2, mpf, sizeof(mpf), true);
    jpeg_insert(b, 0xe1, ext, sizeof(ext), true);
    jpeg_insert(b, 0xe1, xmp, sizeof(xmp), true);
    for (uint8_t app = 3; app < 16; app++)
        if (app != 13 && app != 14)
            jpeg_insert(b, (uint8_t)(0xe0 + app), "MARKER-APP", 10, true);
    jpeg_add_exif(b, &exif);
    jpeg_insert(b, 0xe0, jfxx, sizeof(jfxx), true);
    blob_append(b, "MARKER-TRAILING \xff\xd8\xff\xd9", 20);
}
