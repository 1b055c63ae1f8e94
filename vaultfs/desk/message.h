/* SPDX-License-Identifier: MIT */
/* desk, internal: the bodies of messages, opened but not yet believed. */
#ifndef VAULTFS_DESK_MESSAGE_H
#define VAULTFS_DESK_MESSAGE_H

#include <vaultfs/desk.h>

/* Strict; ret->hash is not set. *ret points into `body`. */
VF_MUST_USE enum vf_err vf_request_parse(const uint8_t *body, size_t len, struct vf_request *ret, struct vf_why *why);
/* Strict, but for the signature. As vf_answer_open says of `rest`; ret->shares points into `body`. */
VF_MUST_USE enum vf_err vf_answer_parse(const uint8_t *body, size_t len, struct vf_buf *rest, struct vf_answer *ret,
                                        struct vf_why *why);

#endif
