/* SPDX-License-Identifier: MIT */
#include "crypto_test.h"

#include "../../vaultfs/crypto/crypto_internal.h"
#include "faults.h"
#include "scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

static const char type[8] = "VFTESTS";
static const char other_type[8] = "VFOTHER";
static struct scratch dir;
static char path[300];

static int set_up(void **state)
{
    scratch_make(&dir);
    (void)scratch_path(&dir, "slots", path, sizeof(path));
    return with_crypto(state);
}

static int tear_down(void **state)
{
    scratch_remove(&dir);
    return without_crypto(state);
}

static int fresh(void **state)
{
    (void)state;
    (void)unlink(path);
    return vf_slots_create(path, type, "first", 5, NULL) == VF_OK ? 0 : -1;
}

static void assert_slot(const struct vf_slot *s, uint64_t seq, const char *payload)
{
    assert_true(s->present);
    assert_true(s->seq == seq);
    assert_int_equal(s->len, strlen(payload));
    assert_memory_equal(s->payload, payload, s->len);
    assert_true(is_zero(s->payload + s->len, sizeof(s->payload) - s->len));
}

static void assert_absent(const struct vf_slot *s)
{
    assert_false(s->present);
    assert_int_equal(s->len, 0);
    assert_true(is_zero(s->payload, sizeof(s->payload)));
}

/* The whole file, exactly 8,192 bytes. */
static void raw_read(uint8_t out[VF_SLOTS_FILE_SIZE])
{
    VF_BUF b = {0};

    OK(vf_file_read(path, 100000, &b, NULL));
    assert_int_equal(b.len, VF_SLOTS_FILE_SIZE);
    memcpy(out, b.data, VF_SLOTS_FILE_SIZE);
}

static void raw_write(const uint8_t *data, size_t len)
{
    OK(vf_file_write(path, data, len, 0600, true, NULL));
}

/* ------------------------------------------------------------------------------------------------------------------- simple */

static void created(void **state)
{
    struct vf_slot s[2];
    struct stat st;
    uint8_t raw[VF_SLOTS_FILE_SIZE];

    (void)state;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    OK(vf_slots_read(path, type, s, NULL));
    assert_slot(&s[0], 1, "first");
    assert_absent(&s[1]);
    raw_read(raw);
    assert_true(is_zero(raw + VF_SLOTS_BLOCK, VF_SLOTS_BLOCK));
    assert_int_equal(vf_slots_create(path, type, "again", 5, NULL), VF_E_EXISTS);
    OK(vf_slots_read(path, type, s, NULL));
    assert_slot(&s[0], 1, "first");
    assert_int_equal(scratch_count(dir.path), 1);
}

static void the_bytes_of_the_second_implementation(void **state)
{
    uint8_t raw[VF_SLOTS_FILE_SIZE];
    size_t len = 0;
    VF_FREE uint8_t *want = from_hex(V_SLOT, &len);
    struct vf_slot s[2];

    (void)state;
    OK(vf_slots_write(path, type, 1, 7, "hello", 5, NULL));
    raw_read(raw);
    assert_memory_equal(raw + VF_SLOTS_BLOCK, want, len);
    assert_true(is_zero(raw + VF_SLOTS_BLOCK + len, VF_SLOTS_BLOCK - len));
    memset(raw, 0, sizeof(raw));
    memcpy(raw, want, len);
    raw_write(raw, sizeof(raw));
    OK(vf_slots_read(path, type, s, NULL));
    assert_slot(&s[0], 7, "hello");
    assert_absent(&s[1]);
}

static void nothing_of_the_old_content_stays(void **state)
{
    uint8_t raw[VF_SLOTS_FILE_SIZE];
    char secret[VF_SLOT_PAYLOAD];
    struct vf_slot s[2];

    (void)state;
    memset(secret, 'S', sizeof(secret));
    OK(vf_slots_write(path, type, 1, 2, secret, sizeof(secret), NULL));
    OK(vf_slots_read(path, type, s, NULL));
    assert_int_equal(s[1].len, sizeof(secret));
    OK(vf_slots_write(path, type, 1, 3, "short", 5, NULL));
    raw_read(raw);
    assert_null(memmem(raw, sizeof(raw), "SSSS", 4));
    OK(vf_slots_write(path, type, 0, 0, NULL, 0, NULL));
    raw_read(raw);
    assert_true(is_zero(raw, VF_SLOTS_BLOCK));
    OK(vf_slots_read(path, type, s, NULL));
    assert_absent(&s[0]);
    assert_slot(&s[1], 3, "short");
    OK(vf_slots_write(path, type, 1, 0, NULL, 0, NULL));
    assert_int_equal(vf_slots_read(path, type, s, NULL), VF_E_DAMAGED);
    assert_absent(&s[0]);
    assert_absent(&s[1]);
}

