/* SPDX-License-Identifier: MIT */
/* What the desk answers: each status for what deserves it, and shares for nothing else. */
#include "desk_test.h"

#include "fakeclock.h"

static struct desk_world w;
static struct vf_desk *d;

static int set_up(void **state)
{
    return desk_and_force(state, &w, DESK_OFFICERS, 40, false, &d);
}

static int tear_down(void **state)
{
    return desk_and_force_done(state, &w, d);
}

static enum vf_answer_status status_of(struct desk_client *c, struct vf_request *req)
{
    VF_CLEANUP(desk_reply_done) struct desk_reply r = desk_ask(&w, d, c, req);

    OK(r.err);
    assert_true(r.answer.status == VF_ANSWER_OK || r.answer.text[0] != '\0');
    if (r.answer.nshares > 0)
        desk_shares_open(c, &r);
    return r.answer.status;
}

/* ------------------------------------------------------------------------------------------------------------------ first steps */

static void before_there_is_a_policy(void **state)
{
    struct desk_client c;

    (void)state;
    desk_client_make(&w, "early", VF_DAY_US, 0, &c);
    assert_int_equal(desk_status_of(&w, d, &c, true, 0, VF_PART_TEXT), VF_ANSWER_REFUSED);
    desk_take_policy(&w, d);
    assert_int_equal(desk_status_of(&w, d, &c, true, 0, VF_PART_TEXT), VF_ANSWER_OK);
    desk_client_done(&c);
}

static void a_first_contact(void **state)
{
    struct desk_client c;

    (void)state;
    desk_client_make(&w, "first", VF_DAY_US, 0, &c);
    assert_int_equal(desk_status_of(&w, d, &c, false, 0, VF_PART_TEXT), VF_ANSWER_UNKNOWN);
    desk_client_works(&c, 1);
    struct vf_request req = desk_request(&c, true);
    desk_want(&c, &req, 0, VF_PART_TEXT);
    desk_want(&c, &req, 3, VF_PART_IMAGE);
    desk_want(&c, &req, 0, VF_PART_TEXT); /* twice is once */
    VF_CLEANUP(desk_reply_done) struct desk_reply r = desk_ask(&w, d, &c, &req);
    OK(r.err);
    assert_int_equal(r.answer.status, VF_ANSWER_OK);
    assert_int_equal(r.answer.nshares, 2);
    assert_int_equal(r.outcome.fresh, 2);
    assert_string_equal(r.outcome.device, "first");
    assert_string_equal(r.outcome.job, "cards");
    assert_int_equal(r.answer.lease_us, VF_DESK_LEASE_US);
    assert_int_equal(r.answer.time_us, vf_clock_wall_us());
    assert_int_equal(r.answer.log_size, c.known);
    desk_shares_open(&c, &r);
    /* From now on without any of it. */
    assert_int_equal(desk_status_of(&w, d, &c, false, 0, VF_PART_TEXT), VF_ANSWER_OK);
    desk_client_done(&c);
}

