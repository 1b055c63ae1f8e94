/* SPDX-License-Identifier: MIT */
/*
 * An answer, in the order of docs/protocol.md:
 *
 *   1. the request opens, and a device that is known (or introduces itself with a grant) has signed it
 *   2. the grant: k of n under the policy that rules, its device, revocation, window, one-time key, and the desk's own clock
 *   3. the station's log, up to its present end, extends what is here and is longer: durable
 *   4. budget and rate
 *   5. the release entry, durable
 *   6. the shares, unless the key was destroyed meanwhile
 *   7. the receipt
 *   8. the answer
 *
 * A failure at any step: no share. Steps 3 to 8 hold the device's lock: what is released of its grants changes nowhere else.
 */
#include "release.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static void work_done(struct desk_work *w)
{
    vf_desk_refs_put(w->refs);
    vf_secret_free(w->shares);
    vf_buf_done(&w->receipt);
}

bool vf_desk_ends(struct desk_work *w, enum vf_answer_status status, const char *fmt, ...)
{
    va_list args;

    w->answer.status = status;
    va_start(args, fmt);
    (void)vsnprintf(w->answer.text, sizeof(w->answer.text), fmt, args);
    va_end(args);
    vf_text_one_line(w->answer.text);
    return false;
}

/* --------------------------------------------------------------------------------------------------------------- 1. who asks */

/*
 * A device that is not known, and does not say who it is, is asked to: that tells it nothing but that. One that does is believed to be who
 * signed the request with the key of that enrolment, no more; it comes into the store with a grant alone.
 */
static enum vf_err who_asks(struct desk_work *w, bool *ret_known, struct vf_why *why)
{
    const struct vf_request *req = w->req;
    VF_FREE struct vf_enrol *e = calloc(1, sizeof(*e));

    if (e == NULL)
        return vf_fail(why, VF_E_NOMEM, "out of memory");
    pthread_rwlock_rdlock(&w->d->lock);
    w->dev = vf_desk_device_find(w->d, &req->enrolment);
    pthread_rwlock_unlock(&w->d->lock);
    *ret_known = w->dev != NULL || req->enrol.len > 0;
    if (w->dev != NULL) {
        VF_TRY(vf_request_signed(w->plain, &w->dev->enrol.device, why));
    } else if (req->enrol.len > 0) {
        if (vf_enrol_parse(req->enrol.data, req->enrol.len, "the enrolment", e, why) != VF_OK ||
            memcmp(&e->id, &req->enrolment, sizeof(e->id)) != 0)
            return vf_fail(why, VF_E_FORGED, "the enrolment in the request is not that of its sender");
        VF_TRY(vf_request_signed(w->plain, &e->device, why));
    }
    if (w->dev != NULL)
        (void)snprintf(w->out->device, sizeof(w->out->device), "%s", w->dev->enrol.name);
    return VF_OK;
}

/* -------------------------------------------------------------------------------------------------------------- 2. the grant */

/* What is wrong with the grant is told to who sent it; what is wrong with the desk is not. */
static bool not_taken(struct desk_work *w, enum vf_err err, const char *text)
{
    switch ((int)err) {
    case VF_E_FORMAT:
    case VF_E_VERSION:
    case VF_E_LIMIT:
    case VF_E_INPUT:
    case VF_E_FORGED:
    case VF_E_UNSIGNED:
    case VF_E_STALE:
    case VF_E_CLASS_REFUSED:
    case VF_E_NOT_FOUND:
    case VF_E_REFUSED:
        return vf_desk_ends(w, VF_ANSWER_REFUSED, "%s", text);
    default:
        return vf_desk_ends(w, VF_ANSWER_UNREADY, "the desk could not store the grant: %s", vf_err_text(err));
    }
}

/* Who brings no grant that the force has signed gets no further than here: not to the lock under which what is known changes. */
static enum vf_err is_signed(const struct desk_work *w, struct vf_why *why)
{
    const struct vf_slice *note = &w->req->grant_note;
    VF_FREE struct vf_grant *g = calloc(1, sizeof(*g));

