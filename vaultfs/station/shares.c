/* SPDX-License-Identifier: MIT */
/*
 * Release shares of online grants, in the arena, for as long as their lease lasts by the boot clock (it counts while the machine sleeps). One
 * table a grant, whatever number of times the grant is loaded: 32 bytes a record for the text, made when the first comes; a bounded number of images, of
 * which the one that ends first makes room. What is over is never given out, whether or not it has been wiped yet.
 *
 * Locks: the job's share_lock, then the table's.
 */
#include "station_internal.h"

#include <stdlib.h>
#include <string.h>

#define IMAGES_MAX 4096

struct image {
    uint32_t index;
    atomic_bool used;
    int64_t until; /* 0: free */
};
struct vf_shares {
    atomic_uint refs;
    pthread_rwlock_t lock;
    uint32_t count; /* records */
    /* text: one for each record */
    struct vf_release_share *text; /* arena; NULL until the first one comes */
    int64_t *text_until;           /* 0: none */
    atomic_bool *text_used;        /* since its lease began */
    /* images */
    uint32_t nimages;
    struct vf_release_share *image; /* arena; likewise */
    struct image *images;
    uint32_t *image_of; /* of each record: place + 1, or 0 */
    /* for both */
    uint64_t held[VF_PART_COUNT];
    int64_t margin[VF_PART_COUNT]; /* so long before the end a share in use is renewed */
    atomic_int_fast64_t next_end;  /* nothing ends before this; INT64_MAX: nothing is held */
    uint8_t *released
        [VF_PART_COUNT]; /* bit sets of records: the desk gave a share, or (with a budget) the log says that it was opened */
    uint64_t nreleased[VF_PART_COUNT]; /* bits set */
};

/* ------------------------------------------------------------------------------------------------------------------- the table */

static void shares_free(struct vf_shares *s)
{
    vf_secret_free(s->text);
    vf_secret_free(s->image);
    free(s->text_until);
    free(s->text_used);
    free(s->images);
    free(s->image_of);
    for (int part = 0; part < VF_PART_COUNT; part++)
        free(s->released[part]);
    pthread_rwlock_destroy(&s->lock);
    free(s);
}

/* With a budget: what was opened before was released before. */
static bool take_released(struct vf_shares *s, const struct vf_job *job)
{
    for (int part = 0; part < VF_PART_COUNT; part++) {
        size_t len = (size_t)job->grant.records / 8 + 1;
        s->released[part] = calloc(len, 1);
        if (!s->released[part])
            return false;
        if (!job->budget)
            continue;
        memcpy(s->released[part], job->budget->opened[part], len);
        for (size_t i = 0; i < len; i++)
            s->nreleased[part] += (uint64_t)__builtin_popcount(s->released[part][i]);
    }
    return true;
}

enum vf_err vf_job_shares_load(struct vf_job *job, const struct vf_job *before, struct vf_why *why)
{
    if (job->grant.release != VF_RELEASE_ONLINE)
        return VF_OK;
    if (before && before->shares) {
        job->shares = before->shares;
        atomic_fetch_add(&job->shares->refs, 1);
        return VF_OK;
    }
    struct vf_shares *s = calloc(1, sizeof(*s));
    if (!s)
        return vf_fail(why, VF_E_NOMEM, "job %s: out of memory", job->grant.job);
    s->refs = 1;
    pthread_rwlock_init(&s->lock, NULL);
    atomic_store(&s->next_end, INT64_MAX);
    s->count = vf_catalogue_count(job->catalogue);
    s->nimages = s->count < IMAGES_MAX ? s->count : IMAGES_MAX;
    s->text_until = calloc(s->count + 1u, sizeof(*s->text_until));
    s->text_used = calloc(s->count + 1u, sizeof(*s->text_used));
    s->images = calloc(s->nimages + 1u, sizeof(*s->images));
    s->image_of = calloc(s->count + 1u, sizeof(*s->image_of));
    if (!s->text_until || !s->text_used || !s->images || !s->image_of || !take_released(s, job)) {
        shares_free(s);
        return vf_fail(why, VF_E_NOMEM, "job %s: out of memory", job->grant.job);
    }
    job->shares = s;
    return VF_OK;
}

