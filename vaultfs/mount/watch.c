/* SPDX-License-Identifier: MIT */
/* The watcher: a thread of its own that ends grants to the second, warns before the end, takes up deliveries. It waits for nothing else. */
#include "mount.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>

#define TICK_US (VF_SECOND_US / 4)

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

/* A start, or a clock that is wrong or right again: the job's folder has other names, and what is in them may not be listed any more. */
static void look_at_folders(struct vf_session *s, struct vf_slot_job *slot, bool shown)
{
    if (slot->shown == shown)
        return;
    slot->shown = shown;
    if (shown)
        vf_listings_changed(s);
    else
        vf_listings_refuse(s, slot);
}

/* Look at every slot; returns how long to sleep at most. *ret_back: a slot that had ended may be used again. */
static int64_t look_at_slots(struct vf_session *s, bool *ret_back)
{
    int64_t sleep_us = TICK_US, now = 0;
    enum vf_err clock = vf_station_time(s->station, &now, NULL);

    if (clock == VF_E_CLOCK && !s->clock_bad)
        syslog(LOG_WARNING, "the clock of this computer was moved back: files open again when it shows the right time");
    s->clock_bad = clock == VF_E_CLOCK;
    struct vf_slot_job *slot;
    for (size_t i = 0; (slot = vf_slot_at(s, i)) != NULL; i++) {
        struct vf_job *job = vf_slot_job_ref(slot);
        enum vf_err may = vf_job_may(s->station, job, NULL);
        if (atomic_load(&slot->state) != VF_SLOT_LIVE) {
            *ret_back |= may == VF_OK && !slot->replaced && !slot->ending; /* the clock was wrong when it ended */
            vf_job_unref(job);
            continue;
        }
        int64_t left = vf_job_grant(job)->until_us - now;
        if (may == VF_E_EXPIRED || may == VF_E_REVOKED) {
            slot->ending = vf_slot_end_begin(s, slot, may == VF_E_REVOKED ? VF_SLOT_REVOKED : VF_SLOT_ENDED);
        } else {
            look_at_folders(s, slot, may == VF_OK);
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
    vf_listings_changed(s);
    struct vf_slot_job *slot;
    for (size_t i = 0; (slot = vf_slot_at(s, i)) != NULL; i++) {
        /* Those of records, which stay as they are, for what a listing brings with it: names that are believed until the new end. */
        vf_listings_drop(s, slot, VF_DROP_CONTENTS | (slot->replaced ? VF_DROP_JOB_NAME : 0));
        fuse_lowlevel_notify_inval_inode(s->fuse, vf_node_ino(slot, VF_NODE_CARDS, 0), -1, 0);
        fuse_lowlevel_notify_inval_inode(s->fuse, vf_node_ino(slot, VF_NODE_CARDS_EXCEL, 0), -1, 0);
    }
    vf_watch_wake(s); /* there may be leases to look after now */
}

/* Of those that ended at this look; their pages are dropped. This thread alone adds slots and ends them. */
static void refuse_listings(struct vf_session *s)
{
    for (size_t i = 0; i < s->nslots; i++) {
        if (s->slots[i]->ending && s->slots[i]->shown)
            vf_listings_refuse(s, s->slots[i]);
        s->slots[i]->shown = s->slots[i]->shown && !s->slots[i]->ending;
    }
}

static void finish_ends(struct vf_session *s)
{
    for (size_t i = 0; i < s->nslots; i++)
        if (s->slots[i]->ending)
            s->slots[i]->ending = !vf_slot_end_finish(s, s->slots[i]);
}

static bool sleep_for(struct vf_session *s, int64_t us)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    vf_timespec_add(&until, us);
    pthread_mutex_lock(&s->watch_lock);
    if (!s->stopping)
        pthread_cond_timedwait(&s->watch_wake, &s->watch_lock, &until);
    bool go_on = !s->stopping;
    pthread_mutex_unlock(&s->watch_lock);
    return go_on;
}

static void leave(struct vf_session *s)
{
    atomic_store(&s->leaving, true);
    vf_waits_stop(s);
    vf_slots_leave(s);
    fuse_session_exit(s->fuse);
    pthread_kill(s->main_thread, SIGHUP); /* out of the system call that it waits in */
}

static void *watch(void *arg)
{
    struct vf_session *s = arg;
    int64_t sleep_us = 0;

    do {
        if (vf_signals_asked()) {
            leave(s);
            break;
        }
        bool back = false;
        take_deliveries(s);
        sleep_us = look_at_slots(s, &back);
        refuse_listings(s);
        finish_ends(s);
        if (back)
            atomic_store(&s->refresh, true);
    } while (sleep_for(s, sleep_us));
    finish_ends(s); /* one whose opener was still inside has its entry too */
    return NULL;
}

void vf_watch_init(struct vf_session *s)
{
    pthread_condattr_t attr;
    pthread_mutex_init(&s->watch_lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&s->watch_wake, &attr);
    pthread_condattr_destroy(&attr);
}

enum vf_err vf_watch_start(struct vf_session *s, struct vf_why *why)
{
    int rc = vf_lister_start(s);
    if (!rc) {
        rc = pthread_create(&s->watcher, NULL, watch, s);
        s->watcher_runs = rc == 0;
    }
    if (!rc)
        rc = pthread_create(&s->keeper, NULL, vf_keeper_run, s);
    s->keeper_runs = rc == 0;
    if (!rc)
        VF_TRY(vf_waits_start(s, why));
    return rc ? vf_fail(why, VF_E_SYSTEM, "no thread to watch the end of the grants: %s", strerror(rc)) : VF_OK;
}

void vf_watch_wake(struct vf_session *s)
{
    pthread_mutex_lock(&s->watch_lock);
    pthread_cond_broadcast(&s->watch_wake);
    pthread_mutex_unlock(&s->watch_lock);
}

void vf_watch_stop(struct vf_session *s)
{
    if (!s->watcher_runs)
        return;
    pthread_mutex_lock(&s->watch_lock);
    s->stopping = true;
    pthread_cond_broadcast(&s->watch_wake);
    pthread_mutex_unlock(&s->watch_lock);
    pthread_join(s->watcher, NULL);
    if (s->keeper_runs)
        pthread_join(s->keeper, NULL);
    vf_waits_join_leases(s);
    s->watcher_runs = s->keeper_runs = false;
}
