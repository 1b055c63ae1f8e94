/* SPDX-License-Identifier: MIT */
/*
 * desk, internal: the desk engine.
 *
 *   create.c    a new store, more prekeys, what filesystem it may be on
 *   desk.c      open and close
 *   load.c      from the database into memory
 *   recall.c    what the own log says: releases, ends, the newest policy; and the snapshot that saves reading it again
 *   clock.c     whether the clock is believed
 *   grants.c    grants and enrolments: checked, kept, found
 *   receive.c   files that a person hands to it
 *   handin.c    logs that a person hands to it; the copies that are kept
 *   release.c   answers
 *   shown.c     the log that a request shows
 *   budget.c    how much of a grant is released
 *   end.c       one-time keys are destroyed
 *   tell.c      entries of the own log
 *   status.c    what is so
 *
 * Locks, outermost first:
 *   take_lock          who changes what is known: policies, grants, enrolments, revocations, batches
 *   end_lock           who destroys
 *   device->lock       one exchange with a device at a time, and its log's copy; held while the copy and the own log go to the disk
 *   lock               policy and the lists; for moments
 *   batch->gate        for reading: a one-time key is in use; for writing: it is marked as dead. For moments
 *   grant->bits_lock, device->small, clock.lock    for moments; none is held while another one is taken
 * Devices, grants and batches are never freed before the desk is closed, so pointers to them outlive the lock they were found under.
 */
#ifndef VAULTFS_DESK_INTERNAL_H
#define VAULTFS_DESK_INTERNAL_H

#include "store.h"

#include <vaultfs/desk.h>

#include <pthread.h>
#include <stdatomic.h>

#define VF_DESK_STEP_US       (3600 * VF_SECOND_US) /* wall against boot clock: more is a step that a person confirms */
#define VF_DESK_GAP_US        (3600 * VF_SECOND_US) /* since the last entry, at opening: more, and the clock has to settle */
#define VF_DESK_SETTLE_US     (600 * VF_SECOND_US)
#define VF_DESK_SILENCE_US    (24 * 3600 * VF_SECOND_US) /* since the last entry, at opening */
#define VF_DESK_SIGN_US       (6 * 3600 * VF_SECOND_US)  /* a quiet desk says so often that it is there */
#define VF_DESK_BEHIND_US     (60 * VF_SECOND_US)        /* so far a clock may fall behind the own log: it was set right */
#define VF_DESK_RATE_BUCKETS  61                         /* minutes: an hour, and the one that is running */
#define VF_DESK_LOG_HOUR      (UINT64_C(64) << 20)       /* bytes of a device's log that requests may bring in an hour */
#define VF_DESK_REFUSALS_MIN  10                         /* entries a minute a device; then one count */
#define VF_DESK_SNAPSHOT_STEP 4096                       /* entries of the own log between two snapshots */
#define VF_DESK_COPY_IDLE_US  (600 * VF_SECOND_US)
#define VF_DESK_COPY_AGAIN_US (60 * VF_SECOND_US) /* before one that is damaged is looked at again */
#define VF_DESK_ASKING        4                   /* requests of one device: one that is answered, and who waits for it */

/* Ids of one length, sorted. */
struct vf_desk_ids {
    size_t len, n;
    uint8_t *ids;
};
enum vf_desk_named_as {
    VF_DESK_NAMED_DEVICE, /* revoked */
    VF_DESK_NAMED_GRANT,  /* revoked */
    VF_DESK_NAMED_LOST,   /* something was released of it, and the database does not know it */
    VF_DESK_NAMED_COUNT
};
/* What the own log names (named.c). */
struct vf_desk_named {
    pthread_mutex_t lock;
    struct vf_desk_ids of[VF_DESK_NAMED_COUNT];
};

/* Refs of a manifest's records; renewals have them in common. */
struct vf_desk_refs {
    struct vf_hash manifest;
    atomic_uint users;
    uint32_t n;
    struct vf_ref ref[];
};

struct vf_desk_batch {
    uint32_t number, count;
    int64_t last_us;
    struct vf_prekeys *file;
    pthread_rwlock_t gate;
    /* Under the gate: VF_PREKEY_ENDED …, 0: live. Set before anything of the destruction is on the disk. */
    uint8_t *dead;
    bool over; /* all of them: its last day is past */
    /* Under desk->lock: whose each is, or NULL. */
    struct vf_desk_grant **owner;
};

