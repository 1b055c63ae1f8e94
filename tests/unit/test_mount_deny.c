/* SPDX-License-Identifier: MIT */
/* The limit on entries of refusals: 10 a minute a user, and the counts that follow add up to exactly what was refused. */
#include "../../vaultfs/mount/deny.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "cmocka_std.h"

#define MINUTE VF_DENY_MINUTE_US
#define T0     (1000 * MINUTE)

static struct vf_refusals one_of(uint32_t uid, int32_t pid, const char *exe, int err)
{
    struct vf_refusals r = {.count = 1, .has_uid = true, .err = err, .has_grant = true};
    r.caller.uid = uid;
    r.caller.pid = pid;
    (void)snprintf(r.caller.exe, sizeof(r.caller.exe), "%s", exe);
    memcpy(r.grant.c, "AAAABBBBCCCCDDDD", sizeof(r.grant.c));
    memcpy(r.job, "cards", 6);
    return r;
}

/* `n` refusals; how many of them may be entries. */
static unsigned refuse(struct vf_deny *d, uint32_t uid, int err, unsigned n, int64_t now)
{
    unsigned entries = 0;
    for (unsigned i = 0; i < n; i++) {
        struct vf_refusals one = one_of(uid, 42, "/usr/bin/cat", err);
        entries += vf_deny_admit(d, &one, true, now);
    }
    return entries;
}

/* The sum of what is told; *ret_n counts; the last one in *ret. */
static uint64_t told(struct vf_deny *d, bool all, int64_t now, unsigned *ret_n, struct vf_refusals *ret)
{
    struct vf_refusals r = {0};
    size_t at = 0;
    uint64_t sum = 0;
    *ret_n = 0;
    while (vf_deny_next(d, &at, all, now, &r)) {
        ++*ret_n;
        sum += r.count;
        if (ret)
            *ret = r;
    }
    return sum;
}

static int setup(void **state)
{
    *state = vf_deny_new();
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    vf_deny_free(*state);
    return 0;
}

static void test_ten_a_minute(void **state)
{
    struct vf_refusals r = {0};
    unsigned n;
    assert_int_equal(refuse(*state, 1000, EKEYEXPIRED, 3000, T0), 10);
    assert_int_equal(told(*state, false, T0 + MINUTE - 1, &n, NULL), 0);
    assert_int_equal(told(*state, false, T0 + MINUTE, &n, &r), 2990);
    assert_int_equal(n, 1);
    assert_true(r.has_uid && r.caller.uid == 1000 && r.caller.pid == 42);
    assert_string_equal(r.caller.exe, "/usr/bin/cat");
    assert_int_equal(r.err, EKEYEXPIRED);
    assert_true(r.has_grant);
    assert_memory_equal(r.grant.c, "AAAABBBBCCCCDDDD", sizeof(r.grant.c));
    assert_string_equal(r.job, "cards");
    /* Told once. */
    assert_int_equal(told(*state, true, T0 + 9 * MINUTE, &n, NULL), 0);
}

/* A loop that never pauses: its minutes are told as they end, and not only when it does. */
static void test_without_pause(void **state)
{
    uint64_t refused = 0, entries = 0, sum = 0;
    unsigned n, counts = 0;
    for (int64_t now = T0; now < T0 + 5 * MINUTE; now += MINUTE / 1000) {
        entries += refuse(*state, 1000, EKEYEXPIRED, 7, now);
        refused += 7;
        if (now % VF_SECOND_US == 0) {
            sum += told(*state, false, now, &n, NULL);
            counts += n;
        }
    }
    assert_int_equal(entries, 50);
    assert_int_equal(counts, 4);
    sum += told(*state, true, T0 + 5 * MINUTE, &n, NULL);
    assert_int_equal(n, 1);
    assert_int_equal(entries + sum, refused);
}

static void test_users_apart(void **state)
{
    unsigned n;
    assert_int_equal(refuse(*state, 1000, EKEYEXPIRED, 100, T0), 10);
    assert_int_equal(refuse(*state, 1001, EKEYEXPIRED, 5, T0), 5);
    assert_int_equal(refuse(*state, 0, EDQUOT, 11, T0), 10);
    assert_int_equal(told(*state, true, T0, &n, NULL), 91);
    assert_int_equal(n, 2);
}

/* Nobody hides damage behind other refusals. */
static void test_damage_apart(void **state)
{
    unsigned n;
    assert_int_equal(refuse(*state, 1000, EKEYEXPIRED, 1000, T0), 10);
    assert_int_equal(refuse(*state, 1000, EIO, 12, T0), 10);
    assert_int_equal(told(*state, true, T0, &n, NULL), 992);
    assert_int_equal(n, 2);
}

