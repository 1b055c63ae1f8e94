/* SPDX-License-Identifier: MIT */
/* jpeg: encoding with any segments one wants in front, decoding with libjpeg's defaults. */
#include "synth.h"

#include <string.h>

#include <jpeglib.h>

static void on_error(j_common_ptr info)
{
    char text[JMSG_LENGTH_MAX];
    info->err->format_message(info, text);
    synth_die("libjpeg: %s", text);
}

/* What is made here must be without fault: a warning ends the run like an error. */
static void on_message(j_common_ptr info, int level)
{
    if (level < 0)
        on_error(info);
}

static struct jpeg_error_mgr *errors(struct jpeg_error_mgr *err)
{
    jpeg_std_error(err);
    err->error_exit = on_error;
    err->emit_message = on_message;
    return err;
}

/* A libjpeg destination that is a growing buffer. */
struct dest {
    struct jpeg_destination_mgr pub;
    struct bytes *out;
};

static void dest_room(struct dest *dest)
{
    bytes_need(dest->out, 65536);
    dest->pub.next_output_byte = dest->out->data + dest->out->len;
    dest->pub.free_in_buffer = dest->out->cap - dest->out->len;
}

static void dest_init(j_compress_ptr info)
{
    dest_room((struct dest *)(void *)info->dest);
}

static boolean dest_full(j_compress_ptr info)
{
    struct dest *dest = (struct dest *)(void *)info->dest;
    dest->out->len = dest->out->cap;
    dest_room(dest);
    return TRUE;
}

static void dest_term(j_compress_ptr info)
{
    struct dest *dest = (struct dest *)(void *)info->dest;
    dest->out->len = dest->out->cap - dest->pub.free_in_buffer;
}

struct bytes *segments_new(struct segments *segs, int marker)
{
    if (segs->n == SEGMENTS_MAX)
        synth_die("too many segments");
    struct segment *s = &segs->s[segs->n++];
    s->marker = marker;
    s->data.len = 0;
    return &s->data;
}

void segments_done(struct segments *segs)
{
    for (size_t i = 0; i < SEGMENTS_MAX; i++)
        bytes_done(&segs->s[i].data);
    segs->n = 0;
}

static void shape(j_compress_ptr info, const struct jpeg_spec *spec)
{
    info->input_components = spec->cmyk ? 4 : 3;
    info->in_color_space = spec->cmyk ? JCS_CMYK : JCS_RGB;
    jpeg_set_defaults(info);
    if (spec->cmyk)
        jpeg_set_colorspace(info, JCS_CMYK);
    else if (spec->gray)
        jpeg_set_colorspace(info, JCS_GRAYSCALE);
    jpeg_set_quality(info, spec->quality, TRUE);
    if (!spec->gray && !spec->cmyk) {
        info->comp_info[0].h_samp_factor = spec->sampling == S444 ? 1 : 2;
        info->comp_info[0].v_samp_factor = spec->sampling == S420 ? 2 : 1;
    }
    info->optimize_coding = spec->optimize;
    info->restart_in_rows = spec->restarts ? 4 : 0;
    info->write_JFIF_header = spec->jfif && !spec->cmyk;
    if (spec->progressive)
        jpeg_simple_progression(info);
}

static void scanlines(j_compress_ptr info, const struct picture *pic)
{
    struct bytes row = {0};
    bytes_need(&row, (size_t)pic->w * 4);
    while (info->next_scanline < info->image_height) {
        uint8_t *line = pic->rgb + (size_t)info->next_scanline * pic->w * 3;
        JSAMPROW at = line;
        if (info->input_components == 4) {
            at = row.data;
            for (size_t x = 0; x < pic->w; x++) {
                for (size_t k = 0; k < 3; k++)
                    row.data[x * 4 + k] = line[x * 3 + k]; /* as Adobe stores it: inverted */
                row.data[x * 4 + 3] = 255;
            }
        }
        jpeg_write_scanlines(info, &at, 1);
    }
    bytes_done(&row);
}

void jpeg_encode(const struct picture *pic, const struct jpeg_spec *spec, const struct segments *segs, struct bytes *out)
{
    struct jpeg_compress_struct info = {0};
    struct jpeg_error_mgr err;
    struct dest dest = {{.init_destination = dest_init, .empty_output_buffer = dest_full, .term_destination = dest_term},
                        out};
    out->len = 0;
    info.err = errors(&err);
    jpeg_create_compress(&info);
    info.dest = &dest.pub;
    info.image_width = pic->w;
    info.image_height = pic->h;
    shape(&info, spec);
    jpeg_start_compress(&info, TRUE);
    for (size_t i = 0; segs && i < segs->n; i++)
        jpeg_write_marker(&info, segs->s[i].marker, segs->s[i].data.data, (unsigned)segs->s[i].data.len);
    scanlines(&info, pic);
    jpeg_finish_compress(&info);
    jpeg_destroy_compress(&info);
}

void jpeg_decode(const uint8_t *data, size_t len, struct picture *out)
{
    struct jpeg_decompress_struct info = {0};
    struct jpeg_error_mgr err;
    info.err = errors(&err);
    jpeg_create_decompress(&info);
    jpeg_mem_src(&info, data, len);
    jpeg_read_header(&info, TRUE);
    info.out_color_space = JCS_RGB;
    jpeg_start_decompress(&info);
    picture_size(out, info.output_width, info.output_height);
    while (info.output_scanline < info.output_height) {
        JSAMPROW row = out->rgb + (size_t)info.output_scanline * out->w * 3;
        jpeg_read_scanlines(&info, &row, 1);
    }
    jpeg_finish_decompress(&info);
    jpeg_destroy_decompress(&info);
}

size_t jpeg_scan_offset(const uint8_t *data, size_t len, size_t *ret_end)
{
    size_t at = 2;
    for (;;) {
        if (at + 4 > len || data[at] != 0xff)
            synth_die("the JPEG just written has no scan");
        bool scan = data[at + 1] == 0xda;
        at += 2 + (size_t)(data[at + 2] << 8 | data[at + 3]);
        if (scan)
            break;
    }
    /* The scan ends at the next marker that is neither a stuffed byte nor a restart. */
    size_t end = at;
    while (end + 1 < len && !(data[end] == 0xff && data[end + 1] != 0 && (data[end + 1] & 0xf8) != 0xd0))
        end++;
    *ret_end = end;
    return at;
}
