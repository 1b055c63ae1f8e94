/* SPDX-License-Identifier: MIT */
/* Jobs and their values, budgets, the end, what is dropped when. */
#include "station_test.h"

#include "../../vaultfs/station/station_internal.h"

#include "fakeclock.h"

#include <pthread.h>

static struct place p;

static int set_up(void **state)
{
    return station_and_force(state, &p);
}

static int tear_down(void **state)
{
    return station_and_force_done(state, &p);
}

struct rig {
    struct site s;
    struct delivery d;
    struct vf_station *st;
    struct vf_value_reader *r;
};

static void rig_make(struct rig *g, const char *job, uint64_t budget)
{
    char name[40];

    *g = (struct rig){0};
    (void)snprintf(name, sizeof(name), "st-%s", job);
    site_make(&p, name, &g->s);
    struct vf_issue_options opt = site_options(&g->s, job);
    opt.budget = budget;
    deliver(&p, &opt, &g->d);
    g->st = site_open(&g->s, VF_STATION_MOUNT);
    take_delivery(g->st, &g->d);
    OK(vf_value_reader_new(g->st, &g->r, why));
}

static void rig_close(struct rig *g)
{
    vf_value_reader_free(g->r);
    site_close(g->st);
    g->st = NULL;
}

static void rig_open(struct rig *g)
{
    g->st = site_open(&g->s, VF_STATION_MOUNT);
    OK(vf_value_reader_new(g->st, &g->r, why));
}

static void rig_done(struct rig *g)
{
    rig_close(g);
    delivery_done(&g->d);
    site_done(&g->s);
}

/* --------------------------------------------------------------------------------------------------------------------- values */

static void what_a_listing_needs(void **state)
{
    struct rig g;
    struct vf_job_item item;

    (void)state;
    rig_make(&g, "listing", 0);
    struct vf_job *job = job_of(g.st, "listing");
    assert_int_equal(vf_job_count(job), OFFICERS);
    assert_string_equal(vf_job_grant(job)->job, "listing");
    for (uint32_t i = 0; i < OFFICERS; i++) {
        vf_job_item_get(job, i, &item);
        assert_true(item.photo && item.text && !item.signature && !item.missing);
        assert_true(item.changed_us > 0);
        if (i > 0) {
            struct vf_job_item before;
            vf_job_item_get(job, i - 1, &before);
            assert_true(vf_ref_cmp(&before.ref, &item.ref) < 0);
        }
        uint64_t padded = vf_job_padded(job, i, VF_FIELD_PHOTO);
        assert_int_equal(padded % 8192, 0);
        assert_true(padded >= vf_catalogue_len(vf_job_catalogue(job), i, VF_FIELD_PHOTO));
    }
    vf_job_unref(job);
    rig_done(&g);
}

static void only_what_is_granted(void **state)
{
    struct rig g;
    const uint8_t *plain = NULL;
    size_t len = 0;

    (void)state;
    rig_make(&g, "granted", 0);
    struct vf_job *job = job_of(g.st, "granted");
    for (unsigned f = 0; f < VF_FIELD_COUNT + 3; f++) {
        bool granted = f < VF_FIELD_COUNT && (CARD & VF_FIELD_BIT(f)) != 0 && f != VF_FIELD_SIGNATURE;
        enum vf_err err = vf_value_reader_get(g.r, job, 2, f, &plain, &len, why);
        assert_int_equal(err, granted ? VF_OK : VF_E_NOT_FOUND);
    }
    assert_int_equal(vf_value_reader_get(g.r, job, OFFICERS, VF_FIELD_RANK, &plain, &len, why), VF_E_NOT_FOUND);
    assert_int_equal(vf_value_reader_get(g.r, job, UINT32_MAX, VF_FIELD_RANK, &plain, &len, why), VF_E_NOT_FOUND);
    struct vf_text_value texts[VF_FIELD_COUNT];
    assert_int_equal(vf_value_reader_texts(g.r, job, OFFICERS, texts, why), VF_E_NOT_FOUND);
    vf_job_unref(job);
    rig_done(&g);
}

