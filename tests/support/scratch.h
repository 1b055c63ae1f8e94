/* SPDX-License-Identifier: MIT */
/* A folder of its own for a test, under $TMPDIR or /tmp. Failures abort: without a place to write there is nothing to test. */
#ifndef VAULTFS_TESTS_SCRATCH_H
#define VAULTFS_TESTS_SCRATCH_H

#include <stddef.h>

struct scratch {
    char path[256];
};

void scratch_make(struct scratch *s);
/* Remove it with everything in it; never follows a link out of it. Idempotent. */
void scratch_remove(struct scratch *s);
/* "path/name" in `out`. Returns `out`. */
char *scratch_path(const struct scratch *s, const char *name, char *out, size_t size);
/* One bit of the file is another: in the byte so far before its end. */
void scratch_damage(const char *path, long back);
/* Names in the folder `path`, without "." and "..". */
unsigned scratch_count(const char *path);

#endif
