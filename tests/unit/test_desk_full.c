/* SPDX-License-Identifier: MIT */
/* A full disk, and no memory: no share without its entry, nothing lost, and it goes on by itself. And what a person hands to a desk. */
#include "desk_test.h"

#include "../../vaultfs/desk/desk_internal.h"

#include "fakeclock.h"
#include "faults.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define HOUR_US (3600 * VF_SECOND_US)

static struct desk_world w;
static struct vf_desk *d;

static int set_up(void **state)
{
    return desk_and_force(state, &w, 3, 30, true, &d);
}

static int tear_down(void **state)
{
    return desk_and_force_done(state, &w, d);
}

static struct desk_reply ask_text(struct desk_client *c, uint32_t row, enum fault_kind kind, unsigned nth, int err,
                                  bool lasting, bool *met)
{
    VF_BUF sealed = {0};

    desk_client_works(c, 1);
    struct vf_request req = desk_request(c, false);
    desk_want(c, &req, row, VF_PART_TEXT);
    desk_request_seal(&w, c->b.device, &req, &sealed);
    VF_BUF out = {.max = VF_ANSWER_MAX};
    struct desk_reply r = {0};
    vf_buf_reserve(&out, 65536);
    if (lasting)
        faults_arm_lasting(kind, nth, err);
    else
        faults_arm(kind, nth, err);
    r.err = vf_desk_answer(d, sealed.data, sealed.len, 0, false, &out, &r.outcome, why);
    *met = faults_disarm();
    if (r.err == VF_OK) {
        OK(vf_answer_open(c->key, vf_identity_pub_get(w.desk), &req.hash, out.data, out.len, &r.rest, &r.answer, &r.shares,
                          why));
        c->known = r.answer.log_size;
    }
    return r;
}

/* Each write, flush and allocation of an answer fails in turn. With shares, the entry is there; without, the next request gets them. */
static void each_call_fails(void **state)
{
    static const struct {
        enum fault_kind kind;
        int err;
    } faults[] = {{FAULT_WRITE, ENOSPC}, {FAULT_SYNC, EIO}, {FAULT_MEMORY, ENOMEM}};
    struct desk_client c;

    (void)state;
    desk_client_make(&w, "unlucky", 10 * HOUR_US, 0, &c);
    desk_introduce(&w, d, &c);
    for (size_t k = 0; k < 3; k++) {
        unsigned refused = 0;
        for (unsigned nth = 1; nth < 200; nth += (unsigned)test_step(5)) {
            bool met = false;
            VF_CLEANUP(desk_reply_done)
            struct desk_reply r = ask_text(&c, 0, faults[k].kind, nth, faults[k].err, false, &met);
            if (r.err != VF_OK) {
                assert_int_equal(r.err, VF_E_NOMEM);
            } else if (r.answer.status == VF_ANSWER_OK) {
                assert_int_equal(r.answer.nshares, 1);
            } else {
                assert_true(r.answer.status == VF_ANSWER_UNREADY || r.answer.status == VF_ANSWER_BEHIND);
                assert_int_equal(r.answer.nshares, 0);
                refused++;
            }
            fake_clock_pass(VF_SECOND_US); /* the log tries again a little later */
            enum vf_answer_status s = desk_status_of(&w, d, &c, false, 0, VF_PART_TEXT);
            if (s == VF_ANSWER_BEHIND) /* what was taken although no answer came */
                s = desk_status_of(&w, d, &c, false, 0, VF_PART_TEXT);
            if (s == VF_ANSWER_BEHIND) {
                struct vf_request req = desk_request(&c, false);
                VF_CLEANUP(desk_reply_done) struct desk_reply again = desk_ask(&w, d, &c, &req);
                c.known = again.answer.log_size;
                s = desk_status_of(&w, d, &c, false, 0, VF_PART_TEXT);
            }
            assert_int_equal(s, VF_ANSWER_OK);
            if (!met)
                break;
            assert_in_range(nth, 1, 198);
        }
        assert_true(refused > 0 || faults[k].kind == FAULT_MEMORY);
    }
    desk_client_done(&c);
}

