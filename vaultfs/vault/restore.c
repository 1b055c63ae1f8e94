/* SPDX-License-Identifier: MIT */
/*
 * A vault out of a backup: (1) a folder of its own beside PATH; (2) rows into a fresh database, files to their places, the log of the old
 * vault to before/ID; (3) W; (4) a new log that names the last checkpoint of the old one that verified, and VK sealed
 * anew to every admin; (5) the whole check with the
 * admin's key; (6) the name. Anything wrong: nothing is left.
 */
#include "backup.h"
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct pending_row {
    uint8_t table;
    uint8_t key_len;
    uint8_t key[64];
    size_t at, len; /* of the value, in restore.values */
};

struct restore {
    const char *dir; /* the new folder, under its temporary name */
    const char *what;
    struct vf_store *store;
    struct vf_wrap_secret *w; /* in the arena */
    struct vf_vault_id vault;
    int64_t created_us;

    struct pending_row *rows;
    size_t nrows, rows_room;
    struct vf_buf values;

    int fd; /* the file being written; -1 */
    char *path;
    struct vf_buf origin; /* of the old log: its hash is the log's id */
    bool in_origin;

    void (*progress)(void *user, uint64_t done, uint64_t total);
    void *user;
    uint64_t done, total; /* bytes */
    int in;               /* the backup */
};

static enum vf_err nomem(const struct restore *r, struct vf_why *why)
{
    return vf_fail(why, VF_E_NOMEM, "%s: out of memory", r->what);
}

/* --------------------------------------------------------------------------------------------------------------------- rows */

static enum vf_err put_rows(struct vf_txn *txn, void *user, struct vf_why *why)
{
    const struct restore *r = user;

    (void)why;
    for (size_t i = 0; i < r->nrows; i++) {
        const struct pending_row *row = &r->rows[i];
        vf_txn_put(txn, row->table, row->key, row->key_len, r->values.data + row->at, row->len);
    }
    return VF_OK;
}

static enum vf_err flush_rows(struct restore *r, struct vf_why *why)
{
    if (r->nrows > 0)
        VF_TRY(vf_store_update(r->store, put_rows, r, why));
    r->nrows = 0;
    r->values.len = 0;
    return VF_OK;
}

static enum vf_err on_row(void *user, unsigned table, struct vf_slice key, struct vf_slice val, struct vf_why *why)
{
    struct restore *r = user;

    if (table == VF_VT_META && key.len == strlen(VF_META_ID) && memcmp(key.data, VF_META_ID, key.len) == 0 &&
        memcmp(val.data, r->vault.b, VF_VAULT_ID_LEN) != 0)
        return vf_fail(why, VF_E_FORMAT, "%s: not a well-formed backup: two vaults", r->what);
    if (r->nrows > 0 && r->values.len + val.len > VF_STAGE_BYTES_MAX)
        VF_TRY(flush_rows(r, why));
    if (r->nrows == r->rows_room) {
        size_t room = r->rows_room > 0 ? r->rows_room * 2 : 1024;
        struct pending_row *more = reallocarray(r->rows, room, sizeof(*more));
        if (more == NULL)
            return nomem(r, why);
        r->rows = more;
        r->rows_room = room;
    }
    struct pending_row *row = &r->rows[r->nrows];
    *row = (struct pending_row){.table = (uint8_t)table, .key_len = (uint8_t)key.len, .at = r->values.len, .len = val.len};
    if (key.len > sizeof(row->key))
        return vf_fail(why, VF_E_FORMAT, "%s: not a well-formed backup: a key", r->what);
    memcpy(row->key, key.data, key.len);
    vf_buf_put(&r->values, val.data, val.len);
    VF_TRY(vf_buf_check(&r->values, r->what, why));
    r->nrows++;
    return VF_OK;
}

static enum vf_err on_head(void *user, const struct vf_backup_head *head, struct vf_why *why)
{
    struct restore *r = user;

    (void)why;
    r->vault = head->vault;
    r->created_us = head->created_us;
    *r->w = head->w;
    return VF_OK;
}

