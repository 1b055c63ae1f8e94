/* SPDX-License-Identifier: MIT */
/* Who may connect to the desk's server and stay: pace, places, memory. */
#include "../../vaultfs/desk/server.h"
#include "fakeclock.h"

#include <arpa/inet.h>
#include <string.h>
#include <unistd.h>

#include "cmocka_std.h"

static struct sockaddr_storage address(const char *text)
{
    struct sockaddr_storage s = {0};
    struct sockaddr_in *v4 = (struct sockaddr_in *)&s;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&s;
    if (strcmp(text, "unix") == 0) {
        s.ss_family = AF_UNIX;
    } else if (strchr(text, ':')) {
        s.ss_family = AF_INET6;
        assert_int_equal(inet_pton(AF_INET6, text, &v6->sin6_addr), 1);
    } else {
        s.ss_family = AF_INET;
        assert_int_equal(inet_pton(AF_INET, text, &v4->sin_addr), 1);
    }
    return s;
}

/* One end of a pair is the client's; the guard may shut the other. */
struct conn {
    int fds[2];
    struct vf_client *client;
};

static bool admit(struct vf_guard *g, const char *from)
{
    struct sockaddr_storage s = address(from);
    return vf_guard_admit(g, (struct sockaddr *)&s, sizeof(s));
}

static bool enter(struct vf_guard *g, const char *from, struct conn *c)
{
    struct sockaddr_storage s = address(from);
    *c = (struct conn){.fds = {-1, -1}};
    if (!vf_guard_admit(g, (struct sockaddr *)&s, sizeof(s)))
        return false;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, c->fds), 0);
    c->client = vf_guard_enter(g, c->fds[0], (struct sockaddr *)&s);
    return c->client != NULL;
}

static void leave(struct vf_guard *g, struct conn *c)
{
    if (c->client)
        vf_guard_leave(g, c->client);
    for (int i = 0; i < 2; i++)
        if (c->fds[i] >= 0)
            close(c->fds[i]);
    *c = (struct conn){.fds = {-1, -1}};
}

static bool was_cut(const struct conn *c)
{
    char byte;
    return read(c->fds[1], &byte, 1) == 0;
}

static struct vf_guard *guard(unsigned connections, unsigned per_address, size_t budget)
{
    const struct vf_guard_limits limits = {.connections = connections, .per_address = per_address, .budget = budget};
    struct vf_guard *g = vf_guard_new(&limits);
    assert_non_null(g);
    return g;
}

/* ------------------------------------------------------------------------------------------------------------------ pace */

static void test_pace_head(void **state)
{
    struct vf_guard *g = guard(8, 0, 1 << 20);
    struct conn a;
    (void)state;
    assert_true(enter(g, "192.0.2.1", &a));
    fake_clock_pass(9 * VF_SECOND_US);
    vf_guard_tick(g);
    assert_false(was_cut(&a));
    fake_clock_pass(2 * VF_SECOND_US);
    vf_guard_tick(g);
    assert_true(was_cut(&a));
    leave(g, &a);
    vf_guard_free(g);
}

/* 64 KiB a second on top of the grace, whatever it is that is being sent. */
static void test_pace_body(void **state)
{
    struct vf_guard *g = guard(8, 0, 64 << 20);
    struct conn good = {0}, slow = {0};
    (void)state;
    assert_true(enter(g, "192.0.2.1", &good));
    assert_true(enter(g, "192.0.2.2", &slow));
    assert_true(vf_guard_body(g, good.client, 4 << 20));
    assert_true(vf_guard_body(g, slow.client, 4 << 20));
    for (int s = 0; s < 40; s++) {
        fake_clock_pass(VF_SECOND_US);
        assert_true(vf_guard_got(g, good.client, 70000));
        assert_int_equal(vf_guard_got(g, slow.client, 1), s <= 10);
        vf_guard_tick(g);
        assert_false(was_cut(&good));
        assert_int_equal(was_cut(&slow), s >= 10);
    }
    leave(g, &good);
    leave(g, &slow);
    vf_guard_free(g);
}

