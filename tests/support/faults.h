/* SPDX-License-Identifier: MIT */
/*
 * Make the nth allocation, write, sync, rename or read of a test program fail, or die there.
 *
 * Link with faults_dep: the linker then sends these calls of the program and of all static libraries in it through here
 * (--wrap). Calls made inside shared libraries (libc's fopen, LMDB, libsodium) are not seen.
 *
 *   FAULT_MEMORY  malloc calloc realloc strdup strndup
 *   FAULT_WRITE   write pwrite writev ftruncate fallocate posix_fallocate
 *   FAULT_SYNC    fsync fdatasync
 *   FAULT_RENAME  rename renameat2 link
 *   FAULT_READ    read pread
 *
 * The usual loop tries every one of them in turn, until one run comes through without meeting the fault:
 *
 *   for (unsigned n = 1;; n++) {
 *       faults_arm(FAULT_MEMORY, n, ENOMEM);
 *       enum vf_err err = function_under_test(...);
 *       if (!faults_disarm()) {
 *           assert_int_equal(err, VF_OK);
 *           break;
 *       }
 *       assert_int_equal(err, VF_E_NOMEM);
 *   }
 *
 * Disarm before the test asserts or prints. One fault at a time, of the whole process: all threads count together.
 */
#ifndef VAULTFS_TESTS_FAULTS_H
#define VAULTFS_TESTS_FAULTS_H

#include <stdbool.h>
#include <stddef.h>

enum fault_kind { FAULT_MEMORY, FAULT_WRITE, FAULT_SYNC, FAULT_RENAME, FAULT_READ };

/* The nth call of this kind from now (1 is the next) fails with errno `err`; those after it work again. */
void faults_arm(enum fault_kind kind, unsigned nth, int err);
/* The nth call and all after it fail, like a disk that is full or a memory that is gone. */
void faults_arm_lasting(enum fault_kind kind, unsigned nth, int err);
/* The nth write or read transfers only `bytes` bytes (at least 1, if the caller asked for as many). Nothing fails. */
void faults_arm_short(enum fault_kind kind, unsigned nth, size_t bytes);
/* The nth call does not happen: the process gets SIGKILL in its place. For use in a child. */
void faults_arm_kill(enum fault_kind kind, unsigned nth);
/* All calls work again. True when the fault was met since it was armed. */
bool faults_disarm(void);
/* Calls of this kind since the last faults_arm*. */
unsigned faults_seen(enum fault_kind kind);

/*
 * Was it wiped? From now on each block that goes to free or realloc is searched for these bytes (at least 8; not copied: they
 * must stay where they are). faults_unwiped stops that and tells how many blocks still held them. Under valgrind nothing is
 * searched: it takes the unwritten rest of a block for an error.
 */
void faults_watch_free(const void *secret, size_t len);
unsigned faults_unwiped(void);

#endif
