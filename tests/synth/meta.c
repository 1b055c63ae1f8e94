/* SPDX-License-Identifier: MIT */
/*
 * meta: what cameras and picture programs put into a JPEG besides the picture.
 *
 * EXIF 2.3 (TIFF inside APP1) with GPS and thumbnail, XMP, IPTC-IIM, comment, ICC.1:2001 profile, CIPA DC-007 multi-picture format, JFIF
 * extension thumbnail, bytes after the end.
 */
#include "synth.h"

#include <string.h>

const char *const META_NAMES[META_KINDS] = {"exif", "gps",     "thumbnail", "serial", "makernote", "xmp",
                                            "iptc", "comment", "icc",       "mpf",    "trailing",  "jfxx"};

static const char *const CAMERAS[][2] = {{"Canon", "Canon EOS 2000D"},
                                         {"NIKON CORPORATION", "NIKON D3500"},
                                         {"Apple", "iPhone 13"},
                                         {"samsung", "SM-G991B"},
                                         {"FUJIFILM", "X-T30"}};

/* --------------------------------------------------------------------------------------------------------------- TIFF */

struct tiff {
    struct bytes *out;
    size_t base; /* of the TIFF header in out */
    bool big;
};

struct entry {
    uint16_t tag, type;
    uint32_t count;
    uint8_t data[320];
    uint32_t len;
};

struct ifd {
    struct entry e[20];
    uint16_t n;
    bool big;
};

enum { T_BYTE = 1, T_ASCII = 2, T_SHORT = 3, T_LONG = 4, T_RATIONAL = 5, T_UNDEFINED = 7 };

static void put16(uint8_t *d, uint16_t v, bool big)
{
    d[big ? 0 : 1] = (uint8_t)(v >> 8);
    d[big ? 1 : 0] = (uint8_t)v;
}

static void put32(uint8_t *d, uint32_t v, bool big)
{
    put16(d + (big ? 0 : 2), (uint16_t)(v >> 16), big);
    put16(d + (big ? 2 : 0), (uint16_t)v, big);
}

static void tiff16(struct tiff *t, uint16_t v)
{
    uint8_t d[2];
    put16(d, v, t->big);
    bytes_put(t->out, d, 2);
}

static void tiff32(struct tiff *t, uint32_t v)
{
    uint8_t d[4];
    put32(d, v, t->big);
    bytes_put(t->out, d, 4);
}

static struct entry *entry(struct ifd *ifd, uint16_t tag, uint16_t type, uint32_t count)
{
    if (ifd->n == sizeof ifd->e / sizeof *ifd->e)
        synth_die("too many EXIF tags");
    struct entry *e = &ifd->e[ifd->n++];
    memset(e, 0, sizeof *e);
    e->tag = tag;
    e->type = type;
    e->count = count;
    return e;
}

static void ascii(struct ifd *ifd, uint16_t tag, const char *s)
{
    size_t len = strlen(s) + 1;
    struct entry *e = entry(ifd, tag, T_ASCII, (uint32_t)len);
    if (len > sizeof e->data)
        synth_die("EXIF text too long");
    memcpy(e->data, s, len);
    e->len = (uint32_t)len;
}

static void number(struct ifd *ifd, uint16_t tag, uint16_t type, uint32_t v)
{
    struct entry *e = entry(ifd, tag, type, 1);
    e->len = type == T_SHORT ? 2 : 4;
    if (type == T_SHORT)
        put16(e->data, (uint16_t)v, ifd->big);
    else
        put32(e->data, v, ifd->big);
}

static void rational(struct ifd *ifd, uint16_t tag, uint32_t count, const uint32_t (*v)[2])
{
    struct entry *e = entry(ifd, tag, T_RATIONAL, count);
    for (uint32_t i = 0; i < count; i++) {
        put32(e->data + i * 8, v[i][0], ifd->big);
        put32(e->data + i * 8 + 4, v[i][1], ifd->big);
    }
    e->len = count * 8;
}

static void raw(struct ifd *ifd, uint16_t tag, uint16_t type, const void *data, uint32_t len)
{
    struct entry *e = entry(ifd, tag, type, len);
    memcpy(e->data, data, len);
    e->len = len;
}

