/* SPDX-License-Identifier: MIT */
#include "derive_record.h"

#include <string.h>

struct record { /* one record while it is worked on */
    const struct vf_derive *d;
    const struct vf_grant_layout *l;
    struct vf_view *view;
    struct vf_derive_keys *keys;
    struct vf_buf *scratch;
    struct vf_ref ref;
    uint32_t index;
    const struct vf_derive_row *out;
    unsigned filled[VF_PART_COUNT]; /* keys so far */
    int64_t newest_us;
    uint8_t seen;
};

static enum vf_err record_fail(struct vf_why *why, enum vf_err err, const struct record *r, unsigned field, const char *text)
{
    return vf_fail(why, err, "record %.*s, %s: %s", VF_REF_LEN, r->ref.c, vf_field_info(field)->name, text);
}

/* The generation to grant: the pinned one with the hash it must have, or the current one. */
static enum vf_err wanted(const struct record *r, unsigned column, struct vf_manifest_item *ret, bool *ret_pinned,
                          struct vf_why *why)
{
    unsigned field = r->l->field[column];

    *ret_pinned = r->d->pinned != NULL;
    if (*ret_pinned)
        vf_manifest_item(r->d->pinned, r->index, column, ret);
    else
        ret->generation = r->keys->head.f[field].generation;
    if (ret->generation == 0 && !vf_field_is_image(field))
        return record_fail(why, VF_E_DAMAGED, r, field, "the vault has no value of it; check the vault");
    return VF_OK;
}

/* Key and hash of the value in hand, into keys->value. */
static enum vf_err load_value(struct record *r, unsigned field, struct vf_manifest_item *item, bool pinned,
                              struct vf_why *why)
{
    enum vf_err err = vf_view_value_grant(r->view, &r->ref, field, item->generation, &r->keys->value, why);

    if (err == VF_E_NOT_FOUND)
        return record_fail(why, VF_E_NOT_FOUND, r, field, "the granted version of it is not in the vault any more");
    VF_TRY(err);
    if (pinned && memcmp(&r->keys->value.hash, &item->hash, sizeof(item->hash)) != 0)
        return record_fail(why, VF_E_FORGED, r, field, "the grant names another value than the one that the vault holds");
    item->hash = r->keys->value.hash;
    return VF_OK;
}

/* True and quoted length of a value: as the head says for the current one, else by looking. */
static enum vf_err measure(struct record *r, unsigned field, uint32_t generation, uint32_t *ret_len, uint32_t *ret_quoted,
                           struct vf_why *why)
{
    const struct vf_field_state *f = &r->keys->head.f[field];

    if (f->generation == generation) {
        *ret_len = f->len;
        *ret_quoted = f->quoted_len;
        return VF_OK;
    }
    vf_buf_reset(r->scratch);
    VF_TRY(vf_view_value(r->view, &r->ref, field, generation, r->scratch, why));
    VF_TRY(vf_buf_check(r->scratch, "a value", why));
    *ret_len = (uint32_t)r->scratch->len;
    *ret_quoted =
        vf_field_is_image(field) ? 0 : (uint32_t)vf_csv_quoted_len((const char *)r->scratch->data, r->scratch->len);
    vf_buf_reset(r->scratch);
    return VF_OK;
}

static enum vf_err put_lengths(const struct record *r, unsigned column, uint32_t len, uint32_t quoted, struct vf_why *why)
{
    uint8_t *at = r->out->catalogue + VF_REF_LEN + 8 + (size_t)column * 4;
    unsigned field = r->l->field[column];

    if (vf_field_is_image(field)) {
        vf_put_be32(at, len);
        return VF_OK;
    }
    if (len > UINT16_MAX || quoted > UINT16_MAX)
        return record_fail(why, VF_E_DAMAGED, r, field, "longer than a text can be; check the vault");
    vf_put_be16(at, (uint16_t)len);
    vf_put_be16(at + 2, (uint16_t)quoted);
    return VF_OK;
}

static void note_absent(struct record *r, unsigned field, uint32_t len)
{
    if (len != 0)
        return;
    if (vf_field_info(field)->required)
        r->seen |= VF_SEEN_INCOMPLETE;
    if (field == VF_FIELD_PHOTO)
        r->seen |= VF_SEEN_NO_PHOTO;
}

