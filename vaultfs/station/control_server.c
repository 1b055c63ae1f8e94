/* SPDX-License-Identifier: MIT */
#include "control.h"
#include "station_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define CLIENT_US    (10 * VF_SECOND_US) /* who connects and says nothing so long is dropped */
#define CLIENTS      16                  /* so many may be silent at once; who has been so longest goes for the next */
#define SEND_SECONDS 10

struct client {
    int sock;
    int64_t since; /* boot clock */
};

struct vf_control_server {
    struct vf_control_ops ops;
    struct vf_station *station;
    struct client clients[CLIENTS]; /* the server's thread: connected, nothing said yet; the longest first */
    size_t nclients;
    pthread_mutex_t lock;
    int serving; /* under lock: the socket of the client that is being answered, or -1 */
    bool ending; /* under lock */
    int listener;
    int wake[2];
    pthread_t thread;
    bool runs;
    char *socket_path;
    char *marker; /* STATION/mounted */
    char *packet; /* VF_CONTROL_PACKET bytes */
};

static void send_end(int sock, enum vf_err err, const struct vf_why *why)
{
    VF_BUF out;
    vf_buf_init(&out, 4096);
    vf_buf_fmt(&out, "{\"err\":%d,\"text\":", (int)err);
    vf_buf_json(&out, why->text, strlen(why->text));
    vf_buf_text(&out, "}");
    (void)vf_control_send(sock, 'E', out.data, out.len, NULL, 0);
}

/* To a client that does not listen any more nothing is sent twice: each attempt may take SEND_SECONDS. */
struct telling {
    int sock;
    bool deaf;
};

static void send_told(void *user, const struct vf_received *one)
{
    struct telling *t = user;
    VF_BUF out;
    vf_buf_init(&out, VF_CONTROL_PACKET);
    vf_received_put(one, &out);
    if (vf_buf_ok(&out) && !t->deaf)
        t->deaf = !vf_control_send(t->sock, 'T', out.data, out.len, NULL, 0);
}

static enum vf_err do_status(struct vf_control_server *s, int sock, struct vf_why *why)
{
    VF_BUF doc;
    vf_buf_init(&doc, 16u * 1024 * 1024);
    VF_TRY(s->ops.status(s->ops.user, &doc, why));
    for (size_t at = 0; at < doc.len; at += VF_CONTROL_PACKET / 2) {
        size_t n = doc.len - at < VF_CONTROL_PACKET / 2 ? doc.len - at : VF_CONTROL_PACKET / 2;
        if (!vf_control_send(sock, 'D', doc.data + at, n, NULL, 0))
            return VF_E_SYSTEM;
    }
    return VF_OK;
}

/*
 * What a client hands over may lie on a filesystem that hangs: the mount, and its end, would hang with it. So a file must be on the
 * station's own disk (a client copies it there), and what it is, is asked in a way that asks no other process or computer.
 */
static enum vf_err check_files(const struct vf_control_server *s, const struct vf_receive_file *files, size_t n,
                               struct vf_why *why)
{
    for (size_t i = 0; i < n; i++) {
        struct vf_control_disk own, its;
        if (!vf_control_disk_of(vf_station_path(s->station), &own))
            return vf_fail_sys(why, "%s", vf_station_path(s->station));
        if (!vf_control_disk_of_fd(files[i].fd, &its) || !its.regular)
            return vf_fail(why, VF_E_INPUT, "%s: not a file", files[i].name);
        if (own.major != its.major || own.minor != its.minor)
            return vf_fail(why, VF_E_UNSUPPORTED, "%s: not on the disk that the station is on; copy it there first",
                           files[i].name);
    }
    return VF_OK;
}

