/* SPDX-License-Identifier: MIT */
/* record, internal: the pictures that a vault stores. */
#ifndef VAULTFS_RECORD_IMAGE_H
#define VAULTFS_RECORD_IMAGE_H

#include "vaultfs/record.h"

struct vf_jpeg_layout;
bool vf_photo_storable(
    const struct vf_jpeg_layout *l); /* of an upright one: kind, size, and that showing it takes no great work */
bool vf_signature_size_fits(uint32_t width, uint32_t height);

#endif
