/* SPDX-License-Identifier: MIT */
#include "prekey_rows.h"
#include "issue.h"
#include "rows.h"

#include <string.h>

#define VERSION  1
#define HEAD_LEN (1 + VF_PREKEY_STORE_LEN + 8 + 8 + 4)
#define ROW_MAX  (HEAD_LEN + VF_PREKEYS_MAX / 8 + 1 + (size_t)VF_PREKEYS_MAX * VF_KEY_LEN)

static size_t used_len(uint32_t count)
{
    return ((size_t)count + 7) / 8;
}

static bool is_used(const struct vf_prekey_row *row, uint32_t number)
{
    return (row->used[number / 8] >> (number % 8) & 1u) != 0;
}

static uint32_t free_count(const struct vf_prekey_row *row)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < row->count; i++)
        n += !is_used(row, i);
    return n;
}

enum vf_err vf_prekey_row_parse(const void *data, size_t len, struct vf_prekey_row *ret, struct vf_why *why)
{
    struct vf_reader r = vf_reader_of(data, len);
    struct vf_prekey_row row = {0};
    uint8_t version = vf_reader_u8(&r);

    vf_reader_copy(&r, row.store, sizeof(row.store));
    uint64_t made = vf_reader_u64(&r), last = vf_reader_u64(&r);
    row.count = vf_reader_u32(&r);
    if (row.count > VF_PREKEYS_MAX)
        r.bad = true;
    row.used = vf_reader_view(&r, used_len(row.count));
    row.keys = vf_reader_view(&r, (size_t)row.count * VF_KEY_LEN);
    if (!vf_reader_done(&r) || version != VERSION || row.count == 0 || made > INT64_MAX || last > INT64_MAX)
        return vf_fail(why, VF_E_DAMAGED, "a row of prekeys in the vault is not well-formed; check the vault");
    row.made_us = (int64_t)made;
    row.last_us = (int64_t)last;
    *ret = row;
    return VF_OK;
}

static void row_put(const struct vf_prekey_batch *b, struct vf_buf *out)
{
    vf_buf_init(out, ROW_MAX);
    vf_buf_u8(out, VERSION);
    vf_buf_put(out, b->store, sizeof(b->store));
    vf_buf_u64(out, (uint64_t)b->made_us);
    vf_buf_u64(out, (uint64_t)b->last_us);
    vf_buf_u32(out, b->count);
    (void)vf_buf_grow(out, used_len(b->count));
    for (uint32_t i = 0; i < b->count; i++)
        vf_buf_put(out, b->keys[i].b, VF_KEY_LEN);
}

/* ------------------------------------------------------------------------------------------------------------------ installing */

static enum vf_err same_batch(const struct vf_prekey_row *row, const struct vf_prekey_batch *b, struct vf_why *why)
{
    bool same = memcmp(row->store, b->store, sizeof(row->store)) == 0 && row->count == b->count &&
                row->made_us == b->made_us && row->last_us == b->last_us;

    for (uint32_t i = 0; i < b->count && same; i++)
        same = memcmp(row->keys + (size_t)i * VF_KEY_LEN, b->keys[i].b, VF_KEY_LEN) == 0;
    return same ? VF_OK
                : vf_fail(why, VF_E_REFUSED,
                          "the vault has another batch %u of prekeys: this desk's store was made anew; give "
                          "its batches numbers that were not used (desk prekeys)",
                          b->batch);
}

struct install {
    const struct vf_prekey_batch *batch;
    bool known;
};

static enum vf_err install_body(struct vf_txn *txn, void *user, struct vf_why *why)
{
    struct install *i = user;
    struct vf_prekey_row row;
    struct vf_slice old;
    uint8_t key[4];
    VF_BUF out = {0};

