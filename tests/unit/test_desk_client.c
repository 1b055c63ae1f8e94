/* SPDX-License-Identifier: MIT */
/* The station's side against a desk that does as it is told. */
#include "desk_client_test.h"

#include <sys/stat.h>
#include <unistd.h>

/* What the share is good for. */
static enum vf_err reads(uint32_t index, unsigned field)
{
    struct vf_value_reader *r = NULL;
    const uint8_t *plain;
    size_t len;
    OK(vf_value_reader_new(w.st, &r, why));
    enum vf_err err = vf_value_reader_get(r, job, index, field, &plain, &len, why);
    vf_value_reader_free(r);
    return err;
}

static void first_contact(void **state)
{
    VF_BUF receipt;
    uint64_t size = 0;
    (void)state;
    client_begin(0, NULL, NULL);
    assert_true(vf_job_online(job));
    assert_int_equal(reads(0, VF_FIELD_PHOTO), VF_E_NO_SHARE);
    OK(client_get(0, VF_PART_IMAGE));
    assert_int_equal(w.desk.full, 1); /* it asked who we are, and that came once */
    assert_int_equal(w.desk.requests, 2);
    OK(reads(0, VF_FIELD_PHOTO));
    assert_int_equal(reads(1, VF_FIELD_PHOTO), VF_E_NO_SHARE);
    assert_int_equal(reads(0, VF_FIELD_RANK), VF_E_NO_SHARE); /* another part */
    unsigned before = w.desk.requests;
    OK(client_get(0, VF_PART_IMAGE)); /* it is here */
    assert_int_equal(w.desk.requests, before);
    OK(client_get(1, VF_PART_IMAGE));
    assert_int_equal(w.desk.requests, before + 1);
    assert_int_equal(w.desk.full, 1);
    assert_true(w.desk.receipts > 0); /* its own receipt comes back to it */
    vf_job_unref(job);
    vf_desk_client_free(client); /* keeps the newest receipt */
    vf_buf_init(&receipt, VF_NOTE_MAX);
    OK(vf_station_receipt_get(w.st, &receipt, &size, why));
    assert_true(size == w.desk.size && size > 0 && receipt.len > 0);
    assert_true(state_of_station(w.st).log_received == size);
    vf_buf_done(&receipt);
    fake_world_done(&w);
}

static void many_in_one(void **state)
{
    struct client_opener o[OFFICERS];
    (void)state;
    client_begin(0, NULL, NULL);
    OK(client_get(0, VF_PART_IMAGE));
    w.desk.delay_ms = 300;
    unsigned before = w.desk.requests;
    for (uint32_t i = 0; i < OFFICERS; i++) {
        o[i] = (struct client_opener){.index = i, .part = VF_PART_IMAGE};
        assert_int_equal(pthread_create(&o[i].thread, NULL, client_open_one, &o[i]), 0);
    }
    for (uint32_t i = 0; i < OFFICERS; i++) {
        assert_int_equal(pthread_join(o[i].thread, NULL), 0);
        OK(o[i].err);
    }
    assert_true(w.desk.requests - before <= 2); /* the first of them, and all others */
    w.desk.delay_ms = 0;
    before = w.desk.requests;
    OK(client_get(2, VF_PART_TEXT)); /* one text: all of them */
    assert_int_equal(w.desk.requests, before + 1);
    assert_int_equal(w.desk.all_text, 1);
    OK(vf_desk_client_get_all(client, job, WAIT_US, NULL, why));
    assert_int_equal(w.desk.requests, before + 1);
    for (uint32_t i = 0; i < OFFICERS; i++)
        OK(reads(i, VF_FIELD_RANK));
    client_end();
}

static void ahead(void **state)
{
    const uint32_t behind[] = {2, 3, 4};
    (void)state;
    client_begin(0, NULL, NULL);
    OK(vf_desk_client_get(client, job, 1, VF_PART_IMAGE, behind, 3, WAIT_US, NULL, why));
    for (uint32_t i = 0; i < OFFICERS; i++)
        assert_int_equal(reads(i, VF_FIELD_PHOTO), i >= 1 && i <= 4 ? VF_OK : VF_E_NO_SHARE);
    assert_int_equal(w.desk.most_wants, 4);
    client_end();
}

