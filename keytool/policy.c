/* SPDX-License-Identifier: MIT */
#include "keytool.h"

#include <stdlib.h>
#include <string.h>

#define PASS (KT_BIT(PASSPHRASE_FILE) | KT_BIT(PASSPHRASE_COMMAND))

static json_t *identity_json(const struct vf_identity_pub *pub)
{
    struct vf_hash hash;
    char text[VF_FINGERPRINT_TEXT_LEN + 1];
    vf_identity_fingerprint(pub, &hash);
    vf_fingerprint_text(&hash, text);
    return json_pack("{s:s,s:s}", "name", pub->name, "fingerprint", text);
}

static json_t *version_json(const struct vf_policy *p)
{
    char text[VF_FINGERPRINT_TEXT_LEN + 1];
    json_t *admins = json_array();
    for (size_t i = 0; i < p->nadmins; i++)
        (void)json_array_append_new(admins, identity_json(&p->admins[i]));
    vf_fingerprint_text(&p->text_hash, text);
    json_t *doc = json_pack("{s:i,s:s,s:o,s:i,s:s,s:o,s:o}", "version", (int)p->version, "force", p->force_name, "vault",
                            kt_json_hex(p->vault.b, sizeof(p->vault.b)), "threshold", (int)p->threshold, "fingerprint", text,
                            "created", kt_json_time(p->created_us), "admins", admins);
    if (doc && p->has_desk) {
        (void)json_object_set_new(doc, "desk", identity_json(&p->desk));
        (void)json_object_set_new(doc, "desk_url", json_string(p->desk_url));
    }
    return doc;
}

static void print_version(const struct vf_policy *p)
{
    char text[VF_FINGERPRINT_TEXT_LEN + 1], created[64];
    vf_fingerprint_text(&p->text_hash, text);
    vf_time_format_person(p->created_us, created, sizeof(created));
    (void)printf("version      %u, made on %s\nforce        %s\nfingerprint  %s\nsignatures   %u of %zu admin%s\n",
                 p->version, created, p->force_name, text, p->threshold, p->nadmins, kt_s(p->nadmins));
    for (size_t i = 0; i < p->nadmins; i++) {
        struct vf_hash hash;
        vf_identity_fingerprint(&p->admins[i], &hash);
        vf_fingerprint_text(&hash, text);
        (void)printf("admin        %-20s %s\n", p->admins[i].name, text);
    }
    if (p->has_desk)
        (void)printf("desk         %-20s %s\n", p->desk.name, p->desk_url);
}

static const struct vf_identity_pub *find_admin(const struct vf_policy *p, const struct vf_identity_pub *who)
{
    for (size_t i = 0; i < p->nadmins; i++)
        if (vf_identity_pub_equal(&p->admins[i], who))
            return &p->admins[i];
    return NULL;
}

static void print_identity(FILE *to, const char *what, const struct vf_identity_pub *who, const char *words)
{
    char text[VF_FINGERPRINT_TEXT_LEN + 1];
    struct vf_hash hash;
    vf_identity_fingerprint(who, &hash);
    vf_fingerprint_text(&hash, text);
    (void)fprintf(to, "  %-13s %s %s%s\n", what, who->name, text, words);
}

static void print_desk_change(FILE *to, const struct vf_policy *was, const struct vf_policy *next)
{
    bool same = was->has_desk && vf_identity_pub_equal(&was->desk, &next->desk);
    if (next->has_desk && !same)
        print_identity(to, was->has_desk ? "another desk" : "desk", &next->desk, "");
    if (was->has_desk && !next->has_desk)
        (void)fprintf(to, "  no desk any more\n");
    if (next->has_desk && strcmp(was->desk_url, next->desk_url) != 0)
        (void)fprintf(to, "  desk's URL    %s\n", next->desk_url);
}

/* What a signature on `next` changes: the part of a policy that a signer must have seen. */
static void print_change(FILE *to, const struct vf_policy *was, const struct vf_policy *next)
{
    (void)fprintf(to, "Version %u changes version %u:\n", next->version, was->version);
    if (was->threshold != next->threshold)
        (void)fprintf(to, "  signatures    %u of %zu admins, instead of %u of %zu%s\n", next->threshold, next->nadmins,
                      was->threshold, was->nadmins, next->threshold < was->threshold ? ": FEWER decide" : "");
    for (size_t i = 0; i < next->nadmins; i++)
        if (!find_admin(was, &next->admins[i]))
            print_identity(to, "new admin", &next->admins[i], " (compare with its owner, by telephone)");
    for (size_t i = 0; i < was->nadmins; i++)
        if (!find_admin(next, &was->admins[i]))
            print_identity(to, "removed", &was->admins[i], "");
    if (strcmp(was->force_name, next->force_name) != 0)
        (void)fprintf(to, "  force's name  %s, instead of %s\n", next->force_name, was->force_name);
    print_desk_change(to, was, next);
    if (memcmp(&was->commitment, &next->commitment, sizeof(was->commitment)) != 0)
        (void)fprintf(to, "  vault key     a new one (vault rekey)\n");
}

