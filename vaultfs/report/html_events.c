/* SPDX-License-Identifier: MIT */
/* One entry at a time: refusals, what a desk released, what the log tells of itself, what was done at the force. */
#include "html_facts.h"

#include <string.h>

static void take_refusal(struct vf_facts *f, const struct vf_entry_view *e)
{
    uint64_t n = e->has_count ? e->count : 1;
    struct vf_row *row = vf_rows_at(&f->refusals, f->now, e->result.p, e->result.len);

    row->c.denials = vf_count_add(row->c.denials, n);
    vf_counts_time(&row->c, e->time_us);
    f->all.denials = vf_count_add(f->all.denials, n);
    f->log[f->now].c.denials = vf_count_add(f->log[f->now].c.denials, n);
    /* Counted together: of one user, but of no program in particular. */
    if (e->exe.p != NULL && !e->has_count) {
        row = vf_rows_at(&f->programs, f->now, e->exe.p, e->exe.len);
        row->c.denials = vf_count_add(row->c.denials, n);
    }
    if (e->has_caller) {
        row = vf_rows_at(&f->users, f->now, (const char *)&e->uid, sizeof(e->uid));
        row->uid = e->uid;
        row->c.denials = vf_count_add(row->c.denials, n);
    }
    if (e->grant.p != NULL) {
        row = vf_rows_at(&f->grants, 0, e->grant.p, e->grant.len);
        row->c.denials = vf_count_add(row->c.denials, n);
    }
}

static uint64_t refs_in(const struct vf_entry_view *e)
{
    uint64_t n = 0;

    for (size_t at = 1; !e->all && e->refs.p != NULL && at + VF_REF_LEN < e->refs.len; at += VF_REF_LEN + 3)
        n++;
    return n;
}

static void take_release(struct vf_facts *f, const struct vf_entry_view *e)
{
    uint64_t n = e->all && e->has_count ? e->count : refs_in(e);

    f->all.released = vf_count_add(f->all.released, n);
    f->log[f->now].c.released = vf_count_add(f->log[f->now].c.released, n);
    if (e->grant.p != NULL) {
        struct vf_row *row = vf_rows_at(&f->grants, 0, e->grant.p, e->grant.len);
        row->c.released = vf_count_add(row->c.released, n);
    }
}

static void take_happening(struct vf_facts *f, const struct vf_entry_view *e)
{
    if (f->nhappenings == VF_HAPPENINGS_MAX) {
        f->beyond_happenings++;
        return;
    }
    f->happening[f->nhappenings++] = (struct vf_happening){.log = f->now,
                                                           .event = e->event,
                                                           .back = vf_text_is(&e->result, "back"),
                                                           .has_bytes = e->has_bytes,
                                                           .time_us = e->time_us,
                                                           .count = e->has_count ? e->count : 0};
}

/* What an admin, or the vault's tool for one, did. `who` stands in recipient, or behind "by " in object. */
static void take_doing(struct vf_facts *f, const struct vf_entry_view *e)
{
    struct vf_entry_text who = {0};

    if (e->object.p != NULL && e->object.len > 3 && memcmp(e->object.p, "by ", 3) == 0) {
        const char *semicolon = memchr(e->object.p, ';', e->object.len);
        who.p = e->object.p + 3;
        who.len = (semicolon != NULL ? (size_t)(semicolon - e->object.p) : e->object.len) - 3;
    } else if (e->event != VF_EVENT_GRANT && e->event != VF_EVENT_EXPORT && e->recipient.p != NULL) {
        who = e->recipient;
    }
    struct vf_row *row = vf_rows_at(&f->doings, (size_t)e->event, who.p != NULL ? who.p : "", who.len);
    row->events = vf_count_add(row->events, 1);
    row->records = vf_count_add(row->records, e->has_count ? e->count : refs_in(e));
    vf_counts_time(&row->c, e->time_us);
    row->c.fields |= e->event == VF_EVENT_VIEW ? vf_fields_of(&e->fields) : 0;
}

/* The vault's own word for what a grant gave: for a page made from logs alone. */
static void take_grant(struct vf_facts *f, const struct vf_entry_view *e)
{
    if (e->grant.p == NULL)
        return;
    struct vf_row *row = vf_rows_at(&f->grants, 0, e->grant.p, e->grant.len);
    if (row == &f->grants.others)
        return;
    row->granted = vf_fields_of(&e->fields);
    row->granted_records = e->count;
    if (e->job.p != NULL)
        vf_name_copy(e->job.p, e->job.len, row->name, sizeof(row->name));
    if (e->recipient.p != NULL)
        vf_name_copy(e->recipient.p, e->recipient.len, row->other, sizeof(row->other));
}

void vf_facts_event(struct vf_facts *f, const struct vf_entry_view *e)
{
    bool vault = f->log[f->now].has_origin && f->log[f->now].origin.kind == VF_LOG_VAULT;

    switch (e->event) {
    case VF_EVENT_OPEN: /* with another result than ok: refused */
    case VF_EVENT_DENY:
    case VF_EVENT_REFUSE:
        take_refusal(f, e);
        break;
    case VF_EVENT_RELEASE:
        take_release(f, e);
        break;
    case VF_EVENT_CLOCK:
    case VF_EVENT_GAP:
    case VF_EVENT_RECOVER:
        take_happening(f, e);
        break;
    case VF_EVENT_MOUNT:
        f->log[f->now].mounts++;
        break;
    case VF_EVENT_GRANT:
        take_grant(f, e);
        take_doing(f, e);
        break;
    case VF_EVENT_IMPORT:
    case VF_EVENT_CHANGE:
    case VF_EVENT_VIEW:
    case VF_EVENT_SIGN:
    case VF_EVENT_EXPORT:
    case VF_EVENT_POLICY:
    case VF_EVENT_REKEY:
    case VF_EVENT_HANDIN:
    case VF_EVENT_ERASE:
    case VF_EVENT_REVOKE:
        if (vault)
            take_doing(f, e);
        break;
    case VF_EVENT_REPEAT:
    case VF_EVENT_EXPIRE:
    case VF_EVENT_RECEIVE:
    case VF_EVENT_UNMOUNT:
    case VF_EVENT_SEAL:
    case VF_EVENT_TIME:
    case VF_EVENT_COUNT:
    default:
        break;
    }
}
