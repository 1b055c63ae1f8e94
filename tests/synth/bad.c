/* SPDX-License-Identifier: MIT */
/* bad: a CSV file with every kind of bad row among good ones. */
#include "synth.h"

#include <string.h>

/* A cell of one row replaced. `served` is what an accepted row must serve for that field (NULL: the value itself). */
struct bad_cell {
    const char *kind;
    enum field field;
    const char *value;
    const char *expect; /* "accept", "reject" */
    const char *served;
};

#define FORTY "Ángharad-Ffion Wrth-y-Môr Llanfairpwllgw"

static const struct bad_cell CELL[] = {
    {"rank_unknown", F_RANK, "Grand Vizier", "reject", NULL},
    {"warrant_too_long", F_WARRANT_NO, "0000000012345", "reject", NULL},
    {"warrant_empty", F_WARRANT_NO, "", "reject", NULL},
    {"warrant_spreadsheet_exponent", F_WARRANT_NO, "1.84E+05", "reject", NULL},
    {"warrant_zeros_lost", F_WARRANT_NO, "1842133", "reject", NULL},
    {"utf8_invalid", F_SURNAME, "Br\xffwn", "reject", NULL},
    {"utf8_latin1", F_SURNAME, "M\xfcller", "reject", NULL},
    {"utf8_overlong", F_SURNAME, "Sm\xc1\xa9th", "reject", NULL},
    {"utf8_surrogate", F_SURNAME, "Sm\xed\xa0\x80th", "reject", NULL},
    {"utf8_cut", F_SURNAME, "Zo\xc3", "reject", NULL},
    {"control_bell", F_FORENAMES, "An\x07na", "reject", NULL},
    {"control_newline", F_STATION, "Dock\r\nRoad", "reject", NULL},
    {"control_tab", F_NAME_ON_CARD, "A.\tSmith", "reject", NULL},
    {"control_delete", F_FORENAMES, "Ann\x7f", "reject", NULL},
    {"control_c1", F_FORENAMES, "An\xc2\x85na", "reject", NULL},
    {"bidi_override", F_NAME_ON_CARD,
     "Ann \xe2\x80\xae"
     "htimS",
     "reject", NULL},
    {"bidi_isolate", F_SURNAME, "\xe2\x81\xa7Smith\xe2\x81\xa9", "reject", NULL},
    {"bidi_mark", F_SURNAME, "Smith\xe2\x80\x8f", "reject", NULL},
    {"formula_equals", F_NAME_ON_CARD, "=cmd|' /C calc'!A0", "reject", NULL},
    {"formula_plus", F_ENDORSEMENT, "+1+1", "reject", NULL},
    {"formula_minus", F_NAME_ON_CARD, "-2+3", "reject", NULL},
    {"formula_at", F_ENDORSEMENT, "@SUM(1,2)", "reject", NULL},
    {"formula_in_class_c", F_NOTIFY_TO, "+44 7700 900123", "accept", NULL},
    {"name_41_characters", F_NAME_ON_CARD, FORTY "x", "reject", NULL},
    {"name_40_characters", F_NAME_ON_CARD, FORTY, "accept", NULL},
    {"nfd_name", F_NAME_ON_CARD, "Zoe\xcc\x88 Sia\xcc\x82n", "accept", "Zoë Siân"},
    {"nfd_surname", F_SURNAME, "Nguye\xcc\x82\xcc\x83n", "accept", "Nguyễn"},
    {"outer_spaces", F_SURNAME, "  Fairweather ", "accept", "Fairweather"},
    {"issue_no_zero", F_ISSUE_NO, "0", "reject", NULL},
    {"issue_no_word", F_ISSUE_NO, "two", "reject", NULL},
    {"issue_no_fraction", F_ISSUE_NO, "1.5", "reject", NULL},
    {"issue_no_huge", F_ISSUE_NO, "99999999999999999999", "reject", NULL},
    {"date_british", F_VALID_FROM, "14/03/2026", "reject", NULL},
    {"date_impossible", F_VALID_TO, "2026-02-30", "reject", NULL},
    {"date_month_13", F_VETTING_EXPIRY, "2026-13-01", "reject", NULL},
    {"valid_to_before_valid_from", F_VALID_TO, "1999-12-31", "reject", NULL},
    {"date_serial_number", F_VALID_TO, "46095", "reject", NULL},
    {"chip_uid_3_bytes", F_CHIP_UID, "04A1B2", "reject", NULL},
    {"chip_uid_odd", F_CHIP_UID, "04A1B2C", "reject", NULL},
    {"chip_uid_not_hex", F_CHIP_UID, "04A1B2ZZ", "reject", NULL},
    {"card_type_unknown", F_CARD_TYPE, "OYSTER", "reject", NULL},
    {"person_type_unknown", F_PERSON_TYPE, "HORSE", "reject", NULL},
    {"vetting_unknown", F_VETTING, "TOPSECRET", "reject", NULL},
    {"protect_unknown", F_PROTECT, "MAYBE", "reject", NULL},
    {"status_unknown", F_STATUS, "GARDENING", "reject", NULL},
};
#define CELLS (sizeof CELL / sizeof *CELL)

