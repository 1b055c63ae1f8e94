/* SPDX-License-Identifier: MIT */
/*
 * badfile: CSV files that are wrong as a whole, and unusual ones that are right. Where a fault hides what follows it (a quote out of
 * place, NUL, another encoding) a reader may refuse the file or the row: "fail" only says that the import must not end with success.
 */
#include "synth.h"

#include <string.h>

enum file_kind {
    PLAIN,
    BOM,
    LF,
    NO_FINAL_NEWLINE,
    BLANK_LINES,
    ALL_QUOTED,
    HEADER_ONLY,
    UNKNOWN_COLUMN,
    DOUBLED_COLUMN,
    NO_WARRANT_COLUMN,
    NO_HEADER,
    EMPTY_FILE,
    UNTERMINATED_QUOTE,
    QUOTE_INSIDE_CELL,
    TEXT_AFTER_QUOTE,
    NUL_BYTE,
    UTF_16,
    FILE_KINDS
};

static const char *const KIND[FILE_KINDS][2] = {
    [PLAIN] = {"plain", "accept"},
    [BOM] = {"bom", "accept"},
    [LF] = {"lf", "accept"},
    [NO_FINAL_NEWLINE] = {"no-final-newline", "accept"},
    [BLANK_LINES] = {"blank-lines", "accept"},
    [ALL_QUOTED] = {"all-quoted", "accept"},
    [HEADER_ONLY] = {"header-only", "accept"},
    [UNKNOWN_COLUMN] = {"unknown-column", "fail"},
    [DOUBLED_COLUMN] = {"doubled-column", "fail"},
    [NO_WARRANT_COLUMN] = {"no-warrant-column", "fail"},
    [NO_HEADER] = {"no-header", "fail"},
    [EMPTY_FILE] = {"empty", "fail"},
    [UNTERMINATED_QUOTE] = {"unterminated-quote", "fail"},
    [QUOTE_INSIDE_CELL] = {"quote-inside-cell", "fail"},
    [TEXT_AFTER_QUOTE] = {"text-after-quote", "fail"},
    [NUL_BYTE] = {"nul-byte", "fail"},
    [UTF_16] = {"utf-16", "fail"},
};
#define ROWS 3

static void replace(struct bytes *b, const char *from, const char *to)
{
    struct bytes out = {0};
    size_t from_len = strlen(from);
    for (size_t at = 0; at < b->len;) {
        if (b->len - at >= from_len && memcmp(b->data + at, from, from_len) == 0) {
            bytes_puts(&out, to);
            at += from_len;
        } else {
            bytes_put(&out, b->data + at++, 1);
        }
    }
    bytes_done(b);
    *b = out;
}

static void utf16(struct bytes *b)
{
    struct bytes out = {0};
    bytes_put(&out, "\xff\xfe", 2);
    for (size_t i = 0; i < b->len; i++)
        if (b->data[i] < 0x80)
            bytes_put(&out, (uint8_t[2]){b->data[i], 0}, 2);
    bytes_done(b);
    *b = out;
}

/* Whole columns are left out, so a small table by hand. */
static void small_table(struct bytes *head, struct bytes *rows, const char *line_1, const char *line_2)
{
    head->len = rows->len = 0;
    bytes_puts(head, line_1);
    for (int i = 0; i < ROWS; i++)
        bytes_printf(rows, "%s%d\"\r\n", line_2, i);
}

static void spoil_parts(enum file_kind kind, struct bytes *head, struct bytes *rows)
{
    if (kind == HEADER_ONLY || kind == EMPTY_FILE)
        rows->len = 0;
    if (kind == NO_HEADER || kind == EMPTY_FILE)
        head->len = 0;
    if (kind == UNKNOWN_COLUMN)
        replace(head, "Cost Centre", "Shoe Size");
    if (kind == DOUBLED_COLUMN)
        replace(head, "Cost Centre", "Warrant");
    if (kind == NO_WARRANT_COLUMN)
        small_table(head, rows, "Employee Surname,Rank Desc,OCU\r\n", "Smith,Constable,\"BCU-0");
    if (kind == ALL_QUOTED)
        small_table(head, rows, "\"Employee Surname\",\"Rank Desc\",\"Warrant\"\r\n", "\"Smith\",\"Constable\",\"000000000");
    if (kind == BLANK_LINES) {
        replace(head, "\r\n", "\r\n\r\n");
        bytes_puts(rows, "\r\n\r\n");
    }
    if (kind == UNTERMINATED_QUOTE)
        bytes_puts(rows, "\"x,y\r\n");
    if (kind == QUOTE_INSIDE_CELL)
        bytes_puts(rows, "a\"b,c\r\n");
    if (kind == TEXT_AFTER_QUOTE)
        bytes_puts(rows, "\"a\"b,c\r\n");
    if (kind == NUL_BYTE)
        ((uint8_t *)memmem(rows->data, rows->len, "STANDARD", 8))[3] = 0;
}

static void make(const struct options *opt, enum file_kind kind, uint64_t index, struct bytes *out)
{
    struct bytes head = {0}, rows = {0};
    struct person p;
    synth_csv_header(&head);
    for (uint64_t i = 0; i < ROWS; i++) {
        bad_person(opt, index + i, &p);
        synth_csv_row(&rows, opt->seed, index + i, &p);
    }
    spoil_parts(kind, &head, &rows);
    out->len = 0;
    bytes_puts(out, kind == BOM ? "\xef\xbb\xbf" : "");
    bytes_put(out, head.data, head.len);
    bytes_put(out, rows.data, rows.len);
    if (kind == LF)
        replace(out, "\r\n", "\n");
    if (kind == NO_FINAL_NEWLINE)
        out->len -= 2;
    if (kind == UTF_16)
        utf16(out);
    bytes_done(&head);
    bytes_done(&rows);
}

void bad_files(const struct options *opt, const char *dir, uint64_t index)
{
    struct sink expected;
    struct bytes file = {0};
    synth_mkdir(dir, "files");
    sink_open(&expected, dir, "files.expected.jsonl");
    for (unsigned k = 0; k < FILE_KINDS; k++) {
        char name[64];
        make(opt, (enum file_kind)k, index + (uint64_t)k * ROWS, &file);
        snprintf(name, sizeof name, "files/%s.csv", KIND[k][0]);
        synth_write(dir, name, file.data, file.len);
        bytes_printf(&expected.line, "{\"file\": \"%s\", \"expect\": \"%s\"", name, KIND[k][1]);
        if (k <= HEADER_ONLY)
            bytes_printf(&expected.line, ", \"rows\": %d", k == HEADER_ONLY ? 0 : ROWS);
        bytes_puts(&expected.line, "}\n");
        sink_flush(&expected);
    }
    sink_close(&expected);
    bytes_done(&file);
}
