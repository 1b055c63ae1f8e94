/* SPDX-License-Identifier: MIT */
#include "station_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define IDENTITY_TYPE "VFDEVID1"

const char *const vf_station_tables[VF_ST_COUNT] = {"meta", "policy", "grant", "value", "batch", "revocation"};

char *vf_station_file(const char *path, const char *name)
{
    return vf_path_join(path, name);
}

void vf_station_value_key(const struct vf_ref *ref, uint8_t field, uint32_t generation, const struct vf_hash *hash,
                          uint8_t out[VF_VALUE_KEY_LEN])
{
    memcpy(out, ref->c, VF_REF_LEN);
    out[VF_REF_LEN] = field;
    vf_put_be32(out + VF_REF_LEN + 1, generation);
    memcpy(out + VF_REF_LEN + 5, hash->b, 8);
}

/* ----------------------------------------------------------------------------------------------------------- identity */

enum vf_err vf_station_identity_read(const char *path, struct vf_buf *ret, unsigned *ret_slot, uint64_t *ret_seq,
                                     struct vf_why *why)
{
    VF_FREE char *file = vf_station_file(path, "identity");
    VF_SECRET struct vf_slot *slots = vf_secret_new(2 * sizeof(*slots));
    if (!file || !slots)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", path);
    if (access(file, F_OK) && (errno == ENOENT || errno == ENOTDIR))
        return vf_fail(why, VF_E_NOT_FOUND, "%s: not a station (vaultfs-keytool station create makes one)", path);
    VF_TRY(vf_slots_read(file, IDENTITY_TYPE, slots, why));
    unsigned which = slots[1].present && (!slots[0].present || slots[1].seq > slots[0].seq) ? 1 : 0;
    if (!slots[which].present)
        return vf_fail(why, VF_E_DAMAGED, "%s: the device identity cannot be read", file);
    vf_buf_init(ret, VF_SLOT_PAYLOAD);
    vf_buf_put(ret, slots[which].payload, slots[which].len);
    if (ret_slot)
        *ret_slot = which;
    if (ret_seq)
        *ret_seq = slots[which].seq;
    return vf_buf_check(ret, file, why);
}

enum vf_err vf_station_locked(const char *path, bool *ret_locked, struct vf_why *why)
{
    struct vf_identity_pub pub;
    VF_BUF data = {0};
    VF_TRY(vf_station_identity_read(path, &data, NULL, NULL, why));
    return vf_identity_peek(data.data, data.len, &pub, ret_locked, why);
}

enum vf_err vf_station_passphrase(const char *path, const struct vf_passphrase *old, const struct vf_passphrase *pass,
                                  struct vf_argon2 cost, struct vf_why *why)
{
    unsigned slot;
    uint64_t seq;
    VF_BUF data = {0};
    VF_BUF fresh;
    VF_IDENTITY id = NULL;
    VF_FREE char *file = vf_station_file(path, "identity");

    vf_buf_init(&fresh, VF_SLOT_PAYLOAD);
    if (!file)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", path);
    VF_TRY(vf_station_identity_read(path, &data, &slot, &seq, why));
    VF_TRY(vf_identity_decode(data.data, data.len, old, &id, why));
    VF_TRY(vf_identity_encode(id, pass, cost, &fresh, why));
    /* The new one to the other slot, durable; then the old one is gone for good. */
    VF_TRY(vf_slots_write(file, IDENTITY_TYPE, 1 - slot, seq + 1, fresh.data, fresh.len, why));
    return vf_slots_write(file, IDENTITY_TYPE, slot, 0, NULL, 0, why);
}

/* ------------------------------------------------------------------------------------------------------------- create */

struct create {
    const char *path; /* the temporary folder */
    const char *name;
    const void *policy;
    size_t policy_len;
    const struct vf_passphrase *pass;
    struct vf_argon2 cost;
    struct vf_buf *enrol;
    const struct vf_hash *first_policy; /* hash of version 1 */
};

static enum vf_err put_policy(struct vf_txn *txn, void *user, struct vf_why *why)
{
    const struct create *c = user;
    (void)why;
    vf_txn_put(txn, VF_ST_POLICY, "chain", 5, c->policy, c->policy_len);
    return VF_OK;
}

static enum vf_err create_store(const struct create *c, struct vf_why *why)
{
    VF_FREE char *db = vf_station_file(c->path, "db");
    if (!db)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", c->path);
    VF_TRY(vf_dir_make(db, why));
    VF_STORE store = NULL;
    VF_TRY(vf_store_open(db, VF_STORE_WRITE, vf_station_tables, VF_ST_COUNT, "the new station", &store, why));
    return vf_store_update(store, put_policy, (void *)(uintptr_t)c, why);
}

static enum vf_err create_identity(const struct create *c, const struct vf_identity *id, struct vf_why *why)
{
    VF_FREE char *file = vf_station_file(c->path, "identity");
    VF_BUF data;
    vf_buf_init(&data, VF_SLOT_PAYLOAD);
    if (!file)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", c->path);
    VF_TRY(vf_identity_encode(id, c->pass, c->cost, &data, why));
    return vf_slots_create(file, IDENTITY_TYPE, data.data, data.len, why);
}

