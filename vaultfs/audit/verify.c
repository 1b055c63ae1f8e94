/* SPDX-License-Identifier: MIT */
#include "verify.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned long long ull;

#define TRIES 3 /* readings of a log that somebody writes to */

/* ----------------------------------------------------------------------------------------------------------------- findings */

/* Findings quote what stands in the file: only what is safe to show goes on. */
static void make_safe(char *text)
{
    for (char *p = text; *p != '\0'; p++)
        if ((uint8_t)*p < 0x20 || (uint8_t)*p >= 0x7f)
            *p = '?';
}

void vf_verifier_tell(struct vf_verifier *f, const char *fmt, ...)
{
    struct vf_verdict *v = f->v;
    va_list ap;

    if (v->nfindings == VF_VERDICT_FINDINGS_MAX) {
        (void)snprintf(v->findings[VF_VERDICT_FINDINGS_MAX - 1], sizeof(v->findings[0]),
                       "there are more findings than are listed");
        return;
    }
    va_start(ap, fmt);
    (void)vsnprintf(v->findings[v->nfindings], sizeof(v->findings[0]), fmt, ap);
    va_end(ap);
    make_safe(v->findings[v->nfindings++]);
}

void vf_verifier_note(struct vf_verifier *f, const char *fmt, ...)
{
    struct vf_verdict *v = f->v;
    va_list ap;

    if (v->nnotes == VF_VERDICT_NOTES_MAX)
        return;
    va_start(ap, fmt);
    (void)vsnprintf(v->notes[v->nnotes], sizeof(v->notes[0]), fmt, ap);
    va_end(ap);
    make_safe(v->notes[v->nnotes++]);
}

/* ------------------------------------------------------------------------------------------------------------------- origin */

static enum vf_err check_signer(struct vf_verifier *f, const struct vf_note *note, const struct vf_verify_options *opt,
                                struct vf_why *why)
{
    VF_FREE bool *by = calloc(opt->nsigners + 1, sizeof(*by));
    struct vf_why bad = {0};
    size_t count = 0;

    if (by == NULL)
        return vf_fail(why, VF_E_NOMEM, "no memory for %zu signers", opt->nsigners);
    enum vf_err err = vf_note_verify(note, opt->signers, opt->nsigners, by, &count, &bad);
    f->v->origin_checked = err == VF_OK && count > 0;
    if (opt->nsigners == 0)
        vf_verifier_note(f, "who signed the origin was not checked: no key to check it with was given");
    else if (err != VF_OK)
        vf_verifier_tell(f, "the origin is not what was signed: %.180s", bad.text);
    else if (count == 0)
        vf_verifier_tell(f,
                         "the origin is signed by none of the keys it should be: this log is not of that device or vault");
    return VF_OK;
}

/* *ret false: nothing can be checked without it. */
static enum vf_err check_origin(struct vf_verifier *f, const struct vf_verify_options *opt, bool *ret, struct vf_why *why)
{
    const struct vf_buf *b = &f->src->origin;
    struct vf_verdict *v = f->v;
    struct vf_note note;
    struct vf_why bad = {0};

    vf_sha256(b->data, b->len, &v->id);
    if (opt->log_id != NULL && !vf_equal(opt->log_id->b, v->id.b, sizeof(v->id.b)))
        vf_verifier_tell(
            f, "the origin is not that of the log that was enrolled: this is another log, or one that was begun anew");
    *ret = vf_note_parse(b->data, b->len, &note, &bad) == VF_OK && vf_origin_parse(&note, &v->origin, &bad) == VF_OK;
    if (*ret)
        return check_signer(f, &note, opt, why);
    vf_verifier_tell(f, "the origin cannot be read: %.180s", bad.text);
    return VF_OK;
}

/* --------------------------------------------------------------------------------------------------------- held checkpoints */

static int compare_held(const void *a, const void *b)
{
    uint64_t x = ((const struct vf_held *)a)->c.size;
    uint64_t y = ((const struct vf_held *)b)->c.size;

    return x < y ? -1 : x > y;
}