static uint32_t ifd_size(const struct ifd *ifd)
{
    uint32_t size = 2 + 12u * ifd->n + 4;
    for (size_t i = 0; i < ifd->n; i++)
        size += ifd->e[i].len > 4 ? (ifd->e[i].len + 1) & ~1u : 0;
    return size;
}

static void ifd_write(struct tiff *t, const struct ifd *ifd, uint32_t next)
{
    uint32_t at = (uint32_t)(t->out->len - t->base), far = at + 2 + 12u * ifd->n + 4;
    tiff16(t, ifd->n);
    for (size_t i = 0; i < ifd->n; i++) {
        const struct entry *e = &ifd->e[i];
        tiff16(t, e->tag);
        tiff16(t, e->type);
        tiff32(t, e->count);
        if (e->len > 4) {
            tiff32(t, far);
            far += (e->len + 1) & ~1u;
        } else {
            bytes_put(t->out, e->data, 4);
        }
    }
    tiff32(t, next);
    for (size_t i = 0; i < ifd->n; i++)
        if (ifd->e[i].len > 4)
            bytes_put(t->out, ifd->e[i].data, (ifd->e[i].len + 1) & ~1u);
}

static void tiff_start(struct tiff *t)
{
    t->base = t->out->len;
    bytes_puts(t->out, t->big ? "MM" : "II");
    tiff16(t, 42);
    tiff32(t, 8);
}

/* --------------------------------------------------------------------------------------------------------------- EXIF */

static void degrees(struct ifd *gps, uint16_t tag, double v)
{
    uint32_t thousandths = (uint32_t)((v < 0 ? -v : v) * 3600000.0);
    const uint32_t dms[3][2] = {{thousandths / 3600000, 1}, {thousandths / 60000 % 60, 1}, {thousandths % 60000, 1000}};
    rational(gps, tag, 3, dms);
}

static void main_ifd(struct ifd *ifd, struct rng *rng, const struct meta_plan *plan, const char *when)
{
    const char *const *camera = CAMERAS[rng_below(rng, sizeof CAMERAS / sizeof *CAMERAS)];
    ascii(ifd, 0x010f, camera[0]);
    ascii(ifd, 0x0110, camera[1]);
    if (plan->orientation >= 0)
        number(ifd, 0x0112, T_SHORT, (uint32_t)plan->orientation);
    rational(ifd, 0x011a, 1, (const uint32_t[1][2]){{300, 1}});
    rational(ifd, 0x011b, 1, (const uint32_t[1][2]){{300, 1}});
    number(ifd, 0x0128, T_SHORT, 2);
    ascii(ifd, 0x0131, "ID Capture Suite 7.2");
    ascii(ifd, 0x0132, when);
    ascii(ifd, 0x013b, plan->author);
    number(ifd, 0x0213, T_SHORT, 1);
}

static void exif_ifd(struct ifd *ifd, struct rng *rng, const struct meta_plan *plan, const char *when)
{
    rational(ifd, 0x829a, 1, (const uint32_t[1][2]){{1, 60 + rng_below(rng, 200)}});
    rational(ifd, 0x829d, 1, (const uint32_t[1][2]){{18 + rng_below(rng, 60), 10}});
    number(ifd, 0x8827, T_SHORT, 100u << rng_below(rng, 5));
    raw(ifd, 0x9000, T_UNDEFINED, "0230", 4);
    ascii(ifd, 0x9003, when);
    ascii(ifd, 0x9004, when);
    raw(ifd, 0x9101, T_UNDEFINED, "\1\2\3\0", 4);
    if (plan->kinds & META_MAKERNOTE) {
        uint8_t note[240];
        for (size_t i = 0; i < sizeof note; i++)
            note[i] = (uint8_t)rng_below(rng, 256);
        memcpy(note, plan->serial, strlen(plan->serial));
        raw(ifd, 0x927c, T_UNDEFINED, note, sizeof note);
    }
    raw(ifd, 0xa000, T_UNDEFINED, "0100", 4);
    number(ifd, 0xa001, T_SHORT, 1);
    number(ifd, 0xa002, T_LONG, plan->w);
    number(ifd, 0xa003, T_LONG, plan->h);
    if (plan->kinds & META_SERIAL) {
        ascii(ifd, 0xa430, plan->author);
        ascii(ifd, 0xa431, plan->serial);
    }
}

