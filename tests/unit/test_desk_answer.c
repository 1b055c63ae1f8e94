/* SPDX-License-Identifier: MIT */
/* What the desk answers: each status for what deserves it, and shares for nothing else. */
#include "desk_test.h"

#include "fakeclock.h"

static struct desk_world w;
static struct vf_desk *d;

static int set_up(void **state)
{
    if (desk_set_up(state) != 0)
        return -1;
    desk_world_make(&w, DESK_OFFICERS, 40, 0);
    d = desk_open(&w);
    return 0;
}

static int tear_down(void **state)
{
    desk_close(d);
    desk_world_done(&w);
    return desk_tear_down(state);
}

/* ------------------------------------------------------------------------------------------------------------------ first steps */

static void before_there_is_a_policy(void **state)
{
    struct desk_client c;

    (void)state;
    desk_client_make(&w, "early", VF_DAY_US, 0, &c);
    assert_int_equal(desk_status_of(&w, d, &c, true, 0, VF_PART_TEXT), VF_ANSWER_REFUSED);
    desk_take_policy(&w, d);
    assert_int_equal(desk_status_of(&w, d, &c, true, 0, VF_PART_TEXT), VF_ANSWER_OK);
    desk_client_done(&c);
}

static void a_first_contact(void **state)
{
    struct desk_client c;

    (void)state;
    desk_client_make(&w, "first", VF_DAY_US, 0, &c);
    assert_int_equal(desk_status_of(&w, d, &c, false, 0, VF_PART_TEXT), VF_ANSWER_UNKNOWN);
    desk_client_works(&c, 1);
    struct vf_request req = desk_request(&c, true);
    desk_want(&w, &req, 0, VF_PART_TEXT);
    desk_want(&w, &req, 3, VF_PART_IMAGE);
    desk_want(&w, &req, 0, VF_PART_TEXT); /* twice is once */
    VF_CLEANUP(desk_reply_done) struct desk_reply r = desk_ask(&w, d, &c, &req);
    OK(r.err);
    assert_int_equal(r.answer.status, VF_ANSWER_OK);
    assert_int_equal(r.answer.nshares, 2);
    assert_int_equal(r.outcome.fresh, 2);
    assert_string_equal(r.outcome.device, "first");
    assert_string_equal(r.outcome.job, "cards");
    assert_int_equal(r.answer.lease_us, VF_DESK_LEASE_US);
    assert_int_equal(r.answer.time_us, vf_clock_wall_us());
    assert_int_equal(r.answer.log_size, c.known);
    desk_shares_open(&c, &r);
    /* From now on without any of it. */
    assert_int_equal(desk_status_of(&w, d, &c, false, 0, VF_PART_TEXT), VF_ANSWER_OK);
    desk_client_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(before_there_is_a_policy),
        cmocka_unit_test(a_first_contact),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
