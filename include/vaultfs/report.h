/* SPDX-License-Identifier: MIT */
/*
 * report: evidence for people. What a breach exposed, officer by officer, and one page to look at. Needs no key: names come in only where an
 * admin turns refs into them.
 */
#ifndef VAULTFS_REPORT_H
#define VAULTFS_REPORT_H

#include <vaultfs/grant.h>

/* ----------------------------------------------------------------------------------------------------------------- exposure */

/*
 * For every officer and part (text, image): tier 0 unreadable, 1 readable, 2 read or presumed read. Errors go upward only (docs/format.md
 * H.2 has the rules): what was granted offline is readable from issue and for ever; what was granted online from its release, which the
 * key desk's own log shows (without that log, as if it were offline); what a log shows was read; what no log, or a log that is
 * damaged, cut, or ends too early, can speak for is presumed read. Every assumption and doubt is stated, as a code and in words.
 */
enum vf_exposure_scope {
    VF_EXPOSURE_ALL,    /* every record that is known */
    VF_EXPOSURE_DEVICE, /* all grants ever made to devices of this name, revoked ones too */
    VF_EXPOSURE_GRANT   /* the grant, what it renews and what renews it */
};
struct vf_exposure_options { /* borrowed until vf_exposure_free */
    const char *vault;       /* a vault or a backup of one */
    const char *scratch;     /* an empty folder for what a backup holds of logs; NULL: these are not looked at */
    const char *const
        *logs; /* log folders and handed-in files, of devices and of the key desk; the store of a desk: all of them in it */
    size_t nlogs;
    enum vf_exposure_scope scope;
    struct vf_grant_id grant;
    const char *device;
    int64_t now_us;
    bool has_since, has_until; /* which reads are asked about */
    int64_t since_us, until_us;
    bool has_compromised; /* from then on the devices were not their owners' any more */
    int64_t compromised_us;
    bool device_off, passphrase_safe;
    bool has_aware; /* when the force learned of it: the 72 hours run from then */
    int64_t aware_us;
    void (*progress)(void *user, uint64_t done, uint64_t total); /* bytes of logs */
    void *user;
};
struct vf_exposure;
/*
 * VF_E_NOT_FOUND: no such vault, log, grant or device. VF_E_DAMAGED: the vault's own rows cannot be read, so nothing can be said. A log that
 * cannot be read, is damaged or belongs to nobody is no error: it raises tiers and is stated. Memory: records and grants, not entries.
 */
VF_PUBLIC VF_MUST_USE enum vf_err vf_exposure_compute(const struct vf_exposure_options *opt, struct vf_exposure **ret,
                                                      struct vf_why *why);
VF_PUBLIC void vf_exposure_free(struct vf_exposure *x); /* NULL is fine */
VF_PUBLIC void vf_exposure_cleanup(struct vf_exposure **x);
#define VF_EXPOSURE VF_CLEANUP(vf_exposure_cleanup) struct vf_exposure *

/* exposed.csv, written to `fd`: one line a record and part, in ref order; *ret_hash: of what was written. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_exposure_write_csv(const struct vf_exposure *x, int fd, const char *what,
                                                        struct vf_hash *ret_hash, struct vf_why *why);
/* summary.json; `csv`: the hash of exposed.csv. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_exposure_put_json(const struct vf_exposure *x, const struct vf_hash *csv,
                                                       struct vf_buf *out, struct vf_why *why);
VF_PUBLIC void vf_exposure_put_ico(const struct vf_exposure *x, struct vf_buf *out);    /* ico-draft.md */
VF_PUBLIC void vf_exposure_put_notice(const struct vf_exposure *x, struct vf_buf *out); /* officer-notice.md */
VF_PUBLIC void vf_exposure_put_words(const struct vf_exposure *x, struct vf_buf *out);  /* a few lines for a terminal */

/* -------------------------------------------------------------------------------------------------------------- exposed.csv */

/* Words of the column `evidence`: one that a log gives, one that is presumed, or both with a plus between them. In order of weight. */
#define VF_EXPOSED_WORDS(X)                                                                                             \
    X(NONE, "none", 0, "no grant in question ever named it")                                                            \
    X(NOT_RELEASED, "not-released", 0, "granted online, and the key desk never released it")                            \
    X(LOG, "log", 2, "a sealed entry of the device's log shows that it was read")                                       \
    X(LOG_UNSEALED, "log-unsealed", 2, "an entry that no checkpoint covers yet says that it was read")                  \
    X(LOG_DAMAGED, "log-damaged", 2, "an entry of a log that does not verify says that it was read")                    \
    X(LOG_UNKNOWN, "log-unknown-device", 2, "an entry of a log that is no known device's says that it was read")        \
    X(COMPROMISED, "presumed-compromised", 2, "readable on a device that was not its owner's any more")                 \
    X(NO_LOG, "presumed-no-log", 2, "readable on a device of which there is no log")                                    \
    X(DAMAGED, "presumed-damaged-log", 2, "readable on a device whose log is damaged, forged or unreadable")            \
    X(CUT, "presumed-cut-log", 2, "readable on a device whose log lacks an end that was handed in before")              \
    X(AFTER_HANDIN, "presumed-after-handin", 2, "readable after the last entry of what was handed in")                  \
    X(GAP, "presumed-gap", 2, "readable on a device whose log has a gap")                                               \
    X(KILLED, "presumed-killed", 2, "readable on a device whose log lacks the orderly end of a mount")                  \
    X(UNKNOWN_LIST, "presumed-unknown-list", 2, "all records of a list that the vault does not know were read")         \
    X(OUTSIDE, "log-outside-window", 1, "read, but not in the time that was asked about")                               \
    X(GRANTED, "granted", 1, "a grant names it: readable from issue and for ever")                                      \
    X(RELEASED, "released", 1, "the key desk released it: readable from then on")                                       \
    X(GRANTED_ONLINE, "granted-online", 1, "granted online, and no log of the key desk shows that it was not released") \
    X(UNKNOWN_GRANT, "granted-unknown", 1, "a grant that the vault does not know may name it")
