/* SPDX-License-Identifier: MIT */
/* A disk, or memory, that refuses. No entry that failed is told as durable, none that was durable is lost. */
#include "audit_faulty.h"
#include "faults.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "cmocka_std.h"

static const struct vf_log_options batch = {.batch = true};

/* ------------------------------------------------------------------------------------------------------ every call fails once */

/* Eleven attempts, with pauses after those that failed; which were told as durable? */
static bool attempts(struct vf_log *log, bool told[256])
{
    bool sealed = false;

    for (unsigned i = 0; i < 11; i++) {
        told[i] = try_commit(log, i) == VF_OK;
        if (!told[i])
            nap();
        if (i == 4 || i == 8)
            sealed = vf_log_seal(log, NULL) == VF_OK;
    }
    return sealed;
}

static bool once(enum fault_kind kind, unsigned nth, int err, bool lasting)
{
    bool told[256] = {false};
    struct found f;
    unsigned n = 0;

    audit_place_make(&place);
    struct vf_log *log = audit_open(&place, &batch);
    audit_commit(log, 100);
    if (lasting)
        faults_arm_lasting(kind, nth, err);
    else
        faults_arm(kind, nth, err);
    bool sealed = attempts(log, told);
    bool met = faults_disarm();
    struct vf_log_state s;
    vf_log_state_get(log, &s);
    if (!s.writable)
        nap();
    assert_true(sealed || met);
    for (unsigned i = 0; i < 11; i++)
        n += told[i] ? 1 : 0;
    /* Once is at most one batch: an entry, or none when it hit a seal; lasting is all that follow. */
    if (!lasting)
        assert_true(n >= 10);
    refusals = 0;
    soon(log, 101);
    audit_close(log);
    look(&f);
    for (unsigned i = 0; i < 11; i++)
        assert_int_equal(told[i], f.seen[i]);
    assert_true(f.seen[100] && f.seen[101] && v.sealed == v.entries && v.lost == f.gaps);
    assert_int_equal(f.gaps, 11 - n + refusals);
    assert_int_equal(v.recoveries, 0);
    audit_place_done(&place);
    return met;
}

static void test_writes(void **state)
{
    unsigned n = 1;

    (void)state;
    while (once(FAULT_WRITE, n, ENOSPC, false))
        n++;
    assert_true(n > 12);
    for (unsigned i = 1; i < n; i += n / 3)
        assert_true(once(FAULT_WRITE, i, EDQUOT, true));
}

static void test_syncs(void **state)
{
    unsigned n = 1;

    (void)state;
    while (once(FAULT_SYNC, n, EIO, false))
        n++;
    assert_true(n > 12);
    for (unsigned i = 1; i < n; i += n / 3)
        assert_true(once(FAULT_SYNC, i, EIO, true));
}

/* Short writes are no failures. */
static void test_short(void **state)
{
    struct found f;

    (void)state;
    for (unsigned n = 1; n < 8; n++) {
        audit_place_make(&place);
        struct vf_log *log = audit_open(&place, &batch);
        faults_arm_short(FAULT_WRITE, n, 7);
        for (unsigned i = 0; i < 4; i++)
            audit_commit(log, i);
        audit_seal(log);
        assert_true(faults_disarm());
        audit_close(log);
        look(&f);
        assert_true(f.seen[0] && f.seen[3] && v.gaps == 0);
        audit_place_done(&place);
    }
}

/* Opening fails at any call, and the log is none the worse. */
static void test_open_fails(void **state)
{
    static const enum fault_kind kinds[] = {FAULT_WRITE, FAULT_SYNC, FAULT_READ, FAULT_MEMORY};
    static const int errors[] = {ENOSPC, EIO, EIO, ENOMEM};

    (void)state;
    for (int k = 0; k < 4; k++) {
        audit_place_make(&place);
        struct vf_log *log = audit_open(&place, &batch);
        audit_commit(log, 1);
        audit_close(log);
        bool met = true;
        for (unsigned n = 1; met; n++) {
            enum vf_err err;
            log = NULL;
            faults_arm(kinds[k], n, errors[k]);
            err = vf_log_open(place.log, place.seal, &batch, &log, NULL);
            met = faults_disarm();
            assert_true(met || err == VF_OK);
            if (err == VF_OK)
                audit_close(log);
        }
        assert_true(audit_verify(&place, place.log, &v));
        assert_true(v.entries == 2 || v.recoveries > 0);
        audit_place_done(&place);
    }
}

/* Memory that fails once, for the writer and for those who read. */
static void test_memory(void **state)
{
    struct found f;
    bool met = true;

    (void)state;
    for (unsigned n = 1; met; n++) {
        audit_place_make(&place);
        struct vf_log *log = audit_open(&place, &batch);
        faults_arm(FAULT_MEMORY, n, ENOMEM);
        bool committed = try_commit(log, 1) == VF_OK;
        enum vf_err sealed = vf_log_seal(log, NULL);
        met = faults_disarm();
        assert_true(met || (committed && sealed == VF_OK));
        refusals = 0;
        nap_ms(met ? 120 : 0);
        soon(log, 2);
        audit_close(log);
        look(&f);
        assert_true(f.seen[1] == committed && f.seen[2] && v.sealed == v.entries);
        audit_place_done(&place);
    }
}

