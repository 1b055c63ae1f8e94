/* SPDX-License-Identifier: MIT */
/* The one table of fields: number, name, class, sizes, form. */
#include "schema.h"

#include <string.h>

#define IMAGE_BYTES_MAX (1024u * 1024)
#define IMAGE_STEP      8192u

/* Numbered as in the header, so that a field is found by its index. */
#define TEXT_(f, n, c, bytes, chars) \
    [f] = {.info = {f, n, c, VF_KIND_TEXT, bytes, chars, false, false}, .form = VF_FORM_TEXT}
#define FORM_(f, n, c, bytes, fm) [f] = {.info = {f, n, c, VF_KIND_TEXT, bytes, 0, false, false}, .form = (fm)}
#define CARD_(f, n, bytes, chars, required, fm) \
    [f] = {.info = {f, n, VF_CLASS_A, VF_KIND_TEXT, bytes, chars, true, required}, .form = (fm)}
#define IMAGE_(f, n, k, required) \
    [f] = {.info = {f, n, VF_CLASS_A, k, IMAGE_BYTES_MAX, 0, true, required}, .form = VF_FORM_IMAGE}
#define CHOICE_(f, n, c, print, ...) \
    [f] = {.info = {f, n, c, VF_KIND_TEXT, 16, 0, print, false}, .form = VF_FORM_CHOICE, .choices = {__VA_ARGS__, NULL}}

static const struct vf_field_def table[VF_FIELD_COUNT] = {
    CARD_(VF_FIELD_NAME_ON_CARD, "name_on_card", 160, 40, true, VF_FORM_TEXT),
    CARD_(VF_FIELD_RANK, "rank", 64, 0, true, VF_FORM_RANK),
    CARD_(VF_FIELD_WARRANT_NO, "warrant_no", 12, 12, true, VF_FORM_WARRANT),
    IMAGE_(VF_FIELD_PHOTO, "photo", VF_KIND_JPEG, true),
    IMAGE_(VF_FIELD_SIGNATURE, "signature", VF_KIND_PNG, false),
    CHOICE_(VF_FIELD_CARD_TYPE, "card_type", VF_CLASS_A, true, "WARRANT", "STAFF", "PCSO", "SPECIAL", "CONTRACTOR",
            "VISITOR"),
    CARD_(VF_FIELD_CARD_SERIAL, "card_serial", 32, 32, false, VF_FORM_TEXT),
    CARD_(VF_FIELD_ISSUE_NO, "issue_no", 8, 0, false, VF_FORM_NUMBER),
    CARD_(VF_FIELD_VALID_FROM, "valid_from", 10, 0, false, VF_FORM_DATE),
    CARD_(VF_FIELD_VALID_TO, "valid_to", 10, 0, false, VF_FORM_DATE),
    TEXT_(VF_FIELD_ENDORSEMENT, "endorsement", VF_CLASS_A, 480, 120),
    TEXT_(VF_FIELD_CHIP_TYPE, "chip_type", VF_CLASS_B, 32, 32),
    FORM_(VF_FIELD_CHIP_UID, "chip_uid", VF_CLASS_B, 20, VF_FORM_HEX),
    CHOICE_(VF_FIELD_PERSON_TYPE, "person_type", VF_CLASS_B, false, "OFFICER", "SPECIAL", "PCSO", "STAFF", "CONTRACTOR"),
    TEXT_(VF_FIELD_SURNAME, "surname", VF_CLASS_B, 320, 80),
    TEXT_(VF_FIELD_FORENAMES, "forenames", VF_CLASS_B, 320, 80),
    TEXT_(VF_FIELD_TITLE, "title", VF_CLASS_B, 64, 16),
    TEXT_(VF_FIELD_SHOULDER_NO, "shoulder_no", VF_CLASS_B, 32, 32),
    TEXT_(VF_FIELD_UNIT_CODE, "unit_code", VF_CLASS_B, 32, 32),
    TEXT_(VF_FIELD_STATION, "station", VF_CLASS_B, 256, 64),
    TEXT_(VF_FIELD_GRADE, "grade", VF_CLASS_B, 64, 32),
    TEXT_(VF_FIELD_PAY_NO, "pay_no", VF_CLASS_C, 32, 32),
    CHOICE_(VF_FIELD_VETTING, "vetting", VF_CLASS_C, false, "RV", "MV", "CTC", "SC", "DV", "NPPV1", "NPPV2", "NPPV3"),
    FORM_(VF_FIELD_VETTING_EXPIRY, "vetting_expiry", VF_CLASS_C, 10, VF_FORM_DATE),
    CHOICE_(VF_FIELD_PROTECT, "protect", VF_CLASS_C, false, "STANDARD", "RESTRICTED", "COVERT"),
    TEXT_(VF_FIELD_NOTIFY_TO, "notify_to", VF_CLASS_C, 254, 0),
    CHOICE_(VF_FIELD_STATUS, "status", VF_CLASS_C, false, "ACTIVE", "LEAVER"),
    TEXT_(VF_FIELD_SOURCE_SYSTEM, "source_system", VF_CLASS_C, 64, 0),
    FORM_(VF_FIELD_SOURCE_UPDATED, "source_updated", VF_CLASS_C, 40, VF_FORM_MOMENT),
};

