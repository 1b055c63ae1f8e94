/* SPDX-License-Identifier: MIT */
/*
 * One thread's tools to open values. Nothing in the database is believed: the record's manifest row and envelopes must be those that were
 * verified when the job was loaded (by their tag, under a key that only this process has), the ciphertext with the manifest row, the true length with the catalogue.
 *
 * The database is a shared map of a file that others may write to: what is hashed is first copied, and only the copy is used. Otherwise a
 * holder of the field key could show the hash one ciphertext and the decryption another.
 */
#include "station_internal.h"

#include <stdlib.h>
#include <string.h>

#define SCRATCH_LEN (VF_VALUE_MAX + 8192 + 4 + 64)

struct vf_value_reader {
    struct vf_station *st;
    struct vf_txn *txn;
    struct vf_hasher hasher;
    uint8_t *scratch;               /* arena */
    size_t used;                    /* bytes of it that may hold plaintext */
    size_t room;                    /* and these at its end, the caller's */
    struct vf_field_key *keys;      /* arena */
    uint8_t *sealed;                /* copy of one ciphertext */
    struct vf_value_ahead *ahead;   /* until the reader is wiped; NULL: none */
    uint8_t row[VF_RECORD_ROW_MAX]; /* of one record's row and envelopes */
};

enum vf_err vf_value_reader_new(struct vf_station *st, struct vf_value_reader **ret, struct vf_why *why)
{
    struct vf_value_reader *r = calloc(1, sizeof(*r));
    if (!r)
        return vf_fail(why, VF_E_NOMEM, "out of memory");
    r->st = st;
    r->scratch = vf_secret_new(SCRATCH_LEN);
    r->keys = vf_secret_new(VF_FIELD_COUNT * sizeof(*r->keys));
    r->sealed = malloc(VF_SEALED_MAX);
    enum vf_err err = VF_OK;
    if (!r->scratch || !r->keys)
        err = vf_fail(why, VF_E_LOCKED_MEMORY, "no locked memory left for reading values");
    else if (!r->sealed)
        err = vf_fail(why, VF_E_NOMEM, "out of memory");
    if (!err)
        err = vf_hasher_init(&r->hasher, why);
    if (!err)
        err = vf_txn_read(st->store, &r->txn, why);
    if (err) {
        vf_value_reader_free(r);
        return err;
    }
    vf_txn_reset(r->txn);
    *ret = r;
    return VF_OK;
}

void vf_value_reader_free(struct vf_value_reader *r)
{
    if (!r)
        return;
    vf_txn_end(r->txn);
    vf_hasher_done(&r->hasher);
    vf_secret_free(r->scratch);
    vf_secret_free(r->keys);
    free(r->sealed);
    free(r);
}

void vf_value_reader_wipe(struct vf_value_reader *r)
{
    r->ahead = NULL;
    vf_wipe(r->scratch, r->used);
    r->used = 0;
    vf_wipe(r->scratch + SCRATCH_LEN - r->room, r->room);
    r->room = 0;
    vf_wipe(r->keys, VF_FIELD_COUNT * sizeof(*r->keys));
}

void vf_value_reader_look_ahead(struct vf_value_reader *r, struct vf_value_ahead *ahead)
{
    r->ahead = ahead;
}

uint8_t *vf_value_reader_room(struct vf_value_reader *r, size_t size)
{
    if (size > SCRATCH_LEN / 2)
        return NULL;
    vf_wipe(r->scratch + SCRATCH_LEN - r->room, r->room);
    r->room = size;
    return r->scratch + SCRATCH_LEN - size;
}

/* A record's rows in the stored grant, proved to be what was verified: in the reader. */
struct rows {
    const uint8_t *manifest, *envelopes;
};

static enum vf_err get_rows(struct vf_value_reader *r, const struct vf_job *job, uint32_t index, struct rows *ret,
                            struct vf_why *why)
{
    const struct vf_grant_layout *l = &job->layout;
    struct vf_slice row;
    struct vf_tag tag;

