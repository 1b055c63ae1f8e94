/* SPDX-License-Identifier: MIT */
/* A disk that refuses: full, failing, gone and back. No entry that failed is told as durable, none that was durable is lost. */
#include "audit_test.h"

#include "faults.h"

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
static const struct vf_log_options batch = {.batch = true};

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

static void nap_ms(long ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};

    (void)nanosleep(&t, NULL);
}

/* Past the time in which a log that failed does not even try. */
static void nap(void)
{
    nap_ms(120);
}

static enum vf_err try_commit(struct vf_log *log, uint64_t n)
{
    struct vf_ref ref;
    struct vf_entry e = audit_entry(n, &ref);

    return vf_log_commit(log, &e, WHY);
}

/*
 * The disk works again. The log's own attempt, once a second, may have failed just before, and then it refuses for a moment; each refusal
 * is one more entry that a gap tells.
 */
static unsigned refusals;

static void soon(struct vf_log *log, uint64_t n)
{
    for (int i = 0; i < 50; i++) {
        if (try_commit(log, n) == VF_OK)
            return;
        refusals++;
        nap();
    }
    fail_msg("the log does not recover: %s", audit_why.text);
}

/* Which typical entries the log has. */
struct found {
    bool seen[256];
    uint64_t gaps;
};

static enum vf_err each(void *user, const struct vf_entry_view *e, bool sealed, struct vf_why *why)
{
    struct found *f = user;

    (void)why;
    (void)sealed;
    f->gaps += e->event == VF_EVENT_GAP ? e->count : 0;
    for (unsigned i = 0; i < 256 && e->event == VF_EVENT_OPEN; i++) {
        struct vf_ref ref;
        (void)audit_entry(i, &ref);
        f->seen[i] = f->seen[i] || memcmp(e->refs.p + 1, ref.c, sizeof(ref.c)) == 0;
    }
    return VF_OK;
}

static void look(struct found *f)
{
    struct vf_verify_options opt = {.signers = &device_key, .nsigners = 1, .log_id = &place.id, .each = each, .user = f};

    memset(f, 0, sizeof(*f));
    OK(vf_log_verify(place.log, &opt, &v, WHY));
    if (!v.good) {
        audit_print(&v);
        fail();
    }
}

/* ------------------------------------------------------------------------------------------------------ every call fails once */

/* Eleven attempts, with pauses after those that failed; which were told as durable? */
static bool attempts(struct vf_log *log, bool told[256])
{
    bool sealed = false;

    for (unsigned i = 0; i < 11; i++) {
        told[i] = try_commit(log, i) == VF_OK;
        if (!told[i])
            nap();
        if (i == 4 || i == 8)
            sealed = vf_log_seal(log, NULL) == VF_OK;
    }
    return sealed;
}

static bool once(enum fault_kind kind, unsigned nth, int err, bool lasting)
{
    bool told[256] = {false};
    struct found f;
    unsigned n = 0;

    audit_place_make(&place);
    struct vf_log *log = audit_open(&place, &batch);
    audit_commit(log, 100);
    if (lasting)
        faults_arm_lasting(kind, nth, err);
    else
        faults_arm(kind, nth, err);
    bool sealed = attempts(log, told);
    bool met = faults_disarm();
    struct vf_log_state s;
    vf_log_state_get(log, &s);
    if (!s.writable)
        nap();
    assert_true(sealed || met);
    for (unsigned i = 0; i < 11; i++)
        n += told[i] ? 1 : 0;
    /* Once is at most one batch: an entry, or none when it hit a seal; lasting is all that follow. */
    if (!lasting)
        assert_true(n >= 10);
    refusals = 0;
    soon(log, 101);
    audit_close(log);
    look(&f);
    for (unsigned i = 0; i < 11; i++)
        assert_int_equal(told[i], f.seen[i]);
    assert_true(f.seen[100] && f.seen[101] && v.sealed == v.entries && v.lost == f.gaps);
    assert_int_equal(f.gaps, 11 - n + refusals);
    assert_int_equal(v.recoveries, 0);
    audit_place_done(&place);
    return met;
}

static void test_writes(void **state)
{
    unsigned n = 1;

    (void)state;
    while (once(FAULT_WRITE, n, ENOSPC, false))
        n++;
    assert_true(n > 12);
    for (unsigned i = 1; i < n; i += n / 3)
        assert_true(once(FAULT_WRITE, i, EDQUOT, true));
}

