/* SPDX-License-Identifier: MIT */
#include "audit.h"

#include <string.h>

/* ---------------------------------------------------------------------------------------------------------------- pieces */

static void put(struct vf_buf *out, const struct vf_entry_text *t)
{
    vf_buf_put(out, t->p, t->len);
}

static bool is(const struct vf_entry_text *t, const char *text)
{
    return t->p && t->len == strlen(text) && memcmp(t->p, text, t->len) == 0;
}

/*
 * A string of the log on a terminal: as it stands there, still escaped, so that no control character comes through; the log's own parser lets
 * none through unescaped, nor anything that would turn the direction of writing. A hash is cut to what tells it from another.
 */
static void put_shown(struct vf_buf *out, const struct vf_entry_text *t)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < t->len;) {
        size_t hex = 0;
        while (i + hex < t->len && memchr(digits, t->p[i + hex], sizeof(digits) - 1))
            hex++;
        size_t n = hex == 0 ? 1 : hex;
        vf_buf_put(out, t->p + i, hex >= 32 ? 8 : n);
        if (hex >= 32)
            vf_buf_text(out, "…");
        i += n;
    }
}

/* "A","B" as A, B: at most `max` of them, then how many more. */
static void put_list(struct vf_buf *out, const struct vf_entry_text *t, size_t max, const char *between)
{
    size_t n = 0;
    const char *end = t->p + t->len;
    for (const char *p = t->p; p < end; n++) {
        const char *close = memchr(p + 1, '"', (size_t)(end - p - 1));
        if (!close)
            break;
        if (n < max) {
            vf_buf_text(out, n ? between : "");
            vf_buf_put(out, p + 1, (size_t)(close - p - 1));
        }
        p = close + 2;
    }
    if (n > max)
        vf_buf_fmt(out, " and %zu more", n - max);
}

static size_t count_list(const struct vf_entry_text *t)
{
    size_t quotes = 0;
    for (size_t i = 0; i < t->len; i++)
        quotes += t->p[i] == '"' ? 1 : 0;
    return quotes / 2;
}

/* ------------------------------------------------------------------------------------------------------------- for people */

