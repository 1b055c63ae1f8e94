/* SPDX-License-Identifier: MIT */
#include "policy.h"

#include <stdlib.h>
#include <string.h>

#define DASH "\xe2\x80\x94 "

/* ----------------------------------------------------------------------------------------------------------- file into notes */

/*
 * The note at the beginning of `data`, without the empty line behind it; 0 when there is none. A policy's text has no empty line, so
 * the first one ends it; signature lines follow.
 */
static size_t note_len(const char *data, size_t len)
{
    const char *gap = memmem(data, len, "\n\n", 2);

    if (gap == NULL)
        return 0;
    size_t at = (size_t)(gap - data) + 2;
    while (len - at >= sizeof(DASH) - 1 && memcmp(data + at, DASH, sizeof(DASH) - 1) == 0) {
        const char *end = memchr(data + at, '\n', len - at);
        if (end == NULL)
            return 0;
        at = (size_t)(end - data) + 1;
    }
    return at < len && data[at] == '\n' ? at : 0;
}

/* ------------------------------------------------------------------------------------------------------------- one version */

struct version {
    struct vf_note note;
    struct vf_policy policy;
    struct vf_hash previous;
    size_t new_sigs, old_sigs;
};

/* The first signature line of `key`, as it came (it verified: vf_note_verify refuses failing ones of known keys). */
static void put_sig_of(const struct vf_note *note, const struct vf_note_key *key, struct vf_buf *out)
{
    uint8_t id[4];
    size_t name_len = strlen(key->name);

    vf_note_key_id(key->name, name_len, key->key, id);
    for (size_t i = 0; i < note->nsigs; i++) {
        const struct vf_note_sig *sig = &note->sigs[i];
        if (!sig->ed25519 || memcmp(sig->id, id, sizeof(id)) != 0 || sig->name_len != name_len ||
            memcmp(sig->name, key->name, name_len) != 0)
            continue;
        vf_buf_put(out, sig->line, sig->line_len);
        vf_buf_text(out, "\n");
        return;
    }
}

/*
 * Count the signatures of the version's own admins and of those of the version before, and put the canonical note: the text and the
 * signatures that count, own admins first, each once. What others wrote there is not carried on.
 */
static enum vf_err count_signatures(struct version *v, const struct vf_policy *before, struct vf_buf *out,
                                    struct vf_why *why)
{
    struct vf_note_key keys[VF_ADMINS_MAX];
    bool own[VF_ADMINS_MAX] = {false};
    bool old[VF_ADMINS_MAX] = {false};
    size_t n = vf_policy_admin_keys(&v->policy, keys);

    VF_TRY(vf_note_verify(&v->note, keys, n, own, &v->new_sigs, why));
    vf_buf_put(out, v->note.text, v->note.text_len);
    vf_buf_text(out, "\n");
    for (size_t i = 0; i < n; i++)
        if (own[i])
            put_sig_of(&v->note, &keys[i], out);
    if (before != NULL) {
        n = vf_policy_admin_keys(before, keys);
        VF_TRY(vf_note_verify(&v->note, keys, n, old, &v->old_sigs, why));
        for (size_t i = 0; i < n; i++)
            if (old[i] && vf_policy_admin_find(&v->policy, &before->admins[i]) < 0)
                put_sig_of(&v->note, &keys[i], out);
    }
    vf_buf_text(out, "\n");
    if (v->new_sigs == 0 && v->old_sigs == 0)
        return vf_fail(why, VF_E_UNSIGNED, "version %u is signed by no admin", (unsigned)v->policy.version);
    return vf_buf_check(out, "the policy", why);
}

/* The links to the version before: number, hash, vault, force. */
static enum vf_err check_link(const struct version *v, const struct vf_policy_chain *chain, struct vf_why *why)
{
    if (v->policy.version != chain->ruling + 1)
        return vf_fail(why, VF_E_FORGED, "version %u stands where version %zu must", (unsigned)v->policy.version,
                       chain->ruling + 1);
    if (chain->ruling == 0)
        return VF_OK;
    if (memcmp(v->previous.b, chain->policy.text_hash.b, VF_HASH_LEN) != 0)
        return vf_fail(why, VF_E_FORGED, "version %u does not follow the version %zu that stands before it",
                       (unsigned)v->policy.version, chain->ruling);
    if (memcmp(v->policy.vault.b, chain->policy.vault.b, VF_VAULT_ID_LEN) != 0 ||
        strcmp(v->policy.force_name, chain->policy.force_name) != 0)
        return vf_fail(why, VF_E_FORGED, "version %u is of another vault or force", (unsigned)v->policy.version);
    return VF_OK;
}

/* Version verified: it rules now, or waits for signatures. */
static enum vf_err take_version(struct vf_policy_chain *chain, const struct version *v, struct vf_why *why)
{
    bool first = chain->ruling == 0;

