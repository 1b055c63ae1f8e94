/* SPDX-License-Identifier: MIT */
/* Handing a log in, and the copy that is kept of it. */
#include "audit_test.h"

#include "../../vaultfs/audit/source.h"
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
static char file[400], copy[400];
static struct vf_verdict v;
static const struct vf_log_options batch = {.batch = true, .segment_max = 2500};

static int fresh(void **state)
{
    (void)state;
    audit_place_make(&place);
    audit_path(file, place.dir.path, "press-1.log");
    audit_path(copy, place.dir.path, "copy");
    return 0;
}

static int away(void **state)
{
    (void)state;
    audit_place_done(&place);
    return 0;
}

static enum vf_err store(const char *from)
{
    struct vf_verify_options opt = {.signers = &device_key, .nsigners = 1, .log_id = &place.id};

    return vf_handin_store(from, copy, &opt, &v, NULL, WHY);
}

static void is_good(const char *path, uint64_t entries)
{
    if (!audit_verify(&place, path, &v) || v.entries != entries || v.sealed != entries) {
        audit_print(&v);
        fail_msg("%s: wanted %llu entries", path, (unsigned long long)entries);
    }
}

/* All lines of a folder, one after the other. */
static char *lines_of(const char *dir, size_t *ret_len)
{
    VF_SEGMENTS segs = {0};
    VF_BUF b = {0};
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    vf_buf_init(&b, 1 << 24);
    OK(vf_segments_list(fd, dir, &segs, WHY));
    for (size_t i = 0; i < segs.n; i++) {
        char name[VF_SEGMENT_NAME_LEN + 1];
        char path[400];
        size_t len = 0;
        vf_segment_name(segs.first[i], name);
        audit_path(path, dir, name);
        VF_FREE char *data = audit_read(path, &len);
        vf_buf_put(&b, data, len);
    }
    (void)close(fd);
    *ret_len = b.len;
    return strndup(b.len > 0 ? (char *)b.data : "", b.len);
}

static void same_lines(const char *a, const char *b)
{
    size_t alen = 0;
    size_t blen = 0;
    VF_FREE char *x = lines_of(a, &alen);
    VF_FREE char *y = lines_of(b, &blen);

    assert_int_equal(alen, blen);
    assert_memory_equal(x, y, alen);
}

/* ------------------------------------------------------------------------------------------------------------------- files */

static void test_write(void **state)
{
    (void)state;
    /* Of an empty log too. */
    assert_int_equal(audit_hand_in(place.log, file), 0);
    is_good(file, 0);
    audit_grow(&place, 20);
    assert_int_equal(audit_hand_in(place.log, file), 27);
    is_good(file, 27);
    assert_int_equal(v.checkpoints, 7);
    /* While it is written: up to the last checkpoint, whatever stands behind it. */
    struct vf_log *log = audit_open(&place, &batch);
    audit_commit(log, 99);
    assert_int_equal(audit_hand_in(place.log, file), 27);
    is_good(file, 27);
    audit_seal(log);
    assert_int_equal(audit_hand_in(place.log, file), 29);
    is_good(file, 29);
    audit_close(log);
    /* Through a pipe it is the same. */
    int fds[2];
    uint64_t size = 0;
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(fcntl(fds[1], F_SETPIPE_SZ, 1 << 18) > 0, 1);
    OK(vf_handin_write(place.log, fds[1], &size, WHY));
    (void)close(fds[1]);
    size_t len = 0;
    VF_FREE char *want = audit_read(file, &len);
    VF_FREE char *got = malloc(len + 1);
    OK(vf_fd_read(fds[0], got, len, "pipe", WHY));
    assert_int_equal(read(fds[0], got + len, 1), 0);
    assert_memory_equal(want, got, len);
    (void)close(fds[0]);
}

