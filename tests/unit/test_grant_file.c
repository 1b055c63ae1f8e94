/* SPDX-License-Identifier: MIT */
/* The grant file on its way: strict parsing, signatures under a policy, what a device opens. */
#include "grant_fake.h"

#include <stdlib.h>
#include <string.h>

#include "cmocka_std.h"

#define OK(expr) assert_int_equal(expr, VF_OK)
#define RECORDS  5u

static struct fake_world w;
static struct fake_grant fg;

static int setup(void **state)
{
    (void)state;
    fake_world_make(&w, 2);
    fake_grant_make(&w, vf_field_set_card_print(), RECORDS, &fg);
    const struct vf_identity *const both[] = {w.alice, w.bob};
    fake_grant_sign(&w, &fg, both, 2);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_grant_done(&fg);
    fake_world_done(&w);
    return 0;
}

static enum vf_err parse(const struct vf_buf *file, struct vf_grant_file *ret, struct vf_why *why)
{
    return vf_grant_file_parse(file->data, file->len, "x.grant", ret, why);
}

static void parses(void **state)
{
    struct vf_grant_file f;
    struct vf_why why = {0};

    (void)state;
    OK(parse(&fg.file, &f, &why));
    assert_int_equal(f.grant.records, RECORDS);
    assert_int_equal(f.manifest.nrecords, RECORDS);
    assert_int_equal(f.manifest_len, fg.manifest.len);
    assert_memory_equal(f.manifest_bytes, fg.manifest.data, fg.manifest.len);
    assert_memory_equal(f.envelopes, fg.envelopes.data, fg.envelopes.len);
    assert_memory_equal(f.catalogue, fg.catalogue.data, fg.catalogue.len);
    OK(vf_grant_verify(&f, &w.chain, &why));
    /* Under 1 KiB a record, whatever the note takes. */
    assert_true(fg.manifest.len + fg.envelopes.len + fg.catalogue.len < RECORDS * 1024);
}

/* Every byte changed, every length cut: refused when parsed, or (in the signature lines) when verified. */
static void every_byte(void **state)
{
    VF_FREE uint8_t *copy = malloc(fg.file.len + 1);
    struct vf_grant_file f;

    (void)state;
    assert_non_null(copy);
    for (size_t i = 0; i < fg.file.len; i += test_step(11)) {
        static const uint8_t flips[] = {0x01, 0x20, 0x80};
        for (size_t k = 0; k < sizeof(flips); k++) {
            memcpy(copy, fg.file.data, fg.file.len);
            copy[i] ^= flips[k];
            enum vf_err err = vf_grant_file_parse(copy, fg.file.len, "x", &f, NULL);
            if (err == VF_OK)
                err = vf_grant_verify(&f, &w.chain, NULL);
            if (err == VF_OK)
                fail_msg("byte %zu ^ %02x was taken", i, flips[k]);
        }
    }
    for (size_t len = 0; len < fg.file.len; len += test_step(11)) {
        VF_FREE uint8_t *cut = malloc(len + 1); /* of its own, so that a sanitizer sees a read beyond it */
        memcpy(cut, fg.file.data, len);
        assert_int_not_equal(vf_grant_file_parse(cut, len, "x", &f, NULL), VF_OK);
    }
    memcpy(copy, fg.file.data, fg.file.len);
    copy[fg.file.len] = 0;
    assert_int_equal(vf_grant_file_parse(copy, fg.file.len + 1, "x", &f, NULL), VF_E_FORMAT);
}

