/* SPDX-License-Identifier: MIT */
/*
 * keytool audit: what its verbs share.
 *
 *   audit.c         what a log is verified against; verify
 *   audit_text.c    an entry in words, in JSON, in CSV
 *   audit_show.c    show
 *   audit_export.c  export, proof
 */
#ifndef KEYTOOL_AUDIT_H
#define KEYTOOL_AUDIT_H

#include "keytool.h"

/* Everything that a log is verified against: keys that may have signed its origin, its id, checkpoints held elsewhere. */
struct kt_against {
    struct vf_note_key *keys;
    size_t nkeys;
    struct vf_hash log_id;
    bool has_id;
    struct vf_buf *bytes; /* of the checkpoints */
    struct vf_note *notes;
    size_t n;
    struct vf_vault *vault;
};
/* From --enrol, --vault and --checkpoint. Of a device's log beside the vault that knows the device, the enrolment is taken. */
enum vf_err kt_against_take(const struct kt_args *a, const char *log, struct kt_against *g, struct vf_why *why);
void kt_against_done(struct kt_against *g);
/* The signers, id and checkpoints of g. */
struct vf_verify_options kt_against_options(const struct kt_against *g);
json_t *kt_verdict_json(const struct vf_verdict *d);
const char *kt_log_kind_text(enum vf_log_kind kind);

/* ----------------------------------------------------------------------------------------------------------------- text */

/*
 * An entry for people, one line with its newline: number, time with zone, what happened, under which grant, who asked; appended. Nothing in it
 * can move a terminal's cursor: what is not printable stays escaped as it stands in the log. `ref` (may be NULL): the record that was asked for;
 * an entry of all records of a grant says that it concerns this one: `certain`, or only if it is among them.
 */
void kt_entry_text(const struct vf_entry_view *e, const char *ref, bool certain, const char *mark, struct vf_buf *out);
/* The entry's own JSON with one more field, "sealed". Without newline. */
void kt_entry_json(const struct vf_entry_view *e, bool sealed, struct vf_buf *out);
/* A line of CSV (RFC 4180, CRLF), every field quoted, none that a spreadsheet would run; and the header. */
void kt_entry_csv_header(struct vf_buf *out);
void kt_entry_csv(const struct vf_entry_view *e, bool sealed, struct vf_buf *out);

#define KT_AUDIT_AGAINST (KT_BIT(ENROL) | KT_BIT(VAULT) | KT_BIT(CHECKPOINT))
#define KT_AUDIT_SHOW_OPTIONS                                                                                  \
    (KT_AUDIT_AGAINST | KT_BIT(EVENT) | KT_BIT(FOLLOW) | KT_BIT(GRANT_ID) | KT_BIT(JSON) | KT_BIT(NO_VERIFY) | \
     KT_BIT(REF) | KT_BIT(RESULT) | KT_BIT(SINCE) | KT_BIT(UNTIL_TIME))
#define KT_AUDIT_EXPORT_OPTIONS (KT_AUDIT_AGAINST | KT_BIT(FORCE) | KT_BIT(FORMAT) | KT_BIT(OUTPUT))
#define KT_AUDIT_PROOF_OPTIONS  (KT_AUDIT_AGAINST | KT_BIT(FORCE) | KT_BIT(JSON) | KT_BIT(OUTPUT) | KT_BIT(SEQ))
enum vf_err kt_audit_show(const struct kt_args *a, struct vf_why *why);
enum vf_err kt_audit_export(const struct kt_args *a, struct vf_why *why);
enum vf_err kt_audit_proof(const struct kt_args *a, struct vf_why *why);

#endif
