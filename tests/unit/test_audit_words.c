/* SPDX-License-Identifier: MIT */
/* Entries in words, JSON and CSV: nothing that an attacker put into a log moves a cursor or runs in a spreadsheet. */
#include "../../keytool/audit.h"
#include "audit_test.h"

#include "../../vaultfs/audit/entry.h"

#include "cmocka_std.h"

static struct vf_buf out;

/* A line as the writer makes it, and its view. */
static struct vf_entry_view view_of(const struct vf_entry *e, struct vf_entry_lines *lines)
{
    static const uint8_t nonce[16];
    static const uint8_t key[32];
    VF_ENTRY_BODY body = {.split = 0};
    struct vf_entry_view v;
    VF_BUF where = {0};

    vf_buf_init(&where, 8192);
    vf_entry_origin_put("=host", "00112233445566778899aabbccddeeff", &where);
    OK(vf_entry_body_make(e, e->event == VF_EVENT_SEAL ? key : NULL, &body, WHY));
    lines->len = 0;
    assert_true(vf_entry_lines_add(lines, 7, INT64_C(1795262400000000), &body, &where, nonce));
    OK(vf_entry_parse(lines->data, lines->len - 1, &v, WHY));
    return v;
}

static const char *words(const struct vf_entry *e, const char *ref)
{
    static struct vf_entry_lines lines;
    struct vf_entry_view v = view_of(e, &lines);

    vf_buf_reset(&out);
    kt_entry_text(&v, ref, false, "", &out);
    assert_true(out.len > 0 && out.data[out.len - 1] == '\n' && vf_text_printable((const char *)out.data, out.len - 1));
    return vf_buf_cstr(&out);
}

static const char *csv(const struct vf_entry *e)
{
    static struct vf_entry_lines lines;
    struct vf_entry_view v = view_of(e, &lines);

    vf_buf_reset(&out);
    kt_entry_csv(&v, true, &out);
    return vf_buf_cstr(&out);
}

static void test_sentences(void **state)
{
    static const struct vf_grant_id grant = {"ABCDEFGHIJKLMNOP"};
    static const struct vf_hash manifest = {{1}};
    struct vf_ref refs[6];
    struct vf_entry e = audit_entry(1, &refs[0]);

    (void)state;
    assert_string_equal(words(&e, NULL),
                        "       7  2026-11-21 12:00:00 UTC  opened photo of record AAAAAAAB, job warrant-cards-2026, grant "
                        "ABCDEFGHIJKLMNOP, for press-1; by uid 1000, /usr/bin/cardpress (process 4242)\n");
    for (unsigned i = 1; i < 6; i++)
        (void)audit_entry(i + 1, &refs[i]);
    e.nrefs = 6;
    assert_non_null(strstr(words(&e, NULL), "records AAAAAAAB, AAAAAAAC, AAAAAAAD, AAAAAAAE and 2 more, job"));
    assert_non_null(strstr(words(&e, "AAAAAAAG"), "records AAAAAAAG and 5 more, job"));
    e = (struct vf_entry){.event = VF_EVENT_OPEN,
                          .grant = &grant,
                          .all = &manifest,
                          .part = VF_PART_TEXT,
                          .has_count = true,
                          .count = 9,
                          .result = "ok"};
    assert_non_null(strstr(words(&e, NULL), "opened text of every record of grant ABCDEFGHIJKLMNOP (9 records)\n"));
    assert_non_null(strstr(words(&e, "AAAAAAAG"), "(9 records), so AAAAAAAG if that grant has it\n"));
    e = (struct vf_entry){
        .event = VF_EVENT_DENY, .part = -1, .has_count = true, .count = 12, .exe = "unknown", .result = "EKEYEXPIRED"};
    assert_non_null(strstr(words(&e, NULL), "refused, 12 times; program unknown; EKEYEXPIRED: the grant has ended\n"));
    e = (struct vf_entry){.event = VF_EVENT_CLOCK, .part = -1, .has_count = true, .count = 1, .result = "back"};
    assert_non_null(strstr(words(&e, NULL), "clock moved back by 1 second\n"));
    e = (struct vf_entry){.event = VF_EVENT_GAP, .part = -1, .has_count = true, .count = 3, .result = "ENOSPC"};
    assert_non_null(strstr(words(&e, NULL), "entries lost or refused, 3 entries; ENOSPC: the log could not be written\n"));
    /* A hash is cut; a long name is not. */
    e = (struct vf_entry){.event = VF_EVENT_IMPORT,
                          .part = -1,
                          .object = "sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff rows 4",
                          .result = "ok"};
    assert_non_null(strstr(words(&e, NULL), "imported a file whose SHA-256 begins with 00112233: rows 4\n"));
    for (unsigned i = 0; i < VF_EVENT_COUNT; i++) {
        e = (struct vf_entry){.event = (enum vf_event)i, .part = -1, .result = "ok"};
        assert_true(strlen(words(&e, NULL)) > 40);
    }
}

