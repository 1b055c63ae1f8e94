/* SPDX-License-Identifier: MIT */
#include "crypto_test.h"

#include <sodium.h>
#include <stdio.h>

#define DASH "\xe2\x80\x94 "

/* The example of golang.org/x/mod/sumdb/note, which every implementation of signed notes is checked with. */
#define PETER_TEXT                                               \
    "If you think cryptography is the answer to your problem,\n" \
    "then you don't know what your problem is.\n"
#define PETER_SIG  "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
#define PETER_NOTE PETER_TEXT "\n" DASH "PeterNeumann " PETER_SIG "\n"
#define PETER_KEY  "ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW" /* type 0x01 || public key */
#define PETER_SEED "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"

/* The examples of c2sp.org/signed-note and c2sp.org/tlog-cosignature. */
#define OGNI_NOTE                            \
    "Ognuno sta solo sul cuor della terra\n" \
    "trafitto da un raggio di sole:\n"       \
    "\n"                                     \
    "\xc3\xa8"                               \
    "d \xc3\xa8 subito sera.\n"              \
    "\n" DASH "quasimodo.example/salvatore " \
    "NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n"
#define SOFA_NOTE                                                                                         \
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"               \
    "\n" DASH "example.com/behind-the-sofa "                                                              \
    "Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n" DASH \
    "witness.example.com/w1 "                                                                             \
    "jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n"

static struct vf_note_key key_of(const char *name, const char *type_and_key)
{
    struct vf_note_key key = {0};
    uint8_t raw[33];

    (void)snprintf(key.name, sizeof(key.name), "%s", name);
    assert_true(vf_base64_get(type_and_key, strlen(type_and_key), raw, sizeof(raw)));
    assert_int_equal(raw[0], 1);
    memcpy(key.key, raw + 1, 32);
    return key;
}

static enum vf_err parse(const char *text, struct vf_note *ret)
{
    return vf_note_parse(text, strlen(text), ret, NULL);
}

/* ------------------------------------------------------------------------------------------------------------ known answers */

/* RFC 8032 section 7.1, tests 1 to 3. */
static void ed25519_known_answers(void **state)
{
    static const struct {
        const char *seed;
        const char *pub;
        const char *msg;
        const char *sig;
    } rfc8032[] = {
        {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
         "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
         "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe2465"
         "5141438e7a"
         "100b"},
        {"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
         "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
         "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb0"
         "0d291612bb"
         "0c00"},
        {"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
         "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
         "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc0"
         "27beceea1e"
         "c40a"},
    };

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        size_t n = 0;
        VF_FREE uint8_t *seed = from_hex(rfc8032[i].seed, &n);
        size_t msg_len = 0;
        VF_FREE uint8_t *msg = from_hex(rfc8032[i].msg, &msg_len);
        struct vf_seal_key key;
        uint8_t secret[64];
        uint8_t sig[64];
        assert_true(vf_seal_key_from_seed(seed, &key));
        assert_hex(key.pub, 32, rfc8032[i].pub);
        memcpy(secret, key.seed, 32);
        memcpy(secret + 32, key.pub, 32);
        (void)crypto_sign_detached(sig, NULL, msg, msg_len, secret);
        assert_hex(sig, 64, rfc8032[i].sig);
    }
}

static void the_go_example(void **state)
{
    struct vf_note_key key = key_of("PeterNeumann", PETER_KEY);
    struct vf_note note;
    struct vf_seal_key seal;
    uint8_t raw[33];
    uint8_t id[4];
    bool by = false;
    size_t count = 9;

    (void)state;
    vf_note_key_id("PeterNeumann", 12, key.key, id);
    assert_hex(id, 4, "c74f20a3");
    OK(parse(PETER_NOTE, &note));
    assert_int_equal(note.text_len, strlen(PETER_TEXT));
    assert_int_equal(note.total_len, strlen(PETER_NOTE));
    assert_int_equal(note.nsigs, 1);
    assert_int_equal(note.sigs[0].name_len, 12);
    assert_true(note.sigs[0].ed25519);
    OK(vf_note_verify(&note, &key, 1, &by, &count, NULL));
    assert_true(by);
    assert_int_equal(count, 1);
    /* And written byte for byte: Ed25519 is deterministic. */
    assert_true(vf_base64_get(PETER_SEED, strlen(PETER_SEED), raw, sizeof(raw)));
    assert_true(vf_seal_key_from_seed(raw + 1, &seal));
    VF_BUF out = {.max = 1000};
    OK(vf_note_sign_seal(PETER_TEXT, strlen(PETER_TEXT), "PeterNeumann", &seal, &out, NULL));
    assert_string_equal(vf_buf_cstr(&out), PETER_NOTE);
}

