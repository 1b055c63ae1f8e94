/* SPDX-License-Identifier: MIT */
/* Checkpoints removed, damaged, put back, of another log; and those that are held elsewhere. */
#include "audit_tamper.h"

#include "../../vaultfs/audit/checkpoint.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmocka_std.h"

/* ------------------------------------------------------------------------------------------------------------ checkpoints */

static void test_checkpoint_removed(void **state)
{
    (void)state;
    for (unsigned k = 0; k < SEALS - 1; k++) {
        PIECES(checkpoints_path, &checkpoints, 0, checkpoint_at(k), checkpoint_at(k + 1), checkpoints.len);
        found_fmt("the checkpoint that ends with entry %u is missing, although the log went on", 8 * k + 7);
        assert_int_equal(v.nfindings, 1);
        assert_true(v.sealed == TOTAL);
    }
    /* The last ones: the log goes on behind them all the same. */
    for (unsigned k = 0; k < SEALS - 1; k++) {
        PIECES(checkpoints_path, &checkpoints, 0, checkpoint_at(k));
        found_fmt("the checkpoint that ends with entry %u is missing, although the log went on", 8 * k + 7);
        assert_true(v.sealed == 8 * k);
    }
    /* The very last: like a writer that was killed before it; only who holds a checkpoint can tell. */
    PIECES(checkpoints_path, &checkpoints, 0, checkpoint_at(SEALS - 1));
    is_good();
    assert_true(v.sealed == TOTAL - 8 && audit_noted(&v, "entries 40 to 47 are not sealed"));
}

static void test_old_checkpoint(void **state)
{
    (void)state;
    /* One that is two seals old, at the end. */
    PIECES(checkpoints_path, &checkpoints, 0, checkpoints.len, checkpoint_at(3), checkpoint_at(4));
    found("checkpoint 7 covers 32 entries, no more than the one before it (48): an old one was put back");
    /* In the place of the last; the last two gone and an old one in their place. */
    PIECES(checkpoints_path, &checkpoints, 0, checkpoint_at(5), checkpoint_at(3), checkpoint_at(4));
    found("checkpoint 6 covers 32 entries, no more than the one before it (40)");
    PIECES(checkpoints_path, &checkpoints, 0, checkpoint_at(4), checkpoint_at(2), checkpoint_at(3));
    found("checkpoint 5 covers 24 entries, no more than the one before it (32)");
    found("the checkpoint that ends with entry 39 is missing");
    for (unsigned k = 0; k < SEALS; k++) {
        PIECES(checkpoints_path, &checkpoints, 0, checkpoint_at(k + 1), checkpoint_at(k), checkpoints.len);
        found("an old one was put back, or one stands twice");
        assert_true(v.sealed == TOTAL);
    }
    /* Two changed places. */
    PIECES(checkpoints_path, &checkpoints, 0, checkpoint_at(1), checkpoint_at(2), checkpoint_at(3), checkpoint_at(1),
           checkpoint_at(2), checkpoint_at(3), checkpoints.len);
    found("the checkpoint that ends with entry 15 is missing");
    found("covers 16 entries, no more than the one before it (24)");
}

