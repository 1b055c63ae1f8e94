/* SPDX-License-Identifier: MIT */
/* record, internal: a picture upright, by the EXIF orientation it had (1 to 8; TIFF 6.0, tag 274). */
#ifndef VAULTFS_RECORD_TURN_H
#define VAULTFS_RECORD_TURN_H

#include "codec.h"

/* True when turning swaps width and height. */
static inline bool vf_turn_swaps(uint8_t orientation)
{
    return orientation >= 5 && orientation <= 8;
}

/*
 * Turn without decoding, by TurboJPEG: coefficients are moved, no bit of the picture is lost; the result is baseline Huffman,
 * its heads are libjpeg's own. Also writes an upright arithmetic-coded file anew. *ret_done false: the dimensions or the
 * sampling do not allow it, or the file is damaged; decoding tells which. VF_E_NOMEM.
 */
VF_MUST_USE enum vf_err vf_turn_lossless(const struct vf_buf *jpeg, uint8_t orientation, struct vf_buf *out, bool *ret_done,
                                         struct vf_why *why);
/* The same with pixels. VF_E_NOMEM. */
VF_MUST_USE enum vf_err vf_turn_pixels(const struct vf_pixels *from, uint8_t orientation, struct vf_pixels *ret,
                                       struct vf_why *why);

#endif
