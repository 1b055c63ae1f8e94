/* SPDX-License-Identifier: MIT */
/* The lists that a person writes: column maps, ranks, warrant patterns, date formats. */
#include "vaultfs/record.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void said(enum vf_err err, const struct vf_why *why)
{
    if (err != VF_OK && (why->err != err || why->text[0] == '\0' || !vf_text_printable(why->text, strlen(why->text))))
        abort();
}

static void dates(const char *text)
{
    struct vf_date_format f;
    struct vf_why why = {0};
    char iso[VF_DATE_LEN + 1];
    size_t first = strcspn(text, "=");

    /* The first word is the format, the rest a date. */
    char *format = strndup(text, first);
    if (format == NULL)
        abort();
    enum vf_err err = vf_date_format_parse(format, &f, &why);
    free(format);
    said(err, &why);
    if (err != VF_OK || text[first] == '\0')
        return;
    err = vf_date_convert(&f, text + first + 1, strlen(text + first + 1), iso, &why);
    said(err, &why);
    if (err == VF_OK && strlen(iso) != 0 && strlen(iso) != VF_DATE_LEN)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const char *s = (const char *)data;
    struct vf_csv_map *map = NULL;
    struct vf_rules rules = {0};
    struct vf_why why = {0};
    char *text = strndup(s, len);

    if (text == NULL)
        abort();
    said(vf_csv_map_parse(s, len, "map", &map, &why), &why);
    vf_csv_map_free(map);
    enum vf_err err = vf_rules_init(&rules, len > 0 ? s : "", len, NULL, &why);
    said(err, &why);
    if (err == VF_OK)
        vf_rules_done(&rules);
    err = vf_rules_init(&rules, NULL, 0, text, &why);
    said(err, &why);
    if (err == VF_OK) {
        VF_BUF out;
        vf_buf_init(&out, 100);
        err = vf_field_check(&rules, VF_FIELD_WARRANT_NO, "000184", 6, &out, &why);
        said(err, &why);
        vf_rules_done(&rules);
    }
    dates(text);
    free(text);
    return 0;
}
