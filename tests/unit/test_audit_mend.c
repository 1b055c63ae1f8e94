/* SPDX-License-Identifier: MIT */
/* A copy that was damaged on its disk: a good hand-in takes its place, and nothing else does; what was there is kept. */
#include "audit_pieces.h"
#include "faults.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmocka_std.h"

static struct audit_place place;
static char home[400], copy[400], saved[400], file[400], first[400];
static uint64_t total, before; /* entries of `file`, of `first` */
static struct vf_verdict v;
static struct vf_handin_mend mend;
static struct vf_hash before_root;

static void remove_tree(const char *path)
{
    char cmd[600];

    (void)snprintf(cmd, sizeof(cmd), "rm -rf '%s'", path);
    assert_int_equal(system(cmd), 0); /* NOLINT(cert-env33-c): a test's own paths */
}

static void copy_tree(const char *from, const char *to)
{
    remove_tree(to);
    audit_copy_tree(from, to);
}

/* But for the locks. */
static void same_tree(const char *a, const char *b)
{
    char cmd[1000];

    (void)snprintf(cmd, sizeof(cmd), "diff -r --exclude=lock '%s' '%s' >/dev/null", a, b);
    assert_int_equal(system(cmd), 0); /* NOLINT(cert-env33-c): a test's own paths */
}

static enum vf_err store(const char *from, bool known)
{
    const struct vf_verify_options opt = {.signers = &device_key, .nsigners = 1, .log_id = &place.id};

    mend = (struct vf_handin_mend){.known = known ? before : 0, .has_root = known, .root = before_root};
    return vf_handin_store_mend(from, copy, &opt, &mend, &v, NULL, WHY);
}

/* A copy of `first` (before entries), and `file`, which goes on from there (total). */
static int fresh(void **state)
{
    const struct vf_verify_options opt = {.signers = &device_key, .nsigners = 1};

    (void)state;
    audit_place_make(&place);
    audit_path(home, place.dir.path, "home");
    audit_path(copy, home, "log");
    audit_path(saved, place.dir.path, "saved");
    audit_path(file, place.dir.path, "press-1.log");
    audit_path(first, place.dir.path, "first.log");
    assert_int_equal(mkdir(home, 0700), 0);
    audit_grow(&place, 14);
    before = audit_hand_in(place.log, first);
    OK(vf_handin_store(first, copy, &opt, &v, NULL, WHY));
    vf_tree_root(&v.tree, &before_root);
    audit_copy_tree(copy, saved);
    audit_grow(&place, 7);
    total = audit_hand_in(place.log, file);
    return 0;
}

static int away(void **state)
{
    (void)state;
    audit_place_done(&place);
    return 0;
}

static void again(void)
{
    remove_tree(home);
    assert_int_equal(mkdir(home, 0700), 0);
    audit_copy_tree(saved, copy);
}

static void is_good(uint64_t entries)
{
    if (!audit_verify(&place, copy, &v) || v.entries != entries || v.sealed != entries) {
        audit_print(&v);
        fail_msg("wanted %llu entries", (unsigned long long)entries);
    }
}

/* Folders in `home` beside the copy. The name of one of them. */
static unsigned others(char name[256])
{
    DIR *d = opendir(home);
    unsigned n = 0;

    assert_non_null(d);
    for (const struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        if (e->d_name[0] == '.' || strcmp(e->d_name, "log") == 0)
            continue;
        (void)snprintf(name, 256, "%s", e->d_name);
        n++;
    }
    (void)closedir(d);
    return n;
}

static void flip(const char *name, size_t at)
{
    char path[400];
    size_t len = 0;

    audit_path(path, copy, name);
    VF_FREE char *data = audit_read(path, &len);
    assert_true(at < len);
    data[at] ^= 1;
    audit_write(path, data, len);
}

static void refused(const char *from, bool known, enum vf_err want, const char *words)
{
    char was[400];
    char name[256];

    audit_path(was, place.dir.path, "was");
    copy_tree(copy, was);
    enum vf_err err = store(from, known);
    if (err != want || strstr(audit_why.text, words) == NULL)
        fail_msg("%d instead of %d: %s", (int)err, (int)want, audit_why.text);
    assert_string_equal(mend.aside, "");
    assert_int_equal(others(name), 0);
    same_tree(was, copy);
}

