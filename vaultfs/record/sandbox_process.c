/* SPDX-License-Identifier: MIT */
/*
 * The other side of a sandbox: a process that never looks at a picture itself, and one for each picture that can do nothing else.
 *
 *   1. the lane's process has no file open but its socket, and nothing in memory but what its owner had when it was made
 *   2. for each picture it makes a copy of itself, which closes the socket too and may from then on only ask for memory and end
 *   3. the lane's process waits until that one is gone, then tells how it ended: so nothing of one picture meets another
 *
 * Without files, clocks, signals or other processes to wait for, the one with the picture cannot sleep; its processor time is limited.
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

/* ---------------------------------------------------------------------------------------------------------------- the filter */

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif

static int allow(scmp_filter_ctx ctx)
{
    static const int calls[] = {
        SCMP_SYS(brk),         SCMP_SYS(munmap),       SCMP_SYS(mremap), SCMP_SYS(exit),
        SCMP_SYS(exit_group),  SCMP_SYS(rt_sigreturn),
#ifdef SANITIZED /* their own code asks for these when a process ends */
        SCMP_SYS(sigaltstack), SCMP_SYS(gettid),       SCMP_SYS(futex),  SCMP_SYS(sched_yield),
#endif
    };
    int bad = 0;

    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
        bad |= seccomp_rule_add(ctx, SCMP_ACT_ALLOW, calls[i], 0);
    /* Memory, but none that can be run. */
    bad |= seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    bad |= seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    /* What the allocator gives back. */
    bad |= seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(madvise), 0);
    return bad;
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

static bool shut_in(const struct sock_fprog *filter, unsigned cpu_seconds)
{
    static const struct rlimit none = {0, 0};
    const struct rlimit time = {cpu_seconds, cpu_seconds + 5};

    return prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && setrlimit(RLIMIT_CORE, &none) == 0 &&
           setrlimit(RLIMIT_CPU, &time) == 0 && close_range(0, ~0u, 0) == 0 &&
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

/* Signals that end a tool come to all of its processes; here its owner decides. */
static bool settle(int sock)
{
    static const int signals[] = {SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGPIPE, SIGALRM, SIGUSR1, SIGUSR2};

    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        (void)signal(signals[i], SIG_IGN);
    if (dup2(sock, SOCK) != SOCK)
        return false;
    return close_range(0, SOCK - 1, 0) == 0 && close_range(SOCK + 1, ~0u, 0) == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 &&
           prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
}

void vf_sandbox_main(int sock, struct vf_tray *tray, vf_tray_work *work, unsigned cpu_seconds)
{
    static struct sock_filter code[FILTER_MAX];
    struct sock_fprog filter;
    uint8_t question = 0;

    if (!settle(sock))
        _exit(1);
    if (!filter_make(code, &filter)) {
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
                _exit(VF_SANDBOX_OPEN);
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
