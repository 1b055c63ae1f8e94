/* SPDX-License-Identifier: MIT */
/* Looking at grants: from the file alone, against a policy, and the vault's list of them. */
#include "grant.h"

#include <string.h>

/* ------------------------------------------------------------------------------------------------------------ one grant */

static void person_time(const char *label, int64_t us)
{
    char text[64];
    vf_time_format_person(us, text, sizeof(text));
    (void)printf("%-10s %s\n", label, text);
}

void kt_grant_print(const struct vf_grant *g)
{
    VF_BUF fields;
    vf_buf_init(&fields, 4096);
    vf_field_set_put(g->fields, ", ", &fields);
    (void)printf("grant      %.16s%s\n", g->id.c, g->clock_reset ? " (lets the station's clock go back, once)" : "");
    if (g->renews)
        (void)printf("renews     %.16s\n", g->renewed.c);
    (void)printf("force      %s\njob        %s\nto         %s\npurpose    %s\n", g->force_name, g->job, g->recipient,
                 g->purpose);
    (void)printf("records    %u\nfields     %s\n", g->records, vf_buf_cstr(&fields) ? vf_buf_cstr(&fields) : "?");
    person_time("issued", g->issued_us);
    person_time("from", g->from_us);
    person_time("until", g->until_us);
    (void)printf("ends       %s: %s\n", g->release == VF_RELEASE_ONLINE ? "online" : "offline", vf_grant_ends_text(g));
    if (g->release == VF_RELEASE_ONLINE)
        (void)printf("desk       %s, one-time key %u/%u\n", g->desk_url, g->prekey_batch, g->prekey_number);
    if (g->budget)
        (void)printf("budget     %llu different record%s\n", (unsigned long long)g->budget, kt_s(g->budget));
    (void)printf("issued by  %s, under policy version %u\n", g->issuer, g->policy_version);
}

json_t *kt_grant_json(const struct vf_grant *g)
{
    json_t *doc =
        json_pack("{s:s#,s:s,s:o,s:i,s:s,s:s,s:o,s:s,s:s,s:i,s:o}", "id", g->id.c, VF_GRANT_ID_LEN, "force", g->force_name,
                  "vault", kt_json_hex(g->vault.b, sizeof(g->vault.b)), "policy_version", (int)g->policy_version, "job",
                  g->job, "recipient", g->recipient, "enrolment", kt_json_hex(g->enrolment.b, VF_HASH_LEN), "purpose",
                  g->purpose, "issuer", g->issuer, "records", (int)g->records, "fields", kt_json_fields(g->fields));
    if (!doc)
        return NULL;
    (void)json_object_set_new(doc, "renews", g->renews ? json_stringn(g->renewed.c, VF_GRANT_ID_LEN) : json_null());
    (void)json_object_set_new(doc, "issued", kt_json_time(g->issued_us));
    (void)json_object_set_new(doc, "from", kt_json_time(g->from_us));
    (void)json_object_set_new(doc, "until", kt_json_time(g->until_us));
    (void)json_object_set_new(doc, "release", json_string(g->release == VF_RELEASE_ONLINE ? "online" : "offline"));
    (void)json_object_set_new(doc, "ends", json_string(vf_grant_ends_text(g)));
    if (g->release == VF_RELEASE_ONLINE)
        (void)json_object_set_new(doc, "desk",
                                  json_pack("{s:s,s:i,s:i}", "url", g->desk_url, "prekey_batch", (int)g->prekey_batch,
                                            "prekey_number", (int)g->prekey_number));
    (void)json_object_set_new(doc, "budget", g->budget ? json_integer((json_int_t)g->budget) : json_null());
    (void)json_object_set_new(doc, "clock_reset", json_boolean(g->clock_reset));
    (void)json_object_set_new(doc, "manifest_sha256", kt_json_hex(g->manifest_hash.b, VF_HASH_LEN));
    return doc;
}

enum vf_err kt_grant_signatures(const struct vf_note *note, const struct vf_policy *policy, size_t *ret_count, char *names,
                                size_t size, struct vf_why *why)
{
    struct vf_note_key keys[VF_ADMINS_MAX];
    bool signed_by[VF_ADMINS_MAX] = {false};
    size_t nkeys = vf_policy_admin_keys(policy, keys), at = 0;

    VF_TRY(vf_note_verify(note, keys, nkeys, signed_by, ret_count, why));
    if (names && size)
        names[0] = '\0';
    for (size_t i = 0; names && i < nkeys; i++) {
        if (signed_by[i] || at >= size)
            continue;
        int n = snprintf(names + at, size - at, "%s%s", at ? ", " : "", keys[i].name);
        at += n > 0 ? (size_t)n : 0;
    }
    return VF_OK;
}

