/* SPDX-License-Identifier: MIT */
/*
 * Which logs there are, whose they are, and what they are worth:
 *   1  those that were given, and the vault's copies of what the devices in question handed in
 *   2  each belongs to the device whose enrolment names its id
 *   3  of one device, the shorter first: what a good one sealed, the longer ones must contain; so a fork makes the longer one bad
 *   4  the longest good one speaks for its device: a folder up to the time of the incident, a copy up to its last sealed entry
 */
#include "exp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static enum vf_err nomem(const struct vf_exposure *x, struct vf_why *why)
{
    return vf_fail(why, VF_E_NOMEM, "%s: out of memory", x->opt.vault);
}

/* -------------------------------------------------------------------------------------------------------------------- finding */

static enum vf_err add_log(struct vf_exposure *x, const char *path, uint32_t device, bool given, struct vf_why *why)
{
    struct vf_why reason = {0};

    if (!vf_case_room(&x->logs, x->nlogs, &x->logs_room, sizeof(*x->logs)))
        return nomem(x, why);
    struct vf_exp_log *l = &x->logs[x->nlogs];
    *l = (struct vf_exp_log){.given = given, .device = device, .copy = !given};
    l->path = strdup(path);
    if (l->path == NULL)
        return nomem(x, why);
    x->nlogs++;
    enum vf_err err = vf_log_peek(path, &l->peek, &reason);
    /* What is not there was mistyped: better said than presumed. */
    if (err == VF_E_NOMEM || (given && (err == VF_E_NOT_FOUND || err == VF_E_DENIED)))
        return vf_fail(why, err, "%s", reason.text);
    if (err != VF_OK) {
        (void)snprintf(l->words, sizeof(l->words), "%.319s", reason.text);
        return VF_OK;
    }
    l->copy = l->copy || l->peek.copy;
    uint32_t owner = vf_case_device_by_log(x->c, &l->peek.id);
    if (!given && owner != device) {
        (void)snprintf(l->words, sizeof(l->words), "it is not the log of %s", vf_exp_device_name(x, device));
        return VF_OK;
    }
    l->device = owner;
    l->desk = owner == VF_EXP_NONE && l->peek.origin.kind == VF_LOG_DESK;
    l->state = owner != VF_EXP_NONE ? VF_EXP_LOG_GOOD : VF_EXP_LOG_STRANGE; /* until it was read */
    return VF_OK;
}

/* By device; of one device the shorter first, and of two that say the same length the copy. Those of nobody at the end. */
static int by_length(const void *a, const void *b)
{
    const struct vf_exp_log *la = a;
    const struct vf_exp_log *lb = b;

    if (la->device != lb->device)
        return la->device < lb->device ? -1 : 1;
    int cmp = la->desk && lb->desk ? memcmp(la->peek.id.b, lb->peek.id.b, VF_HASH_LEN) : (int)la->desk - (int)lb->desk;
    if (cmp != 0)
        return cmp;
    if (la->peek.last_size != lb->peek.last_size)
        return la->peek.last_size < lb->peek.last_size ? -1 : 1;
    if (la->copy != lb->copy)
        return la->copy ? -1 : 1;
    return strcmp(la->path, lb->path);
}

/* A log, or the store of a key desk: then all that are in it. */
static enum vf_err add_given(struct vf_exposure *x, const char *path, struct vf_why *why)
{
    char **paths = NULL;
    size_t n = 0;

    VF_TRY(vf_case_desk_store(path, &paths, &n, why));
    enum vf_err err = n == 0 ? add_log(x, path, VF_EXP_NONE, true, why) : VF_OK;
    for (size_t i = 0; i < n && err == VF_OK; i++)
        err = add_log(x, paths[i], VF_EXP_NONE, true, why);
    vf_case_paths_free(paths, n);
    return err;
}

enum vf_err vf_exp_logs_find(struct vf_exposure *x, struct vf_why *why)
{
    for (size_t i = 0; i < x->opt.nlogs; i++)
        VF_TRY(add_given(x, x->opt.logs[i], why));
    for (uint32_t d = 0; d < x->c->ndevices; d++)
        if (x->devices[d].in_scope && x->c->devices[d].handin_dir != NULL)
            VF_TRY(add_log(x, x->c->devices[d].handin_dir, d, false, why));
    if (x->nlogs > 1)
        qsort(x->logs, x->nlogs, sizeof(*x->logs), by_length);
    return VF_OK;
}

/* -------------------------------------------------------------------------------------------------------------------- reading */

enum vf_err vf_exp_logs_read(struct vf_exposure *x, struct vf_why *why)
{
    VF_FREE struct vf_note *held = calloc((size_t)x->nlogs + 1, sizeof(*held));
    size_t nheld = 0;

    if (held == NULL)
        return nomem(x, why);
    for (uint32_t i = 0; i < x->nlogs; i++) {
        struct vf_exp_log *l = &x->logs[i];
        if (i == 0 || x->logs[i - 1].device != l->device || l->device == VF_EXP_NONE)
            nheld = 0;
        if (l->state == VF_EXP_LOG_UNREADABLE || l->desk)
            continue;
        VF_TRY(vf_exp_entries_take(x, i, held, nheld, why));
        if (l->state == VF_EXP_LOG_GOOD && l->peek.last.len > 0 &&
            vf_note_parse(l->peek.last.data, l->peek.last.len, &held[nheld], NULL) == VF_OK)
            nheld++;
    }
    return VF_OK;
}

/* -------------------------------------------------------------------------------------------------------------------- judging */

