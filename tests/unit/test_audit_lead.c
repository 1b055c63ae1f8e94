/* SPDX-License-Identifier: MIT */
/*
 * Who waits for an entry writes it where nobody else does, and what came meanwhile goes to the thread: nobody is left waiting, whoever writes, and
 * sealing stays the thread's. The disk here is this program's own fdatasync: it tells who called it, and hangs or fails when told to.
 */
#include "../../vaultfs/audit/log.h"
#include "audit_faulty.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "cmocka_std.h"

static const struct vf_log_options batch = {.batch = true};

/* -------------------------------------------------------------------------------------------------------------------- disk */

static pthread_mutex_t disk_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t disk_turn = PTHREAD_COND_INITIALIZER;
static bool hang, fail; /* the next one */
static unsigned hanging, syncs;
static pid_t last;

/* The log's only: what this program links comes before libc. */
int fdatasync(int fildes)
{
    static int (*real)(int);
    bool bad;

    (void)pthread_mutex_lock(&disk_lock);
    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "fdatasync");
    syncs++;
    last = gettid();
    hanging++;
    (void)pthread_cond_broadcast(&disk_turn);
    while (hang)
        (void)pthread_cond_wait(&disk_turn, &disk_lock);
    hanging--;
    bad = fail;
    fail = false;
    (void)pthread_mutex_unlock(&disk_lock);
    if (bad) {
        errno = EIO;
        return -1;
    }
    return real(fildes);
}

static void disk_set(bool hangs, bool fails)
{
    (void)pthread_mutex_lock(&disk_lock);
    hang = hangs;
    fail = fails;
    (void)pthread_cond_broadcast(&disk_turn);
    (void)pthread_mutex_unlock(&disk_lock);
}

static void until_it_hangs(void)
{
    (void)pthread_mutex_lock(&disk_lock);
    while (hanging == 0)
        (void)pthread_cond_wait(&disk_turn, &disk_lock);
    (void)pthread_mutex_unlock(&disk_lock);
}

static pid_t last_writer(unsigned *ret_syncs)
{
    (void)pthread_mutex_lock(&disk_lock);
    pid_t tid = last;
    if (ret_syncs != NULL)
        *ret_syncs = syncs;
    (void)pthread_mutex_unlock(&disk_lock);
    return tid;
}

/* ----------------------------------------------------------------------------------------------------------------- callers */

#define CALLERS 6
struct caller {
    pthread_t thread;
    struct vf_log *log;
    uint64_t n;
    pid_t tid;
    enum vf_err err;
};

static void *commit_one(void *arg)
{
    struct caller *c = arg;

    c->tid = gettid();
    c->err = try_commit(c->log, c->n);
    return NULL;
}

static void *seal_one(void *arg)
{
    struct caller *c = arg;

    c->err = vf_log_seal(c->log, NULL);
    return NULL;
}

static void start(struct caller *c, struct vf_log *log, uint64_t n, void *(*act)(void *))
{
    *c = (struct caller){.log = log, .n = n};
    assert_int_equal(pthread_create(&c->thread, NULL, act, c), 0);
}

static void append(struct vf_log *log, uint64_t n)
{
    struct vf_ref ref;
    struct vf_entry e = audit_entry(n, &ref);
    uint64_t seq = 0;

    OK(vf_log_append(log, &e, &seq, WHY));
}

static uint64_t size_of(struct vf_log *log)
{
    struct vf_log_state s;

    vf_log_state_get(log, &s);
    return s.size;
}

/* The thread sleeps, and nobody has asked for it. */
static void until_quiet(struct vf_log *log)
{
    for (bool quiet = false; !quiet; nap_ms(1)) {
        (void)pthread_mutex_lock(&log->mu);
        quiet = !log->writing && !log->knocked && log->queue.len == 0;
        (void)pthread_mutex_unlock(&log->mu);
    }
}

static void until_queued(struct vf_log *log, unsigned n)
{
    for (bool there = false; !there; nap_ms(1)) {
        (void)pthread_mutex_lock(&log->mu);
        there = log->queued == n;
        (void)pthread_mutex_unlock(&log->mu);
    }
}

