/* SPDX-License-Identifier: MIT */
/*
 * What the files of this room share. Locks, outermost first: st->receive_lock (deliveries, sweep), st->jobs_lock (job list, batches,
 * policy), st->clock_lock; st->floors_lock inside any of them. None is held while values are read.
 */
#ifndef VF_STATION_INTERNAL_H
#define VF_STATION_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <vaultfs/station.h>

enum vf_station_table {
    VF_ST_META,       /* text key -> value */
    VF_ST_POLICY,     /* "chain" -> policy file */
    VF_ST_GRANT,      /* grant id -> u8 complete, i64 received, grant file */
    VF_ST_VALUE,      /* ref field generation hash8 -> u64 batch, sealed */
    VF_ST_BATCH,      /* u64 -> i64 committed */
    VF_ST_REVOCATION, /* grant id or enrolment id -> note */
    VF_ST_COUNT
};
extern const char *const vf_station_tables[VF_ST_COUNT];
#define VF_GRANT_ROW_PREFIX 9 /* complete, received */
#define VF_VALUE_KEY_LEN    (VF_REF_LEN + 1 + 4 + 8)
#define VF_VALUE_ROW_PREFIX 8 /* batch */

void vf_station_value_key(const struct vf_ref *ref, uint8_t field, uint32_t generation, const struct vf_hash *hash,
                          uint8_t out[VF_VALUE_KEY_LEN]);

/* Trusted time (clock.c). All in microseconds. */
struct vf_station_clock {
    pthread_mutex_t lock;
    int64_t h;                        /* highest time known ... */
    int64_t h_boot;                   /* ... at this boottime of the present boot */
    int64_t cap;                      /* latest `until` known: H never passes it (but never goes back for it either) */
    int64_t anchor_wall, anchor_boot; /* since when wall and boottime agree */
    int64_t past;                     /* at h_boot: what had gone by while H stood at the cap */
    int64_t saved_h, saved_past;
    int64_t told, told_reset_us; /* H and the clock-reset as the log has them */
    int64_t desk, desk_boot;     /* what the desk said of a time far ahead, and when it did; 0: nothing of the kind ... */
    int64_t desk_since_boot;     /* ... and since when it has said the same */
    bool lost;       /* the file could not be read, and no grant is known yet that bounds H (vf_station_clock_settle) */
    uint32_t policy; /* highest policy version known: an older one is not believed */
    int64_t reset_taken_us; /* issue time of the last clock-reset that was taken */
    uint64_t slot_seq;
    bool loaded;
};

/* What was known once and is not forgotten (floors.c). */
struct vf_station_floors {
    uint32_t policy;           /* highest version ever received */
    int64_t sure_us, reset_us; /* H as the log has it; issue time of the last clock-reset that was taken */
    bool device_revoked;
    struct vf_grant_id *revoked;
    size_t nrevoked;
    size_t ntaken;             /* the last ones of them: taken since the log was read */
    struct vf_log_place place; /* what the log says before it is in here */
    uint64_t saved;            /* entries before the place that the file has */
};
/* Objects of receive entries. */
#define VF_ST_LOG_POLICY         "policy "
#define VF_ST_LOG_REVOKED_GRANT  "revocation of grant "
#define VF_ST_LOG_REVOKED_DEVICE "revocation of device "

struct vf_station {
    char *path;
    enum vf_station_mode mode;
    struct vf_store *store;
    struct vf_log *log;
    struct vf_enrol enrol;
    struct vf_policy_chain policy;
    struct vf_identity *device;
    struct vf_station_key *key; /* arena */
    struct vf_tag_key *tag_key; /* arena; of this process, for rows of verified grants */
    struct vf_station_clock clock;
    pthread_mutex_t floors_lock;
    struct vf_station_floors floors;
    pthread_mutex_t receive_lock;
    pthread_rwlock_t jobs_lock;
    struct vf_job **jobs; /* loaded, one reference each; by grant id, in no order */
    size_t njobs;
    uint64_t *batches; /* committed, ascending */
    size_t nbatches;
    atomic_uint_fast64_t version;
    atomic_bool ending; /* the mount ends: a delivery that is being received is left */
};

/* What of a grant's budget is used. When more values arrive a job is loaded anew beside the old one: both count here. */
struct vf_budget {
    atomic_uint refs;
    pthread_mutex_t lock;
    uint8_t *opened[VF_PART_COUNT]; /* bit sets of records */
    uint64_t left[VF_PART_COUNT];
};