static enum vf_err do_receive(struct vf_control_server *s, int sock, const json_t *names, const int *fds, size_t nfds,
                              struct vf_why *why)
{
    struct vf_receive_file files[VF_CONTROL_FILES];
    if (json_array_size(names) != nfds || nfds == 0)
        return vf_fail(why, VF_E_FORMAT, "the request to receive is not well-formed");
    for (size_t i = 0; i < nfds; i++) {
        const char *name = json_string_value(json_array_get(names, i));
        if (!name)
            return vf_fail(why, VF_E_FORMAT, "the request to receive is not well-formed");
        files[i] = (struct vf_receive_file){.fd = fds[i], .name = name};
    }
    VF_TRY(check_files(s, files, nfds, why));
    struct telling t = {.sock = sock};
    return s->ops.receive(s->ops.user, files, nfds, send_told, &t, why);
}

static enum vf_err answer(struct vf_control_server *s, int sock, const char *data, size_t len, const int *fds, size_t nfds,
                          struct vf_why *why)
{
    json_error_t je;
    json_t *request = json_loadb(data, len, JSON_REJECT_DUPLICATES, &je);
    const char *what = json_string_value(json_object_get(request, "do"));
    enum vf_err err;
    if (!what || json_integer_value(json_object_get(request, "v")) != 1)
        err = vf_fail(why, VF_E_VERSION, "the request is not of a version this mount knows");
    else if (strcmp(what, "status") == 0)
        err = do_status(s, sock, why);
    else if (strcmp(what, "seal") == 0)
        err = s->ops.seal(s->ops.user, why);
    else if (strcmp(what, "receive") == 0)
        err = do_receive(s, sock, json_object_get(request, "names"), fds, nfds, why);
    else
        err = vf_fail(why, VF_E_VERSION, "this mount does not know \"%s\"", what);
    json_decref(request);
    return err;
}

/* Only the same user or root may ask. */
static bool peer_allowed(int sock)
{
    struct ucred peer;
    socklen_t len = sizeof(peer);
    return getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && (peer.uid == geteuid() || peer.uid == 0);
}

/* From here on the end of the mount can hang it up. False: that is under way. */
static bool begin_serving(struct vf_control_server *s, int sock)
{
    pthread_mutex_lock(&s->lock);
    bool go_on = !s->ending;
    s->serving = go_on ? sock : -1;
    pthread_mutex_unlock(&s->lock);
    return go_on;
}

static void end_serving(struct vf_control_server *s)
{
    pthread_mutex_lock(&s->lock);
    s->serving = -1;
    pthread_mutex_unlock(&s->lock);
}

static void *close_aside(void *arg)
{
    close((int)(intptr_t)arg);
    return NULL;
}

/* Closing may hang too (a flush that nobody answers): then it does so in a thread that nobody waits for. */
static void close_received(const struct vf_control_server *s, int fd)
{
    struct vf_control_disk own, its;
    pthread_attr_t attr;
    pthread_t thread;
    bool ours = vf_control_disk_of(vf_station_path(s->station), &own) && vf_control_disk_of_fd(fd, &its) &&
                own.major == its.major && own.minor == its.minor;
    bool aside = false;
    if (!ours && pthread_attr_init(&attr) == 0) {
        (void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
        aside = pthread_create(&thread, &attr, close_aside, (void *)(intptr_t)fd) == 0;
        (void)pthread_attr_destroy(&attr);
    }
    if (!aside)
        close(fd);
}

/* It has said something, or hung up. */
static void serve_client(struct vf_control_server *s, int sock)
{
    int fds[VF_CONTROL_FILES];
    size_t len = 0, nfds = 0;
    struct vf_why why = {0};
    const struct timeval limit = {.tv_sec = SEND_SECONDS};

    (void)setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    (void)setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    if (begin_serving(s, sock) &&
        vf_control_recv(sock, s->packet, VF_CONTROL_PACKET, &len, fds, VF_CONTROL_FILES, &nfds) == 'Q') {
        enum vf_err err = answer(s, sock, s->packet, len, fds, nfds, &why);
        send_end(sock, err, &why);
    }
    end_serving(s);
    for (size_t i = 0; i < nfds; i++)
        close_received(s, fds[i]);
}

static void drop_client(struct vf_control_server *s, size_t i)
{
    close(s->clients[i].sock);
    memmove(s->clients + i, s->clients + i + 1, (s->nclients - i - 1) * sizeof(s->clients[0]));
    s->nclients--;
}

static void accept_client(struct vf_control_server *s)
{
    int sock = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);
    if (sock < 0)
        return;
    if (!peer_allowed(sock)) {
        close(sock);
        return;
    }
    if (s->nclients == CLIENTS)
        drop_client(s, 0);
    s->clients[s->nclients++] = (struct client){.sock = sock, .since = vf_clock_boot_us()};
}

