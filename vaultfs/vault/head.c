/* SPDX-License-Identifier: MIT */
/*
 * A record's head: what there is of it, in one encrypted row of one size for all records. Plaintext: u8 version 1, u8 protect,
 * u8 status, u64 created; then for fields 1 to 31: u32 last generation, u32 epoch, u32 length, u32 quoted length, u64 changed. An image
 * with length 0 is absent, and keeps its last generation: a number is never given to two values while a grant may name the first.
 */
#include "internal.h"

#include <string.h>

#define HEAD_VERSION 1

static uint8_t *put_field(uint8_t *at, const struct vf_head_row *row, unsigned field)
{
    static const struct vf_field_state none;
    const struct vf_field_state *f = field < VF_FIELD_COUNT ? &row->head.f[field] : &none;

    vf_put_be32(at, field < VF_FIELD_COUNT ? row->last[field] : 0);
    vf_put_be32(at + 4, f->epoch);
    vf_put_be32(at + 8, f->len);
    vf_put_be32(at + 12, f->quoted_len);
    vf_put_be64(at + 16, (uint64_t)f->changed_us);
    return at + 24;
}

void vf_head_row_seal(const struct vf_record_key *rk, const struct vf_vault_id *vault, const struct vf_head_row *row,
                      uint8_t out[VF_HEAD_ROW_LEN])
{
    uint8_t plain[VF_HEAD_PLAIN];
    uint8_t *at = plain + 11;
    struct vf_head_key key;

    plain[0] = HEAD_VERSION;
    plain[1] = (uint8_t)row->head.protect;
    plain[2] = (uint8_t)row->head.status;
    vf_put_be64(plain + 3, (uint64_t)row->head.created_us);
    for (unsigned f = 1; f <= VF_HEAD_FIELDS; f++)
        at = put_field(at, row, f);
    vf_kdf_head_key(rk, &key);
    vf_head_seal(&key, vault, &row->head.ref, plain, sizeof(plain), out);
    vf_wipe(&key, sizeof(key));
    vf_wipe(plain, sizeof(plain));
}

/* One field's place; false when it says what cannot be. */
static bool take_field(struct vf_reader *r, unsigned field, struct vf_head_row *row)
{
    const struct vf_field_info *info = vf_field_info(field);
    struct vf_field_state f = {0};
    uint32_t last = vf_reader_u32(r);

    f.epoch = vf_reader_u32(r);
    f.len = vf_reader_u32(r);
    f.quoted_len = vf_reader_u32(r);
    uint64_t changed = vf_reader_u64(r);

    if (info == NULL)
        return last == 0 && f.epoch == 0 && f.len == 0 && f.quoted_len == 0 && changed == 0;
    if (changed > INT64_MAX || f.len > info->max_bytes || (last == 0 && (f.len != 0 || !vf_field_is_image(field))))
        return false;
    f.changed_us = (int64_t)changed;
    f.generation = vf_field_is_image(field) && f.len == 0 ? 0 : last;
    row->head.f[field] = f;
    row->last[field] = last;
    return true;
}

static bool decode(struct vf_reader *r, struct vf_head_row *row)
{
    uint8_t version = vf_reader_u8(r);
    uint8_t protect = vf_reader_u8(r);
    uint8_t status = vf_reader_u8(r);
    uint64_t created = vf_reader_u64(r);

    if (version != HEAD_VERSION || protect > VF_PROTECT_COVERT || status > VF_STATUS_LEAVER || created > INT64_MAX)
        return false;
    row->head.protect = (enum vf_protect)protect;
    row->head.status = (enum vf_status)status;
    row->head.created_us = (int64_t)created;
    for (unsigned f = 1; f <= VF_HEAD_FIELDS; f++)
        if (!take_field(r, f, row))
            return false;
    return vf_reader_done(r);
}

enum vf_err vf_head_row_open(const struct vf_record_key *rk, const struct vf_vault_id *vault, const struct vf_ref *ref,
                             struct vf_slice sealed, struct vf_head_row *ret)
{
    uint8_t plain[VF_HEAD_PLAIN];
    struct vf_head_row row = {.head.ref = *ref};
    struct vf_head_key key;

    if (sealed.len != VF_HEAD_ROW_LEN)
        return VF_E_DAMAGED;
    vf_kdf_head_key(rk, &key);
    enum vf_err err = vf_head_open(&key, vault, ref, sealed.data, sealed.len, plain);
    vf_wipe(&key, sizeof(key));
    struct vf_reader r = vf_reader_of(plain, sizeof(plain));
    if (err == VF_OK && !decode(&r, &row))
        err = VF_E_DAMAGED;
    if (err == VF_OK)
        *ret = row;
    vf_wipe(plain, sizeof(plain));
    vf_wipe(&row, sizeof(row));
    return err;
}

void vf_head_row_done(struct vf_head_row *row)
{
    vf_wipe(row, sizeof(*row));
}

bool vf_head_take(struct vf_head_row *row, unsigned field, const char *text, size_t len)
{
    if (field == VF_FIELD_PROTECT)
        return vf_protect_parse(text, len, &row->head.protect);
    if (field == VF_FIELD_STATUS)
        return vf_status_parse(text, len, &row->head.status);
    return true;
}
