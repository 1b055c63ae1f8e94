/* SPDX-License-Identifier: MIT */
/* Bundles: what a device was not sent yet, and nothing that is not what was granted. */
#include "grant_place.h"

#include "fakeclock.h"

#include <fcntl.h>
#include <unistd.h>

#define CARD  vf_field_set_card_print()
#define WHOLE (7u * 9u) /* seven officers, nine values each: nobody has a signature image */

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

static void grant(struct vf_vault *v, const char *job, vf_field_set fields, int64_t length_us, struct issued *ret)
{
    struct vf_issue_options opt = options_for(&b, job, fields);

    opt.now_us = opt.from_us = vf_clock_wall_us();
    opt.until_us = opt.now_us + length_us;
    issue(v, ALICE, &opt, ret);
}

static struct vf_export_report sends(struct vf_vault *v, const struct issued *i, bool all)
{
    struct vf_export_report sent = {0};
    char path[400];

    OK(try_export(v, i, all, place_path(&p, "x.bundle", path), &sent));
    return sent;
}

static void only_what_is_new(void **state)
{
    struct vf_vault *v = open_as(&p, VF_VAULT_WRITE, ALICE);
    struct vf_ref ref = officer(v, 3);
    struct vf_export_report sent = {0};
    struct issued one, two, three;
    char first[400], second[400];
    const char *paths[] = {place_path(&p, "first.bundle", first), place_path(&p, "second.bundle", second)};

    (void)state;
    grant(v, "one", CARD, 7 * VF_DAY_US, &one);
    OK(try_export(v, &one, false, first, &sent));
    assert_int_equal(sent.values, WHOLE);
    assert_int_equal(sent.already_sent, 0);
    /* The same file once more: it may never have arrived. */
    assert_int_equal(sends(v, &one, false).values, WHOLE);
    /* One name changed, one field more: that travels, and no more. */
    set_text(v, &ref, VF_FIELD_NAME_ON_CARD, "Somebody Else");
    grant(v, "two", CARD | VF_FIELD_BIT(VF_FIELD_SURNAME), 7 * VF_DAY_US, &two);
    assert_int_equal(two.report.bytes_to_send, 28 + 8 * 17 + 7 * (vf_field_padded(VF_FIELD_SURNAME, 0) + 44) +
                                                   vf_field_padded(VF_FIELD_NAME_ON_CARD, 0) + 44);
    OK(try_export(v, &two, false, second, &sent));
    assert_int_equal(sent.values, 7 + 1);
    assert_int_equal(sent.already_sent, WHOLE - 1);
    bureau_reads(&b, v, &two, paths, 2);
    assert_int_equal(sends(v, &two, true).values, WHOLE + 7);
    /* A grant that was never exported has sent nothing. */
    grant(v, "three", VF_FIELD_BIT(VF_FIELD_FORENAMES), 7 * VF_DAY_US, &three);
    struct issued four;
    grant(v, "four", VF_FIELD_BIT(VF_FIELD_FORENAMES), 7 * VF_DAY_US, &four);
    assert_int_equal(sends(v, &four, false).values, 7);
    issued_done(&one);
    issued_done(&two);
    issued_done(&three);
    issued_done(&four);
    close_vault(v);
}

/* What was sent for a grant counts until the station may have dropped it. */
static void until_it_is_dropped(void **state)
{
    struct vf_vault *v = open_as(&p, VF_VAULT_WRITE, ALICE);
    const vf_field_set field = VF_FIELD_BIT(VF_FIELD_UNIT_CODE);
    struct issued one, two;
    VF_BUF note = {0};

    (void)state;
    grant(v, "unit-a", field, VF_DAY_US, &one);
    assert_int_equal(sends(v, &one, false).values, 7);
    fake_clock_pass(14 * VF_DAY_US); /* ended 13 days ago, to the second */
    grant(v, "unit-b", field, VF_DAY_US, &two);
    assert_int_equal(sends(v, &two, false).values, 0);
    issued_done(&one);
    /* `two` was exported, though empty: it keeps the values there for its own time. */
    fake_clock_pass(14 * VF_DAY_US + VF_SECOND_US);
    grant(v, "unit-c", field, VF_DAY_US, &one);
    assert_int_equal(sends(v, &one, false).values, 7);
    /* Revoked: dropped at once. */
    vf_buf_init(&note, 65536);
    OK(vf_grant_revoke(v, admin[ALICE], &one.f.grant.id, "wrong batch", vf_clock_wall_us(), &note, why));
    issued_done(&two);
    grant(v, "unit-d", field, VF_DAY_US, &two);
    assert_int_equal(sends(v, &two, false).values, 7);
    issued_done(&one);
    issued_done(&two);
    close_vault(v);
}

