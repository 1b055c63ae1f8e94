/* SPDX-License-Identifier: MIT */
/* Fields that were granted and never read; the table of records. */
#include "html_report.h"

#include <string.h>

static void put_fields(struct vf_page *p, vf_field_set set, const char *none)
{
    VF_BUF names = {0};

    vf_buf_init(&names, 2048);
    vf_field_set_put(set & ~VF_FIELD_BIT(0), ", ", &names);
    if ((set & VF_FIELD_BIT(0)) != 0)
        vf_buf_text(&names, names.len > 0 ? ", one not known to this program" : "one not known to this program");
    const char *text = vf_buf_cstr(&names);
    if (vf_report_whole(p, &names))
        vf_page_put(p, names.len > 0 ? text : none);
}

static void put_job(struct vf_page *p, const struct vf_job_use *j)
{
    char n[32];

    vf_page_put(p, "<tr><th scope=row>");
    vf_page_str(p, j->job[0] != '\0' ? j->job : "(not named)");
    vf_page_put(p, "<td>");
    vf_page_str(p, j->recipient[0] != '\0' ? j->recipient : "–");
    vf_page_fmt(p, "<td class=n>%s<td>", vf_number(j->grants, n));
    if (j->granted != 0)
        put_fields(p, j->granted & ~j->single & ~j->listed, "none: every field was read");
    else
        vf_page_put(p, "not known here");
    vf_page_put(p, "<td>");
    put_fields(p, j->listed, "–");
    vf_page_put(p, "<td>");
    put_fields(p, j->single, "–");
    vf_page_put(p, "<td class=n>");
    /* Somebody whose text and picture were both read is one record, so the larger of the two is the least that were read. */
    uint64_t read = j->read[0] > j->read[1] ? j->read[0] : j->read[1];
    if (j->records > 0 && j->read[0] != UINT64_MAX && read <= j->records)
        vf_page_put(p, j->records > read ? vf_number(j->records - read, n) : "none");
    else
        vf_page_put(p, "not known here");
    vf_page_put(p, "\n");
}

void vf_report_put_use(const struct vf_report *r, struct vf_page *p)
{
    bool known = false;

    for (size_t i = 0; i < r->njobs; i++)
        known = known || r->job[i].granted != 0;
    vf_page_put(p, "<section id=fields><h2>Granted and never read</h2>\n");
    if (r->njobs == 0) {
        vf_page_put(p, "<p>There was neither a grant nor a read.</p></section>\n");
        return;
    }
    vf_page_fmt(p,
                "<p>What a job was given and did not use need not be given again: the next grant can leave it out. %s</p>\n",
                r->vault != NULL ? "What was granted is known from the vault’s grants."
                : known          ? "What was granted is known from the vault’s log."
                        : "What was granted is not known here: the logs of a supplier tell only what was read. With "
                          "<code>--vault</code> this table is whole.");
    vf_page_put(p, "<div class=wide tabindex=0 role=region aria-label=\"Fields granted and read\"><table><thead><tr><th "
                   "scope=col>job<th "
                   "scope=col>recipient<th class=n scope=col>grants<th scope=col>fields never read<th scope=col>only in a "
                   "whole list<th "
                   "scope=col>read on their own<th class=n scope=col>records never read</thead>\n<tbody>\n");
    for (size_t i = 0; i < r->njobs; i++)
        put_job(p, &r->job[i]);
    vf_page_put(p, "</tbody></table></div>\n<p class=soft>A whole list (cards.csv) gives out all granted text at once, so "
                   "no log can tell which "
                   "of its columns were used.</p>\n");
    if (r->beyond_jobs > 0)
        vf_page_fmt(p, "<p>Only the first %d jobs are listed.</p>\n", VF_JOBS_MAX);
    vf_page_put(p, "</section>\n");
}

/* ------------------------------------------------------------------------------------------------------------------- records */

static void put_when(struct vf_page *p, int64_t us, bool any)
{
    char text[VF_TIME_LEN + 1];

    vf_time_format(us, text);
    if (any)
        vf_page_fmt(p, "<td>%.10s %.5s UTC", text, text + 11);
    else
        vf_page_put(p, "<td>–");
}

void vf_jobs_names(const struct vf_report *r, uint64_t grants, struct vf_buf *out)
{
    const char *last = NULL;

    for (size_t i = 0; i < 63 && i < r->f.grants.n; i++) {
        const struct vf_row *g = &r->f.grants.row[i];
        bool before = false;
        if ((grants >> i & 1) == 0)
            continue;
        for (size_t j = 0; j < i && !before; j++)
            before = (grants >> j & 1) != 0 && strcmp(r->f.grants.row[j].name, g->name) == 0;
        if (before)
            continue;
        vf_buf_fmt(out, "%s%s", last != NULL ? ", " : "", g->name[0] != '\0' ? g->name : "(not named)");
        last = g->name;
    }
    if (grants >> 63 != 0)
        vf_buf_fmt(out, "%sothers", last != NULL ? ", " : "");
}

/* Masks repeat from row to row: the words are made once. */
struct words {
    uint64_t mask;
    bool any;
    struct vf_buf text;
};

static void put_words(struct vf_page *p, const struct vf_report *r, struct words *w, uint64_t mask,
                      void (*make)(const struct vf_report *r, uint64_t mask, struct vf_buf *out))
{
    if (!w->any || w->mask != mask) {
        vf_buf_reset(&w->text);
        make(r, mask, &w->text);
        w->mask = mask;
        w->any = true;
    }
    vf_page_put(p, "<td>");
    if (vf_report_whole(p, &w->text) && w->text.len > 0)
        vf_page_text(p, (const char *)w->text.data, w->text.len);
}

