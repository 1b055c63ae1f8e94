/* SPDX-License-Identifier: MIT */
/*
 * An open whose entry did not become what it has to be covers no other open: with a budget it has to be sealed, too. Log and job are this
 * test's own, and say what was asked of them.
 */
#include "../../vaultfs/mount/mount.h"

#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include "cmocka_std.h"

static struct vf_grant grant;
static struct vf_grant_layout layout;
static enum vf_err commit_err, wait_err, seal_err;
static unsigned commits, waits, seals;

const struct vf_grant *vf_job_grant(const struct vf_job *job)
{
    (void)job;
    return &grant;
}

const struct vf_grant_layout *vf_job_layout(const struct vf_job *job)
{
    (void)job;
    return &layout;
}

const struct vf_catalogue *vf_job_catalogue(const struct vf_job *job)
{
    (void)job;
    return NULL;
}

uint64_t vf_job_padded(const struct vf_job *job, uint32_t index, unsigned field)
{
    (void)job;
    return index + field;
}

uint64_t vf_node_ino(const struct vf_slot_job *slot, unsigned kind, uint32_t index)
{
    (void)slot;
    return (uint64_t)1000 * kind + index;
}

int64_t vf_clock_boot_us(void)
{
    return 1000 * VF_SECOND_US;
}

bool vf_caller_started(int32_t pid, int64_t *ret_us)
{
    *ret_us = pid;
    return true;
}

enum vf_err vf_log_append(struct vf_log *log, const struct vf_entry *entry, uint64_t *ret_seq, struct vf_why *why)
{
    (void)log;
    (void)entry;
    (void)why;
    *ret_seq = 1;
    return VF_OK;
}

enum vf_err vf_log_commit(struct vf_log *log, const struct vf_entry *entry, struct vf_why *why)
{
    (void)log;
    (void)entry;
    (void)why;
    commits++;
    return commit_err;
}

enum vf_err vf_log_wait(struct vf_log *log, uint64_t seq, struct vf_why *why)
{
    (void)log;
    (void)seq;
    (void)why;
    waits++;
    return wait_err;
}

enum vf_err vf_log_seal(struct vf_log *log, struct vf_why *why)
{
    (void)log;
    (void)why;
    seals++;
    return seal_err;
}

/* It works again by the time that somebody looks. */
void vf_log_state_get(struct vf_log *log, struct vf_log_state *ret)
{
    (void)log;
    *ret = (struct vf_log_state){.writable = true};
}

/* The whole of an open as read.c does it. */
static enum vf_err open_as(struct vf_session *s, bool at_once, bool *ret_joined)
{
    static const struct vf_node node = {.kind = VF_NODE_TEXT};
    static const struct vf_caller caller = {.uid = 1, .pid = 2, .exe = "/bin/reader"};
    struct vf_access access;

    enum vf_err err = vf_access_open(s, &node, NULL, &caller, at_once, &access, NULL);
    *ret_joined = access.joined;
    if (err)
        return err;
    err = vf_access_wait(s, &access, NULL);
    vf_access_done(s, &access, err == VF_OK);
    return err;
}

static void covers(bool at_once, uint64_t budget, enum vf_err commit, enum vf_err wait, enum vf_err seal, bool want)
{
    struct vf_session s = {.repeats = vf_repeats_new()};
    bool joined = false;

    assert_non_null(s.repeats);
    grant.budget = budget;
    commit_err = commit;
    wait_err = wait;
    seal_err = seal;
    commits = waits = seals = 0;
    assert_int_equal(open_as(&s, at_once, &joined), want ? VF_OK : VF_E_DISK_FULL);
    assert_false(joined);
    assert_int_equal(commits, at_once);
    assert_int_equal(waits, !at_once);
    assert_int_equal(seals, budget > 0 && !commit && !wait);
    commit_err = wait_err = seal_err = VF_OK;
    assert_int_equal(open_as(&s, at_once, &joined), VF_OK);
    assert_int_equal(joined, want);
    assert_int_equal(open_as(&s, !at_once, &joined), VF_OK);
    assert_true(joined);
    vf_repeats_free(s.repeats);
}

static void test_covers(void **state)
{
    (void)state;
    for (uint64_t budget = 0; budget < 2; budget++) {
        covers(true, budget, VF_OK, VF_OK, VF_OK, true);
        covers(false, budget, VF_OK, VF_OK, VF_OK, true);
        covers(true, budget, VF_E_DISK_FULL, VF_OK, VF_OK, false);
        covers(false, budget, VF_OK, VF_E_DISK_FULL, VF_OK, false);
    }
}

static void test_not_sealed(void **state)
{
    (void)state;
    covers(false, 5, VF_OK, VF_OK, VF_E_DISK_FULL, false);
    covers(true, 5, VF_OK, VF_OK, VF_E_DISK_FULL, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_covers),
        cmocka_unit_test(test_not_sealed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
