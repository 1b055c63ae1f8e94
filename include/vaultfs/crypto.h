/* SPDX-License-Identifier: MIT */
/*
 * crypto: locked memory, key types, key derivation, authenticated encryption, identities, signed notes, Merkle trees, slots.
 *
 * The only room that includes sodium.h or libcrypto. Each role of a key is its own C type; only the functions vf_kdf_* turn one
 * into another, so a mix-up is a compile error. Structs that hold a secret are meant to live in the arena (vf_secret_new) or, for
 * the length of one call, on the stack of a process that is locked (wipe them with vf_wipe). Functions are thread-safe unless noted.
 */
#ifndef VAULTFS_CRYPTO_H
#define VAULTFS_CRYPTO_H

#include <vaultfs/base.h>

#define VF_KEY_LEN         32
#define VF_HASH_LEN        32
#define VF_NONCE_LEN       24
#define VF_TAG_LEN         16
#define VF_SIG_LEN         64
#define VF_SEALED_OVERHEAD 48 /* libsodium sealed box: 32 ephemeral key + 16 tag */
#define VF_VAULT_ID_LEN    16
#define VF_SALT_LEN        32 /* `s`: fresh for every value, binds a field key to one plaintext */

/* --------------------------------------------------------------------------------------------------------- secret memory */

/*
 * Start the room: sodium_init, then one arena of `arena_bytes` (rounded up to pages) mapped between guard pages, MADV_DONTDUMP,
 * MADV_WIPEONFORK, mlock'ed (each page from when it is first touched) - and the lock checked. VF_E_LOCKED_MEMORY says what RLIMIT_MEMLOCK is and how to raise it. 0 bytes: no
 * arena, for programs that hold no secret. Call before any other function of this room and after daemonising: a child finds the
 * arena wiped and gets NULL from vf_secret_new until it calls this again. VF_E_BUSY when called twice. Not thread-safe. Before anything
 * else of libcrypto: the memory that that allocates comes through this room from now on (malloc, and for keys the arena).
 */
VF_PUBLIC VF_MUST_USE enum vf_err vf_crypto_init(size_t arena_bytes, struct vf_why *why);
/* Wipe and unmap the arena; idempotent. For the end of a program and for tests. Not thread-safe. */
VF_PUBLIC void vf_crypto_done(void);
#define VF_ARENA_TOOL (1024 * 1024) /* for commands */
/*
 * No core dumps, not dumpable, no ptrace by the same user: RLIMIT_CORE 0, PR_SET_DUMPABLE 0. Call first in every program that
 * ever holds a secret.
 */
VF_PUBLIC VF_MUST_USE enum vf_err vf_process_harden(struct vf_why *why);

/* Zeroed memory from the arena, 64-byte aligned; NULL when it is full (VF_E_LOCKED_MEMORY for the caller's caller). Thread-safe. */
VF_PUBLIC void *vf_secret_new(size_t size);
/* Wipe and give back; NULL is fine. A pointer that is not from vf_secret_new, or was freed before, ends the program (abort). */
VF_PUBLIC void vf_secret_free(void *p);
VF_PUBLIC void vf_secret_cleanup(void *pp); /* for VF_CLEANUP on a pointer from vf_secret_new */
#define VF_SECRET VF_CLEANUP(vf_secret_cleanup)
VF_PUBLIC void vf_wipe(void *p, size_t len);
VF_PUBLIC VF_MUST_USE bool vf_equal(const void *a, const void *b, size_t len); /* constant time */
VF_PUBLIC void vf_random(void *out, size_t len);

/* A passphrase or other secret text in the arena. */
struct vf_passphrase {
    size_t len;
    char text[1024];
};

/*
 * Get a passphrase: from source->file (its first line), the output of source->command, $CREDENTIALS_DIRECTORY/NAME.passphrase where NAME is
 * the last part of `what` (the key's path, also shown in the prompt), or the terminal without echo, in this order. `fresh`: a new one, typed
 * twice. `ret` lies in the arena; its text is zero-filled behind len. VF_E_PASSPHRASE when there is none to be had.
 */
struct vf_passphrase_source {
    const char *file;
    const char *command;
};
VF_PUBLIC VF_MUST_USE enum vf_err vf_passphrase_get(const struct vf_passphrase_source *source, const char *what, bool fresh,
                                                    struct vf_passphrase *ret, struct vf_why *why);

/* ---------------------------------------------------------------------------------------------------- base64 and hashing */

