/* SPDX-License-Identifier: MIT */
/* The callers' side of the writer: into the queue, and waiting. */
#include "log.h"

#include <string.h>

#define BACK_US    VF_SECOND_US
#define FORWARD_US (3600 * VF_SECOND_US)

static int64_t now_us(const struct vf_log *log)
{
    return log->opt.now_us != NULL ? log->opt.now_us(log->opt.user) : vf_clock_wall_us();
}

static const uint8_t *next_nonce(struct vf_log *log)
{
    if (log->nonces_left == 0) {
        vf_random(log->nonces, sizeof(log->nonces));
        log->nonces_left = sizeof(log->nonces) / sizeof(log->nonces[0]);
    }
    return log->nonces[--log->nonces_left];
}

enum vf_err vf_log_put(struct vf_log *log, const struct vf_entry_body *text, struct vf_why *why)
{
    int64_t now = now_us(log);

    if (log->next > VF_ENTRY_SEQ_MAX)
        return vf_fail(why, VF_E_LIMIT, "%s: the log has as many entries as a log can have", log->dir);
    /* Never back, and never a time that could not be written. */
    if (now < log->last_us)
        now = log->last_us;
    if (!vf_entry_lines_add(&log->queue, log->next, now, text, &log->where, next_nonce(log)))
        return vf_fail(why, VF_E_NOMEM, "%s: no memory for a log entry", log->dir);
    log->next++;
    log->last_us = now;
    if (log->unsealed_us == INT64_MAX) {
        log->unsealed_us = vf_clock_boot_us();
        log->knocked = true; /* for this sets the time of the next seal */
    }
    return VF_OK;
}

enum vf_err vf_log_put_own(struct vf_log *log, const struct vf_entry *entry, const uint8_t seal_key[32], struct vf_why *why)
{
    VF_ENTRY_BODY text = {0};

    VF_TRY(vf_entry_body_make(entry, seal_key, &text, why));
    return vf_log_put(log, &text, why);
}

enum vf_err vf_log_put_due(struct vf_log *log, struct vf_why *why)
{
    /* Recovery is told before anything else: behind a seal entry whose checkpoint was never made, a verifier accepts nothing but this. */
    if (log->recover && !log->recover_queued) {
        struct vf_entry e = {.event = VF_EVENT_RECOVER, .part = -1, .result = "ok"};
        e.has_bytes = log->recover_cut > 0;
        e.bytes = log->recover_cut;
        e.has_count = true;
        e.count = log->recover_kept;
        VF_TRY(vf_log_put_own(log, &e, NULL, why));
        log->recover_queued = true;
    }
    if (log->lost > log->lost_told) {
        struct vf_entry e = {.event = VF_EVENT_GAP, .part = -1, .has_count = true, .result = "ENOSPC"};
        e.count = log->lost - log->lost_told;
        VF_TRY(vf_log_put_own(log, &e, NULL, why));
        log->lost_told = log->lost;
    }
    return VF_OK;
}

/* The wall clock against the boot clock since the last entry. A step is an entry. */
static enum vf_err put_clock(struct vf_log *log, struct vf_why *why)
{
    int64_t now = now_us(log);
    int64_t boot = vf_clock_boot_us();
    int64_t step = (now - log->raw_now) - (boot - log->raw_boot);
    struct vf_entry e = {.event = VF_EVENT_CLOCK, .part = -1, .has_count = true, .result = step < 0 ? "back" : "forward"};

    if (step < -BACK_US || step > FORWARD_US) {
        e.count = (uint64_t)((step < 0 ? -step : step) / VF_SECOND_US);
        VF_TRY(vf_log_put_own(log, &e, NULL, why));
    }
    log->raw_now = now;
    log->raw_boot = boot;
    return VF_OK;
}

/* mu held. Refused for now, because a moment ago it did not work. */
static bool refuse(struct vf_log *log, enum vf_err *ret, struct vf_why *why)
{
    if (!log->failed || vf_clock_boot_us() - log->failed_us >= VF_LOG_RETRY_US)
        return false;
    log->lost++;
    *ret = vf_fail(why, VF_E_DISK_FULL, "%s", log->fail_why.text);
    return true;
}

