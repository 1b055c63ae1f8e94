/* SPDX-License-Identifier: MIT */
#include "crypto_test.h"

#include "faults.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <pthread.h>

/* FIPS 180-4 examples and the NIST long message. */
static const struct {
    const char *text;
    const char *hash;
} fips[] = {
    {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
     "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"},
};
#define MILLION_A "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"

static void sha256_known_answers(void **state)
{
    struct vf_hash h;

    (void)state;
    for (size_t i = 0; i < sizeof(fips) / sizeof(fips[0]); i++) {
        vf_sha256(fips[i].text, strlen(fips[i].text), &h);
        assert_hex(h.b, sizeof(h.b), fips[i].hash);
    }
    VF_FREE char *a = malloc(1000000);
    assert_non_null(a);
    memset(a, 'a', 1000000);
    vf_sha256(a, 1000000, &h);
    assert_hex(h.b, sizeof(h.b), MILLION_A);
    vf_sha256(NULL, 0, &h);
    assert_hex(h.b, sizeof(h.b), fips[0].hash);
}

static void sha256_before_init_is_the_same(void **state)
{
    struct vf_hash h;

    (void)state;
    vf_crypto_done();
    sha256_known_answers(NULL);
    struct vf_hasher hasher;
    OK(vf_hasher_init(&hasher, NULL));
    vf_hasher_update(&hasher, "abc", 3);
    vf_hasher_final(&hasher, &h);
    assert_hex(h.b, sizeof(h.b), fips[1].hash);
    vf_hasher_done(&hasher);
    OK(vf_crypto_init(VF_ARENA_TOOL, NULL));
    sha256_known_answers(NULL);
}

static void hasher_in_any_pieces(void **state)
{
    uint8_t data[300];
    struct vf_hash whole;
    struct vf_hash h;
    struct vf_hasher hasher;

    (void)state;
    counting(data, 0, sizeof(data));
    vf_sha256(data, sizeof(data), &whole);
    OK(vf_hasher_init(&hasher, NULL));
    for (size_t cut = 0; cut <= sizeof(data); cut++) {
        vf_hasher_update(&hasher, data, cut);
        vf_hasher_update(&hasher, NULL, 0);
        vf_hasher_update(&hasher, data + cut, sizeof(data) - cut);
        vf_hasher_final(&hasher, &h);
        assert_memory_equal(h.b, whole.b, sizeof(h.b));
        vf_hasher_reset(&hasher);
    }
    vf_hasher_update(&hasher, data, 17);
    vf_hasher_reset(&hasher);
    vf_hasher_final(&hasher, &h);
    assert_hex(h.b, sizeof(h.b), fips[0].hash);
    vf_hasher_done(&hasher);
    vf_hasher_done(&hasher);
}

/* libcrypto's memory comes through here, so that faults.h can take it away. */
static void *give(size_t n, const char *file, int line)
{
    (void)file;
    (void)line;
    return malloc(n);
}
static void *give_again(void *p, size_t n, const char *file, int line)
{
    (void)file;
    (void)line;
    return realloc(p, n);
}
static void take(void *p, const char *file, int line)
{
    (void)file;
    (void)line;
    free(p);
}

static void *hash_without_memory(void *arg)
{
    bool *met = arg;
    struct vf_hash h;
    struct vf_hash want;

    /* In a thread that never hashed before: nothing is asked for, so nothing can fail. */
    faults_arm_lasting(FAULT_MEMORY, 1, ENOMEM);
    vf_sha256("abc", 3, &h);
    *met = faults_disarm();
    vf_sha256("abc", 3, &want);
    return memcmp(h.b, want.b, sizeof(h.b)) == 0 ? NULL : arg;
}

static void hashing_needs_no_memory(void **state)
{
    pthread_t thread;
    bool met = true;
    void *bad = NULL;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, hash_without_memory, &met), 0);
    assert_int_equal(pthread_join(thread, &bad), 0);
    assert_null(bad);
    assert_false(met);
}

static void hasher_reports_no_memory(void **state)
{
    (void)state;
    for (unsigned n = 1;; n++) {
        struct vf_hasher h;
        struct vf_why why = {0};
        faults_arm(FAULT_MEMORY, n, ENOMEM);
        enum vf_err err = vf_hasher_init(&h, &why);
        bool met = faults_disarm();
        if (err == VF_OK) {
            struct vf_hash out;
            vf_hasher_update(&h, "abc", 3);
            vf_hasher_final(&h, &out);
            assert_hex(out.b, sizeof(out.b), fips[1].hash);
        } else {
            assert_int_equal(err, VF_E_NOMEM);
            assert_null(h.ctx);
        }
        vf_hasher_done(&h);
        if (!met) {
            assert_true(n > 1);
            break;
        }
    }
    /* Once made, a hasher does its work, with or without. */
    struct vf_hasher h;
    struct vf_hash out;
    OK(vf_hasher_init(&h, NULL));
    faults_arm_lasting(FAULT_MEMORY, 1, ENOMEM);
    for (unsigned i = 0; i < 3; i++) {
        vf_hasher_reset(&h);
        vf_hasher_update(&h, "abc", 3);
        vf_hasher_final(&h, &out);
    }
    assert_false(faults_disarm());
    assert_hex(out.b, sizeof(out.b), fips[1].hash);
    vf_hasher_reset(&h);
    vf_hasher_update(&h, "abc", 3);
    vf_hasher_final(&h, &out);
    assert_hex(out.b, sizeof(out.b), fips[1].hash);
    vf_hasher_done(&h);
}

