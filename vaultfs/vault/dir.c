/* SPDX-License-Identifier: MIT */
/* A whole folder that appears at once or not at all: made under another name beside its place, durable, then renamed. */
#include "internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEPTH_MAX 16

static enum vf_err check_free(const char *path, struct vf_why *why)
{
    struct stat st;

    if (lstat(path, &st) == 0)
        return vf_fail(why, VF_E_EXISTS, "%s: exists already, and is not overwritten", path);
    return errno == ENOENT ? VF_OK : vf_fail_sys(why, "%s: cannot look it up", path);
}

enum vf_err vf_vault_dir_new(const char *path, char **ret_tmp, struct vf_why *why)
{
    VF_FREE char *parent = vf_path_parent(path);
    size_t len = strlen(path);
    uint8_t random[5];
    struct vf_ref ref;
    VF_FREE char *tmp = NULL;

    if (parent == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", path);
    while (len > 1 && path[len - 1] == '/')
        len--;
    VF_TRY(check_free(path, why));
    VF_TRY(vf_dir_local(parent, why));
    vf_random(random, sizeof(random));
    vf_ref_from_bytes(random, &ref);
    if (asprintf(&tmp, "%.*s.tmp-%.8s", (int)len, path, ref.c) < 0) {
        tmp = NULL;
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", path);
    }
    VF_TRY(vf_dir_make(tmp, why));
    *ret_tmp = tmp;
    tmp = NULL;
    return VF_OK;
}

enum vf_err vf_vault_dir_commit(const char *tmp, const char *path, struct vf_why *why)
{
    VF_FREE char *parent = vf_path_parent(path);

    if (parent == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", path);
    VF_TRY(vf_dir_sync(tmp, why));
    if (renameat2(AT_FDCWD, tmp, AT_FDCWD, path, RENAME_NOREPLACE) != 0) {
        if (errno != EINVAL && errno != ENOSYS && errno != ENOTSUP)
            return vf_fail_sys(why, "%s: cannot put the new folder in place", path);
        /* This filesystem cannot rename without replacing; rename replaces nothing but an empty folder. */
        VF_TRY(check_free(path, why));
        if (rename(tmp, path) != 0)
            return vf_fail_sys(why, "%s: cannot put the new folder in place", path);
    }
    return vf_dir_sync(parent, why);
}

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

void vf_vault_dir_remove(const char *path)
{
    remove_at(AT_FDCWD, path, 0);
}
