/* SPDX-License-Identifier: MIT */
/* What a station has known it goes on knowing: its database emptied or put back to an older one, its clock and its `known` likewise. */
#include "station_test.h"

#include "fakeclock.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define MINUTE_US (60 * VF_SECOND_US)
#define HOUR_US   (60 * MINUTE_US)

static struct place p;

static int set_up(void **state)
{
    return station_and_force(state, &p);
}

static int tear_down(void **state)
{
    return station_and_force_done(state, &p);
}

/* ------------------------------------------------------------------------------------------------------------------- what is done to it */

static char *inside(const struct site *s, const char *name, char out[500])
{
    (void)snprintf(out, 500, "%s/%s", s->path, name);
    return out;
}

static void copy_file(const struct site *s, const char *name, const char *to)
{
    char from[500], path[500];
    size_t len = 0;
    VF_FREE char *data = get_file(inside(s, name, from), &len);

    OK(vf_file_write(inside(s, to, path), data, len, 0600, true, why));
}

/* The documented mend of a damaged station: db away, an empty one in its place. */
static void empty_db(const struct site *s)
{
    static unsigned n;
    char db[500], away[500], name[40];

    (void)snprintf(name, sizeof(name), "away-%u", n++);
    assert_int_equal(rename(inside(s, "db", db), inside(s, name, away)), 0);
    assert_int_equal(mkdir(db, 0700), 0);
}

static void gone(const struct site *s, const char *name)
{
    char path[500];

    if (unlink(inside(s, name, path)) != 0 && access(path, F_OK) == 0)
        abort();
}

static enum vf_err open_err(const struct site *s, enum vf_station_mode mode)
{
    struct vf_station *st = NULL;
    enum vf_err err = vf_station_open(s->path, mode, NULL, &st, why);

    if (err == VF_OK)
        site_close(st);
    return err;
}

static void mount_once(const struct site *s)
{
    site_close(site_open(s, VF_STATION_MOUNT));
}

static enum vf_err take_closed(const struct site *s, const char *path)
{
    struct vf_station *st = site_open(s, VF_STATION_RECEIVE);
    enum vf_err err = take1(st, path);

    site_close(st);
    return err;
}

static void ticks(struct vf_station *st, int64_t us)
{
    for (; us > 0; us -= MINUTE_US) {
        fake_clock_pass(us < MINUTE_US ? us : MINUTE_US);
        OK(vf_station_clock_tick(st, why));
    }
}

static enum vf_err may(struct vf_station *st, const char *name)
{
    struct vf_job *job = job_of(st, name);

    if (job == NULL)
        return VF_E_NOT_FOUND;
    enum vf_err err = vf_job_may(st, job, why);
    vf_job_unref(job);
    return err;
}

/* ---------------------------------------------------------------------------------------------------------------------- policy */

/* The highest policy version in the newer slot of the clock's file. */
static uint32_t policy_in_clock(const struct site *s)
{
    struct vf_slot *slots = calloc(2, sizeof(*slots));
    char path[500];

    assert_non_null(slots);
    OK(vf_slots_read(inside(s, "clock", path), "VFCLOCK1", slots, why));
    unsigned newer = slots[1].present && (!slots[0].present || slots[1].seq > slots[0].seq) ? 1 : 0;
    uint32_t version = vf_get_be32(slots[newer].payload + 8 + 8 + VF_BOOT_ID_LEN + 8);
    free(slots);
    return version;
}