static enum vf_err policy_show(const struct kt_args *a, struct vf_why *why)
{
    VF_CLEANUP(vf_policy_chain_done) struct vf_policy_chain chain = {0};
    VF_TRY(kt_policy_read(a->argv[0], &chain, why));
    if (kt_has(a, KT_JSON)) {
        json_t *doc = json_object();
        if (chain.ruling)
            (void)json_object_set_new(doc, "in_force", version_json(&chain.policy));
        if (chain.has_pending) {
            (void)json_object_set_new(doc, "pending", version_json(&chain.pending));
            (void)json_object_set_new(doc, "pending_signatures", json_integer((json_int_t)chain.pending_new_sigs));
        }
        return kt_print_json(doc, why);
    }
    if (chain.ruling) {
        (void)printf("In force:\n");
        print_version(&chain.policy);
    }
    if (chain.has_pending) {
        (void)printf("%sPending (%zu of %u signature%s%s):\n", chain.ruling ? "\n" : "", chain.pending_new_sigs,
                     chain.pending.threshold, kt_s(chain.pending.threshold), chain.ruling ? " of its own admins" : "");
        print_version(&chain.pending);
        if (chain.ruling) {
            (void)printf("\n");
            print_change(stdout, &chain.policy, &chain.pending);
        }
    }
    return VF_OK;
}

static enum vf_err policy_verify(const struct kt_args *a, struct vf_why *why)
{
    VF_CLEANUP(vf_policy_chain_done) struct vf_policy_chain chain = {0};
    VF_TRY(kt_policy_read(a->argv[0], &chain, why));
    if (kt_has(a, KT_JSON))
        VF_TRY(kt_print_json(json_pack("{s:i,s:b}", "in_force", (int)chain.ruling, "pending", (int)chain.has_pending), why));
    else if (chain.ruling)
        (void)printf("%s: version %zu is in force; it and all before it are signed\n", a->argv[0], chain.ruling);
    if (chain.has_pending)
        return vf_fail(why, VF_E_UNSIGNED, "%s: version %u has %zu of %u signature%s of its admins%s", a->argv[0],
                       chain.pending.version, chain.pending_new_sigs, chain.pending.threshold, kt_s(chain.pending.threshold),
                       chain.ruling ? " (and needs those of the version before)" : "");
    return VF_OK;
}

static enum vf_err policy_export(const struct kt_args *a, struct vf_why *why)
{
    VF_VAULT v = NULL;
    VF_BUF out;
    vf_buf_init(&out, VF_POLICY_MAX);
    VF_TRY(vf_vault_open(a->argv[0], VF_VAULT_PUBLIC, NULL, &v, why));
    const struct vf_policy_chain *chain = vf_vault_policy(v);
    vf_buf_put(&out, chain->bytes, chain->len);
    return kt_output_write(a, kt_get(a, KT_OUTPUT), &out, 0644, why);
}

static enum vf_err policy_change(const struct kt_args *a, struct vf_why *why)
{
    struct vf_identity_pub add[VF_ADMINS_MAX], desk;
    struct vf_policy_change change = {.nadd = a->opt[KT_ADD_ADMIN].n,
                                      .add = add,
                                      .remove = a->opt[KT_REMOVE_ADMIN].v,
                                      .nremove = a->opt[KT_REMOVE_ADMIN].n,
                                      .desk_url = kt_get(a, KT_DESK_URL)};
    VF_IDENTITY id = NULL;
    VF_VAULT v = NULL;
    VF_BUF next;

    vf_buf_init(&next, VF_POLICY_MAX);
    if (change.nadd > VF_ADMINS_MAX)
        return kt_usage(why, "a force has at most %d admins", VF_ADMINS_MAX);
    for (size_t i = 0; i < change.nadd; i++)
        VF_TRY(vf_identity_pub_read(a->opt[KT_ADD_ADMIN].v[i], &add[i], why));
    if (kt_has(a, KT_THRESHOLD)) {
        uint64_t k;
        VF_TRY(kt_number_arg("threshold", kt_get(a, KT_THRESHOLD), VF_ADMINS_MAX, &k, why));
        if (k == 0)
            return kt_usage(why, "--threshold is at least 1");
        change.threshold = (unsigned)k;
    }
    if (kt_has(a, KT_DESK)) {
        VF_TRY(vf_identity_pub_read(kt_get(a, KT_DESK), &desk, why));
        change.desk = &desk;
    }
    VF_TRY(kt_vault_open(a, a->argv[0], VF_VAULT_READ, &id, &v, why));
    enum vf_err err = vf_policy_change_make(v, &change, id, &next, why);
    if (!err)
        err = kt_output_write(a, kt_get(a, KT_OUTPUT), &next, 0644, why);
    err = kt_vault_close(v, err, why);
    v = NULL;
    if (!err)
        kt_say("Wrote %s, signed by you. When enough admins have signed it (policy sign): policy install.%s",
               kt_get(a, KT_OUTPUT),
               change.nremove ? " Who is removed still knows the old keys: follow with vault rekey." : "");
    return err;
}

