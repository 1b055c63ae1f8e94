/* SPDX-License-Identifier: MIT */
#include "crypto_test.h"

#include "faults.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#define PAGE    4096
#define GRANULE 64
#define SMALL   (16 * 4096)

/* Reads memory that a sanitizer holds for freed: the tests look at what was left there. */
__attribute__((no_sanitize("address"))) static bool left_zero(const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (p[i] != 0)
            return false;
    return true;
}

static int with_small(void **state)
{
    (void)state;
    return vf_crypto_init(SMALL, NULL) == VF_OK ? 0 : -1;
}

static void init_twice_is_busy(void **state)
{
    struct vf_why why = {0};

    (void)state;
    assert_int_equal(vf_crypto_init(SMALL, &why), VF_E_BUSY);
    assert_int_equal(why.err, VF_E_BUSY);
    vf_crypto_done();
    vf_crypto_done();
    assert_null(vf_secret_new(1));
    OK(vf_crypto_init(SMALL, &why));
}

static void no_arena_for_programs_without_secrets(void **state)
{
    (void)state;
    vf_crypto_done();
    OK(vf_crypto_init(0, NULL));
    assert_null(vf_secret_new(1));
    vf_secret_free(NULL);
    assert_int_equal(vf_crypto_init(SMALL, NULL), VF_E_BUSY);
    vf_crypto_done();
    OK(vf_crypto_init(SMALL, NULL));
}

static void absurd_sizes_are_refused(void **state)
{
    (void)state;
    assert_null(vf_secret_new(SMALL + 1));
    assert_null(vf_secret_new(SIZE_MAX));
    vf_crypto_done();
    assert_int_equal(vf_crypto_init(SIZE_MAX, NULL), VF_E_LIMIT);
    assert_int_equal(vf_crypto_init(SIZE_MAX - 2 * PAGE, NULL), VF_E_LIMIT);
    assert_null(vf_secret_new(1));
    OK(vf_crypto_init(1, NULL)); /* rounded up to a page */
    void *p = vf_secret_new(PAGE);
    assert_non_null(p);
    vf_secret_free(p);
    vf_crypto_done();
    OK(vf_crypto_init(SMALL, NULL));
}

static void memory_is_aligned_zero_and_wiped(void **state)
{
    static const size_t sizes[] = {0, 1, 31, 32, 63, 64, 65, 127, 128, 4095, 4096, 4097, 20000};

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        uint8_t *p = vf_secret_new(sizes[i]);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % GRANULE, 0);
        assert_true(is_zero(p, sizes[i]));
        memset(p, 0xa5, sizes[i]);
        vf_secret_free(p);
        assert_true(left_zero(p, (sizes[i] + GRANULE - 1) / GRANULE * GRANULE));
    }
}

static void a_full_arena_gives_null_and_is_used_again(void **state)
{
    uint8_t *all[SMALL / GRANULE];

    (void)state;
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < SMALL / GRANULE; i++) {
            all[i] = vf_secret_new(33);
            assert_non_null(all[i]);
            memset(all[i], 0xff, 33);
        }
        assert_null(vf_secret_new(1));
        /* A hole of three granules takes three, not four. */
        for (size_t i = 100; i < 103; i++)
            vf_secret_free(all[i]);
        assert_null(vf_secret_new(3 * GRANULE + 1));
        uint8_t *hole = vf_secret_new(3 * GRANULE);
        assert_ptr_equal(hole, all[100]);
        assert_true(is_zero(hole, 3 * GRANULE));
        vf_secret_free(hole);
        for (size_t i = 0; i < SMALL / GRANULE; i++)
            if (i < 100 || i >= 103)
                vf_secret_free(all[i]);
    }
    void *whole = vf_secret_new(SMALL);
    assert_non_null(whole);
    vf_secret_free(whole);
}

/* Against a plain list: nothing overlaps, everything keeps its content, and what fits first-fit must fit. */
static void random_use_keeps_allocations_apart(void **state)
{
    struct {
        uint8_t *p;
        size_t len;
        uint8_t fill;
    } live[64] = {{0}};
    uint32_t seed = 12345;

    (void)state;
    for (unsigned i = 0; i < 20000; i++) {
        seed = seed * 1664525 + 1013904223;
        size_t k = (seed >> 8) % 64;
        if (live[k].p != NULL) {
            for (size_t b = 0; b < live[k].len; b++)
                assert_int_equal(live[k].p[b], live[k].fill);
            vf_secret_free(live[k].p);
            live[k].p = NULL;
            continue;
        }
        live[k].len = 1 + (seed >> 14) % ((seed & 1) != 0 ? 200 : 3000);
        live[k].fill = (uint8_t)(i | 1);
        live[k].p = vf_secret_new(live[k].len);
        if (live[k].p != NULL) {
            assert_true(is_zero(live[k].p, live[k].len));
            memset(live[k].p, live[k].fill, live[k].len);
        }
    }
    for (size_t k = 0; k < 64; k++)
        vf_secret_free(live[k].p);
    void *whole = vf_secret_new(SMALL);
    assert_non_null(whole);
    vf_secret_free(whole);
}

