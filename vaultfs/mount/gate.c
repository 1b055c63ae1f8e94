/* SPDX-License-Identifier: MIT */
#include "mount.h"

void vf_end_gate_init(struct vf_end_gate *g)
{
    pthread_mutex_init(&g->lock, NULL);
    pthread_cond_init(&g->empty, NULL);
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

void vf_end_gate_close(struct vf_end_gate *g)
{
    pthread_mutex_lock(&g->lock);
    g->closed = true;
    while (g->inside > 0)
        pthread_cond_wait(&g->empty, &g->lock);
    pthread_mutex_unlock(&g->lock);
}

void vf_end_gate_open(struct vf_end_gate *g)
{
    pthread_mutex_lock(&g->lock);
    g->closed = false;
    pthread_mutex_unlock(&g->lock);
}
