/* SPDX-License-Identifier: MIT */
#include "crypto_internal.h"

#include <stdlib.h>
#include <string.h>

#define MAGIC      "vaultfs-identity-v1"
#define PUBLIC_LEN 96
#define BASE64_LEN 128

_Static_assert(crypto_sign_PUBLICKEYBYTES == 32 && crypto_sign_SEEDBYTES == 32 && crypto_sign_BYTES == VF_SIG_LEN,
               "Ed25519");
_Static_assert(crypto_box_PUBLICKEYBYTES == 32 && crypto_box_SECRETKEYBYTES == 32, "X25519");
_Static_assert(crypto_box_SEALBYTES == VF_SEALED_OVERHEAD, "sealed box");

static const uint8_t no_key[32];

/* -------------------------------------------------------------------------------------------------------------------- roles */

const char *vf_role_text(enum vf_role role)
{
    switch (role) {
    case VF_ROLE_ADMIN:
        return "admin";
    case VF_ROLE_DESK:
        return "desk";
    case VF_ROLE_DEVICE:
        return "device";
    default:
        return "unknown";
    }
}

bool vf_role_parse(const char *s, size_t len, enum vf_role *ret)
{
    static const enum vf_role roles[] = {VF_ROLE_ADMIN, VF_ROLE_DESK, VF_ROLE_DEVICE};

    for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
        const char *text = vf_role_text(roles[i]);
        if (strlen(text) == len && memcmp(text, s, len) == 0) {
            *ret = roles[i];
            return true;
        }
    }
    return false;
}

/* ------------------------------------------------------------------------------------------------------------- public halves */

void vf_identity_pub_put(const struct vf_identity_pub *pub, struct vf_buf *out)
{
    uint8_t keys[PUBLIC_LEN];

    memcpy(keys, pub->sign, 32);
    memcpy(keys + 32, pub->box, 32);
    memcpy(keys + 64, pub->cosign, 32);
    vf_buf_fmt(out, MAGIC " %s %s ", vf_role_text(pub->role), pub->name);
    vf_base64_put(out, keys, sizeof(keys));
}

/* Take the word up to the next space off the line; NULL when there is no space after it. */
static const char *next_word(const char **line, size_t *left, size_t *ret_len)
{
    const char *word = *line;
    const char *space = memchr(word, ' ', *left);

    if (space == NULL)
        return NULL;
    *ret_len = (size_t)(space - word);
    *line = space + 1;
    *left -= *ret_len + 1;
    return word;
}

bool vf_box_key_good(const uint8_t box[32])
{
    static const uint8_t scalar[32] = {9};
    uint8_t shared[32];

    return (box[31] & 0x80) == 0 && crypto_scalarmult(shared, scalar, box) == 0;
}

static bool keys_usable(const struct vf_identity_pub *pub)
{
    if (crypto_core_ed25519_is_valid_point(pub->sign) != 1 || !vf_box_key_good(pub->box))
        return false;
    if (pub->role != VF_ROLE_DESK)
        return memcmp(pub->cosign, no_key, 32) == 0;
    return crypto_core_ed25519_is_valid_point(pub->cosign) == 1 && memcmp(pub->cosign, pub->sign, 32) != 0;
}

enum vf_err vf_identity_pub_parse(const char *line, size_t len, struct vf_identity_pub *ret, struct vf_why *why)
{
    struct vf_identity_pub pub = {0};
    uint8_t keys[PUBLIC_LEN];
    size_t word_len = 0;

    const char *word = next_word(&line, &len, &word_len);
    if (word == NULL || word_len != strlen(MAGIC) || memcmp(word, MAGIC, word_len) != 0)
        return vf_fail(why, VF_E_FORMAT, "not a public identity: it does not begin with \"" MAGIC "\"");
    word = next_word(&line, &len, &word_len);
    if (word == NULL || !vf_role_parse(word, word_len, &pub.role))
        return vf_fail(why, VF_E_FORMAT, "public identity: unknown role");
    word = next_word(&line, &len, &word_len);
    if (word == NULL || !vf_name_valid(word, word_len))
        return vf_fail(why, VF_E_FORMAT, "public identity: not a name");
    memcpy(pub.name, word, word_len);
    if (len != BASE64_LEN || !vf_base64_get(line, len, keys, sizeof(keys)))
        return vf_fail(why, VF_E_FORMAT, "public identity of %s: the keys are not %d characters of base64", pub.name,
                       BASE64_LEN);
    memcpy(pub.sign, keys, 32);
    memcpy(pub.box, keys + 32, 32);
    memcpy(pub.cosign, keys + 64, 32);
    if (!keys_usable(&pub))
        return vf_fail(why, VF_E_FORMAT, "public identity of %s: these are not keys of a %s", pub.name,
                       vf_role_text(pub.role));
    *ret = pub;
    return VF_OK;
}

