/* SPDX-License-Identifier: MIT */
/*
 * report, internal: exposure, step by step.
 *
 *   exp.c           scope, order of the steps
 *   exp_logs.c      which logs there are, whose they are, what they are worth
 *   exp_entries.c   the pass over one log's entries: a few lookups an entry, no memory
 *   exp_desk.c      logs of key desks: what was released of online grants, and what was not
 *   exp_sources.c   from grants, and what was decided of their devices, to cells
 *   exp_say.c       assumptions and doubts, in words and as codes
 *   exp_csv.c       exposed.csv, written
 *   exp_parse.c     exposed.csv, read
 *   exp_count.c     what is counted for the summaries
 *   exp_json.c, exp_ico.c, exp_notice.c, exp_words.c   the summaries
 */
#ifndef VAULTFS_REPORT_EXP_H
#define VAULTFS_REPORT_EXP_H

#include "case.h"

#include <vaultfs/report.h>

#define VF_EXP_IMAGES    (VF_FIELD_BIT(VF_FIELD_PHOTO) | VF_FIELD_BIT(VF_FIELD_SIGNATURE))
#define VF_EXP_REPEAT_US (120 * VF_SECOND_US)  /* a repeat may stand for opens so long before it */
#define VF_EXP_CLOCK_US  (3600 * VF_SECOND_US) /* so far a station's clock can be moved without an entry in its log */
#define VF_EXP_NONE      VF_CASE_NONE

/* What any grant can name: fields of class C, from pay_no on, none does, known or not; stations refuse it. */
#define VF_EXP_GRANTABLE (VF_FIELD_BIT(VF_FIELD_PAY_NO) - 2)
static inline vf_field_set vf_exp_part_mask(unsigned part)
{
    return part == VF_PART_IMAGE ? VF_EXP_IMAGES : (VF_EXP_GRANTABLE & ~VF_EXP_IMAGES);
}

/* Reads of one part of one record, by logs. `word` 0: none. */
struct vf_exp_read {
    int64_t first_us, last_us;
    vf_field_set fields; /* 0 with a word: not said */
    uint32_t source;     /* under which grant the last one was: of vf_exp.sources; VF_EXP_NONE: not said */
    uint8_t word;        /* VF_EXPOSED_LOG and its kind, of logs that are judged already */
    uint8_t pending;     /* of the log that is being read, which is worth nothing yet: 1 sealed, 2 not */
};
struct vf_exp_cell {
    struct vf_exp_read in, out; /* within the window that was asked about, and outside it */
    vf_field_set readable, presumed;
    uint32_t readable_source, presumed_source;
    uint8_t presumed_word; /* 0: not presumed read */
    uint8_t how;           /* it is readable: VF_EXPOSED_GRANTED and those behind it, the most certain; 0: it is not */
    bool withheld;         /* granted online, and not released */
};

/* What a key desk released of an online grant. */
struct vf_exp_released {
    uint8_t *bits[VF_PART_COUNT]; /* by ref, as the case's; NULL: none. Room for so many refs: */
    uint32_t room[VF_PART_COUNT];
    bool all[VF_PART_COUNT];     /* every record of its list */
    bool unknown[VF_PART_COUNT]; /* every record of a list that is not known */
    uint32_t log;                /* VF_EXP_NONE: no log of a desk names the grant */
    uint32_t closed;             /* the log in which its one-time key is destroyed; VF_EXP_NONE: none */
    int64_t closed_us;
};

/* Why the log of a key desk does not show that something was not released. */
enum vf_exp_unproven {
    VF_EXP_DESK_NO_LOG = 1,
    VF_EXP_DESK_BROKEN,
    VF_EXP_DESK_CONTRADICTED,
    VF_EXP_DESK_DOUBTED,
    VF_EXP_DESK_EARLY
};

/* A grant, known or stray. */
struct vf_exp_source {
    struct vf_grant_id id;
    int64_t issued_us;
    vf_field_set fields;
    uint32_t grant;    /* in the case; VF_EXP_NONE: a stray */
    uint32_t device;   /* VF_EXP_NONE: not known */
    uint32_t manifest; /* VF_EXP_NONE: any record may be meant */
    bool in_scope;
    bool online;
    bool live;         /* online: its key is there still */
    uint8_t unproven;  /* online: why what was not released may be readable by it all the same; 0: it is not */
    bool contradicted; /* a device's log shows a read of what was not released */
    struct vf_exp_released *released; /* online; NULL: no desk's log names it */
};

