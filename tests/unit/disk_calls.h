/* SPDX-License-Identifier: MIT */
/*
 * What goes to the disk, caught by functions of the same name in the test program, those that LMDB calls among them: to die behind the nth,
 * or to have it refused. For use in a child; its own children are not meant. One at a time, all threads count together.
 */
#ifndef VAULTFS_TESTS_DISK_CALLS_H
#define VAULTFS_TESTS_DISK_CALLS_H

/* Count from here. SIGKILL once the nth call is done and before anything is made of it; 0: never. */
void disk_calls_kill(unsigned nth);
/* The nth call is not made and fails with `err`; 0: none. */
void disk_calls_refuse(unsigned nth, int err);
/* All go through again; how many there were. */
unsigned disk_calls_done(void);

#endif
