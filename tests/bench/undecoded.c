/* SPDX-License-Identifier: MIT */
/* For bench.py: a keytool whose imports do not decode photos to prove that they are whole, nor keep a sandbox for that. What the proof costs is the difference. */
#include "vaultfs/record.h"

VF_MUST_USE enum vf_err __wrap_vf_codec_prove(const uint8_t *data, size_t len, struct vf_why *why);
VF_MUST_USE enum vf_err __wrap_vf_image_sandbox_start(unsigned lanes, struct vf_image_sandbox **ret, struct vf_why *why);

enum vf_err __wrap_vf_codec_prove(const uint8_t *data, size_t len, struct vf_why *why)
{
    (void)data;
    (void)len;
    (void)why;
    return VF_OK;
}

enum vf_err __wrap_vf_image_sandbox_start(unsigned lanes, struct vf_image_sandbox **ret, struct vf_why *why)
{
    (void)lanes;
    (void)why;
    *ret = NULL;
    return VF_OK;
}
