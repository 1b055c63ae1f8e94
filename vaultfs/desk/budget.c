/* SPDX-License-Identifier: MIT */
/* How much of a grant is released: distinct records a part, and new images an hour of a device. */
#include "desk_internal.h"

#include <string.h>

bool vf_desk_bit(const uint8_t *bits, uint32_t index)
{
    return (bits[index / 8] >> (index % 8) & 1) != 0;
}

/* ------------------------------------------------------------------------------------------------------------------------ rate */

void vf_desk_rate_add(struct vf_desk_device *dev, int64_t now_us, uint32_t images)
{
    int64_t minute = now_us / VF_DESK_MINUTE_US;
    size_t at = (size_t)(minute % VF_DESK_RATE_BUCKETS);

    if (images == 0 || minute < 0)
        return;
    pthread_mutex_lock(&dev->small);
    if (dev->rate[at].minute < minute) {
        dev->rate[at].minute = minute;
        dev->rate[at].images = 0;
    }
    dev->rate[at].images = dev->rate[at].images > UINT32_MAX - images ? UINT32_MAX : dev->rate[at].images + images;
    pthread_mutex_unlock(&dev->small);
}

/* small is held. In the hour that ends with `minute`, and the odd part of a minute; what is ahead of it counts. */
static uint32_t used_until(const struct vf_desk_device *dev, int64_t minute)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < VF_DESK_RATE_BUCKETS; i++)
        if (dev->rate[i].minute > minute - VF_DESK_RATE_BUCKETS)
            sum += dev->rate[i].images;
    return sum < UINT32_MAX ? (uint32_t)sum : UINT32_MAX;
}

uint32_t vf_desk_rate_used(struct vf_desk_device *dev, int64_t now_us)
{
    pthread_mutex_lock(&dev->small);
    uint32_t used = used_until(dev, now_us / VF_DESK_MINUTE_US);
    pthread_mutex_unlock(&dev->small);
    return used;
}

uint32_t vf_desk_rate_sum(struct vf_desk_device *dev, int64_t *ret_minute)
{
    int64_t last = 0;

    pthread_mutex_lock(&dev->small);
    for (size_t i = 0; i < VF_DESK_RATE_BUCKETS; i++)
        if (dev->rate[i].images > 0 && dev->rate[i].minute > last)
            last = dev->rate[i].minute;
    uint32_t used = last > 0 ? used_until(dev, last) : 0;
    pthread_mutex_unlock(&dev->small);
    *ret_minute = last;
    return used;
}

/* What was counted runs off evenly, all of it in an hour. */
bool vf_desk_log_too_much(struct vf_desk_device *dev, uint64_t bytes, int64_t boot_us)
{
    const int64_t hour = 3600 * VF_SECOND_US;

    pthread_mutex_lock(&dev->small);
    int64_t passed = boot_us - dev->log_bytes_us;
    uint64_t off =
        passed >= hour ? dev->log_bytes : (uint64_t)(passed > 0 ? passed : 0) * (VF_DESK_LOG_HOUR / 3600) / VF_SECOND_US;
    dev->log_bytes -= off < dev->log_bytes ? off : dev->log_bytes;
    dev->log_bytes_us = boot_us;
    bool much = dev->log_bytes + bytes > VF_DESK_LOG_HOUR;
    dev->log_bytes += much ? 0 : bytes;
    pthread_mutex_unlock(&dev->small);
    return much;
}

/* -------------------------------------------------------------------------------------------------------------------- released */

bool vf_desk_bit_set(struct vf_desk_grant *g, uint32_t index, enum vf_part part)
{
    pthread_mutex_lock(&g->bits_lock);
    bool fresh = !vf_desk_bit(g->bits[part], index);
    if (fresh) {
        g->bits[part][index / 8] |= (uint8_t)(1u << (index % 8));
        g->count[part]++;
    }
    pthread_mutex_unlock(&g->bits_lock);
    return fresh;
}

void vf_desk_released(struct vf_desk_grant *g, uint32_t index, enum vf_part part, int64_t now_us)
{
    bool fresh = vf_desk_bit_set(g, index, part);

    if (fresh && part == VF_PART_IMAGE)
        vf_desk_rate_add(g->device, now_us, 1);
}

