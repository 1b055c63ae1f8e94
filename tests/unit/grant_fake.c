/* SPDX-License-Identifier: MIT */
#include "grant_fake.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A fixture that cannot be made leaves nothing to test. */
#define MUST(expr)                                                                    \
    do {                                                                              \
        struct vf_why must_why_ = {0};                                                \
        struct vf_why *why = &must_why_;                                              \
        (void)why;                                                                    \
        enum vf_err must_err_ = (expr);                                               \
        if (must_err_ != VF_OK) {                                                     \
            (void)fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, must_why_.text); \
            abort();                                                                  \
        }                                                                             \
    } while (0)

struct vf_identity *fake_identity(enum vf_role role, const char *name)
{
    struct vf_identity *id = NULL;

    MUST(vf_identity_new(role, name, &id, why));
    return id;
}

static void sign_by(const struct vf_buf *text, const struct vf_identity *const *signers, size_t n, struct vf_buf *out)
{
    vf_buf_init(out, VF_NOTE_MAX);
    MUST(vf_note_sign((const char *)text->data, text->len, signers[0], out, why));
    for (size_t i = 1; i < n; i++) {
        struct vf_note note;
        VF_BUF more = {0};
        vf_buf_init(&more, VF_NOTE_MAX);
        MUST(vf_note_parse(out->data, out->len, &note, why));
        MUST(vf_note_cosign(&note, signers[i], &more, why));
        vf_buf_reset(out);
        vf_buf_put(out, more.data, more.len);
    }
}

void fake_chain(struct fake_world *w, const struct vf_identity *const *admins, size_t n, unsigned threshold,
                unsigned versions, struct vf_policy_chain *ret)
{
    const struct vf_identity *const both[] = {w->alice, w->bob};
    struct vf_hash previous = {{0}};
    VF_BUF file = {0};

    vf_buf_init(&file, VF_POLICY_MAX);
    for (unsigned v = 1; v <= versions; v++) {
        struct vf_policy p = {.vault = w->vault, .version = v, .threshold = 2, .nadmins = 2, .created_us = FAKE_NOW_US};
        VF_BUF text = {0};
        VF_BUF note = {0};
        (void)snprintf(p.force_name, sizeof(p.force_name), "Exampleshire Police");
        p.admins[0] = *vf_identity_pub_get(w->alice);
        p.admins[1] = *vf_identity_pub_get(w->bob);
        if (v == versions) {
            p.threshold = threshold;
            p.nadmins = n;
            for (size_t i = 0; i < n; i++)
                p.admins[i] = *vf_identity_pub_get(admins[i]);
        }
        vf_buf_init(&text, VF_POLICY_MAX);
        vf_policy_put(&p, &previous, &text);
        vf_sha256(text.data, text.len, &previous);
        sign_by(&text, both, 2, &note);
        if (v == versions) { /* its own admins too */
            struct vf_note parsed;
            VF_BUF more = {0};
            vf_buf_init(&more, VF_NOTE_MAX);
            MUST(vf_note_parse(note.data, note.len, &parsed, why));
            MUST(vf_note_cosign(&parsed, admins[n - 1], &more, why));
            vf_buf_reset(&note);
            vf_buf_put(&note, more.data, more.len);
        }
        vf_buf_put(&file, note.data, note.len);
        vf_buf_text(&file, "\n");
    }
    MUST(vf_policy_chain_parse(file.data, file.len, "policy", ret, why));
    if (ret->ruling != versions)
        abort();
}

static void make_enrol(struct fake_world *w)
{
    char log[300];
    char seal[300];
    char origin[310];
    VF_BUF note = {0};

    scratch_path(&w->dir, "log", log, sizeof(log));
    scratch_path(&w->dir, "seal", seal, sizeof(seal));
    (void)snprintf(origin, sizeof(origin), "%s/origin", log);
    MUST(vf_log_create(log, seal, VF_LOG_STATION, w->device, NULL, NULL, why));
    MUST(vf_file_read(origin, 4096, &note, why));
    vf_buf_init(&w->enrol_bytes, VF_ENROL_MAX);
    MUST(vf_enrol_make(w->device, &w->vault, (const char *)note.data, note.len, FAKE_NOW_US, &w->enrol_bytes, why));
    MUST(vf_enrol_parse(w->enrol_bytes.data, w->enrol_bytes.len, "enrolment", &w->enrol, why));
}

