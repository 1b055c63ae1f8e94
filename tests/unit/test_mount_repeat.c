/* SPDX-License-Identifier: MIT */
/* Opens that are counted: what may join which entry, what is told when, and that no open is lost. */
#include "../../vaultfs/mount/mount.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmocka_std.h"

#define SECOND VF_SECOND_US
#define T0     (1000 * SECOND)

static const struct vf_grant_id grant_a = {.c = "AAAABBBBCCCCDDDD"}, grant_b = {.c = "AAAABBBBCCCCDDDE"};
static const struct vf_hash manifest = {.b = {1, 2, 3}};
static const struct vf_ref ref = {.c = "ZAWSTSJW"};

/* When the process with any number began; -1: /proc does not say. */
static _Atomic int64_t process_began = 10 * SECOND;
static bool began(int32_t pid, int64_t *ret_us)
{
    (void)pid;
    *ret_us = atomic_load(&process_began);
    return *ret_us >= 0;
}
static const struct vf_repeats_process ops = {.started = began};

struct opener {
    struct vf_repeats *r;
    uint64_t ino;
    const struct vf_grant_id *grant;
    struct vf_caller caller;
};

static struct opener opener_of(struct vf_repeats *r)
{
    return (struct opener){.r = r, .ino = UINT64_C(7) << 40 | 9, .grant = &grant_a, .caller = {1000, 42, "/usr/bin/cat"}};
}

static struct vf_entry entry_of(const struct opener *o)
{
    return (struct vf_entry){.event = VF_EVENT_OPEN,
                             .grant = o->grant,
                             .job = "cards",
                             .recipient = "printer",
                             .refs = &ref,
                             .nrefs = 1,
                             .part = VF_PART_IMAGE,
                             .fields = VF_FIELD_BIT(VF_FIELD_PHOTO),
                             .has_bytes = true,
                             .bytes = 8192,
                             .has_caller = true,
                             .uid = o->caller.uid,
                             .pid = o->caller.pid,
                             .exe = o->caller.exe,
                             .result = "ok"};
}

/* One open from beginning to end, as read.c does it. True: it was counted, false: it had an entry. */
static bool open_once(const struct opener *o, int64_t now, bool served, struct vf_repeat *ret_due)
{
    struct vf_repeat_ticket ticket;
    bool joined = vf_repeats_join(o->r, &ops, o->ino, o->grant, &o->caller, now, &ticket, ret_due);
    if (ret_due->count)
        vf_repeats_told(o->r, ret_due, true);
    if (joined) {
        vf_repeats_leave(o->r, &ticket, served);
    } else {
        const struct vf_entry e = entry_of(o);
        vf_repeats_add(o->r, o->ino, &e, &ticket);
    }
    return joined;
}

static bool counted(const struct opener *o, int64_t now)
{
    struct vf_repeat due;
    bool joined = open_once(o, now, true, &due);
    assert_int_equal(due.count, 0);
    return joined;
}

/* What the sweep tells: the sum of counts; *ret_n entries. */
static uint64_t sweep(struct vf_repeats *r, uint64_t slot, bool all, int64_t now, unsigned *ret_n)
{
    struct vf_repeat due;
    size_t at = 0;
    uint64_t sum = 0;
    *ret_n = 0;
    while (vf_repeats_next(r, &at, slot, all, now, &due)) {
        assert_true(due.count > 0);
        sum += due.count;
        ++*ret_n;
        vf_repeats_told(r, &due, true);
    }
    return sum;
}

static uint64_t due_now(struct vf_repeats *r, int64_t now)
{
    unsigned n;
    return sweep(r, VF_REPEAT_ANY_SLOT, false, now, &n);
}

static int setup(void **state)
{
    atomic_store(&process_began, 10 * SECOND);
    *state = vf_repeats_new();
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    vf_repeats_free(*state);
    return 0;
}

