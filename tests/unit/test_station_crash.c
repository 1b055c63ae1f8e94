/* SPDX-License-Identifier: MIT */
/*
 * Killed behind every write, sync and rename of what is done to a station; disks that refuse every one of them in turn. What is found
 * afterwards is the station of before or that of after, the check finds nothing, the log verifies, and the same again succeeds.
 */
#include "station_test.h"

#include "disk_calls.h"
#include "fakeclock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

/* ------------------------------------------------------------------------------------------------------------------ the stations */

static struct place p;
static struct site fresh, full; /* nothing received; a delivery received */
static struct delivery d, for_full;
static char revocation[400], policy[400]; /* of the delivery of `full`; version 2 */
static int64_t clock_us;                  /* how far the copy's time has gone on */

static int set_up(void **state)
{
    if (station_and_force(state, &p) != 0)
        return -1;
    site_make(&p, "fresh", &fresh);
    site_make(&p, "full", &full);
    struct vf_issue_options opt = site_options(&fresh, "job");
    deliver(&p, &opt, &d);
    opt = site_options(&full, "full-job");
    deliver(&p, &opt, &for_full);
    struct vf_station *st = site_open(&full, VF_STATION_RECEIVE);
    take_delivery(st, &for_full);
    site_close(st);
    revoke_grant(&p, &for_full.i.f.grant.id, "full", revocation);
    const struct vf_policy_change change = {.add = pub_of(CAROL), .nadd = 1};
    next_policy(&p, &change, "v2.policy", policy);
    return 0;
}

static int tear_down(void **state)
{
    delivery_done(&d);
    delivery_done(&for_full);
    site_done(&fresh);
    site_done(&full);
    return station_and_force_done(state, &p);
}

/* A copy to work on, called `now`. */
static void copy_to_now(const struct site *from, struct site *now)
{
    char rm[] = "rm", rf[] = "-rf", target[420];
    char *const argv[] = {rm, rf, target, NULL};
    pid_t pid = fork();
    int status = 0;

    *now = *from;
    clock_us = 0;
    (void)place_path(&p, "now", now->path);
    (void)snprintf(target, sizeof(target), "%s", now->path);
    if (pid == 0) {
        (void)execvp("rm", argv);
        _exit(127);
    }
    if (waitpid(pid, &status, 0) != pid || status != 0)
        abort();
    copy_folder(from->path, now->path);
}

/* Run `work` in a child that dies behind its nth call, or whose nth call is refused with `err`. The child's exit status; -1: killed. */
static int child(enum vf_err (*work)(const struct site *now), const struct site *now, unsigned nth, int err,
                 unsigned *ret_calls)
{
    int fds[2], status = 0;
    unsigned seen = 0;

    if (pipe(fds) != 0)
        abort();
    pid_t pid = fork();
    if (pid == 0) {
        (void)alarm(60);
        vf_crypto_done();
        OK(vf_crypto_init(6u << 20, why));
        if (err == 0)
            disk_calls_kill(nth);
        else
            disk_calls_refuse(nth, err);
        enum vf_err ret = work(now);
        seen = disk_calls_done();
        if (syscall(SYS_write, fds[1], &seen, sizeof(seen)) != sizeof(seen))
            _exit(126);
        _exit(ret == VF_OK ? 0 : 1);
    }
    (void)close(fds[1]);
    if (read(fds[0], &seen, sizeof(seen)) != sizeof(seen))
        seen = 0;
    (void)close(fds[0]);
    if (waitpid(pid, &status, 0) != pid)
        abort();
    if (ret_calls != NULL)
        *ret_calls = seen;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        return -1;
    if (!WIFEXITED(status) || WEXITSTATUS(status) > 1) {
        (void)fprintf(stderr, "call %u, errno %d: the child ended with status %x\n", nth, err, (unsigned)status);
        abort();
    }
    return WEXITSTATUS(status);
}

static void print_finding(void *user, const char *line)
{
    (void)user;
    (void)fprintf(stderr, "finding: %s\n", line);
}

static void whole(const struct site *now)
{
    uint64_t findings = 0;

    OK(vf_station_check(now->path, print_finding, NULL, &findings, why));
    assert_int_equal(findings, 0);
    (void)site_log_counts(now, VF_EVENT_RECEIVE); /* verifies */
}

/* What a mount tells the log by the way goes to the disk together or one after the other: so many calls more or less. */
static unsigned by_the_way = 1;

