/* SPDX-License-Identifier: MIT */
/* Jobs: what a mount shows. Loaded from verified grants; immutable; counted. */
#include "station_internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* --------------------------------------------------------------------------------------------------------------- batches */

struct batches {
    uint64_t *list;
    size_t n, cap;
    bool failed;
};

static bool add_batch(struct vf_cursor *cur, struct vf_slice key, struct vf_slice val, void *user)
{
    struct batches *b = user;
    (void)cur;
    (void)val;
    if (key.len != 8)
        return true;
    if (b->n == b->cap) {
        size_t cap = b->cap ? b->cap * 2 : 16;
        uint64_t *grown = realloc(b->list, cap * sizeof(*grown));
        if (!grown) {
            b->failed = true;
            return false;
        }
        b->list = grown;
        b->cap = cap;
    }
    b->list[b->n++] = vf_get_be64(key.data); /* the table's order is ascending */
    return true;
}

bool vf_station_batch_committed(struct vf_station *st, uint64_t batch)
{
    bool found = false;
    pthread_rwlock_rdlock(&st->jobs_lock);
    size_t low = 0, high = st->nbatches;
    while (low < high && !found) {
        size_t mid = low + (high - low) / 2;
        found = st->batches[mid] == batch;
        if (st->batches[mid] < batch)
            low = mid + 1;
        else
            high = mid;
    }
    pthread_rwlock_unlock(&st->jobs_lock);
    return found;
}

/* ----------------------------------------------------------------------------------------------------------- what is here */

uint64_t vf_station_present(struct vf_station *st, struct vf_txn *txn, const struct vf_grant_file *file, uint8_t *items,
                            uint64_t *ret_named)
{
    const struct vf_manifest *m = &file->manifest;
    uint64_t named = 0, present = 0;

    for (uint32_t i = 0; i < m->nrecords; i++) {
        struct vf_ref ref;
        unsigned ntext = 0, text_here = 0;
        uint8_t flags = 0;
        vf_manifest_ref(m, i, &ref);
        for (unsigned c = 0; c < m->nfields; c++) {
            struct vf_manifest_item item;
            struct vf_slice val;
            uint8_t key[VF_VALUE_KEY_LEN];
            vf_manifest_item(m, i, c, &item);
            bool text = !vf_field_is_image(m->fields[c]);
            ntext += text;
            if (item.generation == 0)
                continue;
            named++;
            vf_station_value_key(&ref, m->fields[c], item.generation, &item.hash, key);
            bool here = vf_txn_get(txn, VF_ST_VALUE, key, sizeof(key), &val) && val.len > VF_VALUE_ROW_PREFIX &&
                        vf_station_batch_committed(st, vf_get_be64(val.data));
            present += here;
            text_here += here && text;
            if (!here)
                flags |= VF_ITEM_MISSING;
            else if (m->fields[c] == VF_FIELD_PHOTO)
                flags |= VF_ITEM_PHOTO;
            else if (m->fields[c] == VF_FIELD_SIGNATURE)
                flags |= VF_ITEM_SIGNATURE;
        }
        if (ntext > 0 && text_here == ntext)
            flags |= VF_ITEM_TEXT;
        if (items)
            items[i] = flags;
    }
    *ret_named = named;
    return present;
}

/* Everything is here, by what was marked when the last value came: no look-ups. */
static void all_present(const struct vf_grant_file *file, uint8_t *items)
{
    const struct vf_manifest *m = &file->manifest;
    for (uint32_t i = 0; i < m->nrecords; i++) {
        uint8_t flags = 0;
        for (unsigned c = 0; c < m->nfields; c++) {
            struct vf_manifest_item item;
            if (!vf_field_is_image(m->fields[c])) {
                flags |= VF_ITEM_TEXT;
                continue;
            }
            vf_manifest_item(m, i, c, &item);
            if (item.generation > 0)
                flags |= m->fields[c] == VF_FIELD_PHOTO ? VF_ITEM_PHOTO : VF_ITEM_SIGNATURE;
        }
        items[i] = flags;
    }
}

/* ----------------------------------------------------------------------------------------------------------------- a job */

