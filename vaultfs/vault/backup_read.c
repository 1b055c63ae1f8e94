/* SPDX-License-Identifier: MIT */
#include "backup.h"

#include <string.h>

#define TIMES_MAX  ((size_t)VF_MANIFEST_RECORDS_MAX * 8 + 64)
#define DEVICE_MAX ((size_t)65536)

/* --------------------------------------------------------------------------------------------------------- what rows can be */

size_t vf_backup_value_max(unsigned table)
{
    static const size_t max[VF_VT_COUNT] = {
        [VF_VT_META] = VF_POLICY_MAX,
        [VF_VT_VK] = VF_SEALED_KEY_LEN,
        [VF_VT_RECORD] = VF_RECORD_ROW_MAX,
        [VF_VT_INDEX] = VF_REF_LEN,
        [VF_VT_HEAD] = VF_HEAD_ROW_LEN,
        [VF_VT_VALUE] = VF_VALUE_ROW_HEAD + VF_VALUE_ROW_MAX,
        [VF_VT_GRANT] = VF_GRANT_ROW_HEAD + VF_NOTE_MAX,
        [VF_VT_MANIFEST] = VF_MANIFEST_MAX,
        [VF_VT_DEVICE] = DEVICE_MAX,
        [VF_VT_TIMES] = TIMES_MAX,
    };

    return table < VF_VT_COUNT ? max[table] : 0;
}

static bool meta_valid(struct vf_slice key, struct vf_slice val)
{
    static const struct {
        const char *name;
        size_t len; /* 0: any up to the table's maximum */
    } known[] = {
        {VF_META_FORMAT, 4}, {VF_META_ID, VF_VAULT_ID_LEN}, {VF_META_CREATED, 8},  {VF_META_POLICY, 0},
        {VF_META_W_SEQ, 8},  {VF_META_W_CHANGES, 8},        {VF_META_EPOCH, 4},    {VF_META_SETTINGS, 0},
        {VF_META_REKEY, 0},  {VF_META_STAGING, 8},          {VF_META_RESTORED, 8},
    };

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (key.len == strlen(known[i].name) && memcmp(key.data, known[i].name, key.len) == 0)
            return known[i].len == 0 || val.len == known[i].len;
    return false;
}

static bool ref_valid(struct vf_slice s)
{
    struct vf_ref ref;

    return vf_ref_parse((const char *)s.data, s.len, &ref);
}

static bool value_valid(struct vf_slice key, struct vf_slice val)
{
    struct vf_value_row row;
    uint32_t generation = 0;
    unsigned field = 0;
    struct vf_ref ref;

    return vf_value_key_parse(key, &ref, &field, &generation) && vf_value_row_parse(val, field, &row);
}

static bool grant_valid(struct vf_slice key, struct vf_slice val)
{
    struct vf_grant_row row;
    struct vf_grant_id id;

    return vf_grant_id_parse((const char *)key.data, key.len, &id) &&
           vf_grant_row_parse(val.data, val.len, &row, NULL) == VF_OK;
}

static bool manifest_valid(struct vf_slice key, struct vf_slice val)
{
    struct vf_manifest m;
    struct vf_hash hash;

    if (key.len != VF_HASH_LEN || vf_manifest_parse(val.data, val.len, "manifest", &m, NULL) != VF_OK)
        return false;
    vf_sha256(val.data, val.len, &hash);
    return memcmp(hash.b, key.data, VF_HASH_LEN) == 0;
}

bool vf_backup_row_valid(unsigned table, struct vf_slice key, struct vf_slice val)
{
    if (val.len > vf_backup_value_max(table))
        return false;
    switch (table) {
    case VF_VT_META:
        return meta_valid(key, val);
    case VF_VT_VK:
        return key.len == VF_HASH_LEN && val.len == VF_SEALED_KEY_LEN;
    case VF_VT_RECORD:
        return ref_valid(key) && vf_record_row_valid(val);
    case VF_VT_INDEX:
        return key.len == VF_HASH_LEN && ref_valid(val);
    case VF_VT_HEAD:
        return ref_valid(key) && val.len == VF_HEAD_ROW_LEN;
    case VF_VT_VALUE:
        return value_valid(key, val);
    case VF_VT_GRANT:
        return grant_valid(key, val);
    case VF_VT_MANIFEST:
        return manifest_valid(key, val);
    case VF_VT_DEVICE:
        return key.len == VF_HASH_LEN && val.len > 0;
    case VF_VT_TIMES:
        return key.len == VF_HASH_LEN && val.len % 8 == 0;
    default:
        return false;
    }
}

/* -------------------------------------------------------------------------------------------------------------------- paths */

