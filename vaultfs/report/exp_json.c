/* SPDX-License-Identifier: MIT */
/* summary.json: the question, the answer in numbers, what it rests on. */
#include "exp.h"

#include <jansson.h>
#include <stdlib.h>

static json_t *time_or_null(bool has, int64_t us)
{
    char text[VF_TIME_LEN + 1];

    if (!has)
        return json_null();
    vf_time_format(us, text);
    return json_string(text);
}

static json_t *hex_of(const void *data, size_t len)
{
    char text[2 * VF_HASH_LEN + 1] = "";

    vf_hex(data, len, text);
    return json_string(text);
}

static json_t *id_of(const struct vf_grant_id *id)
{
    return json_stringn(id->c, VF_GRANT_ID_LEN);
}

static json_t *fields_of(vf_field_set fields)
{
    json_t *list = json_array();

    for (unsigned f = 1; f < VF_FIELD_COUNT; f++)
        if ((fields & VF_FIELD_BIT(f)) != 0)
            (void)json_array_append_new(list, json_string(vf_field_info(f)->name));
    return list;
}

static void set(json_t *object, const char *key, json_t *value)
{
    (void)json_object_set_new(object, key, value);
}

static json_t *number(uint64_t n)
{
    return json_integer(n < INT64_MAX ? (json_int_t)n : INT64_MAX);
}

/* ------------------------------------------------------------------------------------------------------------------- pieces */

static json_t *question(const struct vf_exposure *x)
{
    static const char *const scopes[] = {"all", "device", "grant"};
    const struct vf_exposure_options *o = &x->opt;
    json_t *q = json_object();

    set(q, "scope", json_string(scopes[o->scope]));
    if (o->scope == VF_EXPOSURE_DEVICE)
        set(q, "device", json_string(o->device));
    if (o->scope == VF_EXPOSURE_GRANT)
        set(q, "grant", id_of(&o->grant));
    set(q, "since", time_or_null(o->has_since, o->since_us));
    set(q, "until", time_or_null(o->has_until, o->until_us));
    set(q, "host_compromised_at", time_or_null(o->has_compromised, o->compromised_us));
    set(q, "device_off", json_boolean(o->device_off));
    set(q, "passphrase_safe", json_boolean(o->passphrase_safe));
    set(q, "aware_at", time_or_null(o->has_aware, o->aware_us));
    set(q, "report_due", time_or_null(o->has_aware, o->aware_us + 3 * VF_DAY_US));
    return q;
}

static json_t *tiers(const uint64_t n[3])
{
    json_t *t = json_object();

    set(t, "0", number(n[0]));
    set(t, "1", number(n[1]));
    set(t, "2", number(n[2]));
    return t;
}

static json_t *counts(const struct vf_exposure *x)
{
    const struct vf_exp_counts *n = &x->counts;
    json_t *c = json_object();

    set(c, "records", number(n->people[0] + n->people[1] + n->people[2]));
    set(c, "highest_tier", tiers(n->people));
    set(c, "text", tiers(n->cells[VF_PART_TEXT]));
    set(c, "image", tiers(n->cells[VF_PART_IMAGE]));
    set(c, "read_by_a_log", number(n->people_read));
    set(c, "presumed_only", number(n->people_presumed));
    set(c, "text_read_by_a_log", number(n->read[VF_PART_TEXT]));
    set(c, "image_read_by_a_log", number(n->read[VF_PART_IMAGE]));
    set(c, "erased_since", number(n->erased));
    set(c, "not_in_the_vault", number(n->gone));
    set(c, "fields_readable", fields_of(n->readable));
    set(c, "fields_read_or_presumed_read", fields_of(n->exposed));
    set(c, "first_read", time_or_null(n->first_us != 0, n->first_us));
    set(c, "last_read", time_or_null(n->last_us != 0, n->last_us));
    return c;
}

static json_t *items(const struct vf_exposure *x, enum vf_exp_level level)
{
    json_t *list = json_array();

    for (uint32_t i = 0; i < x->nitems; i++)
        if (x->items[i].level == level)
            (void)json_array_append_new(list, json_pack("{s:s,s:s}", "code", x->items[i].code, "words", x->items[i].words));
    return list;
}

static const char *log_state(const struct vf_exp_log *l)
{
    switch (l->state) {
    case VF_EXP_LOG_GOOD:
        return "good";
    case VF_EXP_LOG_DAMAGED:
        return "not good";
    case VF_EXP_LOG_STRANGE:
        return "of no known device";
    case VF_EXP_LOG_UNREADABLE:
        break;
    }
    return "unreadable";
}

