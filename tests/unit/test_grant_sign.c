/* SPDX-License-Identifier: MIT */
/* Two admins, two copies of the vault, and an admin who tries to have another sign something else than it seems. */
#include "grant_place.h"

#include "fakeclock.h"

#define CARD vf_field_set_card_print()

static struct place p, q; /* q: bob's copy */
static struct bureau b;

/* The second signature on the vault's own policy. */
static void rule(const struct place *where)
{
    struct vf_vault *v = open_as(where, VF_VAULT_PUBLIC, 0);
    VF_BUF out = {0};
    bool pending = true;

    vf_buf_init(&out, VF_POLICY_MAX);
    OK(vf_policy_chain_sign(vf_vault_policy(v), admin[BOB], &out, why));
    close_vault(v);
    OK(vf_policy_install(where->vault, out.data, out.len, admin[BOB], &pending, why));
    if (pending)
        abort();
}

static int set_up(void **state)
{
    if (vault_set_up(state) != 0)
        return -1;
    place_make(&p, 2, 2);
    rule(&p);
    struct vf_vault *v = open_as(&p, VF_VAULT_WRITE, ALICE);
    officers_make(&p, v, 5);
    bureau_make(&p, vf_vault_id_get(v), "bureau-7", &b);
    close_vault(v);
    q = p;
    (void)snprintf(q.vault, sizeof(q.vault), "%s/copy", p.dir.path);
    copy_folder(p.vault, q.vault);
    fake_clock_pass(60 * VF_SECOND_US);
    return 0;
}

static int tear_down(void **state)
{
    return force_and_bureau_done(state, &p, &b);
}

static struct vf_issue_options options(const char *job)
{
    struct vf_issue_options opt = options_for(&b, job, CARD);

    opt.now_us = opt.from_us = vf_clock_wall_us();
    return opt;
}

struct find {
    const struct vf_grant_id *id;
    struct vf_grant_item item;
    bool found;
};

static enum vf_err find_grant(void *user, const struct vf_grant_item *item, struct vf_why *w)
{
    struct find *f = user;

    (void)w;
    if (memcmp(&item->grant.id, f->id, sizeof(*f->id)) == 0) {
        f->item = *item;
        f->found = true;
    }
    return VF_OK;
}

static size_t signatures_in(struct vf_vault *v, const struct vf_grant_id *id)
{
    struct find f = {.id = id};

    OK(vf_grant_each(v, find_grant, &f, why));
    return f.found ? f.item.signatures : 0;
}

static void two_copies(void **state)
{
    struct vf_vault *v = open_as(&p, VF_VAULT_WRITE, ALICE);
    struct vf_issue_options opt = options("two-copies");
    struct issued a, s, again;
    struct vf_export_report sent = {0};
    char path[400];
    const char *paths[] = {place_path(&p, "two.bundle", path)};

    (void)state;
    issue(v, ALICE, &opt, &a);
    assert_int_equal(vf_grant_verify(&a.f, vf_vault_policy(v), why), VF_E_UNSIGNED);
    assert_non_null(strstr(why->text, "1 of 2 signatures"));
    assert_int_equal(signatures_in(v, &a.f.grant.id), 1);
    close_vault(v);
    /* Bob's copy has never heard of this grant. */
    struct vf_vault *bobs = open_as(&q, VF_VAULT_WRITE, BOB);
    unsigned signs = log_counts(&q, VF_EVENT_SIGN);
    OK(vf_grant_rederive(bobs, &a.f, why));
    OK(try_sign(bobs, BOB, &a, &s));
    OK(vf_grant_verify(&s.f, vf_vault_policy(bobs), why));
    assert_int_equal(signatures_in(bobs, &a.f.grant.id), 2);
    OK(try_sign(bobs, BOB, &s, &again)); /* the same again changes nothing */
    assert_int_equal(again.file.len, s.file.len);
    issued_done(&again);
    close_vault(bobs);
    assert_int_equal(log_counts(&q, VF_EVENT_SIGN), signs + 2);
    /* Back with alice: the file is what counts; her vault takes the second signature from it. */
    v = open_as(&p, VF_VAULT_WRITE, ALICE);
    OK(try_export(v, &s, false, path, &sent));
    assert_int_equal(signatures_in(v, &a.f.grant.id), 2);
    bureau_reads(&b, v, &s, paths, 1);
    close_vault(v);
    issued_done(&a);
    issued_done(&s);
}

