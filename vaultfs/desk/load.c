/* SPDX-License-Identifier: MIT */
/* From the database into memory, at opening. What it holds was checked when it was taken, and signatures are checked again. */
#include "desk_internal.h"

#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------------------------------------------------------------ META */

static enum vf_err damaged(const struct vf_desk *d, const char *what, struct vf_why *why)
{
    return vf_fail(why, VF_E_DAMAGED,
                   "%s: the desk's database is damaged (%s): restore the store from its backup, or make a new desk", d->path,
                   what);
}

static enum vf_err meta_get(struct vf_desk *d, const char *key, size_t max, struct vf_buf *ret, struct vf_why *why)
{
    bool found = false;

    vf_buf_init(ret, max);
    VF_TRY(vf_desk_store_get(d->store, VF_DT_META, key, strlen(key), ret, &found, why));
    return found ? VF_OK : damaged(d, key, why);
}

enum vf_err vf_desk_load_head(struct vf_desk *d, bool *ret_cow_ok, struct vf_why *why)
{
    VF_BUF store = {0}, line = {0}, batches = {0}, cow = {0};

    VF_TRY(meta_get(d, "store", sizeof(d->store_id), &store, why));
    VF_TRY(meta_get(d, "desk", 1024, &line, why));
    VF_TRY(meta_get(d, "batches", 4, &batches, why));
    VF_TRY(meta_get(d, "cow", 1, &cow, why));
    if (store.len != sizeof(d->store_id) || batches.len != 4 || cow.len != 1)
        return damaged(d, "its head", why);
    if (vf_identity_pub_parse((const char *)line.data, line.len, &d->pub, NULL) != VF_OK || d->pub.role != VF_ROLE_DESK)
        return damaged(d, "whose it is", why);
    memcpy(d->store_id, store.data, sizeof(d->store_id));
    d->last_batch = vf_get_be32(batches.data);
    if (d->last_batch > VF_PREKEY_BATCH_MAX)
        return damaged(d, "its batches", why);
    *ret_cow_ok = cow.data[0] != 0;
    return VF_OK;
}

/* ----------------------------------------------------------------------------------------------------------------------- batches */

static void batch_free(struct vf_desk_batch *b)
{
    if (b == NULL)
        return;
    vf_prekeys_close(b->file);
    pthread_rwlock_destroy(&b->gate);
    free(b->dead);
    free(b->owner);
    free(b);
}

enum vf_err vf_desk_batch_open(struct vf_desk *d, uint32_t number, struct vf_desk_batch **ret, struct vf_why *why)
{
    VF_FREE char *file = NULL;
    VF_PREKEYS p = NULL;
    struct vf_prekey_slot slot;
    enum vf_err err = VF_OK;

    VF_TRY(vf_desk_batch_path(d->path, number, &file, why));
    VF_TRY(vf_prekeys_open(file, d->store_id, &p, why));
    if (vf_prekeys_batch(p) != number)
        return vf_fail(why, VF_E_DAMAGED, "%s: holds batch %u", file, vf_prekeys_batch(p));
    struct vf_desk_batch *b = calloc(1, sizeof(*b));
    if (b == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", file);
    b->number = number;
    b->count = vf_prekeys_count(p);
    b->last_us = vf_prekeys_last_us(p);
    vf_desk_rwlock_init(&b->gate);
    b->dead = calloc(b->count, 1);
    b->owner = calloc(b->count, sizeof(struct vf_desk_grant *));
    if (b->dead == NULL || b->owner == NULL)
        err = vf_fail(why, VF_E_NOMEM, "%s: out of memory", file);
    /* A slot that cannot be read opens nothing: it is dead, and overwritten as what was put back is (end.c). */
    for (uint32_t i = 0; i < b->count && err == VF_OK; i++) {
        if (vf_prekeys_slot(p, i, &slot, NULL) != VF_OK)
            b->dead[i] = VF_PREKEY_ENDED;
        else if (slot.state == VF_PREKEY_DESTROYED)
            b->dead[i] = (uint8_t)slot.end;
    }
    if (err != VF_OK) {
        batch_free(b);
        return err;
    }
    b->file = p;
    p = NULL;
    *ret = b;
    return VF_OK;
}

/* A batch whose file is gone has no keys any more: what is sealed to them stays closed. */
static enum vf_err load_batches(struct vf_desk *d, struct vf_why *why)
{
    for (uint32_t number = 1; number <= d->last_batch; number++) {
        struct vf_desk_batch *b = NULL;
        enum vf_err err = vf_desk_batch_open(d, number, &b, why);
        if (err == VF_E_NOT_FOUND)
            continue;
        VF_TRY(err);
        err = vf_desk_batch_add(d, b, why);
        if (err != VF_OK) {
            batch_free(b);
            return err;
        }
    }
    return VF_OK;
}

/* ------------------------------------------------------------------------------------------------------------------------- rows */

static enum vf_err load_policy(struct vf_desk *d, struct vf_why *why)
{
    VF_BUF bytes = {.max = VF_POLICY_MAX};
    bool found = false;

