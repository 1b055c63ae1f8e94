/* SPDX-License-Identifier: MIT */
/* The copy of a log that grows by pieces: it takes what vf_log_verify would call good, and nothing else. */
#include "audit_pieces.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmocka_std.h"

static struct audit_place place;
static char copy[400], file[400], saved[400];
static struct vf_verdict v;
static struct whole w;

static int fresh(void **state)
{
    (void)state;
    audit_place_make(&place);
    audit_path(copy, place.dir.path, "copy");
    audit_path(file, place.dir.path, "press-1.log");
    audit_path(saved, place.dir.path, "saved");
    return 0;
}

static int away(void **state)
{
    (void)state;
    pieces_free(&w);
    audit_place_done(&place);
    return 0;
}

static void remove_copy(void)
{
    struct scratch old = {.path = ""};

    (void)snprintf(old.path, sizeof(old.path), "%.250s", copy);
    if (access(copy, F_OK) == 0)
        scratch_remove(&old);
}

/* The copy on the disk is exactly the first n checkpoints of the log and what they cover. */
static void is_copy_of(size_t n)
{
    if (!audit_verify(&place, copy, &v) || v.entries != v.sealed || v.sealed != (n > 0 ? w.cp_size[n - 1] : 0)) {
        audit_print(&v);
        fail_msg("wanted the copy of %zu checkpoints", n);
    }
    if (n == 0)
        return;
    struct whole have = pieces_load(copy);
    assert_int_equal(have.ncps, n);
    assert_memory_equal(have.cps, w.cps, w.cp_end[n - 1]);
    assert_int_equal(have.lines_len, w.line_end[n - 1]);
    assert_memory_equal(have.lines, w.lines, have.lines_len);
    pieces_free(&have);
}

static enum vf_err store(size_t checkpoints)
{
    const struct vf_verify_options opt = {.signers = &device_key, .nsigners = 1, .log_id = &place.id};
    const struct piece p = pieces_of(&w, 0, checkpoints);

    pieces_handin(&w, 0, &p, file);
    return vf_handin_store(file, copy, &opt, &v, NULL, WHY);
}

/* ------------------------------------------------------------------------------------------------------------------- growing */

/* The same log in random pieces, opened anew in between or not, by files in between or not. */
static void test_pieces(void **state)
{
    unsigned extended = 0;
    unsigned stored = 0;

    (void)state;
    pieces_fill(&place, 3, 14);
    w = pieces_load(place.log);
    assert_true(audit_verify(&place, place.log, &v) && v.recoveries > 0 && v.gaps > 0 && w.ncps > 20);
    for (unsigned run = 0; run < 12; run++) {
        struct vf_log_copy *c = NULL;
        unsigned rnd = run * 2654435761u + 12345;
        size_t at = 0;
        remove_copy();
        while (at < w.ncps) {
            rnd = rnd * 1103515245u + 12345;
            size_t to = at + 1 + (rnd >> 16) % (run % 3 == 0 ? 2 : 9);
            to = to < w.ncps ? to : w.ncps;
            if (run % 2 == 1 && (rnd >> 8) % 3 == 0) {
                vf_log_copy_close(c);
                c = NULL;
            }
            if (c == NULL && run > 5 && (rnd >> 5) % 2 == 0) {
                OK(store(to));
                stored++;
            } else {
                struct vf_log_copy_state s;
                struct piece p = pieces_of(&w, at, to);
                if (c == NULL)
                    OK(pieces_open(&w, copy, &c));
                vf_log_copy_state_get(c, &s);
                assert_int_equal(s.size, p.from);
                OK(pieces_extend(c, &p));
                vf_log_copy_state_get(c, &s);
                assert_int_equal(s.size, p.to);
                extended++;
            }
            at = to;
            is_copy_of(at);
        }
        vf_log_copy_close(c);
    }
    print_message("%zu checkpoints, %u extensions, %u files\n", w.ncps, extended, stored);
    assert_true(extended > 50 && stored > 5);
}

