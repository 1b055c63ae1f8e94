/* SPDX-License-Identifier: MIT */
/*
 * The daemon's own types. Lock order, outermost first: session.jobs_lock, slot.files_lock, gate.lock; those of deny.c,
 * repeat.c and listing.c are held by nothing but them. No lock is held across a
 * reply or a notification to the kernel: both may need another request of ours to be answered first.
 */
#ifndef VF_MOUNT_INTERNAL_H
#define VF_MOUNT_INTERNAL_H

#include "deny.h"
#include "repeat.h"

#include <fuse_lowlevel.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <vaultfs/desk.h>
#include <vaultfs/mount.h>

/* ------------------------------------------------------------------------------------------------------------- options */

struct vf_mount_options {
    char *station;
    char *mountpoint;
    bool foreground;
    char *job;             /* --job: only this one, at the root */
    char *passphrase_file; /* or NULL */
    char *passphrase_command;
    char *path_prefix; /* what photo_path in cards.csv begins with; NULL: the mount point */
    bool allow_other;
    bool cache_grant;       /* cache=grant: pages stay until the end of the grant */
    char *request, *answer; /* shares by files: absolute; NULL: from the desk's address */
    uid_t uid;
    gid_t gid;
    bool debug;
};
/* -1: go on; otherwise the exit status (help and version included). */
int vf_options_parse(int argc, char **argv, struct vf_mount_options *ret);
void vf_options_done(struct vf_mount_options *o);

/* ---------------------------------------------------------------------------------------------------------------- gate */

/*
 * Everything that gives plaintext to the kernel (READ replies, NOTIFY_STORE) happens between enter and leave. Shut, it refuses newcomers;
 * once those inside have left, what is invalidated cannot come back.
 */
struct vf_end_gate {
    pthread_mutex_t lock;
    pthread_cond_t empty;
    unsigned inside;
    bool closed;
};
void vf_end_gate_init(struct vf_end_gate *g);
void vf_end_gate_done(struct vf_end_gate *g);
bool vf_end_gate_enter(struct vf_end_gate *g);
void vf_end_gate_leave(struct vf_end_gate *g);
void vf_end_gate_shut(struct vf_end_gate *g);
/* Until nobody is inside. False: somebody still is. */
bool vf_end_gate_wait(struct vf_end_gate *g, int64_t at_most_us);
void vf_end_gate_open(struct vf_end_gate *g);

/* ---------------------------------------------------------------------------------------------------------- open files */

/*
 * Files with plaintext that the kernel may hold: by inode, how many handles, and whether the pages were stored. The first opener stores
 * while later ones of the same file wait: so no READ of that file can be outstanding, whose page locks the store would wait for.
 */