/* Each refusal, what a program gets for it, and that it is not asked again for five seconds. */
static void refusals(void **state)
{
    static const struct {
        enum vf_answer_status status;
        enum vf_err err;
        const char *words;
    } all[] = {
        {VF_ANSWER_FORKED, VF_E_NO_SHARE, "another log"},   {VF_ANSWER_NOT_YET, VF_E_NOT_YET, "not started"},
        {VF_ANSWER_ENDED, VF_E_EXPIRED, "has ended"},       {VF_ANSWER_BUDGET, VF_E_BUDGET, "limit"},
        {VF_ANSWER_RATE, VF_E_BUDGET, "within this hour"},  {VF_ANSWER_REFUSED, VF_E_NO_SHARE, "as the test says"},
        {VF_ANSWER_UNREADY, VF_E_NO_SHARE, "is not ready"},
    };
    (void)state;
    client_begin(0, NULL, NULL);
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        w.desk.status = all[i].status;
        assert_int_equal(client_get(0, VF_PART_IMAGE), all[i].err);
        assert_non_null(strstr(why->text, all[i].words));
        unsigned before = w.desk.requests;
        int64_t start = client_now_ms();
        assert_int_equal(client_get(0, VF_PART_IMAGE), all[i].err);
        assert_non_null(strstr(why->text, all[i].words));
        assert_true(client_now_ms() - start < 500);
        assert_int_equal(w.desk.requests, before);
        fake_clock_pass((all[i].status == VF_ANSWER_RATE ? 60 * VF_SECOND_US : VF_DESK_WAIT_US) + 1);
    }
    w.desk.status = VF_ANSWER_OK;
    OK(client_get(0, VF_PART_IMAGE));
    /* A record over the budget keeps nobody from the others. */
    w.desk.status = VF_ANSWER_BUDGET;
    assert_int_equal(client_get(1, VF_PART_IMAGE), VF_E_BUDGET);
    w.desk.status = VF_ANSWER_OK;
    OK(client_get(2, VF_PART_IMAGE));
    assert_int_equal(client_get(1, VF_PART_IMAGE), VF_E_BUDGET);
    fake_clock_pass(VF_DESK_WAIT_US + 1);
    OK(client_get(1, VF_PART_IMAGE));
    /* OK, and nothing in it. */
    w.desk.no_shares = true;
    assert_int_equal(client_get(3, VF_PART_IMAGE), VF_E_NO_SHARE);
    client_end();
}

static void wrong_answers(void **state)
{
    static const enum fake_fault faults[] = {FAKE_CUT,        FAKE_HTTP_500,      FAKE_GARBAGE,   FAKE_HUGE,
                                             FAKE_OTHER_DESK, FAKE_OTHER_REQUEST, FAKE_OLD_ANSWER};
    (void)state;
    client_begin(0, NULL, NULL);
    OK(client_get(0, VF_PART_IMAGE));
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        w.desk.fault = faults[i];
        assert_int_equal(client_get(1, VF_PART_IMAGE), VF_E_NO_SHARE);
        assert_int_equal(reads(1, VF_FIELD_PHOTO), VF_E_NO_SHARE);
        w.desk.fault = FAKE_RIGHT;
        assert_int_equal(client_get(1, VF_PART_IMAGE), VF_E_NO_SHARE); /* at once */
        fake_clock_pass(VF_DESK_WAIT_US + 1);
    }
    OK(reads(0, VF_FIELD_PHOTO));     /* what is here is not touched */
    OK(client_get(1, VF_PART_IMAGE)); /* and it goes on as before: what the desk took without our knowing is no obstacle */
    client_end();
}

static void slow_and_away(void **state)
{
    (void)state;
    client_begin(0, NULL, NULL);
    OK(client_get(0, VF_PART_IMAGE));
    w.desk.delay_ms = 900;
    int64_t start = client_now_ms();
    assert_int_equal(vf_desk_client_get(client, job, 1, VF_PART_IMAGE, NULL, 0, VF_SECOND_US / 3, NULL, why), VF_E_NO_SHARE);
    assert_true(client_now_ms() - start < 800);
    for (int64_t late = -999999; late <= 0; late += 333333) { /* one that waited elsewhere until its time was over */
        fake_clock_pass(VF_DESK_WAIT_US + 1);
        assert_int_equal(vf_desk_client_get(client, job, 4, VF_PART_IMAGE, NULL, 0, late, NULL, why), VF_E_NO_SHARE);
    }
    start = client_now_ms();
    assert_int_equal(client_get(2, VF_PART_IMAGE), VF_E_NO_SHARE);
    assert_true(client_now_ms() - start < 200);
    for (int i = 0; i < 100 && vf_job_share_until(job, 1, VF_PART_IMAGE) == 0; i++)
        (void)usleep(50000);
    OK(client_get(1, VF_PART_IMAGE)); /* it came after all */
    w.desk.delay_ms = 0;
    OK(client_get(2, VF_PART_IMAGE)); /* and so the desk is asked again */
    fake_desk_away(&w.desk);
    assert_int_equal(client_get(3, VF_PART_IMAGE), VF_E_NO_SHARE);
    struct vf_desk_client_status s;
    vf_desk_client_status_get(client, &s);
    assert_true(s.away && s.reached_boot_us > 0 && strstr(s.text, "cannot be reached") != NULL);
    OK(reads(0, VF_FIELD_PHOTO)); /* ridden out */
    fake_desk_serve(&w.desk);
    fake_clock_pass(VF_DESK_WAIT_US + 1);
    OK(client_get(3, VF_PART_IMAGE));
    vf_desk_client_status_get(client, &s);
    assert_true(!s.away && s.text[0] == '\0');
    client_end();
}

