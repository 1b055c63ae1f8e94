/* SPDX-License-Identifier: MIT */
#include "issue.h"
#include "prekey_rows.h"
#include "rows.h"

#include <string.h>

enum vf_err vf_draft_admin(const struct vf_vault *v, const struct vf_identity *admin, struct vf_why *why)
{
    const struct vf_policy *p = &vf_vault_policy(v)->policy;
    const struct vf_identity_pub *pub = vf_identity_pub_get(admin);

    for (size_t i = 0; i < p->nadmins; i++)
        if (vf_identity_pub_equal(&p->admins[i], pub))
            return VF_OK;
    return vf_fail(why, VF_E_REFUSED, "%s is no admin under the policy in force (version %u)", pub->name,
                   (unsigned)p->version);
}

static int64_t whole_seconds(int64_t us)
{
    return us - us % VF_SECOND_US;
}

static enum vf_err check_window(const struct vf_vault *v, const struct vf_grant *g, struct vf_why *why)
{
    int64_t first = g->from_us < g->issued_us ? g->from_us : g->issued_us;
    int64_t max = vf_vault_max_grant_us(v);

    if (g->issued_us <= 0 || g->from_us <= 0)
        return vf_fail(why, VF_E_INPUT, "the grant would start before 1970");
    if (g->until_us <= g->issued_us)
        return vf_fail(why, VF_E_INPUT, "the grant would have ended already");
    if (g->until_us <= g->from_us)
        return vf_fail(why, VF_E_INPUT, "the grant would end before it starts");
    if (g->until_us - first > max)
        return vf_fail(why, VF_E_REFUSED,
                       "the grant would last longer than this vault permits (%lld days); end it sooner and renew it",
                       (long long)(max / VF_DAY_US));
    return VF_OK;
}

enum vf_err vf_draft_start(struct vf_vault *v, const struct vf_identity *admin, int64_t now_us, int64_t from_us,
                           int64_t until_us, struct vf_grant *g, struct vf_why *why)
{
    const struct vf_policy *p = &vf_vault_policy(v)->policy;
    uint8_t random[10];

    VF_TRY(vf_draft_admin(v, admin, why));
    vf_random(random, sizeof(random));
    vf_grant_id_from_bytes(random, &g->id);
    g->vault = *vf_vault_id_get(v);
    (void)snprintf(g->force_name, sizeof(g->force_name), "%s", p->force_name);
    (void)snprintf(g->issuer, sizeof(g->issuer), "%s", vf_identity_pub_get(admin)->name);
    g->policy_version = p->version;
    g->policy_hash = p->text_hash;
    g->issued_us = whole_seconds(now_us);
    g->from_us = whole_seconds(from_us);
    g->until_us = whole_seconds(until_us);
    return check_window(v, g, why);
}

struct job_search {
    const struct vf_grant *g;
    const struct vf_hash *manifest;
};

static enum vf_err same_job(void *user, const struct vf_grant_row *row, const struct vf_grant *g, const struct vf_note *note,
                            struct vf_why *why)
{
    const struct job_search *s = user;

    (void)note;
    if (!vf_grant_row_live(row, s->g->issued_us) || memcmp(&row->device, &s->g->enrolment, VF_HASH_LEN) != 0 ||
        strcmp(g->job, s->g->job) != 0)
        return VF_OK;
    if (s->manifest != NULL && memcmp(&row->manifest, s->manifest, VF_HASH_LEN) == 0)
        return VF_OK;
    return vf_fail(why, VF_E_REFUSED,
                   "job %s is in use on %s by grant %.*s, which has not ended: choose another name, renew that grant or "
                   "revoke it",
                   g->job, g->recipient, VF_GRANT_ID_LEN, g->id.c);
}

enum vf_err vf_draft_job_free(struct vf_vault *v, const struct vf_grant *g, const struct vf_hash *manifest,
                              struct vf_why *why)
{
    struct job_search s = {.g = g, .manifest = manifest};

    return vf_kept_grants(v, same_job, &s, why);
}

void vf_draft_words(const struct vf_grant *g, const char *by, char *out, size_t size)
{
    char until[VF_TIME_LEN + 1];

    vf_time_format(g->until_us, until);
    (void)snprintf(out, size, "by %s; %s until %s; %s", by, g->release == VF_RELEASE_ONLINE ? "online" : "offline", until,
                   vf_grant_ends_text(g));
}

static enum vf_err seal_share(struct vf_vault *v, const struct vf_enrol *to, struct vf_grant *g, struct vf_why *why)
{
    VF_SECRET struct vf_grant_share *gs = vf_secret_new(sizeof(*gs));

