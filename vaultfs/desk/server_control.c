/* SPDX-License-Identifier: MIT */
/*
 * STORE/control: what `keytool desk` does beside a server. HTTP on a socket of the same user, a thread a connection; a body stays in memory while it
 * is small, so that a revocation gets in when the disk is full, and goes to a file without a name in STORE else; and from there to the same functions that keytool calls when nobody serves.
 */
#include "server.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define CONNECTIONS  8
#define SILENT_S     60
#define BODY_MAX     (INT64_C(16) << 30) /* a station's log of years */
#define IN_MEMORY    (INT64_C(64) * 1024)
#define DOCUMENT_MAX (64u * 1024 * 1024)

struct call {
    int fd; /* of the body */
    bool in_memory;
    int64_t len;
    enum vf_err err;
    struct vf_why why;
};

static void call_done(void *user, struct MHD_Connection *c, void **context, enum MHD_RequestTerminationCode how)
{
    struct call *call = *context;
    (void)user;
    (void)c;
    (void)how;
    if (call)
        vf_fd_close(&call->fd);
    free(call);
    *context = NULL;
}

struct told {
    struct vf_buf *out;
    enum vf_artefact kind;
};

static void told(void *user, const struct vf_received *one)
{
    struct told *t = user;
    t->kind = one->kind;
    vf_buf_reset(t->out); /* one file, one word: the last */
    vf_received_put(one, t->out);
}

static enum vf_err do_receive(struct vf_server *s, struct MHD_Connection *c, const struct call *call, struct vf_buf *out,
                              struct vf_why *why)
{
    const char *name = MHD_lookup_connection_value(c, MHD_GET_ARGUMENT_KIND, "name");
    const struct vf_receive_file file = {.fd = call->fd, .name = name ? name : "file"};
    struct told t = {.out = out};
    enum vf_err err = vf_desk_receive(s->desk, &file, 1, told, &t, why);
    if (out->len == 0)
        return err ? err : vf_fail(why, VF_E_SYSTEM, "%s: nothing was told of it", file.name);
    vf_server_line(s, "event=received what=\"%s\" taken=%s", vf_artefact_text(t.kind), err == VF_OK ? "yes" : "no");
    return VF_OK; /* the file's own failure is in what was told */
}

/* A number among the arguments of the question. */
static enum vf_err number(struct MHD_Connection *c, const char *name, uint64_t max, uint64_t *ret, struct vf_why *why)
{
    const char *text = MHD_lookup_connection_value(c, MHD_GET_ARGUMENT_KIND, name);
    if (!text || !vf_uint_parse(text, strlen(text), max, ret))
        return vf_fail(why, VF_E_INPUT, "the request to the server has no \"%s\" that is a number", name);
    return VF_OK;
}

static enum vf_err do_prekeys(struct vf_server *s, struct MHD_Connection *c, struct vf_buf *out, struct vf_why *why)
{
    uint64_t count, last;
    VF_TRY(number(c, "count", VF_PREKEYS_MAX, &count, why));
    VF_TRY(number(c, "last", INT64_MAX, &last, why));
    VF_TRY(vf_desk_prekeys_add(s->desk, (uint32_t)count, (int64_t)last, out, why));
    vf_server_line(s, "event=prekeys count=%llu", (unsigned long long)count);
    return VF_OK;
}

static enum vf_err do_answer(struct vf_server *s, struct MHD_Connection *c, const struct call *call, struct vf_buf *out,
                             struct vf_why *why)
{
    uint64_t lease;
    VF_BUF request;
    struct vf_desk_outcome o = {0};
    VF_BUF answer;
    VF_TRY(number(c, "lease", INT64_MAX, &lease, why));
    if (call->len > VF_REQUEST_MAX)
        return vf_fail(why, VF_E_LIMIT, "larger than a request may be");
    vf_buf_init(&request, VF_REQUEST_MAX);
    vf_buf_init(&answer, VF_ANSWER_MAX);
    uint8_t *at = vf_buf_grow(&request, (size_t)call->len);
    if (!at)
        return vf_buf_check(&request, "the request", why);
    VF_TRY(vf_fd_pread(call->fd, at, (size_t)call->len, 0, "the request", why));
    VF_TRY(vf_desk_answer(s->desk, request.data, request.len, (int64_t)lease, true, &answer, &o, why));
    vf_desk_outcome_put(&o, out);
    vf_buf_put(out, answer.data, answer.len);
    vf_server_line(s, "event=answer from=control device=%s job=%s status=%s entries=%llu shares=%llu new=%llu",
                   *o.device ? o.device : "-", *o.job ? o.job : "-", vf_answer_text(o.status), (unsigned long long)o.entries,
                   (unsigned long long)o.shares, (unsigned long long)o.fresh);
    return VF_OK;
}

