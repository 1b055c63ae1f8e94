/* SPDX-License-Identifier: MIT */
/* Sentences, numbers and times, as the page and the document say them. */
#include "html_report.h"

#include <string.h>

const char *vf_number(uint64_t n, char out[32])
{
    char digits[24];
    int len = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)n);
    size_t at = 0;

    for (int i = 0; i < len && at < 30; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            out[at++] = ',';
        out[at++] = digits[i];
    }
    out[at] = '\0';
    return out;
}

void vf_when(int64_t us, char out[64])
{
    vf_time_format_person(us, out, 64);
}

const char *vf_label_short(const struct vf_log_facts *log)
{
    return strncmp(log->label, "the ", 4) == 0 ? log->label + 4 : log->label;
}

unsigned vf_percent(uint64_t part, uint64_t whole)
{
    if (whole == 0 || part == 0)
        return 0;
    if (part >= whole)
        return 100;
    /* In long double: the sums may fill 64 bits. */
    unsigned p = (unsigned)((long double)part * 100 / (long double)whole + 0.5L);
    return p == 0 ? 1 : p >= 100 ? 99 : p;
}

void vf_program_name(const struct vf_row *row, char *out, size_t size)
{
    size_t len;
    const char *text = vf_row_text(row, &len);

    if (row->key_len == 0)
        (void)snprintf(out, size, "other programs");
    else if (len == 7 && memcmp(text, "unknown", 7) == 0)
        (void)snprintf(out, size, "a program that could not be told");
    else
        vf_name_copy(text, len, out, size);
}

const char *vf_result_words(const char *result, size_t len)
{
    static const struct {
        const char *code, *words;
    } table[] = {
        {"EKEYEXPIRED", "the grant had ended"},
        {"EKEYREVOKED", "the grant had been revoked"},
        {"ENOKEY", "no key: the grant had not started, or the key desk gave none"},
        {"EDQUOT", "the budget of records was used up"},
        {"EKEYREJECTED", "the clock of the computer had been moved back"},
        {"EIO", "the data were damaged, or not what was signed"},
        {"ENOSPC", "the log could not be written"},
        {"EROFS", "an attempt to write"},
        {"EACCES", "this user may not read them"},
        {"ENOMEM", "not enough memory"},
        {"counted", "further refusals, counted together"},
        {"error", "another error"},
    };

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (strlen(table[i].code) == len && memcmp(table[i].code, result, len) == 0)
            return table[i].words;
    return NULL;
}

const char *vf_doing_words(enum vf_event event)
{
    static const char *const words[VF_EVENT_COUNT] = {
        [VF_EVENT_IMPORT] = "imported or restored records",
        [VF_EVENT_CHANGE] = "changed records or settings",
        [VF_EVENT_VIEW] = "looked at records",
        [VF_EVENT_GRANT] = "issued grants",
        [VF_EVENT_SIGN] = "signed",
        [VF_EVENT_EXPORT] = "exported deliveries",
        [VF_EVENT_ERASE] = "erased records",
        [VF_EVENT_POLICY] = "made or installed a policy",
        [VF_EVENT_REKEY] = "changed the vault’s key",
        [VF_EVENT_HANDIN] = "took a device’s log",
        [VF_EVENT_REVOKE] = "revoked a grant or device",
    };

    return (unsigned)event < VF_EVENT_COUNT && words[event] != NULL ? words[event] : vf_event_text(event);
}

bool vf_report_whole(struct vf_page *p, const struct vf_buf *words)
{
    if (p->err == VF_OK)
        p->err = vf_buf_check(words, p->what, p->why);
    return p->err == VF_OK;
}

/* ------------------------------------------------------------------------------------------------------------------- verdict */

static bool counts(const struct vf_log_facts *l)
{
    return l->same_as == SIZE_MAX;
}

