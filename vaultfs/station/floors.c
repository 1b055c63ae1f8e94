/* SPDX-License-Identifier: MIT */
/*
 * What a station once knew and must not forget: the newest policy, what was revoked, the time that was sure. The log says all of it, and
 * of a station's files the log alone cannot be set back by itself (its seal would not fit). So database and clock may be lost, emptied,
 * or replaced by older ones: what the log says counts.
 *
 * Reading a log of millions of entries at each start would take too long. The file `known` holds what was read and up to where, with the
 * log's tree there, under a MAC of the device; what was appended since is read, hashed, and held against the log's last checkpoint. An older
 * `known` therefore only means more to read, and none, or one of another device, means all of it.
 *
 *   known: "VFKNOWN1", u32 policy, i64 sure, i64 reset, u8 device revoked, u64 entries, u64 segment, u64 byte in it, a hash for each bit
 *   that is set in `entries` from the lowest up, u32 grants revoked, their ids, MAC 32 over all that.
 *
 * RECEIVE mode has no key to check the MAC with, and believes it: what it then takes is checked again by the mount.
 */
#include "station_internal.h"

#include <stdlib.h>
#include <string.h>

#define KNOWN_TYPE   "VFKNOWN1"
#define REVOKED_MAX  (1u << 20)
#define KNOWN_MAX    ((size_t)4096 + (size_t)REVOKED_MAX * VF_GRANT_ID_LEN)
#define SAVE_ENTRIES 4096 /* so many are read in some milliseconds */
#define EVENTS       (UINT64_C(1) << VF_EVENT_RECEIVE | UINT64_C(1) << VF_EVENT_TIME | UINT64_C(1) << VF_EVENT_POLICY)

/* ------------------------------------------------------------------------------------------------------------------- the file */

static void encode(const struct vf_station_floors *f, const struct vf_station_key *key, struct vf_buf *out)
{
    struct vf_hash mac;
    vf_buf_put(out, KNOWN_TYPE, 8);
    vf_buf_u32(out, f->policy);
    vf_buf_u64(out, (uint64_t)f->sure_us);
    vf_buf_u64(out, (uint64_t)f->reset_us);
    vf_buf_u8(out, f->device_revoked);
    vf_buf_u64(out, f->place.tree.size);
    vf_buf_u64(out, f->place.seg_first);
    vf_buf_u64(out, f->place.seg_at);
    for (unsigned i = 0; i < 64; i++)
        if (f->place.tree.size >> i & 1)
            vf_buf_put(out, f->place.tree.edge[i].b, VF_HASH_LEN);
    vf_buf_u32(out, (uint32_t)f->nrevoked);
    vf_buf_put(out, f->revoked, f->nrevoked * sizeof(*f->revoked));
    if (!vf_buf_ok(out))
        return;
    vf_station_mac(key, out->data, out->len, &mac);
    vf_buf_put(out, mac.b, sizeof(mac.b));
}

static bool decode(const struct vf_buf *data, const struct vf_station_key *key, struct vf_station_floors *ret)
{
    struct vf_hash mac;
    if (data->len < 8 + VF_HASH_LEN || memcmp(data->data, KNOWN_TYPE, 8) != 0)
        return false;
    size_t len = data->len - VF_HASH_LEN;
    if (key) {
        vf_station_mac(key, data->data, len, &mac);
        if (!vf_equal(mac.b, data->data + len, VF_HASH_LEN))
            return false;
    }
    struct vf_reader r = vf_reader_of(data->data + 8, len - 8);
    ret->policy = vf_reader_u32(&r);
    ret->sure_us = (int64_t)vf_reader_u64(&r);
    ret->reset_us = (int64_t)vf_reader_u64(&r);
    ret->device_revoked = vf_reader_u8(&r) != 0;
    vf_tree_init(&ret->place.tree);
    ret->place.tree.size = vf_reader_u64(&r);
    ret->place.seg_first = vf_reader_u64(&r);
    ret->place.seg_at = vf_reader_u64(&r);
    for (unsigned i = 0; i < 64; i++)
        if (ret->place.tree.size >> i & 1)
            vf_reader_copy(&r, ret->place.tree.edge[i].b, VF_HASH_LEN);
    uint32_t n = vf_reader_u32(&r);
    if (r.bad || n > REVOKED_MAX || r.left != n * sizeof(*ret->revoked) || ret->sure_us < 0 || ret->reset_us < 0 ||
        ret->place.seg_at > INT64_MAX)
        return false;
    ret->revoked = calloc(n ? n : 1, sizeof(*ret->revoked));
    if (!ret->revoked)
        return false;
    vf_reader_copy(&r, ret->revoked, n * sizeof(*ret->revoked));
    ret->nrevoked = n;
    return vf_reader_done(&r);
}