static void test_syncs(void **state)
{
    unsigned n = 1;

    (void)state;
    while (once(FAULT_SYNC, n, EIO, false))
        n++;
    assert_true(n > 12);
    for (unsigned i = 1; i < n; i += n / 3)
        assert_true(once(FAULT_SYNC, i, EIO, true));
}

/* Short writes are no failures. */
static void test_short(void **state)
{
    struct found f;

    (void)state;
    for (unsigned n = 1; n < 8; n++) {
        audit_place_make(&place);
        struct vf_log *log = audit_open(&place, &batch);
        faults_arm_short(FAULT_WRITE, n, 7);
        for (unsigned i = 0; i < 4; i++)
            audit_commit(log, i);
        audit_seal(log);
        assert_true(faults_disarm());
        audit_close(log);
        look(&f);
        assert_true(f.seen[0] && f.seen[3] && v.gaps == 0);
        audit_place_done(&place);
    }
}

/* Opening fails at any call, and the log is none the worse. */
static void test_open_fails(void **state)
{
    static const enum fault_kind kinds[] = {FAULT_WRITE, FAULT_SYNC, FAULT_READ, FAULT_MEMORY};
    static const int errors[] = {ENOSPC, EIO, EIO, ENOMEM};

    (void)state;
    for (int k = 0; k < 4; k++) {
        audit_place_make(&place);
        struct vf_log *log = audit_open(&place, &batch);
        audit_commit(log, 1);
        audit_close(log);
        bool met = true;
        for (unsigned n = 1; met; n++) {
            enum vf_err err;
            log = NULL;
            faults_arm(kinds[k], n, errors[k]);
            err = vf_log_open(place.log, place.seal, &batch, &log, NULL);
            met = faults_disarm();
            assert_true(met || err == VF_OK);
            if (err == VF_OK)
                audit_close(log);
        }
        assert_true(audit_verify(&place, place.log, &v));
        assert_true(v.entries == 2 || v.recoveries > 0);
        audit_place_done(&place);
    }
}

/* --------------------------------------------------------------------------------------------------------------- tickets */

/* The seq of an entry that was lost is given to another; who asks late is not told that his was written. */
static void test_late_waiter(void **state)
{
    struct vf_log_state s;
    struct vf_ref ref;
    struct vf_entry e = audit_entry(7, &ref);
    struct found f;
    uint64_t durable = 0;
    uint64_t lost[3] = {0};
    uint64_t after = 0;

    (void)state;
    refusals = 0;
    struct vf_log *log = audit_open(&place, &batch);
    OK(vf_log_append(log, &e, &durable, WHY));
    OK(vf_log_wait(log, durable, WHY));
    faults_arm_lasting(FAULT_WRITE, 1, ENOSPC);
    for (unsigned i = 0; i < 3; i++) {
        e = audit_entry(10 + i, &ref);
        while (vf_log_append(log, &e, &lost[i], WHY) != VF_OK) {
            refusals++;
            nap();
        }
        do {
            nap_ms(2);
            vf_log_state_get(log, &s);
        } while (s.writable);
        nap();
    }
    faults_disarm();
    e = audit_entry(20, &ref);
    while (vf_log_append(log, &e, &after, WHY) != VF_OK) {
        refusals++;
        nap();
    }
    OK(vf_log_wait(log, after, WHY));
    vf_log_state_get(log, &s);
    assert_true(s.writable && s.size >= 3); /* the first, the gap, the last; or two gaps */
    for (unsigned i = 0; i < 3; i++) {
        assert_true((lost[i] & ((UINT64_C(1) << 40) - 1)) <= 2); /* given again by now */
        assert_int_equal(vf_log_wait(log, lost[i], WHY), VF_E_DISK_FULL);
        assert_non_null(strstr(audit_why.text, "No space left"));
    }
    OK(vf_log_wait(log, durable, WHY)); /* of an epoch that is over, but it was durable then */
    audit_close(log);
    look(&f);
    assert_true(f.seen[7] && f.seen[20] && !f.seen[10] && !f.seen[11] && !f.seen[12] && f.gaps == 3 + refusals);
}