void vf_job_shares_free(struct vf_job *job)
{
    struct vf_shares *s = job->shares;
    job->shares = NULL;
    if (s && atomic_fetch_sub(&s->refs, 1) == 1)
        shares_free(s);
}

bool vf_job_online(const struct vf_job *job)
{
    return job->shares != NULL;
}

/* -------------------------------------------------------------------------------------------------------------- under its lock */

static void drop_text(struct vf_shares *s, uint32_t index)
{
    vf_wipe(&s->text[index], sizeof(s->text[index]));
    s->text_until[index] = 0;
    atomic_store(&s->text_used[index], false);
    s->held[VF_PART_TEXT]--;
}

static void drop_image(struct vf_shares *s, uint32_t place)
{
    vf_wipe(&s->image[place], sizeof(s->image[place]));
    s->image_of[s->images[place].index] = 0;
    s->images[place].until = 0;
    atomic_store(&s->images[place].used, false);
    s->held[VF_PART_IMAGE]--;
}

/* A free place, or that of the share which ends first. */
static uint32_t image_place(struct vf_shares *s, uint32_t index)
{
    uint32_t best = 0;
    if (s->image_of[index] > 0)
        return s->image_of[index] - 1;
    for (uint32_t i = 0; i < s->nimages && s->images[best].until > 0; i++)
        if (s->images[i].until < s->images[best].until)
            best = i;
    if (s->images[best].until > 0)
        drop_image(s, best);
    return best;
}

static void put_one(struct vf_shares *s, const struct vf_share_in *in, int64_t until)
{
    uint32_t i = in->index;
    if (in->part == VF_PART_TEXT) {
        s->held[VF_PART_TEXT] += s->text_until[i] == 0;
        s->text[i] = in->share;
        s->text_until[i] = until;
        atomic_store(&s->text_used[i], false);
    } else {
        uint32_t place = image_place(s, i);
        s->held[VF_PART_IMAGE] += s->images[place].until == 0;
        s->image[place] = in->share;
        s->images[place].index = i;
        s->images[place].until = until;
        atomic_store(&s->images[place].used, false);
        s->image_of[i] = place + 1;
    }
    uint8_t *bits = s->released[in->part];
    if (!(bits[i / 8] >> (i % 8) & 1)) {
        bits[i / 8] |= (uint8_t)(1u << (i % 8));
        s->nreleased[in->part]++;
    }
}

static int64_t until_of(const struct vf_shares *s, uint32_t index, enum vf_part part)
{
    if (index >= s->count)
        return 0;
    if (part == VF_PART_TEXT)
        return s->text_until[index];
    return s->image_of[index] ? s->images[s->image_of[index] - 1].until : 0;
}

static void mark_used(struct vf_shares *s, uint32_t index, enum vf_part part)
{
    if (part == VF_PART_TEXT)
        atomic_store(&s->text_used[index], true);
    else
        atomic_store(&s->images[s->image_of[index] - 1].used, true);
}

static size_t expire(struct vf_shares *s, int64_t now)
{
    size_t n = 0;
    int64_t next = INT64_MAX;
    for (uint32_t i = 0; s->held[VF_PART_TEXT] > 0 && i < s->count; i++) {
        if (s->text_until[i] == 0)
            continue;
        if (s->text_until[i] <= now) {
            drop_text(s, i);
            n++;
        } else if (s->text_until[i] < next) {
            next = s->text_until[i];
        }
    }
    for (uint32_t i = 0; s->held[VF_PART_IMAGE] > 0 && i < s->nimages; i++) {
        if (s->images[i].until == 0)
            continue;
        if (s->images[i].until <= now) {
            drop_image(s, i);
            n++;
        } else if (s->images[i].until < next) {
            next = s->images[i].until;
        }
    }
    atomic_store(&s->next_end, next);
    return n;
}