/* RFC 4648 base64 with padding, appended to `out`; constant time. */
VF_PUBLIC void vf_base64_put(struct vf_buf *out, const void *data, size_t len);
/* Canonical decoding only (padding required, no stray bits, no white space); exactly ret_len bytes must come out. */
VF_PUBLIC VF_MUST_USE bool vf_base64_get(const char *text, size_t len, uint8_t *ret, size_t ret_len);
/* The same for a value of unknown length up to ret_max. */
VF_PUBLIC VF_MUST_USE bool vf_base64_get_max(const char *text, size_t len, uint8_t *ret, size_t ret_max, size_t *ret_len);

struct vf_hash {
    uint8_t b[VF_HASH_LEN];
};
/* SHA-256 (FIPS 180-4) by libcrypto, which uses the CPU's instructions. */
VF_PUBLIC void vf_sha256(const void *data, size_t len, struct vf_hash *ret);
/* Incremental; init, any number of updates, final once. done is idempotent. */
struct vf_hasher {
    void *ctx;
};
VF_PUBLIC VF_MUST_USE enum vf_err vf_hasher_init(struct vf_hasher *h, struct vf_why *why);
VF_PUBLIC void vf_hasher_reset(struct vf_hasher *h); /* start again with the same memory */
VF_PUBLIC void vf_hasher_update(struct vf_hasher *h, const void *data, size_t len);
VF_PUBLIC void vf_hasher_final(struct vf_hasher *h, struct vf_hash *ret);
VF_PUBLIC void vf_hasher_done(struct vf_hasher *h);

/* ------------------------------------------------------------------------------------------------------------- key types */

#define VF_KEY_TYPE(name)      \
    struct name {              \
        uint8_t b[VF_KEY_LEN]; \
    }
VF_KEY_TYPE(vf_vault_key);        /* VK: feeds the KDF only */
VF_KEY_TYPE(vf_wrap_secret);      /* W: the small file beside the database */
VF_KEY_TYPE(vf_index_key);        /* blind index of warrant numbers */
VF_KEY_TYPE(vf_wrap_key);         /* wraps record keys */
VF_KEY_TYPE(vf_record_key);       /* RK[r] */
VF_KEY_TYPE(vf_head_key);         /* encrypts a record's head (which fields, lengths, times) */
VF_KEY_TYPE(vf_field_key);        /* FK: opens exactly one value */
VF_KEY_TYPE(vf_grant_share);      /* GS */
VF_KEY_TYPE(vf_release_secret);   /* online only */
VF_KEY_TYPE(vf_release_share);    /* RS[r,p] */
VF_KEY_TYPE(vf_envelope_key);     /* EK[r,p] */
VF_KEY_TYPE(vf_catalogue_key);    /* of one grant */
VF_KEY_TYPE(vf_station_key);      /* authenticates a station's clock; from the device identity */
VF_KEY_TYPE(vf_prekey_secret);    /* X25519: opens one grant's release secret */
VF_KEY_TYPE(vf_prekey_pub);       /* its public half */
VF_KEY_TYPE(vf_prekey_store_key); /* wraps a desk's prekeys in their slots; from the desk identity */
VF_KEY_TYPE(vf_desk_key);         /* authenticates what a desk remembers; from the desk identity */
VF_KEY_TYPE(vf_answer_secret);    /* X25519: opens one answer of the desk; lives in the mount's memory only */
VF_KEY_TYPE(vf_answer_pub);       /* its public half */
#undef VF_KEY_TYPE

struct vf_vault_id {
    uint8_t b[VF_VAULT_ID_LEN];
};

/* One byte, so that a share in a message is one in memory too. */
enum vf_part { VF_PART_TEXT = 0, VF_PART_IMAGE = 1, VF_PART_COUNT = 2 } __attribute__((packed));

/*
 * One KDF: keyed BLAKE2b-256 over label || for each part: u32 length, bytes; the label is length-prefixed too. docs/format.md lists
 * every label. Nothing else in the program derives keys.
 */
VF_PUBLIC void vf_kdf_index_key(const struct vf_vault_key *vk, struct vf_index_key *ret);
VF_PUBLIC void vf_kdf_wrap_key(const struct vf_vault_key *vk, const struct vf_wrap_secret *w, struct vf_wrap_key *ret);
VF_PUBLIC void vf_kdf_head_key(const struct vf_record_key *rk, struct vf_head_key *ret);
VF_PUBLIC void vf_kdf_field_key(const struct vf_record_key *rk, uint8_t field, uint32_t generation,
                                const uint8_t s[VF_SALT_LEN], struct vf_field_key *ret);
