/* SPDX-License-Identifier: MIT */
/* Policies: chains, signatures, changes, installation. */
#include "../../vaultfs/vault/policy.h"
#include "vault_test.h"

#include "fakeclock.h"

/* ------------------------------------------------------------------------------------------------------------------- helpers */

static struct vf_policy sample(unsigned nadmins, unsigned threshold)
{
    struct vf_policy p = {.threshold = threshold, .nadmins = nadmins, .created_us = FAKE_CLOCK_START_US};

    memset(p.vault.b, 0x11, sizeof(p.vault.b));
    memset(p.commitment.b, 0x22, sizeof(p.commitment.b));
    (void)snprintf(p.force_name, sizeof(p.force_name), "Example Constabulary");
    for (unsigned i = 0; i < nadmins; i++)
        p.admins[i] = *pub_of(i);
    return p;
}

/* `who` extends the chain (empty: begins one) by `next`. */
static void extend(struct vf_buf *file, struct vf_policy next, unsigned who)
{
    struct vf_policy_chain chain = {0};
    struct vf_buf out;

    vf_buf_init(&out, VF_POLICY_MAX);
    if (file->len > 0)
        chain_of(file, &chain);
    OK(vf_policy_chain_extend(&chain, &next, admin[who], &out, why));
    vf_policy_chain_done(&chain);
    vf_buf_done(file);
    *file = out;
}

static struct vf_buf copy_of(const struct vf_buf *b)
{
    struct vf_buf out;

    vf_buf_init(&out, VF_POLICY_MAX);
    vf_buf_put(&out, b->data, b->len);
    return out;
}

static enum vf_err parse(const void *data, size_t len)
{
    struct vf_policy_chain chain = {0};
    struct vf_why no = {0};

    enum vf_err err = vf_policy_chain_parse(data, len, "test", &chain, &no);
    if (err == VF_OK)
        vf_policy_chain_done(&chain);
    else
        assert_int_not_equal(no.text[0], '\0');
    return err;
}

/* A file of one version with this text, signed by alice. */
static enum vf_err parse_text(const char *text)
{
    VF_BUF file = {0};

    vf_buf_init(&file, VF_POLICY_MAX);
    OK(vf_note_sign(text, strlen(text), admin[ALICE], &file, why));
    vf_buf_text(&file, "\n");
    return parse(file.data, file.len);
}

/* -------------------------------------------------------------------------------------------------------------------- chains */

static void test_threshold(void **state)
{
    struct vf_policy_chain chain;
    VF_BUF file = {0};
    (void)state;

    extend(&file, sample(3, 3), ALICE);
    for (unsigned sigs = 1; sigs <= 3; sigs++) {
        chain_of(&file, &chain);
        assert_int_equal(chain.ruling, sigs == 3 ? 1 : 0);
        assert_int_equal(chain.has_pending, sigs < 3);
        if (sigs < 3)
            assert_int_equal(chain.pending_new_sigs, sigs);
        /* The same key again changes nothing. */
        sign_policy(&file, sigs - 1);
        assert_int_equal(file.len, chain.len);
        assert_memory_equal(file.data, chain.bytes, chain.len);
        vf_policy_chain_done(&chain);
        if (sigs < 3)
            sign_policy(&file, sigs);
    }
}

