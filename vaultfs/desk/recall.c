/* SPDX-License-Identifier: MIT */
/*
 * What the desk's own log says: what was released, which keys were destroyed, what was revoked, the newest policy, whether the clock was
 * doubted. The log is what counts: of a store's files it alone cannot be set back by itself, since its seal would not fit.
 *
 * Reading years of it at each start would take too long. The row "known" in META says up to which place the log was read, and what it had said by
 * then; the rows of RELEASED hold the bits of each live grant. It is under a MAC of the desk, and so are they, by their hashes in it. Without a
 * good one, everything is read from the beginning: slower, nothing else.
 *
 *   known: "VFDSKKN2", u32 policy, 32 its text hash, i64 confirmed, i64 last confirmed entry, u8 unready, i64 believed until then, i64 said since, place
 *   (u64 entries, u64 segment, u64 byte, a hash for each bit that is set in `entries` from the lowest up), u32 n, n revoked devices (enrolment id 32), u32 n,
 *   n revoked grants (id 16), u32 n, n grants that the database has lost (id 16), u32 n, n times (enrolment id 32, i64 minute, u32 images of the hour before),
 *   u32 n, n times (grant id 16, SHA-256 of its row), MAC 32.
 *   row: u64 text count, u64 image count, u32 records, text bits, image bits.
 */
#include "desk_internal.h"

#include <stdlib.h>
#include <string.h>

#define KNOWN_TYPE "VFDSKKN2"
#define KNOWN_KEY  "known"
#define KNOWN_MAX  ((size_t)64 << 20)
#define EVENTS                                                                                          \
    (UINT64_C(1) << VF_EVENT_RECEIVE | UINT64_C(1) << VF_EVENT_RELEASE | UINT64_C(1) << VF_EVENT_TIME | \
     UINT64_C(1) << VF_EVENT_EXPIRE | UINT64_C(1) << VF_EVENT_REVOKE)

struct recall {
    struct vf_desk *d;
    struct vf_desk_recalled is;
    char text[256]; /* why it was doubted */
    bool running;   /* while served */
    struct vf_desk_grant *only;
    int64_t rate_from_us; /* with `only`: images before that are in no rate any more */
};

/* -------------------------------------------------------------------------------------------------------------------- entries */

/* "PREFIX" and what follows it in a text of the log. */
static bool behind(const struct vf_entry_text *t, const char *prefix, const char **ret, size_t *ret_len)
{
    size_t len = strlen(prefix);
    if (t->p == NULL || t->len < len || memcmp(t->p, prefix, len) != 0)
        return false;
    *ret = t->p + len;
    *ret_len = t->len - len;
    return true;
}

static bool is(const struct vf_entry_text *t, const char *word)
{
    return t->p != NULL && t->len == strlen(word) && memcmp(t->p, word, t->len) == 0;
}

static void take_policy(struct recall *r, const char *p, size_t len)
{
    static const char sum[] = " sha256:";
    const char *gap = memchr(p, ' ', len);
    uint64_t version = 0;
    struct vf_hash hash;

    if (gap == NULL || !vf_uint_parse(p, (size_t)(gap - p), VF_POLICY_VERSIONS_MAX, &version) || version < r->is.policy)
        return;
    size_t left = len - (size_t)(gap - p);
    if (left != sizeof(sum) - 1 + 2 * VF_HASH_LEN || memcmp(gap, sum, sizeof(sum) - 1) != 0 ||
        !vf_unhex(gap + sizeof(sum) - 1, 2 * VF_HASH_LEN, hash.b, sizeof(hash.b)))
        return;
    r->is.policy = (uint32_t)version;
    r->is.policy_hash = hash;
}

/* Its refs stay as long as end_lock is held, or there is one thread. */
static struct vf_desk_grant *grant_of(struct vf_desk *d, const struct vf_grant_id *id)
{
    pthread_rwlock_rdlock(&d->lock);
    struct vf_desk_grant *g = vf_desk_grant_find(d, id);
    pthread_rwlock_unlock(&d->lock);
    return g;
}

static enum vf_err take_receive(struct recall *r, const struct vf_entry_view *e, struct vf_why *why)
{
    struct vf_grant_id id;
    struct vf_hash enrolment;
    const char *p;
    size_t len;

