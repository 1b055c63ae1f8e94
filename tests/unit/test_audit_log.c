/* SPDX-License-Identifier: MIT */
/* The writer from outside: entries become durable, are sealed, and a reader finds them good. */
#include "audit_test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cmocka_std.h"

static struct audit_place place;
static struct vf_verdict v;

static int fresh(void **state)
{
    (void)state;
    audit_place_make(&place);
    return 0;
}

static int away(void **state)
{
    (void)state;
    audit_place_done(&place);
    return 0;
}

static unsigned segments(const char *dir)
{
    DIR *d = opendir(dir);
    const struct dirent *e;
    unsigned n = 0;

    assert_non_null(d);
    while ((e = readdir(d)) != NULL)
        n += strncmp(e->d_name, "entries-", 8) == 0 ? 1 : 0;
    (void)closedir(d);
    return n;
}

static void good(uint64_t entries, uint64_t sealed, uint64_t checkpoints)
{
    if (!audit_verify(&place, place.log, &v) || v.entries != entries || v.sealed != sealed || v.checkpoints != checkpoints) {
        audit_print(&v);
        fail_msg("wanted %llu entries, %llu sealed, %llu checkpoints", (unsigned long long)entries,
                 (unsigned long long)sealed, (unsigned long long)checkpoints);
    }
    assert_true(v.origin_checked);
}

static void nap_ms(long ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};

    (void)nanosleep(&t, NULL);
}

/* ------------------------------------------------------------------------------------------------------------------- basics */

static void test_empty(void **state)
{
    struct vf_log_state s;
    VF_BUF cp = {0};

    (void)state;
    good(0, 0, 0);
    struct vf_log *log = audit_open(&place, NULL);
    vf_log_state_get(log, &s);
    assert_true(s.size == 0 && s.sealed == 0 && s.writable && s.last_time_us == 0);
    assert_memory_equal(s.id.b, place.id.b, 32);
    vf_buf_init(&cp, 4096);
    OK(vf_log_checkpoint_get(log, &cp, WHY));
    assert_int_equal(cp.len, 0);
    OK(vf_log_seal(log, WHY)); /* nothing is new */
    audit_close(log);
    good(0, 0, 0);
    assert_int_equal(segments(place.log), 0);
    assert_int_equal(v.origin.kind, VF_LOG_STATION);
    assert_string_equal(v.origin.owner, "press-1");
}

static void test_commit_and_close(void **state)
{
    struct vf_log_state s;

    (void)state;
    struct vf_log *log = audit_open(&place, &(struct vf_log_options){.batch = true});
    for (uint64_t i = 0; i < 5; i++)
        audit_commit(log, i);
    vf_log_state_get(log, &s);
    assert_true(s.size == 5 && s.sealed == 0 && s.last_time_us > 0);
    /* Durable means durable: another process reads it now, not sealed. */
    good(5, 0, 0);
    assert_true(audit_noted(&v, "entries 0 to 4 are not sealed"));
    audit_close(log);
    good(6, 6, 1);
    assert_int_equal(v.nnotes, 0);
    log = audit_open(&place, NULL);
    audit_close(log);
    good(6, 6, 1); /* a clean end leaves nothing to tell */
}

static void test_many_sessions(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 20; i++) {
        struct vf_log *log = audit_open(&place, NULL);
        audit_commit(log, i);
        audit_seal(log);
        audit_commit(log, i);
        audit_close(log);
        good(4 * (i + 1), 4 * (i + 1), 2 * (i + 1));
    }
    assert_true(v.recoveries == 0 && v.gaps == 0 && v.clock_steps == 0);
}