enum vf_exp_log_state { VF_EXP_LOG_UNREADABLE, VF_EXP_LOG_DAMAGED, VF_EXP_LOG_STRANGE, VF_EXP_LOG_GOOD };
struct vf_exp_log {
    char *path;
    bool given;                                /* by --log; else the vault's own copy */
    bool desk;                                 /* of a key desk */
    bool broken;                               /* of a desk: what it does not say may have been all the same */
    uint32_t *batches, nbatches, batches_room; /* of a desk: the batches of prekeys that it made */
    uint32_t *closed, nclosed, closed_room;    /* ... and destroyed as a whole */
    uint64_t releases;
    int64_t doubted_us;       /* of a desk: when its clock or store was last in doubt, or confirmed by a person; 0: never */
    uint32_t nclosed_doubted; /* batches destroyed before that */
    bool copy;                /* speaks up to its last sealed entry */
    uint32_t device;          /* VF_EXP_NONE: of no device that the vault knows */
    enum vf_exp_log_state state;
    bool used; /* the one that its device is judged by */
    struct vf_log_peek peek;
    struct vf_verdict *verdict; /* NULL: it could not be read */
    char words[320];            /* why it is not good, or not used */
    uint64_t reads;             /* entries of it that say that something was read, within the scope */
    uint64_t unsealed_reads;
    uint64_t odd_reads;     /* of which it says that they did not succeed, which no station writes: they count */
    uint64_t foreign_reads; /* under a grant to another device */
    uint64_t known;         /* entries that name a grant or record that the vault knows */
    uint64_t killed;        /* mounts that never unmounted, and that another session followed */
    int64_t killed_us;      /* the last entry of the last of them */
    bool open;              /* the last mount has no end in it: it was killed, or is still there */
};

/* An entry says that its clock was moved, or is later than now. */
static inline bool vf_exp_clock_wrong(const struct vf_exp_log *l, int64_t now_us)
{
    return l->verdict->clock_steps > 0 || (l->verdict->entries > 0 && l->verdict->last_us > now_us);
}

/* What is decided of one device. */
struct vf_exp_device {
    bool in_scope;
    uint32_t ngrants; /* in scope */
    uint32_t log;     /* VF_EXP_NONE: none that is good */
    bool no_log, damaged, cut, after_handin, gap, killed, compromised;
    bool contradicted; /* it was said to be off, and its log goes on */
    int64_t speaks_until_us;
};

enum vf_exp_level { VF_EXP_ASSUMPTION, VF_EXP_DOUBT, VF_EXP_REMARK };
struct vf_exp_item {
    enum vf_exp_level level;
    const char *code;
    char *words;
};

struct vf_exp_counts {
    uint64_t cells[VF_PART_COUNT][3]; /* part, tier */
    uint64_t people[3];               /* by their highest tier */
    uint64_t read[VF_PART_COUNT];     /* of tier 2: a log shows it */
    uint64_t people_read;             /* for whom a log shows a read */
    uint64_t people_presumed;         /* highest tier 2, and no log shows a read */
    uint64_t erased, gone;            /* of people above tier 0: erased; not in the vault for another reason */
    vf_field_set readable, exposed;   /* fields: that were readable; of tier 2 */
    int64_t first_us, last_us;        /* reads within the window; 0: none */
};

struct vf_exposure {
    struct vf_exposure_options opt;
    struct vf_case *c;
    struct vf_exp_source *sources;
    uint32_t nsources, sources_room;
    struct vf_exp_device *devices; /* as the case's */
    struct vf_exp_log *logs;
    uint32_t nlogs, logs_room;
    struct vf_exp_cell *cells; /* two a ref, as the case's; grown with it */
    struct vf_exp_read *now_in,
        *now_out;        /* likewise: by the log that is being read; apart, since its entries touch nothing else */
    uint32_t cells_room; /* refs */
    uint8_t *touched;    /* refs that the scope names */
    /* Of `all` entries: two a manifest, and two more for lists that nobody knows. */
    struct vf_exp_read *all_in, *all_out, *all_now_in, *all_now_out;
    struct vf_exp_item *items;
    uint32_t nitems, items_room;
    struct vf_exp_counts counts;
    uint32_t *order;
    uint32_t nstrangers, ntoo_many; /* refs that only a log knows; of these, for which there was no room */
    bool many_strays;
};