static json_t *log_json(const struct vf_exposure *x, const struct vf_exp_log *l)
{
    const struct vf_verdict *v = l->verdict;
    json_t *o = json_object();

    set(o, "path", json_string(vf_exp_log_name(l)));
    set(o, "from", json_string(l->given ? "given" : "kept by the vault"));
    set(o, "form",
        json_string(l->copy   ? "handed in: speaks up to its last sealed entry"
                    : l->desk ? "folder of the key desk"
                              : "folder of the device"));
    set(o, "device", l->device != VF_EXP_NONE ? json_string(vf_exp_device_name(x, l->device)) : json_null());
    set(o, "state", json_string(log_state(l)));
    set(o, "used", json_boolean(l->used));
    if (l->words[0] != '\0')
        set(o, "why", json_string(l->words));
    if (v == NULL || l->state == VF_EXP_LOG_UNREADABLE)
        return o;
    struct vf_hash root;
    vf_tree_root(&v->tree, &root);
    set(o, "log_id", hex_of(v->id.b, VF_HASH_LEN));
    set(o, "entries", number(v->entries));
    set(o, "sealed", number(v->sealed));
    set(o, "root", hex_of(root.b, VF_HASH_LEN));
    set(o, "last_entry", time_or_null(v->entries > 0, v->last_us));
    set(o, "sealed_until", time_or_null(v->sealed > 0, v->sealed_until_us));
    if (l->desk)
        set(o, "releases", number(l->releases));
    set(o, "reads", number(l->reads));
    set(o, "reads_not_sealed", number(l->unsealed_reads));
    set(o, "gaps", number(v->gaps));
    set(o, "lost", number(v->lost));
    set(o, "clock_steps", number(v->clock_steps));
    set(o, "recoveries", number(v->recoveries));
    set(o, "mounts_killed", number(l->killed));
    set(o, "mount_not_ended", json_boolean(l->open));
    return o;
}

/* In one word; the sentence is among the doubts. */
static const char *device_verdict(const struct vf_exp_device *d)
{
    if (d->compromised)
        return "presumed-compromised";
    if (d->no_log)
        return "presumed-no-log";
    if (d->damaged)
        return "presumed-damaged-log";
    if (d->cut)
        return "presumed-cut-log";
    if (d->after_handin)
        return "presumed-after-handin";
    if (d->gap)
        return "presumed-gap";
    return d->killed ? "presumed-killed" : "log";
}

static json_t *devices(const struct vf_exposure *x)
{
    json_t *list = json_array();

    for (uint32_t i = 0; i < x->c->ndevices; i++) {
        const struct vf_exp_device *d = &x->devices[i];
        const struct vf_case_device *k = &x->c->devices[i];
        if (!d->in_scope)
            continue;
        json_t *o = json_object();
        set(o, "name", json_string(k->enrol.name));
        set(o, "enrolment", hex_of(k->enrol.id.b, VF_HASH_LEN));
        set(o, "enrolled", time_or_null(true, k->enrol.created_us));
        set(o, "revoked", json_boolean(k->revoked));
        set(o, "revoked_at", time_or_null(k->revoked_us != 0, k->revoked_us));
        set(o, "handed_in", time_or_null(k->handin_us != 0, k->handin_us));
        set(o, "grants", number(d->ngrants));
        set(o, "judged_by", json_string(device_verdict(d)));
        set(o, "log", d->log != VF_EXP_NONE ? json_string(vf_exp_log_name(&x->logs[d->log])) : json_null());
        set(o, "log_speaks_until", time_or_null(d->log != VF_EXP_NONE, d->speaks_until_us));
        (void)json_array_append_new(list, o);
    }
    return list;
}

/* Of an online grant: is what the desk did not release unreadable? */
static const char *unreleased(const struct vf_exp_source *s)
{
    switch ((enum vf_exp_unproven)s->unproven) {
    case VF_EXP_DESK_NO_LOG:
        return "presumed readable: no log of the key desk";
    case VF_EXP_DESK_BROKEN:
        return "presumed readable: the key desk's log is contradicted";
    case VF_EXP_DESK_CONTRADICTED:
        return "presumed readable: a read that was not released";
    case VF_EXP_DESK_DOUBTED:
        return "presumed readable: the key desk was in doubt of its clock or store";
    case VF_EXP_DESK_EARLY:
        return "presumed readable: the key desk's log ends too early";
    }
    return s->live ? "unreadable until now" : "unreadable";
}

