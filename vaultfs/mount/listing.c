/* SPDX-License-Identifier: MIT */
/*
 * Listings that the kernel keeps. OPENDIR is refused for good where that is understood (dir.c): the kernel then opens folders by itself, keeps in the page
 * cache what a READDIR gave that ran to its end, and serves it from there. What bounds that, in two ways of which neither needs the other:
 *
 * 1. When a program begins a listing, the kernel looks at the folder's attributes first (auto_inval_data). They are believed until the end of the grant at most,
 *    so that then it asks, by GETATTR, and is refused: also when this process is stopped or dead. For what comes sooner (revocation, a wrong clock, leaving)
 *    the watcher takes the attributes back: INVAL_INODE without a range, which waits for nobody.
 * 2. The pages go, for who is in the middle of a listing. That is for the lister, a thread of its own: while the kernel copies names to a program it has the
 *    folder's page and the folder locked, and the program's memory may lie in a file that never comes. The watcher must not wait for that.
 *
 * Which records' folders were listed is noted before the answer goes out, inside the job's gate, and never forgotten: a bit each.
 *
 * What the root and a job's folder list changes by itself (a start, an end, a delivery), so it is dropped as soon as such a listing has run to its end: the
 * kernel finds the page gone, and asks. Photos and signatures change when values arrive: a listing's positions carry the number of the delivery that it began
 * under, and one that ends under another is dropped in the same way. Whether the kernel hears of the end before it is told to drop, or after, is the same to it.
 */
#include "mount.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WORD 64

enum vf_err vf_listings_init(struct vf_slot_job *slot, uint32_t records)
{
    slot->listed_words = records / WORD + 1;
    slot->listed = calloc(slot->listed_words, sizeof(*slot->listed));
    return slot->listed ? VF_OK : VF_E_NOMEM;
}

void vf_listings_free(struct vf_slot_job *slot)
{
    free((void *)(uintptr_t)slot->listed);
}

void vf_listing_given(const struct vf_node *dir)
{
    if (dir->kind != VF_NODE_RECORD || dir->index / WORD >= dir->slot->listed_words)
        return;
    uint64_t bit = UINT64_C(1) << dir->index % WORD;
    _Atomic uint64_t *word = &dir->slot->listed[dir->index / WORD];
    if (!(atomic_load(word) & bit))
        (void)atomic_fetch_or(word, bit);
}

/* One INVAL_INODE for each folder with contents that may have been listed: from page 0 on, or at -1 the attributes alone. */
static void take_back(struct vf_session *s, const struct vf_slot_job *slot, bool records, off_t from)
{
    static const unsigned tops[] = {VF_NODE_PHOTOS, VF_NODE_SIGNATURES, VF_NODE_RECORDS};
    for (size_t i = 0; i < sizeof(tops) / sizeof(tops[0]); i++)
        fuse_lowlevel_notify_inval_inode(s->fuse, vf_node_ino(slot, tops[i], 0), from, 0);
    for (size_t w = 0; records && w < slot->listed_words; w++) {
        for (uint64_t bits = atomic_load(&slot->listed[w]); bits; bits &= bits - 1) {
            uint32_t index = (uint32_t)(w * WORD) + (uint32_t)__builtin_ctzll(bits);
            fuse_lowlevel_notify_inval_inode(s->fuse, vf_node_ino(slot, VF_NODE_RECORD, index), from, 0);
        }
    }
}

void vf_listings_refuse(struct vf_session *s, struct vf_slot_job *slot)
{
    take_back(s, slot, true, -1);
    vf_listings_drop(s, slot, VF_DROP_JOB | VF_DROP_PARTS | VF_DROP_RECORDS);
}

/* ------------------------------------------------------------------------------------------------------------- the lister */

static void wake(struct vf_session *s)
{
    struct vf_lister *l = &s->lister;
    pthread_mutex_lock(&l->lock);
    l->due = true;
    pthread_cond_broadcast(&l->wake);
    pthread_mutex_unlock(&l->lock);
}

void vf_listings_drop(struct vf_session *s, struct vf_slot_job *slot, unsigned what)
{
    if (slot)
        (void)atomic_fetch_or(&slot->listings_due, what);
    else
        atomic_store(&s->lister.root_due, true);
    wake(s);
}