/* -------------------------------------------------------------------------------------------------------------------- files */

/* Make every folder on the way to `rel` (which vf_backup_path_valid let through). */
static enum vf_err make_parents(const struct restore *r, const char *rel, struct vf_why *why)
{
    VF_FREE char *path = vf_path_join(r->dir, rel);

    if (path == NULL)
        return nomem(r, why);
    for (char *slash = strchr(path + strlen(r->dir) + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(path, 0700) != 0 && errno != EEXIST)
            return vf_fail_sys(why, "%s: cannot make the folder", path);
        *slash = '/';
    }
    return VF_OK;
}

static enum vf_err end_file(struct restore *r, struct vf_why *why)
{
    VF_FREE char *parent = NULL;

    if (r->fd < 0)
        return VF_OK;
    enum vf_err err = fsync(r->fd) == 0 ? VF_OK : vf_fail_sys(why, "%s: cannot make it durable", r->path);
    vf_fd_close(&r->fd);
    VF_TRY(err);
    parent = vf_path_parent(r->path);
    return parent != NULL ? vf_dir_sync(parent, why) : nomem(r, why);
}

/* The log of the vault that was backed up is kept beside the new one, which has its own place in log/. */
static enum vf_err place(struct restore *r, const char *path, char **ret, struct vf_why *why)
{
    char *out = NULL;

    if (strncmp(path, "log/", 4) != 0)
        out = strdup(path);
    else if (asprintf(&out, "old-log/%s", path + 4) < 0)
        out = NULL;
    if (out == NULL)
        return nomem(r, why);
    *ret = out;
    return VF_OK;
}

static enum vf_err on_file(void *user, const char *path, uint64_t len, struct vf_why *why)
{
    struct restore *r = user;
    VF_FREE char *rel = NULL;

    VF_TRY(end_file(r, why));
    VF_TRY(place(r, path, &rel, why));
    VF_TRY(make_parents(r, rel, why));
    free(r->path);
    r->path = vf_path_join(r->dir, rel);
    if (r->path == NULL)
        return nomem(r, why);
    r->fd = open(r->path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (r->fd < 0)
        return vf_fail_sys(why, "%s: cannot create it", r->path);
    r->in_origin = strcmp(path, "log/origin") == 0;
    if (r->in_origin && len > VF_NOTE_MAX)
        return vf_fail(why, VF_E_FORMAT, "%s: not a well-formed backup: the origin of its log", r->what);
    return VF_OK;
}

static enum vf_err on_data(void *user, const uint8_t *data, size_t len, struct vf_why *why)
{
    struct restore *r = user;

    if (r->in_origin)
        vf_buf_put(&r->origin, data, len);
    return vf_fd_write(r->fd, data, len, r->path, why);
}

static enum vf_err read_backup(void *user, uint8_t *out, size_t len, size_t *ret_n, struct vf_why *why)
{
    struct restore *r = user;
    ssize_t n = 0;

    do {
        n = read(r->in, out, len);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return vf_fail_sys(why, "%s: cannot read it", r->what);
    r->done += (uint64_t)n;
    if (r->progress != NULL)
        r->progress(r->user, r->done < r->total ? r->done : r->total, r->total);
    *ret_n = (size_t)n;
    return VF_OK;
}

/* ------------------------------------------------------------------------------------------------------------------ the logs */

/* Give the old log its name, and say what of it verified, as the text of a checkpoint; empty when nothing did. */
static enum vf_err keep_old_log(struct restore *r, struct vf_buf *checkpoint, struct vf_why *why)
{
    static const struct vf_verify_options options = {0};
    VF_FREE struct vf_verdict *verdict = calloc(1, sizeof(*verdict));
    VF_FREE char *from = vf_path_join(r->dir, "old-log");
    VF_FREE char *to = NULL;
    char hex[2 * VF_HASH_LEN + 1];
    struct vf_hash id, root;

