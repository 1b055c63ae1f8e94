/* SPDX-License-Identifier: MIT */
/* Origins, checkpoints, receipts: the notes of the log. */
#include "audit_test.h"

#include "../../vaultfs/audit/checkpoint.h"

#include <stdio.h>

#include "cmocka_std.h"

#define LINE "vaultfs.log/00112233445566778899aabbccddeeff"
#define ROOT "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=" /* of the empty tree */
#define TIME INT64_C(1795262400000000)

static const uint8_t seal_key[32] = {1, 2, 3, 4};

/* A parsed note around a text, with a signature line that nobody checks. */
static struct vf_note note_of(struct vf_buf *b, const char *text)
{
    struct vf_note note;

    vf_buf_init(b, 65536);
    vf_buf_text(b, text);
    vf_buf_text(b, "\n\xe2\x80\x94 x AAAAAAAAAAAA\n");
    OK(vf_note_parse(b->data, b->len, &note, WHY));
    return note;
}

static enum vf_err parse_origin(const char *text, struct vf_origin *ret)
{
    VF_BUF b = {0};
    struct vf_note note = note_of(&b, text);

    return vf_origin_parse(&note, ret, NULL);
}

static enum vf_err parse_checkpoint(const char *text, struct vf_checkpoint *ret)
{
    VF_BUF b = {0};
    struct vf_note note = note_of(&b, text);

    return vf_checkpoint_parse(&note, ret, NULL);
}

/* ------------------------------------------------------------------------------------------------------------------ origins */

#define ORIGIN                                                                                       \
    "vaultfs-log-v1\nlog " LINE "\nkind station\nowner press-1\ncreated 2026-11-21T12:00:00Z\nseal " \
    "AQIDBAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"

static void test_origin(void **state)
{
    static const char *const kinds[] = {"kind station\n", "kind vault\n", "kind desk\n"};
    struct vf_origin o;
    VF_BUF text = {0};

    (void)state;
    vf_buf_init(&text, 4096);
    vf_origin_put(LINE, VF_LOG_STATION, "press-1", TIME, seal_key, NULL, &text);
    assert_string_equal(vf_buf_cstr(&text), ORIGIN);
    OK(parse_origin(ORIGIN, &o));
    assert_string_equal(o.line, LINE);
    assert_string_equal(o.owner, "press-1");
    assert_true(o.kind == VF_LOG_STATION && o.created_us == TIME && !o.restored);
    assert_memory_equal(o.seal_key, seal_key, 32);
    for (int k = 0; k < 3; k++) {
        vf_buf_reset(&text);
        vf_origin_put(LINE, (enum vf_log_kind)k, "a", TIME, seal_key, NULL, &text);
        assert_non_null(strstr(vf_buf_cstr(&text), kinds[k]));
        OK(parse_origin(vf_buf_cstr(&text), &o));
        assert_int_equal(o.kind, k);
    }
}

static void test_origin_follows(void **state)
{
    struct vf_checkpoint c = {.origin = LINE, .size = 4711};
    struct vf_origin o;
    VF_BUF text = {0};

    (void)state;
    memset(c.root.b, 7, sizeof(c.root.b));
    vf_buf_init(&text, 4096);
    vf_origin_put(LINE, VF_LOG_VAULT, "a", TIME, seal_key, &c, &text);
    OK(parse_origin(vf_buf_cstr(&text), &o));
    assert_true(o.restored && o.follows.size == 4711);
    assert_string_equal(o.follows.origin, LINE);
    assert_memory_equal(o.follows.root.b, c.root.b, 32);
}

