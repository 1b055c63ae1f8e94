/* SPDX-License-Identifier: MIT */
/*
 * The watcher: a thread of its own that ends grants to the second, keeps trusted time, warns before the end, takes up deliveries.
 *
 * The end of a grant: (1) state set, newcomers get the errno; (2) the gate closed, those inside waited for; (3) no lock held: the pages of
 * every file the kernel may hold are dropped, twice, since a READ that was answered before (2) may have been inserted after the first
 * pass; then names, so that no cached lookup succeeds; (4) keys wiped; (5) the entry.
 */
#include "mount.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>

#define TICK_US        (VF_SECOND_US / 4)
#define SWEEP_EVERY_US (INT64_C(3600) * VF_SECOND_US)

static void drop_pages(struct vf_session *s, struct vf_slot_job *slot)
{
    size_t n = 0;
    uint64_t *list = vf_files_list(&slot->files, &n);
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; list && i < n; i++)
            fuse_lowlevel_notify_inval_inode(s->fuse, list[i], 0, 0);
    free(list);
}

static void drop_names(struct vf_session *s, struct vf_slot_job *slot)
{
    static const struct {
        const char *name;
        unsigned kind;
    } children[] = {
        {"cards.csv", VF_NODE_CARDS}, {"cards-excel.csv", VF_NODE_CARDS_EXCEL},
        {"photos", VF_NODE_PHOTOS},   {"signatures", VF_NODE_SIGNATURES},
        {"records", VF_NODE_RECORDS},
    };
    uint64_t parent = s->opt->job ? FUSE_ROOT_ID : vf_node_ino(slot, VF_NODE_JOB, 0);
    for (size_t i = 0; i < sizeof(children) / sizeof(children[0]); i++) {
        fuse_lowlevel_notify_inval_entry(s->fuse, parent, children[i].name, strlen(children[i].name));
        fuse_lowlevel_notify_inval_inode(s->fuse, vf_node_ino(slot, children[i].kind, 0), -1, 0);
    }
}

void vf_slot_end(struct vf_session *s, struct vf_slot_job *slot, enum vf_slot_state why)
{
    enum vf_slot_state live = VF_SLOT_LIVE;
    if (!atomic_compare_exchange_strong(&slot->state, &live, why))
        return;
    vf_end_gate_close(&slot->gate);
    drop_pages(s, slot);
    drop_names(s, slot);
    struct vf_job *job = vf_slot_job_ref(slot);
    vf_job_forget(job);
    enum vf_event event = why == VF_SLOT_REVOKED ? VF_EVENT_REVOKE : VF_EVENT_EXPIRE;
    enum vf_err ignored = vf_access_event(s, event, job, why == VF_SLOT_REVOKED ? "EKEYREVOKED" : "EKEYEXPIRED", NULL);
    (void)ignored; /* the grant has ended whether or not the disk takes the entry */
    vf_job_unref(job);
}

static void warn_before_end(struct vf_slot_job *slot, const struct vf_grant *g, int64_t left)
{
    static const struct {
        int64_t us;
        const char *text;
    } steps[] = {
        {24 * 3600 * VF_SECOND_US, "24 hours"}, {3600 * VF_SECOND_US, "one hour"}, {600 * VF_SECOND_US, "10 minutes"}};
    /* Only the nearest step is told: a grant of an hour does not begin with a warning about its last day. */
    int64_t whole = g->until_us - g->from_us;
    for (unsigned i = 3; i-- > 0;) {
        if (left > steps[i].us || whole <= steps[i].us)
            continue;
        if (!(slot->warned & 1u << i))
            syslog(LOG_WARNING, "job %s ends in less than %s; ask the force for a renewal if the work is not done",
                   slot->name, steps[i].text);
        slot->warned |= (2u << i) - 1;
        break;
    }
}

/* Look at every slot; returns how long to sleep at most. *ret_back: a slot that had ended may be used again. */
static int64_t look_at_slots(struct vf_session *s, bool *ret_back)
{
    int64_t sleep_us = TICK_US, now = 0;
    enum vf_err clock = vf_station_time(s->station, &now, NULL);

    if (clock == VF_E_CLOCK && !s->clock_bad)
        syslog(LOG_WARNING, "the clock of this computer was moved back: files open again when it shows the right time");
    s->clock_bad = clock == VF_E_CLOCK;
    pthread_rwlock_rdlock(&s->jobs_lock);
    size_t n = s->nslots;
    pthread_rwlock_unlock(&s->jobs_lock);
    for (size_t i = 0; i < n; i++) {
        pthread_rwlock_rdlock(&s->jobs_lock);
        struct vf_slot_job *slot = s->slots[i];
        pthread_rwlock_unlock(&s->jobs_lock);
        struct vf_job *job = vf_slot_job_ref(slot);
        enum vf_err may = vf_job_may(s->station, job, NULL);
        if (atomic_load(&slot->state) != VF_SLOT_LIVE) {
            *ret_back |= may == VF_OK && !slot->replaced; /* the clock was wrong when it ended */
            vf_job_unref(job);
            continue;
        }
        int64_t left = vf_job_grant(job)->until_us - now;
        if (may == VF_E_EXPIRED || may == VF_E_REVOKED) {
            vf_slot_end(s, slot, may == VF_E_REVOKED ? VF_SLOT_REVOKED : VF_SLOT_ENDED);
        } else {
            warn_before_end(slot, vf_job_grant(job), left);
            if (left > 0 && left < sleep_us)
                sleep_us = left;
        }
        vf_job_unref(job);
    }
    return sleep_us < 1000 ? 1000 : sleep_us;
}

