/* SPDX-License-Identifier: MIT */
#include "deny.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct user {
    bool used, damage;
    uint32_t uid;
    int64_t since_us; /* when this minute began */
    unsigned entries;
    struct vf_refusals counted; /* in this minute */
    struct vf_refusals due;     /* in minutes before */
};
struct vf_deny {
    pthread_mutex_t lock;
    struct user user[VF_DENY_USERS + 1]; /* the last one stands for all beyond, whoever they are */
};

struct vf_deny *vf_deny_new(void)
{
    struct vf_deny *d = calloc(1, sizeof(*d));
    if (d)
        pthread_mutex_init(&d->lock, NULL);
    return d;
}

void vf_deny_free(struct vf_deny *d)
{
    if (!d)
        return;
    pthread_mutex_destroy(&d->lock);
    free(d);
}

/* Add `more` to `sum`: of what was not the same, nothing is said. */
static void merge(struct vf_refusals *sum, const struct vf_refusals *more)
{
    if (more->count == 0)
        return;
    if (sum->count == 0) {
        *sum = *more;
        return;
    }
    sum->count += more->count;
    sum->has_uid = sum->has_uid && more->has_uid && sum->caller.uid == more->caller.uid;
    if (sum->caller.pid != more->caller.pid)
        sum->caller.pid = 0;
    if (strcmp(sum->caller.exe, more->caller.exe) != 0)
        sum->caller.exe[0] = '\0';
    if (sum->err != more->err)
        sum->err = 0;
    if (memcmp(&sum->grant, &more->grant, sizeof(sum->grant)) != 0)
        sum->has_grant = false;
    sum->has_grant = sum->has_grant && more->has_grant;
}

static bool minute_over(const struct user *u, int64_t now_us)
{
    return now_us - u->since_us >= VF_DENY_MINUTE_US;
}

/* Lock held. The user's place: the old one, a free one, one whose minute is over with nothing to tell, the common one. */
static size_t find(const struct vf_deny *d, uint32_t uid, bool damage, int64_t now_us)
{
    size_t room = VF_DENY_USERS;
    for (size_t i = 0; i < VF_DENY_USERS; i++) {
        const struct user *u = &d->user[i];
        if (u->used && u->uid == uid && u->damage == damage)
            return i;
        bool idle = !u->used || (u->counted.count == 0 && u->due.count == 0 && minute_over(u, now_us));
        if (idle && room == VF_DENY_USERS)
            room = i;
    }
    return room;
}

bool vf_deny_admit(struct vf_deny *d, struct vf_refusals *one, bool writable, int64_t now_us)
{
    bool damage = one->err == EIO;
    pthread_mutex_lock(&d->lock);
    size_t i = find(d, one->caller.uid, damage, now_us);
    struct user *u = &d->user[i];
    bool theirs = u->used && (i == VF_DENY_USERS || (u->uid == one->caller.uid && u->damage == damage));
    if (!theirs)
        *u = (struct user){.used = true, .damage = damage, .uid = one->caller.uid, .since_us = now_us};
    if (minute_over(u, now_us)) {
        merge(&u->due, &u->counted);
        u->counted.count = 0;
        u->entries = 0;
        u->since_us = now_us;
    }
    one->user = i;
    bool admit = writable && u->entries < VF_DENY_ENTRIES;
    if (admit)
        u->entries++;
    else
        merge(&u->counted, one);
    pthread_mutex_unlock(&d->lock);
    return admit;
}

bool vf_deny_next(struct vf_deny *d, size_t *at, bool all, int64_t now_us, struct vf_refusals *ret)
{
    bool due = false;
    pthread_mutex_lock(&d->lock);
    for (; !due && *at <= VF_DENY_USERS; (*at)++) {
        struct user *u = &d->user[*at];
        if (all || minute_over(u, now_us)) {
            merge(&u->due, &u->counted);
            u->counted.count = 0;
        }
        due = u->due.count > 0;
        if (due) {
            *ret = u->due;
            u->due.count = 0;
        }
    }
    pthread_mutex_unlock(&d->lock);
    return due;
}

void vf_deny_back(struct vf_deny *d, const struct vf_refusals *counted)
{
    pthread_mutex_lock(&d->lock);
    merge(&d->user[counted->user].due, counted);
    pthread_mutex_unlock(&d->lock);
}