static void names_what_is_wrong(void **state)
{
    VF_FREE uint8_t *copy = malloc(fg.file.len);
    struct vf_grant_file f;
    struct vf_why why = {0};
    size_t manifest_at = 12 + fg.note.len + 8;

    (void)state;
    memcpy(copy, fg.file.data, fg.file.len);
    copy[7] = '2';
    assert_int_equal(vf_grant_file_parse(copy, fg.file.len, "x", &f, &why), VF_E_VERSION);
    memcpy(copy, fg.file.data, fg.file.len);
    copy[manifest_at + 100] ^= 1;
    assert_int_equal(vf_grant_file_parse(copy, fg.file.len, "x", &f, &why), VF_E_FORGED);
    assert_non_null(strstr(why.text, "manifest"));
    memcpy(copy, fg.file.data, fg.file.len);
    copy[manifest_at + fg.manifest.len + 8 + 100] ^= 1;
    assert_int_equal(vf_grant_file_parse(copy, fg.file.len, "x", &f, &why), VF_E_FORGED);
    assert_non_null(strstr(why.text, "envelopes"));
    memcpy(copy, fg.file.data, fg.file.len);
    copy[fg.file.len - 1] ^= 1;
    assert_int_equal(vf_grant_file_parse(copy, fg.file.len, "x", &f, &why), VF_E_FORGED);
    assert_non_null(strstr(why.text, "catalogue"));
    assert_int_equal(vf_grant_file_parse(copy, fg.file.len - 1, "x", &f, &why), VF_E_FORMAT);
}

/* Contents that were signed and contradict the text or each other. */
static void refuses_signed_nonsense(void **state)
{
    const struct vf_identity *const both[] = {w.alice, w.bob};
    struct fake_grant bad;
    struct vf_grant_file f;

    (void)state;
    fake_grant_make(&w, vf_field_set_card_print(), 2, &bad);
    bad.g.records = 3;
    fake_grant_sign(&w, &bad, both, 2);
    assert_int_equal(parse(&bad.file, &f, NULL), VF_E_FORMAT);
    bad.g.records = 2;
    bad.g.fields ^= VF_FIELD_BIT(VF_FIELD_RANK);
    fake_grant_sign(&w, &bad, both, 2);
    assert_int_equal(parse(&bad.file, &f, NULL), VF_E_FORMAT);
    bad.g.fields ^= VF_FIELD_BIT(VF_FIELD_RANK);
    bad.g.vault.b[3] ^= 1;
    fake_grant_sign(&w, &bad, both, 2);
    assert_int_equal(parse(&bad.file, &f, NULL), VF_E_FORMAT);
    bad.g.vault.b[3] ^= 1;
    bad.g.id.c[0] = bad.g.id.c[0] == 'A' ? 'B' : 'A'; /* of another grant */
    fake_grant_sign(&w, &bad, both, 2);
    assert_int_equal(parse(&bad.file, &f, NULL), VF_E_FORMAT);
    fake_grant_done(&bad);
    fake_grant_make(&w, vf_field_set_card_print(), 2, &bad);
    bad.envelopes.len -= 1;
    fake_grant_sign(&w, &bad, both, 2);
    assert_int_equal(parse(&bad.file, &f, NULL), VF_E_FORMAT);
    bad.envelopes.len += 1;
    bad.plain.len -= 4;
    fake_grant_sign(&w, &bad, both, 2);
    assert_int_equal(parse(&bad.file, &f, NULL), VF_E_FORMAT);
    fake_grant_done(&bad);
}

static enum vf_err verify_signed(const struct vf_identity *const *signers, size_t n, const struct vf_policy_chain *chain,
                                 struct vf_why *why)
{
    struct vf_grant_file f;

    fake_grant_sign(&w, &fg, signers, n);
    OK(parse(&fg.file, &f, NULL));
    return vf_grant_verify(&f, chain, why);
}

static void counts_signatures(void **state)
{
    const struct vf_identity *const alice[] = {w.alice};
    const struct vf_identity *const twice[] = {w.alice, w.alice};
    const struct vf_identity *const stranger[] = {w.alice, w.carol};
    const struct vf_identity *const three[] = {w.carol, w.bob, w.alice};
    const struct vf_identity *const both[] = {w.alice, w.bob};
    struct vf_why why = {0};

    (void)state;
    assert_int_equal(verify_signed(alice, 1, &w.chain, &why), VF_E_UNSIGNED);
    assert_non_null(strstr(why.text, "1 of 2 signatures"));
    assert_non_null(strstr(why.text, "bob"));
    assert_int_equal(verify_signed(twice, 2, &w.chain, &why), VF_E_UNSIGNED);
    assert_int_equal(verify_signed(stranger, 2, &w.chain, &why), VF_E_UNSIGNED);
    OK(verify_signed(three, 3, &w.chain, &why));
    OK(verify_signed(both, 2, &w.chain, &why));
}

