/* SPDX-License-Identifier: MIT */
/*
 * Whether the desk's clock is believed. Its time decides over releases and destroys one-time keys, so it is doubted when
 *
 *   - it is behind the own log (set back, or the store is newer than the machine),
 *   - the last entry is over 24 hours old at opening (a quiet desk makes one every 6 hours, and one when it closes),
 *   - it has moved by over an hour against the boot clock since it was last believed,
 *   - a station shows a receipt of this desk for more log than the desk has (the store was restored from a backup),
 *   - the store's files are not those that it had (place.c), or its log and its database are of two moments (recall.c).
 *
 * Then nothing is released and nothing destroyed until a person confirms; the doubt outlives a restart (database, own log). Time stands still meanwhile
 * where it was believed last: what had ended then is refused as ended, everything else as unready. It goes into no answer: stations take the desk's
 * time for true. Nor does it in the first ten minutes after an opening that came over an hour behind the last entry.
 */
#include "desk_internal.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define ADVICE "; look at the computer's clock, then: vaultfs-keytool desk clock --confirm"

/* clock.lock is held. The first reason stays. */
static void doubt_locked(struct vf_desk_clock *c, const char *text)
{
    c->doubts++;
    (void)snprintf(c->later, sizeof(c->later), "%s", text);
    if (c->unready)
        return;
    c->unready = true;
    c->told = false;
    (void)snprintf(c->why, sizeof(c->why), "%s", text);
}

void vf_desk_clock_doubt(struct vf_desk *d, const char *fmt, ...)
{
    char text[256];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    vf_text_one_line(text);
    pthread_mutex_lock(&d->clock.lock);
    doubt_locked(&d->clock, text);
    pthread_mutex_unlock(&d->clock.lock);
}

/* clock.lock is held. */
static void look(struct vf_desk_clock *c, int64_t wall, int64_t boot)
{
    int64_t step = (wall - boot) - c->ahead_us;
    char text[256], when[64];

    if (c->unready)
        return;
    if (step > VF_DESK_STEP_US || step < -VF_DESK_STEP_US) {
        (void)snprintf(text, sizeof(text), "the clock was set %s by %lld minutes while the desk was running" ADVICE,
                       step < 0 ? "back" : "forward", (long long)((step < 0 ? -step : step) / (60 * VF_SECOND_US)));
        doubt_locked(c, text);
    } else if (wall < c->floor_us - VF_DESK_BEHIND_US) {
        vf_time_format_person(c->floor_us, when, sizeof(when));
        (void)snprintf(text, sizeof(text), "the clock is behind the desk's own log, which goes up to %s" ADVICE, when);
        doubt_locked(c, text);
    }
}

bool vf_desk_clock_now(struct vf_desk *d, int64_t *ret_us, char *text)
{
    struct vf_desk_clock *c = &d->clock;

    pthread_mutex_lock(&c->lock);
    int64_t wall = vf_clock_wall_us();
    look(c, wall, vf_clock_boot_us());
    bool ready = !c->unready;
    if (ready && wall > c->floor_us)
        c->floor_us = wall;
    *ret_us = c->floor_us;
    if (!ready && text != NULL)
        (void)snprintf(text, sizeof(c->why), "%s", c->why);
    pthread_mutex_unlock(&c->lock);
    return ready;
}

bool vf_desk_clock_settled(struct vf_desk *d)
{
    struct vf_desk_clock *c = &d->clock;

    pthread_mutex_lock(&c->lock);
    if (c->settled_us != 0 && vf_clock_boot_us() >= c->settled_us)
        c->settled_us = 0;
    bool settled = c->settled_us == 0;
    pthread_mutex_unlock(&c->lock);
    return settled;
}

/* ---------------------------------------------------------------------------------------------------------------- at opening */

/*
 * Recall has set floor_us to the time of the last entry, or to what a person confirmed since. A store that knows no policy has released
 * nothing, and no grant can have ended.
 */
static void start_locked(struct vf_desk *d)
{
    struct vf_desk_clock *c = &d->clock;
    int64_t wall = vf_clock_wall_us(), boot = vf_clock_boot_us();
    char text[256], when[64];

    c->ahead_us = wall - boot;
    look(c, wall, boot);
    /* A clock that is some hours ahead after a start is set right within minutes, and what stations were told is not. */
    if (c->floor_us > 0 && wall > c->floor_us + VF_DESK_GAP_US)
        c->settled_us = boot + VF_DESK_SETTLE_US;
    if (c->floor_us > 0 && d->policy_floor > 0 && wall > c->floor_us + VF_DESK_SILENCE_US) {
        vf_time_format_person(c->floor_us, when, sizeof(when));
        (void)snprintf(text, sizeof(text), "the desk was last at work on %s, over 24 hours before now by this clock" ADVICE,
                       when);
        doubt_locked(c, text);
    }
}

enum vf_err vf_desk_clock_start(struct vf_desk *d, struct vf_why *why)
{
    VF_BUF kept = {.max = 1024};
    bool found = false;