static void test_write_refused(void **state)
{
    char path[400];
    uint64_t size = 0;
    size_t len = 0;

    (void)state;
    audit_grow(&place, 9);
    int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    audit_path(path, place.dir.path, "nothing");
    assert_int_equal(vf_handin_write(path, fd, &size, NULL), VF_E_NOT_FOUND);
    assert_int_equal(vf_handin_write(place.seal, fd, &size, NULL), VF_E_VERSION);
    assert_int_equal(audit_hand_in(place.log, file), 12);
    assert_int_equal(vf_handin_write(file, fd, &size, NULL), VF_E_INPUT);
    /* Sealed entries missing. */
    audit_path(path, place.log, "entries-00000000000000000000.jsonl");
    VF_FREE char *was = audit_read(path, &len);
    audit_write(path, was, len / 2);
    assert_int_equal(vf_handin_write(place.log, fd, &size, WHY), VF_E_DAMAGED);
    assert_non_null(strstr(audit_why.text, "sealed entries are missing"));
    audit_write(path, was, len);
    /* A checkpoint that is none. */
    audit_path(path, place.log, "checkpoints");
    VF_FREE char *cps = audit_read(path, &len);
    cps[5] = '\n';
    audit_write(path, cps, len);
    assert_int_equal(vf_handin_write(place.log, fd, &size, WHY), VF_E_DAMAGED);
    (void)close(fd);
    fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    cps[5] = "vaultfs.log"[5];
    audit_write(path, cps, len);
    assert_int_equal(vf_handin_write(place.log, fd, &size, WHY), VF_E_DISK_FULL);
    (void)close(fd);
}

/* Every byte of a hand-in file changed, and the file cut at every length: refused or a finding, never good. */
static void test_mutations(void **state)
{
    size_t len = 0;

    (void)state;
    struct vf_log *log = audit_open(&place, &batch);
    for (unsigned i = 0; i < 3; i++)
        audit_commit(log, i);
    audit_close(log);
    (void)audit_hand_in(place.log, file);
    VF_FREE char *was = audit_read(file, &len);
    VF_FREE char *now = malloc(len + 1);
    struct vf_verify_options opt = {.signers = &device_key, .nsigners = 1, .log_id = &place.id};
    for (size_t at = 0; at < len; at++) {
        for (int c = 0; c < 2; c++) {
            memcpy(now, was, len);
            now[at] = (char)(now[at] ^ (c == 0 ? 1 : 0x80));
            audit_write(file, now, len);
            enum vf_err err = vf_log_verify(file, &opt, &v, NULL);
            if (err == VF_OK && v.good)
                fail_msg("byte %zu changed: not found", at);
            assert_true(err == VF_OK || err == VF_E_VERSION || err == VF_E_FORMAT);
        }
    }
    for (size_t cut = 0; cut < len; cut++) {
        audit_write(file, was, cut);
        enum vf_err err = vf_log_verify(file, &opt, &v, NULL);
        assert_true(err == VF_E_FORMAT || (err == VF_OK && !v.good));
    }
    memcpy(now, was, len);
    now[len] = '\n';
    audit_write(file, now, len + 1);
    OK(vf_log_verify(file, &opt, &v, WHY));
    assert_false(v.good);
    now[len] = '{';
    audit_write(file, now, len + 1);
    OK(vf_log_verify(file, &opt, &v, WHY));
    assert_true(!v.good && audit_found(&v, "it was cut or added to"));
}

static void test_head(void **state)
{
    struct vf_handin_head h = {.origin_len = 300, .checkpoints_len = 1234567, .entries = 99};
    struct vf_handin_head back;
    uint8_t raw[VF_HANDIN_HEAD_LEN];

    (void)state;
    vf_handin_head_encode(&h, raw);
    OK(vf_handin_head_decode(raw, &back, WHY));
    assert_true(back.origin_len == 300 && back.checkpoints_len == 1234567 && back.entries == 99);
    raw[11] = 2;
    assert_int_equal(vf_handin_head_decode(raw, &back, NULL), VF_E_VERSION);
    raw[11] = 1;
    raw[0] = 'v';
    assert_int_equal(vf_handin_head_decode(raw, &back, NULL), VF_E_VERSION);
    h.origin_len = 0;
    vf_handin_head_encode(&h, raw);
    assert_int_equal(vf_handin_head_decode(raw, &back, NULL), VF_E_FORMAT);
    h.origin_len = VF_LOG_ORIGIN_MAX + 1;
    vf_handin_head_encode(&h, raw);
    assert_int_equal(vf_handin_head_decode(raw, &back, NULL), VF_E_FORMAT);
    h = (struct vf_handin_head){.origin_len = 1, .checkpoints_len = UINT64_MAX};
    vf_handin_head_encode(&h, raw);
    assert_int_equal(vf_handin_head_decode(raw, &back, NULL), VF_E_FORMAT);
}

/* -------------------------------------------------------------------------------------------------------------------- copies */