static void test_seal_and_checkpoint(void **state)
{
    struct vf_log_state s;
    struct vf_checkpoint c;
    struct vf_note note;
    VF_BUF cp = {0};

    (void)state;
    struct vf_log *log = audit_open(&place, &(struct vf_log_options){.batch = true});
    audit_commit(log, 0);
    audit_seal(log);
    vf_log_state_get(log, &s);
    assert_true(s.size == 2 && s.sealed == 2);
    audit_seal(log);
    vf_log_state_get(log, &s);
    assert_true(s.size == 2); /* sealing what is sealed makes no entry */
    vf_buf_init(&cp, 4096);
    OK(vf_log_checkpoint_get(log, &cp, WHY));
    OK(vf_note_parse(cp.data, cp.len, &note, WHY));
    OK(vf_checkpoint_parse(&note, &c, WHY));
    assert_true(c.size == 2);
    /* It is what stands in the file, and what the next opener knows. */
    audit_close(log);
    size_t len = 0;
    char path[400];
    audit_path(path, place.log, "checkpoints");
    VF_FREE char *file = audit_read(path, &len);
    assert_int_equal(len, cp.len + 1);
    assert_memory_equal(file, cp.data, cp.len);
    log = audit_open(&place, NULL);
    VF_BUF again = {0};
    vf_buf_init(&again, 4096);
    OK(vf_log_checkpoint_get(log, &again, WHY));
    assert_int_equal(again.len, cp.len);
    assert_memory_equal(again.data, cp.data, cp.len);
    audit_close(log);
}

/* Without anybody asking: within a second of the first new entry, and only if there is something new. */
static void test_sealed_in_time(void **state)
{
    struct vf_log_state s;

    (void)state;
    struct vf_log *log = audit_open(&place, NULL);
    audit_commit(log, 0);
    nap_ms(1000);
    vf_log_state_get(log, &s);
    assert_true(s.sealed == 2 && s.size == 2);
    nap_ms(1200);
    vf_log_state_get(log, &s);
    assert_true(s.sealed == 2 && s.size == 2);
    audit_close(log);
    log = audit_open(&place, &(struct vf_log_options){.batch = true});
    audit_commit(log, 0);
    nap_ms(1200);
    vf_log_state_get(log, &s);
    assert_true(s.sealed == 2 && s.size == 3);
    audit_close(log);
}

static void test_sealed_by_number(void **state)
{
    struct vf_log_state s;
    uint64_t seq = 0;

    (void)state;
    struct vf_log *log = audit_open(&place, &(struct vf_log_options){.batch = true});
    for (uint64_t i = 0; i < 3000; i++) {
        struct vf_ref ref;
        struct vf_entry e = audit_entry(i, &ref);
        OK(vf_log_append(log, &e, &seq, WHY));
        if (i % 256 == 0)
            OK(vf_log_wait(log, seq, WHY));
    }
    OK(vf_log_wait(log, seq, WHY));
    vf_log_state_get(log, &s);
    assert_true(s.size >= 3002 && s.size - s.sealed < VF_LOG_SEAL_ENTRIES);
    audit_close(log);
    assert_true(audit_verify(&place, place.log, &v));
    assert_true(v.checkpoints >= 3);
}

static void test_segments(void **state)
{
    struct vf_log_options opt = {.batch = true, .segment_max = 3000};
    uint64_t n = 0;

    (void)state;
    for (int run = 0; run < 4; run++) {
        struct vf_log *log = audit_open(&place, &opt);
        for (uint64_t i = 0; i < 30; i++)
            audit_commit(log, i);
        audit_close(log);
        n += 31;
        good(n, n, (uint64_t)run + 1);
    }
    assert_true(segments(place.log) >= 12);
}

/* --------------------------------------------------------------------------------------------------------------- who writes */

static void test_busy(void **state)
{
    struct vf_log *second = NULL;
    struct vf_why why = {0};
    char pid[40];

    (void)state;
    struct vf_log *log = audit_open(&place, NULL);
    assert_int_equal(vf_log_open(place.log, place.seal, NULL, &second, &why), VF_E_BUSY);
    (void)snprintf(pid, sizeof(pid), "in use by process %d", (int)getpid());
    assert_non_null(strstr(why.text, pid));
    audit_close(log);
    log = audit_open(&place, NULL);
    audit_close(log);
}

static void test_own_events(void **state)
{
    static const enum vf_event own[] = {VF_EVENT_SEAL, VF_EVENT_RECOVER, VF_EVENT_GAP};
    struct vf_log *log = audit_open(&place, NULL);
    uint64_t seq = 0;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct vf_entry e = {.event = own[i], .part = -1, .result = "ok"};
        assert_int_equal(vf_log_append(log, &e, &seq, NULL), VF_E_INPUT);
    }
    struct vf_entry e = {.event = VF_EVENT_MOUNT, .part = -1};
    assert_int_equal(vf_log_append(log, &e, &seq, NULL), VF_E_INPUT);
    assert_int_equal(vf_log_wait(log, 0, NULL), VF_E_DISK_FULL); /* never put */
    audit_close(log);
    OK(vf_log_close(NULL, WHY));
}