const struct vf_field_def *vf_schema_def(unsigned field)
{
    return field > VF_FIELD_NONE && field < VF_FIELD_COUNT ? &table[field] : NULL;
}

const struct vf_field_info *vf_field_info(unsigned field)
{
    const struct vf_field_def *def = vf_schema_def(field);

    return def != NULL ? &def->info : NULL;
}

enum vf_field vf_field_by_name(const char *name, size_t len)
{
    for (unsigned f = 1; f < VF_FIELD_COUNT; f++) {
        const char *has = table[f].info.name;
        if (strlen(has) == len && memcmp(has, name, len) == 0)
            return table[f].info.field;
    }
    return VF_FIELD_NONE;
}

bool vf_field_is_image(unsigned field)
{
    const struct vf_field_def *def = vf_schema_def(field);

    return def != NULL && def->form == VF_FORM_IMAGE;
}

bool vf_field_is_date(unsigned field)
{
    const struct vf_field_def *def = vf_schema_def(field);

    return def != NULL && def->form == VF_FORM_DATE;
}

unsigned vf_field_part(unsigned field)
{
    return vf_field_is_image(field) ? 1 : 0;
}

size_t vf_field_padded(unsigned field, size_t len)
{
    const struct vf_field_def *def = vf_schema_def(field);

    if (def == NULL)
        return 0;
    if (def->form != VF_FORM_IMAGE)
        return def->info.max_bytes;
    size_t steps = len / IMAGE_STEP + (len % IMAGE_STEP != 0);
    return (steps > 0 ? steps : 1) * IMAGE_STEP;
}

vf_field_set vf_field_set_card_print(void)
{
    vf_field_set set = 0;

    for (unsigned f = 1; f < VF_FIELD_COUNT; f++)
        if (table[f].info.card_print)
            set |= VF_FIELD_BIT(f);
    return set;
}

vf_field_set vf_field_set_class(enum vf_class class)
{
    vf_field_set set = 0;

    for (unsigned f = 1; f < VF_FIELD_COUNT; f++)
        if (table[f].info.class == class)
            set |= VF_FIELD_BIT(f);
    return set;
}

static enum vf_err unknown_word(const char *word, size_t len, struct vf_why *why)
{
    if (len == 0)
        return vf_fail(why, VF_E_INPUT, "the list of fields has an empty place");
    if (len > 40 || !vf_text_printable(word, len))
        return vf_fail(why, VF_E_INPUT, "the list of fields has a word that is no field");
    return vf_fail(why, VF_E_INPUT, "no field is called \"%.*s\"", (int)len, word);
}

enum vf_err vf_field_set_parse(const char *list, vf_field_set *ret, struct vf_why *why)
{
    vf_field_set set = 0;

    for (const char *word = list;;) {
        size_t all = strcspn(word, ",");
        size_t lead = strspn(word, " ");
        size_t len = all;
        if (lead > all)
            lead = all;
        while (len > lead && word[len - 1] == ' ')
            len--;
        enum vf_field f = vf_field_by_name(word + lead, len - lead);
        if (f == VF_FIELD_NONE)
            return unknown_word(word + lead, len - lead, why);
        set |= VF_FIELD_BIT(f);
        if (word[all] == '\0')
            break;
        word += all + 1;
    }
    *ret = set;
    return VF_OK;
}

void vf_field_set_put(vf_field_set set, const char *sep, struct vf_buf *out)
{
    const char *before = "";

    for (unsigned f = 1; f < VF_FIELD_COUNT; f++) {
        if ((set & VF_FIELD_BIT(f)) == 0)
            continue;
        vf_buf_text(out, before);
        vf_buf_text(out, table[f].info.name);
        before = sep;
    }
}

/* "" stands for the first choice. */
static bool choice_parse(enum vf_field field, const char *s, size_t len, unsigned *ret)
{
    const char *const *choices = table[field].choices;

    for (unsigned i = 0; choices[i] != NULL; i++) {
        if (len == 0 || (strlen(choices[i]) == len && memcmp(choices[i], s, len) == 0)) {
            *ret = i;
            return true;
        }
    }
    return false;
}

bool vf_protect_parse(const char *s, size_t len, enum vf_protect *ret)
{
    unsigned i = 0;

    if (!choice_parse(VF_FIELD_PROTECT, s, len, &i))
        return false;
    *ret = (enum vf_protect)i;
    return true;
}

bool vf_status_parse(const char *s, size_t len, enum vf_status *ret)
{
    unsigned i = 0;

    if (!choice_parse(VF_FIELD_STATUS, s, len, &i))
        return false;
    *ret = (enum vf_status)i;
    return true;
}
