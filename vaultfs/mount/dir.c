/* SPDX-License-Identifier: MIT */
#include "mount.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What changes only by delivery is believed for a day at most, and never beyond the end of the grant. */
#define TIMEOUT_MAX 86400.0

double vf_node_timeout(struct vf_session *s, const struct vf_node *node, struct vf_job *job)
{
    int64_t now;
    /* A job's folder stays until unmount; when another delivery takes its name, the watcher tells the kernel. */
    if (atomic_load(&s->leaving))
        return 0; /* what is taken back now must not be believed again */
    if (node->kind == VF_NODE_ROOT || node->kind == VF_NODE_MARKER || node->kind == VF_NODE_JOB)
        return TIMEOUT_MAX;
    if (node->kind == VF_NODE_GRANT_TXT)
        return 0; /* its text tells of the end, and its size is asked for anew */
    if (vf_slot_may(s, node->slot, job, NULL) || vf_station_time(s->station, &now, NULL))
        return 0;
    double left = (double)(vf_job_grant(job)->until_us - now) / (double)VF_SECOND_US;
    return left < 0 ? 0 : left > TIMEOUT_MAX ? TIMEOUT_MAX : left;
}

static void fill(struct vf_session *s, const struct vf_node *node, struct vf_job *job, double timeout,
                 struct fuse_entry_param *ret)
{
    *ret = (struct fuse_entry_param){.ino = vf_node_number(s, node), .attr_timeout = timeout, .entry_timeout = timeout};
    if (vf_node_stat(s, node, job, &ret->attr))
        *ret = (struct fuse_entry_param){0};
}

void vf_entry_fill(struct vf_session *s, const struct vf_node *node, struct vf_job *job, struct fuse_entry_param *ret)
{
    fill(s, node, job, vf_node_timeout(s, node, job), ret);
}

/* --------------------------------------------------------------------------------------------------- listing, in order */

#define NAME_ROOM 64
_Static_assert(VF_JOB_MAX < NAME_ROOM && VF_REF_LEN + 4 < NAME_ROOM, "every name fits");

/* One listing: reads `next` children from a position on. Positions: 1 and 2 are . and .., then the children from 3 on. */
struct listing {
    struct vf_session *s;
    struct vf_node dir;
    struct vf_job *job;
    double timeout; /* of what the job's end bounds: found once a request; negative: not yet */
};

static void put_name(char name[NAME_ROOM], const char *text)
{
    size_t len = strlen(text);
    len = len < NAME_ROOM ? len : NAME_ROOM - 1;
    memcpy(name, text, len);
    name[len] = '\0';
}

/* How long a child is believed. For all but a few kinds the answer needs the clock and the grant, and is the same. */
static double timeout_of(struct listing *l, const struct vf_node *node, struct vf_job *job)
{
    if (node->slot != l->dir.slot || node->kind == VF_NODE_GRANT_TXT || node->kind == VF_NODE_MARKER)
        return vf_node_timeout(l->s, node, job);
    if (l->timeout < 0)
        l->timeout = vf_node_timeout(l->s, node, job);
    return l->timeout;
}

/* Names in the root and in a job folder, in a fixed order; false past the last. */
static bool root_child(struct listing *l, uint64_t pos, struct vf_node *ret, char name[NAME_ROOM])
{
    if (pos < VF_MARKERS) {
        *ret = (struct vf_node){.kind = VF_NODE_MARKER, .index = (uint32_t)pos};
        put_name(name, vf_marker_names[pos]);
        return true;
    }
    pos -= VF_MARKERS;
    bool found = false;
    pthread_rwlock_rdlock(&l->s->jobs_lock);
    if (pos < l->s->nslots) {
        struct vf_slot_job *slot = l->s->slots[pos];
        *ret = (struct vf_node){.kind = VF_NODE_JOB, .slot = slot};
        put_name(name, slot->replaced ? "" : slot->name);
        found = true;
    }
    pthread_rwlock_unlock(&l->s->jobs_lock);
    return found;
}

