/* SPDX-License-Identifier: MIT */
/* Which records: all, a list, conditions; and for grants, who is left out. */
#include "select.h"

#include <stdlib.h>
#include <string.h>

#define PICKS_MAX ((size_t)1 << 26)

struct vf_pick *vf_picks_add(struct vf_buf *picks, const struct vf_pick *pick)
{
    uint8_t *at = vf_buf_grow(picks, sizeof(*pick));

    if (at == NULL)
        return NULL;
    memcpy(at, pick, sizeof(*pick));
    return (struct vf_pick *)(void *)at;
}

size_t vf_picks_count(const struct vf_buf *picks)
{
    return picks->len / sizeof(struct vf_pick);
}

struct vf_pick *vf_picks_at(const struct vf_buf *picks, size_t i)
{
    return (struct vf_pick *)(void *)picks->data + i;
}

static enum vf_err each_head(void *user, const struct vf_head *head, struct vf_why *why)
{
    struct vf_buf *picks = user;
    const struct vf_pick pick = {
        .ref = head->ref, .leaver = head->status == VF_STATUS_LEAVER, .is_protected = head->protect != VF_PROTECT_STANDARD};

    return vf_picks_add(picks, &pick) != NULL ? VF_OK : vf_buf_check(picks, "the list of records", why);
}

/* A condition with its value as the vault would have stored it. */
struct condition {
    enum vf_field field;
    struct vf_buf value;
};

static enum vf_err prepare(struct vf_vault *v, const struct vf_where *w, bool for_grant, struct condition *c,
                           struct vf_why *why)
{
    const struct vf_field_info *info = vf_field_info(w->field);

    if (info == NULL || info->kind != VF_KIND_TEXT)
        return vf_fail(why, VF_E_INPUT, "a condition can only be about a text field");
    if (for_grant && info->class == VF_CLASS_C)
        return vf_fail(why, VF_E_CLASS_REFUSED,
                       "%s cannot choose the records of a grant: it never goes to a supplier, in no form", info->name);
    c->field = w->field;
    vf_buf_init(&c->value, VF_VALUE_MAX);
    VF_TRY(vf_fail_prefix(why, vf_field_check(vf_vault_rules(v), w->field, w->value, strlen(w->value), &c->value, why),
                          "the condition on %s", info->name));
    return vf_buf_check(&c->value, "a condition", why);
}

static enum vf_err holds(struct vf_view *view, const struct vf_ref *ref, const struct condition *c, size_t n, bool *ret,
                         struct vf_why *why)
{
    VF_BUF value = {0};

    *ret = false;
    vf_buf_init(&value, VF_GRANT_SCRATCH_MAX);
    for (size_t i = 0; i < n; i++) {
        vf_buf_reset(&value);
        VF_TRY(vf_view_value(view, ref, c[i].field, 0, &value, why));
        VF_TRY(vf_buf_check(&value, "a value", why));
        if (value.len != c[i].value.len || memcmp(value.data, c[i].value.data, value.len) != 0)
            return VF_OK;
    }
    *ret = true;
    return VF_OK;
}

/* Keep the picks for which every condition holds. */
static enum vf_err filter(struct vf_view *view, const struct condition *c, size_t n, struct vf_buf *picks,
                          struct vf_why *why)
{
    size_t kept = 0;
    size_t total = vf_picks_count(picks);

    for (size_t i = 0; i < total; i++) {
        bool keep;
        VF_TRY(holds(view, &vf_picks_at(picks, i)->ref, c, n, &keep, why));
        if (keep)
            *vf_picks_at(picks, kept++) = *vf_picks_at(picks, i);
    }
    picks->len = kept * sizeof(struct vf_pick);
    return VF_OK;
}

static enum vf_err apply_where(struct vf_vault *v, struct vf_view *view, const struct vf_selection *sel,
                               struct vf_buf *picks, struct vf_why *why)
{
    struct condition c[VF_FIELD_COUNT] = {0};
    enum vf_err err = VF_OK;

    if (sel->nwhere > VF_FIELD_COUNT)
        return vf_fail(why, VF_E_INPUT, "more conditions than there are fields");
    for (size_t i = 0; i < sel->nwhere && err == VF_OK; i++)
        err = prepare(v, &sel->where[i], sel->for_grant, &c[i], why);
    if (err == VF_OK && sel->nwhere > 0)
        err = filter(view, c, sel->nwhere, picks, why);
    for (size_t i = 0; i < sel->nwhere; i++)
        vf_buf_done(&c[i].value);
    return err;
}

/* By ref; of two lines about one record, the one that named its ref first. */
static int by_ref(const void *a, const void *b)
{
    const struct vf_pick *x = a;
    const struct vf_pick *y = b;
    int cmp = vf_ref_cmp(&x->ref, &y->ref);

    return cmp != 0 ? cmp : (int)y->by_ref - (int)x->by_ref;
}

