/* SPDX-License-Identifier: MIT */
/*
 * vault: the force's side. Policy and its chain of versions; the vault folder; records, values and generations; import; erase;
 * backup and restore; rekey; check.
 *
 * VAULT/            0700
 *   db/             LMDB (store.h): meta, vk, record, index, head, value, grant, manifest, device
 *   w               slot file (crypto.h): W; meta "w-seq" names the live one, the other is wiped
 *   log/ seal       the force's own log and its seal slots
 *   devices/FP/log/ copies of the logs that devices handed in (FP: hex of the enrolment's fingerprint)
 *
 * One process changes a vault at a time (the log's lock, waited for up to 10 s, then VF_E_BUSY); any number read. An object is used by
 * one thread at a time unless a function says otherwise. Every change is one LMDB transaction, with its log entry durable before the
 * transaction that publishes it; an entry without its change (crash between) is harmless and says "intent".
 */
#ifndef VAULTFS_VAULT_H
#define VAULTFS_VAULT_H

#include <vaultfs/audit.h>
#include <vaultfs/base.h>
#include <vaultfs/crypto.h>
#include <vaultfs/record.h>
#include <vaultfs/store.h>

/* ------------------------------------------------------------------------------------------------------------------ policy */

#define VF_ADMINS_MAX          16
#define VF_POLICY_VERSIONS_MAX 1000
#define VF_POLICY_MAX          (4u * 1024 * 1024)

/*
 * A policy file is every version since 1, each a signed note followed by an empty line. A version is in force when it and all before
 * it verify: k of the admins of the version before (k: that version's threshold) and k of its own have signed (version 1: its own),
 * and it holds the SHA-256 of the text before it. The last version may be short of signatures: pending.
 */
struct vf_policy { /* one version, parsed */
    struct vf_vault_id vault;
    uint32_t version;
    char force_name[121];
    unsigned threshold;
    size_t nadmins;
    struct vf_identity_pub admins[VF_ADMINS_MAX]; /* sorted by name; names and keys distinct */
    bool has_desk;
    struct vf_identity_pub desk;
    char desk_url[256];
    struct vf_hash commitment; /* vf_kdf_vault_commitment of VK */
    struct vf_hash text_hash;  /* SHA-256 of this version's note text */
    int64_t created_us;
};
struct vf_policy_chain {
    size_t ruling;           /* 0: none in force yet, else the version number in force */
    struct vf_policy policy; /* the ruling one; when none rules, zeroed */
    bool has_pending;
    struct vf_policy pending;
    size_t pending_new_sigs, pending_old_sigs; /* of pending: admins of its own / of the ruling version that signed */
    size_t nhashes;
    struct vf_hash *hashes; /* text hash of each version in force; hashes[v-1] */
    char *bytes;            /* the file, canonical */
    size_t len;
};
/* Parse and verify the chain. VF_E_FORGED when a signature of a known key fails or a link is broken; pending is no error. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_policy_chain_parse(const void *data, size_t len, const char *what,
                                                        struct vf_policy_chain *ret, struct vf_why *why);
VF_PUBLIC void vf_policy_chain_done(struct vf_policy_chain *chain);
/* The text of a version's note, appended to `out` (the encoder beside the decoder). */
VF_PUBLIC void vf_policy_put(const struct vf_policy *policy, const struct vf_hash *previous, struct vf_buf *out);
/* Add the signature of an admin (of the pending version, or of the ruling one before it) to the last version. VF_E_REFUSED for others. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_policy_chain_sign(const struct vf_policy_chain *chain, const struct vf_identity *admin,
                                                       struct vf_buf *out, struct vf_why *why);
/*
 * Is `other` the same chain, longer, shorter? VF_OK and *ret_cmp -1 (other is older), 0, 1 (newer); VF_E_FORGED when they fork.
 */
VF_PUBLIC VF_MUST_USE enum vf_err vf_policy_chain_compare(const struct vf_policy_chain *mine,
                                                          const struct vf_policy_chain *other, int *ret_cmp,
                                                          struct vf_why *why);
