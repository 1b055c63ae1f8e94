/* SPDX-License-Identifier: MIT */
/* Issuing: who may get what of whom, and that the device then has exactly that. */
#include "grant_place.h"

#include "fakeclock.h"

#include <unistd.h>

#define CARD vf_field_set_card_print()

static struct place p;
static struct bureau b;

static int set_up(void **state)
{
    return force_and_bureau(state, &p, &b, 7);
}

static int tear_down(void **state)
{
    return force_and_bureau_done(state, &p, &b);
}

static unsigned jobs;

/* A name of its own for each grant. */
static const char *job(void)
{
    static char name[32];

    (void)snprintf(name, sizeof(name), "job-%u", ++jobs);
    return name;
}

static void issues_and_opens(void **state)
{
    struct vf_vault *v = open_as(&p, VF_VAULT_WRITE, ALICE);
    struct vf_issue_options opt = options_for(&b, job(), CARD);
    struct vf_export_report sent = {0};
    struct issued i;
    char path[400];
    const char *paths[] = {place_path(&p, "one.bundle", path)};
    uint64_t n = 0;
    VF_FD fd = -1;

    (void)state;
    unsigned grants = log_counts(&p, VF_EVENT_GRANT);
    issue(v, ALICE, &opt, &i);
    assert_int_equal(i.report.records, 7);
    assert_int_equal(i.report.incomplete, 0);
    assert_int_equal(i.report.missing_photos, 0);
    const struct vf_grant *g = &i.f.grant;
    assert_int_equal(g->records, 7);
    assert_int_equal(g->fields, CARD);
    assert_string_equal(g->recipient, "bureau-7");
    assert_string_equal(g->issuer, "alice");
    assert_string_equal(g->force_name, "Example Constabulary");
    assert_int_equal(g->until_us, NOW_US + 7 * VF_DAY_US);
    assert_memory_equal(&g->enrolment, &b.enrol.id, VF_HASH_LEN);
    assert_true(i.f.manifest_len + i.f.envelopes_len + i.f.catalogue_len < 7 * 1024);
    OK(vf_grant_verify(&i.f, vf_vault_policy(v), why));
    OK(try_export(v, &i, false, path, &sent));
    /* Signature images are absent; every other field is there. */
    assert_int_equal(sent.values, 7 * 9);
    bureau_reads(&b, v, &i, paths, 1);
    OK(vf_file_open(path, &fd, &n, why));
    assert_int_equal(n, i.report.bytes_to_send);
    OK(vf_bundle_verify(&i.f, fd, "one.bundle", &n, why));
    assert_int_equal(n, sent.values);
    issued_done(&i);
    close_vault(v);
    assert_int_equal(log_counts(&p, VF_EVENT_GRANT), grants + 1);
    assert_true(log_counts(&p, VF_EVENT_EXPORT) >= 1);
}

/* Only what was asked for is in the envelopes: no other key can be had from them. */
static void only_granted_fields(void **state)
{
    struct vf_vault *v = open_as(&p, VF_VAULT_WRITE, ALICE);
    struct vf_issue_options opt = options_for(&b, job(), VF_FIELD_BIT(VF_FIELD_RANK));
    struct issued i;

    (void)state;
    issue(v, ALICE, &opt, &i);
    assert_int_equal(i.f.envelopes_len, 30 + 7 * (32 + 16));
    assert_int_equal(i.f.manifest.nfields, 1);
    issued_done(&i);
    /* Class B by name is given; photo alone, too. */
    opt = options_for(&b, job(), VF_FIELD_BIT(VF_FIELD_SURNAME) | VF_FIELD_BIT(VF_FIELD_PHOTO));
    issue(v, ALICE, &opt, &i);
    assert_int_equal(i.f.manifest.nfields, 2);
    issued_done(&i);
    close_vault(v);
}

