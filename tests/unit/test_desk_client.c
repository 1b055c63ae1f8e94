/* SPDX-License-Identifier: MIT */
/* The station's side against a desk that does as it is told. */
#include "desk_fake.h"

#include "../../vaultfs/desk/client_internal.h"
#include "fakeclock.h"

#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define WAIT_US (3 * VF_SECOND_US) /* in real time: none of these should need it */

static struct fake_world w;
static struct vf_desk_client *client;
static struct vf_job *job;
static char told[256];
static pthread_mutex_t told_lock = PTHREAD_MUTEX_INITIALIZER;

static void tell(void *user, const char *text)
{
    (void)user;
    pthread_mutex_lock(&told_lock);
    (void)snprintf(told, sizeof(told), "%s", text);
    pthread_mutex_unlock(&told_lock);
}

/* Those who wait may be awake before it is told. */
static bool was_told(const char *words)
{
    bool found = false;
    for (int i = 0; i < 100 && !found; i++) {
        pthread_mutex_lock(&told_lock);
        found = strstr(told, words) != NULL;
        pthread_mutex_unlock(&told_lock);
        if (!found)
            (void)usleep(20000);
    }
    return found;
}

static void begin(uint64_t budget, const char *request, const char *answer)
{
    fake_world_make(&w, budget);
    const struct vf_desk_client_options opt = {
        .station = w.st, .request_path = request, .answer_path = answer, .tell = tell};
    if (!request)
        fake_desk_serve(&w.desk);
    OK(vf_desk_client_new(&opt, &client, why));
    job = job_of(w.st, "cards");
    told[0] = '\0';
}

static void end(void)
{
    vf_job_unref(job);
    vf_desk_client_free(client);
    fake_world_done(&w);
}

static enum vf_err get(uint32_t index, enum vf_part part)
{
    return vf_desk_client_get(client, job, index, part, NULL, 0, WAIT_US, NULL, why);
}

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

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
    begin(0, NULL, NULL);
    assert_true(vf_job_online(job));
    assert_int_equal(reads(0, VF_FIELD_PHOTO), VF_E_NO_SHARE);
    OK(get(0, VF_PART_IMAGE));
    assert_int_equal(w.desk.full, 1); /* it asked who we are, and that came once */
    assert_int_equal(w.desk.requests, 2);
    OK(reads(0, VF_FIELD_PHOTO));
    assert_int_equal(reads(1, VF_FIELD_PHOTO), VF_E_NO_SHARE);
    assert_int_equal(reads(0, VF_FIELD_RANK), VF_E_NO_SHARE); /* another part */
    unsigned before = w.desk.requests;
    OK(get(0, VF_PART_IMAGE)); /* it is here */
    assert_int_equal(w.desk.requests, before);
    OK(get(1, VF_PART_IMAGE));
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

static void wait_for_requests(unsigned n)
{
    for (int i = 0; i < 100 && w.desk.requests < n; i++)
        (void)usleep(50000);
}

struct opener {
    pthread_t thread;
    uint32_t index;
    enum vf_part part;
    enum vf_err err;
};
static void *open_one(void *arg)
{
    struct opener *o = arg;
    struct vf_why mine;
    o->err = vf_desk_client_get(client, job, o->index, o->part, NULL, 0, WAIT_US, NULL, &mine);
    return NULL;
}

static void many_in_one(void **state)
{
    struct opener o[OFFICERS];
    (void)state;
    begin(0, NULL, NULL);
    OK(get(0, VF_PART_IMAGE));
    w.desk.delay_ms = 300;
    unsigned before = w.desk.requests;
    for (uint32_t i = 0; i < OFFICERS; i++) {
        o[i] = (struct opener){.index = i, .part = VF_PART_IMAGE};
        assert_int_equal(pthread_create(&o[i].thread, NULL, open_one, &o[i]), 0);
    }
    for (uint32_t i = 0; i < OFFICERS; i++) {
        assert_int_equal(pthread_join(o[i].thread, NULL), 0);
        OK(o[i].err);
    }
    assert_true(w.desk.requests - before <= 2); /* the first of them, and all others */
    w.desk.delay_ms = 0;
    before = w.desk.requests;
    OK(get(2, VF_PART_TEXT)); /* one text: all of them */
    assert_int_equal(w.desk.requests, before + 1);
    assert_int_equal(w.desk.all_text, 1);
    OK(vf_desk_client_get_all(client, job, WAIT_US, NULL, why));
    assert_int_equal(w.desk.requests, before + 1);
    for (uint32_t i = 0; i < OFFICERS; i++)
        OK(reads(i, VF_FIELD_RANK));
    end();
}

