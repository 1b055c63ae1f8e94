/* SPDX-License-Identifier: MIT */
#include "exp.h"

#include <stdlib.h>
#include <string.h>

void vf_exposure_free(struct vf_exposure *x)
{
    if (x == NULL)
        return;
    vf_exp_desk_free(x);
    for (uint32_t i = 0; i < x->nlogs; i++) {
        vf_log_peek_done(&x->logs[i].peek);
        free(x->logs[i].verdict);
        free(x->logs[i].path);
    }
    for (uint32_t i = 0; i < x->nitems; i++)
        free(x->items[i].words);
    vf_case_close(x->c);
    free(x->sources);
    free(x->devices);
    free(x->logs);
    free(x->cells);
    free(x->now_in);
    free(x->now_out);
    free(x->touched);
    free(x->all_in);
    free(x->all_out);
    free(x->all_now_in);
    free(x->all_now_out);
    free(x->items);
    free(x->order);
    free(x);
}

void vf_exposure_cleanup(struct vf_exposure **x)
{
    vf_exposure_free(*x);
    *x = NULL;
}

/* -------------------------------------------------------------------------------------------------------------------- scope */

/* The grant, what it renews, what renews it, and so on in both directions. */
static enum vf_err scope_grant(struct vf_exposure *x, struct vf_why *why)
{
    const struct vf_case *c = x->c;
    uint32_t first = vf_case_grant_find(c, &x->opt.grant);
    bool more = true;

    if (first == VF_CASE_NONE)
        return vf_fail(why, VF_E_NOT_FOUND, "%s knows no grant %.16s; `grant list` names those it knows", x->opt.vault,
                       x->opt.grant.c);
    x->sources[first].in_scope = true;
    while (more) {
        more = false;
        for (uint32_t i = 0; i < c->ngrants; i++) {
            uint32_t j = c->grants[i].g.renews ? vf_case_grant_find(c, &c->grants[i].g.renewed) : VF_CASE_NONE;
            if (j == VF_CASE_NONE || x->sources[i].in_scope == x->sources[j].in_scope)
                continue;
            x->sources[i].in_scope = true;
            x->sources[j].in_scope = true;
            more = true;
        }
    }
    for (uint32_t i = 0; i < c->ngrants; i++)
        if (x->sources[i].in_scope && c->grants[i].device != VF_CASE_NONE)
            x->devices[c->grants[i].device].in_scope = true;
    return VF_OK;
}

static enum vf_err scope_device(struct vf_exposure *x, struct vf_why *why)
{
    const struct vf_case *c = x->c;
    bool any = false;

    for (uint32_t d = 0; d < c->ndevices; d++)
        if (strcmp(c->devices[d].enrol.name, x->opt.device) == 0)
            any = x->devices[d].in_scope = true;
    for (uint32_t i = 0; i < c->ngrants; i++) {
        bool its = strcmp(c->grants[i].g.recipient, x->opt.device) == 0 ||
                   (c->grants[i].device != VF_CASE_NONE && x->devices[c->grants[i].device].in_scope);
        if (!its)
            continue;
        any = x->sources[i].in_scope = true;
        if (c->grants[i].device != VF_CASE_NONE)
            x->devices[c->grants[i].device].in_scope = true;
    }
    for (uint32_t i = 0; i < c->nstrays; i++)
        any = any || strcmp(c->strays[i].recipient, x->opt.device) == 0;
    if (any)
        return VF_OK;
    return vf_fail(why, VF_E_NOT_FOUND, "%s knows no device called %s; `device list` names those it knows", x->opt.vault,
                   x->opt.device);
}

static enum vf_err set_scope(struct vf_exposure *x, struct vf_why *why)
{
    if (x->opt.scope == VF_EXPOSURE_GRANT)
        return scope_grant(x, why);
    if (x->opt.scope == VF_EXPOSURE_DEVICE)
        return scope_device(x, why);
    for (uint32_t d = 0; d < x->c->ndevices; d++)
        x->devices[d].in_scope = true;
    return VF_OK;
}

/* ------------------------------------------------------------------------------------------------------------------ together */

static enum vf_err make_room(struct vf_exposure *x, struct vf_why *why)
{
    size_t lists = ((size_t)x->c->nmanifests + 1) * VF_PART_COUNT;

    x->devices = calloc((size_t)x->c->ndevices + 1, sizeof(*x->devices));
    x->all_in = calloc(lists, sizeof(*x->all_in));
    x->all_out = calloc(lists, sizeof(*x->all_out));
    x->all_now_in = calloc(lists, sizeof(*x->all_now_in));
    x->all_now_out = calloc(lists, sizeof(*x->all_now_out));
    if (x->devices == NULL || x->all_in == NULL || x->all_out == NULL || x->all_now_in == NULL || x->all_now_out == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", x->opt.vault);
    return vf_exp_cells_fit(x, why);
}

/* A renewal of a grant that the vault does not know: the same list, granted before. */
static enum vf_err renewed_strays(struct vf_exposure *x, struct vf_why *why)
{
    struct vf_case *c = x->c;

    for (uint32_t i = 0; i < c->ngrants; i++) {
        const struct vf_case_grant *k = &c->grants[i];
        if (!k->g.renews || vf_case_grant_find(c, &k->g.renewed) != VF_CASE_NONE)
            continue;
        struct vf_case_stray s = {.id = k->g.renewed,
                                  .has_manifest = true,
                                  .manifest = k->g.manifest_hash,
                                  .fields = k->g.fields,
                                  .time_us = k->g.issued_us};
        memcpy(s.recipient, k->g.recipient, sizeof(s.recipient));
        VF_TRY(vf_case_stray_add(c, &s, why));
    }
    return VF_OK;
}

static enum vf_err compute(struct vf_exposure *x, struct vf_why *why)
{
    VF_TRY(vf_case_open(x->opt.vault, x->opt.scratch, &x->c, why));
    VF_TRY(make_room(x, why));
    VF_TRY(vf_exp_sources_known(x, why));
    VF_TRY(set_scope(x, why));
    VF_TRY(renewed_strays(x, why));
    VF_TRY(vf_exp_sources_vault_strays(x, why));
    VF_TRY(vf_exp_logs_find(x, why));
    VF_TRY(vf_exp_desk_read(x, why));
    VF_TRY(vf_exp_logs_read(x, why));
    vf_exp_logs_judge(x);
    vf_exp_desk_judge(x);
    VF_TRY(vf_exp_sources_apply(x, why));
    for (uint32_t i = 0; i < x->nsources; i++)
        if (x->sources[i].in_scope && x->sources[i].device != VF_EXP_NONE)
            x->devices[x->sources[i].device].ngrants++;
    VF_TRY(vf_case_order(x->c, &x->order, why));
    vf_exp_count(x);
    return vf_exp_say_all(x, why);
}

enum vf_err vf_exposure_compute(const struct vf_exposure_options *opt, struct vf_exposure **ret, struct vf_why *why)
{
    VF_EXPOSURE x = calloc(1, sizeof(*x));

    if (x == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", opt->vault);
    x->opt = *opt;
    VF_TRY(compute(x, why));
    *ret = x;
    x = NULL;
    return VF_OK;
}