static enum vf_err take_held(struct vf_verifier *f, const struct vf_verify_options *opt, struct vf_why *why)
{
    if (opt->ncheckpoints == 0)
        return VF_OK;
    f->held = calloc(opt->ncheckpoints, sizeof(*f->held));
    if (f->held == NULL)
        return vf_fail(why, VF_E_NOMEM, "no memory for %zu checkpoints", opt->ncheckpoints);
    for (size_t i = 0; i < opt->ncheckpoints; i++) {
        struct vf_held h = {.index = i};
        VF_TRY(vf_fail_prefix(why, vf_checkpoint_parse(&opt->checkpoints[i], &h.c, why), "checkpoint given as number %zu",
                              i + 1));
        if (strcmp(h.c.origin, f->v->origin.line) == 0)
            f->held[f->nheld++] = h;
        else
            vf_verifier_tell(f, "the checkpoint given as number %zu is of another log: this log is %s", i + 1,
                             f->v->origin.line);
    }
    if (f->nheld > 1)
        qsort(f->held, f->nheld, sizeof(*f->held), compare_held);
    return VF_OK;
}

/* Those of the size that the tree has now. */
static void check_held(struct vf_verifier *f)
{
    struct vf_hash root;

    while (f->held_at < f->nheld && f->held[f->held_at].c.size == f->tree.size && !f->broken) {
        const struct vf_held *h = &f->held[f->held_at++];
        vf_tree_root(&f->tree, &root);
        if (vf_equal(root.b, h->c.root.b, sizeof(root.b)))
            continue;
        f->v->forked = true;
        vf_verifier_tell(
            f, "the checkpoint given as number %zu sealed other %llu entries than this log has: the log was rewritten",
            h->index + 1, (ull)h->c.size);
    }
}

static void end_held(struct vf_verifier *f, uint64_t expect)
{
    for (; f->held_at < f->nheld; f->held_at++) {
        const struct vf_held *h = &f->held[f->held_at];
        f->v->forked = true;
        if (h->c.size > expect)
            vf_verifier_tell(
                f, "the checkpoint given as number %zu covers %llu entries, but the log has %llu: its end was cut off",
                h->index + 1, (ull)h->c.size, (ull)expect);
        else
            vf_verifier_tell(
                f, "the checkpoint given as number %zu (%llu entries) cannot be compared: entries below it are damaged",
                h->index + 1, (ull)h->c.size);
    }
}

/* ------------------------------------------------------------------------------------------------------------------ entries */

/*
 * A mount that was killed: what it wrote and nobody had sealed yet can be taken away without a trace. Whoever can kill it can do so on
 * purpose; a power cut looks the same. So each is told.
 */
static void count_session(struct vf_verifier *f, const struct vf_entry_view *view)
{
    bool same = f->mounted && view->session.len == sizeof(f->session) &&
                memcmp(view->session.p, f->session, sizeof(f->session)) == 0;

    if (f->mounted && !same)
        f->v->unclosed++;
    f->mounted = same && view->event != VF_EVENT_UNMOUNT;
    if (view->event == VF_EVENT_MOUNT && view->session.len == sizeof(f->session)) {
        memcpy(f->session, view->session.p, sizeof(f->session));
        f->mounted = true;
    }
}

static void count_entry(struct vf_verifier *f, const struct vf_entry_view *view)
{
    struct vf_verdict *v = f->v;

    if (v->entries++ == 0)
        v->first_us = view->time_us;
    v->last_us = view->time_us;
    if (f->mounted || view->event == VF_EVENT_MOUNT)
        count_session(f, view);
    v->recoveries += view->event == VF_EVENT_RECOVER ? 1 : 0;
    v->clock_steps += view->event == VF_EVENT_CLOCK ? 1 : 0;
    if (view->event == VF_EVENT_GAP) {
        v->gaps++;
        v->lost += view->count <= UINT64_MAX - v->lost ? view->count : 0;
    }
}

/*
 * A seal entry is the last that its checkpoint covers, and nothing follows it before there is that checkpoint; only a recovery finds it
 * without one, and says so in the entry that follows. Anything else means that checkpoints were taken away.
 */