/* Bob made a grant and was removed. Whatever is put back or emptied: it is not taken. */
static void policy_is_kept(void **state)
{
    static const char *const bob[] = {"bob"};
    struct vf_policy_change change = {.remove = bob, .nremove = 1};
    struct place f;
    struct site s;
    struct issued evil = {0};
    char grant[400], v2[400], db[500], old[500], mine[500];

    (void)state;
    force_make(&f, 1);
    site_make(&f, "kept", &s);
    struct vf_vault *v = open_as(&f, VF_VAULT_WRITE, BOB);
    struct vf_issue_options opt = site_options(&s, "evil");
    issue(v, BOB, &opt, &evil);
    close_vault(v);
    put_file(&f, "evil.grant", evil.file.data, evil.file.len);
    (void)place_path(&f, "evil.grant", grant);
    mount_once(&s);
    assert_int_equal(policy_in_clock(&s), 1);
    copy_folder(inside(&s, "db", db), inside(&s, "db.old", old));
    next_policy(&f, &change, "v2.policy", v2);
    OK(take_closed(&s, v2));
    mount_once(&s);
    assert_int_equal(policy_in_clock(&s), 2);
    mount_once(&s);
    assert_int_equal(policy_in_clock(&s), 2);

    /* The old database; then without a clock, or with nothing but the log to say so. */
    for (unsigned how = 0; how < 3; how++) {
        (void)snprintf(mine, sizeof(mine), "%s/db.mine-%u", s.path, how);
        assert_int_equal(rename(db, mine), 0);
        copy_folder(old, db);
        gone(&s, "clean");
        if (how >= 1)
            gone(&s, "clock");
        if (how >= 2)
            gone(&s, "known");
        assert_int_equal(take_closed(&s, grant), VF_E_STALE);
        assert_non_null(strstr(why->text, "newest policy"));
        assert_int_equal(open_err(&s, VF_STATION_MOUNT), VF_E_FORGED);
        assert_non_null(strstr(why->text, "version 2 was known"));
        OK(take_closed(&s, v2)); /* an honest restore: the newest policy again, and all is well */
        assert_int_equal(take_closed(&s, grant), VF_E_UNSIGNED);
        mount_once(&s);
    }
    /* An empty one takes no older policy either. */
    empty_db(&s);
    assert_int_equal(take_closed(&s, s.policy), VF_E_STALE);
    assert_non_null(strstr(why->text, "has had version 2"));
    OK(take_closed(&s, v2));
    mount_once(&s);
    site_done(&s);
    issued_done(&evil);
    place_done(&f);
}

/* Made under version 2, so that it never received any: the first mount put it into the log. */
static void policy_it_was_made_with(void **state)
{
    struct vf_policy_change change = {.add = pub_of(CAROL), .nadd = 1};
    struct place f;
    struct site first, s;
    char v2[400];

    (void)state;
    force_make(&f, 1);
    site_make(&f, "first", &first);
    next_policy(&f, &change, "v2.policy", v2);
    site_make(&f, "second", &s);
    mount_once(&s);
    mount_once(&s);
    assert_int_equal(site_log_counts(&s, VF_EVENT_POLICY), 1);
    empty_db(&s);
    gone(&s, "clock");
    assert_int_equal(take_closed(&s, first.policy), VF_E_STALE);
    OK(take_closed(&s, v2));
    mount_once(&s);
    site_done(&s);
    site_done(&first);
    place_done(&f);
}

/* ------------------------------------------------------------------------------------------------------------------ revocations */

static void revocation_outlives_the_database(void **state)
{
    struct site s;
    struct delivery d, other;
    char revoked[400];

    (void)state;
    site_make(&p, "revoked", &s);
    struct vf_issue_options opt = site_options(&s, "revoked"), opt2 = site_options(&s, "stays");
    deliver(&p, &opt, &d);
    deliver(&p, &opt2, &other);
    struct vf_station *st = site_open(&s, VF_STATION_MOUNT);
    take_delivery(st, &d);
    take_delivery(st, &other);
    site_close(st);
    revoke_grant(&p, &d.i.f.grant.id, "gone", revoked);
    OK(take_closed(&s, revoked));
    for (unsigned how = 0; how < 2; how++) {
        empty_db(&s);
        OK(take_closed(&s, s.policy));
        assert_int_equal(take_closed(&s, d.grant), VF_E_REVOKED);
        OK(take_closed(&s, other.grant)); /* the documented mend works for what was not revoked */
        st = site_open(&s, VF_STATION_MOUNT);
        assert_int_equal(take1(st, d.grant), VF_E_REVOKED);
        assert_int_equal(may(st, "revoked"), VF_E_NOT_FOUND);
        OK(may(st, "stays"));
        site_close(st);
    }
    delivery_done(&d);
    delivery_done(&other);
    site_done(&s);
}

/* A database from before the revocation: the grant is in it, and ends. */
static void revocation_outlives_an_old_database(void **state)
{
    struct site s;
    struct delivery d;
    char revoked[400], db[500], old[500];

    (void)state;
    site_make(&p, "old-db", &s);
    struct vf_issue_options opt = site_options(&s, "old-db");
    deliver(&p, &opt, &d);
    struct vf_station *st = site_open(&s, VF_STATION_MOUNT);
    take_delivery(st, &d);
    OK(may(st, "old-db"));
    site_close(st);
    copy_folder(inside(&s, "db", db), inside(&s, "db.old", old));
    revoke_grant(&p, &d.i.f.grant.id, "old-db", revoked);
    OK(take_closed(&s, revoked));
    empty_db(&s);
    assert_int_equal(rmdir(db), 0);
    assert_int_equal(rename(old, db), 0);
    gone(&s, "clean");
    st = site_open(&s, VF_STATION_MOUNT);
    assert_int_equal(may(st, "old-db"), VF_E_REVOKED);
    site_close(st);
    delivery_done(&d);
    site_done(&s);
}

