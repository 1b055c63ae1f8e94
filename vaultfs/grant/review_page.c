/* SPDX-License-Identifier: MIT */
/* The first screen of the page: what is about to be signed, and what a careful reader should stop at. */
#include "review.h"
#include "review_style.h"

#include <string.h>

static void put_when(struct vf_page *p, int64_t us)
{
    char text[64];

    vf_time_format_person(us, text, sizeof(text));
    vf_page_str(p, text);
}

static void term(struct vf_page *p, const char *name)
{
    vf_page_put(p, "<dt>");
    vf_page_put(p, name);
    vf_page_put(p, "</dt><dd>");
}

static void term_str(struct vf_page *p, const char *name, const char *value)
{
    term(p, name);
    vf_page_str(p, value);
    vf_page_put(p, "</dd>\n");
}

static void put_id(struct vf_page *p, const struct vf_grant_id *id)
{
    vf_page_fmt(p, "<code>%.*s</code>", VF_GRANT_ID_LEN, id->c);
}

static void put_top(const struct vf_review *r, struct vf_page *p)
{
    vf_page_put(p, "<!DOCTYPE html>\n<html lang=en><head><meta charset=utf-8>\n"
                   "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'; img-src data:; style-src "
                   "'unsafe-inline'\">\n"
                   "<meta name=referrer content=no-referrer><meta name=robots content=noindex>\n"
                   "<meta name=viewport content=\"width=device-width,initial-scale=1\">\n<title>Grant ");
    vf_page_fmt(p, "%.*s</title>\n<style>\n", VF_GRANT_ID_LEN, r->file->grant.id.c);
    vf_page_put(p, VF_REVIEW_STYLE);
    vf_page_put(p, "</style></head><body>\n<h1>Grant for review: ");
    vf_page_str(p, r->file->grant.job);
    vf_page_put(p, "</h1>\n<p class=soft>Who signs this grant gives what is shown here to the recipient. The page holds "
                   "personal data: it is "
                   "for the signing admin, and to be deleted afterwards.</p>\n");
}

static void put_fields(const struct vf_grant *g, struct vf_page *p)
{
    bool first = true;

    term(p, "Fields");
    for (unsigned f = 1; f < VF_FIELD_COUNT; f++) {
        if ((g->fields & VF_FIELD_BIT(f)) == 0)
            continue;
        vf_page_fmt(p, "%s%s%s", first ? "" : ", ", vf_field_info(f)->name,
                    vf_field_info(f)->class == VF_CLASS_A ? "" : " <span class=tag>not on a card</span>");
        first = false;
    }
    vf_page_put(p, "</dd>\n");
}

/* The words that the station's operator can read out. A co-signer's older copy of the vault may not have the enrolment. */
static void put_fingerprint(const struct vf_review *r, struct vf_page *p)
{
    char words[VF_FINGERPRINT_TEXT_LEN + 1];
    struct vf_hash hash;

    term(p, "Its fingerprint");
    if (r->device_known) {
        vf_identity_fingerprint(&r->device.enrol.device, &hash);
        vf_fingerprint_text(&hash, words);
        vf_page_fmt(p, "<code>%s</code></dd>\n", words);
    } else {
        vf_page_put(p, "not known here: this copy of the vault does not have its enrolment</dd>\n");
    }
}

static void put_recipient(const struct vf_review *r, struct vf_page *p)
{
    char hex[2 * VF_HASH_LEN + 1];

    term_str(p, "To", r->file->grant.recipient);
    put_fingerprint(r, p);
    vf_hex(r->file->grant.enrolment.b, VF_HASH_LEN, hex);
    term(p, "Its enrolment");
    vf_page_fmt(p, "<code>%s</code></dd>\n", hex);
    if (!r->device_known)
        return;
    term(p, "Its log");
    if (r->device.handin_us == 0) {
        vf_page_put(p, "never handed in");
    } else {
        vf_page_put(p, "handed in up to ");
        put_when(p, r->device.handin_us);
    }
    vf_page_put(p, "</dd>\n");
}

static void put_signatures(const struct vf_review *r, struct vf_page *p)
{
    bool first = true;

    term(p, "Signed by");
    for (size_t i = 0; i < r->nkeys; i++) {
        if (!r->signed_by[i])
            continue;
        if (!first)
            vf_page_put(p, ", ");
        vf_page_str(p, r->keys[i].name);
        first = false;
    }
    vf_page_fmt(p, "%s (%zu of the %u that are needed)</dd>\n", first ? "nobody" : "", r->signatures,
                vf_vault_policy(r->v)->policy.threshold);
}

