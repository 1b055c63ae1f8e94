/* SPDX-License-Identifier: MIT */
/* Looking at records: logged before anything is shown. */
#include "record.h"

#include <stdlib.h>
#include <string.h>

enum vf_err kt_record_log_view(struct vf_vault *v, const struct vf_ref *refs, size_t n, vf_field_set fields,
                               struct vf_why *why)
{
    struct vf_entry e = {.event = VF_EVENT_VIEW,
                         .part = -1,
                         .recipient = vf_vault_admin(v),
                         .fields = fields,
                         .has_count = true,
                         .count = n,
                         .result = "ok"};
    if (n <= VF_ENTRY_REFS_MAX) {
        e.refs = refs;
        e.nrefs = n;
        return vf_vault_log(v, &e, why);
    }
    /* Too many for one entry: as many entries as it takes, each with its refs. */
    for (size_t at = 0; at < n; at += VF_ENTRY_REFS_MAX) {
        e.refs = refs + at;
        e.nrefs = e.count = n - at < VF_ENTRY_REFS_MAX ? n - at : VF_ENTRY_REFS_MAX;
        VF_TRY(vf_vault_log(v, &e, why));
    }
    return VF_OK;
}

/* ---------------------------------------------------------------------------------------------------------------- list */

static enum vf_err print_row(struct vf_view *view, const struct vf_ref *ref, vf_field_set fields, json_t *list,
                             struct vf_why *why)
{
    json_t *row = list ? json_pack("{s:s#}", "ref", ref->c, VF_REF_LEN) : NULL;
    VF_BUF value;
    vf_buf_init(&value, VF_VALUE_MAX + 1);
    if (!list)
        (void)printf("%.8s", ref->c);
    for (unsigned f = 1; f < VF_FIELD_COUNT; f++) {
        if (!(fields & VF_FIELD_BIT(f)))
            continue;
        vf_buf_reset(&value);
        enum vf_err err = vf_view_value(view, ref, f, 0, &value, why);
        if (err) {
            json_decref(row);
            return err;
        }
        if (row)
            (void)json_object_set_new(row, vf_field_info(f)->name, json_stringn((const char *)value.data, value.len));
        else
            (void)printf("\t%.*s", (int)value.len, value.len ? (const char *)value.data : "");
    }
    if (list)
        (void)json_array_append_new(list, row);
    else
        (void)printf("\n");
    return VF_OK;
}

static enum vf_err list_with(const struct kt_args *a, struct vf_vault *v, vf_field_set fields, struct vf_why *why)
{
    struct vf_selection sel;
    struct vf_where where[KT_REPEAT_MAX];
    VF_CLEANUP(vf_selected_done) struct vf_selected selected = {0};
    VF_VIEW view = NULL;

    VF_TRY(kt_selection(a, false, &sel, where, why));
    VF_TRY(vf_select(v, &sel, &selected, why));
    VF_TRY(kt_record_log_view(v, selected.refs, selected.n, fields, why));
    VF_TRY(vf_view_open(v, &view, why));
    json_t *list = kt_has(a, KT_JSON) ? json_array() : NULL;
    if (!list && fields) {
        VF_BUF names;
        vf_buf_init(&names, 4096);
        vf_field_set_put(fields, "\t", &names);
        (void)printf("ref\t%s\n", vf_buf_cstr(&names) ? vf_buf_cstr(&names) : "");
    }
    for (size_t i = 0; i < selected.n; i++) {
        enum vf_err err = print_row(view, &selected.refs[i], fields, list, why);
        if (err) {
            json_decref(list);
            return err;
        }
    }
    if (list)
        return kt_print_json(list, why);
    kt_say("%zu record%s", selected.n, selected.n == 1 ? "" : "s");
    return VF_OK;
}

enum vf_err kt_record_list(const struct kt_args *a, struct vf_why *why)
{
    VF_IDENTITY id = NULL;
    VF_VAULT v = NULL;
    vf_field_set fields = 0;
    if (kt_has(a, KT_FIELDS))
        VF_TRY(vf_field_set_parse(kt_get(a, KT_FIELDS), &fields, why));
    if (fields & (VF_FIELD_BIT(VF_FIELD_PHOTO) | VF_FIELD_BIT(VF_FIELD_SIGNATURE)))
        return kt_usage(why, "--fields: pictures cannot be listed; grant review shows them");
    VF_TRY(kt_vault_open(a, a->argv[0], VF_VAULT_READ, &id, &v, why));
    enum vf_err err = list_with(a, v, fields, why);
    err = kt_vault_close(v, err, why);
    v = NULL;
    return err;
}

