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
 * Two threads look after leases, twice a second. One wipes the shares whose lease has run out, and waits for nobody. The other looks at open files:
 * their shares are in use, so that they are renewed; where a lease has run out, the pages go too. That waits for pages that a READ has locked, so
 * (1) READs of those files that wait for the desk are sent away, and none begins to wait; (2) the pages of all files that lapsed since the last time are
 * dropped; (3) and once more those of the rounds before, since a READ that was answered just before may be put in behind us.
 */
#include "mount.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define THREADS       16
#define LEASE_TICK_US (VF_SECOND_US / 2)
#define SHARE_OF_LEFT 16
#define STRIDE        3 /* records without a photo lie between, and several programs do not keep in step */

struct vf_waits {
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct vf_request_op *first, **last;
    struct vf_request_op *at_work; /* taken from it, and waiting at the desk's client */
    pthread_t thread[THREADS];
    unsigned nthreads, idle;
    bool stopping;
    pthread_t leases, wipes;
    bool leases_run, wipes_run;
    atomic_bool online; /* there are leases */
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
        err = vf_desk_client_get_all(s->desk, op->job, left, &op->over, NULL);
    } else {
        enum vf_part part = vf_node_part(node);
        size_t n = op->ahead ? look_ahead(s, op->job, node->index, part, ahead) : 0;
        err = vf_desk_client_get(s->desk, op->job, node->index, part, ahead, n, left, &op->over, NULL);
    }
    return err ? vf_err_errno(err) : 0;
}

void vf_share_opened(struct vf_request_op *op)
{
    if (!is_cards(&op->node))
        op->ahead = is_walk(&op->node.slot->walk[vf_node_part(&op->node)], op->node.index);
}

/* -------------------------------------------------------------------------------------------------------------------- the queue */

/* Lock held. */
static void take_off(struct vf_request_op **list, const struct vf_request_op *op)
{
    while (*list != op)
        list = &(*list)->next;
    *list = op->next;
}

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
        op->next = w->at_work;
        w->at_work = op;
        pthread_mutex_unlock(&w->lock);
        int err = vf_share_get(s, op);
        pthread_mutex_lock(&w->lock);
        take_off(&w->at_work, op);
        pthread_mutex_unlock(&w->lock);
        vf_request_finish(s, op, err);
        free(op);
        pthread_mutex_lock(&w->lock);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

static bool is_lapsing(const struct vf_request_op *op)
{
    return op->read && vf_files_lapsing(&op->node.slot->files, op->ino);
}

int vf_waits_add(struct vf_session *s, const struct vf_request_op *op)
{
    struct vf_waits *w = s->waits;
    struct vf_request_op *mine = malloc(sizeof(*mine));
    if (!mine)
        return ENOMEM;
    *mine = *op;
    mine->next = NULL;
    pthread_mutex_lock(&w->lock);
    bool taken = !w->stopping;
    if (taken && w->idle == 0 && w->nthreads < THREADS && pthread_create(&w->thread[w->nthreads], NULL, run, s) == 0)
        w->nthreads++;
    /* Looked at under the lock: who drops pages marks the file, and then looks at the queue. */
    bool lapsing = is_lapsing(op);
    taken = taken && w->nthreads > 0 && !lapsing;
    if (taken) {
        *w->last = mine;
        w->last = &mine->next;
        pthread_cond_signal(&w->work);
    }
    pthread_mutex_unlock(&w->lock);
    if (taken)
        return 0;
    free(mine);
    if (atomic_load(&s->leaving))
        return ENODEV;
    return lapsing ? ENOKEY : ENOMEM;
}

static bool is_of_slot(const struct vf_request_op *op, const void *slot)
{
    return !slot || op->node.slot == slot;
}

static bool is_lapsed_read(const struct vf_request_op *op, const void *unused)
{
    (void)unused;
    return is_lapsing(op);
}

