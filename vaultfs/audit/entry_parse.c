/* SPDX-License-Identifier: MIT */
/*
 * A line of the log, taken apart. Exactly what entry.c writes is accepted: one order of fields, no space, no other spelling of a
 * number. So a line that was touched by hand is mostly told from one that the writer made before any hash is looked at.
 */
#include "entry.h"

#include <string.h>

#define FIELDS_MAX 32

/* What is still to be read, and what was looked for when it failed. */
struct cursor {
    const char *p, *end;
    const char *wanted; /* NULL: good so far */
};

/* Inlined, so that the compiler knows the length and compares in a few instructions. */
static inline __attribute__((always_inline)) bool literal(struct cursor *c, const char *text, size_t len)
{
    if ((size_t)(c->end - c->p) < len || memcmp(c->p, text, len) != 0)
        return false;
    c->p += len;
    return true;
}
#define TAKE(c, text) literal(c, text, sizeof(text) - 1)

static bool bad(struct cursor *c, const char *wanted)
{
    if (c->wanted == NULL)
        c->wanted = wanted;
    return false;
}

static inline __attribute__((always_inline)) bool need(struct cursor *c, const char *text, size_t len)
{
    return literal(c, text, len) || bad(c, text);
}
#define NEED(c, text) need(c, text, sizeof(text) - 1)

/* Decimal as vf_uint_parse has it. Up to 19 digits cannot overflow. */
static bool number(struct cursor *c, uint64_t max, const char *wanted, uint64_t *ret)
{
    const char *from = c->p;
    uint64_t v = 0;

    while (c->p < c->end && *c->p >= '0' && *c->p <= '9')
        v = v * 10 + (uint64_t)(*c->p++ - '0');
    size_t len = (size_t)(c->p - from);
    if (len > 19)
        return vf_uint_parse(from, len, max, ret) || bad(c, wanted);
    if (len == 0 || (len > 1 && *from == '0') || v > max)
        return bad(c, wanted);
    *ret = v;
    return true;
}

/* A fixed number of characters, and what may stand there is checked by the caller. */
static const char *fixed(struct cursor *c, size_t len)
{
    const char *at = c->p;

    if ((size_t)(c->end - c->p) < len)
        return NULL;
    c->p += len;
    return at;
}

static inline bool hex_digit(char ch)
{
    return ((unsigned char)(ch - '0') <= 9) | ((unsigned char)(ch - 'a') <= 5);
}

static bool hex_digits(const char *s, size_t len)
{
    bool good = true;

    /* Sessions, nonces and hashes come in 32s; a loop of known length without a branch takes 16 at once. */
    for (; len >= 32; s += 32, len -= 32)
        for (unsigned i = 0; i < 32; i++)
            good &= hex_digit(s[i]);
    for (size_t i = 0; i < len; i++)
        good &= hex_digit(s[i]);
    return good;
}

static bool hex_slice(struct cursor *c, size_t len, const char *wanted, struct vf_entry_text *ret)
{
    const char *at = fixed(c, len);

    if (at == NULL || !hex_digits(at, len))
        return bad(c, wanted);
    *ret = (struct vf_entry_text){at, len};
    return true;
}

/* Behind the backslash: what vf_buf_json writes. */
static bool escape(struct cursor *c)
{
    if (c->p == c->end)
        return false;
    char kind = *c->p++;
    if (kind == '"' || kind == '\\' || kind == 'n' || kind == 'r' || kind == 't')
        return true;
    const char *digits = kind == 'u' ? fixed(c, 4) : NULL;
    return digits != NULL && hex_digits(digits, 4);
}

#define EACH(byte)     (UINT64_C(0x0101010101010101) * (byte))
#define LESS(v, byte)  (((v)-EACH(byte)) & ~(v)&EACH(0x80))
#define EQUAL(v, byte) LESS((v) ^ EACH(byte), 1)

/* Go over what may stand in a string as it is, eight at once. The lowest bit that is set is right, and nothing above it is looked at. */
static void plain(struct cursor *c)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    while (c->end - c->p >= 8) {
        uint64_t v;
        memcpy(&v, c->p, sizeof(v));
        uint64_t stop = LESS(v, 0x20) | EQUAL(v, '"') | EQUAL(v, '\\') | EQUAL(v, 0x7f) | (v & EACH(0x80));
        if (stop != 0) {
            c->p += __builtin_ctzll(stop) / 8;
            return;
        }
        c->p += 8;
    }
