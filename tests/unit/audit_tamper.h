/* SPDX-License-Identifier: MIT */
/* A sealed log to tamper with, and the tools for it. Every test begins with the log as it was. */
#ifndef VAULTFS_TESTS_AUDIT_TAMPER_H
#define VAULTFS_TESTS_AUDIT_TAMPER_H

#include "audit_test.h"

#define SEALS 6u /* of 8 entries each, the last a seal entry */
#define TOTAL (8 * SEALS)

struct file {
    char *data;
    size_t len;
};

extern struct audit_place place;
extern char entries_path[400], checkpoints_path[400], origin_path[400];
extern struct vf_verdict v;
extern struct file entries, checkpoints, origin; /* what the folder held before it was tampered with */

int tamper_set_up(void **state);
int tamper_tear_down(void **state);
int tamper_again(void **state); /* set-up of each test */

struct file load(const char *path);
void restore(void);
void paths(const struct audit_place *p);                              /* let the three paths be those of another log */
void fill(const struct audit_place *p, unsigned seals, unsigned per); /* entries, and a seal behind each `per` */

/* The log is bad, and one finding says this; or it is good. */
void found(const char *words);
void found_fmt(const char *fmt, ...) VF_PRINTF(1, 2);
void is_good(void);

size_t line_at(const struct file *f, unsigned i);   /* where line i begins; i == number of lines: the end */
size_t record_at(const struct file *f, unsigned k); /* the same for checkpoint k, from 0 */
size_t checkpoint_at(unsigned k);                   /* of `checkpoints` */

/* A file of pieces of another: from, to, from, to ... */
void write_pieces(const char *path, const struct file *f, const size_t *ranges, size_t n);
#define PIECES(path, f, ...) \
    write_pieces(path, f, (const size_t[]){__VA_ARGS__}, sizeof((const size_t[]){__VA_ARGS__}) / (2 * sizeof(size_t)))

#endif
