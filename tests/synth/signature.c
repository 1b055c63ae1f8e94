/* SPDX-License-Identifier: MIT */
/* signature: a scrawl in a PNG. */
#include "synth.h"

#include <stdlib.h>
#include <string.h>

#include <png.h>

static void on_png_error(png_structp png, png_const_charp text)
{
    (void)png;
    synth_die("libpng: %s", text);
}

static void on_png_warning(png_structp png, png_const_charp text)
{
    on_png_error(png, text);
}

static void on_png_write(png_structp png, png_bytep data, size_t len)
{
    bytes_put(png_get_io_ptr(png), data, len);
}

static void on_png_flush(png_structp png)
{
    (void)png;
}

static void dab(uint8_t *ink, uint32_t w, uint32_t h, int x, int y, int r)
{
    for (int dy = -r; dy <= r; dy++)
        for (int dx = -r; dx <= r; dx++)
            if (dx * dx + dy * dy <= r * r && x + dx >= 0 && y + dy >= 0 && x + dx < (int)w && y + dy < (int)h)
                ink[(size_t)(y + dy) * w + (size_t)(x + dx)] = 230;
}

/* A chain of quadratic curves from left to right. */
static void scrawl(struct rng *rng, uint8_t *ink, uint32_t w, uint32_t h)
{
    int x0 = (int)w / 12, y0 = (int)h / 2, strokes = rng_range(rng, 7, 14), step = (int)w * 10 / 12 / strokes;
    for (int s = 0; s < strokes; s++) {
        int x1 = x0 + rng_range(rng, -step, step * 2), y1 = rng_range(rng, -(int)h / 4, (int)h * 5 / 4);
        int x2 = x0 + step, y2 = rng_range(rng, (int)h / 4, (int)h * 3 / 4);
        for (int t = 0; t <= 256; t++) {
            int u = 256 - t;
            dab(ink, w, h, (u * u * x0 + 2 * u * t * x1 + t * t * x2) / 65536,
                (u * u * y0 + 2 * u * t * y1 + t * t * y2) / 65536, 2);
        }
        x0 = x2;
        y0 = y2;
    }
}

/* Metadata that must not survive: who, when, with what. */
static void name_chunks(png_structp png, png_infop info, const char *name)
{
    char key[] = "Author", text[FIELD_BYTES + 16];
    snprintf(text, sizeof text, "Signed by %s", name);
    png_text author = {.compression = PNG_ITXT_COMPRESSION_NONE, .key = key, .text = text, .itxt_length = strlen(text)};
    png_time when = {.year = 2026, .month = 3, .day = 14, .hour = 15, .minute = 9, .second = 26};
    png_set_text(png, info, &author, 1);
    png_set_tIME(png, info, &when);
}

void signature_draw(uint64_t seed, uint64_t index, const char *name, struct bytes *out, struct signature *ret)
{
    struct rng rng;
    rng_init(&rng, seed, STREAM_SIGNATURE, index);
    struct signature sig = {0};
    sig.w = (uint32_t)rng_range(&rng, 280, 480);
    sig.h = (uint32_t)rng_range(&rng, 90, 150);
    bool alpha = rng_percent(&rng, 50);
    sig.text = rng_percent(&rng, 40);
    uint8_t *ink = synth_alloc((size_t)sig.w * sig.h), *row = synth_alloc((size_t)sig.w * 4);
    scrawl(&rng, ink, sig.w, sig.h);

    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, on_png_error, on_png_warning);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    if (!info)
        synth_die("out of memory");
    out->len = 0;
    png_set_write_fn(png, out, on_png_write, on_png_flush);
    png_set_compression_level(png, 3);
    png_set_IHDR(png, info, sig.w, sig.h, 8, alpha ? PNG_COLOR_TYPE_RGB_ALPHA : PNG_COLOR_TYPE_GRAY, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    if (sig.text)
        name_chunks(png, info, name);
    png_write_info(png, info);
    for (size_t y = 0; y < sig.h; y++) {
        for (size_t x = 0; x < sig.w; x++) {
            uint8_t dark = ink[y * sig.w + x];
            if (!alpha)
                row[x] = (uint8_t)(255 - dark);
            else
                memcpy(row + x * 4, (uint8_t[4]){20, 24, 80, dark}, 4);
        }
        png_write_row(png, row);
    }
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    free(ink);
    free(row);
    *ret = sig;
}
