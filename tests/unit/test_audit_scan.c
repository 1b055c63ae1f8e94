/* SPDX-License-Identifier: MIT */
/* Files of all shapes, taken apart by all cores, give what reading them line by line gives; and entries are told once, in order. */
#include "audit_forge.h"

#include "../../vaultfs/audit/scan.h"
#include "../../vaultfs/audit/segment.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "cmocka_std.h"

#define MIB ((size_t)1 << 20)

static struct scratch dir;

static int fresh(void **state)
{
    (void)state;
    scratch_make(&dir);
    return 0;
}

static int away(void **state)
{
    (void)state;
    scratch_remove(&dir);
    return 0;
}

/* ------------------------------------------------------------------------------------------------------------------- scan */

static uint64_t seed;

static unsigned roll(unsigned n)
{
    seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (unsigned)(seed >> 33) % n;
}

/* Entries of many lengths, and between them what no writer writes: empty lines, rubbish, lines longer than any entry and than a chunk. */
static void make_file(struct vf_buf *out, size_t size, bool torn)
{
    struct forge f;
    char path[400];

    (void)snprintf(path, sizeof(path), "%s/forge-%u", dir.path, roll(1u << 30));
    forge_begin(&f, path, 64 * MIB);
    vf_buf_init(out, 2 * size + 4 * MIB);
    while (out->len < size) {
        unsigned what = roll(100);
        forge_add(&f, what < 3 ? 1024 : 1 + roll(40));
        vf_buf_put(out, f.entries.data, f.entries.len);
        vf_buf_reset(&f.entries);
        if (what >= 90 && what < 94)
            vf_buf_text(out, "\n\nrubbish\n");
        if (what == 95) {
            size_t n = roll(2) == 0 ? VF_ENTRY_LINE_MAX + roll(3) : 20000 + roll(900000);
            memset(vf_buf_grow(out, n), 'x', n);
            vf_buf_text(out, "\n");
        }
    }
    if (torn)
        vf_buf_text(out, "{\"seq\":99,\"ti");
    assert_true(vf_buf_ok(out));
    forge_done(&f);
}

/* What came: each entry's hash and end, the number of malformed lines before it, an incomplete last line. */
struct seen {
    struct vf_hasher h;
    uint64_t n, bad, end;
    bool torn;
};

static void note_entry(struct seen *s, const struct vf_hash *leaf, uint64_t end, uint64_t bad, const char *text)
{
    uint64_t numbers[2] = {end, bad};

    vf_hasher_update(&s->h, leaf->b, sizeof(leaf->b));
    vf_hasher_update(&s->h, numbers, sizeof(numbers));
    vf_hasher_update(&s->h, text, strlen(text));
    s->n++;
}

static void by_lines(int fd, uint64_t end, struct seen *s)
{
    VF_CLEANUP(vf_line_reader_done) struct vf_line_reader r = {0};
    enum vf_line_kind kind = VF_LINE_WHOLE;
    struct vf_entry_view view;
    const char *line = NULL;
    size_t len = 0;
    uint64_t bad = 0;
    char text[200] = "";

    OK(vf_hasher_init(&s->h, WHY));
    OK(vf_line_reader_init(&r, WHY));
    vf_line_reader_start(&r, fd, 0, end);
    for (;;) {
        struct vf_why why = {0};
        OK(vf_line_reader_next(&r, "file", &kind, &line, &len, WHY));
        if (kind == VF_LINE_END || kind == VF_LINE_TORN)
            break;
        s->end = r.at;
        if (kind == VF_LINE_WHOLE && vf_entry_parse(line, len, &view, &why) == VF_OK) {
            struct vf_hash leaf;
            vf_leaf_hash(line, len, &leaf);
            note_entry(s, &leaf, r.at, bad, text);
            bad = 0;
            text[0] = '\0';
        } else if (bad++ == 0) {
            (void)snprintf(text, sizeof(text), "%.190s", kind == VF_LINE_LONG ? "a line longer than any entry" : why.text);
        }
    }
    s->torn = kind == VF_LINE_TORN;
    s->bad = bad;
}

