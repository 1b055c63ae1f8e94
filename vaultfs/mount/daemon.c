/* SPDX-License-Identifier: MIT */
/*
 * The program forks before it opens anything: LMDB's locks, the arena and threads do not survive a fork. The parent waits for one byte,
 * the exit status, and leaves; the child does all the work in the terminal's session (it may ask for a passphrase) and detaches when mounted.
 */
#include "mount.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

int vf_daemon_fork(bool foreground, int *ret_ready_fd, bool *ret_parent)
{
    int fds[2];
    *ret_ready_fd = -1;
    *ret_parent = false;
    if (foreground)
        return 0;
    if (pipe2(fds, O_CLOEXEC))
        return -1;
    pid_t child = fork();
    if (child < 0) {
        close(fds[0]);
        close(fds[1]);
        return -1;
    }
    if (child == 0) {
        close(fds[0]);
        *ret_ready_fd = fds[1];
        return 0;
    }
    close(fds[1]);
    *ret_parent = true;
    uint8_t status;
    ssize_t n;
    do
        n = read(fds[0], &status, 1);
    while (n < 0 && errno == EINTR);
    close(fds[0]);
    if (n == 1)
        return status;
    int how = 0;
    if (waitpid(child, &how, 0) == child && WIFEXITED(how) && WEXITSTATUS(how) != 0)
        return WEXITSTATUS(how);
    return 1;
}

void vf_daemon_ready(int *ready_fd, int status)
{
    if (*ready_fd < 0)
        return;
    if (status == 0)
        vf_daemon_detach();
    uint8_t byte = (uint8_t)status;
    ssize_t n;
    do
        n = write(*ready_fd, &byte, 1);
    while (n < 0 && errno == EINTR);
    close(*ready_fd);
    *ready_fd = -1;
}

void vf_daemon_detach(void)
{
    (void)setsid();
    if (chdir("/"))
        return;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0)
        return;
    for (int fd = 0; fd < 3; fd++)
        (void)dup2(null, fd);
    if (null > 2)
        close(null);
}