enum vf_file_state { VF_FILE_IDLE, VF_FILE_BUSY };
struct vf_open_file {
    uint64_t ino;
    unsigned handles;
    bool held;   /* the kernel may have pages of it: they were stored, or it was open and a READ may have been answered */
    bool stored; /* all of its bytes were checked and given to the kernel, and not dropped since by us */
    unsigned lapsed; /* rounds since the lease of its share ran out; 0: it has not */
    enum vf_file_state state;
    struct vf_open_file *next;
};
#define VF_FILES_BUCKETS 4096
struct vf_files {
    pthread_mutex_t lock;
    pthread_cond_t idle;
    struct vf_open_file *bucket[VF_FILES_BUCKETS];
    bool keep; /* cache=grant: entries stay after the last close */
};
void vf_files_init(struct vf_files *f, bool keep);
void vf_files_done(struct vf_files *f);
/* What an opener has to do about a file's pages. */
enum vf_pages {
    VF_PAGES_STORE, /* nobody has it open and they are not there: look up, check, store */
    VF_PAGES_THERE, /* they were checked and stored: nothing. One that the kernel has let go since comes back by READ, which checks */
    VF_PAGES_READ, /* others have it open, and storing failed: look up and check, they come by READ */
};
/* Take one handle, with VF_PAGES_STORE also the right to store; then vf_files_opened must follow. NULL: no memory. */
struct vf_open_file *vf_files_open(struct vf_files *f, uint64_t ino, enum vf_pages *ret_pages);
/* True when the pages are to be dropped now (the open failed, and it was the last handle); then vf_files_dropped must follow. */
bool vf_files_opened(struct vf_files *f, struct vf_open_file *file, bool stored, bool failed);
/* True when the pages of `ino` are to be dropped now; then vf_files_dropped must follow. */
bool vf_files_close(struct vf_files *f, uint64_t ino);
void vf_files_dropped(struct vf_files *f, uint64_t ino);
/* Every inode with handles or pages, copied, for the caller to drop its pages: none counts as stored from here on. Freed by the caller. */
uint64_t *vf_files_list(struct vf_files *f, size_t *ret_n);
/* The same with what programs have open; NULL and 0: none, or no memory. */
struct vf_file_seen {
    uint64_t ino;
    unsigned handles;
};
struct vf_file_seen *vf_files_seen(struct vf_files *f, size_t *ret_n);
/* One more round without a good share (the pages no longer count as stored), or none: how many there were, this one too. */
unsigned vf_files_lapsed(struct vf_files *f, uint64_t ino, bool lapsed);
/* In one of the rounds in which its pages are dropped? Then no READ of it waits for anything. */
#define VF_DROP_ROUNDS 3
bool vf_files_lapsing(struct vf_files *f, uint64_t ino);
/* How many times programs have them open. */
uint64_t vf_files_handles(struct vf_files *f);

/* --------------------------------------------------------------------------------------------------------------- cards */

/* Where each record's row of cards.csv is: immutable, counted. A handle keeps the one it was opened with. */
struct vf_cards {
    atomic_uint refs;
    uint32_t count;    /* records of the job */
    uint32_t rows;     /* those whose text is whole */
    uint64_t *at;      /* count+1 offsets in cards.csv; a record without row has an empty range */
    uint32_t *rows_to; /* rows before each record: each has one more byte in cards-excel.csv */
    size_t row_max;    /* longest row, with CRLF */
};
struct vf_cards *vf_cards_ref(struct vf_cards *c);
void vf_cards_unref(struct vf_cards *c);

/* --------------------------------------------------------------------------------------------------------------- slots */

/*
 * A slot is a folder of the mount: one job name with one manifest. Renewals put a new vf_job into the same slot, so that no inode
 * number changes. A slot lives until unmount: ended ones still show GRANT.txt.
 */
struct vf_walk { /* the order in which files of one part are opened */
    pthread_mutex_t lock;
    uint32_t last;
    unsigned run; /* so many in the order of their refs */
};
#define VF_AHEAD 8
enum vf_slot_state { VF_SLOT_LIVE, VF_SLOT_ENDED, VF_SLOT_REVOKED };
struct vf_slot_job {
    uint32_t number; /* 24 bits, from the hash of job name and manifest: the same after every mount */
    char name[VF_JOB_MAX + 1];
    struct vf_hash manifest;
    _Atomic(enum vf_slot_state) state;
    pthread_rwlock_t job_lock; /* guards the pointer only */
    struct vf_job *job;
    struct vf_job *before; /* of an online grant that was renewed: its leases still cover what is open. Likewise guarded */
    struct vf_end_gate gate;
    struct vf_files files;
    int64_t changed_us;     /* newest change of any record: the time of its folders */
    struct vf_cards *cards; /* guarded by job_lock, counted; NULL without text */
    struct vf_walk walk[VF_PART_COUNT];
    unsigned warned; /* bit 0: 24 h, bit 1: 1 h, bit 2: 10 min */
    bool replaced;   /* another slot has this name now: found by number only */
    bool ending;     /* the watcher's own: between the two halves of its end */
    bool shown;      /* likewise: its contents could be looked at when it looked last */
    /* listing.c */
    _Atomic uint64_t *listed; /* a bit a record: its folder was listed */
    size_t listed_words;
    atomic_uint listings_due; /* what the lister is to drop */
};