static struct {
    uint64_t n, next;
} told;

static void tell(void *user, const struct vf_entry_view *e)
{
    (void)user;
    assert_int_equal(e->seq, told.next++);
    told.n++;
}

static void test_state(void **state)
{
    struct vf_log_copy *c = NULL;
    struct vf_log_copy *again = NULL;
    struct vf_log_copy_state s;
    struct vf_checkpoint cp;
    struct vf_note note;
    VF_BUF last = {0};

    (void)state;
    pieces_fill(&place, 3, 4);
    w = pieces_load(place.log);
    vf_buf_init(&last, 9000);
    OK(pieces_open(&w, copy, &c));
    vf_log_copy_state_get(c, &s);
    assert_true(s.size == 0 && s.last_us == 0 && memcmp(s.id.b, place.id.b, sizeof(s.id.b)) == 0);
    assert_string_equal(s.origin.owner, "press-1");
    OK(vf_log_copy_last(c, &last, WHY));
    assert_int_equal(last.len, 0);
    /* One at a time, and nobody's log. */
    assert_int_equal(pieces_open(&w, copy, &again), VF_E_BUSY);
    assert_int_equal(store(1), VF_E_BUSY);
    assert_int_equal(pieces_open(&w, place.log, &again), VF_E_INPUT);
    struct piece p = pieces_of(&w, 0, 2);
    told.n = told.next = 0;
    OK(vf_log_copy_extend(c, 0, (struct vf_slice){(uint8_t *)p.cps, p.cps_len},
                          (struct vf_slice){(uint8_t *)p.lines, p.lines_len}, tell, NULL, WHY));
    assert_int_equal(told.n, p.to);
    assert_true(audit_verify(&place, copy, &v));
    for (int open = 0; open < 2; open++) {
        vf_log_copy_state_get(c, &s);
        assert_true(s.size == p.to && s.last_us == v.last_us);
        struct vf_hash root;
        vf_tree_root(&v.tree, &root);
        assert_memory_equal(root.b, s.root.b, sizeof(root.b));
        last.len = 0;
        OK(vf_log_copy_last(c, &last, WHY));
        OK(vf_note_parse(last.data, last.len, &note, WHY));
        OK(vf_checkpoint_parse(&note, &cp, WHY));
        assert_true(cp.size == p.to && memcmp(cp.root.b, root.b, sizeof(root.b)) == 0);
        vf_log_copy_close(c);
        c = NULL;
        OK(pieces_open(&w, copy, &c));
    }
    vf_log_copy_close(c);
    vf_log_copy_close(NULL);
    /* Another device's, another log of it, none. */
    struct vf_identity *stranger = NULL;
    struct vf_note_key key;
    OK(vf_identity_new(VF_ROLE_DEVICE, "press-2", &stranger, WHY));
    vf_note_key_of(vf_identity_pub_get(stranger), &key);
    struct vf_slice origin = {(uint8_t *)w.origin, w.origin_len};
    assert_int_equal(vf_log_copy_open(copy, origin, &key, 1, &c, NULL), VF_E_FORGED);
    vf_identity_free(stranger);
    assert_int_equal(vf_log_copy_open(copy, (struct vf_slice){origin.data, 0}, NULL, 0, &c, NULL), VF_E_FORMAT);
    struct audit_place other;
    audit_place_make(&other);
    char path[400];
    size_t len = 0;
    audit_path(path, other.log, "origin");
    VF_FREE char *theirs = audit_read(path, &len);
    assert_int_equal(vf_log_copy_open(copy, (struct vf_slice){(uint8_t *)theirs, len}, &device_key, 1, &c, NULL),
                     VF_E_FORGED);
    audit_place_done(&other);
    assert_int_equal(vf_log_copy_open("/nowhere/copy", origin, NULL, 0, &c, NULL), VF_E_NOT_FOUND);
}

/* ------------------------------------------------------------------------------------------------------------------ refusing */