static void test_a_second(void **state)
{
    const struct opener o = opener_of(*state);
    struct vf_repeat due;

    assert_false(counted(&o, T0));
    for (int i = 1; i < 1000; i++)
        assert_true(counted(&o, T0 + i * 1000));
    assert_int_equal(due_now(o.r, T0 + SECOND - 1), 0);
    /* The next second begins: the count of the last one is told before its first entry. */
    assert_false(open_once(&o, T0 + SECOND, true, &due));
    assert_int_equal(due.count, 999);
    assert_true(counted(&o, T0 + SECOND + 1));
    assert_int_equal(due_now(o.r, T0 + 2 * SECOND - 1), 0);
    assert_int_equal(due_now(o.r, T0 + 2 * SECOND), 1);
    assert_int_equal(due_now(o.r, T0 + 9 * SECOND), 0);
}

static void test_one_open_tells_nothing(void **state)
{
    const struct opener o = opener_of(*state);
    assert_false(counted(&o, T0));
    assert_int_equal(due_now(o.r, T0 + 5 * SECOND), 0);
    assert_false(counted(&o, T0 + 6 * SECOND));
}

/* What is refused in spite of the entry (a damaged file) is no disclosure. */
static void test_refused_is_not_counted(void **state)
{
    const struct opener o = opener_of(*state);
    struct vf_repeat due;
    assert_false(counted(&o, T0));
    assert_true(open_once(&o, T0 + 1, false, &due));
    assert_true(open_once(&o, T0 + 2, true, &due));
    assert_true(open_once(&o, T0 + 3, false, &due));
    assert_int_equal(due_now(o.r, T0 + SECOND), 1);
}

static void test_somebody_else(void **state)
{
    struct opener o = opener_of(*state);
    assert_false(counted(&o, T0));
    assert_true(counted(&o, T0 + 1));
#define OTHER(what)                        \
    do {                                   \
        struct opener x = o;               \
        what;                              \
        assert_false(counted(&x, T0 + 2)); \
        assert_true(counted(&x, T0 + 3));  \
    } while (0)
    OTHER(x.ino++);
    OTHER(x.ino ^= UINT64_C(1) << 40);
    OTHER(x.grant = &grant_b);
    OTHER(x.caller.uid++);
    OTHER(x.caller.pid++);
    OTHER(memcpy(x.caller.exe, "/usr/bin/dog", 13));
    OTHER(x.caller.exe[0] = '\0');
#undef OTHER
    assert_true(counted(&o, T0 + 4));
    assert_int_equal(due_now(o.r, T0 + SECOND + 2), 2 + 7 - 0);
    assert_int_equal(due_now(o.r, T0 + SECOND + 4), 0);
}

/* The same number and the same program, but begun after the first open: somebody else. */
static void test_reused_number(void **state)
{
    const struct opener o = opener_of(*state);
    struct vf_repeat due;

    assert_false(counted(&o, T0));
    assert_true(counted(&o, T0 + 1));
    assert_true(counted(&o, T0 + 2));
    atomic_store(&process_began, T0 + SECOND / 100);
    assert_false(open_once(&o, T0 + SECOND / 50, true, &due));
    assert_int_equal(due.count, 2);
    assert_true(counted(&o, T0 + SECOND / 50 + 1));
    /* And again, within the hundredth that the kernel rounds down to. */
    atomic_store(&process_began, T0 + SECOND / 50);
    assert_false(open_once(&o, T0 + SECOND / 50 + 2, true, &due));
    assert_int_equal(due.count, 1);
    assert_true(counted(&o, T0 + SECOND / 50 + 3));
    /* Nobody can say who it is: an entry. */
    atomic_store(&process_began, -1);
    assert_false(open_once(&o, T0 + SECOND / 50 + 4, true, &due));
    assert_int_equal(due.count, 1);
    assert_false(counted(&o, T0 + SECOND / 50 + 5));
}

/* Begun in the hundredth of a second of its first open: one entry more, and known by its start from then on. */
static void test_young_process(void **state)
{
    const struct opener o = opener_of(*state);
    atomic_store(&process_began, T0);
    assert_false(counted(&o, T0 + 9999));
    assert_false(counted(&o, T0 + 9999));
    for (int i = 0; i < 10; i++)
        assert_true(counted(&o, T0 + 10000 + i));
    assert_int_equal(due_now(o.r, T0 + 2 * SECOND), 10);
    /* A hundredth older, and it is known at once. */
    assert_false(counted(&o, T0 + 3 * SECOND));
    assert_true(counted(&o, T0 + 3 * SECOND));
}

