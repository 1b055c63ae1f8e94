/* SPDX-License-Identifier: MIT */
/* Release shares in the station: how long they are good, who has them, that they go; and what the desk's word of time does. */
#include "desk_fake.h"

#include "../../vaultfs/station/station_internal.h"
#include "fakeclock.h"

#include <fcntl.h>
#include <unistd.h>

#define LEASE_US (900 * VF_SECOND_US)

static struct fake_world w;
static struct vf_job *job;

static int set_up(void **state)
{
    if (station_set_up(state) != 0)
        return -1;
    fake_world_make(&w, 0);
    return 0;
}

static int tear_down(void **state)
{
    fake_world_done(&w);
    return station_tear_down(state);
}

/* The sanitizer keeps frames that are over, and the share in them, where in_memory would find it. */
#define PLAIN_STACK __attribute__((no_sanitize("address")))

PLAIN_STACK static struct vf_share_in share_of(uint32_t index, enum vf_part part)
{
    struct vf_share_in in = {.index = index, .part = part};
    memset(in.share.b, 0x50 + (int)index, sizeof(in.share.b));
    in.share.b[0] = (uint8_t)(0xa0 + part);
    in.share.b[1] = (uint8_t)(index >> 8);
    return in;
}

PLAIN_STACK static enum vf_err put(uint32_t index, enum vf_part part, int64_t lease_us)
{
    struct vf_share_in in = share_of(index, part);
    return vf_job_shares_put(job, &in, 1, vf_clock_boot_us() + lease_us, why);
}

/* The bytes themselves, anywhere in what this process can write to, but for the stack: the tests have them there. */
PLAIN_STACK static unsigned in_memory(uint32_t index, enum vf_part part)
{
    struct vf_share_in in = share_of(index, part);
    char line[512];
    unsigned found = 0;
    int mem = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    FILE *maps = fopen("/proc/self/maps", "re");
    uint8_t *chunk = malloc(1 << 20);
    assert_true(mem >= 0 && maps && chunk);
    while (fgets(line, sizeof(line), maps)) {
        unsigned long from, to;
        if (sscanf(line, "%lx-%lx rw", &from, &to) != 2 || strstr(line, "[v") || strstr(line, "[stack]") ||
            to - from > 64ul << 20)
            continue;
        for (unsigned long at = from; at < to; at += (1 << 20) - 64) {
            size_t len = to - at < 1 << 20 ? to - at : 1 << 20;
            ssize_t n = pread(mem, chunk, len, (off_t)at);
            if ((unsigned long)chunk >= from && (unsigned long)chunk < to)
                break; /* our own copy */
            for (const uint8_t *p = chunk; n > 0; p++, found++)
                if (!(p = memmem(p, (size_t)(chunk + n - p), in.share.b, sizeof(in.share.b))))
                    break;
        }
    }
    vf_wipe(chunk, 1 << 20);
    free(chunk);
    (void)fclose(maps);
    (void)close(mem);
    vf_wipe(&in, sizeof(in));
    return found;
}

static void good_for_their_lease(void **state)
{
    struct vf_release_share got;
    (void)state;
    job = job_of(w.st, "cards");
    assert_int_equal(vf_job_share_until(job, 0, VF_PART_TEXT), 0);
    OK(put(0, VF_PART_TEXT, LEASE_US));
    OK(put(0, VF_PART_IMAGE, 2 * LEASE_US));
    assert_int_equal(vf_job_share_until(job, 0, VF_PART_TEXT), vf_clock_boot_us() + LEASE_US);
    assert_true(vf_shares_get(job->shares, 0, VF_PART_TEXT, &got));
    assert_true(got.b[0] == 0xa0 + VF_PART_TEXT && got.b[31] == 0x50);
    vf_wipe(&got, sizeof(got));
    assert_false(vf_shares_get(job->shares, 1, VF_PART_TEXT, &got));
    assert_int_equal(vf_job_text_until(job), 0); /* of all: one is not enough */
    fake_clock_pass(LEASE_US - 1);
    assert_true(vf_job_share_until(job, 0, VF_PART_TEXT) > 0);
    assert_int_equal(vf_job_shares_expire(job, vf_clock_boot_us()), 0);
    fake_clock_pass(1);
    assert_false(vf_shares_get(job->shares, 0, VF_PART_TEXT, &got)); /* over, whether or not it was wiped */
    assert_int_equal(vf_job_share_until(job, 0, VF_PART_TEXT), 0);
    assert_int_equal(in_memory(0, VF_PART_TEXT), 1);
    assert_int_equal(vf_station_shares_expire(w.st, vf_clock_boot_us()), 1);
    assert_int_equal(in_memory(0, VF_PART_TEXT), 0);
    assert_int_equal(in_memory(0, VF_PART_IMAGE), 1);
    fake_clock_pass(LEASE_US);
    assert_int_equal(vf_job_shares_expire(job, vf_clock_boot_us()), 1);
    assert_int_equal(in_memory(0, VF_PART_IMAGE), 0);
    /* What is over when it comes is not taken; what is of no record neither. */
    OK(put(0, VF_PART_TEXT, 0));
    assert_int_equal(vf_job_share_until(job, 0, VF_PART_TEXT), 0);
    assert_int_equal(put(OFFICERS, VF_PART_TEXT, LEASE_US), VF_E_INPUT);
    /* A machine that sleeps wakes up without them. */
    OK(put(1, VF_PART_TEXT, LEASE_US));
    fake_clock_pass(3600 * VF_SECOND_US);
    assert_int_equal(vf_job_share_until(job, 1, VF_PART_TEXT), 0);
    vf_job_unref(job);
}

