/* SPDX-License-Identifier: MIT */
/*
 * The end of a grant: (1) state set, newcomers get the errno; (2) the gate shut; (3) the pages of every file the kernel may hold dropped;
 * (4) listings refused; (5) those inside waited for; (6) pages dropped again, twice, since a READ that was answered before (5) may have been
 * inserted after the first pass; (7) keys wiped; (8) listings refused again; (9) counts of what was opened, and the entry. What may wait for
 * a program, dropping listings and names, is done by another thread (listing.c).
 *
 * (1) to (3) are done for every grant that ends before (4) for any: contents are worth more than refs, and a job may have 47,000 folders.
 * (4) is done for all before (5) for any: an opener inside waits for the disk, and a disk that hangs must not keep alive what is in the
 * kernel already. No lock is held meanwhile, and the thread itself waits for no disk.
 */
#include "mount.h"

#include <stdlib.h>
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

/* Attributes of the tables: those of folders are taken back with their listings. */
static void take_back_sizes(struct vf_session *s, struct vf_slot_job *slot)
{
    fuse_lowlevel_notify_inval_inode(s->fuse, vf_node_ino(slot, VF_NODE_CARDS, 0), -1, 0);
    fuse_lowlevel_notify_inval_inode(s->fuse, vf_node_ino(slot, VF_NODE_CARDS_EXCEL, 0), -1, 0);
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
    vf_listings_refuse(s, slot);
    take_back_sizes(s, slot);
    vf_listings_drop(s, slot, VF_DROP_NAMES);
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
    vf_listings_changed(s); /* nor is the root listed */
    for (size_t i = 0; i < s->nslots; i++)
        vf_listings_refuse(s, s->slots[i]);
    vf_listings_drop(s, NULL, 0);
    (void)vf_lister_wait(s, LEAVE_WAIT_US);
}
