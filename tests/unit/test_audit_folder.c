/* SPDX-License-Identifier: MIT */
/* The folder of a log in use moved away, replaced, made read-only, and put back; its seal file too. */
#include "audit_faulty.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmocka_std.h"

static const struct vf_log_options batch = {.batch = true};

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
        cmocka_unit_test_setup_teardown(test_folder, fresh, away),
        cmocka_unit_test_setup_teardown(test_seal_away, fresh, away),
        cmocka_unit_test_setup_teardown(test_chmod, fresh, away),
        cmocka_unit_test_setup_teardown(test_threads, fresh, away),
    };

    return cmocka_run_group_tests(tests, audit_set_up, audit_tear_down);
}