/*
 * `all` and conditions never match a protected record or somebody who has left. A list names who is meant: then a protected record is
 * refused unless it was named by its ref and the caller said so, and a leaver is counted.
 */
static enum vf_err judge(const struct vf_selection *sel, const struct vf_pick *p, struct vf_selected *s, bool *ret_take,
                         struct vf_why *why)
{
    *ret_take = true;
    if (!sel->for_grant)
        return VF_OK;
    if (sel->list_path == NULL) {
        s->left_protected += p->is_protected;
        s->left_leavers += p->leaver && !p->is_protected;
        *ret_take = !p->is_protected && !p->leaver;
        return VF_OK;
    }
    if (p->is_protected && !sel->include_protected)
        return vf_fail(why, VF_E_PROTECTED,
                       "%s:%u: record %.*s is protected; a grant takes it in only by its ref and with "
                       "--include-protected",
                       sel->list_path, (unsigned)p->line, VF_REF_LEN, p->ref.c);
    if (p->is_protected && !p->by_ref)
        return vf_fail(why, VF_E_PROTECTED,
                       "%s:%u: this number is of a protected record, %.*s; a grant takes it in only by its ref",
                       sel->list_path, (unsigned)p->line, VF_REF_LEN, p->ref.c);
    s->leavers += p->leaver;
    s->protected_in += p->is_protected;
    return VF_OK;
}

/* Sorted, each once, judged. */
static enum vf_err collect(const struct vf_selection *sel, const struct vf_buf *picks, struct vf_selected *s,
                           struct vf_why *why)
{
    size_t n = vf_picks_count(picks);

    s->refs = calloc(n > 0 ? n : 1, sizeof(*s->refs));
    if (s->refs == NULL)
        return vf_fail(why, VF_E_NOMEM, "no memory for the list of records");
    for (size_t i = 0; i < n; i++) {
        const struct vf_pick *p = vf_picks_at(picks, i);
        bool take;
        if (i > 0 && vf_ref_cmp(&p->ref, &vf_picks_at(picks, i - 1)->ref) == 0)
            continue;
        VF_TRY(judge(sel, p, s, &take, why));
        if (take)
            s->refs[s->n++] = p->ref;
    }
    return VF_OK;
}

enum vf_err vf_select(struct vf_vault *v, const struct vf_selection *sel, struct vf_selected *ret, struct vf_why *why)
{
    VF_VIEW view = NULL;
    VF_BUF picks = {0};
    VF_CLEANUP(vf_selected_done) struct vf_selected s = {0};

    if (!sel->all && sel->list_path == NULL && sel->nwhere == 0)
        return vf_fail(why, VF_E_INPUT, "no records chosen: all, a list, or conditions");
    vf_buf_init(&picks, PICKS_MAX);
    VF_TRY(vf_view_open(v, &view, why));
    if (sel->list_path != NULL)
        VF_TRY(vf_picks_list(v, view, sel->list_path, &picks, why));
    else
        VF_TRY(vf_view_each(view, each_head, &picks, why));
    VF_TRY(vf_buf_check(&picks, "the list of records", why));
    VF_TRY(apply_where(v, view, sel, &picks, why));
    if (picks.len > 0)
        qsort(picks.data, vf_picks_count(&picks), sizeof(struct vf_pick), by_ref);
    VF_TRY(collect(sel, &picks, &s, why));
    *ret = s;
    s = (struct vf_selected){0};
    return VF_OK;
}

static enum vf_err each_ref(void *user, const struct vf_ref *ref, struct vf_why *why)
{
    struct vf_buf *refs = user;

    vf_buf_put(refs, ref, sizeof(*ref));
    return vf_buf_check(refs, "the list of records", why);
}

enum vf_err vf_select_every(struct vf_vault *v, struct vf_selected *ret, struct vf_why *why)
{
    VF_VIEW view = NULL;
    VF_BUF refs = {0};

    vf_buf_init(&refs, PICKS_MAX);
    VF_TRY(vf_view_open(v, &view, why));
    VF_TRY(vf_view_refs(view, each_ref, &refs, why));
    struct vf_ref *list = calloc(refs.len / sizeof(*list) + 1, sizeof(*list));
    if (list == NULL)
        return vf_fail(why, VF_E_NOMEM, "no memory for the list of records");
    if (refs.len > 0)
        memcpy(list, refs.data, refs.len);
    *ret = (struct vf_selected){.refs = list, .n = refs.len / sizeof(*list)};
    return VF_OK;
}

void vf_selected_done(struct vf_selected *s)
{
    free(s->refs);
    s->refs = NULL;
    s->n = 0;
}
