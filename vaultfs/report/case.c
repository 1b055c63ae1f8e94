/* SPDX-License-Identifier: MIT */
#include "case.h"

#include <stdlib.h>
#include <string.h>

bool vf_case_room(void *pp, uint32_t n, uint32_t *have, size_t size)
{
    void *p;

    if (n < *have)
        return true;
    if (n >= UINT32_MAX / 2)
        return false;
    uint32_t want = n < 16 ? 32 : n * 2;
    memcpy(&p, pp, sizeof(p));
    void *more = reallocarray(p, want, size);
    if (more == NULL)
        return false;
    memset((char *)more + (size_t)n * size, 0, (size_t)(want - n) * size);
    memcpy(pp, &more, sizeof(more));
    *have = want;
    return true;
}

static enum vf_err nomem(const struct vf_case *c, struct vf_why *why)
{
    return vf_fail(why, VF_E_NOMEM, "%s: out of memory", c->path);
}

/* --------------------------------------------------------------------------------------------------------------------- refs */

static uint64_t ref_number(const struct vf_ref *ref)
{
    uint64_t x;

    memcpy(&x, ref->c, sizeof(x));
    x ^= x >> 29;
    x *= UINT64_C(0xbf58476d1ce4e5b9);
    return x ^ x >> 32;
}

/* The slot where it is, or where it belongs. */
static uint32_t slot_of(const struct vf_case *c, const struct vf_ref *ref)
{
    uint32_t mask = c->nslots - 1;
    uint32_t i = (uint32_t)ref_number(ref) & mask;

    while (c->slots[i].at != VF_CASE_NONE && memcmp(c->slots[i].ref.c, ref->c, VF_REF_LEN) != 0)
        i = (i + 1) & mask;
    return i;
}

uint32_t vf_case_find(const struct vf_case *c, const struct vf_ref *ref)
{
    return c->nslots == 0 ? VF_CASE_NONE : c->slots[slot_of(c, ref)].at;
}

void vf_case_find_soon(const struct vf_case *c, const struct vf_ref *ref)
{
    if (c->nslots > 0)
        __builtin_prefetch(&c->slots[(uint32_t)ref_number(ref) & (c->nslots - 1)]);
}

static enum vf_err grow_slots(struct vf_case *c, struct vf_why *why)
{
    uint32_t want = c->nslots == 0 ? 4096 : c->nslots * 2;
    struct vf_case_slot *slots = reallocarray(NULL, want, sizeof(*slots));

    if (slots == NULL)
        return nomem(c, why);
    memset(slots, 0xff, (size_t)want * sizeof(*slots));
    free(c->slots);
    c->slots = slots;
    c->nslots = want;
    for (uint32_t i = 0; i < c->nrefs; i++)
        c->slots[slot_of(c, &c->refs[i].ref)] = (struct vf_case_slot){c->refs[i].ref, i};
    return VF_OK;
}

enum vf_err vf_case_intern(struct vf_case *c, const struct vf_ref *ref, uint32_t *ret, struct vf_why *why)
{
    if (c->nrefs >= c->nslots / 2)
        VF_TRY(grow_slots(c, why));
    uint32_t slot = slot_of(c, ref);
    if (c->slots[slot].at == VF_CASE_NONE) {
        if (!vf_case_room(&c->refs, c->nrefs, &c->refs_room, sizeof(*c->refs)))
            return nomem(c, why);
        c->refs[c->nrefs] = (struct vf_case_ref){.ref = *ref};
        c->slots[slot] = (struct vf_case_slot){*ref, c->nrefs++};
    }
    *ret = c->slots[slot].at;
    return VF_OK;
}

static int by_ref(const void *a, const void *b, void *user)
{
    const struct vf_case *c = user;

    return vf_ref_cmp(&c->refs[*(const uint32_t *)a].ref, &c->refs[*(const uint32_t *)b].ref);
}

enum vf_err vf_case_order(const struct vf_case *c, uint32_t **ret, struct vf_why *why)
{
    uint32_t *order = reallocarray(NULL, (size_t)c->nrefs + 1, sizeof(*order));

    if (order == NULL)
        return nomem(c, why);
    for (uint32_t i = 0; i < c->nrefs; i++)
        order[i] = i;
    qsort_r(order, c->nrefs, sizeof(*order), by_ref, (void *)(uintptr_t)c);
    *ret = order;
    return VF_OK;
}

/* ------------------------------------------------------------------------------------------------------------------ lookups */

static int by_grant_id(const void *a, const void *b)
{
    return memcmp(((const struct vf_case_grant *)a)->g.id.c, ((const struct vf_case_grant *)b)->g.id.c, VF_GRANT_ID_LEN);
}

static int by_hash(const void *a, const void *b)
{
    return memcmp(((const struct vf_case_manifest *)a)->hash.b, ((const struct vf_case_manifest *)b)->hash.b, VF_HASH_LEN);
}