static void test_damaged_checkpoint(void **state)
{
    static const char other[] = "vaultfs.log/00000000000000000000000000000000";

    (void)state;
    for (unsigned k = 0; k < SEALS; k++) {
        size_t at = checkpoint_at(k);
        /* Its signature. */
        char *sig =
            (char *)memmem(checkpoints.data + at, checkpoints.len - at, "\xe2\x80\x94 ", 4) + 4 + VF_ORIGIN_LINE_LEN + 20;
        char was = *sig;
        *sig = was == 'A' ? 'B' : 'A';
        audit_write(checkpoints_path, checkpoints.data, checkpoints.len);
        *sig = was;
        char words[160];
        char by[32];
        (void)snprintf(by, sizeof(by), k == 0 ? "the origin" : "entry %u", 8 * k - 1);
        (void)snprintf(words, sizeof(words), "checkpoint %u (%u entries): not signed by the key that %s names", k + 1,
                       8 * (k + 1), by);
        found(words);
        assert_int_equal(v.nfindings, 1);
        assert_true(v.checkpoints == SEALS - 1); /* the others are as good as they were */
        /* Its origin. */
        memcpy(checkpoints.data + at, other, sizeof(other) - 1);
        audit_write(checkpoints_path, checkpoints.data, checkpoints.len);
        memcpy(checkpoints.data + at, origin.data + strlen("vaultfs-log-v1\nlog "), VF_ORIGIN_LINE_LEN);
        (void)snprintf(words, sizeof(words), "checkpoint %u: of another log (%s): logs were spliced", k + 1, other);
        found(words);
    }
    /* A second signature line. */
    VF_BUF b = {0};
    vf_buf_init(&b, 1 << 16);
    vf_buf_put(&b, checkpoints.data, checkpoint_at(1) - 1);
    vf_buf_text(&b, "\xe2\x80\x94 x AAAAAAAAAAAA\n\n");
    vf_buf_put(&b, checkpoints.data + checkpoint_at(1), checkpoints.len - checkpoint_at(1));
    audit_write(checkpoints_path, b.data, b.len);
    found("checkpoint 1 (byte 0 of its file): damaged: it has 2 signatures instead of one");
    /* Rubbish of more than a record between two. */
    vf_buf_reset(&b);
    vf_buf_put(&b, checkpoints.data, checkpoint_at(2));
    for (int i = 0; i < 3000; i++)
        vf_buf_text(&b, "rubbish ");
    vf_buf_text(&b, "\n");
    vf_buf_put(&b, checkpoints.data + checkpoint_at(2), checkpoints.len - checkpoint_at(2));
    audit_write(checkpoints_path, b.data, b.len);
    found("checkpoint 3 (byte");
    assert_true(v.sealed == TOTAL && v.checkpoints == SEALS);
}

/* ----------------------------------------------------------------------------------------------------------------- splices */

static void test_spliced(void **state)
{
    struct audit_place other;
    char path[400];

    (void)state;
    audit_place_make(&other);
    fill(&other, SEALS, 7);
    audit_path(path, other.log, "entries-00000000000000000000.jsonl");
    struct file theirs = load(path);
    audit_path(path, other.log, "checkpoints");
    struct file their_checkpoints = load(path);
    VF_BUF b = {0};
    vf_buf_init(&b, 1 << 20);
    /* Their entries behind ours, the numbers go on. */
    vf_buf_put(&b, entries.data, line_at(&entries, 16));
    vf_buf_put(&b, theirs.data + line_at(&theirs, 16), theirs.len - line_at(&theirs, 16));
    audit_write(entries_path, b.data, b.len);
    found("entries 16 to 23: at least one is not what checkpoint 3 sealed");
    assert_true(v.sealed == 16);
    /* Their checkpoints with them. */
    size_t half = record_at(&their_checkpoints, 2);
    vf_buf_reset(&b);
    vf_buf_put(&b, checkpoints.data, checkpoint_at(2));
    vf_buf_put(&b, their_checkpoints.data + half, their_checkpoints.len - half);
    audit_write(checkpoints_path, b.data, b.len);
    found("checkpoint 3: of another log");
    assert_true(v.sealed == 16);
    /* Their whole log under our origin; ours under theirs. */
    audit_write(entries_path, theirs.data, theirs.len);
    audit_write(checkpoints_path, their_checkpoints.data, their_checkpoints.len);
    found("checkpoint 1: of another log");
    assert_true(v.sealed == 0);
    audit_path(path, other.log, "origin");
    struct file their_origin = load(path);
    audit_write(origin_path, their_origin.data, their_origin.len);
    /* Complete, genuine, signed by the same device: but not the log that was enrolled. */
    found("the origin is not that of the log that was enrolled: this is another log, or one that was begun anew");
    assert_int_equal(v.nfindings, 1);
    free(their_origin.data);
    free(their_checkpoints.data);
    free(theirs.data);
    audit_place_done(&other);
}

