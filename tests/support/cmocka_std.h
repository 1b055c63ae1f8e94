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

#endif
