/* SPDX-License-Identifier: MIT */
#include "tmpname.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define SUFFIX     ".tmp-"
#define SUFFIX_LEN (sizeof(SUFFIX) - 1)

/* What is at `path` now may be replaced: only a file or link, and only with `force`. (Think of -o /dev/null.) */
static enum vf_err check_target(const char *path, bool force, struct vf_why *why)
{
    size_t len = strlen(path);
    struct stat st;

    if (len == 0 || path[len - 1] == '/')
        return vf_fail(why, VF_E_INPUT, "\"%s\": not the name of a file", path);
    if (lstat(path, &st) != 0)
        return errno == ENOENT ? VF_OK : vf_fail_sys(why, "%s: cannot look it up", path);
    if (!force)
        return vf_fail(why, VF_E_EXISTS, "%s: exists already, and is not overwritten", path);
    if (!S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode))
        return vf_fail(why, VF_E_INPUT, "%s: not a regular file, and is not replaced", path);
    return VF_OK;
}

enum vf_err vf_tmp_name(const char *path, char **ret, struct vf_why *why)
{
    size_t len = strlen(path);
    uint8_t random[5];
    struct vf_ref ref;

    while (len > 1 && path[len - 1] == '/')
        len--;
    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
        return vf_fail_sys(why, "%s: no random numbers from the kernel", path);
    vf_ref_from_bytes(random, &ref);
    char *name = malloc(len + SUFFIX_LEN + VF_REF_LEN + 1);
    if (name == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", path);
    memcpy(name, path, len);
    memcpy(name + len, SUFFIX, SUFFIX_LEN);
    memcpy(name + len + SUFFIX_LEN, ref.c, VF_REF_LEN);
    name[len + SUFFIX_LEN + VF_REF_LEN] = '\0';
    *ret = name;
    return VF_OK;
}

/* A name that nobody else has, so O_EXCL is for the one chance in 10^12. */
static enum vf_err open_tmp(const char *path, mode_t mode, char **ret_tmp, int *ret_fd, struct vf_why *why)
{
    for (int tries = 0; tries < 100; tries++) {
        VF_FREE char *tmp = NULL;
        VF_TRY(vf_tmp_name(path, &tmp, why));
        int fd = open(tmp, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC, mode);
        if (fd >= 0) {
            *ret_fd = fd;
            *ret_tmp = tmp;
            tmp = NULL;
            return VF_OK;
        }
        if (errno != EEXIST)
            break;
    }
    return vf_fail_sys(why, "%s: cannot create a file beside it", path);
}

enum vf_err vf_newfile_open(struct vf_newfile *f, const char *path, mode_t mode, bool force, struct vf_why *why)
{
    *f = (struct vf_newfile){.fd = -1, .force = force};
    /* Refused before the work, not only after it; the rename looks again. */
    VF_TRY(check_target(path, force, why));
    f->path = strdup(path);
    if (f->path == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", path);
    enum vf_err err = open_tmp(path, mode, &f->tmp, &f->fd, why);
    if (err != VF_OK)
        vf_newfile_done(f);
    return err;
}

static enum vf_err cannot_rename(const struct vf_newfile *f, struct vf_why *why)
{
    if (errno == EEXIST)
        return vf_fail(why, VF_E_EXISTS, "%s: exists already, and is not overwritten", f->path);
    return vf_fail_sys(why, "%s: cannot put the new file in place", f->path);
}

/* Give the file its name; the temporary name is gone when this succeeds. */
static enum vf_err put_in_place(const struct vf_newfile *f, struct vf_why *why)
{
    if (f->force) {
        VF_TRY(check_target(f->path, true, why));
        return rename(f->tmp, f->path) == 0 ? VF_OK : cannot_rename(f, why);
    }
    if (renameat2(AT_FDCWD, f->tmp, AT_FDCWD, f->path, RENAME_NOREPLACE) == 0)
        return VF_OK;
    if (errno != EINVAL && errno != ENOSYS && errno != ENOTSUP)
        return cannot_rename(f, why);
    /* This filesystem cannot rename without replacing. link never replaces; a crash in between leaves a second name, whole
     * too. */
    if (link(f->tmp, f->path) != 0)
        return cannot_rename(f, why);
    return unlink(f->tmp) == 0 ? VF_OK : cannot_rename(f, why);
}

/*
 * 1. The bytes are durable before the name says that they are there.
 * 2. close can report what a network filesystem kept back until now.
 * 3. The name. From here on there is nothing to take back.
 * 4. The name is durable.
 */
enum vf_err vf_newfile_commit(struct vf_newfile *f, struct vf_why *why)
{
    if (f->path == NULL || f->fd < 0)
        return vf_fail(why, VF_E_INPUT, "nothing to put in place");
    if (fsync(f->fd) != 0)
        return vf_fail_sys(why, "%s: cannot make it durable", f->path);
    int fd = f->fd;
    f->fd = -1;
    if (close(fd) != 0)
        return vf_fail_sys(why, "%s: cannot close", f->path);
    VF_TRY(put_in_place(f, why));
    vf_free(&f->tmp);
    VF_FREE char *parent = vf_path_parent(f->path);
    enum vf_err err = parent != NULL ? vf_dir_sync(parent, why) : vf_fail(why, VF_E_NOMEM, "%s: out of memory", f->path);
    vf_newfile_done(f);
    return err;
}

void vf_newfile_done(struct vf_newfile *f)
{
    int saved = errno;

    /* A struct of zeroes owns nothing, descriptor 0 neither. */
    if (f->path != NULL)
        vf_fd_close(&f->fd);
    if (f->tmp != NULL)
        (void)unlink(f->tmp);
    vf_free(&f->tmp);
    vf_free(&f->path);
    f->fd = -1;
    errno = saved;
}
