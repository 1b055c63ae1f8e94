/* SPDX-License-Identifier: MIT */
/* The desk at work: its server, and one answer by hand. */
#include "desk.h"

#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* ----------------------------------------------------------------------------------------------------------------- serve */

/* With -q only what somebody has to do something about. */
static void print_line(void *user, const char *text)
{
    (void)user;
    if (!kt_quiet || strstr(text, " event=failed ") || strstr(text, " event=unready "))
        (void)fprintf(stderr, "%s\n", text);
}

/* Before the first thread: all of them leave these signals to the descriptor. */
static enum vf_err stop_signals(int *ret, struct vf_why *why)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    if (sigprocmask(SIG_BLOCK, &set, NULL) || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
        return vf_fail_sys(why, "signal handlers could not be set");
    *ret = signalfd(-1, &set, SFD_CLOEXEC);
    return *ret < 0 ? vf_fail_sys(why, "signal handlers could not be set") : VF_OK;
}

/* A descriptor each for the connections, and some for every device's log. */
static void raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static void told(void *user, const struct vf_received *one)
{
    struct vf_why *why = user;
    if (one->err)
        (void)vf_fail(why, one->err, "%s", one->text);
    else
        kt_say("%s: %s", one->name, one->text);
}

/* --policy, and that there is one: without, every request would be refused. */
static enum vf_err take_policy(const struct kt_args *a, struct vf_desk *d, struct vf_why *why)
{
    const char *path = kt_get(a, KT_POLICY);
    struct vf_desk_status st;
    VF_FD fd = -1;
    if (path) {
        VF_TRY(vf_file_open(path, &fd, NULL, why));
        const struct vf_receive_file file = {.fd = fd, .name = path};
        struct vf_why one = {0};
        enum vf_err err = vf_desk_receive(d, &file, 1, told, &one, &one);
        if (err == VF_E_STALE) /* it was handed a newer one since: no reason not to serve under that */
            kt_say("note: %s", one.text);
        else if (err)
            return *why = one, err;
    }
    VF_TRY(vf_desk_status_get(d, &st, why));
    if (st.policy == 0)
        return kt_usage(why, "%s: the desk has no policy yet: --policy force.policy (policy export writes it)", a->argv[0]);
    if (!st.ready)
        kt_say("warning: it releases nothing until this is settled: %s", st.unready);
    return VF_OK;
}

static enum vf_err numbers(const struct kt_args *a, struct vf_desk_server_options *opt, struct vf_why *why)
{
    uint64_t n;
    if (kt_has(a, KT_CONNECTIONS)) {
        VF_TRY(kt_number_arg("connections", kt_get(a, KT_CONNECTIONS), 65536, &n, why));
        opt->connections = (unsigned)n;
    }
    if (kt_has(a, KT_PER_ADDRESS)) {
        VF_TRY(kt_number_arg("per-address", kt_get(a, KT_PER_ADDRESS), 65536, &n, why));
        opt->per_address = (unsigned)n;
    }
    if ((kt_has(a, KT_CONNECTIONS) && !opt->connections) || (kt_has(a, KT_PER_ADDRESS) && !opt->per_address))
        return kt_usage(why, "--connections and --per-address are at least 1");
    return VF_OK;
}

enum vf_err kt_desk_serve(const struct kt_args *a, struct vf_why *why)
{
    struct vf_desk_server_options opt = {.store = a->argv[0],
                                         .listen = kt_get(a, KT_LISTEN),
                                         .metrics = kt_get(a, KT_METRICS),
                                         .stop_fd = -1,
                                         .line = print_line};
    VF_IDENTITY id = NULL;
    struct vf_desk *d = NULL;
    VF_FD stop = -1;

    VF_TRY(numbers(a, &opt, why));
    VF_TRY(kt_desk_check(a->argv[0], why));
    VF_TRY(kt_desk_key_open(a, &id, why)); /* what asks for a passphrase can still be interrupted */
    VF_TRY(stop_signals(&stop, why));
    opt.stop_fd = stop;
    raise_descriptors();
    enum vf_err err = vf_desk_open(a->argv[0], VF_DESK_SERVE, id, &d, why);
    if (!err)
        err = take_policy(a, d, why);
    if (!err)
        err = vf_desk_serve(d, &opt, why);
    return kt_desk_close(d, err, why);
}

/* ---------------------------------------------------------------------------------------------------------------- answer */

