/* SPDX-License-Identifier: MIT */
/*
 * Recovery: what every opening does, after a clean end as after a crash. docs/format.md goes through the instants of a crash.
 *
 *   1. Read the seal slots. One: it is `now`. Two: the older is `now`, the newer is `next`, and step 5 of sealing may have been begun.
 *   2. `now` must fit the log: the entry at its place names its key, its checkpoint stands where it says.
 *   3. Read the tail, all entries behind that: each line whole, in sequence. The first that is not ends the log; no entry that anybody
 *      was told to be durable comes after it, because batches are written one after the other.
 *   4. Make the tail durable, by writing it anew: what is read may be in memory only, after an fsync that failed in the process before.
 *   5. Cut a torn line. Damage of more than a line is left where it is and made void by a new segment.
 *   6. `next`: the entries that it knows must be there, with its root. Then its slot and the checkpoint are written (again), and `now` is
 *      wiped.
 *   7. If anything was found behind the last checkpoint, the first entry from now on is a recover entry. So it is when the last session
 *      mounted and never unmounted: what it wrote last may have been taken away so neatly that nothing is found.
 */
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ------------------------------------------------------------------------------------------------------------ 1. and 2. slots */

static enum vf_err read_slots(struct vf_log *log, bool *ret_both, struct vf_why *why)
{
    struct vf_log_secret *s = log->secret;
    struct vf_slot *slots = s->slots;

    VF_TRY(vf_slots_read(log->seal_path, VF_LOG_SLOT_TYPE, slots, why));
    *ret_both = slots[0].present && slots[1].present;
    log->slot = slots[0].present ? 0 : 1;
    if (*ret_both && slots[1].seq < slots[0].seq)
        log->slot = 1;
    unsigned other = 1 - log->slot;
    enum vf_err err = vf_seal_state_decode(slots[log->slot].payload, slots[log->slot].len, &log->id, &s->now, why);
    if (err == VF_OK && *ret_both)
        err = vf_seal_state_decode(slots[other].payload, slots[other].len, &log->id, &s->next, why);
    if (err == VF_OK && *ret_both && (slots[other].seq != slots[log->slot].seq + 1 || s->next.tree.size <= s->now.tree.size))
        err = vf_fail(why, VF_E_DAMAGED, "its two copies do not follow each other");
    if (err == VF_OK && s->now.tree.size == 0 && memcmp(s->now.key.pub, log->origin.seal_key, sizeof(s->now.key.pub)) != 0)
        err = vf_fail(why, VF_E_DAMAGED, "not the key that the log's origin names");
    log->slot_seq = slots[log->slot].seq;
    vf_wipe(slots, sizeof(s->slots));
    return vf_fail_prefix(why, err, "%s", log->seal_path);
}

/* The last line before seg_at is the seal entry that names the key. */
static enum vf_err check_seal_entry(struct vf_log *log, int fd, const char *name, struct vf_why *why)
{
    const struct vf_seal_state *now = &log->secret->now;
    size_t len = now->seg_at < VF_ENTRY_LINE_MAX + 2 ? (size_t)now->seg_at : VF_ENTRY_LINE_MAX + 2;
    struct vf_entry_view view;
    VF_BUF tail = {0};

    vf_buf_init(&tail, len);
    char *p = (char *)vf_buf_grow(&tail, len);
    VF_TRY(vf_buf_check(&tail, name, why));
    VF_TRY(vf_fd_pread(fd, p, len, now->seg_at - len, name, why));
    const char *line = len > 1 ? memrchr(p, '\n', len - 1) : NULL;
    line = line != NULL ? line + 1 : p;
    size_t line_len = len > 0 ? len - 1 - (size_t)(line - p) : 0;
    bool ok = len > 0 && p[len - 1] == '\n' && vf_entry_parse(line, line_len, &view, NULL) == VF_OK &&
              view.event == VF_EVENT_SEAL && view.seq == now->tree.size - 1 &&
              memcmp(view.seal_key, now->key.pub, sizeof(view.seal_key)) == 0;
    return ok ? VF_OK
              : vf_fail(why, VF_E_DAMAGED,
                        "%s/%s: the entry that the seal beside the log goes on from is not there: one of them was restored "
                        "or changed",
                        log->dir, name);
}

