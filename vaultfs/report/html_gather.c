/* SPDX-License-Identifier: MIT */
/* The logs of a report: found, told apart, each verified, and those that count read. */
#include "html_report.h"

#include <stdlib.h>
#include <string.h>

/*
 * The same log may be given several times: the station's folder, the copy that it handed in, and a folder that somebody made of it.
 *   1  of those that say that they are the same log, each is verified by itself
 *   2  the best one counts: good before bad, then what is proven of it, a folder before a copy
 *   3  it is read, and must contain what the other good ones end with
 *   4  of the others, those that are not proven to be its beginning are read for what only they tell (html_fork.c)
 */
struct copies {
    struct vf_log_peek peek;
    bool peeked;
    bool judged;       /* step 1 was done: it has a verdict, or a reason why not */
    size_t nfindings;  /* then */
    bool is_beginning; /* of the one that counts: proven */
};
struct gather {
    struct vf_report *r;
    const struct vf_report_options *opt;
    struct copies *copy;
    size_t n;
    size_t given;  /* of them, the first */
    char **stores; /* paths of logs in stores of key desks that were given */
    size_t nstores;
};

static void gather_done(struct gather *g)
{
    vf_case_paths_free(g->stores, g->nstores);
    for (size_t i = 0; g->copy != NULL && i < g->n; i++)
        if (g->copy[i].peeked)
            vf_log_peek_done(&g->copy[i].peek);
    free(g->copy);
}

/* ------------------------------------------------------------------------------------------------------------------- paths */

struct paths {
    const char *v[VF_REPORT_LOGS_MAX];
    size_t n;
    uint64_t left;
};

static void add_path(struct paths *p, const char *path)
{
    if (p->n < VF_REPORT_LOGS_MAX)
        p->v[p->n++] = path;
    else
        p->left++;
}

/* A log that was given; or the store of a key desk, and then every log in it. */
static enum vf_err add_given(struct gather *g, const char *path, struct paths *p, struct vf_why *why)
{
    char **found = NULL;
    size_t n = 0;

    VF_TRY(vf_case_desk_store(path, &found, &n, why));
    if (n == 0) {
        add_path(p, path);
        return VF_OK;
    }
    char **more = reallocarray(g->stores, g->nstores + n, sizeof(*more));
    if (more == NULL) {
        vf_case_paths_free(found, n);
        return vf_fail(why, VF_E_NOMEM, "no memory for the logs in %s", path);
    }
    g->stores = more;
    for (size_t i = 0; i < n; i++) {
        g->stores[g->nstores++] = found[i];
        add_path(p, found[i]);
    }
    free(found);
    return VF_OK;
}

/* Those given, the vault's own, and what its devices handed in. */
static enum vf_err find_paths(struct gather *g, const struct vf_report_options *opt, struct paths *p, struct vf_why *why)
{
    const struct vf_report *r = g->r;

    for (size_t i = 0; i < opt->nlogs; i++)
        VF_TRY(add_given(g, opt->logs[i], p, why));
    g->given = p->n;
    for (size_t i = 0; r->vault != NULL && i < r->vault->nlogs; i++)
        add_path(p, r->vault->logs[i].path);
    for (size_t i = 0; r->vault != NULL && i < r->vault->ndevices; i++)
        if (r->vault->devices[i].handin_dir != NULL)
            add_path(p, r->vault->devices[i].handin_dir);
    if (p->left > 0)
        return vf_fail(why, VF_E_LIMIT, "a report takes %d logs at most: give them with --log, and leave --vault out",
                       VF_REPORT_LOGS_MAX);
    return VF_OK;
}

/* ------------------------------------------------------------------------------------------------------------------- labels */

