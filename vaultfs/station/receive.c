/* SPDX-License-Identifier: MIT */
/*
 * What comes from the force: each file is checked in full before anything of it counts, each is idempotent, a bad one stops none of the
 * others. Order: policies, revocations, grants, bundles, receipts, however they were named.
 */
#include "station_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct row { /* one row to put, for vf_store_update */
    unsigned table;
    const void *key;
    size_t key_len;
    const void *prefix;
    size_t prefix_len;
    const void *data;
    size_t len;
};

static enum vf_err put_row(struct vf_txn *txn, void *user, struct vf_why *why)
{
    const struct row *row = user;
    (void)why;
    uint8_t *at = vf_txn_reserve(txn, row->table, row->key, row->key_len, row->prefix_len + row->len);
    if (!at)
        return vf_txn_error(txn);
    if (row->prefix_len)
        memcpy(at, row->prefix, row->prefix_len);
    memcpy(at + row->prefix_len, row->data, row->len);
    return VF_OK;
}

static bool has_row(struct vf_station *st, unsigned table, const void *key, size_t key_len)
{
    VF_TXN txn = NULL;
    struct vf_slice unused;
    return vf_txn_read(st->store, &txn, NULL) == VF_OK && vf_txn_get(txn, table, key, key_len, &unused);
}

static enum vf_err log_receive(struct vf_station *st, const struct vf_grant *g, const char *object, struct vf_why *why)
{
    struct vf_entry e = {.event = VF_EVENT_RECEIVE, .part = -1, .object = object, .result = "ok"};
    if (g) {
        e.grant = &g->id;
        e.job = g->job;
        e.recipient = g->recipient;
        e.all = &g->manifest_hash;
        e.has_count = true;
        e.count = g->records;
    }
    return vf_log_commit(st->log, &e, why);
}

static enum vf_err slurp(int fd, const char *name, size_t max, struct vf_buf *ret, struct vf_why *why)
{
    struct stat s;
    if (fstat(fd, &s))
        return vf_fail_sys(why, "%s", name);
    if (!S_ISREG(s.st_mode))
        return vf_fail(why, VF_E_INPUT, "%s: not a file", name);
    if (s.st_size < 0 || (uint64_t)s.st_size > max)
        return vf_fail(why, VF_E_LIMIT, "%s: larger than a file of its kind can be", name);
    vf_buf_init(ret, max);
    uint8_t *at = vf_buf_grow(ret, (size_t)s.st_size);
    VF_TRY(vf_buf_check(ret, name, why));
    return at ? vf_fd_pread(fd, at, (size_t)s.st_size, 0, name, why) : vf_fail(why, VF_E_FORMAT, "%s: empty", name);
}

void vf_received_tell(struct vf_received *told, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(told->text, sizeof(told->text), fmt, args);
    va_end(args);
}

/* -------------------------------------------------------------------------------------------------------------- policy */

static enum vf_err take_policy(struct vf_station *st, int fd, struct vf_received *told, struct vf_why *why)
{
    VF_BUF data = {0};
    struct vf_policy_chain chain = {0};
    int cmp = 0;

