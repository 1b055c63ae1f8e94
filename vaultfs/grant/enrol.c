/* SPDX-License-Identifier: MIT */
/* X.enrol: a device introduces itself to one force. */
#include "lines.h"

#include <vaultfs/grant.h>

#include <string.h>

#define KIND "enrolment"

/* The text follows from device, vault, origin note and time alone; name and log id are there for people and stock tools. */
static void put(const struct vf_enrol *e, struct vf_buf *out)
{
    vf_lines_put_first(out, KIND);
    vf_lines_put(out, "station", e->device.name);
    vf_buf_text(out, "device: ");
    vf_identity_pub_put(&e->device, out);
    vf_buf_text(out, "\n");
    vf_lines_put_hex(out, "vault", e->vault.b, sizeof(e->vault.b));
    vf_lines_put_hex(out, "log", e->log_id.b, VF_HASH_LEN);
    vf_lines_put_base64(out, "log-origin", (const uint8_t *)e->origin, e->origin_len);
    vf_lines_put_time(out, "created", e->created_us);
}

static void get_device(struct vf_lines *l, struct vf_enrol *e)
{
    size_t len;
    const char *value = vf_lines_value(l, "device", &len);

    if (value != NULL && (vf_identity_pub_parse(value, len, &e->device, NULL) != VF_OK || e->device.role != VF_ROLE_DEVICE))
        vf_lines_refuse(l, "device");
}

static void get_origin(struct vf_lines *l, struct vf_enrol *e)
{
    size_t len;
    const char *value = vf_lines_value(l, "log-origin", &len);

    if (value == NULL)
        return;
    if (!vf_base64_get_max(value, len, (uint8_t *)e->origin, sizeof(e->origin), &e->origin_len))
        vf_lines_refuse(l, "log-origin");
    vf_sha256(e->origin, e->origin_len, &e->log_id);
}

static enum vf_err get(const struct vf_note *note, const char *what, struct vf_enrol *e, struct vf_why *why)
{
    struct vf_lines l;
    struct vf_hash log;
    VF_BUF again = {0};

    VF_TRY(vf_lines_start(&l, note->text, note->text_len, what, KIND, why));
    vf_lines_name(&l, "station", e->name);
    get_device(&l, e);
    vf_lines_hex(&l, "vault", e->vault.b, sizeof(e->vault.b));
    vf_lines_hex(&l, "log", log.b, sizeof(log.b));
    get_origin(&l, e);
    vf_lines_time(&l, "created", &e->created_us);
    VF_TRY(vf_lines_end(&l, why));
    vf_buf_init(&again, VF_ENROL_MAX);
    put(e, &again);
    VF_TRY(vf_lines_same(&l, &again, why));
    vf_sha256(note->text, note->text_len, &e->id);
    return VF_OK;
}

/* `note` is signed by this device and no failing signature of its is on it. */
static enum vf_err signed_by_device(const struct vf_note *note, const struct vf_identity_pub *device, const char *what,
                                    struct vf_why *why)
{
    struct vf_note_key key;
    bool by = false;
    size_t count = 0;

    vf_note_key_of(device, &key);
    VF_TRY(vf_fail_prefix(why, vf_note_verify(note, &key, 1, &by, &count, why), "%s", what));
    if (count != 1)
        return vf_fail(why, VF_E_UNSIGNED, "%s: not signed by the device that it is about", what);
    return VF_OK;
}

/* The log that the device will be held to is the device's own, a station's, and begins with its signature. */
static enum vf_err check_log(const struct vf_enrol *e, const char *what, struct vf_why *why)
{
    struct vf_note note;
    struct vf_origin origin;

    VF_TRY(vf_fail_prefix(why, vf_note_parse(e->origin, e->origin_len, &note, why), "%s: origin of its log", what));
    VF_TRY(vf_fail_prefix(why, vf_origin_parse(&note, &origin, why), "%s: origin of its log", what));
    if (origin.kind != VF_LOG_STATION || strcmp(origin.owner, e->device.name) != 0)
        return vf_fail(why, VF_E_FORMAT, "%s: names a log that is not the log of this station", what);
    return signed_by_device(&note, &e->device, what, why);
}

enum vf_err vf_enrol_parse(const void *data, size_t len, const char *what, struct vf_enrol *ret, struct vf_why *why)
{
    struct vf_note note;
    struct vf_enrol e = {0};

    if (len > VF_ENROL_MAX)
        return vf_fail(why, VF_E_LIMIT, "%s: larger than an enrolment can be", what);
    VF_TRY(vf_fail_prefix(why, vf_note_parse(data, len, &note, why), "%s", what));
    VF_TRY(get(&note, what, &e, why));
    VF_TRY(signed_by_device(&note, &e.device, what, why));
    VF_TRY(check_log(&e, what, why));
    *ret = e;
    return VF_OK;
}

enum vf_err vf_enrol_make(const struct vf_identity *device, const struct vf_vault_id *vault, const char *origin_note,
                          size_t origin_len, int64_t now_us, struct vf_buf *out, struct vf_why *why)
{
    struct vf_enrol e = {.device = *vf_identity_pub_get(device), .vault = *vault, .created_us = now_us};
    VF_BUF text = {0};
    VF_BUF note = {0};

    if (origin_len == 0 || origin_len > sizeof(e.origin))
        return vf_fail(why, VF_E_LIMIT, "the origin note of the log is too long for an enrolment");
    memcpy(e.origin, origin_note, origin_len);
    e.origin_len = origin_len;
    vf_sha256(e.origin, e.origin_len, &e.log_id);
    vf_buf_init(&text, VF_ENROL_MAX);
    put(&e, &text);
    VF_TRY(vf_buf_check(&text, "enrolment", why));
    vf_buf_init(&note, VF_ENROL_MAX);
    VF_TRY(vf_note_sign((const char *)text.data, text.len, device, &note, why));
    VF_TRY(vf_buf_check(&note, "enrolment", why));
    /* What others would refuse is not handed out. */
    VF_TRY(vf_enrol_parse(note.data, note.len, "the new enrolment", &e, why));
    vf_buf_put(out, note.data, note.len);
    return vf_buf_check(out, "enrolment", why);
}
