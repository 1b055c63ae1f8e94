/* SPDX-License-Identifier: MIT */
/*
 *   head   8 type "VFPREKEY", u32 version 1, 16 store id, u32 batch, u32 count, u64 made, u64 last day (µs), zeroes,
 *          and in its last 32 bytes SHA-256 of the bytes before
 *   slot   u32 batch, u32 number, u8 state (1 live, 2 destroyed), u8 reason, u16 zero, u64 time (µs), 32 public half, 72 wrapped secret
 *          half, zeroes, and in its last 32 bytes SHA-256 of the bytes before. Of a destroyed one, everything behind the time is zero.
 */
#include "slot.h"

#include <string.h>

#define VERSION   1
#define LIVE      1
#define DESTROYED 2
#define PUB_AT    20
#define WRAP_AT   (PUB_AT + VF_KEY_LEN)
#define END_AT    (WRAP_AT + VF_WRAPPED_LEN)

static const uint8_t type[8] = "VFPREKEY";

static void sum_put(uint8_t *block, size_t len)
{
    struct vf_hash sum;

    vf_sha256(block, len - VF_HASH_LEN, &sum);
    memcpy(block + len - VF_HASH_LEN, sum.b, VF_HASH_LEN);
}

static bool sum_good(const uint8_t *block, size_t len)
{
    struct vf_hash sum;

    vf_sha256(block, len - VF_HASH_LEN, &sum);
    return memcmp(block + len - VF_HASH_LEN, sum.b, VF_HASH_LEN) == 0;
}

static bool zero(const uint8_t *p, const uint8_t *end)
{
    while (p < end)
        if (*p++ != 0)
            return false;
    return true;
}

/* --------------------------------------------------------------------------------------------------------------------- head */

#define HEAD_END (8 + 4 + VF_PREKEY_STORE_LEN + 4 + 4 + 8 + 8)

void vf_prekeys_head_encode(const struct vf_prekeys_head *h, uint8_t out[VF_PREKEYS_HEAD_LEN])
{
    memset(out, 0, VF_PREKEYS_HEAD_LEN);
    memcpy(out, type, sizeof(type));
    vf_put_be32(out + 8, VERSION);
    memcpy(out + 12, h->store, VF_PREKEY_STORE_LEN);
    vf_put_be32(out + 28, h->batch);
    vf_put_be32(out + 32, h->count);
    vf_put_be64(out + 36, (uint64_t)h->made_us);
    vf_put_be64(out + 44, (uint64_t)h->last_us);
    sum_put(out, VF_PREKEYS_HEAD_LEN);
}

enum vf_err vf_prekeys_head_decode(const uint8_t in[VF_PREKEYS_HEAD_LEN], const char *what, struct vf_prekeys_head *ret,
                                   struct vf_why *why)
{
    struct vf_prekeys_head h = {.batch = vf_get_be32(in + 28), .count = vf_get_be32(in + 32)};
    uint64_t made = vf_get_be64(in + 36), last = vf_get_be64(in + 44);

    if (memcmp(in, type, sizeof(type)) != 0 || vf_get_be32(in + 8) != VERSION)
        return vf_fail(why, VF_E_VERSION, "%s: no file of prekeys, or of another version of vaultfs", what);
    memcpy(h.store, in + 12, VF_PREKEY_STORE_LEN);
    bool good = sum_good(in, VF_PREKEYS_HEAD_LEN) && zero(in + HEAD_END, in + VF_PREKEYS_HEAD_LEN - VF_HASH_LEN) &&
                h.batch >= 1 && h.batch <= VF_PREKEY_BATCH_MAX && h.count >= 1 && h.count <= VF_PREKEYS_MAX &&
                made <= INT64_MAX && last <= INT64_MAX && made < last;
    if (!good)
        return vf_fail(why, VF_E_DAMAGED, "%s: damaged: its first page is not what was written", what);
    h.made_us = (int64_t)made;
    h.last_us = (int64_t)last;
    *ret = h;
    return VF_OK;
}

/* -------------------------------------------------------------------------------------------------------------------- slots */

static void slot_begin(uint32_t batch, uint32_t number, uint8_t state, uint8_t out[VF_PREKEY_SLOT_LEN])
{
    memset(out, 0, VF_PREKEY_SLOT_LEN);
    vf_put_be32(out, batch);
    vf_put_be32(out + 4, number);
    out[8] = state;
}

void vf_prekey_slot_live(uint32_t batch, uint32_t number, const struct vf_prekey_live *live, uint8_t out[VF_PREKEY_SLOT_LEN])
{
    slot_begin(batch, number, LIVE, out);
    memcpy(out + PUB_AT, live->pub.b, VF_KEY_LEN);
    memcpy(out + WRAP_AT, live->wrapped, VF_WRAPPED_LEN);
    sum_put(out, VF_PREKEY_SLOT_LEN);
}

void vf_prekey_slot_destroyed(uint32_t batch, uint32_t number, enum vf_prekey_end end, int64_t now_us,
                              uint8_t out[VF_PREKEY_SLOT_LEN])
{
    slot_begin(batch, number, DESTROYED, out);
    out[9] = (uint8_t)end;
    vf_put_be64(out + 12, (uint64_t)now_us);
    sum_put(out, VF_PREKEY_SLOT_LEN);
}

void vf_prekey_slot_decode(const uint8_t in[VF_PREKEY_SLOT_LEN], uint32_t batch, uint32_t number, struct vf_prekey_slot *ret,
                           struct vf_prekey_live *ret_live)
{
    uint64_t time = vf_get_be64(in + 12);
    uint8_t end = in[9];
    bool own = sum_good(in, VF_PREKEY_SLOT_LEN) && vf_get_be32(in) == batch && vf_get_be32(in + 4) == number &&
               zero(in + 10, in + 12) && zero(in + END_AT, in + VF_PREKEY_SLOT_LEN - VF_HASH_LEN);

    *ret = (struct vf_prekey_slot){.state = VF_PREKEY_DAMAGED};
    if (own && in[8] == LIVE && end == 0 && time == 0) {
        ret->state = VF_PREKEY_LIVE;
        if (ret_live) {
            memcpy(ret_live->pub.b, in + PUB_AT, VF_KEY_LEN);
            memcpy(ret_live->wrapped, in + WRAP_AT, VF_WRAPPED_LEN);
        }
    } else if (own && in[8] == DESTROYED && end >= VF_PREKEY_ENDED && end <= VF_PREKEY_LAST_DAY && time <= INT64_MAX &&
               zero(in + PUB_AT, in + END_AT)) {
        *ret = (struct vf_prekey_slot){VF_PREKEY_DESTROYED, (enum vf_prekey_end)end, (int64_t)time};
    }
}
