/* SPDX-License-Identifier: MIT */
/*
 * Trusted time. H is the highest time known; T = max(wall, H + boottime since). A clock that is set forward makes T jump (reversible: it
 * only expires); H follows only after wall and boottime have gone side by side for 10 minutes, and never beyond the latest `until`
 * known, so one wrong step of years neither destroys anything nor locks the station out for longer than its grants last. A clock that is
 * set back is seen as wall < T - 300 s. The state lies in a two-slot file, MACed under a key of the device.
 *
 * The ten minutes go on from mount to mount within one boot: the moment since when both clocks agree is kept too.
 *
 * H stands still at the latest `until`, but values go 14 days after it. So the time that goes by while it stands is counted apart: boottime,
 * and of the time that the computer is off at most a day for each boot, whatever the wall clock says. A wrong year adds a day.
 *
 * H goes into the log too, as `time` entries: hourly, at the end of each grant, of each mount. So a clock file that was lost or put back
 * to an older one does not bring H back: the log says how late it was for sure, and which clock-reset was taken last (floors.c). In what
 * both know of resets the one that knows more is right; where they know the same, the higher H is.
 *
 * The desk's time is trusted too. H follows it at once, within the same bound, up to 5 minutes ahead of this computer's wall clock. Farther ahead it
 * counts for T alone (what it ends can be used again) and for a quarter of an hour; when the desk says the same at least 10 minutes later by
 * boottime, H follows. So no single wrong answer ends anything for good, and a computer whose clock is far behind is not believed. A desk that is not sure of its own clock is not heard (the client does not tell us), and one behind changes nothing.
 *
 * Slot payload: i64 H, i64 boottime of H, boot id 16, i64 last clock-reset taken, u32 highest policy version known, i64 wall and
 * i64 boottime of the moment since when they agree, i64 time counted while H stood, MAC 32 over all that.
 */
#include "station_internal.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CLOCK_TYPE     "VFCLOCK1"
#define PAYLOAD_LEN    (8 + 8 + VF_BOOT_ID_LEN + 8 + 4 + 8 + 8 + 8)
#define AGREE_US       (600 * VF_SECOND_US)
#define AGREE_SLACK_US (2 * VF_SECOND_US)
#define BACK_US        (300 * VF_SECOND_US)
#define SAVE_EVERY_US  (60 * VF_SECOND_US)
#define COUNT_EVERY_US (3600 * VF_SECOND_US)
#define DESK_NEAR_US   (300 * VF_SECOND_US)
#define DESK_SAME_US   (60 * VF_SECOND_US)
#define DESK_HOLD_US   (900 * VF_SECOND_US)

struct clock_state {
    int64_t h, h_boot, reset_taken_us, anchor_wall, anchor_boot, past;
    uint8_t boot_id[VF_BOOT_ID_LEN];
    uint32_t policy;
};

static void encode(const struct clock_state *c, const struct vf_station_key *key, struct vf_buf *out)
{
    vf_buf_u64(out, (uint64_t)c->h);
    vf_buf_u64(out, (uint64_t)c->h_boot);
    vf_buf_put(out, c->boot_id, sizeof(c->boot_id));
    vf_buf_u64(out, (uint64_t)c->reset_taken_us);
    vf_buf_u32(out, c->policy);
    vf_buf_u64(out, (uint64_t)c->anchor_wall);
    vf_buf_u64(out, (uint64_t)c->anchor_boot);
    vf_buf_u64(out, (uint64_t)c->past);
    struct vf_hash mac;
    vf_station_mac(key, out->data, out->len, &mac);
    vf_buf_put(out, mac.b, sizeof(mac.b));
}

static bool decode(const struct vf_slot *slot, const struct vf_station_key *key, struct clock_state *ret)
{
    struct vf_hash mac;
    if (!slot->present || slot->len != PAYLOAD_LEN + VF_HASH_LEN)
        return false;
    vf_station_mac(key, slot->payload, PAYLOAD_LEN, &mac);
    if (!vf_equal(mac.b, slot->payload + PAYLOAD_LEN, VF_HASH_LEN))
        return false;
    struct vf_reader r = vf_reader_of(slot->payload, PAYLOAD_LEN);
    ret->h = (int64_t)vf_reader_u64(&r);
    ret->h_boot = (int64_t)vf_reader_u64(&r);
    vf_reader_copy(&r, ret->boot_id, sizeof(ret->boot_id));
    ret->reset_taken_us = (int64_t)vf_reader_u64(&r);
    ret->policy = vf_reader_u32(&r);
    ret->anchor_wall = (int64_t)vf_reader_u64(&r);
    ret->anchor_boot = (int64_t)vf_reader_u64(&r);
    ret->past = (int64_t)vf_reader_u64(&r);
    return vf_reader_done(&r) && ret->h >= 0 && ret->past >= 0;
}

