/* SPDX-License-Identifier: MIT */
#include "grant.h"

#include <string.h>
#include <unistd.h>

#define PASS (KT_BIT(PASSPHRASE_FILE) | KT_BIT(PASSPHRASE_COMMAND))

/* --------------------------------------------------------------------------------------------------------------- review */

static enum vf_err grant_review(const struct kt_args *a, struct vf_why *why)
{
    const char *path = kt_get(a, KT_OUTPUT);
    struct vf_grant_file file;
    VF_BUF bytes = {0};
    VF_IDENTITY id = NULL;
    VF_VAULT v = NULL;
    VF_NEWFILE page = {.fd = -1};

    VF_TRY(kt_grant_read(a->argv[0], &bytes, &file, why));
    VF_TRY(kt_output_open(a, path, 0600, &page, why));
    VF_TRY(kt_vault_open(a, a->argv[1], VF_VAULT_READ, &id, &v, why));
    enum vf_err err = vf_grant_review(v, &file, page.fd, path, why);
    if (!err)
        err = vf_newfile_commit(&page, why);
    err = kt_vault_close(v, err, why);
    v = NULL;
    if (!err)
        kt_say("Wrote %s: names and photos of %u record%s. Open it in a browser, and remove it when you have signed or "
               "refused.",
               path, file.grant.records, kt_s(file.grant.records));
    return err;
}

/* ----------------------------------------------------------------------------------------------------------- sign, merge */

static enum vf_err ask(const struct kt_args *a, const struct vf_grant_file *file, const char *vault, struct vf_why *why)
{
    char question[200];
    kt_grant_print(&file->grant);
    (void)printf("contents   %s\n",
                 vault ? "were derived again from the vault before you sign" : "NOT compared with a vault: none was given");
    (void)fflush(stdout);
    if (kt_has(a, KT_YES))
        return VF_OK;
    (void)snprintf(question, sizeof(question), "Sign this grant of %u record%s to %s?", file->grant.records,
                   kt_s(file->grant.records), file->grant.recipient);
    if (kt_confirm(question))
        return VF_OK;
    return vf_fail(why, VF_E_INPUT, "%s: not signed; answer y on the terminal, or give --yes", a->argv[0]);
}

static enum vf_err sign_with(const struct kt_args *a, const struct vf_grant_file *file, const struct vf_identity *id,
                             struct vf_vault *v, struct vf_why *why)
{
    const char *vault = a->argc > 1 ? a->argv[1] : NULL;
    VF_BUF out;
    vf_buf_init(&out, VF_GRANT_FILE_MAX);
    if (v) /* told before the question: who reads a summary should not be asked to sign what differs */
        VF_TRY(vf_grant_rederive(v, file, why));
    VF_TRY(ask(a, file, vault, why));
    VF_TRY(vf_grant_sign(file, id, v, &out, why));
    VF_TRY(vf_buf_check(&out, a->argv[0], why));
    VF_TRY(vf_file_write(a->argv[0], out.data, out.len, 0644, true, why));
    if (v)
        return kt_grant_next(a, &out, a->argv[0], vault, &vf_vault_policy(v)->policy, false, why);
    kt_say(
        "%s: signed by %s, without comparing its contents with a vault. grant verify --policy says whether that is enough.",
        a->argv[0], vf_identity_pub_get(id)->name);
    return VF_OK;
}

static enum vf_err grant_sign(const struct kt_args *a, struct vf_why *why)
{
    struct vf_grant_file file;
    VF_BUF bytes = {0};
    VF_IDENTITY id = NULL;
    VF_VAULT v = NULL;

    VF_TRY(kt_grant_read(a->argv[0], &bytes, &file, why));
    VF_TRY(kt_key_open(a, &id, why));
    if (a->argc > 1)
        VF_TRY(vf_vault_open(a->argv[1], VF_VAULT_WRITE, id, &v, why));
    enum vf_err err = sign_with(a, &file, id, v, why);
    err = kt_vault_close(v, err, why);
    v = NULL;
    return err;
}