static enum vf_err check_after_seal(struct vf_verifier *f, const struct vf_entry_view *view, struct vf_why *why)
{
    VF_TRY(vf_chain_follow(f, view->seq, why));
    if (f->after_seal && view->event != VF_EVENT_RECOVER && !f->broken) {
        vf_verifier_tell(
            f,
            "the checkpoint that ends with entry %llu is missing, although the log went on: checkpoints were removed or "
            "rolled back",
            (ull)view->seq - 1);
        f->chain_hurt = true;
    }
    f->after_seal = false;
    return VF_OK;
}

enum vf_err vf_verifier_entry(struct vf_verifier *f, struct vf_scan_entry *e, struct vf_why *why)
{
    const struct vf_entry_view *view = &e->view;

    if (f->after_seal)
        VF_TRY(check_after_seal(f, view, why));
    if (view->time_us < f->last_us)
        vf_verifier_tell(f, "entry %llu: its time is before that of the entry before it", (ull)view->seq);
    f->last_us = view->time_us;
    if (f->place != NULL) {
        f->line_at = e->end - view->line_len - 1;
        f->line_end = e->end;
        f->line_leaf = e->leaf;
    }
    count_entry(f, view);
    if (f->prover != NULL)
        vf_prover_add(f->prover, &f->tree, e);
    vf_tree_add(&f->tree, &e->leaf);
    if (f->tree.size == f->capture_size)
        f->captured = f->tree;
    if (f->held_at < f->nheld)
        check_held(f);
    if (view->event == VF_EVENT_SEAL) {
        vf_chain_seal(f, view);
        f->after_seal = true;
    }
    if (f->teller != NULL)
        VF_TRY(vf_tell_take(f, e, why));
    if (!f->have_next || f->next.size <= view->seq + 1)
        VF_TRY(vf_chain_follow(f, view->seq + 1, why));
    return f->teller != NULL ? vf_tell_proven(f, why) : VF_OK;
}

static enum vf_err on_entry(void *user, struct vf_scan_entry *e, bool hole, struct vf_why *why)
{
    struct vf_verifier *f = user;

    if (hole)
        f->broken = true;
    return vf_verifier_entry(f, e, why);
}

static void on_finding(void *user, const char *text)
{
    vf_verifier_tell(user, "%s", text);
}

/* In a copy the last checkpoint is the end. */
static bool more_in_copy(void *user, uint64_t expect)
{
    struct vf_verifier *f = user;

    (void)expect;
    return f->have_next;
}

struct progress {
    const struct vf_verify_options *opt;
    uint64_t done, total;
};

static void end_notes(struct vf_verifier *f, const struct vf_walk *w)
{
    struct vf_verdict *v = f->v;
    uint64_t open = w->expect - (v->sealed < w->expect ? v->sealed : w->expect);
    bool file = !f->src->folder;

    v->torn_bytes = w->torn_bytes;
    if (file && (w->torn_bytes > 0 || w->expect != f->src->promised))
        vf_verifier_tell(f, "the file has %llu whole entries instead of the %llu that its head says: it was cut or added to",
                         (ull)w->expect, (ull)f->src->promised);
    else if (w->torn_bytes > 0)
        vf_verifier_note(
            f,
            "the last line is incomplete (%llu bytes): the log is in use, or its writer was killed; the next opening "
            "cuts it and says so",
            (ull)w->torn_bytes);
    if (f->torn)
        vf_verifier_note(f, "the last checkpoint is incomplete: the log is in use, or its writer was killed");
    if (file && open > 0 && v->nfindings == 0)
        vf_verifier_tell(f, "%llu entries stand behind the last checkpoint: what is handed in ends with one", (ull)open);
    else if (open > 0 && v->nfindings == 0)
        vf_verifier_note(f, "%s %llu to %llu %s not sealed: nothing proves %s yet", open == 1 ? "entry" : "entries",
                         (ull)v->sealed, (ull)w->expect - 1, open == 1 ? "is" : "are", open == 1 ? "it" : "them");
    if (v->unclosed > 0)
        vf_verifier_note(
            f,
            "%llu mount%s ended without an orderly end (killed, or a power cut): of each, up to %u openings of its last "
            "second may be missing",
            (ull)v->unclosed, v->unclosed == 1 ? "" : "s", VF_LOG_SEAL_ENTRIES);
    if (f->src->segs.strangers > 0)
        vf_verifier_note(f, "%zu files are named almost like segments of the log and were not read", f->src->segs.strangers);
}

