/* SPDX-License-Identifier: MIT */
/*
 * station: the supplier's side. The folder with ciphertext, grants and log; what is received; trusted time; jobs and their values.
 *
 * STATION/          0700
 *   db/             LMDB: meta, policy, grant, value, batch, revocation (below)
 *   identity        device identity (vf_identity_encode), two-slot file
 *   clock           H and where it was taken, MACed under vf_station_key, two-slot file
 *   pin             which policy it was made for, MACed likewise
 *   known           newest policy, revocations, sure time, as the log had them up to a place in it; MACed likewise
 *   seal            seal slots of the log (never sent)
 *   log/            safe to send
 *   station.enrol   the enrolment as it was handed out
 *   mounted         while a mount runs: JSON with pid, mount point and control socket (0600)
 *
 * Tables: meta: key text -> value. policy: "chain" -> file. grant: id -> u8 state ‖ i64 received ‖ grant file. value: ref ‖ field ‖
 * generation ‖ first 8 bytes of the hash -> u64 batch ‖ sealed bytes. batch: u64 -> i64 committed (values of a batch that is not
 * here are as if absent: a bundle arrives whole or not at all). revocation: grant id or enrolment id -> note.
 *
 * The log's lock makes one writing process: a running mount, or one keytool. While a mount runs, receive and hand-in go through its
 * control socket and are done by it.
 */
#ifndef VAULTFS_STATION_H
#define VAULTFS_STATION_H

#include <vaultfs/grant.h>

#define VF_STATION_KEEP_US (14 * VF_DAY_US) /* values stay this long after the end of the last grant that needs them */

struct vf_station;

/* Make the folder (all or nothing), the device identity, the log; `policy`: a policy file in force, pinned from now on. The enrolment
 * goes to `enrol`. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_station_create(const char *path, const char *name, const void *policy,
                                                    size_t policy_len, const struct vf_passphrase *pass,
                                                    struct vf_argon2 cost, struct vf_buf *enrol, struct vf_why *why);

enum vf_station_mode {
    VF_STATION_STATUS,  /* reads only; beside a running mount too */
    VF_STATION_RECEIVE, /* log lock held; no secret opened: may receive, hand in */
    VF_STATION_MOUNT,   /* log lock held, device identity opened: clock, shares, values */
};
/* `pass` for MOUNT when the identity is locked (vf_station_locked tells). VF_E_BUSY says where it is mounted. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_station_open(const char *path, enum vf_station_mode mode,
                                                  const struct vf_passphrase *pass, struct vf_station **ret,
                                                  struct vf_why *why);
VF_PUBLIC enum vf_err vf_station_close(struct vf_station *st, struct vf_why *why);
VF_PUBLIC void vf_station_cleanup(struct vf_station **st);
#define VF_STATION VF_CLEANUP(vf_station_cleanup) struct vf_station *
VF_PUBLIC VF_MUST_USE enum vf_err vf_station_locked(const char *path, bool *ret_locked, struct vf_why *why);
VF_PUBLIC VF_MUST_USE enum vf_err vf_station_passphrase(const char *path, const struct vf_passphrase *old,
                                                        const struct vf_passphrase *pass, struct vf_argon2 cost,
                                                        struct vf_why *why);
VF_PUBLIC const struct vf_enrol *vf_station_enrol(const struct vf_station *st);
VF_PUBLIC const struct vf_policy_chain *vf_station_policy(const struct vf_station *st);
VF_PUBLIC struct vf_log *vf_station_log(struct vf_station *st); /* NULL in STATUS mode */
VF_PUBLIC const char *vf_station_path(const struct vf_station *st);
/* Structural walk in a child, every stored value's hash against some grant's manifest, grants re-verified. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_station_check(const char *path, void (*finding)(void *user, const char *line),
                                                   void *user, uint64_t *ret_findings, struct vf_why *why);

/* --------------------------------------------------------------------------------------------------------------- trusted time */

/*
 * H: highest time known. T = max(wall, H + boottime since H was saved in this boot). T decides; wall < T - 300 s is VF_E_CLOCK
 * until it catches up. H follows a forward jump only after wall and boottime have agreed for 10 minutes, never passes the latest `until`
 * known, and is what destroys. *ret_t is set with VF_OK and with VF_E_CLOCK. MOUNT mode; thread-safe, no system call but two clock
 * reads; vf_station_clock_tick (once a second or so) does the bookkeeping and saves H when it moved by a minute, and at close.
 */
