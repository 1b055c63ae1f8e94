/* SPDX-License-Identifier: MIT */
/* Trusted time: a machine asleep, a clock set back or forward, for good or by mistake, while a mount runs and between two. */
#include "station_test.h"

#include "fakeclock.h"

#include <unistd.h>

#define MINUTE_US (60 * VF_SECOND_US)
#define HOUR_US   (60 * MINUTE_US)
#define YEAR_US   (365 * VF_DAY_US)

static struct place p;
static unsigned sites;

/* A station with a grant for two days, received. */
struct drill {
    struct site s;
    struct delivery d;
    struct vf_station *st;
    struct vf_job *job;
};

static void start(struct drill *t, const char *job)
{
    char name[40];

    (void)snprintf(name, sizeof(name), "clock-%u", sites++);
    fake_clock_set(FAKE_CLOCK_START_US + sites * 30 * VF_DAY_US, HOUR_US);
    site_make(&p, name, &t->s);
    struct vf_issue_options opt = site_options(&t->s, job);
    opt.fields = VF_FIELD_BIT(VF_FIELD_RANK);
    opt.until_us = opt.now_us + 2 * VF_DAY_US;
    deliver(&p, &opt, &t->d);
    t->st = site_open(&t->s, VF_STATION_MOUNT);
    take_delivery(t->st, &t->d);
    t->job = job_of(t->st, job);
    assert_non_null(t->job);
}

/* Time passes while a mount runs: it ticks. */
static void run(struct drill *t, int64_t us)
{
    while (us > 0) {
        int64_t step = us < 5 * MINUTE_US ? us : 5 * MINUTE_US;
        fake_clock_pass(step);
        OK(vf_station_clock_tick(t->st, why));
        us -= step;
    }
}

static void unmount(struct drill *t)
{
    vf_job_unref(t->job);
    site_close(t->st);
    t->st = NULL;
}

static void mount(struct drill *t, const char *job)
{
    t->st = site_open(&t->s, VF_STATION_MOUNT);
    t->job = job_of(t->st, job);
    assert_non_null(t->job);
    OK(vf_station_clock_tick(t->st, why));
}

static void end(struct drill *t)
{
    unmount(t);
    delivery_done(&t->d);
    site_done(&t->s);
}

static enum vf_err may(const struct drill *t)
{
    return vf_job_may(t->st, t->job, why);
}

static int64_t trusted(const struct drill *t)
{
    int64_t now = 0;
    enum vf_err err = vf_station_time(t->st, &now, NULL);

    if (err != VF_OK && err != VF_E_CLOCK)
        abort();
    return now;
}

static int set_up(void **state)
{
    return station_and_force(state, &p);
}

static int tear_down(void **state)
{
    return station_and_force_done(state, &p);
}

/* --------------------------------------------------------------------------------------------------------------------- forward */

static void to_the_second(void **state)
{
    struct drill t;

    (void)state;
    start(&t, "second");
    int64_t until = vf_job_grant(t.job)->until_us;
    OK(may(&t));
    run(&t, until - vf_clock_wall_us() - 1);
    OK(may(&t));
    fake_clock_pass(1);
    assert_int_equal(may(&t), VF_E_EXPIRED);
    assert_int_equal(trusted(&t), until);
    end(&t);
}

/* CLOCK_BOOTTIME goes on while the machine sleeps: it wakes up expired even if its wall clock did not move. */
static void suspended(void **state)
{
    struct drill t;

    (void)state;
    start(&t, "suspended");
    run(&t, 11 * MINUTE_US);        /* H is known */
    fake_clock_pass(3 * VF_DAY_US); /* asleep: no tick */
    assert_int_equal(may(&t), VF_E_EXPIRED);
    fake_clock_step(-3 * VF_DAY_US); /* an RTC that stood still */
    assert_int_equal(may(&t), VF_E_EXPIRED);
    OK(vf_station_clock_tick(t.st, why));
    assert_int_equal(may(&t), VF_E_EXPIRED);
    end(&t);
}