/* Just after a failure nothing is tried, and what is refused is counted too. */
static void test_refused(void **state)
{
    struct found f;
    struct vf_log_state s;
    unsigned refused = 0;

    (void)state;
    struct vf_log *log = audit_open(&place, &batch);
    audit_commit(log, 1);
    faults_arm_lasting(FAULT_SYNC, 1, EIO);
    for (unsigned i = 0; i < 40; i++)
        refused += try_commit(log, 2) == VF_E_DISK_FULL ? 1 : 0;
    assert_int_equal(refused, 40);
    assert_true(faults_seen(FAULT_SYNC) < 10);
    vf_log_state_get(log, &s);
    assert_true(!s.writable && s.size == 1);
    faults_disarm();
    /* Nobody asks, and the log tells the gap by itself. */
    nap_ms(1500);
    vf_log_state_get(log, &s);
    assert_true(s.writable && s.size == 2);
    audit_close(log);
    look(&f);
    assert_int_equal(f.gaps, 40);
    assert_false(f.seen[2]);
}

/* It ends while the disk refuses: an error, and the next opener finds what was durable. */
static void test_close_fails(void **state)
{
    struct found f;

    (void)state;
    struct vf_log *log = audit_open(&place, &batch);
    audit_commit(log, 1);
    faults_arm_lasting(FAULT_WRITE, 1, ENOSPC);
    assert_int_equal(vf_log_close(log, WHY), VF_E_DISK_FULL);
    faults_disarm();
    log = audit_open(&place, &batch);
    audit_commit(log, 2);
    audit_close(log);
    look(&f);
    assert_true(f.seen[1] && f.seen[2] && v.recoveries == 1);
}

/* ---------------------------------------------------------------------------------------------------------- the folder */

static void moved(const char *path, const char *to)
{
    assert_int_equal(rename(path, to), 0);
}

static void last_segment(char out[400])
{
    char name[256] = "";
    DIR *d = opendir(place.log);
    const struct dirent *e;

    assert_non_null(d);
    while ((e = readdir(d)) != NULL)
        if (strncmp(e->d_name, "entries-", 8) == 0 && strcmp(e->d_name, name) > 0)
            (void)snprintf(name, sizeof(name), "%s", e->d_name);
    (void)closedir(d);
    audit_path(out, place.log, name);
}

static void test_folder(void **state)
{
    struct found f;
    char other[400];
    char path[400];

    (void)state;
    refusals = 0;
    struct vf_log *log = audit_open(&place, &batch);
    audit_commit(log, 1);
    audit_seal(log);
    audit_path(other, place.dir.path, "elsewhere");
    /* Away and back. */
    moved(place.log, other);
    assert_int_equal(try_commit(log, 2), VF_E_DISK_FULL);
    assert_non_null(strstr(audit_why.text, "the folder of the log is gone"));
    moved(other, place.log);
    nap();
    soon(log, 3);
    /* An empty folder, and one of another log, in its place. */
    moved(place.log, other);
    assert_int_equal(mkdir(place.log, 0700), 0);
    nap();
    assert_int_equal(try_commit(log, 4), VF_E_DISK_FULL);
    assert_int_equal(rmdir(place.log), 0);
    struct audit_place foreign;
    audit_place_make(&foreign);
    moved(foreign.log, place.log);
    nap();
    assert_int_equal(try_commit(log, 5), VF_E_DISK_FULL);
    assert_non_null(strstr(audit_why.text, "another log was put in the place"));
    moved(place.log, foreign.log);
    audit_place_done(&foreign);
    /* A copy that was made of it: another folder, the same log. */
    audit_copy_tree(other, place.log);
    nap();
    soon(log, 6);
    audit_seal(log);
    /* Its last segment is removed: the evidence is gone, and nothing goes on without it. */
    last_segment(path);
    audit_path(other, place.dir.path, "segment");
    moved(path, other);
    nap();
    assert_int_equal(try_commit(log, 7), VF_E_DISK_FULL);
    nap();
    assert_int_equal(try_commit(log, 8), VF_E_DISK_FULL);
    moved(other, path);
    nap();
    soon(log, 9);
    audit_close(log);
    look(&f);
    assert_true(f.seen[1] && !f.seen[2] && f.seen[3] && !f.seen[4] && !f.seen[5] && f.seen[6] && !f.seen[7] && !f.seen[8] &&
                f.seen[9]);
    assert_true(f.gaps == 5 + refusals && v.sealed == v.entries);
}

