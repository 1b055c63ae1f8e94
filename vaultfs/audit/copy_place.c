/* SPDX-License-Identifier: MIT */
/*
 * What is remembered of a copy: where it was verified up to. It is a cache, written without a flush, that nobody has signed: so it is believed
 * only as far as the copy itself confirms it, and when a crash or another hand has spoilt it, the copy is verified from its beginning.
 * One that is further than the copy says that the copy has lost something: it is written when what it speaks of is on the disk.
 */
#include "copy.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TYPE    "VFCOPIED"
#define VERSION 1
#define FIXED   (8 + 4 + 32 + 7 * 8 + 2 * 32)
#define EDGES   41 /* of VF_ENTRY_SEQ_MAX + 1 entries */
_Static_assert(FIXED + EDGES * VF_HASH_LEN + VF_HASH_LEN <= VF_COPY_PLACE_LEN, "a place fits into its slot");

size_t vf_copy_place_encode(const struct vf_hash *id, const struct vf_verify_place *p, uint8_t out[VF_COPY_PLACE_LEN])
{
    const uint64_t numbers[] = {p->checkpoints, p->cp_at, p->cp_end, p->seg_first, p->line_at, p->seg_at, p->tree.size};
    struct vf_hash sum;
    uint8_t *at = out;

    memset(out, 0, VF_COPY_PLACE_LEN);
    memcpy(at, TYPE, 8);
    vf_put_be32(at + 8, VERSION);
    memcpy(at + 12, id->b, sizeof(id->b));
    at += 44;
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++, at += 8)
        vf_put_be64(at, numbers[i]);
    memcpy(at, p->leaf.b, VF_HASH_LEN);
    memcpy(at + VF_HASH_LEN, p->note.b, VF_HASH_LEN);
    at += 2 * VF_HASH_LEN;
    for (unsigned i = 0; i < EDGES; i++) {
        if ((p->tree.size >> i & 1) == 0)
            continue;
        memcpy(at, p->tree.edge[i].b, VF_HASH_LEN);
        at += VF_HASH_LEN;
    }
    vf_sha256(out, (size_t)(at - out), &sum);
    memcpy(at, sum.b, sizeof(sum.b));
    return (size_t)(at - out) + sizeof(sum.b);
}

bool vf_copy_place_decode(const uint8_t in[VF_COPY_PLACE_LEN], const struct vf_hash *id, struct vf_verify_place *ret)
{
    struct vf_reader r = vf_reader_of(in, VF_COPY_PLACE_LEN);
    struct vf_verify_place p = {.last_us = 0};
    struct vf_hash of = {{0}};
    struct vf_hash sum = {{0}};
    struct vf_hash want;

    const uint8_t *type = vf_reader_view(&r, 8);
    uint32_t version = vf_reader_u32(&r);
    vf_reader_copy(&r, of.b, sizeof(of.b));
    p.checkpoints = vf_reader_u64(&r);
    p.cp_at = vf_reader_u64(&r);
    p.cp_end = vf_reader_u64(&r);
    p.seg_first = vf_reader_u64(&r);
    p.line_at = vf_reader_u64(&r);
    p.seg_at = vf_reader_u64(&r);
    p.tree.size = vf_reader_u64(&r);
    vf_reader_copy(&r, p.leaf.b, sizeof(p.leaf.b));
    vf_reader_copy(&r, p.note.b, sizeof(p.note.b));
    if (type == NULL || memcmp(type, TYPE, 8) != 0 || version != VERSION || p.tree.size == 0 ||
        p.tree.size > VF_ENTRY_SEQ_MAX + 1)
        return false;
    size_t len = FIXED;
    for (unsigned i = 0; i < EDGES; i++) {
        if ((p.tree.size >> i & 1) == 0)
            continue;
        vf_reader_copy(&r, p.tree.edge[i].b, VF_HASH_LEN);
        len += VF_HASH_LEN;
    }
    vf_reader_copy(&r, sum.b, sizeof(sum.b));
    vf_sha256(in, len, &want);
    if (memcmp(sum.b, want.b, sizeof(sum.b)) != 0 || memcmp(of.b, id->b, sizeof(of.b)) != 0)
        return false;
    *ret = p;
    return p.seg_first < p.tree.size && p.cp_at < p.cp_end && p.cp_end - p.cp_at <= VF_RECORD_MAX + 1 &&
           p.cp_end <= INT64_MAX && p.line_at < p.seg_at && p.seg_at - p.line_at <= VF_ENTRY_LINE_MAX + 1 &&
           p.seg_at <= INT64_MAX;
}

/* The bytes [from, to) of a file of the folder; false: there are not so many. */
static bool bytes_of(const struct vf_copy *c, const char *name, uint64_t from, uint64_t to, char *out)
{
    uint64_t size = 0;
    VF_FD fd = -1;

    return vf_segment_open(c->dirfd, c->dir, name, O_RDONLY, &fd, &size, NULL) == VF_OK && to <= size &&
           vf_fd_pread(fd, out, (size_t)(to - from), from, c->dir, NULL) == VF_OK;
}

