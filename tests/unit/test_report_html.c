/* SPDX-License-Identifier: MIT */
/* The report: what is counted, what is noticed, and that no text of a log can become more than text. */
#include "audit_test.h"
#include "fakeclock.h"

#include "../../vaultfs/report/html_report.h"

#include <fcntl.h>
#include <jansson.h>
#include <unistd.h>

#include "cmocka_std.h"

#define MONDAY (INT64_C(1794182400) * VF_SECOND_US) /* 2026-11-09T00:00:00Z, a Monday */
#define HOUR   (3600 * VF_SECOND_US)

static const struct vf_grant_id grant = {"GGGGGGGGGGGGGGGG"};

struct open_one {
    int64_t us;
    const char *exe;
    uint32_t uid;
    uint32_t ref; /* a number made into one */
    unsigned field;
};

static struct vf_ref ref_of(uint32_t n)
{
    const uint8_t bytes[5] = {0, (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};
    struct vf_ref ref;

    vf_ref_from_bytes(bytes, &ref);
    return ref;
}

static struct vf_entry opening(const struct open_one *o, const struct vf_ref *ref)
{
    return (struct vf_entry){.event = VF_EVENT_OPEN,
                             .grant = &grant,
                             .job = "cards",
                             .recipient = "printer",
                             .refs = ref,
                             .nrefs = 1,
                             .part = (int)vf_field_part(o->field),
                             .fields = VF_FIELD_BIT(o->field),
                             .has_caller = true,
                             .uid = o->uid,
                             .pid = 4711,
                             .exe = o->exe,
                             .result = "ok"};
}

static void append(struct vf_log *log, const struct vf_entry *e)
{
    uint64_t seq;

    OK(vf_log_append(log, e, &seq, WHY));
}

static void put_open(struct vf_log *log, const struct open_one *o)
{
    struct vf_ref ref = ref_of(o->ref);
    const struct vf_entry e = opening(o, &ref);

    fake_clock_set(o->us, o->us - MONDAY + 100 * HOUR);
    append(log, &e);
}

static const struct vf_log_options batch = {.batch = true};

static struct vf_log *begin(struct audit_place *p, int64_t us)
{
    fake_clock_set(us, us - MONDAY + 100 * HOUR);
    audit_place_make(p);
    return audit_open(p, &batch);
}

static struct vf_report *report_of(const char *const *logs, size_t n)
{
    const struct vf_report_options opt = {.logs = logs, .nlogs = n, .now_us = MONDAY + 30 * VF_DAY_US};
    struct vf_report *r = NULL;

    OK(vf_report_make(&opt, &r, WHY));
    return r;
}

static char *written(const struct audit_place *p, const struct vf_report *r, bool html, size_t *ret_len)
{
    char path[400];

    audit_path(path, p->dir.path, html ? "out.html" : "out.json");
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    OK(html ? vf_report_write_html(r, fd, path, WHY) : vf_report_write_json(r, fd, path, WHY));
    assert_int_equal(close(fd), 0);
    return audit_read(path, ret_len);
}

static json_t *document(const struct audit_place *p, const struct vf_report *r)
{
    size_t len;
    char *text = written(p, r, false, &len);
    json_error_t error;
    json_t *d = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);

    if (d == NULL)
        fail_msg("%s at %d", error.text, error.position);
    free(text);
    return d;
}

static json_int_t number(json_t *d, const char *key)
{
    json_t *n = json_object_get(d, key);

    assert_true(json_is_integer(n));
    return json_integer_value(n);
}

static const char *string(json_t *d, const char *key)
{
    json_t *s = json_object_get(d, key);

    assert_true(json_is_string(s));
    return json_string_value(s);
}

static json_t *item(json_t *d, const char *key, size_t i)
{
    json_t *x = json_array_get(json_object_get(d, key), i);

    assert_non_null(x);
    return x;
}

static size_t size(json_t *d, const char *key)
{
    assert_true(json_is_array(json_object_get(d, key)));
    return json_array_size(json_object_get(d, key));
}

static const char *notice(json_t *d, const char *code)
{
    for (size_t i = 0; i < size(d, "notices"); i++)
        if (strcmp(string(item(d, "notices", i), "code"), code) == 0)
            return string(item(d, "notices", i), "text");
    return NULL;
}

/* ------------------------------------------------------------------------------------------------------------------- counting */

static void put_denials(struct vf_log *log)
{
    struct vf_entry e = {.event = VF_EVENT_DENY,
                         .grant = &grant,
                         .job = "cards",
                         .part = -1,
                         .has_caller = true,
                         .uid = 1000,
                         .exe = "/usr/bin/cat",
                         .result = "EKEYEXPIRED"};

    append(log, &e);
    append(log, &e);
    e = (struct vf_entry){.event = VF_EVENT_DENY,
                          .part = -1,
                          .has_caller = true,
                          .uid = 1000,
                          .exe = "unknown",
                          .has_count = true,
                          .count = 40,
                          .result = "counted"};
    append(log, &e);
}

