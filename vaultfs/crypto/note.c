/* SPDX-License-Identifier: MIT */
/* Reading signed notes: c2sp.org/signed-note. Writing them is note_sign.c. */
#include "crypto_internal.h"

#include <string.h>

#define DASH     "\xe2\x80\x94 " /* em dash, space */
#define DASH_LEN (sizeof(DASH) - 1)
#define RAW_MAX  8192 /* key id and signature; a post-quantum one has nearly 5 kB */
#define ED25519  (4 + VF_SIG_LEN)

/* ------------------------------------------------------------------------------------------------------------- legal content */

bool vf_note_text_legal(const char *text, size_t len)
{
    if (len == 0 || text[len - 1] != '\n')
        return false;
    while (len > 0) {
        const char *end = memchr(text, '\n', len);
        size_t line = (size_t)(end - text);
        if (!vf_text_printable(text, line))
            return false;
        text += line + 1;
        len -= line + 1;
    }
    return true;
}

/* Does a Unicode space (property White_Space, beyond ASCII) begin here? Valid UTF-8. */
static bool wide_space(const uint8_t *s, size_t left)
{
    if (left >= 2 && s[0] == 0xc2)
        return s[1] == 0x85 || s[1] == 0xa0; /* U+0085, U+00A0 */
    if (left < 3)
        return false;
    unsigned c = ((unsigned)s[0] & 0x0f) << 12 | ((unsigned)s[1] & 0x3f) << 6 | ((unsigned)s[2] & 0x3f);
    if (s[0] < 0xe0 || s[0] > 0xef)
        return false;
    return c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f ||
           c == 0x3000;
}

bool vf_note_name_legal(const char *name, size_t len)
{
    const uint8_t *s = (const uint8_t *)name;

    if (len == 0 || len > 255 || !vf_text_printable(name, len))
        return false;
    for (size_t i = 0; i < len; i++)
        if (s[i] == ' ' || s[i] == '+' || wide_space(s + i, len - i))
            return false;
    return true;
}

/* ------------------------------------------------------------------------------------------------------------------ parsing */

/* Where the text ends: behind the first newline of the last two that stand together. 0 when there are none. */
static size_t end_of_text(const char *s, size_t len)
{
    for (size_t i = len; i >= 2; i--)
        if (s[i - 1] == '\n' && s[i - 2] == '\n')
            return i - 1;
    return 0;
}

/* One signature line without its newline. */
static bool parse_sig(const char *line, size_t len, struct vf_note_sig *ret)
{
    struct vf_note_sig sig = {.line = line, .line_len = len};
    uint8_t raw[RAW_MAX];
    size_t raw_len = 0;

    if (len < DASH_LEN || memcmp(line, DASH, DASH_LEN) != 0)
        return false;
    sig.name = line + DASH_LEN;
    const char *space = memchr(sig.name, ' ', len - DASH_LEN);
    if (space == NULL)
        return false;
    sig.name_len = (size_t)(space - sig.name);
    const char *b64 = space + 1;
    size_t b64_len = (size_t)(line + len - b64);
    if (!vf_note_name_legal(sig.name, sig.name_len) || !vf_base64_get_max(b64, b64_len, raw, sizeof(raw), &raw_len) ||
        raw_len < 5)
        return false;
    memcpy(sig.id, raw, sizeof(sig.id));
    sig.ed25519 = raw_len == ED25519;
    if (sig.ed25519)
        memcpy(sig.sig, raw + 4, sizeof(sig.sig));
    *ret = sig;
    return true;
}

enum vf_err vf_note_parse(const void *data, size_t len, struct vf_note *ret, struct vf_why *why)
{
    struct vf_note note = {.text = data, .total_len = len};
    const char *s = data;

