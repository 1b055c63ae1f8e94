/* SPDX-License-Identifier: MIT */
/* What follows a grant: hand-ins, renewals, revocations, lists. */
#include "grant_place.h"

#include "fakeclock.h"
#include "scratch.h"

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

static struct vf_issue_options options(const char *job)
{
    struct vf_issue_options opt = options_for(&b, job, CARD);

    opt.now_us = opt.from_us = vf_clock_wall_us();
    opt.until_us = opt.now_us + 3 * VF_DAY_US;
    return opt;
}

static enum vf_err renew(struct vf_vault *v, const struct issued *i, const struct vf_renew_options *opt, struct issued *ret)
{
    struct vf_renew_options o = *opt;
    struct vf_grant_id id;

    o.now_us = vf_clock_wall_us();
    if (o.until_us == 0)
        o.until_us = o.now_us + 3 * VF_DAY_US;
    *ret = (struct issued){0};
    vf_buf_init(&ret->file, VF_GRANT_FILE_MAX);
    enum vf_err err = vf_grant_renew(v, admin[ALICE], &i->f.grant.id, &o, &id, &ret->file, why);
    if (err == VF_OK)
        parse_issued(ret);
    else if (ret->file.len != 0)
        abort();
    return err;
}

static const struct vf_renew_options without_handin = {.no_handin = true};

static enum vf_err device_item(void *user, const struct vf_device_item *item, struct vf_why *w)
{
    struct vf_device_item *out = user;

    (void)w;
    if (memcmp(&item->enrol.id, &b.enrol.id, VF_HASH_LEN) == 0)
        *out = *item;
    return VF_OK;
}

static struct vf_device_item device_now(struct vf_vault *v)
{
    struct vf_device_item item = {0};

    OK(vf_device_each(v, device_item, &item, why));
    return item;
}

static void put_new_photo(struct vf_vault *v, const struct vf_ref *ref, unsigned seed)
{
    char path[400];
    size_t len;

    put_photo(&p, "photos/new.jpg", seed);
    VF_FREE char *jpeg = get_file(place_path(&p, "photos/new.jpg", path), &len);
    const struct vf_field_value photo = {VF_FIELD_PHOTO, jpeg, len};
    OK(vf_record_set(v, ref, &photo, 1, why));
}

/* ---------------------------------------------------------------------------------------------------------------- hand-ins */

