/* SPDX-License-Identifier: MIT */
/* What a station takes, and what it refuses with which error. */
#include "station_test.h"

#include "../../vaultfs/station/station_internal.h"

#include "fakeclock.h"

#include <fcntl.h>
#include <unistd.h>

#define TEXT_VALUES 8 /* text fields of a card */
#define CARD_VALUES (OFFICERS * (TEXT_VALUES + 1)) /* and a photo; nobody has a signature */

static struct place p, other; /* other: another force */

static int set_up(void **state)
{
    if (station_set_up(state) != 0)
        return -1;
    force_make(&p, 1);
    force_make(&other, 1);
    return 0;
}

static int tear_down(void **state)
{
    place_done(&p);
    place_done(&other);
    return station_tear_down(state);
}

static void nothing_taken(struct vf_station *st)
{
    struct vf_station_state state = state_of_station(st);

    assert_int_equal(state.values, 0);
}

/* --------------------------------------------------------------------------------------------------------------------- taken */

static void whole_delivery(void **state)
{
    struct site s;
    struct delivery d;
    struct told told;

    (void)state;
    site_make(&p, "whole", &s);
    struct vf_issue_options opt = site_options(&s, "whole");
    deliver(&p, &opt, &d);
    assert_int_equal(d.sent.values, CARD_VALUES);
    struct vf_station *st = site_open(&s, VF_STATION_RECEIVE);
    /* In any order: the grant comes first. */
    const char *const paths[] = {d.bundle, d.grant, s.policy};
    OK(take(st, paths, 3, &told));
    assert_int_equal(told.one[0].kind, VF_ARTEFACT_POLICY);
    assert_true(told.one[0].already);
    assert_int_equal(told.one[1].kind, VF_ARTEFACT_GRANT);
    assert_false(told.one[1].already);
    assert_non_null(strstr(told.one[1].text, "expiry enforced by software, not by cryptography"));
    assert_int_equal(told.one[2].kind, VF_ARTEFACT_BUNDLE);
    assert_int_equal(told.one[2].values, CARD_VALUES);
    assert_int_equal(told.one[2].not_needed, 0);
    struct vf_station_state first = state_of_station(st);
    assert_int_equal(first.values, CARD_VALUES);
    /* Again, all of it and one by one: nothing changes, nothing is logged. */
    OK(take(st, paths, 3, &told));
    for (size_t i = 0; i < 3; i++)
        assert_true(told.one[i].already);
    assert_int_equal(told.one[2].values, 0);
    OK(take1(st, d.bundle));
    OK(take1(st, d.grant));
    struct vf_station_state second = state_of_station(st);
    assert_int_equal(second.values, first.values);
    assert_int_equal(second.bytes, first.bytes);
    assert_int_equal(second.log_size, first.log_size);
    site_close(st);
    assert_int_equal(site_log_counts(&s, VF_EVENT_RECEIVE), 2);
    st = site_open(&s, VF_STATION_MOUNT);
    assert_int_equal(reads_all(st, &p, "whole"), CARD_VALUES);
    site_close(st);
    delivery_done(&d);
    site_done(&s);
}

static void bundle_before_grant(void **state)
{
    struct site s;
    struct delivery d;
    struct told told;

    (void)state;
    site_make(&p, "early", &s);
    struct vf_issue_options opt = site_options(&s, "early");
    deliver(&p, &opt, &d);
    struct vf_station *st = site_open(&s, VF_STATION_RECEIVE);
    const char *const bundle[] = {d.bundle};
    OK(take(st, bundle, 1, &told));
    assert_int_equal(told.one[0].values, 0);
    assert_int_equal(told.one[0].not_needed, CARD_VALUES);
    assert_non_null(strstr(told.one[0].text, "receive the grant with it"));
    nothing_taken(st);
    OK(take1(st, d.grant));
    uint64_t present, named;
    values_of(st, "early", &present, &named);
    assert_int_equal(present, 0);
    assert_int_equal(named, CARD_VALUES);
    OK(take1(st, d.bundle));
    values_of(st, "early", &present, &named);
    assert_int_equal(present, CARD_VALUES);
    site_close(st);
    delivery_done(&d);
    site_done(&s);
}

