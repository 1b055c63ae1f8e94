/* SPDX-License-Identifier: MIT */
/* Enrolments and revocations: notes of one page. */
#include "grant_fake.h"

#include <stdlib.h>
#include <string.h>

#include "cmocka_std.h"

#define OK(expr) assert_int_equal(expr, VF_OK)

static struct fake_world w;

static int setup(void **state)
{
    (void)state;
    fake_world_make(&w, 2);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_world_done(&w);
    return 0;
}

/* ---------------------------------------------------------------------------------------------------------------- enrolments */

static void enrols(void **state)
{
    struct vf_hash id;

    (void)state;
    assert_string_equal(w.enrol.name, "bureau-7");
    assert_true(vf_identity_pub_equal(&w.enrol.device, vf_identity_pub_get(w.device)));
    assert_memory_equal(&w.enrol.vault, &w.vault, sizeof(w.vault));
    assert_int_equal(w.enrol.created_us, FAKE_NOW_US);
    vf_sha256(w.enrol.origin, w.enrol.origin_len, &id);
    assert_memory_equal(&id, &w.enrol.log_id, sizeof(id));
    /* The id is of the text, so that signing it again does not change it. */
    const char *text = (const char *)w.enrol_bytes.data;
    const char *end = strstr(text, "\n\n");
    assert_non_null(end);
    vf_sha256(text, (size_t)(end + 1 - text), &id);
    assert_memory_equal(&id, &w.enrol.id, sizeof(id));
}

static void every_byte_of_an_enrolment(void **state)
{
    VF_FREE uint8_t *copy = malloc(w.enrol_bytes.len + 1);
    struct vf_enrol e;

    (void)state;
    for (size_t i = 0; i < w.enrol_bytes.len; i += test_step(9)) {
        static const uint8_t flips[] = {0x01, 0x02, 0x20, 0x80};
        for (size_t k = 0; k < sizeof(flips); k++) {
            memcpy(copy, w.enrol_bytes.data, w.enrol_bytes.len);
            copy[i] ^= flips[k];
            if (vf_enrol_parse(copy, w.enrol_bytes.len, "x", &e, NULL) == VF_OK)
                fail_msg("byte %zu ^ %02x was taken", i, flips[k]);
        }
    }
    for (size_t len = 0; len < w.enrol_bytes.len; len += test_step(9)) {
        VF_FREE uint8_t *cut = malloc(len + 1);
        memcpy(cut, w.enrol_bytes.data, len);
        assert_int_not_equal(vf_enrol_parse(cut, len, "x", &e, NULL), VF_OK);
    }
    memcpy(copy, w.enrol_bytes.data, w.enrol_bytes.len);
    copy[w.enrol_bytes.len] = '\n';
    assert_int_not_equal(vf_enrol_parse(copy, w.enrol_bytes.len + 1, "x", &e, NULL), VF_OK);
}

/* The text of the enrolment with `from` replaced, signed by `by`. */
static enum vf_err forged(const char *from, const char *to, const struct vf_identity *by)
{
    const char *text = (const char *)w.enrol_bytes.data;
    size_t len = (size_t)(strstr(text, "\n\n") + 1 - text);
    const char *at = strstr(text, from);
    struct vf_enrol e;
    VF_BUF b = {0};
    VF_BUF note = {0};

    assert_non_null(at);
    vf_buf_init(&b, 65536);
    vf_buf_put(&b, text, (size_t)(at - text));
    vf_buf_text(&b, to);
    vf_buf_put(&b, at + strlen(from), len - (size_t)(at - text) - strlen(from));
    vf_buf_init(&note, 65536);
    OK(vf_note_sign((const char *)b.data, b.len, by, &note, NULL));
    return vf_enrol_parse(note.data, note.len, "x.enrol", &e, NULL);
}

