/* SPDX-License-Identifier: MIT */
/* What the station does not ask of the desk (again), and whom it does not wait for. */
#include "desk_client_test.h"

#include "../../vaultfs/desk/client_internal.h"

#include <unistd.h>

/* Several at once, and not enough for all: as many as there is room for, the others are told why. */
static void too_much_together(void **state)
{
    struct client_opener o[OFFICERS];
    unsigned good = 0;
    (void)state;
    client_begin(3, NULL, NULL);
    w.desk.budget = 3;
    OK(client_get(0, VF_PART_IMAGE));
    w.desk.delay_ms = 200;
    for (uint32_t i = 0; i < OFFICERS; i++) {
        o[i] = (struct client_opener){.index = i, .part = VF_PART_IMAGE};
        assert_int_equal(pthread_create(&o[i].thread, NULL, client_open_one, &o[i]), 0);
    }
    for (uint32_t i = 0; i < OFFICERS; i++) {
        assert_int_equal(pthread_join(o[i].thread, NULL), 0);
        assert_true(o[i].err == VF_OK || o[i].err == VF_E_BUDGET);
        good += o[i].err == VF_OK;
    }
    assert_int_equal(good, 3);
    assert_true(w.desk.requests <= 2 + 2);
    client_end();
}

static uint64_t entries(void)
{
    struct vf_log_state s;
    vf_log_state_get(vf_station_log(w.st), &s);
    return s.size;
}

/* The budget is used up, as the station knows by itself: the desk is not asked, and nothing is written. */
static void used_up(void **state)
{
    (void)state;
    client_begin(2, NULL, NULL);
    w.desk.budget = 2;
    OK(client_get(0, VF_PART_IMAGE));
    OK(client_get(1, VF_PART_IMAGE));
    unsigned before = w.desk.requests;
    uint64_t size = entries();
    for (int round = 0; round < 3; round++) {
        for (uint32_t i = 2; i < OFFICERS; i++)
            assert_int_equal(client_get(i, VF_PART_IMAGE), VF_E_BUDGET);
        fake_clock_pass(VF_DESK_WAIT_US + 1);
    }
    assert_int_equal(w.desk.requests, before);
    assert_true(entries() == size);
    OK(client_get(0, VF_PART_TEXT)); /* the other part has its own */
    assert_int_equal(w.desk.requests, before + 1);
    /* What was released is free, its lease over or not. */
    fake_clock_pass(901 * VF_SECOND_US);
    assert_int_equal(vf_job_share_until(job, 1, VF_PART_IMAGE), 0);
    OK(client_get(1, VF_PART_IMAGE));
    assert_int_equal(w.desk.requests, before + 2);
    client_end();
}

/* As only the desk knows: records that a mount before this one had released, and did not open. */
static void used_up_elsewhere(void **state)
{
    (void)state;
    client_begin(2, NULL, NULL);
    w.desk.budget = 2;
    w.desk.released[VF_PART_IMAGE][3] = w.desk.released[VF_PART_IMAGE][4] = true;
    assert_int_equal(client_get(0, VF_PART_IMAGE), VF_E_BUDGET);
    unsigned before = w.desk.requests;
    assert_int_equal(client_get(0, VF_PART_IMAGE), VF_E_BUDGET);
    assert_int_equal(w.desk.requests, before);
    /* One request tells of all others, and no new one is among them. */
    assert_int_equal(client_get(1, VF_PART_IMAGE), VF_E_BUDGET);
    assert_int_equal(w.desk.requests, before + 1);
    uint64_t size = entries();
    for (int round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < OFFICERS; i++)
            assert_int_equal(client_get(i, VF_PART_IMAGE), i == 3 || i == 4 ? VF_OK : VF_E_BUDGET);
        fake_clock_pass(VF_DESK_WAIT_US + 1);
    }
    assert_int_equal(w.desk.requests, before + 1);
    assert_true(entries() == size);
    client_end();
}

static void images_an_hour(void **state)
{
    (void)state;
    client_begin(0, NULL, NULL);
    w.desk.rate = 2;
    OK(client_get(0, VF_PART_IMAGE));
    OK(client_get(1, VF_PART_IMAGE));
    assert_int_equal(client_get(2, VF_PART_IMAGE), VF_E_BUDGET);
    assert_non_null(strstr(why->text, "within this hour"));
    unsigned before = w.desk.requests;
    for (uint32_t i = 2; i < OFFICERS; i++)
        assert_int_equal(client_get(i, VF_PART_IMAGE), VF_E_BUDGET);
    fake_clock_pass(59 * VF_SECOND_US);
    assert_int_equal(client_get(3, VF_PART_IMAGE), VF_E_BUDGET);
    assert_int_equal(w.desk.requests, before);
    OK(client_get(0, VF_PART_TEXT)); /* texts are not counted */
    fake_clock_pass(901 * VF_SECOND_US);
    assert_int_equal(client_get(3, VF_PART_IMAGE), VF_E_BUDGET);
    before = w.desk.requests;
    OK(client_get(1, VF_PART_IMAGE)); /* again */
    assert_int_equal(w.desk.requests, before + 1);
    w.desk.rate = 1;
    fake_clock_pass(61 * VF_SECOND_US);
    OK(client_get(3, VF_PART_IMAGE));
    client_end();
}

/* A refusal that did not look at the log says nothing of it: it is not sent anew. */
static void refused_before_the_log(void **state)
{
    (void)state;
    client_begin(0, NULL, NULL);
    OK(client_get(0, VF_PART_IMAGE));
    w.desk.ends_early = true;
    w.desk.status = VF_ANSWER_REFUSED;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(client_get(1, VF_PART_IMAGE), VF_E_NO_SHARE);
        fake_clock_pass(VF_DESK_WAIT_US + 1);
    }
    w.desk.ends_early = false;
    w.desk.status = VF_ANSWER_OK;
    unsigned before = w.desk.requests;
    OK(client_get(1, VF_PART_IMAGE));
    assert_int_equal(w.desk.requests, before + 1); /* not BEHIND first */
    client_end();
}

/* An exchange that stands still, or nearly, is left when somebody else waits; what comes then is served. */
static void left_in_the_middle(void **state)
{
    static const enum fake_fault faults[] = {FAKE_LOST, FAKE_DRIP};
    (void)state;
    client_begin(0, NULL, NULL);
    client->patience_us = VF_SECOND_US / 2;
    OK(client_get(0, VF_PART_IMAGE));
    for (uint32_t i = 0; i < 2; i++) {
        struct client_opener o = {.index = 1 + i, .part = VF_PART_IMAGE};
        unsigned before = w.desk.requests;
        w.desk.fault = faults[i];
        assert_int_equal(pthread_create(&o.thread, NULL, client_open_one, &o), 0);
        client_wait_for_requests(before + 1);
        (void)usleep(200000);
        w.desk.fault = FAKE_RIGHT;
        int64_t start = client_now_ms();
        OK(client_get(3 + i, VF_PART_IMAGE));
        assert_true(client_now_ms() - start < 2500);
        assert_int_equal(pthread_join(o.thread, NULL), 0);
        assert_int_equal(o.err, VF_E_NO_SHARE);
        OK(client_get(1 + i, VF_PART_IMAGE)); /* nobody is held for it */
    }
    client_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(too_much_together),      cmocka_unit_test(used_up),
        cmocka_unit_test(used_up_elsewhere),      cmocka_unit_test(images_an_hour),
        cmocka_unit_test(refused_before_the_log), cmocka_unit_test(left_in_the_middle),
    };
    return cmocka_run_group_tests(tests, station_set_up, station_tear_down);
}