struct vf_lister { /* the thread that drops what may keep it waiting */
    pthread_mutex_t lock;
    pthread_cond_t wake, rest;
    pthread_t thread;
    bool runs, due, busy, gone;
    atomic_bool stopping;
    atomic_bool root_due;
};

struct vf_session {
    struct vf_mount_options *opt;
    struct vf_station *station;
    struct vf_log *log;
    struct fuse_session *fuse;
    char *mountpoint; /* absolute */
    pthread_rwlock_t jobs_lock;
    struct vf_slot_job **slots;
    size_t nslots;
    uint64_t jobs_version;
    /* a fixed set of readers: their scratch is locked memory */
    pthread_mutex_t readers_lock;
    pthread_cond_t readers_free;
    struct vf_value_reader **readers;
    size_t nreaders, readers_left;
    struct vf_value_ahead *ahead; /* NULL with a single processor, or where there was no room for it */
    /* watcher: ends of grants, deliveries; keeper: what may have to wait */
    pthread_t watcher, keeper, main_thread;
    bool watcher_runs, keeper_runs;
    pthread_mutex_t watch_lock;
    pthread_cond_t watch_wake;
    bool stopping;
    atomic_bool leaving;       /* a signal asked us to: nothing opens any more */
    atomic_bool refresh;       /* asked of the keeper */
    atomic_bool listings_kept; /* by the kernel: OPENDIR is refused */
    atomic_uint changes;       /* of what folders list, while mounted: part of their times (listing.c) */
    struct vf_lister lister;
    bool held_up; /* it could not be stopped */
    int held_fd;  /* then: the kernel's requests */
    bool clock_bad;
    int64_t started_us;
    int ready_fd; /* written once the kernel has greeted us */
    struct vf_deny *deny;
    struct vf_repeats *repeats;
    struct vf_desk_client *desk;
    struct vf_waits *waits;
};
#define VF_MOUNT_READERS 4
/* Longest READ, whatever a program asks for: each reader may need as much locked memory for rows of cards.csv. */
#define VF_READ_MAX 131072

/* -------------------------------------------------------------------------------------------------------------- inodes */

enum vf_kind_of_node {
    VF_NODE_JOB = 1,
    VF_NODE_GRANT_TXT,
    VF_NODE_CARDS,
    VF_NODE_CARDS_EXCEL,
    VF_NODE_PHOTOS,
    VF_NODE_SIGNATURES,
    VF_NODE_RECORDS,
    VF_NODE_RECORD,
    VF_NODE_PHOTO,
    VF_NODE_SIGNATURE,
    VF_NODE_ROOT,     /* not in a slot */
    VF_NODE_MARKER,   /* .nomedia and its like; index tells which */
    VF_NODE_TEXT = 32 /* + field: records/REF/FIELD */
};
struct vf_node {
    unsigned kind;
    uint32_t index;
    struct vf_slot_job *slot; /* NULL for root and markers */
};
#define VF_MARKERS 3
extern const char *const vf_marker_names[VF_MARKERS];

uint64_t vf_node_ino(const struct vf_slot_job *slot, unsigned kind, uint32_t index);
/* The node of an inode number, with --job's root taken for its job folder. False: ENOENT. */
bool vf_node_of(struct vf_session *s, fuse_ino_t ino, struct vf_node *ret);
/* Number in the kernel's eyes (the root is 1 when it is a job folder). */
uint64_t vf_node_number(struct vf_session *s, const struct vf_node *node);
bool vf_node_is_dir(const struct vf_node *node);
/* A child by name: 0 or an errno. */
int vf_node_child(struct vf_session *s, const struct vf_node *dir, const char *name, struct vf_node *ret);
/* Attributes; `job` is the slot's, held by the caller (NULL for root and markers). */
int vf_node_stat(struct vf_session *s, const struct vf_node *node, struct vf_job *job, struct stat *ret);
/* The part that a file with one value of a record belongs to. */
enum vf_part vf_node_part(const struct vf_node *node);
/* Granted and present? ENOENT otherwise. */
int vf_node_exists(const struct vf_node *node, struct vf_job *job);