static void ahead(void **state)
{
    const uint32_t behind[] = {2, 3, 4};
    (void)state;
    begin(0, NULL, NULL);
    OK(vf_desk_client_get(client, job, 1, VF_PART_IMAGE, behind, 3, WAIT_US, NULL, why));
    for (uint32_t i = 0; i < OFFICERS; i++)
        assert_int_equal(reads(i, VF_FIELD_PHOTO), i >= 1 && i <= 4 ? VF_OK : VF_E_NO_SHARE);
    assert_int_equal(w.desk.most_wants, 4);
    end();
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
        {VF_ANSWER_RATE, VF_E_BUDGET, "in one hour"},       {VF_ANSWER_REFUSED, VF_E_NO_SHARE, "as the test says"},
        {VF_ANSWER_UNREADY, VF_E_NO_SHARE, "is not ready"},
    };
    (void)state;
    begin(0, NULL, NULL);
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        w.desk.status = all[i].status;
        assert_int_equal(get(0, VF_PART_IMAGE), all[i].err);
        assert_non_null(strstr(why->text, all[i].words));
        unsigned before = w.desk.requests;
        int64_t start = now_ms();
        assert_int_equal(get(0, VF_PART_IMAGE), all[i].err);
        assert_non_null(strstr(why->text, all[i].words));
        assert_true(now_ms() - start < 500);
        assert_int_equal(w.desk.requests, before);
        fake_clock_pass((all[i].status == VF_ANSWER_RATE ? 60 * VF_SECOND_US : VF_DESK_WAIT_US) + 1);
    }
    w.desk.status = VF_ANSWER_OK;
    OK(get(0, VF_PART_IMAGE));
    /* A record over the budget keeps nobody from the others. */
    w.desk.status = VF_ANSWER_BUDGET;
    assert_int_equal(get(1, VF_PART_IMAGE), VF_E_BUDGET);
    w.desk.status = VF_ANSWER_OK;
    OK(get(2, VF_PART_IMAGE));
    assert_int_equal(get(1, VF_PART_IMAGE), VF_E_BUDGET);
    fake_clock_pass(VF_DESK_WAIT_US + 1);
    OK(get(1, VF_PART_IMAGE));
    /* OK, and nothing in it. */
    w.desk.no_shares = true;
    assert_int_equal(get(3, VF_PART_IMAGE), VF_E_NO_SHARE);
    end();
}

/* Several at once, and not enough for all: as many as there is room for, the others are told why. */
static void too_much_together(void **state)
{
    struct opener o[OFFICERS];
    unsigned good = 0;
    (void)state;
    begin(3, NULL, NULL);
    w.desk.budget = 3;
    OK(get(0, VF_PART_IMAGE));
    w.desk.delay_ms = 200;
    for (uint32_t i = 0; i < OFFICERS; i++) {
        o[i] = (struct opener){.index = i, .part = VF_PART_IMAGE};
        assert_int_equal(pthread_create(&o[i].thread, NULL, open_one, &o[i]), 0);
    }
    for (uint32_t i = 0; i < OFFICERS; i++) {
        assert_int_equal(pthread_join(o[i].thread, NULL), 0);
        assert_true(o[i].err == VF_OK || o[i].err == VF_E_BUDGET);
        good += o[i].err == VF_OK;
    }
    assert_int_equal(good, 3);
    assert_true(w.desk.requests <= 2 + 2);
    end();
}

static uint64_t entries(void)
{
    struct vf_log_state s;
    vf_log_state_get(vf_station_log(w.st), &s);
    return s.size;
}

/* The budget is used up, as the station knows by itself: the desk is not asked, and nothing is written. */
static void used_up(void **state)
{
    (void)state;
    begin(2, NULL, NULL);
    w.desk.budget = 2;
    OK(get(0, VF_PART_IMAGE));
    OK(get(1, VF_PART_IMAGE));
    unsigned before = w.desk.requests;
    uint64_t size = entries();
    for (int round = 0; round < 3; round++) {
        for (uint32_t i = 2; i < OFFICERS; i++)
            assert_int_equal(get(i, VF_PART_IMAGE), VF_E_BUDGET);
        fake_clock_pass(VF_DESK_WAIT_US + 1);
    }
    assert_int_equal(w.desk.requests, before);
    assert_true(entries() == size);
    OK(get(0, VF_PART_TEXT)); /* the other part has its own */
    assert_int_equal(w.desk.requests, before + 1);
    /* What was released is free, its lease over or not. */
    fake_clock_pass(901 * VF_SECOND_US);
    assert_int_equal(vf_job_share_until(job, 1, VF_PART_IMAGE), 0);
    OK(get(1, VF_PART_IMAGE));
    assert_int_equal(w.desk.requests, before + 2);
    end();
}

