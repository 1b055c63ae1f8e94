/* SPDX-License-Identifier: MIT */
/* No memory, no space, no luck: every failure is an error, nothing is half done, and the next try works. */
#include "grant_place.h"

#include "faults.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static struct place p;
static struct bureau b;
static struct vf_vault *v;
static struct issued made;

static int set_up(void **state)
{
    if (vault_set_up(state) != 0)
        return -1;
    place_make(&p, 2, 1);
    v = open_as(&p, VF_VAULT_WRITE, ALICE);
    officers_without_photos(&p, v, 3);
    bureau_make(&p, vf_vault_id_get(v), "bureau-7", &b);
    struct vf_issue_options opt = options_for(&b, "made", vf_field_set_card_print());
    opt.allow_incomplete = true;
    issue(v, ALICE, &opt, &made);
    return 0;
}

static int tear_down(void **state)
{
    issued_done(&made);
    bureau_done(&b);
    close_vault(v);
    place_done(&p);
    return vault_tear_down(state);
}

/* As the next command would: a log that could not be written is opened anew. */
static void reopen(void)
{
    (void)vf_vault_close(v, NULL);
    v = open_as(&p, VF_VAULT_WRITE, ALICE);
}

/* `call` with the nth of a kind failing, for every n that it meets; each failure must be an error and nothing else may change. */
static unsigned each_fault(enum fault_kind kind, int eno, enum vf_err (*call)(void))
{
    for (unsigned n = 1;; n++) {
        faults_arm(kind, n, eno);
        enum vf_err err = call();
        if (!faults_disarm()) {
            assert_int_equal(err, VF_OK);
            return n;
        }
        if (err == VF_OK)
            fail_msg("fault %u of kind %d went unnoticed", n, (int)kind);
        if (kind == FAULT_WRITE)
            reopen();
        assert_true(n < 20000);
    }
}

static enum vf_err parse_enrolment(void)
{
    struct vf_enrol e;

    return vf_enrol_parse(b.enrol_bytes.data, b.enrol_bytes.len, "x", &e, NULL);
}

static enum vf_err make_enrolment(void)
{
    VF_BUF out = {0};

    vf_buf_init(&out, VF_ENROL_MAX);
    enum vf_err err = vf_enrol_make(b.device, vf_vault_id_get(v), b.enrol.origin, b.enrol.origin_len, NOW_US, &out, NULL);
    assert_true((err == VF_OK) == (out.len > 0));
    return err;
}

static enum vf_err parse_file(void)
{
    struct vf_grant_file f;

    return vf_grant_file_parse(made.file.data, made.file.len, "x", &f, NULL);
}

static enum vf_err decode_catalogue(void)
{
    struct vf_catalogue *cat = NULL;
    struct vf_grant_share gs;

    OK(vf_grant_share_open(b.device, made.f.grant.sealed_share, &gs));
    enum vf_err err =
        vf_catalogue_decode(&made.f.grant, &gs, &made.f.manifest, made.f.catalogue, made.f.catalogue_len, &cat, NULL);
    assert_true((err == VF_OK) == (cat != NULL));
    vf_catalogue_free(cat);
    return err;
}

static enum vf_err revoke_something(void)
{
    struct vf_revocation r = {
        .vault = *vf_vault_id_get(v), .grant = made.f.grant.id, .name = "bureau-7", .reason = "x", .time_us = NOW_US};
    VF_BUF out = {0};

    vf_buf_init(&out, 8192);
    VF_TRY(vf_revocation_make(&r, admin[ALICE], &out, NULL));
    return vf_revocation_parse(out.data, out.len, "x", vf_vault_policy(v), &r, NULL);
}

static enum vf_err merge_files(void)
{
    VF_BUF out = {0};

    vf_buf_init(&out, VF_GRANT_FILE_MAX);
    return vf_grant_merge(&made.f, &made.f, &out, NULL);
}

static void no_memory_for_notes(void **state)
{
    (void)state;
    assert_true(each_fault(FAULT_MEMORY, ENOMEM, parse_enrolment) > 1);
    assert_true(each_fault(FAULT_MEMORY, ENOMEM, make_enrolment) > 1);
    assert_true(each_fault(FAULT_MEMORY, ENOMEM, parse_file) > 1);
    assert_true(each_fault(FAULT_MEMORY, ENOMEM, decode_catalogue) > 1);
    assert_true(each_fault(FAULT_MEMORY, ENOMEM, revoke_something) > 1);
    assert_true(each_fault(FAULT_MEMORY, ENOMEM, merge_files) > 1);
}

/* ---------------------------------------------------------------------------------------------------------------- the vault */

static enum vf_err dry_issue(void)
{
    struct vf_issue_options opt = options_for(&b, "dry", vf_field_set_card_print());
    struct vf_issue_report report;
    struct vf_grant_id id;
    VF_BUF out = {0};

