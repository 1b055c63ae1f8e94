/* SPDX-License-Identifier: MIT */
/* One-time keys in their slots: what is destroyed is gone from the file's bytes, and nothing else changes. */
#include "vaultfs/desk.h"

#include "../../vaultfs/desk/slot.h"
#include "faults.h"
#include "scratch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmocka_std.h"

#define OK(expr) assert_int_equal(expr, VF_OK)
#define COUNT    5
#define FILE_LEN (VF_PREKEYS_HEAD_LEN + COUNT * VF_PREKEY_SLOT_LEN)
#define NOW_US   INT64_C(1795000000000000)

static struct scratch dir;
static char path[300];
static const uint8_t store[VF_PREKEY_STORE_LEN] = "a store's own id";
static struct vf_identity *desk;
static struct vf_prekey_store_key key;
static struct vf_prekey_pub pubs[COUNT];

static struct vf_prekey_batch batch_of(uint32_t number)
{
    struct vf_prekey_batch b = {.desk = "desk",
                                .batch = number,
                                .count = COUNT,
                                .made_us = NOW_US,
                                .last_us = NOW_US + 62 * VF_DAY_US,
                                .keys = pubs};

    memcpy(b.store, store, sizeof(store));
    return b;
}

static int set_up(void **state)
{
    (void)state;
    if (vf_crypto_init(65536, NULL) != VF_OK || vf_identity_new(VF_ROLE_DESK, "desk", &desk, NULL) != VF_OK)
        return -1;
    vf_prekey_store_key_of(desk, store, &key);
    scratch_make(&dir);
    (void)scratch_path(&dir, "prekeys-000001", path, sizeof(path));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    scratch_remove(&dir);
    vf_identity_free(desk);
    vf_crypto_done();
    return 0;
}

static int fresh(void **state)
{
    const struct vf_prekey_batch b = batch_of(1);

    (void)state;
    (void)unlink(path);
    return vf_prekeys_create(path, &key, &b, NULL) == VF_OK ? 0 : -1;
}

static void raw(uint8_t out[FILE_LEN])
{
    VF_BUF b = {0};

    OK(vf_file_read(path, 100000, &b, NULL));
    assert_int_equal(b.len, FILE_LEN);
    memcpy(out, b.data, FILE_LEN);
}

static enum vf_err get(uint32_t number, struct vf_prekey *ret)
{
    VF_PREKEYS p = NULL;

    OK(vf_prekeys_open(path, store, &p, NULL));
    return vf_prekeys_get(p, &key, number, ret, NULL);
}

static bool holds(const uint8_t *file, const void *bytes, size_t len)
{
    return memmem(file, FILE_LEN, bytes, len) != NULL;
}

/* ------------------------------------------------------------------------------------------------------------------- simple */

static void each_opens_what_is_sealed_to_it(void **state)
{
    VF_PREKEYS p = NULL;
    uint8_t file[FILE_LEN];

    (void)state;
    OK(vf_prekeys_open(path, store, &p, NULL));
    assert_int_equal(vf_prekeys_batch(p), 1);
    assert_int_equal(vf_prekeys_count(p), COUNT);
    assert_true(vf_prekeys_last_us(p) == NOW_US + 62 * VF_DAY_US);
    raw(file);
    for (uint32_t i = 0; i < COUNT; i++) {
        struct vf_release_secret secret, again;
        struct vf_prekey_slot slot;
        struct vf_prekey pair, other;
        uint8_t sealed[VF_SEALED_KEY_LEN];
        OK(vf_prekeys_slot(p, i, &slot, NULL));
        assert_int_equal(slot.state, VF_PREKEY_LIVE);
        OK(vf_prekeys_get(p, &key, i, &pair, NULL));
        assert_memory_equal(&pair.pub, &pubs[i], sizeof(pair.pub));
        assert_false(holds(file, &pair.secret, sizeof(pair.secret)));
        vf_random(&secret, sizeof(secret));
        OK(vf_release_secret_seal(&secret, &pubs[i], sealed));
        OK(vf_release_secret_open(&pair, sealed, &again));
        assert_memory_equal(&secret, &again, sizeof(secret));
        OK(vf_prekeys_get(p, &key, (i + 1) % COUNT, &other, NULL));
        assert_int_equal(vf_release_secret_open(&other, sealed, &again), VF_E_DAMAGED);
        for (size_t k = 0; k < sizeof(sealed); k++) {
            sealed[k] ^= 0x10;
            assert_int_equal(vf_release_secret_open(&pair, sealed, &again), VF_E_DAMAGED);
            sealed[k] ^= 0x10;
        }
    }
    struct vf_prekey none;
    assert_int_equal(vf_prekeys_get(p, &key, COUNT, &none, NULL), VF_E_NOT_FOUND);
    assert_int_equal(vf_prekeys_destroy(p, COUNT, VF_PREKEY_ENDED, NOW_US, NULL), VF_E_NOT_FOUND);
}

