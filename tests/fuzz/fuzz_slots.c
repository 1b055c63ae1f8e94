/* SPDX-License-Identifier: MIT */
/* One block of a slot file: what is taken for a slot is, byte for byte, what would be written for it. */
#include "../../vaultfs/crypto/crypto_internal.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const char type[8] = "VFTESTS";

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void decode(const uint8_t block[VF_SLOTS_BLOCK])
{
    static struct vf_slot slot;
    uint8_t again[VF_SLOTS_BLOCK];
    enum vf_slot_state state = vf_slots_decode(block, type, &slot);

    check(slot.present == (state == VF_SLOT_PRESENT) && slot.len <= VF_SLOT_PAYLOAD);
    if (!slot.present)
        return;
    vf_slots_encode(type, slot.seq, slot.payload, slot.len, again);
    check(memcmp(again, block, VF_SLOTS_BLOCK) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    uint8_t *block = calloc(1, VF_SLOTS_BLOCK); /* of its exact size: a sanitizer sees the first byte beyond it */
    struct vf_hash sum;

    check(block != NULL);
    if (len > 0)
        memcpy(block, data, len < VF_SLOTS_BLOCK ? len : VF_SLOTS_BLOCK);
    decode(block);
    /* The same with the checksum mended where the length says that it is. */
    size_t end = 22 + (size_t)vf_get_be16(block + 20);
    if (end + VF_HASH_LEN <= VF_SLOTS_BLOCK) {
        vf_sha256(block, end, &sum);
        memcpy(block + end, sum.b, VF_HASH_LEN);
        decode(block);
    }
    free(block);
    return 0;
}
