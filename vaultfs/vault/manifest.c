/* SPDX-License-Identifier: MIT */
#include "vaultfs/vault.h"

#include <string.h>

#define MAGIC_LEN 8

/* The set of fields: known, ascending, none twice. */
static bool parse_fields(struct vf_reader *r, struct vf_manifest *m)
{
    m->nfields = vf_reader_u8(r);
    if (r->bad || m->nfields == 0 || m->nfields >= VF_FIELD_COUNT)
        return false;
    for (unsigned i = 0; i < m->nfields; i++) {
        uint8_t field = vf_reader_u8(r);
        if (vf_field_info(field) == NULL || (i > 0 && field <= m->fields[i - 1]))
            return false;
        m->fields[i] = field;
        m->set |= VF_FIELD_BIT(field);
    }
    return !r->bad;
}

/* A generation, or an image that is not there: then the hash is zeroes, so that there is one way to write it. */
static bool item_valid(unsigned field, const uint8_t *item)
{
    static const uint8_t zeroes[VF_HASH_LEN];

    if (vf_get_be32(item) != 0)
        return true;
    return vf_field_is_image(field) && memcmp(item + 4, zeroes, VF_HASH_LEN) == 0;
}

static enum vf_err check_rows(const struct vf_manifest *m, const char *what, struct vf_why *why)
{
    for (uint32_t i = 0; i < m->nrecords; i++) {
        const uint8_t *row = m->rows + (size_t)i * m->stride;
        struct vf_ref ref;
        if (!vf_ref_parse((const char *)row, VF_REF_LEN, &ref))
            return vf_fail(why, VF_E_FORMAT, "%s: row %u of the manifest has no well-formed ref", what, (unsigned)i);
        if (i > 0 && memcmp(row - m->stride, row, VF_REF_LEN) >= 0)
            return vf_fail(why, VF_E_FORMAT, "%s: row %u of the manifest is out of order", what, (unsigned)i);
        for (unsigned c = 0; c < m->nfields; c++)
            if (!item_valid(m->fields[c], row + VF_REF_LEN + (size_t)c * VF_MANIFEST_ITEM_LEN))
                return vf_fail(why, VF_E_FORMAT, "%s: row %u of the manifest has no generation where one must be", what,
                               (unsigned)i);
    }
    return VF_OK;
}

enum vf_err vf_manifest_parse(const void *data, size_t len, const char *what, struct vf_manifest *ret, struct vf_why *why)
{
    struct vf_reader r = vf_reader_of(data, len);
    struct vf_manifest m = {0};
    char magic[MAGIC_LEN];

    vf_reader_copy(&r, magic, sizeof(magic));
    if (r.bad || memcmp(magic, VF_MANIFEST_MAGIC, MAGIC_LEN) != 0)
        return vf_fail(why, VF_E_VERSION, "%s: not a manifest of a version known here", what);
    vf_reader_copy(&r, m.vault.b, sizeof(m.vault.b));
    m.nrecords = vf_reader_u32(&r);
    if (!parse_fields(&r, &m) || m.nrecords > VF_MANIFEST_RECORDS_MAX)
        return vf_fail(why, VF_E_FORMAT, "%s: the head of the manifest is not well-formed", what);
    m.stride = VF_REF_LEN + (size_t)m.nfields * VF_MANIFEST_ITEM_LEN;
    m.rows = vf_reader_view(&r, (size_t)m.nrecords * m.stride);
    if (!vf_reader_done(&r))
        return vf_fail(why, VF_E_FORMAT, "%s: the manifest is not of the length that its head says", what);
    VF_TRY(check_rows(&m, what, why));
    *ret = m;
    return VF_OK;
}

bool vf_manifest_find(const struct vf_manifest *m, const struct vf_ref *ref, uint32_t *ret_row)
{
    uint32_t lo = 0;
    uint32_t hi = m->nrecords;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        int cmp = memcmp(m->rows + (size_t)mid * m->stride, ref->c, VF_REF_LEN);
        if (cmp == 0) {
            *ret_row = mid;
            return true;
        }
        if (cmp < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return false;
}

void vf_manifest_ref(const struct vf_manifest *m, uint32_t row, struct vf_ref *ret)
{
    memcpy(ret->c, m->rows + (size_t)row * m->stride, VF_REF_LEN);
}

int vf_manifest_column(const struct vf_manifest *m, unsigned field)
{
    for (unsigned i = 0; i < m->nfields; i++)
        if (m->fields[i] == field)
            return (int)i;
    return -1;
}

void vf_manifest_item(const struct vf_manifest *m, uint32_t row, unsigned column, struct vf_manifest_item *ret)
{
    const uint8_t *item = m->rows + (size_t)row * m->stride + VF_REF_LEN + (size_t)column * VF_MANIFEST_ITEM_LEN;

    ret->generation = vf_get_be32(item);
    memcpy(ret->hash.b, item + 4, VF_HASH_LEN);
}

void vf_manifest_put_head(struct vf_buf *out, const struct vf_vault_id *vault, uint32_t nrecords, vf_field_set fields)
{
    uint8_t list[VF_FIELD_COUNT];
    uint8_t n = 0;

    for (unsigned f = 1; f < VF_FIELD_COUNT; f++)
        if ((fields & VF_FIELD_BIT(f)) != 0)
            list[n++] = (uint8_t)f;
    vf_buf_put(out, VF_MANIFEST_MAGIC, MAGIC_LEN);
    vf_buf_put(out, vault->b, sizeof(vault->b));
    vf_buf_u32(out, nrecords);
    vf_buf_u8(out, n);
    vf_buf_put(out, list, n);
}

void vf_manifest_put_ref(struct vf_buf *out, const struct vf_ref *ref)
{
    vf_buf_put(out, ref->c, VF_REF_LEN);
}

void vf_manifest_put_item(struct vf_buf *out, uint32_t generation, const struct vf_hash *hash)
{
    static const struct vf_hash zeroes;

    vf_buf_u32(out, generation);
    vf_buf_put(out, generation != 0 ? hash->b : zeroes.b, VF_HASH_LEN);
}