/* The whole text part, as cards.csv wants it. */
static void all_texts(void **state)
{
    struct desk_client c;

    (void)state;
    desk_client_make(&w, "all", VF_DAY_US, 0, &c);
    desk_introduce(&w, d, &c);
    assert_int_equal(desk_status_of(&w, d, &c, false, 2, VF_PART_TEXT), VF_ANSWER_OK);
    for (unsigned time = 0; time < 2; time++) {
        desk_client_works(&c, 1);
        struct vf_request req = desk_request(&c, false);
        req.all_text = true;
        desk_want(&c, &req, 1, VF_PART_TEXT); /* in it already */
        desk_want(&c, &req, 1, VF_PART_IMAGE);
        VF_CLEANUP(desk_reply_done) struct desk_reply r = desk_ask(&w, d, &c, &req);
        OK(r.err);
        assert_int_equal(r.answer.status, VF_ANSWER_OK);
        assert_int_equal(r.answer.nshares, DESK_OFFICERS + 1);
        assert_int_equal(r.outcome.fresh, time == 0 ? DESK_OFFICERS : 0); /* one text was released before; one image */
        desk_shares_open(&c, &r);
    }
    /* What is left of them, from the third on; and from behind the last. */
    for (unsigned from = 2; from <= DESK_OFFICERS; from += DESK_OFFICERS - 2) {
        desk_client_works(&c, 1);
        struct vf_request req = desk_request(&c, false);
        req.all_text = true;
        req.text_from = from;
        VF_CLEANUP(desk_reply_done) struct desk_reply r = desk_ask(&w, d, &c, &req);
        OK(r.err);
        assert_int_equal(r.answer.status, from == 2 ? VF_ANSWER_OK : VF_ANSWER_REFUSED);
        assert_int_equal(r.answer.nshares, from == 2 ? DESK_OFFICERS - 2 : 0);
        desk_shares_open(&c, &r);
    }
    desk_client_done(&c);
}

/* ------------------------------------------------------------------------------------------------------------------- who asks */

static void requests_of_strangers(void **state)
{
    struct desk_client c, other;
    VF_BUF sealed = {0}, out = {.max = VF_ANSWER_MAX};
    VF_IDENTITY desk2 = NULL;
    struct vf_desk_outcome o;

    (void)state;
    desk_client_make(&w, "honest", VF_DAY_US, 0, &c);
    desk_client_make(&w, "stranger", VF_DAY_US, 0, &other);
    desk_introduce(&w, d, &c);
    desk_client_works(&c, 1);
    struct vf_request req = desk_request(&c, false);
    desk_want(&c, &req, 0, VF_PART_TEXT);
    /* Signed by another device: no answer at all. */
    desk_request_seal(&w, other.b.device, &req, &sealed);
    assert_int_equal(vf_desk_answer(d, sealed.data, sealed.len, 0, false, &out, &o, why), VF_E_FORGED);
    /* To another desk. */
    OK(vf_identity_new(VF_ROLE_DESK, "desk", &desk2, why));
    vf_buf_reset(&sealed);
    OK(vf_request_make(&req, c.b.device, vf_identity_pub_get(desk2), &sealed, why));
    assert_int_equal(vf_desk_answer(d, sealed.data, sealed.len, 0, false, &out, &o, why), VF_E_DAMAGED);
    /* To another desk, which has opened it, and passes it on in a box for this one. */
    VF_BUF plain = {0}, passed = {.max = VF_REQUEST_MAX};
    struct vf_request theirs;
    OK(vf_request_open(desk2, sealed.data, sealed.len, &plain, &theirs, why));
    uint8_t *to = vf_buf_grow(&passed, plain.len + VF_SEALED_OVERHEAD);
    OK(vf_request_seal(vf_identity_pub_get(w.desk), plain.data, plain.len, to));
    assert_int_equal(vf_desk_answer(d, passed.data, passed.len, 0, false, &out, &o, why), VF_E_REFUSED);
    /* Changed on its way; too short; nothing. */
    vf_buf_done(&sealed);
    desk_request_seal(&w, c.b.device, &req, &sealed);
    sealed.data[sealed.len / 2] ^= 1;
    assert_int_equal(vf_desk_answer(d, sealed.data, sealed.len, 0, false, &out, &o, why), VF_E_DAMAGED);
    assert_int_equal(vf_desk_answer(d, sealed.data, 20, 0, false, &out, &o, why), VF_E_FORMAT);
    assert_int_equal(out.len, 0);
    assert_int_equal(status_of(&c, &req), VF_ANSWER_OK);
    desk_client_done(&c);
    desk_client_done(&other);
}

