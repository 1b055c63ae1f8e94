/* SPDX-License-Identifier: MIT */
#include "crypto_internal.h"

void vf_kdf_index_key(const struct vf_vault_key *vk, struct vf_index_key *ret)
{
    VF_FRAME f;

    vf_frame_init(&f, "vaultfs v1 index key");
    vf_frame_kdf(vk->b, &f, ret->b);
}

void vf_kdf_wrap_key(const struct vf_vault_key *vk, const struct vf_wrap_secret *w, struct vf_wrap_key *ret)
{
    VF_FRAME f;

    vf_frame_init(&f, "vaultfs v1 wrap key");
    vf_frame_part(&f, w->b, sizeof(w->b));
    vf_frame_kdf(vk->b, &f, ret->b);
}

void vf_kdf_head_key(const struct vf_record_key *rk, struct vf_head_key *ret)
{
    VF_FRAME f;

    vf_frame_init(&f, "vaultfs v1 head key");
    vf_frame_kdf(rk->b, &f, ret->b);
}

void vf_kdf_field_key(const struct vf_record_key *rk, uint8_t field, uint32_t generation, const uint8_t s[VF_SALT_LEN],
                      struct vf_field_key *ret)
{
    VF_FRAME f;

    vf_frame_init(&f, "vaultfs v1 field key");
    vf_frame_u8(&f, field);
    vf_frame_u32(&f, generation);
    vf_frame_part(&f, s, VF_SALT_LEN);
    vf_frame_kdf(rk->b, &f, ret->b);
}

void vf_kdf_grant_share(const struct vf_vault_key *vk, const struct vf_wrap_secret *w, const struct vf_grant_id *grant,
                        struct vf_grant_share *ret)
{
    VF_FRAME f;

    vf_frame_init(&f, "vaultfs v1 grant share");
    vf_frame_part(&f, w->b, sizeof(w->b));
    vf_frame_grant(&f, grant);
    vf_frame_kdf(vk->b, &f, ret->b);
}

void vf_kdf_release_secret(const struct vf_vault_key *vk, const struct vf_wrap_secret *w, const struct vf_grant_id *grant,
                           struct vf_release_secret *ret)
{
    VF_FRAME f;

    vf_frame_init(&f, "vaultfs v1 release secret");
    vf_frame_part(&f, w->b, sizeof(w->b));
    vf_frame_grant(&f, grant);
    vf_frame_kdf(vk->b, &f, ret->b);
}

void vf_kdf_release_share(const struct vf_release_secret *secret, const struct vf_ref *ref, enum vf_part part,
                          struct vf_release_share *ret)
{
    VF_FRAME f;

    vf_frame_init(&f, "vaultfs v1 release share");
    vf_frame_ref(&f, ref);
    vf_frame_u8(&f, (uint8_t)part);
    vf_frame_kdf(secret->b, &f, ret->b);
}

void vf_kdf_release_share_offline(const struct vf_ref *ref, enum vf_part part, struct vf_release_share *ret)
{
    VF_FRAME f;

    vf_frame_init(&f, "vaultfs v1 offline release share, public");
    vf_frame_ref(&f, ref);
    vf_frame_u8(&f, (uint8_t)part);
    vf_frame_kdf(NULL, &f, ret->b);
}

void vf_kdf_envelope_key(const struct vf_grant_share *gs, const struct vf_release_share *rs, const struct vf_grant_id *grant,
                         const struct vf_ref *ref, enum vf_part part, struct vf_envelope_key *ret)
{
    VF_FRAME f;

    vf_frame_init(&f, "vaultfs v1 envelope key");
    vf_frame_part(&f, rs->b, sizeof(rs->b));
    vf_frame_grant(&f, grant);
    vf_frame_ref(&f, ref);
    vf_frame_u8(&f, (uint8_t)part);
    vf_frame_kdf(gs->b, &f, ret->b);
}

void vf_kdf_catalogue_key(const struct vf_grant_share *gs, const struct vf_grant_id *grant, struct vf_catalogue_key *ret)
{
    VF_FRAME f;

    vf_frame_init(&f, "vaultfs v1 catalogue key");
    vf_frame_grant(&f, grant);
    vf_frame_kdf(gs->b, &f, ret->b);
}

void vf_index_of(const struct vf_index_key *key, const char *warrant_no, size_t len, struct vf_hash *ret)
{
    vf_frame_mac(key->b, "vaultfs v1 warrant number", warrant_no, len, ret->b);
}

void vf_kdf_vault_commitment(const struct vf_vault_key *vk, const struct vf_vault_id *vault, struct vf_hash *ret)
{
    VF_FRAME f;

    vf_frame_init(&f, "vaultfs v1 vault commitment");
    vf_frame_vault(&f, vault);
    vf_frame_kdf(vk->b, &f, ret->b);
}

void vf_station_mac(const struct vf_station_key *key, const void *data, size_t len, struct vf_hash *ret)
{
    vf_frame_mac(key->b, "vaultfs v1 station mac", data, len, ret->b);
}
