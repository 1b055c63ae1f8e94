/* SPDX-License-Identifier: MIT */
/* What the vault gives and takes back: issue, renew, revoke. */
#include "grant.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <vaultfs/desk.h>

#define SHOWN_REFS 20

static const char *plural(uint64_t n)
{
    return n == 1 ? "" : "s";
}

/* An output that would be refused at the end is refused before the work. */
/* The grant is in the vault by now; what it says can be sent only as this file. */
static enum vf_err write_grant(const struct kt_args *a, const struct vf_grant_id *id, const struct vf_buf *out,
                               struct vf_why *why)
{
    enum vf_err err = kt_output_write(a, kt_get(a, KT_OUTPUT), out, 0644, why);
    return err ? vf_fail_prefix(why, err, "grant %.16s was made and its file was not: revoke it and issue it again", id->c)
               : VF_OK;
}

enum vf_err kt_grant_next(const struct kt_args *a, const struct vf_buf *bytes, const char *path, const char *vault,
                          const struct vf_policy *policy, bool renewal, struct vf_why *why)
{
    struct vf_grant_file file;
    char names[512];
    size_t count;
    VF_TRY(vf_grant_file_parse(bytes->data, bytes->len, path, &file, why));
    VF_TRY(kt_grant_signatures(&file.note, policy, &count, names, sizeof(names), why));
    if (count < policy->threshold)
        kt_say("%s needs %zu more signature%s: one of %s reads it (grant review) and signs:\n"
               "  %s grant sign --key THEIRS.key %s VAULT",
               path, policy->threshold - count, plural(policy->threshold - count), names, a->program, path);
    else
        kt_say("%s has all its signatures (%zu of %u).", path, count, policy->threshold);
    if (file.grant.release == VF_RELEASE_ONLINE)
        kt_say("Shares come from the desk at %s, which learns of the grant by the station's first request. A grant of very "
               "many "
               "records is better handed to it (desk receive).",
               file.grant.desk_url);
    if (file.grant.release == VF_RELEASE_ONLINE && file.grant.records > VF_DESK_ALL_MAX)
        kt_say("note: of over %u records there is no cards.csv in the mount: each is opened by itself. With cards.csv, make "
               "several grants.",
               VF_DESK_ALL_MAX);
    if (renewal || file.grant.renews)
        kt_say("%s %s to the station (station receive); no values have to be sent again.",
               count < policy->threshold ? "Then send" : "Send", path);
    else
        kt_say("%s:\n  %s bundle export --grant %s --key YOURS.key -o %.16s.bundle %s\nand send both files to the station "
               "(station receive).",
               count < policy->threshold ? "Then" : "Next", a->program, path, file.grant.id.c, vault ? vault : "VAULT");
    return VF_OK;
}

/* ---------------------------------------------------------------------------------------------------------------- issue */

struct issuing {
    struct vf_issue_options opt;
    struct vf_enrol enrol;
    struct vf_buf enrol_bytes;
    struct vf_where where[KT_REPEAT_MAX];
    struct kt_progress progress;
};

static enum vf_err parse_fields(const struct kt_args *a, vf_field_set *ret, struct vf_why *why)
{
    if (kt_has(a, KT_PROFILE) == kt_has(a, KT_FIELDS))
        return kt_usage(why, "say which fields: --profile card-print or --fields LIST, one of them");
    if (kt_has(a, KT_FIELDS))
        return vf_field_set_parse(kt_get(a, KT_FIELDS), ret, why);
    if (strcmp(kt_get(a, KT_PROFILE), "card-print") != 0)
        return kt_usage(why, "--profile: the only profile is card-print");
    *ret = vf_field_set_card_print();
    return VF_OK;
}

static enum vf_err parse_options(const struct kt_args *a, struct issuing *is, struct vf_why *why)
{
    const char *release = kt_get(a, KT_RELEASE), *to = kt_get(a, KT_TO);
    struct vf_issue_options *opt = &is->opt;

