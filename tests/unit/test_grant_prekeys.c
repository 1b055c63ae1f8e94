/* SPDX-License-Identifier: MIT */
/* The note with a batch's public halves: only whole, and only of the policy's desk. */
#include "vaultfs/grant.h"

#include <stdlib.h>
#include <string.h>

#include "cmocka_std.h"

#define OK(expr) assert_int_equal(expr, VF_OK)
#define COUNT    3
#define NOW_US   INT64_C(1795000000000000)

static struct vf_identity *desk, *other;
static struct vf_prekey_pub pubs[COUNT];
static struct vf_prekey_batch batch = {.desk = "desk",
                                       .store = "a store's own id",
                                       .batch = 7,
                                       .count = COUNT,
                                       .made_us = NOW_US,
                                       .last_us = NOW_US + VF_DAY_US,
                                       .keys = pubs};
static struct vf_buf file;

static int set_up(void **state)
{
    (void)state;
    bool done = vf_crypto_init(65536, NULL) == VF_OK && vf_identity_new(VF_ROLE_DESK, "desk", &desk, NULL) == VF_OK &&
                vf_identity_new(VF_ROLE_DESK, "desk", &other, NULL) == VF_OK;
    for (size_t i = 0; i < COUNT; i++) {
        struct vf_prekey pair;
        vf_prekey_new(&pair);
        pubs[i] = pair.pub;
    }
    vf_buf_init(&file, VF_PREKEYS_FILE_MAX);
    return done && vf_prekeys_make(&batch, desk, &file, NULL) == VF_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    vf_buf_done(&file);
    vf_identity_free(desk);
    vf_identity_free(other);
    vf_crypto_done();
    return 0;
}

static enum vf_err parse(const void *data, size_t len)
{
    VF_CLEANUP(vf_prekey_batch_done) struct vf_prekey_batch b = {0};
    enum vf_err err = vf_prekeys_parse(data, len, "x", vf_identity_pub_get(desk), &b, NULL);

    if (err != VF_OK)
        assert_null(b.keys);
    return err;
}

static void what_went_in_comes_out(void **state)
{
    VF_CLEANUP(vf_prekey_batch_done) struct vf_prekey_batch b = {0};

    (void)state;
    assert_int_equal(vf_artefact_of(file.data, file.len), VF_ARTEFACT_PREKEYS);
    OK(vf_prekeys_parse(file.data, file.len, "x", vf_identity_pub_get(desk), &b, NULL));
    assert_string_equal(b.desk, "desk");
    assert_memory_equal(b.store, batch.store, sizeof(b.store));
    assert_int_equal(b.batch, 7);
    assert_int_equal(b.count, COUNT);
    assert_true(b.made_us == batch.made_us && b.last_us == batch.last_us);
    assert_memory_equal(b.keys, pubs, sizeof(pubs));
}

static void another_signer(void **state)
{
    VF_BUF forged = {.max = VF_PREKEYS_FILE_MAX};
    struct vf_prekey_batch renamed = batch;
    VF_IDENTITY admin = NULL;

    (void)state;
    OK(vf_prekeys_make(&batch, other, &forged, NULL));
    assert_int_equal(parse(forged.data, forged.len), VF_E_UNSIGNED);
    OK(vf_identity_new(VF_ROLE_ADMIN, "desk", &admin, NULL));
    assert_int_equal(vf_prekeys_make(&batch, admin, &forged, NULL), VF_E_REFUSED);
    memcpy(renamed.desk, "dusk", 5);
    assert_int_equal(vf_prekeys_make(&renamed, desk, &forged, NULL), VF_E_REFUSED);
}

static void every_byte_and_length(void **state)
{
    VF_FREE uint8_t *copy = malloc(file.len + 1);

    (void)state;
    assert_non_null(copy);
    memcpy(copy, file.data, file.len);
    for (size_t i = 0; i < file.len; i += test_step(9)) {
        static const uint8_t flips[] = {0x01, 0x20, 0x80};
        for (size_t k = 0; k < sizeof(flips); k++) {
            copy[i] ^= flips[k];
            if (parse(copy, file.len) == VF_OK)
                fail_msg("byte %zu ^ %02x was taken", i, flips[k]);
            copy[i] ^= flips[k];
        }
    }
    for (size_t len = 0; len < file.len; len += test_step(9))
        assert_int_not_equal(parse(copy, len), VF_OK);
    copy[file.len] = '\n';
    assert_int_not_equal(parse(copy, file.len + 1), VF_OK);
}

/* Signed by the desk, and still refused: values that nothing good comes from. */
static void bad_values(void **state)
{
    struct vf_prekey_batch b;
    struct vf_prekey_pub keep = pubs[1];
    VF_BUF out = {.max = VF_PREKEYS_FILE_MAX};

    (void)state;
    memset(&pubs[1], 0, sizeof(pubs[1]));
    assert_int_equal(vf_prekeys_make(&batch, desk, &out, NULL), VF_E_FORMAT);
    pubs[1] = keep;
    b = batch;
    b.batch = 0;
    assert_int_equal(vf_prekeys_make(&b, desk, &out, NULL), VF_E_FORMAT);
    b = batch;
    b.count = 0;
    assert_int_equal(vf_prekeys_make(&b, desk, &out, NULL), VF_E_FORMAT);
    b = batch;
    b.last_us = b.made_us;
    assert_int_equal(vf_prekeys_make(&b, desk, &out, NULL), VF_E_FORMAT);
    assert_int_equal(out.len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_went_in_comes_out),
        cmocka_unit_test(another_signer),
        cmocka_unit_test(every_byte_and_length),
        cmocka_unit_test(bad_values),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
