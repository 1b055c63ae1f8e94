/* SPDX-License-Identifier: MIT */
#include "keytool.h"

const struct kt_verb kt_audit_verbs[] = {
    {0},
};