    if (behind(&e->object, VF_DESK_LOG_POLICY, &p, &len)) {
        take_policy(r, p, len);
    } else if (behind(&e->object, VF_DESK_LOG_REVOKED_GRANT, &p, &len) && vf_grant_id_parse(p, len, &id)) {
        struct vf_desk_grant *g = grant_of(r->d, &id);
        VF_TRY(vf_desk_named_add(r->d, VF_DESK_NAMED_GRANT, id.c, why));
        if (g != NULL)
            atomic_store(&g->revoked, true);
    } else if (behind(&e->object, VF_DESK_LOG_REVOKED_DEVICE, &p, &len) &&
               vf_unhex(p, len, enrolment.b, sizeof(enrolment.b))) {
        pthread_rwlock_rdlock(&r->d->lock);
        struct vf_desk_device *dev = vf_desk_device_find(r->d, &enrolment);
        pthread_rwlock_unlock(&r->d->lock);
        VF_TRY(vf_desk_named_add(r->d, VF_DESK_NAMED_DEVICE, enrolment.b, why));
        if (dev != NULL)
            atomic_store(&dev->revoked, true);
    }
    return VF_OK;
}

/* "prekey 3/17", "prekey 3/all": destroyed, whatever the database and the slots say. */
static void take_end(struct recall *r, const struct vf_entry_view *e)
{
    const char *p;
    size_t len;
    uint64_t batch = 0, number = VF_DESK_WHOLE_BATCH;
    enum vf_prekey_end end = e->event == VF_EVENT_REVOKE ? VF_PREKEY_REVOKED : VF_PREKEY_ENDED;

    if (!behind(&e->object, VF_DESK_LOG_PREKEY, &p, &len))
        return;
    const char *slash = memchr(p, '/', len);
    /* JSON may write a slash as "\/": the log's writer does not. */
    if (slash == NULL || !vf_uint_parse(p, (size_t)(slash - p), VF_PREKEY_BATCH_MAX, &batch))
        return;
    size_t left = len - (size_t)(slash + 1 - p);
    bool whole = left == 3 && memcmp(slash + 1, "all", 3) == 0;
    if (!whole && !vf_uint_parse(slash + 1, left, VF_PREKEYS_MAX, &number))
        return;
    vf_desk_mark_dead(r->d, (uint32_t)batch, (uint32_t)number, whole ? VF_PREKEY_LAST_DAY : end);
}

static void take_time(struct recall *r, const struct vf_entry_view *e)
{
    int64_t us = 0;

    if (is(&e->result, VF_DESK_LOG_UNREADY)) {
        r->is.unready = true;
        r->is.believed_us = e->has_count && e->count < INT64_MAX / VF_SECOND_US ? (int64_t)e->count * VF_SECOND_US : 0;
        size_t len = e->object.len < sizeof(r->text) ? e->object.len : sizeof(r->text) - 1;
        if (e->object.p != NULL)
            memcpy(r->text, e->object.p, len);
        r->text[e->object.p != NULL ? len : 0] = '\0';
        vf_text_one_line(r->text);
    } else if (is(&e->result, VF_DESK_LOG_CONFIRMED) && e->object.p != NULL &&
               vf_time_parse_us(e->object.p, e->object.len, &us)) {
        r->is.unready = false;
        r->is.confirmed_us = us;
        r->is.confirmed_at = e->time_us;
        r->is.said_us = 0;
    } else if (is(&e->result, "ok") && e->object.p != NULL && vf_time_parse_us(e->object.p, e->object.len, &us) &&
               us > r->is.said_us) {
        r->is.said_us = us;
    }
}

static void mark(const struct recall *r, struct vf_desk_grant *g, const char *text, enum vf_part part, int64_t time_us)
{
    struct vf_ref ref;
    uint32_t index = 0;

    if (!vf_ref_parse(text, VF_REF_LEN, &ref) || !vf_desk_refs_find(g->refs, &ref, &index))
        return;
    if (r->only == NULL || time_us >= r->rate_from_us)
        vf_desk_released(g, index, part, time_us);
    else
        (void)vf_desk_bit_set(g, index, part);
}

/* Of a grant whose key is destroyed only the device's rate is left to be counted. */
static enum vf_err take_release(struct recall *r, const struct vf_entry_view *e, struct vf_why *why)
{
    struct vf_grant_id id;
    bool image = is(&e->part, "image");
    enum vf_part part = image ? VF_PART_IMAGE : VF_PART_TEXT;