static void by_scan(struct vf_scan *scan, int fd, uint64_t end, struct seen *s)
{
    struct vf_scan_item item = {0};
    char text[200] = "";
    uint64_t bad = 0;

    OK(vf_hasher_init(&s->h, WHY));
    vf_scan_start(scan, fd, 0, end, "file");
    for (;;) {
        OK(vf_scan_next(scan, &item, WHY));
        if (item.kind == VF_SCAN_END)
            break;
        if (item.kind == VF_SCAN_ENTRY) {
            note_entry(s, &item.entry->leaf, item.end, bad, text);
            bad = 0;
            text[0] = '\0';
        } else {
            if (bad == 0)
                memcpy(text, item.text, sizeof(text));
            bad += item.count;
        }
    }
    s->end = item.end;
    s->torn = item.bytes > 0;
    s->bad = bad;
    OK(vf_scan_next(scan, &item, WHY));
    assert_int_equal(item.kind, VF_SCAN_END);
    vf_scan_stop(scan);
}

static void compare(struct vf_scan *scan, int fd, uint64_t end)
{
    struct seen a = {0};
    struct seen b = {0};
    struct vf_hash x;
    struct vf_hash y;

    by_lines(fd, end, &a);
    by_scan(scan, fd, end, &b);
    assert_true(a.n == b.n && a.bad == b.bad && a.end == b.end && a.torn == b.torn);
    vf_hasher_final(&a.h, &x);
    vf_hasher_final(&b.h, &y);
    assert_memory_equal(x.b, y.b, sizeof(x.b));
    vf_hasher_done(&a.h);
    vf_hasher_done(&b.h);
}

static int file_of(const struct vf_buf *b)
{
    char path[400];

    audit_path(path, dir.path, "file");
    audit_write(path, b->data, b->len);
    return open(path, O_RDONLY | O_CLOEXEC);
}

static void test_shapes(void **state)
{
    static const size_t sizes[] = {0, 1, 1000, 256 * 1024, 600 * 1024, 5 * MIB};
    VF_CLEANUP(vf_scan_cleanup) struct vf_scan *scan = NULL;

    (void)state;
    OK(vf_scan_new(&scan, WHY));
    for (unsigned i = 0; i < 2 * sizeof(sizes) / sizeof(sizes[0]); i++) {
        VF_BUF b = {0};
        seed = i;
        make_file(&b, sizes[i / 2], i % 2 != 0);
        VF_FD fd = file_of(&b);
        compare(scan, fd, INT64_MAX);
        /* Ends within a line, at a chunk's end, one before and behind it, and within what a chunk reads of the next. */
        const size_t at[] = {256 * 1024 - 1,        256 * 1024, 256 * 1024 + 1, 256 * 1024 + 300,
                             2 * 256 * 1024 + 1024, b.len / 2,  b.len - 1};
        for (size_t k = 0; k < sizeof(at) / sizeof(at[0]) && i % 2 == 0; k++)
            if (at[k] < b.len)
                compare(scan, fd, at[k]);
    }
}

/* Lines that end exactly where chunks do, and a line without end. */
static void test_seams(void **state)
{
    VF_CLEANUP(vf_scan_cleanup) struct vf_scan *scan = NULL;
    const size_t chunk = 256 * 1024;

    (void)state;
    OK(vf_scan_new(&scan, WHY));
    for (unsigned i = 0; i < 40; i++) {
        VF_BUF b = {0};
        vf_buf_init(&b, 4 * MIB);
        size_t n = chunk - 20 + i;
        memset(vf_buf_grow(&b, n), i % 2 != 0 ? 'y' : '\n', n);
        if (i % 4 != 3)
            vf_buf_text(&b, "\n");
        n = 3 * chunk - b.len;
        memset(vf_buf_grow(&b, n), 'z', n);
        if (i % 3 == 0)
            vf_buf_text(&b, "\n");
        VF_FD fd = file_of(&b);
        compare(scan, fd, INT64_MAX);
    }
}

