/* SPDX-License-Identifier: MIT */
#include "entry.h"

#include <stdlib.h>
#include <string.h>

/* Room for seq, time and nonce with their names. */
#define PLACE_MAX 128

#define FIELDS_MAX (32 * 24)
_Static_assert(PLACE_MAX + 6 * (VF_ENTRY_ESCAPED_MAX + 16) + VF_ENTRY_REFS_MAX * (VF_REF_LEN + 3) + FIELDS_MAX + 640 <=
                   VF_ENTRY_LINE_MAX,
               "the longest entry fits into a line");

/* At most 256 bytes, never half a character. */
static size_t kept(const char *s)
{
    size_t len = strnlen(s, VF_ENTRY_STRING_MAX + 1);

    if (len <= VF_ENTRY_STRING_MAX)
        return len;
    len = VF_ENTRY_STRING_MAX;
    for (int back = 0; back < 3 && ((uint8_t)s[len] & 0xc0) == 0x80; back++)
        len--;
    return len;
}

static void put_string(struct vf_buf *out, const char *name, const char *value)
{
    if (value == NULL)
        return;
    vf_buf_text(out, name);
    vf_buf_json(out, value, kept(value));
}

/* Not vf_buf_fmt: a mount writes an entry for each file that is opened, and that formats twice each time. */
static void put_number(struct vf_buf *out, const char *name, uint64_t value)
{
    vf_buf_text(out, name);
    vf_buf_decimal(out, value);
}

static void put_hex(struct vf_buf *out, const uint8_t *bytes, size_t len)
{
    char hex[2 * VF_HASH_LEN + 1];

    vf_hex(bytes, len, hex);
    vf_buf_put(out, hex, 2 * len);
}

static void put_refs(const struct vf_entry *e, struct vf_buf *out)
{
    if (e->all != NULL) {
        vf_buf_text(out, ",\"refs\":\"all\",\"manifest\":\"");
        put_hex(out, e->all->b, sizeof(e->all->b));
        vf_buf_text(out, "\"");
    } else if (e->nrefs > 0) {
        vf_buf_text(out, ",\"refs\":[");
        for (size_t i = 0; i < e->nrefs; i++) {
            vf_buf_text(out, i == 0 ? "\"" : ",\"");
            vf_buf_put(out, e->refs[i].c, sizeof(e->refs[i].c));
            vf_buf_text(out, "\"");
        }
        vf_buf_text(out, "]");
    }
}

static void put_fields(vf_field_set set, struct vf_buf *out)
{
    bool any = false;

    for (unsigned i = 1; i < VF_FIELD_COUNT; i++) {
        const struct vf_field_info *info = (set & VF_FIELD_BIT(i)) != 0 ? vf_field_info(i) : NULL;
        if (info == NULL)
            continue;
        vf_buf_text(out, any ? ",\"" : ",\"fields\":[\"");
        vf_buf_text(out, info->name);
        vf_buf_text(out, "\"");
        any = true;
    }
    if (any)
        vf_buf_text(out, "]");
}

static void put_numbers(const struct vf_entry *e, struct vf_buf *out)
{
    if (e->part == VF_PART_TEXT || e->part == VF_PART_IMAGE)
        vf_buf_text(out, e->part == VF_PART_TEXT ? ",\"part\":\"text\"" : ",\"part\":\"image\"");
    put_fields(e->fields, out);
    if (e->has_bytes)
        put_number(out, ",\"bytes\":", e->bytes);
    if (e->has_caller) {
        put_number(out, ",\"uid\":", e->uid);
        put_number(out, ",\"pid\":", e->pid > 0 ? (uint64_t)e->pid : 0);
    }
    put_string(out, ",\"exe\":", e->exe);
    if (e->has_count)
        put_number(out, ",\"count\":", e->count);
}

static enum vf_err check(const struct vf_entry *e, struct vf_why *why)
{
    struct vf_ref ref;
    struct vf_grant_id id;

    if ((unsigned)e->event >= VF_EVENT_COUNT || e->result == NULL || (e->all != NULL && e->nrefs > 0))
        return vf_fail(why, VF_E_INPUT, "a log entry without an event or result, or with both refs and a manifest");
    if (e->nrefs > VF_ENTRY_REFS_MAX)
        return vf_fail(why, VF_E_LIMIT, "a log entry names at most %d records", VF_ENTRY_REFS_MAX);
    /* They are written without escaping. */
    for (size_t i = 0; i < e->nrefs; i++)
        if (!vf_ref_parse(e->refs[i].c, sizeof(e->refs[i].c), &ref))
            return vf_fail(why, VF_E_INPUT, "a log entry names a record by what is no ref");
    if (e->grant != NULL && !vf_grant_id_parse(e->grant->c, sizeof(e->grant->c), &id))
        return vf_fail(why, VF_E_INPUT, "a log entry names a grant by what is no grant id");
    return VF_OK;
}

