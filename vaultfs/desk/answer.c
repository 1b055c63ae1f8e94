/* SPDX-License-Identifier: MIT */
/*
 * The body of an answer, before it is sealed (integers big-endian):
 *
 *   8 type "VFDSKANS", u32 version 1, 32 hash of the request, u8 status, u64 time, u64 lease (µs), u64 log size,
 *   u16 length, text; u32 length, receipt; u32 shares, each 8 ref, u8 part, 32 release share;
 *   64 Ed25519 signature of the desk over the SHA-256 of all bytes before (crypto/message.c)
 *
 * The whole body lies in the arena as long as it holds shares, and is there once: those who get it take it over with the shares at its
 * beginning. The text of a whole force comes to 2 MB of it.
 */
#include "message.h"

#include <string.h>

#define VERSION   1
#define HEAD_LEN  (8 + 4 + VF_HASH_LEN + 1 + 8 + 8 + 8)
#define SHARE_LEN (VF_REF_LEN + 1 + VF_KEY_LEN)

static const uint8_t type[8] = "VFDSKANS";

const char *vf_answer_text(enum vf_answer_status status)
{
    static const char *const text[VF_ANSWER_COUNT] = {
#define VF_ANSWER_TEXT_(code, word) [VF_ANSWER_##code] = (word),
        VF_ANSWERS(VF_ANSWER_TEXT_)
#undef VF_ANSWER_TEXT_
    };

    return (unsigned)status < VF_ANSWER_COUNT ? text[status] : "?";
}

/* ------------------------------------------------------------------------------------------------------------------- writing */

static uint8_t *put(uint8_t *at, const void *data, size_t len)
{
    if (len > 0)
        memcpy(at, data, len);
    return at + len;
}

static size_t body_len(const struct vf_answer *a)
{
    return HEAD_LEN + 2 + strlen(a->text) + 4 + a->receipt.len + 4 + a->nshares * SHARE_LEN + VF_SIG_LEN;
}

static uint8_t *put_shares(uint8_t *at, const struct vf_answer *a)
{
    vf_put_be32(at, (uint32_t)a->nshares);
    at += 4;
    for (size_t i = 0; i < a->nshares; i++) {
        at = put(at, a->shares[i].ref.c, VF_REF_LEN);
        *at++ = (uint8_t)a->shares[i].part;
        at = put(at, a->shares[i].share.b, VF_KEY_LEN);
    }
    return at;
}

/* Exactly body_len bytes. */
static void put_body(const struct vf_answer *a, const struct vf_identity *desk, uint8_t *body)
{
    size_t text_len = strlen(a->text);
    uint8_t *at = put(body, type, sizeof(type));
    struct vf_hash hash;

    vf_put_be32(at, VERSION);
    at = put(at + 4, a->request.b, VF_HASH_LEN);
    *at++ = (uint8_t)a->status;
    vf_put_be64(at, (uint64_t)a->time_us);
    vf_put_be64(at + 8, (uint64_t)a->lease_us);
    vf_put_be64(at + 16, a->log_size);
    vf_put_be16(at + 24, (uint16_t)text_len);
    at = put(at + 26, a->text, text_len);
    vf_put_be32(at, (uint32_t)a->receipt.len);
    at = put(at + 4, a->receipt.data, a->receipt.len);
    at = put_shares(at, a);
    vf_sha256(body, (size_t)(at - body), &hash);
    vf_message_sign(desk, VF_MESSAGE_ANSWER, &hash, at);
}

enum vf_err vf_answer_make(const struct vf_answer *answer, const struct vf_identity *desk, const struct vf_answer_pub *to,
                           struct vf_buf *out, struct vf_why *why)
{
    if (answer->nshares > VF_ANSWER_SHARES_MAX || answer->receipt.len > VF_NOTE_MAX ||
        memchr(answer->text, '\0', sizeof(answer->text)) == NULL)
        return vf_fail(why, VF_E_LIMIT, "more than one answer can carry");
    size_t len = body_len(answer);
    if (len > VF_ANSWER_MAX - VF_SEALED_OVERHEAD)
        return vf_fail(why, VF_E_LIMIT, "more than one answer can carry");
    VF_SECRET uint8_t *body = vf_secret_new(len);
    if (!body)
        return vf_fail(why, VF_E_LOCKED_MEMORY, "no locked memory left for an answer");
    put_body(answer, desk, body);
    uint8_t *sealed = vf_buf_grow(out, len + VF_SEALED_OVERHEAD);
    VF_TRY(vf_buf_check(out, "the answer", why));
    if (vf_answer_seal(to, body, len, sealed))
        return vf_fail(why, VF_E_DAMAGED, "the key in the request cannot be sealed to");
    return VF_OK;
}

/* ------------------------------------------------------------------------------------------------------------------- reading */

