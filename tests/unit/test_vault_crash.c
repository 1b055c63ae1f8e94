/* SPDX-License-Identifier: MIT */
/*
 * Killed behind every write, sync and rename of each operation, and at random moments: what is found afterwards is the vault of before or
 * that of after.
 */
#include "vault_crash.h"

#include <sys/wait.h>

static void kill_everywhere(enum vf_err (*op)(void), unsigned stride, bool with_reader)
{
    struct crash_seen seen = {0};
    unsigned n = 1;

    crash_copy_base();
    VF_FREE char *before = crash_dump(&crash_now);
    assert_false(crash_run_killed(op, 0, 0));
    VF_FREE char *after = crash_dump(&crash_now);
    assert_string_not_equal(before, after);
    crash_look(after, after, &seen);
    seen = (struct crash_seen){0};
    for (bool killed = true; killed; n += stride) {
        int fd = -1;
        crash_copy_base();
        pid_t reader = with_reader ? crash_start_reader(&fd) : -1;
        killed = crash_run_killed(op, n, 0);
        crash_look(before, after, &seen);
        if (with_reader)
            crash_stop_reader(reader, fd);
    }
    /* At random moments too. */
    for (unsigned i = 0; i < 10; i++) {
        crash_copy_base();
        (void)crash_run_killed(op, 0, (long)(1000 + (i * 2654435761u) % 40000));
        crash_look(before, after, &seen);
    }
    assert_true(seen.before > 0 && seen.after > 0);
}

static void test_import(void **state)
{
    (void)state;
    kill_everywhere(crash_op_import, 3, false);
}

static void test_set(void **state)
{
    (void)state;
    kill_everywhere(crash_op_set, 1, false);
}

static void test_erase(void **state)
{
    (void)state;
    kill_everywhere(crash_op_erase, 1, true);
}

static void test_settings(void **state)
{
    (void)state;
    kill_everywhere(crash_op_settings, 2, false);
}

static void test_rekey(void **state)
{
    struct vf_vault *v = open_as(&crash_base, VF_VAULT_WRITE, BOB);
    VF_BUF file = {0};
    (void)state;

    vf_buf_init(&file, VF_POLICY_MAX);
    OK(vf_vault_rekey(v, admin[BOB], &file, why));
    close_vault(v);
    put_file(&crash_base, "policy", file.data, file.len);
    kill_everywhere(crash_op_install, 1, true);
}

static void test_install(void **state)
{
    struct vf_vault *v = open_as(&crash_base, VF_VAULT_READ, BOB);
    struct vf_policy_change change = {.add = pub_of(CAROL), .nadd = 1};
    VF_BUF file = {0};
    (void)state;

    vf_buf_init(&file, VF_POLICY_MAX);
    OK(vf_policy_change_make(v, &change, admin[BOB], &file, why));
    close_vault(v);
    put_file(&crash_base, "policy", file.data, file.len);
    kill_everywhere(crash_op_install, 2, false);
}

static void test_create(void **state)
{
    (void)state;
    crash_remove_all(crash_base.vault);
    kill_everywhere(crash_op_create, 1, false);
}

static void test_restore(void **state)
{
    char path[400];
    (void)state;

    OK(vf_vault_backup(crash_base.vault, place_path(&crash_base, "backup", path), false, NULL, NULL, why));
    crash_remove_all(crash_base.vault);
    kill_everywhere(crash_op_restore, 2, false);
}

/* Everybody at once: three who change something and wait for each other, and somebody who looks all the time. */
static void test_together(void **state)
{
    static enum vf_err (*const ops[])(void) = {crash_op_import, crash_op_settings, crash_op_install};
    struct vf_vault *v = open_as(&crash_base, VF_VAULT_WRITE, BOB);
    struct crash_seen seen = {0};
    unsigned looked = 0, left = 3;
    pid_t pids[3];
    VF_BUF file = {0};
    (void)state;

    vf_buf_init(&file, VF_POLICY_MAX);
    OK(vf_vault_rekey(v, admin[BOB], &file, why));
    close_vault(v);
    put_file(&crash_base, "policy", file.data, file.len);
    crash_copy_base();
    for (unsigned i = 0; i < 3; i++)
        assert_false(crash_run_killed(ops[i], 0, 0));
    VF_FREE char *after = crash_dump(&crash_now);
    for (unsigned round = 0; round < 5; round++) {
        crash_copy_base();
        for (unsigned i = 0; i < 3; i++)
            pids[i] = crash_start(ops[(i + round) % 3]);
        for (left = 3; left > 0;) {
            int status = 0;
            struct vf_vault_check_report report;
            enum vf_err err = vf_vault_check(crash_now.vault, admin[ALICE], NULL, NULL, NULL, &report, why);
            /* A key that changes under one's hands is told, and nothing else goes wrong. */
            if (err != VF_OK && err != VF_E_STALE)
                fail_msg("%d %s", (int)err, why->text);
            assert_true(err == VF_E_STALE || report.findings == 0);
            looked++;
            for (pid_t pid = waitpid(-1, &status, WNOHANG); pid > 0; pid = waitpid(-1, &status, WNOHANG)) {
                assert_true(pid == pids[0] || pid == pids[1] || pid == pids[2]);
                assert_int_equal(status, 0);
                left--;
            }
        }
        crash_look(after, after, &seen);
    }
    assert_true(looked > 5);
}

#define T(name) cmocka_unit_test_setup_teardown(name, crash_begin, crash_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_create),  T(test_set),     T(test_erase),  T(test_settings), T(test_rekey),
        T(test_install), T(test_restore), T(test_import), T(test_together),
    };

    return cmocka_run_group_tests(tests, crash_group_set_up, crash_group_tear_down);
}
