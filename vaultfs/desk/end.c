/* SPDX-License-Identifier: MIT */
/*
 * How a one-time key ends:
 *
 *   1. it is marked as dead in memory; no answer under way uses it any more when that is done (batch->gate)
 *   2. the tombstone, durable in the database: from here on it is dead whatever its slot says
 *   3. its slot is overwritten in place, durable
 *   4. the entry, durable
 *   5. the tombstone says that 3 and 4 are done
 *
 * A crash between 2 and 5 is made good at opening: 3 to 5 again. A slot that was put back from a backup is overwritten again likewise. What fails
 * is tried again every second, and dead all the while. Who destroys holds take_lock too: what is known does not change meanwhile.
 */
#include "desk_internal.h"

#include <stdlib.h>
#include <string.h>

struct ending {
    struct vf_desk_batch *batch;
    uint32_t number; /* VF_DESK_WHOLE_BATCH: all of them */
    enum vf_prekey_end end;
    struct vf_desk_grant *grant; /* NULL: not known here */
    struct vf_grant_id id;       /* zeroes: of none */
    int64_t time_us;
};

/* --------------------------------------------------------------------------------------------------------------------- in memory */

void vf_desk_batch_mark(struct vf_desk_batch *b, uint32_t number, enum vf_prekey_end end)
{
    pthread_rwlock_wrlock(&b->gate);
    for (uint32_t i = 0; i < b->count; i++)
        if ((number == VF_DESK_WHOLE_BATCH || i == number) && b->dead[i] == 0)
            b->dead[i] = (uint8_t)end;
    b->over |= number == VF_DESK_WHOLE_BATCH;
    pthread_rwlock_unlock(&b->gate);
}

void vf_desk_mark_dead(struct vf_desk *d, uint32_t batch, uint32_t number, enum vf_prekey_end end)
{
    pthread_rwlock_rdlock(&d->lock);
    struct vf_desk_batch *b = vf_desk_batch_find(d, batch);
    pthread_rwlock_unlock(&d->lock);
    if (b != NULL)
        vf_desk_batch_mark(b, number, end);
}

enum vf_err vf_desk_prekey_live(const struct vf_desk_batch *b, uint32_t number, struct vf_why *why)
{
    if (b == NULL || number >= b->count)
        return vf_fail(why, VF_E_EXPIRED, "the one-time key of this grant is not on this desk any more");
    if (b->dead[number] == VF_PREKEY_REVOKED)
        return vf_fail(why, VF_E_REVOKED, "the force has revoked this grant");
    if (b->dead[number] != 0)
        return vf_fail(why, VF_E_EXPIRED, "the one-time key of this grant was destroyed: %s",
                       vf_prekey_end_text((enum vf_prekey_end)b->dead[number]));
    return VF_OK;
}

/* ------------------------------------------------------------------------------------------------------------------ on the disk */

static void tombstone_put(const struct ending *e, bool done, uint8_t key[8], uint8_t row[VF_DESK_TOMBSTONE_LEN])
{
    vf_put_be32(key, e->batch->number);
    vf_put_be32(key + 4, e->number);
    row[0] = VF_DESK_ROW_VERSION;
    row[1] = done;
    row[2] = (uint8_t)e->end;
    vf_put_be64(row + 3, (uint64_t)e->time_us);
    memcpy(row + 11, e->id.c, VF_GRANT_ID_LEN);
}

/* The grant's row keeps how much was released; its bits go, and the records' refs unless another live grant has the same ones. */
static size_t grant_changes(struct vf_desk *d, struct vf_desk_grant *g, struct vf_buf *row, struct vf_desk_change out[3],
                            struct vf_why *why)
{
    bool found = false, shared = false;
    size_t n = 0;