/* --------------------------------------------------------------------------------------------------------------------- back */

static void back_while_running(void **state)
{
    struct drill t;

    (void)state;
    start(&t, "back");
    run(&t, 20 * MINUTE_US);
    OK(may(&t));
    fake_clock_step(-299 * VF_SECOND_US); /* a correction */
    OK(may(&t));
    fake_clock_step(-2 * VF_SECOND_US);
    assert_int_equal(may(&t), VF_E_CLOCK);
    assert_non_null(strstr(why->text, "moved back"));
    fake_clock_step(-10 * VF_DAY_US);
    assert_int_equal(may(&t), VF_E_CLOCK);
    OK(vf_station_clock_tick(t.st, why));
    run(&t, HOUR_US); /* both clocks agree for an hour: H is not moved back for that */
    assert_int_equal(may(&t), VF_E_CLOCK);
    fake_clock_step(10 * VF_DAY_US + 301 * VF_SECOND_US); /* set right */
    OK(may(&t));
    /* Back, and the end passes meanwhile: by boottime. */
    fake_clock_step(-10 * VF_DAY_US);
    run(&t, 2 * VF_DAY_US);
    assert_int_equal(may(&t), VF_E_EXPIRED);
    end(&t);
}

static void back_between_runs(void **state)
{
    struct drill t;

    (void)state;
    start(&t, "between");
    run(&t, 20 * MINUTE_US);
    unmount(&t);
    fake_clock_step(-VF_DAY_US);
    mount(&t, "between"); /* the same boot */
    assert_int_equal(may(&t), VF_E_CLOCK);
    unmount(&t);
    fake_clock_reboot(10 * MINUTE_US);
    mount(&t, "between"); /* another boot: H as it was saved */
    assert_int_equal(may(&t), VF_E_CLOCK);
    run(&t, 20 * MINUTE_US);
    assert_int_equal(may(&t), VF_E_CLOCK);
    fake_clock_step(VF_DAY_US);
    OK(may(&t));
    end(&t);
}

/* Within one boot the time between two runs counts too. */
static void expired_between_runs(void **state)
{
    struct drill t;

    (void)state;
    start(&t, "asleep");
    run(&t, 20 * MINUTE_US);
    unmount(&t);
    fake_clock_pass(3 * VF_DAY_US);
    fake_clock_step(-3 * VF_DAY_US);
    mount(&t, "asleep");
    assert_int_equal(may(&t), VF_E_EXPIRED);
    end(&t);
}

/* Ten minutes of agreement may be made up of several short runs. */
static void short_runs(void **state)
{
    struct drill t;

    (void)state;
    start(&t, "short");
    for (unsigned i = 0; i < 4; i++) {
        run(&t, 2 * MINUTE_US);
        unmount(&t);
        fake_clock_pass(2 * MINUTE_US);
        mount(&t, "short");
    }
    unmount(&t);
    fake_clock_step(-VF_DAY_US);
    mount(&t, "short");
    assert_int_equal(may(&t), VF_E_CLOCK);
    fake_clock_step(VF_DAY_US);
    OK(may(&t));
    end(&t);
    /* But a step between two of them begins the ten minutes anew. */
    start(&t, "step");
    run(&t, 8 * MINUTE_US);
    unmount(&t);
    fake_clock_step(VF_DAY_US);
    mount(&t, "step");
    run(&t, 8 * MINUTE_US);
    fake_clock_step(-VF_DAY_US);
    OK(may(&t));
    end(&t);
}

/* ---------------------------------------------------------------------------------------------- one bad step forward and back */

static void short_bad_step(void **state)
{
    struct drill t;

    (void)state;
    start(&t, "bad-step");
    run(&t, 20 * MINUTE_US);
    fake_clock_step(5 * YEAR_US); /* a bad time server */
    assert_int_equal(may(&t), VF_E_EXPIRED);
    run(&t, 5 * MINUTE_US);
    assert_int_equal(may(&t), VF_E_EXPIRED);
    fake_clock_step(-5 * YEAR_US); /* corrected: as if nothing had been */
    OK(may(&t));
    OK(vf_station_clock_tick(t.st, why));
    run(&t, 20 * MINUTE_US);
    OK(may(&t));
    end(&t);
}

