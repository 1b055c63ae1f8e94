/* SPDX-License-Identifier: MIT */
/* A whole grant file; what is taken has every part where the text says. */
#include "vaultfs/grant.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct vf_grant_file f;
    struct vf_grant_layout l;
    struct vf_why why = {0};
    size_t part;

    if (vf_grant_file_parse(data, len, "fuzz", &f, &why) != VF_OK)
        return 0;
    vf_grant_layout_of(f.grant.fields, &l);
    if (f.manifest.nrecords != f.grant.records || f.manifest.stride != l.manifest_stride)
        abort();
    size_t last = vf_envelope_at(&l, f.grant.records - 1, VF_PART_IMAGE, &part);
    if (last + part != f.envelopes_len)
        abort();
    return 0;
}
