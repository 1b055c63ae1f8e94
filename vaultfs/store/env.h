/* SPDX-License-Identifier: MIT */
/*
 * What the files of the store room share: one environment per folder and process, its gate, its transactions.
 *
 * Locks, in the order they are taken: the registry's (env.c), an environment's `writing`, its `lock`.
 */
#ifndef VAULTFS_STORE_ENV_H
#define VAULTFS_STORE_ENV_H

#include <vaultfs/store.h>

#include <lmdb.h>
#include <pthread.h>

#define VF_ENV_READERS      512
#define VF_ENV_MAP_MIN      ((size_t)64 << 20)
#define VF_ENV_MAP_STEP_MAX ((uint64_t)4 << 30) /* the map doubles, but never by more than this */
#define VF_ENV_NAME_MAX     63                  /* of a table */
#define VF_ENV_KEY_MAX      511                 /* LMDB's own, fixed when it was built */

struct vf_env {
    /* Set once in vf_store_open, then only read. */
    char *dir;
    char *what;
    dev_t dev;
    ino_t ino;
    unsigned forks; /* vf_env_forks() when it was opened: a child of fork must not touch it */
    enum vf_store_mode mode;
    unsigned ntables;
    char *tables[VF_STORE_TABLES_MAX];
    MDB_dbi dbi[VF_STORE_TABLES_MAX];
    MDB_env *mdb;

    /* Under the registry's lock. */
    struct vf_env *next;
    unsigned refs; /* handles and transactions */

    /* Held through a whole vf_store_update, so that the waiting writers of this process wait outside the gate. */
    pthread_mutex_t writing;

    /* The gate: under `lock`. */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct vf_txn *inside; /* transactions that may look into the map */
    unsigned slow;         /* of these: writers and copies, which end by themselves */
    unsigned remappers;    /* waiting until nobody is inside */
    unsigned maps;         /* how often the map was made anew */
    size_t map_size;
    bool dead; /* the map is lost: nothing works until the store is opened again */
    bool has_writer;
    pthread_t writer;
};

struct vf_txn {
    struct vf_env *env;
    MDB_txn *mdb;
    bool write;
    bool active;    /* inside the gate, with a snapshot */
    bool map_full;  /* the map has to grow and the work be done again */
    unsigned loops; /* foreach under way */
    enum vf_err err;
    struct vf_why why;

    /* Among env->inside. */
    struct vf_txn *prev;
    struct vf_txn *next;
    pthread_t thread;
};

struct vf_store {
    struct vf_env *env;
    enum vf_store_mode mode;
};

/* ------------------------------------------------------------------------------------------------------------------- env.c */

/* The one place where MDB_* codes and errnos out of LMDB become ours. "WHAT: DOING: reason". */
enum vf_err vf_env_fail(struct vf_why *why, const char *what, const char *doing, int rc);
/* How many times this process is the child of a fork since the first store was opened in it. */
unsigned vf_env_forks(void);
/* VF_E_SYSTEM in the child of a fork, where LMDB's locks are not held. */
VF_MUST_USE enum vf_err vf_env_usable(const struct vf_env *env, struct vf_why *why);
void vf_env_ref(struct vf_env *env);
void vf_env_unref(struct vf_env *env);
/* A map size for a file of `size` bytes: with room to grow. 0 when it does not fit into the address space. */
size_t vf_env_map_size(uint64_t size);
/* The smallest map, VF_ENV_MAP_MIN; for tests, which want maps to grow often. Returns the old value. */
size_t vf_env_map_min(size_t size);
/* Open `dir`/data.mdb with a map for its size; the descriptor is closed on exec; stale readers are removed. */
VF_MUST_USE enum vf_err vf_env_open_mdb(const char *dir, enum vf_store_mode mode, unsigned tables, const char *what,
                                        MDB_env **ret, size_t *ret_map_size, struct vf_why *why);

/* ------------------------------------------------------------------------------------------------------------------ gate.c */

VF_MUST_USE enum vf_err vf_gate_init(struct vf_env *env, struct vf_why *why);
void vf_gate_done(struct vf_env *env);
/* Go in (waits while somebody wants to make the map anew). *ret_maps: the map that was there, for the two functions below. */
VF_MUST_USE enum vf_err vf_gate_enter(struct vf_txn *txn, unsigned *ret_maps, struct vf_why *why);
void vf_gate_leave(struct vf_txn *txn);
/* Make the map anew, unless somebody did since `maps`: bigger, or as big as another process made the database. */
VF_MUST_USE enum vf_err vf_gate_grow(struct vf_env *env, unsigned maps, struct vf_why *why);
VF_MUST_USE enum vf_err vf_gate_follow(struct vf_env *env, unsigned maps, struct vf_why *why);
/* After a commit: if half of the map is in use and nobody is inside, take the next size now, and save a body its second run. */
void vf_gate_grow_early(struct vf_env *env);
/* How long the first two wait for readers before VF_E_BUSY; for tests. Returns the old value. */
unsigned vf_gate_patience_ms(unsigned ms);

/* ------------------------------------------------------------------------------------------------------------------- txn.c */

/* Begin (or renew) txn, which has env and write set. *ret_maps as vf_gate_enter. */
VF_MUST_USE enum vf_err vf_txn_begin(struct vf_txn *txn, unsigned *ret_maps, struct vf_why *why);
/* Let the first error stick. */
void vf_txn_fail(struct vf_txn *txn, int rc, int table, const char *doing);

#endif