    if (e->grant.p == NULL || !vf_grant_id_parse(e->grant.p, e->grant.len, &id) || e->part.p == NULL)
        return VF_OK;
    struct vf_desk_grant *g = grant_of(r->d, &id);
    if (g == NULL)
        return vf_desk_named_add(r->d, VF_DESK_NAMED_LOST, id.c, why);
    if (r->only != NULL && g != r->only)
        return VF_OK;
    if (g->refs == NULL) {
        if (image && !r->running)
            vf_desk_rate_add(g->device, e->time_us, e->has_count ? (uint32_t)e->count : 0);
    } else if (e->all) {
        vf_desk_released_all(g, part);
    } else {
        for (size_t at = 0; at + VF_REF_LEN + 2 <= e->refs.len; at += VF_REF_LEN + 3) /* "REF","REF" */
            mark(r, g, e->refs.p + at + 1, part, e->time_us);
    }
    return VF_OK;
}

static enum vf_err take_entry(void *user, const struct vf_entry_view *e, struct vf_why *why)
{
    struct recall *r = user;

    if (e->event == VF_EVENT_RELEASE)
        return is(&e->result, "ok") ? take_release(r, e, why) : VF_OK;
    if (e->event == VF_EVENT_RECEIVE)
        return take_receive(r, e, why);
    if (e->event == VF_EVENT_TIME)
        take_time(r, e);
    else if (e->event == VF_EVENT_EXPIRE || e->event == VF_EVENT_REVOKE)
        take_end(r, e);
    return VF_OK;
}

/* ------------------------------------------------------------------------------------------------------------------ a snapshot */

static void place_put(const struct vf_log_place *place, struct vf_buf *out)
{
    vf_buf_u64(out, place->tree.size);
    vf_buf_u64(out, place->seg_first);
    vf_buf_u64(out, place->seg_at);
    for (unsigned i = 0; i < 64; i++)
        if (place->tree.size >> i & 1)
            vf_buf_put(out, place->tree.edge[i].b, VF_HASH_LEN);
}

static void place_get(struct vf_reader *r, struct vf_log_place *ret)
{
    vf_tree_init(&ret->tree);
    ret->tree.size = vf_reader_u64(r);
    ret->seg_first = vf_reader_u64(r);
    ret->seg_at = vf_reader_u64(r);
    for (unsigned i = 0; i < 64; i++)
        if (ret->tree.size >> i & 1)
            vf_reader_copy(r, ret->tree.edge[i].b, VF_HASH_LEN);
}

static bool known_sealed(const struct vf_desk *d, const struct vf_buf *data)
{
    struct vf_hash mac;

    if (data->len < 8 + VF_HASH_LEN || memcmp(data->data, KNOWN_TYPE, 8) != 0)
        return false;
    if (d->key == NULL) /* for looking only: believed */
        return true;
    vf_desk_mac(d->key, data->data, data->len - VF_HASH_LEN, &mac);
    return vf_equal(mac.b, data->data + data->len - VF_HASH_LEN, VF_HASH_LEN);
}

/* The bits of one grant, when its row is the one that `known` names. */
static bool row_take(struct vf_desk_grant *g, const struct vf_hash *hash, const struct vf_buf *row)
{
    struct vf_reader r = vf_reader_of(row->data, row->len);
    struct vf_hash have;

    vf_sha256(row->data, row->len, &have);
    if (!vf_equal(have.b, hash->b, sizeof(have.b)))
        return false;
    for (unsigned part = 0; part < VF_PART_COUNT; part++)
        g->count[part] = vf_reader_u64(&r);
    if (vf_reader_u32(&r) != g->refs->n)
        return false;
    for (unsigned part = 0; part < VF_PART_COUNT; part++)
        vf_reader_copy(&r, g->bits[part], g->refs->n / 8 + 1);
    return vf_reader_done(&r);
}

static bool rows_take(struct vf_desk *d, struct vf_reader *r)
{
    uint32_t n = vf_reader_u32(r);

    if (r->bad || r->left != (uint64_t)n * (VF_GRANT_ID_LEN + VF_HASH_LEN))
        return false;
    for (uint32_t i = 0; i < n; i++) {
        struct vf_grant_id id;
        struct vf_hash hash;
        VF_BUF row = {.max = KNOWN_MAX};
        bool found = false;
        vf_reader_copy(r, id.c, sizeof(id.c));
        vf_reader_copy(r, hash.b, sizeof(hash.b));
        struct vf_desk_grant *g = vf_desk_grant_find(d, &id);
        if (g == NULL)
            return false; /* the rows are of another moment */
        if (g->refs == NULL)
            continue; /* ended since */
        if (vf_desk_store_get(d->store, VF_DT_RELEASED, id.c, sizeof(id.c), &row, &found, NULL) != VF_OK || !found ||
            !row_take(g, &hash, &row))
            return false;
    }
    return vf_reader_done(r);
}

