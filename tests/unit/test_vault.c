/* SPDX-License-Identifier: MIT */
/* The vault as a whole: create, open, settings, records, views, set. */
#include "vault_test.h"

#include "fakeclock.h"

#include <sys/stat.h>
#include <unistd.h>

static const char csv3[] = "warrant_no,name_on_card,rank,surname,protect,valid_from,valid_to\n"
                           "100001,PC Ada Lovelace,Constable,Lovelace,,2026-01-01,2028-01-01\n"
                           "100002,\"Sgt \"\"B\"\" Babbage\",Sergeant,Babbage,RESTRICTED,,\n"
                           "000003,Insp C Çelik,Inspector,Çelik,COVERT,2026-01-01,2026-01-01\n";

static void test_create(void **state)
{
    struct place p;
    struct stat st;
    char path[400];
    struct vf_vault_counts counts;
    (void)state;

    place_make(&p, 2, 1);
    assert_int_equal(stat(p.vault, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_int_equal(stat(place_path(&p, "vault/w", path), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(scratch_count(p.dir.path), 1);
    struct vf_vault *v = open_as(&p, VF_VAULT_PUBLIC, 0);
    assert_null(vf_vault_admin(v));
    assert_int_equal(vf_vault_policy(v)->ruling, 1);
    assert_string_equal(vf_vault_policy(v)->policy.force_name, "Example Constabulary");
    OK(vf_vault_counts_get(v, &counts, why));
    assert_int_equal(counts.records, 0);
    assert_int_equal(counts.epoch, 1);
    assert_int_equal(vf_vault_max_grant_us(v), 31 * VF_DAY_US);
    close_vault(v);
    for (unsigned who = ALICE; who <= BOB; who++) {
        v = open_as(&p, VF_VAULT_WRITE, who);
        assert_string_equal(vf_vault_admin(v), pub_of(who)->name);
        close_vault(v);
    }
    (void)check_clean(&p);
    place_done(&p);
}

static void test_create_refused(void **state)
{
    struct place p;
    struct vf_identity_pub pubs[2] = {*pub_of(ALICE), *pub_of(BOB)};
    struct vf_vault_new what = {.force_name = "Example", .admins = pubs, .nadmins = 2, .threshold = 1};
    struct vf_why no;
    char path[400];
    (void)state;

    place_make(&p, 1, 1);
    assert_int_equal(vf_vault_create(p.vault, &what, admin[ALICE], &no), VF_E_EXISTS);
    (void)place_path(&p, "other", path);
    assert_int_equal(vf_vault_create(path, &what, admin[CAROL], &no), VF_E_REFUSED);
    what.threshold = 3;
    assert_int_equal(vf_vault_create(path, &what, admin[ALICE], &no), VF_E_INPUT);
    what.threshold = 0;
    assert_int_equal(vf_vault_create(path, &what, admin[ALICE], &no), VF_E_INPUT);
    what.threshold = 1;
    what.force_name = "";
    assert_int_equal(vf_vault_create(path, &what, admin[ALICE], &no), VF_E_INPUT);
    what.force_name = "two\nlines";
    assert_int_equal(vf_vault_create(path, &what, admin[ALICE], &no), VF_E_INPUT);
    what.force_name = "Example";
    pubs[1] = pubs[0];
    assert_int_equal(vf_vault_create(path, &what, admin[ALICE], &no), VF_E_INPUT);
    (void)place_path(&p, "no/such/folder", path);
    pubs[1] = *pub_of(BOB);
    assert_int_equal(vf_vault_create(path, &what, admin[ALICE], &no), VF_E_NOT_FOUND);
    assert_int_equal(scratch_count(p.dir.path), 1);
    place_done(&p);
}

static void test_open_refused(void **state)
{
    struct place p;
    struct vf_vault *v = NULL;
    struct vf_why no;
    char path[400];
    (void)state;

    place_make(&p, 2, 2);
    assert_int_equal(vf_vault_open(p.vault, VF_VAULT_READ, admin[ALICE], &v, &no), VF_E_UNSIGNED);
    assert_int_equal(vf_vault_open(p.vault, VF_VAULT_WRITE, admin[ALICE], &v, &no), VF_E_UNSIGNED);
    v = open_as(&p, VF_VAULT_PUBLIC, 0);
    assert_int_equal(vf_vault_policy(v)->ruling, 0);
    assert_true(vf_vault_policy(v)->has_pending);
    close_vault(v);
    place_done(&p);
    place_make(&p, 2, 1);
    assert_int_equal(vf_vault_open(p.vault, VF_VAULT_READ, admin[CAROL], &v, &no), VF_E_DENIED);
    assert_int_equal(vf_vault_open(p.vault, VF_VAULT_READ, NULL, &v, &no), VF_E_USAGE);
    (void)place_path(&p, "nothing", path);
    assert_int_equal(vf_vault_open(path, VF_VAULT_PUBLIC, NULL, &v, &no), VF_E_NOT_FOUND);
    /* Somebody of the same name with another key is somebody else. */
    VF_IDENTITY twin = NULL;
    OK(vf_identity_new(VF_ROLE_ADMIN, "alice", &twin, why));
    assert_int_equal(vf_vault_open(p.vault, VF_VAULT_READ, twin, &v, &no), VF_E_DENIED);
    /* W is gone: nothing can be opened, and that is said. */
    (void)place_path(&p, "vault/w", path);
    size_t len = 0;
    VF_FREE char *w = get_file(path, &len);
    put_file(&p, "vault/w", "", 0);
    assert_int_equal(vf_vault_open(p.vault, VF_VAULT_READ, admin[ALICE], &v, &no), VF_E_DAMAGED);
    put_file(&p, "vault/w", w, len);
    v = open_as(&p, VF_VAULT_READ, ALICE);
    close_vault(v);
    place_done(&p);
}

static void test_settings(void **state)
{
    static const char ranks[] = "Constable\nDrone Pilot\n";
    struct vf_vault_settings s = {.ranks = ranks, .ranks_len = sizeof(ranks) - 1, .warrant_pattern = "[0-9]{6}"};
    struct place p;
    struct vf_why no;
    VF_BUF out = {0};
    (void)state;

    place_make(&p, 1, 1);
    struct vf_vault *v = open_as(&p, VF_VAULT_WRITE, ALICE);
    vf_buf_init(&out, 1000);
    assert_int_equal(vf_field_check(vf_vault_rules(v), VF_FIELD_RANK, "Drone Pilot", 11, &out, &no), VF_E_INPUT);
    OK(vf_vault_set(v, &s, why));
    OK(vf_field_check(vf_vault_rules(v), VF_FIELD_RANK, "Drone Pilot", 11, &out, why));
    assert_int_equal(vf_field_check(vf_vault_rules(v), VF_FIELD_WARRANT_NO, "A1", 2, &out, &no), VF_E_INPUT);
    s = (struct vf_vault_settings){.max_grant_us = 7 * VF_DAY_US};
    OK(vf_vault_set(v, &s, why));
    s = (struct vf_vault_settings){.warrant_pattern = "["};
    assert_int_not_equal(vf_vault_set(v, &s, &no), VF_OK);
    s = (struct vf_vault_settings){.max_grant_us = -1};
    assert_int_equal(vf_vault_set(v, &s, &no), VF_E_INPUT);
    close_vault(v);
    v = open_as(&p, VF_VAULT_READ, ALICE);
    OK(vf_field_check(vf_vault_rules(v), VF_FIELD_RANK, "Drone Pilot", 11, &out, why));
    assert_int_equal(vf_field_check(vf_vault_rules(v), VF_FIELD_WARRANT_NO, "A1", 2, &out, &no), VF_E_INPUT);
    assert_int_equal(vf_vault_max_grant_us(v), 7 * VF_DAY_US);
    assert_int_equal(vf_vault_set(v, &s, &no), VF_E_DENIED);
    close_vault(v);
    place_done(&p);
}

struct seen {
    unsigned n, stop;
    struct vf_ref last;
    uint64_t protects;
};

static enum vf_err see(void *user, const struct vf_head *head, struct vf_why *out)
{
    struct seen *s = user;

    (void)out;
    assert_true(s->n == 0 || vf_ref_cmp(&s->last, &head->ref) < 0);
    s->last = head->ref;
    s->protects |= UINT64_C(1) << head->protect;
    s->n++;
    return s->stop == s->n ? VF_E_NOT_FOUND : VF_OK;
}

static void test_views(void **state)
{
    struct place p;
    struct vf_import_report r;
    struct vf_head head;
    struct vf_ref ref, none;
    struct vf_value_grant vg;
    struct vf_slice sealed;
    struct vf_hash hash;
    struct vf_why no;
    (void)state;

    place_make(&p, 1, 1);
    struct vf_vault *v = open_as(&p, VF_VAULT_WRITE, ALICE);
    import_csv(v, &p, csv3, NULL, VF_OK, &r);
    assert_int_equal(r.added, 3);
    close_vault(v);
    v = open_as(&p, VF_VAULT_READ, ALICE);
    VF_VIEW view = NULL;
    OK(vf_view_open(v, &view, why));
    struct seen s = {0};
    OK(vf_view_each(view, see, &s, why));
    assert_int_equal(s.n, 3);
    assert_int_equal(s.protects, 7);
    s = (struct seen){.stop = 2};
    OK(vf_view_each(view, see, &s, why));
    assert_int_equal(s.n, 2);
    ref = ref_of(v, "100002");
    OK(vf_view_head(view, &ref, &head, why));
    assert_int_equal(head.protect, VF_PROTECT_RESTRICTED);
    assert_int_equal(head.status, VF_STATUS_ACTIVE);
    assert_int_equal(head.created_us, FAKE_CLOCK_START_US);
    assert_int_equal(head.f[VF_FIELD_NAME_ON_CARD].len, 15);
    assert_int_equal(head.f[VF_FIELD_NAME_ON_CARD].quoted_len, 19);
    assert_int_equal(head.f[VF_FIELD_NAME_ON_CARD].generation, 1);
    assert_int_equal(head.f[VF_FIELD_NAME_ON_CARD].changed_us, FAKE_CLOCK_START_US);
    assert_int_equal(head.f[VF_FIELD_PHOTO].generation, 0);
    assert_int_equal(head.f[VF_FIELD_ENDORSEMENT].generation, 1); /* an empty text is a value */
    assert_string_equal(text_of(v, &ref, VF_FIELD_NAME_ON_CARD), "Sgt \"B\" Babbage");
    assert_string_equal(text_of(v, &ref, VF_FIELD_ENDORSEMENT), "");
    assert_string_equal(text_of(v, &ref, VF_FIELD_PHOTO), "");
    OK(vf_view_value_grant(view, &ref, VF_FIELD_RANK, 1, &vg, why));
    OK(vf_view_sealed(view, &ref, VF_FIELD_RANK, 1, &sealed, why));
    assert_int_equal(vg.sealed_len, sealed.len);
    vf_sha256(sealed.data, sealed.len, &hash);
    assert_memory_equal(hash.b, vg.hash.b, VF_HASH_LEN);
    /* The key opens this one value. */
    uint8_t scratch[4096];
    const uint8_t *plain = NULL;
    size_t len = 0;
    struct vf_value_id id = {.vault = *vf_vault_id_get(v), .ref = ref, .field = VF_FIELD_RANK, .generation = 1};
    OK(vf_value_open(&vg.key, &id, sealed.data, sealed.len, scratch, sizeof(scratch), &plain, &len));
    assert_int_equal(len, 8);
    assert_memory_equal(plain, "Sergeant", 8);
    assert_int_equal(vf_view_value_grant(view, &ref, VF_FIELD_RANK, 2, &vg, &no), VF_E_NOT_FOUND);
    assert_int_equal(vf_view_sealed(view, &ref, VF_FIELD_RANK, 2, &sealed, &no), VF_E_NOT_FOUND);
    assert_true(vf_ref_parse("AAAAAAAA", 8, &none));
    assert_int_equal(vf_view_head(view, &none, &head, &no), VF_E_NOT_FOUND);
    assert_int_equal(vf_view_find(view, "3", 1, &ref, &no), VF_E_NOT_FOUND); /* leading zeros count */
    OK(vf_view_find(view, "000003", 6, &ref, why));
    vf_view_close(view);
    view = NULL;
    close_vault(v);
    /* Without a key there is ciphertext and nothing else. */
    v = open_as(&p, VF_VAULT_PUBLIC, 0);
    OK(vf_view_open(v, &view, why));
    OK(vf_view_sealed(view, &ref, VF_FIELD_RANK, 1, &sealed, why));
    assert_int_equal(vf_view_head(view, &ref, &head, &no), VF_E_DENIED);
    assert_int_equal(vf_view_sealed(view, &ref, VF_FIELD_RANK, 0, &sealed, &no), VF_E_DENIED);
    assert_int_equal(vf_view_each(view, see, &s, &no), VF_E_DENIED);
    vf_view_close(view);
    view = NULL;
    close_vault(v);
    (void)check_clean(&p);
    place_done(&p);
}

static void test_set(void **state)
{
    struct place p;
    struct vf_head before, head;
    struct vf_why no;
    VF_BUF photo = {0};
    char path[400];
    (void)state;

    place_make(&p, 1, 1);
    struct vf_vault *v = open_as(&p, VF_VAULT_WRITE, ALICE);
    import_csv(v, &p, csv3, NULL, VF_OK, NULL);
    struct vf_ref ref = ref_of(v, "100001");
    struct vf_ref other = ref_of(v, "100002");
    uint64_t values = count_rows(v, VF_VT_VALUE);
    VF_VIEW view = NULL;
    OK(vf_view_open(v, &view, why));
    OK(vf_view_head(view, &ref, &before, why));
    vf_view_close(view);
    fake_clock_pass(5 * VF_SECOND_US);
    /* Nothing new: no new generation, no entry. */
    set_text(v, &ref, VF_FIELD_RANK, "Constable");
    set_text(v, &ref, VF_FIELD_RANK, "Sergeant");
    set_text(v, &ref, VF_FIELD_PROTECT, "COVERT");
    set_text(v, &ref, VF_FIELD_STATUS, "LEAVER");
    OK(vf_view_open(v, &view, why));
    OK(vf_view_head(view, &ref, &head, why));
    vf_view_close(view);
    assert_int_equal(head.f[VF_FIELD_RANK].generation, 2);
    assert_int_equal(head.f[VF_FIELD_RANK].changed_us, before.f[VF_FIELD_RANK].changed_us + 5 * VF_SECOND_US);
    assert_int_equal(head.f[VF_FIELD_SURNAME].generation, 1);
    assert_int_equal(head.protect, VF_PROTECT_COVERT);
    assert_int_equal(head.status, VF_STATUS_LEAVER);
    assert_string_equal(text_of(v, &ref, VF_FIELD_RANK), "Sergeant");
    /* No grant names the old ones, so they are gone. */
    assert_int_equal(count_rows(v, VF_VT_VALUE), values);

    /* Numbers are unique, and lead to their record. */
    struct vf_field_value one = {VF_FIELD_WARRANT_NO, "100002", 6};
    assert_int_equal(vf_record_set(v, &ref, &one, 1, &no), VF_E_EXISTS);
    set_text(v, &ref, VF_FIELD_WARRANT_NO, "777");
    assert_memory_equal(ref_of(v, "777").c, ref.c, VF_REF_LEN);
    OK(vf_view_open(v, &view, why));
    assert_int_equal(vf_view_find(view, "100001", 6, &head.ref, &no), VF_E_NOT_FOUND);
    vf_view_close(view);
    one = (struct vf_field_value){VF_FIELD_WARRANT_NO, "", 0};
    assert_int_equal(vf_record_set(v, &ref, &one, 1, &no), VF_E_INPUT);
    /* What holds between fields; and nothing of a bad set is done. */
    struct vf_field_value two[2] = {{VF_FIELD_SURNAME, "King", 4}, {VF_FIELD_VALID_TO, "2025-12-31", 10}};
    assert_int_equal(vf_record_set(v, &ref, two, 2, &no), VF_E_INPUT);
    assert_string_equal(text_of(v, &ref, VF_FIELD_SURNAME), "Lovelace");
    two[1] = (struct vf_field_value){VF_FIELD_SURNAME, "Byron", 5};
    assert_int_equal(vf_record_set(v, &ref, two, 2, &no), VF_E_USAGE);
    one = (struct vf_field_value){VF_FIELD_NONE, "x", 1};
    assert_int_equal(vf_record_set(v, &ref, &one, 1, &no), VF_E_USAGE);

    /* A photo: set, the same again, emptied, set again: never the same generation twice. */
    put_photo(&p, "photos/a.jpg", 1);
    OK(vf_file_read(place_path(&p, "photos/a.jpg", path), 1 << 20, &photo, why));
    one = (struct vf_field_value){VF_FIELD_PHOTO, photo.data, photo.len};
    for (uint32_t generation = 1; generation <= 2; generation++) {
        OK(vf_record_set(v, &other, &one, 1, why));
        OK(vf_record_set(v, &other, &one, 1, why));
        OK(vf_view_open(v, &view, why));
        OK(vf_view_head(view, &other, &head, why));
        vf_view_close(view);
        assert_int_equal(head.f[VF_FIELD_PHOTO].generation, generation);
        assert_int_equal(count_rows(v, VF_VT_VALUE), values + 1);
        struct vf_field_value empty = {VF_FIELD_PHOTO, NULL, 0};
        OK(vf_record_set(v, &other, &empty, 1, why));
        OK(vf_view_open(v, &view, why));
        OK(vf_view_head(view, &other, &head, why));
        vf_view_close(view);
        assert_int_equal(head.f[VF_FIELD_PHOTO].generation, 0);
        assert_int_equal(count_rows(v, VF_VT_VALUE), values);
    }
    one = (struct vf_field_value){VF_FIELD_PHOTO, "no picture", 10};
    assert_int_equal(vf_record_set(v, &other, &one, 1, &no), VF_E_INPUT);
    view = NULL;
    close_vault(v);
    (void)check_clean(&p);
    place_done(&p);
}

/* A writer and readers at the same time, of one process; two writers one after the other. */
static void test_several(void **state)
{
    struct place p;
    struct vf_vault *second = NULL;
    struct vf_entry entry = {.event = VF_EVENT_VIEW, .part = -1, .recipient = "alice", .result = "ok"};
    (void)state;

    place_make(&p, 2, 1);
    struct vf_vault *v = open_as(&p, VF_VAULT_WRITE, ALICE);
    import_csv(v, &p, csv3, NULL, VF_OK, NULL);
    struct vf_vault *reader = open_as(&p, VF_VAULT_READ, BOB);
    struct vf_ref ref = ref_of(reader, "100001");
    VF_VIEW old = NULL;
    OK(vf_view_open(reader, &old, why));
    set_text(v, &ref, VF_FIELD_SURNAME, "King");
    assert_string_equal(text_of(reader, &ref, VF_FIELD_SURNAME), "King");
    VF_BUF value = {0};
    OK(vf_view_value(old, &ref, VF_FIELD_SURNAME, 0, &value, why));
    assert_int_equal(value.len, 8);
    assert_memory_equal(value.data, "Lovelace", 8);
    vf_view_close(old);
    old = NULL;
    close_vault(v);
    OK(vf_vault_log(reader, &entry, why));
    close_vault(reader);
    second = open_as(&p, VF_VAULT_WRITE, BOB);
    OK(vf_vault_log(second, &entry, why));
    close_vault(second);
    place_done(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_create),   cmocka_unit_test(test_create_refused), cmocka_unit_test(test_open_refused),
        cmocka_unit_test(test_settings), cmocka_unit_test(test_views),          cmocka_unit_test(test_set),
        cmocka_unit_test(test_several),
    };

    return cmocka_run_group_tests(tests, vault_set_up, vault_tear_down);
}
