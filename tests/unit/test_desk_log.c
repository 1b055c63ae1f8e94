/* SPDX-License-Identifier: MIT */
/* No log, no key: copies that only grow, stations that are not what they were, and a desk that is not what it was. */
#include "desk_test.h"

#include "fakeclock.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define HOUR_US (3600 * VF_SECOND_US)

static struct desk_world w;
static struct vf_desk *d;

static int set_up(void **state)
{
    return desk_and_force(state, &w, 3, 20, true, &d);
}

static int tear_down(void **state)
{
    return desk_and_force_done(state, &w, d);
}

static enum vf_err hand_in(const struct desk_client *c, const char *name)
{
    char path[400];
    VF_FD fd = -1;

    (void)place_path(&w.p, name, path);
    bureau_hands_in(&c->b, path);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    const struct vf_receive_file file = {.fd = fd, .name = name};
    return vf_desk_receive(d, &file, 1, NULL, NULL, why);
}

struct seen {
    const char *name;
    struct vf_desk_device_item item;
};

static enum vf_err see(void *user, const struct vf_desk_device_item *item, struct vf_why *unused)
{
    struct seen *s = user;

    (void)unused;
    if (strcmp(item->enrol.name, s->name) == 0)
        s->item = *item;
    return VF_OK;
}

static struct vf_desk_device_item device_of(const struct desk_client *c)
{
    struct seen s = {.name = c->b.enrol.name};

    OK(vf_desk_device_each(d, see, &s, why));
    assert_string_equal(s.item.enrol.name, s.name);
    return s.item;
}

/* The copy on the desk verifies under the enrolment, and has so many entries. */
static uint64_t copy_of(const struct desk_client *c)
{
    char path[600], hex[2 * VF_HASH_LEN + 1];
    struct vf_note_key key;
    const struct vf_verify_options opt = {.signers = &key, .nsigners = 1, .log_id = &c->b.enrol.log_id};
    VF_FREE struct vf_verdict *v = calloc(1, sizeof(*v));

    assert_non_null(v);
    vf_note_key_of(&c->b.enrol.device, &key);
    vf_hex(c->b.enrol.id.b, VF_HASH_LEN, hex);
    (void)snprintf(path, sizeof(path), "%s/devices/%s/log", w.store, hex);
    OK(vf_log_verify(path, &opt, v, why));
    assert_true(v->good && v->origin_checked);
    return v->sealed;
}

/* The station's folder as it was: its log goes on from there, with a seal of that time. */
static void save_station(const struct desk_client *c, const char *name)
{
    char log[520], seal[520];

    (void)snprintf(log, sizeof(log), "%s/%s-log", w.p.dir.path, name);
    (void)snprintf(seal, sizeof(seal), "%s/%s-seal", w.p.dir.path, name);
    copy_folder(c->b.log, log);
    VF_BUF data = {0};
    OK(vf_file_read(c->b.seal, 65536, &data, why));
    OK(vf_file_write(seal, data.data, data.len, 0600, true, why));
}

static void use_station(struct desk_client *c, const char *name)
{
    static const struct vf_log_options batch = {.batch = true};

    OK(vf_log_close(c->log, why));
    (void)snprintf(c->b.log, sizeof(c->b.log), "%s/%s-log", w.p.dir.path, name);
    (void)snprintf(c->b.seal, sizeof(c->b.seal), "%s/%s-seal", w.p.dir.path, name);
    OK(vf_log_open(c->b.log, c->b.seal, &batch, &c->log, why));
}

/* --------------------------------------------------------------------------------------------------------------------- copies */

static void a_copy_grows(void **state)
{
    struct desk_client c;

    (void)state;
    desk_client_make(&w, "grows", 10 * HOUR_US, 0, &c);
    for (unsigned i = 0; i < 5; i++) {
        desk_client_works(&c, i);
        assert_int_equal(desk_status_of(&w, d, &c, i == 0, 0, VF_PART_TEXT), VF_ANSWER_OK);
        assert_int_equal(copy_of(&c), c.known);
        assert_int_equal(device_of(&c).log_size, c.known);
        if (i == 2) {
            desk_close(d);
            d = desk_open(&w);
            assert_int_equal(device_of(&c).log_size, c.known);
            assert_true(device_of(&c).log_us > 0);
        }
    }
    /* By hand in between, and by request again. */
    desk_client_works(&c, 3);
    OK(hand_in(&c, "grows.log"));
    OK(hand_in(&c, "grows-again.log"));
    assert_true(copy_of(&c) > c.known);
    assert_int_equal(desk_status_of(&w, d, &c, false, 0, VF_PART_TEXT), VF_ANSWER_BEHIND);
    c.known = copy_of(&c);
    assert_int_equal(desk_status_of(&w, d, &c, false, 0, VF_PART_TEXT), VF_ANSWER_OK);
    desk_client_done(&c);
}

