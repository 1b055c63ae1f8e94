/* SPDX-License-Identifier: MIT */
#include "csv_map.h"

#include <stdlib.h>
#include <string.h>

#define MAP_BYTES_MAX (256u * 1024)
#define MAP_LINES_MAX 1024u
#define COLUMN_MAX    256u

struct entry {
    char *column;
    size_t len;
    enum vf_field field; /* VF_FIELD_NONE: ignore */
};

struct vf_csv_map {
    size_t n;
    struct entry entries[MAP_LINES_MAX];
};

struct word {
    const char *s;
    size_t len;
};

static struct word trimmed(const char *s, size_t len)
{
    while (len > 0 && (*s == ' ' || *s == '\t')) {
        s++;
        len--;
    }
    while (len > 0 && (s[len - 1] == ' ' || s[len - 1] == '\t'))
        len--;
    return (struct word){s, len};
}

static bool is_name(struct word w)
{
    for (size_t i = 0; i < w.len; i++)
        if ((w.s[i] < 'a' || w.s[i] > 'z') && w.s[i] != '_')
            return false;
    return w.len > 0;
}

/*
 * A column's name may have '=' and '#' in it, a field's may not: so the line is split at the first '=' that has one word
 * behind it, a comment cut off.
 */
static bool split(struct word line, struct word *ret_column, struct word *ret_field)
{
    const char *end = line.s + line.len;

    for (const char *eq = line.s; (eq = memchr(eq, '=', (size_t)(end - eq))) != NULL; eq++) {
        const char *hash = memchr(eq, '#', (size_t)(end - eq));
        struct word field = trimmed(eq + 1, (size_t)((hash != NULL ? hash : end) - (eq + 1)));
        if (is_name(field)) {
            *ret_column = trimmed(line.s, (size_t)(eq - line.s));
            *ret_field = field;
            return true;
        }
    }
    return false;
}

bool vf_csv_map_find(const struct vf_csv_map *map, const char *column, size_t len, enum vf_field *ret)
{
    for (size_t i = 0; map != NULL && i < map->n; i++) {
        if (map->entries[i].len == len && memcmp(map->entries[i].column, column, len) == 0) {
            *ret = map->entries[i].field;
            return true;
        }
    }
    return false;
}

static enum vf_err field_of(struct word name, enum vf_field *ret, struct vf_why *why)
{
    static const char ignore[] = "ignore";
    enum vf_field field = vf_field_by_name(name.s, name.len);

    if (field == VF_FIELD_NONE && !(name.len == sizeof(ignore) - 1 && memcmp(name.s, ignore, name.len) == 0))
        return vf_fail(why, VF_E_INPUT, "no field is called \"%.*s\"", name.len > 40 ? 40 : (int)name.len, name.s);
    if (vf_field_is_image(field))
        return vf_fail(why, VF_E_INPUT, "%.*s comes from files, not from a column", (int)name.len, name.s);
    *ret = field;
    return VF_OK;
}

static enum vf_err line_add(struct vf_csv_map *map, struct word line, struct vf_why *why)
{
    struct word column = {0};
    struct word name = {0};
    enum vf_field field = VF_FIELD_NONE;
    enum vf_field known = VF_FIELD_NONE;

    if (line.len == 0 || line.s[0] == '#')
        return VF_OK;
    if (!split(line, &column, &name))
        return vf_fail(why, VF_E_INPUT, "not `column = field` nor `column = ignore`");
    if (!vf_text_printable(column.s, column.len))
        return vf_fail(why, VF_E_INPUT, "a column's name that is not printable UTF-8");
    VF_TRY(field_of(name, &field, why));
    if (column.len == 0 && field != VF_FIELD_NONE)
        return vf_fail(why, VF_E_INPUT, "a column without a name can only be ignored");
    if (column.len > COLUMN_MAX)
        return vf_fail(why, VF_E_INPUT, "a column's name of over %u bytes", COLUMN_MAX);
    if (vf_csv_map_find(map, column.s, column.len, &known))
        return vf_fail(why, VF_E_INPUT, "this column is there already");
    if (map->n == MAP_LINES_MAX)
        return vf_fail(why, VF_E_INPUT, "more than %u columns", MAP_LINES_MAX);
    char *copy = strndup(column.s, column.len);
    if (copy == NULL)
        return vf_fail(why, VF_E_NOMEM, "out of memory");
    map->entries[map->n++] = (struct entry){.column = copy, .len = column.len, .field = field};
    return VF_OK;
}

static enum vf_err map_parse(struct vf_csv_map *map, const char *data, size_t len, const char *what, struct vf_why *why)
{
    unsigned number = 1;

    if (len > MAP_BYTES_MAX)
        return vf_fail(why, VF_E_INPUT, "%s: a map of over %u bytes", what, MAP_BYTES_MAX);
    if (len >= 3 && memcmp(data, "\xef\xbb\xbf", 3) == 0) {
        data += 3;
        len -= 3;
    }
    for (size_t at = 0; at < len; number++) {
        const char *end = memchr(data + at, '\n', len - at);
        size_t n = end != NULL ? (size_t)(end - (data + at)) : len - at;
        size_t body = n > 0 && data[at + n - 1] == '\r' ? n - 1 : n;
        enum vf_err err = line_add(map, trimmed(data + at, body), why);
        if (err != VF_OK)
            return vf_fail_prefix(why, err, "%s: line %u", what, number);
        at += n + 1;
    }
    return VF_OK;
}

enum vf_err vf_csv_map_parse(const char *data, size_t len, const char *what, struct vf_csv_map **ret, struct vf_why *why)
{
    struct vf_csv_map *map = calloc(1, sizeof(*map));

    if (map == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", what);
    enum vf_err err = map_parse(map, data, len, what, why);
    if (err != VF_OK) {
        vf_csv_map_free(map);
        return err;
    }
    *ret = map;
    return VF_OK;
}

void vf_csv_map_free(struct vf_csv_map *map)
{
    for (size_t i = 0; map != NULL && i < map->n; i++)
        free(map->entries[i].column);
    free(map);
}
