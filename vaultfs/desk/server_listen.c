/* SPDX-License-Identifier: MIT */
/* Sockets: an address, a file, or what systemd hands over. */
#include "server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#ifdef VF_HAVE_SYSTEMD
#include <systemd/sd-daemon.h>
#endif

#define BACKLOG 256

static void name_address(int fd, struct vf_listen *l)
{
    struct sockaddr_storage at = {0};
    socklen_t len = sizeof(at);
    char host[INET6_ADDRSTRLEN] = "", port[8] = "";
    if (getsockname(fd, (struct sockaddr *)&at, &len))
        return;
    if (at.ss_family == AF_UNIX)
        (void)snprintf(l->where, sizeof(l->where), "unix:%.150s", ((struct sockaddr_un *)&at)->sun_path);
    else if (getnameinfo((struct sockaddr *)&at, len, host, sizeof(host), port, sizeof(port),
                         NI_NUMERICHOST | NI_NUMERICSERV) == 0)
        (void)snprintf(l->where, sizeof(l->where), at.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

/* ----------------------------------------------------------------------------------------------------------------- address */

/* "ADDR:PORT" or "[ADDR]:PORT" into two strings. */
static bool split(const char *spec, char *host, size_t size, const char **ret_port)
{
    const char *colon = strrchr(spec, ':');
    size_t len = colon ? (size_t)(colon - spec) : 0;
    if (len > 2 && spec[0] == '[' && spec[len - 1] == ']') {
        spec++;
        len -= 2;
    } else if (memchr(spec, ':', len)) {
        return false; /* an IPv6 address wants its brackets */
    }
    uint64_t number;
    if (len == 0 || len >= size || !vf_uint_parse(colon + 1, strlen(colon + 1), 65535, &number))
        return false;
    memcpy(host, spec, len);
    host[len] = '\0';
    *ret_port = colon + 1;
    return true;
}

static enum vf_err listen_address(const char *spec, struct vf_listen *ret, struct vf_why *why)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    const char *port = NULL;
    char host[256];
    VF_FD fd = -1;
    const int one = 1, zero = 0;

    if (!split(spec, host, sizeof(host), &port))
        return vf_fail(why, VF_E_INPUT,
                       "\"%s\" is no address to listen on: write 192.0.2.1:8460, [::]:8460 or unix:/run/desk.sock", spec);
    int rc = getaddrinfo(host, port, &hints, &found);
    if (rc)
        return vf_fail(why, VF_E_INPUT, "%s: %s", spec, gai_strerror(rc));
    fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool good = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == 0;
    if (good && found->ai_family == AF_INET6)
        good = setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero)) == 0;
    good = good && bind(fd, found->ai_addr, found->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0;
    int code = errno;
    freeaddrinfo(found);
    errno = code;
    if (!good && code == EADDRINUSE)
        return vf_fail(why, VF_E_BUSY, "%s: another program listens there already", spec);
    if (!good)
        return vf_fail_sys(why, "%s", spec);
    *ret = (struct vf_listen){.fd = fd};
    name_address(fd, ret);
    fd = -1;
    return VF_OK;
}

/* ------------------------------------------------------------------------------------------------------------------- file */

/* Of a server that died a socket file is left: nobody answers on it. */
static enum vf_err make_way(const struct sockaddr_un *at, const char *name, struct vf_why *why)
{
    struct stat st;
    VF_FD probe = -1;
    if (lstat(at->sun_path, &st))
        return errno == ENOENT ? VF_OK : vf_fail_sys(why, "%s", name);
    if (!S_ISSOCK(st.st_mode))
        return vf_fail(why, VF_E_EXISTS, "%s: exists, and is no socket", name);
    probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (probe < 0)
        return vf_fail_sys(why, "%s", name);
    if (connect(probe, (const struct sockaddr *)at, sizeof(*at)) == 0 || errno != ECONNREFUSED)
        return vf_fail(why, VF_E_BUSY, "%s: another program listens there already", name);
    return unlink(at->sun_path) && errno != ENOENT ? vf_fail_sys(why, "%s", name) : VF_OK;
}

static enum vf_err listen_unix(const char *path, const char *name, mode_t mode, int *ret, struct vf_why *why)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    VF_FD fd = -1;
    if (strlen(path) >= sizeof(at.sun_path))
        return vf_fail(why, VF_E_INPUT, "%s: too long for a socket (at most %zu characters)", name, sizeof(at.sun_path) - 1);
    memcpy(at.sun_path, path, strlen(path) + 1);
    VF_TRY(make_way(&at, name, why));
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    /* Before bind it is the file's mode less the umask: there is no moment when others may connect. Then whom we mean. */
    if (fd < 0 || fchmod(fd, mode) || bind(fd, (const struct sockaddr *)&at, sizeof(at)) || chmod(path, mode) ||
        listen(fd, BACKLOG))
        return vf_fail_sys(why, "%s", name);
    *ret = fd;
    fd = -1;
    return VF_OK;
}

