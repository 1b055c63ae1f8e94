/* SPDX-License-Identifier: MIT */
/* X.revoked: one admin takes a grant, or a whole device, back. */
#include "lines.h"

#include <vaultfs/grant.h>

#include <string.h>

#define KIND           "revocation"
#define REVOCATION_MAX 8192

/* "GRANT-ID BATCH/NUMBER" */
static bool key_parse(const char *value, size_t len, struct vf_revoked_key *ret)
{
    const char *slash = memchr(value, '/', len);
    size_t head = slash != NULL ? (size_t)(slash - value) : 0;
    uint64_t batch = 0, number = 0;

    if (head <= VF_GRANT_ID_LEN || value[VF_GRANT_ID_LEN] != ' ' ||
        !vf_grant_id_parse(value, VF_GRANT_ID_LEN, &ret->grant) ||
        !vf_uint_parse(value + VF_GRANT_ID_LEN + 1, head - VF_GRANT_ID_LEN - 1, UINT32_MAX, &batch) || batch == 0 ||
        !vf_uint_parse(slash + 1, len - head - 1, UINT32_MAX, &number))
        return false;
    ret->batch = (uint32_t)batch;
    ret->number = (uint32_t)number;
    return true;
}

static bool ascends(const struct vf_revocation *r)
{
    return r->nkeys < 2 || memcmp(&r->keys[r->nkeys - 2].grant, &r->keys[r->nkeys - 1].grant, VF_GRANT_ID_LEN) < 0;
}

static void get_keys(struct vf_lines *l, struct vf_revocation *r)
{
    while (r->is_device && vf_lines_has(l, "grant-key")) {
        size_t len;
        const char *value = vf_lines_value(l, "grant-key", &len);
        if (value == NULL)
            return;
        if (r->nkeys == VF_REVOCATION_KEYS_MAX || !key_parse(value, len, &r->keys[r->nkeys++]) || !ascends(r)) {
            vf_lines_refuse(l, "grant-key");
            return;
        }
    }
}

static void put(const struct vf_revocation *r, struct vf_buf *out)
{
    vf_lines_put_first(out, KIND);
    vf_lines_put_hex(out, "vault", r->vault.b, sizeof(r->vault.b));
    vf_lines_put(out, "revokes", r->is_device ? "device" : "grant");
    if (r->is_device)
        vf_lines_put_hex(out, "enrolment-sha256", r->device.b, VF_HASH_LEN);
    else
        vf_lines_put_grant_id(out, "grant", &r->grant);
    vf_lines_put(out, "recipient", r->name);
    vf_lines_put_prekey(out, "prekey", r->prekey_batch, r->prekey_number);
    for (size_t i = 0; r->is_device && i < r->nkeys; i++)
        vf_buf_fmt(out, "grant-key: %.*s %u/%u\n", VF_GRANT_ID_LEN, r->keys[i].grant.c, (unsigned)r->keys[i].batch,
                   (unsigned)r->keys[i].number);
    vf_lines_put(out, "reason", r->reason);
    vf_lines_put_time(out, "time", r->time_us);
}

static enum vf_err get(const struct vf_note *note, const char *what, struct vf_revocation *r, struct vf_why *why)
{
    struct vf_lines l;
    VF_BUF again = {0};

    VF_TRY(vf_lines_start(&l, note->text, note->text_len, what, KIND, why));
    vf_lines_hex(&l, "vault", r->vault.b, sizeof(r->vault.b));
    r->is_device = vf_lines_either(&l, "revokes", "device", "grant");
    if (r->is_device)
        vf_lines_hex(&l, "enrolment-sha256", r->device.b, VF_HASH_LEN);
    else
        vf_lines_grant_id(&l, "grant", &r->grant);
    vf_lines_name(&l, "recipient", r->name);
    vf_lines_prekey(&l, "prekey", &r->prekey_batch, &r->prekey_number);
    get_keys(&l, r);
    vf_lines_text(&l, "reason", r->reason, sizeof(r->reason));
    vf_lines_time(&l, "time", &r->time_us);
    VF_TRY(vf_lines_end(&l, why));
    vf_buf_init(&again, REVOCATION_MAX);
    put(r, &again);
    return vf_lines_same(&l, &again, why);
}

enum vf_err vf_revocation_make(const struct vf_revocation *r, const struct vf_identity *admin, struct vf_buf *out,
                               struct vf_why *why)
{
    const struct vf_identity_pub *by = vf_identity_pub_get(admin);
    struct vf_revocation again = {0};
    struct vf_note note;
    VF_BUF text = {0};
    VF_BUF signed_note = {0};

    if (by->role != VF_ROLE_ADMIN)
        return vf_fail(why, VF_E_REFUSED, "%s is no admin: a revocation is signed by an admin", by->name);
    if (r->reason[0] == '\0' || !vf_text_printable(r->reason, strlen(r->reason)))
        return vf_fail(why, VF_E_INPUT, "the reason must be one line of text, at most %u bytes", (unsigned)VF_PURPOSE_MAX);
    vf_buf_init(&text, REVOCATION_MAX);
    put(r, &text);
    VF_TRY(vf_buf_check(&text, "revocation", why));
    vf_buf_init(&signed_note, REVOCATION_MAX);
    VF_TRY(vf_note_sign((const char *)text.data, text.len, admin, &signed_note, why));
    VF_TRY(vf_buf_check(&signed_note, "revocation", why));
    /* What others would refuse is not handed out. */
    VF_TRY(vf_note_parse(signed_note.data, signed_note.len, &note, why));
    VF_TRY(get(&note, "the new revocation", &again, why));
    vf_buf_put(out, signed_note.data, signed_note.len);
    return vf_buf_check(out, "revocation", why);
}

enum vf_err vf_revocation_parse(const void *data, size_t len, const char *what, const struct vf_policy_chain *chain,
                                struct vf_revocation *ret, struct vf_why *why)
{
    struct vf_note note;
    struct vf_revocation r = {0};
    struct vf_note_key keys[VF_ADMINS_MAX];
    bool signed_by[VF_ADMINS_MAX] = {false};
    size_t count = 0;

    if (len > REVOCATION_MAX)
        return vf_fail(why, VF_E_LIMIT, "%s: larger than a revocation can be", what);
    VF_TRY(vf_fail_prefix(why, vf_note_parse(data, len, &note, why), "%s", what));
    VF_TRY(get(&note, what, &r, why));
    if (chain->ruling == 0)
        return vf_fail(why, VF_E_UNSIGNED, "%s: no policy of this force is in force yet", what);
    if (memcmp(&r.vault, &chain->policy.vault, sizeof(r.vault)) != 0)
        return vf_fail(why, VF_E_REFUSED, "%s: a revocation by another force", what);
    size_t nkeys = vf_policy_admin_keys(&chain->policy, keys);
    VF_TRY(vf_fail_prefix(why, vf_note_verify(&note, keys, nkeys, signed_by, &count, why), "%s", what));
    if (count < 1)
        return vf_fail(why, VF_E_UNSIGNED, "%s: no admin of the policy in force has signed this revocation", what);
    *ret = r;
    return VF_OK;
}
