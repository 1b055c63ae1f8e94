/* SPDX-License-Identifier: MIT */
/*
 * desk, internal: the station's side. client.c has the thread and those who wait, client_hold.c what is not asked again yet, client_ask.c makes requests and
 * takes answers, client_http.c and client_files.c carry them.
 */
#ifndef VAULTFS_DESK_CLIENT_INTERNAL_H
#define VAULTFS_DESK_CLIENT_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <vaultfs/desk.h>

struct client_want {
    uint32_t index;
    enum vf_part part;
};
/* What one request asks for, and what is needed to take its answer. */
struct client_ask {
    struct vf_job *job; /* a reference */
    bool all_text;
    uint32_t text_from; /* those before are had */
    size_t nwants;
    struct client_want want[VF_REQUEST_WANTS_MAX];
    bool full;                 /* with grant, manifest and enrolment */
    bool partial;              /* more log than fitted: nothing is asked for yet */
    struct vf_answer_key *key; /* arena; one a request */
    struct vf_hash hash;       /* of the request */
    struct vf_identity_pub desk;
    char url[256];
    int64_t sent_boot_us;
    bool has_sent;
    struct vf_checkpoint sent;  /* the log as it was shown */
    enum vf_answer_status said; /* by the last answer; the count of them: there is none */
    bool dropped;               /* left in the middle, for somebody else's sake: nobody is held for it */
};
void vf_client_ask_done(struct client_ask *a);
bool vf_client_ask_has(const struct client_ask *a, uint32_t index, enum vf_part part);
/* False when there is no room. Once is enough. */
bool vf_client_ask_add(struct client_ask *a, uint32_t index, enum vf_part part);

#define CLIENT_HOLDS 128
#define CLIENT_ALL   UINT32_MAX /* as an index: the text of all records, or whatever of this grant */
enum client_hold_scope {
    CLIENT_HOLD_RECORD,
    CLIENT_HOLD_NEW /* what the desk has not released before, of a part */,
    CLIENT_HOLD_GRANT
};
struct client_spent;
struct client_hold { /* not asked again before `until` */
    enum client_hold_scope scope;
    struct vf_grant_id grant;
    uint32_t index;
    enum vf_part part;
    enum vf_err err;
    int64_t until_boot_us; /* 0: free */
    char text[256];
};
struct client_holds {
    struct client_hold all; /* the desk is away: for everybody */
    struct client_hold one[CLIENT_HOLDS];
    size_t next;
    struct client_spent *spent; /* the desk said BUDGET */
};
/* VF_OK: ask. Otherwise why not: first what is used up, then what is held for a few seconds. */
enum vf_err vf_client_hold_budget(const struct client_holds *h, struct vf_station *st, struct vf_job *job, uint32_t index,
                                  enum vf_part part, struct vf_why *why);
enum vf_err vf_client_hold_check(const struct client_holds *h, const struct vf_job *job, uint32_t index, enum vf_part part,
                                 struct vf_why *why);
void vf_client_hold_all(struct client_holds *h, enum vf_err err, const char *text);
void vf_client_hold_one(struct client_holds *h, enum client_hold_scope scope, const struct vf_job *job, uint32_t index,
                        enum vf_part part, enum vf_err err, const char *text);
/* What an answer, whose shares were taken, says of what is used up. */
void vf_client_hold_answered(struct client_holds *h, const struct client_ask *a, enum vf_err err, const char *text);
/* The budget is used up: ask of others in the same breath whether they were released before. */
void vf_client_hold_others(const struct client_holds *h, struct client_ask *a, uint32_t index, enum vf_part part);
void vf_client_holds_done(struct client_holds *h);

struct client_waiter { /* on the stack of who waits */
    struct client_waiter *next;
    struct vf_job *job;
    uint32_t index; /* CLIENT_ALL: the text of all */
    enum vf_part part;
    const uint32_t *ahead;
    size_t nahead;
    bool taken;              /* in the exchange that is under way */
    bool again;              /* left out of an answer: with those others that were, it is told why */
    const atomic_bool *over; /* who waits is to be sent away, or NULL */
    bool done;
    enum vf_err err;
    struct vf_why why;
};

