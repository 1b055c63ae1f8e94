/* SPDX-License-Identifier: MIT */
/*
 * mount: the FUSE daemon. The only room that includes fuse. Everything else in it is internal (vaultfs/mount/).
 */
#ifndef VAULTFS_MOUNT_H
#define VAULTFS_MOUNT_H

#include <vaultfs/station.h>

/* The whole program `vaultfs`, from its arguments to its exit status. */
VF_PUBLIC int vf_mount_main(int argc, char **argv);

#endif
