/* SPDX-License-Identifier: MIT */
/* The records on the page: photos, who is no longer in, and the table of all. */
#include "review.h"

#include <string.h>

struct rows {
    const struct vf_review *r;
    struct vf_view *view;
    struct vf_page *p;
    struct vf_buf value; /* one value at a time */
};

static const vf_field_set images = VF_FIELD_BIT(VF_FIELD_PHOTO) | VF_FIELD_BIT(VF_FIELD_SIGNATURE);

/* A value as it is granted, or (field not granted) as it is now. Empty: absent. */
static enum vf_err get_value(struct rows *s, uint32_t row, unsigned field, struct vf_why *why)
{
    const struct vf_manifest *m = &s->r->file->manifest;
    int column = vf_manifest_column(m, field);
    struct vf_manifest_item item = {0};
    struct vf_ref ref;

    vf_buf_reset(&s->value);
    vf_manifest_ref(m, row, &ref);
    if (column >= 0) {
        vf_manifest_item(m, row, (unsigned)column, &item);
        if (item.generation == 0)
            return VF_OK;
    }
    VF_TRY(vf_view_value(s->view, &ref, field, item.generation, &s->value, why));
    return vf_buf_check(&s->value, "a value", why);
}

static enum vf_err put_value(struct rows *s, uint32_t row, unsigned field, struct vf_why *why)
{
    VF_TRY(get_value(s, row, field, why));
    vf_page_text(s->p, (const char *)s->value.data, s->value.len);
    return VF_OK;
}

static enum vf_err put_image(struct rows *s, uint32_t row, unsigned field, struct vf_why *why)
{
    const struct vf_field_info *info = vf_field_info(field);

    if ((s->r->file->grant.fields & VF_FIELD_BIT(field)) == 0)
        return VF_OK;
    VF_TRY(get_value(s, row, field, why));
    if (s->value.len == 0 && info->required)
        vf_page_fmt(s->p, "<div class=none>no %s</div>", info->name);
    else if (s->value.len > 0)
        vf_page_image(s->p, info->kind == VF_KIND_PNG ? "image/png" : "image/jpeg", s->value.data, s->value.len, info->name);
    return VF_OK;
}

/* Of a renewal that gives an older picture than the vault's: the vault's, to look at beside it. */
static enum vf_err put_current(struct rows *s, uint32_t row, unsigned field, struct vf_why *why)
{
    const struct vf_field_info *info = vf_field_info(field);
    const struct vf_manifest *m = &s->r->file->manifest;
    int column = vf_manifest_column(m, field);
    struct vf_ref ref;

    if (column < 0 || (s->r->contents.seen.data[row] & VF_SEEN_CHANGED) == 0)
        return VF_OK;
    vf_manifest_ref(m, row, &ref);
    vf_buf_reset(&s->value);
    VF_TRY(vf_view_value(s->view, &ref, field, 0, &s->value, why));
    VF_TRY(vf_buf_check(&s->value, "a value", why));
    VF_BUF now = s->value;
    s->value = (struct vf_buf){.max = now.max};
    enum vf_err err = get_value(s, row, field, why);
    bool same = err == VF_OK && now.len == s->value.len && (now.len == 0 || memcmp(now.data, s->value.data, now.len) == 0);
    if (err != VF_OK || same)
        return err;
    if (now.len == 0)
        vf_page_fmt(s->p, "<div class=none>no %s in the vault now</div>", info->name);
    else
        vf_page_image(s->p, info->kind == VF_KIND_PNG ? "image/png" : "image/jpeg", now.data, now.len,
                      "as the vault has it now");
    vf_page_fmt(s->p, "<span class=soft>above: the %s that is granted; below it: the vault's of today</span><br>",
                info->name);
    return VF_OK;
}

static void put_tags(const struct vf_review *r, uint32_t row, struct vf_page *p)
{
    const struct vf_review_row *c = &r->rows[row];
    uint8_t seen = r->contents.seen.data[row];
    VF_BUF names = {0};

    if ((seen & VF_SEEN_PROTECTED) != 0)
        vf_page_put(p, "<span class=\"tag protected\">protected</span>");
    if ((seen & VF_SEEN_LEAVER) != 0)
        vf_page_put(p, "<span class=\"tag leaver\">has left</span>");
    if ((seen & VF_SEEN_INCOMPLETE) != 0)
        vf_page_put(p, "<span class=\"tag incomplete\">incomplete</span>");
    if ((seen & VF_SEEN_CHANGED) != 0)
        vf_page_put(p, "<span class=\"tag changed\">not the current version</span>");
    if (c->change == VF_REVIEW_NEW)
        vf_page_put(p, "<span class=\"tag new\">new</span>");
    if (c->change != VF_REVIEW_CHANGED)
        return;
    vf_buf_init(&names, 1024);
    vf_field_set_put(c->changed, ", ", &names);
    vf_page_put(p, "<span class=\"tag changed\">changed</span> <span class=soft>");
    vf_page_str(p, vf_buf_cstr(&names) != NULL ? vf_buf_cstr(&names) : "");
    vf_page_put(p, "</span>");
}

static enum vf_err put_card(struct rows *s, uint32_t row, struct vf_why *why)
{
    struct vf_ref ref;

