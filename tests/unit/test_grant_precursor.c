/* SPDX-License-Identifier: MIT */
/*
 * One admin of two who tries to have a swapped photo called unchanged: he makes a grant of it that nobody else ever looks at, and lets the
 * next one be compared with that.
 */
#include "grant_place.h"

#include "fakeclock.h"

#include <fcntl.h>
#include <unistd.h>

#define CARD vf_field_set_card_print()

static struct place p;
static struct bureau b;
static struct vf_ref victim;

static void rule(void)
{
    struct vf_vault *v = open_as(&p, VF_VAULT_PUBLIC, 0);
    VF_BUF out = {0};
    bool pending = true;

    vf_buf_init(&out, VF_POLICY_MAX);
    OK(vf_policy_chain_sign(vf_vault_policy(v), admin[BOB], &out, why));
    close_vault(v);
    OK(vf_policy_install(p.vault, out.data, out.len, admin[BOB], &pending, why));
    assert_false(pending);
}

static void set_photo(struct vf_vault *v, unsigned seed)
{
    char path[400];
    size_t len;

    put_photo(&p, "photos/swap.jpg", seed);
    VF_FREE char *jpeg = get_file(place_path(&p, "photos/swap.jpg", path), &len);
    const struct vf_field_value photo = {VF_FIELD_PHOTO, jpeg, len};
    fake_clock_pass(10 * VF_SECOND_US);
    OK(vf_record_set(v, &victim, &photo, 1, why));
    fake_clock_pass(10 * VF_SECOND_US);
}

static int set_up(void **state)
{
    if (vault_set_up(state) != 0)
        return -1;
    place_make(&p, 2, 2);
    rule();
    struct vf_vault *v = open_as(&p, VF_VAULT_WRITE, ALICE);
    officers_make(&p, v, 3);
    victim = officer(v, 1);
    bureau_make(&p, vf_vault_id_get(v), "bureau-7", &b);
    close_vault(v);
    return 0;
}

static int tear_down(void **state)
{
    return force_and_bureau_done(state, &p, &b);
}

static void issue_as(struct vf_vault *v, const char *job, struct issued *ret)
{
    struct vf_issue_options opt = options_for(&b, job, CARD);

    opt.now_us = opt.from_us = vf_clock_wall_us();
    issue(v, ALICE, &opt, ret);
    fake_clock_pass(VF_SECOND_US);
}

static char *review(struct vf_vault *v, const struct issued *i)
{
    char path[400];
    VF_FD fd = open(place_path(&p, "review.html", path), O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    OK(vf_grant_review(v, &i->f, fd, "review.html", why));
    return get_file(path, NULL);
}

/* A grant that both have signed: what there is to compare with. */
static void agreed(struct vf_vault *v, const char *job, struct issued *ret)
{
    struct issued one;

    issue_as(v, job, &one);
    OK(try_sign(v, BOB, &one, ret));
    issued_done(&one);
}

static void take_back(struct vf_vault *v, const struct issued *i)
{
    VF_BUF note = {.max = 65536};

    OK(vf_grant_revoke(v, admin[ALICE], &i->f.grant.id, "a mistake", vf_clock_wall_us(), &note, why));
}

static void says(const char *page, const char *words, const struct issued *passed)
{
    if (strstr(page, words) == NULL)
        fail_msg("the page does not say \"%s\"", words);
    const char *list = strstr(page, "Not compared with");
    char id[VF_GRANT_ID_LEN + 1];

    if (passed == NULL)
        return;
    (void)snprintf(id, sizeof(id), "%.*s", VF_GRANT_ID_LEN, passed->f.grant.id.c);
    assert_non_null(list);
    assert_non_null(strstr(list, id));
}

static void unsigned_and_revoked_ones_are_passed(void **state)
{
    struct vf_vault *v = open_as(&p, VF_VAULT_WRITE, ALICE);
    struct issued base, precursor, revoked, next;

    (void)state;
    agreed(v, "base", &base);
    set_photo(v, 77);
    issue_as(v, "other-job", &precursor); /* bob never sees it */
    issue_as(v, "cards", &revoked);
    take_back(v, &revoked);
    issue_as(v, "cards", &next);
    VF_FREE char *page = review(v, &next);
    says(page, "0 records new, 1 changed, 0 no longer in it", &precursor);
    says(page, "to this device, of another job", &revoked);
    /* Once the agreed one is revoked too there is nothing to compare with. */
    take_back(v, &base);
    VF_FREE char *again = review(v, &next);
    says(again, "look at everything as new to it", &base);
    issued_done(&base);
    issued_done(&precursor);
    issued_done(&revoked);
    issued_done(&next);
    close_vault(v);
}

static enum vf_err renew(struct vf_vault *v, const struct issued *i, struct issued *ret)
{
    const struct vf_renew_options opt = {
        .now_us = vf_clock_wall_us(), .until_us = vf_clock_wall_us() + 3 * VF_DAY_US, .no_handin = true};
    struct vf_grant_id id;

    *ret = (struct issued){0};
    vf_buf_init(&ret->file, VF_GRANT_FILE_MAX);
    enum vf_err err = vf_grant_renew(v, admin[ALICE], &i->f.grant.id, &opt, &id, &ret->file, why);
    if (err == VF_OK)
        parse_issued(ret);
    return err;
}

/* The right photo is back in the vault; the renewal would give the swapped one. */
static void what_one_made_alone_is_not_renewed(void **state)
{
    struct vf_vault *v = open_as(&p, VF_VAULT_WRITE, ALICE);
    struct issued precursor, renewal, out;

    (void)state;
    set_photo(v, 78);
    issue_as(v, "alone", &precursor);
    set_photo(v, 79);
    OK(renew(v, &precursor, &renewal));
    assert_int_equal(vf_grant_rederive(v, &renewal.f, why), VF_E_UNSIGNED);
    assert_non_null(strstr(why->text, "1 of 2 signatures"));
    assert_int_equal(try_sign(v, BOB, &renewal, &out), VF_E_UNSIGNED);
    issued_done(&out);
    issued_done(&precursor);
    issued_done(&renewal);
    close_vault(v);
}

/* An honest renewal after a change: signed, and the co-signer sees both pictures. */
static void a_renewal_shows_both_photos(void **state)
{
    struct vf_vault *v = open_as(&p, VF_VAULT_WRITE, ALICE);
    struct issued base, renewal, out;

    (void)state;
    agreed(v, "honest", &base);
    OK(renew(v, &base, &renewal));
    VF_FREE char *before = review(v, &renewal);
    assert_null(strstr(before, "not the current version"));
    set_photo(v, 80);
    VF_FREE char *page = review(v, &renewal);
    says(page, "1 records have changed since", NULL);
    says(page, "not the current version", NULL);
    says(page, "below it: the vault's of today", NULL);
    OK(try_sign(v, BOB, &renewal, &out));
    issued_done(&out);
    issued_done(&base);
    issued_done(&renewal);
    close_vault(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unsigned_and_revoked_ones_are_passed),
        cmocka_unit_test(what_one_made_alone_is_not_renewed),
        cmocka_unit_test(a_renewal_shows_both_photos),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
