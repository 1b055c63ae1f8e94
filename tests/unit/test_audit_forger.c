/* SPDX-License-Identifier: MIT */
/* Logs written by somebody who holds keys: what he can do, and what he cannot. */
#include "audit_tamper.h"

#include "../../vaultfs/audit/checkpoint.h"
#include "../../vaultfs/audit/entry.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmocka_std.h"

/* ------------------------------------------------------------------------------------------- who holds keys, and which */

/* A log as somebody makes it who has keys: lines and checkpoints of his own. */
struct forger {
    struct vf_buf entries, checkpoints;
    struct vf_tree tree;
    struct vf_seal_key key;
    int64_t time_us;
    const char *line;
};

static void forge_init(struct forger *f, const char *line, const struct vf_seal_key *key)
{
    memset(f, 0, sizeof(*f));
    vf_buf_init(&f->entries, 1 << 20);
    vf_buf_init(&f->checkpoints, 1 << 16);
    vf_tree_init(&f->tree);
    f->key = *key;
    f->time_us = INT64_C(1795262400000000);
    f->line = line;
}

static void forge_done(struct forger *f)
{
    vf_buf_done(&f->entries);
    vf_buf_done(&f->checkpoints);
}

static void forge_entry(struct forger *f, enum vf_event event, const uint8_t *key)
{
    struct vf_entry e = {.event = event, .part = -1, .result = "ok"};
    VF_ENTRY_BODY body = {.split = 0};
    struct vf_entry_lines lines = {0};
    uint8_t nonce[16] = {0};
    struct vf_hash leaf;
    VF_BUF where = {0};

    vf_buf_init(&where, 8192);
    vf_entry_origin_put("forge", "00112233445566778899aabbccddeeff", &where);
    OK(vf_entry_body_make(&e, key, &body, WHY));
    assert_true(vf_entry_lines_add(&lines, f->tree.size, f->time_us, &body, &where, nonce));
    vf_buf_put(&f->entries, lines.data, lines.len);
    vf_leaf_hash(lines.data, lines.len - 1, &leaf);
    vf_tree_add(&f->tree, &leaf);
    vf_entry_lines_done(&lines);
}

static void forge_checkpoint(struct forger *f, const struct vf_seal_key *by)
{
    struct vf_hash root;

    vf_tree_root(&f->tree, &root);
    OK(vf_checkpoint_record(f->line, f->tree.size, &root, by, &f->checkpoints, WHY));
}

/* A seal as it should be. */
static void forge_seal(struct forger *f)
{
    struct vf_seal_key next;

    vf_seal_key_new(&next);
    forge_entry(f, VF_EVENT_SEAL, next.pub);
    forge_checkpoint(f, &f->key);
    f->key = next;
}

/* The forger's log under an origin that he may sign: good when he does everything right. */
static void forge_origin(const char *line, const struct vf_seal_key *key, struct vf_buf *out)
{
    VF_BUF text = {0};

    vf_buf_init(&text, 4096);
    vf_origin_put(line, VF_LOG_STATION, "press-1", INT64_C(1795262400000000), key->pub, NULL, &text);
    vf_buf_init(out, 8192);
    OK(vf_note_sign((const char *)text.data, text.len, device, out, WHY));
}

static void forge_write(const struct forger *f)
{
    audit_write(entries_path, f->entries.data, f->entries.len);
    audit_write(checkpoints_path, f->checkpoints.data, f->checkpoints.len);
}

#define FORGED_LINE "vaultfs.log/ffffffffffffffffffffffffffffffff"

/*
 * Who has taken the host has the device identity and the current seal secret. He can write a new log, and it is not the enrolled one; he
 * can go on from the last checkpoint; he cannot put anything in the place of what was sealed before.
 */
