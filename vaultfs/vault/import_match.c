/* SPDX-License-Identifier: MIT */
#include "import.h"

#include <stdlib.h>
#include <string.h>

/* -------------------------------------------------------------------------------------------------- two rows of one number */

static int cmp_index(const void *a, const void *b)
{
    const struct vf_import_row *x = *(struct vf_import_row *const *)a;
    const struct vf_import_row *y = *(struct vf_import_row *const *)b;
    int cmp = memcmp(x->index.b, y->index.b, VF_HASH_LEN);

    return cmp != 0 ? cmp : (x->row > y->row) - (x->row < y->row);
}

static bool same_number(const struct vf_import_row *a, const struct vf_import_row *b)
{
    return memcmp(a->index.b, b->index.b, VF_HASH_LEN) == 0;
}

static enum vf_err mark_doubles(struct vf_import_job *job, struct vf_import_row **sorted, size_t n, struct vf_why *why)
{
    const char *column = job->columns[job->column_of[VF_FIELD_WARRANT_NO]];
    char reason[80];

    for (size_t i = 0; i < n; i++) {
        const struct vf_import_row *other = NULL;
        if (i > 0 && same_number(sorted[i - 1], sorted[i]))
            other = sorted[i - 1];
        else if (i + 1 < n && same_number(sorted[i + 1], sorted[i]))
            other = sorted[i + 1];
        if (other == NULL)
            continue;
        sorted[i]->bad = true;
        (void)snprintf(reason, sizeof(reason), "row %u has the same number", (unsigned)other->row);
        if (vf_import_problem(job, sorted[i]->row, column, reason, false) != VF_OK)
            return vf_fail(why, VF_E_NOMEM, "%s: out of memory", job->opt->csv_path);
    }
    return VF_OK;
}

static enum vf_err find_doubles(struct vf_import_job *job, struct vf_why *why)
{
    VF_FREE struct vf_import_row **sorted = calloc(job->nrows + 1, sizeof(struct vf_import_row *));
    size_t n = 0;

    if (sorted == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", job->opt->csv_path);
    for (size_t i = 0; i < job->nrows; i++)
        if (job->rows[i].has_number)
            sorted[n++] = &job->rows[i];
    qsort(sorted, n, sizeof(struct vf_import_row *), cmp_index);
    return mark_doubles(job, sorted, n, why);
}

/* ---------------------------------------------------------------------------------------------------------- rows to records */

static enum vf_err find_record(struct vf_import_job *job, struct vf_view *view, struct vf_import_row *row,
                               struct vf_why *why)
{
    struct vf_slice ref;

    if (!row->has_number)
        return VF_OK;
    if (!vf_txn_get(view->txn, VF_VT_INDEX, row->index.b, VF_HASH_LEN, &ref))
        return vf_vault_txn_check(job->v, view->txn, why);
    if (!vf_ref_parse((const char *)ref.data, ref.len, &row->ref))
        return vf_vault_damaged(job->v, NULL, "a row of its index is no ref", why);
    row->found = true;
    return VF_OK;
}

static enum vf_err add_item(struct vf_import_job *job, const struct vf_ref *ref, struct vf_import_row *row,
                            struct vf_why *why)
{
    if (!vf_import_room(&job->items, &job->items_room, job->nitems, 1, sizeof(*job->items)))
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", job->opt->csv_path);
    job->items[job->nitems++] = (struct vf_import_item){*ref, row};
    return VF_OK;
}

/* 40 random bits that no record has. */
static void new_ref(struct vf_view *view, struct vf_ref *ret)
{
    struct vf_slice row;
    uint8_t random[5];

    do {
        vf_random(random, sizeof(random));
        vf_ref_from_bytes(random, ret);
    } while (vf_txn_get(view->txn, VF_VT_RECORD, ret->c, VF_REF_LEN, &row));
}

static int cmp_items(const void *a, const void *b)
{
    const struct vf_import_item *x = a;
    const struct vf_import_item *y = b;

    return vf_ref_cmp(&x->ref, &y->ref);
}

/* In ref order, so that the database grows at one end; and no two new records by chance of one ref. */
static void sort_items(struct vf_import_job *job, struct vf_view *view)
{
    bool again = job->nitems > 0;

    while (again) {
        again = false;
        qsort(job->items, job->nitems, sizeof(*job->items), cmp_items);
        for (size_t i = 1; i < job->nitems; i++) {
            struct vf_import_item *item = &job->items[i];
            if (vf_ref_cmp(&job->items[i - 1].ref, &item->ref) != 0 || item->row == NULL || item->row->found)
                continue;
            new_ref(view, &item->row->ref);
            item->ref = item->row->ref;
            again = true;
        }
    }
}

/* ------------------------------------------------------------------------------------------------------------------- leavers */

struct leavers {
    struct vf_import_job *job;
    struct vf_ref *present; /* refs of rows, sorted */
    size_t npresent;
    uint64_t active; /* records that are no leavers now */
};

static int cmp_refs(const void *a, const void *b)
{
    return vf_ref_cmp(a, b);
}

static enum vf_err each_record(void *user, const struct vf_head *head, struct vf_why *why)
{
    struct leavers *l = user;