static void all_texts_at_once(void **state)
{
    struct rig g;
    struct vf_text_value texts[VF_FIELD_COUNT];

    (void)state;
    rig_make(&g, "texts", 0);
    struct vf_vault *v = open_as(&p, VF_VAULT_READ, ALICE);
    struct vf_job *job = job_of(g.st, "texts");
    const struct vf_grant_layout *l = vf_job_layout(job);
    assert_int_equal(l->ntext, 8);
    for (uint32_t i = 0; i < OFFICERS; i++) {
        OK(vf_value_reader_texts(g.r, job, i, texts, why));
        for (unsigned f = 0; f < l->ntext; f++) {
            const char *want = text_of(v, vf_catalogue_ref(vf_job_catalogue(job), i), (enum vf_field)l->text_field[f]);
            assert_int_equal(texts[f].len, strlen(want));
            assert_memory_equal(texts[f].text, want, texts[f].len);
        }
    }
    close_vault(v);
    vf_job_unref(job);
    rig_done(&g);
}

/* The stored grant changed behind the mount's back: its rows were hashed when it was checked. */
static enum vf_err change_grant(struct vf_txn *txn, void *user, struct vf_why *w)
{
    const struct vf_job *job = user;
    struct vf_slice row;
    size_t len;

    (void)w;
    assert_true(vf_txn_get(txn, VF_ST_GRANT, job->grant.id.c, sizeof(job->grant.id.c), &row));
    VF_FREE uint8_t *copy = malloc(row.len);
    assert_non_null(copy);
    memcpy(copy, row.data, row.len);
    copy[job->envelopes_at + vf_envelope_at(&job->layout, 0, VF_PART_TEXT, &len)] ^= 1;
    vf_txn_put(txn, VF_ST_GRANT, job->grant.id.c, sizeof(job->grant.id.c), copy, row.len);
    return VF_OK;
}

static void changed_behind_us(void **state)
{
    struct rig g;
    const uint8_t *plain = NULL;
    size_t len = 0;

    (void)state;
    rig_make(&g, "changed", 0);
    struct vf_job *job = job_of(g.st, "changed");
    OK(vf_value_reader_get(g.r, job, 0, VF_FIELD_RANK, &plain, &len, why));
    OK(vf_store_update(g.st->store, change_grant, job, why));
    assert_int_equal(vf_value_reader_get(g.r, job, 0, VF_FIELD_RANK, &plain, &len, why), VF_E_FORGED);
    OK(vf_value_reader_get(g.r, job, 1, VF_FIELD_RANK, &plain, &len, why));
    vf_job_unref(job);
    rig_close(&g);
    rig_open(&g);
    assert_null(job_of(g.st, "changed")); /* it does not verify any more */
    rig_done(&g);
}

static void after_the_end(void **state)
{
    struct rig g;
    const uint8_t *plain = NULL;
    size_t len = 0;

    (void)state;
    rig_make(&g, "forgotten", 0);
    struct vf_job *job = job_of(g.st, "forgotten");
    OK(vf_value_reader_get(g.r, job, 0, VF_FIELD_RANK, &plain, &len, why));
    vf_job_forget(job);
    struct vf_grant_share none = {{0}};
    assert_memory_equal(job->share, &none, sizeof(none));
    assert_int_equal(vf_value_reader_get(g.r, job, 0, VF_FIELD_RANK, &plain, &len, why), VF_E_EXPIRED);
    assert_int_equal(vf_catalogue_len(vf_job_catalogue(job), 0, VF_FIELD_RANK) > 0, 1); /* listings may be at work */
    vf_job_unref(job);
    rig_done(&g);
}

/* ------------------------------------------------------------------------------------------------------------------- renewals */