struct vf_job {
    atomic_uint refs;
    struct vf_station *station; /* outlives its jobs */
    struct vf_grant grant;
    struct vf_grant_layout layout;
    struct vf_grant_share *share; /* arena; wiped by vf_job_forget */
    pthread_rwlock_t share_lock;
    bool forgotten;
    size_t policy; /* version that ruled when it was verified */
    atomic_bool revoked;
    struct vf_catalogue *catalogue;
    struct vf_tag *rows;                   /* of each record's manifest row and envelopes, from verified bytes */
    uint8_t *items;                        /* VF_ITEM_* of each record */
    size_t manifest_rows_at, envelopes_at; /* in the stored row */
    struct vf_budget *budget;              /* NULL without one; shared by all loads of one grant */
    struct vf_shares *shares;              /* online grants: what the desk released; likewise */
};
/* A record's manifest row with its envelopes behind it. */
#define VF_RECORD_ROW_MAX \
    (VF_REF_LEN + VF_FIELD_COUNT * VF_MANIFEST_ITEM_LEN + VF_FIELD_COUNT * VF_KEY_LEN + VF_PART_COUNT * VF_TAG_LEN)
#define VF_ITEM_PHOTO     1
#define VF_ITEM_SIGNATURE 2
#define VF_ITEM_TEXT      4
#define VF_ITEM_MISSING   8

/* fetch.c. What a manifest row says of one value. */
#define VF_SEALED_MAX (VF_VALUE_MAX + 8192 + VF_VALUE_OVERHEAD)
struct vf_value_want {
    struct vf_ref ref;
    unsigned field;
    uint32_t generation; /* 0: there is none */
    struct vf_hash hash;
};
/* Place of a field in manifest rows; false: not granted. */
bool vf_value_column(const struct vf_grant_layout *l, unsigned field, unsigned *ret);
void vf_value_want_of(const struct vf_job *job, uint32_t index, unsigned column, const uint8_t *row,
                      struct vf_value_want *ret);
/* Its ciphertext into `out` (VF_SEALED_MAX bytes), whose hash is the one wanted. `txn`: renewed by the caller. */
VF_MUST_USE enum vf_err vf_value_fetch(struct vf_station *st, struct vf_txn *txn, struct vf_hasher *hasher,
                                       const struct vf_value_want *want, uint8_t *out, size_t *ret_len, struct vf_why *why);

/* ahead.c */
enum vf_ahead_state { VF_AHEAD_IDLE, VF_AHEAD_WANTED, VF_AHEAD_BUSY, VF_AHEAD_READY };
struct vf_value_ahead {
    struct vf_station *st;
    pthread_t thread;
    pthread_mutex_t mu;
    pthread_cond_t wake, done;
    /* Under mu. */
    bool stop;
    enum vf_ahead_state state;
    struct vf_job *job; /* a reference while WANTED or BUSY */
    uint32_t index;
    unsigned field;
    struct vf_hash hash; /* READY: of the `len` bytes in `sealed` */
    size_t len;
    const struct vf_job *walk_job; /* compared, never looked at: what would be opened next, if somebody walks */
    unsigned walk_field;
    uint32_t walk_next;
    /* The thread's while BUSY, under mu otherwise. */
    uint8_t *sealed;
    /* The thread's. */
    struct vf_txn *txn;
    struct vf_hasher hasher;
};
/*
 * A picture is being opened. True if it was fetched ahead: *sealed (VF_SEALED_MAX bytes) is exchanged for the buffer that has it, and its hash
 * is the one wanted. If it was to be expected, the next one is fetched from now on.
 */
bool vf_value_ahead_take(struct vf_value_ahead *a, struct vf_job *job, uint32_t index, const struct vf_value_want *want,
                         uint8_t **sealed, size_t *ret_len);

/* clock.c */
enum vf_err vf_station_clock_create(const char *path, const struct vf_identity *device, struct vf_why *why);
enum vf_err vf_station_clock_load(struct vf_station *st, struct vf_why *why);
enum vf_err vf_station_clock_save(struct vf_station *st, struct vf_why *why);
/* A grant that was verified: raises the cap, and takes its clock-reset when it is newer than the last one taken. */
void vf_station_clock_grant(struct vf_station *st, const struct vf_grant *g);
/* When grants have been loaded: nothing to do unless the clock's file was lost. */
enum vf_err vf_station_clock_settle(struct vf_station *st, struct vf_why *why);
/* A policy version was taken: an older one is not believed from now on. */
void vf_station_clock_policy(struct vf_station *st, uint32_t version);
#define VF_STATION_SKEW_US (3600 * VF_SECOND_US) /* two clocks that nobody compares may be so far apart */
/* A grant or receipt that was verified says that it was this late already. Never beyond the latest `until` known. */
void vf_station_clock_raise(struct vf_station *st, int64_t at_least_us);
#define VF_STATION_TELL_US      (3600 * VF_SECOND_US)
#define VF_STATION_TELL_LAST_US (60 * VF_SECOND_US) /* at the end of a mount */
/* H into the log when it has moved by `step_us`, or past the end of a grant. */
void vf_station_clock_tell(struct vf_station *st, int64_t step_us);
int64_t vf_station_highest(
    struct vf_station *st); /* H now, and what has gone by while it stood: what destroys goes by this */

