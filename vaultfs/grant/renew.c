/* SPDX-License-Identifier: MIT */
/* The same again for longer: records, fields, versions, device and job stay, so that nothing has to be sent but one small file. */
#include "issue.h"
#include "rows.h"

#include <stdlib.h>
#include <string.h>

#define HANDIN_US (7 * VF_DAY_US)

static enum vf_err check_device(const struct vf_device *d, const struct vf_renew_options *opt, struct vf_why *why)
{
    char when[64];

    if (d->revoked)
        return vf_fail(why, VF_E_REFUSED, "%s was revoked: no grant of it is renewed", d->enrol.name);
    if (opt->no_handin || (d->handin_us != 0 && d->handin_us >= opt->now_us - HANDIN_US))
        return VF_OK;
    if (d->handin_us == 0)
        return vf_fail(why, VF_E_REFUSED,
                       "%s has never handed in its log: take it in first (device handin), or give --no-handin",
                       d->enrol.name);
    vf_time_format_person(d->handin_us, when, sizeof(when));
    return vf_fail(
        why, VF_E_REFUSED,
        "the log that %s handed in ends on %s, over 7 days ago: take in a newer one first (station handin, device "
        "handin), or give --no-handin",
        d->enrol.name, when);
}

static enum vf_err refs_of(const struct vf_manifest *m, struct vf_ref **ret, struct vf_why *why)
{
    struct vf_ref *refs = calloc(m->nrecords > 0 ? m->nrecords : 1, sizeof(*refs));

    if (refs == NULL)
        return vf_fail(why, VF_E_NOMEM, "no memory for the list of records");
    for (uint32_t i = 0; i < m->nrecords; i++)
        vf_manifest_ref(m, i, &refs[i]);
    *ret = refs;
    return VF_OK;
}

/* A record that is protected now: the grant may be older than that. */
static enum vf_err check_protected(const struct vf_contents *c, const struct vf_ref *refs, struct vf_why *why)
{
    for (uint32_t i = 0; i < c->n; i++)
        if ((c->seen.data[i] & VF_SEEN_PROTECTED) != 0)
            return vf_fail(why, VF_E_PROTECTED,
                           "record %.*s of the grant is protected (%llu in all): give --include-protected, or issue a "
                           "new grant without it",
                           VF_REF_LEN, refs[i].c, (unsigned long long)vf_contents_count(c, VF_SEEN_PROTECTED));
    return VF_OK;
}

/* The old grant's contents under the new id. A value that is gone was dropped after the end, or its record was erased. */
static enum vf_err derive(struct vf_vault *v, const struct vf_grant *old, const struct vf_grant *g,
                          const struct vf_renew_options *opt, struct vf_contents *c, struct vf_why *why)
{
    VF_BUF manifest = {0};
    VF_BUF times = {0};
    VF_FREE struct vf_ref *refs = NULL;
    struct vf_manifest m;

    VF_TRY(vf_kept_manifest(v, &old->manifest_hash, &manifest, &times, why));
    VF_TRY(vf_manifest_parse(manifest.data, manifest.len, "the grant's manifest in the vault", &m, why));
    if (m.nrecords != old->records || m.set != old->fields || times.len != (size_t)m.nrecords * 8)
        return vf_fail(why, VF_E_DAMAGED, "the vault's manifest of grant %.*s is not that grant's; check the vault",
                       VF_GRANT_ID_LEN, old->id.c);
    VF_TRY(refs_of(&m, &refs, why));
    const struct vf_derive d = {.v = v, .g = g, .refs = refs, .n = m.nrecords, .pinned = &m, .times = times.data};
    enum vf_err err = vf_contents_derive(&d, c, why);
    if (err == VF_E_NOT_FOUND)
        return vf_fail_prefix(why, VF_E_REFUSED, "grant %.*s cannot be renewed, issue a new one", VF_GRANT_ID_LEN,
                              old->id.c);
    VF_TRY(err);
    return opt->include_protected ? VF_OK : check_protected(c, refs, why);
}

enum vf_err vf_grant_renew(struct vf_vault *v, const struct vf_identity *admin, const struct vf_grant_id *id,
                           const struct vf_renew_options *opt, struct vf_grant_id *ret_id, struct vf_buf *out,
                           struct vf_why *why)
{
    VF_KEPT_GRANT old = {0};
    VF_CONTENTS c = {0};
    struct vf_device device;

    VF_TRY(vf_kept_grant_get(v, id, &old, why));
    if (old.revoked)
        return vf_fail(why, VF_E_REVOKED, "grant %.*s was revoked; a revoked grant is not renewed", VF_GRANT_ID_LEN, id->c);
    VF_TRY(vf_fail_prefix(why, vf_device_get(v, &old.grant.enrolment, &device, why), "grant %.*s", VF_GRANT_ID_LEN, id->c));
    VF_TRY(check_device(&device, opt, why));
    struct vf_grant g = old.grant;
    g.renews = true;
    g.renewed = *id;
    g.clock_reset = opt->clock_reset;
    VF_TRY(vf_draft_start(v, admin, opt->now_us, opt->now_us, opt->until_us, &g, why));
    VF_TRY(vf_draft_job_free(v, &g, &old.grant.manifest_hash, why));
    VF_TRY(derive(v, &old.grant, &g, opt, &c, why));
    VF_TRY(vf_draft_finish(v, admin, &device.enrol, (struct vf_slice){0}, &c, &g, out, why));
    *ret_id = g.id;
    return VF_OK;
}