static void *stopper(void *arg)
{
    (void)arg;
    (void)usleep(300000);
    vf_desk_client_stop(client);
    return NULL;
}

static void stops_at_once(void **state)
{
    pthread_t thread;
    (void)state;
    client_begin(0, NULL, NULL);
    w.desk.fault = FAKE_SILENT;
    assert_int_equal(pthread_create(&thread, NULL, stopper, NULL), 0);
    int64_t start = client_now_ms();
    assert_int_equal(client_get(0, VF_PART_IMAGE), VF_E_NO_SHARE);
    assert_true(client_now_ms() - start < 1500);
    assert_int_equal(pthread_join(thread, NULL), 0);
    start = client_now_ms();
    vf_job_unref(job);
    vf_desk_client_free(client);
    assert_true(client_now_ms() - start < 1000);
    fake_world_done(&w);
}

/* More of them than one answer holds: asked for until all are here; and a desk that gives none is not asked for ever. */
static void all_texts_in_pieces(void **state)
{
    (void)state;
    client_begin(0, NULL, NULL);
    w.desk.texts = 2;
    OK(vf_desk_client_get_all(client, job, WAIT_US, NULL, why));
    assert_true(vf_job_text_until(job) > 0);
    for (uint32_t i = 0; i < OFFICERS; i++)
        assert_true(vf_job_share_until(job, i, VF_PART_TEXT) > 0);
    assert_int_equal(w.desk.all_text, 1 + (OFFICERS + 1) / 2); /* the first time it does not know the grant */
    vf_job_shares_wipe(job);
    unsigned before = w.desk.requests;
    w.desk.no_shares = true;
    assert_int_equal(vf_desk_client_get_all(client, job, WAIT_US, NULL, why), VF_E_NO_SHARE);
    assert_int_equal(w.desk.requests, before + 1);
    client_end();
}

/* The desk's copy is another than was thought: it says so, and gets what it lacks. */
static void behind(void **state)
{
    char moved[450];
    (void)state;
    client_begin(0, NULL, NULL);
    OK(client_get(0, VF_PART_IMAGE));
    (void)snprintf(moved, sizeof(moved), "%s.moved", w.desk.copy);
    assert_int_equal(rename(w.desk.copy, moved), 0);
    OK(client_get(1, VF_PART_IMAGE));
    /* More than the station has: an old copy of the station, or two of them. */
    vf_job_unref(job);
    vf_desk_client_free(client);
    char stale[450], cmd[1300];
    (void)snprintf(stale, sizeof(stale), "%s.stale", w.site.path);
    site_close(w.st);
    copy_folder(w.site.path, stale);
    w.st = site_open(&w.site, VF_STATION_MOUNT);
    const struct vf_desk_client_options opt = {.station = w.st, .tell = client_tell};
    OK(vf_desk_client_new(&opt, &client, why));
    job = job_of(w.st, "cards");
    for (int i = 0; i < 20; i++)
        OK(vf_log_seal_handin(vf_station_log(w.st), why));
    OK(client_get(2, VF_PART_IMAGE));
    vf_job_unref(job);
    vf_desk_client_free(client);
    site_close(w.st);
    (void)snprintf(cmd, sizeof(cmd), "rm -rf '%s' && mv '%s' '%s'", w.site.path, stale, w.site.path);
    assert_int_equal(system(cmd), 0);
    w.st = site_open(&w.site, VF_STATION_MOUNT);
    const struct vf_desk_client_options again = {.station = w.st, .tell = client_tell};
    OK(vf_desk_client_new(&again, &client, why));
    job = job_of(w.st, "cards");
    assert_int_equal(client_get(3, VF_PART_IMAGE), VF_E_NO_SHARE);
    if (strstr(why->text, "ell the force") == NULL)
        fail_msg("\"%s\"", why->text);
    client_end();
}

