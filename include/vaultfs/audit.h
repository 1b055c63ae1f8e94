/* SPDX-License-Identifier: MIT */
/*
 * audit: the log. Entries, writer with group commit, seal chain, checkpoints, recovery, hand-in files, verification.
 *
 * A log is a folder (docs/format.md):
 *   origin                                 signed note: origin line, kind, owner, first seal key; its SHA-256 is the log id
 *   entries-NNNNNNNNNNNNNNNNNNNN.jsonl     segments of at most 64 MiB, named by the seq of their first line; one JSON object a line.
 *                                          What a segment holds at or beyond the next segment's first seq is void (a tail that was
 *                                          not durable when the disk failed, and was written anew).
 *   checkpoints                            C2SP tlog-checkpoint notes, one after the other, each followed by an empty line
 *   lock                                   one writer (OFD lock)
 *   handed-in                              only in copies made by vf_handin_store: what lies beyond the last checkpoint does not count
 * and, outside it and never sent, a slot file `seal`: the current seal secret, with the tree's right edge and the byte position of the
 * last checkpoint, so that opening costs no more than the unsealed tail.
 *
 * Order of sealing: (1) new seal key; (2) append the seal entry that names it; (3) make that durable; (4) write the new secret with the
 * tree's state to the other slot, durable; (5) sign the checkpoint that covers the seal entry with the old secret, append, durable;
 * (6) wipe the old slot. Nothing is appended between (2) and (5), so every seal entry is the last one that its checkpoint covers, or is
 * followed by a recover entry. docs/format.md says what each crash leaves behind and why no key ever signs twice.
 */
#ifndef VAULTFS_AUDIT_H
#define VAULTFS_AUDIT_H

#include <vaultfs/base.h>
#include <vaultfs/crypto.h>
#include <vaultfs/record.h>

/* ------------------------------------------------------------------------------------------------------------------ entries */

#define VF_EVENTS(X)                  \
    X(MOUNT, "mount", NONE)           \
    X(OPEN, "open", DISCLOSURE)       \
    X(DENY, "deny", NONE)             \
    X(REPEAT, "repeat", DISCLOSURE)   \
    X(EXPIRE, "expire", NONE)         \
    X(REVOKE, "revoke", NONE)         \
    X(RELEASE, "release", DISCLOSURE) \
    X(REFUSE, "refuse", NONE)         \
    X(RECEIVE, "receive", NONE)       \
    X(UNMOUNT, "unmount", NONE)       \
    X(CLOCK, "clock", NONE)           \
    X(SEAL, "seal", NONE)             \
    X(RECOVER, "recover", NONE)       \
    X(GAP, "gap", NONE)               \
    X(IMPORT, "import", COLLECTION)   \
    X(CHANGE, "change", ALTERATION)   \
    X(VIEW, "view", CONSULTATION)     \
    X(GRANT, "grant", NONE)           \
    X(SIGN, "sign", NONE)             \
    X(EXPORT, "export", DISCLOSURE)   \
    X(ERASE, "erase", ERASURE)        \
    X(POLICY, "policy", NONE)         \
    X(REKEY, "rekey", ALTERATION)     \
    X(HANDIN, "handin", NONE)         \
    X(TIME, "time", NONE)

enum vf_event {
#define VF_EVENT_ENUM_(code, name, category) VF_EVENT_##code,
    VF_EVENTS(VF_EVENT_ENUM_)
#undef VF_EVENT_ENUM_
        VF_EVENT_COUNT
};
/* DPA 2018 s.62 words; NONE is left out of the entry. */
enum vf_category {
    VF_CATEGORY_NONE,
    VF_CATEGORY_COLLECTION,
    VF_CATEGORY_ALTERATION,
    VF_CATEGORY_CONSULTATION,
    VF_CATEGORY_DISCLOSURE,
    VF_CATEGORY_COMBINATION,
    VF_CATEGORY_ERASURE
};
VF_PUBLIC const char *vf_event_text(enum vf_event event);
VF_PUBLIC VF_MUST_USE bool vf_event_parse(const char *s, size_t len, enum vf_event *ret);

