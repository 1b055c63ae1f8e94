/* SPDX-License-Identifier: MIT */
/*
 * paint: pictures of people who do not exist.
 *
 * A base picture (background, shoulders, hair, head) is drawn once for each size and variant and kept; what is one officer's own
 * (features, light, noise, stamp) is drawn on a copy. Colour changes softly everywhere, so that chroma subsampling costs little and
 * a picture that was turned and encoded once more can be compared with its source; edges that are sharp are grey.
 */
#include "synth.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct colour {
    float c[3];
};

struct base {
    struct base *next;
    uint32_t w, h, variant;
    float cx, cy, rx, ry; /* the head */
    struct colour skin, hair;
    uint8_t *rgb;
};

#define TILE_W 2048u
#define TILE_H 1024u

static struct {
    pthread_mutex_t lock; /* guards the list; a base is never changed once it is on it */
    struct base *bases;
    int8_t *noise; /* TILE_H rows of TILE_W grey pixels of 3 equal bytes, about Gaussian, deviation 28 */
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER};

void picture_size(struct picture *pic, uint32_t w, uint32_t h)
{
    size_t need = (size_t)w * h * 3;
    if (need > pic->cap) {
        free(pic->rgb);
        pic->rgb = synth_alloc(need);
        pic->cap = need;
    }
    pic->w = w;
    pic->h = h;
}

void picture_done(struct picture *pic)
{
    free(pic->rgb);
    *pic = (struct picture){0};
}

void paint_init(uint64_t seed)
{
    struct rng rng;
    rng_init(&rng, seed, STREAM_NOISE, 0);
    pool.noise = synth_alloc((size_t)TILE_W * TILE_H * 3);
    for (size_t i = 0; i < (size_t)TILE_W * TILE_H; i++) {
        uint64_t r = rng_next(&rng);
        int sum = (int)(r & 63) + (int)(r >> 8 & 63) + (int)(r >> 16 & 63) + (int)(r >> 24 & 63) - 126;
        memset(pool.noise + i * 3, (uint8_t)(sum * 3 / 4), 3);
    }
}

void paint_done(void)
{
    while (pool.bases) {
        struct base *next = pool.bases->next;
        free(pool.bases->rgb);
        free(pool.bases);
        pool.bases = next;
    }
    free(pool.noise);
    pool.noise = NULL;
}

static int clamp(int v, int lo, int hi)
{
    return v < lo ? lo : v > hi ? hi : v;
}

/* Filled ellipse; `edge` is about how many pixels wide its border fades, `shade` darkens towards lower right. */
static void ellipse(struct picture *pic, float cx, float cy, float rx, float ry, struct colour col, float edge, float shade)
{
    int x0 = clamp((int)(cx - rx), 0, (int)pic->w), x1 = clamp((int)(cx + rx) + 2, 0, (int)pic->w);
    int y0 = clamp((int)(cy - ry), 0, (int)pic->h), y1 = clamp((int)(cy + ry) + 2, 0, (int)pic->h);
    float soft = rx / (2.0f * edge);
    for (int y = y0; y < y1; y++) {
        float dy = ((float)y - cy) / ry;
        uint8_t *p = pic->rgb + ((size_t)y * pic->w + (size_t)x0) * 3;
        for (int x = x0; x < x1; x++, p += 3) {
            float dx = ((float)x - cx) / rx, e = dx * dx + dy * dy;
            if (e >= 1.0f)
                continue;
            float a = (1.0f - e) * soft, light = 1.0f - shade * (0.25f * dx + 0.25f * dy + 0.5f * e);
            if (a > 1.0f)
                a = 1.0f;
            for (size_t k = 0; k < 3; k++) {
                float to = col.c[k] * light;
                p[k] = (uint8_t)clamp((int)((float)p[k] + (to - (float)p[k]) * a + 0.5f), 0, 255);
            }
        }
    }
}

static struct colour pick_colour(struct rng *rng, const uint8_t (*list)[3], uint32_t n)
{
    uint32_t i = rng_below(rng, n);
    struct colour col;
    for (size_t k = 0; k < 3; k++)
        col.c[k] = (float)(list[i][k] + rng_range(rng, -5, 5));
    return col;
}