static void hands_in(void **state)
{
    struct vf_vault *v = open_as(&p, VF_VAULT_WRITE, ALICE);
    struct vf_issue_options opt = options("handin");
    struct vf_verdict verdict;
    struct vf_checkpoint cp;
    struct vf_note_key key;
    struct vf_note note;
    struct issued i;
    struct bureau stranger;
    VF_BUF receipt = {0};
    char file[400], path[600], kept[700], hex[2 * VF_HASH_LEN + 1];
    int64_t when = 0;

    (void)state;
    vf_buf_init(&receipt, VF_NOTE_MAX);
    bureau_works(&b, 5);
    bureau_hands_in(&b, place_path(&p, "one.log", file));
    assert_int_equal(vf_device_handin(v, admin[ALICE], file, &receipt, &verdict, why),
                     VF_E_NOT_FOUND); /* no grant to it yet */
    issue(v, ALICE, &opt, &i);
    issued_done(&i);
    assert_int_equal(device_now(v).handin_us, 0);
    OK(vf_device_handin(v, admin[ALICE], file, &receipt, &verdict, why));
    assert_true(verdict.good);
    assert_true(verdict.origin_checked);
    assert_int_equal(device_now(v).handin_us, vf_clock_wall_us());
    assert_int_equal(device_now(v).handin_size, verdict.sealed);
    assert_true(verdict.sealed >= 5);
    /* The receipt is the last checkpoint with alice's word for the time. */
    OK(vf_note_parse(receipt.data, receipt.len, &note, why));
    vf_note_cosigner_key_of(pub_of(ALICE), &key);
    OK(vf_receipt_verify(&note, &key, 1, &cp, &when, why));
    assert_int_equal(cp.size, verdict.sealed);
    assert_int_equal(when, vf_clock_wall_us());
    vf_hex(b.enrol.id.b, VF_HASH_LEN, hex);
    (void)snprintf(path, sizeof(path), "%s/devices/%s/log", p.vault, hex);
    const struct vf_verify_options any = {0};
    OK(vf_log_verify(path, &any, &verdict, why));
    assert_true(verdict.good);
    /* It grows; the same again is fine; an older one is not. */
    bureau_works(&b, 3);
    bureau_hands_in(&b, place_path(&p, "two.log", path));
    vf_buf_reset(&receipt);
    OK(vf_device_handin(v, admin[ALICE], path, &receipt, &verdict, why));
    uint64_t size = verdict.sealed;
    vf_buf_reset(&receipt);
    OK(vf_device_handin(v, admin[ALICE], path, &receipt, &verdict, why));
    vf_buf_reset(&receipt);
    assert_int_equal(vf_device_handin(v, admin[ALICE], file, &receipt, &verdict, why), VF_E_FORGED);
    assert_int_equal(receipt.len, 0);
    assert_int_equal(device_now(v).handin_size, size);
    /* The last checkpoint of the copy damaged: the force's own log knows its root, so the whole log mends it, and an older one does not. */
    (void)snprintf(kept, sizeof(kept), "%s/devices/%s/log/checkpoints", p.vault, hex);
    scratch_damage(kept, 40);
    assert_int_equal(vf_device_handin(v, admin[ALICE], file, &receipt, &verdict, why), VF_E_FORGED);
    assert_int_equal(receipt.len, 0);
    OK(vf_device_handin(v, admin[ALICE], path, &receipt, &verdict, why));
    assert_true(verdict.mended && verdict.nnotes > 0);
    assert_non_null(strstr(verdict.notes[verdict.nnotes - 1], "it is beside this one now, as log.damaged-"));
    assert_int_equal(device_now(v).handin_size, size);
    (void)snprintf(kept, sizeof(kept), "%s/devices/%s/log", p.vault, hex);
    OK(vf_log_verify(kept, &any, &verdict, why));
    assert_true(verdict.good && verdict.sealed == size);
    /* And so when the copy is gone. */
    vf_dir_remove(kept);
    assert_int_equal(vf_device_handin(v, admin[ALICE], file, &receipt, &verdict, why), VF_E_FORGED);
    OK(vf_device_handin(v, admin[ALICE], path, &receipt, &verdict, why));
    assert_int_equal(device_now(v).handin_size, size);
    /* A log that nobody here knows, and no log. */
    bureau_make(&p, vf_vault_id_get(v), "stranger", &stranger);
    bureau_works(&stranger, 1);
    bureau_hands_in(&stranger, file);
    assert_int_equal(vf_device_handin(v, admin[ALICE], file, &receipt, &verdict, why), VF_E_NOT_FOUND);
    bureau_done(&stranger);
    put_file(&p, "no.log", "nothing", 7);
    assert_int_not_equal(vf_device_handin(v, admin[ALICE], place_path(&p, "no.log", file), &receipt, &verdict, why), VF_OK);
    close_vault(v);
    assert_int_equal(log_counts(&p, VF_EVENT_HANDIN), 5);
}

/* ---------------------------------------------------------------------------------------------------------------- renewals */