/*
 * What a room reports. Everything is borrowed for the call; NULL or zero means "leave it out" except where said. seq, time, nonce, host and
 * session are filled in by the writer. Strings are bounded (256 bytes are kept) and JSON-escaped. Never put a field value here. The
 * events seal, recover and gap are the writer's own.
 */
struct vf_entry {
    enum vf_event event;
    const struct vf_grant_id *grant;
    const char *job;
    const char *recipient;     /* device or admin name */
    const struct vf_ref *refs; /* with nrefs */
    size_t nrefs;              /* at most VF_ENTRY_REFS_MAX */
    const struct vf_hash *all; /* "refs":"all" with "manifest": this hash; excludes refs */
    int part;                  /* -1: none; else vf_part */
    vf_field_set fields;
    bool has_bytes;
    uint64_t bytes; /* padded size */
    bool has_caller;
    uint32_t uid;
    int32_t pid;
    const char *exe; /* "unknown" when it could not be told */
    bool has_count;
    uint64_t count;     /* of repeats, records, denials … */
    const char *object; /* hex hash or name of what was received, installed, imported: "sha256:…", "policy 3" */
    const char *result; /* "ok", or an errno name as a program saw it ("EKEYEXPIRED"), or a reason code; never NULL */
};
#define VF_ENTRY_REFS_MAX 1024
#define VF_ENTRY_LINE_MAX 24576 /* the longest that the above can come to, without the newline */

/* A parsed line: numbers and borrowed pieces of it, as they stand in the line (strings without their quotes, still escaped). */
struct vf_entry_text {
    const char *p; /* NULL: the line has no such field */
    size_t len;
};
struct vf_entry_view {
    uint64_t seq;
    int64_t time_us;
    enum vf_event event;
    const char *line;
    size_t line_len;
    struct vf_entry_text grant, job, recipient;
    struct vf_entry_text refs;     /* "REF","REF"... without the brackets; or `all` without quotes */
    struct vf_entry_text manifest; /* 64 hex digits */
    struct vf_entry_text part, fields /* as refs */, exe, object, host, session, result;
    bool all, has_bytes, has_caller, has_count;
    uint64_t bytes, count;
    uint32_t uid;
    int32_t pid;
    uint8_t seal_key[32]; /* of seal entries */
};
/* Strict: the exact form that the writer makes ({"seq":N,"time":"…","event":"…", …), any unknown event or order is VF_E_FORMAT. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_entry_parse(const char *line, size_t len, struct vf_entry_view *ret,
                                                 struct vf_why *why);

/* ------------------------------------------------------------------------------------------------------------------- writer */

enum vf_log_kind { VF_LOG_STATION, VF_LOG_VAULT, VF_LOG_DESK };

struct vf_log;

struct vf_log_options {
    /* NULL: vf_clock_wall_us. Called under the log's lock. The writer makes it never decrease; a step back of more than a second, or
     * forward of more than an hour against vf_clock_boot_us, becomes a clock entry (result "back" or "forward", count in seconds). */
    int64_t (*now_us)(void *user);
    void *user;
    bool batch;           /* commands: seal once at close only (and every 1,024 entries), not every second */
    uint64_t segment_max; /* 0: VF_LOG_SEGMENT_MAX */
};
#define VF_LOG_SEAL_INTERVAL_US \
    VF_SECOND_US /* at most; sealing starts early enough to be done by then on a disk that is not stuck */
#define VF_LOG_SEAL_ENTRIES 1024
#define VF_LOG_SEGMENT_MAX  (64u * 1024 * 1024)

/*
 * Make the folder `dir` and the slot file `seal_path`, origin signed by `signer` (the device, desk or admin). `restored_from`: a checkpoint
 * note, or its text alone, that this log follows (a restored vault), or NULL. *ret_id (may be NULL): the log id. The origin is written
 * last: what a crash leaves without it is no log (make it in a folder that is renamed into place).
 */