static void payloads_of_any_length(void **state)
{
    uint8_t data[VF_SLOT_PAYLOAD + 1];
    VF_SECRET struct vf_slot *s = vf_secret_new(2 * sizeof(*s));

    (void)state;
    assert_non_null(s);
    counting(data, 3, sizeof(data));
    for (size_t len = 0; len <= VF_SLOT_PAYLOAD; len += len < 70 ? 1 : 1001) {
        unsigned which = (unsigned)(len & 1);
        OK(vf_slots_write(path, type, which, UINT64_MAX - len, data, len, NULL));
        OK(vf_slots_read(path, type, s, NULL));
        assert_true(s[which].present);
        assert_true(s[which].seq == UINT64_MAX - len);
        assert_int_equal(s[which].len, len);
        assert_memory_equal(s[which].payload, data, len);
    }
    char other[310];
    assert_int_equal(vf_slots_write(path, type, 0, 1, data, VF_SLOT_PAYLOAD + 1, NULL), VF_E_LIMIT);
    assert_int_equal(vf_slots_write(path, type, 2, 1, data, 1, NULL), VF_E_LIMIT);
    assert_int_equal(
        vf_slots_create(scratch_path(&dir, "other", other, sizeof(other)), type, data, VF_SLOT_PAYLOAD + 1, NULL),
        VF_E_LIMIT);
}

static void files_of_another_kind(void **state)
{
    uint8_t raw[VF_SLOTS_FILE_SIZE + 1] = {0};
    struct vf_slot s[2];
    struct vf_why why = {0};
    char name[300];

    (void)state;
    assert_int_equal(vf_slots_read(path, other_type, s, &why), VF_E_VERSION);
    assert_non_null(strstr(why.text, path));
    assert_absent(&s[0]);
    raw_read(raw);
    raw_write(raw, VF_SLOTS_FILE_SIZE - 1);
    assert_int_equal(vf_slots_read(path, type, s, NULL), VF_E_DAMAGED);
    assert_int_equal(vf_slots_write(path, type, 0, 1, "x", 1, NULL), VF_E_DAMAGED);
    raw_write(raw, VF_SLOTS_FILE_SIZE + 1);
    assert_int_equal(vf_slots_read(path, type, s, NULL), VF_E_DAMAGED);
    assert_int_equal(vf_slots_write(path, type, 0, 1, "x", 1, NULL), VF_E_DAMAGED);
    raw_write(raw, 0);
    assert_int_equal(vf_slots_read(path, type, s, NULL), VF_E_DAMAGED);
    /* A pipe neither hangs nor is written to. */
    scratch_path(&dir, "pipe", name, sizeof(name));
    assert_int_equal(mkfifo(name, 0600), 0);
    assert_int_equal(vf_slots_read(name, type, s, NULL), VF_E_INPUT);
    assert_int_equal(vf_slots_write(name, type, 0, 1, "x", 1, NULL), VF_E_DAMAGED);
    assert_int_equal(unlink(name), 0);
    assert_int_equal(vf_slots_read(name, type, s, NULL), VF_E_NOT_FOUND);
    assert_int_equal(vf_slots_write(name, type, 0, 1, "x", 1, NULL), VF_E_NOT_FOUND);
    assert_int_equal(vf_slots_read(dir.path, type, s, NULL), VF_E_INPUT);
}

/* A version that is not ours, with a right checksum. */
static void another_version(void **state)
{
    uint8_t raw[VF_SLOTS_FILE_SIZE];
    struct vf_slot s[2];
    struct vf_hash sum;

    (void)state;
    raw_read(raw);
    raw[11] = 2;
    vf_sha256(raw, 22 + 5, &sum);
    memcpy(raw + 22 + 5, sum.b, 32);
    raw_write(raw, sizeof(raw));
    assert_int_equal(vf_slots_read(path, type, s, NULL), VF_E_VERSION);
    /* Beside a good one it is as if it were not there. */
    OK(vf_slots_write(path, type, 1, 9, "good", 4, NULL));
    OK(vf_slots_read(path, type, s, NULL));
    assert_absent(&s[0]);
    assert_slot(&s[1], 9, "good");
}

/* -------------------------------------------------------------------------------------------------------- damage and tearing */

