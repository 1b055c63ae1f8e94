/* SPDX-License-Identifier: MIT */
/*
 * The parts of the desk's server that need no desk: whose request is next, addresses, figures, what keytool is told. The
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
    vf_figures_put(f, &g, 3, &out);
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

/* ----------------------------------------------------------------------------------------------------------------- lines */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t change;
    bool hold, inside;
    unsigned n;
    char last[128], lost[128];
} reader = {.lock = PTHREAD_MUTEX_INITIALIZER, .change = PTHREAD_COND_INITIALIZER};

static void read_line(void *user, const char *text)
{
    (void)user;
    pthread_mutex_lock(&reader.lock);
    reader.inside = true;
    pthread_cond_broadcast(&reader.change);
    while (reader.hold)
        pthread_cond_wait(&reader.change, &reader.lock);
    reader.inside = false;
    reader.n++;
    (void)snprintf(strstr(text, "event=lost") ? reader.lost : reader.last, sizeof(reader.last), "%s", text);
    pthread_mutex_unlock(&reader.lock);
}

static void hold_reader(bool hold)
{
    pthread_mutex_lock(&reader.lock);
    reader.hold = hold;
    pthread_cond_broadcast(&reader.change);
    pthread_mutex_unlock(&reader.lock);
}

/* A reader that stands still stops nobody; what has no room meanwhile is counted, and told as soon as he reads again. */
static void test_lines(void **state)
{
    struct vf_journal *l = NULL;
    char text[32];
    (void)state;
    assert_int_equal(vf_journal_start(read_line, NULL, &l, NULL), VF_OK);
    hold_reader(true);
    vf_journal_put(l, "line 0");
    pthread_mutex_lock(&reader.lock);
    while (!reader.inside)
        pthread_cond_wait(&reader.change, &reader.lock);
    pthread_mutex_unlock(&reader.lock);
    for (unsigned i = 1; i <= 3000; i++) {
        (void)snprintf(text, sizeof(text), "line %u", i);
        vf_journal_put(l, text);
    }
    assert_int_equal(vf_journal_lost(l), 3000 - 1024);
    hold_reader(false);
    vf_journal_stop(l);
    assert_int_equal(reader.n, 1 + 1024 + 1);
    assert_string_equal(reader.last, "line 1024");
    assert_non_null(strstr(reader.lost, "event=lost lines=1976"));
    /* At the end of a server it is left behind. */
    assert_int_equal(vf_journal_start(read_line, NULL, &l, NULL), VF_OK);
    hold_reader(true);
    vf_journal_put(l, "the last");
    vf_journal_put(l, "one more");
    vf_journal_stop(l);
    hold_reader(false);
    pthread_mutex_lock(&reader.lock);
    while (strcmp(reader.last, "the last") != 0) {
        pthread_mutex_unlock(&reader.lock);
        (void)usleep(1000);
        pthread_mutex_lock(&reader.lock);
    }
    pthread_mutex_unlock(&reader.lock);
}

/* Of what anybody can cause some lines a minute are written; one kind of it takes nothing from the other. */
static void test_lines_of_anybody(void **state)
{
    static const unsigned most[VF_LINES_COUNT] = {[VF_LINES_BAD] = 10, [VF_LINES_OLD] = 100};
    struct vf_server s = {.journal = NULL};
    (void)state;
    pthread_mutex_init(&s.line_lock, NULL);
    for (unsigned minute = 0; minute < 2; minute++) {
        for (enum vf_lines what = 0; what < VF_LINES_COUNT; what++) {
            for (unsigned i = 0; i < most[what] + 20; i++)
                assert_int_equal(vf_server_may_tell(&s, what), i < most[what]);
            assert_int_equal(s.quotas[what].more, 20);
        }
        fake_clock_pass(60 * VF_SECOND_US);
    }
    pthread_mutex_destroy(&s.line_lock);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_workers_share),
        cmocka_unit_test(test_workers_shared_address),
        cmocka_unit_test(test_listen_words),
        cmocka_unit_test_setup_teardown(test_listen_unix, set_up, tear_down),
        cmocka_unit_test(test_listen_handed),
        cmocka_unit_test(test_figures),
        cmocka_unit_test_setup_teardown(test_control_away, set_up, tear_down),
        cmocka_unit_test(test_outcome),
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_lines_of_anybody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
