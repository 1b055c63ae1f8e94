/* SPDX-License-Identifier: MIT */
/*
 * Grants, bundles and what belongs to them, made with the crypto room alone: for tests of the half of the grant room that needs no vault.
 * Everything can be changed before it is signed.
 */
#ifndef VAULTFS_TESTS_GRANT_FAKE_H
#define VAULTFS_TESTS_GRANT_FAKE_H

#include "vaultfs/grant.h"

#include "scratch.h"

#define FAKE_NOW_US INT64_C(1795262400000000) /* 2026-11-21T12:00:00Z */

struct fake_world {
    struct scratch dir;
    struct vf_identity *alice, *bob, *carol; /* admins: alice and bob; carol is none */
    struct vf_identity *device;
    struct vf_vault_id vault;
    struct vf_policy_chain chain; /* version 1, in force */
    struct vf_buf enrol_bytes;
    struct vf_enrol enrol;
};
/* The arena is made here; aborts when anything fails. */
void fake_world_make(struct fake_world *w, unsigned threshold);
void fake_world_done(struct fake_world *w);
struct vf_identity *fake_identity(enum vf_role role, const char *name);
/* A chain of `versions` versions with these admins in the last; every one signed by alice and bob. */
void fake_chain(struct fake_world *w, const struct vf_identity *const *admins, size_t n, unsigned threshold,
                unsigned versions, struct vf_policy_chain *ret);

struct fake_grant {
    struct vf_grant g; /* as it will be put */
    struct vf_grant_share gs;
    struct vf_grant_layout layout;
    struct vf_buf manifest, envelopes, plain, catalogue, note, file, bundle;
};
/* Contents of `n` records; the last has no images when there is more than one. Nothing is signed yet. */
void fake_grant_make(struct fake_world *w, vf_field_set fields, uint32_t n, struct fake_grant *fg);
/* The catalogue sealed from `plain`, hashes and text put, signed, the file. */
void fake_grant_sign(struct fake_world *w, struct fake_grant *fg, const struct vf_identity *const *signers, size_t n);
void fake_grant_done(struct fake_grant *fg);
/* True value of a field of record i: text; or an image's bytes. */
size_t fake_value(uint32_t i, unsigned field, uint8_t out[4096]);

#endif
