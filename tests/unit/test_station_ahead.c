/* SPDX-License-Identifier: MIT */
/* Looking ahead: what is fetched is a private copy whose hash is compared like any other; it changes nothing but when the work is done. */
#include "station_test.h"

#include "../../vaultfs/station/station_internal.h"

#include "faults.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static struct place p;
static struct site s;
static struct delivery d;
static struct vf_station *st;
static struct vf_job *job;
static struct vf_value_ahead *ahead;

static int set_up(void **state)
{
    if (station_and_force(state, &p) != 0)
        return -1;
    site_make(&p, "st-ahead", &s);
    struct vf_issue_options opt = site_options(&s, "ahead");
    deliver(&p, &opt, &d);
    return 0;
}

static int tear_down(void **state)
{
    delivery_done(&d);
    site_done(&s);
    return station_and_force_done(state, &p);
}

static int fresh(void **state)
{
    (void)state;
    st = site_open(&s, VF_STATION_MOUNT);
    take_delivery(st, &d);
    job = job_of(st, "ahead");
    assert_non_null(job);
    assert_int_equal(vf_job_count(job), OFFICERS);
    ahead = vf_value_ahead_new(st);
    assert_non_null(ahead);
    return 0;
}

static int away(void **state)
{
    (void)state;
    vf_value_ahead_free(ahead);
    vf_job_unref(job);
    site_close(st);
    return 0;
}

static struct vf_value_reader *reader(void)
{
    struct vf_value_reader *r = NULL;

    OK(vf_value_reader_new(st, &r, why));
    return r;
}

/* One photo; its bytes are kept the first time they are seen. */
static struct vf_buf photo[OFFICERS];
static enum vf_err open_photo(struct vf_value_reader *r, uint32_t index, bool look)
{
    const uint8_t *plain = NULL;
    size_t len = 0;

    if (look)
        vf_value_reader_look_ahead(r, ahead);
    enum vf_err err = vf_value_reader_get(r, job, index, VF_FIELD_PHOTO, &plain, &len, why);
    if (err == VF_OK && photo[index].len == 0) {
        vf_buf_init(&photo[index], VF_VALUE_MAX);
        vf_buf_put(&photo[index], plain, len);
        assert_true(vf_buf_ok(&photo[index]) && len > 0);
    } else if (err == VF_OK) {
        assert_int_equal(len, photo[index].len);
        assert_memory_equal(plain, photo[index].data, len);
    }
    vf_value_reader_wipe(r);
    return err;
}

static void see_all(void)
{
    struct vf_value_reader *r = reader();

    for (uint32_t i = 0; i < OFFICERS; i++)
        OK(open_photo(r, i, false));
    vf_value_reader_free(r);
}

