/* SPDX-License-Identifier: MIT */
/* The log's time: never back, and every step of the clock is an entry. */
#include "audit_test.h"

#include "fakeclock.h"

#include <stdio.h>

#include "cmocka_std.h"

static struct audit_place place;
static struct vf_verdict v;
static const struct vf_log_options batch = {.batch = true};

static int fresh(void **state)
{
    (void)state;
    fake_clock_set(FAKE_CLOCK_START_US, 3600 * VF_SECOND_US);
    audit_place_make(&place);
    return 0;
}

static int away(void **state)
{
    (void)state;
    audit_place_done(&place);
    return 0;
}

struct seen {
    unsigned n, clocks;
    int64_t times[40];
    char result[40][16];
    uint64_t count[40];
};

static enum vf_err each(void *user, const struct vf_entry_view *e, bool sealed, struct vf_why *why)
{
    struct seen *s = user;

    (void)sealed;
    (void)why;
    assert_true(s->n < 40);
    s->times[s->n] = e->time_us - FAKE_CLOCK_START_US;
    (void)snprintf(s->result[s->n], sizeof(s->result[0]), "%.*s", (int)e->result.len, e->result.p);
    s->count[s->n] = e->event == VF_EVENT_CLOCK ? e->count : UINT64_MAX;
    s->clocks += e->event == VF_EVENT_CLOCK ? 1 : 0;
    s->n++;
    return VF_OK;
}

static struct seen look(void)
{
    struct seen s = {0};
    struct vf_verify_options opt = {.signers = &device_key, .nsigners = 1, .log_id = &place.id, .each = each, .user = &s};

    OK(vf_log_verify(place.log, &opt, &v, WHY));
    if (!v.good) {
        audit_print(&v);
        fail();
    }
    assert_int_equal(v.clock_steps, s.clocks);
    return s;
}

static void test_time_passes(void **state)
{
    (void)state;
    struct vf_log *log = audit_open(&place, &batch);
    for (int i = 0; i < 5; i++) {
        audit_commit(log, (uint64_t)i);
        fake_clock_pass(i * 1000 * VF_SECOND_US + 1);
    }
    audit_close(log);
    struct seen s = look();
    assert_true(s.n == 6 && s.clocks == 0);
    assert_true(s.times[0] == 0 && s.times[1] == 1 && s.times[4] == 6000 * VF_SECOND_US + 4);
    assert_true(v.first_us == FAKE_CLOCK_START_US && v.sealed_until_us == v.last_us);
}

static void test_steps(void **state)
{
    (void)state;
    struct vf_log *log = audit_open(&place, &batch);
    audit_commit(log, 0);
    fake_clock_step(-VF_SECOND_US); /* a second, both ways, is what a time service does */
    audit_commit(log, 1);
    fake_clock_step(VF_SECOND_US);
    audit_commit(log, 2);
    fake_clock_step(3600 * VF_SECOND_US);
    audit_commit(log, 3);
    fake_clock_step(-7200 * VF_SECOND_US);
    audit_commit(log, 4); /* entry 4 tells the step, 5 is this one */
    audit_commit(log, 5);
    fake_clock_pass(600 * VF_SECOND_US);
    audit_commit(log, 6);
    fake_clock_step(3 * VF_DAY_US);
    audit_commit(log, 7);
    audit_close(log);
    struct seen s = look();
    assert_true(s.n == 11 && s.clocks == 2);
    assert_true(s.count[4] == 7200 && strcmp(s.result[4], "back") == 0);
    assert_true(s.count[8] == 259200 && strcmp(s.result[8], "forward") == 0);
    /* Back in time is not written: it stands still until the clock has caught up. */
    assert_true(s.times[1] == 0 && s.times[3] == 3600 * VF_SECOND_US);
    for (int i = 4; i < 8; i++)
        assert_true(s.times[i] == s.times[3]);
    assert_true(s.times[9] == 3 * VF_DAY_US - 3600 * VF_SECOND_US + 600 * VF_SECOND_US);
}

/* Set back while no log was open: told at the next opening, from the last entry's time. */
static void test_between(void **state)
{
    (void)state;
    struct vf_log *log = audit_open(&place, &batch);
    audit_commit(log, 0);
    audit_close(log);
    fake_clock_reboot(-100 * VF_SECOND_US);
    log = audit_open(&place, &batch);
    audit_commit(log, 1);
    audit_commit(log, 2);
    audit_close(log);
    fake_clock_reboot(400 * VF_DAY_US);
    log = audit_open(&place, &batch);
    audit_commit(log, 3);
    audit_close(log);
    struct seen s = look();
    assert_true(s.clocks == 1 && s.count[2] == 100 && strcmp(s.result[2], "back") == 0);
    assert_true(s.times[3] == 0 && s.times[6] == 400 * VF_DAY_US - 100 * VF_SECOND_US);
}

static int64_t other_time = FAKE_CLOCK_START_US;

static int64_t other_clock(void *user)
{
    *(unsigned *)user += 1;
    return other_time;
}

/* The caller's clock is the one that counts. */
static void test_given_clock(void **state)
{
    unsigned asked = 0;
    struct vf_log_state st;

    (void)state;
    struct vf_log *log = audit_open(&place, &(struct vf_log_options){.batch = true, .now_us = other_clock, .user = &asked});
    audit_commit(log, 0);
    other_time += 5 * VF_SECOND_US;
    fake_clock_pass(5 * VF_SECOND_US);
    audit_commit(log, 1);
    vf_log_state_get(log, &st);
    assert_true(st.last_time_us == other_time);
    audit_close(log);
    struct seen s = look();
    assert_true(asked > 0 && s.n == 3 && s.times[1] == 5 * VF_SECOND_US && s.clocks == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_time_passes, fresh, away),
        cmocka_unit_test_setup_teardown(test_steps, fresh, away),
        cmocka_unit_test_setup_teardown(test_between, fresh, away),
        cmocka_unit_test_setup_teardown(test_given_clock, fresh, away),
    };

    return cmocka_run_group_tests(tests, audit_set_up, audit_tear_down);
}