static void take_deliveries(struct vf_session *s)
{
    if (vf_station_version(s->station) == s->jobs_version)
        return;
    struct vf_why why = {0};
    if (vf_slots_load(s, &why)) {
        syslog(LOG_ERR, "%s", why.text);
        return;
    }
    /* What the kernel believed of listings and sizes is asked anew. */
    fuse_lowlevel_notify_inval_inode(s->fuse, FUSE_ROOT_ID, -1, 0);
    pthread_rwlock_rdlock(&s->jobs_lock);
    size_t n = s->nslots;
    pthread_rwlock_unlock(&s->jobs_lock);
    for (size_t i = 0; i < n; i++) {
        pthread_rwlock_rdlock(&s->jobs_lock);
        struct vf_slot_job *slot = s->slots[i];
        pthread_rwlock_unlock(&s->jobs_lock);
        if (slot->replaced)
            fuse_lowlevel_notify_inval_entry(s->fuse, FUSE_ROOT_ID, slot->name, strlen(slot->name));
        fuse_lowlevel_notify_inval_inode(s->fuse, vf_node_ino(slot, VF_NODE_JOB, 0), -1, 0);
        fuse_lowlevel_notify_inval_inode(s->fuse, vf_node_ino(slot, VF_NODE_CARDS, 0), -1, 0);
        fuse_lowlevel_notify_inval_inode(s->fuse, vf_node_ino(slot, VF_NODE_CARDS_EXCEL, 0), -1, 0);
    }
}

static void sleep_for(struct vf_session *s, int64_t us)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t ns = until.tv_nsec + us % VF_SECOND_US * 1000;
    until.tv_sec += us / VF_SECOND_US + ns / 1000000000;
    until.tv_nsec = ns % 1000000000;
    pthread_mutex_lock(&s->watch_lock);
    if (!s->stopping)
        pthread_cond_timedwait(&s->watch_wake, &s->watch_lock, &until);
    pthread_mutex_unlock(&s->watch_lock);
}

static void *watch(void *arg)
{
    struct vf_session *s = arg;
    int64_t next_tick = 0, next_sweep = 0;
    bool stop = false;

    while (!stop) {
        take_deliveries(s);
        bool back = false;
        int64_t sleep_us = look_at_slots(s, &back);
        if (back && vf_station_refresh(s->station, NULL) == VF_OK)
            continue; /* with shares opened anew */
        int64_t now = vf_clock_boot_us();
        if (now >= next_tick) {
            enum vf_err ignored = vf_station_clock_tick(s->station, NULL);
            (void)ignored; /* a clock that cannot be saved now is saved at the next tick, and T holds without it */
            vf_access_flush(s);
            next_tick = now + VF_SECOND_US;
        }
        if (now >= next_sweep) {
            uint64_t dropped;
            enum vf_err ignored = vf_station_sweep(s->station, &dropped, NULL);
            (void)ignored;
            next_sweep = now + SWEEP_EVERY_US;
        }
        sleep_for(s, sleep_us);
        pthread_mutex_lock(&s->watch_lock);
        stop = s->stopping;
        pthread_mutex_unlock(&s->watch_lock);
    }
    return NULL;
}

enum vf_err vf_watch_start(struct vf_session *s, struct vf_why *why)
{
    pthread_condattr_t attr;
    pthread_mutex_init(&s->watch_lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&s->watch_wake, &attr);
    pthread_condattr_destroy(&attr);
    int rc = pthread_create(&s->watcher, NULL, watch, s);
    if (rc)
        return vf_fail(why, VF_E_SYSTEM, "no thread to watch the end of the grants: %s", strerror(rc));
    s->watcher_runs = true;
    return VF_OK;
}

void vf_watch_wake(struct vf_session *s)
{
    pthread_mutex_lock(&s->watch_lock);
    pthread_cond_signal(&s->watch_wake);
    pthread_mutex_unlock(&s->watch_lock);
}

void vf_watch_stop(struct vf_session *s)
{
    if (!s->watcher_runs)
        return;
    pthread_mutex_lock(&s->watch_lock);
    s->stopping = true;
    pthread_cond_signal(&s->watch_wake);
    pthread_mutex_unlock(&s->watch_lock);
    pthread_join(s->watcher, NULL);
    s->watcher_runs = false;
}
