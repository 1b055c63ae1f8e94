/* SPDX-License-Identifier: MIT */
#include "vaultfs/base.h"

#include <errno.h>
#include <string.h>

#include "cmocka_std.h"

static void test_table(void **state)
{
    (void)state;
    assert_string_equal(vf_err_text(VF_OK), "done");
    assert_int_equal(vf_err_errno(VF_OK), 0);
    assert_int_equal(vf_err_exit(VF_OK), 0);
    for (int i = 1; i < VF_ERR_COUNT_; i++) {
        enum vf_err err = (enum vf_err)i;
        assert_non_null(vf_err_text(err));
        assert_true(strlen(vf_err_text(err)) > 3);
        assert_true(vf_err_errno(err) > 0);
        assert_in_range(vf_err_exit(err), 1, 5);
    }
    /* What INTERFACE promises to programs and scripts. */
    assert_int_equal(vf_err_errno(VF_E_EXPIRED), EKEYEXPIRED);
    assert_int_equal(vf_err_errno(VF_E_REVOKED), EKEYREVOKED);
    assert_int_equal(vf_err_errno(VF_E_NOT_YET), ENOKEY);
    assert_int_equal(vf_err_errno(VF_E_BUDGET), EDQUOT);
    assert_int_equal(vf_err_errno(VF_E_CLOCK), EKEYREJECTED);
    assert_int_equal(vf_err_errno(VF_E_DAMAGED), EIO);
    assert_int_equal(vf_err_errno(VF_E_FORGED), EIO);
    assert_int_equal(vf_err_errno(VF_E_DISK_FULL), ENOSPC);
    assert_int_equal(vf_err_exit(VF_E_SYSTEM), 1);
    assert_int_equal(vf_err_exit(VF_E_USAGE), 2);
    assert_int_equal(vf_err_exit(VF_E_FORGED), 3);
    assert_int_equal(vf_err_exit(VF_E_UNSIGNED), 4);
    assert_int_equal(vf_err_exit(VF_E_PARTIAL), 5);
}

static void test_unknown_code_is_a_failure(void **state)
{
    (void)state;
    assert_string_equal(vf_err_text((enum vf_err)9999), vf_err_text(VF_E_SYSTEM));
    assert_int_equal(vf_err_exit((enum vf_err) - 1), 1);
    assert_int_equal(vf_err_errno(VF_ERR_COUNT_), EIO);
}

static void test_fail(void **state)
{
    struct vf_why why = {.sys_errno = 7};

    (void)state;
    assert_int_equal(vf_fail(NULL, VF_E_FORMAT, "%s", "x"), VF_E_FORMAT);
    assert_int_equal(vf_fail(&why, VF_E_FORMAT, "%s: byte %d", "a.grant", 12), VF_E_FORMAT);
    assert_int_equal(why.err, VF_E_FORMAT);
    assert_int_equal(why.sys_errno, 0);
    assert_string_equal(why.text, "a.grant: byte 12");
    /* A success changes nothing. */
    assert_int_equal(vf_fail(&why, VF_OK, "never"), VF_OK);
    assert_string_equal(why.text, "a.grant: byte 12");
    assert_int_equal(why.err, VF_E_FORMAT);
}

static void one_line(const char *in, const char *out)
{
    struct vf_why why = {0};

    assert_int_equal(vf_fail(&why, VF_E_INPUT, "%s", in), VF_E_INPUT);
    assert_string_equal(why.text, out);
}

static void test_one_harmless_line(void **state)
{
    (void)state;
    one_line("a\nb\tc\r", "a?b?c?");
    one_line("\x1b[31mred\x7f", "?[31mred?");
    one_line("Zo\xc3\xab \xe2\x82\xac \xf0\x9f\x91\xae", "Zo\xc3\xab \xe2\x82\xac \xf0\x9f\x91\xae");
    one_line("evil\xe2\x80\xaetxt.exe", "evil?txt.exe");
    one_line("c1\xc2\x85.", "c1?.");
    one_line("latin \xe9t\xe9.", "latin ?t?.");
    one_line("\xff\xfe\xc0\xaf.", "????.");
}

static void test_cut_at_the_end(void **state)
{
    struct vf_why why;
    char longest[sizeof(why.text) + 100];

    (void)state;
    for (size_t shift = 0; shift < 4; shift++) {
        memset(&why, 0, sizeof(why));
        memset(longest, 'x', sizeof(longest));
        for (size_t i = shift; i + 4 < sizeof(longest); i += 4)
            memcpy(longest + i, "\xf0\x9f\x91\xae", 4);
        longest[sizeof(longest) - 1] = '\0';
        (void)vf_fail(&why, VF_E_INPUT, "%s", longest);
        assert_true(strlen(why.text) > sizeof(why.text) - 5);
        assert_true(vf_text_printable(why.text, strlen(why.text)));
        assert_null(strchr(why.text, '?'));
    }
}

