/* SPDX-License-Identifier: MIT */
#include "rederive.h"
#include "review.h"

#include <stdlib.h>
#include <string.h>

void vf_review_done(struct vf_review *r)
{
    vf_contents_done(&r->contents);
    free(r->rows);
    free(r->removed);
    r->rows = NULL;
    r->removed = NULL;
}

/* Of two earlier grants the one of the same job, then the later one. */
static bool better(const struct vf_review *r, const struct vf_grant *g)
{
    bool same_job = strcmp(g->job, r->file->grant.job) == 0;

    if (!r->has_last || same_job != r->last_same_job)
        return !r->has_last || same_job;
    return g->issued_us > r->last.issued_us;
}

static enum vf_err look_at(void *user, const struct vf_grant_row *row, const struct vf_grant *g, const struct vf_note *note,
                           struct vf_why *why)
{
    struct vf_review *r = user;
    const struct vf_grant *this = &r->file->grant;
    bool agreed = false;
    size_t count;

    if (memcmp(&g->id, &this->id, sizeof(g->id)) == 0 || memcmp(&g->enrolment, &this->enrolment, VF_HASH_LEN) != 0 ||
        (g->renews && memcmp(&g->renewed, &this->id, sizeof(g->renewed)) == 0))
        return VF_OK;
    /*
     * What one admin made alone, or made and took back, was looked at by nobody else. To compare with it would let him have a swapped
     * photo called unchanged.
     */
    VF_TRY(vf_fail_prefix(why, vf_grant_agreed(vf_vault_policy(r->v), note, &agreed, &count, why), "grant %.*s in the vault",
                          VF_GRANT_ID_LEN, g->id.c));
    if (!agreed || row->state == VF_GRANT_REVOKED) {
        if (r->npassed < VF_REVIEW_PASSED_MAX)
            r->passed[r->npassed] = g->id;
        r->npassed++;
        return VF_OK;
    }
    if (!better(r, g))
        return VF_OK;
    r->has_last = true;
    r->last_same_job = strcmp(g->job, this->job) == 0;
    r->last = *g;
    return VF_OK;
}

/* Fields of a record that the device does not have in this version. */
static vf_field_set changed_fields(const struct vf_manifest *now, uint32_t row, const struct vf_manifest *then,
                                   uint32_t then_row)
{
    vf_field_set changed = 0;

    for (unsigned c = 0; c < now->nfields; c++) {
        struct vf_manifest_item a;
        struct vf_manifest_item b = {0};
        int other = vf_manifest_column(then, now->fields[c]);
        vf_manifest_item(now, row, c, &a);
        if (other >= 0)
            vf_manifest_item(then, then_row, (unsigned)other, &b);
        if (other < 0 || a.generation != b.generation || memcmp(&a.hash, &b.hash, sizeof(a.hash)) != 0)
            changed |= VF_FIELD_BIT(now->fields[c]);
    }
    return changed;
}

static void compare_row(struct vf_review *r, uint32_t row, const struct vf_manifest *then)
{
    struct vf_ref ref;
    uint32_t then_row;

    vf_manifest_ref(&r->file->manifest, row, &ref);
    if (!vf_manifest_find(then, &ref, &then_row)) {
        r->rows[row].change = VF_REVIEW_NEW;
        r->nnew++;
        return;
    }
    r->rows[row].changed = changed_fields(&r->file->manifest, row, then, then_row);
    if (r->rows[row].changed != 0) {
        r->rows[row].change = VF_REVIEW_CHANGED;
        r->nchanged++;
    }
}

static enum vf_err compare(struct vf_review *r, struct vf_why *why)
{
    VF_BUF manifest = {0};
    VF_BUF times = {0};
    struct vf_manifest then;

