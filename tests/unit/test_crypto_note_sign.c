/* SPDX-License-Identifier: MIT */
#include "crypto_test.h"

#include "faults.h"

#include <errno.h>
#include <stdio.h>

#define DASH "\xe2\x80\x94 "
/* The example of c2sp.org/tlog-cosignature. */
#define SOFA_NOTE                                                                                         \
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"               \
    "\n" DASH "example.com/behind-the-sofa "                                                              \
    "Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n" DASH \
    "witness.example.com/w1 "                                                                             \
    "jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n"

/* --------------------------------------------------------------------------------------------------------------- verification */

#define THREE 3
struct signers {
    struct vf_identity *id[THREE];
    struct vf_note_key key[THREE];
};

static void signers_make(struct signers *s)
{
    static const char *const names[THREE] = {"alice", "bob", "carol"};

    for (size_t i = 0; i < THREE; i++) {
        OK(vf_identity_new(VF_ROLE_ADMIN, names[i], &s->id[i], NULL));
        vf_note_key_of(vf_identity_pub_get(s->id[i]), &s->key[i]);
        assert_string_equal(s->key[i].name, names[i]);
    }
}

static void signers_done(struct signers *s)
{
    for (size_t i = 0; i < THREE; i++)
        vf_identity_free(s->id[i]);
}
#define SIGNERS VF_CLEANUP(signers_done) struct signers

static void sign_by_all(const struct signers *s, const char *text, size_t n, struct vf_buf *ret)
{
    vf_buf_init(ret, VF_NOTE_MAX);
    OK(vf_note_sign(text, strlen(text), s->id[0], ret, NULL));
    for (size_t i = 1; i < n; i++) {
        struct vf_note note;
        struct vf_buf next;
        vf_buf_init(&next, VF_NOTE_MAX);
        OK(vf_note_parse(ret->data, ret->len, &note, NULL));
        OK(vf_note_cosign(&note, s->id[i], &next, NULL));
        vf_buf_done(ret);
        *ret = next;
    }
}

static void k_of_n(void **state)
{
    SIGNERS s = {0};
    VF_BUF b = {0};
    struct vf_note note;
    bool by[5];
    size_t count = 0;

    (void)state;
    signers_make(&s);
    sign_by_all(&s, "a grant\n", 2, &b);
    OK(vf_note_parse(b.data, b.len, &note, NULL));
    OK(vf_note_verify(&note, s.key, THREE, by, &count, NULL));
    assert_int_equal(count, 2);
    assert_true(by[0] && by[1] && !by[2]);
    OK(vf_note_verify(&note, s.key, 0, by, &count, NULL));
    assert_int_equal(count, 0);
    /* The same key under the same name in the list twice, and under another name that signs too: one person. */
    struct vf_note_key keys[3] = {s.key[0], s.key[0], s.key[0]};
    (void)snprintf(keys[2].name, sizeof(keys[2].name), "alias");
    OK(vf_note_verify(&note, keys, 3, by, &count, NULL));
    assert_int_equal(count, 1);
    assert_true(by[0] && by[1] && !by[2]);
    VF_BUF two = {.max = 10000};
    size_t len = 0;
    VF_FREE uint8_t *file = from_hex(V_ADMIN_FILE, &len);
    VF_IDENTITY fixed = NULL;
    OK(vf_identity_decode(file, len, NULL, &fixed, NULL));
    struct vf_seal_key alias;
    uint8_t seed[32];
    counting(seed, 0x11, 32); /* the seed of that file */
    assert_true(vf_seal_key_from_seed(seed, &alias));
    assert_memory_equal(alias.pub, vf_identity_pub_get(fixed)->sign, 32);
    VF_BUF one = {.max = 1000};
    VF_BUF other = {.max = 1000};
    struct vf_note a;
    struct vf_note c;
    OK(vf_note_sign("a grant\n", 8, fixed, &one, NULL));
    OK(vf_note_sign_seal("a grant\n", 8, "alias", &alias, &other, NULL));
    OK(vf_note_parse(one.data, one.len, &a, NULL));
    OK(vf_note_parse(other.data, other.len, &c, NULL));
    OK(vf_note_merge(&a, &c, &two, NULL));
    OK(vf_note_parse(two.data, two.len, &note, NULL));
    assert_int_equal(note.nsigs, 2);
    vf_note_key_of(vf_identity_pub_get(fixed), &keys[0]);
    keys[1] = keys[0];
    (void)snprintf(keys[1].name, sizeof(keys[1].name), "alias");
    OK(vf_note_verify(&note, keys, 2, by, &count, NULL));
    assert_true(by[0] && by[1]);
    assert_int_equal(count, 1);
}

