/* SPDX-License-Identifier: MIT */
/* For tests of the key desk: a force with a desk, and suppliers whose devices ask it. On grant_place and vault_test. */
#ifndef VAULTFS_TESTS_DESK_TEST_H
#define VAULTFS_TESTS_DESK_TEST_H

#include "vaultfs/desk.h"

#include "grant_place.h"

#define DESK_OFFICERS 8

struct desk_world {
    struct place p;
    struct vf_identity *desk;
    char store[400];
    struct vf_buf prekeys; /* the note of its first batch */
};
/* Crypto room with room for desks, and the admins; for cmocka_run_group_tests. */
int desk_set_up(void **state);
int desk_tear_down(void **state);
/* A force of so many officers (no photos), its desk with so many one-time keys until `last_us` (0: 62 days), in its policy and in its vault. */
void desk_world_make(struct desk_world *w, unsigned officers, uint32_t prekeys, int64_t last_us);
void desk_world_done(struct desk_world *w);
/* As admins alice and bob: version after version. */
void desk_policy_change(struct desk_world *w, const struct vf_policy_change *change);

struct vf_desk *desk_open(struct desk_world *w);
void desk_close(struct vf_desk *d);
/* Hand bytes to it; its error, and told's words in why. */
enum vf_err desk_take(struct vf_desk *d, const void *data, size_t len, const char *name);
/* The vault's policy; must be taken. */
void desk_take_policy(struct desk_world *w, struct vf_desk *d);
/* desk_set_up with a world of its own, and its desk open, which has the policy if `policy`. */
int desk_and_force(void **state, struct desk_world *w, unsigned officers, uint32_t prekeys, bool policy,
                   struct vf_desk **ret);
int desk_and_force_done(void **state, struct desk_world *w, struct vf_desk *d);

struct desk_client { /* a device with its log, and an online grant of every officer */
    struct bureau b;
    struct vf_log *log;
    struct issued i;
    struct vf_answer_key *key;
    uint64_t known;                     /* entries that the desk has */
    struct vf_buf receipt;              /* its newest */
    struct vf_buf checkpoints, entries; /* of the request made last */
};
/* `budget` 0: none; from now on for `for_us`. */
void desk_client_make(struct desk_world *w, const char *name, int64_t for_us, uint64_t budget, struct desk_client *c);
void desk_client_make_from(struct desk_world *w, const char *name, int64_t from_us, int64_t for_us, uint64_t budget,
                           struct desk_client *c);
void desk_client_done(struct desk_client *c);
void desk_client_works(struct desk_client *c, unsigned entries); /* and seals */
/* A request for these wants, with the log up to its end, by this client. With `first` grant, manifest and enrolment too. */
struct vf_request desk_request(struct desk_client *c, bool first);
void desk_want(const struct desk_client *c, struct vf_request *req, uint32_t row, enum vf_part part); /* of the manifest */

struct desk_reply {
    enum vf_err err; /* of vf_desk_answer: then nothing else is set */
    struct vf_answer answer;
    struct vf_desk_outcome outcome;
    struct vf_buf rest;
    struct vf_share *shares;
};
void desk_reply_done(struct desk_reply *r);
/* Sealed by the client's device to the world's desk, answered, opened. What the desk now has is noted in the client, the receipt checked. */
struct desk_reply desk_ask(struct desk_world *w, struct vf_desk *d, struct desk_client *c, struct vf_request *req);
struct desk_reply desk_ask_as(struct desk_world *w, struct vf_desk *d, struct desk_client *c, struct vf_request *req,
                              int64_t lease_us, bool by_hand);
struct desk_reply desk_ask_sealed(struct desk_world *w, struct vf_desk *d, struct desk_client *c, const struct vf_hash *hash,
                                  const void *sealed, size_t len, int64_t lease_us, bool by_hand);
void desk_request_seal(struct desk_world *w, const struct vf_identity *by, struct vf_request *req, struct vf_buf *sealed);
/* Works a little, asks for one record's part; the status. */
enum vf_answer_status desk_status_of(struct desk_world *w, struct vf_desk *d, struct desk_client *c, bool first,
                                     uint32_t row, enum vf_part part);
/* The first contact, without wants; must be OK. */
void desk_introduce(struct desk_world *w, struct vf_desk *d, struct desk_client *c);
/* Do the shares open this grant's envelopes? Aborts if one does not. */
void desk_shares_open(const struct desk_client *c, const struct desk_reply *r);
/* Entries of this event in the desk's own log (result NULL: any), which must verify. */
unsigned desk_log_counts(struct desk_world *w, enum vf_event event, const char *result);
void desk_revocation(struct desk_world *w, const struct vf_revocation *r, struct vf_buf *out);
struct vf_revocation desk_revokes(const struct desk_client *c);

#endif
