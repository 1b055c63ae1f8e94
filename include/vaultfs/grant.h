/* SPDX-License-Identifier: MIT */
/*
 * grant: what a supplier may read. Issue, co-sign, verify; manifest, envelopes, catalogue; bundles; enrolments; revocations.
 *
 * Everything a station receives is flat, bounded and parsed here. The upper half (parse, verify, open) needs no vault and is what
 * stations use; the lower half (issue, derive anew, renew, export) works on a vault.
 *
 * A grant file:   "VFGRANT1" ‖ u32 note length ‖ note ‖ u64 manifest length ‖ manifest ‖ u64 envelopes length ‖ envelopes
 *                 ‖ u64 catalogue length ‖ catalogue
 * Envelopes:      "VFENVEL1" ‖ grant id 16 ‖ u32 nrecords ‖ u8 ntext ‖ u8 nimage ‖ per record in manifest order: text envelope (ntext*32+16
 *                 bytes, absent when ntext is 0), image envelope (nimage*32+16; keys of absent images are zeroes)
 * Catalogue:      "VFCATAL1" ‖ grant id 16 ‖ one AEAD message of: u32 nrecords ‖ per record: ref 8 ‖ i64 newest change (seconds) ‖ per
 *                 granted field in order: text: u16 true length, u16 quoted length; image: u32 true length (0: absent)
 * Bundle:         "VFBUNDL1" ‖ vault id 16 ‖ u32 nvalues ‖ index, sorted: ref 8 ‖ field u8 ‖ generation u32 ‖ length u32 ‖ then the
 *                 sealed values in that order, nothing between or after
 */
#ifndef VAULTFS_GRANT_H
#define VAULTFS_GRANT_H

#include <vaultfs/vault.h>

#define VF_GRANT_RECORDS_MAX VF_MANIFEST_RECORDS_MAX
#define VF_GRANT_FILE_MAX    (UINT64_C(2) << 30)
#define VF_PURPOSE_MAX       200 /* bytes */

/* --------------------------------------------------------------------------------------------------------------- enrolments */

/*
 * X.enrol: a note "vaultfs enrolment v1", signed by the device itself: station name, device public line, vault id of the force it is
 * for, log origin (its whole note, base64), time. The log id is SHA-256 of that origin note; the enrolment id SHA-256 of the text.
 */
#define VF_ENROL_MAX 8192
struct vf_enrol {
    char name[VF_NAME_MAX + 1];
    struct vf_identity_pub device;
    struct vf_vault_id vault;
    struct vf_hash log_id;
    struct vf_hash id;
    int64_t created_us;
    char origin[2048]; /* the origin note */
    size_t origin_len;
};
/* `now_us` is cut to whole seconds. Appended to `out`. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_enrol_make(const struct vf_identity *device, const struct vf_vault_id *vault,
                                                const char *origin_note, size_t origin_len, int64_t now_us,
                                                struct vf_buf *out, struct vf_why *why);
/*
 * Strict. Checked: the device's signature on the note, and that the origin is a station log's, owned and signed by the same device.
 * VF_E_LIMIT, VF_E_FORMAT, VF_E_VERSION, VF_E_FORGED, VF_E_UNSIGNED.
 */
VF_PUBLIC VF_MUST_USE enum vf_err vf_enrol_parse(const void *data, size_t len, const char *what, struct vf_enrol *ret,
                                                 struct vf_why *why);

/* ------------------------------------------------------------------------------------------------------------ the grant text */

enum vf_release { VF_RELEASE_OFFLINE, VF_RELEASE_ONLINE };

