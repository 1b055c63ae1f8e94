/* SPDX-License-Identifier: MIT */
/* report, internal: a report that was gathered, what there is to be noticed in it, and its two forms, page and document. */
#ifndef VAULTFS_REPORT_HTML_REPORT_H
#define VAULTFS_REPORT_HTML_REPORT_H

#include "case.h"
#include "html_facts.h"

#include <vaultfs/report.h>

enum vf_notice_level { VF_NOTICE_BAD, VF_NOTICE_WARN, VF_NOTICE_INFO };
#define VF_NOTICES_MAX 128
struct vf_notice {
    enum vf_notice_level level;
    const char *code; /* for programs: "out-of-hours" */
    char *text;       /* for people; plain text, one or two sentences */
    char *rule;       /* how it was found; or NULL */
};
/* What a job's grants gave and what of it was used. */
struct vf_job_use {
    char job[VF_ROW_NAME_MAX];
    char recipient[VF_ROW_NAME_MAX];
    vf_field_set granted, single, listed; /* granted; read as a file of its own; disclosed by a whole list alone */
    uint64_t grants, records,
        read[2]; /* records: of the largest grant; read: different records, text and image; UINT64_MAX: unknown */
};
#define VF_JOBS_MAX          256
#define VF_REPORT_REFS_SHOWN 100000 /* rows of the page; the document has all */

struct vf_report {
    struct vf_facts f;
    struct vf_case *vault; /* or NULL */
    int64_t now_us;
    struct vf_notice notice[VF_NOTICES_MAX];
    size_t nnotices;
    struct vf_job_use job[VF_JOBS_MAX];
    size_t njobs;
    uint64_t beyond_jobs;
    uint64_t devices_silent; /* devices of the vault without any log here */
    bool expanded;           /* lists were counted record by record */
    uint64_t lists_unknown;  /* openings of lists whose records are not known here */
};

/* html_gather.c: logs in, each once. */
VF_MUST_USE enum vf_err vf_report_gather(struct vf_report *r, const struct vf_report_options *opt, struct vf_why *why);
/* html_use.c: lists counted record by record, different records a grant, fields granted and never read. */
VF_MUST_USE enum vf_err vf_report_use(struct vf_report *r, struct vf_why *why);
/* html_find.c, html_find_case.c */
VF_MUST_USE enum vf_err vf_report_find(struct vf_report *r, struct vf_why *why);
VF_MUST_USE enum vf_err vf_report_find_case(struct vf_report *r, struct vf_why *why);
VF_MUST_USE enum vf_err vf_report_notice(struct vf_report *r, enum vf_notice_level level, const char *code, const char *rule,
                                         struct vf_why *why, const char *fmt, ...) VF_PRINTF(6, 7);
/* html_words.c: the sentences that page and document share; `out` is appended to. */
void vf_report_headline(const struct vf_report *r, struct vf_buf *out, bool *ret_good);
void vf_report_headline_more(const struct vf_report *r, struct vf_buf *out);
void vf_report_log_words(const struct vf_report *r, size_t i, struct vf_buf *out);
const char *vf_result_words(const char *result, size_t len); /* of an errno name; NULL: no other words for it */
const char *vf_doing_words(enum vf_event event);
/* "/usr/bin/cat", bounded, safe to show; NUL-terminated. */
void vf_program_name(const struct vf_row *row, char *out, size_t size);
void vf_programs_names(const struct vf_report *r, uint64_t mask, struct vf_buf *out);
void vf_jobs_names(const struct vf_report *r, uint64_t grants, struct vf_buf *out);
/* Was this list not counted record by record? */
bool vf_report_list_unknown(const struct vf_report *r, const struct vf_row *list);
const char *vf_label_short(const struct vf_log_facts *log); /* without its article, for tables */
const char *vf_number(uint64_t n, char out[32]);            /* 1,234,567 */
void vf_when(int64_t us, char out[64]);                     /* 21 Nov 2026 at 20:15 UTC */
unsigned vf_percent(uint64_t part, uint64_t whole);         /* rounded; 0 only for none, 100 only for all */

/* Want of memory while words were put together is an error of the page: a sentence must not be missing unseen. */
bool vf_report_whole(struct vf_page *p, const struct vf_buf *words);

/* html_page.c and the rest of the page */
void vf_report_put_head(const struct vf_report *r, struct vf_page *p);
void vf_report_put_logs(const struct vf_report *r, struct vf_page *p);
void vf_report_put_notices(const struct vf_report *r, struct vf_page *p);
void vf_report_put_times(const struct vf_report *r, struct vf_page *p);
void vf_report_put_tables(const struct vf_report *r, struct vf_page *p);
void vf_report_put_use(const struct vf_report *r, struct vf_page *p);
void vf_report_put_refs(const struct vf_report *r, struct vf_page *p);
void vf_report_put_notes(const struct vf_report *r, struct vf_page *p);

#endif
