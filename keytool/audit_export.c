/* SPDX-License-Identifier: MIT */
#include "audit.h"

#include <stdlib.h>
#include <string.h>

#define OUT_MAX  ((size_t)1 << 20)
#define OUT_WHEN ((size_t)1 << 18)

typedef unsigned long long ull;

struct export
{
    bool csv;
    int fd;
    const char *path;
    struct vf_buf out;
    uint64_t n, unproven;
    struct kt_progress progress;
};

static enum vf_err flush(struct export *x, struct vf_why *why)
{
    VF_TRY(vf_buf_check(&x->out, x->path, why));
    VF_TRY(vf_fd_write(x->fd, x->out.data, x->out.len, x->path, why));
    vf_buf_reset(&x->out);
    return VF_OK;
}

static enum vf_err each(void *user, const struct vf_entry_view *e, bool sealed, struct vf_why *why)
{
    struct export *x = user;
    if (x->csv) {
        kt_entry_csv(e, sealed, &x->out);
    } else {
        kt_entry_json(e, sealed, &x->out);
        vf_buf_text(&x->out, "\n");
    }
    x->n++;
    x->unproven += sealed ? 0 : 1;
    return x->out.len >= OUT_WHEN ? flush(x, why) : VF_OK;
}

static void progress(void *user, uint64_t done, uint64_t total)
{
    struct export *x = user;
    kt_progress_show(&x->progress, done, total);
}

static enum vf_err write_all(struct export *x, const char *log, const struct kt_against *g, struct vf_verdict *v,
                             struct vf_why *why)
{
    struct vf_verify_options opt = kt_against_options(g);
    opt.each = each;
    opt.progress = progress;
    opt.user = x;
    if (x->csv)
        kt_entry_csv_header(&x->out);
    enum vf_err err = vf_log_verify(log, &opt, v, why);
    kt_progress_done(&x->progress);
    return err ? err : flush(x, why);
}

static enum vf_err export(const struct kt_args *a, struct export *x, struct vf_verdict *v, struct vf_why *why) {
    VF_CLEANUP(kt_against_done) struct kt_against g = {0}; VF_NEWFILE file = {.fd = -1}; const char *log = a->argv[0];

    VF_TRY(kt_against_take(a, log, &g, why));
    VF_TRY(kt_output_open(a, x->path, 0600, &file, why));
    x->fd = file.fd;
    VF_TRY(write_all(x, log, &g, v, why));
    VF_TRY(vf_newfile_commit(&file, why));
    kt_say("%s: %llu entr%s, %llu of them sealed", x->path, (ull)x->n, kt_ies(x->n), (ull)(x->n - x->unproven));
    if (!v->good) return vf_fail(
        why, VF_E_FORGED, "%s: %.200s; %s was written all the same: what is proven in it has sealed true, the rest false",
        log, v->nfindings ? v->findings[0] : "not good", x->path);
    return VF_OK;
}

enum vf_err kt_audit_export(const struct kt_args *a, struct vf_why *why)
{
    const char *format = kt_get(a, KT_FORMAT);
    VF_FREE struct vf_verdict *v = calloc(1, sizeof(*v));
    struct export x = {.fd = -1, .path = kt_get(a, KT_OUTPUT), .progress = {.what = "Exporting", .unit = "bytes"}};

    if (!v)
        return vf_fail(why, VF_E_NOMEM, "out of memory");
    x.csv = strcmp(format, "csv") == 0;
    if (!x.csv && strcmp(format, "jsonl") != 0)
        return kt_usage(why, "--format: \"%s\" is neither jsonl nor csv", format);
    vf_buf_init(&x.out, OUT_MAX);
    enum vf_err err = export(a, &x, v, why);
    vf_buf_done(&x.out);
    return err;
}