struct vf_desk_device {
    struct vf_enrol enrol;
    atomic_bool revoked;
    pthread_mutex_t lock;
    struct vf_log_copy *copy; /* under lock; NULL: not open */
    enum vf_err copy_bad;     /* under lock: it was found damaged, */
    int64_t copy_bad_us;      /* then, by the boot clock */
    atomic_uint asking;       /* requests that have the lock, or wait for it */
    pthread_mutex_t small;
    /* Under small. */
    bool alarm;
    uint64_t log_size;
    int64_t log_us;
    int64_t copy_used_us; /* boot clock */
    struct {
        int64_t minute;
        uint32_t images;
    } rate[VF_DESK_RATE_BUCKETS];
    uint64_t log_bytes;   /* of its log, taken by requests in about the last hour, */
    int64_t log_bytes_us; /* as it was then, by the boot clock */
    int64_t refusals_minute;
    uint64_t refusals; /* in that minute */
};

struct vf_desk_grant {
    struct vf_grant g;
    bool part[VF_PART_COUNT]; /* granted */
    int64_t end_us;           /* its until, or the batch's last day */
    struct vf_desk_device *device;
    struct vf_desk_batch *batch; /* NULL: its file is gone */
    atomic_bool revoked;
    /* Under desk->lock. */
    struct vf_desk_refs *refs; /* NULL: its key is destroyed */
    bool owed;                 /* what the own log says of it is still to be read: nothing is released before */
    bool agreed;               /* k of n under the policy that rules, and nothing is owed */
    char disagreed[256];       /* why not */
    pthread_mutex_t bits_lock;
    /* Under bits_lock: released, durable in the own log. */
    uint8_t *bits[VF_PART_COUNT];
    uint64_t count[VF_PART_COUNT];
};

/* What the own log says, up to a place in it. */
struct vf_desk_recalled {
    uint32_t policy;            /* the newest version that was taken */
    struct vf_hash policy_hash; /* of its text */
    int64_t confirmed_us;       /* what a person confirmed last, */
    int64_t confirmed_at;       /* and the time of that entry */
    bool unready;               /* doubted since, */
    int64_t believed_us;        /* and the time that was believed until then */
    int64_t said_us;            /* the newest time that a sign of life gave since the confirmation */
    struct vf_log_place place;
};

struct vf_desk_clock {
    pthread_mutex_t lock;
    int64_t floor_us;          /* it was this late already, as far as anybody said who was believed */
    int64_t ahead_us;          /* wall minus boot clock, when it was last believed */
    int64_t confirmed_us;      /* wall clock when a person last said that clock and store are right; 0: never */
    int64_t settled_us;        /* boot clock: until then it tells nobody its time; 0: it is */
    bool unready, told;        /* told: the own log and the database know */
    uint64_t doubts;           /* how often it was doubted */
    char why[256], later[256]; /* later: of a doubt while there was one */
};

struct vf_desk {
    char *path;
    enum vf_desk_mode mode;
    const struct vf_identity *id;
    uint8_t store_id[VF_PREKEY_STORE_LEN];
    struct vf_identity_pub pub;             /* of the identity it was made for */
    struct vf_prekey_store_key *prekey_key; /* arena; NULL in STATUS mode */
    struct vf_desk_key *key;                /* likewise */
    struct vf_desk_store *store;
    struct vf_log *log; /* NULL in STATUS mode */
    bool opened;        /* all the way */
    struct vf_desk_clock clock;

    struct vf_desk_named named;

    pthread_mutex_t take_lock, end_lock;
    pthread_rwlock_t lock;
    struct vf_policy_chain policy;
    uint32_t policy_floor;           /* the newest version it ever had, by the own log, */
    struct vf_hash policy_hash;      /* and that one's text hash */
    struct vf_desk_device **devices; /* by enrolment id */
    struct vf_desk_grant **grants;   /* by id */
    struct vf_desk_batch **batches;  /* by number */
    size_t ndevices, ngrants, nbatches;
    uint32_t last_batch; /* the highest number ever given */

    /* Under end_lock. */
    struct vf_desk_recalled recalled;
    uint64_t snapshot_size;      /* entries that the stored one covers */
    atomic_bool recover_due;     /* what a start does again of what was begun, is not done yet */
    _Atomic int64_t sign_us;     /* when the last sign of life was given */
    atomic_bool ends_due;        /* look at every grant at the next tick: something was received, or a destruction failed */
    _Atomic int64_t next_end_us; /* of those known at the last look */
    _Atomic int64_t folder_problem_us; /* boot clock when a disk last failed; 0: it works */
};

/* desk.c */
void vf_desk_rwlock_init(pthread_rwlock_t *lock);