    out[n++] = (struct vf_desk_change){.table = VF_DT_RELEASED, .key = g->g.id.c, .key_len = sizeof(g->g.id.c)};
    if (vf_desk_store_get(d->store, VF_DT_GRANT, g->g.id.c, sizeof(g->g.id.c), row, &found, why) == VF_OK && found &&
        row->len > VF_DESK_GRANT_HEAD) {
        pthread_mutex_lock(&g->bits_lock);
        vf_put_be64(row->data + 9, g->count[VF_PART_TEXT]);
        vf_put_be64(row->data + 17, g->count[VF_PART_IMAGE]);
        pthread_mutex_unlock(&g->bits_lock);
        out[n++] = (struct vf_desk_change){VF_DT_GRANT, g->g.id.c, sizeof(g->g.id.c), row->data, row->len};
    }
    for (size_t i = 0; i < d->ngrants; i++)
        shared |= d->grants[i] != g && d->grants[i]->refs != NULL &&
                  memcmp(&d->grants[i]->g.manifest_hash, &g->g.manifest_hash, sizeof(g->g.manifest_hash)) == 0;
    if (!shared)
        out[n++] = (struct vf_desk_change){
            .table = VF_DT_REFS, .key = g->g.manifest_hash.b, .key_len = sizeof(g->g.manifest_hash.b)};
    return n;
}

static enum vf_err tombstone(struct vf_desk *d, const struct ending *e, struct vf_why *why)
{
    uint8_t key[8], row[VF_DESK_TOMBSTONE_LEN];
    VF_BUF grant = {.max = VF_DESK_GRANT_HEAD + VF_NOTE_MAX};
    struct vf_desk_change changes[4];
    size_t n = 1;

    tombstone_put(e, false, key, row);
    changes[0] = (struct vf_desk_change){VF_DT_TOMBSTONE, key, sizeof(key), row, sizeof(row)};
    if (e->grant != NULL && e->grant->refs != NULL)
        n += grant_changes(d, e->grant, &grant, changes + 1, why);
    return vf_desk_store_commit(d->store, changes, n, why);
}

static enum vf_err tell_end(struct vf_desk *d, const struct ending *e, struct vf_why *why)
{
    char object[48], number[16] = "all";
    const struct vf_grant *g = e->grant != NULL ? &e->grant->g : NULL;
    const bool of_one = e->id.c[0] != '\0';
    const struct vf_entry entry = {.event = e->end == VF_PREKEY_REVOKED ? VF_EVENT_REVOKE : VF_EVENT_EXPIRE,
                                   .grant = of_one ? &e->id : NULL,
                                   .job = g != NULL ? g->job : NULL,
                                   .recipient = g != NULL ? g->recipient : NULL,
                                   .part = -1,
                                   .object = object,
                                   .result = "ok"};

    if (e->number != VF_DESK_WHOLE_BATCH)
        (void)snprintf(number, sizeof(number), "%u", e->number);
    (void)snprintf(object, sizeof(object), VF_DESK_LOG_PREKEY "%u/%s", e->batch->number, number);
    return vf_desk_tell_now(d, &entry, why);
}

static enum vf_err overwrite(const struct ending *e, struct vf_why *why)
{
    return e->number == VF_DESK_WHOLE_BATCH ? vf_prekeys_destroy_all(e->batch->file, e->end, e->time_us, why)
                                            : vf_prekeys_destroy(e->batch->file, e->number, e->end, e->time_us, why);
}

/* Steps 3 to 5. */
static enum vf_err finish(struct vf_desk *d, const struct ending *e, struct vf_why *why)
{
    uint8_t key[8], row[VF_DESK_TOMBSTONE_LEN];

    VF_TRY(overwrite(e, why));
    VF_TRY(tell_end(d, e, why));
    tombstone_put(e, true, key, row);
    const struct vf_desk_change change = {VF_DT_TOMBSTONE, key, sizeof(key), row, sizeof(row)};
    return vf_desk_store_commit(d->store, &change, 1, why);
}

/* take_lock and end_lock are held. */
static enum vf_err destroy(struct vf_desk *d, const struct ending *e, struct vf_why *why)
{
    vf_desk_batch_mark(e->batch, e->number, e->end);
    enum vf_err err = tombstone(d, e, why);
    if (err != VF_OK) {
        /* A slot that is overwritten is durable without it, and wants no room on the disk; what is missing is made good later. */
        if (err == VF_E_DISK_FULL)
            vf_desk_reserve_give(d);
        enum vf_err ignored = overwrite(e, NULL);
        (void)ignored;
        return err;
    }
    err = finish(d, e, why);
    if (err == VF_OK && e->grant != NULL) {
        pthread_rwlock_wrlock(&d->lock);
        vf_desk_refs_put(e->grant->refs);
        e->grant->refs = NULL;
        pthread_rwlock_unlock(&d->lock);
    }
    return err;
}

