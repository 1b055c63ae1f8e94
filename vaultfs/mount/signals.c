/* SPDX-License-Identifier: MIT */
/*
 * Asked to leave: files may be open. Pages can only be dropped while requests are still answered (a page that waits for a READ is locked),
 * so the watcher does it first and ends the session then. Asked twice: at once.
 */
#include "mount.h"

#include <signal.h>
#include <string.h>

/* Read by the watcher's thread, written wherever the signal arrives: atomics without a lock are safe in a handler. */
static atomic_bool asked;
static struct fuse_session *_Atomic session;
_Static_assert(ATOMIC_BOOL_LOCK_FREE == 2 && ATOMIC_POINTER_LOCK_FREE == 2, "a handler takes no lock");

static void on_signal(int number)
{
    struct fuse_session *now = atomic_load(&session);
    (void)number;
    if (atomic_exchange(&asked, true) && now)
        fuse_session_exit(now);
}

void vf_signals_done(void)
{
    atomic_store(&session, NULL);
}

bool vf_signals_asked(void)
{
    return atomic_load(&asked);
}

enum vf_err vf_signals_set(struct fuse_session *fuse, struct vf_why *why)
{
    static const int leave[] = {SIGTERM, SIGINT, SIGHUP};
    struct sigaction sa = {.sa_handler = on_signal}; /* without SA_RESTART: the loop waits in a system call */
    atomic_store(&session, fuse);
    for (size_t i = 0; i < sizeof(leave) / sizeof(leave[0]); i++)
        if (sigaction(leave[i], &sa, NULL))
            return vf_fail_sys(why, "signal handlers could not be set");
    sa.sa_handler = SIG_IGN;
    return sigaction(SIGPIPE, &sa, NULL) ? vf_fail_sys(why, "signal handlers could not be set") : VF_OK;
}