uint32_t vf_case_grant_find(const struct vf_case *c, const struct vf_grant_id *id)
{
    uint32_t low = 0;
    uint32_t high = c->ngrants;

    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        int cmp = memcmp(c->grants[mid].g.id.c, id->c, VF_GRANT_ID_LEN);
        if (cmp == 0)
            return mid;
        if (cmp < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return VF_CASE_NONE;
}

uint32_t vf_case_manifest_find(const struct vf_case *c, const struct vf_hash *hash)
{
    struct vf_case_manifest key = {.hash = *hash};
    const struct vf_case_manifest *m =
        c->nmanifests > 0 ? bsearch(&key, c->manifests, c->nmanifests, sizeof(key), by_hash) : NULL;

    return m != NULL ? (uint32_t)(m - c->manifests) : VF_CASE_NONE;
}

uint32_t vf_case_device_by_log(const struct vf_case *c, const struct vf_hash *log_id)
{
    for (uint32_t i = 0; i < c->ndevices; i++)
        if (memcmp(c->devices[i].enrol.log_id.b, log_id->b, VF_HASH_LEN) == 0)
            return i;
    return VF_CASE_NONE;
}

static uint32_t device_by_enrolment(const struct vf_case *c, const struct vf_hash *id)
{
    for (uint32_t i = 0; i < c->ndevices; i++)
        if (memcmp(c->devices[i].enrol.id.b, id->b, VF_HASH_LEN) == 0)
            return i;
    return VF_CASE_NONE;
}

enum vf_err vf_case_stray_add(struct vf_case *c, const struct vf_case_stray *stray, struct vf_why *why)
{
    for (uint32_t i = 0; i < c->nstrays; i++) {
        struct vf_case_stray *s = &c->strays[i];
        if (memcmp(s->id.c, stray->id.c, VF_GRANT_ID_LEN) != 0 || strcmp(s->recipient, stray->recipient) != 0)
            continue;
        /* What is known of it by any entry; where they contradict each other, nothing is. */
        if (!s->has_manifest && stray->has_manifest) {
            s->has_manifest = true;
            s->manifest = stray->manifest;
        } else if (s->has_manifest && stray->has_manifest && memcmp(s->manifest.b, stray->manifest.b, VF_HASH_LEN) != 0) {
            s->manifest = (struct vf_hash){{0}};
        }
        s->fields |= stray->fields;
        if (stray->time_us < s->time_us)
            s->time_us = stray->time_us;
        return VF_OK;
    }
    if (!vf_case_room(&c->strays, c->nstrays, &c->strays_room, sizeof(*c->strays)))
        return nomem(c, why);
    c->strays[c->nstrays++] = *stray;
    return VF_OK;
}

/* --------------------------------------------------------------------------------------------------------------------- rows */

static enum vf_err take_meta(struct vf_case *c, struct vf_slice key, struct vf_slice val, struct vf_why *why)
{
    if (key.len == strlen("policy") && memcmp(key.data, "policy", key.len) == 0) {
        if (c->has_policy)
            vf_policy_chain_done(&c->chain);
        c->has_policy = false;
        VF_TRY(vf_policy_chain_parse(val.data, val.len, "the policy in the vault", &c->chain, why));
        c->has_policy = true;
    } else if (key.len == strlen("restored") && memcmp(key.data, "restored", key.len) == 0 && val.len == 8) {
        c->restored_us = (int64_t)vf_get_be64(val.data);
    }
    return VF_OK;
}

static enum vf_err take_grant(struct vf_case *c, struct vf_slice key, struct vf_slice val, struct vf_why *why)
{
    struct vf_grant_row row;
    struct vf_note note;

    if (!vf_case_room(&c->grants, c->ngrants, &c->grants_room, sizeof(*c->grants)))
        return nomem(c, why);
    struct vf_case_grant *k = &c->grants[c->ngrants];
    *k = (struct vf_case_grant){.device = VF_CASE_NONE, .manifest = VF_CASE_NONE};
    VF_TRY(vf_grant_row_parse(val.data, val.len, &row, why));
    VF_TRY(vf_note_parse(row.note.data, row.note.len, &note, why));
    VF_TRY(vf_grant_parse(&note, "a grant in the vault", &k->g, why));
    if (key.len != VF_GRANT_ID_LEN || memcmp(key.data, k->g.id.c, VF_GRANT_ID_LEN) != 0)
        return vf_fail(why, VF_E_DAMAGED, "%s: a grant's row is not its own; check the vault", c->path);
    k->revoked = row.state == VF_GRANT_REVOKED;
    k->exported = row.exported;
    if (c->has_policy) {
        struct vf_note_key keys[VF_ADMINS_MAX];
        bool by[VF_ADMINS_MAX] = {false};
        size_t n = 0;
        size_t nkeys = vf_policy_admin_keys(&c->chain.policy, keys);
        /* A signature that fails does not make a grant less readable: it is counted as none. */
        if (vf_note_verify(&note, keys, nkeys, by, &n, NULL) == VF_OK)
            k->signatures = (unsigned)n;
    }
    c->ngrants++;
    return VF_OK;
}

static enum vf_err take_manifest_rows(struct vf_case *c, const struct vf_manifest *m, struct vf_case_manifest *k,
                                      struct vf_why *why)
{
    int photo = vf_manifest_column(m, VF_FIELD_PHOTO);
    int signature = vf_manifest_column(m, VF_FIELD_SIGNATURE);
    struct vf_manifest_item item;

    for (uint32_t i = 0; i < m->nrecords; i++) {
        struct vf_ref ref;
        vf_manifest_ref(m, i, &ref);
        VF_TRY(vf_case_intern(c, &ref, &k->at[i], why));
        if (photo >= 0) {
            vf_manifest_item(m, i, (unsigned)photo, &item);
            k->images[i] |= item.generation > 0 ? 1 : 0;
        }
        if (signature >= 0) {
            vf_manifest_item(m, i, (unsigned)signature, &item);
            k->images[i] |= item.generation > 0 ? 2 : 0;
        }
    }
    return VF_OK;
}

static enum vf_err take_manifest(struct vf_case *c, struct vf_slice key, struct vf_slice val, struct vf_why *why)
{
    struct vf_manifest m;
    struct vf_hash hash;

    VF_TRY(vf_manifest_parse(val.data, val.len, "a manifest in the vault", &m, why));
    vf_sha256(val.data, val.len, &hash);
    if (key.len != VF_HASH_LEN || memcmp(key.data, hash.b, VF_HASH_LEN) != 0)
        return vf_fail(why, VF_E_DAMAGED, "%s: a manifest is not what its grant hashed; check the vault", c->path);
    if (!vf_case_room(&c->manifests, c->nmanifests, &c->manifests_room, sizeof(*c->manifests)))
        return nomem(c, why);
    struct vf_case_manifest *k = &c->manifests[c->nmanifests++];
    *k = (struct vf_case_manifest){.hash = hash, .fields = m.set, .n = m.nrecords};
    k->at = calloc((size_t)m.nrecords + 1, sizeof(*k->at));
    k->images = calloc((size_t)m.nrecords + 1, sizeof(*k->images));
    if (k->at == NULL || k->images == NULL)
        return nomem(c, why);
    return take_manifest_rows(c, &m, k, why);
}

static enum vf_err take_device(struct vf_case *c, struct vf_slice key, struct vf_slice val, struct vf_why *why)
{
    struct vf_device_item item;

    if (!vf_case_room(&c->devices, c->ndevices, &c->devices_room, sizeof(*c->devices)))
        return nomem(c, why);
    VF_TRY(vf_device_item_parse(key, val, &item, why));
    c->devices[c->ndevices++] = (struct vf_case_device){
        .enrol = item.enrol, .revoked = item.revoked, .handin_us = item.handin_us, .handin_size = item.handin_size};
    return VF_OK;
}

static enum vf_err take_record(struct vf_case *c, struct vf_slice key, struct vf_why *why)
{
    struct vf_ref ref;
    uint32_t at;

    if (!vf_ref_parse((const char *)key.data, key.len, &ref))
        return vf_fail(why, VF_E_DAMAGED, "%s: a record's row has no ref; check the vault", c->path);
    VF_TRY(vf_case_intern(c, &ref, &at, why));
    if (!c->refs[at].in_vault)
        c->records++;
    c->refs[at].in_vault = true;
    return VF_OK;
}

enum vf_err vf_case_take_row(void *user, enum vf_vault_table table, struct vf_slice key, struct vf_slice val,
                             struct vf_why *why)
{
    struct vf_case *c = user;

    switch (table) {
    case VF_VT_META:
        return take_meta(c, key, val, why);
    case VF_VT_RECORD:
        return take_record(c, key, why);
    case VF_VT_GRANT:
        return take_grant(c, key, val, why);
    case VF_VT_MANIFEST:
        return take_manifest(c, key, val, why);
    case VF_VT_DEVICE:
        return take_device(c, key, val, why);
    case VF_VT_VK:
    case VF_VT_INDEX:
    case VF_VT_HEAD:
    case VF_VT_VALUE:
    case VF_VT_TIMES:
    case VF_VT_PREKEY:
    case VF_VT_COUNT:
        break;
    }
    return VF_OK;
}

void vf_case_link(struct vf_case *c)
{
    if (c->ngrants > 1)
        qsort(c->grants, c->ngrants, sizeof(*c->grants), by_grant_id);
    if (c->nmanifests > 1)
        qsort(c->manifests, c->nmanifests, sizeof(*c->manifests), by_hash);
    for (uint32_t i = 0; i < c->ngrants; i++) {
        struct vf_case_grant *k = &c->grants[i];
        k->device = device_by_enrolment(c, &k->g.enrolment);
        k->manifest = vf_case_manifest_find(c, &k->g.manifest_hash);
        if (k->device != VF_CASE_NONE && c->devices[k->device].revoked)
            k->revoked = true;
    }
}
