/* SPDX-License-Identifier: MIT */
/* GRANT.txt: who gave what to whom, why, until when, how it ends, what is missing and why. Read by people. */
#include "mount.h"

#include <errno.h>
#include <string.h>
#include <time.h>

static void put_local(struct vf_buf *out, int64_t us)
{
    time_t t = (time_t)(us / VF_SECOND_US);
    struct tm tm;
    char text[64];
    if (localtime_r(&t, &tm) && strftime(text, sizeof(text), "%d %b %Y %H:%M %Z", &tm) > 0)
        vf_buf_fmt(out, " (here: %s)", text);
}

static void put_time(struct vf_buf *out, const char *label, const char *words, int64_t us)
{
    char text[64];
    vf_time_format_person(us, text, sizeof(text));
    vf_buf_fmt(out, "%-11s %s%s", label, words, text);
    put_local(out, us);
    vf_buf_text(out, "\n");
}

/* One sentence on how things stand. */
static void put_state(struct vf_session *s, struct vf_slot_job *slot, struct vf_job *job, struct vf_buf *out)
{
    struct vf_why why = {0};
    switch (vf_slot_may(s, slot, job, &why)) {
    case 0:
        vf_buf_text(out, "This grant is in force.\n");
        break;
    case EKEYEXPIRED: {
        char text[64];
        vf_time_format_person(vf_job_grant(job)->until_us, text, sizeof(text));
        vf_buf_fmt(out, "This grant ended on %s. Ask the force for a new one.\n", text);
        break;
    }
    case EKEYREVOKED:
        vf_buf_text(out, "The force has revoked this grant. Its files cannot be opened any more; ask the force.\n");
        break;
    case EKEYREJECTED:
        vf_buf_text(out, "The clock of this computer was moved back. Files open again when it shows the right time.\n");
        break;
    case ENOKEY: {
        char text[64];
        vf_time_format_person(vf_job_grant(job)->from_us, text, sizeof(text));
        vf_buf_fmt(out, "This grant starts on %s.\n", text);
        break;
    }
    default:
        vf_buf_fmt(out, "The files cannot be opened: %s\n", why.text);
    }
}

int64_t vf_time_of_boot(struct vf_session *s, int64_t boot_us)
{
    int64_t t = 0;
    enum vf_err ignored = vf_station_time(s->station, &t, NULL); /* set whatever the clock is like */
    (void)ignored;
    return t + (boot_us - vf_clock_boot_us());
}

/* Online: when the desk was reached, and until when what is open can stay so without it. */
static void put_desk(struct vf_session *s, struct vf_job *job, struct vf_buf *out)
{
    struct vf_desk_client_status desk;
    struct vf_shares_state shares;
    vf_desk_client_status_get(s->desk, &desk);
    vf_job_shares_state_get(job, &shares);
    if (desk.reached_boot_us)
        put_time(out, "Key desk", "last answered on ", vf_time_of_boot(s, desk.reached_boot_us));
    else
        vf_buf_fmt(out, "%-11s has not answered yet since this mount began\n", "Key desk");
    if (desk.text[0])
        vf_buf_fmt(out, "%-11s at the last attempt: %s\n", "", desk.text);
    if (shares.last_boot_us == 0) {
        vf_buf_fmt(out, "%-11s nothing at the moment: each file is asked for when it is opened\n", "Can be read");
        return;
    }
    vf_buf_fmt(out, "%-11s the texts of %u records and the images of %u, as the desk released them,\n", "Can be read",
               shares.held[VF_PART_TEXT], shares.held[VF_PART_IMAGE]);
    put_time(out, "", "until ", vf_time_of_boot(s, shares.first_boot_us));
    if (shares.last_boot_us - shares.first_boot_us >= 60 * VF_SECOND_US)
        put_time(out, "", "some until ", vf_time_of_boot(s, shares.last_boot_us));
    vf_buf_fmt(out, "%-11s and longer if the desk can be reached by then; other files are asked for when they are opened\n",
               "");
}