/* ------------------------------------------------------------------------------------------------------------------- at opening */

struct tombstones {
    struct vf_desk *d;
    struct ending *list;
    bool *done;
    size_t n;
};

static enum vf_err collect(void *user, struct vf_slice key, struct vf_slice val, struct vf_why *why)
{
    struct tombstones *t = user;
    struct vf_desk_batch *b = vf_desk_batch_find(t->d, vf_get_be32(key.data));
    struct ending e = {.batch = b,
                       .number = vf_get_be32(key.data + 4),
                       .end = (enum vf_prekey_end)val.data[2],
                       .time_us = (int64_t)vf_get_be64(val.data + 3)};

    if (b == NULL || (e.number >= b->count && e.number != VF_DESK_WHOLE_BATCH)) /* its file is gone: so is the key */
        return VF_OK;
    memcpy(e.id.c, val.data + 11, VF_GRANT_ID_LEN);
    e.grant = vf_desk_grant_find(t->d, &e.id);
    struct ending *list = reallocarray(t->list, t->n + 1, sizeof(*list));
    if (list != NULL)
        t->list = list;
    bool *done = reallocarray(t->done, t->n + 1, sizeof(*done));
    if (done != NULL)
        t->done = done;
    if (list == NULL || done == NULL)
        return vf_fail(why, VF_E_NOMEM, "out of memory");
    t->list[t->n] = e;
    t->done[t->n] = val.data[1] != 0;
    t->n++;
    return VF_OK;
}

/*
 * Keys that are dead by database or log, and whose slot holds something all the same: put back from a backup, or left by a crash. Database, slot
 * and entry again, as if they had never been destroyed.
 */
static enum vf_err destroy_again(struct vf_desk *d, struct vf_desk_batch *b, struct vf_why *why)
{
    struct vf_prekey_slot slot;
    int64_t now_us = 0;

    (void)vf_desk_clock_now(d, &now_us, NULL);
    for (uint32_t i = 0; i < b->count; i++) {
        if (b->dead[i] == 0 || (vf_prekeys_slot(b->file, i, &slot, NULL) == VF_OK && slot.state == VF_PREKEY_DESTROYED))
            continue;
        if (b->over) { /* all of them at once */
            const struct ending all = {
                .batch = b, .number = VF_DESK_WHOLE_BATCH, .end = VF_PREKEY_LAST_DAY, .time_us = now_us};
            return destroy(d, &all, why);
        }
        struct ending e = {.batch = b, .number = i, .end = (enum vf_prekey_end)b->dead[i], .time_us = now_us};
        e.grant = b->owner[i];
        if (e.grant != NULL)
            e.id = e.grant->g.id;
        VF_TRY(destroy(d, &e, why));
    }
    return VF_OK;
}

/* take_lock and end_lock are held. */
static enum vf_err recover(struct vf_desk *d, struct vf_why *why)
{
    struct tombstones t = {.d = d};
    enum vf_err err = vf_desk_store_each(d->store, VF_DT_TOMBSTONE, collect, &t, why);

    for (size_t i = 0; i < t.n && err == VF_OK; i++) {
        if (!t.done[i])
            err = finish(d, &t.list[i], why);
    }
    for (size_t i = 0; i < d->nbatches && err == VF_OK; i++)
        err = destroy_again(d, d->batches[i], why);
    free(t.list);
    free(t.done);
    return err;
}

/* ----------------------------------------------------------------------------------------------------------------- who is due */

/* Grants whose key is there although it should not be: `ret` takes them. Those of the clock only when it is believed. */
static enum vf_err due_grants(struct vf_desk *d, int64_t now_us, bool ready, struct ending **ret, size_t *ret_n,
                              struct vf_why *why)
{
    size_t n = 0;
    int64_t next = INT64_MAX;