static void a_bad_point_gets_nothing(void **state)
{
    static const uint8_t bad[][32] = {{0}, {1}, {9, [31] = 0x80}};
    struct vf_release_secret secret = {{7}};
    uint8_t sealed[VF_SEALED_KEY_LEN], zero[VF_SEALED_KEY_LEN] = {0};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct vf_prekey_pub pub;
        memcpy(pub.b, bad[i], sizeof(pub.b));
        assert_false(vf_prekey_pub_good(&pub));
        assert_int_equal(vf_release_secret_seal(&secret, &pub, sealed), VF_E_DAMAGED);
        assert_memory_equal(sealed, zero, sizeof(zero));
    }
}

static void another_identity_or_store_opens_nothing(void **state)
{
    static const uint8_t other_store[VF_PREKEY_STORE_LEN] = "another store id";
    VF_IDENTITY other = NULL;
    VF_PREKEYS p = NULL;
    struct vf_prekey_store_key wrong;
    struct vf_prekey pair, zero = {0};

    (void)state;
    assert_int_equal(vf_prekeys_open(path, other_store, &p, NULL), VF_E_REFUSED);
    OK(vf_prekeys_open(path, store, &p, NULL));
    OK(vf_identity_new(VF_ROLE_DESK, "desk", &other, NULL));
    vf_prekey_store_key_of(other, store, &wrong);
    assert_int_equal(vf_prekeys_get(p, &wrong, 0, &pair, NULL), VF_E_DAMAGED);
    assert_memory_equal(&pair, &zero, sizeof(zero));
    vf_prekey_store_key_of(desk, other_store, &wrong);
    assert_int_equal(vf_prekeys_get(p, &wrong, 0, &pair, NULL), VF_E_DAMAGED);
}

/* ------------------------------------------------------------------------------------------------------------------ destroying */

static void destroyed_is_gone_from_the_bytes(void **state)
{
    VF_PREKEYS p = NULL;
    uint8_t before[FILE_LEN], after[FILE_LEN];
    struct vf_prekey_slot slot;
    struct vf_prekey pair;
    struct vf_why why = {0};
    const size_t at = VF_PREKEYS_HEAD_LEN + 2 * VF_PREKEY_SLOT_LEN;

    (void)state;
    raw(before);
    OK(vf_prekeys_open(path, store, &p, NULL));
    OK(vf_prekeys_destroy(p, 2, VF_PREKEY_REVOKED, NOW_US, NULL));
    raw(after);
    assert_memory_equal(before, after, at);
    assert_memory_equal(before + at + VF_PREKEY_SLOT_LEN, after + at + VF_PREKEY_SLOT_LEN,
                        FILE_LEN - at - VF_PREKEY_SLOT_LEN);
    /* No 8 bytes of the pair, public half included. */
    for (size_t i = at + 20; i < at + 20 + 32 + VF_WRAPPED_LEN - 8; i++)
        assert_false(holds(after, before + i, 8));
    assert_int_equal(vf_prekeys_get(p, &key, 2, &pair, &why), VF_E_EXPIRED);
    assert_non_null(strstr(why.text, "prekey 1/2 was destroyed on "));
    assert_non_null(strstr(why.text, "its grant was revoked"));
    /* Again: the first reason and time stay. */
    OK(vf_prekeys_destroy(p, 2, VF_PREKEY_ENDED, NOW_US + VF_DAY_US, NULL));
    OK(vf_prekeys_slot(p, 2, &slot, NULL));
    assert_int_equal(slot.state, VF_PREKEY_DESTROYED);
    assert_int_equal(slot.end, VF_PREKEY_REVOKED);
    assert_true(slot.end_us == NOW_US);
    OK(vf_prekeys_destroy_all(p, VF_PREKEY_LAST_DAY, NOW_US, NULL));
    for (uint32_t i = 0; i < COUNT; i++)
        assert_int_equal(get(i, &pair), VF_E_EXPIRED);
}

