/* SPDX-License-Identifier: MIT */
/* What a station takes, and what it refuses with which error. */
#include "station_test.h"

#include "fakeclock.h"

#define TEXT_VALUES 8         /* text fields of a card */
static struct place p, other; /* other: another force */

static int set_up(void **state)
{
    if (station_and_force(state, &p) != 0)
        return -1;
    force_make(&other, 1);
    return 0;
}

static int tear_down(void **state)
{
    place_done(&p);
    place_done(&other);
    return station_tear_down(state);
}

static void nothing_taken(struct vf_station *st)
{
    struct vf_station_state state = state_of_station(st);

    assert_int_equal(state.values, 0);
}

/* --------------------------------------------------------------------------------------------------------------------- taken */

static void whole_delivery(void **state)
{
    struct site s;
    struct delivery d;
    struct told told;

    (void)state;
    site_make(&p, "whole", &s);
    struct vf_issue_options opt = site_options(&s, "whole");
    deliver(&p, &opt, &d);
    assert_int_equal(d.sent.values, CARD_VALUES);
    struct vf_station *st = site_open(&s, VF_STATION_RECEIVE);
    /* In any order: the grant comes first. */
    const char *const paths[] = {d.bundle, d.grant, s.policy};
    OK(take(st, paths, 3, &told));
    assert_int_equal(told.one[0].kind, VF_ARTEFACT_POLICY);
    assert_true(told.one[0].already);
    assert_int_equal(told.one[1].kind, VF_ARTEFACT_GRANT);
    assert_false(told.one[1].already);
    assert_non_null(strstr(told.one[1].text, "expiry enforced by software, not by cryptography"));
    assert_int_equal(told.one[2].kind, VF_ARTEFACT_BUNDLE);
    assert_int_equal(told.one[2].values, CARD_VALUES);
    assert_int_equal(told.one[2].not_needed, 0);
    struct vf_station_state first = state_of_station(st);
    assert_int_equal(first.values, CARD_VALUES);
    /* Again, all of it and one by one: nothing changes, nothing is logged. */
    OK(take(st, paths, 3, &told));
    for (size_t i = 0; i < 3; i++)
        assert_true(told.one[i].already);
    assert_int_equal(told.one[2].values, 0);
    OK(take1(st, d.bundle));
    OK(take1(st, d.grant));
    struct vf_station_state second = state_of_station(st);
    assert_int_equal(second.values, first.values);
    assert_int_equal(second.bytes, first.bytes);
    assert_int_equal(second.log_size, first.log_size);
    site_close(st);
    assert_int_equal(site_log_counts(&s, VF_EVENT_RECEIVE), 2);
    st = site_open(&s, VF_STATION_MOUNT);
    assert_int_equal(reads_all(st, &p, "whole"), CARD_VALUES);
    site_close(st);
    delivery_done(&d);
    site_done(&s);
}

static void bundle_before_grant(void **state)
{
    struct site s;
    struct delivery d;
    struct told told;

    (void)state;
    site_make(&p, "early", &s);
    struct vf_issue_options opt = site_options(&s, "early");
    deliver(&p, &opt, &d);
    struct vf_station *st = site_open(&s, VF_STATION_RECEIVE);
    const char *const bundle[] = {d.bundle};
    OK(take(st, bundle, 1, &told));
    assert_int_equal(told.one[0].values, 0);
    assert_int_equal(told.one[0].not_needed, CARD_VALUES);
    assert_non_null(strstr(told.one[0].text, "receive the grant with it"));
    nothing_taken(st);
    OK(take1(st, d.grant));
    uint64_t present, named;
    values_of(st, "early", &present, &named);
    assert_int_equal(present, 0);
    assert_int_equal(named, CARD_VALUES);
    OK(take1(st, d.bundle));
    values_of(st, "early", &present, &named);
    assert_int_equal(present, CARD_VALUES);
    site_close(st);
    delivery_done(&d);
    site_done(&s);
}

