/* SPDX-License-Identifier: MIT */
/*
 * The log's side of an access: who asked, what was opened, what was refused. Denials are counted by uid, so that a crawler or a loop
 * cannot fill the disk: 10 entries a minute, then one count a minute.
 */
#include "mount.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DENY_UIDS       64
#define DENY_PER_MINUTE 10
#define MINUTE_US       (60 * VF_SECOND_US)

struct vf_deny_uid {
    bool used;
    uint32_t uid;
    int64_t window_us; /* boottime at which this minute began */
    unsigned entries;
    uint64_t counted; /* not yet told */
};
struct vf_deny {
    pthread_mutex_t lock;
    struct vf_deny_uid uid[DENY_UIDS]; /* the last one stands for all uids beyond */
};

struct vf_deny *vf_deny_new(void)
{
    struct vf_deny *d = calloc(1, sizeof(*d));
    if (d)
        pthread_mutex_init(&d->lock, NULL);
    return d;
}

void vf_deny_free(struct vf_deny *d)
{
    if (!d)
        return;
    pthread_mutex_destroy(&d->lock);
    free(d);
}

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

void vf_caller_of(const struct fuse_ctx *ctx, struct vf_caller *ret)
{
    char link[32];
    *ret = (struct vf_caller){.uid = ctx->uid, .pid = ctx->pid};
    (void)snprintf(link, sizeof(link), "/proc/%d/exe", (int)ctx->pid);
    ssize_t n = ctx->pid > 0 ? readlink(link, ret->exe, sizeof(ret->exe) - 1) : -1;
    if (n <= 0)
        (void)snprintf(ret->exe, sizeof(ret->exe), "unknown");
    else
        ret->exe[n] = '\0';
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

enum vf_err vf_access_open(struct vf_session *s, const struct vf_node *node, struct vf_job *job,
                           const struct vf_caller *caller, uint64_t *ret_seq, struct vf_why *why)
{
    struct vf_entry e = {.event = VF_EVENT_OPEN, .result = "ok"};
    fill_entry(node, job, &e);
    fill_caller(caller, &e);
    return vf_log_append(s->log, &e, ret_seq, why);
}

/* May this refusal be an entry of its own? Otherwise it is counted. */
static bool deny_admit(struct vf_deny *d, uint32_t uid)
{
    int64_t now = vf_clock_boot_us();
    struct vf_deny_uid *slot = NULL;
    pthread_mutex_lock(&d->lock);
    for (size_t i = 0; i < DENY_UIDS && !slot; i++)
        if (!d->uid[i].used || d->uid[i].uid == uid || i == DENY_UIDS - 1)
            slot = &d->uid[i];
    if (!slot->used)
        *slot = (struct vf_deny_uid){.used = true, .uid = uid, .window_us = now};
    if (now - slot->window_us >= MINUTE_US) {
        slot->window_us = now;
        slot->entries = 0;
    }
    bool admit = slot->entries < DENY_PER_MINUTE;
    if (admit)
        slot->entries++;
    else
        slot->counted++;
    pthread_mutex_unlock(&d->lock);
    return admit;
}

void vf_access_deny(struct vf_session *s, const struct vf_node *node, struct vf_job *job, const struct vf_caller *caller,
                    int err)
{
    if (!deny_admit(s->deny, caller->uid))
        return;
    struct vf_entry e = {.event = VF_EVENT_DENY, .result = vf_errno_name(err)};
    fill_entry(node, job, &e);
    fill_caller(caller, &e);
    uint64_t seq;
    /* A refusal discloses nothing: it need not be durable before the answer, and when the log is full the refusal stands anyway. */
    enum vf_err ignored = vf_log_append(s->log, &e, &seq, NULL);
    (void)ignored;
}

void vf_access_flush(struct vf_session *s)
{
    int64_t now = vf_clock_boot_us();
    for (size_t i = 0; i < DENY_UIDS; i++) {
        pthread_mutex_lock(&s->deny->lock);
        struct vf_deny_uid *slot = &s->deny->uid[i];
        uint64_t counted = 0;
        uint32_t uid = slot->uid;
        if (slot->used && slot->counted && (now - slot->window_us >= MINUTE_US || s->stopping)) {
            counted = slot->counted;
            slot->counted = 0;
        }
        pthread_mutex_unlock(&s->deny->lock);
        if (!counted)
            continue;
        struct vf_entry e = {.event = VF_EVENT_DENY,
                             .result = "counted",
                             .part = -1,
                             .has_count = true,
                             .count = counted,
                             .has_caller = true,
                             .uid = uid,
                             .exe = "unknown"};
        uint64_t seq;
        enum vf_err ignored = vf_log_append(s->log, &e, &seq, NULL);
        (void)ignored;
    }
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