static void damage(const struct desk_client *c, const char *name, long back)
{
    char path[700], hex[2 * VF_HASH_LEN + 1];

    vf_hex(c->b.enrol.id.b, VF_HASH_LEN, hex);
    (void)snprintf(path, sizeof(path), "%s/devices/%s/log/%s", w.store, hex, name);
    scratch_damage(path, back);
}

/* By the desk's own disk: an entry, which nobody notices until somebody looks, and the last checkpoint, without which nothing is answered. */
static void a_copy_that_was_damaged(void **state)
{
    static const char *const names[] = {"entries-00000000000000000000.jsonl", "checkpoints"};
    struct desk_client c;

    (void)state;
    desk_client_make(&w, "damaged", 10 * HOUR_US, 0, &c);
    assert_int_equal(desk_status_of(&w, d, &c, true, 0, VF_PART_TEXT), VF_ANSWER_OK);
    for (unsigned i = 0; i < 2; i++) {
        desk_client_works(&c, 3);
        assert_int_equal(desk_status_of(&w, d, &c, false, 0, VF_PART_TEXT), VF_ANSWER_OK);
        desk_close(d);
        damage(&c, names[i], i == 0 ? 1200 : 30);
        d = desk_open(&w);
        if (i == 1)
            assert_int_not_equal(desk_status_of(&w, d, &c, false, 0, VF_PART_TEXT), VF_ANSWER_OK);
        unsigned told = desk_log_counts(&w, VF_EVENT_HANDIN, "ok");
        OK(hand_in(&c, i == 0 ? "whole.log" : "whole-again.log"));
        assert_int_equal(desk_log_counts(&w, VF_EVENT_HANDIN, "ok"), told + 1);
        c.known = copy_of(&c);
        assert_int_equal(device_of(&c).log_size, c.known);
        assert_int_equal(desk_status_of(&w, d, &c, false, 0, VF_PART_TEXT), VF_ANSWER_OK);
    }
    desk_client_done(&c);
}

/*
 * What is damaged is read to its end before that is known: not for each request that comes in the device's name. Whole again, it is taken for good
 * after a minute, or as soon as somebody hands the log in.
 */
static void a_damaged_copy_is_read_seldom(void **state)
{
    struct desk_client c;

    (void)state;
    desk_client_make(&w, "seldom", 10 * HOUR_US, 0, &c);
    assert_int_equal(desk_status_of(&w, d, &c, true, 0, VF_PART_TEXT), VF_ANSWER_OK);
    for (unsigned i = 0; i < 2; i++) {
        desk_close(d);
        damage(&c, "checkpoints", 30);
        d = desk_open(&w);
        assert_int_equal(desk_status_of(&w, d, &c, false, 0, VF_PART_TEXT), VF_ANSWER_UNREADY);
        damage(&c, "checkpoints", 30);
        assert_int_equal(desk_status_of(&w, d, &c, false, 0, VF_PART_TEXT), VF_ANSWER_UNREADY);
        if (i == 0)
            fake_clock_pass(60 * VF_SECOND_US);
        else
            OK(hand_in(&c, "seldom.log"));
        c.known = copy_of(&c);
        assert_int_equal(desk_status_of(&w, d, &c, false, 0, VF_PART_TEXT), VF_ANSWER_OK);
    }
    desk_client_done(&c);
}

static void a_log_of_nobody(void **state)
{
    struct desk_client c;

    (void)state;
    desk_client_make(&w, "nobody", HOUR_US, 0, &c);
    desk_client_works(&c, 2);
    assert_int_equal(hand_in(&c, "nobody.log"), VF_E_NOT_FOUND);
    OK(desk_take(d, c.b.enrol_bytes.data, c.b.enrol_bytes.len, "nobody.enrol"));
    OK(hand_in(&c, "nobody2.log"));
    desk_client_done(&c);
}

