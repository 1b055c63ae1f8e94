/* SPDX-License-Identifier: MIT */
/*
 * Is everything there, and is it what it says? (1) The database's structure, in a child. (2) Without a key: every row well-formed, every
 * value's hash, rows that belong together. (3) With a key: every record's keys, head and values opened and compared.
 */
#include "check.h"

#include "policy.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

struct check {
    struct vf_vault *v;
    struct vf_view *view;
    struct vf_txn *txn; /* the view's */
    struct vf_pins pins;
    void (*finding)(void *user, const char *line);
    void (*progress)(void *user, uint64_t done, uint64_t total);
    void *user;
    uint64_t done, total;
    struct vf_vault_check_report report;
    struct vf_buf text, image; /* apart: wiping a small one costs little */
    enum vf_err err;           /* what ends the check: no memory, the database cannot be read */
    struct vf_why *why;
};

static void tell(struct check *c, const char *fmt, ...) VF_PRINTF(2, 3);

static void tell(struct check *c, const char *fmt, ...)
{
    char line[400];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    c->report.findings++;
    if (c->finding != NULL)
        c->finding(c->user, line);
}

static bool has(struct check *c, unsigned table, const void *key, size_t len)
{
    struct vf_slice row;

    return vf_txn_get(c->txn, table, key, len, &row);
}

/* ---------------------------------------------------------------------------------------------------------- keys of the admins */

static void check_admins(struct check *c)
{
    const struct vf_policy *p = c->v->chain.ruling > 0 ? &c->v->chain.policy : &c->v->chain.pending;

    for (size_t i = 0; i < p->nadmins; i++) {
        struct vf_hash fp;
        struct vf_slice row;
        vf_identity_fingerprint(&p->admins[i], &fp);
        if (!vf_txn_get(c->txn, VF_VT_VK, fp.b, sizeof(fp.b), &row) || row.len != VF_SEALED_KEY_LEN)
            tell(c, "the vault key is not sealed to admin %s", p->admins[i].name);
    }
    if (vf_txn_count(c->txn, VF_VT_VK) != p->nadmins)
        tell(c, "the vault key is sealed to %llu keys, and the policy has %zu admins",
             (unsigned long long)vf_txn_count(c->txn, VF_VT_VK), p->nadmins);
}

/* -------------------------------------------------------------------------------------------------------- grants, manifests */

static bool each_grant(struct vf_cursor *cur, struct vf_slice key, struct vf_slice val, void *user)
{
    struct check *c = user;
    struct vf_grant_row row;
    struct vf_grant_id id;

    (void)cur;
    if (!vf_grant_id_parse((const char *)key.data, key.len, &id) ||
        vf_grant_row_parse(val.data, val.len, &row, NULL) != VF_OK) {
        tell(c, "a row of the grants is not well-formed");
        return true;
    }
    if (!has(c, VF_VT_MANIFEST, row.manifest.b, VF_HASH_LEN))
        tell(c, "grant %.16s: its manifest is missing", id.c);
    if (!has(c, VF_VT_DEVICE, row.device.b, VF_HASH_LEN))
        tell(c, "grant %.16s: the enrolment of its device is missing", id.c);
    return true;
}

static bool each_manifest(struct vf_cursor *cur, struct vf_slice key, struct vf_slice val, void *user)
{
    struct check *c = user;
    struct vf_manifest m;
    struct vf_hash hash;

    (void)cur;
    vf_sha256(val.data, val.len, &hash);
    if (key.len != VF_HASH_LEN || memcmp(key.data, hash.b, VF_HASH_LEN) != 0 ||
        vf_manifest_parse(val.data, val.len, "manifest", &m, NULL) != VF_OK ||
        memcmp(m.vault.b, c->v->id.b, VF_VAULT_ID_LEN) != 0)
        tell(c, "a manifest is not well-formed, or not what its hash says");
    return true;
}

