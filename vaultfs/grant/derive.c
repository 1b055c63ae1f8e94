/* SPDX-License-Identifier: MIT */
/*
 * Rows have fixed places in the three tables, so threads write theirs without talking to each other; they share only the number of the next
 * chunk and the first failure.
 */
#include "derive_record.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

#define THREADS_MAX 16u
#define CHUNK       128u

struct work {
    const struct vf_derive *d;
    const struct vf_derive_shares *shares; /* in the arena */
    struct vf_contents *c;
    uint8_t *manifest_rows, *envelope_rows, *catalogue_rows;
    pthread_mutex_t lock; /* of all below, and of opening views */
    uint32_t next, done;
    bool stop;
    uint32_t failed_at; /* the smallest row that failed */
    enum vf_err err;
    struct vf_why why;
};

void vf_contents_done(struct vf_contents *c)
{
    vf_buf_done(&c->manifest);
    vf_buf_done(&c->envelopes);
    vf_buf_done(&c->catalogue);
    vf_buf_done(&c->times);
    vf_buf_done(&c->sizes);
    vf_buf_done(&c->seen);
}

/* Chunks are given out in order and each is worked on to its end or its own failure, so the smallest failure is the first there is. */
static bool take_chunk(struct work *w, uint32_t *ret_from, uint32_t *ret_to)
{
    bool got = false;

    pthread_mutex_lock(&w->lock);
    if (!w->stop && w->next < w->c->n) {
        *ret_from = w->next;
        *ret_to = w->c->n - w->next > CHUNK ? w->next + CHUNK : w->c->n;
        w->next = *ret_to;
        got = true;
    }
    pthread_mutex_unlock(&w->lock);
    return got;
}

static void fail_at(struct work *w, uint32_t row, enum vf_err err, const struct vf_why *why)
{
    pthread_mutex_lock(&w->lock);
    if (w->err == VF_OK || row < w->failed_at) {
        w->err = err;
        w->why = *why;
        w->failed_at = row;
    }
    w->stop = true;
    pthread_mutex_unlock(&w->lock);
}

static enum vf_err do_row(struct work *w, struct vf_view *view, struct vf_derive_keys *keys, struct vf_buf *scratch,
                          uint32_t i, struct vf_why *why)
{
    const struct vf_grant_layout *l = &w->c->layout;
    const struct vf_derive_row row = {.manifest = w->manifest_rows + (size_t)i * l->manifest_stride,
                                      .envelopes = w->envelope_rows + (size_t)i * l->envelope_stride,
                                      .catalogue = w->catalogue_rows + (size_t)i * l->catalogue_stride,
                                      .times = w->c->times.data + (size_t)i * 8,
                                      .sizes = w->c->sizes.data + (size_t)i * l->nfields * 4,
                                      .seen = w->c->seen.data + i};

    return vf_derive_record(w->d, l, w->shares, view, keys, scratch, i, &row, why);
}

static void do_chunks(struct work *w, struct vf_view *view, struct vf_derive_keys *keys, struct vf_buf *scratch)
{
    uint32_t from;
    uint32_t to;

    while (take_chunk(w, &from, &to)) {
        for (uint32_t i = from; i < to; i++) {
            struct vf_why why = {0};
            enum vf_err err = do_row(w, view, keys, scratch, i, &why);
            if (err == VF_OK)
                continue;
            fail_at(w, i, err, &why);
            return;
        }
        pthread_mutex_lock(&w->lock);
        w->done += to - from;
        if (w->d->progress != NULL)
            w->d->progress(w->d->user, w->done, w->c->n);
        pthread_mutex_unlock(&w->lock);
    }
}

static void *worker(void *user)
{
    struct work *w = user;
    VF_VIEW view = NULL;
    VF_BUF scratch = {0};
    struct vf_why why = {0};

    struct vf_derive_keys *keys = vf_secret_new(sizeof(*keys));
    vf_buf_init(&scratch, VF_GRANT_SCRATCH_MAX);
    pthread_mutex_lock(&w->lock);
    enum vf_err err = vf_view_open(w->d->v, &view, &why);
    pthread_mutex_unlock(&w->lock);
    if (keys == NULL)
        err = vf_fail(&why, VF_E_LOCKED_MEMORY, "no locked memory left for the keys of a record");
    if (err != VF_OK)
        fail_at(w, 0, err, &why);
    else
        do_chunks(w, view, keys, &scratch);
    vf_secret_free(keys);
    return NULL;
}

