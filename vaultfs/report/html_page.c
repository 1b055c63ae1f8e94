/* SPDX-License-Identifier: MIT */
/* The page: its head, verdict, figures, what is to be noticed, the logs. */
#include "html_report.h"
#include "html_script.h"
#include "html_style.h"

#include <string.h>

/* 'sha256-…' of what stands between the tags: nothing else of its kind runs or applies. */
static void put_hash(struct vf_page *p, const char *const *pieces, size_t n)
{
    VF_BUF text = {0};
    struct vf_hash h;

    vf_buf_init(&text, 64u * 1024);
    for (size_t i = 0; i < n; i++)
        vf_buf_text(&text, pieces[i]);
    if (p->err == VF_OK)
        p->err = vf_buf_check(&text, p->what, p->why);
    vf_sha256(text.data, text.len, &h);
    vf_page_put(p, " 'sha256-");
    if (p->err == VF_OK)
        vf_base64_put(&p->buf, h.b, sizeof(h.b));
    vf_page_put(p, "'");
}

static void put_pieces(struct vf_page *p, const char *const *pieces, size_t n)
{
    for (size_t i = 0; i < n; i++)
        vf_page_put(p, pieces[i]);
}
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void put_buf(struct vf_page *p, const struct vf_buf *text)
{
    if (vf_report_whole(p, text))
        vf_page_text(p, (const char *)text->data, text->len);
}

static void put_when(struct vf_page *p, int64_t us)
{
    char when[64];

    vf_when(us, when);
    vf_page_put(p, when);
}

static void put_top(const struct vf_report *r, struct vf_page *p)
{
    char number[32];

    vf_page_put(p, "<!DOCTYPE html>\n<html lang=en-GB><head><meta charset=utf-8>\n"
                   "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'; style-src");
    put_hash(p, vf_report_style, COUNT(vf_report_style));
    vf_page_put(p, "; script-src");
    put_hash(p, vf_report_early, COUNT(vf_report_early));
    put_hash(p, vf_report_script, COUNT(vf_report_script));
    vf_page_put(p, "; base-uri 'none'; form-action 'none'\">\n"
                   "<meta name=referrer content=no-referrer><meta name=robots content=noindex>\n"
                   "<meta name=viewport content=\"width=device-width,initial-scale=1\">\n<title>Who read what: report of ");
    put_when(p, r->now_us);
    vf_page_put(p, "</title>\n<style>");
    put_pieces(p, vf_report_style, COUNT(vf_report_style));
    vf_page_put(p, "</style>\n<script>");
    put_pieces(p, vf_report_early, COUNT(vf_report_early));
    vf_page_put(p, "</script></head><body>\n<header><h1>Who read what</h1>\n<p class=soft>");
    if (r->vault != NULL && r->vault->has_policy) {
        vf_page_str(p, r->vault->chain.policy.force_name);
        vf_page_put(p, ". ");
    }
    vf_page_fmt(p, "Made from %s log%s on ", vf_number(r->f.nlogs, number), r->f.nlogs == 1 ? "" : "s");
    put_when(p, r->now_us);
    vf_page_put(p, ". Every time on this page is UTC.</p>\n");
}

static void put_nav(const struct vf_report *r, struct vf_page *p)
{
    vf_page_put(p, "<nav aria-label=\"On this page\"><ul><li><a href=#noticed>To be noticed</a><li><a href=#when>When</a>"
                   "<li><a href=#grants>By grant</a><li><a href=#programs>By program</a><li><a href=#users>By user</a>");
    if (r->f.doings.n > 0)
        vf_page_put(p, "<li><a href=#force>At the force</a>");
    vf_page_put(
        p, "<li><a href=#fields>Granted and never read</a><li><a href=#records>By record</a><li><a href=#logs>The logs</a>"
           "<li><a href=#how>How to read this</a></ul></nav></header>\n<main>\n");
}

static void figure(struct vf_page *p, const char *name, uint64_t n)
{
    char number[32];

    vf_page_fmt(p, "<div><dt>%s</dt><dd>%s</dd></div>\n", name, vf_number(n, number));
}

