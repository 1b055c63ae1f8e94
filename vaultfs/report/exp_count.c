/* SPDX-License-Identifier: MIT */
/* From cells to tiers, and what is counted of them. */
#include "exp.h"

#include <string.h>

static vf_field_set fields_or(vf_field_set said, vf_field_set else_these, unsigned part)
{
    if (said != 0)
        return said;
    return else_these != 0 ? else_these : vf_exp_part_mask(part);
}

struct vf_exp_line vf_exp_line_of(const struct vf_exposure *x, uint32_t ref, unsigned part)
{
    const struct vf_exp_cell *c = &x->cells[(size_t)ref * 2 + part];
    struct vf_exp_line l = {.source = VF_EXP_NONE};
    uint32_t readable = c->how != 0 ? c->readable_source : VF_EXP_NONE;

    if (c->in.word != 0 || c->presumed_word != 0) {
        l.tier = 2;
        l.read_word = c->in.word;
        l.presumed_word = c->presumed_word;
        l.fields = c->presumed;
        l.source = c->presumed_word != 0 ? c->presumed_source : readable;
        if (c->in.word == 0)
            return l;
        l.fields |= fields_or(c->in.fields, c->readable, part);
        l.first_us = c->in.first_us;
        l.last_us = c->in.last_us;
        if (c->in.source != VF_EXP_NONE)
            l.source = c->in.source;
        return l;
    }
    l.fields = c->readable;
    l.source = readable;
    if (c->out.word != 0) {
        l.tier = 1;
        l.other_word = VF_EXPOSED_OUTSIDE;
        l.fields |= fields_or(c->out.fields, c->readable, part);
        l.first_us = c->out.first_us;
        l.last_us = c->out.last_us;
        if (c->out.source != VF_EXP_NONE)
            l.source = c->out.source;
    } else if (c->how != 0) {
        l.tier = 1;
        l.other_word = c->how;
    } else if (c->withheld) {
        l.other_word = VF_EXPOSED_NOT_RELEASED;
    }
    return l;
}

static void count_one(struct vf_exposure *x, uint32_t ref)
{
    struct vf_exp_counts *n = &x->counts;
    unsigned highest = 0;
    bool read = false;

    for (unsigned part = 0; part < VF_PART_COUNT; part++) {
        struct vf_exp_line l = vf_exp_line_of(x, ref, part);
        n->cells[part][l.tier]++;
        if (l.tier > highest)
            highest = l.tier;
        if (l.tier > 0)
            n->readable |= l.fields;
        if (l.tier == 2)
            n->exposed |= l.fields;
        if (l.read_word == 0)
            continue;
        read = true;
        n->read[part]++;
        if (n->first_us == 0 || l.first_us < n->first_us)
            n->first_us = l.first_us;
        if (l.last_us > n->last_us)
            n->last_us = l.last_us;
    }
    n->people[highest]++;
    n->people_read += read ? 1 : 0;
    n->people_presumed += highest == 2 && !read ? 1 : 0;
    if (highest > 0 && !x->c->refs[ref].in_vault) {
        n->erased += x->c->refs[ref].erased_us != 0 ? 1 : 0;
        n->gone += x->c->refs[ref].erased_us == 0 ? 1 : 0;
    }
}

void vf_exp_count(struct vf_exposure *x)
{
    for (uint32_t i = 0; i < x->c->nrefs; i++)
        if (x->opt.scope == VF_EXPOSURE_ALL || x->touched[i] != 0)
            count_one(x, i);
}

const char *vf_exp_log_name(const struct vf_exp_log *l)
{
    const char *below = NULL;

    for (const char *p = l->path; !l->given && (p = strstr(p, "/devices/")) != NULL; p++)
        below = p + 1;
    return below != NULL ? below : l->path;
}

const char *vf_exp_device_name(const struct vf_exposure *x, uint32_t device)
{
    return device != VF_EXP_NONE ? x->c->devices[device].enrol.name : "an unknown device";
}

void vf_exp_time_words(int64_t us, char out[64])
{
    vf_time_format_person(us, out, 64);
}

void vf_exp_times_words(int64_t first_us, int64_t last_us, const char *from, const char *to, const char *at,
                        struct vf_buf *out)
{
    char first[64];
    char last[64];

    vf_exp_time_words(first_us, first);
    vf_exp_time_words(last_us, last);
    if (strcmp(first, last) == 0)
        vf_buf_fmt(out, "%s %s", at, first);
    else
        vf_buf_fmt(out, "%s %s %s %s", from, first, to, last);
}

static void put_field_words(unsigned field, struct vf_buf *out)
{
    const char *name = vf_field_info(field)->name;
    size_t len = strlen(name);
    bool number = len > 3 && strcmp(name + len - 3, "_no") == 0;

    for (size_t i = 0; i < (number ? len - 3 : len); i++)
        vf_buf_u8(out, name[i] == '_' ? ' ' : (uint8_t)name[i]);
    vf_buf_text(out, number ? " number" : "");
}

void vf_exp_fields_words(vf_field_set fields, struct vf_buf *out)
{
    vf_field_set left = fields;
    bool first = true;

    if (fields == 0)
        vf_buf_text(out, "none");
    for (unsigned f = 1; f < VF_FIELD_COUNT; f++) {
        if ((fields & VF_FIELD_BIT(f)) == 0)
            continue;
        left &= ~VF_FIELD_BIT(f);
        if (!first)
            vf_buf_text(out, left == 0 ? " and " : ", ");
        put_field_words(f, out);
        first = false;
    }
}