static void test_unknown_process(void **state)
{
    struct opener o = opener_of(*state);
    o.caller.pid = 0;
    for (int i = 0; i < 3; i++)
        assert_false(counted(&o, T0 + i));
    o.caller.pid = -1;
    assert_false(counted(&o, T0));
    assert_false(counted(&o, T0));
}

/* An open that is under way when the second ends is counted all the same; nobody joins meanwhile. */
static void test_under_way(void **state)
{
    const struct opener o = opener_of(*state);
    struct vf_repeat_ticket ticket;
    struct vf_repeat due;

    assert_false(counted(&o, T0));
    assert_true(vf_repeats_join(o.r, &ops, o.ino, o.grant, &o.caller, T0 + SECOND - 1, &ticket, &due));
    assert_int_equal(due_now(o.r, T0 + 2 * SECOND), 0);
    assert_false(counted(&o, T0 + 2 * SECOND));
    vf_repeats_leave(o.r, &ticket, true);
    assert_int_equal(due_now(o.r, T0 + 2 * SECOND), 1);
    assert_true(counted(&o, T0 + 2 * SECOND + 1));
}

static void test_not_written(void **state)
{
    const struct opener o = opener_of(*state);
    struct vf_repeat due;
    size_t at = 0;

    assert_false(counted(&o, T0));
    assert_true(counted(&o, T0 + 1));
    assert_true(vf_repeats_next(o.r, &at, VF_REPEAT_ANY_SLOT, false, T0 + SECOND, &due));
    /* While it is being written it is nobody's. */
    assert_int_equal(due_now(o.r, T0 + SECOND), 0);
    assert_false(counted(&o, T0 + SECOND));
    vf_repeats_told(o.r, &due, false);
    assert_int_equal(due_now(o.r, T0 + SECOND + 1), 1);
    assert_int_equal(due_now(o.r, T0 + 9 * SECOND), 0);
}

static void test_entry(void **state)
{
    struct opener o = opener_of(*state);
    struct vf_repeat due = {0};
    struct vf_entry e;
    size_t at = 0;

    assert_false(counted(&o, T0));
    assert_true(counted(&o, T0 + 1));
    assert_true(counted(&o, T0 + 2));
    assert_true(vf_repeats_next(o.r, &at, 7, true, T0 + 3, &due));
    vf_repeats_told(o.r, &due, true);
    vf_repeat_entry(&due, &e);
    assert_int_equal(e.event, VF_EVENT_REPEAT);
    assert_memory_equal(e.grant, &grant_a, sizeof(grant_a));
    assert_string_equal(e.job, "cards");
    assert_string_equal(e.recipient, "printer");
    assert_int_equal(e.nrefs, 1);
    assert_memory_equal(e.refs, &ref, sizeof(ref));
    assert_null(e.all);
    assert_int_equal(e.part, VF_PART_IMAGE);
    assert_int_equal(e.fields, VF_FIELD_BIT(VF_FIELD_PHOTO));
    assert_true(e.has_bytes && e.bytes == 8192);
    assert_true(e.has_caller && e.uid == 1000 && e.pid == 42);
    assert_string_equal(e.exe, "/usr/bin/cat");
    assert_true(e.has_count && e.count == 2);
    assert_string_equal(e.result, "ok");

    /* The table: all of the manifest. */
    struct vf_repeat_ticket ticket = {.place = VF_REPEAT_NONE, .since_us = T0, .started_us = -1};
    struct vf_entry all = entry_of(&o);
    all.refs = NULL;
    all.nrefs = 0;
    all.all = &manifest;
    all.has_bytes = false;
    vf_repeats_add(o.r, o.ino, &all, &ticket);
    assert_true(counted(&o, T0 + 1));
    at = 0;
    assert_true(vf_repeats_next(o.r, &at, 7, true, T0 + 3, &due));
    vf_repeat_entry(&due, &e);
    assert_int_equal(e.nrefs, 0);
    assert_memory_equal(e.all, &manifest, sizeof(manifest));
    assert_false(e.has_bytes);
}