/* Not by waiting in the log: nobody is to write it on our behalf. */
static void until_size(struct vf_log *log, uint64_t size)
{
    for (unsigned i = 0; size_of(log) < size; i++) {
        assert_true(i < 10000);
        nap_ms(1);
    }
}

/* ------------------------------------------------------------------------------------------------------------------- tests */

static void test_who_writes(void **state)
{
    unsigned before, after;

    (void)state;
    struct vf_log *log = audit_open(&place, &batch);
    audit_commit(log, 0); /* the first behind a seal: the thread is told, and may be the one */
    until_quiet(log);
    (void)last_writer(&before);
    for (unsigned i = 1; i < 50; i++) {
        audit_commit(log, i);
        assert_int_equal(last_writer(NULL), gettid());
    }
    (void)last_writer(&after);
    assert_int_equal(after - before, 49);
    append(log, 50);
    until_size(log, 51);
    assert_int_not_equal(last_writer(NULL), gettid());
    audit_close(log);
    assert_true(audit_verify(&place, place.log, &v));
    assert_int_equal(v.sealed, v.entries);
}

/* While one writes, others come: one batch, one flush. */
static void test_passed_on(void **state)
{
    struct caller c[CALLERS];
    unsigned before, after;

    (void)state;
    struct vf_log *log = audit_open(&place, &batch);
    audit_commit(log, 0);
    until_quiet(log);
    disk_set(true, false);
    start(&c[0], log, 1, commit_one);
    until_it_hangs();
    (void)last_writer(&before);
    for (unsigned i = 1; i < CALLERS; i++)
        start(&c[i], log, 1 + i, commit_one);
    until_queued(log, CALLERS - 1);
    assert_int_equal(size_of(log), 1);
    disk_set(false, false);
    for (unsigned i = 0; i < CALLERS; i++) {
        (void)pthread_join(c[i].thread, NULL);
        assert_int_equal(c[i].err, VF_OK);
    }
    until_size(log, 1 + CALLERS);
    assert_int_not_equal(last_writer(&after), c[0].tid); /* one batch is all that is asked of a caller */
    assert_int_equal(after - before, 1);
    audit_close(log);
}

/* Nobody waits for it: the thread has to, though another wrote when it was told. */
static void test_left_to_thread(void **state)
{
    struct caller c;

    (void)state;
    struct vf_log *log = audit_open(&place, &batch);
    audit_commit(log, 0);
    until_quiet(log);
    disk_set(true, false);
    start(&c, log, 1, commit_one);
    until_it_hangs();
    append(log, 2);
    disk_set(false, false);
    (void)pthread_join(c.thread, NULL);
    until_size(log, 3);
    pid_t tid = last_writer(NULL);
    assert_true(tid != c.tid && tid != gettid());
    audit_close(log);
}

/* Sealing asked for while a caller writes. */
static void test_seal_meanwhile(void **state)
{
    struct vf_log_state s;
    struct caller c[2];

    (void)state;
    struct vf_log *log = audit_open(&place, &batch);
    audit_commit(log, 0);
    until_quiet(log);
    disk_set(true, false);
    start(&c[0], log, 1, commit_one);
    until_it_hangs();
    start(&c[1], log, 0, seal_one);
    nap_ms(20);
    disk_set(false, false);
    for (unsigned i = 0; i < 2; i++) {
        (void)pthread_join(c[i].thread, NULL);
        assert_int_equal(c[i].err, VF_OK);
    }
    vf_log_state_get(log, &s);
    assert_int_equal(s.sealed, 3);
    audit_close(log);
}

/* Callers alone write, all the time, and it is sealed in time none the less. */
static void test_sealed_in_time(void **state)
{
    struct vf_log_state s;

    (void)state;
    struct vf_log *log = audit_open(&place, NULL);
    for (unsigned i = 0; i < 600; i++) {
        audit_commit(log, i % 256);
        nap_ms(2);
    }
    vf_log_state_get(log, &s);
    assert_true(s.sealed > 1);
    audit_close(log);
    assert_true(audit_verify(&place, place.log, &v));
    assert_int_equal(v.gaps, 0);
}

