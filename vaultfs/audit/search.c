/* SPDX-License-Identifier: MIT */
#include "source.h"

#include <string.h>

struct search {
    const struct vf_search_options *opt;
    struct vf_source *src;
    struct vf_scan *scan;
    uint64_t done;
};

static enum vf_err in_segment(struct search *s, size_t i, struct vf_why *why)
{
    uint64_t limit = vf_segments_limit(&s->src->segs, i);
    struct vf_scan_item item = {0};
    uint64_t from = 0;
    uint64_t end = 0;
    bool own = false;
    int fd = -1;

    VF_TRY(vf_source_segment(s->src, i, &fd, &own, &from, &end, why));
    vf_scan_start(s->scan, fd, from, end, s->src->path);
    enum vf_err err = vf_scan_next(s->scan, &item, why);
    while (err == VF_OK && item.kind == VF_SCAN_ENTRY) {
        /* Those from the next segment's first on are void. */
        if (item.entry->view.seq < limit)
            err = s->opt->each(s->opt->user, &item.entry->view, why);
        if (err == VF_OK)
            err = vf_scan_next(s->scan, &item, why);
    }
    vf_scan_stop(s->scan);
    if (own)
        vf_fd_close(&fd);
    s->done += item.end > from ? item.end - from : 0;
    if (err == VF_OK && s->opt->progress != NULL)
        s->opt->progress(s->opt->user, s->done, s->src->total_bytes > s->done ? s->src->total_bytes : s->done);
    return err;
}

enum vf_err vf_log_search(const char *path, const struct vf_search_options *opt, struct vf_why *why)
{
    VF_SOURCE src = {.fd = -1, .cp_fd = -1};
    VF_CLEANUP(vf_scan_cleanup) struct vf_scan *scan = NULL;

    if (opt->nneedles > VF_SEARCH_NEEDLES)
        return vf_fail(why, VF_E_LIMIT, "%s: looked for in more than %d ways", path, VF_SEARCH_NEEDLES);
    VF_TRY(vf_source_open(path, &src, why));
    VF_TRY(vf_scan_new(&scan, why));
    struct search s = {.opt = opt, .src = &src, .scan = scan};
    vf_scan_filter(scan, opt->needles, opt->nneedles);
    for (size_t i = 0; i < src.segs.n; i++)
        VF_TRY(in_segment(&s, i, why));
    return VF_OK;
}
