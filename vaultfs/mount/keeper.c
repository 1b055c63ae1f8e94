/* SPDX-License-Identifier: MIT */
/*
 * The keeper: what may wait for the disk, or for a delivery that is being received. The watcher never waits for either: it would miss the
 * end of a grant.
 */
#include "mount.h"

#include <time.h>

#define TICK_US        VF_SECOND_US
#define SWEEP_EVERY_US (INT64_C(3600) * VF_SECOND_US)
#define FIRST_SWEEP_US (2 * VF_SECOND_US) /* who has just mounted wants to read */

static bool sleep_a_while(struct vf_session *s)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    vf_timespec_add(&until, TICK_US / 2);
    pthread_mutex_lock(&s->watch_lock);
    while (!s->stopping && !atomic_load(&s->refresh) && pthread_cond_timedwait(&s->watch_wake, &s->watch_lock, &until) == 0)
        ;
    bool go_on = !s->stopping;
    pthread_mutex_unlock(&s->watch_lock);
    return go_on;
}

void *vf_keeper_run(void *session)
{
    struct vf_session *s = session;
    int64_t next_tick = 0, next_sweep = vf_clock_boot_us() + FIRST_SWEEP_US, next_refresh = 0;

    do {
        int64_t now = vf_clock_boot_us();
        enum vf_err ignored = VF_OK;
        if (now >= next_tick) {
            ignored =
                vf_station_clock_tick(s->station, NULL); /* saved at the next tick if not now, and T holds without it */
            next_tick = now + TICK_US;
        }
        vf_access_flush(s, false);
        /* A slot that had ended may be used again: its share has to be opened anew. At most once a second. */
        if (now >= next_refresh && atomic_exchange(&s->refresh, false)) {
            ignored = vf_station_refresh(s->station, NULL);
            next_refresh = now + VF_SECOND_US;
            vf_watch_wake(s);
        }
        if (now >= next_sweep) {
            uint64_t dropped;
            ignored = vf_station_sweep(s->station, &dropped, NULL);
            next_sweep = now + SWEEP_EVERY_US;
        }
        (void)ignored;
    } while (sleep_a_while(s));
    return NULL;
}
