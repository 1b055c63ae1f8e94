/* SPDX-License-Identifier: MIT */
#include "vaultfs/base.h"

#include <sched.h>

/* Not those of the machine: a container, taskset or a unit's AllowedCPUs= may leave fewer. */
unsigned vf_processors(void)
{
    cpu_set_t set;

    return sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0 ? (unsigned)CPU_COUNT(&set) : 1;
}
