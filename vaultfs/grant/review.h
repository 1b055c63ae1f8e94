/* SPDX-License-Identifier: MIT */
/* What a co-signer is shown: gathered in review_facts.c, written in review_page.c (the grant) and review_rows.c (the records). */
#ifndef VAULTFS_GRANT_REVIEW_H
#define VAULTFS_GRANT_REVIEW_H

#include "derive.h"
#include "rows.h"

#define VF_REVIEW_PHOTOS_ALL \
    2000u /* up to so many records every photo is on the page; above, at most so many of those that are new */
#define VF_REVIEW_SAMPLE 500u /* and so many of the others, drawn at random */

#define VF_REVIEW_PASSED_MAX 8u

enum vf_review_change { VF_REVIEW_SAME, VF_REVIEW_NEW, VF_REVIEW_CHANGED };
struct vf_review_row {
    uint8_t change;       /* enum vf_review_change; SAME when there is nothing to compare with */
    bool shown;           /* its photo is on the page */
    vf_field_set changed; /* of CHANGED: fields with another version, or granted for the first time */
};
struct vf_review {
    struct vf_vault *v;
    const struct vf_grant_file *file;
    struct vf_contents contents; /* derived again, and found to be the file's */
    struct vf_note_key keys[VF_ADMINS_MAX];
    size_t nkeys;
    bool signed_by[VF_ADMINS_MAX];
    size_t signatures;
    bool device_known;
    struct vf_device device;
    /* The device's last grant that enough admins have signed and nobody revoked: of the same job if there is one. */
    bool has_last, last_same_job;
    struct vf_grant last;
    struct vf_grant_id passed[VF_REVIEW_PASSED_MAX]; /* others of the device, not compared with */
    size_t npassed;                                  /* may be more than are named */
    struct vf_review_row *rows;
    struct vf_ref *removed; /* in the last one, not in this one */
    size_t nremoved;
    uint64_t nnew, nchanged, nshown;
};
void vf_review_done(struct vf_review *r);
/* Checks signatures, derives the contents anew, compares with the last grant, chooses the photos. */
VF_MUST_USE enum vf_err vf_review_gather(struct vf_vault *v, const struct vf_grant_file *file, struct vf_review *r,
                                         struct vf_why *why);

/* Up to the records. */
void vf_review_put_head(const struct vf_review *r, struct vf_page *p);
/* Photos, who is no longer in, the table of all. Reads the vault. */
VF_MUST_USE enum vf_err vf_review_put_records(const struct vf_review *r, struct vf_view *view, struct vf_page *p,
                                              struct vf_why *why);

#endif