/* Who says that he signed, from the note alone: names only, nothing is proved by them. */
static json_t *signer_names(const struct vf_note *note)
{
    json_t *list = json_array();
    for (size_t i = 0; i < note->nsigs; i++)
        if (vf_text_printable(note->sigs[i].name, note->sigs[i].name_len))
            (void)json_array_append_new(list, json_stringn(note->sigs[i].name, note->sigs[i].name_len));
    return list;
}

static void print_signers(const struct vf_note *note)
{
    json_t *names = signer_names(note);
    size_t i;
    json_t *name;
    (void)printf("signed by ");
    json_array_foreach(names, i, name)(void) printf("%s %s", i ? "," : "", json_string_value(name));
    (void)printf("%s (not checked)\n", json_array_size(names) ? "" : " nobody");
    json_decref(names);
}

/* ---------------------------------------------------------------------------------------------------------- show, verify */

struct judged { /* a grant file against a policy and the clock */
    bool with_policy;
    size_t signatures;
    unsigned threshold;
    enum vf_err signed_err, window_err;
    struct vf_why signed_why, window_why;
};

static enum vf_err judge(const struct kt_args *a, const struct vf_grant_file *file, struct judged *ret, struct vf_why *why)
{
    VF_CLEANUP(vf_policy_chain_done) struct vf_policy_chain chain = {0};
    *ret = (struct judged){.with_policy = kt_has(a, KT_POLICY)};
    ret->window_err = vf_grant_window(&file->grant, vf_clock_wall_us(), &ret->window_why);
    if (!ret->with_policy)
        return VF_OK;
    VF_TRY(kt_policy_read(kt_get(a, KT_POLICY), &chain, why));
    ret->threshold = chain.policy.threshold;
    ret->signed_err = vf_grant_verify(file, &chain, &ret->signed_why);
    if (ret->signed_err != VF_E_FORGED && chain.ruling) {
        enum vf_err err = kt_grant_signatures(&file->note, &chain.policy, &ret->signatures, NULL, 0, &ret->signed_why);
        if (err && !ret->signed_err)
            ret->signed_err = err;
    }
    return VF_OK;
}

static json_t *judged_json(const struct vf_grant_file *file, const struct judged *j)
{
    json_t *doc = kt_grant_json(&file->grant);
    if (!doc)
        return NULL;
    (void)json_object_set_new(doc, "signed_by", signer_names(&file->note));
    (void)json_object_set_new(doc, "signatures_checked", json_boolean(j->with_policy));
    if (j->with_policy) {
        (void)json_object_set_new(doc, "signatures", json_integer((json_int_t)j->signatures));
        (void)json_object_set_new(doc, "threshold", json_integer((json_int_t)j->threshold));
        (void)json_object_set_new(doc, "signatures_verdict", json_string(j->signed_err ? j->signed_why.text : "good"));
    }
    (void)json_object_set_new(doc, "window", json_string(j->window_err ? j->window_why.text : "open"));
    return doc;
}

static void print_judged(const struct vf_grant_file *file, const struct judged *j)
{
    if (!j->with_policy)
        print_signers(&file->note);
    else if (!j->signed_err)
        (void)printf("signatures %zu of %u needed: good\n", j->signatures, j->threshold);
    else
        (void)printf("signatures NOT GOOD: %s\n", j->signed_why.text);
    (void)printf("now        %s\n", j->window_err ? j->window_why.text : "within its time");
}

enum vf_err kt_grant_show(const struct kt_args *a, struct vf_why *why)
{
    VF_BUF bytes = {0};
    struct vf_grant_file file;
    struct judged j;
    VF_TRY(kt_grant_read(a->argv[0], &bytes, &file, why));
    VF_TRY(judge(a, &file, &j, why));
    if (kt_has(a, KT_JSON))
        return kt_print_json(judged_json(&file, &j), why);
    kt_grant_print(&file.grant);
    print_judged(&file, &j);
    return VF_OK;
}

