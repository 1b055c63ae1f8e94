/* SPDX-License-Identifier: MIT */
/*
 * Those who open files wait here, and one thread asks the desk for them: what is wanted while an exchange is under way goes into the next one. Nobody
 * waits longer than VF_DESK_WAIT_US; what comes after that is in time for the next open. Between times the thread renews the leases of
 * shares that are in use.
 *
 * By HTTP an exchange is done when it returns. By files (client_files.c) it is begun, and somebody may carry it for hours.
 */
#include "client_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RENEW_EVERY_US    VF_SECOND_US
#define ROUNDS_MAX        8 /* of one exchange that brings nothing new to the desk */
#define TELL_AGAIN_US     (600 * VF_SECOND_US)
#define END_SLACK_US      (2 * VF_SECOND_US)
#define DROPPED_MAX       3
#define DUE_MAX           VF_REQUEST_WANTS_MAX
#define NANOSECONDS_IN_US 1000

void vf_client_tell(struct vf_desk_client *c, const char *fmt, ...)
{
    char text[sizeof(c->told)];
    int64_t now = vf_clock_boot_us();
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (strcmp(text, c->told) == 0 && now - c->told_boot_us < TELL_AGAIN_US)
        return;
    memcpy(c->told, text, sizeof(text));
    c->told_boot_us = now;
    if (c->tell)
        c->tell(c->user, text);
}

/* ---------------------------------------------------------------------------------------------------------- what is asked next */

static bool same_grant(const struct vf_job *a, const struct vf_job *b)
{
    return memcmp(&vf_job_grant(a)->id, &vf_job_grant(b)->id, sizeof(struct vf_grant_id)) == 0;
}

static void add_ahead(struct client_ask *a, const struct client_waiter *w)
{
    for (size_t i = 0; i < w->nahead; i++)
        if (!vf_client_ask_add(a, w->ahead[i], w->part))
            return;
}

static struct client_ask new_ask(struct vf_job *job)
{
    return (struct client_ask){.job = vf_job_ref(job), .said = VF_ANSWER_COUNT};
}

/* In one request? With a budget it is of one part, so that a refusal says which. */
static bool fit_together(const struct client_waiter *first, const struct client_waiter *w)
{
    return w->again == first->again && (w->part == first->part || vf_job_grant(first->job)->budget == 0);
}

/* Not in an exchange yet; and what was answered to others meanwhile has not settled it. Lock held. */
static bool still_wants(struct vf_desk_client *c, struct client_waiter *w)
{
    if (w->taken || w->done)
        return false;
    w->err = vf_client_hold_budget(&c->holds, c->station, w->job, w->index, w->part, &w->why);
    w->done = w->err != VF_OK;
    if (w->done)
        pthread_cond_broadcast(&c->done);
    return !w->done;
}

/* What those who wait want, of one grant. Lock held. */
static bool pick(struct vf_desk_client *c, struct client_ask *ret)
{
    struct client_waiter *first = c->waiters;
    while (first && !still_wants(c, first))
        first = first->next;
    if (!first)
        return false;
    *ret = new_ask(first->job);
    for (struct client_waiter *w = first; w; w = w->next) {
        if (!same_grant(w->job, ret->job) || !fit_together(first, w) || !still_wants(c, w))
            continue;
        w->taken = vf_client_ask_add(ret, w->index, w->part);
        if (!w->taken && w == first) { /* all of the text, of a grant that does not allow it */
            w->done = true;
            w->err =
                vf_fail(&w->why, VF_E_BUDGET, "This grant does not allow the text of all its records to be read at once.");
            pthread_cond_broadcast(&c->done);
        }
    }
    for (struct client_waiter *w = first; w && !first->again; w = w->next)
        if (w->taken && same_grant(w->job, ret->job))
            add_ahead(ret, w);
    if (first->index != CLIENT_ALL)
        vf_client_hold_others(&c->holds, ret, first->index, first->part);
    bool any = ret->all_text || ret->nwants > 0;
    if (!any)
        vf_client_ask_done(ret);
    return any;
}

/* By files: what nobody waits for any more, but the next answer is to bring. Lock held. */
static bool pick_later(struct vf_desk_client *c, struct client_ask *ret)
{
    if (!c->later.job)
        return false;
    *ret = c->later;
    c->later = (struct client_ask){0};
    return true;
}

