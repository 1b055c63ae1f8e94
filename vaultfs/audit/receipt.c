/* SPDX-License-Identifier: MIT */
#include "vaultfs/audit.h"

enum vf_err vf_receipt_make(const struct vf_note *checkpoint, const struct vf_identity *by, int64_t now_us,
                            struct vf_buf *out, struct vf_why *why)
{
    struct vf_checkpoint c;

    VF_TRY(vf_checkpoint_parse(checkpoint, &c, why));
    if (now_us < 0)
        return vf_fail(why, VF_E_INPUT, "a receipt cannot be dated before 1970");
    return vf_note_cosignature_put(checkpoint, by, (uint64_t)(now_us / VF_SECOND_US), out, why);
}

enum vf_err vf_receipt_verify(const struct vf_note *receipt, const struct vf_note_key *keys, size_t nkeys,
                              struct vf_checkpoint *ret, int64_t *ret_time_us, struct vf_why *why)
{
    struct vf_checkpoint c;
    uint64_t time_s = 0;
    size_t key = 0;

    VF_TRY(vf_checkpoint_parse(receipt, &c, why));
    VF_TRY(vf_note_cosignature_verify(receipt, keys, nkeys, &key, &time_s, why));
    *ret = c;
    *ret_time_us = (int64_t)time_s * VF_SECOND_US;
    return VF_OK;
}