static void test_rule(void **state)
{
    struct vf_policy_chain chain;
    struct vf_policy next;
    struct vf_why no;
    VF_BUF file = {0};
    VF_BUF out = {0};
    (void)state;

    /* Version 2 takes alice out and asks for two of bob and carol: alice's own signature counts for the version before alone. */
    extend(&file, sample(1, 1), ALICE);
    next = sample(3, 2);
    next.admins[0] = *pub_of(CAROL);
    next.nadmins = 2;
    next.admins[1] = *pub_of(BOB);
    extend(&file, next, BOB);
    chain_of(&file, &chain);
    assert_int_equal(chain.ruling, 1);
    assert_int_equal(chain.pending_new_sigs, 1);
    assert_int_equal(chain.pending_old_sigs, 0);
    assert_string_equal(chain.pending.admins[0].name, "bob"); /* sorted */
    vf_policy_chain_done(&chain);
    sign_policy(&file, CAROL);
    chain_of(&file, &chain);
    assert_int_equal(chain.ruling, 1);
    assert_int_equal(chain.pending_new_sigs, 2);
    vf_policy_chain_done(&chain);
    sign_policy(&file, ALICE);
    chain_of(&file, &chain);
    assert_int_equal(chain.ruling, 2);
    assert_false(chain.has_pending);
    assert_int_equal(chain.nhashes, 2);
    /* Now alice is nobody. */
    vf_buf_init(&out, VF_POLICY_MAX);
    assert_int_equal(vf_policy_chain_sign(&chain, admin[ALICE], &out, &no), VF_E_REFUSED);
    next = sample(3, 1);
    OK(vf_policy_chain_extend(&chain, &next, admin[ALICE], &out, why));
    vf_policy_chain_done(&chain);
    chain_of(&out, &chain);
    assert_int_equal(chain.ruling, 2); /* pending: no signature of the two that rule */
    assert_int_equal(chain.pending_old_sigs, 0);
    vf_policy_chain_done(&chain);
}

static void test_links(void **state)
{
    struct vf_policy_chain a, b;
    struct vf_why no;
    VF_BUF one = {0};
    VF_BUF other = {0};
    VF_BUF third = {0};
    struct vf_policy p = sample(2, 1);
    int cmp = 7;
    (void)state;

    extend(&one, p, ALICE);
    other = copy_of(&one);
    size_t first = one.len;
    chain_of(&one, &a);
    chain_of(&other, &b);
    OK(vf_policy_chain_compare(&a, &b, &cmp, why));
    assert_int_equal(cmp, 0);
    vf_policy_chain_done(&b);
    extend(&other, sample(3, 1), BOB);
    chain_of(&other, &b);
    OK(vf_policy_chain_compare(&a, &b, &cmp, why));
    assert_int_equal(cmp, 1);
    OK(vf_policy_chain_compare(&b, &a, &cmp, why));
    assert_int_equal(cmp, -1);
    vf_policy_chain_done(&a);
    /* Two second versions, each signed by one who may. */
    extend(&one, sample(1, 1), ALICE);
    chain_of(&one, &a);
    assert_int_equal(vf_policy_chain_compare(&a, &b, &cmp, &no), VF_E_FORGED);
    vf_policy_chain_done(&a);
    vf_policy_chain_done(&b);
    /* The second version of one behind the first of another; alone; doubled. */
    p.commitment.b[0] ^= 1;
    extend(&third, p, ALICE);
    chain_of(&third, &a);
    chain_of(&other, &b);
    assert_int_equal(vf_policy_chain_compare(&a, &b, &cmp, &no), VF_E_FORGED);
    vf_policy_chain_done(&a);
    vf_policy_chain_done(&b);
    vf_buf_put(&third, other.data + first, other.len - first);
    assert_int_equal(parse(third.data, third.len), VF_E_FORGED);
    assert_int_equal(parse(other.data + first, other.len - first), VF_E_FORGED);
    vf_buf_put(&other, one.data + first, one.len - first);
    assert_int_equal(parse(other.data, other.len), VF_E_FORGED);
    /* A version that waits for signatures cannot be followed. */
    vf_buf_done(&one);
    extend(&one, sample(2, 2), ALICE);
    vf_buf_done(&other);
    other = copy_of(&one);
    vf_buf_put(&other, one.data, one.len);
    assert_int_equal(parse(other.data, other.len), VF_E_FORGED);
}

static void test_other_vault(void **state)
{
    VF_BUF file = {0};
    struct vf_policy p = sample(1, 1);
    (void)state;

    extend(&file, p, ALICE);
    VF_BUF copy = copy_of(&file);
    p.vault.b[0] ^= 1;
    extend(&file, p, ALICE);
    assert_int_equal(parse(file.data, file.len), VF_E_FORGED);
    p = sample(1, 1);
    (void)snprintf(p.force_name, sizeof(p.force_name), "Another Constabulary");
    extend(&copy, p, ALICE);
    assert_int_equal(parse(copy.data, copy.len), VF_E_FORGED);
}

