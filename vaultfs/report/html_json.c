/* SPDX-License-Identifier: MIT */
/* The same facts as one JSON document, written as it goes: a million records are no more memory than one. */
#include "html_report.h"

#include <string.h>

typedef unsigned long long ull;

struct json {
    struct vf_page *p;
    bool comma;
};

static void raw(struct json *j, const char *text)
{
    vf_page_put(j->p, text);
}

static void text(struct json *j, const char *s, size_t len)
{
    if (j->p->err == VF_OK)
        vf_buf_json(&j->p->buf, s, len);
}

static void key(struct json *j, const char *name)
{
    vf_page_fmt(j->p, "%s\"%s\":", j->comma ? "," : "", name);
    j->comma = true;
}

static void open_item(struct json *j, const char *bracket)
{
    if (j->comma)
        raw(j, ",\n");
    raw(j, bracket);
    j->comma = false;
}

static void open_key(struct json *j, const char *name, const char *bracket)
{
    key(j, name);
    raw(j, bracket);
    j->comma = false;
}

static void close_with(struct json *j, const char *bracket)
{
    raw(j, bracket);
    j->comma = true;
}

static void number(struct json *j, const char *name, uint64_t n)
{
    key(j, name);
    vf_page_fmt(j->p, "%llu", (ull)n);
}

static void boolean(struct json *j, const char *name, bool b)
{
    key(j, name);
    raw(j, b ? "true" : "false");
}

static void string(struct json *j, const char *name, const char *s)
{
    key(j, name);
    text(j, s, strlen(s));
}

static void when(struct json *j, const char *name, int64_t us, bool any)
{
    char t[VF_TIME_LEN + 1];

    key(j, name);
    if (any) {
        vf_time_format(us, t);
        vf_page_fmt(j->p, "\"%s\"", t);
    } else {
        raw(j, "null");
    }
}

static void fields(struct json *j, const char *name, vf_field_set set)
{
    open_key(j, name, "[");
    for (unsigned f = 1; f < VF_FIELD_COUNT; f++) {
        if ((set & VF_FIELD_BIT(f)) == 0 || vf_field_info(f) == NULL)
            continue;
        vf_page_fmt(j->p, "%s\"%s\"", j->comma ? "," : "", vf_field_info(f)->name);
        j->comma = true;
    }
    if ((set & VF_FIELD_BIT(0)) != 0)
        raw(j, j->comma ? ",\"unknown\"" : "\"unknown\"");
    close_with(j, "]");
}

static void counts(struct json *j, const struct vf_counts *c)
{
    bool any = c->first_us <= c->last_us;

    number(j, "reads", vf_counts_reads(c));
    number(j, "text", c->opens[0]);
    number(j, "image", c->opens[1]);
    number(j, "lists", c->lists);
    number(j, "repeats", c->repeats);
    number(j, "refused", c->denials);
    number(j, "released", c->released);
    number(j, "out_of_hours", c->out_hours);
    number(j, "unproven", c->unproven);
    when(j, "first", c->first_us, any);
    when(j, "last", c->last_us, any);
    fields(j, "fields", c->fields);
}

static void lines(struct json *j, const char *name, const char (*line)[240], size_t n)
{
    open_key(j, name, "[");
    for (size_t i = 0; i < n; i++) {
        raw(j, i > 0 ? "," : "");
        text(j, line[i], strlen(line[i]));
    }
    close_with(j, "]");
}

static void put_log(struct json *j, const struct vf_report *r, size_t i)
{
    static const char *const kinds[] = {[VF_LOG_STATION] = "station", [VF_LOG_VAULT] = "vault", [VF_LOG_DESK] = "desk"};
    const struct vf_log_facts *l = &r->f.log[i];
    const struct vf_verdict *v = l->verdict;
    char hex[2 * VF_HASH_LEN + 1];

    open_item(j, "{");
    string(j, "path", l->path);
    string(j, "label", vf_label_short(l));
    boolean(j, "read", v != NULL);
    boolean(j, "counted", v != NULL && l->same_as == SIZE_MAX);
    if (v == NULL) {
        string(j, "why", l->why);
        close_with(j, "}");
        return;
    }
    vf_hex(v->id.b, VF_HASH_LEN, hex);
    string(j, "log_id", hex);
    if (l->has_origin) {
        string(j, "kind", kinds[l->origin.kind]);
        string(j, "owner", l->origin.owner);
    }
    boolean(j, "good", v->good);
    boolean(j, "origin_checked", v->origin_checked);
    number(j, "entries", v->entries);
    number(j, "sealed", v->sealed);
    when(j, "from", v->first_us, v->entries > 0);
    when(j, "to", v->last_us, v->entries > 0);
    when(j, "sealed_until", v->sealed_until_us, v->sealed > 0);
    number(j, "recoveries", v->recoveries);
    number(j, "gaps", v->gaps);
    number(j, "lost", v->lost);
    number(j, "clock_steps", v->clock_steps);
    if (l->same_as != SIZE_MAX)
        number(j, "entries_only_here", l->only);
    lines(j, "findings", v->findings, v->nfindings);
    lines(j, "notes", v->notes, v->nnotes);
    open_key(j, "counts", "{");
    counts(j, &l->c);
    close_with(j, "}}");
}

