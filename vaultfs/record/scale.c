/* SPDX-License-Identifier: MIT */
#include "scale.h"

#include <stdlib.h>

void vf_scale_fit(uint32_t width, uint32_t height, uint32_t max_width, uint32_t max_height, uint32_t *ret_width,
                  uint32_t *ret_height)
{
    uint64_t w = width;
    uint64_t h = height;

    if (w > max_width || h > max_height) {
        bool wide = w * max_height >= h * max_width;
        uint64_t part = wide ? max_width : max_height;
        uint64_t whole = wide ? w : h;
        w = (w * part + whole / 2) / whole;
        h = (h * part + whole / 2) / whole;
    }
    *ret_width = w > 0 ? (uint32_t)w : 1;
    *ret_height = h > 0 ? (uint32_t)h : 1;
}

/*
 * In units of which one source pixel is `to` and one new pixel is `from` long, both grids lie on whole numbers: the weight
 * of a source pixel under a new one is a whole number, and the weights of one new pixel add up to `from`.
 */
struct cover {
    uint32_t first, last; /* source pixels */
    uint32_t first_weight, last_weight;
};

static struct cover cover_of(uint32_t i, uint32_t from, uint32_t to)
{
    uint64_t start = (uint64_t)i * from;
    uint64_t end = start + from;
    struct cover c = {.first = (uint32_t)(start / to), .last = (uint32_t)((end - 1) / to)};

    c.first_weight = to - (uint32_t)(start % to);
    c.last_weight = (uint32_t)(end - (uint64_t)c.last * to);
    if (c.first == c.last)
        c.first_weight = c.last_weight = from;
    return c;
}

static uint32_t weight_at(const struct cover *c, uint32_t at, uint32_t to)
{
    if (at == c->first)
        return c->first_weight;
    return at == c->last ? c->last_weight : to;
}

/* Down the columns first: the source rows under a new one, weighted, into one row of sums. At most 65535 * 255 each. */
static void add_rows(const struct vf_pixels *from, const struct cover *c, uint32_t to_height, uint32_t *sums)
{
    const size_t row_len = (size_t)from->width * from->channels;

    for (size_t i = 0; i < row_len; i++)
        sums[i] = 0;
    for (uint32_t y = c->first; y <= c->last; y++) {
        const uint32_t weight = weight_at(c, y, to_height);
        const uint8_t *row = from->data + y * row_len;
        for (size_t i = 0; i < row_len; i++)
            sums[i] += weight * row[i];
    }
}

/* Then along the row. */
static void put_row(const struct vf_pixels *from, const struct cover *columns, uint32_t width, const uint32_t *sums,
                    uint8_t *put)
{
    const uint64_t whole = (uint64_t)from->width * from->height;
    const size_t n = from->channels;

    for (uint32_t x = 0; x < width; x++) {
        const struct cover *c = &columns[x];
        for (size_t k = 0; k < n; k++) {
            uint64_t sum = whole / 2;
            for (uint32_t at = c->first; at <= c->last; at++)
                sum += (uint64_t)weight_at(c, at, width) * sums[at * n + k];
            *put++ = (uint8_t)(sum / whole);
        }
    }
}

enum vf_err vf_scale_down(const struct vf_pixels *from, uint32_t width, uint32_t height, struct vf_pixels *ret,
                          struct vf_why *why)
{
    VF_FREE struct cover *columns = calloc(width, sizeof(*columns));
    VF_FREE uint32_t *sums = calloc((size_t)from->width * from->channels, sizeof(*sums));
    struct vf_pixels to = {0};

    if (columns == NULL || sums == NULL)
        return vf_fail(why, VF_E_NOMEM, "scaling: out of memory");
    VF_TRY(vf_pixels_init(&to, width, height, from->channels, why));
    for (uint32_t x = 0; x < width; x++)
        columns[x] = cover_of(x, from->width, width);
    for (uint32_t y = 0; y < height; y++) {
        const struct cover rows = cover_of(y, from->height, height);
        add_rows(from, &rows, height, sums);
        put_row(from, columns, width, sums, to.data + (size_t)y * width * to.channels);
    }
    *ret = to;
    return VF_OK;
}
