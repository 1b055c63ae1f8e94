/* SPDX-License-Identifier: MIT */
/*
 * The server's own log, a line at a time. Whoever serves puts a line into a queue and goes on; a thread of its own writes them, and waits for as long
 * as whoever reads them does not (a full pipe, a journal that stands still). When the queue is full, lines are lost, counted, and the number told.
 */
#include "server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LINES_MAX 1024
#define LAST_US   (2 * VF_SECOND_US) /* so long what is queued may still take at the end */

struct vf_journal {
    void (*line)(void *user, const char *text);
    void *user;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t more, done;
    char *queue[LINES_MAX];
    size_t first, n;
    uint64_t lost, lost_told;
    bool stopping, ended, left; /* left: nobody waits for the thread any more, and it takes this with it */
};

static void journal_free(struct vf_journal *l)
{
    while (l->n > 0) {
        free(l->queue[l->first]);
        l->first = (l->first + 1) % LINES_MAX;
        l->n--;
    }
    pthread_cond_destroy(&l->more);
    pthread_cond_destroy(&l->done);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

static void tell_lost(const struct vf_journal *l, uint64_t lost)
{
    char text[96], stamp[VF_TIME_US_LEN + 1];
    vf_time_format_us(vf_clock_wall_us(), stamp);
    (void)snprintf(text, sizeof(text), "time=%s event=lost lines=%llu", stamp, (unsigned long long)lost);
    l->line(l->user, text);
}

/* lock is held, but not while it writes. */
static void write_one(struct vf_journal *l)
{
    char *text = l->queue[l->first];
    uint64_t lost = l->lost - l->lost_told;
    l->lost_told = l->lost;
    l->first = (l->first + 1) % LINES_MAX;
    l->n--;
    pthread_mutex_unlock(&l->lock);
    l->line(l->user, text);
    free(text);
    if (lost > 0)
        tell_lost(l, lost);
    pthread_mutex_lock(&l->lock);
}

static void *write_on(void *arg)
{
    struct vf_journal *l = arg;
    pthread_mutex_lock(&l->lock);
    while (!l->left && (l->n > 0 || !l->stopping)) {
        if (l->n > 0)
            write_one(l);
        else
            pthread_cond_wait(&l->more, &l->lock);
    }
    bool left = l->left;
    l->ended = true;
    pthread_cond_signal(&l->done);
    pthread_mutex_unlock(&l->lock);
    if (left)
        journal_free(l);
    return NULL;
}

enum vf_err vf_journal_start(void (*line)(void *user, const char *text), void *user, struct vf_journal **ret,
                             struct vf_why *why)
{
    struct vf_journal *l = calloc(1, sizeof(*l));
    pthread_condattr_t attr;
    if (!l)
        return vf_fail(why, VF_E_NOMEM, "out of memory");
    l->line = line;
    l->user = user;
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->more, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&l->done, &attr);
    pthread_condattr_destroy(&attr);
    int rc = pthread_create(&l->thread, NULL, write_on, l);
    if (rc) {
        journal_free(l);
        return vf_fail(why, VF_E_SYSTEM, "no thread for the server: %s", strerror(rc));
    }
    *ret = l;
    return VF_OK;
}

void vf_journal_put(struct vf_journal *l, const char *text)
{
    char *own = strdup(text);
    pthread_mutex_lock(&l->lock);
    bool room = own && l->n < LINES_MAX;
    if (room) {
        l->queue[(l->first + l->n++) % LINES_MAX] = own;
        pthread_cond_signal(&l->more);
    } else {
        l->lost++;
    }
    pthread_mutex_unlock(&l->lock);
    if (!room)
        free(own);
}

uint64_t vf_journal_lost(struct vf_journal *l)
{
    pthread_mutex_lock(&l->lock);
    uint64_t lost = l->lost;
    pthread_mutex_unlock(&l->lock);
    return lost;
}

void vf_journal_stop(struct vf_journal *l)
{
    struct timespec until;
    int rc = 0;
    if (!l)
        return;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += LAST_US / VF_SECOND_US;
    pthread_mutex_lock(&l->lock);
    l->stopping = true;
    pthread_cond_signal(&l->more);
    while (!l->ended && rc != ETIMEDOUT)
        rc = pthread_cond_timedwait(&l->done, &l->lock, &until);
    bool ended = l->ended;
    l->left = !ended;
    pthread_t thread = l->thread;
    pthread_mutex_unlock(&l->lock);
    if (!ended) { /* it is nobody's any more */
        pthread_detach(thread);
        return;
    }
    pthread_join(thread, NULL);
    journal_free(l);
}
