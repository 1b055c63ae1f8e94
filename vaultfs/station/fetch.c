/* SPDX-License-Identifier: MIT */
/*
 * A stored ciphertext, copied and then hashed: the database is a shared map of a file that others may write to, and only the copy is used afterwards.
 * Otherwise a holder of the field key could show the hash one ciphertext and the decryption another.
 */
#include "station_internal.h"

#include <string.h>

bool vf_value_column(const struct vf_grant_layout *l, unsigned field, unsigned *ret)
{
    for (unsigned i = 0; i < l->nfields; i++) {
        if (l->field[i] == field) {
            *ret = i;
            return true;
        }
    }
    return false;
}

void vf_value_want_of(const struct vf_job *job, uint32_t index, unsigned column, const uint8_t *row,
                      struct vf_value_want *ret)
{
    const uint8_t *item = row + VF_REF_LEN + (size_t)column * VF_MANIFEST_ITEM_LEN;

    ret->ref = *vf_catalogue_ref(job->catalogue, index);
    ret->field = job->layout.field[column];
    ret->generation = vf_get_be32(item);
    memcpy(ret->hash.b, item + 4, sizeof(ret->hash.b));
}

enum vf_err vf_value_fetch(struct vf_station *st, struct vf_txn *txn, struct vf_hasher *hasher,
                           const struct vf_value_want *want, uint8_t *out, size_t *ret_len, struct vf_why *why)
{
    const char *name = vf_field_info(want->field)->name;
    uint8_t store_key[VF_VALUE_KEY_LEN];
    struct vf_slice val;
    struct vf_hash hash;

    if (want->generation == 0)
        return vf_fail(why, VF_E_NOT_FOUND, "%.8s: has no %s", want->ref.c, name);
    vf_station_value_key(&want->ref, (uint8_t)want->field, want->generation, &want->hash, store_key);
    if (!vf_txn_get(txn, VF_ST_VALUE, store_key, sizeof(store_key), &val)) {
        VF_TRY(vf_txn_check(txn, why));
        return vf_fail(why, VF_E_NOT_FOUND, "%.8s: its %s has not arrived", want->ref.c, name);
    }
    if (val.len <= VF_VALUE_ROW_PREFIX || !vf_station_batch_committed(st, vf_get_be64(val.data)))
        return vf_fail(why, VF_E_NOT_FOUND, "%.8s: its %s has not arrived", want->ref.c, name);
    size_t len = val.len - VF_VALUE_ROW_PREFIX;
    if (len > VF_SEALED_MAX)
        return vf_fail(why, VF_E_DAMAGED, "%.8s: its %s is longer than any value", want->ref.c, name);
    memcpy(out, val.data + VF_VALUE_ROW_PREFIX, len);
    vf_hasher_reset(hasher);
    vf_hasher_update(hasher, out, len);
    vf_hasher_final(hasher, &hash);
    if (memcmp(&hash, &want->hash, sizeof(hash)) != 0)
        return vf_fail(why, VF_E_FORGED, "%.8s: its %s is not what the force signed", want->ref.c, name);
    *ret_len = len;
    return VF_OK;
}
