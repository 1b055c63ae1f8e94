/* SPDX-License-Identifier: MIT */
/*
 * store: a thin, typed layer over LMDB. The only room that includes lmdb.h.
 *
 * One environment is one folder with data.mdb and lock.mdb. Tables are declared once, by the room that owns them. A transaction
 * carries a sticky error: after the first failure every further call does nothing, and commit returns that error, so that a caller
 * may write straight on and ask once. Values from vf_txn_get and cursors point into the map and live until the transaction ends or the
 * next write in it: decode inside. Keys are big-endian, at most 511 bytes. MDB_* codes are mapped to vf_err in one place:
 * MDB_MAP_FULL is handled inside (the map grows and the work is done again, see vf_store_update), ENOSPC is VF_E_DISK_FULL,
 * corruption codes are VF_E_DAMAGED.
 *
 * The map is made anew when it is too small: that needs a moment in which no transaction of this process is open. Whoever needs it
 * keeps new transactions waiting and waits for those that are open (for readers at most 30 seconds, then VF_E_BUSY). So: a thread
 * with an open read transaction must not call vf_store_update, and should not begin a second one.
 */
#ifndef VAULTFS_STORE_H
#define VAULTFS_STORE_H

#include <vaultfs/base.h>

struct vf_store;
struct vf_txn;
struct vf_cursor;

#define VF_STORE_TABLES_MAX 32

enum vf_store_mode {
    VF_STORE_READ,  /* read-only; several processes may read while one writes */
    VF_STORE_WRITE, /* several processes may open so; write transactions are serialised by LMDB's own lock */
};

/*
 * Open the environment in folder `dir` (which exists; vf_dir_local is checked; files are 0600) with these tables (names of at most 63
 * bytes, at most VF_STORE_TABLES_MAX). In WRITE mode missing ones are created; in READ mode an empty store is VF_E_NOT_FOUND and a
 * lost table VF_E_DAMAGED. `what` names the store in messages ("the vault /srv/v"). A map that another process has grown is followed.
 *
 * Must be called after daemonising: LMDB's locks do not survive fork, and in a child every call on an inherited store fails with
 * VF_E_SYSTEM (closing it is fine). Opened again in the same process, with the same tables, a folder is shared; with others, or
 * for writing when it was opened for reading, it is VF_E_BUSY.
 *
 * Before LMDB reads the file its meta pages, the list of free pages and the list of tables are checked, so that opening a damaged
 * or truncated file is VF_E_DAMAGED and no signal. Damage inside the tables is found by vf_store_walk only.
 * VF_E_NOT_FOUND, VF_E_DAMAGED, VF_E_VERSION, VF_E_DISK_FULL, VF_E_DENIED, VF_E_SYSTEM, VF_E_UNSUPPORTED (network filesystem).
 */
VF_PUBLIC VF_MUST_USE enum vf_err vf_store_open(const char *dir, enum vf_store_mode mode, const char *const *tables,
                                                size_t ntables, const char *what, struct vf_store **ret, struct vf_why *why);
/* NULL is fine. Transactions that are still open keep what they need until they end. */
VF_PUBLIC void vf_store_close(struct vf_store *s);
VF_PUBLIC void vf_store_cleanup(struct vf_store **s);
#define VF_STORE VF_CLEANUP(vf_store_cleanup) struct vf_store *

/*
 * Run `body` in one write transaction and commit it durably. When the map is too small the transaction is dropped, the map grown
 * and body run again from the start: it must keep its effects to the transaction and to what it resets at its beginning. Any error
 * of body or of the transaction aborts everything; an error of the transaction is the one reported. No other transaction of this
 * environment may be open in the calling thread; an update inside an update is VF_E_USAGE. Several threads and processes may call it:
 * they wait for each other.
 *
 * On success the change is on the disk. On an error nothing of it is, and the store goes on (VF_E_DISK_FULL: as soon as there is room),
 * except after VF_E_DAMAGED "an earlier write to the disk failed: close and open again": then LMDB does not know which of two states the
 * disk holds, and the store has to be closed and opened to find out.
 */
VF_PUBLIC VF_MUST_USE enum vf_err vf_store_update(struct vf_store *s,
                                                  enum vf_err (*body)(struct vf_txn *txn, void *user, struct vf_why *why),
                                                  void *user, struct vf_why *why);

