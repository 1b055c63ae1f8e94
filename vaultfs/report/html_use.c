/* SPDX-License-Identifier: MIT */
/* What was granted against what was read. */
#include "html_report.h"

#include <stdlib.h>
#include <string.h>

static uint32_t known_grant(const struct vf_report *r, const struct vf_row *row)
{
    struct vf_grant_id id;
    size_t len;
    const char *text = vf_row_text(row, &len);

    if (r->vault == NULL || len != sizeof(id.c))
        return VF_CASE_NONE;
    memcpy(id.c, text, sizeof(id.c));
    return vf_case_grant_find(r->vault, &id);
}

/* Every grant of the vault has a row, read or not. */
static void add_vault_grants(struct vf_report *r)
{
    for (size_t i = 0; r->vault != NULL && i < r->vault->ngrants; i++) {
        const struct vf_grant *g = &r->vault->grants[i].g;
        struct vf_row *row = vf_rows_at(&r->f.grants, 0, g->id.c, sizeof(g->id.c));
        if (row == &r->f.grants.others)
            continue;
        (void)snprintf(row->name, sizeof(row->name), "%s", g->job);
        (void)snprintf(row->other, sizeof(row->other), "%s", g->recipient);
        row->granted = g->fields;
        row->granted_records = g->records;
        row->until_us = g->until_us;
    }
}

static void add_list(struct vf_ref_row *to, const struct vf_row *list, uint64_t grant)
{
    const struct vf_counts *c = &list->c;

    to->opens[0] = c->lists > UINT32_MAX - to->opens[0] ? UINT32_MAX : to->opens[0] + (uint32_t)c->lists;
    to->fields |= c->fields;
    to->programs |= list->programs;
    to->grants[0] |= grant;
    to->first_us = c->first_us < to->first_us ? c->first_us : to->first_us;
    to->last_us = c->last_us > to->last_us ? c->last_us : to->last_us;
}

static uint32_t manifest_of(const struct vf_report *r, const struct vf_row *list)
{
    uint32_t known = known_grant(r, list);

    return known != VF_CASE_NONE ? r->vault->grants[known].manifest : VF_CASE_NONE;
}

bool vf_report_list_unknown(const struct vf_report *r, const struct vf_row *list)
{
    return manifest_of(r, list) == VF_CASE_NONE;
}

/* A list that was opened is the text of every record of its manifest, where the vault has that. */
static enum vf_err expand(struct vf_report *r, const struct vf_row *list, struct vf_why *why)
{
    uint32_t manifest = manifest_of(r, list);
    size_t len;
    const char *id = vf_row_text(list, &len);
    const struct vf_row *grant = vf_rows_find(&r->f.grants, 0, id, len);

    if (manifest == VF_CASE_NONE) {
        r->lists_unknown = vf_count_add(r->lists_unknown, list->c.lists);
        return VF_OK;
    }
    uint64_t bit = vf_rows_bit(&r->f.grants, grant != NULL ? grant : &r->f.grants.others);
    for (uint32_t i = 0; i < r->vault->manifests[manifest].n; i++) {
        struct vf_ref_row *row;
        VF_TRY(vf_refs_at(&r->f.refs, &r->vault->refs[r->vault->manifests[manifest].at[i]].ref, &row, why));
        if (row != NULL)
            add_list(row, list, bit);
        else
            r->f.refs.beyond++;
    }
    return VF_OK;
}

static void count_distinct(struct vf_report *r)
{
    for (size_t i = 0; i < r->f.refs.n; i++) {
        for (unsigned part = 0; part < 2; part++) {
            uint64_t mask = r->f.refs.row[i].grants[part] & (UINT64_MAX >> 1);
            for (; mask != 0; mask &= mask - 1)
                r->f.grants.row[__builtin_ctzll(mask)].distinct[part]++;
        }
    }
}

/* ---------------------------------------------------------------------------------------------------------------------- jobs */

static struct vf_job_use *job_at(struct vf_report *r, const struct vf_row *grant)
{
    for (size_t i = 0; i < r->njobs; i++)
        if (strcmp(r->job[i].job, grant->name) == 0 && strcmp(r->job[i].recipient, grant->other) == 0)
            return &r->job[i];
    if (r->njobs == VF_JOBS_MAX)
        return NULL;
    struct vf_job_use *j = &r->job[r->njobs++];
    (void)snprintf(j->job, sizeof(j->job), "%s", grant->name);
    (void)snprintf(j->recipient, sizeof(j->recipient), "%s", grant->other);
    return j;
}

/* Different records of a job: a renewal names the same ones, so they are counted over all its grants at once. */
static void count_job(struct vf_report *r, struct vf_job_use *j)
{
    uint64_t mask = 0;
    bool beyond = false;

    for (size_t i = 0; i < r->f.grants.n; i++) {
        const struct vf_row *g = &r->f.grants.row[i];
        if (strcmp(j->job, g->name) != 0 || strcmp(j->recipient, g->other) != 0)
            continue;
        mask |= vf_rows_bit(&r->f.grants, g);
        beyond = beyond || (i >= 63 && vf_counts_reads(&g->c) > 0) || (g->c.lists > 0 && r->lists_unknown > 0);
    }
    if (beyond) {
        j->read[0] = j->read[1] = UINT64_MAX;
        return;
    }
    mask &= UINT64_MAX >> 1;
    for (size_t i = 0; i < r->f.refs.n; i++) {
        j->read[0] += (r->f.refs.row[i].grants[0] & mask) != 0 ? 1 : 0;
        j->read[1] += (r->f.refs.row[i].grants[1] & mask) != 0 ? 1 : 0;
    }
}

static int by_job(const void *a, const void *b)
{
    const struct vf_job_use *x = a;
    const struct vf_job_use *y = b;
    int c = strcmp(x->job, y->job);

    return c != 0 ? c : strcmp(x->recipient, y->recipient);
}

static void find_jobs(struct vf_report *r)
{
    for (size_t i = 0; i < r->f.grants.n; i++) {
        const struct vf_row *g = &r->f.grants.row[i];
        if (g->granted == 0 && vf_counts_reads(&g->c) == 0)
            continue;
        struct vf_job_use *j = job_at(r, g);
        if (j == NULL) {
            r->beyond_jobs++;
            continue;
        }
        j->grants++;
        j->granted |= g->granted;
        j->single |= g->c.single;
        j->listed |= g->c.fields;
        j->records = g->granted_records > j->records ? g->granted_records : j->records;
    }
    for (size_t i = 0; i < r->njobs; i++) {
        r->job[i].listed &= ~r->job[i].single;
        count_job(r, &r->job[i]);
    }
    if (r->njobs > 1)
        qsort(r->job, r->njobs, sizeof(r->job[0]), by_job);
}

enum vf_err vf_report_use(struct vf_report *r, struct vf_why *why)
{
    add_vault_grants(r);
    for (size_t i = 0; i < r->f.lists.n; i++)
        VF_TRY(expand(r, &r->f.lists.row[i], why));
    r->lists_unknown = vf_count_add(r->lists_unknown, r->f.lists.nothers);
    r->expanded = r->f.lists.n > 0 && r->lists_unknown == 0;
    vf_refs_sort(&r->f.refs);
    count_distinct(r);
    find_jobs(r);
    return VF_OK;
}
