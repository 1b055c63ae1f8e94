/* SPDX-License-Identifier: MIT */
/* Sizes that follow from the set of fields, and opening one record's envelope on a device. */
#include "file.h"

#include <string.h>

void vf_grant_layout_of(vf_field_set fields, struct vf_grant_layout *ret)
{
    struct vf_grant_layout l = {0};

    for (unsigned f = 1; f < VF_FIELD_COUNT; f++) {
        if ((fields & VF_FIELD_BIT(f)) == 0)
            continue;
        l.field[l.nfields++] = (uint8_t)f;
        if (vf_field_part(f) == VF_PART_IMAGE)
            l.image_field[l.nimage++] = (uint8_t)f;
        else
            l.text_field[l.ntext++] = (uint8_t)f;
    }
    l.manifest_stride = VF_REF_LEN + (size_t)l.nfields * VF_MANIFEST_ITEM_LEN;
    l.text_envelope_len = l.ntext > 0 ? (size_t)l.ntext * VF_KEY_LEN + VF_TAG_LEN : 0;
    l.image_envelope_len = l.nimage > 0 ? (size_t)l.nimage * VF_KEY_LEN + VF_TAG_LEN : 0;
    l.envelope_stride = l.text_envelope_len + l.image_envelope_len;
    l.catalogue_stride = VF_REF_LEN + 8 + (size_t)l.nfields * 4;
    *ret = l;
}

size_t vf_envelope_at(const struct vf_grant_layout *l, uint32_t index, enum vf_part part, size_t *ret_len)
{
    size_t at = VF_ENVELOPES_HEAD + (size_t)index * l->envelope_stride;

    if (part == VF_PART_TEXT) {
        *ret_len = l->text_envelope_len;
        return at;
    }
    *ret_len = l->image_envelope_len;
    return at + l->text_envelope_len;
}

size_t vf_envelopes_size(const struct vf_grant_layout *l, uint32_t n)
{
    return VF_ENVELOPES_HEAD + (size_t)n * l->envelope_stride;
}

size_t vf_catalogue_size(const struct vf_grant_layout *l, uint32_t n)
{
    return VF_CATALOGUE_HEAD + 4 + (size_t)n * l->catalogue_stride + VF_TAG_LEN;
}

uint32_t vf_sealed_size(unsigned field, size_t len)
{
    return (uint32_t)(vf_field_padded(field, len) + VF_VALUE_OVERHEAD);
}

bool vf_sealed_size_valid(unsigned field, uint32_t sealed_len)
{
    if (vf_field_info(field) == NULL || sealed_len <= VF_VALUE_OVERHEAD || sealed_len > VF_SEALED_MAX)
        return false;
    /* Padding is a function of the true length that gives itself when it is asked about a padded length. */
    return vf_sealed_size(field, sealed_len - VF_VALUE_OVERHEAD) == sealed_len;
}

void vf_envelopes_put_head(uint8_t *out, const struct vf_grant_id *id, const struct vf_grant_layout *l, uint32_t n)
{
    memcpy(out, VF_ENVELOPES_MAGIC, VF_MAGIC_LEN);
    out += VF_MAGIC_LEN;
    memcpy(out, id->c, VF_GRANT_ID_LEN);
    out += VF_GRANT_ID_LEN;
    vf_put_be32(out, n);
    out[4] = (uint8_t)l->ntext;
    out[5] = (uint8_t)l->nimage;
}

void vf_catalogue_put_head(uint8_t *out, const struct vf_grant_id *id)
{
    memcpy(out, VF_CATALOGUE_MAGIC, VF_MAGIC_LEN);
    memcpy(out + VF_MAGIC_LEN, id->c, VF_GRANT_ID_LEN);
}

enum vf_err vf_grant_open_keys(const struct vf_grant *g, const struct vf_grant_layout *l, const struct vf_grant_share *gs,
                               const struct vf_release_share *rs, const struct vf_ref *ref, enum vf_part part,
                               const uint8_t *envelope, struct vf_field_key *ret_keys)
{
    size_t n = part == VF_PART_IMAGE ? l->nimage : l->ntext;
    struct vf_envelope_key ek;

    if (n == 0)
        return VF_E_DAMAGED;
    vf_kdf_envelope_key(gs, rs, &g->id, ref, part, &ek);
    enum vf_err err = vf_envelope_open(&ek, &g->vault, &g->id, ref, part, envelope, n, ret_keys);
    vf_wipe(&ek, sizeof(ek));
    return err;
}
