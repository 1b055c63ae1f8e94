/* SPDX-License-Identifier: MIT */
/*
 * The other end of base's clock seam: a clock that a test sets. Link with fake_clock_dep in place of clock_dep.
 *
 * It starts frozen at noon of 21 November 2026, one hour after boot. Only what these functions say moves it.
 *
 * A program under test that runs in a process of its own is steered through a file: when $VAULTFS_TEST_CLOCK names one, it holds
 * three native-endian int64 values, read anew at each call: microseconds to add to the real wall clock, microseconds to add to
 * the real boot clock, and a number that makes another boot id (0: the real one). Such a program must never be installed.
 */
#ifndef VAULTFS_TESTS_FAKECLOCK_H
#define VAULTFS_TESTS_FAKECLOCK_H

#include <stdint.h>

#define FAKE_CLOCK_START_US INT64_C(1795262400000000) /* 2026-11-21T12:00:00Z */

void fake_clock_set(int64_t wall_us, int64_t boot_us);
/* Time passes: both clocks move on by `us`. */
void fake_clock_pass(int64_t us);
/* Somebody sets the wall clock: it steps by `us` (either way), the boot clock does not. */
void fake_clock_step(int64_t us);
/* The machine starts anew: another boot id, boot clock near zero; the wall clock has moved on by `us`. */
void fake_clock_reboot(int64_t us);

#endif
