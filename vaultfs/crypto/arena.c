/* SPDX-License-Identifier: MIT */
/*
 * The arena: one locked mapping between two pages that nobody may touch, cut into granules of 64 bytes.
 *
 * What says which granule is in use lies in ordinary memory, so that a write beyond a secret cannot steer the allocator, and a
 * secret that leaks by an over-read leaks no neighbour's size. Free granules are always zero.
 */
#include "crypto_internal.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define ARENA_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#endif
#ifdef ARENA_ASAN
#include <sanitizer/asan_interface.h>
#define POISON(p, len)   __asan_poison_memory_region(p, len)
#define UNPOISON(p, len) __asan_unpoison_memory_region(p, len)
#else
#define POISON(p, len)   ((void)(p), (void)(len))
#define UNPOISON(p, len) ((void)(p), (void)(len))
#endif

#define GRANULE    ((size_t)64)
#define WORD_BITS  ((size_t)64)
#define ARENA_MOST ((size_t)1 << 36) /* granule counts stay far below UINT32_MAX */

static struct {
    pthread_mutex_t lock;
    bool started;
    bool orphan;       /* in a child after fork: wiped by the kernel, and not locked any more */
    bool fork_watched; /* once a process */
    uint8_t *map;      /* with its guard pages */
    size_t map_len;
    uint8_t *base;
    size_t len;
    size_t granules; /* a multiple of 64 */
    uint64_t *used;  /* one bit a granule */
    uint32_t *sizes; /* at the first granule of an allocation: its number of granules; elsewhere 0 */
    size_t low;      /* no granule below this one is free */
    size_t high;     /* and none from here on was ever in use */
} arena = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void arena_lock(void)
{
    if (pthread_mutex_lock(&arena.lock) != 0)
        abort();
}

static void arena_unlock(void)
{
    if (pthread_mutex_unlock(&arena.lock) != 0)
        abort();
}

/* Locks of memory are not inherited, so a child must not put secrets here. (The kernel has zeroed what the parent had.) */
static void arena_after_fork(void)
{
    arena.orphan = arena.started;
    if (pthread_mutex_init(&arena.lock, NULL) != 0)
        abort();
}

static void arena_drop(void)
{
    if (arena.map != NULL) {
        UNPOISON(arena.base, arena.len);
        sodium_memzero(arena.base, arena.high * GRANULE);
        (void)munmap(arena.map, arena.map_len); /* unlocks too */
    }
    free(arena.used);
    free(arena.sizes);
    arena.map = arena.base = NULL;
    arena.used = NULL;
    arena.sizes = NULL;
    arena.map_len = arena.len = arena.granules = arena.low = arena.high = 0;
    arena.started = arena.orphan = false;
}

static enum vf_err arena_lock_failed(size_t len, struct vf_why *why)
{
    struct rlimit limit = {0};
    int eno = errno;
    unsigned long long kib = (len + 1023) / 1024;

    if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        (void)vf_fail(why, VF_E_LOCKED_MEMORY, "memory for keys could not be locked: vaultfs needs %llu KiB: %s", kib,
                      strerror(eno));
    else
        (void)vf_fail(
            why, VF_E_LOCKED_MEMORY,
            "memory for keys could not be locked: RLIMIT_MEMLOCK is %llu KiB; vaultfs needs %llu KiB: raise it with "
            "ulimit -l or LimitMEMLOCK= in the unit",
            (unsigned long long)(limit.rlim_cur / 1024), kib);
    if (why != NULL)
        why->sys_errno = eno;
    return VF_E_LOCKED_MEMORY;
}

/* Map, protect, lock. On failure the caller drops what is there. */
static enum vf_err arena_map(size_t bytes, size_t page, struct vf_why *why)
{
    if (bytes > ARENA_MOST)
        return vf_fail(why, VF_E_LIMIT, "an arena of %zu bytes", bytes);
    size_t len = (bytes + page - 1) / page * page;
    void *map = mmap(NULL, len + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED)
        return vf_fail_sys(why, "no memory for keys");
    arena.map = map;
    arena.map_len = len + 2 * page;
    arena.base = arena.map + page;
    arena.len = len;
    arena.granules = len / GRANULE;
    if (mprotect(arena.base, len, PROT_READ | PROT_WRITE) != 0)
        return vf_fail_sys(why, "no memory for keys");
    if (madvise(arena.base, len, MADV_DONTDUMP) != 0 || madvise(arena.base, len, MADV_WIPEONFORK) != 0)
        return vf_fail_sys(why, "memory for keys could not be kept out of core dumps and child processes");
    /*
     * Not mlock: sanitizers replace that by nothing, and a lock that is not there must never pass for one. The lock and its limit are for all of it
     * from now on; a page takes memory when it is first touched, and is locked by then. (Where that is not known, as to
     * valgrind, all is locked at once. A limit refuses both.)
     */
    if (mlock2(arena.base, len, MLOCK_ONFAULT) != 0 && mlock2(arena.base, len, 0) != 0)
        return arena_lock_failed(len, why);
    arena.used = calloc(arena.granules / WORD_BITS, sizeof(*arena.used));
    arena.sizes = calloc(arena.granules, sizeof(*arena.sizes));
    if (arena.used == NULL || arena.sizes == NULL)
        return vf_fail(why, VF_E_NOMEM, "no memory for the table of the arena");
    POISON(arena.base, len);
    return VF_OK;
}