/* Rewrite the one signature line of `note` with `raw` as its content. */
static void with_signature(const char *text, const char *name, const uint8_t *raw, size_t raw_len, struct vf_buf *out)
{
    vf_buf_reset(out);
    vf_buf_fmt(out, "%s\n" DASH "%s ", text, name);
    vf_base64_put(out, raw, raw_len);
    vf_buf_text(out, "\n");
}

static void false_signatures_reject_the_note(void **state)
{
    SIGNERS s = {0};
    VF_BUF b = {.max = 10000};
    VF_BUF out = {.max = 10000};
    struct vf_note note;
    bool by[THREE] = {true, true, true};
    size_t count = 7;
    uint8_t raw[4 + 64 + 8];

    (void)state;
    signers_make(&s);
    OK(vf_note_sign("a\n", 2, s.id[0], &b, NULL));
    OK(vf_note_parse(b.data, b.len, &note, NULL));
    vf_note_key_id("alice", 5, s.key[0].key, raw);
    memcpy(raw + 4, note.sigs[0].sig, 64);
    struct vf_note forged;
    for (size_t i = 4; i < 68; i++) {
        raw[i] ^= 0x08;
        with_signature("a\n", "alice", raw, 68, &out);
        OK(vf_note_parse(out.data, out.len, &forged, NULL));
        struct vf_why why = {0};
        assert_int_equal(vf_note_verify(&forged, s.key, THREE, by, &count, &why), VF_E_FORGED);
        assert_non_null(strstr(why.text, "alice"));
        assert_false(by[0] || by[1] || by[2]);
        raw[i] ^= 0x08;
    }
    assert_int_equal(count, 7);
    /* S + L: the same signature in another spelling (RFC 8032 forbids it). */
    static const uint8_t order[32] = {0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58,       0xd6,
                                      0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, [31] = 0x10};
    unsigned carry = 0;
    for (size_t i = 0; i < 32; i++) {
        carry += (unsigned)raw[36 + i] + order[i];
        raw[36 + i] = (uint8_t)carry;
        carry >>= 8;
    }
    with_signature("a\n", "alice", raw, 68, &out);
    OK(vf_note_parse(out.data, out.len, &forged, NULL));
    assert_int_equal(vf_note_verify(&forged, s.key, THREE, by, &count, NULL), VF_E_FORGED);
    /* Name and key id of a known key, but another length: false, not unknown. */
    with_signature("a\n", "alice", raw, 67, &out);
    OK(vf_note_parse(out.data, out.len, &forged, NULL));
    assert_int_equal(vf_note_verify(&forged, s.key, THREE, by, &count, NULL), VF_E_FORGED);
    with_signature("a\n", "alice", raw, 76, &out);
    OK(vf_note_parse(out.data, out.len, &forged, NULL));
    assert_int_equal(vf_note_verify(&forged, s.key, THREE, by, &count, NULL), VF_E_FORGED);
    /* Name alone, or key id alone: unknown, and ignored. */
    with_signature("a\n", "mallory", raw, 68, &out);
    OK(vf_note_parse(out.data, out.len, &forged, NULL));
    OK(vf_note_verify(&forged, s.key, THREE, by, &count, NULL));
    assert_int_equal(count, 0);
    raw[0] ^= 1;
    with_signature("a\n", "alice", raw, 68, &out);
    OK(vf_note_parse(out.data, out.len, &forged, NULL));
    OK(vf_note_verify(&forged, s.key, THREE, by, &count, NULL));
    assert_int_equal(count, 0);
    /* A good line of alice and a false one of bob: rejected; and a good and a false one of alice: rejected. */
    VF_BUF both = {.max = 10000};
    struct vf_note merged;
    memset(raw, 0x11, sizeof(raw));
    vf_note_key_id("bob", 3, s.key[1].key, raw);
    with_signature("a\n", "bob", raw, 68, &out);
    OK(vf_note_parse(out.data, out.len, &forged, NULL));
    OK(vf_note_merge(&note, &forged, &both, NULL));
    OK(vf_note_parse(both.data, both.len, &merged, NULL));
    assert_int_equal(vf_note_verify(&merged, s.key, THREE, by, &count, NULL), VF_E_FORGED);
    vf_buf_reset(&both);
    vf_note_key_id("alice", 5, s.key[0].key, raw);
    with_signature("a\n", "alice", raw, 68, &out);
    OK(vf_note_parse(out.data, out.len, &forged, NULL));
    OK(vf_note_merge(&note, &forged, &both, NULL));
    OK(vf_note_parse(both.data, both.len, &merged, NULL));
    assert_int_equal(merged.nsigs, 2);
    assert_int_equal(vf_note_verify(&merged, s.key, THREE, by, &count, NULL), VF_E_FORGED);
    VF_BUF more = {.max = 10000};
    assert_int_equal(vf_note_cosign(&forged, s.id[0], &more, NULL), VF_E_FORGED);
    assert_int_equal(more.len, 0);
}

