/* SPDX-License-Identifier: MIT */
/*
 * Ids that the desk's own log names, whether the database knows them or not. A database that was put back has never heard of a device that was
 * revoked since, nor of a grant that something was released of: when they are introduced again, the log's word counts.
 */
#include "desk_internal.h"

#include <stdlib.h>
#include <string.h>

#define STEP 64

void vf_desk_ids_done(struct vf_desk_ids *s)
{
    free(s->ids);
    *s = (struct vf_desk_ids){.len = s->len};
}

/* Where the id is, or belongs. */
static bool place_of(const struct vf_desk_ids *s, const void *id, size_t *ret)
{
    size_t low = 0, high = s->n;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int c = memcmp(id, s->ids + mid * s->len, s->len);
        if (c == 0) {
            *ret = mid;
            return true;
        }
        if (c < 0)
            high = mid;
        else
            low = mid + 1;
    }
    *ret = low;
    return false;
}

bool vf_desk_ids_has(const struct vf_desk_ids *s, const void *id)
{
    size_t at = 0;
    return place_of(s, id, &at);
}

enum vf_err vf_desk_ids_add(struct vf_desk_ids *s, const void *id, struct vf_why *why)
{
    size_t at = 0;

    if (place_of(s, id, &at))
        return VF_OK;
    if (s->n % STEP == 0) {
        uint8_t *more = reallocarray(s->ids, s->n + STEP, s->len);
        if (more == NULL)
            return vf_fail(why, VF_E_NOMEM, "out of memory");
        s->ids = more;
    }
    memmove(s->ids + (at + 1) * s->len, s->ids + at * s->len, (s->n - at) * s->len);
    memcpy(s->ids + at * s->len, id, s->len);
    s->n++;
    return VF_OK;
}

void vf_desk_ids_put(const struct vf_desk_ids *s, struct vf_buf *out)
{
    vf_buf_u32(out, (uint32_t)s->n);
    if (s->n > 0)
        vf_buf_put(out, s->ids, s->n * s->len);
}

bool vf_desk_ids_get(struct vf_desk_ids *s, struct vf_reader *r)
{
    uint8_t id[VF_HASH_LEN];
    uint32_t n = vf_reader_u32(r);

    for (uint32_t i = 0; i < n && !r->bad; i++) {
        vf_reader_copy(r, id, s->len);
        if (!r->bad && vf_desk_ids_add(s, id, NULL) != VF_OK)
            return false;
    }
    return !r->bad;
}

/* ------------------------------------------------------------------------------------------------------------- of one desk */

void vf_desk_named_init(struct vf_desk_named *m)
{
    (void)pthread_mutex_init(&m->lock, NULL);
    m->of[VF_DESK_NAMED_DEVICE].len = VF_HASH_LEN;
    m->of[VF_DESK_NAMED_GRANT].len = VF_GRANT_ID_LEN;
    m->of[VF_DESK_NAMED_LOST].len = VF_GRANT_ID_LEN;
}

void vf_desk_named_done(struct vf_desk_named *m)
{
    for (unsigned i = 0; i < VF_DESK_NAMED_COUNT; i++)
        vf_desk_ids_done(&m->of[i]);
    pthread_mutex_destroy(&m->lock);
}

bool vf_desk_named_has(struct vf_desk *d, enum vf_desk_named_as as, const void *id)
{
    pthread_mutex_lock(&d->named.lock);
    bool has = vf_desk_ids_has(&d->named.of[as], id);
    pthread_mutex_unlock(&d->named.lock);
    return has;
}

enum vf_err vf_desk_named_add(struct vf_desk *d, enum vf_desk_named_as as, const void *id, struct vf_why *why)
{
    pthread_mutex_lock(&d->named.lock);
    enum vf_err err = vf_desk_ids_add(&d->named.of[as], id, why);
    pthread_mutex_unlock(&d->named.lock);
    return err;
}

void vf_desk_named_put(struct vf_desk *d, struct vf_buf *out)
{
    struct vf_grant_id id;
    uint32_t n = 0;

    pthread_mutex_lock(&d->named.lock);
    vf_desk_ids_put(&d->named.of[VF_DESK_NAMED_DEVICE], out);
    vf_desk_ids_put(&d->named.of[VF_DESK_NAMED_GRANT], out);
    /* Of those that were introduced again and read, the rows of the snapshot tell. */
    const struct vf_desk_ids *lost = &d->named.of[VF_DESK_NAMED_LOST];
    size_t at = out->len;
    vf_buf_u32(out, 0);
    for (size_t i = 0; i < lost->n; i++) {
        memcpy(id.c, lost->ids + i * lost->len, sizeof(id.c));
        const struct vf_desk_grant *g = vf_desk_grant_find(d, &id);
        if (g != NULL && !g->owed)
            continue;
        vf_buf_put(out, id.c, sizeof(id.c));
        n++;
    }
    if (vf_buf_ok(out))
        vf_put_be32(out->data + at, n);
    pthread_mutex_unlock(&d->named.lock);
}

/* False also when a grant that was lost is known by now and nobody has read the log for it. */
bool vf_desk_named_get(struct vf_desk *d, struct vf_reader *r)
{
    struct vf_grant_id id;
    bool good = true;

    pthread_mutex_lock(&d->named.lock);
    for (unsigned i = 0; i < VF_DESK_NAMED_COUNT && good; i++)
        good = vf_desk_ids_get(&d->named.of[i], r);
    const struct vf_desk_ids *lost = &d->named.of[VF_DESK_NAMED_LOST];
    for (size_t i = 0; i < lost->n && good; i++) {
        memcpy(id.c, lost->ids + i * lost->len, sizeof(id.c));
        good = vf_desk_grant_find(d, &id) == NULL;
    }
    pthread_mutex_unlock(&d->named.lock);
    return good;
}

/* Revocations that were taken, of what is known here. */
void vf_desk_named_apply(struct vf_desk *d)
{
    for (size_t i = 0; i < d->ndevices; i++)
        if (vf_desk_named_has(d, VF_DESK_NAMED_DEVICE, d->devices[i]->enrol.id.b))
            atomic_store(&d->devices[i]->revoked, true);
    for (size_t i = 0; i < d->ngrants; i++)
        if (vf_desk_named_has(d, VF_DESK_NAMED_GRANT, d->grants[i]->g.id.c))
            atomic_store(&d->grants[i]->revoked, true);
}