VF_PUBLIC VF_MUST_USE enum vf_err vf_log_create(const char *dir, const char *seal_path, enum vf_log_kind kind,
                                                const struct vf_identity *signer, const char *restored_from,
                                                struct vf_hash *ret_id, struct vf_why *why);
/*
 * Open for writing: lock (VF_E_BUSY names the pid), recover (cut a torn tail, decide between the two seal slots, say so with a recover
 * entry), start the writer thread. VF_E_DAMAGED when the stored state contradicts itself: seal and log are not of the same moment (one
 * was restored), sealed entries or checkpoints are missing. After daemonising.
 */
VF_PUBLIC VF_MUST_USE enum vf_err vf_log_open(const char *dir, const char *seal_path, const struct vf_log_options *opt,
                                              struct vf_log **ret, struct vf_why *why);
/*
 * Take an entry into the queue: assigns seq, time and nonce. Returns at once; durable only after vf_log_wait(seq). Thread-safe.
 * VF_E_DISK_FULL (ENOSPC for programs) whenever the log cannot be written or sealed: full, read-only, folder gone, input/output error.
 * Each call then tries again (at most every 100 ms; the thread by itself once a second) and the log recovers by itself when it can: in a
 * new segment, the failed tail written off, with a gap entry that counts the entries lost and refused. *ret_seq is a ticket for
 * vf_log_wait: the entry's seq in its low 40 bits; above them, how often entries were lost before (0 in a healthy log), because
 * a lost entry's seq is given to another one.
 */
VF_PUBLIC VF_MUST_USE enum vf_err vf_log_append(struct vf_log *log, const struct vf_entry *entry, uint64_t *ret_seq,
                                                struct vf_why *why);
/* Wait until `seq` is durable; an error when it was lost by a failed write (it never becomes durable then; nothing may be disclosed). */
VF_PUBLIC VF_MUST_USE enum vf_err vf_log_wait(struct vf_log *log, uint64_t seq, struct vf_why *why);
/*
 * Both in one, and the cheaper way where nothing else is to be done meanwhile: if nobody writes, the caller does it himself, so that no thread
 * needs to be woken (some 10 us less). vf_log_append wakes the writer thread, so that the disk works while the caller does something else.
 */
VF_PUBLIC VF_MUST_USE enum vf_err vf_log_commit(struct vf_log *log, const struct vf_entry *entry, struct vf_why *why);
/* Seal now; afterwards a checkpoint covers everything appended before the call. No-op when nothing is new. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_log_seal(struct vf_log *log, struct vf_why *why);
/* Before a hand-in: an entry that says so, then seal. So the log of a quiet station speaks up to today. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_log_seal_handin(struct vf_log *log, struct vf_why *why);
/* Seal, stop the thread, unlock, free. The log is closed even when sealing fails. NULL is fine. */
VF_PUBLIC enum vf_err vf_log_close(struct vf_log *log, struct vf_why *why);

struct vf_log_state {
    struct vf_hash id;    /* SHA-256 of the origin note */
    uint64_t size;        /* entries, durable */
    uint64_t sealed;      /* covered by the last checkpoint */
    int64_t last_time_us; /* of the last durable entry; 0: none */
    int64_t sealed_us;    /* of the last sealed one; 0: none */
    bool writable;        /* the last attempt to write or seal came through */
};
VF_PUBLIC void vf_log_state_get(struct vf_log *log, struct vf_log_state *ret);
/* The last checkpoint note (whole), appended to `out`; empty when there is none yet. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_log_checkpoint_get(struct vf_log *log, struct vf_buf *out, struct vf_why *why);
/*
 * A writer's look at its own log, from where it stopped looking before: entries of the events in `events` (bit VF_EVENT_X) behind *place,
 * in order, up to the last durable one. What lies between *place and the last checkpoint must be what that sealed: VF_E_FORGED
 * otherwise, also when the log is shorter than *place, and then what was told is void. On success *place is moved to that checkpoint.
 * Whoever remembers a place authenticates it himself; all zero is the beginning. A core reads a million entries a second.
 */
