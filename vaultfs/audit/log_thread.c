/* SPDX-License-Identifier: MIT */
/* Writing: what the queue holds becomes durable in one go, who waits is told; the log's thread seals when it is time, too. */
#include "log.h"

#include <string.h>
#include <time.h>

/* mu held, everything in this file that has no other remark. */

static bool seal_due(const struct vf_log *log, int64_t now)
{
    uint64_t unsealed = log->next - log->sealed;

    if (unsealed == 0)
        return false;
    if (log->stop || log->want > log->sealed || unsealed >= VF_LOG_SEAL_ENTRIES)
        return true;
    return !log->opt.batch && now - log->unsealed_us >= VF_LOG_SEAL_EARLY_US;
}

/* Something that is not in the queue yet: what would be told or finished if only the disk let us. */
static bool owing(const struct vf_log *log)
{
    return log->sealing || log->recover || log->lost > 0 || log->durable > log->sealed;
}

static bool due(const struct vf_log *log, int64_t now)
{
    if (log->stop || log->queue.len > 0)
        return true;
    if (log->failed)
        return log->want > log->sealed || (owing(log) && now - log->failed_us >= VF_LOG_SELF_RETRY_US);
    return log->sealing || log->recover || seal_due(log, now);
}

static void wait_for_work(struct vf_log *log)
{
    int64_t now = vf_clock_boot_us();

    while (log->writing || !due(log, now)) {
        int64_t left = VF_SECOND_US;
        struct timespec until;
        if (!log->failed && !log->opt.batch && log->unsealed_us != INT64_MAX)
            left = log->unsealed_us + VF_LOG_SEAL_EARLY_US - now;
        if (left < VF_SECOND_US / 1000)
            left = VF_SECOND_US / 1000;
        log->knocked = log->writing && due(log, now); /* then who writes wakes this thread */
        (void)clock_gettime(CLOCK_MONOTONIC, &until);
        int64_t nsec = until.tv_nsec + left % VF_SECOND_US * 1000;
        until.tv_sec += left / VF_SECOND_US + nsec / 1000000000;
        until.tv_nsec = nsec % 1000000000;
        if (log->knocked || (!log->failed && (log->opt.batch || log->unsealed_us == INT64_MAX)))
            (void)pthread_cond_wait(&log->work, &log->mu);
        else
            (void)pthread_cond_timedwait(&log->work, &log->mu, &until);
        now = vf_clock_boot_us();
    }
}

/* Whatever is not durable is lost: who waits is told, the sequence goes back to the durable end. */
static void fail(struct vf_log *log, const struct vf_why *why)
{
    log->lost += log->taken + log->queued;
    log->lost_told = 0;
    log->taken = 0;
    log->queued = 0;
    log->queue.len = 0;
    log->recover_queued = false;
    if (log->next > log->durable) {
        log->lost_from[log->epoch % VF_LOG_EPOCHS] = log->durable;
        log->epoch++;
        log->next = log->durable;
        log->taken_to = log->durable;
    }
    if (log->durable == log->sealed)
        log->unsealed_us = INT64_MAX;
    log->want = 0;
    log->failed = true;
    log->failures++;
    log->failed_us = vf_clock_boot_us();
    /* Whatever the cause: a program that wants to read is told that the log has no room (INTERFACE: ENOSPC). */
    log->fail_why = *why;
    log->fail_why.err = VF_E_DISK_FULL;
    (void)pthread_cond_broadcast(&log->done);
    (void)pthread_cond_broadcast(&log->batch_done[0]);
    (void)pthread_cond_broadcast(&log->batch_done[1]);
}

static bool finish_seal(struct vf_log *log)
{
    struct vf_why why = {0};

    (void)pthread_mutex_unlock(&log->mu);
    enum vf_err err = vf_log_seal_finish(log, &why);
    (void)pthread_mutex_lock(&log->mu);
    if (err == VF_OK) {
        /* `record` is the thread's; the copy that others may ask for is made under the lock. */
        vf_buf_reset(&log->checkpoint);
        vf_buf_put(&log->checkpoint, log->record.data, log->record.len - 1);
        err = vf_buf_check(&log->checkpoint, "a checkpoint", &why);
    }
    if (err != VF_OK) {
        fail(log, &why);
        return false;
    }
    log->sealed = log->secret->now.tree.size;
    log->sealed_us = log->secret->now.time_us;
    log->sealing = false;
    log->failed = false;
    /* What was put since then was put after the seal entry, so this is early enough. */
    if (log->next == log->sealed)
        log->unsealed_us = INT64_MAX;
    (void)pthread_cond_broadcast(&log->done);
    return true;
}

struct batch {
    uint64_t first, count, told;
    int64_t last_us;
    bool recover, seal;
};

/* What has to go before everything else, and the seal entry as the last one. */
static enum vf_err complete_queue(struct vf_log *log, struct batch *b, struct vf_why *why)
{
    struct vf_entry seal = {.event = VF_EVENT_SEAL, .part = -1, .result = "ok"};
    int64_t now = vf_clock_boot_us();

    if (log->queue.len == 0)
        VF_TRY(vf_log_put_due(log, why));
    if (!seal_due(log, now))
        return VF_OK;
    vf_log_seal_begin(log);
    VF_TRY(vf_log_put_own(log, &seal, log->secret->next.key.pub, why));
    b->seal = true;
    log->unsealed_us = now;
    return VF_OK;
}

