/* SPDX-License-Identifier: MIT */
#include "fakeclock.h"

#include "vaultfs/base.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* What a test sets in its own process. */
static _Atomic int64_t wall = FAKE_CLOCK_START_US;
static _Atomic int64_t boot = INT64_C(3600) * VF_SECOND_US;
static _Atomic int64_t boots = 1;

void fake_clock_set(int64_t wall_us, int64_t boot_us)
{
    atomic_store(&wall, wall_us);
    atomic_store(&boot, boot_us);
}

void fake_clock_pass(int64_t us)
{
    atomic_fetch_add(&wall, us);
    atomic_fetch_add(&boot, us);
}

void fake_clock_step(int64_t us)
{
    atomic_fetch_add(&wall, us);
}

void fake_clock_reboot(int64_t us)
{
    atomic_fetch_add(&wall, us);
    atomic_store(&boot, 5 * VF_SECOND_US);
    atomic_fetch_add(&boots, 1);
}

/* What another process sets for this one. The file stays open, so that a sandbox of the program changes nothing. */
struct steering {
    int64_t wall_add;
    int64_t boot_add;
    int64_t boots;
};

static int steering_fd = -1;
static pthread_once_t steering_once = PTHREAD_ONCE_INIT;

static void steering_open(void)
{
    const char *path = getenv("VAULTFS_TEST_CLOCK");

    if (path == NULL)
        return;
    steering_fd = open(path, O_RDONLY | O_CLOEXEC);
    if (steering_fd < 0)
        abort();
}

static bool steered(struct steering *ret)
{
    (void)pthread_once(&steering_once, steering_open);
    if (steering_fd < 0)
        return false;
    if (pread(steering_fd, ret, sizeof(*ret), 0) != (ssize_t)sizeof(*ret))
        abort();
    return true;
}

static int64_t real_us(clockid_t id)
{
    struct timespec ts = {0};

    if (clock_gettime(id, &ts) != 0)
        abort();
    return (int64_t)ts.tv_sec * VF_SECOND_US + ts.tv_nsec / 1000;
}

int64_t vf_clock_wall_us(void)
{
    struct steering s;

    return steered(&s) ? real_us(CLOCK_REALTIME) + s.wall_add : atomic_load(&wall);
}

int64_t vf_clock_boot_us(void)
{
    struct steering s;

    return steered(&s) ? real_us(CLOCK_BOOTTIME) + s.boot_add : atomic_load(&boot);
}

void vf_clock_boot_id(uint8_t ret[VF_BOOT_ID_LEN])
{
    struct steering s;
    int64_t n = steered(&s) ? s.boots : atomic_load(&boots);

    memset(ret, 0x5a, VF_BOOT_ID_LEN);
    vf_put_be64(ret, (uint64_t)n);
}
