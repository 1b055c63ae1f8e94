/* SPDX-License-Identifier: MIT */
/*
 * What the files of the vault room share: the open vault, its keys, and the encoders of its rows (docs/format.md).
 *
 * Keys (struct vf_vault_keys, struct vf_record_keys) live in the arena. Values are decrypted into vf_buf, which is wiped.
 */
#ifndef VAULTFS_VAULT_INTERNAL_H
#define VAULTFS_VAULT_INTERNAL_H

#include "vaultfs/vault.h"

#define VF_VAULT_FORMAT    1u
#define VF_W_TYPE          "VFWSLOTS"
#define VF_MAX_GRANT_US    (31 * VF_DAY_US)
#define VF_RANKS_MAX       (256u * 1024)
#define VF_PATTERN_MAX     4096u
#define VF_VALUE_ROW_MAX   (VF_VALUE_MAX + 16384u)
#define VF_LOCK_TRIES      500u /* of VF_LOCK_PAUSE_NS: ten seconds */
#define VF_LOCK_PAUSE_NS   20000000L
#define VF_STAGE_BYTES_MAX (16u * 1024 * 1024) /* of rows in one staging transaction */
#define VF_DELETE_ROWS_MAX 16384u              /* in one sweeping transaction */

extern const char *const vf_vault_tables[VF_VT_COUNT];

/* ------------------------------------------------------------------------------------------------------------- rows of meta */

#define VF_META_FORMAT    "format"    /* u32 */
#define VF_META_ID        "id"        /* 16 bytes */
#define VF_META_CREATED   "created"   /* u64 time */
#define VF_META_POLICY    "policy"    /* a policy file */
#define VF_META_W_SEQ     "w-seq"     /* u64: the live slot of w */
#define VF_META_W_CHANGES "w-changes" /* u64 */
#define VF_META_EPOCH     "epoch"     /* u32: of record keys made now */
#define VF_META_SETTINGS  "settings"  /* see settings.c */
#define VF_META_REKEY     "rekey"     /* a new VK that waits: see rekey.c */
#define VF_META_STAGING   "staging"   /* u64 time: values may be there that nothing names; sweep */
#define VF_META_RESTORED  "restored"  /* u64 time: made by vf_vault_restore */

VF_MUST_USE bool vf_meta_get(struct vf_txn *txn, const char *key, struct vf_slice *ret);
VF_MUST_USE bool vf_meta_u64(struct vf_txn *txn, const char *key, uint64_t *ret);
VF_MUST_USE bool vf_meta_u32(struct vf_txn *txn, const char *key, uint32_t *ret);
void vf_meta_put(struct vf_txn *txn, const char *key, const void *data, size_t len);
void vf_meta_put_u64(struct vf_txn *txn, const char *key, uint64_t v);
void vf_meta_put_u32(struct vf_txn *txn, const char *key, uint32_t v);
void vf_meta_del(struct vf_txn *txn, const char *key);

/* --------------------------------------------------------------------------------------------------------------- the vault */

struct vf_vault_keys { /* in the arena */
    struct vf_vault_key vk;
    struct vf_wrap_secret w;
    struct vf_wrap_key wrap; /* of vk and w */
    struct vf_index_key index;
    uint64_t w_seq;
};

struct vf_vault {
    char *path, *log_dir, *seal_path, *db_dir, *w_path;
    enum vf_vault_mode mode;
    struct vf_store *store;
    struct vf_log *log; /* in WRITE mode */
    struct vf_policy_chain chain;
    struct vf_vault_id id;
    struct vf_rules rules;
    struct vf_buf ranks; /* settings as they are stored */
    struct vf_buf pattern;
    int64_t max_grant_us;
    int64_t restored_us;
    uint32_t epoch;
    char admin[VF_NAME_MAX + 1];
    struct vf_vault_keys *keys;       /* NULL in PUBLIC mode */
    struct vf_image_sandbox *sandbox; /* the caller's; or NULL */
};