static void the_note_of_the_second_implementation(void **state)
{
    size_t len = 0;
    VF_FREE uint8_t *file = from_hex(V_ADMIN_FILE, &len);
    VF_IDENTITY id = NULL;
    struct vf_note note;
    VF_BUF out = {.max = 1000};

    (void)state;
    OK(vf_identity_decode(file, len, NULL, &id, NULL));
    OK(parse(V_NOTE, &note));
    assert_int_equal(note.text_len, 26);
    OK(vf_note_sign(note.text, note.text_len, id, &out, NULL));
    assert_string_equal(vf_buf_cstr(&out), V_NOTE);
}

static void the_c2sp_examples(void **state)
{
    struct vf_note note;

    (void)state;
    OK(parse(OGNI_NOTE, &note));
    assert_int_equal(note.nsigs, 1);
    assert_memory_equal(note.text + note.text_len - 6, "sera.\n", 6);
    assert_hex(note.sigs[0].id, 4, "367ba04b");
    OK(parse(SOFA_NOTE, &note));
    assert_int_equal(note.nsigs, 2);
    assert_true(note.sigs[0].ed25519);
    assert_false(note.sigs[1].ed25519); /* a cosignature: time and signature */
    assert_hex(note.sigs[1].id, 4, "8d66cf3f");
    assert_true(is_zero(note.sigs[1].sig, 64));
    bool by = true;
    size_t count = 9;
    struct vf_note_key stranger = key_of("PeterNeumann", PETER_KEY);
    OK(vf_note_verify(&note, &stranger, 1, &by, &count, NULL));
    assert_false(by);
    assert_int_equal(count, 0);
}

/* ------------------------------------------------------------------------------------------------------------------- parsing */

static void malformed_notes_are_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "\n",
        "\n\n",
        "text\n",
        "text\n\n",
        PETER_TEXT "\n",
        PETER_TEXT DASH "PeterNeumann " PETER_SIG "\n",                  /* no empty line */
        PETER_TEXT "\n" DASH "PeterNeumann " PETER_SIG,                  /* no last newline */
        PETER_TEXT "\n" DASH "PeterNeumann " PETER_SIG "\n\n",           /* an empty line behind */
        PETER_TEXT "\n" DASH "PeterNeumann " PETER_SIG "\nmore\n",       /* a line that is no signature */
        PETER_TEXT "\n" DASH "PeterNeumann " PETER_SIG " \n",            /* a space behind */
        PETER_TEXT "\n" DASH "PeterNeumann  " PETER_SIG "\n",            /* two spaces */
        PETER_TEXT "\n" DASH " " PETER_SIG "\n",                         /* no name */
        PETER_TEXT "\n" DASH "PeterNeumann\n",                           /* no signature */
        PETER_TEXT "\n" DASH "PeterNeumann \n",                          /* an empty one */
        PETER_TEXT "\n" DASH "PeterNeumann x08gow==\n",                  /* a key id alone */
        PETER_TEXT "\n" DASH "PeterNeumann x08go_ZJ\n",                  /* base64 of another alphabet */
        PETER_TEXT "\n" DASH "Peter+Neumann " PETER_SIG "\n",            /* '+' */
        PETER_TEXT "\n" DASH "Peter\xc2\xa0Neumann " PETER_SIG "\n",     /* U+00A0 */
        PETER_TEXT "\n" DASH "Peter\xe3\x80\x80Neumann " PETER_SIG "\n", /* U+3000 */
        PETER_TEXT "\n" DASH "Peter\xe2\x80\x83Neumann " PETER_SIG "\n", /* U+2003 */
        PETER_TEXT "\n" DASH "Peter\xe1\x9a\x80Neumann " PETER_SIG "\n", /* U+1680 */
        PETER_TEXT "\n" DASH "Peter\xffNeumann " PETER_SIG "\n",         /* no UTF-8 */
        PETER_TEXT "\n" DASH "Peter\tNeumann " PETER_SIG "\n",           /* a tabulator */
        PETER_TEXT "\n- PeterNeumann " PETER_SIG "\n",                   /* a hyphen */
        PETER_TEXT "\n\xe2\x80\x93 PeterNeumann " PETER_SIG "\n",        /* an en dash */
        PETER_TEXT "\n\xe2\x80\x94PeterNeumann " PETER_SIG "\n",         /* no space */
        "a\ttab\n\n" DASH "PeterNeumann " PETER_SIG "\n",                /* control characters in the text */
        "a\r\n\n" DASH "PeterNeumann " PETER_SIG "\n",                   /* */
        "a\x1b[2J\n\n" DASH "PeterNeumann " PETER_SIG "\n",              /* */
        "a\x7f\n\n" DASH "PeterNeumann " PETER_SIG "\n",                 /* */
        "no UTF-8 \xc3\x28\n\n" DASH "PeterNeumann " PETER_SIG "\n",     /* */
        "paid \xe2\x80\xae 001\n\n" DASH "PeterNeumann " PETER_SIG "\n", /* shown from right to left */
        "\n\n\n" DASH "PeterNeumann " PETER_SIG "\n" DASH "\n",          /* */
    };
    struct vf_note note;
    size_t len = strlen(PETER_NOTE);
    char zero[sizeof(PETER_NOTE)];

    (void)state;
    memset(&note, 0x5a, sizeof(note));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct vf_why why = {0};
        assert_int_equal(vf_note_parse(bad[i], strlen(bad[i]), &note, &why), VF_E_FORMAT);
        assert_int_equal(why.err, VF_E_FORMAT);
    }
    assert_int_equal(vf_note_parse(NULL, 0, &note, NULL), VF_E_FORMAT);
    memcpy(zero, PETER_NOTE, len);
    zero[10] = '\0';
    assert_int_equal(vf_note_parse(zero, len, &note, NULL), VF_E_FORMAT);
    assert_int_equal(((uint8_t *)&note)[0], 0x5a);
}

