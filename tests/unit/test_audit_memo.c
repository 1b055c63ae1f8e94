/* SPDX-License-Identifier: MIT */
/*
 * Taking entries apart with a memo of the one before: the answer is that of taking each apart by itself, piece by piece, for lines of all kinds
 * behind lines of all kinds, as they are, touched in every byte, and put together from parts of two.
 */
#include "audit_test.h"
#include "entry_same.h"

#include <stdio.h>

#include "cmocka_std.h"

#define KINDS    16
#define PARTS    48
#define LINE_MAX 1024

static char lines[KINDS][LINE_MAX];
static size_t lens[KINDS];

/* Those that a log is full of, those that differ from them in one piece, and those with everything. */
static struct vf_entry kind(unsigned k)
{
    static const struct vf_grant_id grant = {"ABCDEFGHIJKLMNOP"};
    static const struct vf_ref refs[2] = {{"ABCDEFGH"}, {"Z2345677"}};
    static struct vf_hash manifest;
    struct vf_entry e = {.event = VF_EVENT_OPEN,
                         .grant = &grant,
                         .job = "cards",
                         .recipient = "press-1",
                         .refs = refs,
                         .nrefs = 1,
                         .part = VF_PART_IMAGE,
                         .fields = VF_FIELD_BIT(VF_FIELD_PHOTO),
                         .has_bytes = true,
                         .bytes = 98304,
                         .has_caller = true,
                         .uid = 1000,
                         .pid = 20,
                         .exe = "/usr/bin/press",
                         .result = "ok"};

    memset(manifest.b, 0xab, sizeof(manifest.b));
    if (k == 1 || k == 2) { /* another part, with one field and with two */
        e.part = VF_PART_TEXT;
        e.fields = VF_FIELD_BIT(VF_FIELD_RANK) | (k == 2 ? VF_FIELD_BIT(VF_FIELD_NAME_ON_CARD) : 0);
    } else if (k == 3) {
        e.pid = 201; /* begins as the other one does */
    } else if (k == 4) {
        e.exe = NULL;
    } else if (k == 5) {
        e.recipient = NULL;
    } else if (k == 6) {
        e.job = e.recipient = NULL;
    } else if (k == 7) {
        e.grant = NULL;
        e.nrefs = 2;
        e.result = "EKEYEXPIRED";
    } else if (k == 8) {
        e.refs = NULL;
        e.nrefs = 0;
        e.all = &manifest;
        e.has_count = true;
        e.count = UINT64_MAX;
    } else if (k == 9) {
        e.event = VF_EVENT_DENY;
        e.job = "a \"job\" \\ \xc3\xa9";
        e.has_bytes = e.has_caller = false;
        e.object = "sha256:00";
    } else if (k == 10) {
        e = (struct vf_entry){.event = VF_EVENT_MOUNT, .part = -1, .result = ""};
    } else if (k == 11) {
        e = (struct vf_entry){.event = VF_EVENT_SEAL, .part = -1, .result = "ok"};
    } else if (k == 12) {
        e.part = -1;
        e.fields = 0;
    } else if (k == 13) {
        e.event = VF_EVENT_REPEAT;
        e.has_count = true;
        e.count = 3;
    } else if (k == 14) {
        e.has_caller = false; /* a program all the same */
    }
    return e;
}

static int make_lines(void **state)
{
    static const int64_t times[4] = {1795262400123456, 1795262400123457, 1795262459999999, 1795262460000000};
    uint8_t nonce[VF_ENTRY_NONCE_LEN];
    uint8_t key[32];

    if (audit_set_up(state) != 0)
        return -1;
    memset(key, 7, sizeof(key));
    for (unsigned k = 0; k < KINDS; k++) {
        VF_ENTRY_BODY body = {.split = 0};
        struct vf_entry_lines out = {0};
        struct vf_entry e = kind(k);
        VF_BUF where = {0};
        vf_buf_init(&where, 8192);
        vf_entry_origin_put(k == 15 ? "other" : "printer", "00112233445566778899aabbccddeeff", &where);
        memset(nonce, (int)(k * 17), sizeof(nonce));
        OK(vf_entry_body_make(&e, e.event == VF_EVENT_SEAL ? key : NULL, &body, WHY));
        assert_true(vf_entry_lines_add(&out, k < 8 ? k : 99999990 + 3 * k, times[k % 4], &body, &where, nonce));
        lens[k] = out.len - 1;
        assert_true(lens[k] < LINE_MAX);
        memcpy(lines[k], out.data, lens[k]);
        vf_entry_lines_done(&out);
    }
    return 0;
}

