/* SPDX-License-Identifier: MIT */
/*
 * Inode numbers are computed, never stored: slot number (24 bits) << 40 | kind (8 bits) << 32 | record index. So forget is a no-op, and
 * a number means the same after every mount of the same delivery.
 */
#include "mount.h"

#include <errno.h>
#include <string.h>

const char *const vf_marker_names[VF_MARKERS] = {".nomedia", ".trackerignore", ".metadata_never_index"};

uint64_t vf_node_ino(const struct vf_slot_job *slot, unsigned kind, uint32_t index)
{
    return (uint64_t)(slot ? slot->number : 0) << 40 | (uint64_t)kind << 32 | index;
}

uint64_t vf_node_number(struct vf_session *s, const struct vf_node *node)
{
    if (node->kind == VF_NODE_ROOT || (s->opt->job && node->kind == VF_NODE_JOB))
        return FUSE_ROOT_ID;
    return vf_node_ino(node->slot, node->kind, node->index);
}

bool vf_node_of(struct vf_session *s, fuse_ino_t ino, struct vf_node *ret)
{
    if (ino == FUSE_ROOT_ID) {
        *ret = (struct vf_node){.kind = VF_NODE_ROOT};
        if (s->opt->job) {
            struct vf_slot_job *slot = vf_slot_by_name(s, s->opt->job);
            if (!slot)
                return false;
            *ret = (struct vf_node){.kind = VF_NODE_JOB, .slot = slot};
        }
        return true;
    }
    uint32_t number = (uint32_t)(ino >> 40);
    *ret = (struct vf_node){.kind = (unsigned)(ino >> 32 & 0xff), .index = (uint32_t)ino};
    if (ret->kind == VF_NODE_MARKER)
        return number == 0 && ret->index < VF_MARKERS;
    if (ret->kind < VF_NODE_JOB || ret->kind == VF_NODE_ROOT || number == 0)
        return false;
    ret->slot = vf_slot_by_number(s, number);
    return ret->slot != NULL;
}

enum vf_part vf_node_part(const struct vf_node *node)
{
    return node->kind == VF_NODE_PHOTO || node->kind == VF_NODE_SIGNATURE ? VF_PART_IMAGE : VF_PART_TEXT;
}

bool vf_node_is_dir(const struct vf_node *node)
{
    return node->kind == VF_NODE_ROOT || node->kind == VF_NODE_JOB || node->kind == VF_NODE_PHOTOS ||
           node->kind == VF_NODE_SIGNATURES || node->kind == VF_NODE_RECORDS || node->kind == VF_NODE_RECORD;
}

static bool granted(const struct vf_job *job, unsigned field)
{
    return (vf_job_grant(job)->fields & VF_FIELD_BIT(field)) != 0;
}

int vf_node_exists(const struct vf_node *node, struct vf_job *job)
{
    if (!node->slot)
        return 0;
    const struct vf_grant_layout *layout = vf_job_layout(job);
    struct vf_job_item item = {0};
    bool per_record = node->kind == VF_NODE_RECORD || node->kind == VF_NODE_PHOTO || node->kind == VF_NODE_SIGNATURE ||
                      node->kind >= VF_NODE_TEXT;
    if (per_record) {
        if (node->index >= vf_job_count(job))
            return ENOENT;
        vf_job_item_get(job, node->index, &item);
    } else if (node->index != 0) {
        return ENOENT;
    }
    bool there;
    switch (node->kind) {
    case VF_NODE_JOB:
    case VF_NODE_GRANT_TXT:
        there = true;
        break;
    case VF_NODE_CARDS:
    case VF_NODE_CARDS_EXCEL:
    case VF_NODE_RECORDS:
        there = layout->ntext > 0;
        break;
    case VF_NODE_PHOTOS:
        there = granted(job, VF_FIELD_PHOTO);
        break;
    case VF_NODE_SIGNATURES:
        there = granted(job, VF_FIELD_SIGNATURE);
        break;
    case VF_NODE_RECORD:
        there = layout->ntext > 0;
        break;
    case VF_NODE_PHOTO:
        there = granted(job, VF_FIELD_PHOTO) && item.photo;
        break;
    case VF_NODE_SIGNATURE:
        there = granted(job, VF_FIELD_SIGNATURE) && item.signature;
        break;
    default: {
        unsigned field = node->kind - VF_NODE_TEXT;
        there = field < VF_FIELD_COUNT && vf_field_info(field) && !vf_field_is_image(field) && granted(job, field);
        break;
    }
    }
    return there ? 0 : ENOENT;
}