enum vf_err vf_station_clock_create(const char *path, const struct vf_identity *device, struct vf_why *why)
{
    VF_SECRET struct vf_station_key *key = vf_secret_new(sizeof(*key));
    VF_FREE char *file = vf_station_file(path, "clock");
    if (!key || !file)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", path);
    vf_station_key_of(device, key);
    struct clock_state c = {.anchor_wall = vf_clock_wall_us(), .anchor_boot = vf_clock_boot_us()};
    vf_clock_boot_id(c.boot_id);
    VF_BUF payload;
    vf_buf_init(&payload, 256);
    encode(&c, key, &payload);
    VF_TRY(vf_buf_check(&payload, file, why));
    return vf_slots_create(file, CLOCK_TYPE, payload.data, payload.len, why);
}

/* How long the computer was off since the state was saved, as far as that counts. */
static int64_t time_off(const struct clock_state *saved)
{
    int64_t then = saved->anchor_wall + (saved->h_boot - saved->anchor_boot), now = vf_clock_wall_us();
    if (saved->anchor_wall <= 0 || now <= then)
        return 0;
    return now - then < VF_DAY_US ? now - then : VF_DAY_US;
}

/* What the log knows of H and resets. True: H is the log's. */
static bool take_floors(const struct vf_station_floors *f, struct clock_state *state)
{
    bool later = f->reset_us > state->reset_taken_us;
    if (!later && (f->reset_us < state->reset_taken_us || f->sure_us <= state->h))
        return false;
    state->h = f->sure_us;
    state->reset_taken_us = f->reset_us;
    state->past = 0;
    return true;
}

enum vf_err vf_station_clock_load(struct vf_station *st, struct vf_why *why)
{
    struct vf_station_clock *c = &st->clock;
    VF_FREE char *file = vf_station_file(st->path, "clock");
    VF_FREE struct vf_slot *slots = calloc(2, sizeof(*slots));
    struct clock_state best = {0}, one;
    uint64_t seq = 0;
    bool found = false;

    if (!file || !slots)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", st->path);
    enum vf_err err = vf_slots_read(file, CLOCK_TYPE, slots, why);
    if (err && err != VF_E_DAMAGED && err != VF_E_VERSION && err != VF_E_NOT_FOUND)
        return err;
    for (int i = 0; i < 2 && !err; i++) {
        if (slots[i].present && slots[i].seq > c->slot_seq)
            c->slot_seq = slots[i].seq;
        if (!decode(&slots[i], st->key, &one) || (found && slots[i].seq <= seq))
            continue;
        best = one;
        seq = slots[i].seq;
        found = true;
    }
    bool by_log = take_floors(&st->floors, &best);
    uint32_t ruling = (uint32_t)st->policy.ruling;
    if (best.policy < st->floors.policy)
        best.policy = st->floors.policy;
    if (best.policy > ruling)
        return vf_fail(why, VF_E_FORGED,
                       "%s: the policy in it is version %u, but version %u was known already; receive the newest policy",
                       st->path, ruling, best.policy);
    uint8_t boot_id[VF_BOOT_ID_LEN];
    vf_clock_boot_id(boot_id);
    int64_t boot = vf_clock_boot_us();
    bool same_boot = found && memcmp(boot_id, best.boot_id, sizeof(boot_id)) == 0 && best.h_boot <= boot;
    pthread_mutex_lock(&c->lock);
    c->h = c->saved_h = best.h;
    c->h_boot = same_boot && !by_log ? best.h_boot : boot;
    c->told = st->floors.sure_us;
    c->told_reset_us = st->floors.reset_us;
    c->reset_taken_us = best.reset_taken_us;
    c->past = best.past;
    if (best.past > 0 && !same_boot)
        c->past += time_off(&best);
    c->saved_past = best.past;
    c->policy = ruling;
    bool agreed = same_boot && best.anchor_wall > 0 && best.anchor_boot <= boot;
    c->anchor_wall = agreed ? best.anchor_wall : vf_clock_wall_us(); /* the next tick sees whether they still agree */
    c->anchor_boot = agreed ? best.anchor_boot : boot;
    c->lost = !found;
    c->loaded = true;
    pthread_mutex_unlock(&c->lock);
    return VF_OK;
}

