/* SPDX-License-Identifier: MIT */
#include "control.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct vf_control {
    char *socket_path;
    char *station; /* NULL when it was found by its mount point */
};

/* One connection a request: the server answers one and hangs up. */
static int dial(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = strlen(path);
    if (len >= sizeof(address.sun_path))
        return -1;
    memcpy(address.sun_path, path, len + 1);
    int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (sock >= 0 && connect(sock, (const struct sockaddr *)&address, sizeof(address))) {
        close(sock);
        sock = -1;
    }
    return sock;
}

/* Socket and mount point of a marker file. */
static bool read_marker(const char *path, char **ret_socket, char **ret_mountpoint)
{
    VF_BUF data = {0};
    json_error_t je;
    if (vf_file_read(path, 65536, &data, NULL))
        return false;
    json_t *doc = json_loadb((const char *)data.data, data.len, JSON_REJECT_DUPLICATES, &je);
    const char *sock = json_string_value(json_object_get(doc, "socket"));
    const char *mountpoint = json_string_value(json_object_get(doc, "mountpoint"));
    bool good = sock && mountpoint;
    *ret_socket = good ? strdup(sock) : NULL;
    *ret_mountpoint = good ? strdup(mountpoint) : NULL;
    json_decref(doc);
    return good && *ret_socket && *ret_mountpoint;
}

static enum vf_err connect_marker(const char *marker, const char *wanted_mountpoint, struct vf_control **ret,
                                  char *ret_mountpoint, size_t size)
{
    VF_FREE char *socket_path = NULL, *mountpoint = NULL;
    if (!read_marker(marker, &socket_path, &mountpoint))
        return VF_E_NOT_FOUND;
    if (wanted_mountpoint && strcmp(wanted_mountpoint, mountpoint) != 0)
        return VF_E_NOT_FOUND;
    int sock = dial(socket_path);
    if (sock < 0)
        return VF_E_NOT_FOUND; /* a mount that died left its marker */
    close(sock);
    struct vf_control *c = calloc(1, sizeof(*c));
    if (!c)
        return VF_E_NOMEM;
    c->socket_path = socket_path;
    socket_path = NULL;
    if (ret_mountpoint)
        (void)snprintf(ret_mountpoint, size, "%s", mountpoint);
    *ret = c;
    return VF_OK;
}

enum vf_err vf_control_connect(const char *station_path, struct vf_control **ret, char *ret_mountpoint,
                               size_t mountpoint_size, struct vf_why *why)
{
    VF_FREE char *marker = vf_path_join(station_path, "mounted");
    if (!marker)
        return vf_fail(why, VF_E_NOMEM, "out of memory");
    struct vf_control *c = NULL;
    enum vf_err err = connect_marker(marker, NULL, &c, ret_mountpoint, mountpoint_size);
    if (err)
        return vf_fail(why, err, "%s: not mounted", station_path);
    c->station = strdup(station_path);
    if (!c->station) {
        vf_control_close(c);
        return vf_fail(why, VF_E_NOMEM, "out of memory");
    }
    *ret = c;
    return VF_OK;
}

/* Each marker beside the sockets; `each` returns true to stop. */
static enum vf_err each_marker(bool (*each)(const char *marker, void *user), void *user, struct vf_why *why)
{
    VF_BUF folder;
    struct vf_why bad = {0};
    enum vf_err err = vf_control_folder(false, &folder, &bad);
    if (err == VF_E_NOT_FOUND)
        return VF_OK; /* no folder: nothing is mounted */
    if (err)
        return vf_fail(why, err, "%s", bad.text);
    DIR *d = opendir(vf_buf_cstr(&folder));
    if (!d)
        return vf_fail_sys(why, "%s", vf_buf_cstr(&folder));
    bool stop = false;
    struct dirent *e;
    while (!stop && (e = readdir(d))) {
        size_t len = strlen(e->d_name);
        if (len < 5 || strcmp(e->d_name + len - 5, ".json") != 0)
            continue;
        VF_FREE char *marker = vf_path_join(vf_buf_cstr(&folder), e->d_name);
        stop = marker && each(marker, user);
    }
    (void)closedir(d);
    return VF_OK;
}

