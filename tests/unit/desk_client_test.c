/* SPDX-License-Identifier: MIT */
#include "desk_client_test.h"

#include <time.h>
#include <unistd.h>

struct fake_world w;
struct vf_desk_client *client;
struct vf_job *job;
static char told[256];
static pthread_mutex_t told_lock = PTHREAD_MUTEX_INITIALIZER;

void client_tell(void *user, const char *text)
{
    (void)user;
    pthread_mutex_lock(&told_lock);
    (void)snprintf(told, sizeof(told), "%s", text);
    pthread_mutex_unlock(&told_lock);
}

/* Those who wait may be awake before it is told. */
bool client_was_told(const char *words)
{
    bool found = false;
    for (int i = 0; i < 100 && !found; i++) {
        pthread_mutex_lock(&told_lock);
        found = strstr(told, words) != NULL;
        pthread_mutex_unlock(&told_lock);
        if (!found)
            (void)usleep(20000);
    }
    return found;
}

void client_begin(uint64_t budget, const char *request, const char *answer)
{
    fake_world_make(&w, budget);
    const struct vf_desk_client_options opt = {
        .station = w.st, .request_path = request, .answer_path = answer, .tell = client_tell};
    if (!request)
        fake_desk_serve(&w.desk);
    OK(vf_desk_client_new(&opt, &client, why));
    job = job_of(w.st, "cards");
    told[0] = '\0';
}

void client_end(void)
{
    vf_job_unref(job);
    vf_desk_client_free(client);
    fake_world_done(&w);
}

enum vf_err client_get(uint32_t index, enum vf_part part)
{
    return vf_desk_client_get(client, job, index, part, NULL, 0, WAIT_US, NULL, why);
}

int64_t client_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void client_wait_for_requests(unsigned n)
{
    for (int i = 0; i < 100 && w.desk.requests < n; i++)
        (void)usleep(50000);
}

void *client_open_one(void *arg)
{
    struct client_opener *o = arg;
    struct vf_why mine;
    o->err = vf_desk_client_get(client, job, o->index, o->part, NULL, 0, WAIT_US, NULL, &mine);
    return NULL;
}