/* H carried on by boottime, but not beyond the cap. Under the lock. */
static int64_t highest(const struct vf_station_clock *c, int64_t boot)
{
    int64_t elapsed = boot > c->h_boot ? boot - c->h_boot : 0;
    int64_t now = c->h + elapsed;
    int64_t cap = c->cap > c->h ? c->cap : c->h;
    return now < cap ? now : cap;
}

/* What has gone by since H stands at the cap; 0 when it does not. Under the lock. */
static int64_t beyond(const struct vf_station_clock *c, int64_t boot)
{
    int64_t elapsed = boot > c->h_boot ? boot - c->h_boot : 0;
    int64_t over = c->h + elapsed - (c->cap > c->h ? c->cap : c->h);
    return over < 0 ? 0 : c->past + over;
}

/* The desk's word of a time far ahead, as long as it counts; else 0. Under the lock. */
static int64_t by_desk(const struct vf_station_clock *c, int64_t boot)
{
    int64_t elapsed = boot - c->desk_boot;
    return c->desk > 0 && elapsed >= 0 && elapsed < DESK_HOLD_US ? c->desk + elapsed : 0;
}

int64_t vf_station_highest(struct vf_station *st)
{
    int64_t boot = vf_clock_boot_us();
    pthread_mutex_lock(&st->clock.lock);
    int64_t h = highest(&st->clock, boot) + beyond(&st->clock, boot);
    pthread_mutex_unlock(&st->clock.lock);
    return h;
}

enum vf_err vf_station_time(struct vf_station *st, int64_t *ret_t, struct vf_why *why)
{
    int64_t boot = vf_clock_boot_us(), wall = vf_clock_wall_us();
    pthread_mutex_lock(&st->clock.lock);
    int64_t h = highest(&st->clock, boot), desk = by_desk(&st->clock, boot);
    pthread_mutex_unlock(&st->clock.lock);
    *ret_t = wall > h ? wall : h;
    *ret_t = desk > *ret_t ? desk : *ret_t;
    if (wall >= *ret_t - BACK_US)
        return VF_OK;
    char text[64];
    vf_time_format_person(*ret_t, text, sizeof(text));
    return vf_fail(why, VF_E_CLOCK,
                   "The clock of this computer was moved back: it was already %s. Set it right; if it is right, ask the "
                   "force for a grant "
                   "with --clock-reset.",
                   text);
}

/* The state as it is saved. Under the lock. */
static void put_state(struct vf_station *st, int64_t boot, struct vf_buf *out)
{
    const struct vf_station_clock *c = &st->clock;
    struct clock_state state = {.h = highest(c, boot),
                                .h_boot = boot,
                                .reset_taken_us = c->reset_taken_us,
                                .policy = c->policy,
                                .anchor_wall = c->anchor_wall,
                                .anchor_boot = c->anchor_boot,
                                .past = beyond(c, boot)};
    vf_clock_boot_id(state.boot_id);
    encode(&state, st->key, out);
}

static enum vf_err save_locked(struct vf_station *st, int64_t boot, struct vf_why *why)
{
    struct vf_station_clock *c = &st->clock;
    int64_t h = highest(c, boot), past = beyond(c, boot);
    VF_FREE char *file = vf_station_file(st->path, "clock");
    VF_BUF payload;

    if (!file)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", st->path);
    vf_buf_init(&payload, 256);
    put_state(st, boot, &payload);
    VF_TRY(vf_buf_check(&payload, file, why));
    uint64_t seq = c->slot_seq + 1;
    VF_TRY(vf_slots_write(file, CLOCK_TYPE, (unsigned)((seq - 1) % 2), seq, payload.data, payload.len, why));
    c->slot_seq = seq;
    c->saved_h = h;
    c->saved_past = past;
    return VF_OK;
}

