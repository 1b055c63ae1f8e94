/* SPDX-License-Identifier: MIT */
#include "crypto_internal.h"

#include <stdlib.h>
#include <string.h>

#define PADDED_MAX ((size_t)VF_VALUE_MAX + 8192)

_Static_assert(VF_NONCE_LEN == crypto_aead_xchacha20poly1305_ietf_NPUBBYTES, "nonce");
_Static_assert(VF_TAG_LEN == crypto_aead_xchacha20poly1305_ietf_ABYTES, "tag");
_Static_assert(VF_KEY_LEN == crypto_aead_xchacha20poly1305_ietf_KEYBYTES, "key");

static const uint8_t zero_nonce[VF_NONCE_LEN];

/* len + VF_TAG_LEN bytes to `out`, which may be `plain`. */
static void seal(const uint8_t key[VF_KEY_LEN], const uint8_t nonce[VF_NONCE_LEN], const struct vf_frame *ad,
                 const void *plain, size_t len, uint8_t *out)
{
    vf_xchacha_seal(key, nonce, ad->b, ad->len, plain, len, out);
}

/* len - VF_TAG_LEN bytes to `out`, or zeroes there and VF_E_DAMAGED. */
static enum vf_err open_sealed(const uint8_t key[VF_KEY_LEN], const uint8_t nonce[VF_NONCE_LEN], const struct vf_frame *ad,
                               const uint8_t *in, size_t len, void *out)
{
    if (len < VF_TAG_LEN)
        return VF_E_DAMAGED;
    if (vf_xchacha_open(key, nonce, ad->b, ad->len, in, len, out))
        return VF_OK;
    vf_wipe(out, len - VF_TAG_LEN);
    return VF_E_DAMAGED;
}

static bool all_zero(const uint8_t *p, size_t len)
{
    return len == 0 || (p[0] == 0 && memcmp(p, p + 1, len - 1) == 0);
}

/* ------------------------------------------------------------------------------------------------------------------- values */

static void value_ad(struct vf_frame *f, const struct vf_value_id *id)
{
    vf_frame_init(f, "vaultfs v1 value");
    vf_frame_vault(f, &id->vault);
    vf_frame_ref(f, &id->ref);
    vf_frame_u8(f, id->field);
    vf_frame_u32(f, id->generation);
}

enum vf_err vf_value_seal(const struct vf_field_key *fk, const struct vf_value_id *id, const void *plain, size_t len,
                          size_t padded, uint8_t *out)
{
    struct vf_frame ad;
    uint8_t *body = out + VF_NONCE_LEN;

    if (len > padded || padded > PADDED_MAX || len > VF_VALUE_MAX)
        return VF_E_LIMIT;
    value_ad(&ad, id);
    vf_random(out, VF_NONCE_LEN);
    /* Put together where it will lie, and encrypted in place: no second copy of the plaintext. */
    vf_put_be32(body, (uint32_t)len);
    if (len > 0)
        memcpy(body + 4, plain, len);
    memset(body + 4 + len, 0, padded - len);
    seal(fk->b, out, &ad, body, 4 + padded, body);
    return VF_OK;
}

enum vf_err vf_value_open(const struct vf_field_key *fk, const struct vf_value_id *id, const uint8_t *sealed,
                          size_t sealed_len, uint8_t *scratch, size_t scratch_len, const uint8_t **ret_plain,
                          size_t *ret_len)
{
    struct vf_frame ad;

    if (sealed_len < VF_VALUE_OVERHEAD || sealed_len - VF_VALUE_OVERHEAD > PADDED_MAX)
        return VF_E_DAMAGED;
    size_t padded = sealed_len - VF_VALUE_OVERHEAD;
    if (scratch_len < 4 + padded)
        return VF_E_LIMIT;
    value_ad(&ad, id);
    VF_TRY(open_sealed(fk->b, sealed, &ad, sealed + VF_NONCE_LEN, sealed_len - VF_NONCE_LEN, scratch));
    size_t len = vf_get_be32(scratch);
    if (len > padded || len > VF_VALUE_MAX || !all_zero(scratch + 4 + len, padded - len)) {
        vf_wipe(scratch, 4 + padded);
        return VF_E_DAMAGED;
    }
    *ret_plain = scratch + 4;
    *ret_len = len;
    return VF_OK;
}

/* --------------------------------------------------------------------------------------------------- record keys and heads */

static void record_ad(struct vf_frame *f, const char *label, const struct vf_vault_id *vault, const struct vf_ref *ref)
{
    vf_frame_init(f, label);
    vf_frame_vault(f, vault);
    vf_frame_ref(f, ref);
}

void vf_record_key_new(struct vf_record_key *ret)
{
    vf_random(ret->b, sizeof(ret->b));
}

