/* SPDX-License-Identifier: MIT */
#include "import.h"

#include <stdlib.h>
#include <string.h>

#define MAP_BYTES_MAX (1024u * 1024)

bool vf_import_room(void *array, size_t *room, size_t have, size_t n, size_t size)
{
    void **at = array;
    size_t next = *room > 0 ? *room : 256;

    if (n <= *room - have)
        return true;
    while (next - have < n)
        next *= 2;
    void *more = reallocarray(*at, next, size);
    if (more == NULL)
        return false;
    *at = more;
    *room = next;
    return true;
}

enum vf_err vf_import_problem(struct vf_import_job *job, uint32_t row, const char *column, const char *reason, bool warning)
{
    char *copy = strdup(reason);
    enum vf_err err = VF_E_NOMEM;

    if (copy == NULL)
        return err;
    (void)pthread_mutex_lock(&job->lock);
    if (vf_import_room(&job->problems, &job->problems_room, job->nproblems, 1, sizeof(*job->problems))) {
        job->problems[job->nproblems] = (struct vf_import_problem){
            .row = row, .order = (uint32_t)job->nproblems, .column = column, .reason = copy, .warning = warning};
        job->nproblems++;
        err = VF_OK;
    }
    (void)pthread_mutex_unlock(&job->lock);
    if (err != VF_OK)
        free(copy);
    return err;
}

struct vf_csv_cell vf_import_cell_get(const struct vf_import_job *job, const struct vf_import_row *row, unsigned field)
{
    if (job->column_of[field] < 0)
        return (struct vf_csv_cell){0};
    const struct vf_import_cell *cell = &job->cells[row->cells + job->slot_of[field]];
    return (struct vf_csv_cell){cell->len > 0 ? (const char *)job->text.data + cell->at : "", cell->len};
}

/* ------------------------------------------------------------------------------------------------------------------- header */

static enum vf_err on_header(void *user, const struct vf_csv_header *header, struct vf_why *why)
{
    struct vf_import_job *job = user;

    job->columns = calloc(header->ncolumns + 1, sizeof(*job->columns));
    job->fields = calloc(header->ncolumns + 1, sizeof(*job->fields));
    if (job->columns == NULL || job->fields == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", job->opt->csv_path);
    job->ncolumns = header->ncolumns;
    for (size_t i = 0; i < header->ncolumns; i++) {
        job->fields[i] = header->fields[i];
        job->columns[i] = strdup(header->columns[i]);
        if (job->columns[i] == NULL)
            return vf_fail(why, VF_E_NOMEM, "%s: out of memory", job->opt->csv_path);
        if (job->fields[i] == VF_FIELD_NONE)
            continue;
        job->column_of[job->fields[i]] = (int)i;
        job->slot_of[job->fields[i]] = job->nslots++;
    }
    if (job->column_of[VF_FIELD_WARRANT_NO] < 0)
        return vf_fail(why, VF_E_INPUT, "%s: no column warrant_no, by which rows find their records", job->opt->csv_path);
    return VF_OK;
}

/* --------------------------------------------------------------------------------------------------------------------- rows */

static enum vf_err nomem(const struct vf_import_job *job, struct vf_why *why)
{
    return vf_fail(why, VF_E_NOMEM, "%s: out of memory", job->opt->csv_path);
}

static enum vf_err bad_cell(struct vf_import_job *job, struct vf_import_row *row, const char *column, const char *reason)
{
    row->bad = true;
    return vf_import_problem(job, row->row, column, reason, false);
}

/* Check and normalise into job->scratch. VF_E_INPUT: why->text is the reason. */
static enum vf_err check_cell(struct vf_import_job *job, enum vf_field field, const struct vf_csv_cell *cell,
                              struct vf_why *why)
{
    char iso[VF_DATE_LEN + 1];

