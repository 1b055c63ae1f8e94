/* SPDX-License-Identifier: MIT */
/* By grant, by program, by user, and what was done at the force. The largest first. */
#include "html_report.h"

#include <stdlib.h>
#include <string.h>

static void put_time_cell(struct vf_page *p, int64_t us, bool any)
{
    char text[VF_TIME_LEN + 1];

    if (!any) {
        vf_page_put(p, "<td>–");
        return;
    }
    vf_time_format(us, text);
    vf_page_fmt(p, "<td class=t>%.10s %.5s UTC", text, text + 11);
}

static void put_times(struct vf_page *p, const struct vf_counts *c)
{
    put_time_cell(p, c->first_us, c->first_us <= c->last_us);
    put_time_cell(p, c->last_us, c->first_us <= c->last_us);
}

static void put_count(struct vf_page *p, uint64_t n)
{
    char text[32];

    vf_page_fmt(p, "<td class=n>%s", n > 0 ? vf_number(n, text) : "–");
}

static void put_reads(struct vf_page *p, const struct vf_counts *c, uint64_t most)
{
    uint64_t n = vf_counts_reads(c);
    unsigned width = most > 0 ? (unsigned)((double)n / (double)most * 100) : 0;
    char text[32];

    vf_page_fmt(p, "<td class=n>%s<td><svg class=bar viewBox=\"0 0 100 10\" preserveAspectRatio=none aria-hidden=true>",
                n > 0 ? vf_number(n, text) : "–");
    vf_page_fmt(p, "<rect width=%u height=10 /></svg>", n > 0 && width == 0 ? 1 : width);
    put_count(p, c->opens[0]);
    put_count(p, c->opens[1]);
    put_count(p, c->lists);
    put_count(p, c->repeats);
}
#define READS_HEAD                                                                                                        \
    "<th class=n scope=col>reads<th aria-hidden=true><th class=n scope=col>text<th class=n scope=col>picture<th class=n " \
    "scope=col>"                                                                                                          \
    "list<th class=n scope=col>repeats<th class=n scope=col>refused"

/* Where a row stands: what is sorted. */
struct place {
    const struct vf_row *row;
};

/* Rows by their reads, then refusals, then key: the same log gives the same page. */
static int by_reads(const void *a, const void *b)
{
    const struct vf_row *x = ((const struct place *)a)->row;
    const struct vf_row *y = ((const struct place *)b)->row;
    uint64_t nx = vf_counts_reads(&x->c);
    uint64_t ny = vf_counts_reads(&y->c);

    if (nx != ny)
        return nx > ny ? -1 : 1;
    if (x->c.denials != y->c.denials)
        return x->c.denials > y->c.denials ? -1 : 1;
    int c = memcmp(x->key, y->key, x->key_len < y->key_len ? x->key_len : y->key_len);
    return c != 0 ? c : x->key_len < y->key_len ? -1 : x->key_len > y->key_len;
}

/* NULL sticks in the page as want of memory. */
static struct place *sorted(const struct vf_rows *rows, struct vf_page *p)
{
    struct place *list = calloc(rows->n > 0 ? rows->n : 1, sizeof(*list));

    if (list == NULL && p->err == VF_OK)
        p->err = vf_fail(p->why, VF_E_NOMEM, "%s: no memory to sort a table", p->what);
    for (size_t i = 0; list != NULL && i < rows->n; i++)
        list[i].row = &rows->row[i];
    if (list != NULL && rows->n > 1)
        qsort(list, rows->n, sizeof(*list), by_reads);
    return list;
}

static void put_others(struct vf_page *p, const struct vf_rows *rows, const char *what)
{
    char n[32];

    if (rows->nothers > 0)
        vf_page_fmt(p, "<p>Only the first %zu %s are told apart; %s %s of others %s in the sums and not in the table.</p>\n",
                    rows->n, what, vf_number(rows->nothers, n), rows->nothers == 1 ? "entry" : "entries",
                    rows->nothers == 1 ? "is" : "are");
}

static uint64_t most_of(const struct vf_rows *rows)
{
    uint64_t most = 0;

    for (size_t i = 0; i < rows->n; i++)
        most = vf_counts_reads(&rows->row[i].c) > most ? vf_counts_reads(&rows->row[i].c) : most;
    return most;
}

/* -------------------------------------------------------------------------------------------------------------------- grants */

static void put_of(struct vf_page *p, const struct vf_report *r, const struct vf_row *g, unsigned part)
{
    size_t index = (size_t)(g - r->f.grants.row);
    bool unknown = index >= 63 || (part == 0 && g->c.lists > 0 && r->lists_unknown > 0);
    char a[32], b[32];

    if (unknown && part == 0 && g->c.lists > 0)
        vf_page_put(p, "<td class=n>all");
    else if (unknown)
        vf_page_put(p, vf_counts_reads(&g->c) > 0 ? "<td class=n>not counted" : "<td class=n>–");
    else if (g->granted_records > 0)
        vf_page_fmt(p, "<td class=n>%s of %s", vf_number(g->distinct[part], a), vf_number(g->granted_records, b));
    else
        put_count(p, g->distinct[part]);
}