/* "REF" or "REF" with `suffix` -> the record's index. */
static bool parse_ref_name(struct vf_job *job, const char *name, const char *suffix, uint32_t *ret)
{
    size_t len = strlen(name), tail = strlen(suffix);
    struct vf_ref ref;
    if (len != VF_REF_LEN + tail || memcmp(name + VF_REF_LEN, suffix, tail) != 0 || !vf_ref_parse(name, VF_REF_LEN, &ref))
        return false;
    const struct vf_catalogue *c = vf_job_catalogue(job);
    return c && vf_catalogue_find(c, &ref, ret);
}

static bool child_of_job(const char *name, struct vf_node *ret)
{
    static const struct {
        const char *name;
        unsigned kind;
    } children[] = {
        {"GRANT.txt", VF_NODE_GRANT_TXT}, {"cards.csv", VF_NODE_CARDS},       {"cards-excel.csv", VF_NODE_CARDS_EXCEL},
        {"photos", VF_NODE_PHOTOS},       {"signatures", VF_NODE_SIGNATURES}, {"records", VF_NODE_RECORDS},
    };
    for (size_t i = 0; i < sizeof(children) / sizeof(children[0]); i++) {
        if (strcmp(name, children[i].name) == 0) {
            ret->kind = children[i].kind;
            return true;
        }
    }
    return false;
}

static bool find_marker(const char *name, struct vf_node *ret)
{
    for (uint32_t i = 0; i < VF_MARKERS; i++) {
        if (strcmp(name, vf_marker_names[i]) == 0) {
            *ret = (struct vf_node){.kind = VF_NODE_MARKER, .index = i};
            return true;
        }
    }
    return false;
}

static int child_in_slot(struct vf_session *s, const struct vf_node *dir, const char *name, struct vf_job *job,
                         struct vf_node *ret)
{
    *ret = (struct vf_node){.slot = dir->slot};
    if (dir->kind == VF_NODE_JOB) {
        if (s->opt->job && find_marker(name, ret))
            return 0;
        if (!child_of_job(name, ret))
            return ENOENT;
        if (ret->kind == VF_NODE_GRANT_TXT)
            return 0;
    }
    /* GRANT.txt and the markers are for ever; all else only while the grant lives. A name is looked at only then. */
    int err = vf_slot_may(s, dir->slot, job, NULL);
    if (err)
        return err;
    switch (dir->kind) {
    case VF_NODE_JOB:
        if (ret->kind == VF_NODE_CARDS || ret->kind == VF_NODE_CARDS_EXCEL)
            return vf_cards_exist(s, job) ? 0 : ENOENT;
        break;
    case VF_NODE_PHOTOS:
        ret->kind = VF_NODE_PHOTO;
        if (!parse_ref_name(job, name, ".JPG", &ret->index))
            return ENOENT;
        break;
    case VF_NODE_SIGNATURES:
        ret->kind = VF_NODE_SIGNATURE;
        if (!parse_ref_name(job, name, ".PNG", &ret->index))
            return ENOENT;
        break;
    case VF_NODE_RECORDS:
        ret->kind = VF_NODE_RECORD;
        if (!parse_ref_name(job, name, "", &ret->index))
            return ENOENT;
        break;
    case VF_NODE_RECORD: {
        enum vf_field field = vf_field_by_name(name, strlen(name));
        if (field == VF_FIELD_NONE)
            return ENOENT;
        ret->kind = VF_NODE_TEXT + (unsigned)field;
        ret->index = dir->index;
        break;
    }
    default:
        return ENOTDIR;
    }
    return vf_node_exists(ret, job);
}