/* Keys of the ruling version's admins for vf_note_verify. */
VF_PUBLIC size_t vf_policy_admin_keys(const struct vf_policy *policy, struct vf_note_key ret[VF_ADMINS_MAX]);
/* Keys of the admins of every version in force so far (and of version 1, pending or not), each once: who may have signed the vault's log. Freed by the caller. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_policy_chain_signers(const struct vf_policy_chain *chain, struct vf_note_key **ret,
                                                          size_t *ret_n, struct vf_why *why);
/* Likewise the keys of their desks: who may have signed a desk's log. There may be none. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_policy_chain_desks(const struct vf_policy_chain *chain, struct vf_note_key **ret,
                                                        size_t *ret_n, struct vf_why *why);

/* ---------------------------------------------------------------------------------------------------------------- the vault */

struct vf_vault;

struct vf_vault_new {
    const char *force_name;
    const struct vf_identity_pub *admins;
    size_t nadmins;
    unsigned threshold;
    const struct vf_identity_pub *desk; /* or NULL */
    const char *desk_url;
};
/* Make the folder; policy version 1 signed by `creator` (one of admins); VK sealed to every admin. All or nothing. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_vault_create(const char *path, const struct vf_vault_new *what,
                                                  const struct vf_identity *creator, struct vf_why *why);

enum vf_vault_mode {
    VF_VAULT_PUBLIC, /* no identity: policy, grants, devices, counts; nothing secret */
    VF_VAULT_READ,   /* identity: VK opened; entries of what is viewed still go to the log */
    VF_VAULT_WRITE,  /* the log's lock is held from open to close */
};
/*
 * Open. `id` is NULL for PUBLIC. Finishes or undoes what a crash left (the other W slot, staged values). READ and WRITE refuse with
 * VF_E_UNSIGNED while no policy rules (except through vf_policy_install), VF_E_DENIED when `id` is no admin of it, VF_E_DAMAGED when VK does
 * not match the policy's commitment.
 */
VF_PUBLIC VF_MUST_USE enum vf_err vf_vault_open(const char *path, enum vf_vault_mode mode, const struct vf_identity *id,
                                                struct vf_vault **ret, struct vf_why *why);
VF_PUBLIC enum vf_err vf_vault_close(struct vf_vault *v, struct vf_why *why); /* seals the log; NULL is fine */
VF_PUBLIC void vf_vault_cleanup(struct vf_vault **v);
#define VF_VAULT VF_CLEANUP(vf_vault_cleanup) struct vf_vault *

/* Pictures for this vault are cleaned there from now on, by vf_import and vf_record_set; it outlives `v`. Without: in this process. */
VF_PUBLIC void vf_vault_sandbox(struct vf_vault *v, struct vf_image_sandbox *sandbox);

VF_PUBLIC const struct vf_policy_chain *vf_vault_policy(const struct vf_vault *v);
VF_PUBLIC const struct vf_vault_id *vf_vault_id_get(const struct vf_vault *v);
VF_PUBLIC const char *vf_vault_path(const struct vf_vault *v);
VF_PUBLIC const char *vf_vault_admin(const struct vf_vault *v); /* name of the identity it was opened with, or NULL */
VF_PUBLIC const struct vf_rules *vf_vault_rules(const struct vf_vault *v);
VF_PUBLIC int64_t vf_vault_max_grant_us(const struct vf_vault *v);
VF_PUBLIC int64_t vf_vault_restored_us(const struct vf_vault *v); /* when it was restored from a backup; 0: it was not */
/* The store and its tables, for the grant room. */
enum vf_vault_table {
    VF_VT_META,
    VF_VT_VK,       /* admin's fingerprint(32) -> sealed VK */
    VF_VT_RECORD,   /* ref -> record keys, one an epoch, wrapped */
    VF_VT_INDEX,    /* blind index(32) -> ref */
    VF_VT_HEAD,     /* ref -> sealed head */
    VF_VT_VALUE,    /* ref field generation(u32) -> epoch(u32) s(32) SHA-256 of sealed(32) sealed */
    VF_VT_GRANT,    /* grant id -> struct vf_grant_row */
    VF_VT_MANIFEST, /* SHA-256 -> manifest bytes (shared by renewals) */
    VF_VT_DEVICE,   /* fingerprint(32) -> enrolment, state */
    VF_VT_TIMES,    /* SHA-256 of a manifest -> i64 seconds a record: the times that its catalogues tell, for renewals */
    VF_VT_PREKEY,   /* batch(u32) -> a desk's one-time keys, and which were used; in no backup */
    VF_VT_COUNT
};
VF_PUBLIC struct vf_store *vf_vault_store(struct vf_vault *v);
/*
 * Log an operation, durable. In READ mode the log is opened for the call and closed again; in WRITE mode it is open already.
 */