    if (!kt_has(a, KT_CHECK) && !kt_has(a, KT_OUTPUT))
        return kt_usage(why, "grant issue needs --output FILE, or --check");
    opt->now_us = opt->from_us = vf_clock_wall_us();
    VF_TRY(kt_time_arg("until", kt_get(a, KT_UNTIL), &opt->until_us, why));
    if (kt_has(a, KT_FROM))
        VF_TRY(kt_time_arg("from", kt_get(a, KT_FROM), &opt->from_us, why));
    if (strcmp(release, "offline") != 0 && strcmp(release, "online") != 0)
        return kt_usage(why, "--release is offline or online");
    opt->release = strcmp(release, "online") == 0 ? VF_RELEASE_ONLINE : VF_RELEASE_OFFLINE;
    if (kt_has(a, KT_BUDGET)) {
        VF_TRY(kt_number_arg("budget", kt_get(a, KT_BUDGET), VF_GRANT_RECORDS_MAX, &opt->budget, why));
        if (opt->budget == 0)
            return kt_usage(why, "--budget is at least 1; leave it out for none");
    }
    VF_TRY(parse_fields(a, &opt->fields, why));
    VF_TRY(kt_selection(a, true, &opt->records, is->where, why));
    VF_TRY(vf_file_read(to, VF_ENROL_MAX, &is->enrol_bytes, why));
    VF_TRY(vf_enrol_parse(is->enrol_bytes.data, is->enrol_bytes.len, to, &is->enrol, why));
    opt->to = &is->enrol;
    opt->enrol_bytes = is->enrol_bytes.data;
    opt->enrol_len = is->enrol_bytes.len;
    opt->job = kt_get(a, KT_JOB);
    opt->purpose = kt_get(a, KT_PURPOSE);
    opt->allow_incomplete = kt_has(a, KT_ALLOW_INCOMPLETE);
    opt->clock_reset = kt_has(a, KT_CLOCK_RESET);
    opt->check = kt_has(a, KT_CHECK);
    opt->progress = kt_progress_show;
    opt->user = &is->progress;
    return VF_OK;
}

static void print_missing(const struct vf_issue_report *r)
{
    if (r->incomplete == 0)
        return;
    (void)printf("missing    %llu record%s lack%s a photo, name_on_card, rank or warrant_no (%llu of them the photo):",
                 (unsigned long long)r->incomplete, plural(r->incomplete), r->incomplete == 1 ? "s" : "",
                 (unsigned long long)r->missing_photos);
    for (uint64_t i = 0; i < r->incomplete && i < SHOWN_REFS; i++)
        (void)printf(" %.8s", r->incomplete_refs[i].c);
    (void)printf("%s\n", r->incomplete > SHOWN_REFS ? " …" : "");
}

static void print_report(const struct vf_issue_options *opt, const struct vf_issue_report *r, const struct vf_grant_id *id)
{
    struct vf_grant shown = {.release = opt->release};
    struct vf_hash hash;
    char device[VF_FINGERPRINT_TEXT_LEN + 1], from[64], until[64];
    VF_BUF fields;

    vf_buf_init(&fields, 4096);
    vf_field_set_put(opt->fields, ", ", &fields);
    vf_identity_fingerprint(&opt->to->device, &hash);
    vf_fingerprint_text(&hash, device);
    vf_time_format_person(opt->from_us, from, sizeof(from));
    vf_time_format_person(opt->until_us, until, sizeof(until));
    if (id)
        (void)printf("grant      %.16s\n", id->c);
    else
        (void)printf("Would grant:\n");
    (void)printf("job        %s\nto         %s\ndevice     %s\nrecords    %llu\nfields     %s\nfrom       %s\nuntil      "
                 "%s\nends       %s\n",
                 opt->job, opt->to->name, device, (unsigned long long)r->records,
                 vf_buf_cstr(&fields) ? vf_buf_cstr(&fields) : "?", from, until, vf_grant_ends_text(&shown));
    if (opt->budget)
        (void)printf("budget     %llu different record%s\n", (unsigned long long)opt->budget, kt_s(opt->budget));
    print_missing(r);
    if (r->left_protected || r->left_leavers)
        (void)printf("left out   %llu protected, %llu leaver%s\n", (unsigned long long)r->left_protected,
                     (unsigned long long)r->left_leavers, kt_s(r->left_leavers));
    if (r->protected_in || r->leavers)
        (void)printf("in by list %llu protected, %llu leaver%s\n", (unsigned long long)r->protected_in,
                     (unsigned long long)r->leavers, kt_s(r->leavers));
    (void)printf("to send    %.1f MB\n", (double)r->bytes_to_send / 1e6);
}

