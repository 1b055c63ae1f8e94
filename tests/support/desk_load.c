/* SPDX-License-Identifier: MIT */
/*
 * Stations that ask a desk for shares, each in a thread, one record after the other, as fast as they get them: desk-load PART ROUNDS STATION...
 * PART is text or image; a station asks for its first ROUNDS records. Prints one JSON document: seconds, releases, failures, latencies in ms.
 */
#include <vaultfs/desk.h>

#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define STATIONS_MAX 128

static enum vf_part part;
static uint32_t rounds;
static pthread_barrier_t all_there;

struct one {
    pthread_t thread;
    const char *path;
    struct vf_station *station;
    struct vf_desk_client *client;
    struct vf_job **jobs;
    size_t njobs;
    double *took_ms;
    uint32_t done, failed;
    struct vf_why why;
};

static enum vf_err start(struct one *s)
{
    VF_TRY(vf_station_open(s->path, VF_STATION_MOUNT, NULL, &s->station, &s->why));
    const struct vf_desk_client_options opt = {.station = s->station};
    VF_TRY(vf_desk_client_new(&opt, &s->client, &s->why));
    VF_TRY(vf_station_jobs(s->station, &s->jobs, &s->njobs, &s->why));
    if (s->njobs == 0)
        return vf_fail(&s->why, VF_E_NOT_FOUND, "%s: no grant", s->path);
    s->took_ms = calloc(rounds, sizeof(*s->took_ms));
    return s->took_ms ? VF_OK : vf_fail(&s->why, VF_E_NOMEM, "out of memory");
}

static void *run(void *arg)
{
    struct one *s = arg;
    uint32_t n = vf_job_count(s->jobs[0]);
    (void)pthread_barrier_wait(&all_there);
    for (uint32_t i = 0; i < rounds && i < n; i++) {
        int64_t before = vf_clock_boot_us();
        if (vf_desk_client_get(s->client, s->jobs[0], i, part, NULL, 0, VF_DESK_WAIT_US, NULL, &s->why))
            s->failed++;
        else
            s->took_ms[s->done++] = (double)(vf_clock_boot_us() - before) / 1e3;
    }
    return NULL;
}

static void stop(struct one *s)
{
    vf_desk_client_free(s->client);
    for (size_t i = 0; i < s->njobs; i++)
        vf_job_unref(s->jobs[i]);
    free(s->jobs);
    if (s->station)
        (void)vf_station_close(s->station, NULL);
    free(s->took_ms);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void report(struct one *s, size_t n, double seconds)
{
    double *all = calloc((size_t)rounds * n + 1, sizeof(*all));
    size_t done = 0, failed = 0;
    const char *why = "";
    for (size_t i = 0; all && i < n; i++) {
        for (uint32_t j = 0; j < s[i].done; j++)
            all[done++] = s[i].took_ms[j];
        failed += s[i].failed;
        why = s[i].failed ? s[i].why.text : why;
    }
    if (all && done)
        qsort(all, done, sizeof(*all), by_size);
    json_t *doc = json_pack("{s:i,s:f,s:i,s:i,s:s,s:f,s:f,s:f}", "stations", (int)n, "seconds", seconds, "releases",
                            (int)done, "failures", (int)failed, "why", why, "p50_ms", all && done ? all[done / 2] : 0.0,
                            "p99_ms", all && done ? all[done * 99 / 100] : 0.0, "max_ms", all && done ? all[done - 1] : 0.0);
    (void)json_dumpf(doc, stdout, JSON_COMPACT);
    (void)printf("\n");
    json_decref(doc);
    free(all);
}

int main(int argc, char **argv)
{
    static struct one stations[STATIONS_MAX];
    struct vf_why why = {0};
    size_t n = argc > 3 ? (size_t)argc - 3 : 0;
    if (n == 0 || n > STATIONS_MAX || (strcmp(argv[1], "text") != 0 && strcmp(argv[1], "image") != 0))
        return 2;
    part = strcmp(argv[1], "text") == 0 ? VF_PART_TEXT : VF_PART_IMAGE;
    rounds = (uint32_t)strtoul(argv[2], NULL, 10);
    if (vf_crypto_init(64u * 1024 * 1024, &why) && vf_crypto_init(7u * 1024 * 1024, &why)) {
        (void)fprintf(stderr, "%s\n", why.text);
        return 1;
    }
    (void)pthread_barrier_init(&all_there, NULL, (unsigned)n + 1);
    for (size_t i = 0; i < n; i++) {
        stations[i].path = argv[3 + i];
        if (start(&stations[i])) {
            (void)fprintf(stderr, "%s\n", stations[i].why.text);
            return 1;
        }
    }
    for (size_t i = 0; i < n; i++)
        if (pthread_create(&stations[i].thread, NULL, run, &stations[i]))
            return 1;
    (void)pthread_barrier_wait(&all_there);
    int64_t began = vf_clock_boot_us();
    for (size_t i = 0; i < n; i++)
        (void)pthread_join(stations[i].thread, NULL);
    report(stations, n, (double)(vf_clock_boot_us() - began) / 1e6);
    for (size_t i = 0; i < n; i++)
        stop(&stations[i]);
    vf_crypto_done();
    return 0;
}