    if (g == NULL)
        return vf_fail(why, VF_E_NOMEM, "the grant: out of memory");
    pthread_rwlock_rdlock(&w->d->lock);
    enum vf_err err = vf_desk_grant_judge(w->d, note->data, note->len, g, why);
    pthread_rwlock_unlock(&w->d->lock);
    return vf_fail_prefix(why, err, "the grant");
}

static bool first_contact(struct desk_work *w)
{
    const struct vf_request *req = w->req;
    struct vf_why one = {0};
    bool already = false;

    if (req->grant_note.len == 0 || req->manifest.len == 0 || (w->dev == NULL && req->enrol.len == 0))
        return vf_desk_ends(w, VF_ANSWER_UNKNOWN, "send grant, manifest and enrolment");
    enum vf_err err = is_signed(w, &one);
    if (err == VF_OK)
        err = vf_desk_grant_take(w->d, req->grant_note, req->manifest, req->enrol, "the grant", &w->g, &already, &one);
    if (err != VF_OK)
        return not_taken(w, err, one.text);
    /* A grant that is here already may have come with another enrolment than its own. */
    if (memcmp(&w->g->g.enrolment, &w->req->enrolment, sizeof(w->g->g.enrolment)) != 0) {
        w->g = NULL;
        return vf_desk_ends(w, VF_ANSWER_REFUSED, "the grant is another device's");
    }
    w->dev = w->g->device;
    (void)snprintf(w->out->device, sizeof(w->out->device), "%s", w->dev->enrol.name);
    return true;
}

/* lock is held. Takes a reference to the refs. */
static bool grant_good(struct desk_work *w)
{
    struct vf_desk *d = w->d;
    struct vf_desk_grant *g = w->g;
    const struct vf_grant *t = &g->g;
    struct vf_why one = {0};

    if (g->device != w->dev || memcmp(&w->req->enrolment, &t->enrolment, sizeof(t->enrolment)) != 0 ||
        memcmp(&w->req->grant_text, &t->text_hash, sizeof(t->text_hash)) != 0)
        return vf_desk_ends(w, VF_ANSWER_REFUSED, "the grant of that id is another one, or another device's");
    if (atomic_load(&w->dev->revoked) || atomic_load(&g->revoked))
        return vf_desk_ends(w, VF_ANSWER_REVOKED, "the force has revoked %s",
                            atomic_load(&g->revoked) ? "this grant" : "this device");
    if (w->now_us >= g->end_us)
        return vf_desk_ends(w, VF_ANSWER_ENDED, "the grant has ended");
    if (g->batch != NULL)
        pthread_rwlock_rdlock(&g->batch->gate);
    enum vf_err err = vf_desk_prekey_live(g->batch, t->prekey_number, &one);
    if (g->batch != NULL)
        pthread_rwlock_unlock(&g->batch->gate);
    if (err != VF_OK || g->refs == NULL)
        return vf_desk_ends(w, err == VF_E_REVOKED ? VF_ANSWER_REVOKED : VF_ANSWER_ENDED, "%s",
                            err != VF_OK ? one.text : "the grant has ended");
    if (vf_desk_policy_rules(d, &one) != VF_OK)
        return vf_desk_ends(w, d->policy.ruling < d->policy_floor ? VF_ANSWER_UNREADY : VF_ANSWER_REFUSED, "%s", one.text);
    if (memcmp(&w->req->vault, &d->policy.policy.vault, sizeof(w->req->vault)) != 0)
        return vf_desk_ends(w, VF_ANSWER_REFUSED, "a request to the desk of another force");
    if (!g->agreed)
        return vf_desk_ends(w, VF_ANSWER_REFUSED, "%s", g->disagreed);
    if (!w->ready)
        return vf_desk_ends(w, VF_ANSWER_UNREADY, VF_DESK_IN_DOUBT);
    if (w->now_us < t->from_us)
        return vf_desk_ends(w, VF_ANSWER_NOT_YET, "the grant has not started");
    atomic_fetch_add(&g->refs->users, 1);
    w->refs = g->refs;
    return true;
}

