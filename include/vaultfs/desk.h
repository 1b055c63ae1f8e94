/* SPDX-License-Identifier: MIT */
/*
 * desk: the key desk of a force. Its one-time keys, its messages, the desk itself (store and release), its server, the station's client.
 *
 * The secret halves of a batch of prekeys are fixed slots of 512 bytes (one sector) in one file that is written once, at its full size, and
 * then only overwritten in place (docs/format.md). They are never in a database: LMDB is copy-on-write, and what was deleted there stays
 * on the disk. What destroys a key records that durably elsewhere first (the tombstone), so that a crash between the two is made good
 * at the next start.
 */
#ifndef VAULTFS_DESK_H
#define VAULTFS_DESK_H

#include <stdatomic.h>
#include <vaultfs/base.h>
#include <vaultfs/crypto.h>
#include <vaultfs/station.h>

enum vf_prekey_state {
    VF_PREKEY_LIVE,
    VF_PREKEY_DESTROYED,
    VF_PREKEY_DAMAGED /* a write of it was torn, or somebody else's hand: it opens nothing, and is to be destroyed */
};
enum vf_prekey_end { VF_PREKEY_ENDED = 1, VF_PREKEY_REVOKED = 2, VF_PREKEY_LAST_DAY = 3 };
VF_PUBLIC const char *vf_prekey_end_text(enum vf_prekey_end why); /* "its grant ended", … */

struct vf_prekey_slot {
    enum vf_prekey_state state;
    enum vf_prekey_end end; /* of a destroyed one */
    int64_t end_us;
};

/*
 * Make the file `path` with count new pairs, 0600, durable, and put the public halves into batch->keys (count of them, the caller's). The
 * batch's other members are set. The secret halves are in the file alone, each wrapped under `key`. VF_E_EXISTS, VF_E_DISK_FULL.
 */
VF_PUBLIC VF_MUST_USE enum vf_err vf_prekeys_create(const char *path, const struct vf_prekey_store_key *key,
                                                    const struct vf_prekey_batch *batch, struct vf_why *why);

/* One batch's file, open for reading and overwriting. One user at a time (the desk's store has the lock). */
struct vf_prekeys;
/* Strict: type, version, sizes, and that the file is of this store. VF_E_FORMAT, VF_E_VERSION, VF_E_DAMAGED, VF_E_REFUSED (another store's). */
VF_PUBLIC VF_MUST_USE enum vf_err vf_prekeys_open(const char *path, const uint8_t store[VF_PREKEY_STORE_LEN],
                                                  struct vf_prekeys **ret, struct vf_why *why);
VF_PUBLIC void vf_prekeys_close(struct vf_prekeys *p);
VF_PUBLIC void vf_prekeys_cleanup(struct vf_prekeys **p);
#define VF_PREKEYS VF_CLEANUP(vf_prekeys_cleanup) struct vf_prekeys *
VF_PUBLIC uint32_t vf_prekeys_batch(const struct vf_prekeys *p);
VF_PUBLIC uint32_t vf_prekeys_count(const struct vf_prekeys *p);
VF_PUBLIC int64_t vf_prekeys_last_us(const struct vf_prekeys *p);

/* What stands in slot `number`. VF_E_NOT_FOUND: there is no such number. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_prekeys_slot(struct vf_prekeys *p, uint32_t number, struct vf_prekey_slot *ret,
                                                  struct vf_why *why);
/*
 * The pair of slot `number`, into the arena. VF_E_EXPIRED: destroyed (`why` says when and what for); VF_E_DAMAGED: it does not open; VF_E_NOT_FOUND.
 * *ret is zero after a failure.
 */
VF_PUBLIC VF_MUST_USE enum vf_err vf_prekeys_get(struct vf_prekeys *p, const struct vf_prekey_store_key *key,
                                                 uint32_t number, struct vf_prekey *ret, struct vf_why *why);
/*
 * Overwrite slot `number`, whatever stands there, and make that durable. The first reason and time stay when it was destroyed before, but it is
 * written again all the same: who calls this after a crash cannot know whether the disk has it. Record the tombstone first.
 */
