/* SPDX-License-Identifier: MIT */
/* XChaCha20-Poly1305 by libcrypto: the draft's vectors, libsodium's own function for many lengths, and where libcrypto keeps the key meanwhile. */
#define OPENSSL_SUPPRESS_DEPRECATED /* engines */
#include "../../vaultfs/crypto/crypto_internal.h"
#include "crypto_test.h"
#include "faults.h"
#include "scratch.h"

#include <errno.h>
#include <openssl/engine.h>
#include <openssl/evp.h>
#include <pthread.h>

#define ARENA   (256 * 1024)
#define LEN_MAX (VF_VALUE_MAX + 8192)

static uint8_t *plain, *ours, *theirs;
static uint8_t key[VF_KEY_LEN], nonce[VF_NONCE_LEN], ad[60];

static int set_up(void **state)
{
    (void)state;
    if (vf_crypto_init(ARENA, NULL) != VF_OK)
        return -1;
    (void)vf_xchacha_from(1);
    plain = malloc(LEN_MAX);
    ours = malloc(LEN_MAX + VF_TAG_LEN);
    theirs = malloc(LEN_MAX + VF_TAG_LEN);
    if (!plain || !ours || !theirs)
        return -1;
    vf_random(plain, LEN_MAX);
    vf_random(key, sizeof(key));
    vf_random(nonce, sizeof(nonce));
    vf_random(ad, sizeof(ad));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free(plain);
    free(ours);
    free(theirs);
    vf_crypto_done();
    return 0;
}

/* draft-irtf-cfrg-xchacha, 2.2.1. */
static void the_subkey_is_the_drafts(void **state)
{
    size_t n = 0;
    VF_FREE uint8_t *k = from_hex("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", &n);
    VF_FREE uint8_t *in = from_hex("000000090000004a0000000031415927", &n);
    uint8_t out[32];

    (void)state;
    (void)crypto_core_hchacha20(out, in, k, NULL);
    assert_hex(out, sizeof(out), "82413b4227b27bfed30e42508a877d73a0f9e4d58a74a853c12ec41326d3ecdc");
}

/* draft-irtf-cfrg-xchacha, A.3.1. */
static void the_message_is_the_drafts(void **state)
{
    static const char text[] =
        "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.";
    size_t n = 0, len = sizeof(text) - 1;
    VF_FREE uint8_t *k = from_hex("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f", &n);
    VF_FREE uint8_t *iv = from_hex("404142434445464748494a4b4c4d4e4f5051525354555657", &n);
    VF_FREE uint8_t *a = from_hex("50515253c0c1c2c3c4c5c6c7", &n);
    uint8_t out[200], back[200];

    (void)state;
    assert_true(vf_xchacha_by_libcrypto(len));
    vf_xchacha_seal(k, iv, a, n, (const uint8_t *)text, len, out);
    assert_hex(
        out, len + VF_TAG_LEN,
        "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54c216"
        "cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff921f9664c97637da9768812f615c68b13"
        "b52ec0875924c1c7987947deafd8780acf49");
    assert_true(vf_xchacha_open(k, iv, a, n, out, len + VF_TAG_LEN, back));
    assert_memory_equal(back, text, len);
}

/* Our bytes are theirs; each opens what the other sealed, in place too. */
static void compare(size_t len, size_t ad_len)
{
    assert_int_equal(vf_xchacha_by_libcrypto(len), len > 0);
    vf_xchacha_seal(key, nonce, ad, ad_len, plain, len, ours);
    (void)crypto_aead_xchacha20poly1305_ietf_encrypt(theirs, NULL, plain, len, ad, ad_len, NULL, nonce, key);
    assert_memory_equal(ours, theirs, len + VF_TAG_LEN);
    assert_true(vf_xchacha_open(key, nonce, ad, ad_len, theirs, len + VF_TAG_LEN, theirs));
    assert_memory_equal(theirs, plain, len);
    vf_xchacha_seal(key, nonce, ad, ad_len, theirs, len, theirs);
    assert_memory_equal(ours, theirs, len + VF_TAG_LEN);
    assert_int_equal(
        crypto_aead_xchacha20poly1305_ietf_decrypt(theirs, NULL, NULL, ours, len + VF_TAG_LEN, ad, ad_len, nonce, key), 0);
    assert_memory_equal(theirs, plain, len);
}

