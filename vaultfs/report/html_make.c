/* SPDX-License-Identifier: MIT */
/* A report from beginning to end. */
#include "html_report.h"

#include <stdlib.h>
#include <string.h>

void vf_report_free(struct vf_report *r)
{
    if (r == NULL)
        return;
    for (size_t i = 0; i < r->nnotices; i++) {
        free(r->notice[i].text);
        free(r->notice[i].rule);
    }
    vf_facts_done(&r->f);
    vf_case_close(r->vault);
    free(r);
}

void vf_report_cleanup(struct vf_report **r)
{
    vf_report_free(*r);
    *r = NULL;
}

enum vf_err vf_report_make(const struct vf_report_options *opt, struct vf_report **ret, struct vf_why *why)
{
    VF_REPORT r = calloc(1, sizeof(*r));

    if (r == NULL)
        return vf_fail(why, VF_E_NOMEM, "no memory for a report");
    r->now_us = opt->now_us;
    if (opt->vault != NULL)
        VF_TRY(vf_case_open(opt->vault, NULL, &r->vault, why));
    VF_TRY(vf_report_gather(r, opt, why));
    VF_TRY(vf_report_use(r, why));
    VF_TRY(vf_report_find(r, why));
    *ret = r;
    r = NULL;
    return VF_OK;
}

enum vf_err vf_report_write_html(const struct vf_report *r, int fd, const char *what, struct vf_why *why)
{
    VF_CLEANUP(vf_page_done) struct vf_page p;

    vf_page_start(&p, fd, what, why);
    vf_report_put_head(r, &p);
    vf_report_put_notices(r, &p);
    vf_report_put_times(r, &p);
    vf_report_put_tables(r, &p);
    vf_report_put_use(r, &p);
    vf_report_put_refs(r, &p);
    vf_report_put_logs(r, &p);
    vf_report_put_notes(r, &p);
    return vf_page_end(&p);
}

enum vf_err vf_report_verdict(const struct vf_report *r, struct vf_why *why)
{
    for (size_t i = 0; i < r->f.nlogs; i++) {
        const struct vf_log_facts *l = &r->f.log[i];
        if (l->verdict != NULL && !l->verdict->good)
            return vf_fail(why, VF_E_FORGED, "%s: %.300s", l->path,
                           l->verdict->nfindings > 0 ? l->verdict->findings[0] : "not good");
    }
    for (size_t i = 0; i < r->f.nlogs; i++)
        if (r->f.log[i].verdict == NULL)
            return vf_fail(why, vf_err_exit(r->f.log[i].err) == 3 ? VF_E_DAMAGED : VF_E_PARTIAL, "%s", r->f.log[i].why);
    return VF_OK;
}
