/* SPDX-License-Identifier: MIT */
/* The sandbox where its tool is killed, or was started by odd programs or in a container. */
#include "../../vaultfs/record/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "children.h"
#include "cmocka_std.h"
#include "record_images.h"

static const struct vf_image_options plain = {.decode = true};

/* Somebody else ends its processes: an error that is not the picture's, at once and without a signal. */
static void test_lane_killed(void **state)
{
    struct pixels p = px_paint(400, 512, 3, 20);
    struct blob b = jpeg_make(&p, &(struct jpeg_how){.hs = 2, .vs = 2});
    struct vf_image_report r;
    VF_IMAGE_SANDBOX s = NULL;
    struct vf_why why = {0};
    pid_t lanes[2] = {0};
    VF_BUF out;

    (void)state;
    px_free(&p);
    vf_buf_init(&out, VF_IMAGE_OUT_MAX);
    assert_int_equal(vf_image_sandbox_start(1, &s, NULL), VF_OK);
    assert_int_equal(children(lanes, 2), 1);
    for (int sig = 1; sig < SIGRTMIN; sig++) /* what ends a tool from a terminal or by systemd is its own to answer */
        if (sig == SIGINT || sig == SIGTERM || sig == SIGHUP || sig == SIGQUIT)
            assert_int_equal(kill(lanes[0], sig), 0);
    assert_int_equal(vf_image_clean(s, VF_FIELD_PHOTO, b.d, b.n, &plain, &out, &r, &why), VF_OK);
    assert_int_equal(kill(lanes[0], SIGKILL), 0);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(vf_image_clean(s, VF_FIELD_PHOTO, b.d, b.n, &plain, &out, &r, &why), VF_E_SYSTEM);
        assert_int_equal(out.len, 0);
    }
    blob_free(&b);
}

/* A tool that is killed leaves no process behind. */
static void test_owner_killed(void **state)
{
    int pipes[2];
    pid_t lane = 0;
    struct timespec pause = {.tv_nsec = 5000000};

    (void)state;
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    pid_t tool = fork();
    if (tool == 0) {
        VF_IMAGE_SANDBOX s = NULL;
        bool good = vf_image_sandbox_start(1, &s, NULL) == VF_OK && children(&lane, 1) == 1 &&
                    write(pipes[1], &lane, sizeof(lane)) == (ssize_t)sizeof(lane);
        if (!good)
            _exit(1);
        (void)raise(SIGKILL);
    }
    (void)close(pipes[1]);
    assert_int_equal(read(pipes[0], &lane, sizeof(lane)), sizeof(lane));
    (void)close(pipes[0]);
    assert_true(lane > 1);
    assert_int_equal(waitpid(tool, NULL, 0), tool);
    for (unsigned i = 0; i < 4000; i++) {
        char path[64];
        char text[256] = "";
        (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)lane);
        FILE *f = fopen(path, "r");
        if (f == NULL || fgets(text, sizeof(text), f) == NULL || strstr(text, ") Z") != NULL) {
            if (f != NULL)
                (void)fclose(f);
            return;
        }
        (void)fclose(f);
        (void)nanosleep(&pause, NULL);
    }
    fail_msg("process %d is still there", (int)lane);
}

/* ------------------------------------------------------------------------------------------------ where the tool was started */

/* In a process of its own; true: all was as it should be. */
static bool apart(bool (*body)(void))
{
    int status = 0;

    pid_t pid = fork();
    if (pid == 0)
        _exit(body() ? 0 : 1);
    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void loop(struct vf_tray *t)
{
    volatile uint64_t *counter = &t->len;

    for (;;)
        ++*counter;
}

/* What programs pass on to those that they start. */
static bool odd_signals(void)
{
    const uint8_t any = 0;
    const struct rlimit little = {4, 4}; /* seconds; the sandbox would set 1 and 6 */
    struct vf_image_report r;
    struct vf_why why = {0};
    VF_IMAGE_SANDBOX s = NULL;
    sigset_t all;
    VF_BUF out;

    vf_buf_init(&out, VF_IMAGE_OUT_MAX);
    (void)sigfillset(&all);
    if (signal(SIGCHLD, SIG_IGN) == SIG_ERR || signal(SIGXCPU, SIG_IGN) == SIG_ERR ||
        sigprocmask(SIG_BLOCK, &all, NULL) != 0 || setrlimit(RLIMIT_CPU, &little) != 0 ||
        vf_image_sandbox_start_with(1, loop, 1, &s, &why) != VF_OK)
        return false;
    return vf_image_clean(s, VF_FIELD_PHOTO, &any, 1, &plain, &out, &r, &why) == VF_E_INPUT &&
           strstr(why.text, "over a minute") != NULL;
}

static bool no_filters(bool tell_late)
{
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
    const struct scmp_arg_cmp what = {.arg = 0, .op = SCMP_CMP_EQ, .datum_a = PR_SET_SECCOMP};
    const struct scmp_arg_cmp real = {.arg = 2, .op = SCMP_CMP_NE, .datum_a = 0};

    bool good = ctx != NULL && (tell_late ? seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(prctl), 2, what, real)
                                          : seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(prctl), 1, what)) == 0;
    good = good && seccomp_load(ctx) == 0;
    seccomp_release(ctx);
    return good;
}

static bool never_open_at_start(void)
{
    struct vf_why why = {0};
    VF_IMAGE_SANDBOX s = NULL;

    return no_filters(false) && vf_image_sandbox_start(1, &s, &why) == VF_E_UNSUPPORTED && s == NULL &&
           strstr(why.text, "seccomp") != NULL;
}

static bool never_open_later(void)
{
    const uint8_t any = 0;
    struct vf_image_report r;
    struct vf_why why = {0};
    VF_IMAGE_SANDBOX s = NULL;
    VF_BUF out;

    vf_buf_init(&out, VF_IMAGE_OUT_MAX);
    return no_filters(true) && vf_image_sandbox_start_with(1, loop, 1, &s, &why) == VF_OK &&
           vf_image_clean(s, VF_FIELD_PHOTO, &any, 1, &plain, &out, &r, &why) == VF_E_UNSUPPORTED &&
           strstr(why.text, "seccomp") != NULL;
}

static void test_surroundings(void **state)
{
    (void)state;
    assert_true(apart(odd_signals));
    assert_true(apart(never_open_at_start));
    assert_true(apart(never_open_later));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lane_killed),
        cmocka_unit_test(test_owner_killed),
        cmocka_unit_test(test_surroundings),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
