/* SPDX-License-Identifier: MIT */
/* The report: what is counted, what is noticed, and that no text of a log can become more than text. */
#include "report_html_test.h"

/* ------------------------------------------------------------------------------------------------------------------- counting */

static void check_total(json_t *d)
{
    json_t *t = json_object_get(d, "total");

    assert_int_equal(number(t, "reads"), 5);
    assert_int_equal(number(t, "text"), 2);
    assert_int_equal(number(t, "image"), 2);
    assert_int_equal(number(t, "lists"), 1);
    assert_int_equal(number(t, "repeats"), 60);
    assert_int_equal(number(t, "refused"), 42);
    assert_int_equal(number(t, "out_of_hours"), 1);
    assert_int_equal(number(t, "unproven"), 0);
    assert_int_equal(number(t, "different_records"), 3);
    assert_string_equal(string(t, "first"), "2026-11-09T08:30:00Z");
    assert_string_equal(string(t, "last"), "2026-11-11T23:00:00Z");
}

static void check_tables(json_t *d)
{
    json_t *x = item(d, "programs", 0);

    assert_int_equal(size(d, "programs"), 2);
    assert_string_equal(string(x, "program"), "/usr/bin/cat");
    assert_int_equal(number(x, "reads"), 4);
    assert_int_equal(number(x, "refused"), 2);
    assert_int_equal(number(item(d, "programs", 1), "out_of_hours"), 1);
    assert_int_equal(size(d, "users"), 2);
    assert_int_equal(number(item(d, "users", 0), "uid"), 1000);
    assert_int_equal(number(item(d, "users", 0), "refused"), 42);
    assert_int_equal(size(d, "grants"), 1);
    x = item(d, "grants", 0);
    assert_string_equal(string(x, "grant"), "GGGGGGGGGGGGGGGG");
    assert_string_equal(string(x, "job"), "cards");
    assert_int_equal(number(x, "different_text"), 2);
    assert_int_equal(number(x, "different_image"), 2);
    x = item(d, "records", 1);
    assert_memory_equal(string(x, "ref"), ref_of(1).c, VF_REF_LEN);
    assert_int_equal(number(x, "text"), 1);
    assert_int_equal(number(x, "image"), 1);
    assert_int_equal(number(x, "repeats"), 60);
    assert_int_equal(size(x, "fields"), 2);
    assert_int_equal(size(d, "lists_not_told_apart"), 1);
    assert_int_equal(size(d, "days"), 2);
    assert_string_equal(string(item(d, "days", 0), "day"), "2026-11-09");
    json_t *hours = json_object_get(item(d, "days", 0), "reads_by_hour_utc");
    assert_int_equal(json_integer_value(json_array_get(hours, 8)), 2);
    assert_int_equal(json_integer_value(json_array_get(hours, 9)), 2);
}

static void test_counts(void **state)
{
    struct audit_place p;
    struct vf_log *log = begin(&p, MONDAY + 8 * HOUR);
    const char *path = p.log;
    int64_t at = MONDAY + 8 * HOUR + 30 * 60 * VF_SECOND_US;

    (void)state;
    put_open(log, &(struct open_one){at, "/usr/bin/cat", 1000, 1, VF_FIELD_PHOTO});
    put_repeats(log, 60);
    put_open(log, &(struct open_one){at + VF_SECOND_US, "/usr/bin/cat", 1000, 1, VF_FIELD_RANK});
    put_open(log, &(struct open_one){at + HOUR, "/usr/bin/cat", 1000, 2, VF_FIELD_RANK});
    put_list(log);
    put_denials(log);
    put_open(log, &(struct open_one){MONDAY + 2 * VF_DAY_US + 23 * HOUR, "/usr/bin/rsync", 0, 0, VF_FIELD_PHOTO});
    audit_close(log);

    struct vf_report *r = report_of(&path, 1);
    json_t *d = document(&p, r);
    assert_true(json_is_true(json_object_get(d, "good")));
    check_total(d);
    check_tables(d);
    assert_non_null(notice(d, "out-of-hours"));
    assert_non_null(strstr(notice(d, "out-of-hours"), "1 of 5 reads (20 %)"));
    assert_non_null(strstr(notice(d, "new-program"), "/usr/bin/rsync"));
    assert_non_null(strstr(notice(d, "often"), "62 times"));
    assert_non_null(strstr(notice(d, "refused"), "the grant had ended (2)"));
    assert_non_null(strstr(notice(d, "whole-list"), "cards"));
    assert_null(notice(d, "bulk"));
    assert_null(notice(d, "unknown-program"));
    assert_null(notice(d, "clock"));
    assert_int_equal(vf_report_verdict(r, NULL), VF_OK);
    json_decref(d);
    vf_report_free(r);
    audit_place_done(&p);
}