/* The checkpoint that stands there is of this tree. */
static bool checkpoint_agrees(const struct vf_copy *c, const struct vf_verify_place *p, const char *origin)
{
    VF_FREE char *text = malloc(VF_RECORD_MAX + 1);
    size_t len = (size_t)(p->cp_end - p->cp_at);
    struct vf_checkpoint cp;
    struct vf_note note;
    struct vf_hash root, hash;

    if (text == NULL || !bytes_of(c, VF_LOG_CHECKPOINTS, p->cp_at, p->cp_end, text) || len < 3 || text[len - 1] != '\n' ||
        text[len - 2] != '\n' || vf_note_parse(text, len - 1, &note, NULL) != VF_OK ||
        vf_checkpoint_parse(&note, &cp, NULL) != VF_OK)
        return false;
    vf_tree_root(&p->tree, &root);
    vf_sha256(text, len - 1, &hash);
    return memcmp(hash.b, p->note.b, sizeof(hash.b)) == 0 && strcmp(cp.origin, origin) == 0 && cp.size == p->tree.size &&
           vf_equal(cp.root.b, root.b, sizeof(root.b));
}

/* The last line is the seal entry that was hashed: it names the key that signs next. */
static bool line_agrees(const struct vf_copy *c, struct vf_verify_place *p)
{
    VF_FREE char *line = malloc(VF_ENTRY_LINE_MAX + 1);
    size_t len = (size_t)(p->seg_at - p->line_at);
    char name[VF_SEGMENT_NAME_LEN + 1];
    struct vf_entry_view view;
    struct vf_hash leaf;

    vf_segment_name(p->seg_first, name);
    if (line == NULL || !bytes_of(c, name, p->line_at, p->seg_at, line) || line[len - 1] != '\n' ||
        !vf_entry_take(line, len - 1, NULL, &view) || view.event != VF_EVENT_SEAL || view.seq + 1 != p->tree.size)
        return false;
    vf_leaf_hash(line, len - 1, &leaf);
    memcpy(p->key, view.seal_key, sizeof(p->key));
    p->key_seq = view.seq;
    p->last_us = view.time_us;
    return memcmp(leaf.b, p->leaf.b, sizeof(leaf.b)) == 0 &&
           ((p->tree.size & 1) == 0 || memcmp(leaf.b, p->tree.edge[0].b, sizeof(leaf.b)) == 0);
}

enum vf_err vf_copy_place_read(const struct vf_copy *c, const struct vf_hash *id, struct vf_verify_place ret[2],
                               size_t *ret_n, struct vf_why *why)
{
    uint8_t raw[2 * VF_COPY_PLACE_LEN] = {0};
    uint64_t size = 0;
    size_t n = 0;
    VF_FD fd = -1;

    *ret_n = 0;
    enum vf_err err = vf_segment_open(c->dirfd, c->dir, VF_COPY_PLACE, O_RDONLY, &fd, &size, why);
    if (err == VF_E_NOT_FOUND)
        return VF_OK;
    VF_TRY(err);
    VF_TRY(vf_fd_pread(fd, raw, size < sizeof(raw) ? (size_t)size : sizeof(raw), 0, c->dir, why));
    for (size_t i = 0; i < 2; i++)
        n += vf_copy_place_decode(raw + i * VF_COPY_PLACE_LEN, id, &ret[n]) ? 1 : 0;
    if (n == 2 && ret[1].tree.size > ret[0].tree.size) {
        struct vf_verify_place p = ret[0];
        ret[0] = ret[1];
        ret[1] = p;
    }
    *ret_n = n;
    return VF_OK;
}

enum vf_err vf_copy_place_load(const struct vf_copy *c, const struct vf_hash *id, const char *origin,
                               struct vf_verify_place *ret, struct vf_why *why)
{
    struct vf_verify_place found[2];
    size_t n = 0;

    *ret = (struct vf_verify_place){.last_us = 0};
    VF_TRY(vf_copy_place_read(c, id, found, &n, why));
    for (size_t i = 0; i < n; i++) {
        if (!checkpoint_agrees(c, &found[i], origin) || !line_agrees(c, &found[i]))
            continue;
        *ret = found[i];
        return VF_OK;
    }
    return VF_OK;
}

void vf_copy_place_save(const struct vf_copy *c, const struct vf_hash *id, const struct vf_verify_place *place)
{
    VF_FD fd = -1;
    uint8_t raw[VF_COPY_PLACE_LEN];

    /* Every log that our writer makes ends with a seal entry; another one is read again. */
    if (place->tree.size == 0 || place->key_seq + 1 != place->tree.size)
        return;
    fd = openat(c->dirfd, VF_COPY_PLACE, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW, 0600);
    (void)vf_copy_place_encode(id, place, raw);
    /* In turn, so that one that was torn leaves the other. What cannot be written is read again. */
    if (fd >= 0)
        (void)!pwrite(fd, raw, sizeof(raw), (off_t)(place->checkpoints % 2 * sizeof(raw)));
}
