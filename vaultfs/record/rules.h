/* SPDX-License-Identifier: MIT */
/* record, internal: a force's own ranks and warrant numbers. */
#ifndef VAULTFS_RECORD_RULES_H
#define VAULTFS_RECORD_RULES_H

#include "vaultfs/record.h"

/* `rules` may be NULL: the defaults. Values are normalised, without NUL. */
VF_MUST_USE bool vf_rules_rank_known(const struct vf_rules *rules, const char *rank, size_t len);
/* True when the list has it in other capitals. */
VF_MUST_USE bool vf_rules_rank_nearly(const struct vf_rules *rules, const char *rank, size_t len);
VF_MUST_USE bool vf_rules_warrant_matches(const struct vf_rules *rules, const char *number, size_t len);

#endif