struct vf_log_place {
    struct vf_tree tree;        /* of the entries before it */
    uint64_t seg_first, seg_at; /* the segment that holds the last of them, and the byte behind it there */
};
VF_PUBLIC VF_MUST_USE enum vf_err vf_log_since(struct vf_log *log, struct vf_log_place *place, uint64_t events,
                                               enum vf_err (*each)(void *user, const struct vf_entry_view *entry,
                                                                   struct vf_why *why),
                                               void *user, struct vf_why *why);
/* The root of the log's first `size` entries, sealed ones; read from the beginning. VF_E_FORGED when there are not so many. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_log_root_at(struct vf_log *log, uint64_t size, struct vf_hash *ret, struct vf_why *why);
/* Hex session id that this writer puts into its entries (32 characters + NUL). */
VF_PUBLIC const char *vf_log_session(const struct vf_log *log);

/* -------------------------------------------------------------------------------------------------------------- checkpoints */

struct vf_checkpoint {
    char origin[128]; /* NUL-terminated; a longer origin is refused */
    uint64_t size;
    struct vf_hash root;
};
/* Strict parse of a checkpoint's text (C2SP tlog-checkpoint: origin, decimal size, base64 root; extension lines allowed and ignored). */
VF_PUBLIC VF_MUST_USE enum vf_err vf_checkpoint_parse(const struct vf_note *note, struct vf_checkpoint *ret,
                                                      struct vf_why *why);
/* The text of one (three lines), appended. */
VF_PUBLIC void vf_checkpoint_put(const char *origin, uint64_t size, const struct vf_hash *root, struct vf_buf *out);
/* A receipt: the checkpoint note with one more line, the C2SP tlog-cosignature (type 0x04, timestamp, Ed25519) of `by`: the cosigning key
 * of a desk, the signing key of an admin. vf_note_cosigner_key_of gives the key to verify with. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_receipt_make(const struct vf_note *checkpoint, const struct vf_identity *by,
                                                  int64_t now_us, struct vf_buf *out, struct vf_why *why);
/* VF_E_UNSIGNED when none of keys cosigned, VF_E_FORGED when a known key's cosignature fails. *ret_time_us: the latest, if several did. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_receipt_verify(const struct vf_note *receipt, const struct vf_note_key *keys,
                                                    size_t nkeys, struct vf_checkpoint *ret, int64_t *ret_time_us,
                                                    struct vf_why *why);

/* ------------------------------------------------------------------------------------------------------- hand-in and verify */

/*
 * Write a hand-in file (flat: type, version, origin note, checkpoints, entries up to the last checkpoint; docs/format.md) to `fd` from a
 * log folder that may be in use by a writer (call vf_log_seal before). *ret_size: entries in it.
 */
VF_PUBLIC VF_MUST_USE enum vf_err vf_handin_write(const char *log_dir, int fd, uint64_t *ret_size, struct vf_why *why);

/* What an origin note says. */
struct vf_origin {
    char line[128]; /* the origin line of its checkpoints: "vaultfs.log/" and 32 hex digits */
    enum vf_log_kind kind;
    char owner[VF_NAME_MAX + 1];
    int64_t created_us;
    uint8_t seal_key[32];
    bool restored;
    struct vf_checkpoint follows; /* where the log stood that a restored one follows */
};
VF_PUBLIC VF_MUST_USE enum vf_err vf_origin_parse(const struct vf_note *note, struct vf_origin *ret, struct vf_why *why);

/*
 * What a log, folder or handed-in file, says it is, before anything of it is verified: its id and origin, whether it is a copy that counts up
 * to its last checkpoint only (a handed-in file, or a folder made by vf_handin_store), and that checkpoint's note (empty: none, or none
 * that is whole), so that another log can be held against it. Nothing of this is believed until vf_log_verify has said so.
 */
