/* SPDX-License-Identifier: MIT */
#include "vault_test.h"

#define FIELDS (VF_FIELD_BIT(VF_FIELD_RANK) | VF_FIELD_BIT(VF_FIELD_PHOTO))

static const struct vf_vault_id vault = {{1, 2, 3}};

static struct vf_ref ref(const char *text)
{
    struct vf_ref r;

    assert_true(vf_ref_parse(text, strlen(text), &r));
    return r;
}

static void make(struct vf_buf *out, const char *const *refs, uint32_t n)
{
    struct vf_hash hash = {{9}};

    vf_buf_init(out, 10000);
    vf_manifest_put_head(out, &vault, n, FIELDS);
    for (uint32_t i = 0; i < n; i++) {
        struct vf_ref r = ref(refs[i]);
        vf_manifest_put_ref(out, &r);
        hash.b[1] = (uint8_t)i;
        vf_manifest_put_item(out, i + 1, &hash); /* rank */
        vf_manifest_put_item(out, i % 2, &hash); /* photo: every second one is absent */
    }
    assert_true(vf_buf_ok(out));
}

static void test_round_trip(void **state)
{
    static const char *const refs[] = {"AAAAAAAA", "B2222222", "C7777777", "ZZZZZZZZ"};
    struct vf_manifest m;
    struct vf_manifest_item item;
    VF_BUF b = {0};
    uint32_t row = 99;
    (void)state;

    make(&b, refs, 4);
    OK(vf_manifest_parse(b.data, b.len, "m", &m, why));
    assert_int_equal(m.nrecords, 4);
    assert_int_equal(m.nfields, 2);
    assert_int_equal(m.set, FIELDS);
    assert_memory_equal(m.vault.b, vault.b, VF_VAULT_ID_LEN);
    assert_int_equal(vf_manifest_column(&m, VF_FIELD_RANK), 0);
    assert_int_equal(vf_manifest_column(&m, VF_FIELD_PHOTO), 1);
    assert_int_equal(vf_manifest_column(&m, VF_FIELD_SURNAME), -1);
    for (uint32_t i = 0; i < 4; i++) {
        struct vf_ref r = ref(refs[i]);
        struct vf_ref back;
        assert_true(vf_manifest_find(&m, &r, &row));
        assert_int_equal(row, i);
        vf_manifest_ref(&m, i, &back);
        assert_memory_equal(back.c, r.c, VF_REF_LEN);
        vf_manifest_item(&m, i, 0, &item);
        assert_int_equal(item.generation, i + 1);
        assert_int_equal(item.hash.b[1], i);
        vf_manifest_item(&m, i, 1, &item);
        assert_int_equal(item.generation, i % 2);
        assert_int_equal(item.hash.b[0], i % 2 != 0 ? 9 : 0);
    }
    struct vf_ref none = ref("C7777776");
    assert_false(vf_manifest_find(&m, &none, &row));
    none = ref("22222222");
    assert_false(vf_manifest_find(&m, &none, &row));
    VF_BUF empty = {0};
    make(&empty, refs, 0);
    OK(vf_manifest_parse(empty.data, empty.len, "m", &m, why));
    assert_false(vf_manifest_find(&m, &none, &row));
}

static enum vf_err parse(const struct vf_buf *b, size_t len)
{
    struct vf_manifest m;
    struct vf_why no;

    return vf_manifest_parse(b->data, len, "m", &m, &no);
}

static void test_refused(void **state)
{
    static const char *const good[] = {"AAAAAAAA", "B2222222"};
    static const char *const doubled[] = {"AAAAAAAA", "AAAAAAAA"};
    static const char *const backwards[] = {"B2222222", "AAAAAAAA"};
    VF_BUF b = {0};
    VF_BUF other = {0};
    (void)state;

    make(&b, good, 2);
    assert_int_equal(parse(&b, b.len), VF_OK);
    for (size_t len = 0; len < b.len; len++)
        assert_int_equal(parse(&b, len), len < 8 ? VF_E_VERSION : VF_E_FORMAT);
    vf_buf_u8(&b, 0);
    assert_int_equal(parse(&b, b.len), VF_E_FORMAT);
    make(&other, doubled, 2);
    assert_int_equal(parse(&other, other.len), VF_E_FORMAT);
    vf_buf_done(&other);
    make(&other, backwards, 2);
    assert_int_equal(parse(&other, other.len), VF_E_FORMAT);
    other.data[0] = 'X';
    assert_int_equal(parse(&other, other.len), VF_E_VERSION);
}

/* Any byte changed: refused, or another manifest of the same shape (whose hash the grant does not name). Never a crash. */
static void test_mutation(void **state)
{
    static const char *const refs[] = {"AAAAAAAA", "B2222222", "C7777777"};
    struct vf_manifest m;
    VF_BUF b = {0};
    (void)state;

    make(&b, refs, 3);
    for (size_t i = 0; i < b.len; i++)
        for (unsigned v = 1; v < 256; v++) {
            b.data[i] ^= (uint8_t)v;
            if (vf_manifest_parse(b.data, b.len, "m", &m, NULL) == VF_OK) {
                assert_int_equal(m.nrecords, 3);
                assert_int_equal(m.nfields, 2);
                for (uint32_t r = 0; r < 3; r++) {
                    struct vf_ref at;
                    uint32_t row = 9;
                    vf_manifest_ref(&m, r, &at);
                    assert_true(vf_manifest_find(&m, &at, &row));
                    assert_int_equal(row, r);
                }
            }
            b.data[i] ^= (uint8_t)v;
        }
}

static void test_grant_row(void **state)
{
    struct vf_grant_row row = {
        .state = VF_GRANT_ISSUED, .exported = true, .until_us = 1000, .note = {(const uint8_t *)"note", 4}};
    struct vf_grant_row back;
    VF_BUF b = {0};
    (void)state;

    row.manifest.b[3] = 7;
    row.device.b[4] = 8;
    vf_buf_init(&b, 1000);
    vf_grant_row_put(&row, &b);
    assert_int_equal(b.len, VF_GRANT_ROW_HEAD + 4);
    OK(vf_grant_row_parse(b.data, b.len, &back, why));
    assert_int_equal(back.state, VF_GRANT_ISSUED);
    assert_true(back.exported);
    assert_int_equal(back.until_us, 1000);
    assert_memory_equal(back.manifest.b, row.manifest.b, VF_HASH_LEN);
    assert_memory_equal(back.device.b, row.device.b, VF_HASH_LEN);
    assert_int_equal(back.note.len, 4);
    assert_memory_equal(back.note.data, "note", 4);
    assert_true(vf_grant_row_live(&back, 999));
    assert_false(vf_grant_row_live(&back, 1000));
    back.state = VF_GRANT_REVOKED;
    assert_false(vf_grant_row_live(&back, 999));
    for (size_t len = 0; len < VF_GRANT_ROW_HEAD; len++)
        assert_int_equal(vf_grant_row_parse(b.data, len, &back, NULL), VF_E_DAMAGED);
    static const uint8_t bad[][2] = {{0, 2}, {0, 0}, {1, 0}, {1, 3}, {2, 2}, {3, 0x80}};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        uint8_t was = b.data[bad[i][0]];
        b.data[bad[i][0]] = bad[i][1];
        assert_int_equal(vf_grant_row_parse(b.data, b.len, &back, NULL), VF_E_DAMAGED);
        b.data[bad[i][0]] = was;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_mutation),
        cmocka_unit_test(test_grant_row),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
