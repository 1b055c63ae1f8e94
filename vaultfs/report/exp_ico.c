/* SPDX-License-Identifier: MIT */
/*
 * ico-draft.md: what UK GDPR Art. 33(3) asks, in its order. What is known is filled in, what is not is marked [TO BE COMPLETED: …]. No person
 * is named or numbered in it: no ref, no warrant number.
 */
#include "exp.h"

#include <string.h>

static const struct vf_policy *policy_of(const struct vf_exposure *x)
{
    return x->c->chain.ruling > 0 ? &x->c->chain.policy : &x->c->chain.pending;
}

static void put_clock(const struct vf_exposure *x, struct vf_buf *out)
{
    char aware[64];
    char due[64];
    char made[64];

    vf_buf_text(out, "## When\n\n");
    vf_exp_time_words(x->opt.now_us, made);
    if (x->opt.has_compromised) {
        char when[64];
        vf_exp_time_words(x->opt.compromised_us, when);
        vf_buf_fmt(out, "- **The breach happened, or began:** %s, as reported to us.\n", when);
    } else {
        vf_buf_text(out, "- **The breach happened, or began:** [TO BE COMPLETED: date and time, with the time zone].\n");
    }
    if (!x->opt.has_aware) {
        vf_buf_text(out, "- **We became aware of it:** [TO BE COMPLETED: date and time, with the time zone].\n"
                         "- **This report is due** 72 hours after that: [TO BE COMPLETED: date and time].\n");
    } else {
        vf_exp_time_words(x->opt.aware_us, aware);
        vf_exp_time_words(x->opt.aware_us + 3 * VF_DAY_US, due);
        vf_buf_fmt(out, "- **We became aware of it:** %s.\n- **This report is due** 72 hours after that: %s", aware, due);
        int64_t left = x->opt.aware_us + 3 * VF_DAY_US - x->opt.now_us;
        int64_t hours = (left < 0 ? -left : left) / (3600 * VF_SECOND_US);
        if (left >= 0)
            vf_buf_fmt(out, " (%lld hours from now).\n", (long long)hours);
        else
            vf_buf_fmt(out,
                       ", which has passed %lld hours ago: [TO BE COMPLETED: the reasons for the delay (Art. 33(1))].\n",
                       (long long)hours);
    }
    vf_buf_fmt(out,
               "- **The figures below are of:** %s. Where more becomes known, we will say so in phases (Art. 33(4)).\n\n",
               made);
}

static void put_devices(const struct vf_exposure *x, struct vf_buf *out)
{
    unsigned n = 0;

    for (uint32_t d = 0; d < x->c->ndevices; d++) {
        if (!x->devices[d].in_scope || x->devices[d].ngrants == 0)
            continue;
        vf_buf_fmt(out, "%s%s", n++ == 0 ? "" : ", ", vf_exp_device_name(x, d));
    }
    if (n == 0)
        vf_buf_text(out, "none that we know of");
}

static void put_nature(const struct vf_exposure *x, struct vf_buf *out)
{
    vf_buf_text(
        out, "## 1. Nature of the breach (Art. 33(3)(a))\n\n"
             "Personal data of our officers and staff, entrusted to a supplier for the production of warrant and identity "
             "cards, may have come into the hands of others. [TO BE COMPLETED: what happened, where, how it was found, and "
             "whether it goes on: theft, ransomware, unauthorised access, loss.] It is a breach of confidentiality. "
             "[TO BE COMPLETED: integrity or availability, if these suffered too. The supplier's copy is not the "
             "original; our records are complete.]\n\nComputers concerned: ");
    put_devices(x, out);
    vf_buf_text(
        out,
        ". Supplier: [TO BE COMPLETED: name, address, and whether other forces are concerned].\n\n"
        "The data is delivered to the supplier as ciphertext. A computer of the supplier can open only those fields of "
        "those records that we granted to it, and its software writes down each record that it opens, in a log that cannot "
        "be changed afterwards without being noticed. The figures below are computed from what we granted and from those "
        "logs.\n\n");
    bool online = false;
    for (uint32_t i = 0; i < x->nsources; i++)
        online |= x->sources[i].in_scope && x->sources[i].online && x->sources[i].unproven == 0;
    if (online)
        vf_buf_text(
            out,
            "Some of it was granted so that each record has to be fetched from our own key desk before it can be opened. "
            "The desk writes down what it gives out; what it did not give out could not be opened there, and is "
            "counted as not readable.\n\n");
}

