/* SPDX-License-Identifier: MIT */
#include "codec.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

/* clang-format off */
#include <jpeglib.h>
#include <jerror.h>
/* clang-format on */

#define DECODER_BYTES_MAX (512L * 1024 * 1024) /* a progressive picture of 50 megapixels keeps 300 MB of coefficients */

/* ----------------------------------------------------------------------------------------------------- errors of libjpeg */

struct guard {
    struct jpeg_error_mgr mgr; /* first: libjpeg hands back a pointer to it */
    jmp_buf jump;
    enum vf_err err;
    char text[JMSG_LENGTH_MAX];
};

static struct guard *guard_of(j_common_ptr c)
{
    return (struct guard *)(void *)c->err;
}

static void leave(j_common_ptr c) __attribute__((noreturn));
static void leave(j_common_ptr c)
{
    struct guard *g = guard_of(c);

    g->mgr.format_message(c, g->text);
    if (g->err == VF_OK)
        g->err = g->mgr.msg_code == JERR_OUT_OF_MEMORY ? VF_E_NOMEM : VF_E_INPUT;
    longjmp(g->jump, 1);
}

/* Level -1 is a warning ("premature end of data", "extraneous bytes"): libjpeg would paint gray and go on. */
static void on_message(j_common_ptr c, int level)
{
    if (level < 0)
        leave(c);
}

static void silent(j_common_ptr c)
{
    (void)c;
}

static void guard_init(struct guard *g)
{
    *g = (struct guard){.err = VF_OK};
    (void)jpeg_std_error(&g->mgr);
    g->mgr.error_exit = leave;
    g->mgr.emit_message = on_message;
    g->mgr.output_message = silent;
}

/* Run libjpeg where its errors land. The body's state is all in `job`: no local lives across the jump. */
static bool guarded(struct guard *g, void (*body)(void *job), void *job)
{
    if (setjmp(g->jump) != 0)
        return false;
    body(job);
    return true;
}

/* ---------------------------------------------------------------------------------------------------------------- source */

/*
 * Bytes in small portions. Where libjpeg-turbo has 512 bytes a block before it, it decodes Huffman codes by a faster function
 * that takes an impossible code for a zero without a word; with less it goes by the one that warns. (jpeg_mem_src offers
 * everything at once: a photo with a damaged half would pass.)
 */
#define PORTION 511u

struct source {
    struct jpeg_source_mgr mgr; /* first: libjpeg hands back a pointer to it */
    const uint8_t *data;
    size_t len; /* not yet offered */
};

static boolean source_fill(j_decompress_ptr c)
{
    struct source *s = (struct source *)(void *)c->src;
    size_t n = s->len < PORTION ? s->len : PORTION;

    if (n == 0)
        ERREXIT(c, JERR_INPUT_EOF);
    s->mgr.next_input_byte = s->data;
    s->mgr.bytes_in_buffer = n;
    s->data += n;
    s->len -= n;
    return TRUE;
}

static void source_skip(j_decompress_ptr c, long n)
{
    struct source *s = (struct source *)(void *)c->src;
    size_t left = n > 0 ? (size_t)n : 0;

    while (left > s->mgr.bytes_in_buffer) {
        left -= s->mgr.bytes_in_buffer;
        (void)source_fill(c);
    }
    s->mgr.next_input_byte += left;
    s->mgr.bytes_in_buffer -= left;
}

static void source_nothing(j_decompress_ptr c)
{
    (void)c;
}

static void source_init(struct source *s, const uint8_t *data, size_t len)
{
    *s = (struct source){.data = data, .len = len};
    s->mgr.init_source = source_nothing;
    s->mgr.fill_input_buffer = source_fill;
    s->mgr.skip_input_data = source_skip;
    s->mgr.resync_to_restart = jpeg_resync_to_restart;
    s->mgr.term_source = source_nothing;
}

/* ---------------------------------------------------------------------------------------------------------------- pixels */

void vf_pixels_done(struct vf_pixels *p)
{
    free(p->data);
    *p = (struct vf_pixels){0};
}

