/* SPDX-License-Identifier: MIT */
/* report, internal: what was read of each record. A table by ref that grows with the number of records, up to a bound. */
#ifndef VAULTFS_REPORT_HTML_REFS_H
#define VAULTFS_REPORT_HTML_REFS_H

#include <vaultfs/base.h>
#include <vaultfs/record.h>

#define VF_REFS_MAX 1000000u /* records that are told apart: as many as a grant can name */

struct vf_ref_row {
    struct vf_ref ref;
    uint32_t opens[2]; /* text, image; stops at the largest number */
    uint32_t repeats;
    uint32_t window; /* stamp of the span in which it was last counted (html_facts.c) */
    uint32_t released;
    bool only_copy; /* some of it stands only in a copy of a log that does not agree with the one that counts */
    vf_field_set fields;
    int64_t first_us, last_us;
    uint64_t programs;  /* bits of vf_rows_bit */
    uint64_t grants[2]; /* text, image: bits of vf_rows_bit */
};
struct vf_refs {
    struct vf_ref_row *row;
    size_t n, cap;
    uint32_t *slot; /* index + 1 */
    size_t nslots;
    uint64_t seed;
    size_t max;
    uint64_t beyond; /* reads of records that found no room */
};
/* `seed`: any number that whoever wrote the log did not know. `max`: VF_REFS_MAX, or less in tests. */
void vf_refs_init(struct vf_refs *r, uint64_t seed, size_t max);
void vf_refs_done(struct vf_refs *r);
/* *ret is NULL when the table is full; valid until the next call. */
VF_MUST_USE enum vf_err vf_refs_at(struct vf_refs *r, const struct vf_ref *ref, struct vf_ref_row **ret, struct vf_why *why);
/* In ref order, for the end: no vf_refs_at after it. */
void vf_refs_sort(struct vf_refs *r);

#endif