/* Into a station that a mount has open: jobs appear, a job whose values arrive is completed, the version counts up. */
static void while_open(void **state)
{
    struct site s;
    struct delivery one, two;

    (void)state;
    site_make(&p, "live", &s);
    struct vf_issue_options opt = site_options(&s, "live-one"), opt2 = site_options(&s, "live-two");
    deliver(&p, &opt, &one);
    opt2.fields = VF_FIELD_BIT(VF_FIELD_NAME_ON_CARD);
    deliver(&p, &opt2, &two);
    assert_int_equal(two.sent.values, 0); /* the first bundle brought them */
    struct vf_station *st = site_open(&s, VF_STATION_MOUNT);
    uint64_t version = vf_station_version(st);
    assert_null(job_of(st, "live-one"));
    OK(take1(st, one.grant));
    assert_true(vf_station_version(st) > version);
    struct vf_job *job = job_of(st, "live-one");
    struct vf_job_item item;
    vf_job_item_get(job, 0, &item);
    assert_true(item.missing);
    assert_false(item.text);
    assert_false(item.photo);
    vf_job_unref(job);
    OK(take1(st, one.bundle));
    assert_int_equal(reads_all(st, &p, "live-one"), CARD_VALUES);
    OK(take1(st, two.grant));
    assert_int_equal(reads_all(st, &p, "live-two"), OFFICERS);
    site_close(st);
    delivery_done(&one);
    delivery_done(&two);
    site_done(&s);
}

/* ------------------------------------------------------------------------------------------------------------ refused grants */

static void not_for_us(void **state)
{
    struct site s, neighbour, foreign;
    struct delivery d, f;

    (void)state;
    site_make(&p, "mine", &s);
    site_make(&p, "neighbour", &neighbour);
    site_make(&other, "foreign", &foreign);
    struct vf_issue_options opt = site_options(&neighbour, "theirs"), opt2 = site_options(&foreign, "foreign");
    deliver(&p, &opt, &d);
    deliver(&other, &opt2, &f);
    struct vf_station *st = site_open(&s, VF_STATION_RECEIVE);
    assert_int_equal(take1(st, d.grant), VF_E_REFUSED);
    assert_non_null(strstr(why->text, "neighbour"));
    assert_int_equal(take1(st, f.grant), VF_E_REFUSED);
    assert_non_null(strstr(why->text, "another force"));
    assert_int_equal(take1(st, f.bundle), VF_E_REFUSED);
    assert_int_equal(take1(st, foreign.policy), VF_E_FORGED);
    nothing_taken(st);
    site_close(st);
    assert_int_equal(site_log_counts(&s, VF_EVENT_RECEIVE), 0);
    delivery_done(&d);
    delivery_done(&f);
    site_done(&s);
    site_done(&neighbour);
    site_done(&foreign);
}

static void signatures(void **state)
{
    struct place two;
    struct site s;
    struct delivery d;
    struct issued both;
    char path[400];

    (void)state;
    force_make(&two, 2);
    site_make(&two, "k-of-n", &s);
    struct vf_issue_options opt = site_options(&s, "k-of-n");
    deliver(&two, &opt, &d);
    struct vf_station *st = site_open(&s, VF_STATION_RECEIVE);
    assert_int_equal(take1(st, d.grant), VF_E_UNSIGNED);
    assert_non_null(strstr(why->text, "1 of 2"));
    /* The same key twice: the line of alice's signature doubled. */
    VF_BUF twice = {0};
    vf_buf_init(&twice, VF_GRANT_FILE_MAX);
    const struct vf_grant_file *f = &d.i.f;
    const struct vf_note_sig *sig = &f->note.sigs[0];
    vf_buf_put(&twice, d.i.file.data, 8);
    vf_buf_u32(&twice, (uint32_t)(f->note_len + sig->line_len + 1));
    vf_buf_put(&twice, f->note_bytes, f->note_len);
    vf_buf_put(&twice, sig->line, sig->line_len);
    vf_buf_text(&twice, "\n");
    size_t rest = 8 + 4 + f->note_len;
    vf_buf_put(&twice, d.i.file.data + rest, d.i.file.len - rest);
    put_file(&two, "twice.grant", twice.data, twice.len);
    enum vf_err err = take1(st, place_path(&two, "twice.grant", path));
    assert_true(err == VF_E_UNSIGNED || err == VF_E_FORMAT);
    /* A stranger's signature counts for nothing. */
    struct issued stranger = {0};
    vf_buf_init(&stranger.file, VF_GRANT_FILE_MAX);
    OK(vf_grant_sign(&d.i.f, admin[CAROL], NULL, &stranger.file, why));
    put_file(&two, "carol.grant", stranger.file.data, stranger.file.len);
    assert_int_equal(take1(st, place_path(&two, "carol.grant", path)), VF_E_UNSIGNED);
    issued_done(&stranger);
    /* The second admin's does. */
    struct vf_vault *v = open_as(&two, VF_VAULT_WRITE, BOB);
    OK(try_sign(v, BOB, &d.i, &both));
    close_vault(v);
    put_file(&two, "both.grant", both.file.data, both.file.len);
    OK(take1(st, place_path(&two, "both.grant", path)));
    OK(take1(st, d.bundle));
    site_close(st);
    issued_done(&both);
    delivery_done(&d);
    site_done(&s);
    place_done(&two);
}

