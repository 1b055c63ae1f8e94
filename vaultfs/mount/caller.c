/* SPDX-License-Identifier: MIT */
/*
 * Who asks. The kernel names a thread; what a person looks for in a log is its process. Everything here is what /proc says while the caller
 * waits for our answer, so its numbers cannot belong to another one meanwhile.
 */
#include "mount.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What /proc/PID/NAME begins with, as a string. */
static bool read_proc(int32_t pid, const char *name, char *out, size_t size)
{
    char path[48];
    (void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    VF_FD fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, out, size - 1);
    if (n <= 0)
        return false;
    out[n] = '\0';
    return true;
}

/* A decimal number and what must follow it. */
static bool number(const char *s, char end, uint64_t *ret)
{
    char *stop = NULL;
    if (*s < '0' || *s > '9')
        return false;
    errno = 0;
    uint64_t n = strtoull(s, &stop, 10);
    if (errno || *stop != end)
        return false;
    *ret = n;
    return true;
}

/* The process of a thread. Signal 0 to thread N of process N is answered with ESRCH only when N leads no process: dearer is asked then. */
static int32_t process_of(int32_t tid)
{
    char status[4096];
    uint64_t pid = 0;
    if (tgkill(tid, tid, 0) == 0 || errno != ESRCH || !read_proc(tid, "status", status, sizeof(status)))
        return tid;
    const char *at = strstr(status, "\nTgid:\t"); /* a program's name stands before it with its newlines escaped */
    if (!at || !number(at + strlen("\nTgid:\t"), '\n', &pid) || pid == 0 || pid > INT32_MAX)
        return tid;
    return (int32_t)pid;
}

void vf_caller_of(const struct fuse_ctx *ctx, struct vf_caller *ret)
{
    char link[32];
    *ret = (struct vf_caller){.uid = ctx->uid, .pid = ctx->pid};
    (void)snprintf(link, sizeof(link), "/proc/%d/exe", (int)ctx->pid);
    ssize_t n = ctx->pid > 0 ? readlink(link, ret->exe, sizeof(ret->exe) - 1) : -1;
    if (n <= 0)
        (void)snprintf(ret->exe, sizeof(ret->exe), "unknown");
    else
        ret->exe[n] = '\0';
    if (ctx->pid > 0)
        ret->pid = process_of(ctx->pid);
}

bool vf_caller_started(int32_t pid, int64_t *ret_us)
{
    char stat[1024];
    uint64_t ticks = 0;
    if (pid <= 0 || !read_proc(pid, "stat", stat, sizeof(stat)))
        return false;
    /* "PID (name) state …": the name may hold anything, parentheses too; nothing behind it does. The start is field 22. */
    const char *at = strrchr(stat, ')');
    for (int field = 2; at && field < 22; field++) {
        at = strchr(at, ' ');
        at = at ? at + 1 : NULL;
    }
    long hz = sysconf(_SC_CLK_TCK);
    if (!at || !number(at, ' ', &ticks) || hz <= 0 || ticks > (uint64_t)(INT64_MAX / VF_SECOND_US))
        return false;
    *ret_us = (int64_t)ticks * VF_SECOND_US / hz;
    return true;
}