/* The memo that the line of kind k leaves. */
static void prime(unsigned k, struct vf_entry_memo *memo, struct vf_entry_view *view)
{
    *memo = (struct vf_entry_memo){0};
    assert_true(vf_entry_take(lines[k], lens[k], memo, view));
    assert_ptr_equal(memo->before, view);
}

/* In a block of its exact size, so that a sanitizer sees the first byte read beyond it. */
static bool check_one(const char *line, size_t len, const struct vf_entry_memo *before)
{
    VF_FREE char *exact = malloc(len > 0 ? len : 1);
    struct vf_entry_memo memo = *before;
    struct vf_entry_view view;
    bool taken = false;

    assert_non_null(exact);
    memcpy(exact, line, len);
    assert_true(entry_same(exact, len, &memo, &view, &taken));
    /* What was refused leaves nothing behind. */
    assert_true(taken || memcmp(&memo, before, sizeof(memo)) == 0);
    return taken;
}

static void test_pairs_and_threes(void **state)
{
    struct vf_entry_view views[3];

    (void)state;
    for (unsigned a = 0; a < KINDS; a++)
        for (unsigned b = 0; b < KINDS; b++)
            for (unsigned c = 0; c < KINDS; c++) {
                struct vf_entry_memo memo;
                bool taken = false;
                prime(a, &memo, &views[0]);
                assert_true(entry_same(lines[b], lens[b], &memo, &views[1], &taken) && taken);
                assert_true(entry_same(lines[c], lens[c], &memo, &views[2], &taken) && taken);
            }
}

/* Each byte changed, left out and doubled, and the line cut off, behind each kind. */
static void test_touched(void **state)
{
    static const char others[] = {'0', '9', 'a', 'A', '"', ',', '\\', '}', 0, (char)0xff};
    unsigned long good = 0;

    (void)state;
    for (unsigned a = 0; a < KINDS; a++) {
        struct vf_entry_memo memo;
        struct vf_entry_view view;
        unsigned b = (a * 5 + 3) % KINDS;
        prime(a, &memo, &view);
        for (unsigned turn = 0; turn < 2; turn++, b = a) {
            char line[LINE_MAX + 1];
            for (size_t i = 0; i < lens[b]; i++) {
                memcpy(line, lines[b], lens[b]);
                (void)check_one(line, i, &memo);
                for (size_t o = 0; o < sizeof(others); o++) {
                    line[i] = others[o];
                    good += check_one(line, lens[b], &memo) ? 1 : 0;
                }
                memcpy(line + i, lines[b] + i + 1, lens[b] - i - 1);
                good += check_one(line, lens[b] - 1, &memo) ? 1 : 0;
                memcpy(line, lines[b], i + 1);
                memcpy(line + i + 1, lines[b] + i, lens[b] - i);
                good += check_one(line, lens[b] + 1, &memo) ? 1 : 0;
            }
        }
    }
    assert_true(good > 1000); /* digits of numbers, letters of names */
}

/* Where a field begins; and the end. */
static size_t parts_of(unsigned k, size_t at[PARTS])
{
    size_t n = 0;

    for (size_t i = 0; i < lens[k]; i++)
        if (lines[k][i] == ',' && lines[k][i + 1] == '"' && n + 1 < PARTS)
            at[n++] = i;
    at[n++] = lens[k];
    return n;
}

static void join(unsigned b, size_t len, unsigned c, size_t from, const struct vf_entry_memo *memo, unsigned long *good)
{
    char line[2 * LINE_MAX];

    memcpy(line, lines[b], len);
    memcpy(line + len, lines[c] + from, lens[c] - from);
    *good += check_one(line, len + lens[c] - from, memo) ? 1 : 0;
}

/* The beginning of one up to a field, and another from a field on: what is missing, doubled, in another order. */
static void test_joined(void **state)
{
    unsigned long good = 0;

    (void)state;
    for (unsigned a = 0; a < KINDS; a++) {
        struct vf_entry_memo memo;
        struct vf_entry_view view;
        prime(a, &memo, &view);
        for (unsigned b = 0; b < KINDS; b += 1 + a % 2) {
            size_t ends[PARTS];
            size_t begins[PARTS];
            unsigned c = (a + b * 7) % KINDS;
            size_t nb = parts_of(b, ends);
            size_t nc = parts_of(c, begins);
            for (size_t i = 0; i < nb; i++)
                for (size_t j = 0; j < nc; j++)
                    join(b, ends[i], c, begins[j], &memo, &good);
        }
    }
    assert_true(good > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pairs_and_threes),
        cmocka_unit_test(test_touched),
        cmocka_unit_test(test_joined),
    };

    return cmocka_run_group_tests_name("audit memo", tests, make_lines, audit_tear_down);
}