/* More log than one request carries: it goes ahead, and nothing is asked for until all of it is there. */
static void a_long_log(void **state)
{
    char purpose[256];
    uint64_t seq = 0;
    (void)state;
    client_begin(0, NULL, NULL);
    memset(purpose, 'x', sizeof(purpose) - 1);
    purpose[sizeof(purpose) - 1] = '\0';
    const struct vf_entry e = {.event = VF_EVENT_DENY, .part = -1, .object = purpose, .result = "ENOKEY"};
    for (int i = 0; i < 20000; i++) {
        OK(vf_log_append(vf_station_log(w.st), &e, &seq, why));
        if (i % 2000 == 0)
            OK(vf_log_seal_handin(vf_station_log(w.st), why));
    }
    OK(vf_log_wait(vf_station_log(w.st), seq, why));
    OK(vf_desk_client_get(client, job, 0, VF_PART_IMAGE, NULL, 0, 20 * VF_SECOND_US, NULL, why));
    assert_true(w.desk.entries > 20000);
    assert_true(w.desk.requests >= 5); /* unknown, introduced with the first part of the log, and what follows */
    assert_int_equal(w.desk.wants, 1);
    OK(reads(0, VF_FIELD_PHOTO));
    client_end();
}

static void leases(void **state)
{
    (void)state;
    client_begin(0, NULL, NULL);
    w.desk.lease_us = 90 * VF_SECOND_US;
    OK(client_get(0, VF_PART_IMAGE));
    OK(client_get(1, VF_PART_IMAGE));
    int64_t until = vf_job_share_until(job, 0, VF_PART_IMAGE);
    assert_true(until == vf_clock_boot_us() + 90 * VF_SECOND_US);
    OK(reads(0, VF_FIELD_PHOTO)); /* used */
    unsigned before = w.desk.requests;
    fake_clock_pass(59 * VF_SECOND_US);
    (void)usleep(1300000);
    assert_int_equal(w.desk.requests, before);
    fake_clock_pass(2 * VF_SECOND_US); /* two thirds of it are over */
    client_wait_for_requests(before + 1);
    assert_int_equal(w.desk.requests, before + 1);
    for (int i = 0; i < 100 && vf_job_share_until(job, 0, VF_PART_IMAGE) == until; i++)
        (void)usleep(20000);
    assert_true(vf_job_share_until(job, 0, VF_PART_IMAGE) > until);
    assert_int_equal(vf_job_share_until(job, 1, VF_PART_IMAGE), until); /* nobody has it open */
    fake_clock_pass(30 * VF_SECOND_US);
    assert_int_equal(reads(1, VF_FIELD_PHOTO), VF_E_NO_SHARE);
    assert_int_equal(vf_job_shares_expire(job, vf_clock_boot_us()), 1);
    OK(reads(0, VF_FIELD_PHOTO));
    /* Nothing is kept beyond the end of the grant. */
    w.desk.lease_us = INT64_MAX;
    OK(client_get(2, VF_PART_IMAGE));
    int64_t left = vf_job_grant(job)->until_us - vf_clock_wall_us();
    assert_int_equal(vf_job_share_until(job, 2, VF_PART_IMAGE), vf_clock_boot_us() + left);
    client_end();
}

static void revoked(void **state)
{
    (void)state;
    client_begin(0, NULL, NULL);
    OK(client_get(0, VF_PART_IMAGE));
    w.desk.status = VF_ANSWER_REVOKED;
    assert_int_equal(client_get(1, VF_PART_IMAGE), VF_E_REVOKED);
    assert_int_equal(vf_job_may(w.st, job, why), VF_E_REVOKED);
    vf_job_unref(job);
    vf_desk_client_free(client);
    site_close(w.st);
    w.st = site_open(&w.site, VF_STATION_MOUNT); /* no notice has come, and it is known all the same */
    job = job_of(w.st, "cards");
    assert_non_null(job);
    assert_int_equal(vf_job_may(w.st, job, why), VF_E_REVOKED);
    assert_int_equal(take1(w.st, w.d.grant), VF_E_REVOKED);
    vf_job_unref(job);
    fake_world_done(&w);
}

/* ---------------------------------------------------------------------------------------------------------------- by files */

static bool appears(const char *path)
{
    struct stat st;
    for (int i = 0; i < 100; i++) {
        if (stat(path, &st) == 0)
            return true;
        (void)usleep(50000);
    }
    return false;
}