static bool rates_take(struct vf_desk *d, struct vf_reader *r)
{
    uint32_t n = vf_reader_u32(r);

    for (uint32_t i = 0; i < n && !r->bad; i++) {
        struct vf_hash id;
        vf_reader_copy(r, id.b, sizeof(id.b));
        int64_t minute = (int64_t)vf_reader_u64(r);
        uint32_t images = vf_reader_u32(r);
        struct vf_desk_device *dev = vf_desk_device_find(d, &id);
        if (dev != NULL && !r->bad && minute >= 0 && minute < INT64_MAX / VF_DESK_MINUTE_US)
            vf_desk_rate_add(dev, minute * VF_DESK_MINUTE_US, images);
    }
    return !r->bad;
}

static bool known_take(struct vf_desk *d, const struct vf_buf *data, struct recall *ret)
{
    struct vf_reader r = vf_reader_of(data->data + 8, data->len - 8 - VF_HASH_LEN);

    ret->is.policy = vf_reader_u32(&r);
    vf_reader_copy(&r, ret->is.policy_hash.b, sizeof(ret->is.policy_hash.b));
    ret->is.confirmed_us = (int64_t)vf_reader_u64(&r);
    ret->is.confirmed_at = (int64_t)vf_reader_u64(&r);
    ret->is.unready = vf_reader_u8(&r) != 0;
    ret->is.believed_us = (int64_t)vf_reader_u64(&r);
    ret->is.said_us = (int64_t)vf_reader_u64(&r);
    place_get(&r, &ret->is.place);
    return !r.bad && ret->is.place.seg_at <= INT64_MAX && vf_desk_named_get(d, &r) && rates_take(d, &r) && rows_take(d, &r);
}

static void forget(struct vf_desk *d, struct recall *r)
{
    *r = (struct recall){.d = d};
    for (size_t i = 0; i < d->ndevices; i++)
        memset(d->devices[i]->rate, 0, sizeof(d->devices[i]->rate));
    for (size_t i = 0; i < d->ngrants; i++) {
        struct vf_desk_grant *g = d->grants[i];
        for (unsigned part = 0; part < VF_PART_COUNT && g->refs != NULL; part++) {
            memset(g->bits[part], 0, g->refs->n / 8 + 1);
            g->count[part] = 0;
        }
    }
}

/* Is there a snapshot that is to be believed? Then it is in *r and in the grants. */
static enum vf_err known_load(struct vf_desk *d, struct recall *r, struct vf_why *why)
{
    VF_BUF data = {.max = KNOWN_MAX};
    bool found = false;

    VF_TRY(vf_desk_store_get(d->store, VF_DT_META, KNOWN_KEY, strlen(KNOWN_KEY), &data, &found, why));
    bool good = found && known_sealed(d, &data) && known_take(d, &data, r);
    if (!good)
        forget(d, r);
    vf_desk_named_apply(d);
    return VF_OK;
}

/* --------------------------------------------------------------------------------------------------------------------- opening */

/*
 * What the clock begins with: the last entry, unless all since a person confirmed stand at the time of that entry; or what was believed before it was
 * doubted, since the entries behind have the doubted clock's times.
 */
static void set_clock(struct vf_desk *d, const struct recall *r, int64_t last_us)
{
    struct vf_desk_clock *c = &d->clock;

    c->confirmed_us = r->is.confirmed_us;
    c->floor_us = last_us;
    if (r->is.confirmed_at > 0 && last_us <= r->is.confirmed_at)
        c->floor_us = r->is.said_us > r->is.confirmed_us ? r->is.said_us : r->is.confirmed_us;
    if (r->is.unready && r->is.believed_us > 0)
        c->floor_us = r->is.believed_us;
    if (r->is.unready && !c->unready) {
        c->unready = c->told = true;
        (void)snprintf(c->why, sizeof(c->why), "%s",
                       r->text[0] != '\0' ? r->text : "its clock or its store was doubted before the last restart");
    }
}

