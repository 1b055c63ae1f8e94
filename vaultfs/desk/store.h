/* SPDX-License-Identifier: MIT */
/*
 * desk, internal: what a desk keeps, behind the few calls that any transactional database has. LMDB does it here (store_lmdb.c); another one
 * fills in the same table of functions. Nothing secret is kept in it.
 *
 * Thread-safe. A callback of `each` must not call anything of the store.
 */
#ifndef VAULTFS_DESK_STORE_H
#define VAULTFS_DESK_STORE_H

#include <vaultfs/base.h>

enum vf_desk_table {
    VF_DT_META,       /* text key -> value */
    VF_DT_POLICY,     /* "chain" -> policy file */
    VF_DT_GRANT,      /* grant id -> struct vf_desk_grant_row */
    VF_DT_REFS,       /* SHA-256 of a manifest -> refs of its records, ascending */
    VF_DT_DEVICE,     /* enrolment id -> u8 version, u8 flags, enrolment */
    VF_DT_REVOCATION, /* grant id or enrolment id -> note */
    VF_DT_TOMBSTONE,  /* u32 batch, u32 number -> u8 version, u8 done, u8 reason, i64 time, grant id */
    VF_DT_RELEASED,   /* grant id -> what was released of it, as the log had it at the place that "known" in META names */
    VF_DT_COUNT
};

struct vf_desk_change { /* one row: put, or deleted when data is NULL */
    enum vf_desk_table table;
    const void *key;
    size_t key_len;
    const void *data;
    size_t len;
};
#define VF_DESK_KEY_MAX 64

struct vf_desk_store;
struct vf_desk_store_ops {
    /* The row, appended to `ret`; *found says whether there is one. */
    enum vf_err (*get)(struct vf_desk_store *s, enum vf_desk_table table, const void *key, size_t key_len,
                       struct vf_buf *ret, bool *found, struct vf_why *why);
    /* All rows of a table in key order; an error of `each` ends it. */
    enum vf_err (*each)(struct vf_desk_store *s, enum vf_desk_table table,
                        enum vf_err (*each)(void *user, struct vf_slice key, struct vf_slice val, struct vf_why *why),
                        void *user, struct vf_why *why);
    /* All of these changes, durable, or none of them. */
    enum vf_err (*commit)(struct vf_desk_store *s, const struct vf_desk_change *changes, size_t n, struct vf_why *why);
    void (*close)(struct vf_desk_store *s);
};
struct vf_desk_store { /* the first member of every implementation */
    const struct vf_desk_store_ops *ops;
};

/* In folder `dir`, which exists. `what` names it in messages. VF_E_DAMAGED, VF_E_NOT_FOUND (nothing in it, and not `write`). */
VF_MUST_USE enum vf_err vf_desk_store_lmdb(const char *dir, bool write, const char *what, struct vf_desk_store **ret,
                                           struct vf_why *why);
/* The walk through it that opening after a crash begins with (vf_store_walk): while the process has one thread. */
VF_MUST_USE enum vf_err vf_desk_store_lmdb_walk(const char *dir, const char *what, struct vf_why *why);

VF_MUST_USE enum vf_err vf_desk_store_get(struct vf_desk_store *s, enum vf_desk_table table, const void *key, size_t key_len,
                                          struct vf_buf *ret, bool *found, struct vf_why *why);
VF_MUST_USE enum vf_err vf_desk_store_each(struct vf_desk_store *s, enum vf_desk_table table,
                                           enum vf_err (*each)(void *user, struct vf_slice key, struct vf_slice val,
                                                               struct vf_why *why),
                                           void *user, struct vf_why *why);
VF_MUST_USE enum vf_err vf_desk_store_commit(struct vf_desk_store *s, const struct vf_desk_change *changes, size_t n,
                                             struct vf_why *why);
void vf_desk_store_close(struct vf_desk_store *s); /* NULL is fine */

#endif
