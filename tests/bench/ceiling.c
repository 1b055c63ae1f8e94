/* SPDX-License-Identifier: MIT */
/*
 * How fast FUSE itself is here: a filesystem of the same shape that has nothing to do.
 *
 *     bench-ceiling [-s] [-p] [-g] [-c] FOLDER MOUNTPOINT         (stays in the foreground)
 *
 * Shows the names and sizes of FOLDER, read once at the start. Contents are constants from memory, given to each READ; with -s they are put
 * into the page cache at OPEN (NOTIFY_STORE) and dropped at the last close, as vaultfs does it; with -g (for -s) they stay; with -p they are FOLDER's own,
 * passed through. With -c (for -s) each open also encrypts and hashes as many bytes as the file has in a station, which costs what decrypting and hashing them does:
 * what no vaultfs could leave out, without log, database, keys and questions. All that vaultfs uses, this uses: threads, clone_fd, readdirplus, names and attributes believed for a day, no FLUSH.
 */
#include "vaultfs/crypto.h"
#include "vaultfs/record.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <fuse_lowlevel.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TIMEOUT     86400.0
#define THREADS     16
#define CONTENT_MAX (1u << 20)
#define SEALED_MAX  (CONTENT_MAX + 16384)
#define NAME_LEN    255
#define READ_LEN    131072

struct node { /* its number is its place + 1; the root is the first */
    char *path, *name;
    struct stat st;
    size_t parent;
    size_t first, count; /* of a folder: its children, which stand together, by name */
    atomic_uint handles;
};

static struct node *nodes;
static size_t nnodes, cap;
static bool store, keep, pass, crypto;
static struct fuse_session *session;
static char *content; /* CONTENT_MAX */

