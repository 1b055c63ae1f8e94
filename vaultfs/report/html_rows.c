/* SPDX-License-Identifier: MIT */
#include "html_rows.h"

#include <stdlib.h>
#include <string.h>

uint64_t vf_count_add(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

uint64_t vf_counts_reads(const struct vf_counts *c)
{
    return vf_count_add(vf_count_add(c->opens[0], c->opens[1]), c->lists);
}

void vf_counts_init(struct vf_counts *c)
{
    *c = (struct vf_counts){.first_us = INT64_MAX, .last_us = INT64_MIN};
}

void vf_counts_time(struct vf_counts *c, int64_t us)
{
    if (us < c->first_us)
        c->first_us = us;
    if (us > c->last_us)
        c->last_us = us;
}

enum vf_err vf_rows_init(struct vf_rows *r, size_t max, struct vf_why *why)
{
    size_t nslots = 4;

    while (nslots < 2 * max)
        nslots *= 2;
    *r = (struct vf_rows){.max = max, .nslots = nslots};
    vf_counts_init(&r->others.c);
    r->row = calloc(max, sizeof(*r->row));
    r->slot = calloc(nslots, sizeof(*r->slot));
    if (r->row == NULL || r->slot == NULL)
        return vf_fail(why, VF_E_NOMEM, "no memory for a table of %zu rows", max);
    return VF_OK;
}

void vf_rows_done(struct vf_rows *r)
{
    free(r->row);
    free(r->slot);
    *r = (struct vf_rows){0};
}

/* FNV-1a: the tables are small and never more than half full, so a key made to collide costs a walk through one of them at most. */
static uint64_t mix(uint64_t h, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        h = (h ^ (uint8_t)text[i]) * UINT64_C(0x100000001b3);
    return h;
}

/* Number and text in one key; of a long text its beginning, and a hash that keeps it apart from others that begin alike. */
static size_t make_key(size_t number, const char *text, size_t len, char key[VF_ROW_KEY_MAX])
{
    char tail[2 * 8 + 4];
    size_t at = 2;

    key[0] = (char)(number & 0xff);
    key[1] = (char)(number >> 8 & 0xff);
    if (len <= VF_ROW_KEY_MAX - 2) {
        if (len > 0)
            memcpy(key + at, text, len);
        return at + len;
    }
    int n = snprintf(tail, sizeof(tail), "..%016llx", (unsigned long long)mix(UINT64_C(0xcbf29ce484222325), text, len));
    size_t keep = VF_ROW_KEY_MAX - 2 - (size_t)n;
    /* Not through the middle of a character. */
    while (keep > 0 && ((uint8_t)text[keep] & 0xc0) == 0x80)
        keep--;
    memcpy(key + at, text, keep);
    memcpy(key + at + keep, tail, (size_t)n);
    return at + keep + (size_t)n;
}

static size_t find(const struct vf_rows *r, const char *key, size_t len)
{
    size_t at = (size_t)(mix(UINT64_C(0xcbf29ce484222325), key, len) >> 7) & (r->nslots - 1);

    for (; r->slot[at] != 0; at = (at + 1) & (r->nslots - 1)) {
        const struct vf_row *row = &r->row[r->slot[at] - 1];
        if (row->key_len == len && memcmp(row->key, key, len) == 0)
            break;
    }
    return at;
}

struct vf_row *vf_rows_find(const struct vf_rows *r, size_t number, const char *text, size_t len)
{
    char key[VF_ROW_KEY_MAX];
    size_t key_len = make_key(number, text, len, key);
    size_t at = find(r, key, key_len);

    return r->slot[at] != 0 ? &r->row[r->slot[at] - 1] : NULL;
}

struct vf_row *vf_rows_at(struct vf_rows *r, size_t number, const char *text, size_t len)
{
    char key[VF_ROW_KEY_MAX];
    size_t key_len = make_key(number, text, len, key);
    size_t at = find(r, key, key_len);

    if (r->slot[at] != 0)
        return &r->row[r->slot[at] - 1];
    if (r->n == r->max) {
        r->nothers = vf_count_add(r->nothers, 1);
        return &r->others;
    }
    struct vf_row *row = &r->row[r->n++];
    r->slot[at] = (uint32_t)r->n;
    vf_counts_init(&row->c);
    row->key_len = key_len;
    row->log = number;
    memcpy(row->key, key, key_len);
    return row;
}

uint64_t vf_rows_bit(const struct vf_rows *r, const struct vf_row *row)
{
    size_t i = row == &r->others ? 63 : (size_t)(row - r->row);

    return UINT64_C(1) << (i < 63 ? i : 63);
}

const char *vf_row_text(const struct vf_row *row, size_t *ret_len)
{
    *ret_len = row->key_len > 2 ? row->key_len - 2 : 0;
    return row->key + 2;
}
