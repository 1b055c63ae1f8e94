/* SPDX-License-Identifier: MIT */
/*
 * A writer is killed, a disk refuses, memory is short: what is found afterwards is the state before or after, never a mixture,
 * and what was reported done is there.
 *
 * LMDB is a shared library, so its writes are caught by functions of the same name in this program.
 */
#include "../../vaultfs/store/env.h"
#include "faults.h"
#include "test_store_common.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ----------------------------------------------------------------------------------------------------- LMDB's calls, caught */

enum call { CALL_WRITE, CALL_SYNC };

static struct {
    _Atomic int armed;
    enum call call;
    unsigned nth;
    int err; /* 0: write one byte less */
    _Atomic unsigned seen;
    _Atomic int met;
} trap;

static void trap_arm(enum call call, unsigned nth, int err)
{
    trap.call = call;
    trap.nth = nth;
    trap.err = err;
    trap.seen = 0;
    trap.met = 0;
    trap.armed = 1;
}

static bool trap_disarm(void)
{
    trap.armed = 0;
    return trap.met != 0;
}

static bool trapped(enum call call)
{
    if (!trap.armed || call != trap.call || ++trap.seen != trap.nth)
        return false;
    trap.met = 1;
    errno = trap.err;
    return true;
}

/* By the names that LMDB calls, whatever the headers make of them for 64-bit offsets. */
VF_PUBLIC ssize_t caught_pwrite(int fd, const void *data, size_t len, off_t at) __asm__("pwrite");
VF_PUBLIC ssize_t caught_writev(int fd, const struct iovec *iov, int n) __asm__("writev");
VF_PUBLIC int caught_fdatasync(int fd) __asm__("fdatasync");

ssize_t caught_pwrite(int fd, const void *data, size_t len, off_t at)
{
    if (trapped(CALL_WRITE)) {
        if (errno != 0)
            return -1;
        len--;
    }
    return syscall(SYS_pwrite64, fd, data, len, at);
}

ssize_t caught_writev(int fd, const struct iovec *iov, int n)
{
    if (trapped(CALL_WRITE)) {
        if (errno != 0)
            return -1;
        n--;
    }
    return syscall(SYS_writev, fd, iov, n);
}

int caught_fdatasync(int fd)
{
    if (trapped(CALL_SYNC))
        return -1;
    return (int)syscall(SYS_fdatasync, fd);
}

/* ------------------------------------------------------------------------------------------------------------ kill and reopen */

static uint64_t total_of(struct vf_store *s)
{
    VF_TXN txn = NULL;
    uint64_t total = 0;

    assert_ok(vf_txn_read(s, &txn, &why));
    assert_true(totals_agree(txn, &total));
    return total;
}

/* Writes until it is killed; after each update it says how many are done. */
_Noreturn static void write_for_ever(const char *dir, unsigned id, int fd)
{
    struct counter c = {.id = id};
    struct vf_store *s = NULL;

    (void)alarm(60);
    (void)vf_env_map_min((size_t)256 << 10);
    if (store_open_at(dir, VF_STORE_WRITE, &s) != VF_OK)
        _exit(1);
    for (;; c.n++) {
        c.len = 100 + 700 * (c.n % 13);
        if (vf_store_update(s, count_body, &c, NULL) != VF_OK)
            _exit(2);
        uint32_t done = c.n + 1;
        if (vf_fd_write(fd, &done, sizeof(done), "pipe", NULL) != VF_OK)
            _exit(3);
    }
}

/* The last number in the pipe, whose other end is dead. */
static uint32_t drain(int fd)
{
    uint32_t last = 0;
    uint32_t done = 0;

    while (vf_fd_read(fd, &done, sizeof(done), "pipe", NULL) == VF_OK)
        last = done;
    return last;
}