static void background(struct picture *pic, struct rng *rng)
{
    static const uint8_t LIST[][3] = {{208, 214, 220}, {188, 200, 214}, {222, 218, 208}, {170, 186, 204}, {230, 230, 228}};
    struct colour top = pick_colour(rng, LIST, 5);
    float fall = 0.12f + 0.03f * (float)rng_below(rng, 6);
    for (uint32_t y = 0; y < pic->h; y++) {
        float v = 1.0f - fall * (float)y / (float)pic->h;
        uint8_t *p = pic->rgb + (size_t)y * pic->w * 3;
        for (uint32_t x = 0; x < pic->w; x++, p += 3) {
            float light = v * (1.0f + 0.08f * (0.5f - (float)x / (float)pic->w));
            for (size_t k = 0; k < 3; k++)
                p[k] = (uint8_t)clamp((int)(top.c[k] * light + 0.5f), 0, 255);
        }
    }
}

static void base_draw(struct base *b, uint64_t seed)
{
    static const uint8_t SKIN[][3] = {{241, 208, 184}, {232, 190, 162}, {214, 168, 136}, {190, 140, 106},
                                      {160, 112, 80},  {128, 86, 60},   {98, 66, 48},    {224, 182, 150}};
    static const uint8_t HAIR[][3] = {{38, 30, 26},   {62, 44, 32},    {96, 66, 42},
                                      {150, 112, 70}, {120, 116, 112}, {26, 24, 26}};
    static const uint8_t CLOTH[][3] = {{34, 38, 52}, {28, 30, 36}, {44, 54, 74}};
    struct rng rng;
    rng_init(&rng, seed, STREAM_FACE, b->variant);
    struct picture pic = {.w = b->w, .h = b->h, .rgb = b->rgb};
    float w = (float)b->w, h = (float)b->h, edge = w / 160.0f + 1.0f;
    background(&pic, &rng);
    b->skin = pick_colour(&rng, SKIN, 8);
    b->hair = pick_colour(&rng, HAIR, 6);
    b->cx = w * (0.47f + 0.01f * (float)rng_below(&rng, 7));
    b->cy = h * (0.40f + 0.01f * (float)rng_below(&rng, 5));
    b->rx = w * (0.21f + 0.01f * (float)rng_below(&rng, 5));
    b->ry = h * (0.23f + 0.01f * (float)rng_below(&rng, 4));
    bool long_hair = rng_percent(&rng, 45);
    struct colour cloth = pick_colour(&rng, CLOTH, 3), shirt = {{226, 230, 234}};
    struct colour neck = b->skin;
    for (size_t k = 0; k < 3; k++)
        neck.c[k] *= 0.86f;
    if (long_hair)
        ellipse(&pic, b->cx, b->cy + b->ry * 0.35f, b->rx * 1.35f, b->ry * 1.35f, b->hair, edge * 2, 0.25f);
    ellipse(&pic, b->cx, h * 1.08f, w * 0.52f, h * 0.36f, cloth, edge, 0.2f);
    ellipse(&pic, b->cx, b->cy + b->ry * 1.15f, b->rx * 0.55f, b->ry * 0.55f, neck, edge, 0.15f);
    ellipse(&pic, b->cx, h * 0.90f, w * 0.12f, h * 0.12f, shirt, edge, 0.1f);
    ellipse(&pic, b->cx, h * 0.95f, w * 0.028f, h * 0.15f, cloth, edge, 0.0f);
    ellipse(&pic, b->cx, b->cy - b->ry * 0.22f, b->rx * 1.12f, b->ry * 0.98f, b->hair, edge * 2, 0.25f);
    ellipse(&pic, b->cx, b->cy + b->ry * 0.08f, b->rx, b->ry * 0.95f, b->skin, edge * 1.5f, 0.22f);
}

static const struct base *base_get(uint32_t w, uint32_t h, uint64_t seed, uint32_t draw)
{
    uint32_t variant = draw % ((uint64_t)w * h > 2000000u ? 2 : 6);
    pthread_mutex_lock(&pool.lock);
    struct base *b = pool.bases;
    while (b && (b->w != w || b->h != h || b->variant != variant))
        b = b->next;
    if (!b) {
        b = synth_alloc(sizeof *b);
        *b = (struct base){.next = pool.bases, .w = w, .h = h, .variant = variant, .rgb = synth_alloc((size_t)w * h * 3)};
        base_draw(b, seed);
        pool.bases = b;
    }
    pthread_mutex_unlock(&pool.lock);
    return b;
}

