/* SPDX-License-Identifier: MIT */
/* What issuing and renewing share: the text filled in, signed, logged, kept, and put into a file. */
#ifndef VAULTFS_GRANT_ISSUE_H
#define VAULTFS_GRANT_ISSUE_H

#include "derive.h"

/* Vault, force, policy in force, issuer, a fresh id. Times are cut to whole seconds. */
VF_MUST_USE enum vf_err vf_draft_start(struct vf_vault *v, const struct vf_identity *admin, int64_t now_us, int64_t from_us,
                                       int64_t until_us, struct vf_grant *g, struct vf_why *why);
/* VF_E_REFUSED when another grant of this device uses the folder name and is not ended. `manifest`: unless it has this manifest. */
VF_MUST_USE enum vf_err vf_draft_job_free(struct vf_vault *v, const struct vf_grant *g, const struct vf_hash *manifest,
                                          struct vf_why *why);
/*
 * (1) seal the grant share to the device, (2) text and signature, (3) the log's entry, durable, (4) the vault's rows, (5) the file
 * into `out`. `enrol`: the device's enrolment for the vault to keep, or empty.
 */
VF_MUST_USE enum vf_err vf_draft_finish(struct vf_vault *v, const struct vf_identity *admin, const struct vf_enrol *to,
                                        struct vf_slice enrol, const struct vf_contents *c, struct vf_grant *g,
                                        struct vf_buf *out, struct vf_why *why);
/* An entry about all of a grant, durable. `words`: who did it, and what. */
VF_MUST_USE enum vf_err vf_grant_log(struct vf_vault *v, enum vf_event event, const struct vf_grant *g, const char *words,
                                     struct vf_why *why);
/* The admin's name and "until …; expiry enforced by …", as the log says it. */
void vf_draft_words(const struct vf_grant *g, const char *by, char *out, size_t size);
/* One of the ruling policy's admins, by key: VF_E_REFUSED else. */
VF_MUST_USE enum vf_err vf_draft_admin(const struct vf_vault *v, const struct vf_identity *admin, struct vf_why *why);

#endif
