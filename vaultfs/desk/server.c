/* SPDX-License-Identifier: MIT */
#include "server.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define CONNECTIONS  512
#define BUDGET       (256u * 1024 * 1024)
#define WORKERS      16 /* most of their time is waiting for the disk, and those that wait together are written together */
#define DRAIN_US     (10 * VF_SECOND_US)
#define STATUS_SHARE 50 /* of the time one in so many is for looking at what there is */
#define MINUTE_US    (60 * VF_SECOND_US)
#define RELEASE_MODE 0660 /* of a socket file: whom the folder lets in, such as a proxy of the same group */

unsigned vf_server_connections(const struct vf_desk_server_options *opt)
{
    return opt->connections ? opt->connections : CONNECTIONS;
}

/* -------------------------------------------------------------------------------------------------------------------- lines */

void vf_server_line(struct vf_server *s, const char *fmt, ...)
{
    char text[1024], stamp[VF_TIME_US_LEN + 1];
    va_list args;
    vf_time_format_us(vf_clock_wall_us(), stamp);
    int n = snprintf(text, sizeof(text), "time=%s ", stamp);
    va_start(args, fmt);
    (void)vsnprintf(text + n, sizeof(text) - (size_t)n, fmt, args);
    va_end(args);
    vf_text_one_line(text);
    if (s->journal)
        vf_journal_put(s->journal, text);
}

void vf_server_quote(const char *text, char *out, size_t size)
{
    (void)snprintf(out, size, "%s", text);
    for (char *p = out; *p; p++)
        if (*p == '"')
            *p = '\'';
}

bool vf_server_may_tell(struct vf_server *s, enum vf_lines what)
{
    static const struct {
        const char *event;
        unsigned most; /* a minute */
    } kinds[VF_LINES_COUNT] = {[VF_LINES_BAD] = {"refused", 10}, [VF_LINES_OLD] = {"answer", 100}};
    struct vf_line_quota *q = &s->quotas[what];
    int64_t now = vf_clock_boot_us();
    pthread_mutex_lock(&s->line_lock);
    if (now - q->minute_us >= MINUTE_US) {
        if (q->more)
            vf_server_line(s, "event=%s more=%llu", kinds[what].event, (unsigned long long)q->more);
        *q = (struct vf_line_quota){.minute_us = now};
    }
    bool may = q->lines < kinds[what].most;
    q->lines += may;
    q->more += !may;
    pthread_mutex_unlock(&s->line_lock);
    return may;
}

void vf_server_bad(struct vf_server *s, enum vf_bad what, const char *peer)
{
    vf_figures_bad(s->figures, what);
    if (vf_server_may_tell(s, VF_LINES_BAD))
        vf_server_line(s, "event=refused from=%s why=%s", peer, vf_bad_text(what));
}

/* --------------------------------------------------------------------------------------------------------------------- tick */

struct ticker {
    struct vf_server *server;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stopping, runs;
    int64_t status_us;                             /* boot clock: not before */
    char last[sizeof(((struct vf_why *)0)->text)]; /* what was told last, to be told once */
};

static void tell_change(struct ticker *t, const char *text, const char *event)
{
    if (strcmp(t->last, text) == 0)
        return;
    (void)snprintf(t->last, sizeof(t->last), "%s", text);
    if (!*text) {
        vf_server_line(t->server, "event=ready");
        return;
    }
    char quoted[sizeof(t->last)];
    vf_server_quote(text, quoted, sizeof(quoted));
    vf_server_line(t->server, "event=%s why=\"%s\"", event, quoted);
}

static void tick(struct ticker *t)
{
    struct vf_server *s = t->server;
    struct vf_desk_status st;
    struct vf_why why = {0};
    int64_t began = vf_clock_boot_us();
    vf_guard_tick(s->guard);
    enum vf_err err = vf_desk_tick(s->desk, &why);
    if (!err && began < t->status_us)
        return;
    began = vf_clock_boot_us();
    enum vf_err got = vf_desk_status_get(s->desk, &st, err ? NULL : &why);
    int64_t now = vf_clock_boot_us();
    t->status_us = now + (now - began) * STATUS_SHARE; /* it looks at every prekey */
    if (!got)
        vf_figures_status(s->figures, &st, err == VF_OK);
    if (err || got)
        tell_change(t, why.text, "failed");
    else
        tell_change(t, st.ready ? "" : st.unready, "unready");
}

static void *tick_on(void *arg)
{
    struct ticker *t = arg;
    uint64_t watchdog = vf_notify_watchdog_us();
    int64_t told = 0;
    pthread_mutex_lock(&t->lock);
    while (!t->stopping) {
        struct timespec until;
        pthread_mutex_unlock(&t->lock);
        tick(t);
        int64_t now = vf_clock_boot_us();
        if (watchdog && (uint64_t)(now - told) >= watchdog / 3) {
            vf_notify("WATCHDOG=1");
            told = now;
        }
        (void)clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec++;
        pthread_mutex_lock(&t->lock);
        while (!t->stopping && pthread_cond_timedwait(&t->wake, &t->lock, &until) != ETIMEDOUT)
            continue;
    }
    pthread_mutex_unlock(&t->lock);
    return NULL;
}

static enum vf_err ticker_start(struct ticker *t, struct vf_server *s, struct vf_why *why)
{
    pthread_condattr_t attr;
    t->server = s;
    pthread_mutex_init(&t->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&t->wake, &attr);
    pthread_condattr_destroy(&attr);
    tick(t); /* the first answer to "are you ready" is a true one */
    int rc = pthread_create(&t->thread, NULL, tick_on, t);
    t->runs = rc == 0;
    return rc ? vf_fail(why, VF_E_SYSTEM, "no thread for the server: %s", strerror(rc)) : VF_OK;
}