/* What an unknown key signs is not counted and not carried on. */
static void test_unknown_signature(void **state)
{
    struct vf_policy_chain chain;
    struct vf_note note;
    VF_BUF file = {0};
    VF_BUF more = {0};
    (void)state;

    extend(&file, sample(2, 2), ALICE);
    OK(vf_note_parse(file.data, file.len - 1, &note, why));
    vf_buf_init(&more, VF_POLICY_MAX);
    OK(vf_note_cosign(&note, admin[CAROL], &more, why));
    vf_buf_text(&more, "\n");
    chain_of(&more, &chain);
    assert_int_equal(chain.ruling, 0);
    assert_int_equal(chain.pending_new_sigs, 1);
    assert_int_equal(chain.len, file.len);
    assert_memory_equal(chain.bytes, file.data, file.len);
    vf_policy_chain_done(&chain);
    /* Signed by nobody who counts. */
    vf_buf_reset(&more);
    OK(vf_note_sign(note.text, note.text_len, admin[CAROL], &more, why));
    vf_buf_text(&more, "\n");
    assert_int_equal(parse(more.data, more.len), VF_E_UNSIGNED);
}

/* ---------------------------------------------------------------------------------------------------------------------- text */

static void test_text(void **state)
{
    struct vf_policy p = sample(2, 1);
    struct vf_policy back;
    struct vf_hash previous;
    struct vf_hash zero = {{0}};
    VF_IDENTITY desk = NULL;
    VF_BUF text = {0};
    (void)state;

    OK(vf_identity_new(VF_ROLE_DESK, "desk", &desk, why));
    vf_buf_init(&text, VF_POLICY_TEXT_MAX);
    p.version = 1;
    p.has_desk = true;
    p.desk = *vf_identity_pub_get(desk);
    (void)snprintf(p.desk_url, sizeof(p.desk_url), "https://desk.example.police.uk/vaultfs");
    vf_policy_put(&p, &zero, &text);
    OK(vf_policy_parse((const char *)text.data, text.len, "test", &back, &previous, why));
    assert_int_equal(back.nadmins, 2);
    assert_true(vf_identity_pub_equal(&back.desk, vf_identity_pub_get(desk)));
    assert_string_equal(back.desk_url, p.desk_url);
    assert_int_equal(back.created_us, p.created_us);
    vf_sha256(text.data, text.len, &zero);
    assert_memory_equal(back.text_hash.b, zero.b, VF_HASH_LEN);
}

/* Replace the first `from` in a good text by `to` and have it signed. */
static enum vf_err parse_edited(const char *from, const char *to)
{
    struct vf_policy p = sample(2, 1);
    struct vf_hash zero = {{0}};
    VF_BUF text = {0};
    VF_BUF edited = {0};

    p.version = 1;
    vf_buf_init(&text, VF_POLICY_TEXT_MAX);
    vf_buf_init(&edited, VF_POLICY_TEXT_MAX);
    vf_policy_put(&p, &zero, &text);
    const char *good = vf_buf_cstr(&text);
    const char *at = strstr(good, from);
    assert_non_null(at);
    vf_buf_put(&edited, good, (size_t)(at - good));
    vf_buf_text(&edited, to);
    vf_buf_text(&edited, at + strlen(from));
    return parse_text(vf_buf_cstr(&edited));
}