VF_PUBLIC VF_MUST_USE enum vf_err vf_prekeys_destroy(struct vf_prekeys *p, uint32_t number, enum vf_prekey_end end,
                                                     int64_t now_us, struct vf_why *why);
/* All slots of the batch; one flush. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_prekeys_destroy_all(struct vf_prekeys *p, enum vf_prekey_end end, int64_t now_us,
                                                         struct vf_why *why);

/* ----------------------------------------------------------------------------------------------------------------- messages */

/*
 * One exchange (docs/protocol.md): the station asks for shares, and shows its log up to its present end; the desk answers. A request is signed
 * by the device and sealed to the desk's identity; an answer is signed by the desk, names the request by its hash and is sealed to a key
 * that was made for this request. Encoder and strict decoder; nothing is looked up here.
 */
#define VF_REQUEST_MAX       (32 * 1024 * 1024) /* sealed; more log than fits is sent in several requests without wants */
#define VF_REQUEST_WANTS_MAX 64
#define VF_ANSWER_MAX        (4 * 1024 * 1024)
#define VF_ANSWER_SHARES_MAX 65536
#define VF_ANSWER_TEXTS      16384  /* of the text of all records, in one answer; by hand as many as it holds */
#define VF_DESK_ALL_MAX      131072 /* records whose text can be had at once: 4 MiB of locked memory at the station */

struct vf_want {
    struct vf_ref ref;
    enum vf_part part;
};
struct vf_request {
    struct vf_vault_id vault;
    struct vf_hash desk; /* its fingerprint: whom the device means, whoever the box is for; set by make */
    struct vf_hash enrolment;
    struct vf_grant_id grant;
    struct vf_hash grant_text;
    uint8_t nonce[VF_HASH_LEN];
    struct vf_answer_pub answer_to;
    uint64_t log_from, log_size; /* entries log_from to log_size - 1 are in it; none when equal */
    uint64_t log_end;            /* so many sealed entries the station has, in it or not; log_size or more */
    int64_t log_end_us;          /* the time of the last of them: an old request is told from a log that was cut */
    bool all_text;               /* the text part of every record of the grant, */
    uint32_t text_from;          /* from this one on, in the order of their refs: as many as the answer holds */
    size_t nwants;
    struct vf_want wants[VF_REQUEST_WANTS_MAX];
    /* Empty unless the desk asked for them (VF_ANSWER_UNKNOWN). */
    struct vf_slice grant_note, manifest, enrol;
    struct vf_slice checkpoints, entries; /* as in a log's files: the new ones */
    struct vf_slice receipt; /* the newest of this desk that the station has, or empty: a desk set back notices */
    struct vf_hash hash;     /* of the body and its signature: what the answer names; set by seal and open */
};
/* The sealed request, appended to `out`; req->hash is set. `device` is the enrolment's. VF_E_LIMIT: too much log for one request. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_request_make(struct vf_request *req, const struct vf_identity *device,
                                                  const struct vf_identity_pub *desk, struct vf_buf *out,
                                                  struct vf_why *why);
/*
 * Open and parse. *ret points into `plain` (initialised here). Who signed it is not checked yet: whose enrolment it is is known only now.
 * VF_E_DAMAGED: not sealed to this desk; VF_E_REFUSED: sealed to it, and made for another one; VF_E_VERSION, VF_E_FORMAT.
 */
VF_PUBLIC VF_MUST_USE enum vf_err vf_request_open(const struct vf_identity *desk, const uint8_t *sealed, size_t len,
                                                  struct vf_buf *plain, struct vf_request *ret, struct vf_why *why);