/* What a live grant names is there, as it was signed; an erased record is not. */
static void check_pinned(struct check *c, const struct vf_manifest *m, uint32_t row)
{
    struct vf_ref ref;

    vf_manifest_ref(m, row, &ref);
    if (!has(c, VF_VT_RECORD, ref.c, VF_REF_LEN))
        return;
    for (unsigned i = 0; i < m->nfields; i++) {
        struct vf_manifest_item item;
        struct vf_value_row value;
        struct vf_slice data;
        vf_manifest_item(m, row, i, &item);
        if (item.generation == 0)
            continue;
        struct vf_value_key key = vf_value_key_of(&ref, m->fields[i], item.generation);
        if (!vf_txn_get(c->txn, VF_VT_VALUE, key.b, sizeof(key.b), &data) ||
            !vf_value_row_parse(data, m->fields[i], &value) || memcmp(value.hash.b, item.hash.b, VF_HASH_LEN) != 0)
            tell(c, "record %.8s: generation %u of %s, which a live grant names, is missing or another one", ref.c,
                 (unsigned)item.generation, vf_field_info(m->fields[i])->name);
    }
}

static void check_grants(struct check *c)
{
    vf_txn_foreach(c->txn, VF_VT_GRANT, "", 0, each_grant, c);
    vf_txn_foreach(c->txn, VF_VT_MANIFEST, "", 0, each_manifest, c);
    enum vf_err err = vf_pins_load(c->v, c->txn, vf_clock_wall_us(), &c->pins, c->why);
    if (err == VF_E_NOMEM)
        c->err = err;
    for (size_t i = 0; i < c->pins.n; i++)
        for (uint32_t row = 0; row < c->pins.m[i].nrecords; row++)
            check_pinned(c, &c->pins.m[i], row);
}

/* ------------------------------------------------------------------------------------------------------ records, without a key */

static bool each_record(struct vf_cursor *cur, struct vf_slice key, struct vf_slice val, void *user)
{
    struct check *c = user;
    struct vf_ref ref;

    (void)cur;
    c->report.records++;
    if (!vf_ref_parse((const char *)key.data, key.len, &ref))
        tell(c, "a key in table record is no ref");
    else if (!vf_record_row_valid(val))
        tell(c, "record %.8s: the row of its keys is not well-formed", ref.c);
    else if (!has(c, VF_VT_HEAD, ref.c, VF_REF_LEN))
        tell(c, "record %.8s: its head is missing", ref.c);
    return true;
}

static bool each_head(struct vf_cursor *cur, struct vf_slice key, struct vf_slice val, void *user)
{
    struct check *c = user;
    struct vf_ref ref;

    (void)cur;
    if (!vf_ref_parse((const char *)key.data, key.len, &ref))
        tell(c, "a key in table head is no ref");
    else if (val.len != VF_HEAD_ROW_LEN)
        tell(c, "record %.8s: its head is not of the size that heads have", ref.c);
    else if (!has(c, VF_VT_RECORD, ref.c, VF_REF_LEN))
        tell(c, "record %.8s: a head without keys", ref.c);
    return true;
}

static bool each_index(struct vf_cursor *cur, struct vf_slice key, struct vf_slice val, void *user)
{
    struct check *c = user;
    struct vf_ref ref;

    (void)cur;
    if (key.len != VF_HASH_LEN || !vf_ref_parse((const char *)val.data, val.len, &ref))
        tell(c, "a row of the index is not well-formed");
    else if (!has(c, VF_VT_RECORD, ref.c, VF_REF_LEN))
        tell(c, "record %.8s: the index names it, and it is not there", ref.c);
    return true;
}