static void put_notices(struct json *j, const struct vf_report *r)
{
    static const char *const levels[] = {"serious", "look", "note"};

    open_key(j, "notices", "[");
    for (size_t i = 0; i < r->nnotices; i++) {
        open_item(j, "{");
        string(j, "level", levels[r->notice[i].level]);
        string(j, "code", r->notice[i].code);
        string(j, "text", r->notice[i].text);
        if (r->notice[i].rule != NULL)
            string(j, "rule", r->notice[i].rule);
        close_with(j, "}");
    }
    close_with(j, "],\n");
    j->comma = false;
}

static void put_days(struct json *j, const struct vf_report *r)
{
    open_key(j, "days", "[");
    for (size_t i = 0; i < r->f.ndays; i++) {
        char t[VF_TIME_LEN + 1];
        vf_time_format(r->f.day[i].day * VF_DAY_US, t);
        vf_page_fmt(j->p, "%s{\"day\":\"%.10s\",\"reads_by_hour_utc\":[", i > 0 ? ",\n" : "", t);
        for (unsigned h = 0; h < 24; h++)
            vf_page_fmt(j->p, "%s%llu", h > 0 ? "," : "", (ull)r->f.day[i].reads[h]);
        raw(j, "]}");
    }
    close_with(j, "],\n");
    j->comma = false;
}

static void mask_names(struct json *j, const struct vf_report *r, const char *name, uint64_t mask,
                       const struct vf_rows *rows, bool jobs)
{
    open_key(j, name, "[");
    for (size_t i = 0; i < 63 && i < rows->n; i++) {
        char words[VF_ROW_KEY_MAX];
        const struct vf_row *row = &rows->row[i];
        if ((mask >> i & 1) == 0)
            continue;
        if (jobs)
            (void)snprintf(words, sizeof(words), "%.*s", VF_GRANT_ID_LEN, row->key + 2);
        else
            vf_program_name(row, words, sizeof(words));
        raw(j, j->comma ? "," : "");
        text(j, words, strlen(words));
        j->comma = true;
    }
    if (mask >> 63 != 0)
        raw(j, j->comma ? ",\"others\"" : "\"others\"");
    close_with(j, "]");
    (void)r;
}

static void put_grants(struct json *j, const struct vf_report *r)
{
    open_key(j, "grants", "[");
    for (size_t i = 0; i < r->f.grants.n; i++) {
        const struct vf_row *g = &r->f.grants.row[i];
        size_t len;
        const char *id = vf_row_text(g, &len);
        open_item(j, "{");
        key(j, "grant");
        text(j, id, len);
        string(j, "job", g->name);
        string(j, "recipient", g->other);
        counts(j, &g->c);
        fields(j, "granted", g->granted);
        number(j, "granted_records", g->granted_records);
        if (i < 63) {
            number(j, "different_text", g->distinct[0]);
            number(j, "different_image", g->distinct[1]);
        }
        close_with(j, "}");
    }
    close_with(j, "],\n");
    j->comma = false;
}

static void put_people(struct json *j, const struct vf_report *r)
{
    open_key(j, "programs", "[");
    for (size_t i = 0; i < r->f.programs.n; i++) {
        char name[VF_ROW_KEY_MAX];
        open_item(j, "{");
        vf_program_name(&r->f.programs.row[i], name, sizeof(name));
        string(j, "program", name);
        string(j, "on", vf_label_short(&r->f.log[r->f.programs.row[i].log]));
        counts(j, &r->f.programs.row[i].c);
        close_with(j, "}");
    }
    close_with(j, "],\n");
    j->comma = false;
    open_key(j, "users", "[");
    for (size_t i = 0; i < r->f.users.n; i++) {
        open_item(j, "{");
        number(j, "uid", r->f.users.row[i].uid);
        string(j, "on", vf_label_short(&r->f.log[r->f.users.row[i].log]));
        counts(j, &r->f.users.row[i].c);
        mask_names(j, r, "programs", r->f.users.row[i].programs, &r->f.programs, false);
        close_with(j, "}");
    }
    close_with(j, "],\n");
    j->comma = false;
}

static void put_force(struct json *j, const struct vf_report *r)
{
    open_key(j, "at_the_force", "[");
    for (size_t i = 0; i < r->f.doings.n; i++) {
        const struct vf_row *d = &r->f.doings.row[i];
        char name[VF_ROW_KEY_MAX];
        size_t len;
        const char *who = vf_row_text(d, &len);
        vf_name_copy(who, len, name, sizeof(name));
        open_item(j, "{");
        string(j, "event", vf_event_text((enum vf_event)d->log));
        string(j, "by", name);
        number(j, "times", d->events);
        number(j, "count", d->records);
        when(j, "first", d->c.first_us, true);
        when(j, "last", d->c.last_us, true);
        close_with(j, "}");
    }
    close_with(j, "],\n");
    j->comma = false;
}

