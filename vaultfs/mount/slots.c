/* SPDX-License-Identifier: MIT */
#include "mount.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* 24 bits of the hash of job name and manifest; the next free number when two folders meet. */
static uint32_t slot_number(struct vf_session *s, const struct vf_grant *g)
{
    uint8_t in[VF_JOB_MAX + 1 + VF_HASH_LEN] = {0};
    struct vf_hash h;
    memcpy(in, g->job, sizeof(g->job));
    memcpy(in + VF_JOB_MAX + 1, g->manifest_hash.b, VF_HASH_LEN);
    vf_sha256(in, sizeof(in), &h);
    uint32_t number = vf_get_be32(h.b) >> 8;
    for (size_t i = 0; i < s->nslots || number == 0;) {
        if (number == 0 || s->slots[i]->number == number) {
            number = (number + 1) & 0xffffff;
            i = 0;
            continue;
        }
        i++;
    }
    return number;
}

static void slot_free(struct vf_slot_job *slot)
{
    if (!slot)
        return;
    vf_job_unref(slot->job);
    vf_job_unref(slot->before);
    vf_end_gate_done(&slot->gate);
    vf_files_done(&slot->files);
    for (int part = 0; part < VF_PART_COUNT; part++)
        pthread_mutex_destroy(&slot->walk[part].lock);
    pthread_rwlock_destroy(&slot->job_lock);
    vf_cards_unref(slot->cards);
    vf_listings_free(slot);
    free(slot);
}

static struct vf_slot_job *slot_new(struct vf_session *s, struct vf_job *job)
{
    const struct vf_grant *g = vf_job_grant(job);
    struct vf_slot_job *slot = calloc(1, sizeof(*slot));
    if (!slot)
        return NULL;
    pthread_rwlock_init(&slot->job_lock, NULL);
    vf_end_gate_init(&slot->gate);
    vf_files_init(&slot->files, s->opt->cache_grant);
    for (int part = 0; part < VF_PART_COUNT; part++) {
        pthread_mutex_init(&slot->walk[part].lock, NULL);
        slot->walk[part].last = UINT32_MAX; /* nothing was opened yet */
    }
    slot->number = slot_number(s, g);
    memcpy(slot->name, g->job, sizeof(slot->name));
    slot->manifest = g->manifest_hash;
    slot->job = vf_job_ref(job);
    for (uint32_t i = 0; i < vf_job_count(job); i++) {
        struct vf_job_item item;
        vf_job_item_get(job, i, &item);
        if (item.changed_us > slot->changed_us)
            slot->changed_us = item.changed_us;
    }
    if (vf_listings_init(slot, vf_job_count(job)) || vf_cards_layout(s, job, &slot->cards)) {
        slot_free(slot);
        return NULL;
    }
    return slot;
}

/* Put a newer grant of the same contents in place: readers in flight keep the old one until they are done. */
static bool slot_renew(struct vf_session *s, struct vf_slot_job *slot, struct vf_job *job)
{
    struct vf_cards *cards = NULL;
    if (vf_cards_layout(s, job, &cards)) /* values may have arrived since */
        return false;
    pthread_rwlock_wrlock(&slot->job_lock);
    struct vf_cards *old_cards = slot->cards;
    slot->cards = cards;
    struct vf_job *old = slot->job;
    bool same_grant = memcmp(&vf_job_grant(old)->id, &vf_job_grant(job)->id, sizeof(struct vf_grant_id)) == 0;
    slot->job = vf_job_ref(job);
    if (!same_grant && vf_job_online(old)) { /* a renewal disturbs no open file */
        struct vf_job *older = slot->before;
        slot->before = old;
        old = older;
    }
    pthread_rwlock_unlock(&slot->job_lock);
    if (!same_grant)
        slot->warned = 0;
    vf_job_unref(old);
    vf_cards_unref(old_cards);
    return true;
}

/*
 * A slot that had ended can be used again: a renewal came after the end, or the clock had been set forward by mistake and is right again
 * (an end by the wall clock alone is reversible). Its numbers stay what they were.
 */
static void slot_reopen(struct vf_slot_job *slot)
{
    slot->ending = false;
    vf_end_gate_open(&slot->gate);
    atomic_store(&slot->state, VF_SLOT_LIVE);
}

static enum vf_err add_slot(struct vf_session *s, struct vf_slot_job *slot)
{
    struct vf_slot_job **grown = realloc(s->slots, (s->nslots + 1) * sizeof(struct vf_slot_job *));
    if (!grown)
        return VF_E_NOMEM;
    s->slots = grown;
    s->slots[s->nslots++] = slot;
    return VF_OK;
}

static enum vf_err take_job(struct vf_session *s, struct vf_job *job)
{
    const struct vf_grant *g = vf_job_grant(job);
    struct vf_slot_job *same_name = NULL;
    for (size_t i = 0; i < s->nslots; i++) {
        struct vf_slot_job *slot = s->slots[i];
        if (strcmp(slot->name, g->job) != 0)
            continue;
        bool live = atomic_load(&slot->state) == VF_SLOT_LIVE;
        bool same = vf_equal(&slot->manifest, &g->manifest_hash, sizeof(slot->manifest));
        if (same && !slot->replaced && (live || vf_job_may(s->station, job, NULL) == VF_OK)) {
            if (!slot_renew(s, slot, job))
                return VF_E_NOMEM;
            if (!live)
                slot_reopen(slot);
            return VF_OK;
        }
        if (vf_equal(&vf_job_grant(slot->job)->id, &g->id, sizeof(g->id)))
            return VF_OK; /* the same grant, ended already */
        if (!slot->replaced)
            same_name = slot;
    }
    struct vf_slot_job *slot = slot_new(s, job);
    if (!slot)
        return VF_E_NOMEM;
    enum vf_err err = add_slot(s, slot);
    if (err) {
        slot_free(slot);
        return err;
    }
    if (same_name)
        same_name->replaced = true;
    return VF_OK;
}

