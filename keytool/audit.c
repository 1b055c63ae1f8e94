/* SPDX-License-Identifier: MIT */
#include "audit.h"
#include "audit_exposure.h"
#include "audit_report.h"

#include <stdlib.h>
#include <string.h>

void kt_against_done(struct kt_against *g)
{
    for (size_t i = 0; g->bytes && i < g->n; i++)
        vf_buf_done(&g->bytes[i]);
    free(g->bytes);
    free(g->notes);
    free(g->keys);
    enum vf_err ignored = vf_vault_close(g->vault, NULL);
    (void)ignored;
}

/* ----------------------------------------------------------------------------------------------------------- arguments */

static enum vf_err one_key(struct kt_against *g, const struct vf_enrol *e, struct vf_why *why)
{
    struct vf_note_key *key = calloc(1, sizeof(*key));
    if (!key)
        return vf_fail(why, VF_E_NOMEM, "out of memory");
    vf_note_key_of(&e->device, key);
    free(g->keys);
    g->keys = key;
    g->nkeys = 1;
    g->log_id = e->log_id;
    g->has_id = true;
    return VF_OK;
}

static enum vf_err take_enrol(struct kt_against *g, const char *path, struct vf_why *why)
{
    struct vf_enrol e;
    VF_BUF bytes = {0};
    VF_TRY(vf_file_read(path, VF_ENROL_MAX, &bytes, why));
    VF_TRY(vf_enrol_parse(bytes.data, bytes.len, path, &e, why));
    return one_key(g, &e, why);
}

static enum vf_err take_vault(struct kt_against *g, const char *path, struct vf_why *why)
{
    VF_TRY(vf_vault_open(path, VF_VAULT_PUBLIC, NULL, &g->vault, why));
    return vf_policy_chain_signers(vf_vault_policy(g->vault), &g->keys, &g->nkeys, why);
}

static enum vf_err take_checkpoints(struct kt_against *g, const struct kt_value *given, struct vf_why *why)
{
    if (given->n == 0)
        return VF_OK;
    g->bytes = calloc(given->n, sizeof(*g->bytes));
    g->notes = calloc(given->n, sizeof(*g->notes));
    if (!g->bytes || !g->notes)
        return vf_fail(why, VF_E_NOMEM, "out of memory");
    g->n = given->n;
    for (size_t i = 0; i < given->n; i++) {
        struct vf_checkpoint cp;
        VF_TRY(vf_file_read(given->v[i], VF_NOTE_MAX, &g->bytes[i], why));
        enum vf_err err = vf_note_parse(g->bytes[i].data, g->bytes[i].len, &g->notes[i], why);
        if (!err)
            err = vf_checkpoint_parse(&g->notes[i], &cp, why);
        if (err)
            return vf_fail_prefix(why, err, "%s", given->v[i]);
    }
    return VF_OK;
}

struct by_log {
    struct kt_against *g;
    const struct vf_hash *id;
    bool found;
};

static enum vf_err find_device(void *user, const struct vf_device_item *item, struct vf_why *why)
{
    struct by_log *b = user;
    if (memcmp(&item->enrol.log_id, b->id, VF_HASH_LEN) != 0)
        return VF_OK;
    b->found = true;
    return one_key(b->g, &item->enrol, why);
}

/* A key desk's log beside the vault: a desk that some policy of the force names has begun it. */
static enum vf_err take_desks(struct kt_against *g, const char *log, struct vf_why *why)
{
    free(g->keys);
    g->keys = NULL;
    g->nkeys = 0;
    VF_TRY(vf_policy_chain_desks(vf_vault_policy(g->vault), &g->keys, &g->nkeys, why));
    if (g->nkeys == 0)
        return vf_fail(why, VF_E_INPUT, "%s: the log of a key desk, and no policy of this vault ever named one", log);
    return VF_OK;
}

/* A device's log beside the vault that knows the device: its enrolment is the one to go by. */
static enum vf_err take_device(struct kt_against *g, const char *log, struct vf_why *why)
{
    VF_CLEANUP(vf_log_peek_done) struct vf_log_peek peek = {0};
    struct by_log b = {.g = g, .id = &peek.id};
    /* A log that cannot even be looked at is the verification's to judge. */
    if (vf_log_peek(log, &peek, NULL))
        return VF_OK;
    if (peek.origin.kind == VF_LOG_DESK)
        return take_desks(g, log, why);
    if (peek.origin.kind != VF_LOG_STATION)
        return VF_OK;
    return vf_device_each(g->vault, find_device, &b, why);
}

