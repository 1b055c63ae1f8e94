/* SPDX-License-Identifier: MIT */
/*
 * A new vault. It is made whole under a name of its own beside PATH, and renamed: (1) folder; (2) W; (3) the log, its origin signed by the
 * creator, and its first entry; (4) the database with the first policy and VK sealed to every admin; (5) the name.
 */
#include "internal.h"
#include "policy.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct creation {
    struct vf_vault v; /* paths, id, epoch, settings; keys */
    struct vf_policy policy;
    struct vf_buf chain;
    struct vf_buf settings;
};

static void creation_done(struct creation *c)
{
    vf_secret_free(c->v.keys);
    vf_buf_done(&c->chain);
    vf_buf_done(&c->settings);
    free(c->v.path);
    free(c->v.log_dir);
    free(c->v.seal_path);
    free(c->v.db_dir);
    free(c->v.w_path);
    *c = (struct creation){0};
}

static enum vf_err make_policy(struct creation *c, const struct vf_vault_new *what, const struct vf_identity *creator,
                               struct vf_why *why)
{
    struct vf_policy *p = &c->policy;
    struct vf_policy_chain none = {0};

    if (what->nadmins == 0 || what->nadmins > VF_ADMINS_MAX)
        return vf_fail(why, VF_E_INPUT, "a policy has 1 to %d admins", VF_ADMINS_MAX);
    if (strlen(what->force_name) >= sizeof(p->force_name))
        return vf_fail(why, VF_E_INPUT, "the force's name is 1 to 120 bytes of printable text without outer spaces");
    p->vault = c->v.id;
    memcpy(p->force_name, what->force_name, strlen(what->force_name) + 1);
    p->threshold = what->threshold;
    p->nadmins = what->nadmins;
    memcpy(p->admins, what->admins, what->nadmins * sizeof(p->admins[0]));
    p->created_us = vf_clock_wall_us();
    vf_kdf_vault_commitment(&c->v.keys->vk, &c->v.id, &p->commitment);
    if (what->desk != NULL) {
        p->has_desk = true;
        p->desk = *what->desk;
        if (what->desk_url == NULL || strlen(what->desk_url) >= sizeof(p->desk_url))
            return vf_fail(why, VF_E_INPUT, "a desk has a URL of at most %zu bytes", sizeof(p->desk_url) - 1);
        memcpy(p->desk_url, what->desk_url, strlen(what->desk_url) + 1);
    }
    if (vf_policy_admin_find(p, vf_identity_pub_get(creator)) < 0)
        return vf_fail(why, VF_E_REFUSED, "%s has to be one of the admins of the vault that it creates",
                       vf_identity_pub_get(creator)->name);
    vf_buf_init(&c->chain, VF_POLICY_MAX);
    return vf_policy_chain_extend(&none, p, creator, &c->chain, why);
}

static enum vf_err fill(struct vf_txn *txn, void *user, struct vf_why *why)
{
    const struct creation *c = user;

    (void)why;
    vf_meta_put_u32(txn, VF_META_FORMAT, VF_VAULT_FORMAT);
    vf_meta_put(txn, VF_META_ID, c->v.id.b, VF_VAULT_ID_LEN);
    vf_meta_put_u64(txn, VF_META_CREATED, (uint64_t)c->policy.created_us);
    vf_meta_put(txn, VF_META_POLICY, c->chain.data, c->chain.len);
    vf_meta_put_u64(txn, VF_META_W_SEQ, 1);
    vf_meta_put_u64(txn, VF_META_W_CHANGES, 0);
    vf_meta_put_u32(txn, VF_META_EPOCH, 1);
    vf_meta_put(txn, VF_META_SETTINGS, c->settings.data, c->settings.len);
    vf_keys_put_seals(txn, &c->policy, &c->v.keys->vk);
    return VF_OK;
}

static enum vf_err make_log(const struct creation *c, const struct vf_identity *creator, struct vf_why *why)
{
    struct vf_log *log = NULL;
    struct vf_entry entry = vf_vault_entry(&c->v, VF_EVENT_POLICY, "policy 1");

    VF_TRY(vf_log_create(c->v.log_dir, c->v.seal_path, VF_LOG_VAULT, creator, NULL, NULL, why));
    VF_TRY(vf_vault_log_open(c->v.log_dir, c->v.seal_path, &log, why));
    enum vf_err err = vf_log_commit(log, &entry, why);
    enum vf_err closed = vf_log_close(log, err == VF_OK ? why : NULL);
    return err != VF_OK ? err : closed;
}

static enum vf_err build(struct creation *c, const struct vf_identity *creator, struct vf_why *why)
{
    VF_FREE char *devices = vf_path_join(c->v.path, "devices");
    VF_STORE store = NULL;

    if (devices == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", c->v.path);
    VF_TRY(vf_dir_make(devices, why));
    VF_TRY(vf_slots_create(c->v.w_path, VF_W_TYPE, c->v.keys->w.b, VF_KEY_LEN, why));
    VF_TRY(make_log(c, creator, why));
    VF_TRY(vf_dir_make(c->v.db_dir, why));
    VF_TRY(vf_store_open(c->v.db_dir, VF_STORE_WRITE, vf_vault_tables, VF_VT_COUNT, "the new vault", &store, why));
    VF_TRY(vf_store_update(store, fill, c, why));
    return vf_dir_sync(c->v.db_dir, why);
}

static enum vf_err prepare(struct creation *c, const char *dir, struct vf_why *why)
{
    c->v.path = strdup(dir);
    c->v.log_dir = vf_path_join(dir, "log");
    c->v.seal_path = vf_path_join(dir, "seal");
    c->v.db_dir = vf_path_join(dir, "db");
    c->v.w_path = vf_path_join(dir, "w");
    if (c->v.path == NULL || c->v.log_dir == NULL || c->v.seal_path == NULL || c->v.db_dir == NULL || c->v.w_path == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", dir);
    c->v.max_grant_us = VF_MAX_GRANT_US;
    vf_buf_init(&c->settings, VF_RANKS_MAX);
    vf_settings_put(&c->v, &c->settings);
    return vf_buf_check(&c->settings, dir, why);
}

enum vf_err vf_vault_create(const char *path, const struct vf_vault_new *what, const struct vf_identity *creator,
                            struct vf_why *why)
{
    VF_CLEANUP(creation_done) struct creation c = {0};
    VF_NEWDIR dir = {0};

    c.v.keys = vf_secret_new(sizeof(*c.v.keys));
    if (c.v.keys == NULL)
        return vf_fail(why, VF_E_LOCKED_MEMORY, "%s: no room in the locked memory", path);
    vf_random(c.v.id.b, sizeof(c.v.id.b));
    vf_random(c.v.keys->vk.b, sizeof(c.v.keys->vk.b));
    vf_random(c.v.keys->w.b, sizeof(c.v.keys->w.b));
    (void)snprintf(c.v.admin, sizeof(c.v.admin), "%s", vf_identity_pub_get(creator)->name);
    VF_TRY(make_policy(&c, what, creator, why));
    VF_TRY(vf_newdir_open(&dir, path, false, why));
    VF_TRY(vf_dir_local(dir.tmp, why));
    VF_TRY(prepare(&c, dir.tmp, why));
    VF_TRY(build(&c, creator, why));
    return vf_newdir_commit(&dir, why);
}
