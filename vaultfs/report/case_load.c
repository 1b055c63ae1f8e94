/* SPDX-License-Identifier: MIT */
/* Rows and logs into a case: from a vault's database, or from a backup, whose logs go into a scratch folder to be verified like others. */
#include "case.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void vf_case_close(struct vf_case *c)
{
    if (c == NULL)
        return;
    for (uint32_t i = 0; i < c->ndevices; i++)
        free(c->devices[i].handin_dir);
    for (uint32_t i = 0; i < c->nmanifests; i++) {
        free(c->manifests[i].at);
        free(c->manifests[i].images);
    }
    for (uint32_t i = 0; i < c->nlogs; i++)
        free(c->logs[i].path);
    if (c->has_policy)
        vf_policy_chain_done(&c->chain);
    free(c->devices);
    free(c->grants);
    free(c->manifests);
    free(c->strays);
    free(c->logs);
    free(c->refs);
    free(c->slots);
    free(c->path);
    free(c);
}

void vf_case_cleanup(struct vf_case **c)
{
    vf_case_close(*c);
    *c = NULL;
}

/* -------------------------------------------------------------------------------------------------------------- from a vault */

struct table_walk {
    struct vf_case *c;
    enum vf_vault_table table;
    enum vf_err err;
    struct vf_why *why;
};

static bool each_row(struct vf_cursor *cur, struct vf_slice key, struct vf_slice val, void *user)
{
    struct table_walk *w = user;

    (void)cur;
    w->err = vf_case_take_row(w->c, w->table, key, val, w->why);
    return w->err == VF_OK;
}

static enum vf_err load_vault(struct vf_case *c, struct vf_why *why)
{
    /* The policy first: grants are counted by its admins. */
    static const enum vf_vault_table tables[] = {VF_VT_META, VF_VT_DEVICE, VF_VT_RECORD, VF_VT_MANIFEST, VF_VT_GRANT};
    VF_VAULT v = NULL;
    VF_TXN txn = NULL;

    VF_TRY(vf_vault_open(c->path, VF_VAULT_PUBLIC, NULL, &v, why));
    c->vault = *vf_vault_id_get(v);
    VF_TRY(vf_txn_read(vf_vault_store(v), &txn, why));
    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
        struct table_walk w = {.c = c, .table = tables[i], .why = why};
        vf_txn_foreach(txn, tables[i], "", 0, each_row, &w);
        VF_TRY(w.err);
        VF_TRY(vf_fail_prefix(why, vf_txn_check(txn, why), "%s", c->path));
    }
    c->as_of_us = vf_clock_wall_us();
    return VF_OK;
}

/* ------------------------------------------------------------------------------------------------------------- from a backup */

struct unpack {
    struct vf_case *c;
    const char *scratch; /* NULL: files are passed over */
    char *path;          /* of the file being written */
    int fd;
};

static void unpack_done(struct unpack *u)
{
    vf_fd_close(&u->fd);
    free(u->path);
}

static enum vf_err on_row(void *user, enum vf_vault_table table, struct vf_slice key, struct vf_slice val,
                          struct vf_why *why)
{
    const struct unpack *u = user;

    return vf_case_take_row(u->c, table, key, val, why);
}

/* The path is one that a backup may have: no "..", nothing but log/, devices/ and before/. */
static enum vf_err on_file(void *user, const char *path, uint64_t len, struct vf_why *why)
{
    struct unpack *u = user;

    (void)len;
    vf_fd_close(&u->fd);
    if (u->scratch == NULL)
        return VF_OK;
    free(u->path);
    u->path = vf_path_join(u->scratch, path);
    if (u->path == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", u->c->path);
    for (char *slash = strchr(u->path + strlen(u->scratch) + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(u->path, 0700) != 0 && errno != EEXIST)
            return vf_fail_sys(why, "%s: cannot make the folder", u->path);
        *slash = '/';
    }
    u->fd = open(u->path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    return u->fd >= 0 ? VF_OK : vf_fail_sys(why, "%s: cannot create it", u->path);
}

static enum vf_err on_data(void *user, const uint8_t *data, size_t len, struct vf_why *why)
{
    const struct unpack *u = user;

    return u->fd < 0 ? VF_OK : vf_fd_write(u->fd, data, len, u->path, why);
}

static enum vf_err load_backup(struct vf_case *c, const char *scratch, struct vf_why *why)
{
    VF_CLEANUP(unpack_done) struct unpack u = {.c = c, .scratch = scratch, .fd = -1};
    const struct vf_backup_calls calls = {.user = &u, .on_row = on_row, .on_file = on_file, .on_data = on_data};

    c->backup = true;
    return vf_backup_read(c->path, &calls, &c->vault, &c->as_of_us, why);
}

/* ------------------------------------------------------------------------------------------------------------------ together */

/* ROOT/devices/ENROLMENT/log, if it is there. */
static enum vf_err find_handins(struct vf_case *c, const char *root, struct vf_why *why)
{
    for (uint32_t i = 0; i < c->ndevices; i++) {
        struct vf_case_device *d = &c->devices[i];
        char hex[2 * VF_HASH_LEN + 1];
        char *dir = NULL;
        struct stat st;
        vf_hex(d->enrol.id.b, VF_HASH_LEN, hex);
        if (asprintf(&dir, "%s/devices/%s/log", root, hex) < 0)
            return vf_fail(why, VF_E_NOMEM, "%s: out of memory", c->path);
        if (stat(dir, &st) == 0)
            d->handin_dir = dir;
        else
            free(dir);
    }
    return VF_OK;
}

enum vf_err vf_case_open(const char *path, const char *scratch, struct vf_case **ret, struct vf_why *why)
{
    VF_CASE c = calloc(1, sizeof(*c));
    struct stat st;

    if (c == NULL || (c->path = strdup(path)) == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", path);
    if (stat(path, &st) != 0)
        return vf_fail_sys(why, "%s: cannot look it up", path);
    bool folder = S_ISDIR(st.st_mode);
    VF_TRY(folder ? load_vault(c, why) : load_backup(c, scratch, why));
    if (!c->has_policy)
        return vf_fail(why, VF_E_DAMAGED, "%s: it holds no policy; check the vault", path);
    vf_case_link(c);
    const char *root = folder ? path : scratch;
    if (root != NULL) {
        VF_TRY(find_handins(c, root, why));
        VF_TRY(vf_case_read_logs(c, root, why));
    }
    *ret = c;
    c = NULL;
    return VF_OK;
}
