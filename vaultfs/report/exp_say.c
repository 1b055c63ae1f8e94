/* SPDX-License-Identifier: MIT */
/* What was assumed and what was doubted: nothing of it is left to the reader to guess. */
#include "exp.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define NAMED_MAX 20u /* so many strays are named one by one */

enum vf_err vf_exp_say(struct vf_exposure *x, enum vf_exp_level level, const char *code, struct vf_why *why, const char *fmt,
                       ...)
{
    char *words = NULL;
    va_list args;

    va_start(args, fmt);
    int n = vasprintf(&words, fmt, args);
    va_end(args);
    if (n < 0 || !vf_case_room(&x->items, x->nitems, &x->items_room, sizeof(*x->items))) {
        if (n >= 0)
            free(words);
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", x->opt.vault);
    }
    x->items[x->nitems++] = (struct vf_exp_item){.level = level, .code = code, .words = words};
    return VF_OK;
}
#define ASSUME(code, ...) VF_TRY(vf_exp_say(x, VF_EXP_ASSUMPTION, code, why, __VA_ARGS__))
#define DOUBT(code, ...)  VF_TRY(vf_exp_say(x, VF_EXP_DOUBT, code, why, __VA_ARGS__))
#define REMARK(code, ...) VF_TRY(vf_exp_say(x, VF_EXP_REMARK, code, why, __VA_ARGS__))

/* ------------------------------------------------------------------------------------------------------------- the question */

static enum vf_err say_window(struct vf_exposure *x, struct vf_why *why)
{
    const struct vf_exposure_options *o = &x->opt;
    char since[64] = "the beginning";
    char until[64] = "now";

    if (!o->has_since && !o->has_until)
        return VF_OK;
    if (o->has_since)
        vf_exp_time_words(o->since_us, since);
    if (o->has_until)
        vf_exp_time_words(o->until_us, until);
    ASSUME(
        "question-restricted",
        "Only reads from %s to %s were asked about. What was read at another time stands as readable (tier 1, evidence "
        "log-outside-window). What is presumed read counts wherever it may have happened in that time. Times in a log are "
        "those "
        "of its device, whose clock can be an hour wrong without a trace: an hour before and after that time was counted as "
        "well. A file counts as read when it was opened: one that was opened before that time, and was still open in it, "
        "does "
        "not.",
        since, until);
    return VF_OK;
}

static enum vf_err say_statement(struct vf_exposure *x, struct vf_why *why)
{
    const struct vf_exposure_options *o = &x->opt;
    char when[64];

    if (!o->device_off && !o->passphrase_safe)
        return VF_OK;
    if (!o->device_off || !o->passphrase_safe) {
        ASSUME("statement-incomplete", "It was stated that %s. Alone this changes nothing: a device that is off %s",
               o->device_off ? "the device was switched off (--device-off)" : "the passphrase is safe (--passphrase-safe)",
               o->device_off
                   ? "can be started by whoever has it, and opens what it holds unless its passphrase is safe as well."
                   : "has its keys locked, one that is running has them in memory.");
    } else if (!o->has_compromised) {
        ASSUME("statement-without-time",
               "It was stated that the device was off and its passphrase safe, but not when it was "
               "lost (--host-compromised-at): the statement changes nothing.");
    } else {
        vf_exp_time_words(o->compromised_us, when);
        ASSUME("statement-recorded",
               "It was stated, and is recorded here, that the device was switched off from %s and that its passphrase is "
               "safe (--device-off --passphrase-safe): so the incident itself adds no read. This rests on that statement "
               "alone.",
               when);
    }
    if (o->passphrase_safe)
        DOUBT("passphrase-not-visible",
              "Whether the station's key has a passphrase at all cannot be seen from the vault, the "
              "enrolment or a log: ask who set the station up. Without one, the statement is void, and "
              "this has to be computed again without it (--passphrase-safe).");
    return VF_OK;
}

static enum vf_err say_incident(struct vf_exposure *x, struct vf_why *why)
{
    const struct vf_exposure_options *o = &x->opt;
    char when[64];
    uint32_t devices = 0;
    bool online = false;

