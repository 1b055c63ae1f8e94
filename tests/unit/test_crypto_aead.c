/* SPDX-License-Identifier: MIT */
#include "crypto_test.h"

#include <sodium.h>

static struct vf_field_key fk;
static struct vf_value_id id;
static struct vf_grant_id grant;
static uint8_t *scratch;
#define SCRATCH (VF_VALUE_MAX + 8192 + 4)

static int set_up(void **state)
{
    struct vf_record_key rk;
    uint8_t salt[VF_SALT_LEN];

    (void)state;
    if (vf_crypto_init(4 * 1024 * 1024, NULL) != VF_OK)
        return -1;
    counting(rk.b, 0x40, 32);
    counting(salt, 0x60, 32);
    counting(id.vault.b, 0x80, 16);
    memcpy(id.ref.c, "ABCD2345", 8);
    memcpy(grant.c, "ABCDEFGHIJ234567", 16);
    id.field = 4;
    id.generation = 0x01020304;
    vf_kdf_field_key(&rk, 4, 0x01020304, salt, &fk);
    scratch = vf_secret_new(SCRATCH);
    return scratch != NULL ? 0 : -1;
}

/* draft-irtf-cfrg-xchacha, appendix A.3.1. */
static void xchacha20_poly1305_known_answer(void **state)
{
    size_t n = 0;
    VF_FREE uint8_t *key = from_hex("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f", &n);
    VF_FREE uint8_t *nonce = from_hex("404142434445464748494a4b4c4d4e4f5051525354555657", &n);
    VF_FREE uint8_t *ad = from_hex("50515253c0c1c2c3c4c5c6c7", &n);
    const char *text =
        "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.";
    uint8_t out[200];
    unsigned long long len = 0;

    (void)state;
    (void)crypto_aead_xchacha20poly1305_ietf_encrypt(out, &len, (const uint8_t *)text, strlen(text), ad, n, NULL, nonce,
                                                     key);
    assert_hex(
        out, len,
        "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54c216"
        "cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff921f9664c97637da9768812f615c68b13"
        "b52ec0875924c1c7987947deafd8780acf49");
}

static enum vf_err open_value(const uint8_t *sealed, size_t len, const uint8_t **plain, size_t *plain_len)
{
    memset(scratch, 0xee, 200);
    return vf_value_open(&fk, &id, sealed, len, scratch, SCRATCH, plain, plain_len);
}

/* Refused, the outputs untouched, and nothing of the plaintext left in the scratch memory. */
static void assert_refused(const uint8_t *sealed, size_t len)
{
    const uint8_t *plain = NULL;
    size_t plain_len = 77;

    assert_int_equal(open_value(sealed, len, &plain, &plain_len), VF_E_DAMAGED);
    assert_null(plain);
    assert_int_equal(plain_len, 77);
    if (len >= VF_VALUE_OVERHEAD)
        assert_true(is_zero(scratch, len - VF_NONCE_LEN - VF_TAG_LEN));
}

static void a_value_of_the_second_implementation_opens(void **state)
{
    size_t len = 0;
    VF_FREE uint8_t *sealed = from_hex(V_VALUE, &len);
    const uint8_t *plain = NULL;
    size_t plain_len = 0;

    (void)state;
    OK(open_value(sealed, len, &plain, &plain_len));
    assert_int_equal(plain_len, 9);
    assert_memory_equal(plain, "Sergeant!", 9);
    assert_ptr_equal(plain, scratch + 4);
}

static void a_value_changed_anywhere_is_refused(void **state)
{
    size_t len = 0;
    VF_FREE uint8_t *sealed = from_hex(V_VALUE, &len);

    (void)state;
    for (size_t i = 0; i < len; i++)
        for (unsigned bit = 0; bit < 8; bit++) {
            sealed[i] ^= (uint8_t)(1u << bit);
            assert_refused(sealed, len);
            sealed[i] ^= (uint8_t)(1u << bit);
        }
    for (size_t cut = 0; cut < len; cut++)
        assert_refused(sealed, cut);
    VF_FREE uint8_t *longer = calloc(1, SCRATCH + 100);
    assert_non_null(longer);
    memcpy(longer, sealed, len);
    assert_refused(longer, len + 1);
    assert_int_equal(vf_value_open(&fk, &id, longer, SCRATCH + 100, scratch, SCRATCH, NULL, NULL), VF_E_DAMAGED);
}

