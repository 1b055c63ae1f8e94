/* SPDX-License-Identifier: MIT */
/*
 * Looking ahead. Who opens photos in the order of their refs will open the next one, and while he waits for this one a processor is idle: there
 * the next one's ciphertext is copied and hashed, which is more than half of what its open takes. Nothing is decrypted that nobody asked for, and
 * no key is used: what is kept is a private copy of a ciphertext and the hash that was computed from that very copy. Whoever opens the
 * value compares that hash with the one in its own manifest row, which it has checked; so it does not matter here whether the row that was read ahead was genuine.
 */
#include "station_internal.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define GAP_MAX 8 /* records without a picture between two that have one */

/* The record's row in the stored grant, bounded but not proved. */
static enum vf_err look(struct vf_value_ahead *a, const struct vf_job *job, struct vf_value_want *ret_want, size_t *ret_len)
{
    struct vf_slice row;
    unsigned column;

    if (!vf_value_column(&job->layout, a->field, &column))
        return VF_E_NOT_FOUND;
    VF_TRY(vf_txn_renew(a->txn, NULL));
    enum vf_err err = VF_E_NOT_FOUND;
    if (vf_txn_get(a->txn, VF_ST_GRANT, job->grant.id.c, sizeof(job->grant.id.c), &row)) {
        uint8_t item[VF_RECORD_ROW_MAX];
        size_t at = job->manifest_rows_at + (size_t)a->index * job->layout.manifest_stride;
        if (job->layout.manifest_stride <= sizeof(item) && at + job->layout.manifest_stride <= row.len) {
            memcpy(item, row.data + at, job->layout.manifest_stride);
            vf_value_want_of(job, a->index, column, item, ret_want);
            err = vf_value_fetch(a->st, a->txn, &a->hasher, ret_want, a->sealed, ret_len, NULL);
        }
    }
    vf_txn_reset(a->txn);
    return err;
}

static void *run(void *arg)
{
    struct vf_value_ahead *a = arg;

    pthread_mutex_lock(&a->mu);
    while (!a->stop) {
        if (a->state != VF_AHEAD_WANTED) {
            pthread_cond_wait(&a->wake, &a->mu);
            continue;
        }
        struct vf_job *job = a->job;
        struct vf_value_want want = {0};
        size_t len = 0;
        a->state = VF_AHEAD_BUSY;
        pthread_mutex_unlock(&a->mu);
        enum vf_err err = look(a, job, &want, &len);
        pthread_mutex_lock(&a->mu);
        a->hash = want.hash;
        a->len = len;
        a->job = NULL;
        a->state = err ? VF_AHEAD_IDLE : VF_AHEAD_READY;
        pthread_cond_broadcast(&a->done);
        pthread_mutex_unlock(&a->mu);
        vf_job_unref(job);
        pthread_mutex_lock(&a->mu);
    }
    pthread_mutex_unlock(&a->mu);
    return NULL;
}

static bool start(struct vf_value_ahead *a)
{
    sigset_t all, before;

    if (vf_hasher_init(&a->hasher, NULL) || vf_txn_read(a->st->store, &a->txn, NULL))
        return false;
    vf_txn_reset(a->txn);
    /* Signals are the business of the program's own threads. */
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int err = pthread_create(&a->thread, NULL, run, a);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return err == 0;
}

static void ahead_free(struct vf_value_ahead *a)
{
    vf_txn_end(a->txn);
    vf_hasher_done(&a->hasher);
    pthread_cond_destroy(&a->done);
    pthread_cond_destroy(&a->wake);
    pthread_mutex_destroy(&a->mu);
    free(a->sealed);
    free(a);
}

struct vf_value_ahead *vf_value_ahead_new(struct vf_station *st)
{
    struct vf_value_ahead *a = calloc(1, sizeof(*a));
    if (!a)
        return NULL;
    a->st = st;
    pthread_mutex_init(&a->mu, NULL);
    pthread_cond_init(&a->wake, NULL);
    pthread_cond_init(&a->done, NULL);
    a->sealed = malloc(VF_SEALED_MAX);
    if (!a->sealed || !start(a)) {
        ahead_free(a);
        return NULL;
    }
    return a;
}

void vf_value_ahead_free(struct vf_value_ahead *a)
{
    if (!a)
        return;
    pthread_mutex_lock(&a->mu);
    a->stop = true;
    pthread_cond_signal(&a->wake);
    pthread_mutex_unlock(&a->mu);
    (void)pthread_join(a->thread, NULL);
    if (a->job)
        vf_job_unref(a->job);
    ahead_free(a);
}

/* The next record after `index` that has the picture; the number of records: there is none near. */
static uint32_t next_of(const struct vf_job *job, uint32_t index, unsigned field)
{
    uint32_t count = vf_catalogue_count(job->catalogue);
    uint8_t bit = field == VF_FIELD_PHOTO ? VF_ITEM_PHOTO : VF_ITEM_SIGNATURE;

    for (uint32_t i = index + 1; i < count && i - index <= GAP_MAX; i++)
        if (job->items[i] & bit)
            return i;
    return count;
}

/* mu held. `index` is being opened: is it what was to be expected, and is there a next one to look up? */
static bool walk_on(struct vf_value_ahead *a, struct vf_job *job, uint32_t index, unsigned field)
{
    bool walks = a->walk_job == job && a->walk_field == field && a->walk_next == index;

    a->walk_job = job;
    a->walk_field = field;
    a->walk_next = next_of(job, index, field);
    if (!walks || a->walk_next == vf_catalogue_count(job->catalogue) || a->state == VF_AHEAD_WANTED ||
        a->state == VF_AHEAD_BUSY)
        return false;
    a->state = VF_AHEAD_WANTED;
    a->job = vf_job_ref(job);
    a->index = a->walk_next;
    a->field = field;
    return true;
}

bool vf_value_ahead_take(struct vf_value_ahead *a, struct vf_job *job, uint32_t index, const struct vf_value_want *want,
                         uint8_t **sealed, size_t *ret_len)
{
    struct vf_job *left = NULL;

    if (!vf_field_is_image(want->field))
        return false;
    pthread_mutex_lock(&a->mu);
    if (a->state == VF_AHEAD_WANTED && a->job == job && a->index == index && a->field == want->field) {
        left = a->job; /* the thread has not run yet: quicker done here */
        a->job = NULL;
        a->state = VF_AHEAD_IDLE;
    }
    while (a->state == VF_AHEAD_BUSY && a->job == job && a->index == index && a->field == want->field)
        pthread_cond_wait(&a->done, &a->mu);
    bool found = a->state == VF_AHEAD_READY && memcmp(&a->hash, &want->hash, sizeof(a->hash)) == 0;
    if (found) {
        uint8_t *mine = *sealed;
        *sealed = a->sealed;
        a->sealed = mine;
        *ret_len = a->len;
        a->state = VF_AHEAD_IDLE;
    }
    bool more = walk_on(a, job, index, want->field);
    pthread_mutex_unlock(&a->mu);
    if (more)
        pthread_cond_signal(&a->wake);
    vf_job_unref(left);
    return found;
}
