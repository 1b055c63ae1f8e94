/* SPDX-License-Identifier: MIT */
/*
 * A co-signer's look at a grant with the vault beside it. What follows from the vault must be what the file says, to the byte:
 *
 *  1. A new grant names the current generation of every granted field; a renewal has the manifest of the grant that it renews, to
 *     which enough admins have agreed: "the same again" of what one admin made alone would get any old value past the others.
 *  2. Every hash in the manifest is the vault's (derive_record.c).
 *  3. Manifest, envelopes and catalogue, derived again under the grant's id, are the file's.
 *
 * What cannot be derived are the sealed boxes: a share sealed to the wrong key opens nothing for anybody.
 */
#include "rederive.h"
#include "rows.h"

#include <stdlib.h>
#include <string.h>

static enum vf_err differs(struct vf_why *why, const struct vf_ref *ref, unsigned field, const char *text)
{
    return vf_fail(why, VF_E_FORGED, "record %.*s, %s: %s", VF_REF_LEN, ref->c, vf_field_info(field)->name, text);
}

/* A generation that is not the current one: outdated by a change since the grant was issued, or never right. */
static enum vf_err judge_old(const struct vf_grant *g, const struct vf_ref *ref, unsigned field,
                             const struct vf_field_state *now, struct vf_why *why)
{
    if (now->changed_us >= g->issued_us)
        return vf_fail(why, VF_E_STALE, "record %.*s, %s: changed after the grant was issued; issue it again", VF_REF_LEN,
                       ref->c, vf_field_info(field)->name);
    return differs(why, ref, field, "the grant names another version of it than the current one");
}

static enum vf_err check_current(struct vf_vault *v, const struct vf_grant_file *file, struct vf_why *why)
{
    const struct vf_manifest *m = &file->manifest;
    VF_SECRET struct vf_head *head = vf_secret_new(sizeof(*head));
    VF_VIEW view = NULL;

    if (head == NULL)
        return vf_fail(why, VF_E_LOCKED_MEMORY, "no locked memory left for the head of a record");
    VF_TRY(vf_view_open(v, &view, why));
    for (uint32_t i = 0; i < m->nrecords; i++) {
        struct vf_ref ref;
        vf_manifest_ref(m, i, &ref);
        enum vf_err err = vf_view_head(view, &ref, head, why);
        if (err == VF_E_NOT_FOUND)
            return vf_fail(why, VF_E_FORGED, "record %.*s: the vault has no such record", VF_REF_LEN, ref.c);
        VF_TRY(err);
        for (unsigned c = 0; c < m->nfields; c++) {
            struct vf_manifest_item item;
            vf_manifest_item(m, i, c, &item);
            if (item.generation != head->f[m->fields[c]].generation)
                return judge_old(&file->grant, &ref, m->fields[c], &head->f[m->fields[c]], why);
        }
    }
    return VF_OK;
}

/* An admin alone makes a grant of any version there is, by putting it back for a moment: it is nothing that can be renewed. */
static enum vf_err check_agreed(struct vf_vault *v, const struct vf_kept_grant *before, struct vf_why *why)
{
    const struct vf_policy_chain *chain = vf_vault_policy(v);
    struct vf_note note;
    bool agreed;
    size_t count;

    VF_TRY(vf_note_parse(before->note.data, before->note.len, &note, why));
    VF_TRY(vf_grant_agreed(chain, &note, &agreed, &count, why));
    if (agreed)
        return VF_OK;
    return vf_fail(why, VF_E_UNSIGNED,
                   "it renews grant %.*s, of which this vault has %zu of %u signatures: show this vault the complete one "
                   "(grant sign), or issue a new grant",
                   VF_GRANT_ID_LEN, before->grant.id.c, count, chain->policy.threshold);
}

/* A renewal says "the same again": the vault must know what, and it must be the same. Its times come with it. */
static enum vf_err check_renewal(struct vf_vault *v, const struct vf_grant *g, struct vf_buf *times, struct vf_why *why)
{
    VF_KEPT_GRANT before = {0};
    VF_BUF manifest = {0};
    bool known;

