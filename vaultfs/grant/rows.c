/* SPDX-License-Identifier: MIT */
#include "rows.h"

#include "prekey_rows.h"

#include <string.h>

#define DEVICE_VERSION 1
#define DEVICE_KNOWN   1
#define DEVICE_REVOKED 2
#define ROW_MAX        (VF_GRANT_ROW_HEAD + VF_NOTE_MAX)

enum vf_err vf_rows_check(struct vf_vault *v, const struct vf_txn *txn, struct vf_why *why)
{
    enum vf_err err = vf_txn_error(txn);

    return err == VF_OK ? VF_OK : vf_fail(why, err, "the vault %s: %s", vf_vault_path(v), vf_err_text(err));
}

void vf_device_row_put(const struct vf_device_row *row, struct vf_buf *out)
{
    vf_buf_u8(out, DEVICE_VERSION);
    vf_buf_u8(out, row->revoked ? DEVICE_REVOKED : DEVICE_KNOWN);
    vf_buf_u64(out, (uint64_t)row->handin_us);
    vf_buf_u64(out, row->handin_size);
    vf_buf_put(out, row->enrol.data, row->enrol.len);
}

enum vf_err vf_device_row_parse(const void *data, size_t len, struct vf_device_row *ret, struct vf_why *why)
{
    struct vf_reader r = vf_reader_of(data, len);
    struct vf_device_row row = {0};
    uint8_t version = vf_reader_u8(&r);
    uint8_t state = vf_reader_u8(&r);
    uint64_t handin = vf_reader_u64(&r);

    row.handin_size = vf_reader_u64(&r);
    if (r.bad || version != DEVICE_VERSION || (state != DEVICE_KNOWN && state != DEVICE_REVOKED) || handin > INT64_MAX)
        return vf_fail(why, VF_E_DAMAGED, "a device's row in the vault is not well-formed; check the vault");
    row.revoked = state == DEVICE_REVOKED;
    row.handin_us = (int64_t)handin;
    row.enrol.len = r.left;
    row.enrol.data = vf_reader_view(&r, r.left);
    *ret = row;
    return VF_OK;
}

static enum vf_err device_of(struct vf_slice val, struct vf_device *ret, struct vf_why *why)
{
    struct vf_device_row row;

    VF_TRY(vf_device_row_parse(val.data, val.len, &row, why));
    VF_TRY(vf_enrol_parse(row.enrol.data, row.enrol.len, "an enrolment in the vault", &ret->enrol, why));
    ret->revoked = row.revoked;
    ret->handin_us = row.handin_us;
    ret->handin_size = row.handin_size;
    return VF_OK;
}

enum vf_err vf_device_look(struct vf_vault *v, const struct vf_hash *id, struct vf_device *ret, bool *ret_known,
                           struct vf_why *why)
{
    VF_TXN txn = NULL;
    struct vf_slice val;

    *ret_known = false;
    VF_TRY(vf_txn_read(vf_vault_store(v), &txn, why));
    if (!vf_txn_get(txn, VF_VT_DEVICE, id->b, sizeof(id->b), &val))
        return vf_rows_check(v, txn, why);
    VF_TRY(device_of(val, ret, why));
    *ret_known = true;
    return VF_OK;
}

enum vf_err vf_device_get(struct vf_vault *v, const struct vf_hash *id, struct vf_device *ret, struct vf_why *why)
{
    bool known;

    VF_TRY(vf_device_look(v, id, ret, &known, why));
    return known ? VF_OK : vf_fail(why, VF_E_NOT_FOUND, "the vault %s has no enrolment of this device", vf_vault_path(v));
}

struct device_change {
    struct vf_hash id;
    void (*change)(struct vf_device_row *row, void *user);
    void *user;
};

static enum vf_err change_device(struct vf_txn *txn, void *user, struct vf_why *why)
{
    const struct device_change *c = user;
    struct vf_device_row row;
    struct vf_slice val;
    VF_BUF out = {0};

    if (!vf_txn_get(txn, VF_VT_DEVICE, c->id.b, sizeof(c->id.b), &val))
        return vf_txn_error(txn) != VF_OK ? vf_txn_error(txn) : vf_fail(why, VF_E_NOT_FOUND, "the vault has no such device");
    VF_TRY(vf_device_row_parse(val.data, val.len, &row, why));
    c->change(&row, c->user);
    vf_buf_init(&out, ROW_MAX);
    vf_device_row_put(&row, &out);
    VF_TRY(vf_buf_check(&out, "a device's row", why));
    vf_txn_put(txn, VF_VT_DEVICE, c->id.b, sizeof(c->id.b), out.data, out.len);
    return VF_OK;
}