void vf_report_log_words(const struct vf_report *r, size_t i, struct vf_buf *out)
{
    const struct vf_log_facts *l = &r->f.log[i];
    const struct vf_verdict *v = l->verdict;
    char when[64];

    if (v == NULL) {
        vf_buf_fmt(out, "could not be read: %s", l->why);
        return;
    }
    if (!v->good)
        vf_buf_text(out, "Not good: it was damaged or changed.");
    else if (v->origin_checked)
        vf_buf_text(out, "Whole: nothing was changed, removed or put in.");
    else
        vf_buf_text(out, "Whole in itself; whose log it is was not checked.");
    if (v->sealed > 0) {
        vf_when(v->sealed_until_us, when);
        vf_buf_fmt(out, " Proven until %s.", when);
    } else {
        vf_buf_text(out, " Nothing in it is proven: no checkpoint covers it.");
    }
}

static bool of_supplier(const struct vf_log_facts *l)
{
    return counts(l) && l->has_origin && l->origin.kind == VF_LOG_STATION;
}

struct tally {
    size_t logs, suppliers, bad, unread, unchecked, unproven;
    int64_t until_us; /* the earliest of a supplier's, or, without one, of the force's */
    size_t until_log, first_bad, first_unread, first_unproven;
};

static struct tally tally_of(const struct vf_report *r)
{
    struct tally t = {.until_us = INT64_MAX};
    bool any_supplier = false;

    for (size_t i = 0; i < r->f.nlogs; i++)
        any_supplier = any_supplier || (r->f.log[i].verdict != NULL && of_supplier(&r->f.log[i]));

    for (size_t i = 0; i < r->f.nlogs; i++) {
        const struct vf_log_facts *l = &r->f.log[i];
        const struct vf_verdict *v = l->verdict;
        t.logs += counts(l) ? 1 : 0;
        if (v == NULL) {
            if (t.unread++ == 0)
                t.first_unread = i;
            continue;
        }
        if (!v->good && t.bad++ == 0)
            t.first_bad = i;
        if (!counts(l))
            continue;
        t.unchecked += v->origin_checked ? 0 : 1;
        if (v->sealed == 0 && t.unproven++ == 0)
            t.first_unproven = i;
        t.suppliers += of_supplier(l) ? 1 : 0;
        if (v->sealed > 0 && v->sealed_until_us < t.until_us && (of_supplier(l) || !any_supplier)) {
            t.until_us = v->sealed_until_us;
            t.until_log = i;
        }
    }
    return t;
}

static void log_name(const struct vf_report *r, size_t i, struct vf_buf *out)
{
    vf_buf_fmt(out, "the log of %s", r->f.log[i].label);
}

static void bad_headline(const struct vf_report *r, const struct tally *t, struct vf_buf *out)
{
    const struct vf_verdict *v = r->f.log[t->first_bad].verdict;

    if (t->bad == 1)
        vf_buf_fmt(out, "The log of %s was damaged or changed", r->f.log[t->first_bad].label);
    else
        vf_buf_fmt(out, "%zu of %zu logs were damaged or changed, among them that of %s", t->bad, r->f.nlogs,
                   r->f.log[t->first_bad].label);
    if (v->nfindings > 0)
        vf_buf_fmt(out, ": %s", v->findings[0]);
    vf_buf_text(out, ".");
}

void vf_report_headline(const struct vf_report *r, struct vf_buf *out, bool *ret_good)
{
    struct tally t = tally_of(r);
    char when[64], copies[96] = "";

    *ret_good = t.logs > 0 && t.bad == 0 && t.unread == 0 && t.unproven == 0;
    if (t.logs == 0) {
        vf_buf_text(out, "There is no log: nothing can be said about what was read.");
        return;
    }
    if (t.bad > 0) {
        bad_headline(r, &t, out);
        return;
    }
    if (t.unread > 0) {
        const struct vf_log_facts *l = &r->f.log[t.first_unread];
        if (l->has_origin)
            vf_buf_fmt(out, "The log of %s could not be read: what it would tell is missing here.", l->label);
        else
            vf_buf_fmt(out, "A log could not be read: %s. What it would tell is missing here.", l->why);
        return;
    }
    if (t.unproven > 0) {
        vf_buf_fmt(out, "The log of %s has not been sealed: nothing proves what stands in it.",
                   r->f.log[t.first_unproven].label);
        return;
    }
    vf_when(t.until_us, when);
    if (r->f.nlogs > t.logs)
        (void)snprintf(copies, sizeof(copies), "; of them %zu copies were given, and all agree", r->f.nlogs);
    if (t.logs == 1)
        vf_buf_fmt(out, "The log of %s is whole until %s.", r->f.log[t.until_log].label, when);
    else if (t.logs == 2)
        vf_buf_fmt(out, "Both logs are whole until %s%s.", when, copies);
    else
        vf_buf_fmt(out, "All %zu logs are whole until %s%s.", t.logs, when, copies);
}

