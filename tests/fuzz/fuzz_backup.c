/* SPDX-License-Identifier: MIT */
/*
 * A backup file, read in pieces of different sizes. The hash at its end is set right first, or nothing behind the first changed byte
 * would ever be met.
 */
#include "../../vaultfs/vault/backup.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check(bool ok)
{
    if (!ok)
        abort();
}

struct memory {
    const uint8_t *data;
    size_t left, step;
};

static enum vf_err read_memory(void *user, uint8_t *out, size_t len, size_t *ret_n, struct vf_why *why)
{
    struct memory *m = user;

    (void)why;
    *ret_n = m->left < len ? m->left : len;
    if (*ret_n > m->step)
        *ret_n = m->step;
    if (*ret_n > 0)
        memcpy(out, m->data, *ret_n);
    m->data += *ret_n;
    m->left -= *ret_n;
    return VF_OK;
}

struct seen {
    uint64_t heads, rows, files, left;
};

static enum vf_err on_head(void *user, const struct vf_backup_head *head, struct vf_why *why)
{
    struct seen *s = user;

    (void)why;
    check(head->created_us >= 0 && s->rows == 0);
    s->heads++;
    return VF_OK;
}

static enum vf_err on_row(void *user, unsigned table, struct vf_slice key, struct vf_slice val, struct vf_why *why)
{
    struct seen *s = user;

    (void)why;
    check(s->heads == 1 && s->files == 0 && vf_backup_row_valid(table, key, val));
    s->rows++;
    return VF_OK;
}

static enum vf_err on_file(void *user, const char *path, uint64_t len, struct vf_why *why)
{
    struct seen *s = user;

    (void)why;
    check(s->left == 0 && vf_backup_path_valid(path, strlen(path)) && strstr(path, "..") == NULL && path[0] != '/');
    s->files++;
    s->left = len;
    return VF_OK;
}

static enum vf_err on_data(void *user, const uint8_t *data, size_t len, struct vf_why *why)
{
    struct seen *s = user;

    (void)data;
    (void)why;
    check(len > 0 && len <= s->left);
    s->left -= len;
    return VF_OK;
}

static enum vf_err parse(const uint8_t *data, size_t len, size_t step)
{
    struct memory m = {data, len, step};
    struct seen seen = {0};
    const struct vf_backup_source source = {&m, read_memory};
    const struct vf_backup_sink sink = {&seen, on_head, on_row, on_file, on_data};
    struct vf_why why = {0};

    enum vf_err err = vf_backup_parse(&source, "fuzz", &sink, &why);
    check(err != VF_OK ? why.text[0] != '\0' : m.left == 0 && seen.left == 0);
    return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct vf_hash hash;

    (void)parse(data, len, SIZE_MAX);
    if (len < VF_HASH_LEN)
        return 0;
    uint8_t *copy = malloc(len);
    if (copy == NULL)
        abort();
    memcpy(copy, data, len);
    vf_sha256(copy, len - VF_HASH_LEN, &hash);
    memcpy(copy + len - VF_HASH_LEN, hash.b, VF_HASH_LEN);
    check(parse(copy, len, SIZE_MAX) == parse(copy, len, 1 + len % 61));
    free(copy);
    return 0;
}