static void cleanup_frees_and_forgets(void **state)
{
    uint8_t *kept = NULL;

    (void)state;
    {
        VF_SECRET struct vf_passphrase *pass = vf_secret_new(sizeof(*pass));
        assert_non_null(pass);
        memcpy(pass->text, "correct horse", 13);
        kept = (uint8_t *)pass;
    }
    assert_true(left_zero(kept, sizeof(struct vf_passphrase)));
    void *again = vf_secret_new(sizeof(struct vf_passphrase));
    assert_ptr_equal(again, kept);
    vf_secret_cleanup(&again);
    assert_null(again);
    vf_secret_cleanup(&again);
}

static void done_wipes_what_was_not_freed(void **state)
{
    (void)state;
    /* What cannot be looked at any more (the mapping is gone) can be counted: all of it is free again. */
    assert_non_null(vf_secret_new(SMALL));
    vf_crypto_done();
    OK(vf_crypto_init(SMALL, NULL));
    uint8_t *p = vf_secret_new(SMALL);
    assert_non_null(p);
    assert_true(is_zero(p, SMALL));
    vf_secret_free(p);
}

/* ------------------------------------------------------------------------------------------------------- misuse ends it all */

static void assert_died(int status, int signal_wanted)
{
#ifdef TEST_ASAN
    assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    (void)signal_wanted;
#else
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), signal_wanted);
#endif
}

/* Children that are meant to crash: keep their complaints out of the report. */
static void quiet(void)
{
    (void)!freopen("/dev/null", "w", stderr);
}

static void free_twice(void *arg)
{
    (void)arg;
    quiet();
    vf_crypto_done();
    CHILD_CHECK(vf_crypto_init(SMALL, NULL) == VF_OK);
    void *p = vf_secret_new(100);
    vf_secret_free(p);
    vf_secret_free(p);
}

static void free_inside(void *arg)
{
    (void)arg;
    quiet();
    uint8_t *p = vf_secret_new(500);
    vf_secret_free(p + GRANULE);
}

static void free_foreign(void *arg)
{
    quiet();
    vf_secret_free(arg);
}

static void read_before(void *arg)
{
    const volatile uint8_t *p = arg;

    quiet();
    _exit(p[-1] & 0);
}

static void read_behind(void *arg)
{
    const volatile uint8_t *p = arg;

    quiet();
    _exit(p[SMALL] & 0);
}

static void misuse_ends_the_program(void **state)
{
    int on_stack = 0;
    uint8_t *whole = vf_secret_new(SMALL);

    (void)state;
    assert_non_null(whole);
    assert_died(in_child(read_before, whole), SIGSEGV);
    assert_died(in_child(read_behind, whole), SIGSEGV);
    assert_died(in_child(free_foreign, &on_stack), SIGABRT);
    assert_died(in_child(free_foreign, whole + 1), SIGABRT);
    assert_died(in_child(free_foreign, whole + SMALL), SIGABRT);
    assert_died(in_child(free_foreign, whole - GRANULE), SIGABRT);
    vf_secret_free(whole);
    assert_died(in_child(free_twice, NULL), SIGABRT);
    assert_died(in_child(free_inside, NULL), SIGABRT);
}

/* ------------------------------------------------------------------------------------------------- what the kernel was told */

/* The paragraph of /proc/self/smaps about the mapping that begins at `at`: the value of "Locked:" and the flags. */
static bool smaps_of(const void *at, unsigned long *ret_locked_kib, char *flags, size_t size)
{
    char line[512];
    bool inside = false;
    bool found = false;
    FILE *f = fopen("/proc/self/smaps", "re");

    assert_non_null(f);
    while (fgets(line, sizeof(line), f) != NULL) {
        unsigned long from = 0;
        unsigned long to = 0;
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            inside = from <= (uintptr_t)at && (uintptr_t)at < to;
        if (inside && sscanf(line, "Locked: %lu", ret_locked_kib) == 1)
            found = true;
        if (inside && strncmp(line, "VmFlags:", 8) == 0)
            (void)snprintf(flags, size, "%.*s", (int)size - 1, line + 8);
    }
    (void)fclose(f);
    return found;
}