static void renewals_need_the_log(void **state)
{
    struct vf_vault *v = open_as(&p, VF_VAULT_WRITE, ALICE);
    struct vf_issue_options opt = options("with-log");
    const struct vf_renew_options with_handin = {0};
    struct vf_verdict verdict;
    struct issued i, r;
    VF_BUF receipt = {0};
    char file[400];

    (void)state;
    vf_buf_init(&receipt, VF_NOTE_MAX);
    issue(v, ALICE, &opt, &i);
    OK(renew(v, &i, &with_handin, &r)); /* handed in a moment ago */
    issued_done(&r);
    fake_clock_pass(7 * VF_DAY_US + VF_SECOND_US);
    assert_int_equal(renew(v, &i, &with_handin, &r), VF_E_REFUSED);
    assert_non_null(strstr(why->text, "over 7 days ago"));
    issued_done(&r);
    OK(renew(v, &i, &without_handin, &r)); /* ended meanwhile, and nothing was dropped: renewed all the same */
    issued_done(&r);
    bureau_works(&b, 1);
    bureau_hands_in(&b, place_path(&p, "three.log", file));
    OK(vf_device_handin(v, admin[ALICE], file, &receipt, &verdict, why));
    OK(renew(v, &i, &with_handin, &r));
    issued_done(&r);
    /* The same file handed in again a week later says nothing of that week. */
    fake_clock_pass(7 * VF_DAY_US + VF_SECOND_US);
    OK(vf_device_handin(v, admin[ALICE], file, &receipt, &verdict, why));
    assert_int_equal(renew(v, &i, &with_handin, &r), VF_E_REFUSED);
    assert_non_null(strstr(why->text, "that bureau-7 handed in ends on"));
    issued_done(&r);
    issued_done(&i);
    close_vault(v);
}

static void same_contents(void **state)
{
    struct vf_vault *v = open_as(&p, VF_VAULT_WRITE, ALICE);
    struct vf_issue_options opt = options("again");
    struct vf_ref ref = officer(v, 2);
    struct vf_export_report sent = {0};
    struct vf_grant_share gs;
    struct vf_catalogue *before = NULL, *after = NULL;
    struct issued i, r;
    char one[400], two[400];

    (void)state;
    opt.budget = 4;
    issue(v, ALICE, &opt, &i);
    OK(try_export(v, &i, false, place_path(&p, "one.bundle", one), &sent));
    uint64_t first = sent.values;
    fake_clock_pass(VF_DAY_US);
    put_new_photo(v, &ref, 50);
    set_text(v, &ref, VF_FIELD_NAME_ON_CARD, "A new, longer name");
    OK(renew(v, &i, &without_handin, &r));
    const struct vf_grant *g = &r.f.grant;
    assert_true(g->renews);
    assert_memory_equal(&g->renewed, &i.f.grant.id, sizeof(g->renewed));
    assert_memory_not_equal(&g->id, &i.f.grant.id, sizeof(g->id));
    assert_memory_equal(&g->manifest_hash, &i.f.grant.manifest_hash, VF_HASH_LEN);
    assert_memory_not_equal(g->sealed_share, i.f.grant.sealed_share, VF_SEALED_KEY_LEN);
    assert_string_equal(g->job, "again");
    assert_string_equal(g->purpose, i.f.grant.purpose);
    assert_int_equal(g->budget, 4);
    assert_int_equal(g->from_us, g->issued_us);
    assert_false(g->clock_reset);
    /* Small enough for a Friday night. */
    assert_true(r.f.manifest_len + r.f.envelopes_len + r.f.catalogue_len < 6 * 1024);
    /* Nothing has to be sent; the old bundle and the new file are enough. */
    OK(try_export(v, &r, false, place_path(&p, "two.bundle", two), &sent));
    assert_int_equal(sent.values, 0);
    assert_int_equal(sent.already_sent, first);
    const char *paths[] = {one, two};
    bureau_reads(&b, v, &r, paths, 2);
    /* Lengths and times stay, though the record has changed. */
    OK(vf_grant_share_open(b.device, i.f.grant.sealed_share, &gs));
    OK(vf_catalogue_decode(&i.f.grant, &gs, &i.f.manifest, i.f.catalogue, i.f.catalogue_len, &before, why));
    OK(vf_grant_share_open(b.device, g->sealed_share, &gs));
    OK(vf_catalogue_decode(g, &gs, &r.f.manifest, r.f.catalogue, r.f.catalogue_len, &after, why));
    for (uint32_t k = 0; k < 6; k++) {
        assert_int_equal(vf_catalogue_changed_us(before, k), vf_catalogue_changed_us(after, k));
        for (unsigned f = 1; f < VF_FIELD_COUNT; f++) {
            assert_int_equal(vf_catalogue_len(before, k, f), vf_catalogue_len(after, k, f));
            assert_int_equal(vf_catalogue_quoted_len(before, k, f), vf_catalogue_quoted_len(after, k, f));
        }
    }
    vf_catalogue_free(before);
    vf_catalogue_free(after);
    /* A co-signer sees the same. */
    OK(vf_grant_rederive(v, &r.f, why));
    issued_done(&i);
    /* And again, from the renewal. */
    OK(renew(v, &r, &without_handin, &i));
    OK(vf_grant_rederive(v, &i.f, why));
    issued_done(&i);
    issued_done(&r);
    close_vault(v);
}

