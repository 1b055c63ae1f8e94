/* SPDX-License-Identifier: MIT */
/* The store of a key desk is a folder full of logs: its own, and what its devices handed in. */
#include "case.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void vf_case_paths_free(char **paths, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(paths[i]);
    free(paths);
}

static int is_folder_name(const struct dirent *d)
{
    return d->d_name[0] != '.';
}

/* PATH/`name`/log, if a log begins there. False: no memory. */
static bool add(char **paths, size_t *n, const char *path, const char *name)
{
    char *log = NULL;
    char *origin = NULL;

    if (asprintf(&log, "%s%s%s/log", path, name[0] != '\0' ? "/devices/" : "", name) < 0)
        return false;
    if (asprintf(&origin, "%s/origin", log) < 0) {
        free(log);
        return false;
    }
    if (access(origin, F_OK) == 0)
        paths[(*n)++] = log;
    else
        free(log);
    free(origin);
    return true;
}

enum vf_err vf_case_desk_store(const char *path, char ***ret, size_t *ret_n, struct vf_why *why)
{
    VF_FREE char *own = vf_path_join(path, "origin");
    VF_FREE char *devices = vf_path_join(path, "devices");
    VF_FREE char *prekeys = vf_path_join(path, "prekeys");
    struct dirent **names = NULL;
    size_t n = 0;

    *ret = NULL;
    *ret_n = 0;
    if (own == NULL || devices == NULL || prekeys == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", path);
    /* A log by itself; or no store of a desk. */
    if (access(own, F_OK) == 0 || access(prekeys, F_OK) != 0)
        return VF_OK;
    int count = scandir(devices, &names, is_folder_name, alphasort);
    char **paths = calloc((size_t)(count > 0 ? count : 0) + 1, sizeof(*paths));
    bool good = paths != NULL && add(paths, &n, path, "");
    for (int i = 0; i < count; i++) {
        good = good && add(paths, &n, path, names[i]->d_name);
        free(names[i]);
    }
    free(names);
    if (!good) {
        vf_case_paths_free(paths, n);
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", path);
    }
    *ret = paths;
    *ret_n = n;
    return VF_OK;
}
