/* SPDX-License-Identifier: MIT */
/* LMDB's structures on the disk, as mdb.c lays them out: native byte order and word size. Copied out with memcpy, never cast. */
#ifndef VAULTFS_STORE_IMAGE_DISK_H
#define VAULTFS_STORE_IMAGE_DISK_H

#include "image.h"

#define META_MAGIC   0xBEEFC0DEu
#define META_VERSION 1u
#define METAS        2u
#define PAGE_MIN     4096u
#define PAGE_MAX     32768u

#define PAGE_BRANCH   0x01u
#define PAGE_LEAF     0x02u
#define PAGE_OVERFLOW 0x04u
#define PAGE_META     0x08u

#define NODE_BIG   0x01u /* the value is on pages of its own */
#define NODE_TABLE 0x02u

struct disk_tree {
    uint32_t page_size; /* of the tree of free pages only */
    uint16_t flags;
    uint16_t depth;
    size_t branches;
    size_t leaves;
    size_t overflows;
    size_t entries;
    size_t root;
};

struct disk_meta {
    uint32_t magic;
    uint32_t version;
    size_t address;
    size_t map_size;
    struct disk_tree tree[2]; /* free pages, tables */
    size_t last;
    size_t txnid;
};

struct disk_page {
    size_t pgno;
    uint16_t pad;
    uint16_t flags;
    union {
        struct {
            uint16_t lower;
            uint16_t upper;
        } b;
        uint32_t pages; /* of a long value */
    } u;
};

struct disk_node {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    uint16_t lo, hi;
#else
    uint16_t hi, lo;
#endif
    uint16_t flags;
    uint16_t key_len;
};

#define HEAD sizeof(struct disk_page)
#define NODE sizeof(struct disk_node)

_Static_assert(sizeof(struct disk_tree) == 8 + 5 * sizeof(size_t), "LMDB's MDB_db");
_Static_assert(sizeof(struct disk_meta) == 8 + 4 * sizeof(size_t) + 2 * sizeof(struct disk_tree), "LMDB's MDB_meta");
_Static_assert(sizeof(struct disk_page) == sizeof(size_t) + 8, "LMDB's MDB_page up to mp_ptrs");
_Static_assert(sizeof(struct disk_node) == 8, "LMDB's MDB_node up to mn_data");

enum vf_err vf_image_damaged(const char *what, struct vf_why *why, const char *where, size_t pgno, const char *says);
/* Reading past the end, and a disk that cannot read, are damage here as anywhere else in the file. */
VF_MUST_USE enum vf_err vf_image_read(int fd, const char *what, void *out, size_t len, uint64_t at, struct vf_why *why);
struct vf_image_tree vf_image_tree_of(const struct disk_tree *d);
/* Could it be a tree in a file of these pages? */
bool vf_image_tree_plausible(const struct vf_image_tree *t, uint16_t flags, size_t last);

#endif
