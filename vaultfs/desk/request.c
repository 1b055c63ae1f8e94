/* SPDX-License-Identifier: MIT */
/*
 * The body of a request, before it is sealed (integers big-endian):
 *
 *   8 type "VFDSKREQ", u32 version 1, 16 vault, 32 desk, 32 enrolment, 16 grant, 32 grant text, 32 nonce, 32 answer key,
 *   u64 log from, u64 log size, u64 log end, i64 its time, u8 flags (bit 0: all text), u32 text from, u16 wants, each 8 ref, u8 part,
 *   six times u32 length and bytes: grant note, manifest, enrolment, checkpoints, entries, receipt,
 *   64 Ed25519 signature of the device over the SHA-256 of all bytes before (crypto/message.c)
 */
#include "message.h"

#include <string.h>

#define VERSION  1
#define ALL_TEXT 1u

static const uint8_t type[8] = "VFDSKREQ";

static void put_slice(struct vf_buf *out, const struct vf_slice *s)
{
    vf_buf_u32(out, (uint32_t)s->len);
    vf_buf_put(out, s->data, s->len);
}

static void put_body(const struct vf_request *req, struct vf_buf *out)
{
    vf_buf_put(out, type, sizeof(type));
    vf_buf_u32(out, VERSION);
    vf_buf_put(out, req->vault.b, sizeof(req->vault.b));
    vf_buf_put(out, req->desk.b, sizeof(req->desk.b));
    vf_buf_put(out, req->enrolment.b, sizeof(req->enrolment.b));
    vf_buf_put(out, req->grant.c, sizeof(req->grant.c));
    vf_buf_put(out, req->grant_text.b, sizeof(req->grant_text.b));
    vf_buf_put(out, req->nonce, sizeof(req->nonce));
    vf_buf_put(out, req->answer_to.b, sizeof(req->answer_to.b));
    vf_buf_u64(out, req->log_from);
    vf_buf_u64(out, req->log_size);
    vf_buf_u64(out, req->log_end);
    vf_buf_u64(out, (uint64_t)req->log_end_us);
    vf_buf_u8(out, req->all_text ? ALL_TEXT : 0);
    vf_buf_u32(out, req->text_from);
    vf_buf_u16(out, (uint16_t)req->nwants);
    for (size_t i = 0; i < req->nwants; i++) {
        vf_buf_put(out, req->wants[i].ref.c, sizeof(req->wants[i].ref.c));
        vf_buf_u8(out, (uint8_t)req->wants[i].part);
    }
    put_slice(out, &req->grant_note);
    put_slice(out, &req->manifest);
    put_slice(out, &req->enrol);
    put_slice(out, &req->checkpoints);
    put_slice(out, &req->entries);
    put_slice(out, &req->receipt);
}

static bool numbers_good(const struct vf_request *req)
{
    return req->log_from <= req->log_size && req->log_size <= req->log_end && req->log_end <= INT64_MAX &&
           req->log_end_us >= 0 && (req->all_text || req->text_from == 0);
}

static bool fits(const struct vf_request *req)
{
    const struct vf_slice *parts[] = {&req->grant_note,  &req->manifest, &req->enrol,
                                      &req->checkpoints, &req->entries,  &req->receipt};
    size_t left = VF_REQUEST_MAX;

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (parts[i]->len > left)
            return false;
        left -= parts[i]->len;
    }
    return req->receipt.len <= VF_NOTE_MAX && req->nwants <= VF_REQUEST_WANTS_MAX && numbers_good(req);
}

enum vf_err vf_request_make(struct vf_request *req, const struct vf_identity *device, const struct vf_identity_pub *desk,
                            struct vf_buf *out, struct vf_why *why)
{
    VF_BUF body = {.max = VF_REQUEST_MAX - VF_SEALED_OVERHEAD};
    struct vf_hash hash;
    uint8_t sig[VF_SIG_LEN];

    if (!fits(req))
        return vf_fail(why, VF_E_LIMIT, "more than one request to the desk can carry");
    vf_identity_fingerprint(desk, &req->desk);
    put_body(req, &body);
    VF_TRY(vf_buf_check(&body, "the request to the desk", why));
    vf_sha256(body.data, body.len, &hash);
    vf_message_sign(device, VF_MESSAGE_REQUEST, &hash, sig);
    vf_buf_put(&body, sig, sizeof(sig));
    VF_TRY(vf_buf_check(&body, "the request to the desk", why));
    vf_sha256(body.data, body.len, &req->hash);
    uint8_t *to = vf_buf_grow(out, body.len + VF_SEALED_OVERHEAD);
    VF_TRY(vf_buf_check(out, "the request to the desk", why));
    if (vf_request_seal(desk, body.data, body.len, to))
        return vf_fail(why, VF_E_DAMAGED, "the desk's public key in the policy cannot be sealed to");
    return VF_OK;
}

/* ------------------------------------------------------------------------------------------------------------------- reading */

static void get_slice(struct vf_reader *r, struct vf_slice *ret)
{
    uint32_t len = vf_reader_u32(r);

    ret->data = vf_reader_view(r, len);
    ret->len = ret->data ? len : 0;
}