static void put_number_rows(const struct vf_exposure *x, struct vf_buf *out)
{
    const struct vf_exp_counts *n = &x->counts;

    vf_buf_text(out, "| | people | their text | their pictures |\n|---|---:|---:|---:|\n");
    vf_buf_fmt(out, "| **Read, or presumed read** | %llu | %llu | %llu |\n", (unsigned long long)n->people[2],
               (unsigned long long)n->cells[VF_PART_TEXT][2], (unsigned long long)n->cells[VF_PART_IMAGE][2]);
    vf_buf_fmt(out, "| of these: a log shows the read | %llu | %llu | %llu |\n", (unsigned long long)n->people_read,
               (unsigned long long)n->read[VF_PART_TEXT], (unsigned long long)n->read[VF_PART_IMAGE]);
    vf_buf_fmt(out, "| **Readable, no sign that it was read** | %llu | %llu | %llu |\n", (unsigned long long)n->people[1],
               (unsigned long long)n->cells[VF_PART_TEXT][1], (unsigned long long)n->cells[VF_PART_IMAGE][1]);
    vf_buf_fmt(out, "| Not readable there | %llu | %llu | %llu |\n\n", (unsigned long long)n->people[0],
               (unsigned long long)n->cells[VF_PART_TEXT][0], (unsigned long long)n->cells[VF_PART_IMAGE][0]);
}

/* Was everything looked at that there is to know? */
static bool is_whole(const struct vf_exposure *x)
{
    return x->opt.scope == VF_EXPOSURE_ALL && !x->opt.has_since && !x->opt.has_until && !x->c->backup &&
           x->c->restored_us == 0 && !(x->opt.device_off && x->opt.passphrase_safe);
}

static void put_numbers(const struct vf_exposure *x, struct vf_buf *out)
{
    const struct vf_exp_counts *n = &x->counts;

    vf_buf_text(out, "### Numbers of people and records\n\nOne record is held for each person. ");
    vf_buf_fmt(
        out,
        "Approximate number of data subjects concerned: **%llu**. Approximate number of records concerned: **%llu**.\n\n",
        (unsigned long long)(n->people[1] + n->people[2]), (unsigned long long)(n->people[1] + n->people[2]));
    put_number_rows(x, out);
    vf_buf_text(out,
                "A person is counted once, by the worst that holds for the text or the pictures. Where a log is missing, "
                "damaged, or ends too early, everything that was readable is presumed read");
    vf_buf_text(out, is_whole(x)
                         ? "; so these are upper limits.\n"
                         : ". They answer the question as it stands under \"What the figures rest on\"; those of all "
                           "grants, at any time, can be higher.\n");
    if (n->first_us != 0) {
        vf_buf_text(out, "Reads that logs show, the supplier's ordinary work included: ");
        vf_exp_times_words(n->first_us, n->last_us, "between", "and", "on", out);
        vf_buf_text(out, ".\n");
    }
    if (n->erased + n->gone > 0)
        vf_buf_fmt(out,
                   "Of the people concerned, removed from our records meanwhile: %llu (erased on purpose: %llu); they are "
                   "counted.\n",
                   (unsigned long long)(n->erased + n->gone), (unsigned long long)n->erased);
    vf_buf_text(out, "\n");
}

/* What no grant in question names; of that, what other grants do. */
static void put_not_granted(const struct vf_exposure *x, struct vf_buf *out)
{
    vf_field_set left = 0;
    vf_field_set others = 0;

    for (unsigned f = 1; f < VF_FIELD_PAY_NO; f++)
        left |= VF_FIELD_BIT(f) & ~x->counts.readable;
    for (uint32_t i = 0; i < x->nsources; i++)
        others |= x->sources[i].in_scope ? 0 : x->sources[i].fields & left;
    if (left == 0)
        return;
    vf_buf_text(out, x->opt.scope == VF_EXPOSURE_ALL ? "- Not granted to any computer of a supplier: "
                                                     : "- Not granted to the computers in question: ");
    vf_exp_fields_words(left, out);
    if (others != 0) {
        vf_buf_text(out, " (but by grants that were not looked at here: ");
        vf_exp_fields_words(others, out);
        vf_buf_text(out, ")");
    }
    vf_buf_text(out, ".\n");
}

static void put_categories(const struct vf_exposure *x, struct vf_buf *out)
{
    vf_buf_text(
        out, "### Categories of people\n\nPolice officers, special constables, police community support officers, staff and "
             "contractors of the force. [TO BE COMPLETED: whether officers in covert, protection or other sensitive roles "
             "are among "
             "them; an admin sees that from the list for notification.]\n\n### Categories of data\n\n- Readable: ");
    vf_exp_fields_words(x->counts.readable, out);
    vf_buf_text(out, ".\n- Of these read or presumed read: ");
    vf_exp_fields_words(x->counts.exposed, out);
    vf_buf_text(out, ".\n");
    put_not_granted(x, out);
    vf_buf_text(out,
                "- **Never delivered to any supplier**, and so not concerned: vetting level and its expiry, pay number, "
                "protection status, and how to reach the person.\n"
                "- No home address, telephone number, bank detail or password was delivered.\n");
    if ((x->counts.readable & VF_FIELD_BIT(VF_FIELD_PHOTO)) != 0)
        vf_buf_text(out, "- Photographs are portraits for a card. Positions and other data that cameras write into photos "
                         "were removed before "
                         "delivery. They were not processed as biometric data. [TO BE COMPLETED: confirm.]\n");
    vf_buf_text(out,
                x->opt.scope == VF_EXPOSURE_ALL
                    ? "- All else that the supplier holds of us is ciphertext to which there is no key outside the force "
                      "(Art. 34(3)(a)).\n\n"
                    : "- All else of ours on the computers in question is ciphertext to which these have no key "
                      "(Art. 34(3)(a)).\n\n");
}

