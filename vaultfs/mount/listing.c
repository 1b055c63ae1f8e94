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
 * Which records' folders were listed is noted before it is looked whether they may be, and never forgotten: a bit each.
 *
 * What changes (a start, an end, a delivery) the kernel sees by the folder's time of change: its nanoseconds count the changes, and the watcher takes the
 * attributes back. A listing that was begun under another time is thrown away when the next begins. The root and a job's folder are dropped besides as soon as
 * one has run to its end, for what changes between two looks of the watcher: the kernel finds the page gone, and asks. Whether it hears of the end before it is
 * told to drop, or after, is the same to it.
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

/* To the kernel: pages of a folder are dropped (which may wait), or at -1 its attributes. The lister, told to stop, says nothing more. */
static void tell(struct vf_session *s, fuse_ino_t ino, off_t from)
{
    if (from < 0 || !atomic_load(&s->lister.stopping))
        fuse_lowlevel_notify_inval_inode(s->fuse, ino, from, 0);
}

static fuse_ino_t job_number(struct vf_session *s, struct vf_slot_job *slot)
{
    const struct vf_node job = {.kind = VF_NODE_JOB, .slot = slot};
    return vf_node_number(s, &job);
}

/* Each folder with contents that may have been listed, of records only those that were. */
static void tell_contents(struct vf_session *s, const struct vf_slot_job *slot, bool records, off_t from)
{
    static const unsigned tops[] = {VF_NODE_PHOTOS, VF_NODE_SIGNATURES, VF_NODE_RECORDS};
    for (size_t i = 0; i < sizeof(tops) / sizeof(tops[0]); i++)
        tell(s, vf_node_ino(slot, tops[i], 0), from);
    for (size_t w = 0; records && w < slot->listed_words; w++) {
        for (uint64_t bits = atomic_load(&slot->listed[w]); bits; bits &= bits - 1) {
            uint32_t index = (uint32_t)(w * WORD) + (uint32_t)__builtin_ctzll(bits);
            tell(s, vf_node_ino(slot, VF_NODE_RECORD, index), from);
        }
    }
}

void vf_listings_changed(struct vf_session *s)
{
    struct vf_slot_job *slot;
    (void)atomic_fetch_add(&s->changes, 1); /* first: who asks from now on is told the new time */
    tell(s, FUSE_ROOT_ID, -1);
    for (size_t i = 0; (slot = vf_slot_at(s, i)) != NULL; i++) {
        tell(s, job_number(s, slot), -1);
        tell_contents(s, slot, false, -1);
    }
}

void vf_listings_refuse(struct vf_session *s, struct vf_slot_job *slot)
{
    (void)atomic_fetch_add(&s->changes, 1);
    tell(s, job_number(s, slot), -1);
    tell_contents(s, slot, true, -1);
    vf_listings_drop(s, slot, VF_DROP_JOB | VF_DROP_CONTENTS);
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

static bool is_due(struct vf_lister *l)
{
    pthread_mutex_lock(&l->lock);
    bool due = l->due;
    pthread_mutex_unlock(&l->lock);
    return due;
}

static void drop_names(struct vf_session *s, fuse_ino_t job)
{
    static const char *const names[] = {"cards.csv", "cards-excel.csv", "photos", "signatures", "records"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && !atomic_load(&s->lister.stopping); i++)
        fuse_lowlevel_notify_inval_entry(s->fuse, job, names[i], strlen(names[i]));
}

static void drop(struct vf_session *s, struct vf_slot_job *slot, unsigned what)
{
    if (what & VF_DROP_JOB)
        tell(s, job_number(s, slot), 0);
    if (what & VF_DROP_CONTENTS)
        tell_contents(s, slot, true, 0);
    bool is_root = s->opt->job != NULL; /* the job's folder: it stays, and the names in it go instead */
    if ((what & VF_DROP_JOB_NAME) && !is_root)
        fuse_lowlevel_notify_inval_entry(s->fuse, FUSE_ROOT_ID, slot->name, strlen(slot->name));
    if ((what & VF_DROP_NAMES) || ((what & VF_DROP_JOB_NAME) && is_root))
        drop_names(s, job_number(s, slot));
}

/*
 * Of what was asked for, the listings, or the names. To let go of a name, the kernel lets go of all that it has below it, 0.4 s for 10,000 records: listings that
 * become due meanwhile come before the next job's.
 */
static void drop_due(struct vf_session *s, bool names)
{
    const unsigned mask = names ? VF_DROP_NAMES | VF_DROP_JOB_NAME : VF_DROP_JOB | VF_DROP_CONTENTS;
    struct vf_slot_job *slot;
    for (size_t i = 0; (slot = vf_slot_at(s, i)) != NULL && !atomic_load(&s->lister.stopping); i++) {
        unsigned what = atomic_fetch_and(&slot->listings_due, ~mask) & mask;
        if (!what)
            continue;
        drop(s, slot, what);
        if (names && is_due(&s->lister))
            break;
    }
}

static void *run(void *arg)
{
    struct vf_session *s = arg;
    struct vf_lister *l = &s->lister;

    pthread_mutex_lock(&l->lock);
    while (!atomic_load(&l->stopping)) {
        l->busy = l->due;
        if (!l->due) {
            pthread_cond_broadcast(&l->rest);
            pthread_cond_wait(&l->wake, &l->lock);
            continue;
        }
        l->due = false;
        pthread_mutex_unlock(&l->lock);
        if (atomic_exchange(&l->root_due, false))
            tell(s, FUSE_ROOT_ID, 0);
        drop_due(s, false);
        drop_due(s, true);
        pthread_mutex_lock(&l->lock);
    }
    l->due = l->busy = false;
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
    atomic_store(&l->stopping, true);
    pthread_cond_broadcast(&l->wake);
    bool gone = !l->runs || rests(l, true, at_most_us);
    pthread_mutex_unlock(&l->lock);
    if (l->runs && gone)
        pthread_join(l->thread, NULL);
    l->runs = l->runs && !gone;
    return gone;
}