/* ------------------------------------------------------------------------------------------------------------------ tampering */

struct parts { /* of a grant, to be changed and signed again by alice */
    struct vf_grant g;
    struct vf_grant_share gs;
    struct vf_grant_layout l;
    struct vf_buf manifest, envelopes, plain;
};

static void take_apart(const struct issued *i, struct parts *x)
{
    *x = (struct parts){.g = i->f.grant};
    OK(vf_grant_share_open(b.device, x->g.sealed_share, &x->gs));
    vf_grant_layout_of(x->g.fields, &x->l);
    vf_buf_init(&x->manifest, 1u << 24);
    vf_buf_put(&x->manifest, i->f.manifest_bytes, i->f.manifest_len);
    vf_buf_init(&x->envelopes, 1u << 24);
    vf_buf_put(&x->envelopes, i->f.envelopes, i->f.envelopes_len);
    vf_buf_init(&x->plain, 1u << 24);
    struct vf_catalogue_key ck;
    vf_kdf_catalogue_key(&x->gs, &x->g.id, &ck);
    OK(vf_catalogue_open(&ck, &x->g.vault, &x->g.id, i->f.catalogue + 24, i->f.catalogue_len - 24,
                         vf_buf_grow(&x->plain, i->f.catalogue_len - 40)));
}

static void put_part(struct vf_buf *out, const struct vf_buf *part)
{
    vf_buf_u64(out, part->len);
    vf_buf_put(out, part->data, part->len);
}

static void put_together(struct parts *x, unsigned who, struct issued *ret)
{
    struct vf_catalogue_key ck;
    VF_BUF catalogue = {0};
    VF_BUF text = {0};
    VF_BUF note = {0};

    vf_buf_init(&catalogue, 1u << 24);
    vf_buf_put(&catalogue, "VFCATAL1", 8);
    vf_buf_put(&catalogue, x->g.id.c, VF_GRANT_ID_LEN);
    vf_kdf_catalogue_key(&x->gs, &x->g.id, &ck);
    vf_catalogue_seal(&ck, &x->g.vault, &x->g.id, x->plain.data, x->plain.len,
                      vf_buf_grow(&catalogue, x->plain.len + VF_TAG_LEN));
    vf_sha256(x->manifest.data, x->manifest.len, &x->g.manifest_hash);
    vf_sha256(x->envelopes.data, x->envelopes.len, &x->g.envelopes_hash);
    vf_sha256(catalogue.data, catalogue.len, &x->g.catalogue_hash);
    vf_buf_init(&text, VF_NOTE_MAX);
    vf_grant_put(&x->g, &text);
    vf_buf_init(&note, VF_NOTE_MAX);
    OK(vf_note_sign((const char *)text.data, text.len, admin[who], &note, why));
    *ret = (struct issued){0};
    vf_buf_init(&ret->file, 1u << 26);
    vf_buf_put(&ret->file, "VFGRANT1", 8);
    vf_buf_u32(&ret->file, (uint32_t)note.len);
    vf_buf_put(&ret->file, note.data, note.len);
    put_part(&ret->file, &x->manifest);
    put_part(&ret->file, &x->envelopes);
    put_part(&ret->file, &catalogue);
    parse_issued(ret);
    vf_buf_done(&x->manifest);
    vf_buf_done(&x->envelopes);
    vf_buf_done(&x->plain);
}

/* What bob's vault says to it; the message must name `says`. */
static void bob_says(struct parts *x, unsigned who, enum vf_err want, const char *says)
{
    struct vf_vault *v = open_as(&q, VF_VAULT_WRITE, BOB);
    struct issued bad, out;
    uint64_t grants = count_rows(v, VF_VT_GRANT);

    put_together(x, who, &bad);
    enum vf_err err = try_sign(v, BOB, &bad, &out);
    if (err != want || strstr(why->text, says) == NULL)
        fail_msg("%d: %s (wanted %d: %s)", err, why->text, want, says);
    assert_int_equal(count_rows(v, VF_VT_GRANT), grants);
    issued_done(&bad);
    issued_done(&out);
    close_vault(v);
}

static uint8_t *manifest_item(struct parts *x, uint32_t row, unsigned column)
{
    return x->manifest.data + 8 + 16 + 4 + 1 + x->l.nfields + row * x->l.manifest_stride + 8 + column * 36;
}