static void the_bytes_are_libsodiums(void **state)
{
    (void)state;
    for (size_t len = 0; len <= 1100; len++) {
        nonce[len % VF_NONCE_LEN]++;
        key[len % VF_KEY_LEN]++;
        compare(len, 1 + len % sizeof(ad));
    }
    for (size_t len = 2048; len <= LEN_MAX; len += len / 3 + 1)
        compare(len, 33);
    for (size_t len = 8192; len <= 81920; len += 8192) /* as photos are padded */
        compare(4 + len, 41);
    compare(LEN_MAX, 60);
}

static void what_is_not_sealed_so_does_not_open(void **state)
{
    size_t len = 500;

    (void)state;
    vf_xchacha_seal(key, nonce, ad, 20, plain, len, ours);
    for (size_t at = 0; at < len + VF_TAG_LEN; at++) {
        ours[at] ^= (uint8_t)(1u << at % 8);
        assert_false(vf_xchacha_open(key, nonce, ad, 20, ours, len + VF_TAG_LEN, theirs));
        ours[at] ^= (uint8_t)(1u << at % 8);
    }
    for (size_t cut = 1; cut <= len + VF_TAG_LEN; cut++)
        assert_false(vf_xchacha_open(key, nonce, ad, 20, ours, len + VF_TAG_LEN - cut, theirs));
    uint8_t *changed[] = {key, nonce, ad};
    size_t lengths[] = {sizeof(key), sizeof(nonce), 20};
    for (int i = 0; i < 3; i++) {
        for (size_t at = 0; at < lengths[i]; at++) {
            changed[i][at] ^= 0x20;
            assert_false(vf_xchacha_open(key, nonce, ad, 20, ours, len + VF_TAG_LEN, theirs));
            changed[i][at] ^= 0x20;
        }
    }
    assert_false(vf_xchacha_open(key, nonce, ad, 19, ours, len + VF_TAG_LEN, theirs));
    assert_true(vf_xchacha_open(key, nonce, ad, 20, ours, len + VF_TAG_LEN, theirs));
    assert_memory_equal(theirs, plain, len);
}

static void short_messages_are_libsodiums(void **state)
{
    (void)state;
    size_t before = vf_xchacha_from(100);
    assert_int_equal(before, 1);
    assert_false(vf_xchacha_by_libcrypto(99));
    assert_true(vf_xchacha_by_libcrypto(100));
    (void)vf_xchacha_from(before);
}

/* Nothing comes from the heap while libcrypto has a key, and no block that goes back to it had one. */
static void the_key_is_in_the_arena_alone(void **state)
{
    uint8_t subkey[32];
    (void)state;
    compare(3000, 9); /* a thread's first one has ordinary memory for what stays */
    (void)crypto_core_hchacha20(subkey, nonce, key, NULL);
    faults_watch_free(subkey, sizeof(subkey));
    faults_arm_lasting(FAULT_MEMORY, 1, ENOMEM);
    vf_xchacha_seal(key, nonce, ad, 9, plain, 3000, ours);
    bool opens = vf_xchacha_open(key, nonce, ad, 9, ours, 3000 + VF_TAG_LEN, theirs);
    bool met = faults_disarm();
    assert_true(opens);
    assert_false(met);
    ours[5] ^= 1;
    assert_false(vf_xchacha_open(key, nonce, ad, 9, ours, 3000 + VF_TAG_LEN, theirs));
    assert_int_equal(faults_unwiped(), 0);
    assert_true(vf_xchacha_by_libcrypto(3000)); /* nothing outlived its pool */
}

/* No room for the context: the same bytes, by libsodium. */
static void a_full_arena_changes_nothing(void **state)
{
    void *held[ARENA / 4096 + 1];
    size_t n = 0;

    (void)state;
    while (n < sizeof(held) / sizeof(held[0]) && (held[n] = vf_secret_new(4096)) != NULL)
        n++;
    assert_true(n > 0 && vf_secret_new(4096) == NULL);
    compare(5000, 7);
    while (n > 0)
        vf_secret_free(held[--n]);
    compare(5000, 7);
}

