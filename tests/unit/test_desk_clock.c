/* SPDX-License-Identifier: MIT */
/* A desk whose clock is in doubt releases nothing and destroys nothing until a person confirms. */
#include "../../vaultfs/desk/desk_internal.h"
#include "desk_test.h"

#include "fakeclock.h"

#include <unistd.h>

#define HOUR_US (3600 * VF_SECOND_US)

static struct desk_world w;
static struct desk_client c;
static struct vf_desk *d;

static int set_up(void **state)
{
    return desk_set_up(state);
}

static int tear_down(void **state)
{
    return desk_tear_down(state);
}

static void shut(void)
{
    struct vf_desk *was = d;

    d = NULL;
    desk_close(was);
}

/* A desk with a grant of 20 days that was used. */
static int begin(void **state)
{
    (void)state;
    desk_world_make(&w, 2, 4, 0);
    d = desk_open(&w);
    desk_take_policy(&w, d);
    desk_client_make(&w, "bureau", 20 * VF_DAY_US, 0, &c);
    assert_int_equal(desk_status_of(&w, d, &c, true, 0, VF_PART_TEXT), VF_ANSWER_OK);
    return 0;
}

static int end(void **state)
{
    (void)state;
    if (d != NULL)
        shut();
    desk_client_done(&c);
    desk_world_done(&w);
    return 0;
}

static void reopen(void)
{
    shut();
    d = desk_open(&w);
}

static enum vf_answer_status status(void)
{
    return desk_status_of(&w, d, &c, false, 0, VF_PART_TEXT);
}

static struct vf_desk_status state_of(void)
{
    struct vf_desk_status s;

    OK(vf_desk_status_get(d, &s, why));
    assert_true(s.ready == (s.unready[0] == '\0'));
    return s;
}

/* Not ready, says why with this word, gives no time away, and stays so over a tick and a restart. */
static void in_doubt(const char *word)
{
    for (unsigned i = 0; i < 2; i++) {
        desk_client_works(&c, 1);
        struct vf_request req = desk_request(&c, false);
        desk_want(&c, &req, 0, VF_PART_TEXT);
        VF_CLEANUP(desk_reply_done) struct desk_reply r = desk_ask(&w, d, &c, &req);
        OK(r.err);
        assert_int_equal(r.answer.status, VF_ANSWER_UNREADY);
        assert_int_equal(r.answer.time_us, 0);
        assert_int_equal(r.answer.lease_us, 0);
        if (strstr(state_of().unready, word) == NULL)
            fail_msg("\"%s\" does not say \"%s\"", state_of().unready, word);
        VF_BUF more = {.max = VF_PREKEYS_FILE_MAX};
        assert_int_equal(vf_desk_prekeys_add(d, 4, 0, &more, why), VF_E_CLOCK);
        OK(vf_desk_tick(d, why));
        if (i == 0)
            reopen();
    }
}

static void steps_back(void **state)
{
    (void)state;
    fake_clock_pass(HOUR_US);
    assert_int_equal(status(), VF_ANSWER_OK);
    fake_clock_step(-30 * VF_SECOND_US); /* as a clock is set right */
    assert_int_equal(status(), VF_ANSWER_OK);
    fake_clock_step(-40 * VF_SECOND_US);
    in_doubt("behind");
    OK(vf_desk_confirm(d, why));
    assert_int_equal(status(), VF_ANSWER_OK);
    reopen();
    assert_int_equal(status(), VF_ANSWER_OK);
}

static void steps_forward(void **state)
{
    (void)state;
    fake_clock_step(HOUR_US);
    assert_int_equal(status(), VF_ANSWER_OK);
    fake_clock_step(VF_SECOND_US);
    in_doubt("forward by 60 minutes");
    fake_clock_step(-HOUR_US); /* right again, and doubted all the same */
    assert_int_equal(status(), VF_ANSWER_UNREADY);
    OK(vf_desk_confirm(d, why));
    assert_int_equal(status(), VF_ANSWER_OK);
}

static void *confirm_on(void *arg)
{
    *(enum vf_err *)arg = vf_desk_confirm(d, NULL);
    return NULL;
}