static bool job_child(struct listing *l, uint64_t pos, struct vf_node *ret, char name[NAME_ROOM])
{
    static const struct {
        const char *name;
        unsigned kind;
    } children[] = {
        {"GRANT.txt", VF_NODE_GRANT_TXT}, {"cards.csv", VF_NODE_CARDS},       {"cards-excel.csv", VF_NODE_CARDS_EXCEL},
        {"photos", VF_NODE_PHOTOS},       {"signatures", VF_NODE_SIGNATURES}, {"records", VF_NODE_RECORDS},
    };
    if (l->s->opt->job) {
        if (pos < VF_MARKERS)
            return root_child(l, pos, ret, name);
        pos -= VF_MARKERS;
    }
    if (pos >= sizeof(children) / sizeof(children[0]))
        return false;
    *ret = (struct vf_node){.kind = children[pos].kind, .slot = l->dir.slot};
    bool there = vf_node_exists(ret, l->job) == 0;
    if (ret->kind == VF_NODE_CARDS || ret->kind == VF_NODE_CARDS_EXCEL)
        there = there && vf_cards_exist(l->s, l->job);
    /* After the end only GRANT.txt is left. */
    if (ret->kind != VF_NODE_GRANT_TXT && vf_slot_may(l->s, l->dir.slot, l->job, NULL))
        there = false;
    put_name(name, there ? children[pos].name : "");
    return true;
}

static bool record_child(struct listing *l, uint64_t pos, struct vf_node *ret, char name[NAME_ROOM])
{
    const struct vf_grant_layout *layout = vf_job_layout(l->job);
    if (pos >= layout->ntext)
        return false;
    unsigned field = layout->text_field[pos];
    *ret = (struct vf_node){.kind = VF_NODE_TEXT + field, .index = l->dir.index, .slot = l->dir.slot};
    put_name(name, vf_field_info(field)->name);
    return true;
}

static bool per_record_child(struct listing *l, uint64_t pos, struct vf_node *ret, char name[NAME_ROOM])
{
    unsigned kind = VF_NODE_RECORD;
    const char *suffix = "";
    if (l->dir.kind == VF_NODE_PHOTOS) {
        kind = VF_NODE_PHOTO;
        suffix = ".JPG";
    } else if (l->dir.kind == VF_NODE_SIGNATURES) {
        kind = VF_NODE_SIGNATURE;
        suffix = ".PNG";
    }
    if (pos >= vf_job_count(l->job))
        return false;
    *ret = (struct vf_node){.kind = kind, .index = (uint32_t)pos, .slot = l->dir.slot};
    name[0] = '\0';
    if (vf_node_exists(ret, l->job) == 0) {
        memcpy(name, vf_catalogue_ref(vf_job_catalogue(l->job), ret->index)->c, VF_REF_LEN);
        memcpy(name + VF_REF_LEN, suffix, strlen(suffix) + 1);
    }
    return true;
}

/* The child at `pos`; an empty name means that there is none at this place, go on. False: the end. */
static bool next_child(struct listing *l, uint64_t pos, struct vf_node *ret, char name[NAME_ROOM])
{
    switch (l->dir.kind) {
    case VF_NODE_ROOT:
        return root_child(l, pos, ret, name);
    case VF_NODE_JOB:
        return job_child(l, pos, ret, name);
    case VF_NODE_RECORD:
        return record_child(l, pos, ret, name);
    default:
        return per_record_child(l, pos, ret, name);
    }
}

/* A listing shows names only: . and .. carry no attributes that the kernel would take over. */
static size_t put_dots(fuse_req_t req, struct listing *l, char *buf, size_t size, uint64_t *pos, bool plus)
{
    size_t used = 0;
    for (; *pos < 2; (*pos)++) {
        const char *name = *pos == 0 ? "." : "..";
        struct stat st = {.st_ino = *pos == 0 ? vf_node_number(l->s, &l->dir) : FUSE_ROOT_ID, .st_mode = S_IFDIR};
        struct fuse_entry_param e = {.attr = st};
        off_t next = (off_t)(*pos + 1);
        size_t need = plus ? fuse_add_direntry_plus(req, buf + used, size - used, name, &e, next)
                           : fuse_add_direntry(req, buf + used, size - used, name, &st, next);
        if (need > size - used)
            break;
        used += need;
    }
    return used;
}

