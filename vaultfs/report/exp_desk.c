/* SPDX-License-Identifier: MIT */
/*
 * Logs of key desks: what was released of online grants. What was not released is not readable by them, but only where that is certain:
 *   1  the log verifies, begins with the signature of a desk that some policy of the force names, and no other copy of it contradicts it
 *   2  it made the batch of one-time keys that the grant is sealed to (no other good log says the same)
 *   3  it speaks for the rest of the grant's life: it says that the grant's key was destroyed; or its last entry is behind the grant's end; or
 *      it is a folder, and as fresh as the folder of a desk that runs
 *   4  no log of a device shows a read, under that grant, of what was not released
 *   5  the desk was never in doubt of its clock or store while the grant's key was there: it may have been put back from a backup
 * Entries that were lost (gap, recover) do not count against it: no share leaves a desk before its entry is durable.
 */
#include "exp.h"

#include <stdlib.h>
#include <string.h>

static enum vf_err nomem(const struct vf_exposure *x, struct vf_why *why)
{
    return vf_fail(why, VF_E_NOMEM, "%s: out of memory", x->opt.vault);
}

void vf_exp_desk_free(struct vf_exposure *x)
{
    for (uint32_t i = 0; i < x->nlogs; i++) {
        free(x->logs[i].batches);
        free(x->logs[i].closed);
    }
    for (uint32_t i = 0; i < x->nsources; i++) {
        struct vf_exp_released *r = x->sources[i].released;
        for (unsigned part = 0; r != NULL && part < VF_PART_COUNT; part++)
            free(r->bits[part]);
        free(r);
    }
}

/* ---------------------------------------------------------------------------------------------------------------- what it says */

struct pass {
    struct vf_exposure *x;
    uint32_t log;
};

static enum vf_err add_number(struct vf_exposure *x, uint32_t **list, uint32_t *n, uint32_t *room, uint64_t v,
                              struct vf_why *why)
{
    for (uint32_t i = 0; i < *n; i++)
        if ((*list)[i] == v)
            return VF_OK;
    if (!vf_case_room(list, *n, room, sizeof(**list)))
        return nomem(x, why);
    (*list)[(*n)++] = (uint32_t)v;
    return VF_OK;
}

static bool has_number(const uint32_t *list, uint32_t n, uint32_t v)
{
    for (uint32_t i = 0; i < n; i++)
        if (list[i] == v)
            return true;
    return false;
}

/* "PREFIX" NUMBER `end` … in an object; false: something else. */
static bool object_number(const struct vf_entry_view *e, const char *prefix, char end, uint64_t *ret,
                          struct vf_entry_text *rest)
{
    size_t len = strlen(prefix);

    if (e->object.p == NULL || e->object.len < len || memcmp(e->object.p, prefix, len) != 0)
        return false;
    const char *p = e->object.p + len;
    const char *stop = memchr(p, end, e->object.len - len);
    if (stop == NULL || !vf_uint_parse(p, (size_t)(stop - p), UINT32_MAX - 1, ret))
        return false;
    *rest = (struct vf_entry_text){stop + 1, e->object.len - len - (size_t)(stop + 1 - p)};
    return true;
}

/* The device of that name; of two of one name, nobody knows which. */
static uint32_t device_of(const struct vf_exposure *x, const struct vf_entry_text *name)
{
    uint32_t found = VF_EXP_NONE;

    for (uint32_t d = 0; d < x->c->ndevices; d++) {
        if (!vf_case_text_is(name, x->c->devices[d].enrol.name))
            continue;
        if (found != VF_EXP_NONE)
            return VF_EXP_NONE;
        found = d;
    }
    return found;
}

/* The grant of an entry, known to the vault or not: a desk has checked its signatures before it names it. */
static enum vf_err find_source(struct pass *p, const struct vf_entry_view *e, uint32_t *ret, struct vf_why *why)
{
    struct vf_exposure *x = p->x;
    struct vf_case_stray stray = {.time_us = e->time_us};

