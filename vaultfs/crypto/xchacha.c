/* SPDX-License-Identifier: MIT */
/*
 * XChaCha20-Poly1305 as draft-irtf-cfrg-xchacha defines it (section 2.3): the subkey is HChaCha20(key, first 16 bytes of the nonce), then comes
 * ChaCha20-Poly1305 of RFC 8439 under it, with the nonce 0000 || last 8 bytes. libsodium's function does just that; for what is large
 * the second step is libcrypto's here, which makes use of wider registers: less than half the time, the same bytes.
 *
 * libcrypto keeps the key in a context on the heap, and what is secret lives in the arena. So its allocations pass through here, and for as long as a
 * context is being made they come from a pool in the arena, which goes when the context does. What libcrypto keeps for longer (its state of each
 * thread) must not come from there: a thread's first context is one without a key, from ordinary memory. Where all that cannot be had (libcrypto
 * was in use before us, has no such cipher, the arena is full or not there) libsodium does it all.
 *
 * Nobody but us chooses who computes: the library context is our own, no configuration file is read (the environment could name one, and code to
 * load with it), and an engine, which libcrypto would prefer to what we ask for, gets no key.
 */
#include "crypto_internal.h"

#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define POOL_LEN  4096
#define IETF_LEN  12 /* nonce of RFC 8439 */
#define INPUT_LEN crypto_core_hchacha20_INPUTBYTES

_Static_assert(INPUT_LEN + 8 == VF_NONCE_LEN, "nonce");
_Static_assert(crypto_core_hchacha20_OUTPUTBYTES == VF_KEY_LEN, "subkey");

/* ------------------------------------------------------------------------------------------------------ libcrypto's memory */

struct pool { /* of one context: for the length of one call, in one thread */
    uint8_t *start;
    size_t used;
    unsigned live; /* allocations that were not freed */
    bool open;     /* a context is being made */
};
static _Thread_local struct pool pool;
static _Thread_local bool warm; /* this thread has had its context without a key */
static atomic_bool outlived;    /* something from a pool did: that must never happen, and not twice */

/* What does not fit fails, and then no key comes to libcrypto: what it wants after that is for its own error. */
static void *pool_take(size_t len)
{
    size_t rounded = (len + 63) / 64 * 64;
    if (len > POOL_LEN || rounded > POOL_LEN - pool.used) {
        pool.open = false;
        return NULL;
    }
    void *p = pool.start + pool.used;
    pool.used += rounded;
    pool.live++;
    return p;
}

static bool in_pool(const void *p)
{
    uintptr_t at = (uintptr_t)p, start = (uintptr_t)pool.start;
    return pool.start != NULL && at >= start && at - start < POOL_LEN;
}

static void *memory_new(size_t len, const char *file, int line)
{
    (void)file;
    (void)line;
    return pool.open ? pool_take(len) : malloc(len);
}

static void *memory_resize(void *p, size_t len, const char *file, int line)
{
    (void)file;
    (void)line;
    if (in_pool(p)) /* no context is ever made larger; nothing leaves the pool this way */
        return NULL;
    if (!pool.open)
        return realloc(p, len);
    return p == NULL ? pool_take(len) : NULL;
}

static void memory_free(void *p, const char *file, int line)
{
    (void)file;
    (void)line;
    if (!in_pool(p))
        free(p);
    else /* wiped and given back as a whole */
        pool.live--;
}

/* ---------------------------------------------------------------------------------------------------------------- contexts */

enum readiness { OFF, UNTRIED, READY };
static _Atomic(enum readiness) state;
static pthread_mutex_t begin_lock = PTHREAD_MUTEX_INITIALIZER;
static OSSL_LIB_CTX *library; /* these two are there when ready */
static EVP_CIPHER *cipher;
static atomic_size_t large = 2048; /* from here on the gain is greater than what the context costs */

struct context {
    EVP_CIPHER_CTX *evp;
};