static bool check_grant(struct desk_work *w)
{
    if (w->dev != NULL) {
        pthread_rwlock_rdlock(&w->d->lock);
        w->g = vf_desk_grant_find(w->d, &w->req->grant);
        pthread_rwlock_unlock(&w->d->lock);
    }
    if (w->g == NULL && !first_contact(w))
        return false;
    if (memcmp(&w->g->g.id, &w->req->grant, sizeof(w->g->g.id)) != 0) {
        w->g = NULL;
        return vf_desk_ends(w, VF_ANSWER_REFUSED, "the grant in the request is not the one that it is for");
    }
    (void)snprintf(w->out->job, sizeof(w->out->job), "%s", w->g->g.job);
    w->out->grant = w->g->g.id;
    pthread_rwlock_rdlock(&w->d->lock);
    bool good = grant_good(w);
    pthread_rwlock_unlock(&w->d->lock);
    return good;
}

/* ------------------------------------------------------------------------------------------------------ 4. and 5. the release */

static bool tell_release(struct desk_work *w, enum vf_part part, const struct vf_ref *refs, size_t n, bool all,
                         uint64_t count, uint64_t *ret_ticket)
{
    const struct vf_grant *t = &w->g->g;
    char object[2 * VF_HASH_LEN + 8] = "sha256:";
    const struct vf_entry e = {.event = VF_EVENT_RELEASE,
                               .grant = &t->id,
                               .job = t->job,
                               .recipient = t->recipient,
                               .refs = all ? NULL : refs,
                               .nrefs = all ? 0 : n,
                               .all = all ? &t->manifest_hash : NULL,
                               .part = (int)part,
                               .has_count = true,
                               .count = count,
                               .object = object,
                               .result = "ok"};

    vf_hex(w->req->hash.b, sizeof(w->req->hash.b), object + 7);
    enum vf_err err = vf_desk_tell(w->d, &e, ret_ticket, NULL);
    return err == VF_OK || vf_desk_ends(w, VF_ANSWER_UNREADY, "the desk cannot write its log: %s", vf_err_text(err));
}

/* The tickets of one request's entries: all are waited for, whatever became of the others. */
struct tickets {
    uint64_t of[VF_PART_COUNT + 2];
    size_t n;
};

static bool wait_for(struct desk_work *w, const struct tickets *t)
{
    enum vf_err worst = VF_OK;

    for (size_t i = 0; i < t->n; i++) {
        enum vf_err err = vf_log_wait(w->d->log, t->of[i], NULL);
        worst = err != VF_OK ? err : worst;
    }
    return worst == VF_OK || vf_desk_ends(w, VF_ANSWER_UNREADY, "the desk cannot write its log: %s", vf_err_text(worst));
}

/* The part's wants that are released for the first time. */
static size_t fresh_of(const struct desk_work *w, enum vf_part part, struct vf_ref refs[VF_REQUEST_WANTS_MAX])
{
    size_t n = 0;

    for (size_t i = 0; i < w->asked.n; i++)
        if (w->asked.fresh[i] && w->asked.part[i] == part)
            refs[n++] = w->refs->ref[w->asked.index[i]];
    return n;
}

static bool release(struct desk_work *w, struct tickets *t)
{
    const struct vf_desk_asked *a = &w->asked;
    struct vf_ref refs[VF_REQUEST_WANTS_MAX];
    size_t room = a->n;

    if (a->all) { /* released they are all at once; the shares go in as many answers as they need */
        size_t left = w->refs->n - w->req->text_from,
               most = w->by_hand ? VF_ANSWER_SHARES_MAX - VF_REQUEST_WANTS_MAX : VF_ANSWER_TEXTS;
        w->texts = (uint32_t)(left < most ? left : most);
        room += w->texts;
    }
    /* Room for the shares before they count as released. */
    w->shares = room > 0 ? vf_secret_new(room * sizeof(*w->shares)) : NULL;
    if (room > 0 && w->shares == NULL)
        return vf_desk_ends(w, VF_ANSWER_UNREADY, "the desk's locked memory is full: ask again");
    if (a->all && a->all_fresh && !tell_release(w, VF_PART_TEXT, NULL, 0, true, w->refs->n, &t->of[t->n++]))
        return false;
    for (unsigned part = 0; part < VF_PART_COUNT; part++) {
        size_t n = fresh_of(w, (enum vf_part)part, refs);
        if (n > 0 && !tell_release(w, (enum vf_part)part, refs, n, false, n, &t->of[t->n++]))
            return false;
    }
    return true;
}