/* ------------------------------------------------------------------------------------------------------------------- mended */

static void test_good_copy_grows(void **state)
{
    char name[256];

    (void)state;
    OK(store(file, true));
    assert_string_equal(mend.aside, "");
    is_good(total);
    OK(store(file, false));
    assert_int_equal(others(name), 0);
    /* And one that is not there is made. */
    remove_tree(copy);
    OK(store(file, true));
    assert_string_equal(mend.aside, "");
    is_good(total);
    /* As ever: neither a shorter one, nor a folder, nor nothing. */
    refused(first, true, VF_E_FORGED, "its end was cut off");
    assert_int_equal(store(place.log, true), VF_E_INPUT);
    assert_int_equal(store("/nowhere", true), VF_E_NOT_FOUND);
    is_good(total);
}

/* A byte in every part of every file. */
static void test_every_file(void **state)
{
    static const char *const names[] = {"origin", "checkpoints", "entries-00000000000000000000.jsonl"};
    unsigned mended = 0;

    (void)state;
    for (size_t f = 0; f < sizeof(names) / sizeof(names[0]); f++) {
        char path[400];
        size_t len = 0;
        audit_path(path, saved, names[f]);
        VF_FREE char *was = audit_read(path, &len);
        for (size_t at = 0; at < len; at += f == 0 ? 13 : 61) {
            char name[256];
            char aside[700];
            size_t kept_len = 0;
            again();
            flip(names[f], at);
            OK(store(file, true));
            is_good(total);
            assert_true(mend.aside[0] != '\0' && mend.words[0] != '\0' && others(name) == 1);
            assert_string_equal(name, mend.aside);
            assert_int_equal(strncmp(name, "log.damaged-", 12), 0);
            (void)snprintf(aside, sizeof(aside), "%s/%s/%s", home, name, names[f]);
            VF_FREE char *kept = audit_read(aside, &kept_len);
            assert_int_equal(kept_len, len);
            assert_int_equal(kept[at] ^ 1, was[at]);
            mended++;
        }
    }
    print_message("%u mended\n", mended);
    assert_true(mended > 80);
}

/* Cut off, emptied, taken away; twice in one second. */
static void test_whole_files(void **state)
{
    char path[400];
    char name[256];

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        audit_path(path, copy, "entries-00000000000000000000.jsonl");
        assert_int_equal(i == 0 ? truncate(path, 1000) : i == 1 ? truncate(path, 0) : unlink(path), 0);
        OK(store(file, true));
        assert_true(mend.aside[0] != '\0');
        is_good(total);
        assert_int_equal(others(name), i + 1);
    }
    /* What an interrupted exchange left is kept, whatever it is. */
    (void)snprintf(path, sizeof(path), "%.390s.new", copy);
    assert_int_equal(mkdir(path, 0700), 0);
    OK(store(file, true));
    assert_string_equal(mend.aside, "");
    assert_int_equal(others(name), 4);
    assert_int_equal(access(path, F_OK), -1);
}

/* ------------------------------------------------------------------------------------------------------------ what is remembered */

static void test_nothing_known(void **state)
{
    char path[400];
    size_t len = 0;

    (void)state;
    audit_path(path, saved, "checkpoints");
    free(audit_read(path, &len));
    /* Entries: the last checkpoint still says what was handed in. */
    again();
    flip("entries-00000000000000000000.jsonl", 700);
    OK(store(file, false));
    is_good(total);
    /* That checkpoint itself, in its signature or in its root: nothing does, and a person has to decide. */
    for (size_t back = 10; back < 180; back += 37) {
        again();
        flip("checkpoints", len - back);
        refused(file, false, VF_E_DAMAGED, "nothing that is whole says what was handed in");
        OK(store(file, true)); /* unless the caller knows */
        is_good(total);
    }
    /* Another one before it: the last stands. */
    again();
    flip("checkpoints", 60);
    OK(store(file, false));
    is_good(total);
    /* Which log it is must be known. */
    again();
    flip("origin", 30);
    const struct vf_verify_options opt = {.signers = &device_key, .nsigners = 1};
    mend = (struct vf_handin_mend){.known = 0};
    assert_int_equal(vf_handin_store_mend(file, copy, &opt, &mend, &v, NULL, WHY), VF_E_DAMAGED);
}

