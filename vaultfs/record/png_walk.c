/* SPDX-License-Identifier: MIT */
#include "png_walk.h"

#include <string.h>

static const uint8_t signature[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};

struct chunk {
    char type[5];
    const uint8_t *body;
    size_t len;
};

static bool next_chunk(struct vf_reader *r, struct chunk *ret)
{
    struct chunk c = {0};

    c.len = vf_reader_u32(r);
    vf_reader_copy(r, c.type, 4);
    c.body = c.len <= VF_PNG_CHUNK_MAX ? vf_reader_view(r, c.len) : NULL;
    (void)vf_reader_view(r, 4);
    if (r->bad || c.body == NULL)
        return false;
    *ret = c;
    return true;
}

static bool is(const struct chunk *c, const char *type)
{
    return memcmp(c->type, type, 4) == 0;
}

static bool of_the_picture(const struct chunk *c)
{
    static const char kept[][5] = {"IHDR", "PLTE", "tRNS", "IDAT", "IEND", "gAMA", "cHRM", "sRGB", "iCCP"};

    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
        if (is(c, kept[i]))
            return true;
    return false;
}

static void take_facts(const struct chunk *c, struct vf_image_report *report)
{
    static const char xmp[] = "XML:com.adobe.xmp";

    if (is(c, "eXIf"))
        report->had_exif = true;
    else if (is(c, "iTXt") && c->len >= sizeof(xmp) && memcmp(c->body, xmp, sizeof(xmp)) == 0)
        report->had_xmp = true;
    else if (is(c, "tEXt") || is(c, "zTXt") || is(c, "iTXt"))
        report->had_comment = true;
    else if (is(c, "iCCP"))
        report->had_icc = true;
}

enum vf_err vf_png_walk(const uint8_t *data, size_t len, size_t *ret_end, struct vf_image_report *ret, struct vf_why *why)
{
    struct vf_reader r = vf_reader_of(data, len);
    struct vf_image_report report = {0};
    struct chunk c;
    bool first = true;

    if (len == 0)
        return vf_fail(why, VF_E_INPUT, "an empty file");
    if (len < sizeof(signature) || memcmp(vf_reader_view(&r, sizeof(signature)), signature, sizeof(signature)) != 0)
        return vf_fail(why, VF_E_INPUT, "not a PNG image%s",
                       len >= 3 && memcmp(data, "\xff\xd8\xff", 3) == 0 ? " but JPEG" : "");
    while (next_chunk(&r, &c)) {
        if (first != is(&c, "IHDR") || (first && c.len != 13))
            return vf_fail(why, VF_E_INPUT, "damaged: the image's header is not where it must be");
        if (first) {
            report.width = vf_get_be32(c.body);
            report.height = vf_get_be32(c.body + 4);
        }
        first = false;
        take_facts(&c, &report);
        if (is(&c, "IEND")) {
            report.had_trailing = r.left > 0;
            *ret_end = len - r.left;
            *ret = report;
            return VF_OK;
        }
    }
    return vf_fail(why, VF_E_INPUT, "cut off: the end of the image is missing");
}

bool vf_png_bare(const uint8_t *data, size_t len)
{
    struct vf_reader r = vf_reader_of(data, len);
    const uint8_t *head = vf_reader_view(&r, sizeof(signature));
    struct chunk c;

    if (head == NULL || memcmp(head, signature, sizeof(signature)) != 0)
        return false;
    while (next_chunk(&r, &c)) {
        if (!of_the_picture(&c))
            return false;
        if (is(&c, "IEND"))
            return vf_reader_done(&r);
    }
    return false;
}
