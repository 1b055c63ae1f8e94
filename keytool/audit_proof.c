/* SPDX-License-Identifier: MIT */
#include "audit.h"

#include <stdlib.h>
#include <string.h>

typedef unsigned long long ull;

static enum vf_err make(const char *log, const struct kt_against *g, uint64_t seq, struct vf_verdict *v,
                        struct vf_proof *ret, struct vf_why *why)
{
    struct kt_progress p = {.what = "Verifying", .unit = "bytes"};
    struct vf_verify_options opt = kt_against_options(g);
    opt.progress = kt_progress_show;
    opt.user = &p;
    enum vf_err err = vf_log_prove(log, &opt, seq, v, ret, why);
    kt_progress_done(&p);
    return err;
}

/* What was proven, and what whoever gets it must know besides. */
static void say(const struct vf_proof *p, const struct vf_verdict *v)
{
    struct vf_entry_view e;
    VF_BUF text = {0};
    vf_buf_init(&text, (size_t)2 * VF_ENTRY_LINE_MAX);
    if (vf_entry_parse((const char *)p->line.data, p->line.len, &e, NULL) == VF_OK) {
        kt_entry_text(&e, NULL, false, "", &text);
        kt_say("The entry: %.*s", (int)(text.len > 0 ? text.len - 1 : 0), text.len > 0 ? (const char *)text.data : "");
    }
    if (p->held)
        kt_say("It is among the %llu entries that the checkpoint you gave covers: who trusts a signature on that needs "
               "nothing else.",
               (ull)p->size);
    else if (p->key_by_origin)
        kt_say("It is among the %llu entries of the log's last checkpoint, signed by the key that the log's origin names.",
               (ull)p->size);
    else
        kt_say("It is among the %llu entries of the log's last checkpoint, signed by the key that entry %llu names. Who "
               "does not have "
               "the log cannot check that key: a receipt of the force or the desk, given with --checkpoint, makes a proof "
               "that stands alone.",
               (ull)p->size, (ull)p->key_seq);
    if (!v->origin_checked)
        kt_say("Whose log it is was not checked: --enrol or --vault does that.");
}

static json_t *proof_json(const struct vf_proof *p, const struct vf_verdict *v, const char *text)
{
    json_t *path = json_array();
    for (size_t i = 0; i < p->npath; i++)
        (void)json_array_append_new(path, kt_json_hex(p->path[i].b, VF_HASH_LEN));
    json_t *doc = json_pack("{s:I,s:I,s:o,s:s#,s:s,s:b,s:b}", "seq", (json_int_t)p->seq, "size", (json_int_t)p->size, "path",
                            path, "entry", (const char *)p->line.data, (int)p->line.len, "proof", text, "held", (int)p->held,
                            "origin_checked", (int)v->origin_checked);
    if (doc && !p->held) {
        (void)json_object_set_new(doc, "key", kt_json_hex(p->key, sizeof(p->key)));
        (void)json_object_set_new(doc, "key_seq", p->key_by_origin ? json_null() : json_integer((json_int_t)p->key_seq));
    }
    return doc;
}

static enum vf_err print(const struct kt_args *a, const struct vf_proof *p, const struct vf_verdict *v, struct vf_why *why)
{
    VF_BUF text = {0};
    vf_buf_init(&text, VF_NOTE_MAX + (size_t)4 * VF_ENTRY_LINE_MAX);
    vf_proof_put(p, &text);
    VF_TRY(vf_buf_check(&text, "the proof", why));
    if (kt_has(a, KT_OUTPUT))
        VF_TRY(kt_output_write(a, kt_get(a, KT_OUTPUT), &text, 0644, why));
    if (kt_has(a, KT_JSON))
        return kt_print_json(proof_json(p, v, vf_buf_cstr(&text)), why);
    if (!kt_has(a, KT_OUTPUT) && fwrite(text.data, 1, text.len, stdout) != text.len)
        return vf_fail_sys(why, "standard output");
    say(p, v);
    return VF_OK;
}

enum vf_err kt_audit_proof(const struct kt_args *a, struct vf_why *why)
{
    VF_CLEANUP(kt_against_done) struct kt_against g = {0};
    VF_CLEANUP(vf_proof_done) struct vf_proof p = {0};
    VF_FREE struct vf_verdict *v = calloc(1, sizeof(*v));
    uint64_t seq = 0;

    if (!v)
        return vf_fail(why, VF_E_NOMEM, "out of memory");
    VF_TRY(kt_number_arg("seq", kt_get(a, KT_SEQ), INT64_MAX, &seq, why));
    if (kt_has(a, KT_OUTPUT))
        VF_TRY(kt_output_check(a, kt_get(a, KT_OUTPUT), why));
    VF_TRY(kt_against_take(a, a->argv[0], &g, why));
    VF_TRY(make(a->argv[0], &g, seq, v, &p, why));
    return print(a, &p, v, why);
}
