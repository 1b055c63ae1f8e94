/* SPDX-License-Identifier: MIT */
#include "vaultfs/base.h"

#include <string.h>
#include <time.h>

#include "cmocka_std.h"

#define MAX_US INT64_C(253402300799999999) /* 9999-12-31T23:59:59.999999Z */

static int64_t parsed(const char *s)
{
    int64_t us = -1;

    return vf_time_parse(s, strlen(s), &us) ? us : -1;
}

static void test_parse_known(void **state)
{
    (void)state;
    assert_true(parsed("1970-01-01T00:00:00Z") == 0);
    assert_true(parsed("1970-01-01T00:00:01Z") == VF_SECOND_US);
    assert_true(parsed("2000-02-29T12:00:00Z") == INT64_C(951825600) * VF_SECOND_US);
    assert_true(parsed("2026-11-21T17:00:00Z") == INT64_C(1795280400) * VF_SECOND_US);
    assert_true(parsed("2038-01-19T03:14:08Z") == (INT64_C(1) << 31) * VF_SECOND_US);
    assert_true(parsed("2100-03-01T00:00:00Z") == INT64_C(4107542400) * VF_SECOND_US);
    assert_true(parsed("9999-12-31T23:59:59Z") == INT64_C(253402300799) * VF_SECOND_US);
}