/* create.c */
VF_MUST_USE enum vf_err vf_desk_place_check(const char *path, bool cow_ok, struct vf_why *why);
#define VF_DESK_BATCH_NAME_MAX 24
VF_MUST_USE enum vf_err vf_desk_batch_path(const char *path, uint32_t number, char **ret, struct vf_why *why);

/* load.c */
VF_MUST_USE enum vf_err vf_desk_load(struct vf_desk *d, struct vf_why *why);
VF_MUST_USE enum vf_err vf_desk_load_head(struct vf_desk *d, bool *ret_cow_ok,
                                          struct vf_why *why); /* META: whose store it is */
VF_MUST_USE enum vf_err vf_desk_batch_open(struct vf_desk *d, uint32_t number, struct vf_desk_batch **ret,
                                           struct vf_why *why);
/* Adds to the list; the caller has take_lock (or is the only thread). */
VF_MUST_USE enum vf_err vf_desk_batch_add(struct vf_desk *d, struct vf_desk_batch *b, struct vf_why *why);
void vf_desk_unload(struct vf_desk *d);

/* recall.c. What the log says, behind what the snapshot says; in STATUS mode the snapshot alone, as it is. */
VF_MUST_USE enum vf_err vf_desk_recall(struct vf_desk *d, struct vf_why *why);
/* What was released of a grant that the database had lost, from the beginning of the own log. end_lock is not held. */
VF_MUST_USE enum vf_err vf_desk_recall_grant(struct vf_desk *d, struct vf_desk_grant *g, struct vf_why *why);
/* A new snapshot when there is enough to be worth it, or `now`. end_lock is held. */
VF_MUST_USE enum vf_err vf_desk_snapshot(struct vf_desk *d, bool now, struct vf_why *why);

/* reserve.c */
bool vf_desk_has_room(const struct vf_desk *d, uint64_t more); /* for what stations send: that is, above what is kept free */
void vf_desk_reserve_give(const struct vf_desk *d);
void vf_desk_reserve_make(const struct vf_desk *d); /* if it is not there, and there is room */

/* named.c */
void vf_desk_ids_done(struct vf_desk_ids *s);
bool vf_desk_ids_has(const struct vf_desk_ids *s, const void *id);
VF_MUST_USE enum vf_err vf_desk_ids_add(struct vf_desk_ids *s, const void *id, struct vf_why *why);
void vf_desk_ids_put(const struct vf_desk_ids *s, struct vf_buf *out);
bool vf_desk_ids_get(struct vf_desk_ids *s, struct vf_reader *r);
void vf_desk_named_init(struct vf_desk_named *m);
void vf_desk_named_done(struct vf_desk_named *m);
bool vf_desk_named_has(struct vf_desk *d, enum vf_desk_named_as as, const void *id);
VF_MUST_USE enum vf_err vf_desk_named_add(struct vf_desk *d, enum vf_desk_named_as as, const void *id, struct vf_why *why);
void vf_desk_named_put(struct vf_desk *d, struct vf_buf *out); /* lock is held */
bool vf_desk_named_get(struct vf_desk *d, struct vf_reader *r);
void vf_desk_named_apply(struct vf_desk *d);

/* place.c. Are the store's files those that it had? If not: doubt. Behind recall and the clock's start. */
VF_MUST_USE enum vf_err vf_desk_place_verify(struct vf_desk *d, struct vf_why *why);
VF_MUST_USE enum vf_err vf_desk_place_keep(struct vf_desk *d, struct vf_why *why); /* those that it has: take_lock is held */

/* clock.c */
VF_MUST_USE enum vf_err vf_desk_clock_start(struct vf_desk *d, struct vf_why *why); /* after recall */
/* The time that decides. False: not ready, and `text` (of 256; may be NULL) says why; *ret_us is then what was believed last. */
bool vf_desk_clock_now(struct vf_desk *d, int64_t *ret_us, char *text);
/* May it tell its time? For a while after an opening that came long after the last entry, it may not. */
bool vf_desk_clock_settled(struct vf_desk *d);
void vf_desk_clock_doubt(struct vf_desk *d, const char *fmt, ...) VF_PRINTF(2, 3);
/* Into log and database, if anything changed. No lock is held. */
VF_MUST_USE enum vf_err vf_desk_clock_tell(struct vf_desk *d, struct vf_why *why);
#define VF_DESK_META_UNREADY "unready"

