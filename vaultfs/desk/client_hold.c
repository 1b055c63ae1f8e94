/* SPDX-License-Identifier: MIT */
/* What the desk refused, or did not answer: nobody asks again for five seconds, and gets the same answer at once. */
#include "client_internal.h"

#include <stdio.h>
#include <string.h>

static bool holds(const struct client_hold *h, int64_t now)
{
    return h->until_boot_us > now;
}

enum vf_err vf_client_hold_check(const struct client_holds *h, const struct vf_grant_id *grant, uint32_t index,
                                 enum vf_part part, struct vf_why *why)
{
    int64_t now = vf_clock_boot_us();
    if (holds(&h->all, now))
        return vf_fail(why, h->all.err, "%s", h->all.text);
    for (size_t i = 0; i < CLIENT_HOLDS; i++) {
        const struct client_hold *one = &h->one[i];
        if (holds(one, now) && memcmp(&one->grant, grant, sizeof(*grant)) == 0 &&
            (one->whole_grant || (one->index == index && one->part == part)))
            return vf_fail(why, one->err, "%s", one->text);
    }
    return VF_OK;
}

static void hold(struct client_hold *h, enum vf_err err, const char *text)
{
    h->err = err;
    h->until_boot_us = vf_clock_boot_us() + VF_DESK_WAIT_US;
    (void)snprintf(h->text, sizeof(h->text), "%s", text);
}

void vf_client_hold_all(struct client_holds *h, enum vf_err err, const char *text)
{
    hold(&h->all, err, text);
}

void vf_client_hold_one(struct client_holds *h, const struct vf_grant_id *grant, bool whole_grant, uint32_t index,
                        enum vf_part part, enum vf_err err, const char *text)
{
    struct client_hold *one = &h->one[h->next];
    h->next = (h->next + 1) % CLIENT_HOLDS;
    *one = (struct client_hold){.whole_grant = whole_grant, .grant = *grant, .index = index, .part = part};
    hold(one, err, text);
}
