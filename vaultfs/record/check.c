/* SPDX-License-Identifier: MIT */
/*
 * One value of one field: normal form and the field's own form. Reasons are for a person with a spreadsheet; they never
 * quote the value.
 */
#include "date.h"
#include "rules.h"
#include "schema.h"
#include "text.h"

#include <string.h>

#define ISSUE_MAX 999999u

struct value {
    const char *s;
    size_t len;
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static size_t skip_digits(const struct value *v, size_t at)
{
    while (at < v->len && is_digit(v->s[at]))
        at++;
    return at;
}

/* ---------------------------------------------------------------------------------------------------- spreadsheet damage */

/* 1.84E+05: a number with more digits than the column showed, or hexadecimal with an E in it. */
static bool scientific(const struct value *v)
{
    size_t at = skip_digits(v, 0);

    if (at == 0)
        return false;
    if (at < v->len && (v->s[at] == '.' || v->s[at] == ',')) {
        size_t first = at + 1;
        at = skip_digits(v, first);
        if (at == first)
            return false;
    }
    if (at + 2 >= v->len || (v->s[at] != 'E' && v->s[at] != 'e') || (v->s[at + 1] != '+' && v->s[at + 1] != '-'))
        return false;
    return skip_digits(v, at + 2) == v->len;
}

/* 184123.0: a whole number that was kept as a decimal. */
static bool decimal(const struct value *v)
{
    size_t at = skip_digits(v, 0);

    if (at == 0 || at + 1 >= v->len || v->s[at] != '.')
        return false;
    for (at++; at < v->len; at++)
        if (v->s[at] != '0')
            return false;
    return true;
}

static bool error_cell(const struct value *v)
{
    static const char *const errors[] = {"#REF!", "#N/A",   "#NAME?",  "#VALUE!", "#DIV/0!",
                                         "#NUM!", "#NULL!", "#SPILL!", "#CALC!"};

    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
        if (strlen(errors[i]) == v->len && memcmp(errors[i], v->s, v->len) == 0)
            return true;
    /* ##### is what a column too narrow for its content shows. */
    return v->len >= 3 && strspn(v->s, "#") == v->len;
}

static bool is_number(enum vf_field field)
{
    return field == VF_FIELD_WARRANT_NO || field == VF_FIELD_PAY_NO || field == VF_FIELD_SHOULDER_NO ||
           field == VF_FIELD_CARD_SERIAL || field == VF_FIELD_ISSUE_NO;
}

static enum vf_err check_damage(enum vf_field field, const struct value *v, struct vf_why *why)
{
    if (scientific(v))
        return vf_fail(why, VF_E_INPUT,
                       "a spreadsheet has made a rounded number of it (like 1.84E+05): export the column as text");
    if (error_cell(v))
        return vf_fail(why, VF_E_INPUT, "a spreadsheet's error mark stands in place of the value");
    if (is_number(field) && decimal(v))
        return vf_fail(why, VF_E_INPUT, "a spreadsheet has put .0 behind it: export the column as text");
    return VF_OK;
}

/* ----------------------------------------------------------------------------------------------------------------- forms */

static enum vf_err check_length(const struct vf_field_info *info, const struct value *v, struct vf_why *why)
{
    if (info->max_chars > 0 && vf_text_chars(v->s, v->len) > info->max_chars)
        return vf_fail(why, VF_E_INPUT, "longer than %u characters", info->max_chars);
    if (v->len > info->max_bytes)
        return vf_fail(why, VF_E_INPUT, "longer than %u bytes", info->max_bytes);
    return VF_OK;
}

static enum vf_err check_rank(const struct vf_rules *rules, const struct value *v, struct vf_why *why)
{
    if (vf_rules_rank_known(rules, v->s, v->len))
        return VF_OK;
    if (vf_rules_rank_nearly(rules, v->s, v->len))
        return vf_fail(why, VF_E_INPUT, "not in the list of ranks: it is there with other capital letters");
    return vf_fail(why, VF_E_INPUT, "not in the force's list of ranks");
}

static bool zeros_would_help(const struct vf_rules *rules, const struct value *v, size_t max)
{
    char longer[16] = "000000000000000";

    if (v->len == 0 || v->len >= max || max >= sizeof(longer) || !is_digit(v->s[0]))
        return false;
    for (size_t zeros = 1; zeros + v->len <= max; zeros++) {
        longer[zeros - 1] = '0';
        memcpy(longer + zeros, v->s, v->len);
        if (vf_rules_warrant_matches(rules, longer, zeros + v->len))
            return true;
    }
    return false;
}

static enum vf_err check_warrant(const struct vf_rules *rules, const struct vf_field_info *info, const struct value *v,
                                 struct vf_why *why)
{
    VF_TRY(check_length(info, v, why));
    /* A zero-width joiner would make two numbers of what looks like one. */
    if (strstr(v->s, "\xe2\x80\x8c") != NULL || strstr(v->s, "\xe2\x80\x8d") != NULL)
        return vf_fail(why, VF_E_INPUT, "has an invisible or direction-changing character in it");
    if (vf_rules_warrant_matches(rules, v->s, v->len))
        return VF_OK;
    if (zeros_would_help(rules, v, info->max_bytes))
        return vf_fail(why, VF_E_INPUT, "does not match the force's pattern: has it lost its leading zeros?");
    return vf_fail(why, VF_E_INPUT, "does not match the force's pattern for warrant numbers");
}

static enum vf_err check_choice(const struct vf_field_def *def, const struct value *v, struct vf_why *why)
{
    char all[128] = "";
    size_t used = 0;