/* ------------------------------------------------------------------------------------------------------------------- from outside */

static enum vf_err make_room(struct vf_shares *s, const struct vf_share_in *shares, size_t n, struct vf_why *why)
{
    bool text = false, image = false;
    for (size_t i = 0; i < n; i++) {
        if (shares[i].index >= s->count || (unsigned)shares[i].part >= VF_PART_COUNT)
            return vf_fail(why, VF_E_INPUT, "a share of a record that the grant does not have");
        text |= shares[i].part == VF_PART_TEXT;
        image |= shares[i].part == VF_PART_IMAGE;
    }
    if (text && !s->text)
        s->text = vf_secret_new(s->count * sizeof(*s->text));
    if (image && !s->image)
        s->image = vf_secret_new(s->nimages * sizeof(*s->image));
    if ((text && !s->text) || (image && !s->image))
        return vf_fail(why, VF_E_LOCKED_MEMORY, "no locked memory left for the shares of %u records", s->count);
    return VF_OK;
}

static enum vf_err put_all(struct vf_shares *s, const struct vf_share_in *shares, size_t n, int64_t until,
                           struct vf_why *why)
{
    int64_t now = vf_clock_boot_us();
    VF_TRY(make_room(s, shares, n, why));
    for (size_t i = 0; until > now && i < n; i++) {
        put_one(s, &shares[i], until);
        s->margin[shares[i].part] = (until - now) / 3;
    }
    if (until > now && n > 0 && until < atomic_load(&s->next_end))
        atomic_store(&s->next_end, until);
    return VF_OK;
}

enum vf_err vf_job_shares_put(struct vf_job *job, const struct vf_share_in *shares, size_t n, int64_t until_boot_us,
                              struct vf_why *why)
{
    struct vf_shares *s = job->shares;
    if (!s)
        return vf_fail(why, VF_E_INPUT, "job %s: not an online grant", job->grant.job);
    pthread_rwlock_rdlock(&job->share_lock);
    pthread_rwlock_wrlock(&s->lock);
    enum vf_err err = job->forgotten ? vf_fail(why, VF_E_EXPIRED, "job %s: the grant has ended", job->grant.job)
                                     : put_all(s, shares, n, until_boot_us, why);
    pthread_rwlock_unlock(&s->lock);
    pthread_rwlock_unlock(&job->share_lock);
    return err;
}

bool vf_shares_get(struct vf_shares *s, uint32_t index, enum vf_part part, struct vf_release_share *ret)
{
    int64_t now = vf_clock_boot_us();
    pthread_rwlock_rdlock(&s->lock);
    bool good = until_of(s, index, part) > now;
    if (good) {
        *ret = part == VF_PART_TEXT ? s->text[index] : s->image[s->image_of[index] - 1];
        mark_used(s, index, part);
    }
    pthread_rwlock_unlock(&s->lock);
    return good;
}

int64_t vf_job_share_until(struct vf_job *job, uint32_t index, enum vf_part part)
{
    struct vf_shares *s = job->shares;
    int64_t now = vf_clock_boot_us();
    if (!s)
        return 0;
    pthread_rwlock_rdlock(&s->lock);
    int64_t until = until_of(s, index, part);
    pthread_rwlock_unlock(&s->lock);
    return until > now ? until : 0;
}

int64_t vf_job_text_until(struct vf_job *job)
{
    struct vf_shares *s = job->shares;
    int64_t now = vf_clock_boot_us(), until = INT64_MAX;
    if (!s)
        return 0;
    pthread_rwlock_rdlock(&s->lock);
    for (uint32_t i = 0; i < s->count && until > now; i++)
        if (s->text_until[i] < until && (job->items[i] & VF_ITEM_TEXT))
            until = s->text_until[i];
    pthread_rwlock_unlock(&s->lock);
    return until > now ? until : 0;
}