void fake_world_make(struct fake_world *w, unsigned threshold)
{
    *w = (struct fake_world){0};
    MUST(vf_crypto_init(VF_ARENA_TOOL, why));
    scratch_make(&w->dir);
    w->alice = fake_identity(VF_ROLE_ADMIN, "alice");
    w->bob = fake_identity(VF_ROLE_ADMIN, "bob");
    w->carol = fake_identity(VF_ROLE_ADMIN, "carol");
    w->device = fake_identity(VF_ROLE_DEVICE, "bureau-7");
    vf_random(w->vault.b, sizeof(w->vault.b));
    const struct vf_identity *const admins[] = {w->alice, w->bob};
    fake_chain(w, admins, 2, threshold, 1, &w->chain);
    make_enrol(w);
}

void fake_world_done(struct fake_world *w)
{
    vf_identity_free(w->alice);
    vf_identity_free(w->bob);
    vf_identity_free(w->carol);
    vf_identity_free(w->device);
    vf_policy_chain_done(&w->chain);
    vf_buf_done(&w->enrol_bytes);
    scratch_remove(&w->dir);
    vf_crypto_done();
}

size_t fake_value(uint32_t i, unsigned field, uint8_t out[4096])
{
    if (vf_field_is_image(field)) {
        size_t len = 1000 + (i * 37 + field) % 3000;
        for (size_t k = 0; k < len; k++)
            out[k] = (uint8_t)(k * 7 + i + field);
        return len;
    }
    /* Of one byte, so that it fits every field. */
    out[0] = (uint8_t)('A' + (i + field) % 26);
    return 1;
}

/* Letters alone: in these the order of numbers is the order of refs. */
static void ref_of(uint32_t i, struct vf_ref *ret)
{
    uint32_t n = i * 7919 + 5;

    for (unsigned k = VF_REF_LEN; k-- > 0; n /= 26)
        ret->c[k] = (char)('A' + n % 26);
}

/* One field of one record: key, sealed value, rows. */
static void add_value(struct fake_world *w, struct fake_grant *fg, uint32_t i, unsigned column, bool absent,
                      struct vf_field_key *key, struct vf_buf *values)
{
    unsigned field = fg->layout.field[column];
    struct vf_value_id id = {.vault = w->vault, .field = (uint8_t)field, .generation = 1 + i % 3};
    uint8_t value[4096];
    struct vf_hash hash = {{0}};
    VF_BUF sealed = {0};

    ref_of(i, &id.ref);
    memset(key, 0, sizeof(*key));
    if (absent) {
        vf_manifest_put_item(&fg->manifest, 0, &hash);
        vf_buf_u32(&fg->plain, 0);
        return;
    }
    vf_random(key->b, sizeof(key->b));
    size_t len = fake_value(i, field, value);
    size_t padded = vf_field_padded(field, len);
    vf_buf_init(&sealed, padded + VF_VALUE_OVERHEAD);
    MUST(vf_value_seal(key, &id, value, len, padded, vf_buf_grow(&sealed, padded + VF_VALUE_OVERHEAD)));
    vf_sha256(sealed.data, sealed.len, &hash);
    vf_manifest_put_item(&fg->manifest, id.generation, &hash);
    if (vf_field_is_image(field)) {
        vf_buf_u32(&fg->plain, (uint32_t)len);
    } else {
        vf_buf_u16(&fg->plain, (uint16_t)len);
        vf_buf_u16(&fg->plain, (uint16_t)vf_csv_quoted_len((const char *)value, len));
    }
    vf_buf_put(&fg->bundle, id.ref.c, VF_REF_LEN);
    vf_buf_u8(&fg->bundle, id.field);
    vf_buf_u32(&fg->bundle, id.generation);
    vf_buf_u32(&fg->bundle, (uint32_t)sealed.len);
    vf_buf_put(values, sealed.data, sealed.len);
}