#define THREADS 8
#define EACH    150
static struct vf_log *shared;

static void *appender(void *arg)
{
    for (uint64_t i = 0; i < EACH; i++) {
        audit_commit(shared, *(const uint64_t *)arg * 1000 + i);
        if (i % 40 == 20)
            audit_seal(shared);
    }
    return NULL;
}

/* Many appenders, sealing, and a reader that verifies all the while. */
static void test_threads(void **state)
{
    pthread_t threads[THREADS];
    uint64_t numbers[THREADS];
    struct vf_log_state s;

    (void)state;
    shared = audit_open(&place, &(struct vf_log_options){.segment_max = 40000});
    for (uint64_t i = 0; i < THREADS; i++) {
        numbers[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, appender, &numbers[i]), 0);
    }
    do {
        if (!audit_verify(&place, place.log, &v)) {
            audit_print(&v);
            fail_msg("a reader of a log in use found damage");
        }
        vf_log_state_get(shared, &s);
    } while (s.size < THREADS * EACH);
    for (int i = 0; i < THREADS; i++)
        (void)pthread_join(threads[i], NULL);
    audit_close(shared);
    assert_true(audit_verify(&place, place.log, &v));
    assert_true(v.entries == v.sealed && v.entries == THREADS * EACH + v.checkpoints && v.gaps == 0);
}

/* ----------------------------------------------------------------------------------------------------------- creating, opening */

static void test_create(void **state)
{
    struct vf_identity *admin = NULL;
    struct vf_hash id;
    struct vf_why why = {0};
    char dir[400];
    char seal[400];
    char path[400];

    (void)state;
    assert_int_equal(vf_log_create(place.log, place.seal, VF_LOG_STATION, device, NULL, &id, &why), VF_E_EXISTS);
    audit_path(dir, place.dir.path, "second");
    assert_int_equal(vf_log_create(dir, place.seal, VF_LOG_STATION, device, NULL, &id, &why), VF_E_EXISTS);
    audit_path(dir, place.dir.path, "nowhere/log");
    audit_path(seal, place.dir.path, "seal2");
    assert_int_equal(vf_log_create(dir, seal, VF_LOG_STATION, device, NULL, &id, &why), VF_E_NOT_FOUND);
    /* A log that follows one that was lost with its vault. */
    struct vf_log *log = audit_open(&place, NULL);
    audit_commit(log, 0);
    audit_seal(log);
    VF_BUF cp = {0};
    vf_buf_init(&cp, 4096);
    OK(vf_log_checkpoint_get(log, &cp, WHY));
    audit_close(log);
    OK(vf_identity_new(VF_ROLE_ADMIN, "alice", &admin, WHY));
    audit_path(dir, place.dir.path, "vault-log");
    OK(vf_log_create(dir, seal, VF_LOG_VAULT, admin, vf_buf_cstr(&cp), &id, WHY));
    struct vf_verify_options opt = {.log_id = &id};
    OK(vf_log_verify(dir, &opt, &v, WHY));
    assert_true(v.good && !v.origin_checked && v.origin.restored && v.origin.follows.size == 2);
    assert_true(audit_noted(&v, "not checked"));
    assert_int_equal(v.origin.kind, VF_LOG_VAULT);
    assert_string_equal(v.origin.owner, "alice");
    audit_path(dir, place.dir.path, "third");
    audit_path(seal, place.dir.path, "seal3");
    assert_int_equal(vf_log_create(dir, seal, VF_LOG_VAULT, admin, "nonsense\n", &id, &why), VF_E_FORMAT);
    assert_int_equal(access(dir, F_OK), -1);
    /* Files are for their owner. */
    struct stat st;
    audit_path(path, place.log, "entries-00000000000000000000.jsonl");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    vf_identity_free(admin);
}

static enum vf_err reopen(struct vf_why *why)
{
    struct vf_log *log = NULL;
    enum vf_err err = vf_log_open(place.log, place.seal, NULL, &log, why);