static void too_late(void **state)
{
    struct site s;
    struct delivery d, early;

    (void)state;
    site_make(&p, "late", &s);
    struct vf_issue_options opt = site_options(&s, "late"), opt2 = site_options(&s, "early-bird");
    opt.until_us = opt.now_us + 3600 * VF_SECOND_US;
    opt2.from_us = opt2.now_us + VF_DAY_US;
    deliver(&p, &opt, &d);
    deliver(&p, &opt2, &early);
    fake_clock_pass(3600 * VF_SECOND_US);
    struct vf_station *st = site_open(&s, VF_STATION_RECEIVE);
    assert_int_equal(take1(st, d.grant), VF_E_EXPIRED);
    OK(take1(st, early.grant)); /* before its time is fine: it waits */
    site_close(st);
    st = site_open(&s, VF_STATION_MOUNT);
    struct vf_job *job = job_of(st, "early-bird");
    assert_int_equal(vf_job_may(st, job, why), VF_E_NOT_YET);
    fake_clock_pass(23 * 3600 * VF_SECOND_US);
    OK(vf_job_may(st, job, why));
    vf_job_unref(job);
    site_close(st);
    delivery_done(&d);
    delivery_done(&early);
    site_done(&s);
}

static void revoked(void **state)
{
    struct site s;
    struct delivery d, r;
    char path[400], second[400];
    struct told told;

    (void)state;
    site_make(&p, "taken-back", &s);
    struct vf_issue_options opt = site_options(&s, "taken-back");
    deliver(&p, &opt, &d);
    deliver_renewal(&p, &d, "renewal", VF_DAY_US, false, &r);
    revoke_grant(&p, &d.i.f.grant.id, "first", path);
    revoke_grant(&p, &r.i.f.grant.id, "second", second);
    struct vf_station *st = site_open(&s, VF_STATION_RECEIVE);
    take_delivery(st, &d);
    OK(take1(st, r.grant));
    const char *const notes[] = {path};
    OK(take(st, notes, 1, &told));
    assert_false(told.one[0].already);
    OK(take(st, notes, 1, &told));
    assert_true(told.one[0].already);
    assert_int_equal(take1(st, d.grant), VF_E_REVOKED);
    assert_int_equal(state_of_station(st).values, CARD_VALUES); /* its renewal needs them */
    site_close(st);
    st = site_open(&s, VF_STATION_MOUNT);
    assert_int_equal(reads_all(st, &p, "taken-back"), CARD_VALUES);
    struct vf_job *job = job_of(st, "taken-back");
    OK(take1(st, second));
    assert_int_equal(vf_job_may(st, job, why), VF_E_REVOKED); /* whoever holds it too */
    vf_job_unref(job);
    nothing_taken(st);
    /* A revocation may come before its grant, and bundles of it bring nothing. */
    assert_int_equal(take1(st, r.grant), VF_E_REVOKED);
    OK(take1(st, d.bundle));
    nothing_taken(st);
    site_close(st);
    delivery_done(&d);
    delivery_done(&r);
    site_done(&s);
}

static void revoked_device(void **state)
{
    struct site s, t;
    struct delivery d;
    VF_BUF out = {0};
    char path[400];

    (void)state;
    site_make(&p, "lost-laptop", &s);
    site_make(&p, "kept-laptop", &t);
    struct vf_issue_options opt = site_options(&s, "lost-job");
    deliver(&p, &opt, &d);
    struct vf_vault *v = open_as(&p, VF_VAULT_WRITE, ALICE);
    vf_buf_init(&out, VF_NOTE_MAX);
    OK(vf_device_revoke(v, admin[ALICE], "lost-laptop", "lost", vf_clock_wall_us(), &out, why));
    close_vault(v);
    put_file(&p, "device.revoked", out.data, out.len);
    (void)place_path(&p, "device.revoked", path);
    struct vf_station *st = site_open(&t, VF_STATION_RECEIVE);
    assert_int_equal(take1(st, path), VF_E_REFUSED); /* not this one */
    site_close(st);
    st = site_open(&s, VF_STATION_MOUNT);
    take_delivery(st, &d);
    struct vf_job *job = job_of(st, "lost-job");
    OK(vf_job_may(st, job, why));
    OK(take1(st, path));
    assert_int_equal(vf_job_may(st, job, why), VF_E_REVOKED);
    vf_job_unref(job);
    nothing_taken(st);
    assert_int_equal(take1(st, d.grant), VF_E_REVOKED);
    site_close(st);
    delivery_done(&d);
    site_done(&s);
    site_done(&t);
}

/* ------------------------------------------------------------------------------------------------------------------- policies */

static void next_policy(struct place *where, const struct vf_policy_change *change, const char *name, char path[400])
{
    struct vf_vault *v = open_as(where, VF_VAULT_READ, ALICE);
    VF_BUF next = {0};
    bool pending = true;

    vf_buf_init(&next, VF_POLICY_MAX);
    OK(vf_policy_change_make(v, change, admin[ALICE], &next, why));
    close_vault(v);
    OK(vf_policy_install(where->vault, next.data, next.len, admin[ALICE], &pending, why));
    assert_false(pending);
    put_file(where, name, next.data, next.len);
    (void)place_path(where, name, path);
}