/* It counts once the entries are durable. */
static void count_release(struct desk_work *w)
{
    const struct vf_desk_asked *a = &w->asked;

    if (a->all && a->all_fresh) {
        vf_desk_released_all(w->g, VF_PART_TEXT);
        w->out->fresh += a->all_count;
    }
    for (size_t i = 0; i < a->n; i++) {
        if (!a->fresh[i])
            continue;
        vf_desk_released(w->g, a->index[i], a->part[i], w->now_us);
        w->out->fresh++;
    }
}

static bool check_budget(struct desk_work *w)
{
    struct vf_why one = {0};

    if (vf_desk_ask(w->g, w->refs, w->req, w->now_us, &w->asked, &one) != VF_OK)
        return vf_desk_ends(w, VF_ANSWER_REFUSED, "%s", one.text);
    const struct vf_desk_asked *a = &w->asked;
    bool text_refused = w->req->all_text && !a->all;
    if (text_refused || (a->n == 0 && !a->all && a->left_budget > 0))
        return vf_desk_ends(w, VF_ANSWER_BUDGET, "the grant's budget of %llu records is used up",
                            (unsigned long long)w->g->g.budget);
    if (a->n == 0 && !a->all && a->left_rate > 0)
        return vf_desk_ends(w, VF_ANSWER_RATE, "over %d new images in an hour", VF_DESK_RATE);
    if (a->left_budget > 0 || a->left_rate > 0)
        (void)vf_desk_ends(w, VF_ANSWER_OK, "%zu asked for are left out: %s is used up", a->left_budget + a->left_rate,
                           a->left_budget > 0 ? "the budget" : "the hour's rate");
    return true;
}

/* ------------------------------------------------------------------------------------------------------------- 6. the shares */

static void derive_one(struct desk_work *w, const struct vf_release_secret *secret, uint32_t index, enum vf_part part)
{
    struct vf_share *s = &w->shares[w->answer.nshares++];

    s->ref = w->refs->ref[index];
    s->part = part;
    vf_kdf_release_share(secret, &s->ref, part, &s->share);
}

/* batch->gate is held: whoever destroys the key waits for us, and who comes after him finds it dead. */
static bool derive(struct desk_work *w)
{
    const struct vf_grant *t = &w->g->g;
    const struct vf_desk_asked *a = &w->asked;
    VF_SECRET struct vf_prekey *prekey = vf_secret_new(sizeof(*prekey));
    VF_SECRET struct vf_release_secret *secret = vf_secret_new(sizeof(*secret));
    struct vf_why one = {0};

    if (prekey == NULL || secret == NULL)
        return vf_desk_ends(w, VF_ANSWER_UNREADY, "the desk's locked memory is full");
    enum vf_err err = vf_desk_prekey_live(w->g->batch, t->prekey_number, &one);
    if (err == VF_OK)
        err = vf_prekeys_get(w->g->batch->file, w->d->prekey_key, t->prekey_number, prekey, &one);
    if (err == VF_E_EXPIRED || err == VF_E_REVOKED)
        return vf_desk_ends(w, err == VF_E_REVOKED ? VF_ANSWER_REVOKED : VF_ANSWER_ENDED, "%s", one.text);
    if (err != VF_OK)
        return vf_desk_ends(w, VF_ANSWER_UNREADY, "the one-time key of the grant cannot be read: %s", vf_err_text(err));
    if (vf_release_secret_open(prekey, t->sealed_secret, secret) != VF_OK)
        return vf_desk_ends(w, VF_ANSWER_REFUSED, "the grant's release secret is not sealed to this desk's one-time key");
    for (uint32_t i = 0; i < w->texts; i++)
        derive_one(w, secret, w->req->text_from + i, VF_PART_TEXT);
    for (size_t i = 0; i < a->n; i++)
        derive_one(w, secret, a->index[i], a->part[i]);
    return true;
}