static void the_arena_is_locked_and_in_no_dump(void **state)
{
    unsigned long kib = 0;
    char flags[256] = "";

    (void)state;
    void *p = vf_secret_new(SMALL);
    assert_non_null(p);
    memset(p, 0x5a, SMALL); /* a page is there, and locked, once it was touched */
    assert_true(smaps_of(p, &kib, flags, sizeof(flags)));
    assert_int_equal(kib, SMALL / 1024);
    assert_non_null(strstr(flags, " lo")); /* locked */
    assert_non_null(strstr(flags, " dd")); /* not in core dumps */
    assert_non_null(strstr(flags, " wf")); /* wiped on fork */
    vf_secret_free(p);
}

static void look_after_fork(void *arg)
{
    const uint8_t *secret = arg;

    CHILD_CHECK(left_zero(secret, 100));
    CHILD_CHECK(vf_secret_new(1) == NULL);
    vf_secret_free(arg); /* what the parent had may still be cleaned up */
    CHILD_CHECK(vf_crypto_init(SMALL, NULL) == VF_OK);
    uint8_t *own = vf_secret_new(SMALL);
    unsigned long kib = 0;
    char flags[256];
    CHILD_CHECK(own != NULL);
    memset(own, 0x5a, SMALL);
    CHILD_CHECK(smaps_of(own, &kib, flags, sizeof(flags)) && kib == SMALL / 1024);
    vf_secret_free(own);
    vf_crypto_done();
}

static void a_child_sees_nothing_and_starts_anew(void **state)
{
    uint8_t *p = vf_secret_new(100);

    (void)state;
    memset(p, 0x77, 100);
    assert_child_ok(look_after_fork, p);
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(p[i], 0x77);
    vf_secret_free(p);
}

static void as_nobody_with_64_kib(void *arg)
{
    struct rlimit limit = {65536, 65536};
    struct vf_why why = {0};

    (void)arg;
    CHILD_CHECK(setrlimit(RLIMIT_MEMLOCK, &limit) == 0);
    if (geteuid() == 0)
        CHILD_CHECK(setgid(65534) == 0 && setuid(65534) == 0);
    vf_crypto_done();
    CHILD_CHECK(vf_crypto_init(VF_ARENA_TOOL, &why) == VF_E_LOCKED_MEMORY);
    CHILD_CHECK(why.err == VF_E_LOCKED_MEMORY && why.sys_errno == ENOMEM);
    CHILD_CHECK(
        strstr(why.text, "RLIMIT_MEMLOCK is 64 KiB; vaultfs needs 1024 KiB: raise it with ulimit -l or LimitMEMLOCK=") !=
        NULL);
    CHILD_CHECK(vf_secret_new(1) == NULL);
    /* Nothing is left behind, and what fits still works. */
    CHILD_CHECK(vf_crypto_init(VF_ARENA_TOOL, &why) == VF_E_LOCKED_MEMORY);
    CHILD_CHECK(vf_crypto_init(32768, &why) == VF_OK);
    CHILD_CHECK(vf_secret_new(1) != NULL);
}

static void as_nobody_with_nothing(void *arg)
{
    struct rlimit limit = {0, 0};
    struct vf_why why = {0};

    (void)arg;
    CHILD_CHECK(setrlimit(RLIMIT_MEMLOCK, &limit) == 0);
    if (geteuid() == 0)
        CHILD_CHECK(setgid(65534) == 0 && setuid(65534) == 0);
    vf_crypto_done();
    CHILD_CHECK(vf_crypto_init(VF_ARENA_TOOL, &why) == VF_E_LOCKED_MEMORY);
    CHILD_CHECK(strstr(why.text, "RLIMIT_MEMLOCK is 0 KiB; vaultfs needs 1024 KiB") != NULL);
    CHILD_CHECK(vf_crypto_init(VF_ARENA_TOOL, NULL) == VF_E_LOCKED_MEMORY);
}

static void without_lockable_memory_it_refuses(void **state)
{
    (void)state;
    assert_child_ok(as_nobody_with_64_kib, NULL);
    assert_child_ok(as_nobody_with_nothing, NULL);
}

static void harden(void *arg)
{
    struct rlimit limit = {1, 1};

    (void)arg;
    CHILD_CHECK(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 1);
    CHILD_CHECK(vf_process_harden(NULL) == VF_OK);
    CHILD_CHECK(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0);
    CHILD_CHECK(getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_cur == 0 && limit.rlim_max == 0);
}

static void a_hardened_process_leaves_no_dump(void **state)
{
    (void)state;
    assert_child_ok(harden, NULL);
}

/* ------------------------------------------------------------------------------------------------------------------- faults */

static void no_memory_for_the_table(void **state)
{
    (void)state;
    vf_crypto_done();
    for (unsigned n = 1;; n++) {
        struct vf_why why = {0};
        faults_arm(FAULT_MEMORY, n, ENOMEM);
        enum vf_err err = vf_crypto_init(SMALL, &why);
        if (!faults_disarm()) {
            assert_int_equal(err, VF_OK);
            assert_true(n > 2);
            break;
        }
        assert_int_equal(err, VF_E_NOMEM);
        assert_null(vf_secret_new(1));
    }
}

