/* SPDX-License-Identifier: MIT */
#include "keytool.h"

#include <stdlib.h>
#include <string.h>

#define PASS (KT_BIT(PASSPHRASE_FILE) | KT_BIT(PASSPHRASE_COMMAND))

/* -------------------------------------------------------------------------------------------------------------- create */

static enum vf_err read_admins(const struct kt_args *a, struct vf_identity_pub *ret, struct vf_why *why)
{
    const struct kt_value *given = &a->opt[KT_ADMIN];
    if (given->n > VF_ADMINS_MAX)
        return kt_usage(why, "a force has at most %d admins", VF_ADMINS_MAX);
    for (size_t i = 0; i < given->n; i++) {
        VF_TRY(vf_identity_pub_read(given->v[i], &ret[i], why));
        if (ret[i].role != VF_ROLE_ADMIN)
            return vf_fail(why, VF_E_INPUT, "%s: the keys of a %s, not of an admin", given->v[i], vf_role_text(ret[i].role));
    }
    return VF_OK;
}

static enum vf_err vault_create(const struct kt_args *a, struct vf_why *why)
{
    struct vf_identity_pub admins[VF_ADMINS_MAX], desk;
    uint64_t threshold;
    VF_IDENTITY id = NULL;

    VF_TRY(kt_number_arg("threshold", kt_get(a, KT_THRESHOLD), VF_ADMINS_MAX, &threshold, why));
    if (kt_has(a, KT_DESK) != kt_has(a, KT_DESK_URL))
        return kt_usage(why, "--desk and --desk-url go together");
    VF_TRY(read_admins(a, admins, why));
    if (threshold == 0 || threshold > a->opt[KT_ADMIN].n)
        return kt_usage(why, "--threshold is between 1 and the number of admins (%zu)", a->opt[KT_ADMIN].n);
    if (kt_has(a, KT_DESK))
        VF_TRY(vf_identity_pub_read(kt_get(a, KT_DESK), &desk, why));
    VF_TRY(kt_key_open(a, &id, why));
    const struct vf_vault_new fresh = {
        .force_name = kt_get(a, KT_FORCE_NAME),
        .admins = admins,
        .nadmins = a->opt[KT_ADMIN].n,
        .threshold = (unsigned)threshold,
        .desk = kt_has(a, KT_DESK) ? &desk : NULL,
        .desk_url = kt_get(a, KT_DESK_URL),
    };
    VF_TRY(vf_vault_create(a->argv[0], &fresh, id, why));
    if (fresh.nadmins == 1)
        (void)printf("%s: the vault of %s, 1 admin, who signs alone\n", a->argv[0], fresh.force_name);
    else
        (void)printf("%s: the vault of %s, %zu admins, %llu of them must sign\n", a->argv[0], fresh.force_name,
                     fresh.nadmins, (unsigned long long)threshold);
    if (threshold > 1)
        kt_say("The policy has 1 of %llu signatures and is not in force yet. Next, with another admin:\n"
               "  %s policy export %s -o force.policy\n"
               "  %s policy sign --key THEIRS.key force.policy\n"
               "  %s policy install --key THEIRS.key force.policy %s",
               (unsigned long long)threshold, a->program, a->argv[0], a->program, a->program, a->argv[0]);
    return VF_OK;
}

/* -------------------------------------------------------------------------------------------------------------- status */

static enum vf_err count_live(void *user, const struct vf_grant_item *item, struct vf_why *why)
{
    uint64_t *live = user;
    (void)why;
    *live += !item->revoked && item->grant.until_us > vf_clock_wall_us();
    return VF_OK;
}

static json_t *admins_json(const struct vf_policy *p)
{
    json_t *list = json_array();
    for (size_t i = 0; i < p->nadmins; i++)
        (void)json_array_append_new(list, json_string(p->admins[i].name));
    return list;
}