/* Open as vf_vault_open does, with `unsigned_ok` for the installation of the signatures that are still missing. */
VF_MUST_USE enum vf_err vf_vault_open_as(const char *path, enum vf_vault_mode mode, const struct vf_identity *id,
                                         bool unsigned_ok, struct vf_vault **ret, struct vf_why *why);
/* Fill v's view of the database (policy, settings, epoch) from a transaction. */
VF_MUST_USE enum vf_err vf_vault_read_state(struct vf_vault *v, struct vf_txn *txn, struct vf_why *why);
/* VF_E_DENIED unless the vault was opened with a key; VF_E_USAGE-like bugs of callers end here too. */
VF_MUST_USE enum vf_err vf_vault_need(const struct vf_vault *v, bool write, struct vf_why *why);
/* The sticky error of a read transaction in words; VF_OK when there is none. */
VF_MUST_USE enum vf_err vf_vault_txn_check(const struct vf_vault *v, const struct vf_txn *txn, struct vf_why *why);
/* Always VF_E_DAMAGED, in words: which record (ref may be NULL), what, and what to do. Inline, so that an analyser sees that it is an error. */
static inline enum vf_err vf_vault_damaged(const struct vf_vault *v, const struct vf_ref *ref, const char *what,
                                           struct vf_why *reason)
{
    if (ref != NULL)
        return vf_fail(reason, VF_E_DAMAGED, "%s: record %.8s: %s; run `vault check`, and restore a backup if it says so",
                       v->path, ref->c, what);
    return vf_fail(reason, VF_E_DAMAGED, "%s: %s; run `vault check`, and restore a backup if it says so", v->path, what);
}
/* Log folder opened for writing; waits up to ten seconds for another process. */
VF_MUST_USE enum vf_err vf_vault_log_open(const char *log_dir, const char *seal_path, struct vf_log **ret,
                                          struct vf_why *why);
/* An entry with the admin's name. */
struct vf_entry vf_vault_entry(const struct vf_vault *v, enum vf_event event, const char *object);

/* settings.c */
void vf_settings_put(const struct vf_vault *v, struct vf_buf *out);
VF_MUST_USE enum vf_err vf_settings_take(struct vf_vault *v, struct vf_slice row, struct vf_why *why);

/* ------------------------------------------------------------------------------------------------------------------------ W */

/* The slot of sequence `seq`; VF_E_NOT_FOUND when it is not there. */
VF_MUST_USE enum vf_err vf_w_load(const char *path, uint64_t seq, struct vf_wrap_secret *ret, struct vf_why *why);
/* A new W in the slot that `live` does not use, durable; *ret_seq is live + 1. */
VF_MUST_USE enum vf_err vf_w_next(const char *path, uint64_t live, struct vf_wrap_secret *ret, uint64_t *ret_seq,
                                  struct vf_why *why);
/* Overwrite the slot that is not `live` with zeroes, durably, unless it is zeroes already. */
VF_MUST_USE enum vf_err vf_w_wipe_other(const char *path, uint64_t live, struct vf_why *why);
/*
 * Before the other slot is used, and when a vault is opened for writing: if both slots hold something, find out durably which one the
 * database names, take that W into v->keys, and wipe the other.
 */
VF_MUST_USE enum vf_err vf_w_settle(struct vf_vault *v, struct vf_why *why);

/* -------------------------------------------------------------------------------------------------------------------- keys */

/* VK from its sealed row for `id`, compared with the policy's commitment; W by the meta row. */
VF_MUST_USE enum vf_err vf_keys_open(const struct vf_vault *v, struct vf_txn *txn, const struct vf_identity *id,
                                     struct vf_vault_keys *ret, struct vf_why *why);
/* The table of VK: sealed to the admins of `policy`, and to nobody else. */
void vf_keys_put_seals(struct vf_txn *txn, const struct vf_policy *policy, const struct vf_vault_key *vk);
/* Derive wrap and index key from vk and w. */
void vf_keys_derive(struct vf_vault_keys *keys);
/*
 * Bring `keys` to what the snapshot `txn` (which may be renewed here) needs: another process may have changed W. VF_E_STALE when VK
 * itself was changed: the caller has to open the vault again.
 */
