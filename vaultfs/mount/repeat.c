/* SPDX-License-Identifier: MIT */
/*
 * Opens of one file by one process within a second of its entry: one disclosure, and a count that follows.
 *
 * A fixed table of what was disclosed during the last second. In it is only what stands in the log durably: who joins needs to wait for
 * nobody. Sets of 16 places, chosen by hash. A place with nothing to tell (no second open yet) goes to the next one who needs it, oldest
 * first; when all 16 have something to tell, an open gets an entry of its own and no place.
 *
 * "One process" is the same number, the same executable, the same user, and a process that was there at the first open. For the last, the
 * first open costs nothing: two living processes never have one number, so the one that has it now had it then if it started before
 * then. The kernel tells starts to the hundredth of a second; one that started in that very hundredth is taken for another and gets an
 * entry of its own, with its start beside it, by which it is known from then on.
 */
#include "repeat.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define WAYS       16
#define SETS       (VF_REPEAT_PLACES / WAYS)
#define START_UNIT (VF_SECOND_US / 100)

struct place { /* kept apart from what was disclosed: the sweep looks at all of them */
    bool used;
    bool shut;    /* nobody joins any more */
    bool telling; /* its entry is being written: nobody touches it */
    uint32_t tag;
    unsigned inside; /* opens under way that have joined */
    uint64_t count;  /* opens that have joined and were served */
    int64_t since_us;
    int64_t started_us; /* of the process; -1: not known, but not after since_us */
};
struct vf_repeats {
    pthread_mutex_t lock;
    unsigned used;
    struct place place[VF_REPEAT_PLACES];
    struct vf_disclosure what[VF_REPEAT_PLACES];
};

struct vf_repeats *vf_repeats_new(void)
{
    struct vf_repeats *r = calloc(1, sizeof(*r));
    if (r)
        pthread_mutex_init(&r->lock, NULL);
    return r;
}

void vf_repeats_free(struct vf_repeats *r)
{
    if (!r)
        return;
    pthread_mutex_destroy(&r->lock);
    free(r);
}

static uint64_t hash_of(uint64_t ino, const struct vf_caller *c)
{
    uint64_t h = (ino ^ (uint64_t)(uint32_t)c->pid << 32 ^ c->uid) * UINT64_C(0x9e3779b97f4a7c15);
    h ^= h >> 32;
    h *= UINT64_C(0xff51afd7ed558ccd);
    return h ^ h >> 29;
}

static size_t set_of(uint64_t hash)
{
    return (size_t)(hash % SETS) * WAYS;
}

static bool same(const struct vf_disclosure *d, uint64_t ino, const struct vf_grant_id *grant, const struct vf_caller *c)
{
    return d->ino == ino && d->caller.pid == c->pid && d->caller.uid == c->uid &&
           memcmp(&d->grant, grant, sizeof(*grant)) == 0 && strcmp(d->caller.exe, c->exe) == 0;
}

/* Lock held. Free what has nothing to tell; what has is handed out, and vf_repeats_told must follow. */
static bool close_place(struct vf_repeats *r, size_t i, struct vf_repeat *ret)
{
    struct place *p = &r->place[i];
    p->shut = true;
    if (p->inside || p->telling)
        return false;
    if (p->count == 0) {
        p->used = false;
        r->used--;
        return false;
    }
    p->telling = true;
    ret->place = i;
    ret->count = p->count;
    ret->what = r->what[i];
    return true;
}

/* Lock held. The place that this open may join; closes the one that it is too late for. */
static bool find(struct vf_repeats *r, uint64_t ino, const struct vf_grant_id *grant, const struct vf_caller *c,
                 int64_t now_us, size_t *ret_place, struct vf_repeat *ret_due)
{
    uint64_t hash = hash_of(ino, c);
    size_t first = set_of(hash);
    bool found = false;
    for (size_t i = first; i < first + WAYS; i++) {
        struct place *p = &r->place[i];
        if (!p->used || p->telling || p->tag != (uint32_t)(hash >> 32) || !same(&r->what[i], ino, grant, c))
            continue;
        if (!p->shut && now_us >= p->since_us && now_us - p->since_us < VF_REPEAT_WINDOW_US) {
            *ret_place = i;
            found = true;
        } else if (ret_due->count == 0) {
            (void)close_place(r, i, ret_due);
        }
    }
    return found;
}

/* Is the process that has this number now the one of the place? *ret_started_us: what the kernel says now. */
static bool same_process(const struct vf_repeats_process *ops, int32_t pid, const struct place *p, int64_t *ret_started_us)
{
    if (!ops->started(pid, ret_started_us)) {
        *ret_started_us = -1;
        return false;
    }
    return p->started_us >= 0 ? p->started_us == *ret_started_us : *ret_started_us + START_UNIT <= p->since_us;
}

bool vf_repeats_join(struct vf_repeats *r, const struct vf_repeats_process *ops, uint64_t ino,
                     const struct vf_grant_id *grant, const struct vf_caller *caller, int64_t now_us,
                     struct vf_repeat_ticket *ret, struct vf_repeat *ret_due)
{
    struct place seen = {0};
    *ret = (struct vf_repeat_ticket){.place = VF_REPEAT_NONE, .since_us = now_us, .started_us = -1};
    ret_due->count = 0;
    if (caller->pid <= 0)
        return false;
    pthread_mutex_lock(&r->lock);
    bool found = find(r, ino, grant, caller, now_us, &ret->place, ret_due);
    if (found) {
        r->place[ret->place].inside++; /* nobody frees it meanwhile */
        seen = r->place[ret->place];
    }
    pthread_mutex_unlock(&r->lock);
    if (!found)
        return false;
    if (same_process(ops, caller->pid, &seen, &ret->started_us))
        return true;

