/* SPDX-License-Identifier: MIT */
/*
 * A line of the log, taken apart. Exactly what entry.c writes is accepted: one order of fields, no space, no other spelling of a
 * number. So a line that was touched by hand is mostly told from one that the writer made before any hash is looked at.
 */
#include "entry.h"

#include <string.h>

#define FIELDS_MAX 32

static const struct vf_entry_text none;

/* What is still to be read, and what was looked for when it failed. */
struct cursor {
    const char *p, *end;
    const char *wanted;         /* NULL: good so far */
    struct vf_entry_memo *memo; /* NULL: none */
    struct vf_entry_memo now;   /* what this line leaves for the next */
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

/*
 * The memo. The form of a line has one reading: where the same bytes stand at the same point of it as in the line before, they mean the
 * same. Only what comes behind them may be something that would still have belonged to this part; then nothing that is looked for next
 * fits, and the line is taken apart without the memo.
 */
static inline __attribute__((always_inline)) bool same(struct cursor *c, const struct vf_entry_text *before)
{
    return before->len > 0 && literal(c, before->p, before->len);
}

static inline struct vf_entry_text moved(struct vf_entry_text t, const char *from, const char *to)
{
    return t.p != NULL ? (struct vf_entry_text){to + (t.p - from), t.len} : t;
}

static inline struct vf_entry_text taken(const struct cursor *c, const char *from)
{
    return (struct vf_entry_text){from, (size_t)(c->p - from)};
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

/* Sixteen characters, compared at once where the processor can. */
typedef uint8_t sixteen __attribute__((vector_size(16)));

static bool hex_digits(const char *s, size_t len)
{
    bool good = true;

    /* Sessions, nonces and hashes come in 32s. */
    for (; len >= 16; s += 16, len -= 16) {
        sixteen v;
        uint64_t all[2];
        memcpy(&v, s, sizeof(v));
        v = (sixteen)((v - '0' <= 9) | (v - 'a' <= 5));
        memcpy(all, &v, sizeof(all));
        good &= (all[0] & all[1]) == UINT64_MAX;
    }
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
static inline __attribute__((always_inline)) bool list(struct cursor *c, bool (*item)(struct cursor *c), size_t max,
                                                       const char *wanted, struct vf_entry_text *ret)
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

/* "SS.UUUUUUZ" behind a minute that is known to be one. */
static bool seconds(const char *s, int64_t minute_us, int64_t *ret_us)
{
    uint32_t v = 0;
    bool good = s[0] <= '5' && s[2] == '.' && s[9] == 'Z';

    for (unsigned i = 0; i < 9; i++) {
        if (i == 2)
            continue;
        uint32_t digit = (uint32_t)(unsigned char)s[i] - '0';
        good &= digit <= 9;
        v = v * 10 + digit;
    }
    *ret_us = minute_us + v;
    return good;
}

#define MINUTE_LEN 17 /* "2026-11-21T12:00:" */

static bool parse_time(struct cursor *c, struct vf_entry_view *v)
{
    const struct vf_entry_memo *m = c->memo;
    const char *at = fixed(c, VF_TIME_US_LEN);

    if (at == NULL)
        return bad(c, "a time");
    c->now.time = at;
    if (m != NULL && memcmp(at, m->time, MINUTE_LEN) == 0) {
        int64_t before = m->before->time_us;
        return seconds(at + MINUTE_LEN, before - before % (60 * VF_SECOND_US), &v->time_us) || bad(c, "a time");
    }
    return vf_time_parse_us(at, VF_TIME_US_LEN, &v->time_us) || bad(c, "a time");
}

/* The event and the category that belongs to it */
static bool parse_event(struct cursor *c, struct vf_entry_view *v)
{
    struct vf_entry_text event = {0};

    if (!NEED(c, "\",\"event\":\"") || !string(c, "an event", &event))
        return false;
    if (!vf_event_parse(event.p, event.len, &v->event))
        return bad(c, "a known event");
    const char *category = vf_event_category(v->event);
    return category[0] == '\0' || (NEED(c, ",\"category\":\"") && need(c, category, strlen(category)) && NEED(c, "\""));
}

/* Whom it is about. */
static bool parse_subject(struct cursor *c, struct vf_entry_view *v)
{
    const char *from = c->p;

    if (c->memo != NULL && same(c, &c->memo->subject)) {
        const struct vf_entry_view *b = c->memo->before;
        const char *then = c->memo->subject.p;
        v->event = b->event;
        v->grant = moved(b->grant, then, from);
        v->job = moved(b->job, then, from);
        v->recipient = moved(b->recipient, then, from);
        c->now.subject = taken(c, from);
        return true;
    }
    v->grant = v->job = v->recipient = none;
    if (!parse_event(c, v))
        return false;
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
    c->now.subject = taken(c, from);
    return true;
}

static bool parse_refs(struct cursor *c, struct vf_entry_view *v)
{
    v->refs = v->manifest = none;
    v->all = false;
    if (TAKE(c, ",\"refs\":[") && !list(c, ref_item, VF_ENTRY_REFS_MAX, "a list of refs", &v->refs))
        return false;
    if (v->refs.p == NULL && TAKE(c, ",\"refs\":\"all\",\"manifest\":\"")) {
        v->all = true;
        v->refs = (struct vf_entry_text){c->p - sizeof("all\",\"manifest\":\"") + 1, 3};
        return hex_slice(c, 64, "the hash of a manifest", &v->manifest) && NEED(c, "\"");
    }
    return true;
}

#define FIELDS_NAME ",\"fields\":["

static bool parse_fields(struct cursor *c, struct vf_entry_view *v)
{
    const char *from = c->p;
    unsigned image = v->part.len == sizeof("image") - 1 ? 1 : 0;

    v->fields = none;
    if (c->memo != NULL) {
        /* What this line does not leave, the one before may have left. */
        c->now.fields[image ^ 1] = c->memo->fields[image ^ 1];
        if (same(c, &c->memo->fields[image]))
            v->fields = (struct vf_entry_text){from + sizeof(FIELDS_NAME) - 1, (size_t)(c->p - from) - sizeof(FIELDS_NAME)};
    }
    if (v->fields.p == NULL && TAKE(c, FIELDS_NAME) && !list(c, field_item, FIELDS_MAX, "a list of fields", &v->fields))
        return false;
    c->now.fields[image] = taken(c, from);
    return true;
}

static bool parse_caller(struct cursor *c, struct vf_entry_view *v)
{
    const char *from = c->p;
    uint64_t uid = 0;
    uint64_t pid = 0;

    if (c->memo != NULL && same(c, &c->memo->caller)) {
        const struct vf_entry_view *b = c->memo->before;
        v->has_caller = b->has_caller;
        v->uid = b->uid;
        v->pid = b->pid;
        v->exe = moved(b->exe, c->memo->caller.p, from);
        c->now.caller = taken(c, from);
        return true;
    }
    v->exe = none;
    v->uid = 0;
    v->pid = 0;
    v->has_caller = TAKE(c, ",\"uid\":");
    if (v->has_caller) {
        if (!number(c, UINT32_MAX, "a user id", &uid) || !NEED(c, ",\"pid\":") ||
            !number(c, INT32_MAX, "a process id", &pid))
            return false;
        v->uid = (uint32_t)uid;
        v->pid = (int32_t)pid;
    }
    if (TAKE(c, ",\"exe\":\"") && !string(c, "a program", &v->exe))
        return false;
    c->now.caller = taken(c, from);
    return true;
}

static bool parse_details(struct cursor *c, struct vf_entry_view *v)
{
    v->part = v->object = none;
    v->bytes = v->count = 0;
    if (TAKE(c, ",\"part\":\"text\""))
        v->part = (struct vf_entry_text){c->p - sizeof("text"), 4};
    else if (TAKE(c, ",\"part\":\"image\""))
        v->part = (struct vf_entry_text){c->p - sizeof("image"), 5};
    if (!parse_fields(c, v))
        return false;
    v->has_bytes = TAKE(c, ",\"bytes\":");
    if (v->has_bytes && !number(c, UINT64_MAX, "a number of bytes", &v->bytes))
        return false;
    if (!parse_caller(c, v))
        return false;
    v->has_count = TAKE(c, ",\"count\":");
    if (v->has_count && !number(c, UINT64_MAX, "a count", &v->count))
        return false;
    return !TAKE(c, ",\"object\":\"") || string(c, "an object", &v->object);
}

/* A seal entry names a key, and no other does. */
static bool parse_key(struct cursor *c, struct vf_entry_view *v)
{
    memset(v->seal_key, 0, sizeof(v->seal_key));
    if (v->event != VF_EVENT_SEAL)
        return true;
    if (!NEED(c, ",\"key\":\""))
        return false;
    const char *key = fixed(c, 44);
    if (key == NULL || !vf_base64_get(key, 44, v->seal_key, sizeof(v->seal_key)))
        return bad(c, "a public key");
    return NEED(c, "\"");
}

static bool parse_origin(struct cursor *c, struct vf_entry_view *v)
{
    const char *from = c->p;

    if (c->memo != NULL && same(c, &c->memo->tail)) {
        const struct vf_entry_view *b = c->memo->before;
        const char *then = c->memo->tail.p;
        v->host = moved(b->host, then, from);
        v->session = moved(b->session, then, from);
        v->result = moved(b->result, then, from);
        c->now.tail = taken(c, from);
        return true;
    }
    if (!NEED(c, ",\"host\":\"") || !string(c, "a host", &v->host) || !NEED(c, ",\"session\":\"") ||
        !hex_slice(c, VF_ENTRY_SESSION_LEN, "a session", &v->session) || !NEED(c, "\",\"result\":\"") ||
        !string(c, "a result", &v->result) || !NEED(c, ",\"nonce\":\""))
        return false;
    c->now.tail = taken(c, from);
    return true;
}

static bool parse_end(struct cursor *c)
{
    struct vf_entry_text nonce;

    if (!hex_slice(c, (size_t)2 * VF_ENTRY_NONCE_LEN, "a nonce", &nonce) || !NEED(c, "\"}"))
        return false;
    return c->p == c->end || bad(c, "the end of the line");
}

/* Into *v whatever comes of it. */
static bool parse(const char *line, size_t len, struct vf_entry_memo *memo, struct vf_entry_view *v, struct cursor *c)
{
    /* Each part sets what is its own, found or not: cheaper than to clear all of it first. */
    v->line = line;
    v->line_len = len;
    c->p = line;
    c->end = line + len;
    c->wanted = NULL;
    c->memo = memo;
    return NEED(c, "{\"seq\":") && number(c, VF_ENTRY_SEQ_MAX, "a sequence number", &v->seq) && NEED(c, ",\"time\":\"") &&
           parse_time(c, v) && parse_subject(c, v) && parse_refs(c, v) && parse_details(c, v) && parse_key(c, v) &&
           parse_origin(c, v) && parse_end(c);
}

bool vf_entry_take(const char *line, size_t len, struct vf_entry_memo *memo, struct vf_entry_view *to)
{
    struct cursor c = {.now = {.before = to}};

    if (len > VF_ENTRY_LINE_MAX)
        return false;
    bool good = memo != NULL && memo->before != NULL && parse(line, len, memo, to, &c);
    if (!good && !parse(line, len, NULL, to, &c))
        return false;
    if (memo != NULL)
        *memo = c.now;
    return true;
}

enum vf_err vf_entry_parse(const char *line, size_t len, struct vf_entry_view *ret, struct vf_why *why)
{
    struct vf_entry_view v;
    struct cursor c = {0};

    if (len > VF_ENTRY_LINE_MAX)
        return vf_fail(why, VF_E_FORMAT, "not a log entry: longer than %d bytes", VF_ENTRY_LINE_MAX);
    if (!parse(line, len, NULL, &v, &c))
        return vf_fail(why, VF_E_FORMAT, "not a log entry: near byte %zu there should be %s", (size_t)(c.p - line),
                       c.wanted);
    *ret = v;
    return VF_OK;
}