/* An older file, and one that is damaged itself. */
static void test_lesser_file(void **state)
{
    char longer[400];
    size_t len = 0;

    (void)state;
    OK(store(file, true));
    copy_tree(copy, saved);
    again();
    flip("entries-00000000000000000000.jsonl", 700);
    refused(first, true, VF_E_FORGED, "not in this file: this is an older log");
    refused(first, false, VF_E_DAMAGED, "move the folder");
    /* More entries were handed in than it has, whatever the copy says now. */
    flip("checkpoints", 60);
    const struct vf_verify_options opt = {.signers = &device_key, .nsigners = 1, .log_id = &place.id};
    mend = (struct vf_handin_mend){.known = total};
    assert_int_equal(vf_handin_store_mend(first, copy, &opt, &mend, &v, NULL, WHY), VF_E_FORGED);
    audit_path(longer, place.dir.path, "longer.log");
    VF_FREE char *data = audit_read(file, &len);
    data[len - 40] ^= 1;
    audit_write(longer, data, len);
    refused(longer, true, VF_E_FORGED, "which is damaged");
    OK(store(file, true));
    is_good(total);
}

/*
 * Nine entries more are handed in and stored; then the station is put back to before them and goes on by itself: its log is the file `forked`, and
 * longer. *w, if wanted, is the log that was stored.
 */
static void fork_log(char forked[400], struct whole *w)
{
    char old[400];
    size_t len = 0;

    audit_path(old, place.dir.path, "old");
    audit_path(forked, place.dir.path, "forked.log");
    copy_tree(place.log, old);
    VF_FREE char *slots = audit_read(place.seal, &len);
    audit_grow(&place, 9);
    total = audit_hand_in(place.log, file);
    OK(store(file, true));
    if (w != NULL)
        *w = pieces_load(place.log);
    copy_tree(old, place.log);
    audit_write(place.seal, slots, len);
    audit_grow(&place, 40);
    assert_true(audit_hand_in(place.log, forked) > total);
}

/* The station restored from a backup and used again: each of the two logs is good in itself, and one must not replace the other. */
static void test_fork(void **state)
{
    char forked[400];

    (void)state;
    fork_log(forked, NULL);
    copy_tree(copy, saved);
    again();
    flip("entries-00000000000000000000.jsonl", 700);
    refused(forked, true, VF_E_FORGED, "not in this file");
    refused(forked, false, VF_E_DAMAGED, "move the folder");
    /* Nor when the caller remembers where the other one stood, and the copy nothing. */
    const struct vf_verify_options opt = {.signers = &device_key, .nsigners = 1, .log_id = &place.id};
    flip("checkpoints", 60);
    OK(vf_log_verify(file, &opt, &v, WHY));
    mend = (struct vf_handin_mend){.known = v.sealed, .has_root = true};
    vf_tree_root(&v.tree, &mend.root);
    assert_int_equal(vf_handin_store_mend(forked, copy, &opt, &mend, &v, NULL, WHY), VF_E_FORGED);
    assert_non_null(strstr(audit_why.text, "rewritten"));
    OK(store(file, false));
    is_good(total);
}

/*
 * The checkpoints cut off, emptied, or taken away: what is left is a good log, and shorter. It must not be taken for what was handed in, or a fork
 * could go on from there and everything behind it were gone.
 */
