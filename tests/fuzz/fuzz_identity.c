/* SPDX-License-Identifier: MIT */
/* Public lines and secret files: one spelling each, and nothing opens that does not hold together. */
#include "vaultfs/crypto.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void line(const uint8_t *data, size_t len)
{
    struct vf_identity_pub pub;
    VF_BUF out = {.max = VF_IDENTITY_FILE_MAX};

    if (vf_identity_pub_parse(len > 0 ? (const char *)data : "", len, &pub, NULL) != VF_OK)
        return;
    vf_identity_pub_put(&pub, &out);
    check(vf_buf_ok(&out) && out.len == len && memcmp(out.data, data, len) == 0);
}

static void file(const uint8_t *data, size_t len)
{
    struct vf_identity_pub pub;
    bool locked = false;
    VF_IDENTITY id = NULL;
    VF_BUF out = {.max = VF_IDENTITY_FILE_MAX};

    enum vf_err peeked = vf_identity_peek(data, len, &pub, &locked, NULL);
    enum vf_err err = vf_identity_decode(data, len, NULL, &id, NULL);
    check((err == VF_OK) == (id != NULL));
    if (peeked != VF_OK) {
        check(err == peeked);
        return;
    }
    if (locked) {
        check(err == VF_E_PASSPHRASE);
        return;
    }
    if (err != VF_OK) {
        check(err == VF_E_DAMAGED);
        return;
    }
    check(vf_identity_pub_equal(&pub, vf_identity_pub_get(id)));
    check(vf_identity_encode(id, NULL, VF_ARGON2_DEFAULT, &out, NULL) == VF_OK);
    check(out.len == len && memcmp(out.data, data, len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static bool started;

    if (!started)
        check(vf_crypto_init(65536, NULL) == VF_OK);
    started = true;
    line(data, len);
    file(data, len);
    /* The same with the checksum mended, or else hardly a change would come past it. */
    if (len > VF_HASH_LEN && len <= VF_IDENTITY_FILE_MAX) {
        uint8_t *mended = malloc(len);
        struct vf_hash sum;
        check(mended != NULL);
        memcpy(mended, data, len);
        vf_sha256(mended, len - VF_HASH_LEN, &sum);
        memcpy(mended + len - VF_HASH_LEN, sum.b, VF_HASH_LEN);
        file(mended, len);
        free(mended);
    }
    return 0;
}