#else
    (void)c;
#endif
}

/* A string behind its opening quote; takes the closing one. */
static bool string(struct cursor *c, const char *wanted, struct vf_entry_text *ret)
{
    const char *from = c->p;
    bool ascii = true;

    for (plain(c); c->p < c->end && *c->p != '"'; plain(c)) {
        uint8_t b = (uint8_t)*c->p++;
        if (b == '\\') {
            if (!escape(c))
                return bad(c, wanted);
        } else if (b < 0x20 || b == 0x7f) {
            return bad(c, wanted);
        } else {
            ascii = ascii && b < 0x80;
        }
    }
    size_t len = (size_t)(c->p - from);
    if (c->p == c->end || len > VF_ENTRY_ESCAPED_MAX || (!ascii && !vf_text_printable(from, len)))
        return bad(c, wanted);
    c->p++;
    *ret = (struct vf_entry_text){from, len};
    return true;
}

/* Items in quotes with commas between them, at least one, behind the opening bracket; takes the closing one. */
static bool list(struct cursor *c, bool (*item)(struct cursor *c), size_t max, const char *wanted, struct vf_entry_text *ret)
{
    const char *from = c->p;
    size_t n = 0;

    do {
        if (++n > max || !TAKE(c, "\"") || !item(c) || !TAKE(c, "\""))
            return bad(c, wanted);
    } while (TAKE(c, ","));
    *ret = (struct vf_entry_text){from, (size_t)(c->p - from)};
    return TAKE(c, "]") || bad(c, wanted);
}

/* What a ref or a grant's id is made of (vf_ref_parse, vf_grant_id_parse), without a branch a character. */
static inline __attribute__((always_inline)) bool base32_digits(const char *s, size_t len)
{
    bool good = true;

    for (size_t i = 0; i < len; i++)
        good &= ((unsigned char)(s[i] - 'A') <= 25) | ((unsigned char)(s[i] - '2') <= 5);
    return good;
}

static bool ref_item(struct cursor *c)
{
    const char *at = fixed(c, VF_REF_LEN);

    return at != NULL && base32_digits(at, VF_REF_LEN);
}

/* A name of the schema, or of a later one: a reader need not know every field. */
static bool field_item(struct cursor *c)
{
    const char *from = c->p;

    while (c->p < c->end && ((*c->p >= 'a' && *c->p <= 'z') || *c->p == '_'))
        c->p++;
    return c->p > from && c->p - from <= 20;
}

/* seq, time, event and the category that belongs to it */
static bool parse_head(struct cursor *c, struct vf_entry_view *v)
{
    struct vf_entry_text event = {0};

    if (!NEED(c, "{\"seq\":") || !number(c, VF_ENTRY_SEQ_MAX, "a sequence number", &v->seq) || !NEED(c, ",\"time\":\""))
        return false;
    const char *time = fixed(c, VF_TIME_US_LEN);
    if (time == NULL || !vf_time_parse_us(time, VF_TIME_US_LEN, &v->time_us))
        return bad(c, "a time");
    if (!NEED(c, "\",\"event\":\"") || !string(c, "an event", &event))
        return false;
    if (!vf_event_parse(event.p, event.len, &v->event))
        return bad(c, "a known event");
    const char *category = vf_event_category(v->event);
    return category[0] == '\0' || (NEED(c, ",\"category\":\"") && need(c, category, strlen(category)) && NEED(c, "\""));
}

static bool parse_subject(struct cursor *c, struct vf_entry_view *v)
{
    if (TAKE(c, ",\"grant\":\"")) {
        const char *at = fixed(c, VF_GRANT_ID_LEN);
        if (at == NULL || !base32_digits(at, VF_GRANT_ID_LEN) || !TAKE(c, "\""))
            return bad(c, "a grant id");
        v->grant = (struct vf_entry_text){at, VF_GRANT_ID_LEN};
    }
    if (TAKE(c, ",\"job\":\"") && !string(c, "a job", &v->job))
        return false;
    if (TAKE(c, ",\"recipient\":\"") && !string(c, "a recipient", &v->recipient))
        return false;
    if (TAKE(c, ",\"refs\":[") && !list(c, ref_item, VF_ENTRY_REFS_MAX, "a list of refs", &v->refs))
        return false;
    if (v->refs.p == NULL && TAKE(c, ",\"refs\":\"all\",\"manifest\":\"")) {
        v->all = true;
        v->refs = (struct vf_entry_text){c->p - sizeof("all\",\"manifest\":\"") + 1, 3};
        return hex_slice(c, 64, "the hash of a manifest", &v->manifest) && NEED(c, "\"");
    }
    return true;
}