/* VF_E_FORGED when `device` did not sign what vf_request_open opened into `plain`. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_request_signed(const struct vf_buf *plain, const struct vf_identity_pub *device,
                                                    struct vf_why *why);

#define VF_ANSWERS(X)                                                                                \
    X(OK, "ok")           /* shares for the wants that budget and rate allow; receipt */             \
    X(UNKNOWN, "unknown") /* send grant, manifest and enrolment too */                               \
    X(BEHIND, "behind")   /* the desk has log_size entries: send from there, and more than it has */ \
    X(FORKED, "forked")   /* the log does not extend what was handed in before */                    \
    X(NOT_YET, "not-yet")                                                                            \
    X(ENDED, "ended")                                                                                \
    X(REVOKED, "revoked")                                                                            \
    X(BUDGET, "budget")                                                                              \
    X(RATE, "rate")                                                                                  \
    X(REFUSED, "refused") /* signatures, policy, enrolment: the text says what */                    \
    X(UNREADY, "unready") /* the desk's clock or store wants confirming, or its disk is full */
enum vf_answer_status {
#define VF_ANSWER_ENUM_(code, text) VF_ANSWER_##code,
    VF_ANSWERS(VF_ANSWER_ENUM_)
#undef VF_ANSWER_ENUM_
        VF_ANSWER_COUNT
};
VF_PUBLIC const char *vf_answer_text(enum vf_answer_status status);

struct vf_share { /* as it stands in the answer: 41 bytes */
    struct vf_ref ref;
    enum vf_part part;
    struct vf_release_share share;
};
_Static_assert(sizeof(struct vf_share) == VF_REF_LEN + 1 + VF_KEY_LEN, "no padding in it");
struct vf_answer {
    struct vf_hash request; /* its hash */
    enum vf_answer_status status;
    int64_t time_us;   /* the desk's: trusted time; 0: its clock is in doubt */
    int64_t lease_us;  /* how long the shares may be kept, from the moment of sending; 0 without shares */
    uint64_t log_size; /* entries of this log that the desk has now */
    char text[256];    /* for people; printable, may be empty */
    struct vf_slice receipt;
    const struct vf_share *shares; /* in the arena */
    size_t nshares;
};
/* The sealed answer, appended to `out`. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_answer_make(const struct vf_answer *answer, const struct vf_identity *desk,
                                                 const struct vf_answer_pub *to, struct vf_buf *out, struct vf_why *why);
/*
 * Open, check the signature of `desk` and that it answers `request`, parse. The shares come in one block of the arena (*ret_shares, NULL when there
 * are none), the caller's to free with vf_secret_free; ret->shares points to it, ret->receipt into `rest`, which is initialised here and holds
 * no secret. VF_E_DAMAGED: not sealed to this key; VF_E_FORGED: another's signature, or the answer to another request; VF_E_VERSION, VF_E_FORMAT;
 * VF_E_LOCKED_MEMORY.
 */
VF_PUBLIC VF_MUST_USE enum vf_err vf_answer_open(const struct vf_answer_key *key, const struct vf_identity_pub *desk,
                                                 const struct vf_hash *request, const uint8_t *sealed, size_t len,
                                                 struct vf_buf *rest, struct vf_answer *ret, struct vf_share **ret_shares,
                                                 struct vf_why *why);

/* --------------------------------------------------------------------------------------------------------------- the desk */

/*
 * STORE/            0700
 *   db/             LMDB: policy, grants, enrolments, revocations, tombstones, what was released (docs/format.md); no secret at all
 *   prekeys/N       one file a batch (above)
 *   log/, seal      the desk's own log
 *   devices/FINGERPRINT/log   the copy of each enrolment's log
 *   control         socket, while it is served
 *
 * The order of an answer (docs/protocol.md): (1) open the request; its device signed it, (2) the grant: k of n, policy, window, revocation,
 * enrolment, clock; (3) the station's log extends what is here, and is longer: durable; (4) budget and rate; (5) the release entry,
 * durable; (6) shares; (7) the receipt; (8) the answer. A failure at any step: no share. What was released is counted from the desk's own
 * log (vf_log_since); the database only saves reading it again.
 *
 * One process has a store open for SERVE (the lock of its log); several threads may call what is marked thread-safe.
 */
struct vf_desk;

