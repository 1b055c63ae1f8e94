/* SPDX-License-Identifier: MIT */
#include "mount.h"

#include <errno.h>
#include <string.h>
#include <sys/statvfs.h>

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
    struct vf_session *s = userdata;
    conn->want |= conn->capable & (FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_READDIRPLUS | FUSE_CAP_ASYNC_READ);
    /* Contents never change under an inode number; attributes cost nothing here, so every listing carries them. */
    conn->want &= ~(unsigned)(FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_READDIRPLUS_AUTO);
    /* Listings may be kept where they are bounded like attributes (listing.c). */
    const unsigned both = FUSE_CAP_NO_OPENDIR_SUPPORT | FUSE_CAP_AUTO_INVAL_DATA;
    if ((conn->capable & both) == both) {
        conn->want |= FUSE_CAP_AUTO_INVAL_DATA;
        atomic_store(&s->listings_kept, true);
    }
    conn->max_read = VF_READ_MAX; /* the mount option says the same */
    conn->max_background = 64;
    conn->congestion_threshold = 48;
    vf_daemon_ready(&s->ready_fd, 0);
}

static void deny(struct vf_session *s, fuse_req_t req, const struct vf_node *node, int err)
{
    struct vf_caller caller;
    struct vf_job *job = vf_slot_job_ref(node->slot);
    vf_caller_of(fuse_req_ctx(req), &caller);
    vf_access_deny(s, node, job, &caller, err);
    vf_job_unref(job);
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct vf_session *s = fuse_req_userdata(req);
    struct vf_node dir, node;
    int err = vf_node_of(s, parent, &dir) ? 0 : ENOENT;
    if (!err)
        err = vf_node_child(s, &dir, name, &node);
    if (err) {
        /* A refusal is told, a name that does not exist is not: it could be anybody's. */
        if (err != ENOENT && err != ENOTDIR)
            deny(s, req, &dir, err);
        fuse_reply_err(req, err);
        return;
    }
    struct fuse_entry_param e;
    struct vf_job *job = node.slot ? vf_slot_job_ref(node.slot) : NULL;
    vf_entry_fill(s, &node, job, &e);
    if (job)
        vf_job_unref(job);
    if (e.ino == 0)
        fuse_reply_err(req, ENOENT);
    else
        fuse_reply_entry(req, &e);
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
    (void)ino;
    (void)nlookup;
    fuse_reply_none(req); /* inode numbers are computed: nothing is counted */
}

static void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
    (void)count;
    (void)forgets;
    fuse_reply_none(req);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct vf_session *s = fuse_req_userdata(req);
    struct vf_node node;
    struct stat st;
    (void)fi;
    if (!vf_node_of(s, ino, &node)) {
        fuse_reply_err(req, ENOENT);
        return;
    }
    struct vf_job *job = node.slot ? vf_slot_job_ref(node.slot) : NULL;
    int err = vf_node_exists(&node, job);
    if (!err && node.slot && node.kind != VF_NODE_JOB && node.kind != VF_NODE_GRANT_TXT)
        err = vf_slot_may(s, node.slot, job, NULL);
    if (!err)
        err = vf_node_stat(s, &node, job, &st);
    double timeout = err ? 0 : vf_node_timeout(s, &node, job);
    if (node.slot && err && err != ENOENT)
        deny(s, req, &node, err);
    if (job)
        vf_job_unref(job);
    if (err)
        fuse_reply_err(req, err);
    else
        fuse_reply_attr(req, &st, timeout);
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
    struct vf_session *s = fuse_req_userdata(req);
    struct statvfs st = {.f_bsize = 4096, .f_frsize = 4096, .f_namemax = 64, .f_flag = ST_RDONLY};
    (void)ino;
    pthread_rwlock_rdlock(&s->jobs_lock);
    for (size_t i = 0; i < s->nslots; i++) {
        struct vf_job *job = vf_slot_job_ref(s->slots[i]);
        st.f_files += vf_job_count(job);
        vf_job_unref(job);
    }
    pthread_rwlock_unlock(&s->jobs_lock);
    fuse_reply_statfs(req, &st);
}

static void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
    (void)ino;
    (void)name;
    (void)size;
    fuse_reply_err(req, ENOSYS); /* the kernel asks once and never again */
}

static void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
    (void)ino;
    (void)size;
    fuse_reply_err(req, ENOSYS);
}

const struct fuse_lowlevel_ops vf_mount_ops = {
    .init = op_init,
    .lookup = op_lookup,
    .forget = op_forget,
    .forget_multi = op_forget_multi,
    .getattr = op_getattr,
    .open = vf_op_open,
    .read = vf_op_read,
    .release = vf_op_release,
    .opendir = vf_op_opendir,
    .readdir = vf_op_readdir,
    .readdirplus = vf_op_readdirplus,
    .statfs = op_statfs,
    .getxattr = op_getxattr,
    .listxattr = op_listxattr,
};