    *ret = VF_EXP_NONE;
    if (e->grant.p == NULL || !vf_grant_id_parse(e->grant.p, e->grant.len, &stray.id))
        return VF_OK;
    uint32_t at = vf_case_grant_find(x->c, &stray.id);
    for (uint32_t i = x->c->ngrants; at == VF_EXP_NONE && i < x->nsources; i++)
        if (x->sources[i].online && memcmp(x->sources[i].id.c, stray.id.c, VF_GRANT_ID_LEN) == 0)
            at = i;
    /* A desk checks a grant's signatures before it names it: more of them come from a forged log. One stands for all that follow. */
    if (at == VF_EXP_NONE && x->nsources - x->c->ngrants >= VF_EXP_STRAYS_MAX + x->c->nstrays) {
        at = x->nsources - 1;
        x->many_strays = x->sources[at].contradicted = true;
    }
    if (at == VF_EXP_NONE) {
        stray.has_manifest =
            e->manifest.p != NULL && vf_unhex(e->manifest.p, e->manifest.len, stray.manifest.b, VF_HASH_LEN);
        VF_TRY(vf_exp_sources_stray(x, &stray, device_of(x, &e->recipient), &at, why));
        x->sources[at].online = true;
    }
    struct vf_exp_source *s = &x->sources[at];
    if (s->released == NULL) {
        s->released = calloc(1, sizeof(*s->released));
        if (s->released == NULL)
            return nomem(x, why);
        s->released->log = s->released->closed = VF_EXP_NONE;
    }
    s->released->log = p->log;
    *ret = at;
    return VF_OK;
}

static enum vf_err set_bit(struct vf_exposure *x, struct vf_exp_released *r, unsigned part, uint32_t ref, struct vf_why *why)
{
    if (ref >= r->room[part]) {
        uint32_t room = (x->cells_room > ref ? x->cells_room : ref) / 8 * 8 + 8;
        uint8_t *more = realloc(r->bits[part], room / 8);
        if (more == NULL)
            return nomem(x, why);
        memset(more + r->room[part] / 8, 0, (room - r->room[part]) / 8);
        r->bits[part] = more;
        r->room[part] = room;
    }
    r->bits[part][ref / 8] |= (uint8_t)(1u << ref % 8);
    return VF_OK;
}

static enum vf_err take_refs(struct vf_exposure *x, uint32_t source, const struct vf_entry_view *e, unsigned part,
                             struct vf_why *why)
{
    size_t n = vf_case_entry_refs(e);

    for (size_t i = 0; i < n; i++) {
        struct vf_ref ref = vf_case_entry_ref(e, i);
        uint32_t at = VF_CASE_NONE;
        VF_TRY(vf_exp_ref_find(x, &ref, &at, why));
        if (at != VF_CASE_NONE)
            VF_TRY(set_bit(x, x->sources[source].released, part, at, why));
    }
    return VF_OK;
}

static enum vf_err take_release(struct pass *p, uint32_t source, const struct vf_entry_view *e, struct vf_why *why)
{
    struct vf_exposure *x = p->x;
    struct vf_exp_released *r = x->sources[source].released;
    struct vf_hash hash;

    x->logs[p->log].releases++;
    for (unsigned part = 0; part < VF_PART_COUNT; part++) {
        /* A part that is neither is both. */
        if (vf_case_text_is(&e->part, part == VF_PART_IMAGE ? "text" : "image"))
            continue;
        if (!e->all && e->refs.p != NULL) {
            VF_TRY(take_refs(x, source, e, part, why));
            continue;
        }
        r->all[part] = true;
        /* Another list than the grant's: then it may have been anybody. */
        uint32_t named = e->manifest.p != NULL && vf_unhex(e->manifest.p, e->manifest.len, hash.b, VF_HASH_LEN)
                             ? vf_case_manifest_find(x->c, &hash)
                             : VF_EXP_NONE;
        r->unknown[part] |= named == VF_EXP_NONE || named != x->sources[source].manifest;
    }
    return VF_OK;
}