/* What is signed is said before; a person at a terminal is asked, a script is taken at its word. */
static enum vf_err ask_sign(const struct kt_args *a, const struct vf_policy_chain *chain, struct vf_why *why)
{
    if (!chain->has_pending)
        return VF_OK;
    if (!kt_has(a, KT_QUIET) && chain->ruling)
        print_change(stderr, &chain->policy, &chain->pending);
    else if (!kt_has(a, KT_QUIET))
        kt_say("Version 1 of the policy of %s: %u of %zu admins sign (policy show lists them).", chain->pending.force_name,
               chain->pending.threshold, chain->pending.nadmins);
    if (kt_has(a, KT_YES) || kt_has(a, KT_QUIET) || !kt_has_terminal() || kt_confirm("Sign this?"))
        return VF_OK;
    return vf_fail(why, VF_E_REFUSED, "%s: not signed", a->argv[0]);
}

static enum vf_err policy_sign(const struct kt_args *a, struct vf_why *why)
{
    VF_CLEANUP(vf_policy_chain_done) struct vf_policy_chain chain = {0}, after = {0};
    VF_IDENTITY id = NULL;
    VF_BUF out;
    vf_buf_init(&out, VF_POLICY_MAX);
    VF_TRY(kt_policy_read(a->argv[0], &chain, why));
    VF_TRY(ask_sign(a, &chain, why));
    VF_TRY(kt_key_open(a, &id, why));
    VF_TRY(vf_policy_chain_sign(&chain, id, &out, why));
    VF_TRY(vf_buf_check(&out, a->argv[0], why));
    VF_TRY(vf_policy_chain_parse(out.data, out.len, a->argv[0], &after, why));
    VF_TRY(vf_file_write(a->argv[0], out.data, out.len, 0644, true, why));
    if (after.has_pending)
        kt_say("%s: version %u has %zu of %u signature%s now.", a->argv[0], after.pending.version, after.pending_new_sigs,
               after.pending.threshold, kt_s(after.pending.threshold));
    else
        kt_say("%s: version %zu has all its signatures. Next: policy install.", a->argv[0], after.ruling);
    return VF_OK;
}

static enum vf_err policy_install(const struct kt_args *a, struct vf_why *why)
{
    VF_IDENTITY id = NULL;
    VF_BUF data = {0};
    bool pending = false;
    VF_TRY(vf_file_read(a->argv[0], VF_POLICY_MAX, &data, why));
    VF_TRY(kt_key_open(a, &id, why));
    VF_TRY(vf_policy_install(a->argv[1], data.data, data.len, id, &pending, why));
    kt_say(pending ? "%s: kept as pending; the version before it rules until enough admins have signed."
                   : "%s: in force. Send it to the stations (station receive) so that they take grants under it.",
           a->argv[0]);
    return VF_OK;
}

const struct kt_verb kt_policy_verbs[] = {
    {"policy", "show", "FILE", 1, 1, KT_BIT(JSON), 0, false, "Show a policy: who may sign, and how many must", policy_show},
    {"policy", "verify", "FILE", 1, 1, KT_BIT(JSON), 0, false, "Check the signatures of a policy and all its versions",
     policy_verify},
    {"policy", "export", "VAULT", 1, 1, KT_BIT(OUTPUT) | KT_BIT(FORCE), KT_BIT(OUTPUT), false,
     "Write the vault's policy to a file, for stations or to be signed", policy_export},
    {"policy", "change", "VAULT", 1, 1,
     KT_BIT(ADD_ADMIN) | KT_BIT(REMOVE_ADMIN) | KT_BIT(THRESHOLD) | KT_BIT(DESK) | KT_BIT(DESK_URL) | KT_BIT(KEY) |
         KT_BIT(OUTPUT) | KT_BIT(FORCE) | PASS,
     KT_BIT(KEY) | KT_BIT(OUTPUT), true, "Write a next version with other admins, threshold or desk, signed by you",
     policy_change},
    {"policy", "sign", "FILE", 1, 1, KT_BIT(YES) | KT_BIT(KEY) | PASS, KT_BIT(KEY), true,
     "Add your signature to a policy's last version", policy_sign},
    {"policy", "install", "FILE VAULT", 2, 2, KT_BIT(KEY) | PASS, KT_BIT(KEY), true, "Put a policy in force in a vault",
     policy_install},
    {0},
};