VF_MUST_USE enum vf_err vf_keys_follow(const struct vf_vault *v, struct vf_txn *txn, struct vf_vault_keys *keys,
                                       struct vf_why *why);

#define VF_EPOCHS_MAX 64u
struct vf_record_keys { /* in the arena; epochs ascending, the last is the one for what is written now */
    struct vf_ref ref;
    unsigned n;
    uint32_t epoch[VF_EPOCHS_MAX];
    struct vf_record_key key[VF_EPOCHS_MAX];
};
#define VF_RECORD_ROW_ITEM (4 + VF_WRAPPED_LEN)
#define VF_RECORD_ROW_MAX  (1 + VF_EPOCHS_MAX * VF_RECORD_ROW_ITEM)
/* A record's row, unwrapped. VF_E_DAMAGED. */
VF_MUST_USE enum vf_err vf_record_keys_open(const struct vf_wrap_key *wrap, const struct vf_vault_id *vault,
                                            const struct vf_ref *ref, struct vf_slice row, struct vf_record_keys *ret);
/* The row again; returns its length. */
size_t vf_record_keys_seal(const struct vf_wrap_key *wrap, const struct vf_vault_id *vault,
                           const struct vf_record_keys *keys, uint8_t out[VF_RECORD_ROW_MAX]);
/* Is it well-formed (without any key)? */
VF_MUST_USE bool vf_record_row_valid(struct vf_slice row);
const struct vf_record_key *vf_record_keys_find(const struct vf_record_keys *keys, uint32_t epoch);
const struct vf_record_key *vf_record_keys_newest(const struct vf_record_keys *keys);

/* -------------------------------------------------------------------------------------------------------------------- head */

#define VF_HEAD_FIELDS  31u /* fields 1 to 31 have a place */
#define VF_HEAD_PLAIN   (11u + VF_HEAD_FIELDS * 24u)
#define VF_HEAD_ROW_LEN (VF_HEAD_PLAIN + VF_HEAD_OVERHEAD)

struct vf_head_row {
    struct vf_head head;
    uint32_t last[VF_FIELD_COUNT]; /* the last generation given out; that of an image lives on while the image is absent */
};
void vf_head_row_seal(const struct vf_record_key *rk, const struct vf_vault_id *vault, const struct vf_head_row *row,
                      uint8_t out[VF_HEAD_ROW_LEN]);
VF_MUST_USE enum vf_err vf_head_row_open(const struct vf_record_key *rk, const struct vf_vault_id *vault,
                                         const struct vf_ref *ref, struct vf_slice sealed, struct vf_head_row *ret);
/* Wipe, for VF_CLEANUP. */
void vf_head_row_done(struct vf_head_row *row);
#define VF_HEAD_ROW VF_CLEANUP(vf_head_row_done) struct vf_head_row

/* ------------------------------------------------------------------------------------------------------------------- values */

#define VF_VALUE_KEY_LEN  (VF_REF_LEN + 1 + 4)
#define VF_VALUE_ROW_HEAD (4 + VF_SALT_LEN + VF_HASH_LEN)

struct vf_value_key {
    uint8_t b[VF_VALUE_KEY_LEN];
};
struct vf_value_row { /* borrows */
    uint32_t epoch;
    const uint8_t *s;
    struct vf_hash hash;
    const uint8_t *sealed;
    size_t sealed_len;
};
struct vf_value_key vf_value_key_of(const struct vf_ref *ref, unsigned field, uint32_t generation);
/* False when the key is not of a known field and a generation. */
VF_MUST_USE bool vf_value_key_parse(struct vf_slice key, struct vf_ref *ret_ref, unsigned *ret_field,
                                    uint32_t *ret_generation);
/* Sizes that no value of `field` has are refused. */
VF_MUST_USE bool vf_value_row_parse(struct vf_slice data, unsigned field, struct vf_value_row *ret);
size_t vf_value_row_len(unsigned field, size_t len);
/* Encrypt one value under the newest key of the record; `out` has vf_value_row_len bytes. */
VF_MUST_USE enum vf_err vf_value_row_seal(const struct vf_record_keys *keys, const struct vf_vault_id *vault, unsigned field,
                                          uint32_t generation, const void *plain, size_t len, uint8_t *out);