struct vf_grant { /* the parsed text */
    struct vf_grant_id id;
    struct vf_vault_id vault;
    char force_name[121];
    uint32_t policy_version;
    struct vf_hash policy_hash;
    bool renews;
    struct vf_grant_id renewed; /* of the grant that this one follows */
    char job[VF_JOB_MAX + 1];
    char recipient[VF_NAME_MAX + 1];
    struct vf_hash enrolment;
    char purpose[VF_PURPOSE_MAX + 1];
    char issuer[VF_NAME_MAX + 1]; /* the admin who issued it */
    uint32_t records;
    vf_field_set fields;
    int64_t issued_us, from_us, until_us;
    enum vf_release release;
    uint64_t budget; /* distinct records a part; 0: none */
    bool clock_reset;
    uint8_t sealed_share[VF_SEALED_KEY_LEN];
    /* online only */
    uint8_t sealed_secret[VF_SEALED_KEY_LEN];
    uint32_t prekey_batch, prekey_number;
    char desk_url[256];
    struct vf_hash manifest_hash, envelopes_hash, catalogue_hash;
    struct vf_hash text_hash;
};
/*
 * Encoder and strict decoder of the note's text (readable "key: value" lines in one fixed order; docs/format.md). What is read is put again
 * and compared, so there is one way to write a grant. Times are whole seconds (put cuts them). VF_E_VERSION, VF_E_FORMAT, and
 * VF_E_CLASS_REFUSED when a field of class C is named.
 */
VF_PUBLIC void vf_grant_put(const struct vf_grant *g, struct vf_buf *out);
VF_PUBLIC VF_MUST_USE enum vf_err vf_grant_parse(const struct vf_note *note, const char *what, struct vf_grant *ret,
                                                 struct vf_why *why);

/* A grant file held in memory or mapped: views into the caller's bytes. */
struct vf_grant_file {
    struct vf_note note;
    struct vf_grant grant;
    const uint8_t *note_bytes;
    size_t note_len;
    struct vf_manifest manifest; /* vault.h */
    const uint8_t *manifest_bytes;
    size_t manifest_len;
    const uint8_t *envelopes;
    size_t envelopes_len;
    const uint8_t *catalogue;
    size_t catalogue_len;
};
/* Strict: every length, order and hash checked (manifest, envelopes, catalogue against the text). Signatures are not looked at. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_grant_file_parse(const void *data, size_t len, const char *what,
                                                      struct vf_grant_file *ret, struct vf_why *why);
/*
 * k of n under the ruling policy of `chain`, which must be the version that the grant names or a newer one in which k of its admins
 * still sign. VF_E_UNSIGNED (says who is missing: "1 of 2 signatures"), VF_E_FORGED (a signature fails, or the named version is not the
 * one known), VF_E_STALE (the grant names a newer policy than is known), VF_E_REFUSED (another force's grant).
 */
VF_PUBLIC VF_MUST_USE enum vf_err vf_grant_verify(const struct vf_grant_file *file, const struct vf_policy_chain *chain,
                                                  struct vf_why *why);
/* The window against `now_us`: VF_E_NOT_YET, VF_E_EXPIRED, with the sentence a person gets. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_grant_window(const struct vf_grant *g, int64_t now_us, struct vf_why *why);
/* "enforced by software, not by cryptography" or the online sentence: used by tool, grant text, mount and log alike. */
VF_PUBLIC const char *vf_grant_ends_text(const struct vf_grant *g);

/* -------------------------------------------------------------------------------------------------------- opening on a device */

/* Sizes of one record's rows, from the field set. */
struct vf_grant_layout {
    unsigned nfields, ntext, nimage;
    uint8_t field[VF_FIELD_COUNT];      /* granted fields, ascending */
    uint8_t text_field[VF_FIELD_COUNT]; /* those of the text part */
    uint8_t image_field[VF_FIELD_COUNT];
    size_t manifest_stride, envelope_stride, text_envelope_len, image_envelope_len, catalogue_stride;
};
VF_PUBLIC void vf_grant_layout_of(vf_field_set fields, struct vf_grant_layout *ret);
/* Offset of record `index`'s envelope of `part` inside the envelopes bytes; *ret_len 0 when that part is not granted. */
VF_PUBLIC size_t vf_envelope_at(const struct vf_grant_layout *l, uint32_t index, enum vf_part part, size_t *ret_len);
/*
 * Field keys of one record's part from its envelope. `rs`: the release share (vf_kdf_release_share_offline for offline grants).
 * keys has room for ntext or nimage. VF_E_DAMAGED when the envelope does not open.
 */
