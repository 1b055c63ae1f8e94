/* SPDX-License-Identifier: MIT */
/* How much is released: budgets and the hour's rate, to the record, over restarts, and by several threads at once. */
#include "desk_test.h"

#include "fakeclock.h"

#include <pthread.h>

#define OFFICERS 1100
#define HOUR_US  (3600 * VF_SECOND_US)

static struct desk_world w;
static struct vf_desk *d;

static int set_up(void **state)
{
    return desk_and_force(state, &w, OFFICERS, 20, true, &d);
}

static int tear_down(void **state)
{
    return desk_and_force_done(state, &w, d);
}

/* Shares for rows [from, to) of a part; the status. */
static uint64_t shares_of(struct desk_client *c, uint32_t from, uint32_t to, enum vf_part part, enum vf_answer_status expect)
{
    desk_client_works(c, 1);
    struct vf_request req = desk_request(c, false);
    for (uint32_t i = from; i < to; i++)
        desk_want(c, &req, i, part);
    VF_CLEANUP(desk_reply_done) struct desk_reply r = desk_ask(&w, d, c, &req);
    OK(r.err);
    assert_int_equal(r.answer.status, expect);
    desk_shares_open(c, &r);
    return r.answer.nshares;
}

static enum vf_answer_status all_texts(struct desk_client *c)
{
    desk_client_works(c, 1);
    struct vf_request req = desk_request(c, false);
    req.all_text = true;
    VF_CLEANUP(desk_reply_done) struct desk_reply r = desk_ask(&w, d, c, &req);
    OK(r.err);
    assert_int_equal(r.answer.nshares, r.answer.status == VF_ANSWER_OK ? OFFICERS : 0);
    return r.answer.status;
}

static void a_budget(void **state)
{
    struct desk_client c;

    (void)state;
    desk_client_make(&w, "budget", 10 * HOUR_US, 10, &c);
    desk_introduce(&w, d, &c);
    assert_int_equal(shares_of(&c, 0, 9, VF_PART_TEXT, VF_ANSWER_OK), 9);
    assert_int_equal(shares_of(&c, 0, 9, VF_PART_TEXT, VF_ANSWER_OK), 9); /* reprints are free */
    for (unsigned i = 0; i < 2; i++) {
        desk_close(d); /* the first time it had closed in order; then it counts from the log what the snapshot lacks */
        d = desk_open(&w);
        assert_int_equal(shares_of(&c, 0, 9, VF_PART_TEXT, VF_ANSWER_OK), 9);
    }
    assert_int_equal(all_texts(&c), VF_ANSWER_BUDGET);
    assert_int_equal(shares_of(&c, 8, 12, VF_PART_TEXT, VF_ANSWER_OK), 2); /* one of before, one that fits */
    assert_int_equal(shares_of(&c, 10, 12, VF_PART_TEXT, VF_ANSWER_BUDGET), 0);
    assert_int_equal(shares_of(&c, 0, 12, VF_PART_IMAGE, VF_ANSWER_OK), 10); /* a part each */
    assert_int_equal(shares_of(&c, 11, 12, VF_PART_IMAGE, VF_ANSWER_BUDGET), 0);
    desk_close(d);
    d = desk_open(&w);
    assert_int_equal(shares_of(&c, 10, 12, VF_PART_TEXT, VF_ANSWER_BUDGET), 0);
    assert_int_equal(shares_of(&c, 0, 10, VF_PART_TEXT, VF_ANSWER_OK), 10);
    desk_client_done(&c);
}

static void a_budget_of_all(void **state)
{
    struct desk_client c;

    (void)state;
    desk_client_make(&w, "just-enough", 10 * HOUR_US, OFFICERS, &c);
    desk_introduce(&w, d, &c);
    assert_int_equal(shares_of(&c, 5, 6, VF_PART_TEXT, VF_ANSWER_OK), 1);
    assert_int_equal(all_texts(&c), VF_ANSWER_OK);
    assert_int_equal(all_texts(&c), VF_ANSWER_OK);
    desk_close(d);
    d = desk_open(&w);
    assert_int_equal(all_texts(&c), VF_ANSWER_OK);
    desk_client_done(&c);
    desk_client_make(&w, "one-short", 10 * HOUR_US, OFFICERS - 1, &c);
    desk_introduce(&w, d, &c);
    assert_int_equal(all_texts(&c), VF_ANSWER_BUDGET);
    assert_int_equal(shares_of(&c, 5, 6, VF_PART_TEXT, VF_ANSWER_OK), 1);
    desk_client_done(&c);
}