static void put_window(const struct vf_grant *g, struct vf_page *p)
{
    term(p, "Issued");
    put_when(p, g->issued_us);
    vf_page_put(p, " by ");
    vf_page_str(p, g->issuer);
    vf_page_put(p, "</dd>\n");
    term(p, "From");
    put_when(p, g->from_us);
    vf_page_put(p, "</dd>\n");
    term(p, "Until");
    put_when(p, g->until_us);
    vf_page_put(p, "</dd>\n");
    term(p, "At the end");
    vf_page_str(p, vf_grant_ends_text(g));
    vf_page_put(p, "</dd>\n");
    term(p, "Budget");
    if (g->budget != 0)
        vf_page_fmt(p, "%llu distinct records a part</dd>\n", (unsigned long long)g->budget);
    else
        vf_page_put(p, "none: every record may be opened</dd>\n");
}

static void put_facts(const struct vf_review *r, struct vf_page *p)
{
    const struct vf_grant *g = &r->file->grant;

    vf_page_put(p, "<dl>\n");
    term_str(p, "Force", g->force_name);
    put_recipient(r, p);
    term_str(p, "Purpose", g->purpose);
    term(p, "Records");
    vf_page_fmt(p, "%u</dd>\n", (unsigned)g->records);
    put_fields(g, p);
    put_window(g, p);
    put_signatures(r, p);
    term(p, "Grant");
    put_id(p, &g->id);
    vf_page_fmt(p, ", policy version %u", (unsigned)g->policy_version);
    if (g->renews) {
        vf_page_put(p, ", renews ");
        put_id(p, &g->renewed);
    }
    vf_page_put(p, "</dd>\n</dl>\n");
}

/* A line of the notes, left out when there is nothing to count. */
static void count_note(struct vf_page *p, const char *class, uint64_t n, const char *text)
{
    if (n > 0)
        vf_page_fmt(p, "<li class=%s>%llu %s</li>\n", class, (unsigned long long)n, text);
}

static void put_passed(const struct vf_review *r, struct vf_page *p)
{
    if (r->npassed == 0)
        return;
    vf_page_fmt(p, "<li class=warn>Not compared with, because too few admins have signed them or they were revoked: ");
    for (size_t i = 0; i < r->npassed && i < VF_REVIEW_PASSED_MAX; i++) {
        vf_page_put(p, i > 0 ? ", " : "");
        put_id(p, &r->passed[i]);
    }
    if (r->npassed > VF_REVIEW_PASSED_MAX)
        vf_page_fmt(p, " and %zu more", r->npassed - VF_REVIEW_PASSED_MAX);
    vf_page_put(p, ".</li>\n");
}

static void put_compared(const struct vf_review *r, struct vf_page *p)
{
    if (!r->has_last) {
        vf_page_put(
            p, "<li class=warn>This vault knows no earlier grant to this device that enough admins have signed and nobody "
               "revoked: look at everything as new to it. Compare the fingerprint with its operator, by phone.</li>\n");
        put_passed(r, p);
        return;
    }
    vf_page_fmt(p, "<li>Since the last grant%s (", r->last_same_job ? " of this job" : " to this device, of another job");
    put_id(p, &r->last.id);
    vf_page_put(p, ", issued ");
    put_when(p, r->last.issued_us);
    vf_page_fmt(p, "): %llu records new, %llu changed, %zu no longer in it.</li>\n", (unsigned long long)r->nnew,
                (unsigned long long)r->nchanged, r->nremoved);
    put_passed(r, p);
}

static void put_notes(const struct vf_review *r, struct vf_page *p)
{
    const struct vf_grant *g = &r->file->grant;

    vf_page_put(p, "<ul class=notes>\n<li>The contents were derived again from this vault and are what the grant says, to "
                   "the byte.</li>\n");
    put_compared(r, p);
    count_note(p, "bad", vf_contents_count(&r->contents, VF_SEEN_PROTECTED), "protected records are in it.");
    count_note(p, "warn", vf_contents_count(&r->contents, VF_SEEN_LEAVER), "people in it have left the force.");
    count_note(p, "warn", vf_contents_count(&r->contents, VF_SEEN_INCOMPLETE),
               "records lack photo, name_on_card, rank or warrant_no.");
    if (g->renews)
        count_note(p, "warn", vf_contents_count(&r->contents, VF_SEEN_CHANGED),
                   "records have changed since; a renewal gives the old versions. Both are shown below.");
    if ((g->fields & ~vf_field_set_class(VF_CLASS_A)) != 0)
        vf_page_put(p, "<li class=warn>Fields are granted that do not stand on a card.</li>\n");
    if (g->release == VF_RELEASE_OFFLINE)
        vf_page_put(p,
                    "<li class=warn>Offline: from today on count every record of it as readable by the recipient.</li>\n");
    if (g->clock_reset)
        vf_page_put(p, "<li class=warn>It sets the station's clock back to its issue time.</li>\n");
    if (r->device_known && r->device.revoked)
        vf_page_put(p, "<li class=bad>The device was revoked: this grant cannot be signed.</li>\n");
    vf_page_put(p, "</ul>\n");
}

void vf_review_put_head(const struct vf_review *r, struct vf_page *p)
{
    put_top(r, p);
    put_facts(r, p);
    vf_page_put(p, "<h2>To be noticed</h2>\n");
    put_notes(r, p);
}
