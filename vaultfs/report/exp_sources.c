/* SPDX-License-Identifier: MIT */
/* What makes a record readable: the grants of the vault, and those that it does not know but that a log names. */
#include "exp.h"

#include <stdlib.h>
#include <string.h>

static enum vf_err nomem(const struct vf_exposure *x, struct vf_why *why)
{
    return vf_fail(why, VF_E_NOMEM, "%s: out of memory", x->opt.vault);
}

/* Room for `n` of `size` bytes where there was room for `have`; what is new is zeroes. */
static bool grow(void *pp, size_t have, size_t n, size_t size)
{
    void *p;

    memcpy(&p, pp, sizeof(p));
    char *more = reallocarray(p, n, size);
    if (more == NULL)
        return false;
    memset(more + have * size, 0, (n - have) * size);
    memcpy(pp, &more, sizeof(more));
    return true;
}

enum vf_err vf_exp_cells_fit(struct vf_exposure *x, struct vf_why *why)
{
    uint32_t want = x->c->nrefs;
    size_t have = (size_t)x->cells_room * VF_PART_COUNT;

    if (want <= x->cells_room)
        return VF_OK;
    uint32_t room = want < UINT32_MAX / 2 && want < x->cells_room * 2 ? x->cells_room * 2 : want;
    size_t cells = (size_t)room * VF_PART_COUNT;
    if (!grow(&x->cells, have, cells, sizeof(*x->cells)) || !grow(&x->now_in, have, cells, sizeof(*x->now_in)) ||
        !grow(&x->now_out, have, cells, sizeof(*x->now_out)) || !grow(&x->touched, x->cells_room, room, 1))
        return nomem(x, why);
    x->cells_room = room;
    return VF_OK;
}

/* ------------------------------------------------------------------------------------------------------------------ sources */

static enum vf_err add(struct vf_exposure *x, const struct vf_exp_source *s, uint32_t *ret, struct vf_why *why)
{
    if (!vf_case_room(&x->sources, x->nsources, &x->sources_room, sizeof(*x->sources)))
        return nomem(x, why);
    x->sources[x->nsources] = *s;
    if (ret != NULL)
        *ret = x->nsources;
    x->nsources++;
    return VF_OK;
}

/* Does the question concern a grant that the vault does not know? In doubt it does. */
static bool stray_in_scope(const struct vf_exposure *x, const struct vf_exp_source *s)
{
    if (x->opt.scope == VF_EXPOSURE_ALL || s->device == VF_EXP_NONE)
        return true;
    if (!x->devices[s->device].in_scope)
        return false;
    if (x->opt.scope == VF_EXPOSURE_DEVICE || s->manifest == VF_EXP_NONE)
        return true;
    /* It may be a renewal of the grant in question: those share its list. */
    for (uint32_t i = 0; i < x->c->ngrants; i++)
        if (x->sources[i].in_scope && x->sources[i].manifest == s->manifest)
            return true;
    return false;
}

enum vf_err vf_exp_sources_stray(struct vf_exposure *x, const struct vf_case_stray *s, uint32_t device, uint32_t *ret,
                                 struct vf_why *why)
{
    struct vf_exp_source source = {.id = s->id,
                                   .issued_us = INT64_MIN,
                                   .fields = s->fields != 0 ? s->fields & VF_EXP_GRANTABLE : VF_EXP_GRANTABLE,
                                   .grant = VF_EXP_NONE,
                                   .device = device,
                                   .manifest = VF_EXP_NONE};

    if (s->has_manifest)
        source.manifest = vf_case_manifest_find(x->c, &s->manifest);
    source.in_scope = stray_in_scope(x, &source);
    return add(x, &source, ret, why);
}

/* Once for every device of that name: which of them is meant, the vault's log does not say. */
static enum vf_err add_vault_stray(struct vf_exposure *x, const struct vf_case_stray *s, struct vf_why *why)
{
    bool found = false;

    for (uint32_t d = 0; d < x->c->ndevices; d++) {
        if (strcmp(x->c->devices[d].enrol.name, s->recipient) != 0)
            continue;
        found = true;
        VF_TRY(vf_exp_sources_stray(x, s, d, NULL, why));
    }
    return found ? VF_OK : vf_exp_sources_stray(x, s, VF_EXP_NONE, NULL, why);
}

