/* SPDX-License-Identifier: MIT */
/*
 * The log's side of an access: what was opened, what was refused, what is only counted. Tables of what is counted: repeat.c, deny.c.
 */
#include "mount.h"

#include <errno.h>
#include <string.h>

const char *vf_errno_name(int err)
{
    switch (err) {
    case 0:
        return "ok";
    case EKEYEXPIRED:
        return "EKEYEXPIRED";
    case EKEYREVOKED:
        return "EKEYREVOKED";
    case EKEYREJECTED:
        return "EKEYREJECTED";
    case ENOKEY:
        return "ENOKEY";
    case EDQUOT:
        return "EDQUOT";
    case EIO:
        return "EIO";
    case ENOSPC:
        return "ENOSPC";
    case ENOMEM:
        return "ENOMEM";
    case EACCES:
        return "EACCES";
    case EROFS:
        return "EROFS";
    default:
        return "error";
    }
}

/* What a node discloses: part, fields, padded bytes; refs by index. */
static void fill_entry(const struct vf_node *node, struct vf_job *job, struct vf_entry *e)
{
    const struct vf_grant *g = vf_job_grant(job);
    const struct vf_grant_layout *l = vf_job_layout(job);

    e->grant = &g->id;
    e->job = g->job;
    e->recipient = g->recipient;
    e->part = -1;
    const struct vf_catalogue *c = vf_job_catalogue(job);
    if (node->kind == VF_NODE_CARDS || node->kind == VF_NODE_CARDS_EXCEL) {
        e->all = &g->manifest_hash;
        e->part = VF_PART_TEXT;
        for (unsigned i = 0; i < l->ntext; i++)
            e->fields |= VF_FIELD_BIT(l->text_field[i]);
        return;
    }
    unsigned field;
    if (node->kind == VF_NODE_PHOTO)
        field = VF_FIELD_PHOTO;
    else if (node->kind == VF_NODE_SIGNATURE)
        field = VF_FIELD_SIGNATURE;
    else if (node->kind >= VF_NODE_TEXT)
        field = node->kind - VF_NODE_TEXT;
    else
        return;
    e->part = (int)vf_field_part(field);
    e->fields = VF_FIELD_BIT(field);
    if (c) {
        e->refs = vf_catalogue_ref(c, node->index);
        e->nrefs = 1;
        e->has_bytes = true;
        e->bytes = vf_job_padded(job, node->index, field);
    }
}

static void fill_caller(const struct vf_caller *caller, struct vf_entry *e)
{
    e->has_caller = true;
    e->uid = caller->uid;
    e->pid = caller->pid;
    e->exe = caller->exe;
}

static const struct vf_repeats_process process_ops = {.started = vf_caller_started};

static uint64_t ino_of(const struct vf_node *node)
{
    return vf_node_ino(node->slot, node->kind, node->index);
}

static void open_entry(const struct vf_node *node, struct vf_job *job, const struct vf_caller *caller, struct vf_entry *ret)
{
    *ret = (struct vf_entry){.event = VF_EVENT_OPEN, .result = "ok"};
    fill_entry(node, job, ret);
    fill_caller(caller, ret);
}

/* What could not be written stays in its table, for another time. */
static bool tell_repeat(struct vf_session *s, const struct vf_repeat *due)
{
    struct vf_entry e;
    uint64_t seq;
    vf_repeat_entry(due, &e);
    bool written = vf_log_append(s->log, &e, &seq, NULL) == VF_OK;
    vf_repeats_told(s->repeats, due, written);
    return written;
}

/* A log that cannot be written serves nothing, not even what an entry of this second covers: its count could not be told. */
static bool log_works(struct vf_session *s)
{
    struct vf_log_state log;
    vf_log_state_get(s->log, &log);
    return log.writable;
}

/* The entry is on the disk. A budget is counted from the log: what is not sealed yet could be taken away, and the budget spent again. */
static enum vf_err finish(struct vf_session *s, struct vf_access *access, struct vf_why *why)
{
    if (vf_job_grant(access->job)->budget > 0)
        VF_TRY(vf_log_seal(s->log, why));
    access->durable = true;
    return VF_OK;
}

enum vf_err vf_access_open(struct vf_session *s, const struct vf_node *node, struct vf_job *job,
                           const struct vf_caller *caller, bool at_once, struct vf_access *ret, struct vf_why *why)
{
    struct vf_repeat due;
    *ret = (struct vf_access){.job = job, .node = node, .caller = caller};
    ret->joined = vf_repeats_join(s->repeats, &process_ops, ino_of(node), &vf_job_grant(job)->id, caller, vf_clock_boot_us(),
                                  &ret->ticket, &due);
    if (due.count)
        (void)tell_repeat(s, &due);
    if (ret->joined && log_works(s))
        return VF_OK;
    if (ret->joined)
        vf_repeats_leave(s->repeats, &ret->ticket, false);
    ret->joined = false;
    struct vf_entry e;
    open_entry(node, job, caller, &e);
    if (!at_once)
        return vf_log_append(s->log, &e, &ret->seq, why);
    VF_TRY(vf_log_commit(s->log, &e, why));
    return finish(s, ret, why);
}

