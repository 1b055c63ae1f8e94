/* SPDX-License-Identifier: MIT */
/*
 * Internal to the vault room: the backup file, read and written (docs/format.md).
 *
 *   "VFBACKU1" || vault id 16 || u64 created || W 32
 *   'R' || u8 table || u16 key length || u32 value length || key || value      rows: tables ascending, keys ascending in each
 *   'F' || u16 path length || path || u64 length || bytes                      files: paths ascending; after all rows
 *   'E' || u64 rows || u64 files || SHA-256 of all bytes before the hash       the end; nothing follows
 */
#ifndef VAULTFS_VAULT_BACKUP_H
#define VAULTFS_VAULT_BACKUP_H

#include "internal.h"

#define VF_BACKUP_MAGIC    "VFBACKU1"
#define VF_BACKUP_PATH_MAX 200u
#define VF_BACKUP_CHUNK    (128u * 1024)
#define VF_BACKUP_FILE_MAX (UINT64_C(1) << 40)

struct vf_backup_head {
    struct vf_vault_id vault;
    int64_t created_us;
    struct vf_wrap_secret w;
};
/* Whom the parts go to, in order. All are borrowed for the call. */
struct vf_backup_sink {
    void *user;
    enum vf_err (*on_head)(void *user, const struct vf_backup_head *head, struct vf_why *why);
    enum vf_err (*on_row)(void *user, unsigned table, struct vf_slice key, struct vf_slice val, struct vf_why *why);
    enum vf_err (*on_file)(void *user, const char *path, uint64_t len, struct vf_why *why);
    enum vf_err (*on_data)(void *user, const uint8_t *data, size_t len, struct vf_why *why); /* of the file last named */
};
/* Up to `len` bytes; *ret_n 0 at the end only. */
struct vf_backup_source {
    void *user;
    enum vf_err (*read)(void *user, uint8_t *out, size_t len, size_t *ret_n, struct vf_why *why);
};
/*
 * Strict and bounded: every row is well-formed for its table, every path harmless, counts and hash right, nothing missing, nothing
 * behind the end. VF_E_VERSION, VF_E_FORMAT, VF_E_DAMAGED (the hash); and what the sink returns.
 */
VF_MUST_USE enum vf_err vf_backup_parse(const struct vf_backup_source *source, const char *what,
                                        const struct vf_backup_sink *sink, struct vf_why *why);
/* "log/origin", "devices/FINGERPRINT/log/checkpoints", "before/LOG-ID/log/…": nothing else is in a backup. */
VF_MUST_USE bool vf_backup_path_valid(const char *path, size_t len);
/* Is it a row that a vault can have? Needs no key. */
VF_MUST_USE bool vf_backup_row_valid(unsigned table, struct vf_slice key, struct vf_slice val);
/* The most bytes that a value of the table can have. */
size_t vf_backup_value_max(unsigned table);

#endif
