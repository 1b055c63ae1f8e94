/* SPDX-License-Identifier: MIT */
/* photo: one officer's JPEG, of a size and with the baggage that real ones have. */
#include "synth.h"

#include <string.h>

static const struct shape {
    uint16_t w, h;
    uint8_t weight;
    bool whole; /* a whole number of 16x16 blocks: any turn is lossless */
    const char *class;
} SHAPES[] = {
    {500, 653, 60, false, "typical"}, {496, 656, 10, true, "typical"}, {480, 640, 8, true, "typical"},
    {504, 648, 3, false, "typical"},  {413, 531, 7, false, "typical"}, {400, 512, 2, true, "typical"},
    {300, 350, 2, false, "small"},    {301, 351, 1, false, "small"},   {304, 368, 1, true, "small"},
    {600, 750, 4, false, "medium"},   {768, 1024, 3, true, "medium"},  {800, 1000, 2, false, "medium"},
    {900, 1200, 2, false, "large"},   {1200, 1600, 2, true, "large"},  {1199, 1599, 1, false, "large"},
};
#define SHAPES_N (sizeof SHAPES / sizeof *SHAPES)
static const struct shape TWELVE_MP = {3000, 4000, 0, false, "12mp"};

/* Bits a pixel that noise and quality of a believable photo can give. */
#define BPP_MIN 0.7
#define BPP_MAX 4.5

static const unsigned NOISE[] = {0, 4, 8, 16, 32, 64, 128, 256, 511};
static const int QUALITY[] = {70, 80, 88, 93, 97};
#define NOISES    (sizeof NOISE / sizeof *NOISE)
#define QUALITIES (sizeof QUALITY / sizeof *QUALITY)
static double measured[QUALITIES][NOISES]; /* bits a pixel; written once, before the threads start */

static double least(const struct options *opt)
{
    return 1024.0 * opt->kb_min;
}

/* KB means 1,024 or 1,000 bytes, as you like: sizes keep within both. */
static double most(const struct options *opt)
{
    return 1000.0 * opt->kb_max;
}

static bool fits(const struct options *opt, const struct shape *s)
{
    double pixels = (double)s->w * s->h;
    return pixels * BPP_MIN / 8 < 0.9 * most(opt) && pixels * BPP_MAX / 8 > 1.1 * least(opt);
}

void photo_init(const struct options *opt)
{
    bool any = false;
    for (size_t i = 0; i < SHAPES_N; i++)
        any |= fits(opt, &SHAPES[i]);
    if (!any)
        synth_die("no photo of 300x350 to 1200x1600 has %u to %u KB: choose another --photo-kb", opt->kb_min, opt->kb_max);

    struct picture pic = {0};
    struct bytes out = {0};
    for (size_t n = 0; n < NOISES; n++) {
        paint_officer(&pic, 320, 416, opt->seed, UINT32_MAX, NOISE[n]);
        for (size_t q = 0; q < QUALITIES; q++) {
            struct jpeg_spec spec = {.quality = QUALITY[q], .sampling = S420};
            jpeg_encode(&pic, &spec, NULL, &out);
            measured[q][n] = (double)(out.len - 620) * 8 / (320 * 416);
        }
    }
    picture_done(&pic);
    bytes_done(&out);
}

/* The noise that gives `bpp` bits a pixel at this quality, by the table. */
static unsigned noise_for(int quality, double bpp)
{
    size_t q = 0;
    while (q + 2 < QUALITIES && quality > QUALITY[q + 1])
        q++;
    double part = (double)(quality - QUALITY[q]) / (QUALITY[q + 1] - QUALITY[q]), last = 0;
    for (size_t n = 0; n < NOISES; n++) {
        double here = measured[q][n] + (measured[q + 1][n] - measured[q][n]) * part;
        if (here >= bpp) {
            if (n == 0)
                return 0;
            double between = (bpp - last) / (here - last);
            return NOISE[n - 1] + (unsigned)((between < 0 ? 0 : between) * (NOISE[n] - NOISE[n - 1]));
        }
        last = here;
    }
    return NOISE[NOISES - 1];
}

static const struct shape *choose_shape(const struct options *opt, struct rng *rng, bool only_whole)
{
    uint32_t total = 0;
    for (int pass = 0; pass < 2; pass++) {
        uint32_t at = pass ? rng_below(rng, total) : 0;
        for (size_t i = 0; i < SHAPES_N; i++) {
            if (!fits(opt, &SHAPES[i]) || (only_whole && !SHAPES[i].whole))
                continue;
            if (!pass)
                total += SHAPES[i].weight;
            else if (at < SHAPES[i].weight)
                return &SHAPES[i];
            else
                at -= SHAPES[i].weight;
        }
        if (!total) /* no whole one has this many KB */
            return choose_shape(opt, rng, false);
    }
    synth_die("no shape chosen");
}