/* ------------------------------------------------------------------------------------------------------------------- passes */

static void verifier_done(struct vf_verifier *f)
{
    vf_chain_done(f);
    free(f->held);
    f->held = NULL;
}

struct pass {
    struct vf_verifier f;
    struct progress progress;
};

static void on_pass_progress(void *user, uint64_t bytes)
{
    struct pass *p = user;
    struct progress *g = &p->progress;

    g->done += bytes;
    if (g->opt->progress != NULL)
        g->opt->progress(g->opt->user, g->done, g->total > g->done ? g->total : g->done);
}

/* `f` is the first member: what the walk calls back with is both. */
_Static_assert(offsetof(struct pass, f) == 0, "a pass begins with its verifier");

/*
 * Beside a writer: its checkpoints are read after the entries that they cover, but these may have been written after the end of the file
 * was met. As long as a checkpoint asks for more, and there is more, go on.
 */
static enum vf_err catch_up(struct vf_verifier *f, struct vf_walk *w, struct vf_why *why)
{
    bool more = true;

    while (more) {
        f->broken = f->broken || w->hole;
        VF_TRY(vf_chain_follow(f, w->expect, why));
        more = f->have_next && f->next.size > w->expect;
        if (more)
            VF_TRY(vf_walk_more(w, &more, why));
    }
    return f->teller != NULL ? vf_tell_proven(f, why) : VF_OK;
}

/* The end was met, and who asked wants to wait for more. */
static enum vf_err follow(struct vf_verifier *f, const struct vf_verify_options *opt, struct vf_walk *w, struct vf_why *why)
{
    while (opt->wait != NULL && !w->overtaken && f->v->nfindings == 0 && !f->broken && opt->wait(opt->user)) {
        bool more = false;
        VF_TRY(vf_walk_more(w, &more, why));
        if (!w->overtaken)
            VF_TRY(catch_up(f, w, why));
    }
    return VF_OK;
}

/* At the beginning, or where a verified log stood. */
static enum vf_err start(struct vf_verifier *f, struct vf_walk *w, const struct vf_verify_place *from, struct vf_why *why)
{
    const struct vf_segments *segs = &f->src->segs;

    if (from == NULL || from->tree.size == 0)
        return vf_chain_start(f, why);
    while (w->seg < segs->n && segs->first[w->seg] != from->seg_first)
        w->seg++;
    w->seg_at = from->seg_at;
    w->expect = from->tree.size;
    f->tree = from->tree;
    f->last_us = from->last_us;
    f->v->tree = from->tree;
    f->v->entries = f->v->sealed = from->tree.size;
    f->v->last_us = f->v->sealed_until_us = from->last_us;
    f->v->checkpoints = from->checkpoints;
    return vf_chain_resume(f, from, why);
}

static enum vf_err prove(struct pass *p, const struct vf_verify_options *opt, struct vf_walk *w,
                         const struct vf_verify_place *from, struct vf_why *why)
{
    struct vf_verifier *f = &p->f;

    w->more = f->src->copy ? more_in_copy : NULL;
    VF_TRY(take_held(f, opt, why));
    VF_TRY(start(f, w, from, why));
    check_held(f);
    VF_TRY(vf_chain_follow(f, w->expect, why));
    VF_TRY(vf_walk_run(w, why));
    VF_TRY(catch_up(f, w, why));
    VF_TRY(follow(f, opt, w, why));
    vf_chain_end(f, w->expect);
    end_held(f, w->expect);
    end_notes(f, w);
    return f->teller != NULL && !w->overtaken ? vf_tell_rest(f, why) : VF_OK;
}