    if (v->new_sigs < v->policy.threshold || (!first && v->old_sigs < chain->policy.threshold)) {
        chain->has_pending = true;
        chain->pending = v->policy;
        chain->pending_new_sigs = v->new_sigs;
        chain->pending_old_sigs = v->old_sigs;
        return VF_OK;
    }
    struct vf_hash *more = reallocarray(chain->hashes, chain->nhashes + 1, sizeof(*more));
    if (more == NULL)
        return vf_fail(why, VF_E_NOMEM, "out of memory");
    chain->hashes = more;
    chain->hashes[chain->nhashes++] = v->policy.text_hash;
    chain->policy = v->policy;
    chain->ruling = v->policy.version;
    return VF_OK;
}

static enum vf_err parse_version(const char *data, size_t len, struct vf_policy_chain *chain, struct vf_buf *out,
                                 struct vf_why *why)
{
    struct version v = {0};

    VF_TRY(vf_note_parse(data, len, &v.note, why));
    VF_TRY(vf_policy_parse(v.note.text, v.note.text_len, "policy", &v.policy, &v.previous, why));
    if (chain->has_pending)
        return vf_fail(why, VF_E_FORGED, "version %u lacks signatures, and another version follows it",
                       (unsigned)chain->pending.version);
    VF_TRY(check_link(&v, chain, why));
    VF_TRY(count_signatures(&v, chain->ruling > 0 ? &chain->policy : NULL, out, why));
    return take_version(chain, &v, why);
}

/* ----------------------------------------------------------------------------------------------------------------- the chain */

void vf_policy_chain_done(struct vf_policy_chain *chain)
{
    free(chain->hashes);
    free(chain->bytes);
    *chain = (struct vf_policy_chain){0};
}

static enum vf_err parse_all(const char *data, size_t len, struct vf_policy_chain *chain, struct vf_buf *out,
                             struct vf_why *why)
{
    if (len == 0)
        return vf_fail(why, VF_E_FORMAT, "an empty policy file");
    while (len > 0) {
        size_t n = note_len(data, len);
        if (n == 0)
            return vf_fail(why, VF_E_FORMAT, "not a policy file: a signed note and an empty line for each version");
        VF_TRY(parse_version(data, n, chain, out, why));
        data += n + 1;
        len -= n + 1;
    }
    return VF_OK;
}

enum vf_err vf_policy_chain_parse(const void *data, size_t len, const char *what, struct vf_policy_chain *ret,
                                  struct vf_why *why)
{
    VF_CLEANUP(vf_policy_chain_done) struct vf_policy_chain chain = {0};
    VF_BUF out = {0};

    if (len > VF_POLICY_MAX)
        return vf_fail(why, VF_E_LIMIT, "%s: larger than a policy can be", what);
    vf_buf_init(&out, VF_POLICY_MAX);
    VF_TRY(vf_fail_prefix(why, parse_all(data, len, &chain, &out, why), "%s", what));
    chain.bytes = malloc(out.len);
    if (chain.bytes == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", what);
    memcpy(chain.bytes, out.data, out.len);
    chain.len = out.len;
    *ret = chain;
    chain = (struct vf_policy_chain){0};
    return VF_OK;
}

void vf_policy_chain_last(const struct vf_policy_chain *chain, size_t *ret_at, size_t *ret_len)
{
    size_t at = 0;
    size_t n = note_len(chain->bytes, chain->len);

    /* The bytes are canonical: each note is followed by one empty line. */
    while (at + n + 1 < chain->len) {
        at += n + 1;
        n = note_len(chain->bytes + at, chain->len - at);
    }
    *ret_at = at;
    *ret_len = n;
}

enum vf_err vf_policy_chain_sign(const struct vf_policy_chain *chain, const struct vf_identity *admin, struct vf_buf *out,
                                 struct vf_why *why)
{
    const struct vf_identity_pub *pub = vf_identity_pub_get(admin);
    const struct vf_policy *last = chain->has_pending ? &chain->pending : &chain->policy;
    bool ruling = chain->has_pending && chain->ruling > 0 && vf_policy_admin_find(&chain->policy, pub) >= 0;
    struct vf_note note;
    size_t at = 0;
    size_t len = 0;