/* ---------------------------------------------------------------------------------------------------------------- from the log */

static bool is_known(const struct vf_station_floors *f, const char *id)
{
    for (size_t i = 0; i < f->nrevoked; i++)
        if (memcmp(f->revoked[i].c, id, VF_GRANT_ID_LEN) == 0)
            return true;
    return false;
}

static enum vf_err add_revoked(struct vf_station_floors *f, const struct vf_grant_id *id, struct vf_why *why)
{
    if (is_known(f, id->c))
        return VF_OK;
    struct vf_grant_id *grown = realloc(f->revoked, (f->nrevoked + 1) * sizeof(*grown));
    if (!grown || f->nrevoked >= REVOKED_MAX)
        return vf_fail(why, VF_E_NOMEM, "no memory for the grants that were revoked");
    f->revoked = grown;
    f->revoked[f->nrevoked++] = *id;
    return VF_OK;
}

/* "PREFIX" and what follows it in a text of the log. */
static bool behind(const struct vf_entry_text *t, const char *prefix, const char **ret, size_t *ret_len)
{
    size_t len = strlen(prefix);
    if (!t->p || t->len < len || memcmp(t->p, prefix, len) != 0)
        return false;
    *ret = t->p + len;
    *ret_len = t->len - len;
    return true;
}

/* What receive.c and clock.c write. */
static enum vf_err take_entry(void *user, const struct vf_entry_view *e, struct vf_why *why)
{
    struct vf_station_floors *f = user;
    struct vf_grant_id id;
    const char *p;
    size_t len;
    uint64_t version;
    int64_t us;

    if (e->event == VF_EVENT_TIME) {
        if (!e->object.p || !vf_time_parse_us(e->object.p, e->object.len, &us))
            return VF_OK;
        bool reset = e->result.len == 5 && memcmp(e->result.p, "reset", 5) == 0;
        if (reset)
            f->sure_us = f->reset_us = us;
        else if (us > f->sure_us)
            f->sure_us = us;
    } else if (behind(&e->object, VF_ST_LOG_POLICY, &p, &len) && vf_uint_parse(p, len, UINT32_MAX, &version)) {
        if (version > f->policy)
            f->policy = (uint32_t)version;
    } else if (behind(&e->object, VF_ST_LOG_REVOKED_GRANT, &p, &len) && vf_grant_id_parse(p, len, &id)) {
        return add_revoked(f, &id, why);
    } else if (behind(&e->object, VF_ST_LOG_REVOKED_DEVICE, &p, &len)) {
        f->device_revoked = true; /* the station takes revocations of no other device */
    }
    return VF_OK;
}

static void contents_done(struct vf_station_floors *f)
{
    free(f->revoked);
    f->revoked = NULL;
    f->nrevoked = 0;
}

/* Everything that `f` says, and what the log says behind its place. `f` is as it was when that fails. */
static enum vf_err read_log(struct vf_station *st, struct vf_station_floors *f, struct vf_why *why)
{
    struct vf_station_floors more = *f;
    more.revoked = calloc(f->nrevoked + 1, sizeof(*more.revoked));
    if (!more.revoked)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", st->path);
    if (f->nrevoked)
        memcpy(more.revoked, f->revoked, f->nrevoked * sizeof(*more.revoked));
    enum vf_err err = vf_log_since(st->log, &more.place, EVENTS, take_entry, &more, why);
    contents_done(err ? &more : f);
    if (!err)
        *f = more;
    return err;
}

static void publish(struct vf_station *st, struct vf_station_floors *f)
{
    struct vf_station_floors *to = &st->floors;
    pthread_mutex_lock(&st->floors_lock);
    if (to->policy > f->policy) /* taken meanwhile */
        f->policy = to->policy;
    for (size_t i = to->nrevoked - to->ntaken; i < to->nrevoked; i++) {
        enum vf_err ignored = add_revoked(f, &to->revoked[i], NULL);
        (void)ignored; /* no memory: the next start reads it from the log */
    }
    contents_done(to);
    *to = *f;
    to->ntaken = 0;
    pthread_mutex_unlock(&st->floors_lock);
    f->revoked = NULL;
}

static enum vf_err save(struct vf_station *st, const struct vf_station_floors *f, struct vf_why *why)
{
    VF_FREE char *file = vf_station_file(st->path, "known");
    VF_BUF data;
    vf_buf_init(&data, KNOWN_MAX);
    if (!file)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", st->path);
    encode(f, st->key, &data);
    VF_TRY(vf_buf_check(&data, file, why));
    return vf_file_write(file, data.data, data.len, 0600, true, why);
}