    VF_TRY(vf_desk_store_get(d->store, VF_DT_POLICY, "chain", 5, &bytes, &found, why));
    if (!found)
        return VF_OK;
    if (vf_policy_chain_parse(bytes.data, bytes.len, "the desk's policy", &d->policy, NULL) != VF_OK)
        return damaged(d, "its policy", why);
    return VF_OK;
}

static enum vf_err load_device(void *user, struct vf_slice key, struct vf_slice val, struct vf_why *why)
{
    struct vf_desk *d = user;
    VF_FREE struct vf_enrol *e = calloc(1, sizeof(*e));
    struct vf_desk_device *dev = NULL;

    if (e == NULL)
        return vf_fail(why, VF_E_NOMEM, "out of memory");
    if (val.len <= VF_DESK_DEVICE_HEAD || val.data[0] != VF_DESK_ROW_VERSION || key.len != VF_HASH_LEN ||
        vf_enrol_parse(val.data + VF_DESK_DEVICE_HEAD, val.len - VF_DESK_DEVICE_HEAD, "an enrolment", e, NULL) != VF_OK ||
        memcmp(e->id.b, key.data, VF_HASH_LEN) != 0)
        return damaged(d, "an enrolment", why);
    return vf_desk_device_add(d, e, false, (val.data[1] & VF_DESK_DEVICE_ALARM) != 0, &dev, why);
}

struct grant_rows { /* the store must not be called from its own callbacks */
    struct vf_desk *d;
    const struct vf_desk_ids *buried;
    struct vf_desk_refs **refs;
    size_t n;
};

static enum vf_err load_refs(void *user, struct vf_slice key, struct vf_slice val, struct vf_why *why)
{
    struct grant_rows *r = user;
    struct vf_hash manifest;

    if (key.len != VF_HASH_LEN || val.len % sizeof(struct vf_ref) != 0 ||
        val.len / sizeof(struct vf_ref) > VF_GRANT_RECORDS_MAX)
        return damaged(r->d, "the records of a grant", why);
    memcpy(manifest.b, key.data, VF_HASH_LEN);
    struct vf_desk_refs **more = reallocarray(r->refs, r->n + 1, sizeof(struct vf_desk_refs *));
    if (more == NULL)
        return vf_fail(why, VF_E_NOMEM, "out of memory");
    r->refs = more;
    r->refs[r->n] = vf_desk_refs_new(&manifest, val.data, (uint32_t)(val.len / sizeof(struct vf_ref)));
    if (r->refs[r->n] == NULL)
        return vf_fail(why, VF_E_NOMEM, "out of memory");
    r->n++;
    return VF_OK;
}

static struct vf_desk_refs *refs_for(const struct grant_rows *r, const struct vf_grant *g)
{
    for (size_t i = 0; i < r->n; i++) {
        if (memcmp(&r->refs[i]->manifest, &g->manifest_hash, sizeof(g->manifest_hash)) == 0 && r->refs[i]->n == g->records) {
            atomic_fetch_add(&r->refs[i]->users, 1);
            return r->refs[i];
        }
    }
    return NULL;
}

/* Signatures that the ruling policy does not count any more are no damage; a text that cannot be read is. */
static enum vf_err load_grant(void *user, struct vf_slice key, struct vf_slice val, struct vf_why *why)
{
    struct grant_rows *r = user;
    struct vf_desk *d = r->d;
    VF_FREE struct vf_grant *text = calloc(1, sizeof(*text));
    struct vf_desk_grant *g = NULL;
    struct vf_why one = {0};

