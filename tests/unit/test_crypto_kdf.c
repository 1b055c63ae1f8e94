/* SPDX-License-Identifier: MIT */
/* Every derivation against the second implementation (crypto_vectors.py), and that none depends on less than it says. */
#include "crypto_test.h"

#include <sodium.h>

static struct vf_vault_key vk;
static struct vf_wrap_secret w;
static struct vf_record_key rk;
static uint8_t salt[VF_SALT_LEN];
static struct vf_vault_id vault;
static struct vf_ref ref;
static struct vf_grant_id grant;

static int set_up(void **state)
{
    counting(vk.b, 0x00, 32);
    counting(w.b, 0x20, 32);
    counting(rk.b, 0x40, 32);
    counting(salt, 0x60, 32);
    counting(vault.b, 0x80, 16);
    memcpy(ref.c, "ABCD2345", 8);
    memcpy(grant.c, "ABCDEFGHIJ234567", 16);
    return with_crypto(state);
}

/* RFC 7693 appendix A is BLAKE2b-512; these are of the BLAKE2 authors' known answers, keyed with 00 01 02 …, and hash 64 bytes. */
static void blake2b_known_answers(void **state)
{
    uint8_t key[64];
    uint8_t in[255];
    uint8_t out[64];

    (void)state;
    counting(key, 0, sizeof(key));
    counting(in, 0, sizeof(in));
    assert_int_equal(crypto_generichash(out, 64, (const uint8_t *)"abc", 3, NULL, 0), 0);
    assert_hex(out, 64,
               "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1"
               "7d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923");
    assert_int_equal(crypto_generichash(out, 64, in, 0, key, 64), 0);
    assert_hex(out, 64,
               "10ebb67700b1868efb4417987acf4690ae9d972fb7a590c2f02871799aaa4786"
               "b5e996e8f0f4eb981fc214b005f42d2ff4233499391653df7aefcbc13fc51568");
    assert_int_equal(crypto_generichash(out, 64, in, 1, key, 64), 0);
    assert_hex(out, 64,
               "961f6dd1e4dd30f63901690c512e78e4b45e4742ed197c3c5e45c549fd25f2e4"
               "187b0bc9fe30492b16b0d0bc4ef9b0f34c7003fac09a5ef1532e69430234cebd");
}

static void all_against_the_second_implementation(void **state)
{
    struct vf_index_key ik;
    struct vf_wrap_key wk;
    struct vf_head_key hk;
    struct vf_field_key fk;
    struct vf_grant_share gs;
    struct vf_release_secret secret;
    struct vf_release_share rs;
    struct vf_release_share offline;
    struct vf_envelope_key ek;
    struct vf_catalogue_key ck;
    struct vf_hash h;

    (void)state;
    vf_kdf_index_key(&vk, &ik);
    assert_hex(ik.b, 32, V_INDEX_KEY);
    vf_kdf_wrap_key(&vk, &w, &wk);
    assert_hex(wk.b, 32, V_WRAP_KEY);
    vf_kdf_head_key(&rk, &hk);
    assert_hex(hk.b, 32, V_HEAD_KEY);
    vf_kdf_field_key(&rk, 4, 0x01020304, salt, &fk);
    assert_hex(fk.b, 32, V_FIELD_KEY);
    vf_kdf_grant_share(&vk, &w, &grant, &gs);
    assert_hex(gs.b, 32, V_GRANT_SHARE);
    vf_kdf_release_secret(&vk, &w, &grant, &secret);
    assert_hex(secret.b, 32, V_RELEASE_SECRET);
    vf_kdf_release_share(&secret, &ref, VF_PART_IMAGE, &rs);
    assert_hex(rs.b, 32, V_RELEASE_SHARE);
    vf_kdf_release_share_offline(&ref, VF_PART_IMAGE, &offline);
    assert_hex(offline.b, 32, V_RELEASE_SHARE_OFFLINE);
    vf_kdf_envelope_key(&gs, &rs, &grant, &ref, VF_PART_IMAGE, &ek);
    assert_hex(ek.b, 32, V_ENVELOPE_KEY);
    vf_kdf_catalogue_key(&gs, &grant, &ck);
    assert_hex(ck.b, 32, V_CATALOGUE_KEY);
    vf_index_of(&ik, "0012345", 7, &h);
    assert_hex(h.b, 32, V_INDEX_OF_0012345);
    vf_kdf_vault_commitment(&vk, &vault, &h);
    assert_hex(h.b, 32, V_VAULT_COMMITMENT);
}

/* A set of results: adding one that is there already fails the test. */
static uint8_t seen[200][32];
static size_t nseen;

static void assert_new(const uint8_t b[32])
{
    for (size_t i = 0; i < nseen; i++)
        assert_memory_not_equal(seen[i], b, 32);
    assert_true(nseen < 200);
    memcpy(seen[nseen++], b, 32);
}

