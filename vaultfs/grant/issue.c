/* SPDX-License-Identifier: MIT */
/* A new grant: who may, what for, which records; what is missing from them; then the draft is finished. */
#include "issue.h"
#include "rows.h"
#include "select.h"
#include "sent.h"

#include <stdlib.h>
#include <string.h>

void vf_issue_report_done(struct vf_issue_report *r)
{
    free(r->incomplete_refs);
    r->incomplete_refs = NULL;
    r->incomplete = 0;
}

static enum vf_err check_fields(vf_field_set fields, struct vf_why *why)
{
    vf_field_set never = fields & vf_field_set_class(VF_CLASS_C);

    for (unsigned f = 1; f < VF_FIELD_COUNT; f++)
        if ((never & VF_FIELD_BIT(f)) != 0)
            return vf_fail(why, VF_E_CLASS_REFUSED, "%s never goes to a supplier; leave it out", vf_field_info(f)->name);
    if (fields == 0)
        return vf_fail(why, VF_E_INPUT, "a grant of no fields");
    return VF_OK;
}

static enum vf_err check_words(const struct vf_issue_options *opt, struct vf_why *why)
{
    size_t purpose = strlen(opt->purpose);

    if (!vf_job_valid(opt->job, strlen(opt->job)))
        return vf_fail(why, VF_E_INPUT, "\"%.40s\" is no name for a job: small letters, digits and -, at most %u", opt->job,
                       VF_JOB_MAX);
    if (purpose == 0 || purpose > VF_PURPOSE_MAX || !vf_text_printable(opt->purpose, purpose) ||
        vf_text_blank(opt->purpose, purpose))
        return vf_fail(why, VF_E_INPUT, "the purpose must be one line of text, at most %u bytes", VF_PURPOSE_MAX);
    if (opt->budget > VF_GRANT_RECORDS_MAX)
        return vf_fail(why, VF_E_INPUT, "a budget of more records than a grant can name");
    return check_fields(opt->fields, why);
}

struct name_search {
    const struct vf_enrol *to;
};

/* A name means one device: where it is used by another one that was not revoked, messages and revocations would be ambiguous. */
static enum vf_err same_name(void *user, const struct vf_device_item *item, struct vf_why *why)
{
    const struct name_search *s = user;

    if (item->revoked || strcmp(item->enrol.name, s->to->name) != 0 || memcmp(&item->enrol.id, &s->to->id, VF_HASH_LEN) == 0)
        return VF_OK;
    return vf_fail(why, VF_E_REFUSED,
                   "another device is enrolled as %s; revoke that one first, or enrol this one under another name",
                   s->to->name);
}

/* The enrolment is of this force and as it was signed; the device is not one that was revoked. */
static enum vf_err check_device(struct vf_vault *v, const struct vf_issue_options *opt, struct vf_why *why)
{
    struct vf_enrol again;
    struct vf_device device;
    bool known;
    struct name_search s = {.to = opt->to};

    VF_TRY(vf_enrol_parse(opt->enrol_bytes, opt->enrol_len, "the enrolment", &again, why));
    if (memcmp(&again.id, &opt->to->id, sizeof(again.id)) != 0)
        return vf_fail(why, VF_E_INPUT, "the enrolment is not the one that was read before");
    if (memcmp(&again.vault, vf_vault_id_get(v), sizeof(again.vault)) != 0)
        return vf_fail(why, VF_E_REFUSED, "%s is enrolled with another force: have it enrol with this force's policy",
                       again.name);
    VF_TRY(vf_device_look(v, &again.id, &device, &known, why));
    if (known && device.revoked)
        return vf_fail(why, VF_E_REFUSED, "%s was revoked: it needs a new station, and so a new enrolment", again.name);
    return vf_device_each(v, same_name, &s, why);
}

/* Refs of the records with this mark, in fresh memory. */
static enum vf_err refs_of(const struct vf_contents *c, const struct vf_manifest *m, uint8_t seen, struct vf_ref **ret,
                           uint64_t *ret_n, struct vf_why *why)
{
    uint64_t n = vf_contents_count(c, seen);
    struct vf_ref *list = n > 0 ? calloc((size_t)n, sizeof(*list)) : NULL;

    if (n > 0 && list == NULL)
        return vf_fail(why, VF_E_NOMEM, "no memory for a list of records");
    for (uint32_t i = 0, at = 0; i < c->n && at < n; i++)
        if ((c->seen.data[i] & seen) != 0)
            vf_manifest_ref(m, i, &list[at++]);
    *ret = list;
    *ret_n = n;
    return VF_OK;
}

/* The size of a bundle of what the device has not been sent, and whether it ever had any of it offline. */
static enum vf_err bytes_to_send(struct vf_vault *v, const struct vf_issue_options *opt, const struct vf_contents *c,
                                 const struct vf_manifest *m, struct vf_issue_report *r, struct vf_why *why)
{
    VF_SENT sent = {0};
    uint64_t bytes = VF_BUNDLE_HEAD;

    VF_TRY(vf_sent_load(v, &opt->to->id, NULL, opt->now_us, m, &sent, why));
    if (opt->release == VF_RELEASE_ONLINE)
        VF_TRY(vf_sent_offline(v, &opt->to->id, m, &r->offline_before, why));
    for (uint32_t row = 0; row < m->nrecords; row++) {
        for (unsigned col = 0; col < m->nfields; col++) {
            uint32_t size = vf_get_be32(c->sizes.data + ((size_t)row * m->nfields + col) * 4);
            if (size != 0 && !vf_sent_has(&sent, row, col))
                bytes += VF_BUNDLE_ITEM_LEN + size;
        }
    }
    r->bytes_to_send = bytes;
    return VF_OK;
}