static void test_rewritten(void **state)
{
    struct vf_seal_key first, current;
    struct forger f;
    VF_BUF note = {0};

    (void)state;
    vf_seal_key_new(&first);
    forge_init(&f, FORGED_LINE, &first);
    for (int i = 0; i < 20; i++) {
        forge_entry(&f, VF_EVENT_MOUNT, NULL);
        if (i % 5 == 4)
            forge_seal(&f);
    }
    forge_origin(FORGED_LINE, &first, &note);
    audit_write(origin_path, note.data, note.len);
    forge_write(&f);
    found("the origin is not that of the log that was enrolled");
    assert_true(v.nfindings == 1 && v.sealed == 24 && v.origin_checked);
    forge_done(&f);
    /* The true origin, everything below it new: its first key is gone for ever. */
    char line[VF_ORIGIN_LINE_LEN + 1] = {0};
    memcpy(line, origin.data + strlen("vaultfs-log-v1\nlog "), VF_ORIGIN_LINE_LEN);
    vf_seal_key_new(&current); /* stands for the secret that was on the host */
    forge_init(&f, line, &current);
    for (int i = 0; i < 20; i++)
        forge_entry(&f, VF_EVENT_MOUNT, NULL);
    forge_seal(&f);
    audit_write(origin_path, origin.data, origin.len);
    forge_write(&f);
    found("checkpoint 1 (21 entries): not signed by the key that the origin names");
    assert_true(v.sealed == 0);
    forge_done(&f);
}

/* With the true current secret: what follows the last checkpoint is his; nothing before it is. */
static void test_extended(void **state)
{
    struct audit_place p;
    struct vf_slot slots[2];
    struct vf_seal_key current;
    struct forger f;
    char line[VF_ORIGIN_LINE_LEN + 1] = {0};

    (void)state;
    audit_place_make(&p);
    fill(&p, 3, 7);
    paths(&p);
    struct file e = load(entries_path);
    struct file c = load(checkpoints_path);
    struct file o = load(origin_path);
    memcpy(line, o.data + strlen("vaultfs-log-v1\nlog "), VF_ORIGIN_LINE_LEN);
    OK(vf_slots_read(p.seal, "VFSEAL01", slots, WHY));
    const struct vf_slot *s = &slots[slots[0].present ? 0 : 1];
    assert_true(slots[0].present != slots[1].present);
    assert_true(vf_seal_key_from_seed(s->payload + 32, &current)); /* docs/format.md: log id, then the seed */
    /* He goes on from the end: genuine, as P5 says. */
    forge_init(&f, line, &current);
    for (unsigned i = 0; i < 24; i++) {
        struct vf_hash leaf;
        vf_leaf_hash(e.data + line_at(&e, i), line_at(&e, i + 1) - line_at(&e, i) - 1, &leaf);
        vf_tree_add(&f.tree, &leaf);
    }
    f.time_us = INT64_C(4000000000000000);
    vf_buf_put(&f.entries, e.data, e.len);
    vf_buf_put(&f.checkpoints, c.data, c.len);
    forge_entry(&f, VF_EVENT_MOUNT, NULL);
    forge_seal(&f);
    forge_write(&f);
    assert_true(audit_verify(&p, p.log, &v));
    /* He cuts two seals away and writes others: the key that would have to sign was wiped. */
    forge_done(&f);
    forge_init(&f, line, &current);
    for (unsigned i = 0; i < 8; i++) {
        struct vf_hash leaf;
        vf_leaf_hash(e.data + line_at(&e, i), line_at(&e, i + 1) - line_at(&e, i) - 1, &leaf);
        vf_tree_add(&f.tree, &leaf);
    }
    f.time_us = INT64_C(4000000000000000);
    vf_buf_put(&f.entries, e.data, line_at(&e, 8));
    vf_buf_put(&f.checkpoints, c.data, record_at(&c, 1));
    forge_entry(&f, VF_EVENT_MOUNT, NULL);
    forge_seal(&f);
    forge_write(&f);
    assert_false(audit_verify(&p, p.log, &v));
    assert_true(audit_found(&v, "checkpoint 2 (10 entries): not signed by the key that entry 7 names"));
    assert_true(v.sealed == 8);
    /* He keeps the last checkpoint and edits below it. */
    audit_write(checkpoints_path, c.data, c.len);
    char *ref = strstr(e.data + line_at(&e, 20), "\"refs\":[\"") + 9;
    *ref = *ref == 'Q' ? 'R' : 'Q';
    audit_write(entries_path, e.data, e.len);
    assert_false(audit_verify(&p, p.log, &v));
    assert_true(audit_found(&v, "entries 16 to 23: at least one is not what checkpoint 3 sealed"));
    forge_done(&f);
    free(e.data);
    free(c.data);
    free(o.data);
    vf_wipe(slots, sizeof(slots));
    audit_place_done(&p);
    paths(&place);
}