static void what_is_due(void **state)
{
    uint32_t due[8];
    struct vf_shares_state s;
    (void)state;
    job = job_of(w.st, "cards");
    for (uint32_t i = 0; i < OFFICERS; i++) {
        OK(put(i, VF_PART_TEXT, LEASE_US));
        OK(put(i, VF_PART_IMAGE, LEASE_US));
    }
    assert_int_equal(vf_job_text_until(job), vf_clock_boot_us() + LEASE_US);
    vf_job_share_used(job, 2, VF_PART_IMAGE);
    vf_job_share_used(job, 4, VF_PART_TEXT);
    assert_int_equal(vf_job_shares_due(job, VF_PART_IMAGE, vf_clock_boot_us(), due, 8), 0);
    fake_clock_pass(LEASE_US * 2 / 3 + 1);
    assert_int_equal(vf_job_shares_due(job, VF_PART_IMAGE, vf_clock_boot_us(), due, 8), 1);
    assert_int_equal(due[0], 2);
    assert_int_equal(vf_job_shares_due(job, VF_PART_TEXT, vf_clock_boot_us(), due, 8), 1);
    assert_int_equal(due[0], 4);
    OK(put(2, VF_PART_IMAGE, LEASE_US)); /* renewed: it begins anew */
    assert_int_equal(vf_job_shares_due(job, VF_PART_IMAGE, vf_clock_boot_us(), due, 8), 0);
    vf_job_shares_state_get(job, &s);
    assert_true(s.held[VF_PART_TEXT] == OFFICERS && s.held[VF_PART_IMAGE] == OFFICERS && s.first_boot_us < s.last_boot_us);
    vf_job_shares_wipe(job);
    vf_job_shares_state_get(job, &s);
    assert_true(s.held[VF_PART_TEXT] == 0 && s.held[VF_PART_IMAGE] == 0 && s.last_boot_us == 0);
    for (uint32_t i = 0; i < OFFICERS; i++)
        assert_int_equal(in_memory(i, VF_PART_TEXT) + in_memory(i, VF_PART_IMAGE), 0);
    vf_job_unref(job);
}

/* When values arrive, or a policy, a grant is loaded anew: its shares stay. When it ends they go, whoever holds it. */
static void one_table_a_grant(void **state)
{
    struct delivery d;
    (void)state;
    fake_deliver(&w, "again", 3, &d);
    job = job_of(w.st, "again");
    OK(put(1, VF_PART_IMAGE, LEASE_US));
    assert_int_equal(vf_job_budget_left(w.st, job, VF_PART_IMAGE), 2); /* released counts, opened or not */
    assert_int_equal(vf_job_budget_left(w.st, job, VF_PART_TEXT), 3);
    vf_job_forget(job);
    assert_int_equal(put(1, VF_PART_IMAGE, LEASE_US), VF_E_EXPIRED);
    assert_int_equal(in_memory(1, VF_PART_IMAGE), 0);
    OK(vf_station_refresh(w.st, why));
    struct vf_job *anew = job_of(w.st, "again");
    assert_true(anew != job && anew->shares == job->shares);
    vf_job_unref(job);
    job = anew;
    OK(put(1, VF_PART_IMAGE, LEASE_US));
    assert_true(vf_job_share_until(job, 1, VF_PART_IMAGE) > 0);
    vf_job_unref(job);
    delivery_done(&d);
}

/* ------------------------------------------------------------------------------------------------------------ the desk's time */