/* The same key under two lines, and another admin's name over one's own key. */
static void same_key_twice(void **state)
{
    const struct vf_identity *const alice[] = {w.alice};
    const struct vf_identity *const both[] = {w.alice, w.bob};
    struct vf_grant_file f;

    (void)state;
    fake_grant_sign(&w, &fg, alice, 1);
    size_t line = fg.note.len;
    while (line > 0 && memcmp(fg.note.data + line - 1, "\xe2\x80\x94", 3) != 0)
        line--;
    line--;
    VF_BUF file = {0};
    vf_buf_init(&file, 64u << 20);
    vf_buf_put(&file, "VFGRANT1", 8);
    vf_buf_u32(&file, (uint32_t)(fg.note.len + fg.note.len - line));
    vf_buf_put(&file, fg.note.data, fg.note.len);
    vf_buf_put(&file, fg.note.data + line, fg.note.len - line);
    vf_buf_put(&file, fg.file.data + 12 + fg.note.len, fg.file.len - 12 - fg.note.len);
    enum vf_err err = parse(&file, &f, NULL);
    if (err == VF_OK)
        err = vf_grant_verify(&f, &w.chain, NULL);
    assert_true(err == VF_E_UNSIGNED || err == VF_E_FORMAT);
    fake_grant_sign(&w, &fg, both, 2);
}

static void under_newer_policies(void **state)
{
    const struct vf_identity *const both[] = {w.alice, w.bob};
    const struct vf_identity *const without_alice[] = {w.bob, w.carol};
    struct vf_policy_chain newer;
    struct vf_why why = {0};

    (void)state;
    /* Version 2 has the same admins: the grant under version 1 goes on. */
    fake_chain(&w, both, 2, 2, 2, &newer);
    OK(verify_signed(both, 2, &newer, &why));
    /* Of a fork of the policy it would not be. */
    fg.g.policy_hash.b[0] ^= 1;
    assert_int_equal(verify_signed(both, 2, &newer, &why), VF_E_FORGED);
    assert_non_null(strstr(why.text, "policy version 1"));
    fg.g.policy_hash.b[0] ^= 1;
    /* A removed admin's signature is nobody's. */
    struct vf_policy_chain third;
    fake_chain(&w, without_alice, 2, 2, 2, &third);
    assert_int_equal(verify_signed(both, 2, &third, &why), VF_E_UNSIGNED);
    OK(verify_signed(without_alice, 2, &third, &why));
    /* A version that this reader does not have yet. */
    fg.g.policy_version = 4;
    assert_int_equal(verify_signed(both, 2, &third, &why), VF_E_STALE);
    assert_non_null(strstr(why.text, "version 4"));
    assert_non_null(strstr(why.text, "receive the newer policy first"));
    fg.g.policy_version = 1;
    vf_policy_chain_done(&newer);
    vf_policy_chain_done(&third);
    OK(verify_signed(both, 2, &w.chain, &why));
}

static void another_force(void **state)
{
    struct fake_world other = w;
    struct vf_policy_chain chain;
    struct vf_grant_file f;
    const struct vf_identity *const both[] = {w.alice, w.bob};

    (void)state;
    other.vault.b[0] ^= 1;
    fake_chain(&other, both, 2, 2, 1, &chain);
    OK(parse(&fg.file, &f, NULL));
    assert_int_equal(vf_grant_verify(&f, &chain, NULL), VF_E_REFUSED);
    vf_policy_chain_done(&chain);
}

/* --------------------------------------------------------------------------------------------------------- what a device opens */