    VF_TRY(slurp(fd, told->name, VF_POLICY_MAX, &data, why));
    VF_TRY(vf_policy_chain_parse(data.data, data.len, told->name, &chain, why));
    enum vf_err err = VF_OK;
    if (chain.ruling == 0)
        err = vf_fail(why, VF_E_UNSIGNED, "%s: no version of this policy is in force yet", told->name);
    if (!err && st->policy.ruling > 0)
        err = vf_policy_chain_compare(&st->policy, &chain, &cmp, why);
    else if (!err && vf_equal(&chain.policy.vault, &st->enrol.vault, sizeof(st->enrol.vault)))
        cmp = 1; /* a database that was lost begins again */
    else if (!err)
        err = vf_fail(why, VF_E_REFUSED, "%s: the policy of another force", told->name);
    if (!err && cmp < 0)
        err = vf_fail(why, VF_E_STALE, "%s: older than the policy this station knows", told->name);
    /* An emptied database knows none; the log still does. */
    if (!err && chain.policy.version < vf_station_floors_policy(st))
        err = vf_fail(why, VF_E_STALE,
                      "%s: policy version %u, but this station has had version %u already; ask the force for the newest",
                      told->name, chain.policy.version, vf_station_floors_policy(st));
    told->already = !err && cmp == 0;
    if (!err && cmp > 0) {
        char object[32];
        (void)snprintf(object, sizeof(object), VF_ST_LOG_POLICY "%u", chain.policy.version);
        struct row row = {.table = VF_ST_POLICY, .key = "chain", .key_len = 5, .data = chain.bytes, .len = chain.len};
        err = log_receive(st, NULL, object, why);
        if (!err)
            err = vf_store_update(st->store, put_row, &row, why);
        if (!err) {
            pthread_rwlock_wrlock(&st->jobs_lock);
            struct vf_policy_chain old = st->policy;
            st->policy = chain;
            chain = old;
            pthread_rwlock_unlock(&st->jobs_lock);
            vf_station_floors_take_policy(st, st->policy.policy.version);
            vf_station_clock_policy(st, st->policy.policy.version);
        }
    }
    vf_policy_chain_done(&chain);
    if (!err)
        vf_received_tell(told, "policy version %u of %s%s", st->policy.policy.version, st->policy.policy.force_name,
                         told->already ? " (here already)" : "");
    return err;
}

/* ---------------------------------------------------------------------------------------------------------- revocation */

static enum vf_err take_revocation(struct vf_station *st, int fd, struct vf_received *told, struct vf_why *why)
{
    VF_BUF data = {0};
    struct vf_revocation r;
    VF_TRY(slurp(fd, told->name, VF_NOTE_MAX, &data, why));
    VF_TRY(vf_revocation_parse(data.data, data.len, told->name, &st->policy, &r, why));
    if (r.is_device && !vf_equal(&r.device, &st->enrol.id, sizeof(r.device)))
        return vf_fail(why, VF_E_REFUSED, "%s: revokes the device %s, which is not this station", told->name, r.name);
    const void *key = r.is_device ? (const void *)r.device.b : (const void *)r.grant.c;
    size_t key_len = r.is_device ? sizeof(r.device.b) : sizeof(r.grant.c);
    told->already = has_row(st, VF_ST_REVOCATION, key, key_len);
    if (!told->already) {
        char object[64];
        (void)snprintf(object, sizeof(object), "%s%.16s", r.is_device ? VF_ST_LOG_REVOKED_DEVICE : VF_ST_LOG_REVOKED_GRANT,
                       r.is_device ? r.name : r.grant.c);
        struct row row = {.table = VF_ST_REVOCATION, .key = key, .key_len = key_len, .data = data.data, .len = data.len};
        VF_TRY(log_receive(st, NULL, object, why));
        VF_TRY(vf_store_update(st->store, put_row, &row, why));
    }
    if (r.is_device)
        vf_received_tell(told, "this device was revoked by the force%s", told->already ? " (known already)" : "");
    else
        vf_received_tell(told, "grant %.16s was revoked by the force%s", r.grant.c, told->already ? " (known already)" : "");
    return VF_OK;
}

void vf_job_revoked_by_desk(struct vf_job *job)
{
    struct vf_station *st = job->station;
    char object[64];
    if (atomic_exchange(&job->revoked, true) || vf_station_floors_revoked(st, &job->grant.id))
        return;
    (void)snprintf(object, sizeof(object), VF_ST_LOG_REVOKED_GRANT "%.16s", job->grant.id.c);
    /* The log keeps it, as it keeps a notice that came as a file: every later start refuses the grant. Where it cannot be written nothing opens. */
    enum vf_err ignored = log_receive(st, NULL, object, NULL);
    (void)ignored;
    vf_station_floors_take_revoked(st, &job->grant.id);
}

/* --------------------------------------------------------------------------------------------------------------- grant */