static void policies(void **state)
{
    static const char *const bob[] = {"bob"};
    struct place f;
    struct site s;
    struct delivery old, fresh, bobs;
    struct vf_policy_change change = {.remove = bob, .nremove = 1};
    char path[400];
    struct told told;

    (void)state;
    force_make(&f, 1);
    site_make(&f, "policies", &s);
    struct vf_issue_options opt = site_options(&s, "old-policy");
    deliver(&f, &opt, &old);
    /* Signed by bob alone, while he was an admin. */
    struct vf_vault *v = open_as(&f, VF_VAULT_WRITE, BOB);
    struct vf_issue_options opt2 = site_options(&s, "bobs");
    bobs = (struct delivery){0};
    issue(v, BOB, &opt2, &bobs.i);
    close_vault(v);
    put_file(&f, "bobs.grant", bobs.i.file.data, bobs.i.file.len);
    (void)place_path(&f, "bobs.grant", bobs.grant);

    next_policy(&f, &change, "v2.policy", path);
    struct vf_issue_options opt3 = site_options(&s, "new-policy");
    deliver(&f, &opt3, &fresh);
    struct vf_station *st = site_open(&s, VF_STATION_RECEIVE);
    OK(take1(st, bobs.grant)); /* this station does not know yet */
    assert_int_equal(take1(st, fresh.grant), VF_E_STALE);
    assert_non_null(strstr(why->text, "policy"));
    /* Policy and grant together: the policy is taken first. */
    const char *const paths[] = {fresh.grant, path, old.grant, bobs.grant};
    assert_int_equal(take(st, paths, 4, &told), VF_E_PARTIAL);
    assert_int_equal(told.one[0].kind, VF_ARTEFACT_POLICY);
    assert_int_equal(told.one[0].err, VF_OK);
    assert_int_equal(told.one[1].err, VF_OK);
    assert_int_equal(told.one[2].err, VF_OK); /* made under version 1, by one who still is an admin */
    assert_int_equal(told.one[3].err, VF_E_UNSIGNED);
    assert_int_equal(take1(st, s.policy), VF_E_STALE); /* the older one */
    assert_int_equal(vf_station_policy(st)->ruling, 2);
    site_close(st);
    st = site_open(&s, VF_STATION_MOUNT);
    assert_int_equal(vf_station_policy(st)->ruling, 2);
    struct vf_job *job = job_of(st, "new-policy");
    assert_non_null(job);
    vf_job_unref(job);
    assert_null(job_of(st, "bobs")); /* received in time, but nobody of today's admins stands for it */
    site_close(st);
    delivery_done(&old);
    delivery_done(&fresh);
    delivery_done(&bobs);
    site_done(&s);
    place_done(&f);
}

/* A policy that forks: version 2 made twice. */
static void forked_policy(void **state)
{
    static const char *const bob[] = {"bob"};
    struct place f, g;
    struct site s;
    struct vf_policy_change remove = {.remove = bob, .nremove = 1}, add = {.add = pub_of(CAROL), .nadd = 1};
    char one[400], two[400];

    (void)state;
    force_make(&f, 1);
    site_make(&f, "forked", &s);
    g = f;
    (void)snprintf(g.vault, sizeof(g.vault), "%s/copy", f.dir.path);
    copy_folder(f.vault, g.vault);
    next_policy(&f, &remove, "one.policy", one);
    next_policy(&g, &add, "two.policy", two);
    struct vf_station *st = site_open(&s, VF_STATION_RECEIVE);
    OK(take1(st, one));
    assert_int_equal(take1(st, two), VF_E_FORGED);
    site_close(st);
    site_done(&s);
    place_done(&f);
}

/* -------------------------------------------------------------------------------------------------------------------- bundles */

static void cut_short(void **state)
{
    struct site s;
    struct delivery d;
    char path[400];
    size_t len = 0;

    (void)state;
    site_make(&p, "cut", &s);
    struct vf_issue_options opt = site_options(&s, "cut");
    deliver(&p, &opt, &d);
    VF_FREE char *bundle = get_file(d.bundle, &len);
    struct vf_station *st = site_open(&s, VF_STATION_RECEIVE);
    OK(take1(st, d.grant));
    (void)place_path(&p, "cut.part", path);
    const size_t cuts[] = {0, 7, 27, 28, 40, len / 2, len - 1};
    for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
        put_file(&p, "cut.part", bundle, cuts[i]);
        assert_int_equal(take1(st, path), VF_E_FORMAT);
        uint64_t present, named;
        values_of(st, "cut", &present, &named);
        assert_int_equal(present, 0);
    }
    char *longer = malloc(len + 1);
    memcpy(longer, bundle, len);
    longer[len] = 0;
    put_file(&p, "cut.part", longer, len + 1);
    free(longer);
    assert_int_equal(take1(st, path), VF_E_FORMAT);
    OK(take1(st, d.bundle));
    site_close(st);
    st = site_open(&s, VF_STATION_MOUNT);
    assert_int_equal(reads_all(st, &p, "cut"), CARD_VALUES);
    site_close(st);
    delivery_done(&d);
    site_done(&s);
}