/* -------------------------------------------------------------------------------------------------------------------- damage */

static void every_byte_changed(void **state)
{
    uint8_t file[FILE_LEN];
    struct vf_prekey pair;

    (void)state;
    raw(file);
    for (size_t i = 0; i < FILE_LEN; i++) {
        VF_PREKEYS p = NULL;
        file[i] ^= 0x04;
        OK(vf_file_write(path, file, FILE_LEN, 0600, true, NULL));
        file[i] ^= 0x04;
        if (i < VF_PREKEYS_HEAD_LEN) {
            assert_int_not_equal(vf_prekeys_open(path, store, &p, NULL), VF_OK);
            i += i > 60 && i + 40 < VF_PREKEYS_HEAD_LEN ? 61 : 0; /* zeroes: a few of them do */
            continue;
        }
        uint32_t number = (uint32_t)((i - VF_PREKEYS_HEAD_LEN) / VF_PREKEY_SLOT_LEN);
        OK(vf_prekeys_open(path, store, &p, NULL));
        assert_int_equal(vf_prekeys_get(p, &key, number, &pair, NULL), VF_E_DAMAGED);
        OK(vf_prekeys_get(p, &key, (number + 1) % COUNT, &pair, NULL));
        /* It is destroyed all the same. */
        OK(vf_prekeys_destroy(p, number, VF_PREKEY_ENDED, NOW_US, NULL));
        assert_int_equal(vf_prekeys_get(p, &key, number, &pair, NULL), VF_E_EXPIRED);
        i += 6;
    }
}

static void every_length(void **state)
{
    uint8_t file[FILE_LEN + 1] = {0};
    VF_PREKEYS p = NULL;

    (void)state;
    raw(file);
    for (size_t len = 0; len <= FILE_LEN + 1; len += len < FILE_LEN - 8 ? 7 : 1) {
        OK(vf_file_write(path, file, len, 0600, true, NULL));
        if (len != FILE_LEN)
            assert_int_not_equal(vf_prekeys_open(path, store, &p, NULL), VF_OK);
    }
}

/* A slot put back from a copy of another place is not taken for the one that stood there. */
static void moved_slots(void **state)
{
    uint8_t file[FILE_LEN], second[FILE_LEN];
    const struct vf_prekey_batch b = batch_of(2);
    struct vf_prekey pair;
    uint8_t *slot1 = file + VF_PREKEYS_HEAD_LEN + VF_PREKEY_SLOT_LEN;

    (void)state;
    raw(file);
    memcpy(slot1, file + VF_PREKEYS_HEAD_LEN, VF_PREKEY_SLOT_LEN);
    OK(vf_file_write(path, file, FILE_LEN, 0600, true, NULL));
    assert_int_equal(get(1, &pair), VF_E_DAMAGED);
    (void)unlink(path);
    OK(vf_prekeys_create(path, &key, &b, NULL));
    raw(second);
    memcpy(slot1, second + VF_PREKEYS_HEAD_LEN + VF_PREKEY_SLOT_LEN, VF_PREKEY_SLOT_LEN);
    OK(vf_file_write(path, file, FILE_LEN, 0600, true, NULL));
    assert_int_equal(get(1, &pair), VF_E_DAMAGED);
    /* With the numbers and the checksum made to fit too, the wrapping says no. */
    struct vf_prekey_live live;
    struct vf_prekey_slot slot;
    vf_prekey_slot_decode(second + VF_PREKEYS_HEAD_LEN + VF_PREKEY_SLOT_LEN, 2, 1, &slot, &live);
    assert_int_equal(slot.state, VF_PREKEY_LIVE);
    vf_prekey_slot_live(1, 1, &live, slot1);
    OK(vf_file_write(path, file, FILE_LEN, 0600, true, NULL));
    assert_int_equal(get(1, &pair), VF_E_DAMAGED);
}