/* Both say the same of what the copy of `at` checkpoints would become with this piece; and refused is unchanged. */
static void both(struct vf_log_copy *c, size_t at, const struct piece *p, bool good, const char *what, size_t where)
{
    const struct vf_verify_options opt = {.signers = &device_key, .nsigners = 1, .log_id = &place.id};
    struct vf_log_copy_state s;

    pieces_handin(&w, at, p, file);
    enum vf_err err = vf_log_verify(file, &opt, &v, WHY);
    bool whole = err == VF_OK && v.good;
    if (whole != good)
        fail_msg("%s %zu: vf_log_verify says %s", what, where, whole ? "good" : "bad");
    err = pieces_extend(c, p);
    if (err != (good ? VF_OK : VF_E_FORGED) && (good || err != VF_E_FORMAT))
        fail_msg("%s %zu: extend says %d: %s", what, where, err, audit_why.text);
    vf_log_copy_state_get(c, &s);
    assert_int_equal(s.size, err == VF_OK ? p->to : p->from);
}

static void test_mutations(void **state)
{
    struct vf_log_copy *c = NULL;
    size_t n = 0;

    (void)state;
    pieces_fill(&place, 3, 4);
    w = pieces_load(place.log);
    size_t at = w.ncps / 2;
    OK(store(at));
    struct piece good = pieces_of(&w, at, at + 2);
    struct piece p = good;
    OK(pieces_open(&w, copy, &c));
    p.lines = malloc(good.lines_len + 1);
    p.cps = malloc(good.cps_len + 1);
    memcpy(p.lines, good.lines, good.lines_len);
    memcpy(p.cps, good.cps, good.cps_len);
    for (size_t i = 0; i < p.lines_len; i += 2 * test_step(19), n++) {
        p.lines[i] = (char)(p.lines[i] ^ (i % 4 == 0 ? 1 : 0x80));
        both(c, at, &p, false, "byte of entries", i);
        p.lines[i] = good.lines[i];
    }
    for (size_t i = 0; i < p.cps_len; i += test_step(13), n++) {
        p.cps[i] = (char)(p.cps[i] ^ (i % 2 == 0 ? 1 : 0x80));
        both(c, at, &p, false, "byte of checkpoints", i);
        p.cps[i] = good.cps[i];
    }
    for (p.lines_len = 0; p.lines_len < good.lines_len; p.lines_len += 3 * test_step(13), n++)
        both(c, at, &p, false, "entries cut at", p.lines_len);
    p.lines_len = good.lines_len;
    for (p.cps_len = 0; p.cps_len < good.cps_len; p.cps_len += test_step(13), n++) {
        /* Cut behind the first record, the entries behind it are not covered; with them gone too it is a shorter piece. */
        both(c, at, &p, false, "checkpoints cut at", p.cps_len);
    }
    p.cps_len = good.cps_len;
    /* One byte more. */
    for (int b = 0; b < 4; b++) {
        p.lines[good.lines_len] = "\n{ 0"[b];
        p.cps[good.cps_len] = "\n{v0"[b];
        p.lines_len = good.lines_len + (b % 2 == 0 ? 1 : 0);
        p.cps_len = good.cps_len + (b % 2 == 0 ? 0 : 1);
        both(c, at, &p, false, "one byte more", (size_t)b);
    }
    free(p.lines);
    free(p.cps);
    is_copy_of(at);
    both(c, at, &good, true, "nothing changed", 0);
    is_copy_of(at + 2);
    vf_log_copy_close(c);
    print_message("%zu changed and cut\n", n);
}