static unsigned thread_count(uint32_t n)
{
    unsigned want = vf_processors() > THREADS_MAX ? THREADS_MAX : vf_processors();
    unsigned useful = n / CHUNK + 1;

    return want < useful ? want : useful;
}

/* The calling thread works too; a thread that cannot be had is one less. */
static void run(struct work *w)
{
    pthread_t threads[THREADS_MAX];
    unsigned started = 0;
    unsigned want = thread_count(w->c->n);

    while (started + 1 < want && pthread_create(&threads[started], NULL, worker, w) == 0)
        started++;
    worker(w);
    for (unsigned i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
}

/* Heads in place, rows zeroed. `plain` is the catalogue before it is sealed. */
static enum vf_err lay_out(const struct vf_derive *d, struct vf_contents *c, struct vf_buf *plain, struct work *w,
                           struct vf_why *why)
{
    const struct vf_grant_layout *l = &c->layout;
    size_t env = vf_envelopes_size(l, c->n);

    vf_buf_init(&c->manifest, VF_MANIFEST_MAX);
    vf_manifest_put_head(&c->manifest, &d->g->vault, c->n, d->g->fields);
    w->manifest_rows = vf_buf_grow(&c->manifest, (size_t)c->n * l->manifest_stride);
    vf_buf_init(&c->envelopes, env);
    uint8_t *head = vf_buf_grow(&c->envelopes, env);
    vf_buf_init(&c->times, (size_t)c->n * 8);
    (void)vf_buf_grow(&c->times, (size_t)c->n * 8);
    vf_buf_init(&c->sizes, (size_t)c->n * l->nfields * 4);
    (void)vf_buf_grow(&c->sizes, c->sizes.max);
    vf_buf_init(&c->seen, c->n);
    (void)vf_buf_grow(&c->seen, c->n);
    vf_buf_init(plain, 4 + (size_t)c->n * l->catalogue_stride);
    vf_buf_u32(plain, c->n);
    w->catalogue_rows = vf_buf_grow(plain, (size_t)c->n * l->catalogue_stride);
    VF_TRY(vf_buf_check(&c->manifest, "the manifest", why));
    VF_TRY(vf_buf_check(&c->envelopes, "the envelopes", why));
    VF_TRY(vf_buf_check(&c->times, "the times", why));
    VF_TRY(vf_buf_check(&c->sizes, "the sizes", why));
    VF_TRY(vf_buf_check(&c->seen, "the records", why));
    VF_TRY(vf_buf_check(plain, "the catalogue", why));
    vf_envelopes_put_head(head, &d->g->id, l, c->n);
    w->envelope_rows = head + VF_ENVELOPES_HEAD;
    return VF_OK;
}

/* The rows of table `b`, which has `n` of them at its end, without those of records that stay out. */
static void close_up(struct vf_buf *b, size_t stride, const struct vf_buf *seen)
{
    uint8_t *rows = b->data + (b->len - seen->len * stride);
    size_t kept = 0;

    for (size_t i = 0; i < seen->len; i++) {
        if ((seen->data[i] & VF_SEEN_LEFT_OUT) != 0)
            continue;
        if (kept < i)
            memmove(rows + kept * stride, rows + i * stride, stride);
        kept++;
    }
    b->len -= (seen->len - kept) * stride;
}

static void leave_out(const struct vf_derive *d, struct vf_contents *c, struct vf_buf *plain)
{
    const struct vf_grant_layout *l = &c->layout;

    c->left_protected = vf_contents_count(c, VF_SEEN_PROTECTED);
    c->left_leavers = vf_contents_count(c, VF_SEEN_LEFT_OUT) - c->left_protected;
    if (c->left_protected + c->left_leavers == 0)
        return;
    close_up(&c->manifest, l->manifest_stride, &c->seen);
    close_up(&c->envelopes, l->envelope_stride, &c->seen);
    close_up(plain, l->catalogue_stride, &c->seen);
    close_up(&c->times, 8, &c->seen);
    close_up(&c->sizes, (size_t)l->nfields * 4, &c->seen);
    c->n -= (uint32_t)(c->left_protected + c->left_leavers);
    size_t kept = 0;
    for (size_t i = 0; i < c->seen.len; i++)
        if ((c->seen.data[i] & VF_SEEN_LEFT_OUT) == 0)
            c->seen.data[kept++] = c->seen.data[i];
    c->seen.len = kept;
    vf_put_be32(c->manifest.data + VF_MAGIC_LEN + VF_VAULT_ID_LEN, c->n);
    vf_envelopes_put_head(c->envelopes.data, &d->g->id, l, c->n);
    vf_put_be32(plain->data, c->n);
}

static enum vf_err seal_catalogue(const struct vf_derive *d, const struct vf_grant_share *gs, struct vf_contents *c,
                                  const struct vf_buf *plain, struct vf_why *why)
{
    size_t size = vf_catalogue_size(&c->layout, c->n);
    struct vf_catalogue_key ck;

    vf_buf_init(&c->catalogue, size);
    uint8_t *out = vf_buf_grow(&c->catalogue, size);
    VF_TRY(vf_buf_check(&c->catalogue, "the catalogue", why));
    vf_catalogue_put_head(out, &d->g->id);
    vf_kdf_catalogue_key(gs, &d->g->id, &ck);
    vf_catalogue_seal(&ck, &d->g->vault, &d->g->id, plain->data, plain->len, out + VF_CATALOGUE_HEAD);
    vf_wipe(&ck, sizeof(ck));
    return VF_OK;
}

enum vf_err vf_contents_derive(const struct vf_derive *d, struct vf_contents *ret, struct vf_why *why)
{
    VF_CONTENTS c = {.n = d->n};
    VF_BUF plain = {0};
    VF_SECRET struct vf_derive_shares *shares = vf_secret_new(sizeof(*shares));
    struct work w = {.d = d, .shares = shares, .c = &c, .lock = PTHREAD_MUTEX_INITIALIZER};

    if (shares == NULL)
        return vf_fail(why, VF_E_LOCKED_MEMORY, "no locked memory left for the share of a grant");
    if (d->n > VF_GRANT_RECORDS_MAX)
        return vf_fail(why, VF_E_LIMIT, "%u records are more than one grant can name; make several", (unsigned)d->n);
    vf_grant_layout_of(d->g->fields, &c.layout);
    VF_TRY(vf_vault_grant_share(d->v, &d->g->id, &shares->gs, why));
    if (d->g->release == VF_RELEASE_ONLINE)
        VF_TRY(vf_vault_release_secret(d->v, &d->g->id, &shares->secret, why));
    VF_TRY(lay_out(d, &c, &plain, &w, why));
    run(&w);
    pthread_mutex_destroy(&w.lock);
    if (w.err != VF_OK) {
        if (why != NULL)
            *why = w.why;
        return w.err;
    }
    if (d->leave_out)
        leave_out(d, &c, &plain);
    VF_TRY(seal_catalogue(d, &shares->gs, &c, &plain, why));
    *ret = c;
    c = (struct vf_contents){0};
    return VF_OK;
}

void vf_contents_hash(const struct vf_contents *c, struct vf_grant *g)
{
    vf_sha256(c->manifest.data, c->manifest.len, &g->manifest_hash);
    vf_sha256(c->envelopes.data, c->envelopes.len, &g->envelopes_hash);
    vf_sha256(c->catalogue.data, c->catalogue.len, &g->catalogue_hash);
}

uint64_t vf_contents_count(const struct vf_contents *c, uint8_t seen)
{
    uint64_t n = 0;

    for (uint32_t i = 0; i < c->n; i++)
        n += (c->seen.data[i] & seen) != 0;
    return n;
}
