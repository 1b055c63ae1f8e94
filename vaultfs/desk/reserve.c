/* SPDX-License-Identifier: MIT */
/*
 * A full disk must not stop what takes away. STORE/reserve holds some room, and is given up when there is none left, so that tombstones,
 * entries and revocations find some; the tick makes it again later. What stations send stops long before that.
 */
#include "desk_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define RESERVE_LEN (INT64_C(1) << 20)
#define FLOOR_MAX   (UINT64_C(64) << 20)
#define FLOOR_PART  20 /* of the disk, if that is less */

bool vf_desk_has_room(const struct vf_desk *d, uint64_t more)
{
    struct statvfs s;

    if (statvfs(d->path, &s) != 0)
        return true; /* then the writing itself says so */
    uint64_t unit = s.f_frsize, all = unit * s.f_blocks, left = unit * s.f_bavail;
    uint64_t floor = all / FLOOR_PART < FLOOR_MAX ? all / FLOOR_PART : FLOOR_MAX;
    return left >= floor && left - floor >= more;
}

static int reserve_open(const struct vf_desk *d, int flags)
{
    VF_FREE char *path = vf_path_join(d->path, "reserve");
    return path != NULL ? open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | flags, 0600) : -1;
}

void vf_desk_reserve_give(const struct vf_desk *d)
{
    VF_FD fd = reserve_open(d, 0);
    int ignored = fd >= 0 ? ftruncate(fd, 0) : 0;

    (void)ignored; /* it cannot take room away */
}

void vf_desk_reserve_make(const struct vf_desk *d)
{
    struct stat st;
    VF_FD fd = reserve_open(d, O_CREAT);

    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size >= RESERVE_LEN)
        return;
    if (vf_desk_has_room(d, RESERVE_LEN) && fallocate(fd, 0, 0, RESERVE_LEN) != 0)
        vf_desk_reserve_give(d); /* of a filesystem that cannot: no reserve */
}
