/* SPDX-License-Identifier: MIT */
/* record, internal: text from outside into normal form. */
#ifndef VAULTFS_RECORD_TEXT_H
#define VAULTFS_RECORD_TEXT_H

#include "vaultfs/record.h"

#define VF_TEXT_RAW_MAX        4096u /* bytes of a value that is looked at: several times the largest field */
#define VF_TEXT_FORMULA_REASON "begins with = + - or @, which a spreadsheet would run as a formula"

/*
 * UTF-8, no control, bidirectional, invisible or unassigned character; NFC; outer spaces cut (no-break and the like
 * included). `out` is reset first and empty after an error. VF_E_INPUT: the reason alone.
 */
VF_MUST_USE enum vf_err vf_text_normalise(const char *text, size_t len, struct vf_buf *out, struct vf_why *why);
/* Code points of well-formed UTF-8. */
size_t vf_text_chars(const char *text, size_t len);
/* A spreadsheet, or a person's eye, takes it for a formula. */
VF_MUST_USE bool vf_text_formula(const char *text, size_t len);

#endif