/* Into a station that a mount has open: jobs appear, a job whose values arrive is completed, the version counts up. */
static void while_open(void **state)
{
    struct site s;
    struct delivery one, two;

    (void)state;
    site_make(&p, "live", &s);
    struct vf_issue_options opt = site_options(&s, "live-one"), opt2 = site_options(&s, "live-two");
    deliver(&p, &opt, &one);
    opt2.fields = VF_FIELD_BIT(VF_FIELD_NAME_ON_CARD);
    deliver(&p, &opt2, &two);
    assert_int_equal(two.sent.values, 0); /* the first bundle brought them */
    struct vf_station *st = site_open(&s, VF_STATION_MOUNT);
    uint64_t version = vf_station_version(st);
    assert_null(job_of(st, "live-one"));
    OK(take1(st, one.grant));
    assert_true(vf_station_version(st) > version);
    struct vf_job *job = job_of(st, "live-one");
    struct vf_job_item item;
    vf_job_item_get(job, 0, &item);
    assert_true(item.missing);
    assert_false(item.text);
    assert_false(item.photo);
    vf_job_unref(job);
    OK(take1(st, one.bundle));
    assert_int_equal(reads_all(st, &p, "live-one"), CARD_VALUES);
    OK(take1(st, two.grant));
    assert_int_equal(reads_all(st, &p, "live-two"), OFFICERS);
    site_close(st);
    delivery_done(&one);
    delivery_done(&two);
    site_done(&s);
}

/* ------------------------------------------------------------------------------------------------------------ refused grants */

static void not_for_us(void **state)
{
    struct site s, neighbour, foreign;
    struct delivery d, f;

    (void)state;
    site_make(&p, "mine", &s);
    site_make(&p, "neighbour", &neighbour);
    site_make(&other, "foreign", &foreign);
    struct vf_issue_options opt = site_options(&neighbour, "theirs"), opt2 = site_options(&foreign, "foreign");
    deliver(&p, &opt, &d);
    deliver(&other, &opt2, &f);
    struct vf_station *st = site_open(&s, VF_STATION_RECEIVE);
    assert_int_equal(take1(st, d.grant), VF_E_REFUSED);
    assert_non_null(strstr(why->text, "neighbour"));
    assert_int_equal(take1(st, f.grant), VF_E_REFUSED);
    assert_non_null(strstr(why->text, "another force"));
    assert_int_equal(take1(st, f.bundle), VF_E_REFUSED);
    assert_int_equal(take1(st, foreign.policy), VF_E_FORGED);
    nothing_taken(st);
    site_close(st);
    assert_int_equal(site_log_counts(&s, VF_EVENT_RECEIVE), 0);
    delivery_done(&d);
    delivery_done(&f);
    site_done(&s);
    site_done(&neighbour);
    site_done(&foreign);
}

static void signatures(void **state)
{
    struct place two;
    struct site s;
    struct delivery d;
    struct issued both;
    char path[400];

    (void)state;
    force_make(&two, 2);
    site_make(&two, "k-of-n", &s);
    struct vf_issue_options opt = site_options(&s, "k-of-n");
    deliver(&two, &opt, &d);
    struct vf_station *st = site_open(&s, VF_STATION_RECEIVE);
    assert_int_equal(take1(st, d.grant), VF_E_UNSIGNED);
    assert_non_null(strstr(why->text, "1 of 2"));
    /* The same key twice: the line of alice's signature doubled. */
    VF_BUF twice = {0};
    vf_buf_init(&twice, VF_GRANT_FILE_MAX);
    const struct vf_grant_file *f = &d.i.f;
    const struct vf_note_sig *sig = &f->note.sigs[0];
    vf_buf_put(&twice, d.i.file.data, 8);
    vf_buf_u32(&twice, (uint32_t)(f->note_len + sig->line_len + 1));
    vf_buf_put(&twice, f->note_bytes, f->note_len);
    vf_buf_put(&twice, sig->line, sig->line_len);
    vf_buf_text(&twice, "\n");
    size_t rest = 8 + 4 + f->note_len;
    vf_buf_put(&twice, d.i.file.data + rest, d.i.file.len - rest);
    put_file(&two, "twice.grant", twice.data, twice.len);
    enum vf_err err = take1(st, place_path(&two, "twice.grant", path));
    assert_true(err == VF_E_UNSIGNED || err == VF_E_FORMAT);
    /* A stranger's signature counts for nothing. */
    struct issued stranger = {0};
    vf_buf_init(&stranger.file, VF_GRANT_FILE_MAX);
    OK(vf_grant_sign(&d.i.f, admin[CAROL], NULL, &stranger.file, why));
    put_file(&two, "carol.grant", stranger.file.data, stranger.file.len);
    assert_int_equal(take1(st, place_path(&two, "carol.grant", path)), VF_E_UNSIGNED);
    issued_done(&stranger);
    /* The second admin's does. */
    struct vf_vault *v = open_as(&two, VF_VAULT_WRITE, BOB);
    OK(try_sign(v, BOB, &d.i, &both));
    close_vault(v);
    put_file(&two, "both.grant", both.file.data, both.file.len);
    OK(take1(st, place_path(&two, "both.grant", path)));
    OK(take1(st, d.bundle));
    site_close(st);
    issued_done(&both);
    delivery_done(&d);
    site_done(&s);
    place_done(&two);
}

