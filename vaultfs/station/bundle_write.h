/* SPDX-License-Identifier: MIT */
/* Values of a bundle on their way into the database, under a batch number, in transactions of bounded size. */
#ifndef VF_STATION_BUNDLE_WRITE_H
#define VF_STATION_BUNDLE_WRITE_H

#include "station_internal.h"

#define VF_BUNDLE_CHUNK_MAX (16u * 1024 * 1024)

struct vf_bundle_chunk {
    uint64_t batch;
    struct vf_buf rows; /* key, u32 length, sealed; repeated */
    bool last;          /* with it the batch counts */
    int64_t now_us;
};

struct vf_bundle_writer {
    struct vf_station *st;
    struct vf_bundle_chunk chunk[2];
    struct vf_bundle_chunk *filling; /* the caller's; the other one is the thread's while it is given */
    size_t room;                     /* that a chunk can need */
    bool threaded;
    pthread_t thread;
    pthread_mutex_t lock; /* of all below */
    pthread_cond_t changed;
    struct vf_bundle_chunk *given;
    bool stop;
    enum vf_err err; /* the first there was: nothing is written behind it */
    struct vf_why why;
};

/* Bytes in one transaction, at most VF_BUNDLE_CHUNK_MAX and one value; for tests, before a delivery. Returns the old value. */
size_t vf_bundle_chunk_max(size_t bytes);
/* What can come at most, so that a small delivery takes little memory. */
void vf_bundle_writer_start(struct vf_bundle_writer *w, struct vf_station *st, uint64_t batch, uint64_t most_bytes,
                            uint32_t most_values);
/* Take one value. The caller has no transaction open: a database that grows waits for them. An error may be that of an earlier one. */
VF_MUST_USE enum vf_err vf_bundle_writer_put(struct vf_bundle_writer *w, const uint8_t key[VF_VALUE_KEY_LEN],
                                             const uint8_t *sealed, uint32_t len, struct vf_why *why);
/* What was given so far is in the database, or it says why not. */
VF_MUST_USE enum vf_err vf_bundle_writer_settle(struct vf_bundle_writer *w, struct vf_why *why);
/* The rest, and in the same transaction the row that makes the batch count. */
VF_MUST_USE enum vf_err vf_bundle_writer_finish(struct vf_bundle_writer *w, int64_t now_us, struct vf_why *why);
/* Whatever became of it; what is on its way is waited for. Of zeroes: nothing. */
void vf_bundle_writer_done(struct vf_bundle_writer *w);

#endif
