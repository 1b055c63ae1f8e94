/* SPDX-License-Identifier: MIT */
/*
 * The parts of the desk's server that need no desk: who may connect and stay, whose request is next, addresses, figures, what keytool is told. The
 * whole of it, with real sockets and stations, is in tests/mounted/test_desk_server.py.
 */
#include "../../vaultfs/desk/server.h"
#include "fakeclock.h"
#include "scratch.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
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
    struct conn good, slow;
    (void)state;
    assert_true(enter(g, "192.0.2.1", &good));
    assert_true(enter(g, "192.0.2.2", &slow));
    assert_true(vf_guard_body(g, good.client, 4 << 20));
    assert_true(vf_guard_body(g, slow.client, 4 << 20));
    for (int s = 0; s < 40; s++) {
        fake_clock_pass(VF_SECOND_US);
        vf_guard_got(g, good.client, 70000);
        vf_guard_got(g, slow.client, 1);
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

static void test_budget(void **state)
{
    struct vf_guard *g = guard(10, 0, 1 << 20);
    struct conn a, b, c;
    struct vf_guard_figures f;
    (void)state;
    assert_true(enter(g, "192.0.2.1", &a) && enter(g, "192.0.2.2", &b) && enter(g, "192.0.2.1", &c));
    assert_false(vf_guard_body(g, a.client, (512 << 10) + 1)); /* more than half of it for one address */
    assert_true(vf_guard_body(g, a.client, 512 << 10));
    assert_false(vf_guard_body(g, c.client, VF_GUARD_SMALL + 1)); /* the same address */
    assert_true(vf_guard_body(g, c.client, VF_GUARD_SMALL));      /* small ones always */
    assert_true(vf_guard_body(g, b.client, 400 << 10));
    vf_guard_figures_get(g, &f);
    assert_int_equal(f.held, (512 + 400) << 10);
    vf_guard_work(g, a.client);
    vf_guard_send(g, a.client, 100); /* the request's memory is given back, the answer is small */
    vf_guard_figures_get(g, &f);
    assert_int_equal(f.held, 400 << 10);
    leave(g, &b); /* in the middle */
    vf_guard_send(g, a.client, 200 << 10);
    vf_guard_figures_get(g, &f);
    assert_int_equal(f.held, 200 << 10);
    vf_guard_done(g, a.client);
    leave(g, &a);
    leave(g, &c);
    vf_guard_figures_get(g, &f);
    assert_int_equal(f.held, 0);
    assert_int_equal(f.connections, 0);
    vf_guard_free(g);
}

static void test_drain(void **state)
{
    struct vf_guard *g = guard(10, 0, 1 << 20);
    struct conn idle, busy;
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

/* --------------------------------------------------------------------------------------------------------------- workers */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t change;
    unsigned inside, most, done;
    bool hold;
    struct vf_exchange *order[16];
} seen = {.lock = PTHREAD_MUTEX_INITIALIZER, .change = PTHREAD_COND_INITIALIZER};

static void run(struct vf_exchange *e)
{
    pthread_mutex_lock(&seen.lock);
    seen.inside++;
    seen.most = seen.inside > seen.most ? seen.inside : seen.most;
    pthread_cond_broadcast(&seen.change);
    while (seen.hold && e->got == 0)
        pthread_cond_wait(&seen.change, &seen.lock);
    seen.inside--;
    seen.order[seen.done++] = e;
    pthread_cond_broadcast(&seen.change);
    pthread_mutex_unlock(&seen.lock);
}

/* Of four workers one address has two; somebody else is served while it fills them. */
static void test_workers_share(void **state)
{
    struct vf_client one = {.address = {1}}, other = {.address = {2}};
    struct vf_exchange e[6] = {0}, last = {.client = &other, .got = 1};
    struct vf_workers *w = NULL;
    (void)state;
    seen.hold = true;
    seen.most = seen.done = 0;
    assert_int_equal(vf_workers_start(4, run, &w, NULL), VF_OK);
    for (int i = 0; i < 6; i++) {
        e[i].client = &one;
        vf_workers_put(w, &e[i]);
    }
    vf_workers_put(w, &last);
    pthread_mutex_lock(&seen.lock);
    while (seen.done == 0)
        pthread_cond_wait(&seen.change, &seen.lock);
    assert_ptr_equal(seen.order[0], &last);
    assert_in_range(seen.inside, 0, 2);
    seen.hold = false;
    pthread_cond_broadcast(&seen.change);
    pthread_mutex_unlock(&seen.lock);
    vf_workers_stop(w); /* what is queued is answered first */
    assert_int_equal(seen.done, 7);
    assert_in_range(seen.most, 1, 3);
}

/* Behind a proxy all have one address: they have all the workers. */
static void test_workers_shared_address(void **state)
{
    struct vf_client proxy = {.shared = true};
    struct vf_exchange e[8] = {0};
    struct vf_workers *w = NULL;
    (void)state;
    seen.hold = true;
    seen.most = seen.done = 0;
    assert_int_equal(vf_workers_start(4, run, &w, NULL), VF_OK);
    for (int i = 0; i < 8; i++) {
        e[i].client = &proxy;
        vf_workers_put(w, &e[i]);
    }
    pthread_mutex_lock(&seen.lock);
    while (seen.inside < 4)
        pthread_cond_wait(&seen.change, &seen.lock);
    seen.hold = false;
    pthread_cond_broadcast(&seen.change);
    pthread_mutex_unlock(&seen.lock);
    vf_workers_stop(w);
    assert_int_equal(seen.done, 8);
    vf_workers_stop(NULL);
}

/* ------------------------------------------------------------------------------------------------------------- listening */

static void test_listen_words(void **state)
{
    static const char *const wrong[] = {"",
                                        ":",
                                        "8460",
                                        ":8460",
                                        "127.0.0.1",
                                        "127.0.0.1:",
                                        "127.0.0.1:x",
                                        "127.0.0.1:65536",
                                        "127.0.0.1:-1",
                                        "127.0.0.1:08460x",
                                        "::1:8460",
                                        "[::1]",
                                        "[]:1",
                                        "unix:",
                                        "unix:/",
                                        "no.such.host.invalid:1"};
    struct vf_listen l;
    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct vf_why why = {0};
        assert_int_equal(vf_listen_open(wrong[i], 0600, &l, &why), VF_E_INPUT);
        assert_true(why.text[0]);
    }
    assert_int_equal(vf_listen_open("127.0.0.1:0", 0600, &l, NULL), VF_OK);
    assert_int_equal(strncmp(l.where, "127.0.0.1:", 10), 0);
    assert_string_not_equal(l.where, "127.0.0.1:0");
    struct vf_listen again;
    assert_int_equal(vf_listen_open(l.where, 0600, &again, NULL), VF_E_BUSY);
    vf_listen_close(&l);
    assert_int_equal(l.fd, -1);
}

