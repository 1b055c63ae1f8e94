/* SPDX-License-Identifier: MIT */
#include "disk_calls.h"

#include "vaultfs/base.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static _Atomic unsigned fatal_call, refused_call; /* 0: none */
static int refusal;
static _Atomic unsigned calls;
static pid_t victim;

/* Refused: the call is not made. */
static bool refuse(void)
{
    if (refused_call == 0 || calls + 1 != refused_call || getpid() != victim)
        return false;
    calls++;
    errno = refusal;
    return true;
}

/* Dead once the call is done and before anything is made of it. */
static long counted(long result)
{
    int err = errno;
    unsigned n = ++calls;

    if (fatal_call != 0 && n == fatal_call && getpid() == victim)
        (void)kill(getpid(), SIGKILL);
    errno = err;
    return result;
}

VF_PUBLIC ssize_t caught_pwrite(int fd, const void *data, size_t len, off_t at) __asm__("pwrite");
VF_PUBLIC ssize_t caught_pwrite64(int fd, const void *data, size_t len, off_t at) __asm__("pwrite64");
VF_PUBLIC ssize_t caught_write(int fd, const void *data, size_t len) __asm__("write");
VF_PUBLIC ssize_t caught_writev(int fd, const struct iovec *iov, int n) __asm__("writev");
VF_PUBLIC int caught_fdatasync(int fd) __asm__("fdatasync");
VF_PUBLIC int caught_fsync(int fd) __asm__("fsync");
VF_PUBLIC int caught_rename(const char *from, const char *to) __asm__("rename");
VF_PUBLIC int caught_renameat2(int fd, const char *from, int to_fd, const char *to, unsigned flags) __asm__("renameat2");

ssize_t caught_pwrite(int fd, const void *data, size_t len, off_t at)
{
    return refuse() ? -1 : counted(syscall(SYS_pwrite64, fd, data, len, at));
}

ssize_t caught_pwrite64(int fd, const void *data, size_t len, off_t at)
{
    return refuse() ? -1 : counted(syscall(SYS_pwrite64, fd, data, len, at));
}

ssize_t caught_write(int fd, const void *data, size_t len)
{
    return refuse() ? -1 : counted(syscall(SYS_write, fd, data, len));
}

ssize_t caught_writev(int fd, const struct iovec *iov, int n)
{
    return refuse() ? -1 : counted(syscall(SYS_writev, fd, iov, n));
}

int caught_fdatasync(int fd)
{
    return refuse() ? -1 : (int)counted(syscall(SYS_fdatasync, fd));
}

int caught_fsync(int fd)
{
    return refuse() ? -1 : (int)counted(syscall(SYS_fsync, fd));
}

int caught_rename(const char *from, const char *to)
{
    return refuse() ? -1 : (int)counted(syscall(SYS_rename, from, to));
}

int caught_renameat2(int fd, const char *from, int to_fd, const char *to, unsigned flags)
{
    return refuse() ? -1 : (int)counted(syscall(SYS_renameat2, fd, from, to_fd, to, flags));
}

static void start(unsigned fatal, unsigned refused, int err)
{
    victim = getpid();
    refusal = err;
    calls = 0;
    fatal_call = fatal;
    refused_call = refused;
}

void disk_calls_kill(unsigned nth)
{
    start(nth, 0, 0);
}

void disk_calls_refuse(unsigned nth, int err)
{
    start(0, nth, err);
}

unsigned disk_calls_done(void)
{
    fatal_call = refused_call = 0;
    return calls;
}
