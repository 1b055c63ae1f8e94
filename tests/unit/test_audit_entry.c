/* SPDX-License-Identifier: MIT */
/* A line of the log: what the encoder writes, the parser takes, and nothing else. */
#include "audit_test.h"

#include "../../vaultfs/audit/entry.h"

#include <jansson.h>
#include <stdio.h>

#include "cmocka_std.h"

static const uint8_t nonce[16] = {0xde, 0xad, 0xbe, 0xef, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
#define SESSION "00112233445566778899aabbccddeeff"
#define TIME_US INT64_C(1795262400123456) /* 2026-11-21T12:00:00.123456Z */

/* The line without its newline. */
static char *line_of(const struct vf_entry *e, uint64_t seq, const uint8_t *seal_key, size_t *ret_len)
{
    VF_ENTRY_BODY body = {.split = 0};
    struct vf_entry_lines lines = {0};
    VF_BUF where = {0};

    vf_buf_init(&where, 8192);
    vf_entry_origin_put("printer", SESSION, &where);
    OK(vf_entry_body_make(e, seal_key, &body, WHY));
    assert_true(vf_entry_lines_add(&lines, seq, TIME_US, &body, &where, nonce));
    assert_int_equal(lines.data[lines.len - 1], '\n');
    char *text = strndup(lines.data, lines.len - 1);
    *ret_len = lines.len - 1;
    assert_int_equal(strlen(text), *ret_len);
    vf_entry_lines_done(&lines);
    return text;
}

static struct vf_entry full_entry(void)
{
    static const struct vf_grant_id grant = {"ABCDEFGHIJKLMNOP"};
    static const struct vf_ref refs[2] = {{"ABCDEFGH"}, {"Z2345677"}};

    return (struct vf_entry){
        .event = VF_EVENT_OPEN,
        .grant = &grant,
        .job = "cards",
        .recipient = "press-1",
        .refs = refs,
        .nrefs = 2,
        .part = VF_PART_TEXT,
        .fields = VF_FIELD_BIT(VF_FIELD_NAME_ON_CARD) | VF_FIELD_BIT(VF_FIELD_RANK),
        .has_bytes = true,
        .bytes = 81920,
        .has_caller = true,
        .uid = 4294967295U,
        .pid = 2147483647,
        .exe = "/usr/bin/\"card\" press",
        .has_count = true,
        .count = UINT64_MAX,
        .object = "sha256:00",
        .result = "ok",
    };
}

#define FULL                                                                                                                \
    "{\"seq\":1099511627775,\"time\":\"2026-11-21T12:00:00.123456Z\",\"event\":\"open\",\"category\":\"disclosure\","       \
    "\"grant\":\"ABCDEFGHIJKLMNOP\",\"job\":\"cards\",\"recipient\":\"press-1\",\"refs\":[\"ABCDEFGH\",\"Z2345677\"],"      \
    "\"part\":\"text\",\"fields\":[\"name_on_card\",\"rank\"],\"bytes\":81920,\"uid\":4294967295,\"pid\":2147483647,"       \
    "\"exe\":\"/usr/bin/\\\"card\\\" press\",\"count\":18446744073709551615,\"object\":\"sha256:00\",\"host\":\"printer\"," \
    "\"session\":\"" SESSION "\",\"result\":\"ok\",\"nonce\":\"deadbeef000102030405060708090a0b\"}"

static void is_text(struct vf_entry_text t, const char *want)
{
    if (want == NULL) {
        assert_null(t.p);
        return;
    }
    assert_int_equal(t.len, strlen(want));
    assert_memory_equal(t.p, want, t.len);
}

static void test_full(void **state)
{
    struct vf_entry e = full_entry();
    struct vf_entry_view v;
    size_t len = 0;

    (void)state;
    VF_FREE char *line = line_of(&e, VF_ENTRY_SEQ_MAX, NULL, &len);
    assert_string_equal(line, FULL);
    OK(vf_entry_parse(line, len, &v, WHY));
    assert_true(v.seq == VF_ENTRY_SEQ_MAX && v.time_us == TIME_US && v.event == VF_EVENT_OPEN);
    assert_ptr_equal(v.line, line);
    assert_int_equal(v.line_len, len);
    is_text(v.grant, "ABCDEFGHIJKLMNOP");
    is_text(v.job, "cards");
    is_text(v.recipient, "press-1");
    is_text(v.refs, "\"ABCDEFGH\",\"Z2345677\"");
    is_text(v.manifest, NULL);
    is_text(v.part, "text");
    is_text(v.fields, "\"name_on_card\",\"rank\"");
    is_text(v.exe, "/usr/bin/\\\"card\\\" press");
    is_text(v.object, "sha256:00");
    is_text(v.host, "printer");
    is_text(v.session, SESSION);
    is_text(v.result, "ok");
    assert_true(v.has_bytes && v.bytes == 81920 && v.has_count && v.count == UINT64_MAX && v.has_caller);
    assert_true(v.uid == UINT32_MAX && v.pid == INT32_MAX && !v.all);
}

static void test_least(void **state)
{
    struct vf_entry e = {.event = VF_EVENT_MOUNT, .part = -1, .result = ""};
    struct vf_entry_view v;
    size_t len = 0;

    (void)state;
    VF_FREE char *line = line_of(&e, 0, NULL, &len);
    assert_string_equal(
        line,
        "{\"seq\":0,\"time\":\"2026-11-21T12:00:00.123456Z\",\"event\":\"mount\",\"host\":\"printer\",\"session\":\"" SESSION
        "\",\"result\":\"\",\"nonce\":\"deadbeef000102030405060708090a0b\"}");
    OK(vf_entry_parse(line, len, &v, WHY));
    is_text(v.refs, NULL);
    is_text(v.result, "");
    assert_false(v.has_bytes || v.has_caller || v.has_count);
}

static void test_all_and_image(void **state)
{
    struct vf_hash manifest;
    struct vf_entry e = {
        .event = VF_EVENT_RELEASE, .all = &manifest, .part = VF_PART_IMAGE, .pid = -1, .has_caller = true, .result = "ok"};
    struct vf_entry_view v;
    size_t len = 0;

    (void)state;
    memset(manifest.b, 0xab, sizeof(manifest.b));
    VF_FREE char *line = line_of(&e, 7, NULL, &len);
    assert_non_null(strstr(line, "\"refs\":\"all\",\"manifest\":\"abababab"));
    assert_non_null(strstr(line, "\"pid\":0,"));
    OK(vf_entry_parse(line, len, &v, WHY));
    assert_true(v.all);
    is_text(v.refs, "all");
    assert_int_equal(v.manifest.len, 64);
    is_text(v.part, "image");
}

static void test_seal(void **state)
{
    struct vf_entry e = {.event = VF_EVENT_SEAL, .part = -1, .result = "ok"};
    struct vf_entry_view v;
    uint8_t key[32];
    size_t len = 0;

    (void)state;
    for (unsigned i = 0; i < 32; i++)
        key[i] = (uint8_t)(i * 9);
    VF_FREE char *line = line_of(&e, 3, key, &len);
    OK(vf_entry_parse(line, len, &v, WHY));
    assert_memory_equal(v.seal_key, key, 32);
    /* A key belongs to seal entries, and to no others. */
    size_t len2 = 0;
    VF_FREE char *without = line_of(&e, 3, NULL, &len2);
    assert_int_equal(vf_entry_parse(without, len2, &v, NULL), VF_E_FORMAT);
    e.event = VF_EVENT_MOUNT;
    VF_FREE char *with = line_of(&e, 3, key, &len2);
    assert_int_equal(vf_entry_parse(with, len2, &v, NULL), VF_E_FORMAT);
}

/* Every event, with the category that the Act has for it; and any JSON parser can read the line. */
static void test_events(void **state)
{
    static const char *const disclosures[] = {"open", "repeat", "release", "export"};

    (void)state;
    for (unsigned i = 0; i < VF_EVENT_COUNT; i++) {
        struct vf_entry e = full_entry();
        uint8_t key[32] = {1};
        struct vf_entry_view v;
        enum vf_event back;
        size_t len = 0;
        e.event = (enum vf_event)i;
        e.count = INT64_MAX; /* as far as jansson goes */
        VF_FREE char *line = line_of(&e, i, e.event == VF_EVENT_SEAL ? key : NULL, &len);
        OK(vf_entry_parse(line, len, &v, WHY));
        assert_int_equal(v.event, i);
        assert_true(vf_event_parse(vf_event_text(e.event), strlen(vf_event_text(e.event)), &back));
        assert_int_equal(back, i);
        json_t *json = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(json);
        const char *category = json_string_value(json_object_get(json, "category"));
        bool disclosure = false;
        for (size_t k = 0; k < sizeof(disclosures) / sizeof(disclosures[0]); k++)
            disclosure = disclosure || strcmp(vf_event_text(e.event), disclosures[k]) == 0;
        assert_int_equal(disclosure, category != NULL && strcmp(category, "disclosure") == 0);
        json_decref(json);
    }
    enum vf_event none;
    assert_false(vf_event_parse("", 0, &none));
    assert_false(vf_event_parse("opened", 6, &none));
    assert_false(vf_event_parse("ope", 3, &none));
    assert_string_equal(vf_event_text((enum vf_event)999), "unknown");
}

/* Strings are cut at 256 bytes, never within a character, and can hold anything. */
static void test_strings(void **state)
{
    struct vf_entry e = {.event = VF_EVENT_OPEN, .part = -1, .result = "ok"};
    struct vf_entry_view v;
    char exe[600];
    size_t len = 0;

    (void)state;
    memset(exe, 'a', sizeof(exe));
    exe[599] = '\0';
    e.exe = exe;
    VF_FREE char *plain = line_of(&e, 0, NULL, &len);
    OK(vf_entry_parse(plain, len, &v, WHY));
    assert_int_equal(v.exe.len, 256);
    for (size_t at = 253; at < 257; at++) {
        memset(exe, 'a', sizeof(exe) - 1);
        memcpy(exe + at, "\xf0\x9f\x9a\x93", 4); /* a character of four bytes across the limit */
        VF_FREE char *line = line_of(&e, 0, NULL, &len);
        OK(vf_entry_parse(line, len, &v, WHY));
        assert_int_equal(v.exe.len, at <= 252 ? 256 : at > 256 ? 256 : at);
        assert_true(vf_utf8_valid(line, len));
    }
    /* Bytes that are no text, control characters, a bidirectional override, a newline: all on one safe line. */
    e.exe = "x\n\r\t\x01\x7f\"\\\xff\xe2\x80\xae\xe2\x80\xa8y";
    VF_FREE char *odd = line_of(&e, 0, NULL, &len);
    OK(vf_entry_parse(odd, len, &v, WHY));
    is_text(v.exe, "x\\n\\r\\t\\u0001\\u007f\\\"\\\\\xef\xbf\xbd\\u202e\\u2028y");
    json_t *json = json_loads(odd, 0, NULL);
    assert_non_null(json);
    json_decref(json);
}

/* The longest entry there can be is still a line. */
static void test_longest(void **state)
{
    static struct vf_ref refs[VF_ENTRY_REFS_MAX];
    struct vf_entry e = full_entry();
    struct vf_entry_view v;
    char worst[300];
    size_t len = 0;

    (void)state;
    for (size_t i = 0; i < VF_ENTRY_REFS_MAX; i++)
        memcpy(refs[i].c, "ABCDEFG2", 8);
    memset(worst, '\x01', sizeof(worst));
    worst[299] = '\0';
    e.refs = refs;
    e.nrefs = VF_ENTRY_REFS_MAX;
    e.job = e.recipient = e.exe = e.object = e.result = worst;
    e.fields = UINT32_MAX;
    VF_FREE char *line = line_of(&e, VF_ENTRY_SEQ_MAX, NULL, &len);
    assert_true(len <= VF_ENTRY_LINE_MAX && len > 18000);
    OK(vf_entry_parse(line, len, &v, WHY));
}

static enum vf_err make(const struct vf_entry *e)
{
    VF_ENTRY_BODY body = {.split = 0};

    return vf_entry_body_make(e, NULL, &body, NULL);
}

static void test_refused_entries(void **state)
{
    static const struct vf_ref bad_ref = {"ABC\"EFGH"};
    static const struct vf_grant_id bad_grant = {"ABCDEFGH1JKLMNOP"};
    static const struct vf_hash all;
    struct vf_entry e = full_entry();

    (void)state;
    e.result = NULL;
    assert_int_equal(make(&e), VF_E_INPUT);
    e = full_entry();
    e.event = VF_EVENT_COUNT;
    assert_int_equal(make(&e), VF_E_INPUT);
    e = full_entry();
    e.all = &all;
    assert_int_equal(make(&e), VF_E_INPUT);
    e = full_entry();
    e.nrefs = VF_ENTRY_REFS_MAX + 1;
    assert_int_equal(make(&e), VF_E_LIMIT);
    e = full_entry();
    e.refs = &bad_ref;
    e.nrefs = 1;
    assert_int_equal(make(&e), VF_E_INPUT);
    e = full_entry();
    e.grant = &bad_grant;
    assert_int_equal(make(&e), VF_E_INPUT);
}

struct swap {
    const char *from, *to;
};

/* One change each to a good line; none of the results is an entry. */
static const struct swap swaps[] = {
    {"{\"seq\"", " {\"seq\""},
    {"\"seq\":1099511627775", "\"seq\":1099511627776"},
    {"\"seq\":1099511627775", "\"seq\":01"},
    {"\"seq\":1099511627775", "\"seq\":-1"},
    {"\"seq\":1099511627775", "\"seq\":1.0"},
    {"\"seq\":1099511627775", "\"seq\":"},
    {"\"seq\":1", "\"seq\": 1"},
    {"12:00:00.123456Z", "12:00:00.12345Z"},
    {"12:00:00.123456Z", "12:00:60.123456Z"},
    {"2026-11-21", "2026-11-31"},
    {"\"event\":\"open\"", "\"event\":\"peek\""},
    {"\"event\":\"open\"", "\"event\":\"seal\""},
    {"\"category\":\"disclosure\"", "\"category\":\"collection\""},
    {"\"category\":\"disclosure\",", ""},
    {"\"grant\":\"A", "\"grant\":\"1"},
    {"\"grant\":\"A", "\"grant\":\""},
    {"\"refs\":[\"ABCDEFGH\",\"Z2345677\"]", "\"refs\":[]"},
    {"\"refs\":[\"ABCDEFGH\",", "\"refs\":[\"ABCDEFGH\",,"},
    {"\"refs\":[\"ABCDEFGH\",", "\"refs\":[\"ABCDEFG\","},
    {"\"refs\":[\"ABCDEFGH\",", "\"refs\":[\"abcdefgh\","},
    {"\"refs\":[\"ABCDEFGH\",\"Z2345677\"]", "\"refs\":\"all\""},
    {"\"part\":\"text\"", "\"part\":\"face\""},
    {"\"fields\":[\"name", "\"fields\":[\"Name"},
    {"\"bytes\":81920", "\"bytes\":081920"},
    {"\"uid\":4294967295", "\"uid\":4294967296"},
    {"\"pid\":2147483647", "\"pid\":2147483648"},
    {",\"pid\":2147483647", ""},
    {"\"exe\":\"/usr", "\"exe\":\"\x01usr"},
    {"\"exe\":\"/usr", "\"exe\":\"\\x00"},
    {"\"exe\":\"/usr", "\"exe\":\"\\u00G0"},
    {"\"exe\":\"/usr", "\"exe\":\"\\u00AB"},
    {"\"exe\":\"/usr", "\"exe\":\"\xff"},
    {"\"exe\":\"/usr", "\"exe\":\"\xe2\x80\xae"},
    {"\"count\":18446744073709551615", "\"count\":18446744073709551616"},
    {"\"host\":\"printer\",", ""},
    {"\"session\":\"0", "\"session\":\"G"},
    {"\"session\":\"0", "\"session\":\""},
    {"\"result\":\"ok\",", ""},
    {"\"result\":\"ok\"", "\"result\":ok"},
    {"\"nonce\":\"d", "\"nonce\":\"D"},
    {"0b\"}", "0b\"} "},
    {"0b\"}", "0b\"}}"},
    {"0b\"}", "0b\",\"more\":1}"},
    {"0b\"}", "0b\""},
    {"\"job\":\"cards\",\"recipient\":\"press-1\"", "\"recipient\":\"press-1\",\"job\":\"cards\""},
    {"\"job\":\"cards\"", "\"job\":\"cards\",\"job\":\"cards\""},
    {"\"job\":\"cards\"", "\"kind\":\"cards\""},
};

static void test_refused_lines(void **state)
{
    struct vf_entry_view v;

    (void)state;
    OK(vf_entry_parse(FULL, strlen(FULL), &v, WHY));
    for (size_t i = 0; i < sizeof(swaps) / sizeof(swaps[0]); i++) {
        char line[2048];
        struct vf_why why = {0};
        const char *at = strstr(FULL, swaps[i].from);
        assert_non_null(at);
        (void)snprintf(line, sizeof(line), "%.*s%s%s", (int)(at - FULL), FULL, swaps[i].to, at + strlen(swaps[i].from));
        if (vf_entry_parse(line, strlen(line), &v, &why) != VF_E_FORMAT)
            fail_msg("accepted: %s -> %s", swaps[i].from, swaps[i].to);
        assert_non_null(strstr(why.text, "not a log entry: near byte"));
    }
    assert_int_equal(vf_entry_parse("", 0, &v, NULL), VF_E_FORMAT);
    VF_FREE char *huge = calloc(1, VF_ENTRY_LINE_MAX + 1);
    assert_int_equal(vf_entry_parse(huge, VF_ENTRY_LINE_MAX + 1, &v, NULL), VF_E_FORMAT);
    /* More refs than an entry can name. */
    VF_BUF many = {0};
    vf_buf_init(&many, VF_ENTRY_LINE_MAX);
    const char *refs = strstr(FULL, "\"ABCDEFGH\",");
    vf_buf_put(&many, FULL, (size_t)(refs - FULL));
    for (int i = 0; i < VF_ENTRY_REFS_MAX - 1; i++)
        vf_buf_text(&many, "\"ABCDEFGH\",");
    size_t max = many.len;
    vf_buf_text(&many, refs + strlen("\"ABCDEFGH\","));
    OK(vf_entry_parse((const char *)many.data, many.len, &v, WHY));
    many.len = max;
    vf_buf_text(&many, refs);
    assert_int_equal(vf_entry_parse((const char *)many.data, many.len, &v, NULL), VF_E_FORMAT);
}

/* Every byte of a line changed to every other value, and the line cut at every length: refused, or an entry that is encoded alike. */
static void test_mutations(void **state)
{
    char line[2048];
    size_t len = strlen(FULL);
    unsigned taken = 0;

    (void)state;
    memcpy(line, FULL, len);
    for (size_t at = 0; at < len; at++) {
        for (unsigned b = 0; b < 256; b++) {
            struct vf_entry_view v;
            line[at] = (char)b;
            bool ok = vf_entry_parse(line, len, &v, NULL) == VF_OK;
            taken += ok && b != (uint8_t)FULL[at] ? 1 : 0;
            if (b == (uint8_t)FULL[at])
                assert_true(ok);
            /* Nothing that is accepted leaves the line or its characters. */
            if (ok)
                assert_true(vf_text_printable(line, len));
        }
        line[at] = FULL[at];
    }
    /* Letters of names, digits of numbers and of the nonce may change; the skeleton may not. */
    assert_true(taken > 1000 && taken < len * 120);
    for (size_t cut = 0; cut < len; cut++) {
        struct vf_entry_view v;
        VF_FREE char *exact = malloc(cut > 0 ? cut : 1);
        memcpy(exact, FULL, cut);
        assert_int_equal(vf_entry_parse(exact, cut, &v, NULL), VF_E_FORMAT);
    }
}

/* Where hex digits stand, exactly sixteen of all bytes are taken, in every place; in a grant and a ref exactly thirty-two. */
static void test_digits(void **state)
{
    static const struct {
        const char *name;
        size_t len;
        unsigned count;
    } places[] = {{"\"nonce\":\"", 32, 16}, {"\"session\":\"", 32, 16}, {"\"grant\":\"", 16, 32}, {"\"refs\":[\"", 8, 32}};
    struct vf_entry_view v;

    (void)state;
    for (size_t p = 0; p < sizeof(places) / sizeof(places[0]); p++) {
        char line[] = FULL;
        char *at = strstr(line, places[p].name);
        assert_non_null(at);
        at += strlen(places[p].name);
        for (size_t i = 0; i < places[p].len; i++) {
            char was = at[i];
            unsigned taken = 0;
            for (int c = 0; c < 256; c++) {
                at[i] = (char)c;
                taken += vf_entry_parse(line, sizeof(line) - 1, &v, NULL) == VF_OK ? 1 : 0;
            }
            assert_int_equal(taken, places[p].count);
            at[i] = was;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full),      cmocka_unit_test(test_least),           cmocka_unit_test(test_all_and_image),
        cmocka_unit_test(test_seal),      cmocka_unit_test(test_events),          cmocka_unit_test(test_strings),
        cmocka_unit_test(test_longest),   cmocka_unit_test(test_refused_entries), cmocka_unit_test(test_refused_lines),
        cmocka_unit_test(test_mutations), cmocka_unit_test(test_digits),
    };

    return cmocka_run_group_tests(tests, audit_set_up, audit_tear_down);
}