    if (err == VF_OK)
        audit_close(log);
    return err;
}

static void swap_files(const char *a, const char *b)
{
    char tmp[420];

    (void)snprintf(tmp, sizeof(tmp), "%s.swap", a);
    assert_int_equal(rename(a, tmp), 0);
    assert_int_equal(rename(b, a), 0);
    assert_int_equal(rename(tmp, b), 0);
}

/* Seal and log of different moments, in both directions; files missing. Each is refused and named, and nothing is changed. */
static void test_contradictions(void **state)
{
    struct vf_why why = {0};
    char old_log[400];
    char old_seal[400];
    char path[400];
    size_t len = 0;

    (void)state;
    struct vf_log *log = audit_open(&place, NULL);
    audit_commit(log, 0);
    audit_close(log);
    audit_path(old_log, place.dir.path, "old-log");
    audit_path(old_seal, place.dir.path, "old-seal");
    audit_copy_tree(place.log, old_log);
    VF_FREE char *seal = audit_read(place.seal, &len);
    audit_write(old_seal, seal, len);
    for (int i = 0; i < 3; i++) {
        log = audit_open(&place, NULL);
        audit_commit(log, 1);
        audit_close(log);
    }
    /* The seal of a backup with the log of today: its key has signed already. */
    swap_files(place.seal, old_seal);
    assert_int_equal(reopen(&why), VF_E_DAMAGED);
    assert_non_null(strstr(why.text, "restored from an older copy"));
    swap_files(place.seal, old_seal);
    OK(reopen(WHY));
    /* The log of a backup with the seal of today. */
    swap_files(place.log, old_log);
    assert_int_equal(reopen(&why), VF_E_DAMAGED);
    swap_files(place.log, old_log);
    OK(reopen(WHY));
    /* Another log's seal. */
    struct audit_place other;
    audit_place_make(&other);
    log = audit_open(&other, NULL);
    audit_commit(log, 0);
    audit_close(log);
    swap_files(place.seal, other.seal);
    assert_int_equal(reopen(&why), VF_E_DAMAGED);
    assert_non_null(strstr(why.text, "belongs to another log"));
    swap_files(place.seal, other.seal);
    audit_place_done(&other);
    /* Entries, checkpoints, origin, seal missing. */
    static const char *const names[] = {"entries-00000000000000000000.jsonl", "checkpoints", "origin"};
    for (int i = 0; i < 3; i++) {
        audit_path(path, place.log, names[i]);
        audit_path(old_seal, place.dir.path, "taken");
        assert_int_equal(rename(path, old_seal), 0);
        enum vf_err err = reopen(&why);
        assert_true(err == VF_E_DAMAGED || err == VF_E_NOT_FOUND);
        assert_int_equal(rename(old_seal, path), 0);
        OK(reopen(WHY));
    }
    assert_int_equal(rename(place.seal, old_seal), 0);
    assert_int_equal(reopen(&why), VF_E_NOT_FOUND);
    assert_int_equal(rename(old_seal, place.seal), 0);
    OK(reopen(WHY));
    assert_true(audit_verify(&place, place.log, &v));
}

/* Somebody cut or changed the sealed end, or wrote behind the checkpoints. */
static void test_edited(void **state)
{
    static const char *const names[] = {"entries-00000000000000000000.jsonl", "checkpoints"};
    struct vf_why why = {0};
    char path[400];
    size_t len = 0;

    (void)state;
    struct vf_log *log = audit_open(&place, NULL);
    audit_commit(log, 0);
    audit_close(log);
    for (int i = 0; i < 2; i++) {
        audit_path(path, place.log, names[i]);
        VF_FREE char *was = audit_read(path, &len);
        audit_write(path, was, len - 1);
        assert_int_equal(reopen(&why), VF_E_DAMAGED);
        /* The public key in the last seal entry; the size in the checkpoint. Signatures are not checked here but by `audit verify`. */
        char *at = i == 0 ? strstr(was, "\"key\":\"") + 10 : strchr(was, '\n') + 1;
        char byte = *at;
        *at = byte == '7' ? '8' : '7';
        audit_write(path, was, len);
        assert_int_equal(reopen(&why), VF_E_DAMAGED);
        *at = byte;
        audit_write(path, was, len);
        OK(reopen(WHY));
    }
    VF_FREE char *cps = audit_read(path, &len);
    VF_BUF twice = {0};
    vf_buf_init(&twice, 100000);
    vf_buf_put(&twice, cps, len);
    vf_buf_put(&twice, cps, len);
    audit_write(path, twice.data, twice.len);
    assert_int_equal(reopen(&why), VF_E_DAMAGED);
    audit_write(path, twice.data, len + 7);
    assert_int_equal(reopen(&why), VF_E_DAMAGED);
    audit_write(path, cps, len);
    OK(reopen(WHY));
}