static void ask_later(struct vf_desk_client *c, const struct client_waiter *w)
{
    if (c->later.job && !same_grant(c->later.job, w->job))
        return;
    if (!c->later.job)
        c->later.job = vf_job_ref(w->job);
    (void)vf_client_ask_add(&c->later, w->index, w->part);
    if (!c->later.all_text && c->later.nwants == 0)
        vf_client_ask_done(&c->later);
    pthread_cond_signal(&c->work);
}

/* By the boot clock. A share that lasts until then need not be renewed, and cannot. */
static int64_t grant_end(struct vf_desk_client *c, const struct vf_job *job)
{
    int64_t t = 0;
    enum vf_err ignored = vf_station_time(c->station, &t, NULL);
    (void)ignored;
    return vf_clock_boot_us() + (vf_job_grant(job)->until_us - t) - END_SLACK_US;
}

static bool add_due(struct vf_desk_client *c, struct vf_job *job, struct client_ask *a)
{
    uint32_t due[DUE_MAX];
    int64_t end = grant_end(c, job);
    for (int part = 0; part < VF_PART_COUNT; part++) {
        size_t n = vf_job_shares_due(job, (enum vf_part)part, vf_clock_boot_us(), due, DUE_MAX);
        for (size_t i = 0; i < n; i++)
            if (vf_job_share_until(job, due[i], (enum vf_part)part) < end)
                (void)vf_client_ask_add(a, due[i], (enum vf_part)part);
    }
    return a->all_text || a->nwants > 0;
}

/* Shares in use whose lease is ending. */
static bool pick_due(struct vf_desk_client *c, struct client_ask *ret)
{
    struct vf_job **jobs = NULL;
    size_t n = 0;
    bool found = false;
    if (vf_station_jobs(c->station, &jobs, &n, NULL))
        return false;
    for (size_t i = 0; i < n; i++) {
        if (!found && vf_job_online(jobs[i]) && vf_job_may(c->station, jobs[i], NULL) == VF_OK) {
            *ret = new_ask(jobs[i]);
            found = add_due(c, jobs[i], ret);
            if (!found)
                vf_client_ask_done(ret);
        }
        vf_job_unref(jobs[i]);
    }
    free(jobs);
    return found;
}

/* ------------------------------------------------------------------------------------------------------------ what came of it */

static bool has_share(struct vf_job *job, uint32_t index, enum vf_part part)
{
    return index == CLIENT_ALL ? vf_job_text_until(job) > 0 : vf_job_share_until(job, index, part) > 0;
}

/* Lock held. */
static void settle_one(struct vf_desk_client *c, struct client_waiter *w, const struct client_ask *a, enum vf_err err,
                       const struct vf_why *why)
{
    w->taken = false;
    if (has_share(w->job, w->index, w->part)) {
        w->err = VF_OK;
    } else if (err == VF_OK && !w->again && !c->files && (a->nwants > 1 || (a->all_text && a->nwants > 0))) {
        w->again = true; /* there was no room for all */
        return;
    } else if (err == VF_OK) {
        w->err = vf_fail(&w->why, VF_E_NO_SHARE, "the key desk gave no share for this record");
    } else {
        w->err = err;
        w->why = *why;
    }
    w->done = true;
    bool held = vf_client_hold_budget(&c->holds, c->station, w->job, w->index, w->part, NULL) != VF_OK;
    if (!held && (w->err == VF_E_BUDGET || (w->err && err == VF_OK)))
        vf_client_hold_one(&c->holds, CLIENT_HOLD_RECORD, a->job, w->index, w->part, w->err, w->why.text);
}

static void note_status(struct vf_desk_client *c, enum vf_err err, const struct vf_why *why, bool reached)
{
    if (reached)
        c->status.reached_boot_us = vf_clock_boot_us();
    c->status.away = err && !reached;
    c->status.exchanges += reached;
    c->status.failures += err != VF_OK;
    (void)snprintf(c->status.text, sizeof(c->status.text), "%.255s", err ? why->text : "");
}

void vf_client_settle(struct vf_desk_client *c, const struct client_ask *a, enum vf_err err, const struct vf_why *why)
{
    /* Refusals that concern the grant are for the grant; BUDGET is for what is new of it; the rest for everybody. */
    bool whole = err == VF_E_EXPIRED || err == VF_E_REVOKED || err == VF_E_NOT_YET;
    pthread_mutex_lock(&c->lock);
    if (whole)
        vf_client_hold_one(&c->holds, CLIENT_HOLD_GRANT, a->job, CLIENT_ALL, VF_PART_TEXT, err, why->text);
    else if (err && err != VF_E_BUDGET && !a->dropped)
        vf_client_hold_all(&c->holds, err, why->text);
    else if (!a->dropped)
        c->holds.all.until_boot_us = 0;
    vf_client_hold_answered(&c->holds, a, err, why->text);
    c->active = true;
    for (struct client_waiter *w = c->waiters; w; w = w->next)
        if (w->taken && !w->done && same_grant(w->job, a->job) && vf_client_ask_has(a, w->index, w->part))
            settle_one(c, w, a, err, why);
    pthread_cond_broadcast(&c->done);
    pthread_mutex_unlock(&c->lock);
    if (err && !atomic_load(&c->stop))
        vf_client_tell(c, "%s", why->text);
}

