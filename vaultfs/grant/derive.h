/* SPDX-License-Identifier: MIT */
/*
 * The contents of a grant, derived from a vault on all cores: manifest, envelopes, catalogue. A function of the vault's content, the grant
 * id and the generations alone, so that whoever has the vault can derive them again and compare.
 */
#ifndef VAULTFS_GRANT_DERIVE_H
#define VAULTFS_GRANT_DERIVE_H

#include "file.h"

struct vf_derive {
    struct vf_vault *v;
    const struct vf_grant *g;  /* id, vault, fields, release */
    const struct vf_ref *refs; /* ascending */
    uint32_t n;
    /*
     * NULL: the current generations. Else those of this manifest (over the same refs and fields), whose hashes must be the vault's, too;
     * then `times` (8 bytes a record) tells the time of the records that have changed since.
     */
    const struct vf_manifest *pinned;
    const uint8_t *times;
    bool leave_out; /* protected records and leavers: their heads are opened here anyway, and once is enough */
    void (*progress)(void *user, uint64_t done, uint64_t total);
    void *user;
};

/* What was noticed of a record. */
#define VF_SEEN_INCOMPLETE 0x01u /* lacks a granted field that a card needs */
#define VF_SEEN_NO_PHOTO   0x02u /* photos are granted and it has none */
#define VF_SEEN_LEAVER     0x04u
#define VF_SEEN_PROTECTED  0x08u
#define VF_SEEN_LEFT_OUT   (VF_SEEN_LEAVER | VF_SEEN_PROTECTED)
#define VF_SEEN_CHANGED    0x10u /* a pinned generation is not the current one */

struct vf_contents {
    struct vf_grant_layout layout;
    uint32_t n;                                   /* records that are in */
    struct vf_buf manifest, envelopes, catalogue; /* whole, as they go into the file */
    struct vf_buf times;                          /* 8 bytes a record */
    struct vf_buf sizes;                          /* u32 a record and field: as stored; 0: an absent image */
    struct vf_buf seen;                           /* a byte a record */
    uint64_t left_protected, left_leavers;        /* a leaver who is protected is among the former */
};
void vf_contents_done(struct vf_contents *c);
#define VF_CONTENTS VF_CLEANUP(vf_contents_done) struct vf_contents
/*
 * VF_E_NOT_FOUND: a record or a pinned generation is not there any more (`why` names it). VF_E_FORGED: a pinned hash is not the
 * vault's. The first such record in ref order is the one that is named.
 */
VF_MUST_USE enum vf_err vf_contents_derive(const struct vf_derive *d, struct vf_contents *ret, struct vf_why *why);
/* The three hashes of the grant's text. */
void vf_contents_hash(const struct vf_contents *c, struct vf_grant *g);
uint64_t vf_contents_count(const struct vf_contents *c, uint8_t seen);

#endif
