/* SPDX-License-Identifier: MIT */
/* For tests of the half of the grant room that works on a vault: officers in it, suppliers with a device and a log, grants issued. */
#ifndef VAULTFS_TESTS_GRANT_PLACE_H
#define VAULTFS_TESTS_GRANT_PLACE_H

#include "vaultfs/grant.h"

#include "vault_test.h"

#define NOW_US INT64_C(1795262400000000) /* 2026-11-21T12:00:00Z: where the tests' clock starts */

/* Officers with warrant numbers 10001, 10002, …, photos and every field of a card. */
void officers_make(const struct place *p, struct vf_vault *v, unsigned n);
void officers_without_photos(const struct place *p, struct vf_vault *v, unsigned n); /* quick to make */
struct vf_ref officer(struct vf_vault *v, unsigned i);                               /* 0: 10001 */

struct bureau { /* a supplier's device, with a log of its own */
    struct vf_identity *device;
    struct vf_buf enrol_bytes;
    struct vf_enrol enrol;
    char log[500], seal[500];
};
void bureau_make(const struct place *p, const struct vf_vault_id *vault, const char *name, struct bureau *b);
void bureau_done(struct bureau *b);
/* For cmocka_run_group_tests: the admins, a force of `n` officers whose policy alice alone put in force, the device "bureau-7". */
int force_and_bureau(void **state, struct place *p, struct bureau *b, unsigned n);
int force_and_bureau_done(void **state, struct place *p, struct bureau *b);
/* Something happens there: `n` entries, sealed. */
void bureau_works(const struct bureau *b, unsigned n);
/* The log as a file at `path`. */
void bureau_hands_in(const struct bureau *b, const char *path);

struct issued { /* a grant file and what is in it */
    struct vf_buf file;
    struct vf_grant_file f;
    struct vf_issue_report report;
};
void issued_done(struct issued *i);
/* Options of a grant of everything to `b` for a week. */
struct vf_issue_options options_for(const struct bureau *b, const char *job, vf_field_set fields);
enum vf_err try_issue(struct vf_vault *v, unsigned who, const struct vf_issue_options *opt, struct issued *ret);
/* Must succeed. */
void issue(struct vf_vault *v, unsigned who, const struct vf_issue_options *opt, struct issued *ret);
void parse_issued(struct issued *i);
/* Signed by another admin with his vault. */
enum vf_err try_sign(struct vf_vault *v, unsigned who, const struct issued *from, struct issued *ret);
/* Bundle into a file below the place. */
enum vf_err try_export(struct vf_vault *v, const struct issued *i, bool all, const char *path, struct vf_export_report *ret);
/*
 * Open every value that the bundle and the earlier ones hold with the device's key, as a station would, and compare with the vault:
 * aborts unless all that the manifest names is there and right. `paths` of n bundles.
 */
void bureau_reads(const struct bureau *b, struct vf_vault *v, const struct issued *i, const char *const *paths, size_t n);
/* A copy of a folder. */
void copy_folder(const char *from, const char *to);
/* For vf_log_verify: counts the entries of one event. */
struct counting {
    enum vf_event event;
    unsigned n;
};
enum vf_err count_entry(void *user, const struct vf_entry_view *entry, bool sealed, struct vf_why *w);
/* Entries of this event in the vault's own log, which must verify. */
unsigned log_counts(const struct place *p, enum vf_event event);
/* Alice changes the policy, whose threshold is 1. Unless name is NULL the file is at `path` then. */
void next_policy(const struct place *p, const struct vf_policy_change *change, const char *name, char path[400]);

#endif