static void test_checkpoints_cut(void **state)
{
    char forked[400];
    char path[400];
    char name[256];
    size_t short_len = 0;

    (void)state;
    audit_path(path, copy, "checkpoints");
    free(audit_read(path, &short_len)); /* of `before` entries */
    fork_log(forked, NULL);
    before = v.sealed;
    vf_tree_root(&v.tree, &before_root);
    copy_tree(copy, saved);
    for (unsigned i = 0; i < 5; i++) {
        again();
        off_t to = i == 0 ? (off_t)short_len : i == 1 ? (off_t)short_len + 20 : 0;
        assert_int_equal(i < 3 ? truncate(path, to) : unlink(path), 0);
        if (i == 4) {
            char origin[400];
            audit_path(origin, copy, "origin");
            assert_int_equal(unlink(origin), 0);
        }
        refused(forked, true, VF_E_FORGED, "rewritten");
        /* So many were handed in, and nothing says which: a person has to decide. */
        const struct vf_verify_options opt = {.signers = &device_key, .nsigners = 1, .log_id = &place.id};
        mend = (struct vf_handin_mend){.known = before};
        assert_int_equal(vf_handin_store_mend(forked, copy, &opt, &mend, &v, NULL, WHY), VF_E_DAMAGED);
        assert_int_equal(others(name), 0);
        OK(store(file, true));
        assert_true(mend.aside[0] != '\0' && mend.words[0] != '\0' && others(name) == 1);
        is_good(total);
    }
}

/*
 * The folder is gone, or there is another in its place, good in itself: what the caller remembers must be in the file all the same, or whoever can
 * do that to the folder says what was handed in.
 */
static void test_gone(void **state)
{
    struct vf_log_copy *c = NULL;
    char forked[400];
    char lose[1000];
    struct whole w;

    (void)state;
    fork_log(forked, &w);
    before = v.sealed;
    vf_tree_root(&v.tree, &before_root);
    const struct piece p = pieces_of(&w, 0, w.ncps - 1);
    remove_tree(copy);
    assert_int_equal(store(forked, true), VF_E_FORGED);
    assert_non_null(strstr(audit_why.text, "rewritten"));
    OK(store(file, true));
    assert_string_equal(mend.aside, "");
    is_good(total);
    const struct vf_verify_options opt = {.signers = &device_key, .nsigners = 1, .log_id = &place.id};
    remove_tree(copy);
    OK(vf_handin_store(forked, copy, &opt, &v, NULL, WHY));
    refused(forked, true, VF_E_FORGED, "rewritten");
    /* A growing copy that has lost all but what it remembers of itself: it was begun, so the next log is not the first. */
    remove_tree(copy);
    OK(pieces_open(&w, copy, &c));
    OK(pieces_extend(c, &p));
    vf_log_copy_close(c);
    (void)snprintf(lose, sizeof(lose), "rm '%s'/entries-* '%s'/checkpoints", copy, copy);
    assert_int_equal(system(lose), 0); /* NOLINT(cert-env33-c): a test's own paths */
    refused(forked, false, VF_E_FORGED, "rewritten");
    OK(store(file, false));
    assert_true(mend.aside[0] != '\0');
    is_good(total);
    /* Who remembers nothing, and has moved the folder away: then the file is the first. */
    remove_tree(copy);
    OK(store(forked, false));
    pieces_free(&w);
}

/* ---------------------------------------------------------------------------------------------------------------------- crashes */