struct found_value {
    struct vf_bundle_value v;
    size_t at; /* in the file */
};

static struct found_value last_photo(const char *path, size_t len)
{
    struct vf_bundle_reader *r = NULL;
    struct found_value found = {0};
    struct vf_bundle_value v;
    const uint8_t *data;
    VF_FD fd = -1;
    size_t at;

    OK(vf_file_open(path, &fd, NULL, why));
    OK(vf_bundle_open(fd, path, &r, why));
    at = len - (size_t)vf_bundle_bytes(r);
    while (vf_bundle_next(r, &v, &data, NULL) == VF_OK) {
        if (v.field == VF_FIELD_PHOTO)
            found = (struct found_value){.v = v, .at = at};
        at += v.len;
    }
    vf_bundle_close(r);
    return found;
}

/* The photo of a genuine card replaced by who has its field key, as a device does: sealed anew, to the last detail right. */
static void resealed(const struct delivery *d, const struct found_value *photo, uint8_t *out)
{
    struct vf_vault *v = open_as(&p, VF_VAULT_READ, ALICE);
    struct vf_value_grant *vg = vf_secret_new(sizeof(*vg));
    const struct vf_value_id id = {.vault = d->i.f.grant.vault,
                                   .ref = photo->v.ref,
                                   .field = photo->v.field,
                                   .generation = photo->v.generation};
    VF_VIEW view = NULL;
    VF_BUF plain = {0};

    OK(vf_view_open(v, &view, why));
    OK(vf_view_value(view, &photo->v.ref, photo->v.field, 0, &plain, why));
    OK(vf_view_value_grant(view, &photo->v.ref, photo->v.field, photo->v.generation, vg, why));
    plain.data[plain.len / 2] ^= 1;
    OK(vf_value_seal(&vg->key, &id, plain.data, plain.len, photo->v.len - VF_VALUE_OVERHEAD, out));
    vf_secret_free(vg);
    vf_view_cleanup(&view);
    close_vault(v);
}

struct forged {
    uint8_t key[VF_VALUE_KEY_LEN];
    const uint8_t *sealed;
    size_t len;
};

static bool any_batch(struct vf_cursor *cur, struct vf_slice key, struct vf_slice val, void *user)
{
    (void)cur;
    (void)val;
    *(uint64_t *)user = vf_get_be64(key.data);
    return false;
}

static enum vf_err put_forged(struct vf_txn *txn, void *user, struct vf_why *w)
{
    const struct forged *f = user;
    uint64_t batch = 0;

    (void)w;
    vf_txn_foreach(txn, VF_ST_BATCH, NULL, 0, any_batch, &batch);
    uint8_t *row = vf_txn_reserve(txn, VF_ST_VALUE, f->key, sizeof(f->key), VF_VALUE_ROW_PREFIX + f->len);
    assert_non_null(row);
    assert_int_not_equal(batch, 0);
    vf_put_be64(row, batch);
    memcpy(row + VF_VALUE_ROW_PREFIX, f->sealed, f->len);
    return VF_OK;
}

/* What somebody does who writes into the station's database by himself. */
static void change_store(const struct site *s, enum vf_err (*change)(struct vf_txn *txn, void *user, struct vf_why *w), void *user)
{
    struct vf_store *store = NULL;
    char db[500];

    (void)snprintf(db, sizeof(db), "%s/db", s->path);
    OK(vf_store_open(db, VF_STORE_WRITE, vf_station_tables, VF_ST_COUNT, "the station", &store, why));
    OK(vf_store_update(store, change, user, why));
    vf_store_close(store);
}

