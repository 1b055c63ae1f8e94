/* SPDX-License-Identifier: MIT */
/* Policies in a vault: changes, installation, rekey. */
#include "../../vaultfs/vault/policy.h"
#include "vault_test.h"

static struct vf_buf bytes_of(const struct vf_policy_chain *chain)
{
    struct vf_buf out;

    vf_buf_init(&out, VF_POLICY_MAX);
    vf_buf_put(&out, chain->bytes, chain->len);
    return out;
}

/* ------------------------------------------------------------------------------------------------------------- in the vault */

static struct vf_buf change(const struct place *p, unsigned who, const struct vf_policy_change *what)
{
    struct vf_vault *v = open_as(p, VF_VAULT_READ, who);
    struct vf_buf out;

    vf_buf_init(&out, VF_POLICY_MAX);
    OK(vf_policy_change_make(v, what, admin[who], &out, why));
    close_vault(v);
    return out;
}

static bool install(const struct place *p, const struct vf_buf *file, unsigned who)
{
    bool pending = false;

    OK(vf_policy_install(p->vault, file->data, file->len, admin[who], &pending, why));
    return pending;
}

static enum vf_err install_fails(const struct place *p, const struct vf_buf *file, unsigned who)
{
    struct vf_why no;
    bool pending = false;

    return vf_policy_install(p->vault, file->data, file->len, admin[who], &pending, &no);
}

static void test_first_pending(void **state)
{
    struct place p;
    (void)state;

    place_make(&p, 2, 2);
    struct vf_vault *v = open_as(&p, VF_VAULT_PUBLIC, 0);
    VF_BUF file = bytes_of(vf_vault_policy(v));
    close_vault(v);
    assert_true(install(&p, &file, ALICE)); /* nothing new */
    assert_int_equal(install_fails(&p, &file, CAROL), VF_E_DENIED);
    sign_policy(&file, BOB);
    assert_false(install(&p, &file, BOB));
    for (unsigned who = ALICE; who <= BOB; who++)
        close_vault(open_as(&p, VF_VAULT_WRITE, who));
    (void)check_clean(&p);
    place_done(&p);
}

static void test_signatures_add_up(void **state)
{
    struct place p;
    (void)state;

    place_make(&p, 3, 3);
    struct vf_vault *v = open_as(&p, VF_VAULT_PUBLIC, 0);
    VF_BUF by_bob = bytes_of(vf_vault_policy(v));
    VF_BUF by_carol = bytes_of(vf_vault_policy(v));
    close_vault(v);
    sign_policy(&by_bob, BOB);
    sign_policy(&by_carol, CAROL);
    assert_true(install(&p, &by_carol, ALICE));
    assert_false(install(&p, &by_bob, ALICE));
    close_vault(open_as(&p, VF_VAULT_WRITE, CAROL));
    place_done(&p);
}