int vf_node_child(struct vf_session *s, const struct vf_node *dir, const char *name, struct vf_node *ret)
{
    if (!vf_node_is_dir(dir))
        return ENOTDIR;
    if (dir->kind == VF_NODE_ROOT) {
        if (find_marker(name, ret))
            return 0;
        struct vf_slot_job *slot = vf_slot_by_name(s, name);
        *ret = (struct vf_node){.kind = VF_NODE_JOB, .slot = slot};
        return slot ? 0 : ENOENT;
    }
    struct vf_job *job = vf_slot_job_ref(dir->slot);
    int err = child_in_slot(s, dir, name, job, ret);
    vf_job_unref(job);
    return err;
}

static uint64_t content_size(struct vf_session *s, const struct vf_node *node, struct vf_job *job)
{
    const struct vf_catalogue *c = vf_job_catalogue(job);
    switch (node->kind) {
    case VF_NODE_CARDS:
    case VF_NODE_CARDS_EXCEL: {
        struct vf_cards *cards = vf_slot_cards_ref(node->slot);
        uint64_t size = cards ? vf_cards_size(cards, node->kind == VF_NODE_CARDS_EXCEL) : 0;
        vf_cards_unref(cards);
        return size;
    }
    case VF_NODE_GRANT_TXT: {
        VF_BUF text;
        vf_buf_init(&text, 65536);
        vf_grant_txt(s, node->slot, job, &text);
        return text.len;
    }
    case VF_NODE_PHOTO:
        return c ? vf_catalogue_len(c, node->index, VF_FIELD_PHOTO) : 0;
    case VF_NODE_SIGNATURE:
        return c ? vf_catalogue_len(c, node->index, VF_FIELD_SIGNATURE) : 0;
    default:
        return c ? (uint64_t)vf_catalogue_len(c, node->index, node->kind - VF_NODE_TEXT) + 1 : 0;
    }
}

static void set_times(struct stat *st, int64_t us, unsigned changes)
{
    int64_t ns = us % VF_SECOND_US * 1000 + changes;
    struct timespec t = {.tv_sec = us / VF_SECOND_US + ns / 1000000000, .tv_nsec = ns % 1000000000};
    st->st_mtim = st->st_ctim = st->st_atim = t;
}

int vf_node_stat(struct vf_session *s, const struct vf_node *node, struct vf_job *job, struct stat *ret)
{
    bool dir = vf_node_is_dir(node);
    unsigned changes = dir ? atomic_load(&s->changes) : 0; /* by which the kernel sees that a listing is old */
    *ret = (struct stat){
        .st_ino = vf_node_number(s, node),
        .st_mode = dir ? S_IFDIR | 0550 : S_IFREG | 0440,
        .st_nlink = dir ? 2 : 1,
        .st_uid = s->opt->uid,
        .st_gid = s->opt->gid,
        .st_blksize = 4096,
    };
    if (node->kind == VF_NODE_ROOT || node->kind == VF_NODE_MARKER) {
        set_times(ret, s->started_us, changes);
        return 0;
    }
    set_times(ret, node->slot->changed_us, changes);
    if (node->kind == VF_NODE_GRANT_TXT)
        set_times(ret, vf_job_grant(job)->issued_us, 0);
    if (node->kind == VF_NODE_RECORD || node->kind == VF_NODE_PHOTO || node->kind == VF_NODE_SIGNATURE ||
        node->kind >= VF_NODE_TEXT) {
        struct vf_job_item item;
        if (node->index >= vf_job_count(job))
            return ENOENT;
        vf_job_item_get(job, node->index, &item);
        set_times(ret, item.changed_us, 0);
    }
    if (!dir) {
        ret->st_size = (off_t)content_size(s, node, job);
        ret->st_blocks = (ret->st_size + 511) / 512;
    }
    return 0;
}
