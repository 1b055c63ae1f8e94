/* SPDX-License-Identifier: MIT */
/*
 * The secret file of an identity:
 *
 *   8   type "VFIDENT" NUL      u32 version 1
 *   u16 length, public line
 *   u32 Argon2id memory in KiB  u32 passes      both zero: stored without passphrase
 *   16  salt                    24  nonce       zeroes without passphrase
 *   u16 length, secrets         96 + 16 sealed under the passphrase, with all bytes before them as associated data; or 96 plain
 *   32  SHA-256 of all bytes before: tells damage from a wrong passphrase
 */
#include "crypto_internal.h"

#include <string.h>

#define VERSION    1
#define SEALED_LEN (VF_IDENTITY_SECRETS_LEN + VF_TAG_LEN)
#define MEM_MIN    65536u
#define MEM_MAX    1048576u
#define PASSES_MIN 2u
#define PASSES_MAX 10u

static const uint8_t type[8] = "VFIDENT";

_Static_assert(crypto_pwhash_argon2id_SALTBYTES == 16, "salt");

struct parsed {
    struct vf_identity_pub pub;
    struct vf_argon2 cost;
    bool locked;
    uint8_t salt[16];
    uint8_t nonce[VF_NONCE_LEN];
    size_t ad_len; /* bytes before the secrets */
    const uint8_t *secrets;
};

/* Lives in the arena. */
struct work {
    uint8_t key[VF_KEY_LEN];
    struct vf_identity_secrets plain;
};

static bool cost_accepted(struct vf_argon2 cost)
{
    return cost.mem_kib >= MEM_MIN && cost.mem_kib <= MEM_MAX && cost.passes >= PASSES_MIN && cost.passes <= PASSES_MAX;
}

static enum vf_err derive(const struct vf_passphrase *pass, struct vf_argon2 cost, const uint8_t salt[16],
                          uint8_t key[VF_KEY_LEN], struct vf_why *why)
{
    if (crypto_pwhash(key, VF_KEY_LEN, pass->text, pass->len, salt, cost.passes, (size_t)cost.mem_kib * 1024,
                      crypto_pwhash_ALG_ARGON2ID13) == 0)
        return VF_OK;
    return vf_fail(why, VF_E_NOMEM, "not enough memory to work out the passphrase: %u MiB are needed",
                   (unsigned)(cost.mem_kib / 1024));
}

/* Seal or copy the secrets to `out`, which has room for SEALED_LEN. */
static enum vf_err put_secrets(const struct vf_identity *id, const struct vf_passphrase *pass, const struct parsed *head,
                               const uint8_t *ad, size_t ad_len, uint8_t out[SEALED_LEN], struct vf_why *why)
{
    VF_SECRET struct work *own = vf_secret_new(sizeof(*own));

    if (own == NULL)
        return vf_fail(why, VF_E_LOCKED_MEMORY, "the locked memory for keys is full");
    vf_identity_secrets_get(id, &own->plain);
    if (pass == NULL) {
        memcpy(out, &own->plain, sizeof(own->plain));
        return VF_OK;
    }
    VF_TRY(derive(pass, head->cost, head->salt, own->key, why));
    vf_xchacha_seal(own->key, head->nonce, ad, ad_len, (const uint8_t *)&own->plain, sizeof(own->plain), out);
    return VF_OK;
}

enum vf_err vf_identity_encode(const struct vf_identity *id, const struct vf_passphrase *pass, struct vf_argon2 cost,
                               struct vf_buf *out, struct vf_why *why)
{
    struct parsed head = {.pub = id->pub};
    VF_BUF line = {.max = VF_IDENTITY_LINE_MAX};
    VF_BUF file = {.max = VF_IDENTITY_FILE_MAX};
    uint8_t secrets[SEALED_LEN];
    struct vf_hash sum;

    if (pass != NULL && (pass->len == 0 || pass->len > sizeof(pass->text)))
        return vf_fail(why, VF_E_INPUT, "an empty passphrase protects nothing");
    if (pass != NULL && !cost_accepted(cost))
        return vf_fail(why, VF_E_REFUSED, "passphrase work of %u KiB and %u passes is outside what vaultfs accepts",
                       (unsigned)cost.mem_kib, (unsigned)cost.passes);
    if (pass != NULL) {
        head.cost = cost;
        vf_random(head.salt, sizeof(head.salt));
        vf_random(head.nonce, sizeof(head.nonce));
    }
    vf_identity_pub_put(&id->pub, &line);
    VF_TRY(vf_buf_check(&line, "the public identity", why));
    vf_buf_put(&file, type, sizeof(type));
    vf_buf_u32(&file, VERSION);
    vf_buf_str16(&file, line.data, line.len);
    vf_buf_u32(&file, head.cost.mem_kib);
    vf_buf_u32(&file, head.cost.passes);
    vf_buf_put(&file, head.salt, sizeof(head.salt));
    vf_buf_put(&file, head.nonce, sizeof(head.nonce));
    size_t secrets_len = pass != NULL ? SEALED_LEN : VF_IDENTITY_SECRETS_LEN;
    vf_buf_u16(&file, (uint16_t)secrets_len);
    VF_TRY(vf_buf_check(&file, "the identity file", why));
    VF_TRY(put_secrets(id, pass, &head, file.data, file.len, secrets, why));
    vf_buf_put(&file, secrets, secrets_len);
    sodium_memzero(secrets, sizeof(secrets));
    VF_TRY(vf_buf_check(&file, "the identity file", why));
    vf_sha256(file.data, file.len, &sum);
    vf_buf_put(&file, sum.b, sizeof(sum.b));
    vf_buf_put(out, file.data, file.len);
    VF_TRY(vf_buf_check(&file, "the identity file", why));
    return vf_buf_check(out, "the identity file", why);
}

