/* SPDX-License-Identifier: MIT */
/*
 * audit, internal: the writer.
 *
 *   log.c         create, close, questions
 *   log_append.c  entries into the queue, and waiting for them (callers' threads)
 *   log_thread.c  writing: what is due, publishing what became durable, what to do about failures; the log's own thread
 *   log_commit.c  one batch of lines onto the disk
 *   log_seal.c    sealing, step by step
 *   log_open.c    lock, recovery
 *
 * One mutex, `mu`, never held during input or output. Who writes has set `writing`, and until it clears that the fields under "writer"
 * are its own (before the thread is started and after it has ended: the opener's and closer's). That is the log's thread, or a caller that
 * would otherwise wake it and sleep until it has done what the caller can do itself: vf_log_lead. Sealing and mending are the thread's alone.
 */
#ifndef VAULTFS_AUDIT_LOG_H
#define VAULTFS_AUDIT_LOG_H

#include "checkpoint.h"
#include "entry.h"
#include "segment.h"

#include <pthread.h>
#include <sys/stat.h>

#define VF_LOG_SLOT_TYPE     "VFSEAL01"
#define VF_LOG_SEAL_EARLY_US (VF_LOG_SEAL_INTERVAL_US * 3 / 4)
#define VF_LOG_RETRY_US      (VF_SECOND_US / 10)
#define VF_LOG_SELF_RETRY_US VF_SECOND_US
#define VF_LOG_QUEUE_MAX     ((size_t)16 << 20)
#define VF_LOG_EPOCHS        64
#define VF_LOG_TICKET_SHIFT  40

/*
 * What a seal slot holds: a secret, and where the log stood at the checkpoint that covers the entry which names it (at size 0: the
 * origin names it). In the arena.
 */
struct vf_seal_state {
    struct vf_seal_key key;
    struct vf_tree tree; /* of all entries up to and with that seal entry */
    uint64_t cp_at;      /* where that checkpoint begins in `checkpoints` */
    uint64_t seg_first;  /* the segment that holds that seal entry */
    uint64_t seg_at;     /* byte behind it there */
    int64_t time_us;     /* its time */
};
/* The slot's payload and back; `id` binds a slot file to its log. */
size_t vf_seal_state_encode(const struct vf_seal_state *s, const struct vf_hash *id, uint8_t out[VF_SLOT_PAYLOAD]);
VF_MUST_USE enum vf_err vf_seal_state_decode(const uint8_t *in, size_t len, const struct vf_hash *id,
                                             struct vf_seal_state *ret, struct vf_why *why);

/* How far a seal that was begun has come; each step is tried again until it succeeds. */
enum vf_seal_step { VF_SEAL_IDLE, VF_SEAL_SLOT, VF_SEAL_CHECKPOINT, VF_SEAL_WIPE };

/* Secrets of a writer, in the arena. */
struct vf_log_secret {
    struct vf_seal_state now;  /* its key signs the next checkpoint */
    struct vf_seal_state next; /* of the seal under way */
    struct vf_slot slots[2];   /* scratch of reading */
    uint8_t payload[VF_SLOT_PAYLOAD];
};

struct vf_log {
    /* Constant after opening. */
    char *dir, *seal_path;
    struct vf_origin origin;
    struct vf_buf origin_note;
    struct vf_hash id;
    struct vf_log_options opt;
    char session[VF_ENTRY_SESSION_LEN + 1];
    struct vf_buf where; /* ,"host":…,"session":… */
    pthread_t thread;

    pthread_mutex_t mu;
    pthread_cond_t work; /* the thread has something to do, or may have now that nobody else writes */
    pthread_cond_t done; /* something became durable, was sealed or was lost; the queue has room */

    /* Under mu: batches. Whose entry is in number n waits at batch_done[n % 2], so that each is woken once. */
    bool writing;      /* somebody writes */
    bool knocked;      /* the thread is wanted, and may not know yet */
    uint64_t batches;  /* taken so far */
    uint64_t taken_to; /* seq behind the last one taken */
    pthread_cond_t batch_done[2];