struct vf_log_peek {
    struct vf_hash id;
    struct vf_origin origin;
    bool folder, copy;
    struct vf_buf last;
    uint64_t last_size;
};
VF_PUBLIC VF_MUST_USE enum vf_err vf_log_peek(const char *path, struct vf_log_peek *ret, struct vf_why *why);
VF_PUBLIC void vf_log_peek_done(struct vf_log_peek *p);

struct vf_verify_options {
    const struct vf_note_key
        *signers; /* keys one of which must have signed the origin; NULL: not checked, and the verdict says so */
    size_t nsigners;
    const struct vf_hash *log_id;      /* expected id (from an enrolment), or NULL */
    const struct vf_note *checkpoints; /* held elsewhere: receipts or checkpoints that this log must extend */
    size_t ncheckpoints;
    /* Each well-formed entry in order on the calling thread, proven or not (see sealed): when a checkpoint that covers it has verified,
     * else at the end, behind a break from a second reading. NULL: none. Return an error to stop. VF_E_FORGED from vf_log_verify then
     * means that the file was changed between two readings: what was told is void. */
    enum vf_err (*each)(void *user, const struct vf_entry_view *entry, bool sealed, struct vf_why *why);
    void *user;
    void (*progress)(void *user, uint64_t done_bytes, uint64_t total_bytes);
    /* To follow a folder that is written to: asked whenever its end was met, sleeps a little, and false ends the reading. What becomes
     * proven meanwhile is told. Not asked once something was found to be wrong. NULL: the end is the end. */
    bool (*wait)(void *user);
};
#define VF_VERDICT_FINDINGS_MAX 32 /* the last one says so when there are more */
#define VF_VERDICT_NOTES_MAX    8
struct vf_verdict {
    bool good;
    struct vf_origin origin;
    struct vf_hash id;
    bool origin_checked;  /* signed by one of opt->signers */
    uint64_t entries;     /* well-formed lines, in their place */
    uint64_t sealed;      /* covered by a checkpoint that verified */
    uint64_t checkpoints; /* verified */
    int64_t first_us, last_us, sealed_until_us;
    uint64_t recoveries, gaps, clock_steps;      /* told by the log itself: not damage, worth a look */
    uint64_t unclosed;                           /* mounts that another session followed, and that never unmounted */
    uint64_t lost;                               /* sum of the gaps' counts */
    bool forked;                                 /* it does not contain, or cannot be shown to contain, a held checkpoint */
    uint64_t torn_bytes;                         /* an incomplete last line: the log is in use, or its writer was killed */
    struct vf_tree tree;                         /* at `sealed` */
    size_t nfindings;                            /* damage or forgery; `good` is false when there is any */
    char findings[VF_VERDICT_FINDINGS_MAX][240]; /* "entries 96 to 127: at least one is not what checkpoint 7 sealed: …" */
    size_t
        nnotes; /* no damage, but a reader should know: an unsealed tail, an incomplete last line, an origin not checked */
    char notes[VF_VERDICT_NOTES_MAX][240];
    bool mended; /* vf_handin_store_mend put it in the place of a damaged copy; the last note says so */
};
/*
 * Verify a log folder or a handed-in file, following the seal chain from the origin: every line hashed, seq without gaps, times not
 * decreasing, each checkpoint's root and signature by the key that the newest seal entry covered before names, each key used once, each held
 * checkpoint contained. VF_OK with verdict->good false and findings when the log is damaged or forged; an error only when it could
 * not be read at all. Memory bounded; 500,000 entries a second a core or more.
 */
VF_PUBLIC VF_MUST_USE enum vf_err vf_log_verify(const char *path, const struct vf_verify_options *opt,
                                                struct vf_verdict *ret, struct vf_why *why);

/*
 * Lines that hold one of `needles`, without verifying anything: to answer at once, on all cores. Only well-formed ones in segments where
 * they may stand; told in the order of the files, which a verified log's order is. Nothing of it is proven. VF_E_LIMIT: more than
 * VF_SEARCH_NEEDLES.
 */