static enum vf_err grant_merge(const struct kt_args *a, struct vf_why *why)
{
    struct vf_grant_file one, other, both;
    VF_BUF one_bytes = {0}, other_bytes = {0}, out;
    vf_buf_init(&out, VF_GRANT_FILE_MAX);
    VF_TRY(kt_grant_read(a->argv[0], &one_bytes, &one, why));
    VF_TRY(kt_grant_read(a->argv[1], &other_bytes, &other, why));
    VF_TRY(vf_grant_merge(&one, &other, &out, why));
    VF_TRY(kt_output_write(a, kt_get(a, KT_OUTPUT), &out, 0644, why));
    VF_TRY(vf_grant_file_parse(out.data, out.len, kt_get(a, KT_OUTPUT), &both, why));
    kt_say("Wrote %s: grant %.16s with %zu signature%s. grant verify --policy says whether they are enough.",
           kt_get(a, KT_OUTPUT), both.grant.id.c, both.note.nsigs, both.note.nsigs == 1 ? "" : "s");
    return VF_OK;
}

const struct kt_verb kt_grant_verbs[] = {
    {"grant", "issue", "VAULT", 1, 1,
     KT_BIT(TO) | KT_BIT(JOB) | KT_BIT(PROFILE) | KT_BIT(FIELDS) | KT_BIT(RECORDS) | KT_BIT(LIST) | KT_BIT(WHERE) |
         KT_BIT(UNTIL) | KT_BIT(FROM) | KT_BIT(PURPOSE) | KT_BIT(RELEASE) | KT_BIT(BUDGET) | KT_BIT(INCLUDE_PROTECTED) |
         KT_BIT(ALLOW_INCOMPLETE) | KT_BIT(CLOCK_RESET) | KT_BIT(CHECK) | KT_BIT(OUTPUT) | KT_BIT(FORCE) | KT_BIT(JSON) |
         KT_BIT(KEY) | PASS,
     KT_BIT(TO) | KT_BIT(JOB) | KT_BIT(UNTIL) | KT_BIT(PURPOSE) | KT_BIT(RELEASE) | KT_BIT(KEY), true,
     "Let a supplier's device read chosen fields of chosen records for a time", kt_grant_issue},
    {"grant", "review", "OUT.grant VAULT", 2, 2, KT_BIT(OUTPUT) | KT_BIT(FORCE) | KT_BIT(KEY) | PASS,
     KT_BIT(OUTPUT) | KT_BIT(KEY), true, "Write a page with the names and photos of what you are about to sign",
     grant_review},
    {"grant", "sign", "OUT.grant [VAULT]", 1, 2, KT_BIT(YES) | KT_BIT(KEY) | PASS, KT_BIT(KEY), true,
     "Add your signature; with the vault, the contents are derived again and compared", grant_sign},
    {"grant", "merge", "A.grant B.grant", 2, 2, KT_BIT(OUTPUT) | KT_BIT(FORCE), KT_BIT(OUTPUT), false,
     "Bring the signatures of two copies of one grant together", grant_merge},
    {"grant", "show", "FILE", 1, 1, KT_BIT(POLICY) | KT_BIT(JSON), 0, false, "Show what a grant gives, to whom, until when",
     kt_grant_show},
    {"grant", "verify", "FILE", 1, 1, KT_BIT(POLICY) | KT_BIT(JSON), 0, false,
     "Check a grant: that it is whole; with a policy, that enough admins signed", kt_grant_verify},
    {"grant", "list", "VAULT", 1, 1, KT_BIT(JSON), 0, false, "List the grants of a vault", kt_grant_list},
    {"grant", "renew", "GRANT-ID VAULT", 2, 2,
     KT_BIT(UNTIL) | KT_BIT(NO_HANDIN) | KT_BIT(CLOCK_RESET) | KT_BIT(INCLUDE_PROTECTED) | KT_BIT(OUTPUT) | KT_BIT(FORCE) |
         KT_BIT(JSON) | KT_BIT(KEY) | PASS,
     KT_BIT(UNTIL) | KT_BIT(OUTPUT) | KT_BIT(KEY), true, "Give the same again for longer; one small file travels",
     kt_grant_renew},
    {"grant", "revoke", "GRANT-ID VAULT", 2, 2, KT_BIT(REASON) | KT_BIT(OUTPUT) | KT_BIT(FORCE) | KT_BIT(KEY) | PASS,
     KT_BIT(REASON) | KT_BIT(OUTPUT) | KT_BIT(KEY), true, "Take a grant back", kt_grant_revoke},
    {0},
};
