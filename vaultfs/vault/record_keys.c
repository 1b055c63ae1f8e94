/* SPDX-License-Identifier: MIT */
#include "internal.h"

#include <string.h>

/* u8 n, then n times: u32 epoch, wrapped key. */
bool vf_record_row_valid(struct vf_slice row)
{
    uint32_t before = 0;

    if (row.len < 1 || row.data[0] == 0 || row.data[0] > VF_EPOCHS_MAX ||
        row.len != 1 + (size_t)row.data[0] * VF_RECORD_ROW_ITEM)
        return false;
    for (unsigned i = 0; i < row.data[0]; i++) {
        uint32_t epoch = vf_get_be32(row.data + 1 + (size_t)i * VF_RECORD_ROW_ITEM);
        if (epoch <= before)
            return false;
        before = epoch;
    }
    return true;
}

enum vf_err vf_record_keys_open(const struct vf_wrap_key *wrap, const struct vf_vault_id *vault, const struct vf_ref *ref,
                                struct vf_slice row, struct vf_record_keys *ret)
{
    if (!vf_record_row_valid(row))
        return VF_E_DAMAGED;
    ret->n = 0;
    for (unsigned i = 0; i < row.data[0]; i++) {
        const uint8_t *item = row.data + 1 + (size_t)i * VF_RECORD_ROW_ITEM;
        ret->epoch[i] = vf_get_be32(item);
        if (vf_record_key_unwrap(wrap, vault, ref, item + 4, &ret->key[i]) != VF_OK)
            return VF_E_DAMAGED;
    }
    ret->ref = *ref;
    ret->n = row.data[0];
    return VF_OK;
}

size_t vf_record_keys_seal(const struct vf_wrap_key *wrap, const struct vf_vault_id *vault,
                           const struct vf_record_keys *keys, uint8_t out[VF_RECORD_ROW_MAX])
{
    out[0] = (uint8_t)keys->n;
    for (unsigned i = 0; i < keys->n; i++) {
        uint8_t *item = out + 1 + (size_t)i * VF_RECORD_ROW_ITEM;
        vf_put_be32(item, keys->epoch[i]);
        vf_record_key_wrap(wrap, vault, &keys->ref, &keys->key[i], item + 4);
    }
    return 1 + (size_t)keys->n * VF_RECORD_ROW_ITEM;
}

const struct vf_record_key *vf_record_keys_find(const struct vf_record_keys *keys, uint32_t epoch)
{
    for (unsigned i = 0; i < keys->n; i++)
        if (keys->epoch[i] == epoch)
            return &keys->key[i];
    return NULL;
}

const struct vf_record_key *vf_record_keys_newest(const struct vf_record_keys *keys)
{
    return &keys->key[keys->n - 1];
}
