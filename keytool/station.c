/* SPDX-License-Identifier: MIT */
#include "keytool.h"

const struct kt_verb kt_station_verbs[] = {
    {0},
};