/* Full for longer: UNREADY, and again as soon as there is room. Nothing counts that was not released. */
static void full_for_longer(void **state)
{
    struct desk_client c;
    bool met = false;

    (void)state;
    desk_client_make(&w, "patient", 10 * HOUR_US, 2, &c);
    desk_introduce(&w, d, &c);
    for (unsigned nth = 1; nth <= 8; nth++) {
        VF_CLEANUP(desk_reply_done) struct desk_reply r = ask_text(&c, 0, FAULT_WRITE, nth, ENOSPC, true, &met);
        OK(r.err);
        if (!met)
            break;
        assert_true(r.answer.status == VF_ANSWER_UNREADY || nth > 3);
        fake_clock_pass(VF_SECOND_US);
        enum vf_answer_status s = desk_status_of(&w, d, &c, false, 0, VF_PART_IMAGE);
        for (unsigned i = 0; i < 3 && s == VF_ANSWER_BEHIND; i++) {
            struct vf_request req = desk_request(&c, false);
            VF_CLEANUP(desk_reply_done) struct desk_reply again = desk_ask(&w, d, &c, &req);
            c.known = again.answer.log_size;
            s = desk_status_of(&w, d, &c, false, 0, VF_PART_IMAGE);
        }
        assert_int_equal(s, VF_ANSWER_OK);
    }
    assert_int_equal(desk_status_of(&w, d, &c, false, 0, VF_PART_TEXT), VF_ANSWER_OK);
    assert_int_equal(desk_status_of(&w, d, &c, false, 1, VF_PART_TEXT), VF_ANSWER_OK);
    assert_int_equal(desk_status_of(&w, d, &c, false, 2, VF_PART_TEXT), VF_ANSWER_BUDGET);
    desk_client_done(&c);
}

/* A key that cannot be overwritten yet is dead all the same, and is tried again. */
static void an_end_on_a_full_disk(void **state)
{
    struct desk_client c;
    struct vf_desk_status s;

    (void)state;
    desk_client_make(&w, "late", HOUR_US, 0, &c);
    desk_introduce(&w, d, &c);
    OK(vf_desk_status_get(d, &s, why));
    uint64_t before = s.prekeys_destroyed;
    fake_clock_pass(HOUR_US);
    faults_arm_lasting(FAULT_WRITE, 1, EIO);
    enum vf_err err = vf_desk_tick(d, why);
    faults_disarm();
    assert_int_not_equal(err, VF_OK);
    assert_int_equal(desk_status_of(&w, d, &c, false, 0, VF_PART_TEXT), VF_ANSWER_ENDED);
    OK(vf_desk_status_get(d, &s, why));
    assert_int_equal(s.prekeys_destroyed, before);
    fake_clock_pass(VF_SECOND_US);
    OK(vf_desk_tick(d, why));
    OK(vf_desk_status_get(d, &s, why));
    assert_int_equal(s.prekeys_destroyed, before + 1);
    desk_client_done(&c);
}