static void label(struct vf_report *r, struct vf_log_facts *l)
{
    const char *kind = l->origin.kind == VF_LOG_VAULT  ? "the vault"
                       : l->origin.kind == VF_LOG_DESK ? "the desk"
                                                       : "the station";
    char base[sizeof(l->label)];
    unsigned same = 0;

    if (!l->has_origin)
        (void)snprintf(base, sizeof(base), "an unknown computer");
    else if (l->origin.kind == VF_LOG_VAULT)
        (void)snprintf(base, sizeof(base), "%s", kind);
    else
        (void)snprintf(base, sizeof(base), "%s %s", kind, l->origin.owner);
    for (struct vf_log_facts *o = r->f.log; o < l; o++)
        same += strncmp(o->label, base, strlen(base)) == 0 && o->same_as == SIZE_MAX ? 1 : 0;
    if (l->same_as != SIZE_MAX)
        (void)snprintf(l->label, sizeof(l->label), "%s", r->f.log[l->same_as].label);
    else if (same > 0)
        (void)snprintf(l->label, sizeof(l->label), "%.100s (%u)", base, same + 1);
    else
        (void)snprintf(l->label, sizeof(l->label), "%s", base);
}

/* --------------------------------------------------------------------------------------------------------------- verification */

struct reading {
    struct vf_facts *f;
    const struct vf_report_options *opt;
};

static enum vf_err take(void *user, const struct vf_entry_view *e, bool sealed, struct vf_why *why)
{
    struct reading *d = user;

    return vf_facts_take(d->f, e, sealed, why);
}

static void progress(void *user, uint64_t done, uint64_t total)
{
    struct reading *d = user;

    if (d->opt->progress != NULL)
        d->opt->progress(d->opt->user, done, total);
}

/* What the good copies of the same log end with: this one must contain it. What a bad one ends with says nothing. */
static size_t held_notes(const struct gather *g, size_t i, struct vf_note *notes)
{
    const struct vf_facts *f = &g->r->f;
    size_t n = 0;

    for (size_t j = 0; j < g->n; j++) {
        const struct copies *c = &g->copy[j];
        if (j == i || f->log[j].same_as != i || f->log[j].verdict == NULL || !f->log[j].verdict->good ||
            c->peek.last.len == 0)
            continue;
        if (vf_note_parse(c->peek.last.data, c->peek.last.len, &notes[n], NULL) == VF_OK)
            n++;
    }
    return n;
}

/* The one that counts turned out to contain all that it must: then good ones without an end of their own are its beginning. */
static void note_beginnings(struct gather *g, size_t i)
{
    const struct vf_facts *f = &g->r->f;
    const struct vf_verdict *best = f->log[i].verdict;

    if (!g->copy[i].judged || !best->good || best->nfindings != g->copy[i].nfindings)
        return;
    for (size_t j = 0; j < g->n; j++) {
        const struct vf_verdict *v = f->log[j].verdict;
        struct vf_note note;
        if (f->log[j].same_as == i && v != NULL && v->good && v->entries == v->sealed &&
            g->copy[j].peek.last_size == v->sealed &&
            (v->sealed == 0 || vf_note_parse(g->copy[j].peek.last.data, g->copy[j].peek.last.len, &note, NULL) == VF_OK))
            g->copy[j].is_beginning = true;
    }
}

/* The vault remembers how much it was handed in, and has the copy: a log that is shorter was cut. */
static void compare_handin(const struct gather *g, struct vf_log_facts *l, uint32_t owner)
{
    struct vf_verdict *v = l->verdict;
    const struct vf_case *vault = g->r->vault;

    if (owner == VF_CASE_NONE || l->same_as != SIZE_MAX || vault->backup || vault->devices[owner].handin_size <= v->sealed ||
        v->nfindings == VF_VERDICT_FINDINGS_MAX)
        return;
    (void)snprintf(v->findings[v->nfindings++], sizeof(v->findings[0]),
                   "%llu entries of it were handed in to the force, and %llu proven ones are here: its end was cut off",
                   (unsigned long long)vault->devices[owner].handin_size, (unsigned long long)v->sealed);
    v->good = false;
}

