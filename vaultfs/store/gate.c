/* SPDX-License-Identifier: MIT */
/*
 * The gate. The map may only be made anew while no transaction of this process looks into it. Transactions go in and come out;
 * who wants a new map keeps newcomers waiting, waits until all are out, and makes it.
 *
 * A thread that is inside with one transaction is let in with a second one at once: it would wait for itself. One that is inside
 * and needs a new map cannot be helped; the wait is bounded, and ends as VF_E_BUSY.
 */
#include "env.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <time.h>

static _Atomic unsigned patience_ms = 30000;

unsigned vf_gate_patience_ms(unsigned ms)
{
    return atomic_exchange(&patience_ms, ms);
}

enum vf_err vf_gate_init(struct vf_env *env, struct vf_why *why)
{
    pthread_condattr_t attr;
    int rc = pthread_condattr_init(&attr);

    if (rc == 0) {
        (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        rc = pthread_cond_init(&env->changed, &attr);
        (void)pthread_condattr_destroy(&attr);
    }
    if (rc != 0)
        return vf_fail(why, VF_E_NOMEM, "out of memory");
    (void)pthread_mutex_init(&env->lock, NULL);
    (void)pthread_mutex_init(&env->writing, NULL);
    return VF_OK;
}

void vf_gate_done(struct vf_env *env)
{
    (void)pthread_mutex_destroy(&env->lock);
    (void)pthread_mutex_destroy(&env->writing);
    (void)pthread_cond_destroy(&env->changed);
}

static bool inside_already(const struct vf_env *env, pthread_t me)
{
    for (const struct vf_txn *t = env->inside; t != NULL; t = t->next)
        if (pthread_equal(t->thread, me))
            return true;
    return false;
}

static enum vf_err dead(const struct vf_env *env, struct vf_why *why)
{
    return vf_fail(why, VF_E_SYSTEM, "%s: there was no memory to map it: close and open again", env->what);
}

enum vf_err vf_gate_enter(struct vf_txn *txn, unsigned *ret_maps, struct vf_why *why)
{
    struct vf_env *env = txn->env;
    enum vf_err err = VF_OK;

    txn->thread = pthread_self();
    (void)pthread_mutex_lock(&env->lock);
    while (env->remappers > 0 && !env->dead && !inside_already(env, txn->thread))
        (void)pthread_cond_wait(&env->changed, &env->lock);
    if (env->dead) {
        err = dead(env, why);
    } else {
        txn->prev = NULL;
        txn->next = env->inside;
        if (env->inside != NULL)
            env->inside->prev = txn;
        env->inside = txn;
        env->slow += txn->write ? 1 : 0;
        *ret_maps = env->maps;
    }
    (void)pthread_mutex_unlock(&env->lock);
    return err;
}

void vf_gate_leave(struct vf_txn *txn)
{
    struct vf_env *env = txn->env;

    (void)pthread_mutex_lock(&env->lock);
    if (txn->prev != NULL)
        txn->prev->next = txn->next;
    else
        env->inside = txn->next;
    if (txn->next != NULL)
        txn->next->prev = txn->prev;
    txn->prev = NULL;
    txn->next = NULL;
    env->slow -= txn->write ? 1 : 0;
    if (env->remappers > 0)
        (void)pthread_cond_broadcast(&env->changed);
    (void)pthread_mutex_unlock(&env->lock);
}

static struct timespec deadline(void)
{
    unsigned ms = atomic_load(&patience_ms);
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    ts.tv_sec += (time_t)(ms / 1000);
    ts.tv_nsec += (long)(ms % 1000) * 1000000;
    if (ts.tv_nsec >= 1000000000) {
        ts.tv_sec++;
        ts.tv_nsec -= 1000000000;
    }
    return ts;
}

/* False when the readers inside did not come out in time. Writers and copies have all the time they need: they do end. */
static bool wait_until_empty(struct vf_env *env, unsigned maps)
{
    struct timespec until = deadline();

    while (env->inside != NULL && env->maps == maps && !env->dead) {
        bool slow = env->slow > 0;
        if (pthread_cond_timedwait(&env->changed, &env->lock, &until) == ETIMEDOUT && !slow && env->slow == 0)
            return env->inside == NULL || env->maps != maps;
        if (slow)
            until = deadline();
    }
    return true;
}

static size_t next_size(size_t size)
{
    uint64_t step = size < VF_ENV_MAP_STEP_MAX ? size : VF_ENV_MAP_STEP_MAX;

    return step > SIZE_MAX / 2 || size > SIZE_MAX / 2 - (size_t)step ? 0 : size + (size_t)step;
}

/* `lock` is held and nobody is inside. mdb_env_set_mapsize gives the old map away first: so try whether there is room. */
static enum vf_err remap(struct vf_env *env, size_t size, struct vf_why *why)
{
    void *room = size == 0 ? MAP_FAILED : mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (room == MAP_FAILED)
        return vf_fail(why, VF_E_NOMEM, "%s: no room for a map of %zu MiB", env->what, size >> 20);
    (void)munmap(room, size);
    int rc = mdb_env_set_mapsize(env->mdb, size);
    if (rc != 0) {
        env->dead = true;
        return dead(env, why);
    }
    env->map_size = size;
    env->maps++;
    return VF_OK;
}

/* Not mdb_env_set_mapsize(0), which believes the size that is written in the file. */
static size_t size_to_follow(struct vf_env *env)
{
    size_t size = env->map_size;
    MDB_envinfo info;
    MDB_stat stat;

    if (mdb_env_info(env->mdb, &info) != 0 || mdb_env_stat(env->mdb, &stat) != 0 || stat.ms_psize == 0 ||
        info.me_last_pgno >= SIZE_MAX / 2 / stat.ms_psize)
        return 0;
    size_t need = (info.me_last_pgno + 1) * stat.ms_psize;
    while (size != 0 && size < need)
        size = next_size(size);
    return size;
}

static enum vf_err make_anew(struct vf_env *env, unsigned maps, bool grow, struct vf_why *why)
{
    enum vf_err err = VF_OK;

    (void)pthread_mutex_lock(&env->lock);
    env->remappers++;
    if (!wait_until_empty(env, maps))
        err = vf_fail(why, VF_E_BUSY, "%s: has to grow, but a reader in this program does not end", env->what);
    else if (env->dead)
        err = dead(env, why);
    else if (env->maps == maps)
        err = remap(env, grow ? next_size(env->map_size) : size_to_follow(env), why);
    env->remappers--;
    (void)pthread_cond_broadcast(&env->changed);
    (void)pthread_mutex_unlock(&env->lock);
    return err;
}

enum vf_err vf_gate_grow(struct vf_env *env, unsigned maps, struct vf_why *why)
{
    return make_anew(env, maps, true, why);
}

void vf_gate_grow_early(struct vf_env *env)
{
    MDB_envinfo info;
    MDB_stat stat;

    (void)pthread_mutex_lock(&env->lock);
    if (env->inside == NULL && env->remappers == 0 && !env->dead && mdb_env_info(env->mdb, &info) == 0 &&
        mdb_env_stat(env->mdb, &stat) == 0 && info.me_last_pgno > env->map_size / 2 / stat.ms_psize)
        (void)remap(env, next_size(env->map_size), NULL);
    (void)pthread_mutex_unlock(&env->lock);
}

enum vf_err vf_gate_follow(struct vf_env *env, unsigned maps, struct vf_why *why)
{
    return make_anew(env, maps, false, why);
}