/* Pieces in the wrong place, twice, of another continuation, with old or foreign checkpoints. */
static void test_order(void **state)
{
    struct vf_log_copy *c = NULL;
    size_t len = 0;

    (void)state;
    pieces_fill(&place, 3, 4);
    VF_FREE char *slots = audit_read(place.seal, &len);
    audit_copy_tree(place.log, saved);
    size_t slots_len = len;
    struct whole base = pieces_load(place.log);
    pieces_fill(&place, 4, 3);
    w = pieces_load(place.log);
    /* The same log restored and used again: another continuation. */
    char other[400];
    audit_path(other, place.dir.path, "other");
    assert_int_equal(rename(place.log, other), 0);
    assert_int_equal(rename(saved, place.log), 0);
    audit_write(place.seal, slots, slots_len);
    pieces_fill(&place, 9, 3);
    struct whole fork = pieces_load(place.log);
    size_t at = base.ncps;
    OK(store(at));
    OK(pieces_open(&w, copy, &c));
    struct piece p = pieces_of(&w, at, at + 1);
    struct piece q = p;
    q.from = 0; /* what it says of itself is not its place */
    assert_int_equal(pieces_extend(c, &q), VF_E_STALE);
    q.from = p.from + 1;
    assert_int_equal(pieces_extend(c, &q), VF_E_STALE);
    q = pieces_of(&w, at + 1, at + 2); /* one left out */
    q.from = p.from;
    both(c, at, &q, false, "left out", 0);
    q = pieces_of(&w, at - 1, at); /* a replay */
    q.from = p.from;
    both(c, at, &q, false, "replay", 0);
    q = pieces_of(&fork, at, at + 1); /* its entries under our checkpoint, ours under its */
    q.cps = p.cps;
    q.cps_len = p.cps_len;
    both(c, at, &q, false, "entries of a fork", 0);
    q = pieces_of(&fork, at, at + 1);
    q.lines = p.lines;
    q.lines_len = p.lines_len;
    both(c, at, &q, false, "checkpoints of a fork", 0);
    /* An old seal before the new one; the same twice; a gap of one checkpoint. */
    struct piece two = pieces_of(&w, at, at + 2);
    char cps[8192];
    size_t first = p.cps_len;
    memcpy(cps, w.cps, w.cp_end[0]);
    memcpy(cps + w.cp_end[0], two.cps, two.cps_len);
    q = two;
    q.cps = cps;
    q.cps_len = w.cp_end[0] + two.cps_len;
    both(c, at, &q, false, "an old checkpoint put before", 0);
    memcpy(cps, two.cps, first);
    memcpy(cps + first, two.cps, two.cps_len);
    q.cps_len = first + two.cps_len;
    both(c, at, &q, false, "a checkpoint twice", 0);
    q.cps = two.cps + first;
    q.cps_len = two.cps_len - first;
    both(c, at, &q, false, "a checkpoint left out", 0);
    q = two;
    q.lines_len = p.lines_len; /* its end is missing */
    both(c, at, &q, false, "lines left out", 0);
    /* Nothing at all; then the real one, twice. */
    q = p;
    q.lines_len = q.cps_len = 0;
    assert_int_equal(pieces_extend(c, &q), VF_E_STALE);
    both(c, at, &p, true, "the real one", 0);
    assert_int_equal(pieces_extend(c, &p), VF_E_STALE);
    /* The fork, good in itself, from its beginning and from where it left. */
    q = pieces_of(&fork, at, fork.ncps);
    assert_int_equal(pieces_extend(c, &q), VF_E_STALE);
    q.from = p.to;
    assert_int_equal(pieces_extend(c, &q), VF_E_FORGED);
    vf_log_copy_close(c);
    is_copy_of(at + 1);
    pieces_free(&base);
    pieces_free(&fork);
}

/* -------------------------------------------------------------------------------------------------------- what is remembered */

static void opens_at(size_t n, const char *what, size_t where)
{
    struct vf_log_copy *c = NULL;
    struct vf_log_copy_state s;

    if (pieces_open(&w, copy, &c) != VF_OK)
        fail_msg("%s %zu: %s", what, where, audit_why.text);
    vf_log_copy_state_get(c, &s);
    if (s.size != w.cp_size[n - 1])
        fail_msg("%s %zu: %llu entries", what, where, (unsigned long long)s.size);
    struct piece p = pieces_of(&w, n, n + 1);
    OK(pieces_extend(c, &p));
    vf_log_copy_close(c);
}

