/* SPDX-License-Identifier: MIT */
/* A whole folder that appears at once or not at all: made under another name beside its place, durable, then renamed. */
#include "tmpname.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEPTH_MAX 16

/* ------------------------------------------------------------------------------------------------------------------ removing */

static void remove_at(int dir, const char *name, unsigned depth);

/* Everything below the folder `fd`, which is closed. */
static void remove_content(int fd, unsigned depth)
{
    DIR *d = fdopendir(fd);

    if (d == NULL) {
        (void)close(fd);
        return;
    }
    for (const struct dirent *e = readdir(d); e != NULL; e = readdir(d))
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            remove_at(dirfd(d), e->d_name, depth + 1);
    (void)closedir(d);
}

static void remove_at(int dir, const char *name, unsigned depth)
{
    if (unlinkat(dir, name, 0) == 0 || depth > DEPTH_MAX)
        return;
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0)
        remove_content(fd, depth);
    (void)unlinkat(dir, name, AT_REMOVEDIR);
}

void vf_dir_remove(const char *path)
{
    remove_at(AT_FDCWD, path, 0);
}

/* -------------------------------------------------------------------------------------------------------------------- making */

static enum vf_err check_empty(const char *path, struct vf_why *why)
{
    size_t n = 0;
    DIR *d = opendir(path);

    if (d == NULL)
        return vf_fail_sys(why, "%s: cannot look into it", path);
    while (n < 3 && readdir(d) != NULL)
        n++;
    (void)closedir(d);
    if (n > 2) /* . and .. */
        return vf_fail(why, VF_E_EXISTS, "%s: there is something in it already; name another folder", path);
    return VF_OK;
}

static enum vf_err check_free(const struct vf_newdir *d, struct vf_why *why)
{
    struct stat st;

    if (lstat(d->path, &st) != 0)
        return errno == ENOENT ? VF_OK : vf_fail_sys(why, "%s: cannot look it up", d->path);
    if (d->empty_ok && S_ISDIR(st.st_mode))
        return check_empty(d->path, why);
    return vf_fail(why, VF_E_EXISTS, "%s: exists already, and is not overwritten; name another folder", d->path);
}

static enum vf_err make(struct vf_newdir *d, const char *path, struct vf_why *why)
{
    d->path = strdup(path);
    if (d->path == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", path);
    VF_TRY(check_free(d, why));
    VF_TRY(vf_tmp_name(path, &d->tmp, why));
    enum vf_err err = vf_dir_make(d->tmp, why);
    if (err != VF_OK) { /* made, and not durable; never more than an empty folder: it may be somebody else's */
        (void)rmdir(d->tmp);
        vf_free(&d->tmp);
    }
    return err;
}

enum vf_err vf_newdir_open(struct vf_newdir *d, const char *path, bool empty_ok, struct vf_why *why)
{
    *d = (struct vf_newdir){.empty_ok = empty_ok};
    enum vf_err err = make(d, path, why);
    if (err != VF_OK)
        vf_newdir_done(d);
    return err;
}

static enum vf_err put_in_place(const struct vf_newdir *d, struct vf_why *why)
{
    if (!d->empty_ok && renameat2(AT_FDCWD, d->tmp, AT_FDCWD, d->path, RENAME_NOREPLACE) == 0)
        return VF_OK;
    if (!d->empty_ok && errno != EINVAL && errno != ENOSYS && errno != ENOTSUP)
        return vf_fail_sys(why, "%s: cannot put the new folder in place", d->path);
    /* Or this filesystem cannot rename without replacing: rename replaces nothing but an empty folder. */
    VF_TRY(check_free(d, why));
    return rename(d->tmp, d->path) == 0 ? VF_OK : vf_fail_sys(why, "%s: cannot put the new folder in place", d->path);
}

enum vf_err vf_newdir_commit(struct vf_newdir *d, struct vf_why *why)
{
    VF_FREE char *parent = vf_path_parent(d->path);

    if (parent == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", d->path);
    VF_TRY(vf_dir_sync(d->tmp, why));
    VF_TRY(put_in_place(d, why));
    vf_free(&d->tmp);
    return vf_dir_sync(parent, why);
}

void vf_newdir_done(struct vf_newdir *d)
{
    if (d->tmp != NULL)
        vf_dir_remove(d->tmp);
    vf_free(&d->tmp);
    vf_free(&d->path);
}
