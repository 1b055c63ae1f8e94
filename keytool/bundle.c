/* SPDX-License-Identifier: MIT */
#include "keytool.h"

const struct kt_verb kt_bundle_verbs[] = {
    {0},
};
