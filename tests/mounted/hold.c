/* SPDX-License-Identifier: MIT */
/*
 * A program that holds up whoever needs the folder's page: it lists FOLDER into memory that never comes (userfaultfd), so that the kernel stays in the middle
 * of copying names to it. Says "held" just before, and waits to be killed. Exit status 77: this user may not do that.
 */
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ROOM 65536

int main(int argc, char **argv)
{
    struct uffdio_api api = {.api = UFFD_API};
    int folder = argc == 2 ? open(argv[1], O_RDONLY | O_DIRECTORY) : -1;
    void *room = mmap(NULL, ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (folder < 0 || room == MAP_FAILED)
        return 1;
    int fault = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
    struct uffdio_register range = {.range = {.start = (uint64_t)(uintptr_t)room, .len = ROOM},
                                    .mode = UFFDIO_REGISTER_MODE_MISSING};
    if (fault < 0 || ioctl(fault, UFFDIO_API, &api) || ioctl(fault, UFFDIO_REGISTER, &range))
        return 77;
    (void)puts("held");
    (void)fflush(stdout);
    (void)syscall(SYS_getdents64, folder, room, ROOM);
    return 1; /* the memory came after all */
}