static void texts_of_odd_shape(void **state)
{
    static const char *const texts[] = {
        "\n", "\n\n", "a\n", "a\n\n", "\n\na\n\n\n\nb\n", DASH "bob " PETER_SIG "\n", "a\n\n" DASH "bob " PETER_SIG "\n",
    };
    VF_IDENTITY id = NULL;

    (void)state;
    OK(vf_identity_new(VF_ROLE_ADMIN, "alice", &id, NULL));
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        VF_BUF out = {.max = 10000};
        struct vf_note note;
        struct vf_note_key key;
        bool by = false;
        size_t count = 0;
        OK(vf_note_sign(texts[i], strlen(texts[i]), id, &out, NULL));
        OK(vf_note_parse(out.data, out.len, &note, NULL));
        assert_int_equal(note.text_len, strlen(texts[i]));
        assert_memory_equal(note.text, texts[i], note.text_len);
        assert_int_equal(note.nsigs, 1);
        vf_note_key_of(vf_identity_pub_get(id), &key);
        OK(vf_note_verify(&note, &key, 1, &by, &count, NULL));
        assert_int_equal(count, 1);
    }
    static const char *const bad[] = {"", "a", "a\nb", "a\tb\n", "a\r\n", "\xc3\x28\n", "\xe2\x80\xae\n", "\xc2\x85\n"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        VF_BUF out = {.max = 1000};
        assert_int_equal(vf_note_sign(bad[i], strlen(bad[i]), id, &out, NULL), VF_E_INPUT);
        assert_int_equal(out.len, 0);
    }
}

