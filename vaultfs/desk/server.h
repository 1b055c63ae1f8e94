/* SPDX-License-Identifier: MIT */
/*
 * Inside the desk's server. Threads: one for each socket it listens on (libmicrohttpd's, never waits for the disk), a fixed number of workers that
 * answer requests, one for the control socket, one that ticks once a second, one that writes the log. A request is read into memory by the first, handed to a worker
 * while its connection rests, and sent when the worker is done.
 */
#ifndef VF_DESK_SERVER_H
#define VF_DESK_SERVER_H

#include <microhttpd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>
#include <vaultfs/desk.h>

/* -------------------------------------------------------------------------------------------------------------- listening */

#define VF_LISTEN_MAX 8
struct vf_listen {
    int fd;
    char *unix_path; /* made by us, removed at the end; NULL otherwise */
    bool metrics;    /* gives figures only */
    bool handed;     /* systemd's: what waits in it is for the next server */
    char where[160]; /* "127.0.0.1:8443", "unix:/run/…" */
};
/* "ADDR:PORT", "[ADDR]:PORT" or "unix:PATH". A socket file that nobody answers on is replaced. VF_E_BUSY, VF_E_INPUT, VF_E_SYSTEM. */
enum vf_err vf_listen_open(const char *spec, mode_t mode, struct vf_listen *ret, struct vf_why *why);
/* The socket `name` in folder `dir`, whatever the length of its path. */
enum vf_err vf_listen_unix_at(const char *dir, const char *name, mode_t mode, struct vf_listen *ret, struct vf_why *why);
/* What systemd hands over; VF_E_NOT_FOUND: nothing. A socket named "metrics" is for figures. */
enum vf_err vf_listen_handed(struct vf_listen *ret, size_t max, size_t *ret_n, struct vf_why *why);
/* Nobody connects any more. The descriptor stays until close. */
void vf_listen_end(struct vf_listen *l);
void vf_listen_close(struct vf_listen *l);

/* sd_notify, where there is libsystemd; else nothing. */
void vf_notify(const char *state);
uint64_t vf_notify_watchdog_us(void); /* 0: nobody watches */

/* ---------------------------------------------------------------------------------------------------------------- clients */

/*
 * Who is connected, and what each may still take: a client that does not keep pace is cut off, whatever it is doing; when all places are taken
 * the one that has been reading or idle longest goes for the next. One lock; nothing is done under it but looking.
 */
enum vf_phase {
    VF_PHASE_HEAD, /* connected, or between two requests */
    VF_PHASE_BODY,
    VF_PHASE_WORK, /* a worker has it: never cut */
    VF_PHASE_SEND
};
struct vf_client {
    bool used, cut;
    bool served; /* had an answer: between two requests it may go without being called slow */
    int fd;
    bool shared; /* loopback or unix: many people behind one address */
    bool self;   /* of this user or root, by SO_PEERCRED; unix only */
    uint8_t address[16];
    char peer[INET6_ADDRSTRLEN]; /* "unix" */
    enum vf_phase phase;
    int64_t due_us; /* boot clock */
    size_t held;    /* bytes of the budget */
    /* Of a large body that is arriving. */
    bool large;
    size_t got;
    int64_t since_us; /* boot clock: its first byte was due */
};
struct vf_guard;
#define VF_GUARD_SPARE 64 /* places for those that are just being cut off */
struct vf_guard_limits {
    unsigned connections;
    unsigned per_address; /* 0: 32, and none for loopback and unix sockets */
    size_t budget;        /* bytes of requests and answers in memory */
};
struct vf_guard *vf_guard_new(const struct vf_guard_limits *limits);
void vf_guard_free(struct vf_guard *g);
/* May this one connect? Makes room for it. */
bool vf_guard_admit(struct vf_guard *g, const struct sockaddr *from, socklen_t len);
struct vf_client *vf_guard_enter(struct vf_guard *g, int fd, const struct sockaddr *from); /* NULL: no place */
void vf_guard_leave(struct vf_guard *g, struct vf_client *c);
/*
 * A request of `len` bytes begins, and so much of it has arrived; false: no room for it now. Small ones always have it. Of a large one what has
 * arrived counts, not what was announced; when there is too much, or too many are arriving, the slowest is cut off for the others.
 */
#define VF_GUARD_SMALL 65536
#define VF_GUARD_LARGE 8 /* that arrive at a time from one address */
bool vf_guard_body(struct vf_guard *g, struct vf_client *c, size_t len);
bool vf_guard_got(struct vf_guard *g, struct vf_client *c, size_t len);
void vf_guard_work(struct vf_guard *g, struct vf_client *c);
void vf_guard_send(struct vf_guard *g, struct vf_client *c,
                   size_t len); /* an answer of `len` bytes; the request's are given back */
void vf_guard_done(struct vf_guard *g, struct vf_client *c);
void vf_guard_tick(struct vf_guard *g);
/* From now on nobody begins anything; how many are still inside. */
size_t vf_guard_drain(struct vf_guard *g);
struct vf_guard_figures {
    unsigned connections, inside;
    uint64_t cut, refused;
    size_t held;
};
void vf_guard_figures_get(struct vf_guard *g, struct vf_guard_figures *ret);
/* More than half of the workers are not for one address. */
bool vf_client_same(const struct vf_client *a, const struct vf_client *b);

