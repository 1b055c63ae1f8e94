/* SPDX-License-Identifier: MIT */
/*
 * officer-notice.md: one letter in three forms, by tier (Art. 34: clear and plain language, nature, contact, consequences, measures). It says what
 * was and what was not readable, of the people of that tier as a whole; what holds for one of them, `record affected` says.
 */
#include "exp.h"

static const struct vf_policy *policy_of(const struct vf_exposure *x)
{
    return x->c->chain.ruling > 0 ? &x->c->chain.policy : &x->c->chain.pending;
}

static void put_what(const struct vf_exposure *x, struct vf_buf *out)
{
    char when[64] = "[TO BE COMPLETED: date and time]";

    if (x->opt.has_compromised)
        vf_exp_time_words(x->opt.compromised_us, when);
    vf_buf_fmt(out,
               "A computer of the company that makes our warrant and identity cards has been [TO BE COMPLETED: stolen / "
               "broken into / lost] "
               "(%s). It held data of people who work for us, in encrypted form, and could open a part of it.\n\n",
               when);
}

static void put_not_there(struct vf_buf *out)
{
    vf_buf_text(out, "**Not concerned, because the company never had it:** your vetting, your pay number, your home "
                     "address, your telephone number, your "
                     "bank details, your passwords, whether your record is protected, and how we reach you.\n\n");
}

static void put_advice(const struct vf_exposure *x, struct vf_buf *out)
{
    vf_buf_text(out, "**What we ask you to do:**\n\n"
                     "- Be wary of calls, messages and letters that use your rank, your number or card details to seem "
                     "genuine. Knowing them proves "
                     "nothing. We will never ask you for a password, a code, a payment or your card by telephone, text "
                     "message or e-mail.\n"
                     "- If somebody claims to be from the force, from the card company or from this inquiry, end the call "
                     "and ring the number that you "
                     "know. Do not use links or numbers that came with the message.\n"
                     "- Somebody may pretend to be you, or show a card made after yours. If you hear of it, or your card is "
                     "refused or queried, report "
                     "it at once. Do not lend or photograph your card.\n"
                     "- Look at what social media say about you, your work and your family, and who can see it.\n"
                     "- If you feel unsafe, or are approached in person: in danger 999; otherwise [TO BE COMPLETED: the "
                     "force's contact for this, at any "
                     "hour].\n"
                     "- If your work is covert, or you protect people, do not wait for a further letter: speak to [TO BE "
                     "COMPLETED: role] now.\n");
    if ((x->counts.readable & VF_FIELD_BIT(VF_FIELD_PHOTO)) != 0)
        vf_buf_text(out, "- Your photo carried no place or time: such data was removed before the company got it.\n");
    vf_buf_fmt(out,
               "\nQuestions, and what exactly was read of your own record and when: [TO BE COMPLETED: contact of the data "
               "protection officer of %s]. "
               "You may complain to the Information Commissioner (ico.org.uk, 0303 123 1113).\n\n",
               policy_of(x)->force_name);
}

static void put_read(const struct vf_exposure *x, struct vf_buf *out)
{
    vf_buf_fmt(out, "## For people whose data was read, or has to be presumed read (tier 2: %llu)\n\n",
               (unsigned long long)x->counts.people[2]);
    put_what(x, out);
    vf_buf_text(
        out,
        "**Your record is one of those that were read there, or that we have to presume were read.** It may have been read "
        "in the "
        "company's ordinary work only; we cannot tell who saw it, and treat it as seen by others. At most this was read: ");
    vf_exp_fields_words(x->counts.exposed, out);
    vf_buf_text(out, ".\n\n");
    put_not_there(out);
    put_advice(x, out);
}

static void put_readable(const struct vf_exposure *x, struct vf_buf *out)
{
    vf_buf_fmt(out, "## For people whose data could have been read (tier 1: %llu)\n\n",
               (unsigned long long)x->counts.people[1]);
    put_what(x, out);
    vf_buf_fmt(out,
               "**Your record could have been opened there. The records that we have give no sign that it was%s.** At most "
               "this could be read of "
               "anybody: ",
               x->opt.has_since || x->opt.has_until ? " in the time in question" : "");
    vf_exp_fields_words(x->counts.readable, out);
    vf_buf_text(out, ".\n\n");
    put_not_there(out);
    put_advice(x, out);
}

static void put_safe(const struct vf_exposure *x, struct vf_buf *out)
{
    vf_buf_fmt(out, "## For people whose data could not be read (tier 0: %llu)\n\n",
               (unsigned long long)x->counts.people[0]);
    vf_buf_text(out, "No letter is required (Art. 34(3)(a)). If you want to write, or somebody asks:\n\n");
    put_what(x, out);
    vf_buf_text(out, "**Your record could not be read there.** The computer never had the keys to it. You need not do "
                     "anything. Be as careful as always with "
                     "calls and messages that refer to this incident: criminals use such news too.\n\n");
}

void vf_exposure_put_notice(const struct vf_exposure *x, struct vf_buf *out)
{
    vf_buf_fmt(out,
               "# To be sent to officers and staff of %s (draft)\n\n"
               "Three forms, by what is known of a person's record. Who gets which: `record notify-list`. Protected "
               "officers are told first, in "
               "person, by those who are responsible for them, and not by letter. [TO BE COMPLETED: remove this paragraph, "
               "and the two forms that do "
               "not apply.]\n\n",
               policy_of(x)->force_name);
    put_read(x, out);
    put_readable(x, out);
    put_safe(x, out);
}