    /* Another process, or not told apart from one: an entry of its own, and the place is closed. */
    pthread_mutex_lock(&r->lock);
    r->place[ret->place].inside--;
    r->place[ret->place].shut = true;
    if (ret_due->count == 0) /* else the sweep closes it */
        (void)close_place(r, ret->place, ret_due);
    pthread_mutex_unlock(&r->lock);
    ret->place = VF_REPEAT_NONE;
    return false;
}

/* Lock held. A free place of the set, or the oldest one with nothing to tell. */
static size_t choose(struct vf_repeats *r, size_t first)
{
    size_t best = VF_REPEAT_NONE;
    for (size_t i = first; i < first + WAYS; i++) {
        const struct place *p = &r->place[i];
        if (!p->used)
            return i;
        if (p->count || p->inside || p->telling)
            continue;
        if (best == VF_REPEAT_NONE || p->since_us < r->place[best].since_us)
            best = i;
    }
    return best;
}

/* The entry's own pieces, by value: the job that they are borrowed from may be gone when they are told. */
static void keep(struct vf_disclosure *d, uint64_t ino, const struct vf_entry *e)
{
    d->ino = ino;
    d->grant = *e->grant;
    (void)snprintf(d->job, sizeof(d->job), "%s", e->job);
    (void)snprintf(d->recipient, sizeof(d->recipient), "%s", e->recipient);
    d->all = e->all != NULL;
    if (d->all)
        d->manifest = *e->all;
    d->has_ref = e->nrefs == 1;
    if (d->has_ref)
        d->ref = e->refs[0];
    d->part = e->part;
    d->fields = e->fields;
    d->has_bytes = e->has_bytes;
    d->bytes = e->bytes;
    d->caller.uid = e->uid;
    d->caller.pid = e->pid;
    memcpy(d->caller.exe, e->exe, strlen(e->exe) + 1);
}

void vf_repeats_add(struct vf_repeats *r, uint64_t ino, const struct vf_entry *e, const struct vf_repeat_ticket *ticket)
{
    struct vf_caller caller = {.uid = e->uid, .pid = e->pid};
    if (e->pid <= 0 || e->nrefs > 1 || strlen(e->exe) >= sizeof(caller.exe))
        return;
    uint64_t hash = hash_of(ino, &caller);
    pthread_mutex_lock(&r->lock);
    size_t i = choose(r, set_of(hash));
    if (i != VF_REPEAT_NONE) {
        r->used += !r->place[i].used;
        r->place[i] = (struct place){
            .used = true, .tag = (uint32_t)(hash >> 32), .since_us = ticket->since_us, .started_us = ticket->started_us};
        keep(&r->what[i], ino, e);
    }
    pthread_mutex_unlock(&r->lock);
}

void vf_repeats_leave(struct vf_repeats *r, const struct vf_repeat_ticket *ticket, bool served)
{
    pthread_mutex_lock(&r->lock);
    r->place[ticket->place].inside--;
    r->place[ticket->place].count += served;
    pthread_mutex_unlock(&r->lock);
}

bool vf_repeats_next(struct vf_repeats *r, size_t *at, uint64_t slot, bool all, int64_t now_us, struct vf_repeat *ret)
{
    bool due = false;
    while (!due && *at < VF_REPEAT_PLACES) {
        /* One set at a time: opens do not wait for the whole sweep. */
        pthread_mutex_lock(&r->lock);
        size_t end = r->used ? (*at / WAYS + 1) * WAYS : VF_REPEAT_PLACES;
        for (; r->used && !due && *at < end; (*at)++) {
            const struct place *p = &r->place[*at];
            bool closes = all ? slot == VF_REPEAT_ANY_SLOT || r->what[*at].ino >> 40 == slot
                              : p->shut || now_us - p->since_us >= VF_REPEAT_WINDOW_US;
            if (p->used && closes)
                due = close_place(r, *at, ret);
        }
        if (!due)
            *at = end;
        pthread_mutex_unlock(&r->lock);
    }
    return due;
}

void vf_repeats_told(struct vf_repeats *r, const struct vf_repeat *told, bool written)
{
    pthread_mutex_lock(&r->lock);
    struct place *p = &r->place[told->place];
    p->telling = false;
    if (written) {
        p->used = false;
        r->used--;
    }
    pthread_mutex_unlock(&r->lock);
}

void vf_repeat_entry(const struct vf_repeat *told, struct vf_entry *ret)
{
    const struct vf_disclosure *d = &told->what;
    *ret = (struct vf_entry){.event = VF_EVENT_REPEAT,
                             .grant = &d->grant,
                             .job = d->job,
                             .recipient = d->recipient,
                             .refs = d->has_ref ? &d->ref : NULL,
                             .nrefs = d->has_ref,
                             .all = d->all ? &d->manifest : NULL,
                             .part = d->part,
                             .fields = d->fields,
                             .has_bytes = d->has_bytes,
                             .bytes = d->bytes,
                             .has_caller = true,
                             .uid = d->caller.uid,
                             .pid = d->caller.pid,
                             .exe = d->caller.exe,
                             .has_count = true,
                             .count = told->count,
                             .result = "ok"};
}