enum vf_err vf_identity_pub_read(const char *path, struct vf_identity_pub *ret, struct vf_why *why)
{
    VF_BUF b = {0};

    VF_TRY(vf_file_read(path, VF_IDENTITY_FILE_MAX, &b, why));
    size_t len = b.len;
    if (len >= 7 && memcmp(b.data, "VFIDENT", 7) == 0)
        return vf_fail(why, VF_E_FORMAT, "%s: the secret file of an identity: give its public one (%s.pub)", path, path);
    if (len > 0 && b.data[len - 1] == '\n')
        len--;
    enum vf_err err = vf_identity_pub_parse(len > 0 ? (const char *)b.data : "", len, ret, why);
    return err == VF_OK ? VF_OK : vf_fail_prefix(why, err, "%s", path);
}

void vf_identity_fingerprint(const struct vf_identity_pub *pub, struct vf_hash *ret)
{
    uint8_t keys[PUBLIC_LEN];
    char text[BASE64_LEN + 1];
    const char *role = vf_role_text(pub->role);

    memcpy(keys, pub->sign, 32);
    memcpy(keys + 32, pub->box, 32);
    memcpy(keys + 64, pub->cosign, 32);
    (void)sodium_bin2base64(text, sizeof(text), keys, sizeof(keys), sodium_base64_VARIANT_ORIGINAL);
    struct vf_chunk line[] = {
        {MAGIC " ", strlen(MAGIC " ")},
        {role, strlen(role)},
        {" ", 1},
        {pub->name, strlen(pub->name)},
        {" ", 1},
        {text, BASE64_LEN},
    };
    vf_hash_chunks(line, sizeof(line) / sizeof(line[0]), ret->b);
}

void vf_fingerprint_text(const struct vf_hash *hash, char out[VF_FINGERPRINT_TEXT_LEN + 1])
{
    /* 20 bytes are 32 characters; a ref is the base32 of 5 bytes. */
    for (size_t i = 0; i < 4; i++) {
        struct vf_ref eight;
        vf_ref_from_bytes(hash->b + 5 * i, &eight);
        memcpy(out + 10 * i, eight.c, 4);
        out[10 * i + 4] = '-';
        memcpy(out + 10 * i + 5, eight.c + 4, 4);
        out[10 * i + 9] = '-';
    }
    out[VF_FINGERPRINT_TEXT_LEN] = '\0';
}

bool vf_identity_pub_equal(const struct vf_identity_pub *a, const struct vf_identity_pub *b)
{
    return a->role == b->role && strcmp(a->name, b->name) == 0 && memcmp(a->sign, b->sign, 32) == 0 &&
           memcmp(a->box, b->box, 32) == 0 && memcmp(a->cosign, b->cosign, 32) == 0;
}

/* ------------------------------------------------------------------------------------------------------------- secret halves */

static void identity_fill(struct vf_identity *id, const struct vf_identity_secrets *secrets)
{
    (void)crypto_sign_seed_keypair(id->pub.sign, id->sign, secrets->sign_seed);
    memcpy(id->box, secrets->box, sizeof(id->box));
    (void)crypto_scalarmult_base(id->pub.box, secrets->box);
    if (id->pub.role == VF_ROLE_DESK)
        (void)crypto_sign_seed_keypair(id->pub.cosign, id->cosign, secrets->cosign_seed);
}

static enum vf_err identity_room(struct vf_identity **ret, struct vf_why *why)
{
    *ret = vf_secret_new(sizeof(**ret));
    return *ret != NULL ? VF_OK : vf_fail(why, VF_E_LOCKED_MEMORY, "the locked memory for keys is full");
}

enum vf_err vf_identity_new(enum vf_role role, const char *name, struct vf_identity **ret, struct vf_why *why)
{
    VF_IDENTITY id = NULL;
    VF_SECRET struct vf_identity_secrets *secrets = vf_secret_new(sizeof(*secrets));
    size_t len = strlen(name);