/* 249 records in ten minutes are none, 250 are; spans that touch are one. */
static void test_bulk(void **state)
{
    struct audit_place p;
    struct vf_log *log = begin(&p, MONDAY);
    const char *path = p.log;
    int64_t at = MONDAY + 9 * HOUR;

    (void)state;
    for (uint32_t i = 0; i < 249; i++)
        put_open(log, &(struct open_one){at + i * VF_SECOND_US, "/usr/bin/cat", 1000, i, VF_FIELD_PHOTO});
    put_open(log, &(struct open_one){at + 599 * VF_SECOND_US, "/usr/bin/cat", 1000, 7, VF_FIELD_PHOTO}); /* again */
    at += 2 * HOUR;
    for (uint32_t i = 0; i < 500; i++)
        put_open(log,
                 &(struct open_one){at + i * 1200000, i < 300 ? "/usr/bin/tar" : "/usr/bin/cp", 1000, i, VF_FIELD_PHOTO});
    for (uint32_t i = 0; i < 260; i++)
        put_open(log, &(struct open_one){at + (600 + i) * VF_SECOND_US, "/usr/bin/tar", 1000, i, VF_FIELD_PHOTO});
    audit_close(log);

    struct vf_report *r = report_of(&path, 1);
    assert_int_equal(r->f.nbulks, 1);
    assert_int_equal(r->f.bulk[0].records, 760);
    assert_int_equal(r->f.bulk[0].from_us, at);
    assert_int_equal(r->f.bulk[0].until_us, at + 1200 * VF_SECOND_US);
    json_t *d = document(&p, r);
    assert_non_null(strstr(notice(d, "bulk"),
                           "760 of them from 9 Nov 2026 at 11:00 UTC to 9 Nov 2026 at 11:20 UTC, most by /usr/bin/tar"));
    json_decref(d);
    vf_report_free(r);
    audit_place_done(&p);
}

/* ------------------------------------------------------------------------------------------------------------- hostile strings */

