/* SPDX-License-Identifier: MIT */
#ifndef KEYTOOL_RECORD_H
#define KEYTOOL_RECORD_H

#include "keytool.h"

enum vf_err kt_record_import(const struct kt_args *a, struct vf_why *why);
enum vf_err kt_record_list(const struct kt_args *a, struct vf_why *why);
enum vf_err kt_record_show(const struct kt_args *a, struct vf_why *why);
enum vf_err kt_record_set(const struct kt_args *a, struct vf_why *why);
enum vf_err kt_record_notify_list(const struct kt_args *a, struct vf_why *why);
enum vf_err kt_record_affected(const struct kt_args *a, struct vf_why *why);
/* Who looked at what: durable before anything is shown. */
enum vf_err kt_record_log_view(struct vf_vault *v, const struct vf_ref *refs, size_t n, vf_field_set fields,
                               struct vf_why *why);
enum vf_err kt_record_erase(const struct kt_args *a, struct vf_why *why);

#endif