/*
 * Read transactions: usable from any one thread at a time (MDB_NOTLS). reset keeps the reader slot and lets the map grow and old pages
 * be used again: do it between two pieces of work. renew gives a fresh snapshot (also without a reset before it) and clears the
 * sticky error. Up to 512 in all processes together, VF_E_BUSY above.
 */
VF_PUBLIC VF_MUST_USE enum vf_err vf_txn_read(struct vf_store *s, struct vf_txn **ret, struct vf_why *why);
VF_PUBLIC void vf_txn_reset(struct vf_txn *txn);
VF_PUBLIC VF_MUST_USE enum vf_err vf_txn_renew(struct vf_txn *txn, struct vf_why *why);
VF_PUBLIC void vf_txn_end(struct vf_txn *txn); /* of a read transaction; NULL is fine */
VF_PUBLIC void vf_txn_cleanup(struct vf_txn **txn);
#define VF_TXN VF_CLEANUP(vf_txn_cleanup) struct vf_txn *

/* The sticky error so far, and the same with its reason. */
VF_PUBLIC enum vf_err vf_txn_error(const struct vf_txn *txn);
VF_PUBLIC enum vf_err vf_txn_check(const struct vf_txn *txn, struct vf_why *why);

/* `table` is the index in the table list of vf_store_open. False when absent or on error (which then sticks). */
VF_PUBLIC bool vf_txn_get(struct vf_txn *txn, unsigned table, const void *key, size_t key_len, struct vf_slice *ret);
VF_PUBLIC void vf_txn_put(struct vf_txn *txn, unsigned table, const void *key, size_t key_len, const void *val,
                          size_t val_len);
/* Reserve `val_len` bytes in the map (zeroes) and return where to write them before the next call on txn; NULL on error. */
VF_PUBLIC uint8_t *vf_txn_reserve(struct vf_txn *txn, unsigned table, const void *key, size_t key_len, size_t val_len);
VF_PUBLIC bool vf_txn_del(struct vf_txn *txn, unsigned table, const void *key, size_t key_len); /* true: it was there */
VF_PUBLIC void vf_txn_clear(struct vf_txn *txn, unsigned table);                                /* all rows of the table */
VF_PUBLIC uint64_t vf_txn_count(struct vf_txn *txn, unsigned table);

/*
 * Visit the rows whose keys begin with `prefix` (empty: all) in key order. `each` returns true to go on. Deleting the current
 * row from inside each is allowed through vf_txn_del_current of the cursor it receives (key and val are gone then); other writes are
 * not: VF_E_USAGE, which sticks. Reads are.
 */
VF_PUBLIC void vf_txn_foreach(struct vf_txn *txn, unsigned table, const void *prefix, size_t prefix_len,
                              bool (*each)(struct vf_cursor *cur, struct vf_slice key, struct vf_slice val, void *user),
                              void *user);
VF_PUBLIC void vf_txn_del_current(struct vf_cursor *cur);
/* First row with key >= `key` (empty: the first of all). */
VF_PUBLIC bool vf_txn_seek(struct vf_txn *txn, unsigned table, const void *key, size_t key_len, struct vf_slice *ret_key,
                           struct vf_slice *ret_val);

/*
 * Copy a consistent snapshot (compacted: no free pages) into an open file descriptor, while others read and write. The copy is not
 * synced. On an error the file holds a part of it.
 */
VF_PUBLIC VF_MUST_USE enum vf_err vf_store_copy(struct vf_store *s, int fd, struct vf_why *why);

/*
 * Structural check in a child process, because a damaged database may kill its reader by a signal: each page of the file belongs to
 * exactly one thing (a table, a long value, the list of free pages), everything LMDB computes with is in bounds, keys are in order;
 * then all tables are read through LMDB, every byte touched. What it passes LMDB can read and write. The contents are not its
 * business. VF_E_DAMAGED when the child finds damage or dies; VF_E_NOT_FOUND when nothing was ever stored; VF_E_LIMIT when it took
 * longer than `seconds` (0: as long as it takes). Others may write meanwhile; a read-only medium is fine. Fork-safe only while the
 * process has one thread; call before threads start.
 */
VF_PUBLIC VF_MUST_USE enum vf_err vf_store_walk(const char *dir, const char *const *tables, size_t ntables, unsigned seconds,
                                                const char *what, struct vf_why *why);

#endif