    VF_TRY(vf_kept_grant_look(v, &g->renewed, &before, &known, why));
    if (!known)
        return vf_fail(why, VF_E_REFUSED, "grant %.*s says that it renews %.*s, which this vault does not know",
                       VF_GRANT_ID_LEN, g->id.c, VF_GRANT_ID_LEN, g->renewed.c);
    const struct vf_grant *b = &before.grant;
    if (before.revoked)
        return vf_fail(why, VF_E_REVOKED, "grant %.*s renews %.*s, which was revoked", VF_GRANT_ID_LEN, g->id.c,
                       VF_GRANT_ID_LEN, b->id.c);
    if (memcmp(&b->manifest_hash, &g->manifest_hash, VF_HASH_LEN) != 0 ||
        memcmp(&b->enrolment, &g->enrolment, VF_HASH_LEN) != 0 || strcmp(b->job, g->job) != 0)
        return vf_fail(why, VF_E_FORGED,
                       "grant %.*s is not what %.*s was, which it says it renews: other records, fields, versions, device "
                       "or job",
                       VF_GRANT_ID_LEN, g->id.c, VF_GRANT_ID_LEN, b->id.c);
    VF_TRY(check_agreed(v, &before, why));
    return vf_kept_manifest(v, &g->manifest_hash, &manifest, times, why);
}

static enum vf_err refs_of(const struct vf_manifest *m, struct vf_ref **ret, struct vf_why *why)
{
    struct vf_ref *refs = calloc(m->nrecords > 0 ? m->nrecords : 1, sizeof(*refs));

    if (refs == NULL)
        return vf_fail(why, VF_E_NOMEM, "no memory for the list of records");
    for (uint32_t i = 0; i < m->nrecords; i++)
        vf_manifest_ref(m, i, &refs[i]);
    *ret = refs;
    return VF_OK;
}

/* The first record whose envelope is another one, and the part it is of. */
static enum vf_err compare_envelopes(const struct vf_grant_file *file, const struct vf_contents *c, struct vf_why *why)
{
    if (c->envelopes.len == file->envelopes_len && memcmp(c->envelopes.data, file->envelopes, file->envelopes_len) == 0)
        return VF_OK;
    for (uint32_t i = 0; i < c->n; i++) {
        for (unsigned p = 0; p < VF_PART_COUNT; p++) {
            enum vf_part part = p == 0 ? VF_PART_TEXT : VF_PART_IMAGE;
            size_t len;
            size_t at = vf_envelope_at(&c->layout, i, part, &len);
            if (len == 0 || memcmp(c->envelopes.data + at, file->envelopes + at, len) == 0)
                continue;
            struct vf_ref ref;
            vf_manifest_ref(&file->manifest, i, &ref);
            return differs(why, &ref, part == VF_PART_TEXT ? c->layout.text_field[0] : c->layout.image_field[0],
                           "the envelope does not hold the keys of what the manifest names");
        }
    }
    return vf_fail(why, VF_E_FORGED, "the table of envelopes is not of this grant");
}

/* The catalogue of the file, opened, against the one derived: record, field, what differs. */
static enum vf_err compare_catalogues(const struct vf_catalogue *theirs, const struct vf_catalogue *ours,
                                      const struct vf_grant_layout *l, struct vf_why *why)
{
    for (uint32_t i = 0; i < vf_catalogue_count(ours); i++) {
        const struct vf_ref *ref = vf_catalogue_ref(ours, i);
        if (vf_catalogue_changed_us(theirs, i) != vf_catalogue_changed_us(ours, i))
            return differs(why, ref, l->field[0], "the catalogue gives another time for its record");
        for (unsigned f = 0; f < l->nfields; f++)
            if (vf_catalogue_len(theirs, i, l->field[f]) != vf_catalogue_len(ours, i, l->field[f]) ||
                vf_catalogue_quoted_len(theirs, i, l->field[f]) != vf_catalogue_quoted_len(ours, i, l->field[f]))
                return differs(why, ref, l->field[f], "the catalogue gives another length for it");
    }
    return vf_fail(why, VF_E_FORGED, "the catalogue is not of this grant");
}

