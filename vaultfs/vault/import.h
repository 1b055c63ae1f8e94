/* SPDX-License-Identifier: MIT */
/*
 * Internal to the vault room: one import, from the CSV to the commit.
 *
 *   import_read.c    (1) the CSV: header, rows, every cell checked and normalised
 *   import_match.c   (2) rows to records: doubled numbers, refs, leavers; the order of work
 *   import_photos.c      the folder of photos
 *   import_work.c    (3) one record: compare, clean its photo, encrypt what changed - on all cores
 *   import_pool.c        threads and the bounded queue between them and
 *   import_stage.c   (4) the writer: values in bounded transactions, then heads, records and index in one
 *   import_out.c         problems, rejects, refs
 *   import.c             the order of all that
 *
 * Lock order: there is one lock (job.lock); nobody holds it while it waits for a transaction, a disk or a photo.
 */
#ifndef VAULTFS_VAULT_IMPORT_H
#define VAULTFS_VAULT_IMPORT_H

#include "internal.h"

#include <pthread.h>

#define VF_IMPORT_QUEUE_BYTES_MAX (32u * 1024 * 1024)
#define VF_IMPORT_WORKERS_MAX     64u
#define VF_IMPORT_TEXT_MAX        (256u * 1024 * 1024)
#define VF_IMPORT_FILES_MAX       1000000u

enum vf_import_outcome { VF_IMPORT_NONE, VF_IMPORT_ADDED, VF_IMPORT_CHANGED, VF_IMPORT_UNCHANGED };

struct vf_import_row {
    uint32_t row;    /* as a spreadsheet counts */
    uint32_t cells;  /* of its first cell, in job.cells */
    bool bad;        /* stays out */
    bool bad_photo;  /* goes in without its picture */
    bool has_number; /* index is set */
    bool found;      /* a record has this number */
    bool has_photo;  /* photo is set */
    enum vf_import_outcome outcome;
    struct vf_hash index; /* blind index of its warrant_no */
    struct vf_ref ref;
    struct vf_hash photo; /* of the picture after cleaning */
};

struct vf_import_cell { /* in job.text */
    uint32_t at, len;
};

struct vf_import_item { /* work on one record; row NULL: a leaver */
    struct vf_ref ref;
    struct vf_import_row *row;
};

struct vf_import_problem {
    uint32_t row;
    uint32_t order;     /* among the problems of the row */
    const char *column; /* borrowed; or NULL */
    char *reason;
    bool warning;
};

struct vf_import_file {
    char *name;
    size_t stem_len;
    enum vf_field field; /* PHOTO or SIGNATURE, by the ending */
    bool named;          /* by a row of this CSV; under job.lock */
};

/* What one record needs in the last transaction. */
struct vf_import_publication {
    struct vf_ref ref;
    bool is_new;
    struct vf_hash index;
    uint8_t head[VF_HEAD_ROW_LEN];
    uint8_t record[1 + VF_RECORD_ROW_ITEM];
};

/* Sealed values of one record, on their way to the writer. One allocation. */
struct vf_import_block {
    struct vf_import_block *next;
    struct vf_import_publication pub;
    size_t bytes; /* of all rows */
    unsigned n;
    struct {
        struct vf_value_key key;
        uint8_t *data;
        size_t len;
    } row[VF_FIELD_COUNT];
    uint8_t data[];
};

struct vf_import_job {
    struct vf_vault *v;
    const struct vf_import_options *opt;
    struct vf_import_report report;
    int64_t now_us;

    /* (1) */
    struct vf_buf csv;
    struct vf_hash csv_hash;
    struct vf_csv_map *map;
    bool has_date_format;
    struct vf_date_format date_format;
    size_t ncolumns;
    char **columns;
    enum vf_field *fields;
    int column_of[VF_FIELD_COUNT];  /* -1: the CSV does not have this field */
    size_t slot_of[VF_FIELD_COUNT]; /* its place among the columns that are no ignored ones */
    size_t nslots;
    enum vf_field photo_key;
    struct vf_import_row *rows;
    size_t nrows, rows_room;
    struct vf_import_cell *cells; /* nslots a row */
    size_t ncells, cells_room;
    struct vf_buf text;
    struct vf_buf scratch; /* one cell */

    /* (2) */
    struct vf_import_item *items; /* in ref order */
    size_t nitems, items_room;
    int photos_fd;                /* -1: no folder */
    struct vf_import_file *files; /* by stem and field */
    size_t nfiles, files_room;

