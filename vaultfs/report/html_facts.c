/* SPDX-License-Identifier: MIT */
/* One entry at a time: openings of records. */
#include "html_facts.h"
#include "case.h"

#include <stdlib.h>
#include <string.h>

enum vf_err vf_facts_init(struct vf_facts *f, size_t nlogs, uint64_t seed, struct vf_why *why)
{
    *f = (struct vf_facts){.nlogs = nlogs, .span = INT64_MIN, .last_hour = INT64_MIN, .fork_window = VF_FORK_WINDOW};
    vf_counts_init(&f->all);
    vf_refs_init(&f->refs, seed, VF_REFS_MAX);
    f->log = calloc(nlogs > 0 ? nlogs : 1, sizeof(*f->log));
    f->day = calloc(VF_DAYS_MAX, sizeof(*f->day));
    if (f->log == NULL || f->day == NULL)
        return vf_fail(why, VF_E_NOMEM, "no memory for the report");
    for (size_t i = 0; i < nlogs; i++) {
        f->log[i].same_as = SIZE_MAX;
        vf_counts_init(&f->log[i].c);
    }
    VF_TRY(vf_rows_init(&f->programs, VF_PROGRAMS_MAX, why));
    VF_TRY(vf_rows_init(&f->users, VF_USERS_MAX, why));
    VF_TRY(vf_rows_init(&f->grants, VF_GRANTS_MAX, why));
    VF_TRY(vf_rows_init(&f->lists, VF_GRANTS_MAX, why));
    VF_TRY(vf_rows_init(&f->refusals, VF_WORDS_MAX, why));
    return vf_rows_init(&f->doings, VF_WORDS_MAX, why);
}

void vf_facts_done(struct vf_facts *f)
{
    for (size_t i = 0; f->log != NULL && i < f->nlogs; i++) {
        free(f->log[i].path);
        free(f->log[i].verdict);
    }
    free(f->log);
    free(f->day);
    vf_rows_done(&f->programs);
    vf_rows_done(&f->users);
    vf_rows_done(&f->grants);
    vf_rows_done(&f->lists);
    vf_rows_done(&f->refusals);
    vf_rows_done(&f->doings);
    vf_refs_done(&f->refs);
    *f = (struct vf_facts){0};
}

void vf_facts_unread(struct vf_log_facts *l, enum vf_err err, const char *reason)
{
    free(l->verdict);
    l->verdict = NULL;
    l->err = err;
    (void)snprintf(l->why, sizeof(l->why), "%s", reason);
}

/* ------------------------------------------------------------------------------------------------------------ hours and days */

unsigned vf_week_hour(int64_t us)
{
    int64_t hour = us / (3600 * VF_SECOND_US);

    return (unsigned)((hour + INT64_C(3) * 24) % (INT64_C(7) * 24)); /* 1 January 1970 was a Thursday */
}

bool vf_out_of_hours(int64_t us)
{
    unsigned h = vf_week_hour(us);

    return h >= 5 * 24 || h % 24 < VF_WORK_FROM || h % 24 >= VF_WORK_UNTIL;
}

/* Within one log days only grow; a second log begins in the past again. */
static struct vf_day *day_at(struct vf_facts *f, int64_t day)
{
    size_t low = 0;
    size_t high = f->ndays;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (f->day[mid].day < day)
            low = mid + 1;
        else
            high = mid;
    }
    if (low < f->ndays && f->day[low].day == day)
        return &f->day[low];
    if (f->ndays == VF_DAYS_MAX)
        return NULL;
    memmove(&f->day[low + 1], &f->day[low], (f->ndays - low) * sizeof(*f->day));
    f->day[low] = (struct vf_day){.day = day};
    f->ndays++;
    return &f->day[low];
}

static void take_hour(struct vf_facts *f, int64_t us)
{
    int64_t hour = us / (3600 * VF_SECOND_US);

    if (hour != f->last_hour) {
        f->last_hour = hour;
        f->last_day = day_at(f, hour / 24);
        f->last_out = vf_out_of_hours(us);
    }
    if (f->last_day != NULL)
        f->last_day->reads[hour % 24]++;
    else
        f->beyond_days++;
}