/* A disk that takes nothing more stops no revocation: refused from that moment, its slot overwritten; and written down when there is room. */
static void a_revocation_on_a_full_disk(void **state)
{
    struct desk_client c;
    struct vf_desk_status s;
    VF_BUF note = {0};

    (void)state;
    desk_client_make(&w, "taken", 10 * HOUR_US, 0, &c);
    desk_introduce(&w, d, &c);
    OK(vf_desk_status_get(d, &s, why));
    uint64_t before = s.prekeys_destroyed;
    struct vf_revocation r = desk_revokes(&c);
    desk_revocation(&w, &r, &note);
    fake_clock_pass(VF_SECOND_US);
    put_file(&w.p, "taken.revoked", note.data, note.len);
    char path[400];
    VF_FD fd = open(place_path(&w.p, "taken.revoked", path), O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    const struct vf_receive_file file = {.fd = fd, .name = "taken.revoked"};
    faults_arm_lasting(FAULT_SYNC, 1, ENOSPC);
    enum vf_err err = vf_desk_receive(d, &file, 1, NULL, NULL, why);
    faults_disarm();
    assert_int_equal(err, VF_E_DISK_FULL);
    assert_non_null(strstr(why->text, "hand it in again"));
    assert_int_equal(desk_status_of(&w, d, &c, false, 0, VF_PART_TEXT), VF_ANSWER_REVOKED);
    OK(vf_desk_status_get(d, &s, why));
    assert_int_equal(s.prekeys_destroyed, before + 1);
    fake_clock_pass(VF_SECOND_US);
    OK(vf_desk_tick(d, why));
    OK(desk_take(d, note.data, note.len, "taken.revoked"));
    desk_close(d);
    assert_true(desk_log_counts(&w, VF_EVENT_REVOKE, "ok") >= 1);
    d = desk_open(&w);
    assert_int_equal(desk_status_of(&w, d, &c, false, 0, VF_PART_TEXT), VF_ANSWER_REVOKED);
    desk_client_done(&c);
}

/* 64 MiB of log at once, then as much as an hour lets through; and some room is held back on the disk. */
static void so_much_log(void **state)
{
    static struct vf_desk_device dev;
    struct stat st;
    char path[500];

    (void)state;
    assert_int_equal(pthread_mutex_init(&dev.small, NULL), 0);
    const int64_t now = vf_clock_boot_us();
    assert_false(vf_desk_log_too_much(&dev, VF_DESK_LOG_HOUR / 2, now));
    assert_false(vf_desk_log_too_much(&dev, VF_DESK_LOG_HOUR / 2, now));
    assert_true(vf_desk_log_too_much(&dev, 1, now));
    assert_true(vf_desk_log_too_much(&dev, VF_DESK_LOG_HOUR / 2 + 4096, now + HOUR_US / 2));
    assert_false(vf_desk_log_too_much(&dev, VF_DESK_LOG_HOUR / 2 - 4096, now + HOUR_US / 2));
    assert_false(vf_desk_log_too_much(&dev, VF_DESK_LOG_HOUR, now + 2 * HOUR_US));
    pthread_mutex_destroy(&dev.small);
    OK(vf_desk_tick(d, why));
    (void)snprintf(path, sizeof(path), "%s/reserve", w.store);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 1 << 20);
    vf_desk_reserve_give(d);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 0);
    assert_true(vf_desk_has_room(d, 0));
    assert_false(vf_desk_has_room(d, UINT64_MAX / 2));
    OK(vf_desk_tick(d, why));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 1 << 20);
}

/* One bad sector: that key is gone, and the desk starts. */
static void a_slot_that_cannot_be_read(void **state)
{
    struct vf_desk_status s;
    unsigned hit = 0;

    (void)state;
    OK(vf_desk_status_get(d, &s, why));
    const uint64_t before = s.prekeys_destroyed;
    for (unsigned nth = 1; nth < 200 && hit == 0; nth++) {
        desk_close(d);
        d = NULL;
        faults_arm(FAULT_READ, nth, EIO);
        enum vf_err err = vf_desk_open(w.store, VF_DESK_SERVE, w.desk, &d, why);
        faults_disarm();
        if (err != VF_OK)
            d = desk_open(&w);
        OK(vf_desk_status_get(d, &s, why));
        hit += s.prekeys_destroyed > before;
    }
    assert_int_equal(hit, 1);
    assert_int_equal(s.prekeys_destroyed, before + 1);
}

/* ---------------------------------------------------------------------------------------------------------------- what is handed */

struct told {
    size_t n;
    struct vf_received one[8];
};

static void note_one(void *user, const struct vf_received *one)
{
    struct told *t = user;

    assert_true(t->n < 8);
    t->one[t->n++] = *one;
}

static void by_hand(void **state)
{
    static const char *const names[] = {"a.grant", "b.enrol", "junk", "c.prekeys"};
    struct desk_client c;
    struct told t = {0};
    struct vf_receive_file files[4];
    char path[400];

    (void)state;
    desk_client_make(&w, "handed", 10 * HOUR_US, 0, &c);
    put_file(&w.p, "a.grant", c.i.file.data, c.i.file.len);
    put_file(&w.p, "b.enrol", c.b.enrol_bytes.data, c.b.enrol_bytes.len);
    put_file(&w.p, "junk", "nothing known\n", 14);
    put_file(&w.p, "c.prekeys", w.prekeys.data, w.prekeys.len);
    assert_int_equal(desk_take(d, c.i.file.data, c.i.file.len, "early.grant"), VF_E_NOT_FOUND); /* whose is it? */
    for (size_t i = 0; i < 4; i++) {
        int fd = -1;
        OK(vf_file_open(place_path(&w.p, names[i], path), &fd, NULL, why));
        files[i] = (struct vf_receive_file){.fd = fd, .name = names[i]};
    }
    for (unsigned time = 0; time < 2; time++) {
        t.n = 0;
        assert_int_equal(vf_desk_receive(d, files, 4, note_one, &t, why), VF_E_PARTIAL);
        assert_int_equal(t.n, 4);
        assert_true(t.one[0].kind == VF_ARTEFACT_ENROL && t.one[0].err == VF_OK && t.one[0].already == (time > 0));
        assert_true(t.one[1].kind == VF_ARTEFACT_GRANT && t.one[1].err == VF_OK && t.one[1].already == (time > 0));
        assert_int_equal(t.one[2].err, VF_E_FORMAT);
        assert_int_equal(t.one[3].err, VF_E_INPUT);
    }
    for (size_t i = 0; i < 4; i++)
        (void)close(files[i].fd);
    assert_int_equal(desk_status_of(&w, d, &c, false, 0, VF_PART_TEXT), VF_ANSWER_OK);
    /* Cut short, or longer than its text says. */
    for (size_t len = 0; len < c.i.file.len; len += 97 * test_step(7)) {
        enum vf_err err = desk_take(d, c.i.file.data, len, "cut.grant");
        assert_true(err != VF_OK || len > 12 + 4 + c.i.f.note_len + 8 + c.i.f.manifest_len);
    }
    desk_client_done(&c);
}