static uint8_t *lengths(struct parts *x, uint32_t row, unsigned column)
{
    return x->plain.data + 4 + row * x->l.catalogue_stride + 16 + column * 4;
}

#define PHOTO_COLUMN 3u

/* Another photo under the officer's name: its ciphertext, the other officer's, another version, none. */
static void bend_manifest(struct parts *x, unsigned how)
{
    uint8_t swap[36];

    switch (how) {
    case 0: /* what alice would re-encrypt herself */
        manifest_item(x, 1, PHOTO_COLUMN)[10] ^= 1;
        break;
    case 1: /* two officers' photos exchanged */
        memcpy(swap, manifest_item(x, 1, PHOTO_COLUMN), 36);
        memcpy(manifest_item(x, 1, PHOTO_COLUMN), manifest_item(x, 2, PHOTO_COLUMN), 36);
        memcpy(manifest_item(x, 2, PHOTO_COLUMN), swap, 36);
        break;
    case 2:
        vf_put_be32(manifest_item(x, 1, PHOTO_COLUMN), 9);
        break;
    default:
        memset(manifest_item(x, 1, PHOTO_COLUMN), 0, 36);
        memset(lengths(x, 1, PHOTO_COLUMN), 0, 4);
        break;
    }
}

/* The envelope of the pictures holds another key, sealed as it should be. */
static void bend_envelope(struct parts *x, const struct vf_ref *ref)
{
    struct vf_field_key keys[2];
    struct vf_release_share rs;
    struct vf_envelope_key ek;
    size_t len;
    size_t at = vf_envelope_at(&x->l, 1, VF_PART_IMAGE, &len);

    vf_kdf_release_share_offline(ref, VF_PART_IMAGE, &rs);
    vf_kdf_envelope_key(&x->gs, &rs, &x->g.id, ref, VF_PART_IMAGE, &ek);
    OK(vf_envelope_open(&ek, &x->g.vault, &x->g.id, ref, VF_PART_IMAGE, x->envelopes.data + at, 2, keys));
    keys[0].b[0] ^= 1;
    vf_envelope_seal(&ek, &x->g.vault, &x->g.id, ref, VF_PART_IMAGE, keys, 2, x->envelopes.data + at);
}

/* A length, a time, a record that the vault does not have. */
static void bend_catalogue(struct parts *x, unsigned how, char *says)
{
    if (how == 5) {
        vf_put_be32(lengths(x, 1, PHOTO_COLUMN), vf_get_be32(lengths(x, 1, PHOTO_COLUMN)) - 1);
        return;
    }
    says[VF_REF_LEN] = '\0'; /* not about the photo */
    if (how == 6) {
        lengths(x, 1, 0)[-1] ^= 1;
        return;
    }
    char other = says[7] == '7' ? '6' : '7'; /* in order all the same: the refs around it begin otherwise */
    says[7] = other;
    x->manifest.data[8 + 16 + 4 + 1 + x->l.nfields + x->l.manifest_stride + 7] = (uint8_t)other;
    x->plain.data[4 + x->l.catalogue_stride + 7] = (uint8_t)other;
}

/* By alice, who has the vault and her key and no good intentions: a grant of its own each time. */
static void tampered(void **state)
{
    (void)state;
    for (unsigned how = 0; how < 8; how++) {
        struct vf_vault *v = open_as(&p, VF_VAULT_WRITE, ALICE);
        char job[32], says[64];
        struct vf_issue_options opt;
        struct vf_ref ref;
        struct issued a;
        struct parts x;

        (void)snprintf(job, sizeof(job), "tampered-%u", how);
        opt = options(job);
        issue(v, ALICE, &opt, &a);
        close_vault(v);
        assert_int_equal(a.f.manifest.fields[PHOTO_COLUMN], VF_FIELD_PHOTO);
        take_apart(&a, &x);
        vf_manifest_ref(&a.f.manifest, 1, &ref);
        (void)snprintf(says, sizeof(says), "%.8s, photo", ref.c);
        if (how < 4)
            bend_manifest(&x, how);
        else if (how == 4)
            bend_envelope(&x, &ref);
        else
            bend_catalogue(&x, how, says);
        bob_says(&x, ALICE, VF_E_FORGED, says);
        issued_done(&a);
    }
}