/* grants.c */
struct vf_desk_device *vf_desk_device_find(struct vf_desk *d, const struct vf_hash *id);
struct vf_desk_grant *vf_desk_grant_find(struct vf_desk *d, const struct vf_grant_id *id);
struct vf_desk_batch *vf_desk_batch_find(struct vf_desk *d, uint32_t number);
/* desk->lock is held, for writing; or there is one thread. */
VF_MUST_USE enum vf_err vf_desk_device_add(struct vf_desk *d, const struct vf_enrol *e, bool revoked, bool alarm,
                                           struct vf_desk_device **ret, struct vf_why *why);
VF_MUST_USE enum vf_err vf_desk_grant_add(struct vf_desk *d, const struct vf_grant *g, struct vf_desk_refs *refs,
                                          struct vf_desk_grant **ret, struct vf_why *why);
struct vf_desk_refs *vf_desk_refs_new(const struct vf_hash *manifest, const void *refs, uint32_t n);
struct vf_desk_refs *vf_desk_refs_known(struct vf_desk *d, const struct vf_hash *manifest); /* one more user */
void vf_desk_refs_put(struct vf_desk_refs *refs);
bool vf_desk_refs_find(const struct vf_desk_refs *refs, const struct vf_ref *ref, uint32_t *ret);
/*
 * A grant and its enrolment, as they came: checked whole, kept durably. `enrol` may be empty when the device is known. take_lock is not held.
 * *ret_already: it was here.
 */
VF_MUST_USE enum vf_err vf_desk_grant_take(struct vf_desk *d, struct vf_slice note, struct vf_slice manifest,
                                           struct vf_slice enrol, const char *what, struct vf_desk_grant **ret,
                                           bool *ret_already, struct vf_why *why);
VF_MUST_USE enum vf_err vf_desk_enrol_take(struct vf_desk *d, struct vf_slice enrol, const char *what,
                                           struct vf_desk_device **ret, bool *ret_already, struct vf_why *why);
/* Are there signatures enough, under the policy that rules now? For all grants, after a new policy. take_lock is held. */
VF_MUST_USE enum vf_err vf_desk_grants_judge(struct vf_desk *d, struct vf_why *why);
VF_MUST_USE enum vf_err vf_desk_grant_judge(const struct vf_desk *d, const void *note, size_t len, struct vf_grant *ret,
                                            struct vf_why *why); /* lock is held */
/* VF_OK, or why nothing is released under this policy, or without one. lock is held. */
VF_MUST_USE enum vf_err vf_desk_policy_rules(const struct vf_desk *d, struct vf_why *why);
VF_MUST_USE enum vf_err vf_desk_device_row(const struct vf_desk_device *dev, bool alarm, struct vf_slice enrol,
                                           struct vf_buf *out, struct vf_why *why);
VF_MUST_USE enum vf_err vf_desk_device_save(struct vf_desk *d, struct vf_desk_device *dev, bool alarm, struct vf_why *why);
#define VF_DESK_ROW_VERSION  1
#define VF_DESK_DEVICE_HEAD  2
#define VF_DESK_DEVICE_ALARM 1u
#define VF_DESK_GRANT_HEAD   (1 + 8 + 8 + 8) /* version, received, released of each part once its key is destroyed */

/* handin.c */
/* The device's copy, open; device->lock is held. */
VF_MUST_USE enum vf_err vf_desk_copy_open(struct vf_desk *d, struct vf_desk_device *dev, struct vf_why *why);
void vf_desk_copy_close(struct vf_desk_device *dev);
void vf_desk_copy_note(struct vf_desk_device *dev); /* what status tells of it */
/* Entries in it. device->lock is not held. */
uint64_t vf_desk_copy_size(struct vf_desk *d, struct vf_desk_device *dev);
VF_MUST_USE enum vf_err vf_desk_copy_path(const struct vf_desk *d, const struct vf_hash *enrolment, char **ret,
                                          struct vf_why *why);
VF_MUST_USE enum vf_err vf_desk_handin_take(struct vf_desk *d, int fd, struct vf_received *told, struct vf_why *why);
/* Its log is not what it was: nothing more for it until somebody hands in a good one. device->lock is held. */
void vf_desk_alarm(struct vf_desk *d, struct vf_desk_device *dev, const char *text);
/* Size of a log folder (of a copy: up to its last checkpoint), and the time of its last entry (0: none, or not to be told). */
VF_MUST_USE enum vf_err vf_desk_folder_peek(const char *dir, uint64_t *ret_size, int64_t *ret_us, struct vf_why *why);

