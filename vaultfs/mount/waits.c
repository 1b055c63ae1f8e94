/* SPDX-License-Identifier: MIT */
/*
 * Online jobs: what has to wait for the key desk, and what a lease brings with it.
 *
 * An OPEN or READ whose share is not here is put into a queue, and its FUSE thread goes on: a desk that is slow or away never keeps the files
 * of other jobs waiting. A few threads of our own take what is queued to the desk's client, wait there five seconds at most from when
 * the request came, and answer it as the FUSE thread would have. They are made when they are needed first.
 *
 * A READ holds its pages locked until it is answered, and dropping pages waits for that: so when a job ends, or the mount, what waits for it is
 * answered first (vf_waits_over).
 *
 * The lease thread looks at open files twice a second: their shares are in use, so that they are renewed; where a lease has run out, the pages
 * go too, for some rounds, since a READ that was answered just before may be put in behind us. It may wait for a page; the watcher may not.
 */
#include "mount.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define THREADS       16
#define LEASE_TICK_US (VF_SECOND_US / 2)
#define DROP_ROUNDS   3
#define SHARE_OF_LEFT 16
#define STRIDE        3 /* records without a photo lie between, and several programs do not keep in step */

struct vf_waits {
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct vf_request_op *first, **last;
    pthread_t thread[THREADS];
    unsigned nthreads, idle;
    bool stopping;
    pthread_t leases;
    bool leases_run;
};

/* ------------------------------------------------------------------------------------------------------------------ a request */

static bool is_cards(const struct vf_node *node)
{
    return node->kind == VF_NODE_CARDS || node->kind == VF_NODE_CARDS_EXCEL;
}

bool vf_share_here(struct vf_job *job, const struct vf_node *node)
{
    if (!vf_job_online(job))
        return true;
    return is_cards(node) ? vf_job_text_until(job) > 0 : vf_job_share_until(job, node->index, vf_node_part(node)) > 0;
}

static bool wanted_ahead(struct vf_job *job, uint32_t index, enum vf_part part)
{
    struct vf_job_item item;
    vf_job_item_get(job, index, &item);
    return (part == VF_PART_TEXT ? item.text : item.photo || item.signature) && vf_job_share_until(job, index, part) == 0;
}

/* Files that are opened in the order of their refs: somebody walks through the folder. */
static bool is_walk(struct vf_walk *w, uint32_t index)
{
    pthread_mutex_lock(&w->lock);
    if (index > w->last && index - w->last <= STRIDE)
        w->run++;
    else if (index > w->last || w->last - index > STRIDE)
        w->run = 0;
    if (w->run == 0 || index > w->last)
        w->last = index;
    bool walk = w->run > 0;
    pthread_mutex_unlock(&w->lock);
    return walk;
}

/* What is released ahead counts: of a small budget, and near the end of any, nothing is. */
static size_t look_ahead(struct vf_session *s, struct vf_job *job, uint32_t index, enum vf_part part, uint32_t *ret)
{
    const struct vf_grant *g = vf_job_grant(job);
    size_t n = 0, most = VF_AHEAD;
    if (g->budget) {
        uint64_t left = vf_job_budget_left(s->station, job, part);
        if (left < g->budget / 10)
            return 0;
        most = left / SHARE_OF_LEFT < most ? (size_t)(left / SHARE_OF_LEFT) : most;
    }
    for (uint32_t i = index + 1; i < vf_job_count(job) && i - index <= 2 * VF_AHEAD && n < most; i++)
        if (wanted_ahead(job, i, part))
            ret[n++] = i;
    return n;
}

int vf_share_get(struct vf_session *s, const struct vf_request_op *op)
{
    const struct vf_node *node = &op->node;
    uint32_t ahead[VF_AHEAD];
    int64_t left = op->deadline_boot_us - vf_clock_boot_us();
    enum vf_err err;
    if (is_cards(node)) {
        err = vf_desk_client_get_all(s->desk, op->job, left, NULL, NULL);
    } else {
        enum vf_part part = vf_node_part(node);
        size_t n = op->ahead ? look_ahead(s, op->job, node->index, part, ahead) : 0;
        err = vf_desk_client_get(s->desk, op->job, node->index, part, ahead, n, left, NULL, NULL);
    }
    return err ? vf_err_errno(err) : 0;
}

