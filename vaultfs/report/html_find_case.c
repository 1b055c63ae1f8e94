/* SPDX-License-Identifier: MIT */
/* What is to be noticed where the vault is at hand: reads that its grants do not cover, logs that are late or missing. */
#include "html_report.h"

#include <stdlib.h>
#include <string.h>

static const struct vf_case_grant *known(const struct vf_report *r, const struct vf_row *row)
{
    struct vf_grant_id id;
    size_t len;
    const char *text = vf_row_text(row, &len);

    if (len != sizeof(id.c))
        return NULL;
    memcpy(id.c, text, sizeof(id.c));
    uint32_t at = vf_case_grant_find(r->vault, &id);
    return at != VF_CASE_NONE ? &r->vault->grants[at] : NULL;
}

static enum vf_err check_times(struct vf_report *r, const struct vf_row *row, const struct vf_case_grant *g,
                               struct vf_why *why)
{
    char when[64], last[64], n[32];

    vf_when(row->c.last_us, last);
    if (row->after_end > 0) {
        vf_when(g->g.until_us, when);
        VF_TRY(vf_report_notice(r, VF_NOTICE_BAD, "after-end", "An honest mount opens nothing once a grant has ended.", why,
                                "%s read%s in job %s by %s after its grant had ended on %s; the last on %s.",
                                vf_number(row->after_end, n), row->after_end == 1 ? " was made" : "s were made", row->name,
                                row->other, when, last));
    }
    if (g->revoked_us != 0 && row->c.last_us > g->revoked_us) {
        vf_when(g->revoked_us, when);
        return vf_report_notice(r, VF_NOTICE_WARN, "after-revocation",
                                "An offline grant goes on until the station has received the revocation.", why,
                                "Job %s of %s was still read after it had been revoked on %s; the last time on %s.",
                                row->name, row->other, when, last);
    }
    return VF_OK;
}

static enum vf_err check_fields(struct vf_report *r, const struct vf_row *row, const struct vf_case_grant *g,
                                struct vf_why *why)
{
    vf_field_set over = row->c.fields & ~g->g.fields;
    VF_BUF names = {0};

    if (over == 0)
        return VF_OK;
    vf_buf_init(&names, 2048);
    vf_field_set_put(over & ~VF_FIELD_BIT(0), ", ", &names);
    if ((over & VF_FIELD_BIT(0)) != 0)
        vf_buf_text(&names,
                    names.len > 0 ? " and one that this program does not know" : "one that this program does not know");
    const char *text = vf_buf_cstr(&names);
    VF_TRY(vf_buf_check(&names, "the report", why));
    return vf_report_notice(r, VF_NOTICE_BAD, "not-granted", "No device has a key for a field that no grant to it names.",
                            why, "The log of job %s of %s tells of reads of fields that were not granted: %s.", row->name,
                            row->other, text);
}

/* Reads of records that the grant does not name. */
static enum vf_err check_records(struct vf_report *r, const struct vf_row *row, const struct vf_case_grant *g,
                                 struct vf_why *why)
{
    size_t index = (size_t)(row - r->f.grants.row);
    uint64_t strangers = 0;
    char n[32];

    if (index >= 63 || g->manifest == VF_CASE_NONE)
        return VF_OK;
    const struct vf_case_manifest *m = &r->vault->manifests[g->manifest];
    uint64_t bit = vf_rows_bit(&r->f.grants, row);
    VF_FREE uint8_t *named = calloc(r->vault->nrefs > 0 ? r->vault->nrefs : 1, 1);
    if (named == NULL)
        return vf_fail(why, VF_E_NOMEM, "no memory for %u records", (unsigned)r->vault->nrefs);
    for (uint32_t i = 0; i < m->n; i++)
        named[m->at[i]] = 1;
    for (size_t i = 0; i < r->f.refs.n; i++) {
        const struct vf_ref_row *x = &r->f.refs.row[i];
        if (((x->grants[0] | x->grants[1]) & bit) == 0)
            continue;
        uint32_t at = vf_case_find(r->vault, &x->ref);
        strangers += at == VF_CASE_NONE || named[at] == 0 ? 1 : 0;
    }
    if (strangers == 0)
        return VF_OK;
    return vf_report_notice(r, VF_NOTICE_BAD, "not-named", "No device has a key for a record that no grant to it names.",
                            why, "The log of job %s of %s tells of reads of %s record%s that the grant does not name.",
                            row->name, row->other, vf_number(strangers, n), strangers == 1 ? "" : "s");
}