static void choose_coding(struct rng *rng, struct jpeg_spec *spec)
{
    uint32_t sampling = rng_below(rng, 100);
    *spec = (struct jpeg_spec){.sampling = sampling < 68 ? S420 : sampling < 90 ? S444 : S422};
    spec->progressive = rng_percent(rng, 6);
    spec->gray = rng_percent(rng, 4);
    spec->optimize = rng_percent(rng, 15);
    spec->restarts = rng_percent(rng, 4);
    spec->jfif = rng_percent(rng, 60);
}

static unsigned choose_kinds(struct rng *rng, struct jpeg_spec *spec, bool needs_exif)
{
    static const struct {
        unsigned kind;
        uint8_t percent;
    } OFTEN[] = {{META_GPS, 40}, {META_THUMBNAIL, 60}, {META_SERIAL, 70},  {META_MAKERNOTE, 30},
                 {META_XMP, 15}, {META_IPTC, 10},      {META_COMMENT, 10}, {META_ICC, 20},
                 {META_MPF, 5},  {META_TRAILING, 5},   {META_JFXX, 3}};
    unsigned kinds = rng_percent(rng, 85) || needs_exif ? META_EXIF : 0;
    for (size_t i = 0; i < sizeof OFTEN / sizeof *OFTEN; i++)
        kinds |= rng_percent(rng, OFTEN[i].percent) ? OFTEN[i].kind : 0;
    if (!(kinds & META_EXIF))
        kinds &= ~(unsigned)(META_GPS | META_THUMBNAIL | META_SERIAL | META_MAKERNOTE);
    if (spec->gray)
        kinds &= ~(unsigned)META_ICC; /* the profile is for RGB */
    if (kinds & META_JFXX)
        spec->jfif = true;
    return kinds;
}

/* EXIF orientation: what is applied, and what the file says (-1: nothing; 0 is in the wild, and means nothing). */
static void choose_orientation(const struct options *opt, struct rng *rng, uint64_t index, struct photo *ph)
{
    uint32_t odd = rng_below(rng, 100);
    ph->orientation = opt->photos == PHOTOS_MIXED ? (uint8_t)(1 + index / 2 % 8) : 1;
    ph->tag = (int8_t)ph->orientation;
    if (ph->orientation == 1 && odd < 20)
        ph->tag = -1;
    else if (ph->orientation == 1 && odd < 24)
        ph->tag = 0;
}

/* As jpegtran -perfect judges: edges that would have to move to the left or the top must be whole blocks. */
static bool turns_lossless(const struct photo *ph)
{
    bool w = ph->st_w % ph->mcu_w == 0, h = ph->st_h % ph->mcu_h == 0;
    switch (ph->orientation) {
    case 2:
    case 8:
        return w;
    case 4:
    case 6:
        return h;
    case 3:
    case 7:
        return w && h;
    default:
        return true;
    }
}

static unsigned stored_turn(unsigned orientation) /* the inverse */
{
    return orientation == 6 ? 8 : orientation == 8 ? 6 : orientation;
}

/* The upright picture is turned into what the camera stored. */
static void draw(struct painter *pt, const struct shape *s, const struct photo *ph, uint64_t index, unsigned noise)
{
    struct picture *first = ph->orientation == 1 ? &pt->stored : &pt->upright;
    paint_officer(first, s->w, s->h, pt->opt->seed, index, noise);
    if (ph->orientation != 1)
        paint_turn(first, stored_turn(ph->orientation), &pt->stored);
}

/* How large the file is to be, and by what means. */
struct target {
    double lo, hi;     /* bytes of the whole file */
    double head, tail; /* bytes in front of and behind the coded picture */
    double bpp, aim;   /* bits a pixel wanted, and asked of the table */
    int quality;
    unsigned noise;
};