static void test_pace_work_and_send(void **state)
{
    struct vf_guard *g = guard(8, 0, 64 << 20);
    struct vf_guard_figures f;
    struct conn a;
    (void)state;
    assert_true(enter(g, "192.0.2.1", &a));
    assert_true(vf_guard_body(g, a.client, 100));
    vf_guard_work(g, a.client);
    fake_clock_pass(1000 * VF_SECOND_US); /* the disk takes what it takes */
    vf_guard_tick(g);
    assert_false(was_cut(&a));
    vf_guard_send(g, a.client, 10 * 65536);
    fake_clock_pass(19 * VF_SECOND_US);
    vf_guard_tick(g);
    assert_false(was_cut(&a));
    fake_clock_pass(2 * VF_SECOND_US);
    vf_guard_tick(g);
    assert_true(was_cut(&a));
    leave(g, &a);
    assert_true(enter(g, "192.0.2.1", &a));
    assert_true(vf_guard_body(g, a.client, 100));
    vf_guard_work(g, a.client);
    vf_guard_send(g, a.client, 10);
    vf_guard_done(g, a.client); /* a second request on the same connection has its own time */
    fake_clock_pass(9 * VF_SECOND_US);
    vf_guard_tick(g);
    assert_false(was_cut(&a));
    vf_guard_figures_get(g, &f);
    assert_int_equal(f.cut, 1); /* the one before */
    fake_clock_pass(2 * VF_SECOND_US);
    vf_guard_tick(g);
    assert_true(was_cut(&a));
    vf_guard_figures_get(g, &f);
    assert_int_equal(f.cut, 1); /* it had what it came for */
    leave(g, &a);
    vf_guard_free(g);
}

/* ---------------------------------------------------------------------------------------------------------------- places */

static void test_places(void **state)
{
    struct vf_guard *g = guard(4, 0, 1 << 20);
    struct conn c[4], next;
    struct vf_guard_figures f;
    (void)state;
    for (int i = 0; i < 4; i++) {
        assert_true(enter(g, "unix", &c[i]));
        fake_clock_pass(1000);
    }
    /* The oldest that is not being worked for goes. */
    assert_true(vf_guard_body(g, c[0].client, 10));
    vf_guard_work(g, c[0].client);
    assert_true(enter(g, "unix", &next));
    assert_false(was_cut(&c[0]));
    assert_true(was_cut(&c[1]));
    assert_false(was_cut(&c[2]));
    vf_guard_figures_get(g, &f);
    assert_int_equal(f.connections, 5);
    assert_int_equal(f.inside, 1);
    assert_int_equal(f.cut, 1);
    leave(g, &c[1]);
    /* All of them inside: there is no place. */
    for (int i = 2; i < 4; i++) {
        assert_true(vf_guard_body(g, c[i].client, 10));
        vf_guard_work(g, c[i].client);
    }
    assert_true(vf_guard_body(g, next.client, 10));
    vf_guard_work(g, next.client);
    assert_false(admit(g, "unix"));
    leave(g, &next);
    assert_true(admit(g, "unix"));
    leave(g, &c[0]);
    leave(g, &c[2]);
    leave(g, &c[3]);
    vf_guard_free(g);
}

/* A client that was cut off and does not go keeps its place apart; there is an end to those too. */
static void test_places_spare(void **state)
{
    struct vf_guard *g = guard(2, 0, 1 << 20);
    static struct conn c[2 + VF_GUARD_SPARE];
    (void)state;
    for (size_t i = 0; i < 2 + VF_GUARD_SPARE; i++) {
        assert_true(enter(g, "unix", &c[i]));
        fake_clock_pass(1000);
    }
    assert_false(admit(g, "unix"));
    for (size_t i = 0; i < 2 + VF_GUARD_SPARE; i++)
        leave(g, &c[i]);
    assert_true(admit(g, "unix"));
    vf_guard_free(g);
}

static void test_per_address(void **state)
{
    static const struct {
        const char *first, *same, *other;
        bool limited;
    } rows[] = {
        {"192.0.2.1", "192.0.2.1", "192.0.2.2", true},
        {"192.0.2.1", "::ffff:192.0.2.1", "::ffff:192.0.2.2", true},
        {"2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:db8:1:3::1", true}, /* one customer's network */
        {"127.0.0.1", "127.0.0.1", "192.0.2.2", false},                       /* a proxy */
        {"::1", "::1", "192.0.2.2", false},
        {"unix", "unix", "192.0.2.2", false},
        {"::ffff:127.0.0.9", "127.0.0.9", "192.0.2.2", false},
    };
    (void)state;
    for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
        struct vf_guard *g = guard(100, 0, 1 << 20);
        struct conn c[32];
        for (size_t i = 0; i < 32; i++)
            assert_true(enter(g, rows[r].first, &c[i]));
        assert_int_equal(admit(g, rows[r].same), !rows[r].limited);
        assert_true(admit(g, rows[r].other));
        leave(g, &c[0]);
        assert_true(admit(g, rows[r].same));
        for (size_t i = 0; i < 32; i++)
            leave(g, &c[i]);
        vf_guard_free(g);
        /* Given, the limit is everybody's. */
        g = guard(100, 3, 1 << 20);
        for (size_t i = 0; i < 3; i++)
            assert_true(enter(g, rows[r].first, &c[i]));
        assert_false(admit(g, rows[r].same));
        for (size_t i = 0; i < 3; i++)
            leave(g, &c[i]);
        vf_guard_free(g);
    }
}

