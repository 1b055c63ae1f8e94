/* SPDX-License-Identifier: MIT */
/*
 * The pass over one log. What an entry says is noted as pending; when the log is judged, pending becomes the word that this log is worth. An
 * entry costs a few lookups and no memory, except for refs and grants that nobody knows, of which there is a bounded number.
 */
#include "exp.h"

#include <stdlib.h>
#include <string.h>

#define VF_EXP_SESSION_LEN 32u

/*
 * A read on its way to its cell. Which ref comes next is anybody's guess, and a cell that is not in the processor's cache costs more than all
 * else that is done for an entry here. So reads wait in a short queue: when one enters it, the place of its ref is fetched; halfway, its
 * cell; and each is put where it belongs when it leaves. Their order stays as it was.
 */
#define HALFWAY 8u
struct waiting {
    struct vf_ref ref;
    uint32_t at; /* from halfway on; VF_CASE_NONE: there is no room for it */
    unsigned part;
    bool in; /* the window */
    struct vf_exp_read what;
};

struct pass {
    struct vf_exposure *x;
    struct vf_exp_log *log;
    /* The grant of the entry before: mostly the same. */
    bool has_grant, has_many;
    struct vf_grant_id id;
    uint32_t source, many; /* `many`: stands for those for which there is no room */
    /* Likewise the fields. */
    char fields_text[256];
    size_t fields_len;
    vf_field_set fields;
    /* The mount that has not ended yet. */
    char session[VF_EXP_SESSION_LEN];
    int64_t last_us;
    uint64_t nreads; /* that entered the queue */
    struct waiting queue[2 * HALFWAY];
};

static bool device_counts(const struct vf_exposure *x, uint32_t device)
{
    return x->opt.scope == VF_EXPOSURE_ALL || device == VF_EXP_NONE || x->devices[device].in_scope;
}

/* ------------------------------------------------------------------------------------------------------------------ the grant */

/* Strays follow the grants. */
static uint32_t find_stray(const struct vf_exposure *x, const struct vf_grant_id *id, uint32_t device)
{
    for (uint32_t i = x->c->ngrants; i < x->nsources; i++)
        if ((x->sources[i].device == device || x->sources[i].online) &&
            memcmp(x->sources[i].id.c, id->c, VF_GRANT_ID_LEN) == 0)
            return i;
    return VF_EXP_NONE;
}

static enum vf_err add_stray(struct pass *p, const struct vf_entry_view *e, struct vf_why *why)
{
    struct vf_exposure *x = p->x;
    struct vf_case_stray s = {.id = p->id, .time_us = e->time_us};

    p->source = find_stray(x, &p->id, p->log->device);
    if (p->source != VF_EXP_NONE)
        return VF_OK;
    if (x->nsources - x->c->ngrants >= VF_EXP_STRAYS_MAX + x->c->nstrays) {
        /* One stands for all the others: it may name everybody. */
        x->many_strays = true;
        if (!p->has_many)
            VF_TRY(vf_exp_sources_stray(x, &s, p->log->device, &p->many, why));
        p->has_many = true;
        p->source = p->many;
        return VF_OK;
    }
    s.has_manifest = e->manifest.p != NULL && vf_unhex(e->manifest.p, e->manifest.len, s.manifest.b, VF_HASH_LEN);
    return vf_exp_sources_stray(x, &s, p->log->device, &p->source, why);
}

static enum vf_err take_grant(struct pass *p, const struct vf_entry_view *e, struct vf_why *why)
{
    if (e->grant.p == NULL) {
        p->has_grant = false;
        p->source = VF_EXP_NONE;
        return VF_OK;
    }
    if (p->has_grant && memcmp(p->id.c, e->grant.p, VF_GRANT_ID_LEN) == 0)
        return VF_OK;
    memcpy(p->id.c, e->grant.p, VF_GRANT_ID_LEN);
    p->has_grant = true;
    p->source = vf_case_grant_find(p->x->c, &p->id);
    p->log->known += p->source != VF_EXP_NONE ? 1 : 0;
    return p->source == VF_EXP_NONE ? add_stray(p, e, why) : VF_OK;
}

/* Does the entry concern the question? Where that is not certain, it does. */
static bool in_scope(const struct pass *p)
{
    const struct vf_exposure *x = p->x;

    if (p->source == VF_EXP_NONE)
        return device_counts(x, p->log->device);
    const struct vf_exp_source *s = &x->sources[p->source];
    if (s->in_scope)
        return true;
    return x->opt.scope == VF_EXPOSURE_DEVICE && device_counts(x, p->log->device);
}

