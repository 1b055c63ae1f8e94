/* SPDX-License-Identifier: MIT */
#include <vaultfs/mount.h>

int main(int argc, char **argv)
{
    return vf_mount_main(argc, argv);
}