/* --------------------------------------------------------------------------------------------------------------- rooms */

/* slots.c */
enum vf_err vf_slots_load(struct vf_session *s, struct vf_why *why);
void vf_slots_free(struct vf_session *s);
struct vf_slot_job *vf_slot_by_name(struct vf_session *s, const char *name);
struct vf_slot_job *vf_slot_by_number(struct vf_session *s, uint32_t number);
/* By place, to look at all: NULL behind the last. Slots are added at the end and stay. */
struct vf_slot_job *vf_slot_at(struct vf_session *s, size_t i);
struct vf_job *vf_slot_job_ref(struct vf_slot_job *slot); /* never NULL; unref after use */
/* NULL: there is none. With `drop`, it is not asked for again. */
struct vf_job *vf_slot_before_ref(struct vf_slot_job *slot, bool drop);
struct vf_cards *vf_slot_cards_ref(struct vf_slot_job *slot);
/* 0 when the contents of the slot may be looked at now, else the errno of the end, the revocation, the start or the clock. */
int vf_slot_may(struct vf_session *s, struct vf_slot_job *slot, struct vf_job *job, struct vf_why *why);
struct vf_value_reader *vf_reader_take(struct vf_session *s);
/* NULL: at most one is free. *ret_alone: nobody else has one. */
struct vf_value_reader *vf_reader_try(struct vf_session *s, bool *ret_alone);
void vf_reader_give(struct vf_session *s, struct vf_value_reader *r);

/* grant_txt.c: the text of GRANT.txt as it is now, appended. */
void vf_grant_txt(struct vf_session *s, struct vf_slot_job *slot, struct vf_job *job, struct vf_buf *out);

/* A moment of the boot clock as trusted time. */
int64_t vf_time_of_boot(struct vf_session *s, int64_t boot_us);

/* cards.c. The layout of a job's cards.csv; VF_OK and NULL when no text is granted. */
enum vf_err vf_cards_layout(struct vf_session *s, struct vf_job *job, struct vf_cards **ret);
uint64_t vf_cards_size(const struct vf_cards *c, bool excel);
/* Text is granted and the budget covers every record (and the key desk can release them at once). */
bool vf_cards_exist(struct vf_session *s, struct vf_job *job);
/* Put the bytes from `at` on into `out` (locked memory); *ret_len is short only at the end of the file. */
enum vf_err vf_cards_read(struct vf_session *s, struct vf_job *job, const struct vf_cards *c, struct vf_value_reader *reader,
                          bool excel, uint64_t at, uint8_t *out, size_t size, size_t *ret_len, struct vf_why *why);

/* caller.c: who asks, as the kernel says */
void vf_caller_of(const struct fuse_ctx *ctx, struct vf_caller *ret);
/* When the process began, by the boot clock, rounded down to what the kernel tells (a hundredth of a second). */
bool vf_caller_started(int32_t pid, int64_t *ret_us);

/*
 * access.c: the log's side of an access. An open is vf_access_open, then vf_access_wait before any byte goes out, then vf_access_done;
 * all inside the gate of the job, so that nothing is left to tell once that is shut and empty.
 */
struct vf_access {
    struct vf_repeat_ticket ticket;
    bool joined;  /* an entry of the last second covers it */
    bool durable; /* so does one of its own */
    uint64_t seq;
    const struct vf_node *node;
    struct vf_job *job;
    const struct vf_caller *caller;
};
/*
 * Append the entry of an open unless one of this second covers it. With `at_once` it is durable on return (sealed, if a budget is counted from it), by
 * this thread's own hand if no other writes: for who has nothing to do meanwhile that would be worth waking another thread. After success
 * vf_access_done must follow.
 */
