/* SPDX-License-Identifier: MIT */
/* What is to be noticed, from the logs alone. Each rule is stated where it finds something. */
#include "html_report.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define NAMED 5 /* programs, jobs … that a sentence names before it says how many more there are */

enum vf_err vf_report_notice(struct vf_report *r, enum vf_notice_level level, const char *code, const char *rule,
                             struct vf_why *why, const char *fmt, ...)
{
    struct vf_notice *n = &r->notice[r->nnotices];
    char text[2048];
    va_list ap;

    if (r->nnotices == VF_NOTICES_MAX)
        return VF_OK; /* the tables have the rest */
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    n->level = level;
    n->code = code;
    n->text = malloc(sizeof(text));
    n->rule = rule != NULL ? strdup(rule) : NULL;
    r->nnotices++; /* freed with the report, whole or not */
    if (n->text == NULL || (rule != NULL && n->rule == NULL))
        return vf_fail(why, VF_E_NOMEM, "no memory for the report");
    vf_name_copy(text, strlen(text), n->text, sizeof(text)); /* whole characters */
    return VF_OK;
}

/* "3 reads", "1 read" */
static const char *plural(uint64_t n)
{
    return n == 1 ? "" : "s";
}

struct names {
    char text[1024];
    size_t n, named;
};
static void names_add(struct names *s, const char *what)
{
    size_t at = strlen(s->text);

    s->n++;
    if (s->named < NAMED) {
        (void)snprintf(s->text + at, sizeof(s->text) - at, "%s%s", s->named > 0 ? ", " : "", what);
        s->named++;
    }
}
static const char *names_end(struct names *s)
{
    size_t at = strlen(s->text);

    if (s->n > s->named)
        (void)snprintf(s->text + at, sizeof(s->text) - at, " and %zu more", s->n - s->named);
    return s->text;
}

/* ---------------------------------------------------------------------------------------------------------------- out of hours */

static const struct vf_row *most_out(const struct vf_rows *rows)
{
    const struct vf_row *best = NULL;

    for (size_t i = 0; i < rows->n; i++)
        if (rows->row[i].c.out_hours > 0 && (best == NULL || rows->row[i].c.out_hours > best->c.out_hours))
            best = &rows->row[i];
    return best;
}

static enum vf_err out_of_hours(struct vf_report *r, struct vf_why *why)
{
    uint64_t out = r->f.all.out_hours;
    uint64_t all = vf_counts_reads(&r->f.all);
    const struct vf_row *by = most_out(&r->f.programs);
    char a[32], b[32], c[32], program[VF_ROW_KEY_MAX], most[320] = "";

    if (out == 0)
        return VF_OK;
    if (by != NULL) {
        vf_program_name(by, program, sizeof(program));
        (void)snprintf(most, sizeof(most), " The program with most of them: %s (%s).", program,
                       vf_number(by->c.out_hours, c));
    }
    return vf_report_notice(
        r, VF_NOTICE_WARN, "out-of-hours",
        "Working hours are taken as 07:00 to 19:00 UTC, Monday to Friday; public holidays are not known.", why,
        "%s of %s read%s (%u %%) were outside working hours.%s", vf_number(out, a), vf_number(all, b), plural(all),
        vf_percent(out, all), most);
}

/* ------------------------------------------------------------------------------------------------------------------------ bulk */

static enum vf_err bulk(struct vf_report *r, struct vf_why *why)
{
    const struct vf_bulk *largest = NULL;
    char n[32], from[64], until[64], program[VF_ROW_KEY_MAX] = "a program beyond those told apart";
    char more[96] = "";

    for (size_t i = 0; i < r->f.nbulks; i++)
        if (largest == NULL || r->f.bulk[i].records > largest->records)
            largest = &r->f.bulk[i];
    if (largest == NULL)
        return VF_OK;
    uint64_t others = r->f.nbulks - 1 + r->f.beyond_bulks;
    vf_when(largest->from_us, from);
    vf_when(largest->until_us, until);
    if (largest->program != SIZE_MAX)
        vf_program_name(&r->f.programs.row[largest->program], program, sizeof(program));
    if (others > 0)
        (void)snprintf(more, sizeof(more), " It happened %llu more time%s.", (unsigned long long)others, plural(others));
    return vf_report_notice(
        r, VF_NOTICE_WARN, "bulk",
        "Told when 250 or more different records are opened on one computer within ten minutes by the clock "
        "(12:00 to 12:10, 12:10 to 12:20 …): faster than cards are printed, as fast as files are copied.",
        why, "Records were opened in bulk on %s: %s of them from %s to %s, most by %s.%s", r->f.log[largest->log].label,
        vf_number(largest->records, n), from, until, program, more);
}

static enum vf_err lists(struct vf_report *r, struct vf_why *why)
{
    struct names jobs = {0};
    char n[32];

