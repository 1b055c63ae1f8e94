/* SPDX-License-Identifier: MIT */
#include "server.h"

#include <stdlib.h>

/* Of a request, from its last header to its answer; the last is without end. */
static const struct {
    int64_t us;
    const char *text;
} buckets[] = {
    {1000, "0.001"},  {2500, "0.0025"}, {5000, "0.005"},  {10000, "0.01"}, {25000, "0.025"},
    {50000, "0.05"},  {100000, "0.1"},  {250000, "0.25"}, {500000, "0.5"}, {1000000, "1"},
    {2500000, "2.5"}, {5000000, "5"},   {10000000, "10"},
};
#define BUCKETS (sizeof(buckets) / sizeof(buckets[0]))

struct vf_figures {
    pthread_mutex_t lock;
    uint64_t answers[VF_ANSWER_COUNT], bad[VF_BAD_COUNT];
    uint64_t shares, fresh, entries, in, out;
    uint64_t took[BUCKETS + 1], took_us;
    struct vf_desk_status status;
    bool known;
    int64_t ticked_us; /* wall clock */
};

struct vf_figures *vf_figures_new(void)
{
    struct vf_figures *f = calloc(1, sizeof(*f));
    if (f)
        pthread_mutex_init(&f->lock, NULL);
    return f;
}

void vf_figures_free(struct vf_figures *f)
{
    if (!f)
        return;
    pthread_mutex_destroy(&f->lock);
    free(f);
}

void vf_figures_answer(struct vf_figures *f, const struct vf_desk_outcome *o, size_t in, size_t out, int64_t took_us)
{
    size_t b = 0;
    while (b < BUCKETS && took_us > buckets[b].us)
        b++;
    pthread_mutex_lock(&f->lock);
    f->answers[o->status]++;
    f->shares += o->shares;
    f->fresh += o->fresh;
    f->entries += o->entries;
    f->in += in;
    f->out += out;
    f->took[b]++;
    f->took_us += (uint64_t)(took_us > 0 ? took_us : 0);
    pthread_mutex_unlock(&f->lock);
}

void vf_figures_bad(struct vf_figures *f, enum vf_bad what)
{
    pthread_mutex_lock(&f->lock);
    f->bad[what]++;
    pthread_mutex_unlock(&f->lock);
}

const char *vf_bad_text(enum vf_bad what)
{
    static const char *const texts[VF_BAD_COUNT] = {
        [VF_BAD_PATH] = "path",         [VF_BAD_METHOD] = "method",         [VF_BAD_LENGTH] = "length",
        [VF_BAD_UNOPENED] = "unopened", [VF_BAD_OTHER_DESK] = "other-desk", [VF_BAD_BUSY] = "busy",
        [VF_BAD_FAILED] = "failed",
    };
    return texts[what];
}

void vf_figures_status(struct vf_figures *f, const struct vf_desk_status *st, bool ticked)
{
    pthread_mutex_lock(&f->lock);
    f->status = *st;
    f->known = true;
    if (ticked)
        f->ticked_us = vf_clock_wall_us();
    pthread_mutex_unlock(&f->lock);
}

bool vf_figures_ready(struct vf_figures *f)
{
    pthread_mutex_lock(&f->lock);
    bool ready = f->known && f->status.ready;
    pthread_mutex_unlock(&f->lock);
    return ready;
}

/* -------------------------------------------------------------------------------------------------------------------- text */

static void head(struct vf_buf *out, const char *name, const char *type, const char *help)
{
    vf_buf_fmt(out, "# HELP vaultfs_desk_%s %s\n# TYPE vaultfs_desk_%s %s\n", name, help, name, type);
}

static void one(struct vf_buf *out, const char *name, const char *type, const char *help, uint64_t value)
{
    head(out, name, type, help);
    vf_buf_fmt(out, "vaultfs_desk_%s %llu\n", name, (unsigned long long)value);
}

