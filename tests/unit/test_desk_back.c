/* SPDX-License-Identifier: MIT */
/* What is put back: a database, a store, a file of prekeys. Nobody gets a second budget by it, and nothing revoked comes to life. */
#include "desk_test.h"

#include "fakeclock.h"

#include <stdlib.h>
#include <unistd.h>

#define HOUR_US (3600 * VF_SECOND_US)

static struct desk_world w;
static struct vf_desk *d;

static int set_up(void **state)
{
    return desk_set_up(state);
}

static int tear_down(void **state)
{
    return desk_tear_down(state);
}

static int begin(void **state)
{
    (void)state;
    desk_world_make(&w, 4, 6, 0);
    d = desk_open(&w);
    desk_take_policy(&w, d);
    return 0;
}

static int end(void **state)
{
    (void)state;
    if (d != NULL)
        desk_close(d);
    d = NULL;
    desk_world_done(&w);
    return 0;
}

static void shut(void)
{
    struct vf_desk *was = d;

    d = NULL;
    desk_close(was);
}

static void reopen(void)
{
    shut();
    d = desk_open(&w);
}

/* A copy as cp -a makes it, of something in the store; `to` must not be there. */
static void copy_of(const char *from, const char *to)
{
    char command[1400];

    (void)snprintf(command, sizeof(command), "cp -a '%s' '%s'", from, to);
    assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c,concurrency-mt-unsafe): paths of the test's own folder */
}

struct part { /* of the store: "" is all of it */
    char path[500], saved[500];
};

static struct part part_of(const char *name)
{
    struct part p;

    (void)snprintf(p.path, sizeof(p.path), "%s%s%s", w.store, *name ? "/" : "", name);
    (void)snprintf(p.saved, sizeof(p.saved), "%s/saved-%s", w.p.dir.path,
                   *name ? strrchr(name, '/') ? "part" : name : "all");
    return p;
}

static void save(const struct part *p)
{
    vf_dir_remove(p->saved);
    (void)unlink(p->saved);
    copy_of(p->path, p->saved);
}

/* The desk is closed. */
static void put_back(const struct part *p)
{
    char aside[600];

    (void)snprintf(aside, sizeof(aside), "%s/aside", w.p.dir.path);
    vf_dir_remove(aside);
    (void)unlink(aside);
    assert_int_equal(rename(p->path, aside), 0);
    copy_of(p->saved, p->path);
}

static struct vf_desk_status state_of(void)
{
    struct vf_desk_status s;

    OK(vf_desk_status_get(d, &s, why));
    return s;
}

/* Not ready, because of its files, over a restart; then confirmed, and ready over a restart. */
static void noticed(void)
{
    for (unsigned i = 0; i < 2; i++) {
        struct vf_desk_status s = state_of();
        assert_false(s.ready);
        if (strstr(s.unready, "put back") == NULL && strstr(s.unready, "same moment") == NULL)
            fail_msg("%s", s.unready);
        reopen();
    }
    OK(vf_desk_confirm(d, why));
    assert_true(state_of().ready);
    reopen();
    assert_true(state_of().ready);
}

static void revoke_device(const struct desk_client *c)
{
    struct vf_revocation r = desk_revokes(c);
    VF_BUF note = {0};

    r.is_device = true;
    r.device = c->b.enrol.id;
    r.prekey_batch = r.prekey_number = 0;
    memset(&r.grant, 0, sizeof(r.grant));
    (void)snprintf(r.name, sizeof(r.name), "%s", c->b.enrol.name);
    desk_revocation(&w, &r, &note);
    OK(desk_take(d, note.data, note.len, "b.revoked"));
}

/* ------------------------------------------------------------------------------------------------------------------- database */

