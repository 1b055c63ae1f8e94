/* SPDX-License-Identifier: MIT */
#include "turn.h"

#include <string.h>
#include <turbojpeg.h>

static int operation_of(uint8_t orientation)
{
    static const int ops[9] = {TJXOP_NONE,      TJXOP_NONE,  TJXOP_HFLIP,      TJXOP_ROT180, TJXOP_VFLIP,
                               TJXOP_TRANSPOSE, TJXOP_ROT90, TJXOP_TRANSVERSE, TJXOP_ROT270};

    return ops[orientation <= 8 ? orientation : 0];
}

enum vf_err vf_turn_lossless(const struct vf_buf *jpeg, uint8_t orientation, struct vf_buf *out, bool *ret_done,
                             struct vf_why *why)
{
    tjtransform how = {.op = operation_of(orientation), .options = TJXOPT_PERFECT | TJXOPT_COPYNONE};
    unsigned char *turned = NULL;
    unsigned long size = 0;
    tjhandle tj = tjInitTransform();

    if (tj == NULL)
        return vf_fail(why, VF_E_NOMEM, "turning: out of memory");
    int failed = tjTransform(tj, jpeg->data, (unsigned long)jpeg->len, 1, &turned, &size, &how,
                             TJFLAG_STOPONWARNING | TJFLAG_LIMITSCANS);
    (void)tjDestroy(tj);
    if (failed == 0) {
        vf_buf_put(out, turned, size);
        explicit_bzero(turned, size);
    }
    tjFree(turned);
    *ret_done = failed == 0;
    return vf_buf_check(out, "photo", why);
}

static void copy_gray(const uint8_t *from, ptrdiff_t at, ptrdiff_t step, uint8_t *to, uint32_t n)
{
    for (uint32_t x = 0; x < n; x++, at += step)
        to[x] = from[at];
}

static void copy_rgb(const uint8_t *from, ptrdiff_t at, ptrdiff_t step, uint8_t *to, uint32_t n)
{
    for (uint32_t x = 0; x < n; x++, at += step)
        memcpy(to + 3 * (size_t)x, from + 3 * at, 3);
}

/*
 * For each pixel of the upright picture, row by row, where it stands in the stored one: from a corner, a step for the next
 * column and a step for the next row. (Orientation 6: the stored top row is the right-hand column, so the upright one
 * begins at the stored bottom left and goes up.)
 */
enum vf_err vf_turn_pixels(const struct vf_pixels *from, uint8_t orientation, struct vf_pixels *ret, struct vf_why *why)
{
    const ptrdiff_t w = (ptrdiff_t)from->width;
    const ptrdiff_t h = (ptrdiff_t)from->height;
    const struct {
        ptrdiff_t start, column, row;
    } table[9] = {
        {0, 1, w},            /* 0: none */
        {0, 1, w},            /* 1: upright */
        {w - 1, -1, w},       /* 2: mirrored left to right */
        {w * h - 1, -1, -w},  /* 3: upside down */
        {w * (h - 1), 1, -w}, /* 4: mirrored top to bottom */
        {0, w, 1},            /* 5: mirrored along the falling diagonal */
        {w * (h - 1), -w, 1}, /* 6: to be turned clockwise */
        {w * h - 1, -w, -1},  /* 7: mirrored along the rising diagonal */
        {w - 1, w, -1},       /* 8: to be turned anticlockwise */
    };
    const uint8_t o = orientation <= 8 ? orientation : 0;
    bool swap = vf_turn_swaps(o);
    struct vf_pixels to = {0};

    VF_TRY(vf_pixels_init(&to, swap ? from->height : from->width, swap ? from->width : from->height, from->channels, why));
    for (uint32_t y = 0; y < to.height; y++) {
        ptrdiff_t at = table[o].start + (ptrdiff_t)y * table[o].row;
        if (to.channels == 3)
            copy_rgb(from->data, at, table[o].column, to.data + (size_t)y * to.width * 3, to.width);
        else
            copy_gray(from->data, at, table[o].column, to.data + (size_t)y * to.width, to.width);
    }
    *ret = to;
    return VF_OK;
}
