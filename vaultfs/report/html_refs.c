/* SPDX-License-Identifier: MIT */
#include "html_refs.h"

#include <stdlib.h>
#include <string.h>

void vf_refs_init(struct vf_refs *r, uint64_t seed, size_t max)
{
    *r = (struct vf_refs){.seed = seed, .max = max};
}

void vf_refs_done(struct vf_refs *r)
{
    free(r->row);
    free(r->slot);
    *r = (struct vf_refs){0};
}

/* Two rounds of a multiplicative mix over the 40 bits, keyed: who writes refs into a log cannot make them meet. */
static size_t home(const struct vf_refs *r, const struct vf_ref *ref)
{
    uint64_t x;

    memcpy(&x, ref->c, sizeof(x));
    x = (x ^ r->seed) * UINT64_C(0x9e3779b97f4a7c15);
    x = ((x ^ x >> 32) + r->seed) * UINT64_C(0xd6e8feb86659fd93);
    return (size_t)(x ^ x >> 32) & (r->nslots - 1);
}
_Static_assert(sizeof(struct vf_ref) == sizeof(uint64_t), "a ref is hashed as one number");

static size_t find(const struct vf_refs *r, const struct vf_ref *ref)
{
    size_t at = home(r, ref);

    while (r->slot[at] != 0 && memcmp(r->row[r->slot[at] - 1].ref.c, ref->c, VF_REF_LEN) != 0)
        at = (at + 1) & (r->nslots - 1);
    return at;
}

static enum vf_err grow(struct vf_refs *r, struct vf_why *why)
{
    size_t cap = r->cap > 0 ? 2 * r->cap : 1024;
    size_t nslots = 2 * cap;
    struct vf_ref_row *row = reallocarray(r->row, cap, sizeof(*row));

    if (row != NULL)
        r->row = row;
    uint32_t *slot = calloc(nslots, sizeof(*slot));
    if (row == NULL || slot == NULL) {
        free(slot);
        return vf_fail(why, VF_E_NOMEM, "no memory for %zu records", cap);
    }
    free(r->slot);
    r->slot = slot;
    r->nslots = nslots;
    r->cap = cap;
    for (size_t i = 0; i < r->n; i++)
        r->slot[find(r, &r->row[i].ref)] = (uint32_t)(i + 1);
    return VF_OK;
}

enum vf_err vf_refs_at(struct vf_refs *r, const struct vf_ref *ref, struct vf_ref_row **ret, struct vf_why *why)
{
    if (r->n == r->cap)
        VF_TRY(grow(r, why));
    size_t at = find(r, ref);
    if (r->slot[at] == 0 && r->n == r->max) {
        *ret = NULL;
        return VF_OK;
    }
    if (r->slot[at] == 0) {
        r->row[r->n] = (struct vf_ref_row){.ref = *ref, .first_us = INT64_MAX, .last_us = INT64_MIN};
        r->slot[at] = (uint32_t)++r->n;
    }
    *ret = &r->row[r->slot[at] - 1];
    return VF_OK;
}

static int compare(const void *a, const void *b)
{
    return vf_ref_cmp(&((const struct vf_ref_row *)a)->ref, &((const struct vf_ref_row *)b)->ref);
}

void vf_refs_sort(struct vf_refs *r)
{
    if (r->n > 1)
        qsort(r->row, r->n, sizeof(*r->row), compare);
    free(r->slot);
    r->slot = NULL;
    r->nslots = 0;
    r->cap = r->n; /* the next vf_refs_at would make the index anew */
}