/* As only the desk knows: records that a mount before this one had released, and did not open. */
static void used_up_elsewhere(void **state)
{
    (void)state;
    begin(2, NULL, NULL);
    w.desk.budget = 2;
    w.desk.released[VF_PART_IMAGE][3] = w.desk.released[VF_PART_IMAGE][4] = true;
    assert_int_equal(get(0, VF_PART_IMAGE), VF_E_BUDGET);
    unsigned before = w.desk.requests;
    assert_int_equal(get(0, VF_PART_IMAGE), VF_E_BUDGET);
    assert_int_equal(w.desk.requests, before);
    /* One request tells of all others, and no new one is among them. */
    assert_int_equal(get(1, VF_PART_IMAGE), VF_E_BUDGET);
    assert_int_equal(w.desk.requests, before + 1);
    uint64_t size = entries();
    for (int round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < OFFICERS; i++)
            assert_int_equal(get(i, VF_PART_IMAGE), i == 3 || i == 4 ? VF_OK : VF_E_BUDGET);
        fake_clock_pass(VF_DESK_WAIT_US + 1);
    }
    assert_int_equal(w.desk.requests, before + 1);
    assert_true(entries() == size);
    end();
}

static void images_an_hour(void **state)
{
    (void)state;
    begin(0, NULL, NULL);
    w.desk.rate = 2;
    OK(get(0, VF_PART_IMAGE));
    OK(get(1, VF_PART_IMAGE));
    assert_int_equal(get(2, VF_PART_IMAGE), VF_E_BUDGET);
    assert_non_null(strstr(why->text, "in one hour"));
    unsigned before = w.desk.requests;
    for (uint32_t i = 2; i < OFFICERS; i++)
        assert_int_equal(get(i, VF_PART_IMAGE), VF_E_BUDGET);
    fake_clock_pass(59 * VF_SECOND_US);
    assert_int_equal(get(3, VF_PART_IMAGE), VF_E_BUDGET);
    assert_int_equal(w.desk.requests, before);
    OK(get(0, VF_PART_TEXT)); /* texts are not counted */
    fake_clock_pass(901 * VF_SECOND_US);
    assert_int_equal(get(3, VF_PART_IMAGE), VF_E_BUDGET);
    before = w.desk.requests;
    OK(get(1, VF_PART_IMAGE)); /* again */
    assert_int_equal(w.desk.requests, before + 1);
    w.desk.rate = 1;
    fake_clock_pass(61 * VF_SECOND_US);
    OK(get(3, VF_PART_IMAGE));
    end();
}

/* A refusal that did not look at the log says nothing of it: it is not sent anew. */
static void refused_before_the_log(void **state)
{
    (void)state;
    begin(0, NULL, NULL);
    OK(get(0, VF_PART_IMAGE));
    w.desk.ends_early = true;
    w.desk.status = VF_ANSWER_REFUSED;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(get(1, VF_PART_IMAGE), VF_E_NO_SHARE);
        fake_clock_pass(VF_DESK_WAIT_US + 1);
    }
    w.desk.ends_early = false;
    w.desk.status = VF_ANSWER_OK;
    unsigned before = w.desk.requests;
    OK(get(1, VF_PART_IMAGE));
    assert_int_equal(w.desk.requests, before + 1); /* not BEHIND first */
    end();
}

static void wrong_answers(void **state)
{
    static const enum fake_fault faults[] = {FAKE_CUT,        FAKE_HTTP_500,      FAKE_GARBAGE,   FAKE_HUGE,
                                             FAKE_OTHER_DESK, FAKE_OTHER_REQUEST, FAKE_OLD_ANSWER};
    (void)state;
    begin(0, NULL, NULL);
    OK(get(0, VF_PART_IMAGE));
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        w.desk.fault = faults[i];
        assert_int_equal(get(1, VF_PART_IMAGE), VF_E_NO_SHARE);
        assert_int_equal(reads(1, VF_FIELD_PHOTO), VF_E_NO_SHARE);
        w.desk.fault = FAKE_RIGHT;
        assert_int_equal(get(1, VF_PART_IMAGE), VF_E_NO_SHARE); /* at once */
        fake_clock_pass(VF_DESK_WAIT_US + 1);
    }
    OK(reads(0, VF_FIELD_PHOTO)); /* what is here is not touched */
    OK(get(1, VF_PART_IMAGE));    /* and it goes on as before: what the desk took without our knowing is no obstacle */
    end();
}

