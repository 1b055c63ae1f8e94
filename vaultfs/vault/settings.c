/* SPDX-License-Identifier: MIT */
/*
 * What a force may set of its own. Row "settings": u8 version 1, u32 length and the list of ranks (empty: the default list), u32 length
 * and the pattern of warrant numbers (empty: any), u64 the longest grant in microseconds.
 */
#include "internal.h"

#include <string.h>

#define SETTINGS_VERSION 1

static void put_text(struct vf_buf *out, const struct vf_buf *text)
{
    vf_buf_u32(out, (uint32_t)text->len);
    vf_buf_put(out, text->data, text->len);
}

void vf_settings_put(const struct vf_vault *v, struct vf_buf *out)
{
    vf_buf_u8(out, SETTINGS_VERSION);
    put_text(out, &v->ranks);
    put_text(out, &v->pattern);
    vf_buf_u64(out, (uint64_t)v->max_grant_us);
}

static void take_text(struct vf_reader *r, size_t max, struct vf_buf *out)
{
    size_t len = vf_reader_u32(r);
    const uint8_t *at = len <= max ? vf_reader_view(r, len) : NULL;

    if (at == NULL)
        r->bad = true;
    vf_buf_init(out, max);
    vf_buf_put(out, at, at != NULL ? len : 0);
}

/* Rules out of the two texts. */
static enum vf_err make_rules(struct vf_buf *ranks, struct vf_buf *pattern, struct vf_rules *ret, struct vf_why *why)
{
    const char *text = vf_buf_cstr(pattern);

    if (text == NULL)
        return vf_fail(why, VF_E_NOMEM, "out of memory");
    return vf_rules_init(ret, ranks->len > 0 ? (const char *)ranks->data : NULL, ranks->len, pattern->len > 0 ? text : NULL,
                         why);
}

enum vf_err vf_settings_take(struct vf_vault *v, struct vf_slice row, struct vf_why *why)
{
    struct vf_reader r = vf_reader_of(row.data, row.len);
    uint8_t version = vf_reader_u8(&r);
    VF_BUF ranks = {0};
    VF_BUF pattern = {0};
    VF_CLEANUP(vf_rules_done) struct vf_rules rules = {0};

    take_text(&r, VF_RANKS_MAX, &ranks);
    take_text(&r, VF_PATTERN_MAX, &pattern);
    uint64_t max_grant = vf_reader_u64(&r);
    if (!vf_reader_done(&r) || version != SETTINGS_VERSION || max_grant > INT64_MAX)
        return vf_vault_damaged(v, NULL, "its settings are not well-formed", why);
    VF_TRY(make_rules(&ranks, &pattern, &rules, why));
    vf_rules_done(&v->rules);
    vf_buf_done(&v->ranks);
    vf_buf_done(&v->pattern);
    v->rules = rules;
    v->ranks = ranks;
    v->pattern = pattern;
    v->max_grant_us = (int64_t)max_grant;
    rules = (struct vf_rules){0};
    ranks = (struct vf_buf){0};
    pattern = (struct vf_buf){0};
    return VF_OK;
}

static enum vf_err put_settings(struct vf_txn *txn, void *user, struct vf_why *why)
{
    const struct vf_buf *row = user;

    (void)why;
    vf_meta_put(txn, VF_META_SETTINGS, row->data, row->len);
    return VF_OK;
}

/* What is not changed keeps its present text. */
static void choose(struct vf_buf *out, size_t max, const void *given, size_t len, const struct vf_buf *present)
{
    vf_buf_init(out, max);
    if (given != NULL)
        vf_buf_put(out, given, len);
    else
        vf_buf_put(out, present->data, present->len);
}

enum vf_err vf_vault_set(struct vf_vault *v, const struct vf_vault_settings *s, struct vf_why *why)
{
    struct vf_vault next = {.max_grant_us = s->max_grant_us != 0 ? s->max_grant_us : v->max_grant_us};
    VF_CLEANUP(vf_rules_done) struct vf_rules rules = {0};
    VF_BUF ranks = {0};
    VF_BUF pattern = {0};
    VF_BUF row = {0};

    VF_TRY(vf_vault_need(v, true, why));
    if (s->max_grant_us < 0)
        return vf_fail(why, VF_E_INPUT, "the longest grant has to be longer than nothing");
    choose(&ranks, VF_RANKS_MAX, s->ranks, s->ranks_len, &v->ranks);
    choose(&pattern, VF_PATTERN_MAX, s->warrant_pattern, s->warrant_pattern != NULL ? strlen(s->warrant_pattern) : 0,
           &v->pattern);
    VF_TRY(vf_buf_check(&ranks, "the list of ranks", why));
    VF_TRY(vf_buf_check(&pattern, "the pattern of warrant numbers", why));
    VF_TRY(make_rules(&ranks, &pattern, &rules, why));
    next.ranks = ranks;
    next.pattern = pattern;
    vf_buf_init(&row, VF_RANKS_MAX + VF_PATTERN_MAX + 64);
    vf_settings_put(&next, &row);
    VF_TRY(vf_buf_check(&row, "the settings", why));
    struct vf_entry entry = vf_vault_entry(v, VF_EVENT_CHANGE, "settings");
    VF_TRY(vf_vault_log(v, &entry, why));
    VF_TRY(vf_store_update(v->store, put_settings, &row, why));
    return vf_settings_take(v, (struct vf_slice){row.data, row.len}, why);
}