/* An enrolment of one's own is quickly made: it must not open another device's grant, and leaves nothing behind. */
static void an_enrolment_of_ones_own(void **state)
{
    struct desk_client c, thief;
    struct vf_desk_status before, after;

    (void)state;
    desk_client_make(&w, "victim", VF_DAY_US, 0, &c);
    desk_client_make(&w, "thief", VF_DAY_US, 0, &thief);
    for (unsigned known = 0; known < 2; known++) {
        OK(vf_desk_status_get(d, &before, why));
        desk_client_works(&thief, 1);
        struct vf_request req = desk_request(&thief, true);
        req.grant = c.i.f.grant.id;
        req.grant_text = c.i.f.grant.text_hash;
        req.grant_note = (struct vf_slice){c.i.f.note_bytes, c.i.f.note_len};
        desk_want(&c, &req, 0, VF_PART_TEXT);
        assert_int_equal(status_of(&thief, &req), VF_ANSWER_REFUSED);
        OK(vf_desk_status_get(d, &after, why));
        assert_int_equal(after.devices, before.devices);
        assert_int_equal(after.log_size, before.log_size); /* nobody known: nothing to tell */
        desk_introduce(&w, d, &c);                         /* and again with a grant that is here */
    }
    /* A device that is known, with the other's grant. */
    desk_introduce(&w, d, &thief);
    desk_client_works(&thief, 1);
    struct vf_request req = desk_request(&thief, false);
    req.grant = c.i.f.grant.id;
    req.grant_text = c.i.f.grant.text_hash;
    desk_want(&c, &req, 0, VF_PART_TEXT);
    assert_int_equal(status_of(&thief, &req), VF_ANSWER_REFUSED);
    desk_client_done(&c);
    desk_client_done(&thief);
}

static void what_the_grant_does_not_say(void **state)
{
    struct desk_client c;

    (void)state;
    desk_client_make(&w, "asks-more", VF_DAY_US, 0, &c);
    desk_introduce(&w, d, &c);
    desk_client_works(&c, 1);
    struct vf_request req = desk_request(&c, false);
    desk_want(&c, &req, 0, VF_PART_TEXT);
    desk_want(&c, &req, 1, VF_PART_TEXT);
    memcpy(req.wants[1].ref.c, "AAAAAAAA", VF_REF_LEN);
    assert_int_equal(status_of(&c, &req), VF_ANSWER_REFUSED); /* nor the other one */
    req = desk_request(&c, false);
    req.grant_text.b[0] ^= 1;
    desk_client_works(&c, 1);
    assert_int_equal(status_of(&c, &req), VF_ANSWER_REFUSED);
    desk_client_works(&c, 1);
    req = desk_request(&c, false);
    req.vault.b[0] ^= 1;
    assert_int_equal(status_of(&c, &req), VF_ANSWER_REFUSED);
    assert_int_equal(desk_status_of(&w, d, &c, false, 0, VF_PART_TEXT), VF_ANSWER_OK);
    desk_client_done(&c);
}

/* A grant whose text, manifest or signatures were changed on the way. */
static void a_forged_grant(void **state)
{
    struct desk_client c;

    (void)state;
    desk_client_make(&w, "forges", VF_DAY_US, 0, &c);
    VF_FREE uint8_t *note = malloc(c.i.f.note_len), *manifest = malloc(c.i.f.manifest_len);
    assert_true(note != NULL && manifest != NULL);
    desk_client_works(&c, 1);
    for (size_t at = 0; at < c.i.f.note_len; at += 11 * test_step(9)) {
        memcpy(note, c.i.f.note_bytes, c.i.f.note_len);
        note[at] ^= 1;
        struct vf_request req = desk_request(&c, true);
        req.grant_note.data = note;
        assert_int_equal(status_of(&c, &req), VF_ANSWER_REFUSED);
    }
    for (size_t at = 0; at < c.i.f.manifest_len; at += 31 * test_step(7)) {
        memcpy(manifest, c.i.f.manifest_bytes, c.i.f.manifest_len);
        manifest[at] ^= 1;
        struct vf_request req = desk_request(&c, true);
        req.manifest.data = manifest;
        assert_int_equal(status_of(&c, &req), VF_ANSWER_REFUSED);
    }
    assert_int_equal(desk_status_of(&w, d, &c, true, 0, VF_PART_TEXT), VF_ANSWER_OK);
    desk_client_done(&c);
}