static void take_queue(struct vf_log *log, struct batch *b)
{
    struct vf_entry_lines lines = log->batch;

    log->batch = log->queue;
    log->queue = lines;
    log->queue.len = 0;
    log->taken = log->queued;
    log->queued = 0;
    log->batches++;
    log->taken_to = log->next;
    b->first = log->durable;
    b->count = log->next - log->durable;
    b->told = log->lost_told;
    b->last_us = log->last_us;
    b->recover = log->recover_queued;
}

static void publish(struct vf_log *log, const struct batch *b)
{
    log->durable = b->first + b->count;
    log->durable_us = b->last_us;
    log->taken = 0;
    log->lost -= b->told;
    log->lost_told -= b->told;
    if (b->recover) {
        log->recover = false;
        log->recover_queued = false;
    }
    log->failed = false;
}

/* mu not held. After the waiters were told, so that nobody waits for the hashing. */
static void grow_tree(struct vf_log *log)
{
    const char *p = log->batch.data;
    const char *end = p + log->batch.len;

    while (p < end) {
        const char *nl = memchr(p, '\n', (size_t)(end - p));
        struct vf_hash leaf;
        vf_leaf_hash(p, (size_t)(nl - p), &leaf);
        vf_tree_add(&log->tree, &leaf);
        p = nl + 1;
    }
}

/* mu not held: the batch with the seal entry is durable. */
static void remember_seal(struct vf_log *log, const struct batch *b)
{
    struct vf_seal_state *next = &log->secret->next;
    const struct vf_seal_state *now = &log->secret->now;

    next->tree = log->tree;
    next->cp_at = now->tree.size == 0 ? 0 : now->cp_at + log->checkpoint.len + 1;
    next->seg_first = log->seg_first;
    next->seg_at = log->seg_len;
    next->time_us = b->last_us;
    log->step = VF_SEAL_SLOT;
}

/* What the queue holds becomes durable, or is lost and who waits is told. */
static bool write_queue(struct vf_log *log, struct batch *b)
{
    struct vf_why why = {0};

    take_queue(log, b);
    (void)pthread_mutex_unlock(&log->mu);
    enum vf_err err = vf_log_commit_batch(log, log->batch.data, log->batch.len, b->first, &why);
    (void)pthread_mutex_lock(&log->mu);
    if (err != VF_OK) {
        vf_log_seal_abandon(log);
        fail(log, &why);
        return false;
    }
    publish(log, b);
    log->sealing = b->seal;
    (void)pthread_mutex_unlock(&log->mu);
    /* Not before: they would wake up to a lock that is held. No batch is taken meanwhile: this one is still being written. */
    (void)pthread_cond_broadcast(&log->batch_done[log->batches % 2]);
    (void)pthread_cond_broadcast(&log->done);
    grow_tree(log);
    if (b->seal)
        remember_seal(log, b);
    (void)pthread_mutex_lock(&log->mu);
    return true;
}

static void turn(struct vf_log *log)
{
    struct vf_why why = {0};
    struct batch b = {0};

    /* A seal that was begun comes first: nothing may follow its entry before there is its checkpoint. */
    if (log->sealing && !finish_seal(log))
        return;
    if (complete_queue(log, &b, &why) != VF_OK) {
        vf_log_seal_abandon(log);
        fail(log, &why);
    } else if (log->queue.len == 0) {
        /* Nothing to try the disk with: do not come back at once. */
        log->failed_us = vf_clock_boot_us();
    } else if (write_queue(log, &b) && b.seal) {
        (void)finish_seal(log);
    }
}

static void take_turn(struct vf_log *log)
{
    log->writing = true;
    turn(log);
    log->writing = false;
}

/* Whatever is not plain writing is left to the thread: it knows what comes first. */
static bool may_lead(const struct vf_log *log)
{
    return !log->writing && !log->stop && !log->failed && !log->sealing && !log->recover && log->queue.len > 0 &&
           !seal_due(log, vf_clock_boot_us());
}

bool vf_log_lead(struct vf_log *log)
{
    struct batch b = {0};

    if (!may_lead(log))
        return false;
    log->writing = true;
    (void)write_queue(log, &b);
    log->writing = false;
    /* What came meanwhile is the thread's: it goes on for as long as more comes while it writes. */
    if (log->knocked || log->failed || log->queue.len > 0)
        (void)pthread_cond_signal(&log->work);
    return true;
}

void vf_log_batch_wait(struct vf_log *log, uint64_t seq)
{
    /* The last batch that was taken, which is being written, or the one after it. */
    unsigned n = (unsigned)((seq < log->taken_to ? log->batches : log->batches + 1) % 2);

    if (!log->writing)
        (void)pthread_cond_signal(&log->work);
    (void)pthread_cond_wait(&log->batch_done[n], &log->mu);
}

void *vf_log_thread(void *arg)
{
    struct vf_log *log = arg;

    (void)pthread_mutex_lock(&log->mu);
    while (!log->stop) {
        wait_for_work(log);
        if (!log->stop)
            take_turn(log);
    }
    /* The last of it: once, even if the attempt before failed. */
    uint64_t failures = log->failures;
    while (log->failures == failures && (log->queue.len > 0 || owing(log)))
        take_turn(log);
    (void)pthread_mutex_unlock(&log->mu);
    return NULL;
}
