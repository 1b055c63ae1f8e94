/* SPDX-License-Identifier: MIT */
/*
 * HTTP: POST /v1/release, GET /healthz, GET /metrics. Everything that comes from a client is bounded before it is stored; what is not a request that
 * opens is answered with a line that tells nothing.
 */
#include "server.h"

#include <stdlib.h>
#include <string.h>

#define HEADERS_MAX   16384 /* bytes a connection may take for its headers */
#define RETRY_SECONDS "5"

static enum MHD_Result reply(struct MHD_Connection *c, unsigned status, const char *type, const char *allow,
                             struct vf_buf *body)
{
    struct MHD_Response *r = MHD_create_response_from_buffer_with_free_callback(body->len, body->data, free);
    if (!r)
        return MHD_NO;
    *body = (struct vf_buf){0}; /* it is the response's now */
    bool good = MHD_add_response_header(r, "Content-Type", type) == MHD_YES &&
                MHD_add_response_header(r, "Cache-Control", "no-store") == MHD_YES &&
                MHD_add_response_header(r, "X-Content-Type-Options", "nosniff") == MHD_YES;
    if (good && status == MHD_HTTP_SERVICE_UNAVAILABLE)
        good = MHD_add_response_header(r, "Retry-After", RETRY_SECONDS) == MHD_YES;
    if (good && allow)
        good = MHD_add_response_header(r, "Allow", allow) == MHD_YES;
    enum MHD_Result result = good ? MHD_queue_response(c, status, r) : MHD_NO;
    MHD_destroy_response(r);
    return result;
}

enum MHD_Result vf_http_reply(struct MHD_Connection *c, unsigned status, const char *type, struct vf_buf *body)
{
    return reply(c, status, type, NULL, body);
}

static enum MHD_Result reply_text(struct MHD_Connection *c, unsigned status, const char *allow, const char *text)
{
    VF_BUF body;
    vf_buf_init(&body, 4096);
    vf_buf_text(&body, text);
    vf_buf_text(&body, "\n");
    return vf_buf_ok(&body) ? reply(c, status, "text/plain; charset=utf-8", allow, &body) : MHD_NO;
}

enum MHD_Result vf_http_text(struct MHD_Connection *c, unsigned status, const char *text)
{
    return reply_text(c, status, NULL, text);
}

/* ------------------------------------------------------------------------------------------------------------ connections */

static enum MHD_Result admit(void *user, const struct sockaddr *from, socklen_t len)
{
    struct vf_endpoint *end = user;
    return vf_guard_admit(end->server->guard, from, len) ? MHD_YES : MHD_NO;
}

static void connected(void *user, struct MHD_Connection *c, void **context, enum MHD_ConnectionNotificationCode what)
{
    struct vf_endpoint *end = user;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *fd = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
        const union MHD_ConnectionInfo *from = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
        *context = fd && from ? vf_guard_enter(end->server->guard, fd->connect_fd, from->client_addr) : NULL;
    } else if (*context) {
        vf_guard_leave(end->server->guard, *context);
        *context = NULL;
    }
}

static struct vf_client *client_of(struct MHD_Connection *c)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

static void exchange_free(struct vf_exchange *e)
{
    free(e->body); /* a sealed box */
    vf_buf_done(&e->answer);
    free(e);
}

static void completed(void *user, struct MHD_Connection *c, void **context, enum MHD_RequestTerminationCode how)
{
    struct vf_exchange *e = *context;
    (void)user;
    (void)c;
    (void)how;
    if (!e)
        return;
    vf_guard_done(e->server->guard, e->client);
    exchange_free(e);
    *context = NULL;
}

/* ---------------------------------------------------------------------------------------------------------------- release */

/* A stranger is asked who he is as often as he likes, and what a device once sent is answered as often as anybody sends it. */
static void tell_answer(const struct vf_exchange *e, const struct vf_desk_outcome *o, int64_t took_us)
{
    char grant[VF_GRANT_ID_LEN + 1] = "-";
    if (o->grant.c[0])
        (void)snprintf(grant, sizeof(grant), "%.16s", o->grant.c);
    vf_figures_answer(e->server->figures, o, e->len, e->answer.len, took_us);
    if (o->entries == 0 && !vf_server_may_tell(e->server, *o->device ? VF_LINES_OLD : VF_LINES_BAD))
        return;
    vf_server_line(
        e->server,
        "event=answer from=%s device=%s job=%s grant=%s status=%s entries=%llu shares=%llu new=%llu in=%zu out=%zu "
        "ms=%.1f",
        e->client->peer, *o->device ? o->device : "-", *o->job ? o->job : "-", grant, vf_answer_text(o->status),
        (unsigned long long)o->entries, (unsigned long long)o->shares, (unsigned long long)o->fresh, e->len, e->answer.len,
        (double)took_us / 1e3);
}

