/* SPDX-License-Identifier: MIT */
/* A few lines for a terminal, and one sentence for one person. */
#include "exp.h"

#include <string.h>

static void put_row(struct vf_buf *out, const char *name, const uint64_t n[3])
{
    vf_buf_fmt(out, "%-10s %12llu %12llu %24llu\n", name, (unsigned long long)n[0], (unsigned long long)n[1],
               (unsigned long long)n[2]);
}

/* A station that was made anew has the name of the old one. */
static bool has_namesake(const struct vf_exposure *x, uint32_t device)
{
    for (uint32_t i = 0; i < x->c->ndevices; i++)
        if (i != device && strcmp(x->c->devices[i].enrol.name, x->c->devices[device].enrol.name) == 0)
            return true;
    return false;
}

static void put_devices(const struct vf_exposure *x, struct vf_buf *out)
{
    for (uint32_t i = 0; i < x->c->ndevices; i++) {
        const struct vf_exp_device *d = &x->devices[i];
        char until[64];
        if (!d->in_scope || d->ngrants == 0)
            continue;
        vf_buf_fmt(out, "%-10s %s", "log of", vf_exp_device_name(x, i));
        if (has_namesake(x, i)) {
            vf_exp_time_words(x->c->devices[i].enrol.created_us, until);
            vf_buf_fmt(out, " (enrolled %s)", until);
        }
        vf_buf_text(out, ": ");
        if (d->log == VF_EXP_NONE) {
            vf_buf_text(out, d->no_log ? "none\n" : "none that is good\n");
            continue;
        }
        vf_exp_time_words(d->speaks_until_us, until);
        vf_buf_fmt(out, "%s, until %s%s\n", x->logs[d->log].copy ? "handed in" : "folder", until,
                   d->damaged || d->cut ? ", and there was more" : "");
    }
}

void vf_exposure_put_words(const struct vf_exposure *x, struct vf_buf *out)
{
    const struct vf_exp_counts *n = &x->counts;

    vf_buf_fmt(out, "%-10s %12s %12s %24s\n", "", "unreadable", "readable", "read or presumed read");
    put_row(out, "text", n->cells[VF_PART_TEXT]);
    put_row(out, "image", n->cells[VF_PART_IMAGE]);
    put_row(out, "people", n->people);
    vf_buf_fmt(out, "%-10s a log shows that the records of %llu %s were read", "reads", (unsigned long long)n->people_read,
               n->people_read == 1 ? "person" : "people");
    if (n->people_read > 0)
        vf_exp_times_words(n->first_us, n->last_us, ", from", "to", ", on", out);
    vf_buf_fmt(out, "; those of %llu more are presumed read\n", (unsigned long long)n->people_presumed);
    if (n->erased + n->gone > 0)
        vf_buf_fmt(out, "%-10s not in the vault any more, of those above: %llu (erased: %llu)\n", "gone",
                   (unsigned long long)(n->erased + n->gone), (unsigned long long)n->erased);
    put_devices(x, out);
    for (uint32_t i = 0; i < x->nitems; i++)
        if (x->items[i].level != VF_EXP_REMARK)
            vf_buf_fmt(out, "%-10s %s\n", x->items[i].level == VF_EXP_DOUBT ? "DOUBT" : "assumed", x->items[i].words);
}

/* -------------------------------------------------------------------------------------------------------------- one person */

static void put_fields(const struct vf_exposed_part *p, enum vf_part part, struct vf_buf *out)
{
    vf_buf_text(out, part == VF_PART_TEXT ? "The text of your record" : "The pictures of your record");
    if (p->fields == 0)
        return;
    vf_buf_text(out, " (");
    vf_exp_fields_words(p->fields, out);
    vf_buf_text(out, ")");
}

static void put_times(const struct vf_exposed_part *p, struct vf_buf *out)
{
    vf_exp_times_words(p->first_us, p->last_us, " between", "and", " on", out);
}

static void put_presumed(const struct vf_exposed_part *p, struct vf_buf *out)
{
    vf_buf_fmt(out, " (%s)", vf_exposed_word_meaning((enum vf_exposed_word)p->presumed));
}

void vf_exposed_sentence(const struct vf_exposed_part *p, enum vf_part part, struct vf_buf *out)
{
    put_fields(p, part, out);
    if (p->tier == 0) {
        vf_buf_text(out, " could not be read");
        if (p->presumed == VF_EXPOSED_NOT_RELEASED)
            put_presumed(p, out);
        vf_buf_text(out, ".");
        return;
    }
    if (p->tier == 1 && !p->has_times) {
        vf_buf_text(out, " could have been read. There is no sign of it");
        put_presumed(p, out);
    } else if (p->tier == 1) {
        vf_buf_text(out, " could have been read, and the log shows a read at a time that was not asked about:");
        put_times(p, out);
    } else if (p->read == 0) {
        vf_buf_text(out, part == VF_PART_TEXT ? " has to be presumed read" : " have to be presumed read");
        put_presumed(p, out);
    } else {
        vf_buf_text(out, part == VF_PART_TEXT ? " was read" : " were read");
        put_times(p, out);
        if (p->read != VF_EXPOSED_LOG)
            vf_buf_fmt(out, ", by what %s",
                       p->read == VF_EXPOSED_LOG_UNSEALED  ? "the last lines of a log say"
                       : p->read == VF_EXPOSED_LOG_DAMAGED ? "a damaged log says"
                                                           : "the log of an unknown device says");
        if (p->presumed != 0) {
            vf_buf_text(out, ", and more of it has to be presumed read");
            put_presumed(p, out);
        }
    }
    vf_buf_text(out, ".");
}
