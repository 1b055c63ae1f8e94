/* SPDX-License-Identifier: MIT */
/* For tests of the station room: a force with officers, its stations, deliveries from one to the others. On grant_place and vault_test. */
#ifndef VAULTFS_TESTS_STATION_TEST_H
#define VAULTFS_TESTS_STATION_TEST_H

#include "vaultfs/station.h"

#include "grant_place.h"

#define CARD        vf_field_set_card_print()
#define OFFICERS    6
#define CARD_VALUES (OFFICERS * 9) /* eight text fields and a photo; nobody has a signature */

/* The arena is larger than vault_set_up makes it: a mount's readers live there. Admins alice, bob, carol. */
int station_set_up(void **state);
int station_tear_down(void **state);
/* The same with a force whose policy alice alone put in force. */
int station_and_force(void **state, struct place *p);
int station_and_force_done(void **state, struct place *p);

/* A force of OFFICERS officers, alice and bob its admins. The policy is in force, whatever the threshold. */
void force_make(struct place *p, unsigned threshold);

struct site { /* a station of that force */
    char path[400];
    char policy[400];
    struct bureau b; /* its enrolment: what grant_place issues to */
};
void site_make(const struct place *p, const char *name, struct site *s);
void site_done(struct site *s);
struct vf_station *site_open(const struct site *s, enum vf_station_mode mode);
void site_close(struct vf_station *st);

struct delivery { /* a grant file and its bundle, issued now for three days */
    struct issued i;
    char grant[400], bundle[400];
    struct vf_export_report sent;
};
struct vf_issue_options site_options(const struct site *s, const char *job);
/* Files are named JOB.grant and JOB.bundle. */
void deliver(const struct place *p, const struct vf_issue_options *opt, struct delivery *d);
/* The same again for `for_us` from now; `opt` may set include_protected and clock_reset. */
void deliver_renewal(const struct place *p, const struct delivery *old, const char *name, int64_t for_us, bool clock_reset,
                     struct delivery *d);
/* PATH of the revocation is NAME.revoked. */
void revoke_grant(const struct place *p, const struct vf_grant_id *id, const char *name, char path[400]);
void delivery_done(struct delivery *d);

#define TOLD_MAX 16
struct told { /* what vf_station_receive said, in its order */
    size_t n;
    struct vf_received one[TOLD_MAX];
    char name[TOLD_MAX][400];
};
/* By path, in this order; told may be NULL. */
enum vf_err take(struct vf_station *st, const char *const *paths, size_t n, struct told *told);
/* One file; its own error. */
enum vf_err take1(struct vf_station *st, const char *path);
/* Must be taken: grant, then bundle. */
void take_delivery(struct vf_station *st, const struct delivery *d);

/* The job of this name, with a reference; NULL when there is none. */
struct vf_job *job_of(struct vf_station *st, const char *name);
/* Open one value as a mount would: vf_job_may first. */
enum vf_err read_value_of(struct vf_station *st, struct vf_value_reader *r, struct vf_job *job, uint32_t index,
                          unsigned field, const uint8_t **plain, size_t *len);
/* Every value that the job names is here and is the vault's current one; aborts otherwise. Returns how many. */
unsigned reads_all(struct vf_station *st, const struct place *p, const char *job);
/* Values of the newest grant of this job: present, and named. */
void values_of(struct vf_station *st, const char *job, uint64_t *present, uint64_t *named);
struct vf_station_state state_of_station(struct vf_station *st);
/* The station's own log, which must verify under its enrolment: entries of an event. */
unsigned site_log_counts(const struct site *s, enum vf_event event);

#endif
