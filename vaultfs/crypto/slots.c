/* SPDX-License-Identifier: MIT */
#include "crypto_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define TYPE_LEN 8
#define VERSION  1
#define HEAD_LEN (TYPE_LEN + 4 + 8 + 2)

_Static_assert(HEAD_LEN + VF_SLOT_PAYLOAD + VF_HASH_LEN <= VF_SLOTS_BLOCK, "a slot fits into its block");

struct block {
    uint8_t b[VF_SLOTS_BLOCK];
};

static void block_done(struct block *block)
{
    sodium_memzero(block, sizeof(*block));
}
#define BLOCK VF_CLEANUP(block_done) struct block

void vf_slots_encode(const char type[8], uint64_t seq, const void *payload, size_t len, uint8_t block[VF_SLOTS_BLOCK])
{
    struct vf_hash sum;

    memset(block, 0, VF_SLOTS_BLOCK);
    memcpy(block, type, TYPE_LEN);
    vf_put_be32(block + TYPE_LEN, VERSION);
    vf_put_be64(block + TYPE_LEN + 4, seq);
    vf_put_be16(block + TYPE_LEN + 12, (uint16_t)len);
    if (len > 0)
        memcpy(block + HEAD_LEN, payload, len);
    vf_sha256(block, HEAD_LEN + len, &sum);
    memcpy(block + HEAD_LEN + len, sum.b, VF_HASH_LEN);
}

enum vf_slot_state vf_slots_decode(const uint8_t block[VF_SLOTS_BLOCK], const char type[8], struct vf_slot *ret)
{
    struct vf_hash sum;
    size_t len = vf_get_be16(block + TYPE_LEN + 12);

    vf_wipe(ret, sizeof(*ret));
    if (len > VF_SLOT_PAYLOAD)
        return VF_SLOT_EMPTY;
    vf_sha256(block, HEAD_LEN + len, &sum);
    if (memcmp(block + HEAD_LEN + len, sum.b, VF_HASH_LEN) != 0)
        return VF_SLOT_EMPTY;
    /* The rest is zero: else a write was torn, and the end of what stood here before is still there. */
    for (size_t i = HEAD_LEN + len + VF_HASH_LEN; i < VF_SLOTS_BLOCK; i++)
        if (block[i] != 0)
            return VF_SLOT_EMPTY;
    if (memcmp(block, type, TYPE_LEN) != 0 || vf_get_be32(block + TYPE_LEN) != VERSION)
        return VF_SLOT_FOREIGN;
    ret->present = true;
    ret->seq = vf_get_be64(block + TYPE_LEN + 4);
    ret->len = len;
    if (len > 0)
        memcpy(ret->payload, block + HEAD_LEN, len);
    return VF_SLOT_PRESENT;
}

enum vf_err vf_slots_create(const char *path, const char type[8], const void *payload, size_t len, struct vf_why *why)
{
    BLOCK block = {{0}};
    VF_NEWFILE f = {.fd = -1};

    if (len > VF_SLOT_PAYLOAD)
        return vf_fail(why, VF_E_LIMIT, "%s: %zu bytes do not fit into a slot", path, len);
    VF_TRY(vf_newfile_open(&f, path, 0600, false, why));
    vf_slots_encode(type, 1, payload, len, block.b);
    VF_TRY(vf_fd_write(f.fd, block.b, sizeof(block.b), path, why));
    block_done(&block);
    VF_TRY(vf_fd_write(f.fd, block.b, sizeof(block.b), path, why));
    return vf_newfile_commit(&f, why);
}

enum vf_err vf_slots_read(const char *path, const char type[8], struct vf_slot ret[2], struct vf_why *why)
{
    BLOCK block = {{0}};
    VF_FD fd = -1;
    uint64_t size = 0;
    bool present = false;
    bool foreign = false;

    VF_TRY(vf_file_open(path, &fd, &size, why));
    if (size != VF_SLOTS_FILE_SIZE)
        return vf_fail(why, VF_E_DAMAGED, "%s: damaged: %llu bytes long instead of %d", path, (unsigned long long)size,
                       VF_SLOTS_FILE_SIZE);
    for (unsigned i = 0; i < 2; i++) {
        enum vf_err err = vf_fd_pread(fd, block.b, sizeof(block.b), (uint64_t)i * VF_SLOTS_BLOCK, path, why);
        if (err != VF_OK) {
            vf_wipe(ret, 2 * sizeof(*ret));
            return err;
        }
        enum vf_slot_state state = vf_slots_decode(block.b, type, &ret[i]);
        present = present || state == VF_SLOT_PRESENT;
        foreign = foreign || state == VF_SLOT_FOREIGN;
    }
    if (present)
        return VF_OK;
    if (foreign)
        return vf_fail(why, VF_E_VERSION, "%s: a file of another kind, or of another version of vaultfs", path);
    return vf_fail(why, VF_E_DAMAGED, "%s: damaged: neither of its two copies is whole", path);
}

enum vf_err vf_slots_write(const char *path, const char type[8], unsigned which, uint64_t seq, const void *payload,
                           size_t len, struct vf_why *why)
{
    BLOCK block = {{0}};
    struct stat st;

    if (which > 1 || (payload != NULL && len > VF_SLOT_PAYLOAD))
        return vf_fail(why, VF_E_LIMIT, "%s: %zu bytes do not fit into slot %u", path, len, which);
    if (payload != NULL)
        vf_slots_encode(type, seq, payload, len, block.b);
    VF_FD fd = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return vf_fail_sys(why, "%s: cannot open", path);
    if (fstat(fd, &st) != 0)
        return vf_fail_sys(why, "%s: cannot look it up", path);
    /* Never make the file longer or shorter: the blocks that are overwritten must be those that hold the old secret. */
    if (!S_ISREG(st.st_mode) || st.st_size != VF_SLOTS_FILE_SIZE)
        return vf_fail(why, VF_E_DAMAGED, "%s: damaged: not a file of %d bytes", path, VF_SLOTS_FILE_SIZE);
    VF_TRY(vf_fd_pwrite(fd, block.b, sizeof(block.b), (uint64_t)which * VF_SLOTS_BLOCK, path, why));
    return vf_fd_sync(fd, path, why);
}