/* The last checkpoint into log->checkpoint. *ret_end: where it ends in the file. */
static enum vf_err check_checkpoint(struct vf_log *log, uint64_t *ret_end, struct vf_why *why)
{
    const struct vf_seal_state *now = &log->secret->now;
    VF_CLEANUP(vf_record_reader_done) struct vf_record_reader r = {0};
    enum vf_record_kind kind = VF_RECORD_END;
    struct vf_checkpoint c = {0};
    struct vf_note note;
    struct vf_hash root;
    VF_FD fd = -1;
    const char *p = NULL;
    size_t len = 0;

    *ret_end = 0;
    if (now->tree.size == 0)
        return VF_OK;
    VF_TRY(vf_segment_open(log->dirfd, log->dir, VF_LOG_CHECKPOINTS, O_RDONLY, &fd, NULL, why));
    VF_TRY(vf_record_reader_init(&r, fd, now->cp_at, INT64_MAX, why));
    VF_TRY(vf_record_reader_peek(&r, log->dir, &kind, &p, &len, why));
    vf_tree_root(&now->tree, &root);
    if (kind != VF_RECORD_WHOLE || vf_note_parse(p, len, &note, NULL) != VF_OK ||
        vf_checkpoint_parse(&note, &c, NULL) != VF_OK || strcmp(c.origin, log->origin.line) != 0 ||
        c.size != now->tree.size || !vf_equal(c.root.b, root.b, sizeof(root.b)))
        return vf_fail(why, VF_E_DAMAGED,
                       "%s/" VF_LOG_CHECKPOINTS
                       ": the checkpoint that the seal beside the log goes on from is not there: one of "
                       "them was restored or changed",
                       log->dir);
    vf_buf_put(&log->checkpoint, p, len);
    *ret_end = now->cp_at + len + 1;
    return vf_buf_check(&log->checkpoint, "a checkpoint", why);
}

/* Nothing may stand behind the last checkpoint, unless another was being written. */
static enum vf_err check_end(struct vf_log *log, uint64_t end, struct vf_why *why)
{
    struct stat st;

    if (fstatat(log->dirfd, VF_LOG_CHECKPOINTS, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno == ENOENT && end == 0)
            return VF_OK;
        return vf_fail_sys(why, "%s/" VF_LOG_CHECKPOINTS ": cannot look it up", log->dir);
    }
    if ((uint64_t)st.st_size != end)
        return vf_fail(why, VF_E_DAMAGED,
                       "%s/" VF_LOG_CHECKPOINTS
                       ": goes on behind what the seal beside the log knows: that was restored from an older "
                       "copy, or somebody wrote to the file",
                       log->dir);
    return VF_OK;
}

/* ----------------------------------------------------------------------------------------------------------------- 3. the tail */

struct tail {
    struct vf_tree tree;
    int64_t last_us;
    uint64_t seg_first, seg_at, seg_size; /* of the last segment: behind the last good line; the file's size */
    uint64_t from;                        /* where the tail begins in that segment */
    bool many;                            /* what stands behind the last good line is more than a torn one */
    bool next_seen;                       /* the tree passed the size of `next`, with its root */
};

static void add_line(struct vf_log *log, struct tail *t, const struct vf_entry_view *view, uint64_t at)
{
    const struct vf_seal_state *next = &log->secret->next;
    struct vf_hash leaf, mine, theirs;

    vf_leaf_hash(view->line, view->line_len, &leaf);
    vf_tree_add(&t->tree, &leaf);
    t->last_us = view->time_us;
    t->seg_at = at;
    if (next->tree.size != t->tree.size)
        return;
    vf_tree_root(&t->tree, &mine);
    vf_tree_root(&next->tree, &theirs);
    t->next_seen = vf_equal(mine.b, theirs.b, sizeof(mine.b)) && next->seg_first == t->seg_first && next->seg_at == at;
}