static void without_an_arena_it_is_libsodium(void **state)
{
    (void)state;
    vf_xchacha_seal(key, nonce, ad, 8, plain, 4000, ours);
    vf_crypto_done();
    OK(vf_crypto_init(0, NULL));
    assert_false(vf_xchacha_by_libcrypto(4000));
    assert_true(vf_xchacha_open(key, nonce, ad, 8, ours, 4000 + VF_TAG_LEN, theirs));
    assert_memory_equal(theirs, plain, 4000);
    vf_crypto_done();
    OK(vf_crypto_init(ARENA, NULL));
    assert_true(vf_xchacha_by_libcrypto(4000));
    compare(4000, 8);
}

static void *in_a_thread(void *arg)
{
    uint8_t *mine = arg, *room = malloc(20000 + VF_TAG_LEN);
    bool good = room != NULL;
    for (size_t i = 0; good && i < 200; i++) {
        size_t len = 1 + i * 97;
        vf_xchacha_seal(mine, nonce, ad, 12, plain, len, room);
        good = vf_xchacha_open(mine, nonce, ad, 12, room, len + VF_TAG_LEN, room) && memcmp(room, plain, len) == 0;
    }
    free(room);
    return good ? NULL : arg;
}

static void threads_do_not_meet(void **state)
{
    pthread_t thread[8];
    uint8_t keys[8][VF_KEY_LEN];

    (void)state;
    /* The first of all may be any of them. */
    vf_crypto_done();
    OK(vf_crypto_init(ARENA, NULL));
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 8; i++) {
            vf_random(keys[i], sizeof(keys[i]));
            assert_int_equal(pthread_create(&thread[i], NULL, in_a_thread, keys[i]), 0);
        }
        for (int i = 0; i < 8; i++) {
            void *bad = NULL;
            assert_int_equal(pthread_join(thread[i], &bad), 0);
            assert_null(bad);
        }
    }
    assert_true(vf_xchacha_by_libcrypto(4000));
}

/* ------------------------------------------------------------------------------------------------- who else could compute it */

/* As an engine that the system's configuration makes the default one: it says that it does the cipher, and counts what it gets. */
static unsigned engine_keys, engine_messages;
static EVP_CIPHER *engine_cipher;
static int engine_nid;

static int engine_init(EVP_CIPHER_CTX *ctx, const unsigned char *k, const unsigned char *iv, int enc)
{
    (void)ctx;
    (void)iv;
    (void)enc;
    engine_keys += k != NULL;
    return 1;
}

static int engine_do(EVP_CIPHER_CTX *ctx, unsigned char *out, const unsigned char *in, size_t len)
{
    (void)ctx;
    if (out != NULL && in != NULL)
        memmove(out, in, len);
    engine_messages++;
    return (int)len;
}

static int engine_ctrl(EVP_CIPHER_CTX *ctx, int type, int arg, void *p)
{
    (void)ctx;
    (void)type;
    (void)arg;
    (void)p;
    return 1;
}

static int engine_ciphers(ENGINE *e, const EVP_CIPHER **ret, const int **ret_nids, int nid)
{
    (void)e;
    if (ret == NULL) {
        *ret_nids = &engine_nid;
        return 1;
    }
    *ret = nid == engine_nid ? engine_cipher : NULL;
    return *ret != NULL;
}

static ENGINE *engine_new(int nid)
{
    ENGINE *e = ENGINE_new();
    engine_nid = nid;
    engine_cipher = EVP_CIPHER_meth_new(nid, 1, VF_KEY_LEN);
    assert_non_null(e);
    assert_non_null(engine_cipher);
    assert_int_equal(EVP_CIPHER_meth_set_iv_length(engine_cipher, 12), 1);
    assert_int_equal(EVP_CIPHER_meth_set_flags(engine_cipher, EVP_CIPH_FLAG_AEAD_CIPHER | EVP_CIPH_FLAG_CUSTOM_CIPHER), 1);
    assert_int_equal(EVP_CIPHER_meth_set_init(engine_cipher, engine_init), 1);
    assert_int_equal(EVP_CIPHER_meth_set_do_cipher(engine_cipher, engine_do), 1);
    assert_int_equal(EVP_CIPHER_meth_set_ctrl(engine_cipher, engine_ctrl), 1);
    assert_true(ENGINE_set_id(e, "test") && ENGINE_set_name(e, "test") && ENGINE_set_ciphers(e, engine_ciphers));
    return e;
}