enum vf_err vf_device_change(struct vf_vault *v, const struct vf_hash *id,
                             void (*change)(struct vf_device_row *row, void *user), void *user, struct vf_why *why)
{
    struct device_change c = {.id = *id, .change = change, .user = user};

    return vf_store_update(vf_vault_store(v), change_device, &c, why);
}

void vf_kept_grant_done(struct vf_kept_grant *k)
{
    vf_buf_done(&k->note);
}

/* The row's head, and the text of its note. */
static enum vf_err grant_of(struct vf_slice val, struct vf_grant_row *row, struct vf_note *note, struct vf_grant *g,
                            struct vf_why *why)
{
    VF_TRY(vf_grant_row_parse(val.data, val.len, row, why));
    VF_TRY(vf_note_parse(row->note.data, row->note.len, note, why));
    return vf_grant_parse(note, "a grant in the vault", g, why);
}

enum vf_err vf_kept_grant_look(struct vf_vault *v, const struct vf_grant_id *id, struct vf_kept_grant *ret, bool *ret_known,
                               struct vf_why *why)
{
    VF_TXN txn = NULL;
    VF_KEPT_GRANT k = {0};
    struct vf_slice val;
    struct vf_grant_row row;
    struct vf_note note;

    *ret_known = false;
    VF_TRY(vf_txn_read(vf_vault_store(v), &txn, why));
    if (!vf_txn_get(txn, VF_VT_GRANT, id->c, sizeof(id->c), &val))
        return vf_rows_check(v, txn, why);
    VF_TRY(grant_of(val, &row, &note, &k.grant, why));
    k.revoked = row.state == VF_GRANT_REVOKED;
    k.exported = row.exported;
    vf_buf_init(&k.note, VF_NOTE_MAX);
    vf_buf_put(&k.note, row.note.data, row.note.len);
    VF_TRY(vf_buf_check(&k.note, "a grant's note", why));
    *ret = k;
    k = (struct vf_kept_grant){0};
    *ret_known = true;
    return VF_OK;
}

enum vf_err vf_kept_grant_get(struct vf_vault *v, const struct vf_grant_id *id, struct vf_kept_grant *ret,
                              struct vf_why *why)
{
    bool known;

    VF_TRY(vf_kept_grant_look(v, id, ret, &known, why));
    if (!known)
        return vf_fail(why, VF_E_NOT_FOUND, "the vault %s knows no grant %.*s", vf_vault_path(v), VF_GRANT_ID_LEN, id->c);
    return VF_OK;
}

struct each_grant {
    vf_kept_each *each;
    void *user;
    struct vf_why *why;
    enum vf_err err;
};

static bool each_grant_row(struct vf_cursor *cur, struct vf_slice key, struct vf_slice val, void *user)
{
    struct each_grant *e = user;
    struct vf_grant_row row;
    struct vf_note note;
    struct vf_grant g;

    (void)cur;
    (void)key;
    e->err = grant_of(val, &row, &note, &g, e->why);
    if (e->err == VF_OK)
        e->err = e->each(e->user, &row, &g, &note, e->why);
    return e->err == VF_OK;
}

enum vf_err vf_kept_grants(struct vf_vault *v, vf_kept_each *each, void *user, struct vf_why *why)
{
    struct each_grant e = {.each = each, .user = user, .why = why};
    VF_TXN txn = NULL;

    VF_TRY(vf_txn_read(vf_vault_store(v), &txn, why));
    vf_txn_foreach(txn, VF_VT_GRANT, NULL, 0, each_grant_row, &e);
    VF_TRY(e.err);
    return vf_rows_check(v, txn, why);
}

enum vf_err vf_kept_manifest(struct vf_vault *v, const struct vf_hash *hash, struct vf_buf *ret_manifest,
                             struct vf_buf *ret_times, struct vf_why *why)
{
    VF_TXN txn = NULL;
    struct vf_slice manifest;
    struct vf_slice times;

