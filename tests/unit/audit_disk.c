/* SPDX-License-Identifier: MIT */
#include "audit_disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#define FILES  24
#define MOVES  4
#define SECTOR 512
#define MAX    ((size_t)32 * 1024) /* files in these tests are small */

struct file {
    char path[PATH_MAX];
    bool used;
    bool named; /* its name is durable */
    char *data; /* durable content */
    size_t len;
    char *dirty; /* for each visible byte: written since, and no sync has failed meanwhile */
};
struct moved {
    bool used;
    char from[PATH_MAX], to[PATH_MAX];
    char *displaced; /* what had the name before, or NULL */
    size_t displaced_len;
};

static bool armed;
static struct disk_plan plan;
static char side_dir[PATH_MAX];
static void (*tell)(const void *data, unsigned long len);
static unsigned calls, syncs;
static uint32_t dice;
static struct file files[FILES];
static struct moved moves[MOVES];
static pthread_mutex_t disk = PTHREAD_MUTEX_INITIALIZER;

/* ------------------------------------------------------------------------------------------------------------------- tools */

static uint32_t throw(void)
{
    dice ^= dice << 13;
    dice ^= dice >> 17;
    dice ^= dice << 5;
    return dice;
}

static ssize_t raw_pwrite(int fd, const void *data, size_t len, off_t at)
{
    return syscall(SYS_pwrite64, fd, data, len, at);
}

static void *need(void *p)
{
    if (p == NULL)
        abort();
    return p;
}

static char *slurp(const char *path, size_t *ret_len)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;

    *ret_len = 0;
    if (fd < 0)
        return NULL;
    if (fstat(fd, &st) != 0 || (size_t)st.st_size > MAX)
        abort();
    char *data = need(malloc((size_t)st.st_size + 1));
    if (pread(fd, data, (size_t)st.st_size, 0) != st.st_size)
        abort();
    (void)close(fd);
    *ret_len = (size_t)st.st_size;
    return data;
}

static void spill(const char *path, const char *data, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (fd < 0 || raw_pwrite(fd, data, len, 0) != (ssize_t)len)
        abort();
    (void)close(fd);
}

static void path_of(int fd, char out[PATH_MAX])
{
    char link[64];

    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, out, PATH_MAX - 1);
    if (n < 0)
        abort();
    out[n] = '\0';
}

/* side/NAME.data or side/NAME.dirty; file names are unique in these tests. */
static void side_path(char out[PATH_MAX + 64], const char *path, const char *what)
{
    const char *slash = strrchr(path, '/');

    (void)snprintf(out, PATH_MAX + 64, "%.3000s/%.200s.%s", side_dir, slash != NULL ? slash + 1 : path, what);
}

/* ------------------------------------------------------------------------------------------------------------------- files */

static void load_file(struct file *f)
{
    char side[PATH_MAX + 64];
    size_t len = 0;

    f->dirty = need(calloc(1, MAX));
    side_path(side, f->path, "data");
    f->data = slurp(side, &f->len);
    if (f->data != NULL) {
        side_path(side, f->path, "dirty");
        char *dirty = need(slurp(side, &len));
        memcpy(f->dirty, dirty, len);
        free(dirty);
        f->named = true;
        return;
    }
    f->data = slurp(f->path, &f->len);
    /* Empty: openat made it just now. */
    f->named = f->len > 0;
}

/* The file of that path; with `adopt` it is taken up when it is not known yet. */
static struct file *track(const char *path, bool adopt)
{
    struct file *spare = NULL;

    for (int i = 0; i < FILES; i++) {
        if (files[i].used && strcmp(files[i].path, path) == 0)
            return &files[i];
        if (!files[i].used && spare == NULL)
            spare = &files[i];
    }
    if (!adopt)
        return NULL;
    spare = need(spare);
    memset(spare, 0, sizeof(*spare));
    (void)snprintf(spare->path, sizeof(spare->path), "%s", path);
    spare->used = true;
    load_file(spare);
    return spare;
}

static void sync_file(struct file *f)
{
    size_t len = 0;
    char *now = need(slurp(f->path, &len));
    char *data = need(calloc(1, len + 1));

    for (size_t i = 0; i < len; i++)
        data[i] = f->dirty[i] != 0 ? now[i] : i < f->len ? f->data[i] : '\0';
    free(f->data);
    free(now);
    f->data = data;
    f->len = len;
    memset(f->dirty, 0, MAX);
}

/* Sector by sector old or new; what was appended may end anywhere and have zeroes in it. */
static void tear(const struct file *f)
{
    size_t len = 0;
    char *now = slurp(f->path, &len);

    if (now == NULL)
        return;
    size_t keep = len > f->len ? f->len + throw() % (len - f->len + 1) : throw() % 2 == 0 ? len : f->len;
    char *mix = need(calloc(1, keep + 1));
    for (size_t at = 0; at < keep; at += SECTOR) {
        bool new = throw() % 2 == 0;
        for (size_t i = at; i < keep && i < at + SECTOR; i++) {
            char old = i < f->len ? f->data[i] : '\0';
            mix[i] = new &&i < len && f->dirty[i] != 0 ? now[i] : old;
        }
    }
    spill(f->path, mix, keep);
    free(mix);
    free(now);
}

