/* SPDX-License-Identifier: MIT */
/* The second admin's signature, and bringing signatures together. */
#include "issue.h"
#include "rederive.h"
#include "rows.h"

#include <string.h>

/* The same file under another note. */
static enum vf_err put_with(const struct vf_grant_file *f, const struct vf_buf *note, struct vf_buf *out, struct vf_why *why)
{
    VF_TRY(vf_buf_check(note, "the grant's text", why));
    vf_grant_file_put(out, (struct vf_slice){note->data, note->len}, (struct vf_slice){f->manifest_bytes, f->manifest_len},
                      (struct vf_slice){f->envelopes, f->envelopes_len}, (struct vf_slice){f->catalogue, f->catalogue_len});
    return vf_buf_check(out, "the grant", why);
}

/*
 * What is on the grant already must hold, and the admin whom it names as its issuer must have signed: a co-signer lends his name to
 * what that admin answers for.
 */
static enum vf_err check_signatures(const struct vf_vault *v, const struct vf_grant_file *f, struct vf_why *why)
{
    const struct vf_policy *p = &vf_vault_policy(v)->policy;
    struct vf_note_key keys[VF_ADMINS_MAX];
    bool signed_by[VF_ADMINS_MAX] = {false};
    size_t count = 0;
    size_t n = vf_policy_admin_keys(p, keys);

    VF_TRY(vf_note_verify(&f->note, keys, n, signed_by, &count, why));
    for (size_t i = 0; i < n; i++)
        if (signed_by[i] && strcmp(keys[i].name, f->grant.issuer) == 0)
            return VF_OK;
    return vf_fail(why, VF_E_UNSIGNED, "the grant says that %s issued it, who has not signed it or is no admin any more",
                   f->grant.issuer);
}

/* What this vault remembers of the grant does not speak against it. */
static enum vf_err check_kept(struct vf_vault *v, const struct vf_grant *g, struct vf_why *why)
{
    VF_KEPT_GRANT kept = {0};
    struct vf_device device;
    bool known;

    VF_TRY(vf_kept_grant_look(v, &g->id, &kept, &known, why));
    if (known && memcmp(&kept.grant.text_hash, &g->text_hash, VF_HASH_LEN) != 0)
        return vf_fail(why, VF_E_FORGED, "the vault knows another grant under the id %.*s", VF_GRANT_ID_LEN, g->id.c);
    if (known && kept.revoked)
        return vf_fail(why, VF_E_REVOKED, "grant %.*s was revoked", VF_GRANT_ID_LEN, g->id.c);
    VF_TRY(vf_device_look(v, &g->enrolment, &device, &known, why));
    if (known && device.revoked)
        return vf_fail(why, VF_E_REVOKED, "%s, to whom the grant is made, was revoked", g->recipient);
    return VF_OK;
}

static enum vf_err log_sign(struct vf_vault *v, const struct vf_identity *admin, const struct vf_grant *g,
                            struct vf_why *why)
{
    char words[256];

    vf_draft_words(g, vf_identity_pub_get(admin)->name, words, sizeof(words));
    return vf_grant_log(v, VF_EVENT_SIGN, g, words, why);
}

/* With the vault: (1) the signer may, (2) contents derived anew, (3) the entry, (4) the vault's row. */
static enum vf_err sign_with(const struct vf_grant_file *f, const struct vf_identity *admin, struct vf_vault *v,
                             const struct vf_buf *note, struct vf_why *why)
{
    VF_CONTENTS c = {0};

    VF_TRY(vf_draft_admin(v, admin, why));
    VF_TRY(vf_grant_policy_known(&f->grant, vf_vault_policy(v), why));
    VF_TRY(check_signatures(v, f, why));
    VF_TRY(check_kept(v, &f->grant, why));
    VF_TRY(vf_contents_again(v, f, &c, why));
    VF_TRY(log_sign(v, admin, &f->grant, why));
    const struct vf_rows_change keep = {.grant = &f->grant,
                                        .note = {note->data, note->len},
                                        .manifest = {f->manifest_bytes, f->manifest_len},
                                        .times = {c.times.data, c.times.len}};
    return vf_rows_keep(v, &keep, why);
}

enum vf_err vf_grant_sign(const struct vf_grant_file *file, const struct vf_identity *admin, struct vf_vault *v,
                          struct vf_buf *out, struct vf_why *why)
{
    VF_BUF note = {0};

    if (vf_identity_pub_get(admin)->role != VF_ROLE_ADMIN)
        return vf_fail(why, VF_E_REFUSED, "%s is no admin: a grant is signed by admins", vf_identity_pub_get(admin)->name);
    vf_buf_init(&note, VF_NOTE_MAX);
    VF_TRY(vf_note_cosign(&file->note, admin, &note, why));
    VF_TRY(vf_buf_check(&note, "the grant's text", why));
    if (v != NULL)
        VF_TRY(sign_with(file, admin, v, &note, why));
    return put_with(file, &note, out, why);
}

enum vf_err vf_grant_merge(const struct vf_grant_file *a, const struct vf_grant_file *b, struct vf_buf *out,
                           struct vf_why *why)
{
    VF_BUF note = {0};

    vf_buf_init(&note, VF_NOTE_MAX);
    /* One text means one set of hashes, and both files were checked against theirs. */
    VF_TRY(vf_fail_prefix(why, vf_note_merge(&a->note, &b->note, &note, why), "these are not the same grant"));
    return put_with(a, &note, out, why);
}