static void too_late(void **state)
{
    struct site s;
    struct delivery d, early;

    (void)state;
    site_make(&p, "late", &s);
    struct vf_issue_options opt = site_options(&s, "late"), opt2 = site_options(&s, "early-bird");
    opt.until_us = opt.now_us + 3600 * VF_SECOND_US;
    opt2.from_us = opt2.now_us + VF_DAY_US;
    deliver(&p, &opt, &d);
    deliver(&p, &opt2, &early);
    fake_clock_pass(3600 * VF_SECOND_US);
    struct vf_station *st = site_open(&s, VF_STATION_RECEIVE);
    assert_int_equal(take1(st, d.grant), VF_E_EXPIRED);
    OK(take1(st, early.grant)); /* before its time is fine: it waits */
    site_close(st);
    st = site_open(&s, VF_STATION_MOUNT);
    struct vf_job *job = job_of(st, "early-bird");
    assert_int_equal(vf_job_may(st, job, why), VF_E_NOT_YET);
    fake_clock_pass(23 * 3600 * VF_SECOND_US);
    OK(vf_job_may(st, job, why));
    vf_job_unref(job);
    site_close(st);
    delivery_done(&d);
    delivery_done(&early);
    site_done(&s);
}

static void revoked(void **state)
{
    struct site s;
    struct delivery d, r;
    char path[400], second[400];
    struct told told;

    (void)state;
    site_make(&p, "taken-back", &s);
    struct vf_issue_options opt = site_options(&s, "taken-back");
    deliver(&p, &opt, &d);
    deliver_renewal(&p, &d, "renewal", VF_DAY_US, false, &r);
    revoke_grant(&p, &d.i.f.grant.id, "first", path);
    revoke_grant(&p, &r.i.f.grant.id, "second", second);
    struct vf_station *st = site_open(&s, VF_STATION_RECEIVE);
    take_delivery(st, &d);
    OK(take1(st, r.grant));
    const char *const notes[] = {path};
    OK(take(st, notes, 1, &told));
    assert_false(told.one[0].already);
    OK(take(st, notes, 1, &told));
    assert_true(told.one[0].already);
    assert_int_equal(take1(st, d.grant), VF_E_REVOKED);
    assert_int_equal(state_of_station(st).values, CARD_VALUES); /* its renewal needs them */
    site_close(st);
    st = site_open(&s, VF_STATION_MOUNT);
    assert_int_equal(reads_all(st, &p, "taken-back"), CARD_VALUES);
    struct vf_job *job = job_of(st, "taken-back");
    OK(take1(st, second));
    assert_int_equal(vf_job_may(st, job, why), VF_E_REVOKED); /* whoever holds it too */
    vf_job_unref(job);
    nothing_taken(st);
    /* A revocation may come before its grant, and bundles of it bring nothing. */
    assert_int_equal(take1(st, r.grant), VF_E_REVOKED);
    OK(take1(st, d.bundle));
    nothing_taken(st);
    site_close(st);
    delivery_done(&d);
    delivery_done(&r);
    site_done(&s);
}

static void revoked_device(void **state)
{
    struct site s, t;
    struct delivery d;
    VF_BUF out = {0};
    char path[400];

    (void)state;
    site_make(&p, "lost-laptop", &s);
    site_make(&p, "kept-laptop", &t);
    struct vf_issue_options opt = site_options(&s, "lost-job");
    deliver(&p, &opt, &d);
    struct vf_vault *v = open_as(&p, VF_VAULT_WRITE, ALICE);
    vf_buf_init(&out, VF_NOTE_MAX);
    OK(vf_device_revoke(v, admin[ALICE], "lost-laptop", "lost", vf_clock_wall_us(), &out, why));
    close_vault(v);
    put_file(&p, "device.revoked", out.data, out.len);
    (void)place_path(&p, "device.revoked", path);
    struct vf_station *st = site_open(&t, VF_STATION_RECEIVE);
    assert_int_equal(take1(st, path), VF_E_REFUSED); /* not this one */
    site_close(st);
    st = site_open(&s, VF_STATION_MOUNT);
    take_delivery(st, &d);
    struct vf_job *job = job_of(st, "lost-job");
    OK(vf_job_may(st, job, why));
    OK(take1(st, path));
    assert_int_equal(vf_job_may(st, job, why), VF_E_REVOKED);
    vf_job_unref(job);
    nothing_taken(st);
    assert_int_equal(take1(st, d.grant), VF_E_REVOKED);
    site_close(st);
    delivery_done(&d);
    site_done(&s);
    site_done(&t);
}