/* On a worker's thread, while the connection rests. */
void vf_http_work(struct vf_exchange *e)
{
    struct vf_server *s = e->server;
    struct vf_desk_outcome o = {0};
    struct vf_why why = {0};

    vf_buf_init(&e->answer, VF_ANSWER_MAX);
    enum vf_err err = vf_desk_answer(s->desk, e->body, e->len, 0, false, &e->answer, &o, &why);
    if (!err && !vf_buf_ok(&e->answer))
        err = vf_buf_check(&e->answer, "the answer", &why);
    int64_t took = vf_clock_boot_us() - e->started_us;
    if (!err) {
        tell_answer(e, &o, took);
    } else if (err == VF_E_DAMAGED || err == VF_E_FORMAT || err == VF_E_VERSION || err == VF_E_FORGED ||
               err == VF_E_REFUSED) {
        e->status = MHD_HTTP_BAD_REQUEST;
        e->text = "not a request to this desk";
        vf_server_bad(s, err == VF_E_REFUSED ? VF_BAD_OTHER_DESK : VF_BAD_UNOPENED, e->client->peer);
    } else {
        e->status = MHD_HTTP_SERVICE_UNAVAILABLE;
        e->text = "the desk cannot answer now";
        vf_figures_bad(s->figures, VF_BAD_FAILED);
        char quoted[sizeof(why.text)];
        vf_server_quote(why.text, quoted, sizeof(quoted));
        vf_server_line(s, "event=failed from=%s why=\"%s\" ms=%.1f", e->client->peer, quoted, (double)took / 1e3);
    }
    e->answered = true;
    MHD_resume_connection(e->connection); /* from here on it is the other thread's */
}

/* Decide now; a little that is on its way is read first, so that the sender sees the answer and not a reset. */
static enum MHD_Result refuse(struct vf_exchange *e, enum vf_bad what, unsigned status, const char *text)
{
    vf_server_bad(e->server, what, e->client->peer);
    e->status = status;
    e->text = text;
    e->draining = true;
    if (e->len <= VF_GUARD_SMALL) {
        (void)vf_guard_body(e->server->guard, e->client, e->len);
        return MHD_YES;
    }
    vf_guard_send(e->server->guard, e->client, 0);
    return reply_text(e->connection, status, e->allow, text);
}

