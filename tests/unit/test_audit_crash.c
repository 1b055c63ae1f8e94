/* SPDX-License-Identifier: MIT */
/*
 * The power fails, or the process is killed, at every system call that changes the disk; and again at every one of the recovery; and each
 * sync fails once, before it.
 *
 * Each time the log is opened again, gets an entry, is closed and verified: each entry that was waited for is there, each checkpoint that
 * was reported is contained, and no key has signed two different checkpoints - counting all that were ever written, on the disk or not.
 */
#include "audit_disk.h"
#include "audit_test.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cmocka_std.h"

#define NOTES 96
#define ACKED 64

/* Shared with the children. */
struct shared {
    unsigned nacked;
    uint64_t acked[ACKED];
    unsigned nnotes;
    char notes[NOTES][512]; /* every checkpoint ever written */
    unsigned nheld;
    char held[NOTES][512]; /* those that vf_log_checkpoint_get returned */
};
static struct shared *shared;

static struct audit_place place, template[2];
static char side[400];
static const struct vf_log_options small = {.batch = true, .segment_max = 2200};

static void on_checkpoint(const void *data, unsigned long len)
{
    if (shared->nnotes == NOTES || len >= sizeof(shared->notes[0]))
        abort();
    memcpy(shared->notes[shared->nnotes++], data, len);
}

/* ---------------------------------------------------------------------------------------------------- what the children do */

/* With a disk that may fail once: an entry that is not taken is tried again a little later. */
static void note_commit(struct vf_log *log, uint64_t n)
{
    const struct timespec later = {.tv_nsec = 110000000};
    struct vf_ref ref;
    struct vf_entry e = audit_entry(n, &ref);

    for (int i = 0; i < 4; i++) {
        enum vf_err err = vf_log_commit(log, &e, WHY);
        if (err == VF_OK) {
            shared->acked[shared->nacked++] = n;
            return;
        }
        if (err != VF_E_DISK_FULL)
            abort();
        (void)nanosleep(&later, NULL);
    }
    abort();
}

static void note_seal(struct vf_log *log)
{
    VF_BUF cp = {0};

    if (vf_log_seal(log, WHY) != VF_OK && vf_log_seal(log, WHY) != VF_OK)
        abort();
    vf_buf_init(&cp, 512);
    OK(vf_log_checkpoint_get(log, &cp, WHY));
    memcpy(shared->held[shared->nheld++], cp.data, cp.len);
}

static struct vf_log *open_again(void)
{
    struct vf_log *log = NULL;

    if (vf_log_open(place.log, place.seal, &small, &log, WHY) != VF_OK)
        OK(vf_log_open(place.log, place.seal, &small, &log, WHY));
    return log;
}

/* Two sessions, three segments, sealing by hand and at the end. */
static void work(void)
{
    struct vf_log *log = open_again();

    note_commit(log, 100);
    note_commit(log, 101);
    note_seal(log);
    for (uint64_t i = 102; i < 106; i++)
        note_commit(log, i);
    note_seal(log);
    note_commit(log, 106);
    (void)vf_log_close(log, NULL);
    log = open_again();
    for (uint64_t i = 107; i < 110; i++)
        note_commit(log, i);
    (void)vf_log_close(log, NULL);
}

static void recover(void)
{
    struct vf_log *log = open_again();

    note_commit(log, 200);
    note_seal(log);
    (void)vf_log_close(log, NULL);
}

/* Run `what` in a child under the plan. True: it came to its end. */
static bool run(void (*what)(void), const struct disk_plan *plan)
{
    int status = 0;
    pid_t child = fork();

    if (child == 0) {
        OK(vf_crypto_init(65536, WHY));
        disk_arm(plan, side, on_checkpoint);
        what();
        disk_end();
        _exit(0);
    }
    if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status))
        fail_msg("child: status %#x", (unsigned)status);
    if (WEXITSTATUS(status) != 0 && WEXITSTATUS(status) != DISK_DIED)
        fail_msg("child: exit %d", WEXITSTATUS(status));
    return WEXITSTATUS(status) == 0;
}

/* ---------------------------------------------------------------------------------------------------------------- checking */

struct found {
    bool seen[ACKED];
};

static enum vf_err each(void *user, const struct vf_entry_view *e, bool sealed, struct vf_why *why)
{
    struct found *f = user;

    (void)why;
    for (unsigned i = 0; i < shared->nacked && e->refs.p != NULL; i++) {
        struct vf_ref ref;
        (void)audit_entry(shared->acked[i], &ref);
        f->seen[i] = f->seen[i] || (sealed && memcmp(e->refs.p + 1, ref.c, sizeof(ref.c)) == 0);
    }
    return VF_OK;
}

/* Key id and signature of a note: in its last line. */
static const char *signature_of(const char *note)
{
    return strstr(note, "\xe2\x80\x94 ") + 4 + strlen("vaultfs.log/") + 32 + 1;
}

static void check_keys(const char *what)
{
    char path[400];
    size_t len = 0;

    audit_path(path, place.log, "checkpoints");
    char *final = audit_read(path, &len);
    for (char *at = final; at < final + len;) {
        char *end = strstr(strstr(at, "\n\n") + 2, "\n\n") + 2;
        on_checkpoint(at, (unsigned long)(end - at));
        at = end;
    }
    free(final);
    for (unsigned i = 0; i < shared->nnotes; i++)
        for (unsigned k = 0; k < i; k++)
            if (strncmp(signature_of(shared->notes[i]), signature_of(shared->notes[k]), 5) == 0 &&
                strcmp(shared->notes[i], shared->notes[k]) != 0)
                fail_msg("%s: one key signed two checkpoints:\n%s%s", what, shared->notes[k], shared->notes[i]);
}

