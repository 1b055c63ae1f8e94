/* SPDX-License-Identifier: MIT */
#include "keytool.h"

const struct kt_verb kt_vault_verbs[] = {
    {0},
};
