/* SPDX-License-Identifier: MIT */
/* audit, internal: an entry's way into a line. The way back is entry_parse.c; both know the one order of fields. */
#ifndef VAULTFS_AUDIT_ENTRY_H
#define VAULTFS_AUDIT_ENTRY_H

#include "vaultfs/audit.h"

#define VF_ENTRY_STRING_MAX  256                       /* bytes kept of a string */
#define VF_ENTRY_ESCAPED_MAX (6 * VF_ENTRY_STRING_MAX) /* what they come to when every one is written \u00XX */
#define VF_ENTRY_SESSION_LEN 32
#define VF_ENTRY_NONCE_LEN   16
#define VF_ENTRY_SEQ_MAX     ((UINT64_C(1) << 40) - 1) /* 440 terabytes of log: and above it is room in a ticket */

/* The word of DPA 2018 s.62 for an event; empty: none. */
const char *vf_event_category(enum vf_event event);

/*
 * What of a line does not depend on its place in the log, made outside the lock: [0, split) from "event" to "key", [split, len)
 * "result". `seal_key` for seal entries only.
 */
struct vf_entry_body {
    struct vf_buf b;
    size_t split;
};
VF_MUST_USE enum vf_err vf_entry_body_make(const struct vf_entry *entry, const uint8_t seal_key[32],
                                           struct vf_entry_body *ret, struct vf_why *why);
void vf_entry_body_done(struct vf_entry_body *text);
#define VF_ENTRY_BODY VF_CLEANUP(vf_entry_body_done) struct vf_entry_body

/* `,"host":"…","session":"…"`, the same for all entries of one writer. */
void vf_entry_origin_put(const char *host, const char *session, struct vf_buf *out);

/* Lines waiting to be written, each with its newline. Not secret, so it is not wiped. Zeroed is empty. */
struct vf_entry_lines {
    char *data;
    size_t len, cap;
};
void vf_entry_lines_done(struct vf_entry_lines *lines);
/* The whole line and its newline. False: no memory, nothing changed. */
VF_MUST_USE bool vf_entry_lines_add(struct vf_entry_lines *lines, uint64_t seq, int64_t time_us,
                                    const struct vf_entry_body *text, const struct vf_buf *origin,
                                    const uint8_t nonce[VF_ENTRY_NONCE_LEN]);

/*
 * What the entry before has in common with the next one, so that it need not be taken apart again: entries of one job mostly differ in their
 * number, time, record, size and nonce alone. Zeroed: nothing yet. Borrows the line and the view of the entry before.
 */
struct vf_entry_memo {
    const struct vf_entry_view *before; /* NULL: none */
    const char *time;
    struct vf_entry_text subject;   /* behind the time, up to the refs */
    struct vf_entry_text fields[2]; /* of a text, of an image: the list, with its name */
    struct vf_entry_text caller;    /* uid, pid, exe */
    struct vf_entry_text tail;      /* from the host to the nonce */
};
/*
 * vf_entry_parse for who reads millions: without a reason, and *to is undefined when it is false. With a memo (NULL: none) the answer is the
 * same, and `line` and *to must stay as they are until the memo is given up.
 */
VF_MUST_USE bool vf_entry_take(const char *line, size_t len, struct vf_entry_memo *memo, struct vf_entry_view *to);

#endif