void vf_desk_released_all(struct vf_desk_grant *g, enum vf_part part)
{
    pthread_mutex_lock(&g->bits_lock);
    for (uint32_t i = 0; i < g->g.records; i++)
        g->bits[part][i / 8] |= (uint8_t)(1u << (i % 8));
    g->count[part] = g->g.records;
    pthread_mutex_unlock(&g->bits_lock);
}

/* --------------------------------------------------------------------------------------------------------------------- asked for */

static bool twice(const struct vf_desk_asked *a, uint32_t index, enum vf_part part)
{
    for (size_t i = 0; i < a->n; i++)
        if (a->index[i] == index && a->part[i] == part)
            return true;
    return false;
}

struct room { /* for what is released for the first time */
    uint64_t budget[VF_PART_COUNT];
    uint64_t images;
};

/* bits_lock is held. */
static void ask_one(const struct vf_desk_grant *g, uint32_t index, enum vf_part part, struct room *room,
                    struct vf_desk_asked *a)
{
    bool fresh = !vf_desk_bit(g->bits[part], index);

    if (fresh && room->budget[part] == 0) {
        a->left_budget++;
        return;
    }
    if (fresh && part == VF_PART_IMAGE && room->images == 0) {
        a->left_rate++;
        return;
    }
    if (fresh) {
        room->budget[part]--;
        room->images -= part == VF_PART_IMAGE ? 1 : 0;
    }
    a->index[a->n] = index;
    a->part[a->n] = part;
    a->fresh[a->n] = fresh;
    a->n++;
}

static enum vf_err ask_locked(struct vf_desk_grant *g, const struct vf_desk_refs *refs, const struct vf_request *req,
                              struct room *room, struct vf_desk_asked *a, struct vf_why *why)
{
    uint32_t index = 0;

    if (req->all_text) {
        if (!g->part[VF_PART_TEXT])
            return vf_fail(why, VF_E_REFUSED, "no text field is granted");
        if (req->text_from >= refs->n || refs->n > VF_DESK_ALL_MAX)
            return vf_fail(why, VF_E_REFUSED,
                           refs->n > VF_DESK_ALL_MAX ? "too many records to be had at once: they can be opened one by one"
                                                     : "the request asks for records that the grant does not name");
        a->all_count = refs->n - g->count[VF_PART_TEXT];
        a->all_fresh = a->all_count > 0;
        a->all = a->all_count <= room->budget[VF_PART_TEXT];
        a->left_budget += a->all ? 0 : refs->n;
        if (a->all)
            room->budget[VF_PART_TEXT] -= a->all_count;
    }
    for (size_t i = 0; i < req->nwants; i++) {
        const struct vf_want *w = &req->wants[i];
        if (!g->part[w->part] || !vf_desk_refs_find(refs, &w->ref, &index))
            return vf_fail(why, VF_E_REFUSED, "the request asks for a record that the grant does not name");
        if (!twice(a, index, w->part) && !(a->all && w->part == VF_PART_TEXT))
            ask_one(g, index, w->part, room, a);
    }
    return VF_OK;
}

enum vf_err vf_desk_ask(struct vf_desk_grant *g, const struct vf_desk_refs *refs, const struct vf_request *req,
                        int64_t now_us, struct vf_desk_asked *ret, struct vf_why *why)
{
    struct room room = {0};
    uint32_t rate = vf_desk_rate_used(g->device, now_us);

    *ret = (struct vf_desk_asked){0};
    room.images = rate < VF_DESK_RATE ? VF_DESK_RATE - rate : 0;
    pthread_mutex_lock(&g->bits_lock);
    for (unsigned part = 0; part < VF_PART_COUNT; part++) {
        room.budget[part] = UINT64_MAX;
        if (g->g.budget > 0)
            room.budget[part] = g->count[part] < g->g.budget ? g->g.budget - g->count[part] : 0;
    }
    enum vf_err err = ask_locked(g, refs, req, &room, ret, why);
    pthread_mutex_unlock(&g->bits_lock);
    return err;
}
