/* SPDX-License-Identifier: MIT */
/* CSV in, by libcsv in strict mode; and the quoting of a cell on its way out. */
#include "csv_map.h"

#include <csv.h>
#include <stdlib.h>
#include <string.h>

#define CELLS_MAX  1024u
#define CELL_BYTES 65536u
#define CHUNK      32768u /* libcsv cannot be stopped from a callback: an error is noticed after at most this much */
#define NAME_SHOWN 60

struct run {
    struct csv_parser parser;
    const char *what;
    const struct vf_csv_map *map;
    const struct vf_csv_sink *sink;
    struct vf_why *why;
    enum vf_err err;
    uint32_t row;   /* of the row that is being read */
    uint32_t nrows; /* data rows */
    bool had_header;
    int ended_by;       /* the character that ended the row before, while nothing has come after it */
    struct vf_buf text; /* the cells of this row, a NUL behind each */
    size_t ncells;
    size_t start[CELLS_MAX];
    struct vf_csv_cell cells[CELLS_MAX];
    struct vf_buf names; /* the header's cells, likewise */
    size_t ncolumns;
    const char *columns[CELLS_MAX];
    enum vf_field fields[CELLS_MAX];
};

size_t vf_csv_quoted_len(const char *value, size_t len)
{
    size_t n = len + 2;

    for (size_t i = 0; i < len; i++)
        n += value[i] == '"';
    return n;
}

void vf_csv_quote(struct vf_buf *out, const char *value, size_t len)
{
    size_t done = 0;

    vf_buf_u8(out, '"');
    for (size_t i = 0; i < len; i++) {
        if (value[i] != '"')
            continue;
        vf_buf_put(out, value + done, i - done);
        vf_buf_put(out, "\"\"", 2);
        done = i + 1;
    }
    if (len > done)
        vf_buf_put(out, value + done, len - done);
    vf_buf_u8(out, '"');
}

/* The length of that of these which stands at p; 0: none. */
static size_t one_of(const char *p, size_t len, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        size_t want = strlen(list[i]);
        if (want <= len && memcmp(p, list[i], want) == 0)
            return want;
    }
    return 0;
}

bool vf_csv_runs(const char *value, size_t len)
{
    /* U+00A0, U+00AD, U+1680, U+202F, U+205F, U+2060, U+3000, U+FEFF; U+2000 to U+200F are taken below. */
    static const char *const blanks[] = {" ",
                                         "\xc2\xa0",
                                         "\xc2\xad",
                                         "\xe1\x9a\x80",
                                         "\xe2\x80\xaf",
                                         "\xe2\x81\x9f",
                                         "\xe2\x81\xa0",
                                         "\xe3\x80\x80",
                                         "\xef\xbb\xbf"};
    /* Then U+FF1D, U+FF0B, U+FF0D, U+FF20 (full width), U+FE66, U+FE62, U+FE63, U+FE6B (small), U+2212 (minus). */
    static const char *const formulas[] = {"=",
                                           "+",
                                           "-",
                                           "@",
                                           "\t",
                                           "\r",
                                           "\n",
                                           "\xef\xbc\x9d",
                                           "\xef\xbc\x8b",
                                           "\xef\xbc\x8d",
                                           "\xef\xbc\xa0",
                                           "\xef\xb9\xa6",
                                           "\xef\xb9\xa2",
                                           "\xef\xb9\xa3",
                                           "\xef\xb9\xab",
                                           "\xe2\x88\x92"};
    size_t at = 0;

    for (;;) {
        size_t n = one_of(value + at, len - at, blanks, sizeof(blanks) / sizeof(blanks[0]));
        if (n == 0 && len - at >= 3 && memcmp(value + at, "\xe2\x80", 2) == 0 && (uint8_t)value[at + 2] <= 0x8f)
            n = 3;
        if (n == 0)
            break;
        at += n;
    }
    return one_of(value + at, len - at, formulas, sizeof(formulas) / sizeof(formulas[0])) > 0;
}

/* ---------------------------------------------------------------------------------------------------------------- header */

static enum vf_err unknown_column(const struct run *r, size_t i)
{
    const char *name = r->columns[i];
    size_t len = strlen(name);

    if (len == 0)
        return vf_fail(r->why, VF_E_INPUT,
                       "%s: %u:%zu: a column without a name; a line \" = ignore\" in the map passes over it", r->what,
                       r->row, i + 1);
    if (len > NAME_SHOWN || !vf_text_printable(name, len))
        return vf_fail(r->why, VF_E_INPUT, "%s: %u:%zu: a column's name that is too long or not printable UTF-8", r->what,
                       r->row, i + 1);
    return vf_fail(r->why, VF_E_INPUT, "%s: %u:%zu: no field is called \"%s\"; name its field, or ignore, in a map (--map)",
                   r->what, r->row, i + 1, name);
}