    if (gs == NULL)
        return vf_fail(why, VF_E_LOCKED_MEMORY, "no locked memory left for the share of a grant");
    VF_TRY(vf_vault_grant_share(v, &g->id, gs, why));
    vf_grant_share_seal(gs, &to->device, g->sealed_share);
    return VF_OK;
}

/* Online: the release secret to a prekey that lives as long as the grant, and where the desk is. */
static enum vf_err seal_secret(struct vf_vault *v, struct vf_grant *g, struct vf_why *why)
{
    const struct vf_policy *p = &vf_vault_policy(v)->policy;
    VF_SECRET struct vf_release_secret *secret = vf_secret_new(sizeof(*secret));
    struct vf_prekey_pub pub;

    if (secret == NULL)
        return vf_fail(why, VF_E_LOCKED_MEMORY, "no locked memory left for the secret of a grant");
    if (!p->has_desk)
        return vf_fail(why, VF_E_REFUSED, "the policy in force names no desk, and online grants are released by one");
    VF_TRY(vf_prekey_choose(v, g->until_us, &g->prekey_batch, &g->prekey_number, &pub, why));
    VF_TRY(vf_vault_release_secret(v, &g->id, secret, why));
    if (vf_release_secret_seal(secret, &pub, g->sealed_secret))
        return vf_fail(why, VF_E_DAMAGED, "prekey %u/%u in the vault is no key; check the vault", g->prekey_batch,
                       g->prekey_number);
    (void)snprintf(g->desk_url, sizeof(g->desk_url), "%s", p->desk_url);
    return VF_OK;
}

static enum vf_err sign_text(const struct vf_identity *admin, const struct vf_grant *g, struct vf_buf *note,
                             struct vf_why *why)
{
    VF_BUF text = {0};

    vf_buf_init(&text, VF_NOTE_MAX);
    vf_grant_put(g, &text);
    VF_TRY(vf_buf_check(&text, "the grant's text", why));
    vf_buf_init(note, VF_NOTE_MAX);
    VF_TRY(vf_note_sign((const char *)text.data, text.len, admin, note, why));
    return vf_buf_check(note, "the grant's text", why);
}

/* What a station would refuse is not handed out. */
static enum vf_err check_file(const struct vf_buf *file, struct vf_why *why)
{
    struct vf_grant_file f;

    return vf_grant_file_parse(file->data, file->len, "the new grant", &f, why);
}

enum vf_err vf_grant_log(struct vf_vault *v, enum vf_event event, const struct vf_grant *g, const char *words,
                         struct vf_why *why)
{
    const struct vf_entry e = {.event = event,
                               .grant = &g->id,
                               .job = g->job,
                               .recipient = g->recipient,
                               .all = &g->manifest_hash,
                               .part = -1,
                               .fields = g->fields,
                               .has_count = true,
                               .count = g->records,
                               .object = words,
                               .result = "ok"};

    return vf_vault_log(v, &e, why);
}

static enum vf_err log_grant(struct vf_vault *v, const struct vf_grant *g, struct vf_why *why)
{
    char words[256];

    vf_draft_words(g, g->issuer, words, sizeof(words));
    return vf_grant_log(v, VF_EVENT_GRANT, g, words, why);
}

static struct vf_slice slice_of(const struct vf_buf *b)
{
    return (struct vf_slice){b->data, b->len};
}

enum vf_err vf_draft_finish(struct vf_vault *v, const struct vf_identity *admin, const struct vf_enrol *to,
                            struct vf_slice enrol, const struct vf_contents *c, struct vf_grant *g, struct vf_buf *out,
                            struct vf_why *why)
{
    VF_BUF note = {0};
    VF_BUF file = {0};

    (void)snprintf(g->recipient, sizeof(g->recipient), "%s", to->name);
    g->enrolment = to->id;
    g->records = c->n;
    vf_contents_hash(c, g);
    VF_TRY(seal_share(v, to, g, why));
    if (g->release == VF_RELEASE_ONLINE)
        VF_TRY(seal_secret(v, g, why));
    VF_TRY(sign_text(admin, g, &note, why));
    vf_buf_init(&file, VF_GRANT_FILE_MAX);
    vf_grant_file_put(&file, slice_of(&note), slice_of(&c->manifest), slice_of(&c->envelopes), slice_of(&c->catalogue));
    VF_TRY(vf_buf_check(&file, "the grant", why));
    VF_TRY(check_file(&file, why));
    VF_TRY(log_grant(v, g, why));
    const struct vf_rows_change keep = {.grant = g,
                                        .note = slice_of(&note),
                                        .manifest = slice_of(&c->manifest),
                                        .times = slice_of(&c->times),
                                        .enrol = enrol};
    VF_TRY(vf_rows_keep(v, &keep, why));
    vf_buf_put(out, file.data, file.len);
    return vf_buf_check(out, "the grant", why);
}