VF_PUBLIC void vf_kdf_grant_share(const struct vf_vault_key *vk, const struct vf_wrap_secret *w,
                                  const struct vf_grant_id *grant, struct vf_grant_share *ret);
VF_PUBLIC void vf_kdf_release_secret(const struct vf_vault_key *vk, const struct vf_wrap_secret *w,
                                     const struct vf_grant_id *grant, struct vf_release_secret *ret);
VF_PUBLIC void vf_kdf_release_share(const struct vf_release_secret *secret, const struct vf_ref *ref, enum vf_part part,
                                    struct vf_release_share *ret);
/* Offline grants have no release secret: the share is a public constant under its own label, and says so in its name. */
VF_PUBLIC void vf_kdf_release_share_offline(const struct vf_ref *ref, enum vf_part part, struct vf_release_share *ret);
VF_PUBLIC void vf_kdf_envelope_key(const struct vf_grant_share *gs, const struct vf_release_share *rs,
                                   const struct vf_grant_id *grant, const struct vf_ref *ref, enum vf_part part,
                                   struct vf_envelope_key *ret);
VF_PUBLIC void vf_kdf_catalogue_key(const struct vf_grant_share *gs, const struct vf_grant_id *grant,
                                    struct vf_catalogue_key *ret);
/* Keyed hash of a normalised warrant number: equal numbers give equal 32 bytes, and nothing else is learnt without the key. */
VF_PUBLIC void vf_index_of(const struct vf_index_key *key, const char *warrant_no, size_t len, struct vf_hash *ret);
/* What the policy says of VK: a commitment (keyed hash under a label of its own), so that a wrong VK is noticed at once. */
VF_PUBLIC void vf_kdf_vault_commitment(const struct vf_vault_key *vk, const struct vf_vault_id *vault, struct vf_hash *ret);

/* ------------------------------------------------------------------------------------------------- authenticated encryption */

/*
 * XChaCha20-Poly1305 (libsodium's IETF form). One function pair a role.
 *
 * A stored value is nonce(24) || ciphertext || tag(16) of: u32 true length || plaintext || zeroes, `padded` bytes after the length
 * field; so its size is padded + VF_VALUE_OVERHEAD. AD = label, vault id, ref, field, generation (docs/format.md).
 */
#define VF_VALUE_OVERHEAD (VF_NONCE_LEN + 4 + VF_TAG_LEN)
#define VF_VALUE_MAX      (1024 * 1024) /* bytes of plaintext */

struct vf_value_id {
    struct vf_vault_id vault;
    struct vf_ref ref;
    uint8_t field;
    uint32_t generation;
};
/* `out` has exactly padded + VF_VALUE_OVERHEAD bytes; len <= padded <= VF_VALUE_MAX + 8192. Random nonce. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_value_seal(const struct vf_field_key *fk, const struct vf_value_id *id,
                                                const void *plain, size_t len, size_t padded, uint8_t *out);
/*
 * Open `sealed`; `scratch` (locked memory, at least sealed_len - VF_NONCE_LEN - VF_TAG_LEN bytes) receives the padded plaintext,
 * *ret_plain points into it and *ret_len is the true length. VF_E_DAMAGED when the tag, the padding or the length is wrong; scratch
 * is wiped then. VF_E_LIMIT when scratch is too small. The caller wipes scratch after use.
 *
 * All of the vf_*_open functions and vf_record_key_unwrap below return VF_E_DAMAGED when the tag is wrong (the wrong key, ref, grant or
 * bytes), and leave zeroes in their output then. None gives a reason: the caller knows which record or file it is.
 */
VF_PUBLIC VF_MUST_USE enum vf_err vf_value_open(const struct vf_field_key *fk, const struct vf_value_id *id,
                                                const uint8_t *sealed, size_t sealed_len, uint8_t *scratch,
                                                size_t scratch_len, const uint8_t **ret_plain, size_t *ret_len);

/* Record keys, wrapped: nonce(24) || 32 || tag(16); AD = label, vault, ref. */
#define VF_WRAPPED_LEN (VF_NONCE_LEN + VF_KEY_LEN + VF_TAG_LEN)
VF_PUBLIC void vf_record_key_new(struct vf_record_key *ret);
VF_PUBLIC void vf_record_key_wrap(const struct vf_wrap_key *wk, const struct vf_vault_id *vault, const struct vf_ref *ref,
                                  const struct vf_record_key *rk, uint8_t out[VF_WRAPPED_LEN]);