static void ticker_stop(struct ticker *t)
{
    if (!t->server)
        return;
    pthread_mutex_lock(&t->lock);
    t->stopping = true;
    pthread_cond_signal(&t->wake);
    pthread_mutex_unlock(&t->lock);
    if (t->runs)
        pthread_join(t->thread, NULL);
    pthread_cond_destroy(&t->wake);
    pthread_mutex_destroy(&t->lock);
}

/* ------------------------------------------------------------------------------------------------------------ start and stop */

static enum vf_err open_sockets(struct vf_server *s, struct vf_why *why)
{
    const struct vf_desk_server_options *o = s->opt;
    if (o->listen) {
        VF_TRY(vf_listen_open(o->listen, RELEASE_MODE, &s->listen[0], why));
        s->nlisten = 1;
    } else {
        enum vf_err err = vf_listen_handed(s->listen, VF_LISTEN_MAX - 1, &s->nlisten, why);
        if (err == VF_E_NOT_FOUND)
            return vf_fail(why, VF_E_USAGE, "desk serve needs --listen ADDR:PORT or unix:PATH, or a socket of systemd");
        VF_TRY(err);
    }
    if (o->metrics) {
        VF_TRY(vf_listen_open(o->metrics, RELEASE_MODE, &s->listen[s->nlisten], why));
        s->listen[s->nlisten++].metrics = true;
    }
    return vf_listen_unix_at(o->store, "control", 0600, &s->control, why);
}

static enum vf_err start(struct vf_server *s, struct ticker *t, struct vf_why *why)
{
    const struct vf_desk_server_options *o = s->opt;
    const struct vf_guard_limits limits = {
        .connections = vf_server_connections(o), .per_address = o->per_address, .budget = o->budget ? o->budget : BUDGET};
    s->figures = vf_figures_new();
    s->guard = vf_guard_new(&limits);
    if (!s->figures || !s->guard)
        return vf_fail(why, VF_E_NOMEM, "out of memory");
    if (o->line)
        VF_TRY(vf_journal_start(o->line, o->user, &s->journal, why));
    VF_TRY(open_sockets(s, why));
    VF_TRY(ticker_start(t, s, why));
    VF_TRY(vf_workers_start(o->threads ? o->threads : WORKERS, vf_http_work, &s->workers, why));
    for (size_t i = 0; i < s->nlisten; i++)
        VF_TRY(vf_http_start(s, i, why));
    return vf_http_control_start(s, why);
}

static void tell_ready(struct vf_server *s)
{
    VF_BUF where;
    vf_buf_init(&where, 4096);
    for (size_t i = 0; i < s->nlisten; i++)
        vf_buf_fmt(&where, "%s%s%s", i ? ", " : "", s->listen[i].where, s->listen[i].metrics ? " (figures)" : "");
    const char *text = vf_buf_cstr(&where) ? vf_buf_cstr(&where) : "?";
    vf_server_line(s, "event=serving on=\"%s\"", text);
    if (s->opt->ready)
        s->opt->ready(s->opt->user, text);
    vf_notify("READY=1\nSTATUS=answering");
}

static void wait_for_stop(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int n;
    do
        n = poll(&p, 1, -1);
    while (n < 0 && errno == EINTR);
}

/* No new connection; who is in the middle of a request has ten seconds for it, and what a worker has is answered whatever it takes. */
static void drain(struct vf_server *s)
{
    int64_t end = vf_clock_boot_us() + DRAIN_US;
    for (size_t i = 0; i < s->nlisten; i++) {
        vf_listen_end(&s->listen[i]);
        if (s->daemons[i])
            (void)MHD_quiesce_daemon(s->daemons[i]); /* the descriptor stays ours */
    }
    while (vf_guard_drain(s->guard) > 0 && vf_clock_boot_us() < end)
        (void)usleep(10000);
}

static void stop(struct vf_server *s, struct ticker *t)
{
    drain(s);
    vf_workers_stop(s->workers);
    /* A connection that rests must have been woken before its daemon ends: the workers are done with all of them. */
    for (size_t i = 0; i < s->nlisten; i++) {
        if (s->daemons[i])
            MHD_stop_daemon(s->daemons[i]);
        vf_listen_close(&s->listen[i]);
    }
    if (s->control_daemon)
        MHD_stop_daemon(s->control_daemon);
    vf_listen_close(&s->control);
    ticker_stop(t);
}

enum vf_err vf_desk_serve(struct vf_desk *d, const struct vf_desk_server_options *opt, struct vf_why *why)
{
    struct vf_server s = {.desk = d, .opt = opt, .control.fd = -1};
    struct ticker t = {0};
    for (size_t i = 0; i < VF_LISTEN_MAX; i++)
        s.listen[i].fd = -1;
    pthread_mutex_init(&s.line_lock, NULL);
    enum vf_err err = start(&s, &t, why);
    if (!err) {
        tell_ready(&s);
        wait_for_stop(opt->stop_fd);
        vf_notify("STOPPING=1");
        vf_server_line(&s, "event=stopping");
    }
    if (s.guard)
        stop(&s, &t);
    if (!err)
        vf_server_line(&s, "event=stopped");
    vf_journal_stop(s.journal);
    vf_guard_free(s.guard);
    vf_figures_free(s.figures);
    pthread_mutex_destroy(&s.line_lock);
    return err;
}