/* One byte of the key at a time. */
#define EACH_KEY(key, call, out)                 \
    do {                                         \
        for (size_t i_ = 0; i_ < 32; i_ += 31) { \
            (key).b[i_] ^= 1;                    \
            call;                                \
            assert_new(out);                     \
            (key).b[i_] ^= 1;                    \
        }                                        \
    } while (0)

static void every_input_counts(void **state)
{
    struct vf_field_key fk;
    struct vf_envelope_key ek;
    struct vf_wrap_key wk;
    struct vf_grant_share gs = {{1}};
    struct vf_release_share rs = {{2}};
    struct vf_release_secret secret = {{3}};
    struct vf_hash h;

    (void)state;
    nseen = 0;
    vf_kdf_field_key(&rk, 4, 1, salt, &fk);
    assert_new(fk.b);
    vf_kdf_field_key(&rk, 5, 1, salt, &fk);
    assert_new(fk.b);
    vf_kdf_field_key(&rk, 4, 2, salt, &fk);
    assert_new(fk.b);
    vf_kdf_field_key(&rk, 4, 0x01000001, salt, &fk);
    assert_new(fk.b);
    salt[31] ^= 1;
    vf_kdf_field_key(&rk, 4, 1, salt, &fk);
    assert_new(fk.b);
    salt[31] ^= 1;
    EACH_KEY(rk, vf_kdf_field_key(&rk, 4, 1, salt, &fk), fk.b);
    EACH_KEY(vk, vf_kdf_wrap_key(&vk, &w, &wk), wk.b);
    EACH_KEY(w, vf_kdf_wrap_key(&vk, &w, &wk), wk.b);
    EACH_KEY(gs, vf_kdf_envelope_key(&gs, &rs, &grant, &ref, VF_PART_TEXT, &ek), ek.b);
    EACH_KEY(rs, vf_kdf_envelope_key(&gs, &rs, &grant, &ref, VF_PART_TEXT, &ek), ek.b);
    vf_kdf_envelope_key(&gs, &rs, &grant, &ref, VF_PART_TEXT, &ek);
    assert_new(ek.b);
    vf_kdf_envelope_key(&gs, &rs, &grant, &ref, VF_PART_IMAGE, &ek);
    assert_new(ek.b);
    ref.c[7] = '7';
    vf_kdf_envelope_key(&gs, &rs, &grant, &ref, VF_PART_TEXT, &ek);
    assert_new(ek.b);
    ref.c[7] = '5';
    grant.c[15] = '2';
    vf_kdf_envelope_key(&gs, &rs, &grant, &ref, VF_PART_TEXT, &ek);
    assert_new(ek.b);
    grant.c[15] = '7';
    EACH_KEY(vk, vf_kdf_grant_share(&vk, &w, &grant, &gs), gs.b);
    EACH_KEY(w, vf_kdf_grant_share(&vk, &w, &grant, &gs), gs.b);
    EACH_KEY(vk, vf_kdf_release_secret(&vk, &w, &grant, &secret), secret.b);
    EACH_KEY(w, vf_kdf_release_secret(&vk, &w, &grant, &secret), secret.b);
    for (unsigned part = 0; part < VF_PART_COUNT; part++) {
        vf_kdf_release_share(&secret, &ref, (enum vf_part)part, &rs);
        assert_new(rs.b);
        vf_kdf_release_share_offline(&ref, (enum vf_part)part, &rs);
        assert_new(rs.b);
    }
    EACH_KEY(vk, vf_kdf_vault_commitment(&vk, &vault, &h), h.b);
    vault.b[0] ^= 1;
    vf_kdf_vault_commitment(&vk, &vault, &h);
    assert_new(h.b);
    vault.b[0] ^= 1;
}

static void the_index_tells_only_equality(void **state)
{
    struct vf_index_key key;
    struct vf_index_key other;
    struct vf_hash a;
    struct vf_hash b;

    (void)state;
    vf_kdf_index_key(&vk, &key);
    vk.b[0] ^= 1;
    vf_kdf_index_key(&vk, &other);
    vk.b[0] ^= 1;
    vf_index_of(&key, "0012345", 7, &a);
    vf_index_of(&key, "0012345", 7, &b);
    assert_memory_equal(a.b, b.b, 32);
    vf_index_of(&key, "012345", 6, &b);
    assert_memory_not_equal(a.b, b.b, 32);
    vf_index_of(&other, "0012345", 7, &b);
    assert_memory_not_equal(a.b, b.b, 32);
    vf_index_of(&key, NULL, 0, &b);
    assert_memory_not_equal(a.b, b.b, 32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blake2b_known_answers),
        cmocka_unit_test(all_against_the_second_implementation),
        cmocka_unit_test(every_input_counts),
        cmocka_unit_test(the_index_tells_only_equality),
    };

    return cmocka_run_group_tests_name("crypto kdf", tests, set_up, without_crypto);
}
