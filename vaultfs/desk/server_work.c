/* SPDX-License-Identifier: MIT */
#include "server.h"

#include <stdlib.h>
#include <string.h>

#define WORKERS_MAX 256

struct vf_workers {
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct vf_exchange *first, **last;
    struct running {
        bool busy;
        struct vf_client client; /* of it the address: whose request this worker has */
    } running[WORKERS_MAX];
    void (*run)(struct vf_exchange *);
    pthread_t threads[WORKERS_MAX];
    unsigned n, created, started;
    bool stopping;
};

/* Half of the workers at most are busy for one address. The others wait for theirs. */
static bool may_run(const struct vf_workers *w, const struct vf_client *c)
{
    unsigned same = 0;
    if (c->shared)
        return true;
    for (unsigned i = 0; i < w->n; i++)
        same += w->running[i].busy && vf_client_same(&w->running[i].client, c);
    return same < (w->n + 1) / 2;
}

static struct vf_exchange *take(struct vf_workers *w)
{
    for (struct vf_exchange **at = &w->first; *at; at = &(*at)->next) {
        struct vf_exchange *e = *at;
        if (!may_run(w, e->client))
            continue;
        *at = e->next;
        if (w->last == &e->next)
            w->last = at;
        e->next = NULL;
        return e;
    }
    return NULL;
}

static void *work(void *arg)
{
    struct vf_workers *w = arg;
    pthread_mutex_lock(&w->lock);
    unsigned me = w->started++;
    for (;;) {
        struct vf_exchange *e = take(w);
        if (!e && w->stopping && !w->first)
            break;
        if (!e) {
            pthread_cond_wait(&w->more, &w->lock);
            continue;
        }
        w->running[me].busy = true;
        memcpy(w->running[me].client.address, e->client->address, sizeof(e->client->address));
        pthread_mutex_unlock(&w->lock);
        w->run(e); /* the exchange may be gone after this */
        pthread_mutex_lock(&w->lock);
        w->running[me].busy = false;
        pthread_cond_broadcast(&w->more); /* one that waited for its address may run now */
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

enum vf_err vf_workers_start(unsigned n, void (*run)(struct vf_exchange *), struct vf_workers **ret, struct vf_why *why)
{
    struct vf_workers *w = calloc(1, sizeof(*w));
    if (!w)
        return vf_fail(why, VF_E_NOMEM, "out of memory");
    w->run = run;
    w->last = &w->first;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->more, NULL);
    w->n = n < WORKERS_MAX ? n : WORKERS_MAX;
    for (; w->created < w->n; w->created++) {
        int rc = pthread_create(&w->threads[w->created], NULL, work, w);
        if (rc) {
            vf_workers_stop(w);
            return vf_fail(why, VF_E_SYSTEM, "no thread for the server: %s", strerror(rc));
        }
    }
    *ret = w;
    return VF_OK;
}

void vf_workers_put(struct vf_workers *w, struct vf_exchange *e)
{
    pthread_mutex_lock(&w->lock);
    *w->last = e;
    w->last = &e->next;
    pthread_cond_signal(&w->more);
    pthread_mutex_unlock(&w->lock);
}

void vf_workers_stop(struct vf_workers *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    w->stopping = true;
    pthread_cond_broadcast(&w->more);
    pthread_mutex_unlock(&w->lock);
    for (unsigned i = 0; i < w->created; i++)
        pthread_join(w->threads[i], NULL);
    pthread_cond_destroy(&w->more);
    pthread_mutex_destroy(&w->lock);
    free(w);
}