/* A text that was shorter or longer then, and a photo that was not there: measured anew. */
static void outlives_changes(void **state)
{
    struct vf_vault *v = open_as(&p, VF_VAULT_WRITE, ALICE);
    struct vf_issue_options opt = options("changes");
    struct vf_ref ref = officer(v, 1);
    const struct vf_field_value no_photo = {VF_FIELD_PHOTO, "", 0};
    struct vf_export_report sent = {0};
    struct issued i, r;
    char one[400];
    const char *paths[] = {place_path(&p, "changes.bundle", one)};

    (void)state;
    OK(vf_record_set(v, &ref, &no_photo, 1, why));
    opt.allow_incomplete = true;
    issue(v, ALICE, &opt, &i);
    OK(try_export(v, &i, true, one, &sent));
    put_new_photo(v, &ref, 51); /* then it was absent */
    set_text(v, &ref, VF_FIELD_NAME_ON_CARD, "\"Q\" \"Q\"");
    fake_clock_pass(VF_SECOND_US);
    OK(renew(v, &i, &without_handin, &r));
    assert_memory_equal(r.f.manifest_bytes, i.f.manifest_bytes, i.f.manifest_len);
    bureau_reads(&b, v, &r, paths, 1);
    OK(vf_grant_rederive(v, &r.f, why));
    issued_done(&r);
    issued_done(&i);
    close_vault(v);
}

static void refuses_renewals(void **state)
{
    struct vf_vault *v = open_as(&p, VF_VAULT_WRITE, ALICE);
    struct vf_issue_options opt = options("refused");
    struct vf_ref ref = officer(v, 0);
    struct vf_renew_options o = without_handin;
    struct vf_grant_id *live = NULL;
    size_t nlive = 0;
    struct issued i, r, other;
    VF_BUF note = {0};

    (void)state;
    issue(v, ALICE, &opt, &i);
    struct issued unknown = {.f.grant = i.f.grant};
    memcpy(unknown.f.grant.id.c, "ABCDEFGHIJKLMNOP", VF_GRANT_ID_LEN);
    assert_int_equal(renew(v, &unknown, &o, &r), VF_E_NOT_FOUND);
    issued_done(&r);
    o.until_us = vf_clock_wall_us() + 32 * VF_DAY_US;
    assert_int_equal(renew(v, &i, &o, &r), VF_E_REFUSED);
    issued_done(&r);
    o.until_us = vf_clock_wall_us() - VF_DAY_US;
    assert_int_equal(renew(v, &i, &o, &r), VF_E_INPUT);
    issued_done(&r);
    o = without_handin;
    /* A record of it became protected. */
    set_text(v, &ref, VF_FIELD_PROTECT, "RESTRICTED");
    assert_int_equal(renew(v, &i, &o, &r), VF_E_PROTECTED);
    issued_done(&r);
    o.include_protected = true;
    OK(renew(v, &i, &o, &r));
    issued_done(&r);
    set_text(v, &ref, VF_FIELD_PROTECT, "");
    o = without_handin;
    /* Its folder name went to another grant after it had ended. */
    fake_clock_pass(10 * VF_DAY_US);
    opt = options("refused");
    opt.fields = VF_FIELD_BIT(VF_FIELD_RANK);
    issue(v, ALICE, &opt, &other);
    assert_int_equal(renew(v, &i, &o, &r), VF_E_REFUSED);
    assert_non_null(strstr(why->text, "in use"));
    issued_done(&r);
    vf_buf_init(&note, 65536);
    OK(vf_grant_revoke(v, admin[ALICE], &other.f.grant.id, "done", vf_clock_wall_us(), &note, why));
    assert_int_equal(renew(v, &other, &o, &r), VF_E_REVOKED);
    issued_done(&r);
    issued_done(&other);
    OK(renew(v, &i, &o, &r));
    issued_done(&r);
    /* A record of it was erased. */
    OK(vf_record_erase(v, &ref, 1, VF_ERASE_COURT, &live, &nlive, why));
    free(live);
    assert_true(nlive > 0);
    assert_int_equal(renew(v, &i, &o, &r), VF_E_REFUSED);
    assert_non_null(strstr(why->text, "issue a new one"));
    issued_done(&r);
    issued_done(&i);
    close_vault(v);
}