static enum vf_err each_entry(void *user, const struct vf_entry_view *e, bool sealed, struct vf_why *why)
{
    struct pass *p = user;
    struct vf_exposure *x = p->x;
    struct vf_exp_log *l = &x->logs[p->log];
    struct vf_entry_text rest;
    uint32_t source = VF_EXP_NONE;
    uint64_t batch = 0;

    VF_TRY(find_source(p, e, &source, why));
    l->known += source != VF_EXP_NONE && x->sources[source].grant != VF_EXP_NONE ? 1 : 0;
    if (e->event == VF_EVENT_RELEASE && source != VF_EXP_NONE)
        return take_release(p, source, e, why);
    if (e->event == VF_EVENT_TIME && (vf_case_text_is(&e->result, "unready") || vf_case_text_is(&e->result, "confirmed"))) {
        l->doubted_us = e->time_us;
        l->nclosed_doubted = l->nclosed;
    }
    if (!sealed || !vf_case_text_is(&e->result, "ok"))
        return VF_OK;
    if (e->event == VF_EVENT_EXPORT && object_number(e, "prekeys ", ' ', &batch, &rest))
        return add_number(x, &l->batches, &l->nbatches, &l->batches_room, batch, why);
    if ((e->event != VF_EVENT_EXPIRE && e->event != VF_EVENT_REVOKE) || !object_number(e, "prekey ", '/', &batch, &rest))
        return VF_OK;
    if (vf_case_text_is(&rest, "all"))
        return add_number(x, &l->closed, &l->nclosed, &l->closed_room, batch, why);
    if (source != VF_EXP_NONE && x->sources[source].released->closed != p->log) { /* the first time counts */
        x->sources[source].released->closed = p->log;
        x->sources[source].released->closed_us = e->time_us;
    }
    return VF_OK;
}

/* ------------------------------------------------------------------------------------------------------------------- reading */

static void take_verdict(struct vf_exp_log *l, enum vf_err err, const struct vf_why *reason)
{
    if (err != VF_OK) {
        l->state = VF_EXP_LOG_UNREADABLE;
        (void)snprintf(l->words, sizeof(l->words), "%.319s", reason->text);
    } else if (!l->verdict->origin_checked) {
        l->state = VF_EXP_LOG_STRANGE;
        (void)snprintf(l->words, sizeof(l->words), "no policy of this force ever named the desk that began it");
    } else if (!l->verdict->good) {
        l->state = VF_EXP_LOG_DAMAGED;
        (void)snprintf(l->words, sizeof(l->words), "%.319s",
                       l->verdict->nfindings > 0 ? l->verdict->findings[0] : "it does not verify");
    } else {
        l->state = VF_EXP_LOG_GOOD;
    }
}

static enum vf_err read_one(struct vf_exposure *x, uint32_t i, const struct vf_note_key *keys, size_t nkeys,
                            const struct vf_note *held, size_t nheld, struct vf_why *why)
{
    struct vf_exp_log *l = &x->logs[i];
    struct pass p = {.x = x, .log = i};
    struct vf_why reason = {0};
    struct vf_verify_options opt = {
        .signers = keys, .nsigners = nkeys, .checkpoints = held, .ncheckpoints = nheld, .each = each_entry, .user = &p};

    l->verdict = calloc(1, sizeof(*l->verdict));
    if (l->verdict == NULL)
        return nomem(x, why);
    enum vf_err err = vf_log_verify(l->path, &opt, l->verdict, &reason);
    if (err == VF_E_NOMEM)
        return vf_fail(why, err, "%s", reason.text);
    take_verdict(l, err, &reason);
    return VF_OK;
}

static bool same_log(const struct vf_exp_log *a, const struct vf_exp_log *b)
{
    return a->desk && b->desk && memcmp(a->peek.id.b, b->peek.id.b, VF_HASH_LEN) == 0;
}

/* Copies of one log stand together, the shorter first: a longer one must contain what a good one sealed. */
enum vf_err vf_exp_desk_read(struct vf_exposure *x, struct vf_why *why)
{
    VF_FREE struct vf_note *held = calloc((size_t)x->nlogs + 1, sizeof(*held));
    VF_FREE struct vf_note_key *keys = NULL;
    size_t nkeys = 0;
    size_t nheld = 0;