/* ------------------------------------------------------------------------------------------------------------------- policies */

static void policies(void **state)
{
    static const char *const bob[] = {"bob"};
    struct place f;
    struct site s;
    struct delivery old, fresh, bobs;
    struct vf_policy_change change = {.remove = bob, .nremove = 1};
    char path[400];
    struct told told;

    (void)state;
    force_make(&f, 1);
    site_make(&f, "policies", &s);
    struct vf_issue_options opt = site_options(&s, "old-policy");
    deliver(&f, &opt, &old);
    /* Signed by bob alone, while he was an admin. */
    struct vf_vault *v = open_as(&f, VF_VAULT_WRITE, BOB);
    struct vf_issue_options opt2 = site_options(&s, "bobs");
    bobs = (struct delivery){0};
    issue(v, BOB, &opt2, &bobs.i);
    close_vault(v);
    put_file(&f, "bobs.grant", bobs.i.file.data, bobs.i.file.len);
    (void)place_path(&f, "bobs.grant", bobs.grant);

    next_policy(&f, &change, "v2.policy", path);
    struct vf_issue_options opt3 = site_options(&s, "new-policy");
    deliver(&f, &opt3, &fresh);
    struct vf_station *st = site_open(&s, VF_STATION_RECEIVE);
    OK(take1(st, bobs.grant)); /* this station does not know yet */
    assert_int_equal(take1(st, fresh.grant), VF_E_STALE);
    assert_non_null(strstr(why->text, "policy"));
    /* Policy and grant together: the policy is taken first. */
    const char *const paths[] = {fresh.grant, path, old.grant, bobs.grant};
    assert_int_equal(take(st, paths, 4, &told), VF_E_PARTIAL);
    assert_int_equal(told.one[0].kind, VF_ARTEFACT_POLICY);
    assert_int_equal(told.one[0].err, VF_OK);
    assert_int_equal(told.one[1].err, VF_OK);
    assert_int_equal(told.one[2].err, VF_OK); /* made under version 1, by one who still is an admin */
    assert_int_equal(told.one[3].err, VF_E_UNSIGNED);
    assert_int_equal(take1(st, s.policy), VF_E_STALE); /* the older one */
    assert_int_equal(vf_station_policy(st)->ruling, 2);
    site_close(st);
    st = site_open(&s, VF_STATION_MOUNT);
    assert_int_equal(vf_station_policy(st)->ruling, 2);
    struct vf_job *job = job_of(st, "new-policy");
    assert_non_null(job);
    vf_job_unref(job);
    assert_null(job_of(st, "bobs")); /* received in time, but nobody of today's admins stands for it */
    site_close(st);
    delivery_done(&old);
    delivery_done(&fresh);
    delivery_done(&bobs);
    site_done(&s);
    place_done(&f);
}

/* A policy that forks: version 2 made twice. */
static void forked_policy(void **state)
{
    static const char *const bob[] = {"bob"};
    struct place f, g;
    struct site s;
    struct vf_policy_change remove = {.remove = bob, .nremove = 1}, add = {.add = pub_of(CAROL), .nadd = 1};
    char one[400], two[400];

    (void)state;
    force_make(&f, 1);
    site_make(&f, "forked", &s);
    g = f;
    (void)snprintf(g.vault, sizeof(g.vault), "%s/copy", f.dir.path);
    copy_folder(f.vault, g.vault);
    next_policy(&f, &remove, "one.policy", one);
    next_policy(&g, &add, "two.policy", two);
    struct vf_station *st = site_open(&s, VF_STATION_RECEIVE);
    OK(take1(st, one));
    assert_int_equal(take1(st, two), VF_E_FORGED);
    site_close(st);
    site_done(&s);
    place_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_delivery), cmocka_unit_test(bundle_before_grant), cmocka_unit_test(while_open),
        cmocka_unit_test(not_for_us),     cmocka_unit_test(signatures),          cmocka_unit_test(too_late),
        cmocka_unit_test(revoked),        cmocka_unit_test(revoked_device),      cmocka_unit_test(policies),
        cmocka_unit_test(forked_policy),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
