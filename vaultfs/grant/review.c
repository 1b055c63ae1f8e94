/* SPDX-License-Identifier: MIT */
/* The review page: gathered, logged as a view of every record in it, then written. */
#include "review.h"

#include "issue.h"

#include <string.h>

static enum vf_err log_view(struct vf_vault *v, const struct vf_grant *g, struct vf_why *why)
{
    char words[VF_NAME_MAX + 16];
    const char *admin = vf_vault_admin(v);

    (void)snprintf(words, sizeof(words), "review by %s", admin != NULL ? admin : "nobody");
    return vf_grant_log(v, VF_EVENT_VIEW, g, words, why);
}

static enum vf_err write_page(const struct vf_review *r, int fd, const char *what, struct vf_why *why)
{
    VF_VIEW view = NULL;
    VF_CLEANUP(vf_page_done) struct vf_page p;

    vf_page_start(&p, fd, what, why);
    VF_TRY(vf_view_open(r->v, &view, why));
    vf_review_put_head(r, &p);
    VF_TRY(vf_review_put_records(r, view, &p, why));
    vf_page_put(&p, "</body></html>\n");
    return vf_page_end(&p);
}

enum vf_err vf_grant_review(struct vf_vault *v, const struct vf_grant_file *file, int fd, const char *what,
                            struct vf_why *why)
{
    VF_CLEANUP(vf_review_done) struct vf_review r = {0};

    VF_TRY(vf_review_gather(v, file, &r, why));
    VF_TRY(log_view(v, &file->grant, why));
    return write_page(&r, fd, what, why);
}
