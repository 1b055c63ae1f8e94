/* SPDX-License-Identifier: MIT */
/*
 * Do vf_entry_take with a memo and without give the same? Into two views that held different rubbish before, so that what is not set shows.
 */
#ifndef VAULTFS_TESTS_ENTRY_SAME_H
#define VAULTFS_TESTS_ENTRY_SAME_H

#include "../../vaultfs/audit/entry.h"

#include <string.h>

static inline bool entry_same_text(struct vf_entry_text a, struct vf_entry_text b)
{
    return a.p == b.p && a.len == b.len;
}

static inline bool entry_same_view(const struct vf_entry_view *a, const struct vf_entry_view *b)
{
    return a->seq == b->seq && a->time_us == b->time_us && a->event == b->event && a->line == b->line &&
           a->line_len == b->line_len && entry_same_text(a->grant, b->grant) && entry_same_text(a->job, b->job) &&
           entry_same_text(a->recipient, b->recipient) && entry_same_text(a->refs, b->refs) &&
           entry_same_text(a->manifest, b->manifest) && entry_same_text(a->part, b->part) &&
           entry_same_text(a->fields, b->fields) && entry_same_text(a->exe, b->exe) &&
           entry_same_text(a->object, b->object) && entry_same_text(a->host, b->host) &&
           entry_same_text(a->session, b->session) && entry_same_text(a->result, b->result) && a->all == b->all &&
           a->has_bytes == b->has_bytes && a->has_caller == b->has_caller && a->has_count == b->has_count &&
           a->bytes == b->bytes && a->count == b->count && a->uid == b->uid && a->pid == b->pid &&
           memcmp(a->seal_key, b->seal_key, sizeof(a->seal_key)) == 0;
}

/* *view is the one made with the memo; it must stay where it is while the memo is used. *ret_taken: the line is an entry. */
static inline bool entry_same(const char *line, size_t len, struct vf_entry_memo *memo, struct vf_entry_view *view,
                              bool *ret_taken)
{
    struct vf_entry_view plain;

    memset(&plain, 0x55, sizeof(plain));
    memset(view, 0x01, sizeof(*view));
    *ret_taken = vf_entry_take(line, len, NULL, &plain);
    return vf_entry_take(line, len, memo, view) == *ret_taken && (!*ret_taken || entry_same_view(&plain, view));
}

#endif
