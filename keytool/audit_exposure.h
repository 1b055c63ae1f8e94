/* SPDX-License-Identifier: MIT */
#ifndef KEYTOOL_AUDIT_EXPOSURE_H
#define KEYTOOL_AUDIT_EXPOSURE_H

#include "keytool.h"

#define KT_EXPOSURE_OPTIONS                                                                                               \
    (KT_BIT(VAULT_OR_BACKUP) | KT_BIT(LOG) | KT_BIT(GRANT_ID) | KT_BIT(DEVICE) | KT_BIT(ALL_RECORDS) | KT_BIT(SINCE) |    \
     KT_BIT(UNTIL_TIME) | KT_BIT(HOST_COMPROMISED_AT) | KT_BIT(DEVICE_OFF) | KT_BIT(PASSPHRASE_SAFE) | KT_BIT(AWARE_AT) | \
     KT_BIT(OUTPUT) | KT_BIT(JSON))
enum vf_err kt_audit_exposure(const struct kt_args *a, struct vf_why *why);

#endif