static struct scratch scratch;

static int set_up(void **state)
{
    (void)state;
    scratch_make(&scratch);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    scratch_remove(&scratch);
    return 0;
}

static void test_listen_unix(void **state)
{
    (void)state;
    char spec[620], path[600];
    struct stat st;
    struct vf_listen l, other;
    scratch_path(&scratch, "sock", path, sizeof(path));
    (void)snprintf(spec, sizeof(spec), "unix:%s", path);
    assert_int_equal(vf_listen_open(spec, 0660, &l, NULL), VF_OK);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0660);
    assert_int_equal(vf_listen_open(spec, 0660, &other, NULL), VF_E_BUSY);
    close(l.fd); /* as if it had died: the file stays */
    l.fd = -1;
    assert_int_equal(vf_listen_open(spec, 0600, &other, NULL), VF_OK);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    vf_listen_close(&other);
    assert_int_equal(stat(path, &st), -1);
    vf_listen_close(&l);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    (void)fclose(f);
    assert_int_equal(vf_listen_open(spec, 0600, &other, NULL), VF_E_EXISTS);
    assert_int_equal(stat(path, &st), 0);
}

/* Systemd's are not ours to end: what waits in them is for the next server. */
static void test_listen_handed(void **state)
{
    struct vf_listen ours;
    (void)state;
    assert_int_equal(vf_listen_open("127.0.0.1:0", 0, &ours, NULL), VF_OK);
    struct vf_listen handed = {.fd = dup(ours.fd), .handed = true};
    struct sockaddr_in at;
    socklen_t len = sizeof(at);
    assert_int_equal(getsockname(ours.fd, (struct sockaddr *)&at, &len), 0);
    vf_listen_close(&handed);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, len), 0);
    close(fd);
    vf_listen_end(&ours);
    fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, len), -1);
    close(fd);
    vf_listen_close(&ours);
}

/* --------------------------------------------------------------------------------------------------------------- figures */