enum vf_err vf_listen_unix_at(const char *dir, const char *name, mode_t mode, struct vf_listen *ret, struct vf_why *why)
{
    char path[64];
    int fd = -1;
    VF_FREE char *whole = vf_path_join(dir, name);
    VF_FD folder = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (!whole)
        return vf_fail(why, VF_E_NOMEM, "out of memory");
    if (folder < 0)
        return vf_fail_sys(why, "%s", dir);
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", folder, name);
    VF_TRY(listen_unix(path, whole, mode, &fd, why));
    *ret = (struct vf_listen){.fd = fd, .unix_path = whole};
    (void)snprintf(ret->where, sizeof(ret->where), "unix:%.150s", whole);
    whole = NULL;
    return VF_OK;
}

enum vf_err vf_listen_open(const char *spec, mode_t mode, struct vf_listen *ret, struct vf_why *why)
{
    if (strncmp(spec, "unix:", 5) != 0)
        return listen_address(spec, ret, why);
    VF_FREE char *dir = vf_path_parent(spec + 5);
    const char *slash = strrchr(spec + 5, '/'), *name = slash ? slash + 1 : spec + 5;
    if (!dir)
        return vf_fail(why, VF_E_NOMEM, "out of memory");
    if (!*name || strlen(name) > 32)
        return vf_fail(why, VF_E_INPUT, "%s: the name of a socket file has 1 to 32 characters", spec);
    return vf_listen_unix_at(dir, name, mode, ret, why);
}

void vf_listen_end(struct vf_listen *l)
{
    if (l->fd >= 0 && !l->handed)
        (void)shutdown(l->fd, SHUT_RDWR);
    if (l->unix_path)
        (void)unlink(l->unix_path);
    free(l->unix_path);
    l->unix_path = NULL;
}

void vf_listen_close(struct vf_listen *l)
{
    vf_listen_end(l);
    vf_fd_close(&l->fd);
}

/* ---------------------------------------------------------------------------------------------------------------- systemd */

#ifdef VF_HAVE_SYSTEMD
enum vf_err vf_listen_handed(struct vf_listen *ret, size_t max, size_t *ret_n, struct vf_why *why)
{
    char **names = NULL;
    int n = sd_listen_fds_with_names(1, &names);
    enum vf_err err = VF_OK;
    *ret_n = 0;
    if (n < 0)
        return vf_fail(why, VF_E_SYSTEM, "the sockets that systemd hands over: %s", strerror(-n));
    if (n == 0)
        err = vf_fail(why, VF_E_NOT_FOUND, "systemd hands over no socket");
    for (int i = 0; i < n; i++) {
        int fd = SD_LISTEN_FDS_START + i;
        if (!err && *ret_n == max)
            err = vf_fail(why, VF_E_LIMIT, "more than %zu sockets handed over", max);
        if (!err && sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1) <= 0)
            err = vf_fail(why, VF_E_INPUT, "what systemd hands over (descriptor %d) is no listening stream socket", fd);
        if (err) {
            close(fd);
            continue;
        }
        struct vf_listen *l = &ret[(*ret_n)++];
        *l = (struct vf_listen){.fd = fd, .handed = true, .metrics = names && names[i] && strcmp(names[i], "metrics") == 0};
        (void)fcntl(fd, F_SETFL, O_NONBLOCK | fcntl(fd, F_GETFL));
        name_address(fd, l);
    }
    for (int i = 0; names && i < n; i++)
        free(names[i]);
    free(names);
    return err;
}

void vf_notify(const char *state)
{
    (void)sd_notify(0, state);
}

uint64_t vf_notify_watchdog_us(void)
{
    uint64_t us = 0;
    return sd_watchdog_enabled(0, &us) > 0 ? us : 0;
}
#else
enum vf_err vf_listen_handed(struct vf_listen *ret, size_t max, size_t *ret_n, struct vf_why *why)
{
    (void)ret;
    (void)max;
    *ret_n = 0;
    return vf_fail(why, VF_E_NOT_FOUND, "built without libsystemd: no socket is handed over");
}

void vf_notify(const char *state)
{
    (void)state;
}

uint64_t vf_notify_watchdog_us(void)
{
    return 0;
}
#endif