    if (held == NULL)
        return nomem(x, why);
    VF_TRY(vf_policy_chain_desks(&x->c->chain, &keys, &nkeys, why));
    /* Who began it is asked for also where no policy names a desk. */
    static const struct vf_note_key nobody = {.name = "nobody"};
    for (uint32_t i = 0; i < x->nlogs; i++) {
        struct vf_exp_log *l = &x->logs[i];
        if (!l->desk)
            continue;
        if (i == 0 || !same_log(l, &x->logs[i - 1]))
            nheld = 0;
        VF_TRY(read_one(x, i, nkeys > 0 ? keys : &nobody, nkeys > 0 ? nkeys : 1, held, nheld, why));
        if (l->state == VF_EXP_LOG_GOOD && l->peek.last.len > 0 &&
            vf_note_parse(l->peek.last.data, l->peek.last.len, &held[nheld], NULL) == VF_OK)
            nheld++;
    }
    return VF_OK;
}

/* ------------------------------------------------------------------------------------------------------------------- judging */

bool vf_exp_desk_released(const struct vf_exp_source *s, unsigned part, uint32_t ref)
{
    const struct vf_exp_released *r = s->released;

    return r != NULL &&
           (r->all[part] || r->unknown[part] || (ref < r->room[part] && (r->bits[part][ref / 8] >> ref % 8 & 1) != 0));
}

void vf_exp_desk_check_read(const struct vf_exposure *x, struct vf_exp_source *s, unsigned part, uint32_t ref)
{
    const struct vf_case_manifest *m = s->manifest != VF_EXP_NONE ? &x->c->manifests[s->manifest] : NULL;
    bool all = true;

    if (s->contradicted || (s->released != NULL && s->released->all[part]))
        return;
    if (ref != VF_EXP_NONE)
        all = vf_exp_desk_released(s, part, ref);
    for (uint32_t i = 0; ref == VF_EXP_NONE && m != NULL && all && i < m->n; i++)
        all = (part == VF_PART_IMAGE && m->images[i] == 0) || vf_exp_desk_released(s, part, m->at[i]);
    s->contradicted |= !all;
}

/* How much a log says there is, good or not. */
static uint64_t claimed(const struct vf_exp_log *l)
{
    uint64_t n = l->peek.last_size;

    return l->verdict != NULL && l->verdict->entries > n ? l->verdict->entries : n;
}

/* One that is bad, and may hold what the good one does not. */
static void find_broken(struct vf_exposure *x)
{
    for (uint32_t i = 0; i < x->nlogs; i++) {
        struct vf_exp_log *l = &x->logs[i];
        for (uint32_t j = 0; l->desk && l->state == VF_EXP_LOG_GOOD && j < x->nlogs; j++) {
            const struct vf_exp_log *o = &x->logs[j];
            if (j == i || !same_log(l, o) || o->state == VF_EXP_LOG_GOOD)
                continue;
            l->broken |= (o->verdict != NULL && o->verdict->forked) || claimed(o) >= l->verdict->sealed;
        }
    }
}

/* The longest good log of the desk that holds the grant's one-time key; VF_EXP_NONE: none, or it is not certain which. */
static uint32_t log_for(const struct vf_exposure *x, const struct vf_exp_source *s)
{
    const struct vf_grant *g = s->grant != VF_EXP_NONE ? &x->c->grants[s->grant].g : NULL;
    uint32_t found = VF_EXP_NONE;

    for (uint32_t i = 0; i < x->nlogs; i++) {
        const struct vf_exp_log *l = &x->logs[i];
        if (!l->desk || l->state != VF_EXP_LOG_GOOD)
            continue;
        bool its = g != NULL
                       ? has_number(l->batches, l->nbatches, g->prekey_batch)
                       : s->released != NULL && s->released->log != VF_EXP_NONE && same_log(l, &x->logs[s->released->log]);
        if (!its)
            continue;
        if (found != VF_EXP_NONE && !same_log(l, &x->logs[found]))
            return VF_EXP_NONE;
        /* Of two as long, the folder: it speaks for longer. */
        if (found == VF_EXP_NONE || l->verdict->sealed > x->logs[found].verdict->sealed ||
            (l->verdict->sealed == x->logs[found].verdict->sealed && x->logs[found].copy && !l->copy))
            found = i;
    }
    return found;
}

