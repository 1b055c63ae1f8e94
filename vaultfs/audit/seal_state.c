/* SPDX-License-Identifier: MIT */
/* The payload of a seal slot. docs/format.md has the layout. */
#include "log.h"

#include <string.h>

#define FIXED (32 + 32 + 8 + 8 + 8 + 8 + 8)
_Static_assert(FIXED + 64 * VF_HASH_LEN <= VF_SLOT_PAYLOAD, "a seal state fits into a slot");

static uint8_t *put(uint8_t *to, const void *from, size_t len)
{
    memcpy(to, from, len);
    return to + len;
}

static uint8_t *put_u64(uint8_t *to, uint64_t v)
{
    vf_put_be64(to, v);
    return to + 8;
}

size_t vf_seal_state_encode(const struct vf_seal_state *s, const struct vf_hash *id, uint8_t out[VF_SLOT_PAYLOAD])
{
    uint8_t *at = out;

    at = put(at, id->b, sizeof(id->b));
    at = put(at, s->key.seed, sizeof(s->key.seed));
    at = put_u64(at, s->cp_at);
    at = put_u64(at, s->seg_first);
    at = put_u64(at, s->seg_at);
    at = put_u64(at, (uint64_t)s->time_us);
    at = put_u64(at, s->tree.size);
    for (unsigned i = 0; i < 64; i++)
        if ((s->tree.size >> i & 1) != 0)
            at = put(at, s->tree.edge[i].b, VF_HASH_LEN);
    return (size_t)(at - out);
}

enum vf_err vf_seal_state_decode(const uint8_t *in, size_t len, const struct vf_hash *id, struct vf_seal_state *ret,
                                 struct vf_why *why)
{
    struct vf_reader r = vf_reader_of(in, len);
    struct vf_hash of = {{0}};
    const uint8_t *seed;

    vf_wipe(ret, sizeof(*ret));
    vf_tree_init(&ret->tree);
    vf_reader_copy(&r, of.b, sizeof(of.b));
    seed = vf_reader_view(&r, 32);
    ret->cp_at = vf_reader_u64(&r);
    ret->seg_first = vf_reader_u64(&r);
    ret->seg_at = vf_reader_u64(&r);
    uint64_t time = vf_reader_u64(&r);
    ret->tree.size = vf_reader_u64(&r);
    for (unsigned i = 0; i < 64; i++)
        if ((ret->tree.size >> i & 1) != 0)
            vf_reader_copy(&r, ret->tree.edge[i].b, VF_HASH_LEN);
    bool sane = vf_reader_done(&r) && time <= INT64_MAX && ret->tree.size <= VF_ENTRY_SEQ_MAX && ret->cp_at <= INT64_MAX &&
                ret->seg_at <= INT64_MAX && (ret->tree.size == 0 ? ret->seg_at == 0 : ret->seg_first < ret->tree.size);
    if (!sane || !vf_seal_key_from_seed(seed, &ret->key))
        return vf_fail(why, VF_E_DAMAGED, "the log's seal state is damaged");
    ret->time_us = (int64_t)time;
    if (memcmp(of.b, id->b, sizeof(of.b)) != 0)
        return vf_fail(why, VF_E_DAMAGED, "the seal file belongs to another log");
    return VF_OK;
}