VF_PUBLIC VF_MUST_USE enum vf_err vf_station_time(struct vf_station *st, int64_t *ret_t, struct vf_why *why);
VF_PUBLIC VF_MUST_USE enum vf_err vf_station_clock_tick(struct vf_station *st, struct vf_why *why);

/* ------------------------------------------------------------------------------------------------------------------- receive */

struct vf_received { /* told for each file, in the order taken */
    const char *name;
    enum vf_artefact kind;
    enum vf_err err; /* VF_OK, or why it was refused */
    bool already;    /* was here before */
    uint64_t values, bytes, not_needed;
    char text[480]; /* one line for people */
};
/*
 * Take files (open descriptors with the names to call them by): policies first, then revocations, grants, bundles, receipts. Each is
 * checked in full before anything of it counts; each is idempotent; a bad one stops none of the others. Returns VF_OK, VF_E_PARTIAL
 * when some were refused, or the one error when all were. RECEIVE and MOUNT mode; serialised inside.
 */
struct vf_receive_file {
    int fd;
    const char *name;
};
VF_PUBLIC VF_MUST_USE enum vf_err vf_station_receive(struct vf_station *st, const struct vf_receive_file *files, size_t n,
                                                     void (*told)(void *user, const struct vf_received *one),
                                                     void (*progress)(void *user, const char *name, uint64_t done,
                                                                      uint64_t total),
                                                     void *user, struct vf_why *why);
/* Drop values that no live grant needs (14 days after its end by H; at once when revoked). MOUNT mode. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_station_sweep(struct vf_station *st, uint64_t *ret_dropped, struct vf_why *why);

/* --------------------------------------------------------------------------------------------------------------------- status */

struct vf_station_grant_item {
    struct vf_grant grant;
    bool revoked, superseded;
    bool verified; /* enough admins of the policy that rules now have signed it; else a mount does not show it */
    uint64_t values_present, values_named;
};
VF_PUBLIC VF_MUST_USE enum vf_err vf_station_grant_each(
    struct vf_station *st, enum vf_err (*each)(void *user, const struct vf_station_grant_item *item, struct vf_why *why),
    void *user, struct vf_why *why);
struct vf_station_state {
    uint64_t values, bytes;
    uint64_t log_size, log_sealed, log_received; /* entries; covered by a checkpoint; covered by a receipt */
    int64_t receipt_us;
};
VF_PUBLIC VF_MUST_USE enum vf_err vf_station_state_get(struct vf_station *st, struct vf_station_state *ret,
                                                       struct vf_why *why);

/* ----------------------------------------------------------------------------------------------------------------------- jobs */

/*
 * A job is what a mount shows: the newest grant of that name that was received (a renewal takes the place of the grant it renews). Jobs
 * are immutable and counted by reference: a snapshot stays valid for who holds it, renewals make new ones. Keys inside are wiped when
 * the last reference goes, and at once by vf_job_forget.
 */
struct vf_job;
struct vf_job_item { /* what a directory needs, computed once */
    struct vf_ref ref;
    int64_t changed_us;
    bool photo, signature; /* named by the manifest (not absent) and here */
    bool text;             /* text is granted and every text value is here */
    bool missing;          /* some value that the manifest names has not arrived */
};
/* All jobs as they are now, by name; each with a reference for the caller. Ended and revoked ones are included until unmount. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_station_jobs(struct vf_station *st, struct vf_job ***ret, size_t *ret_n,
                                                  struct vf_why *why);
/*
 * Read all grants anew: jobs that were forgotten (vf_job_forget) are loaded again if they may be used. For a mount whose clock had been set
 * forward by mistake. The version counts up.
 */