static void test_bad_texts(void **state)
{
    static const char *const edits[][2] = {
        {"version: 1\n", "version: 01\n"},
        {"version: 1\n", "version: 0\n"},
        {"version: 1\n", "version: +1\n"},
        {"version: 1\n", "version: 1 \n"},
        {"version: 1\n", "version:1\n"},
        {"version: 1\n", ""},
        {"version: 1\n", "version: 1\nversion: 1\n"},
        {"threshold: 1\n", "threshold: 0\n"},
        {"threshold: 1\n", "threshold: 3\n"},
        {"threshold: 1\n", "threshold: 4294967297\n"},
        {"created: 2026-11-21T12:00:00Z", "created: 2026-11-21T12:00:00.0Z"},
        {"created: 2026-11-21T12:00:00Z", "created: 2026-02-30T12:00:00Z"},
        {"vault: 1111", "vault: 1111ff"},
        {"commitment: 2222", "commitment: 222A"},
        {"force: Example", "force:  Example"},
        {"force: Example Constabulary", "force: "},
        {"force: Example Constabulary", "force: Example Constabulary "},
        {"admin: vaultfs-identity-v1 admin bob", "admin: vaultfs-identity-v1 desk bob"},
        {"admin: vaultfs-identity-v1 admin bob", "admin: vaultfs-identity-v1 admin alice"},
        {"admin: vaultfs-identity-v1 admin bob", "admin: vaultfs-identity-v1 admin Bob"},
        {"admin: vaultfs-identity-v1 admin alice", "admin: vaultfs-identity-v1 admin zoe"},
        {"threshold: 1\n", "threshold: 1\nnote: hello\n"},
    };
    (void)state;

    assert_int_equal(parse_edited("version: 1\n", "version: 1\n"), VF_OK);
    for (size_t i = 0; i < sizeof(edits) / sizeof(edits[0]); i++)
        assert_int_equal(parse_edited(edits[i][0], edits[i][1]), VF_E_FORMAT);
    assert_int_equal(parse_edited("vaultfs policy v1", "vaultfs policy v2"), VF_E_VERSION);
    assert_int_equal(parse_text("hello\n"), VF_E_VERSION);
    assert_int_equal(parse("", 0), VF_E_FORMAT);
    VF_FREE char *big = calloc(1, VF_POLICY_MAX + 1);
    assert_non_null(big);
    assert_int_equal(parse(big, VF_POLICY_MAX + 1), VF_E_LIMIT);
}

/* Whatever one byte becomes, what is still accepted is a beginning of the same history. */
static void test_mutation(void **state)
{
    struct vf_policy_chain good, chain;
    VF_BUF file = {0};
    size_t accepted = 0;
    (void)state;

    extend(&file, sample(1, 1), ALICE);
    extend(&file, sample(2, 2), ALICE);
    sign_policy(&file, BOB);
    extend(&file, sample(3, 2), BOB);
    chain_of(&file, &good);
    assert_int_equal(good.ruling, 2);
    assert_true(good.has_pending);
    static const uint8_t flips[] = {0x01, 0x20, 0x80};
    for (size_t i = 0; i < file.len; i++)
        for (size_t f = 0; f < sizeof(flips); f++) {
            file.data[i] ^= flips[f];
            if (vf_policy_chain_parse(file.data, file.len, "test", &chain, NULL) == VF_OK) {
                accepted++;
                assert_true(chain.nhashes <= good.nhashes);
                for (size_t h = 0; h < chain.nhashes; h++)
                    assert_memory_equal(chain.hashes[h].b, good.hashes[h].b, VF_HASH_LEN);
                /* Only a signature that is no longer known can have been touched. */
                assert_true(chain.has_pending);
                vf_policy_chain_done(&chain);
            }
            file.data[i] ^= flips[f];
        }
    assert_true(accepted < file.len);
    for (size_t len = 0; len < file.len; len++) {
        if (vf_policy_chain_parse(file.data, len, "test", &chain, NULL) != VF_OK)
            continue;
        for (size_t h = 0; h < chain.nhashes; h++)
            assert_memory_equal(chain.hashes[h].b, good.hashes[h].b, VF_HASH_LEN);
        assert_true(chain.nhashes < good.nhashes || !chain.has_pending);
        vf_policy_chain_done(&chain);
    }
    vf_policy_chain_done(&good);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threshold), cmocka_unit_test(test_rule),
        cmocka_unit_test(test_links),     cmocka_unit_test(test_other_vault),
        cmocka_unit_test(test_text),      cmocka_unit_test(test_bad_texts),
        cmocka_unit_test(test_mutation),  cmocka_unit_test(test_unknown_signature),
    };

    return cmocka_run_group_tests(tests, vault_set_up, vault_tear_down);
}