    if (!vf_txn_get(r->txn, VF_ST_GRANT, job->grant.id.c, sizeof(job->grant.id.c), &row)) {
        VF_TRY(vf_txn_check(r->txn, why));
        return vf_fail(why, VF_E_DAMAGED, "job %s: the stored grant is gone", job->grant.job);
    }
    size_t unused, first = vf_envelope_at(l, index, l->ntext ? VF_PART_TEXT : VF_PART_IMAGE, &unused);
    size_t manifest_at = job->manifest_rows_at + (size_t)index * l->manifest_stride;
    size_t envelopes_at = job->envelopes_at + first;
    if (manifest_at + l->manifest_stride > row.len || envelopes_at + l->envelope_stride > row.len ||
        l->manifest_stride + l->envelope_stride > sizeof(r->row))
        return vf_fail(why, VF_E_DAMAGED, "job %s: the stored grant is cut short", job->grant.job);
    memcpy(r->row, row.data + manifest_at, l->manifest_stride);
    memcpy(r->row + l->manifest_stride, row.data + envelopes_at, l->envelope_stride);
    ret->manifest = r->row;
    ret->envelopes = r->row + l->manifest_stride;
    vf_tag_of(r->st->tag_key, r->row, l->manifest_stride + l->envelope_stride, &tag);
    if (!vf_equal(&tag, &job->rows[index], sizeof(tag)))
        return vf_fail(why, VF_E_FORGED, "job %s: the stored grant was changed after it was checked", job->grant.job);
    return VF_OK;
}

static enum vf_err get_keys(struct vf_value_reader *r, const struct vf_job *job, uint32_t index, enum vf_part part,
                            const struct rows *rows, struct vf_why *why)
{
    const struct vf_grant_layout *l = &job->layout;
    const struct vf_ref *ref = vf_catalogue_ref(job->catalogue, index);
    struct vf_release_share rs;
    size_t len, at = vf_envelope_at(l, index, part, &len);
    size_t first = vf_envelope_at(l, index, l->ntext ? VF_PART_TEXT : VF_PART_IMAGE, &(size_t){0});

    if (!job->shares)
        vf_kdf_release_share_offline(ref, part, &rs);
    /* The share is read under its lock: the end of the grant wipes it. */
    pthread_rwlock_rdlock((pthread_rwlock_t *)(uintptr_t)&job->share_lock);
    enum vf_err err = VF_OK;
    if (job->forgotten)
        err = VF_E_EXPIRED;
    else if (job->shares && !vf_shares_get(job->shares, index, part, &rs))
        err = VF_E_NO_SHARE;
    else
        err = vf_grant_open_keys(&job->grant, l, job->share, &rs, ref, part, rows->envelopes + (at - first), r->keys);
    pthread_rwlock_unlock((pthread_rwlock_t *)(uintptr_t)&job->share_lock);
    vf_wipe(&rs, sizeof(rs));
    if (err == VF_E_NO_SHARE)
        return vf_fail(why, err, "%.8s: there is no share of the key desk for it now", ref->c);
    if (err == VF_E_EXPIRED)
        return vf_fail(why, err, "job %s: the grant has ended", job->grant.job);
    if (err)
        return vf_fail(why, err, "%.8s: the envelope of its keys does not open", ref->c);
    return VF_OK;
}

