/* SPDX-License-Identifier: MIT */
/* What station and desk say to each other: signed by who sends it, sealed to who is meant. */
#include "crypto_internal.h"

#include <string.h>

_Static_assert(crypto_box_SEALBYTES == VF_SEALED_OVERHEAD, "sealed boxes");

/* Begins with a zero byte, as no signed note can: a signature of one kind never stands for the other. */
static void message_frame(struct vf_frame *f, enum vf_message kind, const struct vf_hash *body)
{
    vf_frame_init(f, kind == VF_MESSAGE_REQUEST ? "vaultfs v1 desk request" : "vaultfs v1 desk answer");
    vf_frame_part(f, body->b, sizeof(body->b));
}

void vf_message_sign(const struct vf_identity *by, enum vf_message kind, const struct vf_hash *body, uint8_t sig[VF_SIG_LEN])
{
    VF_FRAME f;

    message_frame(&f, kind, body);
    (void)crypto_sign_detached(sig, NULL, f.b, f.len, by->sign);
}

bool vf_message_signed(const struct vf_identity_pub *by, enum vf_message kind, const struct vf_hash *body,
                       const uint8_t sig[VF_SIG_LEN])
{
    VF_FRAME f;

    message_frame(&f, kind, body);
    return crypto_sign_verify_detached(sig, f.b, f.len, by->sign) == 0;
}

enum vf_err vf_request_seal(const struct vf_identity_pub *desk, const void *plain, size_t len, uint8_t *out)
{
    return crypto_box_seal(out, plain, len, desk->box) == 0 ? VF_OK : VF_E_DAMAGED;
}

enum vf_err vf_request_unseal(const struct vf_identity *desk, const uint8_t *in, size_t len, uint8_t *out)
{
    if (len >= VF_SEALED_OVERHEAD && crypto_box_seal_open(out, in, len, desk->pub.box, desk->box) == 0)
        return VF_OK;
    if (len > VF_SEALED_OVERHEAD)
        vf_wipe(out, len - VF_SEALED_OVERHEAD);
    return VF_E_DAMAGED;
}

void vf_answer_key_new(struct vf_answer_key *ret)
{
    vf_random(ret->secret.b, sizeof(ret->secret.b));
    (void)crypto_scalarmult_base(ret->pub.b, ret->secret.b);
}

enum vf_err vf_answer_seal(const struct vf_answer_pub *to, const void *plain, size_t len, uint8_t *out)
{
    if (vf_box_key_good(to->b) && crypto_box_seal(out, plain, len, to->b) == 0)
        return VF_OK;
    memset(out, 0, len + VF_SEALED_OVERHEAD);
    return VF_E_DAMAGED;
}

enum vf_err vf_answer_unseal(const struct vf_answer_key *key, const uint8_t *in, size_t len, uint8_t *out)
{
    if (len >= VF_SEALED_OVERHEAD && crypto_box_seal_open(out, in, len, key->pub.b, key->secret.b) == 0)
        return VF_OK;
    if (len > VF_SEALED_OVERHEAD)
        vf_wipe(out, len - VF_SEALED_OVERHEAD);
    return VF_E_DAMAGED;
}
