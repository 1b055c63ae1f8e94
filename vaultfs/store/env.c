/* SPDX-License-Identifier: MIT */
#include "env.h"
#include "image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* ------------------------------------------------------------------------------------------------------------------- errors */

static const struct {
    int rc;
    enum vf_err err;
    const char *text;
} codes[] = {
    {MDB_KEYEXIST, VF_E_EXISTS, "exists already"},
    {MDB_NOTFOUND, VF_E_NOT_FOUND, "not found"},
    {MDB_PAGE_NOTFOUND, VF_E_DAMAGED, "the database is damaged (a page is missing)"},
    {MDB_CORRUPTED, VF_E_DAMAGED, "the database is damaged (a page of the wrong kind)"},
    {MDB_PANIC, VF_E_DAMAGED, "an earlier write to the disk failed: close and open again"},
    {MDB_VERSION_MISMATCH, VF_E_VERSION, "the database was made by another version of LMDB"},
    {MDB_INVALID, VF_E_DAMAGED, "the database is damaged (not a database file)"},
    {MDB_MAP_FULL, VF_E_LIMIT, "the database is larger than its map"},
    {MDB_DBS_FULL, VF_E_LIMIT, "too many tables"},
    {MDB_READERS_FULL, VF_E_BUSY, "too many programs and threads read it at once: end some of them"},
    {MDB_TXN_FULL, VF_E_LIMIT, "too much for one transaction"},
    {MDB_CURSOR_FULL, VF_E_DAMAGED, "the database is damaged (too deep)"},
    {MDB_PAGE_FULL, VF_E_DAMAGED, "the database is damaged (a page overflows)"},
    {MDB_MAP_RESIZED, VF_E_BUSY, "another process is growing it: try again"},
    {MDB_INCOMPATIBLE, VF_E_DAMAGED, "the database is damaged (pages that belong to nothing, or a table of another kind)"},
    {MDB_BAD_RSLOT, VF_E_SYSTEM, "its lock file was changed: close and open again"},
    {MDB_BAD_TXN, VF_E_SYSTEM, "the transaction has failed before"},
    {MDB_BAD_VALSIZE, VF_E_LIMIT, "a key or a value of a size that cannot be stored"},
    {MDB_BAD_DBI, VF_E_DAMAGED, "a table was replaced: close and open again"},
    {ENOMEM, VF_E_NOMEM, "out of memory"},
};

enum vf_err vf_env_fail(struct vf_why *why, const char *what, const char *doing, int rc)
{
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
        if (codes[i].rc == rc)
            return vf_fail(why, codes[i].err, "%s: %s: %s", what, doing, codes[i].text);
    if (rc < 0)
        return vf_fail(why, VF_E_SYSTEM, "%s: %s: %s", what, doing, mdb_strerror(rc));
    errno = rc;
    return vf_fail_sys(why, "%s: %s", what, doing);
}

/* ----------------------------------------------------------------------------------------------------------------- registry */

/*
 * LMDB holds its lock file with fcntl locks, and closing any descriptor of a file drops all of the process's: a second
 * environment on the same folder would silently unlock the first. So each folder is opened once, and shared.
 */
static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static struct vf_env *registry;
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;
static _Atomic unsigned forks;

static void before_fork(void)
{
    (void)pthread_mutex_lock(&registry_lock);
}

static void after_fork_parent(void)
{
    (void)pthread_mutex_unlock(&registry_lock);
}

/* What the child inherits is not its own. It is forgotten and never closed: see above. */
static void after_fork_child(void)
{
    atomic_fetch_add(&forks, 1);
    registry = NULL;
    (void)pthread_mutex_unlock(&registry_lock);
}

static void watch_forks(void)
{
    (void)pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}

unsigned vf_env_forks(void)
{
    return atomic_load(&forks);
}

enum vf_err vf_env_usable(const struct vf_env *env, struct vf_why *why)
{
    if (env->forks != vf_env_forks())
        return vf_fail(why, VF_E_SYSTEM, "%s: was opened before this process was forked: open it in the child", env->what);
    return VF_OK;
}

