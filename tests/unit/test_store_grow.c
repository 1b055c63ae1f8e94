/* SPDX-License-Identifier: MIT */
/* The map grows: alone, under readers, under other threads and other processes. */
#include "../../vaultfs/store/env.h"
#include "test_store_common.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SMALL ((size_t)256 << 10)

static int small_setup(void **state)
{
    (void)vf_env_map_min(SMALL);
    (void)vf_gate_patience_ms(30000);
    return place_setup(state);
}

static void nap(long ms)
{
    struct timespec ts = {.tv_nsec = ms * 1000000};

    (void)nanosleep(&ts, NULL);
}

static void assert_filled(struct vf_store *s, const struct fill *f)
{
    VF_TXN txn = NULL;

    assert_ok(vf_txn_read(s, &txn, &why));
    assert_true(fill_is_there(txn, f));
}

/* One update that is many times the map. */
static void test_one_large_update(void **state)
{
    const struct place *p = *state;
    VF_STORE s = store_must_open(p->dir.path, VF_STORE_WRITE);
    struct fill f = {.to = 500, .len = 10000};

    assert_ok(vf_store_update(s, fill_body, &f, &why));
    /* 256 KiB, 512, 1 M, 2, 4, 8: five times too small. */
    assert_int_equal(f.runs, 6);
    assert_filled(s, &f);
    f.salt = 1;
    assert_ok(vf_store_update(s, fill_body, &f, &why));
    assert_filled(s, &f);
    assert_ok(store_walk_at(p->dir.path));
}

/* The size that everybody else gets. */
static void test_default_size(void **state)
{
    const struct place *p = *state;

    (void)vf_env_map_min(VF_ENV_MAP_MIN);
    VF_STORE s = store_must_open(p->dir.path, VF_STORE_WRITE);
    struct fill f = {.to = 70, .len = 1000000};

    assert_ok(vf_store_update(s, fill_body, &f, &why));
    assert_int_equal(f.runs, 2);
    vf_store_close(s);
    s = store_must_open(p->dir.path, VF_STORE_WRITE);
    assert_true(s->env->map_size > (size_t)70 * 1000000 * 5 / 4);
    assert_true(s->env->map_size < (size_t)95 * 1000000);
    f.runs = 0;
    f.salt = 5;
    assert_ok(vf_store_update(s, fill_body, &f, &why));
    assert_int_equal(f.runs, 2);
    assert_filled(s, &f);
}

/* A thread that reads and writes at once cannot be helped, but it is told, and nothing is lost. */
static void test_reader_in_the_same_thread(void **state)
{
    const struct place *p = *state;
    VF_STORE s = store_must_open(p->dir.path, VF_STORE_WRITE);
    struct fill f = {.to = 100, .len = 10000};
    VF_TXN txn = NULL;
    VF_TXN second = NULL;

    (void)vf_gate_patience_ms(100);
    assert_ok(vf_txn_read(s, &txn, &why));
    assert_int_equal(vf_store_update(s, fill_body, &f, &why), VF_E_BUSY);
    assert_string_equal(why.text, WHAT ": has to grow, but a reader in this program does not end");
    assert_ok(vf_txn_read(s, &second, &why));
    assert_int_equal(vf_txn_count(second, T_VALUES), 0);
    vf_txn_reset(txn);
    vf_txn_reset(second);
    assert_ok(vf_store_update(s, fill_body, &f, &why));
    assert_ok(vf_txn_renew(txn, &why));
    assert_true(fill_is_there(txn, &f));
}

struct shared {
    struct vf_store *s;
    struct fill f;
    enum vf_err err;
    _Atomic int step;
    atomic_bool stop;
    atomic_uint rounds;
    unsigned id;
};

static void *reader_thread(void *arg)
{
    struct shared *sh = arg;
    struct vf_txn *txn = NULL;
    struct vf_txn *second = NULL;

    sh->err = vf_txn_read(sh->s, &txn, NULL);
    atomic_store(&sh->step, 1);
    /* By now the other one is waiting for us; a second transaction must not wait for it. */
    nap(100);
    if (sh->err == VF_OK)
        sh->err = vf_txn_read(sh->s, &second, NULL);
    if (sh->err == VF_OK && (vf_txn_count(txn, T_VALUES) != 0 || vf_txn_count(second, T_VALUES) != 0))
        sh->err = VF_E_STALE;
    vf_txn_end(second);
    vf_txn_end(txn);
    atomic_store(&sh->step, 2);
    return NULL;
}

