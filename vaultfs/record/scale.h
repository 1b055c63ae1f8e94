/* SPDX-License-Identifier: MIT */
/* record, internal: making a picture smaller. */
#ifndef VAULTFS_RECORD_SCALE_H
#define VAULTFS_RECORD_SCALE_H

#include "codec.h"

/* The largest size of the same shape within max_width x max_height; the same when it fits already. At least 1 x 1. */
void vf_scale_fit(uint32_t width, uint32_t height, uint32_t max_width, uint32_t max_height, uint32_t *ret_width,
                  uint32_t *ret_height);
/* Area average: every source pixel counts by how much of it lies under the new one. Not larger than `from`. VF_E_NOMEM. */
VF_MUST_USE enum vf_err vf_scale_down(const struct vf_pixels *from, uint32_t width, uint32_t height, struct vf_pixels *ret,
                                      struct vf_why *why);

#endif
