/* SPDX-License-Identifier: MIT */
/* Taking back: the note that travels, and what the vault remembers of it. One admin is enough. */
#include "issue.h"
#include "rows.h"

#include <string.h>

static enum vf_err set_reason(const char *reason, struct vf_revocation *r, struct vf_why *why)
{
    if (strlen(reason) > VF_PURPOSE_MAX)
        return vf_fail(why, VF_E_INPUT, "the reason must be one line of text, at most %u bytes", VF_PURPOSE_MAX);
    (void)snprintf(r->reason, sizeof(r->reason), "%s", reason);
    return VF_OK;
}

/* The reason stands in the note: it is free text, and the log takes none. */
static enum vf_err log_revoke(struct vf_vault *v, const struct vf_identity *admin, const struct vf_grant *g,
                              const char *device, struct vf_why *why)
{
    char words[VF_NAME_MAX + 4];
    const struct vf_entry e = {.event = VF_EVENT_REVOKE,
                               .grant = g != NULL ? &g->id : NULL,
                               .job = g != NULL ? g->job : NULL,
                               .recipient = device,
                               .part = -1,
                               .object = words,
                               .result = "ok"};

    (void)snprintf(words, sizeof(words), "by %s", vf_identity_pub_get(admin)->name);
    return vf_vault_log(v, &e, why);
}

enum vf_err vf_grant_revoke(struct vf_vault *v, const struct vf_identity *admin, const struct vf_grant_id *id,
                            const char *reason, int64_t now_us, struct vf_buf *out, struct vf_why *why)
{
    VF_KEPT_GRANT kept = {0};
    VF_BUF note = {0};

    VF_TRY(vf_draft_admin(v, admin, why));
    VF_TRY(vf_kept_grant_get(v, id, &kept, why));
    const struct vf_grant *g = &kept.grant;
    struct vf_revocation r = {.vault = g->vault, .grant = *id, .time_us = now_us};
    memcpy(r.name, g->recipient, sizeof(r.name));
    r.prekey_batch = g->prekey_batch;
    r.prekey_number = g->prekey_number;
    VF_TRY(set_reason(reason, &r, why));
    vf_buf_init(&note, VF_NOTE_MAX);
    VF_TRY(vf_revocation_make(&r, admin, &note, why));
    VF_TRY(log_revoke(v, admin, g, g->recipient, why));
    const struct vf_rows_change keep = {.grant = g, .note = {kept.note.data, kept.note.len}, .mark_revoked = true};
    VF_TRY(vf_rows_keep(v, &keep, why));
    vf_buf_put(out, note.data, note.len);
    return vf_buf_check(out, "the revocation", why);
}

struct by_name {
    const char *name;
    bool found;
    bool revoked;
    struct vf_enrol enrol;
};

/* Of several devices of one name at most one is not revoked (issue sees to it): that one is meant. */
static enum vf_err find_name(void *user, const struct vf_device_item *item, struct vf_why *why)
{
    struct by_name *b = user;

    (void)why;
    if (strcmp(item->enrol.name, b->name) != 0 || (b->found && item->revoked))
        return VF_OK;
    b->found = true;
    b->revoked = item->revoked;
    b->enrol = item->enrol;
    return VF_OK;
}

/* The one-time keys of its online grants: of one that no station ever showed it the desk knows only by this. */
struct keys {
    struct vf_revocation *r;
    int64_t until_us[VF_REVOCATION_KEYS_MAX];
};

static enum vf_err add_key(void *user, const struct vf_grant_item *item, struct vf_why *why)
{
    struct keys *k = user;
    struct vf_revocation *r = k->r;
    const struct vf_grant *g = &item->grant;
    size_t at = 0;

    (void)why;
    if (g->release != VF_RELEASE_ONLINE || g->prekey_batch == 0 ||
        memcmp(&g->enrolment, &r->device, sizeof(g->enrolment)) != 0)
        return VF_OK;
    /* Of more than there is room for those that end last; they come in the order of their ids. */
    if (r->nkeys == VF_REVOCATION_KEYS_MAX) {
        for (size_t i = 1; i < r->nkeys; i++)
            at = k->until_us[i] < k->until_us[at] ? i : at;
        if (k->until_us[at] >= g->until_us)
            return VF_OK;
        r->nkeys--;
        memmove(&r->keys[at], &r->keys[at + 1], (r->nkeys - at) * sizeof(r->keys[0]));
        memmove(&k->until_us[at], &k->until_us[at + 1], (r->nkeys - at) * sizeof(k->until_us[0]));
    }
    k->until_us[r->nkeys] = g->until_us;
    r->keys[r->nkeys++] = (struct vf_revoked_key){g->id, g->prekey_batch, g->prekey_number};
    return VF_OK;
}

static void set_revoked(struct vf_device_row *row, void *user)
{
    (void)user;
    row->revoked = true;
}

enum vf_err vf_device_revoke(struct vf_vault *v, const struct vf_identity *admin, const char *name, const char *reason,
                             int64_t now_us, struct vf_buf *out, struct vf_why *why)
{
    struct by_name b = {.name = name};
    VF_BUF note = {0};

    VF_TRY(vf_draft_admin(v, admin, why));
    VF_TRY(vf_device_each(v, find_name, &b, why));
    if (!b.found)
        return vf_fail(why, VF_E_NOT_FOUND, "the vault %s knows no device of that name", vf_vault_path(v));
    struct vf_revocation r = {.vault = *vf_vault_id_get(v), .is_device = true, .device = b.enrol.id, .time_us = now_us};
    memcpy(r.name, b.enrol.name, sizeof(r.name));
    struct keys k = {.r = &r};
    VF_TRY(vf_grant_each(v, add_key, &k, why));
    VF_TRY(set_reason(reason, &r, why));
    vf_buf_init(&note, VF_NOTE_MAX);
    VF_TRY(vf_revocation_make(&r, admin, &note, why));
    VF_TRY(log_revoke(v, admin, NULL, b.enrol.name, why));
    VF_TRY(vf_device_change(v, &b.enrol.id, set_revoked, NULL, why));
    vf_buf_put(out, note.data, note.len);
    return vf_buf_check(out, "the revocation", why);
}
