/* SPDX-License-Identifier: MIT */
/*
 * audit, internal: verification.
 *
 *   verify.c         the verdict, its findings
 *   verify_chain.c   checkpoints, in step with the entries
 *   verify_more.c    what is to be added to a verified log, in memory
 *   verify_tell.c    entries to who asked for them, once it is known whether they are proven
 */
#ifndef VAULTFS_AUDIT_VERIFY_H
#define VAULTFS_AUDIT_VERIFY_H

#include "entry.h"
#include "source.h"

#define VF_SEALS_KEPT 64

/* A seal entry that no accepted checkpoint covers yet. */
struct vf_seal_seen {
    uint64_t seq;
    uint8_t pub[32];
};

/* A checkpoint held elsewhere. */
struct vf_held {
    struct vf_checkpoint c;
    size_t index; /* in the caller's list */
};

/*
 * Telling: an entry is held until a checkpoint that covers it has verified. What nothing proves is told at the end. Behind a break, and where
 * there is more without a checkpoint than can be held, entries are let go and told in a second reading.
 */
struct vf_held_entry {
    struct vf_scan_entry *e;
    uint64_t seg; /* the first seq of its segment */
};
struct vf_teller {
    const struct vf_verify_options *opt;
    struct vf_held_entry *held;
    size_t n, cap;
    uint64_t told;        /* entries: proven ones, until the end */
    uint64_t seg, seg_at; /* where the last of them stands: its segment's first seq, the byte behind it */
    struct vf_tree tree;  /* of these */
    bool later;           /* the rest in a second reading */
    bool confirmed;       /* in another try: what was told before is what stands there */
    bool finished;
    uint64_t read; /* bytes, for progress */
};

/*
 * Where a verified log stands at one of its checkpoints: all that verifying needs to go on from there. Zero is the beginning.
 */
struct vf_verify_place {
    struct vf_tree tree;
    int64_t last_us; /* time of the last entry */
    uint8_t key[32]; /* signs the next checkpoint: named by the entry key_seq, or by the origin (at the beginning) */
    uint64_t key_seq;
    uint64_t checkpoints;     /* so many */
    uint64_t cp_at, cp_end;   /* the last of them in its file */
    uint64_t seg_first;       /* the segment that holds the last entry, */
    uint64_t line_at, seg_at; /* where its line begins there, and the byte behind its newline */
    struct vf_hash leaf;      /* of that line; */
    struct vf_hash note;      /* and of the last checkpoint's note */
};

/* Proving one entry while the tree grows: its sibling at each level where the subtree that holds it is complete. */
struct vf_prover {
    uint64_t seq;
    struct vf_hash leaf, sibling[64];
    struct vf_buf *line, *note; /* the entry; the last checkpoint that was accepted */
    uint8_t key[32];            /* that signed it */
    bool key_by_origin;
    uint64_t key_seq;
};

struct vf_verifier {
    struct vf_source *src;
    struct vf_verdict *v;
    struct vf_teller *teller; /* NULL: nobody asked */
    struct vf_prover *prover; /* NULL: nobody asked */
    const struct vf_walk *walk;
    struct vf_verify_place *place; /* NULL: nobody asked. Else of the last checkpoint that was accepted, without its tree */
    uint64_t line_at, line_end;    /* where the last entry stands */
    struct vf_hash line_leaf;

    /* Entries. */
    struct vf_tree tree;
    bool broken; /* the tree is not the writer's any more */
    int64_t last_us;
    bool mounted; /* a session mounted and did not unmount, so far: this one */
    char session[VF_ENTRY_SESSION_LEN];
    bool after_seal; /* the last entry was a seal entry, and no checkpoint was met for it */

    /* Checkpoints. */
    struct vf_record_reader cps;
    bool has_cps;
    uint64_t resume_at; /* the byte of their file where they begin */
    bool have_next;     /* `next` is parsed and not passed yet */
    struct vf_note note;
    size_t note_len;
    struct vf_checkpoint next;
    uint64_t cp_no;   /* of `next`, from 1 */
    uint64_t cp_size; /* of the last one that was accepted or told */
    bool torn;        /* the file ends within one */
    struct vf_note_key key;
    bool key_by_origin;
    uint64_t key_seq; /* of the seal entry that names `key` */
    struct vf_seal_seen seals[VF_SEALS_KEPT];
    size_t nseals;
    bool chain_hurt; /* a checkpoint was told: the next may be signed by a key that it named */