static void a_value_belongs_to_one_place(void **state)
{
    size_t len = 0;
    VF_FREE uint8_t *sealed = from_hex(V_VALUE, &len);
    struct vf_value_id right = id;

    (void)state;
    id.vault.b[15] ^= 1;
    assert_refused(sealed, len);
    id = right;
    id.ref.c[0] = 'B';
    assert_refused(sealed, len);
    id = right;
    id.field = 5;
    assert_refused(sealed, len);
    id = right;
    id.generation++;
    assert_refused(sealed, len);
    id = right;
    fk.b[31] ^= 0x80;
    assert_refused(sealed, len);
    fk.b[31] ^= 0x80;
}

/* Authentic, by a writer with the key who does not keep the rules. */
static void authentic_but_wrong_inside(void **state)
{
    static const char *const bad[] = {V_VALUE_LENGTH, V_VALUE_LENGTH_MOST, V_VALUE_PADDING, V_VALUE_NO_LENGTH};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        size_t len = 0;
        VF_FREE uint8_t *sealed = from_hex(bad[i], &len);
        assert_refused(sealed, len);
    }
}

static void values_of_every_size(void **state)
{
    static const size_t sizes[] = {0, 1, 2, 40, 63, 64, 8191, 8192, 8193, 100000, VF_VALUE_MAX - 1, VF_VALUE_MAX};
    VF_FREE uint8_t *plain = malloc(VF_VALUE_MAX + 1);
    VF_FREE uint8_t *sealed = malloc(VF_VALUE_MAX + 8192 + VF_VALUE_OVERHEAD);

    (void)state;
    assert_non_null(plain);
    assert_non_null(sealed);
    vf_random(plain, VF_VALUE_MAX + 1);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        size_t len = sizes[i];
        size_t padded = (len / 8192 + 1) * 8192;
        const uint8_t *back = NULL;
        size_t back_len = 1;
        OK(vf_value_seal(&fk, &id, plain, len, padded, sealed));
        OK(open_value(sealed, padded + VF_VALUE_OVERHEAD, &back, &back_len));
        assert_int_equal(back_len, len);
        assert_memory_equal(back, plain, len);
        /* No padding at all works as well. */
        OK(vf_value_seal(&fk, &id, plain, len, len, sealed));
        OK(open_value(sealed, len + VF_VALUE_OVERHEAD, &back, &back_len));
        assert_int_equal(back_len, len);
        assert_memory_equal(back, plain, len);
        assert_int_equal(vf_value_open(&fk, &id, sealed, len + VF_VALUE_OVERHEAD, scratch, len + 3, &back, &back_len),
                         VF_E_LIMIT);
    }
    OK(vf_value_seal(&fk, &id, NULL, 0, 0, sealed));
    memset(sealed, 0x5a, 16);
    assert_int_equal(vf_value_seal(&fk, &id, plain, 41, 40, sealed), VF_E_LIMIT);
    assert_int_equal(vf_value_seal(&fk, &id, plain, VF_VALUE_MAX + 1, VF_VALUE_MAX + 1, sealed), VF_E_LIMIT);
    assert_int_equal(vf_value_seal(&fk, &id, plain, 1, VF_VALUE_MAX + 8193, sealed), VF_E_LIMIT);
    assert_int_equal(sealed[0], 0x5a);
}

static void the_same_value_never_looks_the_same(void **state)
{
    uint8_t a[40 + VF_VALUE_OVERHEAD];
    uint8_t b[40 + VF_VALUE_OVERHEAD];

    (void)state;
    OK(vf_value_seal(&fk, &id, "Sergeant", 8, 40, a));
    OK(vf_value_seal(&fk, &id, "Sergeant", 8, 40, b));
    assert_memory_not_equal(a, b, VF_NONCE_LEN);
    assert_memory_not_equal(a + VF_NONCE_LEN, b + VF_NONCE_LEN, 44);
}

/* ---------------------------------------------------------------------------------------- record keys, heads, envelopes … */