/* Until it has looked for what it was to look for. */
static void let_it_look(void)
{
    for (bool done = false; !done;) {
        (void)pthread_mutex_lock(&ahead->mu);
        done = ahead->state == VF_AHEAD_IDLE || ahead->state == VF_AHEAD_READY;
        (void)pthread_mutex_unlock(&ahead->mu);
        (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
}

/* A bit of every stored photo, wherever it lies; a second time: as it was. */
static enum vf_err flip(struct vf_txn *txn, void *user, struct vf_why *w)
{
    (void)user;
    (void)w;
    for (uint32_t i = 0; i < OFFICERS; i++) {
        struct vf_value_want want;
        struct vf_slice grant, val;
        unsigned column = 0;
        uint8_t key[VF_VALUE_KEY_LEN];
        assert_true(vf_value_column(&job->layout, VF_FIELD_PHOTO, &column));
        assert_true(vf_txn_get(txn, VF_ST_GRANT, job->grant.id.c, sizeof(job->grant.id.c), &grant));
        vf_value_want_of(job, i, column, grant.data + job->manifest_rows_at + i * job->layout.manifest_stride, &want);
        vf_station_value_key(&want.ref, VF_FIELD_PHOTO, want.generation, &want.hash, key);
        assert_true(vf_txn_get(txn, VF_ST_VALUE, key, sizeof(key), &val));
        VF_FREE uint8_t *copy = malloc(val.len);
        assert_non_null(copy);
        memcpy(copy, val.data, val.len);
        copy[val.len / 2] ^= 1;
        vf_txn_put(txn, VF_ST_VALUE, key, sizeof(key), copy, val.len);
    }
    return VF_OK;
}

static void walked(void **state)
{
    struct vf_value_reader *r = reader();

    (void)state;
    see_all();
    for (unsigned round = 0; round < 3; round++)
        for (uint32_t i = 0; i < OFFICERS; i++)
            OK(open_photo(r, i, true));
    vf_value_reader_free(r);
}

/* The copy was made before the database changed: so it was used, and it is what the force signed. Whoever does not look ahead sees the change. */
static void own_copy(void **state)
{
    struct vf_value_reader *r = reader();

    (void)state;
    see_all();
    OK(open_photo(r, 0, true));
    OK(open_photo(r, 1, true));
    let_it_look();
    OK(vf_store_update(st->store, flip, NULL, why));
    assert_int_equal(open_photo(r, 2, false), VF_E_FORGED);
    OK(open_photo(r, 2, true));
    /* It is used once; the one behind it was looked for when the database was bad already. */
    let_it_look();
    assert_int_equal(open_photo(r, 2, true), VF_E_FORGED);
    assert_int_equal(open_photo(r, 3, true), VF_E_FORGED);
    OK(vf_store_update(st->store, flip, NULL, why));
    OK(open_photo(r, 3, true));
    vf_value_reader_free(r);
}

/* Without a walk nothing is looked for: out of order, text in between is no hindrance, a reader that was wiped is on its own. */
static void no_walk(void **state)
{
    struct vf_value_reader *r = reader();
    const uint8_t *plain = NULL;
    size_t len = 0;

    (void)state;
    see_all();
    OK(open_photo(r, 0, true));
    OK(open_photo(r, 2, true));
    OK(open_photo(r, 5, true)); /* the last one: nothing behind it */
    OK(open_photo(r, 0, true));
    let_it_look();
    OK(vf_store_update(st->store, flip, NULL, why));
    for (uint32_t i = 0; i < OFFICERS; i++)
        assert_int_equal(open_photo(r, i, false), VF_E_FORGED);
    assert_int_equal(open_photo(r, 1, true), VF_E_FORGED);
    OK(vf_store_update(st->store, flip, NULL, why));
    OK(open_photo(r, 0, true));
    OK(open_photo(r, 1, true));
    vf_value_reader_look_ahead(r, ahead);
    OK(vf_value_reader_get(r, job, 4, VF_FIELD_RANK, &plain, &len, why));
    vf_value_reader_wipe(r);
    let_it_look();
    OK(vf_store_update(st->store, flip, NULL, why));
    OK(open_photo(r, 2, true));
    OK(vf_store_update(st->store, flip, NULL, why));
    vf_value_reader_free(r);
}

/* What was fetched ahead is of no use when the grant has ended. */
static void ended(void **state)
{
    struct vf_value_reader *r = reader();

    (void)state;
    see_all();
    OK(open_photo(r, 0, true));
    OK(open_photo(r, 1, true));
    let_it_look();
    vf_job_forget(job);
    assert_int_equal(open_photo(r, 2, true), VF_E_EXPIRED);
    vf_value_reader_free(r);
}

/* Without memory for it there is none, and a reader does without. */
static void do_without(void **state)
{
    struct vf_value_reader *r = reader();
    bool met = true;

    (void)state;
    see_all();
    for (unsigned n = 1; met; n++) {
        vf_value_ahead_free(ahead);
        faults_arm(FAULT_MEMORY, n, ENOMEM);
        ahead = vf_value_ahead_new(st);
        met = faults_disarm();
        assert_true(ahead || met); /* the log's thread may be the one to meet it */
        assert_true(n < 100);
        OK(open_photo(r, 0, true));
        OK(open_photo(r, 1, true));
        OK(open_photo(r, 2, true));
    }
    vf_value_reader_free(r);
}

/* It takes no signal: those are for the thread that waits for them. */
static void no_signals(void **state)
{
    unsigned threads = 0;
    DIR *dir = opendir("/proc/self/task");

    (void)state;
    assert_non_null(dir);
    for (const struct dirent *at = readdir(dir); at; at = readdir(dir)) {
        char path[300], line[256];
        unsigned long long blocked = 0;
        long tid = strtol(at->d_name, NULL, 10);
        if (tid == 0 || tid == gettid())
            continue;
        (void)snprintf(path, sizeof(path), "/proc/self/task/%s/status", at->d_name);
        FILE *f = fopen(path, "re");
        assert_non_null(f);
        while (fgets(line, sizeof(line), f))
            if (strncmp(line, "SigBlk:", 7) == 0)
                blocked = strtoull(line + 7, NULL, 16);
        (void)fclose(f);
        assert_true(blocked >> (SIGTERM - 1) & 1 && blocked >> (SIGHUP - 1) & 1);
        threads++;
    }
    (void)closedir(dir);
    assert_true(threads >= 2); /* the log's, and this one */
}

#define THREADS 4
static void *walker(void *arg)
{
    struct vf_value_reader *r = reader();
    unsigned n = *(const unsigned *)arg;

    for (unsigned i = 0; i < 60 * OFFICERS; i++) {
        uint32_t index = n == 0 ? OFFICERS - 1 - i % OFFICERS : (i * n) % OFFICERS;
        OK(open_photo(r, index, n != 3 || i % 2 == 0));
    }
    vf_value_reader_free(r);
    return NULL;
}

/* Several at once, in their own order; then it is freed while it may be looking. */
static void many(void **state)
{
    pthread_t threads[THREADS];
    unsigned numbers[THREADS];

    (void)state;
    see_all();
    for (unsigned i = 0; i < THREADS; i++) {
        numbers[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, walker, &numbers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        (void)pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < 50; i++) {
        struct vf_value_reader *r = reader();
        OK(open_photo(r, i % (OFFICERS - 2), true));
        OK(open_photo(r, i % (OFFICERS - 2) + 1, true));
        vf_value_reader_free(r);
        vf_value_ahead_free(ahead);
        ahead = vf_value_ahead_new(st);
        assert_non_null(ahead);
    }
}

static int last(void **state)
{
    for (unsigned i = 0; i < OFFICERS; i++)
        vf_buf_done(&photo[i]);
    return tear_down(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(walked, fresh, away),     cmocka_unit_test_setup_teardown(own_copy, fresh, away),
        cmocka_unit_test_setup_teardown(no_walk, fresh, away),    cmocka_unit_test_setup_teardown(many, fresh, away),
        cmocka_unit_test_setup_teardown(ended, fresh, away),      cmocka_unit_test_setup_teardown(do_without, fresh, away),
        cmocka_unit_test_setup_teardown(no_signals, fresh, away),
    };

    return cmocka_run_group_tests(tests, set_up, last);
}
