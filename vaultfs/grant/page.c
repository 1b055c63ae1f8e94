/* SPDX-License-Identifier: MIT */
#include "vaultfs/grant.h"

#include <stdarg.h>
#include <string.h>

#define FLUSH_AT (1024u * 1024)
#define PAGE_MAX (16u * 1024 * 1024) /* between two flushes: more than the largest image takes in base64 */

void vf_page_start(struct vf_page *p, int fd, const char *what, struct vf_why *why)
{
    *p = (struct vf_page){.fd = fd, .what = what, .why = why};
    vf_buf_init(&p->buf, PAGE_MAX);
}

void vf_page_done(struct vf_page *p)
{
    vf_buf_done(&p->buf);
}

static void flush(struct vf_page *p, size_t at)
{
    if (p->err == VF_OK)
        p->err = vf_buf_check(&p->buf, p->what, p->why);
    if (p->err != VF_OK || p->buf.len < at)
        return;
    p->err = vf_fd_write(p->fd, p->buf.data, p->buf.len, p->what, p->why);
    vf_buf_reset(&p->buf);
}

void vf_page_put(struct vf_page *p, const char *markup)
{
    if (p->err == VF_OK)
        vf_buf_text(&p->buf, markup);
    flush(p, FLUSH_AT);
}

void vf_page_fmt(struct vf_page *p, const char *fmt, ...)
{
    char text[512];
    va_list ap;

    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= sizeof(text)) {
        if (p->err == VF_OK)
            p->err = vf_fail(p->why, VF_E_LIMIT, "%s: a piece of the page is too long", p->what);
        return;
    }
    vf_page_put(p, text);
}

static const char *entity(char c)
{
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    default:
        return NULL;
    }
}

static void escape(struct vf_buf *out, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        const char *e = entity(text[i]);
        if (e != NULL)
            vf_buf_text(out, e);
        else
            vf_buf_put(out, &text[i], 1);
    }
}

void vf_page_text(struct vf_page *p, const char *text, size_t len)
{
    if (p->err != VF_OK)
        return;
    if (len > 0 && !vf_text_printable(text, len)) {
        vf_page_put(p, "<em>(cannot be shown)</em>");
        return;
    }
    vf_buf_text(&p->buf, "<bdi>");
    escape(&p->buf, text, len);
    vf_page_put(p, "</bdi>");
}

void vf_page_str(struct vf_page *p, const char *text)
{
    vf_page_text(p, text, strlen(text));
}

void vf_page_image(struct vf_page *p, const char *mime, const void *data, size_t len, const char *alt)
{
    if (p->err != VF_OK)
        return;
    vf_buf_text(&p->buf, "<img loading=lazy alt=\"");
    if (vf_text_printable(alt, strlen(alt)))
        escape(&p->buf, alt, strlen(alt));
    vf_buf_text(&p->buf, "\" src=\"data:");
    vf_buf_text(&p->buf, mime);
    vf_buf_text(&p->buf, ";base64,");
    vf_base64_put(&p->buf, data, len);
    vf_page_put(p, "\">");
}

enum vf_err vf_page_end(struct vf_page *p)
{
    flush(p, 1);
    return p->err;
}
