/* SPDX-License-Identifier: MIT */
/*
 * A handed-in file where the copy may have been damaged since.
 *
 *   1. lock the copy and verify it; a good one goes on growing as ever
 *   2. gather what still says what was handed in before: the caller's word, the copy's own places, its last checkpoint
 *   3. verify the file: from its beginning, with these as checkpoints that it must contain
 *   4. make a whole copy of it under another name, durable
 *   5. exchange the two, in one step; then give the damaged one its name
 *
 * A crash before 5 leaves a folder NAME.new that is a good part of the log, one within 5 leaves the damaged one there: nobody can tell
 * which, so whoever finds such a folder keeps it under a name of its own. Nothing that was handed in is ever removed.
 */
#include "copy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NEW     ".new"
#define ANCHORS 3
#define NAMES   100 /* folders put aside in one second */

struct mend {
    struct vf_copy *c;
    const struct vf_source *file;
    const struct vf_verify_options *opt;
    struct vf_handin_mend *out;
    struct vf_origin origin; /* of the file */
    struct vf_hash id;
    struct vf_buf text[ANCHORS];
    struct vf_note anchors[ANCHORS];
    size_t n;
    uint64_t sure;      /* entries that the furthest of these covers */
    struct vf_buf last; /* the copy's last checkpoint that can be read, a whole note; empty: none */
    uint64_t last_size;
    bool last_ends; /* nothing stands behind it */
};

static void mend_done(struct mend *m)
{
    for (size_t i = 0; i < ANCHORS; i++)
        vf_buf_done(&m->text[i]);
    vf_buf_done(&m->last);
}

/* ----------------------------------------------------------------------------------------------------------- 1. is it good? */

/* Of what a damaged disk brings, all but what another try could mend. */
static bool is_damage(enum vf_err err)
{
    return err == VF_E_DAMAGED || err == VF_E_FORGED || err == VF_E_FORMAT || err == VF_E_VERSION || err == VF_E_NOT_FOUND ||
           err == VF_E_INPUT || err == VF_E_LIMIT;
}