static void wrapped_record_keys(void **state)
{
    size_t len = 0;
    VF_FREE uint8_t *wrapped = from_hex(V_WRAPPED, &len);
    struct vf_vault_key vk;
    struct vf_wrap_secret w;
    struct vf_wrap_key wk;
    struct vf_record_key want;
    struct vf_record_key rk;
    uint8_t own[VF_WRAPPED_LEN];

    (void)state;
    counting(vk.b, 0x00, 32);
    counting(w.b, 0x20, 32);
    counting(want.b, 0x40, 32);
    vf_kdf_wrap_key(&vk, &w, &wk);
    assert_int_equal(len, VF_WRAPPED_LEN);
    OK(vf_record_key_unwrap(&wk, &id.vault, &id.ref, wrapped, &rk));
    assert_memory_equal(rk.b, want.b, 32);
    for (size_t i = 0; i < len; i++) {
        wrapped[i] ^= 0x10;
        assert_int_equal(vf_record_key_unwrap(&wk, &id.vault, &id.ref, wrapped, &rk), VF_E_DAMAGED);
        assert_true(is_zero(rk.b, 32));
        wrapped[i] ^= 0x10;
    }
    struct vf_ref other = {{'B', 'B', 'C', 'D', '2', '3', '4', '5'}};
    assert_int_equal(vf_record_key_unwrap(&wk, &id.vault, &other, wrapped, &rk), VF_E_DAMAGED);
    /* After an erase: another W opens nothing that was wrapped before. */
    w.b[0] ^= 1;
    vf_kdf_wrap_key(&vk, &w, &wk);
    assert_int_equal(vf_record_key_unwrap(&wk, &id.vault, &id.ref, wrapped, &rk), VF_E_DAMAGED);
    vf_record_key_new(&want);
    vf_record_key_wrap(&wk, &id.vault, &id.ref, &want, own);
    OK(vf_record_key_unwrap(&wk, &id.vault, &id.ref, own, &rk));
    assert_memory_equal(rk.b, want.b, 32);
    vf_record_key_new(&rk);
    assert_memory_not_equal(rk.b, want.b, 32);
}

static void record_heads(void **state)
{
    size_t len = 0;
    VF_FREE uint8_t *head = from_hex(V_HEAD, &len);
    struct vf_record_key rk;
    struct vf_head_key hk;
    uint8_t out[100];
    uint8_t own[100 + VF_HEAD_OVERHEAD];

    (void)state;
    counting(rk.b, 0x40, 32);
    vf_kdf_head_key(&rk, &hk);
    OK(vf_head_open(&hk, &id.vault, &id.ref, head, len, out));
    assert_memory_equal(out, "a record's head", 15);
    for (size_t i = 0; i < len; i++) {
        head[i] ^= 0x01;
        assert_int_equal(vf_head_open(&hk, &id.vault, &id.ref, head, len, out), VF_E_DAMAGED);
        head[i] ^= 0x01;
        assert_int_equal(vf_head_open(&hk, &id.vault, &id.ref, head, i, out), VF_E_DAMAGED);
    }
    for (size_t n = 0; n <= 100; n += 50) {
        counting(out, 9, n);
        vf_head_seal(&hk, &id.vault, &id.ref, out, n, own);
        memset(out, 0, sizeof(out));
        OK(vf_head_open(&hk, &id.vault, &id.ref, own, n + VF_HEAD_OVERHEAD, out));
        assert_true(n == 0 || (out[0] == 9 && out[n - 1] == 9 + n - 1));
    }
}