/* Killed, or refused by the disk, at every write, flush and rename: the next hand-in mends it, and the damaged one is there, whole. */
static void test_crashes(void **state)
{
    static const enum fault_kind kinds[] = {FAULT_WRITE, FAULT_SYNC, FAULT_RENAME, FAULT_MEMORY};
    unsigned crashes = 0;

    (void)state;
    for (unsigned k = 0; k < 8; k++) {
        bool met = true;
        for (unsigned n = 1; met; n++, crashes++) {
            int status = 0;
            char name[256];
            again();
            flip("entries-00000000000000000000.jsonl", 700);
            pid_t child = fork();
            if (child == 0) {
                OK(vf_crypto_init(VF_ARENA_TOOL, WHY));
                if (k % 2 == 0)
                    faults_arm_kill(kinds[k / 2], n);
                else
                    faults_arm(kinds[k / 2], n, kinds[k / 2] == FAULT_MEMORY ? ENOMEM : ENOSPC);
                enum vf_err err = store(file, true);
                _exit(faults_disarm() ? 10 : err == VF_OK ? 0 : 12);
            }
            assert_int_equal(waitpid(child, &status, 0), child);
            met = WIFSIGNALED(status) || WEXITSTATUS(status) == 10;
            assert_true(met || WEXITSTATUS(status) == 0);
            OK(store(file, true));
            is_good(total);
            /* In one of the folders beside it; and of an attempt that the disk refused nothing else stays, however often it is made. */
            assert_true(k % 2 == 0 ? others(name) > 0 : others(name) == 1);
            char want[400];
            size_t len = 0;
            unsigned kept = 0;
            audit_path(want, saved, "entries-00000000000000000000.jsonl");
            VF_FREE char *whole = audit_read(want, &len);
            whole[700] ^= 1;
            DIR *d = opendir(home);
            for (const struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
                char path[700];
                size_t have_len = 0;
                (void)snprintf(path, sizeof(path), "%s/%s/entries-00000000000000000000.jsonl", home, e->d_name);
                if (e->d_name[0] == '.' || access(path, F_OK) != 0)
                    continue;
                VF_FREE char *have = audit_read(path, &have_len);
                kept += have_len == len && memcmp(have, whole, len) == 0 ? 1 : 0;
            }
            (void)closedir(d);
            assert_int_equal(kept, 1);
        }
    }
    print_message("%u crashes and failures\n", crashes);
    assert_true(crashes > 40);
}

/* --------------------------------------------------------------------------------------------------------------- growing copies */

/* What a copy that grows by pieces remembers of itself is enough, even if its last checkpoint is damaged. */
static void test_place_remembered(void **state)
{
    struct vf_log_copy *c = NULL;
    struct whole w = pieces_load(place.log);
    const struct piece p = pieces_of(&w, 0, w.ncps - 1);
    struct vf_log_copy_state s;
    size_t len = 0;
    char path[400];

    (void)state;
    remove_tree(copy);
    OK(pieces_open(&w, copy, &c));
    OK(pieces_extend(c, &p));
    vf_log_copy_close(c);
    audit_path(path, copy, "checkpoints");
    free(audit_read(path, &len));
    /* Without its last checkpoints it is a good log, and shorter: it does not go on from there. */
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(truncate(path, i == 0 ? (off_t)len / 2 : 0), 0);
        assert_int_equal(pieces_open(&w, copy, &c), VF_E_FORGED);
        OK(store(file, false));
        assert_true(mend.aside[0] != '\0');
        is_good(total);
        remove_tree(copy);
        OK(pieces_open(&w, copy, &c));
        OK(pieces_extend(c, &p));
        vf_log_copy_close(c);
    }
    flip("checkpoints", len - 30);
    OK(store(file, false));
    assert_true(mend.aside[0] != '\0');
    is_good(total);
    /* It goes on growing as before. */
    OK(pieces_open(&w, copy, &c));
    vf_log_copy_state_get(c, &s);
    assert_int_equal(s.size, total);
    vf_log_copy_close(c);
    pieces_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_good_copy_grows, fresh, away),
        cmocka_unit_test_setup_teardown(test_every_file, fresh, away),
        cmocka_unit_test_setup_teardown(test_whole_files, fresh, away),
        cmocka_unit_test_setup_teardown(test_nothing_known, fresh, away),
        cmocka_unit_test_setup_teardown(test_lesser_file, fresh, away),
        cmocka_unit_test_setup_teardown(test_fork, fresh, away),
        cmocka_unit_test_setup_teardown(test_checkpoints_cut, fresh, away),
        cmocka_unit_test_setup_teardown(test_gone, fresh, away),
        cmocka_unit_test_setup_teardown(test_crashes, fresh, away),
        cmocka_unit_test_setup_teardown(test_place_remembered, fresh, away),
    };

    return cmocka_run_group_tests_name("audit mend", tests, audit_set_up, audit_tear_down);
}