void bad_person(const struct options *opt, uint64_t index, struct person *p)
{
    struct options plain = *opt;
    plain.guarded = plain.incomplete = plain.signatures = plain.large = 0;
    synth_person(&plain, index, p);
}

struct maker {
    const struct options *opt;
    const char *dir;
    struct sink csv, expected;
    uint64_t index; /* of the next person: beyond the force's own */
    uint32_t row, line;
    uint32_t lines; /* of the row being written */
};

static void someone(struct maker *mk, struct person *p)
{
    bad_person(mk->opt, mk->index++, p);
}

static const char *expectation(struct maker *mk, const char *kind, const char *expect)
{
    bytes_printf(&mk->expected.line, "{\"row\": %u, \"line\": %u, \"kind\": \"%s\", \"expect\": \"%s\"", mk->row, mk->line,
                 kind, expect);
    return expect;
}

static void finish(struct maker *mk, const struct person *served)
{
    if (served) {
        bytes_puts(&mk->expected.line, ", ");
        synth_person_json(&mk->expected.line, served);
    }
    bytes_puts(&mk->expected.line, "}\n");
    sink_flush(&mk->expected);
    sink_flush(&mk->csv);
    mk->row++;
    mk->line += mk->lines;
}

static void photo_words(struct maker *mk, const char *expect, const char *fit)
{
    bytes_printf(&mk->expected.line, ", \"photo_expect\": \"%s\", \"photo_expect_fit\": \"%s\"", expect, fit);
}

static void row(struct maker *mk, const struct person *p)
{
    mk->lines = synth_csv_row(&mk->csv.line, mk->opt->seed, mk->index, p);
}

static void warrant_words(struct maker *mk, const struct person *p)
{
    bytes_puts(&mk->expected.line, ", \"warrant_no\": ");
    bytes_json(&mk->expected.line, p->v[F_WARRANT_NO]);
}

static void good_row(struct maker *mk, const char *kind, const char *expect)
{
    struct person p;
    someone(mk, &p);
    row(mk, &p);
    expectation(mk, kind, expect);
    warrant_words(mk, &p);
    if (mk->opt->photos != PHOTOS_NONE) {
        bad_photo_good(mk->opt, mk->index - 1, mk->dir, p.v[F_WARRANT_NO]);
        photo_words(mk, "accept", "accept");
    }
    finish(mk, strcmp(expect, "accept") == 0 ? &p : NULL);
}

static void cell_row(struct maker *mk, const struct bad_cell *c)
{
    struct person p;
    bool accepted = strcmp(c->expect, "accept") == 0;
    someone(mk, &p);
    if (mk->opt->photos != PHOTOS_NONE && c->field != F_WARRANT_NO)
        bad_photo_good(mk->opt, mk->index - 1, mk->dir, p.v[F_WARRANT_NO]);
    snprintf(p.v[c->field], FIELD_BYTES, "%s", c->value);
    row(mk, &p);
    if (strchr(c->value, '\r'))
        mk->lines++;
    expectation(mk, c->kind, c->expect);
    warrant_words(mk, &p);
    bytes_printf(&mk->expected.line, ", \"field\": \"%s\"", synth_field_name(c->field));
    if (mk->opt->photos != PHOTOS_NONE && accepted)
        photo_words(mk, "accept", "accept");
    if (c->served)
        snprintf(p.v[c->field], FIELD_BYTES, "%s", c->served);
    finish(mk, accepted ? &p : NULL);
}