static bool goes(const char *path)
{
    struct stat st;
    for (int i = 0; i < 100; i++) {
        if (stat(path, &st) != 0)
            return true;
        (void)usleep(50000);
    }
    return false;
}

static void carry(const char *request, const char *answer)
{
    VF_BUF in = {0}, out = {0};
    OK(vf_file_read(request, VF_REQUEST_MAX, &in, why));
    fake_desk_answer(&w.desk, in.data, in.len, &out);
    OK(vf_file_write(answer, out.data, out.len, 0600, true, why));
}

static bool here(uint32_t index, enum vf_part part)
{
    for (int i = 0; i < 60; i++) {
        if (vf_job_share_until(job, index, part) > 0)
            return true;
        (void)usleep(50000);
    }
    return false;
}

static enum vf_err try(uint32_t index, enum vf_part part)
{
    return vf_desk_client_get(client, job, index, part, NULL, 0, VF_SECOND_US / 10, NULL, why);
}

static void by_files(void **state)
{
    char r[100], a[100];
    (void)state;
    (void)snprintf(r, sizeof(r), "/tmp/vaultfs-test-request.%d", (int)getpid());
    (void)snprintf(a, sizeof(a), "/tmp/vaultfs-test-answer.%d", (int)getpid());
    (void)unlink(r);
    (void)unlink(a);
    client_begin(0, r, a);
    assert_int_equal(try(0, VF_PART_IMAGE), VF_E_NO_SHARE);
    assert_true(appears(r));
    assert_true(client_was_told("carry"));
    /* Another file is wanted meanwhile: the request has both, though nobody waits for it now. */
    assert_int_equal(try(1, VF_PART_IMAGE), VF_E_NO_SHARE);
    (void)usleep(600000);
    carry(r, a);
    assert_true(here(0, VF_PART_IMAGE) && here(1, VF_PART_IMAGE));
    assert_true(goes(r) && goes(a));
    assert_int_equal(w.desk.requests, 1); /* it had introduced itself */
    OK(reads(0, VF_FIELD_PHOTO));
    /* A wrong answer, and an old one: left where they are, and told. */
    fake_clock_pass(VF_DESK_WAIT_US + 1);
    assert_int_equal(try(2, VF_PART_IMAGE), VF_E_NO_SHARE);
    assert_true(appears(r));
    OK(vf_file_write(a, w.desk.last.data, w.desk.last.len, 0600, true, why));
    (void)usleep(600000);
    assert_true(client_was_told("not an answer"));
    assert_true(access(a, F_OK) == 0 && vf_job_share_until(job, 2, VF_PART_IMAGE) == 0);
    (void)unlink(a);
    /* The answer to what the file held before more was wanted. */
    carry(r, a);
    VF_BUF kept = {0};
    OK(vf_file_read(a, VF_ANSWER_MAX, &kept, why));
    assert_true(here(2, VF_PART_IMAGE) && goes(a) && goes(r));
    /* The desk says that it is behind: another request is written by itself. */
    char moved[450];
    (void)snprintf(moved, sizeof(moved), "%s.moved", w.desk.copy);
    assert_int_equal(rename(w.desk.copy, moved), 0);
    fake_clock_pass(VF_DESK_WAIT_US + 1);
    assert_int_equal(try(3, VF_PART_TEXT), VF_E_NO_SHARE);
    assert_true(appears(r));
    carry(r, a);
    assert_true(goes(a));
    (void)usleep(300000);
    carry(r, a);
    assert_true(here(3, VF_PART_TEXT) && here(5, VF_PART_TEXT) && goes(a));
    fake_clock_pass(VF_DESK_WAIT_US + 1);
    assert_int_equal(try(4, VF_PART_IMAGE), VF_E_NO_SHARE);
    assert_true(appears(r));
    client_end();
    assert_true(goes(r)); /* nobody could take its answer */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_contact), cmocka_unit_test(many_in_one),
        cmocka_unit_test(ahead),         cmocka_unit_test(refusals),
        cmocka_unit_test(wrong_answers), cmocka_unit_test(slow_and_away),
        cmocka_unit_test(stops_at_once), cmocka_unit_test(all_texts_in_pieces),
        cmocka_unit_test(behind),        cmocka_unit_test(a_long_log),
        cmocka_unit_test(leases),        cmocka_unit_test(revoked),
        cmocka_unit_test(by_files),
    };
    return cmocka_run_group_tests(tests, station_set_up, station_tear_down);
}
