/* SPDX-License-Identifier: MIT */
/*
 * Budget of distinct records a part. What was opened before is taken from the log, the one account of it that cannot be set back
 * unnoticed; so a budget needs no file of its own and survives any crash.
 */
#include "station_internal.h"

#include <stdlib.h>
#include <string.h>

static bool get_bit(const uint8_t *bits, uint32_t i)
{
    return bits[i / 8] >> (i % 8) & 1;
}

static void take_bit(struct vf_budget *b, enum vf_part part, uint32_t i)
{
    if (get_bit(b->opened[part], i))
        return;
    b->opened[part][i / 8] |= (uint8_t)(1u << (i % 8));
    if (b->left[part] > 0)
        b->left[part]--;
}

static bool part_of(const struct vf_entry_view *e, enum vf_part *ret)
{
    bool text = e->part.len == 4 && memcmp(e->part.p, "text", 4) == 0;
    bool image = e->part.len == 5 && memcmp(e->part.p, "image", 5) == 0;
    *ret = text ? VF_PART_TEXT : VF_PART_IMAGE;
    return text || image;
}

static enum vf_err take_entry(void *user, const struct vf_entry_view *e, bool sealed, struct vf_why *why)
{
    struct vf_job *job = user;
    enum vf_part part;
    (void)sealed;
    (void)why;
    if (e->event != VF_EVENT_OPEN || e->grant.len != sizeof(job->grant.id.c) ||
        memcmp(e->grant.p, job->grant.id.c, sizeof(job->grant.id.c)) != 0 || !part_of(e, &part))
        return VF_OK;
    if (e->all) {
        for (uint32_t i = 0; i < vf_catalogue_count(job->catalogue); i++)
            take_bit(job->budget, part, i);
        return VF_OK;
    }
    /* "REF","REF": an opened file names one, but any number is read. */
    for (size_t at = 1; at + VF_REF_LEN < e->refs.len; at += VF_REF_LEN + 3) {
        struct vf_ref ref;
        uint32_t index;
        if (vf_ref_parse(e->refs.p + at, VF_REF_LEN, &ref) && vf_catalogue_find(job->catalogue, &ref, &index))
            take_bit(job->budget, part, index);
    }
    return VF_OK;
}

static struct vf_budget *budget_new(const struct vf_grant *g)
{
    struct vf_budget *b = calloc(1, sizeof(*b));
    if (!b)
        return NULL;
    b->refs = 1;
    pthread_mutex_init(&b->lock, NULL);
    for (int part = 0; part < VF_PART_COUNT; part++) {
        b->left[part] = g->budget;
        b->opened[part] = calloc((size_t)g->records / 8 + 1, 1);
    }
    return b;
}

static enum vf_err load_from_log(struct vf_station *st, struct vf_job *job, struct vf_why *why)
{
    VF_FREE char *dir = vf_path_join(st->path, "log");
    VF_FREE struct vf_verdict *verdict = calloc(1, sizeof(*verdict));
    job->budget = budget_new(&job->grant);
    if (!dir || !verdict || !job->budget || !job->budget->opened[VF_PART_TEXT] || !job->budget->opened[VF_PART_IMAGE])
        return vf_fail(why, VF_E_NOMEM, "job %s: out of memory", job->grant.job);
    const struct vf_verify_options opt = {.each = take_entry, .user = job};
    VF_TRY(vf_log_verify(dir, &opt, verdict, why));
    if (!verdict->good)
        return vf_fail(why, VF_E_FORGED,
                       "the log of this station does not verify (%s): a limited grant cannot be used with it",
                       verdict->nfindings ? verdict->findings[0] : "unknown");
    return VF_OK;
}

enum vf_err vf_job_budget_load(struct vf_station *st, struct vf_job *job, const struct vf_job *before, struct vf_why *why)
{
    if (job->grant.budget == 0)
        return VF_OK;
    if (!before || !before->budget)
        return load_from_log(st, job, why);
    job->budget = before->budget; /* an open that is under way beside us is counted once, in one place */
    atomic_fetch_add(&job->budget->refs, 1);
    return VF_OK;
}

void vf_job_budget_free(struct vf_job *job)
{
    struct vf_budget *b = job->budget;
    job->budget = NULL;
    if (!b || atomic_fetch_sub(&b->refs, 1) != 1)
        return;
    for (int part = 0; part < VF_PART_COUNT; part++)
        free(b->opened[part]);
    pthread_mutex_destroy(&b->lock);
    free(b);
}

static enum vf_err used_up(const struct vf_job *job, struct vf_why *why)
{
    return vf_fail(why, VF_E_BUDGET, "This grant allows %llu different record%s to be opened, and no more. Ask the force.",
                   (unsigned long long)job->grant.budget, job->grant.budget == 1 ? "" : "s");
}

enum vf_err vf_job_budget_take(struct vf_station *st, struct vf_job *job, uint32_t index, enum vf_part part,
                               struct vf_why *why)
{
    (void)st;
    struct vf_budget *b = job->budget;
    if (!b)
        return VF_OK;
    pthread_mutex_lock(&b->lock);
    bool allowed = get_bit(b->opened[part], index) || b->left[part] > 0;
    if (allowed)
        take_bit(b, part, index);
    pthread_mutex_unlock(&b->lock);
    return allowed ? VF_OK : used_up(job, why);
}

enum vf_err vf_job_budget_take_all(struct vf_station *st, struct vf_job *job, enum vf_part part, struct vf_why *why)
{
    (void)st;
    struct vf_budget *b = job->budget;
    if (!b)
        return VF_OK;
    pthread_mutex_lock(&b->lock);
    bool allowed = job->grant.budget >= job->grant.records;
    for (uint32_t i = 0; allowed && i < job->grant.records; i++)
        take_bit(b, part, i);
    pthread_mutex_unlock(&b->lock);
    return allowed ? VF_OK : used_up(job, why);
}

/*
 * What the desk has released of a part are at least those that we know of, and never more than the budget. So when we know of that many there
 * are no others, and the desk need not be asked.
 */
enum vf_err vf_job_budget_check(struct vf_station *st, struct vf_job *job, uint32_t index, enum vf_part part,
                                struct vf_why *why)
{
    struct vf_budget *b = job->budget;
    if (!b)
        return VF_OK;
    pthread_mutex_lock(&b->lock);
    bool opened = get_bit(b->opened[part], index), left = b->left[part] > 0;
    pthread_mutex_unlock(&b->lock);
    bool allowed = opened || (left && (vf_job_share_released(job, index, part) || vf_job_budget_left(st, job, part) > 0));
    return allowed ? VF_OK : used_up(job, why);
}

uint64_t vf_job_budget_left(struct vf_station *st, const struct vf_job *job, enum vf_part part)
{
    (void)st;
    struct vf_budget *b = job->budget;
    if (!b)
        return UINT64_MAX;
    pthread_mutex_lock(&b->lock);
    uint64_t left = b->left[part];
    pthread_mutex_unlock(&b->lock);
    /* What the desk released counts there, opened or not. */
    uint64_t released = job->shares ? vf_shares_released(job->shares, part) : 0;
    uint64_t at_desk = released < job->grant.budget ? job->grant.budget - released : 0;
    return job->shares && at_desk < left ? at_desk : left;
}
