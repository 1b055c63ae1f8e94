/* SPDX-License-Identifier: MIT */
/* A daemon that never tells the kernel to forget: what the tests of the end of a grant must be able to see. */
#include <fuse_lowlevel.h>

int __wrap_fuse_lowlevel_notify_inval_inode(struct fuse_session *se, fuse_ino_t ino, off_t off, off_t len);
int __wrap_fuse_lowlevel_notify_inval_entry(struct fuse_session *se, fuse_ino_t parent, const char *name, size_t namelen);

int __wrap_fuse_lowlevel_notify_inval_inode(struct fuse_session *se, fuse_ino_t ino, off_t off, off_t len)
{
    (void)se;
    (void)ino;
    (void)off;
    (void)len;
    return 0;
}

int __wrap_fuse_lowlevel_notify_inval_entry(struct fuse_session *se, fuse_ino_t parent, const char *name, size_t namelen)
{
    (void)se;
    (void)parent;
    (void)name;
    (void)namelen;
    return 0;
}
