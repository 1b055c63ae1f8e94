/* SPDX-License-Identifier: MIT */
/* The first page of a file of prekeys, or a slot: what is taken is, written again, the same bytes. */
#include "../../vaultfs/desk/slot.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void slot(const uint8_t *data)
{
    uint32_t batch = vf_get_be32(data), number = vf_get_be32(data + 4);
    uint8_t again[VF_PREKEY_SLOT_LEN];
    struct vf_prekey_live live;
    struct vf_prekey_slot s;

    vf_prekey_slot_decode(data, batch, number, &s, &live);
    if (s.state == VF_PREKEY_DAMAGED)
        return;
    if (s.state == VF_PREKEY_LIVE)
        vf_prekey_slot_live(batch, number, &live, again);
    else
        vf_prekey_slot_destroyed(batch, number, s.end, s.end_us, again);
    if (memcmp(again, data, sizeof(again)) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static bool ready;
    struct vf_prekeys_head head;
    uint8_t again[VF_PREKEYS_HEAD_LEN];

    if (!ready && vf_crypto_init(65536, NULL) != VF_OK)
        abort();
    ready = true;
    if (len == VF_PREKEY_SLOT_LEN)
        slot(data);
    if (len != VF_PREKEYS_HEAD_LEN || vf_prekeys_head_decode(data, "fuzz", &head, NULL) != VF_OK)
        return 0;
    vf_prekeys_head_encode(&head, again);
    if (memcmp(again, data, sizeof(again)) != 0)
        abort();
    return 0;
}