/* ------------------------------------------------------------------------------------------------------------------- spans */

static size_t busiest(const struct vf_facts *f, uint64_t *ret_reads)
{
    size_t best = 0;

    for (size_t i = 1; i < 64; i++)
        if (f->span_programs[i] > f->span_programs[best])
            best = i;
    *ret_reads = f->span_programs[best];
    return best < 63 ? best : SIZE_MAX;
}

/* The span is over: was it a bulk read? One that touches the last one goes on with it. */
static void close_span(struct vf_facts *f)
{
    struct vf_bulk *last = f->nbulks > 0 ? &f->bulk[f->nbulks - 1] : NULL;
    struct vf_bulk b = {.log = f->now, .from_us = f->span * VF_BULK_SPAN_US, .records = f->span_records};

    if (f->span_records >= VF_BULK_RECORDS) {
        b.until_us = b.from_us + VF_BULK_SPAN_US;
        b.program = busiest(f, &b.program_reads);
        if (last != NULL && last->log == b.log && last->until_us == b.from_us) {
            last->until_us = b.until_us;
            last->records = vf_count_add(last->records, b.records);
            if (last->program == b.program)
                last->program_reads = vf_count_add(last->program_reads, b.program_reads);
            else if (b.program_reads > last->program_reads)
                last->program = b.program, last->program_reads = b.program_reads;
        } else if (f->nbulks < VF_BULKS_MAX) {
            f->bulk[f->nbulks++] = b;
        } else {
            f->beyond_bulks++;
        }
    }
    f->span_records = 0;
    memset(f->span_programs, 0, sizeof(f->span_programs));
    f->stamp++;
}

static void take_span(struct vf_facts *f, int64_t us)
{
    int64_t span = us / VF_BULK_SPAN_US;

    if (span == f->span)
        return;
    close_span(f);
    f->span = span;
}

void vf_facts_start(struct vf_facts *f, size_t i)
{
    f->now = i;
    f->span = INT64_MIN;
    f->stamp++;
}

void vf_facts_stop(struct vf_facts *f)
{
    close_span(f);
    f->span = INT64_MIN;
}

/* --------------------------------------------------------------------------------------------------------------- what a line has */

bool vf_text_is(const struct vf_entry_text *t, const char *word)
{
    size_t len = strlen(word);

    return t->p != NULL && t->len == len && memcmp(t->p, word, len) == 0;
}

void vf_name_copy(const char *p, size_t len, char *out, size_t size)
{
    size_t n = 0;

    for (size_t i = 0; i < len && n + 1 < size; i++) {
        if (p[i] == '\\' && i + 1 < len && p[i + 1] == '"')
            continue;
        out[n++] = p[i];
    }
    /* Cut in the middle of a character? */
    size_t whole = n;
    while (whole > 0 && n - whole < 4 && !vf_utf8_valid(out, whole))
        whole--;
    out[vf_utf8_valid(out, whole) ? whole : 0] = '\0';
}

vf_field_set vf_fields_of(const struct vf_entry_text *text)
{
    vf_field_set set = 0;
    const char *p = text->p;
    const char *end = p != NULL ? p + text->len : NULL;

    while (p != NULL && p < end) {
        const char *from = p + 1; /* behind the quote; the parser saw that there is one */
        const char *to = memchr(from, '"', (size_t)(end - from));
        if (to == NULL)
            break;
        set |= VF_FIELD_BIT(vf_field_by_name(from, (size_t)(to - from)));
        p = to + 2; /* and the comma */
    }
    return set;
}

static vf_field_set fields_cached(struct vf_facts *f, const struct vf_entry_text *t)
{
    if (t->p == NULL)
        return 0;
    if (t->len == f->fields_len && memcmp(t->p, f->fields_text, t->len) == 0)
        return f->fields;
    f->fields = vf_fields_of(t);
    f->fields_len = t->len <= sizeof(f->fields_text) ? t->len : 0;
    memcpy(f->fields_text, t->p, f->fields_len);
    return f->fields;
}

/* ---------------------------------------------------------------------------------------------------------------- openings */