static void put_rest(const struct vf_exposure *x, struct vf_buf *out)
{
    bool photos = (x->counts.readable & VF_FIELD_BIT(VF_FIELD_PHOTO)) != 0;

    vf_buf_fmt(out,
               "## 2. Contact (Art. 33(3)(b))\n\n%s, [TO BE COMPLETED: name of the data protection officer, telephone, "
               "e-mail; a second "
               "contact outside office hours].\n\n",
               policy_of(x)->force_name);
    vf_buf_fmt(out,
               "## 3. Likely consequences (Art. 33(3)(c))\n\n"
               "- Identification as a member of the police by name%s, with the risk of harassment or targeting, on duty and "
               "off. The "
               "risk is highest for those in covert or protection work, and for those with rare names.\n"
               "- Convincing approaches (phishing, calls, letters) that use rank, number or card details.\n"
               "- Impersonation of officers, and false cards made after the details%s of real ones.\n"
               "- Distress, and loss of trust in how the force keeps such data.\n"
               "- [TO BE COMPLETED: the assessment of severity for the groups above.]\n\n",
               photos ? " and face" : "", photos ? " and pictures" : "");
    vf_buf_text(
        out,
        "## 4. Measures (Art. 33(3)(d))\n\nTaken before:\n\n"
        "- per-field encryption; a supplier gets keys for named fields of named records only, for a limited time, "
        "under the signatures "
        "of the force's admins;\n"
        "- protected (restricted, covert) records are left out of what is granted, unless they are asked for expressly;\n"
        "- every opening of a record at the supplier is logged before the data is given out.\n\nTaken since:\n\n");
    unsigned revoked = 0;
    for (uint32_t d = 0; d < x->c->ndevices; d++)
        revoked += x->devices[d].in_scope && x->c->devices[d].revoked ? 1 : 0;
    if (revoked > 0)
        vf_buf_fmt(out, "- %u of the computers named above %s revoked: no further delivery is possible to %s;\n", revoked,
                   revoked == 1 ? "was" : "were", revoked == 1 ? "it" : "them");
    else
        vf_buf_text(out, "- [TO BE COMPLETED: the computers concerned were revoked on …];\n");
    vf_buf_text(
        out,
        "- the exposure of every record was computed, officer by officer (the figures above);\n"
        "- [TO BE COMPLETED: people told, when and how, protected officers first; advice given; cards blocked and reissued; "
        "police investigation; National Crime Agency and NCSC informed; the supplier's own measures].\n\n");
}

/* Which option said so is nothing for the regulator: what stands in parentheses and begins with one is left out. */
static void put_without_options(const char *words, struct vf_buf *out)
{
    for (const char *p = words; *p != '\0'; p++) {
        const char *end = strncmp(p, " (--", 4) == 0 ? strchr(p, ')') : NULL;
        if (end != NULL)
            p = end;
        else
            vf_buf_u8(out, (uint8_t)*p);
    }
}

static void put_basis(const struct vf_exposure *x, struct vf_buf *out)
{
    vf_buf_text(out, "## What the figures rest on\n\n");
    for (uint32_t i = 0; i < x->nitems; i++) {
        if (x->items[i].level == VF_EXP_REMARK)
            continue;
        vf_buf_fmt(out, "- %s", x->items[i].level == VF_EXP_DOUBT ? "**Not certain:** " : "");
        put_without_options(x->items[i].words, out);
        vf_buf_text(out, "\n");
    }
    vf_buf_text(out, "\n");
}

void vf_exposure_put_ico(const struct vf_exposure *x, struct vf_buf *out)
{
    vf_buf_fmt(out,
               "# Personal data breach: report to the Information Commissioner (draft)\n\n"
               "Controller: %s. UK GDPR Article 33; Data Protection Act 2018. [TO BE COMPLETED: whether this is a first "
               "report or follows an "
               "earlier one, and its reference.]\n\n",
               policy_of(x)->force_name);
    put_clock(x, out);
    put_nature(x, out);
    put_numbers(x, out);
    put_categories(x, out);
    put_rest(x, out);
    put_basis(x, out);
}