/* Taking apart and putting together alone changes nothing: what is refused above is refused for what was bent. */
static void not_tampered(void **state)
{
    struct vf_vault *v = open_as(&p, VF_VAULT_WRITE, ALICE);
    struct vf_issue_options opt = options("straight");
    struct issued a, same, out;
    struct parts x;

    (void)state;
    issue(v, ALICE, &opt, &a);
    close_vault(v);
    take_apart(&a, &x);
    v = open_as(&q, VF_VAULT_WRITE, BOB);
    put_together(&x, ALICE, &same);
    OK(try_sign(v, BOB, &same, &out));
    issued_done(&a);
    issued_done(&same);
    issued_done(&out);
    close_vault(v);
}

/* The signature of somebody who is no admin, of nobody but the co-signer, and a text that was changed after it was issued. */
static void who_may_sign(void **state)
{
    struct vf_vault *v = open_as(&p, VF_VAULT_WRITE, ALICE);
    struct vf_issue_options opt = options("who-may");
    struct issued a, out;
    struct parts x;

    (void)state;
    issue(v, ALICE, &opt, &a);
    assert_int_equal(try_sign(v, CAROL, &a, &out), VF_E_REFUSED);
    assert_non_null(strstr(why->text, "carol is no admin"));
    issued_done(&out);
    /* Alice's own vault knows what she issued: the same id with other words is a forgery. */
    take_apart(&a, &x);
    (void)strcpy(x.g.purpose, "Something else");
    struct issued other;
    put_together(&x, ALICE, &other);
    assert_int_equal(try_sign(v, BOB, &other, &out), VF_E_FORGED);
    assert_non_null(strstr(why->text, "another grant under the id"));
    issued_done(&other);
    issued_done(&out);
    close_vault(v);
    /* It says that alice issued it, and only carol has signed. */
    take_apart(&a, &x);
    bob_says(&x, CAROL, VF_E_UNSIGNED, "alice issued it");
    take_apart(&a, &x);
    x.g.policy_version = 2;
    bob_says(&x, ALICE, VF_E_STALE, "receive the newer policy first");
    take_apart(&a, &x);
    x.g.policy_hash.b[0] ^= 1;
    bob_says(&x, ALICE, VF_E_FORGED, "policy version 1");
    take_apart(&a, &x);
    x.g.renews = true;
    memcpy(x.g.renewed.c, "ABCDEFGHIJKLMNOP", VF_GRANT_ID_LEN);
    bob_says(&x, ALICE, VF_E_REFUSED, "ABCDEFGHIJKLMNOP, which this vault does not know");
    /* Revoked in bob's vault meanwhile. */
    v = open_as(&q, VF_VAULT_WRITE, BOB);
    OK(try_sign(v, BOB, &a, &out));
    VF_BUF revoked = {0};
    vf_buf_init(&revoked, 65536);
    OK(vf_grant_revoke(v, admin[BOB], &a.f.grant.id, "no longer needed", vf_clock_wall_us(), &revoked, why));
    struct issued third;
    assert_int_equal(try_sign(v, BOB, &a, &third), VF_E_REVOKED);
    issued_done(&third);
    issued_done(&out);
    issued_done(&a);
    close_vault(v);
}

/* A photo that was changed after the grant was issued: issue it again. One that was changed before: not the current one. */
static void outdated_photos(void **state)
{
    struct vf_vault *v = open_as(&p, VF_VAULT_WRITE, ALICE);
    struct vf_issue_options opt = options("outdated");
    struct vf_ref ref = officer(v, 3);
    struct vf_ref other = officer(v, 4);
    struct issued a, out;
    struct parts x;
    char path[400], says[64];
    size_t len;

    (void)state;
    issue(v, ALICE, &opt, &a); /* keeps the old photo in the vault */
    fake_clock_pass(10 * VF_SECOND_US);
    put_photo(&p, "photos/new.jpg", 99);
    VF_FREE char *jpeg = get_file(place_path(&p, "photos/new.jpg", path), &len);
    const struct vf_field_value photo = {VF_FIELD_PHOTO, jpeg, len};
    OK(vf_record_set(v, &ref, &photo, 1, why));
    set_text(v, &other, VF_FIELD_SURNAME, "Not-granted"); /* nobody's business */
    (void)snprintf(says, sizeof(says), "%.8s, photo", ref.c);
    assert_int_equal(try_sign(v, BOB, &a, &out), VF_E_STALE);
    assert_non_null(strstr(why->text, says));
    assert_non_null(strstr(why->text, "issue it again"));
    issued_done(&out);
    /* The same contents as if issued after the change: an older photo is passed off as the current one. */
    fake_clock_pass(10 * VF_SECOND_US);
    take_apart(&a, &x);
    x.g.issued_us = vf_clock_wall_us();
    struct issued forged;
    put_together(&x, ALICE, &forged);
    assert_int_equal(vf_grant_rederive(v, &forged.f, why), VF_E_FORGED);
    assert_non_null(strstr(why->text, says));
    issued_done(&forged);
    issued_done(&a);
    close_vault(v);
}