static void *hash_a_lot(void *arg)
{
    uint8_t data[200];
    struct vf_hash first;
    struct vf_hash h;

    counting(data, *(unsigned *)arg, sizeof(data));
    vf_sha256(data, sizeof(data), &first);
    for (unsigned i = 0; i < 5000; i++) {
        vf_sha256(data, sizeof(data), &h);
        if (memcmp(h.b, first.b, sizeof(h.b)) != 0)
            return arg;
    }
    return NULL;
}

static void threads_hash_apart(void **state)
{
    pthread_t threads[4];
    unsigned names[4] = {1, 2, 3, 4};

    (void)state;
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hash_a_lot, &names[i]), 0);
    for (unsigned i = 0; i < 4; i++) {
        void *bad = NULL;
        assert_int_equal(pthread_join(threads[i], &bad), 0);
        assert_null(bad);
    }
}

/* ------------------------------------------------------------------------------------------------------------------- base64 */

static void base64_known_answers(void **state)
{
    static const struct {
        const char *plain;
        const char *text;
    } rfc4648[] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rfc4648) / sizeof(rfc4648[0]); i++) {
        VF_BUF out = {.max = 100};
        uint8_t back[10];
        size_t len = strlen(rfc4648[i].plain);
        vf_base64_put(&out, rfc4648[i].plain, len);
        assert_true(vf_buf_ok(&out));
        assert_string_equal(vf_buf_cstr(&out), rfc4648[i].text);
        assert_true(vf_base64_get(rfc4648[i].text, strlen(rfc4648[i].text), back, len));
        assert_memory_equal(back, rfc4648[i].plain, len);
    }
}

static void base64_of_any_length(void **state)
{
    uint8_t data[300];
    uint8_t back[300];

    (void)state;
    vf_random(data, sizeof(data));
    for (size_t len = 0; len <= sizeof(data); len++) {
        VF_BUF out = {.max = 500};
        size_t n = 999;
        vf_base64_put(&out, data, len);
        OK(vf_buf_check(&out, "text", NULL));
        assert_int_equal(out.len, (len + 2) / 3 * 4);
        const char *text = vf_buf_cstr(&out);
        assert_true(vf_base64_get(text, out.len, back, len));
        assert_memory_equal(back, data, len);
        assert_true(vf_base64_get_max(text, out.len, back, sizeof(back), &n));
        assert_int_equal(n, len);
        if (len > 0) {
            assert_false(vf_base64_get(text, out.len, back, len - 1));
            assert_false(vf_base64_get_max(text, out.len, back, len - 1, &n));
            assert_false(vf_base64_get(text, out.len - 1, back, len));
        }
        assert_false(vf_base64_get(text, out.len, back, len + 1));
    }
}

static void base64_has_one_spelling(void **state)
{
    static const char *const bad[] = {
        "Zg=",   "Zg",    "Zg===",  "Zh==", "Zm9=",  "Zm8",      "Z",    "=",        "====",  "Zg= =",
        " Zg==", "Zg== ", "Zg==\n", "Zm-_", "Zm\n8", "Zm8=Zm8=", "Z=g=", "Zg==Zg==", "Zm9v=", "Zm9v====",
    };
    uint8_t back[16];
    size_t n = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(vf_base64_get_max(bad[i], strlen(bad[i]), back, sizeof(back), &n));
    /* Each byte in each place: 64 are taken, all different. */
    for (unsigned at = 0; at < 4; at++) {
        unsigned taken = 0;
        for (unsigned c = 0; c < 256; c++) {
            char text[4] = {'A', 'A', 'A', 'A'};
            text[at] = (char)c;
            taken += vf_base64_get_max(text, 4, back, sizeof(back), &n) ? 1 : 0;
        }
        assert_int_equal(taken, at < 3 ? 64 : 65); /* '=' in the last */
    }
    /* Of all texts of four characters, exactly those that encode something decode, and give their bytes back. */
    static const char set[] = "AEIQghwx059+/=- ";
    unsigned good = 0;
    for (unsigned i = 0; i < 16 * 16 * 16 * 16; i++) {
        char text[4] = {set[i & 15], set[i >> 4 & 15], set[i >> 8 & 15], set[i >> 12 & 15]};
        if (!vf_base64_get_max(text, 4, back, sizeof(back), &n))
            continue;
        VF_BUF out = {.max = 10};
        vf_base64_put(&out, back, n);
        assert_int_equal(out.len, 4);
        assert_memory_equal(out.data, text, 4);
        good++;
    }
    assert_true(good > 13 * 13 * 13 * 13 - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha256_known_answers),     cmocka_unit_test(sha256_before_init_is_the_same),
        cmocka_unit_test(hasher_in_any_pieces),     cmocka_unit_test(hashing_needs_no_memory),
        cmocka_unit_test(hasher_reports_no_memory), cmocka_unit_test(threads_hash_apart),
        cmocka_unit_test(base64_known_answers),     cmocka_unit_test(base64_of_any_length),
        cmocka_unit_test(base64_has_one_spelling),
    };

    if (CRYPTO_set_mem_functions(give, give_again, take) != 1)
        return 1;
    return cmocka_run_group_tests_name("crypto hash", tests, with_crypto, without_crypto);
}
