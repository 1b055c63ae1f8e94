/* SPDX-License-Identifier: MIT */
#include "vaultfs/base.h"

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

static int64_t now_us(clockid_t id)
{
    struct timespec ts = {0};

    /* Both clocks exist on every kernel that libfuse 3 runs on; the call has no other way to fail. */
    (void)clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * VF_SECOND_US + ts.tv_nsec / 1000;
}

int64_t vf_clock_wall_us(void)
{
    return now_us(CLOCK_REALTIME);
}

int64_t vf_clock_boot_us(void)
{
    return now_us(CLOCK_BOOTTIME);
}

static uint8_t boot_id[VF_BOOT_ID_LEN];
static pthread_once_t boot_id_once = PTHREAD_ONCE_INIT;

/* "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx\n" */
static bool read_boot_id(void)
{
    char text[36] = {0};
    char hex[2 * VF_BOOT_ID_LEN];
    size_t n = 0;
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return false;
    ssize_t got = read(fd, text, sizeof(text));
    (void)close(fd);
    if (got != (ssize_t)sizeof(text))
        return false;
    for (size_t i = 0; i < sizeof(text); i++) {
        if (text[i] == '-')
            continue;
        if (n == sizeof(hex))
            return false;
        hex[n++] = text[i];
    }
    return vf_unhex(hex, n, boot_id, sizeof(boot_id));
}

static void load_boot_id(void)
{
    if (read_boot_id())
        return;
    /* Without /proc every process is a boot of its own: time saved by another one is then not taken for this boot's. */
    if (getrandom(boot_id, sizeof(boot_id), 0) != (ssize_t)sizeof(boot_id)) {
        int64_t seed[2] = {vf_clock_wall_us(), (int64_t)getpid()};
        memcpy(boot_id, seed, sizeof(boot_id));
    }
}

void vf_clock_boot_id(uint8_t ret[VF_BOOT_ID_LEN])
{
    (void)pthread_once(&boot_id_once, load_boot_id);
    memcpy(ret, boot_id, VF_BOOT_ID_LEN);
}
