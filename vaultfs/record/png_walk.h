/* SPDX-License-Identifier: MIT */
/* record, internal: the chunks of a PNG file (ISO/IEC 15948), read without decoding. */
#ifndef VAULTFS_RECORD_PNG_WALK_H
#define VAULTFS_RECORD_PNG_WALK_H

#include "vaultfs/record.h"

#define VF_PNG_CHUNK_MAX (8u * 1024 * 1024)

/*
 * Where the image ends (behind IEND); the had_ and size members of *ret are filled. Checksums and the order of chunks are left
 * to the decoder. VF_E_INPUT: the reason alone.
 */
VF_MUST_USE enum vf_err vf_png_walk(const uint8_t *data, size_t len, size_t *ret_end, struct vf_image_report *ret,
                                    struct vf_why *why);
/* True when a file has no chunks but IHDR PLTE tRNS IDAT IEND, gAMA cHRM sRGB iCCP, and ends with IEND. */
VF_MUST_USE bool vf_png_bare(const uint8_t *data, size_t len);

#endif