static const struct {
    const char *from, *to;
    enum vf_err err;
} bad_origins[] = {
    {"log-v1\n", "log-v2\n", VF_E_VERSION},
    {"log-v1\n", "log-v1 \n", VF_E_VERSION},
    {"vaultfs-log-v1\n", "", VF_E_VERSION},
    {"log vaultfs.log/0", "log vaultfs.log/", VF_E_FORMAT},
    {"log vaultfs.log/0", "log vaultfs.lug/0", VF_E_FORMAT},
    {"aabbccddeeff", "AABBCCDDEEFF", VF_E_FORMAT},
    {"aabbccddeeff\n", "aabbccddeeff0\n", VF_E_FORMAT},
    {"kind station\n", "kind printer\n", VF_E_FORMAT},
    {"kind station\n", "", VF_E_FORMAT},
    {"owner press-1", "owner Press", VF_E_FORMAT},
    {"owner press-1", "owner ", VF_E_FORMAT},
    {"created 2026", "created 20260", VF_E_FORMAT},
    {"12:00:00Z", "12:00:00.000000Z", VF_E_FORMAT},
    {"AQIDBA", "AQIDB", VF_E_FORMAT},
    {"AAA=\n", "AAB=\n", VF_E_FORMAT},
    {"AAA=\n", "AAA=\nmore\n", VF_E_FORMAT},
    {"AAA=\n", "AAA=\nfollows\n", VF_E_FORMAT},
    {"AAA=\n", "AAA=\nfollows " LINE " 1\n", VF_E_FORMAT},
    {"AAA=\n", "AAA=\nfollows " LINE " 01 " ROOT "\n", VF_E_FORMAT},
    {"AAA=\n", "AAA=\nfollows x 1 " ROOT "\n", VF_E_FORMAT},
    {"AAA=\n", "AAA=\nfollows " LINE " 1 " ROOT "x\n", VF_E_FORMAT},
    {"AAA=\n", "AAA=\nfollows " LINE " 1 " ROOT "\nfollows " LINE " 1 " ROOT "\n", VF_E_FORMAT},
};

static void test_origin_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(bad_origins) / sizeof(bad_origins[0]); i++) {
        char text[2048];
        struct vf_origin o;
        const char *at = strstr(ORIGIN, bad_origins[i].from);
        assert_non_null(at);
        (void)snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - ORIGIN), ORIGIN, bad_origins[i].to,
                       at + strlen(bad_origins[i].from));
        if (parse_origin(text, &o) != bad_origins[i].err)
            fail_msg("%s -> %s", bad_origins[i].from, bad_origins[i].to);
    }
}

/* -------------------------------------------------------------------------------------------------------------- checkpoints */

static void test_checkpoint(void **state)
{
    struct vf_checkpoint c;
    VF_BUF text = {0};

    (void)state;
    OK(parse_checkpoint(LINE "\n0\n" ROOT "\n", &c));
    assert_string_equal(c.origin, LINE);
    assert_true(c.size == 0);
    vf_buf_init(&text, 1000);
    vf_checkpoint_put(c.origin, c.size, &c.root, &text);
    assert_string_equal(vf_buf_cstr(&text), LINE "\n0\n" ROOT "\n");
    /* Of somebody else's log, with extension lines: the text is what counts. */
    OK(parse_checkpoint("go.sum database tree\n9223372036854775807\n" ROOT "\nextension\nand more\n", &c));
    assert_true(c.size == INT64_MAX);
    assert_string_equal(c.origin, "go.sum database tree");
}

static void test_checkpoint_refused(void **state)
{
    static const char *const bad[] = {
        "\n0\n" ROOT "\n",
        LINE "\n",
        LINE "\n1\n",
        LINE "\n01\n" ROOT "\n",
        LINE "\n-1\n" ROOT "\n",
        LINE "\n+1\n" ROOT "\n",
        LINE "\n9223372036854775808\n" ROOT "\n",
        LINE "\n1\n" ROOT "=\n",
        LINE "\n1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFV=\n",
        LINE "\n1\n47DEQpj8HBSa\n",
        LINE "\n1 \n" ROOT "\n",
        "0\n" LINE "\n" ROOT "\n",
        LINE "\n1\n" ROOT "\n\nx\n",
        "a line that is longer than a hundred and twenty-seven characters has no place in the origin of a checkpoint of "
        "ours, since no log "
        "of ours has one\n1\n" ROOT "\n",
    };
    struct vf_checkpoint c;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (parse_checkpoint(bad[i], &c) != VF_E_FORMAT)
            fail_msg("accepted: %s", bad[i]);
}

