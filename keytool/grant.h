/* SPDX-License-Identifier: MIT */
#ifndef KEYTOOL_GRANT_H
#define KEYTOOL_GRANT_H

#include "keytool.h"

enum vf_err kt_grant_issue(const struct kt_args *a, struct vf_why *why);
enum vf_err kt_grant_renew(const struct kt_args *a, struct vf_why *why);
enum vf_err kt_grant_revoke(const struct kt_args *a, struct vf_why *why);
enum vf_err kt_grant_show(const struct kt_args *a, struct vf_why *why);
enum vf_err kt_grant_verify(const struct kt_args *a, struct vf_why *why);
enum vf_err kt_grant_list(const struct kt_args *a, struct vf_why *why);

/* What a grant says, in lines for people; from its text alone. */
void kt_grant_print(const struct vf_grant *g);
json_t *kt_grant_json(const struct vf_grant *g);
/*
 * Distinct admins of the ruling policy whose signature is on the note; `names` (may be NULL) gets those who could still sign, "alice,
 * bob". VF_E_FORGED when a signature of one of them fails.
 */
enum vf_err kt_grant_signatures(const struct vf_note *note, const struct vf_policy *policy, size_t *ret_count, char *names,
                                size_t size, struct vf_why *why);
/* "needs 1 more signature: …" or "all 2 signatures", with the next command, on stderr. */
enum vf_err kt_grant_next(const struct kt_args *a, const struct vf_buf *bytes, const char *path, const char *vault,
                          const struct vf_policy *policy, bool renewal, struct vf_why *why);

#endif