    VF_TRY(vf_kept_manifest(r->v, &r->last.manifest_hash, &manifest, &times, why));
    VF_TRY(vf_manifest_parse(manifest.data, manifest.len, "a manifest in the vault", &then, why));
    for (uint32_t i = 0; i < r->file->manifest.nrecords; i++)
        compare_row(r, i, &then);
    r->removed = calloc(then.nrecords > 0 ? then.nrecords : 1, sizeof(*r->removed));
    if (r->removed == NULL)
        return vf_fail(why, VF_E_NOMEM, "no memory for the review");
    for (uint32_t i = 0; i < then.nrecords; i++) {
        struct vf_ref ref;
        uint32_t row;
        vf_manifest_ref(&then, i, &ref);
        if (!vf_manifest_find(&r->file->manifest, &ref, &row))
            r->removed[r->nremoved++] = ref;
    }
    return VF_OK;
}

static void show(struct vf_review *r, uint32_t i)
{
    if (!r->rows[i].shown)
        r->nshown++;
    r->rows[i].shown = true;
}

/* Below `n`, evenly enough for a sample and not to be foreseen by whoever issued the grant. */
static uint32_t random_below(uint32_t n)
{
    uint64_t x;

    vf_random(&x, sizeof(x));
    return (uint32_t)(x % n);
}

/* All of a small grant. Of a large one the protected, those that a renewal gives in an old version, what is new or changed as far as a page goes, then a sample of the rest. */
static void choose_photos(struct vf_review *r)
{
    uint32_t n = r->file->manifest.nrecords;

    if ((r->file->grant.fields & (VF_FIELD_BIT(VF_FIELD_PHOTO) | VF_FIELD_BIT(VF_FIELD_SIGNATURE))) == 0)
        return;
    for (uint32_t i = 0; i < n && n <= VF_REVIEW_PHOTOS_ALL; i++)
        show(r, i);
    if (n <= VF_REVIEW_PHOTOS_ALL)
        return;
    for (uint32_t i = 0; i < n && r->nshown < VF_REVIEW_PHOTOS_ALL; i++)
        if ((r->contents.seen.data[i] & VF_SEEN_PROTECTED) != 0)
            show(r, i);
    for (uint32_t i = 0; i < n && r->nshown < VF_REVIEW_PHOTOS_ALL; i++)
        if ((r->contents.seen.data[i] & VF_SEEN_CHANGED) != 0)
            show(r, i);
    for (uint32_t i = 0; i < n && r->has_last && r->nshown < VF_REVIEW_PHOTOS_ALL; i++)
        if (r->rows[i].change != VF_REVIEW_SAME)
            show(r, i);
    for (uint64_t want = r->nshown + VF_REVIEW_SAMPLE; r->nshown < want && r->nshown < n;)
        show(r, random_below(n));
}

static enum vf_err check_signatures(struct vf_review *r, struct vf_why *why)
{
    r->nkeys = vf_policy_admin_keys(&vf_vault_policy(r->v)->policy, r->keys);
    VF_TRY(vf_grant_policy_known(&r->file->grant, vf_vault_policy(r->v), why));
    return vf_note_verify(&r->file->note, r->keys, r->nkeys, r->signed_by, &r->signatures, why);
}

enum vf_err vf_review_gather(struct vf_vault *v, const struct vf_grant_file *file, struct vf_review *r, struct vf_why *why)
{
    r->v = v;
    r->file = file;
    VF_TRY(check_signatures(r, why));
    VF_TRY(vf_contents_again(v, file, &r->contents, why));
    VF_TRY(vf_device_look(v, &file->grant.enrolment, &r->device, &r->device_known, why));
    r->rows = calloc(file->manifest.nrecords, sizeof(*r->rows));
    if (r->rows == NULL)
        return vf_fail(why, VF_E_NOMEM, "no memory for the review");
    VF_TRY(vf_kept_grants(v, look_at, r, why));
    if (r->has_last)
        VF_TRY(compare(r, why));
    choose_photos(r);
    return VF_OK;
}