/* By the map, else by its own name. */
static bool known_column(const struct run *r, size_t i, enum vf_field *ret)
{
    const char *name = r->columns[i];
    size_t len = strlen(name);

    if (vf_csv_map_find(r->map, name, len, ret))
        return true;
    *ret = vf_field_by_name(name, len);
    return *ret != VF_FIELD_NONE;
}

/* A row that names nothing we know may be no header but somebody's record: then none of its cells may be shown. */
static enum vf_err is_header(const struct run *r)
{
    enum vf_field field = VF_FIELD_NONE;

    for (size_t i = 0; i < r->ncolumns; i++)
        if (known_column(r, i, &field))
            return VF_OK;
    if (r->ncolumns == 1 && strpbrk(r->columns[0], ";\t") != NULL)
        return vf_fail(r->why, VF_E_INPUT,
                       "%s: %u:1: the cells are not separated by commas: export it again as \"CSV UTF-8\"", r->what, r->row);
    return vf_fail(r->why, VF_E_INPUT,
                   "%s: %u:1: no column has the name of a field: if this row names the columns, name their fields in a map "
                   "(--map); if it does not, put one above it that does",
                   r->what, r->row);
}

static enum vf_err resolve(struct run *r, size_t i)
{
    enum vf_field field = VF_FIELD_NONE;

    if (!known_column(r, i, &field))
        return unknown_column(r, i);
    if (vf_field_is_image(field))
        return vf_fail(r->why, VF_E_INPUT, "%s: %u:%zu: %s comes from files, not from a column", r->what, r->row, i + 1,
                       vf_field_info(field)->name);
    for (size_t k = 0; field != VF_FIELD_NONE && k < i; k++)
        if (r->fields[k] == field)
            return vf_fail(r->why, VF_E_INPUT, "%s: %u:%zu: %s is column %zu already", r->what, r->row, i + 1,
                           vf_field_info(field)->name, k + 1);
    r->fields[i] = field;
    return VF_OK;
}

static enum vf_err take_header(struct run *r)
{
    vf_buf_put(&r->names, r->text.data, r->text.len);
    VF_TRY(vf_buf_check(&r->names, r->what, r->why));
    for (size_t i = 0; i < r->ncells; i++)
        r->columns[i] = (const char *)r->names.data + r->start[i];
    r->ncolumns = r->ncells;
    r->had_header = true;
    VF_TRY(is_header(r));
    for (size_t i = 0; i < r->ncolumns; i++)
        VF_TRY(resolve(r, i));
    const struct vf_csv_header header = {.ncolumns = r->ncolumns, .columns = r->columns, .fields = r->fields};
    return r->sink->on_header(r->sink->user, &header, r->why);
}

/* ------------------------------------------------------------------------------------------------------------------ rows */

static enum vf_err take_row(struct run *r)
{
    bool blank = true;

    /* The cells' text has stopped moving. */
    for (size_t i = 0; i < r->ncells; i++) {
        size_t end = i + 1 < r->ncells ? r->start[i + 1] : r->text.len;
        r->cells[i] = (struct vf_csv_cell){.text = (const char *)r->text.data + r->start[i], .len = end - r->start[i] - 1};
        blank = blank && r->cells[i].len == 0;
    }
    /* Spreadsheets write rows of commas below a table. */
    if (blank)
        return VF_OK;
    if (!r->had_header)
        return take_header(r);
    if (++r->nrows > VF_CSV_ROWS_MAX)
        return vf_fail(r->why, VF_E_LIMIT, "%s: over %u rows: import it in parts", r->what, VF_CSV_ROWS_MAX);
    const struct vf_csv_row row = {.row = r->row, .ncells = r->ncells, .cells = r->cells};
    return r->sink->on_row(r->sink->user, &row, r->why);
}

static void on_cell(void *text, size_t len, void *user)
{
    struct run *r = user;

    r->ended_by = 0;
    if (r->err != VF_OK)
        return;
    if (r->ncells == CELLS_MAX) {
        r->err = vf_fail(r->why, VF_E_INPUT, "%s: %u:%u: over %u cells in a row", r->what, r->row, CELLS_MAX + 1, CELLS_MAX);
        return;
    }
    if (len > CELL_BYTES) {
        r->err = vf_fail(r->why, VF_E_INPUT, "%s: %u:%zu: a cell of over %u bytes: is a closing quote missing?", r->what,
                         r->row, r->ncells + 1, CELL_BYTES);
        return;
    }
    r->start[r->ncells++] = r->text.len;
    vf_buf_put(&r->text, text, len);
    vf_buf_u8(&r->text, '\0');
    r->err = vf_buf_check(&r->text, r->what, r->why);
}

