/* SPDX-License-Identifier: MIT */
/* The text of a grant: what k admins sign, and what a person reads before they do. */
#include "lines.h"

#include <vaultfs/grant.h>

#include <string.h>

#define KIND     "grant"
#define TEXT_MAX 16384

static void put_fields(const struct vf_grant *g, struct vf_buf *out)
{
    vf_buf_text(out, "fields: ");
    vf_field_set_put(g->fields, ", ", out);
    vf_buf_text(out, "\n");
}

static void put_head(const struct vf_grant *g, struct vf_buf *out)
{
    vf_lines_put_first(out, KIND);
    vf_lines_put(out, "force", g->force_name);
    vf_lines_put_hex(out, "vault", g->vault.b, sizeof(g->vault.b));
    vf_lines_put_grant_id(out, "grant", &g->id);
    vf_lines_put_uint(out, "policy", g->policy_version);
    vf_lines_put_hex(out, "policy-sha256", g->policy_hash.b, VF_HASH_LEN);
    if (g->renews)
        vf_lines_put_grant_id(out, "renews", &g->renewed);
    else
        vf_lines_put(out, "renews", "none");
    vf_lines_put(out, "job", g->job);
    vf_lines_put(out, "recipient", g->recipient);
    vf_lines_put_hex(out, "enrolment-sha256", g->enrolment.b, VF_HASH_LEN);
    vf_lines_put(out, "purpose", g->purpose);
    vf_lines_put(out, "issued-by", g->issuer);
    vf_lines_put_uint(out, "records", g->records);
    put_fields(g, out);
}

static void put_window(const struct vf_grant *g, struct vf_buf *out)
{
    vf_lines_put_time(out, "issued", g->issued_us);
    vf_lines_put_time(out, "from", g->from_us);
    vf_lines_put_time(out, "until", g->until_us);
    vf_lines_put(out, "release", g->release == VF_RELEASE_ONLINE ? "online" : "offline");
    vf_lines_put(out, "ends", vf_grant_ends_text(g));
    if (g->budget != 0)
        vf_lines_put_uint(out, "budget", g->budget);
    else
        vf_lines_put(out, "budget", "none");
    vf_lines_put(out, "clock-reset", g->clock_reset ? "yes" : "no");
}

void vf_grant_put(const struct vf_grant *g, struct vf_buf *out)
{
    put_head(g, out);
    put_window(g, out);
    vf_lines_put_base64(out, "share", g->sealed_share, sizeof(g->sealed_share));
    if (g->release == VF_RELEASE_ONLINE) {
        vf_lines_put_base64(out, "release-secret", g->sealed_secret, sizeof(g->sealed_secret));
        vf_lines_put_prekey(out, "prekey", g->prekey_batch, g->prekey_number);
        vf_lines_put(out, "desk-url", g->desk_url);
    }
    vf_lines_put_hex(out, "manifest-sha256", g->manifest_hash.b, VF_HASH_LEN);
    vf_lines_put_hex(out, "envelopes-sha256", g->envelopes_hash.b, VF_HASH_LEN);
    vf_lines_put_hex(out, "catalogue-sha256", g->catalogue_hash.b, VF_HASH_LEN);
}

/* "none", or the id of the grant that this one follows. */
static void get_renews(struct vf_lines *l, struct vf_grant *g)
{
    size_t len;
    const char *value = vf_lines_value(l, "renews", &len);

    if (value == NULL || (len == 4 && memcmp(value, "none", 4) == 0))
        return;
    if (!vf_grant_id_parse(value, len, &g->renewed) || memcmp(&g->renewed, &g->id, sizeof(g->id)) == 0)
        vf_lines_refuse(l, "renews");
    g->renews = true;
}

/* Names with ", " between them. Order and doubles are judged when the text is put again. */
static void get_fields(struct vf_lines *l, struct vf_grant *g)
{
    size_t len;
    const char *value = vf_lines_value(l, "fields", &len);

    while (value != NULL) {
        const char *comma = memchr(value, ',', len);
        size_t word = comma != NULL ? (size_t)(comma - value) : len;
        enum vf_field field = vf_field_by_name(value, word);
        if (field == VF_FIELD_NONE || (comma != NULL && (len < word + 2 || comma[1] != ' '))) {
            vf_lines_refuse(l, "fields");
            return;
        }
        g->fields |= VF_FIELD_BIT(field);
        value = comma != NULL ? comma + 2 : NULL;
        len -= comma != NULL ? word + 2 : word;
    }
}

static void get_budget(struct vf_lines *l, struct vf_grant *g)
{
    size_t len;
    const char *value = vf_lines_value(l, "budget", &len);

    if (value == NULL || (len == 4 && memcmp(value, "none", 4) == 0))
        return;
    if (!vf_uint_parse(value, len, VF_GRANT_RECORDS_MAX, &g->budget) || g->budget == 0)
        vf_lines_refuse(l, "budget");
}