static enum vf_err check_grant(struct vf_station *st, const struct vf_grant_file *file, const char *name, struct vf_why *why)
{
    const struct vf_grant *g = &file->grant;
    int64_t now = vf_clock_wall_us();

    if (!vf_equal(&g->vault, &st->enrol.vault, sizeof(g->vault)))
        return vf_fail(why, VF_E_REFUSED, "%s: a grant of another force (%s)", name, g->force_name);
    if (!vf_equal(&g->enrolment, &st->enrol.id, sizeof(g->enrolment)))
        return vf_fail(why, VF_E_REFUSED, "%s: made for the device %s, not for this station (%s)", name, g->recipient,
                       st->enrol.name);
    VF_TRY(vf_grant_verify(file, &st->policy, why));
    if (st->mode == VF_STATION_MOUNT) {
        enum vf_err ignored = vf_station_time(st, &now, NULL); /* a clock moved back must not keep a clock-reset grant out */
        (void)ignored;
    }
    /* One that has not started is welcome; one that ended is of no use. A clock-reset grant is judged by its own issue time. */
    if (now >= g->until_us && !g->clock_reset)
        return vf_grant_window(g, now, why);
    return VF_OK;
}

/* Is it here, and with enough signatures? After a change of policy the same grant may come again with more of them. */
static bool is_good_already(struct vf_station *st, struct vf_txn *txn, const struct vf_grant_id *id)
{
    struct vf_slice row;
    VF_FREE struct vf_grant_file *file = calloc(1, sizeof(*file));
    return file && vf_txn_get(txn, VF_ST_GRANT, id->c, sizeof(id->c), &row) && row.len > VF_GRANT_ROW_PREFIX &&
           vf_grant_file_parse(row.data + VF_GRANT_ROW_PREFIX, row.len - VF_GRANT_ROW_PREFIX, "a stored grant", file,
                               NULL) == VF_OK &&
           vf_grant_verify(file, &st->policy, NULL) == VF_OK;
}

#define GRANT_HEAD 12 /* type, length of the note */

/*
 * Before a file that may be as long as it likes is read into memory: its note, who signed that, and whether the file is no longer than the
 * records and fields in it make it. What is read later is checked again.
 */
static enum vf_err check_grant_head(struct vf_station *st, int fd, const char *name, struct vf_why *why)
{
    uint8_t head[GRANT_HEAD];
    struct stat s;
    VF_BUF note = {0};
    VF_FREE struct vf_grant_file *file = calloc(1, sizeof(*file));

    if (!file)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", name);
    if (fstat(fd, &s))
        return vf_fail_sys(why, "%s", name);
    if (!S_ISREG(s.st_mode) || s.st_size < GRANT_HEAD)
        return vf_fail(why, VF_E_FORMAT, "%s: the grant is cut short; fetch it again", name);
    VF_TRY(vf_fd_pread(fd, head, sizeof(head), 0, name, why));
    uint32_t len = vf_get_be32(head + 8);
    if (len == 0 || len > VF_NOTE_MAX || len > (uint64_t)s.st_size - GRANT_HEAD)
        return vf_fail(why, VF_E_FORMAT, "%s: the grant is cut short or no grant at all; fetch it again", name);
    vf_buf_init(&note, len);
    uint8_t *at = vf_buf_grow(&note, len);
    VF_TRY(vf_buf_check(&note, name, why));
    VF_TRY(vf_fd_pread(fd, at, len, GRANT_HEAD, name, why));
    VF_TRY(vf_fail_prefix(why, vf_note_parse(note.data, note.len, &file->note, why), "%s", name));
    VF_TRY(vf_grant_parse(&file->note, name, &file->grant, why));
    VF_TRY(check_grant(st, file, name, why));
    struct vf_grant_layout l;
    vf_grant_layout_of(file->grant.fields, &l);
    uint64_t record = (uint64_t)l.manifest_stride + l.envelope_stride + l.catalogue_stride;
    if ((uint64_t)s.st_size > GRANT_HEAD + len + file->grant.records * record + 4096)
        return vf_fail(why, VF_E_FORMAT, "%s: the grant is longer than what it names; fetch it again", name);
    return VF_OK;
}