/* Each online grant uses one up, and none may end after the last day of its batch. */
static void print_prekeys(const struct vf_policy *p, uint64_t left, int64_t until_us)
{
    char until[64];
    vf_time_format_person(until_us, until, sizeof(until));
    (void)printf("desk     %s at %s\n", p->desk.name, p->desk_url);
    if (left)
        (void)printf("prekeys  %llu left, for online grants until %s at most\n", (unsigned long long)left, until);
    else
        (void)printf("prekeys  none left: no online grant can be issued (desk prekeys, then vault set --prekeys)\n");
}

static enum vf_err vault_status(const struct kt_args *a, struct vf_why *why)
{
    VF_VAULT v = NULL;
    struct vf_vault_counts c;
    uint64_t live = 0, prekeys = 0;
    int64_t prekeys_us = 0;

    VF_TRY(vf_vault_open(a->argv[0], VF_VAULT_PUBLIC, NULL, &v, why));
    VF_TRY(vf_vault_counts_get(v, &c, why));
    VF_TRY(vf_grant_each(v, count_live, &live, why));
    VF_TRY(vf_prekeys_left(v, vf_clock_wall_us(), &prekeys, &prekeys_us, why));
    const struct vf_policy_chain *chain = vf_vault_policy(v);
    const struct vf_policy *p = chain->ruling ? &chain->policy : &chain->pending;
    if (kt_has(a, KT_JSON))
        return kt_print_json(
            json_pack("{s:s,s:o,s:b,s:i,s:b,s:o,s:i,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:o}", "force", p->force_name, "vault",
                      kt_json_hex(p->vault.b, sizeof(p->vault.b)), "in_force", chain->ruling > 0, "policy_version",
                      (int)p->version, "pending", (int)chain->has_pending, "admins", admins_json(p), "threshold",
                      (int)p->threshold, "records", (json_int_t)c.records, "values", (json_int_t)c.values, "grants",
                      (json_int_t)c.grants, "grants_live", (json_int_t)live, "devices", (json_int_t)c.devices, "bytes",
                      (json_int_t)c.map_bytes, "prekeys", (json_int_t)prekeys, "prekeys_until",
                      prekeys_us ? kt_json_time(prekeys_us) : json_null()),
            why);
    (void)printf("%s\n", p->force_name);
    (void)printf("policy   version %u%s, %u of %zu admin%s must sign:", p->version,
                 chain->ruling ? "" : " (not in force yet)", p->threshold, p->nadmins, kt_s(p->nadmins));
    for (size_t i = 0; i < p->nadmins; i++)
        (void)printf(" %s", p->admins[i].name);
    (void)printf("\n");
    if (chain->has_pending)
        (void)printf("pending  version %u has %zu of %u signature%s\n", chain->pending.version, chain->pending_new_sigs,
                     chain->pending.threshold, kt_s(chain->pending.threshold));
    (void)printf("records  %llu\ngrants   %llu, %llu of them live\ndevices  %llu\nsize     %.1f MB\n",
                 (unsigned long long)c.records, (unsigned long long)c.grants, (unsigned long long)live,
                 (unsigned long long)c.devices, (double)c.map_bytes / 1e6);
    if (p->has_desk)
        print_prekeys(p, prekeys, prekeys_us);
    return VF_OK;
}

/* --------------------------------------------------------------------------------------------------------------- check */

struct findings {
    struct kt_progress progress; /* first: the callbacks share one user pointer */
    json_t *list;                /* NULL: printed */
};

static void print_finding(void *user, const char *line)
{
    struct findings *f = user;
    kt_progress_done(&f->progress);
    if (f->list)
        (void)json_array_append_new(f->list, json_string(line));
    else
        (void)printf("%s\n", line);
}

static enum vf_err vault_check(const struct kt_args *a, struct vf_why *why)
{
    VF_IDENTITY id = NULL;
    struct vf_vault_check_report r = {0};
    struct findings f = {.progress = {.what = "Checking", .unit = "values"},
                         .list = kt_has(a, KT_JSON) ? json_array() : NULL};

