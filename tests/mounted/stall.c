/* SPDX-License-Identifier: MIT */
/*
 * A daemon whose disk hangs while the file named by VAULTFS_TEST_STALL_DISK is there, and whose sweeping hangs while that of
 * VAULTFS_TEST_STALL_SWEEP is: linked over the real calls.
 */
#include <stdlib.h>
#include <unistd.h>
#include <vaultfs/station.h>

int __real_fdatasync(int fd);
int __real_fsync(int fd);
enum vf_err __real_vf_station_sweep(struct vf_station *st, uint64_t *ret_dropped, struct vf_why *why);
int __wrap_fdatasync(int fd);
int __wrap_fsync(int fd);
enum vf_err __wrap_vf_station_sweep(struct vf_station *st, uint64_t *ret_dropped, struct vf_why *why);

static void stall(const char *variable)
{
    const char *file = getenv(variable);
    while (file && access(file, F_OK) == 0)
        (void)usleep(10000);
}

int __wrap_fdatasync(int fd)
{
    stall("VAULTFS_TEST_STALL_DISK");
    return __real_fdatasync(fd);
}

int __wrap_fsync(int fd)
{
    stall("VAULTFS_TEST_STALL_DISK");
    return __real_fsync(fd);
}

enum vf_err __wrap_vf_station_sweep(struct vf_station *st, uint64_t *ret_dropped, struct vf_why *why)
{
    stall("VAULTFS_TEST_STALL_SWEEP");
    return __real_vf_station_sweep(st, ret_dropped, why);
}