VF_PUBLIC VF_MUST_USE enum vf_err vf_record_key_unwrap(const struct vf_wrap_key *wk, const struct vf_vault_id *vault,
                                                       const struct vf_ref *ref, const uint8_t in[VF_WRAPPED_LEN],
                                                       struct vf_record_key *ret);
/* A record's head: nonce || len || tag; AD = label, vault, ref. `out` has len + VF_HEAD_OVERHEAD bytes. */
#define VF_HEAD_OVERHEAD (VF_NONCE_LEN + VF_TAG_LEN)
VF_PUBLIC void vf_head_seal(const struct vf_head_key *hk, const struct vf_vault_id *vault, const struct vf_ref *ref,
                            const void *plain, size_t len, uint8_t *out);
VF_PUBLIC VF_MUST_USE enum vf_err vf_head_open(const struct vf_head_key *hk, const struct vf_vault_id *vault,
                                               const struct vf_ref *ref, const uint8_t *in, size_t in_len, uint8_t *out);
/*
 * Envelopes: n field keys (n*32 bytes) under EK; n*32 + 16 bytes come out. The key is used for this one message only (it depends on
 * grant, record and part), so the nonce is zero and the result is deterministic: a co-signer can derive it anew and compare.
 * Hence a grant id must never serve for a second content: issue anew under a new id. AD = label, vault, grant, ref, part, n (<= 255).
 */
VF_PUBLIC void vf_envelope_seal(const struct vf_envelope_key *ek, const struct vf_vault_id *vault,
                                const struct vf_grant_id *grant, const struct vf_ref *ref, enum vf_part part,
                                const struct vf_field_key *keys, size_t n, uint8_t *out);
VF_PUBLIC VF_MUST_USE enum vf_err vf_envelope_open(const struct vf_envelope_key *ek, const struct vf_vault_id *vault,
                                                   const struct vf_grant_id *grant, const struct vf_ref *ref,
                                                   enum vf_part part, const uint8_t *in, size_t n,
                                                   struct vf_field_key *ret_keys);
/* The catalogue, one message (deterministic likewise); len + 16 bytes. AD = label, vault, grant. */
VF_PUBLIC void vf_catalogue_seal(const struct vf_catalogue_key *ck, const struct vf_vault_id *vault,
                                 const struct vf_grant_id *grant, const uint8_t *plain, size_t len, uint8_t *out);
VF_PUBLIC VF_MUST_USE enum vf_err vf_catalogue_open(const struct vf_catalogue_key *ck, const struct vf_vault_id *vault,
                                                    const struct vf_grant_id *grant, const uint8_t *in, size_t in_len,
                                                    uint8_t *out);

/* -------------------------------------------------------------------------------------------------------------- identities */

enum vf_role { VF_ROLE_ADMIN = 1, VF_ROLE_DESK = 2, VF_ROLE_DEVICE = 3 };
VF_PUBLIC const char *vf_role_text(enum vf_role role); /* "admin", "desk", "device" */
VF_PUBLIC VF_MUST_USE bool vf_role_parse(const char *s, size_t len, enum vf_role *ret);

/*
 * Public half. Text form, one line (the .pub file, and lines in policies and enrolments):
 *   vaultfs-identity-v1 ROLE NAME BASE64( Ed25519 public 32 || X25519 public 32 || cosigning Ed25519 public 32, zeroes unless desk )
 */
struct vf_identity_pub {
    enum vf_role role;
    char name[VF_NAME_MAX + 1];
    uint8_t sign[32];
    uint8_t box[32];
    uint8_t cosign[32];
};
VF_PUBLIC void vf_identity_pub_put(const struct vf_identity_pub *pub, struct vf_buf *out); /* the line, without newline */
VF_PUBLIC VF_MUST_USE enum vf_err vf_identity_pub_parse(const char *line, size_t len, struct vf_identity_pub *ret,
                                                        struct vf_why *why);
VF_PUBLIC VF_MUST_USE enum vf_err vf_identity_pub_read(const char *path, struct vf_identity_pub *ret, struct vf_why *why);
/* SHA-256 of the text line without newline; for people: its first 160 bits, 8 groups of 4 base32 characters with '-' between. */
VF_PUBLIC void vf_identity_fingerprint(const struct vf_identity_pub *pub, struct vf_hash *ret);
#define VF_FINGERPRINT_TEXT_LEN 39
VF_PUBLIC void vf_fingerprint_text(const struct vf_hash *hash, char out[VF_FINGERPRINT_TEXT_LEN + 1]);
VF_PUBLIC VF_MUST_USE bool vf_identity_pub_equal(const struct vf_identity_pub *a, const struct vf_identity_pub *b);

