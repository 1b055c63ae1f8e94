/* SPDX-License-Identifier: MIT */
#include "mount.h"

#include <errno.h>
#include <time.h>

void vf_timespec_add(struct timespec *t, int64_t us)
{
    int64_t ns = t->tv_nsec + us % VF_SECOND_US * 1000;
    t->tv_sec += us / VF_SECOND_US + ns / 1000000000;
    t->tv_nsec = ns % 1000000000;
}

void vf_end_gate_init(struct vf_end_gate *g)
{
    pthread_condattr_t attr;
    pthread_mutex_init(&g->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&g->empty, &attr);
    pthread_condattr_destroy(&attr);
    g->inside = 0;
    g->closed = false;
}

void vf_end_gate_done(struct vf_end_gate *g)
{
    pthread_cond_destroy(&g->empty);
    pthread_mutex_destroy(&g->lock);
}

bool vf_end_gate_enter(struct vf_end_gate *g)
{
    pthread_mutex_lock(&g->lock);
    bool open = !g->closed;
    if (open)
        g->inside++;
    pthread_mutex_unlock(&g->lock);
    return open;
}

void vf_end_gate_leave(struct vf_end_gate *g)
{
    pthread_mutex_lock(&g->lock);
    if (--g->inside == 0 && g->closed)
        pthread_cond_broadcast(&g->empty);
    pthread_mutex_unlock(&g->lock);
}

void vf_end_gate_shut(struct vf_end_gate *g)
{
    pthread_mutex_lock(&g->lock);
    g->closed = true;
    pthread_mutex_unlock(&g->lock);
}

bool vf_end_gate_wait(struct vf_end_gate *g, int64_t at_most_us)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    vf_timespec_add(&until, at_most_us);
    pthread_mutex_lock(&g->lock);
    while (g->inside > 0 && pthread_cond_timedwait(&g->empty, &g->lock, &until) != ETIMEDOUT)
        ;
    bool empty = g->inside == 0;
    pthread_mutex_unlock(&g->lock);
    return empty;
}

void vf_end_gate_open(struct vf_end_gate *g)
{
    pthread_mutex_lock(&g->lock);
    g->closed = false;
    pthread_mutex_unlock(&g->lock);
}