/* `facts`: tell what it says to the report, else only the verdict. */
static enum vf_err verify(struct gather *g, size_t i, bool facts, struct vf_why *why)
{
    struct vf_log_facts *l = &g->r->f.log[i];
    const struct vf_case *vault = g->r->vault;
    struct reading d = {.f = &g->r->f, .opt = g->opt};
    struct vf_verify_options o = {.user = &d, .progress = progress, .each = facts ? take : NULL};
    struct vf_note_key device = {.name = "nobody"};
    VF_FREE struct vf_note_key *keys = NULL;
    VF_FREE struct vf_note *notes = calloc(g->n, sizeof(*notes));
    uint32_t owner = vault != NULL ? vf_case_device_by_log(vault, &l->id) : VF_CASE_NONE;

    if (l->verdict == NULL)
        l->verdict = malloc(sizeof(*l->verdict));
    if (l->verdict == NULL || notes == NULL)
        return vf_fail(why, VF_E_NOMEM, "no memory for %s", l->path);
    memset(l->verdict, 0, sizeof(*l->verdict));
    if (owner != VF_CASE_NONE) {
        vf_note_key_of(&vault->devices[owner].enrol.device, &device);
        o.signers = &device;
        o.nsigners = 1;
        o.log_id = &vault->devices[owner].enrol.log_id;
        l->device = true;
    } else if (vault != NULL && vault->has_policy && l->has_origin && l->origin.kind == VF_LOG_VAULT) {
        VF_TRY(vf_policy_chain_signers(&vault->chain, &keys, &o.nsigners, why));
        o.signers = keys;
    } else if (vault != NULL && vault->has_policy && l->has_origin && l->origin.kind == VF_LOG_DESK) {
        /* Where no policy names a desk, nobody may have begun it. */
        VF_TRY(vf_policy_chain_desks(&vault->chain, &keys, &o.nsigners, why));
        o.signers = o.nsigners > 0 ? keys : &device;
        o.nsigners = o.nsigners > 0 ? o.nsigners : 1;
    }
    o.ncheckpoints = facts ? held_notes(g, i, notes) : 0;
    o.checkpoints = notes;
    if (facts)
        vf_facts_start(&g->r->f, i);
    enum vf_err err = vf_log_verify(l->path, &o, l->verdict, why);
    if (facts)
        vf_facts_stop(&g->r->f);
    if (err == VF_OK && facts) {
        note_beginnings(g, i);
        compare_handin(g, l, owner);
    }
    return err;
}

/* One that cannot be read is told: of the others there is much to say. But a place where nothing is was mistyped. */
static enum vf_err verify_or_tell(struct gather *g, size_t i, bool facts, struct vf_why *why)
{
    struct vf_log_facts *l = &g->r->f.log[i];
    struct vf_why own = {0};
    enum vf_err err = verify(g, i, facts, &own);

    if (err == VF_OK)
        return VF_OK;
    if (err == VF_E_NOMEM || (err == VF_E_NOT_FOUND && i < g->given))
        return vf_fail(why, err, "%s", own.text);
    vf_facts_unread(l, err, own.text);
    return VF_OK;
}

/* ------------------------------------------------------------------------------------------------------------------- choosing */

static bool same_log(const struct gather *g, size_t i, size_t j)
{
    return g->copy[i].peeked && g->copy[j].peeked &&
           memcmp(&g->r->f.log[i].id, &g->r->f.log[j].id, sizeof(struct vf_hash)) == 0;
}

static enum vf_err judge(struct gather *g, struct vf_why *why)
{
    for (size_t i = 0; i < g->n; i++) {
        struct vf_log_facts *l = &g->r->f.log[i];
        bool alone = true;
        for (size_t j = 0; j < g->n && alone; j++)
            alone = j == i || !same_log(g, i, j);
        if (alone)
            continue;
        VF_TRY(verify_or_tell(g, i, false, why));
        g->copy[i].judged = true;
        g->copy[i].nfindings = l->verdict != NULL ? l->verdict->nfindings : 0;
    }
    return VF_OK;
}