static void opens_every_value(void **state)
{
    struct vf_grant_file f;
    struct vf_grant_share gs;
    struct vf_grant_layout l;
    struct vf_catalogue *cat = NULL;
    struct vf_bundle_reader *r = NULL;
    struct vf_bundle_value v;
    const uint8_t *data;
    struct vf_why why = {0};
    char path[300];
    unsigned values = 0;

    (void)state;
    OK(parse(&fg.file, &f, NULL));
    OK(vf_grant_share_open(w.device, f.grant.sealed_share, &gs));
    vf_grant_layout_of(f.grant.fields, &l);
    OK(vf_catalogue_decode(&f.grant, &gs, &f.manifest, f.catalogue, f.catalogue_len, &cat, &why));
    assert_int_equal(vf_catalogue_count(cat), RECORDS);
    OK(vf_file_write(scratch_path(&w.dir, "b", path, sizeof(path)), fg.bundle.data, fg.bundle.len, 0600, true, &why));
    int fd = -1;
    OK(vf_file_open(path, &fd, NULL, &why));
    OK(vf_bundle_open(fd, "b", &r, &why));
    while (vf_bundle_next(r, &v, &data, &why) == VF_OK) {
        struct vf_field_key keys[VF_FIELD_COUNT];
        struct vf_release_share rs;
        uint8_t want[4096];
        uint8_t scratch[16384];
        const uint8_t *plain;
        size_t len;
        size_t env_len;
        uint32_t i;
        enum vf_part part = vf_field_is_image(v.field) ? VF_PART_IMAGE : VF_PART_TEXT;
        unsigned k = 0;

        assert_true(vf_manifest_find(&f.manifest, &v.ref, &i));
        assert_int_equal(vf_ref_cmp(vf_catalogue_ref(cat, i), &v.ref), 0);
        vf_kdf_release_share_offline(&v.ref, part, &rs);
        OK(vf_grant_open_keys(&f.grant, &l, &gs, &rs, &v.ref, part, f.envelopes + vf_envelope_at(&l, i, part, &env_len),
                              keys));
        while ((part == VF_PART_TEXT ? l.text_field : l.image_field)[k] != v.field)
            k++;
        const struct vf_value_id id = {.vault = f.grant.vault, .ref = v.ref, .field = v.field, .generation = v.generation};
        OK(vf_value_open(&keys[k], &id, data, v.len, scratch, sizeof(scratch), &plain, &len));
        assert_int_equal(len, fake_value(i, v.field, want));
        assert_memory_equal(plain, want, len);
        assert_int_equal(vf_catalogue_len(cat, i, v.field), len);
        /* Another generation, record or field does not open. */
        struct vf_value_id other = id;
        other.generation++;
        assert_int_equal(vf_value_open(&keys[k], &other, data, v.len, scratch, sizeof(scratch), &plain, &len), VF_E_DAMAGED);
        values++;
    }
    assert_int_equal(values, vf_bundle_count(r));
    assert_int_equal(values, RECORDS * 10 - 2); /* the last has no images */
    vf_bundle_close(r);
    vf_fd_close(&fd);
    vf_catalogue_free(cat);
}