    if (kt_has(a, KT_KEY))
        VF_TRY(kt_key_open(a, &id, why));
    enum vf_err err = vf_vault_check(a->argv[0], id, print_finding, kt_progress_show, &f, &r, why);
    kt_progress_done(&f.progress);
    if (err) {
        json_decref(f.list);
        return err;
    }
    if (f.list)
        VF_TRY(kt_print_json(json_pack("{s:I,s:I,s:I,s:b,s:o}", "records", (json_int_t)r.records, "values",
                                       (json_int_t)r.values, "leftovers", (json_int_t)r.orphans, "with_key", id != NULL,
                                       "findings", f.list),
                             why));
    else
        (void)printf("%llu record%s, %llu value%s looked at%s: %s\n", (unsigned long long)r.records, kt_s(r.records),
                     (unsigned long long)r.values, kt_s(r.values),
                     id ? ", each opened" : " (without a key: sealed bytes only)", r.findings ? "DAMAGE FOUND" : "all good");
    if (r.findings)
        return vf_fail(why, VF_E_DAMAGED, "%s: %llu finding%s; restore a backup (vault restore) if it matters", a->argv[0],
                       (unsigned long long)r.findings, kt_s(r.findings));
    return VF_OK;
}

/* ----------------------------------------------------------------------------------------------------- backup, restore */

static enum vf_err vault_backup(const struct kt_args *a, struct vf_why *why)
{
    struct kt_progress p = {.what = "Backing up", .unit = "rows"};
    enum vf_err err = vf_vault_backup(a->argv[0], a->argv[1], kt_has(a, KT_FORCE), kt_progress_show, &p, why);
    kt_progress_done(&p);
    if (err == VF_E_EXISTS)
        return vf_fail(why, err, "%s: exists already; --force overwrites it", a->argv[1]);
    if (!err)
        kt_say(
            "Wrote %s. It opens with any admin's key of today, for ever: what is erased from the vault later stays in it.",
            a->argv[1]);
    return err;
}

static enum vf_err vault_restore(const struct kt_args *a, struct vf_why *why)
{
    struct kt_progress p = {.what = "Restoring", .unit = "rows"};
    VF_IDENTITY id = NULL;
    VF_TRY(kt_key_open(a, &id, why));
    enum vf_err err = vf_vault_restore(a->argv[0], a->argv[1], id, kt_progress_show, &p, why);
    kt_progress_done(&p);
    if (!err)
        kt_say("Restored %s. Its log starts anew and names the backup's; what was issued, revoked or erased since that "
               "backup is not "
               "known here: erase and revoke again what was.",
               a->argv[1]);
    return err;
}

/* ----------------------------------------------------------------------------------------------------------------- set */

static enum vf_err take_prekeys(const struct kt_args *a, struct vf_vault *v, const struct vf_identity *id,
                                struct vf_why *why)
{
    const char *path = kt_get(a, KT_PREKEYS);
    struct vf_prekeys_report r;
    char last[64];
    VF_BUF data = {0};
    VF_TRY(vf_file_read(path, VF_PREKEYS_FILE_MAX, &data, why));
    VF_TRY(vf_prekeys_install(v, id, data.data, data.len, path, &r, why));
    vf_time_format_person(r.last_us, last, sizeof(last));
    if (r.known)
        (void)printf("%s: batch %u was here already\n", path, r.batch);
    else
        (void)printf("%s: batch %u, %u prekey%s for as many online grants, which end by %s at the latest\n", path, r.batch,
                     r.count, kt_s(r.count), last);
    return VF_OK;
}

static enum vf_err vault_set(const struct kt_args *a, struct vf_why *why)
{
    VF_IDENTITY id = NULL;
    VF_VAULT v = NULL;
    VF_BUF ranks = {0};
    struct vf_vault_settings s = {.warrant_pattern = kt_get(a, KT_WARRANT_PATTERN)};