/* How much there is at least, by what a log says of itself, good or not. */
static uint64_t claimed(const struct vf_exp_log *l)
{
    uint64_t n = l->peek.last_size;

    return l->verdict != NULL && l->verdict->entries > n ? l->verdict->entries : n;
}

static void choose(struct vf_exposure *x, uint32_t d, uint64_t *ret_most, bool *ret_any)
{
    struct vf_exp_device *dev = &x->devices[d];

    *ret_most = x->c->devices[d].handin_size;
    *ret_any = false;
    dev->log = VF_EXP_NONE;
    for (uint32_t i = 0; i < x->nlogs; i++) {
        const struct vf_exp_log *l = &x->logs[i];
        if (l->device != d)
            continue;
        *ret_any = true;
        if (l->state != VF_EXP_LOG_GOOD) {
            /* One that is bad and longer: what it holds more than the good ones is not known. */
            if (claimed(l) > *ret_most)
                *ret_most = claimed(l);
            continue;
        }
        if (l->verdict->sealed > *ret_most)
            *ret_most = l->verdict->sealed;
        const struct vf_exp_log *best = dev->log != VF_EXP_NONE ? &x->logs[dev->log] : NULL;
        /* Of two that sealed as much, the folder: it has what came after, and speaks for longer. */
        if (best == NULL || l->verdict->sealed > best->verdict->sealed ||
            (l->verdict->sealed == best->verdict->sealed && best->copy && !l->copy))
            dev->log = i;
    }
}

/* Is there one that could have been used, but is bad? */
static bool bad_one(const struct vf_exposure *x, uint32_t d)
{
    for (uint32_t i = 0; i < x->nlogs; i++)
        if (x->logs[i].device == d && x->logs[i].state != VF_EXP_LOG_GOOD)
            return true;
    return false;
}

/*
 * Is there a bad one that may hold what the chosen one does not: another end of the same log (its computer ran twice), or as many entries?
 */
static bool bad_fork(const struct vf_exposure *x, uint32_t d)
{
    for (uint32_t i = 0; i < x->nlogs; i++) {
        const struct vf_exp_log *l = &x->logs[i];
        if (l->device == d && l->state != VF_EXP_LOG_GOOD &&
            ((l->verdict != NULL && l->verdict->forked) || claimed(l) >= x->logs[x->devices[d].log].verdict->sealed))
            return true;
    }
    return false;
}

/* A folder that was given and is shorter than what was handed in: its end was cut. */
static bool folder_is_cut(const struct vf_exposure *x, uint32_t d, uint64_t most)
{
    bool any = false;
    uint64_t longest = 0;

    for (uint32_t i = 0; i < x->nlogs; i++) {
        const struct vf_exp_log *l = &x->logs[i];
        if (l->device != d || l->copy || l->state != VF_EXP_LOG_GOOD)
            continue;
        any = true;
        if (l->verdict->sealed > longest)
            longest = l->verdict->sealed;
    }
    return any && longest < most;
}

/*
 * Did a writer of this log end without an orderly end? What nobody had sealed yet can then be gone without a trace. A mount without its end
 * at the end of a copy was still there when it was handed in: what came later is judged by what a copy speaks for.
 */
static bool killed(const struct vf_exp_log *l)
{
    const struct vf_verdict *v = l->verdict;

    return l->killed > 0 || v->unclosed > 0 || v->recoveries > 0 || v->torn_bytes > 0 || (l->open && !l->copy);
}

static void judge(struct vf_exposure *x, uint32_t d)
{
    const struct vf_exposure_options *o = &x->opt;
    struct vf_exp_device *dev = &x->devices[d];
    bool statement = o->has_compromised && o->device_off && o->passphrase_safe;
    uint64_t most = 0;
    bool any = false;

    choose(x, d, &most, &any);
    if (dev->log == VF_EXP_NONE) {
        dev->no_log = !any && x->c->devices[d].handin_size == 0;
        dev->damaged = any;
        dev->cut = !any && x->c->devices[d].handin_size > 0;
    } else {
        struct vf_exp_log *l = &x->logs[dev->log];
        const struct vf_verdict *v = l->verdict;
        l->used = true;
        dev->speaks_until_us = l->copy ? v->sealed_until_us : v->last_us;
        dev->cut = v->sealed < most || folder_is_cut(x, d, most);
        dev->damaged = (dev->cut && bad_one(x, d)) || bad_fork(x, d);
        dev->gap = v->gaps > 0 || v->lost > 0;
        dev->killed = killed(l);
    }
    for (uint32_t i = 0; i < x->nlogs; i++)
        if (statement && x->logs[i].device == d && x->logs[i].verdict != NULL && x->logs[i].verdict->entries > 0 &&
            x->logs[i].verdict->last_us > o->compromised_us)
            dev->contradicted = true;
    bool adds_nothing = statement && !dev->contradicted;
    if (dev->log != VF_EXP_NONE && x->logs[dev->log].copy) {
        /* How far must it speak? To the end of the question, or to where the statement begins. */
        bool bounded = o->has_until || adds_nothing;
        int64_t to = o->has_until ? o->until_us : INT64_MAX;
        if (adds_nothing && o->compromised_us < to)
            to = o->compromised_us;
        dev->after_handin =
            !bounded || dev->speaks_until_us - VF_EXP_CLOCK_US < to || vf_exp_clock_wrong(&x->logs[dev->log], o->now_us);
    }
    dev->compromised = o->has_compromised && !adds_nothing && (!o->has_until || o->until_us >= o->compromised_us);
}

void vf_exp_logs_judge(struct vf_exposure *x)
{
    for (uint32_t d = 0; d < x->c->ndevices; d++)
        judge(x, d);
}