/* A destruction counts when the log that tells of it is good. `before`: only one before the desk was last in doubt. */
static bool is_closed(const struct vf_exposure *x, const struct vf_exp_source *s, const struct vf_exp_log *l, bool before)
{
    const struct vf_grant *g = s->grant != VF_EXP_NONE ? &x->c->grants[s->grant].g : NULL;

    if (s->released != NULL && s->released->closed != VF_EXP_NONE && same_log(l, &x->logs[s->released->closed]) &&
        x->logs[s->released->closed].state == VF_EXP_LOG_GOOD && (!before || s->released->closed_us < l->doubted_us))
        return true;
    return g != NULL && has_number(l->closed, before ? l->nclosed_doubted : l->nclosed, g->prekey_batch);
}

static enum vf_exp_unproven judge(struct vf_exposure *x, struct vf_exp_source *s)
{
    uint32_t at = log_for(x, s);

    if (at == VF_EXP_NONE)
        return VF_EXP_DESK_NO_LOG;
    struct vf_exp_log *l = &x->logs[at];
    if (l->broken)
        return VF_EXP_DESK_BROKEN;
    if (s->contradicted)
        return VF_EXP_DESK_CONTRADICTED;
    l->used = true;
    /* If its store was put back from a backup, what was released in between is in no log: whatever the reason, the desk was not sure. */
    if (l->doubted_us != 0 && s->issued_us <= l->doubted_us && !is_closed(x, s, l, true))
        return VF_EXP_DESK_DOUBTED;
    if (is_closed(x, s, l, false))
        return 0;
    int64_t until = l->copy ? l->verdict->sealed_until_us : l->verdict->last_us;
    s->live = true;
    if (until > x->opt.now_us + VF_EXP_CLOCK_US) /* of a time to come: its clock says nothing */
        return VF_EXP_DESK_EARLY;
    /* Its clock can be an hour off without an entry; and after the end a desk releases nothing. */
    s->live = s->grant == VF_EXP_NONE || until <= x->c->grants[s->grant].g.until_us + VF_EXP_CLOCK_US;
    if (!s->live)
        return 0;
    return !l->copy && until >= x->opt.now_us - VF_EXP_DESK_QUIET_US ? 0 : VF_EXP_DESK_EARLY;
}

/* A desk that no policy of this force names, and that knows nothing of it: what it released is another force's. */
static bool is_others(const struct vf_exposure *x, const struct vf_exp_source *s)
{
    if (s->grant != VF_EXP_NONE || s->released == NULL || s->released->log == VF_EXP_NONE)
        return false;
    const struct vf_exp_log *l = &x->logs[s->released->log];
    return l->state == VF_EXP_LOG_STRANGE && l->known == 0;
}

void vf_exp_desk_judge(struct vf_exposure *x)
{
    find_broken(x);
    for (uint32_t i = 0; i < x->nsources; i++)
        if (x->sources[i].online) {
            x->sources[i].unproven = (uint8_t)judge(x, &x->sources[i]);
            x->sources[i].in_scope &= !is_others(x, &x->sources[i]);
        }
}

/* --------------------------------------------------------------------------------------------------------------------- words */

#define ASSUME(code, ...) VF_TRY(vf_exp_say(x, VF_EXP_ASSUMPTION, code, why, __VA_ARGS__))
#define DOUBT(code, ...)  VF_TRY(vf_exp_say(x, VF_EXP_DOUBT, code, why, __VA_ARGS__))

