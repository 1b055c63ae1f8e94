/* SPDX-License-Identifier: MIT */
/* What the vault knows of grants and devices; needs no key. */
#include "rows.h"

#include <stdlib.h>
#include <string.h>

struct devices { /* enrolment ids of revoked devices, sorted */
    struct vf_hash *ids;
    size_t n;
};

struct each_device {
    enum vf_err (*each)(void *user, const struct vf_device_item *item, struct vf_why *why);
    void *user;
    struct vf_why *why;
    enum vf_err err;
};

enum vf_err vf_device_item_parse(struct vf_slice key, struct vf_slice val, struct vf_device_item *ret, struct vf_why *why)
{
    struct vf_device_item item = {0};
    struct vf_device_row row;

    VF_TRY(vf_device_row_parse(val.data, val.len, &row, why));
    VF_TRY(vf_enrol_parse(row.enrol.data, row.enrol.len, "an enrolment in the vault", &item.enrol, why));
    if (key.len != VF_HASH_LEN || memcmp(key.data, item.enrol.id.b, VF_HASH_LEN) != 0)
        return vf_fail(why, VF_E_DAMAGED, "a device's row in the vault is not its own; check the vault");
    item.revoked = row.revoked;
    item.handin_us = row.handin_us;
    item.handin_size = row.handin_size;
    *ret = item;
    return VF_OK;
}

static bool each_device_row(struct vf_cursor *cur, struct vf_slice key, struct vf_slice val, void *user)
{
    struct each_device *e = user;
    struct vf_device_item item;

    (void)cur;
    e->err = vf_device_item_parse(key, val, &item, e->why);
    if (e->err == VF_OK)
        e->err = e->each(e->user, &item, e->why);
    return e->err == VF_OK;
}

enum vf_err vf_device_each(struct vf_vault *v,
                           enum vf_err (*each)(void *user, const struct vf_device_item *item, struct vf_why *why),
                           void *user, struct vf_why *why)
{
    struct each_device e = {.each = each, .user = user, .why = why};
    VF_TXN txn = NULL;

    VF_TRY(vf_txn_read(vf_vault_store(v), &txn, why));
    vf_txn_foreach(txn, VF_VT_DEVICE, NULL, 0, each_device_row, &e);
    VF_TRY(e.err);
    return vf_rows_check(v, txn, why);
}

static enum vf_err add_revoked(void *user, const struct vf_device_item *item, struct vf_why *why)
{
    struct devices *d = user;

    if (!item->revoked)
        return VF_OK;
    struct vf_hash *more = reallocarray(d->ids, d->n + 1, sizeof(*more));
    if (more == NULL)
        return vf_fail(why, VF_E_NOMEM, "no memory for the list of devices");
    d->ids = more;
    d->ids[d->n++] = item->enrol.id; /* rows come in the order of their keys */
    return VF_OK;
}

static int by_hash(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct vf_hash));
}

struct each_item {
    enum vf_err (*each)(void *user, const struct vf_grant_item *item, struct vf_why *why);
    void *user;
    struct devices revoked;
    struct vf_note_key keys[VF_ADMINS_MAX];
    size_t nkeys;
};

static enum vf_err each_kept(void *user, const struct vf_grant_row *row, const struct vf_grant *g,
                             const struct vf_note *note, struct vf_why *why)
{
    struct each_item *e = user;
    struct vf_grant_item item = {.grant = *g, .exported = row->exported};
    bool signed_by[VF_ADMINS_MAX] = {false};

    item.revoked =
        row->state == VF_GRANT_REVOKED ||
        (e->revoked.n > 0 && bsearch(&g->enrolment, e->revoked.ids, e->revoked.n, sizeof(struct vf_hash), by_hash) != NULL);
    memcpy(item.device_name, g->recipient, sizeof(item.device_name));
    VF_TRY(vf_fail_prefix(why, vf_note_verify(note, e->keys, e->nkeys, signed_by, &item.signatures, why),
                          "grant %.*s in the vault", VF_GRANT_ID_LEN, g->id.c));
    return e->each(e->user, &item, why);
}

enum vf_err vf_grant_each(struct vf_vault *v,
                          enum vf_err (*each)(void *user, const struct vf_grant_item *item, struct vf_why *why), void *user,
                          struct vf_why *why)
{
    struct each_item e = {.each = each, .user = user};

    e.nkeys = vf_policy_admin_keys(&vf_vault_policy(v)->policy, e.keys);
    enum vf_err err = vf_device_each(v, add_revoked, &e.revoked, why);
    if (err == VF_OK)
        err = vf_kept_grants(v, each_kept, &e, why);
    free(e.revoked.ids);
    return err;
}