#define VF_SEARCH_NEEDLES 4
struct vf_search_options {
    const char *needles[VF_SEARCH_NEEDLES]; /* texts as they stand in a line, such as "\"ABCDEFGH\"" */
    size_t nneedles;
    enum vf_err (*each)(void *user, const struct vf_entry_view *entry, struct vf_why *why);
    void (*progress)(void *user, uint64_t done_bytes, uint64_t total_bytes);
    void *user;
};
VF_PUBLIC VF_MUST_USE enum vf_err vf_log_search(const char *path, const struct vf_search_options *opt, struct vf_why *why);

/* That an entry stands in a log: what a C2SP tlog-proof holds (c2sp.org/tlog-proof@v1). */
struct vf_proof {
    uint64_t seq;
    uint64_t size;           /* entries that the checkpoint covers */
    struct vf_hash path[64]; /* RFC 6962 section 2.1.1, from the leaf's sibling up */
    size_t npath;
    struct vf_buf line; /* the entry, without newline: its hash is the leaf */
    struct vf_buf note; /* the checkpoint, a signed note */
    bool held;          /* it is one of opt->checkpoints; else the last of the log, and */
    uint8_t key[32];    /* the seal key that signed it, */
    bool key_by_origin; /* named by the origin, */
    uint64_t key_seq;   /* or by this entry */
};
/*
 * Verify a log and prove one of its entries, in one reading, with memory for log n hashes. Under the smallest of opt->checkpoints that
 * covers it; without any, under the last checkpoint of the log. VF_E_FORGED with the first finding when the log is not good;
 * VF_E_NOT_FOUND when there is no such entry or no checkpoint covers it; opt->each is not used. *ret_verdict is set whenever it could
 * be read. vf_proof_done frees.
 */
VF_PUBLIC VF_MUST_USE enum vf_err vf_log_prove(const char *path, const struct vf_verify_options *opt, uint64_t seq,
                                               struct vf_verdict *ret_verdict, struct vf_proof *ret, struct vf_why *why);
VF_PUBLIC void vf_proof_done(struct vf_proof *p);
/* As text, with the entry as its extra line, appended. */
VF_PUBLIC void vf_proof_put(const struct vf_proof *p, struct vf_buf *out);

/*
 * Store a handed-in file as a log folder copy `dir` (VAULT/devices/FINGERPRINT/log; its parent exists): verifies it (VF_E_FORGED with
 * the first finding in `why` when it is not good) and that it extends what `dir` holds already (VF_E_FORGED when it forks or is
 * shorter); all or nothing: the copy grows by what is new, and only the new checkpoints, written last, make it count. The same file
 * again is VF_OK. *ret (may be NULL): the verdict, set whenever the file could be read. Its last checkpoint note is put into
 * `checkpoint` (may be NULL). VF_E_BUSY while another process stores into the same folder.
 */
VF_PUBLIC VF_MUST_USE enum vf_err vf_handin_store(const char *file, const char *dir, const struct vf_verify_options *opt,
                                                  struct vf_verdict *ret, struct vf_buf *checkpoint, struct vf_why *why);

/*
 * The same where the copy may have been damaged since (bytes altered on its disk; or cut off, so that it is good, but shorter than what is
 * known of it). It is verified too; when it is not good any more and the file is, the damaged folder is put aside beside it, whole, and
 * one made of the file takes its place, in one step. But a damaged copy must not be the way to forget what was handed in: the file has to
 * contain everything that still says what that was,
 *   - what the caller remembers: so many entries, and their root,
 *   - what the copy remembers of itself (a growing copy's `verified`),
 *   - the copy's last checkpoint, unless it covers no more than the other two: then it may be what was damaged,
 * and there has to be one of these, which covers what the caller knows of; the last checkpoint alone is enough where nothing damaged stands
 * behind it. VF_E_FORGED: it does not contain one of them, or is not good itself; VF_E_DAMAGED: there is none, so that a person has to
 * decide. Then nothing was changed. What the caller remembers with its root must be in the file also when the copy is good, and when there is none.
 */