static void labelled(struct vf_buf *out, const char *name, const char *label, const char *is, uint64_t value)
{
    vf_buf_fmt(out, "vaultfs_desk_%s{%s=\"%s\"} %llu\n", name, label, is, (unsigned long long)value);
}

static void put_requests(const struct vf_figures *f, struct vf_buf *out)
{
    uint64_t sum = 0;
    head(out, "answers_total", "counter", "Sealed answers, by their status.");
    for (unsigned i = 0; i < VF_ANSWER_COUNT; i++)
        labelled(out, "answers_total", "status", vf_answer_text((enum vf_answer_status)i), f->answers[i]);
    head(out, "refused_total", "counter", "Requests that got no answer, by what was wrong with them.");
    for (unsigned i = 0; i < VF_BAD_COUNT; i++)
        labelled(out, "refused_total", "why", vf_bad_text((enum vf_bad)i), f->bad[i]);
    one(out, "shares_total", "counter", "Shares in answers.", f->shares);
    one(out, "shares_first_total", "counter", "Of them, released for the first time.", f->fresh);
    one(out, "entries_total", "counter", "Entries of stations' logs taken in.", f->entries);
    one(out, "request_bytes_total", "counter", "Bytes of requests that were answered.", f->in);
    one(out, "answer_bytes_total", "counter", "Bytes of answers.", f->out);
    head(out, "request_seconds", "histogram", "From a request's last header to its answer.");
    for (size_t i = 0; i <= BUCKETS; i++) {
        sum += f->took[i];
        labelled(out, "request_seconds_bucket", "le", i < BUCKETS ? buckets[i].text : "+Inf", sum);
    }
    vf_buf_fmt(out, "vaultfs_desk_request_seconds_sum %.6f\nvaultfs_desk_request_seconds_count %llu\n",
               (double)f->took_us / 1e6, (unsigned long long)sum);
}

static void put_desk(const struct vf_figures *f, struct vf_buf *out)
{
    const struct vf_desk_status *st = &f->status;
    one(out, "ready", "gauge", "1: it releases; 0: clock or store want confirming.", f->known && st->ready);
    head(out, "prekeys", "gauge", "One-time keys, by state.");
    labelled(out, "prekeys", "state", "live", st->prekeys_live);
    labelled(out, "prekeys", "state", "destroyed", st->prekeys_destroyed);
    labelled(out, "prekeys", "state", "damaged", st->prekeys_damaged);
    head(out, "grants", "gauge", "Grants it knows, by state.");
    labelled(out, "grants", "state", "live", st->grants_live);
    labelled(out, "grants", "state", "ended", st->grants_ended);
    labelled(out, "grants", "state", "revoked", st->grants_revoked);
    one(out, "devices", "gauge", "Devices it knows.", st->devices);
    one(out, "log_entries", "gauge", "Entries of its own log.", st->log_size);
    head(out, "last_tick_seconds", "gauge", "When ends were last looked for, Unix time.");
    vf_buf_fmt(out, "vaultfs_desk_last_tick_seconds %.3f\n", (double)f->ticked_us / 1e6);
}

void vf_figures_put(struct vf_figures *f, const struct vf_guard_figures *g, uint64_t lost, struct vf_buf *out)
{
    pthread_mutex_lock(&f->lock);
    put_requests(f, out);
    put_desk(f, out);
    pthread_mutex_unlock(&f->lock);
    one(out, "connections", "gauge", "Connections.", g->connections);
    one(out, "requests_inside", "gauge", "Connections with a request under way.", g->inside);
    one(out, "lines_lost_total", "counter", "Lines of the log that nobody took.", lost);
    one(out, "bytes_held", "gauge", "Bytes of large requests and answers in memory.", g->held);
    one(out, "connections_cut_total", "counter", "Connections cut off: too slow, or to make room.", g->cut);
    one(out, "connections_refused_total", "counter", "Connections refused: too many.", g->refused);
}