    for (uint32_t i = 0; i < x->nsources; i++)
        online |= x->sources[i].in_scope && x->sources[i].online && x->sources[i].unproven == 0;
    for (uint32_t d = 0; d < x->c->ndevices; d++)
        devices += x->devices[d].in_scope ? 1 : 0;
    if (!o->has_compromised) {
        ASSUME("no-incident-time",
               "No time was given at which a device stopped being its owner's (--host-compromised-at): log "
               "folders are taken as complete up to now. If a device was stolen, broken into, or copied, give "
               "the time.");
        return VF_OK;
    }
    vf_exp_time_words(o->compromised_us, when);
    ASSUME("host-compromised",
           "From %s on %s taken as compromised: whatever was ever %s to %s stays readable there, and counts as read "
           "whatever the log says%s.",
           when, devices == 1 ? "the device is" : "all devices in question are",
           online ? "granted offline, or released by the key desk," : "granted", devices == 1 ? "it" : "them",
           o->device_off && o->passphrase_safe ? ", unless the statement below takes that away" : "");
    if (devices > 1)
        ASSUME("several-devices",
               "That time was applied to %u devices. If only one of them is concerned, ask for it alone "
               "(--device NAME).",
               devices);
    return VF_OK;
}

static enum vf_err say_scope(struct vf_exposure *x, struct vf_why *why)
{
    uint32_t grants = 0;
    uint32_t others = 0;

    for (uint32_t i = 0; i < x->nsources; i++) {
        grants += x->sources[i].in_scope ? 1 : 0;
        others += x->sources[i].in_scope ? 0 : 1;
    }
    if (x->opt.scope == VF_EXPOSURE_ALL)
        return VF_OK;
    const char *kind = x->opt.scope == VF_EXPOSURE_DEVICE ? "the device " : "the grant ";
    const char *name = x->opt.scope == VF_EXPOSURE_DEVICE ? x->opt.device : x->opt.grant.c;
    int len = x->opt.scope == VF_EXPOSURE_DEVICE ? (int)strlen(x->opt.device) : VF_GRANT_ID_LEN;
    if (others == 0)
        ASSUME("scope", "This answers for %s%.*s alone (grants: %u), which is all that was ever granted.", kind, len, name,
               grants);
    else
        ASSUME("scope",
               "This answers for %s%.*s alone (grants: %u). Further grants of this force, which were not looked at: %u. A "
               "record that is not listed here may be readable through them (--all looks at everything).",
               kind, len, name, grants, others);
    return VF_OK;
}

/* ---------------------------------------------------------------------------------------------------------------- the vault */

static enum vf_err say_vault_logs(struct vf_exposure *x, struct vf_why *why)
{
    for (uint32_t i = 0; i < x->c->nlogs; i++) {
        const struct vf_case_log *l = &x->c->logs[i];
        if (!l->good)
            DOUBT("force-log-not-good",
                  "The force's own log %s (%s): times of erasures and revocations, and "
                  "grants that only it would name, may be missing.",
                  l->read ? "does not verify" : "could not be read", l->words);
    }
    if (x->c->nlogs == 0)
        DOUBT("force-log-not-read",
              "The force's own log was not looked at: times of erasures and revocations are not known.");
    return VF_OK;
}

static enum vf_err say_vault(struct vf_exposure *x, struct vf_why *why)
{
    char when[64];

    if (x->c->backup) {
        vf_exp_time_words(x->c->as_of_us, when);
        DOUBT("from-backup",
              "This was computed from a backup of %s. Grants issued after that are not known here, unless a log "
              "names them; use the vault itself, or a newer backup, if there is one.",
              when);
    }
    if (x->c->restored_us != 0) {
        vf_exp_time_words(x->c->restored_us, when);
        DOUBT("vault-restored",
              "This vault was restored from a backup on %s. Grants that were issued between that backup and its "
              "loss are not known to it, unless a log names them.",
              when);
    }
    for (uint32_t i = 0; i < x->c->ngrants; i++) {
        const struct vf_case_grant *k = &x->c->grants[i];
        if (x->sources[i].in_scope && k->manifest == VF_CASE_NONE)
            DOUBT("list-missing",
                  "The vault has no list of the records of grant %.16s: every record counts as readable by it.", k->g.id.c);
        if (x->sources[i].in_scope && k->device == VF_CASE_NONE)
            DOUBT("enrolment-missing",
                  "The vault has no enrolment of the device of grant %.16s, so no log can be told to be "
                  "its own: what it grants is presumed read.",
                  k->g.id.c);
    }
    return say_vault_logs(x, why);
}