/* floors.c. Load: the log is open. Follow: when there is enough to be worth it, at opening and at the clock's ticks. */
enum vf_err vf_station_floors_load(struct vf_station *st, struct vf_why *why);
enum vf_err vf_station_floors_follow(struct vf_station *st, struct vf_why *why);
enum vf_err vf_station_floors_rule(struct vf_station *st,
                                   struct vf_why *why); /* MOUNT mode: the policy that was found to be the newest */
uint32_t vf_station_floors_policy(struct vf_station *st);
void vf_station_floors_take_policy(struct vf_station *st, uint32_t version);
bool vf_station_floors_revoked(struct vf_station *st, const struct vf_grant_id *id); /* or the device is */
/* A grant that the log has as revoked from now on. */
void vf_station_floors_take_revoked(struct vf_station *st, const struct vf_grant_id *id);
void vf_station_floors_done(struct vf_station *st);

/* open.c */
char *vf_station_file(const char *path, const char *name); /* "path/name", freed by the caller */
enum vf_err vf_station_identity_read(const char *path, struct vf_buf *ret, unsigned *ret_slot, uint64_t *ret_seq,
                                     struct vf_why *why);

/* create.c. The stored policy goes back to the one that was pinned (MOUNT mode: needs the device's secret). */
enum vf_err vf_station_pin_check(const struct vf_station *st, struct vf_why *why);

/* jobs.c */
enum vf_err vf_station_reload(struct vf_station *st, struct vf_why *why); /* jobs and batches from the store; version up */
void vf_station_jobs_free(struct vf_station *st);
enum vf_err vf_station_reload_batches(struct vf_station *st, struct vf_why *why); /* after a batch was committed */
bool vf_station_batch_committed(struct vf_station *st, uint64_t batch);
struct vf_job *vf_job_load(struct vf_station *st, struct vf_txn *txn, struct vf_slice row, const struct vf_job *before,
                           struct vf_why *why);
bool vf_station_is_revoked(struct vf_station *st, struct vf_txn *txn, const struct vf_grant_id *id);
/* A copy that nobody else can change, for free(); NULL: no memory. */
uint8_t *vf_station_copy(struct vf_slice row);
/* Values of the grant that are here; sets each record's items when not NULL. */
uint64_t vf_station_present(struct vf_station *st, struct vf_txn *txn, const struct vf_grant_file *file, uint8_t *items,
                            uint64_t *ret_named);

/* budget.c */
/* From the log; from `before` (may be NULL), an earlier load of the same grant, when there is one. */
enum vf_err vf_job_budget_load(struct vf_station *st, struct vf_job *job, const struct vf_job *before, struct vf_why *why);
void vf_job_budget_free(struct vf_job *job);

/* shares.c */
/* An empty table for an online grant, or that of `before` (may be NULL), an earlier load of the same grant. After the budget. */
enum vf_err vf_job_shares_load(struct vf_job *job, const struct vf_job *before, struct vf_why *why);
void vf_job_shares_free(struct vf_job *job);
/* False: there is none that is good now. The caller wipes *ret. */
bool vf_shares_get(struct vf_shares *s, uint32_t index, enum vf_part part, struct vf_release_share *ret);
/* Of a grant with a budget: records whose share the desk is known to have given. */
uint64_t vf_shares_released(struct vf_shares *s, enum vf_part part);

/* receive.c */
void vf_received_tell(struct vf_received *told, const char *fmt, ...) VF_PRINTF(2, 3); /* told->text */

/* receipt.c: a file's bytes, with receive_lock held */
enum vf_err vf_station_take_receipt(struct vf_station *st, const void *data, size_t len, struct vf_received *told,
                                    struct vf_why *why);

/* bundle.c */
enum vf_err vf_station_take_bundle(struct vf_station *st, int fd, const char *name, struct vf_received *told,
                                   void (*progress)(void *user, const char *name, uint64_t done, uint64_t total), void *user,
                                   struct vf_why *why);
/* Mark grants whose every value is here. */
enum vf_err vf_station_mark_complete(struct vf_station *st, struct vf_why *why);

/* sweep.c */
/* vf_station_sweep with receive_lock held; in RECEIVE mode, where H is not known, only what was revoked goes. */
enum vf_err vf_station_sweep_locked(struct vf_station *st, uint64_t *ret_dropped, struct vf_why *why);

#endif