struct by_mount {
    const char *mountpoint;
    struct vf_control *found;
};

static bool try_marker(const char *marker, void *user)
{
    struct by_mount *b = user;
    return connect_marker(marker, b->mountpoint, &b->found, NULL, 0) == VF_OK;
}

enum vf_err vf_control_connect_mount(const char *mountpoint, struct vf_control **ret, struct vf_why *why)
{
    VF_FREE char *real = realpath(mountpoint, NULL);
    struct by_mount b = {.mountpoint = real ? real : mountpoint};
    VF_TRY(each_marker(try_marker, &b, why));
    if (!b.found)
        return vf_fail(why, VF_E_NOT_FOUND, "%s: no mount of yours is running there", mountpoint);
    *ret = b.found;
    return VF_OK;
}

struct all_mounts {
    char **list;
    size_t n;
    bool failed;
};

static bool add_mount(const char *marker, void *user)
{
    struct all_mounts *a = user;
    char mountpoint[4096];
    struct vf_control *control = NULL;
    if (connect_marker(marker, NULL, &control, mountpoint, sizeof(mountpoint)))
        return false;
    vf_control_close(control);
    char **grown = realloc(a->list, (a->n + 1) * sizeof(char *));
    char *copy = strdup(mountpoint);
    if (grown)
        a->list = grown;
    if (!grown || !copy) {
        free(copy);
        a->failed = true;
        return true;
    }
    a->list[a->n++] = copy;
    return false;
}

enum vf_err vf_control_list(char ***ret, size_t *ret_n, struct vf_why *why)
{
    struct all_mounts a = {0};
    enum vf_err err = each_marker(add_mount, &a, why);
    if (!err && a.failed)
        err = vf_fail(why, VF_E_NOMEM, "out of memory");
    if (err) {
        for (size_t i = 0; i < a.n; i++)
            free(a.list[i]);
        free(a.list);
        return err;
    }
    *ret = a.list;
    *ret_n = a.n;
    return VF_OK;
}

void vf_control_close(struct vf_control *c)
{
    if (!c)
        return;
    free(c->socket_path);
    free(c->station);
    free(c);
}

/* ------------------------------------------------------------------------------------------------------------ requests */

struct answers {
    struct vf_buf *document;
    void (*told)(void *user, const struct vf_received *one);
    void *user;
};

static enum vf_err take_end(const char *data, size_t len, struct vf_why *why)
{
    json_error_t je;
    json_t *doc = json_loadb(data, len, 0, &je);
    json_int_t err = json_integer_value(json_object_get(doc, "err"));
    const char *text = json_string_value(json_object_get(doc, "text"));
    enum vf_err ret = VF_OK;
    if (!doc || err < 0 || err >= VF_ERR_COUNT_)
        ret = vf_fail(why, VF_E_FORMAT, "the mount's answer could not be read");
    else if (err > 0)
        ret = vf_fail(why, (enum vf_err)err, "%s", text ? text : vf_err_text((enum vf_err)err));
    json_decref(doc);
    return ret;
}

static enum vf_err ask(struct vf_control *c, const char *request, size_t len, const int *fds, size_t nfds,
                       const struct answers *a, struct vf_why *why)
{
    VF_FD sock = dial(c->socket_path);
    VF_FREE char *packet = malloc(VF_CONTROL_PACKET);
    if (!packet)
        return vf_fail(why, VF_E_NOMEM, "out of memory");
    if (sock < 0 || !vf_control_send(sock, 'Q', request, len, fds, nfds))
        return vf_fail_sys(why, "the running mount does not answer");
    for (;;) {
        size_t got = 0, extra = 0;
        char type = vf_control_recv(sock, packet, VF_CONTROL_PACKET, &got, NULL, 0, &extra);
        if (type == 'D' && a->document)
            vf_buf_put(a->document, packet, got);
        else if (type == 'T' && a->told)
            vf_received_read(packet, got, a->told, a->user);
        else if (type == 'E')
            return take_end(packet, got, why);
        else if (type == 0)
            return vf_fail(why, VF_E_SYSTEM, "the mount ended before it had answered");
    }
}