/* ---------------------------------------------------------------------------------------------------------------- show */

static enum vf_err find_ref(const struct kt_args *a, struct vf_view *view, struct vf_ref *ret, struct vf_why *why)
{
    const char *ref = kt_get(a, KT_REF), *number = kt_get(a, KT_WARRANT_NO);
    if ((ref != NULL) == (number != NULL))
        return kt_usage(why, "say which record: --ref REF or --warrant-no N");
    if (number)
        return vf_view_find(view, number, strlen(number), ret, why);
    if (!vf_ref_parse(ref, strlen(ref), ret))
        return kt_usage(why, "--ref: a ref has 8 characters of A-Z and 2-7");
    return VF_OK;
}

static enum vf_err show_field(struct vf_view *view, const struct vf_head *head, unsigned f, json_t *doc, struct vf_why *why)
{
    const struct vf_field_info *info = vf_field_info(f);
    const struct vf_field_state *s = &head->f[f];
    VF_BUF value;
    vf_buf_init(&value, VF_VALUE_MAX + 1);
    if (info->kind == VF_KIND_TEXT)
        VF_TRY(vf_view_value(view, &head->ref, f, 0, &value, why));
    char changed[VF_TIME_LEN + 1];
    vf_time_format(s->changed_us, changed);
    if (doc) {
        json_t *shown = info->kind == VF_KIND_TEXT ? json_stringn((const char *)value.data, value.len)
                                                   : json_integer((json_int_t)s->len);
        char class[2] = {(char)info->class, '\0'};
        (void)json_object_set_new(doc, info->name,
                                  json_pack("{s:o,s:i,s:s,s:s}", info->kind == VF_KIND_TEXT ? "value" : "bytes", shown,
                                            "generation", (int)s->generation, "changed", changed, "class", class));
        return VF_OK;
    }
    if (info->kind != VF_KIND_TEXT && s->generation == 0)
        (void)printf("%-16s %c  none\n", info->name, (char)info->class);
    else if (info->kind != VF_KIND_TEXT)
        (void)printf("%-16s %c  picture of %u bytes, changed %s\n", info->name, (char)info->class, s->len, changed);
    else
        (void)printf("%-16s %c  %.*s\n", info->name, (char)info->class, (int)value.len,
                     value.len ? (const char *)value.data : "");
    return VF_OK;
}

static enum vf_err show_with(const struct kt_args *a, struct vf_vault *v, struct vf_why *why)
{
    VF_VIEW view = NULL;
    struct vf_ref ref;
    struct vf_head head;
    VF_TRY(vf_view_open(v, &view, why));
    VF_TRY(find_ref(a, view, &ref, why));
    VF_TRY(vf_view_head(view, &ref, &head, why));
    VF_TRY(kt_record_log_view(v, &ref, 1, ~(vf_field_set)1 & (VF_FIELD_BIT(VF_FIELD_COUNT) - 1), why));
    json_t *doc = kt_has(a, KT_JSON) ? json_object() : NULL;
    if (doc)
        (void)json_object_set_new(doc, "ref", json_stringn(ref.c, VF_REF_LEN));
    else
        (void)printf("%-16s    %.8s\n", "ref", ref.c);
    enum vf_err err = VF_OK;
    for (unsigned f = 1; f < VF_FIELD_COUNT && !err; f++)
        err = show_field(view, &head, f, doc, why);
    vf_wipe(&head, sizeof(head));
    if (err) {
        json_decref(doc);
        return err;
    }
    return doc ? kt_print_json(doc, why) : VF_OK;
}

enum vf_err kt_record_show(const struct kt_args *a, struct vf_why *why)
{
    VF_IDENTITY id = NULL;
    VF_VAULT v = NULL;
    VF_TRY(kt_vault_open(a, a->argv[0], VF_VAULT_READ, &id, &v, why));
    enum vf_err err = show_with(a, v, why);
    err = kt_vault_close(v, err, why);
    v = NULL;
    return err;
}