static bool missing(const struct mend *m, const char *name)
{
    return faccessat(m->c->dirfd, name, F_OK, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT;
}

/*
 * Nothing of a copy is there, as before the first hand-in: a crash leaves no part of it without its origin. One that remembers where it stood has
 * lost all the rest.
 */
static enum vf_err is_empty(const struct mend *m, bool *ret, struct vf_why *why)
{
    VF_SEGMENTS segs = {0};

    VF_TRY(vf_segments_list(m->c->dirfd, m->c->dir, &segs, why));
    *ret = segs.n == 0 && missing(m, VF_LOG_CHECKPOINTS) && missing(m, VF_COPY_PLACE);
    return VF_OK;
}

/*
 * What is left when checkpoints are cut off is a good log as well, and a shorter one: what stands behind its last checkpoint would be removed by
 * the next hand-in, a fork's too.
 */
static enum vf_err is_shorter(struct mend *m, const struct vf_verdict *v, bool *ret, struct vf_why *why)
{
    struct vf_verify_place places[2];
    uint64_t had = m->out->known;
    size_t n = 0;

    VF_TRY(vf_copy_place_read(m->c, &v->id, places, &n, why));
    if (n > 0 && places[0].tree.size > had)
        had = places[0].tree.size;
    *ret = v->sealed < had;
    if (*ret)
        (void)snprintf(m->out->words, sizeof(m->out->words), "it has %llu entries, and %llu were handed in",
                       (unsigned long long)v->sealed, (unsigned long long)had);
    return VF_OK;
}

/* *ret_good also of a copy that was not begun. */
static enum vf_err look(struct mend *m, bool *ret_good, struct vf_why *why)
{
    const struct vf_verify_options opt = {
        .signers = m->opt->signers, .nsigners = m->opt->nsigners, .log_id = m->opt->log_id};
    VF_FREE struct vf_verdict *v = calloc(1, sizeof(*v));
    struct vf_why bad = {0};
    bool shorter = false;

    if (v == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", m->c->dir);
    VF_TRY(is_empty(m, ret_good, why));
    if (faccessat(m->c->dirfd, VF_LOG_ORIGIN, F_OK, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno != ENOENT)
            return vf_fail_sys(why, "%s/" VF_LOG_ORIGIN ": cannot look it up", m->c->dir);
        (void)snprintf(m->out->words, sizeof(m->out->words), "its origin is missing");
        return VF_OK;
    }
    enum vf_err err = vf_log_verify(m->c->dir, &opt, v, &bad);
    if (err != VF_OK && !is_damage(err))
        return vf_fail(why, err, "%s", bad.text);
    *ret_good = err == VF_OK && v->good;
    if (!*ret_good)
        (void)snprintf(m->out->words, sizeof(m->out->words), "%.239s", err != VF_OK ? bad.text : v->findings[0]);
    else
        VF_TRY(is_shorter(m, v, &shorter, why));
    *ret_good = *ret_good && !shorter;
    return VF_OK;
}

/* -------------------------------------------------------------------------------------------------------- 2. what is remembered */

static enum vf_err add_anchor(struct mend *m, uint64_t size, const struct vf_hash *root, struct vf_why *why)
{
    struct vf_buf *b = &m->text[m->n];

    vf_buf_init(b, VF_RECORD_MAX);
    vf_checkpoint_put(m->origin.line, size, root, b);
    VF_TRY(vf_buf_check(b, "a checkpoint", why));
    m->sure = size > m->sure ? size : m->sure;
    m->anchors[m->n++] = (struct vf_note){.text = (const char *)b->data, .text_len = b->len};
    return VF_OK;
}

/* The last record of the copy that is a checkpoint of this log, whatever stands around it. */
static enum vf_err find_last(struct mend *m, struct vf_why *why)
{
    VF_CLEANUP(vf_record_reader_done) struct vf_record_reader r = {0};
    enum vf_record_kind kind = VF_RECORD_WHOLE;
    struct vf_checkpoint cp;
    struct vf_note note;
    bool more = true;
    bool whole = false;
    VF_FD fd = -1;
    enum vf_err err = vf_segment_open(m->c->dirfd, m->c->dir, VF_LOG_CHECKPOINTS, O_RDONLY, &fd, NULL, why);

    vf_buf_init(&m->last, VF_RECORD_MAX);
    if (err == VF_E_NOT_FOUND)
        return VF_OK;
    VF_TRY(err);
    VF_TRY(vf_record_reader_init(&r, fd, 0, INT64_MAX, why));
    while (more) {
        const char *p = NULL;
        size_t len = 0;
        VF_TRY(vf_record_reader_peek(&r, m->c->dir, &kind, &p, &len, why));
        m->last_ends = kind == VF_RECORD_END && whole;
        if (kind == VF_RECORD_END || kind == VF_RECORD_TORN)
            break;
        whole = false;
        if (kind != VF_RECORD_WHOLE || vf_note_parse(p, len, &note, NULL) != VF_OK ||
            vf_checkpoint_parse(&note, &cp, NULL) != VF_OK || strcmp(cp.origin, m->origin.line) != 0) {
            VF_TRY(vf_record_reader_resync(&r, m->c->dir, m->origin.line, &more, why));
            continue;
        }
        m->last.len = 0;
        vf_buf_put(&m->last, p, len);
        m->last_size = cp.size;
        whole = true;
        vf_record_reader_pass(&r, len);
    }
    return vf_buf_check(&m->last, "a checkpoint", why);
}

static enum vf_err read_origin(struct mend *m, struct vf_why *why)
{
    struct vf_note note;

    VF_TRY(vf_fail_prefix(why, vf_note_parse(m->file->origin.data, m->file->origin.len, &note, why), "%s", m->file->path));
    VF_TRY(vf_fail_prefix(why, vf_origin_parse(&note, &m->origin, why), "%s", m->file->path));
    vf_sha256(m->file->origin.data, m->file->origin.len, &m->id);
    return VF_OK;
}

/* The caller's word. */
static enum vf_err gather_known(struct mend *m, struct vf_why *why)
{
    return m->out->known > 0 && m->out->has_root ? add_anchor(m, m->out->known, &m->out->root, why) : VF_OK;
}

static enum vf_err gather(struct mend *m, struct vf_why *why)
{
    struct vf_verify_place places[2];
    struct vf_hash root;
    size_t n = 0;

    VF_TRY(gather_known(m, why));
    VF_TRY(vf_copy_place_read(m->c, &m->id, places, &n, why));
    for (size_t i = 0; i < n; i++) {
        vf_tree_root(&places[i].tree, &root);
        VF_TRY(add_anchor(m, places[i].tree.size, &root, why));
    }
    return find_last(m, why);
}

/* --------------------------------------------------------------------------------------------------------------- 3. the file */

/* Is the copy's last checkpoint one of the file's, byte for byte? */
static enum vf_err has_last(const struct mend *m, bool *ret, struct vf_why *why)
{
    VF_CLEANUP(vf_record_reader_done) struct vf_record_reader r = {0};
    enum vf_record_kind kind = VF_RECORD_WHOLE;
    const char *p = NULL;
    size_t len = 0;

    *ret = false;
    VF_TRY(vf_record_reader_init(&r, m->file->fd, m->file->cp_at, m->file->cp_end, why));
    while (!*ret) {
        VF_TRY(vf_record_reader_peek(&r, m->file->path, &kind, &p, &len, why));
        if (kind != VF_RECORD_WHOLE)
            break;
        *ret = len == m->last.len && memcmp(p, m->last.data, len) == 0;
        vf_record_reader_pass(&r, len);
    }
    return VF_OK;
}

/* The caller's options, with the anchors among the checkpoints. */
static enum vf_err with_anchors(const struct mend *m, struct vf_note **notes, struct vf_verify_options *ret,
                                struct vf_why *why)
{
    size_t given = m->opt->ncheckpoints;

    *ret = *m->opt;
    *notes = calloc(given + ANCHORS, sizeof(**notes));
    if (*notes == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", m->file->path);
    if (given > 0)
        memcpy(*notes, m->opt->checkpoints, given * sizeof(**notes));
    memcpy(*notes + given, m->anchors, m->n * sizeof(**notes));
    ret->checkpoints = *notes;
    ret->ncheckpoints = given + m->n;
    return VF_OK;
}

static enum vf_err verify_file(struct mend *m, struct vf_verdict *v, struct vf_why *why)
{
    VF_FREE struct vf_note *notes = NULL;
    struct vf_verify_options with;

    VF_TRY(with_anchors(m, &notes, &with, why));
    VF_TRY(vf_log_verify(m->file->path, &with, v, why));
    if (!v->good)
        return vf_fail(why, VF_E_FORGED, "%s: cannot take the place of the copy kept here, which is damaged: %s",
                       m->file->path, v->findings[0]);
    if (v->sealed < m->out->known)
        return vf_fail(why, VF_E_FORGED, "%s: has %llu entries, fewer than the %llu that were handed in before",
                       m->file->path, (unsigned long long)v->sealed, (unsigned long long)m->out->known);
    return VF_OK;
}

/*
 * The file contains all anchors. The copy's last checkpoint is enough by itself where nothing is damaged behind it and the file has it. Where
 * the file has it not, it is taken for damaged only if it covers no more than an anchor does. All that the caller knows of must be covered.
 */
static enum vf_err judge(const struct mend *m, struct vf_why *why)
{
    bool any = m->last.len > 0;
    bool contained = false;

    if (any)
        VF_TRY(has_last(m, &contained, why));
    if (any && !contained && m->n > 0 && m->last_size > m->sure)
        return vf_fail(
            why, VF_E_FORGED,
            "%s: the copy kept here is damaged, but it had %llu entries, and its last checkpoint is not in this file: this "
            "is an older log, or one of two that the device's computer has written. Keep both",
            m->file->path, (unsigned long long)m->last_size);
    const uint64_t covered = contained && m->last_size > m->sure ? m->last_size : m->sure;
    if (covered < m->out->known || (m->n == 0 && (!contained || !m->last_ends)))
        return vf_fail(
            why, VF_E_DAMAGED,
            "%s: the copy kept here is damaged, and nothing that is whole says what was handed in before and is in this "
            "file too. Compare the two by hand; to take this file nonetheless, move the folder %s away",
            m->file->path, m->c->dir);
    return VF_OK;
}

/* --------------------------------------------------------------------------------------------------------- 4. and 5. its place */

/* "20261121T120000Z": a name that every filesystem takes. */
static void compact_time(char out[VF_TIME_LEN + 1])
{
    size_t n = 0;

    vf_time_format(vf_clock_wall_us(), out);
    for (const char *p = out; *p != '\0'; p++)
        if (*p != '-' && *p != ':')
            out[n++] = *p;
    out[n] = '\0';
}

/* PATH.new becomes NAME.damaged-TIME beside `dir`, whatever it is. *ret_name: that name. */
static enum vf_err put_aside(const char *dir, const char *new, char *ret_name, size_t size, struct vf_why *why)
{
    VF_FREE char *parent = vf_path_parent(dir);
    const char *slash = strrchr(dir, '/');
    char time[VF_TIME_LEN + 1];
    int err = EEXIST;

    compact_time(time);
    for (unsigned n = 0; n < NAMES && err == EEXIST; n++) {
        char more[16] = "";
        if (n > 0)
            (void)snprintf(more, sizeof(more), "-%u", n + 1);
        int len = snprintf(ret_name, size, "%s.damaged-%s%s", slash != NULL ? slash + 1 : dir, time, more);
        VF_FREE char *path = parent != NULL && len > 0 && (size_t)len < size ? vf_path_join(parent, ret_name) : NULL;
        if (path == NULL)
            return vf_fail(why, VF_E_NOMEM, "%s: no memory for a name beside it", dir);
        err = renameat2(AT_FDCWD, new, AT_FDCWD, path, RENAME_NOREPLACE) == 0 ? 0 : errno;
    }
    errno = err;
    if (err != 0)
        return vf_fail_sys(why, "%s: cannot put it aside", new);
    return vf_dir_sync(parent, why);
}

static enum vf_err exchange(const struct mend *m, struct vf_copy *fresh, const struct vf_verdict *v, struct vf_why *why)
{
    VF_FREE char *parent = vf_path_parent(m->c->dir);

    if (parent == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", m->c->dir);
    VF_TRY(vf_copy_open(fresh, why));
    VF_TRY(vf_handin_fill(fresh, m->file, v, why));
    VF_TRY(vf_dir_sync(fresh->dir, why));
    VF_TRY(vf_dir_sync(parent, why));
    if (renameat2(AT_FDCWD, fresh->dir, AT_FDCWD, m->c->dir, RENAME_EXCHANGE) != 0)
        return vf_fail_sys(why, "%s: cannot take the place of the damaged copy", fresh->dir);
    return VF_OK;
}

/* What did not get its place: here, unlike after a crash, it is known which of the two it is. Else each try on a full disk would fill it further. */
static void give_up(const struct vf_copy *fresh)
{
    struct stat ours;
    struct stat there;

    if (fresh->dirfd < 0)
        (void)rmdir(fresh->dir); /* it was made, and no more */
    else if (fstat(fresh->dirfd, &ours) == 0 && lstat(fresh->dir, &there) == 0 && ours.st_dev == there.st_dev &&
             ours.st_ino == there.st_ino)
        vf_dir_remove(fresh->dir);
}

static enum vf_err replace(const struct mend *m, const char *new, const struct vf_verdict *v, struct vf_why *why)
{
    VF_CLEANUP(vf_copy_done) struct vf_copy fresh = {.dir = new, .dirfd = -1, .lockfd = -1};
    enum vf_err err = exchange(m, &fresh, v, why);

    if (err == VF_OK)
        return put_aside(m->c->dir, new, m->out->aside, sizeof(m->out->aside), why);
    give_up(&fresh);
    return err;
}

static void tell(const struct mend *m, struct vf_verdict *v)
{
    char *note = v->notes[v->nnotes < VF_VERDICT_NOTES_MAX ? v->nnotes++ : VF_VERDICT_NOTES_MAX - 1];

    v->mended = true;
    (void)snprintf(note, sizeof(v->notes[0]),
                   "the copy kept here was damaged; it is beside this one now, as %.64s. What was wrong: %.90s",
                   m->out->aside, m->out->words);
}

static enum vf_err mend(struct mend *m, const char *new, struct vf_verdict *v, struct vf_why *why)
{
    /* Else any good log could take the place of one whose origin is damaged. */
    if (m->opt->log_id == NULL)
        return vf_fail(why, VF_E_DAMAGED, "%s: the copy kept here is damaged, and which log it should be is not known",
                       m->c->dir);
    VF_TRY(read_origin(m, why));
    VF_TRY(gather(m, why));
    VF_TRY(verify_file(m, v, why));
    VF_TRY(judge(m, why));
    VF_TRY(replace(m, new, v, why));
    tell(m, v);
    return VF_OK;
}

/*
 * A copy that is good, or was not begun, or is gone as a whole. What the caller remembers holds for it too: else whoever can take the folder away,
 * or put another in its place, makes a log that was rewritten the true one.
 */
static enum vf_err grow(struct mend *m, struct vf_verdict *v, struct vf_why *why)
{
    VF_FREE struct vf_note *notes = NULL;
    struct vf_verify_options with;

    /* An origin that cannot be read is refused below, in words of its own. */
    if (read_origin(m, NULL) == VF_OK)
        VF_TRY(gather_known(m, why));
    VF_TRY(with_anchors(m, &notes, &with, why));
    return vf_handin_store_in(m->c, m->file, &with, v, why);
}

/* ------------------------------------------------------------------------------------------------------------------- together */

static enum vf_err store(struct mend *m, struct vf_verdict *v, struct vf_why *why)
{
    char left[sizeof(m->out->aside)];
    VF_FREE char *new = NULL;
    struct stat st;
    bool good = false;

    if (asprintf(&new, "%s" NEW, m->c->dir) < 0)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", m->c->dir);
    VF_TRY(vf_copy_open(m->c, why));
    if (lstat(new, &st) == 0)
        VF_TRY(put_aside(m->c->dir, new, left, sizeof(left), why));
    VF_TRY(look(m, &good, why));
    return good ? grow(m, v, why) : mend(m, new, v, why);
}

enum vf_err vf_handin_store_mend(const char *file, const char *dir, const struct vf_verify_options *opt,
                                 struct vf_handin_mend *mend, struct vf_verdict *ret, struct vf_buf *checkpoint,
                                 struct vf_why *why)
{
    VF_CLEANUP(vf_copy_done) struct vf_copy c = {.dir = dir, .dirfd = -1, .lockfd = -1};
    VF_FREE struct vf_verdict *v = calloc(1, sizeof(*v));
    VF_SOURCE src = {.fd = -1, .cp_fd = -1};
    VF_CLEANUP(mend_done) struct mend m = {.c = &c, .file = &src, .opt = opt, .out = mend};

    mend->aside[0] = mend->words[0] = '\0';
    if (v == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", file);
    vf_buf_init(&c.last, VF_RECORD_MAX);
    VF_TRY(vf_source_open(file, &src, why));
    if (src.folder)
        return vf_fail(why, VF_E_INPUT, "%s: a folder, not a handed-in file", file);
    enum vf_err err = store(&m, v, why);
    if (ret != NULL)
        *ret = *v;
    VF_TRY(err);
    return checkpoint != NULL ? vf_handin_last(&src, v, checkpoint, why) : VF_OK;
}
