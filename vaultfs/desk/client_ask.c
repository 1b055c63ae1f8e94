/* SPDX-License-Identifier: MIT */
/*
 * Requests and answers. A request (1) seals the log behind an entry that says so, which makes it longer than any shown before; (2) carries what
 * of it the desk does not have; (3) makes a key that only its own answer is sealed to, in the arena; (4) is signed and sealed.
 * An answer is (5) opened with that key, which is wiped; (6) its time and receipt are taken; (7) its shares, if they were asked for,
 * for their lease from the moment of sending, and never beyond the end of the grant.
 */
#include "client_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOG_CHUNK        (1024u * 1024)      /* of the log in one request: what has arrived is kept, should the next not */
#define LOG_CHUNK_MOST   (28u * 1024 * 1024) /* when not even one checkpoint's entries fit */
#define LEASE_MAX_US     (62 * VF_DAY_US)
#define RECEIPT_EVERY_US (10 * VF_SECOND_US)
#define PUT_AT_ONCE      256

void vf_client_ask_done(struct client_ask *a)
{
    vf_secret_free(a->key);
    a->key = NULL;
    vf_job_unref(a->job);
    a->job = NULL;
}

bool vf_client_ask_has(const struct client_ask *a, uint32_t index, enum vf_part part)
{
    if (part == VF_PART_TEXT && (a->all_text || index == CLIENT_ALL))
        return a->all_text;
    for (size_t i = 0; i < a->nwants; i++)
        if (a->want[i].index == index && a->want[i].part == part)
            return true;
    return false;
}

bool vf_client_ask_add(struct client_ask *a, uint32_t index, enum vf_part part)
{
    if (vf_client_ask_has(a, index, part))
        return true;
    if (part == VF_PART_TEXT && vf_client_all_text(a->job)) {
        a->all_text = true;
        return true;
    }
    if (index == CLIENT_ALL || a->nwants == VF_REQUEST_WANTS_MAX)
        return false;
    a->want[a->nwants++] = (struct client_want){.index = index, .part = part};
    return true;
}

bool vf_client_all_text(const struct vf_job *job)
{
    const struct vf_grant *g = vf_job_grant(job);
    return (g->budget == 0 || g->budget >= g->records) && g->records <= VF_DESK_ALL_MAX;
}

/* ------------------------------------------------------------------------------------------------------------------ a request */

struct parts { /* what a request borrows */
    struct vf_buf checkpoints, entries, grant, enrol;
    struct vf_grant_file *file;
};

static void parts_done(struct parts *p)
{
    vf_buf_done(&p->checkpoints);
    vf_buf_done(&p->entries);
    vf_buf_done(&p->grant);
    vf_buf_done(&p->enrol);
    free(p->file);
}

static enum vf_err tail(struct vf_desk_client *c, size_t max, struct parts *p, uint64_t *ret_size, struct vf_why *why)
{
    vf_buf_done(&p->checkpoints);
    vf_buf_done(&p->entries);
    vf_buf_init(&p->checkpoints, VF_REQUEST_MAX);
    vf_buf_init(&p->entries, VF_REQUEST_MAX);
    return vf_log_tail(c->log, c->desk_size, max, &p->checkpoints, &p->entries, ret_size, why);
}

/* The checkpoint that was shown last, if it is the log's own last: what a receipt is held against. */
static void note_sent(struct vf_desk_client *c, struct client_ask *a, uint64_t size)
{
    VF_BUF data;
    VF_FREE struct vf_note *note = calloc(1, sizeof(*note));
    vf_buf_init(&data, VF_NOTE_MAX);
    a->has_sent = note && vf_log_checkpoint_get(c->log, &data, NULL) == VF_OK && data.len > 0 &&
                  vf_note_parse(data.data, data.len, note, NULL) == VF_OK &&
                  vf_checkpoint_parse(note, &a->sent, NULL) == VF_OK && a->sent.size == size;
}

static enum vf_err show_log(struct vf_desk_client *c, struct client_ask *a, struct vf_request *req, struct parts *p,
                            struct vf_why *why)
{
    struct vf_log_state log;
    uint64_t size = 0;