/* True: that was all, nothing was left to give. */
static bool list(fuse_req_t req, struct listing *l, size_t size, uint64_t pos, bool plus)
{
    VF_FREE char *buf = malloc(size ? size : 1);
    if (!buf) {
        fuse_reply_err(req, ENOMEM);
        return false;
    }
    size_t used = pos < 2 ? put_dots(req, l, buf, size, &pos, plus) : 0;
    while (pos >= 2) {
        struct vf_node node;
        char name[NAME_ROOM];
        if (!next_child(l, pos - 2, &node, name))
            break;
        pos++;
        if (name[0] == '\0')
            continue;
        size_t need;
        if (plus) {
            struct fuse_entry_param e;
            struct vf_job *job = node.slot && node.slot != l->dir.slot ? vf_slot_job_ref(node.slot) : NULL;
            fill(l->s, &node, job ? job : l->job, timeout_of(l, &node, job ? job : l->job), &e);
            if (job)
                vf_job_unref(job);
            need = fuse_add_direntry_plus(req, buf + used, size - used, name, &e, (off_t)pos);
        } else {
            struct stat st = {.st_ino = vf_node_number(l->s, &node), .st_mode = vf_node_is_dir(&node) ? S_IFDIR : S_IFREG};
            need = fuse_add_direntry(req, buf + used, size - used, name, &st, (off_t)pos);
        }
        if (need > size - used)
            break;
        used += need;
    }
    fuse_reply_buf(req, buf, used);
    return used == 0;
}

/* --------------------------------------------------------------------------------------------------------- operations */

/* The root and job folders: what they list changes by itself. */
static bool is_lasting(const struct vf_node *dir)
{
    return dir->kind != VF_NODE_ROOT && dir->kind != VF_NODE_JOB;
}

/* May this folder be opened or listed? The root and job folders always: a job that has ended shows GRANT.txt. */
static int dir_may(struct vf_session *s, const struct vf_node *dir, struct vf_job *job)
{
    if (!vf_node_is_dir(dir))
        return ENOTDIR;
    if (!is_lasting(dir))
        return atomic_load(&s->leaving) ? ENODEV : 0;
    int err = vf_slot_may(s, dir->slot, job, NULL);
    return err ? err : vf_node_exists(dir, job);
}

/* A refusal is told; that there is no such folder is not, nor that the mount is going away. */
static void tell(struct vf_session *s, fuse_req_t req, const struct vf_node *dir, struct vf_job *job, int err)
{
    struct vf_caller caller;
    if (err == 0 || err == ENOENT || err == ENOTDIR || err == ENODEV)
        return;
    vf_caller_of(fuse_req_ctx(req), &caller);
    vf_access_deny(s, dir, job, &caller, err);
}

void vf_op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct vf_session *s = fuse_req_userdata(req);
    struct vf_node dir;
    if (atomic_load(&s->listings_kept)) {
        fuse_reply_err(req, ENOSYS); /* the kernel asks once and never again, and keeps listings (listing.c) */
        return;
    }
    if (!vf_node_of(s, ino, &dir)) {
        fuse_reply_err(req, ENOENT);
        return;
    }
    struct vf_job *job = dir.slot ? vf_slot_job_ref(dir.slot) : NULL;
    int err = dir_may(s, &dir, job);
    tell(s, req, &dir, job, err);
    if (job)
        vf_job_unref(job);
    if (err)
        fuse_reply_err(req, err);
    else
        fuse_reply_open(req, fi);
}

/* Refs go out through the gate, as contents do: once it is shut and empty, what the kernel has of them is all there will be. */
static int list_granted(fuse_req_t req, struct listing *l, size_t size, uint64_t pos, bool plus)
{
    struct vf_slot_job *slot = l->dir.slot;
    if (!vf_end_gate_enter(&slot->gate))
        return vf_gate_errno(l->s, slot, l->job);
    (void)list(req, l, size, pos, plus);
    vf_end_gate_leave(&slot->gate);
    return 0;
}

static void read_dir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, bool plus)
{
    struct listing l = {.s = fuse_req_userdata(req), .timeout = -1};
    if (!vf_node_of(l.s, ino, &l.dir)) {
        fuse_reply_err(req, ENOENT);
        return;
    }
    uint64_t pos = off < 0 ? 0 : (uint64_t)off;
    bool kept = atomic_load(&l.s->listings_kept);
    if (kept)
        vf_listing_given(&l.dir);
    l.job = l.dir.slot ? vf_slot_job_ref(l.dir.slot) : NULL;
    int err = dir_may(l.s, &l.dir, l.job);
    if (!err && is_lasting(&l.dir))
        err = list_granted(req, &l, size, pos, plus);
    else if (!err && list(req, &l, size, pos, plus) && kept)
        vf_listings_drop(l.s, l.dir.slot, VF_DROP_JOB);
    tell(l.s, req, &l.dir, l.job, err);
    if (err)
        fuse_reply_err(req, err);
    if (l.job)
        vf_job_unref(l.job);
}

void vf_op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
    (void)fi;
    read_dir(req, ino, size, off, false);
}

void vf_op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
    (void)fi;
    read_dir(req, ino, size, off, true);
}
