/* SPDX-License-Identifier: MIT */
/* exposed.csv, read. It may have been through a spreadsheet, a mail and other hands: everything in it is checked. */
#include <vaultfs/report.h>

#include <stdlib.h>
#include <string.h>

#define COLUMNS  8
#define CELL_MAX 512

static const char *const columns[COLUMNS] = {"ref",   "part",   "tier",       "evidence",
                                             "grant", "fields", "first_read", "last_read"};

struct cell {
    const char *p;
    size_t len;
};
struct parse {
    const char *what;
    const char *p, *end;
    uint64_t line;
    struct vf_exposed *out;
    size_t room;
    struct vf_why *why;
};

static enum vf_err bad(const struct parse *p, unsigned column, const char *reason)
{
    return vf_fail(p->why, VF_E_INPUT, "%s: line %llu, column %s: %s; use the file as `audit exposure` wrote it", p->what,
                   (unsigned long long)p->line, columns[column], reason);
}

static bool is(const struct cell *c, const char *text)
{
    return c->len == strlen(text) && memcmp(c->p, text, c->len) == 0;
}

/* --------------------------------------------------------------------------------------------------------------------- cells */

/* One cell, in quotes or not; none of ours has a quote in it. Stands before the comma or the line's end then. */
static bool take_cell(struct parse *p, const char *eol, struct cell *ret)
{
    bool quoted = p->p < eol && *p->p == '"';
    const char *from = p->p + (quoted ? 1 : 0);
    const char *to = from;

    while (to < eol && *to != '"' && (quoted || *to != ','))
        to++;
    *ret = (struct cell){from, (size_t)(to - from)};
    if (to < eol && *to == '"') {
        if (!quoted)
            return false;
        to++;
    } else if (quoted) {
        return false;
    }
    p->p = to;
    return ret->len <= CELL_MAX && (to == eol || *to == ',');
}

/* One line, without its end. False: there is none. */
static enum vf_err take_line(struct parse *p, struct cell cells[COLUMNS])
{
    const char *eol = memchr(p->p, '\n', (size_t)(p->end - p->p));
    const char *next = eol != NULL ? eol + 1 : p->end;

    if (eol == NULL)
        eol = p->end;
    if (eol > p->p && eol[-1] == '\r')
        eol--;
    for (unsigned i = 0; i < COLUMNS; i++) {
        if (!take_cell(p, eol, &cells[i]))
            return bad(p, i, "not a cell of this table");
        bool last = i == COLUMNS - 1;
        if (last != (p->p == eol))
            return bad(p, i, last ? "there are more cells than columns" : "the cells behind it are missing");
        p->p += last ? 0 : 1;
    }
    p->p = next;
    return VF_OK;
}

/* -------------------------------------------------------------------------------------------------------------------- values */

static const struct {
    const char *word;
    unsigned tier;
} words[VF_EXPOSED_WORD_COUNT] = {
#define ROW_(code, text, level, says) [VF_EXPOSED_##code] = {.word = (text), .tier = (level)},
    VF_EXPOSED_WORDS(ROW_)
#undef ROW_
};

static bool word_of(const char *s, size_t len, uint8_t *ret)
{
    for (unsigned i = 0; i < VF_EXPOSED_WORD_COUNT; i++) {
        if (strlen(words[i].word) != len || memcmp(words[i].word, s, len) != 0)
            continue;
        *ret = (uint8_t)i;
        return true;
    }
    return false;
}

static bool is_read_word(uint8_t w)
{
    return w >= VF_EXPOSED_LOG && w <= VF_EXPOSED_LOG_UNKNOWN;
}

static bool parse_evidence(const struct cell *c, struct vf_exposed_part *part)
{
    const char *plus = memchr(c->p, '+', c->len);
    uint8_t first;
    uint8_t second = 0;

    if (!word_of(c->p, plus != NULL ? (size_t)(plus - c->p) : c->len, &first))
        return false;
    if (plus != NULL && (!word_of(plus + 1, c->len - (size_t)(plus - c->p) - 1, &second) || !is_read_word(first) ||
                         is_read_word(second) || words[second].tier != 2))
        return false;
    if (words[first].tier != part->tier)
        return false;
    part->read = is_read_word(first) ? first : 0;
    part->presumed = is_read_word(first) ? second : first;
    return true;
}

static bool parse_fields(const struct cell *c, vf_field_set *ret)
{
    const char *end = c->p + c->len;
    unsigned before = 0;

    for (const char *p = c->p; p < end;) {
        const char *space = memchr(p, ' ', (size_t)(end - p));
        size_t n = (size_t)((space != NULL ? space : end) - p);
        unsigned f = (unsigned)vf_field_by_name(p, n);
        if (f == VF_FIELD_NONE || f <= before || (space != NULL && space + 1 == end))
            return false;
        *ret |= VF_FIELD_BIT(f);
        before = f;
        p += n + 1;
    }
    return true;
}

static enum vf_err parse_times(const struct parse *p, const struct cell cells[COLUMNS], struct vf_exposed_part *part)
{
    if (cells[6].len == 0 && cells[7].len == 0)
        return VF_OK;
    if (!vf_time_parse(cells[6].p, cells[6].len, &part->first_us))
        return bad(p, 6, "not a time");
    if (!vf_time_parse(cells[7].p, cells[7].len, &part->last_us) || part->last_us < part->first_us)
        return bad(p, 7, "not a time, or one before the first");
    part->has_times = true;
    return VF_OK;
}