static void not_what_was_signed(void **state)
{
    struct site s;
    struct delivery d;
    char path[400];
    size_t len = 0;

    (void)state;
    site_make(&p, "swapped", &s);
    struct vf_issue_options opt = site_options(&s, "swapped");
    deliver(&p, &opt, &d);
    VF_FREE char *bundle = get_file(d.bundle, &len);
    struct found_value photo = last_photo(d.bundle, len);
    assert_int_not_equal(photo.v.len, 0);
    struct vf_station *st = site_open(&s, VF_STATION_RECEIVE);
    OK(take1(st, d.grant));
    (void)place_path(&p, "swapped.part", path);
    bundle[photo.at + 100] ^= 1; /* a damaged one */
    put_file(&p, "swapped.part", bundle, len);
    assert_int_equal(take1(st, path), VF_E_FORGED);
    assert_non_null(strstr(why->text, "photo"));
    bundle[photo.at + 100] ^= 1;
    resealed(&d, &photo, (uint8_t *)bundle + photo.at);
    put_file(&p, "swapped.part", bundle, len);
    assert_int_equal(take1(st, path), VF_E_FORGED);
    uint64_t present, named;
    values_of(st, "swapped", &present, &named);
    assert_int_equal(present, 0); /* whole or not at all */
    OK(take1(st, d.bundle));
    site_close(st);

    /* Put into the database under the genuine one's key: opened by the mount, it is not served. */
    VF_FREE char *good = get_file(d.bundle, &(size_t){0});
    struct forged forged = {.sealed = (const uint8_t *)bundle + photo.at, .len = photo.v.len};
    struct vf_hash hash;
    vf_sha256(good + photo.at, photo.v.len, &hash);
    vf_station_value_key(&photo.v.ref, photo.v.field, photo.v.generation, &hash, forged.key);
    change_store(&s, put_forged, &forged);
    st = site_open(&s, VF_STATION_MOUNT);
    struct vf_job *job = job_of(st, "swapped");
    struct vf_value_reader *r = NULL;
    const uint8_t *plain = NULL;
    uint32_t index = 99;
    size_t plain_len = 0;
    OK(vf_value_reader_new(st, &r, why));
    assert_true(vf_catalogue_find(vf_job_catalogue(job), &photo.v.ref, &index));
    assert_int_equal(read_value_of(st, r, job, index, VF_FIELD_PHOTO, &plain, &plain_len), VF_E_FORGED);
    OK(read_value_of(st, r, job, index, VF_FIELD_RANK, &plain, &plain_len));
    /* And the bundle mends it. */
    OK(take1(st, d.bundle));
    OK(read_value_of(st, r, job, index, VF_FIELD_PHOTO, &plain, &plain_len));
    vf_value_reader_free(r);
    vf_job_unref(job);
    site_close(st);
    delivery_done(&d);
    site_done(&s);
}

/* A newer generation of a photo: a bundle of the older one brings nothing that a grant of the newer one would show. */
static void older_bundle(void **state)
{
    struct site s;
    struct delivery before, after;
    struct told told;
    char path[400];
    size_t len = 0;

    (void)state;
    site_make(&p, "older", &s);
    struct vf_issue_options opt = site_options(&s, "before"), opt2 = site_options(&s, "after");
    opt.fields = opt2.fields = VF_FIELD_BIT(VF_FIELD_PHOTO);
    deliver(&p, &opt, &before);
    struct vf_vault *v = open_as(&p, VF_VAULT_WRITE, ALICE);
    struct vf_ref ref = officer(v, 3);
    put_photo(&p, "photos/new.jpg", 77);
    VF_FREE char *jpeg = get_file(place_path(&p, "photos/new.jpg", path), &len);
    const struct vf_field_value photo = {VF_FIELD_PHOTO, jpeg, len};
    OK(vf_record_set(v, &ref, &photo, 1, why));
    close_vault(v);
    fake_clock_pass(VF_SECOND_US);
    opt2.now_us = opt2.from_us = vf_clock_wall_us();
    deliver(&p, &opt2, &after);
    struct vf_station *st = site_open(&s, VF_STATION_MOUNT);
    const char *const paths[] = {after.grant, before.bundle};
    OK(take(st, paths, 2, &told));
    assert_int_equal(told.one[1].values, OFFICERS - 1);
    assert_int_equal(told.one[1].not_needed, 1);
    struct vf_job *job = job_of(st, "after");
    struct vf_job_item item;
    uint32_t index = 99;
    assert_true(vf_catalogue_find(vf_job_catalogue(job), &ref, &index));
    vf_job_item_get(job, index, &item);
    assert_true(item.missing);
    assert_false(item.photo);
    vf_job_unref(job);
    OK(take1(st, after.bundle));
    assert_int_equal(reads_all(st, &p, "after"), OFFICERS);
    site_close(st);
    delivery_done(&before);
    delivery_done(&after);
    site_done(&s);
}

/* A daemon killed while it received: what was written does not count, and is gone after the next bundle. */
static enum vf_err put_half(struct vf_txn *txn, void *user, struct vf_why *w)
{
    static const uint8_t key[VF_VALUE_KEY_LEN] = "AAAAAAAA", last[8] = {0, 0, 0, 0, 0, 0, 0, 7};