static void test_store(void **state)
{
    uint64_t total = 0;

    (void)state;
    for (unsigned round = 0; round < 12; round++) {
        audit_grow(&place, 5 + round);
        total = audit_hand_in(place.log, file);
        OK(store(file));
        assert_true(v.good && v.sealed == total);
        is_good(copy, total);
        same_lines(place.log, copy);
        /* The same again changes nothing. */
        OK(store(file));
        is_good(copy, total);
        same_lines(place.log, copy);
    }
    /* It can be handed on, and gives the same file. */
    char second[400];
    size_t a = 0;
    size_t b = 0;
    audit_path(second, place.dir.path, "second.log");
    assert_int_equal(audit_hand_in(copy, second), total);
    VF_FREE char *x = audit_read(file, &a);
    VF_FREE char *y = audit_read(second, &b);
    assert_int_equal(a, b);
    assert_memory_equal(x, y, a);
    /* Nobody writes to a copy as if it were a log, nor stores into a log. */
    struct vf_log *log = NULL;
    assert_int_equal(vf_log_open(copy, place.seal, NULL, &log, WHY), VF_E_INPUT);
    assert_int_equal(vf_handin_store(file, place.log, NULL, &v, NULL, WHY), VF_E_INPUT);
    assert_non_null(strstr(audit_why.text, "a log of its own"));
    is_good(place.log, total);
}

static void test_checkpoint_given(void **state)
{
    struct vf_checkpoint c;
    struct vf_note note;
    VF_BUF cp = {0};

    (void)state;
    audit_grow(&place, 10);
    uint64_t total = audit_hand_in(place.log, file);
    vf_buf_init(&cp, 8192);
    OK(vf_handin_store(file, copy, NULL, NULL, &cp, WHY));
    OK(vf_note_parse(cp.data, cp.len, &note, WHY));
    OK(vf_checkpoint_parse(&note, &c, WHY));
    assert_true(c.size == total);
    /* An empty log has none. */
    struct audit_place empty;
    audit_place_make(&empty);
    (void)audit_hand_in(empty.log, file);
    char other[400];
    audit_path(other, place.dir.path, "other");
    cp.len = 0;
    OK(vf_handin_store(file, other, NULL, NULL, &cp, WHY));
    assert_int_equal(cp.len, 0);
    audit_place_done(&empty);
}

/* Where others can write: the last checkpoint says something else behind the verification. */
static void put_another(void *user, uint64_t done, uint64_t total)
{
    size_t len = 0;
    VF_FREE char *data = audit_read(file, &len);
    char *at = data;

    (void)user;
    (void)done;
    (void)total;
    for (char *p = data; (p = memmem(p, len - (size_t)(p - data), "\nvaultfs.log/", 13)) != NULL; p++)
        at = p + 1;
    at = strchr(strchr(at, '\n') + 1, '\n') + 1; /* its root */
    *at = *at == 'A' ? 'B' : 'A';
    audit_write(file, data, len);
}

/* What is given on to be cosigned is what was verified, and nothing that came since. */
static void test_checkpoint_changed(void **state)
{
    const struct vf_verify_options opt = {.progress = put_another};
    VF_BUF cp = {0};

    (void)state;
    audit_grow(&place, 10);
    (void)audit_hand_in(place.log, file);
    vf_buf_init(&cp, 8192);
    assert_int_equal(vf_handin_store(file, copy, &opt, &v, &cp, WHY), VF_E_FORGED);
    assert_non_null(strstr(audit_why.text, "changed while it was being read"));
    assert_true(v.good && cp.len == 0);
    /* Nor is it kept: the copy is as it was. */
    uint64_t total = audit_hand_in(place.log, file);
    OK(vf_handin_store(file, copy, NULL, &v, &cp, WHY));
    assert_true(cp.len > 0);
    is_good(copy, total);
}

