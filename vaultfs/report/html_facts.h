/* SPDX-License-Identifier: MIT */
/*
 * report, internal: what the page tells, gathered in one pass over each log. Memory grows with the number of different records, days,
 * programs, users and grants, each up to a bound, never with the number of entries.
 */
#ifndef VAULTFS_REPORT_HTML_FACTS_H
#define VAULTFS_REPORT_HTML_FACTS_H

#include "html_refs.h"
#include "html_rows.h"

/* The rules, as the page states them. */
#define VF_WORK_FROM       7  /* hours, UTC, Monday to Friday */
#define VF_WORK_UNTIL      19 /* the first hour that is not */
#define VF_BULK_SPAN_US    (600 * VF_SECOND_US)
#define VF_BULK_RECORDS    250u /* different records within one span on one computer */
#define VF_NEW_PROGRAM_US  VF_DAY_US
#define VF_OFTEN           50u /* openings of one record's files */
#define VF_HANDIN_LATE_US  (7 * VF_DAY_US)
#define VF_PROGRAMS_MAX    512
#define VF_GRANTS_MAX      2048
#define VF_USERS_MAX       512
#define VF_WORDS_MAX       256 /* results of refusals; what the force did */
#define VF_DAYS_MAX        4000
#define VF_BULKS_MAX       64
#define VF_HAPPENINGS_MAX  64
#define VF_REPORT_LOGS_MAX 256
#define VF_FORK_WINDOW     (UINT32_C(1) << 20) /* entries that are held against those of another copy at once */

struct vf_day {
    int64_t day; /* since 1970-01-01 */
    uint64_t reads[24];
};
struct vf_bulk { /* spans that touch are one */
    size_t log;
    int64_t from_us, until_us; /* of spans */
    uint64_t records;          /* summed over the spans */
    uint64_t program_reads;
    size_t program; /* that opened most; SIZE_MAX: one beyond the table */
};
struct vf_happening {
    size_t log;
    enum vf_event event; /* clock, gap, recover */
    bool back;
    bool has_bytes;
    int64_t time_us;
    uint64_t count;
};

struct vf_log_facts {
    char *path;
    char label[128];            /* "the station printer" */
    struct vf_verdict *verdict; /* NULL: it could not be read */
    char why[480];              /* then */
    enum vf_err err;            /* then */
    uint64_t only;              /* of a copy: entries that those before it have not, or have otherwise */
    struct vf_hash id;
    struct vf_origin origin;
    bool has_origin;
    size_t same_as; /* SIZE_MAX, or the log of which this one is a copy: checked, and counted is what only it tells */
    bool device;    /* the vault knows whose it is */
    uint64_t bytes;
    struct vf_counts c;
    uint64_t mounts;
};

struct vf_case;
struct vf_facts {
    const struct vf_case *vault; /* or NULL: when grants end */
    struct vf_log_facts *log;
    size_t nlogs, now;    /* now: the log being read */
    uint32_t fork_window; /* VF_FORK_WINDOW, or less in tests */
    struct vf_counts all;
    struct vf_rows programs; /* log, exe */
    struct vf_rows users;    /* log, uid */
    struct vf_rows grants;   /* 0, grant id */
    struct vf_rows lists;    /* 0, grant id: openings of all its text at once; `other` is the manifest's hash */
    struct vf_rows refusals; /* log, result */
    struct vf_rows doings;   /* event, who: at the force */
    struct vf_refs refs;
    struct vf_day *day; /* ascending */
    size_t ndays;
    uint64_t beyond_days;
    struct vf_bulk bulk[VF_BULKS_MAX];
    size_t nbulks;
    uint64_t beyond_bulks;
    struct vf_happening happening[VF_HAPPENINGS_MAX];
    size_t nhappenings;
    uint64_t beyond_happenings;
    uint64_t unknown_opens;
    uint64_t lone_repeats; /* entries of repeats without an opening before them: counted as one each */

    /* The span that is being counted. */
    int64_t span;
    uint32_t stamp;
    uint64_t span_records;
    uint64_t span_programs[64];
    /* What the last entry had, since the next one mostly has the same. */
    int64_t last_hour;
    struct vf_day *last_day;
    bool last_out;
    char fields_text[640];
    size_t fields_len;
    vf_field_set fields;
};

VF_MUST_USE enum vf_err vf_facts_init(struct vf_facts *f, size_t nlogs, uint64_t seed, struct vf_why *why);
void vf_facts_done(struct vf_facts *f);
/* Around the entries of log `i`, in order. */
void vf_facts_start(struct vf_facts *f, size_t i);
VF_MUST_USE enum vf_err vf_facts_take(struct vf_facts *f, const struct vf_entry_view *e, bool sealed, struct vf_why *why);
void vf_facts_stop(struct vf_facts *f);
/* It could not be read: its verdict goes, the reason stays. What was taken until then stays too. */
void vf_facts_unread(struct vf_log_facts *l, enum vf_err err, const char *reason);
/* html_fork.c: what log `i` says was read and none of the logs `known`, which are copies of it, says in that place. */
VF_MUST_USE enum vf_err vf_report_fork(struct vf_facts *f, size_t i, const size_t *known, size_t nknown, struct vf_why *why);
/* html_events.c: what is no opening. */
void vf_facts_event(struct vf_facts *f, const struct vf_entry_view *e);

/* Hour of the week, Monday 00:00 UTC is 0; outside of working hours? */
unsigned vf_week_hour(int64_t us);
bool vf_out_of_hours(int64_t us);
/* A list of names as in a line; names that this program does not know are bit 0. */
vf_field_set vf_fields_of(const struct vf_entry_text *text);
bool vf_text_is(const struct vf_entry_text *t, const char *word);
/* Plain text of a string as it stands in a line; bounded; what cannot be shown stays escaped. */
void vf_name_copy(const char *p, size_t len, char *out, size_t size);

#endif
