/* SPDX-License-Identifier: MIT */
#include "internal.h"

#include <string.h>

struct vf_value_key vf_value_key_of(const struct vf_ref *ref, unsigned field, uint32_t generation)
{
    struct vf_value_key key;

    memcpy(key.b, ref->c, VF_REF_LEN);
    key.b[VF_REF_LEN] = (uint8_t)field;
    vf_put_be32(key.b + VF_REF_LEN + 1, generation);
    return key;
}

bool vf_value_key_parse(struct vf_slice key, struct vf_ref *ret_ref, unsigned *ret_field, uint32_t *ret_generation)
{
    if (key.len != VF_VALUE_KEY_LEN || !vf_ref_parse((const char *)key.data, VF_REF_LEN, ret_ref))
        return false;
    *ret_field = key.data[VF_REF_LEN];
    *ret_generation = vf_get_be32(key.data + VF_REF_LEN + 1);
    return vf_field_info(*ret_field) != NULL && *ret_generation != 0;
}

/* Every size that a value of the field can have: text one, images whole steps. */
static bool sealed_len_valid(unsigned field, size_t len)
{
    size_t step = vf_field_padded(field, 0);
    size_t most = vf_field_padded(field, vf_field_info(field)->max_bytes);

    if (len < step + VF_VALUE_OVERHEAD || len > most + VF_VALUE_OVERHEAD)
        return false;
    return (len - VF_VALUE_OVERHEAD) % step == 0;
}

bool vf_value_row_parse(struct vf_slice data, unsigned field, struct vf_value_row *ret)
{
    struct vf_reader r = vf_reader_of(data.data, data.len);
    struct vf_value_row row = {.epoch = vf_reader_u32(&r)};

    row.s = vf_reader_view(&r, VF_SALT_LEN);
    vf_reader_copy(&r, row.hash.b, VF_HASH_LEN);
    row.sealed_len = r.left;
    row.sealed = vf_reader_view(&r, r.left);
    if (r.bad || row.epoch == 0 || vf_field_info(field) == NULL || !sealed_len_valid(field, row.sealed_len))
        return false;
    *ret = row;
    return true;
}

size_t vf_value_row_len(unsigned field, size_t len)
{
    return VF_VALUE_ROW_HEAD + vf_field_padded(field, len) + VF_VALUE_OVERHEAD;
}

enum vf_err vf_value_row_seal(const struct vf_record_keys *keys, const struct vf_vault_id *vault, unsigned field,
                              uint32_t generation, const void *plain, size_t len, uint8_t *out)
{
    struct vf_value_id id = {.vault = *vault, .ref = keys->ref, .field = (uint8_t)field, .generation = generation};
    uint8_t *s = out + 4;
    uint8_t *sealed = out + VF_VALUE_ROW_HEAD;
    size_t padded = vf_field_padded(field, len);
    struct vf_field_key fk;
    struct vf_hash hash;

    vf_put_be32(out, keys->epoch[keys->n - 1]);
    vf_random(s, VF_SALT_LEN);
    vf_kdf_field_key(vf_record_keys_newest(keys), (uint8_t)field, generation, s, &fk);
    enum vf_err err = vf_value_seal(&fk, &id, plain, len, padded, sealed);
    vf_wipe(&fk, sizeof(fk));
    if (err != VF_OK)
        return err;
    vf_sha256(sealed, padded + VF_VALUE_OVERHEAD, &hash);
    memcpy(out + 4 + VF_SALT_LEN, hash.b, VF_HASH_LEN);
    return VF_OK;
}

enum vf_err vf_value_row_open(const struct vf_record_keys *keys, const struct vf_vault_id *vault, unsigned field,
                              uint32_t generation, const struct vf_value_row *row, struct vf_buf *out)
{
    struct vf_value_id id = {.vault = *vault, .ref = keys->ref, .field = (uint8_t)field, .generation = generation};
    const struct vf_record_key *rk = vf_record_keys_find(keys, row->epoch);
    size_t room = row->sealed_len - VF_NONCE_LEN - VF_TAG_LEN;
    const uint8_t *plain = NULL;
    struct vf_field_key fk;
    size_t len = 0;

    if (rk == NULL)
        return VF_E_DAMAGED;
    vf_buf_reset(out);
    uint8_t *scratch = vf_buf_grow(out, room);
    if (scratch == NULL)
        return VF_E_NOMEM;
    vf_kdf_field_key(rk, (uint8_t)field, generation, row->s, &fk);
    enum vf_err err = vf_value_open(&fk, &id, row->sealed, row->sealed_len, scratch, room, &plain, &len);
    vf_wipe(&fk, sizeof(fk));
    if (err != VF_OK) {
        vf_buf_reset(out);
        return err;
    }
    memmove(out->data, plain, len);
    out->len = len;
    return VF_OK;
}

uint32_t vf_value_quoted(unsigned field, const void *plain, size_t len)
{
    return vf_field_is_image(field) ? 0 : (uint32_t)vf_csv_quoted_len(plain, len);
}
