/* SPDX-License-Identifier: MIT */
/* For tests in which a log cannot be written for a while. */
#ifndef VAULTFS_TESTS_AUDIT_FAULTY_H
#define VAULTFS_TESTS_AUDIT_FAULTY_H

#include "audit_test.h"

extern struct audit_place place;
extern struct vf_verdict v;

int fresh(void **state); /* a new log in `place`, and away with it */
int away(void **state);

void nap_ms(long ms);
void nap(void); /* past the time in which a log that failed does not even try */

/* Commit the nth typical entry. */
enum vf_err try_commit(struct vf_log *log, uint64_t n);
/*
 * The disk works again: commit it. The log's own attempt, once a second, may have failed just before, and then it refuses for a moment; each
 * refusal is counted here, and is one more entry that a gap tells.
 */
void soon(struct vf_log *log, uint64_t n);
extern unsigned refusals;

/* Verify, and see which typical entries the log has. */
struct found {
    bool seen[256];
    uint64_t gaps; /* sum of their counts */
};
void look(struct found *f);

#endif