/* Those in the queue that are meant: off it. Lock held. */
static struct vf_request_op *take_meant(struct vf_waits *w, bool (*meant)(const struct vf_request_op *, const void *),
                                        const void *user)
{
    struct vf_request_op *over = NULL;
    for (struct vf_request_op **link = &w->first; *link;) {
        struct vf_request_op *op = *link;
        if (!meant(op, user)) {
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
    return over;
}

void vf_waits_over(struct vf_session *s, const struct vf_slot_job *slot)
{
    struct vf_waits *w = s->waits;
    if (!w)
        return;
    vf_desk_client_nudge(s->desk);
    pthread_mutex_lock(&w->lock);
    struct vf_request_op *over = take_meant(w, is_of_slot, slot);
    pthread_mutex_unlock(&w->lock);
    while (over) {
        struct vf_request_op *op = over;
        over = op->next;
        vf_request_finish(s, op, vf_gate_errno(s, op->node.slot, op->job));
        free(op);
    }
}

/* READs of files whose pages are being dropped: they hold some of them. */
static void send_away(struct vf_session *s)
{
    struct vf_waits *w = s->waits;
    pthread_mutex_lock(&w->lock);
    struct vf_request_op *over = take_meant(w, is_lapsed_read, NULL);
    for (struct vf_request_op *op = w->at_work; op; op = op->next)
        if (is_lapsing(op))
            atomic_store(&op->over, true);
    pthread_mutex_unlock(&w->lock);
    vf_desk_client_nudge(s->desk);
    while (over) {
        struct vf_request_op *op = over;
        over = op->next;
        vf_request_finish(s, op, ENOKEY);
        free(op);
    }
}

/* ------------------------------------------------------------------------------------------------------------------- the leases */

struct lapses { /* files whose pages are to be dropped */
    struct lapse {
        uint64_t ino;
        bool again;
    } * file;
    size_t n, room;
};

static void lapses_done(struct lapses *l)
{
    free(l->file);
}

/* Without memory for it, it is dropped at once. */
static void lapse_add(struct vf_session *s, struct lapses *l, uint64_t ino, bool again)
{
    if (l->n == l->room) {
        size_t room = l->room ? 2 * l->room : 64;
        struct lapse *more = realloc(l->file, room * sizeof(*more));
        if (!more) {
            fuse_lowlevel_notify_inval_inode(s->fuse, ino, 0, 0);
            return;
        }
        l->file = more;
        l->room = room;
    }
    l->file[l->n++] = (struct lapse){.ino = ino, .again = again};
}

static void drop_lapsed(struct vf_session *s, const struct lapses *l)
{
    if (l->n == 0)
        return;
    send_away(s);
    for (int again = 0; again < 2; again++)
        for (size_t i = 0; i < l->n; i++)
            if (l->file[i].again == (again == 1))
                fuse_lowlevel_notify_inval_inode(s->fuse, l->file[i].ino, 0, 0);
}

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

static void look_at_files(struct vf_session *s, struct vf_slot_job *slot, struct vf_job *job, struct lapses *lapses)
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
        unsigned round = vf_files_lapsed(&slot->files, seen[i].ino, !good);
        if (round > 0 && round <= VF_DROP_ROUNDS)
            lapse_add(s, lapses, seen[i].ino, round > 1);
    }
    free(seen);
    forget_before(slot, before);
}

static void look_at_slots(struct vf_session *s)
{
    VF_CLEANUP(lapses_done) struct lapses lapses = {0};
    bool online = false;
    struct vf_slot_job *slot;
    for (size_t i = 0; (slot = vf_slot_at(s, i)) != NULL; i++) {
        struct vf_job *job = vf_slot_job_ref(slot);
        if (vf_job_online(job) && atomic_load(&slot->state) == VF_SLOT_LIVE) {
            online = true;
            look_at_files(s, slot, job, &lapses);
        }
        vf_job_unref(job);
    }
    if (!atomic_exchange(&s->waits->online, online) && online)
        vf_watch_wake(s); /* who wipes has something to do */
    drop_lapsed(s, &lapses);
}

/* False: the mount ends. */
static bool next_tick(struct vf_session *s)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    vf_timespec_add(&until, LEASE_TICK_US);
    pthread_mutex_lock(&s->watch_lock);
    /* Deliveries wake us. */
    if (!s->stopping && atomic_load(&s->waits->online))
        (void)pthread_cond_timedwait(&s->watch_wake, &s->watch_lock, &until);
    else if (!s->stopping)
        (void)pthread_cond_wait(&s->watch_wake, &s->watch_lock);
    bool go_on = !s->stopping;
    pthread_mutex_unlock(&s->watch_lock);
    return go_on;
}

/* Wiped whatever the pages are like. What is over is given to nobody, wiped or not. */
static void *wipes(void *arg)
{
    struct vf_session *s = arg;
    do
        (void)vf_station_shares_expire(s->station, vf_clock_boot_us());
    while (next_tick(s));
    return NULL;
}

static void *leases(void *arg)
{
    struct vf_session *s = arg;
    do
        look_at_slots(s);
    while (next_tick(s));
    return NULL;
}

/* -------------------------------------------------------------------------------------------------------------- start and stop */

enum vf_err vf_waits_start(struct vf_session *s, struct vf_why *why)
{
    int rc = pthread_create(&s->waits->leases, NULL, leases, s);
    s->waits->leases_run = rc == 0;
    if (!rc) {
        rc = pthread_create(&s->waits->wipes, NULL, wipes, s);
        s->waits->wipes_run = rc == 0;
    }
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
    if (!s->waits)
        return;
    if (s->waits->leases_run)
        (void)pthread_join(s->waits->leases, NULL);
    if (s->waits->wipes_run)
        (void)pthread_join(s->waits->wipes, NULL);
    s->waits->leases_run = s->waits->wipes_run = false;
}

void vf_waits_free(struct vf_waits *w)
{
    if (!w)
        return;
    pthread_cond_destroy(&w->work);
    pthread_mutex_destroy(&w->lock);
    free(w);
}
