/* SPDX-License-Identifier: MIT */
#include "record_images.h"

#include <png.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static void *need(void *p)
{
    if (p == NULL)
        abort();
    return p;
}

static uint32_t noise(uint32_t x)
{
    x = (x ^ (x >> 16)) * 0x7feb352du;
    x = (x ^ (x >> 15)) * 0x846ca68bu;
    return x ^ (x >> 16);
}

static void png_put(png_structp png, png_bytep d, size_t n)
{
    blob_append(png_get_io_ptr(png), d, n);
}

static void png_no_flush(png_structp png)
{
    (void)png;
}

static void png_dress(png_structp png, png_infop info)
{
    static char key[] = "Comment";
    static char text[] = "MARKER-PNG-TEXT signed at home";
    png_text t = {.compression = PNG_TEXT_COMPRESSION_NONE, .key = key, .text = text};
    png_time when = {.year = 2026, .month = 11, .day = 21};

    png_set_text(png, info, &t, 1);
    png_set_tIME(png, info, &when);
    png_set_pHYs(png, info, 2835, 2835, PNG_RESOLUTION_METER);
}

struct blob png_make(const struct png_how *how)
{
    struct blob b = {0};
    png_structp png = need(png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL));
    png_infop info = need(png_create_info_struct(png));
    png_color palette[16];
    png_byte alpha[16] = {0, 128};
    png_color_16 one = {.index = 1, .red = 1, .green = 2, .blue = 3, .gray = 1};

    png_set_write_fn(png, &b, png_put, png_no_flush);
    png_set_IHDR(png, info, how->w, how->h, how->depth, how->colour,
                 how->interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    for (unsigned i = 0; i < 16; i++)
        palette[i] = (png_color){(png_byte)(i * 3), (png_byte)(i * 5), (png_byte)(i * 7)};
    int colours = how->depth < 4 ? 1 << how->depth : 16;
    if (how->colour == PNG_COLOR_TYPE_PALETTE)
        png_set_PLTE(png, info, palette, colours);
    if (how->transparent)
        png_set_tRNS(png, info, alpha, how->colour == PNG_COLOR_TYPE_PALETTE ? 2 : 0, &one);
    if (how->srgb)
        png_set_sRGB_gAMA_and_cHRM(png, info, PNG_sRGB_INTENT_PERCEPTUAL);
    if (how->dressed)
        png_dress(png, info);
    png_write_info(png, info);
    size_t stride = png_get_rowbytes(png, info);
    uint8_t *all = need(calloc(how->h, stride));
    png_bytep *rows = need(calloc(how->h, sizeof(*rows)));
    for (unsigned y = 0; y < how->h; y++) {
        rows[y] = all + y * stride;
        for (size_t x = 0; x < stride; x++) {
            uint8_t v = (uint8_t)(how->noise ? noise((uint32_t)(y * stride + x)) : (x * 7 + y * (x / 9)) & 0xff);
            /* No colour beyond the palette. */
            rows[y][x] = how->colour == PNG_COLOR_TYPE_PALETTE && how->depth == 8 ? v % 16 : v;
        }
    }
    png_write_image(png, rows);
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    free(rows);
    free(all);
    return b;
}

struct png_source {
    const uint8_t *d;
    size_t n;
    unsigned warnings;
};

static void png_get(png_structp png, png_bytep to, size_t n)
{
    struct png_source *s = png_get_io_ptr(png);

    if (s->n < n)
        png_error(png, "short");
    memcpy(to, s->d, n);
    s->d += n;
    s->n -= n;
}

static void png_warned(png_structp png, png_const_charp text)
{
    struct png_source *s = png_get_error_ptr(png);

    (void)text;
    s->warnings++;
}

struct blob png_raw(const uint8_t *d, size_t n)
{
    struct png_source s = {d, n, 0};
    struct blob out = {0};
    png_structp png = need(png_create_read_struct(PNG_LIBPNG_VER_STRING, &s, NULL, png_warned));
    png_infop info = need(png_create_info_struct(png));

    png_set_read_fn(png, &s, png_get);
    png_read_png(png, info, PNG_TRANSFORM_IDENTITY, NULL); /* an error aborts the test */
    png_bytepp rows = png_get_rows(png, info);
    uint32_t head[4] = {png_get_image_width(png, info), png_get_image_height(png, info), png_get_bit_depth(png, info),
                        png_get_color_type(png, info)};
    blob_append(&out, head, sizeof(head));
    size_t stride = png_get_rowbytes(png, info);
    unsigned spare = head[2] < 8 ? (unsigned)(stride * 8 - (size_t)head[0] * head[2]) : 0; /* bits of no pixel */
    for (uint32_t y = 0; y < head[1]; y++) {
        rows[y][stride - 1] = (uint8_t)(rows[y][stride - 1] >> spare << spare);
        blob_append(&out, rows[y], stride);
    }
    png_colorp palette = NULL;
    int count = 0;
    if (png_get_PLTE(png, info, &palette, &count) != 0)
        blob_append(&out, palette, (size_t)count * sizeof(*palette));
    png_bytep alpha = NULL;
    png_color_16p one = NULL;
    if (png_get_tRNS(png, info, &alpha, &count, &one) != 0) {
        const uint16_t rgb[3] = {one->red, one->green, one->blue};
        if (head[3] == PNG_COLOR_TYPE_PALETTE)
            blob_append(&out, alpha, (size_t)count);
        else if (head[3] == PNG_COLOR_TYPE_GRAY)
            blob_append(&out, &one->gray, sizeof(one->gray));
        else
            blob_append(&out, rgb, sizeof(rgb));
    }
    png_destroy_read_struct(&png, &info, NULL);
    if (s.warnings > 0)
        blob_free(&out);
    return out;
}

void png_insert(struct blob *b, const char type[4], const void *body, size_t len)
{
    size_t at = 8;
    struct blob chunk = {0};
    uint8_t raw[4] = {(uint8_t)(len >> 24), (uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len};

    while (memcmp(b->d + at + 4, "IDAT", 4) != 0)
        at += 12 + ((size_t)b->d[at] << 24 | (size_t)b->d[at + 1] << 16 | (size_t)b->d[at + 2] << 8 | b->d[at + 3]);
    blob_append(&chunk, raw, 4);
    blob_append(&chunk, type, 4);
    blob_append(&chunk, body, len);
    uLong crc = crc32(0, chunk.d + 4, (uInt)(len + 4));
    uint8_t sum[4] = {(uint8_t)(crc >> 24), (uint8_t)(crc >> 16), (uint8_t)(crc >> 8), (uint8_t)crc};
    blob_append(&chunk, sum, 4);
    struct blob whole = {0};
    blob_append(&whole, b->d, at);
    blob_append(&whole, chunk.d, chunk.n);
    blob_append(&whole, b->d + at, b->n - at);
    blob_free(b);
    *b = whole;
    blob_free(&chunk);
}
