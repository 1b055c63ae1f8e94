/* SPDX-License-Identifier: MIT */
/* CSV: what was read and written again is read the same; a value in normal form is in normal form. */
#include "vaultfs/record.h"

#include <stdlib.h>
#include <string.h>

#define OUT_MAX ((size_t)8 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check(bool ok)
{
    if (!ok)
        abort();
}

struct reading {
    struct vf_buf again; /* the same as CSV */
    const enum vf_field *fields;
    size_t nfields;
    bool check_values;
};

static void put_cell(struct reading *r, size_t i, const char *text, size_t len)
{
    size_t before = r->again.len;

    if (i > 0)
        vf_buf_u8(&r->again, ',');
    before = r->again.len;
    vf_csv_quote(&r->again, text, len);
    check(!vf_buf_ok(&r->again) || r->again.len - before == vf_csv_quoted_len(text, len));
}

static enum vf_err on_header(void *user, const struct vf_csv_header *h, struct vf_why *why)
{
    struct reading *r = user;

    (void)why;
    r->fields = h->fields;
    r->nfields = h->ncolumns;
    for (size_t i = 0; i < h->ncolumns; i++)
        put_cell(r, i, h->columns[i], strlen(h->columns[i]));
    vf_buf_text(&r->again, "\r\n");
    return VF_OK;
}

static void check_value(enum vf_field field, const struct vf_csv_cell *cell)
{
    VF_BUF once;
    VF_BUF twice;

    vf_buf_init(&once, 16384);
    vf_buf_init(&twice, 16384);
    if (vf_field_check(NULL, field, cell->text, cell->len, &once, NULL) != VF_OK)
        return;
    check(once.len <= vf_field_info(field)->max_bytes && vf_text_printable((const char *)once.data, once.len));
    check(vf_field_check(NULL, field, (const char *)once.data, once.len, &twice, NULL) == VF_OK);
    check(once.len == twice.len && (once.len == 0 || memcmp(once.data, twice.data, once.len) == 0));
}

static enum vf_err on_row(void *user, const struct vf_csv_row *row, struct vf_why *why)
{
    struct reading *r = user;

    (void)why;
    for (size_t i = 0; i < row->ncells; i++) {
        put_cell(r, i, row->cells[i].text, row->cells[i].len);
        if (r->check_values && i < r->nfields && r->fields[i] != VF_FIELD_NONE)
            check_value(r->fields[i], &row->cells[i]);
    }
    vf_buf_text(&r->again, "\r\n");
    return VF_OK;
}

static enum vf_err parse(const char *data, size_t len, const struct vf_csv_map *map, bool check_values, struct vf_buf *again)
{
    struct reading r = {.check_values = check_values};
    struct vf_why why = {0};
    const struct vf_csv_sink sink = {.user = &r, .on_header = on_header, .on_row = on_row};

    vf_buf_init(&r.again, OUT_MAX);
    enum vf_err err = vf_csv_parse(data, len, "fuzz.csv", map, &sink, &why);
    check(err == VF_OK || (why.err == err && vf_text_printable(why.text, strlen(why.text)) && why.text[0] != '\0'));
    *again = r.again;
    return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const char map_text[] = "Warrant # = warrant_no\nRank = rank\nName = name_on_card\nDept = ignore\n = ignore\n";
    struct vf_csv_map *map = NULL;
    VF_BUF once = {0};
    VF_BUF twice = {0};

    check(vf_csv_map_parse(map_text, sizeof(map_text) - 1, "map", &map, NULL) == VF_OK);
    if (parse((const char *)data, len, map, true, &once) == VF_OK && vf_buf_ok(&once)) {
        check(parse((const char *)once.data, once.len, map, false, &twice) == VF_OK);
        check(once.len == twice.len && memcmp(once.data, twice.data, once.len) == 0);
    }
    vf_csv_map_free(map);
    return 0;
}
