/* SPDX-License-Identifier: MIT */
/* The page that a co-signer looks at: everything on it, and nothing that a browser could run or fetch. */
#include "grant_place.h"

#include "fakeclock.h"

#include <fcntl.h>
#include <unistd.h>

#define CARD vf_field_set_card_print()

static struct place p;
static struct bureau b;

static int set_up(void **state)
{
    return force_and_bureau(state, &p, &b, 6);
}

static int tear_down(void **state)
{
    return force_and_bureau_done(state, &p, &b);
}

static enum vf_err review(struct vf_vault *v, const struct issued *i, char **ret_page)
{
    char path[400];
    VF_FD fd = open(place_path(&p, "review.html", path), O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    enum vf_err err = vf_grant_review(v, &i->f, fd, "review.html", why);
    *ret_page = get_file(path, NULL);
    return err;
}

static unsigned count(const char *page, const char *what)
{
    unsigned n = 0;

    for (const char *at = strstr(page, what); at != NULL; at = strstr(at + 1, what))
        n++;
    return n;
}

static void shows_everything(void **state)
{
    struct vf_vault *v = open_as(&p, VF_VAULT_WRITE, ALICE);
    struct vf_issue_options opt = options_for(&b, "first", CARD | VF_FIELD_BIT(VF_FIELD_SURNAME));
    struct issued i;
    struct vf_hash hash;
    char words[VF_FINGERPRINT_TEXT_LEN + 1];

    (void)state;
    opt.purpose = "A purpose with <b>marks</b> & \"quotes\"";
    issue(v, ALICE, &opt, &i);
    VF_FREE char *page = NULL;
    OK(review(v, &i, &page));
    assert_int_equal(count(page, "<!DOCTYPE html>"), 1);
    assert_int_equal(count(page, "</html>"), 1);
    assert_non_null(strstr(page, "A purpose with &lt;b&gt;marks&lt;/b&gt; &amp; &quot;quotes&quot;"));
    assert_non_null(strstr(page, "Example Constabulary"));
    assert_non_null(strstr(page, "bureau-7"));
    vf_identity_fingerprint(&b.enrol.device, &hash);
    vf_fingerprint_text(&hash, words);
    assert_non_null(strstr(page, words));
    assert_non_null(strstr(page, "28 Nov 2026 at 12:00 UTC"));
    assert_non_null(strstr(page, "expiry enforced by software, not by cryptography"));
    assert_non_null(strstr(page, "look at everything as new to it"));
    assert_non_null(strstr(page, "surname <span class=tag>not on a card</span>"));
    assert_non_null(strstr(page, "Fields are granted that do not stand on a card"));
    for (unsigned k = 0; k < 6; k++) {
        char text[64];
        (void)snprintf(text, sizeof(text), "Officer &quot;No&quot; %u", k);
        assert_int_equal(count(page, text), 2); /* on the card and in the table */
        (void)snprintf(text, sizeof(text), "Surname%u", k);
        assert_int_equal(count(page, text), 1);
    }
    assert_int_equal(count(page, "src=\"data:image/jpeg;base64,"), 6);
    assert_null(strstr(page, "no photo"));
    assert_non_null(strstr(page, "All 6 records of the grant."));
    assert_null(strstr(page, "CTC")); /* not granted: not shown */
    issued_done(&i);
    close_vault(v);
    assert_true(log_counts(&p, VF_EVENT_VIEW) >= 1);
}

/* Photos are there byte for byte. */
static void photos_are_whole(void **state)
{
    struct vf_vault *v = open_as(&p, VF_VAULT_WRITE, ALICE);
    struct vf_issue_options opt = options_for(&b, "photos", VF_FIELD_BIT(VF_FIELD_PHOTO));
    struct issued i;
    VF_BUF value = {0};
    VF_BUF base64 = {0};

    (void)state;
    issue(v, ALICE, &opt, &i);
    close_vault(v);
    v = open_as(&p, VF_VAULT_READ, BOB); /* looking changes nothing but the log */
    VF_FREE char *page = NULL;
    OK(review(v, &i, &page));
    OK(vf_grant_rederive(v, &i.f, why));
    VF_VIEW view = NULL;
    OK(vf_view_open(v, &view, why));
    for (unsigned k = 0; k < 6; k++) {
        struct vf_ref ref;
        vf_manifest_ref(&i.f.manifest, k, &ref);
        OK(vf_view_value(view, &ref, VF_FIELD_PHOTO, 0, &value, why));
        vf_buf_done(&base64);
        vf_buf_init(&base64, 1u << 22);
        vf_base64_put(&base64, value.data, value.len);
        assert_int_equal(count(page, vf_buf_cstr(&base64)), 1);
    }
    /* The name is there for whoever signs, and the page says that the recipient does not get it. */
    assert_non_null(strstr(page, "name_on_card (not granted)"));
    vf_view_close(view);
    view = NULL;
    issued_done(&i);
    close_vault(v);
}

/* No script, no address, no attribute that a value could have opened. */
static void nothing_active(void **state)
{
    struct vf_vault *v = open_as(&p, VF_VAULT_WRITE, ALICE);
    struct vf_ref ref = officer(v, 0);
    struct vf_issue_options opt = options_for(&b, "active", CARD);
    struct issued i;

    (void)state;
    set_text(v, &ref, VF_FIELD_NAME_ON_CARD, "<script>alert('x')</script>");
    issue(v, ALICE, &opt, &i);
    VF_FREE char *page = NULL;
    OK(review(v, &i, &page));
    assert_null(strstr(page, "<script"));
    assert_int_equal(count(page, "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;"), 2);
    assert_null(strstr(page, "http:"));
    assert_null(strstr(page, "https:"));
    assert_null(strstr(page, "href"));
    assert_null(strstr(page, "javascript"));
    assert_null(strstr(page, "url("));
    assert_non_null(strstr(page, "default-src 'none'; img-src data:; style-src 'unsafe-inline'"));
    set_text(v, &ref, VF_FIELD_NAME_ON_CARD, "Officer \"No\" 0");
    issued_done(&i);
    close_vault(v);
}

static void shows_what_is_special(void **state)
{
    struct vf_vault *v = open_as(&p, VF_VAULT_WRITE, ALICE);
    struct vf_ref covert = officer(v, 1);
    struct vf_ref left = officer(v, 2);
    struct vf_ref nameless = officer(v, 3);
    struct vf_ref changed = officer(v, 4);
    struct vf_ref gone = officer(v, 5);
    struct vf_issue_options opt = options_for(&b, "special", CARD);
    struct vf_grant_id *live = NULL;
    size_t nlive = 0;
    struct issued one, two;
    char list[200], path[400], text[300];

    (void)state;
    fake_clock_pass(VF_SECOND_US);
    opt.now_us = opt.from_us = vf_clock_wall_us();
    issue(v, ALICE, &opt, &one);
    fake_clock_pass(VF_DAY_US);
    set_text(v, &covert, VF_FIELD_PROTECT, "COVERT");
    set_text(v, &left, VF_FIELD_STATUS, "LEAVER");
    set_text(v, &nameless, VF_FIELD_NAME_ON_CARD, "");
    set_text(v, &changed, VF_FIELD_RANK, "Inspector");
    OK(vf_record_erase(v, &gone, 1, VF_ERASE_LEAVER, &live, &nlive, why));
    free(live);
    (void)snprintf(list, sizeof(list), "%.8s\n%.8s\n%.8s\n%.8s\n", covert.c, left.c, nameless.c, changed.c);
    put_file(&p, "list.txt", list, strlen(list));
    opt = options_for(&b, "special-2", CARD);
    opt.records = (struct vf_selection){.list_path = place_path(&p, "list.txt", path), .include_protected = true};
    opt.allow_incomplete = true;
    opt.clock_reset = true;
    opt.now_us = opt.from_us = vf_clock_wall_us();
    issue(v, ALICE, &opt, &two);
    VF_FREE char *page = NULL;
    OK(review(v, &two, &page));
    assert_non_null(strstr(page, "1 protected records are in it"));
    assert_non_null(strstr(page, "1 people in it have left the force"));
    assert_non_null(strstr(page, "1 records lack photo"));
    assert_non_null(strstr(page, "0 records new, 2 changed, 2 no longer in it"));
    assert_non_null(strstr(page, "to this device, of another job"));
    assert_non_null(strstr(page, "sets the station's clock back"));
    assert_int_equal(count(page, "class=\"tag protected\""), 2);
    assert_int_equal(count(page, "class=\"tag leaver\""), 2);
    assert_int_equal(count(page, "class=\"tag incomplete\""), 2);
    (void)snprintf(text, sizeof(text), "<span class=\"tag changed\">changed</span> <span class=soft><bdi>rank</bdi></span>");
    assert_int_equal(count(page, text), 2);
    assert_non_null(strstr(page, "No longer in it"));
    assert_int_equal(count(page, "<span class=soft>erased</span>"), 1);
    issued_done(&one);
    issued_done(&two);
    close_vault(v);
}

/* What is not what the vault gives is not shown at all. */
static void refuses_what_differs(void **state)
{
    struct vf_vault *v = open_as(&p, VF_VAULT_WRITE, ALICE);
    struct vf_issue_options opt = options_for(&b, "differs", VF_FIELD_BIT(VF_FIELD_WARRANT_NO));
    struct vf_ref ref = officer(v, 4);
    struct issued i;
    VF_FREE char *page = NULL;

    (void)state;
    opt.now_us = opt.from_us = vf_clock_wall_us();
    issue(v, ALICE, &opt, &i);
    fake_clock_pass(VF_SECOND_US);
    set_text(v, &ref, VF_FIELD_WARRANT_NO, "20005");
    assert_int_equal(review(v, &i, &page), VF_E_STALE);
    assert_int_equal(strlen(page), 0);
    issued_done(&i);
    close_vault(v);
}

static void a_full_disk(void **state)
{
    struct vf_vault *v = open_as(&p, VF_VAULT_WRITE, ALICE);
    struct vf_issue_options opt = options_for(&b, "full", VF_FIELD_BIT(VF_FIELD_RANK));
    struct issued i;
    VF_FD full = open("/dev/full", O_WRONLY | O_CLOEXEC);

    (void)state;
    opt.now_us = opt.from_us = vf_clock_wall_us();
    issue(v, ALICE, &opt, &i);
    assert_int_equal(vf_grant_review(v, &i.f, full, "review.html", why), VF_E_DISK_FULL);
    issued_done(&i);
    close_vault(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shows_everything),      cmocka_unit_test(photos_are_whole),     cmocka_unit_test(nothing_active),
        cmocka_unit_test(shows_what_is_special), cmocka_unit_test(refuses_what_differs), cmocka_unit_test(a_full_disk),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