struct vf_handin_mend {
    uint64_t known; /* in: entries that were handed in before, as the caller remembers; 0: nothing */
    bool has_root;  /* in: and the root of the first `known`, */
    struct vf_hash root;
    char aside[96];  /* out: the name of the damaged folder beside `dir`; empty: the copy was good, or there was none */
    char words[240]; /* out: what is wrong with it */
};
VF_PUBLIC VF_MUST_USE enum vf_err vf_handin_store_mend(const char *file, const char *dir,
                                                       const struct vf_verify_options *opt, struct vf_handin_mend *mend,
                                                       struct vf_verdict *ret, struct vf_buf *checkpoint,
                                                       struct vf_why *why);

/* --------------------------------------------------------------------------------------------------- copies that grow (the desk) */

/*
 * A writer's sealed entries from number `from` on, as they stand in its files, and the checkpoints behind the one of `from` entries; at
 * most `max` bytes of entries, ending with a checkpoint. Both are appended. *ret_size: entries that `from` and these come to. VF_E_STALE:
 * no checkpoint of `from` entries; VF_E_LIMIT: `max` is too small for what one checkpoint covers (seldom over
 * 400 KiB; 20 MiB from a disk that cannot follow). Thread-safe. Finds its place by
 * halving, so that it costs what it returns.
 */
VF_PUBLIC VF_MUST_USE enum vf_err vf_log_tail(struct vf_log *log, uint64_t from, size_t max, struct vf_buf *checkpoints,
                                              struct vf_buf *entries, uint64_t *ret_size, struct vf_why *why);
/*
 * The copy of another's log in folder `dir`, to be extended piece by piece: made if there is none (its parent exists), locked while
 * open, the same form as vf_handin_store makes (both may be used in turn). Opening costs no more than what was added since a place
 * that is remembered in the folder, and confirmed by what stands there; else all of it is verified. `origin` is the origin note;
 * `signers` as for vf_log_verify. VF_E_FORGED: another log, or the copy is not good; VF_E_BUSY; VF_E_INPUT: a log of its own.
 */
struct vf_log_copy;
struct vf_log_copy_state {
    struct vf_origin origin;
    struct vf_hash id;
    uint64_t size; /* entries; all of them sealed */
    struct vf_hash root;
    int64_t last_us; /* of the last entry; 0: none */
};
VF_PUBLIC VF_MUST_USE enum vf_err vf_log_copy_open(const char *dir, struct vf_slice origin,
                                                   const struct vf_note_key *signers, size_t nsigners,
                                                   struct vf_log_copy **ret, struct vf_why *why);
VF_PUBLIC void vf_log_copy_close(struct vf_log_copy *c);
VF_PUBLIC void vf_log_copy_state_get(const struct vf_log_copy *c, struct vf_log_copy_state *ret);
/* The last checkpoint note, appended; empty when there is none. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_log_copy_last(struct vf_log_copy *c, struct vf_buf *out, struct vf_why *why);
/*
 * Append entries from number `from` on with their checkpoints, the last of which covers all of them: verified as vf_log_verify would,
 * before any of it is written; durable, all or nothing (a crash leaves the state before, or after; when several checkpoints were given,
 * perhaps that of one between). VF_E_STALE: `from` is not its size, or there is nothing new; VF_E_FORGED, VF_E_FORMAT: this does not
 * extend the log; VF_E_DISK_FULL. After an error the copy is as before, and open. Cost: that of the new entries and two flushes. One
 * caller at a time. `each` (may be NULL): the new entries, once durable.
 */
VF_PUBLIC VF_MUST_USE enum vf_err vf_log_copy_extend(struct vf_log_copy *c, uint64_t from, struct vf_slice checkpoints,
                                                     struct vf_slice entries,
                                                     void (*each)(void *user, const struct vf_entry_view *entry), void *user,
                                                     struct vf_why *why);

#endif