VF_PUBLIC VF_MUST_USE enum vf_err vf_grant_open_keys(const struct vf_grant *g, const struct vf_grant_layout *l,
                                                     const struct vf_grant_share *gs, const struct vf_release_share *rs,
                                                     const struct vf_ref *ref, enum vf_part part, const uint8_t *envelope,
                                                     struct vf_field_key *ret_keys);

/*
 * The decrypted catalogue: what a listing needs. Fixed stride, ascending refs; ordinary memory, wiped by vf_catalogue_free. Every row is
 * checked against the manifest. VF_E_DAMAGED when it does not open with the share, VF_E_FORMAT when it contradicts the manifest.
 */
struct vf_catalogue;
VF_PUBLIC VF_MUST_USE enum vf_err vf_catalogue_decode(const struct vf_grant *g, const struct vf_grant_share *gs,
                                                      const struct vf_manifest *manifest, const uint8_t *bytes, size_t len,
                                                      struct vf_catalogue **ret, struct vf_why *why);
VF_PUBLIC void vf_catalogue_free(struct vf_catalogue *c);
VF_PUBLIC uint32_t vf_catalogue_count(const struct vf_catalogue *c);
VF_PUBLIC const struct vf_ref *vf_catalogue_ref(const struct vf_catalogue *c, uint32_t index);
VF_PUBLIC bool vf_catalogue_find(const struct vf_catalogue *c, const struct vf_ref *ref, uint32_t *ret_index);
VF_PUBLIC int64_t vf_catalogue_changed_us(const struct vf_catalogue *c, uint32_t index);
/* True length; for images 0 means absent. `field` must be granted. */
VF_PUBLIC uint32_t vf_catalogue_len(const struct vf_catalogue *c, uint32_t index, unsigned field);
VF_PUBLIC uint32_t vf_catalogue_quoted_len(const struct vf_catalogue *c, uint32_t index, unsigned field); /* text */

/* ------------------------------------------------------------------------------------------------------------------ bundles */

struct vf_bundle_value {
    struct vf_ref ref;
    uint8_t field;
    uint32_t generation;
    uint32_t len;
};
/*
 * Read a bundle from a file descriptor front to back with bounded memory: each value is handed over whole, in order. Strict: sizes,
 * order, end; an entry of class C is VF_E_CLASS_REFUSED. Authenticity is the caller's: compare SHA-256 with the manifest of a verified
 * grant. `fd` stays the caller's, stands at the beginning of the bundle and may be a pipe; `what` is copied. Of a regular file the size is
 * checked at once, so a bundle cut short is refused before its first value. After a failure every further call fails.
 */
struct vf_bundle_reader;
VF_PUBLIC VF_MUST_USE enum vf_err vf_bundle_open(int fd, const char *what, struct vf_bundle_reader **ret,
                                                 struct vf_why *why);
VF_PUBLIC const struct vf_vault_id *vf_bundle_vault(const struct vf_bundle_reader *r);
VF_PUBLIC uint32_t vf_bundle_count(const struct vf_bundle_reader *r);
VF_PUBLIC uint64_t vf_bundle_bytes(const struct vf_bundle_reader *r); /* of all its values */
/* The next value; *ret_data is valid until the next call. VF_E_NOT_FOUND after the last (then the end was checked too). */
VF_PUBLIC VF_MUST_USE enum vf_err vf_bundle_next(struct vf_bundle_reader *r, struct vf_bundle_value *ret,
                                                 const uint8_t **ret_data, struct vf_why *why);
VF_PUBLIC void vf_bundle_close(struct vf_bundle_reader *r);
VF_PUBLIC void vf_bundle_cleanup(struct vf_bundle_reader **r);

/* -------------------------------------------------------------------------------------------------------------- revocations */