static void test_search(void **state)
{
    static const char *const needles[] = {"AAAAAAA3\"", "rubbish", "\"refs\":\"all\""};
    VF_CLEANUP(vf_scan_cleanup) struct vf_scan *scan = NULL;
    struct vf_scan_item item = {0};
    VF_BUF b = {0};
    uint64_t want = 0;
    uint64_t got = 0;

    (void)state;
    seed = 5;
    make_file(&b, 5 * MIB, true);
    for (const char *p = (const char *)b.data, *end = p + b.len, *nl; (nl = memchr(p, '\n', (size_t)(end - p))) != NULL;
         p = nl + 1) {
        struct vf_entry_view view;
        if (memmem(p, (size_t)(nl - p), needles[0], strlen(needles[0])) != NULL &&
            vf_entry_parse(p, (size_t)(nl - p), &view, NULL) == VF_OK)
            want += view.seq + 1;
    }
    assert_true(want > 0);
    VF_FD fd = file_of(&b);
    OK(vf_scan_new(&scan, WHY));
    vf_scan_filter(scan, needles, 3);
    vf_scan_start(scan, fd, 0, INT64_MAX, "file");
    OK(vf_scan_next(scan, &item, WHY));
    while (item.kind == VF_SCAN_ENTRY) {
        assert_non_null(memmem(item.entry->view.line, item.entry->view.line_len, needles[0], strlen(needles[0])));
        got += item.entry->view.seq + 1;
        OK(vf_scan_next(scan, &item, WHY));
    }
    assert_int_equal(item.kind, VF_SCAN_END);
    assert_true(got == want);
}

/* ---------------------------------------------------------------------------------------------------------------- telling */

struct told {
    uint64_t n, sealed;
    struct forge *f;
    struct vf_log *log;
    unsigned waits;
};

static enum vf_err each(void *user, const struct vf_entry_view *e, bool sealed, struct vf_why *why)
{
    struct told *t = user;

    (void)why;
    assert_true(e->seq == t->n && e->line[e->line_len - 1] == '}' && e->line[e->line_len] == '\n');
    t->n++;
    t->sealed += sealed ? 1 : 0;
    return VF_OK;
}

/* More between two checkpoints than is held: told from a second reading, proven all the same. */
static void test_crowded(void **state)
{
    struct told t = {0};
    struct vf_verify_options opt = {.each = each, .user = &t};
    static struct vf_verdict v;
    struct forge f;
    char path[400];

    (void)state;
    audit_path(path, dir.path, "log");
    forge_begin(&f, path, 64 * MIB);
    for (unsigned i = 0; i < 20; i++)
        forge_add(&f, 1);
    forge_seal(&f);
    while (f.entries.len < 28 * MIB)
        forge_add(&f, 1024);
    forge_seal(&f);
    forge_add(&f, 1);
    uint64_t total = f.tree.size;
    forge_write(&f);
    forge_done(&f);
    OK(vf_log_verify(path, &opt, &v, WHY));
    assert_true(v.good && v.entries == total && v.sealed == total - 1);
    assert_true(t.n == total && t.sealed == total - 1);
}

/* A writer goes on while it is followed. */
static bool write_on(void *user)
{
    struct told *t = user;

    if (t->waits++ == 6)
        return false;
    for (unsigned i = 0; i < t->waits; i++)
        audit_commit(t->log, i);
    if (t->waits % 2 == 0)
        audit_seal(t->log);
    return true;
}