/* Wrong for an hour: H follows, but not beyond the end of the grants, and a clock-reset grant mends the station. */
static void long_bad_step(void **state)
{
    struct drill t;
    struct delivery fresh;
    uint64_t dropped = 99;

    (void)state;
    start(&t, "wrong-hour");
    run(&t, 20 * MINUTE_US);
    int64_t until = vf_job_grant(t.job)->until_us;
    fake_clock_step(5 * YEAR_US);
    run(&t, HOUR_US);
    OK(vf_station_sweep(t.st, &dropped, why)); /* H is at the end of the grant, not 14 days after it */
    assert_int_equal(dropped, 0);
    fake_clock_step(-5 * YEAR_US);
    assert_int_equal(trusted(&t), until);
    assert_int_equal(may(&t), VF_E_EXPIRED);
    unmount(&t);
    mount(&t, "wrong-hour");
    assert_int_equal(trusted(&t), until);
    /* An ordinary new grant does not help yet: the clock seems to have been moved back. */
    deliver_renewal(&p, &t.d, "wrong-hour-2", 10 * VF_DAY_US, false, &fresh);
    OK(take1(t.st, fresh.grant));
    vf_job_unref(t.job);
    t.job = job_of(t.st, "wrong-hour");
    assert_int_equal(may(&t), VF_E_CLOCK);
    delivery_done(&fresh);
    fake_clock_pass(VF_SECOND_US);
    deliver_renewal(&p, &t.d, "wrong-hour-3", 9 * VF_DAY_US, true, &fresh);
    OK(take1(t.st, fresh.grant));
    vf_job_unref(t.job);
    t.job = job_of(t.st, "wrong-hour");
    OK(may(&t));
    assert_int_equal(reads_all(t.st, &p, "wrong-hour"), OFFICERS);
    delivery_done(&fresh);
    end(&t);
}

static void clock_reset_once(void **state)
{
    struct drill t;
    struct delivery reset, second;

    (void)state;
    start(&t, "reset");
    run(&t, 20 * MINUTE_US);
    deliver_renewal(&p, &t.d, "reset-1", 10 * VF_DAY_US, true, &reset);
    OK(take1(t.st, reset.grant)); /* taken: H is its issue time, which is now */
    run(&t, 3 * VF_DAY_US);
    /* The clock goes back by two days; the reset that was taken before does not let it. */
    fake_clock_step(-2 * VF_DAY_US);
    vf_job_unref(t.job);
    t.job = job_of(t.st, "reset");
    assert_int_equal(may(&t), VF_E_CLOCK);
    OK(take1(t.st, reset.grant));
    assert_int_equal(may(&t), VF_E_CLOCK);
    unmount(&t);
    mount(&t, "reset");
    assert_int_equal(may(&t), VF_E_CLOCK);
    /* A newer one does, once, to its issue time. */
    deliver_renewal(&p, &t.d, "reset-2", 10 * VF_DAY_US, true, &second);
    OK(take1(t.st, second.grant));
    vf_job_unref(t.job);
    t.job = job_of(t.st, "reset");
    OK(may(&t));
    assert_int_equal(trusted(&t), vf_clock_wall_us());
    delivery_done(&reset);
    delivery_done(&second);
    end(&t);
}

/* Received while nothing was mounted: taken by the next mount. */
static void clock_reset_unmounted(void **state)
{
    struct drill t;
    struct delivery reset;

    (void)state;
    start(&t, "offline-reset");
    run(&t, VF_DAY_US);
    unmount(&t);
    fake_clock_step(-VF_DAY_US / 2);
    mount(&t, "offline-reset");
    assert_int_equal(may(&t), VF_E_CLOCK);
    unmount(&t);
    deliver_renewal(&p, &t.d, "offline-reset-1", 10 * VF_DAY_US, true, &reset);
    struct vf_station *st = site_open(&t.s, VF_STATION_RECEIVE);
    OK(take1(st, reset.grant));
    site_close(st);
    mount(&t, "offline-reset");
    OK(may(&t));
    delivery_done(&reset);
    end(&t);
}