VF_PUBLIC VF_MUST_USE enum vf_err vf_vault_log(struct vf_vault *v, const struct vf_entry *entry, struct vf_why *why);

struct vf_vault_settings {
    const char *ranks; /* file content, one a line, or NULL: unchanged */
    size_t ranks_len;
    const char *warrant_pattern; /* or NULL */
    int64_t max_grant_us;        /* 0: unchanged */
};
VF_PUBLIC VF_MUST_USE enum vf_err vf_vault_set(struct vf_vault *v, const struct vf_vault_settings *s, struct vf_why *why);

struct vf_vault_counts {
    uint64_t records, values, grants, devices, map_bytes;
    uint64_t w_changes;
    uint32_t epoch;
};
VF_PUBLIC VF_MUST_USE enum vf_err vf_vault_counts_get(struct vf_vault *v, struct vf_vault_counts *ret, struct vf_why *why);

/*
 * Structural walk in a child, then every value's hash; with VK (READ mode) every record opened, every value decrypted, index and heads
 * compared, orphans counted. `path` alone: without key. Findings through `finding` (one line each, refs only).
 */
struct vf_vault_check_report {
    uint64_t records, values, orphans, findings;
};
VF_PUBLIC VF_MUST_USE enum vf_err vf_vault_check(const char *path, const struct vf_identity *id,
                                                 void (*finding)(void *user, const char *line),
                                                 void (*progress)(void *user, uint64_t done, uint64_t total), void *user,
                                                 struct vf_vault_check_report *ret, struct vf_why *why);

/* ---------------------------------------------------------------------------------------------------------------- manifests */

/*
 * What a grant names, one row a record. The vault reads manifests to know which old generations a live grant still needs; the grant
 * room writes them. Bytes (docs/format.md):
 *
 *   "VFMANIF1" || vault id 16 || u32 nrecords || u8 nfields || nfields * u8 field, ascending
 *   || per record, refs ascending: ref 8 || per field: u32 generation || SHA-256 of the sealed bytes 32
 *
 * An absent image is generation 0 and 32 zeroes; a text field always has a generation.
 */
#define VF_MANIFEST_MAGIC       "VFMANIF1"
#define VF_MANIFEST_RECORDS_MAX 1000000u
#define VF_MANIFEST_ITEM_LEN    (4 + VF_HASH_LEN)
#define VF_MANIFEST_MAX \
    ((size_t)(64 + (size_t)VF_MANIFEST_RECORDS_MAX * (VF_REF_LEN + (size_t)VF_FIELD_COUNT * VF_MANIFEST_ITEM_LEN)))

struct vf_manifest { /* a view; borrows the bytes it was parsed from */
    struct vf_vault_id vault;
    uint32_t nrecords;
    unsigned nfields;
    uint8_t fields[VF_FIELD_COUNT]; /* ascending */
    vf_field_set set;               /* the same as a set */
    const uint8_t *rows;
    size_t stride;
};
struct vf_manifest_item {
    uint32_t generation; /* 0: an absent image */
    struct vf_hash hash;
};
/* Strict and whole: every row is looked at, nothing may follow. VF_E_FORMAT names `what`. Needs no memory. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_manifest_parse(const void *data, size_t len, const char *what, struct vf_manifest *ret,
                                                    struct vf_why *why);
/* The row of `ref`, by binary search. */
VF_PUBLIC VF_MUST_USE bool vf_manifest_find(const struct vf_manifest *m, const struct vf_ref *ref, uint32_t *ret_row);
/* row < nrecords. */
VF_PUBLIC void vf_manifest_ref(const struct vf_manifest *m, uint32_t row, struct vf_ref *ret);
/* Place of `field` in the rows, 0 to nfields - 1; -1 when the manifest does not name it. */
VF_PUBLIC int vf_manifest_column(const struct vf_manifest *m, unsigned field);
/* row < nrecords, column < nfields. */
VF_PUBLIC void vf_manifest_item(const struct vf_manifest *m, uint32_t row, unsigned column, struct vf_manifest_item *ret);
/* The encoder, into one buffer: head once, then for each record (in ref order) its ref and one item a field, in field order. */
VF_PUBLIC void vf_manifest_put_head(struct vf_buf *out, const struct vf_vault_id *vault, uint32_t nrecords,
                                    vf_field_set fields);
