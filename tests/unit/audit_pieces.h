/* SPDX-License-Identifier: MIT */
/* A log with everything in it that a log can hold, as the bytes of its files; pieces of it; and copies that grow by pieces. */
#ifndef VAULTFS_TESTS_AUDIT_PIECES_H
#define VAULTFS_TESTS_AUDIT_PIECES_H

#include "audit_test.h"

/* Borrowed by whoever cuts. */
struct piece {
    char *cps, *lines;
    size_t cps_len, lines_len;
    uint64_t from, to; /* entries; to: by its last checkpoint */
};

/* What a log folder holds up to its last checkpoint: the bytes, and where each checkpoint stands. */
struct whole {
    char *origin, *cps, *lines;
    size_t origin_len, cps_len, lines_len;
    size_t ncps, cp_end[512];
    uint64_t cp_size[512]; /* entries that it covers */
    size_t line_end[512];  /* bytes of these */
};
struct whole pieces_load(const char *dir);
void pieces_free(struct whole *w);
/* What stands between checkpoint i (0: the beginning) and checkpoint j. */
struct piece pieces_of(const struct whole *w, size_t i, size_t j);
/* A hand-in file of it all up to checkpoint i, with this piece behind it; its head says as many entries as it has lines. */
void pieces_handin(const struct whole *w, size_t i, const struct piece *more, const char *path);

/* Fill a log: openings, seals, sessions that were killed (recover), a disk that was full (gap). `seed` varies it. */
void pieces_fill(const struct audit_place *p, unsigned seed, unsigned rounds);

enum vf_err pieces_open(const struct whole *w, const char *dir, struct vf_log_copy **ret);
enum vf_err pieces_extend(struct vf_log_copy *c, const struct piece *p);

#endif
