/* SPDX-License-Identifier: MIT */
/*
 * Is it the same files? A store that is put back from a backup, whole or in part, is consistent in itself: its log fits its seal, and what has been
 * released and revoked since is nowhere in it. But files that are copied are other files: row "place" in META has inode and time of birth, which
 * nobody sets, of the seal, the database and each batch of prekeys, under a MAC of the desk. Another file in the place of one of them is a doubt
 * until a person confirms. (Not the device number: that changes when a machine starts.) What is put back below the filesystem, an image of the disk
 * or of the machine, is not seen here.
 *
 *   "VFDSKPL1", n times (u32 which: 0 the seal, 1 and up a batch, all ones the database; u64 inode, i64 seconds and u32 nanoseconds of birth), MAC 32
 */
#include "desk_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define TYPE      "VFDSKPL1"
#define PLACE_KEY "place"
#define ITEM_LEN  (4 + 8 + 8 + 4)
#define SEAL      0
#define DATABASE  UINT32_MAX
#define PLACE_MAX ((size_t)(VF_PREKEY_BATCH_MAX + 2) * ITEM_LEN + 8 + VF_HASH_LEN)

static enum vf_err put_one(const struct vf_desk *d, uint32_t which, const char *name, struct vf_buf *out, struct vf_why *why)
{
    VF_FREE char *path = vf_path_join(d->path, name);
    struct statx st = {0};

    if (path == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", d->path);
    if (statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_INO | STATX_BTIME, &st) != 0) {
        if (errno == ENOENT)
            return VF_OK; /* a batch that somebody took away has no keys any more */
        return vf_fail_sys(why, "%s: cannot look it up", path);
    }
    const bool birth = (st.stx_mask & STATX_BTIME) != 0;
    vf_buf_u32(out, which);
    vf_buf_u64(out, st.stx_ino);
    vf_buf_u64(out, birth ? (uint64_t)st.stx_btime.tv_sec : 0);
    vf_buf_u32(out, birth ? st.stx_btime.tv_nsec : 0);
    return vf_buf_check(out, "the files of the store", why);
}

/* As they are now. take_lock is held, or there is one thread. */
static enum vf_err look(const struct vf_desk *d, struct vf_buf *out, struct vf_why *why)
{
    char name[VF_DESK_BATCH_NAME_MAX];

    vf_buf_init(out, PLACE_MAX);
    vf_buf_put(out, TYPE, 8);
    VF_TRY(put_one(d, SEAL, "seal", out, why));
    for (size_t i = 0; i < d->nbatches; i++) {
        (void)snprintf(name, sizeof(name), "prekeys/%u", d->batches[i]->number);
        VF_TRY(put_one(d, d->batches[i]->number, name, out, why));
    }
    return put_one(d, DATABASE, "db/data.mdb", out, why);
}

static const uint8_t *find(const struct vf_buf *row, size_t len, uint32_t which)
{
    for (size_t at = 8; at + ITEM_LEN <= len; at += ITEM_LEN)
        if (vf_get_be32(row->data + at) == which)
            return row->data + at;
    return NULL;
}

/* Each file that is there is the one that was there; a batch that is newer than all of the row was being made. */
static bool same(const struct vf_buf *row, const struct vf_buf *now)
{
    const size_t len = row->len - VF_HASH_LEN;
    uint32_t newest = 0;

    for (size_t at = 8; at + ITEM_LEN <= len; at += ITEM_LEN) {
        uint32_t which = vf_get_be32(row->data + at);
        newest = which != DATABASE && which > newest ? which : newest;
    }
    for (size_t at = 8; at + ITEM_LEN <= now->len; at += ITEM_LEN) {
        const uint8_t *is = now->data + at, *was = find(row, len, vf_get_be32(is));
        if (was != NULL ? memcmp(was, is, ITEM_LEN) != 0 : vf_get_be32(is) <= newest || vf_get_be32(is) == DATABASE)
            return false;
    }
    return true;
}

static bool sealed(const struct vf_desk *d, const struct vf_buf *row)
{
    struct vf_hash mac;

    if (row->len < 8 + VF_HASH_LEN || (row->len - 8 - VF_HASH_LEN) % ITEM_LEN != 0 || memcmp(row->data, TYPE, 8) != 0)
        return false;
    vf_desk_mac(d->key, row->data, row->len - VF_HASH_LEN, &mac);
    return vf_equal(mac.b, row->data + row->len - VF_HASH_LEN, VF_HASH_LEN);
}

enum vf_err vf_desk_place_keep(struct vf_desk *d, struct vf_why *why)
{
    VF_BUF now = {0};
    struct vf_hash mac;

    VF_TRY(look(d, &now, why));
    vf_desk_mac(d->key, now.data, now.len, &mac);
    vf_buf_put(&now, mac.b, sizeof(mac.b));
    VF_TRY(vf_buf_check(&now, "the files of the store", why));
    const struct vf_desk_change row = {VF_DT_META, PLACE_KEY, strlen(PLACE_KEY), now.data, now.len};
    return vf_desk_store_commit(d->store, &row, 1, why);
}

/* A store that has never served, and has no policy by its own log, may be moved as anybody likes. */
enum vf_err vf_desk_place_verify(struct vf_desk *d, struct vf_why *why)
{
    VF_BUF row = {.max = PLACE_MAX}, now = {0};
    bool found = false;

    VF_TRY(vf_desk_store_get(d->store, VF_DT_META, PLACE_KEY, strlen(PLACE_KEY), &row, &found, why));
    VF_TRY(look(d, &now, why));
    if (found ? sealed(d, &row) && same(&row, &now) : d->policy_floor == 0) {
        if (found && row.len == now.len + VF_HASH_LEN)
            return VF_OK;
        enum vf_err ignored = vf_desk_place_keep(d, NULL); /* a full disk does not keep the desk from starting */
        (void)ignored;
        return VF_OK;
    }
    if (d->policy_floor == 0)
        return vf_desk_place_keep(d, why);
    vf_desk_clock_doubt(d,
                        "this store was moved, or put back from a copy: if it is the newest there is, hand policy and all "
                        "revocations to it again, then: vaultfs-keytool desk clock --confirm");
    return VF_OK;
}
