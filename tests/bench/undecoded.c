/* SPDX-License-Identifier: MIT */
/* For bench.py: a keytool whose imports do not decode photos to prove that they are whole. What that proof costs is the difference. */
#include "vaultfs/base.h"

VF_MUST_USE enum vf_err __wrap_vf_codec_prove(const uint8_t *data, size_t len, struct vf_why *why);

enum vf_err __wrap_vf_codec_prove(const uint8_t *data, size_t len, struct vf_why *why)
{
    (void)data;
    (void)len;
    (void)why;
    return VF_OK;
}