/* ------------------------------------------------------------------------------------------------------- held checkpoints */

static struct vf_note held_note(struct vf_buf *b, unsigned k)
{
    size_t from = checkpoint_at(k);
    struct vf_note note;

    vf_buf_init(b, 4096);
    vf_buf_put(b, checkpoints.data + from, checkpoint_at(k + 1) - from - 1);
    OK(vf_note_parse(b->data, b->len, &note, WHY));
    return note;
}

static bool verify_held(const struct vf_note *notes, size_t n)
{
    struct vf_verify_options opt = {
        .signers = &device_key, .nsigners = 1, .log_id = &place.id, .checkpoints = notes, .ncheckpoints = n};

    OK(vf_log_verify(place.log, &opt, &v, WHY));
    return v.good;
}

static void test_held(void **state)
{
    struct vf_note notes[SEALS];
    struct vf_buf b[SEALS];

    (void)state;
    for (unsigned k = 0; k < SEALS; k++)
        notes[SEALS - 1 - k] = held_note(&b[k], k);
    assert_true(verify_held(notes, SEALS));
    /* The tail cut, to the last seal but one and checkpoints with it: a good log, but not for who holds the last checkpoint. */
    for (unsigned keep = 0; keep < SEALS; keep++) {
        PIECES(entries_path, &entries, 0, line_at(&entries, 8 * keep));
        PIECES(checkpoints_path, &checkpoints, 0, checkpoint_at(keep));
        is_good();
        assert_false(verify_held(&notes[0], 1));
        char words[160];
        (void)snprintf(words, sizeof(words),
                       "the checkpoint given as number 1 covers 48 entries, but the log has %u: its end was cut off",
                       8 * keep);
        assert_true(audit_found(&v, words));
        if (keep > 0)
            assert_true(verify_held(&notes[SEALS - keep], 1));
    }
    restore();
    /* Only the last checkpoint lost, entries still there: what is held proves them. */
    PIECES(checkpoints_path, &checkpoints, 0, checkpoint_at(SEALS - 1));
    assert_true(verify_held(&notes[0], 1));
    /* Entries below it edited: the log's own checkpoint tells, and the held one cannot be compared. */
    restore();
    char *ref = strstr(entries.data, "\"refs\":[\"") + 9;
    char was = *ref;
    *ref = 'Q';
    audit_write(entries_path, entries.data, entries.len);
    *ref = was;
    assert_false(verify_held(notes, 1));
    assert_true(
        audit_found(&v, "the checkpoint given as number 1 (48 entries) cannot be compared: entries below it are damaged"));
    /* One of another log. */
    struct audit_place other;
    struct vf_log *log;
    VF_BUF cp = {0};
    struct vf_note foreign;
    restore();
    audit_place_make(&other);
    log = audit_open(&other, NULL);
    audit_commit(log, 0);
    audit_seal(log);
    vf_buf_init(&cp, 4096);
    OK(vf_log_checkpoint_get(log, &cp, WHY));
    audit_close(log);
    OK(vf_note_parse(cp.data, cp.len, &foreign, WHY));
    assert_false(verify_held(&foreign, 1));
    assert_true(audit_found(&v, "the checkpoint given as number 1 is of another log"));
    audit_place_done(&other);
    /* No checkpoint at all is an error, not a finding. */
    foreign.text_len = 3;
    struct vf_verify_options opt = {.checkpoints = &foreign, .ncheckpoints = 1};
    assert_int_equal(vf_log_verify(place.log, &opt, &v, NULL), VF_E_FORMAT);
    for (unsigned k = 0; k < SEALS; k++)
        vf_buf_done(&b[k]);
}
int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_checkpoint_removed, tamper_again),
        cmocka_unit_test_setup(test_old_checkpoint, tamper_again),
        cmocka_unit_test_setup(test_damaged_checkpoint, tamper_again),
        cmocka_unit_test_setup(test_spliced, tamper_again),
        cmocka_unit_test_setup(test_held, tamper_again),
    };

    return cmocka_run_group_tests(tests, tamper_set_up, tamper_tear_down);
}
