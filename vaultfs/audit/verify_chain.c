/* SPDX-License-Identifier: MIT */
/*
 * The seal chain: each checkpoint is signed by the key that the last seal entry below the one before it names, the first by the key in
 * the origin. A checkpoint that fails is told and passed over; the chain is taken up again at one that a key in between signed.
 */
#include "verify.h"

#include <string.h>

typedef unsigned long long ull;

static enum vf_err open_file(struct vf_verifier *f, struct vf_why *why)
{
    if (f->has_cps)
        return VF_OK;
    VF_TRY(vf_source_checkpoints(f->src, why));
    if (f->src->cp_fd < 0)
        return VF_OK;
    f->has_cps = true;
    return vf_record_reader_init(&f->cps, f->src->cp_fd, f->src->cp_at + f->resume_at, f->src->cp_end, why);
}

enum vf_err vf_chain_start(struct vf_verifier *f, struct vf_why *why)
{
    const struct vf_origin *o = &f->v->origin;

    memcpy(f->key.name, o->line, sizeof(o->line));
    memcpy(f->key.key, o->seal_key, sizeof(f->key.key));
    f->key_by_origin = true;
    return open_file(f, why);
}

enum vf_err vf_chain_resume(struct vf_verifier *f, const struct vf_verify_place *place, struct vf_why *why)
{
    f->resume_at = place->cp_end;
    VF_TRY(vf_chain_start(f, why));
    if (place->tree.size == 0)
        return VF_OK;
    memcpy(f->key.key, place->key, sizeof(f->key.key));
    f->key_by_origin = false;
    f->key_seq = place->key_seq;
    f->cp_no = place->checkpoints;
    f->cp_size = place->tree.size;
    return VF_OK;
}

void vf_chain_done(struct vf_verifier *f)
{
    vf_record_reader_done(&f->cps);
}

/* ------------------------------------------------------------------------------------------------------------------ reading */

/* A whole record into f->next; false: told why it is none. */
static bool take_record(struct vf_verifier *f, const char *p, size_t len)
{
    struct vf_why bad = {0};

    if (vf_note_parse(p, len, &f->note, &bad) != VF_OK || vf_checkpoint_parse(&f->note, &f->next, &bad) != VF_OK) {
        vf_verifier_tell(f, "checkpoint %llu (byte %llu of its file): damaged: %.120s", (ull)f->cp_no, (ull)f->cps.at,
                         bad.text);
        return false;
    }
    /* The writer puts one signature; another line is something that the first does not protect. */
    if (f->note.nsigs != 1) {
        vf_verifier_tell(f, "checkpoint %llu (byte %llu of its file): damaged: it has %zu signatures instead of one",
                         (ull)f->cp_no, (ull)f->cps.at, f->note.nsigs);
        return false;
    }
    return true;
}

static enum vf_err resync(struct vf_verifier *f, bool *ret_more, struct vf_why *why)
{
    f->chain_hurt = true;
    return vf_record_reader_resync(&f->cps, f->src->path, f->v->origin.line, ret_more, why);
}

/* The next record that can be read. Ends with have_next, or at the end of the file. */
enum vf_err vf_chain_next(struct vf_verifier *f, struct vf_why *why)
{
    bool more = !f->have_next;

    VF_TRY(open_file(f, why));
    more = more && f->has_cps;
    while (more) {
        enum vf_record_kind kind = VF_RECORD_END;
        const char *p = NULL;
        size_t len = 0;
        VF_TRY(vf_record_reader_peek(&f->cps, f->src->path, &kind, &p, &len, why));
        f->torn = kind == VF_RECORD_TORN && f->src->folder && vf_record_torn(p, len, f->v->origin.line);
        if (kind == VF_RECORD_END || f->torn)
            break;
        f->cp_no++;
        if (kind == VF_RECORD_WHOLE && take_record(f, p, len)) {
            f->note_len = len;
            f->have_next = true;
            break;
        }
        if (kind != VF_RECORD_WHOLE)
            vf_verifier_tell(f, "checkpoint %llu (byte %llu of its file): damaged: not the form of a checkpoint",
                             (ull)f->cp_no, (ull)f->cps.at);
        VF_TRY(resync(f, &more, why));
    }
    return VF_OK;
}

static void pass_next(struct vf_verifier *f)
{
    vf_record_reader_pass(&f->cps, f->note_len);
    f->have_next = false;
}

/* ----------------------------------------------------------------------------------------------------------------- checking */

static bool signed_by(const struct vf_verifier *f, const uint8_t pub[32])
{
    struct vf_note_key key = f->key;
    bool by = false;
    size_t n = 0;

    memcpy(key.key, pub, sizeof(key.key));
    return vf_note_verify(&f->note, &key, 1, &by, &n, NULL) == VF_OK && n == 1;
}

/* Who named the key, for people. */
static const char *namer(const struct vf_verifier *f, char out[48])
{
    if (f->key_by_origin)
        (void)snprintf(out, 48, "the origin");
    else
        (void)snprintf(out, 48, "entry %llu", (ull)f->key_seq);
    return out;
}

/*
 * The signature by the key whose turn it is. Else by one that a seal entry in between names: then the checkpoint in between is missing or
 * was told as damaged. The last seal entry does not count: its key signs the next checkpoint, not the one that covers it.
 */