static void envelopes_are_of_their_place(void **state)
{
    struct vf_grant_file f;
    struct vf_field_key keys[VF_FIELD_COUNT];
    struct vf_release_share rs;
    struct vf_ref a;
    struct vf_ref b;
    size_t len;

    (void)state;
    OK(parse(&fg.file, &f, NULL));
    vf_manifest_ref(&f.manifest, 0, &a);
    vf_manifest_ref(&f.manifest, 1, &b);
    const uint8_t *env = f.envelopes + vf_envelope_at(&fg.layout, 0, VF_PART_TEXT, &len);
    vf_kdf_release_share_offline(&a, VF_PART_TEXT, &rs);
    OK(vf_grant_open_keys(&f.grant, &fg.layout, &fg.gs, &rs, &a, VF_PART_TEXT, env, keys));
    /* Moved to another record, part or grant; another share. */
    assert_int_equal(vf_grant_open_keys(&f.grant, &fg.layout, &fg.gs, &rs, &b, VF_PART_TEXT, env, keys), VF_E_DAMAGED);
    assert_int_equal(vf_grant_open_keys(&f.grant, &fg.layout, &fg.gs, &rs, &a, VF_PART_IMAGE, env, keys), VF_E_DAMAGED);
    struct vf_grant other = f.grant;
    other.id.c[0] = other.id.c[0] == 'A' ? 'B' : 'A';
    assert_int_equal(vf_grant_open_keys(&other, &fg.layout, &fg.gs, &rs, &a, VF_PART_TEXT, env, keys), VF_E_DAMAGED);
    struct vf_release_share no = rs;
    no.b[5] ^= 1;
    assert_int_equal(vf_grant_open_keys(&f.grant, &fg.layout, &fg.gs, &no, &a, VF_PART_TEXT, env, keys), VF_E_DAMAGED);
    struct vf_grant_share gs = fg.gs;
    gs.b[31] ^= 1;
    assert_int_equal(vf_grant_open_keys(&f.grant, &fg.layout, &gs, &rs, &a, VF_PART_TEXT, env, keys), VF_E_DAMAGED);
    VF_FREE uint8_t *bent = malloc(len);
    for (size_t i = 0; i < len; i++) {
        memcpy(bent, env, len);
        bent[i] ^= 1;
        assert_int_equal(vf_grant_open_keys(&f.grant, &fg.layout, &fg.gs, &rs, &a, VF_PART_TEXT, bent, keys), VF_E_DAMAGED);
    }
    /* Only the device opens the share. */
    assert_int_not_equal(vf_grant_share_open(w.alice, f.grant.sealed_share, &gs), VF_OK);
    /* A part that is not granted has no keys. */
    struct vf_grant_layout none;
    vf_grant_layout_of(VF_FIELD_BIT(VF_FIELD_RANK), &none);
    assert_int_equal(vf_grant_open_keys(&f.grant, &none, &fg.gs, &rs, &a, VF_PART_IMAGE, env, keys), VF_E_DAMAGED);
}

/* ---------------------------------------------------------------------------------------------------------------- catalogues */

static void reads_the_catalogue(void **state)
{
    struct vf_grant_file f;
    struct vf_catalogue *cat = NULL;
    uint8_t value[4096];
    uint32_t at;

    (void)state;
    OK(parse(&fg.file, &f, NULL));
    OK(vf_catalogue_decode(&f.grant, &fg.gs, &f.manifest, f.catalogue, f.catalogue_len, &cat, NULL));
    for (uint32_t i = 0; i < RECORDS; i++) {
        assert_int_equal(vf_catalogue_changed_us(cat, i), FAKE_NOW_US - (int64_t)i * VF_SECOND_US);
        assert_true(vf_catalogue_find(cat, vf_catalogue_ref(cat, i), &at));
        assert_int_equal(at, i);
        assert_int_equal(vf_catalogue_len(cat, i, VF_FIELD_RANK), 1);
        assert_int_equal(vf_catalogue_quoted_len(cat, i, VF_FIELD_RANK), 3);
        assert_int_equal(vf_catalogue_len(cat, i, VF_FIELD_PHOTO),
                         i + 1 < RECORDS ? fake_value(i, VF_FIELD_PHOTO, value) : 0);
        assert_int_equal(vf_catalogue_quoted_len(cat, i, VF_FIELD_PHOTO), 0);
        assert_int_equal(vf_catalogue_len(cat, i, VF_FIELD_SURNAME), 0); /* not granted */
        assert_int_equal(vf_catalogue_len(cat, i, 99), 0);
    }
    assert_false(vf_catalogue_find(cat, &(struct vf_ref){"ZZZZZZZZ"}, &at));
    assert_false(vf_catalogue_find(cat, &(struct vf_ref){"22222222"}, &at));
    vf_catalogue_free(cat);
    vf_catalogue_free(NULL);
}

