/* SPDX-License-Identifier: MIT */
/* cmocka wants these before it, in this order. Include this header last. */
#ifndef VAULTFS_TESTS_CMOCKA_STD_H
#define VAULTFS_TESTS_CMOCKA_STD_H

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <stdlib.h>

/* For loops over every byte of something: 1, or `slow` under valgrind, where each step takes thirty times as long. */
static inline size_t test_step(size_t slow)
{
    return getenv("VAULTFS_VALGRIND") == NULL ? 1 : slow;
}

#endif