static void put_repeats(struct vf_log *log, uint64_t n)
{
    struct vf_ref ref = ref_of(1);
    struct vf_entry e = opening(&(struct open_one){0, "/usr/bin/cat", 1000, 1, VF_FIELD_PHOTO}, &ref);

    e.event = VF_EVENT_REPEAT;
    e.has_count = true;
    e.count = n;
    append(log, &e);
}

static void put_list(struct vf_log *log)
{
    struct vf_hash manifest;
    struct vf_ref ref = ref_of(1);
    struct vf_entry e = opening(&(struct open_one){0, "/usr/bin/cat", 1000, 1, VF_FIELD_RANK}, &ref);

    memset(manifest.b, 0xab, sizeof(manifest.b));
    e.refs = NULL;
    e.nrefs = 0;
    e.all = &manifest;
    e.fields |= VF_FIELD_BIT(VF_FIELD_WARRANT_NO);
    append(log, &e);
}

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

static size_t occurrences(const char *text, const char *what)
{
    size_t n = 0;

    for (const char *p = strstr(text, what); p != NULL; p = strstr(p + 1, what))
        n++;
    return n;
}

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

/* ------------------------------------------------------------------------------------------------------------ copies and damage */

static void hand_in(const struct audit_place *p, const char *name, char path[400])
{
    uint64_t entries;

    audit_path(path, p->dir.path, name);
    int fd = open(path, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    OK(vf_handin_write(p->log, fd, &entries, WHY));
    assert_int_equal(close(fd), 0);
}

static void test_copies(void **state)
{
    struct audit_place p;
    struct vf_log *log = begin(&p, MONDAY + 9 * HOUR);
    char first[400], second[400];

    (void)state;
    put_open(log, &(struct open_one){MONDAY + 9 * HOUR, "/usr/bin/cat", 1000, 1, VF_FIELD_PHOTO});
    audit_seal(log);
    hand_in(&p, "first.log", first);
    put_open(log, &(struct open_one){MONDAY + 10 * HOUR, "/usr/bin/cat", 1000, 2, VF_FIELD_PHOTO});
    audit_close(log);
    hand_in(&p, "second.log", second);
    const char *const paths[] = {first, p.log, second, p.log};
    struct vf_report *r = report_of(paths, 4);
    assert_int_equal(r->f.all.opens[1], 2);
    assert_int_equal(r->f.refs.n, 2);
    assert_int_equal(r->f.log[0].same_as, 1); /* in place, and as long as the second copy */
    assert_int_equal(r->f.log[1].same_as, SIZE_MAX);
    assert_int_equal(r->f.log[2].same_as, 1);
    assert_int_equal(r->f.log[3].same_as, 1);
    assert_int_equal(vf_report_verdict(r, NULL), VF_OK);
    VF_BUF words;
    bool good;
    vf_buf_init(&words, 4096);
    vf_report_headline(r, &words, &good);
    assert_string_equal(vf_buf_cstr(&words), "The log of the station press-1 is whole until 9 Nov 2026 at 10:00 UTC.");
    vf_report_free(r);
    audit_place_done(&p);
}

static void test_damage(void **state)
{
    struct audit_place p;
    struct vf_log *log = begin(&p, MONDAY + 9 * HOUR);
    char path[400];
    const char *logs = p.log;
    size_t len;

    (void)state;
    for (uint32_t i = 0; i < 5; i++)
        put_open(log, &(struct open_one){MONDAY + 9 * HOUR + i, "/usr/bin/cat", 1000, i, VF_FIELD_PHOTO});
    audit_close(log);
    audit_path(path, p.log, "entries-00000000000000000000.jsonl");
    char *text = audit_read(path, &len);
    char *uid = strstr(text, "\"uid\":1000");
    assert_non_null(uid);
    uid[6] = '9';
    audit_write(path, text, len);
    free(text);
    struct vf_report *r = report_of(&logs, 1);
    struct vf_why why = {0};
    assert_int_equal(vf_report_verdict(r, &why), VF_E_FORGED);
    json_t *d = document(&p, r);
    assert_true(json_is_false(json_object_get(d, "good")));
    assert_non_null(strstr(string(d, "headline"), "was damaged or changed: "));
    assert_int_equal(number(json_object_get(d, "total"), "unproven"), 5);
    json_decref(d);
    char *html = written(&p, r, true, &len);
    assert_non_null(strstr(html, "<section class=\"verdict bad\"><h2>"));
    free(html);
    vf_report_free(r);

    const struct vf_report_options nowhere = {.logs = (const char *const[]){"/nowhere/at/all"}, .nlogs = 1};
    assert_int_equal(vf_report_make(&nowhere, &r, NULL), VF_E_NOT_FOUND);
    const struct vf_report_options no_vault = {.vault = "/nowhere/at/all"};
    assert_int_equal(vf_report_make(&no_vault, &r, NULL), VF_E_NOT_FOUND);
    audit_place_done(&p);
}

/* A second place with the same log and the same seal: a computer that was copied. */
static struct audit_place clone_of(const struct audit_place *p, const char *name)
{
    struct audit_place q = *p;
    size_t len;

    (void)snprintf(q.log, sizeof(q.log), "%.200s/%.30s-log", p->dir.path, name);
    (void)snprintf(q.seal, sizeof(q.seal), "%.200s/%.30s-seal", p->dir.path, name);
    audit_copy_tree(p->log, q.log);
    char *slots = audit_read(p->seal, &len);
    audit_write(q.seal, slots, len);
    free(slots);
    return q;
}

/* Its last checkpoint once more, with a size that it never had; all of its entries but the first gone. */
static void forge(const struct audit_place *p)
{
    char path[400];
    size_t len;

    audit_path(path, p->log, "checkpoints");
    char *text = audit_read(path, &len);
    char *longer = malloc(2 * len + 16);
    assert_non_null(longer);
    const char *end = strchr(text, '\n'); /* origin, size, root … */
    const char *root = strchr(end + 1, '\n');
    int n = snprintf(longer, 2 * len + 16, "%s%.*s\n987654%s", text, (int)(end - text), text, root);
    audit_write(path, longer, (size_t)n);
    free(longer);
    free(text);
    audit_path(path, p->log, "entries-00000000000000000000.jsonl");
    text = audit_read(path, &len);
    audit_write(path, text, (size_t)(strchr(text, '\n') + 1 - text));
    free(text);
}

/* A folder that somebody made, beside the genuine log: that one counts, wherever it was named. */
static void test_forged_beside(void **state)
{
    struct audit_place p;
    struct vf_log *log = begin(&p, MONDAY + 9 * HOUR);

    (void)state;
    for (uint32_t i = 1; i <= 3; i++)
        put_open(log, &(struct open_one){MONDAY + 9 * HOUR + i, "/usr/bin/cat", 1000, i, VF_FIELD_PHOTO});
    audit_close(log);
    struct audit_place q = clone_of(&p, "forged");
    forge(&q);
    for (int turn = 0; turn < 2; turn++) {
        const char *const paths[] = {turn == 0 ? p.log : q.log, turn == 0 ? q.log : p.log};
        struct vf_report *r = report_of(paths, 2);
        assert_int_equal(r->f.all.opens[1], 3);
        assert_int_equal(r->f.refs.n, 3);
        assert_int_equal(r->f.log[turn].same_as, SIZE_MAX);
        assert_true(r->f.log[turn].verdict->good);
        assert_int_equal(r->f.log[1 - turn].same_as, turn);
        assert_int_equal(r->f.log[1 - turn].only, 0);
        assert_int_equal(vf_report_verdict(r, NULL), VF_E_FORGED);
        json_t *d = document(&p, r);
        assert_non_null(strstr(string(d, "more"), "that is the one that this page shows"));
        assert_null(strstr(string(d, "more"), "come from a log that is not good"));
        json_decref(d);
        vf_report_free(r);
    }
    audit_place_done(&p);
}

static json_t *record(json_t *d, uint32_t n)
{
    struct vf_ref ref = ref_of(n);

    for (size_t i = 0; i < size(d, "records"); i++)
        if (memcmp(string(item(d, "records", i), "ref"), ref.c, VF_REF_LEN) == 0)
            return item(d, "records", i);
    return NULL;
}

/* One computer became two, and both went on: what either tells was read, and neither is good. */
static void check_fork(const struct audit_place *p, const char *const *paths, size_t n, bool sealed)
{
    struct vf_report *r = report_of(paths, n);
    json_t *d = document(p, r);
    size_t len;

    assert_int_equal(number(json_object_get(d, "total"), "reads"), 5);
    assert_int_equal(size(d, "records"), 5);
    assert_true(json_is_false(json_object_get(record(d, 1), "log_not_good")));
    assert_true(json_is_true(json_object_get(record(d, 3), "log_not_good"))); /* the shorter one alone */
    assert_true(json_is_false(json_object_get(record(d, 4), "log_not_good")));
    assert_non_null(strstr(notice(d, "other-copy"),
                           "2 reads stand only in another copy of the log of the station press-1, one that is not good"));
    assert_true(json_is_false(json_object_get(d, "good")));
    assert_non_null(strstr(string(d, "more"), sealed ? "5 of the reads told below come from a log that is not good"
                                                     : "2 of the reads told below come from a log that is not good"));
    assert_int_equal(vf_report_verdict(r, NULL), VF_E_FORGED);
    json_decref(d);
    char *html = written(p, r, true, &len);
    assert_int_equal(occurrences(html, " (a log that is not good)"), 2);
    assert_null(strstr(html, "None of this is a wrong by itself"));
    assert_non_null(strstr(html, "What is called serious does not happen on a computer that is in order"));
    free(html);
    vf_report_free(r);
}

static void test_fork(void **state)
{
    for (int turn = 0; turn < 2; turn++) {
        struct audit_place p;
        struct vf_log *log = begin(&p, MONDAY + 9 * HOUR);
        int64_t at = MONDAY + 9 * HOUR;

        (void)state;
        put_open(log, &(struct open_one){at, "/usr/bin/cat", 1000, 1, VF_FIELD_PHOTO});
        audit_close(log);
        struct audit_place q = clone_of(&p, "clone");
        char copy[400];
        log = audit_open(&q, &batch);
        put_open(log, &(struct open_one){at + 1, "/usr/bin/cat", 1000, 2, VF_FIELD_PHOTO});
        put_open(log, &(struct open_one){at + 2, "/usr/bin/cat", 1000, 3, VF_FIELD_PHOTO});
        audit_close(log);
        hand_in(&q, "clone.log", copy);
        if (turn == 1) { /* as if it had been killed before it sealed */
            char from[400], to[400];
            size_t len;
            audit_path(from, p.log, "checkpoints");
            audit_path(to, q.log, "checkpoints");
            char *text = audit_read(from, &len);
            audit_write(to, text, len);
            free(text);
        }
        log = audit_open(&p, &batch);
        put_open(log, &(struct open_one){at + 3, "/usr/bin/cat", 1000, 4, VF_FIELD_PHOTO});
        put_open(log, &(struct open_one){at + 4, "/usr/bin/cat", 1000, 5, VF_FIELD_PHOTO});
        put_denials(log);
        audit_close(log);
        const char *const paths[] = {q.log, p.log, copy}; /* what the clone handed in tells nothing more */
        check_fork(&p, paths, turn == 0 ? 3 : 2, turn == 0);
        audit_place_done(&p);
    }
}

/* A log longer than the window is read window by window: nothing is taken twice, and nothing is missed at an edge. */
static void test_fork_windows(void **state)
{
    struct audit_place p;
    struct vf_log *log = begin(&p, MONDAY + 9 * HOUR);
    int64_t at = MONDAY + 9 * HOUR;

    (void)state;
    for (uint32_t i = 0; i < 5; i++)
        put_open(log, &(struct open_one){at + i, "/usr/bin/cat", 1000, i, VF_FIELD_PHOTO});
    audit_close(log);
    struct audit_place q = clone_of(&p, "clone");
    log = audit_open(&q, &batch);
    for (uint32_t i = 5; i < 20; i++)
        put_open(log, &(struct open_one){at + i, "/usr/bin/cat", 1000, i, VF_FIELD_PHOTO});
    audit_close(log);
    log = audit_open(&p, &batch);
    put_open(log, &(struct open_one){at + 30, "/usr/bin/cat", 1000, 30, VF_FIELD_PHOTO});
    audit_close(log);
    for (uint32_t size = 1; size <= 32; size++) {
        struct vf_facts f;
        const size_t known = 0;
        OK(vf_facts_init(&f, 2, 4711, WHY));
        f.fork_window = size;
        for (size_t i = 0; i < 2; i++) {
            f.log[i].path = strdup(i == 0 ? p.log : q.log);
            f.log[i].verdict = calloc(1, sizeof(*f.log[i].verdict));
            assert_true(f.log[i].path != NULL && f.log[i].verdict != NULL);
            OK(vf_log_verify(f.log[i].path, &(struct vf_verify_options){0}, f.log[i].verdict, WHY));
        }
        f.log[1].same_as = 0;
        OK(vf_report_fork(&f, 1, &known, 1, WHY));
        assert_int_equal(f.all.opens[1], 15);
        assert_int_equal(f.refs.n, 15);
        assert_int_equal(f.log[1].only, 16); /* and the seal at its end */
        assert_false(f.log[1].verdict->good);
        assert_non_null(strstr(f.log[1].verdict->findings[0], "the two went apart"));
        vf_facts_done(&f);
    }
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
        cmocka_unit_test(test_counts),       cmocka_unit_test(test_bulk),          cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_output),       cmocka_unit_test(test_copies),        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_bounds),       cmocka_unit_test(test_forged_beside), cmocka_unit_test(test_fork),
        cmocka_unit_test(test_fork_windows), cmocka_unit_test(test_lone_repeat),   cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests(tests, audit_set_up, audit_tear_down);
}