enum vf_err kt_against_take(const struct kt_args *a, const char *log, struct kt_against *g, struct vf_why *why)
{
    if (kt_has(a, KT_ENROL) && kt_has(a, KT_VAULT))
        return kt_usage(why, "choose one of --enrol and --vault");
    if (kt_has(a, KT_ENROL))
        VF_TRY(take_enrol(g, kt_get(a, KT_ENROL), why));
    if (kt_has(a, KT_VAULT)) {
        VF_TRY(take_vault(g, kt_get(a, KT_VAULT), why));
        VF_TRY(take_device(g, log, why));
    }
    return take_checkpoints(g, &a->opt[KT_CHECKPOINT], why);
}

/* -------------------------------------------------------------------------------------------------------------- verdict */

struct vf_verify_options kt_against_options(const struct kt_against *g)
{
    return (struct vf_verify_options){.signers = g->nkeys ? g->keys : NULL,
                                      .nsigners = g->nkeys,
                                      .log_id = g->has_id ? &g->log_id : NULL,
                                      .checkpoints = g->notes,
                                      .ncheckpoints = g->n};
}

static enum vf_err verify(const char *path, const struct kt_against *g, struct vf_verdict *ret, struct vf_why *why)
{
    struct kt_progress p = {.what = "Verifying", .unit = "bytes"};
    struct vf_verify_options opt = kt_against_options(g);
    opt.progress = kt_progress_show;
    opt.user = &p;
    enum vf_err err = vf_log_verify(path, &opt, ret, why);
    kt_progress_done(&p);
    return err;
}

const char *kt_log_kind_text(enum vf_log_kind kind)
{
    return kind == VF_LOG_VAULT ? "vault" : kind == VF_LOG_DESK ? "desk" : "station";
}

json_t *kt_verdict_json(const struct vf_verdict *d)
{
    char id[2 * VF_HASH_LEN + 1];
    json_t *findings = json_array(), *notes = json_array();
    vf_hex(d->id.b, VF_HASH_LEN, id);
    for (size_t i = 0; i < d->nfindings; i++)
        (void)json_array_append_new(findings, json_string(d->findings[i]));
    for (size_t i = 0; i < d->nnotes; i++)
        (void)json_array_append_new(notes, json_string(d->notes[i]));
    json_t *doc =
        json_pack("{s:b,s:s,s:s,s:s,s:b,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "good", (int)d->good, "kind",
                  kt_log_kind_text(d->origin.kind), "owner", d->origin.owner, "log_id", id, "origin_checked",
                  (int)d->origin_checked, "entries", (json_int_t)d->entries, "sealed", (json_int_t)d->sealed, "checkpoints",
                  (json_int_t)d->checkpoints, "recoveries", (json_int_t)d->recoveries, "gaps", (json_int_t)d->gaps, "lost",
                  (json_int_t)d->lost, "clock_steps", (json_int_t)d->clock_steps, "torn_bytes", (json_int_t)d->torn_bytes);
    (void)json_object_set_new(doc, "first", d->entries ? kt_json_time(d->first_us) : json_null());
    (void)json_object_set_new(doc, "last", d->entries ? kt_json_time(d->last_us) : json_null());
    (void)json_object_set_new(doc, "sealed_until", d->sealed ? kt_json_time(d->sealed_until_us) : json_null());
    (void)json_object_set_new(doc, "findings", findings);
    (void)json_object_set_new(doc, "notes", notes);
    return doc;
}