/* An erase changes W, and so what every later derivation gives: what was not signed yet is issued again. */
static void after_an_erase(void **state)
{
    struct vf_vault *v = open_as(&q, VF_VAULT_WRITE, BOB);
    struct vf_issue_options opt = options("erase");
    struct vf_ref ref = officer(v, 0);
    struct issued a, out;
    struct vf_grant_id *live = NULL;
    size_t nlive = 0;
    char path[400];

    (void)state;
    put_file(&p, "list.txt", "10002\n10003\n", 12);
    opt.records = (struct vf_selection){.list_path = place_path(&p, "list.txt", path)};
    issue(v, BOB, &opt, &a);
    OK(vf_grant_rederive(v, &a.f, why));
    OK(vf_record_erase(v, &ref, 1, VF_ERASE_OTHER, &live, &nlive, why));
    free(live);
    assert_int_equal(try_sign(v, ALICE, &a, &out), VF_E_FORGED);
    assert_non_null(strstr(why->text, "before an erase or rekey"));
    issued_done(&out);
    issued_done(&a);
    close_vault(v);
}

/* An admin who was removed: his signature is nobody's from then on, also on grants of before. */
static void a_removed_admin(void **state)
{
    const char *const remove[] = {"alice"};
    const struct vf_policy_change change = {.add = pub_of(CAROL), .nadd = 1, .remove = remove, .nremove = 1};
    struct vf_vault *v = open_as(&p, VF_VAULT_WRITE, ALICE);
    struct vf_issue_options opt = options("removed");
    struct vf_policy_chain chain;
    struct issued a, s;
    VF_BUF first = {0};
    VF_BUF second = {0};
    VF_BUF third = {0};

    (void)state;
    issue(v, ALICE, &opt, &a);
    OK(try_sign(v, BOB, &a, &s));
    OK(vf_grant_verify(&s.f, vf_vault_policy(v), why));
    vf_buf_init(&first, VF_POLICY_MAX);
    vf_buf_init(&second, VF_POLICY_MAX);
    vf_buf_init(&third, VF_POLICY_MAX);
    OK(vf_policy_change_make(v, &change, admin[BOB], &first, why));
    OK(vf_policy_chain_parse(first.data, first.len, "policy", &chain, why));
    OK(vf_policy_chain_sign(&chain, admin[ALICE], &second, why));
    vf_policy_chain_done(&chain);
    OK(vf_policy_chain_parse(second.data, second.len, "policy", &chain, why));
    OK(vf_policy_chain_sign(&chain, admin[CAROL], &third, why));
    vf_policy_chain_done(&chain);
    OK(vf_policy_chain_parse(third.data, third.len, "policy", &chain, why));
    assert_int_equal(chain.ruling, 2);
    assert_int_equal(vf_grant_verify(&s.f, &chain, why), VF_E_UNSIGNED);
    assert_non_null(strstr(why->text, "1 of 2"));
    struct issued c;
    OK(try_sign(NULL, CAROL, &s, &c));
    OK(vf_grant_verify(&c.f, &chain, why)); /* bob and carol: two of the newer version */
    vf_policy_chain_done(&chain);
    issued_done(&a);
    issued_done(&s);
    issued_done(&c);
    close_vault(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_copies),      cmocka_unit_test(tampered),        cmocka_unit_test(not_tampered),
        cmocka_unit_test(who_may_sign),    cmocka_unit_test(outdated_photos), cmocka_unit_test(after_an_erase),
        cmocka_unit_test(a_removed_admin),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