VF_PUBLIC void vf_manifest_put_ref(struct vf_buf *out, const struct vf_ref *ref);
VF_PUBLIC void vf_manifest_put_item(struct vf_buf *out, uint32_t generation,
                                    const struct vf_hash *hash); /* 0: hash unused */

/*
 * A row of VF_VT_GRANT: what the vault must know of a grant without reading its note, then the note's bytes.
 * u8 version 1 || u8 state || u8 flags || u64 until || manifest hash 32 || device fingerprint 32 || note
 */
enum vf_grant_state { VF_GRANT_ISSUED = 1, VF_GRANT_REVOKED = 2 };
#define VF_GRANT_ROW_HEAD (1 + 1 + 1 + 8 + VF_HASH_LEN + VF_HASH_LEN)
struct vf_grant_row {
    enum vf_grant_state state;
    bool exported; /* a bundle was written for it (flag bit 0) */
    int64_t until_us;
    struct vf_hash manifest; /* key in VF_VT_MANIFEST */
    struct vf_hash device;   /* key in VF_VT_DEVICE */
    struct vf_slice note;    /* borrowed */
};
VF_PUBLIC void vf_grant_row_put(const struct vf_grant_row *row, struct vf_buf *out);
VF_PUBLIC VF_MUST_USE enum vf_err vf_grant_row_parse(const void *data, size_t len, struct vf_grant_row *ret,
                                                     struct vf_why *why);
/* Not revoked, and its end has not come: its values are kept. */
VF_PUBLIC VF_MUST_USE bool vf_grant_row_live(const struct vf_grant_row *row, int64_t now_us);

/* ------------------------------------------------------------------------------------------------------------------ records */

struct vf_field_state {  /* of one field of one record, from its head */
    uint32_t generation; /* 0: an image that is absent */
    uint32_t epoch;
    uint32_t len;        /* true length in bytes */
    uint32_t quoted_len; /* of text: in a CSV cell with quotes */
    int64_t changed_us;
};
struct vf_head { /* decrypted; wipe after use */
    struct vf_ref ref;
    enum vf_protect protect;
    enum vf_status status;
    int64_t created_us;
    struct vf_field_state f[VF_FIELD_COUNT]; /* indexed by vf_field */
};
/* A snapshot for reading records; usable from one thread at a time, any number at once. */
struct vf_view;
VF_PUBLIC VF_MUST_USE enum vf_err vf_view_open(struct vf_vault *v, struct vf_view **ret, struct vf_why *why);
VF_PUBLIC void vf_view_close(struct vf_view *view);
VF_PUBLIC void vf_view_cleanup(struct vf_view **view);
#define VF_VIEW VF_CLEANUP(vf_view_cleanup) struct vf_view *
/* In ref order. `each` returns an error to stop (VF_E_NOT_FOUND stops quietly with VF_OK). The head is valid for the call. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_view_each(struct vf_view *view,
                                               enum vf_err (*each)(void *user, const struct vf_head *head,
                                                                   struct vf_why *why),
                                               void *user, struct vf_why *why);
/* The refs of all records alone, in order, without opening a head: whether their heads open shows when they are asked for. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_view_refs(struct vf_view *view,
                                               enum vf_err (*each)(void *user, const struct vf_ref *ref, struct vf_why *why),
                                               void *user, struct vf_why *why);
VF_PUBLIC VF_MUST_USE enum vf_err vf_view_head(struct vf_view *view, const struct vf_ref *ref, struct vf_head *ret,
                                               struct vf_why *why);
VF_PUBLIC VF_MUST_USE enum vf_err vf_view_find(struct vf_view *view, const char *warrant_no, size_t len, struct vf_ref *ret,
                                               struct vf_why *why);
/* Decrypt one value (generation 0: the current one) into `out`, which the caller wipes (vf_buf_done does). Absent image: empty. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_view_value(struct vf_view *view, const struct vf_ref *ref, unsigned field,
                                                uint32_t generation, struct vf_buf *out, struct vf_why *why);
/*
 * What a grant needs of one value: its key, the hash of the stored ciphertext and its size. Key in the arena or on the stack;
 * caller wipes. VF_E_NOT_FOUND when that generation is gone.
 */
