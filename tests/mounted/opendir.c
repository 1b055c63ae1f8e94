/* SPDX-License-Identifier: MIT */
/* A daemon on a kernel that knows no refusal of OPENDIR for good: what such a one does not offer is taken out of its greeting. */
#include <fuse_lowlevel.h>
#include <stddef.h>

struct fuse_session *__real_fuse_session_new(struct fuse_args *args, const struct fuse_lowlevel_ops *op, size_t op_size,
                                             void *userdata);
struct fuse_session *__wrap_fuse_session_new(struct fuse_args *args, const struct fuse_lowlevel_ops *op, size_t op_size,
                                             void *userdata);

static struct fuse_lowlevel_ops ops;
static void (*real_init)(void *userdata, struct fuse_conn_info *conn);

static void init(void *userdata, struct fuse_conn_info *conn)
{
    conn->capable &= ~(unsigned)FUSE_CAP_NO_OPENDIR_SUPPORT;
    conn->want &= conn->capable;
    real_init(userdata, conn);
}

struct fuse_session *__wrap_fuse_session_new(struct fuse_args *args, const struct fuse_lowlevel_ops *op, size_t op_size,
                                             void *userdata)
{
    ops = *op;
    real_init = ops.init;
    ops.init = init;
    return __real_fuse_session_new(args, &ops, op_size, userdata);
}