static void test_one_slot(void **state)
{
    struct opener o = opener_of(*state), other = o;
    unsigned n;
    other.ino = UINT64_C(8) << 40 | 9;
    assert_false(counted(&o, T0));
    assert_true(counted(&o, T0));
    assert_false(counted(&other, T0));
    assert_true(counted(&other, T0));
    assert_int_equal(sweep(o.r, 9, true, T0 + 1, &n), 0);
    assert_int_equal(sweep(o.r, 8, true, T0 + 1, &n), 1);
    assert_int_equal(sweep(o.r, VF_REPEAT_ANY_SLOT, true, T0 + 1, &n), 1);
    assert_int_equal(n, 1);
}

/* More files at once than there are places: what finds none has entries of its own; entries and counts are all opens. */
static void test_full(void **state)
{
    struct opener o = opener_of(*state);
    const unsigned files = 3 * VF_REPEAT_PLACES, rounds = 4;
    uint64_t written = 0, told = 0;
    struct vf_repeat due;
    unsigned n;

    for (unsigned round = 0; round < rounds; round++) {
        for (unsigned i = 0; i < files; i++) {
            o.ino = UINT64_C(7) << 40 | i;
            written += !open_once(&o, T0 + round * 10 + 1, true, &due);
            assert_int_equal(due.count, 0);
            written += !open_once(&o, T0 + round * 10 + 2, true, &due);
            assert_int_equal(due.count, 0);
        }
    }
    told = sweep(o.r, VF_REPEAT_ANY_SLOT, false, T0 + 3 * SECOND, &n);
    assert_int_equal(written + told, 2 * rounds * files);
    assert_true(n > 0 && n <= VF_REPEAT_PLACES);
    assert_true(written > files && told > 0);
}

/* A crawl of each file once beside a loop: the loop keeps its place, since it has something to tell. */
static void test_crawl_beside_loop(void **state)
{
    struct opener loop = opener_of(*state), crawl = loop;
    unsigned n;
    crawl.caller.pid = 43;
    assert_false(counted(&loop, T0));
    assert_true(counted(&loop, T0));
    for (unsigned i = 0; i < 8 * VF_REPEAT_PLACES; i++) {
        crawl.ino = UINT64_C(7) << 40 | (i + 100);
        assert_false(counted(&crawl, T0 + 1));
    }
    assert_true(counted(&loop, T0 + 2));
    assert_int_equal(sweep(loop.r, VF_REPEAT_ANY_SLOT, false, T0 + 2 * SECOND, &n), 2);
    assert_int_equal(n, 1);
}

#define THREADS 6
#define OPENS   4000
struct crowd {
    struct vf_repeats *r;
    int32_t pid;
    atomic_uint *entries;
    _Atomic uint64_t *told;
    atomic_bool *stop;
};

static void *crowd_open(void *arg)
{
    const struct crowd *c = arg;
    struct opener o = opener_of(c->r);
    o.caller.pid = c->pid;
    for (unsigned i = 0; i < OPENS; i++) {
        struct vf_repeat due;
        o.ino = UINT64_C(7) << 40 | i % 5;
        if (!open_once(&o, T0 + i * 1000, true, &due))
            atomic_fetch_add(c->entries, 1);
        atomic_fetch_add(c->told, due.count);
    }
    return NULL;
}

static void *crowd_sweep(void *arg)
{
    const struct crowd *c = arg;
    unsigned n;
    for (int64_t now = T0; !atomic_load(c->stop); now += 10000)
        atomic_fetch_add(c->told, sweep(c->r, VF_REPEAT_ANY_SLOT, false, now, &n));
    return NULL;
}