/* One value into `out`: look up, hash, decrypt, compare the length. `column`: its place in the manifest row. */
static enum vf_err open_one(struct vf_value_reader *r, struct vf_job *job, uint32_t index, unsigned column,
                            const struct vf_field_key *key, const struct rows *rows, uint8_t *out, size_t out_len,
                            const uint8_t **ret_plain, size_t *ret_len, struct vf_why *why)
{
    struct vf_value_want want;
    size_t sealed_len = 0;

    vf_value_want_of(job, index, column, rows->manifest, &want);
    if (!r->ahead || !vf_value_ahead_take(r->ahead, job, index, &want, &r->sealed, &sealed_len))
        VF_TRY(vf_value_fetch(r->st, r->txn, &r->hasher, &want, r->sealed, &sealed_len, why));
    const struct vf_value_id id = {
        .vault = job->grant.vault, .ref = want.ref, .field = (uint8_t)want.field, .generation = want.generation};
    if (vf_value_open(key, &id, r->sealed, sealed_len, out, out_len, ret_plain, ret_len))
        return vf_fail(why, VF_E_DAMAGED, "%.8s: its %s does not decrypt", want.ref.c, vf_field_info(want.field)->name);
    if (*ret_len != vf_catalogue_len(job->catalogue, index, want.field))
        return vf_fail(why, VF_E_DAMAGED, "%.8s: its %s is not as long as the catalogue says", want.ref.c,
                       vf_field_info(want.field)->name);
    return VF_OK;
}

static void note_used(struct vf_value_reader *r, size_t upto)
{
    if (upto > r->used)
        r->used = upto;
}

/* A field's place among its part's keys. */
static unsigned key_of(const struct vf_grant_layout *l, unsigned column)
{
    unsigned key = 0;
    for (unsigned i = 0; i < column; i++)
        key += vf_field_part(l->field[i]) == vf_field_part(l->field[column]);
    return key;
}

enum vf_err vf_value_reader_get(struct vf_value_reader *r, struct vf_job *job, uint32_t index, unsigned field,
                                const uint8_t **ret_plain, size_t *ret_len, struct vf_why *why)
{
    unsigned column;
    struct rows rows;

    if (index >= vf_catalogue_count(job->catalogue) || !vf_value_column(&job->layout, field, &column))
        return vf_fail(why, VF_E_NOT_FOUND, "no such value in this grant");
    VF_TRY(vf_txn_renew(r->txn, why));
    enum vf_err err = get_rows(r, job, index, &rows, why);
    if (!err)
        err = get_keys(r, job, index, (enum vf_part)vf_field_part(field), &rows, why);
    if (!err)
        err = open_one(r, job, index, column, &r->keys[key_of(&job->layout, column)], &rows, r->scratch, SCRATCH_LEN - 1,
                       ret_plain, ret_len, why);
    /* The padded plaintext, and the byte that the caller may add; after a failure, whatever lies there. */
    note_used(r, err ? SCRATCH_LEN : 4 + vf_field_padded(field, *ret_len) + 1);
    vf_txn_reset(r->txn);
    vf_wipe(r->keys, VF_FIELD_COUNT * sizeof(*r->keys));
    return err;
}

enum vf_err vf_value_reader_texts(struct vf_value_reader *r, struct vf_job *job, uint32_t index,
                                  struct vf_text_value ret[VF_FIELD_COUNT], struct vf_why *why)
{
    struct rows rows;
    size_t used = 0;

    if (index >= vf_catalogue_count(job->catalogue))
        return vf_fail(why, VF_E_NOT_FOUND, "no such record in this grant");
    VF_TRY(vf_txn_renew(r->txn, why));
    enum vf_err err = get_rows(r, job, index, &rows, why);
    if (!err)
        err = get_keys(r, job, index, VF_PART_TEXT, &rows, why);
    for (unsigned i = 0; !err && i < job->layout.ntext; i++) {
        unsigned column = 0, field = job->layout.text_field[i];
        const uint8_t *plain = NULL;
        size_t len = 0, room = vf_field_padded(field, 0) + 4;
        (void)vf_value_column(&job->layout, field, &column);
        if (used + room > SCRATCH_LEN - r->room)
            err = vf_fail(why, VF_E_LIMIT, "a record's text is too long");
        else
            err = open_one(r, job, index, column, &r->keys[key_of(&job->layout, column)], &rows, r->scratch + used, room,
                           &plain, &len, why);
        ret[i] = (struct vf_text_value){.text = (const char *)plain, .len = len};
        used += room;
    }
    note_used(r, used);
    vf_txn_reset(r->txn);
    vf_wipe(r->keys, VF_FIELD_COUNT * sizeof(*r->keys));
    return err;
}