struct vf_value_grant {
    struct vf_field_key key;
    struct vf_hash hash; /* SHA-256 of the sealed bytes */
    uint32_t sealed_len;
};
VF_PUBLIC VF_MUST_USE enum vf_err vf_view_value_grant(struct vf_view *view, const struct vf_ref *ref, unsigned field,
                                                      uint32_t generation, struct vf_value_grant *ret, struct vf_why *why);
/* Borrow the sealed bytes; valid until the view is closed. Needs no VK. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_view_sealed(struct vf_view *view, const struct vf_ref *ref, unsigned field,
                                                 uint32_t generation, struct vf_slice *ret, struct vf_why *why);
/* Shares of a grant from VK and W as they are now. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_vault_grant_share(struct vf_vault *v, const struct vf_grant_id *grant,
                                                       struct vf_grant_share *ret, struct vf_why *why);
VF_PUBLIC VF_MUST_USE enum vf_err vf_vault_release_secret(struct vf_vault *v, const struct vf_grant_id *grant,
                                                          struct vf_release_secret *ret, struct vf_why *why);

/* Set fields of a record (values are checked and normalised first): a new generation each; unchanged values stay. */
struct vf_field_value {
    enum vf_field field;
    const void *data; /* text, or the image file's bytes as they came; len 0 empties the field */
    size_t len;
};
VF_PUBLIC VF_MUST_USE enum vf_err vf_record_set(struct vf_vault *v, const struct vf_ref *ref,
                                                const struct vf_field_value *values, size_t n, struct vf_why *why);

enum vf_erase_reason { VF_ERASE_LEAVER, VF_ERASE_DUPLICATE, VF_ERASE_COURT, VF_ERASE_OTHER };
/*
 * Erase records for good: (1) entry; (2) new W to the other slot, durable; (3) one transaction: rows of the erased gone, all other record
 * keys wrapped under the new W, meta names it; (4) the old slot wiped. *ret_live: ids of live grants that still name an erased record
 * (their stations can read it until their end) - for the caller to tell; freed by the caller.
 */
VF_PUBLIC VF_MUST_USE enum vf_err vf_record_erase(struct vf_vault *v, const struct vf_ref *refs, size_t n,
                                                  enum vf_erase_reason reason, struct vf_grant_id **ret_live,
                                                  size_t *ret_nlive, struct vf_why *why);

/* ------------------------------------------------------------------------------------------------------------------- import */

struct vf_import_options {
    const char *csv_path;
    const char *photos_dir;    /* or NULL */
    enum vf_field photo_key;   /* its value names the files; default warrant_no */
    const char *map_path;      /* or NULL */
    const char *date_format;   /* or NULL: ISO */
    const char *rejects_path;  /* or NULL; header and the bad rows as they were, mended and imported again; 0600 */
    const char *refs_out_path; /* or NULL; CSV: row, ref, new|changed|unchanged; 0600; never names */
    bool check, full_snapshot, photo_fit, force;
    bool no_decode; /* benchmarks only: photos are cleaned without being decoded in full, and without a sandbox */
    void (*problem)(void *user, uint32_t row, const char *column, const char *reason, bool warning); /* column may be NULL */
    void (*progress)(void *user, uint64_t done, uint64_t total);
    void *user;
};
struct vf_import_report {
    uint64_t rows, added, changed, unchanged, leavers, bad_rows, bad_photos, warnings;
    uint64_t photos, photos_missing, photos_orphan, photos_duplicate;
    uint64_t exif, gps, thumbnails, xmp, iptc, comments, mpf, trailing, turned, reencoded, scaled;
};
/*
 * Import a CSV and a folder of photos: upsert by warrant_no. Good rows go in by one commit, bad ones are told one by one; VF_E_PARTIAL when
 * some were bad. A bad photo keeps its row's text out? No: the row goes in without the photo (which stays as it was), the photo is listed.
 * Photos are cleaned and values encrypted on all cores; values are staged in transactions of bounded size and published by the last one.
 */