static void __attribute__((noreturn)) die(const char *what)
{
    (void)fprintf(stderr, "bench-ceiling: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* ---------------------------------------------------------------------------------------------------------------- the tree */

static size_t add(const char *path, const char *name, const struct stat *st, size_t parent)
{
    if (nnodes == cap) {
        cap = cap > 0 ? 2 * cap : 1024;
        nodes = reallocarray(nodes, cap, sizeof(*nodes));
        if (nodes == NULL)
            die("memory");
    }
    nodes[nnodes] = (struct node){.path = strdup(path), .name = strdup(name), .st = *st, .parent = parent};
    if (nodes[nnodes].path == NULL || nodes[nnodes].name == NULL)
        die("memory");
    nodes[nnodes].st.st_ino = nnodes + 1;
    return nnodes++;
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

/* Children of a folder stand together: one folder after the other, as they come. */
static void scan(const char *folder)
{
    char *paths[] = {NULL, NULL};
    struct stat st;

    if (stat(folder, &st) != 0)
        die(folder);
    (void)add(folder, "", &st, 0);
    for (size_t i = 0; i < nnodes; i++) {
        if (!S_ISDIR(nodes[i].st.st_mode))
            continue;
        paths[0] = nodes[i].path;
        FTS *fts = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, by_name);
        if (fts == NULL || fts_read(fts) == NULL)
            die(nodes[i].path);
        size_t first = nnodes;
        for (FTSENT *e = fts_children(fts, 0); e != NULL; e = e->fts_link) {
            VF_FREE char *path = vf_path_join(nodes[i].path, e->fts_name);
            if (path == NULL || e->fts_namelen > NAME_LEN || e->fts_statp->st_size > CONTENT_MAX)
                die(e->fts_name);
            (void)add(path, e->fts_name, e->fts_statp, i);
        }
        (void)fts_close(fts);
        nodes[i].first = first;
        nodes[i].count = nnodes - first;
    }
}

static struct node *node_of(fuse_ino_t ino)
{
    return ino > 0 && ino <= nnodes ? &nodes[ino - 1] : NULL;
}

static void fill(const struct node *n, struct fuse_entry_param *ret)
{
    *ret = (struct fuse_entry_param){.ino = n->st.st_ino, .attr = n->st, .attr_timeout = TIMEOUT, .entry_timeout = TIMEOUT};
}

/* -------------------------------------------------------------------------------------------------------------- operations */

static void op_init(void *user, struct fuse_conn_info *conn)
{
    (void)user;
    conn->want |= conn->capable & (FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_READDIRPLUS | FUSE_CAP_ASYNC_READ);
    conn->want &= ~(unsigned)(FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_READDIRPLUS_AUTO);
    conn->max_read = READ_LEN; /* the mount option says the same */
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    const struct node *dir = node_of(parent);
    size_t low = 0, high = dir != NULL ? dir->count : 0;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        const struct node *n = &nodes[dir->first + mid];
        int order = strcmp(name, n->name);
        if (order == 0) {
            struct fuse_entry_param e;
            fill(n, &e);
            (void)fuse_reply_entry(req, &e);
            return;
        }
        if (order < 0)
            high = mid;
        else
            low = mid + 1;
    }
    (void)fuse_reply_err(req, ENOENT);
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t count)
{
    (void)ino;
    (void)count;
    fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
    (void)count;
    (void)forgets;
    fuse_reply_none(req);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    const struct node *n = node_of(ino);

    (void)fi;
    if (n == NULL)
        (void)fuse_reply_err(req, ENOENT);
    else
        (void)fuse_reply_attr(req, &n->st, TIMEOUT);
}

static void store_content(const struct node *n)
{
    struct fuse_bufvec v = FUSE_BUFVEC_INIT((size_t)n->st.st_size);

    v.buf[0].mem = content;
    (void)fuse_lowlevel_notify_store(session, n->st.st_ino, 0, &v, 0);
}

/* The bytes of a value of this size, through cipher and hash. */
static void work_for(size_t len)
{
    static const struct vf_field_key key = {{1}};
    static const struct vf_value_id id = {.field = VF_FIELD_PHOTO, .generation = 1};
    static _Thread_local uint8_t *sealed; /* of each of THREADS, as long as the program */
    unsigned field = len > 4096 ? VF_FIELD_PHOTO : VF_FIELD_NAME_ON_CARD;
    size_t padded = vf_field_padded(field, len);
    struct vf_hash hash;

    if (sealed == NULL)
        sealed = malloc(SEALED_MAX);
    if (sealed == NULL || padded + VF_VALUE_OVERHEAD > SEALED_MAX ||
        vf_value_seal(&key, &id, content, len, padded, sealed) != VF_OK)
        die("encrypting");
    vf_sha256(sealed, padded + VF_VALUE_OVERHEAD, &hash);
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct node *n = node_of(ino);

    if (n == NULL || !S_ISREG(n->st.st_mode)) {
        (void)fuse_reply_err(req, n == NULL ? ENOENT : EISDIR);
        return;
    }
    if (pass) {
        int fd = open(n->path, O_RDONLY | O_CLOEXEC);
        if (fd < 0) {
            (void)fuse_reply_err(req, errno);
            return;
        }
        fi->fh = (uint64_t)fd;
    }
    if (store) {
        /* Kept pages need storing only once; dropped ones at each first open. */
        if (atomic_fetch_add(&n->handles, 1) == 0) {
            if (crypto)
                work_for((size_t)n->st.st_size);
            store_content(n);
        }
        fi->keep_cache = 1;
    }
    (void)fuse_reply_open(req, fi);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
    const struct node *n = node_of(ino);
    size_t len = n != NULL ? (size_t)n->st.st_size : 0;

    if (pass) {
        struct fuse_bufvec v = FUSE_BUFVEC_INIT(size);
        v.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
        v.buf[0].fd = (int)fi->fh;
        v.buf[0].pos = off;
        (void)fuse_reply_data(req, &v, FUSE_BUF_SPLICE_MOVE);
    } else if (off < 0 || (size_t)off >= len) {
        (void)fuse_reply_buf(req, NULL, 0);
    } else {
        size_t left = len - (size_t)off;
        (void)fuse_reply_buf(req, content + off, left < size ? left : size);
    }
}

static void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct node *n = node_of(ino);

    (void)fuse_reply_err(req, 0);
    if (pass)
        (void)close((int)fi->fh);
    if (store && !keep && n != NULL && atomic_fetch_sub(&n->handles, 1) == 1)
        (void)fuse_lowlevel_notify_inval_inode(session, ino, 0, 0);
}