/* Ended, then a change and a sweep: what the grant named is gone. */
static void refuses_what_is_gone(void **state)
{
    struct vf_vault *v = open_as(&p, VF_VAULT_WRITE, ALICE);
    struct vf_issue_options opt = options("gone");
    struct vf_ref ref = officer(v, 3);
    struct issued i, r;
    struct vf_export_report sent = {0};
    char path[400];

    (void)state;
    issue(v, ALICE, &opt, &i);
    fake_clock_pass(40 * VF_DAY_US);
    put_new_photo(v, &ref, 77); /* nothing keeps the old one */
    assert_int_equal(renew(v, &i, &without_handin, &r), VF_E_REFUSED);
    assert_non_null(strstr(why->text, "not in the vault any more"));
    issued_done(&r);
    assert_int_equal(try_export(v, &i, false, place_path(&p, "gone.bundle", path), &sent), VF_E_EXPIRED);
    issued_done(&i);
    close_vault(v);
}

/* New vault keys, and a vault from a backup: renewals go on, from the old values. */
static void after_rekey_and_restore(void **state)
{
    struct vf_vault *v = open_as(&p, VF_VAULT_WRITE, ALICE);
    struct vf_issue_options opt = options("rekey");
    struct vf_export_report sent = {0};
    struct place second = p;
    struct issued i, r;
    VF_BUF policy = {0};
    char bundle[400], backup[400];
    const char *paths[] = {place_path(&p, "rekey.bundle", bundle)};
    bool pending = true;

    (void)state;
    opt.allow_incomplete = true;
    opt.until_us = opt.now_us + 20 * VF_DAY_US;
    issue(v, ALICE, &opt, &i);
    OK(try_export(v, &i, true, bundle, &sent));
    vf_buf_init(&policy, VF_POLICY_MAX);
    OK(vf_vault_rekey(v, admin[ALICE], &policy, why));
    close_vault(v);
    OK(vf_policy_install(p.vault, policy.data, policy.len, admin[ALICE], &pending, why));
    assert_false(pending);
    v = open_as(&p, VF_VAULT_WRITE, ALICE);
    OK(vf_grant_verify(&i.f, vf_vault_policy(v), why)); /* signed under version 1, whose admins still are */
    assert_int_equal(vf_grant_rederive(v, &i.f, why), VF_E_FORGED);
    assert_non_null(strstr(why->text, "before an erase or rekey"));
    OK(renew(v, &i, &without_handin, &r));
    assert_int_equal(r.f.grant.policy_version, 2);
    bureau_reads(&b, v, &r, paths, 1);
    OK(vf_grant_rederive(v, &r.f, why));
    issued_done(&r);
    close_vault(v);
    OK(vf_vault_backup(p.vault, place_path(&p, "backup", backup), false, NULL, NULL, why));
    (void)snprintf(second.vault, sizeof(second.vault), "%s/restored", p.dir.path);
    OK(vf_vault_restore(backup, second.vault, admin[ALICE], NULL, NULL, why));
    v = open_as(&second, VF_VAULT_WRITE, ALICE);
    OK(renew(v, &i, &without_handin, &r));
    bureau_reads(&b, v, &r, paths, 1);
    issued_done(&r);
    issued_done(&i);
    close_vault(v);
}