/* A policy that was taken since the grant was looked at: this one has waited for others of its device, and for the disk. */
static bool still_agreed(struct desk_work *w)
{
    pthread_rwlock_rdlock(&w->d->lock);
    bool agreed = w->g->agreed;
    pthread_rwlock_unlock(&w->d->lock);
    return agreed || vf_desk_ends(w, VF_ANSWER_REFUSED, "the force's policy has changed: ask again");
}

static bool make_shares(struct desk_work *w)
{
    if (w->shares == NULL)
        return true;
    if (!still_agreed(w))
        return false;
    pthread_rwlock_rdlock(&w->g->batch->gate);
    bool good = derive(w);
    pthread_rwlock_unlock(&w->g->batch->gate);
    if (!good)
        w->answer.nshares = 0;
    w->answer.shares = w->answer.nshares > 0 ? w->shares : NULL;
    return good;
}

/* -------------------------------------------------------------------------------------------------------- 7. and 8. the answer */

static bool make_receipt(struct desk_work *w)
{
    VF_BUF last = {.max = VF_NOTE_MAX};
    VF_FREE struct vf_note *note = calloc(1, sizeof(*note));
    struct vf_why one = {0};
    int64_t now_us = 0;

    vf_buf_init(&w->receipt, VF_NOTE_MAX);
    if (note == NULL)
        return vf_desk_ends(w, VF_ANSWER_UNREADY, "out of memory");
    (void)vf_desk_clock_now(w->d, &now_us, NULL);
    enum vf_err err = vf_log_copy_last(w->dev->copy, &last, &one);
    if (err == VF_OK)
        err = vf_note_parse(last.data, last.len, note, &one);
    if (err == VF_OK)
        err = vf_receipt_make(note, w->d->id, now_us, &w->receipt, &one);
    if (err != VF_OK)
        return vf_desk_ends(w, VF_ANSWER_UNREADY, "no receipt for the log: %s", vf_err_text(err));
    w->answer.receipt = (struct vf_slice){w->receipt.data, w->receipt.len};
    return true;
}

/* Counted by the station from when it asked, so it never passes the end. */
static bool set_lease(struct desk_work *w, int64_t lease_us, bool by_hand)
{
    w->ready = vf_desk_clock_now(w->d, &w->now_us, NULL);
    if (!w->ready)
        return vf_desk_ends(w, VF_ANSWER_UNREADY, VF_DESK_IN_DOUBT);
    int64_t left = w->g->end_us - w->now_us;
    if (left <= 0)
        return vf_desk_ends(w, VF_ANSWER_ENDED, "the grant has ended");
    int64_t lease = lease_us > 0 ? lease_us : VF_DESK_LEASE_US;
    if (!by_hand && lease < VF_DESK_LEASE_MIN_US)
        lease = VF_DESK_LEASE_MIN_US;
    if (!by_hand && lease > VF_DESK_LEASE_MAX_US)
        lease = VF_DESK_LEASE_MAX_US;
    w->answer.lease_us = w->answer.nshares > 0 ? (lease < left ? lease : left) : 0;
    return true;
}

/* device->lock is held. True: there are shares, or none were asked for. */
static bool exchange(struct desk_work *w, int64_t lease_us, bool by_hand)
{
    struct tickets t = {.n = 1};

    if (!vf_desk_log_take(w, by_hand, &t.of[0]))
        return false;
    bool asked = check_budget(w) && release(w, &t);
    /* What was said of the log is in our own before the receipt; and the release before anything of it counts. */
    if (!wait_for(w, &t) || !asked)
        return false;
    count_release(w);
    return make_shares(w) && set_lease(w, lease_us, by_hand);
}