enum vf_err vf_access_open(struct vf_session *s, const struct vf_node *node, struct vf_job *job,
                           const struct vf_caller *caller, bool at_once, struct vf_access *ret, struct vf_why *why);
/* Until that entry is durable. */
enum vf_err vf_access_wait(struct vf_session *s, struct vf_access *access, struct vf_why *why);
void vf_access_done(struct vf_session *s, const struct vf_access *access, bool served);
/* Note a refusal: an entry, or a count (deny.h). `job`: NULL where there is none. */
void vf_access_deny(struct vf_session *s, const struct vf_node *node, struct vf_job *job, const struct vf_caller *caller,
                    int err);
/* Counts that are due, or all; from the keeper and at the end. Nobody may be opening files any more for `all`. */
void vf_access_flush(struct vf_session *s, bool all);
/* The same for what was opened in one slot, when its gate is shut and empty. */
void vf_access_slot_over(struct vf_session *s, const struct vf_slot_job *slot);
enum vf_err vf_access_event(struct vf_session *s, enum vf_event event, struct vf_job *job, const char *result,
                            struct vf_why *why);
/* The same, but only put into the log's queue: waits for no disk. */
void vf_access_event_later(struct vf_session *s, enum vf_event event, struct vf_job *job, const char *result);
const char *vf_errno_name(int err);

/* read.c: OPEN, READ, RELEASE of files with contents */
void vf_op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void vf_op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void vf_op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);

struct vf_handle;
struct vf_request_op { /* an OPEN or READ of a granted file, as it is handed from one thread to another */
    struct vf_request_op *next;
    fuse_req_t req;
    fuse_ino_t ino;
    struct fuse_file_info fi;
    struct vf_node node;
    struct vf_handle *handle;
    struct vf_job *job; /* a reference */
    struct vf_caller caller;
    bool read, ahead;
    size_t size; /* of a READ */
    off_t off;
    int64_t deadline_boot_us;
    atomic_bool over; /* it is to wait no longer */
};
/* Go on with what waited for its share, or refuse it; replies, and gives back what it holds. */
void vf_request_finish(struct vf_session *s, struct vf_request_op *op, int err);
/* What a program gets at a gate that is shut. */
int vf_gate_errno(struct vf_session *s, struct vf_slot_job *slot, struct vf_job *job);

/* waits.c */
/* Can the file be opened now without asking the desk? Always so for offline grants. */
bool vf_share_here(struct vf_job *job, const struct vf_node *node);
/* Ask the desk for what `op` needs: 0 or an errno, at its deadline at the latest. */
int vf_share_get(struct vf_session *s, const struct vf_request_op *op);
/* A file of an online job is opened: is somebody walking through them? Sets op->ahead. */
void vf_share_opened(struct vf_request_op *op);
struct vf_waits *vf_waits_new(void); /* NULL: no memory */
void vf_waits_free(struct vf_waits *w);
enum vf_err vf_waits_start(struct vf_session *s, struct vf_why *why); /* the threads that look after leases */
/* 0: copied, and answered in time. Or an errno: no memory or thread, the mount is going away, or its pages are being dropped. */
int vf_waits_add(struct vf_session *s, const struct vf_request_op *op);
/* What waits for a share of this slot (NULL: of any) is answered now: it has ended, or the mount is going away. */
void vf_waits_over(struct vf_session *s, const struct vf_slot_job *slot);
/* Everything that waits is answered, and nothing waits any more. Idempotent. Join: until its threads are done. */
void vf_waits_stop(struct vf_session *s);
void vf_waits_join(struct vf_session *s);
void vf_waits_join_leases(struct vf_session *s); /* after s->stopping was set */

/* dir.c */
void vf_op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void vf_op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void vf_op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void vf_entry_fill(struct vf_session *s, const struct vf_node *node, struct vf_job *job, struct fuse_entry_param *ret);
/* How long the kernel may believe names and attributes of this node: up to the end of the grant. */
double vf_node_timeout(struct vf_session *s, const struct vf_node *node, struct vf_job *job);

