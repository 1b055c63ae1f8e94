/* SPDX-License-Identifier: MIT */
/*
 * A strict reader of LMDB's file (data format 1), by pread alone: it cannot be killed by what it reads.
 *
 * LMDB trusts its file. One flipped byte in a page header sends it anywhere in the address space, and a page that is both in
 * use and listed as free is given away and overwritten, silently. LMDB promises of a snapshot that each page behind the two meta
 * pages is reachable exactly once: as a page of a tree, as a page of a long value, or in the list of free pages. That, and
 * everything LMDB computes with, is checked here: page numbers, kinds and bounds, nodes that tile their page, keys in order and
 * between their separators, depths and counts. What is not known here is what the values mean.
 */
#ifndef VAULTFS_STORE_IMAGE_H
#define VAULTFS_STORE_IMAGE_H

#include "env.h"

#define VF_IMAGE_TABLES_MAX 64
#define VF_IMAGE_DEPTH_MAX  32 /* LMDB's cursor stack */
#define VF_IMAGE_NONE       SIZE_MAX

struct vf_image_tree {
    uint16_t flags;
    uint16_t depth;
    size_t branches;
    size_t leaves;
    size_t overflows;
    size_t entries;
    size_t root; /* or VF_IMAGE_NONE: empty */
};

struct vf_image {
    int fd;           /* borrowed */
    const char *what; /* borrowed */
    size_t page_size;
    size_t file_pages; /* whole pages that are there */
    size_t last;       /* the snapshot's last page */
    size_t txnid;
    struct vf_image_tree free;
    struct vf_image_tree main;
};

struct vf_image_table {
    char name[VF_ENV_NAME_MAX + 1];
    struct vf_image_tree tree;
};

struct vf_image_tables {
    unsigned n;
    size_t lost_pages; /* belong to nothing: harmless, but no healthy file has them. Set when all tables were checked. */
    struct vf_image_table table[VF_IMAGE_TABLES_MAX];
};

/*
 * Read and check the two meta pages. Other processes may be writing: what was caught in the middle is read again. An empty file,
 * or one whose making was not finished, is VF_E_NOT_FOUND.
 */
VF_MUST_USE enum vf_err vf_image_newest(int fd, const char *what, struct vf_image *ret, struct vf_why *why);
/* The same for the snapshot of a read transaction that is open now. VF_E_STALE when its meta page was overwritten meanwhile: renew. */
VF_MUST_USE enum vf_err vf_image_of_txn(int fd, const char *what, size_t txnid, struct vf_image *ret, struct vf_why *why);
/*
 * Check the list of free pages and the list of tables; with `all` every table too. The snapshot must be held by a transaction.
 * Long values are looked up, not read. *ret is large: keep it off the stack.
 */
VF_MUST_USE enum vf_err vf_image_check(const struct vf_image *img, bool all, struct vf_image_tables *ret,
                                       struct vf_why *why);

#endif