static enum vf_err take_grant(struct vf_station *st, int fd, struct vf_received *told, struct vf_why *why)
{
    VF_BUF data = {0};
    VF_FREE struct vf_grant_file *file = calloc(1, sizeof(*file));
    if (!file)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", told->name);
    VF_TRY(check_grant_head(st, fd, told->name, why));
    VF_TRY(slurp(fd, told->name, VF_GRANT_FILE_MAX, &data, why));
    VF_TRY(vf_grant_file_parse(data.data, data.len, told->name, file, why));
    VF_TRY(check_grant(st, file, told->name, why));
    const struct vf_grant *g = &file->grant;
    VF_TXN txn = NULL;
    VF_TRY(vf_txn_read(st->store, &txn, why));
    if (vf_station_is_revoked(st, txn, &g->id))
        return vf_fail(why, VF_E_REVOKED, "%s: this grant was revoked by the force", told->name);
    told->already = is_good_already(st, txn, &g->id);
    if (!told->already) {
        uint8_t prefix[VF_GRANT_ROW_PREFIX];
        uint64_t named, present = vf_station_present(st, txn, file, NULL, &named);
        prefix[0] = present == named;
        vf_put_be64(prefix + 1, (uint64_t)vf_clock_wall_us());
        struct row row = {.table = VF_ST_GRANT,
                          .key = g->id.c,
                          .key_len = sizeof(g->id.c),
                          .prefix = prefix,
                          .prefix_len = sizeof(prefix),
                          .data = data.data,
                          .len = data.len};
        vf_txn_reset(txn);
        VF_TRY(log_receive(st, g, "grant", why));
        VF_TRY(vf_store_update(st->store, put_row, &row, why));
    }
    vf_station_clock_grant(st, g);
    char until[64];
    vf_time_format_person(g->until_us, until, sizeof(until));
    vf_received_tell(told, "grant %.16s for job %s: %u record%s until %s; %s%s", g->id.c, g->job, g->records,
                     g->records == 1 ? "" : "s", until, vf_grant_ends_text(g), told->already ? " (here already)" : "");
    return VF_OK;
}

static enum vf_err take_receipt(struct vf_station *st, int fd, struct vf_received *told, struct vf_why *why)
{
    VF_BUF data = {0};
    VF_TRY(slurp(fd, told->name, VF_NOTE_MAX, &data, why));
    return vf_station_take_receipt(st, data.data, data.len, told, why);
}

/* ----------------------------------------------------------------------------------------------------------- all of them */

/* Rank of a kind in the order of taking; kinds that are not for a station come last and are refused. */
static int rank_of(enum vf_artefact kind)
{
    switch (kind) {
    case VF_ARTEFACT_POLICY:
        return 0;
    case VF_ARTEFACT_REVOCATION:
        return 1;
    case VF_ARTEFACT_GRANT:
        return 2;
    case VF_ARTEFACT_BUNDLE:
        return 3;
    case VF_ARTEFACT_RECEIPT:
        return 4;
    case VF_ARTEFACT_UNKNOWN:
    case VF_ARTEFACT_ENROL:
    case VF_ARTEFACT_HANDIN:
    case VF_ARTEFACT_PREKEYS:
    case VF_ARTEFACT_IDENTITY:
    default:
        return 5;
    }
}

/* With an older policy than it once had, a station would take what admins signed who have left since. */
static enum vf_err check_policy(struct vf_station *st, const struct vf_received *told, struct vf_why *why)
{
    uint32_t known = vf_station_floors_policy(st);
    bool taken = told->kind == VF_ARTEFACT_REVOCATION || told->kind == VF_ARTEFACT_GRANT ||
                 told->kind == VF_ARTEFACT_BUNDLE || told->kind == VF_ARTEFACT_RECEIPT;
    if (!taken || st->policy.ruling >= known)
        return VF_OK;
    return vf_fail(
        why, VF_E_STALE,
        "%s: the station's database is older than its log: it holds policy version %zu, but has had version %u; receive the "
        "newest policy first",
        told->name, st->policy.ruling, known);
}