/* What an attacker would like the terminal or the spreadsheet to do. */
static void test_hostile(void **state)
{
    static const char *const bad[] = {
        "\x1b[2Jgone",    "a\rb",         "\x1b]0;title\x07", "a\nb,\"c\"",  "\xe2\x80\xaetxt.exe",
        "\xc2\x9b\0631m", "\x7f\x08\x08", "\xff\xfe",         "a\\u001b[0m", "\xe2\x80\xa8line"};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        static struct vf_entry_lines lines;
        struct vf_entry e = {
            .event = VF_EVENT_RECEIVE, .part = -1, .object = bad[i], .exe = bad[i], .recipient = bad[i], .result = bad[i]};
        static const uint8_t nonce[16];
        VF_ENTRY_BODY body = {.split = 0};
        struct vf_entry_view v;
        VF_BUF where = {0};
        vf_buf_init(&where, 8192);
        vf_entry_origin_put(bad[i], "00112233445566778899aabbccddeeff", &where);
        OK(vf_entry_body_make(&e, NULL, &body, WHY));
        lines.len = 0;
        assert_true(vf_entry_lines_add(&lines, 7, 0, &body, &where, nonce));
        /* What the parser lets through at all is safe in every form. */
        if (vf_entry_parse(lines.data, lines.len - 1, &v, NULL) != VF_OK)
            continue;
        vf_buf_reset(&out);
        kt_entry_text(&v, NULL, false, "", &out);
        assert_true(vf_text_printable((const char *)out.data, out.len - 1));
        vf_buf_reset(&out);
        kt_entry_csv(&v, false, &out);
        assert_true(vf_text_printable((const char *)out.data, out.len - 2));
        vf_buf_reset(&out);
        kt_entry_json(&v, false, &out);
        assert_true(vf_text_printable((const char *)out.data, out.len));
    }
}

static void test_csv(void **state)
{
    static const char *const formulas[] = {"=1+1",
                                           "+1",
                                           "-1",
                                           "@SUM(A1)",
                                           " =1",
                                           "   -cmd|' /C calc'!A0",
                                           "\xef\xbc\x9d"
                                           "1+1",        /* full width */
                                           "\xc2\xa0=1", /* behind a no-break space */
                                           "\xe3\x80\x80\xef\xbc\x8b"
                                           "1",
                                           "\xe2\x88\x92"
                                           "1"};
    struct vf_entry e = {.event = VF_EVENT_RECEIVE, .part = -1, .object = "x", .result = "ok"};

    (void)state;
    assert_string_equal(
        csv(&e), "\"7\",\"2026-11-21T12:00:00.000000Z\",\"receive\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\","
                 "\"\",\"\",\"x\",\"'=host\",\"00112233445566778899aabbccddeeff\",\"ok\",\"true\"\r\n");
    for (size_t i = 0; i < sizeof(formulas) / sizeof(formulas[0]); i++) {
        char want[80];
        (void)snprintf(want, sizeof(want), ",\"'%s\",", formulas[i]);
        e.object = formulas[i];
        assert_non_null(strstr(csv(&e), want));
    }
    e.object = "say \"hi\", C:\\dir\\";
    assert_non_null(strstr(csv(&e), ",\"say \"\"hi\"\", C:\\dir\\\","));
    e.object = "a\tb\nc";
    assert_non_null(strstr(csv(&e), ",\"a\\tb\\nc\","));
    struct vf_ref ref;
    e = audit_entry(1, &ref);
    assert_non_null(strstr(csv(&e), "\"open\",\"disclosure\",\"ABCDEFGHIJKLMNOP\",\"warrant-cards-2026\",\"press-1\","
                                    "\"AAAAAAAB\",\"\",\"image\",\"photo\","));
    vf_buf_reset(&out);
    kt_entry_csv_header(&out);
    assert_non_null(strstr(vf_buf_cstr(&out), "\"seq\",\"time\",\"event\",\"category\","));
    unsigned columns = 0;
    for (size_t i = 0; i < out.len; i++)
        columns += out.data[i] == ',' ? 1 : 0;
    assert_int_equal(columns, 20);
}

static int set_up(void **state)
{
    vf_buf_init(&out, 1 << 20);
    return audit_set_up(state);
}

static int tear_down(void **state)
{
    vf_buf_done(&out);
    return audit_tear_down(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sentences),
        cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_csv),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