    (void)user;
    (void)w;
    vf_txn_put(txn, VF_ST_META, "receiving", 9, "1", 1);
    vf_txn_put(txn, VF_ST_META, "batch", 5, last, sizeof(last));
    uint8_t *row = vf_txn_reserve(txn, VF_ST_VALUE, key, sizeof(key), VF_VALUE_ROW_PREFIX + 100);
    assert_non_null(row);
    memset(row, 0, VF_VALUE_ROW_PREFIX + 100);
    memcpy(row, last, sizeof(last)); /* batch 7 never was committed */
    return VF_OK;
}

static void left_half(void **state)
{
    struct site s;
    struct delivery d;

    (void)state;
    site_make(&p, "killed", &s);
    struct vf_issue_options opt = site_options(&s, "killed");
    deliver(&p, &opt, &d);
    change_store(&s, put_half, NULL);
    struct vf_station *st = site_open(&s, VF_STATION_RECEIVE);
    assert_int_equal(state_of_station(st).values, 1);
    take_delivery(st, &d);
    assert_int_equal(state_of_station(st).values, CARD_VALUES);
    site_close(st);
    delivery_done(&d);
    site_done(&s);
}

/* --------------------------------------------------------------------------------------------------------------- other files */

static void other_files(void **state)
{
    struct site s;
    struct delivery d;
    struct told told;
    char junk[400], empty[400], folder[400];

    (void)state;
    site_make(&p, "other-files", &s);
    struct vf_issue_options opt = site_options(&s, "other-files");
    deliver(&p, &opt, &d);
    put_file(&p, "junk", "not a file of ours\n", 19);
    put_file(&p, "empty", "", 0);
    put_file(&p, "an.enrol", s.b.enrol_bytes.data, s.b.enrol_bytes.len);
    struct vf_station *st = site_open(&s, VF_STATION_RECEIVE);
    assert_int_equal(take1(st, place_path(&p, "junk", junk)), VF_E_FORMAT);
    assert_int_equal(take1(st, place_path(&p, "empty", empty)), VF_E_FORMAT);
    assert_int_equal(take1(st, place_path(&p, "an.enrol", folder)), VF_E_INPUT);
    assert_int_equal(take1(st, s.path), VF_E_FORMAT); /* a folder */
    /* A bad one stops none of the others. */
    const char *const paths[] = {junk, d.bundle, empty, d.grant};
    assert_int_equal(take(st, paths, 4, &told), VF_E_PARTIAL);
    assert_int_equal(told.one[0].err, VF_OK);
    assert_int_equal(told.one[1].err, VF_OK);
    assert_int_equal(told.one[1].values, CARD_VALUES);
    assert_int_equal(told.one[2].err, VF_E_FORMAT);
    assert_int_equal(told.one[3].err, VF_E_FORMAT);
    /* Every one refused: the error is theirs. */
    const char *const bad[] = {junk, empty};
    assert_int_equal(take(st, bad, 2, &told), VF_E_FORMAT);
    site_close(st);
    delivery_done(&d);
    site_done(&s);
}

/* Every byte of a grant changed, and the file cut there: refused or, for bytes no hash covers, harmless; nothing of it stays. */
static void mutated_grant(void **state)
{
    struct site s;
    struct delivery d;
    char path[400];
    size_t len = 0, step;
    unsigned accepted = 0;

    (void)state;
    site_make(&p, "mutated", &s);
    struct vf_issue_options opt = site_options(&s, "mutated");
    opt.fields = VF_FIELD_BIT(VF_FIELD_RANK);
    deliver(&p, &opt, &d);
    VF_FREE char *grant = get_file(d.grant, &len);
    (void)place_path(&p, "mutated.part", path);
    struct vf_station *st = site_open(&s, VF_STATION_RECEIVE);
    step = 3; /* every third: each is a file on a disk */
    for (size_t at = 0; at < len; at += step) {
        struct told told;
        const char *const paths[] = {path};
        grant[at] = (char)(grant[at] ^ (1 << (at % 8)));
        put_file(&p, "mutated.part", grant, len);
        accepted += take(st, paths, 1, &told) == VF_OK;
        grant[at] = (char)(grant[at] ^ (1 << (at % 8)));
        put_file(&p, "mutated.part", grant, at);
        assert_int_not_equal(take(st, paths, 1, &told), VF_OK);
    }
    assert_int_equal(accepted, 0);
    site_close(st);
    st = site_open(&s, VF_STATION_MOUNT);
    assert_null(job_of(st, "mutated"));
    site_close(st);
    assert_int_equal(site_log_counts(&s, VF_EVENT_RECEIVE), 0);
    delivery_done(&d);
    site_done(&s);
}

/* ------------------------------------------------------------------------------------------------------------------- receipts */

static void hand_in(struct vf_station *st, const struct site *s, const char *path)
{
    VF_FD fd = open(path, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);
    char dir[500];
    uint64_t size = 0;

    assert_true(fd >= 0);
    (void)snprintf(dir, sizeof(dir), "%s/log", s->path);
    OK(vf_log_seal(vf_station_log(st), why));
    OK(vf_handin_write(dir, fd, &size, why));
}

