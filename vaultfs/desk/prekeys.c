/* SPDX-License-Identifier: MIT */
#include "slot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct vf_prekeys {
    int fd;
    char *path;
    struct vf_prekeys_head head;
};

const char *vf_prekey_end_text(enum vf_prekey_end why)
{
    switch (why) {
    case VF_PREKEY_ENDED:
        return "its grant ended";
    case VF_PREKEY_REVOKED:
        return "its grant was revoked";
    case VF_PREKEY_LAST_DAY:
        break;
    }
    return "the last day of its batch is over";
}

static uint64_t slot_at(uint32_t number)
{
    return VF_PREKEYS_HEAD_LEN + (uint64_t)number * VF_PREKEY_SLOT_LEN;
}

/* -------------------------------------------------------------------------------------------------------------------- making */

static enum vf_err put_pair(int fd, const struct vf_prekey_store_key *key, const struct vf_prekey_batch *batch,
                            uint32_t number, const char *path, struct vf_why *why)
{
    VF_SECRET struct vf_prekey *pair = vf_secret_new(sizeof(*pair));
    struct vf_prekey_live live;
    uint8_t slot[VF_PREKEY_SLOT_LEN];

    if (!pair)
        return vf_fail(why, VF_E_LOCKED_MEMORY, "the locked memory for keys is full");
    vf_prekey_new(pair);
    batch->keys[number] = live.pub = pair->pub;
    vf_prekey_wrap(key, batch->batch, number, pair, live.wrapped);
    vf_prekey_slot_live(batch->batch, number, &live, slot);
    return vf_fd_write(fd, slot, sizeof(slot), path, why);
}

enum vf_err vf_prekeys_create(const char *path, const struct vf_prekey_store_key *key, const struct vf_prekey_batch *batch,
                              struct vf_why *why)
{
    struct vf_prekeys_head head = {
        .batch = batch->batch, .count = batch->count, .made_us = batch->made_us, .last_us = batch->last_us};
    uint8_t block[VF_PREKEYS_HEAD_LEN];
    VF_NEWFILE f = {.fd = -1};

    if (batch->batch < 1 || batch->batch > VF_PREKEY_BATCH_MAX || batch->count < 1 || batch->count > VF_PREKEYS_MAX)
        return vf_fail(why, VF_E_INPUT, "a batch has 1 to %d prekeys", VF_PREKEYS_MAX);
    memcpy(head.store, batch->store, sizeof(head.store));
    VF_TRY(vf_newfile_open(&f, path, 0600, false, why));
    /* The blocks that will be overwritten are those that are written now. */
    if (fallocate(f.fd, 0, 0, (off_t)slot_at(batch->count)) != 0 && errno != EOPNOTSUPP)
        return vf_fail_sys(why, "%s: no room for %u prekeys", path, batch->count);
    vf_prekeys_head_encode(&head, block);
    VF_TRY(vf_fd_write(f.fd, block, sizeof(block), path, why));
    for (uint32_t i = 0; i < batch->count; i++)
        VF_TRY(put_pair(f.fd, key, batch, i, path, why));
    return vf_newfile_commit(&f, why);
}

/* ------------------------------------------------------------------------------------------------------------------- opening */

void vf_prekeys_close(struct vf_prekeys *p)
{
    if (!p)
        return;
    vf_fd_close(&p->fd);
    free(p->path);
    free(p);
}

void vf_prekeys_cleanup(struct vf_prekeys **p)
{
    vf_prekeys_close(*p);
    *p = NULL;
}

static enum vf_err check_file(const struct vf_prekeys *p, struct vf_why *why)
{
    struct stat st;

    if (fstat(p->fd, &st) != 0)
        return vf_fail_sys(why, "%s: cannot look it up", p->path);
    if (!S_ISREG(st.st_mode))
        return vf_fail(why, VF_E_FORMAT, "%s: not a regular file", p->path);
    if (st.st_size < VF_PREKEYS_HEAD_LEN)
        return vf_fail(why, VF_E_FORMAT, "%s: too short for a file of prekeys", p->path);
    return VF_OK;
}

enum vf_err vf_prekeys_open(const char *path, const uint8_t store[VF_PREKEY_STORE_LEN], struct vf_prekeys **ret,
                            struct vf_why *why)
{
    uint8_t block[VF_PREKEYS_HEAD_LEN];
    struct stat st;
    VF_PREKEYS p = calloc(1, sizeof(*p));