/* What only a broken or malicious writer makes, with all keys in his hand. */
static void test_rules(void **state)
{
    struct vf_verify_options opt = {.signers = &device_key, .nsigners = 1};
    struct vf_seal_key first, other;
    struct forger f;
    VF_BUF note = {0};

    (void)state;
    vf_seal_key_new(&first);
    vf_seal_key_new(&other);
    forge_origin(FORGED_LINE, &first, &note);
    audit_write(origin_path, note.data, note.len);
    /* A time that goes back. */
    forge_init(&f, FORGED_LINE, &first);
    forge_entry(&f, VF_EVENT_MOUNT, NULL);
    f.time_us -= 1;
    forge_entry(&f, VF_EVENT_UNMOUNT, NULL);
    forge_seal(&f);
    forge_write(&f);
    OK(vf_log_verify(place.log, &opt, &v, WHY));
    assert_true(!v.good && v.nfindings == 1 && audit_found(&v, "entry 1: its time is before that of the entry before it"));
    forge_done(&f);
    /* A key that signs twice. */
    forge_init(&f, FORGED_LINE, &first);
    forge_seal(&f);
    struct vf_seal_key twice = f.key;
    forge_entry(&f, VF_EVENT_MOUNT, NULL);
    forge_checkpoint(&f, &twice);
    forge_entry(&f, VF_EVENT_MOUNT, NULL);
    forge_checkpoint(&f, &twice);
    forge_write(&f);
    OK(vf_log_verify(place.log, &opt, &v, WHY));
    assert_true(audit_found(&v, "checkpoint 2 (2 entries): covers no new seal entry, so that one key signs twice"));
    forge_done(&f);
    /* A seal entry without checkpoint, and no recovery after it; with one, it is as after a crash. */
    for (int told = 0; told < 2; told++) {
        forge_init(&f, FORGED_LINE, &first);
        forge_entry(&f, VF_EVENT_SEAL, other.pub);
        forge_entry(&f, told ? VF_EVENT_RECOVER : VF_EVENT_MOUNT, NULL);
        forge_seal(&f);
        forge_write(&f);
        OK(vf_log_verify(place.log, &opt, &v, WHY));
        assert_int_equal(v.good, told);
        if (told)
            assert_true(v.recoveries == 1 && v.sealed == 3);
        else
            assert_true(audit_found(&v, "the checkpoint that ends with entry 0 is missing"));
        forge_done(&f);
    }
    /* A void seal entry's key signs: the thief of a secret that was thrown away. */
    forge_init(&f, FORGED_LINE, &first);
    forge_entry(&f, VF_EVENT_SEAL, other.pub);
    forge_entry(&f, VF_EVENT_RECOVER, NULL);
    forge_seal(&f);
    f.key = other;
    forge_entry(&f, VF_EVENT_MOUNT, NULL);
    forge_seal(&f);
    forge_write(&f);
    OK(vf_log_verify(place.log, &opt, &v, WHY));
    assert_true(!v.good && v.sealed == 3 &&
                audit_found(&v, "checkpoint 2 (5 entries): not signed by the key that entry 2 names"));
    forge_done(&f);
}
int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_rewritten, tamper_again),
        cmocka_unit_test_setup(test_extended, tamper_again),
        cmocka_unit_test_setup(test_rules, tamper_again),
    };

    return cmocka_run_group_tests(tests, tamper_set_up, tamper_tear_down);
}