static json_t *grants(const struct vf_exposure *x)
{
    json_t *list = json_array();

    for (uint32_t i = 0; i < x->nsources; i++) {
        const struct vf_exp_source *s = &x->sources[i];
        if (!s->in_scope)
            continue;
        json_t *o = json_object();
        set(o, "id", id_of(&s->id));
        set(o, "device", json_string(vf_exp_device_name(x, s->device)));
        set(o, "known", json_boolean(s->grant != VF_EXP_NONE));
        if (s->online)
            set(o, "unreleased", json_string(unreleased(s)));
        (void)json_array_append_new(list, o);
        if (s->grant == VF_EXP_NONE)
            continue;
        const struct vf_case_grant *k = &x->c->grants[s->grant];
        set(o, "job", json_string(k->g.job));
        set(o, "records", number(k->g.records));
        set(o, "fields", fields_of(k->g.fields));
        set(o, "issued", time_or_null(true, k->g.issued_us));
        set(o, "until", time_or_null(true, k->g.until_us));
        set(o, "release", json_string(k->g.release == VF_RELEASE_ONLINE ? "online" : "offline"));
        set(o, "renews", k->g.renews ? id_of(&k->g.renewed) : json_null());
        set(o, "signatures", number(k->signatures));
        set(o, "bundle_written", json_boolean(k->exported));
        set(o, "revoked", json_boolean(k->revoked));
        /* By itself, or with its device. */
        int64_t revoked_us = k->revoked_us == 0 && k->revoked && k->device != VF_CASE_NONE
                                 ? x->c->devices[k->device].revoked_us
                                 : k->revoked_us;
        set(o, "revoked_at", time_or_null(revoked_us != 0, revoked_us));
    }
    return list;
}

static json_t *words(void)
{
    json_t *o = json_object();

    for (unsigned i = 0; i < VF_EXPOSED_WORD_COUNT; i++)
        set(o, vf_exposed_word_text((enum vf_exposed_word)i), json_string(vf_exposed_word_meaning((enum vf_exposed_word)i)));
    return o;
}

static json_t *inputs(const struct vf_exposure *x)
{
    json_t *o = json_object();
    json_t *own = json_array();
    json_t *logs = json_array();

    for (uint32_t i = 0; i < x->c->nlogs; i++) {
        const struct vf_case_log *l = &x->c->logs[i];
        json_t *e = json_pack("{s:b,s:I,s:I}", "good", (int)l->good, "entries", (json_int_t)l->entries, "sealed",
                              (json_int_t)l->sealed);
        set(e, "sealed_until", time_or_null(l->sealed > 0, l->sealed_until_us));
        (void)json_array_append_new(own, e);
    }
    for (uint32_t i = 0; i < x->nlogs; i++)
        (void)json_array_append_new(logs, log_json(x, &x->logs[i]));
    set(o, "vault", json_string(x->opt.vault));
    set(o, "vault_id", hex_of(x->c->vault.b, VF_VAULT_ID_LEN));
    set(o, "is_backup", json_boolean(x->c->backup));
    set(o, "as_of", time_or_null(true, x->c->as_of_us));
    set(o, "records_in_the_vault", number(x->c->records));
    set(o, "logs_of_the_force", own);
    set(o, "logs", logs);
    return o;
}

enum vf_err vf_exposure_put_json(const struct vf_exposure *x, const struct vf_hash *csv, struct vf_buf *out,
                                 struct vf_why *why)
{
    const struct vf_policy *p = x->c->chain.ruling > 0 ? &x->c->chain.policy : &x->c->chain.pending;
    json_t *doc = json_object();

    set(doc, "type", json_string("vaultfs exposure v1"));
    set(doc, "force", json_string(p->force_name));
    set(doc, "made_at", time_or_null(true, x->opt.now_us));
    set(doc, "program", json_string("vaultfs " VAULTFS_VERSION));
    set(doc, "question", question(x));
    set(doc, "counts", counts(x));
    set(doc, "assumptions", items(x, VF_EXP_ASSUMPTION));
    set(doc, "doubts", items(x, VF_EXP_DOUBT));
    set(doc, "remarks", items(x, VF_EXP_REMARK));
    set(doc, "devices", devices(x));
    set(doc, "grants", grants(x));
    set(doc, "inputs", inputs(x));
    set(doc, "evidence_words", words());
    set(doc, "exposed_csv_sha256", hex_of(csv->b, VF_HASH_LEN));
    char *text = json_dumps(doc, JSON_INDENT(2));
    json_decref(doc);
    if (text == NULL)
        return vf_fail(why, VF_E_NOMEM, "the summary: out of memory");
    vf_buf_text(out, text);
    vf_buf_text(out, "\n");
    free(text);
    return vf_buf_check(out, "the summary", why);
}
