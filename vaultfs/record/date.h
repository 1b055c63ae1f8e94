/* SPDX-License-Identifier: MIT */
/* record, internal: dates and times as text. */
#ifndef VAULTFS_RECORD_DATE_H
#define VAULTFS_RECORD_DATE_H

#include "vaultfs/record.h"

/* YYYY-MM-DD, a real date of the years 1900 to 9999. */
VF_MUST_USE bool vf_date_valid(const char *s, size_t len);
/* RFC 3339: date, T or space, time, an optional fraction, Z or an offset. */
VF_MUST_USE bool vf_date_time_valid(const char *s, size_t len);

#endif