static enum vf_err say_grants(struct vf_exposure *x, struct vf_why *why)
{
    uint32_t n[VF_EXP_DESK_EARLY + 1] = {0};
    uint32_t online = 0;
    uint32_t live = 0;

    for (uint32_t i = 0; i < x->nsources; i++) {
        const struct vf_exp_source *s = &x->sources[i];
        if (!s->in_scope || !s->online)
            continue;
        online++;
        n[s->unproven]++;
        live += s->unproven == 0 && s->live ? 1 : 0;
    }
    if (online > 0)
        ASSUME("online-from-release",
               "What was granted online (grants: %u) counts as readable from the moment the key desk released it, and for "
               "ever: also what was fetched ahead and perhaps never looked at. What the desk did not release could not be "
               "read, as far as the desk's own log shows it.",
               online);
    if (live > 0)
        ASSUME("online-not-ended",
               "Online grants whose one-time key the desk still has: %u. It can still release more of their records. If the "
               "computer is not its owner's any more, revoke them, give the revocation to the desk, and ask again.",
               live);
    if (n[VF_EXP_DESK_NO_LOG] > 0)
        DOUBT("desk-log-missing",
              "Online grants of which no good log of the key desk says what was released: %u. They count like offline "
              "grants, readable from issue. Give the log of the desk that made their one-time keys (--log STORE).",
              n[VF_EXP_DESK_NO_LOG]);
    if (n[VF_EXP_DESK_BROKEN] > 0)
        DOUBT(
            "desk-log-contradicted",
            "There are two copies of the key desk's log, and one that may say more does not verify or is another end of it. "
            "Online grants that count like offline ones for it: %u.",
            n[VF_EXP_DESK_BROKEN]);
    if (n[VF_EXP_DESK_CONTRADICTED] > 0)
        DOUBT("read-not-released",
              "A device's log shows reads of records that the key desk, by its own log, never released. So that log is not "
              "the whole truth, or the device held the keys from somewhere else. Online grants that count like offline ones "
              "for it: %u.",
              n[VF_EXP_DESK_CONTRADICTED]);
    if (n[VF_EXP_DESK_DOUBTED] > 0)
        DOUBT("desk-doubted",
              "The key desk's log says that its clock or store was in doubt, and that a person had to confirm them, while "
              "online "
              "grants were alive: %u of them. Had the store been put back from a backup, what was released in between would "
              "be missing; so they count like offline grants.",
              n[VF_EXP_DESK_DOUBTED]);
    if (n[VF_EXP_DESK_EARLY] > 0)
        DOUBT("desk-log-ends-early",
              "The key desk's log ends before online grants did, and may be an older copy: %u of them count like offline "
              "grants. Give the log as it is on the desk now.",
              n[VF_EXP_DESK_EARLY]);
    return VF_OK;
}

enum vf_err vf_exp_desk_say(struct vf_exposure *x, struct vf_why *why)
{
    char until[64];

    VF_TRY(say_grants(x, why));
    for (uint32_t i = 0; i < x->nlogs; i++) {
        const struct vf_exp_log *l = &x->logs[i];
        if (!l->desk)
            continue;
        if (l->state == VF_EXP_LOG_GOOD) {
            vf_exp_time_words(l->copy ? l->verdict->sealed_until_us : l->verdict->last_us, until);
            if (l->used)
                ASSUME(
                    "desk-log",
                    "What the key desk released is taken from its log %s, as complete up to its last entry, of %s. (If the "
                    "desk's store was ever put back from a backup, what was released in between is missing.)",
                    vf_exp_log_name(l), until);
        } else if (l->state == VF_EXP_LOG_STRANGE) {
            DOUBT("log-of-unknown-desk",
                  "%s is the log of a key desk that no policy of this force names: it shows nothing here%s.",
                  vf_exp_log_name(l), l->known == 0 ? ", and is probably another force's" : "");
        } else {
            DOUBT("desk-log-not-good",
                  "The key desk's log %s: %s. What it says was released counts as readable, and it shows of nothing that it "
                  "was not released.",
                  vf_exp_log_name(l), l->words);
        }
    }
    return VF_OK;
}