/*
 * The file was lost, and a grant is known that bounds H. When the log has never said what H was, its last time may stand for it, but not
 * beyond the latest `until` known: a wrong step of years is in the log too. Clock-resets that are stored count as taken.
 */
enum vf_err vf_station_clock_settle(struct vf_station *st, struct vf_why *why)
{
    struct vf_station_clock *c = &st->clock;
    struct vf_log_state log;
    VF_FREE char *file = vf_station_file(st->path, "clock");
    VF_BUF payload;
    if (!file)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", st->path);
    pthread_mutex_lock(&c->lock);
    bool now = c->lost && c->cap > 0;
    if (now) {
        vf_log_state_get(st->log, &log);
        int64_t last = log.last_time_us < c->cap ? log.last_time_us : c->cap, boot = vf_clock_boot_us();
        if (c->told_reset_us == 0 && last > highest(c, boot)) {
            c->h = last;
            c->h_boot = boot;
        }
        c->lost = false;
        vf_buf_init(&payload, 256);
        put_state(st, boot, &payload);
        c->slot_seq = 1;
    }
    pthread_mutex_unlock(&c->lock);
    if (!now)
        return VF_OK;
    VF_TRY(vf_buf_check(&payload, file, why));
    (void)unlink(file);
    return vf_slots_create(file, CLOCK_TYPE, payload.data, payload.len, why);
}

/* Has a grant ended between the two? */
static bool some_ended(struct vf_station *st, int64_t from, int64_t to)
{
    bool ended = false;
    pthread_rwlock_rdlock(&st->jobs_lock);
    for (size_t i = 0; i < st->njobs; i++)
        ended = ended || (st->jobs[i]->grant.until_us > from && st->jobs[i]->grant.until_us <= to);
    pthread_rwlock_unlock(&st->jobs_lock);
    return ended;
}

/* Not waited for, and again at the next tick if it could not be written. */
static bool put_time(struct vf_station *st, int64_t us, const char *result)
{
    char text[VF_TIME_US_LEN + 1];
    uint64_t seq;
    vf_time_format_us(us, text);
    const struct vf_entry e = {.event = VF_EVENT_TIME, .part = -1, .object = text, .result = result};
    return vf_log_append(st->log, &e, &seq, NULL) == VF_OK;
}

/* The log asks for the time under its own lock: the clock's is not held while something is appended. One thread at a time. */
void vf_station_clock_tell(struct vf_station *st, int64_t step_us)
{
    struct vf_station_clock *c = &st->clock;
    pthread_mutex_lock(&c->lock);
    bool ready = c->loaded && !c->lost && c->h > 0;
    int64_t h = highest(c, vf_clock_boot_us()), told = c->told;
    int64_t reset = c->reset_taken_us > c->told_reset_us ? c->reset_taken_us : 0;
    pthread_mutex_unlock(&c->lock);
    if (!ready)
        return;
    if (reset) {
        if (!put_time(st, reset, "reset"))
            return;
        told = reset;
        step_us = 1; /* a reset says what H was then: at once what it is now */
    }
    if (h - told >= step_us || some_ended(st, told, h))
        told = put_time(st, h, "ok") ? h : told;
    pthread_mutex_lock(&c->lock);
    c->told = told;
    if (reset)
        c->told_reset_us = reset;
    pthread_mutex_unlock(&c->lock);
}

enum vf_err vf_station_clock_tick(struct vf_station *st, struct vf_why *why)
{
    struct vf_station_clock *c = &st->clock;
    int64_t boot = vf_clock_boot_us(), wall = vf_clock_wall_us();
    enum vf_err err = VF_OK;