    opt.allow_incomplete = true;
    opt.check = true;
    vf_buf_init(&out, VF_GRANT_FILE_MAX);
    enum vf_err err = vf_grant_issue(v, admin[ALICE], &opt, &id, &out, &report, NULL);
    vf_issue_report_done(&report);
    return err;
}

static enum vf_err rederive(void)
{
    return vf_grant_rederive(v, &made.f, NULL);
}

static enum vf_err none(void *user, const struct vf_grant_item *item, struct vf_why *w)
{
    (void)user;
    (void)item;
    (void)w;
    return VF_OK;
}

static enum vf_err list(void)
{
    return vf_grant_each(v, none, NULL, NULL);
}

static void no_memory_for_contents(void **state)
{
    (void)state;
    assert_true(each_fault(FAULT_MEMORY, ENOMEM, dry_issue) > 10);
    assert_true(each_fault(FAULT_MEMORY, ENOMEM, rederive) > 10);
    assert_true(each_fault(FAULT_MEMORY, ENOMEM, list) > 2);
}

/* What changes the vault: after a failure it has the grant or has it not, and works. */
static unsigned jobs;

static enum vf_err real_issue(void)
{
    struct vf_issue_options opt = options_for(&b, "", vf_field_set_card_print());
    struct vf_issue_report report;
    struct vf_grant_id id;
    VF_BUF out = {0};
    char job[32];

    (void)snprintf(job, sizeof(job), "real-%u", ++jobs);
    opt.job = job;
    opt.allow_incomplete = true;
    vf_buf_init(&out, VF_GRANT_FILE_MAX);
    enum vf_err err = vf_grant_issue(v, admin[ALICE], &opt, &id, &out, &report, NULL);
    assert_true((err == VF_OK) == (out.len > 0));
    vf_issue_report_done(&report);
    return err;
}

static void issues_or_not(enum fault_kind kind, int eno)
{
    for (unsigned n = 1; n < 5000; n++) {
        uint64_t before = count_rows(v, VF_VT_GRANT);
        faults_arm(kind, n, eno);
        enum vf_err err = real_issue();
        bool met = faults_disarm();
        uint64_t after = count_rows(v, VF_VT_GRANT);
        assert_true(after == before || after == before + 1);
        if (err == VF_OK)
            assert_int_equal(after, before + 1);
        OK(vf_grant_each(v, none, NULL, why));
        if (!met) {
            assert_int_equal(err, VF_OK);
            return;
        }
        if (err != VF_OK)
            reopen();
    }
    fail();
}

static void no_disk_for_a_grant(void **state)
{
    (void)state;
    issues_or_not(FAULT_WRITE, ENOSPC);
    issues_or_not(FAULT_SYNC, EIO);
    OK(vf_grant_rederive(v, &made.f, why));
}

static int out_fd = -1;

/* By opening it: ftruncate is one of the calls that fail here. */
static void empty_out(void)
{
    char path[400];

    vf_fd_close(&out_fd);
    out_fd = open(place_path(&p, "out", path), O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);
    assert_true(out_fd >= 0);
}

static enum vf_err write_bundle(void)
{
    struct vf_export_report report = {0};

    empty_out();
    enum vf_err err = vf_bundle_export(v, &made.f, true, out_fd, NULL, NULL, &report, NULL);
    assert_true((err == VF_OK) == (report.values > 0));
    return err;
}

static enum vf_err write_review(void)
{
    empty_out();
    return vf_grant_review(v, &made.f, out_fd, "review", NULL);
}

static enum vf_err read_bundle(void)
{
    uint64_t n = 0;

    assert_int_equal(lseek(out_fd, 0, SEEK_SET), 0);
    return vf_bundle_verify(&made.f, out_fd, "x", &n, NULL);
}

static void writes_and_reads_in_pieces(void **state)
{
    (void)state;
    assert_true(each_fault(FAULT_WRITE, ENOSPC, write_review) > 1);
    assert_true(each_fault(FAULT_WRITE, ENOSPC, write_bundle) > 1);
    /* A write that takes only a part is gone on with. */
    for (unsigned n = 1; n < 4; n++) {
        faults_arm_short(FAULT_WRITE, n, 3);
        enum vf_err err = write_bundle();
        (void)faults_disarm();
        OK(err);
        OK(read_bundle());
    }
    assert_true(each_fault(FAULT_READ, EIO, read_bundle) > 1);
    assert_true(each_fault(FAULT_MEMORY, ENOMEM, read_bundle) > 1);
    faults_arm_short(FAULT_READ, 1, 5);
    enum vf_err err = read_bundle();
    (void)faults_disarm();
    OK(err);
    vf_fd_close(&out_fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_memory_for_notes),
        cmocka_unit_test(no_memory_for_contents),
        cmocka_unit_test(no_disk_for_a_grant),
        cmocka_unit_test(writes_and_reads_in_pieces),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
