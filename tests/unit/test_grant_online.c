/* SPDX-License-Identifier: MIT */
/* Online grants at the force: each has a prekey of its own, and without what it is sealed to no envelope opens. */
#include "grant_place.h"

#include "fakeclock.h"

#define CARD  vf_field_set_card_print()
#define COUNT 8

static struct place p;
static struct bureau b;
static struct vf_identity *desk, *other_desk;
static struct vf_prekey pairs[COUNT];

/* A batch of these pairs, for `days` from the clock's now. */
static void batch_of(const struct vf_identity *by, uint32_t number, unsigned days, uint32_t count, struct vf_buf *out)
{
    struct vf_prekey_pub pubs[COUNT];
    struct vf_prekey_batch batch = {.desk = "desk",
                                    .store = "a store's own id",
                                    .batch = number,
                                    .count = count,
                                    .made_us = vf_clock_wall_us() / VF_SECOND_US * VF_SECOND_US,
                                    .keys = pubs};

    batch.last_us = batch.made_us + days * VF_DAY_US;
    for (uint32_t i = 0; i < count; i++) {
        vf_prekey_new(&pairs[i]);
        pubs[i] = pairs[i].pub;
    }
    vf_buf_init(out, VF_PREKEYS_FILE_MAX);
    OK(vf_prekeys_make(&batch, by, out, why));
}

static enum vf_err install(struct vf_vault *v, const struct vf_buf *file, struct vf_prekeys_report *ret)
{
    return vf_prekeys_install(v, admin[ALICE], file->data, file->len, "desk.prekeys", ret, why);
}

static int set_up(void **state)
{
    if (vault_set_up(state) != 0)
        return -1;
    OK(vf_identity_new(VF_ROLE_DESK, "desk", &desk, why));
    OK(vf_identity_new(VF_ROLE_DESK, "desk", &other_desk, why));
    place_make(&p, 2, 1);
    struct vf_vault *v = open_as(&p, VF_VAULT_WRITE, ALICE);
    officers_make(&p, v, 4);
    bureau_make(&p, vf_vault_id_get(v), "bureau-7", &b);
    close_vault(v);
    return 0;
}

static int tear_down(void **state)
{
    bureau_done(&b);
    place_done(&p);
    vf_identity_free(desk);
    vf_identity_free(other_desk);
    return vault_tear_down(state);
}

static struct vf_issue_options online(const char *job)
{
    struct vf_issue_options opt = options_for(&b, job, CARD);

    opt.now_us = opt.from_us = vf_clock_wall_us();
    opt.until_us = opt.now_us + 3 * VF_DAY_US;
    opt.release = VF_RELEASE_ONLINE;
    return opt;
}