static void print_verdict(const struct vf_verdict *d, const struct kt_against *g)
{
    char first[64], last[64], sealed[64];
    vf_time_format_person(d->first_us, first, sizeof(first));
    vf_time_format_person(d->last_us, last, sizeof(last));
    vf_time_format_person(d->sealed_until_us, sealed, sizeof(sealed));
    (void)printf("log          of the %s %s\n", kt_log_kind_text(d->origin.kind),
                 d->origin.owner[0] ? d->origin.owner : "?");
    (void)printf("origin       %s\n", d->origin_checked ? "signed by its owner, as known to the force"
                                                        : "its signer was NOT checked (--enrol or --vault does that)");
    (void)printf("entries      %llu", (unsigned long long)d->entries);
    if (d->entries)
        (void)printf(", from %s to %s", first, last);
    (void)printf("\nsealed       %llu entr%s", (unsigned long long)d->sealed, kt_ies(d->sealed));
    if (d->sealed)
        (void)printf(" by %llu checkpoint%s, until %s", (unsigned long long)d->checkpoints, kt_s(d->checkpoints), sealed);
    (void)printf("\n");
    if (g->n && d->good)
        (void)printf("held         %zu checkpoint%s from elsewhere: contained in it\n", g->n, g->n == 1 ? "" : "s");
    if (d->recoveries || d->gaps || d->clock_steps)
        (void)printf(
            "worth a look %llu recover%s after a crash, %llu gap%s (%llu entr%s lost or refused), %llu clock step%s\n",
            (unsigned long long)d->recoveries, kt_ies(d->recoveries), (unsigned long long)d->gaps, kt_s(d->gaps),
            (unsigned long long)d->lost, kt_ies(d->lost), (unsigned long long)d->clock_steps, kt_s(d->clock_steps));
    for (size_t i = 0; i < d->nnotes; i++)
        (void)printf("note         %s\n", d->notes[i]);
    for (size_t i = 0; i < d->nfindings; i++)
        (void)printf("FOUND        %s\n", d->findings[i]);
    (void)printf("%s\n",
                 !d->good ? "NOT GOOD: this log was damaged or changed" : "Good: nothing was changed, removed or put in");
}

static enum vf_err verify_against(const struct kt_args *a, struct kt_against *g, struct vf_why *why)
{
    const char *path = a->argv[0];
    VF_FREE struct vf_verdict *d = calloc(1, sizeof(*d));
    if (!d)
        return vf_fail(why, VF_E_NOMEM, "out of memory");
    VF_TRY(kt_against_take(a, path, g, why));
    VF_TRY(verify(path, g, d, why));
    if (kt_has(a, KT_JSON))
        VF_TRY(kt_print_json(kt_verdict_json(d), why));
    else
        print_verdict(d, g);
    if (!d->good)
        return vf_fail(why, VF_E_FORGED, "%s: %.300s", path, d->nfindings ? d->findings[0] : "not good");
    return VF_OK;
}

static enum vf_err audit_verify(const struct kt_args *a, struct vf_why *why)
{
    VF_CLEANUP(kt_against_done) struct kt_against g = {0};
    return verify_against(a, &g, why);
}

const struct kt_verb kt_audit_verbs[] = {
    {"audit", "verify", "LOG", 1, 1, KT_BIT(ENROL) | KT_BIT(VAULT) | KT_BIT(CHECKPOINT) | KT_BIT(JSON), 0, false,
     "Check a log folder or a handed-in file: nothing changed, removed or put in", audit_verify},
    {"audit", "show", "LOG", 1, 1, KT_AUDIT_SHOW_OPTIONS, 0, false, "What happened, entry by entry, in words",
     kt_audit_show},
    {"audit", "export", "LOG", 1, 1, KT_AUDIT_EXPORT_OPTIONS, KT_BIT(FORMAT) | KT_BIT(OUTPUT), false,
     "All entries as JSON lines or CSV, for other programs", kt_audit_export},
    {"audit", "proof", "LOG", 1, 1, KT_AUDIT_PROOF_OPTIONS, KT_BIT(SEQ), false,
     "Prove one entry to somebody who does not have the log", kt_audit_proof},
    {"audit", "exposure", "", 0, 0, KT_EXPOSURE_OPTIONS, KT_BIT(VAULT_OR_BACKUP) | KT_BIT(OUTPUT), false,
     "What a breach exposed, officer by officer: unreadable, readable, read or presumed read", kt_audit_exposure},
    {"audit", "report", "", 0, 0, KT_REPORT_OPTIONS, 0, false,
     "One page to look at: who read what, and what is to be noticed", kt_audit_report},
    {0},
};