static void test_waits_for_readers(void **state)
{
    const struct place *p = *state;
    VF_STORE s = store_must_open(p->dir.path, VF_STORE_WRITE);
    struct shared sh = {.s = s, .f = {.to = 100, .len = 10000}};
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, reader_thread, &sh), 0);
    while (atomic_load(&sh.step) == 0)
        nap(1);
    assert_ok(vf_store_update(s, fill_body, &sh.f, &why));
    assert_int_equal(atomic_load(&sh.step), 2);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(sh.err, VF_OK);
    assert_int_equal(sh.f.runs, 4);
    assert_filled(s, &sh.f);
}

/* ------------------------------------------------------------------------------------------------------------- many threads */

static void *count_thread(void *arg)
{
    struct shared *sh = arg;
    struct counter c = {.id = sh->id, .len = 3000 + sh->id};

    for (; c.n < 60 && sh->err == VF_OK; c.n++)
        sh->err = vf_store_update(sh->s, count_body, &c, NULL);
    return NULL;
}

static void *watch_thread(void *arg)
{
    struct shared *sh = arg;
    struct vf_txn *txn = NULL;
    uint64_t before = 0;

    sh->err = vf_txn_read(sh->s, &txn, NULL);
    while (sh->err == VF_OK && (!atomic_load(&sh->stop) || atomic_load(&sh->rounds) == 0)) {
        uint64_t total = 0;
        if (!totals_agree(txn, &total) || total < before)
            sh->err = VF_E_STALE;
        before = total;
        atomic_fetch_add(&sh->rounds, 1);
        if (atomic_load(&sh->rounds) % 3 == 0)
            vf_txn_reset(txn);
        if (sh->err == VF_OK)
            sh->err = vf_txn_renew(txn, NULL);
    }
    vf_txn_end(txn);
    return NULL;
}

/* Copies are taken all the while, to nowhere. */
static void *copy_thread(void *arg)
{
    struct shared *sh = arg;
    FILE *null = fopen("/dev/null", "we");

    while (null != NULL && sh->err == VF_OK && (!atomic_load(&sh->stop) || atomic_load(&sh->rounds) == 0)) {
        sh->err = vf_store_copy(sh->s, fileno(null), NULL);
        atomic_fetch_add(&sh->rounds, 1);
    }
    vf_stream_close(&null);
    return NULL;
}

static void test_threads(void **state)
{
    enum { WRITERS = 3, WATCHERS = 2, ALL = WRITERS + WATCHERS + 1 };
    const struct place *p = *state;
    VF_STORE s = store_must_open(p->dir.path, VF_STORE_WRITE);
    struct shared sh[ALL] = {0};
    pthread_t threads[ALL];
    VF_TXN txn = NULL;
    uint64_t total = 0;

    for (unsigned i = 0; i < ALL; i++) {
        sh[i].s = s;
        sh[i].id = i;
        void *(*run)(void *) = i < WRITERS ? count_thread : i + 1 < ALL ? watch_thread : copy_thread;
        assert_int_equal(pthread_create(&threads[i], NULL, run, &sh[i]), 0);
    }
    for (unsigned i = 0; i < ALL; i++) {
        if (i >= WRITERS)
            atomic_store(&sh[i].stop, true);
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(sh[i].err, VF_OK);
        assert_true(i < WRITERS || atomic_load(&sh[i].rounds) > 0);
    }
    assert_ok(vf_txn_read(s, &txn, &why));
    assert_true(totals_agree(txn, &total));
    assert_int_equal(total, WRITERS * 60);
    assert_true(s->env->maps >= 2);
    assert_ok(store_walk_at(p->dir.path));
}

/* ----------------------------------------------------------------------------------------------------------- many processes */

static int write_process(const char *dir, unsigned id, unsigned n)
{
    struct counter c = {.id = id, .len = 4000 + 100 * id};
    struct vf_store *s = NULL;

    if (store_open_at(dir, VF_STORE_WRITE, &s) != VF_OK)
        return 1;
    for (; c.n < n; c.n++)
        if (vf_store_update(s, count_body, &c, &why) != VF_OK)
            return 2;
    vf_store_close(s);
    return 0;
}

static int watch_process(const char *dir, uint64_t until)
{
    struct vf_store *s = NULL;
    struct vf_txn *txn = NULL;
    uint64_t before = 0;

    if (store_open_at(dir, VF_STORE_READ, &s) != VF_OK || vf_txn_read(s, &txn, &why) != VF_OK)
        return 1;
    while (before < until) {
        uint64_t total = 0;
        if (!totals_agree(txn, &total) || total < before)
            return 2;
        before = total;
        if (vf_txn_renew(txn, &why) != VF_OK)
            return 3;
    }
    vf_txn_end(txn);
    vf_store_close(s);
    return 0;
}

static pid_t start(int (*body)(const char *dir, unsigned id, unsigned n), const char *dir, unsigned id, unsigned n)
{
    pid_t pid = fork();

    if (pid == 0) {
        (void)alarm(100);
        int ret = body(dir, id, n);
        if (ret != 0)
            (void)fprintf(stderr, "process %u: step %d: %s\n", id, ret, why.text);
        _exit(ret);
    }
    assert_true(pid > 0);
    return pid;
}

