/* SPDX-License-Identifier: MIT */
#include "vaultfs/record.h"

#include <string.h>

#include "cmocka_std.h"

/* Numbers and classes as the stored formats and DOMAIN have them: written down a second time on purpose. */
static const struct {
    unsigned number;
    const char *name;
    char class;
} fields[] = {
    {1, "name_on_card", 'A'},    {2, "rank", 'A'},         {3, "warrant_no", 'A'},   {4, "photo", 'A'},
    {5, "signature", 'A'},       {6, "card_type", 'A'},    {7, "card_serial", 'A'},  {8, "issue_no", 'A'},
    {9, "valid_from", 'A'},      {10, "valid_to", 'A'},    {11, "endorsement", 'A'}, {12, "chip_type", 'B'},
    {13, "chip_uid", 'B'},       {14, "person_type", 'B'}, {15, "surname", 'B'},     {16, "forenames", 'B'},
    {17, "title", 'B'},          {18, "shoulder_no", 'B'}, {19, "unit_code", 'B'},   {20, "station", 'B'},
    {21, "grade", 'B'},          {22, "pay_no", 'C'},      {23, "vetting", 'C'},     {24, "vetting_expiry", 'C'},
    {25, "protect", 'C'},        {26, "notify_to", 'C'},   {27, "status", 'C'},      {28, "source_system", 'C'},
    {29, "source_updated", 'C'},
};
#define NFIELDS (sizeof(fields) / sizeof(fields[0]))

static void test_table(void **state)
{
    (void)state;
    assert_int_equal(NFIELDS, VF_FIELD_COUNT - 1);
    for (size_t i = 0; i < NFIELDS; i++) {
        const struct vf_field_info *info = vf_field_info(fields[i].number);
        assert_non_null(info);
        assert_int_equal(info->field, fields[i].number);
        assert_string_equal(info->name, fields[i].name);
        assert_int_equal(info->class, fields[i].class);
        assert_int_equal(vf_field_by_name(fields[i].name, strlen(fields[i].name)), fields[i].number);
        assert_true(info->max_bytes > 0 && info->max_chars <= info->max_bytes);
        /* What is printed without being asked for by name is class A. */
        assert_true(!info->card_print || info->class == VF_CLASS_A);
        assert_true(!info->required || info->card_print);
        assert_int_equal(vf_field_part(fields[i].number), info->kind == VF_KIND_TEXT ? 0 : 1);
        assert_int_equal(vf_field_is_image(fields[i].number), info->kind != VF_KIND_TEXT);
    }
    assert_int_equal(vf_field_info(VF_FIELD_PHOTO)->kind, VF_KIND_JPEG);
    assert_int_equal(vf_field_info(VF_FIELD_SIGNATURE)->kind, VF_KIND_PNG);
    assert_int_equal(vf_field_info(VF_FIELD_NAME_ON_CARD)->max_chars, 40);
    assert_int_equal(vf_field_info(VF_FIELD_NAME_ON_CARD)->max_bytes, 160);
    assert_int_equal(vf_field_info(VF_FIELD_WARRANT_NO)->max_chars, 12);
}

static void test_no_such_field(void **state)
{
    (void)state;
    assert_null(vf_field_info(0));
    assert_null(vf_field_info(VF_FIELD_COUNT));
    assert_null(vf_field_info(UINT32_MAX));
    assert_int_equal(vf_field_by_name("ran", 3), VF_FIELD_NONE);
    assert_int_equal(vf_field_by_name("ranks", 5), VF_FIELD_NONE);
    assert_int_equal(vf_field_by_name("Rank", 4), VF_FIELD_NONE);
    assert_int_equal(vf_field_by_name("", 0), VF_FIELD_NONE);
    assert_false(vf_field_is_image(0));
    assert_false(vf_field_is_image(99));
    assert_false(vf_field_is_date(99));
    assert_int_equal(vf_field_padded(0, 10), 0);
}

static void test_padding(void **state)
{
    static const size_t lengths[][2] = {{0, 8192}, {1, 8192}, {8191, 8192}, {8192, 8192}, {8193, 16384}, {1 << 20, 1 << 20}};

    (void)state;
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
        assert_int_equal(vf_field_padded(VF_FIELD_PHOTO, lengths[i][0]), lengths[i][1]);
    assert_int_equal(vf_field_padded(VF_FIELD_RANK, 0), 64);
    assert_int_equal(vf_field_padded(VF_FIELD_RANK, 64), 64);
    for (unsigned f = 1; f < VF_FIELD_COUNT; f++)
        assert_true(vf_field_padded(f, vf_field_info(f)->max_bytes) >= vf_field_info(f)->max_bytes);
}