    for (size_t i = 0; def->choices[i] != NULL; i++) {
        if (strlen(def->choices[i]) == v->len && memcmp(def->choices[i], v->s, v->len) == 0)
            return VF_OK;
        int n = snprintf(all + used, sizeof(all) - used, "%s%s", i > 0 ? ", " : "", def->choices[i]);
        used += n > 0 && (size_t)n < sizeof(all) - used ? (size_t)n : 0;
    }
    return vf_fail(why, VF_E_INPUT, "not one of %s", all);
}

static enum vf_err check_hex(const struct value *v, struct vf_why *why)
{
    for (size_t i = 0; i < v->len; i++) {
        char c = v->s[i];
        if (!is_digit(c) && !(c >= 'a' && c <= 'f') && !(c >= 'A' && c <= 'F'))
            return vf_fail(why, VF_E_INPUT, "not hexadecimal digits alone");
    }
    if (v->len != 8 && v->len != 14 && v->len != 20)
        return vf_fail(why, VF_E_INPUT, "not 8, 14 or 20 hexadecimal digits (4, 7 or 10 bytes)");
    return VF_OK;
}

static enum vf_err check_form(const struct vf_rules *rules, const struct vf_field_def *def, const struct value *v,
                              struct vf_why *why)
{
    uint64_t number = 0;

    switch (def->form) {
    case VF_FORM_RANK:
        return check_rank(rules, v, why);
    case VF_FORM_WARRANT:
        return check_warrant(rules, &def->info, v, why);
    case VF_FORM_CHOICE:
        return check_choice(def, v, why);
    case VF_FORM_DATE:
        if (!vf_date_valid(v->s, v->len))
            return vf_fail(why, VF_E_INPUT, "not a real date written like 2026-11-21");
        break;
    case VF_FORM_MOMENT:
        if (!vf_date_valid(v->s, v->len) && !vf_date_time_valid(v->s, v->len))
            return vf_fail(why, VF_E_INPUT, "not a real date or time written like 2026-11-21 or 2026-11-21T17:00:00Z");
        break;
    case VF_FORM_NUMBER:
        if (!vf_uint_parse(v->s, v->len, ISSUE_MAX, &number) || number == 0)
            return vf_fail(why, VF_E_INPUT, "not a whole number from 1 to %u", ISSUE_MAX);
        break;
    case VF_FORM_HEX:
        return check_hex(v, why);
    case VF_FORM_TEXT:
    case VF_FORM_IMAGE:
        break;
    }
    return check_length(&def->info, v, why);
}

static enum vf_err check_value(const struct vf_rules *rules, const struct vf_field_def *def, struct vf_buf *out,
                               struct vf_why *why)
{
    const struct value v = {.s = vf_buf_cstr(out), .len = out->len};

    VF_TRY(vf_buf_check(out, def->info.name, why));
    if (v.len == 0) {
        if (def->info.field == VF_FIELD_WARRANT_NO)
            return vf_fail(why, VF_E_INPUT, "is missing");
        return VF_OK;
    }
    VF_TRY(check_damage(def->info.field, &v, why));
    /* All that can be granted can come to stand in a cards.csv. A dash alone is no formula, and some systems' "no surname". */
    bool dash = def->info.class == VF_CLASS_B && v.len == 1;
    if (def->info.class != VF_CLASS_C && !dash && vf_text_formula(v.s, v.len))
        return vf_fail(why, VF_E_INPUT, "%s", VF_TEXT_FORMULA_REASON);
    if (vf_text_blank(v.s, v.len))
        return vf_fail(why, VF_E_INPUT, "has no character that can be seen");
    return check_form(rules, def, &v, why);
}

enum vf_err vf_field_check(const struct vf_rules *rules, enum vf_field field, const char *value, size_t len,
                           struct vf_buf *out, struct vf_why *why)
{
    const struct vf_field_def *def = vf_schema_def(field);

    vf_buf_reset(out);
    if (def == NULL)
        return vf_fail(why, VF_E_INPUT, "no such field");
    if (def->form == VF_FORM_IMAGE)
        return vf_fail(why, VF_E_INPUT, "is an image: it comes from a file, not as text");
    enum vf_err err = vf_text_normalise(value, len, out, why);
    if (err == VF_OK)
        err = check_value(rules, def, out, why);
    else if (err == VF_E_LIMIT) /* the caller's buffer is made for the longest good value */
        err = vf_fail(why, VF_E_INPUT, "longer than %u bytes", def->info.max_bytes);
    if (err != VF_OK)
        vf_buf_reset(out);
    return err;
}

enum vf_err vf_row_check(const struct vf_csv_cell *values, enum vf_field *ret_field, struct vf_why *why)
{
    const struct vf_csv_cell *from = &values[VF_FIELD_VALID_FROM];
    const struct vf_csv_cell *to = &values[VF_FIELD_VALID_TO];

    /* ISO dates of one length compare as text. */
    if (from->text != NULL && to->text != NULL && from->len == VF_DATE_LEN && to->len == VF_DATE_LEN &&
        memcmp(to->text, from->text, VF_DATE_LEN) < 0) {
        *ret_field = VF_FIELD_VALID_TO;
        return vf_fail(why, VF_E_INPUT, "is before valid_from");
    }
    return VF_OK;
}