    vf_put_be32(key, i->batch->batch);
    i->known = vf_txn_get(txn, VF_VT_PREKEY, key, sizeof(key), &old);
    if (i->known) {
        VF_TRY(vf_prekey_row_parse(old.data, old.len, &row, why));
        return same_batch(&row, i->batch, why);
    }
    row_put(i->batch, &out);
    VF_TRY(vf_buf_check(&out, "a row of prekeys", why));
    vf_txn_put(txn, VF_VT_PREKEY, key, sizeof(key), out.data, out.len);
    return VF_OK;
}

static enum vf_err log_install(struct vf_vault *v, const struct vf_identity *admin, const struct vf_prekey_batch *b,
                               struct vf_why *why)
{
    char words[160];
    const struct vf_entry e = {.event = VF_EVENT_RECEIVE,
                               .recipient = vf_identity_pub_get(admin)->name,
                               .part = -1,
                               .has_count = true,
                               .count = b->count,
                               .object = words,
                               .result = "ok"};

    (void)snprintf(words, sizeof(words), "prekeys, batch %u of desk %s", b->batch, b->desk);
    return vf_vault_log(v, &e, why);
}

enum vf_err vf_prekeys_install(struct vf_vault *v, const struct vf_identity *admin, const void *data, size_t len,
                               const char *what, struct vf_prekeys_report *ret, struct vf_why *why)
{
    const struct vf_policy *p = &vf_vault_policy(v)->policy;
    VF_CLEANUP(vf_prekey_batch_done) struct vf_prekey_batch b = {0};
    struct install i = {.batch = &b};

    VF_TRY(vf_draft_admin(v, admin, why));
    if (!p->has_desk)
        return vf_fail(why, VF_E_REFUSED, "the policy in force names no desk: add one first (policy change --desk)");
    VF_TRY(vf_prekeys_parse(data, len, what, &p->desk, &b, why));
    if (b.made_us <= vf_vault_restored_us(v))
        return vf_fail(
            why, VF_E_REFUSED,
            "%s: made before this vault was restored from a backup, so some of its keys may have been used: ask the "
            "desk for a new batch (desk prekeys)",
            what);
    VF_TRY(log_install(v, admin, &b, why));
    VF_TRY(vf_store_update(vf_vault_store(v), install_body, &i, why));
    *ret = (struct vf_prekeys_report){.batch = b.batch, .count = b.count, .last_us = b.last_us, .known = i.known};
    return VF_OK;
}

/* ------------------------------------------------------------------------------------------------------------------- choosing */

struct choice {
    int64_t until_us;
    bool found;
    int64_t last_us;
    uint32_t batch, free, number;
    struct vf_prekey_pub pub;
    int64_t latest_us; /* of any batch with a free key */
    enum vf_err err;
    struct vf_why *why;
};

/* The nth free number. */
static uint32_t nth_free(const struct vf_prekey_row *row, uint32_t n)
{
    uint32_t i = 0;

    for (;; i++)
        if (!is_used(row, i) && n-- == 0)
            return i;
}

static void take(struct choice *c, uint32_t batch, const struct vf_prekey_row *row, uint32_t left)
{
    uint32_t random;

    vf_random(&random, sizeof(random));
    c->found = true;
    c->last_us = row->last_us;
    c->batch = batch;
    c->number = nth_free(row, random % left);
    memcpy(c->pub.b, row->keys + (size_t)c->number * VF_KEY_LEN, VF_KEY_LEN);
}

static bool each_batch(struct vf_cursor *cur, struct vf_slice key, struct vf_slice val, void *user)
{
    struct choice *c = user;
    struct vf_prekey_row row;

    (void)cur;
    c->err = key.len == 4
                 ? vf_prekey_row_parse(val.data, val.len, &row, c->why)
                 : vf_fail(c->why, VF_E_DAMAGED, "a row of prekeys in the vault is not well-formed; check the vault");
    if (c->err != VF_OK)
        return false;
    uint32_t left = free_count(&row);
    if (left == 0)
        return true;
    if (row.last_us > c->latest_us)
        c->latest_us = row.last_us;
    if (row.last_us >= c->until_us) {
        c->free += left;
        if (!c->found || row.last_us < c->last_us)
            take(c, vf_get_be32(key.data), &row, left);
    }
    return true;
}