/* -------------------------------------------------------------------------------------------------------------------- faults */

static void faults(void **state)
{
    static const enum fault_kind kinds[] = {FAULT_MEMORY, FAULT_WRITE, FAULT_SYNC, FAULT_RENAME};
    const struct vf_prekey_batch b = batch_of(1);

    (void)state;
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        for (unsigned n = 1;; n++) {
            (void)unlink(path);
            faults_arm(kinds[k], n, kinds[k] == FAULT_MEMORY ? ENOMEM : ENOSPC);
            enum vf_err err = vf_prekeys_create(path, &key, &b, NULL);
            if (!faults_disarm()) {
                OK(err);
                break;
            }
            assert_int_equal(err, kinds[k] == FAULT_MEMORY ? VF_E_NOMEM : VF_E_DISK_FULL);
            assert_int_equal(scratch_count(dir.path), access(path, F_OK) == 0);
        }
        for (unsigned n = 1;; n++) {
            VF_PREKEYS p = NULL;
            OK(vf_prekeys_open(path, store, &p, NULL));
            faults_arm(kinds[k], n, EIO);
            enum vf_err err = vf_prekeys_destroy(p, 0, VF_PREKEY_ENDED, NOW_US, NULL);
            if (!faults_disarm()) {
                OK(err);
                break;
            }
            assert_int_not_equal(err, VF_OK);
        }
    }
}

/* Killed at any write, flush or rename: the file is not there or whole, a slot live or destroyed. */
static void killed(void **state)
{
    static const enum fault_kind kinds[] = {FAULT_WRITE, FAULT_SYNC, FAULT_RENAME};
    const struct vf_prekey_batch b = batch_of(1);

    (void)state;
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        for (unsigned n = 1;; n++) {
            int status;
            (void)unlink(path);
            pid_t child = fork();
            assert_true(child >= 0);
            if (child == 0) {
                struct vf_prekeys *p = NULL;
                vf_crypto_done();
                faults_arm_kill(kinds[k], n);
                bool done = vf_crypto_init(65536, NULL) == VF_OK && vf_prekeys_create(path, &key, &b, NULL) == VF_OK &&
                            vf_prekeys_open(path, store, &p, NULL) == VF_OK &&
                            vf_prekeys_destroy(p, 3, VF_PREKEY_ENDED, NOW_US, NULL) == VF_OK;
                _exit(done ? 0 : 1);
            }
            assert_int_equal(waitpid(child, &status, 0), child);
            if (access(path, F_OK) == 0) {
                VF_PREKEYS p = NULL;
                struct vf_prekey_slot slot;
                OK(vf_prekeys_open(path, store, &p, NULL));
                OK(vf_prekeys_slot(p, 3, &slot, NULL));
                assert_int_not_equal(slot.state, VF_PREKEY_DAMAGED);
            }
            if (WIFEXITED(status)) {
                assert_int_equal(WEXITSTATUS(status), 0);
                break;
            }
            assert_int_equal(WTERMSIG(status), SIGKILL);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(each_opens_what_is_sealed_to_it, fresh),
        cmocka_unit_test(a_bad_point_gets_nothing),
        cmocka_unit_test_setup(another_identity_or_store_opens_nothing, fresh),
        cmocka_unit_test_setup(destroyed_is_gone_from_the_bytes, fresh),
        cmocka_unit_test_setup(every_byte_changed, fresh),
        cmocka_unit_test_setup(every_length, fresh),
        cmocka_unit_test_setup(moved_slots, fresh),
        cmocka_unit_test_setup(faults, fresh),
        cmocka_unit_test_setup(killed, fresh),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
