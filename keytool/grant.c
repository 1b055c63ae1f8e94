/* SPDX-License-Identifier: MIT */
#include "keytool.h"

const struct kt_verb kt_grant_verbs[] = {
    {0},
};