static void test_figures(void **state)
{
    struct vf_figures *f = vf_figures_new();
    const struct vf_desk_outcome o = {.status = VF_ANSWER_BEHIND, .shares = 3, .fresh = 2, .entries = 5};
    const struct vf_desk_status st = {.ready = true, .prekeys_live = 9, .grants_revoked = 4};
    const struct vf_guard_figures g = {.connections = 7};
    struct vf_buf out;
    (void)state;
    assert_non_null(f);
    assert_false(vf_figures_ready(f));
    vf_figures_answer(f, &o, 100, 200, 2400);
    vf_figures_answer(f, &o, 1, 1, 99 * VF_SECOND_US);
    vf_figures_bad(f, VF_BAD_UNOPENED);
    vf_figures_status(f, &st, true);
    assert_true(vf_figures_ready(f));
    vf_buf_init(&out, 65536);
    vf_figures_put(f, &g, &out);
    const char *text = vf_buf_cstr(&out);
    static const char *const want[] = {
        "vaultfs_desk_answers_total{status=\"behind\"} 2\n",
        "vaultfs_desk_answers_total{status=\"ok\"} 0\n",
        "vaultfs_desk_refused_total{why=\"unopened\"} 1\n",
        "vaultfs_desk_shares_total 6\n",
        "vaultfs_desk_request_seconds_bucket{le=\"0.001\"} 0\n",
        "vaultfs_desk_request_seconds_bucket{le=\"0.0025\"} 1\n",
        "vaultfs_desk_request_seconds_bucket{le=\"10\"} 1\n",
        "vaultfs_desk_request_seconds_bucket{le=\"+Inf\"} 2\n",
        "vaultfs_desk_request_seconds_count 2\n",
        "vaultfs_desk_prekeys{state=\"live\"} 9\n",
        "vaultfs_desk_grants{state=\"revoked\"} 4\n",
        "vaultfs_desk_ready 1\n",
        "vaultfs_desk_connections 7\n",
        "vaultfs_desk_answer_bytes_total 201\n",
    };
    for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++)
        assert_non_null(strstr(text, want[i]));
    /* Each line is a comment or a name of ours with a number. */
    for (const char *line = text; *line; line = strchr(line, '\n') + 1)
        assert_true(strncmp(line, "# HELP vaultfs_desk_", 20) == 0 || strncmp(line, "# TYPE vaultfs_desk_", 20) == 0 ||
                    strncmp(line, "vaultfs_desk_", 13) == 0);
    vf_buf_done(&out);
    vf_figures_free(f);
}

/* --------------------------------------------------------------------------------------------------------------- control */

static void test_control_away(void **state)
{
    (void)state;
    struct vf_buf out = {0};
    struct vf_why why = {0};
    assert_int_equal(vf_desk_control(scratch.path, "status", NULL, &out, &why), VF_E_NOT_FOUND);
    vf_buf_done(&out);
    assert_int_equal(vf_desk_control("/no/such/folder", "status", NULL, &out, &why), VF_E_NOT_FOUND);
    vf_buf_done(&out);
}

static void test_outcome(void **state)
{
    struct vf_desk_outcome o = {
        .status = VF_ANSWER_RATE, .device = "printer", .job = "cards", .entries = 1, .shares = 2, .fresh = 3};
    struct vf_desk_outcome got = {0};
    struct vf_buf whole, b;
    (void)state;
    memcpy(o.grant.c, "ABCDEFGHIJKLMNOP", VF_GRANT_ID_LEN);
    vf_buf_init(&whole, 4096);
    vf_desk_outcome_put(&o, &whole);
    vf_buf_text(&whole, "answer");
    for (size_t n = 0; n <= whole.len; n++) {
        vf_buf_init(&b, 4096);
        vf_buf_put(&b, whole.data, n);
        enum vf_err err = vf_desk_outcome_take(&b, &got, NULL);
        assert_int_equal(err, n + 6 < whole.len ? VF_E_FORMAT : VF_OK);
        vf_buf_done(&b);
    }
    assert_memory_equal(&got, &o, sizeof(o));
    whole.data[0] = VF_ANSWER_COUNT;
    assert_int_equal(vf_desk_outcome_take(&whole, &got, NULL), VF_E_FORMAT);
    vf_buf_done(&whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pace_head),
        cmocka_unit_test(test_pace_body),
        cmocka_unit_test(test_pace_work_and_send),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_places_spare),
        cmocka_unit_test(test_per_address),
        cmocka_unit_test(test_budget),
        cmocka_unit_test(test_drain),
        cmocka_unit_test(test_workers_share),
        cmocka_unit_test(test_workers_shared_address),
        cmocka_unit_test(test_listen_words),
        cmocka_unit_test_setup_teardown(test_listen_unix, set_up, tear_down),
        cmocka_unit_test(test_listen_handed),
        cmocka_unit_test(test_figures),
        cmocka_unit_test_setup_teardown(test_control_away, set_up, tear_down),
        cmocka_unit_test(test_outcome),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
