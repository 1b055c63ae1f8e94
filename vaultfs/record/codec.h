/* SPDX-License-Identifier: MIT */
/*
 * record, internal: pixels from and to JPEG by libjpeg-turbo. Any warning of the decoder is a refusal: it means that the
 * file is not whole.
 */
#ifndef VAULTFS_RECORD_CODEC_H
#define VAULTFS_RECORD_CODEC_H

#include "vaultfs/record.h"

struct vf_pixels {
    uint8_t *data; /* rows without gaps */
    uint32_t width, height;
    uint8_t channels; /* 1 gray, 3 RGB */
};
void vf_pixels_done(struct vf_pixels *p);
/* VF_E_NOMEM. */
VF_MUST_USE enum vf_err vf_pixels_init(struct vf_pixels *p, uint32_t width, uint32_t height, uint8_t channels,
                                       struct vf_why *why);
#define VF_PIXELS VF_CLEANUP(vf_pixels_done) struct vf_pixels

/* Decode everything and throw it away. VF_E_INPUT: why it is not whole, the reason alone. */
VF_MUST_USE enum vf_err vf_codec_prove(const uint8_t *data, size_t len, struct vf_why *why);
/* Decode, as small as the decoder can make it by itself without going below min_width x min_height (0: full size). */
VF_MUST_USE enum vf_err vf_codec_decode(const uint8_t *data, size_t len, uint32_t min_width, uint32_t min_height,
                                        struct vf_pixels *ret, struct vf_why *why);
/* Baseline, 4:4:4. Appended to `out`; VF_E_LIMIT when it does not fit into out->max. */
VF_MUST_USE enum vf_err vf_codec_encode(const struct vf_pixels *pixels, int quality, const struct vf_buf *icc,
                                        struct vf_buf *out, struct vf_why *why);

#endif