static enum vf_err tag_rows(struct vf_job *job, const struct vf_grant_file *file, struct vf_why *why)
{
    const struct vf_grant_layout *l = &job->layout;
    uint8_t row[VF_RECORD_ROW_MAX];
    size_t len = l->manifest_stride + l->envelope_stride;
    if (len > sizeof(row))
        return vf_fail(why, VF_E_LIMIT, "job %s: more fields than a record has", job->grant.job);
    for (uint32_t i = 0; i < file->manifest.nrecords; i++) {
        size_t unused, start = vf_envelope_at(l, i, l->ntext ? VF_PART_TEXT : VF_PART_IMAGE, &unused);
        memcpy(row, file->manifest.rows + (size_t)i * l->manifest_stride, l->manifest_stride);
        memcpy(row + l->manifest_stride, file->envelopes + start, l->envelope_stride);
        vf_tag_of(job->station->tag_key, row, len, &job->rows[i]);
    }
    return VF_OK;
}

static enum vf_err fill_job(struct vf_station *st, struct vf_txn *txn, struct vf_job *job, struct vf_slice row,
                            const struct vf_grant_file *file, const struct vf_job *before, struct vf_why *why)
{
    uint32_t n = file->manifest.nrecords;
    vf_grant_layout_of(job->grant.fields, &job->layout);
    job->rows = calloc(n ? n : 1, sizeof(*job->rows));
    job->items = calloc(n ? n : 1, 1);
    job->share = vf_secret_new(sizeof(*job->share));
    if (!job->rows || !job->items || !job->share)
        return vf_fail(why, VF_E_NOMEM, "job %s: out of memory", job->grant.job);
    if (vf_grant_share_open(st->device, job->grant.sealed_share, job->share))
        return vf_fail(why, VF_E_FORGED, "job %s: the grant was sealed to another device", job->grant.job);
    VF_TRY(vf_catalogue_decode(&job->grant, job->share, &file->manifest, file->catalogue, file->catalogue_len,
                               &job->catalogue, why));
    job->manifest_rows_at = (size_t)(file->manifest.rows - row.data);
    job->envelopes_at = (size_t)(file->envelopes - row.data);
    VF_TRY(tag_rows(job, file, why));
    uint64_t named;
    if (row.data[0])
        all_present(file, job->items);
    else
        (void)vf_station_present(st, txn, file, job->items, &named);
    VF_TRY(vf_job_budget_load(st, job, before, why));
    return vf_job_shares_load(job, before, why);
}

#define HUGE_PAGE ((size_t)2 << 20)