    VF_TRY(vf_txn_read(vf_vault_store(v), &txn, why));
    if (!vf_txn_get(txn, VF_VT_MANIFEST, hash->b, sizeof(hash->b), &manifest) ||
        !vf_txn_get(txn, VF_VT_TIMES, hash->b, sizeof(hash->b), &times)) {
        VF_TRY(vf_rows_check(v, txn, why));
        return vf_fail(why, VF_E_NOT_FOUND, "the vault %s has no manifest of that grant", vf_vault_path(v));
    }
    vf_buf_init(ret_manifest, manifest.len);
    vf_buf_put(ret_manifest, manifest.data, manifest.len);
    vf_buf_init(ret_times, times.len);
    vf_buf_put(ret_times, times.data, times.len);
    VF_TRY(vf_buf_check(ret_manifest, "a manifest", why));
    return vf_buf_check(ret_times, "the times of a manifest", why);
}

static bool has_row(struct vf_txn *txn, enum vf_vault_table table, const struct vf_hash *key)
{
    struct vf_slice val;

    return vf_txn_get(txn, table, key->b, sizeof(key->b), &val);
}

/* The note with the signatures of both, and the flags of both. */
static enum vf_err merge_row(struct vf_slice old, const struct vf_rows_change *k, struct vf_grant_row *row,
                             struct vf_buf *note, struct vf_why *why)
{
    struct vf_grant_row before;
    struct vf_note a;
    struct vf_note b;

    VF_TRY(vf_grant_row_parse(old.data, old.len, &before, why));
    VF_TRY(vf_note_parse(before.note.data, before.note.len, &a, why));
    VF_TRY(vf_note_parse(k->note.data, k->note.len, &b, why));
    VF_TRY(
        vf_fail_prefix(why, vf_note_merge(&a, &b, note, why), "grant %.*s of the vault", VF_GRANT_ID_LEN, k->grant->id.c));
    VF_TRY(vf_buf_check(note, "a grant's note", why));
    row->exported = row->exported || before.exported;
    if (before.state == VF_GRANT_REVOKED)
        row->state = VF_GRANT_REVOKED;
    row->note = (struct vf_slice){note->data, note->len};
    return VF_OK;
}

static enum vf_err keep_body(struct vf_txn *txn, void *user, struct vf_why *why)
{
    const struct vf_rows_change *k = user;
    const struct vf_grant *g = k->grant;
    struct vf_grant_row row = {.state = k->mark_revoked ? VF_GRANT_REVOKED : VF_GRANT_ISSUED,
                               .exported = k->mark_exported,
                               .until_us = g->until_us,
                               .manifest = g->manifest_hash,
                               .device = g->enrolment,
                               .note = k->note};
    struct vf_slice old;
    VF_BUF note = {0};
    VF_BUF out = {0};

    vf_buf_init(&note, VF_NOTE_MAX);
    vf_buf_init(&out, ROW_MAX);
    if (vf_txn_get(txn, VF_VT_GRANT, g->id.c, sizeof(g->id.c), &old))
        VF_TRY(merge_row(old, k, &row, &note, why));
    else if (g->release == VF_RELEASE_ONLINE)
        VF_TRY(vf_prekey_use(txn, g, why));
    vf_grant_row_put(&row, &out);
    VF_TRY(vf_buf_check(&out, "a grant's row", why));
    if (k->enrol.len > 0 && !has_row(txn, VF_VT_DEVICE, &g->enrolment)) {
        const struct vf_device_row device = {.enrol = k->enrol};
        VF_BUF bytes = {0};
        vf_buf_init(&bytes, ROW_MAX);
        vf_device_row_put(&device, &bytes);
        VF_TRY(vf_buf_check(&bytes, "a device's row", why));
        vf_txn_put(txn, VF_VT_DEVICE, g->enrolment.b, VF_HASH_LEN, bytes.data, bytes.len);
    }
    if (k->manifest.len > 0 && !has_row(txn, VF_VT_MANIFEST, &g->manifest_hash))
        vf_txn_put(txn, VF_VT_MANIFEST, g->manifest_hash.b, VF_HASH_LEN, k->manifest.data, k->manifest.len);
    if (k->times.len > 0 && !has_row(txn, VF_VT_TIMES, &g->manifest_hash))
        vf_txn_put(txn, VF_VT_TIMES, g->manifest_hash.b, VF_HASH_LEN, k->times.data, k->times.len);
    vf_txn_put(txn, VF_VT_GRANT, g->id.c, sizeof(g->id.c), out.data, out.len);
    return VF_OK;
}

enum vf_err vf_rows_keep(struct vf_vault *v, const struct vf_rows_change *k, struct vf_why *why)
{
    struct vf_rows_change copy = *k;

    return vf_store_update(vf_vault_store(v), keep_body, &copy, why);
}