/* ---------------------------------------------------------------------------------------------------------------- memory */

static size_t held(struct vf_guard *g)
{
    struct vf_guard_figures f;
    vf_guard_figures_get(g, &f);
    return f.held;
}

static void test_budget(void **state)
{
    struct vf_guard *g = guard(10, 0, 1 << 20);
    struct conn a = {0}, b = {0}, c = {0};
    struct vf_guard_figures f;
    (void)state;
    assert_true(enter(g, "192.0.2.1", &a) && enter(g, "192.0.2.2", &b) && enter(g, "192.0.2.1", &c));
    assert_false(vf_guard_body(g, a.client, (512 << 10) + 1)); /* more than half of it for one address */
    assert_true(vf_guard_body(g, a.client, 512 << 10));
    assert_int_equal(held(g), 0); /* announced, no more */
    assert_true(vf_guard_got(g, a.client, 512 << 10));
    assert_true(vf_guard_body(g, c.client, VF_GUARD_SMALL + 1)); /* the same address */
    assert_false(vf_guard_got(g, c.client, 1));
    assert_true(vf_guard_body(g, c.client, VF_GUARD_SMALL)); /* small ones always */
    assert_true(vf_guard_got(g, c.client, VF_GUARD_SMALL));
    assert_true(vf_guard_body(g, b.client, 400 << 10));
    assert_true(vf_guard_got(g, b.client, 400 << 10));
    assert_int_equal(held(g), (512 + 400) << 10);
    vf_guard_work(g, a.client);
    assert_int_equal(held(g), (2 * 512 + 400) << 10); /* opened, it is there twice */
    vf_guard_send(g, a.client, 100);                  /* the request's memory is given back, the answer is small */
    assert_int_equal(held(g), 400 << 10);
    leave(g, &b); /* in the middle */
    vf_guard_send(g, a.client, 200 << 10);
    assert_int_equal(held(g), 200 << 10);
    vf_guard_done(g, a.client);
    leave(g, &a);
    leave(g, &c);
    vf_guard_figures_get(g, &f);
    assert_int_equal(f.held, 0);
    assert_int_equal(f.connections, 0);
    vf_guard_free(g);
}

/* Many that announce much and send little: a fast one finds room beside them, and the slowest make room for it. */
static void test_slow_uploads(void **state)
{
    struct vf_guard *g = guard(20, 0, 1 << 20);
    struct conn slow[4], slower = {0}, fast = {0}, small = {0}, greedy = {0};
    (void)state;
    for (int i = 0; i < 4; i++) {
        assert_true(enter(g, "unix", &slow[i]));
        assert_true(vf_guard_body(g, slow[i].client, 1 << 20));
    }
    assert_true(enter(g, "unix", &slower) && vf_guard_body(g, slower.client, 1 << 20));
    for (int s = 0; s < 9; s++) { /* just the pace that is asked for: 190 KiB each until then */
        fake_clock_pass(VF_SECOND_US / 3);
        for (int i = 0; i < 4; i++)
            assert_true(vf_guard_got(g, slow[i].client, 21 << 10));
        assert_true(vf_guard_got(g, slower.client, 20 << 10));
        vf_guard_tick(g);
    }
    assert_int_equal(held(g), (4 * 21 + 20) * 9 << 10);
    assert_true(enter(g, "unix", &fast) && vf_guard_body(g, fast.client, 900 << 10));
    for (int k = 0; k < 45; k++) {
        fake_clock_pass(VF_SECOND_US / 20);
        assert_true(vf_guard_got(g, fast.client, 20 << 10));
        assert_true(held(g) <= 1 << 20);
        if (k == 8)
            assert_true(was_cut(&slower) && !was_cut(&slow[0]) && !was_cut(&slow[3]));
    }
    vf_guard_work(g, fast.client);
    for (int i = 0; i < 4; i++)
        assert_true(was_cut(&slow[i]));
    assert_false(vf_guard_got(g, slower.client, 1)); /* what is still on its way of it */
    /* What is being worked at is nobody's to take: then it is the newcomer who waits. A small one has its place. */
    assert_true(enter(g, "unix", &greedy) && vf_guard_body(g, greedy.client, 200 << 10));
    assert_false(vf_guard_got(g, greedy.client, 100 << 10));
    assert_true(enter(g, "unix", &small) && vf_guard_body(g, small.client, 60000) && vf_guard_got(g, small.client, 60000));
    assert_false(was_cut(&fast) || was_cut(&small));
    struct conn *all[] = {&slow[0], &slow[1], &slow[2], &slow[3], &slower, &fast, &small, &greedy};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        leave(g, all[i]);
    assert_int_equal(held(g), 0);
    vf_guard_free(g);
}