/* Every call of `work` on a copy of `from`: `found` looks at what is left and says whether it is after (true) or before. */
static void every_call(const struct site *from, enum vf_err (*work)(const struct site *now),
                       bool (*found)(const struct site *now))
{
    unsigned total = 0, after = 0, before = 0;
    struct site now;

    copy_to_now(from, &now);
    assert_int_equal(child(work, &now, 0, 0, &total), 0);
    assert_true(total > 5);
    assert_true(found(&now));
    whole(&now);
    for (unsigned refused = 0; refused < 2; refused++) {
        for (unsigned n = 1; n <= total; n++) {
            int err = refused == 0 ? 0 : n % 2 == 0 ? EIO : ENOSPC;
            copy_to_now(from, &now);
            int status = child(work, &now, n, err, NULL);
            if (err == 0)
                assert_int_equal(status,
                                 n + by_the_way <= total ? -1 : status); /* the last call may be the writer thread's */
            bool is_after = found(&now);
            if (status == 0 && !is_after) {
                (void)fprintf(stderr, "call %u, errno %d: told as done, and it is not\n", n, err);
                fail();
            }
            after += is_after;
            before += !is_after;
            whole(&now);
            assert_int_equal(child(work, &now, 0, 0, NULL), 0); /* again */
            assert_true(found(&now));
        }
    }
    assert_true(after > 0 && before > 0);
    print_message("%u calls: %u times before, %u times after\n", total, before, after);
}

/* --------------------------------------------------------------------------------------------------------------------- drills */

static enum vf_err receive(const struct site *now, const char *const *paths, size_t n)
{
    struct vf_station *st = NULL;

    VF_TRY(vf_station_open(now->path, VF_STATION_RECEIVE, NULL, &st, why));
    enum vf_err err = take(st, paths, n, NULL), closed = vf_station_close(st, why);
    return err != VF_OK ? err : closed;
}

static enum vf_err work_delivery(const struct site *now)
{
    const char *const paths[] = {d.grant, d.bundle};

    return receive(now, paths, 2);
}

/* All values or none; what is there is right. */
static bool found_delivery(const struct site *now)
{
    struct vf_station *st = site_open(now, VF_STATION_MOUNT);
    struct vf_job *job = job_of(st, "job");
    uint64_t present = 0, named = 0;

    if (job != NULL) {
        values_of(st, "job", &present, &named);
        assert_int_equal(named, CARD_VALUES);
        assert_true(present == 0 || present == named);
    }
    vf_job_unref(job);
    if (present > 0)
        assert_int_equal(reads_all(st, &p, "job"), CARD_VALUES);
    site_close(st);
    return present > 0;
}

static void a_delivery(void **state)
{
    (void)state;
    every_call(&fresh, work_delivery, found_delivery);
}

static enum vf_err work_policy(const struct site *now)
{
    const char *const paths[] = {policy};

    return receive(now, paths, 1);
}

static bool found_policy(const struct site *now)
{
    struct vf_station *st = site_open(now, VF_STATION_STATUS);
    size_t ruling = vf_station_policy(st)->ruling;

    site_close(st);
    assert_true(ruling == 1 || ruling == 2);
    return ruling == 2;
}

static void a_policy(void **state)
{
    (void)state;
    every_call(&fresh, work_policy, found_policy);
}

static enum vf_err work_revocation(const struct site *now)
{
    const char *const paths[] = {revocation};

    return receive(now, paths, 1);
}

static bool found_revocation(const struct site *now)
{
    struct vf_station *st = site_open(now, VF_STATION_MOUNT);
    struct vf_job *job = job_of(st, "full-job");

    assert_non_null(job);
    enum vf_err may = vf_job_may(st, job, why);
    assert_true(may == VF_OK || may == VF_E_REVOKED);
    vf_job_unref(job);
    if (may == VF_OK)
        assert_int_equal(reads_all(st, &p, "full-job"), CARD_VALUES);
    uint64_t dropped = 0;
    OK(vf_station_sweep(st, &dropped, why)); /* as a mount does, if it was not done */
    assert_int_equal(state_of_station(st).values, may == VF_OK ? CARD_VALUES : 0);
    site_close(st);
    return may == VF_E_REVOKED;
}

static void a_revocation(void **state)
{
    (void)state;
    every_call(&full, work_revocation, found_revocation);
}

/* Opened by a mount, time noted, closed: nothing is lost, whatever was. */
static enum vf_err work_clock(const struct site *now)
{
    struct vf_station *st = NULL;

    fake_clock_set(FAKE_CLOCK_START_US + clock_us, 3600 * VF_SECOND_US + clock_us);
    VF_TRY(vf_station_open(now->path, VF_STATION_MOUNT, NULL, &st, why));
    enum vf_err err = VF_OK;
    for (unsigned i = 0; i < 20 && err == VF_OK; i++) {
        fake_clock_pass(60 * VF_SECOND_US);
        err = vf_station_clock_tick(st, why);
    }
    enum vf_err closed = vf_station_close(st, why);
    return err != VF_OK ? err : closed;
}

