/* SPDX-License-Identifier: MIT */
/*
 * Programs that read files, as a printing program does: open, read to the end, close.
 *
 *     bench-reader [-n PROCESSES] [-r SEED] [-t TIMES] LIST FOLDER
 *
 * LIST has one path a line, relative to FOLDER. With several processes the first takes the lines 1, n+1, 2n+1, ...; with -r they are shuffled
 * first; -t reads all of them so many times over. Prints one line of JSON: wall time from the moment that all processes are ready until the
 * last one has ended, files, bytes, time of one file from open to close (median, 99 of 100, longest), processor time of the readers.
 */
#include "vaultfs/base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PROCESSES_MAX 64
#define READ_LEN      131072u /* what cp and cat ask for */
#define LIST_MAX      (256u << 20)
#define FILES_MAX     (SIZE_MAX / 1024)

struct shared { /* of all processes */
    atomic_uint ready;
    atomic_bool go;
    _Atomic uint64_t bytes;
};

struct plan {
    char **file;
    size_t files, times, processes;
    struct shared *shared;
    uint64_t *took_ns; /* shared: of each reading, in the order of the list */
};

static void __attribute__((noreturn)) die(const char *what)
{
    (void)fprintf(stderr, "bench-reader: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void *shared_memory(size_t len)
{
    void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED)
        die("memory");
    return p;
}

/* Lines of `text`, which is cut up. */
static char **lines_of(struct vf_buf *text, size_t *ret_n)
{
    size_t max = 1, n = 0;
    char *rest = NULL;

    vf_buf_u8(text, '\0');
    if (!vf_buf_ok(text))
        die("the list is too long");
    for (size_t i = 0; i < text->len; i++)
        max += text->data[i] == '\n';
    char **list = calloc(max, sizeof(*list));
    if (list == NULL)
        die("memory");
    for (char *line = strtok_r((char *)text->data, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest))
        list[n++] = line;
    *ret_n = n;
    return list;
}

/* Fisher and Yates, with a generator that is the same everywhere (xorshift64*). */
static void shuffle(char **list, size_t n, uint64_t seed)
{
    uint64_t x = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;

    for (size_t i = n; i > 1; i--) {
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        size_t j = (size_t)((x * UINT64_C(0x2545f4914f6cdd1d) >> 11) % i);
        char *swap = list[i - 1];
        list[i - 1] = list[j];
        list[j] = swap;
    }
}

static uint64_t read_one(const char *path, char *buf)
{
    uint64_t bytes = 0;
    ssize_t got;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        die(path);
    while ((got = read(fd, buf, READ_LEN)) > 0)
        bytes += (uint64_t)got;
    if (got < 0)
        die(path);
    (void)close(fd);
    return bytes;
}

static void __attribute__((noreturn)) read_share(const struct plan *p, size_t which)
{
    uint64_t bytes = 0;
    char *buf = malloc(READ_LEN);

    if (buf == NULL)
        die("memory");
    (void)atomic_fetch_add(&p->shared->ready, 1);
    while (!atomic_load(&p->shared->go))
        (void)usleep(50);
    for (size_t t = 0; t < p->times; t++) {
        for (size_t i = which; i < p->files; i += p->processes) {
            uint64_t at = now_ns();
            bytes += read_one(p->file[i], buf);
            p->took_ns[t * p->files + i] = now_ns() - at;
        }
    }
    (void)atomic_fetch_add(&p->shared->bytes, bytes);
    free(buf);
    _exit(0);
}

static int by_size(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

/* Wall time in ns. */
static uint64_t run(const struct plan *p)
{
    int status = 0;
    bool failed = false;

    for (size_t i = 0; i < p->processes; i++) {
        pid_t pid = fork();
        if (pid < 0)
            die("fork");
        if (pid == 0)
            read_share(p, i);
    }
    while (atomic_load(&p->shared->ready) < p->processes)
        (void)usleep(50);
    uint64_t at = now_ns();
    atomic_store(&p->shared->go, true);
    for (size_t i = 0; i < p->processes; i++)
        failed |= wait(&status) < 0 || status != 0;
    uint64_t took = now_ns() - at;
    if (failed)
        exit(1); /* the process has said why */
    return took;
}

/* The time that so many of a hundred did not exceed. */
static double took_us(const struct plan *p, size_t percent)
{
    size_t n = p->files * p->times, at = n * percent / 100;

    return (double)p->took_ns[at < n ? at : n - 1] / 1e3;
}

static double seconds_of(const struct timeval *t)
{
    return (double)t->tv_sec + (double)t->tv_usec / 1e6;
}

static void print(const struct plan *p, uint64_t wall_ns)
{
    size_t n = p->files * p->times;
    struct rusage used;

    qsort(p->took_ns, n, sizeof(*p->took_ns), by_size);
    (void)getrusage(RUSAGE_CHILDREN, &used);
    (void)printf("{\"seconds\": %.6f, \"files\": %zu, \"bytes\": %llu, ", (double)wall_ns / 1e9, n,
                 (unsigned long long)atomic_load(&p->shared->bytes));
    (void)printf("\"p50_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f, ", took_us(p, 50), took_us(p, 99), took_us(p, 100));
    (void)printf("\"user\": %.3f, \"system\": %.3f}\n", seconds_of(&used.ru_utime), seconds_of(&used.ru_stime));
}

static uint64_t number(const char *text, uint64_t max)
{
    uint64_t n = 0;

    if (!vf_uint_parse(text, strlen(text), max, &n) || n == 0) {
        (void)fprintf(stderr, "bench-reader: \"%s\" is not a number from 1 to %llu\n", text, (unsigned long long)max);
        exit(2);
    }
    return n;
}

int main(int argc, char **argv)
{
    struct plan p = {.times = 1, .processes = 1};
    struct vf_why why = {0};
    uint64_t seed = 0;
    int opt;
    VF_BUF text;

    while ((opt = getopt(argc, argv, "n:r:t:")) != -1) {
        if (opt == 'n')
            p.processes = (size_t)number(optarg, PROCESSES_MAX);
        else if (opt == 'r')
            seed = number(optarg, UINT64_MAX);
        else if (opt == 't')
            p.times = (size_t)number(optarg, 1000000);
        else
            return 2;
    }
    if (argc - optind != 2) {
        (void)fprintf(stderr, "usage: bench-reader [-n PROCESSES] [-r SEED] [-t TIMES] LIST FOLDER\n");
        return 2;
    }
    vf_buf_init(&text, LIST_MAX);
    if (vf_file_read(argv[optind], LIST_MAX - 1, &text, &why) != VF_OK) {
        (void)fprintf(stderr, "bench-reader: %s\n", why.text);
        return 1;
    }
    p.file = lines_of(&text, &p.files);
    if (p.files == 0 || p.files > FILES_MAX / p.times) {
        (void)fprintf(stderr, "bench-reader: %s: nothing to read, or too much\n", argv[optind]);
        return 1;
    }
    if (seed > 0)
        shuffle(p.file, p.files, seed);
    if (chdir(argv[optind + 1]) != 0)
        die(argv[optind + 1]);
    p.shared = shared_memory(sizeof(*p.shared));
    p.took_ns = shared_memory(p.files * p.times * sizeof(*p.took_ns));
    print(&p, run(&p));
    free(p.file);
    return 0;
}