/* ---------------------------------------------------------------------------------------------------------------------- alarms */

/* Nobody waits for an alarm's entry: it goes to the disk with the next. */
static void assert_alarm_soon(unsigned before)
{
    for (unsigned i = 0; i < 500 && desk_log_counts(&w, VF_EVENT_REFUSE, "alarm") == before; i++)
        (void)usleep(10000);
    assert_int_equal(desk_log_counts(&w, VF_EVENT_REFUSE, "alarm"), before + 1);
}

/* Set back, and gone on from there: another log than the one handed in. Nothing any more, until somebody hands in the true one. */
static void a_log_that_forks(void **state)
{
    struct desk_client c;
    char true_log[500], true_seal[500];

    (void)state;
    desk_client_make(&w, "forks", 10 * HOUR_US, 0, &c);
    assert_int_equal(desk_status_of(&w, d, &c, true, 0, VF_PART_TEXT), VF_ANSWER_OK);
    save_station(&c, "back");
    assert_int_equal(desk_status_of(&w, d, &c, false, 0, VF_PART_TEXT), VF_ANSWER_OK);
    uint64_t had = copy_of(&c);
    (void)snprintf(true_log, sizeof(true_log), "%s", c.b.log);
    (void)snprintf(true_seal, sizeof(true_seal), "%s", c.b.seal);
    use_station(&c, "back");
    struct vf_log_state at;
    do {
        desk_client_works(&c, 1);
        vf_log_state_get(c.log, &at);
    } while (at.sealed < had + 2);
    /* It sends what it has from a size that is one of its checkpoints by chance, or what it has from the beginning. */
    c.known = 0;
    struct vf_request req = desk_request(&c, false);
    VF_BUF cps = {.max = VF_REQUEST_MAX}, entries = {.max = VF_REQUEST_MAX};
    OK(vf_log_tail(c.log, 0, VF_REQUEST_MAX, &cps, &entries, &req.log_size, why));
    req.log_from = had;
    req.checkpoints = (struct vf_slice){cps.data, cps.len};
    req.entries = (struct vf_slice){entries.data, entries.len};
    desk_want(&c, &req, 0, VF_PART_TEXT);
    VF_CLEANUP(desk_reply_done) struct desk_reply r = desk_ask(&w, d, &c, &req);
    OK(r.err);
    assert_int_equal(r.answer.status, VF_ANSWER_FORKED);
    assert_int_equal(copy_of(&c), had);
    assert_true(device_of(&c).alarm);
    assert_alarm_soon(0);
    /* The true log comes by the same way: refused, since nobody has looked yet. A restart and a confirmed clock do not help. */
    for (unsigned i = 0; i < 3; i++) {
        if (i == 0)
            OK(vf_log_close(c.log, why));
        (void)snprintf(c.b.log, sizeof(c.b.log), "%s", true_log);
        (void)snprintf(c.b.seal, sizeof(c.b.seal), "%s", true_seal);
        static const struct vf_log_options batch = {.batch = true};
        if (i == 0)
            OK(vf_log_open(c.b.log, c.b.seal, &batch, &c.log, why));
        c.known = had;
        assert_int_equal(desk_status_of(&w, d, &c, false, 0, VF_PART_TEXT), VF_ANSWER_FORKED);
        if (i == 0) {
            OK(vf_desk_confirm(d, why));
        } else {
            desk_close(d);
            d = desk_open(&w);
        }
    }
    struct desk_client false_one = {.b = c.b};
    (void)snprintf(false_one.b.log, sizeof(false_one.b.log), "%s/back-log", w.p.dir.path);
    assert_int_equal(hand_in(&false_one, "false.log"), VF_E_FORGED);
    assert_true(device_of(&c).alarm);
    OK(hand_in(&c, "true.log"));
    assert_false(device_of(&c).alarm);
    c.known = copy_of(&c);
    assert_int_equal(desk_status_of(&w, d, &c, false, 0, VF_PART_TEXT), VF_ANSWER_OK);
    desk_client_done(&c);
}

