/* SPDX-License-Identifier: MIT */
/*
 * A desk's one-time keys, as a vault keeps them: which are there, and which were given to a grant. A number serves one grant, ever; so they
 * are in no backup, and a restored vault takes only batches that were made after it was restored.
 */
#ifndef VAULTFS_GRANT_PREKEY_ROWS_H
#define VAULTFS_GRANT_PREKEY_ROWS_H

#include <vaultfs/grant.h>

/*
 * A row of VF_VT_PREKEY, by u32 batch: u8 version 1 ‖ 16 store ‖ u64 made ‖ u64 last (µs) ‖ u32 count ‖ a bit for each number that was
 * used, the lowest bit first ‖ the public halves.
 */
struct vf_prekey_row {
    uint8_t store[VF_PREKEY_STORE_LEN];
    int64_t made_us, last_us;
    uint32_t count;
    const uint8_t *used; /* borrowed */
    const uint8_t *keys;
};
VF_MUST_USE enum vf_err vf_prekey_row_parse(const void *data, size_t len, struct vf_prekey_row *ret, struct vf_why *why);

/*
 * One for a grant that ends at `until_us`: of the batch that is destroyed first of those that live so long, a free number chosen by chance (so
 * that two copies of a vault seldom choose the same). VF_E_REFUSED when there is none: `why` says what to ask the desk for.
 */
VF_MUST_USE enum vf_err vf_prekey_choose(struct vf_vault *v, int64_t until_us, uint32_t *ret_batch, uint32_t *ret_number,
                                         struct vf_prekey_pub *ret_pub, struct vf_why *why);
/* In the transaction that keeps a new grant: its number is used from now on. VF_E_REFUSED: by another one already, or unknown here. */
VF_MUST_USE enum vf_err vf_prekey_use(struct vf_txn *txn, const struct vf_grant *g, struct vf_why *why);

#endif
