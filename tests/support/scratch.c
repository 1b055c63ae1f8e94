/* SPDX-License-Identifier: MIT */
#include "scratch.h"

#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void give_up(const char *what, const char *path)
{
    (void)fprintf(stderr, "scratch: %s: ", path);
    perror(what);
    abort();
}

void scratch_make(struct scratch *s)
{
    const char *tmp = getenv("TMPDIR");
    int n = snprintf(s->path, sizeof(s->path), "%s/vaultfs-test-XXXXXX", tmp != NULL && tmp[0] == '/' ? tmp : "/tmp");

    if (n < 0 || (size_t)n >= sizeof(s->path) || mkdtemp(s->path) == NULL)
        give_up("mkdtemp", s->path);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

/* Tests make folders read-only or unreadable; before anything is removed they are opened again. */
static int open_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)ftw;
    if (type == FTW_D || type == FTW_DNR)
        (void)chmod(path, 0700);
    return 0;
}

void scratch_remove(struct scratch *s)
{
    if (s->path[0] == '\0')
        return;
    (void)nftw(s->path, open_one, 16, FTW_PHYS);
    if (nftw(s->path, remove_one, 16, FTW_PHYS | FTW_DEPTH) != 0)
        give_up("remove", s->path);
    s->path[0] = '\0';
}

char *scratch_path(const struct scratch *s, const char *name, char *out, size_t size)
{
    int n = snprintf(out, size, "%s/%s", s->path, name);

    if (n < 0 || (size_t)n >= size)
        give_up("name too long", name);
    return out;
}

void scratch_damage(const char *path, long back)
{
    FILE *f = fopen(path, "r+");

    if (f == NULL || fseek(f, -back, SEEK_END) != 0)
        give_up("open", path);
    int was = fgetc(f);
    if (was == EOF || fseek(f, -back, SEEK_END) != 0 || fputc(was ^ 1, f) == EOF || fclose(f) != 0)
        give_up("write", path);
}

unsigned scratch_count(const char *path)
{
    DIR *dir = opendir(path);
    unsigned n = 0;

    if (dir == NULL)
        give_up("opendir", path);
    for (const struct dirent *e = readdir(dir); e != NULL; e = readdir(dir))
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            n++;
    (void)closedir(dir);
    return n;
}