/* Where they stand. */
static enum vf_err get_shares(struct vf_reader *r, struct vf_answer *a, struct vf_why *why)
{
    a->nshares = vf_reader_u32(r);
    if (r->bad || a->nshares > VF_ANSWER_SHARES_MAX || r->left != a->nshares * SHARE_LEN + VF_SIG_LEN)
        return vf_fail(why, VF_E_FORMAT, "not a well-formed answer");
    if (a->nshares == 0)
        return VF_OK;
    a->shares = (const struct vf_share *)vf_reader_view(r, a->nshares * SHARE_LEN);
    for (size_t i = 0; i < a->nshares; i++) {
        const struct vf_share *share = &a->shares[i];
        struct vf_ref ref;
        if (!vf_ref_parse(share->ref.c, VF_REF_LEN, &ref) || (unsigned)share->part >= VF_PART_COUNT)
            return vf_fail(why, VF_E_FORMAT, "not a well-formed answer");
    }
    return VF_OK;
}

static enum vf_err get_head(struct vf_reader *r, struct vf_answer *a, struct vf_why *why)
{
    const uint8_t *head = vf_reader_view(r, sizeof(type));
    uint32_t version = vf_reader_u32(r);

    if (r->bad || memcmp(head, type, sizeof(type)) != 0 || version != VERSION)
        return vf_fail(why, VF_E_VERSION, "not an answer of a desk, or of another version of vaultfs");
    vf_reader_copy(r, a->request.b, VF_HASH_LEN);
    uint8_t status = vf_reader_u8(r);
    uint64_t time = vf_reader_u64(r), lease = vf_reader_u64(r);
    a->log_size = vf_reader_u64(r);
    if (r->bad || status >= VF_ANSWER_COUNT || time > INT64_MAX || lease > INT64_MAX || a->log_size > INT64_MAX)
        return vf_fail(why, VF_E_FORMAT, "not a well-formed answer");
    a->status = (enum vf_answer_status)status;
    a->time_us = (int64_t)time;
    a->lease_us = (int64_t)lease;
    return VF_OK;
}

/* The receipt is copied out: the body is wiped. */
enum vf_err vf_answer_parse(const uint8_t *body, size_t len, struct vf_buf *rest, struct vf_answer *ret, struct vf_why *why)
{
    struct vf_answer parsed = {0};
    struct vf_answer *a = &parsed;
    struct vf_reader r = vf_reader_of(body, len);
    size_t text_len = 0;

    VF_TRY(get_head(&r, a, why));
    const uint8_t *text = vf_reader_str16(&r, sizeof(a->text) - 1, &text_len);
    uint32_t receipt_len = vf_reader_u32(&r);
    const uint8_t *receipt = vf_reader_view(&r, receipt_len);
    if (r.bad || receipt_len > VF_NOTE_MAX || !vf_text_printable((const char *)text, text_len))
        return vf_fail(why, VF_E_FORMAT, "not a well-formed answer");
    memcpy(a->text, text, text_len);
    vf_buf_put(rest, receipt, receipt_len);
    VF_TRY(vf_buf_check(rest, "the desk's receipt", why));
    a->receipt = (struct vf_slice){rest->data, rest->len};
    VF_TRY(get_shares(&r, a, why));
    *ret = parsed;
    return VF_OK;
}

enum vf_err vf_answer_open(const struct vf_answer_key *key, const struct vf_identity_pub *desk,
                           const struct vf_hash *request, const uint8_t *sealed, size_t len, struct vf_buf *rest,
                           struct vf_answer *ret, struct vf_share **ret_shares, struct vf_why *why)
{
    struct vf_answer a = {0};
    struct vf_hash hash;

    vf_buf_init(rest, VF_NOTE_MAX);
    if (len > VF_ANSWER_MAX)
        return vf_fail(why, VF_E_LIMIT, "larger than an answer can be");
    if (len < VF_SEALED_OVERHEAD + HEAD_LEN + VF_SIG_LEN)
        return vf_fail(why, VF_E_FORMAT, "too short for an answer");
    size_t plain_len = len - VF_SEALED_OVERHEAD;
    VF_SECRET uint8_t *body = vf_secret_new(plain_len);
    if (!body)
        return vf_fail(why, VF_E_LOCKED_MEMORY, "no locked memory left for an answer");
    if (vf_answer_unseal(key, sealed, len, body))
        return vf_fail(why, VF_E_DAMAGED, "not an answer to this request, or damaged on its way");
    vf_sha256(body, plain_len - VF_SIG_LEN, &hash);
    if (!vf_message_signed(desk, VF_MESSAGE_ANSWER, &hash, body + plain_len - VF_SIG_LEN))
        return vf_fail(why, VF_E_FORGED, "the answer is not signed by %s, the force's desk", desk->name);
    VF_TRY(vf_answer_parse(body, plain_len, rest, &a, why));
    if (memcmp(&a.request, request, sizeof(a.request)) != 0)
        return vf_fail(why, VF_E_FORGED, "the desk's answer to another request");
    if (a.nshares > 0) {
        memmove(body, a.shares, a.nshares * SHARE_LEN);
        vf_wipe(body + a.nshares * SHARE_LEN, plain_len - a.nshares * SHARE_LEN);
        a.shares = *ret_shares = (struct vf_share *)body;
        body = NULL;
    }
    *ret = a;
    return VF_OK;
}
