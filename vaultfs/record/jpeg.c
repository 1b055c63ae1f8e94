/* SPDX-License-Identifier: MIT */
#include "jpeg.h"

#include <string.h>

enum marker {
    M_SOF0 = 0xc0,
    M_SOF1 = 0xc1,
    M_SOF2 = 0xc2,
    M_DHT = 0xc4,
    M_SOF9 = 0xc9,
    M_SOF10 = 0xca,
    M_DAC = 0xcc,
    M_SOF15 = 0xcf,
    M_RST0 = 0xd0,
    M_RST7 = 0xd7,
    M_SOI = 0xd8,
    M_EOI = 0xd9,
    M_SOS = 0xda,
    M_DQT = 0xdb,
    M_DNL = 0xdc,
    M_DRI = 0xdd,
    M_DHP = 0xde,
    M_EXP = 0xdf,
    M_APP0 = 0xe0,
    M_APP1 = 0xe1,
    M_APP2 = 0xe2,
    M_APP13 = 0xed,
    M_APP14 = 0xee,
    M_APP15 = 0xef,
    M_COM = 0xfe,
};

#define ICC_HEAD     14u /* "ICC_PROFILE\0", number, count */
#define ICC_PART_MAX (65533u - ICC_HEAD)
#define ICC_SIZE_MIN 128u

/* ------------------------------------------------------------------------------------------------------------------ walk */

struct segment {
    uint8_t marker;
    const uint8_t *body; /* behind the length; NULL for a marker that has none */
    size_t len;
    const uint8_t *scan; /* SOS: the compressed data behind it */
    size_t scan_len;
};

struct walk {
    const uint8_t *data;
    size_t len;
    size_t at;
};

/*
 * Compressed data ends at the first marker that is neither a stuffed 0xff nor a restart. Fill bytes (0xff) belong to the
 * marker.
 */
static size_t scan_length(const uint8_t *data, size_t len)
{
    size_t at = 0;

    while (at < len) {
        const uint8_t *ff = memchr(data + at, 0xff, len - at);
        if (ff == NULL)
            return len;
        size_t start = (size_t)(ff - data);
        size_t next = start + 1;
        while (next < len && data[next] == 0xff)
            next++;
        if (next == len)
            return start;
        if (data[next] != 0x00 && (data[next] < M_RST0 || data[next] > M_RST7))
            return start;
        at = next + 1;
    }
    return at;
}

/* The next segment; false: the file ends, or there is something else between two segments (*ret_cut: the file ends). */
static bool next_segment(struct walk *w, struct segment *ret, bool *ret_cut)
{
    struct segment seg = {0};
    size_t at = w->at;

    *ret_cut = false;
    if (at < w->len && w->data[at] != 0xff)
        return false;
    while (at < w->len && w->data[at] == 0xff)
        at++;
    if (at >= w->len) {
        *ret_cut = true;
        return false;
    }
    seg.marker = w->data[at++];
    if (seg.marker >= M_RST0 && seg.marker <= M_EOI) {
        w->at = at;
        *ret = seg;
        return true;
    }
    struct vf_reader r = vf_reader_of(w->data + at, w->len - at);
    size_t len = vf_reader_u16(&r);
    seg.body = len >= 2 ? vf_reader_view(&r, len - 2) : NULL;
    if (seg.body == NULL) {
        *ret_cut = r.bad;
        return false;
    }
    seg.len = len - 2;
    at += len;
    if (seg.marker == M_SOS) {
        seg.scan = w->data + at;
        seg.scan_len = scan_length(seg.scan, w->len - at);
        at += seg.scan_len;
    }
    w->at = at;
    *ret = seg;
    return true;
}

static bool starts(const struct segment *seg, const char *id, size_t len)
{
    return seg->len >= len && memcmp(seg->body, id, len) == 0;
}
#define STARTS(seg, literal) starts(seg, literal, sizeof(literal) - 1)

/* ---------------------------------------------------------------------------------------------------------------- layout */

static bool is_sof(uint8_t m)
{
    return m >= M_SOF0 && m <= M_SOF15 && m != M_DHT && m != M_DAC && m != 0xc8;
}

static enum vf_err take_frame(const struct segment *seg, struct vf_jpeg_layout *l, struct vf_why *why)
{
    struct vf_reader r = vf_reader_of(seg->body, seg->len);