static enum vf_err say_strays(struct vf_exposure *x, struct vf_why *why)
{
    uint32_t n = 0;

    for (uint32_t i = x->c->ngrants; i < x->nsources; i++) {
        const struct vf_exp_source *s = &x->sources[i];
        if (!s->in_scope || ++n > NAMED_MAX)
            continue;
        DOUBT("unknown-grant", "A log names the grant %.16s to %s, which the vault does not know%s.", s->id.c,
              vf_exp_device_name(x, s->device),
              s->online && s->unproven == 0 ? ": what the key desk released by it counts as readable"
              : s->manifest != VF_EXP_NONE
                  ? ", for a list that it does know: the records of that list count as readable by it"
                  : ", nor its list: every record counts as readable by it");
    }
    if (n > NAMED_MAX)
        DOUBT("unknown-grant", "%u more grants that the vault does not know are named by logs.", n - NAMED_MAX);
    if (x->many_strays)
        DOUBT("unknown-grants-many",
              "A log names more unknown grants than can be followed: every record counts as readable by what is left "
              "out. Do not trust that log.");
    if (x->nstrangers > 0)
        DOUBT("unknown-refs",
              "Records that logs name as read and that neither the vault nor any grant knows: %u. They are listed, as read.",
              x->nstrangers);
    if (x->ntoo_many > 0)
        DOUBT("unknown-refs-many", "Logs name more unknown records than can be listed; %u mentions were left out.",
              x->ntoo_many);
    for (unsigned part = 0; part < VF_PART_COUNT; part++)
        if (x->all_in[(size_t)x->c->nmanifests * 2 + part].word != 0)
            DOUBT("unknown-list",
                  "A log says that the %ss of all records of a list were read that the vault does not know: it may "
                  "have been any record, so all are presumed read.",
                  part == VF_PART_TEXT ? "text" : "image");
    return VF_OK;
}

/* ------------------------------------------------------------------------------------------------------------------- devices */

/* Endings that were no orderly ones. */
static enum vf_err say_killed(struct vf_exposure *x, const struct vf_exp_log *l, const char *name, struct vf_why *why)
{
    const struct vf_verdict *v = l->verdict;
    char when[64];

    if (l->killed > 0) {
        vf_exp_time_words(l->killed_us, when);
        DOUBT("mount-killed",
              "The log of %s has mounts that were never unmounted (killed, or a power cut): %llu, the last one after %s. Of "
              "each, "
              "up to %u openings of its last second may be missing: what was granted to it is presumed read.",
              name, (unsigned long long)l->killed, when, VF_LOG_SEAL_ENTRIES);
    }
    if (l->open && !l->copy) {
        vf_exp_time_words(v->last_us, when);
        DOUBT("mount-not-ended",
              "The log of %s ends, on %s, with a mount that was not unmounted. If it was killed, up to %u openings of its "
              "last "
              "second may be missing; if it is still there, it goes on reading. What was granted to it is presumed read. If "
              "it is "
              "still there, unmount it, and ask again with the folder as it is then.",
              name, when, VF_LOG_SEAL_ENTRIES);
    }
    if (v->recoveries > 0)
        DOUBT("recovered",
              "The log of %s was taken up again after a crash (times: %llu): its last entries before that may be missing, "
              "and what "
              "was granted to it is presumed read.",
              name, (unsigned long long)v->recoveries);
    if (v->torn_bytes > 0)
        DOUBT("torn",
              "The log of %s ends with %llu bytes that are no whole line: it was in use, its computer was switched off, or "
              "somebody "
              "was at it. What was granted to it is presumed read.",
              name, (unsigned long long)v->torn_bytes);
    return VF_OK;
}