static enum vf_err create_log(const struct create *c, const struct vf_identity *id, const struct vf_vault_id *vault,
                              struct vf_why *why)
{
    VF_FREE char *dir = vf_station_file(c->path, "log"), *seal = vf_station_file(c->path, "seal");
    VF_FREE char *enrol = vf_station_file(c->path, "station.enrol");
    if (!dir || !seal || !enrol)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", c->path);
    VF_TRY(vf_log_create(dir, seal, VF_LOG_STATION, id, NULL, NULL, why));
    VF_FREE char *origin_path = vf_path_join(dir, "origin");
    if (!origin_path)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", c->path);
    VF_BUF origin = {0};
    VF_TRY(vf_file_read(origin_path, 4096, &origin, why));
    VF_TRY(vf_enrol_make(id, vault, (const char *)origin.data, origin.len, vf_clock_wall_us(), c->enrol, why));
    return vf_file_write(enrol, c->enrol->data, c->enrol->len, 0644, false, why);
}

/*
 * The pin: which policy this station was made for, under a MAC of the device. Without it, whoever may write to the folder could put a policy
 * of his own in the database, with admins of his own, and have the mount serve what they signed.
 */
#define PIN_TYPE "VFPIN001"
#define PIN_LEN  (8 + 2 * VF_HASH_LEN)

static void pin_encode(const struct vf_station_key *key, const struct vf_hash *first, uint8_t out[PIN_LEN])
{
    struct vf_hash mac;
    memcpy(out, PIN_TYPE, 8);
    memcpy(out + 8, first->b, VF_HASH_LEN);
    vf_station_mac(key, out, 8 + VF_HASH_LEN, &mac);
    memcpy(out + 8 + VF_HASH_LEN, mac.b, VF_HASH_LEN);
}

static enum vf_err create_pin(const struct create *c, const struct vf_identity *id, struct vf_why *why)
{
    VF_SECRET struct vf_station_key *key = vf_secret_new(sizeof(*key));
    VF_FREE char *file = vf_station_file(c->path, "pin");
    uint8_t pin[PIN_LEN];
    if (!key || !file)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", c->path);
    vf_station_key_of(id, key);
    pin_encode(key, c->first_policy, pin);
    return vf_file_write(file, pin, sizeof(pin), 0600, false, why);
}

enum vf_err vf_station_pin_check(const struct vf_station *st, struct vf_why *why)
{
    VF_FREE char *file = vf_station_file(st->path, "pin");
    VF_BUF stored = {0};
    uint8_t pin[PIN_LEN];
    if (!file)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", st->path);
    VF_TRY(vf_file_read(file, PIN_LEN, &stored, why));
    pin_encode(st->key, &st->policy.hashes[0], pin);
    if (stored.len != sizeof(pin) || !vf_equal(stored.data, pin, sizeof(pin)))
        return vf_fail(why, VF_E_FORGED, "%s: the policy in it does not go back to the one that this station was made for",
                       st->path);
    return VF_OK;
}

static enum vf_err create_in(const struct create *c, const struct vf_vault_id *vault, struct vf_why *why)
{
    VF_IDENTITY id = NULL;
    VF_TRY(vf_identity_new(VF_ROLE_DEVICE, c->name, &id, why));
    VF_TRY(create_store(c, why));
    VF_TRY(create_identity(c, id, why));
    VF_TRY(create_pin(c, id, why));
    VF_TRY(vf_station_clock_create(c->path, id, why));
    VF_TRY(create_log(c, id, vault, why));
    return vf_dir_sync(c->path, why);
}

/* A policy to pin must rule: a pending one says nothing about who the admins will be. */
static enum vf_err check_policy(const void *policy, size_t len, struct vf_policy_chain *ret, struct vf_why *why)
{
    VF_TRY(vf_policy_chain_parse(policy, len, "the policy", ret, why));
    if (ret->ruling == 0) {
        vf_policy_chain_done(ret);
        return vf_fail(why, VF_E_UNSIGNED, "the policy is not in force yet: the force's admins have to sign it first");
    }
    return VF_OK;
}

enum vf_err vf_station_create(const char *path, const char *name, const void *policy, size_t policy_len,
                              const struct vf_passphrase *pass, struct vf_argon2 cost, struct vf_buf *enrol,
                              struct vf_why *why)
{
    if (!vf_name_valid(name, strlen(name)))
        return vf_fail(why, VF_E_INPUT, "\"%s\" is no name for a station (a-z, 0-9, . and -, at most 63 characters)", name);
    VF_CLEANUP(vf_policy_chain_done) struct vf_policy_chain chain = {0};
    VF_TRY(check_policy(policy, policy_len, &chain, why));

    /* Everything in a folder beside it, then one rename: a crash leaves no half station under the name. */
    VF_NEWDIR dir = {0};
    VF_TRY(vf_newdir_open(&dir, path, false, why));
    const struct create c = {.path = dir.tmp,
                             .name = name,
                             .policy = chain.bytes,
                             .policy_len = chain.len,
                             .pass = pass,
                             .cost = cost,
                             .enrol = enrol,
                             .first_policy = &chain.hashes[0]};
    VF_TRY(vf_dir_local(dir.tmp, why));
    VF_TRY(create_in(&c, &chain.policy.vault, why));
    return vf_newdir_commit(&dir, why);
}
