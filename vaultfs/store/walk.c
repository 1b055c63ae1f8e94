/* SPDX-License-Identifier: MIT */
/*
 * The structural check of a database, in a child process.
 *
 * 1. The child holds a snapshot with a read transaction and checks the whole structure of the file (image.h).
 * 2. It reads every table through LMDB, as its users will, and touches every byte.
 * 3. It tells the parent through a pipe. Nothing told means that it died: the database killed it.
 *
 * The parent believes the message, not the exit status, which it may not get (SIGCHLD ignored).
 */
#include "env.h"
#include "image.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define REPORT_MAGIC 0x766677616c6b3031u

struct report {
    uint64_t magic;
    int32_t err;
    int32_t sys_errno;
    char text[sizeof(((struct vf_why *)0)->text)];
};

/* ---------------------------------------------------------------------------------------------------------------- the child */

static void touch(const MDB_val *v)
{
    const uint8_t *data = v->mv_data;
    uint64_t sum = 0;
    size_t i = 0;

    for (; i + sizeof(uint64_t) <= v->mv_size; i += sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, data + i, sizeof(word));
        sum += word;
    }
    for (; i < v->mv_size; i++)
        sum += data[i];
    /* For the compiler: somebody looks at it. */
    __asm__ volatile("" : : "r"(sum));
}

static int key_cmp(const MDB_val *a, const uint8_t *b, size_t b_len)
{
    int c = memcmp(a->mv_data, b, a->mv_size < b_len ? a->mv_size : b_len);

    return c != 0 ? c : (a->mv_size > b_len) - (a->mv_size < b_len);
}

static enum vf_err read_table(MDB_txn *txn, const struct vf_image_table *t, const char *what, struct vf_why *why)
{
    uint8_t last[VF_ENV_KEY_MAX];
    size_t last_len = 0;
    size_t rows = 0;
    MDB_cursor *cur = NULL;
    MDB_dbi dbi = 0;
    MDB_val k;
    MDB_val v;

    int rc = mdb_dbi_open(txn, t->name, 0, &dbi);
    if (rc == 0)
        rc = mdb_cursor_open(txn, dbi, &cur);
    while (rc == 0 && (rc = mdb_cursor_get(cur, &k, &v, MDB_NEXT)) == 0) {
        if (k.mv_size == 0 || k.mv_size > sizeof(last) || (rows > 0 && key_cmp(&k, last, last_len) <= 0))
            return vf_fail(why, VF_E_DAMAGED, "%s: the database is damaged (order of table %s)", what, t->name);
        touch(&k);
        touch(&v);
        memcpy(last, k.mv_data, k.mv_size);
        last_len = k.mv_size;
        rows++;
    }
    mdb_cursor_close(cur);
    if (rc != MDB_NOTFOUND)
        return vf_env_fail(why, what, "checking", rc);
    if (rows != t->tree.entries)
        return vf_fail(why, VF_E_DAMAGED, "%s: the database is damaged (rows of table %s)", what, t->name);
    return VF_OK;
}

static bool has_table(const struct vf_image_tables *ts, const char *name)
{
    for (unsigned i = 0; i < ts->n; i++)
        if (strcmp(ts->table[i].name, name) == 0)
            return true;
    return false;
}

static enum vf_err walk_snapshot(MDB_env *env, MDB_txn *txn, const char *const *tables, size_t ntables, const char *what,
                                 struct vf_why *why)
{
    static struct vf_image_tables found; /* this process does nothing else */
    struct vf_image img;
    int fd = -1;

    int rc = mdb_env_get_fd(env, &fd);
    if (rc != 0)
        return vf_env_fail(why, what, "checking", rc);
    VF_TRY(vf_image_of_txn(fd, what, mdb_txn_id(txn), &img, why));
    VF_TRY(vf_image_check(&img, true, &found, why));
    if (found.n == 0)
        return vf_fail(why, VF_E_NOT_FOUND, "%s: nothing was stored in it yet", what);
    for (size_t i = 0; i < ntables; i++)
        if (!has_table(&found, tables[i]))
            return vf_fail(why, VF_E_DAMAGED, "%s: the database is damaged (table %s is missing)", what, tables[i]);
    for (unsigned i = 0; i < found.n; i++)
        VF_TRY(read_table(txn, &found.table[i], what, why));
    return VF_OK;
}

static enum vf_err walk(const char *dir, const char *const *tables, size_t ntables, const char *what, struct vf_why *why)
{
    enum vf_err err = VF_E_STALE;
    size_t map_size = 0;

