/* SPDX-License-Identifier: MIT */
#include "faults.h"
#include "scratch.h"
#include "vaultfs/base.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmocka_std.h"

struct place {
    struct scratch dir;
    char path[300];
};

static int setup(void **state)
{
    struct place *p = calloc(1, sizeof(*p));

    if (p == NULL)
        return -1;
    scratch_make(&p->dir);
    scratch_path(&p->dir, "out.grant", p->path, sizeof(p->path));
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    struct place *p = *state;

    scratch_remove(&p->dir);
    free(p);
    return 0;
}

/* What is at p->path: its text, or "-" for nothing. */
static void assert_content(const struct place *p, const char *expect)
{
    struct vf_buf b;
    enum vf_err err = vf_file_read(p->path, 1000, &b, NULL);

    if (strcmp(expect, "-") == 0)
        assert_int_equal(err, VF_E_NOT_FOUND);
    else
        assert_string_equal(vf_buf_cstr(&b), expect);
    vf_buf_done(&b);
}

static void assert_names(const struct place *p, unsigned n)
{
    assert_int_equal(scratch_count(p->dir.path), n);
}

static enum vf_err write_text(const struct place *p, const char *text, bool force, struct vf_why *why)
{
    return vf_file_write(p->path, text, strlen(text), 0600, force, why);
}

static void test_appears_at_commit(void **state)
{
    struct place *p = *state;
    VF_NEWFILE f;

    assert_int_equal(vf_newfile_open(&f, p->path, 0600, false, NULL), VF_OK);
    assert_true(f.fd >= 0);
    assert_int_equal(fcntl(f.fd, F_GETFD), FD_CLOEXEC);
    assert_int_equal(fcntl(f.fd, F_GETFL) & O_ACCMODE, O_RDWR);
    assert_memory_equal(f.tmp, p->path, strlen(p->path));
    assert_memory_equal(f.tmp + strlen(p->path), ".tmp-", 5);
    assert_int_equal(vf_fd_write(f.fd, "whole", 5, "it", NULL), VF_OK);
    assert_content(p, "-");
    assert_names(p, 1);
    assert_int_equal(vf_newfile_commit(&f, NULL), VF_OK);
    assert_content(p, "whole");
    assert_names(p, 1);
    assert_int_equal(f.fd, -1);
    /* Once only. */
    assert_int_equal(vf_newfile_commit(&f, NULL), VF_E_INPUT);
    vf_newfile_done(&f);
    assert_content(p, "whole");
}

static void test_gone_without_commit(void **state)
{
    struct place *p = *state;
    struct vf_newfile f;

    assert_int_equal(vf_newfile_open(&f, p->path, 0600, false, NULL), VF_OK);
    assert_int_equal(vf_fd_write(f.fd, "part", 4, "it", NULL), VF_OK);
    errno = 4321;
    vf_newfile_done(&f);
    assert_int_equal(errno, 4321);
    assert_names(p, 0);
    vf_newfile_done(&f);

    /* A struct of zeroes owns nothing, and closes nothing. */
    struct vf_newfile zero = {0};
    int was = fcntl(0, F_GETFD);
    vf_newfile_done(&zero);
    assert_int_equal(fcntl(0, F_GETFD), was);
}

static void test_modes(void **state)
{
    struct place *p = *state;
    static const mode_t modes[] = {0600, 0640, 0644, 0400};
    struct stat st;

    mode_t mask = umask(0);
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        assert_int_equal(vf_file_write(p->path, "x", 1, modes[i], true, NULL), VF_OK);
        assert_int_equal(stat(p->path, &st), 0);
        assert_int_equal(st.st_mode & 07777, modes[i]);
    }
    umask(mask);
}

static void test_never_overwrites(void **state)
{
    struct place *p = *state;
    struct vf_why why = {0};
    struct vf_newfile f;

    assert_int_equal(write_text(p, "first", false, &why), VF_OK);
    assert_int_equal(write_text(p, "second", false, &why), VF_E_EXISTS);
    assert_non_null(strstr(why.text, p->path));
    assert_content(p, "first");
    assert_names(p, 1);
    assert_int_equal(write_text(p, "third", true, &why), VF_OK);
    assert_content(p, "third");

    /* It appears between open and commit. */
    assert_int_equal(unlink(p->path), 0);
    assert_int_equal(vf_newfile_open(&f, p->path, 0600, false, &why), VF_OK);
    assert_int_equal(vf_fd_write(f.fd, "mine", 4, "it", NULL), VF_OK);
    assert_int_equal(write_text(p, "theirs", false, NULL), VF_OK);
    assert_int_equal(vf_newfile_commit(&f, &why), VF_E_EXISTS);
    vf_newfile_done(&f);
    assert_content(p, "theirs");
    assert_names(p, 1);
}

