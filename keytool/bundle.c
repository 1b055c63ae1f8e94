/* SPDX-License-Identifier: MIT */
#include "keytool.h"

#include <stdlib.h>
#include <string.h>

#define PASS (KT_BIT(PASSPHRASE_FILE) | KT_BIT(PASSPHRASE_COMMAND))

/* --------------------------------------------------------------------------------------------------------------- export */

static enum vf_err export_to(const struct kt_args *a, struct vf_vault *v, const struct vf_grant_file *file,
                             struct vf_newfile *out, struct vf_export_report *r, struct vf_why *why)
{
    struct kt_progress p = {.what = "Writing", .unit = "bytes"};
    enum vf_err err = vf_bundle_export(v, file, kt_has(a, KT_ALL), out->fd, kt_progress_show, &p, r, why);
    kt_progress_done(&p);
    return err ? vf_fail_prefix(why, err, "%s", out->path) : vf_newfile_commit(out, why);
}

static enum vf_err bundle_export(const struct kt_args *a, struct vf_why *why)
{
    const char *path = kt_get(a, KT_OUTPUT);
    struct vf_export_report r = {0};
    struct vf_grant_file file;
    VF_BUF bytes = {0};
    VF_IDENTITY id = NULL;
    VF_VAULT v = NULL;
    VF_NEWFILE out = {.fd = -1};

    VF_TRY(kt_grant_read(kt_get(a, KT_GRANT), &bytes, &file, why));
    VF_TRY(kt_output_open(a, path, 0644, &out, why));
    VF_TRY(kt_vault_open(a, a->argv[0], VF_VAULT_WRITE, &id, &v, why));
    enum vf_err err = export_to(a, v, &file, &out, &r, why);
    err = kt_vault_close(v, err, why);
    v = NULL;
    if (err)
        return err;
    if (kt_has(a, KT_JSON))
        return kt_print_json(json_pack("{s:s,s:I,s:I,s:I}", "file", path, "values", (json_int_t)r.values, "bytes",
                                       (json_int_t)r.bytes, "already_sent", (json_int_t)r.already_sent),
                             why);
    (void)printf("%s: %llu value%s, %.1f MB", path, (unsigned long long)r.values, kt_s(r.values), (double)r.bytes / 1e6);
    if (r.already_sent)
        (void)printf("; %llu %s sent to %s before (--all sends all again)", (unsigned long long)r.already_sent,
                     r.already_sent == 1 ? "was" : "were", file.grant.recipient);
    (void)printf("\n");
    kt_say("Send it with %s: it holds ciphertext only.", kt_get(a, KT_GRANT));
    return VF_OK;
}

/* --------------------------------------------------------------------------------------------------------------- verify */

static uint64_t values_named(const struct vf_manifest *m)
{
    uint64_t n = 0;
    for (uint32_t row = 0; row < m->nrecords; row++) {
        for (unsigned col = 0; col < m->nfields; col++) {
            struct vf_manifest_item item;
            vf_manifest_item(m, row, col, &item);
            n += item.generation != 0;
        }
    }
    return n;
}

static enum vf_err bundle_verify(const struct kt_args *a, struct vf_why *why)
{
    const char *path = a->argv[0];
    struct vf_grant_file file;
    VF_BUF bytes = {0};
    VF_FD fd = -1;
    uint64_t values = 0;

    VF_TRY(kt_grant_read(kt_get(a, KT_GRANT), &bytes, &file, why));
    VF_TRY(vf_file_open(path, &fd, NULL, why));
    VF_TRY(vf_bundle_verify(&file, fd, path, &values, why));
    uint64_t named = values_named(&file.manifest);
    if (kt_has(a, KT_JSON))
        return kt_print_json(json_pack("{s:s#,s:I,s:I}", "grant", file.grant.id.c, VF_GRANT_ID_LEN, "values",
                                       (json_int_t)values, "named_by_grant", (json_int_t)named),
                             why);
    (void)printf("%s: %llu value%s, each as grant %.16s says; the grant names %llu\n", path, (unsigned long long)values,
                 kt_s(values), file.grant.id.c, (unsigned long long)named);
    kt_say("The grant's own signatures: grant verify --policy.");
    return VF_OK;
}

