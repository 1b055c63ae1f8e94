/* SPDX-License-Identifier: MIT */
/* Requests and answers: whole, of the right sender, to the right receiver, for this one exchange; or nothing. */
#include "vaultfs/desk.h"

#include "../../vaultfs/desk/message.h"
#include "faults.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cmocka_std.h"

#define OK(expr) assert_int_equal(expr, VF_OK)

static struct vf_identity *desk, *other_desk, *device, *other_device;
static struct vf_answer_key *key;

static int set_up(void **state)
{
    (void)state;
    bool done = vf_crypto_init(1024 * 1024, NULL) == VF_OK && vf_identity_new(VF_ROLE_DESK, "desk", &desk, NULL) == VF_OK &&
                vf_identity_new(VF_ROLE_DESK, "desk", &other_desk, NULL) == VF_OK &&
                vf_identity_new(VF_ROLE_DEVICE, "bureau", &device, NULL) == VF_OK &&
                vf_identity_new(VF_ROLE_DEVICE, "bureau", &other_device, NULL) == VF_OK;
    key = vf_secret_new(sizeof(*key));
    if (!done || !key)
        return -1;
    vf_answer_key_new(key);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    vf_secret_free(key);
    vf_identity_free(desk);
    vf_identity_free(other_desk);
    vf_identity_free(device);
    vf_identity_free(other_device);
    vf_crypto_done();
    return 0;
}

static struct vf_slice slice(const char *text)
{
    return (struct vf_slice){(const uint8_t *)text, strlen(text)};
}

static struct vf_request a_request(void)
{
    struct vf_request r = {.log_from = 7,
                           .log_size = 9,
                           .log_end = 12,
                           .log_end_us = 1795000000000000,
                           .nwants = 2,
                           .grant_note = slice("a note"),
                           .enrol = slice("an enrolment"),
                           .checkpoints = slice("a checkpoint"),
                           .entries = slice("two\nlines\n"),
                           .receipt = slice("a receipt")};

    memset(r.vault.b, 1, sizeof(r.vault.b));
    memset(r.enrolment.b, 2, sizeof(r.enrolment.b));
    memcpy(r.grant.c, "ABCDEFGHIJ234567", sizeof(r.grant.c));
    memset(r.grant_text.b, 3, sizeof(r.grant_text.b));
    vf_random(r.nonce, sizeof(r.nonce));
    r.answer_to = key->pub;
    memcpy(r.wants[0].ref.c, "ABCD2345", 8);
    r.wants[0].part = VF_PART_IMAGE;
    memcpy(r.wants[1].ref.c, "ZZZZ7777", 8);
    return r;
}