    if (chain->len == 0)
        return vf_fail(why, VF_E_INPUT, "no policy to sign");
    if (vf_policy_admin_find(last, pub) < 0 && !ruling)
        return vf_fail(why, VF_E_REFUSED, "%s is no admin of version %u of the policy%s, so this signature would not count",
                       pub->name, (unsigned)last->version, chain->ruling > 0 ? " nor of the one before it" : "");
    vf_policy_chain_last(chain, &at, &len);
    VF_TRY(vf_note_parse(chain->bytes + at, len, &note, why));
    vf_buf_put(out, chain->bytes, at);
    VF_TRY(vf_note_cosign(&note, admin, out, why));
    vf_buf_text(out, "\n");
    return vf_buf_check(out, "the policy", why);
}

enum vf_err vf_policy_chain_extend(const struct vf_policy_chain *chain, struct vf_policy *next,
                                   const struct vf_identity *admin, struct vf_buf *out, struct vf_why *why)
{
    VF_BUF text = {0};
    size_t len = chain->len;

    if (chain->has_pending) {
        size_t unused = 0;
        vf_policy_chain_last(chain, &len, &unused);
    }
    next->version = (uint32_t)chain->ruling + 1;
    if (next->version > VF_POLICY_VERSIONS_MAX)
        return vf_fail(why, VF_E_LIMIT, "a policy has at most %d versions", VF_POLICY_VERSIONS_MAX);
    vf_policy_sort(next);
    VF_TRY(vf_policy_legal(next, why));
    vf_buf_init(&text, VF_POLICY_TEXT_MAX);
    vf_policy_put(next, chain->ruling > 0 ? &chain->policy.text_hash : &(struct vf_hash){{0}}, &text);
    VF_TRY(vf_buf_check(&text, "the policy", why));
    vf_buf_put(out, chain->bytes, len);
    VF_TRY(vf_note_sign((const char *)text.data, text.len, admin, out, why));
    vf_buf_text(out, "\n");
    return vf_buf_check(out, "the policy", why);
}

/* The hash by which a chain's beginning is known: of version 1, in force or pending. */
static const struct vf_hash *first_hash(const struct vf_policy_chain *chain)
{
    return chain->nhashes > 0 ? &chain->hashes[0] : &chain->pending.text_hash;
}

enum vf_err vf_policy_chain_compare(const struct vf_policy_chain *mine, const struct vf_policy_chain *other, int *ret_cmp,
                                    struct vf_why *why)
{
    size_t n = mine->nhashes < other->nhashes ? mine->nhashes : other->nhashes;

    if (memcmp(first_hash(mine)->b, first_hash(other)->b, VF_HASH_LEN) != 0)
        return vf_fail(why, VF_E_FORGED, "this policy does not begin as the known one: it is another vault's, or a forgery");
    for (size_t i = 0; i < n; i++)
        if (memcmp(mine->hashes[i].b, other->hashes[i].b, VF_HASH_LEN) != 0)
            return vf_fail(why, VF_E_FORGED,
                           "this policy departs from the known one at version %zu: two histories were signed", i + 1);
    *ret_cmp = (other->nhashes > mine->nhashes) - (other->nhashes < mine->nhashes);
    return VF_OK;
}

static enum vf_err add_keys(const struct vf_identity_pub *pubs, size_t npubs, struct vf_note_key **list, size_t *n,
                            struct vf_why *why)
{
    struct vf_note_key *more = reallocarray(*list, *n + npubs + 1, sizeof(*more));

    if (more == NULL)
        return vf_fail(why, VF_E_NOMEM, "out of memory");
    *list = more;
    for (size_t i = 0; i < npubs; i++) {
        struct vf_note_key key = {0};
        bool known = false;
        vf_note_key_of(&pubs[i], &key);
        for (size_t j = 0; j < *n && !known; j++)
            known = memcmp(more[j].key, key.key, sizeof(key.key)) == 0 && strcmp(more[j].name, key.name) == 0;
        if (!known)
            more[(*n)++] = key;
    }
    return VF_OK;
}

/* Of the admins, or of the desks, of each version. */
static enum vf_err keys_of(const struct vf_policy_chain *chain, bool desks, struct vf_note_key **ret, size_t *ret_n,
                           struct vf_why *why)
{
    VF_FREE struct vf_note_key *list = NULL;
    size_t n = 0;
    size_t at = 0;

    for (size_t i = 0; at < chain->len; i++) {
        size_t len = note_len(chain->bytes + at, chain->len - at);
        struct vf_policy policy;
        struct vf_hash previous;
        struct vf_note note;
        if (len == 0)
            return vf_fail(why, VF_E_FORMAT, "not a policy file");
        VF_TRY(vf_note_parse(chain->bytes + at, len, &note, why));
        VF_TRY(vf_policy_parse(note.text, note.text_len, "the policy", &policy, &previous, why));
        /* A pending version gave nobody a right yet; but who made the vault is an admin of its first version, in force or not. */
        size_t npubs = desks ? (policy.has_desk ? 1 : 0) : policy.nadmins;
        if (i < chain->nhashes || i == 0)
            VF_TRY(add_keys(desks ? &policy.desk : policy.admins, npubs, &list, &n, why));
        at += len + 1;
    }
    *ret = list;
    *ret_n = n;
    list = NULL;
    return VF_OK;
}

enum vf_err vf_policy_chain_signers(const struct vf_policy_chain *chain, struct vf_note_key **ret, size_t *ret_n,
                                    struct vf_why *why)
{
    return keys_of(chain, false, ret, ret_n, why);
}

enum vf_err vf_policy_chain_desks(const struct vf_policy_chain *chain, struct vf_note_key **ret, size_t *ret_n,
                                  struct vf_why *why)
{
    return keys_of(chain, true, ret, ret_n, why);
}