/* The next part of the path: [a-z0-9][a-z0-9._-]*, so neither "." nor "..". */
static bool take_part(const char **path, size_t *len, const char **ret, size_t *ret_len)
{
    size_t n = 0;

    while (n < *len && (*path)[n] != '/') {
        char ch = (*path)[n];
        bool plain = (ch >= 'a' && ch <= 'z') || (ch >= '0' && ch <= '9');
        if (!plain && (n == 0 || (ch != '.' && ch != '_' && ch != '-')))
            return false;
        n++;
    }
    if (n == 0)
        return false;
    *ret = *path;
    *ret_len = n;
    *path += n < *len ? n + 1 : n;
    *len -= n < *len ? n + 1 : n;
    return true;
}

static bool is_hex(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!((s[i] >= '0' && s[i] <= '9') || (s[i] >= 'a' && s[i] <= 'f')))
            return false;
    return true;
}

bool vf_backup_path_valid(const char *path, size_t len)
{
    const char *part = NULL;
    size_t n = 0;

    if (len == 0 || len > VF_BACKUP_PATH_MAX || path[len - 1] == '/' || !take_part(&path, &len, &part, &n))
        return false;
    bool device = n == 7 && memcmp(part, "devices", 7) == 0;
    bool before = n == 6 && memcmp(part, "before", 6) == 0;
    if (device || before) {
        size_t want = device ? 2 * VF_HASH_LEN : VF_HASH_LEN;
        if (!take_part(&path, &len, &part, &n) || n != want || !is_hex(part, n) || !take_part(&path, &len, &part, &n))
            return false;
    }
    if (n != 3 || memcmp(part, "log", 3) != 0)
        return false;
    return take_part(&path, &len, &part, &n) && len == 0;
}

/* ------------------------------------------------------------------------------------------------------------------ reading */

struct parse {
    const struct vf_backup_source *source;
    const struct vf_backup_sink *sink;
    const char *what;
    struct vf_why *why;
    struct vf_hasher hasher;
    uint8_t *in; /* read ahead */
    size_t at, have;
    struct vf_buf key, before, val; /* `before`: the key of the row before */
    unsigned table;
    uint64_t rows, files;
    char path[VF_BACKUP_PATH_MAX + 1]; /* of the file before */
};

static enum vf_err bad(const struct parse *p, const char *reason)
{
    return vf_fail(p->why, VF_E_FORMAT, "%s: not a well-formed backup: %s", p->what, reason);
}

/* At least one byte ahead; *ret_end at the end of the file. */
static enum vf_err fill(struct parse *p, bool *ret_end)
{
    *ret_end = false;
    if (p->at < p->have)
        return VF_OK;
    p->at = 0;
    p->have = 0;
    VF_TRY(p->source->read(p->source->user, p->in, VF_BACKUP_CHUNK, &p->have, p->why));
    *ret_end = p->have == 0;
    return VF_OK;
}

/* Up to `len` bytes as they come, not hashed. */
static enum vf_err take_some(struct parse *p, size_t len, const uint8_t **ret, size_t *ret_n)
{
    bool end = false;

    VF_TRY(fill(p, &end));
    if (end)
        return bad(p, "it ends too early");
    *ret_n = p->have - p->at < len ? p->have - p->at : len;
    *ret = p->in + p->at;
    p->at += *ret_n;
    return VF_OK;
}

static enum vf_err take(struct parse *p, void *out, size_t len)
{
    uint8_t *to = out;

    while (len > 0) {
        const uint8_t *data = NULL;
        size_t n = 0;
        VF_TRY(take_some(p, len, &data, &n));
        memcpy(to, data, n);
        vf_hasher_update(&p->hasher, data, n);
        to += n;
        len -= n;
    }
    return VF_OK;
}

/* Memory grows with what comes, not with what is announced. */
static enum vf_err take_buf(struct parse *p, struct vf_buf *out, size_t len)
{
    out->len = 0;
    while (len > 0) {
        const uint8_t *data = NULL;
        size_t n = 0;
        VF_TRY(take_some(p, len, &data, &n));
        vf_buf_put(out, data, n);
        VF_TRY(vf_buf_check(out, p->what, p->why));
        vf_hasher_update(&p->hasher, data, n);
        len -= n;
    }
    return VF_OK;
}

static enum vf_err parse_head(struct parse *p)
{
    struct vf_backup_head head = {0};
    uint8_t raw[8];

    VF_TRY(take(p, raw, sizeof(raw)));
    if (memcmp(raw, VF_BACKUP_MAGIC, sizeof(raw)) != 0)
        return vf_fail(p->why, VF_E_VERSION, "%s: not a backup of a version known here", p->what);
    VF_TRY(take(p, head.vault.b, sizeof(head.vault.b)));
    VF_TRY(take(p, raw, sizeof(raw)));
    if (vf_get_be64(raw) > INT64_MAX)
        return bad(p, "its time");
    head.created_us = (int64_t)vf_get_be64(raw);
    enum vf_err err = take(p, head.w.b, sizeof(head.w.b));
    if (err == VF_OK)
        err = p->sink->on_head(p->sink->user, &head, p->why);
    vf_wipe(&head, sizeof(head));
    return err;
}

