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

static enum vf_err other_slot(const char *path, uint64_t live, unsigned *ret, bool *ret_zero, struct vf_why *why)
{
    VF_SECRET struct vf_slot *slots = NULL;

    VF_TRY(read_slots(path, &slots, why));
    int i = find_slot(slots, live);
    if (i < 0)
        return no_slot(path, live, why);
    *ret = 1u - (unsigned)i;
    return is_zero(path, *ret, ret_zero, why);
}

enum vf_err vf_w_wipe_other(const char *path, uint64_t live, struct vf_why *why)
{
    unsigned other = 0;
    bool zero = false;

    VF_TRY(other_slot(path, live, &other, &zero, why));
    return zero ? VF_OK : vf_slots_write(path, VF_W_TYPE, other, 0, NULL, 0, why);
}

/* -------------------------------------------------------------------------------------------------------------------- settling */

static enum vf_err settle_body(struct vf_txn *txn, void *user, struct vf_why *why)
{
    uint64_t *seq = user;

    (void)why;
    if (!vf_meta_u64(txn, VF_META_W_SEQ, seq))
        return vf_txn_error(txn) != VF_OK ? vf_txn_error(txn) : VF_E_DAMAGED;
    vf_meta_put_u64(txn, VF_META_W_SEQ, *seq);
    return VF_OK;
}

/*
 * Both slots are in use after a crash or an error, and the one that the database names must not be wiped. Which one that is, a reader may
 * not see (after a kill inside a commit LMDB shows readers the state before, until the next writer), and a failed write may have left on
 * the disk what memory does not show. So: a transaction of our own reads the number and writes it again. What it says once it is durable
 * is so, now and after any power cut.
 */
enum vf_err vf_w_settle(struct vf_vault *v, struct vf_why *why)
{
    unsigned other = 0;
    bool zero = false;
    uint64_t seq = 0;

    enum vf_err err = other_slot(v->w_path, v->keys->w_seq, &other, &zero, why);
    if (err == VF_OK && zero)
        return VF_OK;
    if (err != VF_OK && err != VF_E_NOT_FOUND)
        return err;
    err = vf_store_update(v->store, settle_body, &seq, why);
    if (err == VF_E_DAMAGED)
        return vf_vault_damaged(v, NULL, "a row of its table meta is missing", why);
    VF_TRY(err);
    if (seq != v->keys->w_seq) {
        err = vf_w_load(v->w_path, seq, &v->keys->w, why);
        if (err == VF_E_NOT_FOUND)
            return vf_vault_damaged(v, NULL, "its file w does not hold the secret that the database names", why);
        VF_TRY(err);
        v->keys->w_seq = seq;
        vf_keys_derive(v->keys);
    }
    return vf_w_wipe_other(v->w_path, seq, why);
}
