/* SPDX-License-Identifier: MIT */
#include "control.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

union fd_space {
    struct cmsghdr align;
    char space[CMSG_SPACE(sizeof(int) * VF_CONTROL_FILES)];
};

bool vf_control_send(int sock, char type, const void *data, size_t len, const int *fds, size_t nfds)
{
    union fd_space control;
    struct iovec iov[2] = {{.iov_base = &type, .iov_len = 1}, {.iov_base = (void *)(uintptr_t)data, .iov_len = len}};
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
    if (nfds > 0) {
        memset(&control, 0, sizeof(control));
        msg.msg_control = control.space;
        msg.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
        struct cmsghdr *c = &control.align; /* the first header, as CMSG_FIRSTHDR would give it */
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * nfds);
        memcpy(CMSG_DATA(c), fds, sizeof(int) * nfds);
    }
    ssize_t n;
    do
        n = sendmsg(sock, &msg, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)(len + 1);
}

static void take_fds(struct msghdr *msg, int *fds, size_t max_fds, size_t *ret_nfds)
{
    *ret_nfds = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
            if (*ret_nfds < max_fds)
                fds[(*ret_nfds)++] = fd;
            else
                close(fd);
        }
    }
}

char vf_control_recv(int sock, char *buf, size_t size, size_t *ret_len, int *fds, size_t max_fds, size_t *ret_nfds)
{
    union fd_space control;
    char type = 0;
    struct iovec iov[2] = {{.iov_base = &type, .iov_len = 1}, {.iov_base = buf, .iov_len = size - 1}};
    struct msghdr msg = {
        .msg_iov = iov, .msg_iovlen = 2, .msg_control = control.space, .msg_controllen = sizeof(control.space)};
    ssize_t n;
    size_t nfds = 0;
    do
        n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return 0;
    take_fds(&msg, fds, max_fds, &nfds); /* an empty packet can carry some too */
    if (n == 0 || (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
        for (size_t i = 0; i < nfds; i++)
            close(fds[i]);
        return 0;
    }
    *ret_len = (size_t)n - 1;
    buf[n - 1] = '\0';
    if (ret_nfds)
        *ret_nfds = nfds;
    return type;
}

bool vf_control_disk_of_fd(int fd, struct vf_control_disk *ret)
{
    struct statx st;
    if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &st))
        return false;
    *ret =
        (struct vf_control_disk){.major = st.stx_dev_major, .minor = st.stx_dev_minor, .regular = S_ISREG(st.stx_mode) != 0};
    return true;
}

/* Of a file in it: a folder of an overlay has another number. */
bool vf_control_disk_of(const char *station, struct vf_control_disk *ret)
{
    VF_FREE char *file = vf_path_join(station, "identity");
    VF_FD fd = file ? open(file, O_PATH | O_CLOEXEC | O_NOFOLLOW) : -1;
    return fd >= 0 && vf_control_disk_of_fd(fd, ret);
}

/* The user's own runtime folder, made at log-in; the environment of a service or a cron job may not name it. */
static bool own_runtime(struct vf_buf *ret)
{
    struct stat st;
    vf_buf_fmt(ret, "/run/user/%u", (unsigned)geteuid());
    const char *folder = vf_buf_cstr(ret);
    if (folder && lstat(folder, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid() && (st.st_mode & 022) == 0)
        return true;
    vf_buf_reset(ret);
    return false;
}

enum vf_err vf_control_folder(bool make, struct vf_buf *ret, struct vf_why *why)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    struct stat st;

    vf_buf_init(ret, 256);
    if (runtime && *runtime == '/')
        vf_buf_fmt(ret, "%s/vaultfs", runtime);
    else if (geteuid() == 0)
        vf_buf_text(ret, "/run/vaultfs");
    else if (own_runtime(ret))
        vf_buf_text(ret, "/vaultfs");
    else
        vf_buf_fmt(ret, "/tmp/vaultfs-%u", (unsigned)geteuid());
    const char *folder = vf_buf_cstr(ret);
    if (!folder)
        return vf_fail(why, VF_E_LIMIT, "XDG_RUNTIME_DIR is too long for a socket");
    if (make && mkdir(folder, 0700) && errno != EEXIST)
        return vf_fail_sys(why, "%s", folder);
    if (lstat(folder, &st))
        return vf_fail_sys(why, "%s", folder);
    /* In /tmp anybody could have made it before us. */
    if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid())
        return vf_fail(
            why, VF_E_DENIED,
            "%s: belongs to somebody else, so the control socket cannot be there; set XDG_RUNTIME_DIR to a folder of yours "
            "with mode 700, for vaultfs and for vaultfs-keytool",
            folder);
    if ((st.st_mode & 077) != 0)
        return vf_fail(why, VF_E_DENIED, "%s: others may look into it; make it private (chmod 700), or remove it", folder);
    return VF_OK;
}

/* ------------------------------------------------------------------------------------------------------- what was told of files */

void vf_received_put(const struct vf_received *one, struct vf_buf *json)
{
    vf_buf_text(json, "{\"name\":");
    vf_buf_json(json, one->name, strlen(one->name));
    vf_buf_fmt(json, ",\"kind\":%d,\"err\":%d,\"already\":%s,\"values\":%llu,\"bytes\":%llu,\"not_needed\":%llu,\"text\":",
               (int)one->kind, (int)one->err, one->already ? "true" : "false", (unsigned long long)one->values,
               (unsigned long long)one->bytes, (unsigned long long)one->not_needed);
    vf_buf_json(json, one->text, strlen(one->text));
    vf_buf_text(json, "}");
}

void vf_received_read(const void *json, size_t len, void (*told)(void *user, const struct vf_received *one), void *user)
{
    json_error_t je;
    json_t *doc = json_loadb(json, len, 0, &je);
    const char *name = json_string_value(json_object_get(doc, "name")),
               *text = json_string_value(json_object_get(doc, "text"));
    if (name && text) {
        struct vf_received one = {
            .name = name,
            .kind = (enum vf_artefact)json_integer_value(json_object_get(doc, "kind")),
            .err = (enum vf_err)json_integer_value(json_object_get(doc, "err")),
            .already = json_is_true(json_object_get(doc, "already")),
            .values = (uint64_t)json_integer_value(json_object_get(doc, "values")),
            .bytes = (uint64_t)json_integer_value(json_object_get(doc, "bytes")),
            .not_needed = (uint64_t)json_integer_value(json_object_get(doc, "not_needed")),
        };
        (void)snprintf(one.text, sizeof(one.text), "%s", text);
        vf_text_one_line(one.text); /* another program wrote it */
        told(user, &one);
    }
    json_decref(doc);
}