static bool same_slice(struct vf_slice a, struct vf_slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

/* ------------------------------------------------------------------------------------------------------------------ requests */

static void a_request_arrives(void **state)
{
    struct vf_request req = a_request(), got;
    VF_BUF sealed = {.max = VF_REQUEST_MAX};
    VF_BUF plain = {0};

    (void)state;
    OK(vf_request_make(&req, device, vf_identity_pub_get(desk), &sealed, NULL));
    OK(vf_request_open(desk, sealed.data, sealed.len, &plain, &got, NULL));
    OK(vf_request_signed(&plain, vf_identity_pub_get(device), NULL));
    assert_memory_equal(&got.hash, &req.hash, sizeof(req.hash));
    assert_memory_equal(&got.vault, &req.vault, sizeof(req.vault));
    assert_memory_equal(&got.desk, &req.desk, sizeof(req.desk));
    assert_memory_equal(&got.enrolment, &req.enrolment, sizeof(req.enrolment));
    assert_memory_equal(&got.grant, &req.grant, sizeof(req.grant));
    assert_memory_equal(&got.grant_text, &req.grant_text, sizeof(req.grant_text));
    assert_memory_equal(got.nonce, req.nonce, sizeof(req.nonce));
    assert_memory_equal(&got.answer_to, &req.answer_to, sizeof(req.answer_to));
    assert_true(got.log_from == 7 && got.log_size == 9 && got.log_end == 12 && got.log_end_us == req.log_end_us &&
                !got.all_text && got.nwants == 2);
    assert_memory_equal(got.wants[0].ref.c, "ABCD2345", 8);
    assert_int_equal(got.wants[0].part, VF_PART_IMAGE);
    assert_int_equal(got.wants[1].part, VF_PART_TEXT);
    assert_true(same_slice(got.grant_note, req.grant_note) && same_slice(got.manifest, req.manifest) &&
                same_slice(got.enrol, req.enrol) && same_slice(got.checkpoints, req.checkpoints) &&
                same_slice(got.entries, req.entries) && same_slice(got.receipt, req.receipt));
}

static void nobody_else_opens_or_signs_it(void **state)
{
    struct vf_request req = a_request(), got;
    VF_BUF sealed = {.max = VF_REQUEST_MAX};
    VF_BUF plain = {0}, none = {0};

    (void)state;
    OK(vf_request_make(&req, device, vf_identity_pub_get(desk), &sealed, NULL));
    assert_int_equal(vf_request_open(other_desk, sealed.data, sealed.len, &none, &got, NULL), VF_E_DAMAGED);
    vf_buf_done(&none);
    assert_int_equal(vf_request_open(device, sealed.data, sealed.len, &none, &got, NULL), VF_E_DAMAGED);
    vf_buf_done(&none);
    OK(vf_request_open(desk, sealed.data, sealed.len, &plain, &got, NULL));
    assert_int_equal(vf_request_signed(&plain, vf_identity_pub_get(other_device), NULL), VF_E_FORGED);
    /* A request's signature is none of an answer. */
    struct vf_hash hash;
    vf_sha256(plain.data, plain.len - VF_SIG_LEN, &hash);
    assert_true(
        vf_message_signed(vf_identity_pub_get(device), VF_MESSAGE_REQUEST, &hash, plain.data + plain.len - VF_SIG_LEN));
    assert_false(
        vf_message_signed(vf_identity_pub_get(device), VF_MESSAGE_ANSWER, &hash, plain.data + plain.len - VF_SIG_LEN));
}

/* A desk that passes on what was said to it, in a box of its own: the device meant the other. */
static void another_desk_passes_it_on(void **state)
{
    struct vf_request req = a_request(), got = {0};
    VF_BUF sealed = {.max = VF_REQUEST_MAX}, again = {.max = VF_REQUEST_MAX};
    VF_BUF plain = {0}, none = {0};
    struct vf_why why = {0};

    (void)state;
    OK(vf_request_make(&req, device, vf_identity_pub_get(other_desk), &sealed, NULL));
    OK(vf_request_open(other_desk, sealed.data, sealed.len, &plain, &got, NULL));
    uint8_t *to = vf_buf_grow(&again, plain.len + VF_SEALED_OVERHEAD);
    OK(vf_request_seal(vf_identity_pub_get(desk), plain.data, plain.len, to));
    assert_int_equal(vf_request_open(desk, again.data, again.len, &none, &got, &why), VF_E_REFUSED);
    assert_non_null(strstr(why.text, "to another desk (fingerprint "));
    /* As its own it is genuine. */
    OK(vf_request_signed(&plain, vf_identity_pub_get(device), NULL));
}

/* In transit nothing opens any more; and who seals what was changed, as anybody may, has no signature for it. */
static void every_byte_of_a_request(void **state)
{
    struct vf_request req = a_request(), got;
    VF_BUF sealed = {.max = VF_REQUEST_MAX};
    VF_BUF plain = {0};

    (void)state;
    OK(vf_request_make(&req, device, vf_identity_pub_get(desk), &sealed, NULL));
    for (size_t i = 0; i < sealed.len; i += test_step(19)) {
        VF_BUF none = {0};
        sealed.data[i] ^= 0x08;
        assert_int_equal(vf_request_open(desk, sealed.data, sealed.len, &none, &got, NULL), VF_E_DAMAGED);
        sealed.data[i] ^= 0x08;
    }
    OK(vf_request_open(desk, sealed.data, sealed.len, &plain, &got, NULL));
    for (size_t i = 0; i < plain.len; i += test_step(9)) {
        plain.data[i] ^= 0x08;
        if (vf_request_parse(plain.data, plain.len, &got, NULL) == VF_OK)
            assert_int_equal(vf_request_signed(&plain, vf_identity_pub_get(device), NULL), VF_E_FORGED);
        plain.data[i] ^= 0x08;
    }
    for (size_t len = 0; len < plain.len; len++)
        assert_int_not_equal(vf_request_parse(plain.data, len, &got, NULL), VF_OK);
    for (size_t len = 0; len < sealed.len; len += 3) {
        VF_BUF none = {0};
        assert_int_not_equal(vf_request_open(desk, sealed.data, len, &none, &got, NULL), VF_OK);
    }
}

static void too_much_of_a_request(void **state)
{
    struct vf_request req = a_request();
    VF_BUF sealed = {.max = VF_REQUEST_MAX};
    VF_FREE uint8_t *much = calloc(1, VF_REQUEST_MAX);

    (void)state;
    assert_non_null(much);
    req.entries = (struct vf_slice){much, VF_REQUEST_MAX};
    assert_int_equal(vf_request_make(&req, device, vf_identity_pub_get(desk), &sealed, NULL), VF_E_LIMIT);
    req = a_request();
    req.receipt = (struct vf_slice){much, VF_NOTE_MAX + 1};
    assert_int_equal(vf_request_make(&req, device, vf_identity_pub_get(desk), &sealed, NULL), VF_E_LIMIT);
    req = a_request();
    req.nwants = VF_REQUEST_WANTS_MAX + 1;
    assert_int_equal(vf_request_make(&req, device, vf_identity_pub_get(desk), &sealed, NULL), VF_E_LIMIT);
    req = a_request();
    req.log_from = 10;
    assert_int_equal(vf_request_make(&req, device, vf_identity_pub_get(desk), &sealed, NULL), VF_E_LIMIT);
    req = a_request();
    req.log_end = 8;
    assert_int_equal(vf_request_make(&req, device, vf_identity_pub_get(desk), &sealed, NULL), VF_E_LIMIT);
    req = a_request();
    req.log_end_us = -1;
    assert_int_equal(vf_request_make(&req, device, vf_identity_pub_get(desk), &sealed, NULL), VF_E_LIMIT);
    req = a_request();
    req.text_from = 1; /* of what is not asked for */
    assert_int_equal(vf_request_make(&req, device, vf_identity_pub_get(desk), &sealed, NULL), VF_E_LIMIT);
    assert_int_equal(sealed.len, 0);
}

/* ------------------------------------------------------------------------------------------------------------------- answers */

static struct vf_share shares[3];

static struct vf_answer an_answer(const struct vf_hash *request)
{
    struct vf_answer a = {.request = *request,
                          .status = VF_ANSWER_OK,
                          .time_us = 1795000000000000,
                          .lease_us = 900 * VF_SECOND_US,
                          .log_size = 9,
                          .text = "Three of four: the budget is used up.",
                          .receipt = slice("a checkpoint, cosigned"),
                          .shares = shares,
                          .nshares = 3};

    for (size_t i = 0; i < 3; i++) {
        memcpy(shares[i].ref.c, "ABCD2345", 8);
        shares[i].ref.c[0] = (char)('A' + i);
        shares[i].part = i == 1 ? VF_PART_IMAGE : VF_PART_TEXT;
        memset(shares[i].share.b, (int)i + 40, sizeof(shares[i].share.b));
    }
    return a;
}

static enum vf_err opened(const struct vf_answer_key *with, const struct vf_identity *by, const struct vf_hash *request,
                          const struct vf_buf *sealed, size_t len)
{
    VF_BUF rest = {0};
    VF_SECRET struct vf_share *got_shares = NULL;
    struct vf_answer got;
    enum vf_err err =
        vf_answer_open(with, vf_identity_pub_get(by), request, sealed->data, len, &rest, &got, &got_shares, NULL);

    if (err != VF_OK)
        assert_null(got_shares);
    return err;
}

static void an_answer_arrives(void **state)
{
    const struct vf_hash request = {{1, 2, 3}};
    const struct vf_answer a = an_answer(&request);
    VF_BUF sealed = {.max = VF_ANSWER_MAX};
    VF_BUF rest = {0};
    VF_SECRET struct vf_share *got_shares = NULL;
    struct vf_answer got;

    (void)state;
    OK(vf_answer_make(&a, desk, &key->pub, &sealed, NULL));
    OK(vf_answer_open(key, vf_identity_pub_get(desk), &request, sealed.data, sealed.len, &rest, &got, &got_shares, NULL));
    assert_int_equal(got.status, VF_ANSWER_OK);
    assert_true(got.time_us == a.time_us && got.lease_us == a.lease_us && got.log_size == 9);
    assert_string_equal(got.text, a.text);
    assert_true(same_slice(got.receipt, a.receipt));
    assert_int_equal(got.nshares, 3);
    assert_ptr_equal(got.shares, got_shares);
    assert_memory_equal(got_shares, shares, sizeof(shares));
    assert_null(memmem(rest.data, rest.len, shares[0].share.b, 8));
}

static void an_answer_without_shares(void **state)
{
    const struct vf_hash request = {{9}};
    struct vf_answer a = {.request = request, .status = VF_ANSWER_REVOKED, .time_us = 5};
    VF_BUF sealed = {.max = VF_ANSWER_MAX};
    VF_BUF rest = {0};
    struct vf_share *got_shares = NULL;
    struct vf_answer got;

    (void)state;
    OK(vf_answer_make(&a, desk, &key->pub, &sealed, NULL));
    OK(vf_answer_open(key, vf_identity_pub_get(desk), &request, sealed.data, sealed.len, &rest, &got, &got_shares, NULL));
    assert_int_equal(got.status, VF_ANSWER_REVOKED);
    assert_null(got_shares);
    assert_true(got.nshares == 0 && got.receipt.len == 0 && got.text[0] == '\0');
}

static void answers_that_are_not_for_this(void **state)
{
    const struct vf_hash request = {{1, 2, 3}}, another = {{1, 2, 4}};
    const struct vf_answer a = an_answer(&request);
    VF_BUF sealed = {.max = VF_ANSWER_MAX};
    VF_BUF forged = {.max = VF_ANSWER_MAX};
    VF_SECRET struct vf_answer_key *other = vf_secret_new(sizeof(*other));

    (void)state;
    assert_non_null(other);
    vf_answer_key_new(other);
    OK(vf_answer_make(&a, desk, &key->pub, &sealed, NULL));
    OK(opened(key, desk, &request, &sealed, sealed.len));
    assert_int_equal(opened(key, desk, &another, &sealed, sealed.len), VF_E_FORGED); /* of another exchange */
    assert_int_equal(opened(other, desk, &request, &sealed, sealed.len), VF_E_DAMAGED);
    OK(vf_answer_make(&a, other_desk, &key->pub, &forged, NULL)); /* of another desk */
    assert_int_equal(opened(key, desk, &request, &forged, forged.len), VF_E_FORGED);
}

static void every_byte_of_an_answer(void **state)
{
    const struct vf_hash request = {{1, 2, 3}};
    const struct vf_answer a = an_answer(&request);
    VF_BUF sealed = {.max = VF_ANSWER_MAX};

    (void)state;
    OK(vf_answer_make(&a, desk, &key->pub, &sealed, NULL));
    for (size_t i = 0; i < sealed.len; i += test_step(19)) {
        sealed.data[i] ^= 0x08;
        assert_int_equal(opened(key, desk, &request, &sealed, sealed.len), VF_E_DAMAGED);
        sealed.data[i] ^= 0x08;
    }
    for (size_t len = 0; len < sealed.len; len += test_step(9))
        assert_int_not_equal(opened(key, desk, &request, &sealed, len), VF_OK);
    /* The body: changed, cut, and with something behind it. */
    size_t len = sealed.len - VF_SEALED_OVERHEAD;
    VF_FREE uint8_t *body = malloc(len + 1);
    assert_non_null(body);
    OK(vf_answer_unseal(key, sealed.data, sealed.len, body));
    for (size_t i = 0; i <= len; i++) {
        VF_BUF rest = {0};
        struct vf_answer got;
        vf_buf_init(&rest, VF_NOTE_MAX);
        body[len] = 0;
        assert_int_not_equal(vf_answer_parse(body, i == len ? len + 1 : i, &rest, &got, NULL), VF_OK);
    }
    for (size_t i = 0; i < len; i += test_step(9)) {
        VF_BUF again = {.max = VF_ANSWER_MAX};
        body[i] ^= 0x08;
        uint8_t *to = vf_buf_grow(&again, len + VF_SEALED_OVERHEAD);
        OK(vf_answer_seal(&key->pub, body, len, to));
        assert_int_equal(opened(key, desk, &request, &again, again.len), VF_E_FORGED);
        body[i] ^= 0x08;
    }
}

static void no_memory_no_answer(void **state)
{
    const struct vf_hash request = {{1, 2, 3}};
    const struct vf_answer a = an_answer(&request);
    VF_BUF sealed = {.max = VF_ANSWER_MAX};

    (void)state;
    OK(vf_answer_make(&a, desk, &key->pub, &sealed, NULL));
    for (unsigned n = 1;; n++) {
        faults_arm(FAULT_MEMORY, n, ENOMEM);
        enum vf_err err = opened(key, desk, &request, &sealed, sealed.len);
        if (!faults_disarm()) {
            OK(err);
            break;
        }
        assert_int_not_equal(err, VF_OK);
    }
    /* The arena filled by others. */
    void *taken[64];
    size_t n = 0;
    while (n < 64 && (taken[n] = vf_secret_new(32768)))
        n++;
    void *more[512];
    size_t m = 0;
    while (m < 512 && (more[m] = vf_secret_new(256)))
        m++;
    assert_int_equal(opened(key, desk, &request, &sealed, sealed.len), VF_E_LOCKED_MEMORY);
    while (m > 0)
        vf_secret_free(more[--m]);
    while (n > 0)
        vf_secret_free(taken[--n]);
    OK(opened(key, desk, &request, &sealed, sealed.len));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_arrives),         cmocka_unit_test(nobody_else_opens_or_signs_it),
        cmocka_unit_test(another_desk_passes_it_on), cmocka_unit_test(every_byte_of_a_request),
        cmocka_unit_test(too_much_of_a_request),     cmocka_unit_test(an_answer_arrives),
        cmocka_unit_test(an_answer_without_shares),  cmocka_unit_test(answers_that_are_not_for_this),
        cmocka_unit_test(every_byte_of_an_answer),   cmocka_unit_test(no_memory_no_answer),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
