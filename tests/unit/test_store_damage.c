/* SPDX-License-Identifier: MIT */
/*
 * A damaged database: vf_store_walk and vf_store_open say so and nobody dies. And what passes the walk can be opened, read and
 * written by LMDB in this very process: were it not so, this program would end by a signal.
 */
#include "../../vaultfs/store/image_disk.h"
#include "test_store_common.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct damage {
    struct place place;
    char path[300];
    uint8_t *good;
    size_t size;
    struct vf_image img;
};

/* Two levels of pages, long values, values that fill a page, and free pages in several lists. */
static enum vf_err small_body(struct vf_txn *txn, void *user, struct vf_why *reason)
{
    const unsigned *round = user;
    static const size_t lens[] = {10, 300, 900, 1500, 2040, 5000, 9000};

    (void)reason;
    for (uint32_t i = 0; i < 12; i++) {
        uint8_t key[64] = {0};
        size_t len = lens[i % 7];
        vf_put_be32(key, i);
        uint8_t *at = vf_txn_reserve(txn, T_VALUES, key, 4 + i * 5, len);
        if (at != NULL)
            pattern(at, len, i + *round);
        vf_txn_put(txn, T_ROWS, key, 4, "row", 3);
    }
    return VF_OK;
}

static void read_good(struct damage *d)
{
    struct vf_buf b;

    assert_ok(vf_file_read(d->path, 1 << 24, &b, &why));
    free(d->good);
    d->good = malloc(b.len);
    assert_non_null(d->good);
    memcpy(d->good, b.data, b.len);
    d->size = b.len;
    vf_buf_done(&b);
    VF_FD fd = open(d->path, O_RDONLY | O_CLOEXEC);
    assert_ok(vf_image_newest(fd, WHAT, &d->img, &why));
    d->img.fd = -1;
}

static int setup(void **state)
{
    struct damage *d = calloc(1, sizeof(*d));

    if (d == NULL)
        return -1;
    /* Thousands of commits, and none is about the disk. */
    if (access("/dev/shm", W_OK) == 0)
        (void)setenv("TMPDIR", "/dev/shm", 0);
    scratch_make(&d->place.dir);
    scratch_path(&d->place.dir, "data.mdb", d->path, sizeof(d->path));
    VF_STORE s = store_must_open(d->place.dir.path, VF_STORE_WRITE);
    for (unsigned round = 0; round < 2; round++)
        assert_ok(vf_store_update(s, small_body, &round, &why));
    vf_store_close(s);
    s = NULL;
    read_good(d);
    *state = d;
    return 0;
}

static int teardown(void **state)
{
    struct damage *d = *state;

    scratch_remove(&d->place.dir);
    free(d->good);
    free(d);
    return 0;
}

