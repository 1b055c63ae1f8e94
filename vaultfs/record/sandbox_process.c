/* SPDX-License-Identifier: MIT */
/*
 * The other side of a sandbox: a process that never looks at a picture itself, and one for each picture that can do nothing else.
 *
 *   1. the lane's process has no file open but its socket, and nothing in memory but what its owner had when it was made
 *   2. for each picture it makes a copy of itself, which closes the socket too and may from then on only ask for memory, so much of it,
 *      and end
 *   3. the lane's process waits until that one is gone, then tells how it ended: so nothing of one picture meets another
 *
 * Without files, clocks, signals or other processes to wait for, the one with the picture cannot sleep; its processor time is limited.
 * However it ends on its own, that never passes for a fault of the system's.
 */
#include "sandbox.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define FILTER_MAX 4096u /* instructions */
#define SOCK       3
/* Of addresses: 512 MiB for a decoder (codec.c), pixels twice, the tray, and what the owner had. */
#define BYTES_MAX (1536ul * 1024 * 1024)

/* ---------------------------------------------------------------------------------------------------------------- the filter */

static int allow(scmp_filter_ctx ctx)
{
    static const int calls[] = {
        /* Not rt_sigreturn, though it looks harmless: it sets the mask of signals, and who blocks SIGXCPU has no limit of time. */
        SCMP_SYS(brk),         SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(exit),        SCMP_SYS(exit_group),
#ifdef VF_SANITIZED /* their own code asks for these when a process ends */
        SCMP_SYS(sigaltstack), SCMP_SYS(gettid), SCMP_SYS(futex),  SCMP_SYS(sched_yield),
#endif
    };
    int bad = 0;

    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
        bad |= seccomp_rule_add(ctx, SCMP_ACT_ALLOW, calls[i], 0);
    /* Memory, but none that can be run. */
    bad |= seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    bad |= seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    /* What the allocator gives back. (Other advice moves pages to disk, or for root takes memory away from the machine.) */
    bad |=
        seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(madvise), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, UINT32_MAX, MADV_DONTNEED));
    bad |= seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(madvise), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, UINT32_MAX, MADV_FREE));
    return bad;
}

/* A kernel that has filters, and lets us set one, looks for ours at the address NULL. */
static bool filter_possible(void)
{
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, NULL) != 0 && errno == EFAULT;
}

/* Compiled once, since that takes longer than a picture. `code` has room for FILTER_MAX. */
static bool filter_make(struct sock_filter *code, struct sock_fprog *ret)
{
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    VF_FD fd = memfd_create("filter", MFD_CLOEXEC);
    bool good = ctx != NULL && fd >= 0 && allow(ctx) == 0 && seccomp_export_bpf(ctx, fd) == 0;

    if (ctx != NULL)
        seccomp_release(ctx);
    if (!good)
        return false;
    ssize_t n = pread(fd, code, FILTER_MAX * sizeof(*code), 0);
    if (n <= 0 || (size_t)n >= FILTER_MAX * sizeof(*code) || (size_t)n % sizeof(*code) != 0)
        return false;
    *ret = (struct sock_fprog){.len = (unsigned short)((size_t)n / sizeof(*code)), .filter = code};
    return true;
}

/* ---------------------------------------------------------------------------------------------------------------- one picture */

/* Or what is set already, where that is less. */
static bool limit(__rlimit_resource_t what, rlim_t soft, rlim_t hard)
{
    struct rlimit is;

    if (getrlimit(what, &is) != 0)
        return false;
    is.rlim_max = is.rlim_max < hard ? is.rlim_max : hard;
    is.rlim_cur = is.rlim_cur < soft ? is.rlim_cur : soft;
    is.rlim_cur = is.rlim_cur < is.rlim_max ? is.rlim_cur : is.rlim_max;
    return setrlimit(what, &is) == 0;
}

static bool shut_in(const struct sock_fprog *filter, unsigned cpu_seconds)
{
#ifndef VF_SANITIZED /* whose shadow takes terabytes of addresses */
    if (!limit(RLIMIT_AS, BYTES_MAX, BYTES_MAX))
        return false;
#endif
    return prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && limit(RLIMIT_CORE, 0, 0) &&
           limit(RLIMIT_CPU, cpu_seconds, cpu_seconds + 5) && close_range(0, ~0u, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, filter) == 0;
}