static bool check_signature(struct vf_verifier *f)
{
    char by[48];

    if (signed_by(f, f->key.key))
        return true;
    for (size_t i = 0; i < f->nseals && f->seals[i].seq + 1 < f->next.size; i++) {
        if (!signed_by(f, f->seals[i].pub))
            continue;
        if (!f->chain_hurt)
            vf_verifier_tell(f,
                             "a checkpoint is missing before checkpoint %llu (%llu entries): that one is signed by the key "
                             "of entry %llu, "
                             "not by the key of %s",
                             (ull)f->cp_no, (ull)f->next.size, (ull)f->seals[i].seq, namer(f, by));
        return true;
    }
    if (!f->chain_hurt || !f->broken)
        vf_verifier_tell(f,
                         "checkpoint %llu (%llu entries): not signed by the key that %s names: forged, or from another time",
                         (ull)f->cp_no, (ull)f->next.size, namer(f, by));
    return false;
}

static bool check_root(struct vf_verifier *f)
{
    struct vf_hash root;

    if (f->broken)
        return false;
    vf_tree_root(&f->tree, &root);
    if (f->tree.size == f->next.size && vf_equal(root.b, f->next.root.b, sizeof(root.b)))
        return true;
    return false;
}

/* The signature is good: the key of the last seal entry that this checkpoint covers signs the next. */
static void accept_next(struct vf_verifier *f)
{
    size_t i = f->nseals;

    while (i > 0 && f->seals[i - 1].seq >= f->next.size)
        i--;
    if (i > 0) {
        memcpy(f->key.key, f->seals[i - 1].pub, sizeof(f->key.key));
        f->key_by_origin = false;
        f->key_seq = f->seals[i - 1].seq;
        memmove(f->seals, f->seals + i, (f->nseals - i) * sizeof(*f->seals));
        f->nseals -= i;
    } else if (!f->broken) {
        vf_verifier_tell(f, "checkpoint %llu (%llu entries): covers no new seal entry, so that one key signs twice",
                         (ull)f->cp_no, (ull)f->next.size);
    }
    f->chain_hurt = false;
}

/* Its tree is the verdict's. */
static void mark_place(struct vf_verifier *f, int64_t last_us)
{
    struct vf_verify_place *p = f->place;

    p->last_us = last_us;
    memcpy(p->key, f->key.key, sizeof(p->key));
    p->key_seq = f->key_seq;
    p->checkpoints = f->cp_no;
    p->cp_at = f->cps.at - f->src->cp_at;
    p->cp_end = p->cp_at + f->note_len + 1;
    p->seg_first = f->walk != NULL ? f->src->segs.first[f->walk->seg] : 0;
    p->line_at = f->line_at;
    p->seg_at = f->line_end;
    p->leaf = f->line_leaf;
    vf_sha256(f->note.text, f->note_len, &p->note);
}

static void check_next(struct vf_verifier *f, int64_t last_us)
{
    uint64_t from = f->cp_size;
    bool root = check_root(f);
    bool sig = check_signature(f);

    if (sig && !root && !f->broken) {
        vf_verifier_tell(
            f,
            "entries %llu to %llu: at least one is not what checkpoint %llu sealed: it was changed, removed or inserted "
            "after it was written",
            (ull)from, (ull)f->next.size - 1, (ull)f->cp_no);
        f->broken = true;
    }
    if (sig && root) {
        f->v->sealed = f->next.size;
        f->v->sealed_until_us = last_us;
        f->v->tree = f->tree;
        f->v->checkpoints++;
        if (f->prover != NULL)
            vf_prover_accept(f->prover, f);
    }
    if (sig)
        accept_next(f);
    else
        f->chain_hurt = true;
    f->cp_size = f->next.size;
    f->after_seal = false;
    if (sig && root && f->place != NULL)
        mark_place(f, last_us);
    pass_next(f);
}

/* True: `next` was told and passed. */
static bool useless(struct vf_verifier *f)
{
    bool other = strcmp(f->next.origin, f->v->origin.line) != 0;

    if (!other && f->next.size > f->cp_size)
        return false;
    if (other)
        vf_verifier_tell(f, "checkpoint %llu: of another log (%.64s): logs were spliced", (ull)f->cp_no, f->next.origin);
    else
        vf_verifier_tell(
            f,
            "checkpoint %llu covers %llu entries, no more than the one before it (%llu): an old one was put back, or one "
            "stands twice",
            (ull)f->cp_no, (ull)f->next.size, (ull)f->cp_size);
    f->chain_hurt = true;
    pass_next(f);
    return true;
}

enum vf_err vf_chain_follow(struct vf_verifier *f, uint64_t expect, struct vf_why *why)
{
    for (;;) {
        VF_TRY(vf_chain_next(f, why));
        if (!f->have_next)
            return VF_OK;
        if (useless(f))
            continue;
        if (f->next.size > expect)
            return VF_OK;
        check_next(f, f->last_us);
    }
}

void vf_chain_seal(struct vf_verifier *f, const struct vf_entry_view *view)
{
    /* More than a few without a checkpoint come from a writer that crashes at every start; the newest are the ones that count. */
    if (f->nseals == VF_SEALS_KEPT) {
        memmove(f->seals, f->seals + 1, (VF_SEALS_KEPT - 1) * sizeof(*f->seals));
        f->nseals--;
    }
    f->seals[f->nseals].seq = view->seq;
    memcpy(f->seals[f->nseals].pub, view->seal_key, sizeof(view->seal_key));
    f->nseals++;
}

void vf_chain_end(struct vf_verifier *f, uint64_t expect)
{
    if (f->have_next && expect > 0)
        vf_verifier_tell(f, "the log ends with entry %llu, but checkpoint %llu covers %llu entries: the end was cut off",
                         (ull)expect - 1, (ull)f->cp_no, (ull)f->next.size);
    else if (f->have_next)
        vf_verifier_tell(f, "the log has no entries, but checkpoint %llu covers %llu: they were removed", (ull)f->cp_no,
                         (ull)f->next.size);
}