enum vf_err vf_access_wait(struct vf_session *s, struct vf_access *access, struct vf_why *why)
{
    if (access->joined || access->durable) /* what may be joined was finished before */
        return VF_OK;
    VF_TRY(vf_log_wait(s->log, access->seq, why));
    return finish(s, access, why);
}

void vf_access_done(struct vf_session *s, const struct vf_access *access, bool served)
{
    struct vf_entry e;
    if (access->joined) {
        vf_repeats_leave(s->repeats, &access->ticket, served);
    } else if (access->durable) {
        open_entry(access->node, access->job, access->caller, &e);
        vf_repeats_add(s->repeats, ino_of(access->node), &e, &access->ticket);
    }
}

void vf_access_deny(struct vf_session *s, const struct vf_node *node, struct vf_job *job, const struct vf_caller *caller,
                    int err)
{
    const struct vf_grant *g = job ? vf_job_grant(job) : NULL;
    struct vf_refusals one = {.count = 1, .has_uid = true, .caller = *caller, .err = err, .has_grant = g != NULL};
    if (g) {
        one.grant = g->id;
        memcpy(one.job, g->job, sizeof(one.job));
        memcpy(one.recipient, g->recipient, sizeof(one.recipient));
    }
    /* When it was the log that refused, it does not take this either. */
    if (!vf_deny_admit(s->deny, &one, err != ENOSPC, vf_clock_boot_us()))
        return;
    struct vf_entry e = {.event = VF_EVENT_DENY, .result = vf_errno_name(err), .part = -1};
    if (job)
        fill_entry(node, job, &e);
    fill_caller(caller, &e);
    uint64_t seq;
    /* A refusal discloses nothing: it need not be durable before the answer. */
    if (vf_log_append(s->log, &e, &seq, NULL))
        vf_deny_back(s->deny, &one);
}

static bool tell_refusals(struct vf_session *s, const struct vf_refusals *r)
{
    struct vf_entry e = {.event = VF_EVENT_DENY,
                         .part = -1,
                         .has_caller = r->has_uid,
                         .uid = r->caller.uid,
                         .pid = r->caller.pid,
                         .has_count = true,
                         .count = r->count,
                         .result = r->err ? vf_errno_name(r->err) : "counted"};
    if (r->has_uid)
        e.exe = r->caller.exe[0] ? r->caller.exe : "unknown";
    if (r->has_grant) {
        e.grant = &r->grant;
        e.job = r->job;
        e.recipient = r->recipient;
    }
    uint64_t seq;
    bool written = vf_log_append(s->log, &e, &seq, NULL) == VF_OK;
    if (!written)
        vf_deny_back(s->deny, r);
    return written;
}

/* After the first failure the rest waits too: the log would count each attempt as an entry lost. */
static bool tell_repeats(struct vf_session *s, uint64_t slot, bool all)
{
    struct vf_repeat due;
    size_t at = 0;
    while (vf_repeats_next(s->repeats, &at, slot, all, vf_clock_boot_us(), &due))
        if (!tell_repeat(s, &due))
            return false;
    return true;
}

void vf_access_slot_over(struct vf_session *s, const struct vf_slot_job *slot)
{
    (void)tell_repeats(s, slot->number, true);
}

void vf_access_flush(struct vf_session *s, bool all)
{
    struct vf_refusals refusals;
    size_t at = 0;
    if (!all && !log_works(s))
        return;
    bool go_on = tell_repeats(s, VF_REPEAT_ANY_SLOT, all);
    while (go_on && vf_deny_next(s->deny, &at, all, vf_clock_boot_us(), &refusals))
        go_on = tell_refusals(s, &refusals);
}

static struct vf_entry event_entry(enum vf_event event, struct vf_job *job, const char *result)
{
    struct vf_entry e = {.event = event, .result = result, .part = -1};
    if (job) {
        const struct vf_grant *g = vf_job_grant(job);
        e.grant = &g->id;
        e.job = g->job;
        e.recipient = g->recipient;
    }
    return e;
}

enum vf_err vf_access_event(struct vf_session *s, enum vf_event event, struct vf_job *job, const char *result,
                            struct vf_why *why)
{
    const struct vf_entry e = event_entry(event, job, result);
    return vf_log_commit(s->log, &e, why);
}

void vf_access_event_later(struct vf_session *s, enum vf_event event, struct vf_job *job, const char *result)
{
    const struct vf_entry e = event_entry(event, job, result);
    uint64_t seq;
    enum vf_err ignored = vf_log_append(s->log, &e, &seq, NULL);
    (void)ignored; /* what is told has happened whether or not the disk takes the entry */
}
