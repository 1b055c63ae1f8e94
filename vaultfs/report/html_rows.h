/* SPDX-License-Identifier: MIT */
/*
 * report, internal: counters under a key (a program on a computer, a user, a grant …), in a table of fixed size, so that a log that names
 * millions of programs takes no more memory than one that names three. What finds no room is counted together, and the page says so.
 */
#ifndef VAULTFS_REPORT_HTML_ROWS_H
#define VAULTFS_REPORT_HTML_ROWS_H

#include <vaultfs/audit.h>
#include <vaultfs/record.h>

#define VF_ROW_KEY_MAX  160 /* longer keys are kept with a hash at their end */
#define VF_ROW_NAME_MAX 96

struct vf_counts {
    uint64_t opens[2]; /* of one record: text, image */
    uint64_t lists;    /* of a whole job's text at once */
    uint64_t repeats;
    uint64_t denials;
    uint64_t released; /* by a desk: a share left it */
    uint64_t out_hours;
    uint64_t unproven;           /* opens and lists that no checkpoint covers */
    int64_t first_us, last_us;   /* of opens and lists; first_us INT64_MAX: none */
    vf_field_set fields, single; /* disclosed; disclosed otherwise than by a whole list */
};
struct vf_row {
    struct vf_counts c;
    size_t key_len;
    size_t log;                  /* which log, where the key has it */
    uint32_t uid;                /* of a user */
    uint64_t programs;           /* bit i: program i; bit 63: all beyond */
    uint64_t events;             /* of the force's own doings */
    uint64_t records;            /* of the force's own doings: told counts */
    vf_field_set granted;        /* of a grant; 0: not known here */
    uint64_t granted_records;    /* of a grant */
    uint64_t distinct[2];        /* of a grant: different records opened one by one, text and image */
    uint64_t after_end;          /* of a grant: openings at or after until_us */
    bool opened;                 /* of a grant: until_us was looked up */
    int64_t until_us;            /* of a grant; 0: not known here */
    char name[VF_ROW_NAME_MAX];  /* job, word, event: what the table's user puts there */
    char other[VF_ROW_NAME_MAX]; /* recipient */
    char key[VF_ROW_KEY_MAX];    /* without NUL */
};
struct vf_rows {
    struct vf_row *row;
    size_t n, max;
    uint32_t *slot; /* open addressing: index + 1; a power of two, at least twice max */
    size_t nslots;
    struct vf_row others; /* everything beyond `max` keys */
    uint64_t nothers;     /* how often it was used */
};
VF_MUST_USE enum vf_err vf_rows_init(struct vf_rows *r, size_t max, struct vf_why *why);
void vf_rows_done(struct vf_rows *r);
/* The row of a key made of a number and a text; made if need be. `others` when the table is full. Never NULL. */
struct vf_row *vf_rows_at(struct vf_rows *r, size_t number, const char *text, size_t len);
/* The same, never made: NULL when there is none. */
struct vf_row *vf_rows_find(const struct vf_rows *r, size_t number, const char *text, size_t len);
/* Place in the table as a bit of a mask: bit 63 for all beyond the first 63. */
uint64_t vf_rows_bit(const struct vf_rows *r, const struct vf_row *row);
/* The text of the key. */
const char *vf_row_text(const struct vf_row *row, size_t *ret_len);

uint64_t vf_count_add(uint64_t a, uint64_t b);       /* stops at the largest number */
uint64_t vf_counts_reads(const struct vf_counts *c); /* opens and lists */
void vf_counts_time(struct vf_counts *c, int64_t us);
void vf_counts_init(struct vf_counts *c);

#endif