    VF_TRY(vf_desk_store_get(d->store, VF_DT_META, VF_DESK_META_UNREADY, strlen(VF_DESK_META_UNREADY), &kept, &found, why));
    pthread_mutex_lock(&d->clock.lock);
    if (found && (!d->clock.unready || d->clock.told)) { /* what was found at this opening is news */
        d->clock.unready = d->clock.told = true;
        (void)snprintf(d->clock.why, sizeof(d->clock.why), "%.255s", vf_buf_cstr(&kept) != NULL ? vf_buf_cstr(&kept) : "");
        vf_text_one_line(d->clock.why);
    }
    start_locked(d);
    pthread_mutex_unlock(&d->clock.lock);
    return VF_OK;
}

/* ---------------------------------------------------------------------------------------------------------- doubt and confidence */

enum vf_err vf_desk_clock_tell(struct vf_desk *d, struct vf_why *why)
{
    char text[256];
    uint64_t ticket = 0;

    pthread_mutex_lock(&d->clock.lock);
    bool due = d->clock.unready && !d->clock.told;
    (void)snprintf(text, sizeof(text), "%s", d->clock.why);
    int64_t believed = d->clock.floor_us;
    d->clock.told = true;
    pthread_mutex_unlock(&d->clock.lock);
    if (!due)
        return VF_OK;
    const struct vf_entry e = {.event = VF_EVENT_TIME,
                               .part = -1,
                               .has_count = true,
                               .count = (uint64_t)(believed / VF_SECOND_US),
                               .object = text,
                               .result = VF_DESK_LOG_UNREADY};
    const struct vf_desk_change row = {VF_DT_META, VF_DESK_META_UNREADY, strlen(VF_DESK_META_UNREADY), text, strlen(text)};
    /* Either of them keeps the doubt over a restart. */
    enum vf_err logged = vf_desk_tell(d, &e, &ticket, why);
    enum vf_err kept = vf_desk_store_commit(d->store, &row, 1, why);
    if (logged == VF_OK && kept == VF_OK)
        return VF_OK;
    pthread_mutex_lock(&d->clock.lock);
    d->clock.told = !d->clock.unready; /* again at the next tick */
    pthread_mutex_unlock(&d->clock.lock);
    return logged != VF_OK ? logged : kept;
}

/* What a person confirmed counts, unless there was another doubt since he was told of the first. */
static bool believe(struct vf_desk_clock *c, int64_t wall, int64_t boot, uint64_t doubts)
{
    pthread_mutex_lock(&c->lock);
    bool good = c->doubts == doubts;
    c->floor_us = c->confirmed_us = wall;
    c->ahead_us = wall - boot;
    c->settled_us = 0;
    c->unready = !good;
    c->told = good;
    (void)snprintf(c->why, sizeof(c->why), "%s", good ? "" : c->later);
    pthread_mutex_unlock(&c->lock);
    return good;
}

/*
 * (1) the entry, durable, with the time that was confirmed; (2) the store's files are those that it has; (3) the doubt is over, in the database
 * and here. A clock that was far ahead leaves entries of the future behind: the time that counts from now on is the one confirmed.
 */
enum vf_err vf_desk_confirm(struct vf_desk *d, struct vf_why *why)
{
    char object[VF_TIME_US_LEN + 1];
    const struct vf_entry e = {.event = VF_EVENT_TIME, .part = -1, .object = object, .result = VF_DESK_LOG_CONFIRMED};
    const struct vf_desk_change row = {
        .table = VF_DT_META, .key = VF_DESK_META_UNREADY, .key_len = strlen(VF_DESK_META_UNREADY)};

    if (d->mode != VF_DESK_SERVE)
        return vf_fail(why, VF_E_USAGE, "%s: is open for looking only", d->path);
    VF_TRY(vf_desk_clock_tell(d, why)); /* what was wrong is in the log before that it is right */
    pthread_mutex_lock(&d->clock.lock);
    const uint64_t doubts = d->clock.doubts;
    pthread_mutex_unlock(&d->clock.lock);
    int64_t wall = vf_clock_wall_us(), boot = vf_clock_boot_us();
    vf_time_format_us(wall, object);
    VF_TRY(vf_desk_tell_now(d, &e, why));
    pthread_mutex_lock(&d->take_lock);
    enum vf_err kept = vf_desk_place_keep(d, why);
    pthread_mutex_unlock(&d->take_lock);
    VF_TRY(kept);
    VF_TRY(vf_desk_store_commit(d->store, &row, 1, why));
    atomic_store(&d->sign_us, wall);
    bool good = believe(&d->clock, wall, boot, doubts);
    atomic_store(&d->ends_due, true);
    if (good)
        return VF_OK;
    enum vf_err told = vf_desk_clock_tell(d, why); /* or the tick does */
    return told != VF_OK
               ? told
               : vf_fail(why, VF_E_CLOCK, "%s: doubted again meanwhile: vaultfs-keytool desk status says why", d->path);
}