/* Any change of a note: refused, or nobody's signature, or the very same text. */
static void a_note_changed_anywhere(void **state)
{
    static const uint8_t flips[] = {0x01, 0x02, 0x20, 0x80, 0xff};
    SIGNERS s = {0};
    VF_BUF b = {0};
    const char *text = "vaultfs grant v1\nprinter\n\nuntil 2026-11-28\n";

    (void)state;
    signers_make(&s);
    sign_by_all(&s, text, 2, &b);
    for (size_t i = 0; i < b.len; i++)
        for (size_t f = 0; f < sizeof(flips); f++) {
            struct vf_note note;
            bool by[THREE];
            size_t count = 0;
            b.data[i] ^= flips[f];
            if (vf_note_parse(b.data, b.len, &note, NULL) == VF_OK &&
                vf_note_verify(&note, s.key, THREE, by, &count, NULL) == VF_OK && count > 0) {
                assert_int_equal(note.text_len, strlen(text));
                assert_memory_equal(note.text, text, note.text_len);
                assert_true(count == 1); /* the other line now names somebody unknown */
            }
            b.data[i] ^= flips[f];
        }
    size_t line2 = b.len - (4 + 3 + 1 + 92 + 1);
    for (size_t cut = 0; cut < b.len; cut++) {
        struct vf_note note;
        enum vf_err err = vf_note_parse(b.data, cut, &note, NULL);
        assert_int_equal(err, cut == line2 ? VF_OK : VF_E_FORMAT);
    }
}

/* -------------------------------------------------------------------------------------------------------- cosign and merge */

static void cosigning_again_changes_nothing(void **state)
{
    SIGNERS s = {0};
    VF_BUF b = {0};
    VF_BUF again = {.max = 10000};
    struct vf_note note;

    (void)state;
    signers_make(&s);
    sign_by_all(&s, "a\n", 2, &b);
    OK(vf_note_parse(b.data, b.len, &note, NULL));
    OK(vf_note_cosign(&note, s.id[0], &again, NULL));
    assert_int_equal(again.len, b.len);
    assert_memory_equal(again.data, b.data, b.len);
}

