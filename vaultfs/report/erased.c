/* SPDX-License-Identifier: MIT */
#include "case.h"

#include <stdlib.h>
#include <vaultfs/report.h>

enum vf_err vf_erased_list(const char *vault, struct vf_erased **ret, size_t *ret_n, struct vf_why *why)
{
    VF_CASE c = NULL;
    VF_FREE uint32_t *order = NULL;
    size_t n = 0;

    VF_TRY(vf_case_open(vault, NULL, &c, why));
    VF_TRY(vf_case_order(c, &order, why));
    struct vf_erased *list = calloc((size_t)c->nrefs + 1, sizeof(*list));
    if (list == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", vault);
    for (uint32_t i = 0; i < c->nrefs; i++) {
        const struct vf_case_ref *r = &c->refs[order[i]];
        if (r->erased_us != 0)
            list[n++] = (struct vf_erased){.ref = r->ref, .time_us = r->erased_us};
    }
    *ret = list;
    *ret_n = n;
    return VF_OK;
}
