/* SPDX-License-Identifier: MIT */
#include "internal.h"

#include <string.h>

const char *const vf_vault_tables[VF_VT_COUNT] = {
    [VF_VT_META] = "meta",     [VF_VT_VK] = "vk",       [VF_VT_RECORD] = "record", [VF_VT_INDEX] = "index",
    [VF_VT_HEAD] = "head",     [VF_VT_VALUE] = "value", [VF_VT_GRANT] = "grant",   [VF_VT_MANIFEST] = "manifest",
    [VF_VT_DEVICE] = "device", [VF_VT_TIMES] = "times", [VF_VT_PREKEY] = "prekey",
};

bool vf_meta_get(struct vf_txn *txn, const char *key, struct vf_slice *ret)
{
    return vf_txn_get(txn, VF_VT_META, key, strlen(key), ret);
}

bool vf_meta_u64(struct vf_txn *txn, const char *key, uint64_t *ret)
{
    struct vf_slice row;

    if (!vf_meta_get(txn, key, &row) || row.len != 8)
        return false;
    *ret = vf_get_be64(row.data);
    return true;
}

bool vf_meta_u32(struct vf_txn *txn, const char *key, uint32_t *ret)
{
    struct vf_slice row;

    if (!vf_meta_get(txn, key, &row) || row.len != 4)
        return false;
    *ret = vf_get_be32(row.data);
    return true;
}

void vf_meta_put(struct vf_txn *txn, const char *key, const void *data, size_t len)
{
    vf_txn_put(txn, VF_VT_META, key, strlen(key), data, len);
}

void vf_meta_put_u64(struct vf_txn *txn, const char *key, uint64_t v)
{
    uint8_t b[8];

    vf_put_be64(b, v);
    vf_meta_put(txn, key, b, sizeof(b));
}

void vf_meta_put_u32(struct vf_txn *txn, const char *key, uint32_t v)
{
    uint8_t b[4];

    vf_put_be32(b, v);
    vf_meta_put(txn, key, b, sizeof(b));
}

void vf_meta_del(struct vf_txn *txn, const char *key)
{
    (void)vf_txn_del(txn, VF_VT_META, key, strlen(key));
}