/* A row whose number of cells is wrong, made by hand so that the cut falls on a cell's border. */
static void shape_row(struct maker *mk, const char *kind, size_t cells)
{
    mk->lines = 1;
    for (size_t i = 0; i < cells; i++)
        bytes_printf(&mk->csv.line, "%sx%zu", i ? "," : "", i);
    bytes_puts(&mk->csv.line, "\r\n");
    mk->index++;
    expectation(mk, kind, "reject");
    finish(mk, NULL);
}

/* Two rows with one warrant number: which of them is refused is the importer's choice, that not both go in is not. */
static void duplicate_rows(struct maker *mk, const char *kind, bool spaces)
{
    struct person first, second;
    someone(mk, &first);
    row(mk, &first);
    expectation(mk, "duplicate_first", "either");
    warrant_words(mk, &first);
    finish(mk, NULL);
    someone(mk, &second);
    snprintf(second.v[F_WARRANT_NO], FIELD_BYTES, spaces ? " %.12s " : "%.12s", first.v[F_WARRANT_NO]);
    row(mk, &second);
    expectation(mk, kind, "reject");
    warrant_words(mk, &first);
    bytes_puts(&mk->expected.line, ", \"field\": \"warrant_no\"");
    finish(mk, NULL);
    if (mk->opt->photos != PHOTOS_NONE)
        bad_photo_good(mk->opt, mk->index - 1, mk->dir, first.v[F_WARRANT_NO]);
}

static void photo_rows(struct maker *mk)
{
    size_t n;
    const struct bad_photo_case *cases = bad_photo_cases(&n);
    for (size_t i = 0; i < n; i++) {
        struct person p;
        bool orphan = strcmp(cases[i].expect, "orphan") == 0;
        /* Text without a photo is a good row; whether text with a refused photo goes in is the importer's choice. */
        bool text_in = strcmp(cases[i].expect, "refused") != 0;
        someone(mk, &p);
        bad_photo_make(mk->opt, i, mk->index - 1, mk->dir, p.v[F_WARRANT_NO]);
        if (orphan) { /* no row at all */
            bytes_printf(&mk->expected.line, "{\"row\": null, \"line\": null, \"kind\": \"%s\", \"expect\": \"none\"",
                         cases[i].kind);
            mk->lines = 0;
            mk->row--;
        } else {
            row(mk, &p);
            expectation(mk, cases[i].kind, text_in ? "accept" : "either");
        }
        warrant_words(mk, &p);
        photo_words(mk, cases[i].expect, cases[i].fit);
        finish(mk, orphan ? NULL : &p);
    }
}

void bad_make(const struct options *opt, const char *dir)
{
    struct maker mk = {.opt = opt, .dir = dir, .index = opt->records, .row = 2, .line = 2};
    if (opt->photos != PHOTOS_NONE)
        synth_mkdir(dir, "bad.photos");
    sink_open(&mk.csv, dir, "bad.csv");
    sink_open(&mk.expected, dir, "bad.expected.jsonl");
    synth_csv_header(&mk.csv.line);
    good_row(&mk, "good", "accept");
    for (size_t i = 0; i < CELLS; i++) {
        cell_row(&mk, &CELL[i]);
        if (i % 6 == 5)
            good_row(&mk, "good", "accept");
    }
    shape_row(&mk, "too_few_columns", synth_csv_columns() - 1);
    shape_row(&mk, "one_column", 1);
    shape_row(&mk, "too_many_columns", synth_csv_columns() + 1);
    duplicate_rows(&mk, "duplicate_warrant", false);
    duplicate_rows(&mk, "duplicate_warrant_spaces", true);
    if (opt->photos != PHOTOS_NONE)
        photo_rows(&mk);
    good_row(&mk, "good", "accept");
    sink_close(&mk.csv);
    sink_close(&mk.expected);
    bad_files(opt, dir, mk.index);
}
