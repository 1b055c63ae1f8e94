/* SPDX-License-Identifier: MIT */
/* Internal to the vault room: one version's text; what vault.h tells of chains is built from it. */
#ifndef VAULTFS_VAULT_POLICY_H
#define VAULTFS_VAULT_POLICY_H

#include "vaultfs/vault.h"

#define VF_POLICY_TEXT_MAX 16384u

/* Decode one version's text: the exact form that vf_policy_put writes, nothing else. `previous` is zeroes in version 1. */
VF_MUST_USE enum vf_err vf_policy_parse(const char *text, size_t len, const char *what, struct vf_policy *ret,
                                        struct vf_hash *ret_previous, struct vf_why *why);
/* Is what is written here a policy that can rule: names, numbers, distinct keys? VF_E_INPUT tells what is wrong. */
VF_MUST_USE enum vf_err vf_policy_legal(const struct vf_policy *policy, struct vf_why *why);
/* Sort admins by name, the order in which they are written. */
void vf_policy_sort(struct vf_policy *policy);
/* The place of `pub` among the admins, or -1. */
int vf_policy_admin_find(const struct vf_policy *policy, const struct vf_identity_pub *pub);

/* The last note of a chain's bytes: where it begins; its length without the empty line behind it. */
void vf_policy_chain_last(const struct vf_policy_chain *chain, size_t *ret_at, size_t *ret_len);
/* A chain in force (no pending) and one more version signed by `admin`, appended to `out`. */
VF_MUST_USE enum vf_err vf_policy_chain_extend(const struct vf_policy_chain *chain, struct vf_policy *next,
                                               const struct vf_identity *admin, struct vf_buf *out, struct vf_why *why);

#endif