static void set_target(struct painter *pt, const struct shape *s, const struct meta_plan *plan, struct target *t)
{
    double pixels = (double)s->w * s->h, thumb = plan->kinds & META_THUMBED ? 3500 : 0;
    *t = (struct target){.lo = least(pt->opt), .hi = most(pt->opt), .head = 1300 + thumb, .tail = plan->trailing};
    if (s == &TWELVE_MP) {
        t->lo = 1.2e6;
        t->hi = 3.8e6;
    }
    double from = pixels * BPP_MIN / 8 > t->lo ? pixels * BPP_MIN / 8 : t->lo;
    double to = pixels * BPP_MAX / 8 < t->hi ? pixels * BPP_MAX / 8 : t->hi;
    double want = from + (to - from) * (0.08 + 0.84 * rng_below(&pt->rng, 1000) / 1000.0);
    t->bpp = t->aim = (want - t->head - t->tail) * 8 / pixels;
    int quality = 72 + (int)(t->bpp * 6) + rng_range(&pt->rng, -4, 4);
    t->quality = quality < 40 ? 40 : quality > 97 ? 97 : quality;
    t->noise = noise_for(t->quality, t->aim);
}

/* Encode what is drawn, look at the size, draw again a little noisier or quieter. Nearly always the first try is in range. */
static void encode_to_size(struct painter *pt, const struct shape *s, struct photo *ph, uint64_t index, struct target *t)
{
    double pixels = (double)s->w * s->h;
    for (int attempt = 0; attempt < 12; attempt++) {
        ph->spec.quality = t->quality;
        if (attempt)
            draw(pt, s, ph, index, t->noise);
        jpeg_encode(&pt->stored, &ph->spec, &pt->segs, &pt->jpeg);
        double size = (double)pt->jpeg.len + t->tail;
        if (size >= t->lo && size <= t->hi)
            return;
        t->aim *= t->bpp / ((size - t->head - t->tail) * 8 / pixels);
        if (t->noise == 0 && size > t->hi)
            t->quality -= 6;
        if (t->noise == NOISE[NOISES - 1] && size < t->lo && t->quality < 97)
            t->quality++;
        /* Near a limit it may come to rest beyond it: then aim further inside. */
        if (attempt >= 3)
            t->aim *= size > t->hi ? 0.95 : 1.05;
        t->noise = noise_for(t->quality, t->aim);
    }
    synth_die("record %llu: no photo of %ux%u came out between %.0f and %.0f bytes", (unsigned long long)index + 1, s->w,
              s->h, t->lo, t->hi);
}

static void write_truth(struct painter *pt, const struct photo *ph, const char *warrant, const char *dir)
{
    char name[64];
    struct bytes ppm = {0};
    jpeg_decode(pt->jpeg.data, pt->jpeg.len, &pt->stored);
    paint_turn(&pt->stored, ph->orientation, &pt->upright);
    bytes_printf(&ppm, "P6\n%u %u\n255\n", pt->upright.w, pt->upright.h);
    bytes_put(&ppm, pt->upright.rgb, (size_t)pt->upright.w * pt->upright.h * 3);
    snprintf(name, sizeof name, "truth/photos/%.12s.ppm", warrant);
    synth_write(dir, name, ppm.data, ppm.len);
    bytes_done(&ppm);
}

static void fill_in(const struct painter *pt, const struct shape *s, const struct meta_plan *plan, struct photo *ph)
{
    bool turned = ph->orientation >= 5;
    ph->up_w = s->w;
    ph->up_h = s->h;
    ph->st_w = turned ? s->h : s->w;
    ph->st_h = turned ? s->w : s->h;
    ph->mcu_w = ph->spec.gray || ph->spec.sampling == S444 ? 8 : 16;
    ph->mcu_h = !ph->spec.gray && ph->spec.sampling == S420 ? 16 : 8;
    ph->lossless = turns_lossless(ph);
    ph->kinds = plan->kinds;
    ph->lat = (float)plan->lat;
    ph->lon = (float)plan->lon;
    memcpy(ph->serial, plan->serial, sizeof ph->serial);
    ph->size_class = s->class;
    ph->bytes = (uint32_t)pt->jpeg.len;
    size_t end, at = jpeg_scan_offset(pt->jpeg.data, pt->jpeg.len, &end);
    if (end - at < 64)
        synth_die("a scan of %zu bytes is no photo", end - at);
    memcpy(ph->fragment, pt->jpeg.data + at + (end - at) / 2, sizeof ph->fragment);
}