static void drop_names(struct vf_session *s, fuse_ino_t job)
{
    static const char *const names[] = {"cards.csv", "cards-excel.csv", "photos", "signatures", "records"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        fuse_lowlevel_notify_inval_entry(s->fuse, job, names[i], strlen(names[i]));
}

static void drop(struct vf_session *s, struct vf_slot_job *slot, unsigned what)
{
    const struct vf_node job = {.kind = VF_NODE_JOB, .slot = slot};
    if (what & VF_DROP_JOB)
        fuse_lowlevel_notify_inval_inode(s->fuse, vf_node_number(s, &job), 0, 0);
    if (what & (VF_DROP_PARTS | VF_DROP_RECORDS))
        take_back(s, slot, (what & VF_DROP_RECORDS) != 0, 0);
    /* Last: to let go of a name, the kernel lets go of all that it has below it, 0.4 s for 10,000 records. */
    if (what & VF_DROP_JOB_NAME)
        fuse_lowlevel_notify_inval_entry(s->fuse, FUSE_ROOT_ID, slot->name, strlen(slot->name));
    if (what & VF_DROP_NAMES)
        drop_names(s, vf_node_number(s, &job));
}

static void *run(void *arg)
{
    struct vf_session *s = arg;
    struct vf_lister *l = &s->lister;
    struct vf_slot_job *slot;

    pthread_mutex_lock(&l->lock);
    while (l->due || !l->stopping) {
        if (!l->due) {
            l->busy = false;
            pthread_cond_broadcast(&l->rest);
            pthread_cond_wait(&l->wake, &l->lock);
            continue;
        }
        l->due = false;
        l->busy = true;
        pthread_mutex_unlock(&l->lock);
        if (atomic_exchange(&l->root_due, false))
            fuse_lowlevel_notify_inval_inode(s->fuse, FUSE_ROOT_ID, 0, 0);
        for (size_t i = 0; (slot = vf_slot_at(s, i)) != NULL; i++) {
            unsigned what = atomic_exchange(&slot->listings_due, 0);
            if (what)
                drop(s, slot, what);
        }
        pthread_mutex_lock(&l->lock);
    }
    l->busy = false;
    l->gone = true;
    pthread_cond_broadcast(&l->rest);
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

void vf_lister_init(struct vf_session *s)
{
    pthread_condattr_t attr;
    pthread_mutex_init(&s->lister.lock, NULL);
    pthread_cond_init(&s->lister.wake, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&s->lister.rest, &attr);
    pthread_condattr_destroy(&attr);
}

int vf_lister_start(struct vf_session *s)
{
    int rc = pthread_create(&s->lister.thread, NULL, run, s);
    s->lister.runs = rc == 0;
    return rc;
}

/* Lock held. Until all is dropped, or the thread has gone. */
static bool rests(struct vf_lister *l, bool gone, int64_t at_most_us)
{
    struct timespec until;
    int rc = 0;
    clock_gettime(CLOCK_MONOTONIC, &until);
    vf_timespec_add(&until, at_most_us);
    while (rc == 0 && (gone ? !l->gone : l->due || l->busy))
        rc = pthread_cond_timedwait(&l->rest, &l->lock, &until);
    return gone ? l->gone : !l->due && !l->busy;
}

bool vf_lister_wait(struct vf_session *s, int64_t at_most_us)
{
    struct vf_lister *l = &s->lister;
    pthread_mutex_lock(&l->lock);
    bool done = !l->runs || rests(l, false, at_most_us);
    pthread_mutex_unlock(&l->lock);
    return done;
}

bool vf_lister_stop(struct vf_session *s, int64_t at_most_us)
{
    struct vf_lister *l = &s->lister;
    pthread_mutex_lock(&l->lock);
    l->stopping = true;
    pthread_cond_broadcast(&l->wake);
    bool gone = !l->runs || rests(l, true, at_most_us);
    pthread_mutex_unlock(&l->lock);
    if (l->runs && gone)
        pthread_join(l->thread, NULL);
    l->runs = l->runs && !gone;
    return gone;
}