/* Grants that are not for this desk, or for a key that serves another one. */
static void grants_of_others(void **state)
{
    struct vf_vault *v = open_as(&w.p, VF_VAULT_WRITE, ALICE);
    struct bureau b;
    struct issued offline;

    (void)state;
    bureau_make(&w.p, vf_vault_id_get(v), "off-line", &b);
    struct vf_issue_options opt = options_for(&b, "cards", vf_field_set_card_print());
    opt.now_us = opt.from_us = vf_clock_wall_us();
    opt.until_us = opt.now_us + HOUR_US;
    opt.allow_incomplete = true;
    issue(v, ALICE, &opt, &offline);
    close_vault(v);
    OK(desk_take(d, b.enrol_bytes.data, b.enrol_bytes.len, "b.enrol"));
    assert_int_equal(desk_take(d, offline.file.data, offline.file.len, "offline.grant"), VF_E_INPUT);
    issued_done(&offline);
    bureau_done(&b);
}

/* Another force's policy, and one that names another desk, on a desk that has none yet. */
static void first_policies(void **state)
{
    struct desk_world other;
    char store[400];
    VF_BUF keys = {.max = VF_PREKEYS_FILE_MAX};
    VF_IDENTITY stranger = NULL;
    VF_DESK fresh = NULL;

    (void)state;
    OK(vf_identity_new(VF_ROLE_DESK, "stranger", &stranger, why));
    (void)place_path(&w.p, "fresh", store);
    OK(vf_desk_create(store, stranger, NULL, &keys, why));
    struct stat st;
    assert_int_equal(stat(store, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_int_equal(vf_desk_create(store, stranger, NULL, &keys, why), VF_E_EXISTS);
    assert_int_equal(vf_desk_create("/proc/none", stranger, NULL, &keys, why) != VF_OK, 1);
    assert_int_equal(vf_desk_create(store, admin[ALICE], NULL, &keys, why), VF_E_REFUSED);
    OK(vf_desk_open(store, VF_DESK_SERVE, stranger, &fresh, why));
    struct vf_vault *v = open_as(&w.p, VF_VAULT_PUBLIC, 0);
    assert_int_equal(desk_take(fresh, vf_vault_policy(v)->bytes, vf_vault_policy(v)->len, "force.policy"), VF_E_REFUSED);
    close_vault(v);
    /* And the other way round: this desk is of its force for good. */
    desk_world_make(&other, 1, 2, 0);
    v = open_as(&other.p, VF_VAULT_PUBLIC, 0);
    assert_int_equal(desk_take(d, vf_vault_policy(v)->bytes, vf_vault_policy(v)->len, "other.policy"), VF_E_FORGED);
    close_vault(v);
    desk_world_done(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_call_fails),
        cmocka_unit_test(full_for_longer),
        cmocka_unit_test(an_end_on_a_full_disk),
        cmocka_unit_test(by_hand),
        cmocka_unit_test(grants_of_others),
        cmocka_unit_test(first_policies),
        cmocka_unit_test(a_revocation_on_a_full_disk),
        cmocka_unit_test(so_much_log),
        cmocka_unit_test(a_slot_that_cannot_be_read),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
