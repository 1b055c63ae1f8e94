/* SPDX-License-Identifier: MIT */
/*
 * The oracle's own turning, held against the words of EXIF 2.3 (4.6.4 A, Orientation): for each value, the side of the upright picture
 * on which row 0 of the stored picture lies, and the side of its column 0.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "synth.h"

#define W 70
#define H 45

enum side { TOP, BOTTOM, LEFT, RIGHT };
static const enum side ROW_0[9] = {TOP, TOP, TOP, BOTTOM, BOTTOM, LEFT, RIGHT, RIGHT, LEFT};
static const enum side COLUMN_0[9] = {LEFT, LEFT, RIGHT, RIGHT, LEFT, TOP, TOP, BOTTOM, BOTTOM};

/* `n` steps away from a side of the upright picture. */
static void step(enum side side, uint32_t n, const struct picture *up, uint32_t *x, uint32_t *y)
{
    if (side == TOP)
        *y = n;
    else if (side == BOTTOM)
        *y = up->h - 1 - n;
    else if (side == LEFT)
        *x = n;
    else
        *x = up->w - 1 - n;
}

static void test_every_orientation(void **state)
{
    (void)state;
    struct picture stored = {0}, up = {0};
    picture_size(&stored, W, H);
    for (uint32_t i = 0; i < W * H * 3; i++)
        stored.rgb[i] = (uint8_t)(i * 2654435761u >> 24);
    for (unsigned o = 1; o <= 8; o++) {
        paint_turn(&stored, o, &up);
        assert_int_equal(up.w, o >= 5 ? H : W);
        assert_int_equal(up.h, o >= 5 ? W : H);
        for (uint32_t row = 0; row < H; row++) {
            for (uint32_t column = 0; column < W; column++) {
                uint32_t x = 0, y = 0;
                step(ROW_0[o], row, &up, &x, &y);
                step(COLUMN_0[o], column, &up, &x, &y);
                assert_memory_equal(up.rgb + (y * up.w + x) * 3, stored.rgb + (row * W + column) * 3, 3);
            }
        }
    }
    picture_done(&stored);
    picture_done(&up);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_orientation)};
    return cmocka_run_group_tests_name("synth_turn", tests, NULL, NULL);
}