    vf_manifest_ref(&s->r->file->manifest, row, &ref);
    vf_page_put(s->p, "<figure>");
    VF_TRY(put_image(s, row, VF_FIELD_PHOTO, why));
    VF_TRY(put_current(s, row, VF_FIELD_PHOTO, why));
    VF_TRY(put_image(s, row, VF_FIELD_SIGNATURE, why));
    VF_TRY(put_current(s, row, VF_FIELD_SIGNATURE, why));
    vf_page_put(s->p, "<figcaption><strong>");
    VF_TRY(put_value(s, row, VF_FIELD_NAME_ON_CARD, why));
    vf_page_put(s->p, "</strong>");
    if ((s->r->file->grant.fields & VF_FIELD_BIT(VF_FIELD_RANK)) != 0)
        VF_TRY(put_value(s, row, VF_FIELD_RANK, why));
    vf_page_fmt(s->p, "<br><code>%.*s</code><br>", VF_REF_LEN, ref.c);
    put_tags(s->r, row, s->p);
    vf_page_put(s->p, "</figcaption></figure>\n");
    return VF_OK;
}

/* Which photos stand here and which do not, in plain words. */
static void put_photo_words(const struct vf_review *r, struct vf_page *p)
{
    uint32_t n = r->file->manifest.nrecords;

    if (r->nshown == n) {
        vf_page_fmt(p, "<p>All %u records of the grant.</p>\n", (unsigned)n);
        return;
    }
    vf_page_fmt(p,
                "<p><strong>%llu of %u records are shown with their pictures:</strong> protected ones, those not in their "
                "current version, those new or changed "
                "since the last "
                "grant (at most %u), and %u drawn at random from all when this page was made. ",
                (unsigned long long)r->nshown, (unsigned)n, VF_REVIEW_PHOTOS_ALL, VF_REVIEW_SAMPLE);
    vf_page_put(p, "All names are in the table below; <code>record show</code> shows any other record.</p>\n");
}

static enum vf_err put_photos(struct rows *s, struct vf_why *why)
{
    if ((s->r->file->grant.fields & images) == 0)
        return VF_OK;
    vf_page_put(s->p, "<h2>Photos</h2>\n");
    put_photo_words(s->r, s->p);
    vf_page_put(s->p, "<div class=cards>\n");
    for (uint32_t i = 0; i < s->r->file->manifest.nrecords; i++)
        if (s->r->rows[i].shown)
            VF_TRY(put_card(s, i, why));
    vf_page_put(s->p, "</div>\n");
    return s->p->err;
}

/* Their names as they are now; the record may be gone. */
static enum vf_err put_removed(struct rows *s, struct vf_why *why)
{
    if (s->r->nremoved == 0)
        return VF_OK;
    vf_page_put(s->p, "<h2>No longer in it</h2>\n<p>In the last grant, not in this one. What the device has of them it "
                      "keeps until the end "
                      "of that grant.</p>\n<div class=wide><table><thead><tr><th>ref<th>name_on_card</thead><tbody>\n");
    for (size_t i = 0; i < s->r->nremoved; i++) {
        const struct vf_ref *ref = &s->r->removed[i];
        vf_page_fmt(s->p, "<tr><td><code>%.*s</code><td>", VF_REF_LEN, ref->c);
        vf_buf_reset(&s->value);
        struct vf_why reason = {0};
        enum vf_err err = vf_view_value(s->view, ref, VF_FIELD_NAME_ON_CARD, 0, &s->value, &reason);
        if (err == VF_E_NOT_FOUND)
            vf_page_put(s->p, "<span class=soft>erased</span>");
        else if (err != VF_OK)
            return vf_fail(why, err, "%s", reason.text);
        else
            vf_page_text(s->p, (const char *)s->value.data, s->value.len);
        vf_page_put(s->p, "\n");
    }
    vf_page_put(s->p, "</tbody></table></div>\n");
    return s->p->err;
}

/* Columns: the name first, granted or not, then the granted text fields. */
static unsigned columns_of(const struct vf_review *r, unsigned out[VF_FIELD_COUNT])
{
    const struct vf_grant_layout *l = &r->contents.layout;
    unsigned n = 0;

    out[n++] = VF_FIELD_NAME_ON_CARD;
    for (unsigned i = 0; i < l->ntext; i++)
        if (l->text_field[i] != VF_FIELD_NAME_ON_CARD)
            out[n++] = l->text_field[i];
    return n;
}

static enum vf_err put_table(struct rows *s, struct vf_why *why)
{
    unsigned columns[VF_FIELD_COUNT];
    unsigned n = columns_of(s->r, columns);

    vf_page_put(s->p, "<h2>All records</h2>\n<div class=wide><table><thead><tr><th>ref");
    for (unsigned c = 0; c < n; c++)
        vf_page_fmt(s->p, "<th>%s%s", vf_field_info(columns[c])->name,
                    (s->r->file->grant.fields & VF_FIELD_BIT(columns[c])) != 0 ? "" : " (not granted)");
    vf_page_put(s->p, "<th></thead><tbody>\n");
    for (uint32_t i = 0; i < s->r->file->manifest.nrecords && s->p->err == VF_OK; i++) {
        struct vf_ref ref;
        vf_manifest_ref(&s->r->file->manifest, i, &ref);
        vf_page_fmt(s->p, "<tr><td><code>%.*s</code>", VF_REF_LEN, ref.c);
        for (unsigned c = 0; c < n; c++) {
            vf_page_put(s->p, "<td>");
            VF_TRY(put_value(s, i, columns[c], why));
        }
        vf_page_put(s->p, "<td>");
        put_tags(s->r, i, s->p);
        vf_page_put(s->p, "\n");
    }
    vf_page_put(s->p, "</tbody></table></div>\n");
    return s->p->err;
}

enum vf_err vf_review_put_records(const struct vf_review *r, struct vf_view *view, struct vf_page *p, struct vf_why *why)
{
    struct rows s = {.r = r, .view = view, .p = p};

    vf_buf_init(&s.value, VF_GRANT_SCRATCH_MAX);
    enum vf_err err = put_photos(&s, why);
    if (err == VF_OK)
        err = put_removed(&s, why);
    if (err == VF_OK)
        err = put_table(&s, why);
    vf_buf_done(&s.value);
    return err;
}
