/* SPDX-License-Identifier: MIT */
/* What the daemon knows of the pages that the kernel may hold: who stores them, who need not look at the value, and when they are dropped. */
#include "../../vaultfs/mount/mount.h"

#include <stdlib.h>

#include "cmocka_std.h"

#define INO UINT64_C(0x12345600000007)

static struct vf_files files;

static int set_up(void **state)
{
    vf_files_init(&files, *state != NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    vf_files_done(&files);
    return 0;
}

/* One open from beginning to end. */
static enum vf_pages open_file(bool stored, bool failed, bool *ret_drop)
{
    enum vf_pages pages = VF_PAGES_READ;
    struct vf_open_file *file = vf_files_open(&files, INO, &pages);
    assert_non_null(file);
    bool drop = vf_files_opened(&files, file, stored, failed);
    if (ret_drop)
        *ret_drop = drop;
    return pages;
}

/* How many entries there are, with handles or not. */
static size_t entries(void)
{
    size_t n = 0;
    free(vf_files_seen(&files, &n));
    return n;
}

static void test_first_stores_second_need_not(void **state)
{
    (void)state;
    assert_int_equal(open_file(true, false, NULL), VF_PAGES_STORE);
    assert_int_equal(open_file(false, false, NULL), VF_PAGES_THERE);
    assert_false(vf_files_close(&files, INO));
    /* One of two is closed: the pages are there still. */
    assert_int_equal(open_file(false, false, NULL), VF_PAGES_THERE);
    assert_false(vf_files_close(&files, INO));
    assert_true(vf_files_close(&files, INO));
    vf_files_dropped(&files, INO);
    assert_int_equal(entries(), 0);
    assert_int_equal(open_file(true, false, NULL), VF_PAGES_STORE);
}

static void test_kept_until_the_end(void **state)
{
    (void)state;
    assert_int_equal(open_file(true, false, NULL), VF_PAGES_STORE);
    assert_false(vf_files_close(&files, INO));
    assert_int_equal(open_file(false, false, NULL), VF_PAGES_THERE);
    assert_false(vf_files_close(&files, INO));
    /* The end of the grant, or of the mount: everything is listed to be dropped, and from then on nothing counts as stored. */
    size_t n = 0;
    uint64_t *list = vf_files_list(&files, &n);
    assert_non_null(list);
    assert_int_equal(n, 1);
    assert_int_equal(list[0], INO);
    free(list);
    assert_int_equal(open_file(true, false, NULL), VF_PAGES_STORE);
    assert_int_equal(open_file(false, false, NULL), VF_PAGES_THERE);
}

static void test_where_storing_failed_each_looks(void **state)
{
    (void)state;
    assert_int_equal(open_file(false, false, NULL), VF_PAGES_STORE);
    assert_int_equal(open_file(false, false, NULL), VF_PAGES_READ);
    assert_false(vf_files_close(&files, INO));
    assert_int_equal(open_file(false, false, NULL), VF_PAGES_READ);
}

static void test_after_a_lapse_they_are_not_there(void **state)
{
    (void)state;
    assert_int_equal(open_file(true, false, NULL), VF_PAGES_STORE);
    assert_int_equal(vf_files_lapsed(&files, INO, false), 0);
    assert_int_equal(open_file(false, false, NULL), VF_PAGES_THERE);
    assert_int_equal(vf_files_lapsed(&files, INO, true), 1);
    /* Open in two programs: a store would wait for a READ of theirs. */
    assert_int_equal(open_file(false, false, NULL), VF_PAGES_READ);
    assert_int_equal(vf_files_lapsed(&files, INO, false), 0);
    assert_int_equal(open_file(false, false, NULL), VF_PAGES_READ);
    for (int i = 0; i < 4; i++)
        (void)vf_files_close(&files, INO);
    if (*state == NULL) /* cache=close drops at the last of them */
        vf_files_dropped(&files, INO);
    assert_int_equal(open_file(true, false, NULL), VF_PAGES_STORE);
}

/* A lease that comes and goes between two looks at the files: its pages are dropped in as many rounds as those of the lease before. */
static void test_each_lapse_has_its_rounds(void **state)
{
    (void)state;
    assert_int_equal(open_file(true, false, NULL), VF_PAGES_STORE);
    for (unsigned round = 1; round <= VF_DROP_ROUNDS + 2; round++)
        assert_int_equal(vf_files_lapsed(&files, INO, true), round);
    assert_false(vf_files_lapsing(&files, INO));
    assert_int_equal(open_file(false, false, NULL), VF_PAGES_READ);
    assert_int_equal(vf_files_lapsed(&files, INO, true), 1);
    assert_true(vf_files_lapsing(&files, INO));
    /* Not by one that was refused: it has brought none. */
    assert_int_equal(open_file(false, true, NULL), VF_PAGES_READ);
    assert_int_equal(vf_files_lapsed(&files, INO, true), 2);
}

static void test_who_fails_leaves_nothing(void **state)
{
    bool drop = true;
    (void)state;
    assert_int_equal(open_file(false, true, &drop), VF_PAGES_STORE);
    assert_false(drop);
    assert_int_equal(entries(), 0);
}

/* It was closed by the others while this one was on its way; the pages came by READ, for storing had failed or they had lapsed. */
static void test_the_last_to_fail_drops_what_others_read(void **state)
{
    enum vf_pages pages;
    for (int lapse = 0; lapse < 2; lapse++) {
        bool stored = lapse == 1;
        (void)open_file(stored, false, NULL);
        if (lapse)
            (void)vf_files_lapsed(&files, INO, true);
        struct vf_open_file *file = vf_files_open(&files, INO, &pages);
        assert_non_null(file);
        assert_false(vf_files_close(&files, INO));
        bool drop = vf_files_opened(&files, file, false, true);
        assert_int_equal(drop, *state == NULL);
        assert_int_equal(entries(), 1);
        vf_files_dropped(&files, INO);
        assert_int_equal(entries(), 0);
    }
}

int main(void)
{
    static int keep;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_first_stores_second_need_not, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_where_storing_failed_each_looks, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_after_a_lapse_they_are_not_there, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_each_lapse_has_its_rounds, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_who_fails_leaves_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_last_to_fail_drops_what_others_read, set_up, tear_down),
        cmocka_unit_test_prestate_setup_teardown(test_kept_until_the_end, set_up, tear_down, &keep),
        cmocka_unit_test_prestate_setup_teardown(test_where_storing_failed_each_looks, set_up, tear_down, &keep),
        cmocka_unit_test_prestate_setup_teardown(test_after_a_lapse_they_are_not_there, set_up, tear_down, &keep),
        cmocka_unit_test_prestate_setup_teardown(test_who_fails_leaves_nothing, set_up, tear_down, &keep),
        cmocka_unit_test_prestate_setup_teardown(test_the_last_to_fail_drops_what_others_read, set_up, tear_down, &keep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