/* ------------------------------------------------------------------------------------------------------------------ by HTTP */

/* What a program is told of anything that went wrong between us and the desk: no share. */
static enum vf_err as_refusal(enum vf_err err)
{
    switch ((int)err) {
    case VF_OK:
    case VF_E_BUDGET:
    case VF_E_EXPIRED:
    case VF_E_REVOKED:
    case VF_E_NOT_YET:
    case VF_E_DISK_FULL: /* the log cannot be written */
        return err;
    default:
        return VF_E_NO_SHARE;
    }
}

/* An exchange that stands still (a connection that was lost says nothing) keeps nobody waiting who came after it began. */
static bool go_on(void *user, int64_t still_us)
{
    struct vf_desk_client *c = user;
    if (atomic_load(&c->stop))
        return false;
    pthread_mutex_lock(&c->lock);
    bool waits = false;
    int64_t patience_us = c->patience_us << (c->dropped < DROPPED_MAX ? c->dropped : DROPPED_MAX);
    for (const struct client_waiter *w = c->waiters; still_us >= patience_us && w; w = w->next)
        waits = waits || (!w->taken && !w->done);
    pthread_mutex_unlock(&c->lock);
    return !waits;
}

static enum vf_err one_round(struct vf_desk_client *c, struct client_ask *a, bool *ret_again, bool *ret_reached,
                             struct vf_why *why)
{
    VF_BUF request, answer;
    vf_buf_init(&request, VF_REQUEST_MAX);
    vf_buf_init(&answer, VF_ANSWER_MAX);
    VF_TRY(vf_client_ask_make(c, a, &request, why));
    enum vf_err err = vf_client_http_post(c->http, a->url, &request, &answer, go_on, c, why);
    a->dropped = err == VF_E_BUSY;
    VF_TRY(err);
    err = vf_client_ask_take(c, a, answer.data, answer.len, ret_again, why);
    *ret_reached = a->key == NULL; /* the answer was one, and the desk's */
    if (err && !*ret_reached)
        return vf_fail_prefix(why, VF_E_NO_SHARE, "what answered at %s is not the force's key desk", a->url);
    return err;
}

static void exchange(struct vf_desk_client *c, struct client_ask *a)
{
    struct vf_why why = {0};
    enum vf_err err = VF_OK;
    bool again = true, reached = false;
    unsigned rounds = 0;

    if (!c->http) {
        struct client_http *h = NULL;
        err = vf_client_http_new(&h, &why);
        pthread_mutex_lock(&c->lock); /* the one who stops us wakes it */
        c->http = h;
        pthread_mutex_unlock(&c->lock);
    }
    while (!err && again && !atomic_load(&c->stop)) {
        uint64_t before = c->desk_size;
        err = one_round(c, a, &again, &reached, &why);
        rounds = c->desk_size > before ? 0 : rounds + 1;
        if (!err && again && rounds >= ROUNDS_MAX)
            err = vf_fail(&why, VF_E_NO_SHARE, "the key desk asks for the same again and again");
    }
    err = as_refusal(err);
    if (!err && again)
        err = vf_fail(&why, VF_E_NO_SHARE, "the mount is ending");
    pthread_mutex_lock(&c->lock);
    note_status(c, err, &why, reached);
    c->dropped = a->dropped ? c->dropped + 1 : 0;
    pthread_mutex_unlock(&c->lock);
    vf_client_settle(c, a, err, &why);
    vf_client_ask_done(a);
}

/* ---------------------------------------------------------------------------------------------------------------- the thread */

static void deadline(struct timespec *ret, int64_t us)
{
    clock_gettime(CLOCK_MONOTONIC, ret);
    int64_t ns = ret->tv_nsec + us % VF_SECOND_US * NANOSECONDS_IN_US;
    ret->tv_sec += us / VF_SECOND_US + ns / (VF_SECOND_US * NANOSECONDS_IN_US);
    ret->tv_nsec = ns % (VF_SECOND_US * NANOSECONDS_IN_US);
}