    /* Held elsewhere, ascending. */
    struct vf_held *held;
    size_t nheld, held_at;

    /* For vf_handin_store: the tree and the byte behind it at one size. */
    uint64_t capture_size;
    struct vf_tree captured;
};

void vf_verifier_tell(struct vf_verifier *f, const char *fmt, ...) VF_PRINTF(2, 3);
void vf_verifier_note(struct vf_verifier *f, const char *fmt, ...) VF_PRINTF(2, 3);

/* The next entry, in its place. */
VF_MUST_USE enum vf_err vf_verifier_entry(struct vf_verifier *f, struct vf_scan_entry *e, struct vf_why *why);

/* verify_chain.c. Start behind the origin; read and check what lies at or below the entries read so far; what is left at the end. */
VF_MUST_USE enum vf_err vf_chain_start(struct vf_verifier *f, struct vf_why *why);
/* The same behind place->checkpoints checkpoints of them, at place->cp_end of their file. */
VF_MUST_USE enum vf_err vf_chain_resume(struct vf_verifier *f, const struct vf_verify_place *place, struct vf_why *why);
void vf_chain_done(struct vf_verifier *f);
VF_MUST_USE enum vf_err vf_chain_follow(struct vf_verifier *f, uint64_t expect, struct vf_why *why);
VF_MUST_USE enum vf_err vf_chain_next(struct vf_verifier *f, struct vf_why *why); /* sets have_next */
void vf_chain_seal(struct vf_verifier *f, const struct vf_entry_view *view);
void vf_chain_end(struct vf_verifier *f, uint64_t expect);

/* verify_tell.c. A new entry; what became proven; what was not by the end; what was let go. Void before a try: forget what is held. */
VF_MUST_USE enum vf_err vf_tell_take(struct vf_verifier *f, struct vf_scan_entry *e, struct vf_why *why);
VF_MUST_USE enum vf_err vf_tell_proven(struct vf_verifier *f, struct vf_why *why);
VF_MUST_USE enum vf_err vf_tell_rest(struct vf_verifier *f, struct vf_why *why);
VF_MUST_USE enum vf_err vf_tell_again(const char *path, struct vf_teller *t, const struct vf_verdict *v, struct vf_why *why);
void vf_teller_void(struct vf_teller *t);
void vf_teller_done(struct vf_teller *t);

/* prove.c: an entry that is about to be added; a checkpoint that was accepted. */
void vf_prover_add(struct vf_prover *p, const struct vf_tree *tree, const struct vf_scan_entry *e);
void vf_prover_accept(struct vf_prover *p, const struct vf_verifier *f);

/* vf_log_verify that also gives the tree at `capture_size` entries (all zero when the log is shorter). Sets *ret whatever it returns. */
VF_MUST_USE enum vf_err vf_log_verify_capture(const char *path, const struct vf_verify_options *opt, uint64_t capture_size,
                                              struct vf_verdict *ret, struct vf_tree *ret_captured, struct vf_why *why);
/* The same with a prover, which may be NULL. */
VF_MUST_USE enum vf_err vf_log_verify_prove(const char *path, const struct vf_verify_options *opt, uint64_t capture_size,
                                            struct vf_prover *prover, struct vf_verdict *ret, struct vf_tree *ret_captured,
                                            struct vf_why *why);

/*
 * vf_log_verify from a place on, believed as it is; *place moves to the last checkpoint that was accepted. Only what ret->good calls good
 * is worth anything.
 */
VF_MUST_USE enum vf_err vf_log_verify_from(const char *path, const struct vf_verify_options *opt,
                                           struct vf_verify_place *place, struct vf_verdict *ret, struct vf_why *why);
/*
 * The same for what comes behind *place, in memory: whole lines, and the checkpoints of which the last covers all of them. Reads nothing, writes
 * nothing. VF_OK: it is good, and *place has moved behind it (cp_at, cp_end, line_at, seg_at from the beginning of the two texts).
 * VF_E_FORGED, VF_E_FORMAT.
 */
VF_MUST_USE enum vf_err vf_verify_extension(const struct vf_origin *origin, struct vf_verify_place *place,
                                            struct vf_slice checkpoints, struct vf_slice entries, struct vf_why *why);

#endif