static void env_free(struct vf_env *env)
{
    if (env == NULL)
        return;
    mdb_env_close(env->mdb);
    for (unsigned i = 0; i < env->ntables; i++)
        free(env->tables[i]);
    free(env->dir);
    free(env->what);
    vf_gate_done(env);
    free(env);
}

void vf_env_ref(struct vf_env *env)
{
    (void)pthread_mutex_lock(&registry_lock);
    env->refs++;
    (void)pthread_mutex_unlock(&registry_lock);
}

/* Closed under the registry's lock: the folder must not be opened anew before the old locks are gone. */
void vf_env_unref(struct vf_env *env)
{
    if (env->forks != vf_env_forks())
        return;
    (void)pthread_mutex_lock(&registry_lock);
    if (--env->refs == 0) {
        struct vf_env **at = &registry;
        while (*at != NULL && *at != env)
            at = &(*at)->next;
        if (*at != NULL)
            *at = env->next;
        env_free(env);
    }
    (void)pthread_mutex_unlock(&registry_lock);
}

/* ------------------------------------------------------------------------------------------------------------------- opening */

static _Atomic size_t map_min = VF_ENV_MAP_MIN;

size_t vf_env_map_min(size_t size)
{
    return atomic_exchange(&map_min, size);
}

size_t vf_env_map_size(uint64_t size)
{
    uint64_t unit = (uint64_t)1 << 16; /* a multiple of every page size */
    uint64_t least = atomic_load(&map_min);

    if (size > SIZE_MAX / 4)
        return 0;
    size += size / 4;
    size = (size + unit - 1) / unit * unit;
    return (size_t)(size < least ? least : size);
}

/* Look at the file before LMDB does: it must be regular (a FIFO would block) and its meta pages in order (a page size of zero would
 * kill us). An empty file is one that was never written. */
static enum vf_err look_at_data(const char *data, enum vf_store_mode mode, const char *what, uint64_t *ret_size,
                                bool *ret_anew, struct vf_why *why)
{
    struct vf_image img;
    struct stat st;

    *ret_size = 0;
    *ret_anew = false;
    VF_FD fd = open(data, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT && mode == VF_STORE_WRITE)
        return VF_OK;
    if (fd < 0 || fstat(fd, &st) != 0)
        return vf_fail_sys(why, "%s: data.mdb", what);
    if (!S_ISREG(st.st_mode))
        return vf_fail(why, VF_E_INPUT, "%s: data.mdb is not a regular file", what);
    enum vf_err err = vf_image_newest(fd, what, &img, why);
    if (err == VF_E_NOT_FOUND && mode == VF_STORE_WRITE) {
        *ret_anew = st.st_size > 0;
        return VF_OK;
    }
    VF_TRY(err);
    *ret_size = (uint64_t)(img.last + 1) * img.page_size;
    if ((uint64_t)st.st_size > *ret_size)
        *ret_size = (uint64_t)st.st_size;
    return VF_OK;
}

/*
 * LMDB writes its lock file through a map, and a page that the disk has no room for is a SIGBUS, now or when the hundredth reader
 * comes. So its room is taken first. Where there is nothing to write to, LMDB goes without or says why not.
 *
 * (This process has no lock on the file yet that closing the descriptor could drop: the registry sees to that.)
 */
static enum vf_err prepare_lock(const char *lock, const char *what, int *ret_fd, struct vf_why *why)
{
    static const off_t room = (off_t)VF_ENV_READERS * 64 + 4096; /* a cache line a reader, and the head */

    VF_FD fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if ((fd < 0 || fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, room) != 0) && (errno == ENOSPC || errno == EDQUOT))
        return vf_fail_sys(why, "%s: lock.mdb", what);
    *ret_fd = fd;
    fd = -1;
    return VF_OK;
}

/*
 * The making of the data file was not finished, and LMDB would refuse it for ever. It is emptied; but not if another process holds
 * LMDB's lock, and so is about to finish it, nor if one has finished it since we looked.
 */
static enum vf_err start_anew(int lock_fd, const char *data, const char *what, struct vf_why *why)
{
    struct flock all = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
    uint64_t size = 0;
    bool anew = false;

