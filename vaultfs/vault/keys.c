/* SPDX-License-Identifier: MIT */
#include "internal.h"

#include <string.h>
#include <time.h>

#define FOLLOW_TRIES    50
#define FOLLOW_PAUSE_NS 20000000L

void vf_keys_derive(struct vf_vault_keys *keys)
{
    vf_kdf_wrap_key(&keys->vk, &keys->w, &keys->wrap);
    vf_kdf_index_key(&keys->vk, &keys->index);
}

/*
 * The snapshot names a W that is not in the file when another process erased between the two: then the database has a newer snapshot
 * that names the newer W, and one look at it is enough, unless it happens again.
 */
enum vf_err vf_keys_follow(const struct vf_vault *v, struct vf_txn *txn, struct vf_vault_keys *keys, struct vf_why *why)
{
    const struct timespec pause = {.tv_nsec = FOLLOW_PAUSE_NS};

    for (int i = 0; i < FOLLOW_TRIES; i++) {
        uint64_t seq = 0;
        uint32_t epoch = 0;
        if (!vf_meta_u64(txn, VF_META_W_SEQ, &seq) || !vf_meta_u32(txn, VF_META_EPOCH, &epoch)) {
            VF_TRY(vf_vault_txn_check(v, txn, why));
            return vf_vault_damaged(v, NULL, "a row of its table meta is missing", why);
        }
        if (epoch != v->epoch)
            return vf_fail(why, VF_E_STALE, "%s: its key was changed by another process just now; run this again", v->path);
        if (seq == keys->w_seq)
            return VF_OK;
        enum vf_err err = vf_w_load(v->w_path, seq, &keys->w, why);
        if (err == VF_OK) {
            keys->w_seq = seq;
            vf_keys_derive(keys);
        }
        if (err != VF_E_NOT_FOUND)
            return err;
        if (i > 0)
            (void)nanosleep(&pause, NULL);
        vf_txn_reset(txn);
        VF_TRY(vf_txn_renew(txn, why));
    }
    return vf_vault_damaged(v, NULL, "its file w does not hold the secret that the database names", why);
}

enum vf_err vf_keys_open(const struct vf_vault *v, struct vf_txn *txn, const struct vf_identity *id,
                         struct vf_vault_keys *ret, struct vf_why *why)
{
    const struct vf_identity_pub *pub = vf_identity_pub_get(id);
    const struct vf_policy *policy = v->chain.ruling > 0 ? &v->chain.policy : &v->chain.pending;
    struct vf_slice row;
    struct vf_hash fp, commitment;

    vf_identity_fingerprint(pub, &fp);
    if (!vf_txn_get(txn, VF_VT_VK, fp.b, sizeof(fp.b), &row)) {
        VF_TRY(vf_vault_txn_check(v, txn, why));
        return vf_fail(why, VF_E_DENIED, "%s: the key of %s is not that of an admin of this vault", v->path, pub->name);
    }
    if (row.len != VF_SEALED_KEY_LEN || vf_vault_key_open(id, row.data, &ret->vk) != VF_OK)
        return vf_vault_damaged(v, NULL, "the vault key that is sealed to this admin does not open", why);
    vf_kdf_vault_commitment(&ret->vk, &v->id, &commitment);
    if (!vf_equal(commitment.b, policy->commitment.b, VF_HASH_LEN))
        return vf_vault_damaged(v, NULL, "its key is not the one that the policy names", why);
    ret->w_seq = 0; /* none: sequence numbers begin at 1 */
    return vf_keys_follow(v, txn, ret, why);
}

void vf_keys_put_seals(struct vf_txn *txn, const struct vf_policy *policy, const struct vf_vault_key *vk)
{
    vf_txn_clear(txn, VF_VT_VK);
    for (size_t i = 0; i < policy->nadmins; i++) {
        uint8_t sealed[VF_SEALED_KEY_LEN];
        struct vf_hash fp;
        vf_identity_fingerprint(&policy->admins[i], &fp);
        vf_vault_key_seal(vk, &policy->admins[i], sealed);
        vf_txn_put(txn, VF_VT_VK, fp.b, sizeof(fp.b), sealed, sizeof(sealed));
    }
}