static enum vf_err parse_part(const struct parse *p, const struct cell cells[COLUMNS], unsigned which,
                              struct vf_exposed_part *part)
{
    if (cells[2].len != 1 || cells[2].p[0] < '0' || cells[2].p[0] > '2')
        return bad(p, 2, "a tier is 0, 1 or 2");
    part->tier = (uint8_t)(cells[2].p[0] - '0');
    if (!parse_evidence(&cells[3], part))
        return bad(p, 3, "not a word that goes with this tier");
    part->has_grant = cells[4].len > 0;
    if (part->has_grant && !vf_grant_id_parse(cells[4].p, cells[4].len, &part->grant))
        return bad(p, 4, "not the id of a grant");
    if (!parse_fields(&cells[5], &part->fields))
        return bad(p, 5, "not names of fields in their order");
    for (unsigned f = 1; f < VF_FIELD_COUNT; f++)
        if ((part->fields & VF_FIELD_BIT(f)) != 0 && vf_field_part(f) != which)
            return bad(p, 5, "a field of the other part");
    VF_TRY(parse_times(p, cells, part));
    bool timed = part->read != 0 || part->presumed == VF_EXPOSED_OUTSIDE;
    if (timed != part->has_times)
        return bad(p, 6, "times stand where a log shows a read, and nowhere else");
    return VF_OK;
}

/* --------------------------------------------------------------------------------------------------------------------- table */

static enum vf_err row_for(struct parse *p, const struct vf_ref *ref, struct vf_exposed_row **ret)
{
    struct vf_exposed *out = p->out;
    int cmp = out->n > 0 ? vf_ref_cmp(&out->rows[out->n - 1].ref, ref) : -1;

    if (cmp > 0)
        return bad(p, 0, "the lines are not in the order of the refs");
    if (cmp < 0) {
        if (out->n == p->room) {
            size_t room = p->room > 0 ? p->room * 2 : 1024;
            struct vf_exposed_row *more = reallocarray(out->rows, room, sizeof(*more));
            if (more == NULL)
                return vf_fail(p->why, VF_E_NOMEM, "%s: out of memory", p->what);
            out->rows = more;
            p->room = room;
        }
        out->rows[out->n++] = (struct vf_exposed_row){.ref = *ref};
    }
    *ret = &out->rows[out->n - 1];
    return VF_OK;
}

static enum vf_err parse_row(struct parse *p)
{
    struct cell cells[COLUMNS];
    struct vf_exposed_row *row;
    struct vf_ref ref;

    VF_TRY(take_line(p, cells));
    if (!vf_ref_parse(cells[0].p, cells[0].len, &ref))
        return bad(p, 0, "not a ref; a spreadsheet may have made a number of it");
    bool image = is(&cells[1], "image");
    if (!image && !is(&cells[1], "text"))
        return bad(p, 1, "a part is text or image");
    VF_TRY(row_for(p, &ref, &row));
    if (row->has[image])
        return bad(p, 1, "this part stands twice");
    row->has[image] = true;
    return parse_part(p, cells, image ? VF_PART_IMAGE : VF_PART_TEXT, &row->part[image]);
}

static enum vf_err parse_all(struct parse *p)
{
    struct cell cells[COLUMNS];

    if (p->end - p->p >= 3 && memcmp(p->p, "\xEF\xBB\xBF", 3) == 0)
        p->p += 3;
    p->line = 1;
    VF_TRY(take_line(p, cells));
    for (unsigned i = 0; i < COLUMNS; i++)
        if (!is(&cells[i], columns[i]))
            return bad(p, i, "this column has another name");
    while (p->p < p->end) {
        p->line++;
        VF_TRY(parse_row(p));
    }
    for (size_t i = 0; i < p->out->n; i++)
        if (!p->out->rows[i].has[0] || !p->out->rows[i].has[1])
            return vf_fail(p->why, VF_E_INPUT,
                           "%s: %.8s: only one of its two parts is there; use the file as `audit exposure` wrote it",
                           p->what, p->out->rows[i].ref.c);
    return VF_OK;
}

enum vf_err vf_exposed_parse(const void *data, size_t len, const char *what, struct vf_exposed *ret, struct vf_why *why)
{
    struct vf_exposed out = {0};
    struct parse p = {.what = what, .p = data, .end = (const char *)data + len, .out = &out, .why = why};

    if (len == 0)
        return vf_fail(why, VF_E_INPUT, "%s: it is empty", what);
    if (p.end[-1] != '\n')
        return vf_fail(why, VF_E_INPUT, "%s: its last line does not end: it was cut short", what);
    if (len > VF_EXPOSED_MAX)
        return vf_fail(why, VF_E_LIMIT, "%s: over %llu bytes", what, (unsigned long long)VF_EXPOSED_MAX);
    enum vf_err err = parse_all(&p);
    if (err == VF_OK)
        *ret = out;
    else
        vf_exposed_done(&out);
    return err;
}

void vf_exposed_done(struct vf_exposed *e)
{
    free(e->rows);
    *e = (struct vf_exposed){0};
}

static int by_ref(const void *a, const void *b)
{
    return vf_ref_cmp(&((const struct vf_exposed_row *)a)->ref, &((const struct vf_exposed_row *)b)->ref);
}

const struct vf_exposed_row *vf_exposed_find(const struct vf_exposed *e, const struct vf_ref *ref)
{
    const struct vf_exposed_row key = {.ref = *ref};

    return e->n > 0 ? bsearch(&key, e->rows, e->n, sizeof(key), by_ref) : NULL;
}