    /* source_updated is a date or a time; what is not a date of the format may be the latter. */
    bool moment = field == VF_FIELD_SOURCE_UPDATED;
    if (!job->has_date_format || (!vf_field_is_date(field) && !moment) ||
        (moment && vf_date_convert(&job->date_format, cell->text, cell->len, iso, NULL) != VF_OK))
        return vf_field_check(&job->v->rules, field, cell->text, cell->len, &job->scratch, why);
    VF_TRY(vf_date_convert(&job->date_format, cell->text, cell->len, iso, why));
    return vf_field_check(&job->v->rules, field, iso, strlen(iso), &job->scratch, why);
}

static enum vf_err take_cell(struct vf_import_job *job, struct vf_import_row *row, size_t column,
                             const struct vf_csv_cell *cell, struct vf_why *why)
{
    enum vf_field field = job->fields[column];
    struct vf_import_cell *out = &job->cells[row->cells + job->slot_of[field]];
    struct vf_why reason = {0};

    if (field == VF_FIELD_NONE)
        return VF_OK;
    enum vf_err err = check_cell(job, field, cell, &reason);
    if (err == VF_E_INPUT)
        return bad_cell(job, row, job->columns[column], reason.text) == VF_OK ? VF_OK : nomem(job, why);
    if (err != VF_OK)
        return vf_fail(why, err, "%s: row %u: %s", job->opt->csv_path, (unsigned)row->row, reason.text);
    out->at = (uint32_t)job->text.len;
    out->len = (uint32_t)job->scratch.len;
    vf_buf_put(&job->text, job->scratch.data, job->scratch.len);
    if (field == VF_FIELD_WARRANT_NO && job->scratch.len > 0) {
        vf_index_of(&job->v->keys->index, (const char *)job->scratch.data, job->scratch.len, &row->index);
        row->has_number = true;
    }
    return VF_OK;
}

static enum vf_err on_row(void *user, const struct vf_csv_row *in, struct vf_why *why)
{
    struct vf_import_job *job = user;
    char reason[80];

    if (!vf_import_room(&job->rows, &job->rows_room, job->nrows, 1, sizeof(*job->rows)) ||
        !vf_import_room(&job->cells, &job->cells_room, job->ncells, job->nslots, sizeof(*job->cells)))
        return nomem(job, why);
    struct vf_import_row *row = &job->rows[job->nrows++];
    *row = (struct vf_import_row){.row = in->row, .cells = (uint32_t)job->ncells};
    memset(job->cells + job->ncells, 0, job->nslots * sizeof(*job->cells));
    job->ncells += job->nslots;
    if (in->ncells != job->ncolumns) {
        (void)snprintf(reason, sizeof(reason), "%zu cells, but the header has %zu", in->ncells, job->ncolumns);
        return bad_cell(job, row, NULL, reason) == VF_OK ? VF_OK : nomem(job, why);
    }
    for (size_t i = 0; i < in->ncells; i++)
        VF_TRY(take_cell(job, row, i, &in->cells[i], why));
    return vf_buf_check(&job->text, job->opt->csv_path, why);
}

/* ---------------------------------------------------------------------------------------------------------------------- file */

static enum vf_err read_map(struct vf_import_job *job, struct vf_why *why)
{
    VF_BUF map = {0};

    if (job->opt->map_path == NULL)
        return VF_OK;
    VF_TRY(vf_file_read(job->opt->map_path, MAP_BYTES_MAX, &map, why));
    return vf_csv_map_parse((const char *)map.data, map.len, job->opt->map_path, &job->map, why);
}

enum vf_err vf_import_read(struct vf_import_job *job, struct vf_why *why)
{
    struct vf_csv_sink sink = {.user = job, .on_header = on_header, .on_row = on_row};

    for (unsigned f = 0; f < VF_FIELD_COUNT; f++)
        job->column_of[f] = -1;
    if (job->opt->date_format != NULL) {
        VF_TRY(vf_date_format_parse(job->opt->date_format, &job->date_format, why));
        job->has_date_format = true;
    }
    VF_TRY(read_map(job, why));
    VF_TRY(vf_file_read(job->opt->csv_path, VF_CSV_BYTES_MAX, &job->csv, why));
    vf_sha256(job->csv.data, job->csv.len, &job->csv_hash);
    vf_buf_init(&job->text, VF_IMPORT_TEXT_MAX);
    vf_buf_init(&job->scratch, VF_VALUE_ROW_MAX);
    VF_TRY(vf_csv_parse((const char *)job->csv.data, job->csv.len, job->opt->csv_path, job->map, &sink, why));
    job->report.rows = job->nrows;
    return VF_OK;
}