/* ------------------------------------------------------------------------------------------------------------------------- time */

struct timed {
    struct site s;
    struct delivery d;
    int64_t until;
};

/* A station whose grant ends in two days, mounted until H is sure. The clock of then is kept as clock.old. */
static void timed_make(struct timed *t, const char *name)
{
    fake_clock_set(FAKE_CLOCK_START_US, HOUR_US);
    site_make(&p, name, &t->s);
    struct vf_issue_options opt = site_options(&t->s, name);
    opt.until_us = t->until = opt.now_us + 2 * VF_DAY_US;
    deliver(&p, &opt, &t->d);
    struct vf_station *st = site_open(&t->s, VF_STATION_MOUNT);
    take_delivery(st, &t->d);
    ticks(st, 20 * MINUTE_US);
    site_close(st);
    copy_file(&t->s, "clock", "clock.old");
}

static void timed_done(struct timed *t)
{
    delivery_done(&t->d);
    site_done(&t->s);
}

/* The end passes while it is mounted; then it is the afternoon of the first day again. */
static void let_it_end(struct timed *t, const char *name)
{
    struct vf_station *st = site_open(&t->s, VF_STATION_MOUNT);

    OK(may(st, name));
    fake_clock_pass(3 * VF_DAY_US);
    OK(vf_station_clock_tick(st, why));
    assert_int_equal(may(st, name), VF_E_EXPIRED);
    site_close(st);
    fake_clock_reboot(-3 * VF_DAY_US);
}

static void old_clock_put_back(void **state)
{
    struct timed t;

    (void)state;
    timed_make(&t, "put-back");
    let_it_end(&t, "put-back");
    copy_file(&t.s, "clock.old", "clock");
    struct vf_station *st = site_open(&t.s, VF_STATION_MOUNT);
    assert_int_equal(may(st, "put-back"), VF_E_EXPIRED);
    site_close(st);
    timed_done(&t);
}

/* Clock and database gone: H is what the log said last, also for the grants that are received anew. */
static void clock_and_database_gone(void **state)
{
    struct timed t;

    (void)state;
    timed_make(&t, "all-gone");
    let_it_end(&t, "all-gone");
    empty_db(&t.s);
    gone(&t.s, "clock");
    OK(take_closed(&t.s, t.s.policy));
    mount_once(&t.s); /* knows no grant: settles nothing yet */
    struct vf_station *st = site_open(&t.s, VF_STATION_RECEIVE);
    OK(take1(st, t.d.grant)); /* by the wall clock, it is in force */
    site_close(st);
    st = site_open(&t.s, VF_STATION_MOUNT);
    assert_int_equal(may(st, "all-gone"), VF_E_EXPIRED);
    site_close(st);
    timed_done(&t);
}

/* Killed: nothing was told at an unmount. But the end of a grant is told when it comes, and so is each hour. */
static void killed_after_the_end(void **state)
{
    struct timed t;
    char folder[400];

    (void)state;
    timed_make(&t, "killed");
    unsigned before = site_log_counts(&t.s, VF_EVENT_TIME);
    struct vf_station *st = site_open(&t.s, VF_STATION_MOUNT);
    ticks(st, 3 * HOUR_US);
    OK(vf_log_seal(vf_station_log(st), why));
    assert_int_equal(site_log_counts(&t.s, VF_EVENT_TIME), before + 3);
    fake_clock_pass(3 * VF_DAY_US);
    OK(vf_station_clock_tick(st, why));
    OK(vf_log_seal(vf_station_log(st), why));
    copy_folder(t.s.path, place_path(&p, "killed-copy", folder)); /* as kill -9 leaves it */
    site_close(st);
    fake_clock_reboot(-3 * VF_DAY_US);
    struct site then = t.s;
    (void)snprintf(then.path, sizeof(then.path), "%s", folder);
    copy_file(&then, "clock.old", "clock");
    st = site_open(&then, VF_STATION_MOUNT);
    assert_int_equal(may(st, "killed"), VF_E_EXPIRED);
    site_close(st);
    timed_done(&t);
}