/*
 * First of all: if it does not open with this vault's share for this grant, the keys are others, and every envelope would differ.
 */
static enum vf_err check_catalogue(struct vf_vault *v, const struct vf_grant_file *file, const struct vf_contents *c,
                                   struct vf_why *why)
{
    VF_SECRET struct vf_grant_share *gs = vf_secret_new(sizeof(*gs));
    const struct vf_grant *g = &file->grant;
    struct vf_catalogue *theirs = NULL;
    struct vf_catalogue *ours = NULL;

    if (c->catalogue.len == file->catalogue_len && memcmp(c->catalogue.data, file->catalogue, file->catalogue_len) == 0)
        return VF_OK;
    if (gs == NULL)
        return vf_fail(why, VF_E_LOCKED_MEMORY, "no locked memory left for the share of a grant");
    VF_TRY(vf_vault_grant_share(v, &g->id, gs, why));
    enum vf_err err = vf_catalogue_decode(g, gs, &file->manifest, file->catalogue, file->catalogue_len, &theirs, why);
    if (err == VF_E_DAMAGED)
        err = vf_fail(why, VF_E_FORGED,
                      "grant %.*s was made with other keys than this vault's, or before an erase or rekey of it: issue it "
                      "again",
                      VF_GRANT_ID_LEN, g->id.c);
    if (err == VF_OK)
        err = vf_catalogue_decode(g, gs, &file->manifest, c->catalogue.data, c->catalogue.len, &ours, why);
    if (err == VF_OK)
        err = compare_catalogues(theirs, ours, &c->layout, why);
    vf_catalogue_free(theirs);
    vf_catalogue_free(ours);
    return err;
}

enum vf_err vf_contents_again(struct vf_vault *v, const struct vf_grant_file *file, struct vf_contents *ret,
                              struct vf_why *why)
{
    const struct vf_grant *g = &file->grant;
    VF_CONTENTS c = {0};
    VF_BUF times = {0};
    VF_FREE struct vf_ref *refs = NULL;

    if (memcmp(&g->vault, vf_vault_id_get(v), sizeof(g->vault)) != 0)
        return vf_fail(why, VF_E_REFUSED, "grant %.*s is of another force (\"%s\")", VF_GRANT_ID_LEN, g->id.c,
                       g->force_name);
    if (g->release == VF_RELEASE_ONLINE && strcmp(g->desk_url, vf_vault_policy(v)->policy.desk_url) != 0)
        return vf_fail(why, VF_E_REFUSED, "grant %.*s names another desk than the policy in force (%s): issue it again",
                       VF_GRANT_ID_LEN, g->id.c, vf_vault_policy(v)->policy.desk_url);
    if (g->renews)
        VF_TRY(check_renewal(v, g, &times, why));
    else
        VF_TRY(check_current(v, file, why));
    if (g->renews && times.len != (size_t)g->records * 8)
        return vf_fail(why, VF_E_DAMAGED, "the vault has lost the times of grant %.*s; check the vault", VF_GRANT_ID_LEN,
                       g->renewed.c);
    VF_TRY(refs_of(&file->manifest, &refs, why));
    const struct vf_derive d = {
        .v = v, .g = g, .refs = refs, .n = g->records, .pinned = &file->manifest, .times = g->renews ? times.data : NULL};
    VF_TRY(vf_contents_derive(&d, &c, why));
    if (c.manifest.len != file->manifest_len || memcmp(c.manifest.data, file->manifest_bytes, file->manifest_len) != 0)
        return vf_fail(why, VF_E_FORGED, "the manifest is not the one that this vault gives");
    VF_TRY(check_catalogue(v, file, &c, why));
    VF_TRY(compare_envelopes(file, &c, why));
    *ret = c;
    c = (struct vf_contents){0};
    return VF_OK;
}

enum vf_err vf_grant_rederive(struct vf_vault *v, const struct vf_grant_file *file, struct vf_why *why)
{
    VF_CONTENTS c = {0};

    return vf_contents_again(v, file, &c, why);
}