enum vf_err vf_control_status(struct vf_control *c, struct vf_buf *json, struct vf_why *why)
{
    static const char request[] = "{\"v\":1,\"do\":\"status\"}";
    const struct answers a = {.document = json};
    VF_TRY(ask(c, request, sizeof(request) - 1, NULL, 0, &a, why));
    return vf_buf_check(json, "the mount's status", why);
}

enum vf_err vf_control_seal(struct vf_control *c, struct vf_why *why)
{
    static const char request[] = "{\"v\":1,\"do\":\"seal\"}";
    const struct answers a = {0};
    return ask(c, request, sizeof(request) - 1, NULL, 0, &a, why);
}

/* A copy in the station's folder that has no name there and goes with its descriptor. */
static enum vf_err copy_to(const char *station, const struct vf_receive_file *file, int *ret_fd, struct vf_why *why)
{
    VF_FREE uint8_t *chunk = malloc(1u << 20);
    VF_FD fd = open(station, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    uint64_t at = 0;
    ssize_t n;
    if (fd < 0)
        return vf_fail_sys(why, "%s: no copy of %s could be made there", station, file->name);
    if (!chunk)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", file->name);
    while ((n = pread(file->fd, chunk, 1u << 20, (off_t)at)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return vf_fail_sys(why, "%s", file->name);
        VF_TRY(vf_fd_pwrite(fd, chunk, (size_t)n, at, station, why));
        at += (uint64_t)n;
    }
    *ret_fd = fd;
    fd = -1;
    return VF_OK;
}

/* A running mount reads from its own disk only: what may hang then hangs here. *ret_copy: -1 when none was needed. */
static enum vf_err on_its_disk(const struct vf_control *c, const struct vf_receive_file *file, int *ret_copy,
                               struct vf_why *why)
{
    struct vf_control_disk own, its;
    *ret_copy = -1;
    if (!c->station || !vf_control_disk_of(c->station, &own) || !vf_control_disk_of_fd(file->fd, &its) || !its.regular ||
        (own.major == its.major && own.minor == its.minor))
        return VF_OK;
    return copy_to(c->station, file, ret_copy, why);
}

enum vf_err vf_control_receive(struct vf_control *c, const struct vf_receive_file *files, size_t n,
                               void (*told)(void *user, const struct vf_received *one), void *user, struct vf_why *why)
{
    int fds[VF_CONTROL_FILES], copies[VF_CONTROL_FILES];
    VF_BUF request;
    if (n == 0 || n > VF_CONTROL_FILES)
        return vf_fail(why, VF_E_LIMIT, "at most %d files at once can be given to a running mount", VF_CONTROL_FILES);
    vf_buf_init(&request, VF_CONTROL_PACKET - 1024);
    vf_buf_text(&request, "{\"v\":1,\"do\":\"receive\",\"names\":[");
    enum vf_err err = VF_OK;
    size_t i = 0;
    for (; i < n && !err; i++) {
        if (i)
            vf_buf_text(&request, ",");
        vf_buf_json(&request, files[i].name, strlen(files[i].name));
        err = on_its_disk(c, &files[i], &copies[i], why);
        fds[i] = copies[i] < 0 ? files[i].fd : copies[i];
    }
    vf_buf_text(&request, "]}");
    if (!err)
        err = vf_buf_check(&request, "the file names", why);
    const struct answers a = {.told = told, .user = user};
    if (!err)
        err = ask(c, (const char *)request.data, request.len, fds, n, &a, why);
    while (i-- > 0)
        vf_fd_close(&copies[i]);
    return err;
}