static void test_fail_sys(void **state)
{
    static const struct {
        int eno;
        enum vf_err err;
    } map[] = {
        {ENOMEM, VF_E_NOMEM},     {ENOSPC, VF_E_DISK_FULL},   {EDQUOT, VF_E_DISK_FULL},
        {ENOENT, VF_E_NOT_FOUND}, {ENOTDIR, VF_E_NOT_FOUND},  {EEXIST, VF_E_EXISTS},
        {EACCES, VF_E_DENIED},    {EPERM, VF_E_DENIED},       {EROFS, VF_E_DENIED},
        {EBUSY, VF_E_BUSY},       {EAGAIN, VF_E_BUSY},        {EFBIG, VF_E_LIMIT},
        {EOVERFLOW, VF_E_LIMIT},  {ENAMETOOLONG, VF_E_LIMIT}, {EISDIR, VF_E_INPUT},
        {ELOOP, VF_E_INPUT},      {ENOSYS, VF_E_UNSUPPORTED}, {EOPNOTSUPP, VF_E_UNSUPPORTED},
        {EIO, VF_E_SYSTEM},       {0, VF_E_SYSTEM},           {EMFILE, VF_E_SYSTEM},
        {123456, VF_E_SYSTEM},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++) {
        struct vf_why why = {0};
        errno = map[i].eno;
        assert_int_equal(vf_fail_sys(&why, "%s: cannot open", "f"), map[i].err);
        assert_int_equal(errno, map[i].eno);
        assert_int_equal(why.err, map[i].err);
        assert_int_equal(why.sys_errno, map[i].eno);
        assert_memory_equal(why.text, "f: cannot open: ", 16);
        assert_true(strlen(why.text) > 18);
        assert_int_equal(vf_fail_sys(NULL, "x"), map[i].err);
    }
}

static void test_fail_sys_keeps_the_systems_words(void **state)
{
    struct vf_why why = {0};
    char name[2000];

    (void)state;
    memset(name, 'n', sizeof(name));
    name[sizeof(name) - 1] = '\0';
    errno = ENOSPC;
    assert_int_equal(vf_fail_sys(&why, "%s", name), VF_E_DISK_FULL);
    assert_non_null(strstr(why.text, ": No space left on device"));
}

static void test_prefix(void **state)
{
    struct vf_why why = {0};

    (void)state;
    errno = ENOENT;
    (void)vf_fail_sys(&why, "f");
    assert_int_equal(vf_fail_prefix(&why, VF_E_DAMAGED, "station %s", "north"), VF_E_DAMAGED);
    assert_string_equal(why.text, "station north: f: No such file or directory");
    assert_int_equal(why.err, VF_E_DAMAGED);
    assert_int_equal(why.sys_errno, ENOENT);
    assert_int_equal(vf_fail_prefix(NULL, VF_E_STALE, "x"), VF_E_STALE);
    assert_int_equal(vf_fail_prefix(&why, VF_OK, "x"), VF_OK);
    assert_string_equal(why.text, "station north: f: No such file or directory");

    /* Without a reason of its own the table's sentence is there. */
    struct vf_why empty = {0};
    assert_int_equal(vf_fail_prefix(&empty, VF_E_REVOKED, "job %d", 7), VF_E_REVOKED);
    assert_string_equal(empty.text, "job 7: the grant was revoked");
}

static void test_prefix_cuts(void **state)
{
    struct vf_why why = {0};
    char longest[1000];

    (void)state;
    memset(longest, 'p', sizeof(longest));
    longest[sizeof(longest) - 1] = '\0';
    (void)vf_fail(&why, VF_E_INPUT, "inner");
    (void)vf_fail_prefix(&why, VF_E_INPUT, "%s", longest);
    assert_int_equal(strlen(why.text), sizeof(why.text) - 1);
    (void)vf_fail(&why, VF_E_INPUT, "%s", longest);
    (void)vf_fail_prefix(&why, VF_E_INPUT, "outer");
    assert_int_equal(strlen(why.text), sizeof(why.text) - 1);
    assert_memory_equal(why.text, "outer: ppp", 10);
}

static enum vf_err tries(enum vf_err first, int *reached)
{
    VF_TRY(first);
    *reached = 1;
    return VF_OK;
}

static void test_try(void **state)
{
    int reached = 0;

    (void)state;
    assert_int_equal(tries(VF_E_BUSY, &reached), VF_E_BUSY);
    assert_int_equal(reached, 0);
    assert_int_equal(tries(VF_OK, &reached), VF_OK);
    assert_int_equal(reached, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_unknown_code_is_a_failure),
        cmocka_unit_test(test_fail),
        cmocka_unit_test(test_one_harmless_line),
        cmocka_unit_test(test_cut_at_the_end),
        cmocka_unit_test(test_fail_sys),
        cmocka_unit_test(test_fail_sys_keeps_the_systems_words),
        cmocka_unit_test(test_prefix),
        cmocka_unit_test(test_prefix_cuts),
        cmocka_unit_test(test_try),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