static int64_t time_now(void)
{
    int64_t t = 0;
    enum vf_err ignored = vf_station_time(w.st, &t, NULL);
    (void)ignored;
    return t;
}

static void the_desks_time(void **state)
{
    (void)state;
    job = job_of(w.st, "cards");
    int64_t h0, wall = vf_clock_wall_us(), until = vf_job_grant(job)->until_us;
    /* Behind, or the same: nothing. */
    vf_station_clock_desk(w.st, wall - 30 * VF_DAY_US);
    vf_station_clock_desk(w.st, wall);
    assert_int_equal(time_now(), wall);
    /* Ahead by minutes: H, at once and for good. */
    vf_station_clock_desk(w.st, wall + 240 * VF_SECOND_US);
    assert_int_equal(time_now(), wall + 240 * VF_SECOND_US);
    OK(vf_job_may(w.st, job, why));
    assert_int_equal(vf_station_highest(w.st), wall + 240 * VF_SECOND_US);
    /* Ahead by hours: the computer's clock is behind, or one answer is wrong. T alone. */
    int64_t hour = wall + 3600 * VF_SECOND_US;
    vf_station_clock_desk(w.st, hour);
    assert_int_equal(vf_job_may(w.st, job, why), VF_E_CLOCK);
    assert_int_equal(vf_station_highest(w.st), wall + 240 * VF_SECOND_US);
    /* Said again at once, or nine minutes later: still T alone. */
    vf_station_clock_desk(w.st, hour);
    fake_clock_pass(540 * VF_SECOND_US);
    vf_station_clock_desk(w.st, hour + 540 * VF_SECOND_US);
    assert_int_equal(vf_station_highest(w.st), wall + 780 * VF_SECOND_US);
    assert_int_equal(time_now(), hour + 540 * VF_SECOND_US);
    /* Ten minutes after it was said first: H. */
    fake_clock_pass(60 * VF_SECOND_US);
    vf_station_clock_desk(w.st, hour + 600 * VF_SECOND_US);
    assert_int_equal(vf_station_highest(w.st), hour + 600 * VF_SECOND_US);
    assert_int_equal(vf_job_may(w.st, job, why), VF_E_CLOCK);
    fake_clock_step(3600 * VF_SECOND_US);
    wall = vf_clock_wall_us();
    OK(vf_job_may(w.st, job, why));
    /* Five minutes and a second are far. */
    h0 = vf_station_highest(w.st);
    vf_station_clock_desk(w.st, wall + 301 * VF_SECOND_US);
    assert_int_equal(vf_station_highest(w.st), h0);
    vf_station_clock_desk(w.st, wall);
    /* Ahead by years: it ends everything, for a quarter of an hour; H stays. */
    int64_t h = vf_station_highest(w.st);
    vf_station_clock_desk(w.st, wall + 3650 * VF_DAY_US);
    assert_int_equal(vf_job_may(w.st, job, why), VF_E_EXPIRED);
    assert_int_equal(vf_station_highest(w.st), h);
    fake_clock_pass(901 * VF_SECOND_US);
    OK(vf_job_may(w.st, job, why));
    /* Taken back by the next answer. */
    vf_station_clock_desk(w.st, wall + 3650 * VF_DAY_US);
    assert_int_equal(vf_job_may(w.st, job, why), VF_E_EXPIRED);
    vf_station_clock_desk(w.st, vf_clock_wall_us());
    OK(vf_job_may(w.st, job, why));
    /* Another wrong one each time is not believed; the same ten minutes later is, up to the latest end that is known. */
    vf_station_clock_desk(w.st, wall + 20 * VF_DAY_US);
    fake_clock_pass(700 * VF_SECOND_US);
    vf_station_clock_desk(w.st, wall + 40 * VF_DAY_US);
    assert_true(vf_station_highest(w.st) < until);
    fake_clock_pass(700 * VF_SECOND_US);
    vf_station_clock_desk(w.st, wall + 40 * VF_DAY_US + 700 * VF_SECOND_US);
    assert_true(vf_station_highest(w.st) >= until && vf_station_highest(w.st) < until + 2 * VF_DAY_US);
    assert_int_equal(vf_job_may(w.st, job, why), VF_E_EXPIRED);
    uint64_t dropped = 9;
    OK(vf_station_sweep(w.st, &dropped, why)); /* what destroys waits its fourteen days */
    assert_int_equal(dropped, 0);
    vf_job_unref(job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_for_their_lease),
        cmocka_unit_test(what_is_due),
        cmocka_unit_test(one_table_a_grant),
        cmocka_unit_test(the_desks_time),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
