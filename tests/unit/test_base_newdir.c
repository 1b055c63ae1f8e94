/* SPDX-License-Identifier: MIT */
/* A folder that appears whole or not at all, and never in the place of something. */
#include "vaultfs/base.h"

#include "faults.h"
#include "scratch.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmocka_std.h"

#define OK(expr) assert_int_equal(expr, VF_OK)

static struct scratch dir;
static char path[300];

static int set_up(void **state)
{
    (void)state;
    scratch_make(&dir);
    (void)scratch_path(&dir, "new", path, sizeof(path));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    scratch_remove(&dir);
    return 0;
}

static char *inside(const char *folder, const char *name, char out[400])
{
    (void)snprintf(out, 400, "%s/%s", folder, name);
    return out;
}

static void put(const char *folder, const char *name)
{
    char file[400];

    OK(vf_file_write(inside(folder, name, file), "x", 1, 0600, false, NULL));
}

static void whole(void **state)
{
    VF_NEWDIR d = {0};
    struct stat st;
    char file[400], slashes[310];

    (void)state;
    (void)snprintf(slashes, sizeof(slashes), "%s//", path);
    OK(vf_newdir_open(&d, slashes, false, NULL));
    assert_int_equal(access(path, F_OK), -1);
    put(d.tmp, "one");
    OK(vf_newdir_commit(&d, NULL));
    assert_null(d.tmp);
    vf_newdir_done(&d);
    vf_newdir_done(&d);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_int_equal(access(inside(path, "one", file), F_OK), 0);
    assert_int_equal(scratch_count(dir.path), 1);
}

/* With folders in it, and a link that leads out of it. */
static void not_at_all(void **state)
{
    struct vf_newdir d = {0};
    char sub[400], link[400], kept[300];

    (void)state;
    (void)scratch_path(&dir, "kept", kept, sizeof(kept));
    OK(vf_dir_make(kept, NULL));
    put(kept, "mine");
    OK(vf_newdir_open(&d, path, false, NULL));
    OK(vf_dir_make(inside(d.tmp, "sub", sub), NULL));
    put(sub, "deep");
    assert_int_equal(symlink(kept, inside(d.tmp, "link", link)), 0);
    vf_newdir_done(&d);
    assert_int_equal(scratch_count(dir.path), 1);
    assert_int_equal(scratch_count(kept), 1);
}

static void never_in_the_place_of_something(void **state)
{
    VF_NEWDIR d = {0}, late = {0};

    (void)state;
    OK(vf_newdir_open(&late, path, false, NULL));
    OK(vf_dir_make(path, NULL)); /* meanwhile */
    assert_int_equal(vf_newdir_commit(&late, NULL), VF_E_EXISTS);
    vf_newdir_done(&late);
    assert_int_equal(vf_newdir_open(&d, path, false, NULL), VF_E_EXISTS);
    OK(vf_newdir_open(&d, path, true, NULL));
    put(d.tmp, "one");
    OK(vf_newdir_open(&late, path, true, NULL));
    OK(vf_newdir_commit(&d, NULL)); /* an empty folder gives way */
    assert_int_equal(scratch_count(path), 1);
    assert_int_equal(vf_newdir_commit(&late, NULL), VF_E_EXISTS);
    vf_newdir_done(&late);
    assert_int_equal(vf_newdir_open(&late, path, true, NULL), VF_E_EXISTS);
    assert_int_equal(scratch_count(dir.path), 1);
    vf_dir_remove(path);
    put(dir.path, "new"); /* a file */
    assert_int_equal(vf_newdir_open(&late, path, true, NULL), VF_E_EXISTS);
    vf_dir_remove(path);
    assert_int_equal(scratch_count(dir.path), 0);
}

static enum vf_err attempt(void)
{
    VF_NEWDIR d = {0};

    VF_TRY(vf_newdir_open(&d, path, false, NULL));
    return vf_newdir_commit(&d, NULL);
}

static void faults(void **state)
{
    static const enum fault_kind kinds[] = {FAULT_MEMORY, FAULT_SYNC, FAULT_RENAME};

    (void)state;
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        for (unsigned n = 1;; n++) {
            faults_arm(kinds[k], n, kinds[k] == FAULT_MEMORY ? ENOMEM : EIO);
            enum vf_err err = attempt();
            bool met = faults_disarm();
            bool there = access(path, F_OK) == 0;
            assert_true(met || err == VF_OK);
            assert_true(err != VF_OK || there);
            assert_int_equal(scratch_count(dir.path), there);
            vf_dir_remove(path);
            if (!met)
                break;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(not_at_all, set_up, tear_down),
        cmocka_unit_test_setup_teardown(never_in_the_place_of_something, set_up, tear_down),
        cmocka_unit_test_setup_teardown(faults, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