struct vf_desk_options {
    uint32_t prekeys; /* of the first batch; 0: 1,000 */
    int64_t last_us;  /* its last day; 0: 62 days from now */
    bool cow_ok;      /* a copy-on-write filesystem is not refused (what was destroyed may stay on the disk) */
};
/* Make STORE, all or nothing; the signed public halves of the first batch go to `prekeys`. VF_E_EXISTS, VF_E_UNSUPPORTED (copy-on-write, network). */
VF_PUBLIC VF_MUST_USE enum vf_err vf_desk_create(const char *path, const struct vf_identity *desk,
                                                 const struct vf_desk_options *opt, struct vf_buf *prekeys,
                                                 struct vf_why *why);
enum vf_desk_mode {
    VF_DESK_STATUS, /* reads only, beside a server too; no key needed */
    VF_DESK_SERVE   /* log lock held: receive, answer, destroy */
};
/*
 * `desk`: borrowed until close; NULL with STATUS. SERVE recovers: what the own log says of releases, tombstones whose slots are not
 * overwritten yet, what ended while nobody served. VF_E_BUSY: another process serves it; VF_E_REFUSED: another desk's store.
 */
VF_PUBLIC VF_MUST_USE enum vf_err vf_desk_open(const char *path, enum vf_desk_mode mode, const struct vf_identity *desk,
                                               struct vf_desk **ret, struct vf_why *why);
VF_PUBLIC enum vf_err vf_desk_close(struct vf_desk *d, struct vf_why *why);
VF_PUBLIC void vf_desk_cleanup(struct vf_desk **d);
#define VF_DESK VF_CLEANUP(vf_desk_cleanup) struct vf_desk *

/*
 * Policies (the first pins the force), enrolments, grants, revocations, handed-in logs; SERVE; thread-safe. As vf_station_receive: each is
 * checked whole before it counts, is idempotent, a bad one stops none of the others. VF_OK, VF_E_PARTIAL, or the one error.
 */
VF_PUBLIC VF_MUST_USE enum vf_err vf_desk_receive(struct vf_desk *d, const struct vf_receive_file *files, size_t n,
                                                  void (*told)(void *user, const struct vf_received *one), void *user,
                                                  struct vf_why *why);
/* What an answer was about, for the server's own log; no secret, nothing that was not checked (empty until then). */
struct vf_desk_outcome {
    enum vf_answer_status status;
    char device[VF_NAME_MAX + 1], job[VF_JOB_MAX + 1];
    struct vf_grant_id grant; /* zero: unknown */
    uint64_t entries;         /* of the station's log, new ones */
    uint64_t shares, fresh;   /* in the answer; of them released for the first time */
};
/*
 * Answer one sealed request, appended to `out`, whatever its status. `lease_us`: 0 for 15 minutes; 1 to 60 minutes by HTTP, up to the end of the grant
 * when `by_hand`. SERVE; thread-safe, and waits for the disk outside its locks. Without an answer: VF_E_DAMAGED, VF_E_FORMAT, VF_E_VERSION,
 * VF_E_REFUSED (made for another desk), VF_E_FORGED (not signed by the device that it names): the sender learns nothing. Wants are served in their order while budget and rate last; what was released before
 * always is. While the clock is in doubt: no share, and no time in the answer.
 */
#define VF_DESK_LEASE_US     (15 * 60 * VF_SECOND_US)
#define VF_DESK_LEASE_MIN_US (60 * VF_SECOND_US)
#define VF_DESK_LEASE_MAX_US (3600 * VF_SECOND_US)
#define VF_DESK_RATE         1000 /* new images an hour a device */
VF_PUBLIC VF_MUST_USE enum vf_err vf_desk_answer(struct vf_desk *d, const void *request, size_t len, int64_t lease_us,
                                                 bool by_hand, struct vf_buf *out, struct vf_desk_outcome *ret,
                                                 struct vf_why *why);