static void gps_ifd(struct ifd *ifd, struct rng *rng, const struct meta_plan *plan)
{
    raw(ifd, 0x0000, T_BYTE, "\2\3\0\0", 4);
    ascii(ifd, 0x0001, plan->lat < 0 ? "S" : "N");
    degrees(ifd, 0x0002, plan->lat);
    ascii(ifd, 0x0003, plan->lon < 0 ? "W" : "E");
    degrees(ifd, 0x0004, plan->lon);
    rational(ifd, 0x0006, 1, (const uint32_t[1][2]){{rng_below(rng, 3000), 10}});
    ascii(ifd, 0x001d, "2026:03:14");
}

static void exif(struct rng *rng, const struct meta_plan *plan, const struct bytes *thumb, struct bytes *out)
{
    struct ifd zero = {.big = plan->big_endian}, sub = zero, gps = zero, one = zero;
    struct tiff t = {.out = out, .big = plan->big_endian};
    bool has_thumb = plan->kinds & META_THUMBNAIL, has_gps = plan->kinds & META_GPS;
    static const unsigned UNITS[6] = {7, 12, 28, 24, 60, 60};
    unsigned d[6];
    char when[24];
    for (size_t i = 0; i < 6; i++)
        d[i] = rng_below(rng, UNITS[i]);
    snprintf(when, sizeof when, "202%u:%02u:%02u %02u:%02u:%02u", d[0] % 10, 1 + d[1] % 12, 1 + d[2] % 28, d[3] % 24,
             d[4] % 60, d[5] % 60);
    main_ifd(&zero, rng, plan, when);
    exif_ifd(&sub, rng, plan, when);
    gps_ifd(&gps, rng, plan);
    /* Where each part goes follows from sizes, which do not depend on the offsets put in: numbers first, values after. */
    number(&zero, 0x8769, T_LONG, 0);
    if (has_gps)
        number(&zero, 0x8825, T_LONG, 0);
    uint32_t sub_at = 8 + ifd_size(&zero), gps_at = sub_at + ifd_size(&sub),
             one_at = gps_at + (has_gps ? ifd_size(&gps) : 0);
    put32(zero.e[zero.n - (has_gps ? 2 : 1)].data, sub_at, zero.big);
    if (has_gps)
        put32(zero.e[zero.n - 1].data, gps_at, zero.big);
    number(&one, 0x0103, T_SHORT, 6);
    rational(&one, 0x011a, 1, (const uint32_t[1][2]){{72, 1}});
    rational(&one, 0x011b, 1, (const uint32_t[1][2]){{72, 1}});
    number(&one, 0x0128, T_SHORT, 2);
    number(&one, 0x0201, T_LONG, 0);
    number(&one, 0x0202, T_LONG, (uint32_t)thumb->len);
    put32(one.e[one.n - 2].data, one_at + ifd_size(&one), one.big);

    bytes_put(out, "Exif\0", 6);
    tiff_start(&t);
    ifd_write(&t, &zero, has_thumb ? one_at : 0);
    ifd_write(&t, &sub, 0);
    if (has_gps)
        ifd_write(&t, &gps, 0);
    if (has_thumb) {
        ifd_write(&t, &one, 0);
        bytes_put(out, thumb->data, thumb->len);
    }
}

/* -------------------------------------------------------------------------------------------------------- other segments */

static void xmp(const struct meta_plan *plan, struct bytes *out)
{
    bytes_put(out, "http://ns.adobe.com/xap/1.0/", 29);
    bytes_printf(out,
                 "<?xpacket begin=\"\xef\xbb\xbf\" id=\"W5M0MpCehiHzreSzNTczkc9d\"?><x:xmpmeta xmlns:x=\"adobe:ns:meta/\">"
                 "<rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\"><rdf:Description rdf:about=\"\""
                 " xmlns:dc=\"http://purl.org/dc/elements/1.1/\" xmlns:aux=\"http://ns.adobe.com/exif/1.0/aux/\""
                 " aux:SerialNumber=\"%s\"><dc:creator><rdf:Seq><rdf:li>",
                 plan->serial);
    for (const char *s = plan->author; *s; s++) { /* a name may hold what XML does not */
        if (*s == '<' || *s == '&' || *s == '"')
            bytes_printf(out, "&#%d;", *s);
        else
            bytes_put(out, s, 1);
    }
    bytes_puts(out, "</rdf:li></rdf:Seq></dc:creator></rdf:Description></rdf:RDF></x:xmpmeta>\n<?xpacket end=\"w\"?>");
}

