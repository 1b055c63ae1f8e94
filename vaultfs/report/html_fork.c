/* SPDX-License-Identifier: MIT */
/*
 * What only one of several copies of a log tells. Two copies that went apart are both evidence: whoever brings the one must not thereby hide
 * the reads that stand in the other.
 *
 * Entry by entry, by place: an entry is known when a copy that was read before has the same line in the same place. Of a window of places this
 * keeps 8 bytes each, and logs longer than it are read once more for each further window.
 *   1  a keyed hash of each of its lines in the window
 *   2  the logs that were read before: what they have too is known
 *   3  once more: what is not known is taken, reads alone
 */
#include "html_facts.h"

#include <stdlib.h>
#include <string.h>

#include <vaultfs/crypto.h>

#define UNKNOWN UINT64_C(1) /* lowest bit of a slot */

struct hunt {
    struct vf_facts *f;
    uint64_t *slot;
    uint64_t from;
    uint8_t key[32]; /* whoever wrote the log did not know it: no line can be made to look like another */
    enum { NOTE, COMPARE, TAKE } step;
    bool more;          /* there are places behind the window */
    uint64_t known_end; /* places that the log that counts has */
    uint64_t only;
    uint64_t otherwise; /* of them, in places where the other one has another entry */
};

static uint64_t hash_of(const struct hunt *h, const struct vf_entry_view *e)
{
    uint8_t text[sizeof(h->key) + VF_ENTRY_LINE_MAX];
    size_t len = e->line_len < VF_ENTRY_LINE_MAX ? e->line_len : VF_ENTRY_LINE_MAX;
    struct vf_hash hash;
    uint64_t n;

    memcpy(text, h->key, sizeof(h->key));
    memcpy(text + sizeof(h->key), e->line, len);
    vf_sha256(text, sizeof(h->key) + len, &hash);
    memcpy(&n, hash.b, sizeof(n));
    return n & ~UNKNOWN;
}

static enum vf_err take_only(struct hunt *h, const struct vf_entry_view *e, bool sealed, struct vf_why *why)
{
    h->only++;
    h->otherwise += e->seq < h->known_end ? 1 : 0;
    if (e->event != VF_EVENT_OPEN && e->event != VF_EVENT_REPEAT && e->event != VF_EVENT_RELEASE)
        return VF_OK;
    return vf_facts_take(h->f, e, sealed, why);
}

static enum vf_err each(void *user, const struct vf_entry_view *e, bool sealed, struct vf_why *why)
{
    struct hunt *h = user;

    if (e->seq < h->from)
        return VF_OK;
    if (e->seq - h->from >= h->f->fork_window) {
        h->more = h->more || h->step == NOTE;
        return VF_OK;
    }
    uint64_t *slot = &h->slot[e->seq - h->from];
    uint64_t hash = hash_of(h, e);
    if (h->step == NOTE)
        *slot = hash | UNKNOWN;
    else if (h->step == COMPARE && *slot == (hash | UNKNOWN))
        *slot = hash;
    else if (h->step == TAKE && *slot != hash)
        return take_only(h, e, sealed, why);
    return VF_OK;
}

static enum vf_err pass(struct hunt *h, size_t log, struct vf_why *why)
{
    const struct vf_verify_options o = {.each = each, .user = h};
    struct vf_verdict *v = malloc(sizeof(*v));

    if (v == NULL)
        return vf_fail(why, VF_E_NOMEM, "no memory for %s", h->f->log[log].path);
    enum vf_err err = vf_log_verify(h->f->log[log].path, &o, v, why);
    free(v);
    return err;
}

static enum vf_err window(struct hunt *h, size_t i, const size_t *known, size_t nknown, struct vf_why *why)
{
    memset(h->slot, 0, h->f->fork_window * sizeof(*h->slot));
    h->more = false;
    h->step = NOTE;
    VF_TRY(pass(h, i, why));
    h->step = COMPARE;
    for (size_t k = 0; k < nknown; k++) {
        /* One that cannot be read any more makes nothing known. */
        enum vf_err err = pass(h, known[k], why);
        if (err == VF_E_NOMEM)
            return err;
    }
    h->step = TAKE;
    return pass(h, i, why);
}

static void say(struct vf_facts *f, size_t i, const struct hunt *h)
{
    struct vf_log_facts *l = &f->log[i];
    struct vf_verdict *v = l->verdict;

    l->only = h->only;
    if (h->otherwise == 0 || !v->good)
        return;
    v->good = false;
    (void)snprintf(v->findings[v->nfindings++], sizeof(v->findings[0]),
                   "%llu of its entries stand%s otherwise in another copy of the same log: the two went apart, as when a "
                   "computer was copied or put back",
                   (unsigned long long)h->otherwise, h->otherwise == 1 ? "s" : "");
}

enum vf_err vf_report_fork(struct vf_facts *f, size_t i, const size_t *known, size_t nknown, struct vf_why *why)
{
    struct vf_why own = {0};
    struct hunt h = {.f = f};
    VF_FREE uint64_t *slot = calloc(f->fork_window, sizeof(*slot));
    enum vf_err err;

    if (slot == NULL)
        return vf_fail(why, VF_E_NOMEM, "no memory for %s", f->log[i].path);
    h.slot = slot;
    h.known_end = nknown > 0 && f->log[known[0]].verdict != NULL ? f->log[known[0]].verdict->entries : 0;
    vf_random(h.key, sizeof(h.key));
    vf_facts_start(f, i);
    do {
        err = window(&h, i, known, nknown, &own);
        h.from += f->fork_window;
    } while (err == VF_OK && h.more);
    vf_facts_stop(f);
    if (err == VF_E_NOMEM)
        return vf_fail(why, err, "%s", own.text);
    if (err != VF_OK)
        vf_facts_unread(&f->log[i], err, own.text);
    else
        say(f, i, &h);
    return VF_OK;
}
