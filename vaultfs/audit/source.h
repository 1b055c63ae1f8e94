/* SPDX-License-Identifier: MIT */
/* audit, internal: a log to read from, a folder or a hand-in file; and the walk over its entries. */
#ifndef VAULTFS_AUDIT_SOURCE_H
#define VAULTFS_AUDIT_SOURCE_H

#include "checkpoint.h"
#include "scan.h"
#include "segment.h"

/* The head of a hand-in file (docs/format.md). */
#define VF_HANDIN_TYPE     "VFHANDIN"
#define VF_HANDIN_VERSION  1
#define VF_HANDIN_HEAD_LEN 32
struct vf_handin_head {
    uint32_t origin_len;
    uint64_t checkpoints_len;
    uint64_t entries; /* number; their bytes run to the end of the file */
};
void vf_handin_head_encode(const struct vf_handin_head *h, uint8_t out[VF_HANDIN_HEAD_LEN]);
VF_MUST_USE enum vf_err vf_handin_head_decode(const uint8_t in[VF_HANDIN_HEAD_LEN], struct vf_handin_head *ret,
                                              struct vf_why *why);

struct vf_source {
    const char *path; /* borrowed */
    bool folder;
    bool copy; /* a folder made by vf_handin_store: its last checkpoint is its end */
    int fd;    /* the folder, or the file */
    int cp_fd; /* checkpoints; -1: there are none. For a file the same as fd, and not closed. */
    uint64_t cp_at, cp_end;
    struct vf_buf origin;
    struct vf_segments segs;          /* of a file: one, first seq 0 */
    uint64_t entries_at, entries_end; /* of a file */
    uint64_t promised;                /* of a file: entries by its head */
    uint64_t total_bytes;             /* of all entries, when it was opened */
};
VF_MUST_USE enum vf_err vf_source_open(const char *path, struct vf_source *ret, struct vf_why *why);
void vf_source_done(struct vf_source *s);
/* Open the checkpoints of a folder, unless they are open or there are none yet: a writer makes the file with the first. */
VF_MUST_USE enum vf_err vf_source_checkpoints(struct vf_source *s, struct vf_why *why);
#define VF_SOURCE VF_CLEANUP(vf_source_done) struct vf_source
/* Segment i, to be read from *ret_at to *ret_end. Close *ret_fd when *ret_own. `name` for messages. */
VF_MUST_USE enum vf_err vf_source_segment(const struct vf_source *s, size_t i, int *ret_fd, bool *ret_own, uint64_t *ret_at,
                                          uint64_t *ret_end, struct vf_why *why);

/*
 * All entries in their order, and what is wrong with the order. A line that is out of place is told and passed over; where lines are
 * missing the walk goes on behind the hole.
 */
struct vf_walk {
    struct vf_source *src;
    void *user;
    /* Asked before each line; false ends the walk. NULL: never. */
    bool (*more)(void *user, uint64_t expect);
    /* The entry at its place; `hole`: others are missing or damaged before it. */
    enum vf_err (*entry)(void *user, struct vf_scan_entry *e, bool hole, struct vf_why *why);
    void (*finding)(void *user, const char *text); /* may be NULL */
    void (*progress)(void *user, uint64_t bytes);  /* read since the last call; may be NULL */
    /* State, for who looks at it afterwards. */
    uint64_t expect;     /* seq of the next entry */
    uint64_t torn_bytes; /* at the end, without a newline */
    bool hole;           /* entries are missing or damaged behind the last one told */
    bool overtaken;      /* a new segment makes void what was told as entries: begin anew */
    /* Internal. */
    size_t seg;      /* the segment being read */
    uint64_t seg_at; /* behind its last line that was read */
    uint64_t bad;    /* malformed lines since the last good one */
    char bad_text[200];
    struct vf_scan *scan;
};
void vf_walk_done(struct vf_walk *w);
VF_MUST_USE enum vf_err vf_walk_run(struct vf_walk *w, struct vf_why *why);
/* After that: what a writer has added to the folder meanwhile. *ret: there was something. */
VF_MUST_USE enum vf_err vf_walk_more(struct vf_walk *w, bool *ret, struct vf_why *why);

#endif
