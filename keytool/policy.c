/* SPDX-License-Identifier: MIT */
#include "keytool.h"

const struct kt_verb kt_policy_verbs[] = {
    {0},
};
