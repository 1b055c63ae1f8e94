/* SPDX-License-Identifier: MIT */
/* audit, internal: the files of a log folder, and reading them line by line and note by note. */
#ifndef VAULTFS_AUDIT_SEGMENT_H
#define VAULTFS_AUDIT_SEGMENT_H

#include "vaultfs/audit.h"

#define VF_LOG_ORIGIN      "origin"
#define VF_LOG_CHECKPOINTS "checkpoints"
#define VF_LOG_LOCK        "lock"
#define VF_LOG_COPY        "handed-in"
#define VF_LOG_ORIGIN_MAX  8192

/* "entries-00000000000000001024.jsonl" */
#define VF_SEGMENT_NAME_LEN 34
#define VF_SEGMENT_NEW      ".new" /* behind the name while it is being made */
void vf_segment_name(uint64_t first, char out[VF_SEGMENT_NAME_LEN + 1]);

/* The segments of a folder by the seq of their first line, ascending. `strangers`: names that begin like a segment's and are none. */
struct vf_segments {
    uint64_t *first;
    size_t n;
    size_t strangers;
};
VF_MUST_USE enum vf_err vf_segments_list(int dirfd, const char *dir, struct vf_segments *ret, struct vf_why *why);
void vf_segments_done(struct vf_segments *s);
#define VF_SEGMENTS VF_CLEANUP(vf_segments_done) struct vf_segments
/* Remove what was being made when the machine stopped. */
void vf_segments_sweep(int dirfd);
/* Where what segment i may hold ends: the next one's first seq, or UINT64_MAX. */
uint64_t vf_segments_limit(const struct vf_segments *s, size_t i);
/* Open for reading (O_RDONLY) or in place (O_RDWR); a regular file only. *ret_size may be NULL. */
VF_MUST_USE enum vf_err vf_segment_open(int dirfd, const char *dir, const char *name, int flags, int *ret_fd,
                                        uint64_t *ret_size, struct vf_why *why);

/*
 * Lines of a file from `at` on, up to `end` or the end of the file, whichever comes first. Bounded memory: a line over
 * VF_ENTRY_LINE_MAX is told as LONG and passed over. A file that grows meanwhile can be read on after TORN and END.
 */
enum vf_line_kind { VF_LINE_WHOLE, VF_LINE_LONG, VF_LINE_TORN, VF_LINE_END };
struct vf_line_reader {
    int fd;      /* borrowed */
    uint64_t at; /* of the byte behind the last line returned */
    uint64_t end;
    char *buf;
    size_t pos, have;
};
VF_MUST_USE enum vf_err vf_line_reader_init(struct vf_line_reader *r, struct vf_why *why);
void vf_line_reader_done(struct vf_line_reader *r);
void vf_line_reader_start(struct vf_line_reader *r, int fd, uint64_t at, uint64_t end);
/* WHOLE: *ret, *ret_len without the newline, good until the next call. TORN: *ret_len bytes without a newline at the end. */
VF_MUST_USE enum vf_err vf_line_reader_next(struct vf_line_reader *r, const char *what, enum vf_line_kind *ret_kind,
                                            const char **ret, size_t *ret_len, struct vf_why *why);

#endif
