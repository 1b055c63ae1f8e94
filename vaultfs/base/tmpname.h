/* SPDX-License-Identifier: MIT */
/* base, internal: the name under which something is made beside its place. */
#ifndef VAULTFS_BASE_TMPNAME_H
#define VAULTFS_BASE_TMPNAME_H

#include "vaultfs/base.h"

/* "PATH.tmp-" and 40 random bits as the 8 characters of a ref; PATH without slashes at its end. Freed by the caller. */
VF_MUST_USE enum vf_err vf_tmp_name(const char *path, char **ret, struct vf_why *why);

#endif
