/* SPDX-License-Identifier: MIT */
#include "vaultfs/desk.h"

#include <jansson.h>

static json_t *time_or_null(int64_t us)
{
    char text[VF_TIME_LEN + 1];
    if (us == 0)
        return json_null();
    vf_time_format(us, text);
    return json_string(text);
}

static const char *state_of(const struct vf_desk_grant_item *item, int64_t now_us)
{
    if (item->revoked)
        return "revoked";
    if (item->ended)
        return "ended";
    return now_us < item->grant.from_us ? "not-yet" : "live";
}

static enum vf_err add_grant(void *user, const struct vf_desk_grant_item *item, struct vf_why *why)
{
    json_t *list = user;
    const struct vf_grant *g = &item->grant;
    json_t *doc = json_pack("{s:s#,s:s,s:s,s:s,s:o,s:o,s:i,s:o,s:I,s:I,s:b}", "id", g->id.c, VF_GRANT_ID_LEN, "job", g->job,
                            "recipient", g->recipient, "state", state_of(item, vf_clock_wall_us()), "from",
                            time_or_null(g->from_us), "until", time_or_null(g->until_us), "records", (int)g->records,
                            "budget", g->budget ? json_integer((json_int_t)g->budget) : json_null(), "released_text",
                            (json_int_t)item->released[VF_PART_TEXT], "released_image",
                            (json_int_t)item->released[VF_PART_IMAGE], "key_destroyed", (int)item->destroyed);
    return json_array_append_new(list, doc) ? vf_fail(why, VF_E_NOMEM, "out of memory") : VF_OK;
}

static enum vf_err add_device(void *user, const struct vf_desk_device_item *item, struct vf_why *why)
{
    json_t *list = user;
    struct vf_hash hash;
    char words[VF_FINGERPRINT_TEXT_LEN + 1], hex[2 * VF_HASH_LEN + 1];
    vf_identity_fingerprint(&item->enrol.device, &hash);
    vf_fingerprint_text(&hash, words);
    vf_hex(item->enrol.id.b, VF_HASH_LEN, hex);
    json_t *doc = json_pack("{s:s,s:s,s:s,s:b,s:I,s:o,s:b}", "name", item->enrol.name, "fingerprint", words, "enrolment",
                            hex, "revoked", (int)item->revoked, "log_entries", (json_int_t)item->log_size, "log_until",
                            time_or_null(item->log_us), "alarm", (int)item->alarm);
    return json_array_append_new(list, doc) ? vf_fail(why, VF_E_NOMEM, "out of memory") : VF_OK;
}

static int put(const char *data, size_t len, void *user)
{
    vf_buf_put(user, data, len);
    return 0;
}

enum vf_err vf_desk_status_put(struct vf_desk *d, bool served, struct vf_buf *json, struct vf_why *why)
{
    struct vf_desk_status st;
    json_t *grants = json_array(), *devices = json_array();
    enum vf_err err = vf_desk_status_get(d, &st, why);
    if (!err)
        err = vf_desk_grant_each(d, add_grant, grants, why);
    if (!err)
        err = vf_desk_device_each(d, add_device, devices, why);
    if (!err) {
        json_t *doc = json_pack("{s:b,s:b,s:o,s:o,s:i,s:{s:I,s:o},s:{s:I,s:I,s:I},s:O,s:O}", "served", (int)served, "ready",
                                (int)st.ready, "unready", st.ready ? json_null() : json_string(st.unready), "force",
                                st.policy ? json_string(st.force_name) : json_null(), "policy_version", (int)st.policy,
                                "log", "entries", (json_int_t)st.log_size, "until", time_or_null(st.last_us), "prekeys",
                                "live", (json_int_t)st.prekeys_live, "destroyed", (json_int_t)st.prekeys_destroyed,
                                "damaged", (json_int_t)st.prekeys_damaged, "grants", grants, "devices", devices);
        if (!doc || json_dump_callback(doc, put, json, JSON_INDENT(2)))
            err = vf_fail(why, VF_E_NOMEM, "out of memory");
        json_decref(doc);
    }
    json_decref(grants);
    json_decref(devices);
    return err ? err : vf_buf_check(json, "the status", why);
}