/* What a crash leaves behind the last checkpoint: kept if whole, cut if torn, made void if worse; and told each time. */
static void test_recover(void **state)
{
    static const char *const junk[] = {"{\"seq\":3,\"ti", "\n", "garbage\nmore garbage\n", "{\"seq\":3}\n{\"seq\":4}\nx"};
    char path[400];
    size_t len = 0;

    (void)state;
    struct vf_log *log = audit_open(&place, &(struct vf_log_options){.batch = true});
    audit_commit(log, 0);
    audit_commit(log, 1);
    audit_close(log);
    uint64_t n = 3;
    for (int i = 0; i < 4; i++) {
        (void)snprintf(path, sizeof(path), "%s/entries-%020d.jsonl", place.log, i < 2 ? 0 : (int)n - 2);
        /* A whole entry that was not sealed, as a kill leaves it, and then the junk. */
        pid_t child = fork();
        if (child == 0) {
            OK(vf_crypto_init(VF_ARENA_TOOL, WHY)); /* the arena is empty in a child */
            log = audit_open(&place, &(struct vf_log_options){.batch = true});
            audit_commit(log, 2);
            _exit(0);
        }
        int status = 0;
        (void)waitpid(child, &status, 0);
        assert_int_equal(status, 0);
        VF_FREE char *entries = audit_read(path, &len);
        VF_BUF b = {0};
        vf_buf_init(&b, 100000);
        vf_buf_put(&b, entries, len);
        vf_buf_text(&b, junk[i]);
        audit_write(path, b.data, b.len);
        log = audit_open(&place, &(struct vf_log_options){.batch = true});
        audit_close(log);
        n += 3; /* the entry, recover, seal */
        good(n, n, (uint64_t)i + 2);
        assert_int_equal(v.recoveries, i + 1);
        VF_FREE char *after = audit_read(path, &len);
        char told[64];
        (void)snprintf(told, sizeof(told), "\"event\":\"recover\",\"bytes\":%zu,\"count\":1", strlen(junk[i]));
        if (i == 0) {
            assert_null(strstr(after, "{\"seq\":3,\"ti{"));
            assert_non_null(strstr(after, told));
        } else {
            /* More than a torn line: left where it is, and a new segment makes it void. */
            assert_non_null(strstr(after, junk[i]));
            (void)snprintf(path, sizeof(path), "%s/entries-%020d.jsonl", place.log, (int)n - 2);
            VF_FREE char *next = audit_read(path, &len);
            assert_non_null(strstr(next, told));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_empty, fresh, away),
        cmocka_unit_test_setup_teardown(test_commit_and_close, fresh, away),
        cmocka_unit_test_setup_teardown(test_many_sessions, fresh, away),
        cmocka_unit_test_setup_teardown(test_seal_and_checkpoint, fresh, away),
        cmocka_unit_test_setup_teardown(test_sealed_in_time, fresh, away),
        cmocka_unit_test_setup_teardown(test_sealed_by_number, fresh, away),
        cmocka_unit_test_setup_teardown(test_segments, fresh, away),
        cmocka_unit_test_setup_teardown(test_busy, fresh, away),
        cmocka_unit_test_setup_teardown(test_own_events, fresh, away),
        cmocka_unit_test_setup_teardown(test_threads, fresh, away),
        cmocka_unit_test_setup_teardown(test_create, fresh, away),
        cmocka_unit_test_setup_teardown(test_contradictions, fresh, away),
        cmocka_unit_test_setup_teardown(test_edited, fresh, away),
        cmocka_unit_test_setup_teardown(test_recover, fresh, away),
    };

    return cmocka_run_group_tests(tests, audit_set_up, audit_tear_down);
}