static enum vf_err choose(struct vf_vault *v, struct choice *c, struct vf_why *why)
{
    VF_TXN txn = NULL;

    VF_TRY(vf_txn_read(vf_vault_store(v), &txn, why));
    vf_txn_foreach(txn, VF_VT_PREKEY, NULL, 0, each_batch, c);
    VF_TRY(c->err);
    return vf_rows_check(v, txn, why);
}

enum vf_err vf_prekey_choose(struct vf_vault *v, int64_t until_us, uint32_t *ret_batch, uint32_t *ret_number,
                             struct vf_prekey_pub *ret_pub, struct vf_why *why)
{
    struct choice c = {.until_us = until_us, .why = why};
    char when[64];

    VF_TRY(choose(v, &c, why));
    if (!c.found && c.latest_us != 0) {
        vf_time_format_person(c.latest_us, when, sizeof(when));
        return vf_fail(
            why, VF_E_REFUSED,
            "the desk destroys the last of its prekeys that are left here on %s: end the grant sooner, or take in a "
            "new batch (desk prekeys; vault set --prekeys)",
            when);
    }
    if (!c.found)
        return vf_fail(why, VF_E_REFUSED,
                       "no prekey of the desk is left: take in a new batch (desk prekeys; vault set --prekeys)");
    *ret_batch = c.batch;
    *ret_number = c.number;
    *ret_pub = c.pub;
    return VF_OK;
}

enum vf_err vf_prekeys_left(struct vf_vault *v, int64_t now_us, uint64_t *ret_free, int64_t *ret_latest_us,
                            struct vf_why *why)
{
    struct choice c = {.until_us = now_us, .why = why};

    VF_TRY(choose(v, &c, why));
    *ret_free = c.free;
    *ret_latest_us = c.latest_us;
    return VF_OK;
}

enum vf_err vf_prekey_use(struct vf_txn *txn, const struct vf_grant *g, struct vf_why *why)
{
    struct vf_prekey_row row;
    struct vf_slice val;
    uint8_t key[4];
    VF_BUF out = {0};

    vf_put_be32(key, g->prekey_batch);
    if (!vf_txn_get(txn, VF_VT_PREKEY, key, sizeof(key), &val))
        return vf_txn_error(txn) != VF_OK
                   ? vf_txn_error(txn)
                   : vf_fail(why, VF_E_REFUSED,
                             "this vault does not have batch %u of the desk's prekeys, which the grant uses: "
                             "take it in first (vault set --prekeys)",
                             g->prekey_batch);
    VF_TRY(vf_prekey_row_parse(val.data, val.len, &row, why));
    if (g->prekey_number >= row.count)
        return vf_fail(why, VF_E_FORGED, "batch %u of the desk's prekeys has no number %u", g->prekey_batch,
                       g->prekey_number);
    if (is_used(&row, g->prekey_number))
        return vf_fail(why, VF_E_REFUSED, "prekey %u/%u was given to another grant already: issue this one again",
                       g->prekey_batch, g->prekey_number);
    if (row.last_us < g->until_us)
        return vf_fail(why, VF_E_REFUSED,
                       "the grant would outlive its prekey, which the desk destroys sooner: issue it again");
    vf_buf_init(&out, ROW_MAX);
    vf_buf_put(&out, val.data, val.len);
    VF_TRY(vf_buf_check(&out, "a row of prekeys", why));
    out.data[HEAD_LEN + g->prekey_number / 8] |= (uint8_t)(1u << (g->prekey_number % 8));
    vf_txn_put(txn, VF_VT_PREKEY, key, sizeof(key), out.data, out.len);
    return VF_OK;
}
