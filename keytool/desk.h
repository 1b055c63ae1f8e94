/* SPDX-License-Identifier: MIT */
#ifndef KEYTOOL_DESK_H
#define KEYTOOL_DESK_H

#include "keytool.h"

#include <vaultfs/desk.h>

enum vf_err kt_desk_serve(const struct kt_args *a, struct vf_why *why);
enum vf_err kt_desk_status(const struct kt_args *a, struct vf_why *why);
enum vf_err kt_desk_answer(const struct kt_args *a, struct vf_why *why);

enum vf_err kt_desk_check(const char *store, struct vf_why *why); /* is it one? */
enum vf_err kt_desk_key_open(const struct kt_args *a, struct vf_identity **ret,
                             struct vf_why *why); /* --key, of role desk */
/* The desk's identity (--key) and its store, for changing it. The identity is the caller's to free after closing. */
enum vf_err kt_desk_open(const struct kt_args *a, const char *store, struct vf_identity **ret_id, struct vf_desk **ret,
                         struct vf_why *why);
/* Close, and let a failure to seal the log be the verb's failure if there was none before. */
enum vf_err kt_desk_close(struct vf_desk *d, enum vf_err err, struct vf_why *why);

#endif