/* A filesystem whose rename knows no flags: link does it. */
static void test_without_renameat2(void **state)
{
    struct place *p = *state;
    struct vf_why why = {0};
    static const int codes[] = {EINVAL, ENOSYS, EOPNOTSUPP};

    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        faults_arm(FAULT_RENAME, 1, codes[i]);
        enum vf_err err = write_text(p, "linked", false, &why);
        assert_true(faults_disarm());
        assert_int_equal(err, VF_OK);
        assert_int_equal(faults_seen(FAULT_RENAME), 2);
        assert_content(p, "linked");
        assert_names(p, 1);
        struct vf_newfile f;
        assert_int_equal(unlink(p->path), 0);
        assert_int_equal(vf_newfile_open(&f, p->path, 0600, false, &why), VF_OK);
        assert_int_equal(write_text(p, "theirs", false, NULL), VF_OK);
        faults_arm(FAULT_RENAME, 1, codes[i]);
        err = vf_newfile_commit(&f, &why);
        assert_true(faults_disarm());
        vf_newfile_done(&f);
        assert_int_equal(err, VF_E_EXISTS);
        assert_content(p, "theirs");
        assert_names(p, 1);
        assert_int_equal(unlink(p->path), 0);
    }
    faults_arm_lasting(FAULT_RENAME, 1, EINVAL);
    enum vf_err err = write_text(p, "neither", false, &why);
    assert_true(faults_disarm());
    assert_int_equal(err, VF_E_SYSTEM);
    assert_names(p, 0);
}

static void test_what_force_does_not_replace(void **state)
{
    struct place *p = *state;
    struct vf_why why = {0};
    struct stat st;
    char name[300];

    assert_int_equal(mkdir(p->path, 0700), 0);
    assert_int_equal(write_text(p, "x", true, &why), VF_E_INPUT);
    assert_int_equal(write_text(p, "x", false, &why), VF_E_EXISTS);
    assert_int_equal(rmdir(p->path), 0);
    assert_int_equal(mkfifo(p->path, 0600), 0);
    assert_int_equal(write_text(p, "x", true, &why), VF_E_INPUT);
    assert_int_equal(stat(p->path, &st), 0);
    assert_true(S_ISFIFO(st.st_mode));
    assert_int_equal(unlink(p->path), 0);
    assert_int_equal(vf_file_write("/dev/null", "x", 1, 0600, true, &why), VF_E_INPUT);
    assert_int_equal(stat("/dev/null", &st), 0);
    assert_true(S_ISCHR(st.st_mode));

    /* A link is replaced, and what it points to is left alone. */
    scratch_path(&p->dir, "target", name, sizeof(name));
    assert_int_equal(vf_file_write(name, "target", 6, 0600, false, NULL), VF_OK);
    assert_int_equal(symlink("target", p->path), 0);
    assert_int_equal(write_text(p, "x", false, &why), VF_E_EXISTS);
    assert_int_equal(write_text(p, "new", true, &why), VF_OK);
    assert_int_equal(lstat(p->path, &st), 0);
    assert_true(S_ISREG(st.st_mode));
    struct vf_buf b;
    assert_int_equal(vf_file_read(name, 100, &b, NULL), VF_OK);
    assert_string_equal(vf_buf_cstr(&b), "target");
    vf_buf_done(&b);
    assert_int_equal(unlink(p->path), 0);
    /* A dangling one too. */
    assert_int_equal(symlink("nowhere", p->path), 0);
    assert_int_equal(write_text(p, "x", false, &why), VF_E_EXISTS);
    assert_int_equal(write_text(p, "new", true, &why), VF_OK);
    assert_content(p, "new");
}

