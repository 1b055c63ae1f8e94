/* SPDX-License-Identifier: MIT */
/*
 * Grants and enrolments: checked whole before anything of them is kept. A grant is kept as its note and the refs of its records; manifest,
 * envelopes and catalogue are of no use here. An enrolment comes with a grant that names it, or by the hand of a person: so nobody fills
 * the store who is not known to the force.
 */
#include "desk_internal.h"

#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------------------------------------------------------------ refs */

struct vf_desk_refs *vf_desk_refs_new(const struct vf_hash *manifest, const void *refs, uint32_t n)
{
    struct vf_desk_refs *r = malloc(sizeof(*r) + n * sizeof(r->ref[0]));

    if (r == NULL)
        return NULL;
    r->manifest = *manifest;
    atomic_init(&r->users, 1);
    r->n = n;
    if (refs != NULL && n > 0)
        memcpy(r->ref, refs, n * sizeof(r->ref[0]));
    return r;
}

void vf_desk_refs_put(struct vf_desk_refs *refs)
{
    if (refs != NULL && atomic_fetch_sub(&refs->users, 1) == 1)
        free(refs);
}

struct vf_desk_refs *vf_desk_refs_known(struct vf_desk *d, const struct vf_hash *manifest)
{
    for (size_t i = 0; i < d->ngrants; i++) {
        struct vf_desk_refs *r = d->grants[i]->refs;
        if (r != NULL && memcmp(&r->manifest, manifest, sizeof(*manifest)) == 0) {
            atomic_fetch_add(&r->users, 1);
            return r;
        }
    }
    return NULL;
}

static int by_ref(const void *a, const void *b)
{
    return vf_ref_cmp(a, b);
}

bool vf_desk_refs_find(const struct vf_desk_refs *refs, const struct vf_ref *ref, uint32_t *ret)
{
    const struct vf_ref *at = bsearch(ref, refs->ref, refs->n, sizeof(*ref), by_ref);

    if (at == NULL)
        return false;
    *ret = (uint32_t)(at - refs->ref);
    return true;
}

/* ----------------------------------------------------------------------------------------------------------------------- lists */