static void undo_move(const struct moved *m)
{
    struct file *f = track(m->to, false);

    if (rename(m->to, m->from) != 0)
        abort();
    if (f != NULL)
        (void)snprintf(f->path, sizeof(f->path), "%s", m->from);
    if (m->displaced != NULL)
        spill(m->to, m->displaced, m->displaced_len);
}

/* --------------------------------------------------------------------------------------------------------------------- ends */

/* Names that are not durable, for the next process: "from\nto\n" each, and beside it what had the name before. */
static void save_moves(void)
{
    char side[PATH_MAX + 64];
    char text[MOVES * 2 * 600] = "";
    size_t len = 0;

    for (int i = 0; i < MOVES; i++) {
        if (!moves[i].used)
            continue;
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%.590s\n%.590s\n", moves[i].from, moves[i].to);
        side_path(side, moves[i].to, "displaced");
        if (moves[i].displaced != NULL)
            spill(side, moves[i].displaced, moves[i].displaced_len);
    }
    (void)snprintf(side, sizeof(side), "%.3000s/moves", side_dir);
    spill(side, text, len);
}

static void load_moves(void)
{
    char side[PATH_MAX + 64];
    size_t len = 0;

    (void)snprintf(side, sizeof(side), "%.3000s/moves", side_dir);
    char *text = slurp(side, &len);
    char *save = NULL;
    if (text == NULL)
        return;
    text[len] = '\0';
    char *from = strtok_r(text, "\n", &save);
    for (int i = 0; i < MOVES && from != NULL; i++, from = strtok_r(NULL, "\n", &save)) {
        char *to = need(strtok_r(NULL, "\n", &save));
        (void)snprintf(moves[i].from, PATH_MAX, "%s", from);
        (void)snprintf(moves[i].to, PATH_MAX, "%s", to);
        side_path(side, to, "displaced");
        moves[i].displaced = slurp(side, &moves[i].displaced_len);
        moves[i].used = true;
    }
    free(text);
}

/* The next process finds the pages of this one in memory. */
static void carry_over(void)
{
    save_moves();
    for (int i = 0; i < FILES; i++) {
        char side[PATH_MAX + 64];
        size_t len = 0;
        if (!files[i].used)
            continue;
        side_path(side, files[i].path, "data");
        spill(side, files[i].data != NULL ? files[i].data : "", files[i].len);
        free(slurp(files[i].path, &len));
        side_path(side, files[i].path, "dirty");
        spill(side, files[i].dirty, len);
    }
}

static void lose(bool all)
{
    for (int i = MOVES - 1; i >= 0; i--)
        if (moves[i].used && (all || throw() % 2 == 0))
            undo_move(&moves[i]);
    for (int i = 0; i < FILES; i++) {
        struct file *f = &files[i];
        if (!f->used)
            continue;
        if (!f->named && (all || throw() % 2 == 0))
            (void)unlink(f->path);
        else if (all)
            spill(f->path, f->data, f->len);
        else
            tear(f);
    }
    /* Nothing is in memory any more. */
    DIR *d = opendir(side_dir);
    for (const struct dirent *e = d != NULL ? readdir(d) : NULL; e != NULL; e = readdir(d)) {
        char path[PATH_MAX + 300];
        (void)snprintf(path, sizeof(path), "%s/%s", side_dir, e->d_name);
        if (e->d_name[0] != '.')
            (void)unlink(path);
    }
    if (d != NULL)
        (void)closedir(d);
}

static _Noreturn void die(void)
{
    armed = false;
    if (plan.mode == DISK_LOST || plan.mode == DISK_TORN)
        lose(plan.mode == DISK_LOST);
    else
        carry_over();
    _exit(DISK_DIED);
}

static bool last_call(void)
{
    return ++calls == plan.die_at;
}

void disk_arm(const struct disk_plan *p, const char *side, void (*on_checkpoint)(const void *, unsigned long))
{
    plan = *p;
    (void)snprintf(side_dir, sizeof(side_dir), "%s", side);
    tell = on_checkpoint;
    dice = plan.seed * 2654435761u + 12345;
    calls = 0;
    syncs = 0;
    /* What the last process left in memory is at risk again. */
    load_moves();
    DIR *d = opendir(side);
    for (const struct dirent *e = d != NULL ? readdir(d) : NULL; e != NULL; e = readdir(d)) {
        char name[PATH_MAX] = "";
        char path[PATH_MAX + 300];
        char real[PATH_MAX];
        size_t n = strlen(e->d_name);
        if (n < 6 || strcmp(e->d_name + n - 5, ".data") != 0)
            continue;
        (void)snprintf(name, sizeof(name), "%.*s", (int)n - 5, e->d_name);
        (void)snprintf(path, sizeof(path), "%.3000s/../log/%.200s", side, name);
        if (realpath(path, real) == NULL)
            (void)snprintf(path, sizeof(path), "%.3000s/../%.200s", side, name);
        if (realpath(path, real) != NULL)
            (void)track(real, true);
    }
    if (d != NULL)
        (void)closedir(d);
    armed = true;
}