static void every_byte_counts(void **state)
{
    uint8_t raw[VF_SLOTS_FILE_SIZE];
    struct vf_slot s;

    (void)state;
    raw_read(raw);
    for (size_t i = 0; i < VF_SLOTS_BLOCK; i++)
        for (unsigned bit = 0; bit < 8; bit++) {
            raw[i] ^= (uint8_t)(1u << bit);
            assert_int_equal(vf_slots_decode(raw, type, &s), VF_SLOT_EMPTY);
            assert_absent(&s);
            raw[i] ^= (uint8_t)(1u << bit);
        }
    assert_int_equal(vf_slots_decode(raw, type, &s), VF_SLOT_PRESENT);
    memset(raw, 0, VF_SLOTS_BLOCK);
    assert_int_equal(vf_slots_decode(raw, type, &s), VF_SLOT_EMPTY);
    memset(raw, 0xff, VF_SLOTS_BLOCK);
    assert_int_equal(vf_slots_decode(raw, type, &s), VF_SLOT_EMPTY);
}

static void decode_old_new_or_nothing(const uint8_t *mixed, const uint8_t *old, const uint8_t *new)
{
    struct vf_slot s;
    enum vf_slot_state got = vf_slots_decode(mixed, type, &s);

    if (got == VF_SLOT_EMPTY)
        return;
    assert_int_equal(got, VF_SLOT_PRESENT);
    assert_true((s.seq == 1 && memcmp(mixed, old, VF_SLOTS_BLOCK) == 0) ||
                (s.seq == 2 && memcmp(mixed, new, VF_SLOTS_BLOCK) == 0));
}

/* A write of one block that stops after any byte, or of which any of the eight sectors arrive. */
static void a_torn_block_is_old_new_or_nothing(void **state)
{
    static const size_t lens[][2] = {{32, 32}, {3000, 20}, {20, 3000}, {3000, 3000}, {0, 3072}};
    uint8_t data[2][VF_SLOT_PAYLOAD];
    uint8_t old[VF_SLOTS_BLOCK];
    uint8_t new[VF_SLOTS_BLOCK];
    uint8_t mixed[VF_SLOTS_BLOCK];

    (void)state;
    counting(data[0], 1, sizeof(data[0]));
    counting(data[1], 77, sizeof(data[1]));
    for (size_t k = 0; k < sizeof(lens) / sizeof(lens[0]); k++) {
        vf_slots_encode(type, 1, data[0], lens[k][0], old);
        vf_slots_encode(type, 2, data[1], lens[k][1], new);
        for (size_t cut = 0; cut <= VF_SLOTS_BLOCK; cut += cut < 3300 ? 1 : 100) {
            memcpy(mixed, old, sizeof(mixed));
            memcpy(mixed, new, cut);
            decode_old_new_or_nothing(mixed, old, new);
        }
        for (unsigned sectors = 0; sectors < 256; sectors++) {
            for (unsigned i = 0; i < 8; i++)
                memcpy(mixed + 512 * i, ((sectors >> i & 1) != 0 ? new : old) + 512 * i, 512);
            decode_old_new_or_nothing(mixed, old, new);
        }
    }
}

/* In the file, through the functions: whatever becomes of the slot that is written, the other one stays. */
static void the_other_slot_survives_any_torn_write(void **state)
{
    uint8_t before[VF_SLOTS_FILE_SIZE];
    uint8_t after[VF_SLOTS_FILE_SIZE];
    uint8_t torn[VF_SLOTS_FILE_SIZE];
    struct vf_slot s[2];

    (void)state;
    OK(vf_slots_write(path, type, 1, 2, "the second", 10, NULL));
    raw_read(before);
    OK(vf_slots_write(path, type, 0, 3, "the third content", 17, NULL));
    raw_read(after);
    for (size_t cut = 0; cut <= VF_SLOTS_BLOCK; cut += cut < 100 ? 1 : 333) {
        memcpy(torn, before, sizeof(torn));
        memcpy(torn, after, cut);
        raw_write(torn, sizeof(torn));
        OK(vf_slots_read(path, type, s, NULL));
        assert_slot(&s[1], 2, "the second");
        if (s[0].present && s[0].seq == 3)
            assert_slot(&s[0], 3, "the third content");
        else if (s[0].present)
            assert_slot(&s[0], 1, "first");
    }
}

/* ------------------------------------------------------------------------------------------------------------------- faults */