enum vf_exposed_word {
#define VF_EXPOSED_ENUM_(code, word, tier, text) VF_EXPOSED_##code,
    VF_EXPOSED_WORDS(VF_EXPOSED_ENUM_)
#undef VF_EXPOSED_ENUM_
        VF_EXPOSED_WORD_COUNT
};
VF_PUBLIC const char *vf_exposed_word_text(enum vf_exposed_word word);
VF_PUBLIC const char *vf_exposed_word_meaning(enum vf_exposed_word word);

struct vf_exposed_part {
    uint8_t tier;
    uint8_t read, presumed; /* words; 0: none. Of tier 0 and 1 the word is `presumed`. */
    bool has_grant, has_times;
    struct vf_grant_id grant;
    vf_field_set fields;
    int64_t first_us, last_us; /* whole seconds */
};
struct vf_exposed_row {
    struct vf_ref ref;
    bool has[VF_PART_COUNT];
    struct vf_exposed_part part[VF_PART_COUNT];
};
struct vf_exposed { /* by ref */
    struct vf_exposed_row *rows;
    size_t n;
};
#define VF_EXPOSED_MAX (UINT64_C(512) << 20)
/*
 * Strict: exactly what vf_exposure_write_csv writes, cells in quotes or not, LF or CRLF, with or without a BOM (a spreadsheet may have
 * been at it). VF_E_INPUT names line and column.
 */
VF_PUBLIC VF_MUST_USE enum vf_err vf_exposed_parse(const void *data, size_t len, const char *what, struct vf_exposed *ret,
                                                   struct vf_why *why);
VF_PUBLIC void vf_exposed_done(struct vf_exposed *e);
VF_PUBLIC const struct vf_exposed_row *vf_exposed_find(const struct vf_exposed *e, const struct vf_ref *ref);
/* The part's story in one sentence, without names: "Read on 3 occasions …" is not known, times are. Appended. */
VF_PUBLIC void vf_exposed_sentence(const struct vf_exposed_part *p, enum vf_part part, struct vf_buf *out);

/* When the vault's own log says that records were erased, by ref. Freed by the caller. */
struct vf_erased {
    struct vf_ref ref;
    int64_t time_us;
};
VF_PUBLIC VF_MUST_USE enum vf_err vf_erased_list(const char *vault, struct vf_erased **ret, size_t *ret_n,
                                                 struct vf_why *why);

/* --------------------------------------------------------------------------------------------------------------- the report */

/*
 * One page to look at, and the same facts as one JSON document: verdict of each log, what is to be noticed, reads by hour, grant, program, user
 * and record, fields granted and never read. One pass over each log; memory for records, programs, users, grants and days, not for entries.
 */
struct vf_report_options { /* borrowed for the call */
    /* Log folders and handed-in files; copies of one log count once, and are held against each other. */
    const char *const *logs;
    size_t nlogs;
    /* A vault: its own log and its devices' copies come in. Or a backup of one: its logs are left out. NULL: neither. */
    const char *vault;
    int64_t now_us;                                              /* stands on the page */
    void (*progress)(void *user, uint64_t done, uint64_t total); /* bytes of one log */
    void *user;
};
struct vf_report;
/* A damaged log is no error: see vf_report_verdict. One that cannot be read is told likewise; it is an error
 * (VF_E_NOT_FOUND) where one of `logs` is not there, and where the vault cannot be read. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_report_make(const struct vf_report_options *opt, struct vf_report **ret,
                                                 struct vf_why *why);
VF_PUBLIC void vf_report_free(struct vf_report *r); /* NULL is fine */
VF_PUBLIC void vf_report_cleanup(struct vf_report **r);
#define VF_REPORT VF_CLEANUP(vf_report_cleanup) struct vf_report *
/* The page, whole and for itself: no network, no script but its own. The same report gives the same bytes. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_report_write_html(const struct vf_report *r, int fd, const char *what,
                                                       struct vf_why *why);
/* The document, and a newline. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_report_write_json(const struct vf_report *r, int fd, const char *what,
                                                       struct vf_why *why);
/* VF_OK: every log is good. VF_E_FORGED: the first finding of the first that is not. VF_E_DAMAGED, VF_E_PARTIAL: one could not
 * be read, for what stands in it or for another reason. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_report_verdict(const struct vf_report *r, struct vf_why *why);

#endif
