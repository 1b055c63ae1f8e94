/* SPDX-License-Identifier: MIT */
/* The encoder beside bundle_read.c. */
#ifndef VAULTFS_GRANT_BUNDLE_WRITE_H
#define VAULTFS_GRANT_BUNDLE_WRITE_H

#include "file.h"

/* Head, then the items in the order of the values. */
void vf_bundle_put_head(struct vf_buf *out, const struct vf_vault_id *vault, uint32_t nvalues);
void vf_bundle_put_item(struct vf_buf *out, const struct vf_bundle_value *v);
/* All slices to fd, straight from where they lie; goes on after short writes. */
VF_MUST_USE enum vf_err vf_bundle_write(int fd, const struct vf_slice *slices, size_t n, struct vf_why *why);

#endif