static void add_envelope(struct fake_grant *fg, const struct vf_ref *ref, enum vf_part part, const struct vf_field_key *keys,
                         size_t n)
{
    struct vf_release_share rs;
    struct vf_envelope_key ek;

    if (n == 0)
        return;
    vf_kdf_release_share_offline(ref, part, &rs);
    vf_kdf_envelope_key(&fg->gs, &rs, &fg->g.id, ref, part, &ek);
    vf_envelope_seal(&ek, &fg->g.vault, &fg->g.id, ref, part, keys, n,
                     vf_buf_grow(&fg->envelopes, n * VF_KEY_LEN + VF_TAG_LEN));
}

static void add_record(struct fake_world *w, struct fake_grant *fg, uint32_t i, struct vf_buf *values)
{
    struct vf_field_key keys[VF_PART_COUNT][VF_FIELD_COUNT];
    size_t n[VF_PART_COUNT] = {0};
    struct vf_ref ref;

    ref_of(i, &ref);
    vf_manifest_put_ref(&fg->manifest, &ref);
    vf_buf_put(&fg->plain, ref.c, VF_REF_LEN);
    vf_buf_u64(&fg->plain, (uint64_t)(FAKE_NOW_US / VF_SECOND_US) - i);
    for (unsigned c = 0; c < fg->layout.nfields; c++) {
        unsigned part = vf_field_part(fg->layout.field[c]);
        bool absent = part == VF_PART_IMAGE && i > 0 && i + 1 == fg->g.records;
        add_value(w, fg, i, c, absent, &keys[part][n[part]++], values);
    }
    add_envelope(fg, &ref, VF_PART_TEXT, keys[VF_PART_TEXT], n[VF_PART_TEXT]);
    add_envelope(fg, &ref, VF_PART_IMAGE, keys[VF_PART_IMAGE], n[VF_PART_IMAGE]);
}

static void fill_text(struct fake_world *w, struct vf_grant *g, vf_field_set fields, uint32_t n)
{
    const struct vf_policy *p = &w->chain.policy;
    uint8_t random[10];

    vf_random(random, sizeof(random));
    vf_grant_id_from_bytes(random, &g->id);
    g->vault = w->vault;
    (void)snprintf(g->force_name, sizeof(g->force_name), "%s", p->force_name);
    g->policy_version = p->version;
    g->policy_hash = p->text_hash;
    (void)snprintf(g->job, sizeof(g->job), "cards-2026-11");
    (void)snprintf(g->recipient, sizeof(g->recipient), "bureau-7");
    g->enrolment = w->enrol.id;
    (void)snprintf(g->purpose, sizeof(g->purpose), "Reissue of warrant cards, batch 4");
    (void)snprintf(g->issuer, sizeof(g->issuer), "alice");
    g->records = n;
    g->fields = fields;
    g->issued_us = FAKE_NOW_US;
    g->from_us = FAKE_NOW_US;
    g->until_us = FAKE_NOW_US + 7 * VF_DAY_US;
    g->release = VF_RELEASE_OFFLINE;
}

