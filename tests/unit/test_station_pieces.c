/* SPDX-License-Identifier: MIT */
/* A bundle of many chunks, written by the thread that has them while the next is read: whole or not at all, whichever of the two fails. */
#include "station_test.h"

#include "../../vaultfs/station/bundle_write.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

static struct place p;

static int set_up(void **state)
{
    (void)vf_bundle_chunk_max(1); /* every value by itself */
    return station_and_force(state, &p);
}

static int tear_down(void **state)
{
    return station_and_force_done(state, &p);
}

static bool no_threads;
static unsigned asked;
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *), void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *), void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *), void *arg)
{
    asked++;
    return no_threads ? EAGAIN : __real_pthread_create(thread, attr, start, arg);
}

static void none_counts(struct vf_station *st, const char *job)
{
    uint64_t present, named;

    values_of(st, job, &present, &named);
    assert_int_equal(present, 0);
    assert_int_equal(named, CARD_VALUES);
}

static void is_whole(const struct site *s, const char *job)
{
    struct vf_station *st = site_open(s, VF_STATION_MOUNT);

    assert_int_equal(state_of_station(st).values, CARD_VALUES);
    assert_int_equal(reads_all(st, &p, job), CARD_VALUES);
    site_close(st);
}

static void arrives(void **state)
{
    struct site s;
    struct delivery d;
    struct told told;

    (void)state;
    site_make(&p, "pieces", &s);
    struct vf_issue_options opt = site_options(&s, "pieces");
    deliver(&p, &opt, &d);
    struct vf_station *st = site_open(&s, VF_STATION_RECEIVE);
    const char *const paths[] = {d.bundle, d.grant, d.bundle};
    asked = 0;
    OK(take(st, paths, 3, &told));
    assert_int_equal(told.one[1].values, CARD_VALUES);
    assert_int_equal(told.one[2].values, 0); /* here already */
    assert_int_equal(asked, 2);
    site_close(st);
    is_whole(&s, "pieces");
    delivery_done(&d);
    site_done(&s);
}

static void without_a_thread(void **state)
{
    struct site s;
    struct delivery d;

    (void)state;
    site_make(&p, "alone", &s);
    struct vf_issue_options opt = site_options(&s, "alone");
    deliver(&p, &opt, &d);
    struct vf_station *st = site_open(&s, VF_STATION_RECEIVE);
    OK(take1(st, d.grant));
    asked = 0;
    no_threads = true;
    OK(take1(st, d.bundle));
    no_threads = false;
    assert_int_equal(asked, 1);
    site_close(st);
    is_whole(&s, "alone");
    delivery_done(&d);
    site_done(&s);
}

/* All but the last are in the database when the last one turns out to be forged. */
static void forged_at_the_end(void **state)
{
    struct site s;
    struct delivery d;
    char path[400];
    size_t len = 0;

    (void)state;
    site_make(&p, "forged", &s);
    struct vf_issue_options opt = site_options(&s, "forged");
    deliver(&p, &opt, &d);
    VF_FREE char *bundle = get_file(d.bundle, &len);
    bundle[len - 1] ^= 1;
    put_file(&p, "forged.part", bundle, len);
    struct vf_station *st = site_open(&s, VF_STATION_RECEIVE);
    OK(take1(st, d.grant));
    unsigned before = site_log_counts(&s, VF_EVENT_RECEIVE);
    assert_int_equal(take1(st, place_path(&p, "forged.part", path)), VF_E_FORGED);
    assert_int_equal(state_of_station(st).values, CARD_VALUES - 1);
    none_counts(st, "forged");
    site_close(st);
    assert_int_equal(site_log_counts(&s, VF_EVENT_RECEIVE), before); /* what did not come is not said to have come */
    st = site_open(&s, VF_STATION_RECEIVE);
    OK(take1(st, d.bundle));
    site_close(st);
    is_whole(&s, "forged");
    delivery_done(&d);
    site_done(&s);
}

/* The writer's disk is full somewhere on the way. */
static void no_room(void **state)
{
    struct site s;
    struct delivery d;
    char db[500];
    struct stat now;
    struct rlimit old, limit;
    unsigned failed = 0;

    (void)state;
    site_make(&p, "full", &s);
    struct vf_issue_options opt = site_options(&s, "full");
    deliver(&p, &opt, &d);
    struct vf_station *st = site_open(&s, VF_STATION_RECEIVE);
    OK(take1(st, d.grant));
    unsigned before = site_log_counts(&s, VF_EVENT_RECEIVE);
    (void)snprintf(db, sizeof(db), "%s/db/data.mdb", s.path);
    assert_int_equal(stat(db, &now), 0);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    for (rlim_t more = 4096; more < 200000; more += 60000) {
        limit = (struct rlimit){.rlim_cur = (rlim_t)now.st_size + more, .rlim_max = old.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        enum vf_err err = take1(st, d.bundle);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
        assert_int_not_equal(err, VF_OK);
        none_counts(st, "full");
        failed++;
    }
    (void)signal(SIGXFSZ, handler);
    assert_int_equal(failed, 4);
    OK(take1(st, d.bundle));
    site_close(st);
    assert_int_equal(site_log_counts(&s, VF_EVENT_RECEIVE), before + 1);
    is_whole(&s, "full");
    delivery_done(&d);
    site_done(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arrives),
        cmocka_unit_test(without_a_thread),
        cmocka_unit_test(forged_at_the_end),
        cmocka_unit_test(no_room),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
