/* SPDX-License-Identifier: MIT */
#include "internal.h"
#include "policy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

/* ----------------------------------------------------------------------------------------------------------------- messages */

enum vf_err vf_vault_txn_check(const struct vf_vault *v, const struct vf_txn *txn, struct vf_why *why)
{
    enum vf_err err = vf_txn_error(txn);

    return err == VF_OK ? VF_OK : vf_fail(why, err, "%s: cannot read the database: %s", v->path, vf_err_text(err));
}

enum vf_err vf_vault_need(const struct vf_vault *v, bool write, struct vf_why *why)
{
    if (v->keys == NULL)
        return vf_fail(why, VF_E_DENIED, "%s: opened without an admin's key", v->path);
    if (write && v->mode != VF_VAULT_WRITE)
        return vf_fail(why, VF_E_DENIED, "%s: opened for reading", v->path);
    return VF_OK;
}

/* ---------------------------------------------------------------------------------------------------------------------- log */

struct vf_entry vf_vault_entry(const struct vf_vault *v, enum vf_event event, const char *object)
{
    return (struct vf_entry){
        .event = event,
        .part = -1,
        .recipient = v->admin[0] != '\0' ? v->admin : NULL,
        .object = object,
        .result = "ok",
    };
}

enum vf_err vf_vault_log_open(const char *log_dir, const char *seal_path, struct vf_log **ret, struct vf_why *why)
{
    static const struct vf_log_options options = {.batch = true};
    const struct timespec pause = {.tv_nsec = VF_LOCK_PAUSE_NS};
    enum vf_err err = VF_OK;

    for (unsigned i = 0; i < VF_LOCK_TRIES; i++) {
        err = vf_log_open(log_dir, seal_path, &options, ret, why);
        if (err != VF_E_BUSY)
            return err;
        (void)nanosleep(&pause, NULL);
    }
    return err;
}

enum vf_err vf_vault_log(struct vf_vault *v, const struct vf_entry *entry, struct vf_why *why)
{
    struct vf_log *log = NULL;

    if (v->log != NULL)
        return vf_log_commit(v->log, entry, why);
    VF_TRY(vf_vault_log_open(v->log_dir, v->seal_path, &log, why));
    enum vf_err err = vf_log_commit(log, entry, why);
    enum vf_err closed = vf_log_close(log, err == VF_OK ? why : NULL);
    return err != VF_OK ? err : closed;
}

/* -------------------------------------------------------------------------------------------------------------------- state */

static enum vf_err read_policy(struct vf_vault *v, struct vf_slice row, struct vf_why *why)
{
    struct vf_policy_chain chain;
    char what[300];

    (void)snprintf(what, sizeof(what), "%.200s: the policy in the vault", v->path);
    VF_TRY(vf_policy_chain_parse(row.data, row.len, what, &chain, why));
    vf_policy_chain_done(&v->chain);
    v->chain = chain;
    const struct vf_policy *policy = chain.ruling > 0 ? &chain.policy : &chain.pending;
    if (memcmp(policy->vault.b, v->id.b, VF_VAULT_ID_LEN) != 0)
        return vf_vault_damaged(v, NULL, "its policy is another vault's", why);
    return VF_OK;
}

enum vf_err vf_vault_read_state(struct vf_vault *v, struct vf_txn *txn, struct vf_why *why)
{
    struct vf_slice id, policy, settings;
    uint32_t format = 0;

    if (!vf_meta_u32(txn, VF_META_FORMAT, &format) || !vf_meta_get(txn, VF_META_ID, &id) || id.len != VF_VAULT_ID_LEN ||
        !vf_meta_get(txn, VF_META_POLICY, &policy) || !vf_meta_get(txn, VF_META_SETTINGS, &settings) ||
        !vf_meta_u32(txn, VF_META_EPOCH, &v->epoch) || v->epoch == 0) {
        VF_TRY(vf_vault_txn_check(v, txn, why));
        return vf_vault_damaged(v, NULL, "rows of its table meta are missing", why);
    }
    if (format != VF_VAULT_FORMAT)
        return vf_fail(why, VF_E_VERSION, "%s: a vault of format %u, which this program does not know", v->path,
                       (unsigned)format);
    memcpy(v->id.b, id.data, VF_VAULT_ID_LEN);
    uint64_t restored = 0;
    v->restored_us = vf_meta_u64(txn, VF_META_RESTORED, &restored) && restored <= INT64_MAX ? (int64_t)restored : 0;
    VF_TRY(read_policy(v, policy, why));
    return vf_settings_take(v, settings, why);
}