static void get_job(struct vf_lines *l, struct vf_grant *g)
{
    vf_lines_text(l, "job", g->job, sizeof(g->job));
    if (l->failed == NULL && !vf_job_valid(g->job, strlen(g->job)))
        vf_lines_refuse(l, "job");
}

static void get_head(struct vf_lines *l, struct vf_grant *g)
{
    vf_lines_text(l, "force", g->force_name, sizeof(g->force_name));
    vf_lines_hex(l, "vault", g->vault.b, sizeof(g->vault.b));
    vf_lines_grant_id(l, "grant", &g->id);
    g->policy_version = (uint32_t)vf_lines_uint(l, "policy", 1, VF_POLICY_VERSIONS_MAX);
    vf_lines_hex(l, "policy-sha256", g->policy_hash.b, VF_HASH_LEN);
    get_renews(l, g);
    get_job(l, g);
    vf_lines_name(l, "recipient", g->recipient);
    vf_lines_hex(l, "enrolment-sha256", g->enrolment.b, VF_HASH_LEN);
    vf_lines_text(l, "purpose", g->purpose, sizeof(g->purpose));
    vf_lines_name(l, "issued-by", g->issuer);
    g->records = (uint32_t)vf_lines_uint(l, "records", 1, VF_GRANT_RECORDS_MAX);
    get_fields(l, g);
}

static void get_window(struct vf_lines *l, struct vf_grant *g)
{
    size_t len;

    vf_lines_time(l, "issued", &g->issued_us);
    vf_lines_time(l, "from", &g->from_us);
    vf_lines_time(l, "until", &g->until_us);
    if (l->failed == NULL && (g->from_us >= g->until_us || g->issued_us >= g->until_us))
        vf_lines_refuse(l, "until");
    g->release = vf_lines_either(l, "release", "online", "offline") ? VF_RELEASE_ONLINE : VF_RELEASE_OFFLINE;
    (void)vf_lines_value(l, "ends", &len); /* judged when the text is put again */
    get_budget(l, g);
    g->clock_reset = vf_lines_either(l, "clock-reset", "yes", "no");
}

/* A URL in plain ASCII, no more: who connects there judges it. */
static void get_desk_url(struct vf_lines *l, struct vf_grant *g)
{
    vf_lines_text(l, "desk-url", g->desk_url, sizeof(g->desk_url));
    for (const char *c = g->desk_url; *c != '\0'; c++)
        if (*c <= ' ' || *c > '~')
            vf_lines_refuse(l, "desk-url");
}

static void get_rest(struct vf_lines *l, struct vf_grant *g)
{
    vf_lines_base64(l, "share", g->sealed_share, sizeof(g->sealed_share));
    if (g->release == VF_RELEASE_ONLINE) {
        vf_lines_base64(l, "release-secret", g->sealed_secret, sizeof(g->sealed_secret));
        vf_lines_prekey(l, "prekey", &g->prekey_batch, &g->prekey_number);
        if (l->failed == NULL && g->prekey_batch == 0)
            vf_lines_refuse(l, "prekey");
        get_desk_url(l, g);
    }
    vf_lines_hex(l, "manifest-sha256", g->manifest_hash.b, VF_HASH_LEN);
    vf_lines_hex(l, "envelopes-sha256", g->envelopes_hash.b, VF_HASH_LEN);
    vf_lines_hex(l, "catalogue-sha256", g->catalogue_hash.b, VF_HASH_LEN);
}

/* Fields of class C never go to a supplier, whoever has signed for it. */
static enum vf_err check_class(const struct vf_grant *g, const char *what, struct vf_why *why)
{
    vf_field_set never = g->fields & vf_field_set_class(VF_CLASS_C);

    for (unsigned f = 1; f < VF_FIELD_COUNT; f++)
        if ((never & VF_FIELD_BIT(f)) != 0)
            return vf_fail(why, VF_E_CLASS_REFUSED, "%s: the grant names %s, a field that never goes to a supplier", what,
                           vf_field_info(f)->name);
    return VF_OK;
}

enum vf_err vf_grant_parse(const struct vf_note *note, const char *what, struct vf_grant *ret, struct vf_why *why)
{
    struct vf_lines l;
    struct vf_grant g = {0};
    VF_BUF again = {0};

    VF_TRY(vf_lines_start(&l, note->text, note->text_len, what, KIND, why));
    get_head(&l, &g);
    get_window(&l, &g);
    get_rest(&l, &g);
    VF_TRY(vf_lines_end(&l, why));
    VF_TRY(check_class(&g, what, why));
    vf_buf_init(&again, TEXT_MAX);
    vf_grant_put(&g, &again);
    VF_TRY(vf_lines_same(&l, &again, why));
    vf_sha256(note->text, note->text_len, &g.text_hash);
    *ret = g;
    return VF_OK;
}