    /* A process that writes all the while may overtake us between two steps, or make the map too small. */
    for (unsigned i = 0; i < 100 && err == VF_E_STALE; i++) {
        MDB_env *env = NULL;
        MDB_txn *txn = NULL;
        VF_TRY(vf_env_open_mdb(dir, VF_STORE_READ, VF_IMAGE_TABLES_MAX, what, &env, &map_size, why));
        int rc = mdb_txn_begin(env, NULL, MDB_RDONLY, &txn);
        if (rc == 0) {
            err = walk_snapshot(env, txn, tables, ntables, what, why);
            mdb_txn_abort(txn);
        } else if (rc != MDB_MAP_RESIZED) {
            err = vf_env_fail(why, what, "checking", rc);
        }
        mdb_env_close(env);
    }
    return err == VF_E_STALE ? vf_fail(why, VF_E_BUSY, "%s: written too fast by another process: try again", what) : err;
}

/* Dies quietly: no core file (there are keys in our memory), no words of LMDB's or of the C library's on the terminal. */
static void prepare(unsigned seconds)
{
    static const int deadly[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGALRM, SIGTERM, SIGINT, SIGHUP};
    struct rlimit none = {0};
    sigset_t all;

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)setrlimit(RLIMIT_CORE, &none);
    for (size_t i = 0; i < sizeof(deadly) / sizeof(deadly[0]); i++)
        (void)signal(deadly[i], SIG_DFL);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)sigfillset(&all);
    (void)sigprocmask(SIG_UNBLOCK, &all, NULL);
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (null >= 0)
        (void)dup2(null, STDERR_FILENO);
    (void)alarm(seconds);
}

_Noreturn static void child(int fd, const char *dir, const char *const *tables, size_t ntables, unsigned seconds,
                            const char *what)
{
    struct report r = {.magic = REPORT_MAGIC};
    struct vf_why why = {0};

    prepare(seconds);
    r.err = (int32_t)walk(dir, tables, ntables, what, &why);
    r.sys_errno = why.sys_errno;
    (void)snprintf(r.text, sizeof(r.text), "%s", why.text);
    _exit(vf_fd_write(fd, &r, sizeof(r), "pipe", NULL) == VF_OK ? 0 : 1);
}

/* --------------------------------------------------------------------------------------------------------------- the parent */

/* True when the whole report came. */
static bool receive(int fd, struct report *ret)
{
    struct report r;

    if (vf_fd_read(fd, &r, sizeof(r), "pipe", NULL) != VF_OK || r.magic != REPORT_MAGIC)
        return false;
    /* What looked at a damaged file is not trusted further than needed. */
    r.text[sizeof(r.text) - 1] = '\0';
    if (r.err < VF_OK || r.err >= (int32_t)VF_ERR_COUNT_)
        return false;
    *ret = r;
    return true;
}

static enum vf_err verdict(bool told, const struct report *r, int status, unsigned seconds, const char *what,
                           struct vf_why *why)
{
    if (told && r->err == VF_OK)
        return VF_OK;
    if (told) {
        enum vf_err err = vf_fail(why, (enum vf_err)r->err, "%s", r->text);
        if (why != NULL)
            why->sys_errno = r->sys_errno;
        return err;
    }
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        return vf_fail(why, VF_E_LIMIT, "%s: checking the database took longer than %u seconds", what, seconds);
    if (WIFSIGNALED(status) && (WTERMSIG(status) == SIGKILL || WTERMSIG(status) == SIGTERM || WTERMSIG(status) == SIGINT ||
                                WTERMSIG(status) == SIGHUP))
        return vf_fail(why, VF_E_SYSTEM, "%s: the check of the database was stopped by signal %d", what, WTERMSIG(status));
    if (WIFSIGNALED(status))
        return vf_fail(why, VF_E_DAMAGED, "%s: the database is damaged (reading it ends in signal %d)", what,
                       WTERMSIG(status));
    return vf_fail(why, VF_E_DAMAGED, "%s: the database is damaged (reading it ends the reader)", what);
}

enum vf_err vf_store_walk(const char *dir, const char *const *tables, size_t ntables, unsigned seconds, const char *what,
                          struct vf_why *why)
{
    struct report r = {0};
    int ends[2];
    int status = 0;

    if (pipe2(ends, O_CLOEXEC) != 0)
        return vf_fail_sys(why, "%s: cannot start a check of the database", what);
    VF_FD in = ends[0];
    VF_FD out = ends[1];
    pid_t pid = fork();
    if (pid < 0)
        return vf_fail_sys(why, "%s: cannot start a check of the database", what);
    if (pid == 0)
        child(out, dir, tables, ntables, seconds, what);
    vf_fd_close(&out);
    bool told = receive(in, &r);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return verdict(told, &r, status, seconds, what, why);
}