/* Once a second while it is served: ends and last days (tombstone, overwrite, entry), the clock's watch. SERVE; thread-safe. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_desk_tick(struct vf_desk *d, struct vf_why *why);
/* One more batch. SERVE; thread-safe. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_desk_prekeys_add(struct vf_desk *d, uint32_t count, int64_t last_us, struct vf_buf *out,
                                                      struct vf_why *why);
/* A person says that clock and store are right. SERVE; thread-safe. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_desk_confirm(struct vf_desk *d, struct vf_why *why);

struct vf_desk_status {
    bool ready;
    char unready[256]; /* why not, and what to do */
    uint32_t policy;   /* version that rules; 0: none yet */
    char force_name[121];
    uint64_t log_size;
    int64_t last_us; /* of its newest entry */
    uint64_t prekeys_live, prekeys_destroyed, prekeys_damaged;
    uint64_t grants_live, grants_ended, grants_revoked, devices;
};
VF_PUBLIC VF_MUST_USE enum vf_err vf_desk_status_get(struct vf_desk *d, struct vf_desk_status *ret, struct vf_why *why);
struct vf_desk_grant_item {
    struct vf_grant grant;
    bool revoked, ended, destroyed; /* destroyed: its one-time key is gone */
    uint64_t released[VF_PART_COUNT];
};
VF_PUBLIC VF_MUST_USE enum vf_err vf_desk_grant_each(struct vf_desk *d,
                                                     enum vf_err (*each)(void *user, const struct vf_desk_grant_item *item,
                                                                         struct vf_why *why),
                                                     void *user, struct vf_why *why);
struct vf_desk_device_item {
    struct vf_enrol enrol;
    bool revoked;
    uint64_t log_size; /* entries in its copy */
    int64_t log_us;    /* up to when it speaks */
    bool alarm;        /* its log forked, shrank or failed */
};
VF_PUBLIC VF_MUST_USE enum vf_err vf_desk_device_each(struct vf_desk *d,
                                                      enum vf_err (*each)(void *user, const struct vf_desk_device_item *item,
                                                                          struct vf_why *why),
                                                      void *user, struct vf_why *why);

/* ------------------------------------------------------------------------------------------------------------------- server */

/*
 * HTTP on an address, a unix socket or what systemd hands over: POST /v1/release (a sealed request in, a sealed answer out), GET /healthz,
 * GET /metrics (Prometheus text; on `metrics` if given, else on loopback and unix sockets only). And on STORE/control, for the same user: what
 * `keytool desk` does beside it. Returns when *stop is written to (signals), gracefully: no new request, those inside are answered.
 */
struct vf_desk_server_options {
    const char *store; /* the desk's folder */
    const char
        *listen; /* "ADDR:PORT", "[ADDR]:PORT", "unix:PATH"; NULL: systemd's sockets (one named "metrics" is for figures) */
    const char *metrics;  /* likewise, or NULL */
    unsigned threads;     /* that answer; 0: 16 */
    unsigned connections; /* 0: 512 */
    unsigned per_address; /* connections of one address; 0: 32, and no limit for loopback and unix sockets (a proxy) */
    size_t budget;        /* bytes of large requests and answers in memory; 0: 256 MiB */
    int stop_fd;          /* readable: stop */
    void (*ready)(void *user, const char *where);
    /*
     * Structured log: one line of key=value, no field value, no secret. On a thread of its own: while it blocks, it stops nobody, and lines that the
     * queue (1,024) has no room for are lost, and counted. If it is stuck at the end, it is left behind with `user`.
     */
    void (*line)(void *user, const char *text);
    void *user;
};
VF_PUBLIC VF_MUST_USE enum vf_err vf_desk_serve(struct vf_desk *d, const struct vf_desk_server_options *opt,
                                                struct vf_why *why);
/* What a desk tells of itself, as one JSON document (vaultfs-keytool-desk-status(1)). Any mode. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_desk_status_put(struct vf_desk *d, bool served, struct vf_buf *json,
                                                     struct vf_why *why);
/*
 * keytool's side of STORE/control. VF_E_NOT_FOUND: nobody serves it. `what`: "status"; "clock"; "prekeys?count=N&last=MICROSECONDS"; with a file, which
 * is sent as it is: "receive", "answer?lease=MICROSECONDS". `out`: the document, the new batch, what was told of the file
 * (vf_received_read), the answer. Else the server's own error.
 */