/* What is doubted between a person's word and its taking effect is not what he was told of: it stays, over a restart too. */
static void doubted_while_confirming(void **state)
{
    enum vf_err err = VF_OK;
    pthread_t thread;

    (void)state;
    fake_clock_step(2 * HOUR_US);
    in_doubt("forward by 120 minutes");
    unsigned confirmed = desk_log_counts(&w, VF_EVENT_TIME, "confirmed");
    pthread_mutex_lock(&d->take_lock); /* his word is in the log, and he waits for the store's files to be looked at */
    assert_int_equal(pthread_create(&thread, NULL, confirm_on, &err), 0);
    while (desk_log_counts(&w, VF_EVENT_TIME, "confirmed") == confirmed)
        (void)usleep(1000);
    vf_desk_clock_doubt(d, "a station has a receipt for more than there is");
    pthread_mutex_unlock(&d->take_lock);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(err, VF_E_CLOCK);
    in_doubt("a station has a receipt");
    assert_int_equal(desk_log_counts(&w, VF_EVENT_TIME, "unready"), 2);
    OK(vf_desk_confirm(d, why));
    assert_int_equal(status(), VF_ANSWER_OK);
}

/* An hour and more from what it was when the desk was opened, in small steps, is a step. */
static void creeps(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 6; i++) {
        fake_clock_step(10 * 60 * VF_SECOND_US);
        fake_clock_pass(VF_SECOND_US);
        assert_int_equal(status(), VF_ANSWER_OK);
    }
    fake_clock_step(10 * 60 * VF_SECOND_US);
    in_doubt("forward");
}

static void was_away(void **state)
{
    (void)state;
    shut();
    fake_clock_pass(24 * HOUR_US - VF_SECOND_US);
    d = desk_open(&w);
    assert_int_equal(status(), VF_ANSWER_OK);
    shut();
    fake_clock_reboot(24 * HOUR_US + 61 * VF_SECOND_US);
    d = desk_open(&w);
    in_doubt("24 hours");
    OK(vf_desk_confirm(d, why));
    assert_int_equal(status(), VF_ANSWER_OK);
    assert_true(state_of().ready);
}

/* A quiet desk makes an entry now and then, and one when it closes. */
static void was_quiet(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        fake_clock_pass(HOUR_US / 2);
        OK(vf_desk_tick(d, why));
    }
    shut();
    unsigned told = desk_log_counts(&w, VF_EVENT_TIME, "ok");
    assert_in_range(told, 8, 10);
    fake_clock_pass(23 * HOUR_US);
    d = desk_open(&w);
    assert_int_equal(status(), VF_ANSWER_OK);
}

/* By a doubted clock nothing ends: refused, and its key stays until the clock is confirmed. What had ended is ended; what was revoked goes at once. */
static void ends_in_doubt(void **state)
{
    struct vf_desk_status s;
    struct desk_client other, ended;
    VF_BUF note = {0};

    (void)state;
    desk_client_make(&w, "other", 30 * VF_DAY_US, 0, &other);
    assert_int_equal(desk_status_of(&w, d, &other, true, 0, VF_PART_TEXT), VF_ANSWER_OK);
    desk_client_make(&w, "ended", 2 * VF_SECOND_US, 0, &ended);
    assert_int_equal(desk_status_of(&w, d, &ended, true, 0, VF_PART_TEXT), VF_ANSWER_OK);
    fake_clock_pass(2 * VF_SECOND_US);
    assert_int_equal(desk_status_of(&w, d, &ended, false, 0, VF_PART_TEXT), VF_ANSWER_ENDED);
    fake_clock_step(21 * VF_DAY_US);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(status(), VF_ANSWER_UNREADY);
        assert_int_equal(desk_status_of(&w, d, &ended, false, 0, VF_PART_TEXT), VF_ANSWER_ENDED);
        OK(vf_desk_tick(d, why));
        s = state_of();
        assert_true(!s.ready && s.prekeys_destroyed == 0 && s.prekeys_live == 4);
        reopen();
    }
    assert_int_equal(desk_status_of(&w, d, &other, false, 0, VF_PART_TEXT), VF_ANSWER_UNREADY);
    struct vf_revocation r = desk_revokes(&other);
    desk_revocation(&w, &r, &note);
    OK(desk_take(d, note.data, note.len, "other.revoked"));
    assert_int_equal(desk_status_of(&w, d, &other, false, 0, VF_PART_TEXT), VF_ANSWER_REVOKED);
    s = state_of();
    assert_true(s.prekeys_destroyed == 1 && s.prekeys_live == 3);
    /* It was a mistake: set right and confirmed, the grant goes on. */
    fake_clock_step(-21 * VF_DAY_US);
    assert_int_equal(status(), VF_ANSWER_UNREADY);
    OK(vf_desk_confirm(d, why));
    OK(vf_desk_tick(d, why));
    assert_int_equal(state_of().prekeys_destroyed, 2);
    assert_int_equal(status(), VF_ANSWER_OK);
    /* The log has entries of the future now: what it says of time is what was confirmed. */
    reopen();
    assert_int_equal(status(), VF_ANSWER_OK);
    assert_true(state_of().ready);
    /* It was right: confirmed as it is, the key goes. */
    fake_clock_step(21 * VF_DAY_US);
    assert_int_equal(status(), VF_ANSWER_UNREADY);
    OK(vf_desk_confirm(d, why));
    assert_int_equal(status(), VF_ANSWER_ENDED);
    OK(vf_desk_tick(d, why));
    assert_int_equal(state_of().prekeys_destroyed, 3);
    desk_client_done(&other);
    desk_client_done(&ended);
}

