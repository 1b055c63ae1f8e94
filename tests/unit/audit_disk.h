/* SPDX-License-Identifier: MIT */
/*
 * A disk that forgets. A program that links audit_disk.c has its own pwrite, ftruncate, fdatasync, fsync, renameat2 and unlinkat before
 * those of libc. Armed, they keep what is durable beside what is visible: a write is durable when its file was synced after it, a name
 * when its folder was. A sync that fails forgets what was to be written, as the kernel does: later syncs succeed without it, until those
 * bytes are written again. At the nth call the process ends, and the files are left as `mode` says.
 */
#ifndef VAULTFS_TESTS_AUDIT_DISK_H
#define VAULTFS_TESTS_AUDIT_DISK_H

#include <stdbool.h>
#include <stdint.h>

enum disk_mode {
    DISK_KILL, /* the process dies: all that was done stays visible (durable or not is carried over to the next process) */
    DISK_HALF, /* the same, and half of the write that was under way is done */
    DISK_LOST, /* the power fails: nothing is there that was not durable */
    DISK_TORN, /* and some is: sectors of what was overwritten, beginnings of what was appended, with zeroes in it; renames or not */
    DISK_MODES
};

#define DISK_DIED 99 /* exit status of a process that ended so */

struct disk_plan {
    unsigned die_at; /* the nth call that changes the disk, from 1; 0: never */
    enum disk_mode mode;
    uint32_t seed;    /* of what TORN does */
    unsigned fail_at; /* the nth sync fails with EIO; 0: none does */
    bool lose_at_end; /* the power fails when disk_end is called (LOST) */
};

/*
 * In the child: from now on. `side` is a folder outside the one under test that carries what is not durable from a killed process to the
 * next one; empty it to begin anew. `on_checkpoint` gets all that is written to a file of that name.
 */
void disk_arm(const struct disk_plan *plan, const char *side, void (*on_checkpoint)(const void *data, unsigned long len));
/* In the child, at its end: leaves the disk as after a kill, or after a loss of power. */
void disk_end(void);

#endif