/* The good file cut to `size`, with `len` bytes at `at` replaced. */
static void make_bad(const struct damage *d, size_t size, size_t at, const void *bytes, size_t len)
{
    VF_FD fd = open(d->path, O_WRONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_ok(vf_fd_pwrite(fd, d->good, d->size, 0, "file", &why));
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    if (len > 0)
        assert_ok(vf_fd_pwrite(fd, bytes, len, at, "file", &why));
}

static bool sum_each(struct vf_cursor *cur, struct vf_slice key, struct vf_slice val, void *user)
{
    uint64_t *sum = user;

    (void)cur;
    for (size_t i = 0; i < key.len; i++)
        *sum += key.data[i];
    for (size_t i = 0; i < val.len; i++)
        *sum += val.data[i];
    return true;
}

static bool drop_each(struct vf_cursor *cur, struct vf_slice key, struct vf_slice val, void *user)
{
    unsigned *n = user;

    (void)key;
    (void)val;
    if ((*n)++ % 2 == 0)
        vf_txn_del_current(cur);
    return true;
}

/* All that a user of the store may do: read, overwrite, delete, grow. */
static enum vf_err use_body(struct vf_txn *txn, void *user, struct vf_why *reason)
{
    uint64_t sum = 0;
    unsigned n = 0;
    unsigned round = 9;

    (void)user;
    for (unsigned t = 0; t < TABLES; t++)
        vf_txn_foreach(txn, t, NULL, 0, sum_each, &sum);
    VF_TRY(small_body(txn, &round, reason));
    vf_txn_foreach(txn, T_VALUES, NULL, 0, drop_each, &n);
    round = 10;
    VF_TRY(small_body(txn, &round, reason));
    vf_txn_clear(txn, T_ROWS);
    return small_body(txn, &round, reason);
}

/* VF_OK or not, nobody dies. What the walk lets pass must open, take changes and still be whole. */
static enum vf_err try_it(const struct damage *d)
{
    const char *dir = d->place.dir.path;
    struct vf_store *s = NULL;
    enum vf_err walked = store_walk_at(dir);

    if (walked != VF_OK && why.text[0] == '\0')
        fail_msg("no reason");
    enum vf_err opened = store_open_at(dir, VF_STORE_WRITE, &s);
    if (walked == VF_OK) {
        assert_int_equal(opened, VF_OK);
        assert_ok(vf_store_update(s, use_body, NULL, &why));
        vf_store_close(s);
        assert_ok(store_walk_at(dir));
    } else {
        vf_store_close(s);
    }
    return walked;
}

/* What the meta pages hold, and the heads and first pointers and nodes of the others. */
static bool is_structure(const struct damage *d, size_t at)
{
    size_t pgno = at / d->img.page_size;
    const uint8_t *page = d->good + pgno * d->img.page_size;
    struct disk_page head;
    uint16_t node = 0;

    memcpy(&head, page, sizeof(head));
    at %= d->img.page_size;
    if (pgno < METAS)
        return at < 160;
    if (head.pgno != pgno || head.flags == 0 || head.flags > PAGE_OVERFLOW)
        return false;
    memcpy(&node, page + HEAD, sizeof(node));
    return at < 24 || (head.flags != PAGE_OVERFLOW && at >= node && at < node + (size_t)24);
}

static void test_every_structure_byte(void **state)
{
    const struct damage *d = *state;
    unsigned count[VF_ERR_COUNT_] = {0};
    uint64_t rng = 7;

    for (size_t at = 0; at < d->size; at++) {
        if (!is_structure(d, at) && mix(&rng) % 211 != 0)
            continue;
        uint8_t byte = (uint8_t)(d->good[at] ^ (1u << (mix(&rng) % 8)));
        make_bad(d, d->size, at, &byte, 1);
        enum vf_err err = try_it(d);
        count[err]++;
        if (err != VF_OK && err != VF_E_DAMAGED && err != VF_E_VERSION)
            fail_msg("byte %zu: %s: %s", at, vf_err_text(err), why.text);
    }
    print_message("of %zu bytes: %u damaged, %u harmless\n", d->size, count[VF_E_DAMAGED], count[VF_OK]);
    /* Both kinds were met: bytes that matter, and values and leftovers that do not. */
    assert_true(count[VF_OK] > 300);
    assert_true(count[VF_E_DAMAGED] > 400);
    assert_int_equal(count[VF_E_VERSION], 8);
    make_bad(d, d->size, 0, NULL, 0);
    assert_ok(try_it(d));
}

/* Whole words: page numbers, counts, lengths that point elsewhere, among them the largest there are. */
static void test_words(void **state)
{
    const struct damage *d = *state;
    uint64_t rng = 8;

    for (unsigned i = 0; i < 300; i++) {
        static const uint64_t words[] = {0, 1, 2, 3, 7, UINT64_MAX, UINT64_MAX / 2, UINT32_MAX, INT32_MAX, UINT16_MAX};
        uint64_t word = i % 3 == 0 ? mix(&rng) % (d->size / d->img.page_size + 3) : words[mix(&rng) % 10];
        size_t len = (size_t)1 << (1 + mix(&rng) % 3);
        size_t at = mix(&rng) % d->size / len * len;
        if (mix(&rng) % 2 == 0)
            at = at / d->img.page_size * d->img.page_size + (at % 64) / len * len;
        make_bad(d, d->size, at, &word, len);
        (void)try_it(d);
    }
}

static void test_cut_short(void **state)
{
    const struct damage *d = *state;
    struct vf_store *s = NULL;

    for (size_t size = 0; size < d->size; size += (size % d->img.page_size == 0 ? 1 : 1023)) {
        make_bad(d, size, 0, NULL, 0);
        enum vf_err err = try_it(d);
        assert_int_equal(err, size == 0 ? VF_E_NOT_FOUND : VF_E_DAMAGED);
        if (size == 0)
            continue;
        assert_int_equal(store_open_at(d->place.dir.path, VF_STORE_READ, &s), VF_E_DAMAGED);
        assert_null(s);
    }
}

/* A page in use listed as free would be handed out and overwritten. Every wrong entry is found. */
static void test_free_list(void **state)
{
    const struct damage *d = *state;
    size_t page_size = d->img.page_size;
    const uint8_t *page = d->good + d->img.free.root * page_size;
    struct vf_store *s = NULL;
    uint16_t node = 0;
    size_t entry[2];
    size_t tried = 0;
    size_t refused = 0;

    assert_int_equal(d->img.free.depth, 1);
    memcpy(&node, page + HEAD, sizeof(node));
    size_t at = d->img.free.root * page_size + node + NODE + sizeof(size_t);
    memcpy(entry, d->good + at, sizeof(entry));
    assert_true(entry[0] >= 1);
    size_t next = 1;
    if (entry[0] > 1)
        memcpy(&next, d->good + at + 2 * sizeof(size_t), sizeof(next));
    for (size_t pgno = next + 1; pgno <= d->img.last + 1; pgno++) {
        if (pgno == entry[1])
            continue;
        make_bad(d, d->size, at + sizeof(size_t), &pgno, sizeof(pgno));
        assert_int_equal(store_walk_at(d->place.dir.path), VF_E_DAMAGED);
        assert_non_null(strstr(why.text, "in use"));
        /* Opening looks at the list itself and at the list of tables. */
        enum vf_err err = store_open_at(d->place.dir.path, VF_STORE_WRITE, &s);
        bool core = pgno > d->img.last || pgno == d->img.main.root || pgno == d->img.free.root;
        assert_true(core ? err == VF_E_DAMAGED : err == VF_OK || err == VF_E_DAMAGED);
        refused += core;
        vf_store_close(s);
        s = NULL;
        tried++;
    }
    assert_true(tried > 3 && refused > 0);
}

/* The newest meta page lost: LMDB would show the state before, silently. */
static void test_lost_meta(void **state)
{
    const struct damage *d = *state;
    size_t newest = d->img.txnid % 2;
    size_t at = newest * d->img.page_size + HEAD + offsetof(struct disk_meta, txnid);
    size_t older = d->img.txnid - 2;
    uint8_t zero[160] = {0};

    make_bad(d, d->size, at, &older, sizeof(older));
    /* One less than the other page's, and so its predecessor: this cannot be told from a state of the past... */
    assert_int_equal(d->img.txnid - 1 - older, 1);
    (void)try_it(d);
    older = d->img.txnid - 4;
    make_bad(d, d->size, at, &older, sizeof(older));
    assert_int_equal(try_it(d), VF_E_DAMAGED);
    assert_non_null(strstr(why.text, "transaction numbers"));
    make_bad(d, d->size, newest * d->img.page_size, zero, sizeof(zero));
    assert_int_equal(try_it(d), VF_E_DAMAGED);
    make_bad(d, d->size, d->img.page_size * (1 - newest), zero, sizeof(zero));
    assert_int_equal(try_it(d), VF_E_DAMAGED);
}

/* Pages that were never written, because they were freed again, may be missing at the end. That is no damage. */
static enum vf_err loose_body(struct vf_txn *txn, void *user, struct vf_why *reason)
{
    (void)user;
    (void)reason;
    (void)vf_txn_reserve(txn, T_VALUES, "big", 3, 3000000);
    vf_txn_put(txn, T_ROWS, "after", 5, "x", 1);
    (void)vf_txn_reserve(txn, T_VALUES, "large", 5, 50000);
    (void)vf_txn_reserve(txn, T_VALUES, "bigger", 6, 2000000);
    (void)vf_txn_del(txn, T_VALUES, "big", 3);
    (void)vf_txn_del(txn, T_VALUES, "bigger", 6);
    return VF_OK;
}

static void test_honest_short_file(void **state)
{
    struct damage *d = *state;
    VF_STORE s = store_must_open(d->place.dir.path, VF_STORE_WRITE);

    assert_ok(vf_store_update(s, loose_body, NULL, &why));
    vf_store_close(s);
    s = NULL;
    read_good(d);
    if (d->img.last < d->img.file_pages)
        fail_msg("LMDB wrote all %zu pages: this test tests nothing", d->img.last + 1);
    assert_ok(try_it(d));
    /* But not one page more may be missing. */
    make_bad(d, (d->img.file_pages - 1) * d->img.page_size, 0, NULL, 0);
    assert_int_equal(try_it(d), VF_E_DAMAGED);
}

static void test_not_a_database(void **state)
{
    const struct damage *d = *state;
    struct vf_store *s = NULL;
    static uint8_t noise[40000];
    static const char text[] = "ref,name_on_card\nABCDEFGH,Example\n";

    pattern(noise, sizeof(noise), 1);
    make_bad(d, 0, 0, noise, sizeof(noise));
    assert_int_equal(try_it(d), VF_E_DAMAGED);
    make_bad(d, 0, 0, text, sizeof(text));
    assert_int_equal(try_it(d), VF_E_DAMAGED);
    assert_int_equal(store_open_at(d->place.dir.path, VF_STORE_READ, &s), VF_E_DAMAGED);
    assert_non_null(strstr(why.text, WHAT));
    /* The lock file is made anew by whoever comes first. */
    make_bad(d, d->size, 0, NULL, 0);
    char path[300];
    assert_ok(
        vf_file_write(scratch_path(&d->place.dir, "lock.mdb", path, sizeof(path)), noise, sizeof(noise), 0600, true, &why));
    assert_ok(try_it(d));
    assert_ok(vf_file_write(path, noise, 10, 0600, true, &why));
    assert_ok(try_it(d));
}

/* Whoever ignores SIGCHLD gets no exit status; the verdict is the same. */
static void test_without_exit_status(void **state)
{
    const struct damage *d = *state;
    uint8_t byte = (uint8_t)(d->good[d->img.main.root * d->img.page_size + 10] ^ 1u);

    (void)signal(SIGCHLD, SIG_IGN);
    assert_ok(store_walk_at(d->place.dir.path));
    make_bad(d, d->size, d->img.main.root * d->img.page_size + 10, &byte, 1);
    assert_int_equal(store_walk_at(d->place.dir.path), VF_E_DAMAGED);
    (void)signal(SIGCHLD, SIG_DFL);
}

static void test_time_limit(void **state)
{
    const struct damage *d = *state;
    char lock[300];
    int ready[2];
    int status = 0;
    char c = 0;

    scratch_path(&d->place.dir, "lock.mdb", lock, sizeof(lock));
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        /* Somebody holds LMDB's lock alone and does nothing. */
        struct flock all = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
        int fd = open(lock, O_RDWR | O_CLOEXEC);
        if (fd < 0 || fcntl(fd, F_SETLK, &all) != 0)
            _exit(1);
        if (vf_fd_write(ready[1], "x", 1, "pipe", NULL) != VF_OK)
            _exit(1);
        (void)alarm(30);
        (void)pause();
        _exit(2);
    }
    assert_ok(vf_fd_read(ready[0], &c, 1, "pipe", &why));
    enum vf_err err = vf_store_walk(d->place.dir.path, store_tables, TABLES, 1, WHAT, &why);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    (void)close(ready[0]);
    (void)close(ready[1]);
    assert_int_equal(err, VF_E_LIMIT);
    assert_string_equal(why.text, WHAT ": checking the database took longer than 1 seconds");
    assert_ok(store_walk_at(d->place.dir.path));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_every_structure_byte, setup, teardown),
        cmocka_unit_test_setup_teardown(test_words, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cut_short, setup, teardown),
        cmocka_unit_test_setup_teardown(test_free_list, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lost_meta, setup, teardown),
        cmocka_unit_test_setup_teardown(test_honest_short_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_not_a_database, setup, teardown),
        cmocka_unit_test_setup_teardown(test_without_exit_status, setup, teardown),
        cmocka_unit_test_setup_teardown(test_time_limit, setup, teardown),
    };

    return cmocka_run_group_tests_name("store_damage", tests, NULL, NULL);
}
