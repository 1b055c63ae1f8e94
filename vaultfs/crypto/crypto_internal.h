/* SPDX-License-Identifier: MIT */
/* What the files of this room share. Raw key bytes are touched behind this line only. */
#ifndef VAULTFS_CRYPTO_INTERNAL_H
#define VAULTFS_CRYPTO_INTERNAL_H

#include "vaultfs/crypto.h"

#include <sodium.h>

/* ------------------------------------------------------------------------------------------------------------------- frames */

/*
 * The one encoding of inputs to keyed hashes and of associated data: u32 length || label, then u32 length || bytes for each part.
 * No two lists of parts give the same bytes. Everything framed here is of fixed size, so that a frame which does not fit is a
 * mistake in this room, and aborts. May hold keys: wipe it.
 */
struct vf_frame {
    size_t len;
    uint8_t b[256];
};
void vf_frame_init(struct vf_frame *f, const char *label);
void vf_frame_part(struct vf_frame *f, const void *data, size_t len);
void vf_frame_u8(struct vf_frame *f, uint8_t v);
void vf_frame_u32(struct vf_frame *f, uint32_t v);
void vf_frame_ref(struct vf_frame *f, const struct vf_ref *ref);
void vf_frame_grant(struct vf_frame *f, const struct vf_grant_id *grant);
void vf_frame_vault(struct vf_frame *f, const struct vf_vault_id *vault);
void vf_frame_done(struct vf_frame *f); /* wipes */
#define VF_FRAME VF_CLEANUP(vf_frame_done) struct vf_frame

/* BLAKE2b-256 of the frame under a key; NULL: under none, for what is public. */
void vf_frame_kdf(const uint8_t *key, const struct vf_frame *f, uint8_t ret[VF_KEY_LEN]);
/* Keyed BLAKE2b-256 of label and one part of any length. */
void vf_frame_mac(const uint8_t key[VF_KEY_LEN], const char *label, const void *data, size_t len, uint8_t ret[VF_HASH_LEN]);

/* ------------------------------------------------------------------------------------------------------------------- memory */

/*
 * libsodium and libcrypto leave what they had no registers for on the stack, and a key among it may lie there for hours if the thread then waits. A stack is not
 * locked memory: whoever has called one of them with a secret calls this behind it.
 */
void vf_stack_wipe(void);

/* ---------------------------------------------------------------------------------------------------- XChaCha20-Poly1305 */

/* len + VF_TAG_LEN bytes to `out`, which may be `plain`. */
void vf_xchacha_seal(const uint8_t key[VF_KEY_LEN], const uint8_t nonce[VF_NONCE_LEN], const uint8_t *ad, size_t ad_len,
                     const uint8_t *plain, size_t len, uint8_t *out);
/* len - VF_TAG_LEN bytes to `out`, which may be `in`. False: not sealed so; then anything may lie in `out`. */
VF_MUST_USE bool vf_xchacha_open(const uint8_t key[VF_KEY_LEN], const uint8_t nonce[VF_NONCE_LEN], const uint8_t *ad,
                                 size_t ad_len, const uint8_t *in, size_t len, uint8_t *out);
/* For tests: libcrypto does it from this length on, if at all; the length that held before. And does it, for this length? */
size_t vf_xchacha_from(size_t len);
bool vf_xchacha_by_libcrypto(size_t len);
/* Called by vf_crypto_init, before anything else of libcrypto and with the arena there, and by vf_crypto_done. */
void vf_xchacha_start(void);
void vf_xchacha_stop(void);

/* --------------------------------------------------------------------------------------------------------------------- hash */

struct vf_chunk {
    const void *data;
    size_t len;
};
/* SHA-256 of the chunks one after the other. */
void vf_hash_chunks(const struct vf_chunk *chunks, size_t n, uint8_t ret[VF_HASH_LEN]);

/* --------------------------------------------------------------------------------------------------------------- identities */

struct vf_identity {
    struct vf_identity_pub pub;
    uint8_t sign[crypto_sign_SECRETKEYBYTES];   /* seed || public, as libsodium keeps it */
    uint8_t cosign[crypto_sign_SECRETKEYBYTES]; /* zeroes unless desk */
    uint8_t box[crypto_box_SECRETKEYBYTES];
};

/* What the secret file stores, in this order. */
struct vf_identity_secrets {
    uint8_t sign_seed[32];
    uint8_t box[32];
    uint8_t cosign_seed[32]; /* zeroes unless desk */
};
#define VF_IDENTITY_SECRETS_LEN 96
_Static_assert(sizeof(struct vf_identity_secrets) == VF_IDENTITY_SECRETS_LEN, "no gaps");
void vf_identity_secrets_get(const struct vf_identity *id, struct vf_identity_secrets *ret);
/* An identity of these secrets; its public keys are computed and must be those of `pub` (VF_E_DAMAGED). */
VF_MUST_USE enum vf_err vf_identity_of_secrets(const struct vf_identity_pub *pub, const struct vf_identity_secrets *secrets,
                                               struct vf_identity **ret, struct vf_why *why);
/*
 * A point that libsodium would refuse, or that gives every sender the same shared secret, must not become anybody's key: sealing
 * to it could not fail cleanly later. The high bit of an X25519 key is ignored by the curve, so it would be a second spelling.
 */
VF_MUST_USE bool vf_box_key_good(const uint8_t box[32]);
/* Longest public line: magic, longest role, longest name, 128 characters of base64, three spaces. */
#define VF_IDENTITY_LINE_MAX 256

/* -------------------------------------------------------------------------------------------------------------------- notes */

/* Valid UTF-8 that is safe to show, lines ending with newline, the last one too; not empty. */
VF_MUST_USE bool vf_note_text_legal(const char *text, size_t len);
/* Not empty, at most 255 bytes, valid UTF-8, no Unicode space, no '+'. */
VF_MUST_USE bool vf_note_name_legal(const char *name, size_t len);

/* -------------------------------------------------------------------------------------------------------------------- slots */

#define VF_SLOTS_BLOCK     4096
#define VF_SLOTS_FILE_SIZE (2 * VF_SLOTS_BLOCK)

enum vf_slot_state {
    VF_SLOT_EMPTY,   /* wiped, torn or damaged */
    VF_SLOT_FOREIGN, /* whole, but of another type or version */
    VF_SLOT_PRESENT
};
/* Both directions of one block. `ret` is set whatever the state (present or all zero). */
void vf_slots_encode(const char type[8], uint64_t seq, const void *payload, size_t len, uint8_t block[VF_SLOTS_BLOCK]);
enum vf_slot_state vf_slots_decode(const uint8_t block[VF_SLOTS_BLOCK], const char type[8], struct vf_slot *ret);

#endif