/* ----------------------------------------------------------------------------------------------------------------- show */

struct counts {
    uint64_t values[VF_FIELD_COUNT], bytes[VF_FIELD_COUNT];
    uint64_t records;
    json_t *refs;
};

static enum vf_err count(struct vf_bundle_reader *reader, struct counts *c, struct vf_why *why)
{
    struct vf_bundle_value v;
    struct vf_ref last = {{0}};
    const uint8_t *data;
    enum vf_err err;
    while ((err = vf_bundle_next(reader, &v, &data, why)) == VF_OK) {
        c->values[v.field]++;
        c->bytes[v.field] += v.len;
        if (memcmp(&last, &v.ref, sizeof(last)) == 0)
            continue;
        last = v.ref;
        c->records++;
        if (c->refs)
            (void)json_array_append_new(c->refs, json_stringn(v.ref.c, VF_REF_LEN));
    }
    return err == VF_E_NOT_FOUND ? VF_OK : err; /* the end was reached, and is where it should be */
}

static enum vf_err counts_json(const struct vf_bundle_reader *reader, struct counts *c, struct vf_why *why)
{
    const struct vf_vault_id *vault = vf_bundle_vault(reader);
    json_t *fields = json_object();
    for (unsigned f = 1; f < VF_FIELD_COUNT; f++)
        if (c->values[f])
            (void)json_object_set_new(
                fields, vf_field_info(f)->name,
                json_pack("{s:I,s:I}", "values", (json_int_t)c->values[f], "bytes", (json_int_t)c->bytes[f]));
    return kt_print_json(json_pack("{s:o,s:I,s:I,s:I,s:o,s:o}", "vault", kt_json_hex(vault->b, sizeof(vault->b)), "values",
                                   (json_int_t)vf_bundle_count(reader), "bytes", (json_int_t)vf_bundle_bytes(reader),
                                   "records", (json_int_t)c->records, "fields", fields, "refs", c->refs),
                         why);
}

static enum vf_err bundle_show(const struct kt_args *a, struct vf_why *why)
{
    VF_CLEANUP(vf_bundle_cleanup) struct vf_bundle_reader *reader = NULL;
    struct counts c = {0};
    VF_FD fd = -1;

    VF_TRY(vf_file_open(a->argv[0], &fd, NULL, why));
    VF_TRY(vf_bundle_open(fd, a->argv[0], &reader, why));
    c.refs = kt_has(a, KT_JSON) ? json_array() : NULL;
    enum vf_err err = count(reader, &c, why);
    if (err) {
        json_decref(c.refs);
        return err;
    }
    if (c.refs)
        return counts_json(reader, &c, why);
    (void)printf("%s: %u value%s of %llu record%s, %.1f MB of ciphertext\n", a->argv[0], vf_bundle_count(reader),
                 kt_s(vf_bundle_count(reader)), (unsigned long long)c.records, kt_s(c.records),
                 (double)vf_bundle_bytes(reader) / 1e6);
    for (unsigned f = 1; f < VF_FIELD_COUNT; f++)
        if (c.values[f])
            (void)printf("%-16s %8llu value%-1s %14llu bytes\n", vf_field_info(f)->name, (unsigned long long)c.values[f],
                         kt_s(c.values[f]), (unsigned long long)c.bytes[f]);
    return VF_OK;
}

const struct kt_verb kt_bundle_verbs[] = {
    {"bundle", "export", "VAULT", 1, 1,
     KT_BIT(GRANT) | KT_BIT(ALL) | KT_BIT(OUTPUT) | KT_BIT(FORCE) | KT_BIT(JSON) | KT_BIT(KEY) | PASS,
     KT_BIT(GRANT) | KT_BIT(OUTPUT) | KT_BIT(KEY), true, "Write the ciphertext that a grant's device was not yet sent",
     bundle_export},
    {"bundle", "verify", "OUT.bundle", 1, 1, KT_BIT(GRANT) | KT_BIT(JSON), KT_BIT(GRANT), false,
     "Check that every value of a bundle is what a grant names", bundle_verify},
    {"bundle", "show", "FILE", 1, 1, KT_BIT(JSON), 0, false, "Show how much of what a bundle holds", bundle_show},
    {0},
};
