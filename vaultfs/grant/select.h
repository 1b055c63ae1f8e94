/* SPDX-License-Identifier: MIT */
#ifndef VAULTFS_GRANT_SELECT_H
#define VAULTFS_GRANT_SELECT_H

#include "file.h"

/* A record that is a candidate; an array of these lives in a vf_buf, since protection and status are nobody's business and are wiped. */
struct vf_pick {
    struct vf_ref ref;
    uint32_t line; /* of the list; 0: not from a list */
    bool by_ref;   /* the list named the ref, not the number */
    bool leaver, is_protected;
};
struct vf_pick *vf_picks_add(struct vf_buf *picks, const struct vf_pick *pick);
size_t vf_picks_count(const struct vf_buf *picks);
struct vf_pick *vf_picks_at(const struct vf_buf *picks, size_t i);

/* Every record there is, whoever it is: for a grant over all, whose contents leave out who has to be (vf_derive). */
VF_MUST_USE enum vf_err vf_select_every(struct vf_vault *v, struct vf_selected *ret, struct vf_why *why);
/*
 * Refs or warrant numbers, one a line; blank lines and a BOM do not count. VF_E_INPUT: names the first line of which there is no record,
 * or that could be two, and how many more there are; never the number itself.
 */
VF_MUST_USE enum vf_err vf_picks_list(struct vf_vault *v, struct vf_view *view, const char *path, struct vf_buf *picks,
                                      struct vf_why *why);

#endif