    if (!p || !(p->path = strdup(path))) {
        if (p)
            p->fd = -1;
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", path);
    }
    p->fd = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW);
    if (p->fd < 0)
        return vf_fail_sys(why, "%s: cannot open", path);
    VF_TRY(check_file(p, why));
    VF_TRY(vf_fd_pread(p->fd, block, sizeof(block), 0, path, why));
    VF_TRY(vf_prekeys_head_decode(block, path, &p->head, why));
    if (memcmp(p->head.store, store, VF_PREKEY_STORE_LEN) != 0)
        return vf_fail(why, VF_E_REFUSED, "%s: the prekeys of another desk's store", path);
    if (fstat(p->fd, &st) != 0 || (uint64_t)st.st_size != slot_at(p->head.count))
        return vf_fail(why, VF_E_DAMAGED, "%s: damaged: not as long as %u prekeys are", path, p->head.count);
    *ret = p;
    p = NULL;
    return VF_OK;
}

uint32_t vf_prekeys_batch(const struct vf_prekeys *p)
{
    return p->head.batch;
}

uint32_t vf_prekeys_count(const struct vf_prekeys *p)
{
    return p->head.count;
}

int64_t vf_prekeys_last_us(const struct vf_prekeys *p)
{
    return p->head.last_us;
}

/* -------------------------------------------------------------------------------------------------------------------- slots */

static enum vf_err slot_read(struct vf_prekeys *p, uint32_t number, struct vf_prekey_slot *ret, struct vf_prekey_live *live,
                             struct vf_why *why)
{
    uint8_t slot[VF_PREKEY_SLOT_LEN];

    if (number >= p->head.count)
        return vf_fail(why, VF_E_NOT_FOUND, "%s: there is no prekey %u in it", p->path, number);
    VF_TRY(vf_fd_pread(p->fd, slot, sizeof(slot), slot_at(number), p->path, why));
    vf_prekey_slot_decode(slot, p->head.batch, number, ret, live);
    return VF_OK;
}

enum vf_err vf_prekeys_slot(struct vf_prekeys *p, uint32_t number, struct vf_prekey_slot *ret, struct vf_why *why)
{
    return slot_read(p, number, ret, NULL, why);
}

enum vf_err vf_prekeys_get(struct vf_prekeys *p, const struct vf_prekey_store_key *key, uint32_t number,
                           struct vf_prekey *ret, struct vf_why *why)
{
    struct vf_prekey_live live = {0};
    struct vf_prekey_slot slot;
    char when[64];

    vf_wipe(ret, sizeof(*ret));
    VF_TRY(slot_read(p, number, &slot, &live, why));
    if (slot.state == VF_PREKEY_DESTROYED) {
        vf_time_format_person(slot.end_us, when, sizeof(when));
        return vf_fail(why, VF_E_EXPIRED, "prekey %u/%u was destroyed on %s: %s", p->head.batch, number, when,
                       vf_prekey_end_text(slot.end));
    }
    if (slot.state == VF_PREKEY_DAMAGED || vf_prekey_unwrap(key, p->head.batch, number, &live.pub, live.wrapped, ret))
        return vf_fail(why, VF_E_DAMAGED, "%s: prekey %u is damaged, or of another desk identity", p->path, number);
    return VF_OK;
}

static enum vf_err overwrite(struct vf_prekeys *p, uint32_t number, enum vf_prekey_end end, int64_t now_us,
                             struct vf_why *why)
{
    uint8_t block[VF_PREKEY_SLOT_LEN];
    struct vf_prekey_slot slot;

    if (number >= p->head.count)
        return vf_fail(why, VF_E_NOT_FOUND, "%s: there is no prekey %u in it", p->path, number);
    /* What cannot be read is overwritten all the same: that may be what mends the sector. */
    if (slot_read(p, number, &slot, NULL, NULL) == VF_OK && slot.state == VF_PREKEY_DESTROYED)
        vf_prekey_slot_destroyed(p->head.batch, number, slot.end, slot.end_us, block);
    else
        vf_prekey_slot_destroyed(p->head.batch, number, end, now_us, block);
    return vf_fd_pwrite(p->fd, block, sizeof(block), slot_at(number), p->path, why);
}

enum vf_err vf_prekeys_destroy(struct vf_prekeys *p, uint32_t number, enum vf_prekey_end end, int64_t now_us,
                               struct vf_why *why)
{
    VF_TRY(overwrite(p, number, end, now_us, why));
    return vf_fd_sync(p->fd, p->path, why);
}

enum vf_err vf_prekeys_destroy_all(struct vf_prekeys *p, enum vf_prekey_end end, int64_t now_us, struct vf_why *why)
{
    for (uint32_t i = 0; i < p->head.count; i++)
        VF_TRY(overwrite(p, i, end, now_us, why));
    return vf_fd_sync(p->fd, p->path, why);
}
