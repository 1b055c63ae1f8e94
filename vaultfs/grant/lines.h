/* SPDX-License-Identifier: MIT */
/*
 * The text of our notes: a first line that says type and version, then "key: value" lines in one fixed order and nothing else. A reader
 * asks for each key in turn; the first thing that is not exactly so sticks, and every later call does nothing.
 *
 * The parsers built on this encode what they have read again and compare (vf_lines_same): there is one way to write each note.
 */
#ifndef VAULTFS_GRANT_LINES_H
#define VAULTFS_GRANT_LINES_H

#include <vaultfs/crypto.h>
#include <vaultfs/record.h>

struct vf_lines {
    const char *text;
    size_t len;
    const char *next;
    size_t left;
    const char *what;   /* the file's name for messages */
    const char *kind;   /* "grant" */
    const char *failed; /* the key that stopped it; NULL while all is well */
};

/* Takes the first line, "vaultfs KIND v1". VF_E_VERSION when it is another one. */
VF_MUST_USE enum vf_err vf_lines_start(struct vf_lines *l, const char *text, size_t len, const char *what, const char *kind,
                                       struct vf_why *why);
/* The value of the next line, which must be "key: VALUE" with at least one byte of value; NULL else. Borrowed. */
const char *vf_lines_value(struct vf_lines *l, const char *key, size_t *ret_len);
/* True when the next line begins with "key: ". Takes nothing. */
VF_MUST_USE bool vf_lines_has(const struct vf_lines *l, const char *key);
/* The last value was no good: remember its key. */
void vf_lines_refuse(struct vf_lines *l, const char *key);

void vf_lines_text(struct vf_lines *l, const char *key, char *ret, size_t size); /* printable; fits with its NUL */
void vf_lines_name(struct vf_lines *l, const char *key, char ret[VF_NAME_MAX + 1]);
void vf_lines_hex(struct vf_lines *l, const char *key, uint8_t *ret, size_t len);
void vf_lines_base64(struct vf_lines *l, const char *key, uint8_t *ret, size_t len);
void vf_lines_time(struct vf_lines *l, const char *key, int64_t *ret_us);
void vf_lines_grant_id(struct vf_lines *l, const char *key, struct vf_grant_id *ret);
uint64_t vf_lines_uint(struct vf_lines *l, const char *key, uint64_t min, uint64_t max);
/* One of two words; true for the first. */
bool vf_lines_either(struct vf_lines *l, const char *key, const char *yes, const char *no);
/* "none" (then 0 and 0) or "BATCH/NUMBER". */
void vf_lines_prekey(struct vf_lines *l, const char *key, uint32_t *ret_batch, uint32_t *ret_number);

/* Everything was read and nothing was wrong; else VF_E_FORMAT, which names the line. */
VF_MUST_USE enum vf_err vf_lines_end(const struct vf_lines *l, struct vf_why *why);
/* What was read, encoded again, is what was read. Takes `again` (which may be bad for want of memory). */
VF_MUST_USE enum vf_err vf_lines_same(const struct vf_lines *l, const struct vf_buf *again, struct vf_why *why);

/* Writers. */
void vf_lines_put_first(struct vf_buf *out, const char *kind);
void vf_lines_put(struct vf_buf *out, const char *key, const char *value);
void vf_lines_put_hex(struct vf_buf *out, const char *key, const uint8_t *value, size_t len);
void vf_lines_put_base64(struct vf_buf *out, const char *key, const uint8_t *value, size_t len);
void vf_lines_put_time(struct vf_buf *out, const char *key, int64_t us);
void vf_lines_put_uint(struct vf_buf *out, const char *key, uint64_t value);
void vf_lines_put_grant_id(struct vf_buf *out, const char *key, const struct vf_grant_id *id);
void vf_lines_put_prekey(struct vf_buf *out, const char *key, uint32_t batch, uint32_t number);

#endif