/* X.revoked: note "vaultfs revocation v1": vault id, what (grant id, or device enrolment id and name), prekeys, reason, time; 1 admin. */
#define VF_REVOCATION_KEYS_MAX 128
struct
    vf_revoked_key { /* the one-time key of an online grant to a device that is revoked: the desk may never have seen the grant */
    struct vf_grant_id grant;
    uint32_t batch, number;
};
struct vf_revocation {
    struct vf_vault_id vault;
    bool is_device;
    struct vf_grant_id grant;
    struct vf_hash device;                /* enrolment id */
    char name[VF_NAME_MAX + 1];           /* of the device, or of the device that the grant is for */
    uint32_t prekey_batch, prekey_number; /* of the grant; batch 0: none */
    size_t nkeys;                         /* of a device; ascending by grant */
    struct vf_revoked_key keys[VF_REVOCATION_KEYS_MAX];
    char reason[VF_PURPOSE_MAX + 1];
    int64_t time_us;
};
VF_PUBLIC VF_MUST_USE enum vf_err vf_revocation_make(const struct vf_revocation *r, const struct vf_identity *admin,
                                                     struct vf_buf *out, struct vf_why *why);
/* Parse and verify under the ruling policy. VF_E_UNSIGNED: no admin of it signed; VF_E_REFUSED: of another force. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_revocation_parse(const void *data, size_t len, const char *what,
                                                      const struct vf_policy_chain *chain, struct vf_revocation *ret,
                                                      struct vf_why *why);

/* ------------------------------------------------------------------------------------------------------------------ prekeys */

/*
 * desk.prekeys: note "vaultfs prekeys v1": the public halves of a batch of one-time keys (crypto.h), signed by the desk that has the
 * secret ones. At `last_us` the desk destroys every key of the batch, used or not: no grant may end after it.
 */
#define VF_PREKEYS_MAX      10000 /* keys of a batch */
#define VF_PREKEY_BATCH_MAX 999999
#define VF_PREKEYS_FILE_MAX VF_NOTE_MAX
struct vf_prekey_batch {
    char desk[VF_NAME_MAX + 1];
    uint8_t store[VF_PREKEY_STORE_LEN];
    uint32_t batch; /* 1 and up; 0 stands for "none" elsewhere */
    uint32_t count;
    int64_t made_us, last_us;   /* whole seconds */
    struct vf_prekey_pub *keys; /* number n is keys[n]; owned */
};
VF_PUBLIC void vf_prekey_batch_done(struct vf_prekey_batch *b);
/* The note, appended to `out`. VF_E_REFUSED when `desk` is not that desk. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_prekeys_make(const struct vf_prekey_batch *b, const struct vf_identity *desk,
                                                  struct vf_buf *out, struct vf_why *why);
/* Parse and verify; `desk` is the policy's. VF_E_UNSIGNED: it did not sign them. Give *ret to vf_prekey_batch_done. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_prekeys_parse(const void *data, size_t len, const char *what,
                                                   const struct vf_identity_pub *desk, struct vf_prekey_batch *ret,
                                                   struct vf_why *why);
/*
 * Take a batch into the vault (WRITE): entry in its log, then the row. Of the policy's desk; again is fine. VF_E_REFUSED: another batch of that number is
 * there, or it was made before this vault was restored.
 */
struct vf_prekeys_report {
    uint32_t batch, count;
    int64_t last_us;
    bool known; /* it was there already */
};
VF_PUBLIC VF_MUST_USE enum vf_err vf_prekeys_install(struct vf_vault *v, const struct vf_identity *admin, const void *data,
                                                     size_t len, const char *what, struct vf_prekeys_report *ret,
                                                     struct vf_why *why);
/* Keys that are free and live at `now_us`, and the time by which the last of all is destroyed (0: there is none). */
VF_PUBLIC VF_MUST_USE enum vf_err vf_prekeys_left(struct vf_vault *v, int64_t now_us, uint64_t *ret_free,
                                                  int64_t *ret_latest_us, struct vf_why *why);

/* What a file from outside is, by its first bytes (32 are enough): for `station receive` and friends. */
enum vf_artefact {
    VF_ARTEFACT_UNKNOWN,
    VF_ARTEFACT_POLICY,
    VF_ARTEFACT_GRANT,
    VF_ARTEFACT_BUNDLE,
    VF_ARTEFACT_ENROL,
    VF_ARTEFACT_REVOCATION,
    VF_ARTEFACT_RECEIPT, /* a checkpoint note */
    VF_ARTEFACT_HANDIN,
    VF_ARTEFACT_PREKEYS,
    VF_ARTEFACT_IDENTITY
};
VF_PUBLIC enum vf_artefact vf_artefact_of(const uint8_t *head, size_t len);
VF_PUBLIC const char *vf_artefact_text(enum vf_artefact a); /* "a grant", … for messages */

