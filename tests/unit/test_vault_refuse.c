/* SPDX-License-Identifier: MIT */
/* Disks that are full or broken, and memory that is short: an error each time, and the vault of before or of after. */
#include "vault_crash.h"

#include <errno.h>

/* A disk that is full or broken, memory that is short: at every (stride-th) place. */
static void refuse_everywhere(enum vf_err (*op)(void), unsigned stride)
{
    static const int errors[] = {ENOSPC, EIO, ENOMEM};

    crash_copy_base();
    VF_FREE char *before = crash_dump(&crash_now);
    assert_false(crash_run_killed(op, 0, 0));
    VF_FREE char *after = crash_dump(&crash_now);
    for (size_t e = 0; e < sizeof(errors) / sizeof(errors[0]); e++) {
        struct crash_seen seen = {0};
        bool met = true;
        for (unsigned n = 1 + (unsigned)e; met; n += errors[e] == ENOMEM ? 5 * stride : stride) {
            crash_copy_base();
            crash_run_refused(op, n, errors[e], &met);
            crash_look(before, after, &seen);
        }
        assert_true(seen.before > 0 && seen.after > 0);
    }
}

static void test_changes(void **state)
{
    struct vf_vault *v = open_as(&crash_base, VF_VAULT_WRITE, BOB);
    VF_BUF file = {0};
    (void)state;

    vf_buf_init(&file, VF_POLICY_MAX);
    OK(vf_vault_rekey(v, admin[BOB], &file, why));
    close_vault(v);
    put_file(&crash_base, "policy", file.data, file.len);
    refuse_everywhere(crash_op_set, 2);
    refuse_everywhere(crash_op_erase, 2);
    refuse_everywhere(crash_op_install, 3);
    refuse_everywhere(crash_op_import, 7);
}

static void test_create(void **state)
{
    (void)state;
    crash_remove_all(crash_base.vault);
    refuse_everywhere(crash_op_create, 3);
}

#define T(name) cmocka_unit_test_setup_teardown(name, crash_begin, crash_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_changes),
        T(test_create),
    };

    return cmocka_run_group_tests(tests, crash_group_set_up, crash_group_tear_down);
}