static void merging_takes_each_line_once(void **state)
{
    SIGNERS s = {0};
    VF_BUF ab = {0};
    VF_BUF c = {.max = 10000};
    VF_BUF out = {.max = 10000};
    struct vf_note nab;
    struct vf_note nc;
    struct vf_note note;
    bool by[THREE];
    size_t count = 0;

    (void)state;
    signers_make(&s);
    sign_by_all(&s, "a\n", 2, &ab);
    OK(vf_note_sign("a\n", 2, s.id[2], &c, NULL));
    OK(vf_note_parse(ab.data, ab.len, &nab, NULL));
    OK(vf_note_parse(c.data, c.len, &nc, NULL));
    OK(vf_note_merge(&nab, &nc, &out, NULL));
    OK(vf_note_parse(out.data, out.len, &note, NULL));
    assert_int_equal(note.nsigs, 3);
    OK(vf_note_verify(&note, s.key, THREE, by, &count, NULL));
    assert_int_equal(count, 3);
    VF_BUF same = {.max = 10000};
    OK(vf_note_merge(&note, &nab, &same, NULL));
    assert_int_equal(same.len, out.len);
    assert_memory_equal(same.data, out.data, out.len);
    /* Another text, by a byte or in length. */
    VF_BUF d = {.max = 10000};
    struct vf_note nd;
    OK(vf_note_sign("b\n", 2, s.id[2], &d, NULL));
    OK(vf_note_parse(d.data, d.len, &nd, NULL));
    vf_buf_reset(&same);
    assert_int_equal(vf_note_merge(&nab, &nd, &same, NULL), VF_E_FORGED);
    vf_buf_reset(&d);
    OK(vf_note_sign("a\na\n", 4, s.id[2], &d, NULL));
    OK(vf_note_parse(d.data, d.len, &nd, NULL));
    assert_int_equal(vf_note_merge(&nab, &nd, &same, NULL), VF_E_FORGED);
    assert_int_equal(same.len, 0);
    /* Unknown kinds of signature travel along. */
    struct vf_note sofa;
    struct vf_note peter;
    OK(vf_note_parse(SOFA_NOTE, strlen(SOFA_NOTE), &sofa, NULL));
    VF_BUF part = {.max = 10000};
    vf_buf_put(&part, SOFA_NOTE, (size_t)(sofa.sigs[1].line - sofa.text));
    OK(vf_note_parse(part.data, part.len, &peter, NULL));
    assert_int_equal(peter.nsigs, 1);
    OK(vf_note_merge(&peter, &sofa, &same, NULL));
    assert_string_equal(vf_buf_cstr(&same), SOFA_NOTE);
}

static void seal_keys(void **state)
{
    static const uint8_t none[32];
    struct vf_seal_key a;
    struct vf_seal_key b;

    (void)state;
    vf_seal_key_new(&a);
    vf_seal_key_new(&b);
    assert_memory_not_equal(a.seed, b.seed, 32);
    assert_true(vf_seal_key_from_seed(a.seed, &b));
    assert_memory_equal(a.pub, b.pub, 32);
    assert_false(vf_seal_key_from_seed(none, &b));
    assert_memory_equal(a.pub, b.pub, 32);
    VF_BUF out = {.max = 1000};
    struct vf_note note;
    struct vf_note_key key = {.name = "log"};
    bool by = false;
    size_t count = 0;
    OK(vf_note_sign_seal("log\n1\n", 6, "log", &a, &out, NULL));
    OK(vf_note_parse(out.data, out.len, &note, NULL));
    memcpy(key.key, a.pub, 32);
    OK(vf_note_verify(&note, &key, 1, &by, &count, NULL));
    assert_int_equal(count, 1);
    vf_seal_key_new(&b);
    memcpy(key.key, b.pub, 32);
    OK(vf_note_verify(&note, &key, 1, &by, &count, NULL));
    assert_int_equal(count, 0);
}

static void every_allocation_may_fail(void **state)
{
    SIGNERS s = {0};
    VF_BUF b = {0};
    struct vf_note note;

    (void)state;
    signers_make(&s);
    sign_by_all(&s, "a\n", 1, &b);
    OK(vf_note_parse(b.data, b.len, &note, NULL));
    for (unsigned n = 1;; n++) {
        VF_BUF one = {.max = 10000};
        VF_BUF two = {.max = 10000};
        VF_BUF three = {.max = 10000};
        faults_arm(FAULT_MEMORY, n, ENOMEM);
        enum vf_err err = vf_note_sign("a\n", 2, s.id[1], &one, NULL);
        if (err == VF_OK)
            err = vf_note_cosign(&note, s.id[1], &two, NULL);
        if (err == VF_OK)
            err = vf_note_merge(&note, &note, &three, NULL);
        if (!faults_disarm()) {
            assert_int_equal(err, VF_OK);
            assert_true(n > 3);
            break;
        }
        assert_int_equal(err, VF_E_NOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(k_of_n),
        cmocka_unit_test(false_signatures_reject_the_note),
        cmocka_unit_test(a_note_changed_anywhere),
        cmocka_unit_test(cosigning_again_changes_nothing),
        cmocka_unit_test(merging_takes_each_line_once),
        cmocka_unit_test(seal_keys),
        cmocka_unit_test(every_allocation_may_fail),
    };

    return cmocka_run_group_tests_name("crypto note signing", tests, with_crypto, without_crypto);
}
