/* SPDX-License-Identifier: MIT */
/* A log's first page: which log this is, whose, and the public half of the key that signs its first checkpoint. */
#include "checkpoint.h"

#include <string.h>

#define TITLE  "vaultfs-log-v1"
#define PREFIX "vaultfs.log/"
_Static_assert(sizeof(PREFIX) - 1 + 32 == VF_ORIGIN_LINE_LEN, "an origin line");

static const char *const kinds[] = {[VF_LOG_STATION] = "station", [VF_LOG_VAULT] = "vault", [VF_LOG_DESK] = "desk"};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

void vf_origin_put(const char *line, enum vf_log_kind kind, const char *owner, int64_t created_us,
                   const uint8_t seal_key[32], const struct vf_checkpoint *follows, struct vf_buf *out)
{
    char time[VF_TIME_LEN + 1];

    vf_time_format(created_us, time);
    vf_buf_fmt(out, TITLE "\nlog %s\nkind %s\nowner %s\ncreated %s\nseal ", line, kinds[kind], owner, time);
    vf_base64_put(out, seal_key, 32);
    vf_buf_text(out, "\n");
    if (follows == NULL)
        return;
    vf_buf_fmt(out, "follows %s %llu ", follows->origin, (unsigned long long)follows->size);
    vf_base64_put(out, follows->root.b, sizeof(follows->root.b));
    vf_buf_text(out, "\n");
}

struct text {
    const char *p;
    size_t left;
};

/* The rest of the next line behind "NAME "; false when the next line is another one. */
static bool take(struct text *t, const char *name, const char **ret, size_t *ret_len)
{
    size_t skip = strlen(name);
    const char *nl = t->left > 0 ? memchr(t->p, '\n', t->left) : NULL;

    if (nl == NULL || (size_t)(nl - t->p) < skip || memcmp(t->p, name, skip) != 0)
        return false;
    *ret = t->p + skip;
    *ret_len = (size_t)(nl - t->p) - skip;
    t->left -= (size_t)(nl - t->p) + 1;
    t->p = nl + 1;
    return true;
}

static bool origin_line(const char *s, size_t len)
{
    uint8_t id[16];

    return len == VF_ORIGIN_LINE_LEN && memcmp(s, PREFIX, sizeof(PREFIX) - 1) == 0 &&
           vf_unhex(s + sizeof(PREFIX) - 1, 32, id, sizeof(id));
}

static bool parse_kind(const char *s, size_t len, enum vf_log_kind *ret)
{
    for (size_t i = 0; i < KINDS; i++) {
        if (strlen(kinds[i]) == len && memcmp(kinds[i], s, len) == 0) {
            *ret = (enum vf_log_kind)i;
            return true;
        }
    }
    return false;
}

/* "ORIGIN SIZE ROOT" */
static bool parse_follows(const char *s, size_t len, struct vf_checkpoint *ret)
{
    const char *size = len > VF_ORIGIN_LINE_LEN ? s + VF_ORIGIN_LINE_LEN : NULL;

    if (size == NULL || !origin_line(s, VF_ORIGIN_LINE_LEN) || *size != ' ')
        return false;
    size++;
    const char *root = memchr(size, ' ', (size_t)(s + len - size));
    if (root == NULL || !vf_uint_parse(size, (size_t)(root - size), INT64_MAX, &ret->size))
        return false;
    memcpy(ret->origin, s, VF_ORIGIN_LINE_LEN);
    root++;
    return vf_base64_get(root, (size_t)(s + len - root), ret->root.b, sizeof(ret->root.b));
}

enum vf_err vf_origin_parse(const struct vf_note *note, struct vf_origin *ret, struct vf_why *why)
{
    struct text t = {note->text, note->text_len};
    struct vf_origin o = {0};
    const char *s = NULL;
    size_t len = 0;

    if (!take(&t, TITLE, &s, &len) || len > 0)
        return vf_fail(why, VF_E_VERSION, "not the origin of a log, or of another version of vaultfs");
    if (!take(&t, "log ", &s, &len) || !origin_line(s, len))
        return vf_fail(why, VF_E_FORMAT, "the origin of a log: no line \"log\" where it should be");
    memcpy(o.line, s, len);
    if (!take(&t, "kind ", &s, &len) || !parse_kind(s, len, &o.kind))
        return vf_fail(why, VF_E_FORMAT, "the origin of a log: no line \"kind\" where it should be");
    if (!take(&t, "owner ", &s, &len) || !vf_name_valid(s, len))
        return vf_fail(why, VF_E_FORMAT, "the origin of a log: no line \"owner\" where it should be");
    memcpy(o.owner, s, len);
    if (!take(&t, "created ", &s, &len) || !vf_time_parse(s, len, &o.created_us))
        return vf_fail(why, VF_E_FORMAT, "the origin of a log: no line \"created\" where it should be");
    if (!take(&t, "seal ", &s, &len) || !vf_base64_get(s, len, o.seal_key, sizeof(o.seal_key)))
        return vf_fail(why, VF_E_FORMAT, "the origin of a log: no line \"seal\" where it should be");
    if (take(&t, "follows ", &s, &len)) {
        if (!parse_follows(s, len, &o.follows))
            return vf_fail(why, VF_E_FORMAT, "the origin of a log: the line \"follows\" names no checkpoint");
        o.restored = true;
    }
    if (t.left > 0)
        return vf_fail(why, VF_E_FORMAT, "the origin of a log: a line that should not be there");
    *ret = o;
    return VF_OK;
}