static int cmp_keys(const struct vf_buf *a, const struct vf_buf *b)
{
    size_t n = a->len < b->len ? a->len : b->len;
    int cmp = n > 0 ? memcmp(a->data, b->data, n) : 0;

    return cmp != 0 ? cmp : (a->len > b->len) - (a->len < b->len);
}

static enum vf_err parse_row(struct parse *p)
{
    uint8_t raw[7];

    VF_TRY(take(p, raw, sizeof(raw)));
    unsigned table = raw[0];
    size_t key_len = vf_get_be16(raw + 1);
    size_t val_len = vf_get_be32(raw + 3);
    if (p->files > 0 || table >= VF_VT_COUNT || table < p->table || key_len == 0 || key_len > p->key.max ||
        val_len > vf_backup_value_max(table))
        return bad(p, "the head of a row");
    struct vf_buf swap = p->before;
    p->before = p->key;
    p->key = swap;
    VF_TRY(take_buf(p, &p->key, key_len));
    if (p->rows > 0 && table == p->table && cmp_keys(&p->before, &p->key) >= 0)
        return bad(p, "its rows are out of order");
    VF_TRY(take_buf(p, &p->val, val_len));
    struct vf_slice key = {p->key.data, p->key.len};
    struct vf_slice val = {p->val.data, p->val.len};
    if (!vf_backup_row_valid(table, key, val))
        return bad(p, "a row of the vault");
    p->table = table;
    p->rows++;
    return p->sink->on_row(p->sink->user, table, key, val, p->why);
}

static enum vf_err parse_file(struct parse *p)
{
    char path[VF_BACKUP_PATH_MAX + 1] = {0};
    uint8_t raw[8];

    VF_TRY(take(p, raw, 2));
    size_t n = vf_get_be16(raw);
    if (n > VF_BACKUP_PATH_MAX)
        return bad(p, "the name of a file");
    VF_TRY(take(p, path, n));
    if (!vf_backup_path_valid(path, n) || (p->files > 0 && strcmp(p->path, path) >= 0))
        return bad(p, "the name of a file");
    VF_TRY(take(p, raw, 8));
    uint64_t len = vf_get_be64(raw);
    if (len > VF_BACKUP_FILE_MAX)
        return bad(p, "the length of a file");
    memcpy(p->path, path, sizeof(path));
    p->files++;
    VF_TRY(p->sink->on_file(p->sink->user, path, len, p->why));
    while (len > 0) {
        const uint8_t *data = NULL;
        size_t some = 0;
        VF_TRY(take_some(p, len < VF_BACKUP_CHUNK ? (size_t)len : VF_BACKUP_CHUNK, &data, &some));
        vf_hasher_update(&p->hasher, data, some);
        VF_TRY(p->sink->on_data(p->sink->user, data, some, p->why));
        len -= some;
    }
    return VF_OK;
}

static enum vf_err parse_end(struct parse *p)
{
    struct vf_hash want, have;
    uint8_t raw[16];
    bool end = false;

    VF_TRY(take(p, raw, sizeof(raw)));
    vf_hasher_final(&p->hasher, &have);
    vf_hasher_reset(&p->hasher);
    VF_TRY(take(p, want.b, sizeof(want.b)));
    VF_TRY(fill(p, &end));
    if (!end)
        return bad(p, "something follows its end");
    if (vf_get_be64(raw) != p->rows || vf_get_be64(raw + 8) != p->files)
        return bad(p, "rows or files are missing");
    if (memcmp(want.b, have.b, VF_HASH_LEN) != 0)
        return vf_fail(p->why, VF_E_DAMAGED, "%s: damaged: it does not have the hash that stands at its end", p->what);
    return VF_OK;
}

static enum vf_err parse_all(struct parse *p)
{
    uint8_t type = 0;

    VF_TRY(parse_head(p));
    for (;;) {
        VF_TRY(take(p, &type, 1));
        if (type == 'E')
            return parse_end(p);
        if (type != 'R' && type != 'F')
            return bad(p, "an unknown part");
        VF_TRY(type == 'R' ? parse_row(p) : parse_file(p));
    }
}

enum vf_err vf_backup_parse(const struct vf_backup_source *source, const char *what, const struct vf_backup_sink *sink,
                            struct vf_why *why)
{
    struct parse p = {.source = source, .sink = sink, .what = what, .why = why};
    VF_BUF in = {0};

    vf_buf_init(&in, VF_BACKUP_CHUNK);
    p.in = vf_buf_grow(&in, VF_BACKUP_CHUNK);
    if (p.in == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", what);
    VF_TRY(vf_hasher_init(&p.hasher, why));
    vf_buf_init(&p.key, 64);
    vf_buf_init(&p.before, 64);
    vf_buf_init(&p.val, VF_MANIFEST_MAX);
    enum vf_err err = parse_all(&p);
    vf_buf_done(&p.key);
    vf_buf_done(&p.before);
    vf_buf_done(&p.val);
    vf_hasher_done(&p.hasher);
    return err;
}
