/* SPDX-License-Identifier: MIT */
/*
 * A new VK. It waits in the row "rekey" of the vault, sealed to each admin, until the policy version that holds its commitment is installed:
 * SHA-256 of that version's text, u8 n, then n times: fingerprint 32, sealed key 80. A vault has at most one that waits.
 */
#include "rekey.h"

#include "policy.h"

#include <string.h>

#define ROW_HEAD (VF_HASH_LEN + 1)
#define ROW_ITEM (VF_HASH_LEN + VF_SEALED_KEY_LEN)

static void put_row(const struct vf_policy *policy, const struct vf_hash *text_hash, const struct vf_vault_key *vk,
                    struct vf_buf *out)
{
    vf_buf_put(out, text_hash->b, VF_HASH_LEN);
    vf_buf_u8(out, (uint8_t)policy->nadmins);
    for (size_t i = 0; i < policy->nadmins; i++) {
        uint8_t sealed[VF_SEALED_KEY_LEN];
        struct vf_hash fp;
        vf_identity_fingerprint(&policy->admins[i], &fp);
        vf_vault_key_seal(vk, &policy->admins[i], sealed);
        vf_buf_put(out, fp.b, VF_HASH_LEN);
        vf_buf_put(out, sealed, sizeof(sealed));
    }
}

enum vf_err vf_rekey_take(const struct vf_vault *v, struct vf_txn *txn, const struct vf_policy *policy,
                          const struct vf_identity *admin, struct vf_vault_key *ret, struct vf_why *why)
{
    struct vf_hash fp, commitment;
    struct vf_slice row;

    if (!vf_meta_get(txn, VF_META_REKEY, &row) || row.len < ROW_HEAD ||
        memcmp(row.data, policy->text_hash.b, VF_HASH_LEN) != 0) {
        VF_TRY(vf_vault_txn_check(v, txn, why));
        return vf_fail(why, VF_E_REFUSED,
                       "%s: the new key of version %u of the policy does not wait in this vault; install the policy in the "
                       "vault where `vault rekey` was run",
                       v->path, (unsigned)policy->version);
    }
    size_t n = row.data[VF_HASH_LEN];
    if (row.len != ROW_HEAD + n * ROW_ITEM)
        return vf_vault_damaged(v, NULL, "the new key that waits in it is not well-formed", why);
    vf_identity_fingerprint(vf_identity_pub_get(admin), &fp);
    for (size_t i = 0; i < n; i++) {
        const uint8_t *item = row.data + ROW_HEAD + i * ROW_ITEM;
        if (memcmp(item, fp.b, VF_HASH_LEN) != 0)
            continue;
        if (vf_vault_key_open(admin, item + VF_HASH_LEN, ret) != VF_OK)
            break;
        vf_kdf_vault_commitment(ret, &v->id, &commitment);
        if (vf_equal(commitment.b, policy->commitment.b, VF_HASH_LEN))
            return VF_OK;
        break;
    }
    vf_wipe(ret, sizeof(*ret));
    return vf_vault_damaged(v, NULL, "the new key that waits in it does not open, or is not the one that was signed", why);
}

static enum vf_err put_rekey(struct vf_txn *txn, void *user, struct vf_why *why)
{
    const struct vf_buf *row = user;

    (void)why;
    vf_meta_put(txn, VF_META_REKEY, row->data, row->len);
    return VF_OK;
}

/* The text hash of the version that the chain in `out` ends with. */
static enum vf_err last_hash(const struct vf_buf *file, struct vf_hash *ret, struct vf_why *why)
{
    VF_CLEANUP(vf_policy_chain_done) struct vf_policy_chain chain = {0};

    VF_TRY(vf_policy_chain_parse(file->data, file->len, "the new policy", &chain, why));
    *ret = chain.has_pending ? chain.pending.text_hash : chain.policy.text_hash;
    return VF_OK;
}

enum vf_err vf_vault_rekey(struct vf_vault *v, const struct vf_identity *admin, struct vf_buf *out, struct vf_why *why)
{
    VF_SECRET struct vf_vault_key *vk = vf_secret_new(sizeof(*vk));
    struct vf_policy next = v->chain.policy;
    struct vf_entry entry = vf_vault_entry(v, VF_EVENT_REKEY, "made");
    struct vf_hash hash;
    VF_BUF file = {0};
    VF_BUF row = {0};

    VF_TRY(vf_vault_need(v, true, why));
    if (vk == NULL)
        return vf_fail(why, VF_E_LOCKED_MEMORY, "%s: no room in the locked memory", v->path);
    if (vf_policy_admin_find(&v->chain.policy, vf_identity_pub_get(admin)) < 0)
        return vf_fail(why, VF_E_REFUSED, "%s is no admin of this vault", vf_identity_pub_get(admin)->name);
    vf_random(vk->b, sizeof(vk->b));
    vf_kdf_vault_commitment(vk, &v->id, &next.commitment);
    next.created_us = vf_clock_wall_us();
    vf_buf_init(&file, VF_POLICY_MAX);
    VF_TRY(vf_policy_chain_extend(&v->chain, &next, admin, &file, why));
    VF_TRY(last_hash(&file, &hash, why));
    vf_buf_init(&row, ROW_HEAD + VF_ADMINS_MAX * ROW_ITEM);
    put_row(&next, &hash, vk, &row);
    VF_TRY(vf_buf_check(&row, v->path, why));
    VF_TRY(vf_vault_log(v, &entry, why));
    VF_TRY(vf_store_update(v->store, put_rekey, &row, why));
    vf_buf_put(out, file.data, file.len);
    return vf_buf_check(out, "the policy", why);
}
