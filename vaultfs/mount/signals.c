/* SPDX-License-Identifier: MIT */
/*
 * Asked to leave: files may be open. Pages can only be dropped while requests are still answered (a page that waits for a READ is locked),
 * so the watcher does it first and ends the session then. Asked twice: at once.
 */
#include "mount.h"

#include <signal.h>
#include <string.h>

static volatile sig_atomic_t asked;
static struct fuse_session *volatile session;

static void on_signal(int number)
{
    struct fuse_session *now = session;
    (void)number;
    if (asked && now)
        fuse_session_exit(now);
    asked = 1;
}

void vf_signals_done(void)
{
    session = NULL;
}

bool vf_signals_asked(void)
{
    return asked != 0;
}

enum vf_err vf_signals_set(struct fuse_session *fuse, struct vf_why *why)
{
    static const int leave[] = {SIGTERM, SIGINT, SIGHUP};
    struct sigaction sa = {.sa_handler = on_signal}; /* without SA_RESTART: the loop waits in a system call */
    session = fuse;
    for (size_t i = 0; i < sizeof(leave) / sizeof(leave[0]); i++)
        if (sigaction(leave[i], &sa, NULL))
            return vf_fail_sys(why, "signal handlers could not be set");
    sa.sa_handler = SIG_IGN;
    return sigaction(SIGPIPE, &sa, NULL) ? vf_fail_sys(why, "signal handlers could not be set") : VF_OK;
}