/* ------------------------------------------------------------------------------------------------------------------ replays */

static void a_replayed_request(void **state)
{
    struct desk_client c;
    VF_BUF sealed = {0};

    (void)state;
    desk_client_make(&w, "replayed", VF_DAY_US, 0, &c);
    desk_introduce(&w, d, &c);
    desk_client_works(&c, 1);
    struct vf_request req = desk_request(&c, false);
    desk_want(&c, &req, 0, VF_PART_TEXT);
    desk_request_seal(&w, c.b.device, &req, &sealed);
    for (unsigned time = 0; time < 3; time++) {
        unsigned had = desk_log_counts(&w, VF_EVENT_RELEASE, NULL);
        VF_CLEANUP(desk_reply_done)
        struct desk_reply r = desk_ask_sealed(&w, d, &c, &req.hash, sealed.data, sealed.len, 0, false);
        OK(r.err);
        assert_int_equal(r.answer.status, time == 0 ? VF_ANSWER_OK : VF_ANSWER_BEHIND);
        assert_int_equal(r.answer.nshares, time == 0 ? 1 : 0);
        assert_int_equal(r.answer.log_size, req.log_size);
        assert_int_equal(desk_log_counts(&w, VF_EVENT_RELEASE, NULL), had + (time == 0 ? 1 : 0));
    }
    /* From too early, from too late, and with nothing new. */
    desk_client_works(&c, 1);
    req = desk_request(&c, false);
    req.log_from -= 1;
    assert_int_equal(status_of(&c, &req), VF_ANSWER_BEHIND);
    req.log_from += 2;
    req.log_size = req.log_end += 2;
    assert_int_equal(status_of(&c, &req), VF_ANSWER_BEHIND);
    c.known = req.log_from - 1;
    assert_int_equal(desk_status_of(&w, d, &c, false, 0, VF_PART_TEXT), VF_ANSWER_OK);
    req = desk_request(&c, false);
    assert_int_equal(req.log_from, req.log_size);
    assert_int_equal(status_of(&c, &req), VF_ANSWER_BEHIND);
    desk_client_done(&c);
}

/* ------------------------------------------------------------------------------------------------------------ time and leases */

static int64_t lease_of(struct desk_client *c, int64_t lease_us, bool by_hand)
{
    desk_client_works(c, 1);
    struct vf_request req = desk_request(c, false);
    desk_want(c, &req, 0, VF_PART_TEXT);
    VF_CLEANUP(desk_reply_done) struct desk_reply r = desk_ask_as(&w, d, c, &req, lease_us, by_hand);
    OK(r.err);
    assert_int_equal(r.answer.status, VF_ANSWER_OK);
    return r.answer.lease_us;
}

static void leases(void **state)
{
    struct desk_client c;

    (void)state;
    desk_client_make(&w, "leases", 2 * 3600 * VF_SECOND_US, 0, &c);
    desk_introduce(&w, d, &c);
    assert_int_equal(lease_of(&c, 0, false), VF_DESK_LEASE_US);
    assert_int_equal(lease_of(&c, 5, false), VF_DESK_LEASE_MIN_US);
    assert_int_equal(lease_of(&c, 20 * 60 * VF_SECOND_US, false), 20 * 60 * VF_SECOND_US);
    assert_int_equal(lease_of(&c, 90 * 60 * VF_SECOND_US, false), VF_DESK_LEASE_MAX_US);
    assert_int_equal(lease_of(&c, 90 * 60 * VF_SECOND_US, true), 90 * 60 * VF_SECOND_US);
    assert_int_equal(lease_of(&c, 90 * VF_DAY_US, true), 2 * 3600 * VF_SECOND_US); /* never past the end */
    fake_clock_pass(2 * 3600 * VF_SECOND_US - 30 * VF_SECOND_US);
    assert_int_equal(lease_of(&c, 0, false), 30 * VF_SECOND_US);
    fake_clock_pass(30 * VF_SECOND_US - 1);
    assert_int_equal(lease_of(&c, 0, false), 1);
    fake_clock_pass(1);
    assert_int_equal(desk_status_of(&w, d, &c, false, 0, VF_PART_TEXT), VF_ANSWER_ENDED);
    OK(vf_desk_tick(d, why));
    assert_int_equal(desk_status_of(&w, d, &c, false, 0, VF_PART_TEXT), VF_ANSWER_ENDED);
    desk_client_done(&c);
}

