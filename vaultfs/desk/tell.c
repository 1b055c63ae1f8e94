/* SPDX-License-Identifier: MIT */
/* Entries of the desk's own log. */
#include "desk_internal.h"

#include <string.h>

/* A disk that failed is looked at again by the next entry; status says since when. */
static enum vf_err noted(struct vf_desk *d, enum vf_err err)
{
    if (err == VF_E_DISK_FULL)
        vf_desk_reserve_give(d);
    atomic_store(&d->folder_problem_us, err == VF_OK ? 0 : vf_clock_boot_us());
    return err;
}

enum vf_err vf_desk_tell(struct vf_desk *d, const struct vf_entry *e, uint64_t *ret_ticket, struct vf_why *why)
{
    enum vf_err err = vf_log_append(d->log, e, ret_ticket, why);

    return err != VF_OK ? noted(d, err) : VF_OK;
}

enum vf_err vf_desk_tell_now(struct vf_desk *d, const struct vf_entry *e, struct vf_why *why)
{
    return noted(d, vf_log_commit(d->log, e, why));
}

/* Not waited for: nothing is disclosed on the strength of it. */
static void refusal(struct vf_desk *d, const struct vf_desk_device *dev, const struct vf_desk_grant *g, const char *result,
                    const char *object, uint64_t count)
{
    const struct vf_entry e = {.event = VF_EVENT_REFUSE,
                               .grant = g != NULL ? &g->g.id : NULL,
                               .job = g != NULL ? g->g.job : NULL,
                               .recipient = dev->enrol.name,
                               .part = -1,
                               .has_count = count > 0,
                               .count = count,
                               .object = object,
                               .result = result};
    uint64_t ticket = 0;
    enum vf_err ignored = vf_desk_tell(d, &e, &ticket, NULL);

    (void)ignored;
}

void vf_desk_tell_refusals_held(struct vf_desk *d, struct vf_desk_device *dev, int64_t now_us)
{
    uint64_t held = 0;

    pthread_mutex_lock(&dev->small);
    if (dev->refusals_minute != now_us / VF_DESK_MINUTE_US) {
        held = dev->refusals > VF_DESK_REFUSALS_MIN ? dev->refusals - VF_DESK_REFUSALS_MIN : 0;
        dev->refusals = 0;
        dev->refusals_minute = now_us / VF_DESK_MINUTE_US;
    }
    pthread_mutex_unlock(&dev->small);
    if (held > 0)
        refusal(d, dev, NULL, "more", NULL, held);
}

void vf_desk_tell_refusal(struct vf_desk *d, struct vf_desk_device *dev, const struct vf_desk_grant *g,
                          enum vf_answer_status status, const char *object)
{
    vf_desk_tell_refusals_held(d, dev, vf_clock_boot_us());
    pthread_mutex_lock(&dev->small);
    bool room = dev->refusals++ < VF_DESK_REFUSALS_MIN;
    pthread_mutex_unlock(&dev->small);
    if (room)
        refusal(d, dev, g, vf_answer_text(status), object, 0);
}