static void get_wants(struct vf_reader *r, struct vf_request *req)
{
    req->nwants = vf_reader_u16(r);
    if (req->nwants > VF_REQUEST_WANTS_MAX)
        r->bad = true;
    for (size_t i = 0; i < req->nwants && !r->bad; i++) {
        const uint8_t *ref = vf_reader_view(r, VF_REF_LEN);
        uint8_t part = vf_reader_u8(r);
        if (r->bad || !vf_ref_parse((const char *)ref, VF_REF_LEN, &req->wants[i].ref) || part >= VF_PART_COUNT)
            r->bad = true;
        else
            req->wants[i].part = (enum vf_part)part;
    }
}

enum vf_err vf_request_parse(const uint8_t *body, size_t len, struct vf_request *ret, struct vf_why *why)
{
    struct vf_request parsed = {0};
    struct vf_request *req = &parsed;
    struct vf_reader r = vf_reader_of(body, len);
    const uint8_t *head = vf_reader_view(&r, sizeof(type));
    uint32_t version = vf_reader_u32(&r);

    if (r.bad || memcmp(head, type, sizeof(type)) != 0 || version != VERSION)
        return vf_fail(why, VF_E_VERSION, "not a request, or of another version of vaultfs");
    vf_reader_copy(&r, req->vault.b, sizeof(req->vault.b));
    vf_reader_copy(&r, req->desk.b, sizeof(req->desk.b));
    vf_reader_copy(&r, req->enrolment.b, sizeof(req->enrolment.b));
    const uint8_t *grant = vf_reader_view(&r, VF_GRANT_ID_LEN);
    if (!r.bad && !vf_grant_id_parse((const char *)grant, VF_GRANT_ID_LEN, &req->grant))
        r.bad = true;
    vf_reader_copy(&r, req->grant_text.b, sizeof(req->grant_text.b));
    vf_reader_copy(&r, req->nonce, sizeof(req->nonce));
    vf_reader_copy(&r, req->answer_to.b, sizeof(req->answer_to.b));
    req->log_from = vf_reader_u64(&r);
    req->log_size = vf_reader_u64(&r);
    req->log_end = vf_reader_u64(&r);
    req->log_end_us = (int64_t)vf_reader_u64(&r);
    uint8_t flags = vf_reader_u8(&r);
    req->all_text = flags == ALL_TEXT;
    req->text_from = vf_reader_u32(&r);
    get_wants(&r, req);
    get_slice(&r, &req->grant_note);
    get_slice(&r, &req->manifest);
    get_slice(&r, &req->enrol);
    get_slice(&r, &req->checkpoints);
    get_slice(&r, &req->entries);
    get_slice(&r, &req->receipt);
    (void)vf_reader_view(&r, VF_SIG_LEN);
    if (!vf_reader_done(&r) || flags > ALL_TEXT || !numbers_good(req) || req->receipt.len > VF_NOTE_MAX)
        return vf_fail(why, VF_E_FORMAT, "not a well-formed request");
    *ret = parsed;
    return VF_OK;
}

/* The box says who is to read it, and is whoever's who held it last; the signed body says whom the device meant. */
static enum vf_err meant_for(const struct vf_identity *desk, const struct vf_request *req, struct vf_why *why)
{
    char other[VF_FINGERPRINT_TEXT_LEN + 1];
    struct vf_hash ours;

    vf_identity_fingerprint(vf_identity_pub_get(desk), &ours);
    if (vf_equal(ours.b, req->desk.b, sizeof(ours.b)))
        return VF_OK;
    vf_fingerprint_text(&req->desk, other);
    return vf_fail(why, VF_E_REFUSED, "a request to another desk (fingerprint %s), passed on to this one", other);
}

enum vf_err vf_request_open(const struct vf_identity *desk, const uint8_t *sealed, size_t len, struct vf_buf *plain,
                            struct vf_request *ret, struct vf_why *why)
{
    struct vf_request req = {0};

    vf_buf_init(plain, VF_REQUEST_MAX);
    if (len > VF_REQUEST_MAX)
        return vf_fail(why, VF_E_LIMIT, "larger than a request can be");
    if (len <= VF_SEALED_OVERHEAD)
        return vf_fail(why, VF_E_FORMAT, "too short for a request");
    uint8_t *to = vf_buf_grow(plain, len - VF_SEALED_OVERHEAD);
    VF_TRY(vf_buf_check(plain, "a request", why));
    if (vf_request_unseal(desk, sealed, len, to))
        return vf_fail(why, VF_E_DAMAGED, "not a request to this desk, or damaged on its way");
    VF_TRY(vf_request_parse(plain->data, plain->len, &req, why));
    VF_TRY(meant_for(desk, &req, why));
    vf_sha256(plain->data, plain->len, &req.hash);
    *ret = req;
    return VF_OK;
}

enum vf_err vf_request_signed(const struct vf_buf *plain, const struct vf_identity_pub *device, struct vf_why *why)
{
    struct vf_hash hash;

    if (plain->len < VF_SIG_LEN)
        return vf_fail(why, VF_E_FORMAT, "too short for a request");
    vf_sha256(plain->data, plain->len - VF_SIG_LEN, &hash);
    if (!vf_message_signed(device, VF_MESSAGE_REQUEST, &hash, plain->data + plain->len - VF_SIG_LEN))
        return vf_fail(why, VF_E_FORGED, "the request is not signed by device %s", device->name);
    return VF_OK;
}
