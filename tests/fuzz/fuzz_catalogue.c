/* SPDX-License-Identifier: MIT */
/*
 * What is inside a catalogue: u32 fields, u8 records, u8 mask of absent images (by record), then the plaintext, which is sealed here under a
 * key that the reader has. What is taken agrees with the manifest in every row.
 */
#include "vaultfs/grant.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct vf_ref ref_of(uint32_t i)
{
    struct vf_ref ref = {"AAAAAAAA"};

    ref.c[7] = (char)('A' + i);
    return ref;
}

static void put_manifest(struct vf_buf *out, const struct vf_grant *g, const struct vf_grant_layout *l, uint8_t absent)
{
    const struct vf_hash hash = {{1}};

    vf_manifest_put_head(out, &g->vault, g->records, g->fields);
    for (uint32_t i = 0; i < g->records; i++) {
        struct vf_ref ref = ref_of(i);
        vf_manifest_put_ref(out, &ref);
        for (unsigned c = 0; c < l->nfields; c++)
            vf_manifest_put_item(out, vf_field_is_image(l->field[c]) && (absent >> i % 8 & 1) != 0 ? 0 : 1, &hash);
    }
}

static void check(const struct vf_catalogue *cat, const struct vf_grant *g, const struct vf_grant_layout *l, uint8_t absent)
{
    for (uint32_t i = 0; i < g->records; i++) {
        struct vf_ref ref = ref_of(i);
        uint32_t at;
        if (!vf_catalogue_find(cat, &ref, &at) || at != i || vf_catalogue_changed_us(cat, i) < 0)
            abort();
        for (unsigned c = 0; c < l->nfields; c++) {
            uint32_t n = vf_catalogue_len(cat, i, l->field[c]);
            if (n > vf_field_info(l->field[c])->max_bytes)
                abort();
            if (vf_field_is_image(l->field[c]) && (n == 0) != ((absent >> i % 8 & 1) != 0))
                abort();
        }
    }
}

static void decode(const struct vf_grant *g, const struct vf_grant_share *gs, uint8_t absent, const uint8_t *plain,
                   size_t len)
{
    struct vf_grant_layout l;
    struct vf_manifest m;
    struct vf_catalogue *cat = NULL;
    struct vf_catalogue_key ck;
    struct vf_why why = {0};
    VF_BUF manifest = {0};
    VF_BUF sealed = {0};

    vf_grant_layout_of(g->fields, &l);
    vf_buf_init(&manifest, 1u << 20);
    put_manifest(&manifest, g, &l, absent);
    vf_buf_init(&sealed, 1u << 20);
    vf_buf_put(&sealed, "VFCATAL1", 8);
    vf_buf_put(&sealed, g->id.c, VF_GRANT_ID_LEN);
    vf_kdf_catalogue_key(gs, &g->id, &ck);
    uint8_t *out = vf_buf_grow(&sealed, len + VF_TAG_LEN);
    if (out == NULL)
        return;
    vf_catalogue_seal(&ck, &g->vault, &g->id, plain, len, out);
    if (!vf_buf_ok(&manifest) || vf_manifest_parse(manifest.data, manifest.len, "fuzz", &m, &why) != VF_OK)
        abort();
    if (vf_catalogue_decode(g, gs, &m, sealed.data, sealed.len, &cat, &why) == VF_OK)
        check(cat, g, &l, absent);
    vf_catalogue_free(cat);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static bool ready;
    struct vf_reader in = vf_reader_of(data, len);
    struct vf_grant g = {.id = {"ABCDEFGHIJKLMNOP"}};
    const struct vf_grant_share gs = {{7}};

    if (!ready && vf_crypto_init(65536, NULL) != VF_OK)
        abort();
    ready = true;
    uint32_t wanted = vf_reader_u32(&in);
    g.records = 1 + vf_reader_u8(&in) % 24;
    uint8_t absent = vf_reader_u8(&in);
    for (unsigned f = 1; f < VF_FIELD_COUNT; f++)
        if (vf_field_info(f) != NULL)
            g.fields |= wanted & VF_FIELD_BIT(f);
    if (in.bad || g.fields == 0)
        return 0;
    decode(&g, &gs, absent, in.next, in.left);
    return 0;
}