static void test_bad_paths(void **state)
{
    struct place *p = *state;
    struct vf_why why = {0};
    char name[600];

    assert_int_equal(vf_file_write("", "x", 1, 0600, false, &why), VF_E_INPUT);
    assert_int_equal(vf_file_write(scratch_path(&p->dir, "new/", name, sizeof(name)), "x", 1, 0600, false, &why),
                     VF_E_INPUT);
    assert_int_equal(vf_file_write(scratch_path(&p->dir, "no/where", name, sizeof(name)), "x", 1, 0600, false, &why),
                     VF_E_NOT_FOUND);
    memset(name, 'n', sizeof(name));
    memcpy(name, p->dir.path, strlen(p->dir.path));
    name[strlen(p->dir.path)] = '/';
    name[sizeof(name) - 1] = '\0';
    assert_int_equal(vf_file_write(name, "x", 1, 0600, false, &why), VF_E_LIMIT);
    assert_names(p, 0);
    /* In the current folder, without a slash. */
    assert_int_equal(chdir(p->dir.path), 0);
    assert_int_equal(vf_file_write("here", "x", 1, 0600, false, &why), VF_OK);
    assert_int_equal(chdir("/"), 0);
    assert_names(p, 1);
}

/* Whichever call fails: the old content or the new one is there, whole, and nothing else. */
static void every_fault(const struct place *p, enum fault_kind kind, int eno, enum vf_err expect, bool over)
{
    for (unsigned n = 1;; n++) {
        (void)unlink(p->path);
        if (over)
            assert_int_equal(write_text(p, "old", false, NULL), VF_OK);
        unsigned fds = scratch_count("/proc/self/fd");
        faults_arm(kind, n, eno);
        enum vf_err err = write_text(p, "new", over, NULL);
        bool met = faults_disarm();
        assert_int_equal(scratch_count("/proc/self/fd"), fds);
        if (!met) {
            assert_int_equal(err, VF_OK);
            assert_content(p, "new");
            assert_names(p, 1);
            assert_true(n > 1);
            return;
        }
        assert_int_equal(err, expect);
        struct vf_buf b;
        if (vf_file_read(p->path, 100, &b, NULL) == VF_OK)
            assert_true(strcmp(vf_buf_cstr(&b), "new") == 0 || (over && strcmp(vf_buf_cstr(&b), "old") == 0));
        else
            assert_false(over);
        assert_names(p, b.len > 0 ? 1 : 0);
        vf_buf_done(&b);
    }
}

static void test_every_fault(void **state)
{
    struct place *p = *state;

    for (int over = 0; over < 2; over++) {
        every_fault(p, FAULT_MEMORY, ENOMEM, VF_E_NOMEM, over != 0);
        every_fault(p, FAULT_WRITE, ENOSPC, VF_E_DISK_FULL, over != 0);
        every_fault(p, FAULT_SYNC, EIO, VF_E_SYSTEM, over != 0);
        every_fault(p, FAULT_RENAME, EACCES, VF_E_DENIED, over != 0);
    }
}

/* Killed before any of these calls: PATH holds the old content or the new one, never a part. */
static void test_killed_anywhere(void **state)
{
    struct place *p = *state;
    static const enum fault_kind kinds[] = {FAULT_MEMORY, FAULT_WRITE, FAULT_SYNC, FAULT_RENAME};
    unsigned killed = 0;

    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++)
        for (unsigned n = 1;; n++) {
            assert_int_equal(write_text(p, "old", true, NULL), VF_OK);
            pid_t child = fork();
            assert_true(child >= 0);
            if (child == 0) {
                faults_arm_kill(kinds[k], n);
                _exit(write_text(p, "newer", true, NULL) == VF_OK ? 0 : 1);
            }
            int status = 0;
            assert_int_equal(waitpid(child, &status, 0), child);
            struct vf_buf b;
            assert_int_equal(vf_file_read(p->path, 100, &b, NULL), VF_OK);
            const char *text = vf_buf_cstr(&b);
            if (WIFEXITED(status)) {
                assert_int_equal(WEXITSTATUS(status), 0);
                assert_string_equal(text, "newer");
                vf_buf_done(&b);
                break;
            }
            assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
            assert_true(strcmp(text, "old") == 0 || strcmp(text, "newer") == 0);
            vf_buf_done(&b);
            killed++;
        }
    assert_true(killed >= 5);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_appears_at_commit), TEST(test_gone_without_commit), TEST(test_modes),
        TEST(test_never_overwrites),  TEST(test_without_renameat2),   TEST(test_what_force_does_not_replace),
        TEST(test_bad_paths),         TEST(test_every_fault),         TEST(test_killed_anywhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
