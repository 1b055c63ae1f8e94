/* SPDX-License-Identifier: MIT */
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static enum vf_err busy(int fd, const char *dir, struct vf_why *why)
{
    char pid[16] = {0};
    uint64_t n = 0;
    ssize_t len = pread(fd, pid, sizeof(pid) - 1, 0);

    if (len > 1 && pid[len - 1] == '\n' && vf_uint_parse(pid, (size_t)len - 1, INT32_MAX, &n))
        return vf_fail(why, VF_E_BUSY, "%s: in use by process %llu", dir, (unsigned long long)n);
    return vf_fail(why, VF_E_BUSY, "%s: in use by another process", dir);
}

/* A lock of the open file, not of the process: it holds between threads, and closing some other descriptor does not drop it. */
enum vf_err vf_log_lock(int dirfd, const char *dir, int *ret_fd, struct vf_why *why)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    VF_FD fd = openat(dirfd, VF_LOG_LOCK, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW, 0600);
    char pid[16];

    if (fd < 0)
        return vf_fail_sys(why, "%s/" VF_LOG_LOCK ": cannot open", dir);
    if (fcntl(fd, F_OFD_SETLK, &lock) != 0)
        return errno == EAGAIN || errno == EACCES ? busy(fd, dir, why)
                                                  : vf_fail_sys(why, "%s/" VF_LOG_LOCK ": cannot lock", dir);
    /* For whoever finds it locked. On a full disk it stays empty, and the lock holds all the same. */
    int len = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) == 0 && pwrite(fd, pid, (size_t)len, 0) < 0)
        errno = 0;
    *ret_fd = fd;
    fd = -1;
    return VF_OK;
}