enum vf_err vf_station_floors_load(struct vf_station *st, struct vf_why *why)
{
    VF_FREE char *file = vf_station_file(st->path, "known");
    VF_CLEANUP(contents_done) struct vf_station_floors f = {0};
    VF_BUF data = {0};

    if (!file)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", st->path);
    /* Whatever is wrong with it: the log has it all. */
    if (vf_file_read(file, KNOWN_MAX, &data, NULL) || !decode(&data, st->key, &f)) {
        contents_done(&f);
        f = (struct vf_station_floors){0};
    }
    f.saved = f.place.tree.size;
    enum vf_err err = VF_OK;
    if (st->log) {
        err = read_log(st, &f, why);
        if (err == VF_E_FORGED && f.place.tree.size > 0) { /* of another moment than the log: both count */
            f.place = (struct vf_log_place){0};
            err = read_log(st, &f, why);
        }
    }
    if (err == VF_E_FORGED && st->mode == VF_STATION_MOUNT)
        return vf_fail(why, VF_E_FORGED,
                       "%s: the log of this station was damaged or changed: what was revoked, and which policy is the "
                       "newest, cannot be "
                       "told from it. Keep the folder as it is and tell the force; a new station has to be enrolled.",
                       st->path);
    if (err && err != VF_E_FORGED)
        return err;
    publish(st, &f);
    if (st->mode == VF_STATION_MOUNT) {
        enum vf_err ignored = vf_station_floors_follow(st, NULL);
        (void)ignored; /* without `known` the next start reads more, nothing else */
    }
    return VF_OK;
}

/* By one thread at a time: at opening, then the keeper. */
enum vf_err vf_station_floors_follow(struct vf_station *st, struct vf_why *why)
{
    VF_CLEANUP(contents_done) struct vf_station_floors f = {0};
    struct vf_log_state log;

    vf_log_state_get(st->log, &log);
    if (log.sealed < st->floors.saved + SAVE_ENTRIES)
        return VF_OK;
    pthread_mutex_lock(&st->floors_lock);
    f = st->floors;
    f.revoked = calloc(f.nrevoked + 1, sizeof(*f.revoked));
    if (f.revoked && f.nrevoked)
        memcpy(f.revoked, st->floors.revoked, f.nrevoked * sizeof(*f.revoked));
    pthread_mutex_unlock(&st->floors_lock);
    if (!f.revoked)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", st->path);
    VF_TRY(read_log(st, &f, why));
    VF_TRY(save(st, &f, why));
    f.saved = f.place.tree.size;
    publish(st, &f);
    return VF_OK;
}

/* The policy that a station was made with is not received: the first mount under it says so in the log. */
enum vf_err vf_station_floors_rule(struct vf_station *st, struct vf_why *why)
{
    char object[32];
    uint32_t version = (uint32_t)st->policy.ruling;
    if (version <= vf_station_floors_policy(st))
        return VF_OK;
    (void)snprintf(object, sizeof(object), VF_ST_LOG_POLICY "%u", version);
    const struct vf_entry e = {.event = VF_EVENT_POLICY, .part = -1, .object = object, .result = "ok"};
    uint64_t seq;
    VF_TRY(vf_log_append(st->log, &e, &seq, why));
    vf_station_floors_take_policy(st, version);
    return VF_OK;
}

uint32_t vf_station_floors_policy(struct vf_station *st)
{
    pthread_mutex_lock(&st->floors_lock);
    uint32_t version = st->floors.policy;
    pthread_mutex_unlock(&st->floors_lock);
    return version;
}

void vf_station_floors_take_policy(struct vf_station *st, uint32_t version)
{
    pthread_mutex_lock(&st->floors_lock);
    if (version > st->floors.policy)
        st->floors.policy = version;
    pthread_mutex_unlock(&st->floors_lock);
}

/* Without memory for it, the next start reads it from the log. */
void vf_station_floors_take_revoked(struct vf_station *st, const struct vf_grant_id *id)
{
    pthread_mutex_lock(&st->floors_lock);
    size_t before = st->floors.nrevoked;
    enum vf_err ignored = add_revoked(&st->floors, id, NULL);
    (void)ignored;
    st->floors.ntaken += st->floors.nrevoked - before;
    pthread_mutex_unlock(&st->floors_lock);
}

bool vf_station_floors_revoked(struct vf_station *st, const struct vf_grant_id *id)
{
    pthread_mutex_lock(&st->floors_lock);
    bool revoked = st->floors.device_revoked || is_known(&st->floors, id->c);
    pthread_mutex_unlock(&st->floors_lock);
    return revoked;
}

void vf_station_floors_done(struct vf_station *st)
{
    contents_done(&st->floors);
}