/* One segment from t->seg_at up to the first line that is none, or to `limit`. *ret_bad: it stopped before both. */
static enum vf_err read_segment(struct vf_log *log, struct tail *t, struct vf_line_reader *r, int fd, uint64_t limit,
                                bool *ret_bad, struct vf_why *why)
{
    enum vf_line_kind kind = VF_LINE_END;
    struct vf_entry_view view;
    const char *line = NULL;
    size_t len = 0;

    *ret_bad = false;
    vf_line_reader_start(r, fd, t->seg_at, INT64_MAX);
    while (t->tree.size < limit) {
        VF_TRY(vf_line_reader_next(r, log->dir, &kind, &line, &len, why));
        if (kind == VF_LINE_END)
            break;
        if (kind == VF_LINE_WHOLE && vf_entry_parse(line, len, &view, NULL) == VF_OK && view.seq == t->tree.size &&
            view.time_us >= t->last_us) {
            add_line(log, t, &view, r->at);
            continue;
        }
        *ret_bad = true;
        t->many = kind != VF_LINE_TORN;
        break;
    }
    return VF_OK;
}

static enum vf_err read_segments(struct vf_log *log, struct tail *t, const struct vf_segments *segs,
                                 struct vf_line_reader *r, struct vf_why *why)
{
    char name[VF_SEGMENT_NAME_LEN + 1];
    bool bad = false;

    for (size_t i = 0; i < segs->n; i++) {
        VF_FD fd = -1;
        bool here = segs->first[i] == t->seg_first;
        if (segs->first[i] < t->seg_first)
            continue;
        vf_segment_name(segs->first[i], name);
        if (bad || (!here && segs->first[i] != t->tree.size) || (here && vf_segments_limit(segs, i) < t->tree.size))
            return vf_fail(why, VF_E_DAMAGED,
                           "%s: entry %llu is missing or damaged, although %s was begun after it was durable", log->dir,
                           (unsigned long long)t->tree.size, name);
        VF_TRY(vf_segment_open(log->dirfd, log->dir, name, O_RDONLY, &fd, &t->seg_size, why));
        if (!here) {
            t->seg_first = segs->first[i];
            t->seg_at = 0;
        }
        t->from = t->seg_at;
        if (t->seg_size < t->seg_at)
            return vf_fail(why, VF_E_DAMAGED, "%s/%s: sealed entries are missing at its end", log->dir, name);
        if (here && t->seg_at > 0)
            VF_TRY(check_seal_entry(log, fd, name, why));
        VF_TRY(read_segment(log, t, r, fd, vf_segments_limit(segs, i), &bad, why));
        bad = bad || t->tree.size < vf_segments_limit(segs, i);
    }
    /* A segment gets its name when its first batch is on the disk: no crash tears its first line. */
    if (bad && t->many && t->seg_at == 0)
        return vf_fail(why, VF_E_DAMAGED, "%s: entry %llu is damaged", log->dir, (unsigned long long)t->tree.size);
    return VF_OK;
}

static enum vf_err read_tail(struct vf_log *log, struct tail *t, struct vf_why *why)
{
    const struct vf_seal_state *now = &log->secret->now;
    VF_CLEANUP(vf_line_reader_done) struct vf_line_reader r = {0};
    VF_SEGMENTS segs = {0};
    bool found = now->tree.size == 0;

    *t = (struct tail){.tree = now->tree, .last_us = now->time_us, .seg_first = now->seg_first, .seg_at = now->seg_at};
    VF_TRY(vf_segments_list(log->dirfd, log->dir, &segs, why));
    for (size_t i = 0; i < segs.n; i++)
        found = found || segs.first[i] == now->seg_first;
    if (!found)
        return vf_fail(why, VF_E_DAMAGED, "%s: the segment with the last sealed entry is missing", log->dir);
    VF_TRY(vf_line_reader_init(&r, why));
    return read_segments(log, t, &segs, &r, why);
}

/* ------------------------------------------------------------------------------------------------------ 4. and 5. make it good */