void fake_grant_make(struct fake_world *w, vf_field_set fields, uint32_t n, struct fake_grant *fg)
{
    VF_BUF values = {0};
    VF_BUF head = {0};

    *fg = (struct fake_grant){0};
    fill_text(w, &fg->g, fields, n);
    vf_grant_layout_of(fields, &fg->layout);
    vf_random(fg->gs.b, sizeof(fg->gs.b));
    vf_grant_share_seal(&fg->gs, vf_identity_pub_get(w->device), fg->g.sealed_share);
    vf_buf_init(&fg->manifest, 64u << 20);
    vf_buf_init(&fg->envelopes, 64u << 20);
    vf_buf_init(&fg->plain, 64u << 20);
    vf_buf_init(&fg->bundle, 64u << 20);
    vf_buf_init(&values, 64u << 20);
    vf_manifest_put_head(&fg->manifest, &w->vault, n, fields);
    vf_buf_put(&fg->envelopes, "VFENVEL1", 8);
    vf_buf_put(&fg->envelopes, fg->g.id.c, VF_GRANT_ID_LEN);
    vf_buf_u32(&fg->envelopes, n);
    vf_buf_u8(&fg->envelopes, (uint8_t)fg->layout.ntext);
    vf_buf_u8(&fg->envelopes, (uint8_t)fg->layout.nimage);
    vf_buf_u32(&fg->plain, n);
    for (uint32_t i = 0; i < n; i++)
        add_record(w, fg, i, &values);
    /* Head and index before the values. */
    vf_buf_init(&head, 64u << 20);
    vf_buf_put(&head, "VFBUNDL1", 8);
    vf_buf_put(&head, w->vault.b, VF_VAULT_ID_LEN);
    vf_buf_u32(&head, (uint32_t)(fg->bundle.len / 17));
    vf_buf_put(&head, fg->bundle.data, fg->bundle.len);
    vf_buf_put(&head, values.data, values.len);
    vf_buf_done(&fg->bundle);
    fg->bundle = head;
    head = (struct vf_buf){0};
}

static void put_part(struct vf_buf *out, const struct vf_buf *part)
{
    vf_buf_u64(out, part->len);
    vf_buf_put(out, part->data, part->len);
}

void fake_grant_sign(struct fake_world *w, struct fake_grant *fg, const struct vf_identity *const *signers, size_t n)
{
    VF_BUF text = {0};
    struct vf_catalogue_key ck;

    (void)w;
    vf_buf_done(&fg->catalogue);
    vf_buf_init(&fg->catalogue, 64u << 20);
    vf_buf_put(&fg->catalogue, "VFCATAL1", 8);
    vf_buf_put(&fg->catalogue, fg->g.id.c, VF_GRANT_ID_LEN);
    vf_kdf_catalogue_key(&fg->gs, &fg->g.id, &ck);
    vf_catalogue_seal(&ck, &fg->g.vault, &fg->g.id, fg->plain.data, fg->plain.len,
                      vf_buf_grow(&fg->catalogue, fg->plain.len + VF_TAG_LEN));
    vf_sha256(fg->manifest.data, fg->manifest.len, &fg->g.manifest_hash);
    vf_sha256(fg->envelopes.data, fg->envelopes.len, &fg->g.envelopes_hash);
    vf_sha256(fg->catalogue.data, fg->catalogue.len, &fg->g.catalogue_hash);
    vf_buf_init(&text, VF_NOTE_MAX);
    vf_grant_put(&fg->g, &text);
    vf_buf_done(&fg->note);
    sign_by(&text, signers, n, &fg->note);
    vf_buf_done(&fg->file);
    vf_buf_init(&fg->file, 256u << 20);
    vf_buf_put(&fg->file, "VFGRANT1", 8);
    vf_buf_u32(&fg->file, (uint32_t)fg->note.len);
    vf_buf_put(&fg->file, fg->note.data, fg->note.len);
    put_part(&fg->file, &fg->manifest);
    put_part(&fg->file, &fg->envelopes);
    put_part(&fg->file, &fg->catalogue);
    MUST(vf_buf_check(&fg->file, "file", why));
}

void fake_grant_done(struct fake_grant *fg)
{
    vf_buf_done(&fg->manifest);
    vf_buf_done(&fg->envelopes);
    vf_buf_done(&fg->plain);
    vf_buf_done(&fg->catalogue);
    vf_buf_done(&fg->note);
    vf_buf_done(&fg->file);
    vf_buf_done(&fg->bundle);
}