static void put_figures(const struct vf_report *r, struct vf_page *p)
{
    const struct vf_counts *c = &r->f.all;
    uint64_t programs = 0;

    for (size_t i = 0; i < r->f.programs.n; i++)
        programs += vf_counts_reads(&r->f.programs.row[i].c) > 0 ? 1 : 0;
    vf_page_put(p, "<dl class=figures>\n");
    figure(p, vf_counts_reads(c) == 1 ? "read" : "reads", vf_counts_reads(c));
    figure(p,
           r->lists_unknown > 0 ? (r->f.refs.n == 1 ? "record read by itself" : "records read one by one")
           : r->f.refs.n == 1   ? "different record"
                                : "different records",
           r->f.refs.n);
    figure(p, programs == 1 ? "program" : "programs", programs);
    figure(p, "refused", c->denials);
    if (c->released > 0)
        figure(p, "released by a key desk", c->released);
    if (c->first_us <= c->last_us) {
        vf_page_put(p, "<div><dt>first read</dt><dd class=text>");
        put_when(p, c->first_us);
        vf_page_put(p, "</dd></div>\n<div><dt>last read</dt><dd class=text>");
        put_when(p, c->last_us);
        vf_page_put(p, "</dd></div>\n");
    }
    vf_page_put(p, "</dl>\n");
}

static bool unsure(const struct vf_report *r)
{
    for (size_t i = 0; i < r->f.nlogs; i++)
        if (r->f.log[i].verdict != NULL && !r->f.log[i].verdict->origin_checked)
            return true;
    return false;
}

void vf_report_put_head(const struct vf_report *r, struct vf_page *p)
{
    VF_BUF words = {0};
    VF_BUF more = {0};
    bool good;

    put_top(r, p);
    put_nav(r, p);
    vf_buf_init(&words, 4096);
    vf_buf_init(&more, 4096);
    vf_report_headline(r, &words, &good);
    vf_report_headline_more(r, &more);
    vf_page_fmt(p, "<section class=\"verdict %s\"><h2>",
                !good                                ? "bad"
                : unsure(r) || r->devices_silent > 0 ? "unsure"
                                                     : "good");
    put_buf(p, &words);
    vf_page_put(p, "</h2>\n");
    if (more.len > 0 || !vf_report_whole(p, &more)) {
        vf_page_put(p, "<p>");
        put_buf(p, &more);
        vf_page_put(p, "</p>\n");
    }
    vf_page_put(p, "</section>\n");
    put_figures(r, p);
    vf_page_put(
        p,
        "<p>A <em>read</em> is one opening of a record’s text, of its picture, or of a job’s whole list by a program on a "
        "supplier’s computer; opening the same file again at once is counted apart, as a repeat. A <em>ref</em>, eight "
        "characters such as <code>ABCD2345</code>, stands for one person’s record. It says nothing by itself: only an "
        "admin of the force, with the vault, can turn it into a name. This page holds no name, and no content of any "
        "record.</p>\n");
}

void vf_report_put_notices(const struct vf_report *r, struct vf_page *p)
{
    static const struct {
        const char *class, *word;
    } level[] = {{"bad", "Serious."}, {"warn", "Look."}, {"note", "Note."}};
    bool any = false;
    bool serious = false;

    vf_page_put(p, "<section id=noticed><h2>To be noticed</h2>\n");
    for (int l = VF_NOTICE_BAD; l <= VF_NOTICE_INFO; l++) {
        for (size_t i = 0; i < r->nnotices; i++) {
            const struct vf_notice *n = &r->notice[i];
            if ((int)n->level != l)
                continue;
            if (!any)
                vf_page_put(p, "<ul class=plain>\n");
            any = true;
            serious = serious || n->level == VF_NOTICE_BAD;
            vf_page_fmt(p, "<li class=%s><span class=tag>%s</span>", level[l].class, level[l].word);
            vf_page_str(p, n->text);
            if (n->rule != NULL) {
                vf_page_put(p, "<small>");
                vf_page_str(p, n->rule);
                vf_page_put(p, "</small>");
            }
            vf_page_put(p, "\n");
        }
    }
    if (any)
        vf_page_fmt(
            p,
            "</ul>\n<p class=soft>%s: night shifts, a new printer driver, a backup that was let in by mistake look the "
            "same. Ask whoever runs that computer.</p>\n",
            serious
                ? "What is called serious does not happen on a computer that is in order: look into it first. The rest is "
                  "not a wrong by itself"
                : "None of this is a wrong by itself");
    else
        vf_page_put(
            p, "<p>Nothing that the rules of this page look for: no reads outside working hours or in bulk, no refusals, no "
               "program that could not be told or came late, no clock that was set, no gap in a log.</p>\n");
    if (r->nnotices == VF_NOTICES_MAX)
        vf_page_fmt(p, "<p>There is more than the %d points that are listed here.</p>\n", VF_NOTICES_MAX);
    vf_page_put(p, "</section>\n");
}