/* The seal file away, and back: entries are refused as soon as they could not be sealed any more. */
static void test_seal_away(void **state)
{
    struct found f;
    char other[400];

    (void)state;
    refusals = 0;
    struct vf_log *log = audit_open(&place, &batch);
    audit_commit(log, 1);
    audit_path(other, place.dir.path, "elsewhere");
    moved(place.seal, other);
    assert_int_equal(vf_log_seal(log, WHY), VF_E_DISK_FULL);
    nap();
    assert_int_equal(try_commit(log, 2), VF_E_DISK_FULL);
    moved(other, place.seal);
    nap();
    soon(log, 3);
    audit_close(log);
    look(&f);
    assert_true(f.seen[1] && !f.seen[2] && f.seen[3] && f.gaps == 1 + refusals && v.sealed == v.entries &&
                v.checkpoints == 2);
}

/* Write permission taken away and given back, as an ordinary user sees it. */
static void chmod_child(void)
{
    struct found f;

    OK(vf_crypto_init(VF_ARENA_TOOL, WHY));
    struct vf_log *log = audit_open(&place, &batch);
    audit_commit(log, 1);
    (void)chmod(place.log, 0500);
    if (try_commit(log, 2) != VF_E_DISK_FULL)
        _exit(1);
    (void)chmod(place.log, 0700);
    nap();
    soon(log, 3);
    (void)chmod(place.log, 0);
    if (try_commit(log, 4) != VF_E_DISK_FULL)
        _exit(2);
    (void)chmod(place.log, 0700);
    nap();
    soon(log, 5);
    audit_close(log);
    look(&f);
    _exit(f.seen[1] && !f.seen[2] && f.seen[3] && !f.seen[4] && f.seen[5] ? 0 : 3);
}

static void test_chmod(void **state)
{
    static const char *const names[] = {"", "/seal", "/log", "/log/origin"};
    int status = 0;

    (void)state;
    for (int i = 0; i < 4 && geteuid() == 0; i++) {
        char path[400];
        (void)snprintf(path, sizeof(path), "%s%s", place.dir.path, names[i]);
        assert_int_equal(chown(path, 65534, 65534), 0);
    }
    pid_t child = fork();
    if (child == 0) {
        if (geteuid() == 0 && setresuid(65534, 65534, 65534) != 0)
            _exit(9);
        chmod_child();
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* --------------------------------------------------------------------------------------------------------------- threads */

#define THREADS 6
#define EACH    25
static struct vf_log *shared;
static bool told[THREADS * EACH];

static void *appender(void *arg)
{
    unsigned base = *(const unsigned *)arg * EACH;

    for (unsigned i = 0; i < EACH; i++) {
        told[base + i] = try_commit(shared, base + i) == VF_OK;
        nap_ms(15);
    }
    return NULL;
}

/* Six appenders and the clock seal a log whose disk fails again and again. */
static void test_threads(void **state)
{
    pthread_t threads[THREADS];
    unsigned numbers[THREADS];
    struct found f;
    unsigned n = 0;

    (void)state;
    shared = audit_open(&place, &(struct vf_log_options){.segment_max = 20000});
    for (unsigned i = 0; i < THREADS; i++) {
        numbers[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, appender, &numbers[i]), 0);
    }
    /* faults.h: armed while no other thread is at work. Folders come and go instead. */
    for (int i = 0; i < 3; i++) {
        char other[400];
        audit_path(other, place.dir.path, "elsewhere");
        nap_ms(60);
        moved(place.log, other);
        nap_ms(40);
        moved(other, place.log);
    }
    for (int i = 0; i < THREADS; i++)
        (void)pthread_join(threads[i], NULL);
    nap();
    refusals = 0;
    soon(shared, 255);
    audit_close(shared);
    look(&f);
    for (unsigned i = 0; i < THREADS * EACH; i++) {
        assert_int_equal(told[i], f.seen[i]);
        n += told[i] ? 1 : 0;
    }
    assert_true(n >= 20 && n < THREADS * EACH && f.gaps == THREADS * EACH - n + refusals && v.sealed == v.entries);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_writes),
        cmocka_unit_test(test_syncs),
        cmocka_unit_test(test_short),
        cmocka_unit_test(test_open_fails),
        cmocka_unit_test_setup_teardown(test_late_waiter, fresh, away),
        cmocka_unit_test_setup_teardown(test_refused, fresh, away),
        cmocka_unit_test_setup_teardown(test_close_fails, fresh, away),
        cmocka_unit_test_setup_teardown(test_folder, fresh, away),
        cmocka_unit_test_setup_teardown(test_seal_away, fresh, away),
        cmocka_unit_test_setup_teardown(test_chmod, fresh, away),
        cmocka_unit_test_setup_teardown(test_threads, fresh, away),
    };

    return cmocka_run_group_tests(tests, audit_set_up, audit_tear_down);
}
