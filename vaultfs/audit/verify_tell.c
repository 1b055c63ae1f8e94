/* SPDX-License-Identifier: MIT */
#include "verify.h"

#include <stdlib.h>
#include <string.h>

static enum vf_err changed(const char *path, struct vf_why *why)
{
    return vf_fail(why, VF_E_FORGED, "%s: changed while it was being read", path);
}

static bool same_root(const struct vf_tree *a, const struct vf_tree *b)
{
    struct vf_hash x;
    struct vf_hash y;

    vf_tree_root(a, &x);
    vf_tree_root(b, &y);
    return a->size == b->size && vf_equal(x.b, y.b, sizeof(x.b));
}

/* ------------------------------------------------------------------------------------------------------- while they are read */

void vf_teller_void(struct vf_teller *t)
{
    t->n = 0;
    t->later = false;
    t->confirmed = t->told == 0;
}

void vf_teller_done(struct vf_teller *t)
{
    free(t->held);
    t->held = NULL;
}

static void let_go(struct vf_verifier *f, struct vf_teller *t)
{
    for (size_t i = 0; i < t->n; i++)
        vf_scan_release(f->walk->scan, t->held[i].e);
    t->n = 0;
    t->later = true;
}

enum vf_err vf_tell_take(struct vf_verifier *f, struct vf_scan_entry *e, struct vf_why *why)
{
    struct vf_teller *t = f->teller;

    if (t->later)
        return VF_OK;
    /* Of a log that had to be begun anew, what was proven and told before is there again, or somebody has changed it. */
    if (e->view.seq < t->told && !f->broken) {
        t->confirmed = t->confirmed || (f->tree.size == t->told && same_root(&f->tree, &t->tree));
        return VF_OK;
    }
    if (f->broken || vf_scan_crowded(f->walk->scan)) {
        let_go(f, t);
        return VF_OK;
    }
    if (t->n == t->cap) {
        size_t cap = t->cap > 0 ? 2 * t->cap : 512;
        struct vf_held_entry *more = reallocarray(t->held, cap, sizeof(*more));
        if (more == NULL)
            return vf_fail(why, VF_E_NOMEM, "%s: no memory to read it", f->src->path);
        t->held = more;
        t->cap = cap;
    }
    vf_scan_hold(e);
    t->held[t->n++] = (struct vf_held_entry){e, f->src->segs.first[f->walk->seg]};
    return VF_OK;
}

/* The first n of those held. */
static enum vf_err tell(struct vf_verifier *f, size_t n, bool sealed, struct vf_why *why)
{
    struct vf_teller *t = f->teller;

    for (size_t i = 0; i < n; i++) {
        struct vf_scan_entry *e = t->held[i].e;
        VF_TRY(t->opt->each(t->opt->user, &e->view, sealed, why));
        t->seg = t->held[i].seg;
        t->seg_at = e->end;
        vf_scan_release(f->walk->scan, e);
    }
    t->told += n;
    t->n -= n;
    if (t->n == 0) /* or nothing was ever held */
        return VF_OK;
    memmove(t->held, t->held + n, t->n * sizeof(*t->held));
    return VF_OK;
}

enum vf_err vf_tell_proven(struct vf_verifier *f, struct vf_why *why)
{
    struct vf_teller *t = f->teller;

    if (t->later || f->v->sealed <= t->told)
        return VF_OK;
    if (!t->confirmed)
        return changed(f->src->path, why);
    /* Proven entries stand one after the other from 0 on: those held begin with seq `told`. */
    VF_TRY(tell(f, (size_t)(f->v->sealed - t->told), true, why));
    t->tree = f->v->tree;
    return VF_OK;
}

enum vf_err vf_tell_rest(struct vf_verifier *f, struct vf_why *why)
{
    struct vf_teller *t = f->teller;

    VF_TRY(vf_tell_proven(f, why));
    if (t->later)
        return VF_OK;
    if (!t->confirmed)
        return changed(f->src->path, why);
    t->finished = true;
    return tell(f, t->n, false, why);
}

/* ------------------------------------------------------------------------------------------------------------ second reading */

struct again {
    const struct vf_verify_options *opt;
    const struct vf_verdict *v;
    uint64_t told;
    struct vf_tree tree;
    bool changed;
    uint64_t done, total;
};

static bool more_to_tell(void *user, uint64_t expect)
{
    const struct again *a = user;

    (void)expect;
    return a->told < a->v->entries;
}

static enum vf_err on_again(void *user, struct vf_scan_entry *e, bool hole, struct vf_why *why)
{
    struct again *a = user;
    bool sealed = e->view.seq < a->v->sealed;

    (void)hole;
    if (a->tree.size < a->v->sealed)
        vf_tree_add(&a->tree, &e->leaf);
    a->told++;
    VF_TRY(a->opt->each(a->opt->user, &e->view, sealed, why));
    if (a->tree.size == a->v->sealed && sealed && e->view.seq + 1 == a->v->sealed)
        a->changed = !same_root(&a->tree, &a->v->tree);
    return VF_OK;
}

static void on_again_progress(void *user, uint64_t bytes)
{
    struct again *a = user;

    a->done += bytes;
    if (a->opt->progress != NULL)
        a->opt->progress(a->opt->user, a->done, a->total > a->done ? a->total : a->done);
}

/* Go on behind what was told. */
static bool place(struct vf_walk *w, const struct vf_teller *t)
{
    const struct vf_segments *segs = &w->src->segs;

    if (t->told == 0)
        return true;
    while (w->seg < segs->n && segs->first[w->seg] != t->seg)
        w->seg++;
    w->seg_at = t->seg_at;
    w->expect = t->told;
    return w->seg < segs->n;
}

enum vf_err vf_tell_again(const char *path, struct vf_teller *t, const struct vf_verdict *v, struct vf_why *why)
{
    VF_SOURCE src = {.fd = -1, .cp_fd = -1};
    struct again a = {.opt = t->opt, .v = v, .told = t->told, .tree = t->tree, .done = t->read};

    if (!t->confirmed || v->entries < t->told)
        return changed(path, why);
    VF_TRY(vf_source_open(path, &src, why));
    VF_CLEANUP(vf_walk_done)
    struct vf_walk w = {.src = &src, .user = &a, .more = more_to_tell, .entry = on_again, .progress = on_again_progress};
    if (!place(&w, t))
        return changed(path, why);
    a.total = t->read + src.total_bytes;
    VF_TRY(vf_walk_run(&w, why));
    if (a.changed || a.tree.size < v->sealed)
        return changed(path, why);
    return VF_OK;
}