/* listing.c: what the kernel keeps of listings, and the thread that drops it */
enum vf_err vf_listings_init(struct vf_slot_job *slot, uint32_t records);
void vf_listings_free(struct vf_slot_job *slot);
/* A listing of this folder may go out now: to be dropped at the end. Before it is looked whether it may. */
void vf_listing_given(const struct vf_node *dir);
/* What folders list has changed: those of the root and of all jobs, except each record's. No listing begins in the kernel without asking us. Waits for nobody. */
void vf_listings_changed(struct vf_session *s);
/* The same for one job and each record's folder, and what the kernel has is dropped. Waits for nobody. */
void vf_listings_refuse(struct vf_session *s, struct vf_slot_job *slot);
/* Asked of the lister: the listing of the job's folder; those of its folders of photos, signatures and records, and of each record listed; the names in the
 * job's folder; its own. No slot: the root's listing. */
#define VF_DROP_JOB      1u
#define VF_DROP_CONTENTS 2u
#define VF_DROP_NAMES    4u
#define VF_DROP_JOB_NAME 8u
void vf_listings_drop(struct vf_session *s, struct vf_slot_job *slot, unsigned what);
void vf_lister_init(struct vf_session *s); /* before anything may wake it */
int vf_lister_start(struct vf_session *s); /* 0 or an errno */
/* Until it has done all it was asked for, or it is over. False: a program holds it up. */
bool vf_lister_wait(struct vf_session *s, int64_t at_most_us);
/* It does no more than what it is at. False: a program holds it up; let go, it says nothing more to the kernel. */
bool vf_lister_stop(struct vf_session *s, int64_t at_most_us);

/* ops.c */
extern const struct fuse_lowlevel_ops vf_mount_ops;

/* ending.c */
/* The first half of an end: newcomers get the errno, what the kernel has is dropped. Waits for nobody. False: it had ended. */
bool vf_slot_end_begin(struct vf_session *s, struct vf_slot_job *slot, enum vf_slot_state why);
/* The second: what those inside gave is dropped, keys wiped, names dropped, the entry written. False: somebody is still inside, ask again. */
bool vf_slot_end_finish(struct vf_session *s, struct vf_slot_job *slot);
/* Before the daemon leaves with files or folders open: the kernel would go on serving them from its cache. */
void vf_slots_leave(struct vf_session *s);

/* signals.c: SIGTERM, SIGINT, SIGHUP ask the watcher to leave; a second one leaves at once */
enum vf_err vf_signals_set(struct fuse_session *fuse, struct vf_why *why);
bool vf_signals_asked(void);
void vf_signals_done(void); /* from here on a signal changes nothing: the end is under way */

/* watch.c */
void vf_watch_init(struct vf_session *s); /* before anything may wake it */
enum vf_err vf_watch_start(struct vf_session *s, struct vf_why *why);
void vf_watch_stop(struct vf_session *s);
void vf_watch_wake(struct vf_session *s);

/* linger.c: all is torn down; until the lister is let go, or a signal, what programs ask by what they have open is refused. */
void vf_linger(struct vf_session *s);

/* keeper.c: a thread of its own for what may wait for the disk or a delivery: saving the clock, counts, sweeping, reading grants anew */
void *vf_keeper_run(void *session);

/* gate.c */
void vf_timespec_add(struct timespec *t, int64_t us);

/* status.c */
extern const struct vf_control_ops vf_mount_control_ops;
int vf_status_main(int argc, char **argv);

/* leak.c: where plaintext may leave this computer without us */
void vf_leak_warn(FILE *out);

/* daemon.c: fork early, report through a pipe, detach once mounted */
int vf_daemon_fork(bool foreground, int *ret_ready_fd, bool *ret_parent);
void vf_daemon_ready(int *ready_fd, int status);
void vf_daemon_detach(void);

#endif
