/* SPDX-License-Identifier: MIT */
/*
 * What a device has been sent already: the values of its other grants for which a bundle was written, as long as the station keeps them (it
 * drops values 14 days after a grant's end, and at once when it is revoked; a day is left for clocks).
 */
#ifndef VAULTFS_GRANT_SENT_H
#define VAULTFS_GRANT_SENT_H

#include <vaultfs/grant.h>

#define VF_SENT_KEEP_US (13 * VF_DAY_US)

/* One bit a value of a manifest: row * nfields + column. */
struct vf_sent {
    struct vf_buf bits;
    unsigned nfields;
};
void vf_sent_done(struct vf_sent *s);
#define VF_SENT VF_CLEANUP(vf_sent_done) struct vf_sent
/* Marks the values of `m` that the device `enrolment` has by grants other than `self` (NULL: by any). */
VF_MUST_USE enum vf_err vf_sent_load(struct vf_vault *v, const struct vf_hash *enrolment, const struct vf_grant_id *self,
                                     int64_t now_us, const struct vf_manifest *m, struct vf_sent *ret, struct vf_why *why);
/* Was any value of `m` ever in an offline grant to this device? What became of the grant, and whether it was sent, does not matter. */
VF_MUST_USE enum vf_err vf_sent_offline(struct vf_vault *v, const struct vf_hash *enrolment, const struct vf_manifest *m,
                                        bool *ret, struct vf_why *why);
VF_MUST_USE bool vf_sent_has(const struct vf_sent *s, uint32_t row, unsigned column);

#endif
