/* SPDX-License-Identifier: MIT */
/* u16 length, a desk's public line, a batch of prekeys: what is taken was signed by that desk, and every key can be sealed to. */
#include "vaultfs/grant.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static bool ready;
    struct vf_identity_pub desk;
    struct vf_prekey_batch b = {0};
    struct vf_why why = {0};
    struct vf_reader in = vf_reader_of(data, len);
    size_t line_len;

    if (!ready && vf_crypto_init(65536, NULL) != VF_OK)
        abort();
    ready = true;
    const uint8_t *line = vf_reader_str16(&in, 256, &line_len);
    if (in.bad || vf_identity_pub_parse((const char *)line, line_len, &desk, &why) != VF_OK)
        return 0;
    if (vf_prekeys_parse(in.next, in.left, "fuzz", &desk, &b, &why) != VF_OK)
        return 0;
    if (strcmp(b.desk, desk.name) != 0 || b.batch == 0 || b.count == 0 || b.last_us <= b.made_us)
        abort();
    for (uint32_t i = 0; i < b.count; i++)
        if (!vf_prekey_pub_good(&b.keys[i]))
            abort();
    vf_prekey_batch_done(&b);
    return 0;
}