static bool found_clock(const struct site *now)
{
    clock_us += 1200 * VF_SECOND_US; /* what the child's clock did is not known here */
    fake_clock_set(FAKE_CLOCK_START_US + clock_us, 3600 * VF_SECOND_US + clock_us);
    struct vf_station *st = site_open(now, VF_STATION_MOUNT);
    struct vf_job *job = job_of(st, "full-job");
    int64_t t = 0;

    assert_non_null(job);
    OK(vf_job_may(st, job, why));
    vf_job_unref(job);
    fake_clock_step(-2400 * VF_SECOND_US);
    enum vf_err err =
        vf_station_time(st, &t, why); /* is it known that it was later? By the grant's issue, no more than an hour before */
    fake_clock_step(2400 * VF_SECOND_US);
    assert_int_equal(reads_all(st, &p, "full-job"), CARD_VALUES);
    site_close(st);
    return err == VF_E_CLOCK;
}

static void the_clock(void **state)
{
    (void)state;
    by_the_way = 40; /* entries about the time, and their seals */
    every_call(&full, work_clock, found_clock);
    by_the_way = 1;
}

/* The identity under another passphrase: one of the two opens it at any moment. */
static enum vf_err work_passphrase(const struct site *now)
{
    struct vf_passphrase *pass = vf_secret_new(sizeof(*pass));

    if (pass == NULL)
        abort();
    pass->len = 4;
    memcpy(pass->text, "next", 4);
    enum vf_err err = vf_station_passphrase(now->path, NULL, pass, (struct vf_argon2){65536, 2}, why);
    if (err == VF_E_PASSPHRASE) /* it has that one already */
        err = vf_station_passphrase(now->path, pass, pass, (struct vf_argon2){65536, 2}, why);
    vf_secret_free(pass);
    return err;
}

static bool found_passphrase(const struct site *now)
{
    VF_SECRET struct vf_passphrase *pass = vf_secret_new(sizeof(*pass));
    struct vf_station *st = NULL;
    bool locked = false;

    if (pass == NULL)
        abort();
    pass->len = 4;
    memcpy(pass->text, "next", 4);
    OK(vf_station_locked(now->path, &locked, why));
    OK(vf_station_open(now->path, VF_STATION_MOUNT, locked ? pass : NULL, &st, why));
    site_close(st);
    return locked;
}

static void the_passphrase(void **state)
{
    unsigned total = 0;
    struct site now;

    (void)state;
    copy_to_now(&fresh, &now);
    assert_int_equal(child(work_passphrase, &now, 0, 0, &total), 0);
    assert_true(found_passphrase(&now));
    for (unsigned n = 1; n <= total; n++) {
        copy_to_now(&fresh, &now);
        (void)child(work_passphrase, &now, n, n % 2 == 0 ? 0 : EIO, NULL);
        (void)found_passphrase(&now);
        assert_int_equal(child(work_passphrase, &now, 0, 0, NULL), 0);
        assert_true(found_passphrase(&now));
    }
}

/* A station is there whole or not at all; a killed one leaves at most a folder under another name. */
static enum vf_err work_create(const struct site *now)
{
    size_t len = 0;
    char *chain = get_file(fresh.policy, &len);
    VF_BUF enrol = {0};

    vf_buf_init(&enrol, VF_ENROL_MAX);
    enum vf_err err = vf_station_create(now->path, "made", chain, len, NULL, VF_ARGON2_DEFAULT, &enrol, why);
    free(chain);
    return err;
}

static void creation(void **state)
{
    struct site now = fresh;
    unsigned total = 0, made = 0;
    char name[100];

    (void)state;
    (void)place_path(&p, "made-0", now.path);
    assert_int_equal(child(work_create, &now, 0, 0, &total), 0);
    for (unsigned refused = 0; refused < 2; refused++) {
        for (unsigned n = 1; n <= total; n++) {
            struct vf_station *st = NULL;
            (void)snprintf(name, sizeof(name), "made-%u-%u", refused, n);
            (void)place_path(&p, name, now.path);
            unsigned before = scratch_count(p.dir.path);
            int status = child(work_create, &now, n, refused == 0 ? 0 : n % 2 == 0 ? EIO : ENOSPC, NULL);
            bool there = access(now.path, F_OK) == 0;
            made += there;
            assert_false(status == 0 && !there);
            /* Told as failed: nothing is left, unless all that failed was to make the folder around it durable. */
            if (status == 1 && scratch_count(p.dir.path) != before && !(there && n == total)) {
                (void)fprintf(stderr, "call %u of %u refused: something is left\n", n, total);
                fail();
            }
            if (there) {
                OK(vf_station_open(now.path, VF_STATION_MOUNT, NULL, &st, why));
                site_close(st);
            }
        }
    }
    assert_true(made > 0 && made < 2 * total);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_delivery), cmocka_unit_test(a_policy),       cmocka_unit_test(a_revocation),
        cmocka_unit_test(the_clock),  cmocka_unit_test(the_passphrase), cmocka_unit_test(creation),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