/* Secret half, opaque, in the arena. */
struct vf_identity;
VF_PUBLIC VF_MUST_USE enum vf_err vf_identity_new(enum vf_role role, const char *name, struct vf_identity **ret,
                                                  struct vf_why *why);
VF_PUBLIC void vf_identity_free(struct vf_identity *id);
VF_PUBLIC void vf_identity_cleanup(struct vf_identity **id);
#define VF_IDENTITY VF_CLEANUP(vf_identity_cleanup) struct vf_identity *
VF_PUBLIC const struct vf_identity_pub *vf_identity_pub_get(const struct vf_identity *id);
/*
 * Encoded secret file (docs/format.md): type, version, the public line, Argon2id parameters and salt (zero: stored without
 * passphrase), nonce, encrypted secrets. pass == NULL stores without a passphrase. Defaults 256 MiB / 3 passes; reading accepts
 * 64 MiB/2 to 1 GiB/10 (VF_E_REFUSED outside, writing too). Argon2 memory is libsodium's own, not the arena; VF_E_NOMEM when there is
 * not that much. An empty passphrase is VF_E_INPUT.
 */
struct vf_argon2 {
    uint32_t mem_kib;
    uint32_t passes;
};
#define VF_ARGON2_DEFAULT ((struct vf_argon2){262144, 3})
VF_PUBLIC VF_MUST_USE enum vf_err vf_identity_encode(const struct vf_identity *id, const struct vf_passphrase *pass,
                                                     struct vf_argon2 cost, struct vf_buf *out, struct vf_why *why);
/* What can be seen without the passphrase. *ret_locked: a passphrase is needed. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_identity_peek(const uint8_t *data, size_t len, struct vf_identity_pub *ret,
                                                   bool *ret_locked, struct vf_why *why);
/*
 * VF_E_PASSPHRASE for a wrong or missing passphrase; VF_E_FORMAT, VF_E_VERSION for another file; VF_E_DAMAGED when the checksum is wrong
 * or the secrets do not give the public keys that stand beside them. `pass` is ignored by a file that was stored without.
 */
VF_PUBLIC VF_MUST_USE enum vf_err vf_identity_decode(const uint8_t *data, size_t len, const struct vf_passphrase *pass,
                                                     struct vf_identity **ret, struct vf_why *why);
#define VF_IDENTITY_FILE_MAX 4096

/* Sealed boxes (crypto_box_seal) to an identity; for vault keys and grant shares, typed. 80 bytes each. */
#define VF_SEALED_KEY_LEN (VF_KEY_LEN + VF_SEALED_OVERHEAD)
VF_PUBLIC void vf_vault_key_seal(const struct vf_vault_key *vk, const struct vf_identity_pub *to,
                                 uint8_t out[VF_SEALED_KEY_LEN]);
VF_PUBLIC VF_MUST_USE enum vf_err vf_vault_key_open(const struct vf_identity *id, const uint8_t in[VF_SEALED_KEY_LEN],
                                                    struct vf_vault_key *ret);
VF_PUBLIC void vf_grant_share_seal(const struct vf_grant_share *gs, const struct vf_identity_pub *to,
                                   uint8_t out[VF_SEALED_KEY_LEN]);
VF_PUBLIC VF_MUST_USE enum vf_err vf_grant_share_open(const struct vf_identity *id, const uint8_t in[VF_SEALED_KEY_LEN],
                                                      struct vf_grant_share *ret);

/*
 * Prekeys: the desk's one-time X25519 pairs. The release secret of one online grant is sealed to one of them; destroying its secret half
 * ends the grant. At rest it is nonce(24) || 32 || tag(16) under a key of desk identity and store, AD = label, batch, number, public half:
 * a slot put into another one's place does not open.
 */
struct vf_prekey {
    struct vf_prekey_secret secret;
    struct vf_prekey_pub pub;
};
#define VF_PREKEY_STORE_LEN 16 /* a desk store's random id */
VF_PUBLIC void vf_prekey_new(struct vf_prekey *ret);
/* A point that a sealed box can be made to. */
VF_PUBLIC VF_MUST_USE bool vf_prekey_pub_good(const struct vf_prekey_pub *pub);
VF_PUBLIC void vf_prekey_store_key_of(const struct vf_identity *desk, const uint8_t store[VF_PREKEY_STORE_LEN],
                                      struct vf_prekey_store_key *ret);
