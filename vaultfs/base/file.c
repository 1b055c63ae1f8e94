/* SPDX-License-Identifier: MIT */
#include "vaultfs/base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

bool vf_fds_standard(void)
{
    int fd;

    do {
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        /* It took the place of a standard one, and that one children inherit. */
        if (fd >= 0 && fd <= 2 && fcntl(fd, F_SETFD, 0))
            return false;
    } while (fd >= 0 && fd < 2);
    if (fd > 2)
        (void)close(fd);
    return fd >= 0;
}

void vf_fd_close(int *fd)
{
    int saved = errno;

    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
    errno = saved;
}

void vf_free(void *pp)
{
    void *p;

    /* Through memcpy: `pp` may point to a pointer of any type, and reading that as void * would break the aliasing rules. */
    memcpy(&p, pp, sizeof(p));
    free(p);
    p = NULL;
    memcpy(pp, &p, sizeof(p));
}

void vf_stream_close(FILE **f)
{
    int saved = errno;

    if (*f != NULL)
        (void)fclose(*f);
    *f = NULL;
    errno = saved;
}

/* ------------------------------------------------------------------------------------------------------- whole transfers */

/* Offsets end at INT64_MAX. */
static bool range_ok(uint64_t at, size_t len)
{
    return at <= INT64_MAX && len <= INT64_MAX - at;
}

enum vf_err vf_fd_read(int fd, void *out, size_t len, const char *what, struct vf_why *why)
{
    uint8_t *to = out;

    while (len > 0) {
        ssize_t n = read(fd, to, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return vf_fail_sys(why, "%s: cannot read", what);
        if (n == 0)
            return vf_fail(why, VF_E_FORMAT, "%s: ends too early", what);
        to += n;
        len -= (size_t)n;
    }
    return VF_OK;
}

enum vf_err vf_fd_pread(int fd, void *out, size_t len, uint64_t at, const char *what, struct vf_why *why)
{
    uint8_t *to = out;

    if (!range_ok(at, len))
        return vf_fail(why, VF_E_LIMIT, "%s: offset beyond what a file can have", what);
    while (len > 0) {
        ssize_t n = pread(fd, to, len, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return vf_fail_sys(why, "%s: cannot read", what);
        if (n == 0)
            return vf_fail(why, VF_E_FORMAT, "%s: ends too early", what);
        to += n;
        at += (uint64_t)n;
        len -= (size_t)n;
    }
    return VF_OK;
}

enum vf_err vf_fd_write(int fd, const void *data, size_t len, const char *what, struct vf_why *why)
{
    const uint8_t *from = data;

    while (len > 0) {
        ssize_t n = write(fd, from, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return vf_fail_sys(why, "%s: cannot write", what);
        from += n;
        len -= (size_t)n;
    }
    return VF_OK;
}

enum vf_err vf_fd_pwrite(int fd, const void *data, size_t len, uint64_t at, const char *what, struct vf_why *why)
{
    const uint8_t *from = data;

    if (!range_ok(at, len))
        return vf_fail(why, VF_E_LIMIT, "%s: offset beyond what a file can have", what);
    while (len > 0) {
        ssize_t n = pwrite(fd, from, len, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return vf_fail_sys(why, "%s: cannot write", what);
        from += n;
        at += (uint64_t)n;
        len -= (size_t)n;
    }
    return VF_OK;
}

enum vf_err vf_fd_sync(int fd, const char *what, struct vf_why *why)
{
    /* Never tried again: after a failed sync the kernel may have dropped the pages, and the next call would report success. */
    if (fdatasync(fd) != 0)
        return vf_fail_sys(why, "%s: cannot make it durable", what);
    return VF_OK;
}

/* ------------------------------------------------------------------------------------------------------------ whole files */

enum vf_err vf_file_open(const char *path, int *ret_fd, uint64_t *ret_size, struct vf_why *why)
{
    VF_FD fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct stat st;

    if (fd < 0)
        return vf_fail_sys(why, "%s: cannot open", path);
    if (fstat(fd, &st) != 0)
        return vf_fail_sys(why, "%s: cannot stat", path);
    if (!S_ISREG(st.st_mode))
        return vf_fail(why, VF_E_INPUT, "%s: not a regular file", path);
    /* Non-blocking was for a FIFO's sake; some filesystems would heed it on regular files. */
    if (fcntl(fd, F_SETFL, 0) != 0)
        return vf_fail_sys(why, "%s: cannot open", path);
    if (ret_size != NULL)
        *ret_size = (uint64_t)st.st_size;
    *ret_fd = fd;
    fd = -1;
    return VF_OK;
}

/* What stat said is only where to begin: a file can grow meanwhile, and those of /proc say 0. */
static enum vf_err read_to_end(int fd, const char *path, struct vf_buf *b, struct vf_why *why)
{
    for (;;) {
        uint8_t probe = 0;
        bool full = b->len == b->max;
        if (!full && b->len == b->cap && !vf_buf_reserve(b, 1))
            return vf_buf_check(b, path, why);
        ssize_t n = full ? read(fd, &probe, 1) : read(fd, b->data + b->len, b->cap - b->len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return vf_fail_sys(why, "%s: cannot read", path);
        if (n == 0)
            return VF_OK;
        if (full)
            return vf_fail(why, VF_E_LIMIT, "%s: larger than the permitted %zu bytes", path, b->max);
        b->len += (size_t)n;
    }
}

enum vf_err vf_file_read(const char *path, size_t max, struct vf_buf *ret, struct vf_why *why)
{
    VF_FD fd = -1;
    VF_BUF b;
    uint64_t size = 0;

