/* SPDX-License-Identifier: MIT */
/* The catalogue: what a listing needs of each record. Lengths are no keys, so it lives in ordinary memory, and is wiped. */
#include "file.h"

#include <stdlib.h>
#include <string.h>

struct vf_catalogue {
    struct vf_grant_layout layout;
    uint32_t n;
    int place[VF_FIELD_COUNT]; /* offset of a field's lengths in a row; -1: not granted */
    uint8_t *plain;
    size_t plain_len;
    const uint8_t *rows;
};

static const uint8_t *row_of(const struct vf_catalogue *c, uint32_t index)
{
    return c->rows + (size_t)index * c->layout.catalogue_stride;
}

/* Whether a text of `len` bytes can take `quoted` bytes in a table: two quotes, and each byte once or twice. */
static bool text_valid(const struct vf_field_info *info, uint32_t len, uint32_t quoted)
{
    return len <= info->max_bytes && quoted >= len + 2 && quoted <= 2 * len + 2;
}

static bool lengths_valid(unsigned field, const uint8_t *at, const struct vf_manifest_item *item)
{
    const struct vf_field_info *info = vf_field_info(field);

    if (info->kind == VF_KIND_TEXT)
        return text_valid(info, vf_get_be16(at), vf_get_be16(at + 2));
    uint32_t len = vf_get_be32(at);
    return len <= info->max_bytes && (len == 0) == (item->generation == 0);
}

static bool row_valid(const struct vf_catalogue *c, uint32_t i, const struct vf_manifest *m)
{
    const uint8_t *row = row_of(c, i);
    struct vf_ref ref;
    uint64_t seconds = vf_get_be64(row + VF_REF_LEN);

    vf_manifest_ref(m, i, &ref);
    if (memcmp(row, ref.c, VF_REF_LEN) != 0 || seconds > VF_CATALOGUE_TIME_MAX)
        return false;
    for (unsigned f = 0; f < c->layout.nfields; f++) {
        struct vf_manifest_item item;
        vf_manifest_item(m, i, f, &item);
        if (!lengths_valid(c->layout.field[f], row + VF_REF_LEN + 8 + (size_t)f * 4, &item))
            return false;
    }
    return true;
}

static enum vf_err open_plain(const struct vf_grant *g, const struct vf_grant_share *gs, const uint8_t *bytes, size_t len,
                              struct vf_catalogue *c, struct vf_why *why)
{
    uint8_t head[VF_CATALOGUE_HEAD];
    struct vf_catalogue_key ck;

    vf_catalogue_put_head(head, &g->id);
    if (len != vf_catalogue_size(&c->layout, c->n) || memcmp(bytes, head, sizeof(head)) != 0)
        return vf_fail(why, VF_E_FORMAT, "grant %.*s: the catalogue is not that of this grant", VF_GRANT_ID_LEN, g->id.c);
    c->plain_len = len - VF_CATALOGUE_HEAD - VF_TAG_LEN;
    c->plain = malloc(c->plain_len);
    if (c->plain == NULL)
        return vf_fail(why, VF_E_NOMEM, "grant %.*s: no memory for its catalogue", VF_GRANT_ID_LEN, g->id.c);
    vf_kdf_catalogue_key(gs, &g->id, &ck);
    enum vf_err err =
        vf_catalogue_open(&ck, &g->vault, &g->id, bytes + VF_CATALOGUE_HEAD, len - VF_CATALOGUE_HEAD, c->plain);
    vf_wipe(&ck, sizeof(ck));
    if (err != VF_OK)
        return vf_fail(why, err, "grant %.*s: the catalogue does not open with the grant's share", VF_GRANT_ID_LEN, g->id.c);
    c->rows = c->plain + 4;
    return VF_OK;
}