static void features(struct picture *pic, const struct base *b, struct rng *rng)
{
    float rx = b->rx, ry = b->ry, edge = rx / 40.0f + 0.8f;
    float apart = rx * (0.36f + 0.01f * (float)rng_below(rng, 12)), level = b->cy - ry * 0.02f * (float)rng_below(rng, 8);
    float eye = rx * (0.13f + 0.01f * (float)rng_below(rng, 6)), tilt = ry * 0.004f * (float)rng_range(rng, -6, 6);
    static const uint8_t IRIS[][3] = {{70, 50, 36}, {84, 104, 120}, {92, 100, 70}, {50, 40, 34}};
    struct colour white = {{236, 234, 230}}, black = {{24, 22, 22}}, iris = pick_colour(rng, IRIS, 4), dark = b->skin,
                  lips = b->skin;
    for (size_t k = 0; k < 3; k++)
        dark.c[k] *= 0.80f;
    lips.c[0] *= 0.84f;
    lips.c[1] *= 0.66f;
    lips.c[2] *= 0.68f;
    bool glasses = rng_percent(rng, 25), beard = rng_percent(rng, 25);
    float mouth = b->cy + ry * (0.50f + 0.01f * (float)rng_below(rng, 8)),
          wide = rx * (0.26f + 0.01f * (float)rng_below(rng, 14));
    if (beard)
        ellipse(pic, b->cx, mouth + ry * 0.1f, rx * 0.62f, ry * 0.36f, b->hair, edge * 5, 0.1f);
    for (int side = -1; side <= 1; side += 2) {
        float x = b->cx + (float)side * apart, y = level + (float)side * tilt;
        if (glasses) {
            ellipse(pic, x, y, eye * 1.9f, eye * 1.6f, black, edge, 0.0f);
            ellipse(pic, x, y, eye * 1.7f, eye * 1.4f, b->skin, edge, 0.1f);
        }
        ellipse(pic, x, y - eye * 1.5f, eye * 1.4f, eye * 0.32f, b->hair, edge, 0.0f);
        ellipse(pic, x, y, eye, eye * 0.55f, white, edge, 0.1f);
        ellipse(pic, x, y, eye * 0.48f, eye * 0.5f, iris, edge, 0.0f);
        ellipse(pic, x, y, eye * 0.2f, eye * 0.22f, black, edge, 0.0f);
    }
    float nose = 0.07f + 0.01f * (float)rng_below(rng, 8);
    ellipse(pic, b->cx + rx * 0.05f, b->cy + ry * 0.22f, rx * nose, ry * 0.2f, dark, edge * 2, 0.0f);
    ellipse(pic, b->cx, mouth, wide, ry * 0.065f, lips, edge, 0.2f);
    ellipse(pic, b->cx, mouth, wide * 0.85f, ry * 0.012f + 1.0f, black, edge, 0.0f);
}

/* One run of bytes, kept this plain for the compiler to do many at once. */
static void expose_run(uint8_t *restrict p, const int8_t *restrict noise, const int16_t *restrict gain, size_t n, int much,
                       int offset)
{
    for (size_t i = 0; i < n; i++) {
        int v = ((p[i] * gain[i]) >> 7) + ((noise[i] * much) >> 8) + offset;
        p[i] = (uint8_t)clamp(v, 0, 255);
    }
}

/* Light of the day on every pixel, and noise, which is what gives a photo its size. In place. */
static void expose(struct picture *pic, struct rng *rng, unsigned noise)
{
    int16_t gain[TILE_W * 3], one[3];
    int offset = rng_range(rng, -10, 10), level = rng_range(rng, 118, 134);
    for (size_t k = 0; k < 3; k++)
        one[k] = (int16_t)(level + rng_range(rng, -2, 2));
    for (size_t i = 0; i < TILE_W * 3; i++)
        gain[i] = one[i % 3];
    uint32_t row = rng_below(rng, TILE_H);
    for (uint32_t y = 0; y < pic->h; y++) {
        uint8_t *p = pic->rgb + (size_t)y * pic->w * 3;
        const int8_t *tile = pool.noise + (size_t)((row + y) % TILE_H) * TILE_W * 3;
        uint32_t at = rng_below(rng, TILE_W);
        for (uint32_t x = 0; x < pic->w;) {
            uint32_t run = pic->w - x < TILE_W - at ? pic->w - x : TILE_W - at;
            expose_run(p + (size_t)x * 3, tile + (size_t)at * 3, gain, (size_t)run * 3, (int)noise, offset);
            x += run;
            at = 0;
        }
    }
}