/*
 * With CSV_REPALL_NL libcsv reports every end of line, blank ones too, and CR LF as two: so rows are counted as a
 * spreadsheet does.
 */
static void on_line_end(int c, void *user)
{
    struct run *r = user;

    if (r->err != VF_OK)
        return;
    if (r->ncells == 0) {
        bool second_half = c == CSV_LF && r->ended_by == CSV_CR;
        r->row += second_half ? 0 : 1;
        r->ended_by = second_half ? 0 : c;
        return;
    }
    r->err = take_row(r);
    r->ncells = 0;
    r->text.len = 0;
    r->row++;
    r->ended_by = c;
}

/* ----------------------------------------------------------------------------------------------------------------- parse */

static enum vf_err parser_failed(struct run *r)
{
    if (r->err != VF_OK)
        return r->err;
    int code = csv_error(&r->parser);
    if (code != CSV_EPARSE)
        return vf_fail(r->why, VF_E_NOMEM, "%s: out of memory", r->what);
    return vf_fail(r->why, VF_E_INPUT,
                   "%s: %u:%zu: a quote where none may be, or one missing: nothing behind it can be told apart; quotes in a "
                   "cell are doubled",
                   r->what, r->row, r->ncells + 1);
}

static enum vf_err parse_all(struct run *r, const char *data, size_t len)
{
    while (len > 0) {
        size_t n = len < CHUNK ? len : CHUNK;
        if (csv_parse(&r->parser, data, n, on_cell, on_line_end, r) != n || r->err != VF_OK)
            return parser_failed(r);
        data += n;
        len -= n;
    }
    if (csv_fini(&r->parser, on_cell, on_line_end, r) != 0 || r->err != VF_OK)
        return parser_failed(r);
    if (!r->had_header)
        return vf_fail(r->why, VF_E_INPUT, "%s: no header line", r->what);
    return VF_OK;
}

static enum vf_err check_bytes(const char *data, size_t len, const char *what, struct vf_why *why)
{
    if (len > VF_CSV_BYTES_MAX)
        return vf_fail(why, VF_E_LIMIT, "%s: over %u MiB: import it in parts", what, VF_CSV_BYTES_MAX >> 20);
    if (len >= 2 && (memcmp(data, "\xff\xfe", 2) == 0 || memcmp(data, "\xfe\xff", 2) == 0))
        return vf_fail(why, VF_E_INPUT, "%s: is UTF-16: export it again as \"CSV UTF-8\"", what);
    if (len >= 4 && (memcmp(data, "PK\003\004", 4) == 0 || memcmp(data, "\xd0\xcf\x11\xe0", 4) == 0))
        return vf_fail(why, VF_E_INPUT, "%s: is a workbook: save its sheet as \"CSV UTF-8\"", what);
    const char *nul = len > 0 ? memchr(data, '\0', len) : NULL;
    if (nul != NULL)
        return vf_fail(why, VF_E_INPUT, "%s: a NUL byte at %zu: not a text file", what, (size_t)(nul - data));
    return VF_OK;
}

/* A space is one thing, a tab another: it would vanish silently at the ends of a cell. */
static int is_space(unsigned char c)
{
    return c == CSV_SPACE;
}

static void wipe_parser(struct csv_parser *p)
{
    if (p->entry_buf != NULL)
        explicit_bzero(p->entry_buf, p->entry_size);
    csv_free(p);
}

enum vf_err vf_csv_parse(const char *data, size_t len, const char *what, const struct vf_csv_map *map,
                         const struct vf_csv_sink *sink, struct vf_why *why)
{
    VF_TRY(check_bytes(data, len, what, why));
    if (len >= 3 && memcmp(data, "\xef\xbb\xbf", 3) == 0) {
        data += 3;
        len -= 3;
    }
    struct run *r = calloc(1, sizeof(*r));
    if (r == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", what);
    r->what = what;
    r->map = map;
    r->sink = sink;
    r->why = why;
    r->row = 1;
    vf_buf_init(&r->text, VF_CSV_BYTES_MAX);
    vf_buf_init(&r->names, VF_CSV_BYTES_MAX);
    enum vf_err err = VF_E_NOMEM;
    if (csv_init(&r->parser, CSV_STRICT | CSV_STRICT_FINI | CSV_REPALL_NL) == 0) {
        csv_set_blk_size(&r->parser, 4096);
        csv_set_space_func(&r->parser, is_space);
        err = parse_all(r, data, len);
        wipe_parser(&r->parser);
    } else {
        (void)vf_fail(why, err, "%s: out of memory", what);
    }
    vf_buf_done(&r->text);
    vf_buf_done(&r->names);
    free(r);
    return err;
}