/* Lists that could not be counted record by record: one row each. */
static void put_unknown_lists(struct vf_page *p, const struct vf_report *r, struct words *programs)
{
    char n[32];

    for (size_t i = 0; r->lists_unknown > 0 && i < r->f.lists.n; i++) {
        const struct vf_row *l = &r->f.lists.row[i];
        size_t len;
        const char *id = vf_row_text(l, &len);
        if (!vf_report_list_unknown(r, l))
            continue;
        vf_page_put(p, "<tr><td class=w>every record of the grant ");
        vf_page_text(p, id, len);
        vf_page_put(p, "<td>");
        put_fields(p, l->c.fields, "text");
        vf_page_fmt(p, "<td>%s<td>0", vf_number(l->c.lists, n));
        put_when(p, l->c.first_us, true);
        put_when(p, l->c.last_us, true);
        vf_page_put(p, "<td>");
        vf_page_str(p, l->name);
        put_words(p, r, programs, l->programs, vf_programs_names);
        vf_page_put(p, "\n");
    }
}

static void put_rows(const struct vf_report *r, struct vf_page *p)
{
    struct words programs = {0};
    struct words jobs = {0};
    size_t n = r->f.refs.n < VF_REPORT_REFS_SHOWN ? r->f.refs.n : VF_REPORT_REFS_SHOWN;

    vf_buf_init(&programs.text, 64u * 1024);
    vf_buf_init(&jobs.text, 64u * 1024);
    put_unknown_lists(p, r, &programs);
    for (size_t i = 0; i < n && p->err == VF_OK; i++) {
        const struct vf_ref_row *x = &r->f.refs.row[i];
        bool any = x->first_us <= x->last_us;
        char a[32], b[32];
        vf_page_fmt(p, "<tr><td>%.8s<td>", x->ref.c);
        put_fields(p, x->fields, any ? "not told" : "–");
        if (x->repeats > 0 && !any)
            vf_page_put(p, "repeats alone");
        if (x->only_copy)
            vf_page_put(p, " (a log that is not good)");
        vf_page_fmt(p, "<td>%s<td>%s", vf_number(x->opens[0], a), vf_number(x->opens[1], b));
        put_when(p, x->first_us, any);
        put_when(p, x->last_us, any);
        put_words(p, r, &jobs, x->grants[0] | x->grants[1], vf_jobs_names);
        put_words(p, r, &programs, x->programs, vf_programs_names);
        vf_page_put(p, "\n");
    }
    vf_buf_done(&programs.text);
    vf_buf_done(&jobs.text);
}

static void put_words_before(const struct vf_report *r, struct vf_page *p)
{
    char n[32];

    vf_page_fmt(p, "<p>Every record that was read, %s by ref. Who is behind a ref, an admin can tell. ",
                vf_number(r->f.refs.n, n));
    if (r->expanded)
        vf_page_put(p, "The opening of a whole list counts as one read of the text of every record in it.");
    else if (r->lists_unknown > 0)
        vf_page_put(
            p, "Whole lists were opened, and which records stood in them is not known here: each has a row of its own. With "
               "<code>--vault</code> they are counted record by record.");
    vf_page_put(p, "</p>\n");
    if (r->f.refs.n > VF_REPORT_REFS_SHOWN)
        vf_page_fmt(
            p,
            "<p><strong>The table ends after %d records.</strong> The rest is in the document that <code>audit report "
            "--json</code> prints.</p>\n",
            VF_REPORT_REFS_SHOWN);
    if (r->f.refs.beyond > 0)
        vf_page_fmt(
            p,
            "<p>More than %u different records are named in the logs; %s reads are of records beyond them, and only in the "
            "sums.</p>\n",
            VF_REFS_MAX, vf_number(r->f.refs.beyond, n));
}

void vf_report_put_refs(const struct vf_report *r, struct vf_page *p)
{
    vf_page_put(p, "<section id=records><h2>By record</h2>\n");
    if (r->f.refs.n == 0 && r->f.lists.n == 0) {
        vf_page_put(p, "<p>No record was read.</p></section>\n");
        return;
    }
    put_words_before(r, p);
    vf_page_put(
        p, "<div class=tools id=tools hidden><div><label for=q>Find</label><input id=q type=search autocomplete=off "
           "spellcheck=false "
           "aria-describedby=qhelp></div><p class=soft id=qhelp>A ref, a list of refs, a job, a program, a field or a day. "
           "A click "
           "on a heading sorts.</p></div>\n<p id=says role=status class=soft></p>\n"
           "<div class=wide tabindex=0 role=region aria-label=\"Reads by record\"><table id=refs><thead><tr><th scope=col "
           "aria-sort=ascending>ref<th scope=col>what was read<th class=n scope=col>text<th class=n scope=col>picture<th "
           "scope=col>first read<th scope=col>last read<th scope=col>job<th scope=col>"
           "programs</thead>\n<tbody>\n");
    put_rows(r, p);
    vf_page_put(p, "</tbody></table></div>\n<p class=buttons id=buttons hidden><button type=button id=more>Show 200 "
                   "more</button> <button "
                   "type=button id=every>Show all</button></p>\n</section>\n");
}
