/* SPDX-License-Identifier: MIT */
/* One record's rows: the part of vf_contents_derive that runs in each thread. */
#ifndef VAULTFS_GRANT_DERIVE_RECORD_H
#define VAULTFS_GRANT_DERIVE_RECORD_H

#include "derive.h"

/* A thread's own: keys of the record in hand, in the arena. */
struct vf_derive_keys {
    struct vf_head head;
    struct vf_value_grant value;
    struct vf_field_key part[VF_PART_COUNT][VF_FIELD_COUNT];
    struct vf_envelope_key ek;
};
/* Of the whole grant, in the arena; the release secret of online grants only. */
struct vf_derive_shares {
    struct vf_grant_share gs;
    struct vf_release_secret secret;
};
/* Where one record's rows go. */
struct vf_derive_row {
    uint8_t *manifest, *envelopes, *catalogue, *times, *sizes, *seen;
};
VF_MUST_USE enum vf_err vf_derive_record(const struct vf_derive *d, const struct vf_grant_layout *l,
                                         const struct vf_derive_shares *shares, struct vf_view *view,
                                         struct vf_derive_keys *keys, struct vf_buf *scratch, uint32_t index,
                                         const struct vf_derive_row *out, struct vf_why *why);

#endif
