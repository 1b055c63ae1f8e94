/* SPDX-License-Identifier: MIT */
#include "crypto_internal.h"

#include <string.h>

/* Public name and Ed25519 secret in libsodium's form. */
struct signer {
    const char *name;
    const uint8_t *pub;
    const uint8_t *secret;
};

static enum vf_err check_sizes(size_t total, size_t nsigs, struct vf_why *why)
{
    if (nsigs > VF_NOTE_SIGS_MAX)
        return vf_fail(why, VF_E_LIMIT, "a signed note holds at most %d signatures", VF_NOTE_SIGS_MAX);
    if (total > VF_NOTE_MAX)
        return vf_fail(why, VF_E_LIMIT, "a signed note holds at most %d bytes", VF_NOTE_MAX);
    return VF_OK;
}

/* "— NAME BASE64\n" over the text. */
static void put_signature(const struct signer *by, const char *text, size_t len, struct vf_buf *out)
{
    uint8_t raw[4 + VF_SIG_LEN];

    vf_note_key_id(by->name, strlen(by->name), by->pub, raw);
    (void)crypto_sign_detached(raw + 4, NULL, (const uint8_t *)text, len, by->secret);
    vf_buf_text(out, "\xe2\x80\x94 ");
    vf_buf_text(out, by->name);
    vf_buf_text(out, " ");
    vf_base64_put(out, raw, sizeof(raw));
    vf_buf_text(out, "\n");
}

static size_t signature_size(const char *name)
{
    return 4 + strlen(name) + 1 + (4 + VF_SIG_LEN + 2) / 3 * 4 + 1;
}

static enum vf_err sign_new(const char *text, size_t len, const struct signer *by, struct vf_buf *out, struct vf_why *why)
{
    if (!vf_note_text_legal(text, len))
        return vf_fail(why, VF_E_INPUT,
                       "a text to be signed ends with a newline and has only characters that can be shown safely");
    if (!vf_note_name_legal(by->name, strlen(by->name)))
        return vf_fail(why, VF_E_INPUT, "not a name to sign with");
    if (len > VF_NOTE_MAX)
        return check_sizes(len, 1, why);
    VF_TRY(check_sizes(len + 1 + signature_size(by->name), 1, why));
    vf_buf_put(out, text, len);
    vf_buf_text(out, "\n");
    put_signature(by, text, len, out);
    return vf_buf_check(out, "the signed note", why);
}

enum vf_err vf_note_sign(const char *text, size_t len, const struct vf_identity *id, struct vf_buf *out, struct vf_why *why)
{
    struct signer by = {id->pub.name, id->pub.sign, id->sign};

    return sign_new(text, len, &by, out, why);
}

enum vf_err vf_note_cosign(const struct vf_note *note, const struct vf_identity *id, struct vf_buf *out, struct vf_why *why)
{
    struct signer by = {id->pub.name, id->pub.sign, id->sign};
    struct vf_note_key key;
    bool already = false;
    size_t count = 0;

    vf_note_key_of(&id->pub, &key);
    VF_TRY(vf_note_verify(note, &key, 1, &already, &count, why));
    if (!already)
        VF_TRY(check_sizes(note->total_len + signature_size(by.name), note->nsigs + 1, why));
    vf_buf_put(out, note->text, note->total_len);
    if (!already)
        put_signature(&by, note->text, note->text_len, out);
    return vf_buf_check(out, "the signed note", why);
}

static bool has_line(const struct vf_note *note, const struct vf_note_sig *sig)
{
    for (size_t i = 0; i < note->nsigs; i++)
        if (note->sigs[i].line_len == sig->line_len && memcmp(note->sigs[i].line, sig->line, sig->line_len) == 0)
            return true;
    return false;
}

enum vf_err vf_note_merge(const struct vf_note *a, const struct vf_note *b, struct vf_buf *out, struct vf_why *why)
{
    bool wanted[VF_NOTE_SIGS_MAX];
    size_t total = a->total_len;
    size_t nsigs = a->nsigs;

    if (a->text_len != b->text_len || memcmp(a->text, b->text, a->text_len) != 0)
        return vf_fail(why, VF_E_FORGED, "the two notes have different texts: they are not signatures of the same thing");
    for (size_t i = 0; i < b->nsigs; i++) {
        wanted[i] = !has_line(a, &b->sigs[i]);
        total += wanted[i] ? b->sigs[i].line_len + 1 : 0;
        nsigs += wanted[i] ? 1 : 0;
    }
    VF_TRY(check_sizes(total, nsigs, why));
    vf_buf_put(out, a->text, a->total_len);
    for (size_t i = 0; i < b->nsigs; i++) {
        if (!wanted[i])
            continue;
        vf_buf_put(out, b->sigs[i].line, b->sigs[i].line_len);
        vf_buf_text(out, "\n");
    }
    return vf_buf_check(out, "the signed note", why);
}

/* ---------------------------------------------------------------------------------------------------------------- seal keys */

bool vf_seal_key_from_seed(const uint8_t seed[32], struct vf_seal_key *ret)
{
    uint8_t secret[crypto_sign_SECRETKEYBYTES];
    struct vf_seal_key key;

    /* Zeroes are a slot that was wiped, never a secret. */
    if (sodium_is_zero(seed, 32) == 1)
        return false;
    memcpy(key.seed, seed, 32);
    (void)crypto_sign_seed_keypair(key.pub, secret, seed);
    *ret = key;
    sodium_memzero(secret, sizeof(secret));
    sodium_memzero(&key, sizeof(key));
    return true;
}

void vf_seal_key_new(struct vf_seal_key *ret)
{
    uint8_t seed[32];

    do {
        vf_random(seed, sizeof(seed));
    } while (!vf_seal_key_from_seed(seed, ret));
    sodium_memzero(seed, sizeof(seed));
}

enum vf_err vf_note_sign_seal(const char *text, size_t len, const char *name, const struct vf_seal_key *key,
                              struct vf_buf *out, struct vf_why *why)
{
    uint8_t secret[crypto_sign_SECRETKEYBYTES];
    struct signer by = {name, key->pub, secret};

    memcpy(secret, key->seed, 32);
    memcpy(secret + 32, key->pub, 32);
    enum vf_err err = sign_new(text, len, &by, out, why);
    sodium_memzero(secret, sizeof(secret));
    return err;
}
