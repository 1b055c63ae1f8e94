/* SPDX-License-Identifier: MIT */
/* The grant file: the note, then manifest, envelopes and catalogue, each with its length before it. */
#include "file.h"

#include <string.h>

static void put_part(struct vf_buf *out, struct vf_slice part)
{
    vf_buf_u64(out, part.len);
    vf_buf_put(out, part.data, part.len);
}

void vf_grant_file_put(struct vf_buf *out, struct vf_slice note, struct vf_slice manifest, struct vf_slice envelopes,
                       struct vf_slice catalogue)
{
    if (note.len > VF_NOTE_MAX) {
        out->bad = true;
        return;
    }
    vf_buf_put(out, VF_GRANT_MAGIC, VF_MAGIC_LEN);
    vf_buf_u32(out, (uint32_t)note.len);
    vf_buf_put(out, note.data, note.len);
    put_part(out, manifest);
    put_part(out, envelopes);
    put_part(out, catalogue);
}

/* A part behind its length. A length that does not fit in memory leaves the reader bad. */
static const uint8_t *get_part(struct vf_reader *r, size_t *ret_len)
{
    uint64_t len = vf_reader_u64(r);

    *ret_len = 0;
    if (r->bad || len > r->left) {
        r->bad = true;
        return NULL;
    }
    *ret_len = (size_t)len;
    return vf_reader_view(r, (size_t)len);
}

static enum vf_err split(const void *data, size_t len, const char *what, struct vf_grant_file *f, struct vf_why *why)
{
    struct vf_reader r = vf_reader_of(data, len);
    char magic[VF_MAGIC_LEN];

    vf_reader_copy(&r, magic, sizeof(magic));
    if (r.bad || memcmp(magic, VF_GRANT_MAGIC, VF_MAGIC_LEN) != 0)
        return vf_fail(why, VF_E_VERSION, "%s: not a grant of a version known here", what);
    f->note_len = vf_reader_u32(&r);
    if (f->note_len <= VF_NOTE_MAX)
        f->note_bytes = vf_reader_view(&r, f->note_len);
    f->manifest_bytes = get_part(&r, &f->manifest_len);
    f->envelopes = get_part(&r, &f->envelopes_len);
    f->catalogue = get_part(&r, &f->catalogue_len);
    if (f->note_bytes == NULL || !vf_reader_done(&r))
        return vf_fail(why, VF_E_FORMAT, "%s: the grant is cut short or has something after its end; fetch it again", what);
    return VF_OK;
}

static enum vf_err check_hash(const uint8_t *data, size_t len, const struct vf_hash *want, const char *what,
                              const char *part, struct vf_why *why)
{
    struct vf_hash got;

    vf_sha256(data, len, &got);
    if (memcmp(&got, want, sizeof(got)) != 0)
        return vf_fail(why, VF_E_FORGED, "%s: the %s is not the one that was signed", what, part);
    return VF_OK;
}

/* What the manifest says of itself is what the text says of it. */
static enum vf_err check_manifest(const struct vf_grant_file *f, const char *what, struct vf_why *why)
{
    const struct vf_grant *g = &f->grant;
    const struct vf_manifest *m = &f->manifest;

    if (memcmp(&m->vault, &g->vault, sizeof(m->vault)) != 0 || m->nrecords != g->records || m->set != g->fields)
        return vf_fail(why, VF_E_FORMAT, "%s: the manifest is not about the records and fields that the grant names", what);
    return VF_OK;
}

static enum vf_err check_envelopes(const struct vf_grant_file *f, const struct vf_grant_layout *l, const char *what,
                                   struct vf_why *why)
{
    uint8_t head[VF_ENVELOPES_HEAD];

    vf_envelopes_put_head(head, &f->grant.id, l, f->grant.records);
    if (f->envelopes_len != vf_envelopes_size(l, f->grant.records) || memcmp(f->envelopes, head, sizeof(head)) != 0)
        return vf_fail(why, VF_E_FORMAT, "%s: the envelopes are not those of this grant", what);
    return VF_OK;
}

static enum vf_err check_catalogue(const struct vf_grant_file *f, const struct vf_grant_layout *l, const char *what,
                                   struct vf_why *why)
{
    uint8_t head[VF_CATALOGUE_HEAD];

    vf_catalogue_put_head(head, &f->grant.id);
    if (f->catalogue_len != vf_catalogue_size(l, f->grant.records) || memcmp(f->catalogue, head, sizeof(head)) != 0)
        return vf_fail(why, VF_E_FORMAT, "%s: the catalogue is not that of this grant", what);
    return VF_OK;
}

enum vf_err vf_grant_file_parse(const void *data, size_t len, const char *what, struct vf_grant_file *ret,
                                struct vf_why *why)
{
    struct vf_grant_file f = {0};
    struct vf_grant_layout l;

    if (len > VF_GRANT_FILE_MAX)
        return vf_fail(why, VF_E_LIMIT, "%s: larger than a grant can be", what);
    VF_TRY(split(data, len, what, &f, why));
    VF_TRY(vf_fail_prefix(why, vf_note_parse(f.note_bytes, f.note_len, &f.note, why), "%s", what));
    VF_TRY(vf_grant_parse(&f.note, what, &f.grant, why));
    VF_TRY(check_hash(f.manifest_bytes, f.manifest_len, &f.grant.manifest_hash, what, "manifest", why));
    VF_TRY(check_hash(f.envelopes, f.envelopes_len, &f.grant.envelopes_hash, what, "table of envelopes", why));
    VF_TRY(check_hash(f.catalogue, f.catalogue_len, &f.grant.catalogue_hash, what, "catalogue", why));
    VF_TRY(vf_manifest_parse(f.manifest_bytes, f.manifest_len, what, &f.manifest, why));
    VF_TRY(check_manifest(&f, what, why));
    vf_grant_layout_of(f.grant.fields, &l);
    VF_TRY(check_envelopes(&f, &l, what, why));
    VF_TRY(check_catalogue(&f, &l, what, why));
    *ret = f;
    return VF_OK;
}
