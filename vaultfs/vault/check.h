/* SPDX-License-Identifier: MIT */
/* Internal to the vault room. */
#ifndef VAULTFS_VAULT_CHECK_H
#define VAULTFS_VAULT_CHECK_H

#include "internal.h"

struct vf_check_calls {
    void (*finding)(void *user, const char *line);
    void (*progress)(void *user, uint64_t done, uint64_t total);
    void *user;
};
/* vf_vault_check, also of a vault whose first policy still waits for signatures. */
VF_MUST_USE enum vf_err vf_vault_check_as(const char *path, const struct vf_identity *id, bool unsigned_ok,
                                          const struct vf_check_calls *calls, struct vf_vault_check_report *ret,
                                          struct vf_why *why);

#endif
