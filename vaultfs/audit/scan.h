/* SPDX-License-Identifier: MIT */
/*
 * audit, internal: the lines of one file of entries, taken apart and hashed by all cores, handed out in their order.
 *
 * The file is cut into chunks of equal size; a line belongs to the chunk it begins in, so that each chunk can be read and taken apart by
 * itself. Small files cost no thread. One caller; what it gets stays where it is as long as its chunk is the current one or held.
 */
#ifndef VAULTFS_AUDIT_SCAN_H
#define VAULTFS_AUDIT_SCAN_H

#include "segment.h"

struct vf_scan_chunk;

/* A well-formed line. */
struct vf_scan_entry {
    struct vf_entry_view view;
    struct vf_hash leaf;
    struct vf_scan_chunk *chunk;
    uint64_t end;     /* of the byte behind its newline in the file */
    uint32_t bad;     /* malformed lines that stand before it */
    uint32_t bad_at;  /* where the first of them begins in the chunk's buffer */
    uint32_t bad_len; /* its length */
};

enum vf_scan_kind {
    VF_SCAN_ENTRY,
    VF_SCAN_BAD, /* malformed lines, one after the other */
    VF_SCAN_END  /* of the file; `bytes` of an incomplete last line */
};
struct vf_scan_item {
    enum vf_scan_kind kind;
    struct vf_scan_entry *entry;
    uint64_t end;   /* of the byte behind this item; of END: behind the last whole line */
    uint64_t count; /* of BAD */
    uint64_t bytes; /* of END: 0, or an incomplete line's */
    char text[200]; /* of BAD: what is wrong with the first */
};

struct vf_scan;
/* Some megabytes of memory; when much is held (see crowded), up to about 90. */
VF_MUST_USE enum vf_err vf_scan_new(struct vf_scan **ret, struct vf_why *why);
void vf_scan_free(struct vf_scan *s);
void vf_scan_cleanup(struct vf_scan **s);
/* From the next start on only lines that hold one of these texts (borrowed), without hashes; END comes without `bytes`. */
void vf_scan_filter(struct vf_scan *s, const char *const *needles, size_t n);
/* Begin with the line at byte `at` of `fd` (borrowed until vf_scan_stop), up to `end` or the end of the file. `what` names it. */
void vf_scan_start(struct vf_scan *s, int fd, uint64_t at, uint64_t end, const char *what);
/* After END: END again; what was added to the file since is found by a new start. */
VF_MUST_USE enum vf_err vf_scan_next(struct vf_scan *s, struct vf_scan_item *ret, struct vf_why *why);
/* Nobody reads from the descriptor any more. What is held stays. */
void vf_scan_stop(struct vf_scan *s);

/* Keep an entry (its line, its view) until it is released. As many of each. */
void vf_scan_hold(struct vf_scan_entry *e);
void vf_scan_release(struct vf_scan *s, struct vf_scan_entry *e);
/* So much is held that all of it must be released before vf_scan_next. */
VF_MUST_USE bool vf_scan_crowded(const struct vf_scan *s);

#endif