/* The caller's flush fails: he is told, so are those who came meanwhile, and each is counted. */
static void test_fails(void **state)
{
    struct caller c[CALLERS];
    struct found f;

    (void)state;
    refusals = 0;
    struct vf_log *log = audit_open(&place, &batch);
    audit_commit(log, 0);
    until_quiet(log);
    disk_set(true, true);
    start(&c[0], log, 1, commit_one);
    until_it_hangs();
    for (unsigned i = 1; i < CALLERS; i++)
        start(&c[i], log, 1 + i, commit_one);
    until_queued(log, CALLERS - 1);
    disk_set(false, true);
    for (unsigned i = 0; i < CALLERS; i++) {
        (void)pthread_join(c[i].thread, NULL);
        assert_int_equal(c[i].err, VF_E_DISK_FULL);
    }
    soon(log, 50);
    audit_close(log);
    look(&f);
    assert_true(f.seen[0] && f.seen[50]);
    for (unsigned i = 1; i <= CALLERS; i++)
        assert_false(f.seen[i]);
    assert_int_equal(f.gaps, CALLERS + refusals);
}

/* A limit on the size of files is a disk without room, whoever writes: it ends nobody's process. */
static void test_file_limit(void **state)
{
    struct rlimit old;
    struct found f;

    (void)state;
    refusals = 0;
    struct vf_log *log = audit_open(&place, &batch);
    audit_commit(log, 0);
    until_quiet(log);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    struct rlimit limit = {.rlim_cur = 1, .rlim_max = old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    enum vf_err err = try_commit(log, 1);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(err, VF_E_DISK_FULL);
    soon(log, 2);
    audit_close(log);
    look(&f);
    assert_true(f.seen[0] && !f.seen[1] && f.seen[2]);
    assert_int_equal(f.gaps, 1 + refusals);
}

/* All of it at once: whoever waits is woken, and what nobody waits for is written. */
#define EACH 400
static void *mixed(void *arg)
{
    struct caller *c = arg;
    struct vf_ref ref;

    for (uint64_t i = 0; i < EACH; i++) {
        uint64_t n = c->n * 1000 + i;
        struct vf_entry e = audit_entry(n, &ref);
        uint64_t seq = 0;
        switch ((n * 2654435761u >> 7) % 4) {
        case 0:
        case 1:
            OK(vf_log_commit(c->log, &e, WHY));
            break;
        case 2:
            OK(vf_log_append(c->log, &e, &seq, WHY));
            if (i % 3 == 0)
                nap_ms(0);
            OK(vf_log_wait(c->log, seq, WHY));
            break;
        default:
            OK(vf_log_append(c->log, &e, &seq, WHY));
        }
        if (i % 100 == 50)
            audit_seal(c->log);
    }
    return NULL;
}

static void test_mixed(void **state)
{
    struct caller c[CALLERS];

    (void)state;
    struct vf_log *log = audit_open(&place, &(struct vf_log_options){.segment_max = 100000});
    for (unsigned i = 0; i < CALLERS; i++)
        start(&c[i], log, i, mixed);
    for (unsigned i = 0; i < CALLERS; i++)
        (void)pthread_join(c[i].thread, NULL);
    until_size(log, CALLERS * EACH);
    audit_close(log);
    assert_true(audit_verify(&place, place.log, &v));
    assert_true(v.entries == v.sealed && v.entries == CALLERS * EACH + v.checkpoints && v.gaps == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_who_writes, fresh, away),
        cmocka_unit_test_setup_teardown(test_passed_on, fresh, away),
        cmocka_unit_test_setup_teardown(test_left_to_thread, fresh, away),
        cmocka_unit_test_setup_teardown(test_seal_meanwhile, fresh, away),
        cmocka_unit_test_setup_teardown(test_sealed_in_time, fresh, away),
        cmocka_unit_test_setup_teardown(test_fails, fresh, away),
        cmocka_unit_test_setup_teardown(test_file_limit, fresh, away),
        cmocka_unit_test_setup_teardown(test_mixed, fresh, away),
    };

    (void)alarm(120); /* who is left waiting ends this test */
    return cmocka_run_group_tests(tests, audit_set_up, audit_tear_down);
}