/* ------------------------------------------------------------------------------------------------------------------- reading */

static vf_field_set fields_of(struct pass *p, const struct vf_entry_text *t)
{
    if (t->p == NULL)
        return 0;
    if (t->len == p->fields_len && memcmp(t->p, p->fields_text, t->len) == 0)
        return p->fields;
    vf_field_set set = vf_case_entry_fields(t);
    if (t->len <= sizeof(p->fields_text)) {
        memcpy(p->fields_text, t->p, t->len);
        p->fields_len = t->len;
        p->fields = set;
    }
    return set;
}

/* Was it within the time that was asked about? By the device's clock, so in doubt it was. */
static bool in_window(const struct vf_exposure *x, const struct vf_entry_view *e)
{
    const struct vf_exposure_options *o = &x->opt;
    int64_t from = (e->event == VF_EVENT_REPEAT ? e->time_us - VF_EXP_REPEAT_US : e->time_us) - VF_EXP_CLOCK_US;
    int64_t to = e->time_us + VF_EXP_CLOCK_US;

    return (!o->has_since || to >= o->since_us) && (!o->has_until || from <= o->until_us);
}

static void note_read(const struct vf_exposure *x, const struct vf_entry_view *e, struct vf_exp_read *in,
                      struct vf_exp_read *out, const struct vf_exp_read *what)
{
    vf_exp_read_merge(in_window(x, e) ? in : out, what);
}

enum vf_err vf_exp_ref_find(struct vf_exposure *x, const struct vf_ref *ref, uint32_t *ret, struct vf_why *why)
{
    *ret = vf_case_find(x->c, ref);
    if (*ret != VF_CASE_NONE)
        return VF_OK;
    if (x->nstrangers >= VF_CASE_STRANGERS_MAX) {
        x->ntoo_many++;
        return VF_OK;
    }
    VF_TRY(vf_case_intern(x->c, ref, ret, why));
    x->nstrangers++;
    return vf_exp_cells_fit(x, why);
}

static struct waiting *nth(struct pass *p, uint64_t n)
{
    return &p->queue[n % (sizeof(p->queue) / sizeof(p->queue[0]))];
}

static struct vf_exp_read *cell_of(const struct vf_exposure *x, const struct waiting *w)
{
    return &(w->in ? x->now_in : x->now_out)[(size_t)w->at * 2 + w->part];
}

static enum vf_err find_cell(const struct pass *p, struct waiting *w, struct vf_why *why)
{
    struct vf_exposure *x = p->x;

    VF_TRY(vf_exp_ref_find(x, &w->ref, &w->at, why));
    if (w->at == VF_CASE_NONE)
        return VF_OK;
    p->log->known += w->at < x->c->nrefs - x->nstrangers ? 1 : 0;
    __builtin_prefetch(cell_of(x, w), 1);
    return VF_OK;
}

static void put_read(const struct pass *p, const struct waiting *w)
{
    struct vf_exposure *x = p->x;
    uint32_t source = w->what.source;

    if (w->at == VF_CASE_NONE)
        return;
    vf_exp_read_merge(cell_of(x, w), &w->what);
    x->touched[w->at] = 1;
    if (source != VF_EXP_NONE && x->sources[source].online)
        vf_exp_desk_check_read(x, &x->sources[source], w->part, w->at);
}

static enum vf_err read_refs(struct pass *p, const struct vf_entry_view *e, unsigned part, const struct vf_exp_read *what,
                             struct vf_why *why)
{
    size_t n = vf_case_entry_refs(e);
    bool in = in_window(p->x, e);

    for (size_t i = 0; i < n; i++) {
        struct waiting *w = nth(p, p->nreads);
        if (p->nreads >= 2 * HALFWAY)
            put_read(p, w);
        *w = (struct waiting){.ref = vf_case_entry_ref(e, i), .part = part, .in = in, .what = *what};
        vf_case_find_soon(p->x->c, &w->ref);
        p->nreads++;
        if (p->nreads > HALFWAY)
            VF_TRY(find_cell(p, nth(p, p->nreads - 1 - HALFWAY), why));
    }
    return VF_OK;
}