/* Every day of the range against the C library. */
static void test_every_day(void **state)
{
    (void)state;
    for (int64_t day = 0; day * VF_DAY_US <= MAX_US; day++) {
        time_t t = (time_t)(day * 86400 + day * 7919 % 86400);
        struct tm tm;
        char expect[64];
        char got[VF_TIME_LEN + 1];
        int64_t back = -1;
        assert_non_null(gmtime_r(&t, &tm));
        (void)snprintf(expect, sizeof(expect), "%04d-%02d-%02dT%02d:%02d:%02dZ", tm.tm_year + 1900, tm.tm_mon + 1,
                       tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
        vf_time_format((int64_t)t * VF_SECOND_US + 999999, got);
        if (strcmp(got, expect) != 0 || !vf_time_parse(got, VF_TIME_LEN, &back) || back != (int64_t)t * VF_SECOND_US)
            fail_msg("%s %s", expect, got);
    }
}

static void test_parse_refuses(void **state)
{
    static const char *const bad[] = {
        "",
        "2026-11-21",
        "2026-11-21T17:00:00",
        "2026-11-21T17:00:00z",
        "2026-11-21t17:00:00Z",
        "2026-11-21 17:00:00Z",
        "2026-11-21T17:00:00Z ",
        " 2026-11-21T17:00:00Z",
        "2026-11-21T17:00:00+00:00",
        "2026-11-21T17:00:00.0Z",
        "2026-11-21T17:00:00.000000Z",
        "1969-12-31T23:59:59Z",
        "0000-01-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-01-00T00:00:00Z",
        "2026-01-32T00:00:00Z",
        "2026-04-31T00:00:00Z",
        "2026-06-31T00:00:00Z",
        "2026-09-31T00:00:00Z",
        "2026-11-31T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "2024-02-30T00:00:00Z",
        "2100-02-29T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:60:00Z",
        "2016-12-31T23:59:60Z",
        "2026-01-01T-1:00:00Z",
        "+026-01-01T00:00:00Z",
        "2026/01/01T00:00:00Z",
        "2026-01-01T00.00.00Z",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        int64_t us = 77;
        if (vf_time_parse(bad[i], strlen(bad[i]), &us) || us != 77)
            fail_msg("%s", bad[i]);
    }
    assert_true(parsed("2024-02-29T00:00:00Z") > 0);
    assert_true(parsed("2000-02-29T00:00:00Z") > 0);
}

/* Each byte replaced by each other: what is still accepted is a digit for a digit, and is written back the same. */
static void test_parse_mutations(void **state)
{
    char s[] = "2026-11-21T17:00:00Z";
    char back[VF_TIME_LEN + 1];

    (void)state;
    for (size_t at = 0; at < VF_TIME_LEN; at++) {
        char was = s[at];
        for (int c = 0; c < 256; c++) {
            int64_t us = -1;
            s[at] = (char)c;
            if (vf_time_parse(s, VF_TIME_LEN, &us)) {
                assert_true(c == was || (c >= '0' && c <= '9' && was >= '0' && was <= '9'));
                vf_time_format(us, back);
                assert_string_equal(s, back);
            }
        }
        s[at] = was;
        assert_false(vf_time_parse(s, at, &(int64_t){0}));
    }
}

static void test_micros(void **state)
{
    char out[VF_TIME_US_LEN + 1];
    int64_t us = -1;

    (void)state;
    vf_time_format_us(INT64_C(951825599000001), out);
    assert_string_equal(out, "2000-02-29T11:59:59.000001Z");
    assert_true(vf_time_parse_us(out, VF_TIME_US_LEN, &us));
    assert_true(us == INT64_C(951825599000001));
    vf_time_format_us(MAX_US, out);
    assert_string_equal(out, "9999-12-31T23:59:59.999999Z");
    assert_true(vf_time_parse_us(out, VF_TIME_US_LEN, &us) && us == MAX_US);
    static const char *const bad[] = {"2000-02-29T11:59:59Z",         "2000-02-29T11:59:59.00000Z",
                                      "2000-02-29T11:59:59.0000011Z", "2000-02-29T11:59:59,000001Z",
                                      "2000-02-29T11:59:59.00000xZ",  "2000-02-30T11:59:59.000001Z",
                                      "2000-02-29T11:59:59.-00001Z",  "2000-02-29T11:59:59.000001z"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (vf_time_parse_us(bad[i], strlen(bad[i]), &us))
            fail_msg("%s", bad[i]);
    assert_true(us == MAX_US);
}

static void test_out_of_range_is_clamped(void **state)
{
    char out[VF_TIME_US_LEN + 1];

    (void)state;
    vf_time_format_us(-1, out);
    assert_string_equal(out, "1970-01-01T00:00:00.000000Z");
    vf_time_format_us(INT64_MIN, out);
    assert_string_equal(out, "1970-01-01T00:00:00.000000Z");
    vf_time_format_us(MAX_US + 1, out);
    assert_string_equal(out, "9999-12-31T23:59:59.999999Z");
    vf_time_format(INT64_MAX, out);
    assert_string_equal(out, "9999-12-31T23:59:59Z");
}

static void test_duration(void **state)
{
    static const struct {
        const char *s;
        int64_t us;
    } good[] = {
        {"0s", 0},
        {"1s", VF_SECOND_US},
        {"90m", 5400 * VF_SECOND_US},
        {"12h", 43200 * VF_SECOND_US},
        {"31d", 31 * VF_DAY_US},
        {"2w", 14 * VF_DAY_US},
        {"253402300799s", INT64_C(253402300799) * VF_SECOND_US},
    };
    static const char *const bad[] = {"",
                                      "s",
                                      "1",
                                      "1y",
                                      "1S",
                                      "-1s",
                                      "+1s",
                                      " 1s",
                                      "1s ",
                                      "01s",
                                      "1.5h",
                                      "1h30m",
                                      "253402300800s",
                                      "99999999999999999999w",
                                      "9223372036854775807w",
                                      "18446744073709551615d"};

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        int64_t us = -1;
        assert_true(vf_duration_parse(good[i].s, &us));
        assert_true(us == good[i].us);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        int64_t us = 77;
        if (vf_duration_parse(bad[i], &us) || us != 77)
            fail_msg("%s", bad[i]);
    }
}

static void test_arg(void **state)
{
    const int64_t now = INT64_C(1795280400) * VF_SECOND_US;
    int64_t us = 77;

    (void)state;
    assert_true(vf_time_parse_arg("now", now, &us) && us == now);
    assert_true(vf_time_parse_arg("+1d", now, &us) && us == now + VF_DAY_US);
    assert_true(vf_time_parse_arg("+0s", now, &us) && us == now);
    assert_true(vf_time_parse_arg("2000-02-29T12:00:00Z", now, &us) && us == INT64_C(951825600) * VF_SECOND_US);
    us = 77;
    static const char *const bad[] = {
        "", "Now", "now ", "+", "+d", "1d", "-1d", "++1d", "+ 1d", "tomorrow", "2000-02-30T12:00:00Z"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(vf_time_parse_arg(bad[i], now, &us));
    /* Past the year 9999, or from a clock that is not in range. */
    assert_false(vf_time_parse_arg("+252000000000s", now, &us));
    assert_false(vf_time_parse_arg("+1s", MAX_US, &us));
    assert_false(vf_time_parse_arg("+1s", INT64_MAX, &us));
    assert_false(vf_time_parse_arg("+1s", -1, &us));
    assert_true(us == 77);
    assert_true(vf_time_parse_arg("+0s", MAX_US, &us) && us == MAX_US);
}

static void test_person(void **state)
{
    char out[64];

    (void)state;
    vf_time_format_person(parsed("2026-11-28T17:00:59Z"), out, sizeof(out));
    assert_string_equal(out, "28 Nov 2026 at 17:00 UTC");
    vf_time_format_person(parsed("2027-01-01T00:05:00Z"), out, sizeof(out));
    assert_string_equal(out, "1 Jan 2027 at 00:05 UTC");
    memset(out, 'x', sizeof(out));
    vf_time_format_person(0, out, 6);
    assert_string_equal(out, "1 Jan");
    assert_int_equal(out[6], 'x');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_known),   cmocka_unit_test(test_every_day),
        cmocka_unit_test(test_parse_refuses), cmocka_unit_test(test_parse_mutations),
        cmocka_unit_test(test_micros),        cmocka_unit_test(test_out_of_range_is_clamped),
        cmocka_unit_test(test_duration),      cmocka_unit_test(test_arg),
        cmocka_unit_test(test_person),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