static void refused(struct vf_vault *v, const struct vf_issue_options *opt, const char *words)
{
    struct issued i;

    assert_int_equal(try_issue(v, ALICE, opt, &i), VF_E_REFUSED);
    if (strstr(why->text, words) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", why->text, words);
    issued_done(&i);
}

/* Envelopes of every record and part with this secret (NULL: as an offline grant's); how many open. */
static unsigned opened(const struct issued *i, const struct vf_grant_share *gs, const struct vf_release_secret *secret)
{
    const struct vf_grant *g = &i->f.grant;
    struct vf_grant_layout l;
    unsigned n = 0;

    vf_grant_layout_of(g->fields, &l);
    for (uint32_t row = 0; row < g->records; row++) {
        for (unsigned part = 0; part < VF_PART_COUNT; part++) {
            struct vf_field_key keys[VF_FIELD_COUNT];
            struct vf_release_share rs;
            struct vf_ref ref;
            size_t len;
            vf_manifest_ref(&i->f.manifest, row, &ref);
            size_t at = vf_envelope_at(&l, row, (enum vf_part)part, &len);
            assert_true(len > 0);
            if (secret)
                vf_kdf_release_share(secret, &ref, (enum vf_part)part, &rs);
            else
                vf_kdf_release_share_offline(&ref, (enum vf_part)part, &rs);
            n += vf_grant_open_keys(g, &l, gs, &rs, &ref, (enum vf_part)part, i->f.envelopes + at, keys) == VF_OK;
        }
    }
    return n;
}

/* ------------------------------------------------------------------------------------------------------------------- batches */

static void batches(void **state)
{
    const struct vf_policy_change change = {.desk = vf_identity_pub_get(desk), .desk_url = "https://desk.example"};
    struct vf_prekeys_report r;
    struct vf_vault *v = open_as(&p, VF_VAULT_WRITE, ALICE);
    struct vf_issue_options opt = online("none");
    uint64_t left = 1;
    int64_t latest = 1;
    VF_BUF file = {0}, forged = {0}, again = {0};

    (void)state;
    batch_of(other_desk, 1, 62, 2, &forged);
    batch_of(desk, 1, 62, 2, &file);
    assert_int_equal(install(v, &file, &r), VF_E_REFUSED); /* no desk in the policy */
    refused(v, &opt, "names no desk");
    close_vault(v);
    next_policy(&p, &change, NULL, NULL);
    v = open_as(&p, VF_VAULT_WRITE, ALICE);
    refused(v, &opt, "no prekey of the desk is left");
    OK(vf_prekeys_left(v, vf_clock_wall_us(), &left, &latest, why));
    assert_true(left == 0 && latest == 0);
    assert_int_equal(install(v, &forged, &r), VF_E_UNSIGNED);
    unsigned entries = log_counts(&p, VF_EVENT_RECEIVE);
    OK(install(v, &file, &r));
    assert_true(r.batch == 1 && r.count == 2 && !r.known);
    OK(install(v, &file, &r));
    assert_true(r.known);
    batch_of(desk, 1, 62, 2, &again); /* other keys under the same number */
    assert_int_equal(install(v, &again, &r), VF_E_REFUSED);
    assert_non_null(strstr(why->text, "made anew"));
    OK(vf_prekeys_left(v, vf_clock_wall_us(), &left, &latest, why));
    assert_true(left == 2 && latest > vf_clock_wall_us() + 61 * VF_DAY_US);
    close_vault(v);
    assert_true(log_counts(&p, VF_EVENT_RECEIVE) > entries);
}

/* --------------------------------------------------------------------------------------------------------------------- grants */

static void opens_with_the_prekey_only(void **state)
{
    struct vf_vault *v = open_as(&p, VF_VAULT_WRITE, ALICE);
    struct vf_issue_options opt = online("cards");
    struct vf_prekeys_report r;
    struct vf_grant_share gs;
    struct vf_release_secret secret, wrong;
    struct issued i;
    VF_BUF file = {0};

    (void)state;
    batch_of(desk, 2, 30, COUNT, &file); /* is destroyed before batch 1, so it is used first */
    OK(install(v, &file, &r));
    issue(v, ALICE, &opt, &i);
    const struct vf_grant *g = &i.f.grant;
    assert_int_equal(g->release, VF_RELEASE_ONLINE);
    assert_int_equal(g->prekey_batch, 2);
    assert_true(g->prekey_number < COUNT);
    assert_string_equal(g->desk_url, "https://desk.example");
    assert_false(i.report.offline_before);
    OK(vf_grant_share_open(b.device, g->sealed_share, &gs));
    OK(vf_release_secret_open(&pairs[g->prekey_number], g->sealed_secret, &secret));
    assert_int_equal(opened(&i, &gs, &secret), 8);
    assert_int_equal(opened(&i, &gs, NULL), 0);
    for (unsigned k = 0; k < COUNT; k++)
        if (k != g->prekey_number)
            assert_int_equal(vf_release_secret_open(&pairs[k], g->sealed_secret, &wrong), VF_E_DAMAGED);
    /* The device's share is no secret of the desk's, nor the other way round. */
    memcpy(wrong.b, gs.b, sizeof(wrong.b));
    assert_int_equal(opened(&i, &gs, &wrong), 0);
    memcpy(gs.b, secret.b, sizeof(gs.b));
    assert_int_equal(opened(&i, &gs, &secret), 0);
    /* A co-signer derives the same. */
    OK(vf_grant_rederive(v, &i.f, why));
    issued_done(&i);
    close_vault(v);
}

static void every_grant_has_its_own(void **state)
{
    struct vf_vault *v = open_as(&p, VF_VAULT_WRITE, ALICE);
    bool seen[COUNT] = {false};
    char job[16];
    uint64_t left;
    int64_t latest;

    (void)state;
    seen[0] = false;
    OK(vf_prekeys_left(v, vf_clock_wall_us(), &left, &latest, why));
    for (unsigned k = 0; left > 2; k++, left--) { /* two are of batch 1 */
        struct issued i;
        (void)snprintf(job, sizeof(job), "own-%u", k);
        struct vf_issue_options opt = online(job);
        issue(v, ALICE, &opt, &i);
        assert_int_equal(i.f.grant.prekey_batch, 2);
        assert_false(seen[i.f.grant.prekey_number]);
        seen[i.f.grant.prekey_number] = true;
        issued_done(&i);
    }
    struct issued i, renewed;
    struct vf_issue_options opt = online("first");
    issue(v, ALICE, &opt, &i);
    assert_int_equal(i.f.grant.prekey_batch, 1);
    /* A renewal takes the last one there is. */
    struct vf_renew_options renew = {.now_us = opt.now_us, .until_us = opt.until_us + VF_DAY_US, .no_handin = true};
    struct vf_grant_id id;
    renewed = (struct issued){0};
    vf_buf_init(&renewed.file, VF_GRANT_FILE_MAX);
    OK(vf_grant_renew(v, admin[ALICE], &i.f.grant.id, &renew, &id, &renewed.file, why));
    parse_issued(&renewed);
    assert_int_equal(renewed.f.grant.prekey_batch, 1);
    assert_true(renewed.f.grant.prekey_number != i.f.grant.prekey_number);
    opt = online("none-left");
    refused(v, &opt, "no prekey of the desk is left");
    issued_done(&i);
    issued_done(&renewed);
    close_vault(v);
}

static void no_grant_outlives_its_prekey(void **state)
{
    struct vf_vault *v = open_as(&p, VF_VAULT_WRITE, ALICE);
    struct vf_issue_options opt = online("long");
    struct vf_prekeys_report r;
    VF_BUF file = {0};

    (void)state;
    batch_of(desk, 3, 10, 2, &file);
    OK(install(v, &file, &r));
    opt.until_us = opt.now_us + 11 * VF_DAY_US;
    refused(v, &opt, "destroys the last of its prekeys that are left here on ");
    close_vault(v);
}

static void said_when_it_was_offline_before(void **state)
{
    struct vf_vault *v = open_as(&p, VF_VAULT_WRITE, ALICE);
    struct vf_issue_options opt = online("rank-offline");
    struct issued i;

    (void)state;
    opt.release = VF_RELEASE_OFFLINE;
    opt.fields = VF_FIELD_BIT(VF_FIELD_RANK);
    issue(v, ALICE, &opt, &i);
    issued_done(&i);
    opt = online("names");
    opt.fields = VF_FIELD_BIT(VF_FIELD_NAME_ON_CARD);
    issue(v, ALICE, &opt, &i);
    assert_false(i.report.offline_before);
    issued_done(&i);
    opt = online("ranks");
    opt.fields = VF_FIELD_BIT(VF_FIELD_NAME_ON_CARD) | VF_FIELD_BIT(VF_FIELD_RANK);
    issue(v, ALICE, &opt, &i);
    assert_true(i.report.offline_before);
    issued_done(&i);
    close_vault(v);
}

/* ---------------------------------------------------------------------------------------------------------------- two copies */

static void co_signer_on_a_copy(void **state)
{
    struct place q = p;
    struct vf_prekeys_report r;
    struct issued i, j;
    VF_BUF file = {0};

    (void)state;
    (void)snprintf(q.vault, sizeof(q.vault), "%s/copy", p.dir.path);
    copy_folder(p.vault, q.vault);
    struct vf_vault *v = open_as(&p, VF_VAULT_WRITE, ALICE);
    struct vf_vault *w = open_as(&q, VF_VAULT_WRITE, BOB);
    batch_of(desk, 4, 20, 1, &file);
    OK(install(v, &file, &r));
    struct vf_issue_options opt = online("two");
    opt.until_us = opt.now_us + 15 * VF_DAY_US;
    issue(v, ALICE, &opt, &i);
    assert_int_equal(i.f.grant.prekey_batch, 4);
    assert_int_equal(try_sign(w, BOB, &i, &j), VF_E_REFUSED);
    assert_non_null(strstr(why->text, "take it in first"));
    issued_done(&j);
    OK(vf_prekeys_install(w, admin[BOB], file.data, file.len, "desk.prekeys", &r, why));
    OK(try_sign(w, BOB, &i, &j));
    issued_done(&j);
    OK(try_sign(w, BOB, &i, &j)); /* again: it is this grant's */
    issued_done(&j);
    struct issued moved = i;
    (void)snprintf(moved.f.grant.desk_url, sizeof(moved.f.grant.desk_url), "https://elsewhere.example");
    assert_int_equal(vf_grant_rederive(w, &moved.f, why), VF_E_REFUSED);
    /* The other copy cannot give it to another grant now, nor sign one that has it. */
    opt = online("twice");
    opt.until_us = opt.now_us + 15 * VF_DAY_US;
    assert_int_equal(try_issue(w, BOB, &opt, &j), VF_E_REFUSED);
    issued_done(&j);
    issued_done(&i);
    close_vault(v);
    close_vault(w);
}

/* What was used since the backup would look free: a restored vault takes new batches only. */
static void restored(void **state)
{
    struct place second = p;
    struct vf_prekeys_report r;
    char backup[400];
    uint64_t left = 9;
    int64_t latest = 9;
    VF_BUF file = {0}, fresh = {0};

    (void)state;
    struct vf_vault *v = open_as(&p, VF_VAULT_WRITE, ALICE);
    batch_of(desk, 5, 20, COUNT, &file);
    OK(install(v, &file, &r));
    close_vault(v);
    OK(vf_vault_backup(p.vault, place_path(&p, "prekeys-backup", backup), false, NULL, NULL, why));
    (void)snprintf(second.vault, sizeof(second.vault), "%s/restored", p.dir.path);
    OK(vf_vault_restore(backup, second.vault, admin[ALICE], NULL, NULL, why));
    v = open_as(&second, VF_VAULT_WRITE, ALICE);
    OK(vf_prekeys_left(v, vf_clock_wall_us(), &left, &latest, why));
    assert_true(left == 0 && latest == 0);
    assert_int_equal(install(v, &file, &r), VF_E_REFUSED);
    assert_non_null(strstr(why->text, "before this vault was restored"));
    fake_clock_pass(2 * VF_SECOND_US);
    batch_of(desk, 6, 20, COUNT, &fresh);
    OK(install(v, &fresh, &r));
    struct vf_issue_options opt = online("after");
    struct issued i;
    issue(v, ALICE, &opt, &i);
    assert_int_equal(i.f.grant.prekey_batch, 6);
    issued_done(&i);
    close_vault(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batches),
        cmocka_unit_test(opens_with_the_prekey_only),
        cmocka_unit_test(every_grant_has_its_own),
        cmocka_unit_test(no_grant_outlives_its_prekey),
        cmocka_unit_test(said_when_it_was_offline_before),
        cmocka_unit_test(co_signer_on_a_copy),
        cmocka_unit_test(restored),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