static void names_to_sign_with(void **state)
{
    static const char *const bad[] = {"", " ", "a b", "a+b", "a\n", "a\xc2\x85", "a\xe2\x80\xa8", "\xff"};
    struct vf_seal_key key;
    char name[300];

    (void)state;
    vf_seal_key_new(&key);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        VF_BUF out = {.max = 1000};
        assert_int_equal(vf_note_sign_seal("a\n", 2, bad[i], &key, &out, NULL), VF_E_INPUT);
        assert_int_equal(out.len, 0);
    }
    for (size_t len = 255; len <= 256; len++) {
        VF_BUF out = {.max = 1000};
        memset(name, 'n', len);
        name[len] = '\0';
        enum vf_err err = vf_note_sign_seal("a\n", 2, name, &key, &out, NULL);
        assert_int_equal(err, len == 255 ? VF_OK : VF_E_INPUT);
    }
    static const char *const good[] = {"example.com/log-1", "Wachtmeister/\xc3\x84", "a\xe2\x80\x94z", "\xe2\x9c\x93"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        VF_BUF out = {.max = 1000};
        struct vf_note note;
        OK(vf_note_sign_seal("a\n", 2, good[i], &key, &out, NULL));
        OK(vf_note_parse(out.data, out.len, &note, NULL));
        assert_int_equal(note.sigs[0].name_len, strlen(good[i]));
    }
}

static void limits(void **state)
{
    VF_IDENTITY id = NULL;
    struct vf_note note;
    struct vf_note note2;
    VF_BUF big = {.max = 2 * VF_NOTE_MAX};

    (void)state;
    OK(vf_identity_new(VF_ROLE_ADMIN, "alice", &id, NULL));
    size_t sig = 4 + 5 + 1 + 92 + 1;
    size_t most = VF_NOTE_MAX - 1 - sig;
    VF_FREE char *text = malloc(VF_NOTE_MAX + 2);
    assert_non_null(text);
    memset(text, 'x', VF_NOTE_MAX + 2);
    text[most - 1] = '\n';
    OK(vf_note_sign(text, most, id, &big, NULL));
    assert_int_equal(big.len, VF_NOTE_MAX);
    OK(vf_note_parse(big.data, big.len, &note, NULL));
    /* Full: no second signature fits. */
    VF_IDENTITY other = NULL;
    VF_BUF out = {.max = 2 * VF_NOTE_MAX};
    OK(vf_identity_new(VF_ROLE_ADMIN, "b", &other, NULL));
    assert_int_equal(vf_note_cosign(&note, other, &out, NULL), VF_E_LIMIT);
    assert_int_equal(out.len, 0);
    text[most - 1] = 'x';
    text[most] = '\n';
    assert_int_equal(vf_note_sign(text, most + 1, id, &out, NULL), VF_E_LIMIT);
    memset(text, 'x', VF_NOTE_MAX + 1);
    text[VF_NOTE_MAX + 1] = '\n';
    assert_int_equal(vf_note_sign(text, VF_NOTE_MAX + 2, id, &out, NULL), VF_E_LIMIT);
    vf_buf_put(&big, "x", 1);
    assert_int_equal(vf_note_parse(big.data, big.len, &note, NULL), VF_E_LIMIT);

    VF_BUF many = {.max = VF_NOTE_MAX};
    vf_buf_text(&many, "a\n\n");
    for (unsigned i = 0; i < VF_NOTE_SIGS_MAX; i++)
        vf_buf_fmt(&many, DASH "n%u " PETER_SIG "\n", i);
    OK(vf_note_parse(many.data, many.len, &note, NULL));
    assert_int_equal(note.nsigs, VF_NOTE_SIGS_MAX);
    assert_int_equal(vf_note_cosign(&note, id, &out, NULL), VF_E_LIMIT);
    VF_BUF one = {.max = 1000};
    OK(vf_note_sign("a\n", 2, id, &one, NULL));
    OK(vf_note_parse(one.data, one.len, &note2, NULL));
    assert_int_equal(vf_note_merge(&note, &note2, &out, NULL), VF_E_LIMIT);
    assert_int_equal(out.len, 0);
    vf_buf_text(&many, DASH "last " PETER_SIG "\n");
    assert_int_equal(vf_note_parse(many.data, many.len, &note, NULL), VF_E_LIMIT);
    VF_BUF tight = {.max = 50};
    assert_int_equal(vf_note_sign("a\n", 2, id, &tight, NULL), VF_E_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ed25519_known_answers),
        cmocka_unit_test(the_go_example),
        cmocka_unit_test(the_note_of_the_second_implementation),
        cmocka_unit_test(the_c2sp_examples),
        cmocka_unit_test(malformed_notes_are_refused),
        cmocka_unit_test(texts_of_odd_shape),
        cmocka_unit_test(names_to_sign_with),
        cmocka_unit_test(limits),
    };

    return cmocka_run_group_tests_name("crypto note", tests, with_crypto, without_crypto);
}