static void slow_and_away(void **state)
{
    (void)state;
    begin(0, NULL, NULL);
    OK(get(0, VF_PART_IMAGE));
    w.desk.delay_ms = 900;
    int64_t start = now_ms();
    assert_int_equal(vf_desk_client_get(client, job, 1, VF_PART_IMAGE, NULL, 0, VF_SECOND_US / 3, NULL, why), VF_E_NO_SHARE);
    assert_true(now_ms() - start < 800);
    for (int64_t late = -999999; late <= 0; late += 333333) { /* one that waited elsewhere until its time was over */
        fake_clock_pass(VF_DESK_WAIT_US + 1);
        assert_int_equal(vf_desk_client_get(client, job, 4, VF_PART_IMAGE, NULL, 0, late, NULL, why), VF_E_NO_SHARE);
    }
    start = now_ms();
    assert_int_equal(get(2, VF_PART_IMAGE), VF_E_NO_SHARE);
    assert_true(now_ms() - start < 200);
    for (int i = 0; i < 100 && vf_job_share_until(job, 1, VF_PART_IMAGE) == 0; i++)
        (void)usleep(50000);
    OK(get(1, VF_PART_IMAGE)); /* it came after all */
    w.desk.delay_ms = 0;
    OK(get(2, VF_PART_IMAGE)); /* and so the desk is asked again */
    fake_desk_away(&w.desk);
    assert_int_equal(get(3, VF_PART_IMAGE), VF_E_NO_SHARE);
    struct vf_desk_client_status s;
    vf_desk_client_status_get(client, &s);
    assert_true(s.away && s.reached_boot_us > 0 && strstr(s.text, "cannot be reached") != NULL);
    OK(reads(0, VF_FIELD_PHOTO)); /* ridden out */
    fake_desk_serve(&w.desk);
    fake_clock_pass(VF_DESK_WAIT_US + 1);
    OK(get(3, VF_PART_IMAGE));
    vf_desk_client_status_get(client, &s);
    assert_true(!s.away && s.text[0] == '\0');
    end();
}

/* An exchange that stands still, or nearly, is left when somebody else waits; what comes then is served. */
static void left_in_the_middle(void **state)
{
    static const enum fake_fault faults[] = {FAKE_LOST, FAKE_DRIP};
    (void)state;
    begin(0, NULL, NULL);
    client->patience_us = VF_SECOND_US / 2;
    OK(get(0, VF_PART_IMAGE));
    for (uint32_t i = 0; i < 2; i++) {
        struct opener o = {.index = 1 + i, .part = VF_PART_IMAGE};
        unsigned before = w.desk.requests;
        w.desk.fault = faults[i];
        assert_int_equal(pthread_create(&o.thread, NULL, open_one, &o), 0);
        wait_for_requests(before + 1);
        (void)usleep(200000);
        w.desk.fault = FAKE_RIGHT;
        int64_t start = now_ms();
        OK(get(3 + i, VF_PART_IMAGE));
        assert_true(now_ms() - start < 2500);
        assert_int_equal(pthread_join(o.thread, NULL), 0);
        assert_int_equal(o.err, VF_E_NO_SHARE);
        OK(get(1 + i, VF_PART_IMAGE)); /* nobody is held for it */
    }
    end();
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
    begin(0, NULL, NULL);
    w.desk.fault = FAKE_SILENT;
    assert_int_equal(pthread_create(&thread, NULL, stopper, NULL), 0);
    int64_t start = now_ms();
    assert_int_equal(get(0, VF_PART_IMAGE), VF_E_NO_SHARE);
    assert_true(now_ms() - start < 1500);
    assert_int_equal(pthread_join(thread, NULL), 0);
    start = now_ms();
    vf_job_unref(job);
    vf_desk_client_free(client);
    assert_true(now_ms() - start < 1000);
    fake_world_done(&w);
}

