/* SPDX-License-Identifier: MIT */
/*
 * For tests of the station's side: a desk of a few lines, which answers as it is told to, rightly or wrongly, on a unix socket; and the force and
 * the station that it stands between. On station_test. It verifies what it is handed with vf_log_copy_extend, as a real one does.
 */
#ifndef VAULTFS_TESTS_DESK_FAKE_H
#define VAULTFS_TESTS_DESK_FAKE_H

#include "vaultfs/desk.h"

#include "station_test.h"

#include <pthread.h>
#include <stdatomic.h>

#define FAKE_PREKEYS 16

enum fake_fault {
    FAKE_RIGHT,
    FAKE_CUT,           /* half an answer, and away */
    FAKE_HTTP_500,      /* no answer */
    FAKE_GARBAGE,       /* bytes */
    FAKE_HUGE,          /* more than an answer can be */
    FAKE_OTHER_DESK,    /* signed by somebody else */
    FAKE_OTHER_REQUEST, /* names another request */
    FAKE_OLD_ANSWER,    /* the last right answer again */
    FAKE_SILENT,        /* takes the request and says nothing */
    FAKE_LOST,          /* likewise, and serves others meanwhile: what becomes of a connection that was lost */
    FAKE_DRIP           /* likewise, with a byte now and then */
};
struct fake_desk {
    char url[120], socket[100], copy[400];
    struct vf_identity *id, *other;
    struct vf_prekey pair[FAKE_PREKEYS];
    const struct vf_identity_pub *device;
    struct vf_slice origin; /* of the station's log */
    /* what it does, set by the test */
    _Atomic(enum fake_fault) fault;
    _Atomic(enum vf_answer_status) status; /* instead of OK */
    _Atomic int64_t lease_us, delay_ms, time_off_us;
    atomic_bool knows;      /* the grant */
    atomic_bool no_shares;  /* OK, and none of them */
    atomic_bool ends_early; /* `status`, before the log is looked at */
    atomic_int budget;      /* so many records of a part are released; -1: any number */
    atomic_int rate;        /* so many more images; -1: any number */
    atomic_uint texts;      /* of all, in one answer; 0: any number */
    bool released[VF_PART_COUNT][OFFICERS];
    /* what came */
    atomic_uint requests, wants, all_text, full, entries, receipts;
    atomic_uint most_wants; /* in one request */
    uint64_t size;          /* of its copy of the log */
    bool early;
    struct vf_hash hash; /* of the last request */
    struct vf_buf last;  /* right answer */
    int listener, lost;  /* a connection that stays as it is; -1 */
    bool drips;
    pthread_t thread;
    atomic_bool stop;
    const struct issued *grant;
};

struct fake_world {
    struct place p;
    struct site site;
    struct delivery d;
    struct fake_desk desk;
    struct vf_station *st;
};
/* A force with a desk in its policy, a station, an online grant of it for job "cards" with this budget; the station in MOUNT mode. */
void fake_world_make(struct fake_world *w, uint64_t budget);
void fake_world_done(struct fake_world *w);
/* Another online grant. */
void fake_deliver(struct fake_world *w, const char *job, uint64_t budget, struct delivery *d);
/* Serve on the socket, until done. */
void fake_desk_serve(struct fake_desk *f);
void fake_desk_away(struct fake_desk *f); /* nobody answers any more; serve starts anew */
/* Answer one request, as it would by HTTP: for the files. */
void fake_desk_answer(struct fake_desk *f, const void *request, size_t len, struct vf_buf *out);

#endif