/* In the order in which they came. `p` is as they were when it was asked. */
static void serve_clients(struct vf_control_server *s, const struct pollfd *p)
{
    size_t at = 0, n = s->nclients;
    for (size_t i = 0; i < n; i++) {
        bool said = p[i].revents != 0;
        if (said)
            serve_client(s, s->clients[at].sock);
        if (said || vf_clock_boot_us() - s->clients[at].since >= CLIENT_US)
            drop_client(s, at);
        else
            at++;
    }
}

static void *serve(void *arg)
{
    struct vf_control_server *s = arg;
    for (;;) {
        struct pollfd p[2 + CLIENTS] = {{.fd = s->listener, .events = POLLIN}, {.fd = s->wake[0], .events = POLLIN}};
        for (size_t i = 0; i < s->nclients; i++)
            p[2 + i] = (struct pollfd){.fd = s->clients[i].sock, .events = POLLIN};
        int n = poll(p, 2 + s->nclients, s->nclients ? 1000 : -1);
        if (n < 0 && errno != EINTR)
            break;
        if (n >= 0 && p[1].revents)
            break;
        if (n >= 0)
            serve_clients(s, p + 2);
        if (n > 0 && p[0].revents & POLLIN)
            accept_client(s);
    }
    while (s->nclients)
        drop_client(s, s->nclients - 1);
    return NULL;
}

/* A name of its own for each station: device and inode of its folder. */
static enum vf_err socket_name(const char *station, struct vf_buf *ret, struct vf_why *why)
{
    struct stat st;
    if (stat(station, &st))
        return vf_fail_sys(why, "%s", station);
    VF_TRY(vf_control_folder(true, ret, why));
    vf_buf_fmt(ret, "/%llx-%llx", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
    struct sockaddr_un address;
    if (!vf_buf_cstr(ret) || ret->len >= sizeof(address.sun_path))
        return vf_fail(why, VF_E_LIMIT,
                       "the path of the control socket is too long; set XDG_RUNTIME_DIR to a shorter folder");
    return VF_OK;
}

static enum vf_err bind_socket(struct vf_control_server *s, struct vf_why *why)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, s->socket_path, strlen(s->socket_path) + 1);
    (void)unlink(s->socket_path); /* of a mount that died: the log's lock says there is no other */
    s->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (s->listener < 0 || bind(s->listener, (const struct sockaddr *)&address, sizeof(address)) || listen(s->listener, 8))
        return vf_fail_sys(why, "%s", s->socket_path);
    return pipe2(s->wake, O_CLOEXEC) ? vf_fail_sys(why, "the control socket") : VF_OK;
}

static enum vf_err write_marker(struct vf_control_server *s, const char *mountpoint, struct vf_why *why)
{
    VF_BUF text;
    vf_buf_init(&text, 65536);
    vf_buf_fmt(&text, "{\"pid\":%d,\"mountpoint\":", (int)getpid());
    vf_buf_json(&text, mountpoint, strlen(mountpoint));
    vf_buf_text(&text, ",\"socket\":");
    vf_buf_json(&text, s->socket_path, strlen(s->socket_path));
    vf_buf_text(&text, "}\n");
    VF_TRY(vf_buf_check(&text, s->marker, why));
    VF_TRY(vf_file_write(s->marker, text.data, text.len, 0600, true, why));
    /* Beside the socket too, for `vaultfs status --all`. */
    VF_BUF beside;
    vf_buf_init(&beside, 512);
    vf_buf_fmt(&beside, "%s.json", s->socket_path);
    return vf_buf_cstr(&beside) ? vf_file_write(vf_buf_cstr(&beside), text.data, text.len, 0600, true, why) : VF_E_NOMEM;
}