/* -------------------------------------------------------------------------------------------------- revocations and lists */

struct listing {
    unsigned n, revoked, exported;
    struct vf_grant_id last;
    bool found_revoked;
    const struct vf_grant_id *look_for;
};

static enum vf_err list_item(void *user, const struct vf_grant_item *item, struct vf_why *w)
{
    struct listing *l = user;

    (void)w;
    if (l->n > 0 && memcmp(&l->last, &item->grant.id, sizeof(l->last)) >= 0)
        abort();
    l->last = item->grant.id;
    l->n++;
    l->revoked += item->revoked;
    l->exported += item->exported;
    if (l->look_for != NULL && memcmp(&item->grant.id, l->look_for, sizeof(*l->look_for)) == 0)
        l->found_revoked = item->revoked;
    return item->signatures == 1 && strcmp(item->device_name, "bureau-7") == 0 ? VF_OK : VF_E_SYSTEM;
}

static void revokes_and_lists(void **state)
{
    struct vf_vault *v = open_as(&p, VF_VAULT_WRITE, ALICE);
    struct vf_issue_options opt = options("revoked");
    struct vf_revocation r;
    struct listing l = {0};
    struct issued i;
    VF_BUF note = {0};
    char reason[VF_PURPOSE_MAX + 2];

    (void)state;
    vf_buf_init(&note, 65536);
    issue(v, ALICE, &opt, &i);
    (void)memset(reason, 'x', sizeof(reason));
    reason[VF_PURPOSE_MAX + 1] = '\0';
    assert_int_equal(vf_grant_revoke(v, admin[ALICE], &i.f.grant.id, reason, vf_clock_wall_us(), &note, why), VF_E_INPUT);
    assert_int_equal(vf_grant_revoke(v, admin[ALICE], &i.f.grant.id, "", vf_clock_wall_us(), &note, why), VF_E_INPUT);
    assert_int_equal(vf_grant_revoke(v, admin[CAROL], &i.f.grant.id, "x", vf_clock_wall_us(), &note, why), VF_E_REFUSED);
    assert_int_equal(note.len, 0);
    OK(vf_grant_revoke(v, admin[BOB], &i.f.grant.id, "the batch was cancelled", vf_clock_wall_us(), &note, why));
    OK(vf_revocation_parse(note.data, note.len, "x", vf_vault_policy(v), &r, why));
    assert_memory_equal(&r.grant, &i.f.grant.id, sizeof(r.grant));
    assert_string_equal(r.name, "bureau-7");
    /* The file was lost: once more. */
    vf_buf_reset(&note);
    OK(vf_grant_revoke(v, admin[BOB], &i.f.grant.id, "the batch was cancelled", vf_clock_wall_us(), &note, why));
    struct vf_export_report sent = {0};
    char path[400];
    assert_int_equal(try_export(v, &i, false, place_path(&p, "revoked.bundle", path), &sent), VF_E_REVOKED);
    close_vault(v);
    assert_int_equal(log_counts(&p, VF_EVENT_REVOKE), 3); /* one in an earlier test */
    /* Anybody may list: no key. */
    v = open_as(&p, VF_VAULT_PUBLIC, 0);
    l.look_for = &i.f.grant.id;
    OK(vf_grant_each(v, list_item, &l, why));
    assert_int_equal(l.n, count_rows(v, VF_VT_GRANT));
    assert_true(l.found_revoked);
    assert_true(l.revoked >= 2 && l.revoked < l.n);
    assert_true(l.exported >= 3);
    issued_done(&i);
    close_vault(v);
}