    /* (3) under lock */
    pthread_mutex_t lock;
    pthread_cond_t more, room; /* for the writer; for the workers */
    bool has_sync;
    size_t next_item, done_items;
    unsigned active; /* workers */
    bool stop;
    enum vf_err err;
    struct vf_why why;
    struct vf_import_block *first, **last;
    size_t queue_bytes;
    struct vf_import_problem *problems;
    size_t nproblems, problems_room;

    /* (4) the calling thread's */
    struct vf_import_block *batch, **batch_last; /* not yet in the database */
    size_t batch_bytes;
    bool staged;    /* something is in the database that nothing names yet */
    bool was_empty; /* no record was in the vault before this import published its own */
    struct vf_import_publication *pubs;
    size_t npubs, pubs_room;

    struct vf_newfile rejects;
    struct vf_newfile refs;
};

/* Room for `n` more items of `size` in an array; doubles. */
VF_MUST_USE bool vf_import_room(void *array, size_t *room, size_t have, size_t n, size_t size);
/* Note a problem: `reason` is copied. Takes the lock. Never a value in it. VF_E_NOMEM only. */
VF_MUST_USE enum vf_err vf_import_problem(struct vf_import_job *job, uint32_t row, const char *column, const char *reason,
                                          bool warning);
/* The cell of a row's field; text NULL when the CSV does not have it. */
struct vf_csv_cell vf_import_cell_get(const struct vf_import_job *job, const struct vf_import_row *row, unsigned field);

VF_MUST_USE enum vf_err vf_import_read(struct vf_import_job *job, struct vf_why *why);
VF_MUST_USE enum vf_err vf_import_photos_scan(struct vf_import_job *job, struct vf_why *why);
/*
 * The file of `field` for a row whose key is `stem`: NULL when there is none, or two (then *ret_two). Marks it as named. Takes the lock.
 */
const struct vf_import_file *vf_import_photos_find(struct vf_import_job *job, const char *stem, size_t len,
                                                   enum vf_field field, bool *ret_two);
/* The pictures of a row that stays out have an owner all the same: mark those of this key as named. Takes the lock. */
void vf_import_photos_name(struct vf_import_job *job, const struct vf_csv_cell *key);
VF_MUST_USE enum vf_err vf_import_match(struct vf_import_job *job, struct vf_why *why);

/* One worker's state. */
struct vf_import_worker {
    struct vf_import_job *job;
    struct vf_view *view;
    struct vf_record_keys *keys; /* in the arena */
    struct vf_head_row *head;    /* in the arena; first as it is, then as it will be */
    bool found;
    struct vf_buf present[VF_FIELD_COUNT];   /* texts of the record as it is */
    struct vf_csv_cell cell[VF_FIELD_COUNT]; /* texts as they will be */
    struct vf_buf file, image[VF_FIELD_COUNT], present_image;
    vf_field_set changed;
    struct vf_import_report report;
    struct vf_why why;
};
VF_MUST_USE enum vf_err vf_import_worker_init(struct vf_import_worker *w, struct vf_import_job *job, struct vf_why *why);
void vf_import_worker_done(struct vf_import_worker *w);
/* Work on one record; *ret NULL when there is nothing to write. */
VF_MUST_USE enum vf_err vf_import_work(struct vf_import_worker *w, const struct vf_import_item *item,
                                       struct vf_import_block **ret, struct vf_why *why);

/* Run the workers over all items, staging what they make. */
VF_MUST_USE enum vf_err vf_import_run(struct vf_import_job *job, struct vf_why *why);
/* Take a block into the batch; stages the batch when it is full. */
VF_MUST_USE enum vf_err vf_import_stage(struct vf_import_job *job, struct vf_import_block *block, struct vf_why *why);
/* Bytes in one staging transaction; for tests, before an import begins. Returns the old value. */
size_t vf_import_stage_max(size_t bytes);
/* The last transaction: what is left of the batch, and all that names the new values. */
VF_MUST_USE enum vf_err vf_import_publish(struct vf_import_job *job, struct vf_why *why);
void vf_import_blocks_free(struct vf_import_block *first);

/* Counts that need all rows; the problems in row order to the caller; the two files. */
VF_MUST_USE enum vf_err vf_import_summarise(struct vf_import_job *job, struct vf_why *why);
void vf_import_tell(struct vf_import_job *job);
VF_MUST_USE enum vf_err vf_import_rejects(struct vf_import_job *job, struct vf_why *why);
VF_MUST_USE enum vf_err vf_import_refs(struct vf_import_job *job, struct vf_why *why);

#endif