static void test_members(void **state)
{
    struct place p;
    struct vf_vault *v = NULL;
    struct vf_why no;
    struct vf_ref ref;
    const char *const bob = "bob";
    (void)state;

    place_make(&p, 2, 1);
    v = open_as(&p, VF_VAULT_WRITE, ALICE);
    import_csv(v, &p, "warrant_no,surname\n1,One\n", NULL, VF_OK, NULL);
    ref = ref_of(v, "1");
    struct vf_buf out;
    vf_buf_init(&out, VF_POLICY_MAX);
    assert_int_equal(vf_policy_change_make(v, &(struct vf_policy_change){0}, admin[ALICE], &out, &no), VF_E_USAGE);
    const char *const nobody = "nobody";
    assert_int_equal(
        vf_policy_change_make(v, &(struct vf_policy_change){.remove = &nobody, .nremove = 1}, admin[ALICE], &out, &no),
        VF_E_INPUT);
    assert_int_equal(
        vf_policy_change_make(v, &(struct vf_policy_change){.add = pub_of(BOB), .nadd = 1}, admin[ALICE], &out, &no),
        VF_E_EXISTS);
    assert_int_equal(vf_policy_change_make(v, &(struct vf_policy_change){.threshold = 3}, admin[ALICE], &out, &no),
                     VF_E_INPUT);
    assert_int_equal(vf_policy_change_make(v, &(struct vf_policy_change){.desk_url = "https://x"}, admin[ALICE], &out, &no),
                     VF_E_INPUT);
    assert_int_equal(vf_policy_change_make(v, &(struct vf_policy_change){.threshold = 2}, admin[CAROL], &out, &no),
                     VF_E_REFUSED);
    vf_buf_done(&out);
    close_vault(v);

    VF_BUF add = change(&p, ALICE, &(struct vf_policy_change){.add = pub_of(CAROL), .nadd = 1});
    assert_int_equal(vf_vault_open(p.vault, VF_VAULT_READ, admin[CAROL], &v, &no), VF_E_DENIED);
    assert_false(install(&p, &add, ALICE));
    v = open_as(&p, VF_VAULT_READ, CAROL);
    assert_string_equal(text_of(v, &ref, VF_FIELD_SURNAME), "One");
    close_vault(v);

    VF_BUF stale = change(&p, BOB, &(struct vf_policy_change){.threshold = 2});
    VF_BUF out_bob = change(&p, CAROL, &(struct vf_policy_change){.remove = &bob, .nremove = 1});
    assert_false(install(&p, &out_bob, CAROL));
    assert_int_equal(vf_vault_open(p.vault, VF_VAULT_READ, admin[BOB], &v, &no), VF_E_DENIED);
    assert_int_equal(install_fails(&p, &stale, BOB), VF_E_DENIED);
    assert_int_equal(install_fails(&p, &add, ALICE), VF_E_STALE);
    /* Another version 3, which bob and alice could have signed before: a fork. */
    sign_policy(&stale, ALICE);
    assert_int_equal(install_fails(&p, &stale, ALICE), VF_E_FORGED);
    assert_false(install(&p, &out_bob, ALICE)); /* the same again: nothing to do */
    (void)check_clean(&p);
    place_done(&p);
}

static void test_pending_rules_not(void **state)
{
    struct place p;
    const char *const bob = "bob";
    (void)state;

    place_make(&p, 2, 2);
    struct vf_vault *v = open_as(&p, VF_VAULT_PUBLIC, 0);
    VF_BUF first = bytes_of(vf_vault_policy(v));
    close_vault(v);
    sign_policy(&first, BOB);
    assert_false(install(&p, &first, ALICE));
    VF_BUF next = change(&p, ALICE, &(struct vf_policy_change){.remove = &bob, .nremove = 1, .threshold = 1});
    assert_true(install(&p, &next, ALICE));
    v = open_as(&p, VF_VAULT_READ, BOB); /* still one of them */
    assert_int_equal(vf_vault_policy(v)->ruling, 1);
    assert_true(vf_vault_policy(v)->has_pending);
    close_vault(v);
    /* Another proposal takes its place; a file without one takes nothing back. */
    VF_BUF other = change(&p, BOB, &(struct vf_policy_change){.add = pub_of(CAROL), .nadd = 1});
    assert_true(install(&p, &other, BOB));
    assert_false(install(&p, &first, BOB));
    v = open_as(&p, VF_VAULT_PUBLIC, 0);
    assert_int_equal(vf_vault_policy(v)->pending.nadmins, 3);
    close_vault(v);
    sign_policy(&other, ALICE);
    assert_false(install(&p, &other, ALICE));
    close_vault(open_as(&p, VF_VAULT_WRITE, CAROL));
    place_done(&p);
}

/* -------------------------------------------------------------------------------------------------------------------- rekey */