static void renewed(void **state)
{
    struct rig g;
    struct delivery next;

    (void)state;
    rig_make(&g, "renewed", 0);
    struct vf_job *before = job_of(g.st, "renewed");
    fake_clock_pass(VF_DAY_US);
    deliver_renewal(&p, &g.d, "renewed-2", 5 * VF_DAY_US, false, &next);
    assert_int_equal(next.sent.values, 0);
    OK(take1(g.st, next.grant));
    struct vf_job *after = job_of(g.st, "renewed");
    assert_memory_equal(&vf_job_grant(after)->id, &next.i.f.grant.id, sizeof(struct vf_grant_id));
    assert_memory_equal(&vf_job_grant(before)->id, &g.d.i.f.grant.id, sizeof(struct vf_grant_id));
    size_t n = 0;
    struct vf_job **jobs = NULL;
    OK(vf_station_jobs(g.st, &jobs, &n, why));
    assert_int_equal(n, 1); /* one folder */
    vf_job_unref(jobs[0]);
    free(jobs);
    /* Who held the old one goes on until its own end. */
    fake_clock_pass(2 * VF_DAY_US);
    assert_int_equal(vf_job_may(g.st, before, why), VF_E_EXPIRED);
    OK(vf_job_may(g.st, after, why));
    vf_job_unref(before);
    vf_job_unref(after);
    assert_int_equal(reads_all(g.st, &p, "renewed"), CARD_VALUES);
    delivery_done(&next);
    rig_done(&g);
}

/* --------------------------------------------------------------------------------------------------------------------- budget */

static void opened(struct vf_station *st, const struct vf_job *job, uint32_t index, enum vf_part part)
{
    const struct vf_entry e = {.event = VF_EVENT_OPEN,
                               .grant = &vf_job_grant(job)->id,
                               .job = vf_job_grant(job)->job,
                               .refs = vf_catalogue_ref(vf_job_catalogue(job), index),
                               .nrefs = 1,
                               .part = (int)part,
                               .result = "ok"};

    OK(vf_log_commit(vf_station_log(st), &e, why));
}

static void budgets(void **state)
{
    struct rig g;

    (void)state;
    rig_make(&g, "budget", 3);
    struct vf_job *job = job_of(g.st, "budget");
    assert_int_equal(vf_job_budget_left(g.st, job, VF_PART_IMAGE), 3);
    assert_int_equal(vf_job_budget_take_all(g.st, job, VF_PART_TEXT, why), VF_E_BUDGET); /* cards.csv: all or nothing */
    assert_int_equal(vf_job_budget_left(g.st, job, VF_PART_TEXT), 3);
    for (uint32_t i = 0; i < 3; i++) {
        OK(vf_job_budget_take(g.st, job, i, VF_PART_IMAGE, why));
        opened(g.st, job, i, VF_PART_IMAGE);
    }
    assert_int_equal(vf_job_budget_take(g.st, job, 3, VF_PART_IMAGE, why), VF_E_BUDGET);
    assert_non_null(strstr(why->text, "3 different records"));
    OK(vf_job_budget_take(g.st, job, 1, VF_PART_IMAGE, why)); /* a reprint */
    OK(vf_job_budget_take(g.st, job, 5, VF_PART_TEXT, why));  /* the parts count apart */
    opened(g.st, job, 5, VF_PART_TEXT);
    vf_job_unref(job);
    /* It survives a remount, and a crash: it is counted from the log. */
    rig_close(&g);
    rig_open(&g);
    job = job_of(g.st, "budget");
    assert_int_equal(vf_job_budget_left(g.st, job, VF_PART_IMAGE), 0);
    assert_int_equal(vf_job_budget_left(g.st, job, VF_PART_TEXT), 2);
    assert_int_equal(vf_job_budget_take(g.st, job, 4, VF_PART_IMAGE, why), VF_E_BUDGET);
    OK(vf_job_budget_take(g.st, job, 2, VF_PART_IMAGE, why));
    OK(vf_job_budget_take(g.st, job, 5, VF_PART_TEXT, why));
    assert_int_equal(vf_job_budget_left(g.st, job, VF_PART_TEXT), 2);
    vf_job_unref(job);
    rig_done(&g);
}