/* "8h", or until when. 0: as long as over the network. */
static enum vf_err lease_of(const struct kt_args *a, int64_t *ret, struct vf_why *why)
{
    const char *text = kt_get(a, KT_LEASE);
    int64_t now = vf_clock_wall_us(), until;
    *ret = 0;
    if (!text || (vf_duration_parse(text, ret) && *ret >= VF_DESK_LEASE_MIN_US))
        return VF_OK;
    if (!vf_time_parse_arg(text, now, &until) || until - now < VF_DESK_LEASE_MIN_US)
        return kt_usage(why, "--lease: \"%s\" is neither a duration of a minute or more (30m, 8h) nor a time to come", text);
    *ret = until - now;
    return VF_OK;
}

static enum vf_err answer_ourselves(const struct kt_args *a, const struct vf_receive_file *file, int64_t lease_us,
                                    struct vf_buf *out, struct vf_desk_outcome *o, struct vf_why *why)
{
    VF_IDENTITY id = NULL;
    struct vf_desk *d = NULL;
    VF_BUF request = {0};
    VF_TRY(vf_file_read(file->name, VF_REQUEST_MAX, &request, why));
    vf_buf_init(out, VF_ANSWER_MAX);
    enum vf_err err = kt_desk_open(a, a->argv[1], &id, &d, why);
    if (!err) {
        err = vf_desk_answer(d, request.data, request.len, lease_us, true, out, o, why);
        err = err ? vf_fail_prefix(why, err, "%s", file->name) : vf_buf_check(out, "the answer", why);
    }
    return kt_desk_close(d, err, why);
}

/* What the answer says, for who carries it; the answer itself only the mount can read. */
static enum vf_err judge(const struct kt_args *a, const struct vf_desk_outcome *o, struct vf_why *why)
{
    const char *path = kt_get(a, KT_OUTPUT);
    switch (o->status) {
    case VF_ANSWER_OK:
        (void)printf("%s: %" PRIu64 " share%s for %s, job %s, %" PRIu64 " of them for the first time; %" PRIu64
                     " new entr%s of its log\n",
                     path, o->shares, kt_s(o->shares), *o->device ? o->device : "?", *o->job ? o->job : "?", o->fresh,
                     o->entries, kt_ies(o->entries));
        kt_say("Take it back to the station: the running mount picks it up.");
        return VF_OK;
    case VF_ANSWER_UNKNOWN:
    case VF_ANSWER_BEHIND:
        return vf_fail(
            why, VF_E_PARTIAL,
            "%s: no shares yet: the answer asks the station for %s. Take it back, and bring the next request", path,
            o->status == VF_ANSWER_UNKNOWN ? "the grant and its enrolment" : "the part of its log that is missing here");
    case VF_ANSWER_ENDED:
        return vf_fail(why, VF_E_EXPIRED, "%s: no shares: the grant has ended", path);
    case VF_ANSWER_NOT_YET:
        return vf_fail(why, VF_E_NOT_YET, "%s: no shares: the grant has not started", path);
    case VF_ANSWER_REVOKED:
        return vf_fail(why, VF_E_REVOKED, "%s: no shares: the grant was revoked", path);
    case VF_ANSWER_BUDGET:
        return vf_fail(why, VF_E_BUDGET, "%s: no shares: the budget of the grant is used up", path);
    case VF_ANSWER_FORKED:
        return vf_fail(why, VF_E_FORGED,
                       "%s: no shares: the station's log does not continue what was handed in. That is an alarm", path);
    case VF_ANSWER_RATE:
    case VF_ANSWER_REFUSED:
    case VF_ANSWER_UNREADY:
    case VF_ANSWER_COUNT:
    default:
        return vf_fail(why, VF_E_REFUSED, "%s: no shares: %s; desk status and the desk's log say more", path,
                       vf_answer_text(o->status));
    }
}

enum vf_err kt_desk_answer(const struct kt_args *a, struct vf_why *why)
{
    const char *request = a->argv[0], *store = a->argv[1];
    struct vf_desk_outcome o = {0};
    int64_t lease;
    char what[64];
    VF_FD fd = -1;
    VF_BUF out = {0};

    VF_TRY(lease_of(a, &lease, why));
    VF_TRY(kt_output_check(a, kt_get(a, KT_OUTPUT), why));
    VF_TRY(vf_file_open(request, &fd, NULL, why));
    const struct vf_receive_file file = {.fd = fd, .name = request};
    (void)snprintf(what, sizeof(what), "answer?lease=%" PRId64, lease);
    enum vf_err err = vf_desk_control(store, what, &file, &out, why);
    if (err == VF_E_NOT_FOUND)
        err = answer_ourselves(a, &file, lease, &out, &o, why);
    else if (!err)
        err = vf_desk_outcome_take(&out, &o, why);
    VF_TRY(err);
    VF_TRY(kt_output_write(a, kt_get(a, KT_OUTPUT), &out, 0600, why));
    return judge(a, &o, why);
}