static void refuses_enrolments(void **state)
{
    struct vf_identity *other = fake_identity(VF_ROLE_DEVICE, "bureau-7");
    struct vf_enrol e;
    VF_BUF out = {0};
    VF_BUF big = {0};

    (void)state;
    OK(forged("station: ", "station: ", w.device)); /* the helper itself changes nothing */
    assert_int_equal(forged("vaultfs enrolment v1", "vaultfs enrolment v2", w.device), VF_E_VERSION);
    assert_int_equal(forged("station: bureau-7", "station: bureau-8", w.device), VF_E_FORMAT);
    assert_int_equal(forged("device: vaultfs-identity-v1 device", "device: vaultfs-identity-v1 admin", w.device),
                     VF_E_FORMAT);
    assert_int_equal(forged("created: 2026-11-21T12:00:00Z", "created: 2026-11-21 12:00:00Z", w.device), VF_E_FORMAT);
    assert_int_equal(forged("created: ", "made: now\ncreated: ", w.device), VF_E_FORMAT);
    assert_int_equal(forged("log: ", "log: 0", w.device), VF_E_FORMAT);
    /* Signed by somebody else under any name. */
    assert_int_equal(forged("station: ", "station: ", w.alice), VF_E_UNSIGNED);
    assert_int_equal(forged("station: ", "station: ", other), VF_E_UNSIGNED);
    vf_buf_init(&big, VF_ENROL_MAX + 1);
    (void)vf_buf_grow(&big, VF_ENROL_MAX + 1);
    assert_int_equal(vf_enrol_parse(big.data, big.len, "x", &e, NULL), VF_E_LIMIT);
    /* Another device's log, and no log at all. */
    vf_buf_init(&out, VF_ENROL_MAX);
    assert_int_equal(vf_enrol_make(other, &w.vault, w.enrol.origin, w.enrol.origin_len, FAKE_NOW_US, &out, NULL),
                     VF_E_UNSIGNED);
    assert_int_not_equal(vf_enrol_make(w.device, &w.vault, "x", 1, FAKE_NOW_US, &out, NULL), VF_OK);
    assert_int_equal(vf_enrol_make(w.device, &w.vault, "", 0, FAKE_NOW_US, &out, NULL), VF_E_LIMIT);
    assert_int_equal(vf_enrol_make(w.alice, &w.vault, w.enrol.origin, w.enrol.origin_len, FAKE_NOW_US, &out, NULL),
                     VF_E_FORMAT);
    assert_int_equal(out.len, 0);
    vf_identity_free(other);
}

/* --------------------------------------------------------------------------------------------------------------- revocations */

static struct vf_revocation grant_revocation(void)
{
    struct vf_revocation r = {.vault = w.vault, .time_us = FAKE_NOW_US};

    memcpy(r.grant.c, "ABCDEFGHIJKLMNOP", VF_GRANT_ID_LEN);
    (void)strcpy(r.name, "bureau-7");
    (void)strcpy(r.reason, "The batch was cancelled.");
    return r;
}

static void revokes(void **state)
{
    struct vf_revocation r = grant_revocation();
    struct vf_revocation got;
    struct vf_why why = {0};
    VF_BUF out = {0};

    (void)state;
    vf_buf_init(&out, 8192);
    OK(vf_revocation_make(&r, w.bob, &out, &why));
    OK(vf_revocation_parse(out.data, out.len, "x.revoked", &w.chain, &got, &why));
    assert_false(got.is_device);
    assert_memory_equal(&got.grant, &r.grant, sizeof(r.grant));
    assert_string_equal(got.reason, r.reason);
    assert_string_equal(got.name, r.name);
    assert_int_equal(got.time_us, r.time_us);
    assert_int_equal(got.prekey_batch, 0);
    vf_buf_reset(&out);
    r.prekey_batch = 2;
    r.prekey_number = 17;
    OK(vf_revocation_make(&r, w.bob, &out, &why));
    OK(vf_revocation_parse(out.data, out.len, "x.revoked", &w.chain, &got, &why));
    assert_int_equal(got.prekey_batch, 2);
    assert_int_equal(got.prekey_number, 17);
    vf_buf_reset(&out);
    r.is_device = true;
    r.device = w.enrol.id;
    OK(vf_revocation_make(&r, w.alice, &out, &why));
    OK(vf_revocation_parse(out.data, out.len, "x.revoked", &w.chain, &got, &why));
    assert_true(got.is_device);
    assert_memory_equal(&got.device, &w.enrol.id, VF_HASH_LEN);
    assert_int_equal(got.nkeys, 0);
}