/* ------------------------------------------------------------------------------------------------------------- the clock's file */

static void lose_clock(const struct drill *t, bool remove)
{
    char path[500];

    (void)snprintf(path, sizeof(path), "%s/clock", t->s.path);
    if (remove && unlink(path) != 0)
        abort();
    if (!remove)
        OK(vf_file_write(path, "nothing", 7, 0600, true, why));
}

static void lost_clock(void **state)
{
    struct drill t;
    struct delivery reset;

    (void)state;
    start(&t, "lost");
    run(&t, VF_DAY_US);
    deliver_renewal(&p, &t.d, "lost-1", 10 * VF_DAY_US, true, &reset);
    OK(take1(t.st, reset.grant));
    run(&t, HOUR_US);
    OK(vf_log_commit(vf_station_log(t.st), &(struct vf_entry){.event = VF_EVENT_MOUNT, .part = -1, .result = "ok"}, why));
    int64_t known = vf_clock_wall_us();
    unmount(&t);
    /* The log tells that it was later; the reset that is stored is not taken a second time. */
    for (unsigned how = 0; how < 2; how++) {
        lose_clock(&t, how == 0);
        fake_clock_step(-VF_DAY_US);
        mount(&t, "lost");
        assert_true(trusted(&t) >= known);
        assert_int_equal(may(&t), VF_E_CLOCK);
        fake_clock_step(VF_DAY_US);
        OK(may(&t));
        unmount(&t);
    }
    mount(&t, "lost");
    OK(may(&t));
    delivery_done(&reset);
    end(&t);
}

/* A wrong year is in the log, and the clock's file is gone: H is held to the end of the grants, and a reset is still possible. */
static void lost_in_a_wrong_year(void **state)
{
    struct drill t;
    struct delivery reset;

    (void)state;
    start(&t, "wrong-year");
    run(&t, 20 * MINUTE_US);
    int64_t until = vf_job_grant(t.job)->until_us;
    fake_clock_step(5 * YEAR_US);
    OK(vf_log_commit(vf_station_log(t.st), &(struct vf_entry){.event = VF_EVENT_MOUNT, .part = -1, .result = "ok"}, why));
    unmount(&t);
    fake_clock_step(-5 * YEAR_US);
    lose_clock(&t, true);
    mount(&t, "wrong-year");
    assert_int_equal(trusted(&t), until);
    deliver_renewal(&p, &t.d, "wrong-year-1", 10 * VF_DAY_US, true, &reset);
    OK(take1(t.st, reset.grant));
    vf_job_unref(t.job);
    t.job = job_of(t.st, "wrong-year");
    OK(may(&t));
    delivery_done(&reset);
    end(&t);
}

/* Another device's clock, put in place of this one's: not believed. */
static void foreign_clock(void **state)
{
    struct drill t, u;
    char from[500], to[500];
    size_t len = 0;

    (void)state;
    start(&u, "donor");
    unmount(&u);
    start(&t, "mine");
    run(&t, VF_DAY_US);
    OK(vf_log_commit(vf_station_log(t.st), &(struct vf_entry){.event = VF_EVENT_MOUNT, .part = -1, .result = "ok"}, why));
    int64_t known = vf_clock_wall_us();
    unmount(&t);
    (void)snprintf(from, sizeof(from), "%s/clock", u.s.path);
    (void)snprintf(to, sizeof(to), "%s/clock", t.s.path);
    VF_FREE char *data = get_file(from, &len);
    OK(vf_file_write(to, data, len, 0600, true, why));
    fake_clock_step(-VF_DAY_US / 2);
    mount(&t, "mine");
    assert_true(trusted(&t) >= known);
    assert_int_equal(may(&t), VF_E_CLOCK);
    end(&t);
    delivery_done(&u.d);
    site_done(&u.s);
}

