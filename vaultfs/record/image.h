/* SPDX-License-Identifier: MIT */
/* record, internal: the sizes in pixels that a vault stores. */
#ifndef VAULTFS_RECORD_IMAGE_H
#define VAULTFS_RECORD_IMAGE_H

#include "vaultfs/record.h"

bool vf_photo_size_fits(uint32_t width, uint32_t height); /* upright */
bool vf_signature_size_fits(uint32_t width, uint32_t height);

#endif