enum vf_err vf_control_check(const char *mountpoint, struct vf_why *why)
{
    VF_BUF folder;
    VF_TRY(vf_control_folder(true, &folder, why));
    VF_FREE char *real = realpath(vf_buf_cstr(&folder), NULL);
    size_t len = strlen(mountpoint);
    if (!real)
        return vf_fail_sys(why, "%s", vf_buf_cstr(&folder));
    if (strncmp(real, mountpoint, len) == 0 && (real[len] == '\0' || real[len] == '/' || strcmp(mountpoint, "/") == 0))
        return vf_fail(why, VF_E_INPUT, "%s: the mount would hide its own control socket in %s; choose another folder",
                       mountpoint, real);
    return VF_OK;
}

enum vf_err vf_control_start(struct vf_station *st, const char *mountpoint, const struct vf_control_ops *ops,
                             struct vf_control_server **ret, struct vf_why *why)
{
    VF_BUF name;
    VF_TRY(socket_name(st->path, &name, why));
    struct vf_control_server *s = calloc(1, sizeof(*s));
    if (!s)
        return vf_fail(why, VF_E_NOMEM, "out of memory");
    *s = (struct vf_control_server){.ops = *ops, .station = st, .serving = -1, .listener = -1, .wake = {-1, -1}};
    pthread_mutex_init(&s->lock, NULL);
    s->socket_path = strdup(vf_buf_cstr(&name));
    s->marker = vf_path_join(st->path, "mounted");
    s->packet = malloc(VF_CONTROL_PACKET);
    enum vf_err err = VF_OK;
    if (!s->socket_path || !s->marker || !s->packet)
        err = vf_fail(why, VF_E_NOMEM, "out of memory");
    if (!err)
        err = bind_socket(s, why);
    if (!err)
        err = write_marker(s, mountpoint, why);
    if (!err) {
        int rc = pthread_create(&s->thread, NULL, serve, s);
        s->runs = rc == 0;
        if (rc)
            err = vf_fail(why, VF_E_SYSTEM, "no thread for the control socket: %s", strerror(rc));
    }
    if (err) {
        vf_control_stop(s);
        return err;
    }
    *ret = s;
    return VF_OK;
}

void vf_control_stop(struct vf_control_server *s)
{
    if (!s)
        return;
    if (s->runs) {
        /* What is being received stops at the next value, what is being sent at once. */
        atomic_store(&s->station->ending, true);
        pthread_mutex_lock(&s->lock);
        s->ending = true;
        if (s->serving >= 0)
            (void)shutdown(s->serving, SHUT_RDWR);
        pthread_mutex_unlock(&s->lock);
        ssize_t ignored = write(s->wake[1], "x", 1);
        (void)ignored;
        pthread_join(s->thread, NULL);
    }
    if (s->marker)
        (void)unlink(s->marker);
    if (s->socket_path) {
        VF_BUF beside;
        vf_buf_init(&beside, 512);
        vf_buf_fmt(&beside, "%s.json", s->socket_path);
        (void)unlink(s->socket_path);
        if (vf_buf_cstr(&beside))
            (void)unlink(vf_buf_cstr(&beside));
    }
    pthread_mutex_destroy(&s->lock);
    vf_fd_close(&s->listener);
    vf_fd_close(&s->wake[0]);
    vf_fd_close(&s->wake[1]);
    free(s->socket_path);
    free(s->marker);
    free(s->packet);
    free(s);
}
