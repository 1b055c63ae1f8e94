/* SPDX-License-Identifier: MIT */
/* The body of a request to the desk, as anybody can seal one: everything in it lies within it. */
#include "../../vaultfs/desk/message.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void inside(const struct vf_slice *s, const uint8_t *data, size_t len)
{
    if (s->len > 0 && (s->data < data || s->data > data + len || s->len > (size_t)(data + len - s->data)))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct vf_request r;
    struct vf_why why = {0};

    if (vf_request_parse(data, len, &r, &why) != VF_OK)
        return 0;
    if (r.nwants > VF_REQUEST_WANTS_MAX || r.log_from > r.log_size)
        abort();
    inside(&r.grant_note, data, len);
    inside(&r.manifest, data, len);
    inside(&r.enrol, data, len);
    inside(&r.checkpoints, data, len);
    inside(&r.entries, data, len);
    inside(&r.receipt, data, len);
    return 0;
}