    VF_TRY(vf_log_seal_handin(c->log, why));
    vf_log_state_get(c->log, &log);
    enum vf_err err = tail(c, LOG_CHUNK, p, &size, why);
    if (err == VF_E_LIMIT)
        err = tail(c, LOG_CHUNK_MOST, p, &size, why);
    if (err == VF_E_STALE) {
        (void)vf_fail(
            why, VF_E_NO_SHARE,
            "the key desk has %llu entries of this station's log, and the station has others: it was restored from "
            "a copy, or there are two under one name. Tell the force.",
            (unsigned long long)c->desk_size);
        c->desk_size = 0; /* it is asked anew each time: the force may have settled it */
        return VF_E_NO_SHARE;
    }
    VF_TRY(err);
    a->partial = size < log.sealed;
    note_sent(c, a, size);
    vf_log_state_get(c->log, &log); /* what is shown may have been sealed since */
    req->log_end = log.sealed;
    req->log_end_us = log.sealed_us;
    req->log_from = c->desk_size;
    req->log_size = size;
    req->checkpoints = (struct vf_slice){p->checkpoints.data, p->checkpoints.len};
    req->entries = (struct vf_slice){p->entries.data, p->entries.len};
    return VF_OK;
}

static enum vf_err introduce(struct vf_desk_client *c, const struct client_ask *a, struct vf_request *req, struct parts *p,
                             struct vf_why *why)
{
    p->file = calloc(1, sizeof(*p->file));
    if (!p->file)
        return vf_fail(why, VF_E_NOMEM, "out of memory");
    vf_buf_init(&p->grant, VF_GRANT_FILE_MAX);
    vf_buf_init(&p->enrol, VF_ENROL_MAX);
    VF_TRY(vf_job_file(a->job, &p->grant, why));
    VF_TRY(vf_grant_file_parse(p->grant.data, p->grant.len, "the stored grant", p->file, why));
    VF_TRY(vf_station_enrol_file(c->station, &p->enrol, why));
    req->grant_note = (struct vf_slice){p->file->note_bytes, p->file->note_len};
    req->manifest = (struct vf_slice){p->file->manifest_bytes, p->file->manifest_len};
    req->enrol = (struct vf_slice){p->enrol.data, p->enrol.len};
    return VF_OK;
}

static void put_wants(const struct client_ask *a, struct vf_request *req)
{
    req->all_text = a->all_text;
    req->text_from = a->text_from;
    for (size_t i = 0; i < a->nwants; i++)
        req->wants[req->nwants++] =
            (struct vf_want){.ref = *vf_catalogue_ref(vf_job_catalogue(a->job), a->want[i].index), .part = a->want[i].part};
}

static enum vf_err new_key(struct client_ask *a, struct vf_why *why)
{
    vf_secret_free(a->key);
    a->key = vf_secret_new(sizeof(*a->key));
    if (!a->key)
        return vf_fail(why, VF_E_LOCKED_MEMORY, "no locked memory left for a request to the key desk");
    vf_answer_key_new(a->key);
    return VF_OK;
}

/* The policy may name another desk by now: what the former one had is nothing to it. */
static enum vf_err find_desk(struct vf_desk_client *c, struct client_ask *a, struct vf_why *why)
{
    if (!vf_station_desk(c->station, &a->desk, a->url))
        return vf_fail(why, VF_E_NO_SHARE, "the force's policy names no key desk any more; ask the force");
    if (c->desk_known && !vf_identity_pub_equal(&c->desk, &a->desk)) {
        c->desk_size = 0;
        vf_buf_reset(&c->receipt);
        c->receipt_unstored = false;
    }
    c->desk = a->desk;
    c->desk_known = true;
    return VF_OK;
}

enum vf_err vf_client_ask_make(struct vf_desk_client *c, struct client_ask *a, struct vf_buf *out, struct vf_why *why)
{
    const struct vf_grant *g = vf_job_grant(a->job);
    VF_CLEANUP(parts_done) struct parts p = {0};
    VF_FREE struct vf_request *req = calloc(1, sizeof(*req));

