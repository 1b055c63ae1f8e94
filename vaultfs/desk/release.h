/* SPDX-License-Identifier: MIT */
/* desk, internal: an answer in the making (release.c), and step 3 of it (shown.c). */
#ifndef VAULTFS_DESK_RELEASE_H
#define VAULTFS_DESK_RELEASE_H

#include "desk_internal.h"

/* Why is for the force's eyes: it may name another supplier's device. */
#define VF_DESK_IN_DOUBT "the desk's clock or its store is in doubt: somebody at the force has to look at it"

struct desk_work {
    struct vf_desk *d;
    const struct vf_request *req;
    const struct vf_buf *plain;
    struct vf_desk_outcome *out;
    struct vf_desk_device *dev;
    struct vf_desk_grant *g;
    struct vf_desk_refs *refs; /* a reference of our own */
    struct vf_desk_asked asked;
    bool by_hand;
    uint32_t texts; /* shares of the text of all: so many of them in this answer */
    struct vf_answer answer;
    struct vf_buf receipt;
    struct vf_share *shares; /* arena */
    int64_t now_us;
    bool ready;
};

/* The answer's status and its words; false, so that a step can end with it. */
bool vf_desk_ends(struct desk_work *w, enum vf_answer_status status, const char *fmt, ...) VF_PRINTF(3, 4);
/* Step 3. device->lock is held. The entry about it in the own log is to be waited for. */
bool vf_desk_log_take(struct desk_work *w, bool by_hand, uint64_t *ret_ticket);

#endif