static void put_jobs(struct json *j, const struct vf_report *r)
{
    open_key(j, "jobs", "[");
    for (size_t i = 0; i < r->njobs; i++) {
        const struct vf_job_use *u = &r->job[i];
        open_item(j, "{");
        string(j, "job", u->job);
        string(j, "recipient", u->recipient);
        number(j, "grants", u->grants);
        boolean(j, "granted_known", u->granted != 0);
        fields(j, "granted", u->granted);
        fields(j, "never_read", u->granted & ~u->single & ~u->listed);
        fields(j, "only_in_lists", u->listed);
        fields(j, "read", u->single);
        number(j, "records", u->records);
        if (u->read[0] != UINT64_MAX) {
            number(j, "different_text", u->read[0]);
            number(j, "different_image", u->read[1]);
        }
        close_with(j, "}");
    }
    close_with(j, "],\n");
    j->comma = false;
}

static void put_records(struct json *j, const struct vf_report *r)
{
    open_key(j, "lists_not_told_apart", "[");
    for (size_t i = 0; i < r->f.lists.n; i++) {
        size_t len;
        const char *id = vf_row_text(&r->f.lists.row[i], &len);
        if (!vf_report_list_unknown(r, &r->f.lists.row[i]))
            continue;
        open_item(j, "{");
        key(j, "grant");
        text(j, id, len);
        counts(j, &r->f.lists.row[i].c);
        mask_names(j, r, "programs", r->f.lists.row[i].programs, &r->f.programs, false);
        close_with(j, "}");
    }
    close_with(j, "],\n");
    j->comma = false;
    open_key(j, "records", "[");
    for (size_t i = 0; i < r->f.refs.n && j->p->err == VF_OK; i++) {
        const struct vf_ref_row *x = &r->f.refs.row[i];
        bool any = x->first_us <= x->last_us;
        open_item(j, "{");
        key(j, "ref");
        text(j, x->ref.c, VF_REF_LEN);
        fields(j, "fields", x->fields);
        number(j, "text", x->opens[0]);
        number(j, "image", x->opens[1]);
        number(j, "repeats", x->repeats);
        boolean(j, "log_not_good", x->only_copy);
        when(j, "first", x->first_us, any);
        when(j, "last", x->last_us, any);
        mask_names(j, r, "grants", x->grants[0] | x->grants[1], &r->f.grants, true);
        mask_names(j, r, "programs", x->programs, &r->f.programs, false);
        close_with(j, "}");
    }
    close_with(j, "]");
}

static void put_head(struct json *j, const struct vf_report *r)
{
    VF_BUF headline = {0};
    VF_BUF more = {0};
    bool good;

    vf_buf_init(&headline, 4096);
    vf_buf_init(&more, 4096);
    vf_report_headline(r, &headline, &good);
    vf_report_headline_more(r, &more);
    if (!vf_report_whole(j->p, &headline) || !vf_report_whole(j->p, &more))
        return;
    when(j, "made", r->now_us, true);
    boolean(j, "good", good);
    key(j, "headline");
    text(j, (const char *)headline.data, headline.len);
    key(j, "more");
    text(j, more.len > 0 ? (const char *)more.data : "", more.len);
    boolean(j, "with_vault", r->vault != NULL);
    number(j, "devices_without_log", r->devices_silent);
    raw(j, ",\n");
    j->comma = false;
    open_key(j, "rules", "{");
    string(j, "working_hours", "07:00 to 19:00 UTC, Monday to Friday");
    number(j, "bulk_records_in_ten_minutes", VF_BULK_RECORDS);
    number(j, "often_from_openings", VF_OFTEN);
    number(j, "late_program_after_hours", VF_NEW_PROGRAM_US / (3600 * VF_SECOND_US));
    number(j, "late_handin_after_days", VF_HANDIN_LATE_US / VF_DAY_US);
    close_with(j, "},\n");
    j->comma = false;
    open_key(j, "total", "{");
    counts(j, &r->f.all);
    number(j, "different_records", r->f.refs.n);
    close_with(j, "},\n");
    j->comma = false;
}

enum vf_err vf_report_write_json(const struct vf_report *r, int fd, const char *what, struct vf_why *why)
{
    VF_CLEANUP(vf_page_done) struct vf_page p;
    struct json j = {.p = &p};

    vf_page_start(&p, fd, what, why);
    raw(&j, "{");
    put_head(&j, r);
    open_key(&j, "logs", "[");
    for (size_t i = 0; i < r->f.nlogs; i++)
        put_log(&j, r, i);
    close_with(&j, "],\n");
    j.comma = false;
    put_notices(&j, r);
    put_days(&j, r);
    put_grants(&j, r);
    put_people(&j, r);
    put_force(&j, r);
    put_jobs(&j, r);
    put_records(&j, r);
    raw(&j, "}\n");
    return vf_page_end(&p);
}