/* Threads of two processes and the keeper at once: entries and counts are all opens. */
static void test_threads(void **state)
{
    atomic_uint entries = 0;
    _Atomic uint64_t told = 0;
    atomic_bool stop = false;
    pthread_t thread[THREADS], keeper;
    struct crowd crowd[THREADS];
    unsigned n;

    for (int i = 0; i < THREADS; i++) {
        crowd[i] = (struct crowd){.r = *state, .pid = 50 + i % 2, .entries = &entries, .told = &told, .stop = &stop};
        assert_int_equal(pthread_create(&thread[i], NULL, crowd_open, &crowd[i]), 0);
    }
    assert_int_equal(pthread_create(&keeper, NULL, crowd_sweep, &crowd[0]), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    atomic_store(&stop, true);
    pthread_join(keeper, NULL);
    told += sweep(*state, VF_REPEAT_ANY_SLOT, true, T0, &n);
    assert_int_equal(entries + told, THREADS * OPENS);
    assert_true(entries < THREADS * OPENS);
}

/* --------------------------------------------------------------------------------------------------- who asks, by /proc */

static void test_started(void **state)
{
    int64_t mine, childs, none;
    (void)state;
    assert_true(vf_caller_started(getpid(), &mine));
    assert_true(mine <= vf_clock_boot_us());
    (void)usleep(25000); /* over a hundredth of a second */
    int64_t before = vf_clock_boot_us();
    pid_t child = fork();
    if (child == 0) {
        (void)usleep(2000000);
        _exit(0);
    }
    assert_true(child > 0);
    int64_t after = vf_clock_boot_us();
    assert_true(vf_caller_started(child, &childs));
    assert_true(childs > mine);
    assert_true(childs + VF_SECOND_US / 100 >= before && childs <= after);
    (void)kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_false(vf_caller_started(child, &none));
    assert_false(vf_caller_started(0, &none));
}

static void *as_thread(void *arg)
{
    const struct fuse_ctx ctx = {.uid = 5, .pid = gettid()};
    vf_caller_of(&ctx, arg);
    return NULL;
}

/* A thread is told as its process, whatever the program calls itself. */
static void test_caller(void **state)
{
    struct vf_caller me = {0}, thread = {0}, nobody = {0};
    const struct fuse_ctx ctx = {.uid = 5, .pid = getpid()}, none = {.uid = 6, .pid = 0};
    pthread_t t;
    (void)state;

    vf_caller_of(&ctx, &me);
    assert_int_equal(me.uid, 5);
    assert_int_equal(me.pid, getpid());
    assert_non_null(strstr(me.exe, "test_mount_repeat"));
    assert_int_equal(pthread_create(&t, NULL, as_thread, &thread), 0);
    pthread_join(t, NULL);
    assert_int_equal(thread.pid, getpid());
    if (!getenv("VAULTFS_VALGRIND")) /* which tells its own program for that of a thread */
        assert_string_equal(thread.exe, me.exe);
    vf_caller_of(&none, &nobody);
    assert_int_equal(nobody.pid, 0);
    assert_string_equal(nobody.exe, "unknown");
}

static void *renamed_thread(void *arg)
{
    (void)pthread_setname_np(pthread_self(), "x) R 1\nTgid:\t1");
    return as_thread(arg);
}

static void test_caller_with_a_name(void **state)
{
    struct vf_caller thread = {0};
    char name[16];
    int64_t plain, odd;
    pthread_t t;
    (void)state;

    assert_int_equal(pthread_create(&t, NULL, renamed_thread, &thread), 0);
    pthread_join(t, NULL);
    assert_int_equal(thread.pid, getpid());
    assert_true(vf_caller_started(getpid(), &plain));
    assert_int_equal(pthread_getname_np(pthread_self(), name, sizeof(name)), 0);
    assert_int_equal(pthread_setname_np(pthread_self(), "a) S 1 2 (b) 3"), 0);
    assert_true(vf_caller_started(getpid(), &odd));
    (void)pthread_setname_np(pthread_self(), name);
    assert_int_equal(plain, odd);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_second),
        TEST(test_one_open_tells_nothing),
        TEST(test_refused_is_not_counted),
        TEST(test_somebody_else),
        TEST(test_reused_number),
        TEST(test_young_process),
        TEST(test_unknown_process),
        TEST(test_under_way),
        TEST(test_not_written),
        TEST(test_entry),
        TEST(test_one_slot),
        TEST(test_full),
        TEST(test_crawl_beside_loop),
        TEST(test_threads),
        cmocka_unit_test(test_started),
        cmocka_unit_test(test_caller),
        cmocka_unit_test(test_caller_with_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
