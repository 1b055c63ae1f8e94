/* SPDX-License-Identifier: MIT */
#include "import.h"

#include <stdlib.h>
#include <string.h>

#define OUT_MAX ((size_t)512 * 1024 * 1024)

/* ------------------------------------------------------------------------------------------------------------------- counts */

static int cmp_photos(const void *a, const void *b)
{
    const struct vf_import_row *x = *(struct vf_import_row *const *)a;
    const struct vf_import_row *y = *(struct vf_import_row *const *)b;
    int cmp = memcmp(x->photo.b, y->photo.b, VF_HASH_LEN);

    return cmp != 0 ? cmp : (x->row > y->row) - (x->row < y->row);
}

static bool same_photo(const struct vf_import_row *a, const struct vf_import_row *b)
{
    return memcmp(a->photo.b, b->photo.b, VF_HASH_LEN) == 0;
}

/* The same picture on two records of this import: told at each of them, since nobody knows whose it is. */
static enum vf_err tell_same_photos(struct vf_import_job *job, struct vf_import_row **sorted, size_t n, struct vf_why *why)
{
    char reason[80];

    for (size_t i = 0; i < n; i++) {
        const struct vf_import_row *other = NULL;
        if (i > 0 && same_photo(sorted[i - 1], sorted[i])) {
            other = sorted[i - 1];
            job->report.photos_duplicate++;
        } else if (i + 1 < n && same_photo(sorted[i + 1], sorted[i])) {
            other = sorted[i + 1];
        }
        if (other == NULL)
            continue;
        job->report.warnings++;
        (void)snprintf(reason, sizeof(reason), "the same picture as that of row %u", (unsigned)other->row);
        if (vf_import_problem(job, sorted[i]->row, "photo", reason, true) != VF_OK)
            return vf_fail(why, VF_E_NOMEM, "%s: out of memory", job->opt->csv_path);
    }
    return VF_OK;
}

static enum vf_err find_same_photos(struct vf_import_job *job, struct vf_why *why)
{
    VF_FREE struct vf_import_row **sorted = calloc(job->nrows + 1, sizeof(struct vf_import_row *));
    size_t n = 0;

    if (sorted == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", job->opt->csv_path);
    for (size_t i = 0; i < job->nrows; i++)
        if (job->rows[i].has_photo && !job->rows[i].bad)
            sorted[n++] = &job->rows[i];
    qsort(sorted, n, sizeof(struct vf_import_row *), cmp_photos);
    return tell_same_photos(job, sorted, n, why);
}

/* File names are warrant numbers as a rule, so they are counted and not told. */
static enum vf_err count_orphans(struct vf_import_job *job, struct vf_why *why)
{
    char reason[120];

    for (size_t i = 0; i < job->nfiles; i++)
        job->report.photos_orphan += !job->files[i].named;
    if (job->report.photos_orphan == 0)
        return VF_OK;
    job->report.warnings++;
    if (job->report.photos_orphan == 1)
        (void)snprintf(reason, sizeof(reason), "1 file in the folder of photos belongs to no row");
    else
        (void)snprintf(reason, sizeof(reason), "%llu files in the folder of photos belong to no row",
                       (unsigned long long)job->report.photos_orphan);
    return vf_import_problem(job, 0, NULL, reason, true) == VF_OK
               ? VF_OK
               : vf_fail(why, VF_E_NOMEM, "%s: out of memory", job->opt->csv_path);
}

enum vf_err vf_import_summarise(struct vf_import_job *job, struct vf_why *why)
{
    for (size_t i = 0; i < job->nrows; i++) {
        job->report.bad_rows += job->rows[i].bad;
        job->report.added += job->rows[i].outcome == VF_IMPORT_ADDED;
        job->report.changed += job->rows[i].outcome == VF_IMPORT_CHANGED;
        job->report.unchanged += job->rows[i].outcome == VF_IMPORT_UNCHANGED;
    }
    VF_TRY(find_same_photos(job, why));
    return count_orphans(job, why);
}

/* ----------------------------------------------------------------------------------------------------------------- problems */

static int cmp_problems(const void *a, const void *b)
{
    const struct vf_import_problem *x = a;
    const struct vf_import_problem *y = b;

    if (x->row != y->row)
        return x->row > y->row ? 1 : -1;
    return (x->order > y->order) - (x->order < y->order);
}

void vf_import_tell(struct vf_import_job *job)
{
    if (job->opt->problem == NULL || job->nproblems == 0)
        return;
    qsort(job->problems, job->nproblems, sizeof(*job->problems), cmp_problems);
    for (size_t i = 0; i < job->nproblems; i++) {
        const struct vf_import_problem *p = &job->problems[i];
        job->opt->problem(job->opt->user, p->row, p->column, p->reason, p->warning);
    }
}

/* ------------------------------------------------------------------------------------------------------------------ rejects */

struct rejects {
    struct vf_import_job *job;
    size_t next; /* row to come */
    struct vf_buf out;
};

static enum vf_err reject_header(void *user, const struct vf_csv_header *header, struct vf_why *why)
{
    struct rejects *r = user;

