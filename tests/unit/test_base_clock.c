/* SPDX-License-Identifier: MIT */
/* The real clock, as programs link it. */
#include "vaultfs/base.h"

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cmocka_std.h"

static void test_wall(void **state)
{
    int64_t before = (int64_t)time(NULL);
    int64_t us = vf_clock_wall_us();

    (void)state;
    /* time(2) may be a tick behind clock_gettime. */
    assert_true(us / VF_SECOND_US >= before);
    assert_true(us / VF_SECOND_US <= (int64_t)time(NULL) + 1);
}

static void test_boot(void **state)
{
    int64_t a = vf_clock_boot_us();
    struct timespec pause = {.tv_nsec = 20000000};

    (void)state;
    assert_int_equal(nanosleep(&pause, NULL), 0);
    int64_t b = vf_clock_boot_us();
    assert_true(a > 0);
    assert_true(b - a >= 20000);
    assert_true(b - a < 60 * VF_SECOND_US);
}

static void test_boot_id(void **state)
{
    uint8_t id[VF_BOOT_ID_LEN];
    uint8_t again[VF_BOOT_ID_LEN];
    char text[37] = {0};
    char expect[33];
    char hex[33];

    (void)state;
    vf_clock_boot_id(id);
    vf_clock_boot_id(again);
    assert_memory_equal(id, again, sizeof(id));
    VF_FD fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(read(fd, text, 36), 36);
    size_t n = 0;
    for (size_t i = 0; i < 36; i++)
        if (text[i] != '-')
            expect[n++] = text[i];
    expect[n] = '\0';
    vf_hex(id, sizeof(id), hex);
    assert_string_equal(hex, expect);
}

static void *ask(void *out)
{
    vf_clock_boot_id(out);
    return NULL;
}

static void test_boot_id_from_many_threads(void **state)
{
    uint8_t ids[8][VF_BOOT_ID_LEN];
    pthread_t threads[8];

    (void)state;
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask, ids[i]), 0);
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (size_t i = 1; i < 8; i++)
        assert_memory_equal(ids[0], ids[i], VF_BOOT_ID_LEN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        /* First, while nobody has asked yet. */
        cmocka_unit_test(test_boot_id_from_many_threads),
        cmocka_unit_test(test_wall),
        cmocka_unit_test(test_boot),
        cmocka_unit_test(test_boot_id),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