/* The same bytes once more over themselves. */
static enum vf_err rewrite(struct vf_log *log, int fd, uint64_t from, uint64_t to, struct vf_why *why)
{
    uint8_t chunk[65536];

    while (from < to) {
        size_t n = to - from < sizeof(chunk) ? (size_t)(to - from) : sizeof(chunk);
        VF_TRY(vf_fd_pread(fd, chunk, n, from, log->dir, why));
        VF_TRY(vf_fd_pwrite(fd, chunk, n, from, log->dir, why));
        from += n;
    }
    return VF_OK;
}

static enum vf_err settle_tail(struct vf_log *log, const struct tail *t, struct vf_why *why)
{
    char name[VF_SEGMENT_NAME_LEN + 1];
    VF_FD fd = -1;

    if (t->seg_size == 0)
        return VF_OK;
    vf_segment_name(t->seg_first, name);
    VF_TRY(vf_segment_open(log->dirfd, log->dir, name, O_RDWR, &fd, NULL, why));
    VF_TRY(rewrite(log, fd, t->from, t->seg_at, why));
    if (t->seg_size > t->seg_at && !t->many && ftruncate(fd, (off_t)t->seg_at) != 0)
        return vf_fail_sys(why, "%s/%s: cannot cut the torn end", log->dir, name);
    if (fsync(fd) != 0 || (fsync(log->dirfd) != 0 && errno != EINVAL))
        return vf_fail_sys(why, "%s/%s: cannot make it durable", log->dir, name);
    if (fstat(fd, &log->seg_st) != 0)
        return vf_fail_sys(why, "%s/%s: cannot look it up", log->dir, name);
    log->segfd = fd;
    fd = -1;
    return VF_OK;
}

/* -------------------------------------------------------------------------------------------------------------- 6. the old key */

static enum vf_err settle_seal(struct vf_log *log, const struct tail *t, bool both, uint64_t cp_end, struct vf_why *why)
{
    if (!both) {
        VF_TRY(check_end(log, cp_end, why));
        /* A wipe may have been torn: what is no slot any more can still show half of a key. */
        return vf_slots_write(log->seal_path, VF_LOG_SLOT_TYPE, 1 - log->slot, 0, NULL, 0, why);
    }
    if (!t->next_seen || log->secret->next.cp_at != cp_end)
        return vf_fail(why, VF_E_DAMAGED,
                       "%s: entries that the seal beside the log knows as durable are not there, or others", log->dir);
    /* From the slot on: what was read of it may be in memory only, and the old key must not sign before the new one is durable. */
    log->step = VF_SEAL_SLOT;
    VF_TRY(vf_log_seal_finish(log, why));
    vf_buf_reset(&log->checkpoint);
    vf_buf_put(&log->checkpoint, log->record.data, log->record.len - 1);
    return vf_buf_check(&log->checkpoint, "a checkpoint", why);
}

/* ----------------------------------------------------------------------------------------------------------- 7. the last session */

enum last { LAST_CLOSED, LAST_UNCLOSED, LAST_UNKNOWN };

/* How far back to look, and what was seen of the session so far. */
struct look_back {
    size_t left;
    bool first;
    char session[VF_ENTRY_SESSION_LEN];
};

/* From the last line backwards, as long as the session is the same. `whole`: the first byte begins a line. Lines from `limit` on are void. */
static enum last last_session(struct look_back *l, const char *p, size_t len, bool whole, uint64_t limit)
{
    struct vf_entry_view view;

    while (len > 0) {
        const char *nl = memrchr(p, '\n', len - 1);
        const char *line = nl != NULL ? nl + 1 : p;
        size_t line_len = len - 1 - (size_t)(line - p);
        len = (size_t)(line - p);
        if (nl == NULL && !whole)
            break;
        if (vf_entry_parse(line, line_len, &view, NULL) != VF_OK || view.seq >= limit ||
            view.session.len != sizeof(l->session))
            continue; /* what failed to be written, before another segment was begun */
        if (l->first)
            memcpy(l->session, view.session.p, sizeof(l->session));
        l->first = false;
        if (memcmp(l->session, view.session.p, sizeof(l->session)) != 0 || view.event == VF_EVENT_UNMOUNT)
            return LAST_CLOSED;
        if (view.event == VF_EVENT_MOUNT)
            return LAST_UNCLOSED;
    }
    return LAST_UNKNOWN;
}