/* ------------------------------------------------------------------------------------------------------------- open and close */

enum vf_err vf_vault_close(struct vf_vault *v, struct vf_why *why)
{
    if (v == NULL)
        return VF_OK;
    vf_store_close(v->store);
    enum vf_err err = vf_log_close(v->log, why);
    vf_secret_free(v->keys);
    vf_policy_chain_done(&v->chain);
    vf_rules_done(&v->rules);
    vf_buf_done(&v->ranks);
    vf_buf_done(&v->pattern);
    free(v->path);
    free(v->log_dir);
    free(v->seal_path);
    free(v->db_dir);
    free(v->w_path);
    free(v);
    return err;
}

void vf_vault_cleanup(struct vf_vault **v)
{
    (void)vf_vault_close(*v, NULL);
    *v = NULL;
}

static enum vf_err new_vault(const char *path, enum vf_vault_mode mode, struct vf_vault **ret, struct vf_why *why)
{
    VF_VAULT v = calloc(1, sizeof(*v));
    struct stat st;

    if (v == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", path);
    v->mode = mode;
    v->path = strdup(path);
    v->log_dir = vf_path_join(path, "log");
    v->seal_path = vf_path_join(path, "seal");
    v->db_dir = vf_path_join(path, "db");
    v->w_path = vf_path_join(path, "w");
    if (v->path == NULL || v->log_dir == NULL || v->seal_path == NULL || v->db_dir == NULL || v->w_path == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", path);
    if (stat(v->db_dir, &st) != 0 || !S_ISDIR(st.st_mode))
        return vf_fail(why, VF_E_NOT_FOUND, "%s: there is no vault here", path);
    *ret = v;
    v = NULL;
    return VF_OK;
}

static enum vf_err open_keys(struct vf_vault *v, struct vf_txn *txn, const struct vf_identity *id, bool unsigned_ok,
                             struct vf_why *why)
{
    const struct vf_identity_pub *pub = vf_identity_pub_get(id);
    const struct vf_policy *policy = v->chain.ruling > 0 ? &v->chain.policy : &v->chain.pending;

    if (v->chain.ruling == 0 && !unsigned_ok)
        return vf_fail(why, VF_E_UNSIGNED,
                       "%s: its first policy has %zu of %u signatures; `policy export` it, have it signed, and install it",
                       v->path, v->chain.pending_new_sigs, v->chain.pending.threshold);
    if (vf_policy_admin_find(policy, pub) < 0)
        return vf_fail(why, VF_E_DENIED, "%s: %s is no admin of this vault", v->path, pub->name);
    v->keys = vf_secret_new(sizeof(*v->keys));
    if (v->keys == NULL)
        return vf_fail(why, VF_E_LOCKED_MEMORY, "%s: no room in the locked memory", v->path);
    (void)snprintf(v->admin, sizeof(v->admin), "%s", pub->name);
    return vf_keys_open(v, txn, id, v->keys, why);
}

static enum vf_err nothing(struct vf_txn *txn, void *user, struct vf_why *why)
{
    (void)txn;
    (void)user;
    (void)why;
    return VF_OK;
}

static enum vf_err load(struct vf_vault *v, const struct vf_identity *id, bool unsigned_ok, struct vf_why *why)
{
    VF_TXN txn = NULL;
    char what[300];

    (void)snprintf(what, sizeof(what), "the vault %.200s", v->path);
    VF_TRY(vf_store_open(v->db_dir, v->mode == VF_VAULT_WRITE ? VF_STORE_WRITE : VF_STORE_READ, vf_vault_tables, VF_VT_COUNT,
                         what, &v->store, why));
    /* After a kill inside a commit, readers are shown the state before it until there was a writer: let there be one first. */
    if (v->mode == VF_VAULT_WRITE)
        VF_TRY(vf_store_update(v->store, nothing, NULL, why));
    VF_TRY(vf_txn_read(v->store, &txn, why));
    VF_TRY(vf_vault_read_state(v, txn, why));
    return v->mode != VF_VAULT_PUBLIC ? open_keys(v, txn, id, unsigned_ok, why) : VF_OK;
}

enum vf_err vf_vault_open_as(const char *path, enum vf_vault_mode mode, const struct vf_identity *id, bool unsigned_ok,
                             struct vf_vault **ret, struct vf_why *why)
{
    VF_VAULT v = NULL;

    if (mode != VF_VAULT_PUBLIC && id == NULL)
        return vf_fail(why, VF_E_USAGE, "%s: an admin's key is needed", path);
    VF_TRY(new_vault(path, mode, &v, why));
    /* Before anything is read: what is read stays true while the lock is held. */
    if (mode == VF_VAULT_WRITE)
        VF_TRY(vf_vault_log_open(v->log_dir, v->seal_path, &v->log, why));
    VF_TRY(load(v, id, unsigned_ok, why));
    if (mode == VF_VAULT_WRITE) {
        /* What a crash may have left: a W that was made and never used, or one that was replaced; values that nothing names. */
        VF_TRY(vf_w_settle(v, why));
        VF_TRY(vf_sweep(v, false, why));
    }
    *ret = v;
    v = NULL;
    return VF_OK;
}

enum vf_err vf_vault_open(const char *path, enum vf_vault_mode mode, const struct vf_identity *id, struct vf_vault **ret,
                          struct vf_why *why)
{
    return vf_vault_open_as(path, mode, id, false, ret, why);
}

/* ----------------------------------------------------------------------------------------------------------------- accessors */

const struct vf_policy_chain *vf_vault_policy(const struct vf_vault *v)
{
    return &v->chain;
}

void vf_vault_sandbox(struct vf_vault *v, struct vf_image_sandbox *sandbox)
{
    v->sandbox = sandbox;
}

const struct vf_vault_id *vf_vault_id_get(const struct vf_vault *v)
{
    return &v->id;
}

const char *vf_vault_path(const struct vf_vault *v)
{
    return v->path;
}

const char *vf_vault_admin(const struct vf_vault *v)
{
    return v->admin[0] != '\0' ? v->admin : NULL;
}

const struct vf_rules *vf_vault_rules(const struct vf_vault *v)
{
    return &v->rules;
}

int64_t vf_vault_max_grant_us(const struct vf_vault *v)
{
    return v->max_grant_us;
}

int64_t vf_vault_restored_us(const struct vf_vault *v)
{
    return v->restored_us;
}

struct vf_store *vf_vault_store(struct vf_vault *v)
{
    return v->store;
}

enum vf_err vf_vault_counts_get(struct vf_vault *v, struct vf_vault_counts *ret, struct vf_why *why)
{
    struct vf_vault_counts counts = {.epoch = v->epoch};
    VF_FREE char *data = vf_path_join(v->db_dir, "data.mdb");
    VF_TXN txn = NULL;
    struct stat st;

    if (data == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", v->path);
    VF_TRY(vf_txn_read(v->store, &txn, why));
    counts.records = vf_txn_count(txn, VF_VT_RECORD);
    counts.values = vf_txn_count(txn, VF_VT_VALUE);
    counts.grants = vf_txn_count(txn, VF_VT_GRANT);
    counts.devices = vf_txn_count(txn, VF_VT_DEVICE);
    if (!vf_meta_u64(txn, VF_META_W_CHANGES, &counts.w_changes))
        counts.w_changes = 0;
    VF_TRY(vf_vault_txn_check(v, txn, why));
    if (stat(data, &st) != 0)
        return vf_fail_sys(why, "%s: cannot look it up", data);
    counts.map_bytes = (uint64_t)st.st_size;
    *ret = counts;
    return VF_OK;
}
