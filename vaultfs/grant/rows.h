/* SPDX-License-Identifier: MIT */
/* Rows that the grant room keeps in a vault: grants (their head is vault.h's), manifests with their times, devices. */
#ifndef VAULTFS_GRANT_ROWS_H
#define VAULTFS_GRANT_ROWS_H

#include <vaultfs/grant.h>

/*
 * A row of VF_VT_DEVICE, by enrolment id: u8 version 1 ‖ u8 state ‖ u64 time of the last hand-in (0: never) ‖ u64 entries handed in ‖
 * the enrolment as it came.
 */
struct vf_device_row {
    bool revoked;
    int64_t handin_us;
    uint64_t handin_size;
    struct vf_slice enrol; /* borrowed */
};
void vf_device_row_put(const struct vf_device_row *row, struct vf_buf *out);
VF_MUST_USE enum vf_err vf_device_row_parse(const void *data, size_t len, struct vf_device_row *ret, struct vf_why *why);

/* The same, owned: what is known of one device. */
struct vf_device {
    struct vf_enrol enrol;
    bool revoked;
    int64_t handin_us;
    uint64_t handin_size;
};
/* By enrolment id: absent is VF_OK and *ret_known false for look, VF_E_NOT_FOUND for get. */
VF_MUST_USE enum vf_err vf_device_look(struct vf_vault *v, const struct vf_hash *id, struct vf_device *ret, bool *ret_known,
                                       struct vf_why *why);
VF_MUST_USE enum vf_err vf_device_get(struct vf_vault *v, const struct vf_hash *id, struct vf_device *ret,
                                      struct vf_why *why);
/* Change the state of a device in place: `change` edits the row before it is written again. VF_E_NOT_FOUND. */
VF_MUST_USE enum vf_err vf_device_change(struct vf_vault *v, const struct vf_hash *id,
                                         void (*change)(struct vf_device_row *row, void *user), void *user,
                                         struct vf_why *why);

/* A grant of the vault, owned. */
struct vf_kept_grant {
    struct vf_grant grant;
    bool revoked, exported;
    struct vf_buf note;
};
void vf_kept_grant_done(struct vf_kept_grant *k);
#define VF_KEPT_GRANT VF_CLEANUP(vf_kept_grant_done) struct vf_kept_grant
/* What the vault does not know is VF_OK and *ret_known false for look, VF_E_NOT_FOUND for get. */
VF_MUST_USE enum vf_err vf_kept_grant_look(struct vf_vault *v, const struct vf_grant_id *id, struct vf_kept_grant *ret,
                                           bool *ret_known, struct vf_why *why);
VF_MUST_USE enum vf_err vf_kept_grant_get(struct vf_vault *v, const struct vf_grant_id *id, struct vf_kept_grant *ret,
                                          struct vf_why *why);
/* Every grant of the vault in id order, in one snapshot; the note's text is parsed into `g`. */
typedef enum vf_err vf_kept_each(void *user, const struct vf_grant_row *row, const struct vf_grant *g,
                                 const struct vf_note *note, struct vf_why *why);
VF_MUST_USE enum vf_err vf_kept_grants(struct vf_vault *v, vf_kept_each *each, void *user, struct vf_why *why);
/* Bytes of a manifest of the vault and the times that go with it (8 bytes a record), copied. VF_E_NOT_FOUND. */
VF_MUST_USE enum vf_err vf_kept_manifest(struct vf_vault *v, const struct vf_hash *hash, struct vf_buf *ret_manifest,
                                         struct vf_buf *ret_times, struct vf_why *why);

/* What one change writes, in one transaction. */
struct vf_rows_change {
    const struct vf_grant *grant;
    struct vf_slice note;
    struct vf_slice manifest, times; /* stored when the vault has no such manifest yet; len 0: it has */
    struct vf_slice enrol;           /* likewise for the device; len 0: nothing to store */
    bool mark_exported, mark_revoked;
};
/* Signatures of a note that the vault holds already are kept: both are merged. Flags are only ever set. */
VF_MUST_USE enum vf_err vf_rows_keep(struct vf_vault *v, const struct vf_rows_change *k, struct vf_why *why);

/* The sticky error of a read transaction, in words. */
VF_MUST_USE enum vf_err vf_rows_check(struct vf_vault *v, const struct vf_txn *txn, struct vf_why *why);

#endif
