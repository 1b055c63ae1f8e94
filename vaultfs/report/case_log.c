/* SPDX-License-Identifier: MIT */
/* What the force's own log says: erasures, revocations, and grants that the vault does not know (any more). */
#include "case.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

vf_field_set vf_case_entry_fields(const struct vf_entry_text *t)
{
    vf_field_set set = 0;

    if (t->p == NULL)
        return 0;
    const char *end = t->p + t->len;
    for (const char *p = t->p; p < end;) {
        const char *close = memchr(p + 1, '"', (size_t)(end - p - 1));
        if (close == NULL)
            return VF_CASE_FIELDS_ALL;
        enum vf_field f = vf_field_by_name(p + 1, (size_t)(close - p - 1));
        /* A field of a later schema: nobody can say which. */
        if (f == VF_FIELD_NONE)
            return VF_CASE_FIELDS_ALL;
        set |= VF_FIELD_BIT(f);
        p = close + 2;
    }
    return set;
}

/* ------------------------------------------------------------------------------------------------------------------- entries */

static void take_revocation(struct vf_case *c, const struct vf_entry_view *e)
{
    struct vf_grant_id id;

    if (e->grant.p != NULL && vf_grant_id_parse(e->grant.p, e->grant.len, &id)) {
        uint32_t at = vf_case_grant_find(c, &id);
        if (at != VF_CASE_NONE && c->grants[at].revoked_us == 0)
            c->grants[at].revoked_us = e->time_us;
        return;
    }
    for (uint32_t i = 0; i < c->ndevices; i++)
        if (c->devices[i].revoked && vf_case_text_is(&e->recipient, c->devices[i].enrol.name))
            c->devices[i].revoked_us = e->time_us;
}

static enum vf_err take_erasure(struct vf_case *c, const struct vf_entry_view *e, struct vf_why *why)
{
    size_t n = vf_case_entry_refs(e);

    for (size_t i = 0; i < n; i++) {
        struct vf_ref ref = vf_case_entry_ref(e, i);
        uint32_t at;
        VF_TRY(vf_case_intern(c, &ref, &at, why));
        c->refs[at].erased_us = e->time_us;
    }
    return VF_OK;
}

/* Issued, signed or exported here, and yet not in the vault: it was put back to an older state, or somebody removed the row. */
static enum vf_err take_grant(struct vf_case *c, const struct vf_entry_view *e, struct vf_why *why)
{
    struct vf_case_stray s = {.time_us = e->time_us};

    if (e->grant.p == NULL || !vf_grant_id_parse(e->grant.p, e->grant.len, &s.id) ||
        vf_case_grant_find(c, &s.id) != VF_CASE_NONE)
        return VF_OK;
    if (e->recipient.p != NULL && e->recipient.len <= VF_NAME_MAX)
        memcpy(s.recipient, e->recipient.p, e->recipient.len);
    s.has_manifest = e->manifest.p != NULL && vf_unhex(e->manifest.p, e->manifest.len, s.manifest.b, VF_HASH_LEN);
    s.fields = vf_case_entry_fields(&e->fields);
    return vf_case_stray_add(c, &s, why);
}

static enum vf_err each_entry(void *user, const struct vf_entry_view *e, bool sealed, struct vf_why *why)
{
    struct vf_case *c = user;

    (void)sealed;
    if (!vf_case_text_is(&e->result, "ok"))
        return VF_OK;
    if (e->event == VF_EVENT_REVOKE)
        take_revocation(c, e);
    else if (e->event == VF_EVENT_ERASE)
        return take_erasure(c, e, why);
    else if (e->event == VF_EVENT_GRANT || e->event == VF_EVENT_SIGN || e->event == VF_EVENT_EXPORT)
        return take_grant(c, e, why);
    return VF_OK;
}

/* ---------------------------------------------------------------------------------------------------------------------- logs */

struct signers {
    struct vf_note_key *keys;
    size_t n;
};

static void signers_done(struct signers *s)
{
    free(s->keys);
}

/* A log that cannot be read says nothing; that is told, and no reason to say nothing of the rest. */
static enum vf_err read_log(struct vf_case *c, char *path, const struct signers *s, struct vf_why *why)
{
    const struct vf_verify_options opt = {.signers = s->keys, .nsigners = s->n, .each = each_entry, .user = c};
    VF_FREE struct vf_verdict *d = calloc(1, sizeof(*d));
    struct vf_why reason = {0};

    if (d == NULL || !vf_case_room(&c->logs, c->nlogs, &c->logs_room, sizeof(*c->logs))) {
        free(path);
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", c->path);
    }
    struct vf_case_log *l = &c->logs[c->nlogs++];
    *l = (struct vf_case_log){.path = path};
    enum vf_err err = vf_log_verify(path, &opt, d, &reason);
    if (err == VF_E_NOMEM)
        return vf_fail(why, err, "%s", reason.text);
    l->read = err == VF_OK;
    l->good = l->read && d->good && d->origin_checked;
    l->entries = d->entries;
    l->sealed = d->sealed;
    l->sealed_until_us = d->sealed_until_us;
    if (!l->read)
        (void)snprintf(l->words, sizeof(l->words), "%.239s", reason.text);
    else if (!l->good)
        (void)snprintf(l->words, sizeof(l->words), "%.239s",
                       d->nfindings > 0 ? d->findings[0] : "it was not begun by an admin of this force");
    return VF_OK;
}

static int is_folder_name(const struct dirent *d)
{
    return d->d_name[0] != '.';
}

enum vf_err vf_case_read_logs(struct vf_case *c, const char *root, struct vf_why *why)
{
    VF_CLEANUP(signers_done) struct signers s = {0};
    VF_FREE char *before = vf_path_join(root, "before");
    struct dirent **names = NULL;
    char *path = NULL;
    enum vf_err err = VF_OK;

    if (before == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", c->path);
    VF_TRY(vf_policy_chain_signers(&c->chain, &s.keys, &s.n, why));
    int n = scandir(before, &names, is_folder_name, alphasort);
    for (int i = 0; i < n; i++) {
        if (err == VF_OK && asprintf(&path, "%s/%s/log", before, names[i]->d_name) < 0)
            err = vf_fail(why, VF_E_NOMEM, "%s: out of memory", c->path);
        else if (err == VF_OK)
            err = read_log(c, path, &s, why);
        free(names[i]);
    }
    free(names);
    VF_TRY(err);
    path = vf_path_join(root, "log");
    return path != NULL ? read_log(c, path, &s, why) : vf_fail(why, VF_E_NOMEM, "%s: out of memory", c->path);
}