static void test_follow(void **state)
{
    const struct vf_log_options small = {.batch = true, .segment_max = 4096};
    struct told t = {0};
    struct vf_verify_options opt = {.each = each, .user = &t, .wait = write_on};
    static struct vf_verdict v;
    struct audit_place place;

    (void)state;
    audit_place_make(&place);
    t.log = audit_open(&place, &small);
    audit_commit(t.log, 1);
    audit_seal(t.log);
    OK(vf_log_verify(place.log, &opt, &v, WHY));
    assert_true(v.good && t.waits == 7 && v.entries == 2 + 21 + 3 && t.n == v.entries && t.sealed == v.sealed &&
                v.sealed == t.n);
    audit_close(t.log);
    audit_place_done(&place);
}

/* The disk of the writer failed, and what was not sealed is written anew in a new segment: what was told before is told once. */
static bool overtake(void *user)
{
    struct told *t = user;

    if (t->waits++ > 0)
        return false;
    assert_true(t->n == 12);
    t->f->segment = 12;
    for (unsigned i = 0; i < 5; i++)
        forge_add(t->f, 2);
    forge_seal(t->f);
    forge_write(t->f);
    return true;
}

static void test_overtaken(void **state)
{
    struct told t = {0};
    struct vf_verify_options opt = {.each = each, .user = &t, .wait = overtake};
    static struct vf_verdict v;
    struct forge f;
    char path[400];

    (void)state;
    audit_path(path, dir.path, "log");
    forge_begin(&f, path, MIB);
    for (unsigned i = 0; i < 11; i++)
        forge_add(&f, 1);
    forge_seal(&f);
    struct vf_tree sealed = f.tree;
    forge_add(&f, 1);
    forge_add(&f, 1);
    forge_write(&f);
    f.tree = sealed; /* those two were never durable */
    t.f = &f;
    OK(vf_log_verify(path, &opt, &v, WHY));
    assert_true(v.good && v.entries == 18 && t.n == 18 && t.sealed == 18 && t.waits == 2);
    forge_done(&f);
}

/* The same, but what was proven and told is another then: everything told is void. */
static bool exchange(void *user)
{
    struct told *t = user;
    char from[400];
    char to[400];

    if (t->waits++ > 0)
        return false;
    audit_path(from, dir.path, "other");
    audit_path(to, dir.path, "log");
    char gone[400];
    audit_path(gone, dir.path, "gone");
    assert_int_equal(rename(to, gone), 0);
    assert_int_equal(rename(from, to), 0);
    /* Of the folder that is open: a segment below what was read, so that it is begun anew. */
    audit_path(from, gone, "entries-00000000000000000002.jsonl");
    audit_write(from, "", 0);
    return true;
}

static void test_exchanged(void **state)
{
    struct told t = {0};
    struct vf_verify_options opt = {.each = each, .user = &t, .wait = exchange};
    static struct vf_verdict v;
    char path[400];

    (void)state;
    for (unsigned k = 0; k < 2; k++) {
        struct forge f;
        audit_path(path, dir.path, k == 0 ? "log" : "other");
        forge_begin(&f, path, MIB);
        for (unsigned i = 0; i < 4; i++)
            forge_add(&f, 1);
        forge_seal(&f);
        forge_write(&f);
        forge_done(&f);
    }
    audit_path(path, dir.path, "log");
    assert_int_equal(vf_log_verify(path, &opt, &v, WHY), VF_E_FORGED);
    assert_non_null(strstr(audit_why.text, "changed while it was being read"));
    assert_true(t.n == 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_shapes, fresh, away),
        cmocka_unit_test_setup_teardown(test_seams, fresh, away),
        cmocka_unit_test_setup_teardown(test_search, fresh, away),
        cmocka_unit_test_setup_teardown(test_crowded, fresh, away),
        cmocka_unit_test_setup_teardown(test_follow, fresh, away),
        cmocka_unit_test_setup_teardown(test_overtaken, fresh, away),
        cmocka_unit_test_setup_teardown(test_exchanged, fresh, away),
    };

    return cmocka_run_group_tests(tests, audit_set_up, audit_tear_down);
}