static json_t *report_json(const struct vf_issue_options *opt, const struct vf_issue_report *r, const struct vf_grant_id *id)
{
    struct vf_grant shown = {.release = opt->release};
    struct vf_hash hash;
    char device[VF_FINGERPRINT_TEXT_LEN + 1];
    json_t *refs = json_array();
    for (uint64_t i = 0; i < r->incomplete; i++)
        (void)json_array_append_new(refs, json_stringn(r->incomplete_refs[i].c, VF_REF_LEN));
    vf_identity_fingerprint(&opt->to->device, &hash);
    vf_fingerprint_text(&hash, device);
    return json_pack("{s:o,s:s,s:s,s:s,s:I,s:o,s:o,s:o,s:s,s:s,s:b,s:o,s:I,s:I,s:I,s:I,s:I,s:I}", "id",
                     id ? json_stringn(id->c, VF_GRANT_ID_LEN) : json_null(), "job", opt->job, "recipient", opt->to->name,
                     "device", device, "records", (json_int_t)r->records, "fields", kt_json_fields(opt->fields), "from",
                     kt_json_time(opt->from_us), "until", kt_json_time(opt->until_us), "ends", vf_grant_ends_text(&shown),
                     "release", opt->release == VF_RELEASE_ONLINE ? "online" : "offline", "offline_before",
                     (int)r->offline_before, "incomplete", refs, "missing_photos", (json_int_t)r->missing_photos,
                     "left_out_protected", (json_int_t)r->left_protected, "left_out_leavers", (json_int_t)r->left_leavers,
                     "protected", (json_int_t)r->protected_in, "leavers", (json_int_t)r->leavers, "bytes_to_send",
                     (json_int_t)r->bytes_to_send);
}

/* Ciphertext and keys of an offline grant may have been kept: then the desk's key has nothing to end. */
static void tell_offline_before(const struct vf_issue_options *opt, const struct vf_issue_report *r)
{
    if (r->offline_before)
        kt_say("warning: %s had some of these values by an offline grant. Whoever kept a copy of that grant and of the "
               "station opens "
               "them without the desk, also when this grant has ended. Its end is by cryptography only for the others.",
               opt->to->name);
}

static enum vf_err issue_with(const struct kt_args *a, struct issuing *is, struct vf_vault *v, const struct vf_identity *id,
                              struct vf_why *why)
{
    VF_CLEANUP(vf_issue_report_done) struct vf_issue_report r = {0};
    const char *path = kt_get(a, KT_OUTPUT);
    struct vf_grant_id grant;
    VF_BUF out;

    vf_buf_init(&out, VF_GRANT_FILE_MAX);
    is->progress = (struct kt_progress){.what = "Issuing", .unit = "records"};
    enum vf_err err = vf_grant_issue(v, id, &is->opt, &grant, &out, &r, why);
    kt_progress_done(&is->progress);
    if (err) {
        print_missing(&r);
        return err;
    }
    if (!is->opt.check)
        VF_TRY(write_grant(a, &grant, &out, why));
    if (kt_has(a, KT_JSON))
        VF_TRY(kt_print_json(report_json(&is->opt, &r, is->opt.check ? NULL : &grant), why));
    else
        print_report(&is->opt, &r, is->opt.check ? NULL : &grant);
    if (is->opt.check) {
        tell_offline_before(&is->opt, &r);
        return VF_OK;
    }
    kt_say("Compare the device's words with those that the supplier reads to you.");
    tell_offline_before(&is->opt, &r);
    return kt_grant_next(a, &out, path, a->argv[0], &vf_vault_policy(v)->policy, false, why);
}