/* 1,000 new images an hour of a device; texts and reprints do not count, another device has its own. */
static void the_rate(void **state)
{
    struct desk_client c, other;
    uint64_t n = 0;

    (void)state;
    desk_client_make(&w, "fast", 10 * HOUR_US, 0, &c);
    desk_client_make(&w, "slow", 10 * HOUR_US, 0, &other);
    desk_introduce(&w, d, &c);
    desk_introduce(&w, d, &other);
    for (uint32_t at = 0; at < 960; at += 64)
        n += shares_of(&c, at, at + 64, VF_PART_IMAGE, VF_ANSWER_OK);
    assert_int_equal(n, 960);
    fake_clock_pass(10 * 60 * VF_SECOND_US);
    desk_close(d);
    d = desk_open(&w); /* and it is remembered */
    assert_int_equal(shares_of(&c, 960, 1024, VF_PART_IMAGE, VF_ANSWER_OK), 40);
    assert_int_equal(shares_of(&c, 1000, 1064, VF_PART_IMAGE, VF_ANSWER_RATE), 0);
    assert_int_equal(shares_of(&c, 936, 1000, VF_PART_IMAGE, VF_ANSWER_OK), 64);
    assert_int_equal(shares_of(&c, 1000, 1064, VF_PART_TEXT, VF_ANSWER_OK), 64);
    assert_int_equal(shares_of(&other, 1000, 1064, VF_PART_IMAGE, VF_ANSWER_OK), 64);
    fake_clock_pass(49 * 60 * VF_SECOND_US);
    assert_int_equal(shares_of(&c, 1000, 1064, VF_PART_IMAGE, VF_ANSWER_RATE), 0);
    fake_clock_pass(13 * 60 * VF_SECOND_US);
    assert_int_equal(shares_of(&c, 1000, 1064, VF_PART_IMAGE, VF_ANSWER_OK), 64);
    desk_client_done(&c);
    desk_client_done(&other);
}

/* ------------------------------------------------------------------------------------------------------------------- threads */

#define CLIENTS 3
#define ROUNDS  12

static struct desk_client clients[CLIENTS];
static uint64_t given[CLIENTS];

static void *ask_on(void *arg)
{
    size_t at = (size_t)(uintptr_t)arg;

    for (uint32_t i = 0; i < ROUNDS; i++) {
        struct desk_client *c = &clients[at];
        desk_client_works(c, 1);
        struct vf_request req = desk_request(c, false);
        for (uint32_t k = 0; k < 5; k++)
            desk_want(c, &req, i * 5 + k, VF_PART_TEXT);
        VF_CLEANUP(desk_reply_done) struct desk_reply r = desk_ask(&w, d, c, &req);
        OK(r.err);
        if (r.answer.status != VF_ANSWER_OK && r.answer.status != VF_ANSWER_BUDGET)
            abort();
        given[at] += r.outcome.fresh;
    }
    return NULL;
}

static void *look_on(void *arg)
{
    struct vf_desk_status s;

    (void)arg;
    for (unsigned i = 0; i < 20; i++) {
        OK(vf_desk_tick(d, NULL));
        OK(vf_desk_status_get(d, &s, NULL));
    }
    return NULL;
}

static void several_at_once(void **state)
{
    static const char *const names[CLIENTS] = {"thread-1", "thread-2", "thread-3"};
    pthread_t threads[CLIENTS + 1];

    (void)state;
    for (size_t i = 0; i < CLIENTS; i++) {
        desk_client_make(&w, names[i], 10 * HOUR_US, 42, &clients[i]);
        desk_introduce(&w, d, &clients[i]);
    }
    for (size_t i = 0; i < CLIENTS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask_on, (void *)(uintptr_t)i), 0);
    assert_int_equal(pthread_create(&threads[CLIENTS], NULL, look_on, NULL), 0);
    for (size_t i = 0; i <= CLIENTS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (size_t i = 0; i < CLIENTS; i++) {
        assert_int_equal(given[i], 42);
        desk_client_done(&clients[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_budget),
        cmocka_unit_test(a_budget_of_all),
        cmocka_unit_test(the_rate),
        cmocka_unit_test(several_at_once),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
