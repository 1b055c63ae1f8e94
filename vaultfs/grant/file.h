/* SPDX-License-Identifier: MIT */
/* Heads and sizes of the flat files; the layouts stand at the top of grant.h and in docs/format.md. */
#ifndef VAULTFS_GRANT_FILE_H
#define VAULTFS_GRANT_FILE_H

#include <vaultfs/grant.h>

#define VF_MAGIC_LEN       8
#define VF_GRANT_MAGIC     "VFGRANT1"
#define VF_ENVELOPES_MAGIC "VFENVEL1"
#define VF_CATALOGUE_MAGIC "VFCATAL1"
#define VF_BUNDLE_MAGIC    "VFBUNDL1"

#define VF_ENVELOPES_HEAD    (VF_MAGIC_LEN + VF_GRANT_ID_LEN + 4 + 1 + 1)
#define VF_CATALOGUE_HEAD    (VF_MAGIC_LEN + VF_GRANT_ID_LEN)
#define VF_BUNDLE_HEAD       (VF_MAGIC_LEN + VF_VAULT_ID_LEN + 4)
#define VF_BUNDLE_ITEM_LEN   (VF_REF_LEN + 1 + 4 + 4)
#define VF_BUNDLE_ITEM_KEY   (VF_REF_LEN + 1 + 4) /* what the index is sorted by */
#define VF_BUNDLE_VALUES_MAX (VF_GRANT_RECORDS_MAX * (uint32_t)(VF_FIELD_COUNT - 1))

#define VF_CATALOGUE_TIME_MAX UINT64_C(253402300799) /* the last second of the year 9999 */

/* Longest sealed value there can be: an image of VF_VALUE_MAX. */
#define VF_SEALED_MAX (VF_VALUE_MAX + VF_VALUE_OVERHEAD)

/* Room for one value while it is decrypted: with its padding. */
#define VF_GRANT_SCRATCH_MAX (VF_VALUE_MAX + 65536u)

/* Whole length of the envelopes, and of the catalogue, of `n` records. */
size_t vf_envelopes_size(const struct vf_grant_layout *l, uint32_t n);
size_t vf_catalogue_size(const struct vf_grant_layout *l, uint32_t n);
/* Length of a value of `len` true bytes as it is stored and sent. */
uint32_t vf_sealed_size(unsigned field, size_t len);
/* Whether a sealed value of this field can have that length at all. */
VF_MUST_USE bool vf_sealed_size_valid(unsigned field, uint32_t sealed_len);
void vf_envelopes_put_head(uint8_t *out, const struct vf_grant_id *id, const struct vf_grant_layout *l, uint32_t n);
void vf_catalogue_put_head(uint8_t *out, const struct vf_grant_id *id);

/* The encoder beside vf_grant_file_parse. */
void vf_grant_file_put(struct vf_buf *out, struct vf_slice note, struct vf_slice manifest, struct vf_slice envelopes,
                       struct vf_slice catalogue);

#endif