void vf_share_opened(struct vf_request_op *op)
{
    if (!is_cards(&op->node))
        op->ahead = is_walk(&op->node.slot->walk[vf_node_part(&op->node)], op->node.index);
}

/* -------------------------------------------------------------------------------------------------------------------- the queue */

static void *run(void *arg)
{
    struct vf_session *s = arg;
    struct vf_waits *w = s->waits;

    pthread_mutex_lock(&w->lock);
    while (!w->stopping) {
        struct vf_request_op *op = w->first;
        if (!op) {
            w->idle++;
            (void)pthread_cond_wait(&w->work, &w->lock);
            w->idle--;
            continue;
        }
        w->first = op->next;
        if (!w->first)
            w->last = &w->first;
        pthread_mutex_unlock(&w->lock);
        vf_request_finish(s, op, vf_share_get(s, op));
        free(op);
        pthread_mutex_lock(&w->lock);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

bool vf_waits_add(struct vf_session *s, const struct vf_request_op *op)
{
    struct vf_waits *w = s->waits;
    struct vf_request_op *mine = malloc(sizeof(*mine));
    if (!mine)
        return false;
    *mine = *op;
    mine->next = NULL;
    pthread_mutex_lock(&w->lock);
    bool taken = !w->stopping;
    if (taken && w->idle == 0 && w->nthreads < THREADS && pthread_create(&w->thread[w->nthreads], NULL, run, s) == 0)
        w->nthreads++;
    taken = taken && w->nthreads > 0;
    if (taken) {
        *w->last = mine;
        w->last = &mine->next;
        pthread_cond_signal(&w->work);
    }
    pthread_mutex_unlock(&w->lock);
    if (!taken)
        free(mine);
    return taken;
}

void vf_waits_over(struct vf_session *s, const struct vf_slot_job *slot)
{
    struct vf_waits *w = s->waits;
    struct vf_request_op *over = NULL;
    if (!w)
        return;
    vf_desk_client_nudge(s->desk);
    pthread_mutex_lock(&w->lock);
    for (struct vf_request_op **link = &w->first; *link;) {
        struct vf_request_op *op = *link;
        if (slot && op->node.slot != slot) {
            link = &op->next;
            continue;
        }
        *link = op->next;
        op->next = over;
        over = op;
    }
    w->last = &w->first;
    while (*w->last)
        w->last = &(*w->last)->next;
    pthread_mutex_unlock(&w->lock);
    while (over) {
        struct vf_request_op *op = over;
        over = op->next;
        vf_request_finish(s, op, vf_gate_errno(s, op->node.slot, op->job));
        free(op);
    }
}

/* ------------------------------------------------------------------------------------------------------------------- the leases */

static int64_t until_of(struct vf_job *job, const struct vf_node *node, int64_t text_until)
{
    return is_cards(node) ? text_until : vf_job_share_until(job, node->index, vf_node_part(node));
}

/* The text of all records is renewed as one: to say so of one record is enough. */
static void say_used(struct vf_job *job, const struct vf_node *node)
{
    if (!is_cards(node))
        vf_job_share_used(job, node->index, vf_node_part(node));
    for (uint32_t i = 0; is_cards(node) && i < vf_job_count(job); i++) {
        if (vf_job_share_until(job, i, VF_PART_TEXT) == 0)
            continue;
        vf_job_share_used(job, i, VF_PART_TEXT);
        break;
    }
}

/* When its last lease is over. */
static void forget_before(struct vf_slot_job *slot, struct vf_job *before)
{
    struct vf_shares_state shares;
    if (!before)
        return;
    vf_job_shares_state_get(before, &shares);
    if (shares.last_boot_us == 0)
        vf_job_unref(vf_slot_before_ref(slot, true));
    vf_job_unref(before);
}

static void look_at_files(struct vf_session *s, struct vf_slot_job *slot, struct vf_job *job)
{
    size_t n = 0;
    struct vf_file_seen *seen = vf_files_seen(&slot->files, &n);
    int64_t text_until = n > 0 ? vf_job_text_until(job) : 0;
    struct vf_job *before = vf_slot_before_ref(slot, false);
    int64_t text_before = before && n > 0 ? vf_job_text_until(before) : 0;
    for (size_t i = 0; i < n; i++) {
        struct vf_node node;
        if (!vf_node_of(s, seen[i].ino, &node))
            continue;
        bool good = until_of(job, &node, text_until) > 0;
        if (good && seen[i].handles > 0)
            say_used(job, &node);
        /* The pages came under the grant that this one renews: they may stay for its lease. */
        good = good || (before && until_of(before, &node, text_before) > 0);
        if (vf_files_lapsed(&slot->files, seen[i].ino, !good) <= DROP_ROUNDS && !good)
            fuse_lowlevel_notify_inval_inode(s->fuse, seen[i].ino, 0, 0);
    }
    free(seen);
    forget_before(slot, before);
}

/* *ret_online: there is something to look at. */
static void look_at_slots(struct vf_session *s, bool *ret_online)
{
    pthread_rwlock_rdlock(&s->jobs_lock);
    size_t n = s->nslots;
    pthread_rwlock_unlock(&s->jobs_lock);
    *ret_online = false;
    for (size_t i = 0; i < n; i++) {
        pthread_rwlock_rdlock(&s->jobs_lock);
        struct vf_slot_job *slot = s->slots[i];
        pthread_rwlock_unlock(&s->jobs_lock);
        struct vf_job *job = vf_slot_job_ref(slot);
        if (vf_job_online(job) && atomic_load(&slot->state) == VF_SLOT_LIVE) {
            *ret_online = true;
            look_at_files(s, slot, job);
        }
        vf_job_unref(job);
    }
}

static void *leases(void *arg)
{
    struct vf_session *s = arg;
    bool go_on = true, online = false;

    while (go_on) {
        struct timespec until;
        /* Wiped first: what is dropped cannot be read again. */
        (void)vf_station_shares_expire(s->station, vf_clock_boot_us());
        look_at_slots(s, &online);
        clock_gettime(CLOCK_MONOTONIC, &until);
        vf_timespec_add(&until, LEASE_TICK_US);
        pthread_mutex_lock(&s->watch_lock);
        /* Deliveries wake us. */
        if (!s->stopping && online)
            (void)pthread_cond_timedwait(&s->watch_wake, &s->watch_lock, &until);
        else if (!s->stopping)
            (void)pthread_cond_wait(&s->watch_wake, &s->watch_lock);
        go_on = !s->stopping;
        pthread_mutex_unlock(&s->watch_lock);
    }
    return NULL;
}

/* -------------------------------------------------------------------------------------------------------------- start and stop */

enum vf_err vf_waits_start(struct vf_session *s, struct vf_why *why)
{
    int rc = pthread_create(&s->waits->leases, NULL, leases, s);
    s->waits->leases_run = rc == 0;
    return rc ? vf_fail(why, VF_E_SYSTEM, "no thread to watch leases: %s", strerror(rc)) : VF_OK;
}

struct vf_waits *vf_waits_new(void)
{
    struct vf_waits *w = calloc(1, sizeof(*w));
    if (!w)
        return NULL;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->work, NULL);
    w->last = &w->first;
    return w;
}

void vf_waits_stop(struct vf_session *s)
{
    struct vf_waits *w = s->waits;
    if (!w)
        return;
    vf_desk_client_stop(s->desk);
    pthread_mutex_lock(&w->lock);
    w->stopping = true;
    pthread_cond_broadcast(&w->work);
    pthread_mutex_unlock(&w->lock);
    vf_waits_over(s, NULL);
}

void vf_waits_join(struct vf_session *s)
{
    struct vf_waits *w = s->waits;
    if (!w)
        return;
    vf_waits_stop(s);
    for (; w->nthreads > 0; w->nthreads--) /* nobody adds one any more */
        (void)pthread_join(w->thread[w->nthreads - 1], NULL);
}

void vf_waits_join_leases(struct vf_session *s)
{
    if (s->waits && s->waits->leases_run)
        (void)pthread_join(s->waits->leases, NULL);
    if (s->waits)
        s->waits->leases_run = false;
}

void vf_waits_free(struct vf_waits *w)
{
    if (!w)
        return;
    pthread_cond_destroy(&w->work);
    pthread_mutex_destroy(&w->lock);
    free(w);
}
