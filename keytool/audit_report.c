/* SPDX-License-Identifier: MIT */
/* audit report: one page for people who would rather look than read; the same facts as a document. */
#include "audit_report.h"

#include <unistd.h>
#include <vaultfs/report.h>

/* Whose data was read stands in it, by ref: for its maker's eyes, who may pass it on. */
#define PAGE_MODE 0600

static enum vf_err write_page(const struct kt_args *a, const struct vf_report *r, struct vf_why *why)
{
    const char *path = kt_get(a, KT_OUTPUT);
    VF_NEWFILE out = {.fd = -1};

    VF_TRY(kt_output_open(a, path, PAGE_MODE, &out, why));
    VF_TRY(vf_report_write_html(r, out.fd, path, why));
    VF_TRY(vf_newfile_commit(&out, why));
    kt_say("%s: written; any browser opens it, without a network", path);
    return VF_OK;
}

enum vf_err kt_audit_report(const struct kt_args *a, struct vf_why *why)
{
    struct kt_progress p = {.what = "Reading the logs", .unit = "bytes"};
    const struct vf_report_options opt = {.logs = a->opt[KT_LOG].v,
                                          .nlogs = a->opt[KT_LOG].n,
                                          .vault = kt_get(a, KT_VAULT_OR_BACKUP),
                                          .now_us = vf_clock_wall_us(),
                                          .progress = kt_progress_show,
                                          .user = &p};
    VF_REPORT r = NULL;

    if (opt.nlogs == 0 && opt.vault == NULL)
        return kt_usage(why, "say what it is about: --log LOG, once for each, or --vault VAULT, or both");
    if (!kt_has(a, KT_OUTPUT) && !kt_has(a, KT_JSON))
        return kt_usage(why, "say where the page goes with -o FILE.html, or ask for a document with --json");
    if (kt_has(a, KT_OUTPUT))
        VF_TRY(kt_output_check(a, kt_get(a, KT_OUTPUT), why));
    enum vf_err err = vf_report_make(&opt, &r, why);
    kt_progress_done(&p);
    VF_TRY(err);
    if (kt_has(a, KT_OUTPUT))
        VF_TRY(write_page(a, r, why));
    if (kt_has(a, KT_JSON)) {
        VF_TRY(vf_report_write_json(r, STDOUT_FILENO, "standard output", why));
        VF_TRY(kt_stdout_done(why));
    }
    return vf_report_verdict(r, why);
}