struct opening {
    int64_t time_us;
    bool list, out, unproven;
    unsigned part;
    uint64_t repeats; /* 0: an opening; else only these */
    vf_field_set fields;
};

static void count(struct vf_counts *c, const struct opening *o)
{
    if (o->repeats > 0) {
        c->repeats = vf_count_add(c->repeats, o->repeats);
        return;
    }
    if (o->list)
        c->lists++;
    else
        c->opens[o->part]++;
    c->out_hours += o->out ? 1 : 0;
    c->unproven += o->unproven ? 1 : 0;
    c->fields |= o->fields;
    if (!o->list)
        c->single |= o->fields;
    vf_counts_time(c, o->time_us);
}

static void more32(uint32_t *n, uint64_t by)
{
    *n = by > UINT32_MAX - *n ? UINT32_MAX : *n + (uint32_t)by;
}

static enum vf_err take_refs(struct vf_facts *f, const struct vf_entry_view *e, const struct opening *o, uint64_t program,
                             uint64_t grant, struct vf_why *why)
{
    /* "REF","REF": eleven bytes from one to the next; the parser saw that they are refs. */
    for (size_t at = 1; !e->all && e->refs.p != NULL && at + VF_REF_LEN < e->refs.len; at += VF_REF_LEN + 3) {
        struct vf_ref_row *row;
        struct vf_ref ref;
        memcpy(ref.c, e->refs.p + at, VF_REF_LEN);
        VF_TRY(vf_refs_at(&f->refs, &ref, &row, why));
        if (row == NULL) {
            f->refs.beyond++;
            continue;
        }
        if (o->repeats > 0) {
            more32(&row->repeats, o->repeats);
            continue;
        }
        more32(&row->opens[o->part], 1);
        row->only_copy = row->only_copy || f->log[f->now].same_as != SIZE_MAX;
        row->fields |= o->fields;
        row->programs |= program;
        row->grants[o->part] |= grant;
        row->first_us = o->time_us < row->first_us ? o->time_us : row->first_us;
        row->last_us = o->time_us > row->last_us ? o->time_us : row->last_us;
        if (row->window != f->stamp) {
            row->window = f->stamp;
            f->span_records++;
        }
    }
    return VF_OK;
}

/* At its first opening: its name, and when the vault says that it ends. */
static void name_grant(const struct vf_facts *f, struct vf_row *row, const struct vf_entry_view *e)
{
    struct vf_grant_id id;
    uint32_t at = VF_CASE_NONE;

    row->opened = true;
    memcpy(id.c, e->grant.p, sizeof(id.c));
    if (f->vault != NULL)
        at = vf_case_grant_find(f->vault, &id);
    if (at != VF_CASE_NONE)
        row->until_us = f->vault->grants[at].g.until_us;
    if (row->name[0] == '\0' && e->job.p != NULL)
        vf_name_copy(e->job.p, e->job.len, row->name, sizeof(row->name));
    if (row->other[0] == '\0' && e->recipient.p != NULL)
        vf_name_copy(e->recipient.p, e->recipient.len, row->other, sizeof(row->other));
}

static void take_list(struct vf_facts *f, const struct vf_entry_view *e, const struct opening *o, uint64_t program)
{
    struct vf_row *row = vf_rows_at(&f->lists, 0, e->grant.p, e->grant.len);

    count(&row->c, o);
    row->programs |= program;
    if (row->name[0] == '\0' && e->job.p != NULL)
        vf_name_copy(e->job.p, e->job.len, row->name, sizeof(row->name));
    if (row->other[0] == '\0' && e->manifest.p != NULL)
        vf_name_copy(e->manifest.p, e->manifest.len, row->other, sizeof(row->other));
}

/* The computer whose log this is, or a copy of it. */
static size_t computer_of(const struct vf_facts *f)
{
    size_t same = f->log[f->now].same_as;

    return same != SIZE_MAX ? same : f->now;
}

static enum vf_err tally(struct vf_facts *f, const struct vf_entry_view *e, struct opening *o, struct vf_why *why)
{
    size_t computer = computer_of(f);
    uint64_t program = 0;
    uint64_t grant = 0;