void disk_end(void)
{
    armed = false;
    if (plan.lose_at_end)
        lose(true);
    else
        carry_over();
}

/* --------------------------------------------------------------------------------------------------------------- the calls */

ssize_t pwrite(int fd, const void *data, size_t len, off_t at)
{
    char path[PATH_MAX];

    if (!armed)
        return raw_pwrite(fd, data, len, at);
    (void)pthread_mutex_lock(&disk);
    path_of(fd, path);
    struct file *f = track(path, true);
    bool last = last_call();
    size_t done = last && plan.mode == DISK_KILL ? 0 : last && plan.mode == DISK_HALF ? (len + 1) / 2 : len;
    if ((size_t)at + done > MAX || (done > 0 && raw_pwrite(fd, data, done, at) != (ssize_t)done))
        abort();
    memset(f->dirty + at, 1, done);
    const char *slash = strrchr(path, '/');
    if (!last && strcmp(slash, "/checkpoints") == 0)
        tell(data, len);
    if (last)
        die();
    (void)pthread_mutex_unlock(&disk);
    return (ssize_t)len;
}

int ftruncate(int fd, off_t len)
{
    char path[PATH_MAX];

    if (!armed)
        return (int)syscall(SYS_ftruncate, fd, len);
    (void)pthread_mutex_lock(&disk);
    path_of(fd, path);
    struct file *f = track(path, true);
    if (last_call())
        die();
    int n = (int)syscall(SYS_ftruncate, fd, len);
    memset(f->dirty + len, 0, MAX - (size_t)len);
    (void)pthread_mutex_unlock(&disk);
    return n;
}

static int synced(int fd)
{
    char path[PATH_MAX];
    struct stat st;

    if (!armed)
        return 0; /* nothing outside the drill has to outlive the machine */
    (void)pthread_mutex_lock(&disk);
    if (last_call())
        die();
    path_of(fd, path);
    if (fstat(fd, &st) != 0)
        abort();
    bool fails = ++syncs == plan.fail_at;
    struct file *f = S_ISDIR(st.st_mode) ? NULL : track(path, false);
    if (f != NULL && fails)
        memset(f->dirty, 0, MAX);
    if (f != NULL && !fails)
        sync_file(f);
    if (S_ISDIR(st.st_mode) && !fails) {
        for (int i = 0; i < MOVES; i++)
            moves[i].used = false;
        for (int i = 0; i < FILES; i++)
            files[i].named = true;
    }
    (void)pthread_mutex_unlock(&disk);
    if (fails)
        errno = EIO;
    return fails ? -1 : 0;
}

int fdatasync(int fd)
{
    return synced(fd);
}

int fsync(int fd)
{
    return synced(fd);
}

int renameat2(int dir, const char *from, int to_dir, const char *to, unsigned flags)
{
    char base[PATH_MAX];
    struct moved *m = NULL;

    if (!armed)
        return (int)syscall(SYS_renameat2, dir, from, to_dir, to, flags);
    (void)pthread_mutex_lock(&disk);
    if (last_call())
        die();
    path_of(dir, base);
    for (int i = 0; i < MOVES && m == NULL; i++)
        m = moves[i].used ? NULL : &moves[i];
    m = need(m);
    (void)snprintf(m->from, sizeof(m->from), "%.2000s/%.200s", base, from);
    (void)snprintf(m->to, sizeof(m->to), "%.2000s/%.200s", base, to);
    m->displaced = slurp(m->to, &m->displaced_len);
    m->used = true;
    struct file *gone = track(m->to, false);
    struct file *f = track(m->from, false);
    if (gone != NULL)
        gone->used = false;
    if (f != NULL) {
        (void)snprintf(f->path, sizeof(f->path), "%s", m->to);
        f->named = true; /* whether it has this name is the move's business */
    }
    int n = (int)syscall(SYS_renameat2, dir, from, to_dir, to, flags);
    (void)pthread_mutex_unlock(&disk);
    return n;
}

int unlinkat(int dir, const char *name, int flags)
{
    char path[PATH_MAX];
    char base[PATH_MAX];

    if (armed && dir != AT_FDCWD) {
        (void)pthread_mutex_lock(&disk);
        if (last_call())
            die();
        path_of(dir, base);
        (void)snprintf(path, sizeof(path), "%.2000s/%.200s", base, name);
        struct file *f = track(path, false);
        if (f != NULL)
            f->used = false;
        (void)pthread_mutex_unlock(&disk);
    }
    return (int)syscall(SYS_unlinkat, dir, name, flags);
}
