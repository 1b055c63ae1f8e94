/* SPDX-License-Identifier: MIT */
/*
 * report: evidence for people. What a breach exposed, officer by officer, and one page to look at. Needs no key: names come in only where an
 * admin turns refs into them.
 */
#ifndef VAULTFS_REPORT_H
#define VAULTFS_REPORT_H

#include <vaultfs/grant.h>

#endif