/* What follows the public line and its cost: everything must be as one of the two kinds of file has it. */
static enum vf_err check_kind(const struct parsed *p, size_t secrets_len, struct vf_why *why)
{
    if (!p->locked) {
        bool none = sodium_is_zero(p->salt, sizeof(p->salt)) == 1 && sodium_is_zero(p->nonce, sizeof(p->nonce)) == 1;
        if (!none || secrets_len != VF_IDENTITY_SECRETS_LEN)
            return vf_fail(why, VF_E_FORMAT, "identity %s: not a well-formed identity file", p->pub.name);
        return VF_OK;
    }
    if (!cost_accepted(p->cost))
        return vf_fail(
            why, VF_E_REFUSED,
            "identity %s: its passphrase takes %u KiB and %u passes, outside the 64 MiB/2 to 1 GiB/10 that vaultfs accepts",
            p->pub.name, (unsigned)p->cost.mem_kib, (unsigned)p->cost.passes);
    if (secrets_len != SEALED_LEN)
        return vf_fail(why, VF_E_FORMAT, "identity %s: not a well-formed identity file", p->pub.name);
    return VF_OK;
}

static enum vf_err parse(const uint8_t *data, size_t len, struct parsed *ret, struct vf_why *why)
{
    struct parsed p = {0};
    struct vf_reader r = vf_reader_of(data, len);
    uint8_t sum[VF_HASH_LEN];
    struct vf_hash want;
    size_t line_len = 0;

    const uint8_t *tag = vf_reader_view(&r, sizeof(type));
    if (len >= 17 && memcmp(data, "vaultfs-identity-", 17) == 0)
        return vf_fail(why, VF_E_FORMAT, "the public file of an identity: give its secret one (without .pub)");
    if (tag == NULL || memcmp(tag, type, sizeof(type)) != 0)
        return vf_fail(why, VF_E_FORMAT, "not an identity file");
    uint32_t version = vf_reader_u32(&r);
    if (!r.bad && version != VERSION)
        return vf_fail(why, VF_E_VERSION, "an identity file of another version of vaultfs");
    const uint8_t *line = vf_reader_str16(&r, VF_IDENTITY_LINE_MAX, &line_len);
    p.cost.mem_kib = vf_reader_u32(&r);
    p.cost.passes = vf_reader_u32(&r);
    vf_reader_copy(&r, p.salt, sizeof(p.salt));
    vf_reader_copy(&r, p.nonce, sizeof(p.nonce));
    size_t secrets_len = vf_reader_u16(&r);
    p.ad_len = len - r.left;
    p.secrets = vf_reader_view(&r, secrets_len);
    size_t sum_at = len - r.left;
    vf_reader_copy(&r, sum, sizeof(sum));
    if (!vf_reader_done(&r) || line == NULL)
        return vf_fail(why, VF_E_FORMAT, "not a well-formed identity file: cut short or too long");
    vf_sha256(data, sum_at, &want);
    if (memcmp(want.b, sum, sizeof(sum)) != 0)
        return vf_fail(why, VF_E_DAMAGED, "a damaged identity file: its checksum is wrong");
    VF_TRY(vf_identity_pub_parse((const char *)line, line_len, &p.pub, why));
    p.locked = p.cost.mem_kib != 0 || p.cost.passes != 0;
    VF_TRY(check_kind(&p, secrets_len, why));
    *ret = p;
    return VF_OK;
}

enum vf_err vf_identity_peek(const uint8_t *data, size_t len, struct vf_identity_pub *ret, bool *ret_locked,
                             struct vf_why *why)
{
    struct parsed p;

    VF_TRY(parse(data, len, &p, why));
    *ret = p.pub;
    *ret_locked = p.locked;
    return VF_OK;
}

enum vf_err vf_identity_decode(const uint8_t *data, size_t len, const struct vf_passphrase *pass, struct vf_identity **ret,
                               struct vf_why *why)
{
    struct parsed p;
    VF_SECRET struct work *own = vf_secret_new(sizeof(*own));

    VF_TRY(parse(data, len, &p, why));
    if (own == NULL)
        return vf_fail(why, VF_E_LOCKED_MEMORY, "the locked memory for keys is full");
    if (!p.locked) {
        memcpy(&own->plain, p.secrets, sizeof(own->plain));
        return vf_identity_of_secrets(&p.pub, &own->plain, ret, why);
    }
    if (pass == NULL || pass->len == 0 || pass->len > sizeof(pass->text))
        return vf_fail(why, VF_E_PASSPHRASE, "identity %s: a passphrase is needed", p.pub.name);
    VF_TRY(derive(pass, p.cost, p.salt, own->key, why));
    if (!vf_xchacha_open(own->key, p.nonce, data, p.ad_len, p.secrets, SEALED_LEN, (uint8_t *)&own->plain))
        return vf_fail(why, VF_E_PASSPHRASE, "identity %s: the passphrase does not open this key", p.pub.name);
    return vf_identity_of_secrets(&p.pub, &own->plain, ret, why);
}