/* A wrong hour, and the way out. The reset is in the log: neither an older clock brings the wrong time back, nor is it lost with the file. */
static void a_reset_is_kept(void **state)
{
    struct timed t;
    struct delivery fresh;
    int64_t now = 0;

    (void)state;
    timed_make(&t, "reset");
    struct vf_station *st = site_open(&t.s, VF_STATION_MOUNT);
    fake_clock_step(5 * 365 * VF_DAY_US);
    ticks(st, HOUR_US);
    fake_clock_step(-5 * 365 * VF_DAY_US);
    OK(vf_station_clock_tick(st, why));
    assert_int_equal(may(st, "reset"), VF_E_EXPIRED);
    site_close(st);
    copy_file(&t.s, "clock", "clock.wrong");
    deliver_renewal(&p, &t.d, "reset-1", 10 * VF_DAY_US, true, &fresh);
    st = site_open(&t.s, VF_STATION_MOUNT);
    OK(take1(st, fresh.grant));
    OK(may(st, "reset"));
    OK(vf_station_clock_tick(st, why));
    site_close(st);
    copy_file(&t.s, "clock", "clock.good");
    for (unsigned how = 0; how < 4; how++) {
        if (how < 3)
            copy_file(&t.s, how == 0 ? "clock.wrong" : how == 1 ? "clock.old" : "clock.good", "clock");
        else
            gone(&t.s, "clock");
        st = site_open(&t.s, VF_STATION_MOUNT);
        OK(may(st, "reset"));
        OK(vf_station_time(st, &now, why));
        assert_int_equal(now, vf_clock_wall_us());
        site_close(st);
    }
    delivery_done(&fresh);
    timed_done(&t);
}

/* A reset that was taken when the log could not be told: the clock's file knows more, and the log learns it. */
static void a_reset_that_the_log_missed(void **state)
{
    struct timed t;
    struct delivery fresh;
    char log[500], kept[500], away[500];

    (void)state;
    timed_make(&t, "missed");
    struct vf_station *st = site_open(&t.s, VF_STATION_MOUNT);
    ticks(st, VF_DAY_US);
    site_close(st);
    fake_clock_step(-VF_DAY_US / 2);
    deliver_renewal(&p, &t.d, "missed-1", 10 * VF_DAY_US, true, &fresh);
    OK(take_closed(&t.s, fresh.grant));
    copy_folder(inside(&t.s, "log", log), inside(&t.s, "log.before", kept));
    copy_file(&t.s, "seal", "seal.before");
    mount_once(&t.s);
    assert_int_equal(rename(log, inside(&t.s, "log.after", away)), 0);
    assert_int_equal(rename(kept, log), 0);
    copy_file(&t.s, "seal.before", "seal");
    for (unsigned i = 0; i < 2; i++) {
        st = site_open(&t.s, VF_STATION_MOUNT);
        OK(may(st, "missed"));
        site_close(st);
    }
    delivery_done(&fresh);
    timed_done(&t);
}

/* A grant says when it was issued, and k admins signed that: no earlier than an hour before. */
static void a_grant_tells_the_time(void **state)
{
    struct timed t;
    struct delivery later;
    int64_t now = 0;

    (void)state;
    fake_clock_set(FAKE_CLOCK_START_US, HOUR_US);
    site_make(&p, "tells", &t.s);
    struct vf_issue_options opt = site_options(&t.s, "first");
    opt.until_us = opt.now_us + VF_DAY_US;
    deliver(&p, &opt, &t.d);
    OK(take_closed(&t.s, t.d.grant));
    fake_clock_pass(2 * VF_DAY_US);
    struct vf_issue_options opt2 = site_options(&t.s, "second");
    deliver(&p, &opt2, &later);
    OK(take_closed(&t.s, later.grant));
    fake_clock_reboot(-2 * VF_DAY_US); /* back into the first one's day; no mount has ever seen another */
    struct vf_station *st = site_open(&t.s, VF_STATION_MOUNT);
    assert_int_equal(may(st, "first"), VF_E_EXPIRED);
    assert_int_equal(vf_station_time(st, &now, why), VF_E_CLOCK);
    assert_int_equal(now, later.i.f.grant.issued_us - HOUR_US);
    site_close(st);
    delivery_done(&later);
    timed_done(&t);
}