enum vf_err kt_grant_verify(const struct kt_args *a, struct vf_why *why)
{
    VF_BUF bytes = {0};
    struct vf_grant_file file;
    struct judged j;
    VF_TRY(kt_grant_read(a->argv[0], &bytes, &file, why)); /* every length, order and hash against the text */
    VF_TRY(judge(a, &file, &j, why));
    if (kt_has(a, KT_JSON)) {
        VF_TRY(kt_print_json(judged_json(&file, &j), why));
    } else {
        (void)printf("%s: grant %.16s, %u record%s; its parts are what its text says\n", a->argv[0], file.grant.id.c,
                     file.grant.records, kt_s(file.grant.records));
        if (!j.with_policy)
            (void)printf("Signatures were NOT checked: --policy force.policy does that\n");
        else if (!j.signed_err)
            (void)printf("Signatures: %zu, %u needed: good\n", j.signatures, j.threshold);
    }
    /* Forged before unsigned before out of its time: the worst is told. */
    if (j.signed_err)
        return *why = j.signed_why, vf_fail_prefix(why, j.signed_err, "%s", a->argv[0]);
    if (j.window_err)
        return *why = j.window_why, vf_fail_prefix(why, j.window_err, "%s", a->argv[0]);
    return VF_OK;
}

/* ----------------------------------------------------------------------------------------------------------------- list */

struct listing {
    json_t *list; /* NULL: printed */
    unsigned threshold;
    int64_t now_us;
    struct kt_grants grants;
};

static const char *state_of(const struct vf_grant_item *item, const struct listing *l)
{
    if (item->revoked)
        return "revoked";
    if (l->now_us >= item->grant.until_us)
        return "ended";
    if (item->signatures < l->threshold)
        return "unsigned";
    return l->now_us < item->grant.from_us ? "not-yet" : "live";
}

static enum vf_err collect(void *user, const struct vf_grant_item *item, struct vf_why *why)
{
    struct listing *l = user;
    return kt_grants_add(&l->grants, item, why);
}

static void list_one(const struct listing *l, const struct vf_grant_item *item)
{
    if (l->list) {
        json_t *doc = kt_grant_json(&item->grant);
        (void)json_object_set_new(doc, "device", json_string(item->device_name));
        (void)json_object_set_new(doc, "state", json_string(state_of(item, l)));
        (void)json_object_set_new(doc, "signatures", json_integer((json_int_t)item->signatures));
        (void)json_object_set_new(doc, "threshold", json_integer((json_int_t)l->threshold));
        (void)json_object_set_new(doc, "exported", json_boolean(item->exported));
        (void)json_array_append_new(l->list, doc);
        return;
    }
    char until[VF_TIME_LEN + 1];
    vf_time_format(item->grant.until_us, until);
    (void)printf("%.16s  %-20s %-20s %7u  %s  %-8s %zu of %u\n", item->grant.id.c, item->grant.job, item->device_name,
                 item->grant.records, until, state_of(item, l), item->signatures, l->threshold);
}

static void listing_done(struct listing *l)
{
    json_decref(l->list);
    kt_grants_done(&l->grants);
}

enum vf_err kt_grant_list(const struct kt_args *a, struct vf_why *why)
{
    VF_VAULT v = NULL;
    VF_TRY(vf_vault_open(a->argv[0], VF_VAULT_PUBLIC, NULL, &v, why));
    VF_CLEANUP(listing_done)
    struct listing l = {.list = kt_has(a, KT_JSON) ? json_array() : NULL,
                        .threshold = vf_vault_policy(v)->policy.threshold,
                        .now_us = vf_clock_wall_us(),
                        .grants.size = sizeof(struct vf_grant_item)};
    VF_TRY(vf_grant_each(v, collect, &l, why));
    kt_grants_sort(&l.grants);
    const struct vf_grant_item *items = (const struct vf_grant_item *)(const void *)l.grants.items;
    if (!l.list && l.grants.n)
        (void)printf("%-16s  %-20s %-20s %7s  %-20s  %-8s %s\n", "grant", "job", "device", "records", "until", "state",
                     "signatures");
    for (size_t i = 0; i < l.grants.n; i++)
        list_one(&l, &items[i]);
    if (l.list)
        return kt_print_json(json_incref(l.list), why);
    if (l.grants.n == 0)
        kt_say("No grant was issued from this vault.");
    return VF_OK;
}