enum vf_err kt_grant_issue(const struct kt_args *a, struct vf_why *why)
{
    VF_FREE struct issuing *is = calloc(1, sizeof(*is));
    VF_IDENTITY id = NULL;
    VF_VAULT v = NULL;
    if (!is)
        return vf_fail(why, VF_E_NOMEM, "out of memory");
    enum vf_err err = parse_options(a, is, why);
    if (!err && !is->opt.check)
        err = kt_output_check(a, kt_get(a, KT_OUTPUT), why);
    if (!err)
        err = kt_vault_open(a, a->argv[0], VF_VAULT_WRITE, &id, &v, why);
    if (!err)
        err = issue_with(a, is, v, id, why);
    err = kt_vault_close(v, err, why);
    v = NULL;
    vf_buf_done(&is->enrol_bytes);
    return err;
}

/* ---------------------------------------------------------------------------------------------------------------- renew */

static enum vf_err grant_id_arg(const struct kt_args *a, struct vf_grant_id *ret, struct vf_why *why)
{
    if (!vf_grant_id_parse(a->argv[0], strlen(a->argv[0]), ret))
        return kt_usage(why, "\"%s\" is no grant id: 16 characters of A-Z and 2-7 (grant list shows them)", a->argv[0]);
    return VF_OK;
}

static enum vf_err renew_with(const struct kt_args *a, struct vf_vault *v, const struct vf_identity *id,
                              const struct vf_grant_id *old, int64_t until_us, struct vf_why *why)
{
    const struct vf_renew_options opt = {.now_us = vf_clock_wall_us(),
                                         .until_us = until_us,
                                         .no_handin = kt_has(a, KT_NO_HANDIN),
                                         .clock_reset = kt_has(a, KT_CLOCK_RESET),
                                         .include_protected = kt_has(a, KT_INCLUDE_PROTECTED)};
    struct vf_grant_file file;
    struct vf_grant_id fresh;
    VF_BUF out;
    vf_buf_init(&out, VF_GRANT_FILE_MAX);
    VF_TRY(vf_grant_renew(v, id, old, &opt, &fresh, &out, why));
    VF_TRY(write_grant(a, &fresh, &out, why));
    VF_TRY(vf_grant_file_parse(out.data, out.len, kt_get(a, KT_OUTPUT), &file, why));
    if (kt_has(a, KT_JSON))
        VF_TRY(kt_print_json(kt_grant_json(&file.grant), why));
    else
        kt_grant_print(&file.grant);
    return kt_grant_next(a, &out, kt_get(a, KT_OUTPUT), a->argv[1], &vf_vault_policy(v)->policy, true, why);
}

enum vf_err kt_grant_renew(const struct kt_args *a, struct vf_why *why)
{
    struct vf_grant_id old;
    int64_t until_us;
    VF_IDENTITY id = NULL;
    VF_VAULT v = NULL;
    VF_TRY(grant_id_arg(a, &old, why));
    VF_TRY(kt_time_arg("until", kt_get(a, KT_UNTIL), &until_us, why));
    VF_TRY(kt_output_check(a, kt_get(a, KT_OUTPUT), why));
    VF_TRY(kt_vault_open(a, a->argv[1], VF_VAULT_WRITE, &id, &v, why));
    enum vf_err err = renew_with(a, v, id, &old, until_us, why);
    err = kt_vault_close(v, err, why);
    v = NULL;
    return err;
}

/* --------------------------------------------------------------------------------------------------------------- revoke */