static enum vf_err dispatch(struct vf_server *s, struct MHD_Connection *c, const char *url, const struct call *call,
                            struct vf_buf *out, struct vf_why *why)
{
    if (strcmp(url, "/status") == 0)
        return vf_desk_status_put(s->desk, true, out, why);
    if (strcmp(url, "/receive") == 0)
        return do_receive(s, c, call, out, why);
    if (strcmp(url, "/prekeys") == 0)
        return do_prekeys(s, c, out, why);
    if (strcmp(url, "/answer") == 0)
        return do_answer(s, c, call, out, why);
    if (strcmp(url, "/clock") != 0)
        return vf_fail(why, VF_E_VERSION, "the server that runs does not know this: it is of another version");
    VF_TRY(vf_desk_confirm(s->desk, why));
    vf_server_line(s, "event=confirmed");
    return VF_OK;
}

/* The error's number, a space, its text: keytool makes its own of it. */
static enum MHD_Result reply_error(struct MHD_Connection *c, enum vf_err err, const struct vf_why *why)
{
    char text[sizeof(why->text) + 16];
    (void)snprintf(text, sizeof(text), "%d %s", (int)err, why->text[0] ? why->text : vf_err_text(err));
    return vf_http_text(c, MHD_HTTP_INTERNAL_SERVER_ERROR, text);
}

/* What is in memory goes to the disk. */
static enum vf_err spill(struct vf_server *s, struct call *call)
{
    uint8_t block[4096];
    VF_FD was = call->fd;

    call->in_memory = false;
    call->fd = open(s->opt->store, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (call->fd < 0)
        return vf_fail_sys(&call->why, "%s", s->opt->store);
    for (int64_t at = 0; at < call->len;) {
        size_t n = call->len - at < (int64_t)sizeof(block) ? (size_t)(call->len - at) : sizeof(block);
        VF_TRY(vf_fd_pread(was, block, n, (uint64_t)at, "a request's body", &call->why));
        VF_TRY(vf_fd_pwrite(call->fd, block, n, (uint64_t)at, "a file in the desk's folder", &call->why));
        at += (int64_t)n;
    }
    return VF_OK;
}

static enum MHD_Result take_body(struct vf_server *s, struct call *call, const char *data, size_t *len)
{
    if (!call->err && call->len + (int64_t)*len > BODY_MAX)
        call->err = vf_fail(&call->why, VF_E_LIMIT, "larger than anything a desk takes");
    if (!call->err && call->in_memory && call->len + (int64_t)*len > IN_MEMORY)
        call->err = spill(s, call);
    if (!call->err)
        call->err = vf_fd_pwrite(call->fd, data, *len, (uint64_t)call->len, "a file in the desk's folder", &call->why);
    call->len += (int64_t)*len;
    *len = 0;
    return MHD_YES;
}

static struct call *begin(struct vf_server *s, struct MHD_Connection *c)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct call *call = calloc(1, sizeof(*call));
    struct ucred peer;
    socklen_t len = sizeof(peer);
    if (!call)
        return NULL;
    call->fd = -1;
    if (!info || getsockopt(info->connect_fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) ||
        (peer.uid != geteuid() && peer.uid != 0)) {
        call->err = vf_fail(&call->why, VF_E_DENIED, "only the desk's own user, or root, may ask here");
        return call;
    }
    call->fd = memfd_create("body", MFD_CLOEXEC);
    call->in_memory = call->fd >= 0;
    if (call->fd < 0)
        call->fd = open(s->opt->store, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (call->fd < 0)
        call->err = vf_fail_sys(&call->why, "%s", s->opt->store);
    return call;
}

static enum MHD_Result handle(void *user, struct MHD_Connection *c, const char *url, const char *method, const char *version,
                              const char *data, size_t *len, void **context)
{
    struct vf_server *s = user;
    struct call *call = *context;
    VF_BUF out;
    (void)version;
    (void)method;
    if (!call) {
        *context = begin(s, c);
        return *context ? MHD_YES : MHD_NO;
    }
    if (*len)
        return take_body(s, call, data, len);
    vf_buf_init(&out, DOCUMENT_MAX);
    enum vf_err err = call->err;
    if (!err) {
        err = dispatch(s, c, url, call, &out, &call->why);
        err = err ? err : vf_buf_check(&out, "the server's answer", &call->why);
    }
    return err ? reply_error(c, err, &call->why) : vf_http_reply(c, MHD_HTTP_OK, "application/octet-stream", &out);
}

enum vf_err vf_http_control_start(struct vf_server *s, struct vf_why *why)
{
    s->control_daemon = MHD_start_daemon(
        MHD_USE_POLL | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION | MHD_USE_ITC, 0, NULL, NULL, handle,
        s, MHD_OPTION_LISTEN_SOCKET, s->control.fd, MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT,
        SILENT_S, MHD_OPTION_NOTIFY_COMPLETED, call_done, NULL, MHD_OPTION_END);
    return s->control_daemon ? VF_OK : vf_fail_sys(why, "%s: the HTTP library did not start", s->control.where);
}