static void check(const char *what)
{
    static struct vf_verdict v;
    struct vf_note notes[NOTES];
    struct found f = {{false}};
    struct vf_verify_options opt = {.signers = &device_key, .nsigners = 1, .log_id = &place.id, .each = each, .user = &f};

    for (unsigned i = 0; i < shared->nheld; i++)
        OK(vf_note_parse(shared->held[i], strlen(shared->held[i]), &notes[i], WHY));
    opt.checkpoints = notes;
    opt.ncheckpoints = shared->nheld;
    OK(vf_log_verify(place.log, &opt, &v, WHY));
    if (!v.good || v.sealed != v.entries || v.torn_bytes > 0) {
        audit_print(&v);
        fail_msg("%s: the recovered log is not good", what);
    }
    for (unsigned i = 0; i < shared->nacked; i++)
        if (!f.seen[i])
            fail_msg("%s: entry %llu was durable and is lost", what, (unsigned long long)shared->acked[i]);
    check_keys(what);
}

/* --------------------------------------------------------------------------------------------------------------- the drills */

static void start_over(int from)
{
    scratch_remove(&place.dir);
    scratch_make(&place.dir);
    (void)rmdir(place.dir.path);
    audit_copy_tree(template[from].dir.path, place.dir.path);
    (void)scratch_path(&place.dir, "log", place.log, sizeof(place.log));
    (void)scratch_path(&place.dir, "seal", place.seal, sizeof(place.seal));
    audit_path(side, place.dir.path, "side");
    assert_int_equal(mkdir(side, 0700), 0);
    place.id = template[from].id;
    memset(shared, 0, sizeof(*shared));
}

/* What is left is opened for good, in a process that nothing happens to, and then the power fails. */
static void finish(const char *what)
{
    assert_true(run(recover, &(struct disk_plan){.lose_at_end = true}));
    check(what);
}

static void test_every_call(void **state)
{
    unsigned runs = 0;

    (void)state;
    for (int from = 0; from < 2; from++) {
        bool ended = false;
        for (unsigned n = 1; !ended; n++) {
            for (uint32_t how = 0; how < DISK_MODES + 3; how++, runs++) {
                char what[80];
                enum disk_mode mode = how < DISK_MODES ? (enum disk_mode)how : DISK_TORN;
                (void)snprintf(what, sizeof(what), "log %d, call %u, how %u", from, n, how);
                start_over(from);
                ended = run(work, &(struct disk_plan){.die_at = n, .mode = mode, .seed = 100 * n + how});
                finish(what);
            }
        }
    }
    print_message("%u crashes\n", runs);
    assert_true(runs > 1000);
}

/* And the recovery crashes too, at each of its calls. */
static void test_twice(void **state)
{
    bool ended = false;
    unsigned runs = 0;

    (void)state;
    for (unsigned n = 1; !ended; n++) {
        bool recovered = false;
        /* Of the odd ones every other call: together it is every kind at every place. */
        for (unsigned m = 1; !recovered; m += 1 + n % 2, runs++) {
            char what[80];
            (void)snprintf(what, sizeof(what), "call %u, then call %u", n, m);
            start_over(0);
            ended = run(work, &(struct disk_plan){.die_at = n, .mode = (enum disk_mode)((n + m) % DISK_MODES), .seed = n});
            recovered = run(recover,
                            &(struct disk_plan){.die_at = m, .mode = (enum disk_mode)((n + m / 4) % DISK_MODES), .seed = m});
            finish(what);
        }
    }
    print_message("%u double crashes\n", runs);
    assert_true(runs > 1000);
}

/*
 * A sync fails, once each. The process goes on by itself; it may be killed at some call after that, so that the next one finds in memory what
 * is not on the disk; and in the end the power fails.
 */
static void test_failed_syncs(void **state)
{
    unsigned runs = 0;
    unsigned syncs = 0;

    (void)state;
    for (unsigned k = 1; syncs == 0; k++) {
        for (unsigned after = 0; after < 4; after++, runs++) {
            char what[80];
            (void)snprintf(what, sizeof(what), "sync %u fails, variant %u", k, after);
            start_over(0);
            /* Before the kth sync there are between k and 3k calls; where it dies is not important, only that it differs. */
            struct disk_plan plan = {.fail_at = k,
                                     .die_at = after == 0 ? 0 : 2 * k + after,
                                     .mode = after % 2 == 1 ? DISK_KILL : DISK_LOST,
                                     .seed = k};
            bool ended = run(work, &plan);
            if (ended && after == 0 && shared->nacked != 10)
                fail_msg("%s: %u entries", what, shared->nacked);
            finish(what);
        }
        syncs = k == 45 ? k : 0; /* a good many more than there are */
    }
    print_message("%u failing syncs\n", runs);
}

static int set_up(void **state)
{
    (void)audit_set_up(state);
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(shared != MAP_FAILED);
    for (int i = 0; i < 2; i++)
        audit_place_make(&template[i]);
    struct vf_log *log = audit_open(&template[1], &small);
    for (uint64_t i = 0; i < 8; i++) {
        audit_commit(log, i);
        if (i % 3 == 0)
            audit_seal(log);
    }
    audit_close(log);
    scratch_make(&place.dir);
    return 0;
}

static int tear_down(void **state)
{
    scratch_remove(&place.dir);
    for (int i = 0; i < 2; i++)
        audit_place_done(&template[i]);
    return audit_tear_down(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_call),
        cmocka_unit_test(test_twice),
        cmocka_unit_test(test_failed_syncs),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
