/* SPDX-License-Identifier: MIT */
/* What a desk has: from its server while there is one, else from its folder. Both give the same document. */
#include "desk.h"

#include <inttypes.h>
#include <string.h>

static const char *text_of(const json_t *doc, const char *name)
{
    const char *text = json_string_value(json_object_get(doc, name));
    return text ? text : "-";
}

static int64_t number_of(const json_t *doc, const char *name)
{
    return (int64_t)json_integer_value(json_object_get(doc, name));
}

static bool truth_of(const json_t *doc, const char *name)
{
    return json_is_true(json_object_get(doc, name));
}

/* "22 Nov 2026 at 17:00 UTC" of the document's own form. */
static void person_time(const json_t *doc, const char *name, char *out, size_t size)
{
    int64_t us;
    const char *text = text_of(doc, name);
    if (vf_time_parse(text, strlen(text), &us))
        vf_time_format_person(us, out, size);
    else
        (void)snprintf(out, size, "never");
}

static void print_grants(const json_t *grants)
{
    size_t i;
    json_t *g;
    if (json_array_size(grants) == 0) {
        (void)printf("\nno grants: a grant comes with a station's first request, or with desk receive\n");
        return;
    }
    (void)printf("\n%-16s  %-20s %-20s %-8s %-20s %8s  %s\n", "grant", "job", "recipient", "state", "until", "records",
                 "released");
    json_array_foreach(grants, i, g)
    {
        (void)printf("%-16s  %-20s %-20s %-8s %-20s %8" PRId64 "  text of %" PRId64 ", images of %" PRId64 "%s\n",
                     text_of(g, "id"), text_of(g, "job"), text_of(g, "recipient"), text_of(g, "state"), text_of(g, "until"),
                     number_of(g, "records"), number_of(g, "released_text"), number_of(g, "released_image"),
                     truth_of(g, "key_destroyed") ? "; key destroyed" : "");
    }
}

static void print_devices(const json_t *devices)
{
    size_t i;
    json_t *d;
    if (json_array_size(devices))
        (void)printf("\n%-20s %-39s %-8s %s\n", "device", "fingerprint", "state", "its log here");
    json_array_foreach(devices, i, d)
    {
        char until[64];
        person_time(d, "log_until", until, sizeof(until));
        (void)printf("%-20s %-39s %-8s %" PRId64 " entr%s, up to %s%s\n", text_of(d, "name"), text_of(d, "fingerprint"),
                     truth_of(d, "revoked") ? "revoked" : "known", number_of(d, "log_entries"),
                     kt_ies((uint64_t)number_of(d, "log_entries")), until,
                     truth_of(d, "alarm") ? "; ALARM: it was changed, cut or forked" : "");
    }
}

static void print_status(const json_t *doc)
{
    const json_t *prekeys = json_object_get(doc, "prekeys"), *log = json_object_get(doc, "log");
    char until[64];
    person_time(log, "until", until, sizeof(until));
    if (number_of(doc, "policy_version"))
        (void)printf("desk       of %s (policy version %" PRId64 ")\n", text_of(doc, "force"),
                     number_of(doc, "policy_version"));
    else
        (void)printf("desk       of nobody yet: no policy was received\n");
    (void)printf("served     %s\n", truth_of(doc, "served") ? "yes" : "no");
    if (truth_of(doc, "ready"))
        (void)printf("ready      yes\n");
    else
        (void)printf("ready      NO: %s\n", text_of(doc, "unready"));
    (void)printf("log        %" PRId64 " entr%s, up to %s\n", number_of(log, "entries"),
                 kt_ies((uint64_t)number_of(log, "entries")), until);
    (void)printf("prekeys    %" PRId64 " live, %" PRId64 " destroyed", number_of(prekeys, "live"),
                 number_of(prekeys, "destroyed"));
    if (number_of(prekeys, "damaged"))
        (void)printf(", %" PRId64 " DAMAGED", number_of(prekeys, "damaged"));
    (void)printf("\n");
    print_grants(json_object_get(doc, "grants"));
    print_devices(json_object_get(doc, "devices"));
}

static enum vf_err from_folder(const char *store, struct vf_buf *out, struct vf_why *why)
{
    VF_DESK d = NULL;
    VF_TRY(kt_desk_check(store, why));
    VF_TRY(vf_desk_open(store, VF_DESK_STATUS, NULL, &d, why));
    return vf_desk_status_put(d, false, out, why);
}

enum vf_err kt_desk_status(const struct kt_args *a, struct vf_why *why)
{
    VF_BUF out = {0};
    json_error_t je;
    enum vf_err err = vf_desk_control(a->argv[0], "status", NULL, &out, why);
    if (err == VF_E_NOT_FOUND || err == VF_E_DENIED) {
        vf_buf_done(&out);
        vf_buf_init(&out, 64u * 1024 * 1024);
        err = from_folder(a->argv[0], &out, why);
    }
    VF_TRY(err);
    json_t *doc = json_loadb((const char *)out.data, out.len, 0, &je);
    if (!doc)
        return vf_fail(why, VF_E_FORMAT, "%s: the desk's server gave an answer that could not be read", a->argv[0]);
    if (kt_has(a, KT_JSON))
        return kt_print_json(doc, why);
    print_status(doc);
    json_decref(doc);
    return VF_OK;
}