struct client_http;
struct client_files;
struct vf_desk_client {
    struct vf_station *station;
    struct vf_log *log;
    void (*tell)(void *user, const char *text);
    void *user;
    struct client_http *http;   /* made when it is first needed */
    struct client_files *files; /* NULL: by HTTP */
    pthread_t thread;
    bool thread_runs;
    atomic_bool stop;
    pthread_mutex_t lock; /* guards from here on */
    pthread_cond_t work;  /* for the thread */
    pthread_cond_t done;  /* for those who wait */
    struct client_waiter *waiters;
    size_t nwaiters;
    struct client_ask later; /* by files: wanted, but not waited for */
    bool active;             /* shares were taken: there may be something to renew */
    struct client_holds holds;
    unsigned dropped;    /* exchanges, one after the other: a desk that is only slow is given more time each time */
    int64_t patience_us; /* so long an exchange may stand still while somebody waits for the next */
    struct vf_desk_client_status status;
    /* of the thread alone */
    bool desk_known;
    struct vf_identity_pub desk; /* whom the following is about */
    uint64_t desk_size;          /* entries of our log that the desk has, as far as is known */
    struct vf_buf receipt;
    struct vf_checkpoint receipt_for;
    bool receipt_unstored;
    int64_t receipt_stored_boot_us, renewed_boot_us;
    char told[256];
    int64_t told_boot_us;
};
/* One line for the system's log; the same again is not told before ten minutes have gone. */
void vf_client_tell(struct vf_desk_client *c, const char *fmt, ...) VF_PRINTF(2, 3);
/* Result of an exchange of `a`, for those who wait for it. The thread alone; lock not held. */
void vf_client_settle(struct vf_desk_client *c, const struct client_ask *a, enum vf_err err, const struct vf_why *why);

/* client_ask.c */
/* Can the text of all records be asked for at once? */
bool vf_client_all_text(const struct vf_job *job);
/* The next request for `a`: seals the log, shows what the desk does not have, makes a new key. */
VF_MUST_USE enum vf_err vf_client_ask_make(struct vf_desk_client *c, struct client_ask *a, struct vf_buf *out,
                                           struct vf_why *why);
/*
 * Take the answer to the last request of `a`: time, receipt, shares. *ret_again: another request is to be made (the desk wants more, or has
 * more of the log than was thought). Errors: those of vf_desk_client_get; VF_E_DAMAGED, VF_E_FORGED, VF_E_FORMAT, VF_E_VERSION: not an answer to it.
 */
VF_MUST_USE enum vf_err vf_client_ask_take(struct vf_desk_client *c, struct client_ask *a, const void *answer, size_t len,
                                           bool *ret_again, struct vf_why *why);
/* The newest receipt goes to the database now and then, off the way of those who wait. */
void vf_client_receipt_store(struct vf_desk_client *c, bool now);

/* client_http.c */
VF_MUST_USE enum vf_err vf_client_http_new(struct client_http **ret, struct vf_why *why);
void vf_client_http_free(struct client_http *h);
void vf_client_http_wake(struct client_http *h); /* from any thread */
/*
 * POST. The answer is bounded and appended; VF_E_NO_SHARE says why there is none. go_on is asked now and then, and soon after it was woken, with the
 * time for which hardly anything has moved; false: VF_E_BUSY.
 */
VF_MUST_USE enum vf_err vf_client_http_post(struct client_http *h, const char *url, const struct vf_buf *request,
                                            struct vf_buf *answer, bool (*go_on)(void *user, int64_t still_us), void *user,
                                            struct vf_why *why);

/* client_files.c */
VF_MUST_USE enum vf_err vf_client_files_new(const char *request, const char *answer, struct client_files **ret,
                                            struct vf_why *why);
void vf_client_files_free(struct client_files *f);
/* Have it in the request file, with what is there already for the same grant. Takes over what `a` holds. */
void vf_client_files_post(struct vf_desk_client *c, struct client_ask *a);
/* Has an answer come? */
void vf_client_files_look(struct vf_desk_client *c);
#define CLIENT_FILES_LOOK_US (VF_SECOND_US / 4)

#endif