    if (verdict == NULL || from == NULL)
        return nomem(r, why);
    if (r->origin.len == 0)
        return vf_fail(why, VF_E_FORMAT, "%s: not a well-formed backup: it has no log", r->what);
    vf_sha256(r->origin.data, r->origin.len, &id);
    vf_hex(id.b, VF_HASH_LEN / 2, hex);
    if (asprintf(&to, "%s/before/%.32s/log", r->dir, hex) < 0) {
        to = NULL;
        return nomem(r, why);
    }
    VF_TRY(make_parents(r, to + strlen(r->dir) + 1, why));
    if (rename(from, to) != 0)
        return vf_fail_sys(why, "%s: cannot keep the log of the vault that was backed up", to);
    /* A log that does not verify is kept as it is: what of it is wrong, `audit verify` tells. */
    if (vf_log_verify(to, &options, verdict, NULL) != VF_OK || verdict->sealed == 0)
        return VF_OK;
    vf_tree_root(&verdict->tree, &root);
    vf_buf_fmt(checkpoint, "%s\n%llu\n", verdict->origin.line, (unsigned long long)verdict->sealed);
    vf_base64_put(checkpoint, root.b, VF_HASH_LEN);
    vf_buf_text(checkpoint, "\n");
    return vf_buf_check(checkpoint, r->what, why);
}

static enum vf_err begin_log(struct restore *r, const struct vf_identity *admin, struct vf_why *why)
{
    VF_FREE char *log_dir = vf_path_join(r->dir, "log");
    VF_FREE char *seal = vf_path_join(r->dir, "seal");
    char object[64] = "restored from a backup of ";
    struct vf_entry entry = {.event = VF_EVENT_IMPORT, .part = -1, .object = object, .result = "ok"};
    struct vf_log *log = NULL;
    VF_BUF checkpoint = {0};

    if (log_dir == NULL || seal == NULL)
        return nomem(r, why);
    vf_buf_init(&checkpoint, 1024);
    VF_TRY(keep_old_log(r, &checkpoint, why));
    const char *text = checkpoint.len > 0 ? vf_buf_cstr(&checkpoint) : NULL;
    VF_TRY(vf_log_create(log_dir, seal, VF_LOG_VAULT, admin, text, NULL, why));
    VF_TRY(vf_vault_log_open(log_dir, seal, &log, why));
    vf_time_format(r->created_us, object + strlen(object));
    entry.recipient = vf_identity_pub_get(admin)->name;
    enum vf_err err = vf_log_commit(log, &entry, why);
    enum vf_err closed = vf_log_close(log, err == VF_OK ? why : NULL);
    return err != VF_OK ? err : closed;
}

/* ------------------------------------------------------------------------------------------------------------------ together */

/* The slots are new, so the live one has number 1 again. */
static enum vf_err mark_restored(struct vf_txn *txn, void *user, struct vf_why *why)
{
    (void)user;
    (void)why;
    vf_meta_put_u64(txn, VF_META_W_SEQ, 1);
    vf_meta_put_u64(txn, VF_META_RESTORED, (uint64_t)vf_clock_wall_us());
    return VF_OK;
}

static enum vf_err take_in(struct restore *r, struct vf_why *why)
{
    const struct vf_backup_source source = {.user = r, .read = read_backup};
    const struct vf_backup_sink sink = {
        .user = r, .on_head = on_head, .on_row = on_row, .on_file = on_file, .on_data = on_data};
    VF_FREE char *db = vf_path_join(r->dir, "db");
    VF_FREE char *w = vf_path_join(r->dir, "w");
    VF_FREE char *devices = vf_path_join(r->dir, "devices");

    if (db == NULL || w == NULL || devices == NULL)
        return nomem(r, why);
    VF_TRY(vf_dir_make(devices, why));
    VF_TRY(vf_dir_make(db, why));
    VF_TRY(vf_store_open(db, VF_STORE_WRITE, vf_vault_tables, VF_VT_COUNT, "the restored vault", &r->store, why));
    VF_TRY(vf_backup_parse(&source, r->what, &sink, why));
    VF_TRY(end_file(r, why));
    VF_TRY(flush_rows(r, why));
    VF_TRY(vf_store_update(r->store, mark_restored, NULL, why));
    vf_store_close(r->store);
    r->store = NULL;
    VF_TRY(vf_dir_sync(db, why));
    return vf_slots_create(w, VF_W_TYPE, r->w->b, VF_KEY_LEN, why);
}

static enum vf_err put_seals(struct vf_txn *txn, void *user, struct vf_why *why)
{
    const struct vf_vault *v = user;