/* What stands against the log of a device. */
static enum vf_err say_device_log(struct vf_exposure *x, uint32_t d, struct vf_why *why)
{
    const struct vf_exp_device *dev = &x->devices[d];
    const char *name = vf_exp_device_name(x, d);
    const struct vf_exp_log *l = &x->logs[dev->log];
    const struct vf_verdict *v = l->verdict;
    char until[64];

    vf_exp_time_words(dev->speaks_until_us, until);
    if (!l->copy)
        ASSUME("folder-complete",
               "The log folder of %s is taken as complete up to %s. Its last entry is of %s. (A copy that was made earlier "
               "is not "
               "complete: what was read after it was made is missing.)",
               name, x->opt.has_compromised ? "the time at which the device was compromised" : "now", until);
    if (!l->copy && x->opt.has_compromised && x->opt.device_off && x->opt.passphrase_safe && !dev->contradicted &&
        v->last_us < x->opt.compromised_us - VF_EXP_CLOCK_US)
        DOUBT("folder-ends-early",
              "The log folder of %s ends %lld hours before the time at which the device was lost. If the folder is a copy "
              "that was "
              "made before (a backup), what was read after it was made is missing: put an empty file called handed-in into "
              "the "
              "folder, and ask again.",
              name, (long long)((x->opt.compromised_us - v->last_us) / VF_EXP_CLOCK_US));
    if (dev->after_handin)
        DOUBT("after-handin",
              "All there is of the log of %s is what was handed in. It speaks up to %s; what could be read after "
              "that is presumed read.",
              name, until);
    if (dev->gap)
        DOUBT("gap",
              "The log of %s says itself that %llu entries could not be written: what was granted to it is presumed read.",
              name, (unsigned long long)v->lost);
    if (v->clock_steps > 0)
        DOUBT("clock-moved", "The clock of %s was moved (times: %llu): times in its log may be wrong%s.", name,
              (unsigned long long)v->clock_steps,
              x->opt.has_since || x->opt.has_until ? ", so all its reads count as within the time that was asked about"
                                                   : "");
    if (v->entries > 0 && v->last_us > x->opt.now_us) {
        vf_exp_time_words(v->last_us, until);
        DOUBT("clock-ahead",
              "The log of %s has entries of a time that has not come yet, up to %s: its clock was wrong, and so may all "
              "times in its "
              "log be%s.",
              name, until,
              x->opt.has_since || x->opt.has_until ? ", so all its reads count as within the time that was asked about"
                                                   : "");
    }
    return dev->killed ? say_killed(x, l, name, why) : VF_OK;
}

static enum vf_err say_device(struct vf_exposure *x, uint32_t d, struct vf_why *why)
{
    const struct vf_exp_device *dev = &x->devices[d];
    const char *name = vf_exp_device_name(x, d);

    if (!dev->in_scope || dev->ngrants == 0)
        return VF_OK;
    if (dev->no_log)
        DOUBT("no-log", "There is no log of %s: all that was granted to it is presumed read.", name);
    if (dev->damaged)
        DOUBT("log-damaged",
              "The log of %s is damaged, forged or cannot be read, or a part of it that is missing here is: all that was "
              "granted to it is presumed read. What it shows is quoted all the same.",
              name);
    else if (dev->cut)
        DOUBT("log-cut",
              "The log of %s is shorter than what was handed in before: its end is missing, and all that was granted to it "
              "is presumed read.",
              name);
    if (dev->contradicted)
        DOUBT("statement-contradicted",
              "%s was said to be off, but its log has entries after that time: the statement is not "
              "followed, and all that was granted to it is presumed read.",
              name);
    return dev->log != VF_EXP_NONE ? say_device_log(x, d, why) : VF_OK;
}

