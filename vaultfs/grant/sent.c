/* SPDX-License-Identifier: MIT */
#include "sent.h"

#include "rows.h"

#include <stdlib.h>
#include <string.h>

struct load {
    struct vf_sent *sent;
    const struct vf_manifest *m;
    const struct vf_hash *enrolment;
    const struct vf_grant_id *self;
    int64_t now_us;
    struct vf_txn *txn;
    struct vf_why *why;
    enum vf_err err;
    struct vf_hash last; /* manifest marked last: renewals share one and often follow each other */
    bool has_last;
};

void vf_sent_done(struct vf_sent *s)
{
    vf_buf_done(&s->bits);
}

bool vf_sent_has(const struct vf_sent *s, uint32_t row, unsigned column)
{
    size_t bit = (size_t)row * s->nfields + column;

    return (s->bits.data[bit / 8] >> (bit % 8) & 1u) != 0;
}

static void mark_row(struct load *l, uint32_t row, const struct vf_manifest *other, uint32_t other_row, const int *column)
{
    for (unsigned c = 0; c < l->m->nfields; c++) {
        struct vf_manifest_item mine;
        struct vf_manifest_item theirs;
        if (column[c] < 0)
            continue;
        vf_manifest_item(l->m, row, c, &mine);
        vf_manifest_item(other, other_row, (unsigned)column[c], &theirs);
        if (mine.generation == 0 || mine.generation != theirs.generation ||
            memcmp(&mine.hash, &theirs.hash, sizeof(mine.hash)) != 0)
            continue;
        size_t bit = (size_t)row * l->m->nfields + c;
        l->sent->bits.data[bit / 8] |= (uint8_t)(1u << (bit % 8));
    }
}

/* Both are in ref order: one walk. */
static void mark(struct load *l, const struct vf_manifest *other)
{
    int column[VF_FIELD_COUNT];
    uint32_t a = 0;
    uint32_t b = 0;

    for (unsigned c = 0; c < l->m->nfields; c++)
        column[c] = vf_manifest_column(other, l->m->fields[c]);
    while (a < l->m->nrecords && b < other->nrecords) {
        struct vf_ref x;
        struct vf_ref y;
        vf_manifest_ref(l->m, a, &x);
        vf_manifest_ref(other, b, &y);
        int cmp = vf_ref_cmp(&x, &y);
        if (cmp == 0)
            mark_row(l, a, other, b, column);
        a += cmp <= 0;
        b += cmp >= 0;
    }
}

static bool counts(const struct load *l, struct vf_slice key, const struct vf_grant_row *row)
{
    if (!row->exported || row->state != VF_GRANT_ISSUED || memcmp(&row->device, l->enrolment, VF_HASH_LEN) != 0)
        return false;
    if (row->until_us < l->now_us - VF_SENT_KEEP_US)
        return false;
    return l->self == NULL || key.len != VF_GRANT_ID_LEN || memcmp(key.data, l->self->c, VF_GRANT_ID_LEN) != 0;
}

static bool each_grant(struct vf_cursor *cur, struct vf_slice key, struct vf_slice val, void *user)
{
    struct load *l = user;
    struct vf_grant_row row;
    struct vf_manifest other;
    struct vf_slice bytes;

    (void)cur;
    l->err = vf_grant_row_parse(val.data, val.len, &row, l->why);
    if (l->err != VF_OK)
        return false;
    if (!counts(l, key, &row) || (l->has_last && memcmp(&l->last, &row.manifest, VF_HASH_LEN) == 0))
        return true;
    if (!vf_txn_get(l->txn, VF_VT_MANIFEST, row.manifest.b, VF_HASH_LEN, &bytes)) {
        l->err = vf_fail(l->why, VF_E_DAMAGED, "the vault has lost the manifest of a grant; check the vault");
        return false;
    }
    l->err = vf_manifest_parse(bytes.data, bytes.len, "a manifest in the vault", &other, l->why);
    if (l->err != VF_OK)
        return false;
    mark(l, &other);
    l->last = row.manifest;
    l->has_last = true;
    return true;
}

enum vf_err vf_sent_load(struct vf_vault *v, const struct vf_hash *enrolment, const struct vf_grant_id *self, int64_t now_us,
                         const struct vf_manifest *m, struct vf_sent *ret, struct vf_why *why)
{
    VF_SENT s = {.nfields = m->nfields};
    VF_TXN txn = NULL;
    size_t bytes = ((size_t)m->nrecords * m->nfields + 7) / 8;

    vf_buf_init(&s.bits, bytes);
    (void)vf_buf_grow(&s.bits, bytes);
    VF_TRY(vf_buf_check(&s.bits, "the values sent before", why));
    VF_TRY(vf_txn_read(vf_vault_store(v), &txn, why));
    struct load l = {.sent = &s, .m = m, .enrolment = enrolment, .self = self, .now_us = now_us, .txn = txn, .why = why};
    vf_txn_foreach(txn, VF_VT_GRANT, NULL, 0, each_grant, &l);
    VF_TRY(l.err);
    VF_TRY(vf_rows_check(v, txn, why));
    *ret = s;
    s = (struct vf_sent){0};
    return VF_OK;
}

/* ------------------------------------------------------------------------------------------------------------ offline before */

struct hashes {
    const struct vf_hash *enrolment;
    struct vf_hash *list;
    size_t n;
};

static void hashes_done(struct hashes *h)
{
    free(h->list);
}

static enum vf_err collect_offline(void *user, const struct vf_grant_row *row, const struct vf_grant *g,
                                   const struct vf_note *note, struct vf_why *why)
{
    struct hashes *h = user;

    (void)note;
    if (g->release != VF_RELEASE_OFFLINE || memcmp(&row->device, h->enrolment, VF_HASH_LEN) != 0)
        return VF_OK;
    struct vf_hash *more = reallocarray(h->list, h->n + 1, sizeof(*more));
    if (more == NULL)
        return vf_fail(why, VF_E_NOMEM, "no memory for the list of a device's grants");
    h->list = more;
    h->list[h->n++] = row->manifest;
    return VF_OK;
}

enum vf_err vf_sent_offline(struct vf_vault *v, const struct vf_hash *enrolment, const struct vf_manifest *m, bool *ret,
                            struct vf_why *why)
{
    VF_CLEANUP(hashes_done) struct hashes h = {.enrolment = enrolment};
    VF_SENT s = {.nfields = m->nfields};
    struct load l = {.sent = &s, .m = m};
    bool any = false;

    vf_buf_init(&s.bits, ((size_t)m->nrecords * m->nfields + 7) / 8);
    (void)vf_buf_grow(&s.bits, s.bits.max);
    VF_TRY(vf_buf_check(&s.bits, "the values sent before", why));
    VF_TRY(vf_kept_grants(v, collect_offline, &h, why));
    for (size_t i = 0; i < h.n; i++) {
        VF_BUF manifest = {0}, times = {0};
        struct vf_manifest other;
        VF_TRY(vf_kept_manifest(v, &h.list[i], &manifest, &times, why));
        VF_TRY(vf_manifest_parse(manifest.data, manifest.len, "a manifest in the vault", &other, why));
        mark(&l, &other);
    }
    for (size_t i = 0; i < s.bits.len; i++)
        any = any || s.bits.data[i] != 0;
    *ret = any;
    return VF_OK;
}
