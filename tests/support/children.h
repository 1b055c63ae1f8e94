/* SPDX-License-Identifier: MIT */
#ifndef VAULTFS_TESTS_CHILDREN_H
#define VAULTFS_TESTS_CHILDREN_H

#include <stdio.h>
#include <sys/types.h>
#include <unistd.h>

/* Processes that this thread has made and that are still there, at most `max`. */
static inline size_t children(pid_t *ret, size_t max)
{
    char path[64];
    size_t n = 0;
    int pid = 0;

    (void)snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)gettid());
    FILE *f = fopen(path, "r");
    while (f != NULL && n < max && fscanf(f, "%d", &pid) == 1)
        ret[n++] = pid;
    if (f != NULL)
        (void)fclose(f);
    return n;
}

#endif