/* The database alone, from before it knew any of them: its log does. */
static void a_database(void **state)
{
    struct desk_client a, b, c;
    VF_BUF note = {0};

    (void)state;
    shut();
    struct part db = part_of("db");
    save(&db);
    d = desk_open(&w);
    desk_client_make(&w, "a", 10 * HOUR_US, 2, &a);
    desk_client_make(&w, "b", 10 * HOUR_US, 0, &b);
    desk_client_make(&w, "c", 10 * HOUR_US, 0, &c);
    assert_int_equal(desk_status_of(&w, d, &a, true, 0, VF_PART_TEXT), VF_ANSWER_OK);
    assert_int_equal(desk_status_of(&w, d, &a, false, 1, VF_PART_TEXT), VF_ANSWER_OK);
    assert_int_equal(desk_status_of(&w, d, &a, false, 2, VF_PART_TEXT), VF_ANSWER_BUDGET);
    assert_int_equal(desk_status_of(&w, d, &a, false, 0, VF_PART_IMAGE), VF_ANSWER_OK);
    revoke_device(&b);
    struct vf_revocation r = desk_revokes(&c);
    desk_revocation(&w, &r, &note);
    OK(desk_take(d, note.data, note.len, "c.revoked"));
    shut();
    put_back(&db);
    d = desk_open(&w);
    noticed(); /* restarts: what the log said is kept, although it is not read again */
    for (unsigned i = 0; i < 3; i++) {
        a.receipt.len = 0; /* whoever put the database back shows none */
        assert_int_equal(desk_status_of(&w, d, &a, true, 2, VF_PART_TEXT), VF_ANSWER_BUDGET);
        assert_int_equal(desk_status_of(&w, d, &a, true, 1, VF_PART_TEXT), VF_ANSWER_OK);
        assert_int_equal(desk_status_of(&w, d, &b, true, 0, VF_PART_TEXT), VF_ANSWER_REVOKED);
        assert_int_equal(desk_status_of(&w, d, &c, true, 0, VF_PART_TEXT), VF_ANSWER_REVOKED);
        if (i == 1) { /* and once more, of the same day */
            shut();
            put_back(&db);
            d = desk_open(&w);
            noticed();
        } else {
            reopen();
        }
    }
    desk_client_done(&a);
    desk_client_done(&b);
    desk_client_done(&c);
}

/* ------------------------------------------------------------------------------------------------------------------- the files */

static void other_files(void **state)
{
    static const char *const names[] = {"", "seal", "db/data.mdb", "prekeys/1"};
    struct desk_client a;

    (void)state;
    desk_client_make(&w, "a", 40 * HOUR_US, 0, &a);
    assert_int_equal(desk_status_of(&w, d, &a, true, 0, VF_PART_TEXT), VF_ANSWER_OK);
    for (size_t i = 0; i < 4; i++) {
        shut();
        struct part p = part_of(names[i]);
        save(&p);
        put_back(&p);
        d = desk_open(&w);
        a.receipt.len = 0;
        assert_int_equal(desk_status_of(&w, d, &a, false, 0, VF_PART_TEXT), VF_ANSWER_UNREADY);
        noticed();
        assert_int_equal(desk_status_of(&w, d, &a, false, 0, VF_PART_TEXT), VF_ANSWER_OK);
    }
    /* Renamed, it is the same; and a batch that is made is one of its own. */
    char moved[500];
    VF_BUF more = {.max = VF_PREKEYS_FILE_MAX};
    OK(vf_desk_prekeys_add(d, 4, 0, &more, why));
    shut();
    (void)snprintf(moved, sizeof(moved), "%s/moved", w.p.dir.path);
    assert_int_equal(rename(w.store, moved), 0);
    assert_int_equal(rename(moved, w.store), 0);
    d = desk_open(&w);
    assert_true(state_of().ready);
    assert_int_equal(desk_status_of(&w, d, &a, false, 1, VF_PART_TEXT), VF_ANSWER_OK);
    desk_client_done(&a);
}

/* A new store may be copied to its place before it has served. */
static void before_it_serves(void **state)
{
    (void)state;
    desk_world_make(&w, 2, 4, 0);
    struct part all = part_of("");
    save(&all);
    put_back(&all);
    d = desk_open(&w);
    desk_take_policy(&w, d);
    assert_true(state_of().ready);
    reopen();
    assert_true(state_of().ready);
}

/* -------------------------------------------------------------------------------------------------------- one manifest, two grants */

struct found {
    struct vf_grant_id id;
    uint64_t texts;
};

static enum vf_err find(void *user, const struct vf_desk_grant_item *item, struct vf_why *unused)
{
    struct found *f = user;

    (void)unused;
    if (memcmp(&f->id, &item->grant.id, sizeof(f->id)) == 0)
        f->texts = item->released[VF_PART_TEXT];
    return VF_OK;
}