static void expect_refusal(struct vf_vault *v, const struct vf_issue_options *opt, enum vf_err want, const char *says)
{
    struct issued i;
    uint64_t before = count_rows(v, VF_VT_GRANT);
    enum vf_err err = try_issue(v, ALICE, opt, &i);

    if (err != want)
        fail_msg("%d (%s), not %d", err, why->text, want);
    if (strstr(why->text, says) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", why->text, says);
    assert_int_equal(count_rows(v, VF_VT_GRANT), before);
    issued_done(&i);
}

static void refuses_words(void **state)
{
    struct vf_vault *v = open_as(&p, VF_VAULT_WRITE, ALICE);
    const struct vf_issue_options good = options_for(&b, "words", CARD);
    struct vf_issue_options opt = good;
    char purpose[VF_PURPOSE_MAX + 2];

    (void)state;
    opt.fields = CARD | VF_FIELD_BIT(VF_FIELD_VETTING);
    expect_refusal(v, &opt, VF_E_CLASS_REFUSED, "vetting");
    opt.fields = VF_FIELD_BIT(VF_FIELD_PROTECT);
    expect_refusal(v, &opt, VF_E_CLASS_REFUSED, "protect");
    opt.fields = 0;
    expect_refusal(v, &opt, VF_E_INPUT, "no fields");
    opt = good;
    opt.job = "Not a job";
    expect_refusal(v, &opt, VF_E_INPUT, "job");
    opt = good;
    opt.purpose = "";
    expect_refusal(v, &opt, VF_E_INPUT, "purpose");
    opt.purpose = "two\nlines";
    expect_refusal(v, &opt, VF_E_INPUT, "purpose");
    (void)memset(purpose, 'x', sizeof(purpose));
    purpose[VF_PURPOSE_MAX + 1] = '\0';
    opt.purpose = purpose;
    expect_refusal(v, &opt, VF_E_INPUT, "purpose");
    opt = good;
    opt.release = VF_RELEASE_ONLINE;
    expect_refusal(v, &opt, VF_E_REFUSED, "names no desk");
    opt = good;
    opt.until_us = NOW_US;
    expect_refusal(v, &opt, VF_E_INPUT, "ended already");
    opt.until_us = NOW_US + VF_DAY_US;
    opt.from_us = NOW_US + VF_DAY_US;
    expect_refusal(v, &opt, VF_E_INPUT, "before it starts");
    opt = good;
    opt.until_us = NOW_US + 31 * VF_DAY_US + VF_SECOND_US;
    expect_refusal(v, &opt, VF_E_REFUSED, "longer than this vault permits");
    /* A start far away does not get around it: the keys are there from the first day. */
    opt.from_us = NOW_US + 30 * VF_DAY_US;
    expect_refusal(v, &opt, VF_E_REFUSED, "longer than this vault permits");
    close_vault(v);
}

static void refuses_devices(void **state)
{
    struct vf_vault *v = open_as(&p, VF_VAULT_WRITE, ALICE);
    struct vf_issue_options opt = options_for(&b, "devices", CARD);
    struct vf_vault_id other_force = *vf_vault_id_get(v);
    struct bureau foreign;
    struct bureau namesake;
    struct place second = p;
    char path[400];

    (void)state;
    other_force.b[0] ^= 1;
    (void)snprintf(second.dir.path, sizeof(second.dir.path), "%s", place_path(&p, "others", path));
    OK(vf_dir_make(second.dir.path, why));
    bureau_make(&second, &other_force, "bureau-8", &foreign);
    opt.to = &foreign.enrol;
    opt.enrol_bytes = foreign.enrol_bytes.data;
    opt.enrol_len = foreign.enrol_bytes.len;
    expect_refusal(v, &opt, VF_E_REFUSED, "another force");
    /* What was read and what is kept are one thing. */
    opt.to = &b.enrol;
    expect_refusal(v, &opt, VF_E_INPUT, "not the one that was read");
    bureau_make(&second, vf_vault_id_get(v), "bureau-7", &namesake);
    opt = options_for(&namesake, "devices", CARD);
    expect_refusal(v, &opt, VF_E_REFUSED, "another device is enrolled as bureau-7");
    bureau_done(&foreign);
    bureau_done(&namesake);
    close_vault(v);
}

static void refuses_strangers(void **state)
{
    struct vf_vault *v = open_as(&p, VF_VAULT_WRITE, ALICE);
    struct vf_issue_options opt = options_for(&b, "strangers", CARD);
    struct issued i;

    (void)state;
    assert_int_equal(try_issue(v, CAROL, &opt, &i), VF_E_REFUSED);
    assert_non_null(strstr(why->text, "carol is no admin"));
    issued_done(&i);
    close_vault(v);
}

static void job_names_are_taken(void **state)
{
    struct vf_vault *v = open_as(&p, VF_VAULT_WRITE, ALICE);
    struct vf_issue_options opt = options_for(&b, "folder", CARD);
    struct issued i;
    VF_BUF revoked = {0};

    (void)state;
    issue(v, ALICE, &opt, &i);
    expect_refusal(v, &opt, VF_E_REFUSED, "job folder is in use");
    /* Free again once it has ended … */
    opt.now_us = opt.from_us = opt.until_us;
    opt.until_us += VF_DAY_US;
    issued_done(&i);
    issue(v, ALICE, &opt, &i);
    /* … or was revoked. */
    vf_buf_init(&revoked, 65536);
    OK(vf_grant_revoke(v, admin[ALICE], &i.f.grant.id, "made in error", opt.now_us, &revoked, why));
    issued_done(&i);
    issue(v, ALICE, &opt, &i);
    issued_done(&i);
    close_vault(v);
}

static void check_only_reports(void **state)
{
    struct vf_vault *v = open_as(&p, VF_VAULT_WRITE, ALICE);
    struct vf_issue_options opt = options_for(&b, "dry", CARD);
    struct issued i;
    uint64_t grants = count_rows(v, VF_VT_GRANT);
    uint64_t manifests = count_rows(v, VF_VT_MANIFEST);

    (void)state;
    opt.check = true;
    OK(try_issue(v, ALICE, &opt, &i));
    assert_int_equal(i.report.records, 7);
    assert_true(i.report.bytes_to_send > 0);
    assert_int_equal(count_rows(v, VF_VT_GRANT), grants);
    assert_int_equal(count_rows(v, VF_VT_MANIFEST), manifests);
    issued_done(&i);
    close_vault(v);
}

/* --------------------------------------------------------------------------------------------------------------- selections */

static enum vf_err list_of(struct vf_vault *v, const char *text, bool with_protected, struct vf_selected *s)
{
    char path[400];
    struct vf_selection sel = {
        .list_path = place_path(&p, "list.txt", path), .include_protected = with_protected, .for_grant = true};

    put_file(&p, "list.txt", text, strlen(text));
    *s = (struct vf_selected){0};
    return vf_select(v, &sel, s, why);
}

static void selects_by_list(void **state)
{
    struct vf_vault *v = open_as(&p, VF_VAULT_WRITE, ALICE);
    struct vf_ref a = officer(v, 0);
    struct vf_ref c = officer(v, 2);
    struct vf_selected s;
    char text[200];

    (void)state;
    (void)snprintf(text, sizeof(text), "\xef\xbb\xbf%.8s\r\n\n  10003\t\n%.8s\n10002", a.c, c.c);
    OK(list_of(v, text, false, &s));
    assert_int_equal(s.n, 3); /* the third line is the second record again */
    for (size_t i = 1; i < s.n; i++)
        assert_true(vf_ref_cmp(&s.refs[i - 1], &s.refs[i]) < 0);
    vf_selected_done(&s);
    OK(list_of(v, "", false, &s));
    assert_int_equal(s.n, 0);
    vf_selected_done(&s);
    assert_int_equal(list_of(v, "10001\n99999\n10002\nAAAAAAAA\n", false, &s), VF_E_INPUT);
    assert_non_null(strstr(why->text, "list.txt:2: no record"));
    assert_non_null(strstr(why->text, "1 more"));
    assert_null(strstr(why->text, "99999")); /* a number is a field's value */
    close_vault(v);
}

static enum vf_err where_of(struct vf_vault *v, enum vf_field field, const char *value, bool for_grant, size_t *ret_n)
{
    const struct vf_where where = {field, value};
    const struct vf_selection sel = {.where = &where, .nwhere = 1, .for_grant = for_grant};
    struct vf_selected s = {0};
    enum vf_err err = vf_select(v, &sel, &s, why);

    *ret_n = s.n;
    vf_selected_done(&s);
    return err;
}

static void selects_by_condition(void **state)
{
    struct vf_vault *v = open_as(&p, VF_VAULT_WRITE, ALICE);
    const struct vf_where both[] = {{VF_FIELD_RANK, "Sergeant"}, {VF_FIELD_WARRANT_NO, "10002"}};
    struct vf_selection sel = {.where = both, .nwhere = 2, .for_grant = true};
    struct vf_selected s = {0};
    size_t n;

    (void)state;
    OK(where_of(v, VF_FIELD_RANK, "Constable", true, &n));
    assert_int_equal(n, 4);
    OK(where_of(v, VF_FIELD_RANK, " Sergeant ", true, &n)); /* as the import would have taken it */
    assert_int_equal(n, 3);
    OK(where_of(v, VF_FIELD_UNIT_CODE, "XYZ", true, &n));
    assert_int_equal(n, 0);
    OK(where_of(v, VF_FIELD_UNIT_CODE, "", true, &n)); /* none has one */
    assert_int_equal(n, 7);
    assert_int_equal(where_of(v, VF_FIELD_RANK, "Sergaent", true, &n), VF_E_INPUT);
    assert_non_null(strstr(why->text, "rank"));
    assert_int_equal(where_of(v, VF_FIELD_VETTING, "CTC", true, &n), VF_E_CLASS_REFUSED);
    OK(where_of(v, VF_FIELD_VETTING, "CTC", false, &n)); /* an admin's own look */
    assert_int_equal(n, 7);
    assert_int_equal(where_of(v, VF_FIELD_PHOTO, "x", true, &n), VF_E_INPUT);
    OK(vf_select(v, &sel, &s, why));
    assert_int_equal(s.n, 1);
    vf_selected_done(&s);
    const struct vf_selection none = {.for_grant = true};
    assert_int_equal(vf_select(v, &none, &s, why), VF_E_INPUT);
    /* Within a list. */
    char path[400];
    put_file(&p, "list.txt", "10001\n10002\n10003\n", 18);
    sel =
        (struct vf_selection){.list_path = place_path(&p, "list.txt", path), .where = both, .nwhere = 1, .for_grant = true};
    OK(vf_select(v, &sel, &s, why));
    assert_int_equal(s.n, 1);
    vf_selected_done(&s);
    close_vault(v);
}

static void protects(void **state)
{
    struct vf_vault *v = open_as(&p, VF_VAULT_WRITE, ALICE);
    struct vf_ref covert = officer(v, 6);
    struct vf_issue_options opt = options_for(&b, job(), CARD);
    struct vf_selected s;
    struct issued i;
    char text[32];
    char path[400];
    size_t n;

    (void)state;
    set_text(v, &covert, VF_FIELD_PROTECT, "COVERT");
    (void)snprintf(text, sizeof(text), "%.8s\n", covert.c);
    assert_int_equal(list_of(v, text, false, &s), VF_E_PROTECTED);
    assert_non_null(strstr(why->text, "--include-protected"));
    assert_int_equal(list_of(v, "10007\n", true, &s), VF_E_PROTECTED); /* by number: no */
    assert_null(strstr(why->text, "10007"));
    OK(list_of(v, text, true, &s));
    assert_int_equal(s.n, 1);
    assert_int_equal(s.protected_in, 1);
    vf_selected_done(&s);
    OK(where_of(v, VF_FIELD_RANK, "Constable", true, &n));
    assert_int_equal(n, 3);
    /* All leaves it out, with include_protected too. */
    opt.records.include_protected = true;
    issue(v, ALICE, &opt, &i);
    assert_int_equal(i.report.records, 6);
    assert_int_equal(i.report.left_protected, 1);
    uint32_t row;
    assert_false(vf_manifest_find(&i.f.manifest, &covert, &row));
    issued_done(&i);
    opt = options_for(&b, job(), CARD);
    opt.records = (struct vf_selection){.list_path = place_path(&p, "list.txt", path), .include_protected = true};
    issue(v, ALICE, &opt, &i);
    assert_int_equal(i.report.protected_in, 1);
    assert_true(vf_manifest_find(&i.f.manifest, &covert, &row));
    issued_done(&i);
    set_text(v, &covert, VF_FIELD_PROTECT, "");
    close_vault(v);
}

static void leavers(void **state)
{
    struct vf_vault *v = open_as(&p, VF_VAULT_WRITE, ALICE);
    struct vf_ref left = officer(v, 5);
    struct vf_issue_options opt = options_for(&b, job(), CARD);
    struct vf_selected s;
    struct issued i;

    (void)state;
    set_text(v, &left, VF_FIELD_STATUS, "LEAVER");
    issue(v, ALICE, &opt, &i);
    assert_int_equal(i.report.records, 6);
    assert_int_equal(i.report.left_leavers, 1);
    issued_done(&i);
    OK(list_of(v, "10006\n10001\n", false, &s));
    assert_int_equal(s.n, 2);
    assert_int_equal(s.leavers, 1);
    vf_selected_done(&s);
    set_text(v, &left, VF_FIELD_STATUS, "");
    close_vault(v);
}

/* Whoever stays out, wherever he stands: what is left is what the vault derives for those who are in. */
static void left_out_anywhere(void **state)
{
    static const unsigned masks[] = {0x01, 0x40, 0x41, 0x18, 0x55, 0x2a, 0x7e, 0x3f, 0x7f};
    struct vf_vault *v = open_as(&p, VF_VAULT_WRITE, ALICE);

    (void)state;
    for (size_t m = 0; m < sizeof(masks) / sizeof(masks[0]); m++) {
        struct vf_issue_options opt = options_for(&b, job(), CARD);
        struct issued i;
        for (unsigned o = 0; o < 7; o++) {
            struct vf_ref ref = officer(v, o);
            bool out = (masks[m] >> o & 1) != 0;
            set_text(v, &ref, VF_FIELD_STATUS, out && o % 2 == 0 ? "LEAVER" : "");
            set_text(v, &ref, VF_FIELD_PROTECT, out && (o % 2 == 1 || o == 4) ? "COVERT" : "");
        }
        if (masks[m] == 0x7f) {
            expect_refusal(v, &opt, VF_E_INPUT, "no record to grant (4 protected and 3 leavers");
            break;
        }
        issue(v, ALICE, &opt, &i);
        assert_int_equal(i.report.records, 7 - __builtin_popcount(masks[m]));
        OK(vf_grant_rederive(v, &i.f, why));
        for (unsigned o = 0; o < 7; o++) {
            struct vf_ref ref = officer(v, o);
            uint32_t row;
            assert_int_equal(vf_manifest_find(&i.f.manifest, &ref, &row), (masks[m] >> o & 1) == 0);
        }
        char path[400];
        struct vf_export_report sent = {0};
        OK(try_export(v, &i, true, place_path(&p, "left.bundle", path), &sent));
        assert_int_equal(sent.values, i.report.records * 9);
        assert_int_equal(unlink(path), 0);
        issued_done(&i);
    }
    for (unsigned o = 0; o < 7; o++) {
        struct vf_ref ref = officer(v, o);
        set_text(v, &ref, VF_FIELD_STATUS, "");
        set_text(v, &ref, VF_FIELD_PROTECT, "");
    }
    close_vault(v);
}

static void incomplete_records(void **state)
{
    struct vf_vault *v = open_as(&p, VF_VAULT_WRITE, ALICE);
    struct vf_ref ref = officer(v, 4);
    struct vf_issue_options opt = options_for(&b, job(), CARD);
    const struct vf_field_value no_photo = {VF_FIELD_PHOTO, "", 0};
    struct issued i;

    (void)state;
    set_text(v, &ref, VF_FIELD_NAME_ON_CARD, "");
    OK(vf_record_set(v, &ref, &no_photo, 1, why));
    assert_int_equal(try_issue(v, ALICE, &opt, &i), VF_E_REFUSED);
    assert_non_null(strstr(why->text, "1 of 7 records lack"));
    assert_true(strstr(why->text,
                       (char[]){ref.c[0], ref.c[1], ref.c[2], ref.c[3], ref.c[4], ref.c[5], ref.c[6], ref.c[7], 0}) != NULL);
    assert_int_equal(i.report.incomplete, 1); /* for whoever tells the admin */
    assert_int_equal(i.report.missing_photos, 1);
    assert_int_equal(vf_ref_cmp(&i.report.incomplete_refs[0], &ref), 0);
    issued_done(&i);
    opt.allow_incomplete = true;
    issue(v, ALICE, &opt, &i);
    assert_int_equal(i.report.incomplete, 1);
    issued_done(&i);
    /* What is not granted may be missing. */
    opt = options_for(&b, job(), VF_FIELD_BIT(VF_FIELD_RANK) | VF_FIELD_BIT(VF_FIELD_WARRANT_NO));
    issue(v, ALICE, &opt, &i);
    assert_int_equal(i.report.incomplete, 0);
    issued_done(&i);
    close_vault(v);
}

static void count_progress(void *user, uint64_t done, uint64_t total)
{
    uint64_t *last = user;

    if (done < last[0] || done > total)
        abort();
    last[0] = done;
    last[1] = total;
}

/* Two of the granted values are gone: the first in the order of refs is named, whichever thread met its own first. */
static void first_failure(struct vf_vault *v, const struct issued *i)
{
    struct vf_renew_options opt = {.no_handin = true};
    struct vf_ref early, late;
    struct vf_grant_id id;
    VF_BUF out = {0};
    char says[32];

    fake_clock_pass(40 * VF_DAY_US); /* nothing keeps old values any more */
    vf_manifest_ref(&i->f.manifest, 333, &early);
    vf_manifest_ref(&i->f.manifest, 900, &late);
    set_text(v, &late, VF_FIELD_RANK, "Inspector");
    set_text(v, &early, VF_FIELD_RANK, "Inspector");
    opt.now_us = vf_clock_wall_us();
    opt.until_us = opt.now_us + VF_DAY_US;
    vf_buf_init(&out, VF_GRANT_FILE_MAX);
    assert_int_equal(vf_grant_renew(v, admin[ALICE], &i->f.grant.id, &opt, &id, &out, why), VF_E_REFUSED);
    (void)snprintf(says, sizeof(says), "%.8s, rank", early.c);
    assert_non_null(strstr(why->text, says));
    assert_int_equal(out.len, 0);
}

/* Enough for several threads. What they make together does not depend on who made what. */
static void several_threads(void **state)
{
    struct place many;
    struct bureau far;
    struct issued i;
    struct vf_export_report sent = {0};
    char path[400];
    uint64_t last[2] = {0};

    (void)state;
    place_make(&many, 1, 1);
    const char *paths[] = {place_path(&many, "many.bundle", path)};
    struct vf_vault *v = open_as(&many, VF_VAULT_WRITE, ALICE);
    officers_without_photos(&many, v, 1000);
    bureau_make(&many, vf_vault_id_get(v), "bureau-7", &far);
    struct vf_issue_options opt = options_for(&far, "many", CARD);
    opt.allow_incomplete = true;
    opt.progress = count_progress;
    opt.user = last;
    issue(v, ALICE, &opt, &i);
    assert_int_equal(i.report.missing_photos, 1000);
    assert_int_equal(i.report.incomplete, 1000);
    assert_int_equal(last[0], 1000);
    assert_int_equal(last[1], 1000);
    OK(vf_grant_rederive(v, &i.f, why));
    OK(try_export(v, &i, false, path, &sent));
    assert_int_equal(sent.values, 8000);
    bureau_reads(&far, v, &i, paths, 1);
    first_failure(v, &i);
    issued_done(&i);
    bureau_done(&far);
    close_vault(v);
    place_done(&many);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(issues_and_opens),
        cmocka_unit_test(only_granted_fields),
        cmocka_unit_test(refuses_words),
        cmocka_unit_test(refuses_devices),
        cmocka_unit_test(refuses_strangers),
        cmocka_unit_test(job_names_are_taken),
        cmocka_unit_test(check_only_reports),
        cmocka_unit_test(selects_by_list),
        cmocka_unit_test(selects_by_condition),
        cmocka_unit_test(protects),
        cmocka_unit_test(leavers),
        cmocka_unit_test(left_out_anywhere),
        cmocka_unit_test(incomplete_records),
        cmocka_unit_test(several_threads),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