/* The length as announced; false: none, or not a number. */
static bool announced(struct MHD_Connection *c, size_t *ret)
{
    const char *text = MHD_lookup_connection_value(c, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
    uint64_t n;
    if (!text || !vf_uint_parse(text, strlen(text), SIZE_MAX, &n))
        return false;
    *ret = (size_t)n;
    return true;
}

static enum MHD_Result begin_release(struct vf_exchange *e)
{
    struct vf_server *s = e->server;
    bool known = announced(e->connection, &e->len);
    if (!known) {
        e->len = VF_GUARD_SMALL + 1; /* nobody knows how much would come */
        return refuse(e, VF_BAD_LENGTH, MHD_HTTP_LENGTH_REQUIRED, "say the length (Content-Length)");
    }
    if (e->len == 0)
        return refuse(e, VF_BAD_LENGTH, MHD_HTTP_BAD_REQUEST, "an empty request");
    if (e->len > VF_REQUEST_MAX)
        return refuse(e, VF_BAD_LENGTH, MHD_HTTP_CONTENT_TOO_LARGE, "too large: send the log in several requests");
    if (!vf_guard_body(s->guard, e->client, e->len))
        return refuse(e, VF_BAD_BUSY, MHD_HTTP_SERVICE_UNAVAILABLE, "too much at once: try again");
    return MHD_YES;
}

/* Memory for what has arrived, and some more. */
static bool make_room(struct vf_exchange *e, size_t len)
{
    size_t want = e->got + len, room = e->room * 2 > want ? e->room * 2 : want;
    if (want <= e->room)
        return true;
    room = room < VF_GUARD_SMALL ? VF_GUARD_SMALL : room;
    room = room < e->len ? room : e->len;
    uint8_t *more = realloc(e->body, room);
    if (!more)
        return false;
    e->body = more;
    e->room = room;
    return true;
}

static enum MHD_Result more_body(struct vf_exchange *e, const char *data, size_t *len)
{
    if (!e->draining) {
        if (*len > e->len - e->got)
            return MHD_NO;
        if (!vf_guard_got(e->server->guard, e->client, *len) || !make_room(e, *len)) {
            vf_server_bad(e->server, VF_BAD_BUSY, e->client->peer);
            return MHD_NO;
        }
        memcpy(e->body + e->got, data, *len);
    }
    e->got += *len;
    if (e->draining && (e->got > VF_GUARD_SMALL || !vf_guard_got(e->server->guard, e->client, *len)))
        return MHD_NO;
    *len = 0;
    return MHD_YES;
}

static enum MHD_Result end_release(struct vf_exchange *e)
{
    struct vf_guard *g = e->server->guard;
    if (e->draining || (e->answered && e->text)) {
        vf_guard_send(g, e->client, 0);
        return reply_text(e->connection, e->status, e->allow, e->text);
    }
    if (e->answered) {
        free(e->body);
        e->body = NULL;
        vf_guard_send(g, e->client, e->answer.len);
        return vf_http_reply(e->connection, MHD_HTTP_OK, "application/octet-stream", &e->answer);
    }
    if (e->got != e->len)
        return MHD_NO;
    vf_guard_work(g, e->client);
    MHD_suspend_connection(e->connection);
    vf_workers_put(e->server->workers, e);
    return MHD_YES;
}

/* ----------------------------------------------------------------------------------------------------------------- figures */

static enum MHD_Result reply_metrics(struct vf_server *s, struct MHD_Connection *c)
{
    struct vf_guard_figures g;
    VF_BUF text;
    vf_buf_init(&text, 65536);
    vf_guard_figures_get(s->guard, &g);
    vf_figures_put(s->figures, &g, s->journal ? vf_journal_lost(s->journal) : 0, &text);
    return vf_buf_ok(&text) ? vf_http_reply(c, MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8", &text) : MHD_NO;
}

static bool is_get(const char *method)
{
    return strcmp(method, MHD_HTTP_METHOD_GET) == 0 || strcmp(method, MHD_HTTP_METHOD_HEAD) == 0;
}

/* The first call of a request: its headers are complete. */
static enum MHD_Result begin(struct vf_endpoint *end, struct vf_exchange *e, const char *url, const char *method)
{
    struct vf_server *s = end->server;
    bool release = strcmp(url, "/v1/release") == 0 && !end->metrics_only, health = strcmp(url, "/healthz") == 0;
    bool metrics = strcmp(url, "/metrics") == 0 && (end->metrics_only || (end->metrics_too && e->client->shared));
    if (release && strcmp(method, MHD_HTTP_METHOD_POST) == 0)
        return begin_release(e);
    if (!announced(e->connection, &e->len) &&
        MHD_lookup_connection_value(e->connection, MHD_HEADER_KIND, "Transfer-Encoding"))
        e->len = VF_GUARD_SMALL + 1;
    e->allow = release ? MHD_HTTP_METHOD_POST : health || metrics ? "GET, HEAD" : NULL;
    if (release)
        return refuse(e, VF_BAD_METHOD, MHD_HTTP_METHOD_NOT_ALLOWED, "a release is asked for with POST");
    if ((health || metrics) && !is_get(method))
        return refuse(e, VF_BAD_METHOD, MHD_HTTP_METHOD_NOT_ALLOWED, "ask with GET");
    e->allow = NULL;
    if (!health && !metrics)
        return refuse(e, VF_BAD_PATH, MHD_HTTP_NOT_FOUND, "no such thing here");
    if (e->len > 0)
        return refuse(e, VF_BAD_LENGTH, MHD_HTTP_BAD_REQUEST, "a body with a question");
    vf_guard_send(s->guard, e->client, 0);
    if (metrics)
        return reply_metrics(s, e->connection);
    return vf_figures_ready(s->figures) ? vf_http_text(e->connection, MHD_HTTP_OK, "ok")
                                        : vf_http_text(e->connection, MHD_HTTP_SERVICE_UNAVAILABLE, "not ready");
}

static enum MHD_Result handle(void *user, struct MHD_Connection *c, const char *url, const char *method, const char *version,
                              const char *data, size_t *len, void **context)
{
    struct vf_endpoint *end = user;
    struct vf_exchange *e = *context;
    (void)version;
    if (e && *len)
        return more_body(e, data, len);
    if (e)
        return end_release(e);
    struct vf_client *client = client_of(c);
    e = client ? calloc(1, sizeof(*e)) : NULL;
    if (!e)
        return MHD_NO;
    *e = (struct vf_exchange){.server = end->server, .client = client, .connection = c, .started_us = vf_clock_boot_us()};
    *context = e;
    return begin(end, e, url, method);
}

/* The library's own remarks on clients: they are counted, not told. */
static void VF_PRINTF(2, 0) silent(void *user, const char *fmt, va_list args)
{
    (void)user;
    (void)fmt;
    (void)args;
}

enum vf_err vf_http_start(struct vf_server *s, size_t i, struct vf_why *why)
{
    struct vf_listen *l = &s->listen[i];
    const struct vf_desk_server_options *o = s->opt;
    struct vf_endpoint *end = &s->endpoints[i];
    *end = (struct vf_endpoint){.server = s, .metrics_only = l->metrics, .metrics_too = !o->metrics};
    /* poll: with epoll this library does not see that a client has gone when it hangs up right behind what it sent. */
    s->daemons[i] = MHD_start_daemon(
        MHD_USE_POLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC | MHD_USE_ERROR_LOG, 0, admit, end, handle,
        end, MHD_OPTION_EXTERNAL_LOGGER, silent, NULL, MHD_OPTION_LISTEN_SOCKET, l->fd, MHD_OPTION_CONNECTION_LIMIT,
        vf_server_connections(o) + VF_GUARD_SPARE, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEADERS_MAX,
        MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_NOTIFY_CONNECTION, connected, end, MHD_OPTION_NOTIFY_COMPLETED,
        completed, end, MHD_OPTION_END);
    return s->daemons[i] ? VF_OK : vf_fail_sys(why, "%s: the HTTP library did not start", l->where);
}
