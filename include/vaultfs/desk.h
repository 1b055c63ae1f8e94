/* SPDX-License-Identifier: MIT */
/*
 * desk: the key desk of a force. So far its one-time keys.
 *
 * The secret halves of a batch of prekeys are fixed slots of 512 bytes (one sector) in one file that is written once, at its full size, and
 * then only overwritten in place (docs/format.md). They are never in a database: LMDB is copy-on-write, and what was deleted there stays
 * on the disk. What destroys a key records that durably elsewhere first (the tombstone), so that a crash between the two is made good
 * at the next start.
 */
#ifndef VAULTFS_DESK_H
#define VAULTFS_DESK_H

#include <vaultfs/base.h>
#include <vaultfs/crypto.h>
#include <vaultfs/grant.h>

enum vf_prekey_state {
    VF_PREKEY_LIVE,
    VF_PREKEY_DESTROYED,
    VF_PREKEY_DAMAGED /* a write of it was torn, or somebody else's hand: it opens nothing, and is to be destroyed */
};
enum vf_prekey_end { VF_PREKEY_ENDED = 1, VF_PREKEY_REVOKED = 2, VF_PREKEY_LAST_DAY = 3 };
VF_PUBLIC const char *vf_prekey_end_text(enum vf_prekey_end why); /* "its grant ended", … */

struct vf_prekey_slot {
    enum vf_prekey_state state;
    enum vf_prekey_end end; /* of a destroyed one */
    int64_t end_us;
};

/*
 * Make the file `path` with count new pairs, 0600, durable, and put the public halves into batch->keys (count of them, the caller's). The
 * batch's other members are set. The secret halves are in the file alone, each wrapped under `key`. VF_E_EXISTS, VF_E_DISK_FULL.
 */
VF_PUBLIC VF_MUST_USE enum vf_err vf_prekeys_create(const char *path, const struct vf_prekey_store_key *key,
                                                    const struct vf_prekey_batch *batch, struct vf_why *why);

/* One batch's file, open for reading and overwriting. One user at a time (the desk's store has the lock). */
struct vf_prekeys;
/* Strict: type, version, sizes, and that the file is of this store. VF_E_FORMAT, VF_E_VERSION, VF_E_DAMAGED, VF_E_REFUSED (another store's). */
VF_PUBLIC VF_MUST_USE enum vf_err vf_prekeys_open(const char *path, const uint8_t store[VF_PREKEY_STORE_LEN],
                                                  struct vf_prekeys **ret, struct vf_why *why);
VF_PUBLIC void vf_prekeys_close(struct vf_prekeys *p);
VF_PUBLIC void vf_prekeys_cleanup(struct vf_prekeys **p);
#define VF_PREKEYS VF_CLEANUP(vf_prekeys_cleanup) struct vf_prekeys *
VF_PUBLIC uint32_t vf_prekeys_batch(const struct vf_prekeys *p);
VF_PUBLIC uint32_t vf_prekeys_count(const struct vf_prekeys *p);
VF_PUBLIC int64_t vf_prekeys_last_us(const struct vf_prekeys *p);

/* What stands in slot `number`. VF_E_NOT_FOUND: there is no such number. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_prekeys_slot(struct vf_prekeys *p, uint32_t number, struct vf_prekey_slot *ret,
                                                  struct vf_why *why);
/*
 * The pair of slot `number`, into the arena. VF_E_EXPIRED: destroyed (`why` says when and what for); VF_E_DAMAGED: it does not open; VF_E_NOT_FOUND.
 * *ret is zero after a failure.
 */
VF_PUBLIC VF_MUST_USE enum vf_err vf_prekeys_get(struct vf_prekeys *p, const struct vf_prekey_store_key *key,
                                                 uint32_t number, struct vf_prekey *ret, struct vf_why *why);
/*
 * Overwrite slot `number`, whatever stands there, and make that durable. The first reason and time stay when it was destroyed before, but it is
 * written again all the same: who calls this after a crash cannot know whether the disk has it. Record the tombstone first.
 */
VF_PUBLIC VF_MUST_USE enum vf_err vf_prekeys_destroy(struct vf_prekeys *p, uint32_t number, enum vf_prekey_end end,
                                                     int64_t now_us, struct vf_why *why);
/* All slots of the batch; one flush. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_prekeys_destroy_all(struct vf_prekeys *p, enum vf_prekey_end end, int64_t now_us,
                                                         struct vf_why *why);

#endif