/* ---------------------------------------------------------------------------------------------------------- values that go at last */

static uint64_t dropped(const struct drill *t)
{
    uint64_t n = 0;

    OK(vf_station_sweep(t->st, &n, why));
    return n;
}

/* The only grant has ended: H stands at its end, and still its values go 14 days after it, not sooner. */
static void values_go(void **state)
{
    struct drill t;

    (void)state;
    start(&t, "values-go");
    int64_t until = vf_job_grant(t.job)->until_us;
    run(&t, until - vf_clock_wall_us());
    assert_int_equal(may(&t), VF_E_EXPIRED);
    run(&t, VF_STATION_KEEP_US - HOUR_US);
    assert_int_equal(dropped(&t), 0);
    assert_int_equal(trusted(&t), vf_clock_wall_us());
    run(&t, 2 * HOUR_US);
    assert_true(dropped(&t) > 0);
    end(&t);
}

/* At work for eight hours a day, then switched off: nights count, but of any time off no more than a day. */
static void values_go_in_office_hours(void **state)
{
    struct drill t;
    unsigned days = 0;

    (void)state;
    start(&t, "office-hours");
    run(&t, vf_job_grant(t.job)->until_us - vf_clock_wall_us() + HOUR_US);
    unmount(&t);
    fake_clock_reboot(60 * VF_DAY_US); /* two months in a cupboard */
    mount(&t, "office-hours");
    run(&t, HOUR_US);
    assert_int_equal(dropped(&t), 0);
    do {
        unmount(&t);
        fake_clock_reboot(16 * HOUR_US);
        mount(&t, "office-hours");
        run(&t, 8 * HOUR_US);
        days++;
    } while (dropped(&t) == 0 && days < 30);
    assert_in_range(days, 12, 14);
    end(&t);
}

/* A wrong year, however often, takes no more than a day of the fourteen; a new grant starts the count anew. */
static void values_stay_in_a_wrong_year(void **state)
{
    struct drill t;
    struct delivery more;

    (void)state;
    start(&t, "stay");
    run(&t, 20 * MINUTE_US);
    fake_clock_step(5 * YEAR_US);
    run(&t, 20 * MINUTE_US);
    assert_int_equal(may(&t), VF_E_EXPIRED);
    assert_int_equal(dropped(&t), 0);
    for (unsigned i = 0; i < 10; i++) {
        unmount(&t);
        fake_clock_reboot(YEAR_US);
        mount(&t, "stay");
        run(&t, HOUR_US);
        assert_int_equal(dropped(&t), 0);
    }
    fake_clock_step(-15 * YEAR_US);
    deliver_renewal(&p, &t.d, "stay-1", 10 * VF_DAY_US, true, &more);
    OK(take1(t.st, more.grant));
    run(&t, 4 * VF_DAY_US);
    assert_int_equal(dropped(&t), 0);
    vf_job_unref(t.job);
    t.job = job_of(t.st, "stay");
    OK(may(&t));
    run(&t, 6 * VF_DAY_US + 13 * VF_DAY_US);
    assert_int_equal(may(&t), VF_E_EXPIRED);
    assert_int_equal(dropped(&t), 0);
    run(&t, 2 * VF_DAY_US);
    assert_true(dropped(&t) > 0);
    delivery_done(&more);
    end(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(to_the_second),
        cmocka_unit_test(suspended),
        cmocka_unit_test(back_while_running),
        cmocka_unit_test(back_between_runs),
        cmocka_unit_test(expired_between_runs),
        cmocka_unit_test(short_runs),
        cmocka_unit_test(short_bad_step),
        cmocka_unit_test(long_bad_step),
        cmocka_unit_test(clock_reset_once),
        cmocka_unit_test(clock_reset_unmounted),
        cmocka_unit_test(lost_clock),
        cmocka_unit_test(lost_in_a_wrong_year),
        cmocka_unit_test(foreign_clock),
        cmocka_unit_test(values_go),
        cmocka_unit_test(values_go_in_office_hours),
        cmocka_unit_test(values_stay_in_a_wrong_year),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
