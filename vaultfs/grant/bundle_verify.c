/* SPDX-License-Identifier: MIT */
#include "file.h"

#include <string.h>

static enum vf_err check_value(const struct vf_manifest *m, const struct vf_bundle_value *v, const uint8_t *data,
                               const char *what, struct vf_why *why)
{
    const char *field = vf_field_info(v->field)->name;
    int column = vf_manifest_column(m, v->field);
    struct vf_manifest_item item = {0};
    struct vf_hash got;
    uint32_t row;

    if (column >= 0 && vf_manifest_find(m, &v->ref, &row))
        vf_manifest_item(m, row, (unsigned)column, &item);
    if (item.generation == 0 || item.generation != v->generation)
        return vf_fail(why, VF_E_FORGED, "%s: record %.*s, %s: not named by the grant", what, VF_REF_LEN, v->ref.c, field);
    vf_sha256(data, v->len, &got);
    if (memcmp(&got, &item.hash, sizeof(got)) != 0)
        return vf_fail(why, VF_E_FORGED, "%s: record %.*s, %s: not the value that was signed", what, VF_REF_LEN, v->ref.c,
                       field);
    return VF_OK;
}

static enum vf_err check_all(const struct vf_grant_file *file, struct vf_bundle_reader *r, const char *what,
                             struct vf_why *why)
{
    struct vf_bundle_value v;
    const uint8_t *data;
    enum vf_err err;

    if (memcmp(vf_bundle_vault(r), &file->grant.vault, sizeof(file->grant.vault)) != 0)
        return vf_fail(why, VF_E_FORGED, "%s: the bundle is of another force than the grant", what);
    while ((err = vf_bundle_next(r, &v, &data, why)) == VF_OK)
        VF_TRY(check_value(&file->manifest, &v, data, what, why));
    return err == VF_E_NOT_FOUND ? VF_OK : err;
}

enum vf_err vf_bundle_verify(const struct vf_grant_file *file, int fd, const char *what, uint64_t *ret_values,
                             struct vf_why *why)
{
    VF_CLEANUP(vf_bundle_cleanup) struct vf_bundle_reader *r = NULL;

    VF_TRY(vf_bundle_open(fd, what, &r, why));
    VF_TRY(check_all(file, r, what, why));
    *ret_values = vf_bundle_count(r);
    return VF_OK;
}