/* Where `key` is in a sorted list of pointers, or belongs. */
static bool place_of(void *const *list, size_t n, const void *key, int (*cmp)(const void *key, const void *one), size_t *ret)
{
    size_t low = 0;
    size_t high = n;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int c = cmp(key, list[mid]);
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

static enum vf_err insert(void ***list, size_t *n, size_t at, void *one, struct vf_why *why)
{
    void **more = reallocarray(*list, *n + 1, sizeof(*more));

    if (more == NULL)
        return vf_fail(why, VF_E_NOMEM, "out of memory");
    memmove(more + at + 1, more + at, (*n - at) * sizeof(*more));
    more[at] = one;
    *list = more;
    (*n)++;
    return VF_OK;
}

static int cmp_device(const void *key, const void *one)
{
    return memcmp(key, ((const struct vf_desk_device *)one)->enrol.id.b, VF_HASH_LEN);
}

static int cmp_grant(const void *key, const void *one)
{
    return memcmp(key, ((const struct vf_desk_grant *)one)->g.id.c, VF_GRANT_ID_LEN);
}

static int cmp_batch(const void *key, const void *one)
{
    uint32_t a = *(const uint32_t *)key, b = ((const struct vf_desk_batch *)one)->number;
    return (a > b) - (a < b);
}

struct vf_desk_device *vf_desk_device_find(struct vf_desk *d, const struct vf_hash *id)
{
    size_t at = 0;
    return place_of((void *const *)d->devices, d->ndevices, id->b, cmp_device, &at) ? d->devices[at] : NULL;
}

struct vf_desk_grant *vf_desk_grant_find(struct vf_desk *d, const struct vf_grant_id *id)
{
    size_t at = 0;
    return place_of((void *const *)d->grants, d->ngrants, id->c, cmp_grant, &at) ? d->grants[at] : NULL;
}

struct vf_desk_batch *vf_desk_batch_find(struct vf_desk *d, uint32_t number)
{
    size_t at = 0;
    return place_of((void *const *)d->batches, d->nbatches, &number, cmp_batch, &at) ? d->batches[at] : NULL;
}

enum vf_err vf_desk_batch_add(struct vf_desk *d, struct vf_desk_batch *b, struct vf_why *why)
{
    size_t at = 0;

    pthread_rwlock_wrlock(&d->lock);
    bool there = place_of((void *const *)d->batches, d->nbatches, &b->number, cmp_batch, &at);
    enum vf_err err = there ? VF_OK : insert((void ***)&d->batches, &d->nbatches, at, b, why);
    pthread_rwlock_unlock(&d->lock);
    return err;
}

enum vf_err vf_desk_device_add(struct vf_desk *d, const struct vf_enrol *e, bool revoked, bool alarm,
                               struct vf_desk_device **ret, struct vf_why *why)
{
    struct vf_desk_device *dev = vf_desk_device_find(d, &e->id);
    size_t at = 0;

    if (dev == NULL) {
        dev = calloc(1, sizeof(*dev));
        if (dev == NULL)
            return vf_fail(why, VF_E_NOMEM, "out of memory");
        dev->enrol = *e;
        atomic_init(&dev->revoked, revoked);
        dev->alarm = alarm;
        (void)pthread_mutex_init(&dev->lock, NULL);
        (void)pthread_mutex_init(&dev->small, NULL);
        (void)place_of((void *const *)d->devices, d->ndevices, e->id.b, cmp_device, &at);
        enum vf_err err = insert((void ***)&d->devices, &d->ndevices, at, dev, why);
        if (err != VF_OK) {
            free(dev);
            return err;
        }
    }
    *ret = dev;
    return VF_OK;
}

static void grant_free(struct vf_desk_grant *g)
{
    for (unsigned part = 0; part < VF_PART_COUNT; part++)
        free(g->bits[part]);
    free(g);
}

/* Its bits, and what follows from its text; NULL: no memory. `refs`: NULL when its key is destroyed; the caller's reference goes over. */
static struct vf_desk_grant *grant_new(struct vf_desk *d, const struct vf_grant *text, struct vf_desk_refs *refs)
{
    struct vf_desk_grant *g = calloc(1, sizeof(*g));
    struct vf_grant_layout layout;
    bool full = false;

    if (g == NULL)
        return NULL;
    vf_grant_layout_of(text->fields, &layout);
    g->g = *text;
    g->part[VF_PART_TEXT] = layout.ntext > 0;
    g->part[VF_PART_IMAGE] = layout.nimage > 0;
    g->end_us = text->until_us;
    g->batch = vf_desk_batch_find(d, text->prekey_batch);
    if (g->batch != NULL && g->batch->last_us < g->end_us)
        g->end_us = g->batch->last_us;
    for (unsigned part = 0; part < VF_PART_COUNT && refs != NULL; part++) {
        g->bits[part] = calloc(refs->n / 8 + 1, 1);
        full = full || g->bits[part] == NULL;
    }
    if (full) {
        grant_free(g);
        return NULL;
    }
    g->refs = refs;
    (void)pthread_mutex_init(&g->bits_lock, NULL);
    return g;
}

enum vf_err vf_desk_grant_add(struct vf_desk *d, const struct vf_grant *text, struct vf_desk_refs *refs,
                              struct vf_desk_grant **ret, struct vf_why *why)
{
    struct vf_desk_grant *g = grant_new(d, text, refs);
    size_t at = 0;

    if (g == NULL)
        return vf_fail(why, VF_E_NOMEM, "out of memory");
    g->device = vf_desk_device_find(d, &text->enrolment);
    (void)place_of((void *const *)d->grants, d->ngrants, text->id.c, cmp_grant, &at);
    enum vf_err err = g->device != NULL ? insert((void ***)&d->grants, &d->ngrants, at, g, why)
                                        : vf_fail(why, VF_E_NOT_FOUND, "the device of the grant is not known here");
    if (err != VF_OK) {
        grant_free(g);
        return err;
    }
    if (g->batch != NULL && text->prekey_number < g->batch->count && g->batch->owner[text->prekey_number] == NULL)
        g->batch->owner[text->prekey_number] = g;
    *ret = g;
    return VF_OK;
}

/* ---------------------------------------------------------------------------------------------------------------- the policy */

enum vf_err vf_desk_policy_rules(const struct vf_desk *d, struct vf_why *why)
{
    if (d->policy.ruling == 0)
        return vf_fail(why, VF_E_UNSIGNED,
                       "the desk has no policy yet: hand the force's to it (vaultfs-keytool desk receive)");
    if (d->policy.ruling < d->policy_floor)
        return vf_fail(why, VF_E_STALE,
                       "the desk has policy version %zu, and once had version %u: hand the newest to it "
                       "(vaultfs-keytool desk receive)",
                       d->policy.ruling, d->policy_floor);
    if (!d->policy.policy.has_desk || !vf_identity_pub_equal(&d->policy.policy.desk, &d->pub))
        return vf_fail(why, VF_E_REFUSED, "policy version %zu of %s does not name this desk", d->policy.ruling,
                       d->policy.policy.force_name);
    return VF_OK;
}

enum vf_err vf_desk_grant_judge(const struct vf_desk *d, const void *note, size_t len, struct vf_grant *ret,
                                struct vf_why *why)
{
    VF_FREE struct vf_grant_file *file = calloc(1, sizeof(*file));

    if (file == NULL)
        return vf_fail(why, VF_E_NOMEM, "out of memory");
    VF_TRY(vf_note_parse(note, len, &file->note, why));
    VF_TRY(vf_grant_parse(&file->note, "the grant", &file->grant, why));
    *ret = file->grant;
    VF_TRY(vf_desk_policy_rules(d, why));
    return vf_grant_verify(file, &d->policy, why);
}

static void judged(struct vf_desk_grant *g, enum vf_err err, const struct vf_why *one)
{
    g->agreed = err == VF_OK && !g->owed;
    if (g->owed && err == VF_OK)
        (void)snprintf(g->disagreed, sizeof(g->disagreed),
                       "what was released of this grant is being read from the desk's log");
    else
        (void)snprintf(g->disagreed, sizeof(g->disagreed), "%.255s", err == VF_OK ? "" : one->text);
    vf_text_one_line(g->disagreed);
}

static enum vf_err judge_row(void *user, struct vf_slice key, struct vf_slice val, struct vf_why *why)
{
    struct vf_desk *d = user;
    VF_FREE struct vf_grant *text = calloc(1, sizeof(*text));
    struct vf_grant_id id;
    struct vf_why one = {0};

    if (text == NULL)
        return vf_fail(why, VF_E_NOMEM, "out of memory");
    if (key.len != sizeof(id.c) || val.len <= VF_DESK_GRANT_HEAD)
        return vf_fail(why, VF_E_DAMAGED, "%s: a grant in its database is damaged", d->path);
    memcpy(id.c, key.data, sizeof(id.c));
    struct vf_desk_grant *g = vf_desk_grant_find(d, &id);
    if (g == NULL || g->refs == NULL)
        return VF_OK;
    judged(g, vf_desk_grant_judge(d, val.data + VF_DESK_GRANT_HEAD, val.len - VF_DESK_GRANT_HEAD, text, &one), &one);
    return VF_OK;
}

enum vf_err vf_desk_grants_judge(struct vf_desk *d, struct vf_why *why)
{
    pthread_rwlock_wrlock(&d->lock);
    enum vf_err err = vf_desk_store_each(d->store, VF_DT_GRANT, judge_row, d, why);
    pthread_rwlock_unlock(&d->lock);
    return err;
}

/* ------------------------------------------------------------------------------------------------------------------ enrolments */

static enum vf_err device_row(bool alarm, struct vf_slice enrol, struct vf_buf *out, struct vf_why *why)
{
    vf_buf_init(out, VF_DESK_DEVICE_HEAD + VF_ENROL_MAX);
    vf_buf_u8(out, VF_DESK_ROW_VERSION);
    vf_buf_u8(out, alarm ? VF_DESK_DEVICE_ALARM : 0);
    vf_buf_put(out, enrol.data, enrol.len);
    return vf_buf_check(out, "an enrolment", why);
}

enum vf_err vf_desk_device_save(struct vf_desk *d, struct vf_desk_device *dev, bool alarm, struct vf_why *why)
{
    VF_BUF row = {.max = VF_DESK_DEVICE_HEAD + VF_ENROL_MAX};
    bool found = false;

    VF_TRY(vf_desk_store_get(d->store, VF_DT_DEVICE, dev->enrol.id.b, VF_HASH_LEN, &row, &found, why));
    if (!found || row.len <= VF_DESK_DEVICE_HEAD)
        return vf_fail(why, VF_E_DAMAGED, "%s: the enrolment of %s is missing from its database", d->path, dev->enrol.name);
    row.data[1] = alarm ? VF_DESK_DEVICE_ALARM : 0;
    const struct vf_desk_change change = {VF_DT_DEVICE, dev->enrol.id.b, VF_HASH_LEN, row.data, row.len};
    VF_TRY(vf_desk_store_commit(d->store, &change, 1, why));
    pthread_mutex_lock(&dev->small);
    dev->alarm = alarm;
    pthread_mutex_unlock(&dev->small);
    return VF_OK;
}

/* lock is held. Of this force, and a device that is revoked already stays so. */
static enum vf_err enrol_check(struct vf_desk *d, struct vf_slice enrol, const char *what, struct vf_enrol *ret,
                               struct vf_why *why)
{
    VF_TRY(vf_enrol_parse(enrol.data, enrol.len, what, ret, why));
    VF_TRY(vf_fail_prefix(why, vf_desk_policy_rules(d, why), "%s", what));
    if (memcmp(&ret->vault, &d->policy.policy.vault, sizeof(ret->vault)) != 0)
        return vf_fail(why, VF_E_REFUSED, "%s: the enrolment of %s is for another force", what, ret->name);
    return VF_OK;
}

static bool has_row(struct vf_desk *d, enum vf_desk_table table, const void *key, size_t key_len)
{
    VF_BUF row = {.max = VF_NOTE_MAX};
    bool found = false;
    return vf_desk_store_get(d->store, table, key, key_len, &row, &found, NULL) != VF_OK || found;
}

static enum vf_err tell_taken(struct vf_desk *d, const struct vf_grant *g, const struct vf_enrol *e, struct vf_why *why)
{
    char object[80], hex[2 * VF_HASH_LEN + 1];
    struct vf_entry entry = {.event = VF_EVENT_RECEIVE, .part = -1, .object = object, .result = "ok"};
    uint64_t ticket = 0;

    if (e != NULL) {
        vf_hex(e->id.b, sizeof(e->id.b), hex);
        (void)snprintf(object, sizeof(object), "enrolment %s", hex);
        entry.recipient = e->name;
        VF_TRY(vf_desk_tell(d, &entry, &ticket, why));
    }
    if (g != NULL) {
        (void)snprintf(object, sizeof(object), "grant");
        entry.grant = &g->id;
        entry.job = g->job;
        entry.recipient = g->recipient;
        entry.all = &g->manifest_hash;
        entry.has_count = true;
        entry.count = g->records;
        VF_TRY(vf_desk_tell(d, &entry, &ticket, why));
    }
    return vf_log_wait(d->log, ticket, why);
}

/* take_lock is held. */
static enum vf_err enrol_take(struct vf_desk *d, struct vf_slice bytes, const char *what, struct vf_desk_device **ret,
                              bool *ret_already, struct vf_why *why)
{
    VF_FREE struct vf_enrol *e = calloc(1, sizeof(*e));
    VF_BUF row = {0};

    if (e == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", what);
    pthread_rwlock_rdlock(&d->lock);
    enum vf_err err = enrol_check(d, bytes, what, e, why);
    *ret = err == VF_OK ? vf_desk_device_find(d, &e->id) : NULL;
    pthread_rwlock_unlock(&d->lock);
    VF_TRY(err);
    *ret_already = *ret != NULL;
    if (*ret_already)
        return VF_OK;
    VF_TRY(device_row(false, bytes, &row, why));
    const struct vf_desk_change change = {VF_DT_DEVICE, e->id.b, VF_HASH_LEN, row.data, row.len};
    VF_TRY(tell_taken(d, NULL, e, why));
    VF_TRY(vf_desk_store_commit(d->store, &change, 1, why));
    bool revoked = has_row(d, VF_DT_REVOCATION, e->id.b, VF_HASH_LEN) || vf_desk_named_has(d, VF_DESK_NAMED_DEVICE, e->id.b);
    pthread_rwlock_wrlock(&d->lock);
    err = vf_desk_device_add(d, e, revoked, false, ret, why);
    pthread_rwlock_unlock(&d->lock);
    return err;
}

enum vf_err vf_desk_enrol_take(struct vf_desk *d, struct vf_slice enrol, const char *what, struct vf_desk_device **ret,
                               bool *ret_already, struct vf_why *why)
{
    pthread_mutex_lock(&d->take_lock);
    enum vf_err err = enrol_take(d, enrol, what, ret, ret_already, why);
    pthread_mutex_unlock(&d->take_lock);
    return err;
}

/* ---------------------------------------------------------------------------------------------------------------------- grants */

/* lock is held. What its text says of prekey and device, before the manifest is looked at. */
static enum vf_err grant_fits(struct vf_desk *d, const struct vf_grant *g, const char *what, struct vf_why *why)
{
    const struct vf_desk_batch *b = vf_desk_batch_find(d, g->prekey_batch);

    if (g->release != VF_RELEASE_ONLINE)
        return vf_fail(why, VF_E_INPUT, "%s: an offline grant: the desk has no part in it", what);
    if (b == NULL || g->prekey_number >= b->count)
        return vf_fail(why, VF_E_REFUSED, "%s: made for the one-time key %u/%u, which this desk does not have", what,
                       g->prekey_batch, g->prekey_number);
    if (g->until_us > b->last_us)
        return vf_fail(why, VF_E_REFUSED, "%s: ends after the last day of the one-time keys that it was made for", what);
    const struct vf_desk_grant *other = b->owner[g->prekey_number];
    if (other != NULL && memcmp(&other->g.id, &g->id, sizeof(g->id)) != 0)
        return vf_fail(why, VF_E_REFUSED, "%s: its one-time key %u/%u is that of grant %.*s: a key serves one grant", what,
                       g->prekey_batch, g->prekey_number, VF_GRANT_ID_LEN, other->g.id.c);
    return VF_OK;
}

static enum vf_err refs_of(const struct vf_grant *g, struct vf_slice manifest, const char *what, struct vf_desk_refs **ret,
                           struct vf_why *why)
{
    struct vf_manifest m;
    struct vf_hash hash;

    vf_sha256(manifest.data, manifest.len, &hash);
    if (!vf_equal(hash.b, g->manifest_hash.b, sizeof(hash.b)))
        return vf_fail(why, VF_E_FORGED, "%s: its manifest is not the one that was signed", what);
    VF_TRY(vf_manifest_parse(manifest.data, manifest.len, what, &m, why));
    if (m.nrecords != g->records || m.set != g->fields || memcmp(&m.vault, &g->vault, sizeof(m.vault)) != 0)
        return vf_fail(why, VF_E_FORMAT, "%s: its manifest is not what its text says", what);
    struct vf_desk_refs *r = vf_desk_refs_new(&hash, NULL, m.nrecords);
    if (r == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", what);
    for (uint32_t i = 0; i < m.nrecords; i++)
        vf_manifest_ref(&m, i, &r->ref[i]);
    *ret = r;
    return VF_OK;
}

static enum vf_err grant_keep(struct vf_desk *d, const struct vf_grant *g, struct vf_slice note,
                              const struct vf_desk_refs *refs, struct vf_why *why)
{
    VF_BUF row = {.max = VF_DESK_GRANT_HEAD + VF_NOTE_MAX};

    vf_buf_u8(&row, VF_DESK_ROW_VERSION);
    vf_buf_u64(&row, (uint64_t)vf_clock_wall_us());
    vf_buf_u64(&row, 0);
    vf_buf_u64(&row, 0);
    vf_buf_put(&row, note.data, note.len);
    VF_TRY(vf_buf_check(&row, "a grant", why));
    const struct vf_desk_change changes[] = {
        {VF_DT_GRANT, g->id.c, sizeof(g->id.c), row.data, row.len},
        {VF_DT_REFS, refs->manifest.b, sizeof(refs->manifest.b), refs->ref, refs->n * sizeof(refs->ref[0])},
    };
    return vf_desk_store_commit(d->store, changes, 2, why);
}

/*
 * The own log names a grant that the database did not know: it was put back. What was released before counts before anything else is.
 * take_lock is held.
 */
static enum vf_err grant_owed(struct vf_desk *d, struct vf_desk_grant *g, struct vf_why *why)
{
    VF_TRY(vf_desk_recall_grant(d, g, why));
    pthread_rwlock_wrlock(&d->lock);
    g->owed = false;
    judged(g, VF_OK, NULL);
    pthread_rwlock_unlock(&d->lock);
    return VF_OK;
}

/* take_lock is held; the grant was verified and fits. */
static enum vf_err grant_new_one(struct vf_desk *d, const struct vf_grant *g, struct vf_slice note, struct vf_slice manifest,
                                 const char *what, struct vf_desk_grant **ret, struct vf_why *why)
{
    struct vf_desk_refs *refs = NULL;

    VF_TRY(refs_of(g, manifest, what, &refs, why));
    enum vf_err err = tell_taken(d, g, NULL, why);
    if (err == VF_OK)
        err = grant_keep(d, g, note, refs, why);
    bool revoked = err == VF_OK && (has_row(d, VF_DT_REVOCATION, g->id.c, sizeof(g->id.c)) ||
                                    vf_desk_named_has(d, VF_DESK_NAMED_GRANT, g->id.c));
    bool owed = vf_desk_named_has(d, VF_DESK_NAMED_LOST, g->id.c);
    pthread_rwlock_wrlock(&d->lock);
    if (err == VF_OK) {
        struct vf_desk_refs *known = vf_desk_refs_known(d, &refs->manifest);
        if (known != NULL) {
            vf_desk_refs_put(refs);
            refs = known;
        }
        err = vf_desk_grant_add(d, g, refs, ret, why);
    }
    if (err == VF_OK) {
        atomic_store(&(*ret)->revoked, revoked);
        (*ret)->owed = owed;
        judged(*ret, VF_OK, NULL);
    }
    pthread_rwlock_unlock(&d->lock);
    if (err != VF_OK)
        vf_desk_refs_put(refs);
    atomic_store(&d->ends_due, true);
    return err == VF_OK && owed ? grant_owed(d, *ret, why) : err;
}

/* take_lock is held. The same text again: with other signatures perhaps, after a change of policy. */
static enum vf_err grant_again(struct vf_desk *d, struct vf_desk_grant *g, struct vf_slice note, struct vf_why *why)
{
    if (g->owed && g->refs != NULL)
        VF_TRY(grant_owed(d, g, why));
    pthread_rwlock_rdlock(&d->lock);
    struct vf_desk_refs *refs = g->agreed ? NULL : g->refs;
    if (refs != NULL)
        atomic_fetch_add(&refs->users, 1);
    pthread_rwlock_unlock(&d->lock);
    if (refs == NULL)
        return VF_OK;
    enum vf_err err = grant_keep(d, &g->g, note, refs, why);
    vf_desk_refs_put(refs);
    if (err != VF_OK)
        return err;
    pthread_rwlock_wrlock(&d->lock);
    judged(g, VF_OK, NULL);
    pthread_rwlock_unlock(&d->lock);
    return VF_OK;
}

static enum vf_err take_locked(struct vf_desk *d, struct vf_slice note, struct vf_slice manifest, struct vf_slice enrol,
                               const char *what, struct vf_desk_grant **ret, bool *ret_already, struct vf_why *why)
{
    VF_FREE struct vf_grant *g = calloc(1, sizeof(*g));
    struct vf_desk_device *dev = NULL;
    bool known = false;

    if (g == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", what);
    pthread_rwlock_rdlock(&d->lock);
    enum vf_err err = vf_fail_prefix(why, vf_desk_grant_judge(d, note.data, note.len, g, why), "%s", what);
    struct vf_desk_grant *had = err == VF_OK ? vf_desk_grant_find(d, &g->id) : NULL;
    if (err == VF_OK && had == NULL)
        err = grant_fits(d, g, what, why);
    if (err == VF_OK)
        dev = vf_desk_device_find(d, &g->enrolment);
    pthread_rwlock_unlock(&d->lock);
    VF_TRY(err);
    if (had != NULL && memcmp(&had->g.text_hash, &g->text_hash, sizeof(g->text_hash)) != 0)
        return vf_fail(why, VF_E_FORGED, "%s: another grant has this id", what);
    *ret_already = had != NULL;
    *ret = had;
    if (had != NULL)
        return grant_again(d, had, note, why);
    if (dev == NULL && enrol.len == 0)
        return vf_fail(why, VF_E_NOT_FOUND,
                       "%s: the device %s is not known to this desk: hand its enrolment (%s.enrol) to it as well", what,
                       g->recipient, g->recipient);
    if (dev == NULL) {
        VF_FREE struct vf_enrol *e = calloc(1, sizeof(*e));
        if (e == NULL)
            return vf_fail(why, VF_E_NOMEM, "%s: out of memory", what);
        VF_TRY(vf_enrol_parse(enrol.data, enrol.len, what, e, why));
        if (memcmp(&e->id, &g->enrolment, sizeof(g->enrolment)) != 0)
            return vf_fail(why, VF_E_REFUSED, "%s: the enrolment beside it is not that of its device", what);
        VF_TRY(enrol_take(d, enrol, what, &dev, &known, why));
    }
    return grant_new_one(d, g, note, manifest, what, ret, why);
}

enum vf_err vf_desk_grant_take(struct vf_desk *d, struct vf_slice note, struct vf_slice manifest, struct vf_slice enrol,
                               const char *what, struct vf_desk_grant **ret, bool *ret_already, struct vf_why *why)
{
    pthread_mutex_lock(&d->take_lock);
    enum vf_err err = take_locked(d, note, manifest, enrol, what, ret, ret_already, why);
    pthread_mutex_unlock(&d->take_lock);
    return err;
}