/* ------------------------------------------------------------------------------------------------------------------ at the force */

struct vf_where {
    enum vf_field field;
    const char *value;
};
/*
 * Which records: all, a list (refs or warrant numbers, one a line), conditions (all must hold); a list with conditions: those of the list
 * for which they hold. For a grant, `all` and conditions leave out protected records and leavers and count them; a list that names a
 * protected record is VF_E_PROTECTED unless it does so by ref and include_protected is set; a leaver in a list is taken, and counted.
 */
struct vf_selection {
    bool all;
    const char *list_path;
    const struct vf_where *where;
    size_t nwhere;
    bool include_protected;
    bool for_grant; /* as said above; refuses conditions on class C fields, VF_E_CLASS_REFUSED */
};
/*
 * Sorted distinct refs, freed by vf_selected_done; there may be none. Counts of who was left out, and of who is in though he has left or is
 * protected. VF_E_INPUT names the line of a bad list (never what stands there: a number is a field's value).
 */
struct vf_selected {
    struct vf_ref *refs;
    size_t n;
    uint64_t left_protected, left_leavers;
    uint64_t leavers, protected_in;
};
VF_PUBLIC VF_MUST_USE enum vf_err vf_select(struct vf_vault *v, const struct vf_selection *sel, struct vf_selected *ret,
                                            struct vf_why *why);
VF_PUBLIC void vf_selected_done(struct vf_selected *s);

struct vf_issue_options {
    const struct vf_enrol *to;
    const uint8_t *enrol_bytes; /* kept in the vault */
    size_t enrol_len;
    const char *job;
    vf_field_set fields;
    struct vf_selection records;
    int64_t now_us, from_us, until_us;
    const char *purpose;
    enum vf_release release;
    uint64_t budget;
    bool allow_incomplete, clock_reset, check;
    void (*progress)(void *user, uint64_t done, uint64_t total);
    void *user;
};
struct vf_issue_report {
    uint64_t records, incomplete, left_protected, left_leavers, missing_photos;
    uint64_t leavers, protected_in; /* in the grant by a list's word */
    struct vf_ref *incomplete_refs; /* freed by vf_issue_report_done */
    uint64_t bytes_to_send;         /* a bundle's size for what the device was not yet sent */
    bool offline_before;            /* for online: this device had an offline grant of some of these values */
};
VF_PUBLIC void vf_issue_report_done(struct vf_issue_report *r);
/*
 * All of these want the vault opened in WRITE mode when they change it (issue, sign, renew, revoke, device_*, export), so that nothing
 * changes between what is derived and what is kept; rederive and review are content with READ, lists with PUBLIC. Each writes its entry to the
 * vault's log, durably, before anything is handed over.
 *
 * Make a grant, signed by `admin`, into `out` (a grant file, appended) and remember it in the vault. Refusals: VF_E_CLASS_REFUSED (class C),
 * VF_E_PROTECTED, VF_E_REFUSED (no admin of the policy in force; incomplete records without allow_incomplete; device revoked, or enrolled
 * under the name of another one; window over the vault's maximum; enrolment of another force; the job's name in use on that device by a grant
 * that has not ended), VF_E_UNSUPPORTED (online), VF_E_INPUT. Times are cut to whole seconds. `check` only reports; what would be refused is
 * refused all the same. *report is set as far as it was known when a refusal came (incomplete_refs), and freed by vf_issue_report_done.
 * Contents are derived on all cores: 47,000 records of ten fields take about a second of processor time.
 */
VF_PUBLIC VF_MUST_USE enum vf_err vf_grant_issue(struct vf_vault *v, const struct vf_identity *admin,
                                                 const struct vf_issue_options *opt, struct vf_grant_id *ret_id,
                                                 struct vf_buf *out, struct vf_issue_report *report, struct vf_why *why);