static void check_records(struct check *c)
{
    vf_txn_foreach(c->txn, VF_VT_RECORD, "", 0, each_record, c);
    vf_txn_foreach(c->txn, VF_VT_HEAD, "", 0, each_head, c);
    vf_txn_foreach(c->txn, VF_VT_INDEX, "", 0, each_index, c);
    if (vf_txn_count(c->txn, VF_VT_INDEX) != c->report.records)
        tell(c, "the index has %llu rows for %llu records", (unsigned long long)vf_txn_count(c->txn, VF_VT_INDEX),
             (unsigned long long)c->report.records);
}

/* -------------------------------------------------------------------------------------------------------- records, with a key */

/* The value that the head names against what the head says of it. */
static void compare_head(struct check *c, const struct vf_head_row *head, unsigned field, const struct vf_buf *value)
{
    const struct vf_field_state *f = &head->head.f[field];
    const char *text = value->len > 0 ? (const char *)value->data : "";
    struct vf_head_row again = *head;
    struct vf_slice row;
    struct vf_hash blind;

    if (value->len != f->len || vf_value_quoted(field, text, value->len) != f->quoted_len)
        tell(c, "record %.8s: the head tells another length of %s than it has", head->head.ref.c,
             vf_field_info(field)->name);
    if (!vf_head_take(&again, field, text, value->len) || again.head.protect != head->head.protect ||
        again.head.status != head->head.status)
        tell(c, "record %.8s: head and %s do not agree", head->head.ref.c, vf_field_info(field)->name);
    vf_wipe(&again, sizeof(again));
    if (field != VF_FIELD_WARRANT_NO)
        return;
    vf_index_of(&c->view->keys->index, text, value->len, &blind);
    if (!vf_txn_get(c->txn, VF_VT_INDEX, blind.b, VF_HASH_LEN, &row) || row.len != VF_REF_LEN ||
        memcmp(row.data, head->head.ref.c, VF_REF_LEN) != 0)
        tell(c, "record %.8s: the index does not lead to it", head->head.ref.c);
}

static void open_value(struct check *c, const struct vf_ref *ref, unsigned field, uint32_t generation,
                       const struct vf_value_row *row)
{
    const struct vf_record_keys *keys = NULL;
    const struct vf_head_row *head = NULL;
    struct vf_buf *value = vf_field_is_image(field) ? &c->image : &c->text;

    /* What is wrong with the keys or the head is told once, by each_secret. */
    if (vf_view_head_row(c->view, ref, &head, NULL) != VF_OK || vf_view_record(c->view, ref, &keys, NULL) != VF_OK)
        return;
    enum vf_err err = vf_value_row_open(keys, &c->v->id, field, generation, row, value);
    if (err == VF_E_NOMEM) {
        c->err = vf_fail(c->why, err, "%s: out of memory", c->v->path);
    } else if (err != VF_OK) {
        tell(c, "record %.8s: generation %u of %s does not open", ref->c, (unsigned)generation, vf_field_info(field)->name);
    } else if (head->head.f[field].generation == generation) {
        compare_head(c, head, field, value);
    } else if (!vf_pins_value(&c->pins, ref, field, generation)) {
        c->report.orphans++;
    }
}

static bool each_value(struct vf_cursor *cur, struct vf_slice key, struct vf_slice val, void *user)
{
    struct check *c = user;
    struct vf_value_row row;
    uint32_t generation = 0;
    unsigned field = 0;
    struct vf_hash hash;
    struct vf_ref ref;

    (void)cur;
    c->report.values++;
    if (c->progress != NULL && ++c->done % 256 == 0)
        c->progress(c->user, c->done, c->total);
    if (!vf_value_key_parse(key, &ref, &field, &generation)) {
        tell(c, "a key in table value is not well-formed");
        return true;
    }
    if (!vf_value_row_parse(val, field, &row)) {
        tell(c, "record %.8s: generation %u of %s is not well-formed", ref.c, (unsigned)generation,
             vf_field_info(field)->name);
        return true;
    }
    vf_sha256(row.sealed, row.sealed_len, &hash);
    if (memcmp(hash.b, row.hash.b, VF_HASH_LEN) != 0)
        tell(c, "record %.8s: generation %u of %s is not what its hash says", ref.c, (unsigned)generation,
             vf_field_info(field)->name);
    else if (!has(c, VF_VT_RECORD, ref.c, VF_REF_LEN))
        c->report.orphans++;
    else if (c->view->keys != NULL)
        open_value(c, &ref, field, generation, &row);
    return c->err == VF_OK;
}