static bool warm_up(void)
{
    static const uint8_t nothing[VF_KEY_LEN];
    ERR_clear_error(); /* makes this thread's list of errors */
    EVP_CIPHER_CTX *evp = EVP_CIPHER_CTX_new();
    warm = evp != NULL && EVP_CipherInit_ex2(evp, cipher, nothing, nothing, 1, NULL) == 1;
    EVP_CIPHER_CTX_free(evp);
    return warm;
}

/* First the cipher, without a key: if an engine has taken the place of ours now, it gets none, and nor does libcrypto from now on. */
static bool choose(EVP_CIPHER_CTX *evp, bool encrypt)
{
    if (evp == NULL || EVP_CipherInit_ex2(evp, cipher, NULL, NULL, encrypt, NULL) != 1)
        return false;
    bool own = EVP_CIPHER_CTX_get0_cipher(evp) == cipher;
    if (!own)
        atomic_store(&state, OFF);
    return own;
}

static bool context_new(struct context *c, const uint8_t key[VF_KEY_LEN], const uint8_t nonce[VF_NONCE_LEN], bool encrypt)
{
    uint8_t subkey[VF_KEY_LEN], iv[IETF_LEN] = {0};

    c->evp = NULL;
    if (!warm && !warm_up())
        return false;
    pool = (struct pool){.start = vf_secret_new(POOL_LEN)};
    if (pool.start == NULL)
        return false;
    pool.open = true;
    c->evp = EVP_CIPHER_CTX_new();
    bool good = choose(c->evp, encrypt);
    if (good) {
        (void)crypto_core_hchacha20(subkey, nonce, key, NULL);
        memcpy(iv + IETF_LEN - 8, nonce + INPUT_LEN, 8);
        good = EVP_CipherInit_ex2(c->evp, NULL, subkey, iv, encrypt, NULL) == 1;
        vf_wipe(subkey, sizeof(subkey));
    }
    pool.open = false;
    return good;
}

static void context_done(struct context *c, bool good)
{
    EVP_CIPHER_CTX_free(c->evp);
    if (pool.live == 0)
        vf_secret_free(pool.start);
    else /* it stays, so that nothing points at what is no longer there */
        atomic_store(&outlived, true);
    pool = (struct pool){0};
    if (!good)
        ERR_clear_error();
}

/* Associated data, then the message. */
static bool context_run(const struct context *c, const uint8_t *ad, size_t ad_len, const uint8_t *in, size_t len,
                        uint8_t *out)
{
    int n = 0, rest = 0;
    return EVP_CipherUpdate(c->evp, NULL, &n, ad, (int)ad_len) == 1 &&
           EVP_CipherUpdate(c->evp, out, &n, in, (int)len) == 1 && n == (int)len &&
           EVP_CipherFinal_ex(c->evp, out + n, &rest) == 1 && rest == 0;
}

/* ---------------------------------------------------------------------------------------------------------- first use */

/* One message by both: where they differ, or libcrypto's context does not fit into the pool, libsodium does it all. */
static bool agree(void)
{
    enum { LEN = 2500 };
    static const uint8_t key[VF_KEY_LEN] = {1, 2, 3}, nonce[VF_NONCE_LEN] = {4, 5, 6}, plain[LEN] = {7, 8, 9}, ad[] = {10};
    uint8_t ours[LEN + VF_TAG_LEN], theirs[LEN + VF_TAG_LEN];
    struct context c;

    bool good = context_new(&c, key, nonce, true) && context_run(&c, ad, sizeof(ad), plain, LEN, ours) &&
                EVP_CIPHER_CTX_ctrl(c.evp, EVP_CTRL_AEAD_GET_TAG, VF_TAG_LEN, ours + LEN) == 1;
    context_done(&c, good);
    (void)crypto_aead_xchacha20poly1305_ietf_encrypt(theirs, NULL, plain, LEN, ad, sizeof(ad), NULL, nonce, key);
    return good && memcmp(ours, theirs, sizeof(ours)) == 0;
}

