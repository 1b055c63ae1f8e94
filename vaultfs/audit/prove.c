/* SPDX-License-Identifier: MIT */
/*
 * One entry's proof, made while the tree grows. Adding leaf n joins the subtrees of the levels where n ends in ones. Wherever a join takes in the
 * subtree that holds the entry, the other half is its sibling at that level. At a checkpoint the rest of the path is what lies right of
 * its largest complete subtree, folded into one hash, and then the complete subtrees left of it (RFC 6962 section 2.1.1).
 */
#include "verify.h"

#include <string.h>

void vf_prover_add(struct vf_prover *p, const struct vf_tree *tree, const struct vf_scan_entry *e)
{
    uint64_t n = tree->size;
    struct vf_hash h = e->leaf;

    if (n < p->seq)
        return;
    if (n == p->seq) {
        p->leaf = e->leaf;
        vf_buf_reset(p->line);
        vf_buf_put(p->line, e->view.line, e->view.line_len);
    }
    unsigned ones = (unsigned)__builtin_ctzll(~n);
    if (p->seq >> ones != n >> ones)
        return;
    for (unsigned i = 0; i < ones; i++) {
        if (p->seq >> (i + 1) == n >> (i + 1))
            p->sibling[i] = (p->seq >> i & 1) != 0 ? tree->edge[i] : h;
        vf_node_hash(&tree->edge[i], &h, &h);
    }
}

void vf_prover_accept(struct vf_prover *p, const struct vf_verifier *f)
{
    vf_buf_reset(p->note);
    vf_buf_put(p->note, f->note.text, f->note.total_len);
    memcpy(p->key, f->key.key, sizeof(p->key));
    p->key_by_origin = f->key_by_origin;
    p->key_seq = f->key_seq;
}

/* The path under the root of `tree`, which has more than seq leaves. */
static size_t path_of(const struct vf_prover *p, const struct vf_tree *tree, struct vf_hash out[64])
{
    struct vf_hash right;
    bool any = false;
    unsigned level = 0;
    size_t n = 0;

    while (level < 62 && ((p->seq >> (level + 1)) + 1) << (level + 1) <= tree->size) {
        out[n++] = p->sibling[level];
        level++;
    }
    for (unsigned i = 0; i < level; i++) {
        if ((tree->size >> i & 1) == 0)
            continue;
        if (any)
            vf_node_hash(&tree->edge[i], &right, &right);
        else
            right = tree->edge[i];
        any = true;
    }
    if (any)
        out[n++] = right;
    for (unsigned i = level + 1; i < 63 && tree->size >> i != 0; i++)
        if ((tree->size >> i & 1) != 0)
            out[n++] = tree->edge[i];
    return n;
}

/* The smallest checkpoint held elsewhere that covers the entry; NULL: none does. */
static const struct vf_note *choose(const struct vf_verify_options *opt, uint64_t seq, uint64_t *ret_size)
{
    const struct vf_note *best = NULL;
    struct vf_checkpoint c;

    for (size_t i = 0; i < opt->ncheckpoints; i++) {
        const struct vf_note *note = &opt->checkpoints[i];
        if (vf_checkpoint_parse(note, &c, NULL) != VF_OK || c.size <= seq || (best != NULL && c.size >= *ret_size))
            continue;
        best = note;
        *ret_size = c.size;
    }
    return best;
}

static enum vf_err finish(const char *path, const struct vf_prover *p, const struct vf_tree *tree, struct vf_proof *ret,
                          struct vf_why *why)
{
    struct vf_checkpoint c;
    struct vf_note note;

    VF_TRY(vf_buf_check(&ret->line, path, why));
    VF_TRY(vf_buf_check(&ret->note, path, why));
    VF_TRY(vf_note_parse(ret->note.data, ret->note.len, &note, why));
    VF_TRY(vf_checkpoint_parse(&note, &c, why));
    ret->seq = p->seq;
    ret->size = tree->size;
    ret->npath = path_of(p, tree, ret->path);
    if (c.size != tree->size || !vf_tree_check_inclusion(&p->leaf, p->seq, c.size, ret->path, ret->npath, &c.root))
        return vf_fail(why, VF_E_FORGED, "%s: entry %llu and the checkpoint do not agree", path, (unsigned long long)p->seq);
    return VF_OK;
}

static enum vf_err refuse(const char *path, uint64_t seq, const struct vf_verdict *v, bool held, struct vf_why *why)
{
    typedef unsigned long long ull;

    if (seq >= v->entries)
        return vf_fail(why, VF_E_NOT_FOUND, "%s: there is no entry %llu: the log has %llu", path, (ull)seq, (ull)v->entries);
    if (held)
        return vf_fail(why, VF_E_NOT_FOUND, "%s: entry %llu lies behind the checkpoint that was given: use a later one",
                       path, (ull)seq);
    return vf_fail(why, VF_E_NOT_FOUND,
                   "%s: entry %llu is not sealed yet, so nothing can prove it; its program seals at most a second after "
                   "writing, and when it starts again after a crash",
                   path, (ull)seq);
}

enum vf_err vf_log_prove(const char *path, const struct vf_verify_options *opt, uint64_t seq, struct vf_verdict *ret_verdict,
                         struct vf_proof *ret, struct vf_why *why)
{
    VF_CLEANUP(vf_proof_done) struct vf_proof proof = {0};
    struct vf_prover prover = {.seq = seq, .line = &proof.line, .note = &proof.note};
    struct vf_verify_options with = *opt;
    struct vf_tree captured = {0};
    uint64_t size = 0;

    vf_buf_init(&proof.line, VF_ENTRY_LINE_MAX);
    vf_buf_init(&proof.note, VF_NOTE_MAX);
    const struct vf_note *held = choose(opt, seq, &size);
    with.each = NULL;
    VF_TRY(vf_log_verify_prove(path, &with, size, &prover, ret_verdict, &captured, why));
    if (!ret_verdict->good)
        return vf_fail(why, VF_E_FORGED, "%s: no proof is made from a log that is not good: %.240s", path,
                       ret_verdict->findings[0]);
    if (seq >= ret_verdict->sealed || (opt->ncheckpoints > 0 && held == NULL))
        return refuse(path, seq, ret_verdict, opt->ncheckpoints > 0, why);
    proof.held = held != NULL;
    if (held != NULL) {
        vf_buf_reset(&proof.note);
        vf_buf_put(&proof.note, held->text, held->total_len);
    } else {
        memcpy(proof.key, prover.key, sizeof(proof.key));
        proof.key_by_origin = prover.key_by_origin;
        proof.key_seq = prover.key_seq;
    }
    VF_TRY(finish(path, &prover, held != NULL ? &captured : &ret_verdict->tree, &proof, why));
    *ret = proof;
    proof = (struct vf_proof){0};
    return VF_OK;
}

void vf_proof_done(struct vf_proof *p)
{
    vf_buf_done(&p->line);
    vf_buf_done(&p->note);
}

void vf_proof_put(const struct vf_proof *p, struct vf_buf *out)
{
    vf_buf_text(out, "c2sp.org/tlog-proof@v1\nextra ");
    vf_base64_put(out, p->line.data, p->line.len);
    vf_buf_fmt(out, "\nindex %llu\n", (unsigned long long)p->seq);
    for (size_t i = 0; i < p->npath; i++) {
        vf_base64_put(out, p->path[i].b, sizeof(p->path[i].b));
        vf_buf_text(out, "\n");
    }
    vf_buf_text(out, "\n");
    vf_buf_put(out, p->note.data, p->note.len);
}