struct revoked {
    struct vf_grant_id id;
    bool found;
    struct vf_grant grant;
    int64_t now_us;
};

static enum vf_err find_revoked(void *user, const struct vf_grant_item *item, struct vf_why *why)
{
    struct revoked *r = user;
    (void)why;
    if (memcmp(&item->grant.id, &r->id, sizeof(r->id)) == 0) {
        r->found = true;
        r->grant = item->grant;
    }
    return VF_OK;
}

/*
 * Renewals, and what was renewed, are grants of their own: without the one that was taken back the station goes on with another one of the job, or
 * of the same records.
 */
static enum vf_err tell_others(void *user, const struct vf_grant_item *item, struct vf_why *why)
{
    const struct revoked *r = user;
    const struct vf_grant *g = &item->grant;
    char until[64];
    (void)why;
    bool same = memcmp(&g->enrolment, &r->grant.enrolment, VF_HASH_LEN) == 0 &&
                (strcmp(g->job, r->grant.job) == 0 || memcmp(&g->manifest_hash, &r->grant.manifest_hash, VF_HASH_LEN) == 0);
    if (!same || item->revoked || g->until_us <= r->now_us || memcmp(&g->id, &r->id, sizeof(r->id)) == 0)
        return VF_OK;
    vf_time_format_person(g->until_us, until, sizeof(until));
    kt_say("NOT revoked: grant %.16s, job %s, gives %s %s until %s. Revoke it too if that is to stop.", g->id.c, g->job,
           g->recipient,
           memcmp(&g->manifest_hash, &r->grant.manifest_hash, VF_HASH_LEN) == 0 ? "the same values" : "records of this job",
           until);
    return VF_OK;
}

static enum vf_err tell_what_goes_on(struct vf_vault *v, struct revoked *r, struct vf_why *why)
{
    VF_TRY(vf_grant_each(v, find_revoked, r, why));
    return r->found ? vf_grant_each(v, tell_others, r, why) : VF_OK;
}

/* Who has to hear of it, and what is so until then. */
static void tell_where_to(const struct kt_args *a, const struct revoked *r)
{
    const char *path = kt_get(a, KT_OUTPUT);
    if (r->found && r->grant.release == VF_RELEASE_ONLINE)
        kt_say("Grant %.16s is revoked in the vault. Now give %s to the key desk:\n"
               "  %s desk receive --key DESK.key STORE %s\n"
               "That destroys the grant's one-time key: from then on nothing that was not released before can be opened by "
               "anybody. "
               "What was released stays readable in the mount until its lease ends (15 minutes, or what desk answer gave), "
               "or until "
               "the station has received the same file (station receive).",
               r->id.c, path, a->program, path);
    else
        kt_say("Grant %.16s is revoked in the vault. The station learns of it from %s (station receive): send it now. An "
               "offline grant stays readable for whoever keeps the station from receiving it, until its end.",
               r->id.c, path);
}

enum vf_err kt_grant_revoke(const struct kt_args *a, struct vf_why *why)
{
    struct revoked r = {.now_us = vf_clock_wall_us()};
    VF_IDENTITY id = NULL;
    VF_VAULT v = NULL;
    VF_BUF out;
    vf_buf_init(&out, VF_NOTE_MAX);
    VF_TRY(grant_id_arg(a, &r.id, why));
    VF_TRY(kt_output_check(a, kt_get(a, KT_OUTPUT), why));
    VF_TRY(kt_vault_open(a, a->argv[1], VF_VAULT_WRITE, &id, &v, why));
    enum vf_err err = vf_grant_revoke(v, id, &r.id, kt_get(a, KT_REASON), r.now_us, &out, why);
    if (!err)
        err = kt_output_write(a, kt_get(a, KT_OUTPUT), &out, 0644, why);
    if (!err)
        err = tell_what_goes_on(v, &r, why);
    err = kt_vault_close(v, err, why);
    v = NULL;
    if (!err)
        tell_where_to(a, &r);
    return err;
}