    if (r->f.all.lists == 0)
        return VF_OK;
    for (size_t i = 0; i < r->f.lists.n; i++) {
        const char *name = r->f.lists.row[i].name;
        bool before = false; /* a renewal has the job's name */
        for (size_t j = 0; j < i && !before; j++)
            before = strcmp(r->f.lists.row[j].name, name) == 0;
        if (!before)
            names_add(&jobs, name[0] != '\0' ? name : "(no name)");
    }
    return vf_report_notice(
        r, VF_NOTICE_INFO, "whole-list", NULL, why,
        "A whole list (cards.csv) was opened %s%s, in the job%s %s. Each such opening gives out the text of "
        "every record of the job, and no picture.",
        r->f.all.lists == 1 ? "once" : vf_number(r->f.all.lists, n), r->f.all.lists == 1 ? "" : " times",
        jobs.n == 1 ? "" : "s", names_end(&jobs));
}

static enum vf_err often(struct vf_report *r, struct vf_why *why)
{
    uint64_t n = 0;
    uint64_t most = 0;
    const struct vf_ref_row *row = NULL;
    char a[32], b[32];

    for (size_t i = 0; i < r->f.refs.n; i++) {
        const struct vf_ref_row *x = &r->f.refs.row[i];
        uint64_t times = (uint64_t)x->opens[0] + x->opens[1] + x->repeats;
        if (times < VF_OFTEN)
            continue;
        n++;
        if (times > most) {
            most = times;
            row = x;
        }
    }
    if (row == NULL)
        return VF_OK;
    return vf_report_notice(r, VF_NOTICE_WARN, "often", "Told from 50 openings of one record’s files on, repeats included.",
                            why, "%s record%s opened again and again; most often %.8s, %s times.", vf_number(n, a),
                            n == 1 ? " was" : "s were", row->ref.c, vf_number(most, b));
}

/* --------------------------------------------------------------------------------------------------------------------- programs */

static enum vf_err unknown_program(struct vf_report *r, struct vf_why *why)
{
    char n[32];

    if (r->f.unknown_opens == 0)
        return VF_OK;
    return vf_report_notice(
        r, VF_NOTICE_WARN, "unknown-program", NULL, why,
        "%s read%s by a program that could not be told: it had ended, or hid, before the computer could name it. "
        "The user is known; see “By user”.",
        vf_number(r->f.unknown_opens, n), r->f.unknown_opens == 1 ? " was" : "s were");
}

static enum vf_err new_program(struct vf_report *r, struct vf_why *why)
{
    struct names found = {0};

    for (size_t i = 0; i < r->f.programs.n; i++) {
        const struct vf_row *p = &r->f.programs.row[i];
        int64_t first = r->f.log[p->log].c.first_us;
        char name[VF_ROW_KEY_MAX], when[64], text[256];
        if (vf_counts_reads(&p->c) == 0 || p->c.first_us - first < VF_NEW_PROGRAM_US)
            continue;
        vf_program_name(p, name, sizeof(name));
        vf_when(p->c.first_us, when);
        (void)snprintf(text, sizeof(text), "%s (%s)", name, when);
        names_add(&found, text);
    }
    if (found.n == 0)
        return VF_OK;
    return vf_report_notice(
        r, VF_NOTICE_WARN, "new-program",
        "Told when a program opens records for the first time more than a day after the first read on that computer.", why,
        "%zu program%s read records for the first time late: %s.", found.n, plural(found.n), names_end(&found));
}

/* --------------------------------------------------------------------------------------------------------------------- refusals */

static enum vf_err refusals(struct vf_report *r, struct vf_why *why)
{
    struct names found = {0};
    char n[32];

    if (r->f.all.denials == 0)
        return VF_OK;
    for (size_t i = 0; i < r->f.refusals.n; i++) {
        const struct vf_row *d = &r->f.refusals.row[i];
        size_t len;
        const char *code = vf_row_text(d, &len);
        const char *words = vf_result_words(code, len);
        char text[256], own[VF_ROW_KEY_MAX], count[32];
        vf_name_copy(code, len, own, sizeof(own));
        (void)snprintf(text, sizeof(text), "%s (%s)", words != NULL ? words : own, vf_number(d->c.denials, count));
        names_add(&found, text);
    }
    return vf_report_notice(r, VF_NOTICE_WARN, "refused",
                            "More than ten refusals of one user in a minute are counted together, not written one by one.",
                            why, "%s attempt%s to open a record %s refused; why: %s.", vf_number(r->f.all.denials, n),
                            plural(r->f.all.denials), r->f.all.denials == 1 ? "was" : "were", names_end(&found));
}

/* -------------------------------------------------------------------------------------------------------- what logs tell of themselves */

