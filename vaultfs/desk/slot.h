/* SPDX-License-Identifier: MIT */
/* desk, internal: the bytes of a prekey file's head and of its slots. */
#ifndef VAULTFS_DESK_SLOT_H
#define VAULTFS_DESK_SLOT_H

#include <vaultfs/desk.h>

#define VF_PREKEYS_HEAD_LEN 4096
#define VF_PREKEY_SLOT_LEN  512 /* a sector: a write of it is whole or not there */

struct vf_prekeys_head {
    uint8_t store[VF_PREKEY_STORE_LEN];
    uint32_t batch, count;
    int64_t made_us, last_us;
};
void vf_prekeys_head_encode(const struct vf_prekeys_head *h, uint8_t out[VF_PREKEYS_HEAD_LEN]);
/* VF_E_VERSION: of another kind or version; VF_E_DAMAGED: its checksum or a value is wrong. `what` names the file. */
VF_MUST_USE enum vf_err vf_prekeys_head_decode(const uint8_t in[VF_PREKEYS_HEAD_LEN], const char *what,
                                               struct vf_prekeys_head *ret, struct vf_why *why);

struct vf_prekey_live {
    struct vf_prekey_pub pub;
    uint8_t wrapped[VF_WRAPPED_LEN];
};
void vf_prekey_slot_live(uint32_t batch, uint32_t number, const struct vf_prekey_live *live,
                         uint8_t out[VF_PREKEY_SLOT_LEN]);
void vf_prekey_slot_destroyed(uint32_t batch, uint32_t number, enum vf_prekey_end end, int64_t now_us,
                              uint8_t out[VF_PREKEY_SLOT_LEN]);
/* Total: what is no slot of this batch and number is VF_PREKEY_DAMAGED. *ret_live (may be NULL) is set when it is live. */
void vf_prekey_slot_decode(const uint8_t in[VF_PREKEY_SLOT_LEN], uint32_t batch, uint32_t number, struct vf_prekey_slot *ret,
                           struct vf_prekey_live *ret_live);

#endif