VF_PUBLIC VF_MUST_USE enum vf_err vf_station_refresh(struct vf_station *st, struct vf_why *why);
/* Counts up with every receive that changes what jobs show; poll or compare after receive. */
VF_PUBLIC uint64_t vf_station_version(struct vf_station *st);
VF_PUBLIC struct vf_job *vf_job_ref(struct vf_job *job);
VF_PUBLIC void vf_job_unref(struct vf_job *job);
VF_PUBLIC const struct vf_grant *vf_job_grant(const struct vf_job *job);
VF_PUBLIC const struct vf_grant_layout *vf_job_layout(const struct vf_job *job);
VF_PUBLIC const struct vf_catalogue *vf_job_catalogue(
    const struct vf_job *job); /* never NULL; as long as a reference is held */
VF_PUBLIC uint32_t vf_job_count(const struct vf_job *job);
VF_PUBLIC void vf_job_item_get(const struct vf_job *job, uint32_t index, struct vf_job_item *ret);
/*
 * May a value be opened now? VF_OK; VF_E_NOT_YET, VF_E_EXPIRED, VF_E_REVOKED, VF_E_CLOCK. Cheap: no lock, no system call but clocks.
 */
VF_PUBLIC VF_MUST_USE enum vf_err vf_job_may(struct vf_station *st, const struct vf_job *job, struct vf_why *why);
/*
 * Wipe the grant share of an ended job now; later opens of values give VF_E_EXPIRED. The catalogue (refs and lengths) stays until the last
 * reference goes, since listings may be at work. Waits for nobody: callers close their gate first.
 */
VF_PUBLIC void vf_job_forget(struct vf_job *job);
VF_PUBLIC bool vf_job_forgotten(struct vf_job *job);

/*
 * Budget of distinct records a part (counted in the station; survives remounts): VF_E_BUDGET when `index` is new and none is left.
 * Reprints are free. Persisted lazily: recomputed from the log's open entries at start when the last close was not clean.
 */
VF_PUBLIC VF_MUST_USE enum vf_err vf_job_budget_take(struct vf_station *st, struct vf_job *job, uint32_t index,
                                                     enum vf_part part, struct vf_why *why);
/* Would it be allowed, as far as the station knows? Of an online grant: is there any point in asking the desk? Nothing is taken. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_job_budget_check(struct vf_station *st, struct vf_job *job, uint32_t index,
                                                      enum vf_part part, struct vf_why *why);
/* The whole text part (cards.csv). */
VF_PUBLIC VF_MUST_USE enum vf_err vf_job_budget_take_all(struct vf_station *st, struct vf_job *job, enum vf_part part,
                                                         struct vf_why *why);
VF_PUBLIC uint64_t vf_job_budget_left(struct vf_station *st, const struct vf_job *job,
                                      enum vf_part part); /* UINT64_MAX: no budget */

/*
 * A reader is one thread's tools: read transaction, hasher, locked scratch for one value (VF_VALUE_MAX + padding), keys. Not shared.
 */
struct vf_value_reader;
VF_PUBLIC VF_MUST_USE enum vf_err vf_value_reader_new(struct vf_station *st, struct vf_value_reader **ret,
                                                      struct vf_why *why);
VF_PUBLIC void vf_value_reader_free(struct vf_value_reader *r);
/*
 * Open one value: manifest row (checked against what was verified when the job was loaded), stored ciphertext, its SHA-256, envelope,
 * decryption, true length against the catalogue. VF_E_DAMAGED / VF_E_FORGED (EIO for programs), VF_E_NOT_FOUND when it has not arrived.
 * *ret_plain points into the reader's scratch until the next call or vf_value_reader_wipe; the caller may write one byte after the value
 * (a text file's newline). Does not look at time, budget or log: the caller has done so.
 */
VF_PUBLIC VF_MUST_USE enum vf_err vf_value_reader_get(struct vf_value_reader *r, struct vf_job *job, uint32_t index,
                                                      unsigned field, const uint8_t **ret_plain, size_t *ret_len,
                                                      struct vf_why *why);
/* All granted text fields of one record by one envelope: texts[i] for layout->text_field[i]. */
struct vf_text_value {
    const char *text;
    size_t len;
};
VF_PUBLIC VF_MUST_USE enum vf_err vf_value_reader_texts(struct vf_value_reader *r, struct vf_job *job, uint32_t index,
                                                        struct vf_text_value ret[VF_FIELD_COUNT], struct vf_why *why);
/*
 * So many bytes at the end of the reader's scratch, up to half of it, for what is made of texts (vf_value_reader_texts leaves them alone,
 * vf_value_reader_get does not); until the reader is wiped. NULL: too many.
 */
