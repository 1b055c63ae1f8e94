/* SPDX-License-Identifier: MIT */
/* What the tests of the report share: logs to report on, and looks at what came out. */
#ifndef VAULTFS_TESTS_REPORT_HTML_TEST_H
#define VAULTFS_TESTS_REPORT_HTML_TEST_H

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

static inline struct vf_ref ref_of(uint32_t n)
{
    const uint8_t bytes[5] = {0, (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};
    struct vf_ref ref;

    vf_ref_from_bytes(bytes, &ref);
    return ref;
}

static inline struct vf_entry opening(const struct open_one *o, const struct vf_ref *ref)
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

static inline void append(struct vf_log *log, const struct vf_entry *e)
{
    uint64_t seq;

    OK(vf_log_append(log, e, &seq, WHY));
}

static inline void put_open(struct vf_log *log, const struct open_one *o)
{
    struct vf_ref ref = ref_of(o->ref);
    const struct vf_entry e = opening(o, &ref);

    fake_clock_set(o->us, o->us - MONDAY + 100 * HOUR);
    append(log, &e);
}

static const struct vf_log_options batch = {.batch = true};

static inline struct vf_log *begin(struct audit_place *p, int64_t us)
{
    fake_clock_set(us, us - MONDAY + 100 * HOUR);
    audit_place_make(p);
    return audit_open(p, &batch);
}

static inline struct vf_report *report_of(const char *const *logs, size_t n)
{
    const struct vf_report_options opt = {.logs = logs, .nlogs = n, .now_us = MONDAY + 30 * VF_DAY_US};
    struct vf_report *r = NULL;

    OK(vf_report_make(&opt, &r, WHY));
    return r;
}

static inline char *written(const struct audit_place *p, const struct vf_report *r, bool html, size_t *ret_len)
{
    char path[400];

    audit_path(path, p->dir.path, html ? "out.html" : "out.json");
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    OK(html ? vf_report_write_html(r, fd, path, WHY) : vf_report_write_json(r, fd, path, WHY));
    assert_int_equal(close(fd), 0);
    return audit_read(path, ret_len);
}

static inline json_t *document(const struct audit_place *p, const struct vf_report *r)
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

static inline json_int_t number(json_t *d, const char *key)
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

static inline json_t *item(json_t *d, const char *key, size_t i)
{
    json_t *x = json_array_get(json_object_get(d, key), i);

    assert_non_null(x);
    return x;
}

static inline size_t size(json_t *d, const char *key)
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

static inline json_t *record(json_t *d, uint32_t n)
{
    struct vf_ref ref = ref_of(n);

    for (size_t i = 0; i < size(d, "records"); i++)
        if (memcmp(string(item(d, "records", i), "ref"), ref.c, VF_REF_LEN) == 0)
            return item(d, "records", i);
    return NULL;
}

static inline void put_denials(struct vf_log *log)
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

static inline void put_repeats(struct vf_log *log, uint64_t n)
{
    struct vf_ref ref = ref_of(1);
    struct vf_entry e = opening(&(struct open_one){0, "/usr/bin/cat", 1000, 1, VF_FIELD_PHOTO}, &ref);

    e.event = VF_EVENT_REPEAT;
    e.has_count = true;
    e.count = n;
    append(log, &e);
}

static inline void put_list(struct vf_log *log)
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

static inline size_t occurrences(const char *text, const char *what)
{
    size_t n = 0;

    for (const char *p = strstr(text, what); p != NULL; p = strstr(p + 1, what))
        n++;
    return n;
}

#endif
