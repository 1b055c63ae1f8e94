/* SPDX-License-Identifier: MIT */
/*
 * Of the daemon whose clock a file sets: what it stores in the page cache comes late, as long as the file named by VAULTFS_TEST_LATE is there.
 */
#include <fuse_lowlevel.h>
#include <stdlib.h>
#include <unistd.h>

int __real_fuse_lowlevel_notify_store(struct fuse_session *se, fuse_ino_t ino, off_t offset, struct fuse_bufvec *bufv,
                                      enum fuse_buf_copy_flags flags);
int __wrap_fuse_lowlevel_notify_store(struct fuse_session *se, fuse_ino_t ino, off_t offset, struct fuse_bufvec *bufv,
                                      enum fuse_buf_copy_flags flags);

int __wrap_fuse_lowlevel_notify_store(struct fuse_session *se, fuse_ino_t ino, off_t offset, struct fuse_bufvec *bufv,
                                      enum fuse_buf_copy_flags flags)
{
    const char *file = getenv("VAULTFS_TEST_LATE");
    while (file && access(file, F_OK) == 0)
        (void)usleep(10000);
    return __real_fuse_lowlevel_notify_store(se, ino, offset, bufv, flags);
}