static enum vf_err check_plain(const struct vf_grant *g, const struct vf_manifest *m, const struct vf_catalogue *c,
                               struct vf_why *why)
{
    if (vf_get_be32(c->plain) != c->n)
        return vf_fail(why, VF_E_FORMAT, "grant %.*s: the catalogue counts other records than the grant", VF_GRANT_ID_LEN,
                       g->id.c);
    for (uint32_t i = 0; i < c->n; i++) {
        if (row_valid(c, i, m))
            continue;
        struct vf_ref ref;
        vf_manifest_ref(m, i, &ref);
        return vf_fail(why, VF_E_FORMAT, "grant %.*s: the catalogue contradicts the manifest at record %.*s",
                       VF_GRANT_ID_LEN, g->id.c, VF_REF_LEN, ref.c);
    }
    return VF_OK;
}

enum vf_err vf_catalogue_decode(const struct vf_grant *g, const struct vf_grant_share *gs,
                                const struct vf_manifest *manifest, const uint8_t *bytes, size_t len,
                                struct vf_catalogue **ret, struct vf_why *why)
{
    if (manifest->nrecords != g->records || manifest->set != g->fields)
        return vf_fail(why, VF_E_FORMAT, "grant %.*s: the manifest is of another grant", VF_GRANT_ID_LEN, g->id.c);
    struct vf_catalogue *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return vf_fail(why, VF_E_NOMEM, "grant %.*s: no memory for its catalogue", VF_GRANT_ID_LEN, g->id.c);
    vf_grant_layout_of(g->fields, &c->layout);
    c->n = g->records;
    for (unsigned f = 0; f < VF_FIELD_COUNT; f++)
        c->place[f] = -1;
    for (unsigned i = 0; i < c->layout.nfields; i++)
        c->place[c->layout.field[i]] = (int)(VF_REF_LEN + 8 + i * 4);
    enum vf_err err = open_plain(g, gs, bytes, len, c, why);
    if (err == VF_OK)
        err = check_plain(g, manifest, c, why);
    if (err != VF_OK) {
        vf_catalogue_free(c);
        return err;
    }
    *ret = c;
    return VF_OK;
}

void vf_catalogue_free(struct vf_catalogue *c)
{
    if (c == NULL)
        return;
    if (c->plain != NULL)
        vf_wipe(c->plain, c->plain_len);
    free(c->plain);
    free(c);
}

uint32_t vf_catalogue_count(const struct vf_catalogue *c)
{
    return c->n;
}

const struct vf_ref *vf_catalogue_ref(const struct vf_catalogue *c, uint32_t index)
{
    return (const struct vf_ref *)row_of(c, index); /* eight characters, and nothing but characters */
}

bool vf_catalogue_find(const struct vf_catalogue *c, const struct vf_ref *ref, uint32_t *ret_index)
{
    uint32_t lo = 0;
    uint32_t hi = c->n;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        int cmp = memcmp(row_of(c, mid), ref->c, VF_REF_LEN);
        if (cmp == 0) {
            *ret_index = mid;
            return true;
        }
        if (cmp < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return false;
}

int64_t vf_catalogue_changed_us(const struct vf_catalogue *c, uint32_t index)
{
    return (int64_t)vf_get_be64(row_of(c, index) + VF_REF_LEN) * VF_SECOND_US;
}

static const uint8_t *lengths_of(const struct vf_catalogue *c, uint32_t index, unsigned field)
{
    return field < VF_FIELD_COUNT && c->place[field] >= 0 ? row_of(c, index) + c->place[field] : NULL;
}

uint32_t vf_catalogue_len(const struct vf_catalogue *c, uint32_t index, unsigned field)
{
    const uint8_t *at = lengths_of(c, index, field);

    if (at == NULL)
        return 0;
    return vf_field_is_image(field) ? vf_get_be32(at) : vf_get_be16(at);
}

uint32_t vf_catalogue_quoted_len(const struct vf_catalogue *c, uint32_t index, unsigned field)
{
    const uint8_t *at = lengths_of(c, index, field);

    return at != NULL && !vf_field_is_image(field) ? vf_get_be16(at + 2) : 0;
}
