/* SPDX-License-Identifier: MIT */
/* table: fields, classes and the columns of a HR system that carries them, among others nobody asked for. */
#include "synth.h"

#include <string.h>

static const struct {
    const char *name;
    char class;
} FIELD[FIELDS] = {
    [F_NAME_ON_CARD] = {"name_on_card", 'A'},
    [F_RANK] = {"rank", 'A'},
    [F_WARRANT_NO] = {"warrant_no", 'A'},
    [F_CARD_TYPE] = {"card_type", 'A'},
    [F_CARD_SERIAL] = {"card_serial", 'A'},
    [F_ISSUE_NO] = {"issue_no", 'A'},
    [F_VALID_FROM] = {"valid_from", 'A'},
    [F_VALID_TO] = {"valid_to", 'A'},
    [F_ENDORSEMENT] = {"endorsement", 'A'},
    [F_CHIP_TYPE] = {"chip_type", 'B'},
    [F_CHIP_UID] = {"chip_uid", 'B'},
    [F_PERSON_TYPE] = {"person_type", 'B'},
    [F_SURNAME] = {"surname", 'B'},
    [F_FORENAMES] = {"forenames", 'B'},
    [F_TITLE] = {"title", 'B'},
    [F_SHOULDER_NO] = {"shoulder_no", 'B'},
    [F_UNIT_CODE] = {"unit_code", 'B'},
    [F_STATION] = {"station", 'B'},
    [F_GRADE] = {"grade", 'B'},
    [F_PAY_NO] = {"pay_no", 'C'},
    [F_VETTING] = {"vetting", 'C'},
    [F_VETTING_EXPIRY] = {"vetting_expiry", 'C'},
    [F_PROTECT] = {"protect", 'C'},
    [F_NOTIFY_TO] = {"notify_to", 'C'},
    [F_STATUS] = {"status", 'C'},
    [F_SOURCE_SYSTEM] = {"source_system", 'C'},
    [F_SOURCE_UPDATED] = {"source_updated", 'C'},
};

/* In an order that is not the schema's. Columns without a field are mapped to `ignore`. */
#define NO_FIELD FIELDS
static const struct {
    const char *name;
    enum field field;
} COLUMN[] = {
    {"Payroll Ref", F_PAY_NO},
    {"Collar Number", F_SHOULDER_NO},
    {"Employee Surname", F_SURNAME},
    {"Forename(s)", F_FORENAMES},
    {"Salutation", F_TITLE},
    {"Known As / Card Name", F_NAME_ON_CARD},
    {"Rank Desc", F_RANK},
    {"Warrant", F_WARRANT_NO},
    {"Pic File", NO_FIELD},
    {"Worker Type", F_PERSON_TYPE},
    {"Cost Centre", NO_FIELD},
    {"OCU", F_UNIT_CODE},
    {"Base Location", F_STATION},
    {"Band", F_GRADE},
    {"Card Category", F_CARD_TYPE},
    {"Card Serial", F_CARD_SERIAL},
    {"Card Issue", F_ISSUE_NO},
    {"Card Start", F_VALID_FROM},
    {"Card Expiry", F_VALID_TO},
    {"Endorsement Text", F_ENDORSEMENT},
    {"Leave, Days \"Owed\"", NO_FIELD},
    {"Chip Technology", F_CHIP_TYPE},
    {"Chip UID (hex)", F_CHIP_UID},
    {"Vetting Lvl", F_VETTING},
    {"Vetting Review", F_VETTING_EXPIRY},
    {"Protective Flag", F_PROTECT},
    {"Breach Contact", F_NOTIFY_TO},
    {"Employment Status", F_STATUS},
    {"HR Remarks", NO_FIELD},
    {"Feeder System", F_SOURCE_SYSTEM},
    {"Feeder Updated", F_SOURCE_UPDATED},
};
#define COLUMNS (sizeof COLUMN / sizeof *COLUMN)

const char *synth_field_name(enum field field)
{
    return FIELD[field].name;
}

char synth_field_class(enum field field)
{
    return FIELD[field].class;
}