static void test_readers_memory(void **state)
{
    static struct vf_verdict verdict;
    char file[400];
    char copy[400];
    uint64_t size = 0;

    (void)state;
    struct vf_log *log = audit_open(&place, &batch);
    audit_commit(log, 1);
    audit_close(log);
    audit_path(file, place.dir.path, "press-1.log");
    audit_path(copy, place.dir.path, "copy");
    bool met = true;
    for (unsigned n = 1; met; n++) {
        int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        faults_arm(FAULT_MEMORY, n, ENOMEM);
        enum vf_err err = vf_handin_write(place.log, fd, &size, NULL);
        met = faults_disarm();
        (void)close(fd);
        assert_int_equal(err, met ? VF_E_NOMEM : VF_OK);
    }
    met = true;
    for (unsigned n = 1; met; n++) {
        struct vf_verify_options opt = {.signers = &device_key, .nsigners = 1};
        faults_arm(FAULT_MEMORY, n, ENOMEM);
        enum vf_err err = vf_log_verify(n % 2 == 0 ? file : place.log, &opt, &verdict, NULL);
        met = faults_disarm();
        assert_int_equal(err, met ? VF_E_NOMEM : VF_OK);
        assert_true(met || verdict.good);
    }
    met = true;
    for (unsigned n = 1; met; n++) {
        faults_arm(FAULT_MEMORY, n, ENOMEM);
        enum vf_err err = vf_handin_store(file, copy, NULL, &verdict, NULL, NULL);
        met = faults_disarm();
        assert_int_equal(err, met ? VF_E_NOMEM : VF_OK);
    }
    assert_true(audit_verify(&place, copy, &v));
}

/* --------------------------------------------------------------------------------------------------------------- tickets */

/* The seq of an entry that was lost is given to another; who asks late is not told that his was written. */
static void test_late_waiter(void **state)
{
    struct vf_log_state s;
    struct vf_ref ref;
    struct vf_entry e = audit_entry(7, &ref);
    struct found f;
    uint64_t durable = 0;
    uint64_t lost[3] = {0};
    uint64_t after = 0;

    (void)state;
    refusals = 0;
    struct vf_log *log = audit_open(&place, &batch);
    OK(vf_log_append(log, &e, &durable, WHY));
    OK(vf_log_wait(log, durable, WHY));
    faults_arm_lasting(FAULT_WRITE, 1, ENOSPC);
    for (unsigned i = 0; i < 3; i++) {
        e = audit_entry(10 + i, &ref);
        while (vf_log_append(log, &e, &lost[i], WHY) != VF_OK) {
            refusals++;
            nap();
        }
        do {
            nap_ms(2);
            vf_log_state_get(log, &s);
        } while (s.writable);
        nap();
    }
    faults_disarm();
    e = audit_entry(20, &ref);
    while (vf_log_append(log, &e, &after, WHY) != VF_OK) {
        refusals++;
        nap();
    }
    OK(vf_log_wait(log, after, WHY));
    vf_log_state_get(log, &s);
    assert_true(s.writable && s.size >= 3); /* the first, the gap, the last; or two gaps */
    for (unsigned i = 0; i < 3; i++) {
        assert_true((lost[i] & ((UINT64_C(1) << 40) - 1)) <= 2); /* given again by now */
        assert_int_equal(vf_log_wait(log, lost[i], WHY), VF_E_DISK_FULL);
        assert_non_null(strstr(audit_why.text, "No space left"));
    }
    OK(vf_log_wait(log, durable, WHY)); /* of an epoch that is over, but it was durable then */
    audit_close(log);
    look(&f);
    assert_true(f.seen[7] && f.seen[20] && !f.seen[10] && !f.seen[11] && !f.seen[12] && f.gaps == 3 + refusals);
}

/* Just after a failure nothing is tried, and what is refused is counted too. */
static void test_refused(void **state)
{
    struct found f;
    struct vf_log_state s;
    unsigned refused = 0;

    (void)state;
    struct vf_log *log = audit_open(&place, &batch);
    audit_commit(log, 1);
    faults_arm_lasting(FAULT_SYNC, 1, EIO);
    for (unsigned i = 0; i < 40; i++)
        refused += try_commit(log, 2) == VF_E_DISK_FULL ? 1 : 0;
    assert_int_equal(refused, 40);
    assert_true(faults_seen(FAULT_SYNC) < 10);
    vf_log_state_get(log, &s);
    assert_true(!s.writable && s.size == 1);
    faults_disarm();
    /* Nobody asks, and the log tells the gap by itself. */
    nap_ms(1500);
    vf_log_state_get(log, &s);
    assert_true(s.writable && s.size == 2);
    audit_close(log);
    look(&f);
    assert_int_equal(f.gaps, 40);
    assert_false(f.seen[2]);
}

/* It ends while the disk refuses: an error, and the next opener finds what was durable. */
static void test_close_fails(void **state)
{
    struct found f;

    (void)state;
    struct vf_log *log = audit_open(&place, &batch);
    audit_commit(log, 1);
    faults_arm_lasting(FAULT_WRITE, 1, ENOSPC);
    assert_int_equal(vf_log_close(log, WHY), VF_E_DISK_FULL);
    faults_disarm();
    log = audit_open(&place, &batch);
    audit_commit(log, 2);
    audit_close(log);
    look(&f);
    assert_true(f.seen[1] && f.seen[2] && v.recoveries == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_writes),
        cmocka_unit_test(test_syncs),
        cmocka_unit_test(test_short),
        cmocka_unit_test(test_open_fails),
        cmocka_unit_test(test_memory),
        cmocka_unit_test_setup_teardown(test_readers_memory, fresh, away),
        cmocka_unit_test_setup_teardown(test_late_waiter, fresh, away),
        cmocka_unit_test_setup_teardown(test_refused, fresh, away),
        cmocka_unit_test_setup_teardown(test_close_fails, fresh, away),
    };

    return cmocka_run_group_tests(tests, audit_set_up, audit_tear_down);
}
