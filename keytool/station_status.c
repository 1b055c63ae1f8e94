/* SPDX-License-Identifier: MIT */
/* What a station has; beside a running mount too. */
#include "station.h"

#include <string.h>

struct status {
    json_t *list;   /* NULL: printed */
    int64_t now_us; /* the wall clock: trusted time needs the device's key, and decides in the mount */
    struct kt_grants grants;
};

static const char *state_of(const struct vf_station_grant_item *item, int64_t now_us)
{
    if (item->revoked)
        return "revoked";
    if (now_us >= item->grant.until_us)
        return "ended";
    if (!item->verified)
        return "unsigned";
    if (item->superseded)
        return "renewed";
    return now_us < item->grant.from_us ? "not-yet" : "live";
}

static enum vf_err collect(void *user, const struct vf_station_grant_item *item, struct vf_why *why)
{
    struct status *s = user;
    return kt_grants_add(&s->grants, item, why);
}

static void one_grant(const struct status *s, const struct vf_station_grant_item *item)
{
    const struct vf_grant *g = &item->grant;
    const char *state = state_of(item, s->now_us);
    bool useful = strcmp(state, "live") == 0 || strcmp(state, "not-yet") == 0;
    if (s->list) {
        (void)json_array_append_new(
            s->list,
            json_pack("{s:s#,s:s,s:s,s:o,s:o,s:i,s:o,s:s,s:I,s:I}", "id", g->id.c, VF_GRANT_ID_LEN, "job", g->job, "state",
                      state, "from", kt_json_time(g->from_us), "until", kt_json_time(g->until_us), "records",
                      (int)g->records, "fields", kt_json_fields(g->fields), "ends", vf_grant_ends_text(g), "values_present",
                      (json_int_t)item->values_present, "values_named", (json_int_t)item->values_named));
        return;
    }
    char until[VF_TIME_LEN + 1];
    vf_time_format(g->until_us, until);
    (void)printf("%.16s  %-20s %-8s %s %8u  %llu of %llu%s\n", g->id.c, g->job, state, until, g->records,
                 (unsigned long long)item->values_present, (unsigned long long)item->values_named,
                 item->values_present < item->values_named && useful ? ": receive the bundle, or ask for one with --all"
                                                                     : "");
}

static enum vf_err each_grant(struct vf_station *st, struct status *s, struct vf_why *why)
{
    VF_TRY(vf_station_grant_each(st, collect, s, why));
    kt_grants_sort(&s->grants);
    const struct vf_station_grant_item *items = (const struct vf_station_grant_item *)(const void *)s->grants.items;
    if (!s->list && s->grants.n)
        (void)printf("\n%-16s  %-20s %-8s %-20s %8s  %s\n", "grant", "job", "state", "until", "records", "values here");
    for (size_t i = 0; i < s->grants.n; i++)
        one_grant(s, &items[i]);
    return VF_OK;
}

static void status_done(struct status *s)
{
    json_decref(s->list);
    kt_grants_done(&s->grants);
}

static json_t *log_json(const struct vf_station_state *state)
{
    return json_pack("{s:I,s:I,s:I,s:o}", "entries", (json_int_t)state->log_size, "sealed", (json_int_t)state->log_sealed,
                     "received", (json_int_t)state->log_received, "receipt",
                     state->receipt_us ? kt_json_time(state->receipt_us) : json_null());
}

static enum vf_err status_json(struct vf_station *st, const struct vf_station_state *state, const char *mountpoint,
                               struct status *s, struct vf_why *why)
{
    const struct vf_policy *p = &vf_station_policy(st)->policy;
    struct vf_hash hash;
    char device[VF_FINGERPRINT_TEXT_LEN + 1];
    s->list = json_array();
    VF_TRY(each_grant(st, s, why));
    vf_identity_fingerprint(&vf_station_enrol(st)->device, &hash);
    vf_fingerprint_text(&hash, device);
    return kt_print_json(json_pack("{s:s,s:s,s:s,s:i,s:s?,s:I,s:I,s:o,s:o}", "name", vf_station_enrol(st)->name, "device",
                                   device, "force", p->force_name, "policy_version", (int)p->version, "mounted", mountpoint,
                                   "values", (json_int_t)state->values, "bytes", (json_int_t)state->bytes, "log",
                                   log_json(state), "grants", json_incref(s->list)),
                         why);
}

static enum vf_err status_text(struct vf_station *st, const struct vf_station_state *state, const char *mountpoint,
                               struct status *s, struct vf_why *why)
{
    const struct vf_policy *p = &vf_station_policy(st)->policy;
    (void)printf("station    %s, for %s (policy version %u)\n", vf_station_enrol(st)->name, p->force_name, p->version);
    (void)printf("mounted    %s\n", mountpoint ? mountpoint : "no");
    (void)printf("values     %llu, %.1f MB\n", (unsigned long long)state->values, (double)state->bytes / 1e6);
    (void)printf("log        %llu entr%s, %llu sealed, %llu received by the force\n", (unsigned long long)state->log_size,
                 kt_ies(state->log_size), (unsigned long long)state->log_sealed, (unsigned long long)state->log_received);
    if (state->receipt_us) {
        char when[64];
        vf_time_format_person(state->receipt_us, when, sizeof(when));
        (void)printf("receipt    of %s\n", when);
    }
    VF_TRY(each_grant(st, s, why));
    if (s->grants.n == 0)
        (void)printf("\nno grants\n");
    return VF_OK;
}

enum vf_err kt_station_status(const struct kt_args *a, struct vf_why *why)
{
    char mountpoint[4096] = "";
    struct vf_control *c = NULL;
    struct vf_station_state state;
    VF_CLEANUP(status_done)
    struct status s = {.now_us = vf_clock_wall_us(), .grants.size = sizeof(struct vf_station_grant_item)};
    VF_STATION st = NULL;

    bool mounted = vf_control_connect(a->argv[0], &c, mountpoint, sizeof(mountpoint), NULL) == VF_OK;
    vf_control_close(c);
    VF_TRY(vf_station_open(a->argv[0], VF_STATION_STATUS, NULL, &st, why));
    VF_TRY(vf_station_state_get(st, &state, why));
    const char *where = mounted ? mountpoint : NULL;
    return kt_has(a, KT_JSON) ? status_json(st, &state, where, &s, why) : status_text(st, &state, where, &s, why);
}