static int watch_start(const char *dir, unsigned id, unsigned n)
{
    (void)id;
    return watch_process(dir, n);
}

static int walk_start(const char *dir, unsigned id, unsigned n)
{
    (void)id;
    for (unsigned i = 0; i < n; i++)
        if (store_walk_at(dir) != VF_OK)
            return 1;
    return 0;
}

static void test_processes(void **state)
{
    enum { WRITERS = 4, EACH = 200, ALL = WRITERS + 3 };
    const struct place *p = *state;
    pid_t pids[ALL];
    VF_TXN txn = NULL;
    uint64_t total = 0;

    vf_store_close(store_must_open(p->dir.path, VF_STORE_WRITE));
    for (unsigned i = 0; i < WRITERS; i++)
        pids[i] = start(write_process, p->dir.path, i, EACH);
    pids[WRITERS] = start(watch_start, p->dir.path, 10, WRITERS * EACH);
    pids[WRITERS + 1] = start(watch_start, p->dir.path, 11, WRITERS * EACH);
    pids[WRITERS + 2] = start(walk_start, p->dir.path, 12, 20);
    for (unsigned i = 0; i < ALL; i++) {
        int status = 0;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
    VF_STORE s = store_must_open(p->dir.path, VF_STORE_READ);
    assert_ok(vf_txn_read(s, &txn, &why));
    assert_true(totals_agree(txn, &total));
    assert_int_equal(total, WRITERS * EACH);
    assert_ok(store_walk_at(p->dir.path));
}

/* Many at once make the same new store. */
static void test_processes_create(void **state)
{
    enum { ALL = 6 };
    const struct place *p = *state;

    for (unsigned round = 0; round < 10; round++) {
        pid_t pids[ALL];
        char dir[300];
        char name[16];
        (void)snprintf(name, sizeof(name), "%u", round);
        scratch_path(&p->dir, name, dir, sizeof(dir));
        assert_ok(vf_dir_make(dir, &why));
        for (unsigned i = 0; i < ALL; i++)
            pids[i] = start(write_process, dir, i, 2);
        for (unsigned i = 0; i < ALL; i++) {
            int status = 0;
            assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
            assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        }
        VF_STORE s = store_must_open(dir, VF_STORE_READ);
        VF_TXN txn = NULL;
        uint64_t total = 0;
        assert_ok(vf_txn_read(s, &txn, &why));
        assert_true(totals_agree(txn, &total));
        assert_int_equal(total, 2 * ALL);
    }
}

/* A map that somebody else outgrew is followed: by a reader, by a writer, by a copy. */
static void test_follow(void **state)
{
    static const unsigned rows[] = {100, 200, 800};
    const struct place *p = *state;
    VF_STORE s = store_must_open(p->dir.path, VF_STORE_WRITE);
    VF_TXN txn = NULL;
    uint64_t total = 0;
    int status = 0;

    assert_ok(vf_txn_read(s, &txn, &why));
    vf_txn_reset(txn);
    for (unsigned i = 0; i < 3; i++) {
        size_t map = s->env->map_size;
        pid_t pid = start(write_process, p->dir.path, i, rows[i]);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        assert_int_equal(s->env->map_size, map);
        if (i == 0)
            assert_ok(vf_txn_renew(txn, &why));
        else if (i == 1)
            assert_int_equal(write_process(p->dir.path, 77, 1), 0);
        else
            assert_int_equal(vf_store_copy(s, STDOUT_FILENO + 100, &why), VF_E_SYSTEM);
        assert_true(s->env->map_size > map);
        vf_txn_reset(txn);
    }
    assert_ok(vf_txn_renew(txn, &why));
    assert_true(totals_agree(txn, &total));
    assert_int_equal(total, 1101);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_one_large_update, small_setup, place_teardown),
        cmocka_unit_test_setup_teardown(test_default_size, small_setup, place_teardown),
        cmocka_unit_test_setup_teardown(test_reader_in_the_same_thread, small_setup, place_teardown),
        cmocka_unit_test_setup_teardown(test_waits_for_readers, small_setup, place_teardown),
        cmocka_unit_test_setup_teardown(test_follow, small_setup, place_teardown),
        cmocka_unit_test_setup_teardown(test_processes_create, small_setup, place_teardown),
        cmocka_unit_test_setup_teardown(test_processes, small_setup, place_teardown),
        cmocka_unit_test_setup_teardown(test_threads, small_setup, place_teardown),
    };

    return cmocka_run_group_tests_name("store_grow", tests, NULL, NULL);
}
