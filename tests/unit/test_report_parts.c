/* SPDX-License-Identifier: MIT */
/* The parts of the report: numbers and hours in words, names from a log, tables of bounded size. */
#include "audit_test.h"
#include "faults.h"

#include "../../vaultfs/report/html_report.h"

#include <errno.h>
#include <fcntl.h>

#include "cmocka_std.h"

#define MONDAY (INT64_C(1794182400) * VF_SECOND_US) /* 2026-11-09T00:00:00Z, a Monday */
#define HOUR   (3600 * VF_SECOND_US)

static struct vf_ref ref_of(uint32_t n)
{
    const uint8_t bytes[5] = {0, (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};
    struct vf_ref ref;

    vf_ref_from_bytes(bytes, &ref);
    return ref;
}

static void test_words(void **state)
{
    char out[32];

    (void)state;
    assert_string_equal(vf_number(0, out), "0");
    assert_string_equal(vf_number(999, out), "999");
    assert_string_equal(vf_number(1000, out), "1,000");
    assert_string_equal(vf_number(1234567, out), "1,234,567");
    assert_string_equal(vf_number(UINT64_MAX, out), "18,446,744,073,709,551,615");
    assert_int_equal(vf_percent(0, 0), 0);
    assert_int_equal(vf_percent(0, 9), 0);
    assert_int_equal(vf_percent(1, 1000), 1);
    assert_int_equal(vf_percent(999, 1000), 99);
    assert_int_equal(vf_percent(5, 5), 100);
    assert_int_equal(vf_percent(1, 8), 13);
    assert_int_equal(vf_percent(UINT64_MAX / 2, UINT64_MAX), 50);
    assert_int_equal(vf_week_hour(0), 3 * 24); /* a Thursday */
    assert_int_equal(vf_week_hour(MONDAY), 0);
    assert_int_equal(vf_week_hour(MONDAY + 7 * VF_DAY_US - 1), 7 * 24 - 1);
    assert_int_equal(vf_count_add(UINT64_MAX - 1, 5), UINT64_MAX);
}

static void test_hours(void **state)
{
    (void)state;
    assert_true(vf_out_of_hours(MONDAY + 7 * HOUR - 1));
    assert_false(vf_out_of_hours(MONDAY + 7 * HOUR));
    assert_false(vf_out_of_hours(MONDAY + 19 * HOUR - 1));
    assert_true(vf_out_of_hours(MONDAY + 19 * HOUR));
    assert_false(vf_out_of_hours(MONDAY + 4 * VF_DAY_US + 12 * HOUR)); /* Friday */
    assert_true(vf_out_of_hours(MONDAY + 5 * VF_DAY_US + 12 * HOUR));
    assert_true(vf_out_of_hours(MONDAY + 6 * VF_DAY_US + 12 * HOUR));
}

static void test_names(void **state)
{
    char out[16];

    (void)state;
    vf_name_copy("a\\\"b", 4, out, sizeof(out));
    assert_string_equal(out, "a\"b");
    vf_name_copy("\\u001b[31m", 10, out, sizeof(out));
    assert_string_equal(out, "\\u001b[31m");
    vf_name_copy("0123456789012345678", 19, out, sizeof(out));
    assert_string_equal(out, "012345678901234");
    vf_name_copy("0123456789012\xe6\x97\xa5", 16, out, sizeof(out)); /* the last character does not fit whole */
    assert_string_equal(out, "0123456789012");
    vf_name_copy("", 0, out, sizeof(out));
    assert_string_equal(out, "");
    const struct vf_entry_text t = {"\"photo\",\"hat_size\",\"rank\"", 25};
    assert_int_equal(vf_fields_of(&t), VF_FIELD_BIT(VF_FIELD_PHOTO) | VF_FIELD_BIT(VF_FIELD_RANK) | 1);
    assert_int_equal(vf_fields_of(&(struct vf_entry_text){0}), 0);
}

static void test_rows(void **state)
{
    struct vf_rows rows;
    char name[300];
    size_t len;

    (void)state;
    OK(vf_rows_init(&rows, 100, WHY));
    for (unsigned i = 0; i < 120; i++) {
        int n = snprintf(name, sizeof(name), "program %u", i);
        struct vf_row *row = vf_rows_at(&rows, i % 3, name, (size_t)n);
        assert_ptr_equal(row, i < 100 ? &rows.row[i] : &rows.others);
        assert_int_equal(vf_rows_bit(&rows, row), UINT64_C(1) << (i < 63 ? i : 63));
    }
    assert_int_equal(rows.n, 100);
    assert_int_equal(rows.nothers, 20);
    assert_ptr_equal(vf_rows_find(&rows, 1, "program 1", 9), &rows.row[1]);
    assert_null(vf_rows_find(&rows, 2, "program 1", 9));
    assert_memory_equal(vf_row_text(&rows.row[1], &len), "program 1", 9);
    vf_rows_done(&rows);

    /* Long keys that begin alike stay apart; a number over one byte too. */
    OK(vf_rows_init(&rows, 8, WHY));
    memset(name, 'x', sizeof(name));
    struct vf_row *a = vf_rows_at(&rows, 0, name, 299);
    name[298] = 'y';
    struct vf_row *b = vf_rows_at(&rows, 0, name, 299);
    assert_ptr_not_equal(a, b);
    assert_ptr_equal(vf_rows_at(&rows, 0, name, 299), b);
    assert_ptr_not_equal(vf_rows_at(&rows, 1, "", 0), vf_rows_at(&rows, 257, "", 0));
    vf_rows_done(&rows);
}

static void test_refs(void **state)
{
    struct vf_refs refs;
    struct vf_ref_row *row;

    (void)state;
    vf_refs_init(&refs, 12345, 3000);
    for (uint32_t i = 0; i < 3500; i++) {
        struct vf_ref ref = ref_of(i * 2654435761u);
        OK(vf_refs_at(&refs, &ref, &row, WHY));
        assert_true((row == NULL) == (i >= 3000));
        if (row != NULL)
            row->repeats = i;
    }
    for (uint32_t i = 0; i < 3000; i += 7) {
        struct vf_ref ref = ref_of(i * 2654435761u);
        OK(vf_refs_at(&refs, &ref, &row, WHY));
        assert_int_equal(row->repeats, i);
    }
    vf_refs_sort(&refs);
    assert_int_equal(refs.n, 3000);
    for (size_t i = 1; i < refs.n; i++)
        assert_true(vf_ref_cmp(&refs.row[i - 1].ref, &refs.row[i].ref) < 0);
    vf_refs_done(&refs);
}

/* ------------------------------------------------------------------------------------------------------------ want of memory */

static enum vf_err whole(const struct audit_place *p)
{
    const char *const paths[] = {p->log, p->log};
    const struct vf_report_options opt = {.logs = paths, .nlogs = 2, .now_us = MONDAY};
    VF_REPORT r = NULL;
    VF_FD fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

    VF_TRY(vf_report_make(&opt, &r, NULL));
    VF_TRY(vf_report_write_html(r, fd, "x", NULL));
    return vf_report_write_json(r, fd, "x", NULL);
}

/* Each allocation in its turn: it is told, nothing is lost, nothing comes out that looks whole. */
static void test_memory(void **state)
{
    struct audit_place p;
    unsigned n = 1;

    (void)state;
    audit_place_make(&p);
    struct vf_log *log = audit_open(&p, NULL);
    for (uint64_t i = 0; i < 40; i++)
        audit_commit(log, i % 7);
    audit_close(log);
    for (;; n++) {
        faults_arm(FAULT_MEMORY, n, ENOMEM);
        enum vf_err err = whole(&p);
        if (!faults_disarm()) {
            assert_int_equal(err, VF_OK);
            break;
        }
        assert_int_equal(err, VF_E_NOMEM);
    }
    assert_true(n > 30);
    audit_place_done(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words), cmocka_unit_test(test_hours), cmocka_unit_test(test_names),
        cmocka_unit_test(test_rows),  cmocka_unit_test(test_refs),  cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, audit_set_up, audit_tear_down);
}