/* In the unit that a person would use. */
static void span_words(uint64_t seconds, char out[32])
{
    static const struct {
        uint64_t seconds;
        const char *name;
    } unit[] = {{86400, "day"}, {3600, "hour"}, {60, "minute"}, {1, "second"}};
    size_t i = 0;
    char n[32];

    while (i < 3 && seconds < 2 * unit[i].seconds)
        i++;
    uint64_t number = seconds / unit[i].seconds;
    (void)snprintf(out, 32, "%.16s %s%s", vf_number(number, n), unit[i].name, plural(number));
}

static void happening_words(const struct vf_report *r, const struct vf_happening *h, char out[256])
{
    char when[64], n[32];
    const char *where = r->f.log[h->log].label;

    vf_when(h->time_us, when);
    (void)vf_number(h->count, n);
    if (h->event == VF_EVENT_CLOCK)
        span_words(h->count, n);
    if (h->event == VF_EVENT_CLOCK)
        (void)snprintf(out, 256, "on %s on %s, %s by %s", where, when, h->back ? "back" : "forward", n);
    else if (h->event == VF_EVENT_GAP)
        (void)snprintf(out, 256, "on %s, told on %s, %s entr%s", where, when, n, h->count == 1 ? "y" : "ies");
    else
        (void)snprintf(out, 256, "on %s on %s", where, when);
}

static enum vf_err happened(struct vf_report *r, enum vf_event event, enum vf_notice_level level, const char *code,
                            const char *what, const char *means, struct vf_why *why)
{
    struct names found = {0};
    const char *more = r->f.beyond_happenings > 0 ? " (there are more than are told apart)" : "";

    for (size_t i = 0; i < r->f.nhappenings; i++) {
        char text[256];
        if (r->f.happening[i].event != event)
            continue;
        happening_words(r, &r->f.happening[i], text);
        names_add(&found, text);
    }
    if (found.n == 0)
        return VF_OK;
    return vf_report_notice(r, level, code, means, why, "%s: %s%s.", what, names_end(&found), more);
}

static enum vf_err of_logs(struct vf_report *r, struct vf_why *why)
{
    VF_TRY(happened(r, VF_EVENT_CLOCK, VF_NOTICE_WARN, "clock", "A clock was set",
                    "Times before and after a step do not compare to the second. Times within a log never go back.", why));
    VF_TRY(happened(r, VF_EVENT_GAP, VF_NOTICE_WARN, "gap",
                    "A log could not be written for a while, and entries were lost or refused",
                    "Nothing can be opened while the log cannot be written.", why));
    return happened(r, VF_EVENT_RECOVER, VF_NOTICE_INFO, "recovery", "The program ended without warning and started again",
                    "A power cut, a crash or a killed program. What had been given out before stands in the log.", why);
}

static enum vf_err lone_repeats(struct vf_report *r, struct vf_why *why)
{
    uint64_t n = r->f.lone_repeats;
    char a[32];

    if (n == 0)
        return VF_OK;
    return vf_report_notice(
        r, VF_NOTICE_WARN, "repeat-alone",
        "A repeat follows the entry of a first opening. Where that is missing, the repeat is counted as one read.", why,
        "%s time%s a log tells of repeated openings and not of the first one. The record was read all the same.",
        vf_number(n, a), plural(n));
}

/* Copies of one log that went apart: what only the worse one tells. */
static enum vf_err only_copies(struct vf_report *r, struct vf_why *why)
{
    for (size_t i = 0; i < r->f.nlogs; i++) {
        const struct vf_log_facts *l = &r->f.log[i];
        uint64_t reads = vf_counts_reads(&l->c);
        char n[32];
        if (l->same_as == SIZE_MAX || reads == 0)
            continue;
        VF_TRY(vf_report_notice(
            r, VF_NOTICE_BAD, "other-copy",
            "Of two copies of one log that do not agree, the better one is shown whole, and of the other what only it "
            "tells. Reads are counted from both: it is safer to count one too many.",
            why, "%s read%s only in another copy of the log of %s%s: %s.", vf_number(reads, n),
            reads == 1 ? " stands" : "s stand", l->label,
            l->verdict != NULL && l->verdict->good ? "" : ", one that is not good", l->path));
    }
    return VF_OK;
}

enum vf_err vf_report_find(struct vf_report *r, struct vf_why *why)
{
    VF_TRY(only_copies(r, why));
    VF_TRY(vf_report_find_case(r, why));
    VF_TRY(bulk(r, why));
    VF_TRY(out_of_hours(r, why));
    VF_TRY(unknown_program(r, why));
    VF_TRY(new_program(r, why));
    VF_TRY(often(r, why));
    VF_TRY(refusals(r, why));
    VF_TRY(lone_repeats(r, why));
    VF_TRY(of_logs(r, why));
    return lists(r, why);
}
