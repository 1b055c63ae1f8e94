/* SPDX-License-Identifier: MIT */
#include "crypto_internal.h"

#include <stdlib.h>
#include <string.h>

void vf_prekey_new(struct vf_prekey *ret)
{
    vf_random(ret->secret.b, sizeof(ret->secret.b));
    (void)crypto_scalarmult_base(ret->pub.b, ret->secret.b);
}

bool vf_prekey_pub_good(const struct vf_prekey_pub *pub)
{
    return vf_box_key_good(pub->b);
}

/* ------------------------------------------------------------------------------------------------------------------ at rest */

void vf_prekey_store_key_of(const struct vf_identity *desk, const uint8_t store[VF_PREKEY_STORE_LEN],
                            struct vf_prekey_store_key *ret)
{
    VF_FRAME f;

    vf_frame_init(&f, "vaultfs v1 prekey store key");
    vf_frame_part(&f, store, VF_PREKEY_STORE_LEN);
    /* The seed alone is secret: the second half of libsodium's key is the public one. */
    vf_frame_kdf(desk->sign, &f, ret->b);
}

void vf_desk_key_of(const struct vf_identity *desk, const uint8_t store[VF_PREKEY_STORE_LEN], struct vf_desk_key *ret)
{
    VF_FRAME f;

    vf_frame_init(&f, "vaultfs v1 desk key");
    vf_frame_part(&f, store, VF_PREKEY_STORE_LEN);
    vf_frame_kdf(desk->sign, &f, ret->b);
}

void vf_desk_mac(const struct vf_desk_key *key, const void *data, size_t len, struct vf_hash *ret)
{
    vf_frame_mac(key->b, "vaultfs v1 desk mac", data, len, ret->b);
}

static void prekey_ad(struct vf_frame *f, uint32_t batch, uint32_t number, const struct vf_prekey_pub *pub)
{
    vf_frame_init(f, "vaultfs v1 prekey");
    vf_frame_u32(f, batch);
    vf_frame_u32(f, number);
    vf_frame_part(f, pub->b, sizeof(pub->b));
}

void vf_prekey_wrap(const struct vf_prekey_store_key *key, uint32_t batch, uint32_t number, const struct vf_prekey *prekey,
                    uint8_t out[VF_WRAPPED_LEN])
{
    struct vf_frame ad;

    prekey_ad(&ad, batch, number, &prekey->pub);
    vf_random(out, VF_NONCE_LEN);
    vf_xchacha_seal(key->b, out, ad.b, ad.len, prekey->secret.b, VF_KEY_LEN, out + VF_NONCE_LEN);
}

enum vf_err vf_prekey_unwrap(const struct vf_prekey_store_key *key, uint32_t batch, uint32_t number,
                             const struct vf_prekey_pub *pub, const uint8_t in[VF_WRAPPED_LEN], struct vf_prekey *ret)
{
    struct vf_frame ad;
    uint8_t own[VF_KEY_LEN];

    prekey_ad(&ad, batch, number, pub);
    bool ok = vf_xchacha_open(key->b, in, ad.b, ad.len, in + VF_NONCE_LEN, VF_KEY_LEN + VF_TAG_LEN, ret->secret.b) &&
              crypto_scalarmult_base(own, ret->secret.b) == 0 && memcmp(own, pub->b, sizeof(own)) == 0;
    if (!ok) {
        vf_wipe(ret, sizeof(*ret));
        return VF_E_DAMAGED;
    }
    ret->pub = *pub;
    return VF_OK;
}

/* ------------------------------------------------------------------------------------------------------------- sealed boxes */

enum vf_err vf_release_secret_seal(const struct vf_release_secret *secret, const struct vf_prekey_pub *to,
                                   uint8_t out[VF_SEALED_KEY_LEN])
{
    if (vf_box_key_good(to->b) && crypto_box_seal(out, secret->b, VF_KEY_LEN, to->b) == 0)
        return VF_OK;
    memset(out, 0, VF_SEALED_KEY_LEN);
    return VF_E_DAMAGED;
}

enum vf_err vf_release_secret_open(const struct vf_prekey *prekey, const uint8_t in[VF_SEALED_KEY_LEN],
                                   struct vf_release_secret *ret)
{
    if (crypto_box_seal_open(ret->b, in, VF_SEALED_KEY_LEN, prekey->pub.b, prekey->secret.b) == 0)
        return VF_OK;
    vf_wipe(ret, sizeof(*ret));
    return VF_E_DAMAGED;
}