/* A log that has nothing to do with this force raises tiers all the same; whoever gave it by mistake has to be told first. */
static enum vf_err say_other_force(struct vf_exposure *x, struct vf_why *why)
{
    for (uint32_t i = 0; i < x->nlogs; i++) {
        const struct vf_exp_log *l = &x->logs[i];
        if (l->state == VF_EXP_LOG_STRANGE && l->verdict != NULL && l->verdict->origin.kind == VF_LOG_STATION &&
            l->known == 0)
            DOUBT("log-of-another-force",
                  "%s names no grant and no record that this vault knows, and belongs to no device of it: it is probably "
                  "the log of "
                  "another force's station. If it is, the figures are too high and people of that force may be listed: run "
                  "this "
                  "again without it.",
                  vf_exp_log_name(l));
    }
    return VF_OK;
}

/* Entries that no station writes. */
static enum vf_err say_odd(struct vf_exposure *x, const struct vf_exp_log *l, struct vf_why *why)
{
    if (l->odd_reads > 0)
        DOUBT("odd-result",
              "%s has entries of openings that did not succeed: %llu. No station writes such; they count as reads.",
              vf_exp_log_name(l), (unsigned long long)l->odd_reads);
    if (l->foreign_reads > 0)
        DOUBT("grant-of-another",
              "%s (%s) has reads under grants to another device: %llu. They count as reads. That device's key may have been "
              "copied: "
              "ask how, and take the time of it as one at which it was compromised (--host-compromised-at).",
              vf_exp_log_name(l), vf_exp_device_name(x, l->device), (unsigned long long)l->foreign_reads);
    return VF_OK;
}

static enum vf_err say_logs(struct vf_exposure *x, struct vf_why *why)
{
    for (uint32_t i = 0; i < x->nlogs; i++) {
        const struct vf_exp_log *l = &x->logs[i];
        if (l->desk)
            continue;
        VF_TRY(say_odd(x, l, why));
        if (l->state == VF_EXP_LOG_GOOD && l->unsealed_reads > 0)
            DOUBT("not-sealed",
                  "Reads in the log of %s (%s) that no checkpoint of it covers yet: %llu. They count as reads, and nothing "
                  "proves "
                  "that they stand as they were written.",
                  vf_exp_device_name(x, l->device), vf_exp_log_name(l), (unsigned long long)l->unsealed_reads);
        if (l->state == VF_EXP_LOG_STRANGE && l->verdict != NULL && l->verdict->origin.kind == VF_LOG_VAULT)
            REMARK(
                "force-log-given",
                "%s is the log of a force, not of a device: it says nothing of what was read. Grants that it names and the "
                "vault does not know are counted.",
                vf_exp_log_name(l));
        else if (l->state == VF_EXP_LOG_STRANGE)
            DOUBT("log-of-unknown-device",
                  "%s is the log of no device that the vault knows. What it says was read counts as "
                  "read; it speaks for no device.",
                  vf_exp_log_name(l));
        else if (l->state != VF_EXP_LOG_GOOD)
            DOUBT(l->state == VF_EXP_LOG_DAMAGED ? "log-not-good" : "log-unreadable", "%s: %s.", vf_exp_log_name(l),
                  l->words);
    }
    return VF_OK;
}

enum vf_err vf_exp_say_all(struct vf_exposure *x, struct vf_why *why)
{
    bool offline = x->nsources == 0;
    for (uint32_t i = 0; i < x->nsources; i++)
        offline |= x->sources[i].in_scope && !x->sources[i].online;
    if (offline)
        ASSUME("offline-for-ever",
               "What was granted offline counts as readable from the moment the grant was issued, and for ever: "
               "also if it was never signed, sent or used, and if it has ended, was renewed or revoked. The end of "
               "an offline grant is kept by software, not by cryptography.");
    VF_TRY(say_other_force(x, why));
    VF_TRY(say_scope(x, why));
    VF_TRY(say_window(x, why));
    VF_TRY(say_incident(x, why));
    VF_TRY(say_statement(x, why));
    VF_TRY(say_vault(x, why));
    for (uint32_t d = 0; d < x->c->ndevices; d++)
        VF_TRY(say_device(x, d, why));
    VF_TRY(vf_exp_desk_say(x, why));
    VF_TRY(say_logs(x, why));
    return say_strays(x, why);
}