static void test_kill(void **state)
{
    const struct place *p = *state;
    uint64_t before = 0;
    uint64_t rng = 3;
    uint64_t killed_at_work = 0;

    (void)vf_env_map_min((size_t)256 << 10);
    vf_store_close(store_must_open(p->dir.path, VF_STORE_WRITE));
    for (unsigned round = 0; round < 50; round++) {
        /* In every second round this process has the store open as well, and inherits a dead writer's lock. */
        VF_STORE ours = round % 2 == 0 ? store_must_open(p->dir.path, VF_STORE_WRITE) : NULL;
        int ends[2];
        int status = 0;
        assert_true((ours != NULL) == (round % 2 == 0));
        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        pid_t pid = fork();
        if (pid == 0)
            write_for_ever(p->dir.path, round, ends[1]);
        (void)close(ends[1]);
        struct timespec ts = {.tv_nsec = (long)(mix(&rng) % 30000000)};
        (void)nanosleep(&ts, NULL);
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        uint32_t done = drain(ends[0]);
        (void)close(ends[0]);
        VF_STORE s = store_must_open(p->dir.path, VF_STORE_WRITE);
        uint64_t now = total_of(s);
        if (now != before + done && now != before + done + 1)
            fail_msg("round %u: %llu, then %u were done, now %llu", round, (unsigned long long)before, done,
                     (unsigned long long)now);
        killed_at_work += done > 0;
        /*
         * And it goes on. Killed between the write of the meta page and the word in the lock file that tells of it, the last update
         * shows when the next writer mends the lock.
         */
        struct counter c = {.id = 1000 + round, .len = 5000};
        assert_ok(vf_store_update(s, count_body, &c, &why));
        uint64_t after = total_of(s);
        assert_true(after == now + 1 || (after == now + 2 && now == before + done));
        before = after;
        assert_ok(store_walk_at(p->dir.path));
    }
    assert_true(killed_at_work > 10);
}

/* Killed while the store is made: nothing, or a store. */
static void test_kill_at_creation(void **state)
{
    const struct place *p = *state;
    uint64_t rng = 4;

    for (unsigned round = 0; round < 30; round++) {
        char name[16];
        char dir[300];
        int status = 0;
        (void)snprintf(name, sizeof(name), "%u", round);
        assert_ok(vf_dir_make(scratch_path(&p->dir, name, dir, sizeof(dir)), &why));
        pid_t pid = fork();
        if (pid == 0) {
            struct vf_store *s = NULL;
            trap_arm(CALL_WRITE, 1000, 0);
            _exit(store_open_at(dir, VF_STORE_WRITE, &s) == VF_OK ? 0 : 1);
        }
        struct timespec ts = {.tv_nsec = (long)(mix(&rng) % 2500000)};
        (void)nanosleep(&ts, NULL);
        (void)kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        struct vf_store *s = NULL;
        enum vf_err err = store_open_at(dir, VF_STORE_READ, &s);
        assert_true(err == VF_OK || err == VF_E_NOT_FOUND);
        vf_store_close(s);
        s = store_must_open(dir, VF_STORE_WRITE);
        assert_int_equal(total_of(s), 0);
        vf_store_close(s);
    }
}

/* ------------------------------------------------------------------------------------------------------- a disk that refuses */

/* The store goes on after an error; or, LMDB being in doubt, wants to be opened again. True in the second case. */
static bool goes_on(const struct place *p, struct vf_store **s, uint64_t before, struct counter *c)
{
    enum vf_err err = vf_store_update(*s, count_body, c, &why);

    if (err == VF_OK)
        return false;
    assert_int_equal(err, VF_E_DAMAGED);
    assert_non_null(strstr(why.text, "close and open again"));
    vf_store_close(*s);
    *s = store_must_open(p->dir.path, VF_STORE_WRITE);
    assert_int_equal(total_of(*s), before);
    assert_ok(vf_store_update(*s, count_body, c, &why));
    return true;
}

