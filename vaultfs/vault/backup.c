/* SPDX-License-Identifier: MIT */
#include "backup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TRIES    50
#define PAUSE_NS 20000000L

struct backup {
    struct vf_vault *v;
    struct vf_txn *txn;
    struct vf_newfile *file;
    struct vf_hasher hasher;
    struct vf_buf out; /* write-behind */
    uint64_t rows, files, total;
    void (*progress)(void *user, uint64_t done, uint64_t total);
    void *user;
    enum vf_err err;
    struct vf_why *why;
};

/* ------------------------------------------------------------------------------------------------------------------ writing */

static enum vf_err flush(struct backup *b)
{
    vf_hasher_update(&b->hasher, b->out.data, b->out.len);
    VF_TRY(vf_fd_write(b->file->fd, b->out.data, b->out.len, b->file->path, b->why));
    b->out.len = 0;
    return VF_OK;
}

static enum vf_err put(struct backup *b, const void *data, size_t len)
{
    const uint8_t *at = data;

    while (len > 0) {
        size_t n = b->out.max - b->out.len < len ? b->out.max - b->out.len : len;
        vf_buf_put(&b->out, at, n);
        VF_TRY(vf_buf_check(&b->out, b->file->path, b->why));
        if (b->out.len == b->out.max)
            VF_TRY(flush(b));
        at += n;
        len -= n;
    }
    return VF_OK;
}

/* --------------------------------------------------------------------------------------------------------------------- rows */

struct table_walk {
    struct backup *b;
    unsigned table;
};

static bool each_row(struct vf_cursor *cur, struct vf_slice key, struct vf_slice val, void *user)
{
    const struct table_walk *w = user;
    struct backup *b = w->b;
    uint8_t head[8] = {'R', (uint8_t)w->table};

    (void)cur;
    if (!vf_backup_row_valid(w->table, key, val)) {
        b->err = vf_vault_damaged(b->v, NULL, "a row is not well-formed, so a backup could not be restored", b->why);
        return false;
    }
    vf_put_be16(head + 2, (uint16_t)key.len);
    vf_put_be32(head + 4, (uint32_t)val.len);
    b->err = put(b, head, sizeof(head));
    if (b->err == VF_OK)
        b->err = put(b, key.data, key.len);
    if (b->err == VF_OK)
        b->err = put(b, val.data, val.len);
    b->rows++;
    if (b->progress != NULL && b->rows % 256 == 0)
        b->progress(b->user, b->rows, b->total);
    return b->err == VF_OK;
}

static enum vf_err put_rows(struct backup *b)
{
    /* Without prekeys: what was used after the backup would look free again. */
    for (unsigned t = 0; t < VF_VT_PREKEY; t++)
        b->total += vf_txn_count(b->txn, t);
    for (unsigned t = 0; t < VF_VT_PREKEY; t++) {
        struct table_walk w = {b, t};
        vf_txn_foreach(b->txn, t, "", 0, each_row, &w);
        VF_TRY(b->err);
        VF_TRY(vf_vault_txn_check(b->v, b->txn, b->why));
    }
    return VF_OK;
}

/* -------------------------------------------------------------------------------------------------------------------- files */

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/*
 * As long as it is when it is opened: a log only grows. Its checkpoints come before its entries by name, so what they cover is there even
 * if somebody writes at this moment.
 */
static enum vf_err put_file(struct backup *b, const char *rel)
{
    VF_FREE char *path = vf_path_join(b->v->path, rel);
    uint8_t head[3] = {'F'};
    uint8_t raw[8];
    VF_BUF chunk = {0};
    uint64_t len = 0;
    VF_FD fd = -1;

    if (path == NULL)
        return vf_fail(b->why, VF_E_NOMEM, "%s: out of memory", b->v->path);
    VF_TRY(vf_file_open(path, &fd, &len, b->why));
    vf_put_be16(head + 1, (uint16_t)strlen(rel));
    VF_TRY(put(b, head, sizeof(head)));
    VF_TRY(put(b, rel, strlen(rel)));
    vf_put_be64(raw, len);
    VF_TRY(put(b, raw, sizeof(raw)));
    vf_buf_init(&chunk, VF_BACKUP_CHUNK);
    uint8_t *data = vf_buf_grow(&chunk, VF_BACKUP_CHUNK);
    if (data == NULL)
        return vf_fail(b->why, VF_E_NOMEM, "%s: out of memory", b->v->path);
    while (len > 0) {
        size_t n = len < VF_BACKUP_CHUNK ? (size_t)len : VF_BACKUP_CHUNK;
        VF_TRY(vf_fd_read(fd, data, n, path, b->why));
        VF_TRY(put(b, data, n));
        len -= n;
    }
    b->files++;
    return VF_OK;
}

static enum vf_err put_tree(struct backup *b, const char *rel, unsigned depth);

static enum vf_err put_entry(struct backup *b, const char *rel, const char *name, unsigned depth)
{
    VF_FREE char *sub = vf_path_join(rel, name);
    VF_FREE char *path = sub != NULL ? vf_path_join(b->v->path, sub) : NULL;
    struct stat st;