/* A record of the file: signed by the seal key under the log's name; torn forms of it are known as such, changed ones are not. */
static void test_record(void **state)
{
    struct vf_seal_key key;
    struct vf_note_key pub = {.name = LINE};
    struct vf_checkpoint c;
    struct vf_note note;
    struct vf_hash root;
    bool by = false;
    size_t n = 0;
    VF_BUF out = {0};

    (void)state;
    vf_seal_key_new(&key);
    memcpy(pub.key, key.pub, 32);
    vf_sha256("", 0, &root);
    vf_buf_init(&out, 4096);
    OK(vf_checkpoint_record(LINE, 12345, &root, &key, &out, WHY));
    assert_memory_equal(out.data + out.len - 2, "\n\n", 2);
    OK(vf_note_parse(out.data, out.len - 1, &note, WHY));
    OK(vf_note_verify(&note, &pub, 1, &by, &n, WHY));
    assert_true(by && n == 1 && note.nsigs == 1);
    OK(vf_checkpoint_parse(&note, &c, WHY));
    assert_true(c.size == 12345);
    const char *text = (const char *)out.data;
    for (size_t len = 0; len < out.len; len++)
        assert_true(vf_record_torn(text, len, LINE));
    assert_false(vf_record_torn(text, out.len, LINE));
    unsigned same = 0;
    for (size_t at = 0; at + 1 < out.len; at++) {
        uint8_t was = out.data[at];
        out.data[at] = '\n' == was ? 'x' : '\n';
        same += vf_record_torn(text, out.len - 1, LINE) ? 1 : 0;
        out.data[at] = was;
    }
    assert_int_equal(same, 0);
}

/* ----------------------------------------------------------------------------------------------------------------- receipts */

static void make_checkpoint(struct vf_buf *out, struct vf_note *note)
{
    struct vf_seal_key key;
    struct vf_hash root;

    vf_seal_key_new(&key);
    vf_sha256("", 0, &root);
    vf_buf_init(out, 4096);
    OK(vf_checkpoint_record(LINE, 99, &root, &key, out, WHY));
    OK(vf_note_parse(out->data, out->len - 1, note, WHY));
}

static void test_receipt(void **state)
{
    struct vf_identity *by[3] = {0};
    struct vf_note_key keys[3];
    struct vf_checkpoint c;
    struct vf_note note;
    struct vf_note receipt;
    int64_t when = 0;
    VF_BUF cp = {0};

    (void)state;
    OK(vf_identity_new(VF_ROLE_DESK, "desk", &by[0], WHY));
    OK(vf_identity_new(VF_ROLE_ADMIN, "alice", &by[1], WHY));
    OK(vf_identity_new(VF_ROLE_ADMIN, "bob", &by[2], WHY));
    for (int i = 0; i < 3; i++)
        vf_note_cosigner_key_of(vf_identity_pub_get(by[i]), &keys[i]);
    /* A desk cosigns with the key that it has for that alone. */
    assert_memory_equal(keys[0].key, vf_identity_pub_get(by[0])->cosign, 32);
    assert_memory_equal(keys[1].key, vf_identity_pub_get(by[1])->sign, 32);
    make_checkpoint(&cp, &note);
    for (int i = 0; i < 3; i++) {
        VF_BUF out = {0};
        vf_buf_init(&out, 8192);
        OK(vf_receipt_make(&note, by[i], TIME + 999999, &out, WHY));
        assert_memory_equal(out.data, cp.data, cp.len - 1); /* the checkpoint as it was, and one line */
        OK(vf_note_parse(out.data, out.len, &receipt, WHY));
        assert_int_equal(receipt.nsigs, 2);
        OK(vf_receipt_verify(&receipt, &keys[i], 1, &c, &when, WHY));
        assert_true(c.size == 99 && when == TIME);
        assert_int_equal(vf_receipt_verify(&receipt, &keys[(i + 1) % 3], 1, &c, &when, NULL), VF_E_UNSIGNED);
        assert_int_equal(vf_receipt_verify(&note, keys, 3, &c, &when, NULL), VF_E_UNSIGNED);
        OK(vf_receipt_verify(&receipt, keys, 3, &c, &when, WHY));
        /* The same key under another name is another signer; another key under the same name too. */
        struct vf_note_key other = keys[i];
        other.name[0] ^= 1;
        assert_int_equal(vf_receipt_verify(&receipt, &other, 1, &c, &when, NULL), VF_E_UNSIGNED);
        other = keys[i];
        other.key[0] ^= 1;
        assert_int_equal(vf_receipt_verify(&receipt, &other, 1, &c, &when, NULL), VF_E_UNSIGNED);
        /* What signs notes does not cosign: as a signature of type 1 the line is unknown. */
        bool signed_by = false;
        size_t n = 0;
        OK(vf_note_verify(&receipt, &keys[i], 1, &signed_by, &n, WHY));
        assert_int_equal(n, 0);
    }
    assert_int_equal(vf_receipt_make(&note, by[0], -1, &cp, NULL), VF_E_INPUT);
    for (int i = 0; i < 3; i++)
        vf_identity_free(by[i]);
}

