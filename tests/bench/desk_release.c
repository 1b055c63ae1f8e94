/* SPDX-License-Identifier: MIT */
/*
 * Releases a second of a desk, without the network: desk-release [STATIONS] [THREADS] [SECONDS] [FOLDER]
 *
 * So many stations each ask for eight images at a time, in their own order, from so many threads; each request brings new log, each release is an
 * entry that is durable before the shares are made. Printed: answers and shares a second, p50 and p99 of an answer's time, memory, flushes of the disk's own
 * speed for comparison. FOLDER: where the store lies (a disk, not a memory filesystem); $TMPDIR otherwise.
 */
#include "../unit/desk_test.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define OFFICERS 900
#define WANTS    8
#define SAMPLES  200000

static struct desk_world w;
static struct vf_desk *d;
static struct desk_client *clients;
static unsigned nclients, nthreads, seconds;
static double samples[SAMPLES];
static atomic_uint nsamples;
static atomic_ullong shares, refused;

static double now_s(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* One request of `c`, `row` on; the time of the desk's part. */
static double ask(struct desk_client *c, uint32_t row)
{
    VF_BUF sealed = {0}, out = {.max = VF_ANSWER_MAX};
    struct vf_desk_outcome o;

    desk_client_works(c, 1);
    struct vf_request req = desk_request(c, false);
    for (uint32_t i = 0; i < WANTS; i++)
        desk_want(c, &req, (row + i) % OFFICERS, VF_PART_IMAGE);
    desk_request_seal(&w, c->b.device, &req, &sealed);
    double from = now_s();
    OK(vf_desk_answer(d, sealed.data, sealed.len, 0, false, &out, &o, why));
    double took = now_s() - from;
    if (o.status == VF_ANSWER_OK)
        c->known = req.log_size;
    else
        atomic_fetch_add(&refused, 1);
    atomic_fetch_add(&shares, o.shares);
    return took;
}

static void *work(void *arg)
{
    unsigned mine = (unsigned)(uintptr_t)arg;
    double until = now_s() + seconds;

    for (uint32_t row = 0; now_s() < until; row += WANTS) {
        for (unsigned i = mine; i < nclients; i += nthreads) {
            double took = ask(&clients[i], row);
            unsigned at = atomic_fetch_add(&nsamples, 1);
            if (at < SAMPLES)
                samples[at] = took;
        }
    }
    return NULL;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double flush_time(const char *dir)
{
    char path[500];
    double from = 0;

    (void)snprintf(path, sizeof(path), "%s/flush", dir);
    VF_FD fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    for (int i = 0; i < 60 && fd >= 0; i++) {
        if (i == 10)
            from = now_s();
        OK(vf_fd_pwrite(fd, "x", 1, (uint64_t)i * 512, path, why));
        OK(vf_fd_sync(fd, path, why));
    }
    return (now_s() - from) / 50;
}

int main(int argc, char **argv)
{
    nclients = argc > 1 ? (unsigned)atoi(argv[1]) : 50;
    nthreads = argc > 2 ? (unsigned)atoi(argv[2]) : 8;
    seconds = argc > 3 ? (unsigned)atoi(argv[3]) : 5;
    if (argc > 4)
        (void)setenv("TMPDIR", argv[4], 1);
    clients = calloc(nclients, sizeof(*clients));
    pthread_t *threads = calloc(nthreads, sizeof(*threads));
    if (clients == NULL || threads == NULL || nclients == 0 || nthreads == 0 || desk_set_up(NULL) != 0)
        return 1;
    desk_world_make(&w, OFFICERS, 1000, 0);
    d = desk_open(&w);
    desk_take_policy(&w, d);
    for (unsigned i = 0; i < nclients; i++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "station-%u", i);
        desk_client_make(&w, name, VF_DAY_US, 0, &clients[i]);
        desk_introduce(&w, d, &clients[i]);
    }
    double flush = flush_time(w.p.dir.path);
    double from = now_s();
    for (unsigned i = 0; i < nthreads; i++)
        if (pthread_create(&threads[i], NULL, work, (void *)(uintptr_t)i) != 0)
            return 1;
    for (unsigned i = 0; i < nthreads; i++)
        (void)pthread_join(threads[i], NULL);
    double took = now_s() - from;
    unsigned n = atomic_load(&nsamples);
    n = n < SAMPLES ? n : SAMPLES;
    qsort(samples, n, sizeof(samples[0]), by_size);
    struct rusage use;
    (void)getrusage(RUSAGE_SELF, &use);
    (void)printf("%u stations, %u threads, %.1f s: %.0f answers/s, %.0f shares/s, p50 %.2f ms, p99 %.2f ms, %ld MiB, %llu "
                 "refused; a flush takes %.2f ms\n",
                 nclients, nthreads, took, n / took, (double)atomic_load(&shares) / took, samples[n / 2] * 1e3,
                 samples[n - 1 - n / 100] * 1e3, use.ru_maxrss / 1024, (unsigned long long)atomic_load(&refused),
                 flush * 1e3);
    desk_close(d);
    for (unsigned i = 0; i < nclients; i++)
        desk_client_done(&clients[i]);
    desk_world_done(&w);
    free(clients);
    free(threads);
    return desk_tear_down(NULL);
}
