/* SPDX-License-Identifier: MIT */
/*
 * audit exposure: what a breach exposed, into a folder that appears whole or not at all. No key is needed, and no name comes in.
 */
#include "audit_exposure.h"

#include <string.h>
#include <vaultfs/report.h>

#define TEXT_MAX (64u * 1024 * 1024)

/* ----------------------------------------------------------------------------------------------------------- the question */

static enum vf_err take_scope(const struct kt_args *a, struct vf_exposure_options *o, struct vf_why *why)
{
    int n = kt_has(a, KT_GRANT_ID) + kt_has(a, KT_DEVICE) + kt_has(a, KT_ALL_RECORDS);
    const char *id = kt_get(a, KT_GRANT_ID);
    if (n != 1)
        return kt_usage(why, "say what is asked about: one of --all, --device NAME and --grant ID");
    if (kt_has(a, KT_DEVICE)) {
        o->scope = VF_EXPOSURE_DEVICE;
        o->device = kt_get(a, KT_DEVICE);
        if (!vf_name_valid(o->device, strlen(o->device)))
            return kt_usage(why, "--device: \"%s\" is no name of a device", o->device);
    } else if (id) {
        o->scope = VF_EXPOSURE_GRANT;
        if (!vf_grant_id_parse(id, strlen(id), &o->grant))
            return kt_usage(why, "--grant: an id has 16 characters of A-Z and 2-7");
    }
    return VF_OK;
}

static enum vf_err take_time(const struct kt_args *a, enum kt_option_id id, bool *ret_has, int64_t *ret, struct vf_why *why)
{
    *ret_has = kt_has(a, id);
    return *ret_has ? kt_time_arg(kt_option_name(id), kt_get(a, id), ret, why) : VF_OK;
}

static enum vf_err take_options(const struct kt_args *a, struct vf_exposure_options *o, struct vf_why *why)
{
    *o = (struct vf_exposure_options){.vault = kt_get(a, KT_VAULT_OR_BACKUP),
                                      .logs = a->opt[KT_LOG].v,
                                      .nlogs = a->opt[KT_LOG].n,
                                      .device_off = kt_has(a, KT_DEVICE_OFF),
                                      .passphrase_safe = kt_has(a, KT_PASSPHRASE_SAFE),
                                      .progress = kt_progress_show};
    VF_TRY(take_scope(a, o, why));
    VF_TRY(take_time(a, KT_SINCE, &o->has_since, &o->since_us, why));
    VF_TRY(take_time(a, KT_UNTIL_TIME, &o->has_until, &o->until_us, why));
    VF_TRY(take_time(a, KT_HOST_COMPROMISED_AT, &o->has_compromised, &o->compromised_us, why));
    VF_TRY(take_time(a, KT_AWARE_AT, &o->has_aware, &o->aware_us, why));
    o->now_us = vf_clock_wall_us(); /* after the times: `now` is not in the future */
    if (o->has_until)
        o->until_us += VF_SECOND_US - 1 - o->until_us % VF_SECOND_US; /* times are shown cut to seconds */
    if (o->has_since && o->has_until && o->since_us > o->until_us)
        return kt_usage(why, "--until is before --since");
    if (o->has_aware && o->aware_us > o->now_us)
        return kt_usage(why, "--aware-at lies in the future");
    if (o->has_compromised && o->compromised_us > o->now_us)
        return kt_usage(why, "--host-compromised-at lies in the future");
    return VF_OK;
}

/* --------------------------------------------------------------------------------------------------------- the folder */

static enum vf_err write_text(const struct vf_newdir *f, const char *name, const struct vf_buf *text, struct vf_why *why)
{
    VF_FREE char *path = vf_path_join(f->tmp, name);
    if (!path)
        return vf_fail(why, VF_E_NOMEM, "out of memory");
    VF_TRY(vf_buf_check(text, name, why));
    return vf_file_write(path, text->data, text->len, 0600, false, why);
}

static enum vf_err write_csv(const struct vf_newdir *f, const struct vf_exposure *x, struct vf_hash *ret, struct vf_why *why)
{
    VF_FREE char *path = vf_path_join(f->tmp, "exposed.csv");
    VF_NEWFILE out = {.fd = -1};
    if (!path)
        return vf_fail(why, VF_E_NOMEM, "out of memory");
    VF_TRY(vf_newfile_open(&out, path, 0600, false, why));
    VF_TRY(vf_exposure_write_csv(x, out.fd, "exposed.csv", ret, why));
    return vf_newfile_commit(&out, why);
}

static enum vf_err write_all(const struct vf_newdir *f, const struct vf_exposure *x, struct vf_buf *json, struct vf_why *why)
{
    struct vf_hash csv;
    VF_BUF ico, notice;
    vf_buf_init(&ico, TEXT_MAX);
    vf_buf_init(&notice, TEXT_MAX);
    VF_TRY(write_csv(f, x, &csv, why));
    VF_TRY(vf_exposure_put_json(x, &csv, json, why));
    vf_exposure_put_ico(x, &ico);
    vf_exposure_put_notice(x, &notice);
    VF_TRY(write_text(f, "summary.json", json, why));
    VF_TRY(write_text(f, "ico-draft.md", &ico, why));
    return write_text(f, "officer-notice.md", &notice, why);
}

/* ---------------------------------------------------------------------------------------------------------------- verb */

static enum vf_err show(const struct kt_args *a, const struct vf_exposure *x, const struct vf_buf *json, struct vf_why *why)
{
    VF_BUF words;
    vf_buf_init(&words, TEXT_MAX);
    if (!kt_has(a, KT_JSON)) {
        vf_exposure_put_words(x, &words);
        VF_TRY(vf_buf_check(&words, "the summary", why));
    }
    const struct vf_buf *shown = kt_has(a, KT_JSON) ? json : &words;
    if (fwrite(shown->data, 1, shown->len, stdout) != shown->len)
        return vf_fail_sys(why, "standard output");
    kt_say("Wrote %s: summary.json, exposed.csv, ico-draft.md, officer-notice.md. Names and routes: %s record notify-list.",
           kt_get(a, KT_OUTPUT), a->program);
    return VF_OK;
}

enum vf_err kt_audit_exposure(const struct kt_args *a, struct vf_why *why)
{
    struct kt_progress progress = {.what = "Verifying", .unit = "bytes"};
    VF_NEWDIR f = {0};
    struct vf_exposure_options o;
    VF_EXPOSURE x = NULL;
    VF_BUF json;

    vf_buf_init(&json, TEXT_MAX);
    VF_TRY(take_options(a, &o, why));
    VF_TRY(vf_newdir_open(&f, kt_get(a, KT_OUTPUT), true, why));
    VF_FREE char *scratch = vf_path_join(f.tmp, "scratch");
    if (!scratch)
        return vf_fail(why, VF_E_NOMEM, "out of memory");
    VF_TRY(vf_dir_make(scratch, why));
    o.scratch = scratch;
    o.user = &progress;
    enum vf_err err = vf_exposure_compute(&o, &x, why);
    kt_progress_done(&progress);
    VF_TRY(err);
    vf_dir_remove(scratch);
    VF_TRY(write_all(&f, x, &json, why));
    VF_TRY(vf_newdir_commit(&f, why));
    return show(a, x, &json, why);
}