/* Of "answer": the outcome stands before the answer, and is taken off. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_desk_outcome_take(struct vf_buf *answer, struct vf_desk_outcome *ret,
                                                       struct vf_why *why);
VF_PUBLIC VF_MUST_USE enum vf_err vf_desk_control(const char *store, const char *what, const struct vf_receive_file *file,
                                                  struct vf_buf *out, struct vf_why *why);

/* ------------------------------------------------------------------------------------------------------------------- client */

/*
 * The station's side: gets shares from the desk and puts them into the job (vf_job_shares_put), hands the log in on the way, takes receipts and the desk's
 * time. One exchange at a time; what is wanted meanwhile goes into the next one. Thread-safe.
 */
struct vf_desk_client;
struct vf_desk_client_options {
    struct vf_station *station;                 /* in MOUNT mode; outlives the client */
    const char *request_path, *answer_path;     /* by files, no network; both or neither */
    void (*tell)(void *user, const char *text); /* for the system's log; on the client's thread */
    void *user;
};
#define VF_DESK_WAIT_US    (5 * VF_SECOND_US) /* an open waits at most; and then nobody asks again for so long */
#define VF_DESK_CONNECT_US (3 * VF_SECOND_US)
VF_PUBLIC VF_MUST_USE enum vf_err vf_desk_client_new(const struct vf_desk_client_options *opt, struct vf_desk_client **ret,
                                                     struct vf_why *why);
/* Whoever waits is sent away, and so is everybody who comes: VF_E_NO_SHARE. Returns at once. */
VF_PUBLIC void vf_desk_client_stop(struct vf_desk_client *c);
/* Whoever waits for a job that may not be opened any more goes on, and so does whoever is to wait no longer. */
VF_PUBLIC void vf_desk_client_nudge(struct vf_desk_client *c);
VF_PUBLIC void vf_desk_client_free(struct vf_desk_client *c); /* waits for no network */
/*
 * Wait until the share of record `index`, `part` is in the job, at most `wait_us` (VF_DESK_WAIT_US for an open); `ahead`: records behind it to ask for in the
 * same breath; `over` (or NULL): once it is set, and vf_desk_client_nudge was called, this one is sent away. VF_OK; VF_E_NO_SHARE (away or refusing), VF_E_BUDGET (rate too), VF_E_EXPIRED, VF_E_REVOKED, VF_E_NOT_YET; VF_E_DISK_FULL: the station's
 * log cannot be written. After a failure nobody asks again for VF_DESK_WAIT_US: the same answer, at once. What is new is not asked for again at all
 * once the budget of the grant is used up, and for a minute when the images of an hour are.
 */
VF_PUBLIC VF_MUST_USE enum vf_err vf_desk_client_get(struct vf_desk_client *c, struct vf_job *job, uint32_t index,
                                                     enum vf_part part, const uint32_t *ahead, size_t nahead,
                                                     int64_t wait_us, const atomic_bool *over, struct vf_why *why);
/* The text shares of all records. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_desk_client_get_all(struct vf_desk_client *c, struct vf_job *job, int64_t wait_us,
                                                         const atomic_bool *over, struct vf_why *why);
/* Can there be such a thing? The budget covers every record, and an answer holds them. */
VF_PUBLIC bool vf_desk_client_all(const struct vf_job *job);
struct vf_desk_client_status {
    bool by_files;
    int64_t reached_boot_us; /* when the desk answered last, by the boot clock; 0: never */
    bool away;               /* the last attempt found no desk */
    uint64_t exchanges, failures;
    char text[256]; /* what was wrong at the last attempt; empty: nothing */
};
VF_PUBLIC void vf_desk_client_status_get(struct vf_desk_client *c, struct vf_desk_client_status *ret);

#endif
