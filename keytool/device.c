/* SPDX-License-Identifier: MIT */
#include "keytool.h"

const struct kt_verb kt_device_verbs[] = {
    {0},
};
