/* SPDX-License-Identifier: MIT */
#include "faults.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum fault_mode { MODE_OFF, MODE_ONCE, MODE_LASTING, MODE_SHORT, MODE_KILL };

#define KINDS 5

/* Written by faults_arm* while no other thread is at work; the counters by everybody. */
static _Atomic int mode = MODE_OFF;
static enum fault_kind armed_kind;
static unsigned armed_nth;
static int armed_errno;
static size_t armed_bytes;
static atomic_bool met;
static atomic_uint seen[KINDS];

static void arm(enum fault_kind kind, unsigned nth, enum fault_mode how)
{
    atomic_store(&mode, MODE_OFF);
    for (int i = 0; i < KINDS; i++)
        atomic_store(&seen[i], 0);
    atomic_store(&met, false);
    armed_kind = kind;
    armed_nth = nth;
    atomic_store(&mode, how);
}

void faults_arm(enum fault_kind kind, unsigned nth, int err)
{
    armed_errno = err;
    arm(kind, nth, MODE_ONCE);
}

void faults_arm_lasting(enum fault_kind kind, unsigned nth, int err)
{
    armed_errno = err;
    arm(kind, nth, MODE_LASTING);
}

void faults_arm_short(enum fault_kind kind, unsigned nth, size_t bytes)
{
    armed_bytes = bytes > 0 ? bytes : 1;
    arm(kind, nth, MODE_SHORT);
}

void faults_arm_kill(enum fault_kind kind, unsigned nth)
{
    arm(kind, nth, MODE_KILL);
}

bool faults_disarm(void)
{
    atomic_store(&mode, MODE_OFF);
    return atomic_load(&met);
}

unsigned faults_seen(enum fault_kind kind)
{
    return atomic_load(&seen[kind]);
}

/* Count this call; true when it has to fail, with errno set. *len is cut for a short transfer. */
static bool fails(enum fault_kind kind, size_t *len)
{
    int how = atomic_load(&mode);

    if (how == MODE_OFF)
        return false;
    unsigned n = atomic_fetch_add(&seen[kind], 1) + 1;
    if (kind != armed_kind || n < armed_nth || (n > armed_nth && how != MODE_LASTING))
        return false;
    atomic_store(&met, true);
    if (how == MODE_KILL)
        (void)raise(SIGKILL);
    if (how == MODE_SHORT) {
        if (len != NULL && *len > armed_bytes)
            *len = armed_bytes;
        return false;
    }
    errno = armed_errno;
    return true;
}

/* The bytes that must be gone when a block is freed; NULL: nobody asks. */
static const void *_Atomic secret;
static size_t secret_len;
static atomic_uint unwiped;

void faults_watch_free(const void *bytes, size_t len)
{
    if (getenv("VAULTFS_VALGRIND") != NULL)
        return;
    if (len < 8)
        abort();
    atomic_store(&unwiped, 0);
    secret_len = len;
    atomic_store(&secret, bytes);
}

unsigned faults_unwiped(void)
{
    atomic_store(&secret, NULL);
    return atomic_exchange(&unwiped, 0);
}

static void search(void *p)
{
    const void *what = atomic_load(&secret);

    if (p != NULL && what != NULL && memmem(p, malloc_usable_size(p), what, secret_len) != NULL)
        atomic_fetch_add(&unwiped, 1);
}

void __real_free(void *p);
void __wrap_free(void *p);
void __wrap_free(void *p)
{
    search(p);
    __real_free(p);
}

void *__real_realloc(void *p, size_t size);
void *__wrap_realloc(void *p, size_t size);
void *__wrap_realloc(void *p, size_t size)
{
    if (fails(FAULT_MEMORY, NULL))
        return NULL;
    search(p);
    return __real_realloc(p, size);
}

/*
 * The wrapped functions. With 64-bit file offsets the C library gives some of them another name, and code that was compiled
 * without may use the old one: both are wrapped.
 */
#define WRAP_MEMORY(type, name, params, args) \
    type __real_##name params;                \
    type __wrap_##name params;                \
    type __wrap_##name params                 \
    {                                         \
        if (fails(FAULT_MEMORY, NULL))        \
            return NULL;                      \
        return __real_##name args;            \
    }

#define WRAP(kind, type, name, params, args) \
    type __real_##name params;               \
    type __wrap_##name params;               \
    type __wrap_##name params                \
    {                                        \
        if (fails(kind, NULL))               \
            return -1;                       \
        return __real_##name args;           \
    }

#define WRAP_TRANSFER(kind, name, params, args) \
    ssize_t __real_##name params;               \
    ssize_t __wrap_##name params;               \
    ssize_t __wrap_##name params                \
    {                                           \
        if (fails(kind, &len))                  \
            return -1;                          \
        return __real_##name args;              \
    }

/* posix_fallocate returns its error instead of setting errno. */
#define WRAP_POSIX(kind, name, params, args) \
    int __real_##name params;                \
    int __wrap_##name params;                \
    int __wrap_##name params                 \
    {                                        \
        if (fails(kind, NULL))               \
            return errno;                    \
        return __real_##name args;           \
    }

WRAP_MEMORY(void *, malloc, (size_t size), (size))
WRAP_MEMORY(void *, calloc, (size_t n, size_t size), (n, size))
WRAP_MEMORY(char *, strdup, (const char *s), (s))
WRAP_MEMORY(char *, strndup, (const char *s, size_t n), (s, n))

WRAP_TRANSFER(FAULT_WRITE, write, (int fd, const void *data, size_t len), (fd, data, len))
WRAP_TRANSFER(FAULT_WRITE, pwrite, (int fd, const void *data, size_t len, off_t at), (fd, data, len, at))
WRAP_TRANSFER(FAULT_WRITE, pwrite64, (int fd, const void *data, size_t len, off_t at), (fd, data, len, at))
WRAP(FAULT_WRITE, ssize_t, writev, (int fd, const struct iovec *iov, int n), (fd, iov, n))
WRAP(FAULT_WRITE, int, ftruncate, (int fd, off_t size), (fd, size))
WRAP(FAULT_WRITE, int, ftruncate64, (int fd, off_t size), (fd, size))
WRAP(FAULT_WRITE, int, fallocate, (int fd, int how, off_t at, off_t size), (fd, how, at, size))
WRAP(FAULT_WRITE, int, fallocate64, (int fd, int how, off_t at, off_t size), (fd, how, at, size))
WRAP_POSIX(FAULT_WRITE, posix_fallocate, (int fd, off_t at, off_t size), (fd, at, size))
WRAP_POSIX(FAULT_WRITE, posix_fallocate64, (int fd, off_t at, off_t size), (fd, at, size))

WRAP(FAULT_SYNC, int, fsync, (int fd), (fd))
WRAP(FAULT_SYNC, int, fdatasync, (int fd), (fd))

WRAP(FAULT_RENAME, int, rename, (const char *from, const char *to), (from, to))
WRAP(FAULT_RENAME, int, renameat2, (int from_fd, const char *from, int to_fd, const char *to, unsigned how),
     (from_fd, from, to_fd, to, how))
WRAP(FAULT_RENAME, int, link, (const char *from, const char *to), (from, to))

WRAP_TRANSFER(FAULT_READ, read, (int fd, void *out, size_t len), (fd, out, len))
WRAP_TRANSFER(FAULT_READ, pread, (int fd, void *out, size_t len, off_t at), (fd, out, len, at))
WRAP_TRANSFER(FAULT_READ, pread64, (int fd, void *out, size_t len, off_t at), (fd, out, len, at))
