/* SPDX-License-Identifier: MIT */
/*
 * A signature from outside: decoded in full by libpng and written anew with the same pixels, so that nothing is carried over
 * that is not a pixel or says how to show one. Not interlaced.
 */
#include "image.h"
#include "png_walk.h"

#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#define WIDTH_MAX  2000u
#define HEIGHT_MAX 1000u
#define BYTES_MAX  (1024u * 1024)
#define CHUNKS_MAX 16u /* ancillary ones that libpng may keep */

bool vf_signature_size_fits(uint32_t width, uint32_t height)
{
    return width > 0 && height > 0 && width <= WIDTH_MAX && height <= HEIGHT_MAX;
}

struct png_job {
    jmp_buf jump;
    enum vf_err err;
    char text[96];
    png_structp reader, writer;
    png_infop from, to;
    struct vf_reader source;
    struct vf_buf *out;
    uint8_t *pixels;
    png_bytep rows[HEIGHT_MAX];
    png_uint_32 width, height;
    int depth, colour;
};

/* ---------------------------------------------------------------------------------------------------------------- libpng */

static void on_error(png_structp png, png_const_charp text) __attribute__((noreturn));
static void on_error(png_structp png, png_const_charp text)
{
    struct png_job *j = png_get_error_ptr(png);

    (void)snprintf(j->text, sizeof(j->text), "%s", text);
    if (j->err == VF_OK)
        j->err = VF_E_INPUT;
    longjmp(j->jump, 1);
}

/*
 * Libpng's warnings are about what it leaves out (a profile that is wrong, say): here the file is written anew without it.
 */
static void on_warning(png_structp png, png_const_charp text)
{
    (void)png;
    (void)text;
}

static void on_read(png_structp png, png_bytep to, size_t len)
{
    struct png_job *j = png_get_io_ptr(png);
    const uint8_t *from = vf_reader_view(&j->source, len);

    if (from == NULL)
        png_error(png, "premature end");
    memcpy(to, from, len);
}

static void on_write(png_structp png, png_bytep data, size_t len)
{
    struct png_job *j = png_get_io_ptr(png);

    vf_buf_put(j->out, data, len);
    j->err = vf_buf_check(j->out, "signature", NULL);
    if (j->err != VF_OK)
        png_error(png, "too large");
}

static void on_flush(png_structp png)
{
    (void)png;
}

/* ------------------------------------------------------------------------------------------------------------------ read */

static void out_of_memory(struct png_job *j) __attribute__((noreturn));
static void out_of_memory(struct png_job *j)
{
    j->err = VF_E_NOMEM;
    longjmp(j->jump, 1);
}

/* What does not make the picture is skipped without being unpacked; but its checksum is looked at too. */
static void set_limits(png_structp png)
{
    static const png_byte skipped[] = "bKGD\0hIST\0iTXt\0tEXt\0zTXt\0tIME\0pHYs\0sPLT\0sBIT\0oFFs\0pCAL\0sCAL\0eXIf";

    png_set_user_limits(png, WIDTH_MAX, HEIGHT_MAX);
    png_set_chunk_cache_max(png, CHUNKS_MAX);
    png_set_chunk_malloc_max(png, VF_PNG_CHUNK_MAX);
    png_set_crc_action(png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, 0);
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, skipped, (int)(sizeof(skipped) / 5));
}

static void read_body(struct png_job *j)
{
    int interlace = 0;

    j->reader = png_create_read_struct(PNG_LIBPNG_VER_STRING, j, on_error, on_warning);
    j->from = j->reader != NULL ? png_create_info_struct(j->reader) : NULL;
    if (j->from == NULL)
        out_of_memory(j);
    set_limits(j->reader);
    png_set_read_fn(j->reader, j, on_read);
    png_read_info(j->reader, j->from);
    (void)png_get_IHDR(j->reader, j->from, &j->width, &j->height, &j->depth, &j->colour, &interlace, NULL, NULL);
    (void)png_set_interlace_handling(j->reader);
    png_read_update_info(j->reader, j->from);
    size_t stride = png_get_rowbytes(j->reader, j->from); /* at most 2000 x 8 bytes */
    /* Zeroes: libpng leaves alone the bits at the ends of rows that belong to no pixel and could carry a message. */
    j->pixels = calloc(j->height, stride);
    if (j->pixels == NULL)
        out_of_memory(j);
    for (png_uint_32 y = 0; y < j->height; y++)
        j->rows[y] = j->pixels + y * stride;
    png_read_image(j->reader, j->rows);
    png_read_end(j->reader, NULL);
}

/* ----------------------------------------------------------------------------------------------------------------- write */