enum vf_err vf_crypto_init(size_t arena_bytes, struct vf_why *why)
{
    long page = sysconf(_SC_PAGESIZE);

    if (arena.started && !arena.orphan)
        return vf_fail(why, VF_E_BUSY, "the memory for keys is there already");
    if (sodium_init() < 0 || page <= 0 || (size_t)page % (GRANULE * WORD_BITS) != 0)
        return vf_fail(why, VF_E_SYSTEM, "libsodium cannot work on this computer");
    arena_drop();
    if (!arena.fork_watched && pthread_atfork(NULL, NULL, arena_after_fork) != 0)
        return vf_fail(why, VF_E_NOMEM, "a child process could not be kept from the keys");
    arena.fork_watched = true;
    if (arena_bytes > 0) {
        enum vf_err err = arena_map(arena_bytes, (size_t)page, why);
        if (err != VF_OK) {
            arena_drop();
            return err;
        }
    }
    arena.started = true;
    if (arena_bytes > 0) /* without one there are no secrets */
        vf_xchacha_start();
    return VF_OK;
}

void vf_crypto_done(void)
{
    vf_xchacha_stop();
    arena_drop();
}

/* First fit: the first granule of a free run of n, or arena.granules. */
static size_t arena_find(size_t n)
{
    size_t start = arena.low;
    size_t g = arena.low;

    while (g < arena.granules) {
        size_t in_word = WORD_BITS - g % WORD_BITS;
        uint64_t used = arena.used[g / WORD_BITS] >> (g % WORD_BITS);
        uint64_t other = (used & 1) != 0 ? ~used : used;
        /* Length of the run of equal bits that begins at g; the zeroes shifted in above end it with its word. */
        size_t run = other != 0 ? (size_t)__builtin_ctzll(other) : in_word;
        g += run;
        if ((used & 1) != 0)
            start = g;
        else if (g - start >= n)
            return start;
    }
    return arena.granules;
}

static void arena_mark(size_t start, size_t n, bool in_use)
{
    while (n > 0) {
        size_t bit = start % WORD_BITS;
        size_t here = WORD_BITS - bit < n ? WORD_BITS - bit : n;
        uint64_t mask = (here == WORD_BITS ? UINT64_MAX : (UINT64_C(1) << here) - 1) << bit;
        if (in_use)
            arena.used[start / WORD_BITS] |= mask;
        else
            arena.used[start / WORD_BITS] &= ~mask;
        start += here;
        n -= here;
    }
}

void *vf_secret_new(size_t size)
{
    void *p = NULL;

    arena_lock();
    if (arena.started && !arena.orphan && size <= arena.len) {
        size_t n = size > 0 ? (size + GRANULE - 1) / GRANULE : 1;
        size_t start = arena_find(n);
        if (start < arena.granules) {
            arena_mark(start, n, true);
            arena.sizes[start] = (uint32_t)n;
            if (start == arena.low)
                arena.low = start + n;
            if (start + n > arena.high)
                arena.high = start + n;
            p = arena.base + start * GRANULE;
            UNPOISON(p, size);
        }
    }
    arena_unlock();
    return p;
}

/* The granule number of a pointer from vf_secret_new that was not freed yet; anything else ends the program. */
static size_t arena_granule_of(const void *p)
{
    uintptr_t at = (uintptr_t)p;
    uintptr_t base = (uintptr_t)arena.base;

    if (arena.base == NULL || at < base || at - base >= arena.len || (at - base) % GRANULE != 0)
        abort();
    size_t start = (at - base) / GRANULE;
    if (arena.sizes[start] == 0)
        abort();
    return start;
}

void vf_secret_free(void *p)
{
    if (p == NULL)
        return;
    /* 1. Take it off the list, so that a second free aborts. 2. Wipe, which may take long, without the lock. 3. Give it back. */
    arena_lock();
    size_t start = arena_granule_of(p);
    size_t n = arena.sizes[start];
    arena.sizes[start] = 0;
    arena_unlock();

    UNPOISON(p, n * GRANULE);
    sodium_memzero(p, n * GRANULE);
    POISON(p, n * GRANULE);

    arena_lock();
    arena_mark(start, n, false);
    if (start < arena.low)
        arena.low = start;
    arena_unlock();
}

void vf_secret_cleanup(void *pp)
{
    void *p = NULL;

    memcpy(&p, pp, sizeof(p));
    vf_secret_free(p);
    p = NULL;
    memcpy(pp, &p, sizeof(p));
}