static void receipts(void **state)
{
    struct site s, t;
    struct delivery d, e;
    struct vf_verdict verdict;
    VF_BUF receipt = {0};
    char file[400], path[400];

    (void)state;
    site_make(&p, "home", &s);
    site_make(&p, "away", &t);
    struct vf_issue_options opt = site_options(&s, "home"), opt2 = site_options(&t, "away");
    deliver(&p, &opt, &d);
    deliver(&p, &opt2, &e);
    struct vf_station *st = site_open(&s, VF_STATION_RECEIVE);
    take_delivery(st, &d);
    hand_in(st, &s, place_path(&p, "home.log", file));
    struct vf_vault *v = open_as(&p, VF_VAULT_WRITE, ALICE);
    vf_buf_init(&receipt, VF_NOTE_MAX);
    OK(vf_device_handin(v, admin[ALICE], file, &receipt, &verdict, why));
    close_vault(v);
    put_file(&p, "home.receipt", receipt.data, receipt.len);
    (void)place_path(&p, "home.receipt", path);
    assert_int_equal(state_of_station(st).log_received, 0);
    OK(take1(st, path));
    OK(take1(st, path));
    struct vf_station_state have = state_of_station(st);
    assert_int_equal(have.log_received, verdict.sealed);
    assert_int_equal(have.receipt_us, vf_clock_wall_us());
    /* A changed one. */
    receipt.data[60] ^= 1;
    put_file(&p, "bad.receipt", receipt.data, receipt.len);
    char bad[400];
    assert_int_not_equal(take1(st, place_path(&p, "bad.receipt", bad)), VF_OK);
    assert_int_equal(state_of_station(st).log_received, verdict.sealed);
    site_close(st);
    /* Another station's. */
    st = site_open(&t, VF_STATION_RECEIVE);
    assert_int_equal(take1(st, path), VF_E_REFUSED);
    site_close(st);
    delivery_done(&d);
    delivery_done(&e);
    site_done(&s);
    site_done(&t);
}

/* A checkpoint that nobody cosigned is no receipt; one for more than there is tells of a station put back from a copy. */
static void false_receipts(void **state)
{
    struct site s;
    struct delivery d;
    struct vf_verdict verdict;
    VF_BUF checkpoint = {0}, receipt = {0};
    char file[400], path[400], copy[400];

    (void)state;
    site_make(&p, "restored", &s);
    struct vf_issue_options opt = site_options(&s, "restored");
    deliver(&p, &opt, &d);
    struct vf_station *st = site_open(&s, VF_STATION_RECEIVE);
    OK(take1(st, d.grant));
    site_close(st);
    copy_folder(s.path, place_path(&p, "restored.copy", copy));
    st = site_open(&s, VF_STATION_RECEIVE);
    OK(take1(st, d.bundle));
    OK(vf_log_seal(vf_station_log(st), why));
    vf_buf_init(&checkpoint, VF_NOTE_MAX);
    OK(vf_log_checkpoint_get(vf_station_log(st), &checkpoint, why));
    put_file(&p, "plain.checkpoint", checkpoint.data, checkpoint.len);
    assert_int_equal(take1(st, place_path(&p, "plain.checkpoint", path)), VF_E_UNSIGNED);
    hand_in(st, &s, place_path(&p, "restored.log", file));
    site_close(st);
    struct vf_vault *v = open_as(&p, VF_VAULT_WRITE, ALICE);
    vf_buf_init(&receipt, VF_NOTE_MAX);
    OK(vf_device_handin(v, admin[ALICE], file, &receipt, &verdict, why));
    close_vault(v);
    put_file(&p, "restored.receipt", receipt.data, receipt.len);
    struct vf_station *old = NULL;
    OK(vf_station_open(copy, VF_STATION_RECEIVE, NULL, &old, why));
    assert_int_equal(take1(old, place_path(&p, "restored.receipt", path)), VF_E_FORGED);
    assert_non_null(strstr(why->text, "restored from an old copy"));
    site_close(old);
    delivery_done(&d);
    site_done(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_delivery), cmocka_unit_test(bundle_before_grant), cmocka_unit_test(while_open),
        cmocka_unit_test(not_for_us),     cmocka_unit_test(signatures),          cmocka_unit_test(too_late),
        cmocka_unit_test(revoked),        cmocka_unit_test(revoked_device),      cmocka_unit_test(policies),
        cmocka_unit_test(forked_policy),  cmocka_unit_test(cut_short),           cmocka_unit_test(not_what_was_signed),
        cmocka_unit_test(older_bundle),   cmocka_unit_test(left_half),           cmocka_unit_test(other_files),
        cmocka_unit_test(mutated_grant),  cmocka_unit_test(receipts),            cmocka_unit_test(false_receipts),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
