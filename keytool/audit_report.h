/* SPDX-License-Identifier: MIT */
#ifndef KEYTOOL_AUDIT_REPORT_H
#define KEYTOOL_AUDIT_REPORT_H

#include "keytool.h"

#define KT_REPORT_OPTIONS (KT_BIT(FORCE) | KT_BIT(JSON) | KT_BIT(LOG) | KT_BIT(OUTPUT) | KT_BIT(VAULT_OR_BACKUP))
enum vf_err kt_audit_report(const struct kt_args *a, struct vf_why *why);

#endif
