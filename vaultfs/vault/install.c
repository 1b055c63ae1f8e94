/* SPDX-License-Identifier: MIT */
/*
 * Installing a policy. Short of signatures it is kept beside the ruling one, and signatures that come in separately add up. In force, one
 * transaction stores it, seals VK to its admins and nobody else, and, if it names a new VK, wraps everything under that.
 */
#include "policy.h"
#include "rekey.h"

#include <stdlib.h>
#include <string.h>

struct installation {
    struct vf_vault *v;
    const struct vf_identity *admin;
    struct vf_policy_chain chain; /* what the vault will hold */
    struct vf_vault_keys *next;   /* in the arena; the present ones unless there is a rekey */
    bool rekey;
};

static void installation_done(struct installation *in)
{
    vf_policy_chain_done(&in->chain);
    vf_secret_free(in->next);
    vf_vault_cleanup(&in->v);
}

/* ------------------------------------------------------------------------------------------------------------- what will be */

/* Both have the same pending version: its signatures together. The texts before it are the same bytes of one chain. */
static enum vf_err merge_pending(const struct vf_policy_chain *mine, struct vf_policy_chain *other, struct vf_why *why)
{
    struct vf_note a, b;
    struct vf_policy_chain merged;
    VF_BUF file = {0};
    size_t at = 0;
    size_t len = 0;

    vf_policy_chain_last(other, &at, &len);
    VF_TRY(vf_note_parse(other->bytes + at, len, &b, why));
    vf_buf_init(&file, VF_POLICY_MAX);
    vf_buf_put(&file, other->bytes, at);
    vf_policy_chain_last(mine, &at, &len);
    VF_TRY(vf_note_parse(mine->bytes + at, len, &a, why));
    VF_TRY(vf_note_merge(&a, &b, &file, why));
    vf_buf_text(&file, "\n");
    VF_TRY(vf_buf_check(&file, "the policy", why));
    VF_TRY(vf_policy_chain_parse(file.data, file.len, "the policy with the signatures of both", &merged, why));
    vf_policy_chain_done(other);
    *other = merged;
    return VF_OK;
}

/* Decide what the vault will hold; *ret_same: what it holds already. */
static enum vf_err decide(struct installation *in, bool *ret_same, struct vf_why *why)
{
    const struct vf_policy_chain *mine = &in->v->chain;
    struct vf_policy_chain *other = &in->chain;
    int cmp = 0;

    VF_TRY(vf_policy_chain_compare(mine, other, &cmp, why));
    if (cmp < 0)
        return vf_fail(why, VF_E_STALE, "%s: version %zu of the policy rules here; this file ends with version %zu",
                       in->v->path, mine->ruling, other->ruling);
    if (mine->has_pending && other->has_pending && cmp == 0 &&
        memcmp(mine->pending.text_hash.b, other->pending.text_hash.b, VF_HASH_LEN) == 0)
        VF_TRY(merge_pending(mine, other, why));
    VF_TRY(vf_policy_chain_compare(mine, other, &cmp, why)); /* together they may be enough */
    /* A file without what waits here does not take it back. */
    *ret_same =
        (cmp == 0 && !other->has_pending) || (mine->len == other->len && memcmp(mine->bytes, other->bytes, mine->len) == 0);
    return VF_OK;
}

/* ------------------------------------------------------------------------------------------------------------ transactions */

static enum vf_err put_pending(struct vf_txn *txn, void *user, struct vf_why *why)
{
    const struct installation *in = user;

    (void)why;
    vf_meta_put(txn, VF_META_POLICY, in->chain.bytes, in->chain.len);
    return VF_OK;
}

static enum vf_err put_ruling(struct vf_txn *txn, void *user, struct vf_why *why)
{
    const struct installation *in = user;
    struct vf_rewrap rewrap = {.from = in->v->keys, .to = in->next, .new_epoch = true, .epoch = in->v->epoch + 1};
    uint64_t changes = 0;