static void put_grant(struct vf_page *p, const struct vf_report *r, const struct vf_row *g, uint64_t most)
{
    size_t len;
    const char *id = vf_row_text(g, &len);

    vf_page_put(p, "<tr><th scope=row>");
    vf_page_str(p, g->name[0] != '\0' ? g->name : "(not named)");
    vf_page_put(p, "<small class=t><code>");
    vf_page_text(p, id, len);
    vf_page_put(p, "</code></small><td>");
    vf_page_str(p, g->other[0] != '\0' ? g->other : "–");
    put_reads(p, &g->c, most);
    put_count(p, g->c.denials);
    put_of(p, r, g, 0);
    put_of(p, r, g, 1);
    put_times(p, &g->c);
    vf_page_put(p, "\n");
}

static void put_grants(const struct vf_report *r, struct vf_page *p)
{
    VF_FREE struct place *list = sorted(&r->f.grants, p);

    vf_page_put(p, "<section id=grants><h2>By grant</h2>\n");
    if (r->f.grants.n == 0 || list == NULL) {
        vf_page_put(p, "<p>No grant is named in what was read.</p></section>\n");
        return;
    }
    vf_page_put(
        p, "<p>A job is the folder that the supplier sees; a renewal is a grant of its own for the same job. A different "
           "text or "
           "picture counts once, however often it was opened.</p>\n<div class=wide tabindex=0 role=region "
           "aria-label=\"Reads by "
           "grant\"><table><thead><tr><th scope=col>job and grant<th scope=col>recipient" READS_HEAD
           "<th class=n scope=col>different<br>texts<th class=n scope=col>different<br>pictures<th scope=col>first read<th "
           "scope=col>last read</thead>\n<tbody>\n");
    uint64_t most = most_of(&r->f.grants);
    for (size_t i = 0; i < r->f.grants.n; i++)
        put_grant(p, r, list[i].row, most);
    vf_page_put(p, "</tbody></table></div>\n");
    put_others(p, &r->f.grants, "grants");
    vf_page_put(p, "</section>\n");
}

/* ----------------------------------------------------------------------------------------------------------- programs and users */

static void put_program(struct vf_page *p, const struct vf_report *r, const struct vf_row *row, uint64_t most)
{
    char name[VF_ROW_KEY_MAX];

    vf_program_name(row, name, sizeof(name));
    vf_page_put(p, "<tr><th scope=row class=p>");
    vf_page_str(p, name);
    vf_page_put(p, "<td class=t>");
    vf_page_str(p, vf_label_short(&r->f.log[row->log]));
    put_reads(p, &row->c, most);
    put_count(p, row->c.denials);
    if (row->c.out_hours > 0)
        vf_page_fmt(p, "<td class=n>%u&nbsp;%%", vf_percent(row->c.out_hours, vf_counts_reads(&row->c)));
    else
        vf_page_put(p, "<td class=n>–");
    put_times(p, &row->c);
    vf_page_put(p, "\n");
}

static void put_programs(const struct vf_report *r, struct vf_page *p)
{
    VF_FREE struct place *list = sorted(&r->f.programs, p);

    vf_page_put(p, "<section id=programs><h2>By program</h2>\n");
    if (r->f.programs.n == 0 || list == NULL) {
        vf_page_put(p, "<p>No program is named in the logs.</p></section>\n");
        return;
    }
    vf_page_put(p, "<p>The file that was running, as that computer’s kernel told it. A backslash with letters behind it "
                   "stands for a character "
                   "that cannot be shown.</p>\n<div class=wide tabindex=0 role=region aria-label=\"Reads by "
                   "program\"><table><thead><tr><th "
                   "scope=col>program<th scope=col>on" READS_HEAD
                   "<th class=n scope=col>out of hours<th scope=col>first read<th scope=col>last read</thead>\n<tbody>\n");
    uint64_t most = most_of(&r->f.programs);
    for (size_t i = 0; i < r->f.programs.n; i++)
        put_program(p, r, list[i].row, most);
    vf_page_put(p, "</tbody></table></div>\n");
    put_others(p, &r->f.programs, "programs");
    vf_page_put(p, "</section>\n");
}

#define NAMED 8 /* programs in one cell */

