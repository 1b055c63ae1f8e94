/* SPDX-License-Identifier: MIT */
/*
 * W, the secret that makes erasing final: every record key is wrapped under it and VK, and it lives outside the database, in a file of
 * two slots that are overwritten in place. The database names the live slot by its sequence number; so the commit that rewraps the
 * record keys also switches W, and a crash on either side of it leaves one whole state.
 */
#include "internal.h"

#include <string.h>

#define SLOT_BLOCK 4096u

/* Both slots, in the arena. */
static enum vf_err read_slots(const char *path, struct vf_slot **ret, struct vf_why *why)
{
    struct vf_slot *slots = vf_secret_new(2 * sizeof(*slots));

    if (slots == NULL)
        return vf_fail(why, VF_E_LOCKED_MEMORY, "%s: no room in the locked memory", path);
    enum vf_err err = vf_slots_read(path, VF_W_TYPE, slots, why);
    if (err != VF_OK)
        vf_secret_free(slots);
    else
        *ret = slots;
    return err;
}

static int find_slot(const struct vf_slot slots[2], uint64_t seq)
{
    for (int i = 0; i < 2; i++)
        if (slots[i].present && slots[i].seq == seq && slots[i].len == VF_KEY_LEN)
            return i;
    return -1;
}

static enum vf_err no_slot(const char *path, uint64_t seq, struct vf_why *why)
{
    return vf_fail(why, VF_E_NOT_FOUND, "%s: does not hold the secret number %llu that the database names", path,
                   (unsigned long long)seq);
}

enum vf_err vf_w_load(const char *path, uint64_t seq, struct vf_wrap_secret *ret, struct vf_why *why)
{
    VF_SECRET struct vf_slot *slots = NULL;

    VF_TRY(read_slots(path, &slots, why));
    int i = find_slot(slots, seq);
    if (i < 0)
        return no_slot(path, seq, why);
    memcpy(ret->b, slots[i].payload, VF_KEY_LEN);
    return VF_OK;
}

enum vf_err vf_w_next(const char *path, uint64_t live, struct vf_wrap_secret *ret, uint64_t *ret_seq, struct vf_why *why)
{
    VF_SECRET struct vf_slot *slots = NULL;
    struct vf_wrap_secret w;

    VF_TRY(read_slots(path, &slots, why));
    int i = find_slot(slots, live);
    if (i < 0)
        return no_slot(path, live, why);
    vf_random(w.b, sizeof(w.b));
    enum vf_err err = vf_slots_write(path, VF_W_TYPE, 1u - (unsigned)i, live + 1, w.b, sizeof(w.b), why);
    if (err == VF_OK) {
        *ret = w;
        *ret_seq = live + 1;
    }
    vf_wipe(&w, sizeof(w));
    return err;
}

/* A slot whose wiping was torn by a power cut reads as absent and may still hold the key: only zeroes are gone. */
static enum vf_err is_zero(const char *path, unsigned which, bool *ret, struct vf_why *why)
{
    uint8_t block[SLOT_BLOCK];
    uint8_t bits = 0;
    VF_FD fd = -1;

    VF_TRY(vf_file_open(path, &fd, NULL, why));
    enum vf_err err = vf_fd_pread(fd, block, sizeof(block), (uint64_t)which * SLOT_BLOCK, path, why);
    for (size_t i = 0; i < sizeof(block); i++)
        bits |= block[i];
    vf_wipe(block, sizeof(block));
    *ret = bits == 0;
    return err;
}

enum vf_err vf_w_wipe_other(const char *path, uint64_t live, struct vf_why *why)
{
    VF_SECRET struct vf_slot *slots = NULL;
    bool zero = false;

    VF_TRY(read_slots(path, &slots, why));
    int i = find_slot(slots, live);
    if (i < 0)
        return no_slot(path, live, why);
    unsigned other = 1u - (unsigned)i;
    VF_TRY(is_zero(path, other, &zero, why));
    return zero ? VF_OK : vf_slots_write(path, VF_W_TYPE, other, 0, NULL, 0, why);
}
