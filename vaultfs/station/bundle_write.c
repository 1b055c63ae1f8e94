/* SPDX-License-Identifier: MIT */
/*
 * The writer of a delivery: a thread of its own, so that one chunk goes to the disk while the values of the next are read and hashed. One chunk
 * is on its way at most. Where there is no thread to be had the caller writes.
 */
#include "bundle_write.h"

#include <signal.h>
#include <string.h>

static size_t chunk_max = VF_BUNDLE_CHUNK_MAX;

size_t vf_bundle_chunk_max(size_t bytes)
{
    size_t old = chunk_max;
    chunk_max = bytes < VF_BUNDLE_CHUNK_MAX ? bytes : VF_BUNDLE_CHUNK_MAX;
    return old;
}

static enum vf_err write_chunk(struct vf_txn *txn, void *user, struct vf_why *why)
{
    const struct vf_bundle_chunk *c = user;
    struct vf_reader r = vf_reader_of(c->rows.data, c->rows.len);
    (void)why;
    while (r.left > 0 && !r.bad && !vf_txn_error(txn)) {
        const uint8_t *key = vf_reader_view(&r, VF_VALUE_KEY_LEN);
        uint32_t len = vf_reader_u32(&r);
        const uint8_t *sealed = vf_reader_view(&r, len);
        if (r.bad)
            break;
        uint8_t *at = vf_txn_reserve(txn, VF_ST_VALUE, key, VF_VALUE_KEY_LEN, VF_VALUE_ROW_PREFIX + len);
        if (!at)
            break;
        vf_put_be64(at, c->batch);
        memcpy(at + VF_VALUE_ROW_PREFIX, sealed, len);
    }
    if (c->last) {
        uint8_t key[8], val[8];
        vf_put_be64(key, c->batch);
        vf_put_be64(val, (uint64_t)c->now_us);
        vf_txn_put(txn, VF_ST_BATCH, key, sizeof(key), val, sizeof(val));
    }
    return VF_OK;
}

static enum vf_err put_chunk(struct vf_station *st, struct vf_bundle_chunk *c, struct vf_why *why)
{
    VF_TRY(vf_buf_check(&c->rows, "the delivery", why));
    VF_TRY(vf_store_update(st->store, write_chunk, c, why));
    c->rows.len = 0; /* ciphertext: nothing to wipe */
    return VF_OK;
}

static void *writer_main(void *user)
{
    struct vf_bundle_writer *w = user;
    pthread_mutex_lock(&w->lock);
    for (;;) {
        while (!w->given && !w->stop)
            pthread_cond_wait(&w->changed, &w->lock);
        if (!w->given)
            break;
        struct vf_bundle_chunk *c = w->given;
        struct vf_why why = {0};
        pthread_mutex_unlock(&w->lock);
        enum vf_err err = put_chunk(w->st, c, &why);
        pthread_mutex_lock(&w->lock);
        w->given = NULL;
        if (err && !w->err) {
            w->err = err;
            w->why = why;
        }
        pthread_cond_broadcast(&w->changed);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

void vf_bundle_writer_start(struct vf_bundle_writer *w, struct vf_station *st, uint64_t batch, uint64_t most_bytes,
                            uint32_t most_values)
{
    static const size_t max = (size_t)VF_BUNDLE_CHUNK_MAX + VF_VALUE_MAX + 65536;
    uint64_t all_of_it = most_bytes + (uint64_t)most_values * (VF_VALUE_KEY_LEN + 4);
    sigset_t all, old;
    *w = (struct vf_bundle_writer){.st = st, .filling = &w->chunk[0], .room = all_of_it < max ? (size_t)all_of_it : max};
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->changed, NULL);
    for (int i = 0; i < 2; i++) {
        w->chunk[i].batch = batch;
        vf_buf_init(&w->chunk[i].rows, max);
    }
    (void)sigfillset(&all); /* signals are the other threads' business */
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    w->threaded = pthread_create(&w->thread, NULL, writer_main, w) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
}

/* Until nothing is on its way; the first failure, if there was one. */
static enum vf_err settle(struct vf_bundle_writer *w, struct vf_why *why)
{
    pthread_mutex_lock(&w->lock);
    while (w->given)
        pthread_cond_wait(&w->changed, &w->lock);
    enum vf_err err = w->err;
    if (err && why)
        *why = w->why;
    pthread_mutex_unlock(&w->lock);
    return err;
}

static enum vf_err give(struct vf_bundle_writer *w, struct vf_why *why)
{
    VF_TRY(settle(w, why));
    if (!w->threaded)
        return put_chunk(w->st, w->filling, why);
    pthread_mutex_lock(&w->lock);
    w->given = w->filling;
    w->filling = w->filling == &w->chunk[0] ? &w->chunk[1] : &w->chunk[0];
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
    return VF_OK;
}

enum vf_err vf_bundle_writer_put(struct vf_bundle_writer *w, const uint8_t key[VF_VALUE_KEY_LEN], const uint8_t *sealed,
                                 uint32_t len, struct vf_why *why)
{
    struct vf_buf *rows = &w->filling->rows;
    /* All of it at once: a buffer that grows is copied and wiped at each step. */
    if (!rows->data)
        (void)vf_buf_reserve(rows, w->room);
    vf_buf_put(rows, key, VF_VALUE_KEY_LEN);
    vf_buf_u32(rows, len);
    vf_buf_put(rows, sealed, len);
    return rows->len >= chunk_max ? give(w, why) : VF_OK;
}

enum vf_err vf_bundle_writer_settle(struct vf_bundle_writer *w, struct vf_why *why)
{
    return settle(w, why);
}

enum vf_err vf_bundle_writer_finish(struct vf_bundle_writer *w, int64_t now_us, struct vf_why *why)
{
    w->filling->last = true;
    w->filling->now_us = now_us;
    VF_TRY(give(w, why));
    return settle(w, why);
}

void vf_bundle_writer_done(struct vf_bundle_writer *w)
{
    if (!w->st)
        return;
    if (w->threaded) {
        pthread_mutex_lock(&w->lock);
        w->stop = true;
        pthread_cond_broadcast(&w->changed);
        pthread_mutex_unlock(&w->lock);
        pthread_join(w->thread, NULL);
    }
    vf_buf_done(&w->chunk[0].rows);
    vf_buf_done(&w->chunk[1].rows);
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->lock);
    w->st = NULL;
}