/* Keys and head open, and every value that the head names is there. */
static bool each_secret(struct vf_cursor *cur, struct vf_slice key, struct vf_slice val, void *user)
{
    struct check *c = user;
    const struct vf_head_row *head = NULL;
    struct vf_ref ref;

    (void)cur;
    (void)val;
    if (!vf_ref_parse((const char *)key.data, key.len, &ref))
        return true;
    if (vf_view_head_row(c->view, &ref, &head, NULL) != VF_OK) {
        tell(c, "record %.8s: its keys or its head do not open", ref.c);
        return true;
    }
    for (unsigned f = 1; f < VF_FIELD_COUNT; f++) {
        uint32_t generation = head->head.f[f].generation;
        struct vf_value_key value = vf_value_key_of(&ref, f, generation);
        if (generation != 0 && !has(c, VF_VT_VALUE, value.b, sizeof(value.b)))
            tell(c, "record %.8s: generation %u of %s is missing", ref.c, (unsigned)generation, vf_field_info(f)->name);
    }
    return true;
}

/* ------------------------------------------------------------------------------------------------------------------ together */

static enum vf_err run(struct check *c)
{
    c->total = vf_txn_count(c->txn, VF_VT_VALUE);
    check_admins(c);
    check_grants(c);
    check_records(c);
    if (c->err == VF_OK && c->view->keys != NULL)
        vf_txn_foreach(c->txn, VF_VT_RECORD, "", 0, each_secret, c);
    if (c->err == VF_OK)
        vf_txn_foreach(c->txn, VF_VT_VALUE, "", 0, each_value, c);
    VF_TRY(c->err);
    return vf_vault_txn_check(c->v, c->txn, c->why);
}

enum vf_err vf_vault_check_as(const char *path, const struct vf_identity *id, bool unsigned_ok,
                              const struct vf_check_calls *calls, struct vf_vault_check_report *ret, struct vf_why *why)
{
    struct check c = {.finding = calls->finding, .progress = calls->progress, .user = calls->user, .why = why};
    VF_FREE char *db = vf_path_join(path, "db");
    char what[300];
    VF_VAULT v = NULL;
    VF_VIEW view = NULL;

    if (db == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", path);
    (void)snprintf(what, sizeof(what), "the vault %.200s", path);
    VF_TRY(vf_store_walk(db, vf_vault_tables, VF_VT_COUNT, 0, what, why));
    VF_TRY(vf_vault_open_as(path, id != NULL ? VF_VAULT_READ : VF_VAULT_PUBLIC, id, unsigned_ok, &v, why));
    VF_TRY(vf_view_open(v, &view, why));
    c.v = v;
    c.view = view;
    c.txn = view->txn;
    vf_buf_init(&c.text, VF_VALUE_ROW_MAX);
    vf_buf_init(&c.image, VF_VALUE_ROW_MAX);
    enum vf_err err = run(&c);
    vf_buf_done(&c.text);
    vf_buf_done(&c.image);
    vf_pins_done(&c.pins);
    if (err == VF_OK)
        *ret = c.report;
    return err;
}

enum vf_err vf_vault_check(const char *path, const struct vf_identity *id, void (*finding)(void *user, const char *line),
                           void (*progress)(void *user, uint64_t done, uint64_t total), void *user,
                           struct vf_vault_check_report *ret, struct vf_why *why)
{
    const struct vf_check_calls calls = {finding, progress, user};

    return vf_vault_check_as(path, id, false, &calls, ret, why);
}
