/* SPDX-License-Identifier: MIT */
/*
 * Writing an HTML page to a file in pieces. Everything that is not this program's own words goes through vf_page_text, which leaves nothing
 * that HTML could read. The first failure sticks; vf_page_end tells it. The buffer holds names and photos and is wiped.
 */
#ifndef VAULTFS_GRANT_PAGE_H
#define VAULTFS_GRANT_PAGE_H

#include <vaultfs/crypto.h>

struct vf_page {
    int fd;
    const char *what;
    struct vf_buf buf;
    enum vf_err err;
    struct vf_why *why;
};
void vf_page_start(struct vf_page *p, int fd, const char *what, struct vf_why *why);
/* Markup: a literal of the program. */
void vf_page_put(struct vf_page *p, const char *markup);
/* Markup with numbers and names of the program's own (fields, times). Never a string from outside. */
void vf_page_fmt(struct vf_page *p, const char *fmt, ...) VF_PRINTF(2, 3);
/* Text from anywhere: escaped, and isolated from the direction of what stands beside it. */
void vf_page_text(struct vf_page *p, const char *text, size_t len);
void vf_page_str(struct vf_page *p, const char *text);
/* An image as a data: URI, in an img element with this alternative text. */
void vf_page_image(struct vf_page *p, const char *mime, const void *data, size_t len, const char *alt);
/* Write what is left. */
VF_MUST_USE enum vf_err vf_page_end(struct vf_page *p);
void vf_page_done(struct vf_page *p);

#endif
