/* SPDX-License-Identifier: MIT */
/* Old generations, kept for live grants and dropped; records erased for good. */
#include "../../vaultfs/vault/internal.h"
#include "vault_test.h"

#include "fakeclock.h"

static struct place p;
static struct vf_vault *v;

static int begin(void **state)
{
    (void)state;
    v = place_open(&p);
    return 0;
}

static int end(void **state)
{
    (void)state;
    place_close(&p, &v);
    return 0;
}

static const char *value(const char *number, enum vf_field field)
{
    struct vf_ref ref = ref_of(v, number);

    return text_of(v, &ref, field);
}

static uint32_t generation_of(const struct vf_ref *ref, enum vf_field field)
{
    struct vf_head head;
    VF_VIEW view = NULL;

    OK(vf_view_open(v, &view, why));
    OK(vf_view_head(view, ref, &head, why));
    return head.f[field].generation;
}

/* -------------------------------------------------------------------------------------------------------------- generations */

struct fake_grant {
    struct vf_ref ref;
    struct vf_buf manifest;
    struct vf_hash manifest_hash;
    struct vf_grant_id id;
    int64_t until_us;
    enum vf_grant_state state;
};

static enum vf_err put_grant(struct vf_txn *txn, void *user, struct vf_why *out)
{
    const struct fake_grant *g = user;
    struct vf_grant_row row = {.state = g->state, .until_us = g->until_us, .manifest = g->manifest_hash};
    VF_BUF b = {0};

    (void)out;
    vf_buf_init(&b, 1000);
    vf_grant_row_put(&row, &b);
    vf_txn_put(txn, VF_VT_GRANT, g->id.c, VF_GRANT_ID_LEN, b.data, b.len);
    vf_txn_put(txn, VF_VT_MANIFEST, g->manifest_hash.b, VF_HASH_LEN, g->manifest.data, g->manifest.len);
    vf_txn_put(txn, VF_VT_DEVICE, row.device.b, VF_HASH_LEN, "x", 1);
    return VF_OK;
}

/* A live grant of the surname of `number` as it is. */
static struct fake_grant grant_of(const char *number, char letter)
{
    struct fake_grant g = {.ref = ref_of(v, number), .until_us = vf_clock_wall_us() + VF_DAY_US, .state = VF_GRANT_ISSUED};
    struct vf_value_grant vg;
    VF_VIEW view = NULL;

    memset(g.id.c, letter, sizeof(g.id.c));
    OK(vf_view_open(v, &view, why));
    OK(vf_view_value_grant(view, &g.ref, VF_FIELD_SURNAME, 0, &vg, why));
    vf_view_close(view);
    view = NULL;
    vf_buf_init(&g.manifest, 1000);
    vf_manifest_put_head(&g.manifest, vf_vault_id_get(v), 1, VF_FIELD_BIT(VF_FIELD_SURNAME));
    vf_manifest_put_ref(&g.manifest, &g.ref);
    vf_manifest_put_item(&g.manifest, generation_of(&g.ref, VF_FIELD_SURNAME), &vg.hash);
    vf_sha256(g.manifest.data, g.manifest.len, &g.manifest_hash);
    OK(vf_store_update(vf_vault_store(v), put_grant, &g, why));
    return g;
}

static bool has_generation(const struct vf_ref *ref, uint32_t generation)
{
    struct vf_slice sealed;
    struct vf_why no;
    VF_VIEW view = NULL;

    OK(vf_view_open(v, &view, why));
    return vf_view_sealed(view, ref, VF_FIELD_SURNAME, generation, &sealed, &no) == VF_OK;
}

static void test_generations(void **state)
{
    (void)state;
    import_csv(v, &p, "warrant_no,surname\n1,One\n2,Two\n", NULL, VF_OK, NULL);
    struct fake_grant first = grant_of("1", 'A');
    import_csv(v, &p, "warrant_no,surname\n1,Uno\n2,Due\n", NULL, VF_OK, NULL);
    struct vf_ref two = ref_of(v, "2");
    assert_true(has_generation(&first.ref, 1));
    assert_true(has_generation(&first.ref, 2));
    assert_false(has_generation(&two, 1));
    struct fake_grant second = grant_of("1", 'B'); /* of generation 2 */
    set_text(v, &first.ref, VF_FIELD_SURNAME, "Eins");
    assert_true(has_generation(&first.ref, 1));
    assert_true(has_generation(&first.ref, 2));
    assert_true(has_generation(&first.ref, 3));
    /* Revoked: gone at the next write of the record. */
    first.state = VF_GRANT_REVOKED;
    OK(vf_store_update(vf_vault_store(v), put_grant, &first, why));
    set_text(v, &first.ref, VF_FIELD_RANK, "Constable");
    assert_false(has_generation(&first.ref, 1));
    assert_true(has_generation(&first.ref, 2));
    /* Ended: gone at the end of the next import, whomever it is about. */
    fake_clock_pass(VF_DAY_US - 1);
    import_csv(v, &p, "warrant_no,surname\n2,Zwei\n", NULL, VF_OK, NULL);
    assert_true(has_generation(&first.ref, 2));
    fake_clock_pass(1);
    import_csv(v, &p, "warrant_no,surname\n2,Deux\n", NULL, VF_OK, NULL);
    assert_false(has_generation(&first.ref, 2));
    assert_string_equal(value("1", VF_FIELD_SURNAME), "Eins");
    vf_buf_done(&first.manifest);
    vf_buf_done(&second.manifest);
}