/* ---------------------------------------------------------------------------------------------------------------- figures */

enum vf_bad {
    VF_BAD_PATH,
    VF_BAD_METHOD,
    VF_BAD_LENGTH,
    VF_BAD_UNOPENED,
    VF_BAD_OTHER_DESK,
    VF_BAD_BUSY,
    VF_BAD_FAILED,
    VF_BAD_COUNT
};
struct vf_figures;
struct vf_figures *vf_figures_new(void);
void vf_figures_free(struct vf_figures *f);
void vf_figures_answer(struct vf_figures *f, const struct vf_desk_outcome *o, size_t in, size_t out, int64_t took_us);
void vf_figures_bad(struct vf_figures *f, enum vf_bad what);
const char *vf_bad_text(enum vf_bad what);
void vf_figures_status(struct vf_figures *f, const struct vf_desk_status *st, bool ticked);
bool vf_figures_ready(struct vf_figures *f);
/* Prometheus text. `lost`: lines of the log. */
void vf_figures_put(struct vf_figures *f, const struct vf_guard_figures *g, uint64_t lost, struct vf_buf *out);

/* ---------------------------------------------------------------------------------------------------------------- workers */

struct vf_exchange { /* one request and its answer */
    struct vf_server *server;
    struct vf_client *client;
    struct MHD_Connection *connection;
    struct vf_exchange *next;
    uint8_t *body;
    size_t len, got, room; /* announced; arrived; there is memory for */
    bool draining;         /* what comes is thrown away: `status` and `text` are decided */
    bool answered;         /* a worker has done with it */
    unsigned status;
    const char *text, *allow;
    struct vf_buf answer;
    int64_t started_us; /* boot clock: headers complete */
};
struct vf_workers;
enum vf_err vf_workers_start(unsigned n, void (*run)(struct vf_exchange *), struct vf_workers **ret, struct vf_why *why);
void vf_workers_put(struct vf_workers *w, struct vf_exchange *e);
/* What is queued is answered first. */
void vf_workers_stop(struct vf_workers *w);

/* ------------------------------------------------------------------------------------------------------------------ lines */

/* `line` is called on a thread of its own; it may block, and then nobody waits for it. */
struct vf_journal;
enum vf_err vf_journal_start(void (*line)(void *user, const char *text), void *user, struct vf_journal **ret,
                             struct vf_why *why);
void vf_journal_put(struct vf_journal *l, const char *text);
uint64_t vf_journal_lost(struct vf_journal *l);
/* What is queued has two seconds. A line that is stuck then stays so, with `user`, for as long as the process. */
void vf_journal_stop(struct vf_journal *l);

/* ----------------------------------------------------------------------------------------------------------------- server */

/* Lines of which anybody can cause as many as he likes: some a minute are written, then how many more there were. */
enum vf_lines {
    VF_LINES_BAD, /* no request, or a stranger's */
    VF_LINES_OLD, /* a device's that showed nothing new: whoever has recorded it can send it again */
    VF_LINES_COUNT
};
struct vf_server {
    struct vf_desk *desk;
    const struct vf_desk_server_options *opt;
    struct vf_guard *guard;
    struct vf_figures *figures;
    struct vf_workers *workers;
    struct vf_journal *journal; /* NULL: nobody wants them */
    struct vf_listen listen[VF_LISTEN_MAX];
    size_t nlisten;
    struct MHD_Daemon *daemons[VF_LISTEN_MAX];
    struct vf_endpoint {
        struct vf_server *server;
        bool metrics_only, metrics_too;
    } endpoints[VF_LISTEN_MAX];
    struct vf_listen control;
    struct MHD_Daemon *control_daemon;
    atomic_bool stopping;
    pthread_mutex_t line_lock;
    struct vf_line_quota {
        int64_t minute_us;
        unsigned lines;
        uint64_t more;
    } quotas[VF_LINES_COUNT];
};
void vf_desk_outcome_put(const struct vf_desk_outcome *o, struct vf_buf *out); /* vf_desk_outcome_take reads it */
unsigned vf_server_connections(const struct vf_desk_server_options *opt);
/* One line of key=value, with the time before it. */
void vf_server_line(struct vf_server *s, const char *fmt, ...) VF_PRINTF(2, 3);
void vf_server_quote(const char *text, char *out, size_t size); /* to stand between double quotes in a line */
bool vf_server_may_tell(struct vf_server *s, enum vf_lines what);
void vf_server_bad(struct vf_server *s, enum vf_bad what, const char *peer);
enum vf_err vf_http_start(struct vf_server *s, size_t i, struct vf_why *why);
void vf_http_work(struct vf_exchange *e);
enum vf_err vf_http_control_start(struct vf_server *s, struct vf_why *why);
/* Queue an answer: not to be kept, nor its type guessed. The buffer's memory goes with it. */
enum MHD_Result vf_http_reply(struct MHD_Connection *c, unsigned status, const char *type, struct vf_buf *body);
enum MHD_Result vf_http_text(struct MHD_Connection *c, unsigned status, const char *text);

#endif