static void iptc_record(struct bytes *out, unsigned number, const char *text)
{
    uint8_t head[3] = {0x1c, 2, (uint8_t)number};
    bytes_put(out, head, 3);
    bytes_be16(out, (unsigned)strlen(text));
    bytes_puts(out, text);
}

static void iptc(const struct meta_plan *plan, struct bytes *out)
{
    struct bytes records = {0};
    iptc_record(&records, 80, plan->author);
    iptc_record(&records, 120, "Warrant card portrait");
    iptc_record(&records, 90, "Custody suite 4");
    bytes_put(out, "Photoshop 3.0", 14);
    bytes_puts(out, "8BIM");
    bytes_be16(out, 0x0404);
    bytes_be16(out, 0);
    bytes_be32(out, (uint32_t)records.len);
    bytes_put(out, records.data, records.len);
    if (records.len & 1)
        bytes_put(out, "", 1);
    bytes_done(&records);
}

static void icc_xyz(struct bytes *out, uint32_t x, uint32_t y, uint32_t z)
{
    bytes_puts(out, "XYZ ");
    bytes_be32(out, 0);
    bytes_be32(out, x);
    bytes_be32(out, y);
    bytes_be32(out, z);
}

/* A version 2.1 matrix profile with sRGB's primaries (adapted to D50) and gamma 2.2. */
static void icc_profile(struct bytes *out)
{
    static const struct {
        const char *tag;
        uint32_t offset, size;
    } TAGS[] = {{"desc", 240, 95}, {"cprt", 336, 22}, {"wtpt", 360, 20}, {"rXYZ", 380, 20}, {"gXYZ", 400, 20},
                {"bXYZ", 420, 20}, {"rTRC", 440, 14}, {"gTRC", 440, 14}, {"bTRC", 440, 14}};
    uint8_t zero[128] = {0};
    size_t base = out->len;
    bytes_be32(out, 456);
    bytes_be32(out, 0);
    bytes_be32(out, 0x02100000);
    bytes_puts(out, "mntrRGB XYZ ");
    static const uint16_t DATE[6] = {2026, 1, 1, 0, 0, 0};
    for (size_t i = 0; i < 6; i++)
        bytes_be16(out, DATE[i]);
    bytes_puts(out, "acsp");
    bytes_put(out, zero, 28);
    bytes_be32(out, 0x0000f6d6);
    bytes_be32(out, 0x00010000);
    bytes_be32(out, 0x0000d32d);
    bytes_put(out, zero, 48);
    bytes_be32(out, 9);
    for (size_t i = 0; i < 9; i++) {
        bytes_puts(out, TAGS[i].tag);
        bytes_be32(out, TAGS[i].offset);
        bytes_be32(out, TAGS[i].size);
    }
    bytes_puts(out, "desc");
    bytes_be32(out, 0);
    bytes_be32(out, 5);
    bytes_put(out, "sRGB", 5);
    bytes_put(out, zero, 240 + 96 - (out->len - base));
    bytes_puts(out, "text");
    bytes_be32(out, 0);
    bytes_put(out, "Public domain", 14);
    bytes_put(out, zero, 360 - (out->len - base));
    icc_xyz(out, 0x0000f6d6, 0x00010000, 0x0000d32d);
    icc_xyz(out, 0x00006fa2, 0x000038f5, 0x00000390);
    icc_xyz(out, 0x00006299, 0x0000b785, 0x000018da);
    icc_xyz(out, 0x000024a0, 0x00000f84, 0x0000b6cf);
    bytes_puts(out, "curv");
    bytes_be32(out, 0);
    bytes_be32(out, 1);
    bytes_be16(out, 0x0233);
    bytes_be16(out, 0);
}