/* ---------------------------------------------------------------------------------------------------------------------- logs */

static void put_lines(struct vf_page *p, const char *word, const char (*lines)[240], size_t n)
{
    for (size_t i = 0; i < n; i++) {
        vf_page_fmt(p, "<li>%s", word);
        vf_page_str(p, lines[i]);
        vf_page_put(p, "\n");
    }
}

/* Where it lies: in words for what lies in the vault, whose folders are named by hashes. */
static void put_place(const struct vf_report *r, const struct vf_log_facts *l, struct vf_page *p)
{
    size_t len = r->vault != NULL ? strlen(r->vault->path) : 0;

    vf_page_put(p, "<small>");
    if (len > 0 && strncmp(l->path, r->vault->path, len) == 0 && strncmp(l->path + len, "/devices/", 9) == 0)
        vf_page_put(p, "the copy that it handed in, in the vault");
    else
        vf_page_str(p, l->path);
    vf_page_put(p, "</small>");
}

/* Of a copy: what only it tells. */
static void put_reads(const struct vf_log_facts *l, struct vf_page *p)
{
    uint64_t reads = vf_counts_reads(&l->c);
    char n[32], only[32];

    if (l->same_as == SIZE_MAX)
        vf_page_fmt(p, "; %s read%s.\n", vf_number(reads, n), reads == 1 ? "" : "s");
    else if (l->only > 0)
        vf_page_fmt(p, "; %s of them stand%s only here, with %s read%s.\n", vf_number(l->only, only),
                    l->only == 1 ? "s" : "", vf_number(reads, n), reads == 1 ? "" : "s");
    else
        vf_page_put(p, ".\n");
}

/* What looks the same to the minute is said once. */
static void put_span(struct vf_page *p, int64_t from_us, int64_t to_us)
{
    char from[64], to[64];

    vf_when(from_us, from);
    vf_when(to_us, to);
    if (strcmp(from, to) == 0)
        vf_page_fmt(p, "on %s", from);
    else
        vf_page_fmt(p, "from %s to %s", from, to);
}

static void put_log_facts(const struct vf_report *r, const struct vf_log_facts *l, struct vf_page *p)
{
    const struct vf_verdict *v = l->verdict;
    char n[32];

    put_place(r, l, p);
    vf_page_put(p, "<ul>\n");
    if (v->entries > 0) {
        vf_page_fmt(p, "<li>%s entr%s ", vf_number(v->entries, n), v->entries == 1 ? "y" : "ies");
        put_span(p, v->first_us, v->last_us);
        put_reads(l, p);
    } else {
        vf_page_put(p, "<li>It has no entries.\n");
    }
    if (v->sealed < v->entries)
        vf_page_fmt(p, "<li>%s of them %s.\n", vf_number(v->entries - v->sealed, n),
                    v->entries - v->sealed == 1 ? "is not proven: no checkpoint that holds covers it"
                                                : "are not proven: no checkpoint that holds covers them");
    put_lines(p, "Found: ", v->findings, v->nfindings);
    put_lines(p, "To know: ", v->notes, v->nnotes);
    vf_page_put(p, "</ul>\n");
}

