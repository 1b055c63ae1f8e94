/* SPDX-License-Identifier: MIT */
/*
 * Killed behind every write, sync and rename, and disks that refuse every one of them in turn: while a key is destroyed, and while a request is
 * answered. A key that had to go is gone afterwards; no answer with shares was given whose release is not in the desk's log; and the same again
 * comes through.
 */
#include "desk_test.h"

#include "disk_calls.h"
#include "fakeclock.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define HOUR_US (3600 * VF_SECOND_US)

static struct desk_world w;
static struct desk_client c;
static struct vf_buf key, sealed; /* the desk's identity, for children; a first request */
static struct vf_hash request;
static struct vf_answer_key *answer_key; /* of that request */
static char base[400];

static int set_up(void **state)
{
    if (desk_set_up(state) != 0)
        return -1;
    desk_world_make(&w, 3, 4, 0);
    vf_buf_init(&key, VF_IDENTITY_FILE_MAX);
    OK(vf_identity_encode(w.desk, NULL, VF_ARGON2_DEFAULT, &key, why));
    struct vf_desk *d = desk_open(&w);
    desk_take_policy(&w, d);
    desk_close(d);
    desk_client_make(&w, "bureau", HOUR_US, 2, &c);
    desk_client_works(&c, 3);
    struct vf_request req = desk_request(&c, true);
    desk_want(&c, &req, 0, VF_PART_TEXT);
    desk_want(&c, &req, 1, VF_PART_IMAGE);
    desk_request_seal(&w, c.b.device, &req, &sealed);
    request = req.hash;
    answer_key = vf_secret_new(sizeof(*answer_key));
    assert_non_null(answer_key);
    *answer_key = *c.key;
    (void)snprintf(base, sizeof(base), "%s", w.store);
    return 0;
}

static int tear_down(void **state)
{
    desk_client_done(&c);
    vf_secret_free(answer_key);
    vf_buf_done(&key);
    vf_buf_done(&sealed);
    desk_world_done(&w);
    return desk_tear_down(state);
}

/* A copy to work on; a person has confirmed that it is the newest there is. */
static void copy_store(const char *from)
{
    (void)place_path(&w.p, "now", w.store);
    vf_dir_remove(w.store);
    copy_folder(from, w.store);
    struct vf_desk *d = desk_open(&w);
    OK(vf_desk_confirm(d, why));
    desk_close(d);
}