static void icc(bool in_two, struct segments *segs)
{
    struct bytes profile = {0};
    icc_profile(&profile);
    size_t parts = in_two ? 2 : 1, half = in_two ? 300 : profile.len, at = 0;
    for (size_t i = 0; i < parts; i++) {
        struct bytes *out = segments_new(segs, 0xe2);
        uint8_t place[2] = {(uint8_t)(i + 1), (uint8_t)parts};
        size_t len = i + 1 < parts ? half : profile.len - at;
        bytes_put(out, "ICC_PROFILE", 12);
        bytes_put(out, place, 2);
        bytes_put(out, profile.data + at, len);
        at += len;
    }
    bytes_done(&profile);
}

/* The sizes and the second picture's offset are filled in when they are known: meta_trailer. */
static void mpf(struct bytes *out)
{
    struct tiff t = {.out = out, .big = true};
    struct ifd ifd = {.big = true};
    uint8_t entries[32] = {0};
    put32(entries, 0x20030000, true);
    put32(entries + 16, 0x00010001, true);
    raw(&ifd, 0xb000, T_UNDEFINED, "0100", 4);
    number(&ifd, 0xb001, T_LONG, 2);
    raw(&ifd, 0xb002, T_UNDEFINED, entries, 32);
    bytes_put(out, "MPF", 4);
    tiff_start(&t);
    ifd_write(&t, &ifd, 0);
}

void meta_plan(struct rng *rng, struct meta_plan *plan, unsigned kinds, int orientation, const char *author)
{
    *plan = (struct meta_plan){.kinds = kinds, .orientation = orientation};
    plan->big_endian = rng_percent(rng, 40);
    plan->icc_in_two = rng_percent(rng, 30);
    plan->lat = 50.2 + 0.0001 * (double)rng_below(rng, 80000);
    plan->lon = -5.5 + 0.0001 * (double)rng_below(rng, 70000);
    uint32_t maker = rng_below(rng, 100000), body = rng_below(rng, 1000000);
    snprintf(plan->serial, sizeof plan->serial, "BSN%05u-%06u", maker, body);
    snprintf(plan->author, sizeof plan->author, "Photo of %s", author);
    if (kinds & META_TRAILING)
        plan->trailing = 200 + rng_below(rng, 2000);
}

void meta_segments(struct rng *rng, const struct meta_plan *plan, const struct bytes *thumb, struct segments *segs)
{
    segs->n = 0;
    if (plan->kinds & META_JFXX) {
        struct bytes *out = segments_new(segs, 0xe0);
        bytes_put(out, "JFXX\0\x10", 6);
        bytes_put(out, thumb->data, thumb->len);
    }
    if (plan->kinds & META_EXIF)
        exif(rng, plan, thumb, segments_new(segs, 0xe1));
    if (plan->kinds & META_XMP)
        xmp(plan, segments_new(segs, 0xe1));
    if (plan->kinds & META_ICC)
        icc(plan->icc_in_two, segs);
    if (plan->kinds & META_MPF)
        mpf(segments_new(segs, 0xe2));
    if (plan->kinds & META_IPTC)
        iptc(plan, segments_new(segs, 0xed));
    if (plan->kinds & META_COMMENT)
        bytes_printf(segments_new(segs, 0xfe), "%s, camera %s", plan->author, plan->serial);
}

void meta_trailer(struct rng *rng, const struct meta_plan *plan, const struct bytes *thumb, struct bytes *jpeg)
{
    size_t first = jpeg->len, second = 0;
    if (plan->kinds & META_MPF) {
        bytes_put(jpeg, thumb->data, thumb->len);
        second = thumb->len;
        uint8_t *head = memmem(jpeg->data, first, "MPF\0MM", 6);
        if (!head)
            synth_die("the MPF index got lost");
        uint8_t *tiff = head + 4, *entries = tiff + 8 + 2 + 3 * 12 + 4;
        put32(entries + 4, (uint32_t)first, true);
        put32(entries + 20, (uint32_t)second, true);
        put32(entries + 24, (uint32_t)(first - (size_t)(tiff - jpeg->data)), true);
    }
    if (plan->kinds & META_TRAILING) {
        size_t end = jpeg->len + plan->trailing;
        bytes_printf(jpeg, "SEFT %s %s ", plan->serial, plan->author);
        while (jpeg->len < end) {
            uint8_t c = (uint8_t)rng_below(rng, 256);
            bytes_put(jpeg, &c, 1);
        }
    }
}