void vf_record_key_wrap(const struct vf_wrap_key *wk, const struct vf_vault_id *vault, const struct vf_ref *ref,
                        const struct vf_record_key *rk, uint8_t out[VF_WRAPPED_LEN])
{
    struct vf_frame ad;

    record_ad(&ad, "vaultfs v1 wrapped record key", vault, ref);
    vf_random(out, VF_NONCE_LEN);
    seal(wk->b, out, &ad, rk->b, sizeof(rk->b), out + VF_NONCE_LEN);
}

enum vf_err vf_record_key_unwrap(const struct vf_wrap_key *wk, const struct vf_vault_id *vault, const struct vf_ref *ref,
                                 const uint8_t in[VF_WRAPPED_LEN], struct vf_record_key *ret)
{
    struct vf_frame ad;

    record_ad(&ad, "vaultfs v1 wrapped record key", vault, ref);
    return open_sealed(wk->b, in, &ad, in + VF_NONCE_LEN, VF_WRAPPED_LEN - VF_NONCE_LEN, ret->b);
}

void vf_head_seal(const struct vf_head_key *hk, const struct vf_vault_id *vault, const struct vf_ref *ref, const void *plain,
                  size_t len, uint8_t *out)
{
    struct vf_frame ad;

    record_ad(&ad, "vaultfs v1 record head", vault, ref);
    vf_random(out, VF_NONCE_LEN);
    seal(hk->b, out, &ad, plain, len, out + VF_NONCE_LEN);
}

enum vf_err vf_head_open(const struct vf_head_key *hk, const struct vf_vault_id *vault, const struct vf_ref *ref,
                         const uint8_t *in, size_t in_len, uint8_t *out)
{
    struct vf_frame ad;

    if (in_len < VF_HEAD_OVERHEAD)
        return VF_E_DAMAGED;
    record_ad(&ad, "vaultfs v1 record head", vault, ref);
    return open_sealed(hk->b, in, &ad, in + VF_NONCE_LEN, in_len - VF_NONCE_LEN, out);
}

/* ---------------------------------------------------------------------------------------------------------------- envelopes */

static void envelope_ad(struct vf_frame *f, const struct vf_vault_id *vault, const struct vf_grant_id *grant,
                        const struct vf_ref *ref, enum vf_part part, size_t n)
{
    if (n > UINT8_MAX) /* a record has not that many fields */
        abort();
    vf_frame_init(f, "vaultfs v1 envelope");
    vf_frame_vault(f, vault);
    vf_frame_grant(f, grant);
    vf_frame_ref(f, ref);
    vf_frame_u8(f, (uint8_t)part);
    vf_frame_u32(f, (uint32_t)n);
}

void vf_envelope_seal(const struct vf_envelope_key *ek, const struct vf_vault_id *vault, const struct vf_grant_id *grant,
                      const struct vf_ref *ref, enum vf_part part, const struct vf_field_key *keys, size_t n, uint8_t *out)
{
    struct vf_frame ad;

    _Static_assert(sizeof(struct vf_field_key) == VF_KEY_LEN, "an array of keys has no gaps");
    envelope_ad(&ad, vault, grant, ref, part, n);
    seal(ek->b, zero_nonce, &ad, keys, n * VF_KEY_LEN, out);
}

enum vf_err vf_envelope_open(const struct vf_envelope_key *ek, const struct vf_vault_id *vault,
                             const struct vf_grant_id *grant, const struct vf_ref *ref, enum vf_part part, const uint8_t *in,
                             size_t n, struct vf_field_key *ret_keys)
{
    struct vf_frame ad;

    envelope_ad(&ad, vault, grant, ref, part, n);
    return open_sealed(ek->b, zero_nonce, &ad, in, n * VF_KEY_LEN + VF_TAG_LEN, ret_keys);
}

/* --------------------------------------------------------------------------------------------------------------- catalogues */

static void catalogue_ad(struct vf_frame *f, const struct vf_vault_id *vault, const struct vf_grant_id *grant)
{
    vf_frame_init(f, "vaultfs v1 catalogue");
    vf_frame_vault(f, vault);
    vf_frame_grant(f, grant);
}

void vf_catalogue_seal(const struct vf_catalogue_key *ck, const struct vf_vault_id *vault, const struct vf_grant_id *grant,
                       const uint8_t *plain, size_t len, uint8_t *out)
{
    struct vf_frame ad;

    catalogue_ad(&ad, vault, grant);
    seal(ck->b, zero_nonce, &ad, plain, len, out);
}

enum vf_err vf_catalogue_open(const struct vf_catalogue_key *ck, const struct vf_vault_id *vault,
                              const struct vf_grant_id *grant, const uint8_t *in, size_t in_len, uint8_t *out)
{
    struct vf_frame ad;

    catalogue_ad(&ad, vault, grant);
    return open_sealed(ck->b, zero_nonce, &ad, in, in_len, out);
}