enum vf_err vf_exp_sources_known(struct vf_exposure *x, struct vf_why *why)
{
    struct vf_case *c = x->c;

    for (uint32_t i = 0; i < c->ngrants; i++) {
        const struct vf_case_grant *k = &c->grants[i];
        const struct vf_exp_source s = {.id = k->g.id,
                                        .issued_us = k->g.issued_us,
                                        .fields = k->g.fields,
                                        .grant = i,
                                        .device = k->device,
                                        .manifest = k->manifest,
                                        .in_scope = x->opt.scope == VF_EXPOSURE_ALL,
                                        .online = k->g.release == VF_RELEASE_ONLINE};
        VF_TRY(add(x, &s, NULL, why));
    }
    return VF_OK;
}

/* After the scope is known. */
enum vf_err vf_exp_sources_vault_strays(struct vf_exposure *x, struct vf_why *why)
{
    for (uint32_t i = 0; i < x->c->nstrays; i++)
        VF_TRY(add_vault_stray(x, &x->c->strays[i], why));
    return VF_OK;
}

/* -------------------------------------------------------------------------------------------------------------------- cells */

void vf_exp_read_merge(struct vf_exp_read *to, const struct vf_exp_read *from)
{
    if (from->word == 0 && from->pending == 0)
        return;
    if (to->word == 0 && to->pending == 0) {
        *to = *from;
        return;
    }
    if (from->first_us < to->first_us)
        to->first_us = from->first_us;
    if (from->last_us >= to->last_us) {
        to->last_us = from->last_us;
        to->source = from->source;
    }
    to->fields |= from->fields;
    if (from->word != 0 && (to->word == 0 || from->word < to->word))
        to->word = from->word;
    if (from->pending != 0 && (to->pending == 0 || from->pending < to->pending))
        to->pending = from->pending;
}

/* Newest grant of those that say the same; of two of one second, the greater id. */
static bool newer(const struct vf_exposure *x, uint32_t a, uint32_t b)
{
    const struct vf_exp_source *sa = &x->sources[a];
    const struct vf_exp_source *sb = &x->sources[b];

    if (sa->issued_us != sb->issued_us)
        return sa->issued_us > sb->issued_us;
    return memcmp(sa->id.c, sb->id.c, VF_GRANT_ID_LEN) > 0;
}

struct use {
    uint32_t source;
    uint8_t how; /* VF_EXPOSED_GRANTED and those behind it */
    uint8_t presumed;
};

static void use_cell(struct vf_exposure *x, struct vf_exp_cell *cell, vf_field_set fields, const struct use *u)
{
    if (fields == 0)
        return;
    /* What is certain explains more than what is not. */
    if (cell->how == 0 || u->how < cell->how || (cell->how == u->how && newer(x, u->source, cell->readable_source))) {
        cell->readable_source = u->source;
        cell->how = u->how;
    }
    cell->readable |= fields;
    if (u->presumed == 0)
        return;
    cell->presumed |= fields;
    if (cell->presumed_word == 0 || u->presumed < cell->presumed_word ||
        (u->presumed == cell->presumed_word && newer(x, u->source, cell->presumed_source))) {
        cell->presumed_word = u->presumed;
        cell->presumed_source = u->source;
    }
}

/* `images`: bit 0, there is a photo; bit 1, a signature. `parts`: a bit for each that is meant. */
static void use_ref(struct vf_exposure *x, uint32_t ref, vf_field_set fields, unsigned images, unsigned parts,
                    const struct use *u)
{
    vf_field_set pictures = fields & VF_EXP_IMAGES;

    if ((images & 1) == 0)
        pictures &= ~VF_FIELD_BIT(VF_FIELD_PHOTO);
    if ((images & 2) == 0)
        pictures &= ~VF_FIELD_BIT(VF_FIELD_SIGNATURE);
    x->touched[ref] = 1;
    if ((parts & 1u << VF_PART_TEXT) != 0)
        use_cell(x, &x->cells[(size_t)ref * 2 + VF_PART_TEXT], fields & vf_exp_part_mask(VF_PART_TEXT), u);
    if ((parts & 1u << VF_PART_IMAGE) != 0)
        use_cell(x, &x->cells[(size_t)ref * 2 + VF_PART_IMAGE], pictures, u);
}

