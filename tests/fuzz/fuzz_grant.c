/* SPDX-License-Identifier: MIT */
/* The text of a grant: what is taken is put again to the same bytes. */
#include "vaultfs/grant.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const struct vf_note note = {.text = (const char *)data, .text_len = len, .total_len = len};
    struct vf_grant g;
    struct vf_why why = {0};
    VF_BUF again = {0};

    if (vf_grant_parse(&note, "fuzz", &g, &why) != VF_OK)
        return 0;
    vf_buf_init(&again, 65536);
    vf_grant_put(&g, &again);
    if (!vf_buf_ok(&again) || again.len != len || memcmp(again.data, data, len) != 0)
        abort();
    if ((g.fields & vf_field_set_class(VF_CLASS_C)) != 0 || g.records == 0 || g.until_us <= g.from_us)
        abort();
    return 0;
}