static enum vf_err fill_report(struct vf_vault *v, const struct vf_issue_options *opt, const struct vf_selected *s,
                               const struct vf_contents *c, struct vf_issue_report *r, struct vf_why *why)
{
    struct vf_manifest m;

    VF_TRY(vf_manifest_parse(c->manifest.data, c->manifest.len, "the manifest", &m, why));
    r->records = c->n;
    r->left_protected = s->left_protected + c->left_protected;
    r->left_leavers = s->left_leavers + c->left_leavers;
    r->leavers = s->leavers;
    r->protected_in = s->protected_in;
    r->missing_photos = vf_contents_count(c, VF_SEEN_NO_PHOTO);
    VF_TRY(refs_of(c, &m, VF_SEEN_INCOMPLETE, &r->incomplete_refs, &r->incomplete, why));
    return bytes_to_send(v, opt, c, &m, r, why);
}

static enum vf_err refuse_incomplete(const struct vf_issue_report *r, struct vf_why *why)
{
    char refs[5 * (VF_REF_LEN + 2) + 1] = "";
    size_t at = 0;

    for (uint64_t i = 0; i < r->incomplete && i < 5; i++)
        at +=
            (size_t)snprintf(refs + at, sizeof(refs) - at, "%s%.*s", i > 0 ? ", " : "", VF_REF_LEN, r->incomplete_refs[i].c);
    return vf_fail(why, VF_E_REFUSED,
                   "%llu of %llu records lack photo, name_on_card, rank or warrant_no (%s%s): complete them, leave them "
                   "out, or give --allow-incomplete",
                   (unsigned long long)r->incomplete, (unsigned long long)r->records, refs, r->incomplete > 5 ? ", …" : "");
}

static enum vf_err start(struct vf_vault *v, const struct vf_identity *admin, const struct vf_issue_options *opt,
                         struct vf_grant *g, struct vf_why *why)
{
    VF_TRY(check_words(opt, why));
    VF_TRY(check_device(v, opt, why));
    VF_TRY(vf_draft_start(v, admin, opt->now_us, opt->from_us, opt->until_us, g, why));
    (void)snprintf(g->job, sizeof(g->job), "%s", opt->job);
    (void)snprintf(g->purpose, sizeof(g->purpose), "%s", opt->purpose);
    g->fields = opt->fields;
    g->release = opt->release;
    g->budget = opt->budget;
    g->clock_reset = opt->clock_reset;
    g->enrolment = opt->to->id;
    return vf_draft_job_free(v, g, NULL, why);
}

static enum vf_err no_record(uint64_t left_protected, uint64_t left_leavers, struct vf_why *why)
{
    return vf_fail(why, VF_E_INPUT, "no record to grant (%llu protected and %llu leavers were left out)",
                   (unsigned long long)left_protected, (unsigned long long)left_leavers);
}

/* Of all records *ret_every are named here, and who has to stay out does so when their contents are derived. */
static enum vf_err choose(struct vf_vault *v, const struct vf_issue_options *opt, struct vf_selected *s, bool *ret_every,
                          struct vf_why *why)
{
    struct vf_selection sel = opt->records;

    sel.for_grant = true;
    *ret_every = sel.all && sel.list_path == NULL && sel.nwhere == 0;
    if (*ret_every) {
        VF_TRY(vf_select_every(v, s, why));
        if (s->n <= VF_GRANT_RECORDS_MAX)
            return VF_OK;
        *ret_every = false;
        vf_selected_done(s);
    }
    VF_TRY(vf_select(v, &sel, s, why));
    if (s->n == 0)
        return no_record(s->left_protected, s->left_leavers, why);
    if (s->n > VF_GRANT_RECORDS_MAX)
        return vf_fail(why, VF_E_LIMIT, "%zu records are more than one grant can name; make several", s->n);
    return VF_OK;
}

enum vf_err vf_grant_issue(struct vf_vault *v, const struct vf_identity *admin, const struct vf_issue_options *opt,
                           struct vf_grant_id *ret_id, struct vf_buf *out, struct vf_issue_report *report,
                           struct vf_why *why)
{
    VF_CLEANUP(vf_selected_done) struct vf_selected s = {0};
    VF_CONTENTS c = {0};
    struct vf_grant g = {0};
    bool every;

    *report = (struct vf_issue_report){0};
    VF_TRY(start(v, admin, opt, &g, why));
    VF_TRY(choose(v, opt, &s, &every, why));
    const struct vf_derive d = {.v = v,
                                .g = &g,
                                .refs = s.refs,
                                .n = (uint32_t)s.n,
                                .leave_out = every,
                                .progress = opt->progress,
                                .user = opt->user};
    VF_TRY(vf_contents_derive(&d, &c, why));
    if (c.n == 0)
        return no_record(c.left_protected, c.left_leavers, why);
    VF_TRY(fill_report(v, opt, &s, &c, report, why));
    if (report->incomplete > 0 && !opt->allow_incomplete)
        return refuse_incomplete(report, why);
    if (opt->check)
        return VF_OK;
    VF_TRY(vf_draft_finish(v, admin, opt->to, (struct vf_slice){opt->enrol_bytes, opt->enrol_len}, &c, &g, out, why));
    *ret_id = g.id;
    return VF_OK;
}