static void envelopes(void **state)
{
    size_t len = 0;
    VF_FREE uint8_t *want = from_hex(V_ENVELOPE, &len);
    struct vf_envelope_key ek;
    struct vf_field_key keys[2] = {fk};
    struct vf_field_key back[3];
    uint8_t out[2 * 32 + VF_TAG_LEN];
    size_t n = 0;
    VF_FREE uint8_t *key = from_hex(V_ENVELOPE_KEY, &n);

    (void)state;
    memcpy(ek.b, key, 32);
    counting(keys[1].b, 0x40, 32);
    vf_envelope_seal(&ek, &id.vault, &grant, &id.ref, VF_PART_IMAGE, keys, 2, out);
    assert_int_equal(len, sizeof(out));
    assert_memory_equal(out, want, len);
    OK(vf_envelope_open(&ek, &id.vault, &grant, &id.ref, VF_PART_IMAGE, out, 2, back));
    assert_memory_equal(back, keys, sizeof(keys));
    for (size_t i = 0; i < len; i++) {
        out[i] ^= 0x40;
        assert_int_equal(vf_envelope_open(&ek, &id.vault, &grant, &id.ref, VF_PART_IMAGE, out, 2, back), VF_E_DAMAGED);
        assert_true(is_zero(back, 64));
        out[i] ^= 0x40;
    }
    assert_int_equal(vf_envelope_open(&ek, &id.vault, &grant, &id.ref, VF_PART_TEXT, out, 2, back), VF_E_DAMAGED);
    assert_int_equal(vf_envelope_open(&ek, &id.vault, &grant, &id.ref, VF_PART_IMAGE, out, 1, back), VF_E_DAMAGED);
    struct vf_grant_id other = grant;
    other.c[0] = 'Z';
    assert_int_equal(vf_envelope_open(&ek, &id.vault, &other, &id.ref, VF_PART_IMAGE, out, 2, back), VF_E_DAMAGED);
    ek.b[0] ^= 1;
    assert_int_equal(vf_envelope_open(&ek, &id.vault, &grant, &id.ref, VF_PART_IMAGE, out, 2, back), VF_E_DAMAGED);
    /* Nothing granted in this part: an envelope of no keys is still bound to its place. */
    vf_envelope_seal(&ek, &id.vault, &grant, &id.ref, VF_PART_TEXT, NULL, 0, out);
    OK(vf_envelope_open(&ek, &id.vault, &grant, &id.ref, VF_PART_TEXT, out, 0, back));
    assert_int_equal(vf_envelope_open(&ek, &id.vault, &grant, &id.ref, VF_PART_IMAGE, out, 0, back), VF_E_DAMAGED);
}

static void catalogues(void **state)
{
    size_t len = 0;
    VF_FREE uint8_t *want = from_hex(V_CATALOGUE, &len);
    size_t n = 0;
    VF_FREE uint8_t *key = from_hex(V_CATALOGUE_KEY, &n);
    struct vf_catalogue_key ck;
    uint8_t out[64];
    uint8_t back[64];

    (void)state;
    memcpy(ck.b, key, 32);
    vf_catalogue_seal(&ck, &id.vault, &grant, (const uint8_t *)"a grant's catalogue", 19, out);
    assert_int_equal(len, 19 + VF_TAG_LEN);
    assert_memory_equal(out, want, len);
    OK(vf_catalogue_open(&ck, &id.vault, &grant, out, len, back));
    assert_memory_equal(back, "a grant's catalogue", 19);
    for (size_t i = 0; i < len; i++) {
        out[i] ^= 0x02;
        assert_int_equal(vf_catalogue_open(&ck, &id.vault, &grant, out, len, back), VF_E_DAMAGED);
        out[i] ^= 0x02;
        assert_int_equal(vf_catalogue_open(&ck, &id.vault, &grant, out, i, back), VF_E_DAMAGED);
    }
    id.vault.b[3] ^= 1;
    assert_int_equal(vf_catalogue_open(&ck, &id.vault, &grant, out, len, back), VF_E_DAMAGED);
    id.vault.b[3] ^= 1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(xchacha20_poly1305_known_answer),
        cmocka_unit_test(a_value_of_the_second_implementation_opens),
        cmocka_unit_test(a_value_changed_anywhere_is_refused),
        cmocka_unit_test(a_value_belongs_to_one_place),
        cmocka_unit_test(authentic_but_wrong_inside),
        cmocka_unit_test(values_of_every_size),
        cmocka_unit_test(the_same_value_never_looks_the_same),
        cmocka_unit_test(wrapped_record_keys),
        cmocka_unit_test(record_heads),
        cmocka_unit_test(envelopes),
        cmocka_unit_test(catalogues),
    };

    return cmocka_run_group_tests_name("crypto aead", tests, set_up, without_crypto);
}