static enum vf_err take_one(struct vf_station *st, int fd, struct vf_received *told,
                            void (*progress)(void *user, const char *name, uint64_t done, uint64_t total), void *user,
                            struct vf_why *why)
{
    VF_TRY(check_policy(st, told, why));
    switch (told->kind) {
    case VF_ARTEFACT_POLICY:
        return take_policy(st, fd, told, why);
    case VF_ARTEFACT_REVOCATION:
        return take_revocation(st, fd, told, why);
    case VF_ARTEFACT_GRANT:
        return take_grant(st, fd, told, why);
    case VF_ARTEFACT_BUNDLE:
        return vf_station_take_bundle(st, fd, told->name, told, progress, user, why);
    case VF_ARTEFACT_RECEIPT:
        return take_receipt(st, fd, told, why);
    case VF_ARTEFACT_UNKNOWN:
        return vf_fail(why, VF_E_FORMAT, "%s: not a file that a force sends to a station", told->name);
    case VF_ARTEFACT_ENROL:
    case VF_ARTEFACT_HANDIN:
    case VF_ARTEFACT_PREKEYS:
    case VF_ARTEFACT_IDENTITY:
    default:
        return vf_fail(why, VF_E_INPUT, "%s: %s, which is not for a station to receive", told->name,
                       vf_artefact_text(told->kind));
    }
}

enum vf_err vf_station_receive(struct vf_station *st, const struct vf_receive_file *files, size_t n,
                               void (*told_fn)(void *user, const struct vf_received *one),
                               void (*progress)(void *user, const char *name, uint64_t done, uint64_t total), void *user,
                               struct vf_why *why)
{
    VF_FREE enum vf_artefact *kinds = calloc(n ? n : 1, sizeof(*kinds));
    size_t failed = 0;
    bool revoked = false;
    enum vf_err last = VF_OK;

    if (!kinds)
        return vf_fail(why, VF_E_NOMEM, "out of memory");
    for (size_t i = 0; i < n; i++) {
        uint8_t head[64];
        ssize_t got = pread(files[i].fd, head, sizeof(head), 0);
        kinds[i] = vf_artefact_of(head, got > 0 ? (size_t)got : 0);
    }
    pthread_mutex_lock(&st->receive_lock);
    for (int rank = 0; rank <= 5; rank++) {
        for (size_t i = 0; i < n; i++) {
            if (rank_of(kinds[i]) != rank)
                continue;
            struct vf_why one = {0};
            struct vf_received told = {.name = files[i].name, .kind = kinds[i]};
            told.err = take_one(st, files[i].fd, &told, progress, user, &one);
            if (told.err) {
                (void)snprintf(told.text, sizeof(told.text), "%s", one.text);
                failed++;
                last = told.err;
                if (why)
                    *why = one;
            }
            revoked |= told.err == VF_OK && kinds[i] == VF_ARTEFACT_REVOCATION;
            if (told_fn)
                told_fn(user, &told);
        }
    }
    struct vf_why reload = {0};
    enum vf_err err = vf_station_mark_complete(st, &reload);
    if (!err)
        err = vf_station_reload(st, &reload);
    if (!err && revoked) {
        uint64_t dropped;
        enum vf_err ignored = vf_station_sweep_locked(st, &dropped, NULL);
        (void)ignored; /* the grant is revoked all the same; the next sweep tries again */
    }
    pthread_mutex_unlock(&st->receive_lock);
    if (err) {
        if (why)
            *why = reload;
        return err;
    }
    if (failed == 0)
        return VF_OK;
    return failed == n
               ? last
               : vf_fail(why, VF_E_PARTIAL, "%zu of %zu files %s not taken", failed, n, failed == 1 ? "was" : "were");
}