static void revokes_a_device(void **state)
{
    struct vf_vault *v = open_as(&p, VF_VAULT_WRITE, ALICE);
    struct vf_issue_options opt = options("device");
    struct vf_export_report sent = {0};
    struct vf_revocation r;
    struct vf_verdict verdict;
    struct listing l = {0};
    struct issued i, out;
    VF_BUF note = {0};
    VF_BUF receipt = {0};
    char path[400];

    (void)state;
    vf_buf_init(&note, 65536);
    vf_buf_init(&receipt, 65536);
    opt.allow_incomplete = true;
    issue(v, ALICE, &opt, &i);
    assert_int_equal(vf_device_revoke(v, admin[ALICE], "bureau-8", "stolen", vf_clock_wall_us(), &note, why),
                     VF_E_NOT_FOUND);
    OK(vf_device_revoke(v, admin[ALICE], "bureau-7", "stolen", vf_clock_wall_us(), &note, why));
    OK(vf_revocation_parse(note.data, note.len, "x", vf_vault_policy(v), &r, why));
    assert_true(r.is_device);
    assert_memory_equal(&r.device, &b.enrol.id, VF_HASH_LEN);
    assert_true(device_now(v).revoked);
    OK(vf_grant_each(v, list_item, &l, why));
    assert_int_equal(l.revoked, l.n); /* all of its grants */
    /* Nothing more goes to it … */
    assert_int_equal(renew(v, &i, &without_handin, &out), VF_E_REFUSED);
    issued_done(&out);
    assert_int_equal(try_export(v, &i, false, place_path(&p, "device.bundle", path), &sent), VF_E_REVOKED);
    assert_int_equal(try_sign(v, BOB, &i, &out), VF_E_REVOKED);
    issued_done(&out);
    opt.job = "more";
    assert_int_equal(try_issue(v, ALICE, &opt, &out), VF_E_REFUSED);
    assert_non_null(strstr(why->text, "revoked"));
    issued_done(&out);
    /* … but its log is wanted more than ever. */
    bureau_works(&b, 2);
    bureau_hands_in(&b, place_path(&p, "last.log", path));
    OK(vf_device_handin(v, admin[ALICE], path, &receipt, &verdict, why));
    assert_true(device_now(v).revoked);
    /* A new station of that name is another device. */
    struct bureau again;
    struct place second = p;
    (void)snprintf(second.dir.path, sizeof(second.dir.path), "%s", place_path(&p, "second", path));
    OK(vf_dir_make(second.dir.path, why));
    bureau_make(&second, vf_vault_id_get(v), "bureau-7", &again);
    opt = options_for(&again, "device", CARD);
    opt.now_us = opt.from_us = vf_clock_wall_us();
    opt.until_us = opt.now_us + VF_DAY_US;
    opt.allow_incomplete = true;
    issue(v, ALICE, &opt, &out);
    issued_done(&out);
    /* Each hands in as many entries: which root is whose the force's log does not say, and neither is held against the other's. */
    char theirs[400];
    bureau_works(&again, (unsigned)verdict.sealed - 1);
    bureau_hands_in(&again, place_path(&p, "again.log", theirs));
    (void)place_path(&p, "last.log", path);
    for (unsigned k = 0; k < 4; k++) {
        uint64_t size = verdict.sealed;
        OK(vf_device_handin(v, admin[ALICE], k % 2 == 0 ? theirs : path, &receipt, &verdict, why));
        assert_int_equal(verdict.sealed, size);
    }
    /* The name means the one that is not revoked. */
    vf_buf_reset(&note);
    OK(vf_device_revoke(v, admin[ALICE], "bureau-7", "stolen too", vf_clock_wall_us(), &note, why));
    OK(vf_revocation_parse(note.data, note.len, "x", vf_vault_policy(v), &r, why));
    assert_memory_equal(&r.device, &again.enrol.id, VF_HASH_LEN);
    bureau_done(&again);
    issued_done(&i);
    close_vault(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hands_in),
        cmocka_unit_test(renewals_need_the_log),
        cmocka_unit_test(same_contents),
        cmocka_unit_test(outlives_changes),
        cmocka_unit_test(refuses_renewals),
        cmocka_unit_test(refuses_what_is_gone),
        cmocka_unit_test(after_rekey_and_restore),
        cmocka_unit_test(revokes_and_lists),
        cmocka_unit_test(revokes_a_device),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