    if (l->sof != 0)
        return vf_fail(why, VF_E_INPUT, "damaged: two frame headers");
    l->sof = seg->marker;
    l->precision = vf_reader_u8(&r);
    l->height = vf_reader_u16(&r);
    l->width = vf_reader_u16(&r);
    l->ncomponents = vf_reader_u8(&r);
    if (r.bad || l->width == 0 || l->height == 0)
        return vf_fail(why, VF_E_INPUT, "damaged: no width or height");
    return VF_OK;
}

static void take_icc(const struct segment *seg, struct vf_jpeg_layout *l)
{
    uint8_t number = seg->body[12];
    uint8_t count = seg->body[13];

    if (l->icc_parts == 0)
        l->icc_parts = count;
    if (number == 0 || number > count || count != l->icc_parts || l->icc[number - 1].data != NULL) {
        l->icc_bad = true;
        return;
    }
    l->icc[number - 1] = (struct vf_jpeg_view){seg->body + ICC_HEAD, seg->len - ICC_HEAD};
}

static void take_app(const struct segment *seg, struct vf_jpeg_layout *l)
{
    struct vf_jpeg_view body = {seg->body, seg->len};
    bool before_scans = l->scans == 0;

    if (seg->marker == M_APP0 && STARTS(seg, "JFIF\0") && seg->len >= VF_JPEG_JFIF_LEN) {
        l->had_thumbnail = l->had_thumbnail || seg->len > VF_JPEG_JFIF_LEN;
        if (before_scans)
            l->jfif = body;
    } else if (seg->marker == M_APP0 && STARTS(seg, "JFXX\0")) {
        l->had_thumbnail = true;
    } else if (seg->marker == M_APP1 && STARTS(seg, "Exif\0") && l->exif.data == NULL) {
        l->exif = body;
    } else if (seg->marker == M_APP1 &&
               (STARTS(seg, "http://ns.adobe.com/xap/1.0/") || STARTS(seg, "http://ns.adobe.com/xmp/"))) {
        l->had_xmp = true;
    } else if (seg->marker == M_APP2 && STARTS(seg, "ICC_PROFILE\0") && seg->len >= ICC_HEAD) {
        take_icc(seg, l);
    } else if (seg->marker == M_APP2 && STARTS(seg, "MPF\0")) {
        l->had_mpf = true;
    } else if (seg->marker == M_APP13 && STARTS(seg, "Photoshop 3.0\0")) {
        l->had_iptc = true;
    } else if (seg->marker == M_APP14 && STARTS(seg, "Adobe") && seg->len >= VF_JPEG_ADOBE_LEN) {
        if (before_scans)
            l->adobe = body;
    }
}

/* B.2.4.2: class and number, how many codes of each of 16 lengths, and as many bytes. */
static void take_huffman(const struct segment *seg, struct vf_jpeg_layout *l)
{
    struct vf_reader r = vf_reader_of(seg->body, seg->len);

    while (r.left > 0 && !r.bad) {
        uint8_t which = vf_reader_u8(&r);
        const uint8_t *counts = vf_reader_view(&r, 16);
        size_t codes = 0;
        for (unsigned i = 0; counts != NULL && i < 16; i++)
            codes += counts[i];
        if (vf_reader_view(&r, codes) != NULL && (which >> 4) < 2 && (which & 15) < 4)
            l->huffman[which >> 4] |= (uint8_t)(1u << (which & 15));
    }
}

/* B.2.3: the components and their tables, the band and the bit that the scan brings. */
static void take_scan(const struct segment *seg, struct vf_jpeg_layout *l)
{
    struct vf_reader r = vf_reader_of(seg->body, seg->len);
    uint8_t dc = 0;
    uint8_t ac = 0;

    for (unsigned n = vf_reader_u8(&r); n > 0 && !r.bad; n--) {
        (void)vf_reader_u8(&r);
        uint8_t tables = vf_reader_u8(&r);
        dc |= (uint8_t)(1u << ((tables >> 4) & 3));
        ac |= (uint8_t)(1u << (tables & 3));
    }
    uint8_t band = vf_reader_u8(&r);
    (void)vf_reader_u8(&r);
    uint8_t bits = vf_reader_u8(&r);
    if (l->sof == M_SOF2) {
        if (band > 0 || bits >> 4 > 0)
            dc = 0;
        if (band == 0)
            ac = 0;
    }
    l->scans++;
    l->tables_missing = l->tables_missing || (dc & ~l->huffman[0]) != 0 || (ac & ~l->huffman[1]) != 0;
}

