/* SPDX-License-Identifier: MIT */
/*
 * The end of a grant: (1) state set, newcomers get the errno; (2) the gate shut; (3) the pages of every file the kernel may hold dropped;
 * (4) those inside waited for; (5) pages dropped again, twice, since a READ that was answered before (4) may have been inserted after the
 * first pass; (6) keys wiped; (7) names, so that no cached look-up succeeds; (8) counts of what was opened, and the entry.
 *
 * (1) to (3) are done for every grant that ends before (4) for any: an opener inside waits for the disk, and a disk that hangs must not
 * keep pages alive that are in the kernel already. No lock is held meanwhile, and the thread itself waits for no disk.
 */
#include "mount.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FINISH_WAIT_US (VF_SECOND_US / 10)
#define LEAVE_WAIT_US  (2 * VF_SECOND_US)

static void drop_pages(struct vf_session *s, struct vf_slot_job *slot)
{
    const struct timespec pause = {.tv_nsec = 10000000};
    size_t n = 0;
    uint64_t *list;
    while (!(list = vf_files_list(&slot->files, &n)))
        nanosleep(&pause, NULL); /* no memory: the gate is shut, but what is out must come back */
    for (size_t i = 0; i < n; i++)
        fuse_lowlevel_notify_inval_inode(s->fuse, list[i], 0, 0);
    free(list);
}

static void drop_names(struct vf_session *s, struct vf_slot_job *slot)
{
    static const struct {
        const char *name;
        unsigned kind;
    } children[] = {
        {"cards.csv", VF_NODE_CARDS}, {"cards-excel.csv", VF_NODE_CARDS_EXCEL},
        {"photos", VF_NODE_PHOTOS},   {"signatures", VF_NODE_SIGNATURES},
        {"records", VF_NODE_RECORDS},
    };
    uint64_t parent = s->opt->job ? FUSE_ROOT_ID : vf_node_ino(slot, VF_NODE_JOB, 0);
    for (size_t i = 0; i < sizeof(children) / sizeof(children[0]); i++) {
        fuse_lowlevel_notify_inval_entry(s->fuse, parent, children[i].name, strlen(children[i].name));
        fuse_lowlevel_notify_inval_inode(s->fuse, vf_node_ino(slot, children[i].kind, 0), -1, 0);
    }
}

bool vf_slot_end_begin(struct vf_session *s, struct vf_slot_job *slot, enum vf_slot_state why)
{
    enum vf_slot_state live = VF_SLOT_LIVE;
    if (!atomic_compare_exchange_strong(&slot->state, &live, why))
        return false;
    vf_end_gate_shut(&slot->gate);
    vf_waits_over(s, slot); /* a READ that waits for the desk has its page locked */
    drop_pages(s, slot);
    return true;
}

bool vf_slot_end_finish(struct vf_session *s, struct vf_slot_job *slot)
{
    bool revoked = atomic_load(&slot->state) == VF_SLOT_REVOKED;
    if (!vf_end_gate_wait(&slot->gate, FINISH_WAIT_US))
        return false;
    drop_pages(s, slot);
    drop_pages(s, slot);
    struct vf_job *job = vf_slot_job_ref(slot);
    vf_job_forget(job);
    struct vf_job *before = vf_slot_before_ref(slot, true);
    if (before)
        vf_job_forget(before);
    vf_job_unref(before);
    drop_names(s, slot);
    vf_access_slot_over(s, slot);
    vf_access_event_later(s, revoked ? VF_EVENT_REVOKE : VF_EVENT_EXPIRE, job, revoked ? "EKEYREVOKED" : "EKEYEXPIRED");
    vf_job_unref(job);
    return true;
}

void vf_slots_leave(struct vf_session *s)
{
    for (size_t i = 0; i < s->nslots; i++) /* the watcher calls this, and it alone adds slots */
        vf_end_gate_shut(&s->slots[i]->gate);
    for (int pass = 0; pass < 3; pass++) {
        for (size_t i = 0; i < s->nslots; i++) {
            if (pass == 1) /* not for ever: who asked us to go may be in a hurry */
                (void)vf_end_gate_wait(&s->slots[i]->gate, LEAVE_WAIT_US);
            drop_pages(s, s->slots[i]);
        }
    }
}