VF_PUBLIC uint8_t *vf_value_reader_room(struct vf_value_reader *r, size_t size);
/*
 * Looking ahead: a thread that copies and hashes the ciphertext of the picture that will be opened next, if pictures are opened in the order of their
 * refs. It decrypts nothing and uses no key. Thread-safe; one for all readers. Free it after their last use. NULL: no memory or thread to spare
 * for it; nobody needs it.
 */
struct vf_value_ahead;
VF_PUBLIC struct vf_value_ahead *vf_value_ahead_new(struct vf_station *st);
VF_PUBLIC void vf_value_ahead_free(struct vf_value_ahead *a); /* NULL is fine */
/* Until it is wiped, this reader takes over what was fetched ahead, and has the next one fetched: for who opens files alone, with a processor to
 * spare. `ahead` may be NULL. */
VF_PUBLIC void vf_value_reader_look_ahead(struct vf_value_reader *r, struct vf_value_ahead *ahead);
VF_PUBLIC void vf_value_reader_wipe(struct vf_value_reader *r);
/* Padded size of a stored value as the log states it. */
VF_PUBLIC uint64_t vf_job_padded(const struct vf_job *job, uint32_t index, unsigned field);

/* ------------------------------------------------------------------------------------------------------------ release shares */

/*
 * Online grants: shares that the desk released, in the arena, until their lease ends by CLOCK_BOOTTIME; all loads of one grant have them in common. Thread-safe.
 * The value reader takes them from here: VF_E_NO_SHARE when there is none that is good now.
 */
struct vf_share_in {
    uint32_t index;
    enum vf_part part;
    struct vf_release_share share;
};
VF_PUBLIC bool vf_job_online(const struct vf_job *job);
/* VF_E_EXPIRED when the job was forgotten, VF_E_LOCKED_MEMORY; VF_E_INPUT. What is over already is not put in. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_job_shares_put(struct vf_job *job, const struct vf_share_in *shares, size_t n,
                                                    int64_t until_boot_us, struct vf_why *why);
/* How long the share is good, by the boot clock; 0: there is none. */
VF_PUBLIC int64_t vf_job_share_until(struct vf_job *job, uint32_t index, enum vf_part part);
/* How long those of the text of every record are good that has text here; 0: one is missing. */
VF_PUBLIC int64_t vf_job_text_until(struct vf_job *job);
/* A file of it is open. (Reading the value says so too.) Shares in use are renewed, others run out. */
VF_PUBLIC void vf_job_share_used(struct vf_job *job, uint32_t index, enum vf_part part);
/* Records of which a share of `part` is in use and in the last third of its lease: at most `max`; how many. */
VF_PUBLIC size_t vf_job_shares_due(struct vf_job *job, enum vf_part part, int64_t now_boot_us, uint32_t *index, size_t max);
/* Has the desk released it, lapsed or not, as far as this mount knows? With a budget: what was opened before too. To ask for it again is free. */
VF_PUBLIC bool vf_job_share_released(struct vf_job *job, uint32_t index, enum vf_part part);
struct vf_shares_state { /* of those that are good now */
    uint32_t held[VF_PART_COUNT];
    int64_t first_boot_us, last_boot_us; /* when the first and the last of them end; 0: there are none */
};
VF_PUBLIC void vf_job_shares_state_get(struct vf_job *job, struct vf_shares_state *ret);
/* Wipe those whose lease is over; how many there were. */
VF_PUBLIC size_t vf_job_shares_expire(struct vf_job *job, int64_t now_boot_us);
VF_PUBLIC size_t vf_station_shares_expire(struct vf_station *st, int64_t now_boot_us); /* of all jobs */
VF_PUBLIC void vf_job_shares_wipe(struct vf_job *job);
/* For the desk's client. MOUNT mode; borrowed. */
VF_PUBLIC const struct vf_identity *vf_station_device(const struct vf_station *st);
/* The grant file of a job as it is stored, and the enrolment as it was handed out, copied into `out`. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_job_file(struct vf_job *job, struct vf_buf *out, struct vf_why *why);
VF_PUBLIC VF_MUST_USE enum vf_err vf_station_enrol_file(struct vf_station *st, struct vf_buf *out, struct vf_why *why);
/* Who the desk is, by the policy that rules now. False: it names none. Thread-safe. */
VF_PUBLIC bool vf_station_desk(struct vf_station *st, struct vf_identity_pub *ret, char ret_url[256]);
/*
 * What a verified answer of the policy's desk says: trusted time (clock.c says how far); the grant was revoked (kept, as if the notice had come).
 */