/* Lock held. Until somebody wants something, or it is time to look for what is due. */
static void idle(struct vf_desk_client *c)
{
    struct timespec until;
    if (!c->active && !c->files) {
        (void)pthread_cond_wait(&c->work, &c->lock);
        return;
    }
    deadline(&until, c->files ? CLIENT_FILES_LOOK_US : RENEW_EVERY_US);
    (void)pthread_cond_timedwait(&c->work, &c->lock, &until);
}

static bool time_to_renew(struct vf_desk_client *c)
{
    int64_t now = vf_clock_boot_us();
    if (!c->active || c->holds.all.until_boot_us > now || now - c->renewed_boot_us < RENEW_EVERY_US)
        return false;
    c->renewed_boot_us = now;
    return true;
}

static void serve(struct vf_desk_client *c, struct client_ask *a)
{
    if (c->files)
        vf_client_files_post(c, a);
    else
        exchange(c, a);
}

static void *run(void *arg)
{
    struct vf_desk_client *c = arg;
    struct client_ask a;

    while (!atomic_load(&c->stop)) {
        pthread_mutex_lock(&c->lock);
        bool renew = time_to_renew(c); /* first, once a second: those who walk through folders leave no other time for it */
        bool wanted = !renew && (pick(c, &a) || pick_later(c, &a));
        if (!wanted && !renew && !atomic_load(&c->stop))
            idle(c);
        pthread_mutex_unlock(&c->lock);
        if (wanted || (renew && pick_due(c, &a)))
            serve(c, &a);
        if (c->files)
            vf_client_files_look(c);
        vf_client_receipt_store(c, false);
    }
    return NULL;
}

/* ------------------------------------------------------------------------------------------------------------- for the mount */

static enum vf_err start(struct vf_desk_client *c, struct vf_why *why)
{
    pthread_condattr_t attr;
    pthread_mutex_init(&c->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&c->work, &attr);
    pthread_cond_init(&c->done, &attr);
    pthread_condattr_destroy(&attr);
    vf_buf_init(&c->receipt, VF_NOTE_MAX);
    VF_TRY(vf_station_receipt_get(c->station, &c->receipt, &c->desk_size, why));
    int rc = pthread_create(&c->thread, NULL, run, c);
    c->thread_runs = rc == 0;
    return rc ? vf_fail(why, VF_E_SYSTEM, "no thread to talk to the key desk: %s", strerror(rc)) : VF_OK;
}

enum vf_err vf_desk_client_new(const struct vf_desk_client_options *opt, struct vf_desk_client **ret, struct vf_why *why)
{
    struct vf_desk_client *c = calloc(1, sizeof(*c));
    if (!c)
        return vf_fail(why, VF_E_NOMEM, "out of memory");
    c->station = opt->station;
    c->log = vf_station_log(opt->station);
    c->tell = opt->tell;
    c->user = opt->user;
    c->patience_us = VF_DESK_WAIT_US;
    c->status.by_files = opt->request_path != NULL;
    enum vf_err err = VF_OK;
    if (opt->request_path)
        err = vf_client_files_new(opt->request_path, opt->answer_path, &c->files, why);
    if (!err)
        err = start(c, why);
    if (err) {
        vf_client_files_free(c->files);
        vf_buf_done(&c->receipt);
        free(c);
        return err;
    }
    *ret = c;
    return VF_OK;
}

void vf_desk_client_stop(struct vf_desk_client *c)
{
    if (!c)
        return;
    pthread_mutex_lock(&c->lock);
    atomic_store(&c->stop, true);
    if (c->http)
        vf_client_http_wake(c->http);
    pthread_cond_broadcast(&c->work);
    pthread_cond_broadcast(&c->done);
    pthread_mutex_unlock(&c->lock);
}

void vf_desk_client_nudge(struct vf_desk_client *c)
{
    pthread_mutex_lock(&c->lock);
    pthread_cond_broadcast(&c->done);
    pthread_mutex_unlock(&c->lock);
}