/* For looking only: the same doubt, and nothing is written. */
static void seen_from_outside(void **state)
{
    VF_DESK look = NULL;
    struct vf_desk_status s;
    char saved[400];

    (void)state;
    fake_clock_step(2 * HOUR_US);
    OK(vf_desk_tick(d, why));
    OK(vf_desk_open(w.store, VF_DESK_STATUS, NULL, &look, why));
    OK(vf_desk_status_get(look, &s, why));
    assert_true(!s.ready && s.policy == 2 && s.devices == 1 && s.grants_live == 1 && s.log_size > 3);
    assert_string_equal(s.force_name, "Example Constabulary");
    assert_non_null(strstr(s.unready, "forward"));
    assert_int_equal(vf_desk_confirm(look, why), VF_E_USAGE);
    assert_int_equal(vf_desk_tick(look, why), VF_E_USAGE);
    assert_int_equal(vf_desk_receive(look, NULL, 0, NULL, NULL, why), VF_E_USAGE);
    VF_DESK second = NULL;
    assert_int_equal(vf_desk_open(w.store, VF_DESK_SERVE, w.desk, &second, why), VF_E_BUSY);
    VF_IDENTITY other = NULL;
    OK(vf_identity_new(VF_ROLE_DESK, "desk", &other, why));
    assert_int_equal(vf_desk_open(w.store, VF_DESK_SERVE, other, &second, why), VF_E_REFUSED);
    assert_int_equal(vf_desk_open(w.store, VF_DESK_SERVE, NULL, &second, why), VF_E_USAGE);
    assert_int_equal(vf_desk_open(w.p.dir.path, VF_DESK_SERVE, w.desk, &second, why), VF_E_NOT_FOUND);
    (void)place_path(&w.p, "none", saved);
    assert_int_equal(vf_desk_open(saved, VF_DESK_STATUS, NULL, &second, why), VF_E_NOT_FOUND);
    OK(vf_desk_confirm(d, why));
}

static enum vf_err add_texts(void *user, const struct vf_desk_grant_item *item, struct vf_why *unused)
{
    (void)unused;
    *(uint64_t *)user += item->released[VF_PART_TEXT];
    return VF_OK;
}

