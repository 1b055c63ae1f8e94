/* SPDX-License-Identifier: MIT */
/*
 * The copy of another's log, piece by piece.
 *
 *   1. the new lines and checkpoints are verified in memory, from where the copy stands
 *   2. the lines are appended; durable
 *   3. the checkpoints are appended; durable: only now do the lines count
 *   4. where it stands now is remembered, without a flush
 */
#include "copy.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct vf_log_copy {
    struct vf_copy c;
    char *dir;
    struct vf_origin origin;
    struct vf_hash id;
    struct vf_verify_place at;
};

static void copy_free(struct vf_log_copy **c)
{
    vf_log_copy_close(*c);
    *c = NULL;
}

/* ------------------------------------------------------------------------------------------------------------------ opening */

static enum vf_err take_origin(struct vf_log_copy *k, struct vf_slice origin, const struct vf_note_key *signers,
                               size_t nsigners, struct vf_why *why)
{
    VF_FREE bool *by = calloc(nsigners + 1, sizeof(*by));
    struct vf_note note;
    size_t count = 0;

    if (by == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", k->dir);
    if (origin.len == 0 || origin.len > VF_LOG_ORIGIN_MAX)
        return vf_fail(why, VF_E_FORMAT, "%s: no origin of a log", k->dir);
    vf_sha256(origin.data, origin.len, &k->id);
    VF_TRY(vf_fail_prefix(why, vf_note_parse(origin.data, origin.len, &note, why), "%s: the origin of the log", k->dir));
    VF_TRY(vf_fail_prefix(why, vf_origin_parse(&note, &k->origin, why), "%s: the origin of the log", k->dir));
    if (nsigners == 0)
        return VF_OK;
    VF_TRY(
        vf_fail_prefix(why, vf_note_verify(&note, signers, nsigners, by, &count, why), "%s: the origin of the log", k->dir));
    return count > 0 ? VF_OK
                     : vf_fail(why, VF_E_FORGED, "%s: the origin is signed by none of the keys it should be", k->dir);
}

/* Without its last checkpoints a copy is a good log as well, and a shorter one, behind which a fork would fit. */
static enum vf_err no_shorter(const struct vf_log_copy *k, struct vf_why *why)
{
    struct vf_verify_place places[2];
    size_t n = 0;

    VF_TRY(vf_copy_place_read(&k->c, &k->id, places, &n, why));
    if (n > 0 && places[0].tree.size > k->at.tree.size)
        return vf_fail(why, VF_E_FORGED, "%s: the copy kept here is damaged: it has %llu entries, and had %llu", k->dir,
                       (unsigned long long)k->at.tree.size, (unsigned long long)places[0].tree.size);
    return VF_OK;
}

/* From what is remembered if the copy confirms it, else from the beginning: up to its last checkpoint. */
static enum vf_err verify(struct vf_log_copy *k, const struct vf_note_key *signers, size_t nsigners, struct vf_why *why)
{
    const struct vf_verify_options opt = {.signers = signers, .nsigners = nsigners, .log_id = &k->id};
    VF_FREE struct vf_verdict *v = calloc(1, sizeof(*v));

    if (v == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", k->dir);
    VF_TRY(vf_copy_place_load(&k->c, &k->id, k->origin.line, &k->at, why));
    bool remembered = k->at.tree.size > 0;
    uint64_t was = k->at.tree.size;
    VF_TRY(vf_log_verify_from(k->dir, &opt, &k->at, v, why));
    if (!v->good && remembered) {
        k->at = (struct vf_verify_place){.last_us = 0};
        was = 0;
        VF_TRY(vf_log_verify_from(k->dir, &opt, &k->at, v, why));
    }
    if (!v->good)
        return vf_fail(why, VF_E_FORGED, "%s: the copy kept here is damaged: %s", k->dir, v->findings[0]);
    VF_TRY(no_shorter(k, why));
    if (k->at.tree.size > was)
        vf_copy_place_save(&k->c, &k->id, &k->at);
    return VF_OK;
}

static enum vf_err read_last(struct vf_log_copy *k, struct vf_why *why)
{
    size_t len = (size_t)(k->at.cp_end - k->at.cp_at);
    VF_FD fd = -1;

    vf_buf_init(&k->c.last, VF_RECORD_MAX + 1);
    if (k->at.tree.size == 0)
        return VF_OK;
    uint8_t *to = vf_buf_grow(&k->c.last, len);
    VF_TRY(vf_buf_check(&k->c.last, "the last checkpoint", why));
    VF_TRY(vf_segment_open(k->c.dirfd, k->dir, VF_LOG_CHECKPOINTS, O_RDONLY, &fd, NULL, why));
    VF_TRY(vf_fd_pread(fd, to, len, k->at.cp_at, k->dir, why));
    k->c.last.len--; /* the empty line behind it */
    return VF_OK;
}

/* What the folder functions go by. */
static void stand(struct vf_log_copy *k)
{
    k->c.size = k->at.tree.size;
    k->c.cp_end = k->at.cp_end;
    k->c.seg_first = k->at.seg_first;
    k->c.seg_end = k->at.seg_at;
    k->c.any_segment = k->at.tree.size > 0;
}

enum vf_err vf_log_copy_open(const char *dir, struct vf_slice origin, const struct vf_note_key *signers, size_t nsigners,
                             struct vf_log_copy **ret, struct vf_why *why)
{
    VF_CLEANUP(copy_free) struct vf_log_copy *k = calloc(1, sizeof(*k));
    bool there = false;

    if (k == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", dir);
    k->c.dirfd = k->c.lockfd = -1;
    k->dir = strdup(dir);
    if (k->dir == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", dir);
    k->c.dir = k->dir;
    VF_TRY(take_origin(k, origin, signers, nsigners, why));
    VF_TRY(vf_copy_open(&k->c, why));
    VF_TRY(vf_copy_origin_match(&k->c, origin, dir, &there, why));
    if (!there)
        VF_TRY(vf_copy_origin_put(&k->c, origin, why));
    VF_TRY(verify(k, signers, nsigners, why));
    VF_TRY(read_last(k, why));
    stand(k);
    *ret = k;
    k = NULL;
    return VF_OK;
}

void vf_log_copy_close(struct vf_log_copy *c)
{
    if (c == NULL)
        return;
    vf_copy_done(&c->c);
    free(c->dir);
    free(c);
}

void vf_log_copy_state_get(const struct vf_log_copy *c, struct vf_log_copy_state *ret)
{
    *ret = (struct vf_log_copy_state){.origin = c->origin, .id = c->id, .size = c->at.tree.size, .last_us = c->at.last_us};
    vf_tree_root(&c->at.tree, &ret->root);
}

enum vf_err vf_log_copy_last(struct vf_log_copy *c, struct vf_buf *out, struct vf_why *why)
{
    if (c->c.last.len > 0)
        vf_buf_put(out, c->c.last.data, c->c.last.len);
    return vf_buf_check(out, "the last checkpoint", why);
}

/* ---------------------------------------------------------------------------------------------------------------- extending */

/* 2. *to: where the last line stands. */
static enum vf_err append_lines(struct vf_log_copy *k, struct vf_slice entries, struct vf_verify_place *to,
                                struct vf_why *why)
{
    const char *p = (const char *)entries.data;
    const char *end = p + entries.len;
    VF_COPY_APPEND a = {.fd = -1};

    VF_TRY(vf_copy_append_begin(&a, &k->c, why));
    while (p < end) {
        const char *nl = memchr(p, '\n', (size_t)(end - p)); /* there is one: every line was parsed */
        size_t len = (size_t)(nl - p);
        VF_TRY(vf_copy_append_line(&a, p, len, why));
        p = nl + 1;
    }
    VF_TRY(vf_copy_append_flush(&a, why));
    to->seg_first = a.seg_first;
    to->line_at = a.line_at;
    to->seg_at = a.at;
    return vf_copy_append_sync(&a, why);
}

/* 3. */
static enum vf_err append_checkpoints(struct vf_log_copy *k, struct vf_slice checkpoints, struct vf_why *why)
{
    VF_FD fd = -1;

    VF_TRY(vf_copy_checkpoints_open(&k->c, &fd, why));
    VF_TRY(vf_fd_pwrite(fd, checkpoints.data, checkpoints.len, k->c.cp_end, k->dir, why));
    return vf_copy_checkpoints_sync(&k->c, fd, why);
}

static void tell(struct vf_slice entries, void (*each)(void *user, const struct vf_entry_view *entry), void *user)
{
    const char *p = (const char *)entries.data;
    const char *end = p + entries.len;
    struct vf_entry_view view;

    while (p < end) {
        const char *nl = memchr(p, '\n', (size_t)(end - p));
        if (nl == NULL)
            break;
        if (vf_entry_take(p, (size_t)(nl - p), NULL, &view))
            each(user, &view);
        p = nl + 1;
    }
}

enum vf_err vf_log_copy_extend(struct vf_log_copy *c, uint64_t from, struct vf_slice checkpoints, struct vf_slice entries,
                               void (*each)(void *user, const struct vf_entry_view *entry), void *user, struct vf_why *why)
{
    struct vf_verify_place to = c->at;

    if (from != c->at.tree.size)
        return vf_fail(why, VF_E_STALE, "%s: the copy has %llu entries, and these begin with number %llu", c->dir,
                       (unsigned long long)c->at.tree.size, (unsigned long long)from);
    VF_TRY(vf_fail_prefix(why, vf_verify_extension(&c->origin, &to, checkpoints, entries, why), "%s", c->dir));
    if (to.tree.size == from)
        return vf_fail(why, VF_E_STALE, "%s: nothing new: the copy has these %llu entries", c->dir,
                       (unsigned long long)from);
    /* Its last record is the new last checkpoint, and an empty line. */
    struct vf_slice last = {checkpoints.data + to.cp_at, (size_t)(to.cp_end - to.cp_at) - 1};
    if (!vf_buf_reserve(&c->c.last, last.len))
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", c->dir);
    enum vf_err err = append_lines(c, entries, &to, why);
    if (err == VF_OK)
        err = append_checkpoints(c, checkpoints, why);
    if (err != VF_OK) {
        vf_copy_append_undo(&c->c);
        return err;
    }
    to.cp_at += c->c.cp_end;
    to.cp_end += c->c.cp_end;
    c->at = to;
    stand(c);
    c->c.last.len = 0;
    vf_buf_put(&c->c.last, last.data, last.len);
    vf_copy_place_save(&c->c, &c->id, &c->at);
    if (each != NULL)
        tell(entries, each, user);
    return VF_OK;
}