    (void)why;
    vf_keys_put_seals(txn, v->chain.ruling > 0 ? &v->chain.policy : &v->chain.pending, &v->keys->vk);
    return VF_OK;
}

/* Whether the other admins' sealed keys came through whole, only they could tell, and too late: they are made anew. */
static enum vf_err seal_to_admins(const struct restore *r, const struct vf_identity *admin, struct vf_why *why)
{
    VF_VAULT v = NULL;

    VF_TRY(vf_vault_open_as(r->dir, VF_VAULT_WRITE, admin, true, &v, why));
    VF_TRY(vf_store_update(v->store, put_seals, v, why));
    struct vf_vault *done = v;
    v = NULL;
    return vf_vault_close(done, why);
}

struct first_finding {
    char line[300];
};

static void on_finding(void *user, const char *line)
{
    struct first_finding *f = user;

    if (f->line[0] == '\0')
        (void)snprintf(f->line, sizeof(f->line), "%s", line);
}

static enum vf_err check(const struct restore *r, const struct vf_identity *admin, struct vf_why *why)
{
    struct first_finding first = {{0}};
    struct vf_check_calls calls = {.finding = on_finding, .user = &first};
    struct vf_vault_check_report report = {0};

    VF_TRY(vf_fail_prefix(why, vf_vault_check_as(r->dir, admin, true, &calls, &report, why), "%s: not restored", r->what));
    if (report.findings > 0)
        return vf_fail(why, VF_E_DAMAGED, "%s: not restored: %llu findings; the first: %s", r->what,
                       (unsigned long long)report.findings, first.line);
    return VF_OK;
}

static void restore_done(struct restore *r)
{
    vf_store_close(r->store);
    vf_secret_free(r->w);
    free(r->rows);
    vf_buf_done(&r->values);
    vf_buf_done(&r->origin);
    vf_fd_close(&r->fd);
    vf_fd_close(&r->in);
    free(r->path);
}

static enum vf_err run(struct restore *r, const struct vf_identity *admin, struct vf_why *why)
{
    VF_TRY(take_in(r, why));
    VF_TRY(begin_log(r, admin, why));
    VF_TRY(vf_fail_prefix(why, seal_to_admins(r, admin, why), "%s: not restored", r->what));
    return check(r, admin, why);
}

enum vf_err vf_vault_restore(const char *file, const char *vault_path, const struct vf_identity *admin,
                             void (*progress)(void *user, uint64_t done, uint64_t total), void *user, struct vf_why *why)
{
    VF_CLEANUP(restore_done) struct restore r = {.what = file, .fd = -1, .in = -1, .progress = progress, .user = user};
    VF_NEWDIR dir = {0};

    r.w = vf_secret_new(sizeof(*r.w));
    if (r.w == NULL)
        return vf_fail(why, VF_E_LOCKED_MEMORY, "%s: no room in the locked memory", file);
    vf_buf_init(&r.values, VF_MANIFEST_MAX + VF_STAGE_BYTES_MAX);
    vf_buf_init(&r.origin, VF_NOTE_MAX);
    VF_TRY(vf_file_open(file, &r.in, &r.total, why));
    VF_TRY(vf_newdir_open(&dir, vault_path, false, why));
    VF_TRY(vf_dir_local(dir.tmp, why));
    r.dir = dir.tmp;
    enum vf_err err = run(&r, admin, why);
    if (err == VF_OK)
        err = vf_newdir_commit(&dir, why);
    if (err != VF_OK) { /* before the folder goes */
        vf_store_close(r.store);
        r.store = NULL;
    }
    return err;
}
