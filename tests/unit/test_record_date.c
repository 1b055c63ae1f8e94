/* SPDX-License-Identifier: MIT */
#include "vaultfs/record.h"

#include <string.h>

#include "cmocka_std.h"

static void test_good(void **state)
{
    static const struct {
        const char *format, *value, *iso;
    } cases[] = {
        {"DD/MM/YYYY", "21/11/2026", "2026-11-21"},
        {"DD/MM/YYYY", "1/9/2026", "2026-09-01"},
        {"D/M/YYYY", "01/09/2026", "2026-09-01"},
        {"DD-MM-YYYY", "21-11-2026", "2026-11-21"},
        {"DD.MM.YYYY", "29.2.2024", "2024-02-29"},
        {"MM/DD/YYYY", "11/21/2026", "2026-11-21"},
        {"YYYYMMDD", "20261121", "2026-11-21"},
        {"YYYY-MM-DD", "2026-11-21", "2026-11-21"},
        {"DDMMYYYY", "21112026", "2026-11-21"},
        {"DD-MMM-YYYY", "21-NOV-2026", "2026-11-21"},
        {"DD MMM YYYY", "1 sep 2026", "2026-09-01"},
        {"%d/%m/%Y", " 21/11/2026 ", "2026-11-21"},
        {"%Y%m%d", "20261121", "2026-11-21"},
        {"%d-%b-%Y", "21-Nov-2026", "2026-11-21"},
        {"YYYY/DD/MM", "2026/21/11", "2026-11-21"},
        {"DD/MM/YYYY", "", ""},
        {"DD/MM/YYYY", "   ", ""},
        {"DD/MM/YYYY", "31/12/9999", "9999-12-31"},
        {"DDMMMYYYY", "01JAN1900", "1900-01-01"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct vf_date_format f;
        char out[VF_DATE_LEN + 1] = "unchanged";
        assert_int_equal(vf_date_format_parse(cases[i].format, &f, NULL), VF_OK);
        assert_int_equal(vf_date_convert(&f, cases[i].value, strlen(cases[i].value), out, NULL), VF_OK);
        assert_string_equal(out, cases[i].iso);
    }
}

static void test_bad_formats(void **state)
{
    static const char *const formats[] = {"",         "DD/MM",       "DD/MM/YY",    "DD/MM-YYYY",    "DD/DD/YYYY",
                                          "MM/DD/DD", "DD/MM/YYYY ", "DD//MM/YYYY", "DD/MM/YYYY/DD", "DD:MM:YYYY",
                                          "%d/%m/%y", "dd/mm/yyyy",  "DDMM/YYYY",   "M/MMM/YYYY",    "/DD/MM/YYYY"};
    struct vf_date_format f = {.separator = 'x'};
    struct vf_why why = {0};

    (void)state;
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
        assert_int_equal(vf_date_format_parse(formats[i], &f, &why), VF_E_USAGE);
        assert_string_equal(why.text,
                            "not a date format: write for example DD/MM/YYYY, MM/DD/YYYY, DD-MMM-YYYY or YYYYMMDD");
        assert_int_equal(f.separator, 'x');
    }
}

static void test_bad_values(void **state)
{
    static const char wrong[] = "not a date of the given format";
    static const char unreal[] = "no such day in the calendar, or before 1900";
    static const struct {
        const char *format, *value, *reason;
    } cases[] = {
        {"DD/MM/YYYY", "2026-11-21", wrong},    {"DD/MM/YYYY", "21/11/26", wrong},    {"DD/MM/YYYY", "21/11/20266", wrong},
        {"DD/MM/YYYY", "211/1/2026", wrong},    {"DD/MM/YYYY", "21/11/2026x", wrong}, {"DD/MM/YYYY", "21/11", wrong},
        {"DD/MM/YYYY", "21/", wrong},           {"DD/MM/YYYY", "/11/2026", wrong},    {"DD/MM/YYYY", "a1/11/2026", wrong},
        {"DD/MM/YYYY", "11/21/2026", unreal},   {"DD/MM/YYYY", "29/2/2023", unreal},  {"DD/MM/YYYY", "0/1/2026", unreal},
        {"DD/MM/YYYY", "31/12/1899", unreal},   {"DD/MM/YYYY", "00/00/0000", unreal}, {"YYYYMMDD", "2026111", wrong},
        {"YYYYMMDD", "202611211", wrong},       {"DD-MMM-YYYY", "21-11-2026", wrong}, {"DD-MMM-YYYY", "21-NO", wrong},
        {"DD-MMM-YYYY", "21-Nov.-2026", wrong}, {"DD/MM/YYYY", "-1/1/2026", wrong},   {"DD/MM/YYYY", "46000", wrong},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct vf_date_format f;
        struct vf_why why = {0};
        char out[VF_DATE_LEN + 1] = "unchanged";
        assert_int_equal(vf_date_format_parse(cases[i].format, &f, NULL), VF_OK);
        assert_int_equal(vf_date_convert(&f, cases[i].value, strlen(cases[i].value), out, &why), VF_E_INPUT);
        assert_string_equal(why.text, cases[i].reason);
        assert_string_equal(out, "unchanged");
    }
}

/* Any bytes in any format: refused, or a date that the field takes. */
static void test_hostile(void **state)
{
    static const char *const formats[] = {"DD/MM/YYYY", "YYYYMMDD", "DD-MMM-YYYY"};
    static const char seeds[][12] = {"21/11/2026", "20261121", "21-Nov-2026"};

    (void)state;
    for (size_t k = 0; k < 3; k++) {
        struct vf_date_format f;
        assert_int_equal(vf_date_format_parse(formats[k], &f, NULL), VF_OK);
        size_t len = strlen(seeds[k]);
        for (size_t at = 0; at < len * 256; at++) {
            char text[12];
            char iso[VF_DATE_LEN + 1];
            VF_BUF out;
            vf_buf_init(&out, 8192);
            memcpy(text, seeds[k], sizeof(text));
            text[at / 256] = (char)(at % 256);
            if (vf_date_convert(&f, text, len, iso, NULL) == VF_OK)
                assert_int_equal(vf_field_check(NULL, VF_FIELD_VALID_TO, iso, strlen(iso), &out, NULL), VF_OK);
        }
    }
}

static void test_fields(void **state)
{
    (void)state;
    for (unsigned f = 0; f <= VF_FIELD_COUNT; f++)
        assert_int_equal(vf_field_is_date(f),
                         f == VF_FIELD_VALID_FROM || f == VF_FIELD_VALID_TO || f == VF_FIELD_VETTING_EXPIRY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),    cmocka_unit_test(test_bad_formats), cmocka_unit_test(test_bad_values),
        cmocka_unit_test(test_hostile), cmocka_unit_test(test_fields),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