static enum vf_err unknown_grants(struct vf_report *r, struct vf_why *why)
{
    uint64_t n = 0;
    char a[32];
    const struct vf_row *example = NULL;

    for (size_t i = 0; i < r->f.grants.n; i++) {
        const struct vf_row *row = &r->f.grants.row[i];
        if (vf_counts_reads(&row->c) == 0 || known(r, row) != NULL)
            continue;
        n++;
        example = row;
    }
    if (example == NULL)
        return VF_OK;
    return vf_report_notice(
        r, VF_NOTICE_BAD, "unknown-grant",
        "The vault remembers every grant that it made or signed; one restored from a backup lacks what came later.", why,
        "There were reads under %s grant%s that this vault does not know; one was job %s of %s.", vf_number(n, a),
        n == 1 ? "" : "s", example->name, example->other);
}

/* -------------------------------------------------------------------------------------------------------------------- hand-in */

static bool log_here(const struct vf_report *r, const struct vf_case_device *d)
{
    for (size_t i = 0; i < r->f.nlogs; i++)
        if (r->f.log[i].verdict != NULL && memcmp(&r->f.log[i].id, &d->enrol.log_id, sizeof(d->enrol.log_id)) == 0)
            return true;
    return false;
}

/* Of its grants: when the first began, and whether one is still on. */
static bool has_grant(const struct vf_report *r, uint32_t device, int64_t *ret_since, bool *ret_live)
{
    bool any = false;

    *ret_since = INT64_MAX;
    *ret_live = false;
    for (uint32_t i = 0; r->vault->grants != NULL && i < r->vault->ngrants; i++) {
        const struct vf_case_grant *g = &r->vault->grants[i];
        if (g->device != device)
            continue;
        any = true;
        *ret_since = g->g.issued_us < *ret_since ? g->g.issued_us : *ret_since;
        *ret_live = *ret_live || (!g->revoked && g->g.until_us > r->now_us);
    }
    return any;
}

static enum vf_err check_device(struct vf_report *r, uint32_t index, struct vf_why *why)
{
    static const char rule[] =
        "A log is asked for every day; a renewal is refused without one of the last seven days. Told after seven days "
        "where a grant is still in force, and always where no log ever came.";
    const struct vf_case_device *d = &r->vault->devices[index];
    int64_t since;
    bool live;
    char when[64];

    if (!has_grant(r, index, &since, &live))
        return VF_OK;
    bool here = log_here(r, d);
    r->devices_silent += here ? 0 : 1;
    if (d->handin_us == 0) {
        vf_when(since, when);
        return vf_report_notice(r, r->now_us - since > VF_DAY_US ? VF_NOTICE_WARN : VF_NOTICE_INFO, "no-handin", rule, why,
                                "%s has had grants since %s and never handed in its log.%s", d->enrol.name, when,
                                here ? " (Its log was given to this report all the same.)"
                                     : " Nothing is known of what was read there; count all that it was granted as read.");
    }
    if (live && r->now_us - d->handin_us > VF_HANDIN_LATE_US) {
        vf_when(d->handin_us, when);
        return vf_report_notice(r, VF_NOTICE_WARN, "late-handin", rule, why,
                                "%s has a grant in force and last handed in its log on %s, %lld days before this report.",
                                d->enrol.name, when, (long long)((r->now_us - d->handin_us) / VF_DAY_US));
    }
    return VF_OK;
}

enum vf_err vf_report_find_case(struct vf_report *r, struct vf_why *why)
{
    if (r->vault == NULL)
        return VF_OK;
    VF_TRY(unknown_grants(r, why));
    for (size_t i = 0; i < r->f.grants.n; i++) {
        const struct vf_row *row = &r->f.grants.row[i];
        const struct vf_case_grant *g = known(r, row);
        if (g == NULL || vf_counts_reads(&row->c) == 0)
            continue;
        VF_TRY(check_times(r, row, g, why));
        VF_TRY(check_fields(r, row, g, why));
        VF_TRY(check_records(r, row, g, why));
    }
    for (uint32_t i = 0; i < r->vault->ndevices; i++)
        VF_TRY(check_device(r, i, why));
    return VF_OK;
}