static void test_rekey(void **state)
{
    struct place p, q;
    struct vf_vault_counts counts;
    struct vf_head head;
    struct vf_why no;
    VF_BUF file = {0};
    char cmd[900];
    (void)state;

    place_make(&p, 2, 2);
    struct vf_vault *v = open_as(&p, VF_VAULT_PUBLIC, 0);
    VF_BUF first = bytes_of(vf_vault_policy(v));
    close_vault(v);
    sign_policy(&first, BOB);
    assert_false(install(&p, &first, ALICE));
    v = open_as(&p, VF_VAULT_WRITE, ALICE);
    import_csv(v, &p, "warrant_no,surname\n1,One\n2,Two\n", NULL, VF_OK, NULL);
    struct vf_ref ref = ref_of(v, "1");
    vf_buf_init(&file, VF_POLICY_MAX);
    OK(vf_vault_rekey(v, admin[ALICE], &file, why));
    close_vault(v);
    /* A copy of the vault from before: it does not have the new key. */
    scratch_make(&q.dir);
    (void)scratch_path(&q.dir, "vault", q.vault, sizeof(q.vault));
    assert_true(install(&p, &file, ALICE));
    /* One process has one environment of a folder: the reader's is opened for writing by the one that was there first. */
    struct vf_vault *writer = open_as(&p, VF_VAULT_WRITE, ALICE);
    v = open_as(&p, VF_VAULT_READ, BOB);
    close_vault(writer);
    OK(vf_vault_counts_get(v, &counts, why));
    assert_int_equal(counts.epoch, 1);
    /* Opened before, used after: told to open again. */
    sign_policy(&file, BOB);
    assert_false(install(&p, &file, BOB));
    struct vf_view *view = NULL;
    assert_int_equal(vf_view_open(v, &view, &no), VF_E_STALE);
    close_vault(v);
    v = open_as(&p, VF_VAULT_WRITE, BOB);
    OK(vf_vault_counts_get(v, &counts, why));
    assert_int_equal(counts.epoch, 2);
    assert_int_equal(counts.w_changes, 1);
    assert_memory_equal(ref_of(v, "1").c, ref.c, VF_REF_LEN);
    assert_string_equal(text_of(v, &ref, VF_FIELD_SURNAME), "One");
    set_text(v, &ref, VF_FIELD_SURNAME, "Eins");
    OK(vf_view_open(v, &view, why));
    OK(vf_view_head(view, &ref, &head, why));
    vf_view_close(view);
    assert_int_equal(head.f[VF_FIELD_SURNAME].epoch, 2);
    assert_int_equal(head.f[VF_FIELD_WARRANT_NO].epoch, 1);
    close_vault(v);
    (void)check_clean(&p);
    /* Once more, on its own; the epochs that nothing uses any more are gone. */
    v = open_as(&p, VF_VAULT_WRITE, ALICE);
    VF_BUF again = {0};
    vf_buf_init(&again, VF_POLICY_MAX);
    OK(vf_vault_rekey(v, admin[ALICE], &again, why));
    close_vault(v);
    /* In a vault that never saw the rekey, the policy cannot be installed. */
    (void)snprintf(cmd, sizeof(cmd), "%s/b", q.dir.path);
    OK(vf_vault_backup(p.vault, cmd, false, NULL, NULL, why));
    v = open_as(&p, VF_VAULT_WRITE, ALICE);
    VF_BUF third = {0};
    vf_buf_init(&third, VF_POLICY_MAX);
    OK(vf_vault_rekey(v, admin[ALICE], &third, why)); /* replaces what waits */
    close_vault(v);
    sign_policy(&again, BOB);
    assert_int_equal(install_fails(&p, &again, ALICE), VF_E_REFUSED);
    sign_policy(&third, BOB);
    assert_false(install(&p, &third, ALICE));
    OK(vf_vault_restore(cmd, q.vault, admin[BOB], NULL, NULL, why));
    assert_int_equal(install_fails(&q, &third, ALICE), VF_E_REFUSED);
    assert_false(install(&q, &again, ALICE)); /* there the older one waits */
    (void)check_clean(&p);
    (void)check_clean(&q);
    place_done(&p);
    place_done(&q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_pending), cmocka_unit_test(test_signatures_add_up),
        cmocka_unit_test(test_members),       cmocka_unit_test(test_pending_rules_not),
        cmocka_unit_test(test_rekey),
    };

    return cmocka_run_group_tests(tests, vault_set_up, vault_tear_down);
}