    if (text == NULL)
        return vf_fail(why, VF_E_NOMEM, "out of memory");
    if (val.len <= VF_DESK_GRANT_HEAD || val.data[0] != VF_DESK_ROW_VERSION || key.len != VF_GRANT_ID_LEN)
        return damaged(d, "a grant", why);
    enum vf_err judged = vf_desk_grant_judge(d, val.data + VF_DESK_GRANT_HEAD, val.len - VF_DESK_GRANT_HEAD, text, &one);
    if (memcmp(text->id.c, key.data, VF_GRANT_ID_LEN) != 0)
        return damaged(d, "a grant", why);
    /* With its tombstone go its bits, whoever else has the same records: what its row says was released stays. */
    struct vf_desk_refs *refs = vf_desk_ids_has(r->buried, text->id.c) ? NULL : refs_for(r, text);
    enum vf_err err = vf_desk_grant_add(d, text, refs, &g, why);
    if (err != VF_OK) {
        vf_desk_refs_put(refs);
        return err == VF_E_NOT_FOUND ? damaged(d, "the enrolment of a grant is missing", why) : err;
    }
    g->agreed = judged == VF_OK;
    (void)snprintf(g->disagreed, sizeof(g->disagreed), "%.255s", g->agreed ? "" : one.text);
    vf_text_one_line(g->disagreed);
    for (unsigned part = 0; part < VF_PART_COUNT && refs == NULL; part++)
        g->count[part] = vf_get_be64(val.data + 9 + 8 * (size_t)part);
    return VF_OK;
}

static enum vf_err load_grants(struct vf_desk *d, const struct vf_desk_ids *buried, struct vf_why *why)
{
    struct grant_rows r = {.d = d, .buried = buried};
    enum vf_err err = vf_desk_store_each(d->store, VF_DT_REFS, load_refs, &r, why);

    if (err == VF_OK)
        err = vf_desk_store_each(d->store, VF_DT_GRANT, load_grant, &r, why);
    for (size_t i = 0; i < r.n; i++)
        vf_desk_refs_put(r.refs[i]);
    free(r.refs);
    return err;
}

/* A row is there because its note verified when it came. */
static enum vf_err load_revocation(void *user, struct vf_slice key, struct vf_slice val, struct vf_why *why)
{
    struct vf_desk *d = user;
    struct vf_hash id;
    struct vf_grant_id grant;

    (void)val;
    if (key.len == sizeof(id)) {
        memcpy(id.b, key.data, sizeof(id));
        struct vf_desk_device *dev = vf_desk_device_find(d, &id);
        if (dev != NULL)
            atomic_store(&dev->revoked, true);
    } else if (key.len == sizeof(grant)) {
        memcpy(grant.c, key.data, sizeof(grant));
        struct vf_desk_grant *g = vf_desk_grant_find(d, &grant);
        if (g != NULL)
            atomic_store(&g->revoked, true);
    } else {
        return damaged(d, "a revocation", why);
    }
    return VF_OK;
}

struct tombstones {
    struct vf_desk *d;
    struct vf_desk_ids buried; /* grants */
};

static enum vf_err load_tombstone(void *user, struct vf_slice key, struct vf_slice val, struct vf_why *why)
{
    struct tombstones *t = user;
    struct vf_desk *d = t->d;

    if (key.len != 8 || val.len != VF_DESK_TOMBSTONE_LEN || val.data[0] != VF_DESK_ROW_VERSION ||
        val.data[2] < VF_PREKEY_ENDED || val.data[2] > VF_PREKEY_LAST_DAY)
        return damaged(d, "a tombstone", why);
    struct vf_desk_batch *b = vf_desk_batch_find(d, vf_get_be32(key.data));
    if (b != NULL)
        vf_desk_batch_mark(b, vf_get_be32(key.data + 4), (enum vf_prekey_end)val.data[2]);
    return val.data[11] != 0 ? vf_desk_ids_add(&t->buried, val.data + 11, why) : VF_OK;
}

enum vf_err vf_desk_load(struct vf_desk *d, struct vf_why *why)
{
    VF_TRY(load_policy(d, why));
    VF_TRY(load_batches(d, why));
    VF_TRY(vf_desk_store_each(d->store, VF_DT_DEVICE, load_device, d, why));
    struct tombstones t = {.d = d, .buried = {.len = VF_GRANT_ID_LEN}};
    enum vf_err err = vf_desk_store_each(d->store, VF_DT_TOMBSTONE, load_tombstone, &t, why);
    if (err == VF_OK)
        err = load_grants(d, &t.buried, why);
    vf_desk_ids_done(&t.buried);
    VF_TRY(err);
    return vf_desk_store_each(d->store, VF_DT_REVOCATION, load_revocation, d, why);
}

void vf_desk_unload(struct vf_desk *d)
{
    for (size_t i = 0; i < d->ngrants; i++) {
        struct vf_desk_grant *g = d->grants[i];
        vf_desk_refs_put(g->refs);
        for (unsigned part = 0; part < VF_PART_COUNT; part++)
            free(g->bits[part]);
        pthread_mutex_destroy(&g->bits_lock);
        free(g);
    }
    for (size_t i = 0; i < d->ndevices; i++) {
        vf_desk_copy_close(d->devices[i]);
        pthread_mutex_destroy(&d->devices[i]->small);
        pthread_mutex_destroy(&d->devices[i]->lock);
        free(d->devices[i]);
    }
    for (size_t i = 0; i < d->nbatches; i++)
        batch_free(d->batches[i]);
    free(d->grants);
    free(d->devices);
    free(d->batches);
    vf_policy_chain_done(&d->policy);
}