static enum vf_err append_locked(struct vf_log *log, const struct vf_entry_body *text, uint64_t *ret_seq, struct vf_why *why)
{
    enum vf_err err = VF_OK;

    while (!log->stop && log->queue.len > VF_LOG_QUEUE_MAX)
        (void)pthread_cond_wait(&log->done, &log->mu);
    if (log->stop)
        return vf_fail(why, VF_E_INPUT, "%s: the log is being closed", log->dir);
    if (refuse(log, &err, why))
        return err;
    VF_TRY(vf_log_put_due(log, why));
    VF_TRY(put_clock(log, why));
    VF_TRY(vf_log_put(log, text, why));
    log->queued++;
    *ret_seq = (log->epoch << VF_LOG_TICKET_SHIFT) | (log->next - 1);
    return VF_OK;
}

/* Put into the queue; with `wake`, the thread is told. Who does without waits at once, and writes it itself if nobody else does. */
static enum vf_err append(struct vf_log *log, const struct vf_entry *entry, bool wake, uint64_t *ret_seq, struct vf_why *why)
{
    VF_ENTRY_BODY text = {0};
    uint64_t seq = 0;

    if (entry->event == VF_EVENT_SEAL || entry->event == VF_EVENT_RECOVER || entry->event == VF_EVENT_GAP)
        return vf_fail(why, VF_E_INPUT, "%s: only the log itself makes %s entries", log->dir, vf_event_text(entry->event));
    VF_TRY(vf_entry_body_make(entry, NULL, &text, why));
    (void)pthread_mutex_lock(&log->mu);
    enum vf_err err = append_locked(log, &text, &seq, why);
    wake = log->knocked || (wake && !log->writing); /* who writes passes on what he finds in the queue */
    (void)pthread_mutex_unlock(&log->mu);
    if (wake)
        (void)pthread_cond_signal(&log->work); /* not before: the thread would wake up to a lock that is held */
    if (err == VF_OK)
        *ret_seq = seq;
    return err;
}

enum vf_err vf_log_append(struct vf_log *log, const struct vf_entry *entry, uint64_t *ret_seq, struct vf_why *why)
{
    return append(log, entry, true, ret_seq, why);
}

enum fate { FATE_OPEN, FATE_DURABLE, FATE_LOST };

/* mu held. A ticket of an epoch that is long over is taken for lost: rather no data than data without an entry. */
static enum fate fate_of(const struct vf_log *log, uint64_t ticket)
{
    uint64_t epoch = ticket >> VF_LOG_TICKET_SHIFT;
    uint64_t seq = ticket & VF_ENTRY_SEQ_MAX;
    uint64_t mask = UINT64_MAX >> VF_LOG_TICKET_SHIFT;
    uint64_t age = (log->epoch - epoch) & mask;

    if (age == 0)
        return seq < log->durable ? FATE_DURABLE : seq < log->next ? FATE_OPEN : FATE_LOST;
    if (age > VF_LOG_EPOCHS)
        return FATE_LOST;
    return seq < log->lost_from[epoch % VF_LOG_EPOCHS] ? FATE_DURABLE : FATE_LOST;
}

enum vf_err vf_log_wait(struct vf_log *log, uint64_t seq, struct vf_why *why)
{
    enum vf_err err = VF_OK;
    enum fate fate = FATE_OPEN;

    (void)pthread_mutex_lock(&log->mu);
    while ((fate = fate_of(log, seq)) == FATE_OPEN)
        if (!vf_log_lead(log))
            vf_log_batch_wait(log, seq & VF_ENTRY_SEQ_MAX);
    if (fate == FATE_LOST)
        err = vf_fail(why, VF_E_DISK_FULL, "%s",
                      log->fail_why.text[0] != '\0' ? log->fail_why.text : "no such entry was ever put into this log");
    (void)pthread_mutex_unlock(&log->mu);
    return err;
}

enum vf_err vf_log_commit(struct vf_log *log, const struct vf_entry *entry, struct vf_why *why)
{
    uint64_t seq = 0;

    VF_TRY(append(log, entry, false, &seq, why));
    return vf_log_wait(log, seq, why);
}