static void not_yet(void **state)
{
    struct desk_client c;

    (void)state;
    desk_client_make_from(&w, "waits", vf_clock_wall_us() + 3600 * VF_SECOND_US, VF_DAY_US, 0, &c);
    assert_int_equal(desk_status_of(&w, d, &c, true, 0, VF_PART_TEXT), VF_ANSWER_NOT_YET);
    fake_clock_pass(3600 * VF_SECOND_US);
    assert_int_equal(desk_status_of(&w, d, &c, false, 0, VF_PART_TEXT), VF_ANSWER_OK);
    desk_client_done(&c);
}

/* ----------------------------------------------------------------------------------------------------------------- revocations */

static void revoked(void **state)
{
    struct desk_client c, device;
    VF_BUF note = {0}, note2 = {0};
    struct vf_revocation r;

    (void)state;
    desk_client_make(&w, "revoked", VF_DAY_US, 0, &c);
    desk_client_make(&w, "lost-device", VF_DAY_US, 0, &device);
    assert_int_equal(desk_status_of(&w, d, &c, true, 0, VF_PART_TEXT), VF_ANSWER_OK);
    assert_int_equal(desk_status_of(&w, d, &device, true, 0, VF_PART_TEXT), VF_ANSWER_OK);
    r = desk_revokes(&c);
    desk_revocation(&w, &r, &note);
    OK(desk_take(d, note.data, note.len, "a.revoked"));
    OK(desk_take(d, note.data, note.len, "a.revoked"));
    assert_int_equal(desk_status_of(&w, d, &c, false, 0, VF_PART_TEXT), VF_ANSWER_REVOKED);
    assert_int_equal(desk_status_of(&w, d, &c, true, 0, VF_PART_TEXT), VF_ANSWER_REVOKED);
    assert_int_equal(desk_status_of(&w, d, &device, false, 0, VF_PART_TEXT), VF_ANSWER_OK);
    r = desk_revokes(&device);
    r.is_device = true;
    r.device = device.b.enrol.id;
    r.prekey_batch = r.prekey_number = 0;
    desk_revocation(&w, &r, &note2);
    OK(desk_take(d, note2.data, note2.len, "b.revoked"));
    assert_int_equal(desk_status_of(&w, d, &device, false, 0, VF_PART_TEXT), VF_ANSWER_REVOKED);
    /* Both outlive a restart. */
    desk_close(d);
    d = desk_open(&w);
    assert_int_equal(desk_status_of(&w, d, &c, false, 0, VF_PART_TEXT), VF_ANSWER_REVOKED);
    assert_int_equal(desk_status_of(&w, d, &device, true, 0, VF_PART_TEXT), VF_ANSWER_REVOKED);
    desk_client_done(&c);
    desk_client_done(&device);
}

