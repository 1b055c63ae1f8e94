/* SPDX-License-Identifier: MIT */
/* What is to be added to a verified log, before any of it is written: the same checks, on memory. */
#include "verify.h"

#include <stdlib.h>
#include <string.h>

typedef unsigned long long ull;

/* One whole line in its place, or a reason. */
static enum vf_err take_line(struct vf_verifier *f, const char *line, size_t len, uint64_t end, struct vf_why *why)
{
    struct vf_scan_entry e = {.end = end};

    if (!vf_entry_take(line, len, NULL, &e.view)) {
        struct vf_why bad = {0};
        enum vf_err err = vf_entry_parse(line, len, &e.view, &bad);
        return vf_fail(why, err == VF_E_NOMEM ? err : VF_E_FORMAT, "entry %llu: not what a log writes: %s",
                       (ull)f->tree.size, bad.text);
    }
    if (e.view.seq != f->tree.size)
        return vf_fail(why, VF_E_FORGED, "in the place of entry %llu stands entry %llu: it was moved, doubled or inserted",
                       (ull)f->tree.size, (ull)e.view.seq);
    vf_leaf_hash(line, len, &e.leaf);
    VF_TRY(vf_verifier_entry(f, &e, why));
    return f->v->nfindings == 0 ? VF_OK : vf_fail(why, VF_E_FORGED, "%s", f->v->findings[0]);
}

static enum vf_err take_lines(struct vf_verifier *f, struct vf_slice entries, struct vf_why *why)
{
    const char *p = entries.len > 0 ? (const char *)entries.data : "";
    const char *end = p + entries.len;

    while (p < end) {
        const char *nl = memchr(p, '\n', (size_t)(end - p));
        if (nl == NULL)
            return vf_fail(why, VF_E_FORMAT, "entry %llu: its line is incomplete", (ull)f->tree.size);
        VF_TRY(take_line(f, p, (size_t)(nl - p), entries.len - (uint64_t)(end - nl - 1), why));
        p = nl + 1;
    }
    return VF_OK;
}

static enum vf_err take_all(struct vf_verifier *f, const struct vf_verify_place *from, struct vf_slice checkpoints,
                            struct vf_slice entries, struct vf_why *why)
{
    VF_TRY(vf_record_reader_of(&f->cps, checkpoints, why));
    f->has_cps = true;
    VF_TRY(vf_chain_resume(f, from, why));
    f->tree = from->tree;
    f->last_us = from->last_us;
    VF_TRY(vf_chain_follow(f, f->tree.size, why));
    VF_TRY(take_lines(f, entries, why));
    vf_chain_end(f, f->tree.size);
    if (f->v->nfindings > 0)
        return vf_fail(why, VF_E_FORGED, "%s", f->v->findings[0]);
    if (f->tree.size != f->cp_size)
        return vf_fail(why, VF_E_FORGED, "%llu entries stand behind the last checkpoint: what is handed in ends with one",
                       (ull)(f->tree.size - f->cp_size));
    return VF_OK;
}

enum vf_err vf_verify_extension(const struct vf_origin *origin, struct vf_verify_place *place, struct vf_slice checkpoints,
                                struct vf_slice entries, struct vf_why *why)
{
    struct vf_source src = {.path = "the new entries", .fd = -1, .cp_fd = -1};
    VF_FREE struct vf_verdict *v = calloc(1, sizeof(*v));
    struct vf_verify_place to = *place;
    struct vf_verifier f = {.src = &src, .v = v, .place = &to};

    if (v == NULL)
        return vf_fail(why, VF_E_NOMEM, "no memory to verify a log");
    v->origin = *origin;
    vf_tree_init(&v->tree);
    enum vf_err err = take_all(&f, place, checkpoints, entries, why);
    vf_chain_done(&f);
    if (err != VF_OK)
        return err;
    to.tree = f.tree;
    *place = to;
    return VF_OK;
}