static enum vf_err take_segment(const struct segment *seg, struct vf_jpeg_layout *l, struct vf_why *why)
{
    if (is_sof(seg->marker))
        return take_frame(seg, l, why);
    if (seg->marker >= M_APP0 && seg->marker <= M_APP15) {
        take_app(seg, l);
        return VF_OK;
    }
    switch (seg->marker) {
    case M_SOS:
        if (l->sof == 0)
            return vf_fail(why, VF_E_INPUT, "damaged: a scan before the frame header");
        take_scan(seg, l);
        return VF_OK;
    case M_DHT:
        take_huffman(seg, l);
        return VF_OK;
    case M_COM:
        l->had_comment = true;
        return VF_OK;
    case M_DAC:
    case M_DQT:
    case M_DRI:
    case M_DNL:
        return VF_OK;
    case M_DHP:
    case M_EXP:
        return vf_fail(why, VF_E_INPUT, "a hierarchical JPEG, which printing software cannot read");
    default:
        return vf_fail(why, VF_E_INPUT, "damaged: an unknown marker 0x%02x", seg->marker);
    }
}

/* People rename files; phones write HEIC. Say what it is. */
static enum vf_err not_jpeg(const uint8_t *data, size_t len, struct vf_why *why)
{
    static const struct {
        size_t at;
        const char *magic;
        const char *name;
    } kinds[] = {{0, "\x89PNG", "PNG"}, {4, "ftyp", "HEIC, AVIF or video"},
                 {8, "WEBP", "WebP"},   {0, "GIF8", "GIF"},
                 {0, "%PDF", "PDF"},    {0, "II*", "TIFF"},
                 {0, "MM", "TIFF"},     {0, "BM", "BMP"}};

    if (len == 0)
        return vf_fail(why, VF_E_INPUT, "an empty file");
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        size_t n = strlen(kinds[i].magic);
        if (len >= kinds[i].at + n && memcmp(data + kinds[i].at, kinds[i].magic, n) == 0)
            return vf_fail(why, VF_E_INPUT, "not a JPEG image but %s", kinds[i].name);
    }
    return vf_fail(why, VF_E_INPUT, "not a JPEG image");
}

enum vf_err vf_jpeg_layout(const uint8_t *data, size_t len, struct vf_jpeg_layout *ret, struct vf_why *why)
{
    struct walk w = {.data = data, .len = len, .at = 2};
    struct segment seg;
    bool cut = false;

    *ret = (struct vf_jpeg_layout){0};
    if (len < 3 || data[0] != 0xff || data[1] != M_SOI || data[2] != 0xff)
        return not_jpeg(data, len, why);
    while (next_segment(&w, &seg, &cut)) {
        if (seg.marker == M_EOI) {
            if (ret->scans == 0)
                return vf_fail(why, VF_E_INPUT, "damaged: no picture in it");
            ret->end = w.at;
            return VF_OK;
        }
        /* Restart markers between segments are skipped by decoders and dropped by vf_jpeg_cut. */
        if (seg.marker >= M_RST0 && seg.marker <= M_RST7)
            continue;
        if (seg.marker == M_SOI)
            return vf_fail(why, VF_E_INPUT, "damaged: an image begins inside another");
        VF_TRY(take_segment(&seg, ret, why));
    }
    if (cut)
        return vf_fail(why, VF_E_INPUT, "cut off: the end of the image is missing");
    return vf_fail(why, VF_E_INPUT, "damaged at byte %zu", w.at);
}

/* ------------------------------------------------------------------------------------------------------------------- cut */

void vf_jpeg_icc(const struct vf_jpeg_layout *layout, struct vf_buf *out)
{
    size_t total = 0;

    if (layout->icc_bad || layout->icc_parts == 0)
        return;
    for (unsigned i = 0; i < layout->icc_parts; i++) {
        if (layout->icc[i].data == NULL)
            return;
        total += layout->icc[i].len;
    }
    size_t start = out->len;
    for (unsigned i = 0; i < layout->icc_parts; i++)
        vf_buf_put(out, layout->icc[i].data, layout->icc[i].len);
    if (!vf_buf_ok(out))
        return;
    /* ICC.1: the size stands at 0 and the signature at 36. What hangs behind the profile goes; a profile that is not
     * whole is none. */
    const uint8_t *icc = out->data + start;
    size_t size = total >= ICC_SIZE_MIN && memcmp(icc + 36, "acsp", 4) == 0 ? vf_get_be32(icc) : 0;
    out->len = start + (size >= ICC_SIZE_MIN && size <= total ? size : 0);
}

