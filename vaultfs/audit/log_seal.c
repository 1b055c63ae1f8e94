/* SPDX-License-Identifier: MIT */
/*
 * Sealing (docs/format.md, "The seal chain"). Let K be the current key, in slot A, and K' the new one.
 *
 *   1. make K'                                                              vf_log_seal_begin
 *   2. append an entry that names the public half of K', as the last one of its batch
 *   3. make that durable: N entries now                                     vf_log_commit_batch
 *   4. write K' and the tree at N into slot B, durable                      VF_SEAL_SLOT
 *   5. sign the checkpoint of N entries with K, append it, durable          VF_SEAL_CHECKPOINT
 *   6. wipe slot A, durable                                                 VF_SEAL_WIPE
 *
 * K signs one checkpoint only, whatever happens:
 * - Before step 5 it has signed nothing. A crash before slot B is durable leaves slot A alone: the seal entry, if it is there, stays
 *   uncovered, and K signs a later checkpoint, with a later key in it.
 * - From the moment slot B is durable K may have signed, and what it signed is fixed by what is durable: N and the tree's root are in
 *   slot B, the entries were durable before it (3 comes before 4). Ed25519 is deterministic, so that recovery writes the very same
 *   bytes again. A torn slot B does not pass its checksum, and then step 5 had not begun.
 * - Within a process a step that failed is tried again, the same step with the same key and the same N. No entry is appended
 *   between 2 and 5, so nothing else can have become the content of the checkpoint.
 * - After step 6 K is gone.
 */
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

void vf_log_seal_begin(struct vf_log *log)
{
    vf_seal_key_new(&log->secret->next.key);
}

void vf_log_seal_abandon(struct vf_log *log)
{
    vf_wipe(&log->secret->next, sizeof(log->secret->next));
}

static enum vf_err write_slot(struct vf_log *log, struct vf_why *why)
{
    struct vf_seal_state *next = &log->secret->next;
    size_t len = vf_seal_state_encode(next, &log->id, log->secret->payload);
    enum vf_err err =
        vf_slots_write(log->seal_path, VF_LOG_SLOT_TYPE, 1 - log->slot, log->slot_seq + 1, log->secret->payload, len, why);

    vf_wipe(log->secret->payload, sizeof(log->secret->payload));
    return err;
}

/* Are the bytes of the record at cp_at already, and is the file as long as that? */
static enum vf_err is_there(struct vf_log *log, int fd, uint64_t cp_at, uint64_t size, bool *ret, struct vf_why *why)
{
    VF_BUF have = {0};

    *ret = false;
    if (size != cp_at + log->record.len)
        return VF_OK;
    vf_buf_init(&have, log->record.len);
    uint8_t *at = vf_buf_grow(&have, log->record.len);
    VF_TRY(vf_buf_check(&have, "a checkpoint", why));
    VF_TRY(vf_fd_pread(fd, at, log->record.len, cp_at, log->dir, why));
    *ret = vf_equal(at, log->record.data, log->record.len);
    return VF_OK;
}

enum vf_err vf_log_record_write(struct vf_log *log, uint64_t cp_at, struct vf_why *why)
{
    VF_FD fd = openat(log->dirfd, VF_LOG_CHECKPOINTS, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW, 0600);
    struct stat st;
    bool there = false;

    if (fd < 0)
        return vf_fail_sys(why, "%s/" VF_LOG_CHECKPOINTS ": cannot open", log->dir);
    if (fstat(fd, &st) != 0)
        return vf_fail_sys(why, "%s/" VF_LOG_CHECKPOINTS ": cannot look it up", log->dir);
    if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size < cp_at)
        return vf_fail(why, VF_E_DAMAGED, "%s/" VF_LOG_CHECKPOINTS ": checkpoints are missing from it", log->dir);
    if ((uint64_t)st.st_size > cp_at + log->record.len)
        return vf_fail(why, VF_E_DAMAGED,
                       "%s/" VF_LOG_CHECKPOINTS ": newer than the seal beside the log: that was restored from an "
                       "older copy, or the log from a newer one",
                       log->dir);
    VF_TRY(is_there(log, fd, cp_at, (uint64_t)st.st_size, &there, why));
    /* An attempt that failed, or a crash, may have left a part of this very record. */
    if (!there && (uint64_t)st.st_size > cp_at && ftruncate(fd, (off_t)cp_at) != 0)
        return vf_fail_sys(why, "%s/" VF_LOG_CHECKPOINTS ": cannot cut a torn checkpoint", log->dir);
    /* Written anew even if it is there: it may be there in memory only, after an fsync that failed. */
    VF_TRY(vf_fd_pwrite(fd, log->record.data, log->record.len, cp_at, log->dir, why));
    VF_TRY(vf_fd_sync(fd, log->dir, why));
    if (cp_at == 0 && fsync(log->dirfd) != 0 && errno != EINVAL)
        return vf_fail_sys(why, "%s: cannot make the folder durable", log->dir);
    return VF_OK;
}

static enum vf_err write_checkpoint(struct vf_log *log, struct vf_why *why)
{
    struct vf_seal_state *next = &log->secret->next;
    struct vf_hash root;

    VF_TRY(vf_log_folder_check(log, why));
    vf_tree_root(&next->tree, &root);
    vf_buf_reset(&log->record);
    VF_TRY(vf_checkpoint_record(log->origin.line, next->tree.size, &root, &log->secret->now.key, &log->record, why));
    return vf_log_record_write(log, next->cp_at, why);
}

enum vf_err vf_log_seal_finish(struct vf_log *log, struct vf_why *why)
{
    struct vf_log_secret *s = log->secret;

    if (log->step == VF_SEAL_SLOT) {
        VF_TRY(write_slot(log, why));
        log->step = VF_SEAL_CHECKPOINT;
    }
    if (log->step == VF_SEAL_CHECKPOINT) {
        VF_TRY(write_checkpoint(log, why));
        log->step = VF_SEAL_WIPE;
    }
    if (log->step == VF_SEAL_WIPE) {
        VF_TRY(vf_slots_write(log->seal_path, VF_LOG_SLOT_TYPE, log->slot, 0, NULL, 0, why));
        log->step = VF_SEAL_IDLE;
        log->slot = 1 - log->slot;
        log->slot_seq++;
        s->now = s->next;
        vf_wipe(&s->next, sizeof(s->next));
    }
    return VF_OK;
}