/* The gravest thing that is presumed of the grants of this device. */
static uint8_t presumption(const struct vf_exposure *x, const struct vf_exp_source *s)
{
    static const struct vf_exp_device unknown = {.no_log = true};
    const struct vf_exp_device *d = s->device != VF_EXP_NONE ? &x->devices[s->device] : &unknown;
    const struct vf_exposure_options *o = &x->opt;

    /* What was not there yet at the end of the window cannot have been read in it; one of a time to come has a wrong time. */
    if (o->has_until && s->issued_us > o->until_us && s->issued_us <= o->now_us)
        return 0;
    if (d->compromised)
        return VF_EXPOSED_COMPROMISED;
    if (d->no_log)
        return VF_EXPOSED_NO_LOG;
    if (d->damaged)
        return VF_EXPOSED_DAMAGED;
    if (d->cut)
        return VF_EXPOSED_CUT;
    if (d->after_handin)
        return VF_EXPOSED_AFTER_HANDIN;
    if (d->gap)
        return VF_EXPOSED_GAP;
    return d->killed ? VF_EXPOSED_KILLED : 0;
}

#define BOTH_PARTS (1u << VF_PART_TEXT | 1u << VF_PART_IMAGE)

static unsigned parts_released(const struct vf_exp_source *s, uint32_t ref)
{
    return (vf_exp_desk_released(s, VF_PART_TEXT, ref) ? 1u << VF_PART_TEXT : 0) |
           (vf_exp_desk_released(s, VF_PART_IMAGE, ref) ? 1u << VF_PART_IMAGE : 0);
}

/* A ref that the desk released and that is not on the grant's list, or the list is not known: whatever the grant can name. */
static void apply_released_beside(struct vf_exposure *x, const struct vf_exp_source *s, const struct use *u)
{
    const struct vf_case_manifest *m = s->manifest != VF_EXP_NONE ? &x->c->manifests[s->manifest] : NULL;
    const struct vf_exp_released *r = s->released;

    for (unsigned part = 0; part < VF_PART_COUNT; part++) {
        bool any = r->unknown[part] || (r->all[part] && m == NULL);
        for (uint32_t ref = 0; ref < x->c->nrefs; ref++)
            if (any || (ref < r->room[part] && (r->bits[part][ref / 8] >> ref % 8 & 1) != 0))
                use_ref(x, ref, s->fields, 3, 1u << part, u);
    }
}

/* Online: from its release on. A release of one that is on the list, and only there, is settled by the list. */
static void apply_released(struct vf_exposure *x, const struct vf_exp_source *s, const struct use *u)
{
    const struct vf_case_manifest *m = s->manifest != VF_EXP_NONE ? &x->c->manifests[s->manifest] : NULL;
    uint32_t listed[VF_PART_COUNT] = {0};
    uint32_t set[VF_PART_COUNT] = {0};
    const struct vf_exp_released *r = s->released;

    if (r == NULL)
        return;
    for (uint32_t i = 0; m != NULL && i < m->n; i++) {
        use_ref(x, m->at[i], s->fields, m->images[i], parts_released(s, m->at[i]), u);
        for (unsigned part = 0; part < VF_PART_COUNT; part++)
            listed[part] += m->at[i] < r->room[part] && (r->bits[part][m->at[i] / 8] >> m->at[i] % 8 & 1) != 0 ? 1 : 0;
    }
    for (unsigned part = 0; part < VF_PART_COUNT; part++)
        for (uint32_t i = 0; i < r->room[part] / 8; i++)
            set[part] += (uint32_t)__builtin_popcount(r->bits[part][i]);
    if (m == NULL || listed[0] != set[0] || listed[1] != set[1] || r->unknown[0] || r->unknown[1])
        apply_released_beside(x, s, u);
}

/* What it names and the desk never gave out. */
static void apply_withheld(struct vf_exposure *x, const struct vf_exp_source *s)
{
    const struct vf_case_manifest *m = s->manifest != VF_EXP_NONE ? &x->c->manifests[s->manifest] : NULL;

    for (uint32_t i = 0; m != NULL && i < m->n; i++) {
        x->touched[m->at[i]] = 1;
        for (unsigned part = 0; part < VF_PART_COUNT; part++) {
            vf_field_set fields = s->fields & vf_exp_part_mask(part);
            if (part == VF_PART_IMAGE)
                fields &= ((m->images[i] & 1) != 0 ? VF_FIELD_BIT(VF_FIELD_PHOTO) : 0) |
                          ((m->images[i] & 2) != 0 ? VF_FIELD_BIT(VF_FIELD_SIGNATURE) : 0);
            if (fields != 0 && !vf_exp_desk_released(s, part, m->at[i]))
                x->cells[(size_t)m->at[i] * 2 + part].withheld = true;
        }
    }
}