static enum vf_err look_into(struct vf_log *log, struct look_back *l, uint64_t first, uint64_t limit, uint64_t end,
                             enum last *ret, struct vf_why *why)
{
    char name[VF_SEGMENT_NAME_LEN + 1];
    VF_FD fd = -1;
    uint64_t size = 0;

    vf_segment_name(first, name);
    VF_TRY(vf_segment_open(log->dirfd, log->dir, name, O_RDONLY, &fd, &size, why));
    end = size < end ? size : end;
    size_t len = end < l->left ? (size_t)end : l->left;
    VF_FREE char *p = malloc(len + 1);
    if (p == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", log->dir);
    VF_TRY(vf_fd_pread(fd, p, len, end - len, log->dir, why));
    l->left -= len;
    const char *nl = len > 0 ? memrchr(p, '\n', len) : NULL;
    *ret = last_session(l, p, nl != NULL ? (size_t)(nl + 1 - p) : 0, len == end, limit);
    return VF_OK;
}

/* A session that cannot be seen whole is long: one of a mount. Nothing is lost by a recover entry too many. */
static enum vf_err find_unclosed(struct vf_log *log, const struct tail *t, bool *ret, struct vf_why *why)
{
    static const size_t looks[] = {(size_t)16 << 10, (size_t)4 << 20};
    enum last last = LAST_UNKNOWN;
    VF_SEGMENTS segs = {0};

    *ret = false;
    if (log->origin.kind != VF_LOG_STATION || t->tree.size == 0)
        return VF_OK;
    VF_TRY(vf_segments_list(log->dirfd, log->dir, &segs, why));
    for (unsigned look = 0; look < 2 && last == LAST_UNKNOWN; look++) {
        struct look_back l = {.left = looks[look], .first = true};
        for (size_t i = segs.n; i-- > 0 && last == LAST_UNKNOWN && l.left > 0;)
            VF_TRY(look_into(log, &l, segs.first[i], vf_segments_limit(&segs, i),
                             segs.first[i] == t->seg_first ? t->seg_at : UINT64_MAX, &last, why));
        if (last == LAST_UNKNOWN && l.left > 0)
            last = LAST_CLOSED; /* there never was another session, and it did not mount */
    }
    *ret = last != LAST_CLOSED;
    return VF_OK;
}

enum vf_err vf_log_recover(struct vf_log *log, struct vf_why *why)
{
    struct tail t;
    uint64_t cp_end = 0;
    bool both = false, unclosed = false;

    VF_TRY(read_slots(log, &both, why));
    uint64_t sealed_before = log->secret->now.tree.size;
    VF_TRY(check_checkpoint(log, &cp_end, why));
    VF_TRY(read_tail(log, &t, why));
    VF_TRY(settle_tail(log, &t, why));
    VF_TRY(find_unclosed(log, &t, &unclosed, why));
    VF_TRY(settle_seal(log, &t, both, cp_end, why));
    log->tree = t.tree;
    log->next = t.tree.size;
    log->durable = t.tree.size;
    log->sealed = log->secret->now.tree.size;
    log->sealed_us = log->secret->now.time_us;
    log->seg_first = t.seg_first;
    log->seg_len = t.seg_at;
    log->seg_new = t.many;
    log->last_us = t.last_us;
    log->durable_us = t.last_us;
    log->recover_cut = t.seg_size > t.seg_at ? t.seg_size - t.seg_at : 0;
    log->recover_kept = t.tree.size - sealed_before;
    log->recover = log->recover_cut > 0 || log->recover_kept > 0 || unclosed;
    log->unsealed_us = log->durable > log->sealed ? vf_clock_boot_us() : INT64_MAX;
    return VF_OK;
}