/* `len` bytes at `at` of the plaintext replaced, sealed and signed anew. */
static enum vf_err lie(size_t at, const void *bytes, size_t len)
{
    const struct vf_identity *const both[] = {w.alice, w.bob};
    struct vf_catalogue *cat = NULL;
    struct vf_grant_file f;
    uint8_t keep[64];

    memcpy(keep, fg.plain.data + at, len);
    memcpy(fg.plain.data + at, bytes, len);
    fake_grant_sign(&w, &fg, both, 2);
    OK(parse(&fg.file, &f, NULL));
    OK(vf_grant_verify(&f, &w.chain, NULL));
    enum vf_err err = vf_catalogue_decode(&f.grant, &fg.gs, &f.manifest, f.catalogue, f.catalogue_len, &cat, NULL);
    vf_catalogue_free(cat);
    memcpy(fg.plain.data + at, keep, len);
    fake_grant_sign(&w, &fg, both, 2);
    return err;
}

/* Signed by k admins, and yet: what contradicts the manifest or what a field can be is refused. */
static void catalogue_lies(void **state)
{
    size_t stride = fg.layout.catalogue_stride;
    size_t row = 4 + stride;
    size_t rank = row + 16 + 1 * 4; /* second field */
    size_t photo = row + 16 + 3 * 4;

    (void)state;
    assert_int_equal(fg.layout.field[3], VF_FIELD_PHOTO);
    assert_int_equal(lie(0, "\0\0\0\4", 4), VF_E_FORMAT);                               /* another number of records */
    assert_int_equal(lie(row, "ABCDEFGH", 8), VF_E_FORMAT);                             /* another record */
    assert_int_equal(lie(row + 8, "\xff\xff\xff\xff\xff\xff\xff\xff", 8), VF_E_FORMAT); /* before 1970, or after 9999 */
    assert_int_equal(lie(rank, "\xff\xff", 2), VF_E_FORMAT);                            /* longer than a rank can be */
    assert_int_equal(lie(rank + 2, "\0\1", 2), VF_E_FORMAT);    /* shorter with its quotes than without */
    assert_int_equal(lie(rank + 2, "\0\5", 2), VF_E_FORMAT);    /* more than doubled */
    assert_int_equal(lie(photo, "\0\0\0\0", 4), VF_E_FORMAT);   /* absent, while the manifest has it */
    assert_int_equal(lie(photo, "\0\x10\0\1", 4), VF_E_FORMAT); /* over 1 MiB */
    assert_int_equal(lie(photo + (RECORDS - 2) * stride, "\0\0\0\1", 4),
                     VF_E_FORMAT);   /* there, while the manifest has none */
    OK(lie(photo, "\0\x10\0\0", 4)); /* plausible: found out when the photo is opened */
}

static void catalogue_of_others(void **state)
{
    struct vf_catalogue *cat = NULL;
    struct vf_grant_file f;
    struct vf_grant_share gs = fg.gs;
    VF_FREE uint8_t *bent = malloc(fg.catalogue.len);

    (void)state;
    OK(parse(&fg.file, &f, NULL));
    gs.b[0] ^= 1;
    assert_int_equal(vf_catalogue_decode(&f.grant, &gs, &f.manifest, f.catalogue, f.catalogue_len, &cat, NULL),
                     VF_E_DAMAGED);
    assert_int_equal(vf_catalogue_decode(&f.grant, &fg.gs, &f.manifest, f.catalogue, f.catalogue_len - 1, &cat, NULL),
                     VF_E_FORMAT);
    for (size_t i = 0; i < fg.catalogue.len; i += test_step(7)) {
        memcpy(bent, fg.catalogue.data, fg.catalogue.len);
        bent[i] ^= 0x10;
        assert_int_not_equal(vf_catalogue_decode(&f.grant, &fg.gs, &f.manifest, bent, fg.catalogue.len, &cat, NULL), VF_OK);
    }
    struct vf_grant other = f.grant;
    other.records--;
    assert_int_equal(vf_catalogue_decode(&other, &fg.gs, &f.manifest, f.catalogue, f.catalogue_len, &cat, NULL),
                     VF_E_FORMAT);
    assert_null(cat);
}

