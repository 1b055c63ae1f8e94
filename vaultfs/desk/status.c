/* SPDX-License-Identifier: MIT */
/* What is so: by a server of its own state, by anybody else of what is on the disk. */
#include "desk_internal.h"

#include <stdlib.h>
#include <string.h>

static void count_prekeys(struct vf_desk *d, struct vf_desk_status *s)
{
    struct vf_prekey_slot slot;

    for (size_t i = 0; i < d->nbatches; i++) {
        const struct vf_desk_batch *b = d->batches[i];
        for (uint32_t n = 0; n < b->count; n++) {
            if (vf_prekeys_slot(b->file, n, &slot, NULL) != VF_OK)
                slot.state = VF_PREKEY_DAMAGED;
            s->prekeys_live += slot.state == VF_PREKEY_LIVE;
            s->prekeys_destroyed += slot.state == VF_PREKEY_DESTROYED;
            s->prekeys_damaged += slot.state == VF_PREKEY_DAMAGED;
        }
    }
}

/* lock is held. */
static void grant_state(struct vf_desk_grant *g, int64_t now_us, struct vf_desk_grant_item *ret)
{
    ret->grant = g->g;
    ret->revoked = atomic_load(&g->revoked) || atomic_load(&g->device->revoked);
    ret->ended = now_us >= g->end_us;
    ret->destroyed = g->batch == NULL;
    if (g->batch != NULL) {
        pthread_rwlock_rdlock(&g->batch->gate);
        uint8_t dead = g->g.prekey_number < g->batch->count ? g->batch->dead[g->g.prekey_number] : VF_PREKEY_ENDED;
        pthread_rwlock_unlock(&g->batch->gate);
        ret->destroyed = dead != 0;
        ret->revoked |= dead == VF_PREKEY_REVOKED;
    }
    pthread_mutex_lock(&g->bits_lock);
    for (unsigned part = 0; part < VF_PART_COUNT; part++)
        ret->released[part] = g->count[part];
    pthread_mutex_unlock(&g->bits_lock);
}

static void count_grants(struct vf_desk *d, int64_t now_us, struct vf_desk_grant_item *item, struct vf_desk_status *s)
{
    for (size_t i = 0; i < d->ngrants; i++) {
        grant_state(d->grants[i], now_us, item);
        if (item->revoked)
            s->grants_revoked++;
        else if (item->ended || item->destroyed)
            s->grants_ended++;
        else
            s->grants_live++;
    }
    s->devices = d->ndevices;
}

static enum vf_err own_log(struct vf_desk *d, struct vf_desk_status *s, struct vf_why *why)
{
    struct vf_log_state state = {0};

    if (d->log == NULL) {
        VF_FREE char *dir = vf_path_join(d->path, "log");
        if (dir == NULL)
            return vf_fail(why, VF_E_NOMEM, "%s: out of memory", d->path);
        return vf_desk_folder_peek(dir, &s->log_size, &s->last_us, why);
    }
    vf_log_state_get(d->log, &state);
    s->log_size = state.size;
    s->last_us = state.last_time_us;
    if (s->ready && !state.writable) {
        s->ready = false;
        (void)snprintf(s->unready, sizeof(s->unready), "the desk's log cannot be written: is the disk full?");
    }
    return VF_OK;
}

enum vf_err vf_desk_status_get(struct vf_desk *d, struct vf_desk_status *ret, struct vf_why *why)
{
    VF_FREE struct vf_desk_grant_item *item = calloc(1, sizeof(*item));
    struct vf_desk_status s = {0};
    struct vf_why one = {0};
    int64_t now_us = 0;

    if (item == NULL)
        return vf_fail(why, VF_E_NOMEM, "out of memory");
    s.ready = vf_desk_clock_now(d, &now_us, s.unready);
    pthread_rwlock_rdlock(&d->lock);
    s.policy = (uint32_t)d->policy.ruling;
    (void)snprintf(s.force_name, sizeof(s.force_name), "%s", d->policy.policy.force_name);
    if (s.ready && vf_desk_policy_rules(d, &one) != VF_OK) {
        s.ready = false;
        (void)snprintf(s.unready, sizeof(s.unready), "%.255s", one.text);
        vf_text_one_line(s.unready);
    }
    count_grants(d, now_us, item, &s);
    count_prekeys(d, &s);
    pthread_rwlock_unlock(&d->lock);
    VF_TRY(own_log(d, &s, why));
    *ret = s;
    return VF_OK;
}

/* The lists only grow, and what they point to stays: so `each` is called without the lock. */
enum vf_err vf_desk_grant_each(struct vf_desk *d,
                               enum vf_err (*each)(void *user, const struct vf_desk_grant_item *item, struct vf_why *why),
                               void *user, struct vf_why *why)
{
    VF_FREE struct vf_desk_grant_item *item = calloc(1, sizeof(*item));
    VF_FREE struct vf_desk_grant **list = NULL;
    int64_t now_us = 0;

    (void)vf_desk_clock_now(d, &now_us, NULL);
    pthread_rwlock_rdlock(&d->lock);
    size_t n = d->ngrants;
    list = calloc(n + 1, sizeof(struct vf_desk_grant *));
    if (list != NULL && n > 0)
        memcpy(list, d->grants, n * sizeof(struct vf_desk_grant *));
    pthread_rwlock_unlock(&d->lock);
    if (item == NULL || list == NULL)
        return vf_fail(why, VF_E_NOMEM, "out of memory");
    for (size_t i = 0; i < n; i++) {
        *item = (struct vf_desk_grant_item){0};
        grant_state(list[i], now_us, item);
        VF_TRY(each(user, item, why));
    }
    return VF_OK;
}

/* Of a copy that nobody opened since the start, the folder tells. */
static enum vf_err log_of(struct vf_desk *d, struct vf_desk_device *dev, struct vf_desk_device_item *item,
                          struct vf_why *why)
{
    VF_FREE char *path = NULL;

    pthread_mutex_lock(&dev->small);
    item->alarm = dev->alarm;
    item->log_size = dev->log_size;
    item->log_us = dev->log_us;
    pthread_mutex_unlock(&dev->small);
    if (item->log_size > 0)
        return VF_OK;
    VF_TRY(vf_desk_copy_path(d, &dev->enrol.id, &path, why));
    enum vf_err none = vf_desk_folder_peek(path, &item->log_size, &item->log_us, NULL);
    (void)none; /* it has handed in nothing yet */
    return VF_OK;
}

enum vf_err vf_desk_device_each(struct vf_desk *d,
                                enum vf_err (*each)(void *user, const struct vf_desk_device_item *item, struct vf_why *why),
                                void *user, struct vf_why *why)
{
    VF_FREE struct vf_desk_device_item *item = calloc(1, sizeof(*item));
    VF_FREE struct vf_desk_device **list = NULL;

    pthread_rwlock_rdlock(&d->lock);
    size_t n = d->ndevices;
    list = calloc(n + 1, sizeof(struct vf_desk_device *));
    if (list != NULL && n > 0)
        memcpy(list, d->devices, n * sizeof(struct vf_desk_device *));
    pthread_rwlock_unlock(&d->lock);
    if (item == NULL || list == NULL)
        return vf_fail(why, VF_E_NOMEM, "out of memory");
    for (size_t i = 0; i < n; i++) {
        *item = (struct vf_desk_device_item){.enrol = list[i]->enrol, .revoked = atomic_load(&list[i]->revoked)};
        VF_TRY(log_of(d, list[i], item, why));
        VF_TRY(each(user, item, why));
    }
    return VF_OK;
}