/* What has ended stays ended, with what was released of it, although another grant of the same records goes on. */
static void the_same_records(void **state)
{
    struct desk_client a, b;

    (void)state;
    desk_client_make(&w, "ends", HOUR_US, 0, &a);
    desk_client_make(&w, "goes-on", 20 * HOUR_US, 2, &b);
    assert_int_equal(desk_status_of(&w, d, &a, true, 0, VF_PART_TEXT), VF_ANSWER_OK);
    assert_int_equal(desk_status_of(&w, d, &b, true, 0, VF_PART_TEXT), VF_ANSWER_OK);
    fake_clock_pass(HOUR_US);
    OK(vf_desk_tick(d, why));
    for (unsigned i = 0; i < 3; i++) {
        struct found f = {.id = a.i.f.grant.id};
        OK(vf_desk_grant_each(d, find, &f, why));
        assert_int_equal(f.texts, 1);
        OK(vf_desk_tick(d, why));
        reopen();
        assert_int_equal(desk_log_counts(&w, VF_EVENT_EXPIRE, NULL), 1);
    }
    assert_int_equal(desk_status_of(&w, d, &b, false, 1, VF_PART_TEXT), VF_ANSWER_OK);
    assert_int_equal(desk_status_of(&w, d, &b, false, 2, VF_PART_TEXT), VF_ANSWER_BUDGET);
    assert_int_equal(desk_status_of(&w, d, &a, false, 0, VF_PART_TEXT), VF_ANSWER_ENDED);
    desk_client_done(&a);
    desk_client_done(&b);
}

/* ------------------------------------------------------------------------------------------------------------------- the clock */

/* A month ahead while it ran, set right and confirmed: from then on restarts are as ever, although its log is ahead. */
static void a_clock_set_right(void **state)
{
    (void)state;
    fake_clock_step(720 * HOUR_US);
    OK(vf_desk_tick(d, why));
    assert_false(state_of().ready);
    fake_clock_step(-720 * HOUR_US);
    OK(vf_desk_confirm(d, why));
    for (unsigned day = 0; day < 3; day++) {
        for (unsigned i = 0; i < 13; i++) {
            fake_clock_pass(2 * HOUR_US);
            OK(vf_desk_tick(d, why));
        }
        reopen();
        if (!state_of().ready)
            fail_msg("day %u: %s", day, state_of().unready);
    }
    /* And it is not believed blindly. */
    shut();
    fake_clock_step(-2 * HOUR_US);
    d = desk_open(&w);
    assert_false(state_of().ready);
    fake_clock_step(2 * HOUR_US);
    OK(vf_desk_confirm(d, why));
    shut();
    fake_clock_pass(25 * HOUR_US);
    d = desk_open(&w);
    assert_false(state_of().ready);
}

/*
 * Hours ahead at a start: for ten minutes nobody is told the time. What has ended by that clock is destroyed all the same: a desk that is
 * opened by hand now and then would never come to it otherwise.
 */
static void ahead_at_a_start(void **state)
{
    struct desk_client a, b;

    (void)state;
    desk_client_make(&w, "a", 10 * HOUR_US, 0, &a);
    assert_int_equal(desk_status_of(&w, d, &a, true, 0, VF_PART_TEXT), VF_ANSWER_OK);
    shut();
    fake_clock_step(20 * HOUR_US);
    d = desk_open(&w);
    assert_int_equal(state_of().prekeys_destroyed, 1);
    desk_client_make(&w, "b", 100 * HOUR_US, 0, &b);
    for (unsigned settled = 0; settled < 2; settled++) {
        desk_client_works(&b, 1);
        struct vf_request req = desk_request(&b, settled == 0);
        desk_want(&b, &req, 0, VF_PART_TEXT);
        VF_CLEANUP(desk_reply_done) struct desk_reply p = desk_ask(&w, d, &b, &req);
        assert_int_equal(p.answer.status, VF_ANSWER_OK);
        assert_int_equal(p.answer.time_us != 0, settled);
        fake_clock_pass(600 * VF_SECOND_US);
        OK(vf_desk_tick(d, why));
    }
    desk_client_done(&b);
    desk_client_done(&a);
}

/* ------------------------------------------------------------------------------------------------------------------- answers */

/* Whatever the status is, the station learns how much of its log is here; also when nobody opened the copy yet. */
static void what_it_has(void **state)
{
    struct desk_client a;

    (void)state;
    desk_client_make(&w, "a", 20 * HOUR_US, 0, &a);
    assert_int_equal(desk_status_of(&w, d, &a, true, 0, VF_PART_TEXT), VF_ANSWER_OK);
    uint64_t known = a.known;
    assert_true(known > 0);
    fake_clock_step(2 * HOUR_US);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(desk_status_of(&w, d, &a, false, 1, VF_PART_TEXT), VF_ANSWER_UNREADY);
        assert_int_equal(a.known, known);
        reopen();
    }
    desk_client_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_database, begin, end),
        cmocka_unit_test_setup_teardown(other_files, begin, end),
        cmocka_unit_test_setup_teardown(before_it_serves, NULL, end),
        cmocka_unit_test_setup_teardown(the_same_records, begin, end),
        cmocka_unit_test_setup_teardown(a_clock_set_right, begin, end),
        cmocka_unit_test_setup_teardown(ahead_at_a_start, begin, end),
        cmocka_unit_test_setup_teardown(what_it_has, begin, end),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