/* What a log says of itself comes last: before that, what of it is proven. */
static bool better(const struct gather *g, size_t a, size_t b)
{
    const struct vf_verdict *x = g->r->f.log[a].verdict;
    const struct vf_verdict *y = g->r->f.log[b].verdict;

    if (x == NULL || y == NULL)
        return x != NULL;
    if (x->good != y->good)
        return x->good;
    if (x->sealed != y->sealed)
        return x->sealed > y->sealed;
    if (g->copy[a].peek.copy != g->copy[b].peek.copy)
        return g->copy[b].peek.copy;
    if (x->entries != y->entries)
        return x->entries > y->entries;
    return false;
}

static void choose(struct gather *g)
{
    struct vf_facts *f = &g->r->f;

    for (size_t i = 0; i < g->n; i++) {
        size_t best = SIZE_MAX;
        for (size_t j = 0; j < g->n; j++)
            if ((j == i || same_log(g, i, j)) && (best == SIZE_MAX || better(g, j, best)))
                best = j;
        if (best != i)
            f->log[i].same_as = best;
    }
    for (size_t i = 0; i < g->n; i++)
        if (f->log[i].same_as == SIZE_MAX)
            label(g->r, &f->log[i]);
    for (size_t i = 0; i < g->n; i++)
        if (f->log[i].same_as != SIZE_MAX)
            label(g->r, &f->log[i]);
}

/* Step 4, of the log that counts and its copies. */
static enum vf_err read_others(struct gather *g, size_t best, struct vf_why *why)
{
    struct vf_facts *f = &g->r->f;
    VF_FREE size_t *known = calloc(g->n, sizeof(*known));
    size_t n = 0;

    if (known == NULL)
        return vf_fail(why, VF_E_NOMEM, "no memory for the report");
    if (f->log[best].verdict != NULL)
        known[n++] = best;
    for (size_t i = 0; i < g->n; i++) {
        if (f->log[i].same_as != best || f->log[i].verdict == NULL || g->copy[i].is_beginning)
            continue;
        VF_TRY(vf_report_fork(f, i, known, n, why));
        known[n++] = i;
    }
    return VF_OK;
}

static enum vf_err look(struct gather *g, const struct paths *p, struct vf_why *why)
{
    for (size_t i = 0; i < p->n; i++) {
        struct vf_log_facts *l = &g->r->f.log[i];
        struct copies *c = &g->copy[i];
        l->path = strdup(p->v[i]);
        if (l->path == NULL)
            return vf_fail(why, VF_E_NOMEM, "no memory for a path");
        /* What it says it is; whether that is true, verification tells. */
        enum vf_err err = vf_log_peek(l->path, &c->peek, why);
        if (err == VF_E_NOMEM)
            return err;
        c->peeked = err == VF_OK;
        if (!c->peeked)
            continue;
        l->id = c->peek.id;
        l->origin = c->peek.origin;
        l->has_origin = true;
    }
    return VF_OK;
}

static bool is_vault(const struct vf_log_facts *l)
{
    return l->has_origin && l->origin.kind == VF_LOG_VAULT;
}

enum vf_err vf_report_gather(struct vf_report *r, const struct vf_report_options *opt, struct vf_why *why)
{
    VF_CLEANUP(gather_done) struct gather g = {.r = r, .opt = opt};
    struct paths p = {0};
    uint64_t seed;

    VF_TRY(find_paths(&g, opt, &p, why));
    vf_random(&seed, sizeof(seed));
    VF_TRY(vf_facts_init(&r->f, p.n, seed, why));
    r->f.vault = r->vault;
    g.copy = calloc(p.n > 0 ? p.n : 1, sizeof(*g.copy));
    if (g.copy == NULL)
        return vf_fail(why, VF_E_NOMEM, "no memory for %zu logs", p.n);
    g.n = p.n;
    VF_TRY(look(&g, &p, why));
    VF_TRY(judge(&g, why));
    choose(&g);
    /* The vault's logs first: they say what was granted and when it was revoked. */
    for (int others = 0; others <= 1; others++)
        for (size_t i = 0; i < g.n; i++) {
            if (r->f.log[i].same_as != SIZE_MAX || is_vault(&r->f.log[i]) != (others == 0))
                continue;
            VF_TRY(verify_or_tell(&g, i, true, why));
            VF_TRY(read_others(&g, i, why));
        }
    return VF_OK;
}
