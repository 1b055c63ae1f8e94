/* SPDX-License-Identifier: MIT */
/*
 * What stays on the stack of a thread that has used a key, when it then waits for something: nothing of the key. libsodium and libcrypto themselves leave some
 * there, how much depends on the processor. Each function is called on a stack of our own, which is searched behind it.
 */
#include "../../vaultfs/crypto/crypto_internal.h"
#include "crypto_test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>

#define STACK ((size_t)256 * 1024)
#define LEN   8196
#define NKEYS 3

static uint8_t *stack, *plain, *sealed;
static uint8_t nonce[VF_NONCE_LEN], ad[20], envelope[NKEYS * VF_KEY_LEN + VF_TAG_LEN];
static struct vf_vault_id vault;
static struct vf_grant_id grant;
static struct vf_ref ref;
static struct { /* what is searched for */
    uint8_t key[VF_KEY_LEN], subkey[VF_KEY_LEN];
    struct vf_grant_share share;
    struct vf_release_share release;
    struct vf_envelope_key envelope;
    struct vf_field_key field[NKEYS];
} secret;

static int set_up(void **state)
{
    (void)state;
    stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    plain = calloc(1, LEN);
    sealed = calloc(1, LEN + VF_TAG_LEN);
    if (stack == MAP_FAILED || !plain || !sealed || vf_crypto_init(1024 * 1024, NULL))
        return -1;
    vf_random(&secret, sizeof(secret));
    vf_random(nonce, sizeof(nonce));
    (void)crypto_core_hchacha20(secret.subkey, nonce, secret.key, NULL);
    vf_kdf_envelope_key(&secret.share, &secret.release, &grant, &ref, VF_PART_TEXT, &secret.envelope);
    vf_envelope_seal(&secret.envelope, &vault, &grant, &ref, VF_PART_TEXT, secret.field, NKEYS, envelope);
    vf_xchacha_seal(secret.key, nonce, ad, sizeof(ad), plain, LEN, sealed);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free(plain);
    free(sealed);
    (void)munmap(stack, STACK);
    vf_crypto_done();
    return 0;
}

/* Eight bytes of a secret in a row, or one of its words four times, as wide registers hold it. */
static size_t found(void)
{
    const uint8_t *all = (const uint8_t *)&secret;
    size_t n = 0, used = 0;
    while (used < STACK && stack[used] == 0)
        used++;
    for (size_t at = used; at + 16 <= STACK; at++) {
        bool wide = memcmp(stack + at, stack + at + 4, 12) == 0;
        for (size_t i = 0; i + 8 <= sizeof(secret); i += 4)
            n += memcmp(stack + at, all + i, wide ? 4 : 8) == 0;
    }
    return n;
}

struct call {
    void (*function)(void);
    atomic_bool done, looked_at;
};

/* It stays, so that its end overwrites nothing. */
static void *in_thread(void *arg)
{
    struct call *c = arg;
    c->function();
    atomic_store(&c->done, true);
    while (!atomic_load(&c->looked_at))
        ;
    return NULL;
}

static size_t left_by(void (*function)(void))
{
    struct call c = {.function = function};
    pthread_attr_t attr;
    pthread_t thread;
    memset(stack, 0, STACK);
    assert_int_equal(pthread_attr_init(&attr), 0);
    assert_int_equal(pthread_attr_setstack(&attr, stack, STACK), 0);
    assert_int_equal(pthread_create(&thread, &attr, in_thread, &c), 0);
    while (!atomic_load(&c.done))
        (void)usleep(100);
    size_t n = found();
    atomic_store(&c.looked_at, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(pthread_attr_destroy(&attr), 0);
    return n;
}

/* -------------------------------------------------------------------------------------------------------------------- calls */

/* A sanitizer would put these copies elsewhere. */
#define ON_THE_STACK __attribute__((no_sanitize("address")))

ON_THE_STACK static void leave_one(void)
{
    uint8_t copy[VF_KEY_LEN];
    memcpy(copy, secret.key, sizeof(copy));
    if (!vf_equal(copy, secret.key, sizeof(copy)))
        abort();
}

ON_THE_STACK static void leave_a_wide_one(void)
{
    uint8_t copy[4 * 4];
    for (size_t i = 0; i < sizeof(copy); i++)
        copy[i] = secret.subkey[4 + i % 4];
    if (vf_equal(copy, secret.subkey, sizeof(copy)))
        abort();
}

static void seal_value(void)
{
    vf_xchacha_seal(secret.key, nonce, ad, sizeof(ad), plain, LEN, sealed);
}

static void open_value(void)
{
    if (!vf_xchacha_open(secret.key, nonce, ad, sizeof(ad), sealed, LEN + VF_TAG_LEN, plain))
        abort();
}

static void open_forged(void)
{
    sealed[7] ^= 1;
    bool opens = vf_xchacha_open(secret.key, nonce, ad, sizeof(ad), sealed, LEN + VF_TAG_LEN, plain);
    sealed[7] ^= 1;
    if (opens)
        abort();
}

static void derive(void)
{
    struct vf_envelope_key *ek = vf_secret_new(sizeof(*ek));
    if (!ek)
        abort();
    vf_kdf_envelope_key(&secret.share, &secret.release, &grant, &ref, VF_PART_TEXT, ek);
    vf_secret_free(ek);
}

static void open_envelope(void)
{
    struct vf_field_key *keys = vf_secret_new(NKEYS * sizeof(*keys));
    if (!keys || vf_envelope_open(&secret.envelope, &vault, &grant, &ref, VF_PART_TEXT, envelope, NKEYS, keys))
        abort();
    vf_secret_free(keys);
}

static void authenticate(void)
{
    struct vf_hash mac;
    vf_frame_mac(secret.key, "test", plain, 300, mac.b);
}

/* -------------------------------------------------------------------------------------------------------------------- tests */

static void what_is_left_would_be_found(void **state)
{
    (void)state;
    assert_true(left_by(leave_one) > 0);
    assert_true(left_by(leave_a_wide_one) > 0);
}

static void nothing_is_left(void **state)
{
    static const struct {
        const char *name;
        void (*function)(void);
    } calls[] = {
        {"seal_value", seal_value}, {"open_value", open_value},       {"open_forged", open_forged},
        {"derive", derive},         {"open_envelope", open_envelope}, {"authenticate", authenticate},
    };
    size_t by_libsodium = LEN + 1;

    (void)state;
    assert_true(vf_xchacha_by_libcrypto(LEN));
    for (int by = 0; by < 2; by++) { /* libcrypto what is large; libsodium everything */
        for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
            size_t n = left_by(calls[i].function);
            if (n > 0)
                print_error("%s, %s: %zu\n", calls[i].name, by ? "libsodium" : "libcrypto", n);
            assert_int_equal(n, 0);
        }
        by_libsodium = vf_xchacha_from(by_libsodium);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_left_would_be_found),
        cmocka_unit_test(nothing_is_left),
    };
    /* With the widest registers libcrypto leaves nothing; most processors do not have them. It looks once, before main. */
    if (argc == 1 && !getenv("OPENSSL_ia32cap")) {
        (void)setenv("OPENSSL_ia32cap", ":~0xd0230000", 1);
        (void)execv("/proc/self/exe", (char *[]){argv[0], NULL});
    }
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