    /* Callers clean `ret` up on every path, so it is a good (empty) buffer after a failure too. */
    vf_buf_init(ret, max);
    vf_buf_init(&b, max);
    VF_TRY(vf_file_open(path, &fd, &size, why));
    if (size > max)
        return vf_fail(why, VF_E_LIMIT, "%s: larger than the permitted %zu bytes", path, max);
    if (!vf_buf_reserve(&b, (size_t)size))
        return vf_buf_check(&b, path, why);
    VF_TRY(read_to_end(fd, path, &b, why));
    *ret = b;
    vf_buf_init(&b, 0);
    return VF_OK;
}

enum vf_err vf_file_write(const char *path, const void *data, size_t len, mode_t mode, bool force, struct vf_why *why)
{
    VF_NEWFILE f = {0};

    VF_TRY(vf_newfile_open(&f, path, mode, force, why));
    VF_TRY(vf_fd_write(f.fd, data, len, path, why));
    return vf_newfile_commit(&f, why);
}

/* ---------------------------------------------------------------------------------------------------------------- folders */

char *vf_path_join(const char *dir, const char *name)
{
    size_t d = strlen(dir);
    size_t n = strlen(name);
    /* An empty folder name means "here", not the root. */
    bool slash = d > 0 && dir[d - 1] != '/';
    char *out = malloc(d + n + 2);

    if (out == NULL)
        return NULL;
    memcpy(out, dir, d);
    if (slash)
        out[d++] = '/';
    memcpy(out + d, name, n);
    out[d + n] = '\0';
    return out;
}

char *vf_path_parent(const char *path)
{
    size_t len = strlen(path);

    /* Off with trailing slashes, the last name, and the slashes before it; the root is its own parent. */
    while (len > 1 && path[len - 1] == '/')
        len--;
    while (len > 0 && path[len - 1] != '/')
        len--;
    while (len > 1 && path[len - 1] == '/')
        len--;
    return len > 0 ? strndup(path, len) : strdup(".");
}

enum vf_err vf_dir_sync(const char *path, struct vf_why *why)
{
    VF_FD fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return vf_fail_sys(why, "%s: cannot open the folder", path);
    /* EINVAL is how some filesystems (of USB sticks, of shares) say that folders are not synced apart from their files. */
    if (fsync(fd) != 0 && errno != EINVAL)
        return vf_fail_sys(why, "%s: cannot make the folder durable", path);
    return VF_OK;
}

enum vf_err vf_dir_make(const char *path, struct vf_why *why)
{
    if (mkdir(path, 0700) != 0)
        return vf_fail_sys(why, "%s: cannot make the folder", path);
    VF_FREE char *parent = vf_path_parent(path);
    if (parent == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", path);
    return vf_dir_sync(parent, why);
}

/* Magic numbers of statfs(2). Filesystems that several machines can have mounted, or that a network stands behind. */
static bool remote_magic(uint32_t magic)
{
    static const uint32_t remote[] = {
        0x00006969, /* NFS */
        0x0000517b, /* SMB */
        0xff534d42, /* CIFS */
        0xfe534d42, /* SMB2, SMB3 */
        0x01021997, /* 9p */
        0x00c36400, /* Ceph */
        0x5346414f, /* AFS */
        0x6b414653, /* kAFS */
        0x73757245, /* Coda */
        0x0000564c, /* NCP */
        0x01161970, /* GFS2 */
        0x7461636f, /* OCFS2 */
        0x0bd00bd0, /* Lustre */
        0x47504653, /* GPFS */
        0xaad7aaea, /* PanFS */
        0x19830326, /* BeeGFS */
        0x20030528, /* OrangeFS */
        0x786f4256, /* VirtualBox shared folder */
        0xbacbacbc, /* VMware shared folder */
    };

    for (size_t i = 0; i < sizeof(remote) / sizeof(remote[0]); i++)
        if (remote[i] == magic)
            return true;
    return false;
}

enum vf_err vf_dir_local(const char *path, struct vf_why *why)
{
    static const uint32_t fuse_magic = 0x65735546;
    VF_FD fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct statfs fs;
    struct stat st;

    if (fd < 0)
        return vf_fail_sys(why, "%s: cannot open the folder", path);
    if (fstatfs(fd, &fs) != 0 || fstat(fd, &st) != 0)
        return vf_fail_sys(why, "%s: cannot tell what filesystem it is on", path);
    uint32_t magic = (uint32_t)fs.f_type;
    /* FUSE over a block device (a local disk, as ntfs-3g has it) has that device's number; any other may be anywhere. */
    bool remote = magic == fuse_magic ? major(st.st_dev) == 0 : remote_magic(magic);
    if (remote)
        return vf_fail(why, VF_E_UNSUPPORTED,
                       "%s: on a network or FUSE filesystem, where locks do not hold: use a local disk", path);
    return VF_OK;
}
