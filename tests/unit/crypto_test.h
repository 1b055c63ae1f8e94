/* SPDX-License-Identifier: MIT */
/* What the tests of the crypto room share: the fixed inputs of crypto_vectors.py, and children that are expected to die. */
#ifndef VAULTFS_TESTS_CRYPTO_TEST_H
#define VAULTFS_TESTS_CRYPTO_TEST_H

#include "vaultfs/crypto.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmocka_std.h"
#include "crypto_vectors.h"

#if defined(__SANITIZE_ADDRESS__)
#define TEST_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TEST_ASAN 1
#endif
#endif

#define OK(expr) assert_int_equal(expr, VF_OK)

/* `len` bytes start, start + 1, … */
static inline void counting(void *out, unsigned start, size_t len)
{
    for (size_t i = 0; i < len; i++)
        ((uint8_t *)out)[i] = (uint8_t)(start + i);
}

/* A vector in hex to fresh memory; *ret_len is its length. */
static inline uint8_t *from_hex(const char *hex, size_t *ret_len)
{
    size_t len = strlen(hex) / 2;
    uint8_t *out = malloc(len + 1);

    assert_non_null(out);
    assert_true(vf_unhex(hex, 2 * len, out, len));
    *ret_len = len;
    return out;
}

static inline void assert_hex(const void *data, size_t len, const char *hex)
{
    size_t want_len = 0;
    VF_FREE uint8_t *want = from_hex(hex, &want_len);

    assert_int_equal(len, want_len);
    assert_memory_equal(data, want, len);
}

static inline bool is_zero(const void *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (((const uint8_t *)data)[i] != 0)
            return false;
    return true;
}

/* Run `fn` in a child and return its wait status. */
static inline int in_child(void (*fn)(void *), void *arg)
{
    int status = 0;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        /* cmocka catches these. */
        (void)signal(SIGSEGV, SIG_DFL);
        (void)signal(SIGABRT, SIG_DFL);
        fn(arg);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

/* The child ended itself with 0; else its exit status is the line of its failed CHILD_CHECK, modulo 256. */
static inline void assert_child_ok(void (*fn)(void *), void *arg)
{
    int status = in_child(fn, arg);

    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}
#define CHILD_CHECK(ok) ((ok) ? (void)0 : _exit(__LINE__ % 255 + 1))

static inline int with_crypto(void **state)
{
    (void)state;
    return vf_crypto_init(VF_ARENA_TOOL, NULL) == VF_OK ? 0 : -1;
}

static inline int without_crypto(void **state)
{
    (void)state;
    vf_crypto_done();
    return 0;
}

#endif