    if (path == NULL)
        return vf_fail(b->why, VF_E_NOMEM, "%s: out of memory", b->v->path);
    if (name[0] == '.' || lstat(path, &st) != 0)
        return VF_OK;
    if (S_ISDIR(st.st_mode))
        return depth < 3 ? put_tree(b, sub, depth + 1) : VF_OK;
    /* The lock is nobody's record, and what has no place in a vault has none in a backup. */
    if (!S_ISREG(st.st_mode) || strcmp(name, "lock") == 0 || !vf_backup_path_valid(sub, strlen(sub)))
        return VF_OK;
    return put_file(b, sub);
}

static enum vf_err put_tree(struct backup *b, const char *rel, unsigned depth)
{
    VF_FREE char *path = vf_path_join(b->v->path, rel);
    struct dirent **names = NULL;
    enum vf_err err = VF_OK;

    if (path == NULL)
        return vf_fail(b->why, VF_E_NOMEM, "%s: out of memory", b->v->path);
    int n = scandir(path, &names, NULL, by_name);
    if (n < 0)
        return errno == ENOENT ? VF_OK : vf_fail_sys(b->why, "%s: cannot list it", path);
    for (int i = 0; i < n; i++) {
        if (err == VF_OK)
            err = put_entry(b, rel, names[i]->d_name, depth);
        free(names[i]);
    }
    free(names);
    return err;
}

/* ------------------------------------------------------------------------------------------------------------------ together */

/* A snapshot and the W that it names; another process may have erased between the two. */
static enum vf_err take_snapshot(struct backup *b, struct vf_wrap_secret *w)
{
    const struct timespec pause = {.tv_nsec = PAUSE_NS};
    enum vf_err err = VF_OK;

    VF_TRY(vf_txn_read(b->v->store, &b->txn, b->why));
    for (unsigned i = 0; i < TRIES; i++) {
        uint64_t seq = 0;
        if (!vf_meta_u64(b->txn, VF_META_W_SEQ, &seq))
            return vf_vault_damaged(b->v, NULL, "a row of its table meta is missing", b->why);
        err = vf_w_load(b->v->w_path, seq, w, b->why);
        if (err != VF_E_NOT_FOUND)
            return err;
        (void)nanosleep(&pause, NULL);
        vf_txn_reset(b->txn);
        VF_TRY(vf_txn_renew(b->txn, b->why));
    }
    return vf_vault_damaged(b->v, NULL, "its file w does not hold the secret that the database names", b->why);
}

static enum vf_err put_head(struct backup *b)
{
    struct vf_wrap_secret w = {{0}};
    uint8_t created[8];

    enum vf_err err = take_snapshot(b, &w);
    vf_put_be64(created, (uint64_t)vf_clock_wall_us());
    if (err == VF_OK)
        err = put(b, VF_BACKUP_MAGIC, 8);
    if (err == VF_OK)
        err = put(b, b->v->id.b, VF_VAULT_ID_LEN);
    if (err == VF_OK)
        err = put(b, created, sizeof(created));
    if (err == VF_OK)
        err = put(b, w.b, sizeof(w.b));
    vf_wipe(&w, sizeof(w));
    return err;
}

static enum vf_err put_end(struct backup *b)
{
    uint8_t raw[17] = {'E'};
    struct vf_hash hash;

    vf_put_be64(raw + 1, b->rows);
    vf_put_be64(raw + 9, b->files);
    VF_TRY(put(b, raw, sizeof(raw)));
    VF_TRY(flush(b));
    vf_hasher_final(&b->hasher, &hash);
    VF_TRY(vf_fd_write(b->file->fd, hash.b, sizeof(hash.b), b->file->path, b->why));
    return vf_newfile_commit(b->file, b->why);
}

static enum vf_err run(struct backup *b)
{
    VF_TRY(put_head(b));
    VF_TRY(put_rows(b));
    /* In the order of their names. */
    VF_TRY(put_tree(b, "before", 0));
    VF_TRY(put_tree(b, "devices", 0));
    VF_TRY(put_tree(b, "log", 0));
    return put_end(b);
}

enum vf_err vf_vault_backup(const char *vault_path, const char *file, bool force,
                            void (*progress)(void *user, uint64_t done, uint64_t total), void *user, struct vf_why *why)
{
    VF_VAULT v = NULL;
    VF_NEWFILE out = {.fd = -1};
    struct backup b = {.file = &out, .progress = progress, .user = user, .why = why};

    VF_TRY(vf_vault_open(vault_path, VF_VAULT_PUBLIC, NULL, &v, why));
    VF_TRY(vf_newfile_open(&out, file, 0600, force, why));
    VF_TRY(vf_hasher_init(&b.hasher, why));
    b.v = v;
    vf_buf_init(&b.out, VF_BACKUP_CHUNK);
    enum vf_err err = run(&b);
    vf_txn_end(b.txn);
    vf_buf_done(&b.out);
    vf_hasher_done(&b.hasher);
    return err;
}
