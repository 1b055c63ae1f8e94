/* SPDX-License-Identifier: MIT */
/*
 * What is not asked of the desk again, and the same answer is given at once:
 *
 *   for five seconds    what the desk refused, or did not answer
 *   for a minute        new images of a grant, after RATE
 *   as long as we run   new records of a grant and part, after BUDGET: a budget never grows
 *
 * What was released before is free, whatever is used up. Where this mount knows that it was, it is asked for (again) as ever. After BUDGET the
 * desk may still have released a record that we do not know of (by a mount before this one that looked ahead), and it alone can tell. So the
 * next request carries others that are not known either: those that its answer lacks are never asked for again. Nothing new can come of
 * it, and the desk is asked once for 64 records, not once for each.
 */
#include "client_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RATE_HOLD_US (60 * VF_SECOND_US)

struct client_spent {
    struct client_spent *next;
    struct vf_grant_id grant;
    enum vf_part part;
    uint32_t count;
    uint8_t never[]; /* bit set of records */
};

static bool holds(const struct client_hold *h, int64_t now)
{
    return h->until_boot_us > now;
}

static bool is_of(const struct vf_grant_id *a, const struct vf_job *job)
{
    return memcmp(a, &vf_job_grant(job)->id, sizeof(*a)) == 0;
}

static struct client_spent *spent_of(const struct client_holds *h, const struct vf_job *job, enum vf_part part)
{
    struct client_spent *s = h->spent;
    while (s && !(s->part == part && is_of(&s->grant, job)))
        s = s->next;
    return s;
}

static bool is_never(const struct client_spent *s, uint32_t index)
{
    return index < s->count && (s->never[index / 8] >> (index % 8) & 1);
}

enum vf_err vf_client_hold_budget(const struct client_holds *h, struct vf_station *st, struct vf_job *job, uint32_t index,
                                  enum vf_part part, struct vf_why *why)
{
    int64_t now = vf_clock_boot_us();
    if (index == CLIENT_ALL) /* there is no such thing unless the budget covers it */
        return VF_OK;
    VF_TRY(vf_job_budget_check(st, job, index, part, why));
    if (vf_job_share_released(job, index, part))
        return VF_OK;
    const struct client_spent *s = spent_of(h, job, part);
    if (s && is_never(s, index))
        return vf_fail(why, VF_E_BUDGET,
                       "job %s: the key desk releases no further record: the limit of the grant is reached",
                       vf_job_grant(job)->job);
    for (size_t i = 0; i < CLIENT_HOLDS; i++) {
        const struct client_hold *one = &h->one[i];
        if (one->scope == CLIENT_HOLD_NEW && holds(one, now) && one->part == part && is_of(&one->grant, job))
            return vf_fail(why, one->err, "%s", one->text);
    }
    return VF_OK;
}

enum vf_err vf_client_hold_check(const struct client_holds *h, const struct vf_job *job, uint32_t index, enum vf_part part,
                                 struct vf_why *why)
{
    int64_t now = vf_clock_boot_us();
    if (holds(&h->all, now))
        return vf_fail(why, h->all.err, "%s", h->all.text);
    for (size_t i = 0; i < CLIENT_HOLDS; i++) {
        const struct client_hold *one = &h->one[i];
        bool meant = one->scope == CLIENT_HOLD_GRANT ||
                     (one->scope == CLIENT_HOLD_RECORD && one->index == index && one->part == part);
        if (meant && holds(one, now) && is_of(&one->grant, job))
            return vf_fail(why, one->err, "%s", one->text);
    }
    return VF_OK;
}

static void hold(struct client_hold *h, int64_t us, enum vf_err err, const char *text)
{
    h->err = err;
    h->until_boot_us = vf_clock_boot_us() + us;
    (void)snprintf(h->text, sizeof(h->text), "%s", text);
}

void vf_client_hold_all(struct client_holds *h, enum vf_err err, const char *text)
{
    hold(&h->all, VF_DESK_WAIT_US, err, text);
}

void vf_client_hold_one(struct client_holds *h, enum client_hold_scope scope, const struct vf_job *job, uint32_t index,
                        enum vf_part part, enum vf_err err, const char *text)
{
    struct client_hold *one = &h->one[h->next];
    h->next = (h->next + 1) % CLIENT_HOLDS;
    *one = (struct client_hold){.scope = scope, .grant = vf_job_grant(job)->id, .index = index, .part = part};
    hold(one, scope == CLIENT_HOLD_NEW ? RATE_HOLD_US : VF_DESK_WAIT_US, err, text);
}

static struct client_spent *new_spent(struct client_holds *h, const struct vf_job *job, enum vf_part part)
{
    uint32_t count = vf_job_count(job);
    struct client_spent *s = calloc(1, sizeof(*s) + count / 8 + 1);
    if (!s)
        return NULL;
    s->grant = vf_job_grant(job)->id;
    s->part = part;
    s->count = count;
    s->next = h->spent;
    h->spent = s;
    return s;
}

/* Of one part, so that it is known which one the answer is about. */
static bool one_part(const struct client_ask *a)
{
    for (size_t i = 1; i < a->nwants; i++)
        if (a->want[i].part != a->want[0].part)
            return false;
    return !a->all_text && a->nwants > 0;
}

void vf_client_hold_answered(struct client_holds *h, const struct client_ask *a, enum vf_err err, const char *text)
{
    if (!one_part(a))
        return;
    enum vf_part part = a->want[0].part;
    if (err == VF_E_BUDGET && a->said == VF_ANSWER_RATE)
        vf_client_hold_one(h, CLIENT_HOLD_NEW, a->job, CLIENT_ALL, part, err, text);
    struct client_spent *s = spent_of(h, a->job, part);
    if (!s && err == VF_E_BUDGET && a->said == VF_ANSWER_BUDGET && vf_job_grant(a->job)->budget > 0)
        s = new_spent(h, a->job, part);
    if (!s || !(err == VF_OK || (err == VF_E_BUDGET && a->said == VF_ANSWER_BUDGET)))
        return;
    for (size_t i = 0; i < a->nwants; i++) {
        uint32_t index = a->want[i].index;
        if (index < s->count && !vf_job_share_released(a->job, index, part))
            s->never[index / 8] |= (uint8_t)(1u << (index % 8));
    }
}

void vf_client_hold_others(const struct client_holds *h, struct client_ask *a, uint32_t index, enum vf_part part)
{
    const struct client_spent *s = spent_of(h, a->job, part);
    for (uint32_t i = 1; s && i < s->count && a->nwants < VF_REQUEST_WANTS_MAX; i++) {
        uint32_t other = (uint32_t)(((uint64_t)index + i) % s->count);
        struct vf_job_item item;
        vf_job_item_get(a->job, other, &item);
        bool there = part == VF_PART_TEXT ? item.text : item.photo || item.signature;
        if (there && !is_never(s, other) && !vf_job_share_released(a->job, other, part))
            (void)vf_client_ask_add(a, other, part);
    }
}

void vf_client_holds_done(struct client_holds *h)
{
    while (h->spent) {
        struct client_spent *s = h->spent;
        h->spent = s->next;
        free(s);
    }
}
