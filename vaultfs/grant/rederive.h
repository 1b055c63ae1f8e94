/* SPDX-License-Identifier: MIT */
#ifndef VAULTFS_GRANT_REDERIVE_H
#define VAULTFS_GRANT_REDERIVE_H

#include "derive.h"

/* vf_grant_rederive, which hands over what it has derived. `why` names what differs. */
VF_MUST_USE enum vf_err vf_contents_again(struct vf_vault *v, const struct vf_grant_file *file, struct vf_contents *ret,
                                          struct vf_why *why);
/* The grant's policy version is one that `chain` knows, and of this force (verify.c). */
VF_MUST_USE enum vf_err vf_grant_policy_known(const struct vf_grant *g, const struct vf_policy_chain *chain,
                                              struct vf_why *why);

/* Have enough admins of the ruling policy signed it? A signature of one of them that fails is VF_E_FORGED. *ret_count: how many did. */
VF_MUST_USE enum vf_err vf_grant_agreed(const struct vf_policy_chain *chain, const struct vf_note *note, bool *ret,
                                        size_t *ret_count, struct vf_why *why);

#endif