enum vf_err vf_pixels_init(struct vf_pixels *p, uint32_t width, uint32_t height, uint8_t channels, struct vf_why *why)
{
    uint64_t bytes = (uint64_t)width * height; /* both were 16 bits in the file */

    p->data = bytes > 0 && bytes <= SIZE_MAX / 4 ? malloc((size_t)bytes * channels) : NULL;
    if (p->data == NULL)
        return vf_fail(why, VF_E_NOMEM, "%u x %u pixels: out of memory", width, height);
    p->width = width;
    p->height = height;
    p->channels = channels;
    return VF_OK;
}

/* ---------------------------------------------------------------------------------------------------------------- decode */

struct decode_job {
    struct guard guard;
    struct jpeg_decompress_struct c;
    struct source source;
    bool prove;
    uint32_t min_width, min_height;
    struct vf_pixels pixels;
};

static void decode_start(struct decode_job *j)
{
    jpeg_create_decompress(&j->c);
    j->c.mem->max_memory_to_use = DECODER_BYTES_MAX;
    j->c.src = &j->source.mgr;
    (void)jpeg_read_header(&j->c, TRUE);
    j->c.out_color_space = j->c.num_components == 1 ? JCS_GRAYSCALE : JCS_RGB;
    /* Where nobody looks at the pixels the coarse ways are as good a proof, and faster. */
    j->c.do_fancy_upsampling = j->prove ? FALSE : TRUE;
    j->c.dct_method = j->prove ? JDCT_FASTEST : JDCT_ISLOW;
    j->c.scale_denom = 8;
    for (j->c.scale_num = j->min_width > 0 ? 1 : 8; j->c.scale_num < 8; j->c.scale_num++) {
        jpeg_calc_output_dimensions(&j->c);
        if (j->c.output_width >= j->min_width && j->c.output_height >= j->min_height)
            break;
    }
    (void)jpeg_start_decompress(&j->c);
}

static void prove_body(void *job)
{
    struct decode_job *j = job;

    decode_start(j);
    JDIMENSION rows = (JDIMENSION)j->c.rec_outbuf_height;
    JSAMPARRAY strip = j->c.mem->alloc_sarray((j_common_ptr)&j->c, JPOOL_IMAGE,
                                              j->c.output_width * (JDIMENSION)j->c.output_components, rows);
    while (j->c.output_scanline < j->c.output_height)
        (void)jpeg_read_scanlines(&j->c, strip, rows);
    (void)jpeg_finish_decompress(&j->c);
}

static void pixels_body(void *job)
{
    struct decode_job *j = job;

    decode_start(j);
    if (vf_pixels_init(&j->pixels, j->c.output_width, j->c.output_height, (uint8_t)j->c.output_components, NULL) != VF_OK)
        ERREXIT1(&j->c, JERR_OUT_OF_MEMORY, 0);
    size_t stride = (size_t)j->c.output_width * j->pixels.channels;
    while (j->c.output_scanline < j->c.output_height) {
        JSAMPROW rows[4];
        JDIMENSION n = j->c.output_height - j->c.output_scanline;
        n = n < 4 ? n : 4;
        for (JDIMENSION i = 0; i < n; i++)
            rows[i] = j->pixels.data + (j->c.output_scanline + i) * stride;
        (void)jpeg_read_scanlines(&j->c, rows, n);
    }
    (void)jpeg_finish_decompress(&j->c);
}

static enum vf_err decode_run(struct decode_job *j, struct vf_why *why)
{
    guard_init(&j->guard);
    j->c.err = &j->guard.mgr;
    bool good = guarded(&j->guard, j->prove ? prove_body : pixels_body, j);
    jpeg_destroy_decompress(&j->c);
    if (good)
        return VF_OK;
    vf_pixels_done(&j->pixels);
    if (j->guard.err == VF_E_NOMEM)
        return vf_fail(why, VF_E_NOMEM, "decoding: out of memory");
    return vf_fail(why, VF_E_INPUT, "damaged or cut off (%s)", j->guard.text);
}

