/* SPDX-License-Identifier: MIT */
/*
 * SHA-256 by libcrypto. Fetching the algorithm and making a context cost more than hashing a leaf, so the algorithm is fetched
 * once and every thread keeps one context.
 */
#include "crypto_internal.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>

static EVP_MD *fetched;
static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static bool key_made;
static _Thread_local EVP_MD_CTX *thread_ctx;

static void thread_end(void *ctx)
{
    EVP_MD_CTX_free(ctx);
    thread_ctx = NULL;
}

static void make_key(void)
{
    key_made = pthread_key_create(&key, thread_end) == 0;
}

bool vf_hash_start(void)
{
    if (fetched == NULL)
        fetched = EVP_MD_fetch(NULL, "SHA256", NULL);
    return fetched != NULL && pthread_once(&key_once, make_key) == 0;
}

void vf_hash_stop(void)
{
    if (thread_ctx != NULL) {
        (void)pthread_setspecific(key, NULL);
        thread_end(thread_ctx);
    }
    EVP_MD_free(fetched);
    fetched = NULL;
}

/* This thread's context, ready for input; NULL when there is no memory for one, or before vf_crypto_init. */
static EVP_MD_CTX *ready_ctx(void)
{
    if (fetched == NULL || !key_made)
        return NULL;
    if (thread_ctx == NULL) {
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        if (ctx == NULL)
            return NULL;
        if (pthread_setspecific(key, ctx) != 0) {
            EVP_MD_CTX_free(ctx);
            return NULL;
        }
        thread_ctx = ctx;
    }
    return EVP_DigestInit_ex2(thread_ctx, fetched, NULL) == 1 ? thread_ctx : NULL;
}

/* The same function from libsodium: slower, but it needs no memory, so that hashing has no way to fail. */
static void portable(const struct vf_chunk *chunks, size_t n, uint8_t ret[VF_HASH_LEN])
{
    crypto_hash_sha256_state state;

    (void)crypto_hash_sha256_init(&state);
    for (size_t i = 0; i < n; i++)
        if (chunks[i].len > 0)
            (void)crypto_hash_sha256_update(&state, chunks[i].data, chunks[i].len);
    (void)crypto_hash_sha256_final(&state, ret);
}

void vf_hash_chunks(const struct vf_chunk *chunks, size_t n, uint8_t ret[VF_HASH_LEN])
{
    EVP_MD_CTX *ctx = ready_ctx();
    bool ok = ctx != NULL;

    for (size_t i = 0; i < n && ok; i++)
        if (chunks[i].len > 0)
            ok = EVP_DigestUpdate(ctx, chunks[i].data, chunks[i].len) == 1;
    if (!ok || EVP_DigestFinal_ex(ctx, ret, NULL) != 1)
        portable(chunks, n, ret);
}

void vf_sha256(const void *data, size_t len, struct vf_hash *ret)
{
    struct vf_chunk all = {data, len};

    vf_hash_chunks(&all, 1, ret->b);
}

/* What a vf_hasher holds. */
struct hasher {
    EVP_MD_CTX *evp;
    bool portable; /* libcrypto had no memory for a new start: libsodium goes on in its place */
    crypto_hash_sha256_state state;
};

enum vf_err vf_hasher_init(struct vf_hasher *h, struct vf_why *why)
{
    struct hasher *own = calloc(1, sizeof(*own));

    h->ctx = own;
    if (own != NULL)
        own->evp = EVP_MD_CTX_new();
    if (own == NULL || own->evp == NULL) {
        vf_hasher_done(h);
        return vf_fail(why, VF_E_NOMEM, "no memory to compute a hash");
    }
    vf_hasher_reset(h);
    return VF_OK;
}

void vf_hasher_reset(struct vf_hasher *h)
{
    struct hasher *own = h->ctx;

    own->portable = EVP_DigestInit_ex2(own->evp, fetched != NULL ? fetched : EVP_sha256(), NULL) != 1;
    if (own->portable)
        (void)crypto_hash_sha256_init(&own->state);
}

/*
 * libcrypto has no cause to fail once it has started. If it did, going on would mean a wrong hash: better no program than that.
 */
void vf_hasher_update(struct vf_hasher *h, const void *data, size_t len)
{
    struct hasher *own = h->ctx;

    if (len == 0)
        return;
    if (own->portable)
        (void)crypto_hash_sha256_update(&own->state, data, len);
    else if (EVP_DigestUpdate(own->evp, data, len) != 1)
        abort();
}

void vf_hasher_final(struct vf_hasher *h, struct vf_hash *ret)
{
    struct hasher *own = h->ctx;

    if (own->portable)
        (void)crypto_hash_sha256_final(&own->state, ret->b);
    else if (EVP_DigestFinal_ex(own->evp, ret->b, NULL) != 1)
        abort();
}

void vf_hasher_done(struct vf_hasher *h)
{
    struct hasher *own = h->ctx;

    if (own != NULL)
        EVP_MD_CTX_free(own->evp);
    free(own);
    h->ctx = NULL;
}