static void apply_source(struct vf_exposure *x, uint32_t i)
{
    const struct vf_exp_source *s = &x->sources[i];
    struct use u = {.source = i,
                    .how = s->grant == VF_EXP_NONE ? VF_EXPOSED_UNKNOWN_GRANT : VF_EXPOSED_GRANTED,
                    .presumed = presumption(x, s)};

    if (s->online) {
        u.how = VF_EXPOSED_RELEASED;
        apply_released(x, s, &u);
        u.how = s->grant == VF_EXP_NONE ? VF_EXPOSED_UNKNOWN_GRANT : VF_EXPOSED_GRANTED_ONLINE;
    }
    if (s->online && s->unproven == 0) {
        apply_withheld(x, s);
        return;
    }
    if (s->manifest == VF_EXP_NONE) {
        for (uint32_t r = 0; r < x->c->nrefs; r++)
            use_ref(x, r, s->fields, 3, BOTH_PARTS, &u);
        return;
    }
    const struct vf_case_manifest *m = &x->c->manifests[s->manifest];
    /* The list says which fields; of a grant that the vault knows, it is the same. */
    vf_field_set fields = s->grant == VF_EXP_NONE ? m->fields : s->fields;
    for (uint32_t r = 0; r < m->n; r++)
        use_ref(x, m->at[r], fields, m->images[r], BOTH_PARTS, &u);
}

/* `all` entries: what was noted once a list goes to every record of it. */
static void apply_list(struct vf_exposure *x, uint32_t m, unsigned part)
{
    const struct vf_case_manifest *k = &x->c->manifests[m];
    const struct vf_exp_read *in = &x->all_in[(size_t)m * 2 + part];
    const struct vf_exp_read *out = &x->all_out[(size_t)m * 2 + part];

    if (in->word == 0 && out->word == 0)
        return;
    for (uint32_t r = 0; r < k->n; r++) {
        if (part == VF_PART_IMAGE && k->images[r] == 0)
            continue;
        struct vf_exp_cell *cell = &x->cells[(size_t)k->at[r] * 2 + part];
        vf_exp_read_merge(&cell->in, in);
        vf_exp_read_merge(&cell->out, out);
        x->touched[k->at[r]] = 1;
    }
}

/* A list that nobody knows: it may have been anybody's. */
static void apply_unknown_list(struct vf_exposure *x, unsigned part)
{
    const struct vf_exp_read *in = &x->all_in[(size_t)x->c->nmanifests * 2 + part];
    const struct vf_exp_read *out = &x->all_out[(size_t)x->c->nmanifests * 2 + part];
    vf_field_set mask = vf_exp_part_mask(part);

    if (in->word == 0 && out->word == 0)
        return;
    for (uint32_t r = 0; r < x->c->nrefs; r++) {
        struct vf_exp_cell *cell = &x->cells[(size_t)r * 2 + part];
        x->touched[r] = 1;
        if (in->word == 0) {
            vf_exp_read_merge(&cell->out, out);
            continue;
        }
        cell->presumed |= in->fields != 0 ? in->fields & mask : mask;
        if (cell->presumed_word == 0) {
            cell->presumed_word = VF_EXPOSED_UNKNOWN_LIST;
            cell->presumed_source = in->source;
        }
    }
}

enum vf_err vf_exp_sources_apply(struct vf_exposure *x, struct vf_why *why)
{
    VF_TRY(vf_exp_cells_fit(x, why));
    for (uint32_t i = 0; i < x->nsources; i++)
        if (x->sources[i].in_scope)
            apply_source(x, i);
    for (unsigned part = 0; part < VF_PART_COUNT; part++) {
        for (uint32_t m = 0; m < x->c->nmanifests; m++)
            apply_list(x, m, part);
        apply_unknown_list(x, part);
    }
    return VF_OK;
}
