/* SPDX-License-Identifier: MIT */
/*
 * Refusals: 10 entries a minute a user, then one count a minute, so that a loop or a crawler cannot fill the disk. Damage (EIO) is limited
 * apart from the rest: nobody hides a swapped photo behind refusals of another kind.
 */
#ifndef VF_MOUNT_DENY_H
#define VF_MOUNT_DENY_H

#include "repeat.h"

#define VF_DENY_ENTRIES   10
#define VF_DENY_USERS     64 /* and one for all beyond */
#define VF_DENY_MINUTE_US (60 * VF_SECOND_US)

/* One refusal, or a number of them: then only what was the same for all, the rest is 0 or empty. */
struct vf_refusals {
    uint64_t count;
    bool has_uid;
    struct vf_caller caller; /* exe is "" and pid 0 when they differed */
    int err;
    bool has_grant;
    struct vf_grant_id grant;
    char job[VF_JOB_MAX + 1], recipient[VF_NAME_MAX + 1];
    size_t user; /* which place of the table they come from */
};

struct vf_deny;
struct vf_deny *vf_deny_new(void); /* NULL: no memory */
void vf_deny_free(struct vf_deny *d);
/* May this one be an entry of its own? Otherwise it is counted, as it is when the log takes nothing (`writable` false). `now_us` is the boot
 * clock. Sets one->user. */
bool vf_deny_admit(struct vf_deny *d, struct vf_refusals *one, bool writable, int64_t now_us);
/* The next count that is due, from *at (0 at first) on: its minute is over, or `all`. It is taken out. */
bool vf_deny_next(struct vf_deny *d, size_t *at, bool all, int64_t now_us, struct vf_refusals *ret);
/* What could not be written is told another time. */
void vf_deny_back(struct vf_deny *d, const struct vf_refusals *counted);

#endif