/* exp_sources.c */
VF_MUST_USE enum vf_err vf_exp_sources_known(struct vf_exposure *x, struct vf_why *why);
VF_MUST_USE enum vf_err vf_exp_sources_vault_strays(struct vf_exposure *x, struct vf_why *why); /* once the scope is known */
VF_MUST_USE enum vf_err vf_exp_sources_stray(struct vf_exposure *x, const struct vf_case_stray *s, uint32_t device,
                                             uint32_t *ret, struct vf_why *why);
VF_MUST_USE enum vf_err vf_exp_sources_apply(struct vf_exposure *x, struct vf_why *why);
/* Cells for every ref of the case. */
VF_MUST_USE enum vf_err vf_exp_cells_fit(struct vf_exposure *x, struct vf_why *why);
void vf_exp_read_merge(struct vf_exp_read *to, const struct vf_exp_read *from);

/* exp_logs.c */
VF_MUST_USE enum vf_err vf_exp_logs_find(struct vf_exposure *x, struct vf_why *why);
VF_MUST_USE enum vf_err vf_exp_logs_read(struct vf_exposure *x, struct vf_why *why);
void vf_exp_logs_judge(struct vf_exposure *x);

/* exp_desk.c: before the devices' logs are read, and when they were judged. */
VF_MUST_USE enum vf_err vf_exp_desk_read(struct vf_exposure *x, struct vf_why *why);
void vf_exp_desk_judge(struct vf_exposure *x);
VF_MUST_USE enum vf_err vf_exp_desk_say(struct vf_exposure *x, struct vf_why *why);
bool vf_exp_desk_released(const struct vf_exp_source *s, unsigned part, uint32_t ref);
/* A log of the device shows a read of it (VF_EXP_NONE: of all of the list). */
void vf_exp_desk_check_read(const struct vf_exposure *x, struct vf_exp_source *s, unsigned part, uint32_t ref);
void vf_exp_desk_free(struct vf_exposure *x);
/* A desk's log is believed to be complete when its last entry is no older: a quiet desk writes every six hours. */
#define VF_EXP_DESK_QUIET_US (7 * 3600 * VF_SECOND_US)

#define VF_EXP_STRAYS_MAX 256u /* grants that only logs know, followed one by one */

/* exp_entries.c: a ref that an entry names, made known; VF_CASE_NONE: there is no room for more that nobody knows. */
VF_MUST_USE enum vf_err vf_exp_ref_find(struct vf_exposure *x, const struct vf_ref *ref, uint32_t *ret, struct vf_why *why);
/* exp_entries.c: verify a log and take what it says. `held`: checkpoints that it must contain. */
VF_MUST_USE enum vf_err vf_exp_entries_take(struct vf_exposure *x, uint32_t log, const struct vf_note *held, size_t nheld,
                                            struct vf_why *why);

/* exp_say.c */
VF_MUST_USE enum vf_err vf_exp_say(struct vf_exposure *x, enum vf_exp_level level, const char *code, struct vf_why *why,
                                   const char *fmt, ...) VF_PRINTF(5, 6);
VF_MUST_USE enum vf_err vf_exp_say_all(struct vf_exposure *x, struct vf_why *why);

/* exp_count.c */
void vf_exp_count(struct vf_exposure *x);
/* What exposed.csv says of one cell. */
struct vf_exp_line {
    unsigned tier;
    uint8_t read_word, presumed_word, other_word; /* of enum vf_exposed_word; 0: none */
    uint32_t source;
    vf_field_set fields;
    int64_t first_us, last_us; /* 0: none */
};
struct vf_exp_line vf_exp_line_of(const struct vf_exposure *x, uint32_t ref, unsigned part);

/* For the summaries. */
const char *vf_exp_log_name(const struct vf_exp_log *l); /* its path; of the vault's own copies, below the vault */
const char *vf_exp_device_name(const struct vf_exposure *x, uint32_t device);
void vf_exp_time_words(int64_t us, char out[64]);
/* "from A to B", or "at A" where both are of one minute. */
void vf_exp_times_words(int64_t first_us, int64_t last_us, const char *from, const char *to, const char *at,
                        struct vf_buf *out);
void vf_exp_fields_words(vf_field_set fields, struct vf_buf *out); /* "name on card, rank and photo" */

#endif