static void test_hostile(void **state)
{
    static const char *const bad[] = {
        "</script><script>alert(1)</script>",
        "\"><img src=x onerror=alert(2)>",
        "'onload='alert(3)",
        "<!--",
        "]]>",
        "&lt;b&gt;",
        "\x1b[2Jgone\r\n\t",
        "\xe2\x80\xae/bin/txt.exe",
        "\xff\xfe not utf-8",
        "javascript:alert(4)",
        "</title></style><svg/onload=alert(5)>",
        "%s%n%d",
        "\xc2\x85\xc2\xa0",
        "/usr/bin/\xe6\x97\xa5\xe6\x9c\xac",
    };
    struct audit_place p;
    struct vf_log *log = begin(&p, MONDAY + 9 * HOUR);
    const char *path = p.log;
    char longest[600];
    size_t len;

    (void)state;
    memset(longest, '<', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    for (size_t i = 0; i <= sizeof(bad) / sizeof(bad[0]); i++) {
        struct vf_ref ref = ref_of((uint32_t)i);
        const char *text = i < sizeof(bad) / sizeof(bad[0]) ? bad[i] : longest;
        struct vf_grant_id id = {"AAAAAAAAAAAAAAAA"};
        struct vf_entry e = opening(&(struct open_one){0, text, 1000, (uint32_t)i, VF_FIELD_RANK}, &ref);
        id.c[15] = (char)('A' + (int)i);
        e.grant = &id;
        e.job = e.recipient = text;
        append(log, &e);
        e.event = VF_EVENT_DENY;
        e.object = e.result = text;
        append(log, &e);
    }
    audit_close(log);
    struct vf_report *r = report_of(&path, 1);
    json_decref(document(&p, r)); /* is one */
    char *html = written(&p, r, true, &len);
    assert_true(vf_utf8_valid(html, len));
    assert_int_equal(strlen(html), len);
    /* The page's own tags, each once. */
    assert_int_equal(occurrences(html, "<script"), 2);
    assert_int_equal(occurrences(html, "</script"), 2);
    assert_int_equal(occurrences(html, "<style"), 1);
    assert_int_equal(occurrences(html, "</title"), 1);
    assert_int_equal(occurrences(html, "<img"), 0);
    assert_int_equal(occurrences(html, "<svg/"), 0);
    assert_int_equal(occurrences(html, "<!--"), 0);
    assert_int_equal(occurrences(html, "onload='"), 0);
    assert_int_equal(occurrences(html, "<<"), 0);
    assert_int_equal(occurrences(html, "\xe2\x80\xae"), 0);
    assert_int_equal(occurrences(html, "\xc2\x85"), 0);
    for (size_t i = 0; i < len; i++)
        assert_true((unsigned char)html[i] >= 0x20 || html[i] == '\n');
    assert_true(occurrences(html, "&lt;script&gt;alert(1)&lt;/script&gt;") >= 1);
    assert_true(occurrences(html, "&amp;lt;b&amp;gt;") >= 1);
    assert_true(occurrences(html, "\\u001b[2Jgone\\r\\n\\t") >= 1);
    assert_true(occurrences(html, "/usr/bin/\xe6\x97\xa5\xe6\x9c\xac") >= 1);
    free(html);
    vf_report_free(r);
    audit_place_done(&p);
}

/* The same report gives the same bytes; a disk that is full is told. */
static void test_output(void **state)
{
    struct audit_place p;
    struct vf_log *log = begin(&p, MONDAY + 9 * HOUR);
    const char *path = p.log;
    size_t a_len, b_len;

    (void)state;
    for (uint32_t i = 0; i < 300; i++)
        put_open(log,
                 &(struct open_one){MONDAY + 9 * HOUR + i * VF_SECOND_US, "/usr/bin/cat", i % 7, i * 77, VF_FIELD_PHOTO});
    audit_close(log);
    struct vf_report *r = report_of(&path, 1);
    struct vf_report *again = report_of(&path, 1);
    char *a = written(&p, r, true, &a_len);
    char *b = written(&p, again, true, &b_len);
    assert_int_equal(a_len, b_len);
    assert_memory_equal(a, b, a_len);
    free(a);
    free(b);
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_true(full >= 0);
    assert_int_equal(vf_report_write_html(r, full, "x", NULL), VF_E_DISK_FULL);
    assert_int_equal(vf_report_write_json(r, full, "x", NULL), VF_E_DISK_FULL);
    assert_int_equal(close(full), 0);
    vf_report_free(r);
    vf_report_free(again);
    vf_report_free(NULL);
    audit_place_done(&p);
}

/* A repeat whose opening is not in the log: exposure calls that read, and so does the page. */
static void test_lone_repeat(void **state)
{
    struct audit_place p;
    struct vf_log *log = begin(&p, MONDAY + 9 * HOUR);
    const char *path = p.log;
    struct vf_ref ref = ref_of(7);
    struct vf_entry e = opening(&(struct open_one){0, "/usr/bin/cat", 1000, 7, VF_FIELD_RANK}, &ref);

    (void)state;
    put_repeats(log, 3); /* photo of record 1 */
    put_repeats(log, 2);
    put_open(log, &(struct open_one){MONDAY + 10 * HOUR, "/usr/bin/cat", 1000, 2, VF_FIELD_PHOTO});
    e.event = VF_EVENT_REPEAT; /* no count: one */
    append(log, &e);
    e.uid = 1001; /* the record was opened, but by another user */
    e.has_count = true;
    e.count = 1;
    append(log, &e);
    put_list(log);
    audit_close(log);
    struct vf_report *r = report_of(&path, 1);
    json_t *d = document(&p, r);
    json_t *t = json_object_get(d, "total");
    assert_int_equal(number(t, "image"), 2);
    assert_int_equal(number(t, "text"), 2);
    assert_int_equal(number(t, "lists"), 1);
    assert_int_equal(number(t, "reads"), 5);
    assert_int_equal(number(t, "repeats"), 4);
    assert_int_equal(number(record(d, 1), "image"), 1);
    assert_int_equal(number(record(d, 1), "repeats"), 4);
    assert_true(json_is_string(json_object_get(record(d, 1), "first")));
    assert_int_equal(size(record(d, 1), "fields"), 1);
    assert_int_equal(number(record(d, 7), "text"), 2);
    assert_int_equal(number(item(d, "users", 1), "reads"), 1);
    assert_non_null(strstr(notice(d, "repeat-alone"), "3 times a log tells"));
    json_decref(d);
    vf_report_free(r);
    audit_place_done(&p);
}

/* One of a thing is one, and one minute is one time. */
static void test_words(void **state)
{
    struct audit_place p;
    struct vf_log *log = begin(&p, MONDAY + 9 * HOUR);
    const char *path = p.log;
    size_t len;

    (void)state;
    put_open(log, &(struct open_one){MONDAY + 9 * HOUR, "/usr/bin/cat", 1000, 1, VF_FIELD_PHOTO});
    audit_close(log);
    struct vf_report *r = report_of(&path, 1);
    char *html = written(&p, r, true, &len);
    assert_non_null(strstr(html, "<dt>read</dt><dd>1</dd>"));
    assert_non_null(strstr(html, "<dt>different record</dt><dd>1</dd>"));
    assert_non_null(strstr(html, "<dt>program</dt><dd>1</dd>"));
    assert_non_null(strstr(html, "entries on 9 Nov 2026 at 09:00 UTC; 1 read.\n"));
    assert_null(strstr(html, "from 9 Nov 2026 at 09:00 UTC to 9 Nov 2026 at 09:00 UTC"));
    free(html);
    vf_report_free(r);
    audit_place_done(&p);
}

/* More programs, users and days than are told apart: counted in the sums, and the page says so. */
static void test_bounds(void **state)
{
    struct audit_place p;
    struct vf_log *log = begin(&p, MONDAY);
    const char *path = p.log;
    char exe[64];
    size_t len;

    (void)state;
    for (uint32_t i = 0; i < VF_DAYS_MAX + 10; i++) {
        (void)snprintf(exe, sizeof(exe), "/opt/%u", i % (VF_PROGRAMS_MAX + 5));
        put_open(log, &(struct open_one){MONDAY + i * VF_DAY_US, exe, i % (VF_USERS_MAX + 3), i, VF_FIELD_PHOTO});
    }
    audit_close(log);
    struct vf_report *r = report_of(&path, 1);
    assert_int_equal(r->f.all.opens[1], VF_DAYS_MAX + 10);
    assert_int_equal(r->f.programs.n, VF_PROGRAMS_MAX);
    assert_true(r->f.programs.nothers > 0);
    assert_int_equal(r->f.users.n, VF_USERS_MAX);
    assert_int_equal(r->f.ndays, VF_DAYS_MAX);
    assert_int_equal(r->f.beyond_days, 10);
    char *html = written(&p, r, true, &len);
    assert_non_null(strstr(html, "Only the first 512 programs are told apart"));
    assert_non_null(strstr(html, "Only the first 512 users are told apart"));
    assert_non_null(strstr(html, "Reads on more than 4000 different days"));
    assert_non_null(strstr(html, "earlier days with reads"));
    free(html);
    vf_report_free(r);
    audit_place_done(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts), cmocka_unit_test(test_bulk),   cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_output), cmocka_unit_test(test_bounds), cmocka_unit_test(test_lone_repeat),
        cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests(tests, audit_set_up, audit_tear_down);
}