/* Shorter, forked, another log, damaged: refused, and the copy stays as it was. */
static void test_store_refused(void **state)
{
    char shorter[400];
    char saved[400];
    char seal[400];
    size_t len = 0;

    (void)state;
    audit_grow(&place, 10);
    audit_path(shorter, place.dir.path, "shorter.log");
    uint64_t was = audit_hand_in(place.log, shorter);
    audit_path(saved, place.dir.path, "saved-log");
    audit_path(seal, place.dir.path, "saved-seal");
    audit_copy_tree(place.log, saved);
    VF_FREE char *slots = audit_read(place.seal, &len);
    audit_write(seal, slots, len);
    audit_grow(&place, 10);
    uint64_t total = audit_hand_in(place.log, file);
    OK(store(file));
    assert_int_equal(store(shorter), VF_E_FORGED);
    assert_non_null(strstr(audit_why.text, "its end was cut off"));
    is_good(copy, total);
    /* The station restored from a backup and used again: the same log, another continuation. */
    char current[400];
    audit_path(current, place.dir.path, "current");
    assert_int_equal(rename(place.log, current), 0);
    assert_int_equal(rename(saved, place.log), 0);
    VF_FREE char *later = audit_read(place.seal, &len);
    audit_write(place.seal, slots, len);
    audit_grow(&place, 30);
    char forked[400];
    audit_path(forked, place.dir.path, "forked.log");
    assert_true(audit_hand_in(place.log, forked) > total && was < total);
    is_good(forked, v.sealed > 0 ? audit_hand_in(place.log, forked) : 0); /* good in itself */
    assert_int_equal(store(forked), VF_E_FORGED);
    assert_non_null(strstr(audit_why.text, "the log was rewritten"));
    is_good(copy, total);
    same_lines(current, copy);
    audit_write(place.seal, later, len);
    /* Another log of the same device. */
    struct audit_place other;
    audit_place_make(&other);
    struct vf_log *log = audit_open(&other, NULL);
    audit_commit(log, 0);
    audit_close(log);
    (void)audit_hand_in(other.log, forked);
    assert_int_equal(vf_handin_store(forked, copy, NULL, &v, NULL, WHY), VF_E_FORGED);
    assert_non_null(strstr(audit_why.text, "another log than the one handed in before"));
    audit_place_done(&other);
    /* Damaged in the new part. */
    VF_FREE char *data = audit_read(file, &len);
    data[len - 40] ^= 1;
    audit_write(file, data, len);
    assert_int_equal(store(file), VF_E_FORGED);
    assert_false(v.good);
    is_good(copy, total);
    /* Not signed by the device. */
    struct vf_identity *stranger = NULL;
    struct vf_note_key key;
    OK(vf_identity_new(VF_ROLE_DEVICE, "press-2", &stranger, WHY));
    vf_note_key_of(vf_identity_pub_get(stranger), &key);
    data[len - 40] ^= 1;
    audit_write(file, data, len);
    struct vf_verify_options opt = {.signers = &key, .nsigners = 1};
    assert_int_equal(vf_handin_store(file, copy, &opt, &v, NULL, WHY), VF_E_FORGED);
    vf_identity_free(stranger);
    OK(store(file));
    /* A folder; a file of another kind; none. */
    assert_int_equal(vf_handin_store(current, copy, NULL, &v, NULL, WHY), VF_E_INPUT);
    assert_int_equal(vf_handin_store(place.seal, copy, NULL, &v, NULL, WHY), VF_E_VERSION);
    assert_int_equal(vf_handin_store("/nowhere", copy, NULL, &v, NULL, WHY), VF_E_NOT_FOUND);
    is_good(copy, total);
}

/* A crash, or a full disk, at every call: the copy is as before, or shorter than all but good; and the next hand-in makes it whole. */
static void test_store_crashes(void **state)
{
    char first[400];
    unsigned crashes = 0;

    (void)state;
    audit_grow(&place, 4);
    audit_path(first, place.dir.path, "first.log");
    uint64_t before = audit_hand_in(place.log, first);
    audit_grow(&place, 30);
    uint64_t total = audit_hand_in(place.log, file);
    for (int kill = 0; kill < 2; kill++) {
        for (int kind = 0; kind < 2; kind++) {
            bool met = true;
            for (unsigned n = 1; met; n++, crashes++) {
                int status = 0;
                char cmd[900];
                (void)snprintf(cmd, sizeof(cmd), "rm -rf '%s'", copy);
                assert_int_equal(system(cmd), 0);
                if (n % 2 == 0) /* half of them into a copy that is there already */
                    OK(store(first));
                pid_t child = fork();
                if (child == 0) {
                    OK(vf_crypto_init(VF_ARENA_TOOL, WHY));
                    if (kill)
                        faults_arm_kill(kind == 0 ? FAULT_WRITE : FAULT_SYNC, n);
                    else
                        faults_arm_lasting(kind == 0 ? FAULT_WRITE : FAULT_SYNC, n, ENOSPC);
                    enum vf_err err = store(file);
                    bool hit = faults_disarm();
                    _exit(hit ? (err == VF_E_DISK_FULL ? 10 : 11) : (err == VF_OK ? 0 : 12));
                }
                assert_int_equal(waitpid(child, &status, 0), child);
                met = WIFSIGNALED(status) || WEXITSTATUS(status) != 0;
                if (!WIFSIGNALED(status) && WEXITSTATUS(status) != 0 && WEXITSTATUS(status) != 10)
                    fail_msg("exit %d at call %u", WEXITSTATUS(status), n);
                char origin[400];
                audit_path(origin, copy, "origin");
                if (access(origin, F_OK) == 0) {
                    bool good = audit_verify(&place, copy, &v);
                    if (!good || v.sealed != v.entries || v.entries < (n % 2 == 0 ? before : 0)) {
                        audit_print(&v);
                        fail_msg("kind %d, call %u", kind, n);
                    }
                }
                OK(store(file));
                is_good(copy, total);
                same_lines(place.log, copy);
            }
        }
    }
    print_message("%u crashes and failures\n", crashes);
    assert_true(crashes > 20);
}