/* Revoked before the desk ever saw it: by the number of its key in the note, and by its id when it comes. */
static void revoked_unseen(void **state)
{
    struct desk_client c;
    VF_BUF note = {0};

    (void)state;
    desk_client_make(&w, "unseen", VF_DAY_US, 0, &c);
    struct vf_revocation r = desk_revokes(&c);
    desk_revocation(&w, &r, &note);
    OK(desk_take(d, note.data, note.len, "unseen.revoked"));
    assert_int_equal(desk_status_of(&w, d, &c, true, 0, VF_PART_TEXT), VF_ANSWER_REVOKED);
    desk_close(d);
    d = desk_open(&w);
    assert_int_equal(desk_status_of(&w, d, &c, true, 0, VF_PART_TEXT), VF_ANSWER_REVOKED);
    desk_client_done(&c);
}

/* Two grants of a device that no station ever showed, one of which another device's note wrongly names; and one that is known. */
static void revoked_with_its_device(void **state)
{
    struct desk_client c, known;
    struct vf_desk_status before, after;
    struct vf_vault *v;
    VF_BUF note = {0};

    (void)state;
    desk_client_make(&w, "never-seen", VF_DAY_US, 0, &c);
    desk_client_make(&w, "another-device", VF_DAY_US, 0, &known);
    assert_int_equal(desk_status_of(&w, d, &known, true, 0, VF_PART_TEXT), VF_ANSWER_OK);
    vf_buf_init(&note, VF_NOTE_MAX);
    v = open_as(&w.p, VF_VAULT_WRITE, ALICE);
    OK(vf_device_revoke(v, admin[ALICE], "never-seen", "stolen", vf_clock_wall_us(), &note, why));
    close_vault(v);
    assert_non_null(memmem(note.data, note.len, c.i.f.grant.id.c, VF_GRANT_ID_LEN));
    assert_null(memmem(note.data, note.len, known.i.f.grant.id.c, VF_GRANT_ID_LEN));
    OK(vf_desk_status_get(d, &before, why));
    for (unsigned again = 0; again < 2; again++) {
        OK(desk_take(d, note.data, note.len, "device.revoked"));
        OK(vf_desk_status_get(d, &after, why));
        assert_int_equal(after.prekeys_destroyed, before.prekeys_destroyed + 1);
        assert_int_equal(after.log_size - before.log_size, 2); /* received, destroyed: once */
        assert_int_equal(desk_status_of(&w, d, &known, false, 0, VF_PART_TEXT), VF_ANSWER_OK);
        desk_close(d);
        d = desk_open(&w);
        OK(vf_desk_status_get(d, &before, why));
        before.prekeys_destroyed -= 1;
        before.log_size -= 2;
    }
    assert_int_equal(desk_status_of(&w, d, &c, true, 0, VF_PART_TEXT), VF_ANSWER_REVOKED);
    /* A note that names what is another device's, which the desk knows, leaves that alone. */
    struct vf_revocation r = desk_revokes(&c);
    r.is_device = true;
    r.device = c.b.enrol.id;
    r.device.b[0] ^= 1;
    r.prekey_batch = r.prekey_number = 0;
    r.nkeys = 1;
    r.keys[0] = (struct vf_revoked_key){c.i.f.grant.id, known.i.f.grant.prekey_batch, known.i.f.grant.prekey_number};
    vf_buf_done(&note);
    desk_revocation(&w, &r, &note);
    OK(desk_take(d, note.data, note.len, "wrong.revoked"));
    assert_int_equal(desk_status_of(&w, d, &known, false, 0, VF_PART_TEXT), VF_ANSWER_OK);
    desk_client_done(&c);
    desk_client_done(&known);
}

/* ------------------------------------------------------------------------------------------------------------------- policies */