/* Decrypt into `out` (reset first). VF_E_DAMAGED. */
VF_MUST_USE enum vf_err vf_value_row_open(const struct vf_record_keys *keys, const struct vf_vault_id *vault, unsigned field,
                                          uint32_t generation, const struct vf_value_row *row, struct vf_buf *out);
/* True length in a CSV cell with quotes, for the head; 0 for images. */
uint32_t vf_value_quoted(unsigned field, const void *plain, size_t len);

/* --------------------------------------------------------------------------------------------------------------------- view */

struct vf_view {
    struct vf_vault *v;
    struct vf_txn *txn;
    struct vf_vault_keys *keys;    /* its own copy, NULL without VK */
    struct vf_record_keys *record; /* of the record looked at last */
    struct vf_head_row *head;      /* likewise */
    bool has_record, has_head;
};
/* Keys and head of a record, cached; valid until the next call. VF_E_NOT_FOUND. */
VF_MUST_USE enum vf_err vf_view_record(struct vf_view *view, const struct vf_ref *ref, const struct vf_record_keys **ret,
                                       struct vf_why *why);
VF_MUST_USE enum vf_err vf_view_head_row(struct vf_view *view, const struct vf_ref *ref, const struct vf_head_row **ret,
                                         struct vf_why *why);
/* Let others grow the map, and come back with a fresh snapshot. */
void vf_view_pause(struct vf_view *view);
VF_MUST_USE enum vf_err vf_view_resume(struct vf_view *view, struct vf_why *why);

/* ---------------------------------------------------------------------------------------------------- live grants and sweeping */

/* Manifests of live grants, borrowed from the transaction. */
struct vf_pins {
    struct vf_manifest *m;
    size_t n;
};
VF_MUST_USE enum vf_err vf_pins_load(const struct vf_vault *v, struct vf_txn *txn, int64_t now_us, struct vf_pins *ret,
                                     struct vf_why *why);
void vf_pins_done(struct vf_pins *pins);
VF_MUST_USE bool vf_pins_value(const struct vf_pins *pins, const struct vf_ref *ref, unsigned field, uint32_t generation);
VF_MUST_USE bool vf_pins_record(const struct vf_pins *pins, const struct vf_ref *ref);
#define VF_PINS VF_CLEANUP(vf_pins_done) struct vf_pins

/*
 * Drop every value that no head and no live grant names, in transactions of bounded size, and then the mark "staging". `full` false:
 * only when the mark is there.
 */
VF_MUST_USE enum vf_err vf_sweep(struct vf_vault *v, bool full, struct vf_why *why);
/* Keys of values that are to go. */
struct vf_doomed {
    struct vf_value_key *keys;
    size_t n, room;
};
void vf_doomed_done(struct vf_doomed *d);
#define VF_DOOMED VF_CLEANUP(vf_doomed_done) struct vf_doomed
/* Generations of one record that neither `head`, which it is about to get, nor a live grant names. */
VF_MUST_USE enum vf_err vf_sweep_record(struct vf_view *view, const struct vf_head_row *head, struct vf_doomed *ret,
                                        struct vf_why *why);

/* ------------------------------------------------------------------------------------------------------------------- changing */

/*
 * Wrap every record key anew, inside a transaction. A new epoch (erase keeps `epoch`): each record gets a further key, epochs that no
 * value uses any more are left out, its head is sealed under the new key and the blind index is made with `to`.
 */
struct vf_rewrap {
    const struct vf_vault_keys *from, *to;
    bool new_epoch;
    uint32_t epoch;
};
VF_MUST_USE enum vf_err vf_rewrap_records(struct vf_vault *v, struct vf_txn *txn, const struct vf_rewrap *what,
                                          struct vf_why *why);

/* Between the fields of a record: status and protect of the head, from their texts. */
VF_MUST_USE bool vf_head_take(struct vf_head_row *row, unsigned field, const char *text, size_t len);

#endif