/* What an error that a program got means. */
static const char *reason(const struct vf_entry_text *result)
{
    static const struct {
        const char *code, *text;
    } rows[] = {{"EKEYEXPIRED", "the grant has ended"},
                {"EKEYREVOKED", "the grant was revoked"},
                {"ENOKEY", "not yet valid, or no key from the desk"},
                {"EDQUOT", "budget or rate used up"},
                {"EKEYREJECTED", "the clock was moved back"},
                {"EIO", "damaged, or not what was signed"},
                {"ENOSPC", "the log could not be written"},
                {"EACCES", "not allowed"},
                {"EROFS", "nothing can be written"},
                {"counted", "several, counted together"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (is(result, rows[i].code))
            return rows[i].text;
    return NULL;
}

/* Its count is that of the records that it names. */
static bool counts_records(enum vf_event event)
{
    return event == VF_EVENT_OPEN || event == VF_EVENT_GRANT || event == VF_EVENT_SIGN || event == VF_EVENT_RECEIVE ||
           event == VF_EVENT_VIEW;
}

/* The records: refs, or all of the grant's. */
static void put_records(struct vf_buf *out, const struct vf_entry_view *e, const char *ref, bool certain)
{
    if (e->all) {
        vf_buf_text(out, "every record of ");
        if (e->grant.p) {
            vf_buf_text(out, "grant ");
            put(out, &e->grant);
        } else {
            vf_buf_text(out, "its grant");
        }
        if (e->has_count && counts_records(e->event))
            vf_buf_fmt(out, " (%llu record%s)", (unsigned long long)e->count, kt_s(e->count));
        if (ref)
            vf_buf_fmt(out, certain ? ", %s among them" : ", so %s if that grant has it", ref);
    } else if (e->refs.p) {
        size_t n = count_list(&e->refs);
        vf_buf_text(out, n == 1 ? "record " : "records ");
        if (ref && n > 4)
            vf_buf_fmt(out, "%s and %zu more", ref, n - 1);
        else
            put_list(out, &e->refs, 4, ", ");
    }
}

/* What of the records: the fields, or else the part. */
static void put_what(struct vf_buf *out, const struct vf_entry_view *e)
{
    bool records = e->all || e->refs.p;
    if (!e->fields.p && !e->part.p)
        return;
    vf_buf_text(out, " ");
    if (e->fields.p)
        put_list(out, &e->fields, 32, ", ");
    else
        put(out, &e->part);
    vf_buf_text(out, records ? " of" : "");
}

static const char *verb_of(enum vf_event event)
{
    static const char *const verbs[VF_EVENT_COUNT] = {
        [VF_EVENT_MOUNT] = "mounted",
        [VF_EVENT_OPEN] = "opened",
        [VF_EVENT_DENY] = "refused",
        [VF_EVENT_REPEAT] = "opened again",
        [VF_EVENT_EXPIRE] = "grant ended",
        [VF_EVENT_REVOKE] = "revoked",
        [VF_EVENT_RELEASE] = "keys released",
        [VF_EVENT_REFUSE] = "keys refused",
        [VF_EVENT_RECEIVE] = "received",
        [VF_EVENT_UNMOUNT] = "unmounted",
        [VF_EVENT_CLOCK] = "clock moved",
        [VF_EVENT_SEAL] = "sealed",
        [VF_EVENT_RECOVER] = "began again after a crash",
        [VF_EVENT_GAP] = "entries lost or refused",
        [VF_EVENT_IMPORT] = "imported",
        [VF_EVENT_CHANGE] = "changed",
        [VF_EVENT_VIEW] = "looked at",
        [VF_EVENT_GRANT] = "granted",
        [VF_EVENT_SIGN] = "signed",
        [VF_EVENT_EXPORT] = "exported",
        [VF_EVENT_ERASE] = "erased",
        [VF_EVENT_POLICY] = "policy",
        [VF_EVENT_REKEY] = "new vault key",
        [VF_EVENT_HANDIN] = "log handed in",
        [VF_EVENT_TIME] = "trusted time",
    };
    return verbs[event] ? verbs[event] : vf_event_text(event);
}

/* The count in words; of an opening of everything it stands with the records. */
static void put_count(struct vf_buf *out, const struct vf_entry_view *e)
{
    unsigned long long n = e->count;
    if (!e->has_count)
        return;
    if (e->event == VF_EVENT_REPEAT || e->event == VF_EVENT_DENY)
        vf_buf_fmt(out, ", %llu time%s", n, kt_s(n));
    else if (e->event == VF_EVENT_CLOCK)
        vf_buf_fmt(out, " by %llu second%s", n, kt_s(n));
    else if (e->event == VF_EVENT_GAP || e->event == VF_EVENT_HANDIN || e->event == VF_EVENT_RECOVER)
        vf_buf_fmt(out, ", %llu entr%s", n, kt_ies(n));
    else if (e->event == VF_EVENT_EXPORT || (e->event == VF_EVENT_RECEIVE && !e->all))
        vf_buf_fmt(out, ", %llu value%s", n, kt_s(n));
    else if (!e->all || !counts_records(e->event))
        vf_buf_fmt(out, ", %llu counted", n);
}

static void put_text(struct vf_buf *out, const char *before, const struct vf_entry_text *t)
{
    if (!t->p)
        return;
    vf_buf_text(out, before);
    put_shown(out, t);
}

static void put_who(struct vf_buf *out, const struct vf_entry_view *e)
{
    if (e->has_caller)
        vf_buf_fmt(out, "; by uid %u", (unsigned)e->uid);
    if (e->exe.p) {
        if (is(&e->exe, "unknown"))
            vf_buf_text(out, e->has_caller ? ", program unknown" : "; program unknown");
        else
            put_text(out, e->has_caller ? ", " : "; by ", &e->exe);
    }
    if (e->has_caller)
        vf_buf_fmt(out, " (process %d)", (int)e->pid);
}

static void put_time(struct vf_buf *out, int64_t us)
{
    char t[VF_TIME_LEN + 1];
    vf_time_format(us, t);
    vf_buf_fmt(out, "%.10s %.8s UTC", t, t + 11);
}

/* At the force the recipient is the admin who did it, unless a grant says whom it was for. */
static bool done_by(const struct vf_entry_view *e)
{
    return !e->grant.p && (e->event == VF_EVENT_IMPORT || e->event == VF_EVENT_CHANGE || e->event == VF_EVENT_VIEW ||
                           e->event == VF_EVENT_ERASE || e->event == VF_EVENT_POLICY || e->event == VF_EVENT_REKEY);
}

/* Of an import: which file, in few characters, and what came of it. */
static void put_object(struct vf_buf *out, const struct vf_entry_view *e)
{
    static const char hash[] = "sha256:";
    struct vf_entry_text rest = e->object;
    if (e->event != VF_EVENT_IMPORT || rest.len < sizeof(hash) - 1 + 64 || memcmp(rest.p, hash, sizeof(hash) - 1) != 0) {
        put_text(out, ": ", &e->object);
        return;
    }
    vf_buf_text(out, " a file whose SHA-256 begins with ");
    vf_buf_put(out, rest.p + sizeof(hash) - 1, 8);
    rest.p += sizeof(hash) - 1 + 64;
    rest.len -= sizeof(hash) - 1 + 64;
    if (rest.len > 0)
        put_text(out, ":", &rest);
}

void kt_entry_text(const struct vf_entry_view *e, const char *ref, bool certain, const char *mark, struct vf_buf *out)
{
    vf_buf_fmt(out, "%8llu  ", (unsigned long long)e->seq);
    put_time(out, e->time_us);
    vf_buf_fmt(out, "  %s", verb_of(e->event));
    if (e->event == VF_EVENT_CLOCK)
        put_text(out, " ", &e->result);
    bool records = e->all || e->refs.p;
    if (e->event == VF_EVENT_RECEIVE)
        put_text(out, " ", &e->object);
    put_what(out, e);
    if (records) {
        vf_buf_text(out, e->event == VF_EVENT_RECEIVE ? ": " : " ");
        put_records(out, e, ref, certain);
    }
    if (e->event == VF_EVENT_REVOKE)
        put_text(out, e->grant.p ? " grant " : " the device ", e->grant.p ? &e->grant : &e->recipient);
    if (e->event != VF_EVENT_RECEIVE)
        put_object(out, e);
    put_count(out, e);
    put_text(out, ", job ", &e->job);
    if (e->grant.p && !e->all && e->event != VF_EVENT_REVOKE)
        put_text(out, ", grant ", &e->grant);
    if (e->event != VF_EVENT_REVOKE || e->grant.p)
        put_text(out, done_by(e) ? ", by " : ", for ", &e->recipient);
    put_who(out, e);
    if (!is(&e->result, "ok") && e->event != VF_EVENT_CLOCK) {
        put_text(out, "; ", &e->result);
        const char *text = reason(&e->result);
        if (text)
            vf_buf_fmt(out, ": %s", text);
    }
    vf_buf_fmt(out, "%s\n", mark);
}

/* --------------------------------------------------------------------------------------------------------- for machines */

void kt_entry_json(const struct vf_entry_view *e, bool sealed, struct vf_buf *out)
{
    vf_buf_put(out, e->line, e->line_len - 1); /* a well-formed entry ends with "}" */
    vf_buf_text(out, sealed ? ",\"sealed\":true}" : ",\"sealed\":false}");
}

static const char columns[] =
    "seq,time,event,category,grant,job,recipient,refs,manifest,part,fields,bytes,uid,pid,exe,count,object,host,"
    "session,result,sealed";

void kt_entry_csv_header(struct vf_buf *out)
{
    for (const char *p = columns; *p;) {
        size_t n = strcspn(p, ",");
        vf_buf_text(out, p == columns ? "\"" : ",\"");
        vf_buf_put(out, p, n);
        vf_buf_text(out, "\"");
        p += n + (p[n] ? 1 : 0);
    }
    vf_buf_text(out, "\r\n");
}

/*
 * One field. Of the log's escapes only \" and \\ are undone (a line break or control character stays written out, so that one line is one
 * entry); quotes are doubled. What a spreadsheet would take for a formula gets an apostrophe in front.
 */
static void put_csv(struct vf_buf *out, const struct vf_entry_text *t)
{
    vf_buf_text(out, ",\"");
    if (t->len > 0 && vf_csv_runs(t->p, t->len))
        vf_buf_text(out, "'");
    for (size_t i = 0; i < t->len;) {
        const char *escape = memchr(t->p + i, '\\', t->len - i);
        size_t n = escape ? (size_t)(escape - t->p) - i : t->len - i;
        vf_buf_put(out, t->p + i, n);
        i += n;
        if (!escape || i + 1 >= t->len)
            break;
        vf_buf_put(out, t->p[i + 1] == '"' ? "\"\"" : t->p + i, t->p[i + 1] == '\\' ? 1 : 2);
        i += 2;
    }
    vf_buf_text(out, "\"");
}

static void put_csv_number(struct vf_buf *out, bool has, uint64_t n)
{
    /* Four of these a line, millions of lines: printf would be most of the work. */
    char digits[24] = ",\"";
    size_t len = 0;
    char back[20];
    for (; has && (n > 0 || len == 0); n /= 10)
        back[len++] = (char)('0' + n % 10);
    size_t at = 2;
    while (len > 0)
        digits[at++] = back[--len];
    digits[at++] = '"';
    vf_buf_put(out, digits, at);
}

static void put_csv_list(struct vf_buf *out, const struct vf_entry_text *t)
{
    vf_buf_text(out, ",\"");
    if (t->p)
        put_list(out, t, SIZE_MAX, " ");
    vf_buf_text(out, "\"");
}

/* The category stands in the line, behind the event. */
static struct vf_entry_text category_of(const struct vf_entry_view *e)
{
    static const char name[] = ",\"category\":\"";
    /* A quote within a string is escaped, so that this stands nowhere else. */
    size_t look = e->line_len < 128 ? e->line_len : 128;
    const char *at = memmem(e->line, look, name, sizeof(name) - 1);
    if (!at)
        return (struct vf_entry_text){0};
    at += sizeof(name) - 1;
    const char *end = memchr(at, '"', (size_t)(e->line + e->line_len - at));
    return (struct vf_entry_text){at, end ? (size_t)(end - at) : 0};
}

void kt_entry_csv(const struct vf_entry_view *e, bool sealed, struct vf_buf *out)
{
    const struct vf_entry_text category = category_of(e);
    /* {"seq":N,"time":"T": a well-formed line has both in this one form. */
    const char *seq = e->line + strlen("{\"seq\":");
    const char *comma = memchr(seq, ',', e->line_len - strlen("{\"seq\":"));
    if (!comma)
        return;
    vf_buf_text(out, "\"");
    vf_buf_put(out, seq, (size_t)(comma - seq));
    vf_buf_text(out, "\",\"");
    vf_buf_put(out, comma + strlen(",\"time\":\""), VF_TIME_US_LEN);
    vf_buf_text(out, "\",\"");
    vf_buf_text(out, vf_event_text(e->event));
    vf_buf_text(out, "\"");
    put_csv(out, &category);
    put_csv(out, &e->grant);
    put_csv(out, &e->job);
    put_csv(out, &e->recipient);
    if (e->all)
        vf_buf_text(out, ",\"all\"");
    else
        put_csv_list(out, &e->refs);
    put_csv(out, &e->manifest);
    put_csv(out, &e->part);
    put_csv_list(out, &e->fields);
    put_csv_number(out, e->has_bytes, e->bytes);
    put_csv_number(out, e->has_caller, e->uid);
    put_csv_number(out, e->has_caller, (uint64_t)(e->pid > 0 ? e->pid : 0));
    put_csv(out, &e->exe);
    put_csv_number(out, e->has_count, e->count);
    put_csv(out, &e->object);
    put_csv(out, &e->host);
    put_csv(out, &e->session);
    put_csv(out, &e->result);
    vf_buf_text(out, sealed ? ",\"true\"\r\n" : ",\"false\"\r\n");
}
