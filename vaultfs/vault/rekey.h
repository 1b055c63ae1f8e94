/* SPDX-License-Identifier: MIT */
/* Internal to the vault room: the new VK that waits for its policy. */
#ifndef VAULTFS_VAULT_REKEY_H
#define VAULTFS_VAULT_REKEY_H

#include "internal.h"

/* Open the VK that waits for `policy`, compared with its commitment. VF_E_REFUSED when it is not in this vault. */
VF_MUST_USE enum vf_err vf_rekey_take(const struct vf_vault *v, struct vf_txn *txn, const struct vf_policy *policy,
                                      const struct vf_identity *admin, struct vf_vault_key *ret, struct vf_why *why);

#endif