/* ------------------------------------------------------------------------------------------------------------------ threads */

static void *use_a_lot(void *arg)
{
    uint8_t mine = *(uint8_t *)arg;
    uint8_t *live[8] = {0};

    for (unsigned i = 0; i < 20000; i++) {
        unsigned k = (i * 7 + mine) % 8;
        size_t len = 1 + (i * 31 + mine) % 300;
        if (live[k] != NULL) {
            if (live[k][0] != mine)
                return arg;
            vf_secret_free(live[k]);
            live[k] = NULL;
        } else {
            live[k] = vf_secret_new(len);
            if (live[k] != NULL && !is_zero(live[k], len))
                return arg;
            if (live[k] != NULL)
                memset(live[k], mine, len);
        }
    }
    for (unsigned k = 0; k < 8; k++)
        vf_secret_free(live[k]);
    return NULL;
}

static void threads_do_not_meet(void **state)
{
    pthread_t threads[4];
    uint8_t names[4] = {1, 2, 3, 4};

    (void)state;
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, use_a_lot, &names[i]), 0);
    for (unsigned i = 0; i < 4; i++) {
        void *bad = NULL;
        assert_int_equal(pthread_join(threads[i], &bad), 0);
        assert_null(bad);
    }
    void *whole = vf_secret_new(SMALL);
    assert_non_null(whole);
    vf_secret_free(whole);
}

static void wipe_equal_random(void **state)
{
    uint8_t a[40];
    uint8_t b[40];

    (void)state;
    vf_random(a, sizeof(a));
    memcpy(b, a, sizeof(b));
    assert_true(vf_equal(a, b, sizeof(a)));
    assert_true(vf_equal(a, b, 0));
    for (size_t i = 0; i < sizeof(a); i++) {
        b[i] ^= 0x80;
        assert_false(vf_equal(a, b, sizeof(a)));
        b[i] ^= 0x80;
    }
    vf_random(b, sizeof(b));
    assert_false(vf_equal(a, b, sizeof(a)));
    vf_wipe(a, sizeof(a));
    assert_true(is_zero(a, sizeof(a)));
    vf_wipe(NULL, 0);
}

/* The first of the authors' test vectors for 128 bits, and that key and every byte count. */
static void tags_know_again(void **state)
{
    struct vf_tag_key key, other;
    struct vf_tag tag, changed;
    uint8_t data[400];

    (void)state;
    counting(key.b, 0, sizeof(key.b));
    counting(data, 0, sizeof(data));
    vf_tag_of(&key, data, 0, &tag);
    assert_hex(tag.b, sizeof(tag.b), "a3817f04ba25a8e66df67214c7550293");
    vf_tag_of(&key, data, 1, &tag);
    assert_hex(tag.b, sizeof(tag.b), "da87c1d86b99af44347659119b22fc45");
    vf_tag_of(&key, data, sizeof(data), &tag);
    for (size_t i = 0; i < sizeof(data); i++) {
        data[i] ^= (uint8_t)(1u << i % 8);
        vf_tag_of(&key, data, sizeof(data), &changed);
        assert_false(vf_equal(&tag, &changed, sizeof(tag)));
        data[i] ^= (uint8_t)(1u << i % 8);
    }
    vf_tag_key_new(&key);
    vf_tag_key_new(&other);
    assert_false(vf_equal(&key, &other, sizeof(key)));
    vf_tag_of(&key, data, sizeof(data), &tag);
    vf_tag_of(&other, data, sizeof(data), &changed);
    assert_false(vf_equal(&tag, &changed, sizeof(tag)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(init_twice_is_busy),
        cmocka_unit_test(no_arena_for_programs_without_secrets),
        cmocka_unit_test(absurd_sizes_are_refused),
        cmocka_unit_test(memory_is_aligned_zero_and_wiped),
        cmocka_unit_test(a_full_arena_gives_null_and_is_used_again),
        cmocka_unit_test(random_use_keeps_allocations_apart),
        cmocka_unit_test(cleanup_frees_and_forgets),
        cmocka_unit_test(done_wipes_what_was_not_freed),
        cmocka_unit_test(misuse_ends_the_program),
        cmocka_unit_test(the_arena_is_locked_and_in_no_dump),
        cmocka_unit_test(a_child_sees_nothing_and_starts_anew),
        cmocka_unit_test(without_lockable_memory_it_refuses),
        cmocka_unit_test(a_hardened_process_leaves_no_dump),
        cmocka_unit_test(no_memory_for_the_table),
        cmocka_unit_test(threads_do_not_meet),
        cmocka_unit_test(wipe_equal_random),
        cmocka_unit_test(tags_know_again),
    };

    return cmocka_run_group_tests_name("crypto arena", tests, with_small, without_crypto);
}