/* How the colours are meant, as far as libpng found it sound. */
static void copy_colours(struct png_job *j)
{
    png_colorp palette = NULL;
    png_bytep alpha = NULL;
    png_color_16p one = NULL;
    int n = 0;

    if (png_get_PLTE(j->reader, j->from, &palette, &n) != 0)
        png_set_PLTE(j->writer, j->to, palette, n);
    n = 0;
    if (png_get_tRNS(j->reader, j->from, &alpha, &n, &one) != 0)
        png_set_tRNS(j->writer, j->to, alpha, n, one);
}

static void copy_space(struct png_job *j)
{
    png_fixed_point gamma = 0;
    png_fixed_point c[8] = {0};
    png_charp name = NULL;
    png_bytep profile = NULL;
    png_uint_32 len = 0;
    int intent = 0;
    int method = 0;

    if (png_get_sRGB(j->reader, j->from, &intent) != 0)
        png_set_sRGB(j->writer, j->to, intent);
    else if (png_get_iCCP(j->reader, j->from, &name, &method, &profile, &len) != 0)
        png_set_iCCP(j->writer, j->to, "icc", method, profile, len); /* the name is free text: ours */
    if (png_get_gAMA_fixed(j->reader, j->from, &gamma) != 0)
        png_set_gAMA_fixed(j->writer, j->to, gamma);
    if (png_get_cHRM_fixed(j->reader, j->from, &c[0], &c[1], &c[2], &c[3], &c[4], &c[5], &c[6], &c[7]) != 0)
        png_set_cHRM_fixed(j->writer, j->to, c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7]);
}

static void write_body(struct png_job *j)
{
    j->writer = png_create_write_struct(PNG_LIBPNG_VER_STRING, j, on_error, on_warning);
    j->to = j->writer != NULL ? png_create_info_struct(j->writer) : NULL;
    if (j->to == NULL)
        out_of_memory(j);
    png_set_write_fn(j->writer, j, on_write, on_flush);
    png_set_IHDR(j->writer, j->to, j->width, j->height, j->depth, j->colour, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    copy_colours(j);
    copy_space(j);
    png_write_info(j->writer, j->to);
    png_write_image(j->writer, j->rows);
    png_write_end(j->writer, NULL);
}

/* ----------------------------------------------------------------------------------------------------------------- clean */

static bool guarded(struct png_job *j, void (*body)(struct png_job *))
{
    if (setjmp(j->jump) != 0)
        return false;
    body(j);
    return true;
}

static void job_free(struct png_job **jp)
{
    struct png_job *j = *jp;

    if (j == NULL)
        return;
    png_destroy_read_struct(&j->reader, &j->from, NULL);
    png_destroy_write_struct(&j->writer, &j->to);
    free(j->pixels);
    free(j);
}

static enum vf_err read_failed(const struct png_job *j, struct vf_why *why)
{
    if (j->err == VF_E_NOMEM)
        return vf_fail(why, VF_E_NOMEM, "decoding: out of memory");
    return vf_fail(why, VF_E_INPUT, "damaged or cut off (%s)", j->text);
}

static enum vf_err write_failed(const struct png_job *j, struct vf_why *why)
{
    if (j->err == VF_E_LIMIT)
        return vf_fail(why, VF_E_INPUT, "over 1,024 KiB");
    if (j->err == VF_E_NOMEM)
        return vf_fail(why, VF_E_NOMEM, "compressing: out of memory");
    return vf_fail(why, VF_E_INPUT, "cannot be written anew (%s)", j->text);
}

enum vf_err vf_signature_clean(const uint8_t *data, size_t len, const struct vf_image_options *opt, struct vf_buf *out,
                               struct vf_image_report *ret, struct vf_why *why)
{
    struct vf_image_report report = {0};
    VF_CLEANUP(job_free) struct png_job *j = calloc(1, sizeof(*j));
    size_t end = 0;
    VF_BUF made;

    (void)opt; /* a signature is never scaled, and always decoded */
    vf_buf_init(&made, BYTES_MAX);
    vf_buf_reset(out);
    if (j == NULL)
        return vf_fail(why, VF_E_NOMEM, "decoding: out of memory");
    if (len > VF_IMAGE_SOURCE_MAX)
        return vf_fail(why, VF_E_INPUT, "a file of over %u MiB", VF_IMAGE_SOURCE_MAX >> 20);
    VF_TRY(vf_png_walk(data, len, &end, &report, why));
    if (!vf_signature_size_fits(report.width, report.height))
        return vf_fail(why, VF_E_INPUT, "%ux%u is over %ux%u", report.width, report.height, WIDTH_MAX, HEIGHT_MAX);
    j->source = vf_reader_of(data, end);
    j->out = &made;
    if (!guarded(j, read_body))
        return read_failed(j, why);
    if (!guarded(j, write_body))
        return write_failed(j, why);
    if (!vf_png_bare(made.data, made.len))
        return vf_fail(why, VF_E_INPUT, "cannot be separated from what hangs on it");
    vf_buf_put(out, made.data, made.len);
    VF_TRY(vf_buf_check(out, "signature", why));
    *ret = report;
    return VF_OK;
}