/*
 * Derive the whole contents of a grant anew from this vault and compare with the file (the sealed boxes excepted). A new grant must name
 * the current version of every field, a renewal what the renewed grant named. VF_E_FORGED names the first record and field that differ, or
 * says that other keys made it (another vault, or before an erase or rekey); VF_E_STALE: a value was changed after the grant was issued;
 * VF_E_REFUSED: of another force, or renews what this vault does not know; VF_E_REVOKED: renews what was revoked.
 */
VF_PUBLIC VF_MUST_USE enum vf_err vf_grant_rederive(struct vf_vault *v, const struct vf_grant_file *file,
                                                    struct vf_why *why);
/*
 * Add a signature; the new file goes to `out`. With v: the signer is an admin of the policy in force (VF_E_REFUSED), the signatures on it
 * hold, the issuer's among them (VF_E_FORGED, VF_E_UNSIGNED), grant and device are not revoked (VF_E_REVOKED), vf_grant_rederive; then the grant is
 * remembered in the vault. Without v (NULL): nothing is compared.
 */
VF_PUBLIC VF_MUST_USE enum vf_err vf_grant_sign(const struct vf_grant_file *file, const struct vf_identity *admin,
                                                struct vf_vault *v, struct vf_buf *out, struct vf_why *why);
/* One file with the signatures of both. VF_E_FORGED when they are not the same grant. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_grant_merge(const struct vf_grant_file *a, const struct vf_grant_file *b,
                                                 struct vf_buf *out, struct vf_why *why);
/*
 * Same records, fields, generations, times, device, job, purpose and budget; a new id, new shares, from now on. Also of a grant that has
 * ended, while its values are still there. VF_E_REFUSED: no hand-in during the last 7 days, device revoked, window over the vault's maximum,
 * name of the job taken meanwhile, a record erased or a value gone. VF_E_REVOKED, VF_E_PROTECTED, VF_E_NOT_FOUND.
 */
struct vf_renew_options {
    int64_t now_us, until_us;
    bool no_handin, clock_reset;
    bool include_protected; /* else a record of it that is protected by now is VF_E_PROTECTED */
};
VF_PUBLIC VF_MUST_USE enum vf_err vf_grant_renew(struct vf_vault *v, const struct vf_identity *admin,
                                                 const struct vf_grant_id *id, const struct vf_renew_options *opt,
                                                 struct vf_grant_id *ret_id, struct vf_buf *out, struct vf_why *why);
/* The note into `out`, the state into the vault; by one admin of the policy in force. Again is fine: the note is made anew. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_grant_revoke(struct vf_vault *v, const struct vf_identity *admin,
                                                  const struct vf_grant_id *id, const char *reason, int64_t now_us,
                                                  struct vf_buf *out, struct vf_why *why);

/* Listing, in id order. `each` stops by returning an error. */
struct vf_grant_item {
    struct vf_grant grant;
    bool revoked, exported; /* revoked: itself or its device */
    size_t signatures;      /* of the ruling policy's admins */
    char device_name[VF_NAME_MAX + 1];
};
VF_PUBLIC VF_MUST_USE enum vf_err vf_grant_each(struct vf_vault *v,
                                                enum vf_err (*each)(void *user, const struct vf_grant_item *item,
                                                                    struct vf_why *why),
                                                void *user, struct vf_why *why);
struct vf_device_item {
    struct vf_enrol enrol;
    bool revoked;
    int64_t handin_us; /* up to when the newest log speaks that was handed in; 0: none was */
    uint64_t handin_size;
};
/* One row of VF_VT_DEVICE, of a vault or a backup: VF_E_DAMAGED when it is not that of the enrolment whose id is `key`. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_device_item_parse(struct vf_slice key, struct vf_slice val, struct vf_device_item *ret,
                                                       struct vf_why *why);
VF_PUBLIC VF_MUST_USE enum vf_err vf_device_each(struct vf_vault *v,
                                                 enum vf_err (*each)(void *user, const struct vf_device_item *item,
                                                                     struct vf_why *why),
                                                 void *user, struct vf_why *why);
/* By name: the device of that name that is not revoked yet. Its grants then count as revoked. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_device_revoke(struct vf_vault *v, const struct vf_identity *admin, const char *name,
                                                   const char *reason, int64_t now_us, struct vf_buf *out,
                                                   struct vf_why *why);
/*
 * Take a handed-in log of a known device (one that was given a grant; revoked ones too): kept in VAULT/devices/HEX/log, HEX being the
 * enrolment id; a receipt (vf_receipt_make, by `admin`) to `receipt`. VF_E_NOT_FOUND: no device here has this log. VF_E_FORGED: not good,
 * or no continuation of what was handed in before.
 */
