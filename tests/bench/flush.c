/* SPDX-License-Identifier: MIT */
/*
 * What a flush of the log costs, and what it would cost if entries were written in place: bench-flush FOLDER, on the disk in question. Ways to
 * make 400 bytes durable, one after the other in turn, so that what else the disk does meets all of them alike.
 */
#include "vaultfs/base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 1500u
#define ENTRY  400u
#define FILLER 16384u

enum way { APPEND, FILLER_AHEAD, PREWRITTEN, PREWRITTEN_DSYNC, WAYS };
static const char *const names[WAYS] = {"appended", "appended, 16 KiB of zeroes ahead", "in place, all written before",
                                        "the same with RWF_DSYNC"};
struct file {
    int fd;
    off_t at, filled;
    double took[ROUNDS], processor;
};
static struct file files[WAYS];
static const char zeroes[FILLER];
static char entry[ENTRY];

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static double now(clockid_t clock)
{
    struct timespec t;

    (void)clock_gettime(clock, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void put(const struct file *f, const void *data, size_t len, off_t at)
{
    if (pwrite(f->fd, data, len, at) != (ssize_t)len)
        die("write");
}

static void commit(struct file *f, enum way way)
{
    struct iovec io = {entry, ENTRY};

    if (way == FILLER_AHEAD && f->at + (off_t)ENTRY > f->filled) {
        f->filled = f->filled > f->at ? f->filled : f->at;
        put(f, zeroes, FILLER, f->filled);
        f->filled += FILLER;
    }
    if (way == PREWRITTEN_DSYNC) {
        if (pwritev2(f->fd, &io, 1, f->at, RWF_DSYNC) != (ssize_t)ENTRY)
            die("write");
    } else {
        put(f, entry, ENTRY, f->at);
        if (fdatasync(f->fd) != 0)
            die("fdatasync");
    }
    f->at += (off_t)ENTRY;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        (void)fprintf(stderr, "Usage: bench-flush FOLDER\n");
        return 2;
    }
    memset(entry, 'x', sizeof(entry));
    for (unsigned w = 0; w < WAYS; w++) {
        files[w].fd = open(argv[1], O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
        if (files[w].fd < 0)
            die(argv[1]);
        for (off_t at = 0; w >= PREWRITTEN && at < (off_t)(ROUNDS * ENTRY); at += FILLER)
            put(&files[w], zeroes, FILLER, at);
        if (fsync(files[w].fd) != 0)
            die("fsync");
    }
    for (unsigned i = 0; i < ROUNDS; i++)
        for (unsigned k = 0; k < WAYS; k++) {
            struct file *f = &files[(i + k) % WAYS];
            double processor = now(CLOCK_THREAD_CPUTIME_ID);
            double start = now(CLOCK_MONOTONIC);
            commit(f, (enum way)((i + k) % WAYS));
            f->took[i] = now(CLOCK_MONOTONIC) - start;
            f->processor += now(CLOCK_THREAD_CPUTIME_ID) - processor;
        }
    printf("%-34s %9s %9s %9s %9s   microseconds\n", "", "tenth", "median", "mean", "processor");
    for (unsigned w = 0; w < WAYS; w++) {
        double sum = 0;
        for (unsigned i = 0; i < ROUNDS; i++)
            sum += files[w].took[i];
        qsort(files[w].took, ROUNDS, sizeof(double), compare);
        printf("%-34s %9.1f %9.1f %9.1f %9.1f\n", names[w], files[w].took[ROUNDS / 10], files[w].took[ROUNDS / 2],
               sum / ROUNDS, files[w].processor / ROUNDS);
    }
    return 0;
}
