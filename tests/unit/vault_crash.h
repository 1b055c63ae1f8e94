/* SPDX-License-Identifier: MIT */
/*
 * What the tests of killed and refused operations share: operations on a copy of a vault, in a child; the system calls of this program
 * caught by functions of the same name, LMDB's among them; and a look at what is left.
 */
#ifndef VAULTFS_TESTS_VAULT_CRASH_H
#define VAULTFS_TESTS_VAULT_CRASH_H

#include "vault_test.h"

extern struct place crash_base; /* a vault to begin with, and what the operations need */
extern struct place crash_now;  /* a copy of it, being worked on */

int crash_group_set_up(void **state);
int crash_group_tear_down(void **state);
int crash_begin(void **state);
int crash_end(void **state);

void crash_remove_all(const char *path);
void crash_copy_base(void);
/* What is in a vault, as text, malloc'ed. Refs are random and left out. */
char *crash_dump(const struct place *p);

/* These report what fails, since here anything may. crash_op_install: the policy file waits in the base. */
enum vf_err crash_op_import(void);
enum vf_err crash_op_set(void);
enum vf_err crash_op_erase(void);
enum vf_err crash_op_settings(void);
enum vf_err crash_op_install(void);
enum vf_err crash_op_create(void);
enum vf_err crash_op_restore(void);

/* Run `op` in a child, where the nth call, or with ENOMEM the nth allocation, fails. *ret_met: there was one. */
void crash_run_refused(enum vf_err (*op)(void), unsigned n, int err, bool *ret_met);
/* Run `op` in a child that dies behind call n (0: at `us` microseconds from now, or not at all). True: it was killed. */
bool crash_run_killed(enum vf_err (*op)(void), unsigned n, long us);
/* Run `op` in a child, meanwhile; it exits with 0 when that succeeds. */
pid_t crash_start(enum vf_err (*op)(void));
/* Another process has the vault open meanwhile: LMDB's lock file then lives on, with a dead writer's traces in it. */
pid_t crash_start_reader(int *ret_fd);
void crash_stop_reader(pid_t pid, int fd);

struct crash_seen {
    unsigned runs, before, after;
};
/* The vault as it was or as it was to be; everything in it sound; nothing left over. */
void crash_look(const char *before, const char *after, struct crash_seen *seen);

#endif