/* 0: done; 1: an error; -1: killed. `calls`: how many there were. */
static int child(int (*work)(void), unsigned nth, int err, unsigned *calls)
{
    int fds[2], status = 0;
    unsigned seen = 0;

    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)alarm(60);
        vf_crypto_done();
        OK(vf_crypto_init(4u << 20, why));
        OK(vf_identity_decode(key.data, key.len, NULL, &w.desk, why));
        if (err == 0)
            disk_calls_kill(nth);
        else
            disk_calls_refuse(nth, err);
        int ret = work();
        seen = disk_calls_done();
        if (syscall(SYS_write, fds[1], &seen, sizeof(seen)) != (long)sizeof(seen))
            _exit(126);
        _exit(ret);
    }
    (void)close(fds[1]);
    if (read(fds[0], &seen, sizeof(seen)) != (ssize_t)sizeof(seen))
        seen = 0;
    (void)close(fds[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    *calls = seen;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        return -1;
    if (!WIFEXITED(status) || WEXITSTATUS(status) > 2)
        fail_msg("call %u, errno %d: the child ended with status %x", nth, err, (unsigned)status);
    return WEXITSTATUS(status);
}

/* --------------------------------------------------------------------------------------------------------------- an end */

static int opens(void)
{
    struct vf_desk *d = NULL;

    if (vf_desk_open(w.store, VF_DESK_SERVE, w.desk, &d, why) != VF_OK)
        return 1;
    return vf_desk_close(d, why) == VF_OK ? 0 : 1;
}

static void has_ended(void)
{
    struct vf_desk *d = desk_open(&w);
    struct vf_desk_status s;

    OK(vf_desk_tick(d, why));
    OK(vf_desk_status_get(d, &s, why));
    assert_true(s.ready && s.grants_ended == 1 && s.prekeys_destroyed == 1 && s.prekeys_live == 3);
    desk_close(d);
    assert_in_range(desk_log_counts(&w, VF_EVENT_EXPIRE, "ok"), 1, 2);
}

static void while_a_key_is_destroyed(void **state)
{
    unsigned total = 0, calls = 0;
    char ended[400];

    (void)state;
    copy_store(base);
    struct vf_desk *d = desk_open(&w);
    VF_CLEANUP(desk_reply_done)
    struct desk_reply r = desk_ask_sealed(&w, d, &c, &request, sealed.data, sealed.len, 0, false);
    OK(r.err);
    assert_int_equal(r.answer.nshares, 2);
    desk_close(d);
    (void)place_path(&w.p, "ended", ended);
    copy_folder(w.store, ended);
    fake_clock_pass(HOUR_US);
    assert_int_equal(child(opens, 0, 0, &total), 0);
    has_ended();
    assert_true(total > 10);
    for (unsigned nth = 1; nth <= total; nth += 2 * (unsigned)test_step(2)) {
        copy_store(ended);
        int ret = child(opens, nth, 0, &calls);
        assert_true(ret == -1 || nth + 4 > total); /* its log's thread makes some more or less */
        has_ended();
    }
    for (unsigned nth = 1; nth <= total; nth += 3 * (unsigned)test_step(3)) {
        copy_store(ended);
        assert_int_not_equal(child(opens, nth, ENOSPC, &calls), -1);
        has_ended();
    }
    fake_clock_pass(-HOUR_US);
    vf_dir_remove(ended);
}

/* ------------------------------------------------------------------------------------------------------------------ an answer */

/* 0: an answer with shares; 1: no answer, or none; 2: UNREADY. */
static int answers(void)
{
    struct vf_desk *d = NULL;
    VF_BUF out = {.max = VF_ANSWER_MAX};
    struct vf_desk_outcome o = {.status = VF_ANSWER_UNKNOWN};

    if (vf_desk_open(w.store, VF_DESK_SERVE, w.desk, &d, why) != VF_OK)
        return 1;
    enum vf_err err = vf_desk_answer(d, sealed.data, sealed.len, 0, false, &out, &o, why);
    (void)disk_calls_done(); /* the answer is out: what happens to the disk now is another matter */
    int ret = err != VF_OK || o.status != VF_ANSWER_OK || o.shares != 2 ? (o.status == VF_ANSWER_UNREADY ? 2 : 1) : 0;
    (void)syscall(SYS_exit_group, ret);
    return ret;
}

/* The same request again, to what is left: whole, and released at most once. */
static void again(int ret)
{
    struct vf_desk *d = desk_open(&w);
    unsigned before = desk_log_counts(&w, VF_EVENT_RELEASE, "ok");

    assert_true(ret != 0 || before == 2); /* one a part */
    *c.key = *answer_key;
    VF_CLEANUP(desk_reply_done)
    struct desk_reply r = desk_ask_sealed(&w, d, &c, &request, sealed.data, sealed.len, 0, false);
    OK(r.err);
    if (r.answer.status != VF_ANSWER_BEHIND)
        assert_int_equal(r.answer.status, VF_ANSWER_OK);
    assert_true(ret != 0 || r.answer.status == VF_ANSWER_BEHIND); /* the log that it handed in is not lost */
    /* Two of a budget of two a part at most, however often it died. */
    c.known = r.answer.log_size;
    vf_buf_reset(&c.receipt);
    assert_int_equal(desk_status_of(&w, d, &c, true, 0, VF_PART_TEXT), VF_ANSWER_OK);
    assert_int_equal(desk_status_of(&w, d, &c, false, 1, VF_PART_TEXT), VF_ANSWER_OK);
    assert_int_equal(desk_status_of(&w, d, &c, false, 2, VF_PART_TEXT), VF_ANSWER_BUDGET);
    desk_close(d);
    (void)desk_log_counts(&w, VF_EVENT_RELEASE, NULL); /* verifies */
}

static void while_it_answers(void **state)
{
    unsigned n = 0, calls = 0;
    int ret = 0;

    (void)state;
    for (n = 1; n < 400; n++) {
        copy_store(base);
        ret = child(answers, n, 0, &calls);
        again(ret);
        if (ret == 0)
            break;
        n += (unsigned)test_step(2) - 1;
    }
    assert_in_range(n, 15, 399);
    for (unsigned nth = 1; nth <= n; nth += 2 * (unsigned)test_step(3)) {
        copy_store(base);
        ret = child(answers, nth, ENOSPC, &calls);
        assert_int_not_equal(ret, -1);
        again(ret);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(while_a_key_is_destroyed),
        cmocka_unit_test(while_it_answers),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