/* Every byte of a receipt changed: never accepted with another content or time, and the desk's line with a wrong time is forged. */
static void test_receipt_mutations(void **state)
{
    struct vf_identity *desk = NULL;
    struct vf_note_key key;
    struct vf_checkpoint c;
    struct vf_note note;
    int64_t when = 0;
    unsigned forged = 0;
    VF_BUF cp = {0};
    VF_BUF out = {0};

    (void)state;
    OK(vf_identity_new(VF_ROLE_DESK, "desk", &desk, WHY));
    vf_note_cosigner_key_of(vf_identity_pub_get(desk), &key);
    make_checkpoint(&cp, &note);
    vf_buf_init(&out, 8192);
    OK(vf_receipt_make(&note, desk, TIME, &out, WHY));
    size_t first_line_end = cp.len - 1; /* the log's own signature line: not the receipt's business */
    size_t text_end = (size_t)((char *)memmem(out.data, out.len, "\n\n", 2) - (char *)out.data);
    for (size_t at = 0; at < out.len; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            out.data[at] ^= (uint8_t)(1u << bit);
            enum vf_err err = vf_note_parse(out.data, out.len, &note, NULL);
            if (err == VF_OK)
                err = vf_receipt_verify(&note, &key, 1, &c, &when, NULL);
            if (at <= text_end || at >= first_line_end)
                assert_true(err == VF_E_FORMAT || err == VF_E_FORGED || err == VF_E_UNSIGNED);
            forged += err == VF_E_FORGED ? 1 : 0;
            out.data[at] ^= (uint8_t)(1u << bit);
        }
    }
    assert_true(forged > 500);
    vf_identity_free(desk);
}

/*
 * A cosignature of known keys, made by PyNaCl (Ed25519 seed 00 01 … 1f, name "desk", time 1795262400):
 *   text = LINE + "\n0\n" + ROOT + "\n"
 *   id = sha256(b"desk\n\x04" + pub)[:4]; sig = sign(b"cosignature/v1\ntime 1795262400\n" + text)
 *   base64(id + time.to_bytes(8, "big") + sig)
 */
static void test_cosignature_vector(void **state)
{
    static const uint8_t pub[32] = {0x03, 0xa1, 0x07, 0xbf, 0xf3, 0xce, 0x10, 0xbe, 0x1d, 0x70, 0xdd,
                                    0x18, 0xe7, 0x4b, 0xc0, 0x99, 0x67, 0xe4, 0xd6, 0x30, 0x9b, 0xa5,
                                    0x0d, 0x5f, 0x1d, 0xdc, 0x86, 0x64, 0x12, 0x55, 0x31, 0xb8};
    static const char receipt[] =
        LINE "\n0\n" ROOT "\n\n\xe2\x80\x94 desk "
             "NQfVJgAAAABrAYfAhWo6yqSIAPZUS7mWwr7kwhhwdHfAtkpiTsHtF1ZeXRu6yVpmNEvQVcClFdIrVUs8a+TxWK33Zkuii93q70CwBQ==\n";
    struct vf_note_key key = {.name = "desk"};
    struct vf_checkpoint c;
    struct vf_note note;
    int64_t when = 0;

    (void)state;
    memcpy(key.key, pub, 32);
    OK(vf_note_parse(receipt, sizeof(receipt) - 1, &note, WHY));
    OK(vf_receipt_verify(&note, &key, 1, &c, &when, WHY));
    assert_true(when == TIME && c.size == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_origin),
        cmocka_unit_test(test_origin_follows),
        cmocka_unit_test(test_origin_refused),
        cmocka_unit_test(test_checkpoint),
        cmocka_unit_test(test_checkpoint_refused),
        cmocka_unit_test(test_record),
        cmocka_unit_test(test_receipt),
        cmocka_unit_test(test_receipt_mutations),
        cmocka_unit_test(test_cosignature_vector),
    };

    return cmocka_run_group_tests(tests, audit_set_up, audit_tear_down);
}