static void put_log(const struct vf_report *r, size_t i, struct vf_page *p)
{
    const struct vf_log_facts *l = &r->f.log[i];
    const char *class = l->verdict == NULL || !l->verdict->good ? "bad" : l->verdict->origin_checked ? "good" : "warn";
    VF_BUF words = {0};

    vf_page_fmt(p, "<li class=%s><span class=tag>", class);
    vf_page_str(p, vf_label_short(l));
    vf_page_put(p, "</span>");
    vf_buf_init(&words, 4096);
    vf_report_log_words(r, i, &words);
    put_buf(p, &words);
    if (l->same_as != SIZE_MAX)
        vf_page_put(p, l->only > 0
                           ? " A copy of the same log as above or below: checked, and counted is what stands only here."
                           : " A copy of the same log as above or below: checked, and not counted twice.");
    if (l->verdict != NULL) {
        put_log_facts(r, l, p);
    } else {
        put_place(r, l, p);
        vf_page_put(p, "\n");
    }
}

static void put_silent(const struct vf_report *r, struct vf_page *p)
{
    char n[32];

    if (r->devices_silent > 0)
        vf_page_fmt(p, "<p>Of %s device%s that had grants no log is here.</p>\n", vf_number(r->devices_silent, n),
                    r->devices_silent == 1 ? "" : "s");
    if (r->vault == NULL)
        vf_page_put(
            p, "<p>This page was made without the vault. So it was not checked whose the logs are, whether a log of another "
               "device is missing, or what had been granted. With <code>--vault</code> it is.</p>\n");
    if (r->vault != NULL && r->vault->backup)
        vf_page_put(p, "<p>Of the force this page knows what a backup of the vault held; the logs inside the backup were "
                       "not read.</p>\n");
}

void vf_report_put_logs(const struct vf_report *r, struct vf_page *p)
{
    vf_page_put(
        p, "<section id=logs><h2>The logs</h2>\n<p>What is proven was sealed, at most a second after it was written, with a "
           "key that "
           "was then destroyed: nobody can have changed it since, the owner of the computer included. That the end of a log "
           "was not cut off shows only where somebody else holds a later checkpoint or receipt.</p>\n<ul class=plain>\n");
    for (size_t i = 0; i < r->f.nlogs; i++)
        put_log(r, i, p);
    vf_page_put(p, "</ul>\n");
    put_silent(r, p);
    vf_page_put(p, "</section>\n");
}

void vf_report_put_notes(const struct vf_report *r, struct vf_page *p)
{
    vf_page_put(
        p,
        "<section id=how><h2>How to read this</h2>\n"
        "<p><strong>What a log can tell.</strong> The honest program gives out no byte of a record before the entry for it "
        "is on the "
        "disk. Which user and which program asked is what that computer’s kernel said; who sat at the keyboard it cannot "
        "know. "
        "Through a file server, the program is the file server. What a program did with what it read, no log knows.</p>\n"
        "<p><strong>What it cannot tell.</strong> Whoever controlled the computer while a grant was in force could read "
        "what was "
        "granted around the program, without an entry. After a break-in, count everything granted as read: "
        "<code>audit exposure</code> does.</p>\n"
        "<p><strong>The rules.</strong> Working hours: 07:00 to 19:00 UTC, Monday to Friday. In bulk: 250 or more different "
        "records "
        "on one computer within ten minutes by the clock. A late program: its first read more than a day after the first "
        "read "
        "on that computer. Again and again: 50 openings of one record’s files. A late log: a grant in force, and seven days "
        "since the last hand-in.</p>\n"
        "<p><strong>From ref to name.</strong> An admin does it, with the vault: <code>record list --list REFS "
        "--fields name_on_card</code>, where REFS is a file of refs, one a line.</p>\n");
    if (r->f.beyond_days > 0)
        vf_page_fmt(
            p,
            "<p>Reads on more than %d different days: those on the days beyond are counted in all tables but that of "
            "days.</p>\n",
            VF_DAYS_MAX);
    vf_page_put(p, "</section>\n</main>\n<script>");
    put_pieces(p, vf_report_script, COUNT(vf_report_script));
    vf_page_put(p, "</script>\n</body></html>\n");
}