/* So many at a time: of one address, and of all. */
static void test_uploads_counted(void **state)
{
    struct vf_guard *g = guard(2 * VF_GUARD_LARGE + 4, 0, 64 << 20);
    struct conn c[VF_GUARD_LARGE + 1], other[2], next;
    (void)state;
    for (size_t i = 0; i <= VF_GUARD_LARGE; i++) {
        assert_true(enter(g, "192.0.2.1", &c[i]));
        assert_int_equal(vf_guard_body(g, c[i].client, 1 << 20), i < VF_GUARD_LARGE);
    }
    assert_true(vf_guard_body(g, c[VF_GUARD_LARGE].client, VF_GUARD_SMALL));
    for (size_t i = 0; i < 2; i++)
        assert_true(enter(g, "192.0.2.2", &other[i]) && vf_guard_body(g, other[i].client, 1 << 20));
    for (size_t i = 0; i < VF_GUARD_LARGE; i++) {
        assert_true(vf_guard_got(g, c[i].client, 9000 - 1000 * i));
        if (i < 2)
            assert_true(vf_guard_got(g, other[i].client, 9000));
    }
    assert_true(enter(g, "unix", &next));
    assert_false(vf_guard_body(g, next.client, 1 << 20)); /* nobody has been long enough at it */
    fake_clock_pass(3 * VF_SECOND_US);
    assert_true(vf_guard_body(g, next.client, 1 << 20));
    for (size_t i = 0; i < VF_GUARD_LARGE; i++)
        assert_int_equal(was_cut(&c[i]), i == VF_GUARD_LARGE - 1);
    for (size_t i = 0; i <= VF_GUARD_LARGE; i++)
        leave(g, &c[i]);
    leave(g, &other[0]);
    leave(g, &other[1]);
    leave(g, &next);
    vf_guard_free(g);
}

/* Much at once, and then nothing: it stays in memory no longer than twenty seconds. */
static void test_rest(void **state)
{
    struct vf_guard *g = guard(4, 0, 64 << 20);
    struct conn a;
    (void)state;
    assert_true(enter(g, "192.0.2.1", &a) && vf_guard_body(g, a.client, 32 << 20));
    assert_true(vf_guard_got(g, a.client, 31 << 20));
    fake_clock_pass(19 * VF_SECOND_US);
    vf_guard_tick(g);
    assert_false(was_cut(&a));
    fake_clock_pass(2 * VF_SECOND_US);
    vf_guard_tick(g);
    assert_true(was_cut(&a));
    assert_int_equal(held(g), 0);
    leave(g, &a);
    vf_guard_free(g);
}

static void test_drain(void **state)
{
    struct vf_guard *g = guard(10, 0, 1 << 20);
    struct conn idle = {0}, busy = {0};
    (void)state;
    assert_true(enter(g, "unix", &idle) && enter(g, "unix", &busy));
    assert_true(vf_guard_body(g, busy.client, 10));
    assert_int_equal(vf_guard_drain(g), 1);
    assert_true(was_cut(&idle));
    assert_false(was_cut(&busy));
    assert_false(admit(g, "unix"));
    vf_guard_work(g, busy.client);
    assert_int_equal(vf_guard_drain(g), 1);
    vf_guard_send(g, busy.client, 10);
    vf_guard_done(g, busy.client);
    assert_int_equal(vf_guard_drain(g), 0);
    assert_true(was_cut(&busy));
    leave(g, &idle);
    leave(g, &busy);
    vf_guard_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pace_head), cmocka_unit_test(test_pace_body),    cmocka_unit_test(test_pace_work_and_send),
        cmocka_unit_test(test_places),    cmocka_unit_test(test_places_spare), cmocka_unit_test(test_per_address),
        cmocka_unit_test(test_budget),    cmocka_unit_test(test_slow_uploads), cmocka_unit_test(test_uploads_counted),
        cmocka_unit_test(test_rest),      cmocka_unit_test(test_drain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
