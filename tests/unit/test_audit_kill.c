/* SPDX-License-Identifier: MIT */
/* kill -9 of a writing process at a hundred instants: each entry that was waited for is in the log, and the log goes on. */
#include "audit_test.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cmocka_std.h"

#define KILLS   100
#define THREADS 3

/* Shared with the children: thread t has waited for its entries below done[t]. */
struct shared {
    atomic_ulong done[THREADS];
};
static struct shared *shared;
static struct audit_place place;
static struct vf_log *log_;
static const struct vf_log_options small = {.segment_max = 60000};

static uint64_t number(unsigned t, uint64_t n)
{
    return t * UINT64_C(1000000) + n;
}

static void *writer(void *arg)
{
    unsigned t = *(const unsigned *)arg;

    for (;;) {
        uint64_t n = atomic_load(&shared->done[t]);
        audit_commit(log_, number(t, n));
        atomic_store(&shared->done[t], n + 1);
        /* A reader at work, not a benchmark: the log is read from its beginning after every kill. */
        (void)nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
        if (n % 5 == t)
            audit_seal(log_);
    }
    return NULL;
}

static void child(void)
{
    pthread_t threads[THREADS];
    unsigned numbers[THREADS];

    OK(vf_crypto_init(VF_ARENA_TOOL, WHY));
    log_ = audit_open(&place, &small);
    for (unsigned i = 0; i < THREADS; i++) {
        numbers[i] = i;
        if (pthread_create(&threads[i], NULL, writer, &numbers[i]) != 0)
            abort();
    }
    (void)pthread_join(threads[0], NULL);
}

struct found {
    uint64_t next[THREADS]; /* entries of each thread, in order; one that was not waited for may be there twice */
};

static enum vf_err each(void *user, const struct vf_entry_view *e, bool sealed, struct vf_why *why)
{
    struct found *f = user;

    (void)sealed;
    (void)why;
    for (unsigned t = 0; t < THREADS && e->event == VF_EVENT_OPEN; t++) {
        struct vf_ref ref;
        (void)audit_entry(number(t, f->next[t]), &ref);
        if (memcmp(e->refs.p + 1, ref.c, sizeof(ref.c)) == 0)
            f->next[t]++;
    }
    return VF_OK;
}

static void check(void)
{
    static struct vf_verdict v;
    struct found f = {{0}};
    struct vf_verify_options opt = {.signers = &device_key, .nsigners = 1, .log_id = &place.id, .each = each, .user = &f};

    OK(vf_log_verify(place.log, &opt, &v, WHY));
    if (!v.good) {
        audit_print(&v);
        fail();
    }
    for (unsigned t = 0; t < THREADS; t++)
        if (f.next[t] < atomic_load(&shared->done[t]))
            fail_msg("thread %u: %llu entries found of %llu", t, (unsigned long long)f.next[t],
                     (unsigned long long)atomic_load(&shared->done[t]));
}

static void test_kills(void **state)
{
    uint32_t dice = 88172645u;
    unsigned long before = 0;

    (void)state;
    for (int i = 0; i < KILLS; i++) {
        int status = 0;
        pid_t pid = fork();
        if (pid == 0) {
            child();
            _exit(1);
        }
        dice ^= dice << 13;
        dice ^= dice >> 17;
        dice ^= dice << 5;
        /* From before it is open to some dozens of entries later. */
        struct timespec nap = {.tv_nsec = (long)(dice % 60000) * 1000};
        (void)nanosleep(&nap, NULL);
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        /* As it was left, and by the next round as it was recovered. */
        check();
    }
    log_ = audit_open(&place, &small);
    audit_close(log_);
    check();
    for (unsigned t = 0; t < THREADS; t++)
        before += atomic_load(&shared->done[t]);
    print_message("%d kills, %lu entries\n", KILLS, before);
    assert_true(before > KILLS);
}

static int set_up(void **state)
{
    (void)audit_set_up(state);
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(shared != MAP_FAILED);
    audit_place_make(&place);
    return 0;
}

static int tear_down(void **state)
{
    audit_place_done(&place);
    return audit_tear_down(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_kills)};

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
