/* SPDX-License-Identifier: MIT */
/* A log of any shape, with keys of the test's own: lines, seals and checkpoints where it wants them. */
#ifndef VAULTFS_TESTS_AUDIT_FORGE_H
#define VAULTFS_TESTS_AUDIT_FORGE_H

#include "audit_test.h"

struct forge {
    char dir[300];
    char origin[64];
    struct vf_buf entries, checkpoints; /* not written yet */
    struct vf_tree tree;
    struct vf_seal_key key;
    uint64_t segment; /* first seq of the segment that `entries` go to */
};

void forge_begin(struct forge *f, const char *dir, size_t entries_max);
void forge_done(struct forge *f);
/* One entry more, with this many refs. */
void forge_add(struct forge *f, unsigned nrefs);
/* A seal entry and the checkpoint that covers it. */
void forge_seal(struct forge *f);
/* Append to the files in the folder; forget what was appended. */
void forge_write(struct forge *f);

#endif