static void budget_of_all(void **state)
{
    struct rig g;

    (void)state;
    rig_make(&g, "budget-all", OFFICERS);
    struct vf_job *job = job_of(g.st, "budget-all");
    OK(vf_job_budget_take(g.st, job, 0, VF_PART_TEXT, why));
    OK(vf_job_budget_take_all(g.st, job, VF_PART_TEXT, why));
    assert_int_equal(vf_job_budget_left(g.st, job, VF_PART_TEXT), 0);
    const struct vf_entry e = {.event = VF_EVENT_OPEN,
                               .grant = &vf_job_grant(job)->id,
                               .all = &vf_job_grant(job)->manifest_hash,
                               .part = VF_PART_TEXT,
                               .result = "ok"};
    OK(vf_log_commit(vf_station_log(g.st), &e, why));
    OK(vf_job_budget_take_all(g.st, job, VF_PART_TEXT, why)); /* again is free */
    vf_job_unref(job);
    rig_close(&g);
    rig_open(&g);
    job = job_of(g.st, "budget-all");
    assert_int_equal(vf_job_budget_left(g.st, job, VF_PART_TEXT), 0);
    assert_int_equal(vf_job_budget_left(g.st, job, VF_PART_IMAGE), OFFICERS);
    vf_job_unref(job);
    rig_done(&g);
}

/* Values that arrive later load the job anew; what was opened beside that is not forgotten. */
static void budget_while_receiving(void **state)
{
    struct site s;
    struct delivery d;

    (void)state;
    site_make(&p, "st-late-values", &s);
    struct vf_issue_options opt = site_options(&s, "late-values");
    opt.budget = 2;
    deliver(&p, &opt, &d);
    struct vf_station *st = site_open(&s, VF_STATION_MOUNT);
    OK(take1(st, d.grant));
    struct vf_job *before = job_of(st, "late-values");
    OK(vf_job_budget_take(st, before, 0, VF_PART_IMAGE, why)); /* its entry is not durable yet */
    OK(take1(st, d.bundle));
    struct vf_job *after = job_of(st, "late-values");
    assert_ptr_not_equal(before, after);
    OK(vf_job_budget_take(st, before, 1, VF_PART_IMAGE, why));
    assert_int_equal(vf_job_budget_left(st, after, VF_PART_IMAGE), 0);
    assert_int_equal(vf_job_budget_take(st, after, 2, VF_PART_IMAGE, why), VF_E_BUDGET);
    OK(vf_job_budget_take(st, after, 0, VF_PART_IMAGE, why));
    vf_job_unref(before);
    vf_job_unref(after);
    site_close(st);
    delivery_done(&d);
    site_done(&s);
}

struct taker {
    struct vf_station *st;
    struct vf_job *job;
    unsigned got;
};

static void *take_some(void *arg)
{
    struct taker *t = arg;

    for (unsigned round = 0; round < 1000; round++)
        for (uint32_t i = 0; i < OFFICERS; i++)
            t->got |= (unsigned)(vf_job_budget_take(t->st, t->job, i, VF_PART_IMAGE, NULL) == VF_OK) << i;
    return NULL;
}

static void budget_of_many(void **state)
{
    struct rig g;
    struct taker takers[4];
    pthread_t threads[4];
    unsigned all = 0;

    (void)state;
    rig_make(&g, "many", 4);
    struct vf_job *job = job_of(g.st, "many");
    for (unsigned i = 0; i < 4; i++) {
        takers[i] = (struct taker){.st = g.st, .job = job};
        assert_int_equal(pthread_create(&threads[i], NULL, take_some, &takers[i]), 0);
    }
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        all |= takers[i].got;
    }
    assert_int_equal(__builtin_popcount(all), 4);
    vf_job_unref(job);
    rig_done(&g);
}

/* Who cuts the log to win his budget back gets no limited grant at all. */
static void budget_without_log(void **state)
{
    struct rig g;
    char path[500];
    size_t len = 0;

    (void)state;
    rig_make(&g, "no-log", 3);
    struct vf_job *job = job_of(g.st, "no-log");
    OK(vf_job_budget_take(g.st, job, 0, VF_PART_IMAGE, why));
    opened(g.st, job, 0, VF_PART_IMAGE);
    vf_job_unref(job);
    rig_close(&g);
    (void)snprintf(path, sizeof(path), "%s/log/entries-00000000000000000000.jsonl", g.s.path);
    char *lines = get_file(path, &len);
    char *at = strstr(lines, "\"event\":\"open\"");
    assert_non_null(at);
    memcpy(at, "\"event\":\"deny\"", 14);
    OK(vf_file_write(path, lines, len, 0600, true, why));
    free(lines);
    /* Nor can anything else: what was revoked is told by the log too. */
    struct vf_station *st = NULL;
    assert_int_equal(vf_station_open(g.s.path, VF_STATION_MOUNT, NULL, &st, why), VF_E_FORGED);
    assert_non_null(strstr(why->text, "damaged or changed"));
    delivery_done(&g.d);
    site_done(&g.s);
}