static void list(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, bool plus)
{
    const struct node *dir = node_of(ino);
    VF_FREE char *buf = malloc(size > 0 ? size : 1);
    size_t used = 0;

    if (dir == NULL || buf == NULL || off < 0) {
        (void)fuse_reply_err(req, buf == NULL ? ENOMEM : ENOENT);
        return;
    }
    for (size_t i = (size_t)off; i < dir->count; i++) {
        const struct node *n = &nodes[dir->first + i];
        struct fuse_entry_param e;
        fill(n, &e);
        size_t need = plus ? fuse_add_direntry_plus(req, buf + used, size - used, n->name, &e, (off_t)i + 1)
                           : fuse_add_direntry(req, buf + used, size - used, n->name, &n->st, (off_t)i + 1);
        if (need > size - used)
            break;
        used += need;
    }
    (void)fuse_reply_buf(req, buf, used);
}

static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
    (void)fi;
    list(req, ino, size, off, false);
}

static void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
    (void)fi;
    list(req, ino, size, off, true);
}

static const struct fuse_lowlevel_ops ops = {
    .init = op_init,
    .lookup = op_lookup,
    .forget = op_forget,
    .forget_multi = op_forget_multi,
    .getattr = op_getattr,
    .open = op_open,
    .read = op_read,
    .release = op_release,
    .readdir = op_readdir,
    .readdirplus = op_readdirplus,
};

static void serve(const char *mountpoint)
{
    struct fuse_args args = FUSE_ARGS_INIT(0, NULL);

    if (fuse_opt_add_arg(&args, "bench-ceiling") != 0 ||
        fuse_opt_add_arg(&args, "-oro,nosuid,nodev,default_permissions,max_read=131072,fsname=bench-ceiling") != 0)
        die("memory");
    session = fuse_session_new(&args, &ops, sizeof(ops), NULL);
    fuse_opt_free_args(&args);
    if (session == NULL || fuse_set_signal_handlers(session) != 0 || fuse_session_mount(session, mountpoint) != 0)
        die(mountpoint);
    struct fuse_loop_config *config = fuse_loop_cfg_create();
    fuse_loop_cfg_set_clone_fd(config, 1);
    fuse_loop_cfg_set_max_threads(config, THREADS);
    fuse_loop_cfg_set_idle_threads(config, THREADS);
    (void)fuse_session_loop_mt(session, config);
    fuse_loop_cfg_destroy(config);
    fuse_session_unmount(session);
    fuse_remove_signal_handlers(session);
    fuse_session_destroy(session);
}

int main(int argc, char **argv)
{
    int opt;

    while ((opt = getopt(argc, argv, "spgc")) != -1) {
        store |= opt == 's';
        pass |= opt == 'p';
        keep |= opt == 'g';
        crypto |= opt == 'c';
        if (opt == '?')
            return 2;
    }
    if (argc - optind != 2) {
        (void)fprintf(stderr, "usage: bench-ceiling [-s] [-p] [-g] [-c] FOLDER MOUNTPOINT\n");
        return 2;
    }
    content = malloc(CONTENT_MAX);
    if (content == NULL || vf_crypto_init(1u << 20, NULL) != VF_OK)
        die("memory");
    for (size_t i = 0; i < CONTENT_MAX; i++)
        content[i] = (char)(i * 37 >> 3);
    scan(argv[optind]);
    serve(argv[optind + 1]);
    for (size_t i = 0; i < nnodes; i++) {
        free(nodes[i].path);
        free(nodes[i].name);
    }
    free(nodes);
    free(content);
    return 0;
}
