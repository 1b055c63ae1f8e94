/* SPDX-License-Identifier: MIT */
/* Bundles cut short, swapped and sealed anew; files that are none; receipts. */
#include "station_test.h"

#include "../../vaultfs/station/station_internal.h"

#include "fakeclock.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

static struct place p;

static int set_up(void **state)
{
    return station_and_force(state, &p);
}

static int tear_down(void **state)
{
    return station_and_force_done(state, &p);
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
    const struct vf_value_id id = {
        .vault = d->i.f.grant.vault, .ref = photo->v.ref, .field = photo->v.field, .generation = photo->v.generation};
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
static void change_store(const struct site *s, enum vf_err (*change)(struct vf_txn *txn, void *user, struct vf_why *w),
                         void *user)
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

/* A file that is as long as it likes and has next to nothing in it: `head`, then a hole. */
static void put_sparse(const char *name, const void *head, size_t len, off_t size, char path[400])
{
    put_file(&p, name, head, len);
    if (truncate(place_path(&p, name, path), size) != 0)
        abort();
}

static long most_memory_kib(void)
{
    struct rusage usage;

    if (getrusage(RUSAGE_SELF, &usage) != 0)
        abort();
    return usage.ru_maxrss;
}

static void files_with_holes(void **state)
{
    struct site s, neighbour;
    struct delivery d, theirs;
    char path[400];
    uint8_t head[28] = "VFBUNDL1";
    size_t len = 0;

    (void)state;
    site_make(&p, "holes", &s);
    site_make(&p, "holes-neighbour", &neighbour);
    struct vf_issue_options opt = site_options(&s, "holes"), opt2 = site_options(&neighbour, "holes-two");
    deliver(&p, &opt, &d);
    deliver(&p, &opt2, &theirs);
    struct vf_station *st = site_open(&s, VF_STATION_RECEIVE);
    OK(take1(st, d.grant));
    long before = most_memory_kib();
    put_sparse("type.grant", "VFGRANT1", 8, (off_t)2147483647, path);
    assert_int_equal(take1(st, path), VF_E_FORMAT);
    put_sparse("note.grant", "VFGRANT1\0\x0f\xff\xff", 12, (off_t)2147483647, path); /* a note of a megabyte of nothing */
    assert_int_equal(take1(st, path), VF_E_FORMAT);
    VF_FREE char *another = get_file(theirs.grant, &len);
    put_sparse("another.grant", another, len, (off_t)2147483647, path);
    assert_int_equal(take1(st, path), VF_E_REFUSED);
    VF_FREE char *mine = get_file(d.grant, &len);
    put_sparse("mine.grant", mine, len, (off_t)2147483647, path);
    assert_int_equal(take1(st, path), VF_E_FORMAT);
    assert_non_null(strstr(why->text, "longer than what it names"));
    memcpy(head + 8, &s.b.enrol.vault, 16);
    vf_put_be32(head + 24, 29000000);
    put_sparse("index.bundle", head, sizeof(head), (off_t)29000000 * 17 + 1000, path);
    assert_int_equal(take1(st, path), VF_E_FORMAT);
    assert_in_range(most_memory_kib() - before, 0, 32 * 1024);
    site_close(st);
    delivery_done(&d);
    delivery_done(&theirs);
    site_done(&s);
    site_done(&neighbour);
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
    /* As long as that again, by other entries: a fork. */
    const struct vf_entry e = {.event = VF_EVENT_DENY, .part = -1, .result = "EIO"};
    for (unsigned i = 0; i < 4; i++)
        OK(vf_log_commit(vf_station_log(old), &e, why));
    OK(vf_log_seal(vf_station_log(old), why));
    assert_int_equal(take1(old, path), VF_E_FORGED);
    assert_non_null(strstr(why->text, "other entries than this station has"));
    site_close(old);
    st = site_open(&s, VF_STATION_RECEIVE);
    OK(take1(st, path)); /* its own, as ever */
    site_close(st);
    delivery_done(&d);
    site_done(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cut_short), cmocka_unit_test(not_what_was_signed), cmocka_unit_test(older_bundle),
        cmocka_unit_test(left_half), cmocka_unit_test(other_files),         cmocka_unit_test(mutated_grant),
        cmocka_unit_test(receipts),  cmocka_unit_test(false_receipts),      cmocka_unit_test(files_with_holes),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