static enum vf_err do_field(struct record *r, unsigned column, struct vf_why *why)
{
    unsigned field = r->l->field[column];
    enum vf_part part = vf_field_part(field) == VF_PART_IMAGE ? VF_PART_IMAGE : VF_PART_TEXT;
    struct vf_field_key *key = &r->keys->part[part][r->filled[part]++];
    const struct vf_field_state *now = &r->keys->head.f[field];
    struct vf_manifest_item item = {0};
    uint8_t *row = r->out->manifest + VF_REF_LEN + (size_t)column * VF_MANIFEST_ITEM_LEN;
    uint32_t len = 0;
    uint32_t quoted = 0;
    bool pinned;

    VF_TRY(wanted(r, column, &item, &pinned, why));
    memset(key, 0, sizeof(*key)); /* an absent image's key is zeroes */
    if (item.generation != 0) {
        VF_TRY(load_value(r, field, &item, pinned, why));
        *key = r->keys->value.key;
        vf_put_be32(r->out->sizes + (size_t)column * 4, r->keys->value.sealed_len);
        VF_TRY(measure(r, field, item.generation, &len, &quoted, why));
    }
    if (item.generation != now->generation)
        r->seen |= VF_SEEN_CHANGED;
    if (now->changed_us > r->newest_us)
        r->newest_us = now->changed_us;
    note_absent(r, field, len);
    vf_put_be32(row, item.generation);
    memcpy(row + 4, item.hash.b, VF_HASH_LEN);
    return put_lengths(r, column, len, quoted, why);
}

static void seal_part(const struct record *r, const struct vf_derive_shares *shares, enum vf_part part, uint8_t *out)
{
    struct vf_release_share rs;
    const struct vf_grant *g = r->d->g;

    if (r->filled[part] == 0)
        return;
    if (g->release == VF_RELEASE_ONLINE)
        vf_kdf_release_share(&shares->secret, &r->ref, part, &rs);
    else
        vf_kdf_release_share_offline(&r->ref, part, &rs);
    vf_kdf_envelope_key(&shares->gs, &rs, &g->id, &r->ref, part, &r->keys->ek);
    vf_envelope_seal(&r->keys->ek, &g->vault, &g->id, &r->ref, part, r->keys->part[part], r->filled[part], out);
    vf_wipe(&rs, sizeof(rs));
}

/* The newest change of the granted fields; of a record changed since, the time that was told then. */
static void put_time(const struct record *r)
{
    int64_t seconds = r->newest_us / VF_SECOND_US;

    if ((r->seen & VF_SEEN_CHANGED) != 0 && r->d->times != NULL)
        seconds = (int64_t)vf_get_be64(r->d->times + (size_t)r->index * 8);
    if (seconds < 0)
        seconds = 0;
    vf_put_be64(r->out->times, (uint64_t)seconds);
    vf_put_be64(r->out->catalogue + VF_REF_LEN, (uint64_t)seconds);
}

enum vf_err vf_derive_record(const struct vf_derive *d, const struct vf_grant_layout *l,
                             const struct vf_derive_shares *shares, struct vf_view *view, struct vf_derive_keys *keys,
                             struct vf_buf *scratch, uint32_t index, const struct vf_derive_row *out, struct vf_why *why)
{
    struct record r = {
        .d = d, .l = l, .view = view, .keys = keys, .scratch = scratch, .ref = d->refs[index], .index = index, .out = out};
    enum vf_err err = vf_view_head(view, &r.ref, &keys->head, why);

    if (err == VF_E_NOT_FOUND)
        return vf_fail(why, VF_E_NOT_FOUND, "record %.*s is not in the vault any more", VF_REF_LEN, r.ref.c);
    VF_TRY(err);
    if (keys->head.status == VF_STATUS_LEAVER)
        r.seen |= VF_SEEN_LEAVER;
    if (keys->head.protect != VF_PROTECT_STANDARD)
        r.seen |= VF_SEEN_PROTECTED;
    *out->seen = r.seen;
    if (d->leave_out && (r.seen & VF_SEEN_LEFT_OUT) != 0)
        return VF_OK;
    memcpy(out->manifest, r.ref.c, VF_REF_LEN);
    memcpy(out->catalogue, r.ref.c, VF_REF_LEN);
    for (unsigned c = 0; c < l->nfields; c++)
        VF_TRY(do_field(&r, c, why));
    seal_part(&r, shares, VF_PART_TEXT, out->envelopes);
    seal_part(&r, shares, VF_PART_IMAGE, out->envelopes + l->text_envelope_len);
    put_time(&r);
    *out->seen = r.seen;
    return VF_OK;
}