/* The copy as it was saved. */
static void put_back(void)
{
    remove_copy();
    audit_copy_tree(saved, copy);
}

/* Whatever stands in that file, the copy is what its entries and checkpoints are. */
static void test_remembered(void **state)
{
    struct vf_log_copy *c = NULL;
    char path[400], cps[400];
    size_t len = 0;

    (void)state;
    pieces_fill(&place, 3, 5);
    w = pieces_load(place.log);
    size_t at = w.ncps / 2;
    OK(pieces_open(&w, copy, &c));
    for (size_t i = 0; i < at; i++) {
        struct piece p = pieces_of(&w, i, i + 1);
        OK(pieces_extend(c, &p));
    }
    vf_log_copy_close(c);
    audit_copy_tree(copy, saved);
    audit_path(path, copy, "verified");
    VF_FREE char *was = audit_read(path, &len);
    VF_FREE char *now = malloc(len);
    assert_int_equal(len, 4096);
    for (size_t i = 0; i < len; i += 3 * test_step(29)) {
        memcpy(now, was, len);
        now[i] ^= 1;
        audit_write(path, now, len);
        opens_at(at, "byte", i);
        put_back();
    }
    /* Cut, empty, gone, of the moment before. */
    for (size_t cut = 0; cut < len; cut += 1000) {
        audit_write(path, was, cut);
        opens_at(at, "cut", cut);
        put_back();
    }
    assert_int_equal(unlink(path), 0);
    opens_at(at, "gone", 0);
    audit_write(path, was, len); /* what stood there before the last extension */
    OK(pieces_open(&w, copy, &c));
    struct vf_log_copy_state s;
    vf_log_copy_state_get(c, &s);
    assert_int_equal(s.size, w.cp_size[at]);
    vf_log_copy_close(c);
    /* The copy itself damaged where what is remembered does not look: found by nobody but the next full verification. Where it looks: refused. */
    audit_path(cps, copy, "checkpoints");
    VF_FREE char *c0 = audit_read(cps, &len);
    c0[w.cp_end[at] - 60] ^= 1;
    audit_write(cps, c0, len);
    assert_int_equal(pieces_open(&w, copy, &c), VF_E_FORGED);
    assert_non_null(strstr(audit_why.text, "the copy kept here is damaged"));
}

/* ---------------------------------------------------------------------------------------------------------------------- tail */

static void test_tail(void **state)
{
    struct vf_log *log = NULL;
    VF_BUF cps = {0};
    VF_BUF lines = {0};
    uint64_t size = 0;

    (void)state;
    vf_buf_init(&cps, 1 << 24);
    vf_buf_init(&lines, 1 << 24);
    log = audit_open(&place, &(struct vf_log_options){.batch = true});
    OK(vf_log_tail(log, 0, 1 << 20, &cps, &lines, &size, WHY));
    assert_true(size == 0 && cps.len == 0 && lines.len == 0);
    assert_int_equal(vf_log_tail(log, 1, 1 << 20, &cps, &lines, &size, NULL), VF_E_STALE);
    audit_close(log);
    pieces_fill(&place, 3, 14);
    log = audit_open(&place, &(struct vf_log_options){.batch = true});
    w = pieces_load(place.log);
    audit_commit(log, 1); /* not sealed: not in it */
    for (size_t i = 0; i < w.ncps; i++) {
        for (size_t j = i + 1; j <= w.ncps; j += i % 4 == 0 ? 1 : 7) {
            struct piece p = pieces_of(&w, i, j);
            for (int more = 0; more < 2; more++) {
                size_t max = p.lines_len + (more ? 100 : 0); /* no entry is so short */
                vf_buf_reset(&cps);
                vf_buf_reset(&lines);
                vf_buf_text(&cps, "A");
                vf_buf_text(&lines, "BC");
                OK(vf_log_tail(log, p.from, max, &cps, &lines, &size, WHY));
                assert_int_equal(size, p.to);
                assert_int_equal(cps.len, p.cps_len + 1);
                assert_memory_equal(cps.data + 1, p.cps, p.cps_len);
                assert_int_equal(lines.len, p.lines_len + 2);
                assert_memory_equal(lines.data + 2, p.lines, p.lines_len);
            }
        }
        struct piece p = pieces_of(&w, i, i + 1);
        vf_buf_reset(&cps);
        vf_buf_reset(&lines);
        assert_int_equal(vf_log_tail(log, p.from, p.lines_len - 1, &cps, &lines, &size, NULL), VF_E_LIMIT);
        assert_true(cps.len == 0 && lines.len == 0);
        assert_int_equal(vf_log_tail(log, p.to - 1, 1 << 20, &cps, &lines, &size, NULL),
                         p.to - 1 == p.from ? VF_OK : VF_E_STALE);
    }
    vf_buf_reset(&cps);
    vf_buf_reset(&lines);
    OK(vf_log_tail(log, w.cp_size[w.ncps - 1], 1 << 20, &cps, &lines, &size, WHY));
    assert_true(size == w.cp_size[w.ncps - 1] && cps.len == 0 && lines.len == 0);
    assert_int_equal(vf_log_tail(log, size + 1, 1 << 20, &cps, &lines, &size, NULL), VF_E_STALE);
    audit_close(log);
}