/* Entries and checkpoints with any byte changed by the device itself: never taken, and every time an alarm. */
static void a_log_that_fails(void **state)
{
    struct desk_client c;

    (void)state;
    desk_client_make(&w, "fails", 10 * HOUR_US, 0, &c);
    assert_int_equal(desk_status_of(&w, d, &c, true, 0, VF_PART_TEXT), VF_ANSWER_OK);
    uint64_t had = copy_of(&c);
    desk_client_works(&c, 1);
    struct vf_request req = desk_request(&c, false);
    c.entries.data[c.entries.len / 2] ^= 1;
    VF_CLEANUP(desk_reply_done) struct desk_reply r = desk_ask(&w, d, &c, &req);
    OK(r.err);
    assert_int_equal(r.answer.status, VF_ANSWER_FORKED);
    assert_int_equal(copy_of(&c), had);
    OK(hand_in(&c, "mended.log"));
    c.known = copy_of(&c);
    assert_int_equal(desk_status_of(&w, d, &c, false, 0, VF_PART_TEXT), VF_ANSWER_OK);
    desk_client_done(&c);
}

/* The same device sent this before: it comes late, or once more. */
static enum vf_answer_status comes_now(const struct vf_buf *sealed)
{
    VF_BUF out = {.max = VF_ANSWER_MAX};
    struct vf_desk_outcome o;

    OK(vf_desk_answer(d, sealed->data, sealed->len, 0, false, &out, &o, why));
    assert_int_equal(o.shares, 0);
    return o.status;
}

/*
 * Requests that are overtaken, held back, and played again, also to a desk that was started anew: each shows a shorter log than is here, and none
 * is a station whose log is shorter. Then one that is: set back, whatever of its log it sends, it raises the alarm at once.
 */
static void a_log_that_shrank(void **state)
{
    struct desk_client c;
    VF_BUF first = {0}, held = {0}, back = {0};

    (void)state;
    desk_client_make(&w, "shrinks", 10 * HOUR_US, 0, &c);
    desk_client_works(&c, 1);
    struct vf_request req = desk_request(&c, true);
    desk_request_seal(&w, c.b.device, &req, &first);
    assert_int_equal(comes_now(&first), VF_ANSWER_OK);
    c.known = copy_of(&c);
    save_station(&c, "short");
    desk_client_works(&c, 3);
    req = desk_request(&c, false);
    desk_want(&c, &req, 0, VF_PART_TEXT);
    desk_request_seal(&w, c.b.device, &req, &held);
    fake_clock_pass(VF_SECOND_US);
    assert_int_equal(desk_status_of(&w, d, &c, false, 0, VF_PART_TEXT), VF_ANSWER_OK);
    for (unsigned i = 0; i < 2; i++) {
        unsigned told = desk_log_counts(&w, VF_EVENT_REFUSE, "behind");
        assert_int_equal(comes_now(&first), VF_ANSWER_BEHIND);
        assert_int_equal(comes_now(&held), VF_ANSWER_BEHIND);
        assert_false(device_of(&c).alarm);
        desk_close(d);
        assert_int_equal(desk_log_counts(&w, VF_EVENT_REFUSE, "behind"), told + 2);
        d = desk_open(&w);
    }
    /* The start of a long log, by a station that does not know what the desk has: no reason for anything. */
    const uint64_t known = c.known;
    unsigned told = desk_log_counts(&w, VF_EVENT_REFUSE, NULL);
    c.known = 0;
    req = desk_request(&c, false);
    req.log_size = 0;
    req.checkpoints.len = req.entries.len = 0;
    desk_request_seal(&w, c.b.device, &req, &back);
    assert_int_equal(comes_now(&back), VF_ANSWER_BEHIND);
    desk_close(d);
    assert_int_equal(desk_log_counts(&w, VF_EVENT_REFUSE, NULL), told);
    d = desk_open(&w);
    c.known = known;
    assert_int_equal(desk_status_of(&w, d, &c, false, 0, VF_PART_TEXT), VF_ANSWER_OK);
    /* Set back. */
    const unsigned alarms = desk_log_counts(&w, VF_EVENT_REFUSE, "alarm");
    use_station(&c, "short");
    fake_clock_pass(VF_SECOND_US);
    c.known = 0;
    desk_client_works(&c, 1);
    req = desk_request(&c, false);
    desk_want(&c, &req, 0, VF_PART_TEXT);
    vf_buf_done(&back);
    desk_request_seal(&w, c.b.device, &req, &back);
    assert_int_equal(comes_now(&back), VF_ANSWER_FORKED);
    assert_true(device_of(&c).alarm);
    assert_alarm_soon(alarms);
    desk_client_done(&c);
}

