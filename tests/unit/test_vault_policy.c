/* SPDX-License-Identifier: MIT */
/* Policies: chains, signatures, changes, installation. */
#include "../../vaultfs/vault/policy.h"
#include "vault_test.h"

#include "fakeclock.h"

/* ------------------------------------------------------------------------------------------------------------------- helpers */

static void chain_of(const struct vf_buf *file, struct vf_policy_chain *ret)
{
    OK(vf_policy_chain_parse(file->data, file->len, "test", ret, why));
}

static struct vf_buf bytes_of(const struct vf_policy_chain *chain)
{
    struct vf_buf out;

    vf_buf_init(&out, VF_POLICY_MAX);
    vf_buf_put(&out, chain->bytes, chain->len);
    return out;
}

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

static void sign(struct vf_buf *file, unsigned who)
{
    struct vf_policy_chain chain;
    struct vf_buf out;

    chain_of(file, &chain);
    vf_buf_init(&out, VF_POLICY_MAX);
    OK(vf_policy_chain_sign(&chain, admin[who], &out, why));
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
        sign(&file, sigs - 1);
        assert_int_equal(file.len, chain.len);
        assert_memory_equal(file.data, chain.bytes, chain.len);
        vf_policy_chain_done(&chain);
        if (sigs < 3)
            sign(&file, sigs);
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
    sign(&file, CAROL);
    chain_of(&file, &chain);
    assert_int_equal(chain.ruling, 1);
    assert_int_equal(chain.pending_new_sigs, 2);
    vf_policy_chain_done(&chain);
    sign(&file, ALICE);
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
    sign(&file, BOB);
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
    sign(&file, BOB);
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
    sign(&by_bob, BOB);
    sign(&by_carol, CAROL);
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
    sign(&stale, ALICE);
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
    sign(&first, BOB);
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
    sign(&other, ALICE);
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
    sign(&first, BOB);
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
    sign(&file, BOB);
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
    sign(&again, BOB);
    assert_int_equal(install_fails(&p, &again, ALICE), VF_E_REFUSED);
    sign(&third, BOB);
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
        cmocka_unit_test(test_threshold),     cmocka_unit_test(test_rule),
        cmocka_unit_test(test_links),         cmocka_unit_test(test_other_vault),
        cmocka_unit_test(test_text),          cmocka_unit_test(test_bad_texts),
        cmocka_unit_test(test_mutation),      cmocka_unit_test(test_unknown_signature),
        cmocka_unit_test(test_first_pending), cmocka_unit_test(test_signatures_add_up),
        cmocka_unit_test(test_members),       cmocka_unit_test(test_pending_rules_not),
        cmocka_unit_test(test_rekey),
    };

    return cmocka_run_group_tests(tests, vault_set_up, vault_tear_down);
}