/* Writer and copy side by side, as a station and its desk are: many seals, pieces of whatever is there, restarts of both. */
static void test_side_by_side(void **state)
{
    struct vf_log *log = audit_open(&place, NULL);
    struct vf_log_copy *c = NULL;
    VF_BUF cps = {0};
    VF_BUF lines = {0};
    char path[400];
    size_t len = 0;

    (void)state;
    audit_path(path, place.log, "origin");
    VF_FREE char *origin = audit_read(path, &len);
    struct vf_slice o = {(uint8_t *)origin, len};
    vf_buf_init(&cps, 1 << 24);
    vf_buf_init(&lines, 1 << 24);
    for (unsigned i = 0; i < 150; i++) {
        struct vf_log_copy_state s;
        uint64_t size = 0;
        for (unsigned k = 0; k < 1 + i % 7; k++)
            audit_commit(log, i * 10 + k);
        audit_seal(log);
        if (i % 31 == 30) {
            audit_close(log);
            log = audit_open(&place, NULL);
        }
        if (i % 5 == 4) {
            vf_log_copy_close(c);
            c = NULL;
        }
        if (i % 3 == 1)
            continue;
        if (c == NULL)
            OK(vf_log_copy_open(copy, o, &device_key, 1, &c, WHY));
        vf_log_copy_state_get(c, &s);
        vf_buf_reset(&cps);
        vf_buf_reset(&lines);
        OK(vf_log_tail(log, s.size, 1 << 20, &cps, &lines, &size, WHY));
        OK(vf_log_copy_extend(c, s.size, (struct vf_slice){cps.data, cps.len}, (struct vf_slice){lines.data, lines.len},
                              NULL, NULL, WHY));
        vf_log_copy_state_get(c, &s);
        assert_int_equal(s.size, size);
    }
    vf_log_copy_close(c);
    audit_close(log);
    assert_true(audit_verify(&place, copy, &v) && v.sealed > 600);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_pieces, fresh, away),
        cmocka_unit_test_setup_teardown(test_state, fresh, away),
        cmocka_unit_test_setup_teardown(test_mutations, fresh, away),
        cmocka_unit_test_setup_teardown(test_order, fresh, away),
        cmocka_unit_test_setup_teardown(test_remembered, fresh, away),
        cmocka_unit_test_setup_teardown(test_tail, fresh, away),
        cmocka_unit_test_setup_teardown(test_side_by_side, fresh, away),
    };

    return cmocka_run_group_tests(tests, audit_set_up, audit_tear_down);
}
