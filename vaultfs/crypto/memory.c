/* SPDX-License-Identifier: MIT */
#include "crypto_internal.h"

#include <sys/prctl.h>
#include <sys/resource.h>

void vf_wipe(void *p, size_t len)
{
    if (len > 0)
        sodium_memzero(p, len);
}

bool vf_equal(const void *a, const void *b, size_t len)
{
    return len == 0 || sodium_memcmp(a, b, len) == 0;
}

/* Twice what any of the functions takes that we call with a key (Argon2's and the checks of others' keys apart). */
#define STACK_LEFT 4096

void vf_stack_wipe(void)
{
    sodium_stackzero(STACK_LEFT);
}

void vf_random(void *out, size_t len)
{
    randombytes_buf(out, len);
}

_Static_assert(sizeof(struct vf_tag_key) == crypto_shorthash_siphashx24_KEYBYTES, "key");
_Static_assert(sizeof(struct vf_tag) == crypto_shorthash_siphashx24_BYTES, "tag");

void vf_tag_key_new(struct vf_tag_key *ret)
{
    vf_random(ret->b, sizeof(ret->b));
}

void vf_tag_of(const struct vf_tag_key *key, const void *data, size_t len, struct vf_tag *ret)
{
    (void)crypto_shorthash_siphashx24(ret->b, data, len, key->b);
}

enum vf_err vf_process_harden(struct vf_why *why)
{
    struct rlimit none = {0, 0};

    /* Both: the limit also holds for a core_pattern file, the flag also keeps other processes of this user out. */
    if (setrlimit(RLIMIT_CORE, &none) != 0)
        return vf_fail_sys(why, "core dumps could not be switched off");
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        return vf_fail_sys(why, "the process could not be closed to others of the same user");
    return VF_OK;
}