    if (o->repeats == 0) {
        take_hour(f, e->time_us);
        take_span(f, e->time_us);
        o->out = f->last_out;
    }
    count(&f->all, o);
    count(&f->log[f->now].c, o);
    if (e->exe.p != NULL) {
        struct vf_row *row = vf_rows_at(&f->programs, computer, e->exe.p, e->exe.len);
        count(&row->c, o);
        program = vf_rows_bit(&f->programs, row);
        if (o->repeats == 0 && !e->all)
            f->span_programs[__builtin_ctzll(program)]++;
        f->unknown_opens += o->repeats == 0 && vf_text_is(&e->exe, "unknown") ? 1 : 0;
    }
    if (e->has_caller) {
        struct vf_row *row = vf_rows_at(&f->users, computer, (const char *)&e->uid, sizeof(e->uid));
        row->uid = e->uid;
        row->programs |= program;
        count(&row->c, o);
    }
    if (e->grant.p != NULL) {
        struct vf_row *row = vf_rows_at(&f->grants, 0, e->grant.p, e->grant.len);
        count(&row->c, o);
        row->programs |= program;
        grant = vf_rows_bit(&f->grants, row);
        if (!row->opened)
            name_grant(f, row, e);
        if (row->until_us != 0 && e->time_us >= row->until_us && o->repeats == 0)
            row->after_end++;
        if (e->all)
            take_list(f, e, o, program);
    }
    return take_refs(f, e, o, program, grant, why);
}

/*
 * Repeats follow an opening of the same file by the same user under the same grant. Where there was none, its entry is missing from what is
 * here: what was repeated was read.
 */
static enum vf_err lacks_opening(struct vf_facts *f, const struct vf_entry_view *e, const struct opening *o, bool *ret,
                                 struct vf_why *why)
{
    *ret = false;
    if (e->has_caller)
        *ret = vf_counts_reads(&vf_rows_at(&f->users, computer_of(f), (const char *)&e->uid, sizeof(e->uid))->c) == 0;
    if (e->grant.p != NULL && o->list)
        *ret = *ret || vf_rows_at(&f->lists, 0, e->grant.p, e->grant.len)->c.lists == 0;
    else if (e->grant.p != NULL)
        *ret = *ret || vf_rows_at(&f->grants, 0, e->grant.p, e->grant.len)->c.opens[o->part] == 0;
    for (size_t at = 1; !*ret && !e->all && e->refs.p != NULL && at + VF_REF_LEN < e->refs.len; at += VF_REF_LEN + 3) {
        struct vf_ref_row *row;
        struct vf_ref ref;
        memcpy(ref.c, e->refs.p + at, VF_REF_LEN);
        VF_TRY(vf_refs_at(&f->refs, &ref, &row, why));
        *ret = row != NULL && row->opens[o->part] == 0;
    }
    return VF_OK;
}

static enum vf_err take_opening(struct vf_facts *f, const struct vf_entry_view *e, bool sealed, struct vf_why *why)
{
    struct opening o = {.time_us = e->time_us,
                        .list = e->all,
                        .unproven = !sealed,
                        .part = vf_text_is(&e->part, "image") ? 1 : 0,
                        .fields = fields_cached(f, &e->fields)};
    uint64_t repeats = e->event != VF_EVENT_REPEAT ? 0 : e->has_count ? e->count : 1;
    bool lacks = false;

    if (e->event == VF_EVENT_REPEAT)
        VF_TRY(lacks_opening(f, e, &o, &lacks, why));
    if (e->event == VF_EVENT_OPEN || lacks) {
        VF_TRY(tally(f, e, &o, why));
        f->lone_repeats += lacks ? 1 : 0;
        repeats -= lacks && repeats > 0 ? 1 : 0;
    }
    o.repeats = repeats;
    return repeats > 0 ? tally(f, e, &o, why) : VF_OK;
}

enum vf_err vf_facts_take(struct vf_facts *f, const struct vf_entry_view *e, bool sealed, struct vf_why *why)
{
    if ((e->event == VF_EVENT_OPEN && vf_text_is(&e->result, "ok")) || e->event == VF_EVENT_REPEAT)
        return take_opening(f, e, sealed, why);
    vf_facts_event(f, e);
    return VF_OK;
}