    /* Under mu: the queue. */
    struct vf_entry_lines queue;
    uint64_t queued;                   /* entries in it that others wait for (not gap, recover, seal) */
    uint64_t taken;                    /* the same of the batch that is being written */
    uint64_t next;                     /* seq of the next entry */
    uint64_t durable;                  /* entries on the disk */
    uint64_t sealed;                   /* covered by the last checkpoint */
    int64_t sealed_us;                 /* time of the last of them */
    uint64_t want;                     /* sealing was asked for up to here */
    int64_t last_us;                   /* time of the last entry that was put */
    int64_t durable_us;                /* of the last one that is durable */
    int64_t unsealed_us;               /* boot clock when the oldest entry that is not sealed was put; INT64_MAX: none */
    int64_t raw_now, raw_boot;         /* clocks at the last entry, to see steps */
    uint64_t epoch;                    /* how often entries were lost */
    uint64_t lost_from[VF_LOG_EPOCHS]; /* durable entries when epoch n (modulo) ended */
    uint64_t lost;                     /* lost and refused entries that no durable gap entry tells yet */
    uint64_t lost_told;                /* the part of it that a queued gap entry tells */
    bool recover, recover_queued;      /* a recover entry is due; is on its way */
    uint64_t recover_cut, recover_kept;
    bool failed; /* the last attempt failed */
    uint64_t failures;
    int64_t failed_us; /* boot clock of it */
    struct vf_why fail_why;
    bool sealing; /* a seal was begun and is not finished */
    bool stop;
    uint8_t nonces[64][VF_ENTRY_NONCE_LEN];
    unsigned nonces_left;
    struct vf_buf checkpoint; /* the last one, without the empty line */

    /* Writer: the folder. */
    int dirfd, lockfd;
    struct stat dir_st; /* device and inode */

    /* Writer: segments. The last one that holds durable entries. */
    int segfd; /* -1: none open for writing */
    uint64_t seg_first;
    uint64_t seg_len;   /* durable bytes; 0: there is no segment yet */
    struct stat seg_st; /* as it was opened: device and inode */
    bool seg_new;       /* the next batch begins a new segment */
    bool seg_failed;    /* what lies beyond seg_len was not durable */

    /* Writer: the tree, and sealing. */
    struct vf_tree tree;
    struct vf_log_secret *secret;
    unsigned slot; /* where secret->now is stored */
    uint64_t slot_seq;
    enum vf_seal_step step;
    struct vf_buf record; /* the checkpoint being written, with its empty line */
    struct vf_entry_lines batch;
};

/* log_append.c, mu held: put one of the writer's own entries, or a reported one, into the queue. */
VF_MUST_USE enum vf_err vf_log_put(struct vf_log *log, const struct vf_entry_body *text, struct vf_why *why);
VF_MUST_USE enum vf_err vf_log_put_own(struct vf_log *log, const struct vf_entry *entry, const uint8_t seal_key[32],
                                       struct vf_why *why);
/* recover and gap entries that are due before anything else. */
VF_MUST_USE enum vf_err vf_log_put_due(struct vf_log *log, struct vf_why *why);

/* log_commit.c. The batch becomes durable, or nothing of it counts. `first`: its first seq. */
VF_MUST_USE enum vf_err vf_log_commit_batch(struct vf_log *log, const char *data, size_t len, uint64_t first,
                                            struct vf_why *why);
/* Is the folder at the path the one we know, and writable? Follows one that was put back. */
VF_MUST_USE enum vf_err vf_log_folder_check(struct vf_log *log, struct vf_why *why);

/* log_seal.c. */
void vf_log_seal_begin(struct vf_log *log);   /* a new key in secret->next */
void vf_log_seal_abandon(struct vf_log *log); /* its entry did not become durable: forget it */
/* The seal entry is durable and in the tree: steps SLOT, CHECKPOINT, WIPE, as far as they go. */
VF_MUST_USE enum vf_err vf_log_seal_finish(struct vf_log *log, struct vf_why *why);
/* Write log->record at cp_at of `checkpoints` unless it is there already; durable. */
VF_MUST_USE enum vf_err vf_log_record_write(struct vf_log *log, uint64_t cp_at, struct vf_why *why);

/* log_lock.c. Opens and locks `dirfd`/lock; VF_E_BUSY names the pid. */
VF_MUST_USE enum vf_err vf_log_lock(int dirfd, const char *dir, int *ret_fd, struct vf_why *why);

/* log_thread.c. */
void *vf_log_thread(void *arg);
/* mu held. Write what the queue holds, if nobody does and nothing else is due; false: it is left to who writes now, or to the thread. */
bool vf_log_lead(struct vf_log *log);
/* mu held. Sleep until the batch with the entry `seq`, which is not durable, is done. */
void vf_log_batch_wait(struct vf_log *log, uint64_t seq);
/* recover.c: bring the folder into a state to go on from; fills the writer's fields. */
VF_MUST_USE enum vf_err vf_log_recover(struct vf_log *log, struct vf_why *why);

#endif
