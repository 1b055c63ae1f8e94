/* SPDX-License-Identifier: MIT */
/* The body of a desk's answer, as anybody can seal one to the key in a request. */
#include "../../vaultfs/desk/message.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static bool ready;
    VF_BUF rest = {0};
    struct vf_answer a = {0};
    struct vf_why why = {0};

    if (!ready && vf_crypto_init(65536, NULL) != VF_OK)
        abort();
    ready = true;
    vf_buf_init(&rest, VF_NOTE_MAX);
    if (vf_answer_parse(data, len, &rest, &a, &why) != VF_OK) {
        if (a.shares != NULL)
            abort();
        return 0;
    }
    if ((unsigned)a.status >= VF_ANSWER_COUNT || (a.nshares > 0) != (a.shares != NULL) || a.receipt.len > len ||
        memchr(a.text, '\0', sizeof(a.text)) == NULL)
        abort();
    for (size_t i = 0; i < a.nshares; i++)
        if ((unsigned)a.shares[i].part >= VF_PART_COUNT)
            abort();
    return 0;
}