enum vf_err vf_codec_prove(const uint8_t *data, size_t len, struct vf_why *why)
{
    struct decode_job j = {.prove = true};

    source_init(&j.source, data, len);
    return decode_run(&j, why);
}

enum vf_err vf_codec_decode(const uint8_t *data, size_t len, uint32_t min_width, uint32_t min_height, struct vf_pixels *ret,
                            struct vf_why *why)
{
    struct decode_job j = {.min_width = min_width, .min_height = min_height};

    source_init(&j.source, data, len);
    VF_TRY(decode_run(&j, why));
    *ret = j.pixels;
    return VF_OK;
}

/* ---------------------------------------------------------------------------------------------------------------- encode */

struct encode_job {
    struct guard guard;
    struct jpeg_compress_struct c;
    struct jpeg_destination_mgr dest;
    const struct vf_pixels *pixels;
    const struct vf_buf *icc;
    struct vf_buf *out;
    int quality;
};

/* All the room there may be, at once: a full buffer is the end. */
static void dest_start(j_compress_ptr c)
{
    struct encode_job *j = c->client_data;

    if (!vf_buf_reserve(j->out, j->out->max - j->out->len) || j->out->max == j->out->len) {
        j->guard.err = VF_E_NOMEM;
        leave((j_common_ptr)c);
    }
    j->dest.next_output_byte = j->out->data + j->out->len;
    j->dest.free_in_buffer = j->out->max - j->out->len;
}

static boolean dest_full(j_compress_ptr c)
{
    struct encode_job *j = c->client_data;

    j->guard.err = VF_E_LIMIT;
    leave((j_common_ptr)c);
}

static void dest_end(j_compress_ptr c)
{
    struct encode_job *j = c->client_data;

    j->out->len = j->out->max - j->dest.free_in_buffer;
}

static void encode_body(void *job)
{
    struct encode_job *j = job;
    const struct vf_pixels *p = j->pixels;

    jpeg_create_compress(&j->c);
    j->c.client_data = j;
    j->c.dest = &j->dest;
    j->c.image_width = p->width;
    j->c.image_height = p->height;
    j->c.input_components = p->channels;
    j->c.in_color_space = p->channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_set_defaults(&j->c);
    jpeg_set_quality(&j->c, j->quality, TRUE);
    /* Colour at full resolution: a source that was 4:2:0 must not be thinned out a second time, along the other axis. */
    j->c.comp_info[0].h_samp_factor = 1;
    j->c.comp_info[0].v_samp_factor = 1;
    jpeg_start_compress(&j->c, TRUE);
    if (j->icc->len > 0)
        jpeg_write_icc_profile(&j->c, j->icc->data, (unsigned int)j->icc->len);
    size_t stride = (size_t)p->width * p->channels;
    while (j->c.next_scanline < j->c.image_height) {
        JSAMPROW row = p->data + j->c.next_scanline * stride;
        (void)jpeg_write_scanlines(&j->c, &row, 1);
    }
    jpeg_finish_compress(&j->c);
}

enum vf_err vf_codec_encode(const struct vf_pixels *pixels, int quality, const struct vf_buf *icc, struct vf_buf *out,
                            struct vf_why *why)
{
    struct encode_job j = {.pixels = pixels, .icc = icc, .out = out, .quality = quality};

    guard_init(&j.guard);
    j.c.err = &j.guard.mgr;
    j.dest = (struct jpeg_destination_mgr){
        .init_destination = dest_start, .empty_output_buffer = dest_full, .term_destination = dest_end};
    bool good = guarded(&j.guard, encode_body, &j);
    jpeg_destroy_compress(&j.c);
    if (good)
        return VF_OK;
    if (j.guard.err == VF_E_LIMIT)
        return vf_fail(why, VF_E_LIMIT, "larger than %zu bytes", out->max);
    return vf_fail(why, j.guard.err == VF_E_NOMEM ? VF_E_NOMEM : VF_E_INPUT, "cannot be compressed (%s)", j.guard.text);
}