enum vf_err vf_slots_load(struct vf_session *s, struct vf_why *why)
{
    struct vf_job **jobs = NULL;
    size_t n = 0;
    uint64_t version = vf_station_version(s->station);
    VF_TRY(vf_station_jobs(s->station, &jobs, &n, why));

    enum vf_err err = VF_OK;
    pthread_rwlock_wrlock(&s->jobs_lock);
    for (size_t i = 0; i < n; i++) {
        if (!err && (!s->opt->job || strcmp(s->opt->job, vf_job_grant(jobs[i])->job) == 0))
            err = take_job(s, jobs[i]);
        vf_job_unref(jobs[i]);
    }
    s->jobs_version = version;
    pthread_rwlock_unlock(&s->jobs_lock);
    free(jobs);
    return err ? vf_fail(why, err, "the deliveries could not be shown: %s", vf_err_text(err)) : VF_OK;
}

void vf_slots_free(struct vf_session *s)
{
    for (size_t i = 0; i < s->nslots; i++)
        slot_free(s->slots[i]);
    free(s->slots);
    s->slots = NULL;
    s->nslots = 0;
}

struct vf_slot_job *vf_slot_by_name(struct vf_session *s, const char *name)
{
    struct vf_slot_job *found = NULL;
    pthread_rwlock_rdlock(&s->jobs_lock);
    for (size_t i = 0; i < s->nslots && !found; i++)
        if (!s->slots[i]->replaced && strcmp(s->slots[i]->name, name) == 0)
            found = s->slots[i];
    pthread_rwlock_unlock(&s->jobs_lock);
    return found;
}

struct vf_slot_job *vf_slot_by_number(struct vf_session *s, uint32_t number)
{
    struct vf_slot_job *found = NULL;
    pthread_rwlock_rdlock(&s->jobs_lock);
    for (size_t i = 0; i < s->nslots && !found; i++)
        if (s->slots[i]->number == number)
            found = s->slots[i];
    pthread_rwlock_unlock(&s->jobs_lock);
    return found;
}

struct vf_slot_job *vf_slot_at(struct vf_session *s, size_t i)
{
    pthread_rwlock_rdlock(&s->jobs_lock);
    struct vf_slot_job *slot = i < s->nslots ? s->slots[i] : NULL;
    pthread_rwlock_unlock(&s->jobs_lock);
    return slot;
}

struct vf_job *vf_slot_job_ref(struct vf_slot_job *slot)
{
    pthread_rwlock_rdlock(&slot->job_lock);
    struct vf_job *job = vf_job_ref(slot->job);
    pthread_rwlock_unlock(&slot->job_lock);
    return job;
}

struct vf_job *vf_slot_before_ref(struct vf_slot_job *slot, bool drop)
{
    struct vf_job *job = NULL;
    if (drop) {
        pthread_rwlock_wrlock(&slot->job_lock);
        job = slot->before;
        slot->before = NULL;
    } else {
        pthread_rwlock_rdlock(&slot->job_lock);
        job = slot->before ? vf_job_ref(slot->before) : NULL;
    }
    pthread_rwlock_unlock(&slot->job_lock);
    return job;
}

struct vf_cards *vf_slot_cards_ref(struct vf_slot_job *slot)
{
    pthread_rwlock_rdlock(&slot->job_lock);
    struct vf_cards *cards = slot->cards ? vf_cards_ref(slot->cards) : NULL;
    pthread_rwlock_unlock(&slot->job_lock);
    return cards;
}

int vf_slot_may(struct vf_session *s, struct vf_slot_job *slot, struct vf_job *job, struct vf_why *why)
{
    enum vf_slot_state state = atomic_load(&slot->state);
    if (state == VF_SLOT_ENDED)
        return EKEYEXPIRED;
    if (state == VF_SLOT_REVOKED)
        return EKEYREVOKED;
    enum vf_err err = vf_job_may(s->station, job, why);
    return err ? vf_err_errno(err) : 0;
}

struct vf_value_reader *vf_reader_take(struct vf_session *s)
{
    pthread_mutex_lock(&s->readers_lock);
    while (s->readers_left == 0)
        pthread_cond_wait(&s->readers_free, &s->readers_lock);
    struct vf_value_reader *r = s->readers[--s->readers_left];
    pthread_mutex_unlock(&s->readers_lock);
    return r;
}

/* Who takes one this way keeps it while the disk works. The last is left for those who do not: a READ has its pages locked until it has its answer. */
struct vf_value_reader *vf_reader_try(struct vf_session *s, bool *ret_alone)
{
    pthread_mutex_lock(&s->readers_lock);
    *ret_alone = s->readers_left == s->nreaders;
    struct vf_value_reader *r = s->readers_left > 1 ? s->readers[--s->readers_left] : NULL;
    pthread_mutex_unlock(&s->readers_lock);
    return r;
}

void vf_reader_give(struct vf_session *s, struct vf_value_reader *r)
{
    vf_value_reader_wipe(r);
    pthread_mutex_lock(&s->readers_lock);
    s->readers[s->readers_left++] = r;
    pthread_cond_signal(&s->readers_free);
    pthread_mutex_unlock(&s->readers_lock);
}
