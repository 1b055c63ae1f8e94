/* SPDX-License-Identifier: MIT */
/*
 * audit, internal: the folder in which the copy of another's log is kept.
 *
 *   handin_store.c   a handed-in file into it
 *   handin_mend.c    the same where what is there was damaged: put aside, and made anew
 *   copy.c           piece by piece, as the desk gets it
 *   copy_folder.c    what both do with the folder
 *   copy_place.c     what is remembered of it, so that opening it costs no reading
 *
 * Entries first, durable; then their checkpoints. What lies behind the last checkpoint does not count (the mark says so to readers), so a
 * crash before the second leaves what was there before, and one within it leaves a shorter but good log. Who comes next cuts the rest.
 */
#ifndef VAULTFS_AUDIT_COPY_H
#define VAULTFS_AUDIT_COPY_H

#include "verify.h"

#define VF_COPY_PLACE "verified" /* what copy_place.c remembers, beside the log's files */

struct vf_copy {
    const char *dir; /* borrowed */
    int dirfd, lockfd;
    uint64_t size;   /* entries */
    uint64_t cp_end; /* bytes of whole checkpoints */
    uint64_t seg_first;
    uint64_t seg_end; /* bytes of that segment that count */
    bool any_segment;
    struct vf_buf last; /* its last checkpoint note */
};
void vf_copy_done(struct vf_copy *c);
/* A folder that holds nothing yet, or a copy; made, locked and marked. Never a log that somebody writes. */
VF_MUST_USE enum vf_err vf_copy_open(struct vf_copy *c, struct vf_why *why);
/* VF_E_FORGED: the origin kept there is another one (`what` is whose it was). *ret_there: it is there. */
VF_MUST_USE enum vf_err vf_copy_origin_match(const struct vf_copy *c, struct vf_slice origin, const char *what,
                                             bool *ret_there, struct vf_why *why);
VF_MUST_USE enum vf_err vf_copy_origin_put(const struct vf_copy *c, struct vf_slice origin, struct vf_why *why);

/* Entries behind the end, and their checkpoints. */
struct vf_copy_append {
    struct vf_copy *c;
    uint64_t seq; /* of the next line */
    int fd;
    uint64_t seg_first, at;
    uint64_t line_at; /* where the last line begins in that segment */
    bool fresh;       /* the folder has a new name in it */
    struct vf_buf out;
};
void vf_copy_append_done(struct vf_copy_append *a);
#define VF_COPY_APPEND VF_CLEANUP(vf_copy_append_done) struct vf_copy_append
/* Cut what an unfinished hand-in left. */
VF_MUST_USE enum vf_err vf_copy_append_begin(struct vf_copy_append *a, struct vf_copy *c, struct vf_why *why);
/* Back to where `c` stands, when entries or checkpoints could not be appended: a disk that they have filled does not stay full. */
void vf_copy_append_undo(struct vf_copy *c);
VF_MUST_USE enum vf_err vf_copy_append_line(struct vf_copy_append *a, const char *line, size_t len, struct vf_why *why);
/* All of it is written; and durable. */
VF_MUST_USE enum vf_err vf_copy_append_flush(struct vf_copy_append *a, struct vf_why *why);
VF_MUST_USE enum vf_err vf_copy_append_sync(struct vf_copy_append *a, struct vf_why *why);
/* `checkpoints`, cut behind those that count; durable after vf_copy_checkpoints_sync. */
VF_MUST_USE enum vf_err vf_copy_checkpoints_open(const struct vf_copy *c, int *ret_fd, struct vf_why *why);
VF_MUST_USE enum vf_err vf_copy_checkpoints_sync(const struct vf_copy *c, int fd, struct vf_why *why);

/*
 * What is remembered. load: the newest place that the folder confirms (the checkpoint that stands there has its root, and the last line under it
 * is what was hashed and names the key); zero when there is none. save: not flushed, because it is checked. Nothing of it is secret.
 */
VF_MUST_USE enum vf_err vf_copy_place_load(const struct vf_copy *c, const struct vf_hash *id, const char *origin,
                                           struct vf_verify_place *ret, struct vf_why *why);
void vf_copy_place_save(const struct vf_copy *c, const struct vf_hash *id, const struct vf_verify_place *place);
#define VF_COPY_PLACE_LEN 2048 /* a slot; there are two, written in turn */
size_t vf_copy_place_encode(const struct vf_hash *id, const struct vf_verify_place *p, uint8_t out[VF_COPY_PLACE_LEN]);
VF_MUST_USE bool vf_copy_place_decode(const uint8_t in[VF_COPY_PLACE_LEN], const struct vf_hash *id,
                                      struct vf_verify_place *ret);

/* The places that are remembered, whether the folder confirms them or not, the further one first. *ret_n: 0, 1 or 2. */
VF_MUST_USE enum vf_err vf_copy_place_read(const struct vf_copy *c, const struct vf_hash *id, struct vf_verify_place ret[2],
                                           size_t *ret_n, struct vf_why *why);

/* handin_store.c, for handin_mend.c. The copy is open; what is in it is the beginning of the file, or the file is refused. */
VF_MUST_USE enum vf_err vf_handin_store_in(struct vf_copy *c, const struct vf_source *file,
                                           const struct vf_verify_options *opt, struct vf_verdict *v, struct vf_why *why);
/* The file, verified, into a copy that holds nothing yet. */
VF_MUST_USE enum vf_err vf_handin_fill(struct vf_copy *c, const struct vf_source *file, const struct vf_verdict *v,
                                       struct vf_why *why);
/* The last checkpoint's note of a handed-in file, appended: it is cosigned, so it must be the one that was verified. VF_E_FORGED. */
VF_MUST_USE enum vf_err vf_handin_last(const struct vf_source *file, const struct vf_verdict *v, struct vf_buf *out,
                                       struct vf_why *why);

#endif
