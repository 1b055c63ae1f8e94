/* SPDX-License-Identifier: MIT */
/* record, internal: a CSV's column names to fields. */
#ifndef VAULTFS_RECORD_CSV_MAP_H
#define VAULTFS_RECORD_CSV_MAP_H

#include "vaultfs/record.h"

/* True when `column` is in the map (NULL: an empty one); *ret is VF_FIELD_NONE for one to be ignored. */
VF_MUST_USE bool vf_csv_map_find(const struct vf_csv_map *map, const char *column, size_t len, enum vf_field *ret);

#endif