static void creating_fails_cleanly(void **state)
{
    static const enum fault_kind kinds[] = {FAULT_WRITE, FAULT_SYNC, FAULT_RENAME, FAULT_MEMORY};

    (void)state;
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        (void)unlink(path);
        for (unsigned n = 1;; n++) {
            faults_arm(kinds[k], n, kinds[k] == FAULT_MEMORY ? ENOMEM : EIO);
            enum vf_err err = vf_slots_create(path, type, "first", 5, NULL);
            if (!faults_disarm()) {
                assert_int_equal(err, VF_OK);
                assert_true(n > 1);
                break;
            }
            if (err == VF_OK) { /* renaming has a second way */
                assert_int_equal(unlink(path), 0);
                continue;
            }
            assert_int_equal(err, kinds[k] == FAULT_MEMORY ? VF_E_NOMEM : VF_E_SYSTEM);
            /* Nothing at all is there, unless only the folder's sync failed: then it is whole. */
            unsigned left = scratch_count(dir.path);
            if (left != 0) {
                struct vf_slot s[2];
                assert_int_equal(left, 1);
                OK(vf_slots_read(path, type, s, NULL));
                assert_int_equal(unlink(path), 0);
            }
        }
    }
}

static void writing_and_reading_fail_cleanly(void **state)
{
    static const enum fault_kind kinds[] = {FAULT_WRITE, FAULT_SYNC};
    struct vf_slot s[2];

    (void)state;
    OK(vf_slots_write(path, type, 1, 2, "the second", 10, NULL));
    for (size_t k = 0; k < 2; k++)
        for (unsigned n = 1;; n++) {
            faults_arm(kinds[k], n, EIO);
            enum vf_err err = vf_slots_write(path, type, 0, 3, "the third", 9, NULL);
            if (!faults_disarm()) {
                assert_int_equal(err, VF_OK);
                assert_true(n > 1);
                break;
            }
            assert_int_equal(err, VF_E_SYSTEM);
            OK(vf_slots_read(path, type, s, NULL));
            assert_slot(&s[1], 2, "the second");
        }
    /* Short transfers are gone on with. */
    faults_arm_short(FAULT_WRITE, 1, 100);
    OK(vf_slots_write(path, type, 0, 4, "the fourth", 10, NULL));
    assert_true(faults_disarm());
    faults_arm_short(FAULT_READ, 1, 1);
    OK(vf_slots_read(path, type, s, NULL));
    assert_true(faults_disarm());
    assert_slot(&s[0], 4, "the fourth");
    for (unsigned n = 1;; n++) {
        faults_arm(FAULT_READ, n, EIO);
        enum vf_err err = vf_slots_read(path, type, s, NULL);
        if (!faults_disarm()) {
            assert_int_equal(err, VF_OK);
            assert_true(n > 2);
            break;
        }
        assert_int_equal(err, VF_E_SYSTEM);
        assert_absent(&s[0]);
        assert_absent(&s[1]);
    }
}

static void write_and_die(void *arg)
{
    faults_arm_kill(*(enum fault_kind *)arg, 1);
    (void)!vf_slots_write(path, type, 0, 3, "the third", 9, NULL);
}

static void killed_while_writing(void **state)
{
    enum fault_kind kinds[] = {FAULT_WRITE, FAULT_SYNC};
    struct vf_slot s[2];

    (void)state;
    OK(vf_slots_write(path, type, 1, 2, "the second", 10, NULL));
    for (size_t k = 0; k < 2; k++) {
        int status = in_child(write_and_die, &kinds[k]);
        assert_true(WIFSIGNALED(status));
        OK(vf_slots_read(path, type, s, NULL));
        assert_slot(&s[1], 2, "the second");
        assert_slot(&s[0], k == 0 ? 1 : 3, k == 0 ? "first" : "the third");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(created, fresh),
        cmocka_unit_test_setup(the_bytes_of_the_second_implementation, fresh),
        cmocka_unit_test_setup(nothing_of_the_old_content_stays, fresh),
        cmocka_unit_test_setup(payloads_of_any_length, fresh),
        cmocka_unit_test_setup(files_of_another_kind, fresh),
        cmocka_unit_test_setup(another_version, fresh),
        cmocka_unit_test_setup(every_byte_counts, fresh),
        cmocka_unit_test(a_torn_block_is_old_new_or_nothing),
        cmocka_unit_test_setup(the_other_slot_survives_any_torn_write, fresh),
        cmocka_unit_test(creating_fails_cleanly),
        cmocka_unit_test_setup(writing_and_reading_fail_cleanly, fresh),
        cmocka_unit_test_setup(killed_while_writing, fresh),
    };

    return cmocka_run_group_tests_name("crypto slots", tests, set_up, tear_down);
}