    for (size_t i = 0; i < header->ncolumns; i++) {
        vf_buf_text(&r->out, i > 0 ? "," : "");
        vf_csv_quote(&r->out, header->columns[i], strlen(header->columns[i]));
    }
    vf_buf_text(&r->out, "\n");
    return vf_buf_check(&r->out, r->job->opt->rejects_path, why);
}

static enum vf_err reject_row(void *user, const struct vf_csv_row *in, struct vf_why *why)
{
    struct rejects *r = user;
    const struct vf_import_row *row = &r->job->rows[r->next++];

    if (!row->bad && !row->bad_photo)
        return VF_OK;
    for (size_t i = 0; i < in->ncells; i++) {
        vf_buf_text(&r->out, i > 0 ? "," : "");
        vf_csv_quote(&r->out, in->cells[i].text, in->cells[i].len);
    }
    vf_buf_text(&r->out, "\n");
    return vf_buf_check(&r->out, r->job->opt->rejects_path, why);
}

enum vf_err vf_import_rejects(struct vf_import_job *job, struct vf_why *why)
{
    struct rejects r = {.job = job};
    struct vf_csv_sink sink = {.user = &r, .on_header = reject_header, .on_row = reject_row};

    if (job->opt->rejects_path == NULL || job->report.bad_rows + job->report.bad_photos == 0)
        return VF_OK;
    vf_buf_init(&r.out, OUT_MAX);
    /* The cells are read once more, so that they need not be kept for all the rows that are good. */
    enum vf_err err = vf_csv_parse((const char *)job->csv.data, job->csv.len, job->opt->csv_path, job->map, &sink, why);
    if (err == VF_OK)
        err = vf_fd_write(job->rejects.fd, r.out.data, r.out.len, job->opt->rejects_path, why);
    vf_buf_done(&r.out);
    return err == VF_OK ? vf_newfile_commit(&job->rejects, why) : err;
}

enum vf_err vf_import_refs(struct vf_import_job *job, struct vf_why *why)
{
    static const char *const outcomes[] = {"", "new", "changed", "unchanged"};
    VF_BUF out = {0};

    if (job->opt->refs_out_path == NULL)
        return VF_OK;
    vf_buf_init(&out, OUT_MAX);
    vf_buf_text(&out, "row,ref,result\n");
    for (size_t i = 0; i < job->nrows; i++) {
        const struct vf_import_row *row = &job->rows[i];
        bool told = row->found || !job->opt->check; /* a check gives no refs away that do not come to be */
        if (row->outcome != VF_IMPORT_NONE)
            vf_buf_fmt(&out, "%u,%.*s,%s\n", (unsigned)row->row, told ? VF_REF_LEN : 0, row->ref.c, outcomes[row->outcome]);
    }
    VF_TRY(vf_buf_check(&out, job->opt->refs_out_path, why));
    return vf_fd_write(job->refs.fd, out.data, out.len, job->opt->refs_out_path, why);
}