    pthread_rwlock_rdlock(&d->lock);
    struct ending *list = calloc(d->ngrants + 1, sizeof(*list));
    for (size_t i = 0; i < d->ngrants && list != NULL; i++) {
        struct vf_desk_grant *g = d->grants[i];
        bool revoked = atomic_load(&g->revoked) || atomic_load(&g->device->revoked);
        if (g->refs == NULL || g->batch == NULL)
            continue;
        bool over = now_us >= g->end_us;
        if (!over && g->end_us < next)
            next = g->end_us;
        if (revoked || (over && ready))
            list[n++] = (struct ending){.batch = g->batch,
                                        .number = g->g.prekey_number,
                                        .end = revoked ? VF_PREKEY_REVOKED : VF_PREKEY_ENDED,
                                        .grant = g,
                                        .id = g->g.id,
                                        .time_us = now_us};
    }
    for (size_t i = 0; i < d->nbatches; i++)
        if (!d->batches[i]->over && d->batches[i]->last_us > now_us && d->batches[i]->last_us < next)
            next = d->batches[i]->last_us;
    pthread_rwlock_unlock(&d->lock);
    if (list == NULL)
        return vf_fail(why, VF_E_NOMEM, "no memory for what has ended");
    atomic_store(&d->next_end_us, next);
    *ret = list;
    *ret_n = n;
    return VF_OK;
}

/* A batch whose last day is over; NULL: none. */
static struct vf_desk_batch *due_batch(struct vf_desk *d, int64_t now_us)
{
    struct vf_desk_batch *due = NULL;

    pthread_rwlock_rdlock(&d->lock);
    for (size_t i = 0; i < d->nbatches && due == NULL; i++)
        if (!d->batches[i]->over && now_us >= d->batches[i]->last_us)
            due = d->batches[i];
    pthread_rwlock_unlock(&d->lock);
    return due;
}

static enum vf_err end_batches(struct vf_desk *d, int64_t now_us, struct vf_why *why)
{
    for (;;) {
        struct vf_desk_batch *b = due_batch(d, now_us);
        if (b == NULL)
            return VF_OK;
        const struct ending e = {.batch = b, .number = VF_DESK_WHOLE_BATCH, .end = VF_PREKEY_LAST_DAY, .time_us = now_us};
        enum vf_err err = destroy(d, &e, why);
        if (err != VF_OK) {
            b->over = false; /* tried again; every key of it is dead meanwhile */
            return err;
        }
    }
}

static enum vf_err end_locked(struct vf_desk *d, struct vf_why *why)
{
    VF_FREE struct ending *list = NULL;
    struct vf_why one = {0};
    int64_t now_us = 0;
    size_t n = 0;
    bool ready = vf_desk_clock_now(d, &now_us, NULL);
    enum vf_err err = VF_OK, worst = VF_OK;

    if (atomic_load(&d->recover_due)) {
        worst = recover(d, &one);
        if (worst != VF_OK)
            return vf_fail(why, worst, "%s: a one-time key that has ended could not be destroyed yet: %s", d->path,
                           one.text);
        atomic_store(&d->recover_due, false);
    }
    if (!atomic_exchange(&d->ends_due, false) && now_us < atomic_load(&d->next_end_us))
        return VF_OK;
    worst = due_grants(d, now_us, ready, &list, &n, &one);
    for (size_t i = 0; i < n; i++) {
        err = destroy(d, &list[i], &one);
        worst = err != VF_OK ? err : worst;
    }
    err = ready ? end_batches(d, now_us, &one) : VF_OK;
    worst = err != VF_OK ? err : worst;
    if (worst == VF_OK)
        return VF_OK;
    atomic_store(&d->ends_due, true);
    return vf_fail(why, worst, "%s: a one-time key that has ended could not be destroyed yet: %s", d->path, one.text);
}

enum vf_err vf_desk_end(struct vf_desk *d, struct vf_why *why)
{
    pthread_mutex_lock(&d->take_lock);
    pthread_mutex_lock(&d->end_lock);
    enum vf_err err = end_locked(d, why);
    pthread_mutex_unlock(&d->end_lock);
    pthread_mutex_unlock(&d->take_lock);
    return err;
}

enum vf_err vf_desk_end_prekey(struct vf_desk *d, struct vf_desk_batch *b, uint32_t number, enum vf_prekey_end end,
                               const struct vf_grant_id *grant, struct vf_why *why)
{
    struct ending e = {.batch = b, .number = number, .end = end, .id = *grant};

    (void)vf_desk_clock_now(d, &e.time_us, NULL);
    pthread_mutex_lock(&d->end_lock);
    enum vf_err err = destroy(d, &e, why);
    pthread_mutex_unlock(&d->end_lock);
    return err;
}
