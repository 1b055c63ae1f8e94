/* SPDX-License-Identifier: MIT */
#include "crypto_internal.h"

#include <string.h>

#define CHUNK 48 /* bytes; a multiple of 3, so that the pieces join without padding between them */

void vf_base64_put(struct vf_buf *out, const void *data, size_t len)
{
    const uint8_t *next = data;
    char text[CHUNK / 3 * 4 + 1];

    while (len > 0) {
        size_t n = len < CHUNK ? len : CHUNK;
        (void)sodium_bin2base64(text, sizeof(text), next, n, sodium_base64_VARIANT_ORIGINAL);
        vf_buf_put(out, text, strlen(text));
        next += n;
        len -= n;
    }
    sodium_memzero(text, sizeof(text));
}

/* libsodium 1.0.18 takes every byte from 0x80 on for a '/'. */
static bool ascii(const char *text, size_t len)
{
    unsigned all = 0;

    for (size_t i = 0; i < len; i++)
        all |= (unsigned char)text[i];
    return all < 0x80;
}

bool vf_base64_get_max(const char *text, size_t len, uint8_t *ret, size_t ret_max, size_t *ret_len)
{
    size_t n = 0;

    /* libsodium refuses foreign characters, wrong padding and stray bits; without an end pointer, anything left over too. */
    if (len % 4 != 0 || !ascii(text, len) ||
        sodium_base642bin(ret, ret_max, text, len, NULL, &n, NULL, sodium_base64_VARIANT_ORIGINAL) != 0)
        return false;
    *ret_len = n;
    return true;
}

bool vf_base64_get(const char *text, size_t len, uint8_t *ret, size_t ret_len)
{
    size_t n = 0;

    return len == (ret_len + 2) / 3 * 4 && vf_base64_get_max(text, len, ret, ret_len, &n) && n == ret_len;
}