    if (!req)
        return vf_fail(why, VF_E_NOMEM, "out of memory");
    VF_TRY(find_desk(c, a, why));
    req->vault = g->vault;
    req->enrolment = g->enrolment;
    req->grant = g->id;
    req->grant_text = g->text_hash;
    vf_random(req->nonce, sizeof(req->nonce));
    VF_TRY(show_log(c, a, req, &p, why));
    if (a->full)
        VF_TRY(introduce(c, a, req, &p, why));
    if (!a->partial)
        put_wants(a, req);
    req->receipt = (struct vf_slice){c->receipt.data, c->receipt.len};
    VF_TRY(new_key(a, why));
    req->answer_to = a->key->pub;
    VF_TRY(vf_request_make(req, vf_station_device(c->station), &a->desk, out, why));
    a->hash = req->hash;
    a->sent_boot_us = vf_clock_boot_us();
    return VF_OK;
}

/* ------------------------------------------------------------------------------------------------------------------ an answer */

/* Until when shares of `a` may be kept: the lease from the moment of sending, and never beyond the end of the grant. */
static int64_t keep_until(struct vf_desk_client *c, const struct client_ask *a, int64_t lease_us)
{
    int64_t t = 0, boot = vf_clock_boot_us();
    enum vf_err ignored = vf_station_time(c->station, &t, NULL); /* set whatever the clock is like */
    (void)ignored;
    int64_t by_lease = a->sent_boot_us + (lease_us < LEASE_MAX_US ? lease_us : LEASE_MAX_US);
    int64_t by_grant = boot + (vf_job_grant(a->job)->until_us - t);
    return by_lease < by_grant ? by_lease : by_grant;
}

/* Of the text of all there may be more than one answer holds: it goes on behind the last that came. */
static void text_goes_on(struct client_ask *a, uint32_t next, bool *ret_again)
{
    const bool more = a->all_text && !a->partial && next > a->text_from && next < vf_job_count(a->job);
    a->text_from = more ? next : 0;
    a->full = a->full && !more; /* it has the grant now */
    *ret_again = *ret_again || more;
}

/* Those that were asked for, a few at a time: the arena has no room for all of them twice. */
static enum vf_err put_shares(struct vf_desk_client *c, struct client_ask *a, const struct vf_answer *ans, bool *ret_again,
                              struct vf_why *why)
{
    const struct vf_catalogue *cat = vf_job_catalogue(a->job);
    int64_t until = keep_until(c, a, ans->lease_us);
    VF_SECRET struct vf_share_in *some = vf_secret_new(PUT_AT_ONCE * sizeof(*some));
    uint32_t next = 0;
    size_t n = 0;

    if (!some)
        return vf_fail(why, VF_E_LOCKED_MEMORY, "no locked memory left for shares");
    for (size_t i = 0; i < ans->nshares; i++) {
        const struct vf_share *share = &ans->shares[i];
        uint32_t index;
        if (!vf_catalogue_find(cat, &share->ref, &index) || !vf_client_ask_has(a, index, share->part))
            continue;
        if (share->part == VF_PART_TEXT && index >= next)
            next = index + 1;
        some[n].index = index;
        some[n].part = share->part;
        some[n++].share = share->share;
        if (n == PUT_AT_ONCE) {
            VF_TRY(vf_job_shares_put(a->job, some, n, until, why));
            n = 0;
        }
    }
    if (n > 0)
        VF_TRY(vf_job_shares_put(a->job, some, n, until, why));
    if (ans->status == VF_ANSWER_OK)
        text_goes_on(a, next, ret_again);
    return VF_OK;
}

static enum vf_err take_receipt(struct vf_desk_client *c, const struct client_ask *a, const struct vf_answer *ans,
                                struct vf_why *why)
{
    if (ans->receipt.len == 0 || !a->has_sent)
        return VF_OK;
    enum vf_err err = vf_station_receipt_desk(c->station, ans->receipt.data, ans->receipt.len, &a->sent, false, why);
    if (err == VF_E_STALE) /* of what it had before */
        return VF_OK;
    VF_TRY(err);
    vf_buf_reset(&c->receipt);
    vf_buf_put(&c->receipt, ans->receipt.data, ans->receipt.len);
    c->receipt_for = a->sent;
    c->receipt_unstored = true;
    return VF_OK;
}