    if (len > VF_NOTE_MAX)
        return vf_fail(why, VF_E_LIMIT, "a signed note of more than %d bytes", VF_NOTE_MAX);
    note.text_len = len > 0 ? end_of_text(s, len) : 0;
    if (note.text_len == 0 || s[len - 1] != '\n')
        return vf_fail(why, VF_E_FORMAT, "not a signed note: no text, empty line and signatures");
    if (!vf_note_text_legal(s, note.text_len))
        return vf_fail(why, VF_E_FORMAT, "not a signed note: its text has characters that cannot be shown safely");
    size_t at = note.text_len + 1;
    while (at < len) {
        const char *end = memchr(s + at, '\n', len - at);
        size_t line = end != NULL ? (size_t)(end - (s + at)) : len - at;
        if (note.nsigs == VF_NOTE_SIGS_MAX)
            return vf_fail(why, VF_E_LIMIT, "a signed note with more than %d signatures", VF_NOTE_SIGS_MAX);
        if (!parse_sig(s + at, line, &note.sigs[note.nsigs]))
            return vf_fail(why, VF_E_FORMAT, "not a signed note: signature line %zu is malformed", note.nsigs + 1);
        note.nsigs++;
        at += line + 1;
    }
    if (note.nsigs == 0)
        return vf_fail(why, VF_E_FORMAT, "not a signed note: no signature");
    *ret = note;
    return VF_OK;
}

/* --------------------------------------------------------------------------------------------------------------- verification */

void vf_note_key_of(const struct vf_identity_pub *pub, struct vf_note_key *ret)
{
    _Static_assert(sizeof(ret->name) >= sizeof(pub->name), "a name fits");
    memset(ret, 0, sizeof(*ret));
    memcpy(ret->name, pub->name, sizeof(pub->name));
    memcpy(ret->key, pub->sign, sizeof(ret->key));
}

void vf_note_key_id(const char *name, size_t name_len, const uint8_t key[32], uint8_t ret[4])
{
    static const uint8_t middle[2] = {0x0a, 0x01}; /* newline, signature type Ed25519 */
    struct vf_chunk chunks[3] = {{name, name_len}, {middle, sizeof(middle)}, {key, 32}};
    uint8_t hash[VF_HASH_LEN];

    vf_hash_chunks(chunks, 3, hash);
    memcpy(ret, hash, 4);
}

/* Was this public key counted already, under another name or twice in the list? */
static bool counted_before(const struct vf_note_key *keys, const bool *signed_by, size_t i)
{
    for (size_t j = 0; j < i; j++)
        if (signed_by[j] && memcmp(keys[j].key, keys[i].key, 32) == 0)
            return true;
    return false;
}

/* Every signature that claims to be by this key must verify. *ret_signed: there was one. */
static enum vf_err verify_key(const struct vf_note *note, const struct vf_note_key *key, bool *ret_signed,
                              struct vf_why *why)
{
    size_t name_len = strnlen(key->name, sizeof(key->name));
    bool any = false;
    uint8_t id[4];

    vf_note_key_id(key->name, name_len, key->key, id);
    for (size_t i = 0; i < note->nsigs; i++) {
        const struct vf_note_sig *sig = &note->sigs[i];
        if (sig->name_len != name_len || memcmp(sig->name, key->name, name_len) != 0 || memcmp(sig->id, id, sizeof(id)) != 0)
            continue;
        /* The key id says Ed25519: another length is no unknown kind of signature but a broken one. */
        if (!sig->ed25519 ||
            crypto_sign_verify_detached(sig->sig, (const uint8_t *)note->text, note->text_len, key->key) != 0)
            return vf_fail(why, VF_E_FORGED, "the signature of %.*s is false: the text is not what was signed",
                           (int)name_len, key->name);
        any = true;
    }
    *ret_signed = any;
    return VF_OK;
}

enum vf_err vf_note_verify(const struct vf_note *note, const struct vf_note_key *keys, size_t nkeys, bool *signed_by,
                           size_t *ret_count, struct vf_why *why)
{
    size_t count = 0;

    for (size_t i = 0; i < nkeys; i++)
        signed_by[i] = false;
    for (size_t i = 0; i < nkeys; i++) {
        enum vf_err err = verify_key(note, &keys[i], &signed_by[i], why);
        if (err != VF_OK) {
            for (size_t j = 0; j < nkeys; j++)
                signed_by[j] = false;
            return err;
        }
        if (signed_by[i] && !counted_before(keys, signed_by, i))
            count++;
    }
    *ret_count = count;
    return VF_OK;
}