    pthread_mutex_lock(&c->lock);
    int64_t drift = (wall - c->anchor_wall) - (boot - c->anchor_boot);
    if (drift > AGREE_SLACK_US || drift < -AGREE_SLACK_US) {
        c->anchor_wall = wall; /* a step: the ten minutes begin anew */
        c->anchor_boot = boot;
    } else if (boot - c->anchor_boot >= AGREE_US) {
        int64_t h = wall < c->cap ? wall : c->cap;
        if (h > highest(c, boot)) {
            c->h = h;
            c->h_boot = boot;
        }
        /* A slow drift (a clock being disciplined) is no step: let the anchor follow, ten minutes behind. */
        c->anchor_wall = wall - AGREE_US;
        c->anchor_boot = boot - AGREE_US;
    }
    if (!c->lost && (highest(c, boot) - c->saved_h >= SAVE_EVERY_US || beyond(c, boot) - c->saved_past >= COUNT_EVERY_US))
        err = save_locked(st, boot, why);
    pthread_mutex_unlock(&c->lock);
    vf_station_clock_tell(st, VF_STATION_TELL_US);
    enum vf_err followed = vf_station_floors_follow(st, why);
    return err ? err : followed;
}

void vf_station_clock_policy(struct vf_station *st, uint32_t version)
{
    pthread_mutex_lock(&st->clock.lock);
    if (version > st->clock.policy)
        st->clock.policy = version;
    if (st->clock.loaded && !st->clock.lost) {
        enum vf_err ignored = save_locked(st, vf_clock_boot_us(), NULL);
        (void)ignored; /* saved again at close */
    }
    pthread_mutex_unlock(&st->clock.lock);
}

enum vf_err vf_station_clock_save(struct vf_station *st, struct vf_why *why)
{
    pthread_mutex_lock(&st->clock.lock);
    enum vf_err err = st->clock.loaded && !st->clock.lost ? save_locked(st, vf_clock_boot_us(), why) : VF_OK;
    pthread_mutex_unlock(&st->clock.lock);
    return err;
}

void vf_station_clock_grant(struct vf_station *st, const struct vf_grant *g)
{
    struct vf_station_clock *c = &st->clock;
    pthread_mutex_lock(&c->lock);
    if (g->until_us > c->cap)
        c->cap = g->until_us;
    if (c->cap > c->h)
        c->past = 0; /* H does not stand any more */
    if (c->lost && g->clock_reset && g->issued_us > c->reset_taken_us) {
        c->reset_taken_us = g->issued_us;
    } else if (c->loaded && g->clock_reset && g->issued_us > c->reset_taken_us) {
        c->h = g->issued_us;
        c->h_boot = vf_clock_boot_us();
        c->past = 0;
        c->reset_taken_us = g->issued_us;
        c->anchor_wall = vf_clock_wall_us(); /* ten minutes to set the clock right, if it is not */
        c->anchor_boot = c->h_boot;
        enum vf_err ignored = save_locked(st, c->h_boot, NULL);
        (void)ignored; /* taken again at the next start if it was not saved: the same grant, the same time */
    }
    pthread_mutex_unlock(&c->lock);
}

/* Under the lock. */
static void raise_to(struct vf_station_clock *c, int64_t at_least_us, int64_t boot)
{
    int64_t h = at_least_us < c->cap ? at_least_us : c->cap;
    if (c->loaded && h > highest(c, boot)) {
        c->h = h;
        c->h_boot = boot;
        c->past = 0;
    }
}

void vf_station_clock_raise(struct vf_station *st, int64_t at_least_us)
{
    struct vf_station_clock *c = &st->clock;
    pthread_mutex_lock(&c->lock);
    raise_to(c, at_least_us, vf_clock_boot_us());
    pthread_mutex_unlock(&c->lock);
}

/* Has the desk said this before, ten minutes ago or more? Under the lock. */
static bool desk_insists(struct vf_station_clock *c, int64_t time_us, int64_t boot)
{
    int64_t off = (time_us - c->desk) - (boot - c->desk_boot);
    if (c->desk == 0 || off > DESK_SAME_US || off < -DESK_SAME_US)
        c->desk_since_boot = boot;
    c->desk = time_us;
    c->desk_boot = boot;
    return boot - c->desk_since_boot >= AGREE_US;
}

void vf_station_clock_desk(struct vf_station *st, int64_t time_us)
{
    struct vf_station_clock *c = &st->clock;
    int64_t boot = vf_clock_boot_us(), wall = vf_clock_wall_us();
    pthread_mutex_lock(&c->lock);
    bool far = time_us - wall > DESK_NEAR_US;
    if (!far || desk_insists(c, time_us, boot)) {
        raise_to(c, time_us, boot);
        c->desk = 0;
    }
    pthread_mutex_unlock(&c->lock);
}
