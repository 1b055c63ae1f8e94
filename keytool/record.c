/* SPDX-License-Identifier: MIT */
#include "keytool.h"

const struct kt_verb kt_record_verbs[] = {
    {0},
};
