/* SPDX-License-Identifier: MIT */
/* Lines of a log removed, doubled, moved, inserted, changed, cut: found and named. */
#include "audit_tamper.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmocka_std.h"

static void test_untouched(void **state)
{
    (void)state;
    is_good();
    assert_true(v.entries == TOTAL && v.sealed == TOTAL && v.checkpoints == SEALS && v.nnotes == 0);
    assert_int_equal(checkpoint_at(SEALS), checkpoints.len);
}

/* --------------------------------------------------------------------------------------------------------------- lines */

static void test_removed(void **state)
{
    (void)state;
    for (unsigned i = 0; i < TOTAL - 1; i++) {
        PIECES(entries_path, &entries, 0, line_at(&entries, i), line_at(&entries, i + 1), entries.len);
        found_fmt("entry %u is missing before entry %u: removed or moved", i, i + 1);
        assert_true(v.sealed <= i && v.entries == TOTAL - 1);
    }
    PIECES(entries_path, &entries, 0, line_at(&entries, 10), line_at(&entries, 20), entries.len);
    found("entries 10 to 19 are missing before entry 20");
    PIECES(entries_path, &entries, 0, line_at(&entries, TOTAL - 1));
    found_fmt("the log ends with entry %u, but checkpoint 6 covers %u entries", TOTAL - 2, TOTAL);
    audit_write(entries_path, "", 0);
    found("the log has no entries, but checkpoint 1 covers 8");
    assert_int_equal(unlink(entries_path), 0);
    found("the log has no entries, but checkpoint 1 covers 8");
}

static void test_doubled(void **state)
{
    (void)state;
    for (unsigned i = 0; i < TOTAL; i++) {
        PIECES(entries_path, &entries, 0, line_at(&entries, i + 1), line_at(&entries, i), entries.len);
        found_fmt("entry %u stands twice", i);
        assert_int_equal(v.nfindings, 1);
        assert_true(v.sealed == TOTAL); /* what is in its place is what was sealed */
    }
}

static void test_moved(void **state)
{
    (void)state;
    for (unsigned i = 1; i < TOTAL - 3; i++) {
        /* Line i behind line i + 2. */
        PIECES(entries_path, &entries, 0, line_at(&entries, i), line_at(&entries, i + 1), line_at(&entries, i + 3),
               line_at(&entries, i), line_at(&entries, i + 1), line_at(&entries, i + 3), entries.len);
        found_fmt("entry %u is missing before entry %u", i, i + 1);
        found_fmt("after entry %u stands entry %u: it was moved", i + 2, i);
    }
    PIECES(entries_path, &entries, line_at(&entries, 40), line_at(&entries, 41), 0, line_at(&entries, 40),
           line_at(&entries, 41), entries.len);
    found("entries 0 to 39 are missing before entry 40");
}

static void insert(unsigned before, const char *line)
{
    VF_BUF b = {0};
    size_t at = line_at(&entries, before);

    vf_buf_init(&b, 1 << 20);
    vf_buf_put(&b, entries.data, at);
    vf_buf_text(&b, line);
    vf_buf_put(&b, entries.data + at, entries.len - at);
    audit_write(entries_path, b.data, b.len);
}

static void test_inserted(void **state)
{
    static char huge[3 * VF_ENTRY_LINE_MAX];

    (void)state;
    insert(12, "this is no entry\n");
    found("before entry 12 stands a line that is no entry: it was inserted");
    assert_true(v.sealed == TOTAL && v.nfindings == 1);
    insert(12, "\n");
    found("before entry 12 stands a line that is no entry");
    memset(huge, 'x', sizeof(huge) - 2);
    huge[sizeof(huge) - 2] = '\n';
    insert(0, huge);
    found("before entry 0 stands a line that is no entry");
    insert(TOTAL, "{\"seq\":48}\n");
    found("entry 48 was changed after it was written: not a log entry");
    /* Lines that stand in the place of entries. */
    VF_BUF b = {0};
    vf_buf_init(&b, 1 << 20);
    vf_buf_put(&b, entries.data, line_at(&entries, 9));
    vf_buf_text(&b, "x\ny\n");
    vf_buf_put(&b, entries.data + line_at(&entries, 11), entries.len - line_at(&entries, 11));
    audit_write(entries_path, b.data, b.len);
    found("entries 9 to 10 were changed after they were written");
    assert_true(v.sealed == 8);
    audit_write(entries_path, b.data, b.len - (entries.len - line_at(&entries, 11)));
    found("entries 9 to 10 were changed after they were written");
    found("the log ends with entry 10, but checkpoint 2 covers 16 entries");
}

