/* SPDX-License-Identifier: MIT */
#ifndef KEYTOOL_STATION_H
#define KEYTOOL_STATION_H

#include "keytool.h"

enum vf_err kt_station_receive(const struct kt_args *a, struct vf_why *why);
enum vf_err kt_station_handin(const struct kt_args *a, struct vf_why *why);
enum vf_err kt_station_status(const struct kt_args *a, struct vf_why *why);

#endif