VF_PUBLIC VF_MUST_USE enum vf_err vf_device_handin(struct vf_vault *v, const struct vf_identity *admin, const char *file,
                                                   struct vf_buf *receipt, struct vf_verdict *ret, struct vf_why *why);

struct vf_export_report {
    uint64_t values, bytes, already_sent;
};
/*
 * Write what the device was not yet sent (or all) to fd, from its present position. As sent count the values of this device's other grants
 * for which a bundle was written, unless revoked or ended over 13 days ago (the station drops them after 14). Every value is compared with
 * the manifest on its way: VF_E_DAMAGED names it. VF_E_NOT_FOUND: the vault does not know the grant (it made it or signed it);
 * VF_E_REVOKED, VF_E_EXPIRED; VF_E_REFUSED: a value is gone. Signatures on the file that the vault lacks are remembered.
 */
VF_PUBLIC VF_MUST_USE enum vf_err vf_bundle_export(struct vf_vault *v, const struct vf_grant_file *file, bool all, int fd,
                                                   void (*progress)(void *user, uint64_t done, uint64_t total), void *user,
                                                   struct vf_export_report *ret, struct vf_why *why);
/* Every value of the bundle is named by the grant and has the hash it says: VF_E_FORGED else. Memory bounded; fd may be a pipe. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_bundle_verify(const struct vf_grant_file *file, int fd, const char *what,
                                                   uint64_t *ret_values, struct vf_why *why);
/*
 * Review page: one offline HTML file with names and photos, what changed since the device's last grant (of that job, if there was one); 0600
 * by the caller. Only after vf_grant_rederive: what differs is not shown. Up to 2,000 records all photos are there; above, those of protected
 * records and of new and changed ones up to 2,000, and 500 drawn at random; names always all. `what` names the output in messages.
 */
VF_PUBLIC VF_MUST_USE enum vf_err vf_grant_review(struct vf_vault *v, const struct vf_grant_file *file, int fd,
                                                  const char *what, struct vf_why *why);

/* ----------------------------------------------------------------------------------------------------------------------- pages */

/*
 * Writing an HTML page (or any text) to a file in pieces, here and in the rooms below. Everything that is not this program's own words goes
 * through vf_page_text, which leaves nothing that HTML could read. The first failure sticks; vf_page_end tells it. The buffer may hold
 * names and photos and is wiped. `what` names the output in messages; it and `why` are borrowed to the end.
 */
struct vf_page {
    int fd;
    const char *what;
    struct vf_buf buf;
    enum vf_err err;
    struct vf_why *why;
};
VF_PUBLIC void vf_page_start(struct vf_page *p, int fd, const char *what, struct vf_why *why);
/* Markup: a literal of the program. */
VF_PUBLIC void vf_page_put(struct vf_page *p, const char *markup);
/* Markup with numbers and names of the program's own (fields, times), at most 511 bytes. Never a string from outside. */
VF_PUBLIC void vf_page_fmt(struct vf_page *p, const char *fmt, ...) VF_PRINTF(2, 3);
/* Text from anywhere: escaped, and isolated from the direction of what stands beside it. */
VF_PUBLIC void vf_page_text(struct vf_page *p, const char *text, size_t len);
VF_PUBLIC void vf_page_str(struct vf_page *p, const char *text);
/* An image as a data: URI, in an img element with this alternative text. */
VF_PUBLIC void vf_page_image(struct vf_page *p, const char *mime, const void *data, size_t len, const char *alt);
/* Write what is left. */
VF_PUBLIC VF_MUST_USE enum vf_err vf_page_end(struct vf_page *p);
VF_PUBLIC void vf_page_done(struct vf_page *p);

#endif