VF_PUBLIC void vf_prekey_wrap(const struct vf_prekey_store_key *key, uint32_t batch, uint32_t number,
                              const struct vf_prekey *prekey, uint8_t out[VF_WRAPPED_LEN]);
/* VF_E_DAMAGED, and zeroes, when it does not open or is not the secret half of `pub`. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_prekey_unwrap(const struct vf_prekey_store_key *key, uint32_t batch, uint32_t number,
                                                   const struct vf_prekey_pub *pub, const uint8_t in[VF_WRAPPED_LEN],
                                                   struct vf_prekey *ret);
/* Key that authenticates what a desk keeps beside its log; of desk identity and store. */
VF_PUBLIC void vf_desk_key_of(const struct vf_identity *desk, const uint8_t store[VF_PREKEY_STORE_LEN],
                              struct vf_desk_key *ret);
VF_PUBLIC void vf_desk_mac(const struct vf_desk_key *key, const void *data, size_t len, struct vf_hash *ret);
/* VF_E_DAMAGED, and zeroes, when `to` is no good. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_release_secret_seal(const struct vf_release_secret *secret,
                                                         const struct vf_prekey_pub *to, uint8_t out[VF_SEALED_KEY_LEN]);
VF_PUBLIC VF_MUST_USE enum vf_err vf_release_secret_open(const struct vf_prekey *prekey, const uint8_t in[VF_SEALED_KEY_LEN],
                                                         struct vf_release_secret *ret);

/*
 * Messages between station and desk (docs/protocol.md): signed over the SHA-256 of their body, under a label of their kind that no note can
 * begin with; sealed boxes of any length, `out` having len + VF_SEALED_OVERHEAD bytes to seal and len - VF_SEALED_OVERHEAD to unseal. A request
 * is sealed to the desk's identity, an answer to a key made for it. VF_E_DAMAGED, and zeroes, for what does not open.
 */
enum vf_message { VF_MESSAGE_REQUEST, VF_MESSAGE_ANSWER };
VF_PUBLIC void vf_message_sign(const struct vf_identity *by, enum vf_message kind, const struct vf_hash *body,
                               uint8_t sig[VF_SIG_LEN]);
VF_PUBLIC VF_MUST_USE bool vf_message_signed(const struct vf_identity_pub *by, enum vf_message kind,
                                             const struct vf_hash *body, const uint8_t sig[VF_SIG_LEN]);
VF_PUBLIC VF_MUST_USE enum vf_err vf_request_seal(const struct vf_identity_pub *desk, const void *plain, size_t len,
                                                  uint8_t *out);
VF_PUBLIC VF_MUST_USE enum vf_err vf_request_unseal(const struct vf_identity *desk, const uint8_t *in, size_t len,
                                                    uint8_t *out);
struct vf_answer_key { /* in the arena */
    struct vf_answer_secret secret;
    struct vf_answer_pub pub;
};
VF_PUBLIC void vf_answer_key_new(struct vf_answer_key *ret);
VF_PUBLIC VF_MUST_USE enum vf_err vf_answer_seal(const struct vf_answer_pub *to, const void *plain, size_t len,
                                                 uint8_t *out);
VF_PUBLIC VF_MUST_USE enum vf_err vf_answer_unseal(const struct vf_answer_key *key, const uint8_t *in, size_t len,
                                                   uint8_t *out);

/* Key that authenticates the station's clock slots; derived from the device's secret. */
VF_PUBLIC void vf_station_key_of(const struct vf_identity *device, struct vf_station_key *ret);
VF_PUBLIC void vf_station_mac(const struct vf_station_key *key, const void *data, size_t len, struct vf_hash *ret);

/*
 * To know again, as long as a process runs, what it has verified once and what others may change since: SipHash-2-4 with 128 bits (Aumasson and Bernstein)
 * under a key that is random and never leaves the arena. A quarter of the time of a hash; nobody without the key can make two inputs with one
 * tag. Never stored. Compare with vf_equal.
 */
struct vf_tag_key {
    uint8_t b[16];
};
struct vf_tag {
    uint8_t b[16];
};
VF_PUBLIC void vf_tag_key_new(struct vf_tag_key *ret);
VF_PUBLIC void vf_tag_of(const struct vf_tag_key *key, const void *data, size_t len, struct vf_tag *ret);

/* ------------------------------------------------------------------------------------------------------------ signed notes */