/* The desk's copy is another than was thought: it says so, and gets what it lacks. */
static void behind(void **state)
{
    char moved[450];
    (void)state;
    begin(0, NULL, NULL);
    OK(get(0, VF_PART_IMAGE));
    (void)snprintf(moved, sizeof(moved), "%s.moved", w.desk.copy);
    assert_int_equal(rename(w.desk.copy, moved), 0);
    OK(get(1, VF_PART_IMAGE));
    /* More than the station has: an old copy of the station, or two of them. */
    vf_job_unref(job);
    vf_desk_client_free(client);
    char stale[450], cmd[1300];
    (void)snprintf(stale, sizeof(stale), "%s.stale", w.site.path);
    site_close(w.st);
    copy_folder(w.site.path, stale);
    w.st = site_open(&w.site, VF_STATION_MOUNT);
    const struct vf_desk_client_options opt = {.station = w.st, .tell = tell};
    OK(vf_desk_client_new(&opt, &client, why));
    job = job_of(w.st, "cards");
    for (int i = 0; i < 20; i++)
        OK(vf_log_seal_handin(vf_station_log(w.st), why));
    OK(get(2, VF_PART_IMAGE));
    vf_job_unref(job);
    vf_desk_client_free(client);
    site_close(w.st);
    (void)snprintf(cmd, sizeof(cmd), "rm -rf '%s' && mv '%s' '%s'", w.site.path, stale, w.site.path);
    assert_int_equal(system(cmd), 0);
    w.st = site_open(&w.site, VF_STATION_MOUNT);
    const struct vf_desk_client_options again = {.station = w.st, .tell = tell};
    OK(vf_desk_client_new(&again, &client, why));
    job = job_of(w.st, "cards");
    assert_int_equal(get(3, VF_PART_IMAGE), VF_E_NO_SHARE);
    if (strstr(why->text, "ell the force") == NULL)
        fail_msg("\"%s\"", why->text);
    end();
}

/* More log than one request carries: it goes ahead, and nothing is asked for until all of it is there. */
static void a_long_log(void **state)
{
    char purpose[256];
    uint64_t seq = 0;
    (void)state;
    begin(0, NULL, NULL);
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
    end();
}

static void leases(void **state)
{
    (void)state;
    begin(0, NULL, NULL);
    w.desk.lease_us = 90 * VF_SECOND_US;
    OK(get(0, VF_PART_IMAGE));
    OK(get(1, VF_PART_IMAGE));
    int64_t until = vf_job_share_until(job, 0, VF_PART_IMAGE);
    assert_true(until == vf_clock_boot_us() + 90 * VF_SECOND_US);
    OK(reads(0, VF_FIELD_PHOTO)); /* used */
    unsigned before = w.desk.requests;
    fake_clock_pass(59 * VF_SECOND_US);
    (void)usleep(1300000);
    assert_int_equal(w.desk.requests, before);
    fake_clock_pass(2 * VF_SECOND_US); /* two thirds of it are over */
    wait_for_requests(before + 1);
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
    OK(get(2, VF_PART_IMAGE));
    int64_t left = vf_job_grant(job)->until_us - vf_clock_wall_us();
    assert_int_equal(vf_job_share_until(job, 2, VF_PART_IMAGE), vf_clock_boot_us() + left);
    end();
}

static void revoked(void **state)
{
    (void)state;
    begin(0, NULL, NULL);
    OK(get(0, VF_PART_IMAGE));
    w.desk.status = VF_ANSWER_REVOKED;
    assert_int_equal(get(1, VF_PART_IMAGE), VF_E_REVOKED);
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
    begin(0, r, a);
    assert_int_equal(try(0, VF_PART_IMAGE), VF_E_NO_SHARE);
    assert_true(appears(r));
    assert_true(was_told("carry"));
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
    assert_true(was_told("not an answer"));
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
    end();
    assert_true(goes(r)); /* nobody could take its answer */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_contact),
        cmocka_unit_test(many_in_one),
        cmocka_unit_test(ahead),
        cmocka_unit_test(refusals),
        cmocka_unit_test(wrong_answers),
        cmocka_unit_test(too_much_together),
        cmocka_unit_test(slow_and_away),
        cmocka_unit_test(stops_at_once),
        cmocka_unit_test(behind),
        cmocka_unit_test(a_long_log),
        cmocka_unit_test(leases),
        cmocka_unit_test(revoked),
        cmocka_unit_test(by_files),
        cmocka_unit_test(used_up),
        cmocka_unit_test(used_up_elsewhere),
        cmocka_unit_test(images_an_hour),
        cmocka_unit_test(refused_before_the_log),
        cmocka_unit_test(left_in_the_middle),
    };
    return cmocka_run_group_tests(tests, station_set_up, station_tear_down);
}