static void test_sets(void **state)
{
    vf_field_set a = vf_field_set_class(VF_CLASS_A);
    vf_field_set b = vf_field_set_class(VF_CLASS_B);
    vf_field_set c = vf_field_set_class(VF_CLASS_C);

    (void)state;
    assert_int_equal(a & b, 0);
    assert_int_equal(b & c, 0);
    assert_int_equal(a & c, 0);
    assert_int_equal(a | b | c, (VF_FIELD_BIT(VF_FIELD_COUNT) - 1) & ~(vf_field_set)1);
    /* All of class A but the endorsement (DOMAIN). */
    assert_int_equal(vf_field_set_card_print(), a & ~VF_FIELD_BIT(VF_FIELD_ENDORSEMENT));
}

static void test_set_parse(void **state)
{
    VF_BUF out;
    vf_field_set set = 77;
    struct vf_why why = {0};

    (void)state;
    vf_buf_init(&out, 1000);
    assert_int_equal(vf_field_set_parse("warrant_no, name_on_card ,photo", &set, NULL), VF_OK);
    assert_int_equal(set, VF_FIELD_BIT(1) | VF_FIELD_BIT(3) | VF_FIELD_BIT(4));
    vf_field_set_put(set, ", ", &out);
    assert_string_equal(vf_buf_cstr(&out), "name_on_card, warrant_no, photo");
    vf_buf_reset(&out);
    vf_field_set_put(0, ",", &out);
    assert_int_equal(out.len, 0);

    /* Every set comes back from its own text. */
    vf_field_set every = (VF_FIELD_BIT(VF_FIELD_COUNT) - 1) & ~(vf_field_set)1;
    vf_field_set_put(every, ",", &out);
    assert_int_equal(vf_field_set_parse(vf_buf_cstr(&out), &set, NULL), VF_OK);
    assert_int_equal(set, every);

    static const char *const bad[][2] = {
        {"rank,wrong", "no field is called \"wrong\""},
        {"rank, two words", "no field is called \"two words\""},
        {"", "the list of fields has an empty place"},
        {"rank,", "the list of fields has an empty place"},
        {"rank,,photo", "the list of fields has an empty place"},
        {"  ", "the list of fields has an empty place"},
        {"ra\x1b[31mnk", "the list of fields has a word that is no field"},
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "the list of fields has a word that is no field"},
    };
    set = 77;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(vf_field_set_parse(bad[i][0], &set, &why), VF_E_INPUT);
        assert_string_equal(why.text, bad[i][1]);
        assert_int_equal(set, 77);
    }
}

static void test_words(void **state)
{
    enum vf_protect protect = VF_PROTECT_COVERT;
    enum vf_status status = VF_STATUS_LEAVER;

    (void)state;
    assert_true(vf_protect_parse("", 0, &protect));
    assert_int_equal(protect, VF_PROTECT_STANDARD);
    assert_true(vf_protect_parse("RESTRICTED", 10, &protect));
    assert_int_equal(protect, VF_PROTECT_RESTRICTED);
    assert_true(vf_protect_parse("COVERT", 6, &protect));
    assert_int_equal(protect, VF_PROTECT_COVERT);
    assert_false(vf_protect_parse("COVER", 5, &protect));
    assert_false(vf_protect_parse("covert", 6, &protect));
    assert_int_equal(protect, VF_PROTECT_COVERT);
    assert_true(vf_status_parse("", 0, &status));
    assert_int_equal(status, VF_STATUS_ACTIVE);
    assert_true(vf_status_parse("LEAVER", 6, &status));
    assert_int_equal(status, VF_STATUS_LEAVER);
    assert_true(vf_status_parse("ACTIVE", 6, &status));
    assert_int_equal(status, VF_STATUS_ACTIVE);
    assert_false(vf_status_parse("GONE", 4, &status));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table), cmocka_unit_test(test_no_such_field), cmocka_unit_test(test_padding),
        cmocka_unit_test(test_sets),  cmocka_unit_test(test_set_parse),     cmocka_unit_test(test_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
