/* SPDX-License-Identifier: MIT */
#include "crypto_internal.h"

#include <stdlib.h>
#include <string.h>

void vf_frame_part(struct vf_frame *f, const void *data, size_t len)
{
    if (len > sizeof(f->b) || f->len + 4 > sizeof(f->b) - len)
        abort();
    vf_put_be32(f->b + f->len, (uint32_t)len);
    memcpy(f->b + f->len + 4, data, len);
    f->len += 4 + len;
}

void vf_frame_init(struct vf_frame *f, const char *label)
{
    f->len = 0;
    vf_frame_part(f, label, strlen(label));
}

void vf_frame_u8(struct vf_frame *f, uint8_t v)
{
    vf_frame_part(f, &v, 1);
}

void vf_frame_u32(struct vf_frame *f, uint32_t v)
{
    uint8_t b[4];

    vf_put_be32(b, v);
    vf_frame_part(f, b, sizeof(b));
}

void vf_frame_ref(struct vf_frame *f, const struct vf_ref *ref)
{
    vf_frame_part(f, ref->c, sizeof(ref->c));
}

void vf_frame_grant(struct vf_frame *f, const struct vf_grant_id *grant)
{
    vf_frame_part(f, grant->c, sizeof(grant->c));
}

void vf_frame_vault(struct vf_frame *f, const struct vf_vault_id *vault)
{
    vf_frame_part(f, vault->b, sizeof(vault->b));
}

void vf_frame_done(struct vf_frame *f)
{
    sodium_memzero(f, sizeof(*f));
}

void vf_frame_kdf(const uint8_t *key, const struct vf_frame *f, uint8_t ret[VF_KEY_LEN])
{
    /* Fails for wrong constants only. */
    (void)crypto_generichash(ret, VF_KEY_LEN, f->b, f->len, key, key != NULL ? VF_KEY_LEN : 0);
    vf_stack_wipe();
}

void vf_frame_mac(const uint8_t key[VF_KEY_LEN], const char *label, const void *data, size_t len, uint8_t ret[VF_HASH_LEN])
{
    crypto_generichash_state state;
    struct vf_frame head;
    uint8_t n[4];

    if (len > UINT32_MAX)
        abort();
    vf_frame_init(&head, label);
    vf_put_be32(n, (uint32_t)len);
    /* These three fail for a bad key or output size only, and both are constants. */
    (void)crypto_generichash_init(&state, key, VF_KEY_LEN, VF_HASH_LEN);
    (void)crypto_generichash_update(&state, head.b, head.len);
    (void)crypto_generichash_update(&state, n, sizeof(n));
    if (len > 0)
        (void)crypto_generichash_update(&state, data, len);
    (void)crypto_generichash_final(&state, ret, VF_HASH_LEN);
    sodium_memzero(&state, sizeof(state));
    vf_stack_wipe();
}