static void engine_free(ENGINE *e)
{
    ENGINE_unregister_ciphers(e);
    assert_int_equal(ENGINE_free(e), 1);
    EVP_CIPHER_meth_free(engine_cipher);
}

/* It comes when libcrypto has been in use, as libcurl's start brings them, or before. Then libsodium computes, and no key has gone there. */
static void an_engine_gets_no_key(void **state)
{
    (void)state;
    for (int first = 0; first < 2; first++) {
        vf_crypto_done();
        OK(vf_crypto_init(ARENA, NULL));
        if (!first)
            compare(4000, 8);
        ENGINE *e = engine_new(NID_chacha20_poly1305);
        assert_int_equal(ENGINE_set_default_ciphers(e), 1);
        vf_xchacha_seal(key, nonce, ad, 8, plain, 4000, ours);
        assert_true(vf_xchacha_open(key, nonce, ad, 8, ours, 4000 + VF_TAG_LEN, theirs));
        assert_memory_equal(theirs, plain, 4000);
        assert_false(vf_xchacha_by_libcrypto(4000));
        assert_int_equal(engine_keys, 0);
        assert_int_equal(engine_messages, 0);
        engine_free(e);
    }
}

static pthread_barrier_t between;

static void *before_and_after(void *arg)
{
    (void)arg;
    compare(4000, 8);
    (void)pthread_barrier_wait(&between);
    (void)pthread_barrier_wait(&between);
    compare(4000, 8);
    return NULL;
}

/* An engine for something else: from then on libcrypto looks for one each time, with a list of errors that the thread may not have yet. That is for
 * as long as the thread, and so not to be from the arena. */
static void what_stays_is_not_in_the_arena(void **state)
{
    pthread_t thread;

    (void)state;
    vf_crypto_done();
    OK(vf_crypto_init(ARENA, NULL));
    assert_int_equal(pthread_barrier_init(&between, NULL, 2), 0);
    assert_int_equal(pthread_create(&thread, NULL, before_and_after, NULL), 0);
    (void)pthread_barrier_wait(&between);
    ENGINE *e = engine_new(NID_aes_128_cbc);
    assert_int_equal(ENGINE_set_default_ciphers(e), 1);
    (void)pthread_barrier_wait(&between);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(vf_xchacha_by_libcrypto(4000));
    engine_free(e);
    assert_int_equal(pthread_barrier_destroy(&between), 0);
}

/* The environment can name a file that libcrypto would read on first use, and load what it names. */
static void no_configuration_is_read(void **state)
{
    (void)state;
    compare(4000, 8);
    assert_int_equal(OBJ_sn2nid("vaultfsTest"), NID_undef);
}

static bool put_configuration(const struct scratch *dir)
{
    static const char text[] = "openssl_conf = all\n[all]\noid_section = oids\n[oids]\nvaultfsTest = 1.3.6.1.4.1.99999.1\n";
    char path[300];

    return vf_file_write(scratch_path(dir, "openssl.cnf", path, sizeof(path)), text, sizeof(text) - 1, 0600, false, NULL) ==
               VF_OK &&
           setenv("OPENSSL_CONF", path, 1) == 0;
}

int main(void)
{
    struct scratch dir;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_subkey_is_the_drafts),
        cmocka_unit_test(the_message_is_the_drafts),
        cmocka_unit_test(the_bytes_are_libsodiums),
        cmocka_unit_test(what_is_not_sealed_so_does_not_open),
        cmocka_unit_test(short_messages_are_libsodiums),
        cmocka_unit_test(the_key_is_in_the_arena_alone),
        cmocka_unit_test(a_full_arena_changes_nothing),
        cmocka_unit_test(without_an_arena_it_is_libsodium),
        cmocka_unit_test(threads_do_not_meet),
        cmocka_unit_test(no_configuration_is_read),
        cmocka_unit_test(what_stays_is_not_in_the_arena),
        cmocka_unit_test(an_engine_gets_no_key),
    };
    scratch_make(&dir);
    if (!put_configuration(&dir))
        return 1;
    int failed = cmocka_run_group_tests(tests, set_up, tear_down);
    scratch_remove(&dir);
    return failed;
}