/* Is this anywhere in the vault's own files? */
static bool in_files(const void *needle, size_t len)
{
    static const char *const names[] = {"vault/w", "vault/db/data.mdb", "vault/db/lock.mdb", "vault/seal"};
    bool found = false;
    char path[400];

    for (size_t i = 0; i < 4; i++) {
        size_t n = 0;
        VF_FREE char *data = get_file(place_path(&p, names[i], path), &n);
        found |= memmem(data, n, needle, len) != NULL;
    }
    return found;
}

/* The old W is nowhere, so the wrapped keys that LMDB leaves in its free pages open with nothing. */
static void test_erase_for_good(void **state)
{
    struct vf_slot slots[2];
    uint8_t wrapped[VF_WRAPPED_LEN];
    struct vf_slice row;
    char path[400];
    (void)state;

    import_csv(v, &p, "warrant_no,surname\n1,One\n2,Two\n", NULL, VF_OK, NULL);
    struct vf_ref ref = ref_of(v, "1");
    struct vf_txn *txn = NULL;
    OK(vf_txn_read(vf_vault_store(v), &txn, why));
    assert_true(vf_txn_get(txn, VF_VT_RECORD, ref.c, VF_REF_LEN, &row));
    memcpy(wrapped, row.data + 5, sizeof(wrapped));
    vf_txn_end(txn);
    OK(vf_slots_read(place_path(&p, "vault/w", path), VF_W_TYPE, slots, why));
    assert_true(slots[0].present && in_files(slots[0].payload, VF_KEY_LEN));
    OK(vf_record_erase(v, &ref, 1, VF_ERASE_COURT, NULL, NULL, why));
    assert_false(in_files(slots[0].payload, VF_KEY_LEN));
    /* And this is why: the deleted row is still on the disk. */
    assert_true(in_files(wrapped, sizeof(wrapped)));
}

static void test_erase(void **state)
{
    struct vf_grant_id *live = NULL;
    size_t nlive = 0;
    struct vf_vault_counts counts;
    struct vf_why no;
    struct vf_ref refs[3];
    struct vf_slot slots[2];
    char path[400];
    (void)state;

    import_csv(v, &p, "warrant_no,surname\n1,One\n2,Two\n3,Three\n4,Four\n", NULL, VF_OK, NULL);
    struct fake_grant g = grant_of("1", 'A');
    struct fake_grant other = grant_of("4", 'B');
    struct fake_grant ended = grant_of("2", 'C');
    ended.until_us = vf_clock_wall_us();
    OK(vf_store_update(vf_vault_store(v), put_grant, &ended, why));
    refs[0] = ref_of(v, "2");
    refs[1] = ref_of(v, "1");
    refs[2] = refs[0];
    struct vf_ref gone = refs[1];
    struct vf_ref missing = {{'A', 'A', 'A', 'A', 'A', 'A', 'A', '2'}};
    struct vf_ref bad[2] = {refs[0], missing};
    assert_int_equal(vf_record_erase(v, bad, 2, VF_ERASE_OTHER, &live, &nlive, &no), VF_E_NOT_FOUND);
    assert_int_equal(vf_record_erase(v, bad, 0, VF_ERASE_OTHER, &live, &nlive, &no), VF_E_USAGE);
    assert_int_equal(count_rows(v, VF_VT_RECORD), 4);
    struct vf_grant_share before, after;
    OK(vf_vault_grant_share(v, &g.id, &before, why));

    OK(vf_record_erase(v, refs, 3, VF_ERASE_LEAVER, &live, &nlive, why));
    assert_int_equal(nlive, 1);
    assert_memory_equal(live[0].c, g.id.c, VF_GRANT_ID_LEN);
    free(live);
    assert_int_equal(count_rows(v, VF_VT_RECORD), 2);
    assert_int_equal(count_rows(v, VF_VT_INDEX), 2);
    assert_int_equal(count_rows(v, VF_VT_HEAD), 2);
    assert_int_equal(count_rows(v, VF_VT_VALUE), 2 * 27);
    assert_false(has_generation(&gone, 1)); /* a grant does not keep an erased record */
    assert_string_equal(value("3", VF_FIELD_SURNAME), "Three");
    OK(vf_vault_counts_get(v, &counts, why));
    assert_int_equal(counts.w_changes, 1);
    OK(vf_vault_grant_share(v, &g.id, &after, why));
    assert_memory_not_equal(before.b, after.b, VF_KEY_LEN);
    /* One slot, and the other is zeroes. */
    OK(vf_slots_read(place_path(&p, "vault/w", path), VF_W_TYPE, slots, why));
    assert_true(slots[1].present);
    assert_int_equal(slots[1].seq, 2);
    assert_false(slots[0].present);
    VF_FREE char *raw = get_file(path, NULL);
    for (size_t i = 0; i < 4096; i++)
        assert_int_equal(raw[i], 0);
    set_text(v, &other.ref, VF_FIELD_SURNAME, "Vier");
    OK(vf_record_erase(v, &other.ref, 1, VF_ERASE_COURT, NULL, NULL, why));
    assert_int_equal(count_rows(v, VF_VT_RECORD), 1);
    vf_buf_done(&g.manifest);
    vf_buf_done(&other.manifest);
    vf_buf_done(&ended.manifest);
}

#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_generations),
        T(test_erase),
        T(test_erase_for_good),
    };

    return cmocka_run_group_tests(tests, vault_set_up, vault_tear_down);
}