/* ------------------------------------------------------------------------------------------------------------------ merging */

static void merges(void **state)
{
    const struct vf_identity *const alice[] = {w.alice};
    const struct vf_identity *const bob[] = {w.bob};
    const struct vf_identity *const both[] = {w.alice, w.bob};
    struct vf_grant_file a;
    struct vf_grant_file b;
    struct vf_grant_file m;
    VF_BUF first = {0};
    VF_BUF second = {0};
    VF_BUF merged = {0};

    (void)state;
    fake_grant_sign(&w, &fg, alice, 1);
    vf_buf_init(&first, 64u << 20);
    vf_buf_put(&first, fg.file.data, fg.file.len);
    fake_grant_sign(&w, &fg, bob, 1);
    vf_buf_init(&second, 64u << 20);
    vf_buf_put(&second, fg.file.data, fg.file.len);
    OK(parse(&first, &a, NULL));
    OK(parse(&second, &b, NULL));
    assert_int_equal(vf_grant_verify(&a, &w.chain, NULL), VF_E_UNSIGNED);
    assert_int_equal(vf_grant_verify(&b, &w.chain, NULL), VF_E_UNSIGNED);
    vf_buf_init(&merged, 64u << 20);
    OK(vf_grant_merge(&a, &b, &merged, NULL));
    OK(parse(&merged, &m, NULL));
    OK(vf_grant_verify(&m, &w.chain, NULL));
    /* Two grants are not one. */
    fg.g.budget = 7;
    fake_grant_sign(&w, &fg, both, 2);
    OK(parse(&fg.file, &b, NULL));
    vf_buf_reset(&merged);
    assert_int_equal(vf_grant_merge(&a, &b, &merged, NULL), VF_E_FORGED);
    fg.g.budget = 0;
    fake_grant_sign(&w, &fg, both, 2);
}

static void signs_without_a_vault(void **state)
{
    const struct vf_identity *const alice[] = {w.alice};
    const struct vf_identity *const both[] = {w.alice, w.bob};
    struct vf_grant_file f;
    struct vf_grant_file s;
    struct vf_why why = {0};
    VF_BUF out = {0};

    (void)state;
    fake_grant_sign(&w, &fg, alice, 1);
    OK(parse(&fg.file, &f, NULL));
    vf_buf_init(&out, 64u << 20);
    OK(vf_grant_sign(&f, w.bob, NULL, &out, &why));
    OK(parse(&out, &s, NULL));
    OK(vf_grant_verify(&s, &w.chain, NULL));
    /* The same key once more adds nothing. */
    vf_buf_reset(&out);
    OK(vf_grant_sign(&f, w.alice, NULL, &out, &why));
    assert_int_equal(out.len, fg.file.len);
    vf_buf_reset(&out);
    assert_int_equal(vf_grant_sign(&f, w.device, NULL, &out, &why), VF_E_REFUSED);
    assert_int_equal(out.len, 0);
    fake_grant_sign(&w, &fg, both, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses),
        cmocka_unit_test(every_byte),
        cmocka_unit_test(names_what_is_wrong),
        cmocka_unit_test(refuses_signed_nonsense),
        cmocka_unit_test(counts_signatures),
        cmocka_unit_test(same_key_twice),
        cmocka_unit_test(under_newer_policies),
        cmocka_unit_test(another_force),
        cmocka_unit_test(opens_every_value),
        cmocka_unit_test(envelopes_are_of_their_place),
        cmocka_unit_test(reads_the_catalogue),
        cmocka_unit_test(catalogue_lies),
        cmocka_unit_test(catalogue_of_others),
        cmocka_unit_test(merges),
        cmocka_unit_test(signs_without_a_vault),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
