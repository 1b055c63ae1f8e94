/* SPDX-License-Identifier: MIT */
/*
 * A program that holds the lister up inside the kernel keeps the connection open beyond our end. Whoever else has something open there would wait for answers
 * that nobody gives, so we stay as well, and refuse. Nothing is left by then but the file of requests: libfuse's session has closed its own.
 */
#include "mount.h"

#include <errno.h>
#include <linux/fuse.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* As libfuse has it: the longest WRITE that was agreed on, a megabyte, and its headers. The kernel insists, though nothing is written here. */
#define REQUEST_MAX (256u * 4096 + 4096)
#define LOOK_MS     250

/* False: the connection is over. */
static bool refuse_one(int fd, uint8_t *buf)
{
    struct fuse_in_header in;
    ssize_t n = read(fd, buf, REQUEST_MAX);
    if (n < 0)
        return errno == EINTR || errno == EAGAIN || errno == ENOENT; /* the last: its program was killed */
    if ((size_t)n < sizeof(in))
        return false;
    memcpy(&in, buf, sizeof(in));
    if (in.opcode == FUSE_FORGET || in.opcode == FUSE_BATCH_FORGET || in.opcode == FUSE_INTERRUPT)
        return true; /* not answered */
    const struct fuse_out_header out = {.len = sizeof(out), .error = -ENODEV, .unique = in.unique};
    return write(fd, &out, sizeof(out)) == (ssize_t)sizeof(out) || errno == ENOENT;
}

void vf_linger(struct vf_session *s)
{
    struct pollfd p = {.fd = s->held_fd, .events = POLLIN};
    VF_FREE uint8_t *buf = malloc(REQUEST_MAX);
    bool go_on = buf && p.fd >= 0;
    while (go_on && !vf_lister_wait(s, 0)) {
        int n = poll(&p, 1, LOOK_MS);
        go_on = n == 0 || (n > 0 && !(p.revents & (POLLERR | POLLHUP | POLLNVAL)) && refuse_one(p.fd, buf));
    }
}