/* At the end: who is still in the queue. */
static enum vf_err finish_reads(struct pass *p, struct vf_why *why)
{
    for (uint64_t n = p->nreads > HALFWAY ? p->nreads - HALFWAY : 0; n < p->nreads; n++)
        VF_TRY(find_cell(p, nth(p, n), why));
    for (uint64_t n = p->nreads > 2 * HALFWAY ? p->nreads - 2 * HALFWAY : 0; n < p->nreads; n++)
        put_read(p, nth(p, n));
    p->nreads = 0;
    return VF_OK;
}

/* The list that the entry names, and that of its grant, should they differ. One that nobody knows may be everybody. */
static void read_all(const struct pass *p, const struct vf_entry_view *e, unsigned part, const struct vf_exp_read *what)
{
    struct vf_exposure *x = p->x;
    uint32_t granted = p->source != VF_EXP_NONE ? x->sources[p->source].manifest : VF_EXP_NONE;
    uint32_t named = VF_EXP_NONE;
    struct vf_hash hash;

    if (e->manifest.p != NULL && vf_unhex(e->manifest.p, e->manifest.len, hash.b, VF_HASH_LEN))
        named = vf_case_manifest_find(x->c, &hash);
    if (named == VF_EXP_NONE)
        named = e->manifest.p == NULL && granted != VF_EXP_NONE ? granted : x->c->nmanifests;
    if (p->source != VF_EXP_NONE && x->sources[p->source].online)
        vf_exp_desk_check_read(x, &x->sources[p->source], part, VF_EXP_NONE);
    note_read(x, e, &x->all_now_in[(size_t)named * 2 + part], &x->all_now_out[(size_t)named * 2 + part], what);
    if (granted != VF_EXP_NONE && granted != named)
        note_read(x, e, &x->all_now_in[(size_t)granted * 2 + part], &x->all_now_out[(size_t)granted * 2 + part], what);
}

static enum vf_err take_read(struct pass *p, const struct vf_entry_view *e, bool sealed, struct vf_why *why)
{
    vf_field_set fields = fields_of(p, &e->fields);
    /* What the fields say counts as well as what the part says, and a part that is neither is both. */
    bool text = !vf_case_text_is(&e->part, "image") || (fields & vf_exp_part_mask(VF_PART_TEXT)) != 0;
    bool image = !vf_case_text_is(&e->part, "text") || (fields & VF_EXP_IMAGES) != 0;
    uint32_t theirs = p->source != VF_EXP_NONE ? p->x->sources[p->source].device : VF_EXP_NONE;

    p->log->reads++;
    p->log->odd_reads += vf_case_text_is(&e->result, "ok") ? 0 : 1;
    p->log->foreign_reads += theirs != VF_EXP_NONE && theirs != p->log->device ? 1 : 0;
    p->log->unsealed_reads += sealed ? 0 : 1;
    for (unsigned part = 0; part < VF_PART_COUNT; part++) {
        if (part == VF_PART_IMAGE ? !image : !text)
            continue;
        const struct vf_exp_read what = {.first_us = e->time_us,
                                         .last_us = e->time_us,
                                         .fields = fields & vf_exp_part_mask(part),
                                         .source = p->source,
                                         .pending = sealed ? 1 : 2};
        if (e->all || e->refs.p == NULL)
            read_all(p, e, part, &what);
        else
            VF_TRY(read_refs(p, e, part, &what, why));
    }
    return VF_OK;
}

/* A session that follows a mount without its unmount: that mount was killed. */
static void follow_mount(struct pass *p, const struct vf_entry_view *e)
{
    struct vf_exp_log *l = p->log;
    bool has = e->session.p != NULL && e->session.len == sizeof(p->session);
    bool same = has && memcmp(e->session.p, p->session, sizeof(p->session)) == 0;

    if (l->open && !same) {
        l->killed++;
        l->killed_us = p->last_us;
        l->open = false;
    }
    if (e->event == VF_EVENT_UNMOUNT)
        l->open = false;
    if (e->event == VF_EVENT_MOUNT && has) {
        memcpy(p->session, e->session.p, sizeof(p->session));
        l->open = true;
    }
    p->last_us = e->time_us;
}

static enum vf_err each_entry(void *user, const struct vf_entry_view *e, bool sealed, struct vf_why *why)
{
    struct pass *p = user;

    follow_mount(p, e);
    bool read = e->event == VF_EVENT_OPEN || e->event == VF_EVENT_REPEAT || e->event == VF_EVENT_RELEASE;

    /* Whatever names a grant shows that there is one: also what was refused (and the log of a vault that was lost may be given). */
    VF_TRY(take_grant(p, e, why));
    return read && in_scope(p) ? take_read(p, e, sealed, why) : VF_OK;
}

