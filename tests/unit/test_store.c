/* SPDX-License-Identifier: MIT */
/* Opening, sharing, forking, copying. */
#include "test_store_common.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static enum vf_err put_body(struct vf_txn *txn, void *user, struct vf_why *reason)
{
    (void)reason;
    vf_txn_put(txn, T_ROWS, "key", 3, user, strlen(user));
    return VF_OK;
}

static void assert_row(struct vf_store *s, const char *expect)
{
    VF_TXN txn = NULL;
    struct vf_slice val = {0};

    assert_ok(vf_txn_read(s, &txn, &why));
    assert_int_equal(vf_txn_get(txn, T_ROWS, "key", 3, &val), expect != NULL);
    if (expect != NULL) {
        assert_int_equal(val.len, strlen(expect));
        assert_memory_equal(val.data, expect, val.len);
    }
    assert_int_equal(vf_txn_error(txn), VF_OK);
}

static void assert_refused(const char *dir, enum vf_store_mode mode, enum vf_err expect, const char *text)
{
    struct vf_store *s = NULL;

    assert_int_equal(store_open_at(dir, mode, &s), expect);
    assert_null(s);
    assert_int_equal(why.err, expect);
    if (strstr(why.text, text) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", why.text, text);
}

static void test_new_and_again(void **state)
{
    const struct place *p = *state;
    char path[300];
    struct stat st;

    assert_refused(p->dir.path, VF_STORE_READ, VF_E_NOT_FOUND, WHAT);
    assert_int_equal(scratch_count(p->dir.path), 0);
    {
        VF_STORE s = store_must_open(p->dir.path, VF_STORE_WRITE);
        char text[] = "value";
        assert_row(s, NULL);
        assert_ok(vf_store_update(s, put_body, text, &why));
        assert_row(s, "value");
    }
    assert_int_equal(scratch_count(p->dir.path), 2);
    assert_int_equal(stat(scratch_path(&p->dir, "data.mdb", path, sizeof(path)), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(stat(scratch_path(&p->dir, "lock.mdb", path, sizeof(path)), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);

    VF_STORE s = store_must_open(p->dir.path, VF_STORE_READ);
    char text[] = "other";
    assert_row(s, "value");
    assert_int_equal(vf_store_update(s, put_body, text, &why), VF_E_DENIED);
    assert_row(s, "value");
    assert_int_equal(store_walk_at(p->dir.path), VF_OK);
}

/* The empty file of a process that was killed before it wrote a byte. */
static void test_empty_file(void **state)
{
    const struct place *p = *state;
    char path[300];

    scratch_path(&p->dir, "data.mdb", path, sizeof(path));
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    (void)close(fd);
    assert_refused(p->dir.path, VF_STORE_READ, VF_E_NOT_FOUND, "nothing was stored in it yet");
    assert_int_equal(store_walk_at(p->dir.path), VF_E_NOT_FOUND);
    VF_STORE s = store_must_open(p->dir.path, VF_STORE_WRITE);
    assert_row(s, NULL);
}

static void test_what_is_refused(void **state)
{
    const struct place *p = *state;
    static const char *const twice[] = {"a", "b", "a"};
    static const char *const nameless[] = {"a", ""};
    const char *many[VF_STORE_TABLES_MAX + 1];
    char long_name[65] = {0};
    const char *longs[] = {long_name};
    char path[300];
    char away[300];
    struct vf_store *s = NULL;

    memset(long_name, 'x', 64);
    for (size_t i = 0; i <= VF_STORE_TABLES_MAX; i++)
        many[i] = "t";
    assert_int_equal(vf_store_open(p->dir.path, VF_STORE_WRITE, twice, 3, WHAT, &s, NULL), VF_E_USAGE);
    assert_int_equal(vf_store_open(p->dir.path, VF_STORE_WRITE, nameless, 2, WHAT, &s, NULL), VF_E_USAGE);
    assert_int_equal(vf_store_open(p->dir.path, VF_STORE_WRITE, many, VF_STORE_TABLES_MAX + 1, WHAT, &s, NULL), VF_E_USAGE);
    assert_int_equal(vf_store_open(p->dir.path, VF_STORE_WRITE, many, 0, WHAT, &s, NULL), VF_E_USAGE);
    assert_int_equal(vf_store_open(p->dir.path, VF_STORE_WRITE, longs, 1, WHAT, &s, NULL), VF_E_USAGE);
    assert_refused(scratch_path(&p->dir, "no", path, sizeof(path)), VF_STORE_WRITE, VF_E_NOT_FOUND, WHAT);

    /* Neither may be followed or waited for. */
    scratch_path(&p->dir, "data.mdb", path, sizeof(path));
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_refused(p->dir.path, VF_STORE_WRITE, VF_E_INPUT, "regular");
    assert_refused(p->dir.path, VF_STORE_READ, VF_E_INPUT, "regular");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink(scratch_path(&p->dir, "away", away, sizeof(away)), path), 0);
    assert_refused(p->dir.path, VF_STORE_WRITE, VF_E_INPUT, "data.mdb");
    assert_int_equal(unlink(path), 0);
    scratch_path(&p->dir, "lock.mdb", path, sizeof(path));
    assert_int_equal(symlink(away, path), 0);
    assert_refused(p->dir.path, VF_STORE_WRITE, VF_E_INPUT, "lock.mdb");
    assert_null(s);
}

static void test_tables_are_added_but_not_lost(void **state)
{
    const struct place *p = *state;
    static const char *const more[] = {"values", "new", "rows"};
    struct vf_store *s = store_must_open(p->dir.path, VF_STORE_WRITE);
    char text[] = "value";

    assert_ok(vf_store_update(s, put_body, text, &why));
    vf_store_close(s);
    s = NULL;
    assert_int_equal(vf_store_open(p->dir.path, VF_STORE_READ, more, 3, WHAT, &s, &why), VF_E_DAMAGED);
    assert_string_equal(why.text, WHAT ": the database is damaged (1 of its 3 tables are missing)");
    assert_int_equal(vf_store_walk(p->dir.path, more, 3, 0, WHAT, &why), VF_E_DAMAGED);
    assert_string_equal(why.text, WHAT ": the database is damaged (table new is missing)");
    assert_ok(vf_store_open(p->dir.path, VF_STORE_WRITE, more, 3, WHAT, &s, &why));
    vf_store_close(s);
    assert_ok(vf_store_open(p->dir.path, VF_STORE_READ, more, 3, WHAT, &s, &why));
    vf_store_close(s);
    s = store_must_open(p->dir.path, VF_STORE_READ);
    assert_row(s, "value");
    vf_store_close(s);
    vf_store_close(NULL);
}

/* Asked from another process: does somebody hold LMDB's lock on the file? */
static bool is_locked(const char *path)
{
    pid_t pid = fork();
    int status = 0;

    if (pid == 0) {
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
        int fd = open(path, O_RDWR | O_CLOEXEC);
        _exit(fd >= 0 && fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK ? 1 : 0);
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) && WEXITSTATUS(status) == 1;
}

static void test_one_folder_is_opened_once(void **state)
{
    const struct place *p = *state;
    static const char *const other[] = {"rows", "other"};
    struct vf_store *a = store_must_open(p->dir.path, VF_STORE_WRITE);
    struct vf_store *b = store_must_open(p->dir.path, VF_STORE_WRITE);
    struct vf_store *c = NULL;
    struct vf_txn *txn = NULL;
    struct vf_slice val = {0};
    char lock[300];
    char dotted[300];
    char first[] = "first";
    char second[] = "second";

    scratch_path(&p->dir, "lock.mdb", lock, sizeof(lock));
    scratch_path(&p->dir, ".", dotted, sizeof(dotted));
    assert_ok(vf_store_update(a, put_body, first, &why));
    assert_row(b, "first");
    /* By any name; but not with other tables. */
    c = store_must_open(dotted, VF_STORE_READ);
    assert_row(c, "first");
    assert_int_equal(vf_store_update(c, put_body, second, &why), VF_E_DENIED);
    vf_store_close(c);
    c = NULL;
    assert_int_equal(vf_store_open(p->dir.path, VF_STORE_READ, other, 2, WHAT, &c, &why), VF_E_BUSY);
    assert_int_equal(vf_store_open(p->dir.path, VF_STORE_READ, store_tables, 1, WHAT, &c, &why), VF_E_BUSY);
    assert_true(is_locked(lock));
    vf_store_close(a);
    assert_true(is_locked(lock));
    assert_ok(vf_store_update(b, put_body, second, &why));
    /* A transaction that outlives its store keeps what it reads. */
    assert_ok(vf_txn_read(b, &txn, &why));
    vf_store_close(b);
    assert_true(is_locked(lock));
    assert_true(vf_txn_get(txn, T_ROWS, "key", 3, &val));
    assert_memory_equal(val.data, "second", val.len);
    vf_txn_end(txn);
    assert_false(is_locked(lock));

    a = store_must_open(p->dir.path, VF_STORE_READ);
    assert_int_equal(store_open_at(p->dir.path, VF_STORE_WRITE, &c), VF_E_BUSY);
    assert_null(c);
    vf_store_close(a);
    a = store_must_open(p->dir.path, VF_STORE_WRITE);
    assert_row(a, "second");
    vf_store_close(a);
}

/* In the child nothing of the parent's store works; its own does, and neither disturbs the other. */
static int in_child(const struct place *p, struct vf_store *s, struct vf_txn *txn)
{
    struct vf_txn *fresh = NULL;
    struct vf_store *own = NULL;
    char text[] = "child";

    if (vf_txn_read(s, &fresh, NULL) != VF_E_SYSTEM || vf_txn_renew(txn, NULL) != VF_E_SYSTEM)
        return 1;
    if (vf_store_update(s, put_body, text, NULL) != VF_E_SYSTEM || vf_store_copy(s, 1, NULL) != VF_E_SYSTEM)
        return 2;
    vf_txn_reset(txn);
    vf_txn_end(txn);
    if (store_open_at(p->dir.path, VF_STORE_WRITE, &own) != VF_OK || own == s)
        return 3;
    vf_store_close(s);
    if (vf_store_update(own, put_body, text, NULL) != VF_OK)
        return 4;
    vf_store_close(own);
    return 0;
}

static void test_fork(void **state)
{
    const struct place *p = *state;
    VF_STORE s = store_must_open(p->dir.path, VF_STORE_WRITE);
    VF_TXN txn = NULL;
    char text[] = "parent";
    char lock[300];
    struct vf_slice val = {0};
    int status = 0;

    assert_ok(vf_store_update(s, put_body, text, &why));
    assert_ok(vf_txn_read(s, &txn, &why));
    pid_t pid = fork();
    if (pid == 0)
        _exit(in_child(p, s, txn));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_true(is_locked(scratch_path(&p->dir, "lock.mdb", lock, sizeof(lock))));
    /* The parent's snapshot is its own still; a fresh one sees what the child wrote. */
    assert_true(vf_txn_get(txn, T_ROWS, "key", 3, &val));
    assert_memory_equal(val.data, "parent", val.len);
    assert_row(s, "child");
    assert_ok(vf_store_update(s, put_body, text, &why));
    assert_true(vf_txn_get(txn, T_ROWS, "key", 3, &val));
    assert_memory_equal(val.data, "parent", val.len);
    assert_row(s, "parent");
}

/* Nothing of it is left open for a program that is started. */
static void test_close_on_exec(void **state)
{
    const struct place *p = *state;
    VF_STORE s = store_must_open(p->dir.path, VF_STORE_WRITE);
    DIR *dir = opendir("/proc/self/fd");
    unsigned seen = 0;

    assert_non_null(dir);
    for (const struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        char target[300];
        ssize_t n = readlinkat(dirfd(dir), e->d_name, target, sizeof(target) - 1);
        if (n <= 0)
            continue;
        target[n] = '\0';
        if (strstr(target, ".mdb") == NULL)
            continue;
        seen++;
        int flags = fcntl((int)strtol(e->d_name, NULL, 10), F_GETFD);
        assert_int_equal(flags & FD_CLOEXEC, FD_CLOEXEC);
    }
    (void)closedir(dir);
    assert_int_equal(seen, 3);
    assert_non_null(s);
}

static void test_readers_full(void **state)
{
    const struct place *p = *state;
    VF_STORE s = store_must_open(p->dir.path, VF_STORE_WRITE);
    struct vf_txn *txns[512] = {NULL};
    struct vf_txn *one = NULL;

    for (size_t i = 0; i < 512; i++)
        assert_ok(vf_txn_read(s, &txns[i], &why));
    assert_int_equal(vf_txn_read(s, &one, &why), VF_E_BUSY);
    assert_null(one);
    assert_non_null(strstr(why.text, "too many programs and threads"));
    vf_txn_end(txns[100]);
    assert_ok(vf_txn_read(s, &txns[100], &why));
    for (size_t i = 0; i < 512; i++)
        vf_txn_end(txns[i]);
    vf_txn_end(NULL);
}

/* Slots of a reader that was killed are given back when they are needed. */
static void test_dead_readers(void **state)
{
    const struct place *p = *state;
    VF_STORE keep = store_must_open(p->dir.path, VF_STORE_WRITE);
    VF_TXN txn = NULL;
    int status = 0;

    pid_t pid = fork();
    if (pid == 0) {
        struct vf_store *s = NULL;
        if (store_open_at(p->dir.path, VF_STORE_WRITE, &s) != VF_OK)
            _exit(1);
        for (size_t i = 0; i < 512; i++) {
            struct vf_txn *one = NULL;
            if (vf_txn_read(s, &one, NULL) != VF_OK)
                _exit(2);
        }
        (void)raise(SIGKILL);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_ok(vf_txn_read(keep, &txn, &why));
}

static void test_copy(void **state)
{
    const struct place *p = *state;
    VF_STORE s = store_must_open(p->dir.path, VF_STORE_WRITE);
    struct fill f = {.to = 40, .len = 50000, .salt = 1};
    char folder[300];
    char path[320];
    struct stat a;
    struct stat b;

    assert_ok(vf_store_update(s, fill_body, &f, &why));
    f.salt = 2;
    assert_ok(vf_store_update(s, fill_body, &f, &why));
    assert_int_equal(mkdir(scratch_path(&p->dir, "copy", folder, sizeof(folder)), 0700), 0);
    (void)snprintf(path, sizeof(path), "%s/data.mdb", folder);
    VF_FD fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_ok(vf_store_copy(s, fd, &why));
    assert_int_equal(fstat(fd, &a), 0);
    assert_int_equal(stat(scratch_path(&p->dir, "data.mdb", path, sizeof(path)), &b), 0);
    /* Without the pages of the first round. */
    assert_true(a.st_size < b.st_size * 2 / 3);
    assert_ok(store_walk_at(folder));
    VF_STORE t = store_must_open(folder, VF_STORE_WRITE);
    VF_TXN txn = NULL;
    assert_ok(vf_txn_read(t, &txn, &why));
    assert_int_equal(vf_txn_count(txn, T_VALUES), 40);
    assert_true(fill_is_there(txn, &f));
    vf_txn_end(txn);
    txn = NULL;
    f.salt = 3;
    assert_ok(vf_store_update(t, fill_body, &f, &why));
    assert_ok(store_walk_at(folder));
    /* To a place that takes nothing. */
    VF_FD closed = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_true(closed >= 0);
    assert_int_equal(vf_store_copy(s, closed, &why), VF_E_DISK_FULL);
    assert_non_null(strstr(why.text, "writing a copy"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_new_and_again, place_setup, place_teardown),
        cmocka_unit_test_setup_teardown(test_empty_file, place_setup, place_teardown),
        cmocka_unit_test_setup_teardown(test_what_is_refused, place_setup, place_teardown),
        cmocka_unit_test_setup_teardown(test_tables_are_added_but_not_lost, place_setup, place_teardown),
        cmocka_unit_test_setup_teardown(test_one_folder_is_opened_once, place_setup, place_teardown),
        cmocka_unit_test_setup_teardown(test_fork, place_setup, place_teardown),
        cmocka_unit_test_setup_teardown(test_close_on_exec, place_setup, place_teardown),
        cmocka_unit_test_setup_teardown(test_readers_full, place_setup, place_teardown),
        cmocka_unit_test_setup_teardown(test_dead_readers, place_setup, place_teardown),
        cmocka_unit_test_setup_teardown(test_copy, place_setup, place_teardown),
    };

    return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