/* What one try works with. */
struct
try {
    const char *path;
    const struct vf_verify_options *opt;
    struct vf_verdict *v;
    uint64_t capture_size;
    struct vf_tree *ret_captured;
    struct vf_teller *teller;
    struct vf_prover *prover;
    struct vf_verify_place *place; /* NULL: from the beginning, and nobody asks where it ended */
};

static enum vf_err prove_once(const struct try *t, bool *ret_again, struct vf_why *why)
{
    struct pass p = {.progress = {.opt = t->opt}};
    VF_SOURCE src = {.fd = -1, .cp_fd = -1};
    VF_CLEANUP(vf_walk_done)
    struct vf_walk w = {.src = &src, .user = &p, .entry = on_entry, .finding = on_finding, .progress = on_pass_progress};
    struct vf_verdict *v = t->v;

    memset(v, 0, sizeof(*v));
    VF_TRY(vf_source_open(t->path, &src, why));
    p.progress.total = src.total_bytes;
    p.f.src = &src;
    p.f.v = v;
    p.f.walk = &w;
    p.f.teller = t->opt->each != NULL ? t->teller : NULL;
    p.f.prover = t->prover;
    p.f.place = t->place;
    p.f.capture_size = t->capture_size;
    vf_teller_void(t->teller);
    vf_tree_init(&p.f.tree);
    vf_tree_init(&p.f.captured);
    vf_tree_init(&v->tree);
    bool readable = false;
    enum vf_err err = check_origin(&p.f, t->opt, &readable, why);
    if (err == VF_OK && readable)
        err = prove(&p, t->opt, &w, t->place, why);
    verifier_done(&p.f);
    if (t->place != NULL)
        t->place->tree = v->tree;
    if (t->ret_captured != NULL)
        *t->ret_captured = p.f.captured;
    v->good = v->nfindings == 0;
    t->teller->read = p.progress.done;
    *ret_again = err == VF_OK && w.overtaken;
    return err;
}

enum vf_err vf_log_verify_prove(const char *path, const struct vf_verify_options *opt, uint64_t capture_size,
                                struct vf_prover *prover, struct vf_verdict *ret, struct vf_tree *ret_captured,
                                struct vf_why *why)
{
    static const struct vf_verify_options none;
    VF_CLEANUP(vf_teller_done) struct vf_teller teller = {.opt = opt};
    const struct try t = {path, opt != NULL ? opt : &none, ret, capture_size, ret_captured, &teller, prover, NULL};
    bool again = true;

    vf_tree_init(&teller.tree);
    /* Who follows a log does so through any number of new beginnings. */
    for (int i = 0; (i < TRIES || t.opt->wait != NULL) && again; i++)
        VF_TRY(prove_once(&t, &again, why));
    if (t.opt->each != NULL && !teller.finished)
        VF_TRY(vf_tell_again(path, &teller, ret, why));
    return VF_OK;
}

enum vf_err vf_log_verify_from(const char *path, const struct vf_verify_options *opt, struct vf_verify_place *place,
                               struct vf_verdict *ret, struct vf_why *why)
{
    VF_CLEANUP(vf_teller_done) struct vf_teller teller = {.opt = opt};
    const struct try t = {path, opt, ret, 0, NULL, &teller, NULL, place};
    bool again = false; /* a copy has one writer, and he is asking */

    return prove_once(&t, &again, why);
}

enum vf_err vf_log_verify_capture(const char *path, const struct vf_verify_options *opt, uint64_t capture_size,
                                  struct vf_verdict *ret, struct vf_tree *ret_captured, struct vf_why *why)
{
    return vf_log_verify_prove(path, opt, capture_size, NULL, ret, ret_captured, why);
}

enum vf_err vf_log_verify(const char *path, const struct vf_verify_options *opt, struct vf_verdict *ret, struct vf_why *why)
{
    VF_FREE struct vf_verdict *v = malloc(sizeof(*v));

    if (v == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", path);
    VF_TRY(vf_log_verify_capture(path, opt, 0, v, NULL, why));
    *ret = *v;
    return VF_OK;
}