static void put_segment(struct vf_buf *out, uint8_t marker, const void *body, size_t len)
{
    vf_buf_u8(out, 0xff);
    vf_buf_u8(out, marker);
    vf_buf_u16(out, (uint16_t)(len + 2));
    vf_buf_put(out, body, len);
}

static void put_icc(struct vf_buf *out, const struct vf_buf *icc)
{
    size_t parts = (icc->len + ICC_PART_MAX - 1) / ICC_PART_MAX;

    for (size_t i = 0; i < parts; i++) {
        size_t at = i * ICC_PART_MAX;
        size_t len = icc->len - at < ICC_PART_MAX ? icc->len - at : ICC_PART_MAX;
        vf_buf_u8(out, 0xff);
        vf_buf_u8(out, M_APP2);
        vf_buf_u16(out, (uint16_t)(len + ICC_HEAD + 2));
        vf_buf_put(out, "ICC_PROFILE", 12);
        vf_buf_u8(out, (uint8_t)(i + 1));
        vf_buf_u8(out, (uint8_t)parts);
        vf_buf_put(out, icc->data + at, len);
    }
}

/*
 * Heads without anything that hangs on them. Both stay, even where libjpeg looks at one only: other decoders may look at
 * the other.
 */
static void put_heads(struct vf_buf *out, const struct vf_jpeg_layout *l)
{
    if (l->jfif.data != NULL) {
        uint8_t jfif[VF_JPEG_JFIF_LEN];
        memcpy(jfif, l->jfif.data, sizeof(jfif));
        if (jfif[5] != 1 || jfif[6] > 2)
            memcpy(jfif + 5, "\1\2", 2); /* no other version exists, and decoders complain */
        if (jfif[7] > 2 || (jfif[8] | jfif[9]) == 0 || (jfif[10] | jfif[11]) == 0)
            memcpy(jfif + 7, "\0\0\1\0\1", 5); /* no density: square pixels */
        jfif[12] = 0;                          /* size of a thumbnail */
        jfif[13] = 0;
        put_segment(out, M_APP0, jfif, sizeof(jfif));
    }
    if (l->adobe.data != NULL)
        put_segment(out, M_APP14, l->adobe.data, VF_JPEG_ADOBE_LEN);
}

static bool of_the_picture(uint8_t m)
{
    return is_sof(m) || m == M_DHT || m == M_DAC || m == M_DQT || m == M_DRI || m == M_SOS;
}

void vf_jpeg_cut(const uint8_t *data, const struct vf_jpeg_layout *layout, const struct vf_buf *icc, struct vf_buf *out)
{
    struct walk w = {.data = data, .len = layout->end, .at = 2};
    struct segment seg;
    bool cut = false;

    (void)vf_buf_reserve(out, layout->end + icc->len < out->max - out->len ? layout->end + icc->len : 0);
    vf_buf_put(out, "\xff\xd8", 2);
    put_heads(out, layout);
    put_icc(out, icc);
    while (next_segment(&w, &seg, &cut)) {
        if (!of_the_picture(seg.marker))
            continue;
        put_segment(out, seg.marker, seg.body, seg.len);
        vf_buf_put(out, seg.scan, seg.scan_len);
    }
    vf_buf_put(out, "\xff\xd9", 2);
}

static bool bare_segment(const struct segment *seg, unsigned *heads)
{
    switch (seg->marker) {
    case M_APP0:
        return seg->len == VF_JPEG_JFIF_LEN && STARTS(seg, "JFIF\0") && seg->body[12] == 0 && seg->body[13] == 0 &&
               (*heads)++ < 2;
    case M_APP14:
        return seg->len == VF_JPEG_ADOBE_LEN && STARTS(seg, "Adobe") && (*heads)++ < 2;
    case M_APP2:
        return STARTS(seg, "ICC_PROFILE\0") && seg->len >= ICC_HEAD;
    default:
        return of_the_picture(seg->marker);
    }
}

bool vf_jpeg_bare(const uint8_t *data, size_t len)
{
    struct walk w = {.data = data, .len = len, .at = 2};
    struct segment seg;
    unsigned heads = 0;
    bool cut = false;

    if (len < 4 || data[0] != 0xff || data[1] != M_SOI)
        return false;
    while (next_segment(&w, &seg, &cut)) {
        if (seg.marker == M_EOI)
            return w.at == len;
        if (!bare_segment(&seg, &heads))
            return false;
    }
    return false;
}