/*
 * C2SP signed-note: text (UTF-8, no control characters but newline, ends with newline), an empty line, then signature lines
 * "— NAME BASE64(key id 4 || Ed25519 signature 64)\n". The key id is the first 4 bytes of SHA-256(name || 0x0A || 0x01 || key).
 */
#define VF_NOTE_MAX      (1024 * 1024)
#define VF_NOTE_SIGS_MAX 64

struct vf_note_key { /* a public key under its name */
    char name[256];
    uint8_t key[32];
};
struct vf_note_sig {
    const char *name; /* into the note */
    size_t name_len;
    const char *line; /* the whole line, without its newline */
    size_t line_len;
    uint8_t id[4];
    bool ed25519; /* of the length of algorithm 0x01; else an unknown kind, and sig is zero */
    uint8_t sig[VF_SIG_LEN];
};
struct vf_note {      /* a parsed view; borrows the bytes it was parsed from */
    const char *text; /* with its final newline, without the empty line */
    size_t text_len;
    size_t total_len; /* text, empty line and signature lines */
    size_t nsigs;
    struct vf_note_sig sigs[VF_NOTE_SIGS_MAX];
};
/* Parse a whole note; nothing may follow. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_note_parse(const void *data, size_t len, struct vf_note *ret, struct vf_why *why);
VF_PUBLIC void vf_note_key_of(const struct vf_identity_pub *pub, struct vf_note_key *ret); /* name and Ed25519 key */
VF_PUBLIC void vf_note_key_id(const char *name, size_t name_len, const uint8_t key[32], uint8_t ret[4]);
/*
 * Check the signatures of known keys. A failing signature of a known key (name and key id match) rejects the note (VF_E_FORGED), and so
 * does one of another length; signatures of unknown keys are ignored. signed_by[nkeys] says which of the keys signed; *ret_count is
 * the number of distinct public keys among them, and may be 0: the caller compares it with its threshold.
 */
VF_PUBLIC VF_MUST_USE enum vf_err vf_note_verify(const struct vf_note *note, const struct vf_note_key *keys, size_t nkeys,
                                                 bool *signed_by, size_t *ret_count, struct vf_why *why);
/*
 * Append text, empty line and one signature to `out`. VF_E_INPUT: the text does not end with a newline, or a line of it is not
 * vf_text_printable. VF_E_LIMIT: over VF_NOTE_MAX or VF_NOTE_SIGS_MAX (here and below).
 */
VF_PUBLIC VF_MUST_USE enum vf_err vf_note_sign(const char *text, size_t len, const struct vf_identity *id,
                                               struct vf_buf *out, struct vf_why *why);
/* Append to `out` the note with one more signature (unchanged if this key has signed it already; VF_E_FORGED if that one is false). */
VF_PUBLIC VF_MUST_USE enum vf_err vf_note_cosign(const struct vf_note *note, const struct vf_identity *id,
                                                 struct vf_buf *out, struct vf_why *why);
/* Append to `out` note a with the signature lines of b that a lacks; VF_E_FORGED when the texts differ. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_note_merge(const struct vf_note *a, const struct vf_note *b, struct vf_buf *out,
                                                struct vf_why *why);

/*
 * C2SP tlog-cosignature, type 0x04: the key id is the first 4 bytes of SHA-256(name || 0x0A || 0x04 || key), the signature
 * u64 seconds since 1970 || Ed25519 over "cosignature/v1\ntime SECONDS\n" and the note's text. A desk signs with its cosigning key,
 * other roles with their signing key (the first line keeps these signatures apart from those on notes).
 */
VF_PUBLIC void vf_note_cosigner_key_of(const struct vf_identity_pub *pub, struct vf_note_key *ret); /* name and that key */
/* Append to `out` the note with one more cosignature. time_s: 0 to 253402300799 (year 9999), else VF_E_INPUT. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_note_cosignature_put(const struct vf_note *note, const struct vf_identity *id,
                                                          uint64_t time_s, struct vf_buf *out, struct vf_why *why);
/*
 * Check the cosignatures of known keys; a failing one of a known key is VF_E_FORGED, none at all VF_E_UNSIGNED. *ret_time_s: the
 * latest time that one of them says; *ret_key: whose.
 */
VF_PUBLIC VF_MUST_USE enum vf_err vf_note_cosignature_verify(const struct vf_note *note, const struct vf_note_key *keys,
                                                             size_t nkeys, size_t *ret_key, uint64_t *ret_time_s,
                                                             struct vf_why *why);