/* The policy in the database is the newest that the log has seen, or an older one (then the newest has to come again). */
static void check_policy(struct vf_desk *d, const struct recall *r)
{
    size_t version = d->policy.ruling;

    d->policy_floor = r->is.policy;
    d->policy_hash = r->is.policy_hash;
    if (version < r->is.policy || version == 0)
        return;
    if (version > r->is.policy || memcmp(&d->policy.hashes[version - 1], &r->is.policy_hash, sizeof(r->is.policy_hash)) != 0)
        vf_policy_chain_done(&d->policy); /* somebody else put it there: this desk took none like it */
}

enum vf_err vf_desk_recall(struct vf_desk *d, struct vf_why *why)
{
    struct vf_log_state state = {0};
    struct recall r = {.d = d};

    VF_TRY(known_load(d, &r, why));
    d->snapshot_size = r.is.place.tree.size;
    if (d->log == NULL) {
        VF_FREE char *dir = vf_path_join(d->path, "log");
        uint64_t size = 0;
        int64_t last_us = 0;
        if (dir != NULL && vf_desk_folder_peek(dir, &size, &last_us, NULL) == VF_OK)
            set_clock(d, &r, last_us);
        d->policy_floor = r.is.policy;
        return VF_OK;
    }
    enum vf_err err = vf_log_since(d->log, &r.is.place, EVENTS, take_entry, &r, why);
    if (err == VF_E_FORGED && r.is.place.tree.size > 0) {
        /* The database knows of a log that is not this one: one of them was put back. */
        vf_desk_clock_doubt(
            d, "the desk's log and its database are not of the same moment: one of them was restored from a copy; "
               "hand policy, grants and revocations to it again, then: vaultfs-keytool desk clock --confirm");
        r.is.place = (struct vf_log_place){0}; /* what either of them says counts */
        err = vf_log_since(d->log, &r.is.place, EVENTS, take_entry, &r, why);
    }
    if (err == VF_E_FORGED)
        return vf_fail_prefix(why, err,
                              "%s: the desk's own log was damaged or changed; keep the folder as it is, and make a new desk",
                              d->path);
    VF_TRY(err);
    vf_log_state_get(d->log, &state);
    set_clock(d, &r, state.last_time_us);
    check_policy(d, &r);
    d->recalled = r.is;
    return VF_OK;
}

/* ------------------------------------------------------------------------------------------------------------------ while served */

enum vf_err vf_desk_recall_grant(struct vf_desk *d, struct vf_desk_grant *g, struct vf_why *why)
{
    struct recall r = {
        .d = d, .running = true, .only = g, .rate_from_us = vf_clock_wall_us() - VF_DESK_RATE_BUCKETS * VF_DESK_MINUTE_US};

    pthread_mutex_lock(&d->end_lock);
    enum vf_err err = vf_log_since(d->log, &r.is.place, UINT64_C(1) << VF_EVENT_RELEASE, take_entry, &r, why);
    pthread_mutex_unlock(&d->end_lock);
    return err;
}

/* A row of RELEASED, and its hash. */
static enum vf_err row_put(struct vf_desk_grant *g, struct vf_buf *row, struct vf_buf *known, bool *ret_any,
                           struct vf_why *why)
{
    struct vf_hash hash;

    pthread_mutex_lock(&g->bits_lock);
    *ret_any = g->bits[0] != NULL && g->count[0] + g->count[1] > 0;
    for (unsigned part = 0; part < VF_PART_COUNT && *ret_any; part++)
        vf_buf_u64(row, g->count[part]);
    if (*ret_any) {
        vf_buf_u32(row, g->refs->n);
        for (unsigned part = 0; part < VF_PART_COUNT; part++)
            vf_buf_put(row, g->bits[part], g->refs->n / 8 + 1);
    }
    pthread_mutex_unlock(&g->bits_lock);
    VF_TRY(vf_buf_check(row, "what was released", why));
    if (*ret_any) {
        vf_sha256(row->data, row->len, &hash);
        vf_buf_put(known, g->g.id.c, sizeof(g->g.id.c));
        vf_buf_put(known, hash.b, sizeof(hash.b));
    }
    return VF_OK;
}

struct snapshot {
    struct vf_buf *rows;
    struct vf_desk_change *changes;
    size_t n;
};

static void snapshot_done(struct snapshot *s)
{
    for (size_t i = 0; i < s->n; i++)
        vf_buf_done(&s->rows[i]);
    free(s->rows);
    free(s->changes);
}