/* ------------------------------------------------------------------------------------------------------------- after the pass */

/* The words that the entries of this log are worth. */
struct worth {
    uint8_t sealed, unsealed;
    bool steps; /* its clock was moved: nobody knows what was within the window, so all of it was */
};

static void settle(struct vf_exp_read *now, struct vf_exp_read *to, const struct worth *w)
{
    if (now->pending == 0)
        return;
    now->word = now->pending == 1 ? w->sealed : w->unsealed;
    now->pending = 0;
    vf_exp_read_merge(to, now);
    *now = (struct vf_exp_read){0};
}

static void settle_pair(struct vf_exp_read *now_in, struct vf_exp_read *now_out, struct vf_exp_read *in,
                        struct vf_exp_read *out, const struct worth *w)
{
    if (w->steps) {
        vf_exp_read_merge(now_in, now_out);
        *now_out = (struct vf_exp_read){0};
    }
    settle(now_in, in, w);
    settle(now_out, out, w);
}

static void settle_all(struct vf_exposure *x, const struct vf_exp_log *l)
{
    const uint8_t bad = l->device == VF_EXP_NONE ? VF_EXPOSED_LOG_UNKNOWN : VF_EXPOSED_LOG_DAMAGED;
    bool good = l->state == VF_EXP_LOG_GOOD;
    const struct worth w = {.sealed = good ? VF_EXPOSED_LOG : bad,
                            .unsealed = good ? VF_EXPOSED_LOG_UNSEALED : bad,
                            .steps = vf_exp_clock_wrong(l, x->opt.now_us)};

    for (size_t i = 0; i < (size_t)x->c->nrefs * 2; i++) {
        struct vf_exp_cell *c = &x->cells[i];
        settle_pair(&x->now_in[i], &x->now_out[i], &c->in, &c->out, &w);
    }
    for (size_t i = 0; i < ((size_t)x->c->nmanifests + 1) * 2; i++)
        settle_pair(&x->all_now_in[i], &x->all_now_out[i], &x->all_in[i], &x->all_out[i], &w);
}

static void take_verdict(struct vf_exp_log *l, enum vf_err err, const struct vf_why *reason)
{
    const struct vf_verdict *v = l->verdict;

    if (err != VF_OK) {
        l->state = VF_EXP_LOG_UNREADABLE;
        (void)snprintf(l->words, sizeof(l->words), "%.319s", reason->text);
    } else if (!v->good) {
        l->state = l->device != VF_EXP_NONE ? VF_EXP_LOG_DAMAGED : VF_EXP_LOG_STRANGE;
        (void)snprintf(l->words, sizeof(l->words), "%.319s", v->nfindings > 0 ? v->findings[0] : "it does not verify");
    } else if (l->device != VF_EXP_NONE && !v->origin_checked) {
        l->state = VF_EXP_LOG_DAMAGED;
        (void)snprintf(l->words, sizeof(l->words), "its origin was not signed by the device");
    }
}

static void on_progress(void *user, uint64_t done, uint64_t total)
{
    const struct pass *p = user;

    if (p->x->opt.progress != NULL)
        p->x->opt.progress(p->x->opt.user, done, total);
}

enum vf_err vf_exp_entries_take(struct vf_exposure *x, uint32_t log, const struct vf_note *held, size_t nheld,
                                struct vf_why *why)
{
    struct vf_exp_log *l = &x->logs[log];
    struct pass p = {.x = x, .log = l, .source = VF_EXP_NONE};
    struct vf_why reason = {0};
    struct vf_note_key key;
    struct vf_verify_options opt = {
        .checkpoints = held, .ncheckpoints = nheld, .each = each_entry, .user = &p, .progress = on_progress};

    if (l->device != VF_EXP_NONE) {
        const struct vf_enrol *e = &x->c->devices[l->device].enrol;
        vf_note_key_of(&e->device, &key);
        opt.signers = &key;
        opt.nsigners = 1;
        opt.log_id = &e->log_id;
    }
    l->verdict = calloc(1, sizeof(*l->verdict));
    if (l->verdict == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", l->path);
    enum vf_err err = vf_log_verify(l->path, &opt, l->verdict, &reason);
    if (err == VF_E_NOMEM)
        return vf_fail(why, err, "%s", reason.text);
    VF_TRY(finish_reads(&p, why));
    take_verdict(l, err, &reason);
    settle_all(x, l);
    return VF_OK;
}