/* What an unfinished hand-in left behind the last checkpoint is told and does not count; the log room's lock keeps two apart. */
static void test_unfinished(void **state)
{
    char path[400];
    size_t len = 0;
    struct stat st;
    int held = -1;

    (void)state;
    audit_grow(&place, 10);
    uint64_t total = audit_hand_in(place.log, file);
    OK(store(file));
    audit_path(path, copy, "entries-00000000000000000000.jsonl");
    VF_FREE char *was = audit_read(path, &len);
    VF_BUF b = {0};
    vf_buf_init(&b, 1 << 20);
    vf_buf_put(&b, was, len);
    vf_buf_text(&b, "{\"seq\":14,rubbish\nmore\nand mo");
    audit_write(path, b.data, b.len);
    is_good(copy, total);
    assert_int_equal(audit_hand_in(copy, file), total);
    audit_path(path, copy, "entries-00000000000000000999.jsonl");
    audit_write(path, "x\n", 2);
    is_good(copy, total);
    audit_grow(&place, 3);
    total = audit_hand_in(place.log, file);
    OK(store(file));
    is_good(copy, total);
    same_lines(place.log, copy);
    assert_int_equal(stat(path, &st), -1);
    audit_path(path, copy, "lock");
    held = open(path, O_RDWR | O_CLOEXEC);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    assert_int_equal(fcntl(held, F_OFD_SETLK, &lock), 0);
    assert_int_equal(store(file), VF_E_BUSY);
    (void)close(held);
    OK(store(file));
    /* The copy itself damaged: said so, not mended. */
    audit_path(path, copy, "checkpoints");
    VF_FREE char *cps = audit_read(path, &len);
    cps[3] ^= 1;
    audit_write(path, cps, len);
    enum vf_err err = store(file);
    assert_true(err == VF_E_FORGED || err == VF_E_DAMAGED);
}

static off_t size_of(const char *name)
{
    char path[400];
    struct stat st;

    audit_path(path, copy, name);
    assert_int_equal(stat(path, &st), 0);
    return st.st_size;
}

/* More than fits on the disk, wherever that ends: what was written goes again, else the disk would stay full of what does not count. */
static void test_too_much(void **state)
{
    static const char entries[] = "entries-00000000000000000000.jsonl";
    unsigned met = 0;

    (void)state;
    audit_grow(&place, 4);
    uint64_t total = audit_hand_in(place.log, file);
    OK(store(file));
    const off_t lines = size_of(entries);
    const off_t cps = size_of("checkpoints");
    audit_grow(&place, 3000); /* over a MiB: more than one write */
    uint64_t more = audit_hand_in(place.log, file);
    for (unsigned n = 3;; n++) { /* behind the two of the lock's */
        faults_arm(FAULT_WRITE, n, ENOSPC);
        enum vf_err err = store(file);
        if (!faults_disarm()) {
            OK(err);
            break;
        }
        assert_int_equal(err, VF_E_DISK_FULL);
        assert_int_equal(size_of(entries), lines);
        assert_int_equal(size_of("checkpoints"), cps);
        is_good(copy, total);
        met++;
    }
    is_good(copy, more);
    assert_true(met > 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_write, fresh, away),
        cmocka_unit_test_setup_teardown(test_write_refused, fresh, away),
        cmocka_unit_test_setup_teardown(test_mutations, fresh, away),
        cmocka_unit_test(test_head),
        cmocka_unit_test_setup_teardown(test_store, fresh, away),
        cmocka_unit_test_setup_teardown(test_checkpoint_given, fresh, away),
        cmocka_unit_test_setup_teardown(test_checkpoint_changed, fresh, away),
        cmocka_unit_test_setup_teardown(test_store_refused, fresh, away),
        cmocka_unit_test_setup_teardown(test_store_crashes, fresh, away),
        cmocka_unit_test_setup_teardown(test_unfinished, fresh, away),
        cmocka_unit_test_setup_teardown(test_too_much, fresh, away),
    };

    return cmocka_run_group_tests(tests, audit_set_up, audit_tear_down);
}