static void refuse(struct desk_work *w)
{
    char object[128];

    vf_secret_free(w->shares);
    w->shares = NULL;
    w->answer.shares = NULL;
    w->answer.nshares = 0;
    w->answer.lease_us = 0;
    bool late = w->answer.status == VF_ANSWER_BEHIND && w->req->log_end < w->answer.log_size;
    bool counts = w->answer.status != VF_ANSWER_UNKNOWN && w->answer.status != VF_ANSWER_UNREADY;
    if (w->dev == NULL || !counts || (w->answer.status == VF_ANSWER_BEHIND && !late))
        return;
    (void)snprintf(object, sizeof(object), "an old request: its log had %llu entries, the copy here has %llu",
                   (unsigned long long)w->req->log_end, (unsigned long long)w->answer.log_size);
    vf_desk_tell_refusal(w->d, w->dev, w->g, w->answer.status, late ? object : NULL);
}

/* One device at a time, and not all who answer for one device: the others of them are for the other suppliers. */
static bool in_turn(struct desk_work *w, int64_t lease_us, bool by_hand)
{
    struct vf_desk_device *dev = w->dev;
    bool good = false;

    if (atomic_fetch_add(&dev->asking, 1) < VF_DESK_ASKING || by_hand) {
        pthread_mutex_lock(&dev->lock);
        good = exchange(w, lease_us, by_hand);
        /* The log was taken, whatever became of the rest: its receipt goes along. */
        if (w->out->entries > 0)
            good = make_receipt(w) && good;
        pthread_mutex_unlock(&dev->lock);
    } else {
        (void)vf_desk_ends(w, VF_ANSWER_UNREADY, "too many requests of this device at once: ask again");
    }
    (void)atomic_fetch_sub(&dev->asking, 1);
    return good;
}

static void answer_with(struct desk_work *w, int64_t lease_us, bool by_hand)
{
    w->ready = vf_desk_clock_now(w->d, &w->now_us, NULL);
    bool good = check_grant(w) && in_turn(w, lease_us, by_hand);

    if (!good)
        refuse(w);
    w->out->status = w->answer.status;
    w->out->shares = w->answer.nshares;
    w->answer.request = w->req->hash;
    if (w->dev != NULL && w->answer.log_size == 0)
        w->answer.log_size = vf_desk_copy_size(w->d, w->dev);
    /* A clock that is not believed is nobody's trusted time. */
    w->answer.time_us = w->ready && vf_desk_clock_settled(w->d) ? w->now_us : 0;
}

enum vf_err vf_desk_answer(struct vf_desk *d, const void *request, size_t len, int64_t lease_us, bool by_hand,
                           struct vf_buf *out, struct vf_desk_outcome *ret, struct vf_why *why)
{
    VF_BUF plain = {0};
    VF_FREE struct vf_request *req = calloc(1, sizeof(*req));
    struct vf_desk_outcome outcome = {.status = VF_ANSWER_UNKNOWN};
    bool known = false;

    if (d->mode != VF_DESK_SERVE)
        return vf_fail(why, VF_E_USAGE, "%s: is open for looking only", d->path);
    if (req == NULL)
        return vf_fail(why, VF_E_NOMEM, "out of memory");
    VF_TRY(vf_request_open(d->id, request, len, &plain, req, why));
    VF_CLEANUP(work_done) struct desk_work w = {.d = d, .req = req, .plain = &plain, .out = &outcome, .by_hand = by_hand};
    VF_TRY(who_asks(&w, &known, why));
    if (known) {
        answer_with(&w, lease_us, by_hand);
    } else {
        (void)vf_desk_ends(&w, VF_ANSWER_UNKNOWN, "send grant, manifest and enrolment");
        w.answer.request = req->hash;
        w.answer.time_us = vf_desk_clock_now(d, &w.now_us, NULL) && vf_desk_clock_settled(d) ? w.now_us : 0;
    }
    VF_TRY(vf_answer_make(&w.answer, d->id, &req->answer_to, out, why));
    *ret = outcome;
    return VF_OK;
}