static bool parse_caller(struct cursor *c, struct vf_entry_view *v)
{
    uint64_t uid = 0;
    uint64_t pid = 0;

    if (!TAKE(c, ",\"uid\":"))
        return true;
    if (!number(c, UINT32_MAX, "a user id", &uid) || !NEED(c, ",\"pid\":") || !number(c, INT32_MAX, "a process id", &pid))
        return false;
    v->has_caller = true;
    v->uid = (uint32_t)uid;
    v->pid = (int32_t)pid;
    return true;
}

static bool parse_details(struct cursor *c, struct vf_entry_view *v)
{
    if (TAKE(c, ",\"part\":\"text\""))
        v->part = (struct vf_entry_text){c->p - sizeof("text"), 4};
    else if (TAKE(c, ",\"part\":\"image\""))
        v->part = (struct vf_entry_text){c->p - sizeof("image"), 5};
    if (TAKE(c, ",\"fields\":[") && !list(c, field_item, FIELDS_MAX, "a list of fields", &v->fields))
        return false;
    if (TAKE(c, ",\"bytes\":")) {
        v->has_bytes = true;
        if (!number(c, UINT64_MAX, "a number of bytes", &v->bytes))
            return false;
    }
    if (!parse_caller(c, v))
        return false;
    if (TAKE(c, ",\"exe\":\"") && !string(c, "a program", &v->exe))
        return false;
    if (TAKE(c, ",\"count\":")) {
        v->has_count = true;
        if (!number(c, UINT64_MAX, "a count", &v->count))
            return false;
    }
    return !TAKE(c, ",\"object\":\"") || string(c, "an object", &v->object);
}

/* A seal entry names a key, and no other does. */
static bool parse_key(struct cursor *c, struct vf_entry_view *v)
{
    if (v->event != VF_EVENT_SEAL)
        return true;
    if (!NEED(c, ",\"key\":\""))
        return false;
    const char *key = fixed(c, 44);
    if (key == NULL || !vf_base64_get(key, 44, v->seal_key, sizeof(v->seal_key)))
        return bad(c, "a public key");
    return NEED(c, "\"");
}

static bool parse_tail(struct cursor *c, struct vf_entry_view *v)
{
    struct vf_entry_text nonce;

    if (!NEED(c, ",\"host\":\"") || !string(c, "a host", &v->host) || !NEED(c, ",\"session\":\"") ||
        !hex_slice(c, VF_ENTRY_SESSION_LEN, "a session", &v->session) || !NEED(c, "\",\"result\":\"") ||
        !string(c, "a result", &v->result) || !NEED(c, ",\"nonce\":\"") ||
        !hex_slice(c, (size_t)2 * VF_ENTRY_NONCE_LEN, "a nonce", &nonce) || !NEED(c, "\"}"))
        return false;
    return c->p == c->end || bad(c, "the end of the line");
}

/* Into *v whatever comes of it. */
static bool parse(const char *line, size_t len, struct vf_entry_view *v, struct cursor *c)
{
    memset(v, 0, sizeof(*v));
    v->line = line;
    v->line_len = len;
    *c = (struct cursor){.p = line, .end = line + len};
    return parse_head(c, v) && parse_subject(c, v) && parse_details(c, v) && parse_key(c, v) && parse_tail(c, v);
}

bool vf_entry_take(const char *line, size_t len, struct vf_entry_view *to)
{
    struct cursor c;

    return len <= VF_ENTRY_LINE_MAX && parse(line, len, to, &c);
}

enum vf_err vf_entry_parse(const char *line, size_t len, struct vf_entry_view *ret, struct vf_why *why)
{
    struct vf_entry_view v;
    struct cursor c;

    if (len > VF_ENTRY_LINE_MAX)
        return vf_fail(why, VF_E_FORMAT, "not a log entry: longer than %d bytes", VF_ENTRY_LINE_MAX);
    if (!parse(line, len, &v, &c))
        return vf_fail(why, VF_E_FORMAT, "not a log entry: near byte %zu there should be %s", (size_t)(c.p - line),
                       c.wanted);
    *ret = v;
    return VF_OK;
}