size_t synth_csv_columns(void)
{
    return COLUMNS;
}

/* RFC 4180; some cells that need no quotes have them. */
static void cell(struct bytes *out, const char *value, bool quote)
{
    size_t len = strlen(value);
    if (!quote && !strpbrk(value, ",\"\r\n") && !(len && (value[0] == ' ' || value[len - 1] == ' '))) {
        bytes_put(out, value, len);
        return;
    }
    bytes_puts(out, "\"");
    for (; *value; value++)
        bytes_put(out, *value == '"' ? "\"\"" : value, *value == '"' ? 2 : 1);
    bytes_puts(out, "\"");
}

void synth_csv_header(struct bytes *out)
{
    for (size_t i = 0; i < COLUMNS; i++) {
        bytes_puts(out, i ? "," : "");
        cell(out, COLUMN[i].name, false);
    }
    bytes_puts(out, "\r\n");
}

static void remark(struct bytes *out, struct rng *rng, uint32_t *lines)
{
    static const char *const REMARKS[] = {"moved from \"B\" relief, see file", "phone=ext 4471; desk, 2nd floor",
                                          "=HYPERLINK(\"x\")"};
    uint32_t which = rng_below(rng, 100);
    if (which < 3) {
        cell(out, REMARKS[which], false);
    } else if (which == 3) {
        cell(out, "return to work:\r\nphased, 4 weeks\r\n\r\nreviewed", true);
        *lines += 3;
    }
}

uint32_t synth_csv_row(struct bytes *out, uint64_t seed, uint64_t index, const struct person *p)
{
    struct rng rng;
    uint32_t lines = 1;
    rng_init(&rng, seed, STREAM_PERSON, index | (uint64_t)1 << 40);
    for (size_t i = 0; i < COLUMNS; i++) {
        bytes_puts(out, i ? "," : "");
        if (COLUMN[i].field != NO_FIELD)
            cell(out, p->v[COLUMN[i].field], rng_percent(&rng, 4));
        else if (COLUMN[i].name[0] == 'P')
            bytes_printf(out, "%s\\IMG_%04u.JPG", "\\\\hrfs01\\pics", rng_below(&rng, 10000));
        else if (COLUMN[i].name[0] == 'C')
            bytes_printf(out, "%05u", rng_below(&rng, 100000));
        else if (COLUMN[i].name[0] == 'L')
            bytes_printf(out, "%d.5", rng_range(&rng, -3, 40));
        else
            remark(out, &rng, &lines);
    }
    bytes_puts(out, "\r\n");
    return lines;
}

void synth_map(struct bytes *out)
{
    for (size_t i = 0; i < COLUMNS; i++)
        bytes_printf(out, "%s = %s\n", COLUMN[i].name, COLUMN[i].field == NO_FIELD ? "ignore" : FIELD[COLUMN[i].field].name);
}

void synth_columns_json(struct bytes *out)
{
    bytes_puts(out, "[");
    for (size_t i = 0; i < COLUMNS; i++) {
        bytes_puts(out, i ? ",\n    {\"column\": " : "\n    {\"column\": ");
        bytes_json(out, COLUMN[i].name);
        if (COLUMN[i].field == NO_FIELD)
            bytes_puts(out, ", \"field\": null}");
        else
            bytes_printf(out, ", \"field\": \"%s\", \"class\": \"%c\"}", FIELD[COLUMN[i].field].name,
                         FIELD[COLUMN[i].field].class);
    }
    bytes_puts(out, "\n  ]");
}

void synth_person_json(struct bytes *out, const struct person *p)
{
    for (char class = 'A'; class <= 'C'; class ++) {
        bytes_printf(out, "%s\"%c\": {", class == 'A' ? "" : ", ", class);
        bool first = true;
        for (enum field f = 0; f < FIELDS; f++) {
            if (FIELD[f].class != class)
                continue;
            bytes_printf(out, "%s\"%s\": ", first ? "" : ", ", FIELD[f].name);
            bytes_json(out, p->v[f]);
            first = false;
        }
        bytes_puts(out, "}");
    }
}
