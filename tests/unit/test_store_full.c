/* SPDX-License-Identifier: MIT */
/* A disk that is full, and one that cannot be written: small filesystems of their own. Needs root, to mount them. */
#include "test_store_common.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static char mounted[300];

static void disk_make(const struct place *p, const char *options)
{
    scratch_path(&p->dir, "disk", mounted, sizeof(mounted));
    assert_int_equal(mkdir(mounted, 0700), 0);
    assert_int_equal(mount("vaultfs-test", mounted, "tmpfs", MS_NODEV | MS_NOSUID, options), 0);
}

static int disk_teardown(void **state)
{
    if (mounted[0] != '\0' && umount2(mounted, MNT_DETACH) != 0)
        print_error("%s: still mounted: %s\n", mounted, strerror(errno));
    mounted[0] = '\0';
    return place_teardown(state);
}

static uint64_t total_of(struct vf_store *s)
{
    VF_TXN txn = NULL;
    uint64_t total = 0;

    assert_ok(vf_txn_read(s, &txn, &why));
    assert_true(totals_agree(txn, &total));
    return total;
}

/* Leave `pages` pages free, or as many as there are. */
static void ballast(unsigned long pages)
{
    struct statvfs fs;
    char path[320];

    (void)snprintf(path, sizeof(path), "%s/ballast", mounted);
    VF_FD fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(statvfs(mounted, &fs), 0);
    if (fs.f_bavail > pages)
        assert_int_equal(fallocate(fd, 0, 0, (off_t)((fs.f_bavail - pages) * fs.f_bsize)), 0);
}

static void test_full(void **state)
{
    const struct place *p = *state;
    static const size_t lens[] = {100, 4000, 100000, 700000, 3000};
    unsigned full = 0;
    uint64_t done = 0;

    disk_make(p, "size=8m");
    VF_STORE s = store_must_open(mounted, VF_STORE_WRITE);
    /* Into the wall again and again: from different distances, so that it is met in the first write, in a later one, in the midst. */
    for (unsigned i = 0; full < 40; i++) {
        struct counter c = {.id = i, .len = lens[i % 5]};
        if (i % 7 == 3)
            ballast(i % 50);
        enum vf_err err = vf_store_update(s, count_body, &c, &why);
        if (err == VF_OK) {
            done++;
        } else {
            assert_int_equal(err, VF_E_DISK_FULL);
            assert_string_equal(why.text, WHAT ": writing to the disk: No space left on device");
            full++;
        }
        assert_int_equal(total_of(s), done);
        if (full % 8 == 7) {
            assert_ok(store_walk_at(mounted));
            vf_store_close(s);
            s = store_must_open(mounted, VF_STORE_WRITE);
            assert_int_equal(total_of(s), done);
        }
        if (i % 11 == 10)
            ballast(100 + i);
    }
    /* With room again it goes on, without being opened anew. */
    ballast(500);
    struct counter c = {.id = 100000, .len = 100000};
    assert_ok(vf_store_update(s, count_body, &c, &why));
    assert_int_equal(total_of(s), done + 1);
    assert_ok(store_walk_at(mounted));
}

/* A disk with no room for the store or its lock file: an error, and no signal from the map of the lock file. */
static void test_full_at_the_start(void **state)
{
    const struct place *p = *state;
    unsigned refused = 0;
    struct vf_store *s = NULL;

    disk_make(p, "size=256k");
    for (unsigned pages = 0; pages < 30; pages++) {
        char dir[320];
        char path[340];
        ballast(pages);
        (void)snprintf(dir, sizeof(dir), "%s/store", mounted);
        assert_ok(vf_dir_make(dir, &why));
        enum vf_err err = store_open_at(dir, VF_STORE_WRITE, &s);
        if (err != VF_OK) {
            assert_int_equal(err, VF_E_DISK_FULL);
            refused++;
        }
        /* With room it works, whatever was left behind. */
        ballast(30);
        if (s == NULL)
            s = store_must_open(dir, VF_STORE_WRITE);
        struct counter c = {.len = 10};
        assert_ok(vf_store_update(s, count_body, &c, &why));
        vf_store_close(s);
        s = NULL;
        /* Full again: all that was there can be opened and read, by many. */
        ballast(0);
        s = store_must_open(dir, VF_STORE_WRITE);
        struct vf_txn *txns[512] = {NULL};
        for (size_t i = 0; i < 512; i++)
            assert_ok(vf_txn_read(s, &txns[i], &why));
        for (size_t i = 0; i < 512; i++)
            vf_txn_end(txns[i]);
        assert_int_equal(total_of(s), 1);
        assert_ok(store_walk_at(dir));
        vf_store_close(s);
        s = NULL;
        for (unsigned i = 0; i < 2; i++) {
            (void)snprintf(path, sizeof(path), "%s/%s", dir, i == 0 ? "data.mdb" : "lock.mdb");
            assert_int_equal(unlink(path), 0);
        }
        assert_int_equal(rmdir(dir), 0);
    }
    assert_true(refused > 5 && refused < 25);
}

static void test_read_only(void **state)
{
    const struct place *p = *state;
    struct vf_store *s = NULL;
    struct counter c = {.len = 5000};
    char lock[340];

    disk_make(p, "size=8m");
    s = store_must_open(mounted, VF_STORE_WRITE);
    assert_ok(vf_store_update(s, count_body, &c, &why));
    vf_store_close(s);
    (void)snprintf(lock, sizeof(lock), "%s/lock.mdb", mounted);
    for (unsigned round = 0; round < 2; round++) {
        assert_int_equal(mount("none", mounted, "none", MS_REMOUNT | MS_RDONLY, NULL), 0);
        s = store_must_open(mounted, VF_STORE_READ);
        assert_int_equal(total_of(s), 1);
        assert_ok(store_walk_at(mounted));
        vf_store_close(s);
        s = NULL;
        assert_int_equal(store_open_at(mounted, VF_STORE_WRITE, &s), VF_E_DENIED);
        assert_null(s);
        assert_int_equal(mount("none", mounted, "none", MS_REMOUNT, NULL), 0);
        /* The second time without a lock file, as on a disc that was burnt. */
        if (round == 0)
            assert_int_equal(unlink(lock), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_full, place_setup, disk_teardown),
        cmocka_unit_test_setup_teardown(test_full_at_the_start, place_setup, disk_teardown),
        cmocka_unit_test_setup_teardown(test_read_only, place_setup, disk_teardown),
    };

    /* In a namespace of its own, so that the mounts go with the process. */
    if (geteuid() != 0 || unshare(CLONE_NEWNS) != 0 || mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) != 0) {
        (void)fprintf(stderr, "test_store_full: not run: only root may mount the small filesystems it needs\n");
        return 77;
    }
    return cmocka_run_group_tests_name("store_full", tests, NULL, NULL);
}