enum vf_err vf_entry_body_make(const struct vf_entry *e, const uint8_t seal_key[32], struct vf_entry_body *ret,
                               struct vf_why *why)
{
    VF_BUF out = {0};

    VF_TRY(check(e, why));
    vf_buf_init(&out, VF_ENTRY_LINE_MAX - PLACE_MAX);
    (void)vf_buf_reserve(&out, 512);
    const char *category = vf_event_category(e->event);
    vf_buf_text(&out, ",\"event\":\"");
    vf_buf_text(&out, vf_event_text(e->event));
    if (category[0] != '\0') {
        vf_buf_text(&out, "\",\"category\":\"");
        vf_buf_text(&out, category);
    }
    vf_buf_text(&out, "\"");
    if (e->grant != NULL) {
        vf_buf_text(&out, ",\"grant\":\"");
        vf_buf_put(&out, e->grant->c, sizeof(e->grant->c));
        vf_buf_text(&out, "\"");
    }
    put_string(&out, ",\"job\":", e->job);
    put_string(&out, ",\"recipient\":", e->recipient);
    put_refs(e, &out);
    put_numbers(e, &out);
    put_string(&out, ",\"object\":", e->object);
    if (seal_key != NULL) {
        vf_buf_text(&out, ",\"key\":\"");
        vf_base64_put(&out, seal_key, 32);
        vf_buf_text(&out, "\"");
    }
    size_t split = out.len;
    put_string(&out, ",\"result\":", e->result);
    VF_TRY(vf_buf_check(&out, "a log entry", why));
    ret->b = out;
    ret->split = split;
    vf_buf_init(&out, 0);
    return VF_OK;
}

void vf_entry_body_done(struct vf_entry_body *text)
{
    vf_buf_done(&text->b);
}

void vf_entry_origin_put(const char *host, const char *session, struct vf_buf *out)
{
    put_string(out, ",\"host\":", host);
    put_string(out, ",\"session\":", session);
}

/* ------------------------------------------------------------------------------------------------------------------- lines */

void vf_entry_lines_done(struct vf_entry_lines *lines)
{
    free(lines->data);
    *lines = (struct vf_entry_lines){0};
}

static bool reserve(struct vf_entry_lines *lines, size_t more)
{
    if (more <= lines->cap - lines->len)
        return true;
    size_t cap = lines->cap > 0 ? lines->cap : 64 * 1024;
    while (cap - lines->len < more) {
        if (cap > SIZE_MAX / 2)
            return false;
        cap *= 2;
    }
    char *data = realloc(lines->data, cap);
    if (data == NULL)
        return false;
    lines->data = data;
    lines->cap = cap;
    return true;
}

static char *copy(char *to, const void *from, size_t len)
{
    memcpy(to, from, len);
    return to + len;
}
#define LITERAL(to, text) copy(to, text, sizeof(text) - 1)

bool vf_entry_lines_add(struct vf_entry_lines *lines, uint64_t seq, int64_t time_us, const struct vf_entry_body *text,
                        const struct vf_buf *origin, const uint8_t nonce[VF_ENTRY_NONCE_LEN])
{
    char time[VF_TIME_US_LEN + 1];
    char hex[2 * VF_ENTRY_NONCE_LEN + 1];

    if (!reserve(lines, PLACE_MAX + text->b.len + origin->len))
        return false;
    vf_time_format_us(time_us, time);
    vf_hex(nonce, VF_ENTRY_NONCE_LEN, hex);
    char *at = lines->data + lines->len;
    at = LITERAL(at, "{\"seq\":");
    at += vf_decimal(seq, at);
    at = LITERAL(at, ",\"time\":\"");
    at = copy(at, time, VF_TIME_US_LEN);
    at = LITERAL(at, "\"");
    at = copy(at, text->b.data, text->split);
    at = copy(at, origin->data, origin->len);
    at = copy(at, text->b.data + text->split, text->b.len - text->split);
    at = LITERAL(at, ",\"nonce\":\"");
    at = copy(at, hex, sizeof(hex) - 1);
    at = LITERAL(at, "\"}\n");
    lines->len = (size_t)(at - lines->data);
    return true;
}