/* --------------------------------------------------------------------------------------------------------------------- the file `known` */

static void many_entries(struct vf_station *st, unsigned n)
{
    struct vf_entry e = {.event = VF_EVENT_DENY, .part = -1, .result = "EIO"};
    uint64_t seq = 0;

    for (unsigned i = 0; i < n; i++)
        OK(vf_log_append(vf_station_log(st), &e, &seq, why));
    OK(vf_log_wait(vf_station_log(st), seq, why));
    OK(vf_log_seal(vf_station_log(st), why));
}

/* One bit of the first line, which is not the last segment's last line. */
static void flip_first_line(const struct site *s)
{
    char path[500];
    size_t len = 0;
    VF_FREE char *data = get_file(inside(s, "log/entries-00000000000000000000.jsonl", path), &len);
    char *at = strstr(data, "\"nonce\":\"");

    assert_non_null(at);
    at[9] = at[9] == '0' ? '1' : '0';
    OK(vf_file_write(path, data, len, 0600, true, why));
}

static void known_saves_reading(void **state)
{
    struct site s, neighbour;
    struct delivery d;
    char revoked[400], path[500], theirs[500];
    size_t len = 0;

    (void)state;
    fake_clock_set(FAKE_CLOCK_START_US, HOUR_US);
    site_make(&p, "big", &s);
    site_make(&p, "big-neighbour", &neighbour);
    struct vf_issue_options opt = site_options(&s, "big");
    deliver(&p, &opt, &d);
    revoke_grant(&p, &d.i.f.grant.id, "big", revoked);
    struct vf_station *st = site_open(&s, VF_STATION_MOUNT);
    OK(take1(st, revoked));
    assert_int_not_equal(access(inside(&s, "known", path), F_OK), 0); /* a short log is read as a whole */
    many_entries(st, 4200);
    OK(vf_station_clock_tick(st, why));
    assert_int_equal(access(path, F_OK), 0);
    site_close(st);
    copy_file(&s, "known", "known.good");
    st = site_open(&neighbour, VF_STATION_MOUNT);
    many_entries(st, 4200);
    OK(vf_station_clock_tick(st, why));
    site_close(st);
    empty_db(&s);
    OK(take_closed(&s, s.policy));
    assert_int_equal(take_closed(&s, d.grant), VF_E_REVOKED);

    /* Every byte of it counts: flipped, it is as if it were not there, and the log is read as a whole. Another station's likewise. */
    VF_FREE char *good = get_file(path, &len);
    for (size_t i = 0; i < len; i += 7) {
        good[i] ^= 4;
        OK(vf_file_write(path, good, len, 0600, true, why));
        good[i] ^= 4;
        st = site_open(&s, VF_STATION_MOUNT);
        assert_int_equal(take1(st, d.grant), VF_E_REVOKED);
        site_close(st);
    }
    size_t other_len = 0;
    VF_FREE char *other = get_file(inside(&neighbour, "known", theirs), &other_len);
    OK(vf_file_write(path, other, other_len, 0600, true, why));
    st = site_open(&s, VF_STATION_MOUNT);
    assert_int_equal(take1(st, d.grant), VF_E_REVOKED);
    site_close(st);

    /* With it, what was read before is not read again; without it, all is read, and must be what was sealed. */
    copy_file(&s, "known.good", "known");
    flip_first_line(&s);
    st = site_open(&s, VF_STATION_MOUNT);
    assert_int_equal(take1(st, d.grant), VF_E_REVOKED);
    site_close(st);
    gone(&s, "known");
    assert_int_equal(open_err(&s, VF_STATION_MOUNT), VF_E_FORGED);
    assert_non_null(strstr(why->text, "damaged or changed"));
    delivery_done(&d);
    site_done(&s);
    site_done(&neighbour);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(policy_is_kept),
        cmocka_unit_test(policy_it_was_made_with),
        cmocka_unit_test(revocation_outlives_the_database),
        cmocka_unit_test(revocation_outlives_an_old_database),
        cmocka_unit_test(old_clock_put_back),
        cmocka_unit_test(clock_and_database_gone),
        cmocka_unit_test(killed_after_the_end),
        cmocka_unit_test(a_reset_is_kept),
        cmocka_unit_test(a_reset_that_the_log_missed),
        cmocka_unit_test(a_grant_tells_the_time),
        cmocka_unit_test(known_saves_reading),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