/* lock is held for reading, so that nobody destroys a key, and frees its grant's refs, meanwhile. */
static enum vf_err rows_put(struct vf_desk *d, struct snapshot *s, struct vf_buf *known, struct vf_why *why)
{
    s->rows = calloc(d->ngrants + 1, sizeof(*s->rows));
    s->changes = calloc(d->ngrants + 1, sizeof(*s->changes));
    if (s->rows == NULL || s->changes == NULL)
        return vf_fail(why, VF_E_NOMEM, "no memory for what was released");
    size_t count_at = known->len;
    vf_buf_u32(known, 0);
    for (size_t i = 0; i < d->ngrants; i++) {
        struct vf_desk_grant *g = d->grants[i];
        bool any = false;
        if (g->refs == NULL)
            continue;
        vf_buf_init(&s->rows[s->n], KNOWN_MAX);
        VF_TRY(row_put(g, &s->rows[s->n], known, &any, why));
        if (!any)
            continue;
        s->changes[s->n] =
            (struct vf_desk_change){VF_DT_RELEASED, g->g.id.c, sizeof(g->g.id.c), s->rows[s->n].data, s->rows[s->n].len};
        s->n++;
    }
    VF_TRY(vf_buf_check(known, "what is known", why));
    vf_put_be32(known->data + count_at, (uint32_t)s->n);
    return VF_OK;
}

/* lock is held. An hour's images as if all had been in the last of its minutes: too many for a while, never too few. */
static void rates_put(struct vf_desk *d, struct vf_buf *known)
{
    size_t at = known->len;
    uint32_t n = 0;

    vf_buf_u32(known, 0);
    for (size_t i = 0; i < d->ndevices; i++) {
        int64_t minute = 0;
        uint32_t images = vf_desk_rate_sum(d->devices[i], &minute);
        if (images == 0)
            continue;
        vf_buf_put(known, d->devices[i]->enrol.id.b, VF_HASH_LEN);
        vf_buf_u64(known, (uint64_t)minute);
        vf_buf_u32(known, images);
        n++;
    }
    if (vf_buf_ok(known))
        vf_put_be32(known->data + at, n);
}

static enum vf_err write_known(struct vf_desk *d, const struct vf_desk_recalled *is, struct vf_why *why)
{
    VF_CLEANUP(snapshot_done) struct snapshot s = {0};
    VF_BUF known = {.max = KNOWN_MAX};
    struct vf_hash mac;

    vf_buf_put(&known, KNOWN_TYPE, 8);
    pthread_rwlock_rdlock(&d->lock);
    vf_buf_u32(&known, is->policy);
    vf_buf_put(&known, is->policy_hash.b, sizeof(is->policy_hash.b));
    vf_buf_u64(&known, (uint64_t)is->confirmed_us);
    vf_buf_u64(&known, (uint64_t)is->confirmed_at);
    vf_buf_u8(&known, is->unready);
    vf_buf_u64(&known, (uint64_t)is->believed_us);
    vf_buf_u64(&known, (uint64_t)is->said_us);
    place_put(&is->place, &known);
    vf_desk_named_put(d, &known);
    rates_put(d, &known);
    enum vf_err err = rows_put(d, &s, &known, why);
    pthread_rwlock_unlock(&d->lock);
    VF_TRY(err);
    vf_desk_mac(d->key, known.data, known.len, &mac);
    vf_buf_put(&known, mac.b, sizeof(mac.b));
    VF_TRY(vf_buf_check(&known, "what is known", why));
    s.changes[s.n] = (struct vf_desk_change){VF_DT_META, KNOWN_KEY, strlen(KNOWN_KEY), known.data, known.len};
    return vf_desk_store_commit(d->store, s.changes, s.n + 1, why);
}

/* Reads on from the last place, which authenticates what is written; what was released meanwhile may be in it already. */
enum vf_err vf_desk_snapshot(struct vf_desk *d, bool now, struct vf_why *why)
{
    struct vf_log_state state = {0};
    struct recall r = {.d = d, .is = d->recalled, .running = true};

    vf_log_state_get(d->log, &state);
    if (state.sealed <= d->snapshot_size || (!now && state.sealed < d->snapshot_size + VF_DESK_SNAPSHOT_STEP))
        return VF_OK;
    VF_TRY(vf_log_since(d->log, &r.is.place, EVENTS, take_entry, &r, why));
    VF_TRY(write_known(d, &r.is, why));
    d->recalled = r.is;
    d->snapshot_size = r.is.place.tree.size;
    return VF_OK;
}