    bool settings = kt_has(a, KT_RANKS) || s.warrant_pattern || kt_has(a, KT_MAX_GRANT);
    if (!settings && !kt_has(a, KT_PREKEYS))
        return kt_usage(why, "vault set needs something to set: --ranks, --warrant-pattern, --max-grant or --prekeys");
    if (kt_has(a, KT_RANKS)) {
        VF_TRY(vf_file_read(kt_get(a, KT_RANKS), 65536, &ranks, why));
        s.ranks = (const char *)ranks.data;
        s.ranks_len = ranks.len;
    }
    if (kt_has(a, KT_MAX_GRANT) && !vf_duration_parse(kt_get(a, KT_MAX_GRANT), &s.max_grant_us))
        return kt_usage(why, "--max-grant: \"%s\" is no duration; write 31d, 12h or 90m", kt_get(a, KT_MAX_GRANT));
    VF_TRY(kt_vault_open(a, a->argv[0], VF_VAULT_WRITE, &id, &v, why));
    enum vf_err err = settings ? vf_vault_set(v, &s, why) : VF_OK;
    if (!err && kt_has(a, KT_PREKEYS))
        err = take_prekeys(a, v, id, why);
    err = kt_vault_close(v, err, why);
    v = NULL;
    return err;
}

static enum vf_err vault_rekey(const struct kt_args *a, struct vf_why *why)
{
    VF_IDENTITY id = NULL;
    VF_VAULT v = NULL;
    VF_BUF next;
    vf_buf_init(&next, VF_POLICY_MAX);
    VF_TRY(kt_output_check(a, kt_get(a, KT_OUTPUT), why));
    VF_TRY(kt_vault_open(a, a->argv[0], VF_VAULT_WRITE, &id, &v, why));
    enum vf_err err = vf_vault_rekey(v, id, &next, why);
    if (!err)
        err = kt_output_write(a, kt_get(a, KT_OUTPUT), &next, 0644, why);
    unsigned threshold = vf_vault_policy(v)->policy.threshold;
    err = kt_vault_close(v, err, why);
    v = NULL;
    if (!err)
        kt_say("Wrote %s with 1 of %u signature%s. The new keys come into force at policy install. Grants that are not "
               "signed by then have "
               "to be issued again.",
               kt_get(a, KT_OUTPUT), threshold, kt_s(threshold));
    return err;
}

const struct kt_verb kt_vault_verbs[] = {
    {"vault", "create", "VAULT", 1, 1,
     KT_BIT(FORCE_NAME) | KT_BIT(ADMIN) | KT_BIT(THRESHOLD) | KT_BIT(DESK) | KT_BIT(DESK_URL) | KT_BIT(KEY) | PASS,
     KT_BIT(FORCE_NAME) | KT_BIT(ADMIN) | KT_BIT(THRESHOLD) | KT_BIT(KEY), true, "Make a force's vault", vault_create},
    {"vault", "status", "VAULT", 1, 1, KT_BIT(JSON), 0, false, "Show what a vault holds; needs no key", vault_status},
    {"vault", "check", "VAULT", 1, 1, KT_BIT(KEY) | KT_BIT(JSON) | PASS, 0, true,
     "Look for damage: with a key every value is opened, without one only the sealed bytes are checked", vault_check},
    {"vault", "backup", "VAULT FILE", 2, 2, KT_BIT(FORCE), 0, false, "Write a backup of a vault, while others work with it",
     vault_backup},
    {"vault", "restore", "FILE VAULT", 2, 2, KT_BIT(KEY) | PASS, KT_BIT(KEY), true, "Make a vault from a backup",
     vault_restore},
    {"vault", "set", "VAULT", 1, 1,
     KT_BIT(RANKS) | KT_BIT(WARRANT_PATTERN) | KT_BIT(MAX_GRANT) | KT_BIT(PREKEYS) | KT_BIT(KEY) | PASS, KT_BIT(KEY), true,
     "Set the force's ranks, its pattern of warrant numbers, the longest grant, the desk's prekeys", vault_set},
    {"vault", "rekey", "VAULT", 1, 1, KT_BIT(KEY) | KT_BIT(OUTPUT) | KT_BIT(FORCE) | PASS, KT_BIT(KEY) | KT_BIT(OUTPUT),
     true, "New keys for everything, after an admin has left; in force at policy install", vault_rekey},
    {0},
};