/* One-time keys of the log's seal chain: an Ed25519 secret that signs one checkpoint. Lives in the arena. */
struct vf_seal_key {
    uint8_t seed[32];
    uint8_t pub[32];
};
VF_PUBLIC void vf_seal_key_new(struct vf_seal_key *ret);
/* False for a seed of zeroes: a wiped slot, never a secret. */
VF_PUBLIC VF_MUST_USE bool vf_seal_key_from_seed(const uint8_t seed[32], struct vf_seal_key *ret);
/* A signed note by this key under `name`. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_note_sign_seal(const char *text, size_t len, const char *name,
                                                    const struct vf_seal_key *key, struct vf_buf *out, struct vf_why *why);

/* ------------------------------------------------------------------------------------------------------------ Merkle trees */

/*
 * RFC 6962 section 2.1 (as C2SP tlog-tiles uses it): leaf SHA-256(0x00 || data), node SHA-256(0x01 || left || right); the empty tree
 * has the hash of the empty string. `vf_tree` keeps the right edge only: one hash for each set bit of size.
 */
struct vf_tree {
    uint64_t size;
    struct vf_hash edge[64]; /* edge[i]: root of the complete subtree of 2^i leaves, where bit i of size is set */
};
VF_PUBLIC void vf_tree_init(struct vf_tree *t);
VF_PUBLIC void vf_leaf_hash(const void *data, size_t len, struct vf_hash *ret);
/* The same where the byte before data[0] may be written to; it is as before afterwards. Saves copying the first block. */
VF_PUBLIC void vf_leaf_hash_in_place(uint8_t *data, size_t len, struct vf_hash *ret);
VF_PUBLIC void vf_node_hash(const struct vf_hash *left, const struct vf_hash *right, struct vf_hash *ret);
VF_PUBLIC void vf_tree_add(struct vf_tree *t, const struct vf_hash *leaf);
VF_PUBLIC void vf_tree_root(const struct vf_tree *t, struct vf_hash *ret);
/* Proofs over `n` leaf hashes held in memory; `out` takes at most 64 hashes. RFC 6962 2.1.1, 2.1.2. */
VF_PUBLIC size_t vf_tree_inclusion(const struct vf_hash *leaves, uint64_t n, uint64_t index, struct vf_hash out[64]);
VF_PUBLIC size_t vf_tree_consistency(const struct vf_hash *leaves, uint64_t n, uint64_t old, struct vf_hash out[64]);
VF_PUBLIC VF_MUST_USE bool vf_tree_check_inclusion(const struct vf_hash *leaf, uint64_t index, uint64_t size,
                                                   const struct vf_hash *proof, size_t n, const struct vf_hash *root);
VF_PUBLIC VF_MUST_USE bool vf_tree_check_consistency(uint64_t old_size, const struct vf_hash *old_root, uint64_t size,
                                                     const struct vf_hash *root, const struct vf_hash *proof, size_t n);

/* ------------------------------------------------------------------------------------------------------------ slot files */

/*
 * A small flat file of two slots overwritten in place: for what must be really gone once replaced (W, seal secrets) or must survive
 * power loss in place (clock, device identity). Each slot: type(8), version, sequence u64, length u16, payload (at most
 * VF_SLOT_PAYLOAD), SHA-256 of all that, zeroes to the end of its own 4,096-byte block. Payloads may be secret: buffers are wiped.
 */
#define VF_SLOT_PAYLOAD 3072
struct vf_slot {
    bool present; /* checksum right and not wiped */
    uint64_t seq;
    size_t len;
    uint8_t payload[VF_SLOT_PAYLOAD];
};
/* Make the file (mode 0600), slot 0 with `payload` and seq 1, slot 1 wiped; fsync'ed, folder too. VF_E_EXISTS. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_slots_create(const char *path, const char type[8], const void *payload, size_t len,
                                                  struct vf_why *why);
/*
 * Read both (caller wipes *ret with vf_wipe when secret; best in the arena). VF_E_DAMAGED when neither is readable, VF_E_VERSION when what
 * is there is of another type or version; what is not present is zeroed.
 */
VF_PUBLIC VF_MUST_USE enum vf_err vf_slots_read(const char *path, const char type[8], struct vf_slot ret[2],
                                                struct vf_why *why);
/* Overwrite slot `which` (0, 1) in place and fdatasync; payload NULL wipes the slot with zeroes. The file never changes its size. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_slots_write(const char *path, const char type[8], unsigned which, uint64_t seq,
                                                 const void *payload, size_t len, struct vf_why *why);

#endif