    if (lock_fd < 0 || fcntl(lock_fd, F_SETLK, &all) != 0)
        return VF_OK;
    VF_TRY(look_at_data(data, VF_STORE_WRITE, what, &size, &anew, why));
    if (anew && truncate(data, 0) != 0)
        return vf_fail_sys(why, "%s: data.mdb", what);
    return VF_OK;
}

static enum vf_err look(const char *dir, enum vf_store_mode mode, const char *what, uint64_t *ret_size, struct vf_why *why)
{
    VF_FREE char *data = vf_path_join(dir, "data.mdb");
    VF_FREE char *lock = vf_path_join(dir, "lock.mdb");
    VF_FD lock_fd = -1;
    bool anew = false;
    struct stat st;

    if (data == NULL || lock == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", what);
    if (lstat(lock, &st) == 0 && !S_ISREG(st.st_mode))
        return vf_fail(why, VF_E_INPUT, "%s: lock.mdb is not a regular file", what);
    VF_TRY(look_at_data(data, mode, what, ret_size, &anew, why));
    VF_TRY(prepare_lock(lock, what, &lock_fd, why));
    return anew ? start_anew(lock_fd, data, what, why) : VF_OK;
}

static enum vf_err open_mdb(MDB_env *mdb, const char *dir, enum vf_store_mode mode, unsigned tables, size_t map_size,
                            const char *what, struct vf_why *why)
{
    int rc = mdb_env_set_maxdbs(mdb, tables);
    int fd = -1;

    if (rc == 0)
        rc = mdb_env_set_maxreaders(mdb, VF_ENV_READERS);
    if (rc == 0)
        rc = mdb_env_set_mapsize(mdb, map_size);
    if (rc == 0)
        rc = mdb_env_open(mdb, dir, MDB_NOTLS | (mode == VF_STORE_READ ? (unsigned)MDB_RDONLY : 0), 0600);
    if (rc == 0)
        rc = mdb_env_get_fd(mdb, &fd);
    /* LMDB leaves this one open across exec. */
    if (rc == 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
        rc = errno;
    /* Slots of readers that were killed would keep their old pages from being used again. */
    if (rc == 0)
        rc = mdb_reader_check(mdb, NULL);
    if (rc == 0 && mdb_env_get_maxkeysize(mdb) != VF_ENV_KEY_MAX)
        return vf_fail(why, VF_E_UNSUPPORTED, "%s: this LMDB was built with keys of another size", what);
    return rc == 0 ? VF_OK : vf_env_fail(why, what, "opening", rc);
}

enum vf_err vf_env_open_mdb(const char *dir, enum vf_store_mode mode, unsigned tables, const char *what, MDB_env **ret,
                            size_t *ret_map_size, struct vf_why *why)
{
    MDB_env *mdb = NULL;
    uint64_t size = 0;

    VF_TRY(look(dir, mode, what, &size, why));
    size_t map_size = vf_env_map_size(size);
    if (map_size == 0)
        return vf_fail(why, VF_E_LIMIT, "%s: too large for this computer's addresses", what);
    int rc = mdb_env_create(&mdb);
    if (rc != 0)
        return vf_env_fail(why, what, "opening", rc);
    enum vf_err err = open_mdb(mdb, dir, mode, tables, map_size, what, why);
    if (err != VF_OK) {
        mdb_env_close(mdb);
        return err;
    }
    *ret = mdb;
    *ret_map_size = map_size;
    return VF_OK;
}

/* Which of our tables are there: all (VF_OK), some or none (their number in *ret_found). */
static enum vf_err open_tables(struct vf_env *env, MDB_txn *mdb, unsigned flags, unsigned *ret_found, struct vf_why *why)
{
    *ret_found = 0;
    for (unsigned i = 0; i < env->ntables; i++) {
        unsigned have = 0;
        int rc = mdb_dbi_open(mdb, env->tables[i], flags, &env->dbi[i]);
        if (rc == MDB_NOTFOUND)
            continue;
        if (rc == 0)
            rc = mdb_dbi_flags(mdb, env->dbi[i], &have);
        if (rc == 0 && have != 0)
            rc = MDB_INCOMPATIBLE;
        if (rc != 0)
            return vf_env_fail(why, env->what, "opening its tables", rc);
        (*ret_found)++;
    }
    return VF_OK;
}

/*
 * Before LMDB walks the list of tables: check it, and the list of free pages, which a writer takes its pages from. Both are
 * small. (The tables themselves are vf_store_walk's.)
 */
static enum vf_err check_core(struct vf_env *env, const struct vf_txn *txn, struct vf_why *why)
{
    VF_FREE struct vf_image_tables *tables = calloc(1, sizeof(*tables));
    struct vf_image img;
    int fd = -1;

    if (tables == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", env->what);
    int rc = mdb_env_get_fd(env->mdb, &fd);
    if (rc != 0)
        return vf_env_fail(why, env->what, "opening", rc);
    VF_TRY(vf_image_of_txn(fd, env->what, mdb_txn_id(txn->mdb), &img, why));
    return vf_image_check(&img, false, tables, why);
}

/* Steps of opening that need a snapshot: 1. check what LMDB is going to trust; 2. open the tables that are there. */
static enum vf_err open_in_snapshot(struct vf_env *env, unsigned *ret_found, struct vf_why *why)
{
    struct vf_txn txn = {.env = env};
    enum vf_err err = VF_OK;
    unsigned maps = 0;

    /* Other processes may commit twice between our snapshot and our look at its meta page; not a hundred times. */
    for (unsigned i = 0; i < 100; i++) {
        VF_TRY(vf_txn_begin(&txn, &maps, why));
        err = check_core(env, &txn, why);
        if (err != VF_E_STALE)
            break;
        mdb_txn_abort(txn.mdb);
        txn.mdb = NULL;
        vf_gate_leave(&txn);
    }
    if (txn.mdb == NULL)
        return vf_fail(why, VF_E_BUSY, "%s: written too fast by another process: try again", env->what);
    if (err == VF_OK)
        err = open_tables(env, txn.mdb, 0, ret_found, why);
    /* Only a commit makes the table handles known to later transactions. */
    int rc = 0;
    if (err == VF_OK)
        rc = mdb_txn_commit(txn.mdb);
    else
        mdb_txn_abort(txn.mdb);
    vf_gate_leave(&txn);
    return rc == 0 ? err : vf_env_fail(why, env->what, "opening its tables", rc);
}

static enum vf_err create_tables(struct vf_env *env, struct vf_why *why)
{
    struct vf_txn txn = {.env = env, .write = true};
    unsigned found = 0;
    unsigned maps = 0;

    VF_TRY(vf_txn_begin(&txn, &maps, why));
    enum vf_err err = open_tables(env, txn.mdb, MDB_CREATE, &found, why);
    int rc = 0;
    if (err == VF_OK)
        rc = mdb_txn_commit(txn.mdb);
    else
        mdb_txn_abort(txn.mdb);
    vf_gate_leave(&txn);
    if (rc != 0)
        return vf_env_fail(why, env->what, "creating its tables", rc);
    VF_TRY(err);
    /* The file's own name must last as well as what is in it. */
    return vf_dir_sync(env->dir, why);
}

static enum vf_err open_env(struct vf_env *env, struct vf_why *why)
{
    unsigned found = 0;

    VF_TRY(vf_env_open_mdb(env->dir, env->mode, env->ntables, env->what, &env->mdb, &env->map_size, why));
    VF_TRY(open_in_snapshot(env, &found, why));
    if (found == env->ntables)
        return VF_OK;
    if (env->mode == VF_STORE_WRITE)
        return create_tables(env, why);
    if (found == 0)
        return vf_fail(why, VF_E_NOT_FOUND, "%s: nothing was stored in it yet", env->what);
    /* Tables are made all at once. To read a lost one as empty could mean that nothing was ever revoked. */
    return vf_fail(why, VF_E_DAMAGED, "%s: the database is damaged (%u of its %u tables are missing)", env->what,
                   env->ntables - found, env->ntables);
}

/* ---------------------------------------------------------------------------------------------------------- public functions */

static enum vf_err check_tables(const char *const *tables, size_t ntables, const char *what, struct vf_why *why)
{
    if (ntables == 0 || ntables > VF_STORE_TABLES_MAX)
        return vf_fail(why, VF_E_USAGE, "%s: %zu tables", what, ntables);
    for (size_t i = 0; i < ntables; i++) {
        size_t len = strlen(tables[i]);
        if (len == 0 || len > VF_ENV_NAME_MAX)
            return vf_fail(why, VF_E_USAGE, "%s: the name of table %zu", what, i);
        for (size_t j = 0; j < i; j++)
            if (strcmp(tables[i], tables[j]) == 0)
                return vf_fail(why, VF_E_USAGE, "%s: table %s twice", what, tables[i]);
    }
    return VF_OK;
}

static enum vf_err new_env(const char *dir, enum vf_store_mode mode, const char *const *tables, size_t ntables,
                           const char *what, const struct stat *st, struct vf_env **ret, struct vf_why *why)
{
    struct vf_env *env = calloc(1, sizeof(*env));
    bool short_of_memory = env == NULL;
    enum vf_err err;

    if (env == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", what);
    err = vf_gate_init(env, why);
    if (err != VF_OK) {
        free(env);
        return err;
    }
    env->dir = strdup(dir);
    env->what = strdup(what);
    env->dev = st->st_dev;
    env->ino = st->st_ino;
    env->forks = vf_env_forks();
    env->mode = mode;
    short_of_memory = env->dir == NULL || env->what == NULL;
    for (size_t i = 0; i < ntables && !short_of_memory; i++) {
        env->tables[i] = strdup(tables[i]);
        short_of_memory = env->tables[i] == NULL;
        env->ntables++;
    }
    err = short_of_memory ? vf_fail(why, VF_E_NOMEM, "%s: out of memory", what) : open_env(env, why);
    if (err != VF_OK) {
        env_free(env);
        return err;
    }
    env->next = registry;
    registry = env;
    *ret = env;
    return VF_OK;
}

static bool same_tables(const struct vf_env *env, const char *const *tables, size_t ntables)
{
    if (env->ntables != ntables)
        return false;
    for (size_t i = 0; i < ntables; i++)
        if (strcmp(env->tables[i], tables[i]) != 0)
            return false;
    return true;
}

/* The registry's lock is held. */
static enum vf_err find_or_new(const char *dir, enum vf_store_mode mode, const char *const *tables, size_t ntables,
                               const char *what, struct vf_env **ret, struct vf_why *why)
{
    struct vf_env *env = registry;
    struct stat st;

    if (stat(dir, &st) != 0)
        return vf_fail_sys(why, "%s: %s", what, dir);
    while (env != NULL && (env->dev != st.st_dev || env->ino != st.st_ino))
        env = env->next;
    if (env == NULL)
        VF_TRY(new_env(dir, mode, tables, ntables, what, &st, &env, why));
    else if (!same_tables(env, tables, ntables) || (mode == VF_STORE_WRITE && env->mode == VF_STORE_READ))
        return vf_fail(why, VF_E_BUSY, "%s: is open in this process for another use", what);
    env->refs++;
    *ret = env;
    return VF_OK;
}

enum vf_err vf_store_open(const char *dir, enum vf_store_mode mode, const char *const *tables, size_t ntables,
                          const char *what, struct vf_store **ret, struct vf_why *why)
{
    struct vf_env *env = NULL;

    VF_TRY(check_tables(tables, ntables, what, why));
    enum vf_err err = vf_dir_local(dir, why);
    if (err != VF_OK)
        return vf_fail_prefix(why, err, "%s", what);
    (void)pthread_once(&fork_once, watch_forks);
    VF_FREE struct vf_store *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", what);
    (void)pthread_mutex_lock(&registry_lock);
    err = find_or_new(dir, mode, tables, ntables, what, &env, why);
    (void)pthread_mutex_unlock(&registry_lock);
    if (err != VF_OK)
        return err;
    s->env = env;
    s->mode = mode;
    *ret = s;
    s = NULL;
    return VF_OK;
}

void vf_store_close(struct vf_store *s)
{
    if (s == NULL)
        return;
    vf_env_unref(s->env);
    free(s);
}

void vf_store_cleanup(struct vf_store **s)
{
    vf_store_close(*s);
    *s = NULL;
}