/* How many calls an update makes varies: so many updates, and a call now early, now late in them. */
static void refuse_each(const struct place *p, enum call call, int err, enum vf_err expect)
{
    struct vf_store *s = store_must_open(p->dir.path, VF_STORE_WRITE);
    uint64_t before = total_of(s);
    unsigned reopened = 0;
    unsigned refused = 0;

    for (unsigned i = 0; i < 30; i++) {
        struct counter c = {.id = (unsigned)call * 100 + (unsigned)err, .n = 2 * i, .len = 150000};
        trap_arm(call, 1 + i % 6, err);
        enum vf_err got = vf_store_update(s, count_body, &c, &why);
        if (!trap_disarm()) {
            assert_int_equal(got, VF_OK);
            before++;
            continue;
        }
        refused++;
        assert_int_equal(got, expect);
        assert_int_equal(strncmp(why.text, WHAT ": writing to the disk: ", strlen(WHAT) + 23), 0);
        c.n++;
        reopened += goes_on(p, &s, before, &c);
        before++;
        assert_int_equal(total_of(s), before);
        assert_ok(store_walk_at(p->dir.path));
    }
    vf_store_close(s);
    assert_true(refused >= 5);
    /* Only the write of the meta page, the last, leaves LMDB in doubt. */
    assert_true(call == CALL_WRITE ? reopened > 0 && reopened < refused : reopened == 0);
}

static void test_refused_writes(void **state)
{
    const struct place *p = *state;

    refuse_each(p, CALL_WRITE, ENOSPC, VF_E_DISK_FULL);
    refuse_each(p, CALL_WRITE, EDQUOT, VF_E_DISK_FULL);
    refuse_each(p, CALL_WRITE, EIO, VF_E_SYSTEM);
    refuse_each(p, CALL_WRITE, 0, VF_E_SYSTEM);
    refuse_each(p, CALL_SYNC, EIO, VF_E_SYSTEM);
    refuse_each(p, CALL_SYNC, ENOSPC, VF_E_DISK_FULL);
}

/* The first writes ever: of the meta pages, and of the tables. A write that is cut short leaves half a file. */
static void refuse_creation(const struct place *p, unsigned n, int err, bool *ret_met)
{
    struct vf_store *s = NULL;
    char name[16];
    char dir[300];

    (void)snprintf(name, sizeof(name), "%u-%d", n, err);
    assert_ok(vf_dir_make(scratch_path(&p->dir, name, dir, sizeof(dir)), &why));
    trap_arm(CALL_WRITE, n, err);
    enum vf_err got = store_open_at(dir, VF_STORE_WRITE, &s);
    *ret_met = trap_disarm();
    if (!*ret_met) {
        assert_int_equal(got, VF_OK);
    } else {
        assert_int_equal(got, n == 1 || err != 0 ? VF_E_DISK_FULL : VF_E_SYSTEM);
        assert_null(s);
        assert_int_equal(store_open_at(dir, VF_STORE_READ, &s), VF_E_NOT_FOUND);
        assert_int_equal(store_walk_at(dir), VF_E_NOT_FOUND);
        s = store_must_open(dir, VF_STORE_WRITE);
    }
    assert_int_equal(total_of(s), 0);
    vf_store_close(s);
    assert_ok(store_walk_at(dir));
}

static void test_refused_creation(void **state)
{
    const struct place *p = *state;

    for (unsigned i = 0; i < 2; i++) {
        bool met = true;
        unsigned n = 0;
        while (met)
            refuse_creation(p, ++n, i == 0 ? ENOSPC : 0, &met);
        assert_true(n > 2);
    }
}

/* --------------------------------------------------------------------------------------------------------- short of memory */

static enum vf_err round_trip(const char *dir)
{
    VF_STORE s = NULL;
    VF_STORE again = NULL;
    VF_TXN txn = NULL;
    struct counter c = {.id = 1, .len = 100};

    VF_TRY(store_open_at(dir, VF_STORE_WRITE, &s));
    VF_TRY(store_open_at(dir, VF_STORE_READ, &again));
    VF_TRY(vf_store_update(s, count_body, &c, &why));
    VF_TRY(vf_txn_read(again, &txn, &why));
    return VF_OK;
}

