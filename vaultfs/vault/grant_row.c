/* SPDX-License-Identifier: MIT */
#include "vaultfs/vault.h"

#define ROW_VERSION   1
#define FLAG_EXPORTED 1u

void vf_grant_row_put(const struct vf_grant_row *row, struct vf_buf *out)
{
    vf_buf_u8(out, ROW_VERSION);
    vf_buf_u8(out, (uint8_t)row->state);
    vf_buf_u8(out, row->exported ? FLAG_EXPORTED : 0);
    vf_buf_u64(out, (uint64_t)row->until_us);
    vf_buf_put(out, row->manifest.b, VF_HASH_LEN);
    vf_buf_put(out, row->device.b, VF_HASH_LEN);
    vf_buf_put(out, row->note.data, row->note.len);
}

enum vf_err vf_grant_row_parse(const void *data, size_t len, struct vf_grant_row *ret, struct vf_why *why)
{
    struct vf_reader r = vf_reader_of(data, len);
    struct vf_grant_row row = {0};
    uint8_t version = vf_reader_u8(&r);
    uint8_t state = vf_reader_u8(&r);
    uint8_t flags = vf_reader_u8(&r);
    uint64_t until = vf_reader_u64(&r);

    vf_reader_copy(&r, row.manifest.b, VF_HASH_LEN);
    vf_reader_copy(&r, row.device.b, VF_HASH_LEN);
    if (r.bad || version != ROW_VERSION || (state != VF_GRANT_ISSUED && state != VF_GRANT_REVOKED) ||
        (flags & ~FLAG_EXPORTED) != 0 || until > INT64_MAX)
        return vf_fail(why, VF_E_DAMAGED, "a grant's row in the vault is not well-formed; check the vault");
    row.state = state == VF_GRANT_ISSUED ? VF_GRANT_ISSUED : VF_GRANT_REVOKED;
    row.exported = (flags & FLAG_EXPORTED) != 0;
    row.until_us = (int64_t)until;
    row.note.len = r.left;
    row.note.data = vf_reader_view(&r, r.left);
    *ret = row;
    return VF_OK;
}

bool vf_grant_row_live(const struct vf_grant_row *row, int64_t now_us)
{
    return row->state == VF_GRANT_ISSUED && now_us < row->until_us;
}