void vf_desk_client_free(struct vf_desk_client *c)
{
    if (!c)
        return;
    vf_desk_client_stop(c);
    if (c->thread_runs)
        (void)pthread_join(c->thread, NULL);
    pthread_mutex_lock(&c->lock);
    while (c->nwaiters > 0)
        (void)pthread_cond_wait(&c->done, &c->lock);
    pthread_mutex_unlock(&c->lock);
    vf_client_receipt_store(c, true);
    vf_client_ask_done(&c->later);
    vf_client_holds_done(&c->holds);
    vf_client_files_free(c->files);
    vf_client_http_free(c->http);
    vf_buf_done(&c->receipt);
    pthread_cond_destroy(&c->work);
    pthread_cond_destroy(&c->done);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

/* Lock held. */
static void leave(struct vf_desk_client *c, const struct client_waiter *w)
{
    struct client_waiter **link = &c->waiters;
    while (*link != w)
        link = &(*link)->next;
    *link = w->next;
    if (--c->nwaiters == 0 && atomic_load(&c->stop))
        pthread_cond_broadcast(&c->done);
}

/* Lock held. At the end of the list: who came first is served first. */
static void join(struct vf_desk_client *c, struct client_waiter *w)
{
    struct client_waiter **link = &c->waiters;
    while (*link)
        link = &(*link)->next;
    *link = w;
    c->nwaiters++;
    pthread_cond_signal(&c->work);
}

static bool is_over(const struct client_waiter *w)
{
    return w->over && atomic_load(w->over);
}

/* Lock held. */
static enum vf_err may_wait(struct vf_desk_client *c, const struct client_waiter *w, struct vf_why *why)
{
    if (atomic_load(&c->stop))
        return vf_fail(why, VF_E_NO_SHARE, "the mount is ending");
    VF_TRY(vf_client_hold_budget(&c->holds, c->station, w->job, w->index, w->part, why));
    enum vf_err err = vf_client_hold_check(&c->holds, w->job, w->index, w->part, why);
    if (err && c->files)
        ask_later(c, w);
    return err ? err : vf_job_may(c->station, w->job, why);
}

static enum vf_err wait_for(struct vf_desk_client *c, struct client_waiter *w, int64_t wait_us, struct vf_why *why)
{
    struct timespec until;
    deadline(&until, wait_us > 0 ? wait_us : 0); /* it may have been over before anybody came to it */
    pthread_mutex_lock(&c->lock);
    enum vf_err err = may_wait(c, w, why);
    if (err) {
        pthread_mutex_unlock(&c->lock);
        return err;
    }
    join(c, w);
    int rc = 0;
    while (!w->done && !err && !atomic_load(&c->stop) && !is_over(w) && rc == 0) {
        rc = pthread_cond_timedwait(&c->done, &c->lock, &until);
        err = vf_job_may(c->station, w->job, why);
    }
    if (err) {
        /* It ended meanwhile. */
    } else if (w->done) {
        err = w->err;
        if (err && why)
            *why = w->why;
    } else if (has_share(w->job, w->index, w->part)) {
        err = VF_OK;
    } else if (atomic_load(&c->stop)) {
        err = vf_fail(why, VF_E_NO_SHARE, "the mount is ending");
    } else if (is_over(w)) {
        err = vf_fail(why, VF_E_NO_SHARE, "the lease has run out");
    } else {
        err = vf_fail(why, VF_E_NO_SHARE,
                      c->files ? "no answer of the key desk has been brought yet" : "the key desk has not answered in time");
        vf_client_hold_all(&c->holds, err,
                           c->files ? "no answer of the key desk has been brought yet"
                                    : "the key desk has not answered in time");
    }
    leave(c, w);
    pthread_mutex_unlock(&c->lock);
    return err;
}

enum vf_err vf_desk_client_get(struct vf_desk_client *c, struct vf_job *job, uint32_t index, enum vf_part part,
                               const uint32_t *ahead, size_t nahead, int64_t wait_us, const atomic_bool *over,
                               struct vf_why *why)
{
    struct client_waiter w = {.job = job, .index = index, .part = part, .ahead = ahead, .nahead = nahead, .over = over};
    if (has_share(job, index, part))
        return VF_OK;
    return wait_for(c, &w, wait_us, why);
}

enum vf_err vf_desk_client_get_all(struct vf_desk_client *c, struct vf_job *job, int64_t wait_us, const atomic_bool *over,
                                   struct vf_why *why)
{
    struct client_waiter w = {.job = job, .index = CLIENT_ALL, .part = VF_PART_TEXT, .over = over};
    if (has_share(job, CLIENT_ALL, VF_PART_TEXT))
        return VF_OK;
    return wait_for(c, &w, wait_us, why);
}

bool vf_desk_client_all(const struct vf_job *job)
{
    return vf_client_all_text(job);
}

void vf_desk_client_status_get(struct vf_desk_client *c, struct vf_desk_client_status *ret)
{
    pthread_mutex_lock(&c->lock);
    *ret = c->status;
    pthread_mutex_unlock(&c->lock);
}