void photo_make(struct painter *pt, uint64_t index, const struct person *p, const char *dir, struct photo *ret)
{
    const struct options *opt = pt->opt;
    struct photo ph = {.made = true, .stamp = paint_stamp(opt->seed, index)};
    struct meta_plan plan;
    rng_init(&pt->rng, opt->seed, STREAM_PHOTO, index);
    choose_orientation(opt, &pt->rng, index, &ph);
    choose_coding(&pt->rng, &ph.spec);
    unsigned kinds = choose_kinds(&pt->rng, &ph.spec, ph.orientation != 1 || ph.tag == 0);
    const struct shape *s = choose_shape(opt, &pt->rng, opt->photos == PHOTOS_MIXED && index % 2 == 0);
    uint32_t ext = rng_below(&pt->rng, 100);
    if (p->large)
        s = &TWELVE_MP;
    if (!(kinds & META_EXIF))
        ph.tag = -1;
    meta_plan(&pt->rng, &plan, kinds, ph.tag, p->v[F_NAME_ON_CARD]);
    plan.w = ph.orientation >= 5 ? s->h : s->w;
    plan.h = ph.orientation >= 5 ? s->w : s->h;

    struct target target;
    set_target(pt, s, &plan, &target);
    draw(pt, s, &ph, index, target.noise);
    pt->thumb.len = 0;
    if (kinds & META_THUMBED) { /* of the picture as stored: a leak of the face if it stays */
        paint_shrink(&pt->stored, 160, &pt->small);
        jpeg_encode(&pt->small, &(struct jpeg_spec){.quality = 78, .sampling = S420}, NULL, &pt->thumb);
    }
    meta_segments(&pt->rng, &plan, &pt->thumb, &pt->segs);
    if (kinds & META_MPF)
        target.tail += (double)pt->thumb.len;
    encode_to_size(pt, s, &ph, index, &target);
    meta_trailer(&pt->rng, &plan, &pt->thumb, &pt->jpeg);
    fill_in(pt, s, &plan, &ph);

    const char *dot = opt->photos != PHOTOS_MIXED || ext >= 6 ? "jpg" : ext < 3 ? "JPG" : "jpeg";
    snprintf(ph.file, sizeof ph.file, "photos/%.12s.%s", p->v[F_WARRANT_NO], dot);
    synth_write(dir, ph.file, pt->jpeg.data, pt->jpeg.len);
    if (opt->truth_photos)
        write_truth(pt, &ph, p->v[F_WARRANT_NO], dir);
    *ret = ph;
}

void photo_json(struct bytes *out, const struct photo *ph)
{
    static const char *const SAMPLING[] = {"420", "444", "422"};
    if (!ph->made) {
        bytes_puts(out, "null");
        return;
    }
    bytes_printf(out, "{\"file\": \"%s\", \"bytes\": %u, \"orientation\": %u, \"tag\": ", ph->file, ph->bytes,
                 ph->orientation);
    bytes_printf(out, ph->tag < 0 ? "null" : "%d", ph->tag);
    bytes_printf(out, ", \"width\": %u, \"height\": %u, \"stored_width\": %u, \"stored_height\": %u", ph->up_w, ph->up_h,
                 ph->st_w, ph->st_h);
    bytes_printf(out, ", \"sampling\": \"%s\", \"mcu\": [%u, %u], \"lossless_turn\": %s",
                 ph->spec.gray ? "gray" : SAMPLING[ph->spec.sampling], ph->mcu_w, ph->mcu_h,
                 ph->lossless ? "true" : "false");
    bytes_printf(out, ", \"progressive\": %s, \"restarts\": %s, \"quality\": %d, \"size_class\": \"%s\", \"needs_fit\": %s",
                 ph->spec.progressive ? "true" : "false", ph->spec.restarts ? "true" : "false", ph->spec.quality,
                 ph->size_class, ph->up_w > 1200 ? "true" : "false");
    bytes_puts(out, ", \"metadata\": [");
    const char *sep = "";
    for (unsigned i = 0; i < META_KINDS; i++) {
        if (ph->kinds >> i & 1) {
            bytes_printf(out, "%s\"%s\"", sep, META_NAMES[i]);
            sep = ", ";
        }
    }
    bytes_puts(out, "]");
    if (ph->kinds & META_GPS)
        bytes_printf(out, ", \"gps\": [%.4f, %.4f]", (double)ph->lat, (double)ph->lon);
    if (ph->kinds & (META_SERIAL | META_XMP | META_COMMENT | META_MAKERNOTE | META_TRAILING))
        bytes_printf(out, ", \"serial\": \"%s\"", ph->serial);
    bytes_printf(out, ", \"stamp\": \"%010llx\", \"fragment\": \"", (unsigned long long)ph->stamp);
    for (size_t i = 0; i < sizeof ph->fragment; i++)
        bytes_printf(out, "%02x", ph->fragment[i]);
    bytes_puts(out, "\"}");
}

void painter_done(struct painter *pt)
{
    picture_done(&pt->upright);
    picture_done(&pt->stored);
    picture_done(&pt->small);
    bytes_done(&pt->jpeg);
    bytes_done(&pt->thumb);
    segments_done(&pt->segs);
}