static void test_short_of_memory(void **state)
{
    const struct place *p = *state;

    assert_ok(round_trip(p->dir.path));
    for (unsigned n = 1;; n++) {
        faults_arm(FAULT_MEMORY, n, ENOMEM);
        enum vf_err err = round_trip(p->dir.path);
        if (!faults_disarm()) {
            assert_int_equal(err, VF_OK);
            assert_true(n > 10);
            break;
        }
        assert_int_equal(err, VF_E_NOMEM);
        assert_int_equal(why.err, VF_E_NOMEM);
    }
    for (unsigned n = 1;; n++) {
        faults_arm(FAULT_MEMORY, n, ENOMEM);
        enum vf_err err = store_walk_at(p->dir.path);
        (void)faults_disarm();
        if (err == VF_OK)
            break;
        assert_int_equal(err, VF_E_NOMEM);
        assert_true(n < 20);
    }
}

/* The disk under the file cannot be read: that is damage, wherever it is met. */
static void test_unreadable(void **state)
{
    const struct place *p = *state;

    assert_ok(round_trip(p->dir.path));
    for (unsigned n = 1; n < 40; n++) {
        struct vf_store *s = NULL;
        faults_arm_lasting(FAULT_READ, n, EIO);
        enum vf_err err = store_open_at(p->dir.path, VF_STORE_READ, &s);
        bool met = faults_disarm();
        vf_store_close(s);
        assert_int_equal(err, met ? VF_E_DAMAGED : VF_OK);
        if (!met)
            return;
    }
    fail();
}

/* No room in the address space: said so, the old map stays, and later it works. */
static int without_room(const char *dir)
{
    struct vf_store *s = NULL;
    struct counter small = {.id = 1, .len = 10};
    struct counter large = {.id = 2, .len = 3000000};
    struct rlimit limit = {0};
    struct rlimit old = {0};
    unsigned long pages = 0;

    if (store_open_at(dir, VF_STORE_WRITE, &s) != VF_OK || vf_store_update(s, count_body, &small, NULL) != VF_OK)
        return 1;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f == NULL || fscanf(f, "%lu", &pages) != 1 || getrlimit(RLIMIT_AS, &old) != 0)
        return 2;
    (void)fclose(f);
    limit = old;
    limit.rlim_cur = pages * (unsigned long)sysconf(_SC_PAGESIZE) + 200000;
    if (setrlimit(RLIMIT_AS, &limit) != 0)
        return 3;
    if (vf_gate_grow(s->env, s->env->maps, &why) != VF_E_NOMEM || vf_store_update(s, count_body, &large, &why) != VF_E_NOMEM)
        return 4;
    small.n++;
    if (vf_store_update(s, count_body, &small, NULL) != VF_OK)
        return 5;
    if (setrlimit(RLIMIT_AS, &old) != 0 || vf_store_update(s, count_body, &large, &why) != VF_OK)
        return 6;
    uint64_t total = total_of(s);
    vf_store_close(s);
    return total == 3 ? 0 : 7;
}

static void test_no_address_space(void **state)
{
    const struct place *p = *state;
    int status = 0;

    pid_t pid = fork();
    if (pid == 0) {
        (void)vf_env_map_min((size_t)256 << 10);
        _exit(without_room(p->dir.path));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_kill, place_setup, place_teardown),
        cmocka_unit_test_setup_teardown(test_kill_at_creation, place_setup, place_teardown),
        cmocka_unit_test_setup_teardown(test_refused_writes, place_setup, place_teardown),
        cmocka_unit_test_setup_teardown(test_refused_creation, place_setup, place_teardown),
        cmocka_unit_test_setup_teardown(test_short_of_memory, place_setup, place_teardown),
        cmocka_unit_test_setup_teardown(test_unreadable, place_setup, place_teardown),
        cmocka_unit_test_setup_teardown(test_no_address_space, place_setup, place_teardown),
    };

    return cmocka_run_group_tests_name("store_crash", tests, NULL, NULL);
}
