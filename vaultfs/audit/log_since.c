/* SPDX-License-Identifier: MIT */
/* A writer reads its own log from where it stopped reading before: hashed from there, held against the last checkpoint. */
#include "log.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

struct since {
    struct vf_log *log;
    int dirfd;                  /* our own: the writer's may change */
    struct vf_log_place at;     /* where the reading stands */
    struct vf_log_place proven; /* where the last checkpoint stands, once it was reached */
    struct vf_checkpoint c;     /* that checkpoint; size 0: there is none yet */
    uint64_t end;               /* entries that are durable */
    uint64_t root_at;           /* the root wanted of so many entries; 0: none */
    struct vf_hash root;
    uint64_t events;
    enum vf_err (*each)(void *user, const struct vf_entry_view *entry, struct vf_why *why);
    void *user;
};

static enum vf_err forged(const struct since *s, struct vf_why *why)
{
    return vf_fail(why, VF_E_FORGED,
                   "%s: entry %llu is not what the log's last checkpoint sealed: one of them was changed or restored",
                   s->log->dir, (unsigned long long)s->at.tree.size);
}

/* A place that was reached: is it the checkpoint's? */
static enum vf_err check_root(struct since *s, struct vf_why *why)
{
    struct vf_hash root;

    if (s->at.tree.size != s->c.size)
        return VF_OK;
    vf_tree_root(&s->at.tree, &root);
    if (s->c.size > 0 && !vf_equal(root.b, s->c.root.b, sizeof(root.b)))
        return forged(s, why);
    s->proven = s->at;
    return VF_OK;
}

/* The name stands behind number and time, within the first hundred bytes. What is no entry at all is told by the hashes. */
static bool wanted(const struct since *s, const char *line, size_t len)
{
    static const char key[] = "\"event\":\"";
    const char *p = memmem(line, len < 100 ? len : 100, key, sizeof(key) - 1);
    enum vf_event event = VF_EVENT_SEAL;

    if (p == NULL)
        return false;
    p += sizeof(key) - 1;
    const char *quote = memchr(p, '"', len - (size_t)(p - line));
    return quote != NULL && vf_event_parse(p, (size_t)(quote - p), &event) && (s->events >> event & 1) != 0;
}

static enum vf_err take_line(struct since *s, const char *line, size_t len, uint64_t at, struct vf_why *why)
{
    struct vf_entry_view view;
    struct vf_hash leaf;

    if (wanted(s, line, len)) {
        if (vf_entry_parse(line, len, &view, NULL) != VF_OK || view.seq != s->at.tree.size)
            return forged(s, why);
        VF_TRY(s->each(s->user, &view, why));
    }
    vf_leaf_hash(line, len, &leaf);
    vf_tree_add(&s->at.tree, &leaf);
    s->at.seg_at = at;
    if (s->at.tree.size == s->root_at)
        vf_tree_root(&s->at.tree, &s->root);
    return check_root(s, why);
}

static enum vf_err read_segment(struct since *s, struct vf_line_reader *r, uint64_t first, uint64_t limit,
                                struct vf_why *why)
{
    char name[VF_SEGMENT_NAME_LEN + 1];
    enum vf_line_kind kind = VF_LINE_END;
    const char *line = NULL;
    size_t len = 0;
    VF_FD fd = -1;

    vf_segment_name(first, name);
    VF_TRY(vf_segment_open(s->dirfd, s->log->dir, name, O_RDONLY, &fd, NULL, why));
    vf_line_reader_start(r, fd, s->at.seg_at, INT64_MAX);
    while (s->at.tree.size < limit) {
        VF_TRY(vf_line_reader_next(r, s->log->dir, &kind, &line, &len, why));
        if (kind != VF_LINE_WHOLE)
            return forged(s, why);
        VF_TRY(take_line(s, line, len, r->at, why));
    }
    return VF_OK;
}

static enum vf_err read_on(struct since *s, struct vf_why *why)
{
    VF_CLEANUP(vf_line_reader_done) struct vf_line_reader r = {0};
    VF_SEGMENTS segs = {0};
    bool begun = false;

    VF_TRY(check_root(s, why));
    VF_TRY(vf_segments_list(s->dirfd, s->log->dir, &segs, why));
    VF_TRY(vf_line_reader_init(&r, why));
    for (size_t i = 0; i < segs.n && s->at.tree.size < s->end; i++) {
        uint64_t limit = vf_segments_limit(&segs, i) < s->end ? vf_segments_limit(&segs, i) : s->end;
        bool here = s->at.tree.size > 0 && !begun && segs.first[i] == s->at.seg_first;
        if (!here && segs.first[i] < s->at.tree.size)
            continue;
        if (!here && segs.first[i] != s->at.tree.size)
            return forged(s, why);
        if (!here) {
            s->at.seg_first = segs.first[i];
            s->at.seg_at = 0;
        }
        begun = true;
        VF_TRY(read_segment(s, &r, segs.first[i], limit, why));
    }
    return s->at.tree.size < s->end ? forged(s, why) : VF_OK;
}

static enum vf_err run(struct since *s, struct vf_why *why)
{
    struct vf_log *log = s->log;
    VF_FD dirfd = open(log->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    struct vf_log_state state;
    struct vf_note note;
    VF_BUF last = {0};

    if (dirfd < 0)
        return vf_fail_sys(why, "%s: cannot open the folder of the log", log->dir);
    s->dirfd = dirfd;
    vf_buf_init(&last, VF_NOTE_MAX);
    VF_TRY(vf_log_checkpoint_get(log, &last, why));
    if (last.len > 0) {
        VF_TRY(vf_note_parse(last.data, last.len, &note, why));
        VF_TRY(vf_checkpoint_parse(&note, &s->c, why));
    }
    vf_log_state_get(log, &state); /* after the checkpoint: it covers no more than is durable */
    s->end = s->root_at > 0 ? s->c.size : state.size;
    if (s->at.tree.size > s->c.size || s->root_at > s->c.size)
        return forged(s, why);
    return read_on(s, why);
}

enum vf_err vf_log_since(struct vf_log *log, struct vf_log_place *place, uint64_t events,
                         enum vf_err (*each)(void *user, const struct vf_entry_view *entry, struct vf_why *why), void *user,
                         struct vf_why *why)
{
    struct since s = {.log = log, .at = *place, .proven = *place, .events = events, .each = each, .user = user};

    VF_TRY(run(&s, why));
    *place = s.proven;
    return VF_OK;
}

enum vf_err vf_log_root_at(struct vf_log *log, uint64_t size, struct vf_hash *ret, struct vf_why *why)
{
    struct since s = {.log = log, .root_at = size};

    vf_tree_init(&s.at.tree);
    vf_tree_root(&s.at.tree, &s.root);
    if (size > 0)
        VF_TRY(run(&s, why));
    *ret = s.root;
    return VF_OK;
}