void vf_programs_names(const struct vf_report *r, uint64_t mask, struct vf_buf *out)
{
    const char *comma = "";
    unsigned more = 0;
    unsigned named = 0;

    for (size_t i = 0; i < 63 && i < r->f.programs.n; i++) {
        char name[VF_ROW_KEY_MAX];
        if ((mask >> i & 1) == 0)
            continue;
        if (named == NAMED) {
            more++;
            continue;
        }
        vf_program_name(&r->f.programs.row[i], name, sizeof(name));
        /* The same program on another computer. */
        if (named > 0 && memmem(out->data, out->len, name, strlen(name)) != NULL)
            continue;
        vf_buf_fmt(out, "%s%s", comma, name);
        comma = ", ";
        named++;
    }
    if ((mask >> 63) != 0)
        vf_buf_fmt(out, "%sothers", comma);
    if (more > 0)
        vf_buf_fmt(out, " and %u more", more);
}

static void put_user(struct vf_page *p, const struct vf_report *r, const struct vf_row *row, uint64_t most)
{
    VF_BUF names = {0};

    vf_page_fmt(p, "<tr><th scope=row>%u%s<td class=t>", (unsigned)row->uid, row->uid == 0 ? " (root)" : "");
    vf_page_str(p, vf_label_short(&r->f.log[row->log]));
    put_reads(p, &row->c, most);
    put_count(p, row->c.denials);
    vf_page_put(p, "<td class=p>");
    vf_buf_init(&names, 4096);
    vf_programs_names(r, row->programs, &names);
    if (vf_report_whole(p, &names))
        vf_page_text(p, (const char *)names.data, names.len);
    put_times(p, &row->c);
    vf_page_put(p, "\n");
}

static void put_users(const struct vf_report *r, struct vf_page *p)
{
    VF_FREE struct place *list = sorted(&r->f.users, p);

    vf_page_put(p, "<section id=users><h2>By user</h2>\n");
    if (r->f.users.n == 0 || list == NULL) {
        vf_page_put(p, "<p>No user is named in the logs.</p></section>\n");
        return;
    }
    vf_page_put(
        p,
        "<p>The number of the account on that computer; whoever runs it knows whose it is.</p>\n<div class=wide tabindex=0 "
        "role=region aria-label=\"Reads by user\"><table><thead><tr><th scope=col>user number<th scope=col>on" READS_HEAD
        "<th scope=col>programs<th scope=col>first read<th scope=col>last read</thead>\n<tbody>\n");
    uint64_t most = most_of(&r->f.users);
    for (size_t i = 0; i < r->f.users.n; i++)
        put_user(p, r, list[i].row, most);
    vf_page_put(p, "</tbody></table></div>\n");
    put_others(p, &r->f.users, "users");
    vf_page_put(p, "</section>\n");
}

/* ------------------------------------------------------------------------------------------------------------------- the force */

static int by_doing(const void *a, const void *b)
{
    const struct vf_row *x = ((const struct place *)a)->row;
    const struct vf_row *y = ((const struct place *)b)->row;

    if (x->log != y->log)
        return x->log < y->log ? -1 : 1;
    return by_reads(a, b);
}

static void put_force(const struct vf_report *r, struct vf_page *p)
{
    VF_FREE struct place *list = sorted(&r->f.doings, p);

    if (r->f.doings.n == 0 || list == NULL)
        return;
    qsort(list, r->f.doings.n, sizeof(*list), by_doing);
    vf_page_put(
        p, "<section id=force><h2>At the force</h2>\n<p>What was done with the vault, by its own log. Looking at a record "
           "with the "
           "force’s tool is told here, not among the reads.</p>\n<div class=wide tabindex=0 role=region aria-label=\"At the "
           "force\"><table><thead><tr><th scope=col>what<th scope=col>by<th class=n scope=col>times<th class=n "
           "scope=col>records or "
           "values<th scope=col>first<th scope=col>last</thead>\n<tbody>\n");
    for (size_t i = 0; i < r->f.doings.n; i++) {
        const struct vf_row *d = list[i].row;
        size_t len;
        const char *who = vf_row_text(d, &len);
        char name[VF_ROW_KEY_MAX];
        vf_name_copy(who, len, name, sizeof(name));
        vf_page_fmt(p, "<tr><th scope=row>%s<td>", vf_doing_words((enum vf_event)d->log));
        vf_page_str(p, len > 0 ? name : "(not told)");
        put_count(p, d->events);
        put_count(p, d->records);
        put_times(p, &d->c);
        vf_page_put(p, "\n");
    }
    vf_page_put(p, "</tbody></table></div>\n");
    put_others(p, &r->f.doings, "kinds of doing");
    vf_page_put(p, "</section>\n");
}

void vf_report_put_tables(const struct vf_report *r, struct vf_page *p)
{
    put_grants(r, p);
    put_programs(r, p);
    put_users(r, p);
    put_force(r, p);
}