    if (head->status == VF_STATUS_LEAVER)
        return VF_OK;
    l->active++;
    if (bsearch(&head->ref, l->present, l->npresent, sizeof(*l->present), cmp_refs) != NULL)
        return VF_OK;
    l->job->report.leavers++;
    return add_item(l->job, &head->ref, NULL, why);
}

static enum vf_err find_leavers(struct vf_import_job *job, struct vf_view *view, struct vf_why *why)
{
    VF_FREE struct vf_ref *present = calloc(job->nrows + 1, sizeof(*present));
    struct leavers l = {.job = job, .present = present};
    size_t before = job->nitems;

    if (present == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", job->opt->csv_path);
    /* A bad row's officer is in the file all the same; if a row does not even tell whose it is, anybody could be. */
    for (size_t i = 0; i < job->nrows; i++) {
        if (!job->rows[i].has_number) {
            job->report.warnings++;
            return vf_import_problem(job, job->rows[i].row, NULL,
                                     "no leavers are marked, because this row does not tell whose it is", true) == VF_OK
                       ? VF_OK
                       : vf_fail(why, VF_E_NOMEM, "%s: out of memory", job->opt->csv_path);
        }
        if (job->rows[i].found)
            present[l.npresent++] = job->rows[i].ref;
    }
    qsort(present, l.npresent, sizeof(*present), cmp_refs);
    VF_TRY(vf_view_each(view, each_record, &l, why));
    if ((job->nitems - before) * 2 > l.active && !job->opt->force)
        return vf_fail(why, VF_E_REFUSED,
                       "%s: this file would mark %zu of %llu records as leavers, more than half; is it the whole force? "
                       "--force does it",
                       job->opt->csv_path, job->nitems - before, (unsigned long long)l.active);
    return VF_OK;
}

enum vf_err vf_import_match(struct vf_import_job *job, struct vf_why *why)
{
    VF_VIEW view = NULL;

    VF_TRY(find_doubles(job, why));
    VF_TRY(vf_view_open(job->v, &view, why));
    for (size_t i = 0; i < job->nrows; i++) {
        struct vf_import_row *row = &job->rows[i];
        VF_TRY(find_record(job, view, row, why));
        if (row->bad) {
            struct vf_csv_cell key = vf_import_cell_get(job, row, job->photo_key);
            vf_import_photos_name(job, &key);
            continue;
        }
        if (!row->found)
            new_ref(view, &row->ref);
        VF_TRY(add_item(job, &row->ref, row, why));
    }
    VF_TRY(vf_vault_txn_check(job->v, view->txn, why));
    if (job->opt->full_snapshot)
        VF_TRY(find_leavers(job, view, why));
    sort_items(job, view);
    return vf_vault_txn_check(job->v, view->txn, why);
}