uint64_t paint_stamp(uint64_t seed, uint64_t index)
{
    struct rng rng;
    rng_init(&rng, seed, STREAM_STAMP, index);
    return (index & 0xffffff) << 16 | (rng_next(&rng) & 0xffff);
}

static void stamp(struct picture *pic, uint64_t bits)
{
    uint32_t c = pic->w / 60 < 5 ? 5 : pic->w / 60, x0 = pic->w / 25, y0 = pic->h - pic->h / 25 - 5 * c;
    for (uint32_t y = 0; y < 7 * c; y++) {
        uint8_t *p = pic->rgb + ((size_t)(y0 - c + y) * pic->w + x0 - c) * 3;
        for (uint32_t x = 0; x < 10 * c; x++, p += 3) {
            bool border = x < c || x >= 9 * c || y < c || y >= 6 * c;
            uint32_t cell = border ? 0 : (y / c - 1) * 8 + (x / c - 1);
            memset(p, border ? 128 : bits >> (39 - cell) & 1 ? 208 : 48, 3);
        }
    }
}

void paint_officer(struct picture *pic, uint32_t w, uint32_t h, uint64_t seed, uint64_t index, unsigned noise)
{
    struct rng rng;
    rng_init(&rng, seed, STREAM_FACE, index | (uint64_t)1 << 40);
    const struct base *b = base_get(w, h, seed, rng_below(&rng, 1000000));
    picture_size(pic, w, h);
    memcpy(pic->rgb, b->rgb, (size_t)w * h * 3);
    features(pic, b, &rng);
    expose(pic, &rng, noise);
    stamp(pic, paint_stamp(seed, index));
}

void paint_turn(const struct picture *from, unsigned orientation, struct picture *to)
{
    /* Where in the stored picture the first upright pixel is, and what one step right and one step down mean there. */
    ptrdiff_t right = 3, down = (ptrdiff_t)from->w * 3, origin = 0;
    ptrdiff_t last_x = (ptrdiff_t)(from->w - 1) * 3, last_y = (ptrdiff_t)(from->h - 1) * (ptrdiff_t)from->w * 3, t;
    bool swap = orientation >= 5;
    bool from_right = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
    bool from_bottom = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
    if (from_right) {
        origin += last_x;
        right = -right;
    }
    if (from_bottom) {
        origin += last_y;
        down = -down;
    }
    if (swap) {
        t = right;
        right = down;
        down = t;
    }
    picture_size(to, swap ? from->h : from->w, swap ? from->w : from->h);
    /* In blocks, so that both sides stay in the cache. */
    for (uint32_t by = 0; by < to->h; by += 32) {
        for (uint32_t bx = 0; bx < to->w; bx += 32) {
            uint32_t ey = by + 32 < to->h ? by + 32 : to->h, ex = bx + 32 < to->w ? bx + 32 : to->w;
            for (uint32_t y = by; y < ey; y++) {
                uint8_t *d = to->rgb + ((size_t)y * to->w + bx) * 3;
                const uint8_t *s = from->rgb + origin + (ptrdiff_t)y * down + (ptrdiff_t)bx * right;
                for (uint32_t x = bx; x < ex; x++, d += 3, s += right) {
                    d[0] = s[0];
                    d[1] = s[1];
                    d[2] = s[2];
                }
            }
        }
    }
}

void paint_shrink(const struct picture *from, uint32_t longest, struct picture *to)
{
    uint32_t big = from->w > from->h ? from->w : from->h;
    picture_size(to, (from->w * longest + big - 1) / big, (from->h * longest + big - 1) / big);
    for (uint32_t y = 0; y < to->h; y++) {
        const uint8_t *row = from->rgb + (size_t)(y * from->h / to->h) * from->w * 3;
        uint8_t *d = to->rgb + (size_t)y * to->w * 3;
        for (uint32_t x = 0; x < to->w; x++, d += 3)
            memcpy(d, row + (size_t)(x * from->w / to->w) * 3, 3);
    }
}
