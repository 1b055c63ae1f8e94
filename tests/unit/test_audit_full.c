/* SPDX-License-Identifier: MIT */
/*
 * A filesystem that is really full, under several appenders. Mounts a tmpfs of 1 MiB in a mount namespace of its own; who may not do that
 * skips (77).
 */
#include "audit_test.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cmocka_std.h"

static struct audit_place place;
static struct scratch disk;
static struct vf_verdict v;

#define THREADS 4
static struct vf_log *shared;
static atomic_bool stop;
static atomic_ulong durable, refused;

static void nap_ms(long ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};

    (void)nanosleep(&t, NULL);
}

static void *appender(void *arg)
{
    uint64_t n = 1000000 * (1 + *(const uint64_t *)arg);

    while (!atomic_load(&stop)) {
        struct vf_ref ref;
        struct vf_entry e = audit_entry(n++, &ref);
        enum vf_err err = vf_log_commit(shared, &e, NULL);
        if (err == VF_OK) {
            atomic_fetch_add(&durable, 1);
            nap_ms(2);
        } else {
            if (err != VF_E_DISK_FULL)
                abort();
            atomic_fetch_add(&refused, 1);
            nap_ms(5);
        }
    }
    return NULL;
}

/* All but `leave` bytes of what is free. */
static void fill(const char *path, long leave)
{
    static const char block[4096];
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    while (write(fd, block, sizeof(block)) > 0) {
    }
    off_t end = lseek(fd, 0, SEEK_END);
    assert_true(end > leave);
    assert_int_equal(ftruncate(fd, end - leave), 0);
    (void)close(fd);
}

static void wait_for(bool writable)
{
    struct vf_log_state s;

    for (int i = 0; i < 1000; i++) {
        vf_log_state_get(shared, &s);
        if (s.writable == writable)
            return;
        nap_ms(10);
    }
    fail_msg("the log did not become %s", writable ? "writable" : "full");
}

static void test_full(void **state)
{
    pthread_t threads[THREADS];
    uint64_t numbers[THREADS];
    char filler[400];

    (void)state;
    audit_path(filler, disk.path, "filler");
    shared = audit_open(&place, NULL);
    for (uint64_t i = 0; i < THREADS; i++) {
        numbers[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, appender, &numbers[i]), 0);
    }
    for (int round = 0; round < 3; round++) {
        nap_ms(30);
        fill(filler, 8192 + 4096 * round);
        wait_for(false);
        unsigned long had = atomic_load(&durable);
        nap_ms(150);
        assert_true(atomic_load(&refused) > 0);
        assert_int_equal(unlink(filler), 0);
        wait_for(true);
        nap_ms(30);
        assert_true(atomic_load(&durable) > had);
        /* Not too much of it: the tmpfs has 1 MiB. */
        if (atomic_load(&durable) > 1500)
            break;
    }
    atomic_store(&stop, true);
    for (int i = 0; i < THREADS; i++)
        (void)pthread_join(threads[i], NULL);
    nap_ms(120);
    audit_close(shared);
    if (!audit_verify(&place, place.log, &v)) {
        audit_print(&v);
        fail();
    }
    print_message("%lu durable, %lu refused or lost, %llu gaps\n", (unsigned long)durable, (unsigned long)refused,
                  (unsigned long long)v.gaps);
    /* Every entry that was told as durable is there, none that was refused, and the gaps tell how many that were. */
    assert_true(v.sealed == v.entries && v.gaps > 0 && v.lost == refused);
    assert_true(v.entries == durable + v.checkpoints + v.gaps);
}

static int set_up(void **state)
{
    (void)audit_set_up(state);
    audit_place_make(&place);
    return 0;
}

static int tear_down(void **state)
{
    audit_place_done(&place);
    return audit_tear_down(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_full)};

    scratch_make(&disk);
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", disk.path, "tmpfs", 0, "size=1m,mode=700") != 0) {
        perror("skipped: cannot mount a small tmpfs (run as root)");
        scratch_remove(&disk);
        return 77;
    }
    (void)setenv("TMPDIR", disk.path, 1);
    int failed = cmocka_run_group_tests(tests, set_up, tear_down);
    (void)umount2(disk.path, MNT_DETACH);
    scratch_remove(&disk);
    return failed;
}