/* A grant of some megabytes for a moment: in large pages where there are such, which are made and given back in a tenth of the time. */
uint8_t *vf_station_copy(struct vf_slice row)
{
    uint8_t *copy;
    if (row.len < 2 * HUGE_PAGE) {
        copy = malloc(row.len ? row.len : 1);
    } else {
        size_t len = (row.len + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
        copy = aligned_alloc(HUGE_PAGE, len);
        if (copy)
            (void)madvise(copy, len, MADV_HUGEPAGE);
    }
    if (copy && row.len)
        memcpy(copy, row.data, row.len);
    return copy;
}

/* From a copy of the row: nobody can change it between the check and what is taken from it. */
static enum vf_err load_copy(struct vf_station *st, struct vf_txn *txn, struct vf_job *job, struct vf_slice row,
                             const struct vf_job *before, struct vf_why *why)
{
    VF_FREE struct vf_grant_file *file = calloc(1, sizeof(*file));
    if (!file)
        return vf_fail(why, VF_E_NOMEM, "out of memory");
    VF_TRY(vf_grant_file_parse(row.data + VF_GRANT_ROW_PREFIX, row.len - VF_GRANT_ROW_PREFIX, "a stored grant", file, why));
    VF_TRY(vf_grant_verify(file, &st->policy, why));
    job->grant = file->grant;
    job->policy = st->policy.ruling;
    VF_TRY(fill_job(st, txn, job, row, file, before, why));
    atomic_store(&job->revoked, vf_station_is_revoked(st, txn, &job->grant.id));
    return VF_OK;
}

struct vf_job *vf_job_load(struct vf_station *st, struct vf_txn *txn, struct vf_slice row, const struct vf_job *before,
                           struct vf_why *why)
{
    struct vf_job *job = calloc(1, sizeof(*job));
    VF_FREE uint8_t *copy = vf_station_copy(row);
    enum vf_err err = VF_OK;
    if (!job || !copy) {
        free(job);
        err = vf_fail(why, VF_E_NOMEM, "out of memory");
        return NULL;
    }
    job->refs = 1;
    job->station = st;
    pthread_rwlock_init(&job->share_lock, NULL);
    if (row.len <= VF_GRANT_ROW_PREFIX)
        err = vf_fail(why, VF_E_DAMAGED, "a stored grant is damaged: receive it again");
    if (!err)
        err = load_copy(st, txn, job, (struct vf_slice){.data = copy, .len = row.len}, before, why);
    if (err) {
        vf_job_unref(job);
        return NULL;
    }
    return job;
}

struct vf_job *vf_job_ref(struct vf_job *job)
{
    atomic_fetch_add(&job->refs, 1);
    return job;
}

void vf_job_unref(struct vf_job *job)
{
    if (!job || atomic_fetch_sub(&job->refs, 1) != 1)
        return;
    vf_secret_free(job->share);
    vf_catalogue_free(job->catalogue);
    vf_job_shares_free(job);
    vf_job_budget_free(job);
    free(job->rows);
    free(job->items);
    pthread_rwlock_destroy(&job->share_lock);
    free(job);
}

void vf_job_forget(struct vf_job *job)
{
    pthread_rwlock_wrlock(&job->share_lock);
    vf_wipe(job->share, sizeof(*job->share));
    job->forgotten = true;
    vf_job_shares_wipe(job); /* under the lock: none can be put in behind it */
    pthread_rwlock_unlock(&job->share_lock);
}

bool vf_job_forgotten(struct vf_job *job)
{
    pthread_rwlock_rdlock(&job->share_lock);
    bool forgotten = job->forgotten;
    pthread_rwlock_unlock(&job->share_lock);
    return forgotten;
}

enum vf_err vf_job_file(struct vf_job *job, struct vf_buf *out, struct vf_why *why)
{
    VF_TXN txn = NULL;
    struct vf_slice row;
    VF_TRY(vf_txn_read(job->station->store, &txn, why));
    if (!vf_txn_get(txn, VF_ST_GRANT, job->grant.id.c, sizeof(job->grant.id.c), &row) || row.len <= VF_GRANT_ROW_PREFIX) {
        VF_TRY(vf_txn_check(txn, why));
        return vf_fail(why, VF_E_DAMAGED, "job %s: the stored grant is gone", job->grant.job);
    }
    vf_buf_put(out, row.data + VF_GRANT_ROW_PREFIX, row.len - VF_GRANT_ROW_PREFIX);
    return vf_buf_check(out, "the stored grant", why);
}

const struct vf_grant *vf_job_grant(const struct vf_job *job)
{
    return &job->grant;
}

const struct vf_grant_layout *vf_job_layout(const struct vf_job *job)
{
    return &job->layout;
}

const struct vf_catalogue *vf_job_catalogue(const struct vf_job *job)
{
    return job->catalogue;
}

uint32_t vf_job_count(const struct vf_job *job)
{
    return vf_catalogue_count(job->catalogue);
}

void vf_job_item_get(const struct vf_job *job, uint32_t index, struct vf_job_item *ret)
{
    uint8_t flags = job->items[index];
    *ret = (struct vf_job_item){
        .ref = *vf_catalogue_ref(job->catalogue, index),
        .changed_us = vf_catalogue_changed_us(job->catalogue, index),
        .photo = (flags & VF_ITEM_PHOTO) != 0,
        .signature = (flags & VF_ITEM_SIGNATURE) != 0,
        .text = (flags & VF_ITEM_TEXT) != 0,
        .missing = (flags & VF_ITEM_MISSING) != 0,
    };
}

uint64_t vf_job_padded(const struct vf_job *job, uint32_t index, unsigned field)
{
    return vf_field_padded(field, vf_catalogue_len(job->catalogue, index, field));
}

enum vf_err vf_job_may(struct vf_station *st, const struct vf_job *job, struct vf_why *why)
{
    int64_t t;
    if (atomic_load(&job->revoked))
        return vf_fail(why, VF_E_REVOKED, "The force has revoked this grant. Ask the force.");
    enum vf_err clock = vf_station_time(st, &t, why);
    /* An end that has come by trusted time has come, whatever the wall clock says. */
    if (t >= job->grant.until_us || clock == VF_OK)
        return vf_grant_window(&job->grant, t, why);
    return clock;
}

/* ----------------------------------------------------------------------------------------------------------- all of them */

bool vf_station_is_revoked(struct vf_station *st, struct vf_txn *txn, const struct vf_grant_id *id)
{
    struct vf_slice unused;
    return vf_txn_get(txn, VF_ST_REVOCATION, id->c, sizeof(id->c), &unused) ||
           vf_txn_get(txn, VF_ST_REVOCATION, st->enrol.id.b, sizeof(st->enrol.id.b), &unused) ||
           vf_station_floors_revoked(st, id);
}

struct loading {
    struct vf_station *st;
    struct vf_txn *txn;
    struct vf_job **jobs;
    size_t n;
    enum vf_err err;
    struct vf_why *why;
};

static struct vf_job *loaded_before(struct vf_station *st, struct vf_slice key)
{
    for (size_t i = 0; i < st->njobs; i++)
        if (key.len == sizeof(st->jobs[i]->grant.id) && memcmp(st->jobs[i]->grant.id.c, key.data, key.len) == 0)
            return st->jobs[i];
    return NULL;
}

/* Immutable: a job whose values have all arrived stays as it is while the same policy rules; others are looked at anew. */
static bool still_right(const struct vf_station *st, const struct vf_job *job, uint8_t complete)
{
    bool missing = false;
    for (uint32_t r = 0; r < vf_job_count(job) && !missing; r++)
        missing = (job->items[r] & VF_ITEM_MISSING) != 0;
    return complete && !missing && !job->forgotten && job->policy == st->policy.ruling;
}

static bool load_one(struct vf_cursor *cur, struct vf_slice key, struct vf_slice val, void *user)
{
    struct loading *l = user;
    (void)cur;
    struct vf_job *before = loaded_before(l->st, key), *job;
    if (before && val.len > 0 && still_right(l->st, before, val.data[0])) {
        job = vf_job_ref(before);
        if (vf_station_is_revoked(l->st, l->txn, &job->grant.id))
            atomic_store(&job->revoked, true);
    } else {
        job = vf_job_load(l->st, l->txn, val, before, l->why);
        /* Those who signed it no longer suffice: it ends in a running mount too, not only at the next start. */
        if (!job && before && before->policy != l->st->policy.ruling)
            atomic_store(&before->revoked, true);
    }
    /* A grant that no longer verifies (its signers left, the policy moved on, the row is damaged) is not shown; the others are. */
    if (!job)
        return true;
    struct vf_job **grown = realloc(l->jobs, (l->n + 1) * sizeof(struct vf_job *));
    if (!grown) {
        vf_job_unref(job);
        l->err = VF_E_NOMEM;
        return false;
    }
    l->jobs = grown;
    l->jobs[l->n++] = job;
    vf_station_clock_grant(l->st, &job->grant);
    if (!atomic_load(&job->revoked)) /* a force whose clock was wrong takes back what it issued then */
        vf_station_clock_raise(l->st, job->grant.issued_us - VF_STATION_SKEW_US);
    return true;
}

static void take_batches(struct vf_station *st, struct batches *b)
{
    pthread_rwlock_wrlock(&st->jobs_lock);
    free(st->batches);
    st->batches = b->list;
    st->nbatches = b->n;
    pthread_rwlock_unlock(&st->jobs_lock);
}

static enum vf_err reload_batches(struct vf_station *st, struct vf_txn *txn, struct vf_why *why)
{
    struct batches batches = {0};
    vf_txn_foreach(txn, VF_ST_BATCH, "", 0, add_batch, &batches);
    enum vf_err err = vf_txn_check(txn, why);
    if (err || batches.failed) {
        free(batches.list);
        return err ? err : vf_fail(why, VF_E_NOMEM, "%s: out of memory", st->path);
    }
    take_batches(st, &batches);
    return VF_OK;
}

enum vf_err vf_station_reload_batches(struct vf_station *st, struct vf_why *why)
{
    VF_TXN txn = NULL;
    VF_TRY(vf_txn_read(st->store, &txn, why));
    return reload_batches(st, txn, why);
}

enum vf_err vf_station_reload(struct vf_station *st, struct vf_why *why)
{
    VF_TXN txn = NULL;
    VF_TRY(vf_txn_read(st->store, &txn, why));
    VF_TRY(reload_batches(st, txn, why));
    if (st->mode != VF_STATION_MOUNT) /* jobs need the device's secret */
        return VF_OK;

    struct loading l = {.st = st, .txn = txn, .why = why};
    vf_txn_foreach(txn, VF_ST_GRANT, "", 0, load_one, &l);
    enum vf_err err = l.err ? vf_fail(why, l.err, "%s: out of memory", st->path) : vf_txn_check(txn, why);
    struct vf_job **old = l.jobs;
    size_t n_old = l.n;
    if (!err) {
        pthread_rwlock_wrlock(&st->jobs_lock);
        old = st->jobs;
        n_old = st->njobs;
        st->jobs = l.jobs;
        st->njobs = l.n;
        pthread_rwlock_unlock(&st->jobs_lock);
        atomic_fetch_add(&st->version, 1);
    }
    for (size_t i = 0; i < n_old; i++)
        vf_job_unref(old[i]);
    free(old);
    return err ? err : vf_station_clock_settle(st, why);
}

enum vf_err vf_station_refresh(struct vf_station *st, struct vf_why *why)
{
    pthread_mutex_lock(&st->receive_lock);
    enum vf_err err = vf_station_reload(st, why);
    pthread_mutex_unlock(&st->receive_lock);
    return err;
}

void vf_station_jobs_free(struct vf_station *st)
{
    for (size_t i = 0; i < st->njobs; i++)
        vf_job_unref(st->jobs[i]);
    free(st->jobs);
    st->jobs = NULL;
    st->njobs = 0;
}

/* Of two grants with one job name: the one that can be used now, then the later end, then the later issue. */
static bool better(struct vf_station *st, const struct vf_job *a, const struct vf_job *b)
{
    bool may_a = vf_job_may(st, a, NULL) == VF_OK, may_b = vf_job_may(st, b, NULL) == VF_OK;
    if (may_a != may_b)
        return may_a;
    if (a->grant.until_us != b->grant.until_us)
        return a->grant.until_us > b->grant.until_us;
    return a->grant.issued_us > b->grant.issued_us;
}

enum vf_err vf_station_jobs(struct vf_station *st, struct vf_job ***ret, size_t *ret_n, struct vf_why *why)
{
    size_t n = 0;
    pthread_rwlock_rdlock(&st->jobs_lock);
    struct vf_job **list = calloc(st->njobs ? st->njobs : 1, sizeof(struct vf_job *));
    for (size_t i = 0; list && i < st->njobs; i++) {
        struct vf_job *job = st->jobs[i];
        size_t at = 0;
        while (at < n && strcmp(list[at]->grant.job, job->grant.job) < 0)
            at++;
        if (at < n && strcmp(list[at]->grant.job, job->grant.job) == 0) {
            if (better(st, job, list[at])) {
                vf_job_unref(list[at]);
                list[at] = vf_job_ref(job);
            }
            continue;
        }
        memmove(list + at + 1, list + at, (n - at) * sizeof(struct vf_job *));
        list[at] = vf_job_ref(job);
        n++;
    }
    pthread_rwlock_unlock(&st->jobs_lock);
    if (!list)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", st->path);
    *ret = list;
    *ret_n = n;
    return VF_OK;
}

uint64_t vf_station_version(struct vf_station *st)
{
    return atomic_load(&st->version);
}
