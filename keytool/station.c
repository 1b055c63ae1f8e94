/* SPDX-License-Identifier: MIT */
#include "station.h"

#include <string.h>
#include <unistd.h>

#define PASS (KT_BIT(PASSPHRASE_FILE) | KT_BIT(PASSPHRASE_COMMAND))

/* --------------------------------------------------------------------------------------------------------------- create */

static enum vf_err print_created(const struct kt_args *a, const struct vf_buf *enrol, const struct vf_policy *policy,
                                 bool locked, struct vf_why *why)
{
    const char *path = kt_get(a, KT_OUTPUT);
    char device[VF_FINGERPRINT_TEXT_LEN + 1], force[VF_FINGERPRINT_TEXT_LEN + 1];
    struct vf_enrol e;
    struct vf_hash hash;

    VF_TRY(vf_enrol_parse(enrol->data, enrol->len, path, &e, why));
    vf_identity_fingerprint(&e.device, &hash);
    vf_fingerprint_text(&hash, device);
    vf_fingerprint_text(&policy->text_hash, force);
    if (kt_has(a, KT_JSON))
        return kt_print_json(json_pack("{s:s,s:s,s:s,s:s,s:i,s:s}", "name", e.name, "device", device, "force",
                                       policy->force_name, "policy", force, "policy_version", (int)policy->version,
                                       "enrolment", path),
                             why);
    (void)printf("station    %s, for %s\ndevice     %s\npolicy     %s (version %u)\n", e.name, policy->force_name, device,
                 force, policy->version);
    kt_say("Send %s to the force. Then telephone, at a number that you know already: you read them the device's words, they "
           "read you the "
           "policy's (from policy show). If one differs, stop.%s",
           path, locked ? "" : " The station has no passphrase: whoever has its folder can open what is granted to it.");
    return VF_OK;
}

static enum vf_err station_create(const struct kt_args *a, struct vf_why *why)
{
    VF_CLEANUP(vf_policy_chain_done) struct vf_policy_chain chain = {0};
    VF_SECRET struct vf_passphrase *pass = NULL;
    const char *path = kt_get(a, KT_OUTPUT), *name = kt_get(a, KT_NAME);
    VF_BUF policy = {0}, enrol;

    vf_buf_init(&enrol, VF_ENROL_MAX);
    if (!vf_name_valid(name, strlen(name)))
        return kt_usage(why, "--name: \"%s\" is no name (a-z, 0-9, . and -, at most %d characters)", name, VF_NAME_MAX);
    /* Before the station: an output that cannot be written, and a folder that is there. */
    VF_TRY(kt_output_check(a, path, why));
    if (access(a->argv[0], F_OK) == 0)
        return vf_fail(why, VF_E_EXISTS, "%s: there is something already; choose another folder", a->argv[0]);
    VF_TRY(vf_file_read(kt_get(a, KT_POLICY), VF_POLICY_MAX, &policy, why));
    VF_TRY(vf_policy_chain_parse(policy.data, policy.len, kt_get(a, KT_POLICY), &chain, why));
    VF_TRY(kt_new_passphrase(a, a->argv[0], &pass, why));
    VF_TRY(vf_station_create(a->argv[0], name, policy.data, policy.len, pass, VF_ARGON2_DEFAULT, &enrol, why));
    enum vf_err err = kt_output_write(a, path, &enrol, 0644, why);
    if (err)
        return vf_fail_prefix(why, err, "the station was made, and its enrolment is in %s/station.enrol, but", a->argv[0]);
    return print_created(a, &enrol, &chain.policy, pass != NULL, why);
}

/* ---------------------------------------------------------------------------------------------------------------- check */

static void print_finding(void *user, const char *line)
{
    json_t *list = user;
    if (list)
        (void)json_array_append_new(list, json_string(line));
    else
        (void)printf("%s\n", line);
}

static enum vf_err station_check(const struct kt_args *a, struct vf_why *why)
{
    json_t *list = kt_has(a, KT_JSON) ? json_array() : NULL;
    uint64_t findings = 0;
    enum vf_err err = vf_station_check(a->argv[0], print_finding, list, &findings, why);
    if (err) {
        json_decref(list);
        return err;
    }
    if (list)
        VF_TRY(kt_print_json(json_pack("{s:I,s:o}", "count", (json_int_t)findings, "findings", list), why));
    else if (findings == 0)
        (void)printf("%s: grants, values and log are whole and genuine\n", a->argv[0]);
    if (findings)
        return vf_fail(why, VF_E_DAMAGED, "%s: %llu finding%s; receive the deliveries again", a->argv[0],
                       (unsigned long long)findings, findings == 1 ? "" : "s");
    return VF_OK;
}

/* ----------------------------------------------------------------------------------------------------------- passphrase */

static enum vf_err old_passphrase(const struct kt_args *a, struct vf_passphrase **ret, struct vf_why *why)
{
    const struct vf_passphrase_source source = {.file = kt_get(a, KT_PASSPHRASE_FILE),
                                                .command = kt_get(a, KT_PASSPHRASE_COMMAND)};
    bool locked;
    VF_TRY(vf_station_locked(a->argv[0], &locked, why));
    if (!locked)
        return VF_OK;
    *ret = vf_secret_new(sizeof(**ret));
    if (!*ret)
        return vf_fail(why, VF_E_LOCKED_MEMORY, "no locked memory left for a passphrase");
    return vf_passphrase_get(&source, a->argv[0], false, *ret, why);
}

static enum vf_err station_passphrase(const struct kt_args *a, struct vf_why *why)
{
    VF_SECRET struct vf_passphrase *old = NULL;
    VF_SECRET struct vf_passphrase *pass = NULL;

    VF_TRY(old_passphrase(a, &old, why));
    VF_TRY(kt_changed_passphrase(a, a->argv[0], &pass, why));
    VF_TRY(vf_station_passphrase(a->argv[0], old, pass, VF_ARGON2_DEFAULT, why));
    kt_say("%s: the passphrase was %s. Copies of the folder made before still open with the old one.", a->argv[0],
           pass ? "changed" : "removed");
    return VF_OK;
}

const struct kt_verb kt_station_verbs[] = {
    {"station", "create", "STATION", 1, 1,
     KT_BIT(NAME) | KT_BIT(POLICY) | KT_BIT(NO_PASSPHRASE) | KT_BIT(OUTPUT) | KT_BIT(FORCE) | KT_BIT(JSON) | PASS,
     KT_BIT(NAME) | KT_BIT(POLICY) | KT_BIT(OUTPUT), true, "Make a station for one force, and the enrolment to send to it",
     station_create},
    {"station", "receive", "STATION FILE...", 2, -1, KT_BIT(JSON), 0, false,
     "Take what the force sent: policies, grants, bundles, revocations, receipts", kt_station_receive},
    {"station", "status", "STATION", 1, 1, KT_BIT(JSON), 0, false, "Show grants, values and log of a station",
     kt_station_status},
    {"station", "handin", "STATION", 1, 1, KT_BIT(OUTPUT) | KT_BIT(FORCE) | KT_BIT(JSON), KT_BIT(OUTPUT), true,
     "Seal the log and write it to a file for the force", kt_station_handin},
    {"station", "check", "STATION", 1, 1, KT_BIT(JSON), 0, false, "Check the station's database, grants, values and log",
     station_check},
    {"station", "passphrase", "STATION", 1, 1, KT_BIT(NO_PASSPHRASE) | KT_BIT(NEW_PASSPHRASE_FILE) | PASS, 0, true,
     "Change the passphrase of a station", station_passphrase},
    {0},
};
