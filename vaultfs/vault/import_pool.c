/* SPDX-License-Identifier: MIT */
#include "import.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PROGRESS_NS 200000000L

struct pool {
    struct vf_import_job *job;
    struct vf_import_worker *workers;
    pthread_t *threads;
    unsigned n, started;
};

/* ------------------------------------------------------------------------------------------------------------------ a worker */

static bool take_item(struct vf_import_job *job, size_t *ret)
{
    bool some = false;

    (void)pthread_mutex_lock(&job->lock);
    while (!job->stop && job->queue_bytes > VF_IMPORT_QUEUE_BYTES_MAX)
        (void)pthread_cond_wait(&job->room, &job->lock);
    if (!job->stop && job->next_item < job->nitems) {
        *ret = job->next_item++;
        some = true;
    }
    (void)pthread_mutex_unlock(&job->lock);
    return some;
}

static void give_block(struct vf_import_job *job, struct vf_import_block *block)
{
    (void)pthread_mutex_lock(&job->lock);
    job->done_items++;
    if (block != NULL) {
        block->next = NULL;
        *job->last = block;
        job->last = &block->next;
        job->queue_bytes += block->bytes;
        (void)pthread_cond_signal(&job->more);
    }
    (void)pthread_mutex_unlock(&job->lock);
}

/* The first error stops everyone. */
static void fail_all(struct vf_import_job *job, enum vf_err err, const struct vf_why *why)
{
    (void)pthread_mutex_lock(&job->lock);
    if (job->err == VF_OK) {
        job->err = err;
        job->why = *why;
    }
    job->stop = true;
    (void)pthread_cond_broadcast(&job->room);
    (void)pthread_cond_broadcast(&job->more);
    (void)pthread_mutex_unlock(&job->lock);
}

static void *worker_main(void *arg)
{
    struct vf_import_worker *w = arg;
    struct vf_import_job *job = w->job;
    enum vf_err err = VF_OK;
    size_t i = 0;

    while (err == VF_OK && take_item(job, &i)) {
        struct vf_import_block *block = NULL;
        err = vf_import_work(w, &job->items[i], &block, &w->why);
        if (err == VF_OK)
            give_block(job, block);
    }
    if (err != VF_OK)
        fail_all(job, err, &w->why);
    (void)pthread_mutex_lock(&job->lock);
    job->active--;
    (void)pthread_cond_signal(&job->more);
    (void)pthread_mutex_unlock(&job->lock);
    return NULL;
}

/* --------------------------------------------------------------------------------------------------------------- the writer */

/* Wait for blocks; NULL when the workers are done (or it is time to show progress: then *ret_wait). */
static struct vf_import_block *take_blocks(struct vf_import_job *job, bool *ret_wait, size_t *ret_done)
{
    struct timespec until;

    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += PROGRESS_NS;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    (void)pthread_mutex_lock(&job->lock);
    int rc = 0;
    while (job->first == NULL && job->active > 0 && !job->stop && rc != ETIMEDOUT)
        rc = pthread_cond_timedwait(&job->more, &job->lock, &until);
    struct vf_import_block *blocks = job->first;
    job->first = NULL;
    job->last = &job->first;
    job->queue_bytes = 0;
    *ret_wait = job->active > 0 && !job->stop;
    *ret_done = job->done_items;
    (void)pthread_cond_broadcast(&job->room);
    (void)pthread_mutex_unlock(&job->lock);
    return blocks;
}

static enum vf_err write_all(struct vf_import_job *job, struct vf_why *why)
{
    const struct vf_import_options *opt = job->opt;
    enum vf_err err = VF_OK;
    bool wait = true;

    while (wait && err == VF_OK) {
        size_t done = 0;
        struct vf_import_block *blocks = take_blocks(job, &wait, &done);
        while (blocks != NULL && err == VF_OK) {
            struct vf_import_block *block = blocks;
            blocks = block->next;
            err = vf_import_stage(job, block, why);
            wait = true; /* look again: the last worker may have given one more */
        }
        vf_import_blocks_free(blocks);
        if (opt->progress != NULL)
            opt->progress(opt->user, done, job->nitems);
    }
    return err;
}

/* ------------------------------------------------------------------------------------------------------------------ together */

/* Signals are the calling thread's business. */
static enum vf_err start(struct pool *pool, struct vf_why *why)
{
    sigset_t all, old;
    int rc = 0;

    for (unsigned i = 0; i < pool->n; i++)
        VF_TRY(vf_import_worker_init(&pool->workers[i], pool->job, why));
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    pool->job->active = pool->n;
    for (unsigned i = 0; i < pool->n && rc == 0; i++) {
        rc = pthread_create(&pool->threads[i], NULL, worker_main, &pool->workers[i]);
        if (rc == 0)
            pool->started++;
    }
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    (void)pthread_mutex_lock(&pool->job->lock);
    pool->job->active -= pool->n - pool->started;
    (void)pthread_mutex_unlock(&pool->job->lock);
    if (pool->started > 0)
        return VF_OK;
    errno = rc;
    return vf_fail_sys(why, "%s: cannot start a thread", pool->job->opt->csv_path);
}

static void add_report(struct vf_import_report *sum, const struct vf_import_report *r)
{
    sum->bad_photos += r->bad_photos;
    sum->warnings += r->warnings;
    sum->photos += r->photos;
    sum->photos_missing += r->photos_missing;
    sum->exif += r->exif;
    sum->gps += r->gps;
    sum->thumbnails += r->thumbnails;
    sum->xmp += r->xmp;
    sum->iptc += r->iptc;
    sum->comments += r->comments;
    sum->mpf += r->mpf;
    sum->trailing += r->trailing;
    sum->turned += r->turned;
    sum->reencoded += r->reencoded;
    sum->scaled += r->scaled;
}

static void pool_done(struct pool *pool)
{
    struct vf_import_job *job = pool->job;

    (void)pthread_mutex_lock(&job->lock);
    job->stop = true;
    (void)pthread_cond_broadcast(&job->room);
    (void)pthread_mutex_unlock(&job->lock);
    for (unsigned i = 0; i < pool->started; i++)
        (void)pthread_join(pool->threads[i], NULL);
    for (unsigned i = 0; pool->workers != NULL && i < pool->n; i++) {
        add_report(&job->report, &pool->workers[i].report);
        vf_import_worker_done(&pool->workers[i]);
    }
    free(pool->workers);
    free(pool->threads);
    vf_import_blocks_free(job->first);
    job->first = NULL;
    job->last = &job->first;
}

enum vf_err vf_import_run(struct vf_import_job *job, struct vf_why *why)
{
    VF_CLEANUP(pool_done) struct pool pool = {.job = job, .n = vf_processors()};

    if (pool.n > VF_IMPORT_WORKERS_MAX)
        pool.n = VF_IMPORT_WORKERS_MAX;
    if (job->nitems == 0)
        return VF_OK;
    if (pool.n > job->nitems)
        pool.n = (unsigned)job->nitems;
    pool.workers = calloc(pool.n, sizeof(*pool.workers));
    pool.threads = calloc(pool.n, sizeof(*pool.threads));
    if (pool.workers == NULL || pool.threads == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", job->opt->csv_path);
    VF_TRY(start(&pool, why));
    VF_TRY(write_all(job, why));
    /* All workers are idle or ended now; what they say is under the lock all the same. */
    (void)pthread_mutex_lock(&job->lock);
    enum vf_err err = job->err;
    if (err != VF_OK && why != NULL)
        *why = job->why;
    (void)pthread_mutex_unlock(&job->lock);
    return err;
}