/* On first use, since it takes libcrypto a millisecond. */
static bool begin(void)
{
    pthread_mutex_lock(&begin_lock);
    if (atomic_load(&state) == UNTRIED) {
        library = OSSL_LIB_CTX_new();
        cipher = library != NULL ? EVP_CIPHER_fetch(library, "ChaCha20-Poly1305", NULL) : NULL;
        bool good = cipher != NULL && agree();
        if (!good)
            ERR_clear_error();
        atomic_store(&state, good ? READY : OFF);
    }
    pthread_mutex_unlock(&begin_lock);
    return atomic_load(&state) == READY;
}

static bool is_for_libcrypto(size_t len, size_t ad_len)
{
    if (len < atomic_load(&large) || len > INT_MAX || ad_len == 0 || ad_len > INT_MAX || atomic_load(&outlived))
        return false;
    return atomic_load(&state) == READY || (atomic_load(&state) == UNTRIED && begin());
}

/* ------------------------------------------------------------------------------------------------------------ both ways */

void vf_xchacha_seal(const uint8_t key[VF_KEY_LEN], const uint8_t nonce[VF_NONCE_LEN], const uint8_t *ad, size_t ad_len,
                     const uint8_t *plain, size_t len, uint8_t *out)
{
    bool done = false;

    if (is_for_libcrypto(len, ad_len)) {
        struct context c;
        bool made = context_new(&c, key, nonce, true);
        done = made && context_run(&c, ad, ad_len, plain, len, out) &&
               EVP_CIPHER_CTX_ctrl(c.evp, EVP_CTRL_AEAD_GET_TAG, VF_TAG_LEN, out + len) == 1;
        context_done(&c, done);
        /* Once it has begun it has no cause to fail; the plaintext may have been overwritten. Better no program than a wrong value. */
        if (made && !done)
            abort();
    }
    if (!done)
        (void)crypto_aead_xchacha20poly1305_ietf_encrypt(out, NULL, plain, len, ad, ad_len, NULL, nonce, key);
    vf_stack_wipe();
}

bool vf_xchacha_open(const uint8_t key[VF_KEY_LEN], const uint8_t nonce[VF_NONCE_LEN], const uint8_t *ad, size_t ad_len,
                     const uint8_t *in, size_t len, uint8_t *out)
{
    bool made = false, good = false;

    if (len < VF_TAG_LEN)
        return false;
    len -= VF_TAG_LEN;
    if (is_for_libcrypto(len, ad_len)) {
        struct context c;
        uint8_t tag[VF_TAG_LEN];
        memcpy(tag, in + len, sizeof(tag));
        made = context_new(&c, key, nonce, false) && EVP_CIPHER_CTX_ctrl(c.evp, EVP_CTRL_AEAD_SET_TAG, VF_TAG_LEN, tag) == 1;
        good = made && context_run(&c, ad, ad_len, in, len, out);
        context_done(&c, good);
    }
    if (!made)
        good =
            crypto_aead_xchacha20poly1305_ietf_decrypt(out, NULL, NULL, in, len + VF_TAG_LEN, ad, ad_len, nonce, key) == 0;
    vf_stack_wipe();
    return good;
}

/* --------------------------------------------------------------------------------------------------------- start and stop */

size_t vf_xchacha_from(size_t len)
{
    return atomic_exchange(&large, len);
}

bool vf_xchacha_by_libcrypto(size_t len)
{
    return is_for_libcrypto(len, 1);
}

void vf_xchacha_start(void)
{
    static bool ours; /* once a process, and before libcrypto has allocated anything */

    if (!ours)
        ours = CRYPTO_set_mem_functions(memory_new, memory_resize, memory_free) == 1 &&
               OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) == 1;
    atomic_store(&state, ours ? UNTRIED : OFF);
}

void vf_xchacha_stop(void)
{
    atomic_store(&state, OFF);
    EVP_CIPHER_free(cipher);
    OSSL_LIB_CTX_free(library);
    cipher = NULL;
    library = NULL;
}
