/* SPDX-License-Identifier: MIT */
/* Opens of one file by one process within a second: counted instead of written one by one. What is what: repeat.c. */
#ifndef VF_MOUNT_REPEAT_H
#define VF_MOUNT_REPEAT_H

#include <vaultfs/audit.h>

struct vf_caller {
    uint32_t uid;
    int32_t pid;
    char exe[256];
};

#define VF_REPEAT_PLACES    2048 /* about a megabyte */
#define VF_REPEAT_WINDOW_US VF_SECOND_US
#define VF_REPEAT_NONE      SIZE_MAX
#define VF_REPEAT_ANY_SLOT  UINT64_MAX

struct vf_disclosure { /* what an open entry said */
    uint64_t ino;
    struct vf_grant_id grant;
    char job[VF_JOB_MAX + 1], recipient[VF_NAME_MAX + 1];
    bool all, has_ref, has_bytes;
    struct vf_hash manifest;
    struct vf_ref ref;
    int part;
    vf_field_set fields;
    uint64_t bytes;
    struct vf_caller caller;
};
struct vf_repeat { /* due: `count` further opens of `what`; 0: none */
    size_t place;
    uint64_t count;
    struct vf_disclosure what;
};
struct vf_repeat_ticket { /* of an open under way */
    size_t place;         /* VF_REPEAT_NONE: it needs an entry of its own */
    int64_t since_us, started_us;
};
/* How the start of a process (boot clock, rounded down to a hundredth of a second) is found; a test puts its own in place. */
struct vf_repeats_process {
    bool (*started)(int32_t pid, int64_t *ret_us);
};

struct vf_repeats;
struct vf_repeats *vf_repeats_new(void); /* NULL: no memory */
void vf_repeats_free(struct vf_repeats *r);
/*
 * True: a durable entry of this second covers the open, and vf_repeats_leave must follow. False: it needs an entry of its own; once that is
 * durable, vf_repeats_add with the same ticket. `now_us` is the boot clock, taken before that entry is. If ret_due->count is not 0
 * afterwards, that is to be written first, then vf_repeats_told.
 */
bool vf_repeats_join(struct vf_repeats *r, const struct vf_repeats_process *ops, uint64_t ino,
                     const struct vf_grant_id *grant, const struct vf_caller *caller, int64_t now_us,
                     struct vf_repeat_ticket *ret, struct vf_repeat *ret_due);
/* Only what is durable. Finds no place when the table is full: then the next open has an entry of its own too. */
void vf_repeats_add(struct vf_repeats *r, uint64_t ino, const struct vf_entry *e, const struct vf_repeat_ticket *ticket);
void vf_repeats_leave(struct vf_repeats *r, const struct vf_repeat_ticket *ticket, bool served);
/*
 * The next one that is due, from *at (0 at first) on; each is to be followed by vf_repeats_told. `all`: of inodes of this slot (or
 * VF_REPEAT_ANY_SLOT), whether its second is over or not; nobody may be opening files of it any more.
 */
bool vf_repeats_next(struct vf_repeats *r, size_t *at, uint64_t slot, bool all, int64_t now_us, struct vf_repeat *ret);
/* Not written: it stays due. */
void vf_repeats_told(struct vf_repeats *r, const struct vf_repeat *told, bool written);
/* Borrows from `told`. */
void vf_repeat_entry(const struct vf_repeat *told, struct vf_entry *ret);

#endif
