/* SPDX-License-Identifier: MIT */
/* record, internal: what we want to know of an EXIF block before it goes. */
#ifndef VAULTFS_RECORD_EXIF_H
#define VAULTFS_RECORD_EXIF_H

#include "vaultfs/record.h"

struct vf_exif_facts {
    uint8_t orientation; /* 1 to 8; 0: none, or nonsense */
    bool gps, thumbnail;
};

/* `block` begins with "Exif\0\0". A block that cannot be read has no facts. */
VF_MUST_USE enum vf_err vf_exif_read(const uint8_t *block, size_t len, struct vf_exif_facts *ret, struct vf_why *why);

#endif