#define MISSING_LISTED 50

static void put_missing(struct vf_job *job, struct vf_buf *out)
{
    const struct vf_grant *g = vf_job_grant(job);
    const struct vf_catalogue *c = vf_job_catalogue(job);
    uint32_t missing = 0, no_photo = 0, listed = 0;
    bool photos = (g->fields & VF_FIELD_BIT(VF_FIELD_PHOTO)) != 0;

    for (uint32_t i = 0; i < vf_job_count(job); i++) {
        struct vf_job_item item;
        vf_job_item_get(job, i, &item);
        missing += item.missing;
        no_photo += photos && vf_catalogue_len(c, i, VF_FIELD_PHOTO) == 0;
    }
    if (missing == 0 && no_photo == 0) {
        vf_buf_text(out, "\nNothing is missing.\n");
        return;
    }
    if (missing)
        vf_buf_fmt(out,
                   "\n%u record%s not arrived in full: receive the delivery (the .bundle file) of this grant. If you have, "
                   "ask the\n"
                   "force for one with everything in it (bundle export --all).\n",
                   missing, missing == 1 ? " has" : "s have");
    if (no_photo)
        vf_buf_fmt(out, "\n%u record%s no photo at the force: there is nothing to receive for %s.\n", no_photo,
                   no_photo == 1 ? " has" : "s have", no_photo == 1 ? "it" : "them");
    for (uint32_t i = 0; i < vf_job_count(job) && listed < MISSING_LISTED; i++) {
        struct vf_job_item item;
        vf_job_item_get(job, i, &item);
        bool none = photos && vf_catalogue_len(c, i, VF_FIELD_PHOTO) == 0;
        if (!item.missing && !none)
            continue;
        vf_buf_fmt(out, "  %.8s  %s\n", vf_catalogue_ref(c, i)->c,
                   item.missing ? "not arrived in full" : "no photo at the force");
        listed++;
    }
    if (missing + no_photo > listed && listed == MISSING_LISTED)
        vf_buf_text(out, "  and more\n");
}

void vf_grant_txt(struct vf_session *s, struct vf_slot_job *slot, struct vf_job *job, struct vf_buf *out)
{
    const struct vf_grant *g = vf_job_grant(job);

    put_state(s, slot, job, out);
    vf_buf_text(out, "\n");
    vf_buf_fmt(out, "%-11s %s\n", "From", g->force_name);
    vf_buf_fmt(out, "%-11s %s\n", "To", g->recipient);
    vf_buf_fmt(out, "%-11s %s\n", "Job", g->job);
    vf_buf_fmt(out, "%-11s %s\n", "Purpose", g->purpose);
    vf_buf_fmt(out, "%-11s %u\n", "Records", g->records);
    vf_buf_fmt(out, "%-11s ", "Fields");
    vf_field_set_put(g->fields, ", ", out);
    vf_buf_text(out, "\n");
    if (g->budget)
        vf_buf_fmt(out, "%-11s at most %llu different records may be opened\n", "Limit", (unsigned long long)g->budget);
    put_time(out, "Issued", "", g->issued_us);
    put_time(out, "Starts", "", g->from_us);
    put_time(out, "Ends", "", g->until_us);
    vf_buf_fmt(out, "%-11s %s\n", "How it ends", vf_grant_ends_text(g));
    vf_buf_fmt(out, "%-11s %.16s\n", "Grant", g->id.c);
    if (vf_job_online(job) && vf_slot_may(s, slot, job, NULL) == 0)
        put_desk(s, job, out);
    put_missing(job, out);
    vf_buf_text(
        out,
        "\nEvery opening of a file is written to a log that the force receives. Files here are for the purpose above only:\n"
        "do not copy what you do not need, and delete what you copied once the job is done.\n");
}