void vf_client_receipt_store(struct vf_desk_client *c, bool now)
{
    int64_t boot = vf_clock_boot_us();
    if (!c->receipt_unstored || (!now && boot - c->receipt_stored_boot_us < RECEIPT_EVERY_US))
        return;
    enum vf_err err = vf_station_receipt_desk(c->station, c->receipt.data, c->receipt.len, &c->receipt_for, true, NULL);
    c->receipt_unstored = err != VF_OK;
    c->receipt_stored_boot_us = boot;
}

static enum vf_err refused(const struct client_ask *a, const struct vf_answer *ans, enum vf_err err, const char *what,
                           struct vf_why *why)
{
    const char *job = vf_job_grant(a->job)->job;
    return vf_fail(why, err, "job %s: the key desk %s%s%s", job, what, ans->text[0] ? ": " : "", ans->text);
}

/* What each status means to us. */
static enum vf_err judge(struct client_ask *a, const struct vf_answer *ans, bool *ret_again, struct vf_why *why)
{
    switch (ans->status) {
    case VF_ANSWER_OK:
        *ret_again = a->partial;
        return VF_OK;
    case VF_ANSWER_UNKNOWN:
        if (a->full)
            return refused(a, ans, VF_E_NO_SHARE, "does not take this grant", why);
        a->full = true;
        *ret_again = true;
        return VF_OK;
    case VF_ANSWER_BEHIND:
        *ret_again = true;
        return VF_OK;
    case VF_ANSWER_FORKED:
        return refused(
            a, ans, VF_E_NO_SHARE,
            "has another log under this station's name: the station was restored from a copy, or there are two. Tell "
            "the force",
            why);
    case VF_ANSWER_NOT_YET:
        return refused(a, ans, VF_E_NOT_YET, "says that the grant has not started", why);
    case VF_ANSWER_ENDED:
        return refused(a, ans, VF_E_EXPIRED, "says that the grant has ended", why);
    case VF_ANSWER_REVOKED:
        vf_job_revoked_by_desk(a->job);
        return refused(a, ans, VF_E_REVOKED, "says that the force has revoked the grant", why);
    case VF_ANSWER_BUDGET:
        return refused(a, ans, VF_E_BUDGET, "releases no further record: the limit of the grant is reached", why);
    case VF_ANSWER_RATE:
        return refused(a, ans, VF_E_BUDGET, "releases no more new images within this hour: the limit is reached", why);
    case VF_ANSWER_UNREADY:
        return refused(a, ans, VF_E_NO_SHARE, "is not ready", why);
    case VF_ANSWER_REFUSED:
    case VF_ANSWER_COUNT:
    default:
        return refused(a, ans, VF_E_NO_SHARE, "refuses", why);
    }
}

enum vf_err vf_client_ask_take(struct vf_desk_client *c, struct client_ask *a, const void *answer, size_t len,
                               bool *ret_again, struct vf_why *why)
{
    VF_BUF rest = {0};
    VF_SECRET struct vf_share *shares = NULL;
    struct vf_answer ans;

    *ret_again = false;
    VF_TRY(vf_answer_open(a->key, &a->desk, &a->hash, answer, len, &rest, &ans, &shares, why));
    vf_secret_free(a->key); /* it has opened what it was made for */
    a->key = NULL;
    a->said = ans.status;
    /* A desk that is not sure of its own clock is not heard. */
    if (ans.status != VF_ANSWER_UNREADY)
        vf_station_clock_desk(c->station, ans.time_us);
    /* 0 in a refusal: it did not come to looking at the log. */
    bool looked = (ans.log_size > 0 && ans.status != VF_ANSWER_UNKNOWN) || ans.status == VF_ANSWER_OK ||
                  ans.status == VF_ANSWER_BEHIND;
    bool moved = looked && ans.log_size != c->desk_size;
    if (looked)
        c->desk_size = ans.log_size;
    VF_TRY(take_receipt(c, a, &ans, why));
    VF_TRY(judge(a, &ans, ret_again, why));
    if (ans.status == VF_ANSWER_BEHIND && !moved && a->has_sent && a->sent.size <= ans.log_size)
        return vf_fail(why, VF_E_NO_SHARE, "the key desk has more of this station's log than the station; tell the force");
    return put_shares(c, a, &ans, ret_again, why);
}