/* budget.c */
struct vf_desk_asked { /* what a request asks of one grant, worked out */
    size_t n;          /* to be answered with shares */
    uint32_t index[VF_REQUEST_WANTS_MAX];
    enum vf_part part[VF_REQUEST_WANTS_MAX];
    bool fresh[VF_REQUEST_WANTS_MAX];
    bool all, all_fresh;           /* the text part of every record; something of it is not released yet */
    uint64_t all_count;            /* how many of those */
    size_t left_budget, left_rate; /* wants that are left out */
};
/* In the order of wants, while budget and rate last. VF_E_REFUSED: it asks for what the grant does not name. device->lock is held. */
VF_MUST_USE enum vf_err vf_desk_ask(struct vf_desk_grant *g, const struct vf_desk_refs *refs, const struct vf_request *req,
                                    int64_t now_us, struct vf_desk_asked *ret, struct vf_why *why);
/* Has this device brought so much log in the last hour that this is too much? If not, it is counted. */
bool vf_desk_log_too_much(struct vf_desk_device *dev, uint64_t bytes, int64_t boot_us);
/* True: it was not set yet. */
bool vf_desk_bit_set(struct vf_desk_grant *g, uint32_t index, enum vf_part part);
/* The release is durable: it counts. */
void vf_desk_released(struct vf_desk_grant *g, uint32_t index, enum vf_part part, int64_t now_us);
void vf_desk_released_all(struct vf_desk_grant *g, enum vf_part part);
bool vf_desk_bit(const uint8_t *bits, uint32_t index);
#define VF_DESK_MINUTE_US (60 * VF_SECOND_US)
uint32_t vf_desk_rate_used(struct vf_desk_device *dev, int64_t now_us);
uint32_t vf_desk_rate_sum(struct vf_desk_device *dev, int64_t *ret_minute); /* of the hour before its last minute */
void vf_desk_rate_add(struct vf_desk_device *dev, int64_t now_us, uint32_t images);

/* end.c */
/*
 * First of all, once, when the store was opened: slots of tombstones that are not overwritten, and slots that hold something all the same. Then
 * what has ended, what was revoked, what was begun. take_lock and end_lock are not held.
 */
VF_MUST_USE enum vf_err vf_desk_end(struct vf_desk *d, struct vf_why *why);
/* A key that a revocation names, of a grant that is not known here. */
VF_MUST_USE enum vf_err vf_desk_end_prekey(struct vf_desk *d, struct vf_desk_batch *b, uint32_t number,
                                           enum vf_prekey_end end, const struct vf_grant_id *grant, struct vf_why *why);
/* Under batch->gate: VF_E_EXPIRED, VF_E_REVOKED. */
VF_MUST_USE enum vf_err vf_desk_prekey_live(const struct vf_desk_batch *b, uint32_t number, struct vf_why *why);
#define VF_DESK_WHOLE_BATCH   UINT32_MAX /* the number in the tombstone of a whole batch */
#define VF_DESK_TOMBSTONE_LEN (1 + 1 + 1 + 8 + VF_GRANT_ID_LEN)
/* In memory, at once: from here on the key is not used. The first reason stays. */
void vf_desk_mark_dead(struct vf_desk *d, uint32_t batch, uint32_t number, enum vf_prekey_end end);
void vf_desk_batch_mark(struct vf_desk_batch *b, uint32_t number, enum vf_prekey_end end);

/* tell.c */
VF_MUST_USE enum vf_err vf_desk_tell(struct vf_desk *d, const struct vf_entry *e, uint64_t *ret_ticket, struct vf_why *why);
VF_MUST_USE enum vf_err vf_desk_tell_now(struct vf_desk *d, const struct vf_entry *e, struct vf_why *why);
/* A refusal, if this minute has room for one. */
void vf_desk_tell_refusal(struct vf_desk *d, struct vf_desk_device *dev, const struct vf_desk_grant *g,
                          enum vf_answer_status status, const char *object);
void vf_desk_tell_refusals_held(struct vf_desk *d, struct vf_desk_device *dev, int64_t now_us);
/* Objects of entries, read again by recall.c. */
#define VF_DESK_LOG_POLICY         "policy " /* VERSION " sha256:" HEX of its text */
#define VF_DESK_LOG_REVOKED_GRANT  "revocation of grant "
#define VF_DESK_LOG_REVOKED_DEVICE "revocation of device " /* HEX of the enrolment id */
#define VF_DESK_LOG_PREKEY         "prekey "               /* BATCH "/" NUMBER, or BATCH "/all" */
#define VF_DESK_LOG_CONFIRMED      "confirmed"             /* result; its object is the time that was confirmed */
#define VF_DESK_LOG_UNREADY        "unready"

#endif