/* Written anew from one place on, in good form and with the right numbers. */
static void test_renumbered(void **state)
{
    VF_BUF b = {0};

    (void)state;
    vf_buf_init(&b, 1 << 20);
    vf_buf_put(&b, entries.data, line_at(&entries, 10));
    for (unsigned i = 11; i < TOTAL; i++) {
        const char *line = entries.data + line_at(&entries, i);
        const char *rest = strstr(line, ",\"time\"");
        vf_buf_fmt(&b, "{\"seq\":%u", i - 1);
        vf_buf_put(&b, rest, (size_t)(entries.data + line_at(&entries, i + 1) - rest));
    }
    audit_write(entries_path, b.data, b.len);
    found("entries 8 to 15: at least one is not what checkpoint 2 sealed");
    assert_true(v.sealed == 8 && v.checkpoints == 1);
    found_fmt("the log ends with entry %u, but checkpoint 6 covers %u", TOTAL - 2, TOTAL);
}

/* One record's name replaced by another's, everything else as it was: the form is good, the hash is not. */
static void test_edited(void **state)
{
    (void)state;
    for (unsigned i = 0; i < TOTAL; i++) {
        if (i % 8 == 7)
            continue;
        char *line = entries.data + line_at(&entries, i);
        char *ref = strstr(line, "\"refs\":[\"") + 9;
        char was = *ref;
        *ref = was == 'Q' ? 'R' : 'Q';
        audit_write(entries_path, entries.data, entries.len);
        *ref = was;
        char words[120];
        (void)snprintf(words, sizeof(words), "entries %u to %u: at least one is not what checkpoint %u sealed", i / 8 * 8,
                       i / 8 * 8 + 7, i / 8 + 1);
        found(words);
        assert_true(v.sealed == i / 8 * 8 && v.entries == TOTAL);
    }
}

/* ------------------------------------------------------------------------------------------------------------- every byte */

/* Of a log of 8 entries in two seals: each byte of each file, three changes; found each time. And each file cut at each length. */
static void test_every_byte(void **state)
{
    static const char *const names[] = {"entries-00000000000000000000.jsonl", "checkpoints", "origin"};
    const size_t step = test_step(9);
    struct audit_place p;
    size_t done = 0;

    (void)state;
    audit_place_make(&p);
    fill(&p, 2, 3);
    for (int f = 0; f < 3; f++) {
        char path[400];
        audit_path(path, p.log, names[f]);
        struct file was = load(path);
        char *now = malloc(was.len);
        assert_non_null(now);
        for (size_t at = 0; at < was.len; at += step) {
            static const uint8_t changes[] = {0x01, 0x80, 0x00};
            for (int c = 0; c < 3; c++) {
                memcpy(now, was.data, was.len);
                now[at] = changes[c] == 0 ? '\n' : (char)(now[at] ^ (char)changes[c]);
                if (now[at] == was.data[at])
                    continue;
                audit_write(path, now, was.len);
                if (audit_verify(&p, p.log, &v)) {
                    audit_print(&v);
                    fail_msg("%s: byte %zu changed from %d to %d: not found", names[f], at, was.data[at], now[at]);
                }
                assert_true(v.nfindings > 0 && v.findings[0][0] != '\0');
                done++;
            }
        }
        for (size_t len = 0; len < was.len; len += step) {
            audit_write(path, was.data, len);
            bool good = audit_verify(&p, p.log, &v);
            /* A checkpoint that is torn looks like one that was being written: then its entries are not sealed, and that is said. */
            assert_true(!good || (f == 1 && v.sealed < v.entries && audit_noted(&v, "not sealed")));
        }
        audit_write(path, was.data, was.len);
        assert_true(audit_verify(&p, p.log, &v));
        free(now);
        free(was.data);
    }
    assert_true(done > 9000 / step);
    audit_place_done(&p);
}
/* ------------------------------------------------------------------------------------------------------------------ origin */

static void test_origin(void **state)
{
    struct vf_identity *stranger = NULL;
    struct vf_note_key keys[2];
    struct vf_verify_options opt = {.signers = keys, .nsigners = 1, .log_id = &place.id};

    (void)state;
    OK(vf_identity_new(VF_ROLE_DEVICE, "press-2", &stranger, WHY));
    vf_note_key_of(vf_identity_pub_get(stranger), &keys[0]);
    keys[1] = device_key;
    OK(vf_log_verify(place.log, &opt, &v, WHY));
    assert_true(!v.good && !v.origin_checked && audit_found(&v, "the origin is signed by none of the keys it should be"));
    opt.nsigners = 2;
    OK(vf_log_verify(place.log, &opt, &v, WHY));
    assert_true(v.good && v.origin_checked);
    /* The owner's name changed. */
    char *owner = strstr(origin.data, "owner press-1");
    owner[12] = '2';
    audit_write(origin_path, origin.data, origin.len);
    owner[12] = '1';
    found("the origin is not what was signed: the signature of press-1 is false");
    found("the origin is not that of the log that was enrolled");
    audit_write(origin_path, "", 0);
    found("the origin cannot be read");
    audit_write(origin_path, "nonsense\n", 9);
    found("the origin cannot be read");
    assert_int_equal(unlink(origin_path), 0);
    assert_int_equal(vf_log_verify(place.log, &opt, &v, NULL), VF_E_NOT_FOUND);
    assert_int_equal(vf_log_verify("/nowhere/at/all", &opt, &v, NULL), VF_E_NOT_FOUND);
    vf_identity_free(stranger);
}

