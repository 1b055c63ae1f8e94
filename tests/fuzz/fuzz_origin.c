/* SPDX-License-Identifier: MIT */
/* The origin of a log: what is accepted is written again as the same text. */
#include "../../vaultfs/audit/checkpoint.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct vf_note note;
    struct vf_origin o;
    VF_BUF again = {.max = 65536};

    if (vf_note_parse(data, len, &note, NULL) != VF_OK || vf_origin_parse(&note, &o, NULL) != VF_OK)
        return 0;
    vf_origin_put(o.line, o.kind, o.owner, o.created_us, o.seal_key, o.restored ? &o.follows : NULL, &again);
    if (!vf_buf_ok(&again) || again.len != note.text_len || memcmp(again.data, note.text, again.len) != 0)
        abort();
    return 0;
}
