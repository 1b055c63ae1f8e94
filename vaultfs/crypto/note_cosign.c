/* SPDX-License-Identifier: MIT */
/* Timestamped cosignatures: c2sp.org/tlog-cosignature, type 0x04. */
#include "crypto_internal.h"

#include <string.h>

#define COSIGNATURE_LEN (8 + VF_SIG_LEN)
#define HEADER_MAX      64
#define LINE_MAX_LEN    (4 + VF_NAME_MAX + 1 + (4 + COSIGNATURE_LEN + 2) / 3 * 4 + 1) /* dash, name, base64, newline */
#define TIME_MAX        UINT64_C(253402300799)                                        /* 9999-12-31T23:59:59Z */

void vf_note_cosigner_key_of(const struct vf_identity_pub *pub, struct vf_note_key *ret)
{
    vf_note_key_of(pub, ret);
    if (pub->role == VF_ROLE_DESK)
        memcpy(ret->key, pub->cosign, sizeof(ret->key));
}

static void cosigner_id(const char *name, size_t name_len, const uint8_t key[32], uint8_t ret[4])
{
    static const uint8_t middle[2] = {0x0a, 0x04}; /* newline, signature type cosignature */
    struct vf_chunk chunks[3] = {{name, name_len}, {middle, sizeof(middle)}, {key, 32}};
    uint8_t hash[VF_HASH_LEN];

    vf_hash_chunks(chunks, 3, hash);
    memcpy(ret, hash, 4);
}

/* What is signed: the header with the time, then the note's text. */
static enum vf_err message_put(const struct vf_note *note, uint64_t time_s, struct vf_buf *out, struct vf_why *why)
{
    vf_buf_init(out, note->text_len + HEADER_MAX);
    vf_buf_fmt(out, "cosignature/v1\ntime %llu\n", (unsigned long long)time_s);
    vf_buf_put(out, note->text, note->text_len);
    return vf_buf_check(out, "the text of a cosignature", why);
}

enum vf_err vf_note_cosignature_put(const struct vf_note *note, const struct vf_identity *id, uint64_t time_s,
                                    struct vf_buf *out, struct vf_why *why)
{
    const uint8_t *secret = id->pub.role == VF_ROLE_DESK ? id->cosign : id->sign;
    uint8_t raw[4 + COSIGNATURE_LEN];
    struct vf_note_key key;
    VF_BUF message = {0};

    if (time_s > TIME_MAX)
        return vf_fail(why, VF_E_INPUT, "a cosignature's time is beyond the year 9999");
    if (note->nsigs >= VF_NOTE_SIGS_MAX)
        return vf_fail(why, VF_E_LIMIT, "a signed note holds at most %d signatures", VF_NOTE_SIGS_MAX);
    if (note->total_len + LINE_MAX_LEN > VF_NOTE_MAX)
        return vf_fail(why, VF_E_LIMIT, "a signed note holds at most %d bytes", VF_NOTE_MAX);
    VF_TRY(message_put(note, time_s, &message, why));
    vf_note_cosigner_key_of(&id->pub, &key);
    cosigner_id(key.name, strlen(key.name), key.key, raw);
    vf_put_be64(raw + 4, time_s);
    (void)crypto_sign_detached(raw + 12, NULL, message.data, message.len, secret);
    vf_buf_put(out, note->text, note->total_len);
    vf_buf_text(out, "\xe2\x80\x94 ");
    vf_buf_text(out, key.name);
    vf_buf_text(out, " ");
    vf_base64_put(out, raw, sizeof(raw));
    vf_buf_text(out, "\n");
    return vf_buf_check(out, "the cosigned note", why);
}

/* The 72 bytes behind the key id. A signature line that the note's parser took, so its form is right; another length is no cosignature. */
static bool raw_of(const struct vf_note_sig *sig, uint8_t ret[4 + COSIGNATURE_LEN])
{
    const char *b64 = sig->name + sig->name_len + 1;
    size_t len = sig->line_len - (size_t)(b64 - sig->line);

    return vf_base64_get(b64, len, ret, 4 + COSIGNATURE_LEN);
}

static enum vf_err verify_one(const struct vf_note *note, const struct vf_note_key *key, const struct vf_note_sig *sig,
                              uint64_t *ret_time_s, struct vf_why *why)
{
    uint8_t raw[4 + COSIGNATURE_LEN];
    VF_BUF message = {0};

    /* The key id says that it is one: anything but a good cosignature is a broken one. */
    bool ok = raw_of(sig, raw) && vf_get_be64(raw + 4) <= TIME_MAX;
    if (ok) {
        VF_TRY(message_put(note, vf_get_be64(raw + 4), &message, why));
        ok = crypto_sign_verify_detached(raw + 12, message.data, message.len, key->key) == 0;
    }
    if (!ok)
        return vf_fail(why, VF_E_FORGED, "the cosignature of %.*s is false: text or time are not what was signed",
                       (int)sig->name_len, sig->name);
    *ret_time_s = vf_get_be64(raw + 4);
    return VF_OK;
}

enum vf_err vf_note_cosignature_verify(const struct vf_note *note, const struct vf_note_key *keys, size_t nkeys,
                                       size_t *ret_key, uint64_t *ret_time_s, struct vf_why *why)
{
    uint64_t latest = 0;
    size_t by = nkeys;

    for (size_t k = 0; k < nkeys; k++) {
        size_t name_len = strnlen(keys[k].name, sizeof(keys[k].name));
        uint8_t id[4];
        cosigner_id(keys[k].name, name_len, keys[k].key, id);
        for (size_t i = 0; i < note->nsigs; i++) {
            const struct vf_note_sig *sig = &note->sigs[i];
            uint64_t time_s = 0;
            if (sig->name_len != name_len || memcmp(sig->name, keys[k].name, name_len) != 0 ||
                memcmp(sig->id, id, sizeof(id)) != 0)
                continue;
            VF_TRY(verify_one(note, &keys[k], sig, &time_s, why));
            if (by < nkeys && time_s <= latest)
                continue;
            latest = time_s;
            by = k;
        }
    }
    if (by == nkeys)
        return vf_fail(why, VF_E_UNSIGNED, "not cosigned by anybody known here");
    *ret_key = by;
    *ret_time_s = latest;
    return VF_OK;
}