/* Of the damaged log there may be another copy that is whole: a device's folder and what it handed in before. */
static void other_copy(const struct vf_report *r, size_t bad, struct vf_buf *out)
{
    char when[64];

    for (size_t i = 0; i < r->f.nlogs; i++) {
        const struct vf_verdict *v = r->f.log[i].verdict;
        if (i == bad || v == NULL || !v->good || v->sealed == 0 ||
            memcmp(&v->id, &r->f.log[bad].verdict->id, sizeof(v->id)) != 0)
            continue;
        vf_when(v->sealed_until_us, when);
        vf_buf_fmt(out, "Another copy of that log is here, whole until %s%s. ", when,
                   counts(&r->f.log[i]) ? ", and that is the one that this page shows"
                                        : ": a report made without the damaged one shows what is proven");
        return;
    }
}

static uint64_t reads_of_bad(const struct vf_report *r)
{
    uint64_t n = 0;

    for (size_t i = 0; i < r->f.nlogs; i++)
        if (r->f.log[i].verdict == NULL || !r->f.log[i].verdict->good)
            n = vf_count_add(n, vf_counts_reads(&r->f.log[i].c));
    return n;
}

/* What the big sentence must not hide. */
void vf_report_headline_more(const struct vf_report *r, struct vf_buf *out)
{
    struct tally t = tally_of(r);
    char number[32];

    if (t.bad > 0 || t.unread > 0)
        vf_buf_text(out,
                    "What this page shows of such a log may be incomplete or untrue; what is missing from it counts as read "
                    "until somebody shows otherwise. ");
    else if (t.logs > 1 && t.until_us != INT64_MAX) {
        vf_buf_text(out, t.suppliers == 1   ? "So far is proven what stands in "
                         : t.suppliers == 0 ? "That is the earliest of their times, of "
                                            : "That is the earliest of the suppliers’ times, of ");
        log_name(r, t.until_log, out);
        vf_buf_text(out, "; each log has its own time below. ");
    }
    if (t.bad > 0)
        other_copy(r, t.first_bad, out);
    uint64_t doubtful = reads_of_bad(r);
    if (doubtful > 0)
        vf_buf_fmt(out, "%s of the reads told below %s from a log that is not good. ", vf_number(doubtful, number),
                   doubtful == 1 ? "comes" : "come");
    if (t.unchecked > 0)
        vf_buf_fmt(out, "%s: without the vault that knows the %s, anybody could have made %s. ",
                   t.unchecked == t.logs
                       ? (t.logs == 1 ? "Whose log it is was not checked" : "Whose logs they are was not checked")
                       : "Whose log it is was not checked for some of them",
                   t.unchecked == 1 ? "device" : "devices", t.unchecked == 1 ? "it" : "them");
    if (r->f.all.unproven > 0)
        vf_buf_fmt(out, "%s of the reads told below %s behind the last checkpoint, or in a damaged stretch. ",
                   vf_number(r->f.all.unproven, number),
                   r->f.all.unproven == 1 ? "is not proven: it stands" : "are not proven: they stand");
    if (r->devices_silent > 0)
        vf_buf_fmt(out, "Of %s %s no log is here: what was read there is not on this page. ",
                   vf_number(r->devices_silent, number), r->devices_silent == 1 ? "device" : "devices");
}