void vf_job_share_used(struct vf_job *job, uint32_t index, enum vf_part part)
{
    struct vf_shares *s = job->shares;
    if (!s)
        return;
    pthread_rwlock_rdlock(&s->lock);
    if (until_of(s, index, part) > 0)
        mark_used(s, index, part);
    pthread_rwlock_unlock(&s->lock);
}

static bool is_due(int64_t until, bool used, int64_t margin, int64_t now)
{
    return used && until > now && until - now <= margin;
}

size_t vf_job_shares_due(struct vf_job *job, enum vf_part part, int64_t now_boot_us, uint32_t *index, size_t max)
{
    struct vf_shares *s = job->shares;
    size_t n = 0;
    if (!s)
        return 0;
    pthread_rwlock_rdlock(&s->lock);
    int64_t margin = s->margin[part];
    if (part == VF_PART_TEXT) {
        for (uint32_t i = 0; s->held[part] > 0 && i < s->count && n < max; i++)
            if (is_due(s->text_until[i], atomic_load(&s->text_used[i]), margin, now_boot_us))
                index[n++] = i;
    } else {
        for (uint32_t i = 0; s->held[part] > 0 && i < s->nimages && n < max; i++)
            if (is_due(s->images[i].until, atomic_load(&s->images[i].used), margin, now_boot_us))
                index[n++] = s->images[i].index;
    }
    pthread_rwlock_unlock(&s->lock);
    return n;
}

void vf_job_shares_state_get(struct vf_job *job, struct vf_shares_state *ret)
{
    struct vf_shares *s = job->shares;
    *ret = (struct vf_shares_state){0};
    if (!s)
        return;
    int64_t now = vf_clock_boot_us(), first = INT64_MAX, last = 0;
    pthread_rwlock_rdlock(&s->lock);
    for (uint32_t i = 0; i < s->count; i++) {
        int64_t until[VF_PART_COUNT] = {s->text_until[i], until_of(s, i, VF_PART_IMAGE)};
        for (int part = 0; part < VF_PART_COUNT; part++) {
            if (until[part] <= now)
                continue;
            ret->held[part]++;
            first = until[part] < first ? until[part] : first;
            last = until[part] > last ? until[part] : last;
        }
    }
    pthread_rwlock_unlock(&s->lock);
    ret->first_boot_us = last > 0 ? first : 0;
    ret->last_boot_us = last;
}

uint64_t vf_shares_released(struct vf_shares *s, enum vf_part part)
{
    pthread_rwlock_rdlock(&s->lock);
    uint64_t n = s->nreleased[part];
    pthread_rwlock_unlock(&s->lock);
    return n;
}

bool vf_job_share_released(struct vf_job *job, uint32_t index, enum vf_part part)
{
    struct vf_shares *s = job->shares;
    if (!s || index >= s->count)
        return false;
    pthread_rwlock_rdlock(&s->lock);
    bool released = s->released[part][index / 8] >> (index % 8) & 1;
    pthread_rwlock_unlock(&s->lock);
    return released;
}

size_t vf_job_shares_expire(struct vf_job *job, int64_t now_boot_us)
{
    struct vf_shares *s = job->shares;
    if (!s || atomic_load(&s->next_end) > now_boot_us)
        return 0;
    pthread_rwlock_wrlock(&s->lock);
    size_t n = expire(s, now_boot_us);
    pthread_rwlock_unlock(&s->lock);
    return n;
}

void vf_job_shares_wipe(struct vf_job *job)
{
    (void)vf_job_shares_expire(job, INT64_MAX);
}

/* Superseded grants and older loads too: who reads by them may still be at work. */
size_t vf_station_shares_expire(struct vf_station *st, int64_t now_boot_us)
{
    size_t n = 0;
    pthread_rwlock_rdlock(&st->jobs_lock);
    for (size_t i = 0; i < st->njobs; i++)
        n += vf_job_shares_expire(st->jobs[i], now_boot_us);
    pthread_rwlock_unlock(&st->jobs_lock);
    return n;
}