void vf_tray_clean(struct vf_tray *t)
{
    const struct vf_image_options opt = {.fit = t->fit != 0, .decode = t->decode != 0};
    struct vf_image_report r = {0};
    struct vf_why why = {0};
    VF_BUF out;

    vf_buf_init(&out, sizeof(t->out));
    enum vf_err err = vf_image_clean(NULL, (enum vf_field)t->field, t->in, t->len, &opt, &out, &r, &why);
    const bool found[] = {r.had_exif, r.had_gps,      r.had_thumbnail, r.had_xmp,   r.had_iptc, r.had_comment,
                          r.had_mpf,  r.had_trailing, r.had_icc,       r.reencoded, r.scaled};
    for (unsigned i = 0; i < sizeof(found) / sizeof(found[0]); i++)
        t->answer.found |= found[i] ? 1u << i : 0;
    if (err == VF_OK) {
        memcpy(t->out, out.data, out.len);
        t->answer.len = (uint32_t)out.len;
        t->answer.width = r.width;
        t->answer.height = r.height;
        t->answer.orientation = r.orientation;
    }
    memcpy(t->answer.text, why.text, sizeof(t->answer.text));
    t->answer.err = (uint32_t)err;
}

/* ---------------------------------------------------------------------------------------------------------- the lane's process */

static bool answer(int what)
{
    return send(SOCK, &what, sizeof(what), MSG_NOSIGNAL) == (ssize_t)sizeof(what);
}

/*
 * Signals that end a tool come to all of its processes; here its owner decides. All others as if nobody had changed them: who starts
 * the tool may have had SIGCHLD ignored (then there is nothing to wait for) or SIGXCPU (then there is no limit of time).
 */
static void settle_signals(void)
{
    static const int ignored[] = {SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGPIPE, SIGALRM, SIGUSR1, SIGUSR2};
    sigset_t others, all;

    (void)sigfillset(&all);
    others = all;
    for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++) {
        (void)signal(ignored[i], SIG_IGN);
        (void)sigdelset(&others, ignored[i]);
    }
    for (int i = 1; i <= SIGRTMAX; i++)
        if (sigismember(&others, i) == 1)
            (void)signal(i, SIG_DFL);
    (void)sigprocmask(SIG_UNBLOCK, &all, NULL);
}

static bool settle(int sock)
{
    for (char **e = environ; e != NULL && *e != NULL; e++) /* programs are told secrets there */
        explicit_bzero(*e, strlen(*e));
    if (dup2(sock, SOCK) != SOCK)
        return false;
    return close_range(0, SOCK - 1, 0) == 0 && close_range(SOCK + 1, ~0u, 0) == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 &&
           prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
}

/* Says that it could not be shut in, as nobody can who is: by a signal to itself. */
static void stay_out(void) __attribute__((noreturn));
static void stay_out(void)
{
    (void)signal(VF_SANDBOX_OPEN, SIG_DFL);
    (void)raise(VF_SANDBOX_OPEN);
    _exit(1);
}

void vf_sandbox_main(int sock, struct vf_tray *tray, vf_tray_work *work, unsigned cpu_seconds)
{
    static struct sock_filter code[FILTER_MAX];
    struct sock_fprog filter;
    uint8_t question = 0;

    settle_signals();
    if (!settle(sock))
        _exit(1);
    if (!filter_possible() || !filter_make(code, &filter)) {
        (void)answer(VF_SANDBOX_NO_FILTER);
        _exit(1);
    }
    if (!answer(VF_SANDBOX_READY))
        _exit(1);
    for (;;) {
        int status = 0;
        ssize_t n = recv(SOCK, &question, 1, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n != 1)
            _exit(0);
        pid_t pid = fork();
        if (pid == 0) {
            if (!shut_in(&filter, cpu_seconds))
                stay_out();
            work(tray);
            _exit(0);
        }
        while (pid > 0 && waitpid(pid, &status, 0) < 0)
            if (errno != EINTR)
                _exit(1);
        if (!answer(pid < 0 ? VF_SANDBOX_NO_FORK : status))
            _exit(0);
    }
}