    if (!vf_name_valid(name, len))
        return vf_fail(why, VF_E_INPUT, "a name has 1 to %d of the characters a-z 0-9 . - and begins with a letter or digit",
                       VF_NAME_MAX);
    if (secrets == NULL)
        return vf_fail(why, VF_E_LOCKED_MEMORY, "the locked memory for keys is full");
    VF_TRY(identity_room(&id, why));
    id->pub.role = role;
    memcpy(id->pub.name, name, len + 1);
    vf_random(secrets, sizeof(*secrets));
    identity_fill(id, secrets);
    *ret = id;
    id = NULL;
    return VF_OK;
}

void vf_identity_free(struct vf_identity *id)
{
    vf_secret_free(id);
}

void vf_identity_cleanup(struct vf_identity **id)
{
    vf_identity_free(*id);
    *id = NULL;
}

const struct vf_identity_pub *vf_identity_pub_get(const struct vf_identity *id)
{
    return &id->pub;
}

void vf_identity_secrets_get(const struct vf_identity *id, struct vf_identity_secrets *ret)
{
    struct vf_identity_secrets secrets;

    memcpy(secrets.sign_seed, id->sign, sizeof(secrets.sign_seed)); /* libsodium's secret key begins with the seed */
    memcpy(secrets.box, id->box, sizeof(secrets.box));
    memcpy(secrets.cosign_seed, id->cosign, sizeof(secrets.cosign_seed));
    *ret = secrets;
    sodium_memzero(&secrets, sizeof(secrets));
}

enum vf_err vf_identity_of_secrets(const struct vf_identity_pub *pub, const struct vf_identity_secrets *secrets,
                                   struct vf_identity **ret, struct vf_why *why)
{
    VF_IDENTITY id = NULL;

    VF_TRY(identity_room(&id, why));
    id->pub.role = pub->role;
    memcpy(id->pub.name, pub->name, sizeof(id->pub.name));
    identity_fill(id, secrets);
    bool fits = pub->role == VF_ROLE_DESK || sodium_is_zero(secrets->cosign_seed, sizeof(secrets->cosign_seed)) == 1;
    if (!fits || !vf_identity_pub_equal(&id->pub, pub))
        return vf_fail(why, VF_E_DAMAGED,
                       "identity %s: damaged: the secret keys do not belong to the public keys beside them", pub->name);
    *ret = id;
    id = NULL;
    return VF_OK;
}

/* ------------------------------------------------------------------------------------------------------------- sealed boxes */

static void box_seal(const uint8_t key[VF_KEY_LEN], const struct vf_identity_pub *to, uint8_t out[VF_SEALED_KEY_LEN])
{
    /* It fails for keys that vf_identity_pub_parse refuses. What lies in `out` then is no ciphertext, and must not be sent. */
    if (crypto_box_seal(out, key, VF_KEY_LEN, to->box) != 0)
        abort();
}

static enum vf_err box_open(const struct vf_identity *id, const uint8_t in[VF_SEALED_KEY_LEN], uint8_t ret[VF_KEY_LEN])
{
    uint8_t key[VF_KEY_LEN];
    bool ok = crypto_box_seal_open(key, in, VF_SEALED_KEY_LEN, id->pub.box, id->box) == 0;

    if (ok)
        memcpy(ret, key, sizeof(key));
    sodium_memzero(key, sizeof(key));
    return ok ? VF_OK : VF_E_DAMAGED;
}

void vf_vault_key_seal(const struct vf_vault_key *vk, const struct vf_identity_pub *to, uint8_t out[VF_SEALED_KEY_LEN])
{
    box_seal(vk->b, to, out);
}

enum vf_err vf_vault_key_open(const struct vf_identity *id, const uint8_t in[VF_SEALED_KEY_LEN], struct vf_vault_key *ret)
{
    return box_open(id, in, ret->b);
}

void vf_grant_share_seal(const struct vf_grant_share *gs, const struct vf_identity_pub *to, uint8_t out[VF_SEALED_KEY_LEN])
{
    box_seal(gs->b, to, out);
}

enum vf_err vf_grant_share_open(const struct vf_identity *id, const uint8_t in[VF_SEALED_KEY_LEN],
                                struct vf_grant_share *ret)
{
    return box_open(id, in, ret->b);
}

void vf_station_key_of(const struct vf_identity *device, struct vf_station_key *ret)
{
    VF_FRAME f;

    vf_frame_init(&f, "vaultfs v1 station key");
    vf_frame_kdf(device->sign, &f, ret->b);
}