/* Ten entries a minute, then how many more there were. */
static void refusals_are_counted(void **state)
{
    struct desk_client c;

    (void)state;
    desk_client_make(&w, "insists", HOUR_US, 0, &c);
    desk_introduce(&w, d, &c);
    fake_clock_pass(HOUR_US);
    unsigned before = desk_log_counts(&w, VF_EVENT_REFUSE, "ended");
    for (unsigned i = 0; i < 25; i++)
        assert_int_equal(desk_status_of(&w, d, &c, false, 0, VF_PART_TEXT), VF_ANSWER_ENDED);
    fake_clock_pass(61 * VF_SECOND_US);
    OK(vf_desk_tick(d, why));
    desk_close(d);
    assert_int_equal(desk_log_counts(&w, VF_EVENT_REFUSE, "ended") - before, 10);
    assert_int_equal(desk_log_counts(&w, VF_EVENT_REFUSE, "more"), 1);
    d = desk_open(&w);
    desk_client_done(&c);
}

/* ------------------------------------------------------------------------------------------------------ a desk that was set back */

static void a_store_restored(void **state)
{
    struct desk_client c;
    struct vf_desk_status s;
    char saved[400];

    (void)state;
    desk_client_make(&w, "has-receipts", 10 * HOUR_US, 0, &c);
    assert_int_equal(desk_status_of(&w, d, &c, true, 0, VF_PART_TEXT), VF_ANSWER_OK);
    desk_close(d);
    (void)place_path(&w.p, "backup", saved);
    copy_folder(w.store, saved);
    d = desk_open(&w);
    uint64_t then = c.known;
    assert_int_equal(desk_status_of(&w, d, &c, false, 1, VF_PART_TEXT), VF_ANSWER_OK);
    VF_BUF receipt = {.max = VF_NOTE_MAX};
    vf_buf_put(&receipt, c.receipt.data, c.receipt.len);
    desk_close(d);
    /* As with an image of the disk: the files are the same ones, so that nothing is to be seen yet. */
    char command[900];
    (void)snprintf(command, sizeof(command), "cp -RT '%s' '%s'", saved, w.store);
    assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c,concurrency-mt-unsafe): paths of the test's own folder */
    d = desk_open(&w);
    OK(vf_desk_status_get(d, &s, why));
    assert_true(s.ready);
    desk_client_works(&c, 1);
    struct vf_request req = desk_request(&c, false);
    desk_want(&c, &req, 0, VF_PART_TEXT);
    VF_CLEANUP(desk_reply_done) struct desk_reply r = desk_ask(&w, d, &c, &req);
    OK(r.err);
    assert_int_equal(r.answer.status, VF_ANSWER_UNREADY);
    assert_int_equal(r.answer.time_us, 0); /* nobody's trusted time */
    assert_int_equal(r.answer.log_size, then);
    OK(vf_desk_status_get(d, &s, why));
    assert_false(s.ready);
    assert_non_null(strstr(s.unready, "has-receipts"));
    /* Until it is confirmed, for everybody, and over a restart. */
    desk_close(d);
    d = desk_open(&w);
    c.known = then;
    vf_buf_reset(&c.receipt);
    assert_int_equal(desk_status_of(&w, d, &c, false, 0, VF_PART_TEXT), VF_ANSWER_UNREADY);
    fake_clock_pass(VF_SECOND_US);
    OK(vf_desk_confirm(d, why));
    vf_buf_put(&c.receipt, receipt.data, receipt.len); /* of before: it stays right, and asks nobody to confirm again */
    assert_int_equal(desk_status_of(&w, d, &c, false, 0, VF_PART_TEXT), VF_ANSWER_OK);
    assert_int_equal(desk_log_counts(&w, VF_EVENT_TIME, "unready"), 1);
    desk_client_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_copy_grows),
        cmocka_unit_test(a_copy_that_was_damaged),
        cmocka_unit_test(a_damaged_copy_is_read_seldom),
        cmocka_unit_test(a_log_of_nobody),
        cmocka_unit_test(a_log_that_forks),
        cmocka_unit_test(a_log_that_fails),
        cmocka_unit_test(a_log_that_shrank),
        cmocka_unit_test(refusals_are_counted),
        cmocka_unit_test(a_store_restored),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