/* Database and log of different moments. */
static void log_and_database(void **state)
{
    char db[500], log[500], seal[500], saved[500], saved_seal[500], saved_db[500];
    VF_BUF bytes = {0};

    (void)state;
    shut();
    (void)snprintf(db, sizeof(db), "%s/db/data.mdb", w.store);
    (void)snprintf(log, sizeof(log), "%s/log", w.store);
    (void)snprintf(seal, sizeof(seal), "%s/seal", w.store);
    (void)place_path(&w.p, "old-log", saved);
    (void)place_path(&w.p, "old-seal", saved_seal);
    (void)place_path(&w.p, "old-db", saved_db);
    copy_folder(log, saved);
    OK(vf_file_read(seal, 65536, &bytes, why));
    OK(vf_file_write(saved_seal, bytes.data, bytes.len, 0600, true, why));
    vf_buf_done(&bytes);
    OK(vf_file_read(db, 64u << 20, &bytes, why));
    OK(vf_file_write(saved_db, bytes.data, bytes.len, 0600, true, why));
    vf_buf_done(&bytes);
    d = desk_open(&w);
    assert_int_equal(desk_status_of(&w, d, &c, false, 1, VF_PART_TEXT), VF_ANSWER_OK);
    shut();
    /* An older database: the log has what it lacks. */
    OK(vf_file_read(saved_db, 64u << 20, &bytes, why));
    VF_BUF newer = {0};
    OK(vf_file_read(db, 64u << 20, &newer, why));
    OK(vf_file_write(db, bytes.data, bytes.len, 0600, true, why));
    d = desk_open(&w);
    in_doubt("put back");
    OK(vf_desk_confirm(d, why));
    assert_int_equal(status(), VF_ANSWER_OK);
    shut();
    /* An older log with its seal: the newer database knows better. */
    OK(vf_file_write(db, newer.data, newer.len, 0600, true, why));
    vf_dir_remove(log);
    copy_folder(saved, log);
    vf_buf_done(&bytes);
    OK(vf_file_read(saved_seal, 65536, &bytes, why));
    OK(vf_file_write(seal, bytes.data, bytes.len, 0600, true, why));
    d = desk_open(&w);
    in_doubt("same moment");
    OK(vf_desk_confirm(d, why));
    assert_int_equal(status(), VF_ANSWER_OK);
    uint64_t texts = 0;
    OK(vf_desk_grant_each(d, add_texts, &texts, why));
    assert_int_equal(texts, 2); /* one of them the older log does not know */
}

/* A changed own log: not opened at all. */
static void a_changed_log(void **state)
{
    char path[500];
    VF_BUF bytes = {0};
    struct vf_desk *none = NULL;

    (void)state;
    shut();
    (void)snprintf(path, sizeof(path), "%s/log/entries-00000000000000000000.jsonl", w.store);
    OK(vf_file_read(path, 1u << 20, &bytes, why));
    uint8_t *at = memmem(bytes.data, bytes.len, "\"release\"", 9);
    assert_non_null(at);
    memcpy(at, "\"refuse\",", 9);
    OK(vf_file_write(path, bytes.data, bytes.len, 0600, true, why));
    /* The snapshot in the database saves the reading: without it, everything is read. */
    char db[500];
    (void)snprintf(db, sizeof(db), "%s/db/data.mdb", w.store);
    VF_BUF rows = {0};
    OK(vf_file_read(db, 64u << 20, &rows, why));
    for (uint8_t *p = rows.data; (p = memmem(p, (size_t)(rows.data + rows.len - p), "VFDSKKN2", 8)) != NULL; p += 8)
        p[20] ^= 1; /* its MAC fails */
    OK(vf_file_write(db, rows.data, rows.len, 0600, true, why));
    assert_int_equal(vf_desk_open(w.store, VF_DESK_SERVE, w.desk, &none, why), VF_E_FORGED);
    assert_null(none);
    memcpy(at, "\"release\"", 9);
    OK(vf_file_write(path, bytes.data, bytes.len, 0600, true, why));
    d = desk_open(&w);
    in_doubt("put back"); /* the database is another file now */
    OK(vf_desk_confirm(d, why));
    assert_int_equal(status(), VF_ANSWER_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(steps_back, begin, end),
        cmocka_unit_test_setup_teardown(steps_forward, begin, end),
        cmocka_unit_test_setup_teardown(doubted_while_confirming, begin, end),
        cmocka_unit_test_setup_teardown(creeps, begin, end),
        cmocka_unit_test_setup_teardown(was_away, begin, end),
        cmocka_unit_test_setup_teardown(was_quiet, begin, end),
        cmocka_unit_test_setup_teardown(ends_in_doubt, begin, end),
        cmocka_unit_test_setup_teardown(seen_from_outside, begin, end),
        cmocka_unit_test_setup_teardown(log_and_database, begin, end),
        cmocka_unit_test_setup_teardown(a_changed_log, begin, end),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
