/* SPDX-License-Identifier: MIT */
#include "faults.h"
#include "scratch.h"
#include "vaultfs/base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
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
    scratch_path(&p->dir, "file", p->path, sizeof(p->path));
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

static void put(const char *path, const void *data, size_t len)
{
    assert_int_equal(vf_file_write(path, data, len, 0600, true, NULL), VF_OK);
}

static unsigned open_fds(void)
{
    return scratch_count("/proc/self/fd");
}

static void test_cleanup_helpers(void **state)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    char *p = strdup("x");
    FILE *f = fopen("/dev/null", "re");

    (void)state;
    assert_true(fd >= 0);
    int was = fd;
    errno = 1234;
    vf_fd_close(&fd);
    assert_int_equal(fd, -1);
    assert_int_equal(fcntl(was, F_GETFD), -1);
    errno = 1234;
    vf_fd_close(&fd);
    assert_int_equal(errno, 1234);
    vf_free(&p);
    assert_null(p);
    vf_free(&p);
    vf_stream_close(&f);
    assert_null(f);
    vf_stream_close(&f);
    assert_int_equal(errno, 1234);
}

/* ------------------------------------------------------------------------------------------------------------- transfers */

static void test_read_write(void **state)
{
    struct place *p = *state;
    struct vf_why why = {0};
    char out[11] = {0};
    VF_FD fd = open(p->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    assert_int_equal(vf_fd_write(fd, "0123456789", 10, "it", &why), VF_OK);
    assert_int_equal(vf_fd_sync(fd, "it", &why), VF_OK);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    assert_int_equal(vf_fd_read(fd, out, 10, "it", &why), VF_OK);
    assert_string_equal(out, "0123456789");
    assert_int_equal(vf_fd_read(fd, out, 0, "it", &why), VF_OK);
    assert_int_equal(vf_fd_read(fd, out, 1, "it", &why), VF_E_FORMAT);
    assert_string_equal(why.text, "it: ends too early");

    assert_int_equal(vf_fd_pwrite(fd, "AB", 2, 4, "it", &why), VF_OK);
    assert_int_equal(vf_fd_pread(fd, out, 4, 3, "it", &why), VF_OK);
    assert_memory_equal(out, "3AB6", 4);
    assert_int_equal(vf_fd_pread(fd, out, 4, 7, "it", &why), VF_E_FORMAT);
    assert_int_equal(vf_fd_pread(fd, out, 1, 1000, "it", &why), VF_E_FORMAT);
    assert_int_equal(vf_fd_pread(fd, out, 1, INT64_MAX, "it", &why), VF_E_LIMIT);
    assert_int_equal(vf_fd_pread(fd, out, 0, UINT64_MAX, "it", &why), VF_E_LIMIT);
    assert_int_equal(vf_fd_pwrite(fd, out, 2, (uint64_t)INT64_MAX - 1, "it", &why), VF_E_LIMIT);
    assert_int_equal(vf_fd_pwrite(fd, out, 1, UINT64_MAX, "it", &why), VF_E_LIMIT);
}

static void test_transfers_go_on_after_short_ones(void **state)
{
    struct place *p = *state;
    char out[1001] = {0};
    char in[1001];
    VF_FD fd = open(p->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    memset(in, 'x', sizeof(in));
    in[1000] = 'z';
    for (size_t bytes = 1; bytes < 1001; bytes += 111) {
        assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
        faults_arm_short(FAULT_WRITE, 1, bytes);
        enum vf_err err = vf_fd_write(fd, in, sizeof(in), "it", NULL);
        assert_true(faults_disarm());
        assert_int_equal(err, VF_OK);
        faults_arm_short(FAULT_WRITE, 1, bytes);
        err = vf_fd_pwrite(fd, in, sizeof(in), 5000, "it", NULL);
        assert_true(faults_disarm());
        assert_int_equal(err, VF_OK);
        assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
        faults_arm_short(FAULT_READ, 1, bytes);
        err = vf_fd_read(fd, out, sizeof(out), "it", NULL);
        assert_true(faults_disarm());
        assert_int_equal(err, VF_OK);
        assert_memory_equal(in, out, sizeof(in));
        memset(out, 0, sizeof(out));
        faults_arm_short(FAULT_READ, 1, bytes);
        err = vf_fd_pread(fd, out, sizeof(out), 5000, "it", NULL);
        assert_true(faults_disarm());
        assert_int_equal(err, VF_OK);
        assert_memory_equal(in, out, sizeof(in));
    }
}

static void test_transfers_and_eintr(void **state)
{
    struct place *p = *state;
    char out[3] = {0};
    VF_FD fd = open(p->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    faults_arm(FAULT_WRITE, 1, EINTR);
    enum vf_err err = vf_fd_write(fd, "ab", 2, "it", NULL);
    assert_true(faults_disarm());
    assert_int_equal(err, VF_OK);
    faults_arm(FAULT_WRITE, 1, EINTR);
    err = vf_fd_pwrite(fd, "c", 1, 2, "it", NULL);
    assert_true(faults_disarm());
    assert_int_equal(err, VF_OK);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    faults_arm(FAULT_READ, 1, EINTR);
    err = vf_fd_read(fd, out, 3, "it", NULL);
    assert_true(faults_disarm());
    assert_int_equal(err, VF_OK);
    assert_memory_equal(out, "abc", 3);
    faults_arm(FAULT_READ, 1, EINTR);
    err = vf_fd_pread(fd, out, 1, 2, "it", NULL);
    assert_true(faults_disarm());
    assert_int_equal(err, VF_OK);
    assert_int_equal(out[0], 'c');
}

static void test_transfer_errors(void **state)
{
    struct place *p = *state;
    struct vf_why why = {0};
    char out[4];
    VF_FD fd = open(p->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    faults_arm(FAULT_WRITE, 1, ENOSPC);
    enum vf_err err = vf_fd_write(fd, "ab", 2, "it", &why);
    assert_true(faults_disarm());
    assert_int_equal(err, VF_E_DISK_FULL);
    assert_string_equal(why.text, "it: cannot write: No space left on device");
    assert_int_equal(why.sys_errno, ENOSPC);
    faults_arm(FAULT_WRITE, 1, EDQUOT);
    err = vf_fd_pwrite(fd, "ab", 2, 0, "it", &why);
    assert_true(faults_disarm());
    assert_int_equal(err, VF_E_DISK_FULL);
    /* A sync that failed is not tried again: the second would lie. */
    faults_arm(FAULT_SYNC, 1, EINTR);
    err = vf_fd_sync(fd, "it", &why);
    assert_true(faults_disarm());
    assert_int_equal(err, VF_E_SYSTEM);
    faults_arm(FAULT_SYNC, 1, ENOSPC);
    err = vf_fd_sync(fd, "it", NULL);
    assert_true(faults_disarm());
    assert_int_equal(err, VF_E_DISK_FULL);
    assert_int_equal(vf_fd_read(-1, out, 4, "it", &why), VF_E_SYSTEM);
    assert_int_equal(why.sys_errno, EBADF);
    assert_int_equal(vf_fd_pread(-1, out, 4, 0, "it", &why), VF_E_SYSTEM);
    assert_int_equal(vf_fd_sync(-1, "it", &why), VF_E_SYSTEM);
}

/* ----------------------------------------------------------------------------------------------------------- whole files */

static void test_file_open(void **state)
{
    struct place *p = *state;
    struct vf_why why = {0};
    VF_FD fd = -1;
    uint64_t size = 99;

    assert_int_equal(vf_file_open(p->path, &fd, &size, &why), VF_E_NOT_FOUND);
    assert_int_equal(fd, -1);
    assert_true(size == 99);
    put(p->path, "12345", 5);
    assert_int_equal(vf_file_open(p->path, &fd, &size, &why), VF_OK);
    assert_true(size == 5);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    assert_int_equal(fcntl(fd, F_GETFL) & (O_NONBLOCK | O_ACCMODE), 0);
    vf_fd_close(&fd);
    assert_int_equal(vf_file_open(p->path, &fd, NULL, NULL), VF_OK);
}

static void test_only_regular_files(void **state)
{
    struct place *p = *state;
    struct vf_why why = {0};
    char name[300];
    struct vf_buf b;
    int fd = -1;
    unsigned fds = open_fds();

    /* A FIFO without a writer would block for ever. */
    scratch_path(&p->dir, "fifo", name, sizeof(name));
    assert_int_equal(mkfifo(name, 0600), 0);
    assert_int_equal(vf_file_open(name, &fd, NULL, &why), VF_E_INPUT);
    assert_non_null(strstr(why.text, "not a regular file"));
    assert_int_equal(vf_file_read(name, 10, &b, &why), VF_E_INPUT);
    assert_int_equal(vf_file_open(p->dir.path, &fd, NULL, &why), VF_E_INPUT);
    assert_int_equal(vf_file_open("/dev/null", &fd, NULL, &why), VF_E_INPUT);
    scratch_path(&p->dir, "socket", name, sizeof(name));
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    assert_true(strlen(name) < sizeof(addr.sun_path));
    memcpy(addr.sun_path, name, strlen(name) + 1);
    int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(sock, (struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(vf_file_open(name, &fd, NULL, &why), VF_E_SYSTEM);
    vf_fd_close(&sock);
    assert_int_equal(fd, -1);
    assert_int_equal(open_fds(), fds);
    /* A link to a regular file is one. */
    put(p->path, "x", 1);
    scratch_path(&p->dir, "link", name, sizeof(name));
    assert_int_equal(symlink("file", name), 0);
    assert_int_equal(vf_file_open(name, &fd, NULL, &why), VF_OK);
    vf_fd_close(&fd);
}

static void test_file_read_sizes(void **state)
{
    struct place *p = *state;
    static const size_t sizes[] = {0, 1, 63, 64, 65, 4095, 4096, 4097, 100000};
    uint8_t *content = malloc(100000);

    assert_non_null(content);
    for (size_t i = 0; i < 100000; i++)
        content[i] = (uint8_t)(i * 7);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        size_t len = sizes[i];
        struct vf_why why = {0};
        put(p->path, content, len);
        /* Exactly the maximum, more, and one less. */
        for (size_t max = len; max <= len + 1; max++) {
            struct vf_buf b;
            assert_int_equal(vf_file_read(p->path, max, &b, &why), VF_OK);
            assert_int_equal(b.len, len);
            assert_int_equal(b.max, max);
            assert_memory_equal(b.data, content, len);
            assert_non_null(vf_buf_cstr(&b));
            vf_buf_done(&b);
        }
        if (len > 0) {
            struct vf_buf b;
            assert_int_equal(vf_file_read(p->path, len - 1, &b, &why), VF_E_LIMIT);
            assert_null(b.data);
            assert_int_equal(b.len, 0);
            assert_non_null(strstr(why.text, p->path));
        }
    }
    free(content);
}

/* The kernel says size 0 for these, and there is more. */
static void test_file_read_of_unknown_size(void **state)
{
    struct vf_buf b;

    (void)state;
    assert_int_equal(vf_file_read("/proc/self/status", 1 << 20, &b, NULL), VF_OK);
    assert_true(b.len > 100);
    vf_buf_done(&b);
    assert_int_equal(vf_file_read("/proc/self/status", 100, &b, NULL), VF_E_LIMIT);
    vf_buf_done(&b);
}

static void test_file_read_faults(void **state)
{
    struct place *p = *state;
    char content[5000];
    unsigned fds = open_fds();

    memset(content, 'c', sizeof(content));
    put(p->path, content, sizeof(content));
    for (unsigned n = 1;; n++) {
        struct vf_buf b;
        faults_arm(FAULT_READ, n, EIO);
        enum vf_err err = vf_file_read(p->path, 10000, &b, NULL);
        bool met = faults_disarm();
        assert_int_equal(err, met ? VF_E_SYSTEM : VF_OK);
        assert_int_equal(b.len, met ? 0 : sizeof(content));
        vf_buf_done(&b);
        if (!met)
            break;
    }
    for (unsigned n = 1;; n++) {
        struct vf_buf b;
        faults_arm(FAULT_MEMORY, n, ENOMEM);
        enum vf_err err = vf_file_read(p->path, 10000, &b, NULL);
        bool met = faults_disarm();
        assert_int_equal(err, met ? VF_E_NOMEM : VF_OK);
        vf_buf_done(&b);
        if (!met)
            break;
    }
    for (unsigned n = 1; n < 4; n++) {
        struct vf_buf b;
        faults_arm_short(FAULT_READ, n, 7);
        enum vf_err err = vf_file_read(p->path, 5000, &b, NULL);
        (void)faults_disarm();
        assert_int_equal(err, VF_OK);
        assert_memory_equal(b.data, content, sizeof(content));
        vf_buf_done(&b);
    }
    assert_int_equal(open_fds(), fds);
}

static void test_file_read_wipes_on_failure(void **state)
{
    struct place *p = *state;
    static const char secret[] = "passphrase of somebody";
    struct vf_buf b;

    put(p->path, secret, sizeof(secret));
    faults_watch_free(secret, sizeof(secret) - 1);
    faults_arm(FAULT_READ, 2, EIO);
    enum vf_err err = vf_file_read(p->path, 10000, &b, NULL);
    assert_true(faults_disarm());
    assert_int_equal(err, VF_E_SYSTEM);
    assert_int_equal(vf_file_read(p->path, 10000, &b, NULL), VF_OK);
    vf_buf_done(&b);
    assert_int_equal(faults_unwiped(), 0);
}

/* --------------------------------------------------------------------------------------------------------------- folders */

static void test_dir_make(void **state)
{
    struct place *p = *state;
    struct vf_why why = {0};
    struct stat st;
    char name[300];

    mode_t mask = umask(0);
    scratch_path(&p->dir, "a", name, sizeof(name));
    assert_int_equal(vf_dir_make(name, &why), VF_OK);
    umask(mask);
    assert_int_equal(stat(name, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_int_equal(vf_dir_make(name, &why), VF_E_EXISTS);
    scratch_path(&p->dir, "a/b/", name, sizeof(name));
    assert_int_equal(vf_dir_make(name, &why), VF_OK);
    scratch_path(&p->dir, "x/y", name, sizeof(name));
    assert_int_equal(vf_dir_make(name, &why), VF_E_NOT_FOUND);
    put(p->path, "x", 1);
    assert_int_equal(vf_dir_make(p->path, &why), VF_E_EXISTS);
    assert_int_equal(symlink("nowhere", scratch_path(&p->dir, "dangling", name, sizeof(name))), 0);
    assert_int_equal(vf_dir_make(name, &why), VF_E_EXISTS);

    scratch_path(&p->dir, "c", name, sizeof(name));
    faults_arm(FAULT_SYNC, 1, EIO);
    enum vf_err err = vf_dir_make(name, &why);
    assert_true(faults_disarm());
    assert_int_equal(err, VF_E_SYSTEM);
}

static void test_dir_sync(void **state)
{
    struct place *p = *state;

    assert_int_equal(vf_dir_sync(p->dir.path, NULL), VF_OK);
    assert_int_equal(vf_dir_sync(p->path, NULL), VF_E_NOT_FOUND);
    put(p->path, "x", 1);
    assert_int_equal(vf_dir_sync(p->path, NULL), VF_E_NOT_FOUND);
    faults_arm(FAULT_SYNC, 1, EINVAL);
    enum vf_err err = vf_dir_sync(p->dir.path, NULL);
    assert_true(faults_disarm());
    assert_int_equal(err, VF_OK);
    faults_arm(FAULT_SYNC, 1, EIO);
    err = vf_dir_sync(p->dir.path, NULL);
    assert_true(faults_disarm());
    assert_int_equal(err, VF_E_SYSTEM);
}

/* The kernel's answer, or the one that a test puts in its place. */
static long fake_magic;

int __real_fstatfs(int fd, struct statfs *fs);
int __wrap_fstatfs(int fd, struct statfs *fs);
int __wrap_fstatfs64(int fd, struct statfs *fs);

int __wrap_fstatfs(int fd, struct statfs *fs)
{
    int rc = __real_fstatfs(fd, fs);

    if (rc == 0 && fake_magic != 0)
        fs->f_type = fake_magic;
    return rc;
}

int __wrap_fstatfs64(int fd, struct statfs *fs)
{
    return __wrap_fstatfs(fd, fs);
}

static enum vf_err local_as(const char *path, long magic)
{
    struct vf_why why = {0};

    fake_magic = magic;
    enum vf_err err = vf_dir_local(path, &why);
    fake_magic = 0;
    assert_int_equal(why.err, err);
    return err;
}

static void test_dir_local(void **state)
{
    struct place *p = *state;
    /* Numbers of linux/magic.h and of statfs(2), typed anew here. */
    static const long remote[] = {0x6969,     0x517b,     0xff534d42, 0xfe534d42, 0x01021997,
                                  0x00c36400, 0x5346414f, 0x73757245, 0x7461636f};
    static const long local[] = {0xef53, 0x58465342, 0x9123683e, 0x01021994, 0x794c7630, 0xf2f52010, 0x2fc12fc1};
    struct stat st;

    assert_int_equal(local_as(p->dir.path, 0), VF_OK);
    for (size_t i = 0; i < sizeof(remote) / sizeof(remote[0]); i++)
        assert_int_equal(local_as(p->dir.path, remote[i]), VF_E_UNSUPPORTED);
    for (size_t i = 0; i < sizeof(local) / sizeof(local[0]); i++)
        assert_int_equal(local_as(p->dir.path, local[i]), VF_OK);
    /* FUSE: /proc has no block device under it; what the scratch folder has depends on the machine. */
    assert_int_equal(local_as("/proc", 0x65735546), VF_E_UNSUPPORTED);
    assert_int_equal(stat(p->dir.path, &st), 0);
    assert_int_equal(local_as(p->dir.path, 0x65735546), major(st.st_dev) == 0 ? VF_E_UNSUPPORTED : VF_OK);

    assert_int_equal(vf_dir_local(p->path, NULL), VF_E_NOT_FOUND);
    put(p->path, "x", 1);
    assert_int_equal(vf_dir_local(p->path, NULL), VF_E_NOT_FOUND);
}

static void join(const char *dir, const char *name, const char *expect)
{
    VF_FREE char *got = vf_path_join(dir, name);

    assert_string_equal(got, expect);
}

static void parent(const char *path, const char *expect)
{
    VF_FREE char *got = vf_path_parent(path);

    assert_string_equal(got, expect);
}

static void test_paths(void **state)
{
    (void)state;
    join("a", "b", "a/b");
    join("a/", "b", "a/b");
    join("/", "b", "/b");
    join("", "b", "b");
    join(".", "", "./");
    parent("a", ".");
    parent("", ".");
    parent("a/b", "a");
    parent("a/b/", "a");
    parent("a//b//", "a");
    parent("/a", "/");
    parent("//a", "/");
    parent("/", "/");
    parent("///", "/");
    parent("a/", ".");
    parent("../b", "..");
    faults_arm(FAULT_MEMORY, 1, ENOMEM);
    char *got = vf_path_join("a", "b");
    assert_true(faults_disarm());
    assert_null(got);
    faults_arm(FAULT_MEMORY, 1, ENOMEM);
    got = vf_path_parent("a/b");
    assert_true(faults_disarm());
    assert_null(got);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_cleanup_helpers),
        TEST(test_read_write),
        TEST(test_transfers_go_on_after_short_ones),
        TEST(test_transfers_and_eintr),
        TEST(test_transfer_errors),
        TEST(test_file_open),
        TEST(test_only_regular_files),
        TEST(test_file_read_sizes),
        TEST(test_file_read_of_unknown_size),
        TEST(test_file_read_faults),
        TEST(test_file_read_wipes_on_failure),
        TEST(test_dir_make),
        TEST(test_dir_sync),
        TEST(test_dir_local),
        TEST(test_paths),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
