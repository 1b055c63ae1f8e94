/* SPDX-License-Identifier: MIT */
/* The clock that tests set: does it do what fakeclock.h says? */
#include "fakeclock.h"
#include "scratch.h"
#include "vaultfs/base.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cmocka_std.h"

static void test_own_process(void **state)
{
    uint8_t first[VF_BOOT_ID_LEN];
    uint8_t second[VF_BOOT_ID_LEN];
    char text[VF_TIME_LEN + 1];

    (void)state;
    vf_time_format(vf_clock_wall_us(), text);
    assert_string_equal(text, "2026-11-21T12:00:00Z");
    int64_t wall = vf_clock_wall_us();
    int64_t boot = vf_clock_boot_us();
    assert_true(boot == 3600 * VF_SECOND_US);
    fake_clock_pass(5);
    assert_true(vf_clock_wall_us() == wall + 5 && vf_clock_boot_us() == boot + 5);
    fake_clock_step(-100);
    assert_true(vf_clock_wall_us() == wall - 95 && vf_clock_boot_us() == boot + 5);
    vf_clock_boot_id(first);
    vf_clock_boot_id(second);
    assert_memory_equal(first, second, sizeof(first));
    fake_clock_reboot(1000);
    vf_clock_boot_id(second);
    assert_memory_not_equal(first, second, sizeof(first));
    assert_true(vf_clock_wall_us() == wall + 905);
    assert_true(vf_clock_boot_us() < boot);
    fake_clock_set(1, 2);
    assert_true(vf_clock_wall_us() == 1 && vf_clock_boot_us() == 2);
}

static void steer(const char *path, int64_t wall, int64_t boot, int64_t boots)
{
    int64_t raw[3] = {wall, boot, boots};

    assert_int_equal(vf_file_write(path, raw, sizeof(raw), 0600, true, NULL), VF_OK);
}

/* In a child, because the variable is read once. Exit status: the number of the check that failed. */
static int steered_child(const char *path)
{
    int64_t raw[3] = {-VF_DAY_US, 7 * VF_DAY_US, 3};
    uint8_t first[VF_BOOT_ID_LEN];
    uint8_t second[VF_BOOT_ID_LEN];
    int64_t real = (int64_t)time(NULL) * VF_SECOND_US;

    if (setenv("VAULTFS_TEST_CLOCK", path, 1) != 0)
        return 1;
    if (llabs(vf_clock_wall_us() - real) > 60 * VF_SECOND_US)
        return 2;
    int64_t boot = vf_clock_boot_us();
    vf_clock_boot_id(first);
    VF_FD fd = open(path, O_WRONLY | O_CLOEXEC);
    if (vf_fd_pwrite(fd, raw, sizeof(raw), 0, path, NULL) != VF_OK)
        return 3;
    if (llabs(vf_clock_wall_us() - real + VF_DAY_US) > 60 * VF_SECOND_US)
        return 4;
    if (llabs(vf_clock_boot_us() - boot - 7 * VF_DAY_US) > 60 * VF_SECOND_US)
        return 5;
    vf_clock_boot_id(second);
    return memcmp(first, second, sizeof(first)) == 0 ? 6 : 0;
}

static void test_steered_by_a_file(void **state)
{
    struct scratch s;
    char path[300];
    int status = 0;

    (void)state;
    scratch_make(&s);
    scratch_path(&s, "clock", path, sizeof(path));
    steer(path, 0, 0, 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(steered_child(path));
    assert_int_equal(waitpid(child, &status, 0), child);
    scratch_remove(&s);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        /* First: whether there is a file is asked once. */
        cmocka_unit_test(test_steered_by_a_file),
        cmocka_unit_test(test_own_process),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
