/* SPDX-License-Identifier: MIT */
/* A copy that grows, and the disk or the machine gives up at every call: the copy is good, and no shorter than it was. */
#include "audit_pieces.h"

#include "faults.h"

#include <errno.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmocka_std.h"

static struct audit_place place;
static char copy[400], saved[400];
static struct vf_verdict v;
static struct whole w;
static size_t base; /* checkpoints that the copy has before */

static int set_up(void **state)
{
    struct vf_log_copy *c = NULL;

    (void)audit_set_up(state);
    audit_place_make(&place);
    audit_path(copy, place.dir.path, "copy");
    audit_path(saved, place.dir.path, "saved");
    pieces_fill(&place, 3, 6);
    w = pieces_load(place.log);
    base = w.ncps - 3;
    struct piece p = pieces_of(&w, 0, base);
    OK(pieces_open(&w, saved, &c));
    OK(pieces_extend(c, &p));
    vf_log_copy_close(c);
    return 0;
}

static int tear_down(void **state)
{
    pieces_free(&w);
    audit_place_done(&place);
    return audit_tear_down(state);
}

static void again(bool with_base)
{
    struct scratch old = {.path = ""};

    (void)snprintf(old.path, sizeof(old.path), "%.250s", copy);
    if (access(copy, F_OK) == 0)
        scratch_remove(&old);
    if (with_base)
        audit_copy_tree(saved, copy);
}

static enum vf_err grow(size_t from, size_t to)
{
    struct vf_log_copy *c = NULL;
    struct piece p = pieces_of(&w, from, to);
    enum vf_err err = pieces_open(&w, copy, &c);

    if (err == VF_OK)
        err = pieces_extend(c, &p);
    vf_log_copy_close(c);
    return err;
}

/* What a reader finds is good, and is the copy of one of the checkpoints [least, all]. Returns which. */
static size_t standing(size_t least, const char *what, unsigned n)
{
    char origin[400];

    audit_path(origin, copy, "origin");
    if (access(origin, F_OK) != 0)
        return 0;
    if (!audit_verify(&place, copy, &v) || v.entries != v.sealed) {
        audit_print(&v);
        fail_msg("%s %u", what, n);
    }
    for (size_t i = least; i <= w.ncps; i++)
        if (v.sealed == (i > 0 ? w.cp_size[i - 1] : 0))
            return i;
    fail_msg("%s %u: %llu entries", what, n, (unsigned long long)v.sealed);
    return 0;
}

static void finish(size_t at)
{
    if (at < w.ncps)
        OK(grow(at, w.ncps));
    struct whole have = pieces_load(copy);
    assert_true(have.ncps == w.ncps && have.lines_len == w.lines_len && have.cps_len == w.cps_len);
    assert_memory_equal(have.lines, w.lines, w.lines_len);
    assert_memory_equal(have.cps, w.cps, w.cps_len);
    pieces_free(&have);
}

static void test_killed(void **state)
{
    static const enum fault_kind kinds[] = {FAULT_WRITE, FAULT_SYNC, FAULT_RENAME};
    unsigned kills = 0;

    (void)state;
    for (size_t k = 0; k < 3; k++) {
        for (int with_base = 0; with_base < 2; with_base++) {
            bool met = true;
            for (unsigned n = 1; met; n++) {
                size_t from = with_base ? base : 0;
                int status = 0;
                again(with_base != 0);
                pid_t child = fork();
                if (child == 0) {
                    OK(vf_crypto_init(VF_ARENA_TOOL, WHY));
                    faults_arm_kill(kinds[k], n);
                    enum vf_err err = grow(from, w.ncps);
                    _exit(err == VF_OK ? 0 : 12);
                }
                assert_int_equal(waitpid(child, &status, 0), child);
                met = WIFSIGNALED(status);
                assert_true(met || (WIFEXITED(status) && WEXITSTATUS(status) == 0));
                finish(standing(from, "killed at call", n));
                kills += met ? 1 : 0;
            }
        }
    }
    print_message("%u kills\n", kills);
    assert_true(kills > 15);
}

/* A disk that refuses once, or from then on; short writes. The same open copy goes on when it can again. */
static void test_failing(void **state)
{
    static const enum fault_kind kinds[] = {FAULT_WRITE, FAULT_SYNC};
    unsigned failures = 0;

    (void)state;
    for (int how = 0; how < 5; how++) {
        bool met = true;
        for (unsigned n = 1; met; n++) {
            struct piece p = pieces_of(&w, base, w.ncps);
            struct vf_log_copy_state s;
            struct vf_log_copy *c = NULL;
            again(true);
            OK(pieces_open(&w, copy, &c));
            if (how < 2)
                faults_arm(kinds[how], n, ENOSPC);
            else if (how < 4)
                faults_arm_lasting(kinds[how - 2], n, ENOSPC);
            else
                faults_arm_short(FAULT_WRITE, n, 7);
            enum vf_err err = pieces_extend(c, &p);
            met = faults_disarm();
            (void)standing(base, "failed at call", n);
            vf_log_copy_state_get(c, &s);
            assert_true(err == VF_OK || (err == VF_E_DISK_FULL && met && how < 4));
            assert_int_equal(s.size, err == VF_OK ? p.to : p.from);
            if (err != VF_OK)
                OK(pieces_extend(c, &p));
            vf_log_copy_close(c);
            finish(standing(w.ncps, "then", n));
            failures += err != VF_OK ? 1 : 0;
        }
    }
    print_message("%u failures\n", failures);
    assert_true(failures > 8);
}

static void test_memory_and_reading(void **state)
{
    static const enum fault_kind kinds[] = {FAULT_MEMORY, FAULT_READ};

    (void)state;
    for (int k = 0; k < 2; k++) {
        bool met = true;
        for (unsigned n = 1; met; n++) {
            again(true);
            faults_arm(kinds[k], n, k == 0 ? ENOMEM : EIO);
            enum vf_err err = grow(base, w.ncps);
            met = faults_disarm();
            /* A state that cannot be read is no state: the copy is read instead. */
            assert_true(err == VF_OK || (met && err != VF_E_FORGED && err != VF_E_FORMAT && err != VF_E_STALE));
            size_t at = standing(base, "no memory or no reading at call", n);
            assert_int_equal(at, err == VF_OK ? w.ncps : base);
            finish(at);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_killed),
        cmocka_unit_test(test_failing),
        cmocka_unit_test(test_memory_and_reading),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