/* A device's note names the one-time keys of its grants, each once, in order; a grant's names its own alone. */
static void revokes_with_keys(void **state)
{
    struct vf_revocation r = grant_revocation();
    struct vf_revocation got;
    struct vf_why why = {0};
    VF_BUF out = {0}, most = {0};

    (void)state;
    vf_buf_init(&out, 8192);
    vf_buf_init(&most, 8192);
    r.is_device = true;
    r.device = w.enrol.id;
    for (size_t i = 0; i < VF_REVOCATION_KEYS_MAX; i++) {
        r.keys[i] = (struct vf_revoked_key){r.grant, 999999, (uint32_t)(9000 + i)};
        r.keys[i].grant.c[0] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[i / 16 + 8];
        r.keys[i].grant.c[1] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[i % 16];
    }
    r.nkeys = VF_REVOCATION_KEYS_MAX;
    memset(r.reason, 'r', VF_PURPOSE_MAX);
    OK(vf_revocation_make(&r, w.bob, &most, &why));
    OK(vf_revocation_parse(most.data, most.len, "x.revoked", &w.chain, &got, &why));
    assert_int_equal(got.nkeys, r.nkeys);
    assert_memory_equal(got.keys, r.keys, sizeof(r.keys));
    r.nkeys = 2;
    struct vf_revoked_key first = r.keys[0];
    r.keys[0] = r.keys[1];
    assert_int_equal(vf_revocation_make(&r, w.bob, &out, &why), VF_E_FORMAT); /* the same twice */
    r.keys[1] = first;
    assert_int_equal(vf_revocation_make(&r, w.bob, &out, &why), VF_E_FORMAT); /* the wrong way round */
    assert_int_equal(out.len, 0);
    r.is_device = false;
    OK(vf_revocation_make(&r, w.bob, &out, &why));
    assert_null(memmem(out.data, out.len, "grant-key", 9));
}

static void every_byte_of_a_revocation(void **state)
{
    struct vf_revocation r = grant_revocation();
    struct vf_revocation got;
    VF_BUF out = {0};

    (void)state;
    vf_buf_init(&out, 8192);
    OK(vf_revocation_make(&r, w.bob, &out, NULL));
    VF_FREE uint8_t *copy = malloc(out.len);
    for (size_t i = 0; i < out.len; i += test_step(9)) {
        for (unsigned bit = 0; bit < 8; bit++) {
            memcpy(copy, out.data, out.len);
            copy[i] ^= (uint8_t)(1u << bit);
            if (vf_revocation_parse(copy, out.len, "x", &w.chain, &got, NULL) == VF_OK)
                fail_msg("byte %zu, bit %u was taken", i, bit);
        }
        VF_FREE uint8_t *cut = malloc(i + 1);
        memcpy(cut, out.data, i);
        assert_int_not_equal(vf_revocation_parse(cut, i, "x", &w.chain, &got, NULL), VF_OK);
    }
}

static void refuses_revocations(void **state)
{
    struct vf_revocation r = grant_revocation();
    struct vf_revocation got;
    VF_BUF out = {0};
    VF_BUF big = {0};

    (void)state;
    vf_buf_init(&out, 8192);
    OK(vf_revocation_make(&r, w.carol, &out, NULL)); /* an admin of some other force */
    assert_int_equal(vf_revocation_parse(out.data, out.len, "x", &w.chain, &got, NULL), VF_E_UNSIGNED);
    vf_buf_reset(&out);
    assert_int_equal(vf_revocation_make(&r, w.device, &out, NULL), VF_E_REFUSED);
    r.vault.b[0] ^= 1;
    OK(vf_revocation_make(&r, w.alice, &out, NULL));
    assert_int_equal(vf_revocation_parse(out.data, out.len, "x", &w.chain, &got, NULL), VF_E_REFUSED);
    vf_buf_reset(&out);
    r = grant_revocation();
    r.reason[0] = '\0';
    assert_int_equal(vf_revocation_make(&r, w.alice, &out, NULL), VF_E_INPUT);
    (void)strcpy(r.reason, "one\ntime: 2026-11-21T12:00:00Z");
    assert_int_equal(vf_revocation_make(&r, w.alice, &out, NULL), VF_E_INPUT);
    assert_int_equal(out.len, 0);
    vf_buf_init(&big, 8193);
    (void)vf_buf_grow(&big, 8193);
    assert_int_equal(vf_revocation_parse(big.data, big.len, "x", &w.chain, &got, NULL), VF_E_LIMIT);
    /* No policy in force yet. */
    const struct vf_policy_chain none = {0};
    r = grant_revocation();
    OK(vf_revocation_make(&r, w.alice, &out, NULL));
    assert_int_equal(vf_revocation_parse(out.data, out.len, "x", &none, &got, NULL), VF_E_UNSIGNED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(enrols),
        cmocka_unit_test(every_byte_of_an_enrolment),
        cmocka_unit_test(refuses_enrolments),
        cmocka_unit_test(revokes),
        cmocka_unit_test(revokes_with_keys),
        cmocka_unit_test(every_byte_of_a_revocation),
        cmocka_unit_test(refuses_revocations),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