/* Another supplier has had nothing. */
static void each_device_for_itself(void **state)
{
    struct vf_vault *v = open_as(&p, VF_VAULT_WRITE, ALICE);
    struct bureau other;
    struct issued i;

    (void)state;
    bureau_make(&p, vf_vault_id_get(v), "bureau-9", &other);
    struct vf_issue_options opt = options_for(&other, "one", CARD);
    opt.now_us = opt.from_us = vf_clock_wall_us();
    opt.until_us = opt.now_us + VF_DAY_US;
    issue(v, ALICE, &opt, &i);
    assert_int_equal(sends(v, &i, false).values, WHOLE);
    issued_done(&i);
    bureau_done(&other);
    close_vault(v);
}

static void unknown_grants(void **state)
{
    struct vf_vault *v = open_as(&p, VF_VAULT_WRITE, ALICE);
    struct vf_export_report sent = {0};
    struct place elsewhere = p;
    struct issued i;
    char path[400];

    (void)state;
    (void)snprintf(elsewhere.vault, sizeof(elsewhere.vault), "%s/earlier", p.dir.path);
    close_vault(v);
    copy_folder(p.vault, elsewhere.vault);
    v = open_as(&p, VF_VAULT_WRITE, ALICE);
    grant(v, "unknown", CARD, VF_DAY_US, &i);
    close_vault(v);
    v = open_as(&elsewhere, VF_VAULT_WRITE, ALICE);
    assert_int_equal(try_export(v, &i, false, place_path(&p, "u.bundle", path), &sent), VF_E_NOT_FOUND);
    issued_done(&i);
    close_vault(v);
}

/* The disk is full, or the reader of a pipe goes away: an error, and nothing counts as sent. */
static void fails_to_write(void **state)
{
    struct vf_vault *v = open_as(&p, VF_VAULT_WRITE, ALICE);
    struct vf_export_report sent = {0};
    struct issued one, two;
    VF_FD full = open("/dev/full", O_WRONLY | O_CLOEXEC);

    (void)state;
    assert_true(full >= 0);
    grant(v, "full-a", VF_FIELD_BIT(VF_FIELD_GRADE), VF_DAY_US, &one);
    assert_int_equal(vf_bundle_export(v, &one.f, false, full, NULL, NULL, &sent, why), VF_E_DISK_FULL);
    assert_int_equal(sent.values, 0);
    grant(v, "full-b", VF_FIELD_BIT(VF_FIELD_GRADE), VF_DAY_US, &two);
    assert_int_equal(sends(v, &two, false).values, 7);
    issued_done(&one);
    issued_done(&two);
    close_vault(v);
}

/* A value that is damaged in the vault is found at the force, not at the supplier's. */
struct damage {
    uint8_t key[VF_REF_LEN + 1 + 4];
};

static enum vf_err damage_value(struct vf_txn *txn, void *user, struct vf_why *w)
{
    const struct damage *d = user;
    struct vf_slice row;
    VF_BUF copy = {0};

    (void)w;
    if (!vf_txn_get(txn, VF_VT_VALUE, d->key, sizeof(d->key), &row))
        abort();
    vf_buf_init(&copy, row.len);
    vf_buf_put(&copy, row.data, row.len);
    copy.data[copy.len - 1] ^= 1;
    vf_txn_put(txn, VF_VT_VALUE, d->key, sizeof(d->key), copy.data, copy.len);
    return VF_OK;
}

static void damaged_values(void **state)
{
    struct vf_vault *v = open_as(&p, VF_VAULT_WRITE, ALICE);
    struct vf_ref ref = officer(v, 5);
    struct vf_export_report sent = {0};
    struct damage d;
    struct issued i;
    char path[400], says[32];
    uint32_t row;

    (void)state;
    grant(v, "damage", VF_FIELD_BIT(VF_FIELD_TITLE), VF_DAY_US, &i);
    assert_true(vf_manifest_find(&i.f.manifest, &ref, &row));
    struct vf_manifest_item item;
    vf_manifest_item(&i.f.manifest, row, 0, &item);
    memcpy(d.key, ref.c, VF_REF_LEN);
    d.key[VF_REF_LEN] = VF_FIELD_TITLE;
    vf_put_be32(d.key + VF_REF_LEN + 1, item.generation);
    OK(vf_store_update(vf_vault_store(v), damage_value, &d, why));
    assert_int_equal(try_export(v, &i, false, place_path(&p, "d.bundle", path), &sent), VF_E_DAMAGED);
    (void)snprintf(says, sizeof(says), "%.8s, title", ref.c);
    assert_non_null(strstr(why->text, says));
    OK(vf_store_update(vf_vault_store(v), damage_value, &d, why)); /* and back */
    assert_int_equal(sends(v, &i, false).values, 7);
    issued_done(&i);
    close_vault(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_is_new), cmocka_unit_test(until_it_is_dropped), cmocka_unit_test(each_device_for_itself),
        cmocka_unit_test(unknown_grants),   cmocka_unit_test(fails_to_write),      cmocka_unit_test(damaged_values),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