static void test_what_differs_is_not_said(void **state)
{
    struct vf_refusals r = {0}, other;
    unsigned n;
    (void)refuse(*state, 1000, EKEYEXPIRED, 12, T0);
    other = one_of(1000, 43, "/usr/bin/cat", EKEYEXPIRED);
    assert_false(vf_deny_admit(*state, &other, true, T0));
    assert_int_equal(told(*state, true, T0, &n, &r), 3);
    assert_int_equal(r.caller.pid, 0);
    assert_string_equal(r.caller.exe, "/usr/bin/cat");
    assert_int_equal(r.err, EKEYEXPIRED);

    (void)refuse(*state, 1000, EKEYEXPIRED, 1, T0);
    other = one_of(1000, 42, "/usr/bin/dog", EDQUOT);
    other.grant.c[0] = 'Z';
    assert_false(vf_deny_admit(*state, &other, true, T0));
    assert_int_equal(told(*state, true, T0, &n, &r), 2);
    assert_int_equal(r.caller.pid, 42);
    assert_string_equal(r.caller.exe, "");
    assert_int_equal(r.err, 0);
    assert_false(r.has_grant);
    assert_true(r.has_uid);
}

/* What the log did not take comes back, and what it cannot take is not tried. */
static void test_log_full(void **state)
{
    struct vf_refusals r = {0}, one = one_of(1000, 42, "/usr/bin/cat", ENOSPC);
    unsigned n;
    size_t at = 0;
    for (int i = 0; i < 5; i++)
        assert_false(vf_deny_admit(*state, &one, false, T0));
    assert_true(vf_deny_admit(*state, &one, true, T0));
    vf_deny_back(*state, &one);
    assert_true(vf_deny_next(*state, &at, true, T0, &r));
    assert_int_equal(r.count, 6);
    vf_deny_back(*state, &r);
    assert_int_equal(refuse(*state, 1000, ENOSPC, 20, T0), 9);
    assert_int_equal(told(*state, true, T0, &n, &r), 17);
    assert_int_equal(r.err, ENOSPC);
}

/* More users than places: the last place counts for all of them, and names none. Places are used again when a user has been quiet. */
static void test_crowd(void **state)
{
    struct vf_refusals r = {0};
    unsigned n, entries = 0;
    for (uint32_t uid = 0; uid < VF_DENY_USERS + 50; uid++)
        entries += refuse(*state, uid, EKEYEXPIRED, 20, T0);
    assert_int_equal(entries, 10 * (VF_DENY_USERS + 1));
    assert_int_equal(told(*state, false, T0 + MINUTE, &n, &r), 20 * (VF_DENY_USERS + 50) - entries);
    assert_int_equal(n, VF_DENY_USERS + 1);
    assert_false(r.has_uid);
    assert_int_equal(refuse(*state, 77777, EKEYEXPIRED, 20, T0 + MINUTE), 10);
    assert_int_equal(told(*state, true, T0 + MINUTE, &n, &r), 10);
    assert_true(r.has_uid && r.caller.uid == 77777);
}

#define THREADS 4
#define EACH    20000
struct crowd {
    struct vf_deny *d;
    uint32_t uid;
    _Atomic uint64_t *sum;
};

static void *crowd_refuse(void *arg)
{
    const struct crowd *c = arg;
    for (int i = 0; i < EACH; i++)
        atomic_fetch_add(c->sum, refuse(c->d, c->uid, EKEYEXPIRED, 1, T0 + i * (MINUTE / 5000)));
    return NULL;
}

static void *crowd_tell(void *arg)
{
    const struct crowd *c = arg;
    struct vf_refusals r = {0};
    for (int i = 0; i < 2000; i++) {
        size_t at = 0;
        while (vf_deny_next(c->d, &at, false, T0 + i * (MINUTE / 500), &r)) {
            if (i % 3 == 0)
                vf_deny_back(c->d, &r);
            else
                atomic_fetch_add(c->sum, r.count);
        }
    }
    return NULL;
}

static void test_threads(void **state)
{
    _Atomic uint64_t sum = 0;
    pthread_t thread[THREADS], teller;
    struct crowd crowd[THREADS];
    unsigned n;
    for (unsigned i = 0; i < THREADS; i++) {
        crowd[i] = (struct crowd){.d = *state, .uid = i % 2, .sum = &sum};
        assert_int_equal(pthread_create(&thread[i], NULL, crowd_refuse, &crowd[i]), 0);
    }
    assert_int_equal(pthread_create(&teller, NULL, crowd_tell, &crowd[0]), 0);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    pthread_join(teller, NULL);
    sum += told(*state, true, T0, &n, NULL);
    assert_int_equal(sum, THREADS * EACH);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_ten_a_minute),
        TEST(test_without_pause),
        TEST(test_users_apart),
        TEST(test_damage_apart),
        TEST(test_what_differs_is_not_said),
        TEST(test_log_full),
        TEST(test_crowd),
        TEST(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
