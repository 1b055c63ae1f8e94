/* SPDX-License-Identifier: MIT */
/* base, internal: one UTF-8 decoder and one idea of what is safe to show, shared by text, JSON and error lines. */
#ifndef VAULTFS_BASE_UTF8_H
#define VAULTFS_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of the well-formed sequence at `s` (1 to 4; RFC 3629), its code point in *ret; 0 when there is none within `len`. */
size_t vf_utf8_next(const uint8_t *s, size_t len, uint32_t *ret);
/* No control character (C0, DEL, C1), line or paragraph separator or bidirectional control. */
bool vf_utf8_showable(uint32_t code_point);

#endif