VF_PUBLIC VF_MUST_USE enum vf_err vf_import(struct vf_vault *v, const struct vf_import_options *opt,
                                            struct vf_import_report *ret, struct vf_why *why);

/* ----------------------------------------------------------------------------------------------- policy changes, rekey, backup */

struct vf_policy_change {
    const struct vf_identity_pub *add;
    size_t nadd;
    const char *const *remove;
    size_t nremove;
    unsigned threshold; /* 0: unchanged */
    const struct vf_identity_pub *desk;
    const char *desk_url;
};
/* The next version, signed by `admin`, as a policy file in `out` (the whole chain); the vault is unchanged. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_policy_change_make(struct vf_vault *v, const struct vf_policy_change *change,
                                                        const struct vf_identity *admin, struct vf_buf *out,
                                                        struct vf_why *why);
/*
 * A next version with the commitment of a new VK; the new VK, sealed to each admin, waits in the vault. It comes into force when that version
 * is installed: every record key wrapped anew, every record given a new record key for what is written from then on (a new epoch), the
 * blind index made anew.
 */
VF_PUBLIC VF_MUST_USE enum vf_err vf_vault_rekey(struct vf_vault *v, const struct vf_identity *admin, struct vf_buf *out,
                                                 struct vf_why *why);
/* Install a policy file: must extend the chain in the vault. Pending: stored, the old one rules (*ret_pending true). In one transaction. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_policy_install(const char *vault_path, const void *data, size_t len,
                                                    const struct vf_identity *admin, bool *ret_pending, struct vf_why *why);

/*
 * Backup: one flat file (rows, W, policy, log), written from a consistent snapshot while others work; never an LMDB image, since LMDB never
 * reads a file from outside. Restore parses it strictly into a new folder, starts a new log that names the old one's checkpoint, and checks.
 */
VF_PUBLIC VF_MUST_USE enum vf_err vf_vault_backup(const char *vault_path, const char *file, bool force,
                                                  void (*progress)(void *user, uint64_t done, uint64_t total), void *user,
                                                  struct vf_why *why);
VF_PUBLIC VF_MUST_USE enum vf_err vf_vault_restore(const char *file, const char *vault_path, const struct vf_identity *admin,
                                                   void (*progress)(void *user, uint64_t done, uint64_t total), void *user,
                                                   struct vf_why *why);

/*
 * Read a backup front to back without any key, strictly, as a restore does: every row, then every file (logs) bit by bit. What it holds
 * that is secret (W) is not handed over. Everything is borrowed for the call; `on_file` begins a file, `on_data` is of the file last begun.
 * *ret_created_us: when it was made. What was told is void when an error comes: the hash is at the end.
 */
struct vf_backup_calls {
    void *user;
    enum vf_err (*on_row)(void *user, enum vf_vault_table table, struct vf_slice key, struct vf_slice val,
                          struct vf_why *why);
    enum vf_err (*on_file)(void *user, const char *path, uint64_t len, struct vf_why *why);
    enum vf_err (*on_data)(void *user, const uint8_t *data, size_t len, struct vf_why *why);
};
VF_PUBLIC VF_MUST_USE enum vf_err vf_backup_read(const char *file, const struct vf_backup_calls *calls,
                                                 struct vf_vault_id *ret_vault, int64_t *ret_created_us, struct vf_why *why);

#endif
