/* SPDX-License-Identifier: MIT */
#include "import.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static enum vf_err job_init(struct vf_import_job *job, struct vf_why *why)
{
    pthread_condattr_t attr;
    bool good = true;

    job->photos_fd = -1;
    job->rejects.fd = -1;
    job->refs.fd = -1;
    job->last = &job->first;
    job->batch_last = &job->batch;
    if (pthread_condattr_init(&attr) != 0)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", job->opt->csv_path);
    good = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0 && pthread_mutex_init(&job->lock, NULL) == 0;
    if (good && pthread_cond_init(&job->more, &attr) != 0) {
        (void)pthread_mutex_destroy(&job->lock);
        good = false;
    }
    if (good && pthread_cond_init(&job->room, NULL) != 0) {
        (void)pthread_cond_destroy(&job->more);
        (void)pthread_mutex_destroy(&job->lock);
        good = false;
    }
    (void)pthread_condattr_destroy(&attr);
    job->has_sync = good;
    return good ? VF_OK : vf_fail(why, VF_E_NOMEM, "%s: out of memory", job->opt->csv_path);
}

static void job_done(struct vf_import_job *job)
{
    vf_import_blocks_free(job->first);
    vf_import_blocks_free(job->batch);
    for (size_t i = 0; job->columns != NULL && i < job->ncolumns; i++)
        free(job->columns[i]);
    for (size_t i = 0; i < job->nfiles; i++)
        free(job->files[i].name);
    for (size_t i = 0; i < job->nproblems; i++)
        free(job->problems[i].reason);
    free(job->columns);
    free(job->fields);
    free(job->rows);
    free(job->cells);
    free(job->items);
    free(job->files);
    free(job->problems);
    free(job->pubs);
    vf_buf_done(&job->csv);
    vf_buf_done(&job->text);
    vf_buf_done(&job->scratch);
    vf_csv_map_free(job->map);
    vf_fd_close(&job->photos_fd);
    vf_newfile_done(&job->rejects);
    vf_newfile_done(&job->refs);
    if (job->has_sync) {
        (void)pthread_cond_destroy(&job->room);
        (void)pthread_cond_destroy(&job->more);
        (void)pthread_mutex_destroy(&job->lock);
    }
}

/* The two files that hold personal data or refs: refused now rather than after the work. */
static enum vf_err open_outputs(struct vf_import_job *job, struct vf_why *why)
{
    const struct vf_import_options *opt = job->opt;

    if (opt->rejects_path != NULL)
        VF_TRY(vf_newfile_open(&job->rejects, opt->rejects_path, 0600, opt->force, why));
    if (opt->refs_out_path != NULL)
        VF_TRY(vf_newfile_open(&job->refs, opt->refs_out_path, 0600, opt->force, why));
    return VF_OK;
}

static enum vf_err check_options(struct vf_import_job *job, struct vf_why *why)
{
    const struct vf_import_options *opt = job->opt;

    job->photo_key = opt->photo_key != VF_FIELD_NONE ? opt->photo_key : VF_FIELD_WARRANT_NO;
    const struct vf_field_info *key = vf_field_info(job->photo_key);
    VF_TRY(vf_vault_need(job->v, !opt->check, why));
    if (key == NULL || key->kind != VF_KIND_TEXT)
        return vf_fail(why, VF_E_USAGE, "photos are found by the value of a text field");
    return VF_OK;
}

static enum vf_err log_import(struct vf_import_job *job, struct vf_why *why)
{
    const struct vf_import_report *r = &job->report;
    char hex[2 * VF_HASH_LEN + 1];
    char object[256];
    struct vf_entry entry = vf_vault_entry(job->v, VF_EVENT_IMPORT, object);

    vf_hex(job->csv_hash.b, VF_HASH_LEN, hex);
    (void)snprintf(object, sizeof(object), "sha256:%s rows %llu new %llu changed %llu unchanged %llu leavers %llu bad %llu",
                   hex, (unsigned long long)r->rows, (unsigned long long)r->added, (unsigned long long)r->changed,
                   (unsigned long long)r->unchanged, (unsigned long long)r->leavers, (unsigned long long)r->bad_rows);
    entry.has_count = true;
    entry.count = r->added + r->changed + r->leavers;
    return vf_vault_log(job->v, &entry, why);
}

/* What was staged and will never be named goes at once; if that fails, the next one who opens the vault for writing does it. */
static enum vf_err undo(struct vf_import_job *job, enum vf_err err)
{
    if (job->staged) {
        enum vf_err ignored = vf_sweep(job->v, true, NULL);
        (void)ignored;
    }
    return err;
}

/* Rejects before, refs after the commit: neither tells of what did not happen. */
static enum vf_err finish(struct vf_import_job *job, struct vf_why *why)
{
    VF_TRY(vf_import_rejects(job, why));
    VF_TRY(vf_import_refs(job, why));
    if (!job->opt->check)
        VF_TRY(log_import(job, why));
    return vf_import_publish(job, why);
}

static enum vf_err run(struct vf_import_job *job, struct vf_why *why)
{
    VF_TRY(open_outputs(job, why));
    VF_TRY(vf_import_photos_scan(job, why));
    VF_TRY(vf_import_read(job, why));
    VF_TRY(vf_import_match(job, why));
    enum vf_err err = vf_import_run(job, why);
    if (err == VF_OK)
        err = vf_import_summarise(job, why);
    if (err == VF_OK)
        err = finish(job, why);
    if (err != VF_OK)
        return undo(job, err);
    if (job->npubs > 0 && !job->was_empty)
        VF_TRY(vf_fail_prefix(why, vf_sweep(job->v, true, why), "the import is done, but old values are still there"));
    if (job->opt->refs_out_path != NULL)
        VF_TRY(vf_fail_prefix(why, vf_newfile_commit(&job->refs, why), "the import is done, but its refs are not written"));
    return VF_OK;
}

/* Done in part: what stayed out, and where it is to be found. */
static enum vf_err partial(const struct vf_import_report *r, const struct vf_import_options *opt, struct vf_why *why)
{
    return vf_fail(why, VF_E_PARTIAL, "%s: %llu bad row%s and %llu bad photo%s %s%s%s%s", opt->csv_path,
                   (unsigned long long)r->bad_rows, r->bad_rows == 1 ? "" : "s", (unsigned long long)r->bad_photos,
                   r->bad_photos == 1 ? "" : "s", opt->check ? "would stay out" : "stayed out",
                   opt->rejects_path ? "; mend them in " : "", opt->rejects_path ? opt->rejects_path : "",
                   opt->rejects_path ? ", and import that" : "");
}

enum vf_err vf_import(struct vf_vault *v, const struct vf_import_options *opt, struct vf_import_report *ret,
                      struct vf_why *why)
{
    VF_CLEANUP(job_done) struct vf_import_job job = {.v = v, .opt = opt, .now_us = vf_clock_wall_us()};

    VF_TRY(check_options(&job, why));
    VF_TRY(job_init(&job, why));
    VF_TRY(run(&job, why));
    vf_import_tell(&job);
    *ret = job.report;
    if (job.report.bad_rows + job.report.bad_photos == 0)
        return VF_OK;
    return partial(&job.report, opt, why);
}
