/* SPDX-License-Identifier: MIT */
/* audit, internal: origin notes and checkpoint files. */
#ifndef VAULTFS_AUDIT_CHECKPOINT_H
#define VAULTFS_AUDIT_CHECKPOINT_H

#include "vaultfs/audit.h"

/* "vaultfs.log/" and 32 hex digits */
#define VF_ORIGIN_LINE_LEN 44

/* The origin's text, appended. `follows` may be NULL. */
void vf_origin_put(const char *line, enum vf_log_kind kind, const char *owner, int64_t created_us,
                   const uint8_t seal_key[32], const struct vf_checkpoint *follows, struct vf_buf *out);

/* A signed checkpoint with the empty line that follows it in the file. */
VF_MUST_USE enum vf_err vf_checkpoint_record(const char *origin, uint64_t size, const struct vf_hash *root,
                                             const struct vf_seal_key *key, struct vf_buf *out, struct vf_why *why);

/*
 * The notes of a checkpoints file, one after the other. A record ends with the empty line behind its signature lines. TORN: the file ends
 * within a record; more may come. LONG: none of ours is as long as that.
 */
#define VF_RECORD_MAX 8192
enum vf_record_kind { VF_RECORD_WHOLE, VF_RECORD_LONG, VF_RECORD_TORN, VF_RECORD_END };
struct vf_record_reader {
    int fd;          /* borrowed */
    const char *mem; /* instead of a file; NULL: none */
    uint64_t at;
    uint64_t end;
    char *buf;
    size_t have; /* bytes at buf, beginning at `at` */
};
VF_MUST_USE enum vf_err vf_record_reader_init(struct vf_record_reader *r, int fd, uint64_t at, uint64_t end,
                                              struct vf_why *why);
/* Those of a text in memory, borrowed. */
VF_MUST_USE enum vf_err vf_record_reader_of(struct vf_record_reader *r, struct vf_slice text, struct vf_why *why);
void vf_record_reader_done(struct vf_record_reader *r);
/* WHOLE: the note at *ret without the empty line behind it, good until the next call of any function of the reader; the reader
 * stands before it still. TORN, LONG: what there is. */
VF_MUST_USE enum vf_err vf_record_reader_peek(struct vf_record_reader *r, const char *what, enum vf_record_kind *ret_kind,
                                              const char **ret, size_t *ret_len, struct vf_why *why);
/* Go behind the record that peek returned (its note's length). */
void vf_record_reader_pass(struct vf_record_reader *r, size_t note_len);
/* After a record that is damaged: to the next line that is `origin`, where another one begins. False in *ret: there is none. */
VF_MUST_USE enum vf_err vf_record_reader_resync(struct vf_record_reader *r, const char *what, const char *origin, bool *ret,
                                                struct vf_why *why);
/* Could these bytes at the end of a checkpoints file be the beginning of a record that was being written? */
VF_MUST_USE bool vf_record_torn(const char *p, size_t len, const char *origin);

#endif