    vf_meta_put(txn, VF_META_POLICY, in->chain.bytes, in->chain.len);
    vf_keys_put_seals(txn, &in->chain.policy, &in->next->vk);
    /* A key that waits for a version that did not come waits in vain now. */
    vf_meta_del(txn, VF_META_REKEY);
    if (!in->rekey)
        return VF_OK;
    VF_TRY(vf_rewrap_records(in->v, txn, &rewrap, why));
    if (!vf_meta_u64(txn, VF_META_W_CHANGES, &changes))
        changes = 0;
    vf_meta_put_u64(txn, VF_META_W_CHANGES, changes + 1);
    vf_meta_put_u64(txn, VF_META_W_SEQ, in->next->w_seq);
    vf_meta_put_u32(txn, VF_META_EPOCH, rewrap.epoch);
    return VF_OK;
}

/* The VK that the policy to be installed is about. */
static enum vf_err choose_key(struct installation *in, struct vf_why *why)
{
    struct vf_vault *v = in->v;
    struct vf_hash commitment;
    VF_TXN txn = NULL;

    *in->next = *v->keys;
    vf_kdf_vault_commitment(&v->keys->vk, &v->id, &commitment);
    if (vf_equal(commitment.b, in->chain.policy.commitment.b, VF_HASH_LEN))
        return VF_OK;
    in->rekey = true;
    if (v->epoch == UINT32_MAX)
        return vf_fail(why, VF_E_LIMIT, "%s: no further rekey is possible", v->path);
    VF_TRY(vf_txn_read(v->store, &txn, why));
    return vf_rekey_take(v, txn, &in->chain.policy, in->admin, &in->next->vk, why);
}

/* As an erase does it: new W durable in the other slot, the transaction that names it, the old slot wiped. */
static enum vf_err rule(struct installation *in, struct vf_why *why)
{
    struct vf_vault *v = in->v;
    char object[32];
    struct vf_entry entry = vf_vault_entry(v, VF_EVENT_POLICY, object);

    VF_TRY(choose_key(in, why));
    (void)snprintf(object, sizeof(object), "policy %u", (unsigned)in->chain.policy.version);
    VF_TRY(vf_vault_log(v, &entry, why));
    if (!in->rekey)
        return vf_store_update(v->store, put_ruling, in, why);
    entry.event = VF_EVENT_REKEY;
    VF_TRY(vf_vault_log(v, &entry, why));
    VF_TRY(vf_w_settle(v, why));
    VF_TRY(vf_w_next(v->w_path, v->keys->w_seq, &in->next->w, &in->next->w_seq, why));
    vf_keys_derive(in->next);
    enum vf_err err = vf_store_update(v->store, put_ruling, in, why);
    if (err != VF_OK) {
        enum vf_err ignored = vf_w_settle(v, NULL); /* as an erase does */
        (void)ignored;
        return err;
    }
    err = vf_w_wipe_other(v->w_path, in->next->w_seq, why);
    return vf_fail_prefix(why, err, "the new key is in force, but the old secret could not be wiped; the next change will");
}

static enum vf_err wait_for_signatures(struct installation *in, struct vf_why *why)
{
    char object[32];
    struct vf_entry entry = vf_vault_entry(in->v, VF_EVENT_POLICY, object);

    (void)snprintf(object, sizeof(object), "policy %u pending", (unsigned)in->chain.pending.version);
    VF_TRY(vf_vault_log(in->v, &entry, why));
    return vf_store_update(in->v->store, put_pending, in, why);
}

enum vf_err vf_policy_install(const char *vault_path, const void *data, size_t len, const struct vf_identity *admin,
                              bool *ret_pending, struct vf_why *why)
{
    VF_CLEANUP(installation_done) struct installation in = {.admin = admin};
    bool same = false;

    VF_TRY(vf_policy_chain_parse(data, len, "the policy file", &in.chain, why));
    VF_TRY(vf_vault_open_as(vault_path, VF_VAULT_WRITE, admin, true, &in.v, why));
    VF_TRY(decide(&in, &same, why));
    *ret_pending = in.chain.has_pending;
    if (same)
        return VF_OK;
    in.next = vf_secret_new(sizeof(*in.next));
    if (in.next == NULL)
        return vf_fail(why, VF_E_LOCKED_MEMORY, "%s: no room in the locked memory", vault_path);
    enum vf_err err = in.chain.ruling > in.v->chain.ruling ? rule(&in, why) : wait_for_signatures(&in, why);
    if (err != VF_OK)
        return err;
    struct vf_vault *v = in.v;
    in.v = NULL;
    return vf_vault_close(v, why);
}