/* ---------------------------------------------------------------------------------------------------------------------- sweep */

static uint64_t sweep(struct vf_station *st)
{
    uint64_t dropped = 99;

    OK(vf_station_sweep(st, &dropped, why));
    return dropped;
}

/* H moves with both clocks, ten minutes behind; and never beyond the latest end known, so another grant has to be there. */
static void pass(struct vf_station *st, int64_t us)
{
    for (unsigned i = 0; i < 12; i++) {
        fake_clock_pass(us / 12);
        OK(vf_station_clock_tick(st, why));
    }
}

static void dropped_in_time(void **state)
{
    struct rig g;
    struct delivery later;

    (void)state;
    rig_make(&g, "short", 0);
    struct vf_vault *v = open_as(&p, VF_VAULT_WRITE, ALICE);
    const struct vf_vault_settings longer = {.max_grant_us = 60 * VF_DAY_US};
    OK(vf_vault_set(v, &longer, why));
    close_vault(v);
    struct vf_issue_options opt = site_options(&g.s, "long");
    opt.fields = VF_FIELD_BIT(VF_FIELD_RANK);
    opt.until_us = opt.now_us + 50 * VF_DAY_US;
    deliver(&p, &opt, &later);
    OK(take1(g.st, later.grant));
    assert_int_equal(sweep(g.st), 0);
    pass(g.st, 3 * VF_DAY_US);
    assert_int_equal(sweep(g.st), 0); /* ended: kept for a renewal on Monday */
    pass(g.st, 14 * VF_DAY_US - VF_DAY_US / 2);
    assert_int_equal(sweep(g.st), 0);
    pass(g.st, VF_DAY_US);
    assert_int_equal(sweep(g.st), CARD_VALUES - OFFICERS); /* the ranks are still wanted */
    assert_int_equal(sweep(g.st), 0);
    assert_int_equal(state_of_station(g.st).values, OFFICERS);
    OK(vf_log_seal(vf_station_log(g.st), why));
    assert_int_equal(site_log_counts(&g.s, VF_EVENT_ERASE), 1);
    assert_int_equal(reads_all(g.st, &p, "long"), OFFICERS);
    /* What was dropped comes again with a bundle of everything. */
    delivery_done(&later);
    rig_done(&g);
}

/* A wrong clock destroys nothing. */
static void not_by_a_wrong_clock(void **state)
{
    struct rig g;

    (void)state;
    rig_make(&g, "wrong-clock", 0);
    pass(g.st, 3600 * VF_SECOND_US);
    fake_clock_step(3650 * VF_DAY_US);
    assert_int_equal(sweep(g.st), 0);
    pass(g.st, 3600 * VF_SECOND_US);
    assert_int_equal(sweep(g.st), 0);
    assert_int_equal(state_of_station(g.st).values, CARD_VALUES);
    rig_done(&g);
    fake_clock_step(-3650 * VF_DAY_US);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_listing_needs),
        cmocka_unit_test(only_what_is_granted),
        cmocka_unit_test(all_texts_at_once),
        cmocka_unit_test(changed_behind_us),
        cmocka_unit_test(after_the_end),
        cmocka_unit_test(renewed),
        cmocka_unit_test(budgets),
        cmocka_unit_test(budget_of_all),
        cmocka_unit_test(budget_while_receiving),
        cmocka_unit_test(budget_of_many),
        cmocka_unit_test(budget_without_log),
        cmocka_unit_test(dropped_in_time),
        cmocka_unit_test(not_by_a_wrong_clock),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