/* ------------------------------------------------------------------------------------------------------- reading entries */

struct seen {
    uint64_t n, sealed;
    uint64_t stop_at;
    uint64_t done, total;
};

static enum vf_err each(void *user, const struct vf_entry_view *e, bool sealed, struct vf_why *why)
{
    struct seen *s = user;

    assert_true(e->seq == s->n);
    s->n++;
    s->sealed += sealed ? 1 : 0;
    return s->n == s->stop_at ? vf_fail(why, VF_E_BUDGET, "enough") : VF_OK;
}

static void progress(void *user, uint64_t done, uint64_t total)
{
    struct seen *s = user;

    assert_true(done >= s->done && done <= total);
    s->done = done;
    s->total = total;
}

static void test_each(void **state)
{
    struct seen s = {0};
    struct vf_verify_options opt = {.each = each, .user = &s, .progress = progress};

    (void)state;
    OK(vf_log_verify(place.log, &opt, &v, WHY));
    assert_true(s.n == TOTAL && s.sealed == TOTAL && s.done == s.total && s.total == entries.len);
    s = (struct seen){.stop_at = 5};
    assert_int_equal(vf_log_verify(place.log, &opt, &v, NULL), VF_E_BUDGET);
    assert_true(s.n == 5);
    /* Edited in the fourth seal: what is told behind the third is not proven. */
    char *ref = strstr(entries.data + line_at(&entries, 26), "\"refs\":[\"") + 9;
    char was = *ref;
    *ref = was == 'Q' ? 'R' : 'Q';
    audit_write(entries_path, entries.data, entries.len);
    *ref = was;
    s = (struct seen){0};
    OK(vf_log_verify(place.log, &opt, &v, WHY));
    assert_true(!v.good && s.n == TOTAL && s.sealed == 24);
}

/* An incomplete last line is told, not damage; a malformed whole one is. */
static void test_tail(void **state)
{
    struct vf_log *log;

    (void)state;
    VF_BUF b = {0};
    vf_buf_init(&b, 1 << 20);
    vf_buf_put(&b, entries.data, entries.len);
    vf_buf_text(&b, "{\"seq\":48,\"time");
    audit_write(entries_path, b.data, b.len);
    is_good();
    assert_true(v.torn_bytes == 15 && audit_noted(&v, "the last line is incomplete (15 bytes)"));
    vf_buf_text(&b, "\n");
    audit_write(entries_path, b.data, b.len);
    found("entry 48 was changed after it was written");
    /* A stranger among the segments. */
    restore();
    char path[400];
    audit_path(path, place.log, "entries-1.jsonl");
    audit_write(path, "x", 1);
    is_good();
    assert_true(audit_noted(&v, "1 files are named almost like segments"));
    assert_int_equal(unlink(path), 0);
    log = audit_open(&place, NULL);
    audit_close(log);
}

/* Of a segment, what lies at or beyond the next one's first seq does not count, whatever it is. */
static void test_void(void **state)
{
    char second[400];

    (void)state;
    audit_path(second, place.log, "entries-00000000000000000020.jsonl");
    VF_BUF b = {0};
    vf_buf_init(&b, 1 << 20);
    vf_buf_put(&b, entries.data, line_at(&entries, 23)); /* three lines too many, and a torn one */
    vf_buf_text(&b, "rubbish\n\xff\xff");
    audit_write(entries_path, b.data, b.len);
    audit_write(second, entries.data + line_at(&entries, 20), entries.len - line_at(&entries, 20));
    is_good();
    assert_true(v.sealed == TOTAL && v.torn_bytes == 0);
    vf_buf_reset(&b);
    vf_buf_put(&b, entries.data, line_at(&entries, 19));
    audit_write(entries_path, b.data, b.len);
    found("entry 19 is missing before entry 20");
    vf_buf_text(&b, "rubbish\nmore rubbish\n");
    audit_write(entries_path, b.data, b.len);
    found("entry 19 was changed after it was written");
    assert_int_equal(unlink(second), 0);
}
int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_untouched, tamper_again), cmocka_unit_test_setup(test_removed, tamper_again),
        cmocka_unit_test_setup(test_doubled, tamper_again),   cmocka_unit_test_setup(test_moved, tamper_again),
        cmocka_unit_test_setup(test_inserted, tamper_again),  cmocka_unit_test_setup(test_renumbered, tamper_again),
        cmocka_unit_test_setup(test_edited, tamper_again),    cmocka_unit_test_setup(test_every_byte, tamper_again),
        cmocka_unit_test_setup(test_origin, tamper_again),    cmocka_unit_test_setup(test_each, tamper_again),
        cmocka_unit_test_setup(test_tail, tamper_again),      cmocka_unit_test_setup(test_void, tamper_again),
    };

    return cmocka_run_group_tests(tests, tamper_set_up, tamper_tear_down);
}