/* Two admins must sign from now on: what one has signed counts no more until the other has, too. */
static void signatures_missing(void **state)
{
    const struct vf_policy_change two = {.threshold = 2};
    struct desk_client c, fresh;
    struct issued both;
    struct vf_vault *v;

    (void)state;
    desk_client_make(&w, "one-of-two", VF_DAY_US, 0, &c);
    assert_int_equal(desk_status_of(&w, d, &c, true, 0, VF_PART_TEXT), VF_ANSWER_OK);
    v = open_as(&w.p, VF_VAULT_PUBLIC, 0);
    VF_BUF old = {.max = VF_POLICY_MAX};
    vf_buf_put(&old, vf_vault_policy(v)->bytes, vf_vault_policy(v)->len);
    close_vault(v);
    desk_policy_change(&w, &two);
    /* The desk goes by the newest that it knows. */
    desk_client_make(&w, "one-of-two-new", VF_DAY_US, 0, &fresh);
    assert_int_equal(desk_status_of(&w, d, &fresh, true, 0, VF_PART_TEXT),
                     VF_ANSWER_REFUSED); /* a policy it does not know */
    desk_take_policy(&w, d);
    assert_int_equal(desk_status_of(&w, d, &c, false, 0, VF_PART_TEXT), VF_ANSWER_REFUSED);
    assert_int_equal(desk_status_of(&w, d, &fresh, true, 0, VF_PART_TEXT), VF_ANSWER_REFUSED);
    assert_int_equal(desk_take(d, old.data, old.len, "old.policy"), VF_E_STALE);
    assert_int_equal(desk_take(d, fresh.i.file.data, fresh.i.file.len, "k-1.grant"), VF_E_UNSIGNED);
    OK(try_sign(NULL, BOB, &fresh.i, &both));
    issued_done(&fresh.i);
    fresh.i = both;
    parse_issued(&fresh.i);
    assert_int_equal(desk_status_of(&w, d, &fresh, true, 0, VF_PART_TEXT), VF_ANSWER_OK);
    /* By hand, for one that is here already. */
    OK(try_sign(NULL, BOB, &c.i, &both));
    OK(desk_take(d, both.file.data, both.file.len, "both.grant"));
    assert_int_equal(desk_status_of(&w, d, &c, false, 0, VF_PART_TEXT), VF_ANSWER_OK);
    issued_done(&both);
    desk_close(d);
    d = desk_open(&w);
    assert_int_equal(desk_status_of(&w, d, &c, false, 0, VF_PART_TEXT), VF_ANSWER_OK);
    desk_client_done(&c);
    desk_client_done(&fresh);
}

/* A policy that names another desk: this one has done its work. */
static void another_desk(void **state)
{
    VF_IDENTITY next = NULL;
    struct desk_client c;

    (void)state;
    OK(vf_identity_new(VF_ROLE_DESK, "desk-2", &next, why));
    const struct vf_policy_change change = {.desk = vf_identity_pub_get(next), .desk_url = "https://desk2.example"};
    const struct vf_policy_change one = {.threshold = 1};
    desk_policy_change(&w, &one);
    desk_take_policy(&w, d);
    desk_client_make(&w, "stays", VF_DAY_US, 0, &c);
    assert_int_equal(desk_status_of(&w, d, &c, true, 0, VF_PART_TEXT), VF_ANSWER_OK);
    desk_policy_change(&w, &change);
    desk_take_policy(&w, d);
    assert_int_equal(desk_status_of(&w, d, &c, false, 0, VF_PART_TEXT), VF_ANSWER_REFUSED);
    desk_client_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(before_there_is_a_policy),
        cmocka_unit_test(a_first_contact),
        cmocka_unit_test(all_texts),
        cmocka_unit_test(requests_of_strangers),
        cmocka_unit_test(an_enrolment_of_ones_own),
        cmocka_unit_test(what_the_grant_does_not_say),
        cmocka_unit_test(a_forged_grant),
        cmocka_unit_test(a_replayed_request),
        cmocka_unit_test(leases),
        cmocka_unit_test(not_yet),
        cmocka_unit_test(revoked),
        cmocka_unit_test(revoked_unseen),
        cmocka_unit_test(revoked_with_its_device),
        cmocka_unit_test(signatures_missing),
        cmocka_unit_test(another_desk),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