VF_PUBLIC void vf_station_clock_desk(struct vf_station *st, int64_t time_us);
VF_PUBLIC void vf_job_revoked_by_desk(struct vf_job *job);
/*
 * The desk's receipt for the log up to `sent`, a checkpoint of ours that it was just shown; kept in the database when `store`. VF_E_FORGED: for other
 * entries; VF_E_STALE: for fewer. And the newest of the desk that is kept, appended to `out`, *ret_size entries; nothing and 0: none.
 */
VF_PUBLIC VF_MUST_USE enum vf_err vf_station_receipt_desk(struct vf_station *st, const void *data, size_t len,
                                                          const struct vf_checkpoint *sent, bool store, struct vf_why *why);
VF_PUBLIC VF_MUST_USE enum vf_err vf_station_receipt_get(struct vf_station *st, struct vf_buf *out, uint64_t *ret_size,
                                                         struct vf_why *why);

/* -------------------------------------------------------------------------------------------------------------------- control */

/*
 * Control socket of a running mount (SOCK_SEQPACKET, same uid or root by SO_PEERCRED): requests are JSON with file descriptors. The
 * server side runs in the mount; the client side in keytool and `vaultfs status`.
 */
struct vf_control_server;
struct vf_control_ops {
    void *user;
    /* Each returns a JSON document in `out`. Called on the server's thread, one at a time. */
    enum vf_err (*status)(void *user, struct vf_buf *out, struct vf_why *why);
    enum vf_err (*receive)(void *user, const struct vf_receive_file *files, size_t n,
                           void (*told)(void *, const struct vf_received *), void *told_user, struct vf_why *why);
    enum vf_err (*seal)(void *user, struct vf_why *why); /* before a hand-in */
};
VF_PUBLIC VF_MUST_USE enum vf_err vf_control_start(struct vf_station *st, const char *mountpoint,
                                                   const struct vf_control_ops *ops, struct vf_control_server **ret,
                                                   struct vf_why *why);
/* Before mounting there: will the socket stay reachable, and not lie below the mount point? VF_E_INPUT. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_control_check(const char *mountpoint, struct vf_why *why);
VF_PUBLIC void vf_control_stop(struct vf_control_server *s);
/* Is this station mounted? Fills mount point and pid; connects. VF_E_NOT_FOUND when no mount answers. */
struct vf_control;
VF_PUBLIC VF_MUST_USE enum vf_err vf_control_connect(const char *station_path, struct vf_control **ret, char *ret_mountpoint,
                                                     size_t mountpoint_size, struct vf_why *why);
/* By mount point: for `vaultfs status`. `vf_control_list` gives the mount points of this user's running mounts. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_control_connect_mount(const char *mountpoint, struct vf_control **ret,
                                                           struct vf_why *why);
VF_PUBLIC VF_MUST_USE enum vf_err vf_control_list(char ***ret, size_t *ret_n, struct vf_why *why);
VF_PUBLIC VF_MUST_USE enum vf_err vf_control_status(struct vf_control *c, struct vf_buf *json, struct vf_why *why);
VF_PUBLIC VF_MUST_USE enum vf_err vf_control_receive(struct vf_control *c, const struct vf_receive_file *files, size_t n,
                                                     void (*told)(void *user, const struct vf_received *one), void *user,
                                                     struct vf_why *why);
VF_PUBLIC VF_MUST_USE enum vf_err vf_control_seal(struct vf_control *c, struct vf_why *why);
VF_PUBLIC void vf_control_close(struct vf_control *c);
/* What was told of a file, from one process to another: as JSON, and back. */
VF_PUBLIC void vf_received_put(const struct vf_received *one, struct vf_buf *json);
VF_PUBLIC void vf_received_read(const void *json, size_t len, void (*told)(void *user, const struct vf_received *one),
                                void *user);

#endif
