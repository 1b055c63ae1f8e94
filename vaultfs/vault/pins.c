/* SPDX-License-Identifier: MIT */
/* Which old generations have to stay: those that the manifest of a live grant names. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

struct load {
    const struct vf_vault *v;
    int64_t now_us;
    struct vf_hash *hashes; /* of the manifests that live grants name, each once */
    size_t n;
    enum vf_err err;
    struct vf_why *why;
};

static bool known(const struct load *l, const struct vf_hash *hash)
{
    for (size_t i = 0; i < l->n; i++)
        if (memcmp(l->hashes[i].b, hash->b, VF_HASH_LEN) == 0)
            return true;
    return false;
}

static bool each_grant(struct vf_cursor *cur, struct vf_slice key, struct vf_slice val, void *user)
{
    struct load *l = user;
    struct vf_grant_row row;

    (void)cur;
    (void)key;
    l->err = vf_fail_prefix(l->why, vf_grant_row_parse(val.data, val.len, &row, l->why), "%s", l->v->path);
    if (l->err != VF_OK)
        return false;
    if (!vf_grant_row_live(&row, l->now_us) || known(l, &row.manifest))
        return true;
    struct vf_hash *more = reallocarray(l->hashes, l->n + 1, sizeof(*more));
    if (more == NULL) {
        l->err = vf_fail(l->why, VF_E_NOMEM, "%s: out of memory", l->v->path);
        return false;
    }
    l->hashes = more;
    l->hashes[l->n++] = row.manifest;
    return true;
}

void vf_pins_done(struct vf_pins *pins)
{
    free(pins->m);
    *pins = (struct vf_pins){0};
}

static enum vf_err load_manifests(const struct load *l, struct vf_txn *txn, struct vf_pins *ret, struct vf_why *why)
{
    VF_PINS pins = {0};
    struct vf_slice bytes;

    pins.m = calloc(l->n > 0 ? l->n : 1, sizeof(*pins.m));
    if (pins.m == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", l->v->path);
    for (size_t i = 0; i < l->n; i++) {
        if (!vf_txn_get(txn, VF_VT_MANIFEST, l->hashes[i].b, VF_HASH_LEN, &bytes)) {
            VF_TRY(vf_vault_txn_check(l->v, txn, why));
            return vf_vault_damaged(l->v, NULL, "the manifest of a live grant is missing", why);
        }
        VF_TRY(vf_manifest_parse(bytes.data, bytes.len, l->v->path, &pins.m[i], why));
        pins.n++;
    }
    *ret = pins;
    pins = (struct vf_pins){0};
    return VF_OK;
}

enum vf_err vf_pins_load(const struct vf_vault *v, struct vf_txn *txn, int64_t now_us, struct vf_pins *ret,
                         struct vf_why *why)
{
    struct load l = {.v = v, .now_us = now_us, .why = why};

    vf_txn_foreach(txn, VF_VT_GRANT, "", 0, each_grant, &l);
    enum vf_err err = l.err != VF_OK ? l.err : vf_vault_txn_check(v, txn, why);
    if (err == VF_OK)
        err = load_manifests(&l, txn, ret, why);
    free(l.hashes);
    return err;
}

bool vf_pins_value(const struct vf_pins *pins, const struct vf_ref *ref, unsigned field, uint32_t generation)
{
    for (size_t i = 0; i < pins->n; i++) {
        struct vf_manifest_item item;
        uint32_t row = 0;
        int column = vf_manifest_column(&pins->m[i], field);
        if (column < 0 || !vf_manifest_find(&pins->m[i], ref, &row))
            continue;
        vf_manifest_item(&pins->m[i], row, (unsigned)column, &item);
        if (item.generation == generation)
            return true;
    }
    return false;
}

bool vf_pins_record(const struct vf_pins *pins, const struct vf_ref *ref)
{
    uint32_t row = 0;

    for (size_t i = 0; i < pins->n; i++)
        if (vf_manifest_find(&pins->m[i], ref, &row))
            return true;
    return false;
}
